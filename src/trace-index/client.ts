/**
 * The log trail as the operator's endpoints see it: one question to as many objects as the window has days.
 *
 * A question costs the same with ten keys or ten thousand. Calls run a few at a time, each with a time limit and one
 * more try; when a day does not answer, the whole question fails, because an answer with a hole in it looks complete.
 * All functions reject with `ledger_unavailable` then, and with nothing else.
 */
import { RouterError } from "../http/errors.ts";
import { type FacetCounts, toFacets } from "../traces/filter.ts";
import { clampSpan, DAY_MS, daysOf, HOUR_MS, SLOT_MS, trailName } from "./calendar.ts";
import { askTrail as ask, asOf, CALLS_AT_A_TIME, inTurn, objectNames, type Trails } from "./calls.ts";
import { comparePositions } from "./cursor.ts";
import { type Evidence, mergeEvidence, toEvidence } from "./evidence.ts";
import { ListMerge } from "./list-merge.ts";
import { MAX_FACET_ROWS, MAX_FACET_TRACES } from "./store/store-list.ts";
import type { Position, TraceFilter } from "./types.ts";

export type { Evidence } from "./evidence.ts";
export type { Position, TraceFilter } from "./types.ts";

/** A page looks for so long, and asks objects so often: what a Worker may call in a request is limited. */
const LOOKED_FOR_MS = 3_000;
const MAX_CALLS = 400;

interface Asked {
  /** Environments to ask: those of the deployment, or the one that is wanted. */
  readonly envs: readonly string[];
  readonly now: number;
}

export interface TraceListQuery extends TraceFilter, Asked {
  /** 1..1000. */
  readonly limit: number;
  /** Only rows after it in the list. */
  readonly after?: Position | undefined;
}

export interface TraceListPage {
  /** Newest first: the JSON of each `Trace`. */
  readonly traces: readonly string[];
  /** The last one shown; `null` on the last page. */
  readonly next: Position | null;
  /** ISO 8601 UTC: what was settled before it is shown. */
  readonly asOf: string;
}

/** Erases the traces of a key in its environment. */
export async function eraseKey(namespace: Trails, env: string, keyId: string, now: number): Promise<void> {
  const names = objectNames([env], daysOf(clampSpan(undefined, undefined, now)));
  await inTurn(names, (name) => ask(namespace, name, (trail) => trail.erase(keyId)));
}

/**
 * Traces of all keys, newest first, of the last 31 days. A page may hold fewer than `limit`, or none, and yet say where
 * the next one begins: the question has looked at as much as one may.
 */
export async function queryTraces(namespace: Trails, query: TraceListQuery): Promise<TraceListPage> {
  const { envs, now, limit, after, since, until, ...filter } = query;
  const span = clampSpan(since, after === undefined ? until : Math.min(until ?? Infinity, after.createdAt + 1), now);
  const days = daysOf(span).flatMap((day) =>
    envs.map((env) => ({ env, name: trailName(env, day), top: day + DAY_MS })),
  );
  const merge = new ListMerge(days, limit + 1);
  const deadline = Date.now() + LOOKED_FOR_MS;
  for (let asked = 0; ; ) {
    const sources = merge.next(CALLS_AT_A_TIME);
    if (sources.length === 0 || (asked > 0 && (asked >= MAX_CALLS || Date.now() >= deadline))) break;
    asked += sources.length;
    await inTurn(sources, async ({ source, from, wanted }) => {
      const list = await ask(namespace, source.name, (trail) =>
        trail.list({ ...filter, ...span, after: earlier(after, from), limit: wanted }),
      );
      merge.add(source, list, wanted);
    });
  }
  const { rows, end } = merge.page();
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? { createdAt: last.createdAt, id: last.id } : end;
  return { traces: page.map(({ trace }) => trace), next, asOf: asOf(now) };
}

/** The later position in the list: fewer rows are behind it. */
function earlier(after: Position | undefined, from: Position | null): Position | undefined {
  if (from === null || (after !== undefined && comparePositions(after, from) > 0)) return after;
  return from;
}

/** How often each value occurs among all traces that the query finds. Throws 400 where there are too many to count. */
export async function countFacets(
  namespace: Trails,
  query: Omit<TraceListQuery, "limit" | "after">,
): Promise<FacetCounts> {
  const { envs, now, since, until, ...filter } = query;
  const span = clampSpan(since, until, now);
  const days = await inTurn(objectNames(envs, daysOf(span)), (name) =>
    ask(namespace, name, (trail) => trail.facets({ ...filter, ...span })),
  );
  const counted = days.filter((rows) => rows !== null && rows.length <= MAX_FACET_ROWS);
  if (counted.length < days.length) {
    const message = `A day has more than ${MAX_FACET_TRACES} traces to count, or more than ${MAX_FACET_ROWS} combinations of values. Narrow the list with \`since\` and \`until\`.`;
    throw new RouterError("invalid_request", message, { param: "facets" });
  }
  return toFacets(counted.flatMap((rows) => rows ?? []));
}

/**
 * How a version of a route performed in the last `windowHours`, at most 31 days. `route` without `flow/`. It is
 * not checked that the version exists: one that was never used has no requests.
 */
export async function evidenceOf(
  namespace: Trails,
  env: string,
  route: string,
  version: number,
  windowHours: number,
  now: number,
): Promise<Evidence> {
  const wanted = now - windowHours * HOUR_MS;
  const span = clampSpan(wanted - (wanted % SLOT_MS), undefined, now);
  const { since } = span;
  const days = await inTurn(objectNames([env], daysOf(span)), (name) =>
    ask(namespace, name, (trail) => trail.evidence({ route: `flow/${route}`, version, since })),
  );
  const window = { hours: windowHours, since: new Date(since).toISOString(), until: new Date(now).toISOString() };
  return toEvidence(version, window, mergeEvidence(days), asOf(now));
}
