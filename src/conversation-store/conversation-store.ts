/**
 * ConversationStore: one Durable Object per API key, the responses that its clients may go on from.
 *
 * A class of its own, apart from the ledger, so that reading a conversation never holds up money. Each call is one
 * transaction and may be repeated. The object never sees a secret or a text: the Worker encrypts before it calls.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction } from "../config.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { ResponseStore } from "./store.ts";
import type { ReadAnswer, ReadTerms, ResponseToStore, StoreAnswer } from "./types.ts";

/** Expired responses are invisible at once; their bytes may stay for so long. */
const PRUNE_PAUSE_MS = 60_000;

export class ConversationStore extends DurableObject {
  readonly #store: ResponseStore;
  readonly #alarms: AlarmSchedule;

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#store = ctx.storage.transactionSync(() => new ResponseStore(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
  }

  async put(response: ResponseToStore): Promise<StoreAnswer> {
    const now = Date.now();
    const answer = this.ctx.storage.transactionSync(() => this.#store.put(response, now));
    if (answer.ok) await this.#alarms.ringBy(now + response.ttlMs + PRUNE_PAUSE_MS);
    return answer;
  }

  async get(id: string, mark: Uint8Array, terms?: ReadTerms): Promise<ReadAnswer> {
    return this.#store.get(id, mark, Date.now(), terms);
  }

  /** The conversation that ends with `id`, oldest response first. */
  async chain(id: string, mark: Uint8Array, terms?: ReadTerms): Promise<ReadAnswer> {
    return this.#store.chain(id, mark, Date.now(), terms);
  }

  async holding(itemIds: readonly string[], mark: Uint8Array, terms?: ReadTerms): Promise<ReadAnswer> {
    return this.#store.holding(itemIds, mark, Date.now(), terms);
  }

  async delete(id: string, mark: Uint8Array): Promise<boolean> {
    return this.ctx.storage.transactionSync(() => this.#store.delete(id, mark, Date.now()));
  }

  async erase(): Promise<void> {
    this.ctx.storage.transactionSync(() => this.#store.erase());
  }

  /** Removes what has expired. Running it twice changes nothing more. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#alarms.rang();
    const next = this.ctx.storage.transactionSync(() => this.#store.prune(now));
    if (next !== null) await this.#alarms.setTo(Math.max(next, now + 1) + (next > now ? PRUNE_PAUSE_MS : 0));
  }
}
