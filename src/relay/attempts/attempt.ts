/** One HTTP call to one candidate, from its start to an answer or a failure, and what its target's health learns of it. */
import {
  type AttemptReport,
  type AttemptTicket,
  beginAttempt,
  type HealthContext,
  type LatencyKind,
  reportOutcome,
  reportUnclean,
} from "../../health/client.ts";
import {
  chooseCredential,
  isOfCredential,
  noteAnswer,
  noteEnd,
  noteStart,
  otherCredential,
} from "../../health/credentials.ts";
import { RouterError } from "../../http/errors.ts";
import { tryParseJson } from "../../lib/json.ts";
import { readTextWithin } from "../../lib/read-text.ts";
import type { Deadlines } from "../../lib/time/deadline.ts";
import type { UpstreamError, UpstreamFailure } from "../../providers/adapter.ts";
import { withoutCredentials } from "../../providers/classify.ts";
import { diagnosed, requestIdOf } from "../../providers/diagnosis.ts";
import type { AttemptOutcome, FailureClass } from "../../traces/schema.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import type { DoorWire } from "../../wires/wire.ts";
import type { Received } from "../received.ts";
import { openStream } from "../streaming/stream.ts";
import type { Attempt, Exchange } from "../trace.ts";
import type {
  AbortReason,
  Answer,
  AnswerEnd,
  Candidate,
  Claim,
  Opened,
  Operation,
  Plan,
  ResolvedRoute,
  Resumption,
  StreamedAttempt,
  StreamOptions,
} from "../types.ts";
import { openWhole } from "./non-streaming.ts";
import { UpstreamCall } from "./upstream-call.ts";
import { brokenCall, readingOf, send, tariffOf } from "./upstream-request.ts";

/** Enough for any provider's error object. */
const MAX_ERROR_BODY_BYTES = 65_536;
const MAX_ERROR_BODY_MS = 1_000;

/** The part of the stage before that attempts need. */
export interface Admissions {
  /** A hedge fits whole or not at all. */
  claim(candidate: Candidate, isHedge: boolean): Claim;
  release(claim: Claim): void;
}

interface AnyInput {
  readonly plan: Plan;
  readonly route: ResolvedRoute;
  readonly request: ChatRequest;
  readonly exchange: Exchange;
  /** Aborts when the client leaves. */
  readonly clientSignal: AbortSignal;
  readonly deadlines: Deadlines;
  readonly health: HealthContext;
  readonly admission: Admissions;
}

export interface ConversationInput {
  readonly streaming: Omit<StreamOptions, "resumption">;
  /** The policy wants a broken stream to be gone on with. */
  readonly mayResume: boolean;
}

interface OperationInput {
  readonly operation: Operation;
  readonly streaming?: undefined;
  readonly mayResume?: undefined;
}

export type AttemptInput = AnyInput & (ConversationInput | OperationInput);

/** How an attempt ended. */
export type Ended = { readonly running: RunningAttempt } & (
  | { readonly ok: true; readonly answer: Answer }
  | {
      readonly ok: false;
      readonly failure: UpstreamFailure;
      readonly abortedBy: AbortReason | undefined;
      /** The key was refused after the call had been sent. */
      readonly refusal: RouterError | null;
    }
);

/** Failures that say nothing about the target: the request was at fault. */
const CLIENT_FAULTS: ReadonlySet<string> = new Set([
  ...["invalid_request", "context_length", "content_filter", "capability"],
]);
/** Ends of ours that say nothing about the target, but that it had not answered by then. */
const NOT_THE_TARGETS: ReadonlySet<AbortReason | undefined> = new Set([
  "client",
  "latency_budget",
  "hedge_lost",
  "refused",
]);
/** Models that do not converse do not think. */
const NO_THOUGHTS = { thinks: false, announcesThinking: false } as const;

export class RunningAttempt implements StreamedAttempt {
  readonly candidate: Candidate;
  readonly record: Attempt;
  /** Never rejects. */
  readonly ended: Promise<Ended>;
  readonly #input: AttemptInput;
  readonly #call: UpstreamCall;
  readonly #claim: Claim;
  readonly #ticket: AttemptTicket;
  readonly #latencyKind: LatencyKind;
  readonly #resumption: Resumption;
  /** It has answered, or failed: what health learns of it is said. */
  #isClosed = false;

  constructor(
    input: AttemptInput,
    candidate: Candidate,
    claim: Claim,
    how: { readonly isHedge: boolean; readonly isResumed: boolean },
    resumption: Resumption,
  ) {
    const { route, request, exchange } = input;
    const now = Date.now();
    this.#input = input;
    const { target, credentials } = candidate;
    const session = exchange.conversation?.sessionId ?? null;
    const used = candidate.credential ?? chooseCredential(target.provider, credentials, session, now);
    this.candidate = { ...candidate, config: used.config };
    this.#claim = claim;
    this.#resumption = resumption;
    const { provider, model } = target;
    noteStart(provider, used.number);
    const { number, boundNanoUsd, setOutputCap } = claim;
    const start = {
      ...{ provider, model, credential: used.number },
      number,
      boundNanoUsd,
      setOutputCap,
      hedged: how.isHedge,
      tariff: { ...tariffOf(candidate, request, route.prices, now), ...(input.streaming === undefined && NO_THOUGHTS) },
    };
    this.record = exchange.startAttempt(start, now);
    this.#latencyKind = request.stream ? "firstToken" : "total";
    this.#ticket = beginAttempt(candidate.name, now, exchange.keyId ?? "");
    const { timeouts, latency } = route.policy;
    this.#call = new UpstreamCall(input.clientSignal, input.deadlines, now + timeouts.total_ms);
    if (request.stream) this.#call.limit("first_token", now + timeouts.first_token_ms);
    // The budget ends at the first token; a stream that is resumed has had its own.
    if (route.latencyBudgetMs !== null && latency.mode === "hard" && !how.isResumed) {
      this.#call.limit("latency_budget", exchange.receivedAt + route.latencyBudgetMs);
    }
    if (claim.startsEarly)
      void claim.granted?.then((granted) => granted instanceof RouterError && this.#call.abort("refused"));
    this.ended = this.#run();
  }

  get received(): Received {
    return this.record.received;
  }

  get endsAt(): number {
    return this.#call.endsAt;
  }

  abort(reason: AbortReason): void {
    this.#call.abort(reason);
  }

  abortedBy(): AbortReason | undefined {
    return this.#call.abortedBy();
  }

  clientGone(): boolean {
    return this.#call.clientGone();
  }

  /** Ends it unanswered: another one answered, or the client is gone. Its record is complete at once. */
  abandon(reason: "hedge_lost" | "latency_budget"): void {
    if (!this.#isClosed) this.#close(this.#call.abortedBy() ?? reason, null);
    else if (this.record.winner) this.#loseAfterAll();
    else return;
    this.#call.abort(reason);
    this.#call.release();
  }

  /** It answered too, in the same turn as the one that was taken. */
  #loseAfterAll(): void {
    const { record } = this;
    record.winner = false;
    record.outcome = record.hedged ? "cancelled" : "slow";
    this.#over("hedge_lost");
  }

  /** The upstream is done: the record says what it cost from now on. */
  #over(endedBy: AbortReason | undefined): void {
    const { record } = this;
    if (record.isRunning) noteEnd(record.provider, record.credential);
    record.isRunning = false;
    record.endedAt = Date.now();
    record.endedBy = endedBy ?? null;
    this.#input.exchange.amend(record);
  }

  noteUnclean(): void {
    reportUnclean(this.#input.health, this.candidate.name, Date.now());
  }

  end(ended: AnswerEnd): void {
    const { record } = this;
    if (!record.isRunning) return;
    const isGone = ended.outcome === "cancelled";
    record.received.isWhole = ended.outcome === "complete";
    this.#over(isGone ? "client" : this.#call.abortedBy());
    this.#call.release();
    if (isGone) record.outcome = "cancelled";
    if (ended.differs) record.outcome = "invalid_response";
    else if (ended.failure !== null) this.#noteBreak(ended.failure);
    // When a stream was resumed, the last one that reached the client is the answer.
    if (ended.hasReachedClient) for (const each of this.#input.exchange.attempts) each.winner = each === record;
    else record.winner = false;
  }

  async #run(): Promise<Ended> {
    const call = this.#call;
    const opened = await this.#open().catch(
      (error: unknown): Opened<never> => ({ ok: false, failure: brokenCall(error, call.abortedBy()) }),
    );
    // An answer may not be used, and no other target asked, before the key was admitted.
    // Ended by the client or its budget: what the ledger says changes nothing the client hears, only who is charged.
    const isOver = call.abortedBy() === "client" || call.abortedBy() === "latency_budget";
    const refusal = this.#claim.startsEarly && !isOver ? await refusalOf(this.#claim) : null;
    const abortedBy = call.abortedBy();
    if (refusal !== null && !this.#isClosed) {
      // The provider has the whole request within milliseconds, and may bill it; the key, which was refused, is not.
      this.record.isUnadmitted = true;
      call.abort("refused");
    }
    if (opened.ok && refusal === null && !this.#isClosed) {
      this.#isClosed = true;
      this.record.winner = true;
      const isOver = opened.value.kind !== "stream";
      if (isOver) this.#over(undefined);
      else this.record.endedAt = Date.now();
      call.stop("first_token");
      call.stop("latency_budget");
      if (isOver) call.release();
      this.#report("success", true);
      return { running: this, ok: true, answer: opened.value };
    }
    const failure = opened.ok ? LOST : withoutCredentials(opened.failure, this.candidate.config);
    this.#close(abortedBy, failure);
    // Closes the socket of an answer that was none: an unread body would keep it open.
    call.abort("failed");
    call.release();
    return { running: this, ok: false, failure, abortedBy, refusal };
  }

  /** It was ended before the ledger had answered: only a key that was admitted pays for it. Never rejects. */
  async #settleAdmission(claim: Claim): Promise<void> {
    if ((await refusalOf(claim)) === null) return;
    this.record.isUnadmitted = true;
    this.#input.exchange.amend(this.record);
  }

  /** Completes the record and tells the target's health. The first end counts. */
  #close(abortedBy: AbortReason | undefined, failure: UpstreamFailure | null): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#over(abortedBy);
    this.record.outcome = this.#outcome(abortedBy, failure);
    this.record.diagnosis = failure?.diagnosis;
    const { isUnadmitted } = this.record;
    if (abortedBy !== undefined && this.#claim.startsEarly && !isUnadmitted) {
      this.#input.exchange.pendingAdmissions.push(this.#settleAdmission(this.#claim));
    }
    // Whose patience ended says nothing about the target, and a client may ask for as little as a millisecond.
    if (isUnadmitted || NOT_THE_TARGETS.has(abortedBy) || failure === null) this.#report("ignored", true);
    else if (this.#isOfCredential) this.#report("ignored", false);
    else if (failure.class === "rate_limited") this.#report("rate_limited", false, failure.retryAfterMs);
    else this.#report(CLIENT_FAULTS.has(failure.class) ? "ignored" : "failure", abortedBy !== undefined);
  }

  /** It was the credential that was refused, and the target has another one: nothing is held against the target. */
  get #isOfCredential(): boolean {
    const { provider, status, credential } = this.record;
    if (!isOfCredential(status)) return false;
    return otherCredential(provider, this.candidate.credentials, [credential], Date.now()) !== null;
  }

  #outcome(abortedBy: AbortReason | undefined, failure: UpstreamFailure | null): AttemptOutcome {
    if (abortedBy === "client" || this.record.isUnadmitted) return "cancelled";
    if (abortedBy === "hedge_lost") return this.record.hedged ? "cancelled" : "slow";
    return failure?.class ?? "timeout";
  }

  /** `isTimed`: the time it took says something about the target's pace, not only about its failing. */
  #report(outcome: AttemptReport["outcome"], isTimed: boolean, retryAfterMs?: number): void {
    const { endedAt, startedAt, firstTokenAt, winner } = this.record;
    const latency = isTimed
      ? { kind: this.#latencyKind, ms: (firstTokenAt ?? endedAt) - startedAt, answered: winner }
      : null;
    const failure = failureOf(this.record);
    reportOutcome(this.#input.health, this.#ticket, { outcome, latency, now: endedAt, retryAfterMs, failure });
  }

  async #open(): Promise<Opened<Answer>> {
    const input = this.#input;
    const { record, candidate } = this;
    const call = this.#call;
    if (input.streaming === undefined) return this.#openOperation(input.operation);
    const { request, exchange, streaming, mayResume } = input;
    const reading = readingOf(request, candidate, record, streaming.wire, exchange.traceId);
    const response = await this.#send(call, streaming.wire);
    record.status = response.status;
    record.providerRequestId = requestIdOf(response.headers);
    const { status, headers } = response;
    const heard = candidate.credentials.length > 1 ? headers : null;
    const noted = (waitMs?: number): void =>
      noteAnswer(record.provider, record.credential, { status, headers: heard, waitMs, now: Date.now() });
    if (response.ok) noted();
    if (!response.ok) {
      const { text, isLate } = await readTextWithin(response, MAX_ERROR_BODY_BYTES, MAX_ERROR_BODY_MS);
      const body = text === null ? undefined : tryParseJson(text);
      const failure = reading.classify({ status, headers, body });
      noted(failure.retryAfterMs);
      // After silence the same target is not asked again, whatever its status said before.
      const isSilent = isLate || call.abortedBy() !== undefined;
      return { ok: false, failure: isSilent ? { ...failure, trySame: false } : failure };
    }
    if (!request.stream) {
      call.linger();
      const opened = await openWhole(response, reading, record.received);
      if (!opened.ok) return opened;
      return { ok: true, value: { kind: "whole", candidate, attempt: record, whole: opened.value } };
    }
    const options = { ...streaming, resumption: mayResume ? this.#resumption : null };
    const opened = await openStream(response, options, this, reading);
    if (!opened.ok) return opened;
    record.firstTokenAt = Date.now();
    record.received.hasContent = true;
    const end = (ended: AnswerEnd): void => this.end(ended);
    return { ok: true, value: { kind: "stream", candidate, attempt: record, stream: opened.value, end } };
  }

  async #openOperation(operation: Operation): Promise<Opened<Answer>> {
    const { record, candidate } = this;
    const { provider, config } = candidate;
    const { signal, abortedBy } = this.#call;
    const classify = (error: UpstreamError): UpstreamFailure =>
      diagnosed(provider.adapter.classify(error), error, config);
    const opened = await operation.open({ candidate, record, signal, abortedBy, classify });
    if (!opened.ok) return opened;
    record.received.isWhole = true;
    return { ok: true, value: { kind: "operation", candidate, attempt: record, answer: opened.value } };
  }

  #send({ signal }: UpstreamCall, wire: DoorWire): Promise<Response> {
    const { request, exchange } = this.#input;
    const cap = this.#claim.maxOutputTokens;
    return send(request, cap, this.candidate, this.record, wire, exchange.clientHeaders, signal);
  }

  /** The stream broke after its first token. */
  #noteBreak(failure: FailureClass): void {
    this.record.outcome = failure;
    const broken = failureOf(this.record);
    reportOutcome(this.#input.health, this.#ticket, {
      outcome: "failure",
      latency: null,
      now: Date.now(),
      failure: broken,
    });
  }
}

/** What operators see of it where they look at its target. */
function failureOf({ outcome, status, diagnosis, providerRequestId, endedAt }: Attempt): AttemptReport["failure"] {
  const { code, message } = diagnosis ?? {};
  return { at: endedAt, class: outcome, status, code, message, requestId: providerRequestId };
}

async function refusalOf({ granted }: Claim): Promise<RouterError | null> {
  const answer = await granted;
  return answer instanceof RouterError ? answer : null;
}

/** Failure recorded when another attempt won. */
const LOST: UpstreamFailure = { class: "slow", tryNext: true, trySame: false };
