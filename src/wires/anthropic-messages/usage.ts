/**
 * The provider's `usage` and the core's counts, both ways.
 *
 * The provider counts caches outside the input, the core inside it. All figures of a stream are cumulative.
 * https://platform.claude.com/docs/en/api/messages, …/build-with-claude/prompt-caching#tracking-cache-performance
 */
import type { Json } from "../../conversation/part.ts";
import { type TokenCounts, tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import { toChatUsage } from "../openai-chat/usage.ts";

/** What one attempt, or the whole request, read and wrote. */
interface Tally {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly cacheWrite: number;
  readonly cacheWriteHour: number;
}

/**
 * Calls of models that the provider made for one answer: an attempt that was declined, the fallback that answered, a
 * summary of the conversation. `iterations` lists what is billed; the totals tell of the last attempt only. An advisor's
 * calls are billed at its own price, so they are in no sum.
 * https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback (billing), …/compaction
 */
const SUMMED: ReadonlySet<unknown> = new Set(["message", "fallback_message", "compaction"]);

/** `null` where there are no figures. */
export function readCounts(usage: Json): TokenCounts | null {
  const total = tallyOf(usage);
  if (total === null) return null;
  const iterations = Array.isArray(usage["iterations"]) ? usage["iterations"] : [];
  const billed = iterations.flatMap((each): Tally[] => {
    const tally = isJsonObject(each) && SUMMED.has(each["type"]) ? tallyOf(each) : null;
    return tally === null ? [] : [tally];
  });
  // Never less than either says.
  const most = (name: keyof Tally): number =>
    Math.max(
      total[name],
      billed.reduce((sum, each) => sum + each[name], 0),
    );
  const details = isJsonObject(usage["output_tokens_details"]) ? usage["output_tokens_details"] : {};
  const [cached, cacheWrite, hour] = [most("cached"), most("cacheWrite"), most("cacheWriteHour")];
  return {
    prompt: most("input") + cached + cacheWrite,
    completion: most("output"),
    cached,
    cacheWrite,
    reasoning: tokenCount(details["thinking_tokens"]),
    ...(hour > 0 ? { cacheWriteHour: hour } : {}),
  };
}

function tallyOf(usage: Json): Tally | null {
  const input = tokenCount(usage["input_tokens"]);
  const output = tokenCount(usage["output_tokens"]);
  if (input === undefined && output === undefined) return null;
  const lifetimes = isJsonObject(usage["cache_creation"]) ? usage["cache_creation"] : {};
  const summed = Object.values(lifetimes).reduce<number>((sum, each) => sum + (tokenCount(each) ?? 0), 0);
  return {
    input: input ?? 0,
    output: output ?? 0,
    cached: tokenCount(usage["cache_read_input_tokens"]) ?? 0,
    cacheWrite: tokenCount(usage["cache_creation_input_tokens"]) ?? summed,
    cacheWriteHour: tokenCount(lifetimes["ephemeral_1h_input_tokens"]) ?? 0,
  };
}

/** What usage says beyond token counts, under the provider's names: a price may need it. */
const EXTRAS = ["cache_creation", "server_tool_use", "inference_geo", "iterations", "speed"] as const;

/** What a stream has told of its usage by now: the newest of each figure. */
export function withLater(usage: Json, later: unknown): Json {
  const merged: Record<string, unknown> = { ...usage };
  for (const [name, value] of Object.entries(isJsonObject(later) ? later : {})) {
    // No prompt is empty: some gateways write a 0 where the provider leaves the figure out of the last event.
    const isFiller = name === "input_tokens" && value === 0 && merged[name] !== undefined;
    if (value !== null && value !== undefined && !isFiller) merged[name] = value;
  }
  return merged;
}

/** The usage that the bill is made from, in chat's shape. */
export function rawUsageOf(counts: TokenCounts, usage: Json): Json {
  const extras = EXTRAS.filter((name) => usage[name] !== undefined && usage[name] !== null);
  const own = toChatUsage(counts, Object.fromEntries(extras.map((name) => [name, usage[name]])));
  const { iterations } = usage;
  return Array.isArray(iterations) ? { ...own, iterations: iterations.map(inChatToo) } : own;
}

/** What one call of a model used, in both conventions: it may have a price of its own. */
function inChatToo(iteration: unknown): unknown {
  const counts = isJsonObject(iteration) ? readCounts(iteration) : null;
  return isJsonObject(iteration) && counts !== null ? { ...iteration, ...rawUsageOf(counts, iteration) } : iteration;
}

/** OpenAI's name of the tier that served; the provider says it in its usage. */
export function tierOf(usage: Json): Json {
  const tier = usage["service_tier"];
  return typeof tier === "string" ? { service_tier: tier === "standard" ? "default" : tier } : {};
}

/** Counts in the provider's convention, for clients that speak its wire. */
export function writeUsage(counts: TokenCounts | null): Json {
  if (counts === null) return { input_tokens: 0, output_tokens: 0 };
  const { prompt, completion, cached = 0, cacheWrite = 0, reasoning = 0, cacheWriteHour = 0, webSearches = 0 } = counts;
  const lifetimes = {
    ephemeral_5m_input_tokens: Math.max(0, cacheWrite - cacheWriteHour),
    ephemeral_1h_input_tokens: cacheWriteHour,
  };
  return {
    input_tokens: Math.max(0, prompt - cached - cacheWrite),
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: cached,
    ...(cacheWrite > 0 ? { cache_creation: lifetimes } : {}),
    output_tokens: completion,
    ...(reasoning > 0 ? { output_tokens_details: { thinking_tokens: reasoning } } : {}),
    ...(webSearches > 0 ? { server_tool_use: { web_search_requests: webSearches } } : {}),
  };
}
