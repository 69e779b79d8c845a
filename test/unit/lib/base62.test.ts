import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { digestBase62, encodeBase62, randomBase62 } from "../../../src/lib/text/base62.ts";

describe("encodeBase62", () => {
  test.each([
    { value: 0, length: 1, text: "0" },
    { value: 0, length: 4, text: "0000" },
    { value: 9, length: 1, text: "9" },
    { value: 10, length: 1, text: "A" },
    { value: 35, length: 1, text: "Z" },
    { value: 36, length: 1, text: "a" },
    { value: 61, length: 2, text: "0z" },
    { value: 62, length: 2, text: "10" },
    { value: 62 ** 8 - 1, length: 8, text: "zzzzzzzz" },
  ])("$value in $length characters is $text", ({ value, length, text }) => {
    expect(encodeBase62(value, length)).toBe(text);
  });

  test("texts sort like their numbers", () => {
    const number = fc.nat({ max: 62 ** 8 - 1 });
    fc.assert(
      fc.property(number, number, (left, right) => {
        const [a, b] = [encodeBase62(left, 8), encodeBase62(right, 8)];
        expect([a < b, a === b]).toEqual([left < right, left === right]);
      }),
    );
  });
});

describe("randomBase62", () => {
  test.each([0, 1, 12, 32, 1_000])("gives exactly %d characters of the alphabet", (length) => {
    expect(randomBase62(length)).toMatch(new RegExp(`^[0-9A-Za-z]{${length}}$`));
  });

  test("favours no character", () => {
    const counts = new Map<string, number>();
    const text = Array.from({ length: 62 }, () => randomBase62(2_000)).join("");
    for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts.size).toBe(62);
    // 2,000 expected of each, standard deviation 44: seven of them are far outside chance. A plain remainder would give
    // the first eight characters 25 % more.
    for (const count of counts.values()) expect(Math.abs(count - 2_000)).toBeLessThan(7 * 45);
  });
});

test("a digest gives the same characters for the same bytes, one per byte", () => {
  expect(digestBase62(new Uint8Array([0, 61, 62, 255, 9]), 4)).toBe("0z07");
  expect(digestBase62(new Uint8Array([1, 2, 3]), 3)).toBe("123");
});
