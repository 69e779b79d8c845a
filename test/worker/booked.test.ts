/** Every answer that a provider billed is booked, whatever the client named its members and whenever it left. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { event } from "../support/aws-event-stream.ts";
import { type ChatRig, chatBody, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { chunks, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());
afterEach(() => {
  expect(rig.worker.logs()).not.toContain("unexpected_error");
  expect(rig.worker.logs()).not.toMatch(/uncaught|unhandled/i);
});

const BUDGET = { budget: { limit_usd: 50, period: "total" } };

async function spendOf(route: TestRoute): Promise<{ spent_usd: number; reserved_usd: number }> {
  const answer = await rig.worker.admin(`/admin/keys/${route.keyId}`);
  return ((await answer.json()) as { spend: { spent_usd: number; reserved_usd: number } }).spend;
}

describe("names of members that no header can carry", () => {
  const data = (body: object): string => `data: ${JSON.stringify(body)}\n\n`;
  const typed = (type: string, more: object): string => `event: ${type}\n${data({ type, ...more })}`;
  const PROVIDERS: { provider: string; model: string; events: Script["events"]; costUsd: number }[] = [
    {
      ...{ provider: "google", model: "gemini-2.5-pro-2031-03-01", costUsd: (1_000 * 1.25 + 400 * 10) / 1e6 },
      events: [
        data({
          candidates: [{ content: { parts: [{ text: "Salut" }], role: "model" }, finishReason: "STOP" }],
          usageMetadata: { promptTokenCount: 1_000, candidatesTokenCount: 400, totalTokenCount: 1_400 },
        }),
      ],
    },
    {
      ...{ provider: "anthropic", model: "claude-haiku-4-5-20251001", costUsd: (1_000 * 1 + 400 * 5) / 1e6 },
      events: [
        typed("message_start", {
          message: { id: "m", type: "message", role: "assistant", content: [], usage: { input_tokens: 1_000 } },
        }),
        typed("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
        typed("content_block_delta", { index: 0, delta: { type: "text_delta", text: "Salut" } }),
        typed("content_block_stop", { index: 0 }),
        typed("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 400 } }),
        typed("message_stop", {}),
      ],
    },
    {
      ...{ provider: "cohere", model: "command-a-03-2025", costUsd: (1_000 * 2.5 + 400 * 10) / 1e6 },
      events: [
        typed("message-start", { delta: { message: { role: "assistant", content: [] } } }),
        typed("content-start", { index: 0, delta: { message: { content: { type: "text", text: "" } } } }),
        typed("content-delta", { index: 0, delta: { message: { content: { text: "Salut" } } } }),
        typed("content-end", { index: 0 }),
        typed("message-end", {
          delta: { finish_reason: "COMPLETE", usage: { tokens: { input_tokens: 1_000, output_tokens: 400 } } },
        }),
      ],
    },
    {
      ...{ provider: "bedrock", model: "amazon.nova-pro-v1:0", costUsd: (1_000 * 0.8 + 400 * 3.2) / 1e6 },
      events: [
        event("messageStart", { role: "assistant" }),
        event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Salut" } }),
        event("contentBlockStop", { contentBlockIndex: 0 }),
        event("messageStop", { stopReason: "end_turn" }),
        event("metadata", { usage: { inputTokens: 1_000, outputTokens: 400, totalTokens: 1_400 } }),
      ],
    },
  ];
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`unheard_of_${at}`, at + 1]));
  const NAMES: { name: string; members: object }[] = [
    { name: "a line break", members: { "a\nb": 1 } },
    { name: "CR, LF and NUL", members: { "x\r\nset-cookie: y": 1, "\0": 2 } },
    { name: "letters beyond ASCII", members: { größe: 1, "\u2028": 2, "😀": 3 } },
    { name: "20,000 characters", members: { ["n".repeat(20_000)]: 1 } },
    { name: "3,000 names", members: many },
    { name: "commas and quotes", members: { 'a, b="c"': 1 } },
  ];

  test.each(PROVIDERS.flatMap((each) => NAMES.map((odd) => ({ ...each, ...odd }))))(
    "$provider, $name: the stream is answered and booked",
    async ({ provider, model, events, costUsd, members }) => {
      const route = await rig.route({ providers: [provider], targets: [{ model }], key: BUDGET });
      rig.upstream.script({
        ...(events === undefined ? {} : { events }),
        ...(provider === "bedrock" ? { headers: { "content-type": "application/vnd.amazon.eventstream" } } : {}),
      });
      const response = await rig.ask(route, { stream: true, max_tokens: 500, ...members });
      expect(response.status).toBe(200);
      expect(await response.text()).toContain("Salut");
      const named = response.headers.get("x-flowlayer-dropped-params") ?? "";
      expect(named).not.toBe("");
      expect(named).toMatch(/^[\x21-\x7e ]{1,2100}$/);
      const trace = await rig.trace(route, response);
      expect(trace).toMatchObject({ status: "ok", usage: { source: "upstream", prompt_tokens: 1_000 } });
      expect(trace.cost_usd).toBeCloseTo(costUsd, 9);
      await expect.poll(async () => (await spendOf(route)).spent_usd, { timeout: 2_000 }).toBeCloseTo(costUsd, 9);
      expect((await spendOf(route)).reserved_usd).toBe(0);
    },
  );
});

describe("a client that leaves before the usage came", () => {
  /** 5,000 tokens at any provider. */
  const PROMPT = "長い文章です".repeat(834).slice(0, 5_000);
  const WORDS = Array.from({ length: 20 }, (_, at) => `これは二十文字の文章の一部ですので、第${at + 10}。`);
  const SPOKEN = WORDS.join("").length;
  const begun = (): Script => ({
    events: chunks(WORDS.join(" "), { usage: null, finish: null, done: false }),
    end: "stall",
  });

  const MODES = [
    { mode: "native", more: { stream_options: { include_usage: true } } },
    { mode: "pump", more: {} },
  ] as const;
  const MODELS = [
    { model: "o3-2031-03-01", key: BUDGET, source: "upper_bound" },
    { model: "o3-2031-03-01", key: {}, source: "counted" },
    { model: "gpt-4o-2031-03-01", key: BUDGET, source: "counted" },
    { model: "gpt-4o-2031-03-01", key: {}, source: "counted" },
  ] as const;

  async function leave(route: TestRoute, body: object, until: string): Promise<void> {
    const client = await connectRaw(rig.worker.url);
    const text = JSON.stringify(chatBody(route, body));
    client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
    // Text of a socket: bytes, one character each.
    const wanted = Buffer.from(until).toString("latin1");
    await expect.poll(() => client.received().includes(wanted) || client.received().includes(until)).toBe(true);
    client.reset();
  }

  const theTrace = async (route: TestRoute) => {
    await expect.poll(async () => (await rig.traces(route)).length, { timeout: 3_000, interval: 30 }).toBe(1);
    const [trace] = await rig.traces(route);
    return trace!;
  };

  test.each(MODES.flatMap((mode) => MODELS.map((model) => ({ ...mode, ...model }))))(
    "$model, $mode, key $key: all that came is counted, $source",
    async ({ more, model, key, source }) => {
      const route = await rig.route({ providers: ["openai"], targets: [{ model }], key });
      rig.upstream.script(begun());
      const messages = [{ role: "user", content: PROMPT }];
      const bound = { max_tokens: 20_000 };
      await leave(route, { stream: true, messages, ...bound, ...more }, WORDS[19]!);
      const trace = await theTrace(route);
      expect(trace).toMatchObject({ status: "cancelled", usage: { source } });
      expect(trace.usage.prompt_tokens).toBeGreaterThanOrEqual(5_000);
      expect(trace.usage.prompt_tokens).toBeLessThan(5_200);
      expect(trace.usage.completion_tokens).toBeGreaterThanOrEqual(0.9 * SPOKEN);
      expect(trace.usage.completion_tokens).toBeLessThan(1.2 * SPOKEN);
      // 20,000 tokens of thought that nobody saw: 2 and 8 USD per million.
      if (source === "upper_bound") expect(trace.cost_usd).toBeGreaterThanOrEqual((5_000 * 2 + 20_000 * 8) / 1e6);
    },
  );

  test("a hard latency budget that ends before the first token costs the whole prompt", async () => {
    const model = "gpt-4o-2031-03-02";
    const route = await rig.route({
      ...{ providers: ["openai"], targets: [{ model }], key: BUDGET },
      policy: { latency: { budget_ms: 200, mode: "hard" } },
    });
    rig.upstream.script({ hang: true });
    const response = await rig.ask(route, { messages: [{ role: "user", content: PROMPT }], max_tokens: 100 });
    expect(response.status).toBe(504);
    const trace = await rig.trace(route, response);
    expect(trace.usage).toMatchObject({ source: "counted", completion_tokens: 0 });
    expect(trace.usage.prompt_tokens).toBeGreaterThanOrEqual(5_000);
  });

  test("a picture's base64 is no part of what is counted", async () => {
    const model = "gpt-4o-2031-03-03";
    const route = await rig.route({ providers: ["openai"], targets: [{ model }] });
    rig.upstream.script(begun());
    const url = `data:image/png;base64,${"iVBORw0KGgo".repeat(50_000)}`;
    const content = [
      { type: "text", text: "what is it?" },
      { type: "image_url", image_url: { url } },
    ];
    await leave(route, { stream: true, messages: [{ role: "user", content }] }, WORDS[19]!);
    const trace = await theTrace(route);
    expect(trace.usage.prompt_tokens).toBeLessThan(200);
  });
});
