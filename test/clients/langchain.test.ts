/** LangChain's `ChatOpenAI`, unmodified: base URL, key and model name are all that changes for its user. */
import { type AIMessageChunk, type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { countingFetch, type OwnRoute, type Rig, startRig } from "../support/rig.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

type Fields = NonNullable<ConstructorParameters<typeof ChatOpenAI>[0]>;
type Configuration = NonNullable<Extract<Fields, object>["configuration"]>;

const chatOf = (own: Pick<OwnRoute, "key" | "model">, configuration: Configuration = {}, fields: object = {}) =>
  new ChatOpenAI({
    model: own.model,
    apiKey: own.key,
    maxRetries: 0,
    configuration: { baseURL: rig.baseURL, ...configuration },
    ...fields,
  });

const prompt = "Compare two routes.";

function weatherTool() {
  const cities: string[] = [];
  const weather = tool(
    ({ city }: { city: string }) => {
      cities.push(city);
      return "12 degrees";
    },
    { name: "get_weather", description: "Weather of a city", schema: z.object({ city: z.string() }) },
  );
  return { weather, cities };
}

async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject.");
}

describe("answers", () => {
  test("invoke has text and usage", async () => {
    const own = await rig.sandbox();
    const message = await chatOf(own).invoke(prompt);
    expect(message.text).toContain(prompt);
    expect(message).toMatchObject({
      usage_metadata: { total_tokens: expect.any(Number) },
      response_metadata: { finish_reason: "stop" },
    });
  });

  test("stream yields the text in pieces that add up, usage last", async () => {
    const own = await rig.scripted({ events: chunks("one two three four") });
    let whole: AIMessageChunk | undefined;
    let pieces = 0;
    for await (const chunk of await chatOf(own).stream(prompt)) {
      if (chunk.text !== "") pieces++;
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    expect(pieces).toBe(4);
    expect(whole?.text).toBe("one two three four");
    expect(whole).toMatchObject({ usage_metadata: { total_tokens: 15 } });
    expect(own.upstreamCalls()).toBe(1);
  });

  test("a stream without usage is read the same", async () => {
    const own = await rig.scripted({ events: chunks("one two") });
    let text = "";
    for await (const chunk of await chatOf(own, {}, { streamUsage: false }).stream(prompt)) text += chunk.text;
    expect(text).toBe("one two");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("default headers and model kwargs steer the request, and `route` never reaches the provider", async () => {
    const own = await rig.scripted({ json: completion() });
    const seen: (string | null)[] = [];
    const watching: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      for (const name of ["app", "latency-budget-ms"]) seen.push(response.headers.get(`x-flowlayer-${name}`));
      return response;
    };
    const configuration = { defaultHeaders: { "X-FlowLayer-App": "eval-runner" }, fetch: watching };
    await chatOf(own, configuration, { modelKwargs: { route: { latency_budget_ms: 4_321 } } }).invoke(prompt);
    expect(seen).toEqual(["eval-runner", "4321"]);
    expect(rig.upstream.callsTo(own.upstreamModel)[0]?.body).not.toContain('"route"');
    expect(own.upstreamCalls()).toBe(1);
  });

  test.each(["jsonSchema", "functionCalling", "jsonMode"] as const)(
    "structured output by %s fits the schema",
    async (method) => {
      const own = await rig.sandbox();
      const schema =
        // The sandbox answers a JSON mode request with one fixed member.
        method === "jsonMode" ? z.object({ answer: z.string() }) : z.object({ score: z.number(), verdict: z.string() });
      const answer = await chatOf(own).withStructuredOutput(schema, { name: "score", method }).invoke(prompt);
      expect(schema.safeParse(answer).success).toBe(true);
    },
  );
});

describe("tools", () => {
  test("an agent loop by hand ends in text: bindTools, call, ToolMessage, answer", async () => {
    const own = await rig.sandbox();
    const { weather, cities } = weatherTool();
    const model = chatOf(own).bindTools([weather]);
    const messages: BaseMessage[] = [new HumanMessage(prompt)];
    for (let step = 0; step < 4; step++) {
      const message = await model.invoke(messages);
      messages.push(message);
      if ((message.tool_calls ?? []).length === 0) break;
      for (const call of message.tool_calls ?? []) {
        const answered: unknown = await weather.invoke({ ...call, type: "tool_call" });
        expect(answered).toBeInstanceOf(ToolMessage);
        messages.push(answered as ToolMessage);
      }
    }
    expect(messages.map((message) => message.getType())).toEqual(["human", "ai", "tool", "ai"]);
    expect(messages.at(-1)?.text).toContain(prompt);
    expect(cities).toHaveLength(1);
  });

  test("a streamed tool call adds up to whole arguments", async () => {
    const own = await rig.sandbox();
    const { weather } = weatherTool();
    let whole: AIMessageChunk | undefined;
    for await (const chunk of await chatOf(own).bindTools([weather]).stream(prompt)) {
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    expect(whole?.tool_calls).toMatchObject([{ name: "get_weather", args: { city: expect.any(String) } }]);
    expect(whole?.invalid_tool_calls).toEqual([]);
  });
});

describe("errors", () => {
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
  ])("$name keeps our status and code, with one call upstream", async ({ status, code, script }) => {
    const own = await rig.scripted(script);
    const sent = countingFetch();
    const error = await rejection(chatOf(own, { fetch: sent.fetch }).invoke(prompt));
    expect(error).toMatchObject({ status, code });
    expect((error as { headers: Headers }).headers.get("x-should-retry")).toBe("false");
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(1);
  });

  test.each([
    { name: "an invented key", key: "sk-invented", model: null, status: 401, code: "invalid_api_key" },
    { name: "a vendor's model name", key: null, model: "gpt-5", status: 400, code: "unknown_route" },
  ])("$name is not retried even with LangChain's default of six retries", async ({ key, model, status, code }) => {
    const own = await rig.scripted({ json: completion() });
    const sent = countingFetch();
    const asked = { ...own, key: key ?? own.key, model: model ?? own.model };
    const error = await rejection(
      chatOf(asked, { fetch: sent.fetch }, { maxRetries: 6, useResponsesApi: false }).invoke(prompt),
    );
    expect(error).toMatchObject({ status, code });
    expect((error as { headers: Headers }).headers.get("x-should-retry")).toBe("false");
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(0);
  });

  test("a stream that breaks midway raises after the text that came", async () => {
    const events = chunks("one two three", { finish: null, usage: null, done: false });
    const own = await rig.scripted({ events, gapMs: 5, end: "fin" });
    let text = "";
    const error = await rejection(
      (async () => {
        for await (const chunk of await chatOf(own).stream(prompt)) text += chunk.text;
      })(),
    );
    expect(error).toMatchObject({ code: "stream_interrupted" });
    expect(text).toBe("one two three");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("a signal in mid-stream closes the upstream call", async () => {
    const own = await rig.scripted({ events: chunks("word ".repeat(2_000)), gapMs: 5 });
    const abort = new AbortController();
    let seen = 0;
    const error = await rejection(
      (async () => {
        for await (const _ of await chatOf(own).stream(prompt, { signal: abort.signal }))
          if (++seen === 3) abort.abort();
      })(),
    );
    expect(String(error)).toMatch(/abort/i);
    await expect.poll(() => rig.upstream.callsTo(own.upstreamModel)[0]?.closedBy, { timeout: 5_000 }).toBe("router");
    expect(own.upstreamCalls()).toBe(1);
  });

  test("useResponsesApi goes by /v1/responses", async () => {
    const own = await rig.scripted({ json: completion({ text: "By the other door." }) }, { provider: "deepinfra" });
    const sent = countingFetch();
    const answer = await chatOf(own, { fetch: sent.fetch }, { useResponsesApi: true }).invoke(prompt);
    expect(answer.text).toBe("By the other door.");
    expect(sent.count()).toBe(1);
    expect(own.upstreamCalls()).toBe(1);
  });
});
