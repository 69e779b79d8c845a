/** What Gemini signed goes back on the part it came with, whatever way the client got it; what others signed does not. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventData } from "../../../support/sse.ts";
import { tries } from "../../../support/tries.ts";
import { DUMMY, ending, type Json, messageOf, sentParts, stream, toText, translate, whole } from "./support.ts";

const USER = { role: "user", content: "hi" };

/** The message that a client puts together from the chunks of a stream, by the rules of the OpenAI SDKs. */
function streamedMessage(bytes: Uint8Array): Json {
  const message: Record<string, unknown> = { role: "assistant", content: "" };
  const lists = new Map<string, Record<string, unknown>[]>();
  for (const data of eventData(toText(translate([bytes])))) {
    const { choices } = JSON.parse(data) as { choices: { delta: Json }[] };
    for (const [name, value] of choices.flatMap(({ delta }) => Object.entries(delta))) {
      if (name === "role") continue;
      if (typeof value === "string") message[name] = `${String(message[name] ?? "")}${value}`;
      if (!Array.isArray(value)) continue;
      const list = lists.get(name) ?? [];
      lists.set(name, list);
      for (const entry of value as { index: number; function?: { arguments: string } }[]) {
        const known = list[entry.index] as { function?: { arguments: string } } | undefined;
        if (known?.function === undefined) list[entry.index] = structuredClone(entry) as Record<string, unknown>;
        else known.function.arguments += entry.function?.arguments ?? "";
      }
    }
  }
  return { ...message, ...Object.fromEntries(lists) };
}

const text = (words: string, signature?: string) => ({
  text: words,
  ...(signature === undefined ? {} : { thoughtSignature: signature }),
});
const thought = (words: string, thoughtSignature: string) => ({ text: words, thought: true, thoughtSignature });
const call = (id: string, signature?: string) => ({
  functionCall: { id, name: "f", args: { id } },
  ...(signature === undefined ? {} : { thoughtSignature: signature }),
});
const picture = (signature?: string) => ({
  inlineData: { mimeType: "image/png", data: "AAAA" },
  ...(signature === undefined ? {} : { thoughtSignature: signature }),
});

const TURNS: readonly (readonly [string, Json[]])[] = [
  ["a signed text", [text("It is 42.", "A")]],
  ["a text that is signed at its end, on an empty part", [text("It is 42."), text("", "A")]],
  ["signed pieces between others", [text("One, "), text("two, ", "A"), text("three, "), text("four.", "B")]],
  ["a signed thought and a text", [thought("hm", "T"), text("Yes.")]],
  ["thoughts between texts", [thought("hm", "T"), text("Yes."), thought("wait", "U"), text("No.", "A")]],
  ["a signed call", [call("c1", "C"), call("c2")]],
  ["a text before a signed call", [text("Looking."), call("c1", "C")]],
  [
    "a signed text before and behind calls",
    [text("Looking.", "A"), call("c1", "C"), text("Again.", "B"), call("c2", "D")],
  ],
  ["pictures", [text("See ", "A"), picture("P"), text("and "), picture("Q"), text("", "B")]],
  ["a signed picture alone", [picture("P")]],
];

describe.each(TURNS)("%s", (_, parts) => {
  test("goes back as it came, from a whole answer", async () => {
    expect(await sentParts([USER, messageOf(whole(ending("STOP", parts)))])).toEqual([text("hi"), ...parts]);
  });

  test("goes back as it came, from a stream", async () => {
    const message = streamedMessage(stream(...parts.map((part) => ending(undefined, [part])), ending("STOP", [])));
    expect(await sentParts([USER, message])).toEqual([text("hi"), ...parts]);
  });
});

test("any turn of signed parts goes back as it came, whole or streamed", async () => {
  const signature = fc.stringMatching(/^[A-Z]{1,4}$/);
  const words = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom("a", " ", "é", "😀", "\n") });
  const part = fc.oneof(
    fc.tuple(words, signature).map(([each, signed]) => text(each, signed)),
    fc.tuple(words, signature).map(([each, signed]) => thought(each, signed)),
    signature.map((signed) => picture(signed)),
    signature.map((signed) => call("", signed)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 8 }), async (given) => {
      const parts = given.map((each, at) =>
        "functionCall" in each ? { ...call(`c${at}`, each.thoughtSignature) } : each,
      );
      const sent = await sentParts([messageOf(whole(ending("STOP", parts)))]);
      expect(sent).toEqual(parts);
      const message = streamedMessage(stream(...parts.map((each) => ending(undefined, [each])), ending("STOP", [])));
      expect(await sentParts([message])).toEqual(parts);
    }),
    { numRuns: tries(200) },
  );
});

test("a client that keeps the text only still has a sound conversation", async () => {
  const answer = messageOf(whole(ending("STOP", [text("One, "), text("two", "A"), call("c1", "C")])));
  const { reasoning_details: _, ...kept } = answer;
  expect(await sentParts([USER, kept])).toEqual([text("hi"), text("One, two"), call("c1", "C")]);
});

test("a client that changed the text gets its signatures back apart from it", async () => {
  const answer = messageOf(whole(ending("STOP", [text("One, ", "A"), text("two", "B")])));
  expect(await sentParts([USER, { ...answer, content: "Three" }])).toEqual([
    text("hi"),
    text("", "A"),
    text("Three", "B"),
  ]);
});

describe("entries of earlier releases", () => {
  const entry = (data: string, from: number, to: number) => ({
    ...{ type: "reasoning.encrypted", format: "google", data },
    ...{ from, to },
  });
  const said = (content: unknown, ...details: Json[]) => ({ role: "assistant", content, reasoning_details: details });
  test.each<[string, Json, Json[]]>([
    ["a piece", said("It is 42.", entry("A", 0, 5)), [text("It is", "A"), text(" 42.")]],
    ["its end", said("Yes", entry("A", 3, 3)), [text("Yes"), text("", "A")]],
    ["a text that is shorter now", said("Ye", entry("A", 0, 9), entry("B", 12, 13)), [text("Ye", "A"), text("", "B")]],
    [
      "a text in two parts now",
      said(
        [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
        entry("A", 0, 2),
      ),
      [text("", "A"), text("a"), text("b")],
    ],
    ["no text", said(null, entry("A", 0, 0)), [text("", "A")]],
  ])("place a signature on %s", async (_, message, parts) => {
    expect(await sentParts([message])).toEqual(parts);
  });
});

describe("what others signed", () => {
  const signed = (format: string, more: Json = {}) => ({
    role: "assistant",
    content: "Yes",
    reasoning_details: [
      { type: "reasoning.text", format, text: "hm", signature: "S", ...more },
      { type: "reasoning.encrypted", format, data: "E", ...more },
    ],
    tool_calls: [
      {
        id: "c",
        type: "function",
        function: { name: "f", arguments: "{}" },
        extra_content: { [format]: { thought_signature: "S", signature: "S" } },
      },
    ],
  });
  test.each(["anthropic-claude-v1", "anthropic", "openai-responses-v1", "bedrock", "cohere", "unknown", "odd"])(
    "%s: none of it is sent, and the call gets Google's own stand-in",
    async (format) => {
      expect(await sentParts([USER, signed(format)])).toEqual([
        text("hi"),
        text("Yes"),
        { functionCall: { id: "c", name: "f", args: {} }, thoughtSignature: DUMMY },
      ]);
    },
  );

  test("what another provider of this wire signed is its own", async () => {
    const parts = await sentParts([signed("google-gemini-v1", { provider: "vertex" })]);
    expect(parts[0]).toEqual(text("Yes"));
    expect(JSON.stringify(parts)).not.toContain('"E"');
  });

  test("older models know no stand-in", async () => {
    const parts = await sentParts([signed("anthropic")], "gemini-2.5-pro");
    expect(parts[1]).toEqual({ functionCall: { id: "c", name: "f", args: {} } });
  });
});
