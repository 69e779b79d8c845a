/** The Vercel AI SDK, unmodified, through both of its providers for an endpoint of this protocol. */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, isStepCount, Output, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { countingFetch, type OwnRoute, type Rig, startRig } from "../support/rig.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: Rig;
beforeAll(async () => {
  vi.stubGlobal("AI_SDK_LOG_WARNINGS", false);
  rig = await startRig();
});
afterAll(() => rig.stop());

type FetchLike = ReturnType<typeof countingFetch>["fetch"];

/** The model of `own`, as a user of each provider package makes it. */
const PROVIDERS = [
  {
    provider: "@ai-sdk/openai-compatible",
    modelOf: (own: OwnRoute, fetch?: FetchLike) =>
      createOpenAICompatible({
        name: "flowlayer",
        baseURL: rig.baseURL,
        apiKey: own.key,
        includeUsage: true,
        supportsStructuredOutputs: true,
        ...(fetch === undefined ? {} : { fetch }),
      })(own.model),
  },
  {
    provider: "createOpenAI().chat()",
    // Its schema of a chunk takes the event and drops the member `error`.
    modelOf: (own: OwnRoute, fetch?: FetchLike) =>
      createOpenAI({
        baseURL: rig.baseURL,
        apiKey: own.key,
        ...(fetch === undefined ? {} : { fetch }),
      }).chat(own.model),
  },
];

const prompt = "Compare two routes.";

/** A tool that notes what it was called with. */
function weatherTool() {
  const cities: string[] = [];
  const get_weather = tool({
    description: "Weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city);
      return { degrees: 12 };
    },
  });
  return { tools: { get_weather }, cities };
}

async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject.");
}

describe.each(PROVIDERS)("$provider", ({ modelOf }) => {
  test("generateText has text, usage, a finish reason and the trace headers", async () => {
    const own = await rig.sandbox();
    const result = await generateText({ model: modelOf(own), prompt });
    expect(result.text).toContain(prompt);
    expect(result.finishReason).toBe("stop");
    expect(result.usage.totalTokens).toBeGreaterThan(0);
    expect(result.response.headers?.["x-flowlayer-route"]).toBe(own.model);
    expect(result.response.headers?.["x-flowlayer-trace-id"]).toMatch(/^tr_/);
    expect(result.response.modelId).toBe(own.upstreamModel);
  });

  test("streamText yields the text in pieces, then usage", async () => {
    const own = await rig.scripted({ events: chunks("one two three four") });
    const result = streamText({ model: modelOf(own), prompt });
    const pieces: string[] = [];
    for await (const piece of result.textStream) pieces.push(piece);
    expect(pieces).toEqual(["one ", "two ", "three ", "four"]);
    expect(await result.finishReason).toBe("stop");
    expect((await result.usage).totalTokens).toBe(15);
    expect(own.upstreamCalls()).toBe(1);
  });

  test("generateText runs a tool loop to its end", async () => {
    const own = await rig.sandbox();
    const { tools, cities } = weatherTool();
    const result = await generateText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    expect(result.steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(result.steps[0]?.toolResults).toMatchObject([{ toolName: "get_weather", output: { degrees: 12 } }]);
    expect(result.text).toContain(prompt);
    expect(cities).toHaveLength(1);
  });

  test("streamText runs a tool loop to its end, arguments in fragments", async () => {
    const own = await rig.sandbox();
    const { tools, cities } = weatherTool();
    const result = streamText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    expect((await result.steps).map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(text).toContain(prompt);
    expect(cities).toEqual([expect.any(String)]);
  });

  test("several tool calls of one step are all answered in the next request", async () => {
    const calls = ["Oslo", "Rome"].map((city, index) => ({
      id: `call_${index}`,
      name: "get_weather",
      arguments: JSON.stringify({ city }),
    }));
    const own = await rig.scripted([
      { json: completion({ toolCalls: calls }) },
      { json: completion({ text: "Done." }) },
    ]);
    const { tools, cities } = weatherTool();
    const result = await generateText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    expect(result.text).toBe("Done.");
    expect(cities.toSorted()).toEqual(["Oslo", "Rome"]);
    const [, second] = rig.upstream.callsTo(own.upstreamModel);
    const { messages } = JSON.parse(second?.body ?? "") as { messages: { role: string; tool_call_id?: string }[] };
    expect(messages.filter(({ role }) => role === "tool").map((message) => message.tool_call_id)).toEqual([
      "call_0",
      "call_1",
    ]);
    expect(own.upstreamCalls()).toBe(2);
  });

  test("structured output and generateObject give an object that fits the schema", async () => {
    const own = await rig.sandbox();
    const schema = z.object({ score: z.number(), verdict: z.enum(["pass", "fail"]) });
    const { output } = await generateText({ model: modelOf(own), prompt, output: Output.object({ schema }) });
    expect(schema.safeParse(output).success).toBe(true);
    const { object } = await generateObject({ model: modelOf(own), prompt, schema });
    expect(object).toEqual(output);
  });

  test.each([
    {
      name: "a refused request",
      status: 400,
      code: "upstream_invalid_request",
      script: { status: 400, json: { error: { message: "Bad `foo`." } } },
    },
    {
      name: "a busy vendor",
      status: 429,
      code: "upstream_rate_limited",
      script: { status: 429 },
    },
    { name: "a failing vendor", status: 502, code: "upstream_failed", script: { status: 500 } },
  ])("$name is an APICallError with our status, code and headers", async ({ status, code, script }) => {
    const own = await rig.scripted(script);
    const sent = countingFetch();
    const error = await rejection(generateText({ model: modelOf(own, sent.fetch), prompt, maxRetries: 0 }));
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: status, data: { error: { code } } });
    expect((error as APICallError).responseHeaders?.["x-should-retry"]).toBe("false");
    expect((error as APICallError).responseHeaders?.["x-flowlayer-attempts"]).toBe("1");
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(1);
  });

  test("an invented key is an APICallError 401 and reaches no provider", async () => {
    const own = await rig.scripted({ json: completion() });
    const error = await rejection(generateText({ model: modelOf({ ...own, key: "sk-invented" }), prompt }));
    expect(error).toMatchObject({ statusCode: 401, data: { error: { code: "invalid_api_key" } } });
    expect((error as APICallError).responseHeaders?.["x-should-retry"]).toBe("false");
    expect(own.upstreamCalls()).toBe(0);
  });

  test("a stream that breaks midway is never taken for a finished one", async () => {
    const events = chunks("one two three", { finish: null, usage: null, done: false });
    const own = await rig.scripted({ events, gapMs: 5, end: "fin" });
    const errors: unknown[] = [];
    let text = "";
    let finishReason = "";
    const { fullStream } = streamText({ model: modelOf(own), prompt, maxRetries: 0, onError: () => {} });
    try {
      for await (const part of fullStream) {
        if (part.type === "text-delta") text += part.text;
        if (part.type === "error") errors.push(part.error);
        if (part.type === "finish") finishReason = part.finishReason;
      }
    } catch (error) {
      errors.push(error);
    }
    expect(text).toBe("one two three");
    // The event, or the abnormal end behind it: this SDK's `.chat` reads no error from an event.
    expect(errors).not.toEqual([]);
    expect(finishReason).not.toBe("stop");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("aborting a stream closes the upstream call", async () => {
    const own = await rig.scripted({ events: chunks("word ".repeat(2_000)), gapMs: 5 });
    const abort = new AbortController();
    const result = streamText({ model: modelOf(own), prompt, abortSignal: abort.signal });
    let seen = 0;
    for await (const _ of result.textStream) {
      if (++seen < 3) continue;
      abort.abort();
      break;
    }
    await expect.poll(() => rig.upstream.callsTo(own.upstreamModel)[0]?.closedBy, { timeout: 5_000 }).toBe("router");
    expect(own.upstreamCalls()).toBe(1);
  });
});

describe("what is particular to one provider", () => {
  test("provider options of @ai-sdk/openai-compatible become body members: `route` steers the request", async () => {
    const own = await rig.scripted({ json: completion() });
    const provider = createOpenAICompatible({ name: "flowlayer", baseURL: rig.baseURL, apiKey: own.key });
    const result = await generateText({
      model: provider(own.model),
      prompt,
      providerOptions: { flowlayer: { route: { latency_budget_ms: 4_321 } } },
    });
    expect(result.response.headers?.["x-flowlayer-latency-budget-ms"]).toBe("4321");
    expect(rig.upstream.callsTo(own.upstreamModel)[0]?.body).not.toContain('"route"');
    expect(own.upstreamCalls()).toBe(1);
  });

  test("headers of createOpenAI() steer the request", async () => {
    const own = await rig.sandbox();
    const headers = { "X-FlowLayer-App": "studio", "X-FlowLayer-Latency-Budget-Ms": "4321" };
    const provider = createOpenAI({ baseURL: rig.baseURL, apiKey: own.key, headers });
    const { response } = await generateText({ model: provider.chat(own.model), prompt });
    expect(response.headers?.["x-flowlayer-app"]).toBe("studio");
    expect(response.headers?.["x-flowlayer-latency-budget-ms"]).toBe("4321");
  });

  test("createOpenAI() at its default goes by /v1/responses", async () => {
    const own = await rig.scripted({ json: completion({ text: "By the other door." }) }, { provider: "deepinfra" });
    const sent = countingFetch();
    const provider = createOpenAI({ baseURL: rig.baseURL, apiKey: own.key, fetch: sent.fetch });
    expect((await generateText({ model: provider(own.model), prompt })).text).toBe("By the other door.");
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(1);
  });
});
