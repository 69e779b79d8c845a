import fc from "fast-check";
import { expect, test } from "vitest";
import { argumentsText, CallArguments } from "../../../src/wires/call-arguments.ts";

const CASES: readonly (readonly [text: string, got: string])[] = [
  ["", "{}"],
  [" \n", "{}"],
  ["null", "{}"],
  [" null\n", "{}"],
  ["{}", "{}"],
  ['{"n":1.0}', '{"n":1.0}'],
  ['{"id":2512292042121000001}', '{"id":2512292042121000001}'],
  ["nu", "nu"],
  ["nullable", "nullable"],
  ['"null"', '"null"'],
  ['"{\\"n\\":1.0}"', '{"n":1.0}'],
  [' "{}"', "{}"],
  ['"[1]"', '"[1]"'],
  ['"{"', '"{"'],
  ['"a" b', '"a" b'],
];

test.each(CASES)("%j as a whole: %s", (text, got) => {
  expect(argumentsText(text)).toBe(got);
});

test("in pieces it is the same, however it is cut", () => {
  const texts = fc.oneof(fc.constantFrom(...CASES.map(([text]) => text)), fc.string(), fc.json());
  fc.assert(
    fc.property(texts, fc.array(fc.nat(80), { maxLength: 6 }), (text, sizes) => {
      const reader = new CallArguments();
      const due: string[] = [];
      let from = 0;
      for (const size of [...sizes, text.length]) {
        due.push(reader.push(text.slice(from, from + size)));
        from += size;
      }
      due.push(reader.end());
      expect(due.join("")).toBe(argumentsText(text));
    }),
  );
});

test("what cannot be null any more passes at once", () => {
  const reader = new CallArguments();
  expect([reader.push(" "), reader.push("{"), reader.push(""), reader.push('"a'), reader.end()]).toEqual([
    "",
    " {",
    "",
    '"a',
    "",
  ]);
  const blank = new CallArguments();
  expect(blank.push(" ".repeat(200))).toHaveLength(200);
});
