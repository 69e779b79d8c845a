/** One list of a key's traces, the refused ones among the settled ones. */
import { toFacets } from "../../traces/filter.ts";
import type { Refusals } from "../refusals.ts";
import type { TracePage, TraceQuery } from "../types.ts";
import type { Traces } from "./traces.ts";

const MAX_PAGE = 1_000;

export function listTraces(traces: Traces, refusals: Refusals, query: TraceQuery): TracePage {
  const limit = Math.min(MAX_PAGE, Math.max(1, Math.trunc(query.limit)));
  const pages = [traces.list({ ...query, limit }), refusals.list({ ...query, limit })];
  // Past the end of a page that was cut others may be missing, so they are left to the next one.
  const floor = pages.flatMap(({ next_cursor }) => next_cursor ?? []).reduce((a, b) => (a > b ? a : b), "");
  const found = pages
    .flatMap(({ data }) => data)
    .filter(({ id }) => id >= floor)
    .sort((a, b) => (a.id < b.id ? 1 : -1));
  const data = found.slice(0, limit);
  const hasMore = found.length > limit || pages.some(({ next_cursor }) => next_cursor !== null);
  const facets =
    query.facets === true ? { facets: toFacets([...traces.facets(query), ...refusals.facets(query)]) } : {};
  return { data, next_cursor: hasMore ? (data.at(-1)?.id ?? null) : null, ...facets };
}
