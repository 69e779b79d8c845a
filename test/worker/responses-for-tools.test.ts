/** Chat requests whose model is given tools over the Responses API only, over HTTP. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, expectError, expectStory, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { collect } from "../support/sse.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const MODEL = "gpt-5.6";
const RESPONSES = "/v1/responses";
const CHAT = "/v1/chat/completions";
const TOOL = { type: "function", function: { name: "look_up", parameters: { type: "object", properties: {} } } };
const USAGE = { input_tokens: 20, output_tokens: 12, output_tokens_details: { reasoning_tokens: 8 }, total_tokens: 32 };
const OUTPUT = [
  { id: "rs_1", type: "reasoning", summary: [], encrypted_content: "gAAAA-thoughts" },
  {
    ...{ id: "fc_1", type: "function_call", status: "completed", call_id: "call_1", name: "look_up" },
    arguments: '{"id":9007199254740993}',
  },
];
const WHOLE = {
  id: "resp_1",
  object: "response",
  status: "completed",
  model: "gpt-5.6-sol",
  output: OUTPUT,
  usage: USAGE,
};
const TEXT = {
  ...WHOLE,
  output: [{ id: "msg_1", type: "message", role: "assistant", content: [{ type: "output_text", text: "Done." }] }],
};
const EVENTS = [
  { type: "response.created", response: { ...WHOLE, status: "in_progress", output: [], usage: null } },
  ...OUTPUT.flatMap((item, index) => [
    { type: "response.output_item.added", output_index: index, item: { ...item, arguments: "" } },
    ...(index === 1
      ? ['{"id":900719', "9254740993}"].map((delta) => {
          return { type: "response.function_call_arguments.delta", output_index: 1, item_id: "fc_1", delta };
        })
      : []),
    { type: "response.output_item.done", output_index: index, item },
  ]),
  { type: "response.completed", response: WHOLE },
];
const COMPLETION = {
  ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model: "m" },
  choices: [{ index: 0, message: { role: "assistant", content: "ok" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};

const routeTo = (...models: string[]): Promise<TestRoute> =>
  rig.route({ providers: models.map(() => "openai"), targets: models.map((model) => ({ model })) });
const sent = (at = 0): Record<string, unknown> =>
  JSON.parse(rig.upstream.callsTo(RESPONSES)[at]?.body ?? "null") as Record<string, unknown>;

describe.each([
  ["openai", RESPONSES],
  ["azure", RESPONSES],
])("at %s", (provider, path) => {
  test("the call is made over Responses and answered as chat, with its exact arguments, usage and cost", async () => {
    rig.upstream.scriptFor(path, { json: WHOLE });
    const route = await rig.route({ providers: [provider], targets: [{ model: MODEL }] });
    const response = await rig.ask(route, { tools: [TOOL], reasoning_effort: "high", seed: 7 });
    const body = (await response.json()) as {
      [member: string]: unknown;
      choices: unknown[];
      flow: { cost_usd: number };
    };
    expect(response.status).toBe(200);
    expect(body.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        tool_calls: [{ id: "call_1", function: { name: "look_up", arguments: '{"id":9007199254740993}' } }],
        reasoning_details: [
          { type: "reasoning.encrypted", id: "rs_1", data: "gAAAA-thoughts", format: "openai-responses-v1", provider },
        ],
      },
    });
    expect(body["model"]).toBe("gpt-5.6-sol");
    expect(body["usage"]).toMatchObject({ prompt_tokens: 20, completion_tokens: 12, total_tokens: 32 });
    expect(body.flow.cost_usd).toBeGreaterThan(0);
    expect(response.headers.get("x-flowlayer-dropped-params")).toBe("seed");
    expect(sent()).toMatchObject({
      ...{ model: MODEL, store: false, include: ["reasoning.encrypted_content"], reasoning: { effort: "high" } },
      tools: [{ type: "function", name: "look_up", strict: false }],
    });
    await expectStory(rig, route, response, [`${provider}/${MODEL};ok;200`], null);
  });

  test("a stream becomes a stream of chunks", async () => {
    rig.upstream.scriptFor(path, { events: EVENTS, headers: { "content-type": "text/event-stream" } });
    const route = await rig.route({ providers: [provider], targets: [{ model: MODEL }] });
    const response = await rig.ask(route, { tools: [TOOL], stream: true, stream_options: { include_usage: true } });
    expect(collect(await response.text())).toMatchObject({
      toolCalls: [{ id: "call_1", name: "look_up", arguments: '{"id":9007199254740993}' }],
      ...{ finishReason: "tool_calls", isDone: true, error: null, usageEvents: 1 },
    });
    expect(sent()["stream"]).toBe(true);
    const trace = await rig.trace(route, response);
    expect(trace.usage).toMatchObject({
      prompt_tokens: 20,
      completion_tokens: 12,
      reasoning_tokens: 8,
      source: "upstream",
    });
  });
});

describe("chat completions serve", () => {
  test.each<[string, string, object]>([
    ["a request without tools", MODEL, { reasoning_effort: "high" }],
    ["one whose tools are an empty list", MODEL, { tools: [] }],
    ["one that asks for effort none", MODEL, { tools: [TOOL], reasoning_effort: "none" }],
    ["a model that takes tools there", "gpt-5", { tools: [TOOL] }],
  ])("%s", async (_, model, body) => {
    rig.upstream.scriptFor(CHAT, { json: COMPLETION });
    expect((await rig.ask(await routeTo(model), body)).status).toBe(200);
    expect(rig.upstream.callsTo(RESPONSES)).toEqual([]);
  });
});

test("a model that cannot be told not to think is asked for the least, over Responses", async () => {
  rig.upstream.scriptFor(RESPONSES, { json: TEXT });
  const response = await rig.ask(await routeTo("gpt-6-astra"), { tools: [TOOL], reasoning_effort: "none" });
  expect(response.status).toBe(200);
  expect(sent()["reasoning"]).toEqual({ effort: "low" });
});

test("a cut of the stream is an error, and its end without a last event too", async () => {
  for (const end of ["end", "reset"] as const) {
    rig.upstream.scriptFor(RESPONSES, {
      events: EVENTS.slice(0, -1),
      end,
      headers: { "content-type": "text/event-stream" },
    });
    const response = await rig.ask(await routeTo(MODEL), { tools: [TOOL], stream: true });
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of response.body!) chunks.push(chunk);
    } catch {
      // The body ends abnormally.
    }
    const text = Buffer.concat(chunks).toString("utf8");
    expect(text).toContain("stream_interrupted");
    expect(text).not.toContain("[DONE]");
  }
});

describe("an endpoint without the path", () => {
  test.each([404, 405])("answers %s once an hour: then its target has no tools", async (status) => {
    rig.upstream.scriptFor(RESPONSES, { status, json: { error: { message: "Not Found" } } });
    rig.upstream.scriptFor(CHAT, { json: COMPLETION });
    const model = status === 404 ? "gpt-5.6-luna" : "gpt-5.6-terra";
    const route = await routeTo(model, "gpt-4.1");
    const first = await rig.ask(route, { tools: [TOOL] });
    await expectStory(
      rig,
      route,
      first,
      [`openai/${model};capability;${status}`, "openai/gpt-4.1;ok;200"],
      "capability",
    );
    const second = await rig.ask(route, { tools: [TOOL] });
    await expectStory(rig, route, second, ["openai/gpt-4.1;ok;200"], "capability");
    expect(rig.upstream.callsTo(RESPONSES)).toHaveLength(1);
    // What needs no tools is served as before.
    const plain = await rig.ask(route);
    await expectStory(rig, route, plain, [`openai/${model};ok;200`], null);
    // Nothing else can serve it, and it is not called in vain.
    const only = await routeTo(model);
    const refused = await expectError(await rig.ask(only, { tools: [TOOL] }), {
      status: 400,
      code: "no_capable_target",
    });
    expect(refused.error.message).toContain("tools");
    expect(rig.upstream.callsTo(RESPONSES)).toHaveLength(1);
  });

  test("is not blamed for a model that it does not have", async () => {
    rig.upstream.scriptFor(RESPONSES, {
      status: 404,
      json: { error: { message: "No such model", code: "model_not_found" } },
    });
    const route = await routeTo("gpt-5.5");
    for (const _ of [1, 2]) await rig.ask(route, { tools: [TOOL] });
    expect(rig.upstream.callsTo(RESPONSES)).toHaveLength(2);
  });
});

/** A member that is named is left out once, at the same target, before the next one is asked. */
test.each<[string, object, number]>([
  [
    "tools with an effort",
    {
      message: "Function tools with reasoning_effort are not supported for gpt-5.4.",
      param: "reasoning_effort",
      code: null,
    },
    2,
  ],
  [
    "thoughts that it cannot read",
    { message: "The encrypted content could not be verified.", code: "invalid_encrypted_content" },
    1,
  ],
])("a refusal of %s moves on", async (_, error, tries) => {
  rig.upstream.scriptFor(RESPONSES, { status: 400, json: { error: { type: "invalid_request_error", ...error } } });
  rig.upstream.scriptFor(CHAT, { json: COMPLETION });
  const route = await routeTo("gpt-5.4", "gpt-4.1");
  const response = await rig.ask(route, { tools: [TOOL], reasoning_effort: "high" });
  const refused = Array<string>(tries).fill("openai/gpt-5.4;capability;400");
  await expectStory(rig, route, response, [...refused, "openai/gpt-4.1;ok;200"], "capability");
});

test("a tool call that needs approval is held on this way too", async () => {
  rig.upstream.scriptFor(RESPONSES, { json: WHOLE });
  const policy = { tools: { require_approval: true, wait_ms: 0 } };
  const route = await rig.route({ providers: ["openai"], targets: [{ model: MODEL }], policy });
  const response = await rig.ask(route, { tools: [TOOL] });
  const body = (await response.json()) as { choices: { message: { tool_calls?: unknown } }[] };
  expect(body.choices[0]?.message.tool_calls).toBeUndefined();
  expect(response.headers.get("x-flowlayer-tool-approval")).toBe("pending");
});
