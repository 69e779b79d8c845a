/**
 * Usage of one day in SQL: rows per hour, kept with the day, and per minute, kept for a day longer.
 *
 * Answers are exact to the millisecond: whole hours come from their rows, and what is left at the two ends of a span is
 * counted again from its traces.
 */
import { tryParseJson } from "../../lib/json.ts";
import { type BodyFilter, bodyConditions } from "../../traces/filter.ts";
import { DAY_MS, HOUR_MS, type Span, type TrailDay } from "../calendar.ts";
import { type AttemptFacts, factsOf, NO_TOKENS } from "../counted-trace.ts";
import { GroupNames, type NameLimits, OTHER_NAMES } from "../group-names.ts";
import { type CountedFacts, summedTags, type UsageRow, UsageTally, usageOf } from "../usage.ts";
import { mergeSums, sumRows, sumUsage, type UsageQuestion, type UsageSum } from "../usage-query.ts";
import { addUsage, HOUR, hasUsage, MINUTE } from "../usage-schema.sql.ts";
import { type Layout, layoutOf } from "./store-layout.ts";

const MINUTE_MS = MINUTE * 1_000;
/** Traces that are counted from their rows at a time. */
const CHUNK = 1_000;

/** A question about a part of a day. */
export interface DayUsageQuery extends UsageQuestion {
  /** Epoch ms, inclusive. */
  readonly since: number;
  /** Epoch ms, exclusive. */
  readonly until: number;
}

/** What a stored trace is counted by. */
export interface CountedRow extends Record<string, SqlStorageValue> {
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

interface StoredTrace extends CountedRow {
  /** Empty where it was dropped. */
  body: string;
}

const COUNTED_NAMES = "seq, created_at, key_id, app, route, status, provider, attempts, unadmitted_nano_usd";
export const COUNTED = `trace.seq AS ${COUNTED_NAMES}`;
/** Traces that one object looks into for a question that its sums do not answer. */
const MAX_MATCHED = 100_000;

const storedIn = ({ from, json }: Layout): string => `SELECT ${COUNTED}, ${json} AS body FROM ${from}`;

export class UsageStore {
  readonly #sql: SqlStorage;
  readonly #names: GroupNames;
  /** All traces up to it are counted; `null`: not known in this instance. */
  #countedSeq: number | null = null;

  constructor(sql: SqlStorage, limits: NameLimits) {
    this.#sql = sql;
    this.#names = new GroupNames(sql, limits);
  }

  /** After a transaction was undone. */
  forget(): void {
    this.#names.forget();
    this.#countedSeq = null;
  }

  /** Counts what was added, by the minute, up to the trace `seq`. Belongs to the transaction that wrote the traces. */
  add(minutes: UsageTally, seq: number): void {
    this.#write(minutes);
    this.#countedSeq = Math.max(seq, this.#countedSeq ?? 0);
  }

  /** Counts traces that a release without usage has written. Belongs to a transaction. Answers the last of all traces. */
  catchUp(day: TrailDay, tagNames: readonly string[]): number {
    if (this.#countedSeq !== null) return this.#countedSeq;
    const { usage_seq } = this.#sql.exec<{ usage_seq: number }>("SELECT usage_seq FROM trail").one();
    const layout = layoutOf(this.#sql);
    let last = usage_seq;
    // Who writes clustered traces counts them at once.
    while (!layout.isClustered) {
      const text = `${storedIn(layout)} WHERE trace.seq > ? ORDER BY trace.seq LIMIT ?`;
      const rows = this.#sql.exec<StoredTrace>(text, last, CHUNK).toArray();
      const batch = new UsageBatch(tagNames);
      for (const row of rows) batch.add(countedFacts(row, day.env), row.unadmitted_nano_usd);
      this.#write(batch.tally);
      last = rows.at(-1)?.seq ?? last;
      if (rows.length < CHUNK) break;
    }
    if (last !== usage_seq) this.#sql.exec("UPDATE trail SET usage_seq = ?, changes = changes + 1", last);
    this.#countedSeq = last;
    return last;
  }

  /** What was used in a part of the day. All traces have to be counted. */
  answer(query: DayUsageQuery, day: TrailDay, tagNames: readonly string[]): UsageSum[] {
    const since = Math.max(query.since, day.startAt);
    const until = Math.min(query.until, day.startAt + DAY_MS);
    if (since >= until) return [];
    if (query.bucketMs === MINUTE_MS) {
      const whole = { grain: MINUTE, since: since - (since % MINUTE_MS), until };
      return sumUsage(this.#sql, query, whole);
    }
    const { whole, ends } = piecesOf(query, day);
    return mergeSums([
      ...ends.map((piece) => this.fromTraces(query, piece, day, tagNames)),
      ...(whole === null ? [] : [sumUsage(this.#sql, query, { grain: HOUR, ...whole })]),
    ]);
  }

  /** What the traces of a part of the day used, that are in this object. Those of less than two hours. */
  fromTraces(query: UsageQuestion, { since, until }: Span, day: TrailDay, tagNames: readonly string[]): UsageSum[] {
    const batch = new UsageBatch(tagNames);
    const text = `${storedIn(layoutOf(this.#sql))} WHERE created_at >= ? AND created_at < ?`;
    for (const row of this.#sql.exec<StoredTrace>(text, since, until)) {
      batch.add(countedFacts(row, day.env), row.unadmitted_nano_usd);
    }
    const hours = new UsageTally();
    for (const row of batch.tally.rows()) {
      hours.add({ ...row, at: row.at - (row.at % HOUR_MS), place: this.#names.limited(row.place) });
    }
    return sumRows(hours.rows(), query);
  }

  /**
   * The same of those traces alone whose JSON says what `filter` asks for; `null`: there are too many to look into.
   * Traces whose JSON was dropped match nothing.
   */
  ofMatching(
    query: UsageQuestion,
    filter: BodyFilter,
    { since, until }: Span,
    day: TrailDay,
    tagNames: readonly string[],
  ): UsageSum[] | null {
    const layout = layoutOf(this.#sql);
    const more = bodyConditions(filter, "text");
    const count = `SELECT count(*) AS found FROM (SELECT 1 FROM ${layout.from}
      WHERE created_at >= ? AND created_at < ? LIMIT ${MAX_MATCHED + 1})`;
    if (this.#sql.exec<{ found: number }>(count, since, until).one().found > MAX_MATCHED) return null;
    const text = `SELECT ${COUNTED_NAMES}, text AS body FROM (
      SELECT ${COUNTED}, ${layout.json} AS text FROM ${layout.from} WHERE created_at >= ? AND created_at < ?
    ) WHERE text <> ''${more.sql}`;
    const batch = new UsageBatch(tagNames);
    for (const row of this.#sql.exec<StoredTrace>(text, since, until, ...more.bindings)) {
      batch.add(countedFacts(row, day.env), row.unadmitted_nano_usd);
    }
    const width = query.bucketMs === MINUTE_MS ? MINUTE_MS : HOUR_MS;
    const buckets = new UsageTally();
    for (const row of batch.tally.rows()) buckets.add({ ...row, at: row.at - (row.at % width) });
    return sumRows(buckets.rows(), query);
  }

  /** Adds to the row of its hour, and to that of its minute where those are kept. */
  adjust(row: UsageRow, withMinutes: boolean): void {
    const limited = { ...row, place: this.#names.limited(row.place) };
    addUsage(this.#sql, HOUR, limited);
    if (withMinutes) addUsage(this.#sql, MINUTE, limited);
  }

  /** Those from `since` on and before `until`, epoch ms. */
  dropMinutes(since: number, until: number): void {
    this.#sql.exec("DELETE FROM usage WHERE grain = ? AND at >= ? AND at < ?", MINUTE, since, until);
  }

  #write(minutes: UsageTally): void {
    const limited = new UsageTally();
    const hours = new UsageTally();
    for (const row of minutes.rows()) {
      let place = this.#names.limited(row.place);
      const at = row.at - (row.at % HOUR_MS);
      if (!hasUsage(this.#sql, HOUR, { at, place })) {
        if (this.#names.isFull) place = { ...place, app: OTHER_NAMES };
        else this.#names.noteRow();
      }
      limited.add({ ...row, place });
      hours.add({ ...row, at, place });
    }
    for (const row of hours.rows()) addUsage(this.#sql, HOUR, row);
    for (const row of limited.rows()) addUsage(this.#sql, MINUTE, row);
  }
}

/** The part of the question that whole hours answer, and what is left of it at both ends, of this day. */
export function piecesOf(
  { bucketMs, ...query }: Pick<DayUsageQuery, "since" | "until" | "bucketMs">,
  day: TrailDay,
): { readonly whole: Span | null; readonly ends: readonly Span[] } {
  const since = Math.max(query.since, day.startAt);
  const until = Math.min(query.until, day.startAt + DAY_MS);
  if (since >= until || bucketMs === MINUTE_MS) return { whole: null, ends: [] };
  const [first, end] = [Math.ceil(since / HOUR_MS) * HOUR_MS, until - (until % HOUR_MS)];
  if (first > end) return { whole: null, ends: [{ since, until }] };
  const ends = [
    { since, until: first },
    { since: end, until },
  ];
  return { whole: { since: first, until: end }, ends: ends.filter((piece) => piece.since < piece.until) };
}

/** Gathers what traces add, by the minute. */
export class UsageBatch {
  readonly tally = new UsageTally();
  readonly #tagNames: readonly string[];

  constructor(tagNames: readonly string[]) {
    this.#tagNames = tagNames;
  }

  add(facts: CountedFacts, unadmittedNanoUsd: number, sign: 1 | -1 = 1): void {
    const minute = facts.createdAt - (facts.createdAt % MINUTE_MS);
    const tags = summedTags(facts.tags, this.#tagNames);
    for (const row of usageOf(facts, minute, tags, unadmittedNanoUsd)) this.tally.add(row, sign);
  }
}

/** What a stored trace is counted by. Where its JSON was dropped, tokens, tags and times are not known any more. */
function countedFacts(row: StoredTrace, env: string): CountedFacts {
  const facts = row.body === "" ? null : factsOf(tryParseJson(row.body), row.key_id);
  const attempts = readAttempts(row.attempts);
  // Costs are those of the row, which a correction puts right.
  if (facts !== null) return { ...facts, attempts: withCosts(facts.attempts, attempts) };
  return factsOfRow({ ...row, env }, attempts);
}

function withCosts(attempts: readonly AttemptFacts[], stored: readonly AttemptFacts[]): readonly AttemptFacts[] {
  return attempts.map((attempt, at) => ({ ...attempt, nanoUsd: stored[at]?.nanoUsd ?? attempt.nanoUsd }));
}

/** A trace by the columns that outlive its JSON. */
export function factsOfRow(
  row: Pick<StoredTrace, "created_at" | "key_id" | "app" | "route" | "status" | "provider"> & { readonly env: string },
  attempts: readonly AttemptFacts[],
): CountedFacts {
  const winner = attempts.find(({ provider }) => provider === row.provider);
  return {
    createdAt: row.created_at,
    keyId: row.key_id,
    app: row.app,
    route: row.route,
    api: "chat",
    status: row.status,
    provider: row.provider,
    model: winner?.model ?? "",
    fallback: false,
    attempts,
    usage: NO_TOKENS,
    tags: {},
    firstTokenMs: null,
    totalMs: null,
  };
}

/** Written by the store, maybe of another release: what is no attempt is left out. */
export function readAttempts(text: string): AttemptFacts[] {
  const attempts = tryParseJson(text);
  if (!Array.isArray(attempts)) return [];
  return attempts.flatMap((attempt: unknown): AttemptFacts[] => {
    const [provider, model, nanoUsd] = Array.isArray(attempt) ? (attempt as readonly unknown[]) : [];
    if (typeof provider !== "string" || typeof model !== "string") return [];
    return [{ provider, model, nanoUsd: typeof nanoUsd === "number" ? nanoUsd : null, outcome: "ok", hedged: false }];
  });
}
