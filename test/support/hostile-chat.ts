/** Chat requests with any JSON in every position, for writers that must build all they send. */
import fc from "fast-check";

export type Json = Record<string, unknown>;

/** Members that no provider has: where one of them turns up upstream, a client's object was passed on. */
const CANARIES = ["zz_canary", "toolResult", "tool_result", "functionResponse", "function_response", "zz-2"];

/** Objects whose every key is a canary, and anything else. */
const strange: fc.Arbitrary<unknown> = fc.oneof(
  { maxDepth: 2 },
  fc.constantFrom<unknown>(null, true, 1, 0, "", "x", [], {}),
  fc.dictionary(fc.constantFrom(...CANARIES), fc.oneof(fc.string(), fc.constant({ zz_canary: 1 })), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
  fc.array(fc.dictionary(fc.constantFrom(...CANARIES), fc.string(), { maxKeys: 2, noNullPrototype: true }), {
    maxLength: 2,
  }),
);

/** Mostly what belongs there: a request with one fault is refused for it, and shows nothing else. */
const maybe = (known: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: known, weight: 6 }, { arbitrary: strange, weight: 1 });

const part = fc.oneof(
  fc.record({ type: fc.constant("text"), text: maybe(fc.string()), cache_control: strange, citations: strange }),
  fc.record({
    type: fc.constantFrom("image_url", "input_audio", "video_url", "file", "document", "tool_result", "thinking", "x"),
    image_url: maybe(
      fc.record({ url: fc.constantFrom("https://a.b/c.png", "data:image/png;base64,AA"), detail: strange }),
    ),
    input_audio: maybe(fc.record({ data: fc.constant("AA"), format: maybe(fc.constant("wav")) })),
    video_url: maybe(fc.record({ url: fc.constant("data:video/mp4;base64,AA") })),
    file: maybe(fc.record({ file_data: fc.constant("data:application/pdf;base64,AA"), filename: strange })),
    document: maybe(fc.record({ id: strange, data: strange })),
    citations: strange,
    thinking: strange,
  }),
  strange,
);

const call = maybe(
  fc.record({
    id: maybe(fc.constantFrom("a", "b")),
    type: strange,
    function: maybe(fc.record({ name: maybe(fc.constantFrom("f", "g.h")), arguments: maybe(fc.json()), zz: strange })),
    extra_content: strange,
  }),
);

const detail = maybe(
  fc.record({
    type: fc.constantFrom("reasoning.text", "reasoning.encrypted", "x"),
    format: fc.constantFrom("bedrock", "cohere", "anthropic-claude-v1"),
    text: maybe(fc.string()),
    signature: maybe(fc.constant("s")),
    data: maybe(fc.constant("d")),
  }),
);

const message = fc.record(
  {
    role: fc.constantFrom("system", "developer", "user", "assistant", "tool", "function", "ipython", "Tool"),
    content: maybe(fc.oneof(fc.string(), fc.array(part, { maxLength: 3 }))),
    name: strange,
    refusal: strange,
    tool_calls: maybe(fc.array(call, { maxLength: 2 })),
    function_call: strange,
    tool_call_id: maybe(fc.constantFrom("a", "b")),
    reasoning_content: strange,
    reasoning_details: maybe(fc.array(detail, { maxLength: 3 })),
    server_tool_blocks: strange,
    bedrock_blocks: maybe(fc.array(strange, { maxLength: 2 })),
    images: maybe(fc.array(part, { maxLength: 1 })),
    tool_plan: strange,
    cache_control: strange,
    toolResult: strange,
  },
  { requiredKeys: ["role"], noNullPrototype: true },
);

/** Its schema is the client's to write, so nothing below `parameters` is looked at. */
const tool = fc.oneof(
  fc.record({
    type: fc.constant("function"),
    function: fc.record({ name: maybe(fc.constantFrom("f", "g.h")), strict: strange, description: strange }),
    cache_control: strange,
  }),
  fc.record({
    type: fc.constantFrom("custom", "web_search", "x"),
    custom: strange,
    systemTool: maybe(fc.record({ name: fc.constant("nova_grounding") })),
    toolSpec: maybe(fc.record({ name: strange, inputSchema: strange })),
    cachePoint: strange,
  }),
  strange,
);

const choice = fc.oneof(
  fc.constantFrom<unknown>("auto", "none", "required", { type: "function", function: { name: "f" } }),
  strange,
);

export const hostileChat: fc.Arbitrary<Json> = fc.record(
  {
    messages: fc.array(message, { maxLength: 4 }),
    tools: maybe(fc.array(tool, { maxLength: 3 })),
    functions: strange,
    tool_choice: choice,
    function_call: strange,
    response_format: maybe(fc.constantFrom<unknown>({ type: "json_object" }, { type: "text" })),
    reasoning_effort: maybe(fc.constantFrom("low", "none")),
    reasoning: strange,
    thinking: maybe(fc.record({ type: maybe(fc.constant("enabled")), budget_tokens: strange, display: strange })),
    metadata: strange,
    stop: maybe(fc.array(fc.string(), { maxLength: 2 })),
    service_tier: strange,
    temperature: strange,
    logit_bias: strange,
    modalities: strange,
    documents: strange,
    citation_options: strange,
    safety_mode: strange,
    guardrailConfig: strange,
    additionalModelRequestFields: strange,
    toolConfig: strange,
    surprise: strange,
  },
  { requiredKeys: ["messages"], noNullPrototype: true },
) as fc.Arbitrary<Json>;

/** Keys in `body` that are not of `vocabulary`. What stands below one of `opaque` is the client's to write. */
export function foreignKeys(body: unknown, vocabulary: ReadonlySet<string>, opaque: ReadonlySet<string>): string[] {
  if (Array.isArray(body)) return body.flatMap((each) => foreignKeys(each, vocabulary, opaque));
  if (typeof body !== "object" || body === null) return [];
  return Object.entries(body).flatMap(([key, value]) => [
    ...(vocabulary.has(key) ? [] : [key]),
    ...(opaque.has(key) ? [] : foreignKeys(value, vocabulary, opaque)),
  ]);
}
