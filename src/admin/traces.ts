/**
 * `/admin/traces`: one log trail across keys, routes and providers.
 *
 * Lists come from the trail's index, which is at most 5 s behind; a single trace comes from the ledger of its key, which
 * its id names.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { showApprovals } from "../approvals/client.ts";
import { settingsOf } from "../config.ts";
import { withControl } from "../control/client.ts";
import { RouterError } from "../http/errors.ts";
import { badCursor, cursorHeader, readLimit, readTime, toList } from "../http/pagination.ts";
import { badParameter, listParameters, matching, matchingKey, oneOf, readQuery, refuseQuery } from "../http/query.ts";
import { readFormat, readTraceFilters, TRACE_FILTERS, wantsFacets } from "../http/trace-filters.ts";
import { findTrace, rebuildIndex } from "../ledger/client/client.ts";
import { parseJson } from "../lib/json.ts";
import { csvResponse } from "../lib/text/csv.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { countFacets, type Position, queryTraces } from "../trace-index/client.ts";
import { decodeCursor, encodeCursor } from "../trace-index/cursor.ts";
import { tracesCsv } from "../traces/csv.ts";
import { keyIdOfTrace, TRACE_STATUSES, type Trace, traceIdIn, wholeTrace } from "../traces/schema.ts";
import type { AdminEnv } from "./access/authorize.ts";

const DAY_MS = 86_400_000;
const MAX_TRACE_DAYS = 30;
const FILTERS = [
  ...(["env", "app", "route", "provider", "status", "key", "since", "until", "limit", "cursor"] as const),
  ...TRACE_FILTERS,
] as const;
export const PROVIDER_ID = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** A raw model: the provider, and a name of the provider's making. */
const RAW_MODEL = /^[a-z0-9][a-z0-9._-]{0,62}\/[\x21-\x7e]{1,200}$/;
const ROUTE_PREFIX = "flow/";
/** Each is one call of a ledger, and what one request may call is limited. */
const MAX_REBUILT_KEYS = 200;
const REBUILDS_AT_A_TIME = 6;
/** Each takes three seconds at most. */
const MAX_PAGES_LOOKED_THROUGH = 5;

export const tracesApp = new Hono<AdminEnv>();

tracesApp.get("/", async (c) => {
  const query = readQuery(c, FILTERS);
  const env = matching("env", query.env, ENV_NAME, "must be the name of an environment");
  const filter = {
    ...readTraceFilters(query),
    app: matching("app", query.app, RESOURCE_NAME, "must be the name of an app"),
    route: readRoute(query.route),
    provider: matching("provider", query.provider, PROVIDER_ID, "must be the id of a provider"),
    status: oneOf("status", query.status, TRACE_STATUSES),
    key: matchingKey(query.key),
    since: Math.max(readTime("since", query.since) ?? 0, keptSince(settingsOf(c.env).traceDays, Date.now())),
    until: readTime("until", query.until),
    envs: env === undefined ? await environments(c) : [env],
    now: Date.now(),
  };
  const [format, limit, after] = [readFormat(query), readLimit(query.limit), readCursor(query.cursor)];
  const [page, facets] = await Promise.all([
    queryTraces(c.env.TRAIL_INDEX, { ...filter, limit, after }),
    wantsFacets(query) ? countFacets(c.env.TRAIL_INDEX, filter) : null,
  ]);
  const next = page.next === null ? null : encodeCursor(page.next);
  const traces = page.traces.map((text) => wholeTrace(parseJson(text) as Trace));
  // Each was written by a ledger from a `Trace`.
  if (format === "csv") return csvResponse(tracesCsv(traces), "traces.csv", cursorHeader(next));
  return c.json({ ...toList(traces, next), ...(facets === null ? {} : { facets }), as_of: page.asOf });
});

/**
 * Rebuilds the index from the ledgers, a page of keys at a time: what is known already does not count again. The keys
 * of `failed` did not answer; they can be tried again with the same cursor.
 */
tracesApp.post("/rebuild", async (c) => {
  const { limit, before } = listParameters(c);
  const size = Math.min(limit, MAX_REBUILT_KEYS);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listKeys(size, before));
  const failed: string[] = [];
  let traces = 0;
  const waiting = page.data.values();
  const worker = async (): Promise<void> => {
    for (const { id } of waiting) {
      const sent = await rebuildIndex(c.env.KEY_LEDGER, id).catch(() => null);
      if (sent === null) failed.push(id);
      else traces += sent;
    }
  };
  await Promise.all(Array.from({ length: REBUILDS_AT_A_TIME }, worker));
  const next = page.nextCursor === null ? null : String(page.nextCursor);
  return c.json({
    object: "rebuild",
    keys: page.data.length,
    traces,
    failed,
    has_more: next !== null,
    next_cursor: next,
  });
});

tracesApp.get("/:id", async (c) => {
  refuseQuery(c);
  const trace = await traceOf(c, c.req.param("id"));
  if (trace === null) {
    const message = "There is no settled trace with this id. A stream's trace appears about 2 seconds after it ends.";
    throw new RouterError("unknown_trace", message);
  }
  return c.json(wholeTrace(trace));
});

/**
 * The trace that an id belongs to: its own id, one that was made from it (a response, an item, a tool call), a recorded
 * tool call, or the id that a provider gave its answer.
 */
async function traceOf(c: Context<AdminEnv>, id: string): Promise<Trace | null> {
  const traceId = traceIdIn(id);
  const keyId = traceId === null ? null : keyIdOfTrace(traceId);
  if (traceId !== null && keyId !== null) {
    const trace = await findTrace(c.env.KEY_LEDGER, keyId, traceId);
    if (trace !== null || traceId === id) return trace;
  }
  return (await traceOfCall(c, id)) ?? (await traceOfResponse(c, id));
}

async function traceOfCall(c: Context<AdminEnv>, toolCallId: string): Promise<Trace | null> {
  const page = await withControl(c.env.CONTROL_PLANE, (control) =>
    control.listApprovals({ toolCallId, limit: 1, before: null }),
  );
  const [call] = (await showApprovals(c.env.TOOL_APPROVALS, page.data)).data;
  return call === undefined ? null : findTrace(c.env.KEY_LEDGER, call.key_id, call.trace_id);
}

async function traceOfResponse(c: Context<AdminEnv>, responseId: string): Promise<Trace | null> {
  const asked = { envs: await environments(c), now: Date.now() };
  let after: Position | undefined;
  for (let page = 0; page < MAX_PAGES_LOOKED_THROUGH; page++) {
    const { traces, next } = await queryTraces(c.env.TRAIL_INDEX, { ...asked, responseId, limit: 1, after });
    if (traces[0] !== undefined) return parseJson(traces[0]) as Trace;
    if (next === null) return null;
    after = next;
  }
  const message = "There are more traces than one request can look through for a provider's id. Ask with the trace id.";
  throw new RouterError("overloaded", message);
}
/** The index lists a day more than ledgers keep, unless less was asked for. Epoch ms. */
const keptSince = (days: number, now: number): number => (days < MAX_TRACE_DAYS ? now - days * DAY_MS : 0);

/** Environments a trace can be of. */
export function environments(c: Context<AdminEnv>): Promise<string[]> {
  return withControl(c.env.CONTROL_PLANE, (control) => control.listEnvironments());
}

/** With or without `flow/`; a raw model as on its traces. */
export function readRoute(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const name = text.startsWith(ROUTE_PREFIX) ? text.slice(ROUTE_PREFIX.length) : text;
  if (RESOURCE_NAME.test(name)) return ROUTE_PREFIX + name;
  if (RAW_MODEL.test(text)) return text;
  throw badParameter("route", "must be the name of a route, or `<provider>/<model>`");
}

function readCursor(text: string | undefined): Position | undefined {
  if (text === undefined) return undefined;
  const position = decodeCursor(text);
  if (position === null) throw badCursor();
  return position;
}
