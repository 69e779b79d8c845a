/**
 * BudgetPool: one Durable Object per budget above keys. It owns the limit, and leases parts of it to the ledgers of keys.
 *
 * What the period had spent before is known to the ledgers: a pool that is new, or was changed, asks every one
 * that may have to do with it, in rounds that the alarm goes on with, and each counts in one transaction what it has
 * booked and everything that it books from then on. The rules are in `pool.ts`, which knows neither clock nor runtime.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../config.ts";
import { inJurisdiction } from "../config.ts";
import { withControl } from "../control/client.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { Backoff } from "../durable/backoff.ts";
import { fromUsd, toUsd } from "../lib/money.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { reached } from "../notices/types.ts";
import { IN_FORCE_MS, type Inventory, Pool } from "./pool.ts";
import { type BudgetRecord, concerns, termsOf } from "./record.ts";
import type { BudgetStatus, LeaseAnswer, LeaseRequest, Part } from "./types.ts";

const KEYS_PER_PAGE = 500;
const CALLS_AT_A_TIME = 20;
/** One call to a ledger, or for a page of keys. */
const CALL_LIMIT_MS = 5_000;
/** How long a definition waits for its inventory; a larger one goes on behind the answer. */
const DEFINE_WAIT_MS = 3_000;
/** Ledgers that a question for the budget's status asks, and how long it waits for them. */
const MAX_ASKED = 200;
const STATUS_WAIT_MS = 2_000;
const RETRY = { firstMs: 1_000, maxMs: 10_000 };
/** After the budget is known everywhere: keys that were made meanwhile are asked as well. */
const SECOND_ROUND_MS = IN_FORCE_MS + 5_000;
const OVER: Inventory = { cursor: null, isComplete: true, isOver: true };

export class BudgetPool extends DurableObject<Env> {
  readonly #pool: Pool;
  readonly #alarms: AlarmSchedule;
  /** In memory: what is announced twice is one event. */
  readonly #announced = new Set<string>();
  readonly #backoff = new Backoff(RETRY);
  /** The inventory that is being taken; it never rejects. */
  #taking: Promise<void> | null = null;
  #pauseMs = RETRY.firstMs;

  constructor(ctx: DurableObjectState, bound: Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#pool = ctx.storage.transactionSync(() => new Pool(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
  }

  /** The budget's newest record. Repeatable. Answers how it stands, once what was spent before is known or 3 s are over. */
  async define(record: BudgetRecord): Promise<BudgetStatus | null> {
    await this.#define(record);
    await withTimeout(DEFINE_WAIT_MS, () => this.#takeInventory()).catch(() => {});
    return this.status();
  }

  /** The budget is deleted. Ledgers learn of it when they ask for more. `version`: that of its deletion. */
  async remove(version: number): Promise<void> {
    this.#transact(() => this.#pool.remove(version));
  }

  /** Gives a ledger what it needs, as far as there is room. */
  async lease(asked: LeaseRequest): Promise<LeaseAnswer> {
    const answer = this.#transact(() => this.#pool.lease(asked, Date.now()));
    this.ctx.waitUntil(this.#announce());
    if (asked.era <= this.#pool.top) return answer;
    // A ledger heard of the budget, or of its change, before this object did.
    const budgets = await withControl(this.env.CONTROL_PLANE, (control) => control.listBudgets());
    const record = budgets.find(({ id }) => id === asked.id);
    if (record === undefined) return { kind: "gone", below: asked.era + 1 };
    await this.#define(record);
    return this.#transact(() => this.#pool.lease(asked, Date.now()));
  }

  /** A ledger says what it has, and asks for nothing. */
  async note(part: Part): Promise<void> {
    this.#transact(() => this.#pool.note(part, Date.now()));
    this.ctx.waitUntil(this.#announce());
  }

  /** Which parts of the budget are spent, for webhooks. What was not taken is announced with the next part. Never rejects. */
  async #announce(): Promise<void> {
    const { record } = this.#pool;
    const status = record === null ? null : this.#transact(() => this.#pool.status(Date.now()));
    if (record === null || status === null) return;
    const { periodStart, resetsAt, spentNanoUsd } = status;
    for (const percent of reached(spentNanoUsd, fromUsd(record.limit_usd))) {
      const name = `${periodStart} ${record.limit_usd} ${percent}`;
      if (this.#announced.has(name)) continue;
      const amounts = { spentUsd: toUsd(spentNanoUsd), limitUsd: record.limit_usd };
      const threshold = { budget: record.id, percent, ...amounts, periodStart, resetsAt };
      const call = withControl(this.env.CONTROL_PLANE, (control) => control.noteThreshold(threshold));
      await call.then(() => this.#announced.add(name)).catch(() => {});
    }
  }

  /** How the budget stands, by what its ledgers say now; `null` where there is none. */
  async status(): Promise<BudgetStatus | null> {
    const { record } = this.#pool;
    if (record === null) return null;
    const open = this.#pool.openParts(Date.now(), MAX_ASKED);
    await withTimeout(STATUS_WAIT_MS, () => this.#askAll(open, (keyId) => this.#ask(keyId, record))).catch(() => {});
    return this.#transact(() => this.#pool.status(Date.now()));
  }

  override async alarm(): Promise<void> {
    this.#alarms.rang();
    await this.#takeInventory();
    await this.#armInventory();
  }

  async #define(record: BudgetRecord): Promise<void> {
    this.#transact(() => this.#pool.define(record, Date.now()));
    await this.#armInventory();
    if (this.#pool.record?.era === record.era) this.ctx.waitUntil(this.#takeInventory());
  }

  async #armInventory(): Promise<void> {
    const { inventory, definedAt } = this.#pool;
    if (inventory.isOver) return;
    await this.#alarms.ringBy(inventory.isComplete ? definedAt + SECOND_ROUND_MS : Date.now() + this.#pauseMs);
  }

  /** Asks the ledgers that were not asked yet, as far as it is time. One at a time. Never rejects. */
  #takeInventory(): Promise<void> {
    this.#taking ??= this.#takePages().finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  async #takePages(): Promise<void> {
    try {
      while (await this.#takePage()) this.#backoff.succeed();
      this.#backoff.succeed();
    } catch {
      // The page stays to be asked, and the alarm comes for it.
      this.#pauseMs = this.#backoff.fail();
    }
  }

  /** False where nothing is to be asked now. Rejects where a ledger did not answer. */
  async #takePage(): Promise<boolean> {
    const { record, inventory, definedAt } = this.#pool;
    if (record === null || inventory.isOver) return false;
    if (inventory.isComplete && Date.now() < definedAt + SECOND_ROUND_MS) return false;
    const { keyIds, next, isLast } = await this.#page(record, inventory, definedAt);
    await this.#askAll(keyIds, (keyId) => this.#join(keyId, record));
    if (this.#pool.record?.era !== record.era) return true;
    const whole = inventory.isComplete || record.scope.keys !== undefined ? OVER : { ...OVER, isOver: false };
    this.#transact(() => this.#pool.noteInventory(isLast ? whole : { ...inventory, cursor: next }));
    return true;
  }

  /** In the second round only the keys that came after the budget, which are the first of the list. */
  async #page({ scope, ...record }: BudgetRecord, { cursor, isComplete }: Inventory, definedAt: number) {
    if (scope.keys !== undefined)
      return { keyIds: await this.#keysOf(scope.keys, scope.env), next: null, isLast: true };
    const page = await withControl(this.env.CONTROL_PLANE, (control) => control.listKeys(KEYS_PER_PAGE, cursor));
    const since = isComplete ? new Date(definedAt).toISOString() : "";
    const wanted = page.data.filter((key) => key.created_at >= since);
    const keyIds = wanted.filter((key) => concerns({ scope, ...record }, key)).map(({ id }) => id);
    return { keyIds, next: page.nextCursor, isLast: page.nextCursor === null || wanted.length < page.data.length };
  }

  async #keysOf(ids: readonly string[], env: string | undefined): Promise<readonly string[]> {
    if (env === undefined) return ids;
    const find = (id: string) => withControl(this.env.CONTROL_PLANE, (control) => control.getKey(id));
    const keys = await Promise.all(ids.map(find));
    return keys.flatMap((key) => (key?.env === env ? [key.id] : []));
  }

  async #join(keyId: string, record: BudgetRecord): Promise<void> {
    const part = await this.env.KEY_LEDGER.getByName(keyId).joinBudget(keyId, termsOf(record));
    if (part !== null) this.#transact(() => this.#pool.note(part, Date.now()));
  }

  async #ask(keyId: string, { id, era }: BudgetRecord): Promise<void> {
    const part = await this.env.KEY_LEDGER.getByName(keyId).budgetPart(id, era);
    if (part !== null) this.#transact(() => this.#pool.note(part, Date.now()));
  }

  /** Rejects once all have ended, where one of them has failed. */
  async #askAll(keyIds: readonly string[], ask: (keyId: string) => Promise<void>): Promise<void> {
    const waiting = keyIds.values();
    let failure: unknown = null;
    const askInTurn = async (): Promise<void> => {
      // All of them take from the same iterator.
      for (const keyId of waiting) {
        await withTimeout(CALL_LIMIT_MS, () => ask(keyId)).catch((error: unknown) => {
          failure = error ?? new Error("A ledger did not answer.");
        });
      }
    };
    await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, askInTurn));
    if (failure !== null) throw failure;
  }

  #transact<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
    } catch (error) {
      this.#pool.load();
      throw error;
    }
  }
}
