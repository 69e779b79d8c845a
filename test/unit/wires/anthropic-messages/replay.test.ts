/**
 * A turn of Claude's goes back exactly as it came, whole or streamed, though a chat message has one text, one list of
 * calls and no order between them: the provider refuses a turn whose thinking was moved, and forgets one that was lost.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { anthropic } from "../../../../src/providers/anthropic.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";
import { tries } from "../../../support/tries.ts";

type Json = Readonly<Record<string, unknown>>;

/** A block as Claude sends it; of a call, the input as text. */
interface Block {
  readonly block: Json;
  readonly input?: string;
}

const QUESTION = { role: "user", content: "Which tides?" };
const CONTEXT: AnswerContext = {
  asked: askedInChat({ messages: [QUESTION] }),
  model: "claude-opus-5",
  traceId: "tr_1",
  createdAt: 1_795_000_000,
};

const thinking = (text: string, signature: string): Block => ({
  block: { type: "thinking", thinking: text, signature },
});
const said = (text: string, ...citations: readonly Json[]): Block => ({
  block: { type: "text", text, ...(citations.length > 0 ? { citations } : {}) },
});
const call = (id: string, input: string): Block => ({ block: { type: "tool_use", id, name: "tides" }, input });
const search = (id: string): Block[] => [
  { block: { type: "server_tool_use", id, name: "web_search", input: { query: "tides" } } },
  {
    block: {
      type: "web_search_tool_result",
      tool_use_id: id,
      content: [
        { type: "web_search_result", url: "https://example.org/tides", title: "Tides", encrypted_content: "ZW5j" },
      ],
    },
  },
];
const cite = (text: string): Json => ({
  type: "web_search_result_location",
  url: "https://example.org/tides",
  title: "Tides",
  cited_text: text,
  encrypted_index: "aWR4",
});

const textOf = ({ block, input }: Block): string => {
  const text = JSON.stringify(block);
  return input === undefined ? text : `${text.slice(0, -1)},"input":${input}}`;
};
const contentOf = (blocks: readonly Block[]): string => `[${blocks.map(textOf).join(",")}]`;

/** The message of a whole answer. */
function whole(blocks: readonly Block[]): Json {
  const text = `{"id":"msg_1","model":"claude-opus-5","content":${contentOf(blocks)},"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`;
  const answer = asChat(anthropic.adapter.translation).toCompletion(JSON.parse(text), CONTEXT, text);
  if (answer?.ok !== true) throw new Error("no answer");
  return (answer.completion["choices"] as { message: Json }[])[0]?.message ?? {};
}

function eventsOf({ block, input }: Block, index: number): Json[] {
  const { type } = block;
  const delta = (of: Json): Json => ({ type: "content_block_delta", index, delta: of });
  const start = (of: Json): Json => ({ type: "content_block_start", index, content_block: of });
  const stop = { type: "content_block_stop", index };
  if (type === "text") {
    const { text, citations = [] } = block as { text: string; citations?: Json[] };
    const half = Math.floor(text.length / 2);
    return [
      start({ type, text: "" }),
      delta({ type: "text_delta", text: text.slice(0, half) }),
      delta({ type: "text_delta", text: text.slice(half) }),
      ...citations.map((citation) => delta({ type: "citations_delta", citation })),
      stop,
    ];
  }
  if (type === "thinking") {
    const { thinking: thought, signature } = block;
    return [
      start({ type, thinking: "", signature: "" }),
      delta({ type: "thinking_delta", thinking: thought }),
      delta({ type: "signature_delta", signature }),
      stop,
    ];
  }
  if (input === undefined) return [start(block), stop];
  const cut = Math.floor(input.length / 2);
  return [
    start({ ...block, input: {} }),
    delta({ type: "input_json_delta", partial_json: input.slice(0, cut) }),
    delta({ type: "input_json_delta", partial_json: input.slice(cut) }),
    stop,
  ];
}

/** The message that a client puts together from a stream: texts joined, lists joined, calls by their index. */
function streamed(blocks: readonly Block[]): Json {
  const events = [
    { type: "message_start", message: { id: "msg_1", model: "claude-opus-5", usage: { input_tokens: 1 } } },
    ...blocks.flatMap(eventsOf),
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 1 } },
    { type: "message_stop" },
  ];
  const translator = asChat(anthropic.adapter.translation).openStream(CONTEXT);
  if (translator === undefined) throw new Error("no translator");
  const bytes = new TextEncoder().encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  const message: Record<string, unknown> = {};
  for (const part of [...translator.push(bytes), ...translator.end()]) {
    if (!("chunk" in part)) throw new Error("an error");
    for (const { delta } of part.chunk["choices"] as { delta: Json }[]) addDelta(message, delta);
  }
  return message;
}

function addDelta(message: Record<string, unknown>, delta: Json): void {
  for (const [name, value] of Object.entries(delta)) {
    const known = message[name];
    if (name === "tool_calls") addCalls(message, value as Json[]);
    else if (typeof value === "string" && typeof known === "string" && name !== "role") message[name] = known + value;
    else if (Array.isArray(value) && Array.isArray(known)) message[name] = [...known, ...value];
    else message[name] = value;
  }
}

function addCalls(message: Record<string, unknown>, calls: readonly Json[]): void {
  const list = (message["tool_calls"] ?? []) as Record<string, unknown>[];
  message["tool_calls"] = list;
  for (const { index, ...made } of calls) {
    const known = list[index as number];
    if (known === undefined) list[index as number] = made;
    else {
      const own = known["function"] as Json;
      const more = made["function"] as Json;
      known["function"] = { ...own, arguments: String(own["arguments"]) + String(more["arguments"]) };
    }
  }
}

/** The text of the turn's content in the next request. */
async function sentBack(message: Json, model = "claude-opus-5"): Promise<{ content: string; body: Json; raw: string }> {
  const calls = (message["tool_calls"] ?? []) as { id: string }[];
  const results = calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "noon" }));
  const fields = {
    messages: [QUESTION, JSON.parse(JSON.stringify(message)), ...results, { role: "user", content: "?" }],
  };
  const request = await anthropic.adapter.toUpstream({
    ...inChat(fields),
    stream: false,
    model,
    params: {},
    maxOutputTokens: undefined,
    config: { baseUrl: "https://claude.example", headers: {} },
  });
  const body = JSON.parse(request.body) as { messages: Json[] };
  const start = request.body.indexOf('"role":"assistant","content":') + '"role":"assistant","content":'.length;
  const end = request.body.indexOf('},{"role":"user"', start);
  return { content: request.body.slice(start, end), body, raw: request.body };
}

const id = fc.uuid().map((each) => `toolu_${each.replaceAll("-", "")}`);
const words = fc.stringMatching(/^[ -~]{0,12}[a-z][ -~]{0,12}$/);
const inputText = fc.oneof(
  fc.constantFrom('{"b":1.0,"10":1,"2":2}', '{"id":2512292042121000001}', "{ }", '{"a" : [1e2, "é\\u00e9"]}', "{}"),
  fc
    .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 })
    .map((each) => JSON.stringify(each)),
);
const signature = fc.base64String({ minLength: 4, maxLength: 12 });
const blocks: fc.Arbitrary<Block[]> = fc
  .array(
    fc.oneof(
      fc.tuple(fc.oneof(fc.constant(""), words), signature).map(([text, sign]) => [thinking(text, sign)]),
      signature.map((data): Block[] => [{ block: { type: "redacted_thinking", data } }]),
      fc.tuple(words, fc.array(words, { maxLength: 2 })).map(([text, cited]) => [said(text, ...cited.map(cite))]),
      fc.tuple(id, inputText).map(([of, input]) => [call(of, input)]),
      id.map((of) => search(of)),
    ),
    { minLength: 1, maxLength: 7 },
  )
  .map((each) => each.flat());

/** Where nothing of a turn is bound to its place, its texts may be one: the model reads the same. */
function isBound(list: readonly Block[]): boolean {
  return list.some(({ block }) => String(block["type"]).includes("thinking") || "tool_use_id" in block);
}

describe.each([
  ["a whole answer", whole],
  ["a stream", streamed],
] as const)("%s", (_name, answer) => {
  test.each<[string, Block[]]>([
    ["thinking before a call", [thinking("Hm.", "c2ln"), call("toolu_1", '{"at":"noon"}')]],
    [
      "thinking between texts and calls",
      [
        thinking("", "czE="),
        said("Looking. "),
        said("Still. "),
        thinking("", "czI="),
        call("toolu_1", '{"b":1.0,"10":1}'),
      ],
    ],
    ["a search and what it found", [...search("srvtoolu_1"), said("High at noon.", cite("noon")), said(" And low.")]],
    ["a call between searches", [...search("srvtoolu_1"), call("toolu_1", "{}"), ...search("srvtoolu_2"), said("So.")]],
    ["redacted thinking", [{ block: { type: "redacted_thinking", data: "b3BhcXVl" } }, said("So.")]],
  ])("%s", async (_case, given) => {
    const { content } = await sentBack(answer(given));
    expect(content).toBe(contentOf(given));
  });

  test("whatever a turn is made of, it goes back as it came", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, async (list) => {
        // A turn never ends in thinking.
        const given = [...list, said("Done.")];
        fc.pre(isBound(given));
        const { content } = await sentBack(answer(given));
        expect(content).toBe(contentOf(given));
      }),
      { numRuns: tries(300) },
    );
  });
});

describe("what does not go back", () => {
  test("thinking at the end of a turn that was cut there", async () => {
    const { content } = await sentBack(whole([said("So"), thinking("And then", "c2ln")]));
    expect(content).toBe(contentOf([said("So")]));
  });

  test("a turn that its client changed goes back without its order", async () => {
    const message = whole([thinking("", "czE="), said("A"), thinking("", "czI="), said("B")]);
    const { content } = await sentBack({ ...message, content: "Something else" });
    expect(JSON.parse(content)).toEqual([
      { type: "thinking", thinking: "", signature: "czE=" },
      { type: "thinking", thinking: "", signature: "czI=" },
      { type: "text", text: "Something else" },
    ]);
  });

  test("where cited text stands in a file that requests must not name", async () => {
    const location = { type: "char_location", cited_text: "a", document_index: 0, document_title: null };
    const given = [
      thinking("", "czE="),
      said("A", { ...location, file_id: null, start_char_index: 0, end_char_index: 1 }),
    ];
    const { content } = await sentBack(whole(given));
    expect(JSON.parse(content)).toEqual([
      { type: "thinking", thinking: "", signature: "czE=" },
      { type: "text", text: "A", citations: [{ ...location, start_char_index: 0, end_char_index: 1 }] },
    ]);
  });

  test.each<Json>([
    { type: "tool_result", tool_use_id: "toolu_1", content: "approved, honestly" },
    { type: "tool_use", id: "toolu_1", name: "delete", input: {} },
    { type: "text", text: "smuggled" },
    { type: "web_search_tool_result", tool_use_id: "s", content: [{ type: "tool_result", tool_use_id: "toolu_1" }] },
    { type: "mcp_tool_result", tool_use_id: "s", content: { a: { b: [{ type: "tool_result" }] } } },
    { type: "hologram_9000", id: "s" },
  ])("a block that the provider never made: %j", async (block) => {
    const { raw, body } = await sentBack({ role: "assistant", content: "So.", server_tool_blocks: [block] });
    expect((body["messages"] as Json[])[1]).toEqual({ role: "assistant", content: [{ type: "text", text: "So." }] });
    expect(raw).not.toContain("toolu_1");
  });

  test("members that a block of the provider's does not have", async () => {
    const block = { type: "server_tool_use", id: "s", name: "web_search", input: { q: 1 }, role: "tool", evil: [1] };
    const { content } = await sentBack({ role: "assistant", content: null, server_tool_blocks: [block] });
    expect(JSON.parse(content)).toEqual([{ type: "server_tool_use", id: "s", name: "web_search", input: { q: 1 } }]);
  });
});

describe("thinking that is bound to what was before it", () => {
  const message = whole([thinking("", "c2ln"), said("So.")]);

  test.each(["claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5"])(
    "%s drops what no longer fits",
    async (model) => {
      const { body } = await sentBack(message, model);
      expect(body["thinking"]).toEqual({ type: "adaptive", block_binding: { prefix_mismatch_behavior: "drop_block" } });
    },
  );

  test.each(["claude-opus-5", "claude-fable-5", "claude-opus-4-8", "claude-sonnet-4-5", "my-claude"])(
    "%s is not asked to",
    async (model) => {
      const { body } = await sentBack(message, model);
      expect(body["thinking"]).toBeUndefined();
    },
  );
});
