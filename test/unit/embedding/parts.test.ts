import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesPerValue, divide, fittingCount, MAX_ANSWER_BYTES, MAX_PART_BYTES } from "../../../src/embedding/parts.ts";

describe("a batch is divided", () => {
  test.each([
    { count: 1, most: 10, sizes: [1] },
    { count: 10, most: 10, sizes: [10] },
    { count: 11, most: 10, sizes: [6, 5] },
    { count: 2_048, most: 512, sizes: [512, 512, 512, 512] },
    { count: 2_048, most: 1_011, sizes: [683, 683, 682] },
    { count: 5, most: 1, sizes: [1, 1, 1, 1, 1] },
  ])("$count by $most", ({ count, most, sizes }) => {
    const parts = divide(new Array<number>(count).fill(1), most);
    expect(parts.map(({ start, end }) => end - start)).toEqual(sizes);
  });

  test("by tokens as well, and an input that is longer than a call goes alone", () => {
    const parts = divide([4, 4, 4, 20, 1, 1], 10, 8);
    expect(parts).toEqual([
      { start: 0, end: 2 },
      { start: 2, end: 3 },
      { start: 3, end: 4 },
      { start: 4, end: 6 },
    ]);
  });

  test("every input is in one part, in order, and no part is above a limit", () => {
    const tokens = fc.array(fc.nat(50), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(
        tokens,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 100 }),
        (each, most, maxTokens) => {
          const parts = divide(each, most, maxTokens);
          let next = 0;
          for (const { start, end } of parts) {
            expect(start).toBe(next);
            expect(end).toBeGreaterThan(start);
            expect(end - start).toBeLessThanOrEqual(most);
            const sum = each.slice(start, end).reduce((all, one) => all + one, 0);
            if (end - start > 1) expect(sum).toBeLessThanOrEqual(maxTokens);
            next = end;
          }
          expect(next).toBe(each.length);
        },
      ),
    );
  });
});

test("what fits, by the contract's figures", () => {
  expect(fittingCount(MAX_PART_BYTES, 1_536, bytesPerValue("base64"))).toBe(1_011);
  expect(fittingCount(MAX_ANSWER_BYTES, 1_536, bytesPerValue("base64"))).toBe(4_045);
  expect(fittingCount(MAX_ANSWER_BYTES, 1_536, bytesPerValue("float"))).toBeGreaterThanOrEqual(2_048);
  expect(fittingCount(10, 65_536, 5.4)).toBe(1);
});
