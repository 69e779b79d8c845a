import * as fc from "fast-check";
import { expect, test } from "vitest";
import { editDistance, nearest } from "../../../src/lib/text/nearest.ts";
import { Pace } from "../../../src/lib/time/pace.ts";

test.each([
  { from: "", to: "", distance: 0 },
  { from: "abc", to: "", distance: 3 },
  { from: "kitten", to: "sitting", distance: 3 },
  { from: "flaw", to: "lawn", distance: 2 },
])("from $from to $to it is $distance changes", ({ from, to, distance }) => {
  expect(editDistance(from, to)).toBe(distance);
});

test("the distance is symmetric, and zero only between equal texts", () => {
  const text = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
    }),
  );
});

test("the nearest name is the one with the fewest changes, whatever its case; of none there is none", () => {
  const names = ["fast-eval", "best-reasoning", "agent-reasoning"];
  expect(nearest("Best-Reasonin", names)).toBe("best-reasoning");
  expect(nearest("fst-evl", names)).toBe("fast-eval");
  expect(nearest("x", [])).toBeNull();
});

test("a pace lets each name pass once per interval, and a clock that was set back changes nothing for long", () => {
  const pace = new Pace(1_000);
  expect([pace.allows("a", 5_000), pace.allows("a", 5_999), pace.allows("b", 5_999)]).toEqual([true, false, true]);
  expect([pace.allows("a", 6_000), pace.allows("a", 2_000)]).toEqual([true, true]);
  for (let name = 0; name < 1_001; name++) pace.allows(`n${name}`, 2_000);
  expect(pace.allows("a", 2_001)).toBe(true);
});
