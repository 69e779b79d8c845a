/** Rows of a long table that are in the document: all that the reader sees, in a range that the table has. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { rowHeight, rowsNear, within } from "../../../src/site/parts/row-range.ts";

const scrolled = fc.record({
  passed: fc.integer({ min: -5_000, max: 500_000 }),
  view: fc.integer({ min: 1, max: 3_000 }),
  row: fc.integer({ min: 10, max: 60 }),
});
const tables = fc.record({
  scrolled,
  count: fc.integer({ min: 1, max: 10_000 }),
  step: fc.integer({ min: 1, max: 10 }),
});

test("each row that the view touches is in the range", () => {
  fc.assert(
    fc.property(tables, ({ scrolled: { passed, view, row }, count, step }) => {
      const { first, end } = within(rowsNear({ passed, view, row }, step), count, step);
      const from = Math.max(0, Math.floor(passed / row));
      const to = Math.min(count, Math.ceil((passed + view) / row));
      if (from < to) expect(first <= from && to <= end).toBe(true);
    }),
  );
});

test("a range has at least a step of rows, and none that the table has not", () => {
  fc.assert(
    fc.property(tables, ({ scrolled: place, count, step }) => {
      const { first, end } = within(rowsNear(place, step), count, step);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(end).toBeLessThanOrEqual(count);
      expect(end - first).toBeGreaterThanOrEqual(Math.min(count, step));
    }),
  );
});

test("the height of a row is that of all, divided; rows that are not laid out have none", () => {
  const at = (top: number, bottom: number) => ({ getBoundingClientRect: () => ({ top, bottom }) });
  expect(rowHeight([at(100, 128), at(128, 157), at(157, 185)])).toBeCloseTo(28.33);
  expect(rowHeight([at(0, 0)])).toBeNull();
  expect(rowHeight([])).toBeNull();
});
