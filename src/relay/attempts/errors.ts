/** The error for the client when no attempt gave an answer. */
import { findModel } from "../../catalog/index.ts";
import { type ErrorCode, RouterError, retryAfter } from "../../http/errors.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import type { FailureClass, SkippedTarget } from "../../traces/schema.ts";
import type { Exchange } from "../trace.ts";
import { neverAsked } from "../trace-members.ts";

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

/** Groups of attempts that a message names; a policy may try sixteen times, and a model's name may be long. */
const MAX_NAMED = 8;
const MAX_NAME_LENGTH = 80;
const TIMES = ["", "", " twice"];

/**
 * What was tried and how it ended, because most clients show `error.message` and nothing else:
 * `openai/gpt-5: server_error 500 twice; anthropic/claude-opus-5: auth 401`. Empty before any attempt.
 */
function describeAttempts({ attempts }: Exchange): string {
  const counts = new Map<string, number>();
  for (const { provider, model, outcome, status } of attempts) {
    const name = `${provider}/${model}`.slice(0, MAX_NAME_LENGTH);
    // A status of success says nothing about why the answer behind it was none.
    const code = status === null || status < 300 ? "" : ` ${status}`;
    const line = `${name}: ${outcome}${code}`;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  const lines = [...counts].map(([line, count]) => `${line}${TIMES[count] ?? ` ${count} times`}`);
  const more = lines.length - MAX_NAMED;
  return [...lines.slice(0, MAX_NAMED), ...(more > 0 ? [`${more} more`] : [])].join("; ");
}

/** Why the request kept away from a target that it could have been sent to. It may have room. */
const KEPT_FROM: ReadonlySet<FailureClass> = new Set(["unpriced", "over_budget", "breaker_open"]);

/** What was never asked, and why: `; not asked: groq/llama: unpriced`. Empty where every target was. */
function describeNotAsked(exchange: Exchange): string {
  const names = notAsked(exchange).map(({ provider, model, reason }) => {
    return `${`${provider}/${model}`.slice(0, MAX_NAME_LENGTH)}: ${reason}`;
  });
  return names.length === 0 ? "" : `; not asked: ${names.slice(0, MAX_NAMED).join("; ")}`;
}

function notAsked({ skipped, attempts }: Exchange): readonly SkippedTarget[] {
  return neverAsked(skipped, attempts).filter(({ reason }) => KEPT_FROM.has(reason));
}

/** The same in brackets behind a sentence. */
function bracketed(exchange: Exchange): string {
  const tried = describeAttempts(exchange);
  return tried === "" ? "" : ` (${tried}${describeNotAsked(exchange)})`;
}

export function budgetExceeded(exchange: Exchange): RouterError {
  const { latencyBudgetMs } = exchange;
  const budget = latencyBudgetMs === null ? "" : ` of ${latencyBudgetMs} ms`;
  const message = `No target answered within the latency budget${budget}${bracketed(exchange)}. Raise \`route.latency_budget_ms\` or try again.`;
  return new RouterError("latency_budget_exceeded", message, { details: attemptDetails(exchange) });
}

const REFUSALS: Partial<Record<UpstreamFailure["class"], { code: ErrorCode; message: string }>> = {
  context_length: {
    code: "context_length_exceeded",
    message: "The conversation is longer than the model's maximum context length. Shorten it.",
  },
  content_filter: {
    code: "content_filter",
    message: "The provider's content filter refused the request. Change the prompt.",
  },
};

/** The provider refused what the client asked for; asking another would not be this route's policy. */
export function refusedByProvider(failure: UpstreamFailure, exchange: Exchange): RouterError {
  const { code, message } = REFUSALS[failure.class] ?? {
    code: "upstream_invalid_request" as const,
    message: "The provider refused the request as invalid.",
  };
  return new RouterError(code, failure.message ?? windowMessage(code, exchange) ?? message, {
    ...(failure.param === undefined ? {} : { param: failure.param }),
    ...(failure.native === undefined ? {} : { status: failure.native.status, nativeType: failure.native.type }),
    details: attemptDetails(exchange),
  });
}

/** In the words on which agents shorten a conversation by themselves; `undefined` where the window is not known. */
function windowMessage(code: ErrorCode, { attempts }: Exchange): string | undefined {
  const last = attempts.at(-1);
  if (code !== "context_length_exceeded" || last === undefined) return undefined;
  const window = findModel(last.provider, last.model)?.context_window;
  if (window === undefined) return undefined;
  return `This model's maximum context length is ${window} tokens, and the conversation is longer. Shorten it.`;
}

export function exhausted(failures: readonly UpstreamFailure[], exchange: Exchange): RouterError {
  const details = attemptDetails(exchange);
  const all = (wanted: UpstreamFailure["class"]): boolean => failures.every((failure) => failure.class === wanted);
  // One that was not asked may have room: the client is not to wait for the others.
  if (all("rate_limited") && notAsked(exchange).length === 0) {
    const delays = failures.map(({ retryAfterMs }) => retryAfterMs).filter((delay) => delay !== undefined);
    const seconds = retryAfter(delays.length === 0 ? 1_000 : Math.min(...delays));
    const message = `Every target of this route is rate limited by its provider${bracketed(exchange)}. Try again in ${seconds} s.`;
    // The provider's own delay has not been waited for yet: the SDK may do what it would have done without the router.
    const shouldRetry = delays.length > 0;
    return new RouterError("upstream_rate_limited", message, {
      details,
      headers: { "retry-after": seconds },
      shouldRetry,
    });
  }
  if (all("timeout")) {
    const message = `No target of this route answered in time${bracketed(exchange)}. Try again, or raise the route's timeouts.`;
    return new RouterError("upstream_timeout", message, { details });
  }
  const last = failures.at(-1);
  const isUnserved = failures.every(({ class: kind }) => kind === "invalid_request" || kind === "capability");
  const isRefused = all("context_length") || all("content_filter") || isUnserved;
  if (last !== undefined && isRefused) return refusedByProvider(last, exchange);
  const message = `No target of this route gave a usable answer${bracketed(exchange)}. ${remedyFor(exchange)}`;
  return new RouterError("upstream_failed", message, { details });
}

/** Who can do something about it: the operator where it was the router's own credential, else time. */
function remedyFor({ attempts }: Exchange): string {
  const isAuth = attempts.length > 0 && attempts.every(({ outcome }) => outcome === "auth");
  return isAuth ? "The operator must check the provider's secret and credit." : "Try again later.";
}
