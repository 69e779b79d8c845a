/**
 * Anthropic's Messages API as a provider: where it is called, and what its failures mean.
 *
 * Type and status of an error decide; the vendor gives one type to a prompt that is too long, an empty account of ours
 * and a blocked answer, so there its words do. They are anchored, because they may quote the client.
 * https://platform.claude.com/docs/en/api/errors
 */
import type {
  AdapterCall,
  Provider,
  ProviderConfig,
  Secrets,
  UpstreamError,
  UpstreamFailure,
  UpstreamRequest,
} from "../../providers/adapter.ts";
import { classifyError } from "../../providers/classify.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "../../providers/provider-settings.ts";
import { toAnthropicCompletion } from "./answer.ts";
import { missingCapability, toAnthropicBody } from "./request.ts";
import { AnthropicStream } from "./stream.ts";

const ID = "anthropic";
const BASE_URL = "https://api.anthropic.com/v1";
/** https://platform.claude.com/docs/en/api/versioning: the only version there is since 2023. */
const API_VERSION = "2023-06-01";

export const anthropic: Provider = {
  id: ID,
  adapter: {
    translation: {
      toCompletion: toAnthropicCompletion,
      openStream: (context) => new AnthropicStream(context),
    },
    toUpstream,
    classify: (error) => classify(error, Date.now()),
  },
  requires: [["ANTHROPIC_API_KEY"]],
  configure,
  lacks: missingCapability,
};

function configure(secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf(ID, BASE_URL, secrets);
  const key = secretText(secrets["ANTHROPIC_API_KEY"]);
  if (baseUrl === null || key === null) return null;
  return { baseUrl, headers: { "x-api-key": key, "anthropic-version": API_VERSION } };
}

function toUpstream(call: AdapterCall): UpstreamRequest {
  const { body, droppedParams } = toAnthropicBody(call);
  return {
    url: `${call.config.baseUrl}/messages`,
    headers: upstreamHeaders(call.config, call.stream),
    body: JSON.stringify(body),
    droppedParams,
  };
}

type Kind = UpstreamFailure["class"];

const CODES: Readonly<Record<string, Kind>> = {
  billing_error: "auth",
  request_too_large: "invalid_request",
  conflict_error: "server_error",
};

const WORDS: readonly (readonly [RegExp, Kind])[] = [
  [/^input length and `?max_tokens`? exceed context limit\b/i, "context_length"],
  [/^(?:the )?(?:prompt|input|request) is too long\b/i, "context_length"],
  [/^Output blocked by content filtering policy\b/i, "content_filter"],
  // Our account, not the client's request: credit, spending limits, a disabled organization.
  [/^Your credit balance is too low\b/i, "auth"],
  [/^You have reached your specified (?:\w+ )?usage limits\b/i, "auth"],
  [/^This organization has been disabled\b/i, "auth"],
];

function classify(error: UpstreamError, now: number): UpstreamFailure {
  const failure = classifyError(error, now, CODES);
  if (failure.class === "rate_limited" && failure.retryAfterMs === undefined) return withReset(failure, error, now);
  if (failure.class !== "invalid_request") return failure;
  const kind = WORDS.find(([words]) => words.test(failure.message ?? ""))?.[1];
  if (kind === undefined) return failure;
  // What is wrong with our account is not the client's to read.
  return kind === "auth" ? { class: kind, tryNext: true, trySame: false } : { ...failure, class: kind, tryNext: true };
}

const LIMITS = ["requests", "tokens", "input-tokens", "output-tokens"] as const;
const MAX_DELAY_MS = 60_000;

/** Without `retry-after`, the exhausted limits say when they are full again (RFC 3339). */
function withReset(failure: UpstreamFailure, { headers }: UpstreamError, now: number): UpstreamFailure {
  const delays = LIMITS.flatMap((limit) => {
    if (headers.get(`anthropic-ratelimit-${limit}-remaining`) !== "0") return [];
    const resetAt = Date.parse(headers.get(`anthropic-ratelimit-${limit}-reset`) ?? "");
    return Number.isNaN(resetAt) ? [] : [Math.min(MAX_DELAY_MS, Math.max(0, resetAt - now))];
  });
  return delays.length === 0 ? failure : { ...failure, trySame: true, retryAfterMs: Math.max(...delays) };
}
