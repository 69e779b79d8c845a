/**
 * What this isolate knows of its targets, and the exchange with what the others know.
 *
 * Isolate first: a decision reads module scope and waits for nothing. Outcomes are counted here and posted behind the
 * answer at most once a second per target; the answer to the post is the shared view. When the object cannot be
 * reached the local view goes on alone, and the outcomes of that second are lost, not sent twice.
 */
import type { ProviderHealth } from "./provider-health.ts";
import type { HealthDelta, HealthSnapshot } from "./types.ts";

/** Hard failures in a row after which a target rests. */
const PENALTY_AFTER = 3;
const PENALTY_MS = 3_000;
/** For a vendor that limits without saying how long. */
const DEFAULT_COOLDOWN_MS = 1_000;
const MAX_COOLDOWN_MS = 60_000;
const POST_EVERY_MS = 1_000;
const POST_LIMIT_MS = 2_000;
/** Targets of all policies together. Beyond it the one that was first seen is forgotten. */
const MAX_TARGETS = 2_000;

/** `ignored`: says nothing about the target, such as a client that left or a request the vendor rightly refused. */
export type Outcome = "success" | "failure" | "rate_limited" | "ignored";

interface TargetHealth {
  consecutiveFailures: number;
  /** Epoch ms until which this isolate leaves the target alone after failures. */
  penaltyUntil: number;
  /** Epoch ms until which the vendor asked to be left alone. */
  cooldownUntil: number;
  /** The shared breaker as last heard. */
  sharedOpenUntil: number;
  /** The shared breaker was not closed when last heard of. */
  isOnProbation: boolean;
  /** Not posted yet. */
  successes: number;
  failures: number;
  durationMs: number;
  lastPostAt: number;
  /** Until then a request has promised to post. A time, not a flag: that request may die. */
  postPromisedUntil: number;
}

const targets = new Map<string, TargetHealth>();

/** `penalised`: this isolate saw it fail or was asked to wait; `open`: the shared breaker keeps traffic away. */
export type TargetState = "closed" | "penalised" | "open";

/** How `target` (`<provider>/<model>`) stands at `now`. Unknown targets are closed. Reads memory only. */
export function targetState(target: string, now: number): TargetState {
  const health = targets.get(target);
  if (health === undefined) return "closed";
  if (now < health.sharedOpenUntil) return "open";
  return now < health.penaltyUntil || now < health.cooldownUntil ? "penalised" : "closed";
}

/**
 * Counts one finished call. `durationMs` is that of the call; `retryAfterMs` the vendor's own wish with
 * `rate_limited`, believed from 0 to 60 s. Never throws and never waits.
 */
export function reportOutcome(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
  outcome: Outcome,
  durationMs: number,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
  retryAfterMs = DEFAULT_COOLDOWN_MS,
): void {
  if (outcome === "ignored") return;
  const health = findOrAdd(target);
  count(health, outcome, durationMs, now, retryAfterMs);
  if (now < health.postPromisedUntil) return;
  const delayMs = Math.min(POST_EVERY_MS, Math.max(0, health.lastPostAt + POST_EVERY_MS - now));
  health.postPromisedUntil = now + delayMs + POST_LIMIT_MS;
  waitUntil(post(namespace, target, health, delayMs));
}

function findOrAdd(target: string): TargetHealth {
  const known = targets.get(target);
  if (known !== undefined) return known;
  const added: TargetHealth = {
    consecutiveFailures: 0,
    penaltyUntil: 0,
    cooldownUntil: 0,
    sharedOpenUntil: 0,
    isOnProbation: false,
    successes: 0,
    failures: 0,
    durationMs: 0,
    lastPostAt: 0,
    postPromisedUntil: 0,
  };
  targets.set(target, added);
  if (targets.size > MAX_TARGETS) {
    const oldest = targets.keys().next().value;
    if (oldest !== undefined) targets.delete(oldest);
  }
  return added;
}

function count(
  health: TargetHealth,
  outcome: Exclude<Outcome, "ignored">,
  durationMs: number,
  now: number,
  retryAfterMs: number,
): void {
  switch (outcome) {
    case "success":
      // Only the run of failures ends: a deadline that was set stays, whoever slipped through before it.
      health.consecutiveFailures = 0;
      health.successes++;
      health.durationMs += Math.max(0, Math.round(durationMs));
      return;
    case "failure": {
      health.consecutiveFailures++;
      health.failures++;
      // A failed probe needs no second and third: the others have said what it confirms.
      const isEnough = health.consecutiveFailures >= PENALTY_AFTER || health.isOnProbation;
      if (isEnough) health.penaltyUntil = Math.max(health.penaltyUntil, now + PENALTY_MS);
      return;
    }
    case "rate_limited": {
      // A vendor's number, so it may be a fraction, or none at all.
      const wishMs = Number.isNaN(retryAfterMs) ? DEFAULT_COOLDOWN_MS : Math.ceil(retryAfterMs);
      const cooldownMs = Math.min(MAX_COOLDOWN_MS, Math.max(0, wishMs));
      health.cooldownUntil = Math.max(health.cooldownUntil, now + cooldownMs);
      return;
    }
  }
}

/**
 * Sends what was counted, now or when a post is due, and takes back the shared view. What is counted while a post is
 * under way goes with one more, so that the end of a burst is not left lying until the next request.
 */
async function post(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
  health: TargetHealth,
  delayMs: number,
): Promise<void> {
  if (delayMs > 0) await scheduler.wait(delayMs);
  await postOnce(namespace, target, health);
  if (health.successes + health.failures > 0) {
    health.postPromisedUntil = Date.now() + POST_EVERY_MS + POST_LIMIT_MS;
    await scheduler.wait(POST_EVERY_MS);
    await postOnce(namespace, target, health);
  }
  health.postPromisedUntil = 0;
}

async function postOnce(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
  health: TargetHealth,
): Promise<void> {
  const { successes, failures, durationMs, cooldownUntil } = health;
  const delta: HealthDelta = { successes, failures, durationMs, cooldownUntil };
  health.successes = health.failures = health.durationMs = 0;
  health.lastPostAt = Date.now();
  const limit = new AbortController();
  try {
    const report = async (): Promise<HealthSnapshot> => await namespace.getByName(target).report(delta);
    const tooLong = scheduler.wait(POST_LIMIT_MS, { signal: limit.signal }).then(() => null);
    tooLong.catch(() => {});
    const snapshot = await Promise.race([report(), tooLong]);
    if (snapshot !== null) adopt(health, snapshot);
  } catch {
    // The local view goes on alone; the next report tries again with what is counted by then.
  } finally {
    limit.abort();
  }
}

function adopt(health: TargetHealth, snapshot: HealthSnapshot): void {
  health.sharedOpenUntil = snapshot.openUntil;
  health.isOnProbation = snapshot.state !== "closed";
  health.cooldownUntil = Math.max(health.cooldownUntil, snapshot.cooldownUntil);
}
