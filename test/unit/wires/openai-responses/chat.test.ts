/** A chat request answered over the Responses wire, and its answer sent back in the next request. */

import { describe, expect, test } from "vitest";
import type { Json } from "../../../../src/conversation/part.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { type Bridge, bridged } from "../../../../src/wires/bridge.ts";
import { responsesWire } from "../../../../src/wires/openai-responses/wire.ts";
import { chunksOf } from "../../../support/answers.ts";
import { asChat } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";

const bridge: Bridge = bridged(
  {
    ...responsesWire,
    writeRequest: (conversation, target) => responsesWire.writeRequest(conversation, { ...target, reasons: true }),
  },
  "openai",
  ({ body, path }) => ({ url: path, headers: {}, body, droppedParams: [] }),
);

const tools = [
  { type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } },
  { type: "custom", custom: { name: "patch" } },
];
const user = { role: "user", content: "Go" };

async function upstream(messages: readonly unknown[]): Promise<Json> {
  const fields = { model: "flow/x", messages, tools };
  const call = {
    ...{ ...inChat(fields), stream: true, model: "gpt-test", params: {} },
    ...{ maxOutputTokens: undefined, config: { baseUrl: "", headers: {} } },
  };
  return JSON.parse((await bridge.toUpstream(call)).body) as Json;
}

const context = {
  asked: askedInChat({ messages: [user], tools }),
  model: "gpt-test",
  traceId: `tr_${"0".repeat(32)}`,
  createdAt: 1,
};

/** Remark, thought, search, two calls: an order that a chat message does not have. */
const OUTPUT: readonly Json[] = [
  { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }], encrypted_content: "gAAAA1" },
  {
    ...{ id: "msg_1", type: "message", role: "assistant", status: "completed", phase: "commentary" },
    content: [{ type: "output_text", text: "I look.", annotations: [], logprobs: [] }],
  },
  { id: "ws_1", type: "web_search_call", status: "completed", action: { type: "search", query: "q" } },
  { id: "rs_2", type: "reasoning", summary: [], encrypted_content: "gAAAA2" },
  {
    id: "fc_1",
    type: "function_call",
    status: "completed",
    call_id: "call_1",
    name: "look",
    arguments: '{"id":9007199254740993}',
  },
  { id: "ctc_1", type: "custom_tool_call", status: "completed", call_id: "call_2", name: "patch", input: "*** Begin" },
];
const USAGE = { input_tokens: 9, output_tokens: 5, output_tokens_details: { reasoning_tokens: 4 } };

/** What of the items has to be in the next request. */
const REPLAYED = [
  { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Hm." }], encrypted_content: "gAAAA1" },
  { type: "message", role: "assistant", phase: "commentary", content: [{ type: "output_text", text: "I look." }] },
  OUTPUT[2],
  { type: "reasoning", id: "rs_2", summary: [], encrypted_content: "gAAAA2" },
  { type: "function_call", call_id: "call_1", name: "look", arguments: '{"id":9007199254740993}' },
  { type: "custom_tool_call", call_id: "call_2", name: "patch", input: "*** Begin" },
];

function wholeMessage(): Json {
  const body = { id: "resp_1", model: "gpt-test-1", status: "completed", output: OUTPUT, usage: USAGE };
  const read = asChat(bridge.translation).toCompletion(body, context, JSON.stringify(body));
  if (!read.ok) throw new Error("not read");
  expect(read.completion).toMatchObject({
    object: "chat.completion",
    model: "gpt-test-1",
    usage: { prompt_tokens: 9 },
  });
  const [choice] = read.completion["choices"] as Json[];
  expect(choice?.["finish_reason"]).toBe("tool_calls");
  return choice?.["message"] as Json;
}

/** The message that a client puts together from a stream. */
function streamedMessage(): Json {
  const line = (event: Json): string => `data: ${JSON.stringify(event)}\n\n`;
  const text =
    line({ type: "response.created", response: { id: "resp_1", model: "gpt-test-1" } }) +
    OUTPUT.map((item, index) => {
      const added = { ...item, content: [], summary: [], arguments: "", input: "" };
      return (
        line({ type: "response.output_item.added", output_index: index, item: added }) +
        line({ type: "response.output_item.done", output_index: index, item })
      );
    }).join("") +
    line({ type: "response.completed", response: { output: [], usage: USAGE } });
  const translator = asChat(bridge.translation).openStream(context);
  const parts = chunksOf(text, [64]).flatMap((chunk) => translator?.push(chunk) ?? []);
  return messageOf([...parts, ...(translator?.end() ?? [])].map((part) => ("chunk" in part ? part.chunk : {})));
}

function messageOf(chunks: readonly Json[]): Json {
  const message: Record<string, unknown> = {};
  const calls: Json[] = [];
  for (const chunk of chunks) {
    const [choice] = chunk["choices"] as Json[];
    for (const [name, value] of Object.entries((choice?.["delta"] ?? {}) as Json)) {
      if (name === "tool_calls") for (const call of value as Json[]) addCall(calls, call);
      else if (Array.isArray(value)) message[name] = [...((message[name] as unknown[]) ?? []), ...value];
      else message[name] = typeof message[name] === "string" && name !== "role" ? message[name] + String(value) : value;
    }
  }
  return { ...message, tool_calls: calls };
}

function addCall(calls: Json[], { index, ...delta }: Json): void {
  const at = Number(index);
  const known = calls[at];
  if (known === undefined) {
    calls[at] = delta;
    return;
  }
  const [[member, inner] = ["", {}]] = Object.entries(delta) as [string, Json][];
  const before = known[member] as Json;
  const [[name, text] = ["", ""]] = Object.entries(inner);
  calls[at] = { ...known, [member]: { ...before, [name]: String(before[name]) + String(text) } };
}

describe.each([
  ["whole", wholeMessage],
  ["streamed", streamedMessage],
])("an answer read %s", (_, message) => {
  test("is a chat message with its calls, and encrypted thoughts as entries of reasoning_details", () => {
    expect(message()).toMatchObject({
      content: "I look.",
      reasoning_content: "Hm.",
      tool_calls: [
        { id: "call_1", type: "function", function: { name: "look", arguments: '{"id":9007199254740993}' } },
        { id: "call_2", type: "custom", custom: { name: "patch", input: "*** Begin" } },
      ],
    });
    expect(message()["reasoning_details"]).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          type: "reasoning.encrypted",
          id: "rs_1",
          data: "gAAAA1",
          format: "openai-responses-v1",
        }),
        expect.objectContaining({
          type: "reasoning.encrypted",
          id: "rs_2",
          data: "gAAAA2",
          format: "openai-responses-v1",
        }),
      ]),
    );
  });

  test("goes back item by item, in its order", async () => {
    const results = [
      { role: "tool", tool_call_id: "call_1", content: "found" },
      { role: "tool", tool_call_id: "call_2", content: "done" },
    ];
    const { input } = await upstream([user, message(), ...results]);
    expect((input as Json[]).slice(1)).toEqual([
      ...REPLAYED,
      { type: "function_call_output", call_id: "call_1", output: "found" },
      { type: "custom_tool_call_output", call_id: "call_2", output: "done" },
    ]);
  });

  test("goes back without its thoughts where a client dropped them", async () => {
    const { reasoning_details: _, reasoning_content: __, response_items: ___, ...kept } = message();
    const { input } = await upstream([user, kept]);
    expect((input as Json[]).slice(1).map(({ type }) => type)).toEqual([
      "message",
      "function_call",
      "custom_tool_call",
    ]);
  });
});

test("thoughts of another provider stay out", async () => {
  const details = [
    { type: "reasoning.encrypted", data: "x", id: "rs_1", format: "openai-responses-v1", provider: "azure" },
  ];
  const message = { role: "assistant", content: "Hi", reasoning_details: details };
  expect(JSON.stringify(await upstream([user, message, user]))).not.toContain('encrypted_content":');
});

test("a citation's place counts in the whole text", () => {
  const annotation = { type: "url_citation", url: "https://a.example", title: "A", start_index: 0, end_index: 2 };
  const part = (text: string, annotations: readonly Json[]): Json => ({ type: "output_text", text, annotations });
  const output = [{ id: "m", type: "message", content: [part("First. ", []), part("Hi", [annotation])] }];
  const body = { status: "completed", output };
  const whole = asChat(bridge.translation).toCompletion(body, context);
  const line = `data: ${JSON.stringify({ type: "response.completed", response: { output } })}\n\n`;
  const chunks = asChat(bridge.translation).openStream(context).push(new TextEncoder().encode(line)) ?? [];
  const streamed = messageOf(chunks.map((each) => ("chunk" in each ? each.chunk : {})));
  const [choice] = whole.ok ? (whole.completion["choices"] as Json[]) : [];
  for (const message of [choice?.["message"], streamed]) {
    expect(message).toMatchObject({
      annotations: [{ url_citation: { url: "https://a.example", start_index: 7, end_index: 9 } }],
    });
  }
});
