/** Streams that are forwarded for the most part unread: nothing of them is lost, to the client or to the books. */
import * as fc from "fast-check";
import { expect, test, vi } from "vitest";
import type { AnswerEvent } from "../../../../src/conversation/answer.ts";
import { eventsOf } from "../../../../src/conversation/events.ts";
import { ResponsesReader } from "../../../../src/wires/openai-responses/read-stream.ts";
import { QuietItems } from "../../../../src/wires/openai-responses/same-wire/quiet-items.ts";
import { responsesWire } from "../../../../src/wires/openai-responses/wire.ts";
import { SseItems } from "../../../../src/wires/sse-items.ts";
import type { AnswerContext, ItemReader } from "../../../../src/wires/wire.ts";
import { chunksOf } from "../../../support/answers.ts";
import { tries } from "../../../support/tries.ts";
import { answers, PROVIDER } from "./conversations.ts";

const context: AnswerContext = {
  provider: PROVIDER,
  model: "asked-for",
  traceId: `tr_${"0".repeat(32)}`,
  createdAt: 1_800_000_000,
  conversation: null,
};

function streamed(events: readonly AnswerEvent[]): string {
  const writer = responsesWire.openWriter(context);
  return events.map((event) => writer.write([event])).join("") + writer.end();
}

/** The answer in pieces of two characters, as a provider sends it. */
const pieces = (events: readonly AnswerEvent[]): AnswerEvent[] =>
  events.flatMap((event): AnswerEvent[] => {
    if (event.kind !== "text" && event.kind !== "reasoning" && event.kind !== "call_args") return [event];
    return (event.text.match(/[\s\S]{1,2}/gu) ?? []).map((text, at) => ({
      ...event,
      text,
      ...("begins" in event ? { begins: at === 0 } : {}),
    }));
  });

/** What the client gets, and what the books need. */
function told(reader: ItemReader, text: string, lengths: readonly number[]): object {
  const items = chunksOf(text, lengths).flatMap((chunk) => reader.push(chunk));
  items.push(...reader.end());
  const events = [...items.flatMap((item) => item.events), ...(reader.unread?.() ?? [])];
  const length = (kind: AnswerEvent["kind"]): number =>
    events.reduce((sum, event) => sum + (event.kind === kind && "text" in event ? event.text.length : 0), 0);
  return {
    raw: items.map(({ raw }) => raw ?? "").join(""),
    lengths: (["text", "reasoning", "refusal", "call_args"] as const).map(length),
    calls: events.flatMap((event) => (event.kind === "call_start" ? [event.name] : [])),
    ends: events.filter(({ kind }) => kind === "finish" || kind === "usage" || kind === "error"),
    closes: items.filter(({ closes }) => closes === true).map(({ raw }) => raw),
  };
}

const cuts = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 4 });

test("whole or broken off anywhere, in any chunks, they say what reading every event says", () => {
  fc.assert(
    fc.property(answers, cuts, fc.nat(), fc.boolean(), fc.boolean(), (answer, lengths, cut, isCut, hasReturns) => {
      const lf = streamed(pieces(eventsOf(answer)));
      const whole = hasReturns ? lf.replaceAll("\n", "\r\n") : lf;
      const text = isCut ? whole.slice(0, cut % whole.length) : whole;
      const quiet = told(new QuietItems(new ResponsesReader(context)), text, lengths);
      expect(quiet).toEqual(told(new SseItems(new ResponsesReader(context)), text, lengths));
    }),
    { numRuns: tries(900) },
  );
});

/** Of one item: its first delta, which is read, 100 more, and `last`. */
const behindDeltas = (last: readonly object[]): string =>
  [
    { type: "response.created", response: { id: "resp_1" } },
    { type: "response.output_item.added", output_index: 0, item: { type: "message", id: "msg_1", content: [] } },
    ...Array.from({ length: 101 }, () => {
      return { type: "response.output_text.delta", output_index: 0, content_index: 0, delta: "word " };
    }),
    ...last,
  ]
    .map((event) => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join("");

const closed = (content: readonly object[]): object => {
  return { type: "response.output_item.done", output_index: 0, item: { type: "message", id: "msg_1", content } };
};
const completed = { type: "response.completed", response: { id: "resp_1", status: "completed", output: [] } };

test.each([
  ["an error", [{ type: "error", message: "No more." }]],
  ["a failed response", [{ type: "response.failed", response: { id: "resp_1", error: { code: "server_error" } } }]],
  ["an end without items", [completed]],
  ["an item that is closed without its text", [closed([]), completed]],
  ["an item of an empty text", [closed([{ type: "output_text", text: "" }]), completed]],
  ["an item with its text", [closed([{ type: "output_text", text: "word ".repeat(101) }]), completed]],
])("what came before it is known to the books: %s", (_, last) => {
  const quiet = told(new QuietItems(new ResponsesReader(context)), behindDeltas(last), [700]);
  expect(quiet).toMatchObject({ lengths: [505, 0, 0, 0] });
  expect(quiet).toEqual(told(new SseItems(new ResponsesReader(context)), behindDeltas(last), [700]));
});

test("an event leaves with the chunk that completes it", () => {
  const text = streamed([
    { kind: "text", choice: 0, text: "One" },
    ...pieces([{ kind: "text", choice: 0, text: "two and three" }]),
  ]);
  const reader = new QuietItems(new ResponsesReader(context));
  let sent = "";
  let seen = "";
  for (const chunk of chunksOf(text, [17])) {
    seen += new TextDecoder().decode(chunk);
    sent += reader
      .push(chunk)
      .map(({ raw }) => raw ?? "")
      .join("");
    expect(sent).toBe(seen.slice(0, seen.lastIndexOf("\n\n") + (seen.includes("\n\n") ? 2 : 1)));
  }
});

test("of a long answer few events are parsed", () => {
  const said = Array.from({ length: 500 }, (_, at): AnswerEvent => ({ kind: "text", choice: 0, text: `word ${at} ` }));
  const reader = new ResponsesReader(context);
  const read = vi.spyOn(reader, "event");
  told(new QuietItems(reader), streamed([...said, { kind: "finish", choice: 0, finish: { reason: "stop" } }]), [40]);
  expect(read.mock.calls.length).toBeLessThan(12);
});
