/** The amounts that the rules of pricing were agreed on, from the provider's own usage object to nano-USD. */
import { expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { costOf } from "../../../src/pricing/price.ts";
import { readConditions } from "../../../src/pricing/surcharge-rules.ts";
import { readUsage } from "../../../src/pricing/usage.ts";
import { type Json, streamUsage, wholeUsage } from "./vendor-answers.ts";

interface Example {
  readonly name: string;
  /** `provider/model`. */
  readonly model: string;
  readonly usage: Json;
  readonly more?: Json;
  /** Default: a Sunday without a peak. */
  readonly at?: string;
  readonly baseUrl?: string;
  readonly nano: number;
}

const openAi = (prompt: number, completion: number, more: Json = {}): Json => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  ...more,
});
const anthropic = (input: number, output: number, more: Json = {}): Json => ({
  input_tokens: input,
  output_tokens: output,
  ...more,
});

const EXAMPLES: readonly Example[] = [
  {
    name: "1 caches read and written inside the prompt, reasoning inside the completion",
    model: "openai/gpt-6-sol",
    usage: openAi(12_000, 900, {
      prompt_tokens_details: { cached_tokens: 8_000, cache_write_tokens: 1_024 },
      completion_tokens_details: { reasoning_tokens: 512 },
    }),
    nano: 19_112_000,
  },
  {
    name: "2 at the edge of a length tier",
    model: "openai/gpt-5.6-sol",
    usage: openAi(272_000, 3_000),
    nano: 1_148_000_000,
  },
  { name: "2 one token beyond it", model: "openai/gpt-5.6-sol", usage: openAi(272_001, 3_000), nano: 2_266_008_000 },
  {
    name: "3 cache writes of both lifetimes, beside the input",
    model: "anthropic/claude-opus-5-5",
    usage: anthropic(500, 1_200, {
      cache_read_input_tokens: 90_000,
      cache_creation_input_tokens: 4_000,
      cache_creation: { ephemeral_5m_input_tokens: 2_920, ephemeral_1h_input_tokens: 1_080 },
    }),
    nano: 67_240_000,
  },
  {
    name: "4 caches count towards a tier: at its edge",
    model: "anthropic/claude-haiku-5-5",
    usage: anthropic(98_500, 1_600, {
      cache_read_input_tokens: 1_000,
      cache_creation_input_tokens: 500,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 500 },
    }),
    nano: 10_760_000,
  },
  {
    name: "4 caches count towards a tier: one token beyond it",
    model: "anthropic/claude-haiku-5-5",
    usage: anthropic(98_501, 1_600, {
      cache_read_input_tokens: 1_000,
      cache_creation_input_tokens: 500,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 500 },
    }),
    nano: 53_800_500,
  },
  {
    name: "5 thoughts outside the candidates, a cache inside the prompt, a tier",
    model: "google/gemini-2.5-pro",
    usage: {
      promptTokenCount: 210_000,
      cachedContentTokenCount: 150_000,
      candidatesTokenCount: 800,
      thoughtsTokenCount: 1_200,
    },
    nano: 217_500_000,
  },
  {
    name: "6 audio in",
    model: "google/gemini-2.5-flash",
    usage: {
      promptTokenCount: 2_000,
      promptTokensDetails: [
        { modality: "TEXT", tokenCount: 1_000 },
        { modality: "AUDIO", tokenCount: 1_000 },
      ],
      candidatesTokenCount: 1_500,
      thoughtsTokenCount: 700,
    },
    nano: 6_800_000,
  },
  {
    name: "7 reasoning outside the completion, below a tier that begins at a round number",
    model: "xai/grok-4.7",
    usage: openAi(199_999, 300, { completion_tokens_details: { reasoning_tokens: 783 } }),
    nano: 406_496_000,
  },
  {
    name: "7 at that number",
    model: "xai/grok-4.7",
    usage: openAi(200_000, 300, { completion_tokens_details: { reasoning_tokens: 783 } }),
    nano: 812_996_000,
  },
  {
    name: "8 Sunday, 02:00 UTC",
    model: "deepseek/deepseek-flash",
    usage: openAi(10_000, 1_280, { prompt_cache_hit_tokens: 4_000, prompt_cache_miss_tokens: 6_000 }),
    at: "2026-11-22T02:00:00Z",
    nano: 1_680_000,
  },
  {
    name: "8 Monday, 02:00 UTC",
    model: "deepseek/deepseek-flash",
    usage: openAi(10_000, 1_280, { prompt_cache_hit_tokens: 4_000, prompt_cache_miss_tokens: 6_000 }),
    at: "2026-11-23T02:00:00Z",
    nano: 3_360_000,
  },
  {
    name: "9 a fee per request by the size of its search",
    model: "perplexity/sonar-pro",
    usage: openAi(500, 500, { search_context_size: "high" }),
    nano: 23_000_000,
  },
  {
    name: "10 the batch tier",
    model: "anthropic/claude-sonnet-5-5",
    usage: anthropic(10_000, 4_250, { service_tier: "batch" }),
    nano: 31_250_000,
  },
  {
    name: "11 a region and fees per call, which it does not multiply",
    model: "openai/gpt-6.2-astra",
    usage: openAi(1_000, 581, { server_tool_use: { web_search_requests: 3 } }),
    baseUrl: "https://eu.api.openai.com/v1",
    nano: 64_364_000,
  },
  {
    name: "12 the day before a price was cut",
    model: "anthropic/claude-sonnet-5-5",
    usage: anthropic(0, 0, { cache_read_input_tokens: 100_000 }),
    at: "2026-10-06T23:59:59.999Z",
    nano: 20_000_000,
  },
  {
    name: "12 the day it was cut",
    model: "anthropic/claude-sonnet-5-5",
    usage: anthropic(0, 0, { cache_read_input_tokens: 100_000 }),
    at: "2026-10-07T00:00:00Z",
    nano: 10_000_000,
  },
  {
    name: "13 the day before a price rises",
    model: "google/gemini-3.8-flash",
    usage: { promptTokenCount: 1_000, candidatesTokenCount: 0 },
    at: "2026-12-31T23:59:59.999Z",
    nano: 750_000,
  },
  {
    name: "13 the day it rises",
    model: "google/gemini-3.8-flash",
    usage: { promptTokenCount: 1_000, candidatesTokenCount: 0 },
    at: "2027-01-01T00:00:00Z",
    nano: 1_500_000,
  },
  {
    name: "14 caches beside the input, and a regional profile with a price of its own",
    model: "bedrock/us.anthropic.claude-opus-4-8",
    usage: { inputTokens: 1_000, cacheReadInputTokens: 5_000, outputTokens: 200 },
    nano: 13_750_000,
  },
  {
    name: "15 a cache the client asked for",
    model: "alibaba/qwen3.7-plus",
    usage: openAi(5_000, 400, {
      prompt_tokens_details: { cached_tokens: 2_000, cache_creation_input_tokens: 1_000, cache_type: "ephemeral" },
    }),
    nano: 2_020_000,
  },
  {
    name: "15 all output of a model that thought",
    model: "alibaba/qwen-plus",
    usage: openAi(1_000, 1_000, { completion_tokens_details: { reasoning_tokens: 700 } }),
    nano: 4_400_000,
  },
  {
    name: "15 the same model when it did not think",
    model: "alibaba/qwen-plus",
    usage: openAi(1_000, 1_000),
    nano: 1_600_000,
  },
  {
    name: "16 one token",
    model: "bedrock/amazon.nova-micro-v1:0",
    usage: { inputTokens: 1, outputTokens: 0 },
    nano: 35,
  },
  {
    name: "16 one token at half a nano-USD more",
    model: "cohere/command-r7b-arabic-02-2025",
    usage: { billed_units: { input_tokens: 1, output_tokens: 0 } },
    nano: 38,
  },
];

test.each(EXAMPLES)("example $name ($model)", ({ model: name, usage, more, at, baseUrl = "", nano }) => {
  const slash = name.indexOf("/");
  const [provider, model] = [name.slice(0, slash), name.slice(slash + 1)];
  const price = findModel(provider, model)?.price;
  const startedAt = Date.parse(at ?? "2026-11-22T12:00:00Z");
  for (const read of [wholeUsage, streamUsage]) {
    const raw = read(provider, model, { usage, ...(more === undefined ? {} : { more }) });
    const known = readUsage(raw, provider);
    expect(known).not.toBeNull();
    const cost = costOf(known!, price, readConditions(raw, { provider, startedAt, baseUrl }));
    expect(cost).toMatchObject({ nanoUsd: nano, isReported: false, checkNanoUsd: null });
  }
});
