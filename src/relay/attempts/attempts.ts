/**
 * Stage 4: candidates in order, until one has begun an answer.
 *
 * Everything up to the first content of a stream, or the whole of a non-stream answer, happens here and can fall back
 * unseen. A failed attempt is a value with a class; only the end of all of them is an error for the client. At most two
 * attempts run at a time: the second is a hedge, started when the first has been silent for longer than the latency
 * budget can bear.
 */
import { endRetry, latencyForecast, type RetryPermit, takeRetry, targetState } from "../../health/client.ts";
import { isOfCredential, otherCredential } from "../../health/credentials.ts";
import { type ErrorCode, RouterError } from "../../http/errors.ts";
import { unexpectedFault } from "../../http/internal-error.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { hasMember } from "../../providers/refusals.ts";
import type { FailureClass } from "../../traces/schema.ts";
import type { Answer, Candidate, Claim, EventSource, Resumption } from "../types.ts";
import { type AttemptInput, type Ended, RunningAttempt } from "./attempt.ts";
import { budgetExceeded, exhausted, refusedByProvider } from "./errors.ts";
import { earnHedge, fits, hedgeDelayMs, takeHedge } from "./hedge.ts";

/** For another attempt, which chooses its credential again. */
function unbound({ credential: _used, ...candidate }: Candidate): Candidate {
  return candidate;
}

/** Attempts with different credentials are still the same call. */
const isSameCall = (left: Candidate, right: Candidate): boolean =>
  left.target === right.target && left.without === right.without && left.lane === right.lane;

/** Thrown when the client left before there was an answer. No one reads what follows. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
}

/** Why a candidate could not be afforded, by the code of its refusal. */
const UNAFFORDABLE: ReadonlyMap<ErrorCode, FailureClass> = new Map([
  ["model_unpriced", "unpriced"],
  ["budget_exceeded", "over_budget"],
  ["request_budget_exceeded", "over_budget"],
]);

type Failed = Extract<Ended, { ok: false }>;

export class Attempts implements Resumption {
  readonly #input: AttemptInput;
  /** Not asked yet, in the plan's order. */
  readonly #waiting: Candidate[];
  readonly #running = new Set<RunningAttempt>();
  readonly #failures: UpstreamFailure[] = [];
  /** Why the first candidate that could not be afforded could not. */
  #refusal: RouterError | null = null;
  /** Every candidate once per attempt. */
  readonly #asked: Candidate[] = [];
  readonly #routeId: string;
  #isResuming = false;

  constructor(input: AttemptInput) {
    const { plan, route, exchange } = input;
    this.#input = input;
    this.#waiting = [...plan.candidates];
    this.#routeId = `${route.record.env}:${route.record.name}`;
    if (plan.passedOver !== null) {
      exchange.fellBack = true;
      exchange.noteFailure(plan.passedOver);
    }
    if (plan.candidates.length > 1) earnHedge(this.#routeId, route.policy.latency.hedge_max_ratio);
  }

  /** The first answer. Throws `RouterError` when there is none, `ClientGone` when the client has left. */
  async answer(): Promise<Answer> {
    const { exchange, route } = this.#input;
    let candidate = this.#take();
    let permit: RetryPermit | null = null;
    while (candidate !== null) {
      let ended: Ended | null;
      try {
        const claim = await this.#claim(candidate);
        ended = claim === null ? null : await this.#race(candidate, claim);
      } finally {
        if (permit !== null) endRetry(permit);
      }
      permit = null;
      if (ended === null) {
        candidate = this.#take();
        continue;
      }
      if (ended.ok) return ended.answer;
      const refusal = this.#failures.find((failure) => !this.#movesOn(failure));
      if (refusal !== undefined) throw refusedByProvider(refusal, exchange);
      if (exchange.attempts.length >= route.policy.fallback.max_attempts) break;
      if (ended.failure.class === "context_length") this.#dropSmaller(ended.running.candidate);
      const again = this.#lessDemanding(ended) ?? this.#withOtherCredential(ended);
      if (again === null) permit = await this.#retryPermit(ended);
      candidate = again ?? (permit === null ? this.#take() : unbound(ended.running.candidate));
    }
    throw this.#failures.length === 0 && this.#refusal !== null ? this.#refusal : exhausted(this.#failures, exchange);
  }

  /** The stream of the next candidate after one broke, `null` when there is none. The latency budget is over. */
  async resume(): Promise<EventSource | null> {
    const { exchange, route } = this.#input;
    this.#isResuming = true;
    if (this.#waiting.length === 0 || exchange.attempts.length >= route.policy.fallback.max_attempts) return null;
    try {
      const answer = await this.answer();
      return answer.kind === "stream" ? answer.stream.source : null;
    } catch (error) {
      if (!(error instanceof RouterError || error instanceof ClientGone)) unexpectedFault(error, exchange.traceId);
      return null;
    }
  }

  /** What an attempt at `candidate` needs, granted or to be granted in parallel; `null`: it cannot be afforded. */
  async #claim(candidate: Candidate, isHedge = false): Promise<Claim | null> {
    const { admission, clientSignal } = this.#input;
    if (clientSignal.aborted) throw new ClientGone();
    try {
      const claim = admission.claim(candidate, isHedge);
      const granted = claim.granted === null || claim.startsEarly ? claim : await claim.granted;
      if (granted instanceof RouterError) {
        // The key itself is refused: no other candidate would change that, unless a cheaper one fits its budget.
        if (!isHedge && granted.code !== "budget_exceeded") this.#waiting.length = 0;
        throw granted;
      }
      if (!clientSignal.aborted) return granted;
      admission.release(granted);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      this.#refusal ??= error;
      this.#noteUnaffordable(candidate, error);
      return null;
    }
    throw new ClientGone();
  }

  #noteUnaffordable({ target }: Candidate, { code, message }: RouterError): void {
    const reason = UNAFFORDABLE.get(code);
    if (reason === undefined) return;
    this.#input.exchange.noteSkipped(target, reason, message);
    this.#input.exchange.noteFailure(reason);
  }

  /** The next candidate: the first that can be expected to keep the latency budget, else the first. */
  #take(): Candidate | null {
    const { health, exchange, plan } = this.#input;
    const now = Date.now();
    // The plan never takes away the last candidate; later ones may have failed others since it was made.
    const isFirst = this.#waiting.length === plan.candidates.length;
    const usable = isFirst
      ? this.#waiting
      : this.#waiting.filter(({ name }) => targetState(health, name, now) !== "open");
    const leftMs = this.#leftMs(now);
    const next = (leftMs === null ? undefined : usable.find((each) => this.#fits(each, leftMs, now))) ?? usable[0];
    if (next === undefined) return null;
    if (!isFirst) exchange.fellBack = true;
    else if (next !== usable[0]) {
      exchange.fellBack = true;
      exchange.noteFailure("slow");
    }
    for (const { target } of usable.slice(0, usable.indexOf(next))) {
      exchange.noteSkipped(target, "slow", "It does not fit what is left of the latency budget.");
    }
    for (const each of this.#waiting) if (!usable.includes(each)) exchange.noteSkipped(each.target, "breaker_open");
    this.#remove(next);
    return next;
  }

  /** What was too long for one window is too long for every smaller one. An unknown window counts as larger. */
  #dropSmaller({ facts: { context_window: window } }: Candidate): void {
    if (window === undefined) return;
    // One of the same size stays: another tokenizer may need fewer tokens.
    const others = this.#waiting.filter(({ facts }) => (facts.context_window ?? Number.POSITIVE_INFINITY) >= window);
    this.#waiting.splice(0, this.#waiting.length, ...others);
  }

  #remove(candidate: Candidate): void {
    this.#waiting.splice(this.#waiting.indexOf(candidate), 1);
  }

  /** Milliseconds left of the latency budget, below zero when it is over; `null` without one, or when it was kept. */
  #leftMs(now: number): number | null {
    const { route, exchange } = this.#input;
    if (route.latencyBudgetMs === null || this.#isResuming) return null;
    return exchange.receivedAt + route.latencyBudgetMs - now;
  }

  #fits(candidate: Candidate, leftMs: number, now: number): boolean {
    return fits(latencyForecast(candidate.name, this.#latencyKind, now), leftMs);
  }

  get #latencyKind() {
    return this.#input.request.stream ? "firstToken" : "total";
  }

  /** Calls `first`, and a second one in parallel when it is slow. The answer, or the failure of the last of them. */
  async #race(first: Candidate, claim: Claim): Promise<Ended> {
    this.#start(first, claim, false);
    for (;;) {
      const ended = await this.#nextEnd();
      this.#running.delete(ended.running);
      if (ended.ok) {
        if (ended.running.record.hedged) this.#noteWonHedge();
        this.#abandonRunning("hedge_lost");
        return ended;
      }
      this.#noteFailure(ended);
      if (this.#running.size === 0) return ended;
    }
  }

  #start(candidate: Candidate, claim: Claim, isHedge: boolean): RunningAttempt {
    const running = new RunningAttempt(this.#input, candidate, claim, { isHedge, isResumed: this.#isResuming }, this);
    this.#asked.push(candidate);
    this.#running.add(running);
    return running;
  }

  async #nextEnd(): Promise<Ended> {
    const ends = [...this.#running].map((running) => running.ended);
    const [only, other] = ends;
    if (only === undefined || other !== undefined) return Promise.race(ends);
    const hedgeAt = this.#hedgeMoment();
    if (hedgeAt === null) return only;
    const { deadlines } = this.#input;
    const due = Promise.withResolvers<null>();
    const deadline = deadlines.add(hedgeAt, () => due.resolve(null));
    const ended = await Promise.race([only, due.promise]);
    deadlines.drop(deadline);
    if (ended !== null) return ended;
    const hedge = this.#takeHedge();
    return hedge === null ? only : this.#startHedge(hedge, only);
  }

  /** Starts the hedge as soon as it is granted, unless the attempt that is waited for has ended by then. */
  async #startHedge(hedge: Candidate, only: Promise<Ended>): Promise<Ended> {
    const { admission } = this.#input;
    // A client that leaves meanwhile ends the attempt that runs, which says so.
    const claiming = this.#claim(hedge, true).catch(() => null);
    const first = await Promise.race([only, claiming]);
    if (first === null) {
      // Refused in parallel with another one; as a fallback it may fit.
      this.#waiting.unshift(hedge);
      return only;
    }
    if ("running" in first) {
      this.#waiting.unshift(hedge);
      void claiming.then((claim) => claim !== null && admission.release(claim));
      return first;
    }
    return Promise.race([only, this.#start(hedge, first, true).ended]);
  }

  /** Epoch ms at which the one running attempt has been silent for too long; `null`: it is waited for. */
  #hedgeMoment(): number | null {
    const [running] = this.#running;
    const { hedge, hedge_max_ratio } = this.#input.route.policy.latency;
    if (running === undefined || !hedge || hedge_max_ratio <= 0 || this.#waiting.length === 0) return null;
    const { startedAt } = running.record;
    const leftMs = this.#leftMs(startedAt);
    if (leftMs === null) return null;
    const delayMs = hedgeDelayMs(latencyForecast(running.candidate.name, this.#latencyKind, startedAt), leftMs);
    return delayMs === null ? null : startedAt + delayMs;
  }

  /**
   * The candidate that starts in parallel with the silent one, if there is one that can still make it and the route may
   * hedge.
   */
  #takeHedge(): Candidate | null {
    const { route, exchange, health } = this.#input;
    if (exchange.attempts.length >= route.policy.fallback.max_attempts) return null;
    const now = Date.now();
    const leftMs = this.#leftMs(now);
    const hedge = this.#waiting.find(
      (each) => leftMs !== null && this.#fits(each, leftMs, now) && targetState(health, each.name, now) === "closed",
    );
    if (hedge === undefined || !takeHedge(this.#routeId, route.policy.latency.hedge_max_ratio)) return null;
    this.#remove(hedge);
    return hedge;
  }

  #noteWonHedge(): void {
    const { exchange } = this.#input;
    exchange.fellBack = true;
    exchange.noteFailure("slow");
  }

  /** Throws when the client, its budget or the key's refusal ended the attempt: then all that run are over. */
  #noteFailure({ failure, abortedBy, refusal, running }: Failed): void {
    const { exchange, clientSignal } = this.#input;
    if (clientSignal.aborted) {
      // Another one that is in the middle of its answer may still show what that cost.
      if (this.#running.size > 0) return;
      throw new ClientGone();
    }
    if (refusal !== null) {
      // Only the hedge is refused: the attempt that was admitted before it goes on.
      if (running.record.hedged && this.#running.size > 0) return;
      this.#abandonRunning("hedge_lost");
      throw refusal;
    }
    this.#failures.push(failure);
    if (failure.class !== "invalid_request") exchange.noteFailure(failure.class);
    if (abortedBy === "latency_budget") {
      this.#abandonRunning("latency_budget");
      throw budgetExceeded(exchange);
    }
  }

  #abandonRunning(reason: "hedge_lost" | "latency_budget"): void {
    for (const running of this.#running) running.abandon(reason);
    this.#running.clear();
  }

  #movesOn(failure: UpstreamFailure): boolean {
    if (failure.class === "context_length" || failure.class === "content_filter") {
      return this.#input.route.policy.fallback.on.includes(failure.class);
    }
    return failure.tryNext;
  }

  /** The same candidate without the member that it refused, once and only where nothing asked for would be missing. */
  #lessDemanding({ running: { candidate }, failure: { retryWithout, retryTranslated } }: Failed): Candidate | null {
    if (retryTranslated === true && candidate.translated !== undefined) return candidate.translated();
    if (retryWithout === undefined || candidate.without !== undefined) return null;
    const fields = { ...candidate.target.params, ...this.#input.request.fields };
    return hasMember(fields, retryWithout) ? { ...candidate, without: [retryWithout] } : null;
  }

  /** The same candidate with a credential that was not refused: before the target is left. */
  #withOtherCredential({ running: { candidate, record } }: Failed): Candidate | null {
    if (candidate.credentials.length < 2 || !isOfCredential(record.status)) return null;
    const { provider, model } = candidate.target;
    const own = this.#input.exchange.attempts.filter((each) => each.provider === provider && each.model === model);
    const tried = own.map(({ credential }) => credential);
    const credential = otherCredential(provider, candidate.credentials, tried, Date.now());
    return credential === null ? null : { ...candidate, credential };
  }

  /** Leave to try the same candidate once more, given when the pause before that is over; `null`: it is not tried. */
  async #retryPermit({ running, failure }: Failed): Promise<RetryPermit | null> {
    const { route, health, clientSignal } = this.#input;
    const { candidate } = running;
    const tries = this.#asked.filter((each) => isSameCall(each, candidate)).length;
    if (!failure.trySame || tries > route.policy.retry.same_target) return null;
    const pauseMs = this.#pauseMs(failure, candidate);
    const permit = pauseMs === null ? null : takeRetry(candidate.name, Date.now());
    if (pauseMs === null || permit === null) return null;
    try {
      await scheduler.wait(pauseMs, { signal: clientSignal });
    } catch {
      endRetry(permit);
      throw new ClientGone();
    }
    const state = targetState(health, candidate.name, Date.now());
    // Others may have found out meanwhile that it is down: the next one is the better choice, and one whose breaker is
    // open gets no second call at all.
    if (state === "closed" || state === "cooling") return permit;
    if (this.#waiting.length === 0 && state !== "open") return permit;
    endRetry(permit);
    return null;
  }

  /** Milliseconds before the same candidate is asked again; `null` when that would take too long. */
  #pauseMs(failure: UpstreamFailure, candidate: Candidate): number | null {
    const { backoff_ms, max_retry_after_ms } = this.#input.route.policy.retry;
    if (failure.retryAfterMs !== undefined && failure.retryAfterMs > max_retry_after_ms) return null;
    // Equal jitter: full jitter can come out near zero, which is no pause at all.
    const pauseMs = failure.retryAfterMs ?? backoff_ms / 2 + Math.random() * (backoff_ms / 2);
    const now = Date.now();
    const leftMs = this.#leftMs(now);
    return leftMs === null || this.#fits(candidate, leftMs - pauseMs, now) ? pauseMs : null;
  }
}
