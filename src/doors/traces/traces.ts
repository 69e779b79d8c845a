/** `GET /v1/traces` and `/v1/traces/{id}`: what became of this key's own requests. Another key's do not exist here. */
import type { Context } from "hono";
import type { AppEnv } from "../../config.ts";
import { RouterError } from "../../http/errors.ts";
import { badCursor, cursorHeader, readLimit, readTime, toList } from "../../http/pagination.ts";
import { oneOf, readQuery, refuseQuery } from "../../http/query.ts";
import { readFormat, readTraceFilters, TRACE_FILTERS, wantsFacets } from "../../http/trace-filters.ts";
import { findTrace, listTraces } from "../../ledger/client/client.ts";
import { csvResponse } from "../../lib/text/csv.ts";
import { tracesCsv } from "../../traces/csv.ts";
import { keyIdOfTrace, TRACE_STATUSES, withoutDiagnosis } from "../../traces/schema.ts";
import { authenticate } from "../authenticate.ts";

export async function getTrace(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, "traces:read");
  refuseQuery(context);
  const id = context.req.param("id") ?? "";
  const trace = keyIdOfTrace(id) === key.id ? await findTrace(context.env.KEY_LEDGER, key.id, id) : null;
  if (trace === null) {
    const message =
      "No settled trace with this id belongs to this key. A stream's trace appears about 2 seconds after it ends.";
    throw new RouterError("unknown_trace", message);
  }
  return context.json(withoutDiagnosis(trace));
}

export async function getTraces(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, "traces:read");
  const query = readQuery(context, [
    ...(["limit", "cursor", "status", "route", "since", "until"] as const),
    ...TRACE_FILTERS,
  ]);
  const { limit, cursor, route, since, until } = query;
  if (cursor !== undefined && keyIdOfTrace(cursor) !== key.id) throw badCursor();
  const page = await listTraces(context.env.KEY_LEDGER, key.id, {
    limit: readLimit(limit),
    cursor,
    status: oneOf("status", query.status, TRACE_STATUSES),
    route,
    since: readTime("since", since),
    until: readTime("until", until),
    ...readTraceFilters(query),
    facets: wantsFacets(query),
  });
  const traces = page.data.map(withoutDiagnosis);
  if (readFormat(query) === "csv") return csvResponse(tracesCsv(traces), "traces.csv", cursorHeader(page.next_cursor));
  const facets = page.facets === undefined ? {} : { facets: page.facets };
  return context.json({ ...toList(traces, page.next_cursor), ...facets });
}
