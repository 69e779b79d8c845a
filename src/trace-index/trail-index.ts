/**
 * TrailIndex: one Durable Object per environment and UTC day, named `<env>:<YYYY-MM-DD>`. It holds what spans keys:
 * traces to list and filter, usage by the hour and the minute, and counts per route version.
 *
 * A copy, never the truth: the ledgers of the keys feed it, at least once and in any order, and can feed it again from
 * nothing. A batch is one transaction and a trace counts once, however often and by whichever call it is sent. When its
 * day is over the object copies its usage to the archive of the month, again after every later change, and deletes itself
 * when its day can no longer be asked for.
 *
 * While an environment is busy, shards take its traces: objects of this class by the hour and a hash of the key. The
 * object of the day decides when and how many, knows them all, and has the sums of all.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction, settingsOf } from "../config.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { callWithRetry } from "../durable/call.ts";
import { log } from "../lib/log.ts";
import { parseStored } from "../lib/stored.ts";
import { MONEY_KEY, MoneyRecord } from "../prices/book.ts";
import type { BodyFilter, FacetRow } from "../traces/filter.ts";
import {
  archiveName,
  DAY_MS,
  dayStart,
  expiresAt,
  HOUR_MS,
  parseShardName,
  parseTrailName,
  type Shard,
  type TrailDay,
  trailName,
} from "./calendar.ts";
import { usageOfMatching } from "./matching-usage.ts";
import type { NumberedDelta } from "./spread/delta.ts";
import { placeOf, type Spread } from "./spread/plan.ts";
import { SEND_AFTER_MS, ShardDesk, timeOf } from "./spread/shard-desk.ts";
import { Siblings } from "./spread/siblings.ts";
import { TrailStore } from "./store/store.ts";
import type { AdjustmentBatch } from "./store/store-adjust.ts";
import type { DayMetrics } from "./store/store-metrics.ts";
import { type DayUsageQuery, piecesOf } from "./store/store-usage.ts";
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
import { mergeSums, type UsageQuestion, type UsageSum } from "./usage-query.ts";

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
/** Days for which JSON lives as long as its object. */
const KEPT_WITH_OBJECT = 30;
const ARCHIVE_LIMIT_MS = 20_000;
const ROWS_PER_CALL = 1_000;
/** Shards that one question is handed on to. */
const MAX_SHARDS_ASKED = 256;
/** What is deleted by age is deleted in transactions of this many ms of the day, so many of them an alarm. */
const SLICE_MS = 600_000;
const SLICES_PER_ALARM = 12;

/** The archive as this object uses it. */
interface Archives {
  getByName(name: string): { putDay(day: ArchivedDay): Promise<void> };
}

export class TrailIndex extends DurableObject<Cloudflare.Env> {
  readonly #store: TrailStore;
  readonly #alarms: AlarmSchedule;
  #tags: { readonly names: readonly string[]; readonly at: number } | null = null;
  #hasDroppedMinutes = false;
  readonly #traceDays: number;
  readonly #siblings: Siblings;
  /** `null` in the object of a day. */
  readonly #desk: ShardDesk | null;

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#store = ctx.storage.transactionSync(() => new TrailStore(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
    this.#siblings = new Siblings(env.TRAIL_INDEX);
    this.#traceDays = settingsOf(env).traceDays;
    const place = parseShardName(ctx.id.name ?? "");
    this.#desk =
      place === null
        ? null
        : new ShardDesk(this.#store, place.shard, place.day, {
            day: () => this.#siblings.get(trailName(place.day.env, place.day.startAt)),
            tagNames: () => this.#tagNames(),
            transact: (work) => this.#transact(work),
            ringBy: (at) => this.#alarms.ringBy(at),
          });
  }

  /**
   * Takes a ledger's rows, each trace once however often it is sent. A row that can never be taken counts as taken, so
   * that it does not hold up those behind it: it is logged. So is a day that is no longer kept.
   */
  async ingest(batch: TrailBatch): Promise<TrailReceipt> {
    const day = this.#day();
    const upTo = batch.rows.reduce((largest, { seq }) => Math.max(largest, seq), 0);
    if (Date.now() >= expiresAt(day.startAt)) return { upTo };
    if (this.#desk !== null) return this.#desk.ingest(batch);
    const tagNames = await this.#tagNames();
    await this.#begin(day);
    const spread = this.#settle(batch, day);
    const own = trailName(day.env, day.startAt);
    const places = Map.groupBy(batch.rows, ({ trace }) => {
      const at = spread.steps.length === 0 ? null : timeOf(trace);
      return at === null || dayStart(at) !== day.startAt ? own : placeOf(spread, day.env, batch.keyId, at);
    });
    for (const [name, rows] of places) {
      const part = { keyId: batch.keyId, rows };
      if (name !== own) await this.#siblings.get(name).ingest(part);
      else this.#take(part, day, tagNames);
    }
    await this.#alarms.ringBy(this.#dueAt(day, Date.now()));
    return { upTo, spread };
  }

  #take(batch: TrailBatch, day: TrailDay, tagNames: readonly string[]): void {
    const refused = this.#transact(() => this.#store.ingest(batch, day, tagNames));
    if (refused.length > 0) {
      log({ event: "trail_rows_refused", key_id: batch.keyId, rows: refused.length, first_seq: refused[0] });
    }
  }

  /** Makes the tables of a new day: a busy environment goes on with as many shards as it had. */
  async #begin(day: TrailDay): Promise<void> {
    if (this.#store.hasTables) return;
    const isToday = dayStart(Date.now()) === day.startAt;
    const before = trailName(day.env, day.startAt - DAY_MS);
    const shards = isToday
      ? await this.#siblings
          .get(before)
          .lastShards()
          .catch(() => 0)
      : 0;
    this.#transact(() => this.#store.open(day, shards));
  }

  /** Where the traces of a batch go, which is settled for their times now. */
  #settle({ rows }: TrailBatch, day: TrailDay): Spread {
    const { directory } = this.#store;
    const now = Date.now();
    directory.noteCall(rows.length, now);
    this.#transact(() => directory.decide(now, this.#store.bodies));
    const last = Math.max(0, ...rows.map(({ trace }) => timeOf(trace) ?? 0));
    return directory.spread(now, Math.min(last, day.startAt + DAY_MS));
  }

  /** How many shards the day had at last. */
  async lastShards(): Promise<number> {
    return this.#store.hasTables ? this.#store.directory.lastShards : 0;
  }

  /** A shard asks where traces go up to a time, and is known from then on. */
  async join(shard: Shard, neededAt: number): Promise<Spread> {
    const day = this.#day();
    await this.#begin(day);
    const now = Date.now();
    return this.#transact(() => {
      this.#store.directory.join(shard);
      return this.#store.directory.spread(now, neededAt);
    });
  }

  /** Adds what a shard has sent, each once, and answers the last that is added. `load`: how busy it is. */
  async absorb(shard: Shard, deltas: readonly NumberedDelta[], load: number): Promise<number> {
    const day = this.#day();
    const tagNames = await this.#tagNames();
    await this.#begin(day);
    const now = Date.now();
    this.#store.directory.noteLoad(shard, load, now);
    const added = this.#transact(() => {
      this.#store.directory.decide(now, this.#store.bodies);
      return this.#store.absorb(shard, deltas, day, tagNames);
    });
    await this.#alarms.ringBy(this.#dueAt(day, now));
    return added;
  }

  async list(query: DayListQuery): Promise<DayList> {
    const day = this.#day();
    if (!this.#store.hasTables) return { rows: [], end: null };
    const tagNames = await this.#tagNames();
    const list = this.#transact(() => this.#store.list(query, this.#desk === null ? day : null, tagNames));
    const shards = this.#desk === null ? this.#store.shardsOf(query, day, Date.now()) : [];
    return shards.length === 0 ? list : { ...list, shards };
  }

  async metrics(): Promise<DayMetrics> {
    return this.#store.metrics();
  }

  /** `null`: there are too many traces to count. */
  async facets(query: DayFacetsQuery): Promise<FacetRow[] | null> {
    if (this.#desk !== null) return this.#store.facetsOfTraces(query);
    const day = this.#day();
    const tagNames = await this.#tagNames();
    const own = this.#transact(() => this.#store.facets(query, day, tagNames));
    const shards = own === null && this.#store.hasTables ? this.#store.shardsOf(query, day, Date.now()) : [];
    // What the sums of usage do not say is counted one by one, as far as that can be.
    if (own !== null || shards.length === 0 || shards.length > MAX_SHARDS_ASKED) return own;
    const here = this.#store.facetsOfTraces(query);
    const found = here === null ? [] : await this.#siblings.ask(day.env, shards, (shard) => shard.facets(query));
    return here !== null && found.every((rows) => rows !== null) ? [here, ...found].flat() : null;
  }

  /** What was used in a part of the day, in groups. */
  async usage(query: DayUsageQuery): Promise<UsageSum[]> {
    const day = this.#day();
    const tagNames = await this.#tagNames();
    const own = this.#transact(() => this.#store.usage(query, day, tagNames));
    if (!this.#store.hasTables) return own;
    const { directory } = this.#store;
    const ends = piecesOf(query, day).ends.map((end) => [end, directory.shards(end, query.key)] as const);
    if (ends.every(([, shards]) => shards.length === 0)) return own;
    const parts = await Promise.all(
      ends.map(([end, shards]) =>
        this.#siblings.ask(day.env, shards, (shard) => shard.usageOfTraces(query, end.since, end.until)),
      ),
    );
    return mergeSums([own, ...parts.flat()]);
  }

  async usageOfMatching(query: DayUsageQuery, filter: BodyFilter): Promise<UsageSum[] | null> {
    const place = { store: this.#store, day: this.#day(), tagNames: await this.#tagNames() };
    return usageOfMatching({ ...place, siblings: this.#desk === null ? this.#siblings : null }, query, filter);
  }

  /** What the traces of a part of the day used that are in this object. */
  async usageOfTraces(query: UsageQuestion, since: number, until: number): Promise<UsageSum[]> {
    const tagNames = await this.#tagNames();
    return this.#store.usageOfTraces(query, { since, until }, this.#day(), tagNames);
  }

  async evidence(query: DayEvidenceQuery): Promise<EvidenceCounts> {
    return this.#store.evidence(query, this.#day());
  }

  /** Erases what the requests of a key said of themselves; sums stay. */
  async erase(keyId: string): Promise<void> {
    // What a shard has not sent yet still holds tags: it is added to the sums of the day first, and erased there.
    await this.#desk?.send();
    if (this.#desk === null && this.#store.hasTables) {
      const day = this.#day();
      const whole = { since: day.startAt, until: day.startAt + DAY_MS };
      await this.#siblings.ask(day.env, this.#store.directory.shards(whole, keyId), (shard) => shard.erase(keyId));
    }
    this.#transact(() => this.#store.erase(keyId));
  }

  /** In a shard: says on traces what they cost now. Repeatable. */
  async noteRepriced(batch: AdjustmentBatch): Promise<void> {
    this.#transact(() => this.#store.noteRepriced(batch.adjustments));
  }

  /** Takes corrections of booked costs, each once however often it is sent. */
  async adjust(batch: AdjustmentBatch): Promise<void> {
    const day = this.#day();
    const now = Date.now();
    const tagNames = await this.#tagNames();
    const withMinutes = now < day.startAt + DAY_MS + MINUTES_KEPT_MS;
    const hours = Map.groupBy(batch.adjustments, ({ at }) => at);
    for (const [at, adjustments] of this.#store.hasTables ? hours : []) {
      const shards = this.#store.directory.shards({ since: at, until: at + 1 }, batch.keyId);
      await this.#siblings.ask(day.env, shards, (shard) => shard.noteRepriced({ ...batch, adjustments }));
    }
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
      if (this.#desk !== null) await this.#desk.send();
      const now = Date.now();
      if (this.#desk === null && now >= startAt + DAY_MS) await this.#archive(day);
      if (this.#desk === null && now >= startAt + DAY_MS + MINUTES_KEPT_MS) this.#dropMinutes();
      this.#strip(now);
      if (now >= expiresAt(startAt)) await this.#forget();
      else await this.#alarms.setTo(this.#dueAt(day, now));
    } catch {
      // Storage or an archive that fails may work again later; an error would only use up the platform's own retries.
      await this.#alarms.setTo(Date.now() + ALARM_RETRY_MS).catch(() => {});
    }
  }

  /** When the next alarm has something to do. */
  #dueAt(day: TrailDay, now: number): number {
    // What came while an alarm ran is not to wait for the end of the object.
    const sendsAt = this.#store.hasPending ? now + SEND_AFTER_MS : expiresAt(day.startAt);
    const closesAt = this.#desk === null ? this.#closesAt(day, now) : sendsAt;
    return Math.min(closesAt, Math.max(now + 1_000, this.#stripsAt()));
  }

  /** When the JSON of the next hour is too old. */
  #stripsAt(): number {
    const since = this.#store.bodiesSince();
    const isKept = since === null || this.#traceDays >= KEPT_WITH_OBJECT;
    return isKept ? Number.POSITIVE_INFINITY : since + HOUR_MS + this.#traceDays * DAY_MS;
  }

  #strip(now: number): void {
    for (let slice = 0; slice < SLICES_PER_ALARM && now >= this.#stripsAt(); slice++) {
      this.#transact(() => this.#store.strip(Math.floor((now - this.#traceDays * DAY_MS) / HOUR_MS) * HOUR_MS));
    }
  }

  #closesAt({ startAt }: TrailDay, now: number): number {
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
    const startAt = this.#day().startAt;
    for (let at = startAt; at < startAt + DAY_MS; at += SLICE_MS) {
      this.#transact(() => this.#store.dropMinutes(at, at + SLICE_MS));
    }
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
    const name = this.ctx.id.name ?? "";
    const day = parseTrailName(name) ?? parseShardName(name)?.day ?? null;
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
