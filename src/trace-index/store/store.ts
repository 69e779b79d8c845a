/**
 * One day of one environment in SQL: what is written, and what is answered.
 *
 * Every trace is counted once, by its id, however often it is sent; an unsettled one is replaced by its
 * settlement, and its sums are put right. The JSON of the oldest is dropped when a day has
 * more than is worth listing; the row that makes a trace repeatable stays until the whole day goes, so that nothing is
 * counted twice and a part of a day still adds up to the nano-dollar.
 */
import { tryParseJson } from "../../lib/json.ts";
import type { FacetRow } from "../../traces/filter.ts";
import { DAY_MS, dayStart, HOUR_MS, type Shard, type Span, type TrailDay } from "../calendar.ts";
import { factsOf } from "../counted-trace.ts";
import type { NumberedDelta, TrailDelta } from "../spread/delta.ts";
import { Directory } from "../spread/directory.ts";
import { Tally } from "../tally.ts";
import { addEvidence, hasTables, migrate } from "../trace-index-schema.sql.ts";
import type { DayEvidenceQuery, DayFacetsQuery, DayList, DayListQuery, EvidenceCounts, TrailBatch } from "../types.ts";
import { type UsageRow, UsageTally } from "../usage.ts";
import type { UsageQuestion, UsageSum } from "../usage-query.ts";
import { HOUR, readUsage } from "../usage-schema.sql.ts";
import { type AdjustmentBatch, adjustedRow, type CostAdjustment, noteRepriced } from "./store-adjust.ts";
import { eraseIn } from "./store-erase.ts";
import { evidenceIn, NO_EVIDENCE } from "./store-evidence.ts";
import { facetsOfDay } from "./store-facets.ts";
import { cluster } from "./store-layout.ts";
import { facetsIn, hoursOf, listIn } from "./store-list.ts";
import { AttemptTally, addAttempts, type DayMetrics, metricsIn } from "./store-metrics.ts";
import { type DayUsageQuery, UsageBatch, UsageStore } from "./store-usage.ts";
import { TraceRows } from "./trace-rows.ts";

export interface StoreLimits {
  /** Traces of a day that can be listed. */
  readonly bodies: number;
  /** How many more there may be before the oldest are dropped. */
  readonly slack: number;
  /** Characters of JSON in one answer: a caller holds several of them, and 32 MiB at most may cross to it. */
  readonly answerLength: number;
  /** Apps, routes or models of a day that have sums of their own. */
  readonly names: number;
  /** Rows of usage of a day; beyond them apps are counted together. */
  readonly rows: number;
}

const LIMITS: StoreLimits = { bodies: 2_000_000, slack: 2_000, answerLength: 4_000_000, names: 2_000, rows: 50_000 };
/** A shard may be so far behind with its sums. */
const UNSUMMED_MS = 600_000;

/** Numbers go on behind what was sent. */
const ADD_PENDING = `
  INSERT INTO pending (seq, delta)
  SELECT max(coalesce((SELECT max(seq) FROM pending), 0), (SELECT archived FROM trail)) + 1, ?`;

interface Taken {
  /** Numbers of rows that are no trace of the day. */
  readonly refused: number[];
  /** `null`: nothing was new. */
  readonly delta: TrailDelta | null;
  /** The last trace that is counted then. */
  readonly counted: number;
}

export class TrailStore {
  readonly directory: Directory;
  readonly #sql: SqlStorage;
  readonly #limits: StoreLimits;
  readonly #usage: UsageStore;
  #hasTables = false;
  readonly #rows: TraceRows;

  /** Brings tables that are there up to date: run it inside a transaction. */
  constructor(sql: SqlStorage, limits: StoreLimits = LIMITS) {
    this.#sql = sql;
    this.#limits = limits;
    this.#usage = new UsageStore(sql, limits);
    this.#rows = new TraceRows(sql, limits);
    this.directory = new Directory(sql, Date.now());
    this.lookAgain();
    if (this.#hasTables) migrate(sql);
  }

  /** After everything was deleted, or a transaction undone. */
  lookAgain(): void {
    this.#hasTables = hasTables(this.#sql);
    this.#rows.lookAgain();
    this.directory.forget();
    this.#usage.forget();
  }

  /**
   * Writes what is new of a batch and returns the numbers of the rows that are no trace of this day. To be run inside
   * a transaction. `tagNames`: tags whose spend is summed.
   */
  ingest(batch: TrailBatch, day: TrailDay, tagNames: readonly string[] = []): number[] {
    const { refused, delta, counted } = this.#take([batch], day, tagNames);
    if (delta !== null) this.#add(delta, counted);
    return refused;
  }

  /** The same in a shard: what the traces add to the sums of the day is kept until its object has added it. */
  ingestInShard(batches: readonly TrailBatch[], day: TrailDay, tagNames: readonly string[]): number[] {
    const { refused, delta } = this.#take(batches, day, tagNames);
    if (delta !== null) this.#sql.exec(ADD_PENDING, JSON.stringify(delta));
    return refused;
  }

  /** What the object of the day has still to add, the oldest first. */
  pending(limit: number): NumberedDelta[] {
    if (!this.#hasTables) return [];
    return this.#sql
      .exec<{ seq: number; delta: string }>("SELECT seq, delta FROM pending ORDER BY seq LIMIT ?", limit)
      .toArray()
      .flatMap(({ seq, delta }) => {
        // Written above.
        const value = tryParseJson(delta) as TrailDelta | undefined;
        return value === undefined ? [] : [{ seq, delta: value }];
      });
  }

  get hasPending(): boolean {
    return this.pending(1).length > 0;
  }

  forgetPending(upTo: number): void {
    this.#sql.exec("DELETE FROM pending WHERE seq <= ?", upTo);
    this.noteArchived(upTo);
  }

  /** Adds what a shard has sent, each once. Belongs to a transaction. Answers the last that is added. */
  absorb(shard: Shard, deltas: readonly NumberedDelta[], day: TrailDay, tagNames: readonly string[]): number {
    this.#makeTables(day);
    const counted = this.#usage.catchUp(day, tagNames);
    const usage = new UsageTally();
    let added = this.directory.addedOf(shard);
    const before = added;
    for (const { seq, delta } of deltas) {
      if (seq <= added) continue;
      added = seq;
      for (const row of delta.usage) usage.add(row);
      addEvidence(this.#sql, delta);
      addAttempts(this.#sql, delta.attempts);
    }
    if (added === before) return added;
    this.#usage.add(usage, counted);
    this.directory.noteAdded(shard, added);
    this.#sql.exec("UPDATE trail SET changes = changes + 1");
    return added;
  }

  /** Makes the tables of a shard. Belongs to a transaction. */
  open(day: TrailDay, shards = 0): void {
    const isNew = !this.#hasTables;
    this.#makeTables(day);
    if (isNew) this.directory.begin(day.startAt, shards);
  }

  /** As `TraceRows.strip`. */
  strip(until: number): boolean {
    return this.#hasTables && this.#rows.strip(until);
  }

  bodiesSince(): number | null {
    return this.#hasTables ? this.#rows.bodiesSince() : null;
  }

  /** Traces that can be listed. */
  get bodies(): number {
    return this.#hasTables ? this.#rows.state().bodies : 0;
  }

  get hasTables(): boolean {
    return this.#hasTables;
  }

  /** Shards that may have what is asked for, the newest hour first: what came lately may not be summed yet. */
  shardsOf(query: DayFacetsQuery, day: TrailDay, now: number): Shard[] {
    const span = { since: query.since ?? day.startAt, until: query.until ?? day.startAt + DAY_MS };
    const shards = this.directory.shards(span, query.key);
    const hours = shards.length === 0 ? null : hoursOf(this.#sql, query, day);
    return hours === null
      ? shards
      : shards.filter(({ hourAt }) => hours.includes(hourAt) || hourAt + HOUR_MS > now - UNSUMMED_MS);
  }

  /** Says on traces what they cost now. Belongs to a transaction. */
  noteRepriced(adjustments: readonly CostAdjustment[]): void {
    if (!this.#hasTables) return;
    for (const adjustment of adjustments) {
      for (const { id, repricedUsd } of adjustment.traces) {
        if (repricedUsd !== null) noteRepriced(this.#sql, this.#rows.layout, id, repricedUsd, adjustment);
      }
    }
  }

  #add(delta: TrailDelta, counted: number): void {
    const usage = new UsageTally();
    for (const row of delta.usage) usage.add(row);
    this.#usage.add(usage, counted);
    addEvidence(this.#sql, delta);
    addAttempts(this.#sql, delta.attempts);
  }

  #take(batches: readonly TrailBatch[], day: TrailDay, tagNames: readonly string[]): Taken {
    this.#makeTables(day);
    const tally = new Tally(day.startAt);
    let counted = this.#usage.catchUp(day, tagNames);
    const usage = new UsageBatch(tagNames);
    let isChanged = false;
    const refused: number[] = [];
    const attempts = new AttemptTally();
    const { bodies_since, bodies } = this.#rows.state();
    let addedBodies = 0;
    for (const [keyId, row] of batches.flatMap((batch) => batch.rows.map((each) => [batch.keyId, each] as const))) {
      const { seq, trace, unadmittedNanoUsd } = row;
      const facts = factsOf(tryParseJson(trace), keyId);
      if (facts === null || facts.env !== day.env || dayStart(facts.createdAt) !== day.startAt) {
        refused.push(seq);
        continue;
      }
      const json = facts.createdAt < bodies_since ? "" : trace;
      const added = this.#rows.add(facts, row, json, usage, attempts);
      if (added === null) continue;
      addedBodies += added.bodies;
      counted = Math.max(counted, added.seq);
      isChanged = true;
      tally.add(facts);
      usage.add(facts, unadmittedNanoUsd);
      attempts.add(facts.attempts);
    }
    if (!isChanged) return { refused, delta: null, counted };
    this.#rows.keepNewest({ bodies_since, bodies: bodies + addedBodies }, counted);
    const evidence = { counts: [...tally.counts()], latencies: [...tally.latencies()], errors: [...tally.errors()] };
    const delta = { usage: [...usage.tally.rows()], ...evidence, attempts: attempts.counts() };
    return { refused, delta, counted };
  }

  /** First ms of the day; `null` while nothing was ever written. */
  dayStartAt(): number | null {
    if (!this.#hasTables) return null;
    const [row] = this.#sql.exec<{ day_start_at: number }>("SELECT day_start_at FROM trail").toArray();
    return row?.day_start_at ?? null;
  }

  /** Counts whose changes have to reach the archive, and those that have; `null` while nothing was ever written. */
  archiving(): { readonly changes: number; readonly archived: number } | null {
    if (!this.#hasTables) return null;
    const query = "SELECT changes, archived FROM trail";
    return this.#sql.exec<{ changes: number; archived: number }>(query).toArray()[0] ?? null;
  }

  /** The rows of the day as the archive keeps them. To be run inside a transaction. */
  archiveRows(day: TrailDay, tagNames: readonly string[]): UsageRow[] {
    this.#usage.catchUp(day, tagNames);
    return [...readUsage(this.#sql, HOUR, day.startAt)];
  }

  noteArchived(changes: number): void {
    this.#sql.exec("UPDATE trail SET archived = max(archived, ?)", changes);
  }

  dropMinutes(since: number, until: number): void {
    this.#usage.dropMinutes(since, until);
  }

  /** Adds corrections of booked costs, each once by the number that its ledger gave it. Run inside a transaction. */
  adjust(
    { keyId, adjustments }: AdjustmentBatch,
    day: TrailDay,
    tagNames: readonly string[],
    withMinutes: boolean,
  ): void {
    this.#makeTables(day);
    this.#usage.catchUp(day, tagNames);
    for (const adjustment of adjustments) {
      const known = this.#sql.exec(
        "INSERT OR IGNORE INTO adjusted (key_id, seq) VALUES (?, ?) RETURNING seq",
        ...[keyId, adjustment.seq],
      );
      if (known.toArray().length === 0) continue;
      this.#usage.adjust(adjustedRow(adjustment, keyId, tagNames), withMinutes);
      this.noteRepriced([adjustment]);
      this.#sql.exec("UPDATE trail SET changes = changes + 1");
    }
  }

  /** To be run inside a transaction, as `usage`. `day`: `null` in a shard, which has no sums to look into first. */
  list(query: DayListQuery, day: TrailDay | null, tagNames: readonly string[] = []): DayList {
    if (!this.#hasTables) return { rows: [], end: null };
    if (day !== null) this.#usage.catchUp(day, tagNames);
    return listIn(this.#sql, this.#rows.layout, query, day, this.#limits.answerLength);
  }

  metrics(): DayMetrics {
    return this.#hasTables ? metricsIn(this.#sql) : { rows: [], attempts: [] };
  }

  /** To be run inside a transaction, as `usage`. `null`: there are too many traces to count. */
  facets(query: DayFacetsQuery, day: TrailDay, tagNames: readonly string[] = []): FacetRow[] | null {
    if (!this.#hasTables) return [];
    this.#usage.catchUp(day, tagNames);
    const hasShards = this.shardsOf(query, day, Date.now()).length > 0;
    return facetsOfDay(this.#sql, this.#rows.layout, query, day, hasShards);
  }

  /** Those of a shard, counted one by one. */
  facetsOfTraces(query: DayFacetsQuery): FacetRow[] | null {
    return this.#hasTables ? facetsIn(this.#sql, this.#rows.layout, query) : [];
  }

  /** To be run inside a transaction: usage of a release without its table is counted first. */
  usage(query: DayUsageQuery, day: TrailDay, tagNames: readonly string[] = []): UsageSum[] {
    if (!this.#hasTables) return [];
    this.#usage.catchUp(day, tagNames);
    return this.#usage.answer(query, day, tagNames);
  }

  /** See `UsageStore.ofMatching`. */
  usageOfMatching(...asked: Parameters<UsageStore["ofMatching"]>): UsageSum[] | null {
    return this.#hasTables ? this.#usage.ofMatching(...asked) : [];
  }

  /** What the traces of a part of the day used, that are in this object. */
  usageOfTraces(query: UsageQuestion, span: Span, day: TrailDay, tagNames: readonly string[]): UsageSum[] {
    return this.#hasTables ? this.#usage.fromTraces(query, span, day, tagNames) : [];
  }

  /** The traces of one key, or of all: see `eraseIn`. */
  erase(keyId: string | null): void {
    if (this.#hasTables) eraseIn(this.#sql, this.#rows.layout, keyId);
  }

  evidence(query: DayEvidenceQuery, day: TrailDay): EvidenceCounts {
    return this.#hasTables ? evidenceIn(this.#sql, query, day) : NO_EVIDENCE;
  }

  #makeTables(day: TrailDay): void {
    if (this.#hasTables) return;
    migrate(this.#sql);
    cluster(this.#sql);
    this.#sql.exec(
      "INSERT OR IGNORE INTO trail (singleton, day_start_at, bodies_since, bodies) VALUES (1, ?, 0, 0)",
      day.startAt,
    );
    this.#hasTables = true;
  }
}
