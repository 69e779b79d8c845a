import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import type { Price } from "../../../src/catalog/model-facts.ts";
import { catalog } from "../../../src/catalog/models.ts";
import type { Usage } from "../../../src/conversation/usage.ts";
import { askedOf, type BoundConditions, boundNanoUsd, isFree } from "../../../src/pricing/bound.ts";
import { costOf } from "../../../src/pricing/price.ts";
import { tries } from "../../support/tries.ts";

const SUNDAY = Date.parse("2026-11-22T12:00:00Z");
const boundOf = (price: Price, more: Partial<BoundConditions> = {}, prompt = 1_000, output = 100): number | null =>
  boundNanoUsd(prompt, output, price, { provider: "openai", startedAt: SUNDAY, region: null, ...more });

describe("the bound", () => {
  const plain: Price = { input: 1_000, output: 10_000 };
  test.each<[string, Price, Partial<BoundConditions>, number | null]>([
    ["is the cost of plain tokens", plain, {}, 2_000],
    [
      "takes every prompt token for the dearest kind: written",
      { ...plain, cache_read: 1, cache_write: 1_250, cache_write_1h: 2_000 },
      {},
      3_000,
    ],
    [
      "takes every prompt token for the dearest kind: audio",
      { ...plain, audio_input: 7_000, cache_write: 1_250 },
      {},
      8_000,
    ],
    [
      "takes every output token for the dearest kind",
      { ...plain, thinking_output: 30_000, audio_output: 20_000 },
      {},
      4_000,
    ],
    ["reaches the tier of its prompt", { ...plain, tiers: [{ above: 999, input: 3_000, output: 1 }] }, {}, 3_001],
    [
      "keeps the tier below, where that is dearer",
      { ...plain, tiers: [{ above: 999, input: 1, output: 1 }] },
      {},
      2_000,
    ],
    [
      "stays below a tier it does not reach",
      { ...plain, tiers: [{ above: 1_000, input: 3_000, output: 1 }] },
      {},
      2_000,
    ],
    ["takes the tier the request asks for", plain, { serviceTier: "priority" }, null],
    [
      "takes the tier the request asks for, where it has a price",
      { ...plain, service: { priority: [2, 1] } },
      { serviceTier: "priority" },
      4_000,
    ],
    ["is that of the default tier for a cheaper one, which may not serve", plain, { serviceTier: "flex" }, 2_000],
    [
      "is that of the default tier for a cheaper one without a price",
      plain,
      { provider: "cohere", serviceTier: "flex" },
      2_000,
    ],
    ["takes the ratio of a bound region", { ...plain, regional: [11, 10] }, { region: "eu" }, 2_200],
    ["needs the ratio of a bound region", plain, { provider: "anthropic", region: "us" }, null],
    ["holds the fees of the calls that may be made", plain, { calls: { web_search: 3 } }, 2_000 + 30_000_000],
    ["needs the fee of a call that may be made", plain, { provider: "groq", calls: { web_search: 3 } }, null],
    ["holds the dearest fee of the request", { ...plain, request: { low: 5, high: 7 } }, {}, 2_007],
    ["is nothing for nothing", { input: 0, output: 0 }, { serviceTier: "priority" }, 0],
    ["needs whole prices", { input: 0.5, output: 0 }, {}, null],
    ["needs money that can be counted", { input: 2 ** 50, output: 0 }, {}, (1_000 * 2 ** 50) / 1_000],
    ["needs money that can be counted", { input: 2 ** 53 - 1, output: 2 ** 53 - 1 }, {}, null],
  ])("%s", (_, price, more, nano) => {
    expect(boundOf(price, more)).toBe(nano);
  });

  test.each([
    { name: "an unknown region may turn out to be bound", region: undefined, nano: 2_200 },
    { name: "none is none", region: null, nano: 2_000 },
  ])("$name", ({ region, nano }) => {
    const conditions = { provider: "openai", startedAt: SUNDAY, ...(region === undefined ? {} : { region }) };
    expect(boundNanoUsd(1_000, 100, { ...plain, regional: [11, 10] }, conditions)).toBe(nano);
  });

  test.each([
    ["a peak that begins within a minute", "2026-11-23T00:59:30Z", 6_000],
    ["a peak that is over within a minute", "2026-11-23T03:59:30Z", 6_000],
    ["no peak near", "2026-11-23T00:58:30Z", 2_000],
  ])("covers %s", (_, at, nano) => {
    const price: Price = { ...plain, hours: { days: [1], minutes: [[60, 240]], input: 3_000, output: 30_000 } };
    expect(boundOf(price, { startedAt: Date.parse(at) })).toBe(nano);
  });

  test.each([
    ["a rise that begins within a minute", "2026-12-31T23:59:30Z", 2_000 * 2],
    ["a rise that is further off", "2026-12-31T23:58:30Z", 2_000],
    ["the last seconds before a cut", "2026-02-28T23:59:30Z", 5_000],
  ])("covers %s", (_, at, nano) => {
    const price: Price = {
      ...plain,
      until: [{ date: "2026-03-01", input: 4_000 }],
      from: [{ date: "2027-01-01", input: 2_000, output: 20_000 }],
    };
    expect(boundOf(price, { startedAt: Date.parse(at) })).toBe(nano);
  });

  test.each([
    [-1, 0],
    [0, -1],
    [0.5, 0],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, 0],
  ])("of %s and %s tokens is none", (prompt, output) => {
    expect(boundOf(plain, {}, prompt, output)).toBeNull();
  });
});

describe("at every price of the table", () => {
  const lines = Object.entries(catalog().models).flatMap(([provider, models]) =>
    Object.keys(models).map((model) => ({ provider, model, price: findModel(provider, model)!.price! })),
  );
  const line = fc.oneof(
    fc.constantFrom(...lines),
    // The rare ones as often as all others together.
    fc.constantFrom(...lines.filter(({ price }) => Object.values(price).some((member) => typeof member === "object"))),
  );
  const startedAt = fc.date({ min: new Date("2026-09-01"), max: new Date("2027-03-01"), noInvalidDate: true });
  const termsHaveSearch = (provider: string): boolean => ["openai", "anthropic", "google"].includes(provider);
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const part = (whole: number, of: number): number => Math.floor(whole * of);

  test("no usage within a bound costs more than it, whatever tier serves and whenever it starts", () => {
    const shares = fc.array(share, { minLength: 12, maxLength: 12 });
    const tier = fc.constantFrom(undefined, "default", "flex", "priority", "fast", "batch");
    fc.assert(
      fc.property(
        line,
        fc.nat(600_000),
        fc.nat(100_000),
        shares,
        startedAt,
        tier,
        fc.nat(3),
        fc.boolean(),
        ({ provider, price }, promptMost, outputMost, s, date, asked, searches, isBound) => {
          const at = date.getTime();
          const calls = termsHaveSearch(provider) ? { web_search: 3, grounded_prompt: 1 } : {};
          const region = isBound && price.regional !== undefined ? "us" : null;
          const bound = boundNanoUsd(promptMost, outputMost, price, {
            ...{ provider, startedAt: at, region, calls: provider === "anthropic" ? { web_search: 3 } : calls },
            ...(asked === undefined ? {} : { serviceTier: asked }),
          });
          if (bound === null) return;
          const promptTokens = part(promptMost, s[0]!);
          const cachedTokens = part(promptTokens, s[1]!);
          const cacheWriteTokens = part(promptTokens - cachedTokens, s[2]!);
          const audioInputTokens = part(promptTokens - cacheWriteTokens, s[3]!);
          const completionTokens = part(outputMost, s[4]!);
          const usage: Usage = {
            ...{ promptTokens, cachedTokens, cacheWriteTokens, audioInputTokens, completionTokens },
            cacheWriteHourTokens: part(cacheWriteTokens, s[5]!),
            implicitCachedTokens: part(cachedTokens, s[6]!),
            audioOutputTokens: part(completionTokens, s[7]!),
            reasoningTokens: part(completionTokens, s[8]!),
            ...(termsHaveSearch(provider) ? { webSearches: searches } : {}),
            ...(provider === "google" ? { groundedPrompts: Math.min(1, searches) } : {}),
          };
          // Any tier from the default to the one that was asked for may serve, up to a minute later.
          for (const served of [undefined, ...(asked === "flex" || asked === "batch" ? [] : [asked])]) {
            const { nanoUsd } = costOf(usage, price, {
              ...{ provider, startedAt: at + part(60_000, s[9]!) },
              ...(served === undefined ? {} : { serviceTier: served }),
              ...(region === null ? {} : { region }),
            });
            expect(nanoUsd).not.toBeNull();
            expect(nanoUsd).toBeLessThanOrEqual(bound);
          }
        },
      ),
      { numRuns: tries(1_500) },
    );
  });

  test("a longer prompt, a longer answer and another call never lower a bound", () => {
    fc.assert(
      fc.property(
        line,
        fc.nat(600_000),
        fc.nat(100_000),
        fc.nat(300_000),
        startedAt,
        ({ provider, price }, prompt, output, more, date) => {
          const at = date.getTime();
          const of = (promptTokens: number, outputTokens: number): number =>
            boundNanoUsd(promptTokens, outputTokens, price, { provider, startedAt: at }) ?? Number.NaN;
          expect(of(prompt + more, output)).toBeGreaterThanOrEqual(of(prompt, output));
          expect(of(prompt, output + more)).toBeGreaterThanOrEqual(of(prompt, output));
          expect(Number.isSafeInteger(of(prompt, output))).toBe(true);
        },
      ),
      { numRuns: tries(500) },
    );
  });
});

test.each([
  { name: "nothing", fields: { model: "x", messages: [] }, asked: {} },
  { name: "a tier", fields: { service_tier: "flex" }, asked: { serviceTier: "flex" } },
  {
    name: "a faster mode, whatever the tier",
    fields: { service_tier: "auto", speed: "fast" },
    asked: { serviceTier: "fast" },
  },
  { name: "a region", fields: { inference_geo: "us" }, asked: { region: "us" } },
  { name: "no region", fields: { inference_geo: "global" }, asked: {} },
  { name: "nonsense", fields: { service_tier: 5, inference_geo: null, tools: "all" }, asked: {} },
])("a request asks for $name", ({ fields, asked }) => {
  expect(askedOf(fields)).toEqual(asked);
});

test.each<[string, Price, string, boolean]>([
  ["nothing costs anything", { input: 0, output: 0 }, "vllm", true],
  ["output does", { input: 0, output: 1 }, "vllm", false],
  ["a search has a fee", { input: 0, output: 0, request: { low: 1 } }, "perplexity", false],
  ["the provider says itself what it charges", { input: 0, output: 0 }, "openrouter", false],
])("is a model free where %s", (_, price, provider, free) => {
  expect(isFree(price, provider)).toBe(free);
});
