/** How much a stream said whose bytes move natively, by which an answer without figures is charged. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ChatTailWatch } from "../../../src/wires/openai-chat/stream/tail-watch.ts";
import { tries } from "../../support/tries.ts";
import { chunks } from "../../support/upstream.ts";

const WORDS = "one two three four five six seven eight nine ten eleven twelve";
const EVENTS = chunks(WORDS, { finish: null, usage: null, done: false });

/** What is measured of `text` behind the first event with content, when it is read in these pieces. */
function unitsOf(pieces: readonly string[], [role = "", first = ""] = EVENTS, text = "one "): number {
  const events = [{ kind: "text", choice: 0, text } as const];
  const preamble = [
    { raw: role, isPlain: true, events: [], ends: false },
    { raw: first, isPlain: true, events, ends: false },
  ];
  const watch = new ChatTailWatch({ traceId: "tr_1", hasTools: false, text: role + first, preamble });
  for (const piece of pieces) watch.add(piece, piece.length);
  return watch.output().units;
}

test("does not depend on where it was cut into reads", () => {
  const text = EVENTS.slice(2).join("");
  const whole = unitsOf([text]);
  // The last event may have its empty line besides.
  expect([WORDS.length, WORDS.length + 1]).toContain(whole);
  expect(unitsOf(EVENTS.slice(2))).toBe(whole);
  const cuts = fc.uniqueArray(fc.nat(text.length), { maxLength: 20 });
  fc.assert(
    fc.property(cuts, (places) => {
      const ends = [...places.toSorted((a, b) => a - b), text.length];
      expect(unitsOf(ends.map((end, at) => text.slice(ends[at - 1] ?? 0, end)))).toBe(whole);
    }),
    { numRuns: tries(200) },
  );
});

test("does not depend on padding that makes all events equally long", () => {
  const said = ["I", ...Array.from({ length: 60 }, (_, at) => [" see", " nothing", ".", " reasonable"][at % 4] ?? "")];
  const padded = said.map((content) => {
    const chunk = { choices: [{ index: 0, delta: { content } }], obfuscation: "x".repeat(16 - content.length) };
    return `data: ${JSON.stringify(chunk)}\n\n`;
  });
  const [first = "", ...rest] = padded;
  const text = rest.join("");
  const length = said.join("").length;
  for (const size of [7, 100, 1_000, text.length]) {
    const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      text.slice(at * size, (at + 1) * size),
    );
    expect([length, length + 1]).toContain(unitsOf(pieces, ["", first], "I"));
  }
});
