/** What each provider of OpenAI's protocol gets of a request, and what the client is told of the rest. */

import { describe, expect, test } from "vitest";
import type { AdapterCall, UpstreamRequest } from "../../../../../src/providers/adapter.ts";
import { findProvider, operatorProvider } from "../../../../../src/providers/index.ts";
import { askedInChat } from "../../../../../src/wires/asked.ts";
import { UntranslatableRequest } from "../../../../../src/wires/untranslatable.ts";
import { textInChat } from "../../../../support/asked.ts";

type Json = Record<string, unknown>;

const ASK = { role: "user", content: "hi" };

async function send(id: string, sent: object, options: Partial<AdapterCall> = {}): Promise<UpstreamRequest> {
  const own = operatorProvider({ id: "own", base_url: "https://own.example/v1", secret: null });
  const provider = id === "own" ? own : findProvider(id);
  if (provider === undefined) throw new Error(`no provider ${id}`);
  const text = JSON.stringify({ model: "flow/x", messages: [ASK], ...sent });
  return provider.adapter.toUpstream({
    ...textInChat(text),
    stream: false,
    model: "some-model",
    params: {},
    maxOutputTokens: undefined,
    config: { baseUrl: "https://api.example/v1", headers: {} },
    ...options,
  });
}

async function bodyOf(id: string, sent: object, options: Partial<AdapterCall> = {}): Promise<Json> {
  return JSON.parse((await send(id, sent, options)).body) as Json;
}

const tool = (more: object = {}, detail: object = {}): object => ({
  type: "function",
  function: { name: "look", parameters: { type: "object", properties: {} }, ...detail },
  ...more,
});
const call = (name = "look", more: object = {}): object => ({
  id: "call_1",
  type: "function",
  function: { name, arguments: "{}" },
  ...more,
});
const MARK = { cache_control: { type: "ephemeral" } };

describe("closed schemas", () => {
  test.each([
    ["mistral", ["verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "modalities", "user"]],
    ["groq", ["verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "modalities", "store"]],
    ["cerebras", ["verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "store"]],
  ])("%s does not get %j", async (id, names) => {
    const all = Object.fromEntries(names.map((name) => [name, name === "modalities" ? ["text"] : "x"]));
    const { body, droppedParams } = await send(id, { ...all, a_member_of_tomorrow: { x: 1 }, temperature: 0.5 });
    expect(Object.keys(JSON.parse(body) as Json).sort()).toEqual(["messages", "model", "temperature"]);
    expect([...droppedParams].sort()).toEqual([...names, "a_member_of_tomorrow"].sort());
  });

  test("members of messages and tools that it does not have go too, and are named", async () => {
    const { body, droppedParams } = await send("mistral", {
      messages: [
        { role: "user", content: "a", name: "bob", x: 1 },
        { role: "assistant", content: "b", refusal: null, annotations: [], audio: null, parsed: { y: 1 } },
        { role: "user", content: "c" },
      ],
      tools: [tool({ defer_loading: true }, { input_examples: [], strict: true })],
    });
    const written = JSON.parse(body) as { messages: Json[]; tools: Json[] };
    expect(written.messages).toEqual([
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" },
    ]);
    expect(written.tools).toEqual([tool({}, { strict: true })]);
    expect([...droppedParams].sort()).toEqual(
      ["messages.name", "messages.parsed", "messages.x", "tools.defer_loading", "tools.input_examples"].sort(),
    );
  });

  test.each<[string, object, string]>([
    ["groq", { n: 2 }, "n"],
    ["mistral", { modalities: ["text", "audio"] }, "modalities"],
    ["mistral", { functions: [{ name: "f" }] }, "functions"],
    ["groq", { tools: [{ type: "local_shell" }] }, "tools[0]"],
    ["groq", { tools: [{ type: "web_search" }], tool_choice: "required" }, "tools[0]"],
    ["groq", { tools: [tool(), { type: "web_search" }], tool_choice: { type: "web_search" } }, "tools[1]"],
    ["perplexity", { tools: [tool()] }, "tools"],
  ])("%s: %j would be another request without %s, and is not sent", async (id, sent, path) => {
    await expect(send(id, sent)).rejects.toThrow(UntranslatableRequest);
    const provider = findProvider(id);
    expect(provider?.lacks?.(askedInChat({ messages: [ASK], ...sent }), "some-model")).toBe(path);
    expect(provider?.refuses?.(askedInChat({ messages: [ASK], ...sent }), "some-model")).toMatchObject({ param: path });
  });

  test.each([
    ["alone", { tools: [{ type: "web_search" }], tool_choice: "auto" }, undefined],
    ["next to a function", { tools: [{ type: "web_search" }, tool()], tool_choice: "required" }, [tool()]],
  ])("a search that another provider would run is left out and named: %s", async (_, sent, tools) => {
    const written = await send("groq", sent);
    expect(written.droppedParams).toEqual(["tools[0]"]);
    const body = JSON.parse(String(written.body)) as Record<string, unknown>;
    expect([body["tools"], "tool_choice" in body]).toEqual([tools, tools !== undefined]);
    expect(findProvider("groq")?.lacks?.(askedInChat({ messages: [ASK], ...sent }), "some-model")).toBe("tools[0]");
    expect(findProvider("groq")?.refuses?.(askedInChat({ messages: [ASK], ...sent }), "some-model") ?? null).toBeNull();
  });

  test.each(["openai", "azure", "openrouter", "vllm", "own"])("%s gets tools of any kind", async (id) => {
    const tools = [{ type: "custom", custom: { name: "f" } }];
    expect((await bodyOf(id, { tools }))["tools"]).toEqual(tools);
  });
});

describe("cache marks", () => {
  const sent = {
    messages: [
      { role: "system", content: [{ type: "text", text: "s", ...MARK }] },
      { role: "user", content: "cache_control", ...MARK },
      { role: "assistant", content: null, tool_calls: [call("look", MARK)] },
      { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "r", ...MARK }] },
    ],
    tools: [tool(MARK), tool({}, { name: "b", ...MARK })],
  };

  test.each(["openai", "groq", "mistral", "cerebras", "deepseek", "xai", "vllm"])(
    "%s does not get them",
    async (id) => {
      const { body, droppedParams } = await send(id, sent);
      expect(body.replace('"content":"cache_control"', "")).not.toContain("cache_control");
      expect([...droppedParams].sort()).toEqual(["messages.cache_control", "tools.cache_control"]);
    },
  );

  test.each(["openrouter", "alibaba", "own"])("%s gets them", async (id) => {
    const { body, droppedParams } = await send(id, sent);
    expect(body.match(/cache_control":\{/g)).toHaveLength(6);
    expect(droppedParams).toEqual([]);
  });
});

describe("reasoning_effort", () => {
  test.each<[string, string, string, unknown]>([
    ["groq", "qwen/qwen3-32b", "high", "default"],
    ["groq", "qwen/qwen3-32b", "none", "none"],
    ["groq", "openai/gpt-oss-120b", "xhigh", "high"],
    ["groq", "openai/gpt-oss-20b", "none", "low"],
    ["groq", "llama-3.3-70b-versatile", "high", undefined],
    ["xai", "grok-4-1-fast-reasoning", "high", undefined],
    ["xai", "grok-4.5", "xhigh", "high"],
    ["openai", "gpt-5", "xhigh", "high"],
    ["openai", "gpt-5.1", "minimal", "low"],
    ["openai", "gpt-5-pro", "low", "high"],
    ["openai", "gpt-5-2025-08-07", "none", "minimal"],
    ["openai", "gpt-4o", "high", undefined],
    ["openai", "a-model-of-tomorrow", "xhigh", "xhigh"],
    ["openai", "gpt-5", "a_word", "a_word"],
    ["mistral", "mistral-small-latest", "medium", "high"],
    ["mistral", "mistral-large-latest", "high", undefined],
    ["cerebras", "zai-glm-4.7", "high", undefined],
    ["moonshot", "kimi-k3", "medium", "low"],
    ["deepseek", "deepseek-v4-pro", "low", "low"],
    ["vllm", "gpt-oss-120b", "xhigh", "xhigh"],
  ])("%s/%s with %s gets %s", async (id, model, wanted, got) => {
    const { body, droppedParams } = await send(id, { reasoning_effort: wanted }, { model });
    expect((JSON.parse(body) as Json)["reasoning_effort"]).toBe(got);
    expect(droppedParams.includes("reasoning_effort")).toBe(got === undefined);
  });
});

describe("sampling that a model fixes", () => {
  test.each<[string, string, object, readonly string[]]>([
    ["openai", "gpt-5", { temperature: 0.2, top_p: 0.5 }, ["temperature", "top_p"]],
    ["openai", "gpt-5", { temperature: 0 }, ["temperature"]],
    ["openai", "gpt-5", { temperature: 1 }, []],
    ["openai", "gpt-5.2", { temperature: 0.2 }, []],
    ["openai", "gpt-5.2", { temperature: 0.2, reasoning_effort: "high" }, ["temperature"]],
    ["openai", "gpt-4.1", { temperature: 0.2, stop: ["x"] }, []],
    ["moonshot", "kimi-k2.5", { temperature: 0.2 }, ["temperature"]],
    ["groq", "openai/gpt-oss-120b", { temperature: 0.2 }, []],
  ])("%s/%s with %j loses %j", async (id, model, sent, lost) => {
    const { body, droppedParams } = await send(id, sent, { model });
    const written = JSON.parse(body) as Json;
    for (const name of Object.keys(sent)) expect(name in written).toBe(!lost.includes(name));
    expect(droppedParams).toEqual(lost);
  });

  test("a wish makes another target better, a temperature does not", () => {
    const openai = findProvider("openai");
    expect(openai?.lacks?.(askedInChat({ messages: [ASK], stop: ["x"] }), "gpt-5")).toBe("stop");
    expect(openai?.lacks?.(askedInChat({ messages: [ASK], temperature: 0.2 }), "gpt-5")).toBeNull();
    expect(openai?.refuses?.(askedInChat({ messages: [ASK], stop: ["x"] }), "gpt-5")).toBeNull();
  });
});

describe("thoughts that a provider demands", () => {
  const turn = (more: object = {}): object => ({ role: "assistant", content: "a", ...more });
  const withCall = (more: object = {}): object => ({ role: "assistant", content: null, tool_calls: [call()], ...more });
  const signed = [{ type: "reasoning.text", format: "anthropic-claude-v1", text: "T", signature: "S" }];
  test.each<{ id: string; messages: object[]; got: unknown[] }>([
    { id: "moonshot", messages: [turn(), withCall()], got: [undefined, ""] },
    {
      id: "moonshot",
      messages: [withCall({ reasoning_details: signed }), withCall({ reasoning: "R" })],
      got: ["T", "R"],
    },
    { id: "moonshot", messages: [withCall({ reasoning_content: null })], got: [""] },
    { id: "deepseek", messages: [turn(), withCall(), turn({ reasoning: "R" })], got: ["", "", "R"] },
    { id: "deepseek", messages: [turn(), turn({ reasoning_content: "R" })], got: [undefined, "R"] },
    { id: "openai", messages: [turn(), withCall({ reasoning_content: "R" })], got: [undefined, undefined] },
  ])("$id: $messages", async ({ id, messages, got }) => {
    const { messages: written } = await bodyOf(id, { messages: [ASK, ...messages, ASK] });
    expect((written as Json[]).slice(1, -1).map((message) => message["reasoning_content"])).toEqual(got);
    expect(JSON.stringify(written)).not.toContain('"S"');
  });
});

describe("schemas and names of tools", () => {
  const choice = { type: "object", properties: { a: { type: "string" } }, anyOf: [{ required: ["a"] }] };

  test.each(["openai", "azure", "groq", "mistral"])("%s gets no choice at the root of a schema", async (id) => {
    const { body } = await send(id, { tools: [tool({}, { parameters: choice }), tool({}, { name: "b" })] });
    expect(body).not.toContain('"anyOf"');
    expect(body).toContain(JSON.stringify(tool({}, { name: "b" })));
  });

  test("vLLM and an operator's own endpoint get the schema as it came", async () => {
    for (const id of ["vllm", "own"]) {
      const tools = [tool({}, { parameters: choice, name: "a.b" })];
      expect((await bodyOf(id, { tools }))["tools"]).toEqual(tools);
    }
  });

  const dotted = {
    messages: [
      ASK,
      { role: "assistant", content: null, tool_calls: [call("cal.list/all"), call("old.tool")] },
      { role: "tool", tool_call_id: "call_1", name: "cal.list/all", content: "r" },
    ],
    tools: [tool({}, { name: "cal.list/all" }), tool({}, { name: "cal_list_all" })],
    tool_choice: { type: "function", function: { name: "cal.list/all" } },
  };

  test("names that the protocol does not take get aliases everywhere", async () => {
    const written = await bodyOf("openai", dotted);
    const [first, second] = (written["tools"] as { function: { name: string } }[]).map(({ function: own }) => own.name);
    expect(first).toMatch(/^[\w-]{1,64}$/);
    expect(second).toBe("cal_list_all");
    expect(first).not.toBe(second);
    expect(written["tool_choice"]).toEqual({ type: "function", function: { name: first } });
    const text = JSON.stringify(written["messages"]);
    expect(text).not.toMatch(/cal\.list|old\.tool/);
    expect(text.split(`"${first}"`)).toHaveLength(3);
  });

  test("and the client's own come back, whole and streamed", async () => {
    const translation = findProvider("openai")?.adapter.translation;
    const alias = ((await bodyOf("openai", dotted))["tools"] as { function: { name: string } }[])[0]!.function.name;
    const context = { asked: askedInChat({ ...dotted }), model: "m", traceId: "tr_1", createdAt: 0 };
    const message = { role: "assistant", content: null, tool_calls: [call(alias)] };
    const whole = { choices: [{ index: 0, message, finish_reason: "tool_calls" }] };
    const answer = translation?.toCompletion?.(whole, context);
    expect(JSON.stringify(answer)).toContain('"name":"cal.list/all"');
    const delta = { tool_calls: [{ index: 0, ...call(alias) }] };
    const event = `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: "tool_calls" }] })}\n\n`;
    const frames = translation?.openFrames?.(context).push(Buffer.from(event));
    expect(frames?.[0]?.raw).toContain('"name":"cal.list/all"');
    expect(translation?.passesNatively?.(context)).toBe(false);
    expect(
      translation?.passesNatively?.({ ...context, asked: askedInChat({ messages: [ASK], tools: [tool()] }) }),
    ).toBe(true);
  });
});

describe("media in the result of a tool", () => {
  const picture = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
  const result = (id: string, content: unknown): object => ({ role: "tool", tool_call_id: id, content });

  test.each(["openai", "groq", "deepseek", "vllm", "own"])(
    "%s gets it in a user message behind all results",
    async (id) => {
      const messages = [
        ASK,
        { role: "assistant", content: null, tool_calls: [call(), call()] },
        result("1", [{ type: "text", text: "r" }, picture]),
        result("2", [picture]),
        { role: "assistant", content: "so" },
      ];
      const written = (await bodyOf(id, { messages }))["messages"] as { role: string; content: Json[] }[];
      expect(written.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "tool", "user", "assistant"]);
      expect(written[2]!.content).toEqual([{ type: "text", text: "r" }]);
      expect(written[3]!.content).toMatchObject([{ type: "text" }]);
      expect(written[4]!.content.filter(({ type }) => type === "image_url")).toEqual([picture, picture]);
      expect(written[4]!.content[0]).toMatchObject({ text: expect.stringContaining("1") });
    },
  );

  test("at the end of the conversation too; Mistral takes it where it is", async () => {
    const messages = [ASK, { role: "assistant", content: null, tool_calls: [call()] }, result("1", [picture])];
    const last = ((await bodyOf("openai", { messages }))["messages"] as Json[]).at(-1);
    expect(last).toMatchObject({ role: "user" });
    const kept = ((await bodyOf("mistral", { messages }))["messages"] as Json[]).at(-1);
    expect(kept).toMatchObject({ role: "tool", content: [picture] });
  });
});

test.each([
  ["mistral", [{ role: "assistant", content: "So", prefix: true }]],
  [
    "perplexity",
    [
      { role: "assistant", content: "So" },
      { role: "user", content: "Continue." },
    ],
  ],
  ["openai", [{ role: "assistant", content: "So" }]],
])("%s: a conversation that ends with the assistant", async (id, got) => {
  const written = (await bodyOf(id, { messages: [ASK, { role: "assistant", content: "So" }] }))["messages"];
  expect(written).toEqual([ASK, ...got]);
});

describe("once more without what was refused", () => {
  test.each<[string, object, readonly string[], object, readonly string[]]>([
    ["vllm", { temperature: 0.2, x: 1 }, ["temperature"], { x: 1 }, ["temperature"]],
    ["own", { max_tokens: 5 }, ["max_tokens"], { max_completion_tokens: 5 }, []],
    ["openai", { max_tokens: 5 }, ["max_completion_tokens"], { max_tokens: 5 }, []],
    ["own", { tools: [tool({}, { strict: true })] }, ["strict"], { tools: [tool()] }, ["tools.strict"]],
  ])("%s: %j without %j", async (id, sent, without, got, dropped) => {
    const { body, droppedParams } = await send(id, sent, { without });
    expect(JSON.parse(body)).toEqual({ model: "some-model", messages: [ASK], ...got });
    expect(droppedParams).toEqual(dropped);
  });

  test("a member of messages", async () => {
    const messages = [ASK, { role: "assistant", content: "a", reasoning_content: "b" }, ASK];
    const { body, droppedParams } = await send("own", { messages }, { without: ["messages.reasoning_content"] });
    expect((JSON.parse(body) as { messages: Json[] }).messages[1]).toEqual({ role: "assistant", content: "a" });
    expect(droppedParams).toEqual(["messages.reasoning_content"]);
  });

  test("of a stream the usage may be refused", async () => {
    const { body } = await send("own", { stream: true }, { stream: true, without: ["stream_options"] });
    expect(body).not.toContain("stream_options");
  });
});
