import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Usage } from "../../../src/openai.ts";
import { costNanoUsd, countUsage, readUsage } from "../../../src/spend/price.ts";

const NOTHING: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
};
const usage = (known: Partial<Usage>): Usage => ({ ...NOTHING, ...known });

describe("costNanoUsd", () => {
  const sol = { input: 2_000_000, output: 10_000_000, cache_read: 200_000, cache_write: 2_500_000 };
  const plain = { input: 150_000, output: 600_000 };
  const tiered = {
    input: 4_000_000,
    output: 20_000_000,
    tiers: [{ above: 272_000, input: 8_000_000, output: 30_000_000 }],
  };

  test.each([
    { name: "nothing used costs nothing", usage: NOTHING, price: plain, nano: 0 },
    {
      name: "cached and written tokens are inside the prompt, reasoning inside the completion",
      usage: usage({
        promptTokens: 12_000,
        cachedTokens: 8_000,
        cacheWriteTokens: 1_024,
        completionTokens: 900,
        reasoningTokens: 512,
      }),
      price: sol,
      nano: 19_112_000,
    },
    {
      name: "a long prompt is exact",
      usage: usage({ promptTokens: 272_000, completionTokens: 3_000 }),
      price: { input: 4_000_000, output: 20_000_000 },
      nano: 1_148_000_000,
    },
    {
      name: "at the edge of a tier the lower rates still hold",
      usage: usage({ promptTokens: 272_000, completionTokens: 3_000 }),
      price: tiered,
      nano: 1_148_000_000,
    },
    {
      name: "one token more, and the tier's rates hold for the whole request",
      usage: usage({ promptTokens: 272_001, completionTokens: 3_000 }),
      price: tiered,
      nano: 2_266_008_000,
    },
    {
      name: "cached tokens count towards a tier, and the highest tier that is reached counts",
      usage: usage({ promptTokens: 210_000, cachedTokens: 150_000, completionTokens: 2_000 }),
      price: {
        input: 1,
        output: 1,
        tiers: [
          { above: 100_000, input: 2, output: 2 },
          { above: 200_000, input: 2_500_000, output: 15_000_000, cache_read: 250_000 },
        ],
      },
      nano: 217_500_000,
    },
    {
      name: "cached tokens without a price of their own cost as input",
      usage: usage({ promptTokens: 1_000, cachedTokens: 900, cacheWriteTokens: 50, completionTokens: 10 }),
      price: plain,
      nano: 156_000,
    },
    {
      name: "a cached price of zero is a price",
      usage: usage({ promptTokens: 1_000, cachedTokens: 1_000 }),
      price: { ...plain, cache_read: 0 },
      nano: 0,
    },
    {
      name: "a fraction of a nano-USD is rounded up",
      usage: usage({ promptTokens: 1 }),
      price: { input: 37_500, output: 0 },
      nano: 38,
    },
    {
      name: "the sum is rounded, not its parts",
      usage: usage({ promptTokens: 1, completionTokens: 1 }),
      price: { input: 500, output: 500 },
      nano: 1,
    },
    {
      name: "a free model costs nothing",
      usage: usage({ promptTokens: 9, completionTokens: 9 }),
      price: { input: 0, output: 0 },
      nano: 0,
    },
    {
      name: "beyond the exact range of a double in pico-USD",
      usage: usage({ promptTokens: 99_999_999, completionTokens: 99_999_999 }),
      price: { input: 150_000_001, output: 600_000_001 },
      nano: 74_999_999_450_000,
    },
  ])("$name", ({ usage, price, nano }) => {
    expect(costNanoUsd(usage, price)).toBe(nano);
  });

  test.each([
    { name: "an unknown price", usage: usage({ promptTokens: 1 }), price: undefined },
    { name: "a negative count", usage: usage({ promptTokens: -1 }), price: plain },
    { name: "a fraction", usage: usage({ completionTokens: 1.5 }), price: plain },
    { name: "no number", usage: usage({ completionTokens: Number.NaN }), price: plain },
    { name: "more cached than asked", usage: usage({ promptTokens: 5, cachedTokens: 6 }), price: plain },
    {
      name: "more cached and written than asked",
      usage: usage({ promptTokens: 5, cachedTokens: 3, cacheWriteTokens: 3 }),
      price: plain,
    },
    { name: "a negative price", usage: usage({ promptTokens: 5 }), price: { input: -1_000, output: 0 } },
    { name: "more money than there is", usage: usage({ promptTokens: 2 ** 52 }), price: { input: 2 ** 40, output: 0 } },
  ])("$name has no cost", ({ usage, price }) => {
    expect(costNanoUsd(usage, price)).toBeNull();
  });

  test("a cost covers the exact sum and exceeds it by less than one nano-USD", () => {
    const count = fc.nat(10_000_000);
    const price = fc.record({ input: fc.nat(30_000_000), output: fc.nat(200_000_000), cache_read: fc.nat(3_000_000) });
    fc.assert(
      fc.property(count, count, count, price, (plainTokens, cachedTokens, completionTokens, price) => {
        const cost = costNanoUsd(
          usage({ promptTokens: plainTokens + cachedTokens, cachedTokens, completionTokens }),
          price,
        );
        const pico =
          BigInt(plainTokens) * BigInt(price.input) +
          BigInt(cachedTokens) * BigInt(price.cache_read) +
          BigInt(completionTokens) * BigInt(price.output);
        const excess = BigInt(cost ?? -1) * 1000n - pico;
        expect(excess >= 0n && excess < 1000n).toBe(true);
      }),
    );
  });
});

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
    // A faulty detail only loses itself.
    {
      name: "more cached than asked",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } },
      usage: { promptTokens: 5, completionTokens: 1, cachedTokens: 5 },
    },
    {
      name: "more cached and written than asked",
      raw: {
        prompt_tokens: 5,
        completion_tokens: 1,
        prompt_tokens_details: { cached_tokens: 3, cache_write_tokens: 9 },
      },
      usage: { promptTokens: 5, completionTokens: 1, cachedTokens: 3, cacheWriteTokens: 2 },
    },
    {
      name: "more reasoning than answered",
      raw: { prompt_tokens: 5, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 9 } },
      usage: { promptTokens: 5, completionTokens: 1, reasoningTokens: 1 },
    },
    {
      name: "a negative detail",
      raw: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: -3 } },
      usage: { promptTokens: 5, completionTokens: 1 },
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

  test("whatever a vendor sends, usage is none or can be priced", () => {
    const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.nat(1_000), fc.double());
    const members = {
      prompt_tokens: value,
      completion_tokens: value,
      total_tokens: value,
      cached_tokens: value,
      prompt_tokens_details: fc.oneof(value, fc.record({ cached_tokens: value, cache_write_tokens: value })),
      completion_tokens_details: fc.oneof(value, fc.record({ reasoning_tokens: value })),
    };
    fc.assert(
      fc.property(
        fc.record(members, { requiredKeys: [] }),
        fc.constantFrom("openai", "xai", "deepinfra"),
        (raw, provider) => {
          const read = readUsage(raw, provider);
          if (read === null) return;
          expect(costNanoUsd(read, { input: 1_000, output: 1_000 })).toBe(read.promptTokens + read.completionTokens);
          expect(read.reasoningTokens).toBeLessThanOrEqual(read.completionTokens);
        },
      ),
      { numRuns: 500 },
    );
  });
});

test.each([
  { name: "nothing", promptBytes: 0, completionEvents: 0, promptTokens: 0, completionTokens: 0 },
  { name: "a part of a token is a token", promptBytes: 5, completionEvents: 3, promptTokens: 2, completionTokens: 3 },
  { name: "never negative", promptBytes: -1, completionEvents: -1, promptTokens: 0, completionTokens: 0 },
])("counted usage: $name", ({ promptBytes, completionEvents, promptTokens, completionTokens }) => {
  expect(countUsage(promptBytes, completionEvents)).toEqual(usage({ promptTokens, completionTokens }));
});
