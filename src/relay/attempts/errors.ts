/** What the client is told when no attempt gave an answer. */
import { type ErrorCode, RouterError, retryAfter } from "../../http/errors.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import type { Exchange } from "../trace.ts";

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

export function budgetExceeded(exchange: Exchange): RouterError {
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
export function refusedByVendor(failure: UpstreamFailure, exchange: Exchange): RouterError {
  const { code, message } = REFUSALS[failure.class] ?? {
    code: "upstream_invalid_request" as const,
    message: "The provider refused the request as invalid.",
  };
  return new RouterError(code, failure.message ?? message, {
    ...(failure.param === undefined ? {} : { param: failure.param }),
    details: attemptDetails(exchange),
  });
}

export function exhausted(failures: readonly UpstreamFailure[], exchange: Exchange): RouterError {
  const details = attemptDetails(exchange);
  const all = (wanted: UpstreamFailure["class"]): boolean => failures.every((failure) => failure.class === wanted);
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
  const isUnserved = failures.every(({ class: kind }) => kind === "invalid_request" || kind === "capability");
  const isRefused = all("context_length") || all("content_filter") || isUnserved;
  if (last !== undefined && isRefused) return refusedByVendor(last, exchange);
  const message = "No target of this route gave a usable answer. `error.attempts` lists what was tried.";
  return new RouterError("upstream_failed", message, { details });
}
