/** Errors in the shape that Anthropic's clients read. https://platform.claude.com/docs/en/api/errors */
import { errorResponse as chatErrorResponse, helpOf, type RouterError } from "../../http/errors.ts";

const TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  405: "invalid_request_error",
  413: "request_too_large",
  415: "invalid_request_error",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

/** Status and headers are those of every door; the body is this one's. */
export function errorResponse(
  error: RouterError,
  flow: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
  address?: string,
): Response {
  const plain = chatErrorResponse(error, flow, headers);
  const requestId = String(flow["trace_id"] ?? "");
  const { message, code, param, details, status, nativeType } = error;
  const body = {
    type: "error",
    error: {
      type: nativeType ?? TYPES[status] ?? "api_error",
      message,
      code,
      param,
      ...details,
      ...helpOf(code, address),
    },
    request_id: requestId,
    flow,
  };
  const all = new Headers(plain.headers);
  all.set("request-id", requestId);
  all.delete("content-length");
  return Response.json(body, { status, headers: all });
}
