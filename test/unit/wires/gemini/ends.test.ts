/** An answer that Google itself calls broken, or that has no end at all, never passes for a finished one. */
import { describe, expect, test } from "vitest";
import { google } from "../../../../src/providers/google.ts";
import type { StreamPart } from "../../../support/as-chat.ts";
import { streamedAnswer } from "../../../support/fixtures.ts";
import { ending, type Json, stream, toText, translate, whole } from "./support.ts";

const NO_ANSWER = { ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } };
const USAGE = { usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 3 } };
const TEXT = { text: "Looking it up." };
const CALL = { functionCall: { name: "f", args: { id: 1 } } };
const PICTURE = { inlineData: { mimeType: "image/png", data: "AAAA" } };

const GOOD: readonly (readonly [string, string])[] = [
  ["STOP", "stop"],
  ["MAX_TOKENS", "length"],
  ...["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "OTHER"].map(filtered),
  ...["IMAGE_SAFETY", "IMAGE_OTHER", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"].map(filtered),
];
function filtered(word: string): readonly [string, string] {
  return [word, "content_filter"];
}

describe("good ends", () => {
  test.each(GOOD)("%s is %s, streamed or whole", (word, finish) => {
    expect(whole(ending(word))).toMatchObject({ completion: { choices: [{ finish_reason: finish }] } });
    expect(streamedAnswer(toText(translate([stream(ending(word))]))).finishReason).toBe(finish);
  });

  test.each([
    ["STOP", "tool_calls"],
    ["MAX_TOKENS", "length"],
    ["SAFETY", "content_filter"],
  ])("%s behind a call is %s", (word, finish) => {
    expect(whole(ending(word, [CALL]))).toMatchObject({ completion: { choices: [{ finish_reason: finish }] } });
    expect(streamedAnswer(toText(translate([stream(ending(word, [CALL]))]))).finishReason).toBe(finish);
  });

  test("the end may come in an event that says nothing else, and be said more than once", () => {
    const parts = translate([stream(ending("STOP", [TEXT]), ending(undefined, [TEXT]), ending("STOP", []))]);
    expect(streamedAnswer(toText(parts))).toMatchObject({ text: TEXT.text.repeat(2), finishReason: "stop" });
    expect(whole(ending("STOP", []))).toMatchObject({ ok: true });
  });
});

const BROKEN = [
  ...["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"],
  ...["MISSING_THOUGHT_SIGNATURE", "NO_IMAGE"],
  // What Google may add: nobody knows that it is an end.
  ...["SOMETHING_NEW", "TOOL_CALL_LOST", "constructor", "stop"],
];
const BEFORE: readonly (readonly [string, unknown[]])[] = [
  ["nothing", []],
  ["text", [TEXT]],
  ["a thought", [{ text: "hm", thought: true }]],
  ["a call", [CALL]],
  ["text and two calls", [TEXT, CALL, CALL]],
  ["a picture", [PICTURE]],
];

function errorOf(parts: readonly StreamPart[]): Json {
  const last = parts.at(-1);
  if (last === undefined || !("error" in last)) throw new Error("no error at the end");
  return last.error as Json;
}

describe.each(BROKEN)("%s", (word) => {
  test.each(BEFORE)("behind %s is no answer, whole or streamed", (_, parts) => {
    const body = { ...ending(word, parts), ...USAGE };
    expect(whole(body)).toMatchObject({ ...NO_ANSWER, usage: { prompt_tokens: 7 } });
    const streamed = translate([stream(body)]);
    const failure = google.adapter.classify({ status: 200, headers: new Headers(), body: errorOf(streamed) });
    expect(failure).toMatchObject({ class: "invalid_response", tryNext: true });
    expect(streamedAnswer(toText(streamed)).finishReason).toBeNull();
    // It was used all the same.
    expect(toText(streamed)).toContain('"prompt_tokens":7');
  });

  test("in an event of its own is no better, nor in one of two choices", () => {
    const streamed = translate([stream(ending(undefined, [TEXT]), ending(undefined, [CALL]), ending(word, []))]);
    expect(errorOf(streamed)).toMatchObject({ error: { status: expect.stringMatching(/^[A-Z_]+$/) } });
    const two = {
      candidates: [
        { index: 0, content: { parts: [TEXT] }, finishReason: "STOP" },
        { index: 1, content: { parts: [TEXT] }, finishReason: word },
      ],
    };
    expect(whole(two)).toEqual(NO_ANSWER);
    expect(streamedAnswer(toText(translate([stream(two)]))).finishReason).toBeNull();
  });
});

describe("no end", () => {
  const NONE = [undefined, "", "FINISH_REASON_UNSPECIFIED", 7];
  test.each(BEFORE)("a whole answer that is cut behind %s is none", (_, parts) => {
    for (const word of NONE) expect(whole(ending(word as string, parts))).toEqual(NO_ANSWER);
  });

  test.each(BEFORE)("a stream that is cut behind %s has no finish, but its usage", (_, parts) => {
    for (const word of NONE) {
      const streamed = translate([stream({ ...ending(word as string, parts), ...USAGE })]);
      expect(streamedAnswer(toText(streamed)).finishReason).toBeNull();
      expect(streamed.at(-1)).toMatchObject({ chunk: { usage: { prompt_tokens: 7, completion_tokens: 3 } } });
    }
  });

  test("one of two choices without an end cuts the answer", () => {
    const candidates = [
      { index: 0, content: { parts: [TEXT] }, finishReason: "STOP" },
      { index: 1, content: { parts: [TEXT] } },
    ];
    expect(whole({ candidates })).toEqual(NO_ANSWER);
  });

  test("a refused prompt is an answer without any", () => {
    const body = { promptFeedback: { blockReason: "SAFETY" }, ...USAGE };
    expect(whole(body)).toMatchObject({ completion: { choices: [{ finish_reason: "content_filter" }] } });
    expect(streamedAnswer(toText(translate([stream(body)]))).finishReason).toBe("content_filter");
  });
});
