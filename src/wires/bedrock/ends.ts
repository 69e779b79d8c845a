/** How a Converse answer ended, its usage and its extras: what whole answers and streams share. */
import type { FinishReason } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { type TokenCounts, tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import { toChatUsage } from "../openai-chat/usage.ts";
import type { AnswerContext } from "../wire.ts";

/**
 * The good ends. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, `stopReason`. Not
 * among them: `malformed_model_output` and `malformed_tool_use`, which Converse calls broken itself, and `pause_turn`,
 * behind which the model would have gone on.
 */
const FINISH: ReadonlyMap<unknown, FinishReason> = new Map<unknown, FinishReason>([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool_calls"],
  ["guardrail_intervened", "content_filter"],
  ["content_filtered", "content_filter"],
  ["refusal", "content_filter"],
]);

/** `undefined` for an end that is none: the answer may lack anything. Some models say `end_turn` after a call. */
export function finishReasonOf(stopReason: unknown, callCount: number): FinishReason | undefined {
  const reason = FINISH.get(stopReason);
  if (reason !== "tool_calls" && reason !== "stop") return reason;
  return callCount > 0 ? "tool_calls" : "stop";
}

/** Cache reads and writes are counted outside the input here, and inside it at OpenAI. */
export function tokenCountsOf(usage: unknown): TokenCounts | null {
  if (!isJsonObject(usage)) return null;
  const input = tokenCount(usage["inputTokens"]);
  const completion = tokenCount(usage["outputTokens"]);
  if (input === undefined && completion === undefined) return null;
  const cached = tokenCount(usage["cacheReadInputTokens"]);
  const cacheWrite = tokenCount(usage["cacheWriteInputTokens"]);
  return {
    prompt: (input ?? 0) + (cached ?? 0) + (cacheWrite ?? 0),
    completion: completion ?? 0,
    cached,
    cacheWrite,
    cacheWriteHour: hourWritesIn(usage["cacheDetails"]),
  };
}

/** Newer models say how long each part of the writes is kept. */
function hourWritesIn(details: unknown): number {
  const ofHour = (Array.isArray(details) ? details : []).filter((each) => isJsonObject(each) && each["ttl"] === "1h");
  return ofHour.reduce<number>((sum, each) => sum + (tokenCount(each["inputTokens"]) ?? 0), 0);
}

/** The tier that served the request decides its price. */
export function chatUsageOf(counts: TokenCounts, extras: Json): Json {
  const tier = extras["service_tier"];
  return toChatUsage(counts, tier === undefined ? {} : { service_tier: tier });
}

/** The model a prompt router chose: an ARN, whose last segment is the model. */
export function servedModelOf(trace: unknown): string | undefined {
  const router = isJsonObject(trace) ? trace["promptRouter"] : undefined;
  const invoked = isJsonObject(router) ? router["invokedModelId"] : undefined;
  return typeof invoked === "string" && invoked !== "" ? invoked.slice(invoked.lastIndexOf("/") + 1) : undefined;
}

/** Top-level extras of an answer. `metrics` say nothing that the router does not measure. */
export function extrasOf(body: Json): Json {
  const tier = isJsonObject(body["serviceTier"]) ? body["serviceTier"]["type"] : undefined;
  const names = ["trace", "additionalModelResponseFields", "performanceConfig"].filter((name) =>
    isJsonObject(body[name]),
  );
  return {
    ...(typeof tier === "string" ? { service_tier: tier } : {}),
    ...(names.length === 0 ? {} : { bedrock: Object.fromEntries(names.map((name) => [name, body[name]])) }),
  };
}

/** The client asked for at most one call, which Converse has no member for. */
export function allowsOneCall({ conversation }: AnswerContext): boolean {
  return conversation?.controls.parallelToolCalls === false;
}
