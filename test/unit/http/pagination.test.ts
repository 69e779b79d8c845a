/** Times in the query of a list. */
import { expect, test } from "vitest";
import { readTime } from "../../../src/http/pagination.ts";

test.each([
  { text: undefined, time: undefined },
  { text: "2026-11-22", time: Date.UTC(2026, 10, 22) },
  { text: "2024-02-29T12:00:00Z", time: Date.UTC(2024, 1, 29, 12) },
  { text: "2026-11-22T12:00:00.123Z", time: Date.UTC(2026, 10, 22, 12, 0, 0, 123) },
  { text: "2026-11-22T00:30:00+01:00", time: Date.UTC(2026, 10, 21, 23, 30) },
])("$text is read", ({ text, time }) => {
  expect(readTime("since", text)).toBe(time);
});

test.each([
  ...["", "yesterday", "2026", "1795383389", "2026-13-01", "2026-02-30", "2026-02-29T12:00:00Z", "2026-04-31"],
  ...["2026-11-22 (a day)", "2026-11-22 12:00", "2026-11-22T25:00:00Z", "2026-11-22x", " 2026-11-22"],
])("%j is no time, and the parameter is named", (text) => {
  expect(() => readTime("since", text)).toThrow(expect.objectContaining({ code: "invalid_request", param: "since" }));
});
