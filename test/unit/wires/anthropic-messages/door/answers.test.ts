/** Answers as clients of this wire read them: whole, and as a stream that keeps the protocol whatever the events. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Answer, AnswerEvent, Finish } from "../../../../../src/conversation/answer.ts";
import type { Bound, Part } from "../../../../../src/conversation/part.ts";
import { stringifyRaw } from "../../../../../src/lib/raw-json.ts";
import { messagesDoor } from "../../../../../src/wires/anthropic-messages/door/door.ts";
import { hasUnreadableArguments } from "../../../../../src/wires/anthropic-messages/door/write-answer.ts";
import { anthropicMessages } from "../../../../../src/wires/anthropic-messages/wire.ts";
import type { AnswerContext } from "../../../../../src/wires/wire.ts";
import { tries } from "../../../../support/tries.ts";

type Json = Readonly<Record<string, unknown>>;

const CONTEXT: AnswerContext = {
  ...{ model: "asked", provider: "anthropic", traceId: "tr_1", createdAt: 1_795_000_000, conversation: null },
};
const OWN: Bound = { wire: "anthropic-messages", provider: "anthropic" };
const FOREIGN: Bound = { wire: "gemini", provider: "google", signature: "c2ln" };
const COUNTS = { prompt: 30, completion: 7, cached: 10, cacheWrite: 5, reasoning: 2 };

const answerOf = (parts: readonly Part[], finish: Finish = { reason: "stop", native: "end_turn" }): Answer => ({
  ...{ id: "msg_1", model: "m", choices: [{ parts, finish }], usage: COUNTS, rawUsage: {} },
});
const text = (said: string): Part => ({ kind: "text", text: said, path: "" });
const call = (id: string, args: string, bound?: Bound): Part => ({
  ...{ kind: "call", id, name: "f", form: "function", args, path: "" },
  ...(bound === undefined ? {} : { bound }),
});
const thought = (said: string, bound?: Bound): Part => ({
  ...{ kind: "reasoning", text: said, form: "full", path: "" },
  ...(bound === undefined ? {} : { bound }),
});

/** What a client keeps of a stream, after it has been held to the protocol. */
function streamed(stream: string): { message: Json; content: Json[]; delta: Json; usage: Json } {
  const content: Record<string, unknown>[] = [];
  const inputs: string[] = [];
  let open = -1;
  let state: "none" | "begun" | "ended" | "stopped" = "none";
  let message: Json = {};
  let last: Json = {};
  for (const block of stream.split("\n\n").slice(0, -1)) {
    const [line = "", data = "", ...more] = block.split("\n");
    expect(more).toEqual([]);
    const event = JSON.parse(data.slice("data: ".length)) as Json & { index: number };
    expect(line).toBe(`event: ${String(event["type"])}`);
    switch (event["type"]) {
      case "message_start":
        expect(state).toBe("none");
        state = "begun";
        message = event["message"] as Json;
        break;
      case "content_block_start":
        expect([state, open, event.index]).toEqual(["begun", -1, content.length]);
        open = event.index;
        content.push({ ...(event["content_block"] as Json) });
        break;
      case "content_block_delta":
        expect([state, event.index]).toEqual(["begun", open]);
        apply(content[open] ?? {}, event["delta"] as Json, inputs, open);
        break;
      case "content_block_stop":
        expect([state, event.index]).toEqual(["begun", open]);
        open = -1;
        break;
      case "message_delta":
        expect([state, open]).toEqual(["begun", -1]);
        state = "ended";
        last = event;
        break;
      default:
        expect([state, event["type"]]).toEqual(["ended", "message_stop"]);
        state = "stopped";
    }
  }
  expect(state).toBe("stopped");
  for (const [at, input] of inputs.entries())
    if (input !== undefined) (content[at] as Record<string, unknown>)["input"] = JSON.parse(input);
  return { message, content, delta: last["delta"] as Json, usage: last["usage"] as Json };
}

function apply(block: Record<string, unknown>, delta: Json, inputs: string[], at: number): void {
  const { type, text: more, thinking, signature, partial_json: json, citation } = delta;
  if (type === "text_delta") block["text"] = String(block["text"]) + String(more);
  else if (type === "thinking_delta") block["thinking"] = String(block["thinking"]) + String(thinking);
  else if (type === "signature_delta") block["signature"] = signature;
  else if (type === "citations_delta") block["citations"] = [...((block["citations"] ?? []) as Json[]), citation];
  else if (type === "input_json_delta") inputs[at] = (inputs[at] ?? "") + String(json);
  else throw new Error(`unknown delta ${String(type)}`);
}

const write = (events: readonly AnswerEvent[]): string => {
  const writer = messagesDoor.openWriter(CONTEXT);
  return events.map((event) => writer.write([event])).join("") + writer.end();
};

describe("whole answers", () => {
  test("members, usage in this wire's convention, and exact inputs", () => {
    const parts = [thought("Hm.", { ...OWN, signature: "c2ln" }), text("Looking."), call("a", '{"b":1.0, "10":1}')];
    const written = stringifyRaw(messagesDoor.writeAnswer(answerOf(parts, { reason: "tool_calls" }), CONTEXT));
    expect(written).toContain('"input":{"b":1.0, "10":1}');
    expect(JSON.parse(written)).toEqual({
      ...{ id: "msg_1", type: "message", role: "assistant", model: "m", stop_reason: "tool_use", stop_sequence: null },
      content: [
        { type: "thinking", thinking: "Hm.", signature: "c2ln" },
        { type: "text", text: "Looking." },
        { type: "tool_use", id: "a", name: "f", input: { b: 1, 10: 1 } },
      ],
      usage: {
        ...{ input_tokens: 15, cache_read_input_tokens: 10, cache_creation_input_tokens: 5, output_tokens: 7 },
        cache_creation: { ephemeral_5m_input_tokens: 5, ephemeral_1h_input_tokens: 0 },
        output_tokens_details: { thinking_tokens: 2 },
      },
    });
  });

  test.each<[Finish, boolean, string]>([
    [{ reason: "stop" }, false, "end_turn"],
    [{ reason: "stop", stopSequence: "END" }, false, "stop_sequence"],
    [{ reason: "length" }, false, "max_tokens"],
    [{ reason: "length", native: "model_context_window_exceeded" }, false, "model_context_window_exceeded"],
    [{ reason: "content_filter" }, false, "refusal"],
    [{ reason: "stop" }, true, "tool_use"],
    [{ reason: "tool_calls" }, true, "tool_use"],
    [{ reason: "length" }, true, "max_tokens"],
  ])("%j with a call %s is %s", (finish, hasCall, reason) => {
    const answer = answerOf(hasCall ? [call("a", "{}")] : [text("a")], finish);
    expect(messagesDoor.writeAnswer(answer, CONTEXT)["stop_reason"]).toBe(reason);
  });

  test("arguments that are no object are seen before anything is written", () => {
    expect(hasUnreadableArguments(answerOf([call("a", "{}")]))).toBe(false);
    expect(hasUnreadableArguments(answerOf([call("a", "[1]")]))).toBe(true);
    expect(hasUnreadableArguments(answerOf([call("a", '{"cut":')]))).toBe(true);
  });
});

describe("streams", () => {
  test("calls that come interleaved are written one behind the other", () => {
    const start = (index: number): AnswerEvent => ({
      ...{ kind: "call_start", choice: 0, index, id: `call_${index}`, name: "f", form: "function" },
    });
    const args = (index: number, piece: string): AnswerEvent => ({ kind: "call_args", choice: 0, index, text: piece });
    const { content, delta } = streamed(
      write([
        start(0),
        start(1),
        args(1, '{"b"'),
        args(0, '{"a":'),
        args(1, ":2}"),
        { kind: "call_end", choice: 0, index: 1 },
        args(0, "1}"),
        { kind: "finish", choice: 0, finish: { reason: "stop" } },
      ]),
    );
    expect(content).toEqual([
      { type: "tool_use", id: "call_0", name: "f", input: { a: 1 } },
      { type: "tool_use", id: "call_1", name: "f", input: { b: 2 } },
    ]);
    expect(delta["stop_reason"]).toBe("tool_use");
  });

  test("the last event has the usage and the router's member", () => {
    const writer = messagesDoor.openWriter(CONTEXT);
    writer.write([{ kind: "usage", counts: COUNTS, raw: {} }]);
    const stream = writer.end({ trace_id: "tr_1" });
    expect(stream).toContain('"flow":{"trace_id":"tr_1"}');
    expect(streamed(stream).usage).toMatchObject({ input_tokens: 15, output_tokens: 7 });
  });

  test("a break is this wire's error event", () => {
    const writer = messagesDoor.openWriter(CONTEXT);
    writer.write([{ kind: "text", choice: 0, text: "Half", begins: true }]);
    expect(writer.fail("It broke.")).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"It broke.","code":"stream_interrupted"},"request_id":"tr_1"}\n\n',
    );
  });

  const index = fc.nat(3);
  const words = fc.string({ maxLength: 6 });
  const event: fc.Arbitrary<AnswerEvent> = fc.oneof(
    fc.record({ kind: fc.constant("text" as const), choice: fc.constant(0), text: words, begins: fc.boolean() }),
    fc.record({
      ...{ kind: fc.constant("reasoning" as const), choice: fc.constant(0), text: words, begins: fc.boolean() },
      form: fc.constantFrom("full" as const, "summary" as const),
    }),
    fc.record({
      ...{ kind: fc.constant("bound" as const), choice: fc.constant(0) },
      of: fc.constantFrom("reasoning" as const, "text" as const, "own" as const),
      bound: fc.constantFrom(FOREIGN, { ...OWN, signature: "s" }, { ...OWN, encrypted: "e" }),
    }),
    fc.record({ kind: fc.constant("refusal" as const), choice: fc.constant(0), text: words }),
    fc.record({
      ...{ kind: fc.constant("call_start" as const), choice: fc.constant(0), index, id: words, name: words },
      form: fc.constant("function" as const),
      bound: fc.constantFrom(undefined, FOREIGN),
    }),
    fc.record({
      kind: fc.constant("call_args" as const),
      choice: fc.constant(0),
      index,
      text: fc.constantFrom("", "{}"),
    }),
    fc.record({ kind: fc.constant("call_end" as const), choice: fc.constant(0), index }),
    fc.record({
      ...{ kind: fc.constant("block" as const), choice: fc.constant(0) },
      bound: fc.constantFrom({ ...OWN, data: { type: "compaction" } }, { ...FOREIGN, data: { a: 1 } }),
    }),
    fc.record({
      ...{ kind: fc.constant("citation" as const), choice: fc.constant(0) },
      citation: fc.constantFrom<Json>({ type: "char_location" }, { type: "other" }),
    }),
    fc.constantFrom<AnswerEvent>(
      { kind: "start", id: "msg_2", model: "m" },
      { kind: "usage", counts: COUNTS, raw: {} },
      { kind: "extra", choice: null, members: { service_tier: "default" } },
      { kind: "media", choice: 0, media: "image", source: { image_url: { url: "data:image/png;base64,iVBORw==" } } },
      { kind: "finish", choice: 0, finish: { reason: "stop" } },
    ),
  );

  test("whatever the events, the protocol is kept", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        const stream = write(events.map((each) => (each.kind === "call_args" ? { ...each, text: "" } : each)));
        streamed(stream);
      }),
      { numRuns: tries(500) },
    );
  });
});

describe("what is written is read again", () => {
  const words = fc.stringMatching(/^[ -~]{0,10}[a-z]$/);
  const parts: fc.Arbitrary<Part[]> = fc.array(
    fc.oneof(
      words.map(text),
      fc
        .tuple(words, fc.base64String({ minLength: 4 }))
        .map(([said, signature]) => thought(said, { ...OWN, signature })),
      fc.base64String({ minLength: 4 }).map(
        (encrypted): Part => ({
          ...{ kind: "reasoning", text: "", form: "redacted", path: "", bound: { ...OWN, encrypted } },
        }),
      ),
      fc.tuple(fc.uuid(), fc.constantFrom("{}", '{"n":1.0}', '{"2":1,"1":2}')).map(([id, args]) => call(id, args)),
      fc.constant<Part>({
        kind: "block",
        path: "",
        bound: { ...OWN, data: { type: "server_tool_use", id: "s", input: { q: 1 } } },
      }),
    ),
    { maxLength: 6 },
  );

  test("whole answers", () => {
    fc.assert(
      fc.property(parts, (given) => {
        const finish: Finish = given.some(({ kind }) => kind === "call")
          ? { reason: "tool_calls", native: "tool_use" }
          : { reason: "stop", native: "end_turn" };
        const written = stringifyRaw(messagesDoor.writeAnswer(answerOf(given, finish), CONTEXT));
        const read = anthropicMessages.readAnswer(written, JSON.parse(written), CONTEXT);
        expect(read).toMatchObject({ ok: true, answer: { choices: [{ parts: given, finish }], usage: COUNTS } });
      }),
    );
  });

  test("streams, as the events that they were written from", () => {
    fc.assert(
      fc.property(parts, (given) => {
        const events = given.flatMap(eventsOf);
        const stream = write([{ kind: "start", id: "msg_1", model: "m" }, ...numbered(events)]);
        const reader = anthropicMessages.openReader(CONTEXT);
        const read = [...reader.push(new TextEncoder().encode(stream)), ...reader.end()];
        const kept = read.filter(({ kind }) => !["start", "finish", "usage", "extra"].includes(kind));
        expect(kept).toEqual(numbered(events));
      }),
    );
  });
});

function eventsOf(part: Part): AnswerEvent[] {
  switch (part.kind) {
    case "text":
      return [{ kind: "text", choice: 0, text: part.text, begins: true }];
    case "reasoning":
      return part.text === ""
        ? [{ kind: "bound", choice: 0, of: "own", bound: part.bound as Bound }]
        : [
            { kind: "reasoning", choice: 0, text: part.text, form: "full", begins: true },
            { kind: "bound", choice: 0, of: "reasoning", bound: part.bound as Bound },
          ];
    case "call":
      return [
        { kind: "call_start", choice: 0, index: 0, id: part.id, name: part.name, form: "function" },
        { kind: "call_args", choice: 0, index: 0, text: part.args },
        { kind: "call_end", choice: 0, index: 0 },
      ];
    case "block":
      return [{ kind: "block", choice: 0, bound: part.bound }];
    default:
      throw new Error(part.kind);
  }
}

/** Calls by their places. */
function numbered(events: readonly AnswerEvent[]): AnswerEvent[] {
  let calls = -1;
  return events.map((event) => {
    if (event.kind === "call_start") calls++;
    return "index" in event ? { ...event, index: calls } : event;
  });
}

describe("what other providers bound comes back in its place", () => {
  const given: Part[] = [
    thought("Hm.", FOREIGN),
    { kind: "reasoning", text: "", form: "redacted", path: "", bound: { ...FOREIGN, encrypted: "ZW5j" } },
    { kind: "text", text: "So.", path: "", bound: FOREIGN },
    thought("Unsigned."),
    call("a", '{"n":1.0}', { ...FOREIGN, data: { x: 1 } }),
    { kind: "block", path: "", bound: { wire: "bedrock", provider: "bedrock", data: { toolUse: {} } } },
    text("Done."),
  ];

  test("from a whole answer that the client sent back", () => {
    const written = stringifyRaw(messagesDoor.writeAnswer(answerOf(given), CONTEXT));
    const { content } = JSON.parse(written) as { content: Json[] };
    const body = { messages: [{ role: "assistant", content }] };
    const source = stringifyRaw({
      messages: [{ role: "assistant", content: messagesDoor.writeAnswer(answerOf(given), CONTEXT)["content"] }],
    });
    const [turn] = messagesDoor.readRequest(body, source).turns;
    expect(turn?.parts.map((part) => ({ ...part, path: "" }))).toEqual(given);
  });

  test("and not to another provider", () => {
    const { content } = JSON.parse(stringifyRaw(messagesDoor.writeAnswer(answerOf(given), CONTEXT))) as {
      content: Json[];
    };
    const conversation = messagesDoor.readRequest({
      messages: [
        { role: "assistant", content },
        { role: "user", content: "?" },
      ],
    });
    const written = anthropicMessages.writeRequest(conversation, {
      ...{ provider: "anthropic", model: "claude-opus-5", maxOutputTokens: undefined },
    });
    expect((JSON.parse(written.body) as { messages: Json[] }).messages[1]).toEqual({
      role: "assistant",
      content: [
        { type: "text", text: "So." },
        { type: "tool_use", id: "a", name: "f", input: { n: 1 } },
        { type: "text", text: "Done." },
      ],
    });
    expect(written.losses.map(({ code, weight }) => `${code} ${weight}`)).toEqual(Array(5).fill("bound harmless"));
  });
});
