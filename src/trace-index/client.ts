/**
 * The log trail as the operator's endpoints see it: one question to as many objects as the window has days.
 *
 * A question costs the same with ten keys or ten thousand. Calls run a few at a time, each with a time limit and one
 * more try; when a day does not answer, the whole question fails, because an answer with a hole in it looks complete.
 * All functions reject with `ledger_unavailable` then, and with nothing else.
 */
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { toUsd } from "../lib/money.ts";
import { type FacetCounts, toFacets } from "../traces/filter.ts";
import { clampSpan, daysOf, SLOT_MS, trailName } from "./calendar.ts";
import { comparePositions } from "./cursor.ts";
import { type Evidence, mergeEvidence, toEvidence } from "./evidence.ts";
import { MAX_FACET_ROWS } from "./store-list.ts";
import type { TrailIndex } from "./trail-index.ts";
import type { DayList, DaySpend, ListedTrace, Position, SpendGroup, TraceFilter } from "./types.ts";

export type { Evidence } from "./evidence.ts";
export { type Position, SPEND_GROUPS, type SpendGroup, type TraceFilter } from "./types.ts";

/** Both tries of one call together. */
const CALL_LIMIT_MS = 5_000;
/** What a Worker may have open at a time. */
const CALLS_AT_A_TIME = 6;
/** What was settled this long ago has been sent by its ledger. */
const SHIPPED_AFTER_MS = 5_000;
const HOUR_MS = 3_600_000;

type Trails = DurableObjectNamespace<TrailIndex>;

/** The object's questions as their callers see them. */
type Trail = {
  readonly [Name in "list" | "facets" | "spend" | "evidence" | "erase"]: (
    ...parameters: Parameters<TrailIndex[Name]>
  ) => ReturnType<TrailIndex[Name]>;
};

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

export interface SpendQuery extends Asked {
  readonly groupBy: SpendGroup;
  /** Epoch ms, inclusive. */
  readonly since: number;
  /** Epoch ms, exclusive. Absent: all there is. */
  readonly until?: number | undefined;
}

export interface SpendAnswer {
  /** The most expensive first. */
  readonly data: readonly { readonly group: string; readonly requests: number; readonly cost_usd: number }[];
  readonly total_usd: number;
  readonly unadmitted_usd: number;
  /** Requests whose cost is unknown in whole or in part, and so far not in the sums. */
  readonly unpriced_requests: number;
  /** ISO 8601 UTC. The beginning that was used: the trail reaches 31 days back. */
  readonly since: string;
  readonly as_of: string;
}

/** What was spent, in groups. Of `provider` and `model` one request may count in several groups; its cost never does. */
export async function findSpend(namespace: Trails, query: SpendQuery): Promise<SpendAnswer> {
  const { envs, now, groupBy } = query;
  const span = clampSpan(query.since, query.until, now);
  const days = await inTurn(objectNames(envs, daysOf(span)), (name) =>
    ask(namespace, name, (trail) => trail.spend({ groupBy, ...span })),
  );
  const groups = mergeGroups(days);
  const total = (sumOf: (day: DaySpend) => number): number => days.reduce((sum, day) => sum + sumOf(day), 0);
  return {
    data: groups.map(({ group, requests, nanoUsd }) => ({ group, requests, cost_usd: toUsd(nanoUsd) })),
    total_usd: toUsd(total((day) => day.total.nanoUsd)),
    unadmitted_usd: toUsd(total((day) => day.total.unadmittedNanoUsd)),
    unpriced_requests: total((day) => day.total.unpricedRequests),
    since: new Date(span.since).toISOString(),
    as_of: asOf(now),
  };
}

interface GroupSum {
  readonly group: string;
  requests: number;
  nanoUsd: number;
}

function mergeGroups(days: readonly DaySpend[]): GroupSum[] {
  const sums = new Map<string, GroupSum>();
  for (const { name, requests, nanoUsd } of days.flatMap((day) => day.groups)) {
    const sum = sums.get(name) ?? { group: name, requests: 0, nanoUsd: 0 };
    sum.requests += requests;
    sum.nanoUsd += nanoUsd;
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.nanoUsd - a.nanoUsd || (a.group < b.group ? -1 : 1));
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

const asOf = (now: number): string => new Date(now - SHIPPED_AFTER_MS).toISOString();

function objectNames(envs: readonly string[], days: readonly number[]): string[] {
  return days.flatMap((day) => envs.map((env) => trailName(env, day)));
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

/** `work` on every item, a few at a time, with the results in the order of the items. After a failure nothing starts. */
async function inTurn<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    for (const [at, item] of waiting) {
      if (hasFailed) return;
      results[at] = await work(item).catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, worker));
  return results;
}

async function ask<T>(namespace: Trails, name: string, call: (trail: Trail) => Promise<T>): Promise<T> {
  try {
    // The same methods: the platform's own stub type makes arrays of the tuples in a histogram.
    return await callWithRetry(CALL_LIMIT_MS, async () => call(namespace.getByName(name) as unknown as Trail));
  } catch {
    throw unavailable();
  }
}

function unavailable(): RouterError {
  return new RouterError("ledger_unavailable", "Part of the trace index did not answer. Retry shortly.");
}
