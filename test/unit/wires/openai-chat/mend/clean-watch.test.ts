/** What is noticed of a stream whose bytes pass untouched: the same for every chunking, and never of a clean one. */
import { expect, test } from "vitest";
import { CleanWatch } from "../../../../../src/wires/openai-chat/stream/clean-watch.ts";
import { allFixtures, bytesOf, isStream } from "../../../../support/fixtures.ts";

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const calls = (...list: object[]): string => chunk({ tool_calls: list });
const call = (index: unknown, id: unknown, args: unknown = ""): object => ({
  ...(index === undefined ? {} : { index }),
  ...(id === undefined ? {} : { id }),
  type: "function",
  function: { name: "f", arguments: args },
});
const SAID = chunk({ content: 'data:\n\nid: 5 "tool_calls": [DONE]' });
const STOP = chunk({}, "stop");
const DONE = "data: [DONE]\n\n";
const CALLED = chunk({}, "tool_calls");

function isUnclean(text: string): boolean[] {
  return [1, 3, 7, text.length].map((size) => {
    const watch = new CleanWatch();
    for (let at = 0; at < text.length; at += size) watch.add(text.slice(at, at + size));
    return watch.isUnclean;
  });
}

test.each([
  ["text", SAID + STOP + DONE],
  ["no [DONE]", SAID + STOP],
  ["comments", `: ping\n\n${SAID}${STOP}${DONE}`],
  ["other line ends", (SAID + STOP + DONE).replaceAll("\n", "\r\n")],
  [
    "calls",
    calls(call(0, "a")) + calls({ index: 0, function: { arguments: "{}" } }) + calls(call(1, "b")) + CALLED + DONE,
  ],
  ["an error of the provider's", `${SAID}event: error\ndata: {"error":{}}\n\n`],
  ["an event that is named", `event: x\n${SAID}${STOP}${DONE}`],
])("%s is clean", (_, text) => {
  expect(isUnclean(text)).toEqual([false, false, false, false]);
});

test.each([
  ["an empty frame", `${SAID}data:\n\n`],
  ["plain text", `${SAID}data: keepalive\n\n`],
  ["an id alone", `${SAID}id: 5\n\n`],
  ["a list for content", chunk({ content: [{ type: "text", text: "a" }] })],
  ["no index", calls(call(undefined, "a"))],
  ["no id", calls(call(0, undefined))],
  ["an empty id", calls(call(0, ""))],
  ["an id twice", calls(call(0, "a")) + calls(call(1, "a"))],
  ["an id with every piece", calls(call(0, "a")) + calls(call(0, "a", "{}"))],
  ["an object for arguments", calls(call(0, "a", { x: 1 }))],
  ["calls that end with stop", calls(call(0, "a")) + STOP],
])("%s is not", (_, text) => {
  expect(isUnclean(text)).toEqual([true, true, true, true]);
});

const clean = allFixtures().filter((each) => isStream(each) && ["openai", "azure", "groq"].includes(each.provider));
test.each(clean.map((fixture) => ({ name: fixture.file, fixture })))(
  "$name of a provider whose row is clean",
  ({ fixture }) => {
    expect(isUnclean(bytesOf(fixture).toString("utf8"))).not.toContain(true);
  },
);
