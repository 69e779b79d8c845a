import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Usage } from "../../../src/conversation/usage.ts";
import { costOf } from "../../../src/pricing/price.ts";
import { countedUsage, readUsage } from "../../../src/pricing/usage.ts";
import { tries } from "../../support/tries.ts";

const NOTHING: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
};
const usage = (known: Partial<Usage>): Usage => ({ ...NOTHING, ...known });

describe("readUsage", () => {
  test.each<{ name: string; raw: unknown; provider?: string; usage: Partial<Usage> }>([
    {
      name: "totals alone",
      raw: { prompt_tokens: 8, completion_tokens: 5, total_tokens: 13 },
      usage: { promptTokens: 8, completionTokens: 5 },
    },
    { name: "zero is a count", raw: { prompt_tokens: 0, completion_tokens: 0 }, usage: {} },
    {
      name: "OpenAI's details",
      raw: {
        prompt_tokens: 100,
        completion_tokens: 50,
        prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 20, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 30 },
      },
      usage: { promptTokens: 100, completionTokens: 50, cachedTokens: 60, cacheWriteTokens: 20, reasoningTokens: 30 },
    },
    {
      name: "details that are null",
      raw: { prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: null, completion_tokens_details: null },
      usage: { promptTokens: 10, completionTokens: 5 },
    },
    {
      name: "DeepSeek's cache hits",
      raw: { prompt_tokens: 495, completion_tokens: 65, prompt_cache_hit_tokens: 384, prompt_cache_miss_tokens: 111 },
      usage: { promptTokens: 495, completionTokens: 65, cachedTokens: 384 },
    },
    {
      name: "Mistral's cached tokens",
      raw: { prompt_tokens: 9, completion_tokens: 1, num_cached_tokens: 4 },
      usage: { promptTokens: 9, completionTokens: 1, cachedTokens: 4 },
    },
    {
      name: "Mistral's misspelt details",
      raw: { prompt_tokens: 9, completion_tokens: 1, prompt_token_details: { cached_tokens: 4 } },
      usage: { promptTokens: 9, completionTokens: 1, cachedTokens: 4 },
    },
    {
      name: "Moonshot's cached tokens",
      raw: { prompt_tokens: 9, completion_tokens: 1, cached_tokens: 4 },
      usage: { promptTokens: 9, completionTokens: 1, cachedTokens: 4 },
    },
    {
      name: "Alibaba's cache writes",
      raw: { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { cache_creation_input_tokens: 4 } },
      usage: { promptTokens: 9, completionTokens: 1, cacheWriteTokens: 4 },
    },
    {
      name: "Perplexity's reasoning tokens",
      raw: { prompt_tokens: 9, completion_tokens: 7, reasoning_tokens: 4 },
      usage: { promptTokens: 9, completionTokens: 7, reasoningTokens: 4 },
    },
    {
      name: "xAI's reasoning is added to its completion",
      raw: {
        prompt_tokens: 12,
        completion_tokens: 1,
        prompt_tokens_details: { cached_tokens: 11 },
        completion_tokens_details: { reasoning_tokens: 290 },
      },
      provider: "xai",
      usage: { promptTokens: 12, completionTokens: 291, cachedTokens: 11, reasoningTokens: 290 },
    },
    {
      name: "xAI's cached tokens beyond the prompt are added to it",
      raw: { prompt_tokens: 10, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 30 } },
      provider: "xai",
      usage: { promptTokens: 40, completionTokens: 1, cachedTokens: 30 },
    },
    {
      name: "DeepInfra's reasoning beyond the completion is added to it",
      raw: { prompt_tokens: 1, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 6 } },
      provider: "deepinfra",
      usage: { promptTokens: 1, completionTokens: 11, reasoningTokens: 6 },
    },
    {
      name: "DeepInfra's reasoning within the completion is left there",
      raw: { prompt_tokens: 1, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 5 } },
      provider: "deepinfra",
      usage: { promptTokens: 1, completionTokens: 5, reasoningTokens: 5 },
    },
    {
      name: "a completion that was left out is the rest of the total",
      raw: { prompt_tokens: 7, total_tokens: 9 },
      usage: { promptTokens: 7, completionTokens: 2 },
    },
    // A faulty detail leaves totals to show, and no cost.
    {
      name: "more cached than asked",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } },
      usage: { promptTokens: 5, completionTokens: 1, cachedTokens: 5, isDoubtful: true },
    },
    {
      name: "more cached and written than asked",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { cached_tokens: 3, cache_write_tokens: 9 },
      },
      usage: { promptTokens: 5, completionTokens: 1, cachedTokens: 3, cacheWriteTokens: 2, isDoubtful: true },
    },
    {
      name: "more reasoning than answered",
      raw: { prompt_tokens: 5, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 9 } },
      usage: { promptTokens: 5, completionTokens: 1, reasoningTokens: 1, isDoubtful: true },
    },
    {
      name: "a negative detail",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: -3 } },
      usage: { promptTokens: 5, completionTokens: 1, isDoubtful: true },
    },
    {
      name: "half a cached token",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 0.5 } },
      usage: { promptTokens: 5, completionTokens: 1, isDoubtful: true },
    },
    {
      name: "more kept for an hour than written",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { cache_write_tokens: 2, cache_write_1h_tokens: 3 },
      },
      usage: {
        promptTokens: 5,
        completionTokens: 1,
        cacheWriteTokens: 2,
        cacheWriteHourTokens: 2,
        isDoubtful: true,
      },
    },
    {
      name: "more audio than asked and answered",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { audio_tokens: 6 },
        completion_tokens_details: { audio_tokens: 2 },
      },
      usage: {
        promptTokens: 5,
        completionTokens: 1,
        audioInputTokens: 5,
        audioOutputTokens: 1,
        isDoubtful: true,
      },
    },
    {
      name: "audio and written tokens that do not fit beside each other",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { audio_tokens: 3, cache_write_tokens: 3 },
      },
      usage: { promptTokens: 5, completionTokens: 1, audioInputTokens: 3, cacheWriteTokens: 3, isDoubtful: true },
    },
    {
      name: "searches that are no number",
      raw: { prompt_tokens: 5, completion_tokens: 1, server_tool_use: { web_search_requests: "2" } },
      usage: { promptTokens: 5, completionTokens: 1, isDoubtful: true },
    },
    {
      name: "an advisor's iteration, charged at another model's price",
      raw: { prompt_tokens: 5, completion_tokens: 1, iterations: [{ type: "message" }, { type: "advisor_message" }] },
      provider: "anthropic",
      usage: { promptTokens: 5, completionTokens: 1, isDoubtful: true },
    },
    {
      name: "details that are null, one by one",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { cached_tokens: null, audio_tokens: null },
        completion_tokens_details: { reasoning_tokens: null },
        server_tool_use: null,
        cache_creation: null,
      },
      usage: { promptTokens: 5, completionTokens: 1 },
    },
    {
      name: "audio, calls and the size of a search",
      raw: {
        prompt_tokens: 50,
        completion_tokens: 20,
        prompt_tokens_details: { cached_tokens: 9, audio_tokens: 8, cached_audio_tokens: 7 },
        completion_tokens_details: { audio_tokens: 6 },
        server_tool_use: { web_search_requests: 3, file_search_requests: 2, grounded_prompts: 1 },
        search_context_size: "medium",
      },
      usage: {
        promptTokens: 50,
        completionTokens: 20,
        cachedTokens: 9,
        audioInputTokens: 8,
        cachedAudioTokens: 7,
        audioOutputTokens: 6,
        webSearches: 3,
        fileSearches: 2,
        groundedPrompts: 1,
        searchContextSize: "medium",
      },
    },
    {
      name: "Cohere's bill, beside what was read and written",
      raw: { prompt_tokens: 300, completion_tokens: 4, billed_units: { input_tokens: 9, output_tokens: 2 } },
      provider: "cohere",
      usage: { promptTokens: 300, completionTokens: 4, billedPromptTokens: 9, billedCompletionTokens: 2 },
    },
    {
      name: "another vendor's billed units, which mean nothing",
      raw: { prompt_tokens: 300, completion_tokens: 4, billed_units: { input_tokens: 9, output_tokens: 2 } },
      usage: { promptTokens: 300, completionTokens: 4 },
    },
    {
      name: "Alibaba's own cache",
      raw: { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 4 } },
      provider: "alibaba",
      usage: { promptTokens: 9, completionTokens: 1, cachedTokens: 4, implicitCachedTokens: 4 },
    },
    {
      name: "Alibaba's own cache, named",
      raw: {
        prompt_tokens: 9,
        completion_tokens: 1,
        prompt_tokens_details: { cached_tokens: 4, cache_type: "implicit", cache_creation_input_tokens: 0 },
      },
      provider: "alibaba",
      usage: { promptTokens: 9, completionTokens: 1, cachedTokens: 4, implicitCachedTokens: 4 },
    },
    {
      name: "details that are a text",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: "3" },
      usage: { promptTokens: 5, completionTokens: 1 },
    },
  ])("$name", ({ raw, provider, usage: wanted }) => {
    expect(readUsage(raw, provider)).toEqual(usage(wanted));
  });

  test.each([
    { name: "absent", raw: undefined },
    { name: "null", raw: null },
    { name: "empty", raw: {} },
    { name: "an array", raw: [1, 2] },
    { name: "a text", raw: "12" },
    { name: "a total of null", raw: { prompt_tokens: null, completion_tokens: 3 } },
    { name: "without completion and sum", raw: { prompt_tokens: 3 } },
    { name: "without prompt", raw: { completion_tokens: 3, total_tokens: 9 } },
    { name: "with a sum below its part", raw: { prompt_tokens: 9, total_tokens: 3 } },
    { name: "negative", raw: { prompt_tokens: -1, completion_tokens: 3 } },
    {
      name: "a negative completion beside a good sum",
      raw: { prompt_tokens: 1, completion_tokens: -3, total_tokens: 9 },
    },
    { name: "fractional", raw: { prompt_tokens: 1, completion_tokens: 3.5 } },
    { name: "numbers as texts", raw: { prompt_tokens: "1", completion_tokens: "3" } },
    { name: "huge", raw: { prompt_tokens: 1e15, completion_tokens: 3 } },
    { name: "infinite", raw: { prompt_tokens: 1, completion_tokens: Number.POSITIVE_INFINITY } },
  ])("usage that is $name is none", ({ raw }) => {
    expect(readUsage(raw)).toBeNull();
  });

  test("whatever a provider sends, usage is none, doubtful without a cost, or priced to the token", () => {
    const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.nat(1_000), fc.double());
    const counts = (...names: string[]) =>
      fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] });
    const members = {
      prompt_tokens: value,
      completion_tokens: value,
      total_tokens: value,
      cached_tokens: value,
      prompt_tokens_details: fc.oneof(
        value,
        counts("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_tokens", "cached_audio_tokens"),
      ),
      completion_tokens_details: fc.oneof(value, counts("reasoning_tokens", "audio_tokens")),
      cache_creation: fc.oneof(value, counts("ephemeral_1h_input_tokens")),
      iterations: value,
    };
    fc.assert(
      fc.property(
        fc.record(members, { requiredKeys: [] }),
        fc.constantFrom("openai", "xai", "deepinfra", "alibaba", "cohere"),
        (raw, provider) => {
          const read = readUsage(raw, provider);
          if (read === null) return;
          const { nanoUsd } = costOf(read, { input: 1_000, output: 1_000 }, { provider, startedAt: 0 });
          const { isDoubtful = false, promptTokens, completionTokens } = read;
          expect(nanoUsd).toBe(isDoubtful ? null : promptTokens + completionTokens);
          expect(read.reasoningTokens).toBeLessThanOrEqual(read.completionTokens);
          expect(read.cachedTokens + read.cacheWriteTokens).toBeLessThanOrEqual(read.promptTokens);
        },
      ),
      { numRuns: tries(500) },
    );
  });
});

test.each([
  { name: "nothing", prompt: 0, completion: 0, promptTokens: 0, completionTokens: 0 },
  { name: "a part of a token is a token", prompt: 1.25, completion: 2.01, promptTokens: 2, completionTokens: 3 },
  { name: "never negative", prompt: -1, completion: -1, promptTokens: 0, completionTokens: 0 },
])("counted usage: $name", ({ prompt, completion, promptTokens, completionTokens }) => {
  expect(countedUsage(prompt, completion)).toEqual(usage({ promptTokens, completionTokens }));
});
