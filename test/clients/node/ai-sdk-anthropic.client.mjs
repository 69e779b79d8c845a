/** `@ai-sdk/anthropic`, unmodified. */
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import * as z from "zod";
import { BASE_URL, check, finished, KEY, PDF, PNG, rejection } from "./harness.mjs";

const anthropic = createAnthropic({ baseURL: BASE_URL, apiKey: KEY });
const tools = {
  get_weather: tool({
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `12 degrees in ${city}`,
  }),
};
const base = (route) => ({ model: anthropic(`flow/${route}`), maxRetries: 0 });

for (const target of ["chat", "claude", "openai"]) {
  await check(`text: ${target}`, async () => {
    const { text, usage } = await generateText({ ...base(`weather-${target}`), prompt: "Hello." });
    assert.equal(text, "It is sunny.");
    assert.ok(usage.outputTokens > 0);
  });

  await check(`stream: ${target}`, async () => {
    const { textStream } = streamText({ ...base(`weather-${target}`), prompt: "Hello." });
    let text = "";
    for await (const piece of textStream) text += piece;
    assert.equal(text, "It is sunny.");
  });

  await check(`steps with tools: ${target}`, async () => {
    const { text, steps } = await generateText({
      ...{ ...base(`weather-${target}`), prompt: "Weather?", tools, stopWhen: stepCountIs(3) },
    });
    assert.equal(text, "It is sunny.");
    assert.deepEqual(
      steps[0].toolCalls.map(({ input }) => input.city),
      ["Oslo", "Rome"],
    );
  });

  await check(`streamed steps with thinking: ${target}`, async () => {
    const result = streamText({
      ...{ ...base(`thinking-${target}`), prompt: "Weather?", tools, stopWhen: stepCountIs(3) },
      providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } },
    });
    assert.equal(await result.text, "It is sunny.");
    assert.equal((await result.steps).length, 2);
  });

  await check(`structured output: ${target}`, async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const { output } = await generateText({
      ...{ ...base(`structured-${target}`), prompt: "Who?", output: Output.object({ schema }) },
    });
    assert.deepEqual(output, { name: "Ada", age: 36 });
  });

  await check(`pictures: ${target}`, async () => {
    const content = [
      { type: "file", data: PNG, mediaType: "image/png" },
      { type: "text", text: "What is it?" },
    ];
    const { text } = await generateText({ ...base(`media-${target}`), messages: [{ role: "user", content }] });
    assert.match(text, /^images 1/);
  });

  await check(`a cut stream is an error: ${target}`, async () => {
    const errors = [];
    const result = streamText({
      ...{ ...base(`cut-${target}`), prompt: "Hello.", onError: ({ error }) => errors.push(error) },
    });
    await result.consumeStream();
    assert.equal(errors.length, 1);
  });

  await check(`an outage says what failed: ${target}`, async () => {
    const error = await rejection(() => generateText({ ...base(`down-${target}`), prompt: "Hello." }));
    assert.match(String(error), /500/);
  });
}

await check("documents", async () => {
  const content = [
    { type: "file", data: PDF, mediaType: "application/pdf" },
    { type: "text", text: "Sum it up." },
  ];
  const { text } = await generateText({ ...base("media-claude"), messages: [{ role: "user", content }] });
  assert.equal(text, "images 0, documents 1");
});

await check("cancellation", async () => {
  const { fullStream } = streamText({
    ...{ ...base("slow-chat"), prompt: "Hello.", abortSignal: AbortSignal.timeout(1000) },
  });
  const types = [];
  for await (const { type } of fullStream) types.push(type);
  assert.equal(types.at(-1), "abort");
});

finished();
