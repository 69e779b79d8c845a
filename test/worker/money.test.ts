/** What a key and a request may spend: held before the call, booked after it, never passed, and no wait where there is room. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newTraceId } from "../../src/traces/schema.ts";
import { type ChatRig, chatBody, expectError, type RouteSpec, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { chunks, completion, type Script, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({}, FAULTS_FRONT);
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});

/** Targets with a known price. */
async function pricedRoute(spec: RouteSpec = {}): Promise<TestRoute> {
  const own = (spec.providers ?? ["openai", "openai"]).map(pricedModel);
  const targets = own.map((model) => ({ model }));
  const route = await rig.route({ ...spec, providers: own.map(() => "openai"), targets });
  return { ...route, models: own };
}

const ANSWER: Script = { json: completion({ usage: usage(100, 10) }) };
/** 100 prompt tokens at 400 nano-USD and 10 of the answer at 1,600. */
const ANSWER_USD = 0.000_056;
const CAPPED = { max_tokens: 100 };

interface Spend {
  readonly limit_usd: number | null;
  readonly spent_usd: number;
  readonly reserved_usd: number;
  readonly remaining_usd: number | null;
}

async function spendOf(route: TestRoute): Promise<Spend> {
  const response = await rig.worker.admin(`/admin/keys/${route.keyId}`);
  return ((await response.json()) as { spend: Spend }).spend;
}

async function auditOf(route: TestRoute): Promise<Readonly<Record<string, unknown>>> {
  return (await (await rig.worker.admin(`/admin/keys/${route.keyId}/ledger`)).json()) as Record<string, unknown>;
}

const quiet = (route: TestRoute): Promise<void> =>
  expect.poll(async () => (await spendOf(route)).reserved_usd, { timeout: 3_000 }).toBe(0);

const remainingOf = (response: Response): number => Number(response.headers.get("x-flowlayer-budget-remaining-usd"));

/** What one capped request of this length holds. */
async function boundUsd(): Promise<number> {
  const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "day" } } });
  rig.upstream.scriptFor(route.models[0]!, ANSWER);
  return 1 - remainingOf(await rig.ask(route, CAPPED));
}

/** The cap on output tokens that the first target got. */
function capOf(route: TestRoute): number | undefined {
  const body = JSON.parse(rig.upstream.callsTo(route.models[0]!)[0]!.body) as Record<string, number>;
  return body["max_completion_tokens"] ?? body["max_tokens"];
}

describe("the budget of a key", () => {
  test("is held before the call, and afterwards what was used is booked and the rest is free", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "month" } } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 300 });
    const asking = rig.ask(route, CAPPED);
    await expect.poll(async () => (await spendOf(route)).reserved_usd).toBeGreaterThan(0.000_16);
    const response = await asking;
    expect(response.status).toBe(200);
    expect(remainingOf(response)).toBeGreaterThan(0.999);
    await quiet(route);
    expect(await spendOf(route)).toEqual({
      period: "month",
      limit_usd: 1,
      spent_usd: ANSWER_USD,
      reserved_usd: 0,
      remaining_usd: 1 - ANSWER_USD,
    });
    expect((await auditOf(route))["consistent"]).toBe(true);
  });

  test("cannot be passed by a crowd: of 40 at once as many as it holds are admitted, the others call nobody", async () => {
    const limit_usd = 10.5 * (await boundUsd());
    const route = await pricedRoute({ key: { budget: { limit_usd, period: "total" } } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 400 });
    const responses = await Promise.all(Array.from({ length: 40 }, () => rig.ask(route, CAPPED)));
    const admitted = responses.filter(({ status }) => status === 200).length;
    expect(admitted).toBe(10);
    expect(rig.calls(route)).toEqual([10, 0]);
    for (const response of responses.filter(({ status }) => status !== 200)) {
      await expectError(response, { status: 402, code: "budget_exceeded" });
    }
    await quiet(route);
    const spend = await spendOf(route);
    expect(spend.spent_usd).toBeCloseTo(10 * ANSWER_USD, 9);
    expect(await auditOf(route)).toMatchObject({ consistent: true, unadmitted_usd: 0 });
  });

  test("a request without a cap of its own gets what the budget leaves, written upstream", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 0.001, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    const response = await rig.ask(route);
    expect(response.status).toBe(200);
    const cap = capOf(route);
    expect(cap).toBeGreaterThan(400);
    expect(cap).toBeLessThan(625);
    await quiet(route);
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
  });

  test("a spent one refuses, and nobody is called", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 0.000_3, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion({ usage: usage(100, 95) }) });
    await (await rig.ask(route, CAPPED)).text();
    await quiet(route);
    await expectError(await rig.ask(route, CAPPED), { status: 402, code: "budget_exceeded" });
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test("a target without a price is passed over, and alone refused", async () => {
    const known = pricedModel();
    const targets = [{ model: "nobody-knows-1" }, { model: known }];
    const route = await rig.route({
      targets,
      providers: ["openai", "openai"],
      key: { budget: { limit_usd: 1, period: "day" } },
    });
    rig.upstream.scriptFor(known, ANSWER);
    const response = await rig.ask(route, CAPPED);
    expect(response.headers.get("x-flowlayer-model")).toBe(known);
    expect(rig.upstream.callsTo("nobody-knows-1")).toHaveLength(0);
    const alone = await rig.ask(route, { ...CAPPED, route: { fallback: false } });
    await expectError(alone, { status: 402, code: "model_unpriced" });
  });

  test.each([
    { name: "whole", body: {} },
    { name: "stream", body: { stream: true } },
  ])("a client that leaves is charged for what was used, and nothing stays held ($name)", async ({ body }) => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { hang: true });
    const client = await connectRaw(rig.worker.url);
    const text = JSON.stringify(chatBody(route, { ...CAPPED, ...body }));
    client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
    await expect.poll(() => rig.calls(route), { interval: 5 }).toEqual([1, 0]);
    client.reset();
    await expect.poll(async () => (await rig.traces(route)).map(({ status }) => status)).toEqual(["cancelled"]);
    await quiet(route);
    const { spent_usd } = await spendOf(route);
    expect(spent_usd).toBeGreaterThan(0);
    expect(spent_usd).toBe((await rig.traces(route))[0]!.cost_usd);
  });

  test("failed attempts hold nothing afterwards, and only the answer is charged", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { status: 500, json: {} });
    rig.upstream.scriptFor(route.models[1]!, ANSWER);
    expect((await rig.ask(route, CAPPED)).status).toBe(200);
    await quiet(route);
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
  });
});

describe("the budget of a request", () => {
  test("lowers the cap that is written upstream, and the answer stays within it", async () => {
    const route = await pricedRoute();
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    const response = await rig.ask(route, { max_tokens: 5_000, route: { spend_budget_usd: 0.001 } });
    expect(response.status).toBe(200);
    const cap = capOf(route);
    expect(cap).toBeGreaterThan(400);
    expect(cap).toBeLessThan(625);
    expect(Number(response.headers.get("x-flowlayer-cost-usd"))).toBeLessThanOrEqual(0.001);
  });

  test.each([
    { name: "of the body", init: {}, body: { route: { spend_budget_usd: 0.000_01 } }, policy: {} },
    { name: "of the header", init: { headers: { "x-flowlayer-spend-budget-usd": "0.00001" } }, body: {}, policy: {} },
    { name: "of the policy", init: {}, body: {}, policy: { spend: { max_request_usd: 0.000_01 } } },
    {
      name: "of the policy, which the request cannot raise",
      init: {},
      body: { route: { spend_budget_usd: 5 } },
      policy: { spend: { max_request_usd: 0.000_01 } },
    },
  ])("$name: when nothing fits it is refused and nobody is called", async ({ init, body, policy }) => {
    const route = await pricedRoute({ policy });
    const error = await expectError(await rig.ask(route, body, init), { status: 402, code: "request_budget_exceeded" });
    expect(error.error.param).toBe("route.spend_budget_usd");
    expect(rig.calls(route)).toEqual([0, 0]);
  });

  test("counts all attempts: a fallback that does not fit any more is not started", async () => {
    const route = await pricedRoute({ policy: { timeouts: { total_ms: 200 }, latency: { hedge: false } } });
    rig.upstream.scriptFor(route.models[0]!, { hang: true });
    const long = [{ role: "user", content: "word ".repeat(2_000) }];
    // The first call is charged its prompt, about 2,500 tokens; the bound of a second one is over 10,000.
    const response = await rig.ask(route, { messages: long, max_tokens: 1, route: { spend_budget_usd: 0.004_2 } });
    await expectError(response, { status: 504, code: "upstream_timeout" });
    expect(rig.calls(route)).toEqual([1, 0]);
  });
});

/** `error.limit` of a refusal, and its message. */
async function refusalOf(response: Response, status: number, code: string, retry = false) {
  const { error } = await expectError(response, { status, code, retry });
  return { ...error, limit: error.limit ?? {} };
}

const PICTURE = (bytes: number): object => ({
  role: "user",
  content: [
    { type: "text", text: "what is it?" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${"iVBORw0K".repeat(bytes / 8)}` } },
  ],
});

describe("what is no text", () => {
  test("a picture of 1.6 MB fits a budget of 5 USD that nobody has spent, and a small one 0.05 USD", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 5, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    expect((await rig.ask(route, { ...CAPPED, messages: [PICTURE(1_600_000)] })).status).toBe(200);
    const small = { ...CAPPED, messages: [PICTURE(200)], route: { spend_budget_usd: 0.05 } };
    expect((await rig.ask(route, small)).status).toBe(200);
    expect(rig.calls(route)).toEqual([2, 0]);
    await quiet(route);
    expect((await spendOf(route)).spent_usd).toBeCloseTo(2 * ANSWER_USD, 9);
  });

  test("a picture never takes a request past the policy's first model", async () => {
    const targets = [{ model: "gpt-4o-2024-05-13" }, { model: "gpt-4.1" }];
    const route = await rig.route({ targets, providers: ["openai", "openai"] });
    const response = await rig.ask(route, { messages: [PICTURE(2_400_000)] });
    expect(response.headers.get("x-flowlayer-model")).toBe("gpt-4o-2024-05-13");
    expect(response.headers.get("x-flowlayer-fallback")).toBe("false");
  });

  test("an answer without figures is not charged its picture's bytes as text", async () => {
    const route = await pricedRoute();
    rig.upstream.scriptFor(route.models[0]!, { json: completion({ usage: null }) });
    const response = await rig.ask(route, { ...CAPPED, messages: [PICTURE(800_000)] });
    expect(Number(response.headers.get("x-flowlayer-cost-usd"))).toBeLessThan(0.001);
  });

  const part = (type: string, held: unknown) => ({ messages: [{ role: "user", content: [{ type, [type]: held }] }] });
  const untyped = { messages: [{ role: "user", content: [{ fileData: { fileUri: "https://x.example/a" } }] }] };
  test.each([
    { name: "a film that is called a picture", body: part("image_url", { url: "https://x.example/a.mp4" }) },
    { name: "a film", body: part("video_url", { url: "https://x.example/a" }) },
    { name: "a document", body: part("file", { file_data: "JVBERi0=", filename: "a.pdf" }) },
    { name: "a file by its id", body: part("file", { file_id: "file-1" }) },
    { name: "sound by its address", body: part("input_audio", { data: "https://x.example/a.wav", format: "wav" }) },
    { name: "a part without a type", body: untyped },
    {
      name: "a film in an answer's pictures",
      body: {
        messages: [
          { role: "assistant", images: [{ type: "image_url", image_url: { url: "https://youtu.be/x" } }] },
          { role: "user", content: "and?" },
        ],
      },
    },
    { name: "a tool that the provider runs", body: { tools: [{ type: "web_search_preview" }] } },
    { name: "a tool of another provider", body: { tools: [{ urlContext: {} }] } },
    { name: "a search of every question", body: { enable_search: true } },
    { name: "a search by its options", body: { web_search_options: {} } },
    { name: "another model", body: { preset: "dear" } },
    { name: "another host", body: { provider: { order: ["dear"] } } },
    { name: "a member that nobody knows", body: { billing_mode: "premium" } },
  ])(
    "$name has no bound: 402 for a key with a budget and for a request with one, and nobody is called",
    async (each) => {
      const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "day" } } });
      const asked = await refusalOf(await rig.ask(route, { ...CAPPED, ...each.body }), 402, "model_unpriced");
      expect(asked.limit).toEqual({ kind: "key_budget", limit: 1 });
      expect(asked.param).not.toBeNull();
      expect(asked.message).toContain(String(asked.param));
      const free = await pricedRoute();
      const bounded = { ...CAPPED, ...each.body, route: { spend_budget_usd: 0.5 } };
      expect((await refusalOf(await rig.ask(free, bounded), 402, "model_unpriced")).limit).toMatchObject({
        ...{ kind: "request", limit: 0.5 },
      });
      expect([...rig.calls(route), ...rig.calls(free)]).toEqual([0, 0, 0, 0]);
    },
  );

  test("the policy's ceilings admit what has none of its own, and are held", async () => {
    const limits = { part_tokens: { video: 10_000 }, tool_tokens: { web_search_preview: 2_000 } };
    const route = await pricedRoute({ policy: { limits }, key: { budget: { limit_usd: 1, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    const film = await rig.ask(route, { ...CAPPED, ...part("video_url", { url: "https://x.example/a" }) });
    expect(film.status).toBe(200);
    // 10,000 tokens at 400 nano-USD.
    expect(remainingOf(film)).toBeLessThan(1 - 0.004);
    const search = await rig.ask(route, { ...CAPPED, tools: [{ type: "web_search_preview" }] });
    expect(search.status).toBe(200);
    // Ten searches of 0.01 USD and 2,000 tokens each.
    expect(remainingOf(search)).toBeLessThan(1 - 0.1 - 0.008);
  });

  test("in a crowd nothing passes the limit, whatever the parts", async () => {
    const dear = { json: completion({ usage: usage(1_000_000, 100) }) };
    const route = await pricedRoute({ key: { budget: { limit_usd: 1, period: "total" } } });
    rig.upstream.scriptFor(route.models[0]!, dear);
    const film = part("image_url", { url: "https://x.example/a.mov" });
    const responses = await Promise.all(Array.from({ length: 20 }, () => rig.ask(route, { ...CAPPED, ...film })));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([402]));
    expect(rig.calls(route)).toEqual([0, 0]);
    expect((await spendOf(route)).spent_usd).toBe(0);
  });
});

describe("refusals that compute", () => {
  const tomorrow = (): string => `${new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)}T00:00:00.000Z`;

  test("a budget says what it holds, what the request may cost and which cap fits, and that cap is admitted", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 0.001, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    const { limit, message } = await refusalOf(await rig.ask(route, { max_tokens: 5_000 }), 402, "budget_exceeded");
    expect(limit).toMatchObject({ kind: "key_budget", remaining_usd: 0.001, limit: 0.001, resets_at: tomorrow() });
    expect(limit["bound_usd"]).toBeGreaterThan(0.008);
    const fits = Number(limit["max_tokens"]);
    expect(message).toMatch(/may cost up to \$0\.008\d*, and \$0\.001 of the key's budget of \$0\.001/);
    expect(message).toContain(String(fits));
    expect(rig.calls(route)).toEqual([0, 0]);
    expect((await rig.ask(route, { max_tokens: fits })).status).toBe(200);
    expect(capOf(route)).toBe(fits);
  });

  test("a cap that the client named is not lowered by the key's budget, and lowered by the request's own", async () => {
    const key = { budget: { limit_usd: 0.001, period: "total" } };
    const route = await pricedRoute({ key });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    const kept = await refusalOf(await rig.ask(route, { max_tokens: 5_000 }), 402, "budget_exceeded");
    expect(kept.limit).not.toHaveProperty("resets_at");
    const response = await rig.ask(route, { max_tokens: 5_000, route: { spend_budget_usd: 0.0005 } });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-output-cap")).toBe(String(capOf(route)));
    expect(capOf(route)).toBeLessThan(300);
    expect((await rig.trace(route, response)).output_cap).toBe(capOf(route));
  });

  test.each([
    { name: "the default", limits: {}, least: 256 },
    { name: "the policy's least", limits: { min_output_tokens: 40 }, least: 40 },
    { name: "the policy's cap", limits: { max_output_tokens: 20, min_output_tokens: 400 }, least: 20 },
  ])("a cap that nobody named is set to what fits, but not below $name", async ({ limits, least }) => {
    const route = await pricedRoute({ policy: { limits }, key: { budget: { limit_usd: 1, period: "total" } } });
    const targets = route.models.map((model) => ({ model }));
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    // What is left of the limit is the prompt's bound, and so many tokens of answer.
    const whole = await refusalOf(
      await rig.ask(route, { route: { spend_budget_usd: 0.000_001 } }),
      402,
      "request_budget_exceeded",
    );
    const dollarsPerToken = 0.000_001_6;
    const prompt = Number(whole.limit["bound_usd"]) - dollarsPerToken * Number(limits.max_output_tokens ?? 32_768);
    const within = async (tokens: number): Promise<Response> => {
      const limit_usd = prompt + dollarsPerToken * (tokens + 0.5);
      const key = { budget: { limit_usd: Number(limit_usd.toFixed(9)), period: "total" } };
      const tight = await rig.route({ policy: { limits }, key, targets, providers: ["openai", "openai"] });
      return rig.ask({ ...tight, models: route.models });
    };
    // Without the budget in its route the body is somewhat shorter, so a little more fits.
    const response = await within(least + 20);
    expect(response.status).toBe(200);
    expect(Number(response.headers.get("x-flowlayer-output-cap"))).toBeGreaterThanOrEqual(least);
    expect(capOf(route)).toBe(Number(response.headers.get("x-flowlayer-output-cap")));
    const refused = await refusalOf(await within(Math.floor(least / 2) - 15), 402, "budget_exceeded");
    expect(refused.limit).toMatchObject({ kind: "key_budget" });
  });

  test("a request's budget says the same of itself", async () => {
    const route = await pricedRoute();
    const asked = { max_tokens: 100, route: { spend_budget_usd: 0.000_01 } };
    const { limit, message } = await refusalOf(await rig.ask(route, asked), 402, "request_budget_exceeded");
    expect(limit).toMatchObject({ kind: "request", limit: 0.000_01, remaining_usd: 0.000_01 });
    expect(limit["bound_usd"]).toBeGreaterThan(0.000_16);
    expect(limit).not.toHaveProperty("max_tokens");
    expect(message).toContain("spend_budget_usd");
  });

  test("rates say which limit, and when it is worth coming back", async () => {
    const route = await rig.route({ key: { limits: { requests_per_minute: 1 } } });
    await rig.ask(route);
    const response = await rig.ask(route);
    const waitMs = Number(response.headers.get("retry-after")) * 1_000;
    const { limit, message } = await refusalOf(response, 429, "rate_limit_exceeded", true);
    expect(limit).toMatchObject({ kind: "requests_per_minute", limit: 1 });
    expect(Math.abs(Date.parse(String(limit["resets_at"])) - Date.now() - waitMs)).toBeLessThan(3_000);
    expect(message).toContain("limit of 1 requests per minute");
  });

  test("so does the number of requests at a time", async () => {
    const route = await rig.route({ key: { limits: { concurrency: 1 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion(), headMs: 300 });
    const responses = await Promise.all([rig.ask(route), rig.ask(route)]);
    const refused = responses.find(({ status }) => status === 429)!;
    expect((await refusalOf(refused, 429, "rate_limit_exceeded", true)).limit).toEqual({
      ...{ kind: "concurrency", limit: 1 },
    });
  });
});

describe("the limits of a key", () => {
  test.each([false, true])(
    "one request after the other is one at a time, however soon it comes (stream: %s)",
    async (stream) => {
      const route = await rig.route({ key: { limits: { concurrency: 1 } } });
      const events = chunks("hi");
      rig.upstream.scriptFor(route.models[0]!, stream ? { events } : { json: completion() });
      const statuses: number[] = [];
      for (let sent = 0; sent < 12; sent++) {
        const response = await rig.ask(route, { stream });
        await response.text();
        statuses.push(response.status);
      }
      expect(statuses).toEqual(statuses.map(() => 200));
    },
  );

  test("tokens per minute hold in a crowd that names no cap", async () => {
    const route = await rig.route({ key: { limits: { tokens_per_minute: 10_000 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion({ usage: usage(10, 8_000) }), headMs: 200 });
    const responses = await Promise.all(Array.from({ length: 40 }, () => rig.ask(route)));
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(1);
    const refused = responses.find(({ status }) => status === 429)!;
    expect((await refusalOf(refused, 429, "rate_limit_exceeded", true)).limit).toMatchObject({
      ...{ kind: "tokens_per_minute", limit: 10_000 },
    });
  });

  test("with what the policy expects of an answer more are admitted, and what they used beyond is taken later", async () => {
    const policy = { limits: { expected_output_tokens: 1_000 } };
    const route = await rig.route({ policy, key: { limits: { tokens_per_minute: 10_000 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion({ usage: usage(10, 8_000) }), headMs: 200 });
    const responses = await Promise.all(Array.from({ length: 40 }, () => rig.ask(route)));
    const admitted = responses.filter(({ status }) => status === 200).length;
    expect(admitted).toBeGreaterThan(5);
    expect(admitted).toBeLessThan(11);
    const answered = async () => (await rig.traces(route)).filter(({ status }) => status === "ok").length;
    await expect.poll(answered).toBe(admitted);
    // Some 60,000 tokens too many: for the next minute nothing is admitted.
    const next = await rig.ask(route, { max_tokens: 1 });
    expect(next.status).toBe(429);
    expect(next.headers.get("retry-after")).toBe("60");
  });

  test("requests per minute: the one too many is 429 with Retry-After, and the headers count down", async () => {
    const route = await rig.route({ key: { limits: { requests_per_minute: 3 } } });
    const left: (string | null)[] = [];
    for (let call = 0; call < 3; call++) {
      const response = await rig.ask(route);
      expect(response.status).toBe(200);
      expect(response.headers.get("x-ratelimit-limit-requests")).toBe("3");
      expect(response.headers.get("x-ratelimit-reset-requests")).toMatch(/^\d+(ms|(\.\d)?s|m\d+s)$/);
      left.push(response.headers.get("x-ratelimit-remaining-requests"));
    }
    expect(left).toEqual(["2", "1", "0"]);
    const refused = await rig.ask(route);
    await expectError(refused, { status: 429, code: "rate_limit_exceeded", retry: true });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(60);
    expect(rig.calls(route)).toEqual([3, 0]);
  });

  test.each([{ stream: false }, { stream: true }])(
    "tokens per minute, counted as used (stream: $stream)",
    async ({ stream }) => {
      const route = await rig.route({ key: { limits: { tokens_per_minute: 200 } } });
      const used = usage(100, 90);
      rig.upstream.scriptFor(
        route.models[0]!,
        stream ? { events: chunks("hello", { usage: used }) } : { json: completion({ usage: used }) },
      );
      const first = await rig.ask(route, { stream });
      expect(first.headers.get("x-ratelimit-limit-tokens")).toBe("200");
      await first.text();
      await expect
        .poll(async () => {
          const response = await rig.ask(route, { stream });
          await response.text();
          return response.status;
        })
        .toBe(429);
    },
  );

  test("a cap that no answer reaches is admitted like any other", async () => {
    const route = await rig.route({ key: { limits: { requests_per_minute: 3, tokens_per_minute: 1_000 } } });
    expect((await rig.ask(route, { max_tokens: Number.MAX_SAFE_INTEGER })).status).toBe(200);
  });

  test("concurrency: those too many are refused while the others run, and admitted after", async () => {
    const route = await rig.route({ key: { limits: { concurrency: 2 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion(), headMs: 500 });
    const statuses = (await Promise.all(Array.from({ length: 6 }, () => rig.ask(route)))).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, 200, 429, 429, 429, 429]);
    expect(rig.calls(route)).toEqual([2, 0]);
    await expect.poll(async () => (await rig.ask(route)).status, { timeout: 3_000 }).toBe(200);
  });
});

describe("without a wait", () => {
  const elapsed = async (work: () => Promise<Response>): Promise<number> => {
    const startedAt = performance.now();
    expect((await work()).status).toBe(200);
    return performance.now() - startedAt;
  };

  test("with room the reservation runs beside the call: a slow ledger adds nothing", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 100, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 400 });
    await setFaults(rig.worker, { ledgerMs: 300 });
    try {
      // The first of a key in an isolate knows of no room and waits.
      expect(await elapsed(() => rig.ask(route, CAPPED))).toBeGreaterThan(690);
      expect(await elapsed(() => rig.ask(route, CAPPED))).toBeLessThan(650);
    } finally {
      await setFaults(rig.worker);
    }
  });

  test("nor for a key with a limit of requests at a time, where a slot is free", async () => {
    const key = { budget: { limit_usd: 100, period: "day" }, limits: { concurrency: 2 } };
    const route = await pricedRoute({ key });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 400 });
    await setFaults(rig.worker, { ledgerMs: 300 });
    try {
      expect(await elapsed(() => rig.ask(route, CAPPED))).toBeGreaterThan(690);
      await quiet(route);
      expect(await elapsed(() => rig.ask(route, CAPPED))).toBeLessThan(650);
      await quiet(route);
      // Of five at once two have a slot, early or not, and the others ask nobody.
      const asked = rig.calls(route)[0]!;
      const responses = await Promise.all(Array.from({ length: 5 }, () => rig.ask(route, CAPPED)));
      expect(responses.map(({ status }) => status).toSorted()).toEqual([200, 200, 429, 429, 429]);
      expect(rig.calls(route)[0]).toBe(asked + 2);
    } finally {
      await setFaults(rig.worker);
    }
    await quiet(route);
    expect(await auditOf(route)).toMatchObject({ consistent: true, open_requests: 0, unadmitted_usd: 0 });
  });

  test("clients that leave take nobody's reservation with them: the others of their group are answered in time", async () => {
    const route = await pricedRoute({ key: { budget: { limit_usd: 100, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 100 });
    await (await rig.ask(route, CAPPED)).text();
    await setFaults(rig.worker, { ledgerMs: 300 });
    try {
      const leaving = await Promise.all(Array.from({ length: 5 }, () => connectRaw(rig.worker.url)));
      const text = JSON.stringify(chatBody(route, CAPPED));
      for (const client of leaving) client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
      const staying = Array.from({ length: 5 }, () => elapsed(() => rig.ask(route, CAPPED)));
      await expect.poll(() => rig.upstream.callsTo(route.models[0]!).length, { interval: 5 }).toBe(11);
      for (const client of leaving) client.reset();
      // Who finds its sender dead asks for itself, and only after 1,100 ms.
      for (const tookMs of await Promise.all(staying)) expect(tookMs).toBeLessThan(1_000);
    } finally {
      await setFaults(rig.worker);
    }
    await quiet(route);
    expect(await auditOf(route)).toMatchObject({ consistent: true, open_requests: 0 });
  });

  test.each([
    { name: "is ended, not charged, and may cost its bound", script: { hang: true }, closedBy: "router" },
    { name: "was answered: it costs what the vendor says", script: ANSWER, closedBy: "upstream", usd: ANSWER_USD },
    { name: "was answered without figures", script: { json: completion({ usage: null }) }, closedBy: "upstream" },
    { name: "was refused by the vendor too", script: { status: 500, json: {} }, closedBy: "upstream", usd: 0 },
  ])("a call that the ledger refuses after it was sent $name", async ({ script, closedBy, usd }) => {
    const bound = await boundUsd();
    const route = await pricedRoute({ key: { budget: { limit_usd: 100, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    await (await rig.ask(route, CAPPED)).text();
    await quiet(route);
    const { KEY_LEDGER } = rig.worker.bindings();
    const budget = { limit_usd: 0.000_000_1, period: "day" as const };
    await KEY_LEDGER.getByName(route.keyId).applyTerms({ version: 1_000, budget, limits: null });
    rig.upstream.scriptFor(route.models[0]!, script);
    await setFaults(rig.worker, { ledgerMs: 200 });
    const response = await rig.ask(route, CAPPED).finally(() => setFaults(rig.worker));
    await expectError(response, { status: 402, code: "budget_exceeded" });
    expect(rig.calls(route)).toEqual([2, 0]);
    await expect.poll(() => rig.upstream.callsTo(route.models[0]!)[1]?.closedBy).toBe(closedBy);
    await expect.poll(async () => (await rig.traces(route)).length).toBe(2);
    expect((await auditOf(route))["unadmitted_usd"]).toBeCloseTo(usd ?? bound, 9);
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
    expect((await auditOf(route))["consistent"]).toBe(true);
  });
});

describe("a ledger that fails", () => {
  test("costs one call that was sent beside it: the next ones wait for an answer of their own", async () => {
    const bound = await boundUsd();
    const route = await pricedRoute({ key: { budget: { limit_usd: 100, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    await (await rig.ask(route, CAPPED)).text();
    rig.upstream.scriptFor(route.models[0]!, { hang: true });
    await setFaults(rig.worker, { ledger: "reset" });
    try {
      for (let call = 0; call < 3; call++) {
        await expectError(await rig.ask(route, CAPPED), { status: 503, code: "ledger_unavailable", retry: true });
      }
    } finally {
      await setFaults(rig.worker);
    }
    await expect.poll(async () => (await rig.traces(route)).length, { timeout: 5_000 }).toBe(4);
    expect((await auditOf(route))["unadmitted_usd"]).toBeCloseTo(bound, 9);
    await quiet(route);
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
  });
});

describe("a key whose budget is spent to the nano-dollar, as this isolate does not know yet", () => {
  test.each([
    { name: "a client that leaves", body: {}, policy: {} },
    {
      name: "a hard latency budget",
      body: { route: { latency_budget_ms: 60 } },
      policy: { mode: "hard", hedge: false },
    },
  ])("is not charged for a call that $name ends before the ledger has refused it", async ({ body, policy }) => {
    const latency = { budget_ms: 5_000, ...policy };
    const route = await pricedRoute({ policy: { latency }, key: { budget: { limit_usd: 100, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, ANSWER);
    await (await rig.ask(route, CAPPED)).text();
    await quiet(route);
    const { KEY_LEDGER } = rig.worker.bindings();
    const budget = { limit_usd: ANSWER_USD, period: "day" as const };
    await KEY_LEDGER.getByName(route.keyId).applyTerms({ version: 1_000, budget, limits: null });
    rig.upstream.scriptFor(route.models[0]!, { hang: true });
    await setFaults(rig.worker, { ledgerMs: 200 });
    const client = await connectRaw(rig.worker.url);
    const text = JSON.stringify(chatBody(route, { ...CAPPED, ...body }));
    client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
    await expect.poll(() => rig.calls(route), { interval: 5 }).toEqual([2, 0]);
    if (policy.mode === undefined) client.reset();
    else await client.response();
    client.close();
    await expect
      .poll(async () => (await rig.traces(route)).length)
      .toBe(2)
      .finally(() => setFaults(rig.worker));
    expect((await rig.traces(route))[0]).toMatchObject({ cost_usd: 0, attempts: [{ cost_usd: 0 }] });
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
    const audit = await auditOf(route);
    expect(audit["consistent"]).toBe(true);
    expect(audit["unadmitted_usd"]).toBeGreaterThan(0);
  });
});

describe("a small budget", () => {
  test("still has its fallback: what a failed attempt held is free for the next one", async () => {
    const limit_usd = 1.5 * (await boundUsd());
    const route = await pricedRoute({ key: { budget: { limit_usd, period: "day" } } });
    rig.upstream.scriptFor(route.models[0]!, { status: 500, json: {} });
    rig.upstream.scriptFor(route.models[1]!, ANSWER);
    const response = await rig.ask(route, CAPPED);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-model")).toBe(route.models[1]);
    await quiet(route);
    expect((await spendOf(route)).spent_usd).toBe(ANSWER_USD);
    expect((await auditOf(route))["consistent"]).toBe(true);
  });

  test("still has its fallback after a silence: the attempt holds what the provider may bill for it, and no more", async () => {
    const limit_usd = 1.5 * (await boundUsd());
    const timeouts = { total_ms: 300 };
    const route = await pricedRoute({ key: { budget: { limit_usd, period: "day" } }, policy: { timeouts } });
    rig.upstream.scriptFor(route.models[0]!, { hang: true });
    rig.upstream.scriptFor(route.models[1]!, ANSWER);
    const response = await rig.ask(route, CAPPED);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-attempt-log")).toContain("timeout");
    await quiet(route);
    const { spent_usd } = await spendOf(route);
    expect(spent_usd).toBeGreaterThan(ANSWER_USD);
    expect(spent_usd).toBeLessThan(limit_usd);
    expect((await auditOf(route))["consistent"]).toBe(true);
  });

  test("is not passed by several answers that a target's own parameters ask for", async () => {
    const model = pricedModel();
    const targets = [{ model, params: { n: 4 } }];
    const route = await rig.route({ providers: ["openai"], targets });
    rig.upstream.scriptFor(model, ANSWER);
    expect((await rig.ask(route, { max_tokens: 5_000, route: { spend_budget_usd: 0.001 } })).status).toBe(200);
    const body = JSON.parse(rig.upstream.callsTo(model)[0]!.body) as Record<string, number>;
    expect((body["max_completion_tokens"] ?? body["max_tokens"] ?? 0) * 4 * 1_600e-9).toBeLessThan(0.001);
  });

  test("gives a hedge the whole cap or none: a stub never wins against a whole answer", async () => {
    const bound = await boundUsd();
    const latency = { budget_ms: 300, hedge_max_ratio: 1 };
    const route = await pricedRoute({ policy: { latency } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 600 });
    const response = await rig.ask(route, { ...CAPPED, route: { spend_budget_usd: 1.3 * bound } });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-hedge")).toBeNull();
    expect(rig.calls(route)).toEqual([1, 0]);
  });
});

describe("an isolate that dies", () => {
  const ledgerOf = ({ keyId }: TestRoute) => rig.worker.bindings().KEY_LEDGER.getByName(keyId);

  test("leaves the trace of a request that no budget held anything for, once that was a second old", async () => {
    const route = await pricedRoute();
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 1_800 });
    const asking = rig.ask(route, CAPPED);
    await expect.poll(async () => (await auditOf(route))["open_requests"], { timeout: 1_700, interval: 20 }).toBe(1);
    const response = await asking;
    expect((await rig.trace(route, response)).status).toBe("ok");
    // Its settlement has taken the place of its beginning, and a bill is above no bound where there is none.
    expect(await auditOf(route)).toMatchObject({
      ...{ consistent: true, open_requests: 0, open_reservations: 0, expired: 0, over_bound: 0 },
      periods: { total: { requests: 1, spent_usd: ANSWER_USD } },
    });
  });

  test("is not waited for: after 30 s its money is charged and its slot is free, and a late settlement corrects it", async () => {
    const key = { budget: { limit_usd: 1, period: "total" }, limits: { concurrency: 1 } };
    const route = await pricedRoute({ key, policy: { timeouts: { total_ms: 60_000 } } });
    rig.upstream.scriptFor(route.models[0]!, { ...ANSWER, headMs: 1_500 });
    const asking = rig.ask(route, CAPPED);
    await expect.poll(async () => (await auditOf(route))["open_requests"], { interval: 20 }).toBe(1);
    await setFaults(rig.worker, { clockMs: 31_000 });
    try {
      const [id, terms] = [newTraceId(route.keyId, Date.now()), { version: 0, budget: null, limits: null }];
      const other = await ledgerOf(route).reserve({
        ...{ traceId: id, attempt: 0, boundNanoUsd: 0, boundTokens: 0, expiresAt: Date.now() + 60_000 },
        ...{ provider: "openai", model: "another", terms, isolate: "another" },
      });
      expect(other).toMatchObject({ ok: true });
      const charged = await auditOf(route);
      expect(charged).toMatchObject({ consistent: true, expired: 1, open_requests: 1 });
      expect(charged["booked_usd"]).toBeGreaterThan(ANSWER_USD);
      expect((await asking).status).toBe(200);
      await expect.poll(async () => (await auditOf(route))["expired"]).toBe(0);
      expect(await auditOf(route)).toMatchObject({ consistent: true, booked_usd: ANSWER_USD, over_bound: 0 });
    } finally {
      await setFaults(rig.worker);
    }
  });
});
