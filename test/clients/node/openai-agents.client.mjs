/** `@openai/agents` at its defaults, unmodified: the Responses API, tools, handoffs, structured output. */
import assert from "node:assert/strict";
import { Agent, run, setDefaultOpenAIClient, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import * as z from "zod";
import { BASE_URL, check, finished, KEY, rejection } from "./harness.mjs";

setTracingDisabled(true);
setDefaultOpenAIClient(new OpenAI({ baseURL: BASE_URL, apiKey: KEY, maxRetries: 0 }));

const weather = tool({
  name: "get_weather",
  description: "Weather of a city",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `12 degrees in ${city}`,
});
const agent = (route, more = {}) =>
  new Agent({ name: "Agent", instructions: "Help.", model: `flow/${route}`, ...more });

for (const target of ["chat", "claude", "openai"]) {
  await check(`text: ${target}`, async () => {
    assert.equal((await run(agent(`weather-${target}`), "Hello.")).finalOutput, "It is sunny.");
  });

  await check(`tool loop: ${target}`, async () => {
    assert.equal((await run(agent(`weather-${target}`, { tools: [weather] }), "Weather?")).finalOutput, "It is sunny.");
  });

  await check(`streamed tool loop: ${target}`, async () => {
    const result = await run(agent(`weather-${target}`, { tools: [weather] }), "Weather?", { stream: true });
    for await (const _ of result);
    await result.completed;
    assert.equal(result.finalOutput, "It is sunny.");
  });

  await check(`handoff: ${target}`, async () => {
    const second = agent(`weather-${target}`, { name: "Second" });
    const first = agent(`thinking-${target}`, { name: "First", handoffs: [second] });
    const result = await run(first, "Hand it over.");
    assert.equal(result.finalOutput, "It is sunny.");
    assert.equal(result.lastAgent.name, "Second");
  });

  await check(`structured output: ${target}`, async () => {
    const outputType = z.object({ name: z.string(), age: z.number() });
    const { finalOutput } = await run(agent(`structured-${target}`, { outputType }), "Who?");
    assert.deepEqual(finalOutput, { name: "Ada", age: 36 });
  });

  await check(`a cut stream raises: ${target}`, async () => {
    await rejection(async () => {
      const result = await run(agent(`cut-${target}`), "Hello.", { stream: true });
      for await (const _ of result);
      await result.completed;
    });
  });

  await check(`an outage says what failed: ${target}`, async () => {
    const error = await rejection(() => run(agent(`down-${target}`), "Hello."));
    assert.match(error.message, /500/);
  });
}

finished();
