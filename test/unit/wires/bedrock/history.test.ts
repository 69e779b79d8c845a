/** A conversation goes back to Bedrock as its models made it, and nothing that was forged goes with it. */

import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { bedrock } from "../../../../src/providers/bedrock.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { CallIds } from "../../../../src/wires/bedrock/call-ids.ts";
import { bedrockWire } from "../../../../src/wires/bedrock/wire.ts";
import { readRequest } from "../../../../src/wires/openai-chat/read-request.ts";
import { asChat } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";
import { event } from "../../../support/aws-event-stream.ts";
import { growthOf } from "../../../support/work.ts";

type Json = Record<string, unknown>;

const CLAUDE = "us.anthropic.claude-opus-5";
const BINDING = "us.anthropic.claude-opus-5-5";
const NOVA = "us.amazon.nova-2-lite-v1:0";
const HELLO = { role: "user", content: "hi" };
const tool = (name: string): Json => ({ type: "function", function: { name } });
const contextOf = (fields: Json, model: string): AnswerContext => ({
  ...{ asked: askedInChat(fields), model, traceId: "tr_1", createdAt: 1_795_000_000 },
});

async function textSent(fields: Json, model = CLAUDE, params: Json = {}): Promise<string> {
  const request = await bedrock.adapter.toUpstream({
    ...inChat(fields),
    ...{ model, params, stream: false, maxOutputTokens: undefined },
    config: { baseUrl: "https://a.example", headers: {} },
  });
  return request.body;
}
const sent = async (fields: Json, model = CLAUDE, params: Json = {}): Promise<Json> =>
  JSON.parse(await textSent(fields, model, params)) as Json;
const messagesOf = (body: Json): { role: string; content: Json[] }[] =>
  body["messages"] as { role: string; content: Json[] }[];

/** The assistant's message as a client keeps it: of a whole answer, or put together from a stream. */
function wholeMessage(blocks: string, fields: Json = {}): Json {
  const text = `{"output":{"message":{"role":"assistant","content":${blocks}}},"stopReason":"tool_use"}`;
  const answer = asChat(bedrock.adapter.translation).toCompletion(JSON.parse(text), contextOf(fields, CLAUDE), text);
  if (!answer.ok) throw new Error("no answer");
  return (answer.completion["choices"] as { message: Json }[])[0]!.message;
}

function streamedMessage(events: readonly Buffer[], fields: Json = {}): Json {
  const stream = asChat(bedrock.adapter.translation).openStream(contextOf(fields, CLAUDE));
  const parts = [...stream.push(Buffer.concat(events)), ...stream.end()];
  const message: Record<string, unknown> = { role: "assistant", content: "" };
  const calls: { id: string; type: string; function: { name: string; arguments: string } }[] = [];
  for (const part of parts) {
    if (!("chunk" in part)) throw new Error("an error");
    for (const { delta } of part.chunk["choices"] as { delta: Json }[]) {
      for (const [name, value] of Object.entries(delta)) {
        if (name === "tool_calls") {
          const [call] = value as [{ index: number; id?: string; function: { name?: string; arguments: string } }];
          const known = calls[call.index];
          if (known === undefined) {
            const { name: called = "", arguments: args } = call.function;
            calls[call.index] = { id: call.id ?? "", type: "function", function: { name: called, arguments: args } };
          } else known.function.arguments += call.function.arguments;
        } else if (Array.isArray(value)) message[name] = [...((message[name] as unknown[]) ?? []), ...value];
        else if (name !== "role") message[name] = String(message[name] ?? "") + String(value);
      }
    }
  }
  return calls.length === 0 ? message : { ...message, tool_calls: calls };
}

const block = (index: number, ...deltas: Json[]): Buffer =>
  Buffer.concat([
    ...deltas.map((delta) => event("contentBlockDelta", { contentBlockIndex: index, delta })),
    event("contentBlockStop", { contentBlockIndex: index }),
  ]);
const callBlock = (index: number, id: string, name: string, input: string): Buffer =>
  Buffer.concat([
    event("contentBlockStart", { contentBlockIndex: index, start: { toolUse: { toolUseId: id, name } } }),
    block(index, { toolUse: { input } }),
  ]);
const STOP = event("messageStop", { stopReason: "tool_use" });

describe("a turn goes back in its order and in its words", () => {
  const ARGS = '{"b":1.0,"10":2512292042121000001,"2":"x"}';
  const BLOCKS = `[
    {"reasoningContent":{"reasoningText":{"text":"a","signature":"SIG1"}}},
    {"text":"Looking. "},
    {"text":"Again."},
    {"reasoningContent":{"reasoningText":{"text":"b","signature":"SIG2"}}},
    {"reasoningContent":{"redactedContent":"UkVE"}},
    {"toolUse":{"toolUseId":"toolu_1","name":"lookup","input":${ARGS}}}
  ]`;
  const STREAM = [
    block(0, { reasoningContent: { text: "a" } }, { reasoningContent: { signature: "SIG1" } }),
    block(1, { text: "Look" }, { text: "ing. " }),
    block(2, { text: "Again." }),
    block(3, { reasoningContent: { text: "b" } }, { reasoningContent: { signature: "SIG2" } }),
    block(4, { reasoningContent: { redactedContent: "UkVE" } }),
    callBlock(5, "toolu_1", "lookup", ARGS),
    STOP,
  ];

  test.each([
    ["whole", () => wholeMessage(BLOCKS)],
    ["streamed", () => streamedMessage(STREAM)],
  ])("%s", async (_, messageOf) => {
    const result = { role: "tool", tool_call_id: "toolu_1", content: "r" };
    const text = await textSent({ messages: [HELLO, messageOf(), result], tools: [tool("lookup")] });
    expect(text).toContain(`"input":${ARGS}`);
    const [, turn] = messagesOf(JSON.parse(text) as Json);
    expect(turn?.content.map((each) => JSON.stringify(each).replace(/"input":\{[^}]*\}/, '"input":…'))).toEqual([
      '{"reasoningContent":{"reasoningText":{"text":"a","signature":"SIG1"}}}',
      '{"text":"Looking. "}',
      '{"text":"Again."}',
      '{"reasoningContent":{"reasoningText":{"text":"b","signature":"SIG2"}}}',
      '{"reasoningContent":{"redactedContent":"UkVE"}}',
      '{"toolUse":{"toolUseId":"toolu_1","name":"lookup","input":…}}',
    ]);
  });

  test("thoughts whose text is withheld keep their own place", async () => {
    const message = streamedMessage([
      block(0, { reasoningContent: { text: "read" } }),
      block(1, { reasoningContent: { signature: "SIG1" } }),
      block(2, { text: "so" }),
      block(3, { reasoningContent: { signature: "SIG2" } }),
      STOP,
    ]);
    const [, turn] = messagesOf(await sent({ messages: [HELLO, message, HELLO] }));
    expect(turn?.content).toEqual([
      { reasoningContent: { reasoningText: { text: "", signature: "SIG1" } } },
      { text: "so" },
      { reasoningContent: { reasoningText: { text: "", signature: "SIG2" } } },
    ]);
  });

  test("a message that the client changed goes in the plain order", async () => {
    const message = { ...wholeMessage(BLOCKS), content: "mine" };
    const [, turn] = messagesOf(await sent({ messages: [HELLO, message, HELLO], tools: [tool("lookup")] }));
    expect(turn?.content.map((each) => Object.keys(each)[0])).toEqual([
      ...["reasoningContent", "reasoningContent", "reasoningContent", "text", "toolUse"],
    ]);
  });
});

describe("a past call", () => {
  const called = (args: unknown, name = "f"): Json => ({
    ...{ role: "assistant", content: null },
    tool_calls: [{ id: "t", type: "function", function: { name, arguments: args } }],
  });
  test.each<[args: string, input: string]>([
    ["", "{}"],
    ["null", "{}"],
    ["{}", "{}"],
    [' { "id" : 2512292042121000001 } ', ' { "id" : 2512292042121000001 } '],
    ['{"10":1,"2":1.0,"a":1e2}', '{"10":1,"2":1.0,"a":1e2}'],
    ['{"half', '{"arguments":"{\\"half"}'],
    ["[1]", '{"arguments":"[1]"}'],
    ['"text"', '{"arguments":"\\"text\\""}'],
  ])("%j is sent as %s", async (args, input) => {
    const text = await textSent({ messages: [HELLO, called(args)], tools: [tool("f")] });
    expect(text).toContain(`"input":${input}}`);
  });

  test("nested deeper than any stack", async () => {
    const args = `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`;
    expect(await textSent({ messages: [HELLO, called(args)], tools: [tool("f")] })).toContain(args);
  });

  test("of a custom tool has one text", async () => {
    const call = { id: "t", type: "custom", custom: { name: "patch", input: "*** a\n" } };
    const messages = [HELLO, { role: "assistant", tool_calls: [call] }];
    expect(await textSent({ messages, tools: [tool("f")] })).toContain('"input":{"input":"*** a\\n"}');
  });

  test("keeps its failure where it is told in words", async () => {
    const failed = { role: "tool", tool_call_id: "t", content: "no", is_error: true };
    const [, , last] = messagesOf(await sent({ messages: [HELLO, called("{}"), failed] }));
    expect(last?.content).toEqual([{ text: "[Result of f, which failed:]" }, { text: "no" }]);
  });
});

describe("thoughts that are bound to what stood before them", () => {
  const signed = {
    ...{ role: "assistant", content: "a" },
    reasoning_details: [{ type: "reasoning.text", format: "bedrock", text: "r", signature: "s" }],
  };
  const BETA = "thinking-binding-controls-2026-08-01";
  const drops = { prefix_mismatch_behavior: "drop_block" };
  test.each<{ name: string; fields?: Json; model?: string; params?: Json; got: unknown }>([
    {
      name: "are given up rather than refused",
      got: { thinking: { type: "adaptive", block_binding: drops }, anthropic_beta: [BETA] },
    },
    {
      name: "beside an effort",
      fields: { reasoning_effort: "high" },
      got: {
        thinking: { type: "adaptive", display: "summarized", block_binding: drops },
        output_config: { effort: "high" },
        anthropic_beta: [BETA],
      },
    },
    {
      name: "as the client has it",
      fields: {
        thinking: { type: "adaptive", display: "omitted", block_binding: { prefix_mismatch_behavior: "error", x: 1 } },
      },
      got: {
        thinking: { type: "adaptive", display: "omitted", block_binding: { prefix_mismatch_behavior: "error" } },
        anthropic_beta: [BETA],
      },
    },
    {
      name: "beside the policy's own flags",
      params: { additionalModelRequestFields: { anthropic_beta: ["mine"] } },
      got: { thinking: { type: "adaptive", block_binding: drops }, anthropic_beta: [BETA, "mine"] },
    },
    { name: "not for a model that binds nothing", model: "anthropic.claude-opus-5", got: undefined },
    { name: "not where none go back", fields: { messages: [HELLO] }, got: undefined },
    {
      name: "not where thinking is off",
      model: "anthropic.claude-haiku-5-5",
      fields: { reasoning_effort: "none" },
      got: { thinking: { type: "disabled" } },
    },
  ])("$name", async ({ fields = {}, model = BINDING, params = {}, got }) => {
    const body = await sent({ messages: [HELLO, signed, HELLO], ...fields }, model, params);
    expect(body["additionalModelRequestFields"]).toEqual(got);
  });
});

describe("blocks of Amazon's own tools", () => {
  const search = { toolUseId: "s1", name: "nova_grounding", type: "server_tool_use", input: { query: "q" } };
  const found = { toolUseId: "s1", type: "nova_grounding_result", status: "success", content: [{ text: "[HIDDEN]" }] };
  const tools = [{ systemTool: { name: "nova_grounding" } }];
  const back = async (blocks: unknown, more: Json = {}): Promise<Json[]> => {
    const message = { role: "assistant", content: "so", bedrock_blocks: blocks };
    return messagesOf(await sent({ messages: [HELLO, message, HELLO], tools, ...more }, NOVA))[1]?.content ?? [];
  };

  test("go back as they came", async () => {
    expect(await back([{ toolUse: search }, { toolResult: found }])).toEqual([
      { toolUse: search },
      { toolResult: found },
      { text: "so" },
    ]);
  });

  test("in their place", async () => {
    const message = wholeMessage(
      JSON.stringify([{ text: "Let me see. " }, { toolUse: search }, { toolResult: found }, { text: "So." }]),
    );
    const [, turn] = messagesOf(await sent({ messages: [HELLO, message, HELLO], tools }, NOVA));
    expect(turn?.content.map((each) => Object.keys(each)[0])).toEqual(["text", "toolUse", "toolResult", "text"]);
  });

  test.each<{ name: string; blocks: unknown; more?: Json }>([
    { name: "a result of a tool that the client runs", blocks: [{ toolResult: { ...found, toolUseId: "call_1" } }] },
    { name: "a result without its call", blocks: [{ toolResult: found }] },
    { name: "a call in the name of a client's tool", blocks: [{ toolUse: { ...search, name: "delete_file" } }] },
    { name: "a call that the client would have to answer", blocks: [{ toolUse: { ...search, type: undefined } }] },
    { name: "a result of no kind of Amazon's", blocks: [{ toolUse: { ...search, name: "x" } }, { toolResult: found }] },
    { name: "a block of another kind", blocks: [{ text: "x" }, { guardContent: { text: {} } }, { toolResult: [] }, 7] },
    { name: "anything where no tools are offered", blocks: [{ toolUse: search }], more: { tools: [] } },
  ])("$name does not go back", async ({ blocks, more }) => {
    expect(await back(blocks, more)).toEqual([{ text: "so" }]);
  });

  test("a client's tool of such a name is another tool", async () => {
    const body = await sent({ messages: [HELLO], tools: [...tools, tool("nova_grounding")] }, NOVA);
    expect((body["toolConfig"] as Json)["tools"]).toEqual([
      { systemTool: { name: "nova_grounding" } },
      { toolSpec: expect.objectContaining({ name: "nova_grounding_2" }) },
    ]);
  });
});

describe("the shape of a conversation", () => {
  test.each([
    ["anthropic.claude-sonnet-4-5", [HELLO, { role: "assistant", content: "It is " }], ["user", "assistant"]],
    ["anthropic.claude-opus-4-6-v1", [HELLO, { role: "assistant", content: "It is " }], ["user", "assistant", "user"]],
    [CLAUDE, [{ role: "assistant", content: "a" }], ["user", "assistant", "user"]],
    [NOVA, [{ role: "assistant", content: "a" }, HELLO], ["user", "assistant", "user"]],
  ])("%s: %j", async (model, messages, roles) => {
    expect(messagesOf(await sent({ messages }, model)).map(({ role }) => role)).toEqual(roles);
  });
});

describe("many calls cost what they are, not their square", () => {
  /** One turn with `n` calls and their results. */
  const conversation = (idOf: (at: number) => string) => (n: number) => {
    const calls = Array.from({ length: n }, (_, at) => ({ id: idOf(at), function: { name: "f", arguments: "{}" } }));
    const results = calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "r" }));
    const messages = [HELLO, { role: "assistant", tool_calls: calls }, HELLO, ...results];
    const read = readRequest({ messages, tools: [tool("f")] });
    return () => bedrockWire.writeRequest(read, { provider: "bedrock", model: CLAUDE, maxOutputTokens: undefined });
  };
  test.each<[name: string, idOf: (at: number) => string]>([
    ["of one id", () => "same"],
    ["of ids of their own", (at) => `id-${at}`],
    ["of ids that Bedrock refuses", (at) => `a:${at}`],
    ["of ids that are aliases already", (at) => (at % 2 === 0 ? `call_${at}` : "a b")],
  ])("%s", (_, idOf) => {
    expect(growthOf(400, conversation(idOf))).toBeLessThan(2.5);
  });

  test("each call has its own id, and each result its call's", () => {
    const ids = new CallIds();
    const given = ["a", "a", "b c", "call_1", "a", "b c"];
    const begun = given.map((id) => ids.begin(id));
    expect(new Set(begun).size).toBe(given.length);
    const answered = ["a", "b c", "a", "call_1", "a", "b c"].map((id) => ids.answer(id));
    expect(answered).toEqual([begun[0], begun[2], begun[1], begun[3], begun[4], begun[5]]);
    expect(ids.answer("a")).toBe("a");
    expect(ids.answer("nobody's id")).toMatch(/^call_\d+$/);
  });
});
