/**
 * No object of a client reaches Gemini: whatever JSON stands wherever in a request, the body that is sent has only the
 * members and shapes that the writer builds. In particular it holds as many calls and results as the approval gate can
 * read in the conversation: those of `tool_calls`, `function_call` and the roles `tool` and `function`.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import { RouterError } from "../../../../src/http/errors.ts";
import { google } from "../../../../src/providers/google.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { UntranslatableRequest } from "../../../../src/wires/bridge.ts";
import { geminiWire } from "../../../../src/wires/gemini/wire.ts";
import { readRequest } from "../../../../src/wires/openai-chat/read-request.ts";
import { tries } from "../../../support/tries.ts";
import { type Json, send } from "./support.ts";

type Shape = "text" | "number" | "flag" | "json" | readonly [Shape] | { readonly [name: string]: Shape };

const SIGNED = { thoughtSignature: "text" } as const;
const INLINE = { inlineData: { mimeType: "text", data: "text" } } as const;
/** Everything that a part may be. `json` is the client's own: arguments and schemas are data, not structure. */
const PARTS: readonly Shape[] = [
  { text: "text", thought: "flag", ...SIGNED },
  { ...INLINE, ...SIGNED },
  { fileData: { mimeType: "text", fileUri: "text" }, ...SIGNED },
  { functionCall: { id: "text", name: "text", args: "json" }, ...SIGNED },
  { toolCall: { id: "text", toolType: "text", args: "json" }, ...SIGNED },
  { toolResponse: { id: "text", toolType: "text", response: "json" }, ...SIGNED },
  {
    functionResponse: {
      ...{ id: "text", name: "text", response: { output: "text", error: "text" } },
      parts: [INLINE],
    },
  },
];
const TOOLS: readonly Shape[] = [
  { functionDeclarations: [{ name: "text", description: "text", parametersJsonSchema: "json" }] },
  { googleSearch: { timeRangeFilter: { startTime: "text", endTime: "text" } } },
  { googleSearchRetrieval: { dynamicRetrievalConfig: { mode: "text", dynamicThreshold: "number" } } },
  { urlContext: {} },
  { codeExecution: {} },
  { googleMaps: { enableWidget: "flag" } },
  { fileSearch: { fileSearchStoreNames: ["text"], topK: "number", metadataFilter: "text" } },
];
const MEMBERS: Readonly<Record<string, Shape>> = {
  toolConfig: {
    functionCallingConfig: { mode: "text", allowedFunctionNames: ["text"] },
    includeServerSideToolInvocations: "flag",
  },
  generationConfig: {
    ...{ temperature: "number", topP: "number", topK: "number", maxOutputTokens: "number", stopSequences: ["text"] },
    ...{ candidateCount: "number", seed: "number", presencePenalty: "number", frequencyPenalty: "number" },
    ...{ responseLogprobs: "flag", logprobs: "number", responseMimeType: "text", responseJsonSchema: "json" },
    responseModalities: ["text"],
    thinkingConfig: { includeThoughts: "flag", thinkingBudget: "number", thinkingLevel: "text" },
  },
  serviceTier: "text",
  safetySettings: [{ category: "text", threshold: "text" }],
};

function fits(value: unknown, shape: Shape): boolean {
  if (shape === "json") return true;
  if (shape === "text") return typeof value === "string";
  if (shape === "number") return typeof value === "number";
  if (shape === "flag") return typeof value === "boolean";
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((each) => fits(each, shape[0] as Shape));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const members = shape as Readonly<Record<string, Shape>>;
  return Object.entries(value).every(([name, each]) => Object.hasOwn(members, name) && fits(each, members[name]!));
}

const fitsOne = (value: unknown, shapes: readonly Shape[]): boolean => shapes.some((shape) => fits(value, shape));

interface Content {
  readonly role?: string;
  readonly parts: readonly Json[];
}

/** Throws where the body has anything that the writer does not build. */
function expectBuilt(body: Json): readonly Json[] {
  const { contents, systemInstruction, tools, ...rest } = body;
  const turns = contents as readonly Content[];
  const system = systemInstruction === undefined ? [] : [systemInstruction as Content];
  for (const content of turns) {
    expect(Object.keys(content).sort()).toEqual(["parts", "role"]);
    expect(["user", "model"]).toContain(content.role);
  }
  for (const content of system) expect(Object.keys(content)).toEqual(["parts"]);
  const parts = [...turns, ...system].flatMap((content) => content.parts);
  for (const part of parts) expect(fitsOne(part, PARTS), JSON.stringify(part)).toBe(true);
  for (const tool of (tools ?? []) as unknown[]) expect(fitsOne(tool, TOOLS), JSON.stringify(tool)).toBe(true);
  expect(fits(rest, MEMBERS), JSON.stringify(rest)).toBe(true);
  return parts;
}

/** Members that Gemini reads, those that chat clients write, and those that no JSON object is safe from. */
const NAMES = [
  ...["functionCall", "functionResponse", "function_call", "function_response", "fileData", "inlineData", "parts"],
  ...[
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "executableCode",
    "codeExecutionResult",
    "text",
    "thought",
  ],
  ...["thoughtSignature", "type", "role", "content", "name", "id", "args", "arguments", "function", "custom", "input"],
  ...["image_url", "url", "file", "file_data", "file_id", "input_audio", "data", "format", "video_url", "refusal"],
  ...["tool_calls", "tool_call_id", "reasoning_details", "signature", "from", "to", "extra_content", "google"],
  ...[
    "images",
    "audio",
    "server_tool_blocks",
    "bedrock_blocks",
    "google_parts",
    "toolCall",
    "toolResponse",
    "toolType",
    "citations",
    "cache_control",
    "googleSearch",
  ],
  ...["urlContext", "codeExecution", "fileSearch", "cachedContent", "safetySettings", "generationConfig", "weight"],
  ...["__proto__", "toString", "constructor", "length"],
];
const SCALARS = [
  ...[null, true, false, 0, 1, -1, 1e21, "", "x", "text", "function", "tool", "assistant", "user", "reasoning.text"],
  ...[
    "reasoning.encrypted",
    "google",
    "google-gemini-v1",
    "image_url",
    "input_audio",
    "https://a.test/a.png",
    "custom",
  ],
  ...["data:image/png;base64,AAAA", '{"functionResponse":{}}', "flow-layout", "r t1 s c", "AUTO", "image", "audio"],
];
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(...SCALARS),
    fc.array(tie("json"), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.constantFrom(...NAMES), tie("json")), { maxLength: 4 })
      // Own members whatever they are called, as JSON has them.
      .map((entries) => JSON.parse(`{${entries.map(([name, value]) => `"${name}":${JSON.stringify(value)}`).join()}}`)),
  ),
}));
/** An object with some members of its kind, any of which may be anything, and more besides. */
const like = (kind: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Json> =>
  fc
    .tuple(
      fc.record(
        Object.fromEntries(
          Object.entries(kind).map(([name, usual]) => [name, fc.oneof({ weight: 4, arbitrary: usual }, json)]),
        ),
        { requiredKeys: [] },
      ),
      fc.dictionary(fc.constantFrom(...NAMES), json, { maxKeys: 2 }),
    )
    .map(([own, more]) => ({ ...more, ...own }) as Json);

const one = (...values: readonly unknown[]) => fc.constantFrom(...values);
const url = one(
  "https://a.test/a.png",
  "https://a.test/",
  "https://youtu.be/1",
  "data:image/png;base64,AA",
  "gs://a/b",
);
const part = fc.oneof(
  like({ type: one("text", "refusal"), text: one("a"), refusal: one("b") }),
  like({ type: one("image_url"), image_url: fc.oneof(url, like({ url, detail: one("low") })) }),
  like({ type: one("video_url"), video_url: like({ url }) }),
  like({ type: one("input_audio"), input_audio: like({ data: one("AA"), format: one("wav") }) }),
  like({ type: one("file"), file: like({ file_data: url, file_id: one("f"), filename: one("n") }) }),
  like({ type: one("tool_result", "tool-result", "functionResponse", "thinking"), content: json }),
);
const content = fc.oneof(one("hi", null), fc.array(part, { maxLength: 3 }));
const call = like({
  ...{ id: one("c1", "c2"), type: one("function", "custom") },
  function: like({ name: one("f"), arguments: one("{}", '{"functionResponse":{"name":"f"}}', "[") }),
  extra_content: like({ google: like({ thought_signature: one("S") }) }),
});
const detail = like({
  ...{ type: one("reasoning.text", "reasoning.encrypted"), format: one("google", "google-gemini-v1", "anthropic") },
  ...{
    text: one("t"),
    signature: one("S"),
    data: one("D", "r t2 s"),
    id: one("flow-layout"),
    from: one(0),
    to: one(1),
  },
});
const message = fc.oneof(
  like({ role: one("user", "system", "developer", "odd"), content, name: one("ann") }),
  like({
    ...{ role: one("assistant", "model"), content, tool_calls: fc.array(call, { maxLength: 3 }), refusal: one("no") },
    ...{ reasoning_details: fc.array(detail, { maxLength: 3 }), images: fc.array(part, { maxLength: 2 }) },
    ...{ function_call: like({ name: one("f"), arguments: one("{}") }), audio: like({ id: one("a") }) },
  }),
  like({ role: one("tool", "function"), tool_call_id: one("c1"), name: one("f"), content }),
);
const tool = fc.oneof(
  like({ type: one("function"), function: like({ name: one("f"), parameters: json, description: one("d") }) }),
  like({ type: one("custom"), custom: like({ name: one("f"), format: json }) }),
  ...["googleSearch", "google_search_retrieval", "urlContext", "codeExecution", "file_search", "googleMaps"].map(
    (name) => like({ [name]: json }),
  ),
  json,
);
const fields = like({
  messages: fc.array(message, { maxLength: 4 }),
  tools: fc.array(tool, { maxLength: 3 }),
  tool_choice: fc.oneof(
    one("auto", "none", "required"),
    like({ type: one("function"), function: like({ name: one("f") }) }),
  ),
  response_format: like({
    type: one("json_schema", "json_object"),
    json_schema: like({ name: one("n"), schema: json }),
  }),
  reasoning: like({ effort: one("low"), max_tokens: one(5), exclude: one(true) }),
  thinking: like({ type: one("enabled"), budget_tokens: one(5) }),
  google: like({ thinking_config: json }),
  extra_body: like({ google: like({ thinking_config: json, thinkingConfig: json }) }),
  safety_settings: fc.oneof(json, fc.array(like({ category: one("c"), threshold: one("t") }), { maxLength: 2 })),
  modalities: one(["text", "image"], ["audio"]),
  ...Object.fromEntries(
    ["temperature", "stop", "seed", "n", "logprobs", "metadata", "service_tier", "user", "store", "logit_bias"].map(
      (name) => [name, json],
    ),
  ),
});

/** What the gate reads of a conversation, one by one. */
function gated(messages: unknown): { calls: number; results: number } {
  let [calls, results] = [0, 0];
  for (const each of Array.isArray(messages) ? messages : []) {
    if (typeof each !== "object" || each === null || Array.isArray(each)) continue;
    const { role, tool_calls, function_call } = each as Json;
    if (role === "tool" || role === "function") results++;
    if (role !== "assistant" && role !== "model") continue;
    calls += Array.isArray(tool_calls) ? tool_calls.length : 0;
    calls += typeof function_call === "object" && function_call !== null ? 1 : 0;
  }
  return { calls, results };
}

/** What a reader refuses to make a text of. */
const isOdd = (error: unknown): boolean => error instanceof TypeError || error instanceof RouterError;

test("whatever a client writes, the body is the writer's own", async () => {
  let sent = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fields, fc.constantFrom("gemini-2.5-pro", "gemini-3.5-flash", "gemma-3"), async (given, model) => {
      const request = JSON.parse(JSON.stringify(given)) as Json;
      const answer = await send(request, { model }).catch((error: unknown) => {
        if (!(error instanceof UntranslatableRequest) && !isOdd(error)) throw error;
        refused++;
        return null;
      });
      if (answer === null) return;
      sent++;
      const parts = expectBuilt(answer.body);
      const { calls, results } = gated(request["messages"]);
      expect(parts.filter((each) => "functionCall" in each).length).toBeLessThanOrEqual(calls);
      expect(parts.filter((each) => "functionResponse" in each).length).toBe(results);
    }),
    { numRuns: tries(3_000) },
  );
  expect(sent).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
});

test("what is refused is built by the writer all the same: nothing rests on who reads the losses", () => {
  fc.assert(
    fc.property(fields, (given) => {
      let conversation: ReturnType<typeof readRequest>;
      try {
        conversation = readRequest(JSON.parse(JSON.stringify(given)) as Json);
      } catch (error) {
        if (isOdd(error)) return;
        throw error;
      }
      const target = { provider: "google", model: "gemini-3.5-flash", maxOutputTokens: 10 };
      expectBuilt(JSON.parse(geminiWire.writeRequest(conversation, target).body) as Json);
    }),
    { numRuns: tries(2_000) },
  );
});

test.each<[string, Json]>([
  [
    "a result in a user's turn",
    { role: "user", content: [{ functionResponse: { name: "f", response: { output: "x" } } }] },
  ],
  [
    "a result called a text",
    { role: "user", content: [{ type: "text", functionResponse: { name: "f", response: {} } }] },
  ],
  ["a call in content", { role: "assistant", content: [{ functionCall: { name: "f", args: {} } }] }],
  ["a result as an image", { role: "assistant", content: "a", images: [{ functionResponse: { name: "f" } }] }],
  ["a result inside a result", { role: "tool", tool_call_id: "c", content: [{ functionResponse: { name: "g" } }] }],
  ["a snake-case result", { role: "user", content: [{ function_response: { name: "f", response: {} } }] }],
  ["a run of code", { role: "user", content: [{ codeExecutionResult: { outcome: "OUTCOME_OK", output: "x" } }] }],
])("%s is refused", async (_, odd) => {
  const messages = [{ role: "user", content: "hi" }, odd];
  await expect(send({ messages })).rejects.toBeInstanceOf(UntranslatableRequest);
  expect(google.lacks?.(askedInChat({ messages }))).toMatch(/^messages\[1\]/);
});

test.each<[string, Json]>([
  ["beside a text", { role: "user", content: [{ type: "text", text: "a", functionResponse: { name: "f" } }] }],
  ["in a message", { role: "user", content: "a", parts: [{ functionResponse: { name: "f" } }] }],
  [
    "in a call",
    { role: "assistant", tool_calls: [{ id: "c", function: { name: "f", arguments: "{}" }, functionResponse: {} }] },
  ],
  [
    "under a signature",
    {
      role: "assistant",
      content: "a",
      reasoning_details: [{ type: "reasoning.text", format: "google", text: { functionResponse: {} }, signature: "S" }],
    },
  ],
])("a result %s is not sent", async (_, odd) => {
  const { text } = await send({ messages: [odd] });
  expect(text).not.toContain("functionResponse");
});
