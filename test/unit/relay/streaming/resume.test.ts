/** Going on with a broken answer: nothing is said twice, nothing is left out, and two answers are never spliced. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerEvent } from "../../../../src/conversation/answer.ts";
import { CatchUp, SentText } from "../../../../src/relay/streaming/resume.ts";
import { FrameReader } from "../../../../src/wires/openai-chat/read-frames.ts";
import { FrameItems } from "../../../../src/wires/openai-chat/stream/items.ts";
import { ChatStreamWriter } from "../../../../src/wires/openai-chat/stream/writer.ts";
import { eventData } from "../../../support/sse.ts";

type Chunk = Readonly<Record<string, unknown>>;

const chunk = (delta: unknown, finish: string | null = null, more: object = {}): Chunk => ({
  id: "second",
  object: "chat.completion.chunk",
  model: "m",
  choices: [{ index: 0, delta, finish_reason: finish }],
  ...more,
});
const text = (content: string): Chunk => chunk({ content });
const thought = (reasoning_content: string): Chunk => chunk({ reasoning_content });
const STOP = chunk({}, "stop");
const USAGE: Chunk = { id: "second", choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } };
const FILTER: Chunk = { id: "second", choices: [], prompt_filter_results: [] };
const CALL = { tool_calls: [{ index: 0, id: "call", type: "function", function: { name: "f", arguments: "{}" } }] };

const encoder = new TextEncoder();
const event = (each: Chunk): string => `data: ${JSON.stringify(each)}\n\n`;

/** What each chunk says, as the pump reads it. */
function eventsOf(chunks: readonly Chunk[]): AnswerEvent[][] {
  const reader = new FrameItems(new FrameReader({ seed: "seed" }), "extras");
  return chunks.map((each) => reader.push(encoder.encode(event(each))).flatMap(({ events }) => [...events]));
}

function sentBy(chunks: readonly Chunk[]): SentText {
  const sent = new SentText();
  for (const events of eventsOf(chunks)) sent.note(events);
  return sent;
}

const CONTEXT = { provider: "openai", model: "m", traceId: "t", createdAt: 1, conversation: null };

/** The chunks that pass of each of `second`, up to the first that differs. */
function passedOf(first: readonly Chunk[], second: readonly Chunk[]): (Chunk[] | "differs")[] {
  const catchUp = new CatchUp(sentBy(first));
  const writer = new ChatStreamWriter(CONTEXT);
  for (const [at, events] of eventsOf(first).entries()) writer.skip(events, event(first[at] ?? {}));
  const passed: (Chunk[] | "differs")[] = [];
  for (const events of eventsOf(second)) {
    const rest = catchUp.rest(events);
    // Usage waits for the end, whoever told it.
    passed.push(
      rest === "differs"
        ? rest
        : eventData(writer.write(rest.filter(({ kind }) => kind !== "usage"))).map((data) => JSON.parse(data) as Chunk),
    );
    if (rest === "differs") break;
  }
  return passed;
}

/** All that the chunks say, as a client puts it together; `null` where nothing passes. */
function saidBy(passed: Chunk[] | "differs"): unknown {
  if (passed === "differs" || passed.length === 0) return passed === "differs" ? passed : null;
  const deltas = passed.map((each) => (each["choices"] as { delta?: object }[])[0]?.delta ?? {});
  const said: Record<string, unknown> = {};
  for (const [name, value] of deltas.flatMap((delta) => Object.entries(delta))) {
    const calls = said["tool_calls"] as { function: { arguments: string } }[] | undefined;
    // The arguments of a call come behind its begin.
    if (name === "tool_calls" && calls !== undefined) {
      calls[0]!.function.arguments += (value as typeof calls)[0]!.function.arguments;
    } else if (name !== "role") said[name] = value;
  }
  return said;
}

describe("what was sent", () => {
  test.each<{ name: string; chunks: Chunk[]; content?: string; reasoning?: string; isComparable?: false }>([
    { name: "nothing", chunks: [] },
    { name: "the role", chunks: [chunk({ role: "assistant", content: "" })] },
    { name: "text", chunks: [text("a"), text(""), text("b")], content: "ab" },
    { name: "null content and empty members", chunks: [chunk({ content: null, refusal: null, tool_calls: [] })] },
    { name: "no delta at all", chunks: [{ choices: [{ index: 0, finish_reason: "stop" }] }] },
    { name: "null for a delta", chunks: [chunk(null)] },
    { name: "chunks without choices", chunks: [USAGE, FILTER, {}, { choices: null }, { choices: ["x"] }] },
    { name: "a choice without its index", chunks: [{ choices: [{ delta: { content: "a" } }] }], content: "a" },
    { name: "reasoning by one name", chunks: [thought("r"), text("a")], reasoning: "r", content: "a" },
    { name: "reasoning by the other", chunks: [chunk({ reasoning: "r" })], reasoning: "r" },
    { name: "reasoning by both", chunks: [chunk({ reasoning: "r", reasoning_content: "r" })], reasoning: "r" },
    { name: "labels", chunks: [chunk({ content: "a", channel: "final", name: "vendor" })], content: "a" },
    {
      name: "reasoning with its details, and text behind",
      chunks: [thought("r"), chunk({ reasoning_details: [{ type: "x" }] }), text("a")],
      reasoning: "r",
      content: "a",
    },
    { name: "a surrogate pair in two pieces", chunks: [text("a\ud83c"), text("\udf0d")], content: "a\u{1F30D}" },
    { name: "a part of a tool call", chunks: [chunk(CALL)], isComparable: false },
    { name: "a legacy call", chunks: [chunk({ function_call: { name: "f" } })], isComparable: false },
    { name: "a refusal", chunks: [chunk({ refusal: "no" })], isComparable: false },
    { name: "sound", chunks: [chunk({ audio: { data: "x" } })], isComparable: false },
    { name: "images", chunks: [chunk({ images: [{}] })], isComparable: false },
    {
      name: "content in parts, mended",
      chunks: [chunk({ content: [{ type: "text", text: "a" }] })],
      content: "a",
    },
    { name: "reasoning that is no text", chunks: [chunk({ reasoning: [{}] })] },
    { name: "a member nobody knows", chunks: [chunk({ tool_plan: "first I" })], isComparable: false },
    {
      name: "probabilities",
      chunks: [{ choices: [{ index: 0, delta: { content: "a" }, logprobs: { content: [{}] } }] }],
      isComparable: false,
    },
    {
      name: "details of reasoning that may go on",
      chunks: [thought("r"), chunk({ reasoning_details: [{}] })],
      isComparable: false,
    },
    {
      name: "two choices",
      chunks: [{ choices: [{ delta: { content: "a" } }, { delta: { content: "b" } }] }],
      isComparable: false,
    },
    { name: "another choice", chunks: [{ choices: [{ index: 1, delta: { content: "a" } }] }], isComparable: false },
    { name: "more than a megabyte", chunks: Array(17).fill(text("x".repeat(65_536))), isComparable: false },
  ])("$name", ({ chunks, content = "", reasoning = "", isComparable = true }) => {
    const sent = sentBy(chunks);
    expect(sent.isComparable).toBe(isComparable);
    if (isComparable) expect({ content: sent.content, reasoning: sent.reasoning }).toEqual({ content, reasoning });
  });

  test("what cannot be compared stays so, whatever follows", () => {
    expect(sentBy([chunk(CALL), text("a"), text("b")]).isComparable).toBe(false);
  });

  test("an endless answer is not kept", () => {
    const sent = sentBy(Array(64).fill(text("x".repeat(65_536))));
    expect(sent.content.length).toBeLessThan(2_000_000);
  });
});

const D = "differs";
describe("the second answer", () => {
  test.each<{ name: string; first: Chunk[]; second: Chunk[]; rests: (object | null | "differs")[] }>([
    {
      name: "says the same and goes on",
      first: [text("one "), text("two ")],
      second: [chunk({ role: "assistant", content: "" }), text("one two "), text("three"), STOP],
      rests: [null, null, { content: "three" }, {}],
    },
    {
      name: "says the same in other pieces",
      first: [text("one two ")],
      second: [text("o"), text("ne t"), text("wo three"), STOP],
      rests: [null, null, { content: "three" }, {}],
    },
    {
      name: "ends where the first one broke",
      first: [text("one")],
      second: [text("one"), STOP, USAGE],
      rests: [null, {}, null],
    },
    {
      name: "says all of it in its last chunk",
      first: [text("one")],
      second: [chunk({ role: "assistant", content: "one two" }, "stop")],
      rests: [{ content: " two" }],
    },
    {
      name: "differs in the first character",
      first: [text("one")],
      second: [text("One"), STOP],
      rests: [D],
    },
    {
      name: "differs inside a chunk that begins alike",
      first: [text("one two")],
      second: [text("one "), text("too")],
      rests: [null, D],
    },
    {
      name: "differs in the last character that was sent, and goes on",
      first: [text("one")],
      second: [text("on"), text("t and on")],
      rests: [null, D],
    },
    {
      name: "is shorter",
      first: [text("one two")],
      second: [text("one"), STOP],
      rests: [null, D],
    },
    {
      name: "is shorter, and its last chunk has no delta",
      first: [text("one two")],
      second: [text("one"), { choices: [{ index: 0, finish_reason: "stop" }] }],
      rests: [null, D],
    },
    {
      name: "is shorter, and its last chunk has text",
      first: [text("one two")],
      second: [chunk({ content: "one t" }, "length")],
      rests: [D],
    },
    {
      name: "is nothing but an end",
      first: [text("one")],
      second: [chunk({ role: "assistant", content: null }), STOP],
      rests: [null, D],
    },
    {
      name: "calls a tool before it has said it all",
      first: [text("one two")],
      second: [text("one "), chunk(CALL)],
      rests: [null, D],
    },
    {
      name: "calls a tool behind the text",
      first: [text("one")],
      second: [text("one"), chunk(CALL), chunk({}, "tool_calls")],
      rests: [null, CALL, {}],
    },
    {
      name: "calls a tool in the chunk that catches up",
      first: [text("one")],
      second: [chunk({ content: "one", ...CALL }), chunk({}, "tool_calls")],
      rests: [CALL, {}],
    },
    {
      name: "refuses in place of the text",
      first: [text("one")],
      second: [chunk({ refusal: "no" })],
      rests: [D],
    },
    {
      name: "refuses behind the text",
      first: [text("one")],
      second: [chunk({ content: "one", refusal: null }), chunk({ refusal: "no" }), STOP],
      rests: [null, { refusal: "no" }, {}],
    },
    {
      name: "has content in parts",
      first: [text("one")],
      second: [
        chunk({
          content: [
            { type: "text", text: "one" },
            { type: "text", text: " two" },
          ],
        }),
        STOP,
      ],
      rests: [{ content: " two" }, {}],
    },
    {
      name: "has chunks without choices: none of them passes",
      first: [text("one")],
      second: [FILTER, USAGE, text("one"), FILTER, STOP, USAGE],
      rests: [null, null, null, null, {}, null],
    },
    {
      name: "has empty chunks, and one with usage",
      first: [text("one")],
      second: [text("on"), chunk({}), text("e"), chunk({ content: "" }), chunk({}, null, { usage: { x: 1 } }), STOP],
      rests: [null, null, null, null, null, {}],
    },
    {
      name: "splits a surrogate pair elsewhere",
      first: [text("a\u{1F30D}b")],
      second: [text("a\ud83c"), text("\udf0db\ud83c"), text("\udf0e"), STOP],
      rests: [null, { content: "\ud83c" }, { content: "\udf0e" }, {}],
    },
    {
      name: "goes on in the middle of a surrogate pair",
      first: [text("a\ud83c")],
      second: [text("a\u{1F30D}"), STOP],
      rests: [{ content: "\udf0d" }, {}],
    },
    {
      name: "differs in the second half of a surrogate pair",
      first: [text("a\u{1F30D}")],
      second: [text("a\u{1F30E}")],
      rests: [D],
    },
    {
      name: "may say anything when nothing was sent",
      first: [chunk({ role: "assistant", content: "" })],
      second: [chunk({ role: "assistant", content: "" }), thought("r"), text("one"), chunk(CALL), STOP],
      rests: [null, { reasoning_content: "r" }, { content: "one" }, CALL, {}],
    },
    {
      name: "thinks the same and goes on",
      first: [thought("I th")],
      second: [thought("I "), thought("think"), text("one"), STOP],
      rests: [null, { reasoning_content: "ink" }, { content: "one" }, {}],
    },
    {
      name: "thinks otherwise",
      first: [thought("I think")],
      second: [thought("I "), thought("doubt")],
      rests: [null, D],
    },
    { name: "thinks less", first: [thought("I think")], second: [thought("I"), text("one")], rests: [null, D] },
    { name: "does not think", first: [thought("I think")], second: [text("one")], rests: [D] },
    {
      name: "thinks under another name: the client reads on where it began",
      first: [thought("I th")],
      second: [chunk({ reasoning: "I think" }), text("one"), STOP],
      rests: [{ reasoning_content: "ink" }, { content: "one" }, {}],
    },
    {
      name: "thinks under both names",
      first: [chunk({ reasoning: "I th" })],
      second: [chunk({ reasoning: "I think", reasoning_content: "I think" }), STOP],
      rests: [{ reasoning: "ink" }, {}],
    },
    {
      name: "ends its thoughts and begins to speak in one chunk",
      first: [thought("I th")],
      second: [chunk({ reasoning_content: "I think", content: "one" }), STOP],
      rests: [{ reasoning_content: "ink", content: "one" }, {}],
    },
    {
      name: "thinks otherwise before the same text: its thoughts are dropped",
      first: [thought("I think"), text("one")],
      second: [thought("Well"), chunk({ reasoning: "!", reasoning_details: [{}] }), text("one two"), STOP],
      rests: [null, null, { content: " two" }, {}],
    },
    {
      name: "thinks before text that was sent without: its thoughts are dropped",
      first: [text("one")],
      second: [chunk({ reasoning_content: "Well", content: "one two", reasoning_details: [{}] }), STOP],
      rests: [{ content: " two" }, {}],
    },
    {
      name: "thinks once more behind the text",
      first: [text("one")],
      second: [text("one"), thought("hm"), chunk({ reasoning_details: [{}] }), text(" two"), STOP],
      rests: [null, { reasoning_content: "hm" }, { reasoning_details: [{}] }, { content: " two" }, {}],
    },
    {
      name: "has details of thoughts that were sent in part: they are dropped",
      first: [thought("I th")],
      second: [chunk({ reasoning_content: "I think", reasoning_details: [{}] }), chunk({ reasoning_details: [{}] })],
      rests: [{ reasoning_content: "ink" }, null],
    },
    {
      name: "has labels: they are no news",
      first: [thought("I"), text("one")],
      second: [chunk({ reasoning: "I", channel: "analysis" }), chunk({ content: "one", channel: "final" }), STOP],
      rests: [null, null, {}],
    },
  ])("$name", ({ first, second, rests }) => {
    expect(passedOf(first, second).map(saidBy)).toEqual(rests);
  });

  test("has the id of the first one in every chunk, and the model that answers now", () => {
    const first = [{ ...text("one"), id: "first", model: "before" }];
    const passed = passedOf(first, [text("one two"), STOP]).flat() as Chunk[];
    expect(passed.map(({ id, model }) => ({ id, model }))).toEqual([
      { id: "first", model: "m" },
      { id: "first", model: "m" },
    ]);
  });
});

interface Answer {
  readonly reasoning: string;
  readonly content: string;
}

/** `text` in pieces of the given lengths, over and over. Empty pieces are pieces. */
function piecesOf(whole: string, lengths: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(whole.slice(at, at + length));
    at += length;
  }
  return pieces;
}

interface Style {
  readonly lengths: readonly number[];
  /** Name of the reasoning, and whether the role, the border between thought and text and the end share a chunk. */
  readonly isShort: boolean;
  readonly isJoined: boolean;
}

function chunksOf({ reasoning, content }: Answer, { lengths, isShort, isJoined }: Style): Chunk[] {
  const name = isShort ? "reasoning" : "reasoning_content";
  const deltas: Record<string, unknown>[] = [
    ...(isJoined ? [] : [{ role: "assistant", content: "" }]),
    ...piecesOf(reasoning, lengths).map((piece) => ({ [name]: piece, content: isShort ? null : "" })),
    ...piecesOf(content, lengths).map((piece) => ({ content: piece })),
  ];
  const chunks = deltas.map((delta) => chunk(delta));
  if (!isJoined || deltas.length === 0) return [...chunks, STOP];
  return [...chunks.slice(0, -1), chunk(deltas.at(-1), "stop")];
}

/** What a client has of an answer. */
class Client {
  content = "";
  reasoning = "";
  isFinished = false;

  read(events: readonly AnswerEvent[]): void {
    for (const each of events) {
      if (each.kind !== "start") expect(this.isFinished).toBe(false);
      if (each.kind === "text") this.content += each.text;
      if (each.kind === "reasoning") this.reasoning += each.text;
      if (each.kind === "finish") this.isFinished = true;
    }
  }
}

const letters = fc.string({ unit: fc.constantFrom("a", "b", "\u{1F30D}", "\u{1F30E}", "é"), maxLength: 12 });
const anyStyle = fc.record({
  lengths: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 }).filter((all) => all.some(Boolean)),
  isShort: fc.boolean(),
  isJoined: fc.boolean(),
});
/** Answers that often begin alike. */
const anyAnswers = fc
  .record({
    reasoning: fc.oneof(fc.constant(""), letters),
    content: letters,
    tails: fc.array(letters, { maxLength: 4 }),
  })
  .chain(({ reasoning, content, tails }) => {
    const texts = [content, content, content, ...tails.map((tail) => content + tail), ...tails];
    const thoughts = [reasoning, reasoning, ...tails];
    const answer = fc.record({ reasoning: fc.constantFrom(...thoughts), content: fc.constantFrom(...texts) });
    return fc.array(fc.tuple(answer, anyStyle, fc.nat()), { minLength: 2, maxLength: 4 });
  });

/** By the definition, not by the code: does `answer` begin with what the client has? */
function beginsWith({ reasoning, content }: Answer, client: Client): boolean {
  if (client.content !== "") return content.startsWith(client.content);
  return reasoning.startsWith(client.reasoning);
}

test("whatever the texts, cuts and pieces: the last answer in full, or an end at the first character that differs", () => {
  let completed = 0;
  let given = 0;
  fc.assert(
    fc.property(anyAnswers, (answers) => {
      const client = new Client();
      const sent = new SentText();
      for (const [turn, [answer, style, cut]] of answers.entries()) {
        const all = chunksOf(answer, style);
        // Every answer but the last is cut somewhere before its end.
        const chunks = turn === answers.length - 1 ? all : all.slice(0, cut % all.length);
        const catchUp = turn === 0 ? null : new CatchUp(sent);
        const before = { content: client.content, reasoning: client.reasoning };
        let seen = { reasoning: "", content: "" };
        for (const each of eventsOf(chunks)) {
          const rest = catchUp === null ? each : catchUp.rest(each);
          const whole = new Client();
          whole.read(each);
          seen = { reasoning: seen.reasoning + whole.reasoning, content: seen.content + whole.content };
          if (rest === "differs") {
            // Nothing of it was let through, and up to here it could not have been told.
            expect(client).toMatchObject(before);
            expect(beginsWith(answer, client)).toBe(false);
            expect(isEarlier(seen, each, before)).toBe(true);
            given++;
            return;
          }
          client.read(rest);
          sent.note(rest);
        }
        expect(sent).toMatchObject({ content: client.content, reasoning: client.reasoning });
        if (turn < answers.length - 1) continue;
        expect(beginsWith(answer, { ...client, ...before } as Client)).toBe(true);
        expect(client.content).toBe(answer.content);
        expect(client.isFinished).toBe(true);
        if (before.content === "") expect(client.reasoning).toBe(answer.reasoning);
        else expect(client.reasoning).toBe(before.reasoning);
        completed++;
      }
    }),
    { numRuns: 2_000 },
  );
  // Both ends are really tried.
  expect(Math.min(completed, given)).toBeGreaterThan(250);
});

/** `last` is of the first chunk of which the difference could be seen: what was `seen` before it was still alike. */
function isEarlier(seen: Answer, last: readonly AnswerEvent[], sent: Answer): boolean {
  const whole = new Client();
  whole.read(last);
  const content = seen.content.slice(0, seen.content.length - whole.content.length);
  const reasoning = seen.reasoning.slice(0, seen.reasoning.length - whole.reasoning.length);
  if (sent.content !== "") return sent.content.startsWith(content);
  return sent.reasoning.startsWith(reasoning) && content === "";
}
