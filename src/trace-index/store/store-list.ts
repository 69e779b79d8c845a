/** The traces of one day, newest first. */
import { bodyConditions, type FacetRow, facetStatement, toFacetRow } from "../../traces/filter.ts";
import type { DayFacetsQuery, DayList, DayListQuery, ListedTrace } from "../types.ts";

/** Ids are ASCII. */
const ABOVE_ALL_IDS = "~";

const SAME_COLUMNS = `
  app = coalesce(?, app) AND route = coalesce(?, route) AND provider = coalesce(?, provider)
  AND status = coalesce(?, status)`;
/** Combinations of values that one answer may have: a question about fewer days has fewer. */
export const MAX_FACET_ROWS = 20_000;

/**
 * Bodies are fetched for the rows of the answer only, unless `more` looks into them. `time` is the column, or an
 * expression that no index serves.
 */
const statement = (condition: string, time: string, more: string): string => `
  SELECT id, created_at, body.trace AS trace FROM (
    SELECT seq, id, created_at FROM trace ${more === "" ? "" : "JOIN body AS looked USING (seq)"}
    WHERE ${condition} AND ${time} >= ? AND (${time}, id) < (?, ?)
    AND ${SAME_COLUMNS}${more}
    ORDER BY ${time} DESC, id DESC LIMIT ?
  ) CROSS JOIN body USING (seq) ORDER BY created_at DESC, id DESC`;

/** Failures are rare and often asked for: they have an index of their own. */
const NOT_OK = "status <> 'ok'";
/** Ids begin with their key, so a key's traces stand together: better than to walk through those of all keys. */
const OF_KEY = "key_id = ? AND id >= ? AND id < ?";

interface ListRow extends Record<string, SqlStorageValue> {
  id: string;
  created_at: number;
  trace: string;
}

export function listIn(sql: SqlStorage, query: DayListQuery, answerLength: number): DayList {
  const rows: ListedTrace[] = [];
  let length = 0;
  for (const { id, created_at, trace } of find(sql, query)) {
    if (rows.length > 0 && length + trace.length > answerLength) return { rows, isCut: true };
    rows.push({ id, createdAt: created_at, trace });
    length += trace.length;
  }
  return { rows, isCut: false };
}

/** How many traces have which values, of those that the query finds. */
export function facetsIn(sql: SqlStorage, query: DayFacetsQuery): FacetRow[] {
  const { condition, bindings, more } = conditionsOf(sql, query);
  const source = `trace JOIN body USING (seq)
    WHERE ${condition} AND created_at >= ? AND (created_at, id) < (?, ?) AND ${SAME_COLUMNS}${more("body.trace")}`;
  const text = `${facetStatement("body.trace", source)} LIMIT ${MAX_FACET_ROWS + 1}`;
  return [...sql.exec<Record<string, SqlStorageValue>>(text, ...bindings)].map(toFacetRow);
}

function find(sql: SqlStorage, query: DayListQuery): Iterable<ListRow> {
  const { condition, bindings, more } = conditionsOf(sql, query);
  const time = query.key === undefined ? "created_at" : "+created_at";
  return sql.exec<ListRow>(statement(condition, time, more("looked.trace")), ...bindings, query.limit);
}

interface Conditions {
  readonly condition: string;
  readonly bindings: readonly (string | number | null)[];
  /** Conditions on the JSON in a column. */
  readonly more: (column: string) => string;
}

function conditionsOf(sql: SqlStorage, query: DayFacetsQuery & Partial<Pick<DayListQuery, "after">>): Conditions {
  const { key, status, after, until = Number.MAX_SAFE_INTEGER } = query;
  const { bodies_since } = sql.exec<{ bodies_since: number }>("SELECT bodies_since FROM trail").one();
  // The lower of two upper bounds counts. No id sorts before the empty text, so `until` itself is excluded.
  const bound = after !== undefined && after.createdAt < until ? after : { createdAt: until, id: "" };
  const bindings = [
    ...(key === undefined ? [] : [key, `tr_${key}`, `tr_${key}${ABOVE_ALL_IDS}`]),
    ...[Math.max(query.since ?? 0, bodies_since), bound.createdAt, bound.id],
    ...[query.app ?? null, query.route ?? null, query.provider ?? null, status ?? null],
    ...bodyConditions(query, "").bindings,
  ];
  const isAny = status === undefined || status === "ok";
  const condition = key !== undefined ? OF_KEY : isAny ? "TRUE" : NOT_OK;
  return { condition, bindings, more: (column) => bodyConditions(query, column).sql };
}
