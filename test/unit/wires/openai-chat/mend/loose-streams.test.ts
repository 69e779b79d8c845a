/** More of what providers write loosely in a stream: beginnings said twice, ends said twice, lines without gaps. */
import { describe, expect, test } from "vitest";
import { FrameReader } from "../../../../../src/wires/openai-chat/read-frames.ts";
import { collect } from "../../../../support/sse.ts";

const line = (choice: object): string =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [choice] })}\n`;
const chunk = (delta: object | null, finish: string | null = null): string =>
  `${line({ index: 0, delta, finish_reason: finish })}\n`;
const call = (entry: object): string => chunk({ tool_calls: [entry] });
const DONE = "data: [DONE]\n\n";

function read(text: string): string {
  const whole = new FrameReader({ seed: "tr_1" });
  const frames = [...whole.push(Buffer.from(text)), ...whole.end()].map(({ raw }) => raw).join("");
  const cut = new FrameReader({ seed: "tr_1" });
  const pieces = [...Buffer.from(text)].flatMap((byte) => cut.push(Uint8Array.of(byte)));
  expect([...pieces, ...cut.end()].map(({ raw }) => raw).join("")).toBe(frames);
  return frames;
}

const endsOf = (text: string): string[] => [...text.matchAll(/"finish_reason":"(\w*)"/g)].map(([, word = ""]) => word);

describe("what a call began with is said once", () => {
  const first = call({ index: 0, id: "a", type: "function", function: { name: "find", arguments: "" } });
  test.each<[string, object]>([
    ["null for all of it", { index: 0, id: null, type: null, function: { name: null, arguments: '{"x":1}' } }],
    ["the type again", { index: 0, type: "function", function: { arguments: '{"x":1}' } }],
    ["an empty name and an empty id", { index: 0, id: "", function: { name: "", arguments: '{"x":1}' } }],
    ["another id", { index: 0, id: "b", type: "function", function: { name: "", arguments: '{"x":1}' } }],
  ])("%s", (_, next) => {
    const got = read(first + call(next) + chunk({}, "tool_calls") + DONE);
    expect(collect(got).toolCalls).toEqual([{ id: "a", name: "find", arguments: '{"x":1}' }]);
    expect(got).toContain('{"index":0,"function":{"arguments":"{\\"x\\":1}"}}');
  });
});

describe("the client gets one end", () => {
  test.each<[string, string, string[], string]>([
    [
      "empty words before it",
      chunk({ content: "a" }, "") + chunk({ content: "b" }, "null") + chunk({}, "stop"),
      ["stop"],
      "ab",
    ],
    ["the same end again", chunk({ content: "ab" }, "stop") + chunk({ content: "" }, "stop"), ["stop"], "ab"],
    ["text behind the end", chunk({ content: "a" }, "stop") + chunk({ content: "b" }, "stop"), ["stop"], "ab"],
    ["no delta at the end", chunk({ content: "ab" }) + chunk(null, "stop"), ["stop"], "ab"],
  ])("%s", (_, sent, ends, text) => {
    const got = read(sent + DONE);
    expect(endsOf(got)).toEqual(ends);
    expect(collect(got)).toMatchObject({ text, finishReason: "stop", isDone: true });
  });

  test("calls behind an end that came too early", () => {
    const late = call({ index: 0, id: "a", type: "function", function: { name: "find", arguments: "{}" } });
    const got = read(chunk({ content: "a" }, "stop") + late + chunk({}, "stop") + DONE);
    expect(endsOf(got)).toEqual(["stop", "tool_calls"]);
  });
});

describe("frames without the empty line between them", () => {
  const lines =
    line({ index: 0, delta: { content: "a" } }) +
    line({ index: 0, delta: { content: "b" } }) +
    line({ index: 0, delta: {}, finish_reason: "stop" });
  test.each([
    ["up to the end of the body", `${lines}data: [DONE]\n`],
    ["now and then", `${lines}\n${DONE}`],
  ])("%s", (_, sent) => {
    const got = read(sent);
    expect(collect(got)).toMatchObject({ text: "ab", finishReason: "stop", isDone: true });
    expect(got.split("\n\n").every((event) => event.split("data:").length <= 2)).toBe(true);
  });
});

describe("arguments that are an object in a text", () => {
  const quoted = JSON.stringify(JSON.stringify({ x: '"' }));
  test("in one piece and in several", () => {
    const begin = { index: 0, id: "a", type: "function", function: { name: "find", arguments: "" } };
    const pieces = [...quoted].map((letter) => call({ index: 0, function: { arguments: letter } })).join("");
    const expected = [{ id: "a", name: "find", arguments: '{"x":"\\""}' }];
    expect(collect(read(call(begin) + pieces + chunk({}, "stop") + DONE)).toolCalls).toEqual(expected);
    const whole = call({ ...begin, function: { name: "find", arguments: quoted } });
    expect(collect(read(whole + chunk({}, "stop") + DONE)).toolCalls).toEqual(expected);
  });
});
