/** Where each kind of canary belongs, and the providers' words that some are planted in. */
import { chunks, completion, type Script } from "../support/upstream.ts";

type Json = Readonly<Record<string, unknown>>;

const CALL = ["answer", "approvals", "disk ToolApprovals"];
const TRACE = ["disk KeyLedger", "disk TrailIndex", "own traces", "traces"];
/** What an operator learns of a provider's failure, and the holder of a key does not. */
const DIAGNOSIS = ["admin", "disk KeyLedger", "disk ProviderHealth", "disk TrailIndex", "log", "traces"];

/**
 * Where each kind of canary may be found, and is found. Found where its row does not say so, it has leaked; not found
 * where its row does, the scan is blind. `head` and `body` are of the calls to a provider or to the collector; `answer`
 * is the body of a 2xx chat answer, `refusal` that of any error.
 */
export const BELONGS: Readonly<Record<string, readonly string[]>> = {
  FLOW_ADMIN_TOKEN: [],
  FLOW_ADMIN_TOKENS: [],
  FLOW_KEY_PEPPER: [],
  FLOW_KEY_PEPPER_PREVIOUS: [],
  OPENAI_API_KEY: ["openai head"],
  ANTHROPIC_API_KEY: ["anthropic head"],
  GEMINI_API_KEY: ["google head"],
  COHERE_API_KEY: ["cohere head"],
  AWS_ACCESS_KEY_ID: ["bedrock head"],
  AWS_SECRET_ACCESS_KEY: [],
  AWS_SESSION_TOKEN: ["bedrock head"],
  "secret of an operator's own provider": ["acme head"],
  OTEL_EXPORTER_OTLP_HEADERS: ["collector head"],
  "API key": ["new key"],
  "credential of a stranger": [],
  "credential in a wrong place": [],
  "secret pasted for its name": [],

  "text of a message": ["vendor body"],
  "description of a tool": ["vendor body"],
  "result of a tool": ["vendor body"],
  "result that is not admitted": [],
  "user and metadata": ["vendor body"],
  "header that nobody knows": [],
  "text of an answer": ["answer"],
  "arguments of a free call": ["answer"],
  "arguments of an approved call": [...CALL, "vendor body"],
  "arguments of a marked call": CALL,
  "arguments of a denied call": ["approvals", "disk ToolApprovals"],
  "arguments of a pending call": ["approvals", "disk ToolApprovals"],
  "arguments that were altered": [],
  "text beside held calls": ["answer", "disk ToolApprovals"],
  "name of a called tool": ["answer", "approvals", "collector body", "disk ToolApprovals", ...TRACE, "vendor body"],
  "reason of a decision": ["admin", "approvals", "disk ControlPlane", "disk ToolApprovals"],
  "tag and client's request id": TRACE,
  "operator's own words": ["admin", "disk ControlPlane", "kv", "new key"],
  "name of a target's model": [
    ...["admin", "answer", "bedrock head", "collector body", "disk ControlPlane", "disk KeyLedger"],
    ...[
      "disk ProviderHealth",
      "disk TrailIndex",
      "google head",
      "kv",
      "log",
      "own traces",
      "refusal",
      "response head",
      "traces",
    ],
    "vendor body",
  ],

  "vendor's words on a refused request": ["refusal"],
  "secret in the vendor's words": [],
  "other members of a vendor's error": [],
  "failure of a vendor or collector": DIAGNOSIS,
  "vendor's header": DIAGNOSIS,
  // Its message, scrubbed, in the event that says that the stream broke.
  "error in a stream that the router reads": ["answer", ...DIAGNOSIS],
  // Bytes that move natively are the provider's to the last one.
  "error in a stream that moves natively": ["answer"],

  "name of an unknown route": ["refusal", ...TRACE],
  "name of an unknown member": ["refusal"],
  "bad value in a request": [],
  "fault of our own": [],
};

/** A whole answer in the words of each family. */
export const WHOLE: Readonly<Record<string, (text: string) => Json>> = {
  openai: (text) => completion({ text }) as Json,
  acme: (text) => completion({ text }) as Json,
  anthropic: (text) => ({
    ...{ id: "msg_1", type: "message", role: "assistant", model: "m", stop_reason: "end_turn" },
    ...{ content: [{ type: "text", text }], usage: { input_tokens: 10, output_tokens: 5 } },
  }),
  google: (text) => ({
    candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason: "STOP" }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
  }),
  cohere: (text) => ({
    ...{ id: "1", finish_reason: "COMPLETE", message: { role: "assistant", content: [{ type: "text", text }] } },
    usage: { tokens: { input_tokens: 10, output_tokens: 5 } },
  }),
  bedrock: (text) => ({
    output: { message: { role: "assistant", content: [{ text }] } },
    ...{ stopReason: "end_turn", usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 } },
  }),
};

const event = (data: Json): string => `event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`;
/** Of an answer in Anthropic's protocol, cut before its end. */
const anthropicBegin = (text: string): string[] => [
  event({ type: "message_start", message: { id: "msg_1", model: "m", usage: { input_tokens: 1, output_tokens: 1 } } }),
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
  event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
];
const ANTHROPIC_END = [
  event({ type: "content_block_stop", index: 0 }),
  event({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 5 } }),
  event({ type: "message_stop" }),
];

/** An error that stands in a stream, after text of the answer or, with `null`, before any. */
export function brokenStream(provider: string, text: string | null, plant: () => string): Script {
  const error = { type: "server_error", message: plant(), detail: plant() };
  const begin =
    text === null
      ? []
      : provider === "anthropic"
        ? anthropicBegin(text)
        : chunks(text, { finish: null, usage: null, done: false });
  return { events: [...begin, provider === "anthropic" ? event({ type: "error", error }) : { error }] };
}

export const anthropicStream = (text: string): Script => ({ events: [...anthropicBegin(text), ...ANTHROPIC_END] });

/** How each family refuses a client's request. */
export const REFUSAL: Readonly<Record<string, (message: string, other: string) => Script>> = {
  openai: (message, other) => ({
    status: 400,
    json: { error: { message, type: "invalid_request_error", code: null, debug: other }, request: other },
  }),
  acme: (message, other) => ({ status: 422, json: { detail: [{ loc: ["body", "x"], msg: message, input: other }] } }),
  anthropic: (message, other) => ({
    status: 400,
    json: { type: "error", error: { type: "invalid_request_error", message, debug: other }, request_id: other },
  }),
  google: (message, other) => ({
    status: 400,
    json: { error: { code: 400, message, status: "INVALID_ARGUMENT", details: [{ debug: other }] } },
  }),
  cohere: (message, other) => ({ status: 400, json: { message, debug: other } }),
  bedrock: (message, other) => ({
    status: 400,
    headers: { "x-amzn-errortype": "ValidationException" },
    json: { message, debug: other },
  }),
};

/** Failures that another target may make good: each of a fresh canary. */
export const FAILURES: readonly ((canary: string) => Script)[] = [
  (canary) => ({ status: 500, body: `<html>${canary}</html>`, headers: { "content-type": "text/html" } }),
  (canary) => ({ status: 429, json: { error: { message: canary, code: canary } }, headers: { "retry-after": canary } }),
  (canary) => ({ status: 401, json: { error: { message: `Incorrect API key provided: ${canary}`, code: "x" } } }),
  (canary) => ({ status: 302, body: canary, headers: { location: `https://example.com/${canary}` } }),
  (canary) => ({ status: 200, body: `<html>${canary}</html>`, headers: { "content-type": "text/html" } }),
  (canary) => ({ status: 200, json: { error: { message: canary, type: "server_error", code: canary } } }),
  (canary) => ({
    status: 404,
    json: { error: { message: `The model ${canary} does not exist`, code: "model_not_found" } },
  }),
  (canary) => ({ status: 200, body: `{"id": "${canary}", "choices": [` }),
];
