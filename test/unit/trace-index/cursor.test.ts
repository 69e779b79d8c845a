import * as fc from "fast-check";
import { expect, test } from "vitest";
import { comparePositions, decodeCursor, encodeCursor } from "../../../src/trace-index/cursor.ts";
import { newTraceId } from "../../../src/traces/schema.ts";

const position = fc.record({
  createdAt: fc.integer({ min: 0, max: 9_999_999_999_999 }),
  id: fc.constantFrom(newTraceId(null, 0), newTraceId("trailtest001", 1_795_000_000_000)),
});

test("a position between two times has no id", () => {
  const position = { createdAt: 1_796_092_166_180, id: "" };
  expect(decodeCursor(encodeCursor(position))).toEqual(position);
});

test("a cursor is text for a URL that leads back to its position", () => {
  fc.assert(
    fc.property(position, (each) => {
      expect(encodeCursor(each)).toMatch(/^[0-9A-Za-z_-]+$/);
      expect(decodeCursor(encodeCursor(each))).toEqual(each);
    }),
  );
});

test("any other text is no cursor", () => {
  const junk = ["", "0", "%%", "=", "MS50cl8=", btoa("1"), btoa("1.tr_"), btoa("-1.tr_a"), btoa("1.tr_a b"), "é", "\0"];
  for (const text of junk) expect(decodeCursor(text)).toBeNull();
  fc.assert(
    fc.property(fc.string(), (text) => {
      const found = decodeCursor(text);
      if (found !== null) expect(encodeCursor(found)).toBe(text);
    }),
  );
});

test("positions have one order: newest first, and of the same time the larger id first", () => {
  fc.assert(
    fc.property(position, position, (a, b) => {
      expect(Math.sign(comparePositions(a, b))).toBe(-Math.sign(comparePositions(b, a)) + 0);
      if (a.createdAt !== b.createdAt) expect(comparePositions(a, b) < 0).toBe(a.createdAt > b.createdAt);
      else expect(comparePositions(a, b) < 0).toBe(a.id > b.id);
    }),
  );
});
