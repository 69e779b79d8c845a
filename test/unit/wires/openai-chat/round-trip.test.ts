/** What this wire writes it reads back: requests, whole answers and streams. And what it writes needs no mending. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerEvent, FinishReason } from "../../../../src/conversation/answer.ts";
import type { Controls, Conversation, Tool, Turn } from "../../../../src/conversation/conversation.ts";
import type { Bound, CallPart, Part } from "../../../../src/conversation/part.ts";
import { mendAnswer } from "../../../../src/wires/openai-chat/mend/answer.ts";
import { readAnswer } from "../../../../src/wires/openai-chat/read-answer.ts";
import { FrameReader } from "../../../../src/wires/openai-chat/read-frames.ts";
import { readRequest } from "../../../../src/wires/openai-chat/read-request.ts";
import { CleanWatch } from "../../../../src/wires/openai-chat/stream/clean-watch.ts";
import { FrameItems } from "../../../../src/wires/openai-chat/stream/items.ts";
import { ChatStreamWriter } from "../../../../src/wires/openai-chat/stream/writer.ts";
import { writeAnswer } from "../../../../src/wires/openai-chat/write-answer.ts";
import { writeRequest } from "../../../../src/wires/openai-chat/write-request.ts";
import { tries } from "../../../support/tries.ts";

const CONTEXT = { provider: "p", model: "m", traceId: "tr_1", createdAt: 7, conversation: null };
const P = { path: "" };

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const args = fc.oneof(
  fc.constantFrom("{}", '{"n":9007199254740993,"x":1.0}', '{ "10": 1, "2": 2 }'),
  fc.dictionary(text, fc.jsonValue(), { maxKeys: 3 }).map((value) => JSON.stringify(value)),
);
const name = fc.stringMatching(/^[a-z][a-z_-]{0,10}$/);
const cache = fc.constantFrom(undefined, undefined, { type: "ephemeral" });
const media = fc.oneof(
  fc.constant({ kind: "url", url: "https://x.example/a.png" } as const),
  fc.constant({ kind: "base64", mediaType: "image/png", data: "AAAA" } as const),
);

const textPart = fc.record({ kind: fc.constant("text" as const), text, path: fc.constant("") });
const userPart: fc.Arbitrary<Part> = fc
  .tuple(
    fc.oneof<fc.Arbitrary<Part>[]>(
      textPart,
      fc.record({ kind: fc.constant("image" as const), media, detail: fc.constantFrom(undefined, "low"), ...fixed(P) }),
      fc.constant({
        kind: "audio",
        media: { kind: "base64", mediaType: "audio/wav", data: "AA" },
        format: "wav",
        ...P,
      }),
      fc.constant({ kind: "video", media: { kind: "url", url: "https://x.example/a.mp4" }, ...P }),
      fc.constant({
        kind: "file",
        media: { kind: "base64", mediaType: "application/pdf", data: "AA" },
        name: "a.pdf",
        ...P,
      }),
    ),
    cache,
  )
  .map(([part, mark]) => (mark === undefined ? part : { ...part, cache: mark }));

function fixed<T extends object>(value: T): { [K in keyof T]: fc.Arbitrary<T[K]> } {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fc.constant(each)])) as never;
}

const bound = fc.constantFrom<Bound>(
  { wire: "anthropic-messages", provider: "anthropic", signature: "SIG" },
  { wire: "gemini", provider: "google", signature: "SIG" },
  { wire: "openai-responses", provider: "openai", encrypted: "E", id: "rs_1" },
);

/** Parts of an assistant's turn: in any order where something is signed, in the plain one where nothing is. */
const assistantParts = (serial: () => number): fc.Arbitrary<Part[]> => {
  const call = fc
    .record({ name, args })
    .map((each): CallPart => ({ kind: "call", id: `call_${serial()}`, form: "function", ...each, ...P }));
  const thought = fc.record({ text, bound }).map(
    (each): Part => ({
      kind: "reasoning",
      form: each.bound.encrypted === undefined ? "full" : "redacted",
      ...each,
      ...P,
    }),
  );
  const plain = fc
    .tuple(fc.option(text, { nil: null }), fc.option(text, { nil: null }), fc.array(call, { maxLength: 2 }))
    .map(([reasoning, said, calls]): Part[] => [
      ...(reasoning === null ? [] : [{ kind: "reasoning", text: reasoning, form: "full", ...P } as const]),
      ...(said === null ? [] : [{ kind: "text", text: said, ...P } as const]),
      ...calls,
    ]);
  const signed = fc
    .array(fc.oneof<fc.Arbitrary<Part>[]>(thought, textPart, call), { minLength: 1, maxLength: 6 })
    .filter((parts) => parts.some(({ kind }) => kind === "reasoning"));
  return fc.oneof(plain, signed).filter((parts) => parts.length > 0);
};

let made = 0;
const nextSerial = (): number => made++;

const turn: fc.Arbitrary<Turn> = fc.oneof<fc.Arbitrary<Turn>[]>(
  fc.record({
    role: fc.constantFrom("system" as const, "developer" as const),
    parts: fc.array(textPart, { minLength: 1, maxLength: 2 }),
    ...fixed(P),
  }),
  fc.record({
    role: fc.constant("user" as const),
    parts: fc.array(userPart, { minLength: 1, maxLength: 3 }),
    ...fixed(P),
  }),
  fc.record({ role: fc.constant("assistant" as const), parts: assistantParts(nextSerial), ...fixed(P) }),
  fc.record({ callId: name, parts: fc.array(textPart, { minLength: 1, maxLength: 2 }) }).map(
    ({ callId, parts }): Turn => ({
      role: "tool",
      parts: [{ kind: "result", callId, form: "function", parts, ...P }],
      ...P,
    }),
  ),
);

const tool: fc.Arbitrary<Tool> = fc.oneof<fc.Arbitrary<Tool>[]>(
  fc.record({ name, strict: fc.boolean() }).map(
    (each): Tool => ({
      kind: "function",
      ...each,
      description: "d",
      parameters: { type: "object", properties: { a: { type: "string" } } },
      ...P,
    }),
  ),
  name.map((each): Tool => ({ kind: "custom", name: each, description: "d", format: { type: "text" }, ...P })),
);

const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const number = fc.double({ min: 0, max: 2, noNaN: true });
const controls: fc.Arbitrary<Controls> = fc.record({
  maxOutputTokens: some(fc.integer({ min: 1, max: 9_999 })),
  temperature: some(number),
  topP: some(number),
  topK: some(fc.nat(50)),
  minP: some(number),
  stop: some(fc.array(text, { minLength: 1, maxLength: 3 })),
  seed: some(fc.nat()),
  n: some(fc.integer({ min: 1, max: 3 })),
  presencePenalty: some(number),
  frequencyPenalty: some(number),
  repetitionPenalty: some(number),
  logitBias: some(fc.constant({ "5": -1 })),
  logprobs: some(fc.boolean()),
  topLogprobs: some(fc.nat(5)),
  parallelToolCalls: some(fc.boolean()),
  responseFormat: some(
    fc.constantFrom<NonNullable<Controls["responseFormat"]>>(
      { kind: "json_object" },
      { kind: "json_schema", name: "n", description: "d", schema: { type: "object" }, strict: true },
    ),
  ),
  reasoning: some(fc.constantFrom("none", "low", "high").map((effort) => ({ effort, path: "reasoning_effort" }))),
  verbosity: some(fc.constant("low")),
  serviceTier: some(fc.constant("flex")),
  modalities: some(fc.constant(["text"])),
  promptCacheKey: some(text),
  promptCacheRetention: some(fc.constant("24h")),
  user: some(text),
  safetyIdentifier: some(text),
  metadata: some(fc.constant({ a: "b" })),
  store: some(fc.boolean()),
});

const conversation: fc.Arbitrary<Conversation> = fc
  .record({
    turns: fc.array(turn, { minLength: 1, maxLength: 5 }),
    tools: fc.uniqueArray(tool, { maxLength: 3, selector: (each) => each.name ?? "" }),
    controls,
    stream: fc.boolean(),
  })
  .chain((each) => {
    const [first] = each.tools;
    const own = first?.kind === "function" ? [{ kind: "tool", name: first.name, form: "function" } as const] : [];
    const choices = first === undefined ? [undefined] : [undefined, { kind: "required" } as const, ...own];
    return fc
      .constantFrom<Controls["toolChoice"]>(...choices)
      .map((toolChoice) => ({ ...each, controls: { ...each.controls, toolChoice }, others: [], spelling: {} }));
  });

/** Without what says where a thing stood, and what is only absent. */
function bare(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, each) => (key === "path" || key === "spelling" ? undefined : each)));
}

test("a request", () => {
  fc.assert(
    fc.property(conversation, (sent) => {
      const { fields, losses } = writeRequest(sent, "m");
      expect(losses).toEqual([]);
      expect(bare(readRequest(JSON.parse(JSON.stringify(fields))))).toEqual(bare(sent));
    }),
    { numRuns: tries(500) },
  );
});

const finish = fc.constantFrom<FinishReason>("stop", "length", "content_filter");
const finishOf = (parts: readonly Part[], reason: FinishReason): FinishReason =>
  reason === "stop" && parts.some(({ kind }) => kind === "call") ? "tool_calls" : reason;

test("a whole answer, which needs no mending", () => {
  const choice = fc.record({ parts: assistantParts(nextSerial), reason: finish });
  fc.assert(
    fc.property(fc.array(choice, { minLength: 1, maxLength: 3 }), (choices) => {
      const rawUsage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
      const wanted = choices.map(({ parts, reason }) => ({ parts, finish: { reason: finishOf(parts, reason) } }));
      const body = writeAnswer({ id: "i", model: "m", choices: wanted, usage: null, rawUsage }, CONTEXT);
      const written = JSON.stringify(body);
      expect(mendAnswer(written, JSON.parse(written), { seed: "s" }).text).toBe(written);
      const read = readAnswer(JSON.parse(written));
      expect(read).toMatchObject({ id: "i", model: "m", rawUsage });
      expect(bare(read.choices.map(({ parts }) => parts))).toEqual(bare(wanted.map(({ parts }) => parts)));
      expect(read.choices.map((each) => each.finish.reason)).toEqual(wanted.map((each) => each.finish.reason));
    }),
    { numRuns: tries(500) },
  );
});

/** The events of a turn, each part in pieces. */
function eventsOf(parts: readonly Part[], choice: number, reason: FinishReason): AnswerEvent[] {
  const events: AnswerEvent[] = [];
  let index = 0;
  for (const part of parts) {
    if (part.kind === "text") for (const piece of part.text) events.push({ kind: "text", choice, text: piece });
    else if (part.kind === "reasoning") events.push({ kind: "reasoning", choice, text: part.text, form: "full" });
    else if (part.kind === "call") {
      events.push({ kind: "call_start", choice, index, id: part.id, name: part.name, form: part.form });
      for (const piece of part.args.match(/.{1,5}/gsu) ?? [])
        events.push({ kind: "call_args", choice, index, text: piece });
      events.push({ kind: "call_end", choice, index: index++ });
    }
  }
  return [...events, { kind: "finish", choice, finish: { reason } }];
}

/** What all pieces add up to, by choice. */
function summed(events: readonly AnswerEvent[]) {
  const choices = new Map<
    number,
    { text: string; reasoning: string; calls: object[]; args: string[]; finish: string | undefined }
  >();
  for (const event of events) {
    if (!("choice" in event) || event.choice === null) continue;
    const found = choices.get(event.choice) ?? { text: "", reasoning: "", calls: [], args: [], finish: undefined };
    choices.set(event.choice, found);
    if (event.kind === "text") found.text += event.text;
    else if (event.kind === "reasoning") found.reasoning += event.text;
    else if (event.kind === "call_start")
      found.calls[event.index] = { id: event.id, name: event.name, form: event.form };
    else if (event.kind === "call_args") found.args[event.index] = (found.args[event.index] ?? "") + event.text;
    else if (event.kind === "finish") found.finish = event.finish.reason;
  }
  return [...choices].sort(([a], [b]) => a - b);
}

describe("a stream", () => {
  const unsigned = assistantParts(nextSerial).map((parts) =>
    parts.map((part): Part => (part.kind === "reasoning" ? { ...part, bound: undefined } : part)),
  );
  const stream = fc
    .array(fc.record({ parts: unsigned, reason: finish }), { minLength: 1, maxLength: 2 })
    .map((choices) => choices.flatMap(({ parts, reason }, choice) => eventsOf(parts, choice, finishOf(parts, reason))));

  test("is read back as it was written, and needs no mending", () => {
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 50 }), (events, size) => {
        const writer = new ChatStreamWriter(CONTEXT);
        const written = writer.write([{ kind: "start", id: "i", model: "m" }, ...events]) + writer.end();
        const bytes = Buffer.from(written);
        const frames = new FrameReader({ seed: "s" });
        expect([...frames.push(bytes), ...frames.end()].map(({ raw }) => raw).join("")).toBe(written);
        const watch = new CleanWatch();
        watch.add(written);
        expect(watch.isUnclean).toBe(false);
        const items = new FrameItems(new FrameReader({ seed: "s" }), "extras");
        const read = [];
        for (let at = 0; at < bytes.length; at += size) read.push(...items.push(bytes.subarray(at, at + size)));
        read.push(...items.end());
        expect(summed(read.flatMap((item) => item.events))).toEqual(summed(events));
        expect(read.at(-1)?.ends).toBe(true);
      }),
      { numRuns: tries(300) },
    );
  });

  const signed = fc
    .record({ parts: assistantParts(nextSerial), reason: finish })
    .map(({ parts, reason }) => eventsOf(parts, 0, finishOf(parts, reason)));
  const boundIn = (events: readonly AnswerEvent[]): unknown[] =>
    events.flatMap((event) => (event.kind === "bound" ? [{ ...event.bound, data: 0 }] : []));

  test("is read for another wire with everything that was signed, in its order", () => {
    fc.assert(
      fc.property(signed, (events) => {
        const writer = new ChatStreamWriter(CONTEXT);
        const written = writer.write([{ kind: "start", id: "i", model: "m" }, ...events]) + writer.end();
        const items = new FrameItems(new FrameReader({ seed: "s" }), "parts");
        const read = [...items.push(Buffer.from(written)), ...items.end()].flatMap((item) => item.events);
        const wanted = boundIn(events).filter((bound) => carriesData(bound as Bound));
        expect(boundIn(read)).toEqual(wanted);
      }),
      { numRuns: tries(300) },
    );
  });
});

const carriesData = ({ signature, encrypted }: Bound): boolean => signature !== undefined || encrypted !== undefined;
