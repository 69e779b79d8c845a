import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_EVENT_LENGTH, type SseEvent, SseSplitter } from "../../../src/lib/sse.ts";
import { eventData } from "../../support/sse.ts";
import { tries } from "../../support/tries.ts";
import { isLinear } from "../../support/work.ts";

function split(pieces: readonly string[]): { events: SseEvent[]; last: SseEvent | null } {
  const splitter = new SseSplitter();
  const events = pieces.flatMap((piece) => splitter.push(piece));
  return { events, last: splitter.flush() };
}
const dataOf = (events: readonly SseEvent[]): string[] => events.flatMap(({ data }) => (data === null ? [] : [data]));

describe("one event", () => {
  test.each([
    { name: "LF", text: "data: a\n\n", data: ["a"] },
    { name: "CRLF", text: "data: a\r\n\r\n", data: ["a"] },
    { name: "CR", text: "data: a\r\r", data: ["a"] },
    { name: "mixed line ends", text: "data: a\r\n\n", data: ["a"] },
    { name: "no space", text: "data:a\n\n", data: ["a"] },
    { name: "only the first space goes", text: "data:  a \n\n", data: [" a "] },
    { name: "a colon in the data", text: "data: a: b:c\n\n", data: ["a: b:c"] },
    { name: "several lines", text: "data: a\ndata:\ndata: b\n\n", data: ["a\n\nb"] },
    { name: "a field without a value", text: "data\n\n", data: [""] },
    { name: "other fields", text: "id: 1\nevent: e\nretry: 1\ndata: a\n\n", data: ["a"] },
    { name: "fields that begin alike", text: "database: x\ndata : y\nDATA: z\n\n", data: [] },
    { name: "comments", text: ": ping\n\n:\ndata: a\n: data: b\n\n", data: ["a"] },
    { name: "blank lines", text: "\n\n\ndata: a\n\n\n\n", data: ["a"] },
    { name: "two events", text: "data: a\n\ndata: b\n\n", data: ["a", "b"] },
    { name: "a line separator inside the data", text: "data: a\u2028b\u0085c\n\n", data: ["a\u2028b\u0085c"] },
  ])("$name", ({ text, data }) => {
    const { events, last } = split([text]);
    expect(dataOf(events)).toEqual(data);
    expect(last).toBeNull();
    expect(events.map(({ raw }) => raw).join("")).toBe(text);
  });

  test.each([
    { name: "nothing", text: "", last: null },
    { name: "a line without an empty one", text: "data: a\n", last: "a" },
    { name: "half a line", text: "data: a", last: "a" },
    { name: "a comment", text: ": bye\n", last: null },
    { name: "half a field name", text: "dat", last: null },
  ])("what stands behind the last event: $name", ({ text, last }) => {
    const { events, last: flushed } = split([`data: x\n\n${text}`]);
    expect(dataOf(events)).toEqual(["x"]);
    expect(flushed?.data ?? null).toBe(last);
    if (flushed !== null) expect(flushed.raw).toBe(`${text}\n\n`);
  });
});

/**
 * Streams with every oddity of framing, dense enough that cuts fall on all of them. No byte order mark: taking it away
 * is the decoder's business.
 */
const stream = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "data: ",
        "data:",
        "data",
        ": ",
        "event: x",
        "id",
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        "\r\r",
      ),
      fc.string({ maxLength: 3, unit: "grapheme-ascii" }),
      fc.constantFrom("é", "\u{1F30D}", "\u2028", "[DONE]", "{}", ":", " "),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(""));

function piecesOf(text: string, cuts: readonly number[]): string[] {
  const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((start, index) => text.slice(start, at[index] ?? text.length));
}

test("however a stream is cut, the events are the same, and no character is lost", () => {
  const cuts = fc.array(fc.nat(400), { maxLength: 30 });
  fc.assert(
    fc.property(stream, cuts, (text, places) => {
      const whole = split([text]);
      const cut = split(piecesOf(text, places));
      expect(dataOf(cut.events)).toEqual(dataOf(whole.events));
      expect(cut.last?.data ?? null).toBe(whole.last?.data ?? null);
      const raw = [...cut.events, ...(cut.last === null ? [] : [cut.last])]
        .map((event) => event.raw)
        .join("")
        .slice(0, cut.last === null ? undefined : -"\n\n".length);
      expect(text.startsWith(raw)).toBe(true);
      expect(eventData(`${text.slice(raw.length)}\n\n`)).toEqual([]);
    }),
    { numRuns: tries(2_000) },
  );
});

test("one character at a time is no different", () => {
  fc.assert(
    fc.property(stream, (text) => {
      expect(dataOf(split(text.split("")).events)).toEqual(dataOf(split([text]).events));
    }),
    { numRuns: tries(1_000) },
  );
});

test("the events are those a standard reader of the whole text finds", () => {
  fc.assert(
    fc.property(stream, (text) => {
      expect(dataOf(split([text]).events)).toEqual(eventData(text));
    }),
    { numRuns: tries(2_000) },
  );
});

test("an event that never ends is noticed, and one that ends in time is not", () => {
  const splitter = new SseSplitter();
  splitter.push(`data: ${"x".repeat(MAX_EVENT_LENGTH - 6)}`);
  expect(splitter.isOverlong).toBe(false);
  splitter.push("x");
  expect(splitter.isOverlong).toBe(true);
  expect(splitter.push("\n\n")).toHaveLength(1);
  expect(splitter.isOverlong).toBe(false);
});

test("the cost of a long line is linear in its pieces", () => {
  const feed = (pieces: number): void => {
    const splitter = new SseSplitter();
    for (let count = 0; count < pieces; count++) splitter.push("x".repeat(64));
    splitter.push("\n\n");
  };
  expect(isLinear(10_000, feed)).toBe(true);
});
