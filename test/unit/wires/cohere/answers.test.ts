/** What Cohere's answers become, by kind: arguments, names, ends. Whole and streamed alike. */

import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { cohere } from "../../../../src/providers/cohere.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { streamedAnswer, wholeAnswer } from "../../../support/fixtures.ts";

type Json = Record<string, unknown>;

const contextOf = (fields: Json): AnswerContext => ({
  asked: askedInChat(fields),
  model: "command-example",
  traceId: "tr_1",
  createdAt: 1_795_000_000,
});
const { toCompletion, openStream } = asChat(cohere.adapter.translation);

const whole = (text: string, fields: Json = {}) => toCompletion(JSON.parse(text), contextOf(fields), text);

function stream(texts: readonly string[], fields: Json = {}): StreamPart[] {
  const reader = openStream(contextOf(fields));
  const text = texts.map((each) => `data: ${each}\n\n`).join("");
  return [...reader.push(Buffer.from(text)), ...reader.end()];
}

const sse = (parts: readonly StreamPart[]): string =>
  parts.map((part) => ("chunk" in part ? `data: ${JSON.stringify(part.chunk)}\n\n` : "")).join("");

/** `args`: JSON text, `undefined` for no member. */
const callText = (args: string | undefined, name = "f"): string =>
  `{"id":"c","type":"function","function":{"name":"${name}"${args === undefined ? "" : `,"arguments":${args}`}}}`;
const wholeText = (calls: readonly string[], finish = "TOOL_CALL"): string =>
  `{"id":"a","finish_reason":"${finish}","message":{"role":"assistant","tool_calls":[${calls.join(",")}]}}`;
const start = (call: string, index = 0): string =>
  `{"type":"tool-call-start","index":${index},"delta":{"message":{"tool_calls":${call}}}}`;
const delta = (args: string, index = 0): string =>
  `{"type":"tool-call-delta","index":${index},"delta":{"message":{"tool_calls":{"function":{"arguments":${args}}}}}}`;
const END = '{"type":"tool-call-end","index":0}';
const FINISH = '{"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}}';

describe("arguments", () => {
  const EXACT = '{"id":2512292042121000001,"10":1,"2":1.0,"s":"\\u00fc"}';
  test.each<[given: string | undefined, args: string]>([
    [undefined, "{}"],
    ["null", "{}"],
    ['""', "{}"],
    ['" "', "{}"],
    ['"null"', "{}"],
    ['" null "', "{}"],
    ['"{}"', "{}"],
    ["{}", "{}"],
    [EXACT, EXACT],
    [JSON.stringify(EXACT), EXACT],
    ["[1.0]", "[1.0]"],
    ['"{\\"half"', '{"half'],
  ])("%s is %s", (given, args) => {
    const answer = whole(wholeText([callText(given)]));
    if (!answer.ok) throw new Error("no answer");
    expect(wholeAnswer(answer.completion).toolCalls).toEqual([{ id: "c", name: "f", arguments: args }]);
    const atStart = stream([start(callText(given)), END, FINISH]);
    expect(streamedAnswer(sse(atStart)).toolCalls).toEqual([{ id: "c", name: "f", arguments: args }]);
    const inDelta = stream([start(callText('""')), ...(given === undefined ? [] : [delta(given)]), FINISH]);
    expect(streamedAnswer(sse(inDelta)).toolCalls).toEqual([{ id: "c", name: "f", arguments: args }]);
  });

  test("in pieces, and of two calls that share an index", () => {
    const texts = [start(callText('""')), delta('"nu"'), delta('"ll"'), END];
    const second = [start(callText('"{"'), 0), delta('"\\"a\\":1.0}"'), END];
    const { toolCalls } = streamedAnswer(sse(stream([...texts, ...second, FINISH])));
    expect(toolCalls.map(({ arguments: args }) => args)).toEqual(["{}", '{"a":1.0}']);
  });

  test("nested deeper than any stack they are a text like any other", () => {
    const args = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;
    const answer = whole(wholeText([callText(args)]));
    expect(answer.ok && wholeAnswer(answer.completion).toolCalls[0]?.arguments).toBe(args);
    const parts = stream([start(callText(args)), END, FINISH]);
    expect(streamedAnswer(sse(parts)).toolCalls[0]?.arguments).toBe(args);
  });
});

test("an alias leads back to the client's name", () => {
  const tools = ["a.b", "a_b"].map((name) => ({ type: "function", function: { name } }));
  const answer = whole(wholeText([callText("{}", "a_b_2"), callText("{}", "a_b"), callText("{}", "other")]), { tools });
  const names = ["a.b", "a_b", "other"];
  expect(answer.ok && wholeAnswer(answer.completion).toolCalls.map(({ name }) => name)).toEqual(names);
  const parts = stream([start(callText("{}", "a_b_2"), 0), start(callText("{}", "a_b"), 1), FINISH], { tools });
  expect(streamedAnswer(sse(parts)).toolCalls.map(({ name }) => name)).toEqual(["a.b", "a_b"]);
});

test("a tool that takes free text is called as what it is", () => {
  const tools = [{ type: "custom", custom: { name: "apply.patch" } }];
  const args = JSON.stringify('{"input":"*** a\\n"}');
  const wanted = [{ id: "c", name: "apply.patch", input: "*** a\n" }];
  const answer = whole(wholeText([callText(args, "apply_patch")]), { tools });
  expect(answer.ok && wholeAnswer(answer.completion).customCalls).toEqual(wanted);
  const pieces = [
    start(callText('""', "apply_patch")),
    delta('"{\\"inp"'),
    delta(JSON.stringify('ut":"*** a\\n"}')),
    FINISH,
  ];
  expect(streamedAnswer(sse(stream(pieces, { tools }))).customCalls).toEqual(wanted);
  const cut = [start(callText(JSON.stringify('{"input":"*** a\\'), "apply_patch")), FINISH];
  expect(streamedAnswer(sse(stream(cut, { tools }))).customCalls).toEqual([{ ...wanted[0], input: "*** a" }]);
});

test("one call where one is allowed", () => {
  const fields = { parallel_tool_calls: false };
  const answer = whole(wholeText([callText("{}"), callText("{}")]), fields);
  expect(answer.ok && wholeAnswer(answer.completion).toolCalls).toHaveLength(1);
  const parts = stream([start(callText("{}"), 0), start(callText("{}"), 1), delta('"x"', 1), FINISH], fields);
  expect(streamedAnswer(sse(parts)).toolCalls).toEqual([{ id: "c", name: "f", arguments: "{}" }]);
});

describe("ends", () => {
  const TEXT = '"message":{"role":"assistant","content":[{"type":"text","text":"so"}]}';
  const finishes = [
    ["COMPLETE", "stop"],
    ["complete", "stop"],
    ["STOP_SEQUENCE", "stop"],
    ["TOOL_CALL", "stop"],
    ["MAX_TOKENS", "length"],
    ["ERROR_LIMIT", "length"],
    ["ERROR_TOXIC", "content_filter"],
  ] as const;

  test.each(finishes)("%s is %s", (reason, finish) => {
    const answer = whole(`{"finish_reason":"${reason}",${TEXT}}`);
    expect(answer.ok && wholeAnswer(answer.completion).finishReason).toBe(finish);
    const parts = stream([
      '{"type":"content-delta","delta":{"message":{"content":{"text":"so"}}}}',
      `{"type":"message-end","delta":{"finish_reason":"${reason}"}}`,
    ]);
    expect(streamedAnswer(sse(parts))).toMatchObject({ text: "so", finishReason: finish });
  });

  test.each(["NEVER_HEARD_OF", "constructor", "", undefined])("%s is no end", (reason) => {
    const member = reason === undefined ? "" : `"finish_reason":"${reason}",`;
    expect(whole(`{${member}${TEXT}}`)).toMatchObject({
      ok: false,
      failure: { class: "invalid_response", tryNext: true },
    });
    const delta = reason === undefined ? "{}" : `{"finish_reason":"${reason}"}`;
    const parts = stream([
      '{"type":"content-delta","delta":{"message":{"content":{"text":"so"}}}}',
      `{"type":"message-end","delta":${delta}}`,
    ]);
    expect(streamedAnswer(sse(parts))).toMatchObject({ text: "so", finishReason: null });
    const last = parts.at(-1);
    if (last === undefined || !("error" in last)) throw new Error("no error");
    const failure = cohere.adapter.classify({ status: 200, headers: new Headers(), body: last.error });
    expect(failure).toMatchObject({ class: "invalid_response", tryNext: true });
  });

  test.each(["ERROR", "NEVER_HEARD_OF"])("%s is billed all the same", (reason) => {
    const usage = '"usage":{"tokens":{"input_tokens":3,"output_tokens":2}}';
    const counted = { prompt_tokens: 3, completion_tokens: 2 };
    expect(whole(`{"finish_reason":"${reason}",${TEXT},${usage}}`)).toMatchObject({ ok: false, usage: counted });
    const parts = stream([`{"type":"message-end","delta":{"finish_reason":"${reason}",${usage}}}`]);
    expect(parts).toMatchObject([{ chunk: { usage: counted } }, { error: {} }]);
  });
});

test("thoughts and texts keep their order and their words", () => {
  const parts =
    '[{"type":"thinking","thinking":"a"},{"type":"text","text":"b"},{"type":"thinking","thinking":"c"},{"type":"text","text":"d"}]';
  const answer = whole(`{"finish_reason":"COMPLETE","message":{"content":${parts},"citations":[{"text":"b"}]}}`);
  expect(answer).toMatchObject({
    completion: {
      choices: [{ message: { content: "bd", reasoning_content: "ac", citations: [{ text: "b" }] } }],
    },
  });
});
