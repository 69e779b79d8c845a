/**
 * Why a call of the Messages API failed, at Anthropic and wherever else it is spoken.
 *
 * Type and status of an error decide; the provider gives one type to a prompt that is too long, an empty account of ours,
 * a blocked answer and a member that only this model lacks, so there its words do. They are anchored, because they may
 * quote the client.
 * https://platform.claude.com/docs/en/api/errors
 */
import type { UpstreamError, UpstreamFailure } from "../adapter.ts";
import { classifyError } from "../classify.ts";

type Kind = UpstreamFailure["class"];

const CODES: Readonly<Record<string, Kind>> = {
  billing_error: "auth",
  request_too_large: "invalid_request",
  conflict_error: "server_error",
  // The reader's word for a turn that the provider paused.
  pause_turn: "invalid_response",
};

const WORDS: readonly (readonly [RegExp, Kind])[] = [
  [/^input length and `?max_tokens`? exceed context limit\b/i, "context_length"],
  [/^(?:the )?(?:prompt|input|request) is too long\b/i, "context_length"],
  [/^Output blocked by content filtering policy\b/i, "content_filter"],
  // Our account, not the client's request: credit, spending limits, a disabled organization.
  [/^Your credit balance is too low\b/i, "auth"],
  [/^You have reached your specified (?:\w+ )?usage limits\b/i, "auth"],
  [/^This organization has been disabled\b/i, "auth"],
  // What only this provider or this model refuses. Another target may take it, so a quotation does no harm here.
  [
    /^The compiled grammar is too large\b|^Schema is too complex\b|\btoo many (?:strict tools|optional parameters)\b/i,
    "capability",
  ],
  [/\b(?:is|are) (?:not supported|deprecated|not compatible|incompatible|not available)\b/i, "capability"],
  [/\b(?:does|do) not (?:support|allow|accept)\b|\bnot supported (?:for|on|by|with) th(?:is|e) model\b/i, "capability"],
  [/\bfor the `anthropic-beta` header\b|\bblocks with cache_control\b/i, "capability"],
  [/\bExtra inputs are not permitted\b|\bInput tag '[^']{0,100}' found using\b/i, "capability"],
  [/^[\w.[\]-]{1,200}: (?:String should match pattern|Input should be)\b/i, "capability"],
  [/^max_tokens: \d+ > \d+\b/i, "capability"],
  [/^metadata\.user_id: /i, "capability"],
  // Thinking that cannot come back: another provider is not shown it.
  [/\bbound to a different conversation\b|\bInvalid `?signature`? in `?thinking`? block\b/i, "capability"],
  [/\bblocks? in the latest assistant message cannot be modified\b/i, "capability"],
  // Limits on pictures and documents differ.
  [/\bimage exceeds\b|\bimage dimensions exceed\b|^Could not process (?:image|PDF|document)\b/i, "capability"],
  [/\bPDF pages\b|\bPDF (?:specified|file|document)\b/i, "capability"],
];

/** Why a call of the Messages API failed. `codes` are those of the provider, where it is not Anthropic. */
export function classifyMessages(error: UpstreamError, codes: Readonly<Record<string, Kind>> = {}): UpstreamFailure {
  const failure = classifyError(error, Date.now(), { ...CODES, ...codes });
  if (failure.class !== "invalid_request") return failure;
  const kind = WORDS.find(([words]) => words.test(failure.message ?? ""))?.[1];
  if (kind === undefined) return failure;
  // What is wrong with our account is not the client's to read.
  return kind === "auth" ? { class: kind, tryNext: true, trySame: false } : { ...failure, class: kind, tryNext: true };
}
