import { describe, expect, test } from "vitest";
import type { AdapterCall } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { inChat } from "../../support/asked.ts";

const HELLO = { model: "flow/x", messages: [{ role: "user", content: "Say hello, please" }] };
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      required: ["city", "unit", "days", "place", "tags"],
      properties: {
        city: { type: "string" },
        unit: { enum: ["celsius", "fahrenheit"] },
        days: { type: "integer" },
        place: { type: "object", required: ["zip"], properties: { zip: { type: "string" } } },
        tags: { type: "array", items: { type: "string" } },
        note: { type: "string" },
      },
    },
  },
};
const OTHER = { type: "function", function: { name: "other" } };
const WEATHER_ARGUMENTS = { city: "example", unit: "celsius", days: 1, place: { zip: "example" }, tags: [] };

interface ToolCall {
  id: string;
  type: string;
  function: { name: string; arguments: string };
}

interface Choice {
  finish_reason: string;
  message: { content: string; tool_calls: [ToolCall] };
}

/** What the tests read of an answer, as if all of it were always there: a miss fails the test either way. */
interface Completion {
  id: string;
  created: number;
  choices: [Choice, Choice];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

interface Chunk {
  choices: { index: number; delta: Record<string, unknown>; finish_reason: string | null }[];
  usage: { completion_tokens: number } | null;
}

function ask(
  fields: Record<string, unknown>,
  options: Partial<AdapterCall> = {},
  signal?: AbortSignal,
): Promise<Response> {
  const sandbox = findProvider("sandbox");
  const config = sandbox?.configure({ FLOW_SANDBOX: "1" });
  if (sandbox?.send === undefined || config === null || config === undefined) throw new Error("no sandbox");
  const call: AdapterCall = {
    ...inChat(fields),
    stream: fields["stream"] === true,
    model: "sandbox-model",
    params: {},
    maxOutputTokens: undefined,
    config,
    ...options,
  };
  return sandbox.send(call, signal ?? new AbortController().signal);
}

// Answers of the sandbox are this project's own, so their shape is trusted here.
const complete = async (...args: Parameters<typeof ask>): Promise<Completion> => (await ask(...args)).json();

async function chunks(...args: Parameters<typeof ask>): Promise<{ events: Chunk[]; done: boolean }> {
  const blocks = (await (await ask(...args)).text()).split("\n\n").filter((block) => block !== "");
  const done = blocks.at(-1) === "data: [DONE]";
  return { events: blocks.slice(0, done ? -1 : undefined).map((block) => JSON.parse(block.slice(6))), done };
}

const contentOf = (events: Chunk[]): string => events.map((each) => each.choices[0]?.delta["content"] ?? "").join("");

test("is off unless it is switched on", () => {
  const sandbox = findProvider("sandbox");
  expect(sandbox?.configure({})).toBeNull();
  expect(sandbox?.configure({ FLOW_SANDBOX: "true" })).toBeNull();
  expect(sandbox?.configure({ FLOW_SANDBOX: "1" })).not.toBeNull();
});

describe("answers", () => {
  test("a completion quotes the last user message and counts its tokens", async () => {
    const answer = await complete(HELLO);
    expect(answer).toMatchObject({ object: "chat.completion", model: "sandbox-model", system_fingerprint: "sandbox" });
    const content: string = answer.choices[0].message.content;
    expect(content).toContain("Say hello, please");
    expect(answer.choices[0].finish_reason).toBe("stop");
    expect(answer.usage.completion_tokens).toBe(Math.ceil(content.length / 4));
    expect(answer.usage.total_tokens).toBe(answer.usage.prompt_tokens + answer.usage.completion_tokens);
  });

  test("the same request has the same answer, another one another id", async () => {
    const { created: _, ...first } = await complete(HELLO);
    const { created: __, ...second } = await complete(HELLO);
    expect(second).toEqual(first);
    expect((await complete({ ...HELLO, seed: 2 })).id).not.toBe(first.id);
  });

  test("a long message is quoted in part, and parts of text are read", async () => {
    const content = [{ type: "text", text: "😀".repeat(500) }, { type: "image_url" }];
    const answer = await complete({ messages: [{ role: "user", content }] });
    expect(answer.choices[0].message.content.length).toBeLessThan(250);
    expect(answer.choices[0].message.content.isWellFormed()).toBe(true);
  });

  test.each<[string, Record<string, unknown>, Partial<AdapterCall>]>([
    ["the client's limit", { max_tokens: 3 }, {}],
    ["the newer limit", { max_completion_tokens: 3 }, {}],
    ["the policy's taste", {}, { params: { max_tokens: 3 } }],
    ["the policy's bound", { max_tokens: 900 }, { maxOutputTokens: 3 }],
  ])("%s cuts the text", async (_, fields, options) => {
    const answer = await complete({ ...HELLO, ...fields }, options);
    expect(answer.choices[0].finish_reason).toBe("length");
    expect(answer.usage.completion_tokens).toBeLessThanOrEqual(3);
    expect(answer.choices[0].message.content.length).toBeLessThanOrEqual(12);
  });

  test("n choices are given, at most eight", async () => {
    expect((await complete({ ...HELLO, n: 3 })).choices).toHaveLength(3);
    expect((await complete({ ...HELLO, n: 100 })).choices).toHaveLength(8);
  });

  test("JSON that was asked for is JSON that fits", async () => {
    const schema = { type: "object", required: ["ok"], properties: { ok: { type: "boolean" } } };
    const asked = { ...HELLO, response_format: { type: "json_schema", json_schema: { name: "x", schema } } };
    expect(JSON.parse((await complete(asked)).choices[0].message.content)).toEqual({ ok: true });
    const loose = await complete({ ...HELLO, response_format: { type: "json_object" } });
    expect(JSON.parse(loose.choices[0].message.content)).toBeTypeOf("object");
    expect(JSON.parse(contentOf((await chunks({ ...asked, stream: true })).events))).toEqual({ ok: true });
  });
});

describe("streams", () => {
  test("role, text, finish, usage, done, with the text of the whole answer", async () => {
    const { events, done } = await chunks({ ...HELLO, stream: true });
    expect(done).toBe(true);
    expect(events[0]?.choices[0]?.delta).toMatchObject({ role: "assistant", content: "" });
    expect(events.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(events.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expect.any(Number) } });
    expect(events.length).toBeGreaterThan(10);
    const streamed = contentOf(events);
    expect(events.at(-1)?.usage?.completion_tokens).toBe(Math.ceil(streamed.length / 4));
    expect(streamed).toContain("Say hello, please");
  });

  test.each([1, 7, 300])("the policy asks for %d chunks", async (count) => {
    const { events } = await chunks({ ...HELLO, stream: true }, { params: { chunks: count } });
    expect(events.filter((each) => (each.choices[0]?.delta["content"] ?? "") !== "")).toHaveLength(count);
  });

  test("each choice has its own role and finish", async () => {
    const { events } = await chunks({ ...HELLO, stream: true, n: 2 });
    const finished = events.flatMap((each) => each.choices).filter((choice) => choice.finish_reason !== null);
    expect(finished.map((choice) => choice.index)).toEqual([0, 1]);
  });
});

describe("tools", () => {
  const offered = { ...HELLO, tools: [WEATHER, OTHER] };
  const call = { id: "x", type: "function", function: { name: "get_weather", arguments: "{}" } };
  const asked = { role: "assistant", content: null, tool_calls: [call] };
  const told = { role: "tool", tool_call_id: "x", content: "20" };
  const result = { ...offered, messages: [...HELLO.messages, asked, told] };

  test("the first tool is called with arguments that fit its schema", async () => {
    const [choice] = (await complete(offered)).choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const [call] = choice.message.tool_calls;
    expect(call).toMatchObject({ type: "function", id: expect.stringMatching(/^call_[0-9A-Za-z]{24}$/) });
    expect(call.function.name).toBe("get_weather");
    expect(JSON.parse(call.function.arguments)).toEqual(WEATHER_ARGUMENTS);
    expect((await complete(offered)).choices[0].message.tool_calls).toEqual([call]);
  });

  test("a streamed call comes in fragments", async () => {
    const { events } = await chunks({ ...offered, stream: true });
    const deltas = events
      .flatMap((each) => each.choices)
      .flatMap((choice) => (choice.delta["tool_calls"] ?? []) as ToolCall[]);
    expect(deltas[0]).toMatchObject({
      index: 0,
      id: expect.any(String),
      function: { name: "get_weather", arguments: "" },
    });
    expect(deltas.length).toBeGreaterThan(3);
    expect(JSON.parse(deltas.map((each) => each.function.arguments).join(""))).toEqual(WEATHER_ARGUMENTS);
    expect(events.at(-2)?.choices[0]?.finish_reason).toBe("tool_calls");
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>, string | undefined]>([
    [
      "a tool that is insisted on",
      { ...offered, tool_choice: { type: "function", function: { name: "other" } } },
      {},
      "other",
    ],
    ["no tool is wanted", { ...offered, tool_choice: "none" }, {}, undefined],
    ["after a result", result, {}, undefined],
    ["after a result, where one is required", { ...result, tool_choice: "required" }, {}, "other"],
    [
      "after a result, where it is insisted on",
      { ...result, tool_choice: { type: "function", function: { name: "get_weather" } } },
      {},
      "get_weather",
    ],
    ["after a result, when scripted", result, { tool_call: true }, "get_weather"],
    ["never, when scripted", offered, { tool_call: false }, undefined],
    ["none offered", { ...HELLO, tools: [] }, { tool_call: true }, undefined],
    ["malformed tools", { ...HELLO, tools: [null, { function: {} }, OTHER] }, {}, "other"],
  ])("%s", async (_, fields, params, name) => {
    const [choice] = (await complete(fields, { params })).choices;
    expect(choice.message.tool_calls?.[0].function.name).toBe(name);
  });

  test("two calls in one answer have two ids", async () => {
    const { choices } = await complete({ ...offered, n: 2 });
    expect(choices[0].message.tool_calls[0].id).not.toBe(choices[1].message.tool_calls[0].id);
  });
});

describe("scripted failures", () => {
  test.each([
    ["429", 429, "1"],
    ["500", 500, null],
  ])("%s", async (fail, status, retryAfter) => {
    const response = await ask(HELLO, { params: { fail } });
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe(retryAfter);
    expect(await response.json()).toMatchObject({ error: { message: expect.any(String) } });
  });

  test("a reset rejects as the network does", async () => {
    await expect(ask(HELLO, { params: { fail: "reset" } })).rejects.toThrow(TypeError);
  });

  test("a stream breaks after content and before its finish", async () => {
    const response = await ask({ ...HELLO, stream: true }, { params: { fail: "midstream" } });
    const reader = response.body!.getReader();
    let text = "";
    await expect(
      (async () => {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          text += new TextDecoder().decode(value);
        }
      })(),
    ).rejects.toThrow("Network connection lost.");
    expect(text).toMatch(/"content":"[^"]+"/);
    expect(text).not.toMatch(/"finish_reason":"|\[DONE\]/);
  });

  test("a whole answer breaks in its body", async () => {
    const response = await ask(HELLO, { params: { fail: "midstream" } });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  test("a rate of nothing never fails, and what is no script is ignored", async () => {
    const scripts = [
      { fail: "500", fail_rate: 0 },
      { fail: "explode" },
      { fail: {} },
      { latency_ms: "9", chunks: "x" },
    ];
    for (const params of scripts) expect((await ask(HELLO, { params })).status).toBe(200);
  });

  test("a client cannot script it", async () => {
    expect((await ask({ ...HELLO, fail: "500", params: { fail: "500" } })).status).toBe(200);
  });
});

describe("an abort", () => {
  const reason = new Error("left");
  test.each([
    ["a hang", { fail: "hang" }],
    ["a delay", { latency_ms: 60_000 }],
  ])("ends %s at once", async (_, params) => {
    const controller = new AbortController();
    const answer = ask(HELLO, { params }, controller.signal);
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });

  test("ends a stream between two chunks", async () => {
    const controller = new AbortController();
    const response = await ask(
      { ...HELLO, stream: true },
      { params: { chunk_interval_ms: 60_000 } },
      controller.signal,
    );
    const reader = response.body!.getReader();
    await reader.read();
    const next = reader.read();
    controller.abort(reason);
    await expect(next).rejects.toBe(reason);
  });

  test("that came first leaves nothing to do", async () => {
    await expect(ask(HELLO, {}, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test("a reader that cancels stops the clock", async () => {
    const response = await ask({ ...HELLO, stream: true }, { params: { chunk_interval_ms: 60_000 } });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect((await reader.read()).done).toBe(true);
  });
});

test("a BYOB reader gets every byte and the end", async () => {
  const response = await ask({ ...HELLO, stream: true });
  const reader = response.body!.getReader({ mode: "byob" });
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(50));
    text += decoder.decode(value, { stream: true });
    if (done) break;
  }
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
});
