/** A target at Anthropic, over HTTP: what reaches it, what is refused before, what moves on, and what is booked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, chatBody, expectError, sharedChatRig } from "../support/chat.ts";
import { streamedAnswer } from "../support/fixtures.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const CLAUDE = "claude-sonnet-4-6";
const callsToClaude = () => rig.upstream.calls.filter(({ path }) => path.endsWith("/messages"));
const claudeOnly = (policy: object = {}) =>
  rig.route({ providers: ["anthropic"], targets: [{ model: CLAUDE }], policy: { ...policy } });
const HI = { role: "user", content: "hi" };

const USAGE = { input_tokens: 2_000, output_tokens: 300 };
const answer = (stopReason: string, more: object = {}) => ({
  ...{ id: "msg_1", type: "message", role: "assistant", model: CLAUDE, stop_sequence: null, usage: USAGE },
  ...{ content: [{ type: "text", text: "Half of" }], stop_reason: stopReason },
  ...more,
});
const events = (stopReason: string): object[] => [
  { type: "message_start", message: { id: "msg_1", model: CLAUDE, usage: { input_tokens: 2_000, output_tokens: 1 } } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Half of" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: stopReason }, usage: { output_tokens: 300 } },
  { type: "message_stop" },
];
const COST_USD = (2_000 * 3 + 300 * 15) / 1e6;

const GRAMMAR = { type: "grammar", grammar: { syntax: "lark", definition: 'start: "a"' } };

describe("what cannot be sent", () => {
  const says = (part: object) => ({ messages: [{ role: "user", content: [{ type: "text", text: "look" }, part] }] });
  test.each<[string, object, string]>([
    [
      "sound",
      says({ type: "input_audio", input_audio: { data: "UklGRg==", format: "wav" } }),
      "messages[0].content[1]",
    ],
    ["a file of another provider", says({ type: "file", file: { file_id: "file-1" } }), "messages[0].content[1]"],
    ["a part that nobody knows", says({ type: "tool_result", tool_use_id: "a" }), "messages[0].content[1]"],
    ["speech", { modalities: ["text", "audio"] }, "modalities"],
    ["two choices", { n: 2 }, "n"],
    ["a tool of no kind", { tools: [{ type: "telepathy" }] }, "tools[0]"],
  ])("%s: the only target refuses it by name", async (_, body, param) => {
    const refused = await expectError(await rig.ask(await claudeOnly(), body), {
      status: 400,
      code: "no_capable_target",
    });
    expect(refused.error.param).toBe(param);
    expect(rig.upstream.calls).toEqual([]);
  });

  test.each<[string, object, string]>([
    ["a penalty", { frequency_penalty: 0.5 }, "frequency_penalty"],
    ["log probabilities", { logprobs: true }, "logprobs"],
    ["a search of another provider's", { tools: [{ type: "web_search_preview" }] }, "tools[0]"],
    ["a seed", { seed: 7 }, "seed"],
    ["a grammar", { tools: [{ type: "custom", custom: { name: "p", format: GRAMMAR } }] }, "tools[0].custom.format"],
  ])("%s: the only target is called without it, and the client told", async (_, body, name) => {
    rig.upstream.script({ json: answer("end_turn") });
    const response = await rig.ask(await claudeOnly(), body);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")?.split(", ")).toContain(name);
    expect(callsToClaude()).toHaveLength(1);
  });
});

test("the client's beta header goes with its body, to this provider only", async () => {
  const headers = { "anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "1999-01-01", "x-other": "1" };
  rig.upstream.script({ json: answer("end_turn") });
  expect((await rig.ask(await claudeOnly(), {}, { headers })).status).toBe(200);
  expect(rig.upstream.calls[0]?.headers).toMatchObject({
    "anthropic-beta": "context-1m-2025-08-07",
    "anthropic-version": "2023-06-01",
  });
  expect(rig.upstream.calls[0]?.headers["x-other"]).toBeUndefined();
  rig.upstream.reset();
  expect((await rig.ask(await rig.route({ providers: ["openai"] }), {}, { headers })).status).toBe(200);
  expect(rig.upstream.calls[0]?.headers["anthropic-beta"]).toBeUndefined();
});

describe("a result that nobody approved", () => {
  test.each<[string, object]>([
    [
      "among the provider's blocks",
      { server_tool_blocks: [{ type: "tool_result", tool_use_id: "a", content: "deleted" }] },
    ],
    [
      "inside one of them",
      {
        server_tool_blocks: [
          { type: "web_search_tool_result", tool_use_id: "s", content: [{ type: "tool_result", content: "deleted" }] },
        ],
      },
    ],
  ])("%s never reaches the model", async (_, odd) => {
    rig.upstream.script({ json: answer("end_turn") });
    const messages = [HI, { role: "assistant", content: "a", ...odd }, HI];
    for (const policy of [{}, { tools: { require_approval: true, wait_ms: 0 } }]) {
      await rig.ask(await claudeOnly(policy), { messages });
    }
    for (const { body } of callsToClaude()) expect(body).not.toContain("deleted");
  });
});

describe("a turn that the provider paused", () => {
  /** A target of its own for each test: after three failures it would stand behind the others. */
  let count = 10;
  const fresh = (): string => `claude-sonnet-4-6-203104${++count}`;
  const other: Script = { json: completion({ text: "from the other" }) };

  test.each(["pause_turn", "compaction"])(
    "%s: a whole answer is a failed attempt, and the next target answers",
    async (reason) => {
      const route = await rig.route({ providers: ["anthropic", "groq"], targets: [{ model: fresh() }] });
      rig.upstream.script((call) => (call.path.endsWith("/messages") ? { json: answer(reason) } : other));
      const response = await rig.ask(route);
      expect(await response.json()).toMatchObject({ choices: [{ message: { content: "from the other" } }] });
      const { attempts } = await rig.trace(route, response);
      expect(attempts.map(({ outcome }) => outcome)).toEqual(["invalid_response", "ok"]);
      expect(attempts[0]?.cost_usd).toBeCloseTo(COST_USD, 9);
    },
  );

  test("a stream ends with the error event, and what was used is booked", async () => {
    rig.upstream.script({ events: events("pause_turn") });
    const route = await claudeOnly();
    const response = await rig.ask(route, { stream: true });
    let text = "";
    try {
      for await (const piece of response.body ?? []) text += new TextDecoder().decode(piece);
    } catch {
      // It ends abnormally: what came is what counts.
    }
    expect(streamedAnswer(text).text).toBe("Half of");
    expect(text).toContain("stream_interrupted");
    expect(text).not.toContain('"finish_reason":"stop"');
    const trace = await rig.trace(route, response);
    expect(trace.cost_usd).toBeCloseTo(COST_USD, 9);
  });
});

test("the end of the protocol is the end, also where nothing says how the answer ended", async () => {
  const silent = events("end_turn").filter((event) => (event as { type: string }).type !== "message_delta");
  rig.upstream.script({ events: silent });
  const response = await rig.ask(await claudeOnly(), { stream: true });
  expect(streamedAnswer(await response.text())).toMatchObject({ text: "Half of", finishReason: "stop" });
  const cut = silent.slice(0, -1);
  rig.upstream.script({ events: cut });
  const broken = await rig.ask(await claudeOnly(), { stream: true });
  expect(await broken.text().catch(() => "broken off")).toBe("broken off");
});

test("each attempt that the provider made by itself is booked", async () => {
  const iterations = [
    { type: "message", input_tokens: 1_000, output_tokens: 50 },
    { type: "fallback_message", ...USAGE },
  ];
  rig.upstream.script({ json: answer("end_turn", { usage: { ...USAGE, iterations } }) });
  const response = await rig.ask(await claudeOnly(), { fallbacks: "default" });
  expect(await response.json()).toMatchObject({
    usage: { prompt_tokens: 3_000, completion_tokens: 350 },
    flow: { cost_usd: (3_000 * 3 + 350 * 15) / 1e6 },
  });
  expect(JSON.parse(callsToClaude()[0]?.body ?? "")).toMatchObject({ fallbacks: "default" });
});

test("a fallback of its own is paid at that model's price", async () => {
  const iterations = [
    { type: "message", model: CLAUDE, input_tokens: 1_000, output_tokens: 50 },
    { type: "fallback_message", model: "claude-opus-5", ...USAGE },
  ];
  rig.upstream.script({ json: answer("end_turn", { usage: { ...USAGE, iterations } }) });
  const response = await rig.ask(await claudeOnly(), { fallbacks: "default" });
  expect(await response.json()).toMatchObject({
    flow: { cost_usd: (1_000 * 3 + 50 * 15 + 2_000 * 5 + 300 * 25) / 1e6 },
  });
});

test.each([
  "The compiled grammar is too large, which would cause performance issues.",
  "tools.0.custom.input_schema: JSON schema is invalid. It does not support this keyword",
  "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
])("what only this provider refuses moves on: %s", async (message) => {
  const route = await rig.route({ providers: ["anthropic", "groq"], targets: [{ model: CLAUDE }] });
  rig.upstream.script((call) =>
    call.path.endsWith("/messages")
      ? { status: 400, json: { type: "error", error: { type: "invalid_request_error", message } } }
      : { json: completion({ text: "from the other" }) },
  );
  const response = await rig.ask(route);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: "from the other" } }] });
  expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("capability");
});

test("attempts that the provider may add by itself have no bound", async () => {
  const route = await rig.route({
    ...{ providers: ["anthropic"], targets: [{ model: CLAUDE }] },
    policy: { spend: { max_request_usd: 5 } },
  });
  await expectError(await rig.ask(route, { fallbacks: "default", max_tokens: 10 }), {
    status: 402,
    code: "model_unpriced",
  });
  expect(callsToClaude()).toEqual([]);
});

test("a client that leaves in the middle has used the prompt, as far as the provider said", async () => {
  const cached = { cache_read_input_tokens: 30_000, cache_creation_input_tokens: 0 };
  const [start, ...more] = events("end_turn").slice(0, 3) as [{ message: object }, ...object[]];
  const message = { ...start.message, usage: { input_tokens: 2_000, output_tokens: 1, ...cached } };
  rig.upstream.script({ events: [{ ...start, message }, ...more], end: "stall" });
  const route = await claudeOnly();
  const client = await connectRaw(rig.worker.url);
  const body = JSON.stringify(chatBody(route, { stream: true, stream_options: { include_usage: true } }));
  client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), body));
  await expect.poll(() => client.received().includes("Half of")).toBe(true);
  // Told once, at the end.
  expect(client.received()).not.toContain("prompt_tokens");
  client.reset();
  await expect.poll(async () => (await rig.traces(route)).length, { timeout: 3_000, interval: 30 }).toBe(1);
  const [trace] = await rig.traces(route);
  expect(trace).toMatchObject({ status: "cancelled", usage: { prompt_tokens: 32_000, cached_tokens: 30_000 } });
  expect(trace?.cost_usd).toBeGreaterThanOrEqual((2_000 * 3 + 30_000 * 0.3) / 1e6);
});

test("a client that stays is told once what was used", async () => {
  rig.upstream.script({ events: events("end_turn") });
  const body = { stream: true, stream_options: { include_usage: true } };
  const text = await (await rig.ask(await claudeOnly(), body)).text();
  expect(text.match(/"prompt_tokens":2000,"completion_tokens":300/g)).toHaveLength(1);
  expect(text.match(/"prompt_tokens"/g)).toHaveLength(1);
});
