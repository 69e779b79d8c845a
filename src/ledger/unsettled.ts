/**
 * The trace of a request whose end was never reported, made from its reservations.
 *
 * Pure. It keeps the traces' sum equal to the ledger's, and is replaced when the settlement comes after all.
 */
import { parseJson } from "../lib/json.ts";
import { toUsd } from "../lib/money.ts";
import { keyIdOfTrace, type Trace, type TraceAttempt, UNSETTLED } from "../traces/schema.ts";
import type { RequestOrigin, SettleRow } from "./types.ts";

/** A reservation that expired and was charged at its bound. */
export type ExpiredAttempt = {
  readonly attempt: number;
  readonly reserved_at: number;
  readonly settled_at: number;
  readonly nano_usd: number;
  readonly provider: string;
  readonly model: string;
  /** JSON of a `RequestOrigin`. */
  readonly origin: string;
};

/** Where a request is counted, and as what. */
export interface Counted {
  /** Epoch ms; chooses the periods. */
  readonly at: number;
  /** 1 where its cost is unknown in whole or in part. */
  readonly unpriced: 0 | 1;
}

/** How a request with these expired attempts is counted; `null` without one. */
export function countedAs(attempts: readonly ExpiredAttempt[]): Counted | null {
  const [first] = attempts;
  if (first === undefined) return null;
  return { at: first.reserved_at, unpriced: attempts.some(({ nano_usd }) => nano_usd === 0) ? 1 : 0 };
}

/** The trace of a request by its expired attempts, at least one. */
export function unsettledTrace(
  id: string,
  attempts: readonly ExpiredAttempt[],
): Pick<SettleRow, "id" | "status" | "route" | "trace"> {
  // Written by the table of holds from a `RequestOrigin`, its only writer.
  const origin = parseJson(attempts[0]?.origin ?? "") as RequestOrigin;
  const { receivedAt, route } = origin;
  const made = attempts.map((each) => toAttempt(each, receivedAt));
  const endedAt = Math.max(...attempts.map(({ settled_at }) => settled_at));
  const trace: Trace = {
    id,
    created_at: new Date(receivedAt).toISOString(),
    key_id: keyIdOfTrace(id) ?? "",
    ...{ env: origin.env, app: origin.app, route, route_version: origin.routeVersion, stream: origin.stream },
    ...{ status: "error", http_status: 0, error_code: UNSETTLED, provider: null, model: null, fallback: false },
    attempts: made,
    latency: { first_token_ms: null, total_ms: Math.max(0, endedAt - receivedAt), budget_ms: null, budget_met: null },
    usage: {
      ...{ prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 },
      source: "none",
    },
    cost_usd: made.some(({ cost_usd }) => cost_usd === null) ? null : toUsd(sumOf(attempts)),
    ...{ tool_calls: [], tags: origin.tags ?? {}, client_request_id: null },
  };
  return { id, status: trace.status, route, trace: JSON.stringify(trace) };
}

const sumOf = (attempts: readonly ExpiredAttempt[]): number =>
  attempts.reduce((sum, { nano_usd }) => sum + nano_usd, 0);

function toAttempt(attempt: ExpiredAttempt, receivedAt: number): TraceAttempt {
  const { provider, model, reserved_at, settled_at, nano_usd } = attempt;
  return {
    ...{ provider, model, outcome: UNSETTLED, status: null, first_token_ms: null, hedged: false, winner: false },
    started_ms: Math.max(0, reserved_at - receivedAt),
    duration_ms: Math.max(0, settled_at - reserved_at),
    // A key without a budget holds no bound: what it may have cost is unknown, not nothing.
    cost_usd: nano_usd === 0 ? null : toUsd(nano_usd),
  };
}
