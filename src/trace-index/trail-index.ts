/**
 * TrailIndex: one Durable Object per environment and UTC day, named `<env>:<YYYY-MM-DD>`. It holds what spans keys:
 * traces to list and filter, sums of money, and counts per route version.
 *
 * A copy, never the truth: the ledgers of the keys feed it, at least once and in any order, and can feed it again from
 * nothing. A batch is one transaction and a trace counts once, however often it is sent. The object deletes itself
 * once its day can no longer be queried.
 */
import { DurableObject } from "cloudflare:workers";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { log } from "../lib/log.ts";
import type { FacetRow } from "../traces/filter.ts";
import { expiresAt, parseTrailName, type TrailDay } from "./calendar.ts";
import { TrailStore } from "./store.ts";
import type {
  DayEvidenceQuery,
  DayFacetsQuery,
  DayList,
  DayListQuery,
  DaySpend,
  DaySpendQuery,
  EvidenceCounts,
  TrailBatch,
  TrailReceipt,
} from "./types.ts";

/** After an alarm that failed. */
const ALARM_RETRY_MS = 3_600_000;

export class TrailIndex extends DurableObject {
  readonly #store: TrailStore;
  readonly #alarms: AlarmSchedule;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#store = ctx.storage.transactionSync(() => new TrailStore(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
  }

  /**
   * Takes a ledger's rows, each trace once however often it is sent. A row that can never be taken counts as taken, so
   * that it does not hold up those behind it: it is logged. So is a day that can no longer change.
   */
  async ingest(batch: TrailBatch): Promise<TrailReceipt> {
    const day = this.#day();
    const upTo = batch.rows.reduce((largest, { seq }) => Math.max(largest, seq), 0);
    if (Date.now() >= expiresAt(day.startAt)) return { upTo };
    const refused = this.#write(batch, day);
    if (refused.length > 0) {
      log({ event: "trail_rows_refused", key_id: batch.keyId, rows: refused.length, first_seq: refused[0] });
    }
    await this.#alarms.ringBy(expiresAt(day.startAt));
    return { upTo };
  }

  async list(query: DayListQuery): Promise<DayList> {
    return this.#store.list(query);
  }

  async facets(query: DayFacetsQuery): Promise<FacetRow[]> {
    return this.#store.facets(query);
  }

  async spend(query: DaySpendQuery): Promise<DaySpend> {
    return this.#store.spend(query, this.#day());
  }

  async evidence(query: DayEvidenceQuery): Promise<EvidenceCounts> {
    return this.#store.evidence(query, this.#day());
  }

  /** Erases what the requests of a key said of themselves; sums stay. */
  async erase(keyId: string): Promise<void> {
    this.ctx.storage.transactionSync(() => this.#store.erase(keyId));
  }

  /** Retention. Running it twice deletes nothing more. Never throws. */
  override async alarm(): Promise<void> {
    this.#alarms.rang();
    try {
      const startAt = this.#store.dayStartAt();
      if (startAt === null) return;
      if (Date.now() >= expiresAt(startAt)) await this.#forget();
      else await this.#alarms.setTo(expiresAt(startAt));
    } catch {
      // Storage that fails may work again later; an error would only use up the platform's own retries.
      await this.#alarms.setTo(Date.now() + ALARM_RETRY_MS).catch(() => {});
    }
  }

  #day(): TrailDay {
    const day = parseTrailName(this.ctx.id.name ?? "");
    if (day === null) throw new Error("An object of the trail is called by `<env>:<YYYY-MM-DD>`.");
    return day;
  }

  #write(batch: TrailBatch, day: TrailDay): number[] {
    try {
      return this.ctx.storage.transactionSync(() => this.#store.ingest(batch, day));
    } catch (error) {
      this.#store.lookAgain();
      throw error;
    }
  }

  async #forget(): Promise<void> {
    await this.ctx.storage.deleteAll();
    this.#store.lookAgain();
  }
}
