/**
 * What one isolate knows of one target: what it saw itself, and what the target's object last reported.
 *
 * Pure but for the record it is given; `now` is epoch ms. Every deadline has a longest run, so that a clock that jumps
 * back by an hour does not stretch a rest of seconds into an hour.
 */
import { isAhead, LEASE_MS, MAX_COOLDOWN_MS, MAX_EJECTION_MS } from "./breaker.ts";
import { PromptMemory } from "./cache-share.ts";
import { concerns, withKey } from "./failed-keys.ts";
import { forecastAt } from "./forecast.ts";
import { LatencySketch, LatencyWindow } from "./quantile.ts";
import { RetryBudget, TokenBucket } from "./rates.ts";
import type { HealthAnswer, HealthDelta, LastFailure, LatencySummary } from "./types.ts";
import { adoptUnclean } from "./unclean.ts";

/** Hard failures in a row after which a target rests. */
const PENALTY_AFTER = 3;
const PENALTY_MS = 3_000;
/** For a provider that limits without saying how long. */
const DEFAULT_COOLDOWN_MS = 1_000;
/** Where the object does not answer, an isolate allows itself a probe this often. */
const OWN_LEASE_EVERY_MS = 3_000;
const EXPLORE_MS = 10_000;

/**
 * `penalised`: this isolate saw it fail. `cooling`: the provider asked to be left alone. `open`: it gets no requests,
 * except as a probe or for want of another target.
 */
export type TargetState = "closed" | "penalised" | "cooling" | "open";

/** Time to the first token of a stream, or to the whole answer. */
export type LatencyKind = "firstToken" | "total";

/** Half of the calls, and 19 of 20, are expected to be answered within so many milliseconds. */
export interface Forecast {
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** `ignored`: says nothing about the target, such as a client that left or a request the provider rightly refused. */
export type Outcome = "success" | "failure" | "rate_limited" | "ignored";

/** Plain data. */
export interface AttemptTicket {
  readonly target: string;
  /** Epoch ms. */
  readonly startedAt: number;
  /** Began while the shared breaker was known as not closed: its end decides about it. */
  readonly isProbe: boolean;
  /** Id of the key whose request it serves; empty where that is not known. */
  readonly key: string;
  /** Its end has been reported; a stream that breaks later is reported once more. */
  isEnded: boolean;
  /** For a success: the run of failures that it ended, and how many successes there had been with it. */
  failuresBefore: number;
  keysBefore: readonly string[];
  successesThen: number;
}

export interface AttemptReport {
  readonly outcome: Outcome;
  /** What was measured, or null when nothing was (an HTTP error, a refused connection). */
  readonly latency: {
    readonly kind: LatencyKind;
    readonly ms: number;
    /** false: we ended it at this age, it would have taken longer. */
    readonly answered: boolean;
  } | null;
  /** Epoch ms. */
  readonly now: number;
  /** For a failure: what operators see of it. */
  readonly failure?: LastFailure | undefined;
  /** With `rate_limited`: the provider's delay, taken from 0 to 60 s. Default a second. */
  readonly retryAfterMs?: number | undefined;
}

interface Measured<T> {
  firstToken: T;
  total: T;
}

/** What was counted since the last post. */
interface Pending {
  successes: number;
  failures: number;
  rateLimited: number;
  broken: number;
  probeSuccesses: number;
  probeFailures: number;
  wantsLease: boolean;
  returnsLease: boolean;
  isUnclean: boolean;
}

const NOTHING: Readonly<Pending> = {
  ...{ successes: 0, failures: 0, rateLimited: 0, broken: 0, probeSuccesses: 0, probeFailures: 0 },
  ...{ wantsLease: false, returnsLease: false, isUnclean: false },
};

export interface TargetHealth {
  failuresInRow: number;
  /** Whose requests these were, two keys at most: two say as much as a hundred. */
  keysInRow: readonly string[];
  /** Ever. */
  successes: number;
  penaltyUntil: number;
  /** As `keysInRow`, when the penalty began. */
  penaltyKeys: readonly string[];
  cooldownUntil: number;
  /** Until then its streams are read event by event. */
  uncleanUntil: number;
  /** The shared breaker as last heard: not closed, and how long it lets nothing pass. */
  isOpen: boolean;
  /** The only key whose requests opened it, so that it is open for that one alone; `null`: open for all. */
  openFor: string | null;
  openUntil: number;
  /** The object's time of what it said last; 0 before it said anything. */
  heardAt: number;
  /** The right to begin one probe; ends with its use. */
  leaseUntil: number;
  /** Start of the attempt that used the last lease and has not ended; 0 without one. */
  leaseUsedAt: number;
  /** When this isolate last gave itself a lease. */
  ownLeaseAt: number;
  /** Start of the attempt that measures the target, 0 without one. */
  exploredAt: number;
  readonly allowance: TokenBucket;
  readonly retries: RetryBudget;
  readonly windows: Measured<LatencyWindow>;
  /** Summaries of all isolates, and this isolate's time at which they came. */
  readonly shared: Measured<LatencySummary | null> & { heardAt: number };
  readonly forecasts: Measured<{ at: number; forecast: Forecast } | null>;
  readonly pending: Pending;
  /** Whose requests failed since the last post, two keys at most. */
  pendingKeys: readonly string[];
  readonly pendingLatency: Measured<LatencySketch>;
  /** The last failure since the last post. */
  pendingFailure: LastFailure | undefined;
  readonly prompts: PromptMemory;
  lastPostAt: number;
  /** Until then a request has promised to post. A time, not a flag: that request may die. */
  postPromisedUntil: number;
}

export function newTargetHealth(): TargetHealth {
  return {
    failuresInRow: 0,
    keysInRow: [],
    successes: 0,
    penaltyUntil: 0,
    penaltyKeys: [],
    cooldownUntil: 0,
    uncleanUntil: 0,
    isOpen: false,
    openFor: null,
    openUntil: 0,
    heardAt: 0,
    leaseUntil: 0,
    leaseUsedAt: 0,
    ownLeaseAt: 0,
    exploredAt: 0,
    allowance: new TokenBucket(),
    retries: new RetryBudget(),
    windows: { firstToken: new LatencyWindow(), total: new LatencyWindow() },
    shared: { heardAt: 0, firstToken: null, total: null },
    forecasts: { firstToken: null, total: null },
    pending: { ...NOTHING },
    pendingKeys: [],
    pendingFailure: undefined,
    pendingLatency: { firstToken: new LatencySketch(), total: new LatencySketch() },
    prompts: new PromptMemory(),
    lastPostAt: 0,
    postPromisedUntil: 0,
  };
}

function isPenalised(health: TargetHealth, now: number): boolean {
  return isAhead(health.penaltyUntil, now, PENALTY_MS);
}

function isCooling(health: TargetHealth, now: number): boolean {
  return isAhead(health.cooldownUntil, now, MAX_COOLDOWN_MS);
}

function holdsLease(health: TargetHealth, now: number): boolean {
  return isAhead(health.leaseUntil, now, LEASE_MS);
}

function isOpenFor({ isOpen, openFor }: TargetHealth, key: string): boolean {
  return isOpen && (openFor === null || openFor === key);
}

/** For requests of `key`. Changes nothing. */
export function stateAt(health: TargetHealth, now: number, key = ""): TargetState {
  const isResting = isCooling(health, now);
  if (isOpenFor(health, key)) {
    const mayProbe = !isAhead(health.openUntil, now, MAX_EJECTION_MS) && !isResting && holdsLease(health, now);
    return mayProbe ? "closed" : "open";
  }
  const isFailing = isPenalised(health, now) && concerns(health.penaltyKeys, key);
  if (!isFailing && !isResting) return "closed";
  if (!health.allowance.has(now)) return "open";
  return isFailing ? "penalised" : "cooling";
}

/** The time of an open breaker is up, a probe could be sent, and this isolate neither may nor does send one. */
export function needsLease(health: TargetHealth, now: number, key = ""): boolean {
  if (!isOpenFor(health, key) || isAhead(health.openUntil, now, MAX_EJECTION_MS) || isCooling(health, now))
    return false;
  return !holdsLease(health, now) && !isAhead(health.leaseUsedAt + LEASE_MS, now, LEASE_MS);
}

export function isExploring(health: TargetHealth, now: number): boolean {
  return isAhead(health.exploredAt + EXPLORE_MS, now, EXPLORE_MS);
}

export function begin(health: TargetHealth, target: string, now: number, key = ""): AttemptTicket {
  health.retries.noteAttempt();
  const isProbe = isOpenFor(health, key);
  if (isProbe) {
    if (holdsLease(health, now)) {
      health.leaseUntil = 0;
      health.leaseUsedAt = now;
    }
  } else if (stateAt(health, now, key) !== "closed") {
    health.allowance.take(now);
  }
  const isUnmeasured = forecastAt(health, "firstToken", now) === null || forecastAt(health, "total", now) === null;
  if (isUnmeasured && !isExploring(health, now)) health.exploredAt = now;
  const end = { isEnded: false, failuresBefore: 0, keysBefore: [], successesThen: -1 };
  return { target, startedAt: now, isProbe, key, ...end };
}

/** Counts an ended attempt. */
export function record(health: TargetHealth, ticket: AttemptTicket, report: AttemptReport): void {
  const { outcome, now } = report;
  if (!ticket.isEnded) health.retries.noteEnd();
  // A stream that breaks was no success: unless there was another one, the run of failures goes on where it had ended it.
  else if (health.successes === ticket.successesThen) {
    health.failuresInRow += ticket.failuresBefore;
    health.keysInRow = ticket.keysBefore.reduce(withKey, health.keysInRow);
  }
  ticket.isEnded = true;
  if (ticket.startedAt === health.exploredAt) health.exploredAt = 0;
  const isLeased = ticket.isProbe && ticket.startedAt === health.leaseUsedAt;
  if (isLeased) health.leaseUsedAt = 0;
  recordLatency(health, report);
  const { pending } = health;
  if (outcome === "failure" || outcome === "rate_limited")
    health.pendingFailure = report.failure ?? health.pendingFailure;
  switch (outcome) {
    case "ignored":
      pending.returnsLease ||= isLeased;
      return;
    case "rate_limited":
      pending.returnsLease ||= isLeased;
      pending.rateLimited++;
      health.cooldownUntil = extended(health.cooldownUntil, believedMs(report.retryAfterMs), now);
      return;
    case "success":
      ticket.failuresBefore = health.failuresInRow;
      ticket.keysBefore = health.keysInRow;
      ticket.successesThen = ++health.successes;
      health.failuresInRow = 0;
      health.keysInRow = [];
      // A request that slipped through before the penalty proves nothing; one that began after it does.
      if (ticket.startedAt > health.penaltyUntil - PENALTY_MS) health.penaltyUntil = 0;
      if (!ticket.isProbe) pending.successes++;
      else {
        pending.probeSuccesses++;
        // The object will say the same; if it cannot be reached, this is what counts.
        if (!isAhead(health.openUntil, now, MAX_EJECTION_MS)) close(health);
      }
      return;
    case "failure":
      health.failuresInRow++;
      health.keysInRow = withKey(health.keysInRow, ticket.key);
      health.pendingKeys = withKey(health.pendingKeys, ticket.key);
      if (ticket.successesThen !== -1 && !ticket.isProbe) pending.broken++;
      if (ticket.isProbe) pending.probeFailures++;
      else pending.failures++;
      // A failed probe needs no second and third: the others have said what it confirms.
      if (health.failuresInRow >= PENALTY_AFTER || (ticket.isProbe && health.isOpen)) {
        health.penaltyUntil = now + PENALTY_MS;
        health.penaltyKeys = health.keysInRow;
      }
  }
}

function recordLatency(health: TargetHealth, { latency, now }: AttemptReport): void {
  // A clock that went back during the call has measured nothing.
  if (latency === null || !(latency.ms >= 0)) return;
  health.windows[latency.kind].add(latency.ms, latency.answered, now);
  health.pendingLatency[latency.kind].add(latency.ms, latency.answered);
}

/** A provider's number, so it may be a fraction, or none at all. */
function believedMs(wishMs = DEFAULT_COOLDOWN_MS): number {
  const wholeMs = Number.isNaN(wishMs) ? DEFAULT_COOLDOWN_MS : Math.ceil(wishMs);
  return Math.min(MAX_COOLDOWN_MS, Math.max(0, wholeMs));
}

/** The later of a cooldown that runs and one of `durationMs` from now. */
function extended(cooldownUntil: number, durationMs: number, now: number): number {
  return Math.max(isAhead(cooldownUntil, now, MAX_COOLDOWN_MS) ? cooldownUntil : 0, now + durationMs);
}

function close(health: TargetHealth): void {
  // What the run was made of is older than the probe that closed the breaker.
  if (health.isOpen) {
    health.failuresInRow = 0;
    health.keysInRow = [];
  }
  health.isOpen = false;
  health.openFor = null;
  health.openUntil = 0;
  health.leaseUntil = 0;
}

/** The shared breaker is not closed, and lets nothing pass for so long: nothing of `openFor`, where that is a key. */
export function open(health: TargetHealth, openMs: number, now: number, openFor: string | null = null): void {
  health.isOpen = true;
  health.openFor = openFor;
  health.openUntil = now + Math.min(MAX_EJECTION_MS, Math.max(0, openMs));
}

/** Takes over the object's answer to a post that was sent at `sentAt`, both in this isolate's time. */
export function adopt(health: TargetHealth, answer: HealthAnswer, sentAt: number, now: number): void {
  health.heardAt = answer.at;
  if (answer.state === "closed") close(health);
  else open(health, answer.openUntil - answer.at, now, answer.openFor ?? null);
  // Counted from the question on: in the object's eyes it began later, so it cannot end there before it ends here.
  if (answer.leaseMs > 0 && health.isOpen) health.leaseUntil = sentAt + Math.min(LEASE_MS, answer.leaseMs);
  const cooldownMs = Math.min(MAX_COOLDOWN_MS, answer.cooldownUntil - answer.at);
  if (cooldownMs > 0) health.cooldownUntil = extended(health.cooldownUntil, cooldownMs, now);
  adoptUnclean(health, answer, now);
  health.shared.heardAt = now;
  health.shared.firstToken = answer.firstToken;
  health.shared.total = answer.total;
  health.prompts.cachedShare = answer.cachedShare ?? 0;
}

/** No object could grant a lease: this isolate takes one itself, now and then. */
export function leaseOwn(health: TargetHealth, now: number): void {
  const isRecent = isAhead(health.ownLeaseAt + OWN_LEASE_EVERY_MS, now, OWN_LEASE_EVERY_MS);
  if (isRecent || !needsLease(health, now, health.openFor ?? "")) return;
  health.ownLeaseAt = now;
  health.leaseUntil = now + LEASE_MS;
}

export function hasPending({ pending, pendingLatency }: TargetHealth): boolean {
  const { successes, failures, rateLimited, probeSuccesses, probeFailures, ...flags } = pending;
  if (successes + failures + rateLimited + probeSuccesses + probeFailures > 0) return true;
  if (flags.wantsLease || flags.returnsLease || flags.isUnclean) return true;
  return pendingLatency.firstToken.calls + pendingLatency.total.calls > 0;
}

/** What is to be posted; from here on it counts as sent. */
export function takeDelta(health: TargetHealth, isolate: string, now: number): HealthDelta {
  const { pending, pendingLatency } = health;
  const delta: HealthDelta = {
    isolate,
    ...pending,
    failedKeys: health.pendingKeys,
    lastFailure: health.pendingFailure,
    isPenalising: isPenalised(health, now),
    cooldownMs: isCooling(health, now) ? health.cooldownUntil - now : 0,
    firstToken: pendingLatency.firstToken.rows(),
    total: pendingLatency.total.rows(),
    ...health.prompts.take(),
  };
  pending.successes = pending.failures = pending.rateLimited = pending.broken = 0;
  pending.probeSuccesses = pending.probeFailures = 0;
  pending.wantsLease = pending.returnsLease = pending.isUnclean = false;
  health.pendingKeys = [];
  health.pendingFailure = undefined;
  pendingLatency.firstToken.clear();
  pendingLatency.total.clear();
  return delta;
}
