/** No key passes its limit: what cannot be bounded is not sent, and every answer that a provider billed is booked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { billedWire } from "../support/billed.ts";
import { type ChatRig, chatBody, type ErrorBody, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { pricedModel } from "../support/models.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { chunks, type Script } from "../support/upstream.ts";
import { UNBOUNDED, type Unbounded } from "./security-money.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

const budgetOf = (limit_usd: number) => ({ budget: { limit_usd, period: "total" } });

async function spendOf(route: TestRoute): Promise<{ spent_usd: number; reserved_usd: number }> {
  const answer = await rig.worker.admin(`/admin/keys/${route.keyId}`);
  return ((await answer.json()) as { spend: { spent_usd: number; reserved_usd: number } }).spend;
}

const quiet = (route: TestRoute): Promise<void> =>
  expect.poll(async () => (await spendOf(route)).reserved_usd, { timeout: 5_000 }).toBe(0);

const bodyOf = ({ part, body = {} }: Unbounded): object => ({
  max_tokens: 100,
  ...(part === undefined
    ? {}
    : { messages: [{ role: "user", content: [{ type: "text", text: "what is it?" }, part] }] }),
  ...body,
});

describe("a key with a budget of 1 USD", () => {
  test.each(UNBOUNDED)("$provider, $name: is not sent, as nothing bounds it", async (unbounded) => {
    const { provider, model, seen } = unbounded;
    const route = await rig.route({ providers: [provider], targets: [{ model }], key: budgetOf(1) });
    rig.upstream.script(billedWire(provider).whole("Dear.", { input: 1_000_000, output: 10 }));
    const response = await rig.ask(route, bodyOf(unbounded));
    const text = await response.text();
    expect(rig.upstream.calls.map(({ body }) => body).join(), text).not.toContain(seen);
    if (response.status === 200) return;
    expect([400, 402], text).toContain(response.status);
    expect((JSON.parse(text) as ErrorBody).error.message).toMatch(/\w/);
    expect(rig.upstream.calls.length).toBe(0);
  });

  const bursts = UNBOUNDED.filter(({ part, provider }) => part !== undefined && provider === "google").slice(0, 12);
  test("spends no more in a burst of all of them, though each would cost 2.50 USD", async () => {
    const route = await rig.route({ providers: ["google"], targets: [{ model: "gemini-2.5-pro" }], key: budgetOf(1) });
    rig.upstream.script({ ...billedWire("google").whole("Dear.", { input: 1_000_000, output: 10 }), headMs: 100 });
    await Promise.all(
      [...bursts, ...bursts, ...bursts].map(async (each) => (await rig.ask(route, bodyOf(each))).text()),
    );
    await quiet(route);
    expect(rig.upstream.calls.length * 2.5).toBeLessThanOrEqual(1);
    expect((await spendOf(route)).spent_usd).toBeLessThanOrEqual(1);
  });
});

describe("an answer that was billed is booked, whatever its text does to a header", () => {
  const NASTY = ["a\r\nset-cookie: b=c", "\u0000\u0001", "größer → größer", "m".repeat(40_000)];
  test.each(NASTY.map((text) => ({ text, name: JSON.stringify(text.slice(0, 20)) })))(
    "a provider that calls itself and its answer $name",
    async ({ text }) => {
      for (const stream of [false, true]) {
        const route = await rig.route({ providers: ["openai"], targets: [{ model: "gpt-4o" }], key: budgetOf(50) });
        const script = billedWire("openai")[stream ? "stream" : "whole"]("Hm.", { input: 1_000, output: 100 });
        const renamed = JSON.parse(JSON.stringify(script).replaceAll('"m"', JSON.stringify(text))) as Script;
        rig.upstream.script({ ...renamed, headers: { "openai-model": "x", "x-request-id": "r" } });
        const response = await rig.ask(route, { stream, max_tokens: 200 });
        expect(response.status).toBe(200);
        await response.text();
        expect((await rig.trace(route, response)).cost_usd).toBeCloseTo(0.002_5 + 0.001, 9);
      }
    },
  );

  const OWN_WIRES = ["openai", "mistral", "anthropic", "google", "bedrock", "cohere"];
  const MODELS: Readonly<Record<string, string>> = {
    ...{ openai: "gpt-4o", mistral: "mistral-large-2512", anthropic: "claude-sonnet-4-5", google: "gemini-2.5-pro" },
    ...{ bedrock: "amazon.nova-pro-v1:0", cohere: "command-a-03-2025" },
  };
  const members = (name: string): object => ({
    [name]: 1,
    messages: [{ role: "user", content: "hi", [name]: { deep: 1 } }],
    tools: [{ type: "function", function: { name: "f", parameters: {}, [name]: 1 }, [name]: 2 }],
    metadata: { [name.slice(0, 60)]: "x" },
  });
  test.each(OWN_WIRES)("%s: members named to break a header, everywhere in a request", async (provider) => {
    const route = await rig.route({ providers: [provider], targets: [{ model: MODELS[provider] }], key: {} });
    for (const stream of [false, true]) {
      for (const name of ["x\ny", "\r\n\r\n", "\u2028\ud800", '"; drop', "é".repeat(300)]) {
        rig.upstream.script(billedWire(provider)[stream ? "stream" : "whole"]("Hm.", { input: 1_000, output: 100 }));
        const response = await rig.ask(route, { stream, max_tokens: 200, ...members(name) });
        expect(response.status, await response.clone().text()).toBe(200);
        await response.text();
        const { usage, cost_usd } = await rig.trace(route, response);
        expect({ name, ...usage }).toMatchObject({ source: "upstream", prompt_tokens: 1_000 });
        expect(cost_usd).toBeGreaterThan(0);
      }
    }
  });
});

describe("a client that leaves before the usage came is charged what is known", () => {
  const typed = (type: string, more: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
  /** The last letter that the provider says. */
  const LAST = "¶";
  const spoken = "Ein Satz, den niemand zu Ende liest. ";
  /** The provider said 5,000 tokens for the prompt; 500 and 2,000 thoughts for what it said so far. */
  const PARTIAL: readonly { provider: string; model: string; events: string[]; prompt: number; output: number }[] = [
    {
      ...{ provider: "google", model: "gemini-2.5-pro", prompt: 5_000, output: 2_500 },
      events: [0, 1, 2].map((at) => {
        const usageMetadata = { promptTokenCount: 5_000, candidatesTokenCount: 500, thoughtsTokenCount: 2_000 };
        const candidates = [{ content: { role: "model", parts: [{ text: `${spoken}${at === 2 ? LAST : ""}` }] } }];
        return `data: ${JSON.stringify({ candidates, usageMetadata })}\n\n`;
      }),
    },
    {
      ...{ provider: "anthropic", model: "claude-sonnet-4-5", prompt: 5_000, output: 1 },
      events: [
        typed("message_start", {
          message: { id: "m", role: "assistant", content: [], usage: { input_tokens: 5_000, output_tokens: 1 } },
        }),
        typed("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
        typed("content_block_delta", { index: 0, delta: { type: "text_delta", text: spoken + LAST } }),
      ],
    },
    {
      ...{ provider: "openai", model: "gpt-4o", prompt: 1, output: 100 },
      events: chunks(`${spoken.repeat(21)}${LAST}`, { usage: null, finish: null, done: false }),
    },
  ];

  test.each(PARTIAL)("$provider", async ({ provider, model, events, prompt, output }) => {
    const route = await rig.route({ providers: [provider], targets: [{ model }], key: budgetOf(5) });
    rig.upstream.script({ events, end: "stall" });
    const client = await connectRaw(rig.worker.url);
    const text = JSON.stringify(chatBody(route, { stream: true, max_tokens: 4_000 }));
    client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
    await expect.poll(() => client.received().includes(LAST), { timeout: 4_000 }).toBe(true);
    client.reset();
    await expect.poll(async () => (await rig.traces(route)).length, { timeout: 4_000 }).toBe(1);
    const { usage, status } = (await rig.traces(route))[0]!;
    expect(status).toBe("cancelled");
    expect(usage.prompt_tokens).toBeGreaterThanOrEqual(prompt);
    expect(usage.completion_tokens).toBeGreaterThanOrEqual(output);
    expect(["upstream", "counted", "upper_bound"]).toContain(usage.source);
  });
});

describe("a key with 10,000 tokens a minute", () => {
  const KEY = { limits: { tokens_per_minute: 10_000 } };
  test.each([
    { name: "without a cap", body: {} },
    { name: "without a cap, streamed", body: { stream: true } },
    { name: "that ask for several answers", body: { n: 4 } },
    { name: "whose cap is null", body: { max_tokens: null } },
  ])("cannot pass it by 40 requests at once $name", async ({ body }) => {
    const route = await rig.route({ providers: ["openai"], targets: [{ model: pricedModel() }], key: KEY });
    const wire = billedWire("openai");
    const used = { input: 10, output: 8_000 };
    rig.upstream.script({ ...("stream" in body ? wire.stream("Hm.", used) : wire.whole("Hm.", used)), headMs: 150 });
    const answers = await Promise.all(Array.from({ length: 40 }, () => rig.ask(route, body)));
    const statuses = await Promise.all(
      answers.map(async (answer) => {
        await answer.text();
        return answer.status;
      }),
    );
    // One is always admitted, and takes from the minutes after what it used beyond the limit.
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(2);
    expect(statuses.filter((status) => status !== 200 && status !== 429)).toEqual([]);
  });
});
