/**
 * TrailIndex: one Durable Object per environment and UTC day, named `<env>:<YYYY-MM-DD>`. It holds what spans keys:
 * traces to list and filter, usage by the hour and the minute, and counts per route version.
 *
 * A copy, never the truth: the ledgers of the keys feed it, at least once and in any order, and can feed it again from
 * nothing. A batch is one transaction and a trace counts once, however often and by whichever call it is sent. When its
 * day is over the object copies its usage to the archive of the month, again after every later change, and deletes itself
 * when its day can no longer be asked for.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction } from "../config.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { callWithRetry } from "../durable/call.ts";
import { log } from "../lib/log.ts";
import { parseStored } from "../lib/stored.ts";
import { MONEY_KEY, MoneyRecord } from "../prices/book.ts";
import type { FacetRow } from "../traces/filter.ts";
import { archiveName, DAY_MS, expiresAt, parseTrailName, type TrailDay } from "./calendar.ts";
import { TrailStore } from "./store/store.ts";
import type { AdjustmentBatch } from "./store/store-adjust.ts";
import type { DayMetrics } from "./store/store-metrics.ts";
import type { DayUsageQuery } from "./store/store-usage.ts";
import type {
  DayEvidenceQuery,
  DayFacetsQuery,
  DayList,
  DayListQuery,
  EvidenceCounts,
  TrailBatch,
  TrailReceipt,
} from "./types.ts";
import type { ArchivedDay } from "./usage.ts";
import type { UsageSum } from "./usage-query.ts";

/** After an alarm that failed. */
const ALARM_RETRY_MS = 60_000;
/** After the end of a day, until it is archived: what its last requests used has come by then, but for stragglers. */
const CLOSE_DELAY_MS = 600_000;
/** After a change to a day that is over. */
const CHANGE_DELAY_MS = 2_000;
/** Rows per minute are kept so long after the end of their day. */
const MINUTES_KEPT_MS = DAY_MS + 3_600_000;
/** How long the names of summed tags serve without being read again. */
const TAGS_FRESH_MS = 10_000;
const ARCHIVE_LIMIT_MS = 20_000;
const ROWS_PER_CALL = 1_000;

/** The archive as this object uses it. */
interface Archives {
  getByName(name: string): { putDay(day: ArchivedDay): Promise<void> };
}

export class TrailIndex extends DurableObject<Cloudflare.Env> {
  readonly #store: TrailStore;
  readonly #alarms: AlarmSchedule;
  #tags: { readonly names: readonly string[]; readonly at: number } | null = null;
  #hasDroppedMinutes = false;

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#store = ctx.storage.transactionSync(() => new TrailStore(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
  }

  /**
   * Takes a ledger's rows, each trace once however often it is sent. A row that can never be taken counts as taken, so
   * that it does not hold up those behind it: it is logged. So is a day that is no longer kept.
   */
  async ingest(batch: TrailBatch): Promise<TrailReceipt> {
    const day = this.#day();
    const upTo = batch.rows.reduce((largest, { seq }) => Math.max(largest, seq), 0);
    if (Date.now() >= expiresAt(day.startAt)) return { upTo };
    const tagNames = await this.#tagNames();
    const refused = this.#transact(() => this.#store.ingest(batch, day, tagNames));
    if (refused.length > 0) {
      log({ event: "trail_rows_refused", key_id: batch.keyId, rows: refused.length, first_seq: refused[0] });
    }
    await this.#alarms.ringBy(this.#dueAt(day, Date.now()));
    return { upTo };
  }

  async list(query: DayListQuery): Promise<DayList> {
    return this.#store.list(query);
  }

  /** Counters of the day so far. */
  async metrics(): Promise<DayMetrics> {
    return this.#store.metrics();
  }

  async facets(query: DayFacetsQuery): Promise<FacetRow[]> {
    return this.#store.facets(query);
  }

  /** What was used in a part of the day, in groups. */
  async usage(query: DayUsageQuery): Promise<UsageSum[]> {
    const tagNames = await this.#tagNames();
    return this.#transact(() => this.#store.usage(query, this.#day(), tagNames));
  }

  async evidence(query: DayEvidenceQuery): Promise<EvidenceCounts> {
    return this.#store.evidence(query, this.#day());
  }

  /** Erases what the requests of a key said of themselves; sums stay. */
  async erase(keyId: string): Promise<void> {
    this.ctx.storage.transactionSync(() => this.#store.erase(keyId));
  }

  /** Takes corrections of booked costs, each once however often it is sent. */
  async adjust(batch: AdjustmentBatch): Promise<void> {
    const day = this.#day();
    const now = Date.now();
    const tagNames = await this.#tagNames();
    const withMinutes = now < day.startAt + DAY_MS + MINUTES_KEPT_MS;
    this.#transact(() => this.#store.adjust(batch, day, tagNames, withMinutes));
    // What an archive has already is put right before the caller goes on.
    if (now >= day.startAt + DAY_MS + CLOSE_DELAY_MS) await this.#archive(day).catch(() => {});
    await this.#alarms.ringBy(this.#dueAt(day, now));
  }

  /** Archive and retention. Running it twice changes nothing more. Never throws. */
  override async alarm(): Promise<void> {
    this.#alarms.rang();
    try {
      const startAt = this.#store.dayStartAt();
      if (startAt === null) return;
      const day = this.#day();
      const now = Date.now();
      if (now >= startAt + DAY_MS) await this.#archive(day);
      if (now >= startAt + DAY_MS + MINUTES_KEPT_MS) this.#dropMinutes();
      if (now >= expiresAt(startAt)) await this.#forget();
      else await this.#alarms.setTo(this.#dueAt(day, now));
    } catch {
      // Storage or an archive that fails may work again later; an error would only use up the platform's own retries.
      await this.#alarms.setTo(Date.now() + ALARM_RETRY_MS).catch(() => {});
    }
  }

  /** When the next alarm has something to do. */
  #dueAt({ startAt }: TrailDay, now: number): number {
    const closesAt = startAt + DAY_MS + CLOSE_DELAY_MS;
    const state = this.#store.archiving();
    if (now < closesAt) return closesAt;
    if (state !== null && state.changes > state.archived) return now + CHANGE_DELAY_MS;
    const minutesEnd = startAt + DAY_MS + MINUTES_KEPT_MS;
    return this.#hasDroppedMinutes || now > minutesEnd + DAY_MS ? expiresAt(startAt) : Math.max(now, minutesEnd);
  }

  /** Copies the usage of the day to the archive, as far as it has changed since the last copy. Rejects when it fails. */
  async #archive(day: TrailDay): Promise<void> {
    const tagNames = await this.#tagNames();
    const taken = this.#transact(() => {
      const rows = this.#store.archiveRows(day, tagNames);
      return { rows, ...(this.#store.archiving() ?? { changes: 0, archived: 0 }) };
    });
    if (taken.changes === taken.archived) return;
    const archives: Archives = this.env.SPEND_ARCHIVE;
    const parts = Math.max(1, Math.ceil(taken.rows.length / ROWS_PER_CALL));
    for (let part = 0; part < parts; part++) {
      const rows = taken.rows.slice(part * ROWS_PER_CALL, (part + 1) * ROWS_PER_CALL);
      const sent = { day: day.startAt, version: taken.changes, part, parts, rows };
      await callWithRetry(ARCHIVE_LIMIT_MS, () => archives.getByName(archiveName(day.env, day.startAt)).putDay(sent));
    }
    this.#transact(() => this.#store.noteArchived(taken.changes));
  }

  #dropMinutes(): void {
    if (this.#hasDroppedMinutes) return;
    this.#transact(() => this.#store.dropMinutes());
    this.#hasDroppedMinutes = true;
  }

  /** Names of the tags that are summed now. Rejects where they were never read: no row may miss one. */
  async #tagNames(): Promise<readonly string[]> {
    const now = Date.now();
    if (this.#tags !== null && now - this.#tags.at < TAGS_FRESH_MS && now >= this.#tags.at) return this.#tags.names;
    try {
      const text = await this.env.CONFIG.get(MONEY_KEY, { cacheTtl: 30 });
      const names = text === null ? [] : parseStored(MoneyRecord, text, MONEY_KEY).spend_tags;
      this.#tags = { names, at: now };
    } catch (error) {
      if (this.#tags === null) throw error;
    }
    return this.#tags?.names ?? [];
  }

  #day(): TrailDay {
    const day = parseTrailName(this.ctx.id.name ?? "");
    if (day === null) throw new Error("An object of the trail is called by `<env>:<YYYY-MM-DD>`.");
    return day;
  }

  #transact<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
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
