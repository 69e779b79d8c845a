/** Who is asked at all, how often, and what the client hears when nobody answers. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, expectError, expectStory, startChatRig, vendorError } from "../support/chat.ts";
import { pricedModel } from "../support/models.ts";
import { chunks, completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  // Without a secret xai is not configured.
  rig = await startChatRig({ XAI_API_KEY: "" });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const ANSWER: Script = { json: completion({ text: "second" }) };

describe("candidates", () => {
  const three = ["openai", "groq", "mistral"];
  test.each([
    { name: "route.only narrows", route: { only: ["groq"] }, calls: [0, 2, 0] },
    { name: "route.only keeps the policy's order", route: { only: ["mistral", "groq"] }, calls: [0, 2, 2] },
    { name: "route.avoid narrows", route: { avoid: ["openai"] }, calls: [0, 2, 2] },
    { name: "both together", route: { only: ["openai", "groq"], avoid: ["openai"] }, calls: [0, 2, 0] },
    { name: "a provider that is no target changes nothing", route: { avoid: ["deepseek"] }, calls: [2, 2, 0] },
  ])("$name", async ({ route: controls, calls }) => {
    const route = await rig.route({ providers: three });
    rig.upstream.script(vendorError(500));
    await expectError(await rig.ask(route, { route: controls }), { status: 502, code: "upstream_failed" });
    expect(rig.calls(route)).toEqual(calls);
  });

  test.each([{ only: ["deepseek"] }, { only: [] }, { avoid: three }])("%j leaves none: refused", async (controls) => {
    const route = await rig.route({ providers: three });
    await expectError(await rig.ask(route, { route: controls }), { status: 400, code: "no_capable_target" });
    expect(rig.calls(route)).toEqual([0, 0, 0]);
  });

  test("a target without its secret is not a candidate, and its absence no fallback", async () => {
    const route = await rig.route({ providers: ["xai", "groq"] });
    const response = await rig.ask(route);
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([0, 1]);
    await expectStory(rig, route, response, [`groq/${route.models[1]};ok;200`], null);
  });

  test("no target with its secret: 503", async () => {
    const route = await rig.route({ providers: ["xai"] });
    const response = await rig.ask(route);
    expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
    await expectError(response, { status: 503, code: "no_target_configured" });
    expect(rig.calls(route)).toEqual([0]);
  });

  test("a target known not to serve the request is skipped, the first one visibly", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const route = await rig.route({ providers: ["perplexity", "groq"] });
    const response = await rig.ask(route, { tools });
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([0, 1]);
    await expectStory(rig, route, response, [`groq/${route.models[1]};ok;200`], "capability");
    // Without its tools it would be another request: a sole candidate is refused.
    const sole = await rig.route({ providers: ["perplexity"] });
    const refused = await expectError(await rig.ask(sole, { tools }), { status: 400, code: "no_capable_target" });
    expect(refused.error.param).toBe("tools");
    expect(rig.calls(sole)).toEqual([0]);
  });

  test.each([
    { max_attempts: 1, calls: [1, 0, 0] },
    { max_attempts: 2, calls: [2, 0, 0] },
    { max_attempts: 3, calls: [2, 1, 0] },
    { max_attempts: 5, calls: [2, 2, 1] },
    { max_attempts: 16, calls: [2, 2, 2] },
  ])("at most $max_attempts attempts in all", async ({ max_attempts, calls }) => {
    const route = await rig.route({ providers: three, policy: { fallback: { max_attempts } } });
    rig.upstream.script(vendorError(503));
    const response = await rig.ask(route);
    const { error: failure } = await expectError(response, { status: 502, code: "upstream_failed" });
    const total = calls.reduce((sum, count) => sum + count);
    expect(rig.calls(route)).toEqual(calls);
    expect(failure.attempts).toHaveLength(total);
    expect(failure.message).toContain(`openai/${route.models[0]}: server_error 503${calls[0] === 2 ? " twice" : ""}`);
    expect(response.headers.get("x-flowlayer-attempts")).toBe(String(total));
  });
});

test("where one was passed over, the others' rate limits are not those of all, and the error says why", async () => {
  const model = pricedModel();
  const route = await rig.route({
    providers: ["openai", "groq"],
    targets: [{ model }, { model: "without-a-price" }],
    policy: { retry: { same_target: 0 } },
    key: { budget: { limit_usd: 1, period: "day" } },
  });
  rig.upstream.scriptFor(model, vendorError(429, {}, { "retry-after": "20" }));
  const response = await rig.ask(route, { max_tokens: 10 });
  const { error: failure } = await expectError(response, { status: 502, code: "upstream_failed" });
  expect(failure.message).toContain(`(openai/${model}: rate_limited 429; not asked: groq/without-a-price: unpriced)`);
  expect(rig.upstream.callsTo("without-a-price")).toHaveLength(0);
});

describe("when all fail", () => {
  const limited = (seconds: string): Script => vendorError(429, {}, { "retry-after": seconds });
  test.each([
    {
      name: "all rate limited",
      scripts: [limited("30"), limited("7")],
      status: 429,
      code: "upstream_rate_limited",
      retryAfter: "7",
      retry: true,
      tells: /openai\/\S+: rate_limited 429; groq\/\S+: rate_limited 429\)\. Try again in 7 s\.$/,
    },
    {
      name: "all rate limited, no delay named",
      scripts: [vendorError(429), vendorError(429)],
      status: 429,
      code: "upstream_rate_limited",
      retryAfter: "1",
      tells: /Try again in 1 s\.$/,
    },
    {
      name: "all rate limited for hours",
      scripts: [limited("9999"), limited("9999")],
      status: 429,
      code: "upstream_rate_limited",
      retryAfter: "60",
      retry: true,
      tells: /Try again in 60 s\.$/,
    },
    {
      name: "all timed out",
      scripts: [vendorError(408), { hang: true }],
      status: 504,
      code: "upstream_timeout",
      retryAfter: null,
      tells: /openai\/\S+: timeout 408; groq\/\S+: timeout\)/,
    },
    {
      name: "rate limited and timed out",
      scripts: [limited("30"), vendorError(408)],
      status: 502,
      code: "upstream_failed",
      retryAfter: null,
      tells: /openai\/\S+: rate_limited 429; groq\/\S+: timeout 408\)\. Try again later\.$/,
    },
    {
      name: "rate limited and failed",
      scripts: [limited("30"), vendorError(501)],
      status: 502,
      code: "upstream_failed",
      retryAfter: null,
      tells: /groq\/\S+: server_error 501\)/,
    },
    {
      name: "keys refused",
      scripts: [vendorError(401), vendorError(403)],
      status: 502,
      code: "upstream_failed",
      retryAfter: null,
      tells:
        /openai\/\S+: auth 401; groq\/\S+: auth 403\)\. The operator must check the provider's secret and credit\.$/,
    },
  ])("$name: $status $code", async ({ scripts, status, code, retryAfter, retry = false, tells }) => {
    const route = await rig.route({ policy: { timeouts: { total_ms: 300, first_token_ms: 300 } } });
    scripts.forEach((script, index) => void rig.upstream.scriptFor(route.models[index]!, script));
    const response = await rig.ask(route);
    const body = await expectError(response, { status, code, retry });
    expect(body.error.message).toMatch(tells);
    expect(response.headers.get("retry-after")).toBe(retryAfter);
    expect(body.error.attempts).toEqual([
      expect.objectContaining({ provider: "openai", model: route.models[0] }),
      expect.objectContaining({ provider: "groq", model: route.models[1] }),
    ]);
    expect(JSON.stringify(body)).not.toContain("vendor says");
    expect(rig.calls(route)).toEqual([1, 1]);
    expect(await rig.trace(route, response)).toMatchObject({
      status: "error",
      http_status: status,
      error_code: code,
      provider: null,
    });
  });
});

test("a conversation too long for one window goes to larger and unknown windows only", async () => {
  const long = pricedModel();
  const targets = [{ model: long }, { model: "gpt-4o-mini" }, { model: "unknown-window" }];
  const route = await rig.route({ providers: ["openai", "openai", "openai"], targets });
  rig.upstream.scriptFor(long, vendorError(400, { code: "context_length_exceeded" }));
  rig.upstream.scriptFor("unknown-window", ANSWER);
  const response = await rig.ask(route);
  expect(response.headers.get("x-flowlayer-model")).toBe("unknown-window");
  expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("context_length");
  expect(rig.upstream.callsTo("gpt-4o-mini")).toHaveLength(0);
});

describe("latency budget", () => {
  test.each([
    { name: "whole", body: {}, script: { hang: true } },
    { name: "stream", body: { stream: true }, script: { events: [": x\n\n"], end: "stall" as const } },
  ])("hard: at its end the answer is 504 and the call is dropped ($name)", async ({ body, script }) => {
    const route = await rig.route({ policy: { latency: { mode: "hard", hedge: false } } });
    rig.upstream.script(script);
    const response = await rig.ask(route, { ...body, route: { latency_budget_ms: 250 } });
    await expectError(response, { status: 504, code: "latency_budget_exceeded" });
    expect(rig.calls(route)).toEqual([1, 0]);
    expect(response.headers.get("x-flowlayer-latency-budget-ms")).toBe("250");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("false");
    await expect.poll(() => rig.upstream.calls[0]?.closedBy).toBe("router");
    expect((await rig.trace(route, response)).latency).toMatchObject({ budget_ms: 250, budget_met: false });
  });

  test("soft: the answer is waited for, and marked as late", async () => {
    const route = await rig.route({ policy: { latency: { hedge: false } } });
    rig.upstream.script({ ...ANSWER, headMs: 120 });
    const response = await rig.ask(route, {}, { headers: { "x-flowlayer-latency-budget-ms": "50" } });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("false");
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test("hard: a stream that began in time may take longer", async () => {
    const route = await rig.route({ policy: { latency: { mode: "hard", budget_ms: 300 } } });
    rig.upstream.script({ events: chunks("one two three four five"), gapMs: 80 });
    const response = await rig.ask(route, { stream: true });
    expect(await response.text()).toContain("[DONE]");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("true");
  });
});

test("after three failures in a row a target rests: the next one is first, and it comes back", async () => {
  const route = await rig.route({ policy: { retry: { same_target: 0 } } });
  rig.upstream.scriptFor(route.models[0]!, vendorError(500));
  for (let count = 0; count < 3; count++) await (await rig.ask(route)).text();
  expect(rig.calls(route)).toEqual([3, 3]);

  const rested = await rig.ask(route);
  await rested.text();
  expect(rig.calls(route)).toEqual([3, 4]);
  await expectStory(rig, route, rested, [`groq/${route.models[1]};ok;200`], "breaker_open");

  rig.upstream.scriptFor(route.models[0]!, ANSWER);
  await expect
    .poll(
      async () => {
        const response = await rig.ask(route);
        await response.text();
        return response.headers.get("x-flowlayer-provider");
      },
      { timeout: 6_000, interval: 200 },
    )
    .toBe("openai");
});

test("a target that rests is still asked when the others fail", async () => {
  const route = await rig.route({ policy: { retry: { same_target: 0 } } });
  rig.upstream.scriptFor(route.models[0]!, [vendorError(500), vendorError(500), vendorError(500), ANSWER]);
  for (let count = 0; count < 3; count++) await (await rig.ask(route)).text();
  rig.upstream.scriptFor(route.models[1]!, vendorError(503));
  const response = await rig.ask(route);
  expect(response.status).toBe(200);
  expect(response.headers.get("x-flowlayer-attempt-log")).toMatch(
    /^groq\/.+;server_error;503;\d+ms, openai\/.+;ok;200;\d+ms$/,
  );
});
