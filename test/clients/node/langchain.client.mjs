/** LangChain's `ChatAnthropic`, and `ChatOpenAI` on the Responses API, unmodified. */
import assert from "node:assert/strict";
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import * as z from "zod";
import { BASE_URL, check, finished, KEY, PNG, rejection, URL_ROOT } from "./harness.mjs";

const weather = tool(({ city }) => `12 degrees in ${city}`, {
  name: "get_weather",
  description: "Weather of a city",
  schema: z.object({ city: z.string() }),
});
const Person = z.object({ name: z.string(), age: z.number() });

const MAKERS = {
  ChatAnthropic: (route, more = {}) =>
    new ChatAnthropic({
      ...{ model: `flow/${route}`, apiKey: KEY, anthropicApiUrl: URL_ROOT, maxRetries: 0, maxTokens: 2000, ...more },
    }),
  "ChatOpenAI with useResponsesApi": (route) =>
    new ChatOpenAI({
      ...{ model: `flow/${route}`, apiKey: KEY, configuration: { baseURL: BASE_URL }, maxRetries: 0 },
      useResponsesApi: true,
    }),
};

for (const [name, make] of Object.entries(MAKERS)) {
  for (const target of ["chat", "claude", "openai"]) {
    await check(`${name}, text: ${target}`, async () => {
      const answer = await make(`weather-${target}`).invoke("Hello.");
      assert.equal(answer.text, "It is sunny.");
      assert.ok(answer.usage_metadata.output_tokens > 0);
    });

    await check(`${name}, stream: ${target}`, async () => {
      let text = "";
      for await (const chunk of await make(`weather-${target}`).stream("Hello.")) text += chunk.text;
      assert.equal(text, "It is sunny.");
    });

    await check(`${name}, tool loop: ${target}`, async () => {
      const model = make(`weather-${target}`).bindTools([weather]);
      const messages = [new HumanMessage("Weather in Oslo and Rome?")];
      const first = await model.invoke(messages);
      messages.push(first);
      assert.equal(first.tool_calls.length, 2);
      for (const call of first.tool_calls) messages.push(await weather.invoke(call));
      assert.equal((await model.invoke(messages)).text, "It is sunny.");
    });

    await check(`${name}, streamed calls: ${target}`, async () => {
      let whole;
      for await (const chunk of await make(`weather-${target}`).bindTools([weather]).stream("Weather?")) {
        whole = whole === undefined ? chunk : whole.concat(chunk);
      }
      assert.deepEqual(
        whole.tool_calls.map(({ args }) => args.city),
        ["Oslo", "Rome"],
      );
    });

    await check(`${name}, structured output: ${target}`, async () => {
      const model = make(`structured-${target}`).withStructuredOutput(Person);
      assert.deepEqual(await model.invoke("Who?"), { name: "Ada", age: 36 });
    });

    await check(`${name}, pictures: ${target}`, async () => {
      const content = [
        { type: "text", text: "What is it?" },
        { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
      ];
      const answer = await make(`media-${target}`).invoke([new HumanMessage({ content })]);
      assert.match(answer.text, /^images 1/);
    });

    await check(`${name}, a cut stream is no success: ${target}`, async () => {
      const chunks = [];
      const reading = (async () => {
        for await (const chunk of await make(`cut-${target}`).stream("Hello.")) chunks.push(chunk);
      })();
      if (name === "ChatAnthropic") await rejection(() => reading);
      else await reading.catch(() => {});
      // LangChain passes over `response.failed`: nothing says then that the answer is complete.
      assert.ok(chunks.every(({ response_metadata: { status } }) => status !== "completed"));
    });

    await check(`${name}, an outage says what failed: ${target}`, async () => {
      const error = await rejection(() => make(`down-${target}`).invoke("Hello."));
      assert.match(error.message, /500/);
    });
  }
}

await check("ChatAnthropic, thinking over turns", async () => {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const model = MAKERS.ChatAnthropic("thinking-claude", { thinking }).bindTools([weather]);
  const messages = [new HumanMessage("Weather in Oslo?")];
  const first = await model.invoke(messages);
  messages.push(first);
  for (const call of first.tool_calls) messages.push(await weather.invoke(call));
  assert.equal((await model.invoke(messages)).text, "It is sunny.");
});

finished();
