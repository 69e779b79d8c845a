import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { Price, type Rates } from "../../../src/catalog/model-facts.ts";
import { catalog } from "../../../src/catalog/models.ts";
import type { Usage } from "../../../src/conversation/usage.ts";
import { basisOf, type Conditions, costOf, isOffCheck, reprice } from "../../../src/pricing/price.ts";
import { readConditions } from "../../../src/pricing/surcharge-rules.ts";
import { readUsage } from "../../../src/pricing/usage.ts";
import { tries } from "../../support/tries.ts";

const NOTHING: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
};
const usage = (known: Partial<Usage>): Usage => ({ ...NOTHING, ...known });
const at = (date: string): number => Date.parse(date);
const PLAIN: Conditions = { provider: "together", startedAt: at("2026-11-22T12:00:00Z") };
const nanoOf = (used: Usage, price: Price | undefined, more: Partial<Conditions> = {}): number | null =>
  costOf(used, price, { ...PLAIN, ...more }).nanoUsd;

const plain: Price = { input: 150_000, output: 600_000 };

describe("the cost", () => {
  test.each([
    { name: "nothing used costs nothing", used: NOTHING, price: plain, nano: 0 },
    {
      name: "cached tokens without a price of their own cost as input",
      used: usage({ promptTokens: 1_000, cachedTokens: 900, cacheWriteTokens: 50, completionTokens: 10 }),
      price: plain,
      nano: 156_000,
    },
    {
      name: "a one-hour write without a price of its own costs as a five-minute one",
      used: usage({ promptTokens: 10, cacheWriteTokens: 10, cacheWriteHourTokens: 10 }),
      price: { ...plain, cache_write: 200_000 },
      nano: 2_000,
    },
    {
      name: "a cached price of zero is a price",
      used: usage({ promptTokens: 1_000, cachedTokens: 1_000 }),
      price: { ...plain, cache_read: 0 },
      nano: 0,
    },
    {
      name: "audio that is cached costs as cached text where it has no price of its own",
      used: usage({ promptTokens: 10, cachedTokens: 10, audioInputTokens: 10 }),
      price: { ...plain, audio_input: 900_000, cache_read: 50_000 },
      nano: 500,
    },
    {
      name: "of cached and audio tokens that overlap nobody says by how much, as few as must be are both",
      used: usage({ promptTokens: 10, cachedTokens: 6, audioInputTokens: 6 }),
      price: { input: 1_000_000, output: 0, audio_input: 100_000, cache_read: 10_000, audio_cache_read: 1_000 },
      nano: 4 * 100 + 4 * 10 + 2,
    },
    {
      name: "a fraction of a nano-USD is rounded up",
      used: usage({ promptTokens: 1 }),
      price: { input: 37_500, output: 0 },
      nano: 38,
    },
    {
      name: "the sum is rounded, not its parts",
      used: usage({ promptTokens: 1, completionTokens: 1 }),
      price: { input: 500, output: 500 },
      nano: 1,
    },
    {
      name: "beyond the exact range of a double in pico-USD",
      used: usage({ promptTokens: 99_999_999, completionTokens: 99_999_999 }),
      price: { input: 150_000_001, output: 600_000_001 },
      nano: 74_999_999_450_000,
    },
    {
      name: "of several tiers the highest that is reached counts",
      used: usage({ promptTokens: 201 }),
      price: {
        ...plain,
        tiers: [
          { above: 100, input: 1_000, output: 0 },
          { above: 200, input: 2_000, output: 0 },
          { above: 300, input: 3_000, output: 0 },
        ],
      },
      nano: 402,
    },
  ] satisfies { name: string; used: Usage; price: Price; nano: number }[])("$name", ({ used, price, nano }) => {
    expect(nanoOf(used, price)).toBe(nano);
  });

  test.each([
    { name: "an unknown price", used: usage({ promptTokens: 1 }), price: undefined },
    { name: "a negative count", used: usage({ promptTokens: -1 }), price: plain },
    { name: "a fraction", used: usage({ completionTokens: 1.5 }), price: plain },
    { name: "no number", used: usage({ completionTokens: Number.NaN }), price: plain },
    { name: "more cached than asked", used: usage({ promptTokens: 5, cachedTokens: 6 }), price: plain },
    {
      name: "more cached and written than asked",
      used: usage({ promptTokens: 5, cachedTokens: 3, cacheWriteTokens: 3 }),
      price: plain,
    },
    {
      name: "more kept for an hour than written",
      used: usage({ promptTokens: 5, cacheWriteTokens: 3, cacheWriteHourTokens: 4 }),
      price: plain,
    },
    { name: "more audio than asked", used: usage({ promptTokens: 5, audioInputTokens: 6 }), price: plain },
    {
      name: "more cached audio than cached",
      used: usage({ promptTokens: 9, cachedTokens: 1, audioInputTokens: 5, cachedAudioTokens: 2 }),
      price: plain,
    },
    { name: "more thoughts than answer", used: usage({ completionTokens: 1, reasoningTokens: 2 }), price: plain },
    { name: "more audio than answer", used: usage({ completionTokens: 1, audioOutputTokens: 2 }), price: plain },
    { name: "a doubtful figure", used: usage({ promptTokens: 5, isDoubtful: true }), price: plain },
    { name: "a search without a known fee", used: usage({ promptTokens: 5, webSearches: 1 }), price: plain },
    { name: "a negative price", used: usage({ promptTokens: 5 }), price: { input: -1_000, output: 0 } },
    {
      name: "a ratio of nothing",
      used: usage({ promptTokens: 5 }),
      price: { ...plain, service: { slow: [1, 0] as [number, number] } },
      tier: "slow",
    },
    { name: "more money than there is", used: usage({ promptTokens: 2 ** 52 }), price: { input: 2 ** 40, output: 0 } },
  ])("$name has none", ({ used, price, tier }) => {
    expect(nanoOf(used, price, tier === undefined ? {} : { serviceTier: tier })).toBeNull();
  });
});

describe("the conditions", () => {
  const thousand = usage({ promptTokens: 1_000 });
  const dated: Price = {
    ...plain,
    cache_read: 10_000,
    until: [
      { date: "2026-06-01", input: 300_000 },
      { date: "2026-03-01", input: 900_000, cache_read: 90_000 },
    ],
    from: [
      { date: "2027-01-01", input: 400_000 },
      { date: "2027-06-01", input: 500_000 },
    ],
  };
  test.each([
    ["2026-02-28T23:59:59.999Z", 900_000],
    ["2026-03-01T00:00:00Z", 300_000],
    ["2026-05-31T23:59:59.999Z", 300_000],
    ["2026-06-01T00:00:00Z", 150_000],
    ["2026-12-31T23:59:59.999Z", 150_000],
    ["2027-01-01T00:00:00Z", 400_000],
    ["2027-06-01T00:00:00Z", 500_000],
  ])("on %s the rate is %i", (date, rate) => {
    expect(nanoOf(thousand, dated, { startedAt: at(date) })).toBe(rate);
  });

  test("a dated rate changes no other rate of the same row", () => {
    const cached = usage({ promptTokens: 1_000, cachedTokens: 1_000 });
    expect(nanoOf(cached, dated, { startedAt: at("2026-02-01") })).toBe(90_000);
    expect(nanoOf(cached, dated, { startedAt: at("2026-04-01") })).toBe(10_000);
  });

  const hourly: Price = {
    ...plain,
    hours: {
      days: [1, 5],
      minutes: [
        [60, 240],
        [1_380, 1_440],
      ],
      input: 300_000,
      output: 1_200_000,
    },
  };
  test.each([
    ["Monday, the minute before", "2026-11-23T00:59:59.999Z", 150_000],
    ["Monday, the first minute", "2026-11-23T01:00:00Z", 300_000],
    ["Monday, the last minute", "2026-11-23T03:59:59.999Z", 300_000],
    ["Monday, the minute after", "2026-11-23T04:00:00Z", 150_000],
    ["Monday, the end of the day", "2026-11-23T23:59:59.999Z", 300_000],
    ["Tuesday, the same hour", "2026-11-24T02:00:00Z", 150_000],
  ])("%s", (_, date, rate) => {
    expect(nanoOf(thousand, hourly, { startedAt: at(date) })).toBe(rate);
  });

  test.each([
    ["its model's ratio before its provider's", { service: { flex: [3, 4] } }, { serviceTier: "flex" }, 112_500],
    ["its provider's ratio", {}, { serviceTier: "flex" }, 75_000],
    ["in any spelling", {}, { serviceTier: "FLEX" }, 75_000],
    ["prices in place of prices", { service: { turbo: { input: 1_000, output: 1 } } }, { serviceTier: "turbo" }, 1_000],
    ["the list price", {}, { serviceTier: "default" }, 150_000],
    ["unknown", {}, { serviceTier: "constructor" }, null],
    ["a region's ratio on top", { regional: [11, 10] }, { serviceTier: "flex", region: "eu" }, 82_500],
    ["a region where there is one price for all", {}, { region: "eu" }, 150_000],
  ] satisfies [string, Partial<Price>, Partial<Conditions>, number | null][])(
    "a tier or region has %s",
    (_, more, conditions, nano) => {
      expect(nanoOf(thousand, { ...plain, ...more }, { provider: "openai", ...conditions })).toBe(nano);
    },
  );

  test("a region whose ratio nobody knows has no cost", () => {
    expect(nanoOf(thousand, plain, { provider: "anthropic", region: "us" })).toBeNull();
  });

  test("all ratios are multiplied before the one ceil, and no fee is", () => {
    const price: Price = { input: 1_001, output: 0, service: { odd: [1, 3] }, regional: [11, 10], request: { low: 7 } };
    const used = usage({ promptTokens: 3, webSearches: 2, fileSearches: 1 });
    // 3003 * 11 / 30 is 1101.1 pico-USD.
    expect(nanoOf(used, price, { provider: "openai", serviceTier: "odd", region: "eu" })).toBe(
      2 + 20_000_000 + 2_500_000 + 7,
    );
  });

  test("are read from an answer's usage", () => {
    const known = { provider: "anthropic", startedAt: 5, baseUrl: "https://api.anthropic.com/v1" };
    expect(readConditions({ service_tier: "Batch", inference_geo: "us" }, known)).toEqual({
      provider: "anthropic",
      startedAt: 5,
      serviceTier: "batch",
      region: "us",
    });
    expect(readConditions({ service_tier: "default", speed: "fast" }, known)).toMatchObject({ serviceTier: "fast" });
    for (const nowhere of ["global", "not_available", "", null]) {
      expect(readConditions({ inference_geo: nowhere }, known)).toEqual({ provider: "anthropic", startedAt: 5 });
    }
    expect(readConditions(undefined, known)).toEqual({ provider: "anthropic", startedAt: 5 });
  });

  test.each([
    ["https://eu.api.openai.com/v1", "eu"],
    ["https://us.api.openai.com", "us"],
    ["https://api.openai.com/v1", undefined],
    ["https://eu.api.openai.com.example.org/v1", undefined],
    ["https://example.org/https://eu.api.openai.com", undefined],
  ])("at %s the region is %s", (baseUrl, region) => {
    const conditions = readConditions({}, { provider: "openai", startedAt: 0, baseUrl });
    expect(conditions.region).toBe(region);
    expect(readConditions({}, { provider: "groq", startedAt: 0, baseUrl }).region).toBeUndefined();
  });
});

describe("a cost the provider reports", () => {
  const chat = { prompt_tokens: 1_000, completion_tokens: 100 };
  const price: Price = { input: 100_000, output: 1_000_000 };
  test.each([
    ["openrouter", { cost: 0.00001 }, 10_000],
    ["openrouter", { cost: 1e-7 }, 100],
    ["openrouter", { cost: 1.5e-10 }, 1],
    ["openrouter", { cost: 1e-19 }, 1],
    ["openrouter", { cost: 0.1 + 0.2 }, 300_000_001],
    ["openrouter", { cost: 12 }, 12_000_000_000],
    ["openrouter", { cost: 0 }, 0],
    ["openrouter", { cost: 0.0001, is_byok: true, cost_details: { upstream_inference_cost: 0.002 } }, 2_100_000],
    ["openrouter", { cost: 0.0001, is_byok: false, cost_details: { upstream_inference_cost: 0.002 } }, 100_000],
    ["perplexity", { cost: { total_cost: 0.006 } }, 6_000_000],
    ["deepinfra", { estimated_cost: 0.000123 }, 123_000],
    ["xai", { cost_in_usd_ticks: 37_756_000 }, 3_775_600],
    ["xai", { cost_in_usd_ticks: 1 }, 1],
  ])("of %s in %j is %i", (provider, more, nanoUsd) => {
    const cost = costOf(readUsage({ ...chat, ...more }, provider)!, price, { ...PLAIN, provider });
    expect(cost).toMatchObject({ nanoUsd, isReported: true, checkNanoUsd: 200_000 });
  });

  test.each([
    ["a vendor that reports none", "openai", { cost: 0.5 }],
    ["a negative one", "openrouter", { cost: -1 }],
    ["a text", "openrouter", { cost: "0.5" }],
    ["none", "openrouter", { cost: null }],
    ["an absurd one", "openrouter", { cost: 1e9 }],
    ["one part of two", "openrouter", { cost: 0.5, is_byok: true }],
    ["a fraction of a tick", "xai", { cost_in_usd_ticks: 0.5 }],
    ["no total", "perplexity", { cost: { request_cost: 1 } }],
  ])("%s is not booked, ours is", (_, provider, more) => {
    const cost = costOf(readUsage({ ...chat, ...more }, provider)!, price, { ...PLAIN, provider });
    expect(cost).toMatchObject({ nanoUsd: 200_000, isReported: false, checkNanoUsd: null });
  });

  test("is booked where ours is unknown", () => {
    const used = readUsage({ ...chat, cost: 0.5, prompt_tokens_details: { cached_tokens: -1 } }, "openrouter")!;
    expect(used.isDoubtful).toBe(true);
    for (const each of [price, undefined]) {
      expect(costOf(used, each, PLAIN)).toMatchObject({ nanoUsd: 500_000_000, isReported: true, checkNanoUsd: null });
    }
  });

  test.each([
    [1_000, 1_000, false],
    [1_000, 990, false],
    [1_000, 989, true],
    [989, 1_000, true],
    [1, 0, true],
    [0, 0, false],
    [null, 5, false],
    [5, null, false],
  ])("of %s with a check of %s is off: %s", (nanoUsd, checkNanoUsd, is) => {
    expect(isOffCheck({ nanoUsd, checkNanoUsd, isReported: true, priceRow: null })).toBe(is);
  });
});

describe("what is stored beside a charge", () => {
  const provider = "anthropic";
  const raw = {
    prompt_tokens: 96_000,
    completion_tokens: 10,
    prompt_tokens_details: { cached_tokens: 90_000, cache_write_tokens: 4_000 },
    cache_creation: { ephemeral_1h_input_tokens: 1_000 },
    server_tool_use: { web_search_requests: 1 },
    service_tier: "batch",
  };
  const conditions = readConditions(raw, { provider, startedAt: at("2026-10-06T12:00:00Z"), baseUrl: "" });
  const used = readUsage(raw, provider)!;
  const cost = costOf(used, findModel(provider, "claude-sonnet-5-5")?.price, conditions);
  const stored = JSON.parse(JSON.stringify(basisOf(raw, used, cost, conditions)));

  test("gives the same cost again, without the table", () => {
    expect(cost.nanoUsd).toBeGreaterThan(0);
    expect(reprice(stored)).toEqual(cost);
    expect(stored).toMatchObject({ raw, catalog: expect.stringMatching(/^\d+@20\d\d-\d\d-\d\d$/) });
  });

  test("gives the cost at a corrected price, under the conditions of then", () => {
    const corrected: Price = { input: 1_000, output: 0, until: [{ date: "2026-10-07", input: 2_000 }] };
    // Half of 96,000 tokens at 2 nano-USD, and the search.
    expect(reprice(stored, corrected).nanoUsd).toBe(96_000 + 10_000_000);
  });

  test("has no room for an absurd usage object, and prices what was read of it", () => {
    const absurd = { ...raw, junk: "x".repeat(10_000) };
    const basis = basisOf(absurd, used, cost, conditions);
    expect(JSON.stringify(basis).length).toBeLessThan(1_000);
    expect(reprice(basis, { input: 1_000, output: 0 }).nanoUsd).toBe(48_000 + 10_000_000);
  });

  test("keeps a provider's own figure", () => {
    const told = { prompt_tokens: 1, completion_tokens: 1, cost: 0.5 };
    const of = { ...PLAIN, provider: "openrouter" };
    const known = readUsage(told, "openrouter")!;
    expect(reprice(basisOf(told, known, costOf(known, plain, of), of), { input: 9, output: 9 })).toMatchObject({
      nanoUsd: 500_000_000,
      isReported: true,
    });
  });
});

test("a price as it was published before these members still parses, and costs what it did", () => {
  const old = {
    input: 4_000_000,
    output: 20_000_000,
    cache_read: 400_000,
    cache_write: 5_000_000,
    tiers: [{ above: 272_000, input: 8_000_000, output: 30_000_000, cache_read: 800_000 }],
  };
  expect(Price.parse(old)).toEqual(old);
  const used = usage({ promptTokens: 272_001, completionTokens: 3_000 });
  expect(nanoOf(used, Price.parse(old), { provider: "openai" })).toBe(2_266_008_000);
});

test("the price of an ordinary model is its rates, and nothing else is stored of it", () => {
  const text = (provider: string, model: string): string => JSON.stringify(findModel(provider, model)?.price);
  expect(text("groq", "llama-3.1-8b-instant")).toBe('{"input":50000,"output":80000}');
  expect(text("openai", "gpt-5-nano")).toBe('{"input":50000,"output":400000,"cache_read":5000}');
  const sizes = Object.entries(catalog().models).flatMap(([provider, models]) =>
    Object.keys(models).map((model) => text(provider, model).length),
  );
  sizes.sort((left, right) => left - right);
  expect(sizes[Math.floor(sizes.length / 2)]).toBeLessThan(70);
  expect(Math.max(...sizes)).toBeLessThan(400);
});

describe("whatever is used", () => {
  const count = fc.nat(10_000_000);
  const rate = fc.nat(200_000_000);
  const ratesOf = fc.record(
    {
      ...{ input: rate, output: rate, cache_read: rate, cache_read_implicit: rate, cache_write: rate },
      ...{ cache_write_1h: rate, audio_input: rate, audio_output: rate, audio_cache_read: rate, thinking_output: rate },
    },
    { requiredKeys: ["input", "output"] },
  ) as fc.Arbitrary<Rates>;
  const ratio = fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }));
  /** Every kind of token once, disjoint. */
  const kinds = fc.record({
    ...{ text: count, read: count, implicit: count, written: count, hour: count, audio: count, cachedAudio: count },
    ...{ words: count, spoken: count, thoughts: count, searches: fc.nat(100) },
  });
  type Kinds = typeof kinds extends fc.Arbitrary<infer K> ? K : never;
  const usageOfKinds = (of: Kinds): Usage => ({
    promptTokens: of.text + of.read + of.implicit + of.written + of.hour + of.audio + of.cachedAudio,
    cachedTokens: of.read + of.implicit + of.cachedAudio,
    implicitCachedTokens: of.implicit,
    cacheWriteTokens: of.written + of.hour,
    cacheWriteHourTokens: of.hour,
    audioInputTokens: of.audio + of.cachedAudio,
    cachedAudioTokens: of.cachedAudio,
    completionTokens: of.words + of.spoken + of.thoughts,
    audioOutputTokens: of.spoken,
    reasoningTokens: of.thoughts,
    webSearches: of.searches,
  });

  test("a cost is a whole number that covers the exact sum and exceeds it by less than one", () => {
    fc.assert(
      fc.property(kinds, ratesOf, ratio, ratio, (of, rates, service, regional) => {
        const price: Price = { ...rates, service: { odd: service }, regional };
        const nano = nanoOf(usageOfKinds(of), price, { provider: "openai", serviceTier: "odd", region: "eu" });
        const { input, output, cache_read: read = input, cache_write: write = input, audio_input: ai = input } = rates;
        const out = of.thoughts > 0 ? (rates.thinking_output ?? output) : output;
        const sum = [
          [of.text, input],
          [of.read, read],
          [of.implicit, rates.cache_read_implicit ?? read],
          [of.written, write],
          [of.hour, rates.cache_write_1h ?? write],
          [of.audio, ai],
          [of.cachedAudio, rates.audio_cache_read ?? rates.cache_read ?? ai],
          [of.words + of.thoughts, out],
          [of.spoken, rates.audio_output ?? out],
        ].reduce((pico, [tokens = 0, each = 0]) => pico + BigInt(tokens) * BigInt(each), 0n);
        const exact = sum * BigInt(service[0] * regional[0]);
        const unit = BigInt(service[1] * regional[1]) * 1_000n;
        const fees = of.searches * 10_000_000;
        if (nano === null) {
          expect(exact / unit + BigInt(fees) + 1n).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
          return;
        }
        expect(Number.isSafeInteger(nano) && nano >= 0).toBe(true);
        const excess = (BigInt(nano) - BigInt(fees)) * unit - exact;
        expect(excess >= 0n && excess < unit).toBe(true);
      }),
    );
  });

  test("one token or call more of any kind costs no less, at any price of the table", () => {
    const lines = Object.entries(catalog().models).flatMap(([provider, models]) =>
      Object.keys(models).map((model) => ({ provider, model })),
    );
    const names = ["text", "read", "implicit", "written", "hour", "audio", "cachedAudio", "words", "spoken"] as const;
    const small = fc.record({
      ...{ text: fc.nat(300_000), read: fc.nat(300_000), implicit: fc.nat(9), written: fc.nat(99), hour: fc.nat(99) },
      ...{ audio: fc.nat(99), cachedAudio: fc.nat(99), words: fc.nat(9_999), spoken: fc.nat(99), thoughts: fc.nat(1) },
      searches: fc.constant(0),
    });
    const kind = fc.constantFrom(...names, "thoughts" as const);
    fc.assert(
      fc.property(fc.constantFrom(...lines), small, kind, ({ provider, model }, of, name) => {
        const price = findModel(provider, model)?.price;
        const cost = (each: Kinds): number => nanoOf(usageOfKinds(each), price, { provider }) ?? Number.NaN;
        expect(cost({ ...of, [name]: of[name] + 1 })).toBeGreaterThanOrEqual(cost(of));
      }),
      { numRuns: tries(1_000) },
    );
  });
});
