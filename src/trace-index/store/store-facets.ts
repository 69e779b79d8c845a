/**
 * Facets of a day with many traces, from its sums of usage: what a page counts again and again must not read every trace.
 *
 * Counted so are requests of whole hours, or of whole minutes while those are kept, by filters that usage knows. Traces
 * that were erased since are counted too.
 */
import { bodyConditions, type FacetRow } from "../../traces/filter.ts";
import { DAY_MS, type TrailDay } from "../calendar.ts";
import type { DayFacetsQuery } from "../types.ts";
import { HOUR, MINUTE } from "../usage-schema.sql.ts";
import type { Layout } from "./store-layout.ts";
import { facetsIn, hasMore } from "./store-list.ts";

/** Up to so many traces are counted one by one. */
const FEW = 2_000;
const FILTERS = ["key", "app", "route", "provider", "status", "api", "model"] as const;

interface FacetSums extends Record<string, SqlStorageValue> {
  status: string;
  api: string;
  app: string;
  route: string;
  provider: string;
  model: string;
  requests: number;
  fallbacks: number;
}

/** `hasShards`: usage is of more traces than are here. `few`: see `FEW`. `null`: there are too many to look at. */
export function facetsOfDay(
  sql: SqlStorage,
  layout: Layout,
  query: DayFacetsQuery,
  day: TrailDay,
  hasShards: boolean,
  few = FEW,
): FacetRow[] | null {
  if (!hasShards && !hasMore(sql, query, few)) return facetsIn(sql, layout, query);
  const grain = grainOf(sql, query, day);
  if (grain === null) return hasShards ? null : facetsIn(sql, layout, query);
  const sums = sumsIn(sql, query, day, grain);
  const failed = sums.filter(({ status }) => status !== "ok");
  const ok = sums.filter(({ status }) => status === "ok").flatMap((row) => rowsOf(row, null));
  const isOk = query.status === "ok";
  // Who answered the others and with which code is on their traces. There are few, or their codes are left out.
  const looked = isOk || hasShards ? null : facetsOfFailed(sql, layout, query);
  return [...ok, ...(looked ?? failed.flatMap((row) => rowsOf({ ...row, provider: "", model: "" }, undefined)))];
}

function facetsOfFailed(sql: SqlStorage, layout: Layout, query: DayFacetsQuery): FacetRow[] | null {
  if (query.status !== undefined) return facetsIn(sql, layout, query);
  const rows = FAILED.map((status) => facetsIn(sql, layout, { ...query, status }));
  return rows.every((each) => each !== null) ? rows.flat() : null;
}

const FAILED = ["error", "cancelled", "denied", "refused"] as const;

/** The width of the rows that the question can be answered from; `null`: of none. */
function grainOf(sql: SqlStorage, query: DayFacetsQuery, day: TrailDay): number | null {
  const { api, model, ...rest } = query;
  if (bodyConditions(rest, "text").sql !== "") return null;
  const ends = [query.since ?? day.startAt, query.until ?? day.startAt + DAY_MS].filter(
    (at) => at > day.startAt && at < day.startAt + DAY_MS,
  );
  if (ends.every((at) => at % (HOUR * 1_000) === 0)) return HOUR;
  const hasMinutes = sql.exec("SELECT 1 FROM usage WHERE grain = ? LIMIT 1", MINUTE).toArray().length > 0;
  return hasMinutes && ends.every((at) => at % (MINUTE * 1_000) === 0) ? MINUTE : null;
}

function sumsIn(sql: SqlStorage, query: DayFacetsQuery, day: TrailDay, grain: number): FacetSums[] {
  const { bodies_since } = sql.exec<{ bodies_since: number }>("SELECT bodies_since FROM trail").one();
  const named = FILTERS.filter((name) => query[name] !== undefined);
  const conditions = named.map((name) => ` AND ${name === "key" ? "key_id" : name} = ?`).join("");
  const text = `
    SELECT status, api, app, route, provider, model, sum(requests) AS requests, sum(fallbacks) AS fallbacks FROM usage
    WHERE grain = ? AND at >= ? AND at < ?${conditions} GROUP BY status, api, app, route, provider, model
    HAVING sum(requests) > 0`;
  const span = [Math.max(query.since ?? day.startAt, bodies_since), query.until ?? day.startAt + DAY_MS];
  return sql.exec<FacetSums>(text, grain, ...span, ...named.flatMap((name) => query[name] ?? [])).toArray();
}

/** Those that fell back, and those that did not. */
function rowsOf(row: FacetSums, errorCode: null | undefined): FacetRow[] {
  const { status, api, app, route, requests, fallbacks } = row;
  const text = (name: string): string | null => (name === "" ? null : name);
  const values = [status, api, app, route, text(row.provider), text(row.model), errorCode];
  const counts: FacetRow[] = [
    [[...values, "true"], fallbacks],
    [[...values, "false"], requests - fallbacks],
  ];
  return counts.filter(([, count]) => count > 0);
}
