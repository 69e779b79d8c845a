/**
 * The light trace of a request that was refused after its key was recognised and before it reached a route: enough to
 * find it by the id that the client quotes. It was no request to anybody: no evidence, no rate, no spend counts it.
 */
import type { Trace } from "./schema.ts";

export interface Refusal {
  readonly id: string;
  /** Epoch ms. */
  readonly receivedAt: number;
  readonly endedAt: number;
  readonly keyId: string;
  readonly env: string;
  /** Empty where the refusal came before it was known. */
  readonly app: string;
  /** The model as the client named it; empty where it was not read, or might have been a secret. */
  readonly route: string;
  readonly stream: boolean;
  /** `undefined`: it came in by no door that has models. */
  readonly api: Trace["api"];
  readonly httpStatus: number;
  readonly errorCode: string;
  readonly clientRequestId: string | null;
}

export function refusedTrace(refusal: Refusal): Trace {
  const { id, receivedAt, endedAt, keyId, env, app, route, stream, httpStatus, errorCode, clientRequestId, api } =
    refusal;
  return {
    ...{ id, created_at: new Date(receivedAt).toISOString(), key_id: keyId, env, app, route, route_version: 0, stream },
    ...{ status: "refused", http_status: httpStatus, error_code: errorCode },
    ...{ provider: null, model: null, fallback: false, attempts: [] },
    latency: { first_token_ms: null, total_ms: endedAt - receivedAt, budget_ms: null, budget_met: null },
    usage: {
      ...{ prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 },
      source: "none",
    },
    ...{ cost_usd: 0, tool_calls: [], tags: {}, client_request_id: clientRequestId },
    ...(api === undefined ? {} : { api }),
  };
}

/** What is refused because nothing is there, or before the key is looked at, leaves no trace. */
const UNTRACED_STATUSES: ReadonlySet<number> = new Set([401, 404, 405, 413, 415]);

export const leavesTrace = (httpStatus: number): boolean => !UNTRACED_STATUSES.has(httpStatus);
