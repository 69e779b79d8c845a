import { describe, expect, test, vi } from "vitest";
import * as z from "zod/mini";
import { parseStored, readStored } from "../../../src/lib/stored.ts";

const Record = z.strictObject({
  id: z.string(),
  mode: z._default(z.enum(["soft", "hard"]), "soft"),
  period: z.enum(["day", "month"]),
  on: z._default(z.array(z.enum(["a", "b"])), []),
  inner: z.prefault(z.strictObject({ size: z._default(z.int(), 1) }), {}),
  list: z._default(z.array(z.strictObject({ name: z.string() })), []),
});

describe("a stored record", () => {
  test.each([
    { name: "as this release writes it", value: { id: "x", period: "day" }, read: {} },
    { name: "with a member that is unknown", value: { id: "x", period: "day", later: { a: 1 } }, read: {} },
    {
      name: "with unknown members at every level",
      value: { id: "x", period: "day", a: 1, inner: { size: 2, b: 1 }, list: [{ name: "n", c: 1 }] },
      read: { inner: { size: 2 }, list: [{ name: "n" }] },
    },
    {
      name: "with an unknown word where there is a default",
      value: { id: "x", period: "day", mode: "medium" },
      read: {},
    },
    {
      name: "with unknown words in a list",
      value: { id: "x", period: "day", on: ["later", "a", "newer", "b", "newest"] },
      read: { on: ["a", "b"] },
    },
  ])("$name is read", ({ value, read }) => {
    const whole = { id: "x", period: "day", mode: "soft", on: [], inner: { size: 1 }, list: [], ...read };
    expect(readStored(Record, structuredClone(value))).toEqual(whole);
  });

  test.each([
    { name: "with an unknown word where there is no default", value: { id: "x", period: "week" } },
    { name: "without a member", value: { period: "day" } },
    { name: "of another type", value: { id: 1, period: "day" } },
    { name: "that is no object", value: [] },
    { name: "that is no JSON", value: undefined },
  ])("$name is unreadable", ({ value }) => {
    expect(() => readStored(Record, structuredClone(value))).toThrow(TypeError);
  });

  test("that is unreadable is one line in the log a second, which names it and nothing of it", () => {
    const lines: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => lines.push(line));
    for (let tries = 0; tries < 3; tries++) expect(() => parseStored(Record, '{"id":"secret', "key:unread")).toThrow();
    expect(lines).toEqual(['{"event":"record_unreadable","name":"key:unread"}']);
  });
});
