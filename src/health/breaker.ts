/**
 * The circuit breaker of one target, shared by all isolates.
 *
 * Pure: (state, what an isolate saw, now) → state. Closed, it opens when at least half of at least 20 requests of the
 * last minute failed, or when three isolates say that they leave the target alone and most of what all isolates reported
 * in the last two seconds failed as well: of very many isolates three have bad luck at any time. Open, it stays so for
 * 5 s, then 10, then 20. After that one isolate at a time may send a probe, and the next probe's end decides. Requests
 * from before are ignored while it is not closed: they say nothing about the target now. Deadlines have a longest run, so
 * that a clock that jumps cannot wedge it.
 *
 * What only the requests of one key saw may be that key's doing. It opens the breaker for that key alone, until a request
 * of another one fails too.
 */
import { ANYBODY, type FailedKey, soleKeyOf, withFailed } from "./failed-keys.ts";
import { isInWindow, sliceStart } from "./quantile.ts";
import type { HealthDelta, HealthSnapshot } from "./types.ts";

const MIN_REQUESTS = 20;
const OPEN_FAILURE_RATIO = 0.5;
const MIN_VOTES = 3;
const VOTE_MS = 10_000;
/** Whole seconds, the one that runs included. */
const LATEST_MS = 2_000;
const FIRST_EJECTION_MS = 5_000;
/** The longest time that a target gets nothing but probes that were not asked for. */
export const MAX_EJECTION_MS = 20_000;
/** More ejections would make none of them longer, only the way back to a short one. */
const MAX_EJECTIONS = 5;
/** Time in service that makes up for one ejection. */
const FORGIVE_MS = 60_000;
/** Longest cooldown that a provider can ask for. */
export const MAX_COOLDOWN_MS = 60_000;
/** The isolate that holds a lease may die with it. */
export const LEASE_MS = 5_000;

/** The outcomes of one slice of the window. */
export interface Bucket {
  /** Epoch ms, a multiple of the slice's length. */
  readonly startAt: number;
  readonly successes: number;
  readonly failures: number;
  readonly rateLimited: number;
}

/** An isolate leaves the target alone. */
export interface Vote {
  readonly isolate: string;
  readonly at: number;
}

/** The outcomes of one second. */
export interface Second {
  /** Epoch ms. */
  readonly startAt: number;
  readonly requests: number;
  readonly failures: number;
}

export interface Lease {
  readonly isolate: string;
  /** Epoch ms. */
  readonly until: number;
}

export interface Breaker {
  /** `half_open` is not stored: it is an open breaker whose time is up. */
  readonly isOpen: boolean;
  /** Epoch ms at which a probe may pass; 0 while closed. */
  readonly openUntil: number;
  /** In a row; while closed as of `closedAt`. */
  readonly ejections: number;
  /** When it closed last, epoch ms; 0 while open. */
  readonly closedAt: number;
  /** Oldest first. */
  readonly buckets: readonly Bucket[];
  /** Isolates that leave the target alone, each once. Three at most, and only while closed. */
  readonly votes: readonly Vote[];
  /** Outcomes of the last seconds, oldest first. Only while closed. */
  readonly latest: readonly Second[];
  readonly lease: Lease | null;
  /** Keys whose requests failed within the window, the latest last, two at most. Only while closed. */
  readonly failed: readonly FailedKey[];
  /** The only key that it is open for; `null`: it is closed, or open for all. */
  readonly openFor: string | null;
}

/** The part of a report that the breaker looks at. */
export type Evidence = Pick<
  HealthDelta,
  | "isolate"
  | "successes"
  | "broken"
  | "failures"
  | "failedKeys"
  | "rateLimited"
  | "probeSuccesses"
  | "probeFailures"
  | "isPenalising"
  | "wantsLease"
  | "returnsLease"
>;

export const CLOSED_BREAKER: Breaker = {
  isOpen: false,
  openUntil: 0,
  ejections: 0,
  closedAt: 0,
  buckets: [],
  votes: [],
  latest: [],
  lease: null,
  failed: [],
  openFor: null,
};

/** Requests note the time and use it a little later, out of order. */
const CLOCK_SLACK_MS = 5_000;

/** Is a deadline still ahead? One much farther ahead than it can be set is left over from a clock that went back. */
export function isAhead(until: number, now: number, longestMs: number): boolean {
  return now < until && until - now <= longestMs + CLOCK_SLACK_MS;
}

export function breakerState(breaker: Breaker, now: number): HealthSnapshot["state"] {
  if (!breaker.isOpen) return "closed";
  return isAhead(breaker.openUntil, now, MAX_EJECTION_MS) ? "open" : "half_open";
}

/** Ejections in a row that still count at `now`. */
export function ejectionsAt({ isOpen, ejections, closedAt }: Breaker, now: number): number {
  if (isOpen) return ejections;
  return Math.max(0, ejections - Math.floor(Math.max(0, now - closedAt) / FORGIVE_MS));
}

/** How long `isolate` may still begin a probe, milliseconds; 0 without a lease. */
export function leaseMsOf(breaker: Breaker, isolate: string, now: number): number {
  const { lease } = breaker;
  if (lease === null || lease.isolate !== isolate || !isAhead(lease.until, now, LEASE_MS)) return 0;
  return breakerState(breaker, now) === "half_open" ? lease.until - now : 0;
}

/** The breaker after a report came in at `now`. */
export function recordEvidence(breaker: Breaker, evidence: Evidence, now: number): Breaker {
  const after = withOutcomes(breaker, evidence, now);
  return withLease(after, evidence, now);
}

function withOutcomes(breaker: Breaker, evidence: Evidence, now: number): Breaker {
  const { probeSuccesses, probeFailures } = evidence;
  switch (breakerState(breaker, now)) {
    case "open":
      return openForMore(breaker, evidence);
    case "half_open": {
      if (probeSuccesses + probeFailures === 0) return openForMore(breaker, evidence);
      if (probeFailures >= probeSuccesses) return opened(breaker, openForMore(breaker, evidence).openFor, now);
      const probes = { ...evidence, successes: 0, failures: 0, broken: 0 };
      return { ...breaker, ...AFRESH, isOpen: false, closedAt: now, buckets: addToWindow([], probes, now) };
    }
    case "closed":
      return whileClosed(breaker, evidence, now);
  }
}

function whileClosed(breaker: Breaker, evidence: Evidence, now: number): Breaker {
  const buckets = addToWindow(breaker.buckets, evidence, now);
  const votes = withVote(breaker.votes, evidence, now);
  const { successes, failures } = sumWindow(buckets, now);
  const requests = successes + failures;
  const isBad = requests >= MIN_REQUESTS && failures >= requests * OPEN_FAILURE_RATIO;
  const latest = withLatest(breaker.latest, evidence, now);
  const failed = withFailed(breaker.failed, keysOf(evidence), now);
  const isFailing = isBad || (votes.length >= MIN_VOTES && isMostlyFailing(latest));
  if (isFailing && isAgainst(evidence)) return opened(breaker, soleKeyOf(failed), now);
  // A clock that went back must not keep ejections from being forgotten.
  return { ...breaker, closedAt: Math.min(breaker.closedAt, now), buckets, votes, latest, failed };
}

/** Only a report that holds something bad opens: an answer that makes the sample large enough is no reason to. */
function isAgainst({ failures, probeFailures, isPenalising }: Evidence): boolean {
  return failures + probeFailures > 0 || isPenalising;
}

/** Whose failures a report tells of. One that does not say may tell of anybody's. */
function keysOf({ failures, probeFailures, failedKeys = [ANYBODY] }: Evidence): readonly string[] {
  return failures + probeFailures === 0 ? [] : failedKeys;
}

/** Open for all as soon as another key's request fails: then it is the target. */
function openForMore(breaker: Breaker, evidence: Evidence): Breaker {
  const { openFor } = breaker;
  if (openFor === null || keysOf(evidence).every((key) => key === openFor)) return breaker;
  return { ...breaker, openFor: null };
}

function withLease(breaker: Breaker, { isolate, wantsLease, returnsLease }: Evidence, now: number): Breaker {
  if (breakerState(breaker, now) !== "half_open") return breaker.lease === null ? breaker : { ...breaker, lease: null };
  const isGivenBack = returnsLease && breaker.lease?.isolate === isolate;
  const held = breaker.lease !== null && !isGivenBack && isAhead(breaker.lease.until, now, LEASE_MS);
  if (wantsLease && !held) return { ...breaker, lease: { isolate, until: now + LEASE_MS } };
  return isGivenBack ? { ...breaker, lease: null } : breaker;
}

/** Outcomes of the last minute. An open breaker has none: it starts again from nothing. */
export function sumWindow(buckets: readonly Bucket[], now: number): Omit<Bucket, "startAt"> {
  const sum = { successes: 0, failures: 0, rateLimited: 0 };
  for (const bucket of buckets) {
    if (!isInWindow(bucket.startAt, now)) continue;
    sum.successes += bucket.successes;
    sum.failures += bucket.failures;
    sum.rateLimited += bucket.rateLimited;
  }
  // Streams that broke took back successes, some of which the window has forgotten.
  sum.successes = Math.max(0, sum.successes);
  return sum;
}

const AFRESH = { openUntil: 0, votes: [], latest: [], lease: null, failed: [], openFor: null };

/** The window is forgotten: what closed the breaker must not open it again. */
function opened(breaker: Breaker, openFor: string | null, now: number): Breaker {
  const ejections = Math.min(MAX_EJECTIONS, ejectionsAt(breaker, now) + 1);
  const ejectionMs = Math.min(MAX_EJECTION_MS, FIRST_EJECTION_MS * 2 ** (ejections - 1));
  return { ...AFRESH, isOpen: true, openFor, openUntil: now + ejectionMs, ejections, closedAt: 0, buckets: [] };
}

/** How many isolates leave the target alone at `now`; three stand for more. */
export function votesAt({ votes }: Breaker, now: number): number {
  return votes.filter((vote) => Math.abs(now - vote.at) < VOTE_MS).length;
}

function withVote(votes: readonly Vote[], { isolate, isPenalising }: Evidence, now: number): readonly Vote[] {
  const kept = votes.filter((vote) => vote.isolate !== isolate && Math.abs(now - vote.at) < VOTE_MS);
  return isPenalising ? [...kept, { isolate, at: now }].slice(-MIN_VOTES) : kept;
}

function withLatest(latest: readonly Second[], evidence: Evidence, now: number): readonly Second[] {
  const startAt = now - (now % 1_000);
  const kept = latest.filter((second) => Math.abs(startAt - second.startAt) < LATEST_MS);
  const failures = evidence.failures + evidence.probeFailures;
  const requests = failures + evidence.successes + evidence.probeSuccesses - evidence.broken;
  const same = kept.find((second) => second.startAt === startAt);
  if (same === undefined) return [...kept, { startAt, requests, failures }];
  const more = { startAt, requests: same.requests + requests, failures: same.failures + failures };
  return kept.map((second) => (second === same ? more : second));
}

function isMostlyFailing(latest: readonly Second[]): boolean {
  const requests = latest.reduce((sum, second) => sum + second.requests, 0);
  const failures = latest.reduce((sum, second) => sum + second.failures, 0);
  return failures >= requests * OPEN_FAILURE_RATIO;
}

function addToWindow(buckets: readonly Bucket[], evidence: Evidence, now: number): readonly Bucket[] {
  const kept = buckets.filter((bucket) => isInWindow(bucket.startAt, now));
  // Probes that end after another one has closed the breaker are requests like any other.
  const successes = evidence.successes + evidence.probeSuccesses - evidence.broken;
  const failures = evidence.failures + evidence.probeFailures;
  const { rateLimited } = evidence;
  if (successes === 0 && failures === 0 && rateLimited === 0) return kept;
  const startAt = sliceStart(now);
  const last = kept.at(-1);
  if (last === undefined || last.startAt < startAt) {
    kept.push({ startAt, successes, failures, rateLimited });
    return kept;
  }
  // Also where the clock went back a little: what counts as newest must stay last.
  kept[kept.length - 1] = {
    startAt: last.startAt,
    successes: last.successes + successes,
    failures: last.failures + failures,
    rateLimited: last.rateLimited + rateLimited,
  };
  return kept;
}
