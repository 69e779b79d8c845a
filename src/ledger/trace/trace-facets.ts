/** Counts of values over a key's traces, settled and refused ones alike. */
import { bodyConditions, type FacetRow, facetStatement, toFacetRow } from "../../traces/filter.ts";
import type { TraceQuery } from "../types.ts";

/** `from` inclusive, `below` exclusive: ids. Every row of `table` has an id, a route and a body. */
export function facetRows(
  sql: SqlStorage,
  table: "request" | "refusal",
  query: TraceQuery,
  from: string,
  below: string,
): FacetRow[] {
  const more = bodyConditions(query, "body");
  const source = `${table}
    WHERE id >= ? AND id < ? AND body ->> '$.status' = coalesce(?, body ->> '$.status')
      AND route = coalesce(?, route)${more.sql}`;
  const bindings = [from, below, query.status ?? null, query.route ?? null, ...more.bindings];
  return [...sql.exec<Record<string, SqlStorageValue>>(facetStatement("body", source), ...bindings)].map(toFacetRow);
}
