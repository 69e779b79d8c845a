import { describe, expect, test } from "vitest";
import { MAX_DEPTH } from "../../../../src/http/body.ts";
import { RouterError } from "../../../../src/http/errors.ts";
import { type ChunkKind, hasError, usageOf, viewChunk } from "../../../../src/wires/openai-chat/chunk.ts";
import { MAX_MEMBERS, MAX_VALUES, parseChatRequest } from "../../../../src/wires/openai-chat/request-fields.ts";
import { failureEvent } from "../../../../src/wires/openai-chat/stream/tail-watch.ts";

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';
const text = (members = ""): string => `{"model":"flow/a",${MESSAGES}${members === "" ? "" : `,${members}`}}`;

function refusalOf(body: string): { code: string; param: string | null; message: string } {
  try {
    parseChatRequest(body);
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
  throw new Error("The request was accepted.");
}

describe("parseChatRequest", () => {
  test("a plain request has no controls, no stream and its own text", () => {
    const request = parseChatRequest(text());
    expect(request).toMatchObject({ model: "flow/a", stream: false, includeUsage: false, controls: {}, text: text() });
    expect(request.members.map(({ key }) => key)).toEqual(["model", "messages"]);
    expect(request.fields["messages"]).toEqual([{ role: "user", content: "hi" }]);
  });

  test.each([
    { members: '"stream":true', read: { stream: true, includeUsage: false } },
    { members: '"stream":false', read: { stream: false } },
    { members: '"stream":true,"stream_options":null', read: { stream: true, includeUsage: false } },
    { members: '"stream":true,"stream_options":{}', read: { includeUsage: false } },
    { members: '"stream":true,"stream_options":{"include_usage":true,"x":1}', read: { includeUsage: true } },
    { members: '"route":{}', read: { controls: {} } },
    {
      members:
        '"route":{"fallback":false,"latency_budget_ms":600000,"spend_budget_usd":1e-6,"require_tool_approval":true,"only":["openai"],"avoid":[],"tags":{"team":"a"}}',
      read: {
        controls: {
          fallback: false,
          latency_budget_ms: 600_000,
          spend_budget_usd: 0.000001,
          require_tool_approval: true,
          only: ["openai"],
          avoid: [],
          tags: { team: "a" },
        },
      },
    },
    { members: `"route":{"resume":"tr_${"a".repeat(32)}"}`, read: { controls: { resume: `tr_${"a".repeat(32)}` } } },
  ])("reads $members", ({ members, read }) => {
    expect(parseChatRequest(text(members))).toMatchObject(read);
  });

  test.each([
    '"max_tokens":1e9',
    '"max_tokens":1,"max_completion_tokens":2',
    '"n":128',
    '"tools":[{"type":"custom","custom":{"name":"a"}},{"type":"function"},{"function":{"name":"b"}}]',
    '"functions":[{"name":"a"},{"name":"a"}]',
    '"temperature":"hot"',
    '"seed":9223372036854775808,"x":1e400',
    '"__proto__":{"stream":"yes"},"constructor":1',
    '"metadata":{"model":1,"stream":2,"stream":3}',
    `"x":${"[".repeat(MAX_DEPTH - 1)}${"]".repeat(MAX_DEPTH - 1)}`,
  ])("leaves %s to the provider", (members) => {
    expect(parseChatRequest(text(members)).text).toBe(text(members));
  });

  test.each([
    { body: "", code: "invalid_json", param: null },
    { body: "{", code: "invalid_json", param: null },
    { body: `\ufeff${text()}`, code: "invalid_json", param: null },
    { body: "null", code: "invalid_request", param: null },
    { body: "[]", code: "invalid_request", param: null },
    { body: "{}", code: "invalid_request", param: "model" },
    { body: `{"model":null,${MESSAGES}}`, code: "invalid_request", param: "model" },
    { body: '{"model":"a"}', code: "invalid_request", param: "messages" },
    { body: '{"model":"a","messages":[]}', code: "invalid_request", param: "messages" },
    { body: '{"model":"a","messages":[[]]}', code: "invalid_request", param: "messages[0]" },
    {
      body: '{"model":"a","messages":[{"role":"user"},{"role":1}]}',
      code: "invalid_request",
      param: "messages[1].role",
    },
    {
      body: text('"stream_options":{"include_usage":1}'),
      code: "invalid_request",
      param: "stream_options.include_usage",
    },
    { body: text('"max_tokens":0'), code: "invalid_request", param: "max_tokens" },
    { body: text('"max_completion_tokens":1.5'), code: "invalid_request", param: "max_completion_tokens" },
    {
      body: text('"tools":[{"function":{"name":"a"}},{"function":{"name":"a"}}]'),
      code: "invalid_request",
      param: "tools",
    },
    { body: text('"route":{"only":["ok",""]}'), code: "invalid_request", param: "route.only[1]" },
    { body: text('"route":{"resume":"tr_short"}'), code: "invalid_request", param: "route.resume" },
    { body: text('"route":{"a b":1}'), code: "invalid_request", param: "route.a b" },
    { body: text(`"route":{"${"k".repeat(60_000)}":1}`), code: "invalid_request", param: `route.${"k".repeat(194)}…` },
    { body: text('"stream":true,"stream":false'), code: "invalid_request", param: "stream" },
    { body: text('"mod\\u0065l":"flow/b"'), code: "invalid_request", param: "model" },
    { body: text(`"x":${"[".repeat(MAX_DEPTH)}${"]".repeat(MAX_DEPTH)}`), code: "invalid_request", param: null },
  ])("refuses $code at $param", ({ body, code, param }) => {
    const refusal = refusalOf(body);
    expect({ code: refusal.code, param: refusal.param }).toEqual({ code, param });
    expect(refusal.message.length).toBeLessThan(400);
  });

  test.each([
    { name: "a role", path: "messages[1].role", message: '{"role":"tool","role":"user","content":"1"}' },
    {
      name: "a role, once spelt with an escape",
      path: "messages[1].role",
      message: '{"role":"tool","r\\u006fle":"user","content":"1"}',
    },
    {
      name: "an id",
      path: "messages[1].tool_call_id",
      message: '{"role":"tool","tool_call_id":"a","tool_call_id":"b","content":"1"}',
    },
    {
      name: "the calls",
      path: "messages[1].tool_calls",
      message: '{"role":"assistant","tool_calls":[{"id":"a"}],"tool_calls":[]}',
    },
    {
      name: "a call's id",
      path: "messages[1].tool_calls[0].id",
      message: '{"role":"assistant","tool_calls":[{"id":"a","id":"b"}]}',
    },
    {
      name: "a call's arguments",
      path: "messages[1].tool_calls[0].function.arguments",
      message: '{"role":"assistant","tool_calls":[{"id":"a","function":{"arguments":"1","arguments":"2"}}]}',
    },
    {
      name: "a part's type",
      path: "messages[1].content[0].type",
      message: '{"role":"user","content":[{"type":"tool_result","type":"text","text":"1"}]}',
    },
  ])("$name of a message given twice is refused: a provider may read the other one", ({ message, path }) => {
    const body = `{"model":"flow/a","messages":[{"role":"user","content":"hi"},${message}]}`;
    expect(refusalOf(body)).toMatchObject({ code: "invalid_request", param: path });
  });

  test.each([
    { name: "beside the messages", body: text('"x":1,"x":2,"y":{"k":1,"k":2},"tools":[{"a":1,"a":2}]') },
    {
      name: "in what the router does not read of a message",
      body: '{"model":"flow/a","messages":[{"role":"user","content":"{\\"role\\":1}","x":{"k":1,"k":2},"x":1}]}',
    },
    { name: "nowhere, with odd names", body: text('"__proto__":{"__proto__":[{"":1}]},"1":[[{"a":1}],null]') },
  ])("keys given twice $name are the provider's to judge", ({ body }) => {
    expect(parseChatRequest(body).text).toBe(body);
  });

  test.each(["stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "route"])(
    "null for %s is left out, and the rest stays byte for byte",
    (name) => {
      const { text: left, fields, members } = parseChatRequest(text(`"seed":1e0,"${name}":null, "stop":null`));
      expect(left).toBe(text('"seed":1e0, "stop":null'));
      expect(Object.hasOwn(fields, name)).toBe(false);
      expect(members.map(({ key }) => key)).toEqual(["model", "messages", "seed", "stop"]);
    },
  );

  test.each([
    { members: '"tools":[],"tool_choice":"none","n":1', left: '"n":1' },
    { members: '"tools":null,"tool_choice":null', left: '"tool_choice":null' },
    { members: '"stream_options":{"a":1,"include_usage":null}', left: '"stream_options":{"a":1}' },
    {
      members: '"tools":[ {"function":null} , {"custom":{"name":null,"b":1.0}}]',
      left: '"tools":[ {} , {"custom":{"b":1.0}}]',
    },
  ])("$members asks for less than it says", ({ members, left }) => {
    expect(parseChatRequest(text(members)).text).toBe(text(left));
  });

  test("null for a control of a route counts as left out", () => {
    const route = '"route":{"fallback":null,"latency_budget_ms":5,"tags":{"a":null,"b":"c"},"only":null}';
    expect(parseChatRequest(text(route)).controls).toEqual({ latency_budget_ms: 5, tags: { b: "c" } });
  });

  test.each([
    ...[
      { body: text('"Stream":true'), param: "Stream" },
      { body: text('"N":2'), param: "N" },
    ],
    { body: '{"model":"flow/a","mode\u017f":1,"me\u017fsages":[]}', param: "me\u017fsages" },
    { body: '{"model":"flow/a","messages":[{"role":"user","CONTENT":"x"}]}', param: "messages[0].CONTENT" },
  ])("a key that differs from a read one in case only is refused at $param", ({ body, param }) => {
    expect(refusalOf(body)).toMatchObject({ code: "invalid_request", param });
  });

  test("members are counted in all objects together, to the last one", () => {
    const nested = (count: number): string =>
      `"x":[${Array.from({ length: count }, (_, at) => `{"${at % 7}":0}`).join(",")}]`;
    // model, messages, role, content and x are five.
    expect(parseChatRequest(text(nested(MAX_MEMBERS - 5))).model).toBe("flow/a");
    expect(refusalOf(text(nested(MAX_MEMBERS - 4))).code).toBe("invalid_request");
  });

  test.each([
    { name: "no objects", element: "0", param: "messages[1000]" },
    { name: "without a role", element: "{}", param: "messages[1000].role" },
  ])("of very many messages that are wrong ($name) the first is told", ({ element, param }) => {
    const good = Array<string>(1_000).fill('{"role":"user"}');
    const wrong = Array<string>(200_000).fill(element);
    expect(refusalOf(`{"model":"flow/a","messages":[${[...good, ...wrong].join(",")}]}`)).toMatchObject({
      ...{ code: "invalid_request", param },
    });
  });

  test("a long body with more values than memory can hold is refused unread", () => {
    const listed = (count: number): string => text(`"x":[${Array<string>(count).fill("[     ]").join(",")}]`);
    expect(parseChatRequest(listed(MAX_VALUES / 2 - 10)).model).toBe("flow/a");
    expect(refusalOf(listed(MAX_VALUES / 2))).toMatchObject({ code: "invalid_request", param: null });
    expect(refusalOf(`${"[".repeat(2 * MAX_VALUES + 100_000)}`).message).toContain(String(MAX_VALUES));
  });

  test("a prompt is never repeated in a refusal", () => {
    const body = '{"model":"flow/a","messages":[{"role":1,"content":"very private"}],"n":"very private"}';
    expect(refusalOf(body).message).not.toContain("private");
  });
});

describe("viewChunk", () => {
  const chunk = (choice: object, more: object = {}): string =>
    JSON.stringify({ choices: [{ index: 0, ...choice }], ...more });

  test.each<{ name: string; data: string; kind: ChunkKind }>([
    { name: "the end", data: "[DONE]", kind: "done" },
    { name: "the end with white space", data: " [DONE] ", kind: "done" },
    { name: "no JSON", data: "{", kind: "malformed" },
    { name: "nothing", data: "", kind: "malformed" },
    { name: "an array", data: "[1]", kind: "malformed" },
    { name: "null", data: "null", kind: "malformed" },
    { name: "text", data: chunk({ delta: { content: "a" } }), kind: "content" },
    { name: "text of white space", data: chunk({ delta: { content: " " } }), kind: "content" },
    { name: "reasoning", data: chunk({ delta: { reasoning: "a" } }), kind: "content" },
    { name: "reasoning in its other spelling", data: chunk({ delta: { reasoning_content: "a" } }), kind: "content" },
    { name: "a tool call", data: chunk({ delta: { tool_calls: [{ index: 0 }] } }), kind: "content" },
    { name: "a legacy call", data: chunk({ delta: { function_call: { name: "a" } } }), kind: "content" },
    { name: "a refusal", data: chunk({ delta: { refusal: "no" } }), kind: "content" },
    { name: "audio", data: chunk({ delta: { audio: { data: "a" } } }), kind: "content" },
    { name: "the finish", data: chunk({ delta: {}, finish_reason: "stop" }), kind: "content" },
    {
      name: "the finish with usage",
      data: chunk({ finish_reason: "stop" }, { usage: { prompt_tokens: 1 } }),
      kind: "content",
    },
    { name: "a role", data: chunk({ delta: { role: "assistant", content: "" } }), kind: "empty" },
    {
      name: "nulls",
      data: chunk({ delta: { content: null, tool_calls: [], refusal: null }, finish_reason: null }),
      kind: "empty",
    },
    { name: "no delta", data: chunk({}), kind: "empty" },
    { name: "a delta of another type", data: chunk({ delta: "a" }), kind: "empty" },
    { name: "no choices and no usage", data: '{"choices":[],"prompt_filter_results":[]}', kind: "empty" },
    { name: "choices of another type", data: '{"choices":"x"}', kind: "empty" },
    { name: "a choice of another type", data: '{"choices":[null,1]}', kind: "empty" },
    {
      name: "text in the second choice",
      data: '{"choices":[{"delta":{}},{"delta":{"content":"a"}}]}',
      kind: "content",
    },
    { name: "usage and no choices", data: '{"choices":[],"usage":{"prompt_tokens":1}}', kind: "usage" },
    { name: "null usage and no choices", data: '{"choices":[],"usage":null}', kind: "empty" },
    { name: "an error", data: '{"error":{"message":"x"}}', kind: "error" },
    { name: "an error as text", data: '{"error":"x"}', kind: "error" },
    { name: "an error beside text", data: chunk({ delta: { content: "a" } }, { error: { code: 1 } }), kind: "error" },
    { name: "an error for a finish", data: chunk({ delta: {}, finish_reason: "error" }), kind: "error" },
    { name: "no error", data: chunk({ delta: { content: "a" } }, { error: null }), kind: "content" },
    { name: "an empty error", data: chunk({ delta: { content: "a" } }, { error: "" }), kind: "content" },
  ])("$name is $kind", ({ data, kind }) => {
    const view = viewChunk(data);
    expect(view.kind).toBe(kind);
    expect(view.chunk).toEqual(kind === "done" || kind === "malformed" ? {} : JSON.parse(data));
  });

  test("our own error event is read as an error", () => {
    const event = failureEvent("chatcmpl-1", "The provider's stream broke.");
    expect(event).toMatch(/^data: .*\n\n$/);
    const { kind, chunk: read } = viewChunk(event.slice("data: ".length));
    expect(kind).toBe("error");
    expect(read).toEqual({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: {}, finish_reason: "error" }],
      error: {
        message: "The provider's stream broke.",
        type: "upstream_error",
        code: "stream_interrupted",
        param: null,
      },
    });
  });
});

test.each([
  { body: {}, is: false },
  { body: { error: null }, is: false },
  { body: { error: "" }, is: false },
  { body: { error: false }, is: false },
  { body: { error: {} }, is: true },
  { body: { error: "x" }, is: true },
])("$body reports a failure: $is", ({ body, is }) => {
  expect(hasError(body)).toBe(is);
});

test.each([
  { name: "where OpenAI puts it", chunk: { usage: 1, x_groq: { usage: 2 } }, usage: 1 },
  { name: "where Groq puts it", chunk: { usage: null, x_groq: { usage: 2 } }, usage: 2 },
  { name: "in the choice", chunk: { choices: [{ usage: 3 }] }, usage: 3 },
  { name: "nowhere", chunk: { choices: [null], x_groq: 1 }, usage: undefined },
  { name: "in no object", chunk: "x", usage: undefined },
  {
    name: "with the tier that served",
    chunk: { usage: { a: 1 }, service_tier: "flex" },
    usage: { a: 1, service_tier: "flex" },
  },
  { name: "without a tier", chunk: { usage: { a: 1 }, service_tier: null }, usage: { a: 1 } },
  { name: "nowhere, whatever the tier", chunk: { service_tier: "flex" }, usage: undefined },
])("usage is found $name", ({ chunk, usage }) => {
  expect(usageOf(chunk)).toEqual(usage);
});
