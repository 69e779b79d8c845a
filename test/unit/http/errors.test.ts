import { describe, expect, test } from "vitest";
import {
  ERRORS,
  type ErrorCode,
  errorResponse,
  invalidKey,
  RouterError,
  retryAfter,
} from "../../../src/http/errors.ts";

/** The contract's table of errors, written out again on purpose: a change of one has to be a change of both. */
const CONTRACT: readonly { status: number; type: string; codes: readonly ErrorCode[] }[] = [
  {
    status: 400,
    type: "invalid_request_error",
    codes: [
      "invalid_json",
      "invalid_request",
      "unknown_route",
      "invalid_header",
      "no_capable_target",
      "context_length_exceeded",
      "content_filter",
      "upstream_invalid_request",
      ...(["wrong_route_kind", "tool_not_gateable", "range_not_kept", "unknown_environment"] as const),
    ],
  },
  { status: 401, type: "authentication_error", codes: ["missing_api_key", "invalid_api_key"] },
  { status: 402, type: "insufficient_quota", codes: ["budget_exceeded", "request_budget_exceeded", "model_unpriced"] },
  {
    status: 403,
    type: "permission_error",
    codes: [
      "env_mismatch",
      "app_not_allowed",
      "route_not_allowed",
      "scope_required",
      "browser_request",
      "tool_approval_required",
      "tool_call_denied",
      "tool_call_altered",
      "tool_approval_expired",
      "role_required",
    ],
  },
  { status: 404, type: "invalid_request_error", codes: ["not_found", "unknown_trace", "response_not_found"] },
  { status: 405, type: "invalid_request_error", codes: ["method_not_allowed"] },
  { status: 413, type: "invalid_request_error", codes: ["request_too_large"] },
  { status: 415, type: "invalid_request_error", codes: ["unsupported_media_type"] },
  {
    status: 409,
    type: "conflict_error",
    codes: [
      ...(["approval_decided", "promotion_blocked", "promotion_required", "alias_taken"] as const),
      ...(["provider_in_use", "not_empty"] as const),
    ],
  },
  { status: 412, type: "conflict_error", codes: ["version_mismatch"] },
  { status: 429, type: "rate_limit_error", codes: ["rate_limit_exceeded", "upstream_rate_limited"] },
  { status: 500, type: "api_error", codes: ["internal_error"] },
  { status: 502, type: "upstream_error", codes: ["upstream_failed"] },
  {
    status: 503,
    type: "service_unavailable",
    codes: [
      ...(["overloaded", "policy_unavailable", "ledger_unavailable", "no_target_configured"] as const),
      ...(["all_targets_down", "admin_disabled"] as const),
    ],
  },
  { status: 504, type: "timeout_error", codes: ["upstream_timeout", "latency_budget_exceeded"] },
];
const RETRIED: readonly ErrorCode[] = [
  ...(["rate_limit_exceeded", "ledger_unavailable", "policy_unavailable", "overloaded"] as const),
];
const ROWS = CONTRACT.flatMap(({ status, type, codes }) => codes.map((code) => ({ code, status, type })));

test("the contract's codes are all there is", () => {
  expect(Object.keys(ERRORS).sort()).toEqual(ROWS.map(({ code }) => code).sort());
});

test.each(ROWS)("$code is $status $type", async ({ code, status, type }) => {
  const error = new RouterError(code, "What to do.", { param: "p" });
  const response = errorResponse(error, { trace_id: "tr_x" }, { "x-request-id": "tr_x" });
  expect(await response.json()).toEqual({
    error: { message: "What to do.", type, code, param: "p" },
    flow: { trace_id: "tr_x" },
  });
  expect([response.status, error.status]).toEqual([status, status]);
  expect(response.headers.get("x-should-retry")).toBe(String(RETRIED.includes(code)));
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(response.headers.get("x-request-id")).toBe("tr_x");
  expect(response.headers.has("retry-after")).toBe(status === 503);
});

describe("errorResponse", () => {
  test("param is null where there is none, and details stand beside it", async () => {
    const error = new RouterError("upstream_failed", "x", { details: { attempts: [1] } });
    expect(await errorResponse(error, {}).json()).toEqual({
      error: { message: "x", type: "upstream_error", code: "upstream_failed", param: null, attempts: [1] },
      flow: {},
    });
  });

  test("one error may be worth a retry where its code is not", () => {
    const error = new RouterError("upstream_rate_limited", "x", { shouldRetry: true });
    expect(errorResponse(error, {}).headers.get("x-should-retry")).toBe("true");
  });

  test("headers of the error win over those of the trace, and over the default wait", () => {
    const error = new RouterError("ledger_unavailable", "x", { headers: { "retry-after": "7", allow: "GET" } });
    const { headers } = errorResponse(error, {}, { allow: "POST", "cache-control": "max-age=60" });
    expect([headers.get("retry-after"), headers.get("allow")]).toEqual(["7", "GET"]);
    expect(headers.get("cache-control")).toBe("no-store");
  });
});

test.each([
  { milliseconds: -5, seconds: "1" },
  { milliseconds: 0, seconds: "1" },
  { milliseconds: 1, seconds: "1" },
  { milliseconds: 1_000, seconds: "1" },
  { milliseconds: 1_001, seconds: "2" },
  { milliseconds: 60_000, seconds: "60" },
  { milliseconds: 3_600_000, seconds: "60" },
])("a wait of $milliseconds ms is Retry-After: $seconds", ({ milliseconds, seconds }) => {
  expect(retryAfter(milliseconds)).toBe(seconds);
});

test("an error may have another status than its code, where one code stands for two situations", async () => {
  const error = new RouterError("version_mismatch", "x", { status: 409 });
  expect([error.status, errorResponse(error, {}).status]).toEqual([409, 409]);
});

test("every bad key is answered with one and the same text", () => {
  expect(invalidKey()).toMatchObject({ code: "invalid_api_key", message: invalidKey().message, param: null });
});
