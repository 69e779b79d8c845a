/** Clients of OpenAI's Responses API, unmodified: the `openai` package, and the AI SDK at its default. */
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { countingFetch, type OwnRoute, type Rig, startRig } from "../support/rig.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const clientOf = ({ key }: OwnRoute, fetch?: typeof globalThis.fetch): OpenAI =>
  new OpenAI({ apiKey: key, baseURL: rig.baseURL, maxRetries: 0, ...(fetch === undefined ? {} : { fetch }) });

/** A provider without a Responses API: what is tested is the translation. */
const CHAT_ONLY = { provider: "deepinfra" };

const ARGUMENTS = '{"city":"Oslo","days":2}';
const toolCalls = [{ id: "call_1", name: "get_weather", arguments: ARGUMENTS }];
const weather = {
  type: "function" as const,
  name: "get_weather",
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "number" } } },
};

describe("openai", () => {
  test("create() answers, goes on by previous_response_id, and what it kept is read and deleted", async () => {
    const own = await rig.scripted({ json: completion({ text: "The Elbe." }) }, CHAT_ONLY);
    const client = clientOf(own);
    const first = await client.responses.create({ model: own.model, input: "Name a river." });
    expect(first.output_text).toBe("The Elbe.");
    const input = "How long is it?";
    const second = await client.responses.create({ model: own.model, input, previous_response_id: first.id });
    expect(second.previous_response_id).toBe(first.id);
    const [, call] = rig.upstream.callsTo(own.upstreamModel);
    expect(JSON.parse(call?.body ?? "{}")).toMatchObject({
      messages: [{ content: "Name a river." }, { role: "assistant", content: "The Elbe." }, { content: input }],
    });
    expect((await client.responses.retrieve(second.id)).output_text).toBe("The Elbe.");
    const items = await client.responses.inputItems.list(second.id);
    expect(items.data).toMatchObject([{ type: "message", role: "user" }]);
    await client.responses.delete(second.id);
    await expect(client.responses.retrieve(second.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("stream() gives every event and the whole at its end", async () => {
    const own = await rig.scripted({ events: chunks("It is sunny in Oslo.") }, CHAT_ONLY);
    const stream = clientOf(own).responses.stream({ model: own.model, input: "Weather?" });
    let text = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
    expect(text).toBe("It is sunny in Oslo.");
    expect((await stream.finalResponse()).output_text).toBe(text);
  });

  test("create({stream: true}) gives calls with their exact arguments", async () => {
    const own = await rig.scripted({ events: chunks("", { toolCalls }) }, CHAT_ONLY);
    const asked = { model: own.model, input: "Weather?", tools: [weather], stream: true as const };
    const called: string[] = [];
    for await (const event of await clientOf(own).responses.create(asked)) {
      if (event.type === "response.function_call_arguments.done") called.push(event.arguments);
    }
    expect(called).toEqual([ARGUMENTS]);
  });

  test("parse() reads structured output", async () => {
    const own = await rig.scripted({ json: completion({ text: '{"score":7}' }) }, CHAT_ONLY);
    const format = zodTextFormat(z.object({ score: z.number() }), "score");
    const answer = await clientOf(own).responses.parse({ model: own.model, input: "Score it.", text: { format } });
    expect(answer.output_parsed).toEqual({ score: 7 });
  });

  test("a stream that breaks is no success", async () => {
    const own = await rig.scripted(
      {
        events: chunks("It is half", { finish: null, done: false, usage: null }),
        end: "reset",
        gapMs: 5,
      },
      CHAT_ONLY,
    );
    const types: string[] = [];
    const asked = { model: own.model, input: "Weather?", stream: true as const };
    for await (const event of await clientOf(own).responses.create(asked)) types.push(event.type);
    expect(types.at(-1)).toBe("response.failed");
    expect(types).not.toContain("response.completed");
  });

  test("errors are the package's own", async () => {
    const own = await rig.scripted({ json: completion() }, CHAT_ONLY);
    const sent = countingFetch();
    const asked = { model: own.model, input: "Hi.", previous_response_id: "resp_gone" };
    await expect(clientOf(own, sent.fetch).responses.create(asked)).rejects.toMatchObject({
      status: 404,
      code: "response_not_found",
      param: "previous_response_id",
    });
    expect(sent.count()).toBe(1);
  });
});

describe("the AI SDK at its default", () => {
  const tools = {
    get_weather: tool({
      inputSchema: z.object({ city: z.string(), days: z.number() }),
      execute: async ({ city }) => `Sunny in ${city}.`,
    }),
  };

  test.each([true, false])("runs tools over several steps, with items that are kept: %s", async (store) => {
    const own = await rig.scripted(
      [{ json: completion({ toolCalls }) }, { json: completion({ text: "Sunny." }) }],
      CHAT_ONLY,
    );
    const provider = createOpenAI({ baseURL: rig.baseURL, apiKey: own.key });
    const { text, steps } = await generateText({
      model: provider(own.model),
      prompt: "Weather?",
      tools,
      stopWhen: stepCountIs(3),
      providerOptions: { openai: { store } },
    });
    expect(text).toBe("Sunny.");
    expect(steps).toHaveLength(2);
    const [, call] = rig.upstream.callsTo(own.upstreamModel);
    expect(JSON.parse(call?.body ?? "{}")).toMatchObject({
      messages: [
        { role: "user" },
        { role: "assistant", tool_calls: [{ id: "call_1", function: { name: "get_weather" } }] },
        { role: "tool", tool_call_id: "call_1" },
      ],
    });
  });

  test("streams text", async () => {
    const own = await rig.scripted({ events: chunks("It is sunny.") }, CHAT_ONLY);
    const provider = createOpenAI({ baseURL: rig.baseURL, apiKey: own.key });
    const { textStream, finishReason } = streamText({ model: provider(own.model), prompt: "Weather?" });
    let text = "";
    for await (const piece of textStream) text += piece;
    expect(text).toBe("It is sunny.");
    expect(await finishReason).toBe("stop");
  });
});
