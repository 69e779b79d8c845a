/** When a second target may start beside a slow one, and how often. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { earnHedge, fits, hedgeDelayMs, takeHedge } from "../../../../src/relay/attempts/hedge.ts";

const forecast = fc
  .tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 100_000 }))
  .map(([p50Ms, more]) => ({ p50Ms, p95Ms: p50Ms + more }));

describe("the moment of the hedge", () => {
  test.each([
    { name: "nobody knows: half of what is left", forecast: null, leftMs: 1_000, delayMs: 500 },
    { name: "its own p95 when that is sooner", forecast: { p50Ms: 100, p95Ms: 300 }, leftMs: 1_000, delayMs: 300 },
    { name: "half when its p95 is later", forecast: { p50Ms: 100, p95Ms: 900 }, leftMs: 1_000, delayMs: 500 },
    { name: "never before its p50", forecast: { p50Ms: 700, p95Ms: 900 }, leftMs: 1_000, delayMs: 700 },
    {
      name: "not when the budget ends before its p50",
      forecast: { p50Ms: 1_000, p95Ms: 1_500 },
      leftMs: 1_000,
      delayMs: null,
    },
    { name: "not when nothing is left", forecast: null, leftMs: 0, delayMs: null },
    { name: "not when the budget is over", forecast: null, leftMs: -5, delayMs: null },
  ])("$name", ({ forecast: known, leftMs, delayMs }) => expect(hedgeDelayMs(known, leftMs)).toBe(delayMs));

  test("lies between p50 and the end of the budget, and at most at the later of p50 and half", () => {
    fc.assert(
      fc.property(forecast, fc.integer({ min: -1_000, max: 600_000 }), (known, leftMs) => {
        const delayMs = hedgeDelayMs(known, leftMs);
        if (delayMs === null) return leftMs <= 0 || known.p50Ms >= leftMs;
        return delayMs >= known.p50Ms && delayMs < leftMs && delayMs <= Math.max(known.p50Ms, leftMs / 2);
      }),
    );
  });

  test("a target fits when its p50 does; one nobody has measured fits as long as anything is left", () => {
    expect([fits({ p50Ms: 100, p95Ms: 900 }, 100), fits({ p50Ms: 101, p95Ms: 101 }, 100)]).toEqual([true, false]);
    expect([fits(null, 1), fits(null, 0), fits({ p50Ms: 0, p95Ms: 0 }, -1)]).toEqual([true, false, false]);
  });
});

describe("how often", () => {
  let routes = 0;

  test("of N requests at most max(1, ratio × N) hedge, however much they would like to", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.array(fc.boolean(), { maxLength: 400 }),
        (ratio, wishes) => {
          const route = `property-${routes++}`;
          let hedges = 0;
          return wishes.every((wants, index) => {
            earnHedge(route, ratio);
            if (wants && takeHedge(route, ratio)) hedges++;
            return hedges <= Math.max(1, ratio * (index + 1) + 1e-6);
          });
        },
      ),
    );
  });

  test("a route that always wants one gets its share in full: 10 of 100 at a tenth", () => {
    let hedges = 0;
    for (let request = 0; request < 100; request++) {
      earnHedge("always", 0.1);
      if (takeHedge("always", 0.1)) hedges++;
    }
    expect(hedges).toBe(10);
  });

  test("a long calm saves up ten, no more", () => {
    for (let request = 0; request < 10_000; request++) earnHedge("calm", 0.1);
    let hedges = 0;
    while (takeHedge("calm", 0.1)) hedges++;
    // And the first, which is given in advance, comes out of the same account.
    expect(hedges).toBe(10);
  });

  test("a ratio of 0 never hedges, a ratio of 1 always may", () => {
    earnHedge("never", 0);
    expect(takeHedge("never", 0)).toBe(false);
    for (let request = 0; request < 50; request++) {
      earnHedge("every", 1);
      expect(takeHedge("every", 1)).toBe(true);
    }
  });

  test("routes do not share their hedges", () => {
    earnHedge("one", 0.1);
    earnHedge("other", 0.1);
    expect([takeHedge("one", 0.1), takeHedge("one", 0.1), takeHedge("other", 0.1)]).toEqual([true, false, true]);
  });
});
