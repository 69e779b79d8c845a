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
import { UNSETTLED } from "../../traces/schema.ts";
import { dayStart, type TrailDay } from "../calendar.ts";
import { factsOf, type TraceFacts } from "../counted-trace.ts";
import { Tally } from "../tally.ts";
import { addTally, hasTables, migrate } from "../trace-index-schema.sql.ts";
import type {
  DayEvidenceQuery,
  DayFacetsQuery,
  DayList,
  DayListQuery,
  EvidenceCounts,
  TrailBatch,
  TrailRow,
} from "../types.ts";
import type { UsageRow } from "../usage.ts";
import type { UsageSum } from "../usage-query.ts";
import { HOUR, readUsage } from "../usage-schema.sql.ts";
import { type AdjustmentBatch, adjustedRow, noteRepriced } from "./store-adjust.ts";
import { eraseIn } from "./store-erase.ts";
import { evidenceIn, NO_EVIDENCE } from "./store-evidence.ts";
import { facetsIn, listIn } from "./store-list.ts";
import { countAttempts, type DayMetrics, metricsIn } from "./store-metrics.ts";
import { type DayUsageQuery, factsOfRow, readAttempts, UsageBatch, UsageStore } from "./store-usage.ts";

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

const LIMITS: StoreLimits = { bodies: 200_000, slack: 2_000, answerLength: 4_000_000, names: 2_000, rows: 50_000 };

const INSERT_TRACE = `
  INSERT INTO trace
  (id, created_at, key_id, app, route, status, provider, attempts, unadmitted_nano_usd, unsettled_attempts)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`;
const DELETE_UNSETTLED = `
  DELETE FROM trace WHERE id = ?1 AND unsettled_attempts > 0 AND (?2 = 0 OR ?2 > unsettled_attempts)
  RETURNING seq, created_at, key_id, app, route, status, provider, attempts, unadmitted_nano_usd`;

interface AddedRow {
  readonly seq: number;
  /** 1 where it took the place of a row that could be listed. */
  readonly droppedBodies: number;
}

interface UnsettledRow extends Record<string, SqlStorageValue> {
  seq: number;
  created_at: number;
  key_id: string;
  app: string;
  route: string;
  status: string;
  provider: string;
  attempts: string;
  unadmitted_nano_usd: number;
}

interface BodyState extends Record<string, SqlStorageValue> {
  bodies_since: number;
  bodies: number;
}

export class TrailStore {
  readonly #sql: SqlStorage;
  readonly #limits: StoreLimits;
  readonly #usage: UsageStore;
  #hasTables = false;

  /** Brings tables that are there up to date: run it inside a transaction. */
  constructor(sql: SqlStorage, limits: StoreLimits = LIMITS) {
    this.#sql = sql;
    this.#limits = limits;
    this.#usage = new UsageStore(sql, limits);
    this.lookAgain();
    if (this.#hasTables) migrate(sql);
  }

  /** After everything was deleted, or a transaction undone. */
  lookAgain(): void {
    this.#hasTables = hasTables(this.#sql);
    this.#usage.forget();
  }

  /**
   * Writes what is new of a batch and returns the numbers of the rows that are no trace of this day. To be run inside
   * a transaction. `tagNames`: tags whose spend is summed.
   */
  ingest(batch: TrailBatch, day: TrailDay, tagNames: readonly string[] = []): number[] {
    this.#makeTables(day);
    const tally = new Tally(day.startAt);
    let counted = this.#usage.catchUp(day, tagNames);
    const usage = new UsageBatch(tagNames);
    let isChanged = false;
    const refused: number[] = [];
    const { bodies_since, bodies } = this.#sql.exec<BodyState>("SELECT bodies_since, bodies FROM trail").one();
    let addedBodies = 0;
    for (const row of batch.rows) {
      const { seq, trace, unadmittedNanoUsd } = row;
      const facts = factsOf(tryParseJson(trace), batch.keyId);
      if (facts === null || facts.env !== day.env || dayStart(facts.createdAt) !== day.startAt) {
        refused.push(seq);
        continue;
      }
      const added = this.#insert(facts, row) ?? this.#replace(facts, row, usage);
      if (added === null) continue;
      addedBodies -= added.droppedBodies;
      counted = Math.max(counted, added.seq);
      isChanged = true;
      tally.add(facts);
      usage.add(facts, unadmittedNanoUsd);
      countAttempts(this.#sql, facts.attempts, 1);
      if (facts.createdAt < bodies_since) continue;
      this.#sql.exec("INSERT INTO body (seq, trace) VALUES (?, ?)", added.seq, trace);
      addedBodies++;
    }
    if (!isChanged) return refused;
    addTally(this.#sql, tally);
    this.#usage.add(usage, counted);
    this.#keepNewest({ bodies_since, bodies: bodies + addedBodies }, counted);
    return refused;
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

  dropMinutes(): void {
    this.#usage.dropMinutes();
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
      for (const { id, repricedUsd } of adjustment.traces) {
        if (repricedUsd !== null) noteRepriced(this.#sql, id, repricedUsd, adjustment);
      }
      this.#sql.exec("UPDATE trail SET changes = changes + 1");
    }
  }

  list(query: DayListQuery): DayList {
    return this.#hasTables ? listIn(this.#sql, query, this.#limits.answerLength) : { rows: [], isCut: false };
  }

  metrics(): DayMetrics {
    return this.#hasTables ? metricsIn(this.#sql) : { rows: [], attempts: [] };
  }

  facets(query: DayFacetsQuery): FacetRow[] {
    return this.#hasTables ? facetsIn(this.#sql, query) : [];
  }

  /** To be run inside a transaction: usage of a release without its table is counted first. */
  usage(query: DayUsageQuery, day: TrailDay, tagNames: readonly string[] = []): UsageSum[] {
    if (!this.#hasTables) return [];
    this.#usage.catchUp(day, tagNames);
    return this.#usage.answer(query, day, tagNames);
  }

  /** The traces of one key, or of all: see `eraseIn`. */
  erase(keyId: string | null): void {
    if (this.#hasTables) eraseIn(this.#sql, keyId);
  }

  evidence(query: DayEvidenceQuery, day: TrailDay): EvidenceCounts {
    return this.#hasTables ? evidenceIn(this.#sql, query, day) : NO_EVIDENCE;
  }

  #makeTables(day: TrailDay): void {
    if (this.#hasTables) return;
    migrate(this.#sql);
    this.#sql.exec(
      "INSERT OR IGNORE INTO trail (singleton, day_start_at, bodies_since, bodies) VALUES (1, ?, 0, 0)",
      day.startAt,
    );
    this.#hasTables = true;
  }

  /** `null` for a trace that is known. */
  #insert(facts: TraceFacts, { unadmittedNanoUsd, unsettledAttempts = 0 }: TrailRow): AddedRow | null {
    const attempts = facts.attempts.map(({ provider, model, nanoUsd }) => [provider, model, nanoUsd]);
    const [row] = this.#sql
      .exec<{ seq: number }>(
        INSERT_TRACE,
        facts.id,
        facts.createdAt,
        facts.keyId,
        facts.app,
        facts.route,
        facts.status,
        facts.provider,
        JSON.stringify(attempts),
        unadmittedNanoUsd,
        unsettledAttempts,
      )
      .toArray();
    return row === undefined ? null : { seq: row.seq, droppedBodies: 0 };
  }

  /** In place of a row that says less; `null` where the one that is known stays. */
  #replace(facts: TraceFacts, row: TrailRow, usage: UsageBatch): AddedRow | null {
    const [known] = this.#sql.exec<UnsettledRow>(DELETE_UNSETTLED, facts.id, row.unsettledAttempts ?? 0).toArray();
    if (known === undefined) return null;
    const attempts = readAttempts(known.attempts).map((attempt) => ({ ...attempt, outcome: UNSETTLED }));
    usage.add(factsOfRow({ ...known, env: facts.env }, attempts), known.unadmitted_nano_usd, -1);
    countAttempts(
      this.#sql,
      attempts.map((attempt) => ({ ...attempt, hedged: false })),
      -1,
    );
    const bodies = this.#sql.exec("DELETE FROM body WHERE seq = ? RETURNING seq", known.seq).toArray();
    const added = this.#insert(facts, row);
    return added === null ? null : { ...added, droppedBodies: bodies.length };
  }

  /** Notes how many bodies there are now, and the last trace. Above the limit, drops all bodies but the newest. */
  #keepNewest(state: BodyState, counted: number): void {
    const after = state.bodies > this.#limits.bodies + this.#limits.slack ? this.#trim(state) : state;
    this.#sql.exec(
      "UPDATE trail SET bodies_since = ?, bodies = ?, usage_seq = ?, changes = changes + 1",
      ...[after.bodies_since, after.bodies, counted],
    );
  }

  #trim({ bodies_since, bodies }: BodyState): BodyState {
    const { created_at: since } = this.#sql
      .exec<{ created_at: number }>(
        "SELECT created_at FROM trace ORDER BY created_at DESC LIMIT 1 OFFSET ?",
        this.#limits.bodies - 1,
      )
      .one();
    const dropped = this.#sql.exec(
      "DELETE FROM body WHERE seq IN (SELECT seq FROM trace WHERE created_at >= ? AND created_at < ?) RETURNING seq",
      bodies_since,
      since,
    );
    return { bodies_since: since, bodies: bodies - dropped.toArray().length };
  }
}
