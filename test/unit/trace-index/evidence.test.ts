import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeEvidence, toEvidence, wilsonLowerBound } from "../../../src/trace-index/evidence.ts";
import { bucketOf } from "../../../src/trace-index/histogram.ts";
import type { EvidenceCounts } from "../../../src/trace-index/types.ts";

describe("the lower bound", () => {
  // Values of the Wilson score interval at 95 %, to three places.
  test.each([
    { successes: 30, trials: 30, bound: 0.886 },
    { successes: 20, trials: 20, bound: 0.839 },
    { successes: 1, trials: 1, bound: 0.207 },
    { successes: 9, trials: 10, bound: 0.596 },
    { successes: 50, trials: 100, bound: 0.404 },
    { successes: 990, trials: 1_000, bound: 0.982 },
    { successes: 0, trials: 30, bound: 0 },
    { successes: 0, trials: 0, bound: 0 },
  ])("of $successes of $trials is $bound", ({ successes, trials, bound }) => {
    expect(wilsonLowerBound(successes, trials)).toBeCloseTo(bound, 3);
  });

  const outcome = fc
    .integer({ min: 1, max: 100_000 })
    .chain((trials) => fc.record({ trials: fc.constant(trials), successes: fc.integer({ min: 0, max: trials }) }));

  test("lies between 0 and the rate", () => {
    fc.assert(
      fc.property(outcome, ({ successes, trials }) => {
        const bound = wilsonLowerBound(successes, trials);
        expect(bound).toBeGreaterThanOrEqual(0);
        expect(bound).toBeLessThanOrEqual(successes / trials);
      }),
    );
  });

  test("rises with every success, falls with every failure, and nears the rate with the number of requests", () => {
    fc.assert(
      fc.property(outcome, ({ successes, trials }) => {
        const bound = wilsonLowerBound(successes, trials);
        expect(wilsonLowerBound(successes + 1, trials + 1)).toBeGreaterThan(bound);
        expect(wilsonLowerBound(successes, trials + 1)).toBeLessThanOrEqual(bound);
        expect(wilsonLowerBound(successes * 10, trials * 10)).toBeGreaterThanOrEqual(bound);
      }),
    );
  });
});

const WINDOW = { hours: 24, since: "2026-11-21T12:00:00.000Z", until: "2026-11-22T12:00:00.000Z" };
const NOTHING: EvidenceCounts = {
  requests: 0,
  succeeded: 0,
  fallbacks: 0,
  hedged: 0,
  priced: 0,
  nanoUsd: 0,
  firstToken: [],
  total: [],
  errors: [],
};

test("30 flawless requests are a rate of 1, a bound of 0.886, and figures of their own", () => {
  const counts: EvidenceCounts = {
    ...NOTHING,
    requests: 30,
    succeeded: 30,
    fallbacks: 3,
    hedged: 6,
    priced: 29,
    nanoUsd: 29 * 1_500,
    firstToken: [[bucketOf(200), 30]],
    total: [
      [bucketOf(1_000), 27],
      [bucketOf(9_000), 3],
    ],
  };
  const evidence = toEvidence(7, WINDOW, counts, WINDOW.until);
  expect(evidence).toMatchObject({
    version: 7,
    window: WINDOW,
    requests: 30,
    success_rate: 1,
    fallback_rate: 0.1,
    hedge_rate: 0.2,
    cost_usd_per_request: 0.0000015,
    errors: [],
    as_of: WINDOW.until,
  });
  expect(evidence.success_lower_bound).toBeCloseTo(0.886, 3);
  const { first_token_ms, total_ms } = evidence;
  expect([first_token_ms?.p50, first_token_ms?.p99]).toEqual([first_token_ms?.p95, first_token_ms?.p95]);
  expect(Math.abs((total_ms?.p50 ?? 0) - 1_000)).toBeLessThanOrEqual(21);
  expect(Math.abs((total_ms?.p95 ?? 0) - 9_000)).toBeLessThanOrEqual(181);
});

test("without a request nothing is known, and the bound is 0", () => {
  expect(toEvidence(1, WINDOW, NOTHING, WINDOW.until)).toEqual({
    version: 1,
    window: WINDOW,
    requests: 0,
    success_rate: null,
    success_lower_bound: 0,
    fallback_rate: null,
    hedge_rate: null,
    first_token_ms: null,
    total_ms: null,
    cost_usd_per_request: null,
    errors: [],
    as_of: WINDOW.until,
  });
});

test("a cost that nobody knows is not zero", () => {
  const counts = { ...NOTHING, requests: 5, succeeded: 5 };
  expect(toEvidence(1, WINDOW, counts, WINDOW.until).cost_usd_per_request).toBeNull();
});

describe("days", () => {
  const histogram = fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 9 })), { maxLength: 5 });
  const errors = fc.array(
    fc.record({
      class: fc.constantFrom("timeout", "network"),
      provider: fc.constantFrom("openai", "groq", null),
      count: fc.integer({ min: 1, max: 9 }),
    }),
    { maxLength: 6 },
  );
  const day: fc.Arbitrary<EvidenceCounts> = fc.record({
    requests: fc.nat(99),
    succeeded: fc.nat(99),
    fallbacks: fc.nat(99),
    hedged: fc.nat(99),
    priced: fc.nat(99),
    nanoUsd: fc.nat(),
    firstToken: histogram,
    total: histogram,
    errors,
  });

  test("add up to the same in any order and any grouping", () => {
    fc.assert(
      fc.property(fc.array(day, { maxLength: 5 }), day, (days, last) => {
        const all = mergeEvidence([...days, last]);
        expect(mergeEvidence([last, ...days.toReversed()])).toEqual(all);
        expect(mergeEvidence([mergeEvidence(days), last])).toEqual(all);
        expect(all.requests).toBe([...days, last].reduce((sum, { requests }) => sum + requests, 0));
      }),
    );
  });
});
