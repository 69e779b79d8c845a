/** The record of one request: what the trace endpoints answer, and what the ledger keeps with the cost. */
import { decodeBase62, encodeBase62, randomBase62 } from "../lib/text/base62.ts";

/** Why an attempt, or a candidate before any attempt, was not the answer. The contract's fallback reasons. */
export type FailureClass =
  | "rate_limited"
  | "server_error"
  | "timeout"
  | "network"
  | "invalid_response"
  | "auth"
  | "content_filter"
  | "context_length"
  | "slow"
  | "breaker_open"
  | "capability"
  | "disabled"
  | "not_configured"
  | "unpriced"
  | "over_budget";

/**
 * The `error_code` of a request whose end was never reported because its isolate died. What it held is charged in full,
 * and all else is unknown. A settlement that comes after all replaces such a trace.
 */
export const UNSETTLED = "unsettled";

/** How an attempt ended. `invalid_request`: the provider blames the client's request; `cancelled`: the client left. */
export type AttemptOutcome = "ok" | "cancelled" | "invalid_request" | typeof UNSETTLED | FailureClass;

/** The public APIs that traces name. */
export const APIS = ["chat", "responses", "messages", "embeddings"] as const;

export const TRACE_STATUSES = ["ok", "error", "cancelled", "denied", "refused"] as const;
export type TraceStatus = (typeof TRACE_STATUSES)[number];

export interface TraceAttempt {
  readonly provider: string;
  readonly model: string;
  readonly outcome: AttemptOutcome;
  /** HTTP status, `null` when no response head arrived. */
  readonly status: number | null;
  /** Since the request arrived. */
  readonly started_ms: number;
  /** Since the attempt started; `null` when no content came. */
  readonly first_token_ms: number | null;
  readonly duration_ms: number;
  readonly hedged: boolean;
  readonly winner: boolean;
  readonly cost_usd: number | null;
  /** The row of prices that was in force when it started: `pr_…` of an operator, `catalogue:<version>`; absent: none. */
  readonly price_row?: string;
  /** What the provider said of its failure, scrubbed, and its own id of the request. Operators alone see them. */
  /** Number of the provider's credential. */
  readonly credential?: number;
  readonly provider_code?: string;
  readonly provider_message?: string;
  readonly provider_request_id?: string;
}

/** A target that was passed over before any attempt. */
export interface SkippedTarget {
  readonly provider: string;
  readonly model: string;
  readonly reason: FailureClass;
  /** What exactly. Operators alone see it. */
  readonly detail?: string;
}

/** Where token counts come from: the provider, a count of what was seen, the reservation's bound, or nowhere. */
export type UsageSource = "upstream" | "counted" | "upper_bound" | "none";

export interface TraceUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cached_tokens: number;
  readonly cache_write_tokens: number;
  readonly reasoning_tokens: number;
  readonly source: UsageSource;
}

export interface Trace {
  readonly id: string;
  readonly created_at: string;
  readonly key_id: string;
  readonly env: string;
  readonly app: string;
  readonly route: string;
  readonly route_version: number;
  /** The door that it came by; absent on traces of releases that had only chat. */
  readonly api?: (typeof APIS)[number];
  readonly stream: boolean;
  readonly status: TraceStatus;
  /** 0: what the client got is unknown. */
  readonly http_status: number;
  readonly error_code?: string;
  readonly provider: string | null;
  readonly model: string | null;
  readonly fallback: boolean;
  /** The class of the first failure, where the router left its first candidate. */
  readonly fallback_reason?: FailureClass;
  /** Present when the client named its conversation: `kept`, `new` or `broken`, or the word of a later release. */
  readonly affinity?: string;
  readonly session_id?: string;
  readonly agent_id?: string;
  readonly attempts: readonly TraceAttempt[];
  readonly skipped?: readonly SkippedTarget[];
  readonly latency: {
    readonly first_token_ms: number | null;
    readonly total_ms: number;
    readonly budget_ms: number | null;
    readonly budget_met: boolean | null;
    /** How long the answer waited for a decision on its tool calls; `null` (absent in storage) where it did not. */
    readonly approval_wait_ms?: number | null;
  };
  readonly usage: TraceUsage;
  /** The cap on output tokens that was written upstream, where the router lowered or set it. */
  readonly output_cap?: number;
  /** `null` when the price of a model that was used is unknown: never zero by default. */
  readonly cost_usd: number | null;
  /** What the cost is made of; the parts add up to it. Absent where nothing was billed. */
  readonly cost_parts?: readonly { readonly kind: string; readonly tokens: number; readonly usd: number }[];
  /** What it costs since a repricing has corrected `cost_usd`. */
  readonly repriced_usd?: number;
  /** Names of the tools the model called, the first 128 of them. Never arguments, never message content. */
  readonly tool_calls: readonly string[];
  /** The id that the provider gave its answer, where the client got it. */
  readonly response_id?: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly client_request_id: string | null;
}

/** A trace as lists and single answers show it: members that are stored only where they say something are always there. */
export function wholeTrace(trace: Trace): Trace {
  const { skipped = [], cost_parts = [], latency } = trace;
  return { ...trace, skipped, latency: { ...latency, approval_wait_ms: latency.approval_wait_ms ?? null }, cost_parts };
}

/** The trace as the holder of its key may see it: without what only the deployment's operators are to know. */
export function withoutDiagnosis(trace: Trace): Trace {
  const whole = wholeTrace(trace);
  return {
    ...whole,
    attempts: trace.attempts.map((attempt) => {
      const { credential, provider_code, provider_message, provider_request_id, ...shown } = attempt;
      return shown;
    }),
    skipped: (whole.skipped ?? []).map(({ detail, ...shown }) => shown),
  };
}

const KEY_ID_LENGTH = 12;
/** 62^8 milliseconds reach past the year 8800. */
const TIME_LENGTH = 8;
const RANDOM_LENGTH = 12;

const TRACE_ID = /^tr_([0-9A-Za-z]{12})([0-9A-Za-z]{8})[0-9A-Za-z]{12}$/;
/** Stands where a request has no key. */
const NO_KEY_ID = "0".repeat(KEY_ID_LENGTH);

/** `tr_` + key id + time + random: one trace is one call to one ledger, and ids of a key sort by time. */
export function newTraceId(keyId: string | null, now: number): string {
  return `tr_${keyId ?? NO_KEY_ID}${encodeBase62(now, TIME_LENGTH)}${randomBase62(RANDOM_LENGTH)}`;
}

/** The key a trace id belongs to, or `null` for text that is no trace id. */
export function keyIdOfTrace(traceId: string): string | null {
  return TRACE_ID.exec(traceId)?.[1] ?? null;
}

/** When the request of a trace id came, epoch ms; `null` for text that is no trace id. */
export function traceTime(traceId: string): number | null {
  const digits = TRACE_ID.exec(traceId)?.[2];
  return digits === undefined ? null : decodeBase62(digits);
}

/** As responses, items and calls carry it: whole, or its characters behind a prefix and before an index. */
const DERIVED_ID = /(?:tr_|^[a-z]{2,8}_)([0-9A-Za-z]{32})(?:i?[0-9a-f]{4})?(?:_\d{1,4})?$/;

/** The trace id that another id of ours was made from; `null` for text that is none. */
export function traceIdIn(id: string): string | null {
  const tail = DERIVED_ID.exec(id)?.[1];
  return tail === undefined ? null : `tr_${tail}`;
}

/** The smallest id a trace of `keyId` begun at `now` can have: turns a time range into an id range. */
export function traceIdFloor(keyId: string, now: number): string {
  return `tr_${keyId}${encodeBase62(Math.max(0, now), TIME_LENGTH)}${"0".repeat(RANDOM_LENGTH)}`;
}
