import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AdapterCall, AnswerContext, UpstreamRequest } from "../../../../src/providers/adapter.ts";
import { cohere } from "../../../../src/providers/cohere.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";
import { allFixtures, bytesOf, type Fixture, named, streamedAnswer, wholeAnswer } from "../../../support/fixtures.ts";
import { foreignKeys, hostileChat } from "../../../support/hostile-chat.ts";
import { cutStep, tries } from "../../../support/tries.ts";

type Json = Record<string, unknown>;

const CONTEXT: AnswerContext = {
  asked: askedInChat({}),
  model: "command-example",
  traceId: "tr_1",
  createdAt: 1_795_000_000,
};
const CONFIG = { baseUrl: "https://api.cohere.com/v2", headers: { authorization: "Bearer key" } };
const HELLO = [{ role: "user", content: "hi" }];
const FIXTURES = allFixtures().filter(({ provider }) => provider === "cohere");
const PAIRS = new URL("../../../../../shared/fixtures/request-pairs.json", import.meta.url).pathname;

async function send(fields: Json, options: Partial<AdapterCall> = {}): Promise<UpstreamRequest> {
  return cohere.adapter.toUpstream({
    ...inChat(fields),
    stream: fields["stream"] === true,
    model: "command-example",
    params: {},
    maxOutputTokens: undefined,
    config: CONFIG,
    ...options,
  });
}

async function bodyOf(fields: Json, options: Partial<AdapterCall> = {}): Promise<Json> {
  return JSON.parse((await send({ model: "flow/x", messages: HELLO, ...fields }, options)).body) as Json;
}

describe("requests", () => {
  test("address, headers and the least body", async () => {
    const request = await send({ model: "flow/x", messages: HELLO, route: {}, stream: true });
    expect(request.url).toBe("https://api.cohere.com/v2/chat");
    expect(request.headers).toMatchObject({
      authorization: "Bearer key",
      accept: "text/event-stream",
      "accept-encoding": "identity",
    });
    expect(JSON.parse(request.body)).toEqual({
      model: "command-example",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
    });
    expect(request.droppedParams).toEqual([]);
  });

  const TOOL = (name: string, more: Json = {}): Json => ({
    type: "function",
    function: { name, description: "d", parameters: { type: "object", properties: {} }, ...more },
  });
  const SENT = (name: string): Json => TOOL(name);
  const SCHEMA = { type: "object", properties: { a: { type: "string" } }, required: ["a"] };

  test.each<{ name: string; fields: Json; got: Json; options?: Partial<AdapterCall> }>([
    {
      name: "sampling",
      fields: { temperature: 0, top_p: 0.5, top_k: 3, seed: 7, stop: "x", frequency_penalty: 0.5 },
      got: { temperature: 0, p: 0.5, k: 3, seed: 7, stop_sequences: ["x"], frequency_penalty: 0.5 },
    },
    {
      name: "Cohere's own names",
      fields: { p: 0.4, k: 2, citation_options: { mode: "OFF" }, safety_mode: "NONE" },
      got: { p: 0.4, k: 2, citation_options: { mode: "OFF" }, safety_mode: "NONE" },
    },
    { name: "a p beyond Cohere's range", fields: { top_p: 1 }, got: { p: 0.99 } },
    { name: "penalties that say nothing", fields: { frequency_penalty: 0, presence_penalty: 0 }, got: {} },
    { name: "nulls", fields: { temperature: null, stop: null, seed: null, tools: null }, got: {} },
    { name: "either limit", fields: { max_completion_tokens: 9 }, got: { max_tokens: 9 } },
    {
      name: "the policy's limit",
      fields: { max_tokens: 90 },
      got: { max_tokens: 50 },
      options: { maxOutputTokens: 50 },
    },
    { name: "params", fields: {}, got: { temperature: 1 }, options: { params: { temperature: 1 } } },
    { name: "log probabilities", fields: { logprobs: true }, got: { logprobs: true } },
    {
      name: "a JSON object",
      fields: { response_format: { type: "json_object" } },
      got: { response_format: { type: "json_object" } },
    },
    {
      name: "a JSON schema",
      fields: { response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA, strict: true } } },
      got: { response_format: { type: "json_object", json_schema: SCHEMA } },
    },
    { name: "text as format", fields: { response_format: { type: "text" } }, got: {} },
    { name: "tools, free to choose", fields: { tools: [TOOL("a")], tool_choice: "auto" }, got: { tools: [SENT("a")] } },
    {
      name: "tools, one must be called",
      fields: { tools: [TOOL("a")], tool_choice: "required" },
      got: { tools: [SENT("a")], tool_choice: "REQUIRED" },
    },
    {
      name: "tools, none may be called",
      fields: { tools: [TOOL("a")], tool_choice: "none" },
      got: { tools: [SENT("a")], tool_choice: "NONE" },
    },
    {
      name: "a named tool is the only one offered",
      fields: { tools: [TOOL("a"), TOOL("b")], tool_choice: { type: "function", function: { name: "b" } } },
      got: { tools: [SENT("b")], tool_choice: "REQUIRED" },
    },
    {
      name: "allowed tools",
      fields: {
        tools: [TOOL("a"), TOOL("b"), TOOL("c")],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "auto", tools: [TOOL("a"), TOOL("c")] },
        },
      },
      got: { tools: [SENT("a"), SENT("c")] },
    },
    {
      name: "strict tools",
      fields: { tools: [TOOL("a", { strict: true, parameters: SCHEMA })] },
      got: { tools: [TOOL("a", { parameters: SCHEMA })], strict_tools: true },
    },
    {
      name: "strict tools, of which one has no required parameter",
      fields: { tools: [TOOL("a", { strict: true, parameters: SCHEMA }), TOOL("b", { strict: true })] },
      got: { tools: [TOOL("a", { parameters: SCHEMA }), SENT("b")] },
    },
    {
      name: "legacy functions",
      fields: { functions: [{ name: "a" }], function_call: { name: "a" } },
      got: {
        tools: [{ type: "function", function: { name: "a", parameters: { type: "object", properties: {} } } }],
        tool_choice: "REQUIRED",
      },
    },
    { name: "high effort", fields: { reasoning_effort: "high" }, got: { thinking: { type: "enabled" } } },
    {
      name: "low effort",
      fields: { reasoning_effort: "low" },
      got: { thinking: { type: "enabled", token_budget: 1024 } },
    },
    {
      name: "no effort for a model that never thinks",
      fields: { reasoning_effort: "none" },
      got: {},
      options: { model: "command-a-03-2025" },
    },
    { name: "no effort", fields: { reasoning_effort: "none" }, got: { thinking: { type: "disabled" } } },
    {
      name: "a budget within the limit",
      fields: { reasoning_effort: "medium", max_tokens: 1000 },
      got: { thinking: { type: "enabled", token_budget: 500 }, max_tokens: 1000 },
    },
    {
      name: "Anthropic's budget",
      fields: { thinking: { type: "enabled", budget_tokens: 300 } },
      got: { thinking: { type: "enabled", token_budget: 300 } },
    },
    {
      name: "OpenRouter's budget",
      fields: { reasoning: { max_tokens: 200 } },
      got: { thinking: { type: "enabled", token_budget: 200 } },
    },
    { name: "wishes beyond its scale", fields: { logit_bias: { "5": 1 }, presence_penalty: -1 }, got: {} },
    {
      name: "a schema beside the type",
      fields: { response_format: { type: "json_object", schema: SCHEMA } },
      got: { response_format: { type: "json_object", json_schema: SCHEMA } },
    },
    {
      name: "a tool whose schema is a choice",
      fields: { tools: [TOOL("a", { parameters: { ...SCHEMA, anyOf: [{ required: ["a"] }] } })] },
      got: {
        tools: [
          TOOL("a", {
            parameters: {
              ...SCHEMA,
              description: 'Of the arguments: at least one of these must hold: {"required":["a"]}',
            },
          }),
        ],
      },
    },
    { name: "a name with dots", fields: { tools: [TOOL("a.b/c")] }, got: { tools: [SENT("a_b_c")] } },
    {
      name: "an effort for a model that never thinks",
      fields: { reasoning_effort: "high" },
      got: {},
      options: { model: "command-r-08-2024" },
    },
    {
      name: "documents, of which nothing nested is passed on",
      fields: { documents: ["t", { id: "d", data: { a: "x", n: 1, o: { b: [1] } }, more: { c: 1 } }] },
      got: { documents: ["t", { id: "d", data: { a: "x", n: 1, o: '{"b":[1]}' } }] },
    },
  ])("$name", async ({ fields, got, options }) => {
    const { model: _model, messages: _messages, stream: _stream, ...rest } = await bodyOf(fields, options);
    expect(rest).toEqual(got);
  });

  test.each<{ name: string; message: Json; got: Json; fields?: Json }>([
    {
      name: "developer is system",
      message: { role: "developer", content: [{ type: "text", text: "d" }] },
      got: { role: "system", content: "d" },
    },
    {
      name: "texts stay parts",
      message: {
        role: "system",
        content: [
          { type: "text", text: "a", cache_control: { type: "ephemeral" } },
          { type: "text", text: "b" },
        ],
      },
      got: {
        role: "system",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    },
    {
      name: "images by address and by value",
      message: {
        role: "user",
        content: [
          { type: "text", text: "see" },
          { type: "image_url", image_url: { url: "https://a.b/c.png", detail: "low" } },
          { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
        ],
      },
      got: {
        role: "user",
        content: [
          { type: "text", text: "see" },
          { type: "image_url", image_url: { url: "https://a.b/c.png", detail: "low" } },
          { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
        ],
      },
    },
    {
      name: "calls with their plan",
      message: {
        role: "assistant",
        content: null,
        tool_plan: "look",
        reasoning_content: "hm",
        tool_calls: [{ id: "1", type: "function", function: { name: "a", arguments: "" }, extra_content: {} }],
      },
      got: {
        role: "assistant",
        tool_plan: "look",
        tool_calls: [{ id: "1", type: "function", function: { name: "a", arguments: "{}" } }],
      },
    },
    {
      name: "thoughts for a model that thinks",
      fields: { reasoning_effort: "high" },
      message: { role: "assistant", content: "so", reasoning_content: "hm" },
      got: {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm" },
          { type: "text", text: "so" },
        ],
      },
    },
    {
      name: "an empty answer",
      message: { role: "assistant", content: "" },
      got: { role: "assistant", content: "" },
    },
    {
      name: "a refusal",
      message: { role: "assistant", content: null, refusal: "no" },
      got: { role: "assistant", content: "no" },
    },
    {
      name: "a tool's text",
      message: { role: "tool", tool_call_id: "1", content: "ok" },
      got: { role: "tool", tool_call_id: "1", content: "ok" },
    },
    {
      name: "a tool's documents",
      message: {
        role: "tool",
        tool_call_id: "1",
        content: [{ type: "document", document: { id: "d", data: { a: 1 } } }],
      },
      got: { role: "tool", tool_call_id: "1", content: [{ type: "document", document: { id: "d", data: { a: 1 } } }] },
    },
    {
      name: "a legacy function's result",
      message: { role: "function", name: "a", content: "ok" },
      got: { role: "tool", tool_call_id: "call_a", content: "ok" },
    },
  ])("message: $name", async ({ message, got, fields }) => {
    const { messages } = await bodyOf({ messages: [message], ...fields });
    expect(messages).toEqual([got]);
  });

  test("what is left out is named, and only what the client sent", async () => {
    const fields = {
      messages: [{ role: "user", name: "ann", content: [{ type: "text", text: "x", cache_control: {} }] }],
      user: "u",
      metadata: { a: "b" },
      service_tier: "auto",
      store: null,
      stream_options: { include_usage: true },
      top_logprobs: 0,
    };
    const { droppedParams } = await send(fields, { params: { prompt_cache_key: "k" } });
    expect([...droppedParams].sort()).toEqual(
      ["user", "metadata", "service_tier", "messages[0].name", "messages[0].content[0].cache_control"].sort(),
    );
    const strict = await send({ messages: HELLO, tools: [TOOL("a", { strict: true })] });
    expect(strict.droppedParams).toEqual(["tools[0].strict"]);
  });

  test.each<{ fields: Json; names: string[]; model?: string }>([
    { fields: { seed: 1, min_p: 0.1, verbosity: "low" }, names: ["min_p", "verbosity"] },
    { fields: { logit_bias: { "5": 1 }, parallel_tool_calls: false }, names: ["logit_bias", "parallel_tool_calls"] },
    { fields: { tools: [{ type: "web_search" }] }, names: ["tools[0]"] },
    { fields: { reasoning_effort: "high" }, names: ["reasoning_effort"], model: "command-r-08-2024" },
    { fields: { reasoning_effort: "none" }, names: [], model: "command-r-08-2024" },
    {
      fields: { messages: [...HELLO, { role: "tool", tool_call_id: "1", content: "x", is_error: true }] },
      names: ["messages[1].is_error"],
    },
    {
      fields: { messages: [...HELLO, { role: "assistant", content: "x", reasoning_content: "hm" }] },
      names: ["messages[1].reasoning_content"],
    },
    {
      fields: { messages: [...HELLO, { role: "assistant", content: "x", server_tool_blocks: [{ a: 1 }] }] },
      names: ["messages[1].server_tool_blocks[0]"],
    },
  ])("dropped of $fields: $names", async ({ fields, names, model = "command-example" }) => {
    expect((await send({ messages: HELLO, ...fields }, { model })).droppedParams).toEqual(names);
  });

  test("where tools and JSON are wanted, the shape is asked for in words", async () => {
    const fields = {
      messages: [{ role: "system", content: "s" }, ...HELLO],
      tools: [TOOL("a")],
      response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA } },
    };
    const body = await bodyOf(fields);
    expect(body["response_format"]).toBeUndefined();
    expect(body["messages"]).toEqual([
      { role: "system", content: "s" },
      { role: "system", content: expect.stringContaining(JSON.stringify(SCHEMA)) },
      ...HELLO,
    ]);
  });

  test.each([
    ["", "{}"],
    ["null", "{}"],
    ['{"id":2512292042121000001,"10":1.0,"2":"x"}', '{"id":2512292042121000001,"10":1.0,"2":"x"}'],
    ['{"half', '{"half'],
  ])("a past call's arguments %j go back as %s", async (given, sent) => {
    const calls = [{ id: "1", type: "function", function: { name: "a.b", arguments: given } }];
    const { messages } = await bodyOf({ messages: [{ role: "assistant", tool_calls: calls }] });
    expect(messages).toMatchObject([{ tool_calls: [{ function: { name: "a_b", arguments: sent } }] }]);
  });

  test("a custom call is one with a text", async () => {
    const calls = [{ id: "1", type: "custom", custom: { name: "patch", input: "*** a" } }];
    const { messages } = await bodyOf({ messages: [{ role: "assistant", tool_calls: calls }] });
    expect(messages).toMatchObject([{ tool_calls: [{ function: { arguments: '{"input":"*** a"}' } }] }]);
  });

  test.each<[Json, string | null]>([
    [{ n: 2 }, "n"],
    [{ n: 1, logit_bias: {}, top_logprobs: 0, parallel_tool_calls: true, modalities: ["text"] }, null],
    [{ logprobs: true, top_logprobs: 2 }, "top_logprobs"],
    [{ parallel_tool_calls: false }, "parallel_tool_calls"],
    [{ presence_penalty: -0.5 }, "presence_penalty"],
    [{ frequency_penalty: 1 }, null],
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ stop: ["1", "2", "3", "4", "5", "6"] }, "stop"],
    [{ tools: [{ type: "custom", custom: { name: "c", format: { type: "text" } } }] }, null],
    [{ tools: [{ type: "custom", custom: { name: "c", format: { type: "grammar" } } }] }, "tools[0].custom.format"],
    [{ tools: [{ type: "bash_20250124", name: "bash" }] }, "tools[0]"],
    [{ tools: [{ type: "web_search" }] }, "tools[0]"],
    [{ tools: [{ type: "web_search" }], tool_choice: { type: "web_search" } }, "tool_choice"],
    [{ tools: [{ type: "web_search" }], tool_choice: "required" }, "tool_choice"],
    [{ documents: [{ id: "no data" }] }, "documents"],
    [{ web_search_options: {} }, "web_search_options"],
    [{ tools: [TOOL("a")], response_format: { type: "json_object" } }, "response_format"],
    [{ tools: [TOOL("a")], response_format: { type: "json_object" }, tool_choice: "none" }, null],
    [{ tools: [TOOL("a")], tool_choice: { type: "function", function: { name: "b" } } }, "tool_choice"],
    [
      { messages: [{ role: "user", content: [{ type: "input_audio", input_audio: { data: "" } }] }] },
      "messages[0].content[0]",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "file", file: { file_data: "AA==" } }] }] },
      "messages[0].content[0]",
    ],
    [{ messages: [{ role: "user", content: [{ type: "video_url", video_url: {} }] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: [{ type: "tool_result", content: "x" }] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: { text: "x" } }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [{ type: "file", file: { file_id: "f" } }] }] }, "messages[0].content[0]"],
    [
      { messages: [{ role: "tool", content: [{ type: "image_url", image_url: { url: "https://a.b" } }] }] },
      "messages[0].content[0]",
    ],
    [{ messages: HELLO }, null],
  ])("%j lacks %s", (fields, name) => {
    expect(cohere.lacks?.(askedInChat(fields))).toBe(name);
  });

  test("content that would be missing is refused, and says why", async () => {
    const audio = { type: "input_audio", input_audio: { data: "AA", format: "wav" } };
    await expect(send({ messages: [{ role: "user", content: [audio] }] })).rejects.toThrow(
      "Cohere takes no audio here.",
    );
  });

  /** Every key that a body of ours may have. */
  const VOCABULARY = new Set([
    ...["model", "messages", "stream", "role", "content", "type", "text", "image_url", "url", "detail"],
    ...[
      "tool_calls",
      "tool_call_id",
      "tool_plan",
      "id",
      "function",
      "name",
      "arguments",
      "thinking",
      "document",
      "data",
    ],
    ...[
      "temperature",
      "stop_sequences",
      "logprobs",
      "tools",
      "tool_choice",
      "strict_tools",
      "description",
      "parameters",
    ],
    ...["response_format", "token_budget", "documents", "citation_options", "mode", "safety_mode"],
  ]);

  test("whatever a request holds, only what is built here is sent", async () => {
    await fc.assert(
      fc.asyncProperty(hostileChat, async (fields) => {
        cohere.lacks?.(askedInChat(fields));
        const request = await send(fields).catch(() => null);
        if (request === null) return;
        expect(foreignKeys(JSON.parse(request.body), VOCABULARY, new Set(["parameters", "data"]))).toEqual([]);
        expect(request.droppedParams.join()).toMatch(/^[\w.[\],-]*$/);
      }),
      { numRuns: tries(500) },
    );
  });

  test.each<[Json, boolean]>([
    [{ COHERE_API_KEY: "key" }, true],
    [{ COHERE_API_KEY: "" }, false],
    [{ COHERE_API_KEY: "key\n" }, false],
    [{}, false],
    [{ COHERE_API_KEY: "key", COHERE_BASE_URL: "http://127.0.0.1/v2" }, false],
  ])("%j is configured: %s", (secrets, isConfigured) => {
    expect(cohere.configure(secrets) !== null).toBe(isConfigured);
  });

  test.runIf(existsSync(PAIRS))("recorded pairs: what others sent to Cohere for the same conversation", async () => {
    const pairs = JSON.parse(readFileSync(PAIRS, "utf8")) as {
      openai_chat: { body: Json };
      native: { cohere?: { body: Json } };
    }[];
    /** Texts as strings, empty ones gone, ids gone: both spellings mean the same, each recording has its own ids, and one put `strict` into its schema. */
    const plain = (value: unknown): unknown => {
      if (Array.isArray(value)) {
        const only = value.length === 1 ? (value[0] as Json | null) : null;
        return only?.["type"] === "text" ? only["text"] : value.map(plain);
      }
      if (typeof value !== "object" || value === null) return value;
      const kept = Object.entries(value).filter(([name]) => !["id", "tool_call_id", "strict"].includes(name));
      return Object.fromEntries(kept.map(([name, each]) => [name, plain(each)]).filter(([, each]) => each !== ""));
    };
    expect(pairs.length).toBe(4);
    for (const { openai_chat: sent, native } of pairs) {
      const wanted = native.cohere?.body ?? {};
      const got = JSON.parse((await send(sent.body, { model: String(wanted["model"]) })).body) as Json;
      const roles = (body: Json) => (body["messages"] as Json[]).map(({ role }) => role);
      expect(roles(got)).toEqual(roles(wanted));
      const shape = (body: Json): unknown => {
        const messages = (body["messages"] as Json[]).map((message) =>
          // What the model of a recording said is its own.
          message["role"] === "assistant" && message["tool_calls"] === undefined ? "said" : plain(message),
        );
        return { ...(plain({ ...body, messages: [] }) as Json), messages };
      };
      const { temperature: _got, ...rest } = shape(got) as Json;
      const { temperature: _wanted, ...wantedRest } = shape(wanted) as Json;
      expect(rest).toEqual(wantedRest);
    }
  });
});

function translate(pieces: readonly Uint8Array[]): StreamPart[] {
  const stream = asChat(cohere.adapter.translation).openStream(CONTEXT);
  if (stream === undefined) throw new Error("no stream");
  return [...pieces.flatMap((piece) => stream.push(piece)), ...stream.end()];
}

const sseOf = (parts: readonly StreamPart[]): string =>
  parts.map((part) => ("chunk" in part ? `data: ${JSON.stringify(part.chunk)}\n\n` : "")).join("");

function expectAnswer(answer: ReturnType<typeof wholeAnswer>, { expect: wanted }: Fixture): void {
  expect(answer.text).toBe(wanted.text);
  expect(answer.reasoning).toBe(wanted.reasoning_text ?? "");
  expect(answer.toolPlan).toBe(wanted.tool_plan ?? "");
  if (wanted.error === undefined) expect(answer.finishReason).toBe(wanted.finish_reason);
  else expect(answer.finishReason).toBeNull();
  const calls = answer.toolCalls.map(({ id, name, arguments: text }) => ({ id, name, args: JSON.parse(text) }));
  const wantedCalls = (wanted.tool_calls ?? []).map(({ id, name, arguments_json: text }) => ({
    ...{ id, name, args: JSON.parse(text) },
  }));
  expect(calls).toEqual(wantedCalls);
}

function expectUsage(usage: Json, { expect: wanted }: Fixture): void {
  expect(usage).toMatchObject({ prompt_tokens: wanted.prompt_tokens, completion_tokens: wanted.completion_tokens });
  expect(usage["prompt_tokens_details"]).toMatchObject({ cached_tokens: wanted.cached_tokens ?? 0 });
}

describe("answers", () => {
  test.each(named(FIXTURES.filter(({ kind }) => kind === "sse")))("$name, cut at any byte", ({ fixture }) => {
    const bytes = bytesOf(fixture);
    const parts = translate([bytes]);
    expectAnswer(streamedAnswer(sseOf(parts)), fixture);
    const last = parts.at(-1) ?? { error: null };
    if (fixture.expect.error !== undefined) {
      expect(last).toHaveProperty("error");
      expect(JSON.stringify(last)).toContain(fixture.expect.error.message);
    } else {
      const chunk = "chunk" in last ? last.chunk : {};
      expect(chunk["choices"]).toEqual([]);
      expectUsage(chunk["usage"] as Json, fixture);
      expect(chunk["model"]).toBe("command-example");
    }
    const wanted = JSON.stringify(parts);
    for (let at = 0; at <= bytes.length; at += cutStep(fixture.isOwn, bytes.length)) {
      expect(JSON.stringify(translate([bytes.subarray(0, at), bytes.subarray(at)]))).toBe(wanted);
    }
    expect(translate([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(parts);
    expect(translate([Buffer.from(bytes.toString().replaceAll("\n", "\r\n"))])).toEqual(parts);
  });

  test.each(named(FIXTURES.filter(({ kind }) => kind === "json")))("$name", ({ fixture }) => {
    const answer = asChat(cohere.adapter.translation).toCompletion(JSON.parse(bytesOf(fixture).toString()), CONTEXT);
    if (answer?.ok !== true) throw new Error("refused");
    expectAnswer(wholeAnswer(answer.completion as never), fixture);
    expectUsage(answer.completion["usage"] as Json, fixture);
  });

  const find = (file: string): Fixture => {
    const found = FIXTURES.find((fixture) => fixture.file === file);
    if (found === undefined) throw new Error(file);
    return found;
  };

  test("citations, log probabilities and what is billed are kept", () => {
    const parts = translate([bytesOf(find("cohere/citations.sse"))]);
    const chunks = parts.flatMap((part) => ("chunk" in part ? [part.chunk] : []));
    const choices = chunks.flatMap(({ choices }) => choices as Json[]);
    expect(choices.map(({ delta }) => (delta as Json)["citations"]).filter(Boolean)).toMatchObject([
      [{ text: "Kiel", sources: [{ id: "port_1:0" }] }],
    ]);
    expect(choices.map(({ logprobs }) => logprobs).filter(Boolean)).toEqual([
      {
        content: [{ token: "Kiel", logprob: -0.75, bytes: [75, 105, 101, 108], top_logprobs: [] }],
        refusal: null,
      },
    ]);
    expect(chunks.at(-1)?.["usage"]).toMatchObject({ billed_units: { input_tokens: 9, output_tokens: 2 } });
    const whole = asChat(cohere.adapter.translation).toCompletion(
      JSON.parse(bytesOf(find("cohere/whole-reasoning.json")).toString()),
      CONTEXT,
    );
    expect(whole).toMatchObject({
      completion: {
        id: "c-w2",
        choices: [
          {
            message: { citations: [{ text: "Kiel" }] },
            logprobs: {
              content: [
                { token: "Walk", logprob: -0.125 },
                { token: ".", logprob: -1 },
              ],
            },
          },
        ],
        usage: { billed_units: { output_tokens: 6 } },
      },
    });
  });

  test("a stream without its end has no finish and no usage", () => {
    const text = bytesOf(find("cohere/text.sse")).toString();
    const cut = translate([Buffer.from(text.slice(0, text.indexOf("event: message-end")))]);
    expect(streamedAnswer(sseOf(cut))).toMatchObject({ finishReason: null });
    expect(JSON.stringify(cut)).not.toContain("usage");
  });

  test.each([
    ["a plain error in place of a stream", '{"id":"e","message":"invalid api token"}'],
    ["an error as first event", 'event: error\ndata: {"message":"streaming error"}\n\n'],
    ["an error object", 'data: {"error":{"message":"x"}}\n\n'],
    ["an error without its empty line", 'data: {"type":"error"}'],
  ])("%s is one error", (_, text) => {
    expect(translate([Buffer.from(text)])).toEqual([{ error: expect.any(Object) as unknown }]);
  });

  test("an error at the end is one, whatever the reason beside it", () => {
    const text = 'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","error":"it broke"}}\n\n';
    expect(translate([Buffer.from(text)])).toEqual([
      { error: { error: { message: "it broke", code: "server_error" } } },
    ]);
  });

  test("a call without a start is not invented, and one without an id gets one", () => {
    const event = (data: Json): string => `data: ${JSON.stringify(data)}\n\n`;
    const call = (more: Json): Json => ({ delta: { message: { tool_calls: more } } });
    const parts = translate([
      Buffer.from(
        event({ type: "tool-call-delta", index: 4, ...call({ function: { arguments: "x" } }) }) +
          event({ type: "tool-call-start", index: 3, ...call({ function: { name: "a", arguments: '{"b":1}' } }) }) +
          event({ type: "tool-call-end", index: 3 }) +
          event({ type: "message-end", delta: { finish_reason: "COMPLETE" } }),
      ),
    ]);
    expect(streamedAnswer(sseOf(parts))).toMatchObject({
      toolCalls: [{ id: "call_tr_1_0", name: "a", arguments: '{"b":1}' }],
      finishReason: "tool_calls",
    });
  });

  test("any bytes in any pieces: no throw, and the same parts", () => {
    const sources = FIXTURES.filter(({ kind }) => kind === "sse").map(bytesOf);
    fc.assert(
      fc.property(
        fc.constantFrom(...sources),
        fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (source, changes, cuts) => {
          const bytes = Uint8Array.from(source);
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
          const pieces = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
          expect(translate(pieces)).toEqual(translate([bytes]));
        },
      ),
      { numRuns: tries(300) },
    );
  });

  test("any JSON as an answer: no throw", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (message, usage) => {
        asChat(cohere.adapter.translation).toCompletion({ message, usage, finish_reason: "COMPLETE" }, CONTEXT);
        const nested = { content: message, tool_calls: message, citations: usage };
        asChat(cohere.adapter.translation).toCompletion({ message: nested, usage, logprobs: usage }, CONTEXT);
        const events = ["content-delta", "tool-call-start", "tool-call-delta", "citation-start", "message-end"];
        const text = events.map((type) => `data: ${JSON.stringify({ type, delta: { message: nested, usage } })}\n\n`);
        translate([Buffer.from(text.join(""))]);
      }),
      { numRuns: tries(300) },
    );
  });
});

describe("errors", () => {
  const classify = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    cohere.adapter.classify({ status, headers: new Headers(headers), body });
  const says = (message: string): Json => ({ id: "e", message });

  test.each<[number, unknown, Json]>([
    [400, says("invalid request: prompt is empty"), { class: "invalid_request", tryNext: false }],
    [
      400,
      says("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292."),
      { class: "context_length", tryNext: true },
    ],
    [400, says("too many tokens: size limit exceeded by 11326 tokens."), { class: "context_length" }],
    [
      400,
      says("too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model."),
      { class: "capability", tryNext: true },
    ],
    [401, says("invalid api token"), { class: "auth", tryNext: true }],
    [402, says("Please add or update your payment method."), { class: "auth" }],
    [403, says("forbidden"), { class: "auth" }],
    [404, says("model not found"), { class: "auth" }],
    [422, says("unknown field: parameter foo"), { class: "capability", tryNext: true }],
    [400, says("invalid request: this model does not support image inputs"), { class: "capability", tryNext: true }],
    [
      400,
      says("invalid request: safety_mode is not supported with this model"),
      { class: "capability", tryNext: true },
    ],
    [400, says("invalid request: k and p cannot be used together"), { class: "capability", tryNext: true }],
    [422, says("invalid type: parameter messages is of type string"), { class: "invalid_request", tryNext: false }],
    [429, says("You are past the per minute request limit."), { class: "rate_limited", trySame: false }],
    [498, says("blocked input"), { class: "content_filter", message: "blocked input", tryNext: true }],
    [499, says("request cancelled"), { class: "server_error", trySame: true }],
    [500, says("internal server error"), { class: "server_error", trySame: true }],
    [501, says("not implemented"), { class: "server_error", trySame: false }],
    [503, says("overloaded"), { class: "server_error", trySame: true }],
    [504, undefined, { class: "server_error" }],
    [200, says("streaming error"), { class: "server_error" }],
    [200, { error: { message: "x", code: "timeout_error" } }, { class: "timeout" }],
  ])("%d %j", (status, body, wanted) => {
    expect(classify(status, body)).toMatchObject(wanted);
  });

  test("a delay is obeyed", () => {
    expect(classify(429, says("wait"), { "retry-after": "3" })).toMatchObject({ retryAfterMs: 3000, trySame: true });
  });

  test.each([
    ["ERROR", "server_error"],
    ["TIMEOUT", "timeout"],
    ["USER_CANCEL", "server_error"],
  ])("a whole answer that ended with %s is a failure", (finish_reason, kind) => {
    const body = { id: "a", message: { role: "assistant", content: [] }, finish_reason };
    const answer = asChat(cohere.adapter.translation).toCompletion(body, CONTEXT);
    expect(answer).toMatchObject({ ok: false, failure: { class: kind, tryNext: true } });
  });
});
