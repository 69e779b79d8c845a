/** The parts of a cost are its own: named, complete, and in sum the cost itself. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Price } from "../../../src/catalog/model-facts.ts";
import type { Usage } from "../../../src/conversation/usage.ts";
import { costPartsOf } from "../../../src/pricing/cost-parts.ts";
import { basisOf, costOf } from "../../../src/pricing/price.ts";

const USAGE: Usage = {
  ...{ promptTokens: 1_000, completionTokens: 300, cachedTokens: 400, cacheWriteTokens: 100, reasoningTokens: 120 },
};
const CONDITIONS = { provider: "openai", startedAt: Date.UTC(2026, 10, 30) };
const PRICE: Price = { input: 2_500_000, output: 10_000_000, cache_read: 250_000, cache_write: 3_000_000 };

function billOf(usage: Usage, price: Price, usageSource = "upstream") {
  const cost = costOf(usage, price, CONDITIONS);
  return { costNanoUsd: cost.nanoUsd, costBasis: basisOf(null, usage, cost, CONDITIONS), usageSource };
}

test("tokens stand with the member of the price that they are charged by", () => {
  const parts = costPartsOf([billOf(USAGE, PRICE)]);
  expect(parts.map(({ kind, tokens }) => [kind, tokens])).toEqual([
    ["input", 500],
    ["cache_read", 400],
    ["cache_write", 100],
    ["output", 300],
  ]);
});

test("thoughts with a rate of their own are a part, fees and the request too", () => {
  const price: Price = { ...PRICE, reasoning: 12_000_000, per_request: 5_000, fees: { web_search: 10_000_000 } };
  const parts = costPartsOf([billOf({ ...USAGE, webSearches: 2 }, price)]);
  expect(parts).toContainEqual({ kind: "reasoning", tokens: 120, usd: expect.any(Number) });
  expect(parts).toContainEqual({ kind: "web_search", tokens: 2, usd: 0.02 });
  expect(parts).toContainEqual({ kind: "request", tokens: 1, usd: 0.000005 });
});

test("what a provider reports, and what is charged at its bound, is one part", () => {
  const reported = billOf({ ...USAGE, reportedNanoUsd: 77 }, PRICE);
  expect(costPartsOf([reported])).toEqual([{ kind: "reported", tokens: 1_300, usd: 0.000000077 }]);
  const bound = { ...billOf(USAGE, PRICE, "upper_bound"), costNanoUsd: 5_000_000 };
  expect(costPartsOf([bound])).toEqual([{ kind: "bound", tokens: 1_300, usd: 0.005 }]);
});

test("an unknown cost and a free attempt have no parts", () => {
  expect(costPartsOf([{ ...billOf(USAGE, PRICE), costNanoUsd: null }])).toEqual([]);
  expect(costPartsOf([{ costNanoUsd: 0, costBasis: null, usageSource: "none" }])).toEqual([]);
});

test("whatever the usage and the rates, the parts of all attempts add up to the cost", () => {
  const rate = fc.integer({ min: 0, max: 100_000_000 });
  const price = fc.record({ input: rate, output: rate, cache_read: rate, cache_write: rate, reasoning: rate });
  const usage = fc
    .tuple(fc.nat(100_000), fc.nat(100_000), fc.nat(100_000), fc.nat(100_000), fc.nat(100_000))
    .map(([fresh, cached, written, answer, thoughts]) => ({
      promptTokens: fresh + cached + written,
      completionTokens: answer + thoughts,
      ...{ cachedTokens: cached, cacheWriteTokens: written, reasoningTokens: thoughts },
    }));
  fc.assert(
    fc.property(fc.array(fc.tuple(usage, price), { maxLength: 3 }), (attempts) => {
      const bills = attempts.map(([used, rates]) => billOf(used, rates));
      const nano = costPartsOf(bills).reduce((sum, { usd }) => sum + Math.round(usd * 1e9), 0);
      expect(nano).toBe(bills.reduce((sum, { costNanoUsd }) => sum + (costNanoUsd ?? 0), 0));
    }),
  );
});
