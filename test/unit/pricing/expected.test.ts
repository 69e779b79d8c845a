import { describe, expect, test } from "vitest";
import type { Price } from "../../../src/catalog/model-facts.ts";
import { expectedCost } from "../../../src/pricing/expected.ts";

/** Pico-USD per token: 2, 10 and 0.2 USD per million. */
const PRICE: Price = { input: 2_000_000, output: 10_000_000, cache_read: 200_000 };
const use = { promptTokens: 1_000, outputTokens: 100, cachedShare: 0 };

describe("the expected cost", () => {
  test.each([
    { name: "without a cache", price: PRICE, share: 0, nano: 1_000 * 2_000 + 100 * 10_000 },
    { name: "half of it cached", price: PRICE, share: 0.5, nano: 500 * 2_000 + 500 * 200 + 100 * 10_000 },
    { name: "all of it cached", price: PRICE, share: 1, nano: 1_000 * 200 + 100 * 10_000 },
    { name: "no rate for caches", price: { input: 2_000_000, output: 0 }, share: 1, nano: 1_000 * 2_000 },
    {
      name: "in a tier that its prompt reaches",
      price: { ...PRICE, tiers: [{ above: 999, input: 4_000_000, output: 20_000_000 }] },
      share: 0,
      nano: 1_000 * 4_000 + 100 * 20_000,
    },
  ])("$name", ({ price, share, nano }) => {
    expect(expectedCost(price, "openai", { ...use, cachedShare: share }, 0)).toBe(nano);
  });
});
