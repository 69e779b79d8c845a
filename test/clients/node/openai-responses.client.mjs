/** The `openai` package on the Responses API: what `responses.test.ts` does not run, and every target. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import * as z from "zod";
import { BASE_URL, check, finished, KEY, PDF, PNG, rejection } from "./harness.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: KEY, maxRetries: 0 });
const WEATHER = {
  ...{ type: "function", name: "get_weather", description: "Weather of a city", strict: true },
  parameters: {
    ...{ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  },
};

for (const target of ["chat", "claude", "openai"]) {
  await check(`create, raw: ${target}`, async () => {
    const raw = await client.responses.create({ model: `flow/weather-${target}`, input: "Hello." }).asResponse();
    assert.match(raw.headers.get("x-request-id"), /^tr_/);
    assert.equal((await raw.json()).object, "response");
  });

  await check(`tool loop by previous_response_id: ${target}`, async () => {
    const asked = { model: `flow/weather-${target}`, tools: [WEATHER] };
    const first = await client.responses.create({ ...asked, input: "Weather in Oslo and Rome?" });
    const calls = first.output.filter(({ type }) => type === "function_call");
    assert.equal(calls.length, 2);
    const input = calls.map(({ call_id: id }) => ({ type: "function_call_output", call_id: id, output: "12 degrees" }));
    const second = await client.responses.create({ ...asked, input, previous_response_id: first.id });
    assert.equal(second.output_text, "It is sunny.");
  });

  await check(`stateless tool loop with thinking: ${target}`, async () => {
    const asked = { model: `flow/thinking-${target}`, tools: [WEATHER], store: false };
    const include = ["reasoning.encrypted_content"];
    const input = [{ role: "user", content: "Weather in Oslo?" }];
    const first = await client.responses.create({ ...asked, include, reasoning: { effort: "low" }, input });
    input.push(...first.output);
    for (const { type, call_id: id } of first.output) {
      if (type === "function_call") input.push({ type: "function_call_output", call_id: id, output: "12 degrees" });
    }
    const second = await client.responses.create({ ...asked, include, reasoning: { effort: "low" }, input });
    assert.equal(second.output_text, "It is sunny.");
  });

  await check(`stream: ${target}`, async () => {
    const stream = client.responses.stream({ model: `flow/weather-${target}`, input: "Hello.", tools: [WEATHER] });
    const called = [];
    for await (const event of stream) if (event.type === "response.output_item.done") called.push(event.item.type);
    assert.deepEqual(called, ["message", "function_call", "function_call"]);
    assert.equal((await stream.finalResponse()).status, "completed");
  });

  await check(`parse: ${target}`, async () => {
    const format = zodTextFormat(z.object({ name: z.string(), age: z.number() }), "person");
    const answer = await client.responses.parse({
      model: `flow/structured-${target}`,
      input: "Who?",
      text: { format },
    });
    assert.deepEqual(answer.output_parsed, { name: "Ada", age: 36 });
  });

  await check(`pictures: ${target}`, async () => {
    const content = [
      { type: "input_text", text: "What is it?" },
      { type: "input_image", image_url: `data:image/png;base64,${PNG}`, detail: "auto" },
    ];
    const input = [{ role: "user", content }];
    assert.match((await client.responses.create({ model: `flow/media-${target}`, input })).output_text, /^images 1/);
  });

  await check(`a cut stream is no success: ${target}`, async () => {
    const types = [];
    const error = await rejection(async () => {
      const asked = { model: `flow/cut-${target}`, input: "Hello.", stream: true };
      for await (const event of await client.responses.create(asked)) types.push(event.type);
      throw new Error(types.at(-1));
    });
    assert.ok(!types.includes("response.completed"), String(error));
    assert.ok(types.length > 1);
  });

  await check(`an outage says what failed: ${target}`, async () => {
    const asked = { model: `flow/down-${target}`, input: "Hello." };
    assert.match((await rejection(() => client.responses.create(asked))).message, /500/);
  });
}

await check("documents", async () => {
  const file = { type: "input_file", filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` };
  const input = [{ role: "user", content: [file, { type: "input_text", text: "Sum it up." }] }];
  const answer = await client.responses.create({ model: "flow/media-claude", input });
  assert.equal(answer.output_text, "images 0, documents 1");
});

await check("background says what to leave out", async () => {
  const error = await rejection(() =>
    client.responses.create({ model: "flow/weather-chat", input: "Hello.", background: true }),
  );
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.match(error.message, /background/);
});

finished();
