/** What Google's errors mean, and with what it is called. */
import { describe, expect, test } from "vitest";
import type { UpstreamFailure } from "../../../src/providers/adapter.ts";
import { classifyGoogle, google } from "../../../src/providers/google.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { allFixtures, bytesOf, named } from "../../support/fixtures.ts";

const ERRORS = allFixtures().filter(({ provider, kind }) => provider === "google" && kind === "error");
const BASE_URL = "https://generativelanguage.googleapis.com/v1beta";

describe("failures", () => {
  const status = (code: number, word: string, message = "Example", details: unknown[] = []) => ({
    error: { code, message, status: word, details },
  });
  const info = (reason: string) => [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason }];
  const retry = (delay: string) => ({ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: delay });
  test.each<[string, number, unknown, Partial<UpstreamFailure>]>([
    [
      "a wrong key",
      400,
      status(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")),
      { class: "auth", tryNext: true },
    ],
    [
      "a wrong key without a reason",
      400,
      status(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
      { class: "auth" },
    ],
    ["an API that is off", 403, status(403, "PERMISSION_DENIED", "Off", info("SERVICE_DISABLED")), { class: "auth" }],
    ["no credentials", 401, status(401, "UNAUTHENTICATED"), { class: "auth" }],
    [
      "a country that is not served",
      400,
      status(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
      { class: "auth", tryNext: true },
    ],
    ["an unknown model", 404, status(404, "NOT_FOUND"), { class: "auth" }],
    [
      "a rate limit and its delay",
      429,
      status(429, "RESOURCE_EXHAUSTED", "Quota", [retry("48.9s")]),
      { class: "rate_limited", retryAfterMs: 48_900, trySame: true },
    ],
    [
      "a day's quota",
      429,
      status(429, "RESOURCE_EXHAUSTED", "Quota", [
        { violations: [{ quotaId: "GenerateRequestsPerDayPerProjectPerModel" }] },
        retry("2s"),
      ]),
      { class: "rate_limited", retryAfterMs: 2_000, trySame: false },
    ],
    ["a rate limit without a delay", 429, status(429, "RESOURCE_EXHAUSTED"), { class: "rate_limited", trySame: false }],
    ["an overload", 503, status(503, "UNAVAILABLE"), { class: "server_error", trySame: true }],
    ["a failure inside", 500, status(500, "INTERNAL"), { class: "server_error", trySame: true }],
    ["a deadline", 504, status(504, "DEADLINE_EXCEEDED"), { class: "server_error", trySame: true }],
    ["a cancelled call", 499, status(499, "CANCELLED"), { class: "server_error", tryNext: true, trySame: true }],
    [
      "too long a prompt",
      400,
      status(
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
      ),
      { class: "context_length", tryNext: true },
    ],
    [
      "too long a prompt, said differently",
      400,
      status(
        400,
        "INVALID_ARGUMENT",
        "Unable to submit request because the input token count is 9 but model only supports up to 8.",
      ),
      { class: "context_length" },
    ],
    [
      "too large a request",
      400,
      status(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
      { class: "context_length" },
    ],
    [
      "a quotation of that",
      400,
      status(400, "INVALID_ARGUMENT", "Invalid value: 'The input token count exceeds'"),
      { class: "invalid_request", tryNext: false },
    ],
    [
      "a signature it wants",
      400,
      status(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts."),
      { class: "invalid_response", tryNext: true },
    ],
    [
      "what only this model lacks: a shape beside functions",
      400,
      status(400, "INVALID_ARGUMENT", "Function calling with a response mime type: 'application/json' is unsupported"),
      { class: "capability", tryNext: true },
    ],
    [
      "what only this model lacks: a level of thinking",
      400,
      status(400, "INVALID_ARGUMENT", "Thinking level MINIMAL is not supported for this model. Please retry."),
      { class: "capability", tryNext: true },
    ],
    ...[
      "Penalty is not enabled for models/gemini-9",
      "Budget 0 is invalid. This model only works in thinking mode.",
      "Developer instruction is not enabled for models/gemma-3-27b-it",
      "Logprobs is not supported for this model.",
      "Built-in tools ({google_search}) and Function Calling cannot be combined in the same request.",
      "Invalid JSON payload received. Unknown name \"colour\" at 'tools[0]': Cannot find field.",
      "* GenerateContentRequest.tools[0].function_declarations[0].name: Invalid function name.",
      "The specified schema produces a constraint that has too many states for serving.",
      "Unsupported MIME type: image/tiff",
      "The thinking budget (5) is invalid. Please choose a value between 128 and 32768.",
      "Invalid value at 'generation_config.seed' (TYPE_INT32), 5000000000",
      "Please ensure that the number of function response parts is equal to the number of function call parts.",
      "Cannot fetch content from the provided URL.",
    ].map((message): [string, number, unknown, Partial<UpstreamFailure>] => [
      `what another target may take: ${message}`,
      400,
      status(400, "INVALID_ARGUMENT", message),
      { class: "capability", tryNext: true, trySame: false, message },
    ]),
    [
      "a quotation of that",
      400,
      status(400, "INVALID_ARGUMENT", "Invalid value: 'Unsupported MIME type'"),
      { class: "invalid_request", tryNext: false },
    ],
    [
      "a wrong field",
      400,
      status(400, "INVALID_ARGUMENT", "Unknown name"),
      { class: "capability", tryNext: true, message: "Unknown name" },
    ],
    [
      "a list of one",
      400,
      [status(400, "INVALID_ARGUMENT", "The input token count (2) exceeds the maximum number of tokens allowed (1).")],
      { class: "context_length" },
    ],
    ["a page", 502, undefined, { class: "server_error" }],
  ])("%s, as a response and in a body of status 200", (_, http, body, failure) => {
    expect(classifyGoogle({ status: http, headers: new Headers(), body }, 0)).toMatchObject(failure);
    if (body === undefined || Array.isArray(body)) return;
    expect(classifyGoogle({ status: 200, headers: new Headers(), body }, 0)).toMatchObject(failure);
  });

  test.each(named(ERRORS))("$name", ({ fixture }) => {
    const body = JSON.parse(bytesOf(fixture).toString("utf8")) as unknown;
    const failure = google.adapter.classify({ status: fixture.status, headers: new Headers(), body });
    expect(failure.class).not.toBe("invalid_response");
    expect(failure.tryNext).toBe(failure.class !== "invalid_request");
    if (fixture.status === 429)
      expect(failure).toMatchObject({ class: "rate_limited", retryAfterMs: expect.any(Number) });
  });
});

test("the first secret that is set is used, and only in a header", () => {
  expect(findProvider("google")).toBe(google);
  expect(google.configure({})).toBeNull();
  expect(google.configure({ GEMINI_API_KEY: "a b" })).toBeNull();
  expect(google.configure({ GEMINI_API_KEY: "", GOOGLE_GENERATIVE_AI_API_KEY: "3" })?.headers).toEqual({
    "x-goog-api-key": "3",
  });
  expect(google.configure({ GOOGLE_API_KEY: "2", GEMINI_API_KEY: "1" })).toEqual({
    baseUrl: BASE_URL,
    headers: { "x-goog-api-key": "1" },
  });
  expect(google.configure({ GEMINI_API_KEY: "1", GOOGLE_BASE_URL: "https://proxy.example.org/v1/" })?.baseUrl).toBe(
    "https://proxy.example.org/v1",
  );
});
