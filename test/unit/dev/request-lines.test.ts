import { expect, test } from "vitest";
import { greeting, routesText } from "../../../src/dev/greeting.ts";
import { eventOf, eventText, paintFor, refusedKeys, wranglerStatus } from "../../../src/dev/request-lines.ts";
import type { Seeding } from "../../../src/dev/seeding.ts";

const AT = new Date(2026, 10, 30, 16, 9, 2);
const plain = paintFor(false);
const REQUEST = {
  ...{
    event: "request",
    trace_id: "tr_1",
    route: "flow/best-reasoning",
    stream: false,
    status: "ok",
    http_status: 200,
  },
  ...{ provider: "openai", model: "gpt-5.2", fallback: false, total_ms: 1234, cost_usd: 0.00123 },
};

test.each([
  { name: "an answer", event: REQUEST, line: "16:09:02 200 best-reasoning → openai/gpt-5.2 1.2 s $0.0012 tr_1" },
  {
    name: "a sandbox answer after a refused key",
    event: {
      ...{ ...REQUEST, provider: "sandbox", model: "deep-1", fallback: true, fallback_reason: "auth", cost_usd: 0 },
      ...{ total_ms: 40, attempt_log: "openai/gpt-5.2;auth;401;12ms, sandbox/deep-1;ok;200;1ms" },
    },
    line: "16:09:02 200 best-reasoning → sandbox/deep-1 40 ms after openai/gpt-5.2 auth 401 tr_1",
  },
  {
    name: "a failure",
    event: {
      ...{ ...REQUEST, status: "error", http_status: 502, error_code: "upstream_failed", provider: null, model: null },
      ...{ cost_usd: null, attempt_log: "a/b;network;-;0ms, a/b;network;-;0ms" },
    },
    line: "16:09:02 502 best-reasoning → no target 1.2 s upstream_failed after a/b network tr_1",
  },
  {
    name: "a target that was skipped",
    event: { ...REQUEST, fallback: true, fallback_reason: "breaker_open", attempt_log: "openai/gpt-5.2;ok;200;1ms" },
    line: "16:09:02 200 best-reasoning → openai/gpt-5.2 1.2 s $0.0012 after breaker_open tr_1",
  },
  {
    name: "a refusal",
    event: { event: "refused", error_code: "missing_api_key", http_status: 401, trace_id: "tr_2" },
    line: "16:09:02 401 missing_api_key tr_2",
  },
  { name: "another event", event: { event: "odd", a: 1, b: "x" }, line: "16:09:02 odd a=1 b=x" },
])("$name is one line", ({ event, line }) => {
  expect(eventText(event, AT, plain)).toBe(line);
  expect(eventOf(JSON.stringify(event))).toEqual(event);
});

test("what is no line of the Worker stays what it is", () => {
  expect(eventOf("[wrangler:info] Ready")).toBeNull();
  expect(eventOf('{"event":')).toBeNull();
  expect(wranglerStatus("[wrangler:info] GET /admin/keys 404 Not Found (3ms)")).toBe(404);
  expect(wranglerStatus("[wrangler:info] Ready on http://localhost:8787")).toBeNull();
});

test("a refused key is named by its provider", () => {
  const event = { ...REQUEST, attempt_log: "openai/gpt-5.2;auth;401;1ms, groq/x/y;ok;200;1ms" };
  expect(refusedKeys(event)).toEqual(["openai"]);
});

const seeding = (configured: readonly string[], targets: readonly string[]): Seeding => ({
  configured,
  versions: {},
  routes: [
    { env: "production", name: "best-reasoning", targets, state: "followed" },
    { env: "staging", name: "best-reasoning", targets, state: "followed" },
    { env: "production", name: "fast-eval", targets: ["mine/x"], state: "kept" },
    { env: "staging", name: "fast-eval", targets, state: "same" },
  ],
});

test("a start says who answers first on which route", () => {
  const text = routesText(seeding(["openai"], ["openai/gpt-5.2", "sandbox/deep-1", "sandbox/deep-2"]));
  expect(text).toContain("Configured: openai");
  expect(text).toContain("best-reasoning  openai/gpt-5.2, then the sandbox, updated");
  expect(text).toContain("fast-eval       mine/x (production), as you changed it");
  expect(text).toContain("fast-eval       openai/gpt-5.2, then the sandbox (staging)");
});

test("a start without a key says so, and prints a curl line without the admin token", () => {
  const announced = { base_url: "http://localhost:1", admin_token: "secret-token", keys: { production: "fl_key" } };
  const text = greeting(announced, ".flowlayer/dev.json", seeding([], ["sandbox/deep-1"]));
  expect(text).toContain("No provider key found: the sandbox answers");
  expect(text).toContain("curl http://localhost:1/v1/chat/completions");
  expect(text).not.toContain("secret-token");
});
