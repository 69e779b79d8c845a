/**
 * Stage 4: candidates in order, until one has begun an answer.
 *
 * Everything up to the first content of a stream, or the whole of a non-stream answer, happens here and can fall back
 * unseen. A failed attempt is a value with a class; only the end of all of them is an error for the client.
 */
import { type ErrorCode, RouterError, retryAfter } from "../errors.ts";
import type { Deadlines } from "../lib/deadline.ts";
import { JsonEdit, tryParseJson } from "../lib/json.ts";
import { readText } from "../lib/read-text.ts";
import type { ChatRequest } from "../openai.ts";
import type { AdapterCall, UpstreamFailure } from "../providers/adapter.ts";
import type { FailureClass } from "../traces/schema.ts";
import type {
  AbortReason,
  Answer,
  Candidate,
  Opened,
  OpenStream,
  Plan,
  Reading,
  ResolvedRoute,
  StreamControl,
  WholeAnswer,
} from "./stages.ts";
import type { Attempt, Exchange } from "./trace.ts";
import { UpstreamCall } from "./upstream-call.ts";

/** Enough for any vendor's error object. */
const MAX_ERROR_BODY_BYTES = 65_536;

export interface AttemptInput {
  readonly plan: Plan;
  readonly route: ResolvedRoute;
  readonly request: ChatRequest;
  readonly exchange: Exchange;
  /** Aborts when the client leaves. */
  readonly clientSignal: AbortSignal;
  readonly deadlines: Deadlines;
  readonly openStream: (response: Response, control: StreamControl, reading: Reading) => Promise<Opened<OpenStream>>;
  readonly openWhole: (response: Response, reading: Reading) => Promise<Opened<WholeAnswer>>;
  /** Called once per ended attempt, except when the client's leaving or its latency budget ended it. */
  readonly report: (candidate: Candidate, attempt: Attempt, failure: UpstreamFailure | null) => void;
}

/** Thrown when the client left before there was an answer: nobody reads what follows. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
  /** Who was being asked: that vendor has seen the prompt. */
  readonly candidate: Candidate;

  constructor(candidate: Candidate) {
    super();
    this.candidate = candidate;
  }
}

type AttemptResult =
  | { readonly ok: true; readonly answer: Answer }
  | { readonly ok: false; readonly failure: UpstreamFailure; readonly abortedBy: AbortReason | undefined };

/** The first answer. Throws `RouterError` when there is none, `ClientGone` when nobody waits for it. */
export async function attempt(input: AttemptInput): Promise<Answer> {
  const { plan, route, exchange } = input;
  const failures: UpstreamFailure[] = [];
  if (plan.passedOver !== null) {
    exchange.fellBack = true;
    exchange.noteFailure(plan.passedOver);
  }
  for (const [position, candidate] of plan.candidates.entries()) {
    if (position > 0) exchange.fellBack = true;
    for (let retries = 0; ; retries++) {
      const result = await attemptOnce(input, candidate);
      if (result.ok) return result.answer;
      const { failure, abortedBy } = result;
      if (abortedBy === "client") throw new ClientGone(candidate);
      failures.push(failure);
      if (failure.class !== "invalid_request") exchange.noteFailure(failure.class);
      if (abortedBy === "latency_budget") throw budgetExceeded(exchange);
      if (!movesOn(failure, route)) throw refusedByVendor(failure, exchange);
      if (exchange.attempts.length >= route.policy.fallback.max_attempts) throw exhausted(failures, exchange);
      const pauseMs = pauseBeforeSame(failure, retries, route, exchange);
      if (pauseMs === null) break;
      await scheduler.wait(pauseMs, { signal: input.clientSignal }).catch(() => {
        throw new ClientGone(candidate);
      });
    }
  }
  throw exhausted(failures, exchange);
}

async function attemptOnce(input: AttemptInput, candidate: Candidate): Promise<AttemptResult> {
  const { route, request, exchange } = input;
  const record = exchange.startAttempt(candidate.target.provider, candidate.target.model, Date.now());
  const call = new UpstreamCall(input.clientSignal, input.deadlines);
  const { timeouts } = route.policy;
  call.limit("total", record.startedAt + timeouts.total_ms);
  if (request.stream) call.limit("first_token", record.startedAt + timeouts.first_token_ms);
  if (route.latencyBudgetMs !== null && route.policy.latency.mode === "hard") {
    call.limit("latency_budget", exchange.receivedAt + route.latencyBudgetMs);
  }
  const opened = await openAnswer(input, candidate, record, call).catch(
    (error: unknown): Opened<never> => ({ ok: false, failure: brokenCall(error, call.abortedBy()) }),
  );
  record.endedAt = Date.now();
  if (opened.ok) {
    record.winner = true;
    call.stop("first_token");
    call.stop("latency_budget");
    if (opened.value.kind === "whole") call.release();
    input.report(candidate, record, null);
    return { ok: true, answer: opened.value };
  }
  const abortedBy = call.abortedBy();
  // Closes the socket of an answer that was none: an unread body would keep it open.
  call.abort("failed");
  call.release();
  record.outcome = abortedBy === "client" ? "cancelled" : opened.failure.class;
  // Whose patience ended says nothing about the target, and a client may ask for as little as a millisecond.
  const isTargetsFault = abortedBy !== "client" && abortedBy !== "latency_budget";
  if (isTargetsFault) input.report(candidate, record, opened.failure);
  return { ok: false, failure: opened.failure, abortedBy };
}

async function openAnswer(
  input: AttemptInput,
  candidate: Candidate,
  record: Attempt,
  call: UpstreamCall,
): Promise<Opened<Answer>> {
  const reading = readingOf(input, candidate, record);
  const response = await send(input, candidate, call);
  record.status = response.status;
  if (!response.ok) {
    const text = await readText(response, MAX_ERROR_BODY_BYTES).catch(() => null);
    const body = text === null ? undefined : tryParseJson(text);
    return { ok: false, failure: reading.classify({ status: response.status, headers: response.headers, body }) };
  }
  if (!input.request.stream) {
    const opened = await input.openWhole(response, reading);
    return opened.ok ? { ok: true, value: { kind: "whole", candidate, attempt: record, whole: opened.value } } : opened;
  }
  const opened = await input.openStream(response, call, reading);
  if (!opened.ok) return opened;
  record.firstTokenAt = Date.now();
  const { release } = call;
  return { ok: true, value: { kind: "stream", candidate, attempt: record, stream: opened.value, release } };
}

function readingOf({ request, exchange }: AttemptInput, candidate: Candidate, record: Attempt): Reading {
  const { adapter } = candidate.provider;
  return {
    classify: (error) => adapter.classify(error),
    translation: adapter.translation,
    context: {
      fields: request.fields,
      model: candidate.target.model,
      traceId: exchange.traceId,
      createdAt: Math.floor(record.startedAt / 1000),
    },
  };
}

async function send(input: AttemptInput, candidate: Candidate, call: UpstreamCall): Promise<Response> {
  const { request, route, exchange } = input;
  const { provider, target, config } = candidate;
  const adapterCall: AdapterCall = {
    body: new JsonEdit(request.text, request.members).remove("route"),
    fields: request.fields,
    stream: request.stream,
    model: target.model,
    params: target.params,
    maxOutputTokens: route.policy.limits.max_output_tokens,
    config,
  };
  if (provider.send !== undefined) return provider.send(adapterCall, call.signal);
  const upstream = await provider.adapter.toUpstream(adapterCall);
  exchange.droppedParams = upstream.droppedParams;
  return fetch(upstream.url, {
    method: "POST",
    headers: upstream.headers,
    body: upstream.body,
    // A redirect would carry the credential to a host nobody approved.
    redirect: "manual",
    signal: call.signal,
  });
}

/** A call that rejected: ended by one of our clocks, or by the network. */
function brokenCall(error: unknown, abortedBy: AbortReason | undefined): UpstreamFailure {
  if (abortedBy === "too_large") return { class: "invalid_response", tryNext: true, trySame: false };
  // After silence the same target is not asked again: it would be silent once more.
  if (abortedBy !== undefined) return { class: "timeout", tryNext: true, trySame: false };
  // workerd's text for a reset or refused connection; a name that does not resolve reads otherwise and will not heal.
  const isReset = error instanceof Error && error.message.includes("Network connection lost");
  return { class: "network", tryNext: true, trySame: isReset };
}

function movesOn(failure: UpstreamFailure, route: ResolvedRoute): boolean {
  if (failure.class === "context_length" || failure.class === "content_filter") {
    return route.policy.fallback.on.includes(failure.class);
  }
  return failure.tryNext;
}

/** Milliseconds to wait before the same target is tried again, or `null` when it is not. */
function pauseBeforeSame(
  failure: UpstreamFailure,
  retries: number,
  route: ResolvedRoute,
  exchange: Exchange,
): number | null {
  const { same_target, backoff_ms, max_retry_after_ms } = route.policy.retry;
  if (!failure.trySame || retries >= same_target) return null;
  if (failure.retryAfterMs !== undefined && failure.retryAfterMs > max_retry_after_ms) return null;
  // Equal jitter: full jitter can come out near zero, which is no pause at all.
  const pauseMs = failure.retryAfterMs ?? backoff_ms / 2 + Math.random() * (backoff_ms / 2);
  const budgetMs = route.latencyBudgetMs;
  if (budgetMs !== null && Date.now() + pauseMs >= exchange.receivedAt + budgetMs) return null;
  return pauseMs;
}

function attemptDetails(exchange: Exchange): { readonly attempts: readonly unknown[] } {
  return {
    attempts: exchange.attempts.map(({ provider, model, outcome, status, startedAt, endedAt }) => ({
      provider,
      model,
      outcome,
      status,
      duration_ms: endedAt - startedAt,
    })),
  };
}

function budgetExceeded(exchange: Exchange): RouterError {
  const message = "No target answered within the latency budget. Raise `route.latency_budget_ms` or try again.";
  return new RouterError("latency_budget_exceeded", message, { details: attemptDetails(exchange) });
}

const REFUSALS: Partial<Record<UpstreamFailure["class"], { code: ErrorCode; message: string }>> = {
  context_length: {
    code: "context_length_exceeded",
    message: "The conversation is longer than the model's context window. Shorten it.",
  },
  content_filter: {
    code: "content_filter",
    message: "The provider's content filter refused the request. Change the prompt.",
  },
};

/** The vendor refused what the client asked for; asking another would not be this route's policy. */
function refusedByVendor(failure: UpstreamFailure, exchange: Exchange): RouterError {
  const { code, message } = REFUSALS[failure.class] ?? {
    code: "upstream_invalid_request" as const,
    message: "The provider refused the request as invalid.",
  };
  return new RouterError(code, failure.message ?? message, {
    ...(failure.param === undefined ? {} : { param: failure.param }),
    details: attemptDetails(exchange),
  });
}

function exhausted(failures: readonly UpstreamFailure[], exchange: Exchange): RouterError {
  const details = attemptDetails(exchange);
  const all = (wanted: FailureClass): boolean => failures.every((failure) => failure.class === wanted);
  if (all("rate_limited")) {
    const delays = failures.map(({ retryAfterMs }) => retryAfterMs).filter((delay) => delay !== undefined);
    const seconds = retryAfter(delays.length === 0 ? 1_000 : Math.min(...delays));
    const message = "Every target of this route is rate limited by its provider. Try again later.";
    return new RouterError("upstream_rate_limited", message, { details, headers: { "retry-after": seconds } });
  }
  if (all("timeout")) {
    const message = "No target of this route answered in time. Try again, or raise the route's timeouts.";
    return new RouterError("upstream_timeout", message, { details });
  }
  const last = failures.at(-1);
  if (last !== undefined && (all("context_length") || all("content_filter"))) return refusedByVendor(last, exchange);
  const message = "No target of this route gave a usable answer. `error.attempts` lists what was tried.";
  return new RouterError("upstream_failed", message, { details });
}
