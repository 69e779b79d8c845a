/**
 * What the router tells a client that it will not or cannot serve.
 *
 * One table from code to status, type and retry advice, one class that carries a code, one function that makes the
 * body. Failures that the router itself decides on (an attempt failed, a candidate was skipped) are values, not
 * errors; only what must reach the client is thrown.
 */

interface ErrorRow {
  readonly status: number;
  readonly type: string;
  /** Sent as `x-should-retry`; openai-node `src/client.ts` obeys it before it looks at the status. */
  readonly retry: boolean;
}

const request = (status: number): ErrorRow => ({ status, type: "invalid_request_error", retry: false });
const permission: ErrorRow = { status: 403, type: "permission_error", retry: false };
const quota: ErrorRow = { status: 402, type: "insufficient_quota", retry: false };
const conflict = (status: number): ErrorRow => ({ status, type: "conflict_error", retry: false });
const unavailable = (retry: boolean): ErrorRow => ({ status: 503, type: "service_unavailable", retry });

export const ERRORS = {
  invalid_json: request(400),
  invalid_request: request(400),
  unknown_route: request(400),
  invalid_header: request(400),
  no_capable_target: request(400),
  context_length_exceeded: request(400),
  content_filter: request(400),
  upstream_invalid_request: request(400),
  wrong_route_kind: request(400),
  tool_not_gateable: request(400),
  range_not_kept: request(400),
  unknown_environment: request(400),
  missing_api_key: { status: 401, type: "authentication_error", retry: false },
  invalid_api_key: { status: 401, type: "authentication_error", retry: false },
  budget_exceeded: quota,
  request_budget_exceeded: quota,
  model_unpriced: quota,
  env_mismatch: permission,
  app_not_allowed: permission,
  route_not_allowed: permission,
  scope_required: permission,
  browser_request: permission,
  tool_approval_required: permission,
  tool_call_denied: permission,
  tool_call_altered: permission,
  tool_approval_expired: permission,
  role_required: permission,
  not_found: request(404),
  unknown_trace: request(404),
  response_not_found: request(404),
  method_not_allowed: request(405),
  request_too_large: request(413),
  unsupported_media_type: request(415),
  approval_decided: conflict(409),
  promotion_blocked: conflict(409),
  promotion_required: conflict(409),
  alias_taken: conflict(409),
  provider_in_use: conflict(409),
  not_empty: conflict(409),
  version_mismatch: conflict(412),
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", retry: true },
  upstream_rate_limited: { status: 429, type: "rate_limit_error", retry: false },
  internal_error: { status: 500, type: "api_error", retry: false },
  upstream_failed: { status: 502, type: "upstream_error", retry: false },
  overloaded: unavailable(true),
  policy_unavailable: unavailable(true),
  ledger_unavailable: unavailable(true),
  no_target_configured: unavailable(false),
  all_targets_down: unavailable(false),
  admin_disabled: unavailable(false),
  upstream_timeout: { status: 504, type: "timeout_error", retry: false },
  latency_budget_exceeded: { status: 504, type: "timeout_error", retry: false },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  /** The field or header at fault, in the client's spelling. */
  readonly param?: string;
  /** Further members of `error`, such as `attempts` or `tool_calls`. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Headers that belong to the refusal: `allow`, `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Retry advice of this one error, where it differs from that of its code. */
  readonly shouldRetry?: boolean;
  /** In place of the code's own, where one code stands for two situations. */
  readonly status?: number;
  /** The provider's own type for it, for a client that speaks the provider's wire. */
  readonly nativeType?: string;
}

/** A refusal or failure that the client receives. The message names the thing and the remedy, and holds no secret. */
export class RouterError extends Error {
  override readonly name = "RouterError";
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as `x-should-retry`. */
  readonly shouldRetry: boolean;
  readonly status: number;
  readonly nativeType: string | null;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message);
    this.code = code;
    this.param = options.param ?? null;
    this.details = options.details ?? {};
    this.headers = options.headers ?? {};
    this.shouldRetry = options.shouldRetry ?? ERRORS[code].retry;
    this.status = options.status ?? ERRORS[code].status;
    this.nativeType = options.nativeType ?? null;
  }
}

/** One answer for unknown, mistyped, expired and revoked keys: the difference would help an attacker only. */
export function invalidKey(): RouterError {
  return new RouterError("invalid_api_key", "The API key is not valid. Check the key, or ask for a new one.");
}

/** The longest `Retry-After` that a client gets, seconds. Beyond it openai-node ignores the header. */
const MAX_RETRY_AFTER_SECONDS = 60;

/** `Retry-After` as the contract wants it: whole seconds, 1 to 60. */
export function retryAfter(milliseconds: number): string {
  return String(Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(milliseconds / 1000))));
}

/** Where the page about a code is. */
export function helpOf(code: ErrorCode, address: string | undefined): { readonly help?: string } {
  return address === undefined ? {} : { help: `${new URL(address).origin}/docs/errors#${code}` };
}

/**
 * The JSON answer for `error`. `flow` is what is known of the request (at least its trace id); `headers` are the
 * trace headers known so far and lose against those of the error. `address`: the URL that was asked, on whose host the
 * page about the code is; absent: no page is named.
 */
export function errorResponse(
  error: RouterError,
  flow: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
  address?: string,
): Response {
  const { message, code, param, details } = error;
  const body = { error: { message, type: ERRORS[code].type, code, param, ...details, ...helpOf(code, address) }, flow };
  const all = new Headers(headers);
  all.set("cache-control", "no-store");
  all.set("x-content-type-options", "nosniff");
  all.set("x-should-retry", String(error.shouldRetry));
  if (error.status === 503) all.set("retry-after", retryAfter(1000));
  for (const [name, value] of Object.entries(error.headers)) all.set(name, value);
  return Response.json(body, { status: error.status, headers: all });
}
