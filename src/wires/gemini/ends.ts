/**
 * How a candidate ended, by Google's word.
 *
 * An allow-list: an end that does not stand here is a broken one, whatever came before it. Google says of the tool call
 * behind `UNEXPECTED_TOOL_CALL` or `MALFORMED_FUNCTION_CALL` that it is invalid, so that neither the call nor the text
 * in front of it may pass for a finished answer.
 * https://ai.google.dev/api/generate-content#FinishReason
 */
import type { FinishReason } from "../../conversation/answer.ts";

const GOOD: Readonly<Record<string, FinishReason>> = {
  STOP: "stop",
  MAX_TOKENS: "length",
  SAFETY: "content_filter",
  RECITATION: "content_filter",
  BLOCKLIST: "content_filter",
  PROHIBITED_CONTENT: "content_filter",
  SPII: "content_filter",
  IMAGE_SAFETY: "content_filter",
  IMAGE_PROHIBITED_CONTENT: "content_filter",
  IMAGE_RECITATION: "content_filter",
  IMAGE_OTHER: "content_filter",
  // Google withholds the rest of the answer and does not say more.
  LANGUAGE: "content_filter",
  OTHER: "content_filter",
  // What Vertex AI and its gateways add.
  MODEL_ARMOR: "content_filter",
  ESCALATION: "content_filter",
  CONTENT_FILTER: "content_filter",
};

/** The reasons that Google's own error codes know, so that `classify` reads the same word. */
const BROKEN: ReadonlySet<string> = new Set([
  ...["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"],
  ...["MISSING_THOUGHT_SIGNATURE", "NO_IMAGE"],
]);

/** The word of a candidate's `finishReason`; `undefined` where it says nothing. */
export function finishWord(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value !== "FINISH_REASON_UNSPECIFIED" ? value : undefined;
}

/** `null`: the answer broke off. */
export function goodEnd(word: string): FinishReason | null {
  return Object.hasOwn(GOOD, word) ? (GOOD[word] ?? null) : null;
}

/** The stream's error for a broken end, in the shape of Google's own. */
export function brokenEndError(word: string): Readonly<Record<string, unknown>> {
  const status = BROKEN.has(word) ? word : "MALFORMED_RESPONSE";
  const isCall = /CALL/.test(status);
  const message = isCall ? "The model produced a malformed function call." : "The model did not finish its answer.";
  return { error: { message, status, code: status } };
}
