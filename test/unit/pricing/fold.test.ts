/** The sum of many requests costs what they cost, but for what each was rounded up by. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Price } from "../../../src/catalog/model-facts.ts";
import type { Usage } from "../../../src/conversation/usage.ts";
import { costOfFolded, FOLD_LENGTHS, foldUsage, recost, type Shape, shapeOf } from "../../../src/pricing/fold.ts";
import type { CostBasis } from "../../../src/pricing/price.ts";
import { tries } from "../../support/tries.ts";

const rate = fc.integer({ min: 0, max: 90_000_000 });
const some = fc.option(rate, { nil: undefined });
const anyRates = fc
  .record({
    ...{ input: rate, output: rate, cache_read: some, cache_read_implicit: some, cache_write: some },
    ...{ cache_write_1h: some, audio_input: some, audio_output: some, thinking_output: some, reasoning: some },
  })
  .map((rates) => JSON.parse(JSON.stringify(rates)) as Price);
const anyPrice = fc
  .record({
    base: anyRates,
    tiers: fc.array(fc.record({ above: fc.constantFrom(...FOLD_LENGTHS), rates: anyRates }), { maxLength: 2 }),
    perRequest: fc.option(fc.integer({ min: 1, max: 9_000_000 }), { nil: undefined }),
    priority: fc.option(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), { nil: undefined }),
  })
  .map(({ base, tiers, perRequest, priority }): Price => {
    const distinct = [...new Map(tiers.map(({ above, rates }) => [above, { ...rates, above }])).values()];
    return {
      ...base,
      ...(distinct.length === 0 ? {} : { tiers: distinct.toSorted((a, b) => a.above - b.above) }),
      ...(perRequest === undefined ? {} : { per_request: perRequest }),
      ...(priority === undefined ? {} : { service: { priority } }),
    };
  });

const part = fc.integer({ min: 0, max: 90_000 });
const anyBasis = fc
  .record({
    ...{ plain: part, cached: part, written: part, hour: part, implicit: part, completion: part, reasoning: part },
    ...{ audioIn: fc.oneof(fc.constant(0), part), audioOut: fc.oneof(fc.constant(0), part), searches: fc.nat(3) },
    length: fc.constantFrom(0, ...FOLD_LENGTHS),
    serviceTier: fc.constantFrom(undefined, "priority"),
  })
  .map((each): CostBasis => {
    const { plain, cached, written, hour, implicit, completion, reasoning, audioIn, audioOut } = each;
    const usage: Usage = {
      promptTokens: plain + cached + written + audioIn + each.length,
      completionTokens: completion + reasoning + audioOut,
      cachedTokens: cached,
      cacheWriteTokens: written,
      reasoningTokens: reasoning,
      cacheWriteHourTokens: Math.min(hour, written),
      implicitCachedTokens: Math.min(implicit, cached),
      ...(audioIn === 0 ? {} : { audioInputTokens: audioIn }),
      ...(audioOut === 0 ? {} : { audioOutputTokens: audioOut }),
      webSearches: each.searches,
    };
    const conditions = {
      provider: "openai",
      startedAt: 0,
      ...(each.serviceTier === undefined ? {} : { serviceTier: each.serviceTier }),
    };
    return { raw: null, usage, row: null, conditions, catalog: "" };
  });

test("by any price, at most one nano-dollar a request below the truth", () => {
  fc.assert(
    fc.property(fc.array(anyBasis, { minLength: 1, maxLength: 20 }), anyPrice, (bases, price) => {
      const folds = new Map<string, { shape: Shape; usage: Usage | null; count: number; cost: number | null }>();
      for (const basis of bases) {
        const shape = shapeOf(basis, false);
        if (shape === null) throw new Error("A usage without a doubt has a shape.");
        const name = JSON.stringify(shape);
        const fold = folds.get(name) ?? { shape, usage: null, count: 0, cost: 0 };
        const cost = recost(basis, price)?.nanoUsd ?? null;
        folds.set(name, {
          shape,
          usage: foldUsage(fold.usage, basis.usage),
          count: fold.count + 1,
          cost: fold.cost === null || cost === null ? null : fold.cost + cost,
        });
      }
      for (const { shape, usage, count, cost } of folds.values()) {
        if (usage === null) continue;
        const folded = costOfFolded(usage, { shape, count }, price, "openai", 0);
        if (cost === null || folded === null) expect(folded).toBe(cost);
        else {
          expect(folded).toBeLessThanOrEqual(cost);
          expect(folded).toBeGreaterThan(cost - count);
        }
      }
    }),
    { numRuns: tries(300) },
  );
});

test("figures that contradict each other are in no sum", () => {
  const usage = {
    promptTokens: 1,
    completionTokens: 1,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
    isDoubtful: true,
  } as const;
  expect(
    shapeOf({ raw: null, usage, row: null, conditions: { provider: "x", startedAt: 0 }, catalog: "" }, false),
  ).toBeNull();
});
