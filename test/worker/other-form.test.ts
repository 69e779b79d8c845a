/** A provider that answers in the other form: a document where a stream was asked for, a stream where a document was. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { collect, readStream } from "../support/sse.ts";
import { chunks, completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const CALLED = { name: "find", arguments: '{"at":9007199254740993}' };
const named = (events: readonly { readonly type: string; readonly [name: string]: unknown }[]): string[] =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);

/** The same answer of each wire in both forms: a text and a call, 7 tokens in and 5 out. */
const FORMS: Readonly<
  Record<string, { readonly json: string | object; readonly events: readonly (string | object)[] }>
> = {
  vllm: {
    json: completion({
      text: "So it is.",
      toolCalls: [{ id: "c1", ...CALLED }],
      usage: { prompt_tokens: 7, completion_tokens: 5 },
    }),
    events: [
      ...chunks("So it is.", {
        toolCalls: [{ id: "c1", ...CALLED }],
        usage: { prompt_tokens: 7, completion_tokens: 5 },
      }),
    ],
  },
  anthropic: {
    json: `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"So it is."},{"type":"tool_use","id":"c1","name":"find","input":${CALLED.arguments}}],"stop_reason":"tool_use","usage":{"input_tokens":7,"output_tokens":5}}`,
    events: named([
      { type: "message_start", message: { id: "msg_1", model: "m", usage: { input_tokens: 7, output_tokens: 1 } } },
      { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "So it is." } },
      { type: "content_block_stop", index: 0 },
      { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "c1", name: "find", input: {} } },
      { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: CALLED.arguments } },
      { type: "content_block_stop", index: 1 },
      { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 5 } },
      { type: "message_stop" },
    ]),
  },
  google: {
    json: `{"candidates":[{"content":{"parts":[{"text":"So it is."},{"functionCall":{"id":"c1","name":"find","args":${CALLED.arguments}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}}`,
    events: [
      { candidates: [{ content: { parts: [{ text: "So it is." }] } }] },
      `data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"c1","name":"find","args":${CALLED.arguments}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}}\n\n`,
    ],
  },
  cohere: {
    json: {
      id: "1",
      message: {
        content: [{ type: "text", text: "So it is." }],
        tool_calls: [{ id: "c1", type: "function", function: CALLED }],
      },
      finish_reason: "TOOL_CALL",
      usage: { tokens: { input_tokens: 7, output_tokens: 5 } },
    },
    events: named([
      { type: "message-start", id: "1" },
      { type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } },
      { type: "content-delta", index: 0, delta: { message: { content: { text: "So it is." } } } },
      { type: "content-end", index: 0 },
      {
        type: "tool-call-start",
        index: 0,
        delta: { message: { tool_calls: { id: "c1", type: "function", function: CALLED } } },
      },
      { type: "tool-call-end", index: 0 },
      {
        type: "message-end",
        delta: { finish_reason: "TOOL_CALL", usage: { tokens: { input_tokens: 7, output_tokens: 5 } } },
      },
    ]),
  },
};

interface Completion {
  readonly choices: readonly {
    readonly message: { readonly content: string; readonly tool_calls: readonly { readonly function: object }[] };
    readonly finish_reason: string;
  }[];
  readonly usage: object;
}

const TOOLS = [{ type: "function", function: { name: "find", parameters: { type: "object" } } }];
const stream: Script["headers"] = { "content-type": "text/event-stream" };
const document: Script["headers"] = { "content-type": "application/json" };

async function routeTo(provider: string): Promise<TestRoute> {
  return rig.route({ providers: [provider] });
}
const textOf = (json: string | object): string => (typeof json === "string" ? json : JSON.stringify(json));

describe.each(Object.keys(FORMS))("%s", (provider) => {
  const { json, events } = FORMS[provider]!;

  test("a stream in place of a document is read to its end", async () => {
    const route = await routeTo(provider);
    const body = events.map((each) => (typeof each === "string" ? each : `data: ${JSON.stringify(each)}\n\n`)).join("");
    rig.upstream.scriptFor(route.models[0]!, { body, headers: stream });
    rig.upstream.script({ body, headers: stream });
    const response = await rig.ask(route, { tools: TOOLS });
    const { choices, usage } = (await response.json()) as Completion;
    expect(choices[0]).toMatchObject({ message: { content: "So it is." }, finish_reason: "tool_calls" });
    expect(choices[0]?.message.tool_calls.map(({ function: called }) => called)).toEqual([CALLED]);
    expect(usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 5 });
    const trace = await rig.trace(route, response);
    expect(trace.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 5, source: "upstream" });
  });

  test("a document in place of a stream is streamed", async () => {
    const route = await routeTo(provider);
    rig.upstream.script({ body: textOf(json), headers: document, sliceBytes: 40 });
    const response = await rig.ask(route, { tools: TOOLS, stream: true, stream_options: { include_usage: true } });
    const { text, isBroken } = await readStream(response);
    expect(isBroken).toBe(false);
    expect(collect(text)).toMatchObject({
      text: "So it is.",
      finishReason: "tool_calls",
      isDone: true,
      usageEvents: 1,
    });
    expect(collect(text).toolCalls.map(({ name, arguments: args }) => ({ name, arguments: args }))).toEqual([CALLED]);
  });
});

test.each(Object.keys(FORMS))("a stream of %s that is declared as a document is a stream", async (provider) => {
  const route = await routeTo(provider);
  const { events } = FORMS[provider]!;
  const body = events.map((each) => (typeof each === "string" ? each : `data: ${JSON.stringify(each)}\n\n`)).join("");
  rig.upstream.script({ body: ` \n${body}`, headers: document, sliceBytes: 7 });
  const response = await rig.ask(route, { tools: TOOLS, stream: true });
  const { text, isBroken } = await readStream(response);
  expect(isBroken).toBe(false);
  expect(collect(text)).toMatchObject({ text: "So it is.", finishReason: "tool_calls", isDone: true });
});

test("the Messages door streams a document of its own wire", async () => {
  const route = await routeTo("anthropic");
  rig.upstream.script({ body: textOf(FORMS["anthropic"]!.json), headers: document });
  const response = await rig.worker.fetch("/v1/messages", {
    method: "POST",
    headers: { "x-api-key": route.key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({
      model: route.model,
      max_tokens: 9,
      stream: true,
      messages: [{ role: "user", content: "hi" }],
    }),
  });
  const text = await response.text();
  expect(text).toContain('"text":"So it is."');
  expect(text).toContain("9007199254740993");
  expect(text.trim().split("\n").at(-1)).toContain("message_stop");
});

test("a stream in place of a document that breaks off, or fails, is no answer", async () => {
  const route = await rig.route({ providers: ["vllm", "groq", "openai"] });
  const [cut, failed, last] = route.models;
  const [first] = chunks("Half of", { usage: null });
  rig.upstream.scriptFor(cut!, { body: String(first), headers: stream });
  rig.upstream.scriptFor(failed!, { body: 'data: {"error":{"message":"no","code":503}}\n\n', headers: stream });
  rig.upstream.scriptFor(last!, { json: completion({ text: "third" }) });
  const response = await rig.ask(route);
  const { choices } = (await response.json()) as Completion;
  expect(choices[0]?.message.content ?? response.headers.get("x-flowlayer-attempt-log")).toBe("third");
});

test("the Messages door tells the end that a provider of its wire did not name, and once", async () => {
  const route = await rig.route({ providers: ["moonshot"] });
  const silent = FORMS["anthropic"]!.events.filter((each) => !String(each).includes('"message_delta"'));
  rig.upstream.script({ events: silent });
  const response = await rig.worker.fetch("/v1/messages", {
    method: "POST",
    headers: { "x-api-key": route.key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
    body: JSON.stringify({
      ...{ model: route.model, max_tokens: 9, stream: true, messages: [{ role: "user", content: "hi" }] },
      tools: [{ name: "find", input_schema: { type: "object" } }],
    }),
  });
  const text = await response.text();
  expect(text).toContain('"stop_reason":"tool_use"');
  expect(text.match(/event: message_stop/g)).toHaveLength(1);
});
