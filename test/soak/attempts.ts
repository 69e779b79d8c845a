/**
 * What the router says it asked of its targets, from the traces it settled, and why each attempt of a target that was
 * down was made.
 *
 * The rules of the router's own limits are played again over the attempts' times. An attempt is
 * - a probe, when the target was resting as it began and the limits let it pass on purpose: it had a whole token of the
 *   allowance of a resting target (10 at most, one back per second), or the lease of a half-open breaker, of which there is
 *   one at a time;
 * - detection, when the isolate could not know yet: up to the end of the third failure in a row, what was under way
 *   then, and what began in the moment between an end and its being noticed;
 * - excess otherwise: the target was resting and no limit had room for it.
 */
import type { Trace, TraceAttempt } from "../../src/traces/schema.ts";
import type { TestWorker } from "../support/worker.ts";

export interface TimedAttempt {
  readonly traceId: string;
  readonly provider: string;
  readonly outcome: TraceAttempt["outcome"];
  /** Epoch ms. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** The request had asked this target before: it is a retry, decided when the attempt before it ended. */
  readonly retryOfEnd: number | null;
}

/** A state of a shared breaker, as `GET /admin/providers` told it. */
export interface BreakerSight {
  /** Epoch ms. */
  readonly at: number;
  readonly provider: string;
  readonly state: string;
  /** Epoch ms; 0 while closed. */
  readonly openUntil: number;
  readonly ejections: number;
}

export interface Reasons {
  readonly allowance: number;
  readonly leased: number;
  readonly detection: number;
  readonly excess: number;
  /** Of the excess: second tries of one request. */
  readonly excessRetries: number;
  /** The most leased probes that ran at the same time. */
  readonly leasedAtATime: number;
}

const PENALTY_AFTER = 3;
const PENALTY_MS = 3_000;
const ALLOWANCE = 10;
const FIRST_EJECTION_MS = 5_000;
const MAX_EJECTION_MS = 20_000;
/** Times are whole milliseconds, and a state that was read lies a moment before the attempt. */
const SLACK_MS = 10;
const NOTICE_MS = 5;

/** All settled traces of `keys`, oldest first. Waits until there are `count` of them, at most 20 s. */
export async function readTraces(worker: TestWorker, keys: readonly string[], count: number): Promise<Trace[]> {
  for (const giveUpAt = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 500))) {
    const pages = await Promise.all(keys.map((key) => tracesOf(worker, key)));
    const traces = pages.flat();
    if (traces.length >= count || Date.now() > giveUpAt) {
      return traces.sort((left, right) => left.created_at.localeCompare(right.created_at));
    }
  }
}

async function tracesOf(worker: TestWorker, key: string): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (let cursor = ""; ; ) {
    const response = await worker.fetch(`/v1/traces?limit=1000${cursor}`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const page = (await response.json()) as { data: Trace[]; next_cursor: string | null };
    traces.push(...page.data);
    if (page.next_cursor === null) return traces;
    cursor = `&cursor=${page.next_cursor}`;
  }
}

/** Every attempt of `traces`, by the time it began. */
export function attemptsOf(traces: readonly Trace[]): TimedAttempt[] {
  const all = traces.flatMap(({ id, created_at, attempts }) => {
    const receivedAt = Date.parse(created_at);
    return attempts.map(({ provider, outcome, started_ms, duration_ms }, index): TimedAttempt => {
      const startedAt = receivedAt + started_ms;
      const before = attempts.slice(0, index).findLast((each) => each.provider === provider);
      const retryOfEnd = before === undefined ? null : receivedAt + before.started_ms + before.duration_ms;
      return { traceId: id, provider, outcome, startedAt, endedAt: startedAt + duration_ms, retryOfEnd };
    });
  });
  return all.sort((left, right) => left.startedAt - right.startedAt);
}

/** What the isolate knew of its target, played again. */
class Isolate {
  #failuresInRow = 0;
  #penaltyUntil = 0;
  #tokens = ALLOWANCE;
  #tokensAt = 0;

  end({ outcome, endedAt }: TimedAttempt): void {
    if (outcome === "ok") this.#failuresInRow = 0;
    else if (++this.#failuresInRow >= PENALTY_AFTER) this.#penaltyUntil = endedAt + PENALTY_MS;
  }

  isResting(now: number): boolean {
    return now < this.#penaltyUntil;
  }

  /** Whether the rest began so shortly before `now` that the request may have been planned before it. */
  hasJustBegunToRest(now: number): boolean {
    return this.#penaltyUntil - PENALTY_MS + NOTICE_MS >= now && this.#failuresInRow === PENALTY_AFTER;
  }

  take(now: number): boolean {
    const back = (now - this.#tokensAt) / 1_000;
    const tokens = Math.min(ALLOWANCE, this.#tokens + Math.max(0, back));
    this.#tokensAt = now;
    const hasRoom = tokens >= 1 - SLACK_MS / 1_000;
    this.#tokens = hasRoom ? Math.max(0, tokens - 1) : tokens;
    return hasRoom;
  }
}

interface Ejection {
  readonly from: number;
  readonly openUntil: number;
  /** The next ejection, or the first sight of a closed breaker. */
  readonly to: number;
}

function ejectionsOf(provider: string, sights: readonly BreakerSight[]): Ejection[] {
  const own = sights.filter((sight) => sight.provider === provider);
  const found: { from: number; openUntil: number; to: number }[] = [];
  for (const { at, state, openUntil, ejections } of own) {
    const last = found.at(-1);
    if (state === "closed") {
      if (last !== undefined) last.to = Math.min(last.to, at);
      continue;
    }
    if (last?.openUntil === openUntil) continue;
    const from = openUntil - Math.min(MAX_EJECTION_MS, FIRST_EJECTION_MS * 2 ** (ejections - 1));
    if (last !== undefined) last.to = Math.min(last.to, from);
    found.push({ from, openUntil, to: Number.POSITIVE_INFINITY });
  }
  return found;
}

/** Why `provider` was asked from `from` to `to` (epoch ms). `attempts` by the time they began, those from before too. */
export function reasonsOf(
  provider: string,
  attempts: readonly TimedAttempt[],
  sights: readonly BreakerSight[],
  { from, to }: { readonly from: number; readonly to: number },
): Reasons {
  const own = attempts.filter((attempt) => attempt.provider === provider && attempt.startedAt < to);
  const ejections = ejectionsOf(provider, sights);
  const isolate = new Isolate();
  const running: TimedAttempt[] = [];
  const leased: TimedAttempt[] = [];
  const counts = { allowance: 0, leased: 0, detection: 0, excess: 0, excessRetries: 0 };
  let leasedAtATime = 0;
  for (const attempt of own) {
    const { startedAt } = attempt;
    const ended = running.filter(({ endedAt }) => endedAt < startedAt).sort((a, b) => a.endedAt - b.endedAt);
    for (const each of ended) {
      running.splice(running.indexOf(each), 1);
      isolate.end(each);
    }
    running.push(attempt);
    const isProbing = ejections.some((each) => each.openUntil <= startedAt + SLACK_MS && startedAt < each.to);
    const reason = reasonOf(attempt, isolate, isProbing, leased);
    if (reason === "leased") {
      leased.push(attempt);
      leasedAtATime = Math.max(leasedAtATime, leased.filter(({ endedAt }) => endedAt > startedAt).length);
    }
    if (startedAt < from) continue;
    counts[reason]++;
    if (reason === "excess" && attempt.retryOfEnd !== null) counts.excessRetries++;
  }
  return { ...counts, leasedAtATime };
}

function reasonOf(
  { startedAt, retryOfEnd }: TimedAttempt,
  isolate: Isolate,
  isProbing: boolean,
  leased: readonly TimedAttempt[],
): Exclude<keyof Reasons, "excessRetries" | "leasedAtATime"> {
  if (isProbing) {
    const isHeld = leased.some(({ endedAt }) => endedAt > startedAt);
    return isHeld || retryOfEnd !== null ? "excess" : "leased";
  }
  if (!isolate.isResting(startedAt)) return "detection";
  if (isolate.take(startedAt)) return "allowance";
  return isolate.hasJustBegunToRest(startedAt) ? "detection" : "excess";
}
