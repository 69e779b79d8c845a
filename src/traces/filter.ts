/**
 * Filters of trace lists that look into the trace itself: conditions in SQL over its JSON. Pure.
 *
 * The text of a condition is made of what stands here; what a caller sends is bound.
 */

/** Absent members do not filter. */
export interface BodyFilter {
  readonly api?: string | undefined;
  /** The model that answered. */
  readonly model?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly fallback?: boolean | undefined;
  readonly tag?: { readonly name: string; readonly value: string } | undefined;
  readonly session?: string | undefined;
  readonly clientRequestId?: string | undefined;
  readonly minCostUsd?: number | undefined;
  readonly minTotalMs?: number | undefined;
  /** The id that the provider gave its answer. */
  readonly responseId?: string | undefined;
}

export interface BodyConditions {
  /** Begins with ` AND ` for each condition; empty where nothing filters. */
  readonly sql: string;
  readonly bindings: readonly (string | number)[];
}

/** Conditions on the JSON text in `column`. */
export function bodyConditions(filter: BodyFilter, column: string): BodyConditions {
  const at = (path: string): string => `${column} ->> '$.${path}'`;
  const { fallback, tag } = filter;
  const conditions: (readonly [sql: string, ...bindings: (string | number)[]])[] = [];
  const add = (sql: string, value: string | number | undefined): void => {
    if (value !== undefined) conditions.push([sql, value]);
  };
  // Traces of releases that had only chat do not say so.
  add(`coalesce(${at("api")}, 'chat') = ?`, filter.api);
  add(`${at("model")} = ?`, filter.model);
  add(`${at("error_code")} = ?`, filter.errorCode);
  add(`${at("fallback")} = ?`, fallback === undefined ? undefined : Number(fallback));
  add(`${at("session_id")} = ?`, filter.session);
  add(`${at("client_request_id")} = ?`, filter.clientRequestId);
  add(`${at("cost_usd")} >= ?`, filter.minCostUsd);
  add(`${at("latency.total_ms")} >= ?`, filter.minTotalMs);
  add(`${at("response_id")} = ?`, filter.responseId);
  if (tag !== undefined) {
    const each = `SELECT 1 FROM json_each(${column}, '$.tags') AS tag WHERE tag.key = ? AND tag.value = ?`;
    conditions.push([`EXISTS (${each})`, tag.name, tag.value]);
  }
  return {
    sql: conditions.map(([sql]) => ` AND ${sql}`).join(""),
    bindings: conditions.flatMap(([, ...bindings]) => bindings),
  };
}

/** What facets are counted of, and where a trace holds it. */
const FACETS = ["status", "api", "app", "route", "provider", "model", "error_code", "fallback"] as const;
export type Facet = (typeof FACETS)[number];

/** How often each value occurs; a value of `null` is written as an empty text. */
export type FacetCounts = { readonly [Name in Facet]: Readonly<Record<string, number>> };

/** A combination of values, in the order of `FACETS`, and how many traces have it; `undefined`: not known of them. */
export type FacetRow = readonly [values: readonly (string | null | undefined)[], count: number];

/**
 * A statement that counts combinations: `source` is everything behind FROM, conditions included; the JSON is in `column`.
 * Its rows go through `toFacetRow`.
 */
export function facetStatement(column: string, source: string): string {
  const columns = FACETS.map((name, index) => {
    const value = `${column} ->> '$.${name}'`;
    if (name === "api") return `coalesce(${value}, 'chat') AS f${index}`;
    return name === "fallback"
      ? `CASE ${value} WHEN 1 THEN 'true' ELSE 'false' END AS f${index}`
      : `${value} AS f${index}`;
  });
  const groups = FACETS.map((_, index) => index + 1).join(", ");
  return `SELECT ${columns.join(", ")}, count(*) AS count FROM ${source} GROUP BY ${groups}`;
}

export function toFacetRow(row: Readonly<Record<string, unknown>>): FacetRow {
  const values = FACETS.map((_, index) => row[`f${index}`]);
  return [values.map((value) => (value == null ? null : String(value))), Number(row["count"])];
}

/** Sums up per facet, the most frequent value first. */
export function toFacets(rows: Iterable<FacetRow>): FacetCounts {
  const counts = FACETS.map(() => new Map<string, number>());
  for (const [values, count] of rows) {
    counts.forEach((sums, index) => {
      if (values[index] === undefined) return;
      const value = values[index] ?? "";
      sums.set(value, (sums.get(value) ?? 0) + count);
    });
  }
  const sorted = counts.map((sums) => Object.fromEntries([...sums].sort(([, a], [, b]) => b - a)));
  // One entry per facet, in the same order.
  return Object.fromEntries(FACETS.map((name, index) => [name, sorted[index] ?? {}])) as FacetCounts;
}
