/** Arguments keep every digit, the spelling of numbers and the order of members: from Google to the client and back. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { onOneLine } from "../../../../src/lib/json-text.ts";
import { streamedAnswer } from "../../../support/fixtures.ts";
import { messageOf, send, sentParts, streamOf, toText, translate, wholeOf } from "./support.ts";

const ARGS = [
  '{"id":9007199254740993}',
  '{"id":-12345678901234567890123,"e":1E400,"f":1.0,"z":-0}',
  '{"b":1.10,"10":{"2":[],"1":null},"2":"\\u0041\\/","a":[1.50,{"9":0,"3":1e0}]}',
  '{ "spaced" : [ 1.0 ,2 ] }',
  '{"__proto__":{"n":10000000000000000999},"constructor":1}',
  '{"quote\\"d":"a\\\\","brace":"}{][","comma":","}',
  "{}",
];

const answerOf = (...args: readonly string[]): string => {
  const parts = args.map((each, at) => `{"functionCall":{"name":"f${at}","args":${each},"id":"c${at}"}}`);
  return `{"candidates":[{"content":{"parts":[{"text":"a"},${parts.join(",")}],"role":"model"},"finishReason":"STOP"}]}`;
};

/** The arguments that a client reads. */
const wholeArgs = (text: string): string[] =>
  (messageOf(wholeOf(text)).tool_calls ?? []).map((call) => call.function.arguments);
const streamedArgs = (...events: string[]): string[] =>
  streamedAnswer(toText(translate([streamOf(...events)]))).toolCalls.map((call) => call.arguments);

test("of a whole answer and of an event, as they were written", () => {
  expect(wholeArgs(answerOf(...ARGS))).toEqual(ARGS);
  expect(streamedArgs(answerOf(...ARGS))).toEqual(ARGS);
  expect(streamedArgs(answerOf(ARGS[0]!), answerOf(ARGS[1]!))).toEqual([ARGS[0], ARGS[1]]);
});

test("of an answer in a list, behind odd members, and under keys that are spelled with escapes", () => {
  expect(streamedArgs(`[${answerOf(ARGS[0]!)},${answerOf(ARGS[2]!)}]`)).toEqual([ARGS[0], ARGS[2]]);
  const odd = answerOf(ARGS[0]!)
    .replace('"args"', '"\\u0061rgs"')
    .replace('"candidates":[', '"first":[{"args":{}}],"candidates":[null,7,')
    .replace('"functionCall"', '"function\\u0043all"')
    .replace('"content"', '"index":0,"content"');
  expect(wholeArgs(odd)).toEqual([ARGS[0]]);
  expect(streamedArgs(odd)).toEqual([ARGS[0]]);
  // The last of two members counts, as everywhere in JSON.
  expect(wholeArgs(answerOf(ARGS[0]!).replace('"name"', '"args":{"id":1},"name"'))).toEqual([ARGS[0]]);
});

test("of a pretty-printed answer, without its indentation", () => {
  const text = answerOf(ARGS[0]!).replaceAll(",", ",\n  ").replaceAll("{", "{\r\n\t");
  expect(wholeArgs(text)).toEqual([ARGS[0]]);
});

test.each(["null", '""', '"x"', "[]", "7"])("that are no object (%s) are none", (args) => {
  expect(wholeArgs(answerOf(args))).toEqual(["{}"]);
  expect(streamedArgs(answerOf(args))).toEqual(["{}"]);
});

test("that come in pieces", () => {
  const piece = (members: string): string => `{"candidates":[{"content":{"parts":[{"functionCall":{${members}}}]}}]}`;
  const end = '{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}';
  const events = [
    '"name":"f","willContinue":true,"args":{"kept":{"n":1.50,"10":1,"2":2}}',
    '"partialArgs":[{"jsonPath":"$.id","numberValue":9007199254740993}],"willContinue":true',
    '"partialArgs":[{"jsonPath":"$.10","numberValue":1.0},{"jsonPath":"$.2","boolValue":false}],"willContinue":true',
    '"partialArgs":[{"jsonPath":"$.kept.m","nullValue":null},{"jsonPath":"$.t","stringValue":"a\\""}],"willContinue":true',
    '"partialArgs":[{"jsonPath":"$.t","stringValue":"\\ud83d"},{"jsonPath":"$.t","stringValue":"\\ude00b"}]',
  ].map(piece);
  const args =
    '{"kept":{"n":1.50,"10":1,"2":2,"m":null},"id":9007199254740993,"10":1.0,"2":false,"t":"a\\"\\ud83d\\ude00b"}';
  expect(streamedArgs(...events, end)).toEqual([args]);
  expect(JSON.parse(args)).toMatchObject({ t: 'a"😀b' });
});

describe("past calls", () => {
  const past = (args: unknown) => ({
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: args } }],
  });
  test.each(ARGS)("%s goes out as it came", async (args) => {
    const { text } = await send({ messages: [{ role: "user", content: "hi" }, past(args)] });
    expect(text).toContain(`"args":${args}`);
  });

  test.each([
    ["", "{}"],
    ["  ", "{}"],
    ["not json", '{"arguments":"not json"}'],
    ["[1]", '{"arguments":"[1]"}'],
    ['{"a":1} {"b":2}', '{"arguments":"{\\"a\\":1} {\\"b\\":2}"}'],
    ['{"a":1},"b":{"c":2}', '{"arguments":"{\\"a\\":1},\\"b\\":{\\"c\\":2}"}'],
  ])("%j is no object: it goes out as %s", async (args, written) => {
    const { text } = await send({ messages: [past(args)] });
    expect(text).toContain(`"args":${written}`);
  });

  test("an answer goes back with the digits it came with", async () => {
    const message = messageOf(wholeOf(answerOf(...ARGS)));
    const { text } = await send({ messages: [{ role: "user", content: "hi" }, message] });
    for (const args of ARGS) expect(text).toContain(`"args":${args}`);
    expect(await sentParts([message])).toHaveLength(1 + ARGS.length);
  });
});

test("any JSON on one line has the same values, and no space between them", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(1, 2, "\t"), (value, indentation) => {
      const text = JSON.stringify({ value }, null, indentation);
      expect(onOneLine(text)).toBe(JSON.stringify({ value }));
    }),
  );
});
