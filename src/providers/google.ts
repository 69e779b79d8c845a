/**
 * The Gemini API of Google AI Studio: `generateContent` and its stream.
 *
 * It was not tried live: the wire is Google's reference and recorded traffic. The key goes into a header, never
 * into the address, which proxies write down. https://ai.google.dev/api
 */
import { GOOGLE_WORDS, lacksWord } from "../embedding/input-type.ts";
import { isJsonObject } from "../lib/json.ts";
import { bridged, droppedParams } from "../wires/bridge.ts";
import { droppedMembers, embedPath, readEmbed, writeEmbed } from "../wires/gemini/embeddings.ts";
import { geminiWire } from "../wires/gemini/wire.ts";
import type { Provider, ProviderConfig, Secrets, UpstreamError, UpstreamFailure } from "./adapter.ts";
import { classifyError } from "./classify.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "./provider-settings.ts";

const ID = "google";
const BASE_URL = "https://generativelanguage.googleapis.com/v1beta";
/** The first that is set is used. */
const SECRETS = ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"] as const;

const bridge = bridged(geminiWire, ID, (written, { config, stream, asked }) => ({
  url: config.baseUrl + written.path,
  headers: upstreamHeaders(config, stream),
  body: written.body,
  droppedParams: droppedParams(written.losses, asked),
}));

export const google: Provider = {
  id: ID,
  adapter: {
    translation: bridge.translation,
    toUpstream: bridge.toUpstream,
    classify: (error) => classifyGoogle(error, Date.now()),
  },
  requires: SECRETS.map((name) => [name]),
  pool: SECRETS,
  configure,
  lacks: bridge.lacks,
  refuses: bridge.refuses,
  embedding: {
    // "at most 100 requests can be in one batch", as its error says.
    limits: () => ({ inputs: 100 }),
    base64: "none",
    takesTokens: false,
    takesDimensions: true,
    // Its answers are indented.
    floatBytes: 22,
    isNative: false,
    lacksInputType: (word) => lacksWord(word, GOOGLE_WORDS),
    toUpstream: (call) => ({
      url: call.config.baseUrl + embedPath(call.model),
      headers: upstreamHeaders(call.config, false),
      body: writeEmbed(call),
      droppedParams: droppedMembers(call),
    }),
    read: readEmbed,
  },
};

function configure(secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf(ID, BASE_URL, secrets);
  const name = SECRETS.find((each) => secrets[each] !== undefined && secrets[each] !== "");
  const secret = name === undefined ? null : secretText(secrets[name]);
  return baseUrl === null || secret === null ? null : { baseUrl, headers: { "x-goog-api-key": secret } };
}

type Kind = UpstreamFailure["class"];

/** `google.rpc.Code` and the reasons of `google.rpc.ErrorInfo`, lower case: what `classifyError` does not know of them. */
const CODES: Readonly<Record<string, Kind>> = {
  // Billing is not set up, or the country is not served: https://ai.google.dev/gemini-api/docs/troubleshooting.
  failed_precondition: "auth",
  api_key_expired: "auth",
  api_key_service_blocked: "auth",
  api_key_http_referrer_blocked: "auth",
  api_key_ip_address_blocked: "auth",
  service_disabled: "auth",
  billing_disabled: "auth",
  consumer_invalid: "auth",
  consumer_suspended: "auth",
  user_project_denied: "auth",
  cancelled: "server_error",
  aborted: "server_error",
  // What a candidate ends with when the model's call could not be read; the stream reports them as errors.
  malformed_function_call: "invalid_response",
  malformed_response: "invalid_response",
  unexpected_tool_call: "invalid_response",
  too_many_tool_calls: "invalid_response",
  missing_thought_signature: "invalid_response",
  no_image: "invalid_response",
  prohibited_content: "content_filter",
  safety: "content_filter",
};

/** Google gives its commonest refusals one code, INVALID_ARGUMENT. All are anchored: a message may quote the client. */
const MESSAGES: readonly (readonly [RegExp, Kind])[] = [
  [
    /^(?:Unable to submit request because )?(?:the )?input token count\b.*\b(?:exceeds|only supports up to)\b/is,
    "context_length",
  ],
  [/^Request payload size exceeds the limit\b/i, "context_length"],
  [/^API key (?:not valid|not found|expired)\b/i, "auth"],
  [/^User location is not supported\b/i, "auth"],
  // Signatures are ours to send: another provider does not need them.
  [
    /^(?:Function call .{0,200}?missing a `?thought_signature|Corrupted thought signature|Thought signature is not valid)/is,
    "invalid_response",
  ],
];

/**
 * What this model lacks, though the request is sound and another target may have it: an ability, a member, a schema, a
 * medium, or an address that only Google cannot fetch. They lead to another target, so that a quotation of the client's
 * text in front of them does no harm. https://ai.google.dev/gemini-api/docs/troubleshooting
 */
const NOT_HERE: readonly RegExp[] = [
  /^(?:Forced function calling|Function calling|Tool use) .{0,100}\bis unsupported\b/i,
  /^The thinking (?:level|budget) \(|^Invalid value at '|\bnumber of function response parts\b/i,
  /^Thinking (?:level|budget) .{0,60}\bnot supported\b|\bonly works in thinking mode\b/i,
  /\bis not (?:enabled|supported|available) (?:for|in|by|on) (?:this model|the model|models\/)/i,
  /^(?:Built-in tools|Multiple tools|Search (?:as a )?tool|Search Grounding)\b.{0,160}\b(?:cannot|not supported|not enabled)\b/i,
  /^Invalid JSON payload received\. Unknown name\b/i,
  /^\*? ?GenerateContentRequest\.(?:tools|tool_config|generation_config)\b/i,
  /^The specified schema produces a constraint\b/i,
  /^Unsupported MIME type\b|^Unable to process input (?:image|video|audio)\b|^Cannot fetch content from the provided URL\b/i,
];

/** Not private to the provider, so that tests may set the clock. */
export function classifyGoogle(error: UpstreamError, now: number): UpstreamFailure {
  const failure = classifyError(error, now, CODES);
  const status = statusOf(error.body);
  if (failure.class === "invalid_request") {
    const message = typeof status["message"] === "string" ? status["message"].trim() : "";
    const kind = MESSAGES.find(([words]) => words.test(message))?.[1];
    if (kind === undefined) {
      return NOT_HERE.some((words) => words.test(message))
        ? { ...failure, class: "capability", tryNext: true }
        : failure;
    }
    return kind === "context_length"
      ? { ...failure, class: kind, tryNext: true }
      : { class: kind, tryNext: true, trySame: false };
  }
  // A day's quota is not back after the seconds that the answer names.
  if (failure.class === "rate_limited" && failure.trySame && isDailyQuota(status))
    return { ...failure, trySame: false };
  // A cancelled or aborted call is Google's doing: the next one may pass.
  const { code } = status;
  if (failure.class === "server_error" && (code === 499 || code === 409)) return { ...failure, trySame: true };
  return failure;
}

/** The `google.rpc.Status` of an error body, which may stand in a list of one. */
function statusOf(body: unknown): Readonly<Record<string, unknown>> {
  const outer: unknown = Array.isArray(body) ? body[0] : body;
  const status = isJsonObject(outer) ? (outer["error"] ?? outer) : undefined;
  return isJsonObject(status) ? status : {};
}

function isDailyQuota(status: Readonly<Record<string, unknown>>): boolean {
  const details = Array.isArray(status["details"]) ? status["details"] : [];
  const violations = details.flatMap((detail) =>
    isJsonObject(detail) && Array.isArray(detail["violations"]) ? detail["violations"] : [],
  );
  return violations.some((each) => isJsonObject(each) && /PerDay/.test(String(each["quotaId"])));
}
