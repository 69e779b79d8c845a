/** How a Cohere answer ended, its usage and its log probabilities: what whole answers and streams share. */
import type { FinishReason } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { type TokenCounts, tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { AnswerContext } from "../wire.ts";

/** The good ends. https://docs.cohere.com/reference/chat, `finish_reason`; `ERROR_LIMIT` is version 1's. */
const FINISH: Readonly<Record<string, FinishReason>> = {
  COMPLETE: "stop",
  STOP_SEQUENCE: "stop",
  MAX_TOKENS: "length",
  TOOL_CALL: "tool_calls",
  ERROR_TOXIC: "content_filter",
  ERROR_LIMIT: "length",
};
/** Ends that are no answer, with a code that `classifyError` knows. */
const BROKEN: Readonly<Record<string, string>> = {
  ERROR: "server_error",
  TIMEOUT: "timeout_error",
  USER_CANCEL: "server_error",
};

export type End =
  | { readonly kind: "finish"; readonly reason: FinishReason; readonly native: string }
  /** Cohere's own error, for `classify`. */
  | { readonly kind: "error"; readonly error: Json }
  /** No end that is known: the answer may lack anything. */
  | { readonly kind: "unknown" };

/** `message`: Cohere's `error`. `hasCalls`: the model called a tool. */
export function endOf(reason: unknown, message: unknown, hasCalls: boolean): End {
  const name = typeof reason === "string" ? reason.toUpperCase() : "";
  const words = typeof message === "string" ? message : "";
  if (words !== "" || Object.hasOwn(BROKEN, name)) {
    const text = words === "" ? `The generation ended with ${name}.` : words;
    return {
      kind: "error",
      error: { message: text, code: Object.hasOwn(BROKEN, name) ? BROKEN[name] : "server_error" },
    };
  }
  const finish = Object.hasOwn(FINISH, name) ? FINISH[name] : undefined;
  if (finish === undefined) return { kind: "unknown" };
  const isPlain = finish === "stop" || finish === "tool_calls";
  return { kind: "finish", native: name, reason: isPlain ? (hasCalls ? "tool_calls" : "stop") : finish };
}

export function callId(id: unknown, { traceId }: AnswerContext, index: number): string {
  return typeof id === "string" && id !== "" ? id : `call_${traceId}_${index}`;
}

/** The client asked for at most one call, which Cohere has no member for. */
export function allowsOneCall({ conversation }: AnswerContext): boolean {
  return conversation?.controls.parallelToolCalls === false;
}

/**
 * Cohere's usage in OpenAI's convention, or `null` where it counted nothing. `tokens` is what the model read and wrote,
 * its hidden prompt included: only there does `cached_tokens` fit in. What Cohere bills is less, and is kept in
 * addition.
 */
export function countsOf(usage: unknown): TokenCounts | null {
  if (!isJsonObject(usage)) return null;
  const tokens = isJsonObject(usage["tokens"]) ? usage["tokens"] : {};
  const billed = isJsonObject(usage["billed_units"]) ? usage["billed_units"] : {};
  const prompt = tokenCount(tokens["input_tokens"]) ?? tokenCount(billed["input_tokens"]);
  const completion = tokenCount(tokens["output_tokens"]) ?? tokenCount(billed["output_tokens"]);
  if (prompt === undefined && completion === undefined) return null;
  return { prompt: prompt ?? 0, completion: completion ?? 0, cached: tokenCount(usage["cached_tokens"]) };
}

/** What Cohere bills, for the price. */
export function billedOf(usage: unknown): Json {
  const billed = isJsonObject(usage) ? usage["billed_units"] : undefined;
  if (!isJsonObject(billed)) return {};
  return { billed_units: Object.fromEntries(Object.entries(billed).filter(([, count]) => typeof count === "number")) };
}

/**
 * Cohere gives a text and the log probabilities of the tokens in it. Where these are several, their sum is the log
 * probability of the text, so the text counts as one token.
 */
export function toLogprobs(logprobs: unknown): Json | undefined {
  const content = (Array.isArray(logprobs) ? logprobs : [logprobs]).flatMap((each) => {
    if (!isJsonObject(each) || !Array.isArray(each["logprobs"])) return [];
    const values = each["logprobs"].filter((value) => typeof value === "number");
    const token = typeof each["text"] === "string" ? each["text"] : "";
    const bytes = [...new TextEncoder().encode(token)];
    return [{ token, logprob: values.reduce((sum, value) => sum + value, 0), bytes, top_logprobs: [] }];
  });
  return content.length === 0 ? undefined : { content, refusal: null };
}
