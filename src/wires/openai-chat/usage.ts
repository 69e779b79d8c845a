/** Token counts as a `usage` object of chat completions. */
import type { Json } from "../../conversation/part.ts";
import type { TokenCounts } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";

/**
 * Figures that OpenAI has no member for are added to its own, and only where there are any. `extras`: what the provider
 * says beyond counts, under its own names; the price may need it.
 */
export function toChatUsage(counts: TokenCounts, extras: Json = {}): Json {
  const { prompt, completion, cached, cacheWrite, reasoning, cacheWriteHour, audioInput, cachedAudio } = counts;
  const { audioOutput, webSearches, groundedPrompts } = counts;
  const calls = { ...some("web_search_requests", webSearches), ...some("grounded_prompts", groundedPrompts) };
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: cached ?? 0,
      ...(cacheWrite === undefined ? {} : { cache_write_tokens: cacheWrite }),
      ...some("cache_write_1h_tokens", cacheWriteHour),
      ...some("audio_tokens", audioInput),
      ...some("cached_audio_tokens", cachedAudio),
    },
    completion_tokens_details: { reasoning_tokens: reasoning ?? 0, ...some("audio_tokens", audioOutput) },
    ...(Object.keys(calls).length === 0 ? {} : { server_tool_use: calls }),
    ...extras,
  };
}

function some(name: string, count: number | undefined): Json {
  return count === undefined || count === 0 ? {} : { [name]: count };
}

/** The counts of a chat `usage` object; `null` where it has none that can be read. */
export function readChatUsage(raw: unknown): TokenCounts | null {
  if (!isJsonObject(raw)) return null;
  const prompt = tokens(raw["prompt_tokens"]);
  const completion = tokens(raw["completion_tokens"]);
  if (prompt === undefined && completion === undefined) return null;
  const inside = isJsonObject(raw["prompt_tokens_details"]) ? raw["prompt_tokens_details"] : {};
  const made = isJsonObject(raw["completion_tokens_details"]) ? raw["completion_tokens_details"] : {};
  return {
    prompt: prompt ?? 0,
    completion: completion ?? 0,
    cached: tokens(inside["cached_tokens"]) ?? tokens(raw["prompt_cache_hit_tokens"]),
    cacheWrite: tokens(inside["cache_write_tokens"]),
    reasoning: tokens(made["reasoning_tokens"]),
  };
}

function tokens(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}
