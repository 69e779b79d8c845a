/** Refusals that another provider would not share move on, and say what the same target may do without. */
import { describe, expect, test } from "vitest";
import { classifyError } from "../../../src/providers/classify.ts";
import { hasMember } from "../../../src/providers/refusals.ts";

const NOW = Date.UTC(2026, 10, 30, 12);

function classify(status: number, body: unknown, headers: Record<string, string> = {}) {
  return classifyError({ status, headers: new Headers(headers), body }, NOW);
}
const error = (message: string, more: object = {}): object => ({
  error: { message, type: "invalid_request_error", ...more },
});
const fault = (type: string, loc: unknown[], msg = "m"): object => ({ detail: [{ type, loc, msg, input: "x" }] });

describe("what one provider or one model does not take moves on", () => {
  test.each<[string, number, object]>([
    ["a wish that the model has not", 400, error("presence_penalty cannot be had with this model")],
    ["members that exclude each other", 400, error("temperature and top_p cannot both be specified here")],
    ["thinking and a forced tool", 400, error("thinking may not be enabled when tool_choice forces tool use")],
    ["a switch of its own", 400, error("enable_thinking must be set to false for whole answers")],
    ["a schema by its path", 400, error("tools.0.custom.input_schema.type: Field required")],
    ["the depth of a schema", 400, error("A schema exceeds the maximum allowed nesting depth.")],
    ["text in place of parts", 400, error("'messages.0.content.1.type' : value must be one of [\"text\"]")],
    ["a role", 400, error("invalid params, invalid role: developer")],
    ["the order of turns", 400, error("A function call turn comes immediately after a user turn.")],
    ["the form of ids", 400, error("Tool call id was call_1 but must be of nine letters.")],
    ["thoughts that are missing", 400, error("Expected `thinking` or `redacted_thinking`, but found `text`.")],
    ["a picture", 400, error("Invalid image.", { code: "invalid_image_format" })],
    ["a picture that it cannot fetch", 400, error("m", { code: "failed_to_download_image" })],
    ["an address that it cannot fetch", 400, error("Unable to download the file you named.")],
    ["sampling next to thinking", 400, error("`top_p` must be at least 0.95 or unset when thinking is enabled.")],
    ["a budget of thinking", 400, error("The thinking budget of 9 is invalid.")],
    ["members that go with others only", 400, error("metadata is only allowed when something is stored.")],
    ["a version of the API", 400, error("json_schema is enabled only for api versions of next year")],
    ["a kind of format", 400, error("This response_format type is unavailable now")],
    ["a choice of tools", 400, error("tool_choice only support auto")],
    ["its own flavour of schemas", 400, error("parameters is not a valid lunar flavored json schema")],
    ["a word in the prompt", 400, error("'messages' must contain the word 'json' in some form.")],
    ["roles in turn", 400, error("Conversation roles must alternate user/assistant/…")],
    ["instructions in the middle", 400, error("System message must be at the beginning.")],
    ["no instructions", 400, error("System role not supported")],
    ["a turn that says nothing", 400, error("the message at position 3 with role 'assistant' must not be empty")],
    ["a name of a tool", 400, error("function name is invalid, must start with a letter")],
    ["the range of a limit", 400, error("Invalid max_tokens value, the valid range of max_tokens is [1, 10]")],
    ["an account that may not", 400, error("Your organization must be verified to use this.", { param: "stream" })],
    ["thoughts of another account", 400, error("m", { code: "invalid_encrypted_content" })],
    [
      "words behind OpenRouter",
      400,
      { error: { message: "m", code: 400, metadata: { raw: "Function calling is not enabled for models/x" } } },
    ],
  ])("%s", (_, status, body) => {
    expect(classify(status, body)).toMatchObject({ class: "capability", tryNext: true });
  });

  test.each<[string, object]>([
    ["no messages", error("Invalid value for 'messages': expected an array.", { code: "invalid_type" })],
    ["an empty text", error("messages: text content blocks must be non-empty")],
    ["a request without a model", error("you must provide a model parameter")],
  ])("%s ends the request", (_, body) => {
    expect(classify(400, body)).toMatchObject({ class: "invalid_request", tryNext: false });
  });
});

describe("a member, a value, a tool or a schema is named", () => {
  test.each<[string, number, object, string | undefined]>([
    [
      "a value, by code",
      400,
      error("Unsupported value: 'temperature' does not take 0.3.", { param: "temperature", code: "unsupported_value" }),
      "temperature",
    ],
    [
      "a member, by code",
      400,
      error("m", { param: "prompt_cache_key", code: "unknown_parameter" }),
      "prompt_cache_key",
    ],
    ["a member of tomorrow", 400, error("m", { param: "brand_new", code: "unknown_parameter" }), "brand_new"],
    [
      "a limit under another name",
      400,
      error("m", { param: "max_tokens", code: "unsupported_parameter" }),
      "max_tokens",
    ],
    ["content stays", 400, error("m", { param: "tools", code: "unsupported_parameter" }), undefined],
    ["a wish stays", 400, error("m", { param: "logprobs", code: "unsupported_parameter" }), undefined],
    ["a price stays", 400, error("m", { param: "service_tier", code: "unsupported_value" }), undefined],
    [
      "Cerebras",
      422,
      {
        message: "body.store: property 'body.store' is unsupported",
        type: "invalid_request_error",
        param: "validation_error",
        code: "wrong_api_format",
      },
      "store",
    ],
    [
      "Mistral",
      422,
      { object: "error", message: fault("extra_forbidden", ["body", "verbosity"]), type: "invalid_request_error" },
      "verbosity",
    ],
    ["a member of messages", 422, fault("extra_forbidden", ["body", "messages", 2, "audio"]), "messages.audio"],
    [
      "a part's mark",
      422,
      fault("extra_forbidden", ["body", "messages", 0, "content", 1, "cache_control"]),
      "cache_control",
    ],
    ["a value, by pydantic", 422, fault("literal_error", ["body", "reasoning_effort"]), "reasoning_effort"],
    ["Groq", 400, error("property 'prompt_cache_key' is unsupported"), "prompt_cache_key"],
    ["Groq's efforts", 400, error("`reasoning_effort` must be one of `none` or `default`"), "reasoning_effort"],
    [
      "Cerebras, with the role in the path",
      400,
      error("property 'messages.2.assistant.reasoning_content' is unsupported"),
      "messages.reasoning_content",
    ],
    ["Fireworks", 400, error("Extra inputs are not permitted, field: 'verbosity', value: 'low'"), "verbosity"],
    ["NVIDIA", 400, { detail: "Validation: Unsupported parameter(s): `store`" }, "store"],
    [
      "xAI, in its own spelling",
      400,
      { error: "Model grok-x does not support parameter reasoningEffort.", code: "invalid-argument" },
      "reasoning_effort",
    ],
    ["xAI's penalties", 400, { error: "Argument not supported on this model: presencePenalty", code: "m" }, undefined],
    ["Moonshot", 400, error("invalid temperature: only 1 is allowed for this model"), "temperature"],
    ["the older OpenAI", 400, error("Unrecognized request argument supplied: reasoning_effort"), "reasoning_effort"],
    [
      "LiteLLM",
      400,
      error("litellm.UnsupportedParamsError: x does not support parameters: ['seed'], for model=y"),
      "seed",
    ],
    [
      "xAI",
      400,
      { error: "Model grok-x does not support parameter reasoning_effort.", code: "invalid-argument" },
      "reasoning_effort",
    ],
    [
      "tools with effort",
      400,
      error("Function tools with reasoning_effort are not supported for this model."),
      undefined,
    ],
    ["Ollama", 400, error("library/x does not support tools"), undefined],
    ["vLLM's tools", 400, error('"auto" tool choice requires --enable-auto-tool-choice'), undefined],
    ["vLLM's pictures", 400, error("x is not a multimodal model"), undefined],
    [
      "DeepSeek's pictures",
      400,
      error("Failed to deserialize the JSON body: messages[0]: unknown variant `image_url`, expected `text`"),
      undefined,
    ],
    [
      "DeepSeek's thoughts",
      400,
      error("The `reasoning_content` in the thinking mode must be passed back to the API."),
      undefined,
    ],
    [
      "a schema",
      400,
      error("Invalid schema for function 'f': schema must have type 'object'", { code: "invalid_function_parameters" }),
      undefined,
    ],
    ["a grammar", 400, error("The compiled grammar is too large."), "strict"],
    [
      "a name",
      400,
      error("Invalid 'tools[0].function.name': string does not match pattern.", {
        param: "tools[0].function.name",
        code: "invalid_value",
      }),
      undefined,
    ],
    ["too many", 400, error("m", { param: "tools", code: "array_above_max_length" }), undefined],
    ["an empty list", 400, error("[] is too short", { param: "tools", code: "empty_array" }), undefined],
    [
      "more tokens than it makes",
      400,
      error("max_tokens is too large: 100000. This model makes at most 16384."),
      undefined,
    ],
    ["Perplexity's order", 400, error("Last message must have role `user`."), undefined],
    ["Mistral's order", 400, error("Expected last role User or Tool for serving but got assistant"), undefined],
    ["OpenRouter's endpoints", 404, error("No endpoints found that support tool use.", { code: 404 }), undefined],
    [
      "behind OpenRouter",
      400,
      {
        error: {
          message: "Provider returned error",
          code: 400,
          metadata: { raw: JSON.stringify(error("m", { param: "seed", code: "unknown_parameter" })) },
        },
      },
      "seed",
    ],
  ])("%s (%d)", (_, status, body, retryWithout) => {
    const failure = classify(status, body);
    expect(failure).toMatchObject({ class: "capability", tryNext: true, trySame: false });
    expect(failure.retryWithout).toBe(retryWithout);
  });

  test("the provider's words and the member reach the client", () => {
    const failure = classify(400, error("Unsupported value: 'seed'.", { param: "seed", code: "unsupported_value" }));
    expect(failure).toMatchObject({ message: "Unsupported value: 'seed'.", param: "seed" });
  });
});

describe("what every provider would refuse stays the client's", () => {
  test.each([
    error("Missing required parameter: 'messages'.", { param: "messages", code: "missing_required_parameter" }),
    error("Invalid type for 'messages': expected an array.", { param: "messages", code: "invalid_type" }),
    error("messages with role 'tool' must follow a message with 'tool_calls'."),
    fault("missing", ["body", "messages"], "Field required"),
    error("We could not parse the JSON body of your request."),
    error("x"),
  ])("%j", (body) => {
    expect(classify(400, body)).toMatchObject({ class: "invalid_request", tryNext: false });
  });
});

describe("404", () => {
  test.each<[string, unknown, string]>([
    ["a file that the client named", error("No such File object", { param: "file_id" }), "invalid_request"],
    ["the same without a param", error("No such File object: file-123"), "invalid_request"],
    [
      "an earlier response",
      error("m", { param: "previous_response_id", code: "previous_response_not_found" }),
      "invalid_request",
    ],
    ["our model, by code", error("m", { code: "model_not_found", param: "model" }), "auth"],
    [
      "our model, by words",
      { object: "error", message: "The model `x` does not exist.", type: "NotFoundError", code: 404 },
      "auth",
    ],
    ["a model that has no files", error("The model `x` was not found among the files."), "auth"],
    ["our address", { detail: "Not Found" }, "auth"],
    ["nothing at all", undefined, "auth"],
  ])("%s", (_, body, kind) => {
    expect(classify(404, body).class).toBe(kind);
  });
});

describe("an account in a chain of gateways is ours", () => {
  test.each([
    [400, error("Budget has been exceeded! Current cost: 5, Max budget: 4", { type: "budget_exceeded", code: "400" })],
    [400, error("ExceededBudget: team over budget")],
    [403, error("m", { type: "new_api_error", code: "insufficient_user_quota" })],
    [400, error("Your credit balance is too low to access the API.")],
    [
      400,
      {
        error: {
          message: "Provider returned error",
          code: 400,
          metadata: { raw: JSON.stringify(error("Your credit balance is too low.")) },
        },
      },
    ],
    [400, error("Insufficient credits")],
    [400, error("Model Not Exist")],
  ])("%d %j", (status, body) => {
    const failure = classify(status, body);
    expect(failure).toMatchObject({ class: "auth", tryNext: true });
    // The operator's amounts are not the client's to read.
    expect(failure).not.toHaveProperty("message");
  });

  test("a quotation of the client's text cannot feign it", () => {
    expect(classify(400, error("Invalid value: 'credit balance is too low'")).class).toBe("invalid_request");
  });
});

describe("resets where there is no retry-after", () => {
  const at = (seconds: number): number => NOW / 1000 + seconds;
  test.each<[Record<string, string>, number | undefined]>([
    [{ "x-ratelimit-reset-requests": "7s" }, 7_000],
    [{ "x-ratelimit-reset-requests": "1m2.5s" }, 60_000],
    [{ "x-ratelimit-reset-tokens": "120ms" }, 120],
    [{ "ratelimit-reset": "25" }, 25_000],
    [{ "anthropic-ratelimit-requests-reset": new Date(NOW + 20_000).toISOString() }, 20_000],
    [{ "x-ratelimit-reset": String(at(9)) }, 9_000],
    [{ "x-ratelimit-reset": String(NOW + 4_000) }, 4_000],
    [{ "x-ratelimit-reset-tokens-minute": "12.5" }, 12_500],
    [
      {
        "x-ratelimit-reset-requests": "40s",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-tokens": "6s",
        "x-ratelimit-remaining-tokens": "0",
      },
      6_000,
    ],
    [{ "x-ratelimit-reset-requests": "40s", "x-ratelimit-reset-tokens": "6s" }, 6_000],
    [
      {
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-tokens": "6s",
        "x-ratelimit-remaining-tokens": "0",
      },
      30_000,
    ],
    [{ "retry-after": "3", "x-ratelimit-reset-requests": "7s" }, 3_000],
    [{ "x-ratelimit-reset-requests": "soon" }, undefined],
    [{ "x-ratelimit-reset-requests": "-1s" }, undefined],
  ])("%j", (headers, delay) => {
    expect(classify(429, undefined, headers).retryAfterMs).toBe(delay);
  });

  test("they mean nothing where the limit was not the reason", () => {
    expect(classify(500, undefined, { "x-ratelimit-reset-requests": "7s" })).not.toHaveProperty("retryAfterMs");
  });
});

test("once more only where the request has what is to be left out", () => {
  const fields = {
    seed: 1,
    messages: [{ role: "user", content: "a", name: "n" }],
    tools: [{ function: { strict: true } }],
  };
  expect(hasMember(fields, "seed")).toBe(true);
  expect(hasMember(fields, "temperature")).toBe(false);
  expect(hasMember(fields, "messages.name")).toBe(true);
  expect(hasMember(fields, "messages.refusal")).toBe(false);
  expect(hasMember(fields, "strict")).toBe(true);
  expect(hasMember(fields, "cache_control")).toBe(false);
  expect(hasMember(fields, "max_tokens")).toBe(true);
  expect(hasMember({ stream: true }, "stream_options")).toBe(true);
});
