import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BASE_URL, DUMMY, type Json, send } from "./support.ts";

const PAIRS = new URL("../../../../../shared/fixtures/request-pairs.json", import.meta.url).pathname;

const HI = [{ role: "user", content: "hi" }];
const CONTENTS = [{ role: "user", parts: [{ text: "hi" }] }];
const tool = (name: string, more: Json = {}) => ({
  type: "function",
  function: {
    name,
    description: `does ${name}`,
    parameters: { type: "object", properties: { a: { $ref: "#/$defs/x" } } },
    ...more,
  },
});
const declaration = (name: string) => ({
  name,
  description: `does ${name}`,
  parametersJsonSchema: { type: "object", properties: { a: { $ref: "#/$defs/x" } } },
});

describe("requests", () => {
  test("the key is in a header, the method in the path, and nothing of the client in either", async () => {
    const whole = await send({ model: "flow/x", messages: HI });
    expect(whole.url).toBe(`${BASE_URL}/models/gemini-3.5-flash:generateContent`);
    expect(whole.headers).toMatchObject({ "x-goog-api-key": "key", accept: "application/json" });
    expect(whole.body).toEqual({ contents: CONTENTS, generationConfig: {} });
    const stream = await send({ model: "flow/x", messages: HI, stream: true, stream_options: { include_usage: true } });
    expect(stream.url).toBe(`${BASE_URL}/models/gemini-3.5-flash:streamGenerateContent?alt=sse`);
    expect(stream.headers).toMatchObject({ accept: "text/event-stream", "accept-encoding": "identity" });
    expect(stream.droppedParams).toEqual([]);
  });

  test.each([
    ["models/gemini-2.5-pro", "/models/gemini-2.5-pro:generateContent"],
    ["tunedModels/mine-1", "/tunedModels/mine-1:generateContent"],
    ["../../x?y#z", "/models/..%2F..%2Fx%3Fy%23z:generateContent"],
    ["..", "/models/..:generateContent"],
    ["tunedModels/..", "/tunedModels/..:generateContent"],
    ["a\ud800b", "/models/a%EF%BF%BDb:generateContent"],
  ])("the model id %j cannot leave its place in the path", async (model, path) => {
    const { url } = await send({ messages: HI }, { model });
    expect(url).toBe(BASE_URL + path);
    expect(new URL(url).href).toBe(url);
  });

  test.each<{ name: string; fields: Json; config: Json; model?: string; dropped?: string[]; more?: Json }>([
    {
      name: "sampling and limits",
      fields: {
        temperature: 0,
        top_p: 0.5,
        top_k: 4,
        max_completion_tokens: 9,
        seed: 7,
        presence_penalty: 0.5,
        frequency_penalty: 0,
      },
      config: { temperature: 0, topP: 0.5, topK: 4, maxOutputTokens: 9, seed: 7, presencePenalty: 0.5 },
    },
    {
      name: "a null is no wish",
      fields: { temperature: null, seed: null, stop: null, n: null, user: null },
      config: {},
    },
    { name: "one stop", fields: { stop: "END" }, config: { stopSequences: ["END"] } },
    {
      name: "several stops and choices",
      fields: { stop: ["a", "b"], n: 2 },
      config: { stopSequences: ["a", "b"], candidateCount: 2 },
    },
    {
      name: "a seed of more than 32 bits stays a fixed one",
      fields: { seed: 2 ** 40 },
      config: { seed: 2 ** 40 % 2_147_483_647 },
    },
    { name: "logprobs", fields: { logprobs: true, top_logprobs: 3 }, config: { responseLogprobs: true, logprobs: 3 } },
    {
      name: "JSON of any shape",
      fields: { response_format: { type: "json_object" } },
      config: { responseMimeType: "application/json" },
    },
    {
      name: "JSON by a schema, untouched",
      fields: {
        response_format: {
          type: "json_schema",
          json_schema: {
            name: "x",
            strict: true,
            schema: { type: "object", additionalProperties: false, $defs: { a: { const: 1 } } },
          },
        },
      },
      config: {
        responseMimeType: "application/json",
        responseJsonSchema: { type: "object", additionalProperties: false, $defs: { a: { const: 1 } } },
      },
    },
    { name: "text as format", fields: { response_format: { type: "text" } }, config: {} },
    {
      name: "pictures as output",
      fields: { modalities: ["text", "image"] },
      config: { responseModalities: ["TEXT", "IMAGE"] },
    },
    {
      name: "effort as a level",
      fields: { reasoning_effort: "medium" },
      config: { thinkingConfig: { includeThoughts: true, thinkingLevel: "medium" } },
    },
    {
      name: "no effort, where it cannot be none",
      model: "gemini-3.8-flash",
      fields: { reasoning_effort: "none" },
      config: { thinkingConfig: { thinkingLevel: "low" } },
    },
    {
      name: "no effort, where the least is minimal",
      model: "gemini-3.1-flash-lite",
      fields: { reasoning_effort: "none" },
      config: { thinkingConfig: { thinkingLevel: "minimal" } },
    },
    {
      name: "least effort",
      model: "gemini-3-flash-preview",
      fields: { reasoning_effort: "minimal" },
      config: { thinkingConfig: { includeThoughts: true, thinkingLevel: "minimal" } },
    },
    {
      name: "least effort of a Pro",
      model: "gemini-3.1-pro-preview",
      fields: { reasoning_effort: "minimal" },
      config: { thinkingConfig: { includeThoughts: true, thinkingLevel: "low" } },
    },
    {
      name: "the first Gemini 3 Pro has two levels",
      model: "gemini-3-pro-preview",
      fields: { reasoning_effort: "medium" },
      config: { thinkingConfig: { includeThoughts: true, thinkingLevel: "high" } },
    },
    {
      name: "more than high",
      model: "gemini-flash-latest",
      fields: { reasoning_effort: "xhigh" },
      config: { thinkingConfig: { includeThoughts: true, thinkingLevel: "high" } },
    },
    {
      name: "effort as a budget",
      model: "gemini-2.5-flash",
      fields: { reasoning_effort: "high" },
      config: { thinkingConfig: { includeThoughts: true, thinkingBudget: 24_576 } },
    },
    {
      name: "no effort as no budget",
      model: "gemini-2.5-flash",
      fields: { reasoning_effort: "none" },
      config: { thinkingConfig: { thinkingBudget: 0 } },
    },
    {
      name: "no effort of 2.5 Pro is its least",
      model: "gemini-2.5-pro",
      fields: { reasoning_effort: "none" },
      config: { thinkingConfig: { thinkingBudget: 128 } },
    },
    {
      name: "Anthropic's budget",
      fields: { thinking: { type: "enabled", budget_tokens: 2_000 } },
      config: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2_000 } },
    },
    {
      name: "OpenRouter's wish, thoughts hidden",
      fields: { reasoning: { effort: "low", exclude: true } },
      config: { thinkingConfig: { thinkingLevel: "low" } },
    },
    {
      name: "Google's own object",
      fields: { google: { thinking_config: { include_thoughts: true, thinking_budget: 5 } } },
      config: { thinkingConfig: { includeThoughts: true, thinkingBudget: 5 } },
    },
    {
      name: "effort where the model cannot be told",
      model: "gemini-2.0-flash",
      fields: { reasoning_effort: "high" },
      config: {},
      dropped: ["reasoning_effort"],
    },
    { name: "tiers", fields: { service_tier: "flex" }, config: {}, more: { serviceTier: "flex" } },
    { name: "the usual tier", fields: { service_tier: "default" }, config: {}, more: { serviceTier: "standard" } },
    { name: "a tier that is not there", fields: { service_tier: "scale" }, config: {}, dropped: ["service_tier"] },
    {
      name: "what changes nothing is dropped by name",
      fields: {
        user: "u",
        metadata: { a: "b" },
        store: false,
        prompt_cache_key: "k",
        safety_identifier: "s",
        parallel_tool_calls: true,
        logit_bias: {},
      },
      config: {},
      dropped: ["user", "metadata", "prompt_cache_key", "safety_identifier"],
    },
    {
      name: "what cannot be followed is left out and named",
      fields: { logit_bias: { "1": 2 }, min_p: 0.1, repetition_penalty: 1.2, verbosity: "low", web_search_options: {} },
      config: {},
      dropped: ["logit_bias", "min_p", "repetition_penalty", "verbosity", "web_search_options"],
    },
    {
      name: "members of another provider",
      fields: {
        web_search_options: { user_location: {} },
        chat_template_kwargs: { a: 1 },
        "a\nb": 1,
        prediction: null,
      },
      config: {},
      dropped: ["web_search_options", "chat_template_kwargs", "other"],
    },
    {
      name: "a sixth stop word",
      fields: { stop: [..."abcdef"] },
      config: { stopSequences: [..."abcde"] },
      dropped: ["stop"],
    },
    {
      name: "stop words twice and none at all",
      fields: { stop: ["a", "", "a"] },
      config: { stopSequences: ["a"] },
    },
    {
      name: "a budget beyond the model's",
      model: "gemini-2.5-flash",
      fields: { reasoning: { max_tokens: 90_000 } },
      config: { thinkingConfig: { includeThoughts: true, thinkingBudget: 24_576 } },
    },
    {
      name: "an effort that nobody knows",
      fields: { reasoning_effort: "sideways" },
      config: { thinkingConfig: { includeThoughts: true } },
      dropped: ["reasoning_effort"],
    },
    {
      name: "Google's own object, from a client that does not unfold it, member by member",
      fields: { extra_body: { google: { thinking_config: { thinking_level: "low", odd: { a: 1 } } }, more: 1 } },
      config: { thinkingConfig: { thinkingLevel: "low" } },
      dropped: ["extra_body"],
    },
    {
      name: "a format of the answer that nobody here knows",
      fields: { response_format: { type: "grammar", grammar: "x" } },
      config: {},
      dropped: ["response_format"],
    },
    {
      name: "JSON with a schema beside its type, and a description",
      fields: {
        response_format: {
          type: "json_schema",
          json_schema: { name: "x", description: "d", schema: { type: "object" } },
        },
      },
      config: { responseMimeType: "application/json", responseJsonSchema: { type: "object", description: "d" } },
    },
    {
      name: "safety settings",
      fields: { safety_settings: [{ category: "c", threshold: "OFF", odd: 1 }] },
      config: {},
      more: { safetySettings: [{ category: "c", threshold: "OFF" }] },
    },
    {
      name: "safety settings that are none",
      fields: { safetySettings: [{ category: "c" }] },
      config: {},
      dropped: ["safetySettings"],
    },
  ])("$name", async ({ fields, config, model = "gemini-3.5-flash", dropped = [], more = {} }) => {
    const { body, droppedParams } = await send({ messages: HI, ...fields }, { model });
    expect(body).toEqual({ contents: CONTENTS, generationConfig: config, ...more });
    expect([...droppedParams].sort()).toEqual([...dropped].sort());
  });

  test("a policy's params fill in, and its limit binds", async () => {
    const options = { params: { temperature: 1, max_tokens: 50, user: "operator" }, maxOutputTokens: 20 };
    const { body, droppedParams } = await send({ messages: HI, temperature: 0.1 }, options);
    expect(body["generationConfig"]).toEqual({ temperature: 0.1, maxOutputTokens: 20 });
    expect(droppedParams).toEqual([]);
  });

  test.each<{ name: string; fields: Json; tools?: unknown; config?: Json }>([
    { name: "no choice", fields: { tools: [tool("f")] }, tools: ["f"] },
    { name: "auto", fields: { tools: [tool("f")], tool_choice: "auto" }, tools: ["f"], config: { mode: "AUTO" } },
    { name: "none", fields: { tools: [tool("f")], tool_choice: "none" }, tools: ["f"], config: { mode: "NONE" } },
    {
      name: "required",
      fields: { tools: [tool("f")], tool_choice: "required" },
      tools: ["f"],
      config: { mode: "ANY" },
    },
    {
      name: "one function",
      fields: { tools: [tool("f"), tool("g")], tool_choice: { type: "function", function: { name: "g" } } },
      tools: ["f", "g"],
      config: { mode: "ANY", allowedFunctionNames: ["g"] },
    },
    {
      name: "one of some",
      fields: {
        tools: [tool("f"), tool("g"), tool("h")],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "f" } }] },
        },
      },
      tools: ["f", "g", "h"],
      config: { mode: "ANY", allowedFunctionNames: ["f"] },
    },
    {
      name: "some or none",
      fields: {
        tools: [tool("f"), tool("g")],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "g" } }] },
        },
      },
      tools: ["g"],
      config: { mode: "AUTO" },
    },
    { name: "strict", fields: { tools: [tool("f", { strict: true })] }, tools: ["f"], config: { mode: "VALIDATED" } },
    {
      name: "legacy functions",
      fields: { functions: [tool("f").function], function_call: { name: "f" } },
      tools: ["f"],
      config: { mode: "ANY", allowedFunctionNames: ["f"] },
    },
    { name: "a choice without tools", fields: { tool_choice: "auto" } },
  ])("tools: $name", async ({ fields, tools, config }) => {
    const { body } = await send({ messages: HI, ...fields });
    const names = Array.isArray(tools) ? (tools as string[]) : null;
    expect(body["tools"]).toEqual(names === null ? undefined : [{ functionDeclarations: names.map(declaration) }]);
    expect(body["toolConfig"]).toEqual(config === undefined ? undefined : { functionCallingConfig: config });
  });

  test.each<{ name: string; messages: Json[]; contents: unknown; system?: string[]; model?: string }>([
    {
      name: "instructions wherever they stand",
      messages: [
        { role: "system", content: "A" },
        ...HI,
        { role: "developer", content: [{ type: "text", text: "B" }] },
      ],
      contents: CONTENTS,
      system: ["A", "B"],
    },
    {
      name: "an empty text alone",
      messages: [{ role: "user", content: "" }],
      contents: [{ role: "user", parts: [{ text: "" }] }],
    },
    {
      name: "an instruction alone is said by the user",
      messages: [{ role: "system", content: "A" }],
      contents: [{ role: "user", parts: [{ text: "A" }] }],
    },
    {
      name: "neighbours of one role are one turn, empty texts none",
      messages: [
        ...HI,
        { role: "user", content: [{ type: "text", text: "you" }] },
        { role: "assistant", content: "" },
        { role: "assistant", content: null, refusal: "No." },
      ],
      contents: [
        { role: "user", parts: [{ text: "hi" }, { text: "you" }] },
        { role: "model", parts: [{ text: "No." }] },
      ],
    },
    {
      name: "media",
      messages: [
        {
          role: "user",
          content: [
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
            { type: "image_url", image_url: { url: "https://example.com/a.JPG?x=1" } },
            { type: "image_url", image_url: { url: "https://example.com/a" } },
            { type: "input_audio", input_audio: { data: "BBBB", format: "wav" } },
            { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,CCCC" } },
            { type: "file", file: { file_data: "https://example.com/a.pdf" } },
            { type: "video_url", video_url: { url: "https://www.youtube.com/watch?v=1" } },
          ],
        },
      ],
      contents: [
        {
          role: "user",
          parts: [
            { inlineData: { mimeType: "image/png", data: "AAAA" } },
            { fileData: { mimeType: "image/jpeg", fileUri: "https://example.com/a.JPG?x=1" } },
            { fileData: { fileUri: "https://example.com/a" } },
            { inlineData: { mimeType: "audio/wav", data: "BBBB" } },
            { inlineData: { mimeType: "application/pdf", data: "CCCC" } },
            { fileData: { mimeType: "application/pdf", fileUri: "https://example.com/a.pdf" } },
            { fileData: { fileUri: "https://www.youtube.com/watch?v=1" } },
          ],
        },
      ],
    },
    {
      name: "calls of another vendor get the documented dummy on the first of a step, and results their names",
      messages: [
        ...HI,
        {
          role: "assistant",
          content: "Looking.",
          reasoning_content: "hm",
          reasoning_details: [{ type: "reasoning.text", format: "anthropic", text: "hm", signature: "foreign" }],
          tool_calls: [
            { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } },
            {
              id: "c2",
              type: "function",
              function: { name: "g", arguments: "" },
              extra_content: { anthropic: { signature: "foreign" } },
            },
            { id: "c3", type: "function", function: { name: "g", arguments: "not json" } },
          ],
        },
        { role: "tool", tool_call_id: "c1", content: '{"ok":true}' },
        {
          role: "tool",
          tool_call_id: "c2",
          content: [
            { type: "text", text: "two" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
          ],
        },
        { role: "user", content: "and?" },
      ],
      contents: [
        ...CONTENTS,
        {
          role: "model",
          parts: [
            { text: "Looking." },
            { functionCall: { id: "c1", name: "f", args: { a: 1 } }, thoughtSignature: DUMMY },
            { functionCall: { id: "c2", name: "g", args: {} } },
            { functionCall: { id: "c3", name: "g", args: { arguments: "not json" } } },
          ],
        },
        {
          role: "user",
          parts: [
            { functionResponse: { id: "c1", name: "f", response: { output: '{"ok":true}' } } },
            {
              functionResponse: {
                id: "c2",
                name: "g",
                response: { output: "two" },
                parts: [{ inlineData: { mimeType: "image/png", data: "AAAA" } }],
              },
            },
          ],
        },
        { role: "user", parts: [{ text: "and?" }] },
      ],
    },
    {
      name: "older models need no signature, and media stand beside the result",
      model: "gemini-2.5-flash",
      messages: [
        ...HI,
        { role: "assistant", function_call: { name: "f", arguments: "{}" } },
        {
          role: "function",
          name: "f",
          content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }],
        },
      ],
      contents: [
        ...CONTENTS,
        { role: "model", parts: [{ functionCall: { id: "call_f", name: "f", args: {} } }] },
        {
          role: "user",
          parts: [
            { functionResponse: { id: "call_f", name: "f", response: { output: "" } } },
            { inlineData: { mimeType: "image/png", data: "AAAA" } },
          ],
        },
      ],
    },
    {
      name: "its own signatures go back where they were",
      messages: [
        ...HI,
        {
          role: "assistant",
          content: "It is 42.",
          reasoning_details: [
            { type: "reasoning.text", format: "google", text: "hm", signature: "T" },
            { type: "reasoning.encrypted", format: "google", data: "A", from: 0, to: 5 },
            { type: "reasoning.encrypted", format: "google", data: "B", from: 9, to: 9 },
          ],
          tool_calls: [
            {
              id: "c1",
              type: "function",
              function: { name: "f", arguments: "{}" },
              extra_content: { google: { thought_signature: "C" } },
            },
          ],
        },
      ],
      contents: [
        ...CONTENTS,
        {
          role: "model",
          parts: [
            { text: "hm", thought: true, thoughtSignature: "T" },
            { text: "It is", thoughtSignature: "A" },
            { text: " 42." },
            { text: "", thoughtSignature: "B" },
            { functionCall: { id: "c1", name: "f", args: {} }, thoughtSignature: "C" },
          ],
        },
      ],
    },
    {
      name: "a signature whose place is unknown is on the whole text; pictures keep theirs",
      messages: [
        ...HI,
        {
          role: "assistant",
          content: "Yes",
          reasoning_details: [{ type: "reasoning.encrypted", format: "google", data: "A" }],
          images: [
            {
              type: "image_url",
              image_url: { url: "data:image/png;base64,AAAA" },
              extra_content: { google: { thought_signature: "P" } },
            },
          ],
        },
      ],
      contents: [
        ...CONTENTS,
        {
          role: "model",
          parts: [
            { text: "Yes", thoughtSignature: "A" },
            { inlineData: { mimeType: "image/png", data: "AAAA" }, thoughtSignature: "P" },
          ],
        },
      ],
    },
  ])("messages: $name", async ({ messages, contents, system, model = "gemini-3.5-flash" }) => {
    const { body } = await send({ messages }, { model });
    expect(body["contents"]).toEqual(contents);
    expect(body["systemInstruction"]).toEqual(system && { parts: system.map((text) => ({ text })) });
  });

  test.each([
    ["gemini-2.5-pro", true],
    ["gemini-3.1-pro-preview", true],
    ["gemini-3.5-flash", true],
    ["gemini-3.5-flash-lite", false],
    ["gemini-3.6-flash", false],
    ["gemini-flash-latest", false],
  ])("a conversation that ends with the model, at %s: it goes on from there: %s", async (model, goesOn) => {
    const begun = { role: "model", parts: [{ text: "So" }] };
    const { body } = await send({ messages: [...HI, { role: "assistant", content: "So" }] }, { model });
    const end = goesOn ? [] : [{ role: "user", parts: [{ text: "Continue." }] }];
    expect(body["contents"]).toEqual([...CONTENTS, begun, ...end]);
  });

  test("what is lost inside messages is named", async () => {
    const content = [
      { type: "text", text: "hi", cache_control: { type: "ephemeral" } },
      { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
    ];
    const { droppedParams } = await send({ messages: [{ role: "user", name: "ann", content }] });
    expect(droppedParams).toEqual(["messages.name", "messages.cache_control", "messages.image_url.detail"]);
  });

  test.skipIf(!existsSync(PAIRS))("the recorded pairs say the same", async () => {
    const pairs = JSON.parse(readFileSync(PAIRS, "utf8")) as {
      case: string;
      openai_chat: { body: Json };
      native: { gemini: { path: string; body: Json } };
    }[];
    expect(pairs).toHaveLength(4);
    for (const { case: name, openai_chat, native } of pairs) {
      const model = /models\/([^:]+):/.exec(native.gemini.path)?.[1] ?? "";
      const { url, body, droppedParams } = await send(openai_chat.body, { model });
      expect(url).toBe(`https://generativelanguage.googleapis.com${native.gemini.path}`);
      expect(droppedParams).toEqual([]);
      expect(shapeOf(body), name).toEqual(shapeOf(native.gemini.body));
    }
  });
});

/** What two clients of Gemini may spell differently is made equal: schemas' field, ids, wrapping of results, words. */
function shapeOf(body: Json): unknown {
  return JSON.parse(JSON.stringify(body), (key, value: unknown) => {
    if (["id", "thoughtSignature", "response", "additionalProperties", "strict"].includes(key)) return undefined;
    if (key === "text") return typeof value;
    if (key === "type") return String(value).toLowerCase();
    if (typeof value !== "object" || value === null || !("parametersJsonSchema" in value)) return value;
    const { parametersJsonSchema: parameters, ...rest } = value;
    return { ...rest, parameters };
  });
}
