/**
 * The traces of one object, newest first.
 *
 * A filter that matches little costs little: the sums of usage say in which hours anything can match, only those are
 * walked through, and one answer looks at a limited number of traces. Where it stopped before it had enough, it says so.
 */
import { bodyConditions, type FacetRow, facetStatement, toFacetRow } from "../../traces/filter.ts";
import { HOUR_MS, type TrailDay } from "../calendar.ts";
import { OTHER_NAMES } from "../group-names.ts";
import type { DayFacetsQuery, DayList, DayListQuery, ListedTrace, Position } from "../types.ts";
import { HOUR } from "../usage-schema.sql.ts";
import type { Layout } from "./store-layout.ts";

/** Traces that one answer looks at: at their columns alone, or into their JSON. */
const LOOKED_AT = { columns: 100_000, json: 20_000 } as const;
/** Combinations of values that one answer may have, and traces that it may count: a question about less has fewer. */
export const MAX_FACET_ROWS = 20_000;
export const MAX_FACET_TRACES = 200_000;

const COLUMN_FILTERS = ["key", "app", "route", "provider", "status"] as const;
const COLUMN_OF = { key: "key_id", app: "app", route: "route", provider: "provider", status: "status" } as const;
/** What the sums of usage tell requests apart by, and which names may have been counted as `OTHER_NAMES` there. */
const USAGE_FILTERS = [...COLUMN_FILTERS, "api", "model"] as const;
const CAPPED: ReadonlySet<string> = new Set(["app", "route", "model"]);

/** Failures are rare and often asked for: they have an index of their own. */
const NOT_OK = "status <> 'ok'";

interface ListRow extends Record<string, SqlStorageValue> {
  id: string;
  created_at: number;
  text: string;
}

/** Inclusive, exclusive; the end as a position, because a page may begin in the middle of a millisecond. */
interface Stretch {
  readonly since: number;
  readonly before: Position;
}

export function listIn(
  sql: SqlStorage,
  layout: Layout,
  query: DayListQuery,
  day: TrailDay | null,
  answerLength: number,
): DayList {
  const rows: ListedTrace[] = [];
  let length = 0;
  let left: number = bodyConditions(query, "text").sql === "" ? LOOKED_AT.columns : LOOKED_AT.json;
  for (const stretch of stretchesOf(sql, query, day)) {
    const limit = query.limit - rows.length;
    let found = 0;
    for (const { id, created_at, text } of find(sql, layout, query, stretch, left, limit)) {
      if (rows.length > 0 && length + text.length > answerLength) return { rows, end: rows.at(-1) ?? null };
      rows.push({ id, createdAt: created_at, trace: text });
      length += text.length;
      found++;
    }
    if (found === limit) return { rows, end: null };
    const looked = lookedAt(sql, query, stretch, left);
    if (looked === null) return { rows, end: stretch.before };
    if (typeof looked !== "number") return { rows, end: looked };
    left -= looked;
  }
  return { rows, end: null };
}

/** How many traces have which values, of those that the query finds; `null`: there are too many to look at. */
export function facetsIn(sql: SqlStorage, layout: Layout, query: DayFacetsQuery): FacetRow[] | null {
  return hasMore(sql, query, MAX_FACET_TRACES) ? null : lookedUp(sql, layout, query);
}

/** Are there more traces to look at than `count`? */
export function hasMore(sql: SqlStorage, query: DayFacetsQuery, count: number): boolean {
  const [condition, bindings] = within(query, wholeStretch(sql, query));
  const index = isRare(query) ? " INDEXED BY trace_not_ok" : "";
  const text = `SELECT count(*) AS count FROM (SELECT 1 FROM trace${index} WHERE ${condition} LIMIT ?)`;
  return sql.exec<{ count: number }>(text, ...bindings, count + 1).one().count > count;
}

function lookedUp(sql: SqlStorage, layout: Layout, query: DayFacetsQuery): FacetRow[] {
  const [condition, bindings] = within(query, wholeStretch(sql, query));
  const own = columnConditions(query);
  const more = bodyConditions(query, layout.json);
  const from = isRare(query) ? layout.fromFailed : layout.from;
  const source = `${from} WHERE ${condition} AND ${layout.json} <> ''${own.sql}${more.sql}`;
  const text = `${facetStatement(layout.json, source)} LIMIT ${MAX_FACET_ROWS + 1}`;
  const values = [...bindings, ...own.bindings, ...more.bindings];
  return [...sql.exec<Record<string, SqlStorageValue>>(text, ...values)].map(toFacetRow);
}

function find(
  sql: SqlStorage,
  layout: Layout,
  query: DayListQuery,
  stretch: Stretch,
  left: number,
  limit: number,
): Iterable<ListRow> {
  const [condition, bindings] = within(query, stretch);
  const own = columnConditions(query);
  const more = bodyConditions(query, "text");
  // The inner rows come in order, and so do those that are left of them.
  const text = `
    SELECT id, created_at, text FROM (
      SELECT id, created_at, key_id, app, route, provider, status, ${layout.json} AS text
      FROM ${isRare(query) ? layout.fromFailed : layout.from}
      WHERE ${condition} ORDER BY created_at DESC, id DESC LIMIT ?
    ) WHERE text <> ''${own.sql}${more.sql} LIMIT ?`;
  return sql.exec<ListRow>(text, ...bindings, left, ...own.bindings, ...more.bindings, limit);
}

/** How many traces a stretch has, or the last one that `left` of them reach; `null` where nothing may be looked at. */
function lookedAt(sql: SqlStorage, query: DayListQuery, stretch: Stretch, left: number): number | Position | null {
  if (left <= 0) return null;
  const [condition, bindings] = within(query, stretch);
  const order = `FROM trace${isRare(query) ? " INDEXED BY trace_not_ok" : ""} WHERE ${condition} ORDER BY created_at DESC, id DESC LIMIT`;
  const nth = `SELECT created_at, id ${order} 1 OFFSET ?`;
  const [last] = sql.exec<{ created_at: number; id: string }>(nth, ...bindings, left - 1).toArray();
  if (last !== undefined) return { createdAt: last.created_at, id: last.id };
  const count = `SELECT count(*) AS count FROM (SELECT 1 ${order} ?)`;
  return sql.exec<{ count: number }>(count, ...bindings, left).one().count;
}

/** The parts of the day in which something can match, newest first. */
function stretchesOf(sql: SqlStorage, query: DayListQuery, day: TrailDay | null): Stretch[] {
  const whole = wholeStretch(sql, query);
  const hours = day === null ? null : hoursOf(sql, query, day);
  if (hours === null) return [whole];
  const stretches: Stretch[] = [];
  for (const hour of hours) {
    const since = Math.max(hour, whole.since);
    const end = { createdAt: hour + HOUR_MS, id: "" };
    const before = isBefore(whole.before, end) ? whole.before : end;
    if (since > before.createdAt) continue;
    const last = stretches.at(-1);
    // Hours that follow each other are one stretch.
    if (last !== undefined && last.since === hour + HOUR_MS) stretches[stretches.length - 1] = { ...last, since };
    else stretches.push({ since, before });
  }
  return stretches;
}

const isBefore = (a: Position, b: Position): boolean =>
  a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id);

function wholeStretch(sql: SqlStorage, query: DayFacetsQuery & Partial<Pick<DayListQuery, "after">>): Stretch {
  const { after, until = Number.MAX_SAFE_INTEGER } = query;
  const { bodies_since } = sql.exec<{ bodies_since: number }>("SELECT bodies_since FROM trail").one();
  // The lower of two upper bounds counts. No id sorts before the empty text, so `until` itself is excluded.
  const before = after !== undefined && after.createdAt < until ? after : { createdAt: until, id: "" };
  return { since: Math.max(query.since ?? 0, bodies_since), before };
}

/** First ms of the hours with usage of what is asked for, newest first; `null` where the filter names nothing summed. */
export function hoursOf(sql: SqlStorage, query: DayFacetsQuery, day: TrailDay): number[] | null {
  const conditions: string[] = [];
  const values: string[] = [];
  for (const name of USAGE_FILTERS) {
    const value = query[name];
    if (value === undefined) continue;
    const column = name === "key" ? "key_id" : name;
    conditions.push(CAPPED.has(name) ? `(${column} = ? OR ${column} = '${OTHER_NAMES}')` : `${column} = ?`);
    values.push(value);
  }
  if (query.fallback === true) conditions.push("fallbacks > 0");
  if (conditions.length === 0) return null;
  const text = `
    SELECT DISTINCT at FROM usage WHERE grain = ${HOUR} AND at >= ? AND at < ? AND ${conditions.join(" AND ")}
    ORDER BY at DESC`;
  const [since, until] = [query.since ?? day.startAt, query.until ?? Number.MAX_SAFE_INTEGER];
  const rows = sql.exec<{ at: number }>(text, since - (since % HOUR_MS), until, ...values);
  return rows.toArray().map(({ at }) => at);
}

interface Condition {
  readonly sql: string;
  readonly bindings: readonly string[];
}

function columnConditions(query: DayFacetsQuery): Condition {
  const named = COLUMN_FILTERS.filter((name) => query[name] !== undefined);
  return {
    sql: named.map((name) => ` AND ${COLUMN_OF[name]} = ?`).join(""),
    bindings: named.flatMap((name) => query[name] ?? []),
  };
}

const isRare = ({ status }: DayFacetsQuery): boolean => status !== undefined && status !== "ok";

function within(query: DayFacetsQuery, { since, before }: Stretch): [string, readonly (string | number)[]] {
  const condition = `created_at >= ? AND (created_at, id) < (?, ?)${isRare(query) ? ` AND ${NOT_OK}` : ""}`;
  return [condition, [since, before.createdAt, before.id]];
}
