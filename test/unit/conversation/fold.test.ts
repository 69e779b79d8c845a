/** Events of a stream as the whole answer that they add up to. */
import { describe, expect, test } from "vitest";
import type { AnswerEvent } from "../../../src/conversation/answer.ts";
import { eventsOf } from "../../../src/conversation/events.ts";
import { answerOf } from "../../../src/conversation/fold.ts";
import type { Part } from "../../../src/conversation/part.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { openItems } from "../../../src/wires/openai-chat/stream/items.ts";
import * as whole from "../../support/answers.ts";
import { allFixtures, bytesOf, isStream } from "../../support/fixtures.ts";

const STOP: AnswerEvent = { kind: "finish", choice: 0, finish: { reason: "stop" } };
const said = (text: string, choice = 0): AnswerEvent => ({ kind: "text", choice, text });

/** A signature alone has no form that would say anything. */
const saying = (part: Part): object => (part.kind === "reasoning" && part.text === "" ? { ...part, form: "" } : part);

describe("every recorded stream that has an end", () => {
  const streams = allFixtures().filter(isStream);
  test.each(streams.map((fixture) => [`${fixture.provider}/${fixture.file}`, fixture] as const))("%s", (_, fixture) => {
    const asked = askedInChat({ model: "flow/x", messages: [], ...fixture.request });
    const context = { asked, model: "m", traceId: "tr_1", createdAt: 0 };
    const translation = findProvider(fixture.provider)?.adapter.translation;
    const items = openItems(translation, context, "parts");
    const reader = translation?.openReader?.(context);
    const bytes = bytesOf(fixture);
    const events =
      reader === undefined
        ? [...items.push(bytes), ...items.end()].flatMap((item) => item.events)
        : [...reader.push(bytes), ...reader.end()];
    const folded = answerOf(events);
    const isCut = !events.some(({ kind }) => kind === "finish") || events.some(({ kind }) => kind === "error");
    expect(folded === null).toBe(isCut);
    if (folded === null) return;
    if (folded.choices.length > 1) return;
    const expected = whole.answerOf(events);
    const filled = expected.choices[0]!.parts.filter((part) => !("text" in part) || part.text !== "" || part.bound);
    expect(folded.choices[0]!.parts).toEqual(filled);
    expect(folded).toMatchObject({ id: expected.id, model: expected.model, rawUsage: expected.rawUsage });
    // A stream of it says the same once more.
    const again = answerOf(eventsOf(folded));
    expect(again?.choices.map(({ parts }) => parts.map(saying))).toEqual(
      folded.choices.map(({ parts }) => parts.map(saying)),
    );
    expect(again?.choices.map(({ finish }) => finish)).toEqual(folded.choices.map(({ finish }) => finish));
  });
});

test("choices are told apart and put in order, and lists that came in pieces are joined", () => {
  const answer = answerOf([
    said("b", 1),
    said("a"),
    { kind: "extra", choice: 0, members: { notes: [1], last: 1 } },
    { kind: "extra", choice: 0, members: { notes: [2], last: 2 } },
    { kind: "extra", choice: null, members: { tier: "flex" } },
    { ...said("c"), logprobs: { content: [{ token: "c" }] } } as AnswerEvent,
    { kind: "finish", choice: 1, finish: { reason: "length" } },
    STOP,
  ]);
  expect(answer).toMatchObject({
    extra: { tier: "flex" },
    choices: [
      { parts: [{ text: "ac" }], extra: { notes: [1, 2], last: 2 }, logprobs: { content: [{ token: "c" }] } },
      { parts: [{ text: "b" }], finish: { reason: "length" } },
    ],
  });
});

test.each<[string, AnswerEvent[]]>([
  ["nothing", []],
  ["no end", [said("a")]],
  ["one choice without an end", [said("a"), said("b", 1), STOP]],
  ["the provider's own error", [said("a"), STOP, { kind: "error", body: {} }]],
])("%s is no answer", (_, events) => {
  expect(answerOf(events)).toBeNull();
});

test("a call without arguments has none to give, and is called all the same", () => {
  const call = { kind: "call_start", choice: 0, index: 0, id: "a", name: "f", form: "function" } as const;
  expect(answerOf([call, STOP])?.choices[0]?.parts).toEqual([
    { kind: "call", path: "", id: "a", name: "f", form: "function", args: "{}" },
  ]);
});
