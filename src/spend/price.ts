/**
 * Token usage to money.
 *
 * Pure. Money is whole nano-USD, prices are whole pico-USD per token, and the only rounding is one ceil at the very
 * end, so a cost is never short and at most one nano-USD long. Counts that make no sense have no cost: `null` says
 * unknown, where a guess would look like a bill.
 */
import type { Price } from "../catalog/facts.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Usage } from "../openai.ts";

const PICO_PER_NANO = 1000n;
/** Larger counts are faults of the vendor: the widest window on the market is 10 million tokens. */
const MAX_TOKENS = 100_000_000;
/** Bytes of request text per prompt token: a rule of thumb for English text and JSON. */
const BYTES_PER_TOKEN = 4;

/** Cost of one attempt in nano-USD, rounded up; `null` when the price is unknown or the counts contradict themselves. */
export function costNanoUsd(usage: Usage, price: Price | undefined): number | null {
  if (price === undefined) return null;
  const { promptTokens, completionTokens, cachedTokens, cacheWriteTokens } = usage;
  const plainTokens = promptTokens - cachedTokens - cacheWriteTokens;
  for (const count of [promptTokens, completionTokens, cachedTokens, cacheWriteTokens, plainTokens]) {
    if (!Number.isSafeInteger(count) || count < 0) return null;
  }
  // A tier replaces the rates of the whole request, output included; of those that are reached the highest counts.
  const rates = price.tiers?.findLast(({ above }) => promptTokens > above) ?? price;
  const pico =
    BigInt(plainTokens) * BigInt(rates.input) +
    BigInt(cachedTokens) * BigInt(rates.cache_read ?? rates.input) +
    BigInt(cacheWriteTokens) * BigInt(rates.cache_write ?? rates.input) +
    BigInt(completionTokens) * BigInt(rates.output);
  const nano = Number((pico + PICO_PER_NANO - 1n) / PICO_PER_NANO);
  return nano >= 0 && Number.isSafeInteger(nano) ? nano : null;
}

/**
 * A vendor's `usage` object in OpenAI's convention, where caches and reasoning are inside their totals; `null` when it
 * holds no usable totals, so that the caller counts for itself.
 *
 * A total that is negative, fractional, a text or absurdly large makes the whole object worthless. A faulty detail
 * only loses itself: tokens not known to be cached cost as plain input, which errs against nobody's budget.
 */
export function readUsage(raw: unknown, provider = ""): Usage | null {
  if (!isJsonObject(raw)) return null;
  const reportedPrompt = count(raw["prompt_tokens"]);
  const reportedCompletion = count(raw["completion_tokens"]) ?? completionFromTotal(raw);
  if (reportedPrompt === undefined || reportedCompletion === undefined) return null;
  const cached = readCached(raw);
  const reasoning =
    count(details(raw, "completion_tokens_details")["reasoning_tokens"]) ?? count(raw["reasoning_tokens"]) ?? 0;

  // xAI has been seen to report more cached tokens than prompt tokens: then the cached ones are not among them.
  const cachedOutside = provider === "xai" && cached > reportedPrompt;
  const promptTokens = cachedOutside ? reportedPrompt + cached : reportedPrompt;
  const cachedTokens = Math.min(cached, promptTokens);
  const reasoningOutside = excludesReasoning(provider, reasoning, reportedCompletion);
  const completionTokens = reasoningOutside ? reportedCompletion + reasoning : reportedCompletion;
  return {
    promptTokens,
    completionTokens,
    cachedTokens,
    cacheWriteTokens: Math.min(readCacheWrites(raw), promptTokens - cachedTokens),
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}

/** An estimate for an answer without usage: a token per four bytes asked and per content event answered. */
export function countUsage(promptBytes: number, completionEvents: number): Usage {
  return {
    promptTokens: Math.ceil(Math.max(0, promptBytes) / BYTES_PER_TOKEN),
    completionTokens: Math.max(0, completionEvents),
    cachedTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
  };
}

/** A believable token count, or `undefined`. */
function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TOKENS ? value : undefined;
}

function details(raw: Record<string, unknown>, member: string): Record<string, unknown> {
  const value = raw[member];
  return isJsonObject(value) ? value : {};
}

/** Some vendors leave `completion_tokens` out where nothing was generated, and still send the sum. */
function completionFromTotal(raw: Record<string, unknown>): number | undefined {
  const prompt = count(raw["prompt_tokens"]);
  const total = count(raw["total_tokens"]);
  // A value that is there and wrong is not the same as an absent one.
  if (raw["completion_tokens"] !== undefined || prompt === undefined || total === undefined) return undefined;
  return count(total - prompt);
}

function readCached(raw: Record<string, unknown>): number {
  return (
    count(details(raw, "prompt_tokens_details")["cached_tokens"]) ??
    // Mistral's own spelling, besides the misspelt details object it has also sent.
    count(raw["num_cached_tokens"]) ??
    count(details(raw, "prompt_token_details")["cached_tokens"]) ??
    // DeepSeek.
    count(raw["prompt_cache_hit_tokens"]) ??
    // Moonshot.
    count(raw["cached_tokens"]) ??
    0
  );
}

function readCacheWrites(raw: Record<string, unknown>): number {
  const prompt = details(raw, "prompt_tokens_details");
  // The second spelling is Alibaba's.
  return count(prompt["cache_write_tokens"]) ?? count(prompt["cache_creation_input_tokens"]) ?? 0;
}

/** True where `completion_tokens` does not hold the reasoning tokens, which bill as output all the same. */
function excludesReasoning(provider: string, reasoning: number, completion: number): boolean {
  // docs.x.ai: on Chat Completions the two are disjoint.
  if (provider === "xai") return true;
  // DeepInfra's Gemini and Gemma models show it only by the impossible sum.
  return provider === "deepinfra" && reasoning > completion;
}
