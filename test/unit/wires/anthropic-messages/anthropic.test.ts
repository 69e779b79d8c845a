import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { AdapterCall, UpstreamRequest } from "../../../../src/providers/adapter.ts";
import { anthropic } from "../../../../src/providers/anthropic.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";

type Json = Record<string, unknown>;

const CONFIG = {
  baseUrl: "https://api.anthropic.com/v1",
  headers: { "x-api-key": "key", "anthropic-version": "2023-06-01" },
};
const HELLO = [{ role: "user", content: "hi" }];
const TURN = { role: "user", content: [{ type: "text", text: "hi" }] };
const PAIRS = new URL("../../../../../shared/fixtures/request-pairs.json", import.meta.url).pathname;

async function send(fields: Json, options: Partial<AdapterCall> = {}): Promise<UpstreamRequest> {
  return anthropic.adapter.toUpstream({
    ...inChat(fields),
    stream: fields["stream"] === true,
    model: "claude-sonnet-4-6",
    params: {},
    maxOutputTokens: undefined,
    config: CONFIG,
    ...options,
  });
}

async function sent(
  fields: Json,
  options: Partial<AdapterCall> = {},
): Promise<{ body: Json; dropped: readonly string[] }> {
  const request = await send({ model: "flow/x", messages: HELLO, ...fields }, options);
  return { body: JSON.parse(request.body) as Json, dropped: request.droppedParams };
}

const say = (role: string, content: unknown, more: Json = {}): Json => ({ role, content, ...more });
const call = (id: string, name = "now", args = "{}"): Json => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const tool = (name: string, more: Json = {}): Json => ({
  type: "function",
  function: { name, description: "d", parameters: { type: "object", properties: {} }, ...more },
});
const NATIVE_TOOL = { name: "now", description: "d", input_schema: { type: "object", properties: {} } };
const textBlock = (text: string, more: Json = {}): Json => ({ type: "text", text, ...more });

test("address, headers and the least body", async () => {
  const request = await send({ model: "flow/x", messages: HELLO, route: {}, stream: true });
  expect(request.url).toBe("https://api.anthropic.com/v1/messages");
  expect(request.headers).toMatchObject({
    "x-api-key": "key",
    "anthropic-version": "2023-06-01",
    accept: "text/event-stream",
    "accept-encoding": "identity",
  });
  expect(JSON.parse(request.body)).toEqual({
    model: "claude-sonnet-4-6",
    max_tokens: 32_000,
    messages: [TURN],
    stream: true,
  });
  expect(request.droppedParams).toEqual([]);
});

test("configuration: the key, and an address of the operator's own", () => {
  expect(anthropic.configure({})).toBeNull();
  expect(anthropic.configure({ ANTHROPIC_API_KEY: "two words" })).toBeNull();
  expect(anthropic.configure({ ANTHROPIC_API_KEY: "k" })).toEqual({
    baseUrl: "https://api.anthropic.com/v1",
    headers: { "x-api-key": "k", "anthropic-version": "2023-06-01" },
  });
  expect(
    anthropic.configure({ ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: "https://claude.example.com/v1" })?.baseUrl,
  ).toBe("https://claude.example.com/v1");
});

describe("members", () => {
  const SCHEMA = {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    additionalProperties: false,
  };
  const asFormat = (schema: Json): Json => ({
    response_format: { type: "json_schema", json_schema: { name: "x", schema } },
  });

  test.each<{
    name: string;
    fields: Json;
    got: Json;
    model?: string;
    options?: Partial<AdapterCall>;
    dropped?: string[];
  }>([
    { name: "either limit", fields: { max_completion_tokens: 5 }, got: { max_tokens: 5 } },
    {
      name: "the policy's limit",
      fields: { max_tokens: 500 },
      got: { max_tokens: 50 },
      options: { maxOutputTokens: 50 },
    },
    { name: "a default an old model takes", fields: {}, got: { max_tokens: 4096 }, model: "claude-3-haiku-20240307" },
    {
      name: "sampling",
      fields: { temperature: 0, top_k: 3 },
      got: { temperature: 0, top_k: 3 },
    },
    {
      name: "of two samplers that exclude each other, the temperature",
      fields: { temperature: 0.2, top_p: 0.5 },
      got: { temperature: 0.2 },
      dropped: ["top_p"],
    },
    {
      name: "no sampling where the vendor fixed it",
      fields: { temperature: 0.2, top_p: 1 },
      got: {},
      model: "claude-opus-4-8",
      dropped: ["temperature"],
    },
    { name: "temperature 1 where it is fixed", fields: { temperature: 1 }, got: {}, model: "claude-sonnet-5" },
    { name: "stops", fields: { stop: "END" }, got: { stop_sequences: ["END"] } },
    { name: "blank stops", fields: { stop: ["\n", "END"] }, got: { stop_sequences: ["END"] }, dropped: ["stop"] },
    { name: "only blank stops", fields: { stop: "\n\n" }, got: {}, dropped: ["stop"] },
    { name: "user", fields: { user: "u-1" }, got: { metadata: { user_id: "u-1" } } },
    { name: "metadata of the client", fields: { metadata: { run: "1" } }, got: {}, dropped: ["metadata"] },
    {
      name: "metadata with the vendor's member",
      fields: { metadata: { user_id: "u-2" } },
      got: { metadata: { user_id: "u-2" } },
    },
    { name: "default tier", fields: { service_tier: "default" }, got: { service_tier: "standard_only" } },
    { name: "priority tier", fields: { service_tier: "priority" }, got: { service_tier: "auto" } },
    { name: "flex tier", fields: { service_tier: "flex" }, got: {}, dropped: ["service_tier"] },
    {
      name: "what changes nothing",
      fields: {
        seed: 7,
        store: true,
        prompt_cache_key: "x",
        n: 1,
        presence_penalty: 0,
        logprobs: false,
        logit_bias: {},
      },
      got: {},
      dropped: ["seed", "store", "prompt_cache_key"],
    },
    {
      name: "the vendor's own members",
      fields: { cache_control: { type: "ephemeral" }, inference_geo: "us", output_config: { effort: "low" } },
      got: { cache_control: { type: "ephemeral" }, inference_geo: "us", output_config: { effort: "low" } },
    },
    {
      name: "effort on an adaptive model",
      fields: { reasoning_effort: "high", temperature: 0.3 },
      got: { thinking: { type: "adaptive", display: "summarized" }, output_config: { effort: "high" } },
      dropped: ["temperature"],
    },
    {
      name: "minimal effort",
      fields: { reasoning_effort: "minimal" },
      got: { thinking: { type: "adaptive", display: "summarized" }, output_config: { effort: "low" } },
    },
    {
      name: "an effort the model lacks",
      fields: { reasoning_effort: "xhigh" },
      got: { thinking: { type: "adaptive", display: "summarized" }, output_config: { effort: "high" } },
    },
    {
      name: "effort as a budget",
      fields: { reasoning_effort: "medium" },
      got: { thinking: { type: "enabled", budget_tokens: 8192 } },
      model: "claude-haiku-4-5",
    },
    {
      name: "a budget within the limit",
      fields: { reasoning_effort: "high", max_tokens: 4000 },
      got: { max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 2000 } },
      model: "claude-sonnet-4-5",
    },
    {
      name: "no room to think",
      fields: { reasoning_effort: "high", max_tokens: 1000 },
      got: { max_tokens: 1000 },
      model: "claude-sonnet-4-5",
      dropped: ["reasoning_effort"],
    },
    {
      name: "effort for an unknown name",
      fields: { reasoning_effort: "low" },
      got: { output_config: { effort: "low" } },
      model: "my-claude",
    },
    { name: "no effort where nothing is thought anyway", fields: { reasoning_effort: "none" }, got: {} },
    {
      name: "no effort where the model thinks of itself",
      fields: { reasoning_effort: "none" },
      got: { thinking: { type: "disabled" } },
      model: "claude-sonnet-5",
    },
    {
      name: "no effort where it cannot be stopped",
      fields: { reasoning_effort: "none" },
      got: {
        output_config: { effort: "low" },
        thinking: { type: "adaptive", block_binding: { prefix_mismatch_behavior: "drop_block" } },
      },
      model: "claude-opus-5-5",
      dropped: ["reasoning_effort"],
    },
    {
      name: "a thinking object",
      fields: { thinking: { type: "enabled", budget_tokens: 2048 } },
      got: { thinking: { type: "enabled", budget_tokens: 2048 } },
      model: "claude-haiku-4-5",
    },
    {
      name: "a budget beyond the policy's limit",
      fields: { thinking: { type: "enabled", budget_tokens: 10_000 } },
      got: { max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 2000 } },
      model: "claude-haiku-4-5",
      options: { maxOutputTokens: 4000 },
    },
    {
      name: "members nobody knows",
      fields: { verbosity: "low", "x\r\ny: z": 1, ü: 1 },
      got: {},
      dropped: ["verbosity", "other"],
    },
    {
      name: "a budget where there are none",
      fields: { thinking: { type: "enabled", budget_tokens: 2048 } },
      got: { thinking: { type: "adaptive", display: "summarized" } },
      model: "claude-opus-5",
      dropped: ["thinking.budget_tokens"],
    },
    {
      name: "adaptive thinking where there are only budgets",
      fields: { thinking: { type: "adaptive" } },
      got: { thinking: { type: "enabled", budget_tokens: 16000 } },
      model: "claude-haiku-4-5",
    },
    {
      name: "another router's spelling of a budget",
      fields: { reasoning: { max_tokens: 3000 } },
      got: { thinking: { type: "enabled", budget_tokens: 3000 } },
      model: "claude-haiku-4-5",
    },
    {
      name: "a schema",
      fields: asFormat(SCHEMA),
      got: { output_config: { format: { type: "json_schema", schema: SCHEMA } } },
    },
    {
      name: "a schema beyond the vendor's",
      fields: asFormat({
        type: "object",
        properties: { a: { type: "integer", minimum: 1, description: "A" }, b: { oneOf: [{ type: "null" }] } },
      }),
      got: {
        output_config: {
          format: {
            type: "json_schema",
            schema: {
              type: "object",
              properties: { a: { type: "integer", description: "A {minimum: 1}" }, b: { anyOf: [{ type: "null" }] } },
              additionalProperties: false,
            },
          },
        },
      },
    },
    {
      name: "a schema on a model without schemas",
      fields: asFormat(SCHEMA),
      got: {
        tools: [{ name: "flow_json_answer", description: expect.any(String), input_schema: SCHEMA }],
        tool_choice: { type: "tool", name: "flow_json_answer", disable_parallel_tool_use: true },
      },
      model: "claude-sonnet-4-20250514",
    },
    {
      name: "a JSON object",
      fields: { response_format: { type: "json_object" } },
      got: {
        tools: [
          {
            name: "flow_json_answer",
            description: expect.any(String),
            input_schema: { type: "object", additionalProperties: true },
          },
        ],
        tool_choice: { type: "tool", name: "flow_json_answer", disable_parallel_tool_use: true },
      },
    },
    {
      name: "a JSON object beside tools",
      fields: { response_format: { type: "json_object" }, tools: [tool("now")] },
      got: {
        tools: [NATIVE_TOOL, expect.objectContaining({ name: "flow_json_answer" })],
        tool_choice: { type: "any", disable_parallel_tool_use: true },
      },
    },
    {
      name: "a JSON object from a model that thinks",
      fields: { response_format: { type: "json_object" } },
      got: { system: [{ type: "text", text: expect.stringContaining("JSON object") }] },
      model: "claude-fable-5",
    },
  ])("$name", async ({ fields, got, model, options, dropped }) => {
    const { body, dropped: named } = await sent(fields, { ...(model === undefined ? {} : { model }), ...options });
    const { model: sentModel, messages, max_tokens, ...rest } = body;
    expect(sentModel).toBe(model ?? "claude-sonnet-4-6");
    expect(messages).toEqual([TURN]);
    expect({ max_tokens, ...rest }).toEqual({ max_tokens: 32_000, ...got });
    expect(named).toEqual(dropped ?? []);
  });

  test("a policy's params fill in, and are not reported to the client", async () => {
    const { body, dropped } = await sent({ top_k: 1 }, { params: { temperature: 0.5, seed: 1, top_k: 9 } });
    expect(body).toMatchObject({ temperature: 0.5, top_k: 1 });
    expect(dropped).toEqual([]);
  });
});

describe("tools", () => {
  test.each<{ name: string; fields: Json; got: Json; model?: string }>([
    { name: "a tool", fields: { tools: [tool("now")] }, got: { tools: [NATIVE_TOOL] } },
    { name: "none at all", fields: { tools: [], tool_choice: "auto", parallel_tool_calls: false }, got: {} },
    {
      name: "without parameters",
      fields: { tools: [{ type: "function", function: { name: "now" } }] },
      got: { tools: [{ name: "now", input_schema: { type: "object", properties: {} } }] },
    },
    {
      name: "the old spelling",
      fields: { functions: [{ name: "now", parameters: { type: "object" } }], function_call: { name: "now" } },
      got: { tools: [{ name: "now", input_schema: { type: "object" } }], tool_choice: { type: "tool", name: "now" } },
    },
    {
      name: "strict and cached",
      fields: { tools: [{ ...tool("now", { strict: true }), cache_control: { type: "ephemeral" } }] },
      got: {
        tools: [
          {
            ...NATIVE_TOOL,
            input_schema: { type: "object", properties: {}, additionalProperties: false },
            strict: true,
            cache_control: { type: "ephemeral" },
          },
        ],
      },
    },
    {
      name: "the vendor's own",
      fields: { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      got: { tools: [{ type: "web_search_20250305", name: "web_search" }] },
    },
    ...(
      [
        ["auto", { type: "auto" }],
        ["none", { type: "none" }],
        ["required", { type: "any" }],
        [
          { type: "function", function: { name: "now" } },
          { type: "tool", name: "now" },
        ],
      ] as const
    ).map(([choice, got]) => ({
      name: `choice ${JSON.stringify(choice)}`,
      fields: { tools: [tool("now")], tool_choice: choice },
      got: { tools: [NATIVE_TOOL], tool_choice: got },
    })),
    {
      name: "allowed tools",
      fields: {
        tools: [tool("now"), tool("then")],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "now" } }] },
        },
      },
      got: { tools: [NATIVE_TOOL], tool_choice: { type: "any" } },
    },
    {
      name: "one at a time",
      fields: { tools: [tool("now")], parallel_tool_calls: false },
      got: { tools: [NATIVE_TOOL], tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    },
    {
      name: "a forced tool leaves no room for a budget of thinking",
      fields: { tools: [tool("now")], tool_choice: "required", reasoning_effort: "high" },
      got: { tools: [NATIVE_TOOL], tool_choice: { type: "any" } },
      model: "claude-sonnet-4-5",
    },
    {
      name: "thinking that adapts stays beside a forced tool",
      fields: { tools: [tool("now")], tool_choice: "required", reasoning_effort: "high" },
      got: {
        tools: [NATIVE_TOOL],
        tool_choice: { type: "any" },
        thinking: { type: "adaptive", display: "summarized" },
        output_config: { effort: "high" },
      },
    },
    {
      name: "and so does thinking that is on by itself",
      fields: { tools: [tool("now")], tool_choice: "required" },
      got: { tools: [NATIVE_TOOL], tool_choice: { type: "any" } },
      model: "claude-opus-5",
    },
  ])("$name", async ({ fields, got, model }) => {
    const { body } = await sent(fields, model === undefined ? {} : { model });
    const { model: _model, messages: _messages, max_tokens: _limit, ...rest } = body;
    expect(rest).toEqual(got);
  });
});

describe("what the provider would refuse", () => {
  test.each(["required", { type: "function", function: { name: "now" } }])(
    "a forced call (%j), on models that take none, is asked for",
    async (choice) => {
      const { body, dropped } = await sent(
        { tools: [tool("now"), tool("then")], tool_choice: choice, parallel_tool_calls: false },
        { model: "claude-fable-5-1" },
      );
      const isNamed = choice !== "required";
      expect(body["tool_choice"]).toEqual({ type: "auto", disable_parallel_tool_use: true });
      expect((body["tools"] as Json[]).map(({ name }) => name)).toEqual(isNamed ? ["now"] : ["now", "then"]);
      expect((body["messages"] as Json[]).at(-1)).toEqual({
        role: "system",
        content: [
          textBlock(expect.stringContaining(isNamed ? "Call the tool now now." : "Call one of the tools now.")),
        ],
      });
      expect(dropped).toEqual(["tool_choice"]);
    },
  );

  test.each(["claude-opus-5", "claude-fable-5", "claude-opus-4-8"])("%s takes a forced call", async (model) => {
    const { body, dropped } = await sent({ tools: [tool("now")], tool_choice: "required" }, { model });
    expect(body["tool_choice"]).toEqual({ type: "any" });
    expect(dropped).toEqual([]);
  });

  test.each<[string, string[]]>([
    ["somebody@example.com", ["user"]],
    ["id somebody@example.com", ["user"]],
    ["+49 170 1234567", ["user"]],
    ["x".repeat(257), ["user"]],
    ["12345678", []],
    ["5f0c1a9e-0000-4000-8000-000000000001", []],
  ])("user %s", async (user, names) => {
    const { body, dropped } = await sent({ user });
    expect(body["metadata"]).toEqual(names.length > 0 ? undefined : { user_id: user });
    expect(dropped).toEqual(names);
  });

  test.each<[Json, string, string[]]>([
    [{ user: "a", safety_identifier: "b" }, "a", ["safety_identifier"]],
    [{ user: "a", safety_identifier: "a" }, "a", []],
    [{ user: "a@b.example", safety_identifier: "b", metadata: { user_id: "c" } }, "b", ["user", "metadata"]],
  ])("of the ids in %j the first that it takes, the others named", async (fields, id, names) => {
    const { body, dropped } = await sent(fields);
    expect(body["metadata"]).toEqual({ user_id: id });
    expect(dropped).toEqual(names);
  });

  test("names that it does not take get an alias, in tools, choice and history alike", async () => {
    const messages = [
      ...HELLO,
      say("assistant", null, { tool_calls: [call("a", "calendar.list/events")] }),
      say("tool", "r", { tool_call_id: "a" }),
    ];
    const { body } = await sent({
      messages,
      tools: [tool("calendar.list/events"), tool("calendar_list_events")],
      tool_choice: { type: "function", function: { name: "calendar.list/events" } },
    });
    const alias = "calendar_list_events_2";
    expect((body["tools"] as Json[]).map(({ name }) => name)).toEqual([alias, "calendar_list_events"]);
    expect(body["tool_choice"]).toEqual({ type: "tool", name: alias });
    expect(JSON.stringify(body["messages"])).toContain(`"name":"${alias}"`);
    const block = { type: "tool_use", id: "t", name: alias, input: {} };
    const answer = asChat(anthropic.adapter.translation).toCompletion(
      { content: [block], stop_reason: "tool_use" },
      {
        asked: askedInChat({ messages, tools: [tool("calendar.list/events"), tool("calendar_list_events")] }),
        ...{ model: "m", traceId: "tr_1", createdAt: 1 },
      },
    );
    expect(JSON.stringify(answer)).toContain('"name":"calendar.list/events"');
  });

  test.each([{ anyOf: [{ required: ["a"] }] }, { oneOf: [{ required: ["a"] }] }, { allOf: [{ required: ["a"] }] }])(
    "a schema with %j at its root",
    async (root) => {
      const parameters = { type: "object", properties: { a: { type: "string" } }, ...root };
      for (const strict of [false, true]) {
        const { body } = await sent({ tools: [tool("now", { parameters, strict })] });
        const [written] = body["tools"] as { input_schema: Json }[];
        expect(Object.keys(written?.input_schema ?? {})).not.toContain(Object.keys(root)[0]);
        expect(written?.input_schema).toMatchObject({ type: "object", properties: { a: { type: "string" } } });
      }
    },
  );

  test("schemas that are too large to be held to are asked for without", async () => {
    const schema = { type: "object", properties: { a: { type: "string" } }, additionalProperties: false };
    const fields = {
      tools: [tool("now", { parameters: schema, strict: true })],
      response_format: { type: "json_schema", json_schema: { name: "x", schema, strict: true } },
    };
    const first = await sent(fields);
    expect(first.body).toMatchObject({ tools: [{ strict: true }], output_config: { format: { type: "json_schema" } } });
    const { body, dropped } = await sent(fields, { without: ["strict"] });
    expect(JSON.stringify(body)).not.toContain('"strict"');
    expect(body["output_config"]).toBeUndefined();
    expect((body["tools"] as Json[]).map(({ name }) => name)).toEqual(["now", "flow_json_answer"]);
    expect(dropped).toEqual(["strict"]);
  });

  test("an effort that nobody knows is not sent, and named", async () => {
    const { body, dropped } = await sent({ reasoning_effort: "turbo" });
    expect(body["output_config"]).toBeUndefined();
    expect(dropped).toEqual(["reasoning_effort"]);
  });

  test("a prefill beside thinking is closed, where a budget is thought with", async () => {
    const messages = [...HELLO, say("assistant", "So:")];
    const { body } = await sent({ messages, reasoning_effort: "high" }, { model: "claude-sonnet-4-5" });
    expect((body["messages"] as Json[]).at(-1)).toMatchObject({ role: "user" });
  });
});

describe("a tool that takes free text", () => {
  const custom = { type: "custom", custom: { name: "patch", description: "d", format: { type: "text" } } };
  const PATCH = '*** Begin\n+ "a"\n';

  test("is a function with one text, in history and answers alike", async () => {
    const messages = [
      ...HELLO,
      say("assistant", null, { tool_calls: [{ id: "a", type: "custom", custom: { name: "patch", input: PATCH } }] }),
      say("tool", "done", { tool_call_id: "a" }),
    ];
    const { body, dropped } = await sent({ messages, tools: [custom] });
    expect(body["tools"]).toEqual([
      {
        name: "patch",
        description: "d",
        input_schema: { type: "object", properties: { input: expect.anything() }, required: ["input"] },
      },
    ]);
    expect((body["messages"] as { content: Json[] }[])[1]?.content).toEqual([
      { type: "tool_use", id: "a", name: "patch", input: { input: PATCH } },
    ]);
    expect(dropped).toEqual(["tools[0].custom"]);
  });

  test.each([PATCH, "", "\u2028 \\ {}"])("answers with the text alone: %j", (input) => {
    const block = { type: "tool_use", id: "t", name: "patch", input: { input } };
    const context = {
      asked: askedInChat({ messages: HELLO, tools: [custom] }),
      model: "m",
      traceId: "tr_1",
      createdAt: 1,
    };
    const text = JSON.stringify({ content: [block], stop_reason: "tool_use" });
    const answer = asChat(anthropic.adapter.translation).toCompletion(JSON.parse(text), context, text);
    expect(answer).toMatchObject({
      completion: {
        choices: [{ message: { tool_calls: [{ id: "t", type: "custom", custom: { name: "patch", input } }] } }],
      },
    });
  });
});

describe("the provider's own members, and the header that goes with them", () => {
  test("fallbacks of its own", async () => {
    const request = await send({
      model: "m",
      messages: HELLO,
      fallbacks: [{ model: "claude-opus-4-8", speed: "fast" }],
    });
    expect(JSON.parse(request.body)).toMatchObject({ fallbacks: [{ model: "claude-opus-4-8" }] });
    expect(request.headers["anthropic-beta"]).toBe("server-side-fallback-2026-07-01");
    expect(JSON.parse((await send({ model: "m", messages: HELLO, fallbacks: "default" })).body)).toMatchObject({
      fallbacks: "default",
    });
  });

  test("the client's own beta header passes, in words that a header may have", async () => {
    const openHeaders = { "anthropic-beta": "context-1m-2025-08-07, x\r\ny, thinking-binding-controls-2026-08-01" };
    const request = await send({ model: "m", messages: HELLO }, { openHeaders, model: "claude-opus-5-5" });
    expect(request.headers["anthropic-beta"]).toBe("context-1m-2025-08-07,thinking-binding-controls-2026-08-01");
  });

  test("and so does the client's own setting for bound thinking", async () => {
    const thinking = { type: "adaptive", block_binding: { prefix_mismatch_behavior: "error" }, colour: 1 };
    for (const model of ["claude-opus-5-5", "claude-opus-5"]) {
      const request = await send({ model: "m", messages: HELLO, thinking }, { model });
      expect(JSON.parse(request.body)).toMatchObject({
        thinking: { type: "adaptive", block_binding: { prefix_mismatch_behavior: "error" } },
      });
      expect(request.headers["anthropic-beta"]).toBe("thinking-binding-controls-2026-08-01");
      expect(request.droppedParams).toEqual(["thinking.colour"]);
    }
  });

  test.each<Json>([
    { container: { id: "c", skills: [{ type: "anthropic", skill_id: "pdf", version: "1", evil: 1 }], evil: 1 } },
    { cache_control: { type: "ephemeral", ttl: "1h", evil: 1 } },
    { output_config: { effort: "low", evil: 1 } },
  ])("members are made anew: %j", async (fields) => {
    const { body } = await sent(fields);
    expect(JSON.stringify(body)).not.toContain("evil");
  });

  test.each(["mcp_servers", "speed", "context_management", "betas"])("%s is named and not sent", async (name) => {
    const { body, dropped } = await sent({ [name]: "fast" });
    expect(body[name]).toBeUndefined();
    expect(dropped).toEqual([name]);
  });
});

const GRAMMAR = { type: "grammar", grammar: { syntax: "lark", definition: 'start: "a"' } };

describe("what no Claude can do", () => {
  test.each<[Json, string | null]>([
    [{ n: 2 }, "n"],
    [{ n: 1, temperature: 1, logit_bias: {}, presence_penalty: 0, top_logprobs: 0 }, null],
    [{ logprobs: true }, "logprobs"],
    [{ logit_bias: { 5: 1 } }, "logit_bias"],
    [{ frequency_penalty: 0.1 }, "frequency_penalty"],
    [{ temperature: 1.5 }, "temperature"],
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ tools: [{ type: "custom", custom: { name: "x" } }] }, null],
    [{ tools: [{ type: "custom", custom: { name: "x", format: { type: "text" } } }] }, null],
    [{ tools: [tool("a"), { type: "custom", custom: { name: "x", format: GRAMMAR } }] }, "tools[1].custom.format"],
    [{ tools: [{ type: "computer_use_preview" }] }, "tools[0]"],
    [{ tools: [{ type: "web_search_preview" }] }, "tools[0]"],
    [{ web_search_options: {} }, "web_search_options"],
    [{ response_format: { type: "yaml" } }, "response_format"],
    [
      { messages: [say("user", [{ type: "input_audio", input_audio: { data: "QQ==", format: "wav" } }])] },
      "messages[0].content[0]",
    ],
    [{ messages: [say("user", [{ type: "video_url", video_url: { url: "https://x" } }])] }, "messages[0].content[0]"],
    [{ messages: [say("user", [{ type: "file", file: { file_id: "f" } }])] }, "messages[0].content[0]"],
    [
      { messages: [say("user", [{ type: "file", file: { file_data: "data:application/zip;base64,QQ==" } }])] },
      "messages[0].content[0]",
    ],
    [
      { messages: [say("user", [{ type: "image_url", image_url: { url: "data:image/heic;base64,QQ==" } }])] },
      "messages[0].content[0]",
    ],
    [{ messages: [say("user", [{ type: "hologram", at: 1 }])] }, "messages[0].content[0]"],
    [
      {
        messages: [
          say("tool", [textBlock("r"), { type: "input_audio", input_audio: { data: "QQ==" } }], { tool_call_id: "a" }),
        ],
      },
      "messages[0].content[1]",
    ],
    [{ messages: HELLO, seed: 1 }, null],
  ])("%j: %s", (fields, wanted) => {
    expect(anthropic.lacks?.(askedInChat(fields))).toBe(wanted);
  });
});

describe("errors", () => {
  const classify = (status: number, type: string, message: string, headers: Record<string, string> = {}) =>
    anthropic.adapter.classify({
      status,
      headers: new Headers(headers),
      body: { type: "error", error: { type, message }, request_id: "req_1" },
    });

  test.each<[number, string, string, object]>([
    [429, "rate_limit_error", "slow down", { class: "rate_limited", tryNext: true, trySame: false }],
    [529, "overloaded_error", "Overloaded", { class: "server_error", tryNext: true, trySame: true }],
    [500, "api_error", "Internal server error", { class: "server_error", tryNext: true, trySame: true }],
    [504, "timeout_error", "Request timed out", { class: "server_error", tryNext: true }],
    [409, "conflict_error", "changed meanwhile", { class: "server_error", tryNext: true }],
    [401, "authentication_error", "invalid x-api-key", { class: "auth", tryNext: true }],
    [402, "billing_error", "pay", { class: "auth", tryNext: true }],
    [403, "permission_error", "no", { class: "auth", tryNext: true }],
    [404, "not_found_error", "model: claude-x", { class: "auth", tryNext: true }],
    [413, "request_too_large", "Request exceeds the maximum size", { class: "invalid_request", tryNext: false }],
    [
      400,
      "invalid_request_error",
      "prompt is too long: 5 tokens > 4 maximum",
      { class: "context_length", tryNext: true },
    ],
    [
      400,
      "invalid_request_error",
      "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length",
      { class: "context_length", tryNext: true },
    ],
    [400, "invalid_request_error", "Output blocked by content filtering policy", { class: "content_filter" }],
    [400, "invalid_request_error", "Your credit balance is too low to access", { class: "auth", tryNext: true }],
    [400, "invalid_request_error", "You have reached your specified API usage limits.", { class: "auth" }],
    [
      400,
      "invalid_request_error",
      'tools.0: "Your credit balance is too low" is no name',
      { class: "invalid_request" },
    ],
    [400, "invalid_request_error", "max_tokens: Field required", { class: "invalid_request", tryNext: false }],
    [400, "invalid_request_error", "messages: roles must alternate", { class: "invalid_request", tryNext: false }],
    ...[
      "The compiled grammar is too large, which would cause performance issues.",
      "Schema is too complex for compilation.",
      "tools.9.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
      "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
      "tools.0: Input tag 'web_search_20990101' found using 'type' does not match any of the expected tags: 'bash_20250124'",
      'tool_choice: type "tool" and "any" are not supported for this model.',
      "tool_choice forces tool use is not compatible with this model",
      "`temperature` is deprecated for this model.",
      "This model does not support assistant message prefill. The conversation must end with a user message.",
      '"thinking.type.disabled" is not supported for this model.',
      "context_management: Extra inputs are not permitted",
      "Unexpected value(s) `not-yet` for the `anthropic-beta` header.",
      "A maximum of 4 blocks with cache_control may be provided. Found 5.",
      "Unable to download the file. Please verify the URL and try again.",
      "metadata.user_id: user_id appears to contain an email address",
      "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens for claude-opus-5",
      "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
      "messages.3.content.1: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
      "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
    ].map((words): [number, string, string, object] => [
      ...([400, "invalid_request_error", words] as const),
      { class: "capability", tryNext: true, message: words },
    ]),
    [200, "pause_turn", "The provider paused its answer before the end.", { class: "invalid_response", tryNext: true }],
    [200, "overloaded_error", "Overloaded", { class: "server_error", tryNext: true, trySame: true }],
    [200, "rate_limit_error", "slow down", { class: "rate_limited", tryNext: true }],
    [200, "invalid_request_error", "prompt is too long: 5 > 4", { class: "context_length" }],
    [200, "billing_error", "pay", { class: "auth" }],
    [200, "api_error", "Internal server error", { class: "server_error" }],
  ])("%d %s: %s", (status, type, message, wanted) => {
    expect(classify(status, type, message)).toMatchObject(wanted);
  });

  test("the account's own troubles are not told", () => {
    const failure = classify(400, "invalid_request_error", "Your credit balance is too low to access the API.");
    expect(failure.message).toBeUndefined();
  });

  test("the delay, from either place", () => {
    expect(classify(429, "rate_limit_error", "x", { "retry-after": "17" })).toMatchObject({
      trySame: true,
      retryAfterMs: 17_000,
    });
    const soon = new Date(Date.now() + 9_000).toISOString();
    const failure = classify(429, "rate_limit_error", "x", {
      "anthropic-ratelimit-requests-remaining": "12",
      "anthropic-ratelimit-requests-reset": new Date(Date.now() + 50_000).toISOString(),
      "anthropic-ratelimit-input-tokens-remaining": "0",
      "anthropic-ratelimit-input-tokens-reset": soon,
    });
    expect(failure.trySame).toBe(true);
    expect(failure.retryAfterMs).toBeGreaterThan(7_000);
    expect(failure.retryAfterMs).toBeLessThanOrEqual(9_000);
  });
});

describe("conversations", () => {
  const mark = { cache_control: { type: "ephemeral" } };
  const PNG = "data:image/png;base64,iVBORw==";

  test.each<{ name: string; messages: Json[]; got: Json[]; system?: Json[]; model?: string }>([
    {
      name: "system ahead, neighbours merged",
      messages: [say("system", "A"), say("developer", [textBlock("B", mark)]), say("user", "1"), say("user", "2")],
      system: [textBlock("A"), textBlock("B", mark)],
      got: [say("user", [textBlock("1"), textBlock("2")])],
    },
    {
      name: "parallel calls of one id get their results in order",
      messages: [
        say("user", "1"),
        say("assistant", null, { tool_calls: [call("same"), call("same")] }),
        say("tool", "A", { tool_call_id: "same" }),
        say("tool", "B", { tool_call_id: "same" }),
      ],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [
          { type: "tool_use", id: "same", name: "now", input: {} },
          { type: "tool_use", id: "same_2", name: "now", input: {} },
        ]),
        say("user", [
          { type: "tool_result", tool_use_id: "same", content: [textBlock("A")] },
          { type: "tool_result", tool_use_id: "same_2", content: [textBlock("B")] },
        ]),
      ],
    },
    {
      name: "system in between, on models that have it",
      messages: [say("user", "1"), say("assistant", "2"), say("system", "S"), say("user", "3")],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [textBlock("2")]),
        say("user", [textBlock("3")]),
        say("system", [textBlock("S")]),
      ],
      model: "claude-opus-4-8",
    },
    {
      name: "system in between, on the others",
      messages: [say("user", "1"), say("assistant", "2"), say("system", "S"), say("user", "3")],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [textBlock("2")]),
        say("user", [textBlock("<system-reminder>\nS\n</system-reminder>"), textBlock("3")]),
      ],
    },
    { name: "nothing but system", messages: [say("system", "S")], got: [say("user", [textBlock("S")])] },
    {
      name: "the assistant first, and its prefill without the white space the vendor refuses",
      messages: [say("assistant", "So: \n")],
      got: [say("user", [textBlock(".")]), say("assistant", [textBlock("So:")])],
      model: "claude-sonnet-4-5",
    },
    {
      name: "the assistant last, where the vendor takes no prefill",
      messages: [say("user", "1"), say("assistant", "So: \n")],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [textBlock("So: \n")]),
        say("user", [textBlock("Go on from exactly where you stopped.")]),
      ],
    },
    {
      name: "blank text says nothing",
      messages: [say("user", [textBlock(" "), textBlock("1")]), say("assistant", ""), say("user", "\n")],
      got: [say("user", [textBlock("1")])],
    },
    {
      name: "images and documents",
      messages: [
        say("user", [
          { type: "image_url", image_url: { url: "https://example.com/a.png" } },
          { type: "image_url", image_url: { url: PNG }, ...mark },
          { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBERg==" } },
          { type: "file", file: { filename: "a.txt", file_data: "data:text/plain;base64,w7Y=" } },
          { type: "document", source: { type: "url", url: "https://example.com/b.pdf" } },
        ]),
      ],
      got: [
        say("user", [
          { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw==" }, ...mark },
          {
            type: "document",
            source: { type: "base64", media_type: "application/pdf", data: "JVBERg==" },
            title: "a.pdf",
          },
          { type: "document", source: { type: "text", media_type: "text/plain", data: "ö" }, title: "a.txt" },
          { type: "document", source: { type: "url", url: "https://example.com/b.pdf" } },
        ]),
      ],
    },
    {
      name: "results of one step in one turn, ahead of the text",
      messages: [
        say("user", "1"),
        say("assistant", null, { tool_calls: [call("a", "now", ""), call("b:2", "add", '{"x":1}')] }),
        say("tool", "noon", { tool_call_id: "a", ...mark }),
        say("tool", [textBlock("broken")], { tool_call_id: "b:2", is_error: true }),
        say("user", "2"),
      ],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [
          { type: "tool_use", id: "a", name: "now", input: {} },
          { type: "tool_use", id: "b_2", name: "add", input: { x: 1 } },
        ]),
        say("user", [
          { type: "tool_result", tool_use_id: "a", content: [textBlock("noon")], ...mark },
          { type: "tool_result", tool_use_id: "b_2", content: [textBlock("broken")], is_error: true },
          textBlock("2"),
        ]),
      ],
    },
    {
      name: "old function calls get ids of their own",
      messages: [
        say("user", "1"),
        say("assistant", null, { function_call: { name: "now", arguments: "{}" } }),
        say("function", "noon", { name: "now" }),
        say("assistant", null, { function_call: { name: "now", arguments: "{}" } }),
        say("function", "one", { name: "now" }),
      ],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [{ type: "tool_use", id: "call_now", name: "now", input: {} }]),
        say("user", [{ type: "tool_result", tool_use_id: "call_now", content: [textBlock("noon")] }]),
        say("assistant", [{ type: "tool_use", id: "call_now_2", name: "now", input: {} }]),
        say("user", [{ type: "tool_result", tool_use_id: "call_now_2", content: [textBlock("one")] }]),
      ],
    },
    {
      name: "thinking of this vendor goes back, of another does not",
      messages: [
        say("user", "1"),
        say("assistant", "2", {
          reasoning_content: "r",
          reasoning_details: [
            { type: "reasoning.text", format: "anthropic", text: "r", signature: "s" },
            { type: "reasoning.encrypted", format: "anthropic", data: "d" },
            { type: "reasoning.text", format: "google", text: "g", signature: "x" },
            { type: "reasoning.text", format: "anthropic", text: "unsigned" },
          ],
          tool_calls: [
            {
              ...call("a"),
              extra_content: { anthropic: { caller: { type: "c" } } },
            },
          ],
        }),
        say("tool", "", { tool_call_id: "a" }),
      ],
      got: [
        say("user", [textBlock("1")]),
        say("assistant", [
          { type: "thinking", thinking: "r", signature: "s" },
          { type: "redacted_thinking", data: "d" },
          textBlock("2"),
          { type: "tool_use", id: "a", name: "now", input: {}, caller: { type: "c" } },
        ]),
        say("user", [{ type: "tool_result", tool_use_id: "a" }]),
      ],
    },
    {
      name: "a refusal is what was said",
      messages: [say("user", "1"), say("assistant", null, { refusal: "No." }), say("user", "2")],
      got: [say("user", [textBlock("1")]), say("assistant", [textBlock("No.")]), say("user", [textBlock("2")])],
    },
  ])("$name", async ({ messages, got, system, model }) => {
    const { body } = await sent({ messages }, model === undefined ? {} : { model });
    expect(body["messages"]).toEqual(got);
    expect(body["system"]).toEqual(system);
  });

  test("calls without tools get definitions, and no new calls", async () => {
    const messages = [
      say("user", "1"),
      say("assistant", null, { tool_calls: [call("a")] }),
      say("tool", "x", { tool_call_id: "a" }),
    ];
    const { body } = await sent({ messages });
    expect(body).toMatchObject({
      tools: [{ name: "now", input_schema: { type: "object" } }],
      tool_choice: { type: "none" },
    });
  });

  test("a tool loop another provider began goes on without a thinking budget", async () => {
    const messages = [
      say("user", "1"),
      say("assistant", null, { tool_calls: [call("a")] }),
      say("tool", "x", { tool_call_id: "a" }),
    ];
    const { body, dropped } = await sent(
      { messages, tools: [tool("now")], reasoning_effort: "high" },
      { model: "claude-haiku-4-5" },
    );
    expect(body["thinking"]).toBeUndefined();
    expect(dropped).toEqual(["reasoning_effort"]);
    const adaptive = await sent({ messages, tools: [tool("now")], reasoning_effort: "high" });
    expect(adaptive.body["thinking"]).toEqual({ type: "adaptive", display: "summarized" });
  });
});

interface Pair {
  readonly case: string;
  readonly openai_chat: { readonly body: Json };
  readonly native: { readonly anthropic: { readonly body: Json } };
}

describe.runIf(existsSync(PAIRS))("conversations as others sent them", () => {
  const pairs = existsSync(PAIRS) ? (JSON.parse(readFileSync(PAIRS, "utf8")) as Pair[]) : [];
  /** Ids differ, because each provider made its own; so does the limit, which is ours to choose. */
  const comparable = ({ model: _model, max_tokens: _limit, ...body }: Json): Json => {
    const names = new Map<string, string>();
    const text = JSON.stringify(body).replace(/toolu_\w+/g, (id) => {
      if (!names.has(id)) names.set(id, `call_${names.size}`);
      return names.get(id) ?? id;
    });
    const { stream: _stream, ...rest } = JSON.parse(text) as Json;
    return rest;
  };
  test.each(pairs)("$case", async ({ openai_chat, native }) => {
    const { body, dropped } = await sent(openai_chat.body, { model: "claude-haiku-4-5-20251001" });
    expect(comparable(body)).toEqual(comparable(native.anthropic.body));
    expect(dropped).toEqual([]);
  });
});
