/**
 * The log trail as the operator's endpoints see it: one question to as many objects as the window has days.
 *
 * A question costs the same with ten keys or ten thousand. Calls run a few at a time, each with a time limit and one
 * more try; when a day does not answer, the whole question fails, because an answer with a hole in it looks complete.
 * All functions reject with `ledger_unavailable` then, and with nothing else.
 */
import { RouterError } from "../http/errors.ts";
import { type FacetCounts, toFacets } from "../traces/filter.ts";
import { clampSpan, daysOf, SLOT_MS } from "./calendar.ts";
import { askTrail as ask, asOf, CALLS_AT_A_TIME, inTurn, objectNames, type Trails } from "./calls.ts";
import { comparePositions } from "./cursor.ts";
import { type Evidence, mergeEvidence, toEvidence } from "./evidence.ts";
import { MAX_FACET_ROWS } from "./store/store-list.ts";
import type { DayList, ListedTrace, Position, TraceFilter } from "./types.ts";

export type { Evidence } from "./evidence.ts";
export type { Position, TraceFilter } from "./types.ts";

const HOUR_MS = 3_600_000;

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

/** Traces of all keys, newest first, of the last 31 days. A page of very large traces may hold fewer than `limit`. */
export async function queryTraces(namespace: Trails, query: TraceListQuery): Promise<TraceListPage> {
  const { envs, now, limit, after, since, until, ...filter } = query;
  const span = clampSpan(since, after === undefined ? until : Math.min(until ?? Infinity, after.createdAt + 1), now);
  const found: ListedTrace[] = [];
  let isCut = false;
  for (const days of inGroups(daysOf(span), envs.length)) {
    const lists = await inTurn(objectNames(envs, days), (name) =>
      ask(namespace, name, (trail) => trail.list({ ...filter, ...span, after, limit: limit + 1 - found.length })),
    );
    const merged = mergeLists(lists);
    found.push(...merged.rows);
    isCut = merged.isCut;
    if (isCut || found.length > limit) break;
  }
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const hasMore = isCut || found.length > limit;
  return {
    traces: page.map(({ trace }) => trace),
    next: hasMore && last !== undefined ? { createdAt: last.createdAt, id: last.id } : null,
    asOf: asOf(now),
  };
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
  if (days.some((rows) => rows.length > MAX_FACET_ROWS)) {
    const message = `A day has more than ${MAX_FACET_ROWS} combinations of values. Narrow the list with \`since\`, \`until\` or a filter.`;
    throw new RouterError("invalid_request", message, { param: "facets" });
  }
  return toFacets(days.flat());
}

/** Behind the last row of a list that was cut others may be missing: what would stand there is left to the next page. */
function mergeLists(lists: readonly DayList[]): DayList {
  const ends = lists.flatMap(({ rows, isCut }) => (isCut ? rows.slice(-1) : []));
  const rows = lists
    .flatMap((list) => list.rows)
    .filter((row) => ends.every((end) => comparePositions(row, end) <= 0))
    .sort(comparePositions);
  return { rows, isCut: ends.length > 0 };
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

/**
 * Most pages are full with the newest day. Where they are not, as many days are asked together as keep all calls busy:
 * more would only hold more answers in memory.
 */
function inGroups(days: readonly number[], envCount: number): number[][] {
  const size = Math.max(1, Math.floor(CALLS_AT_A_TIME / Math.max(1, envCount)));
  const groups = days.length === 0 ? [] : [days.slice(0, 1)];
  for (let at = 1; at < days.length; at += size) groups.push(days.slice(at, at + size));
  return groups;
}
