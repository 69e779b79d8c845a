/** `@anthropic-ai/sdk`, unmodified. */
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { check, finished, KEY, PDF, PNG, rejection, URL_ROOT } from "./harness.mjs";

const client = new Anthropic({ baseURL: URL_ROOT, apiKey: KEY, maxRetries: 0 });
const HELLO = [{ role: "user", content: "Hello." }];
const WEATHER = {
  name: "get_weather",
  description: "Weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const textOf = (message) => message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
const ask = (route, more = {}) => ({ model: `flow/${route}`, max_tokens: 2000, messages: HELLO, ...more });

for (const target of ["chat", "claude", "openai"]) {
  await check(`text: ${target}`, async () => {
    const { data, request_id: id } = await client.messages.create(ask(`weather-${target}`)).withResponse();
    assert.equal(textOf(data), "It is sunny.");
    assert.equal(data.stop_reason, "end_turn");
    assert.ok(data.usage.output_tokens > 0);
    assert.match(id, /^tr_/);
  });

  await check(`stream: ${target}`, async () => {
    const stream = client.messages.stream(ask(`weather-${target}`));
    let text = "";
    stream.on("text", (piece) => {
      text += piece;
    });
    const final = await stream.finalMessage();
    assert.equal(text, "It is sunny.");
    assert.equal(textOf(final), text);
  });

  await check(`tool loop, parallel calls: ${target}`, async () => {
    const messages = [{ role: "user", content: "Weather in Oslo and Rome?" }];
    const first = await client.messages.create(ask(`weather-${target}`, { messages, tools: [WEATHER] }));
    assert.equal(first.stop_reason, "tool_use");
    const calls = first.content.filter(({ type }) => type === "tool_use");
    assert.deepEqual(
      calls.map(({ input }) => input),
      [{ city: "Oslo" }, { city: "Rome" }],
    );
    const results = calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "12 degrees" }));
    messages.push({ role: "assistant", content: first.content }, { role: "user", content: results });
    const second = await client.messages.create(ask(`weather-${target}`, { messages, tools: [WEATHER] }));
    assert.equal(textOf(second), "It is sunny.");
  });

  await check(`streamed calls: ${target}`, async () => {
    const stream = client.messages.stream(ask(`weather-${target}`, { tools: [WEATHER] }));
    const final = await stream.finalMessage();
    const calls = final.content.filter(({ type }) => type === "tool_use");
    assert.deepEqual(
      calls.map(({ input }) => input),
      [{ city: "Oslo" }, { city: "Rome" }],
    );
  });

  await check(`thinking over turns: ${target}`, async () => {
    const messages = [{ role: "user", content: "Weather in Oslo?" }];
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const asked = ask(`thinking-${target}`, { messages, tools: [WEATHER], thinking });
    const first = await client.messages.stream(asked).finalMessage();
    const [call] = first.content.filter(({ type }) => type === "tool_use");
    messages.push({ role: "assistant", content: first.content });
    messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "12 degrees" }] });
    assert.equal(textOf(await client.messages.create(asked)), "It is sunny.");
    if (target === "claude") assert.equal(first.content[0].type, "thinking");
  });

  await check(`pictures: ${target}`, async () => {
    const source = { type: "base64", media_type: "image/png", data: PNG };
    const content = [
      { type: "image", source },
      { type: "text", text: "What is it?" },
    ];
    const answer = await client.messages.create(ask(`media-${target}`, { messages: [{ role: "user", content }] }));
    assert.match(textOf(answer), /^images 1/);
  });

  await check(`structured output: ${target}`, async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, age: { type: "integer" } },
      required: ["name", "age"],
      additionalProperties: false,
    };
    const asked = ask(`structured-${target}`, { output_config: { format: { type: "json_schema", schema } } });
    const answer = await client.messages.create(asked);
    assert.deepEqual(JSON.parse(textOf(answer)), { name: "Ada", age: 36 });
  });

  await check(`a cut stream raises: ${target}`, async () => {
    const stream = client.messages.stream(ask(`cut-${target}`));
    const error = await rejection(() => stream.finalMessage());
    assert.ok(error instanceof Anthropic.AnthropicError, String(error));
  });

  await check(`an outage names its target: ${target}`, async () => {
    const error = await rejection(() => client.messages.create(ask(`down-${target}`)));
    assert.ok(error instanceof Anthropic.APIError, String(error));
    assert.match(error.message, /500/);
  });

  await check(`a conversation that is too long: ${target}`, async () => {
    const error = await rejection(() => client.messages.create(ask(`short-${target}`)));
    assert.ok(error instanceof Anthropic.BadRequestError, String(error));
    assert.match(error.message, /maximum context length|prompt is too long/);
  });

  await check(`cancellation: ${target}`, async () => {
    const stream = client.messages.stream(ask(`slow-${target}`));
    const error = await rejection(async () => {
      for await (const event of stream) if (event.type === "content_block_delta") stream.abort();
      await stream.finalMessage();
    });
    assert.ok(error instanceof Anthropic.APIUserAbortError, String(error));
  });
}

await check("documents", async () => {
  const source = { type: "base64", media_type: "application/pdf", data: PDF };
  const content = [
    { type: "document", source },
    { type: "text", text: "Sum it up." },
  ];
  const answer = await client.messages.create(ask("media-claude", { messages: [{ role: "user", content }] }));
  assert.equal(textOf(answer), "images 0, documents 1");
});

await check("tool runner", async () => {
  const { betaTool } = await import("@anthropic-ai/sdk/helpers/beta/json-schema");
  const run = ({ city }) => `12 degrees in ${city}`;
  const tool = betaTool({ ...WEATHER, inputSchema: WEATHER.input_schema, run });
  const final = await client.beta.messages.toolRunner({ ...ask("weather-chat"), tools: [tool] });
  assert.equal(textOf(final), "It is sunny.");
});

await check("counting tokens", async () => {
  const { input_tokens: tokens } = await client.messages.countTokens({ model: "flow/weather-chat", messages: HELLO });
  assert.ok(tokens > 0);
});

await check("models", async () => {
  const ids = [];
  for await (const model of client.models.list({ limit: 5 })) ids.push(model.id);
  assert.ok(ids.includes("anthropic/flow-weather-chat"), ids.join());
});

await check("a wrong key is an AuthenticationError", async () => {
  const wrong = new Anthropic({ baseURL: URL_ROOT, apiKey: "fl_production_wrong", maxRetries: 0 });
  const error = await rejection(() => wrong.messages.create(ask("weather-chat")));
  assert.ok(error instanceof Anthropic.AuthenticationError, String(error));
});

await check("an auth token works like a key", async () => {
  const other = new Anthropic({ baseURL: URL_ROOT, authToken: KEY, apiKey: null, maxRetries: 0 });
  assert.equal(textOf(await other.messages.create(ask("weather-chat"))), "It is sunny.");
});

await check("an unknown route names the nearest", async () => {
  const error = await rejection(() => client.messages.create(ask("wether-chat")));
  assert.ok(error instanceof Anthropic.BadRequestError || error instanceof Anthropic.NotFoundError, String(error));
  assert.match(error.message, /flow\/weather-chat/);
});

finished();
