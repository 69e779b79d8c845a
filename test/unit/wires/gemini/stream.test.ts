/** A stream of Gemini as events: the same for every cut of its bytes, however it is framed. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { AnswerEvent } from "../../../../src/conversation/answer.ts";
import { geminiWire } from "../../../../src/wires/gemini/wire.ts";
import type { AnswerContext } from "../../../../src/wires/wire.ts";
import { tries } from "../../../support/tries.ts";
import { ending, type Json } from "./support.ts";

const CONTEXT: AnswerContext = {
  ...{ model: "gemini-x", provider: "google", traceId: "tr_1", createdAt: 1, conversation: null },
};

function read(chunks: Iterable<Uint8Array>): AnswerEvent[] {
  const reader = geminiWire.openReader(CONTEXT);
  return [...[...chunks].flatMap((chunk) => [...reader.push(chunk)]), ...reader.end()];
}
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const signature = fc.constantFrom({}, { thoughtSignature: "S" });
const words = fc.string({
  maxLength: 5,
  unit: fc.constantFrom("a", '"', "\\", "é", "😀", "\u2028", "\n", "data:", "{"),
});
const part: fc.Arbitrary<Json> = fc.oneof(
  fc.tuple(words, signature).map(([text, signed]) => ({ text, ...signed })),
  fc.tuple(words, signature).map(([text, signed]) => ({ text, thought: true, ...signed })),
  fc.tuple(words, signature).map(([text, signed]) => ({ functionCall: { name: "f", args: { text } }, ...signed })),
  fc.constant({ functionCall: { name: "g", willContinue: true } }),
  words.map((stringValue) => ({
    functionCall: { partialArgs: [{ jsonPath: "$.t", stringValue }], willContinue: stringValue.length > 2 },
  })),
  fc.constant({ inlineData: { mimeType: "image/png", data: "AAAA" } }),
  fc.constant({ executableCode: { code: "1" } }),
);
const event: fc.Arbitrary<Json> = fc.record(
  {
    candidates: fc.array(
      fc.record(
        {
          index: fc.constantFrom(0, 1),
          content: fc.record({ parts: fc.array(part, { maxLength: 3 }) }),
          finishReason: fc.constantFrom("STOP", "MAX_TOKENS", "MALFORMED_FUNCTION_CALL"),
        },
        { requiredKeys: ["content"] },
      ),
      { maxLength: 2 },
    ),
    usageMetadata: fc.record({ promptTokenCount: fc.nat(9), candidatesTokenCount: fc.nat(9) }),
    responseId: fc.constant("r1"),
  },
  { requiredKeys: [] },
);
const lineEnd = fc.constantFrom("\n", "\r\n", "\r");

test("any stream gives the same events wherever it is cut", () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 5 }),
      lineEnd,
      fc.constantFrom("", "data: [DONE]", ": comment", '{"error":{"code":503,"message":"Busy"}}', "id: 5"),
      fc.boolean(),
      fc.array(fc.nat(4_000), { maxLength: 10 }),
      (events, end, last, isClosed, cuts) => {
        const frames = events.map((each) => `data: ${JSON.stringify(each)}`);
        const text = [...frames, ...(last === "" ? [] : [last])].join(end + end) + (isClosed ? end + end : "");
        const whole = bytes(text);
        const wanted = read([whole]);
        const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)).toSorted((a, b) => a - b), whole.length];
        const pieces = places.slice(1).map((place, at) => whole.subarray(places[at], place));
        expect(read(pieces)).toEqual(wanted);
        expect(read([...whole].map((byte) => Uint8Array.of(byte)))).toEqual(wanted);
      },
    ),
    { numRuns: tries(600) },
  );
});

test("calls are counted without gaps, each begins, is told and ends, and a choice ends once", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 6 }), (events) => {
      const seen = read([bytes(events.map((each) => `data: ${JSON.stringify(each)}\n\n`).join(""))]);
      const calls = new Map<number, number>();
      const ended = new Set<number>();
      for (const [at, each] of seen.entries()) {
        if (each.kind === "call_start") {
          expect(each.index).toBe(calls.get(each.choice) ?? 0);
          calls.set(each.choice, each.index + 1);
          expect(seen.slice(at + 1, at + 3).map(({ kind }) => kind)).toEqual(["call_args", "call_end"]);
        }
        if (each.kind !== "finish") continue;
        expect(ended.has(each.choice)).toBe(false);
        ended.add(each.choice);
      }
      // An error is the last word, and it has no finish beside it.
      const error = seen.findIndex(({ kind }) => kind === "error");
      if (error !== -1) expect([error, ended.size]).toEqual([seen.length - 1, 0]);
    }),
    { numRuns: tries(600) },
  );
});

test("a picture of several megabytes arrives, an event beyond that does not", () => {
  const data = "A".repeat(3 * 1_048_576);
  const body = ending("STOP", [{ inlineData: { mimeType: "image/png", data } }]);
  const text = bytes(`data: ${JSON.stringify(body)}\n\n`);
  const reader = geminiWire.openReader(CONTEXT);
  const events: AnswerEvent[] = [];
  for (let at = 0; at < text.length; at += 65_536) {
    events.push(...reader.push(text.subarray(at, at + 65_536)));
    expect(reader.isOverlong).toBe(false);
  }
  const picture = [...events, ...reader.end()].find((each) => each.kind === "media");
  expect(picture?.source["image_url"]).toEqual({ url: `data:image/png;base64,${data}` });
  const endless = geminiWire.openReader(CONTEXT);
  for (let pushed = 0; pushed <= 8; pushed++) endless.push(bytes("x".repeat(1_048_576)));
  expect(endless.isOverlong).toBe(true);
});
