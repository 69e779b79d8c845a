/**
 * What each provider's own usage object costs. The amounts are sums of `tokens * rate`, with rates in nano-USD per
 * token as on the provider's price list in USD per billion.
 */
import { expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { costOf } from "../../../src/pricing/price.ts";
import { readConditions } from "../../../src/pricing/surcharge-rules.ts";
import { readUsage } from "../../../src/pricing/usage.ts";
import { type Json, streamUsage, wholeUsage } from "./vendor-answers.ts";

/** A name, the usage, the amount in nano-USD, and further members of the answer. */
type Row = readonly [string, Json, number | null, Json?];

const details = (of: Json): Json => ({ prompt_tokens_details: of });
const thoughts = (count: number): Json => ({ completion_tokens_details: { reasoning_tokens: count } });
const chat = (prompt: number, completion: number, ...more: readonly Json[]): Json =>
  Object.assign({ prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }, ...more);
const audio = (count: number): Json => ({ modality: "AUDIO", tokenCount: count });
const tier = (name: string): Json => ({ service_tier: name });

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  "openai/gpt-6.1-sol": [
    ["plain", chat(1_000, 100), 1_000 * 2_000 + 100 * 10_000],
    ["cache read", chat(1_000, 100, details({ cached_tokens: 600 })), 400 * 2_000 + 600 * 100 + 100 * 10_000],
    ["cache write", chat(1_000, 0, details({ cache_write_tokens: 600 })), 400 * 2_000 + 600 * 2_500],
    ["reasoning, inside the completion", chat(10, 100, thoughts(90)), 10 * 2_000 + 100 * 10_000],
    ["a long prompt", chat(300_000, 100), 300_000 * 4_000 + 100 * 15_000],
    ["flex", chat(1_001, 1), (1_001 * 2_000 + 10_000) / 2, tier("flex")],
    ["priority", chat(1_000, 1), 2 * (1_000 * 2_000 + 10_000), tier("priority")],
    ["priority that was served as default", chat(1_000, 1), 1_000 * 2_000 + 10_000, tier("default")],
    ["priority and a long prompt", chat(300_000, 0), 300_000 * 4_000 * 2, tier("priority")],
    ["a tier nobody has a price for", chat(1_000, 1), null, tier("hyper")],
  ],
  "openai/gpt-4o-mini": [
    [
      "priority at prices of its own",
      chat(1_000, 10, details({ cached_tokens: 400 })),
      600 * 250 + 400 * 125 + 10 * 1_000,
      tier("priority"),
    ],
    ["audio without a price of its own", chat(1_000, 0, details({ audio_tokens: 400 })), 1_000 * 150],
  ],
  "azure/gpt-5.1": [
    ["plain", chat(1_000, 100), 1_000 * 1_250 + 100 * 10_000],
    ["cache read", chat(1_000, 0, details({ cached_tokens: 600 })), 400 * 1_250 + 600 * 125],
    ["reasoning", chat(1_000, 100, thoughts(50)), 1_000 * 1_250 + 100 * 10_000],
  ],
  "azure/gpt-5.4": [["a long prompt", chat(272_001, 1), 272_001 * 5_000 + 22_500]],
  "anthropic/claude-sonnet-4-6": [
    ["plain", { input_tokens: 1_000, output_tokens: 100 }, 1_000 * 3_000 + 100 * 15_000],
    ["cache read", { input_tokens: 10, cache_read_input_tokens: 600, output_tokens: 0 }, 10 * 3_000 + 600 * 300],
    [
      "cache write without a lifetime",
      { input_tokens: 10, cache_creation_input_tokens: 600, output_tokens: 0 },
      10 * 3_000 + 600 * 3_750,
    ],
    [
      "cache write, five minutes",
      {
        input_tokens: 10,
        output_tokens: 0,
        cache_creation_input_tokens: 600,
        cache_creation: { ephemeral_5m_input_tokens: 600, ephemeral_1h_input_tokens: 0 },
      },
      10 * 3_000 + 600 * 3_750,
    ],
    [
      "cache write, an hour",
      {
        input_tokens: 10,
        output_tokens: 0,
        cache_creation_input_tokens: 600,
        cache_creation: { ephemeral_1h_input_tokens: 600 },
      },
      10 * 3_000 + 600 * 6_000,
    ],
    [
      "cache writes known by their lifetimes alone",
      {
        input_tokens: 10,
        output_tokens: 0,
        cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
      },
      10 * 3_000 + 100 * 3_750 + 200 * 6_000,
    ],
    [
      "reasoning, inside the output",
      { input_tokens: 10, output_tokens: 58, output_tokens_details: { thinking_tokens: 40 } },
      10 * 3_000 + 58 * 15_000,
    ],
    ["no length tier", { input_tokens: 900_000, output_tokens: 0 }, 900_000 * 3_000],
    ["a region", { input_tokens: 1_001, output_tokens: 0, inference_geo: "us" }, 3_303_300],
    ["no region", { input_tokens: 1_001, output_tokens: 0, inference_geo: "global" }, 3_003_000],
    [
      "a search",
      { input_tokens: 10, output_tokens: 0, server_tool_use: { web_search_requests: 2, web_fetch_requests: 5 } },
      10 * 3_000 + 20_000_000,
    ],
    ["capacity bought ahead", { input_tokens: 10, output_tokens: 0, service_tier: "priority" }, 10 * 3_000],
    [
      "a compaction beside the totals",
      {
        input_tokens: 10,
        output_tokens: 5,
        iterations: [
          { type: "compaction", input_tokens: 1_000, output_tokens: 100 },
          { type: "message", input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 0 },
        ],
      },
      1_010 * 3_000 + 105 * 15_000,
    ],
    [
      "a declined attempt and the fallback that answered",
      {
        input_tokens: 20,
        output_tokens: 7,
        cache_read_input_tokens: 100,
        iterations: [
          { type: "message", input_tokens: 40, output_tokens: 3, cache_creation: { ephemeral_1h_input_tokens: 10 } },
          { type: "fallback_message", input_tokens: 20, output_tokens: 7, cache_read_input_tokens: 100 },
        ],
      },
      60 * 3_000 + 10 * 15_000 + 100 * 300 + 10 * 6_000,
    ],
    [
      "an advisor at a price of its own",
      { input_tokens: 10, output_tokens: 0, iterations: [{ type: "message" }, { type: "advisor_message" }] },
      null,
    ],
    ["one iteration", { input_tokens: 10, output_tokens: 0, iterations: [{ type: "message" }] }, 10 * 3_000],
  ],
  "anthropic/claude-opus-5": [
    [
      "fast mode, and a region on top",
      { input_tokens: 100, output_tokens: 0, speed: "fast", inference_geo: "us", cache_read_input_tokens: 10 },
      1_111_000,
    ],
  ],
  "anthropic/claude-sonnet-4-5": [
    ["fast mode where there is none", { input_tokens: 100, output_tokens: 0, speed: "fast" }, null],
  ],
  "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0": [
    ["plain", { inputTokens: 1_000, outputTokens: 100 }, 1_000 * 3_300 + 100 * 16_500],
    ["cache read", { inputTokens: 10, cacheReadInputTokens: 600, outputTokens: 0 }, 10 * 3_300 + 600 * 330],
    [
      "cache write without a lifetime",
      { inputTokens: 10, cacheWriteInputTokens: 600, outputTokens: 0 },
      10 * 3_300 + 600 * 4_125,
    ],
    [
      "cache writes of both lifetimes",
      {
        inputTokens: 10,
        cacheWriteInputTokens: 600,
        outputTokens: 0,
        cacheDetails: [
          { ttl: "1h", inputTokens: 200 },
          { ttl: "5m", inputTokens: 400 },
        ],
      },
      10 * 3_300 + 400 * 4_125 + 200 * 6_600,
    ],
    [
      "a long prompt, by its cache",
      {
        inputTokens: 1,
        cacheReadInputTokens: 200_000,
        cacheWriteInputTokens: 10,
        outputTokens: 1,
        cacheDetails: [{ ttl: "1h", inputTokens: 10 }],
      },
      6_600 + 200_000 * 660 + 10 * 13_200 + 24_750,
    ],
    ["flex", { inputTokens: 1_000, outputTokens: 0 }, 1_650_000, { serviceTier: { type: "flex" } }],
    [
      "priority, whose premium is not published",
      { inputTokens: 1_000, outputTokens: 0 },
      null,
      { serviceTier: { type: "priority" } },
    ],
  ],
  "google/gemini-2.5-flash": [
    ["plain", { promptTokenCount: 1_000, candidatesTokenCount: 100 }, 1_000 * 300 + 100 * 2_500],
    [
      "cache read",
      { promptTokenCount: 1_000, cachedContentTokenCount: 600, candidatesTokenCount: 0 },
      400 * 300 + 600 * 30,
    ],
    [
      "reasoning, outside the candidates",
      { promptTokenCount: 10, candidatesTokenCount: 100, thoughtsTokenCount: 50 },
      10 * 300 + 150 * 2_500,
    ],
    ["the prompt of a tool", { promptTokenCount: 10, toolUsePromptTokenCount: 90, candidatesTokenCount: 0 }, 100 * 300],
    [
      "audio, cached and not",
      {
        promptTokenCount: 1_000,
        promptTokensDetails: [{ modality: "TEXT", tokenCount: 400 }, audio(600)],
        cachedContentTokenCount: 500,
        cacheTokensDetails: [{ modality: "TEXT", tokenCount: 300 }, audio(200)],
        candidatesTokenCount: 0,
      },
      100 * 300 + 400 * 1_000 + 300 * 30 + 200 * 100,
    ],
    [
      "a grounded prompt, however many searches",
      { promptTokenCount: 10, candidatesTokenCount: 0 },
      3_000 + 35_000_000,
      { groundingMetadata: { webSearchQueries: ["a", "b"], groundingChunks: [{ web: { uri: "u" } }] } },
    ],
    [
      "searches that found nothing",
      { promptTokenCount: 10, candidatesTokenCount: 0 },
      3_000,
      { groundingMetadata: { webSearchQueries: ["a"] } },
    ],
    ["flex", { promptTokenCount: 1_000, candidatesTokenCount: 0, serviceTier: "FLEX" }, 150_000],
    ["standard", { promptTokenCount: 1_000, candidatesTokenCount: 0, serviceTier: "STANDARD" }, 300_000],
  ],
  "google/gemini-3-flash-preview": [
    [
      "searches, each once",
      { promptTokenCount: 10, candidatesTokenCount: 0 },
      5_000 + 2 * 14_000_000,
      { groundingMetadata: { webSearchQueries: ["a", "", "b", "a"], groundingChunks: [{ web: { uri: "u" } }] } },
    ],
    ["priority", { promptTokenCount: 10, candidatesTokenCount: 0, serviceTier: "PRIORITY" }, 9_000],
  ],
  "google/gemini-3.5-flash-lite": [
    [
      "flex at prices of its own",
      { promptTokenCount: 1_000, cachedContentTokenCount: 400, candidatesTokenCount: 10, serviceTier: "FLEX" },
      600 * 150 + 400 * 20 + 10 * 1_250,
    ],
  ],
  "xai/grok-4.7": [
    ["plain", chat(1_000, 100), 1_000 * 2_000 + 100 * 6_000],
    ["cache read", chat(1_000, 0, details({ cached_tokens: 600 })), 400 * 2_000 + 600 * 500],
    ["more cached than prompt: beside it", chat(100, 0, details({ cached_tokens: 600 })), 100 * 2_000 + 600 * 500],
    ["reasoning, outside the completion", chat(10, 1, thoughts(290)), 10 * 2_000 + 291 * 6_000],
    ["priority", chat(1_000, 0), 2 * 1_000 * 2_000, tier("priority")],
  ],
  "deepseek/deepseek-v4-pro": [
    ["plain", chat(1_000, 100), 1_000 * 660 + 100 * 1_980],
    [
      "cache hit",
      chat(1_000, 0, { prompt_cache_hit_tokens: 600, prompt_cache_miss_tokens: 400 }),
      400 * 660 + 600 * 22,
    ],
    ["reasoning", chat(10, 100, thoughts(60)), 10 * 660 + 100 * 1_980],
  ],
  "alibaba/qwen3.6-plus": [
    ["plain", chat(1_000, 100), 1_000 * 500 + 100 * 3_000],
    ["a cache of its own accord", chat(1_000, 0, details({ cached_tokens: 600 })), 400 * 500 + 600 * 100],
    [
      "a cache that was asked for",
      chat(1_000, 0, details({ cached_tokens: 600, cache_creation_input_tokens: 0 })),
      400 * 500 + 600 * 50,
    ],
    ["cache write", chat(1_000, 0, details({ cache_creation_input_tokens: 600 })), 400 * 500 + 600 * 625],
    ["a long prompt", chat(256_001, 1, details({ cached_tokens: 1 })), 256_000 * 2_000 + 400 + 6_000],
  ],
  "alibaba/qwen3-omni-flash": [
    [
      "audio in and out",
      chat(100, 50, details({ audio_tokens: 60 }), { completion_tokens_details: { audio_tokens: 20 } }),
      40 * 430 + 60 * 3_810 + 30 * 1_660 + 20 * 15_110,
    ],
  ],
  "mistral/mistral-large-2512": [
    ["plain", chat(1_000, 100), 1_000 * 500 + 100 * 1_500],
    ["cache read", chat(1_000, 0, { num_cached_tokens: 600 }), 400 * 500 + 600 * 50],
  ],
  "groq/openai/gpt-oss-20b": [
    ["plain", chat(1_000, 100), 1_000 * 75 + 100 * 300],
    ["cache read at half a nano-USD more", chat(3, 0, details({ cached_tokens: 1 })), 2 * 75 + 38],
    ["reasoning", chat(13, 9, thoughts(5)), 13 * 75 + 9 * 300],
    ["flex costs what on-demand does", chat(1_000, 0), 1_000 * 75, tier("flex")],
    ["on-demand", chat(1_000, 0), 1_000 * 75, tier("on_demand")],
  ],
  "moonshot/kimi-k3.1-pro": [
    ["plain", chat(1_000, 100), 1_000 * 2_000 + 100 * 10_000],
    ["cache read", chat(1_000, 0, { cached_tokens: 600 }), 400 * 2_000 + 600 * 200],
    ["cache write, five minutes", chat(1_000, 0, details({ cache_write_tokens: 600 })), 1_000 * 2_000],
    [
      "cache write, an hour",
      chat(1_000, 0, details({ cache_write_tokens: 600, cache_creation: { ephemeral_1h_input_tokens: 600 } })),
      400 * 2_000 + 600 * 4_000,
    ],
  ],
  "minimax/MiniMax-M3": [
    ["plain", chat(512_000, 100), 512_000 * 300 + 100 * 1_200],
    ["a long prompt", chat(512_001, 100, details({ cached_tokens: 1 })), 512_000 * 600 + 120 + 100 * 2_400],
  ],
  "zai/glm-5.3": [
    ["cache read", chat(1_000, 100, details({ cached_tokens: 600 })), 400 * 1_400 + 600 * 260 + 100 * 4_400],
  ],
  "cohere/command-a-03-2025": [
    [
      "what is billed, not what was read",
      { billed_units: { input_tokens: 9, output_tokens: 2 }, tokens: { input_tokens: 300, output_tokens: 4 } },
      9 * 2_500 + 2 * 10_000,
    ],
    [
      "a cache beyond what is billed",
      {
        billed_units: { input_tokens: 1_200, output_tokens: 2 },
        tokens: { input_tokens: 1_420, output_tokens: 4 },
        cached_tokens: 1_376,
      },
      1_200 * 2_500 + 2 * 10_000,
    ],
    [
      "what was read, where nothing else is said",
      { tokens: { input_tokens: 210, output_tokens: 3 } },
      210 * 2_500 + 3 * 10_000,
    ],
  ],
  "deepinfra/google/gemini-2.5-flash": [
    ["plain", chat(1_000, 100), 1_000 * 300 + 100 * 2_500],
    ["reasoning, outside the completion", chat(1_000, 5, thoughts(100)), 1_000 * 300 + 105 * 2_500],
    ["reasoning, inside it", chat(1_000, 100, thoughts(100)), 1_000 * 300 + 100 * 2_500],
  ],
  "perplexity/sonar": [
    ["a small search", chat(100, 10, { search_context_size: "low" }), 110 * 1_000 + 5_000_000],
    ["a search of no known size: the dearest", chat(100, 10), 110 * 1_000 + 12_000_000],
    ["a search of a size without a price", chat(100, 10, { search_context_size: "vast" }), null],
  ],
  "openrouter/qwen/qwen3-max": [
    [
      "the second length tier",
      chat(32_001, 1, details({ cached_tokens: 1, cache_write_tokens: 1 })),
      31_999 * 1_560 + 312 + 1_950 + 7_800,
    ],
    ["the third", chat(128_001, 1), 128_001 * 1_950 + 9_750],
  ],
  // A multiple of nothing is nothing.
  "sandbox/any": [["a tier", chat(1_000, 100), 0, tier("priority")]],
};

const CASES = Object.entries(TABLE).flatMap(([name, rows]) =>
  rows.map(([kind, usage, nano, more]) => ({ name, kind, usage, nano, more })),
);

test.each(CASES)("$name: $kind", ({ name, usage, nano, more }) => {
  const slash = name.indexOf("/");
  const [provider, model] = [name.slice(0, slash), name.slice(slash + 1)];
  const price = findModel(provider, model)?.price;
  expect(price).toBeDefined();
  for (const read of [wholeUsage, streamUsage]) {
    const raw = read(provider, model, { usage, ...(more === undefined ? {} : { more }) });
    const known = { provider, startedAt: Date.parse("2026-11-22T02:00:00Z"), baseUrl: "https://api.openai.com/v1" };
    expect(costOf(readUsage(raw, provider)!, price, readConditions(raw, known)).nanoUsd).toBe(nano);
  }
});
