/** Streams that a provider wrote loosely, as the client reads them: the same whatever the chunking. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameReader } from "../../../../../src/wires/openai-chat/read-frames.ts";
import { tries } from "../../../../support/tries.ts";
import { isLinear } from "../../../../support/work.ts";

const OPTIONS = { seed: "tr_abc", finishWords: { gave_up: "error" } };

function readAll(pieces: readonly Uint8Array[]) {
  const reader = new FrameReader(OPTIONS);
  return [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
}
const read = (text: string) => readAll([Buffer.from(text)]);
const written = (text: string): string =>
  read(text)
    .map(({ raw }) => raw)
    .join("");

const event = (choices: string, more = ""): string =>
  `data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[${choices}]${more}}\n\n`;
const chunk = (delta: string, finish = "null"): string =>
  event(`{"index":0,"delta":${delta},"finish_reason":${finish}}`);
const calls = (list: string, finish = "null"): string => chunk(`{"tool_calls":[${list}]}`, finish);
const made = (finish: string, delta = "{}"): string => chunk(delta, finish);
const DONE = "data: [DONE]\n\n";
const STOP = chunk("{}", '"stop"');
const CALLED = chunk("{}", '"tool_calls"');

describe("a clean stream passes to the byte", () => {
  test.each([
    chunk('{"role":"assistant","content":""}') +
      chunk('{"content":"a"}') +
      STOP +
      event("", ',"usage":{"n":9007199254740993}') +
      DONE,
    calls('{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}') +
      calls('{"index":0,"function":{"arguments":"{\\"x\\":"}}') +
      calls('{"index":0,"function":{"arguments":"1}"}}') +
      calls('{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}') +
      CALLED +
      DONE,
    `: keep-alive\n\n${chunk('{"content":"a"}')}${STOP}`,
    event("", ',"prompt_filter_results":[]') + STOP,
    calls('{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"null"}}') + CALLED,
  ])("%s", (text) => {
    expect(written(text)).toBe(text);
  });
});

const begin = (id: string, args: string, index = ""): string =>
  `{${index}"id":"${id}","type":"function","function":{"name":"f","arguments":${args}}}`;
const ARGS = '"{\\"x\\":1}"';

describe("calls", () => {
  test.each<{ name: string; sent: string; got: { id: string; name: string; args: string }[] }>([
    {
      name: "no index",
      sent: calls(begin("a", ARGS)) + calls(begin("b", ARGS)),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "two in one delta, without index",
      sent: calls(`${begin("a", ARGS)},${begin("b", ARGS)}`),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "index 0 for all",
      sent: calls(begin("a", ARGS, '"index":0,')) + calls(begin("b", ARGS, '"index":0,')),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "index 0 for all, and no ids",
      sent: calls(begin("", ARGS, '"index":0,')) + calls(begin("", ARGS, '"index":0,')),
      got: [
        { id: "*", name: "f", args: '{"x":1}' },
        { id: "*", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "neither index nor id",
      sent: calls('{"function":{"name":"f","arguments":"{}"}}') + calls('{"function":{"name":"g","arguments":"{}"}}'),
      got: [
        { id: "*", name: "f", args: "{}" },
        { id: "*", name: "g", args: "{}" },
      ],
    },
    {
      name: "pieces without index",
      sent: calls(begin("a", '"{\\"x"')) + calls('{"function":{"arguments":"\\":1}"}}'),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
    {
      name: "pieces of two calls by their ids alone",
      sent:
        calls(begin("a", '"{\\"x"')) +
        calls(begin("b", '"{}"')) +
        calls('{"id":"a","function":{"arguments":"\\":1}"}}'),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: "{}" },
      ],
    },
    {
      name: "id and name with every piece",
      sent: calls(begin("a", '"{\\"x"', '"index":0,')) + calls(begin("a", '"\\":1}"', '"index":0,')),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
    {
      name: "another id with every piece",
      sent:
        calls(begin("a", '"{\\"x"', '"index":0,')) + calls('{"index":0,"id":"z","function":{"arguments":"\\":1}"}}'),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
    {
      name: "a call that is repeated whole",
      sent: calls(begin("a", ARGS, '"index":0,')) + calls(begin("a", ARGS, '"index":0,')),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
    {
      name: "the same id for two",
      sent: calls(begin("a", ARGS, '"index":0,')) + calls(begin("a", ARGS, '"index":1,')),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "*", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "an index that begins at 1",
      sent: calls(begin("a", ARGS, '"index":1,')) + calls(begin("b", ARGS, '"index":3,')),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "an index that is a text",
      sent: calls(begin("a", ARGS, '"index":"0",')) + calls(begin("b", ARGS, '"index":"1",')),
      got: [
        { id: "a", name: "f", args: '{"x":1}' },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "an object for arguments",
      sent: calls(begin("a", '{"n":9007199254740993}', '"index":0,')),
      got: [{ id: "a", name: "f", args: '{"n":9007199254740993}' }],
    },
    ...['""', "null", '"null"', '" "', "[]"].map((args) => ({
      name: `${args} for arguments`,
      sent: calls(begin("a", args, '"index":0,')),
      got: [{ id: "a", name: "f", args: "{}" }],
    })),
    {
      name: "the word null in pieces",
      sent: calls(begin("a", '"nu"', '"index":0,')) + calls('{"index":0,"function":{"arguments":"ll"}}'),
      got: [{ id: "a", name: "f", args: "{}" }],
    },
    {
      name: "a text that only begins like null",
      sent: calls(begin("a", '"nu"', '"index":0,')) + calls('{"index":0,"function":{"arguments":"mber"}}'),
      got: [{ id: "a", name: "f", args: "number" }],
    },
    {
      name: "no arguments for the first of two",
      sent: calls(begin("a", '""', '"index":0,')) + calls(begin("b", ARGS, '"index":1,')),
      got: [
        { id: "a", name: "f", args: "{}" },
        { id: "b", name: "f", args: '{"x":1}' },
      ],
    },
    {
      name: "name and arguments in the call itself",
      sent: calls('{"name":"f","arguments":{"x":1}}'),
      got: [{ id: "*", name: "f", args: '{"x":1}' }],
    },
    {
      name: "one call in place of a list",
      sent: chunk(`{"tool_calls":${begin("a", ARGS)}}`),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
    {
      name: "an entry that is no call",
      sent: calls(`null,${begin("a", ARGS)}`),
      got: [{ id: "a", name: "f", args: '{"x":1}' }],
    },
  ])("$name", ({ sent, got }) => {
    for (const end of [STOP + DONE, CALLED, DONE, STOP.replace('"delta":{}', '"delta":{"content":""}')]) {
      const seen = collectCalls(written(sent + end));
      expect(seen.calls.map(({ name, args }) => ({ name, args }))).toEqual(
        got.map(({ name, args }) => ({ name, args })),
      );
      expect(seen.finish).toBe("tool_calls");
      expect(seen.calls.map(({ id }, at) => (got[at]!.id === "*" ? id !== "" : id === got[at]!.id))).not.toContain(
        false,
      );
      expect(new Set(seen.calls.map(({ id }) => id)).size).toBe(got.length);
    }
  });

  test("the calls of one delta that also ends the answer", () => {
    const seen = collectCalls(written(calls(`${begin("a", '""')},${begin("b", "null")}`, '"stop"')));
    expect(seen).toMatchObject({ finish: "tool_calls", calls: [{ args: "{}" }, { args: "{}" }] });
  });
});

/** As the strictest client adds deltas up: by index, id and name once, arguments joined. */
function collectCalls(text: string) {
  const found: { id: string; name: string; args: string }[] = [];
  let finish: unknown;
  for (const block of text.split("\n\n")) {
    if (!block.startsWith("data: {")) continue;
    for (const choice of JSON.parse(block.slice(6)).choices) {
      for (const { index, id, type, function: detail } of choice.delta.tool_calls ?? []) {
        if (found[index] === undefined) {
          expect(index).toBe(found.length);
          expect(type).toBe("function");
          found.push({ id, name: detail.name, args: "" });
        } else expect([id, detail?.name]).toEqual([undefined, undefined]);
        found[index]!.args += detail?.arguments ?? "";
      }
      finish ??= choice.finish_reason ?? undefined;
    }
  }
  return { calls: found, finish };
}

describe("chunks and frames", () => {
  const SAID = chunk('{"content":"a"}');
  test.each<{ name: string; sent: string; got: string }>([
    { name: "an empty frame", sent: `${SAID}data:\n\n${STOP}`, got: SAID + STOP },
    { name: "a named empty frame", sent: `${SAID}event: ping\ndata:\n\n${STOP}`, got: SAID + STOP },
    { name: "plain text", sent: `data: keepalive\n\n${SAID}data: [PING]\n\n${STOP}`, got: SAID + STOP },
    { name: "other line ends", sent: `: c\r\r${SAID}${STOP}`.replaceAll("\n", "\r\n"), got: `: c\n\n${SAID}${STOP}` },
    { name: "an id alone", sent: `${SAID}id: 5\n\nretry: 10\n\n${STOP}`, got: SAID + STOP },
    {
      name: "JSON that is no chunk",
      sent: `${SAID}data: {"type":"ping"}\n\ndata: 7\n\ndata: []\n\n${STOP}`,
      got: SAID + STOP,
    },
    { name: "the fields of an event", sent: `event: chunk\nid: 1\n${SAID}${STOP}`, got: SAID + STOP },
    { name: "half an event at the end", sent: `${SAID}data: {"id":"c","ch`, got: SAID },
    {
      name: "usage without choices",
      sent: `${SAID}${STOP}data: {"id":"c","usage":{"prompt_tokens":1}}\n\n`,
      got: `${SAID}${STOP}data: {"id":"c","usage":{"prompt_tokens":1},"choices":[]}\n\n`,
    },
    {
      name: "a choice without index",
      sent: event('{"delta":{"content":"a"},"finish_reason":null}') + STOP,
      got: event('{"delta":{"content":"a"},"finish_reason":null,"index":0}') + STOP,
    },
    {
      name: "a choice without delta",
      sent: SAID + event('{"index":0,"finish_reason":"stop"}'),
      got: SAID + event('{"index":0,"finish_reason":"stop","delta":{}}'),
    },
    {
      name: "a message for a delta",
      sent: event('{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}'),
      got: event('{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":"a"}}'),
    },
    {
      name: "parts for content",
      sent:
        chunk('{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}') +
        chunk('{"content":[{"type":"text","text":"a"}]}') +
        STOP,
      got: chunk('{"content":"","reasoning_content":"hm"}') + SAID + STOP,
    },
    { name: "another word for the end", sent: SAID + made('"eos"'), got: SAID + STOP },
    { name: "[DONE] without a finish reason", sent: SAID + DONE, got: SAID + STOP + DONE },
    { name: "a finish reason without [DONE]", sent: SAID + STOP, got: SAID + STOP },
    { name: "neither", sent: SAID, got: SAID },
    {
      name: "[DONE] behind the role alone",
      sent: chunk('{"role":"assistant","content":""}') + DONE,
      got: chunk('{"role":"assistant","content":""}') + DONE,
    },
    {
      name: "[DONE] where one of two choices has ended",
      sent: SAID + SAID.replace('"index":0', '"index":1') + STOP + DONE,
      got: SAID + SAID.replace('"index":0', '"index":1') + STOP + STOP.replace('"index":0', '"index":1') + DONE,
    },
  ])("$name", ({ sent, got }) => {
    expect(written(sent)).toBe(got);
  });

  test.each([
    ['data: {"error":{"message":"m"}}\n\n', { error: { message: "m" } }],
    ['data: [{"error":{"code":429}}]\n\n', { error: { code: 429 } }],
    ['data: {"object":"error","message":"m","code":"c"}\n\n', { message: "m" }],
    ['data: {"code":"Throttling","message":"m","request_id":"r"}\n\n', { code: "Throttling" }],
    ['data: {"base_resp":{"status_code":1002},"choices":null}\n\n', { base_resp: { status_code: 1002 } }],
    ['event: error\ndata: {"message":"m"}\n\n', { message: "m" }],
    ["event: error\ndata: overloaded\n\n", { error: { message: "overloaded" } }],
    ['error: {"code":500}\n\n', { code: 500 }],
    [made('"error"'), { choices: [{ finish_reason: "error" }] }],
    [made('"gave_up"'), { choices: [{ finish_reason: "error" }] }],
  ])("%s is the provider's error", (sent, body) => {
    const frames = read(chunk('{"content":"a"}') + sent);
    expect(frames.map(({ view }) => view?.kind)).toEqual(["content", "error"]);
    expect(frames[1]!.view!.chunk).toMatchObject(body);
  });
});

describe("one document in place of a stream", () => {
  const WHOLE = `{
    "id": "c", "object": "chat.completion", "created": 7, "model": "m", "service_tier": "x",
    "choices": [{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[{"function":{"name":"f","arguments":{"n":9007199254740993}}}]},"logprobs":null,"finish_reason":"stop"}],
    "usage": {"prompt_tokens":1,"completion_tokens":2}
  }`;

  test("is told as one", () => {
    const frames = read(WHOLE);
    expect(frames.map(({ view }) => view?.kind)).toEqual(["content", "content", "usage", "done"]);
    const [said, end, usage] = frames.map(({ view }) => view!.chunk);
    expect(said).toMatchObject({
      id: "c",
      object: "chat.completion.chunk",
      service_tier: "x",
      choices: [{ index: 0, finish_reason: null }],
    });
    expect(said).not.toHaveProperty("usage");
    expect(collectCalls(frames.map(({ raw }) => raw).join(""))).toMatchObject({
      finish: "tool_calls",
      calls: [{ name: "f", args: '{"n":9007199254740993}' }],
    });
    expect(end).toMatchObject({ choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] });
    expect(usage).toMatchObject({ choices: [], usage: { prompt_tokens: 1 } });
  });

  test("or it is an error, or nothing", () => {
    expect(read('{"error":{"message":"m"}}').map(({ view }) => view?.kind)).toEqual(["error"]);
    for (const text of ["{}", "[]", "{", "[1,2]", '{"choices":[]}', '{"choices":[{"index":0}]}']) {
      expect(read(text).filter(({ view }) => view?.kind === "content")).toEqual([]);
    }
  });
});

test("the same frames for every chunking", () => {
  const odd = [
    chunk('{"content":"é \u{1F30D}"}'),
    calls(begin("a", '"nu"')),
    calls('{"function":{"arguments":"ll"}}'),
    calls(`${begin("", ARGS)},${begin("", '{"x": 1}')}`),
    "data:\n\n",
    ": c\n\n",
    "id: 1\n\n",
    event('{"delta":{"content":[{"type":"text","text":"b"}]}}'),
    chunk("{}", '"stop"'),
    event("", ',"usage":{}'),
    DONE,
  ];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(odd, { minLength: 1 }),
      fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      (events, sizes, hasCr) => {
        const bytes = Buffer.from(hasCr ? events.join("").replaceAll("\n", "\r\n") : events.join(""));
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = 1 + sizes[turn % sizes.length]!;
          pieces.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(readAll(pieces)).toEqual(readAll([bytes]));
      },
    ),
    { numRuns: tries(500) },
  );
});

test("hostile lists cost no more than their length", () => {
  const readMany = (size: number): void => {
    const many = Array.from({ length: size }, (_, at) => `{"index":${at},"id":"c${at}","function":{"name":"f"}}`);
    // Each call without arguments is owed `{}` in a chunk of its own.
    expect(read(calls(many.join(",")) + STOP)).toHaveLength(size + 2);
  };
  expect(isLinear(500, readMany)).toBe(true);
});
