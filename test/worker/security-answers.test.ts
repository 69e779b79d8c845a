/** No form of a call in an answer, streamed or whole, passes the approval gate undecided: what a provider writes is its own. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { event } from "../support/aws-event-stream.ts";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import type { Script } from "../support/upstream.ts";

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

/** Stands in the arguments of every call below and nowhere else: a client that has it can run the call. */
const ARGS = "rm-everything";
const TEXT = JSON.stringify({ path: ARGS });
const GATED = { tools: { require_approval: true, wait_ms: 0 } };
const TOOLS = [{ type: "function", function: { name: "wipe", parameters: { type: "object", properties: {} } } }];

const call = { index: 0, id: "call_1", type: "function", function: { name: "wipe", arguments: TEXT } };
const legacy = { name: "wipe", arguments: TEXT };
const q = JSON.stringify;

/** A member that stands where `delta` or `message` is wanted, as JSON text. */
interface Odd {
  readonly name: string;
  /** Of one chunk or body: `D` stands for `delta` in a stream and for `message` in a whole answer. */
  readonly text: string;
}

const CHUNKS: readonly Odd[] = [
  { name: "choices as an object", text: `{"choices":{"0":{"index":0,"D":{"tool_calls":[${q(call)}]}}}}` },
  { name: "choices as one choice", text: `{"choices":{"index":0,"D":{"tool_calls":[${q(call)}]}}}` },
  { name: "choices in a list in a list", text: `{"choices":[[{"index":0,"D":{"tool_calls":[${q(call)}]}}]]}` },
  { name: "calls beside the delta", text: `{"choices":[{"index":0,"D":{"content":"a"},"tool_calls":[${q(call)}]}]}` },
  { name: "calls beside the choices", text: `{"choices":[{"index":0,"D":{"content":"a"}}],"tool_calls":[${q(call)}]}` },
  { name: "a legacy call beside the delta", text: `{"choices":[{"index":0,"D":{},"function_call":${q(legacy)}}]}` },
  { name: "a member `Choices`", text: `{"Choices":[{"index":0,"D":{"tool_calls":[${q(call)}]}}],"choices":[]}` },
  {
    name: "choices twice, the call in the first",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[${q(call)}]}}],"choices":[{"index":0,"D":{"content":"a"}}]}`,
  },
  {
    name: "choices twice, the call in the last",
    text: `{"choices":[{"index":0,"D":{"content":"a"}}],"choices":[{"index":0,"D":{"tool_calls":[${q(call)}]}}]}`,
  },
  {
    name: "the delta twice",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[${q(call)}]},"D":{"content":"a"}}]}`,
  },
  { name: "tool_calls twice", text: `{"choices":[{"index":0,"D":{"tool_calls":[${q(call)}],"tool_calls":null}}]}` },
  { name: "a member `Tool_Calls`", text: `{"choices":[{"index":0,"D":{"Tool_Calls":[${q(call)}],"content":"a"}}]}` },
  { name: "a member `toolCalls`", text: `{"choices":[{"index":0,"D":{"toolCalls":[${q(call)}],"content":"a"}}]}` },
  { name: "calls as an object", text: `{"choices":[{"index":0,"D":{"tool_calls":{"0":${q(call)}}}}]}` },
  { name: "one call in place of a list", text: `{"choices":[{"index":0,"D":{"tool_calls":${q(call)}}}]}` },
  { name: "calls in a list in a list", text: `{"choices":[{"index":0,"D":{"tool_calls":[[${q(call)}]]}}]}` },
  { name: "a legacy call", text: `{"choices":[{"index":0,"D":{"function_call":${q(legacy)}}}]}` },
  {
    name: "arguments as an object",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[{"index":0,"id":"c","function":{"name":"wipe","arguments":${TEXT}}}]}}]}`,
  },
  {
    name: "arguments twice",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[{"index":0,"id":"c","function":{"name":"wipe","arguments":${q(TEXT)},"arguments":"{}"}}]}}]}`,
  },
  {
    name: "a call of another kind",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[{"index":0,"id":"c","type":"shell","shell":{"command":["${ARGS}"]}}]}}]}`,
  },
  {
    name: "a custom call",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"sh","input":"${ARGS}"}}]}}]}`,
  },
  {
    name: "a call without a name",
    text: `{"choices":[{"index":0,"D":{"tool_calls":[{"function":{"arguments":${q(TEXT)}}}]}}]}`,
  },
  {
    name: "content parts that call",
    text: `{"choices":[{"index":0,"D":{"content":[{"type":"tool_use","id":"t","name":"wipe","input":${TEXT}}]}}]}`,
  },
  {
    name: "a part of Gemini's",
    text: `{"choices":[{"index":0,"D":{"content":[{"functionCall":{"name":"wipe","args":${TEXT}}}]}}]}`,
  },
  {
    name: "an item of Responses",
    text: `{"output":[{"type":"function_call","name":"wipe","arguments":${q(TEXT)}}],"choices":[]}`,
  },
  {
    name: "a call in a second choice that was not asked for",
    text: `{"choices":[{"index":0,"D":{"content":"a"}},{"index":7,"D":{"tool_calls":[${q(call)}]}}]}`,
  },
  {
    name: "a choice whose index is no number",
    text: `{"choices":[{"index":"zero","D":{"tool_calls":[${q(call)}]}}]}`,
  },
  {
    name: "calls in a member that nobody knows",
    text: `{"choices":[{"index":0,"D":{"content":"a","x_pending":{"tool_calls":[${q(call)}]}}}],"x_more":[${q(call)}]}`,
  },
];

const STREAMS: readonly Odd[] = [
  {
    name: "a message beside the delta",
    text: `{"choices":[{"index":0,"delta":{},"message":{"role":"assistant","tool_calls":[${q(call)}]}}]}`,
  },
  { name: "a message in place of the delta", text: `{"choices":[{"index":0,"message":{"tool_calls":[${q(call)}]}}]}` },
  { name: "a chunk in a list", text: `[{"choices":[{"index":0,"delta":{"tool_calls":[${q(call)}]}}]}]` },
  { name: "a chunk in text", text: q(`{"choices":[{"index":0,"delta":{"tool_calls":[${q(call)}]}}]}`) },
];

const data = (text: string): string => `data: ${text}\n\n`;
const opening = data(q({ id: "c1", choices: [{ index: 0, delta: { role: "assistant", content: "Well. " } }] }));
const closing = [
  data(q({ id: "c1", choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] })),
  data(q({ id: "c1", choices: [], usage: { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18 } })),
  "data: [DONE]\n\n",
];

const streamOf = (odd: string): Script => ({ events: [opening, data(odd), ...closing] });
/** SSE has more than one way to write one event. */
const FRAMES: readonly { readonly name: string; readonly script: Script }[] = [
  { name: "an event of two lines", script: { events: [opening, twoLines(chunkText()), ...closing] } },
  {
    name: "an event with a type and an id",
    script: { events: [opening, `id: 1\nevent: call\n${data(chunkText())}`, ...closing] },
  },
  { name: "events that end in CR", script: { events: [opening, `data: ${chunkText()}\r\r`, ...closing] } },
  { name: "a line without a space", script: { events: [opening, `data:${chunkText()}\n\n`, ...closing] } },
  { name: "a mark of the byte order first", script: { events: [`\ufeff${data(chunkText())}`, ...closing] } },
  { name: "an event that never ends", script: { events: [opening, `data: ${chunkText()}`] } },
  { name: "a call behind [DONE]", script: { events: [opening, ...closing, data(chunkText())] } },
  { name: "one byte at a time", script: { events: [opening, data(chunkText()), ...closing], sliceBytes: 5 } },
];

function chunkText(): string {
  return `{"choices":[{"index":0,"delta":{"tool_calls":[${q(call)}]}}]}`;
}

function twoLines(text: string): string {
  const at = text.indexOf(",") + 1;
  return `data: ${text.slice(0, at)}\ndata: ${text.slice(at)}\n\n`;
}

async function expectNothing(route: TestRoute, script: Script, body: object): Promise<void> {
  rig.upstream.script(script);
  const response = await rig.ask(route, { tools: TOOLS, ...body });
  const text = await response.text().catch(() => "");
  expect(text).not.toContain(ARGS);
  // A refused or broken answer is an error with a code: nothing is thrown.
  if (response.status !== 200)
    expect((JSON.parse(text) as { error: { code: string } }).error.code).toBe("upstream_failed");
}

describe.each(["openai", "vllm"])("%s, whose wire is the client's", (provider) => {
  let route: TestRoute;
  beforeAll(async () => {
    route = await rig.route({ providers: [provider], policy: GATED });
  });

  const usage = { stream_options: { include_usage: true } };
  test.each([...CHUNKS, ...STREAMS])("a stream with $name", async ({ text }) => {
    for (const more of [{}, usage]) {
      await expectNothing(route, streamOf(text.replaceAll('"D"', '"delta"')), { stream: true, ...more });
    }
  });

  test.each(FRAMES)("a stream with $name", async ({ script }) => {
    for (const more of [{}, usage]) await expectNothing(route, script, { stream: true, ...more });
  });

  test.each(CHUNKS)("a whole answer with $name", async ({ text }) => {
    const body = text
      .replaceAll('"D"', '"message"')
      .replace(/}$/, `,"id":"c1","usage":{"prompt_tokens":9,"completion_tokens":9}}`);
    await expectNothing(route, { body, headers: { "content-type": "application/json" } }, {});
  });
});

const typed = (type: string, more: object): string => `event: ${type}\n${data(q({ type, ...more }))}`;
const input = { path: ARGS };

/** Calls in places where the wire has none. */
const OTHERS: readonly {
  readonly provider: string;
  readonly name: string;
  readonly stream: Script;
  readonly whole: unknown;
}[] = [
  {
    provider: "anthropic",
    name: "a call among the members of a text block",
    stream: {
      events: [
        typed("message_start", { message: { id: "m", role: "assistant", content: [], usage: { input_tokens: 3 } } }),
        typed("content_block_start", { index: 0, content_block: { type: "text", text: "a", name: "wipe", input } }),
        typed("content_block_delta", { index: 0, delta: { type: "input_json_delta", partial_json: TEXT } }),
        typed("content_block_stop", { index: 0 }),
        typed("message_delta", { delta: { stop_reason: "tool_use" }, usage: { output_tokens: 3 } }),
        typed("message_stop", {}),
      ],
    },
    whole: {
      ...{
        id: "m",
        type: "message",
        role: "assistant",
        stop_reason: "tool_use",
        usage: { input_tokens: 3, output_tokens: 3 },
      },
      content: [{ type: "text", text: "a", tool_use: { name: "wipe", input } }],
      tool_calls: [call],
    },
  },
  {
    provider: "anthropic",
    name: "blocks whose type calls in another way",
    stream: {
      events: [
        typed("message_start", { message: { id: "m", role: "assistant", content: [], usage: { input_tokens: 3 } } }),
        ...["Tool_Use", "function_call", "custom_tool_use"].flatMap((type, index) => [
          typed("content_block_start", { index, content_block: { type, id: "t", name: "wipe", input } }),
          typed("content_block_stop", { index }),
        ]),
        typed("message_delta", { delta: { stop_reason: "tool_use" }, usage: { output_tokens: 3 } }),
        typed("message_stop", {}),
      ],
    },
    whole: {
      ...{
        id: "m",
        type: "message",
        role: "assistant",
        stop_reason: "tool_use",
        usage: { input_tokens: 3, output_tokens: 3 },
      },
      content: ["Tool_Use", "function_call"].map((type) => ({ type, id: "t", name: "wipe", input })),
    },
  },
  {
    provider: "google",
    name: "calls beside the parts, and in a second candidate",
    stream: {
      events: [
        data(
          q({
            candidates: [
              { content: { role: "model", parts: [{ text: "a" }] }, functionCall: { name: "wipe", args: input } },
              { index: 3, content: { role: "model", parts: [{ functionCall: { name: "wipe", args: input } }] } },
            ],
            functionCalls: [{ name: "wipe", args: input }],
          }),
        ),
        data(
          q({
            candidates: [{ content: { parts: [{ text: "b" }] }, finishReason: "STOP" }],
            usageMetadata: { promptTokenCount: 3 },
          }),
        ),
      ],
    },
    whole: {
      candidates: [
        {
          ...{ functionCall: { name: "wipe", args: input }, finishReason: "STOP" },
          content: { role: "model", parts: [{ text: "a", function_call: { name: "wipe", args: input } }] },
        },
      ],
      usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 3 },
    },
  },
  {
    provider: "bedrock",
    name: "a call among the members of a text block",
    stream: {
      headers: { "content-type": "application/vnd.amazon.eventstream" },
      events: [
        event("messageStart", { role: "assistant" }),
        event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "a", toolUse: { input: TEXT } } }),
        event("contentBlockStart", {
          contentBlockIndex: 1,
          start: { ToolUse: { toolUseId: "t", name: "wipe", input } },
        }),
        event("contentBlockStop", { contentBlockIndex: 0 }),
        event("messageStop", { stopReason: "tool_use" }),
        event("metadata", { usage: { inputTokens: 3, outputTokens: 3 } }),
      ],
    },
    whole: {
      output: {
        message: {
          role: "assistant",
          content: [{ text: "a", ToolUse: { toolUseId: "t", name: "wipe", input } }],
          toolUse: { input },
        },
      },
      stopReason: "tool_use",
      usage: { inputTokens: 3, outputTokens: 3 },
    },
  },
  {
    provider: "bedrock",
    name: "blocks that are no part of its wire",
    stream: {
      headers: { "content-type": "application/vnd.amazon.eventstream" },
      events: [
        event("messageStart", { role: "assistant" }),
        event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "a" } }),
        event("contentBlockStop", { contentBlockIndex: 0 }),
        event("contentBlockStart", {
          contentBlockIndex: 1,
          start: { toolUse: { toolUseId: "t", name: "wipe", type: "x" } },
        }),
        event("contentBlockDelta", { contentBlockIndex: 1, delta: { toolUse: { input: TEXT } } }),
        event("contentBlockStop", { contentBlockIndex: 1 }),
        event("messageStop", { stopReason: "tool_use" }),
        event("metadata", { usage: { inputTokens: 3, outputTokens: 3 } }),
      ],
    },
    whole: {
      output: {
        message: {
          role: "assistant",
          content: [
            { text: "a" },
            { x_toolUse: { toolUseId: "t", name: "wipe", input } },
            { 0: { toolUse: { toolUseId: "t", name: "wipe", input } } },
            { toolUse: { toolUseId: "t", name: "wipe", type: "server_tool_use", input: {} }, call: { input } },
          ],
        },
      },
      stopReason: "tool_use",
      usage: { inputTokens: 3, outputTokens: 3 },
    },
  },
  {
    provider: "openai",
    name: "blocks of other providers that are calls",
    stream: {
      events: [
        opening,
        data(
          q({
            id: "c1",
            choices: [{ index: 0, delta: { server_tool_blocks: [{ type: "tool_use", name: "wipe", input }] } }],
          }),
        ),
        data(
          q({ id: "c1", choices: [{ index: 0, delta: { bedrock_blocks: [{ toolUse: { name: "wipe", input } }] } }] }),
        ),
        ...closing,
      ],
    },
    whole: {
      ...{ id: "c1", usage: { prompt_tokens: 9, completion_tokens: 9 } },
      choices: [
        {
          index: 0,
          message: {
            ...{ role: "assistant", content: "a", bedrock_blocks: [{ toolUse: { name: "wipe", input } }] },
            server_tool_blocks: [{ type: "tool_use", name: "wipe", input }],
          },
        },
      ],
    },
  },
  {
    provider: "cohere",
    name: "calls beside the message",
    stream: {
      events: [
        typed("message-start", { delta: { message: { role: "assistant", content: [] }, tool_calls: [call] } }),
        typed("content-start", {
          index: 0,
          delta: { message: { content: { type: "text", text: "a", tool_calls: [call] } } },
        }),
        typed("content-end", { index: 0 }),
        typed("message-end", {
          delta: { finish_reason: "TOOL_CALL", tool_calls: [call], usage: { tokens: { input_tokens: 3 } } },
        }),
      ],
    },
    whole: {
      ...{
        id: "m",
        finish_reason: "TOOL_CALL",
        tool_calls: [call],
        usage: { tokens: { input_tokens: 3, output_tokens: 3 } },
      },
      message: { role: "assistant", content: [{ type: "text", text: "a", tool_call: call }], toolCalls: [call] },
    },
  },
];

test.each(OTHERS)("$provider, $name", async ({ provider, stream, whole }) => {
  const route = await rig.route({ providers: [provider], policy: GATED });
  await expectNothing(route, stream, { stream: true });
  await expectNothing(route, { json: whole }, {});
});
