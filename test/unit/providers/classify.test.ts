import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { UpstreamFailure } from "../../../src/providers/adapter.ts";
import { classifyError, withoutCredentials } from "../../../src/providers/classify.ts";
import { findProvider } from "../../../src/providers/index.ts";

const NOW = 1_700_000_000_000;

function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}.error.json`, import.meta.url).pathname, "utf8"));
}

function classify(status: number, body: unknown, headers: Record<string, string> = {}): UpstreamFailure {
  return classifyError({ status, headers: new Headers(headers), body }, NOW);
}

describe("a status alone", () => {
  const same = { tryNext: true, trySame: true };
  const next = { tryNext: true, trySame: false };
  const stop = { tryNext: false, trySame: false };
  test.each([
    ...[500, 502, 503, 504, 529].map((status) => ({ status, class: "server_error", ...same })),
    ...[501, 505, 520, 521, 522, 523, 524, 599].map((status) => ({ status, class: "server_error", ...next })),
    ...[401, 402, 403, 404].map((status) => ({ status, class: "auth", ...next })),
    ...[409, 425].map((status) => ({ status, class: "server_error", ...next })),
    { status: 408, class: "timeout", ...next },
    ...[429, 498].map((status) => ({ status, class: "rate_limited", ...next })),
    ...[204, 301, 302, 307, 308, 304, 418, 600, 999, 101].map((status) => ({
      status,
      class: "invalid_response",
      ...next,
    })),
    ...[400, 413, 422].map((status) => ({ status, class: "invalid_request", ...stop })),
    { status: 200, class: "invalid_response", ...next },
  ])("$status is $class", ({ status, ...failure }) => {
    expect(classify(status, undefined)).toEqual(failure);
  });
});

describe("bodies of providers", () => {
  test.each<[string, number, Partial<UpstreamFailure>]>([
    ["openai/rate-limit", 429, { class: "rate_limited", tryNext: true, trySame: false }],
    ["openai/quota", 429, { class: "auth", tryNext: true, trySame: false }],
    [
      "openai/unsupported-parameter",
      400,
      { class: "capability", tryNext: true, trySame: false, param: "max_tokens", retryWithout: "max_tokens" },
    ],
    ["openai/context-length", 400, { class: "context_length", tryNext: true, trySame: false, param: "messages" }],
    ["openai/server-error", 500, { class: "server_error", trySame: true }],
    ["groq/too-large", 413, { class: "rate_limited", tryNext: true, trySame: false }],
    ["groq/tool-use-failed", 400, { class: "invalid_response", tryNext: true, trySame: false }],
    ["mistral/invalid-key", 401, { class: "auth", tryNext: true }],
    ["mistral/capacity", 429, { class: "rate_limited" }],
    [
      "mistral/extra-input",
      422,
      {
        class: "capability",
        param: "messages[0].name",
        message: "Extra inputs are not permitted",
        retryWithout: "messages.name",
      },
    ],
    ["deepseek/balance", 402, { class: "auth", tryNext: true }],
    ["xai/invalid-key", 400, { class: "auth", tryNext: true }],
    ["xai/invalid-argument", 400, { class: "invalid_request", message: "The temperature is out of range." }],
    ["openrouter/rate-limit", 429, { class: "rate_limited", trySame: true, retryAfterMs: 5_000 }],
    ["openrouter/flagged", 403, { class: "content_filter", tryNext: true }],
    ["openrouter/in-flight", 402, { class: "rate_limited", tryNext: true }],
    ["vllm/context-length", 400, { class: "context_length" }],
    ["azure/content-filter", 400, { class: "content_filter", param: "prompt" }],
    ["google/quota", 429, { class: "rate_limited", retryAfterMs: 1_500, trySame: true }],
    ["google/invalid-key", 400, { class: "auth" }],
  ])("%s with %d", (name, status, failure) => {
    expect(classify(status, fixture(name))).toMatchObject(failure);
  });

  test.each<[string, Partial<UpstreamFailure>]>([
    ["openai/rate-limit", { class: "rate_limited" }],
    ["openai/server-error", { class: "server_error", trySame: true }],
    ["openai/context-length", { class: "context_length" }],
    ["openai/unsupported-parameter", { class: "capability", tryNext: true }],
    ["openrouter/rate-limit", { class: "rate_limited", retryAfterMs: 5_000 }],
    ["openrouter/bad-gateway", { class: "server_error", trySame: true }],
    ["groq/tool-use-failed", { class: "invalid_response", tryNext: true }],
    ["mistral/capacity", { class: "rate_limited" }],
    ["google/quota", { class: "rate_limited", retryAfterMs: 1_500 }],
    ["xai/invalid-argument", { class: "server_error", tryNext: true, trySame: false }],
  ])("%s inside a 200", (name, failure) => {
    expect(classify(200, fixture(name))).toMatchObject(failure);
  });

  test.each<[unknown, Partial<UpstreamFailure>]>([
    [{ error: { type: "overloaded_error", message: "x" } }, { class: "server_error", trySame: true }],
    [{ error: { type: "rate_limit_error" } }, { class: "rate_limited" }],
    [{ error: { code: "429" } }, { class: "rate_limited" }],
    [{ error: "something broke" }, { class: "server_error", tryNext: true, trySame: false }],
    [{ error: {} }, { class: "server_error", tryNext: true, trySame: false }],
    [{ message: "x", type: "server_error", code: "x" }, { class: "server_error" }],
    [{ error: { code: Number.NaN, type: 7, status: null } }, { class: "server_error" }],
    [{ error: { code: 499, status: "CANCELLED" } }, { class: "invalid_response", tryNext: true }],
    [[], { class: "server_error" }],
    ["text", { class: "server_error" }],
  ])("%j inside a 200", (body, failure) => {
    expect(classify(200, body)).toMatchObject(failure);
  });

  test.each<[string, string, number, Partial<UpstreamFailure>]>([
    ["zai", "zai/balance", 429, { class: "auth", trySame: false }],
    ["minimax", "minimax/rate-limit", 200, { class: "rate_limited" }],
    ["minimax", "minimax/context", 200, { class: "context_length" }],
  ])("%s has codes of its own: %s", (id, name, status, failure) => {
    const error = { status, headers: new Headers(), body: fixture(name) };
    expect(findProvider(id)?.adapter.classify(error)).toMatchObject(failure);
  });

  test("codes of one provider mean nothing to another", () => {
    expect(classify(429, fixture("zai/balance"))).toMatchObject({ class: "rate_limited" });
  });

  test("a code named like an object's own member is unknown", () => {
    expect(classify(400, { error: { code: "__proto__", type: "constructor" } }).class).toBe("invalid_request");
  });

  test("the client's text, quoted by the provider, cannot blame the router's credential", () => {
    const message = "Invalid value: 'Incorrect API key provided'";
    expect(classify(400, { error: { message } })).toMatchObject({ class: "invalid_request", tryNext: false });
  });
});

test("a refusal keeps the provider's words without secrets, bounded, and a failure of ours keeps none", () => {
  const words = `Bad value near sk-live-abcdefghij1234567890\u0007${"and so on ".repeat(100)}`;
  const { message = "" } = classify(400, { error: { message: words, param: "tools[0]" } });
  expect(message).toMatch(/^Bad value near \[removed\] and so on/);
  expect(message.length).toBeLessThanOrEqual(500);
  expect(classify(401, { error: { message: words } })).not.toHaveProperty("message");
});

// Recorded traffic, where a checkout has it beside this one. Read, never copied.
const recorded = new URL("../../../../shared/fixtures/", import.meta.url).pathname;
describe.skipIf(!existsSync(recorded))("recorded errors", () => {
  const files = existsSync(recorded) ? readdirSync(recorded).filter((name) => name.endsWith(".error.json")) : [];
  const expected: Record<string, Partial<UpstreamFailure>> = {
    "openai-error-400": { class: "capability", param: "max_tokens", retryWithout: "max_tokens" },
    "openai-error-429": { class: "rate_limited" },
    "openai-error-500": { class: "server_error", trySame: true },
    "azure-error-429": { class: "rate_limited" },
    "azure-error-content-filter": { class: "content_filter" },
    "mistral-error-401": { class: "auth" },
    "mistral-error-429": { class: "rate_limited" },
    "deepseek-error-402": { class: "auth" },
    "xai-error-400": { class: "auth" },
    "openrouter-error-429": { class: "rate_limited" },
    "gemini-error-429-retryinfo": { class: "rate_limited", retryAfterMs: 48_000 },
    "gemini-error-400-key": { class: "auth" },
    "anthropic-error-529": { class: "server_error", trySame: true },
  };
  test.each(files.filter((name) => name.replace(".error.json", "") in expected))("%s", (file) => {
    const name = file.replace(".error.json", "");
    const status = name.includes("content-filter") ? 400 : Number(/-(\d{3})/.exec(name)?.[1]);
    const body: unknown = JSON.parse(readFileSync(recorded + file, "utf8"));
    expect(classify(status, body)).toMatchObject(expected[name] ?? {});
  });
});

describe("what a provider was called with is taken out of its words", () => {
  const refused = { class: "invalid_request", tryNext: false, trySame: false } as const;
  test.each([
    { name: "a header", config: { headers: { "x-api-key": "hunter2" } }, said: "hunter2!", left: "[removed]!" },
    { name: "a bearer token", config: { headers: { authorization: "Bearer a.b" } }, said: "a.b", left: "[removed]" },
    {
      name: "a signing key, wherever it stands",
      config: { headers: {}, settings: { secretAccessKey: "k/+=" } },
      said: "k/+= is not k/+=",
      left: "[removed] is not [removed]",
    },
    {
      name: "nothing else",
      config: { headers: {}, settings: { region: "us-east-1" } },
      said: "us-east-1",
      left: "us-east-1",
    },
  ])("$name", ({ config, said, left }) => {
    const failure = { ...refused, message: said, param: said };
    const clean = withoutCredentials(failure, { baseUrl: "https://a.example.com", ...config });
    expect(clean).toEqual({ ...refused, message: left, param: left });
  });

  test("and the rest stays within its length", () => {
    const failure = { ...refused, message: "x".repeat(500) };
    const clean = withoutCredentials(failure, { baseUrl: "https://a.example.com", headers: { authorization: "x" } });
    expect(clean.message).toHaveLength(500);
  });
});
