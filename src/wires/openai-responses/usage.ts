/** `usage` of a response as counts, and in chat's shape with what else the provider says of its price. */
import type { Json } from "../../conversation/part.ts";
import { type TokenCounts, tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import { toChatUsage } from "../openai-chat/usage.ts";
import { objectsOf } from "./items.ts";

/** Members that have counts of their own in chat's shape. */
const COUNTED: ReadonlySet<string> = new Set([
  ...["input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens"],
]);

/** For the price: in chat's own answers some count the two apart, xAI does. Both add up to `total_tokens` here. */
const REASONING_INCLUDED = Object.freeze({ reasoning_included: true });

export interface ReadUsage {
  readonly counts: TokenCounts;
  readonly raw: Json;
}

/** `response`: the whole object. `null` where it has no totals. */
export function readUsage(response: Json): ReadUsage | null {
  const { usage, output, tool_usage } = response;
  if (!isJsonObject(usage)) return null;
  const prompt = tokenCount(usage["input_tokens"]);
  const completion = tokenCount(usage["output_tokens"]);
  if (prompt === undefined || completion === undefined) return null;
  const input = objectOf(usage["input_tokens_details"]);
  const result = objectOf(usage["output_tokens_details"]);
  const searches = tokenCount(objectOf(objectOf(tool_usage)["web_search"])["num_requests"]) ?? searchesIn(output);
  const files = itemsOf(output, "file_search_call").length;
  const counts: TokenCounts = {
    prompt,
    completion,
    cached: tokenCount(input["cached_tokens"]),
    cacheWrite: tokenCount(input["cache_write_tokens"]),
    reasoning: tokenCount(result["reasoning_tokens"]),
    audioInput: tokenCount(input["audio_tokens"]),
    audioOutput: tokenCount(result["audio_tokens"]),
    ...(searches > 0 ? { webSearches: searches } : {}),
  };
  const others = Object.fromEntries(Object.entries(usage).filter(([name]) => !COUNTED.has(name)));
  const calls = { ...(searches > 0 ? { web_search_requests: searches } : {}), file_search_requests: files };
  const extras = { ...(files > 0 ? { server_tool_use: calls } : {}), ...(counts.reasoning ? REASONING_INCLUDED : {}) };
  return { counts, raw: toChatUsage(counts, { ...others, ...extras }) };
}

/** Opening a page that was found costs nothing. https://developers.openai.com/api/docs/pricing */
function searchesIn(output: unknown): number {
  return itemsOf(output, "web_search_call").filter(({ action }) => {
    const type = objectOf(action)["type"];
    return type === undefined || type === "search";
  }).length;
}

function itemsOf(output: unknown, type: string): Json[] {
  return objectsOf(output).filter((item) => item["type"] === type);
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : {};
}

/** Counts in this wire's format. */
export function writeUsage({ prompt, completion, cached, cacheWrite, reasoning }: TokenCounts): Json {
  return {
    input_tokens: prompt,
    input_tokens_details: {
      cached_tokens: cached ?? 0,
      ...(cacheWrite === undefined ? {} : { cache_write_tokens: cacheWrite }),
    },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: reasoning ?? 0 },
    total_tokens: prompt + completion,
  };
}
