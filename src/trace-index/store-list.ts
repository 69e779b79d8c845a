/** The traces of one day, newest first. */
import type { DayList, DayListQuery, ListedTrace } from "./types.ts";

/** Ids are ASCII. */
const ABOVE_ALL_IDS = "~";

/** Bodies are fetched for the rows of the answer only. `time` is the column, or an expression that no index serves. */
const statement = (condition: string, time: string): string => `
  SELECT id, created_at, body.trace AS trace FROM (
    SELECT seq, id, created_at FROM trace
    WHERE ${condition} AND ${time} >= ? AND (${time}, id) < (?, ?)
    AND app = coalesce(?, app) AND route = coalesce(?, route) AND provider = coalesce(?, provider)
    AND status = coalesce(?, status)
    ORDER BY ${time} DESC, id DESC LIMIT ?
  ) CROSS JOIN body USING (seq) ORDER BY created_at DESC, id DESC`;

const ALL = statement("TRUE", "created_at");
/** Failures are rare and often asked for: they have an index of their own. */
const NOT_OK = statement("status <> 'ok'", "created_at");
/** Ids begin with their key, so a key's traces stand together: better than to walk through those of all keys. */
const OF_KEY = statement("key_id = ? AND id >= ? AND id < ?", "+created_at");

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

function find(sql: SqlStorage, query: DayListQuery): Iterable<ListRow> {
  const { key, status, after, until = Number.MAX_SAFE_INTEGER } = query;
  const { bodies_since } = sql.exec<{ bodies_since: number }>("SELECT bodies_since FROM trail").one();
  // The lower of two upper bounds counts. No id sorts before the empty text, so `until` itself is excluded.
  const bound = after !== undefined && after.createdAt < until ? after : { createdAt: until, id: "" };
  const bindings = [
    Math.max(query.since ?? 0, bodies_since),
    bound.createdAt,
    bound.id,
    query.app ?? null,
    query.route ?? null,
    query.provider ?? null,
    status ?? null,
    query.limit,
  ];
  if (key !== undefined) return sql.exec<ListRow>(OF_KEY, key, `tr_${key}`, `tr_${key}${ABOVE_ALL_IDS}`, ...bindings);
  return sql.exec<ListRow>(status === undefined || status === "ok" ? ALL : NOT_OK, ...bindings);
}
