/** Tools on the way out and calls on the way back, by kind. Whole and streamed alike. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { bedrock } from "../../../../src/providers/bedrock.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";
import { event } from "../../../support/aws-event-stream.ts";
import { streamedAnswer, wholeAnswer } from "../../../support/fixtures.ts";
import { tries } from "../../../support/tries.ts";

type Json = Record<string, unknown>;

const CLAUDE = "us.anthropic.claude-opus-5";
const OLD = "us.anthropic.claude-sonnet-4-5";
const UNFORCED = "us.anthropic.claude-opus-5-5";
const NOVA = "us.amazon.nova-2-lite-v1:0";
const LLAMA = "us.meta.llama3-3-70b-instruct-v1:0";
const HELLO = [{ role: "user", content: "hi" }];
const tool = (name: string, more: Json = {}): Json => ({ type: "function", function: { name, ...more } });
const contextOf = (fields: Json, model = CLAUDE): AnswerContext => ({
  ...{ asked: askedInChat(fields), model, traceId: "tr_1", createdAt: 1_795_000_000 },
});

async function send(fields: Json, model: string): Promise<{ body: Json; dropped: readonly string[] }> {
  const { body, droppedParams } = await bedrock.adapter.toUpstream({
    ...inChat({ messages: HELLO, ...fields }),
    ...{ model, params: {}, stream: false, maxOutputTokens: undefined },
    config: { baseUrl: "https://a.example", headers: {} },
  });
  return { body: JSON.parse(body) as Json, dropped: droppedParams };
}

/** `input`: JSON text, `undefined` for no member. */
function wholeCalls(calls: readonly { name: string; input?: string }[], fields: Json = {}): string[][] {
  const blocks = calls.map(
    ({ name, input }, at) =>
      `{"toolUse":{"toolUseId":"t${at}","name":"${name}"${input === undefined ? "" : `,"input":${input}`}}}`,
  );
  const text = `{"output":{"message":{"content":[${blocks.join(",")}]}},"stopReason":"tool_use"}`;
  const answer = asChat(bedrock.adapter.translation).toCompletion(JSON.parse(text), contextOf(fields), text);
  if (!answer.ok) throw new Error("no answer");
  return wholeAnswer(answer.completion).toolCalls.map(({ name, arguments: args }) => [name, args]);
}

function partsOf(events: readonly Buffer[], fields: Json = {}): StreamPart[] {
  const stream = asChat(bedrock.adapter.translation).openStream(contextOf(fields));
  return [...stream.push(Buffer.concat(events)), ...stream.end()];
}
const sse = (parts: readonly StreamPart[]): string =>
  parts.map((part) => ("chunk" in part ? `data: ${JSON.stringify(part.chunk)}\n\n` : "")).join("");

const startOf = (index: number, name: string): Buffer =>
  event("contentBlockStart", { contentBlockIndex: index, start: { toolUse: { toolUseId: `t${index}`, name } } });
const inputOf = (index: number, input: unknown): Buffer =>
  event("contentBlockDelta", { contentBlockIndex: index, delta: { toolUse: { input } } });
const STOP = event("messageStop", { stopReason: "tool_use" });

function streamedCalls(calls: readonly { name: string; pieces: readonly unknown[] }[], fields: Json = {}): string[][] {
  const events = calls.flatMap(({ name, pieces }, at) => [
    startOf(at, name),
    ...pieces.map((piece) => inputOf(at, piece)),
    event("contentBlockStop", { contentBlockIndex: at }),
  ]);
  const { toolCalls } = streamedAnswer(sse(partsOf([...events, STOP], fields)));
  return toolCalls.map(({ name, arguments: args }) => [name, args]);
}

describe("arguments", () => {
  const EXACT = '{"id":2512292042121000001,"10":1,"2":1.0,"s":"\\u00fc"}';
  test.each<[input: string | undefined, args: string]>([
    [undefined, "{}"],
    ["null", "{}"],
    ["{}", "{}"],
    [EXACT, EXACT],
    ['{ "a" : [1.0, {"b":2e0}] }', '{ "a" : [1.0, {"b":2e0}] }'],
    ['"{\\"a\\":1.0}"', '{"a":1.0}'],
    ['"null"', "{}"],
    ['{"a":1,"a":2.0}', '{"a":1,"a":2.0}'],
  ])("of a whole answer: %s is %s", (input, args) => {
    expect(wholeCalls([{ name: "f", ...(input === undefined ? {} : { input }) }])).toEqual([["f", args]]);
  });

  test.each<[pieces: unknown[], args: string]>([
    [[], "{}"],
    [[""], "{}"],
    [["null"], "{}"],
    [["nu", "", "ll"], "{}"],
    [["{", '"id":25122920421210', '00001,"2":1.0}'], '{"id":2512292042121000001,"2":1.0}'],
    [[{ a: 1 }], '{"a":1}'],
    [['{"half'], '{"half'],
  ])("in pieces: %j is %s", (pieces, args) => {
    expect(streamedCalls([{ name: "f", pieces }])).toEqual([["f", args]]);
  });
});

test("an alias leads back to the client's name, and the tool of the answer is ours alone", () => {
  const tools = ["a.b", "a_b", "flow_json_answer"].map((name) => tool(name));
  const names = ["a_b_2", "a_b", "flow_json_answer_2", "other"];
  const own = ["a.b", "a_b", "flow_json_answer", "other"];
  expect(
    wholeCalls(
      names.map((name) => ({ name, input: "{}" })),
      { tools },
    ).map(([name]) => name),
  ).toEqual(own);
  expect(
    streamedCalls(
      names.map((name) => ({ name, pieces: [] })),
      { tools },
    ).map(([name]) => name),
  ).toEqual(own);
});

test("a tool that takes free text is offered as a function with one text, and called as what it is", async () => {
  const tools = [{ type: "custom", custom: { name: "apply.patch", description: "p", format: { type: "text" } } }];
  const { body, dropped } = await send(
    { tools, tool_choice: { type: "custom", custom: { name: "apply.patch" } } },
    CLAUDE,
  );
  expect(body["toolConfig"]).toMatchObject({
    tools: [{ toolSpec: { name: "apply_patch", description: "p", inputSchema: { json: { required: ["input"] } } } }],
    toolChoice: { tool: { name: "apply_patch" } },
  });
  expect(dropped).toEqual(["tools[0].custom"]);
  const text = `{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"apply_patch","input":{"input":"*** a\\n"}}}]}},"stopReason":"tool_use"}`;
  const answer = asChat(bedrock.adapter.translation).toCompletion(JSON.parse(text), contextOf({ tools }), text);
  const wanted = [{ id: "t", name: "apply.patch", input: "*** a\n" }];
  expect(answer.ok && wholeAnswer(answer.completion).customCalls).toEqual(wanted);
  const parts = partsOf([startOf(0, "apply_patch"), inputOf(0, '{"inp'), inputOf(0, 'ut":"*** a\\n"}'), STOP], {
    tools,
  });
  expect(streamedAnswer(sse(parts)).customCalls).toEqual([{ ...wanted[0], id: "t0" }]);
});

describe("what is offered", () => {
  test("names, schemas, and tools in Converse's own spelling are built here", async () => {
    const choice = { type: "object", properties: { a: {} }, oneOf: [{ required: ["a"] }, {}] };
    const native = { name: "n.n", inputSchema: { json: { anyOf: [] } }, surprise: 1 };
    const tools = [
      tool("calendar.list/events", { parameters: choice }),
      { toolSpec: native, more: 1 },
      { cachePoint: { type: "x", ttl: "1h", more: 1 } },
      { systemTool: { name: "nova_code_interpreter", more: 1 } },
    ];
    const { body } = await send({ tools, tool_choice: tool("calendar.list/events") }, CLAUDE);
    expect(body["toolConfig"]).toEqual({
      tools: [
        {
          toolSpec: {
            name: "calendar_list_events",
            inputSchema: {
              json: {
                type: "object",
                properties: { a: {} },
                description: 'Of the arguments: exactly one of these must hold: {"required":["a"]} | {}',
              },
            },
          },
        },
        { toolSpec: { name: "n_n", inputSchema: { json: { type: "object", properties: {} } } } },
        { cachePoint: { type: "default", ttl: "1h" } },
        { systemTool: { name: "nova_code_interpreter" } },
      ],
      toolChoice: { tool: { name: "calendar_list_events" } },
    });
  });

  test.each<{ name: string; fields: Json; model: string; config: unknown; system: unknown; dropped: string[] }>([
    {
      name: "required, of a model that refuses to be forced",
      fields: { tools: [tool("f"), tool("g")], tool_choice: "required" },
      model: UNFORCED,
      config: { tools: expect.objectContaining({ length: 2 }), toolChoice: { auto: {} } },
      system: [{ text: "Answer by calling one of the tools. Do not answer in words." }],
      dropped: ["tool_choice"],
    },
    {
      name: "one by name, of such a model",
      fields: { tools: [tool("f"), tool("g.h")], tool_choice: tool("g.h") },
      model: UNFORCED,
      config: { tools: [{ toolSpec: expect.objectContaining({ name: "g_h" }) }], toolChoice: { auto: {} } },
      system: [{ text: "Answer by calling the tool `g_h`. Do not answer in words." }],
      dropped: ["tool_choice"],
    },
    {
      name: "one by name, of a model without any choice",
      fields: { tools: [tool("f"), tool("g")], tool_choice: tool("g") },
      model: LLAMA,
      config: { tools: [{ toolSpec: expect.objectContaining({ name: "g" }) }] },
      system: [{ text: "Answer by calling the tool `g`. Do not answer in words." }],
      dropped: ["tool_choice"],
    },
    {
      name: "any JSON, of a model that refuses to be forced",
      fields: { response_format: { type: "json_object" } },
      model: UNFORCED,
      config: undefined,
      system: [{ text: expect.stringMatching(/^Answer with one JSON object/) }],
      dropped: [],
    },
    {
      name: "any JSON beside tools, of such a model",
      fields: { response_format: { type: "json_object" }, tools: [tool("f")] },
      model: UNFORCED,
      config: { tools: [{ toolSpec: expect.objectContaining({ name: "f" }) }] },
      system: [{ text: expect.stringMatching(/^Answer with one JSON object/) }],
      dropped: [],
    },
  ])("$name", async ({ fields, model, config, system, dropped }) => {
    const sent = await send(fields, model);
    expect(sent.body["toolConfig"]).toEqual(config);
    expect(sent.body["system"]).toEqual(system);
    expect(sent.dropped).toEqual(dropped);
  });

  test("a schema of a model that refuses to be forced is decoded by, open or not", async () => {
    const schema = { type: "object", additionalProperties: true };
    const format = { type: "json_schema", json_schema: { name: "n", schema } };
    const { body } = await send({ response_format: format }, UNFORCED);
    expect(body["toolConfig"]).toBeUndefined();
    expect(body["outputConfig"]).toMatchObject({ textFormat: { type: "json_schema" } });
  });

  test("a schema beside the type is one", async () => {
    const schema = { type: "object", properties: {}, additionalProperties: false };
    const { body } = await send({ response_format: { type: "json_object", schema } }, CLAUDE);
    expect(body["outputConfig"]).toMatchObject({ textFormat: { structure: { jsonSchema: { name: "answer" } } } });
  });
});

describe("thinking and what it cannot go with", () => {
  test.each<{ name: string; fields: Json; model: string; got: unknown; dropped?: string[] }>([
    {
      name: "adaptive thinking stays beside a forced call",
      fields: { reasoning_effort: "high", tools: [tool("f")], tool_choice: "required" },
      model: CLAUDE,
      got: { thinking: { type: "adaptive", display: "summarized" }, output_config: { effort: "high" } },
    },
    {
      name: "a budget gives way to it",
      fields: { reasoning_effort: "high", tools: [tool("f")], tool_choice: "required" },
      model: OLD,
      got: undefined,
      dropped: ["reasoning_effort"],
    },
    {
      name: "off, where it is on by itself",
      fields: { reasoning_effort: "none" },
      model: CLAUDE,
      got: { thinking: { type: "disabled" } },
    },
    {
      name: "off, where it cannot be",
      fields: { thinking: { type: "disabled" } },
      model: UNFORCED,
      got: { output_config: { effort: "low" } },
      dropped: ["thinking"],
    },
    {
      name: "off, where it is off",
      fields: { reasoning: { enabled: false } },
      model: "anthropic.claude-opus-4-8",
      got: undefined,
    },
    {
      name: "the least of gpt-oss",
      fields: { reasoning_effort: "minimal" },
      model: "openai.gpt-oss-20b-1:0",
      got: { reasoning_effort: "low" },
    },
    {
      name: "the most of gpt-oss",
      fields: { reasoning_effort: "xhigh" },
      model: "openai.gpt-oss-20b-1:0",
      got: { reasoning_effort: "high" },
    },
    {
      name: "the most of Nova",
      fields: { reasoning_effort: "max" },
      model: NOVA,
      got: { reasoningConfig: { type: "enabled", maxReasoningEffort: "high" } },
    },
  ])("$name", async ({ fields, model, got, dropped = [] }) => {
    const sent = await send(fields, model);
    expect(sent.body["additionalModelRequestFields"]).toEqual(got);
    expect(sent.dropped).toEqual(dropped);
  });
});

test("beyond the end of its scale the temperature is the highest there is, and named", async () => {
  const { body, dropped } = await send({ temperature: 1.7 }, OLD);
  expect(body["inferenceConfig"]).toEqual({ temperature: 1 });
  expect(dropped).toEqual(["temperature"]);
});

test("any answer, cut anywhere: the same events, and the same as if it had come at once", () => {
  const block = (index: number): fc.Arbitrary<Buffer[]> =>
    fc.oneof(
      fc
        .array(fc.string({ unit: "grapheme", minLength: 1 }), { minLength: 1, maxLength: 3 })
        .map((texts) => texts.map((text) => event("contentBlockDelta", { contentBlockIndex: index, delta: { text } }))),
      fc
        .tuple(fc.string(), fc.string())
        .map(([text, signature]) => [
          event("contentBlockDelta", { contentBlockIndex: index, delta: { reasoningContent: { text } } }),
          event("contentBlockDelta", { contentBlockIndex: index, delta: { reasoningContent: { signature } } }),
        ]),
      fc
        .array(fc.constantFrom("nu", "ll", "", '{"a"', ":1.0}"), { maxLength: 4 })
        .map((pieces) => [startOf(index, "f.g"), ...pieces.map((piece) => inputOf(index, piece))]),
      fc.constant<Buffer[]>([event("surprise", { contentBlockIndex: index })]),
    );
  const stream = fc
    .tuple(block(0), block(1), block(2), block(3), fc.constantFrom("end_turn", "tool_use", "max_tokens", "malformed_x"))
    .map(([a, b, c, d, stopReason]) => {
      const blocks = [a, b, c, d].flatMap((events, at) => [
        ...events,
        event("contentBlockStop", { contentBlockIndex: at }),
      ]);
      const end = [
        event("messageStop", { stopReason }),
        event("metadata", { usage: { inputTokens: 1, outputTokens: 2 } }),
      ];
      return Buffer.concat([event("messageStart", { role: "assistant" }), ...blocks, ...end]);
    });
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), (bytes, cuts) => {
      const fields = { tools: [tool("f.g")] };
      const whole = partsOf([bytes], fields);
      const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
      const reader = asChat(bedrock.adapter.translation).openStream(contextOf(fields));
      const parts = places.slice(1).flatMap((place, at) => reader.push(bytes.subarray(places[at], place)));
      expect([...parts, ...reader.end()]).toEqual(whole);
    }),
    { numRuns: tries(200) },
  );
});
