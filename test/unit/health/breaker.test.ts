import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Breaker, breakerState, CLOSED_BREAKER, recordOutcomes, sumWindow } from "../../../src/health/breaker.ts";

const T0 = 1_800_000_000_000;
/** At second `at`, so many successes and failures. */
type Step = readonly [at: number, successes: number, failures: number];

const run = (steps: readonly Step[], from: Breaker = CLOSED_BREAKER): Breaker =>
  steps.reduce<Breaker>(
    (breaker, [at, successes, failures]) =>
      recordOutcomes(breaker, { successes, failures, durationMs: successes * 10 }, T0 + at * 1000),
    from,
  );

test.each<{ name: string; steps: readonly Step[]; at: number; state: string }>([
  { name: "is closed at first", steps: [], at: 0, state: "closed" },
  { name: "stays closed below 20 requests", steps: [[0, 0, 19]], at: 0, state: "closed" },
  { name: "opens at 20 requests, all failed", steps: [[0, 0, 20]], at: 0, state: "open" },
  { name: "opens at exactly half", steps: [[0, 10, 10]], at: 0, state: "open" },
  { name: "stays closed below half", steps: [[0, 11, 10]], at: 0, state: "closed" },
  {
    name: "adds up over the window",
    steps: [
      [0, 0, 10],
      [30, 0, 10],
    ],
    at: 30,
    state: "open",
  },
  {
    name: "forgets after a minute",
    steps: [
      [0, 0, 10],
      [61, 0, 10],
    ],
    at: 61,
    state: "closed",
  },
  { name: "stays open for 5 s", steps: [[0, 0, 20]], at: 4.999, state: "open" },
  { name: "lets a probe pass after 5 s", steps: [[0, 0, 20]], at: 5, state: "half_open" },
  {
    name: "ignores what was under way while open",
    steps: [
      [0, 0, 20],
      [1, 50, 0],
    ],
    at: 2,
    state: "open",
  },
  {
    name: "closes after one good probe",
    steps: [
      [0, 0, 20],
      [5, 1, 0],
    ],
    at: 5,
    state: "closed",
  },
  {
    name: "opens again after a bad probe",
    steps: [
      [0, 0, 20],
      [5, 0, 1],
    ],
    at: 14.999,
    state: "open",
  },
  {
    name: "opens for 10 s the second time",
    steps: [
      [0, 0, 20],
      [5, 0, 1],
    ],
    at: 15,
    state: "half_open",
  },
  {
    name: "opens for 20 s the third time",
    steps: [
      [0, 0, 20],
      [5, 0, 1],
      [15, 0, 1],
    ],
    at: 34.999,
    state: "open",
  },
  {
    name: "never opens for longer",
    steps: [
      [0, 0, 20],
      [5, 0, 1],
      [15, 0, 1],
      [35, 0, 1],
    ],
    at: 55,
    state: "half_open",
  },
  {
    name: "a probe half good is not good",
    steps: [
      [0, 0, 20],
      [5, 1, 1],
    ],
    at: 5,
    state: "open",
  },
  {
    name: "waits for an outcome when half open",
    steps: [
      [0, 0, 20],
      [9, 0, 0],
    ],
    at: 9,
    state: "half_open",
  },
  {
    name: "starts anew when it closes",
    steps: [
      [0, 0, 20],
      [5, 1, 0],
      [6, 0, 18],
    ],
    at: 6,
    state: "closed",
  },
  {
    name: "opens for 5 s again after it was closed",
    steps: [
      [0, 0, 20],
      [5, 0, 1],
      [15, 1, 0],
      [16, 0, 20],
    ],
    at: 21,
    state: "half_open",
  },
])("the breaker $name", ({ steps, at, state }) => {
  expect(breakerState(run(steps), T0 + at * 1000)).toBe(state);
});

test("the window sums what it holds", () => {
  const { buckets } = run([
    [0, 2, 1],
    [1, 3, 0],
    [20, 1, 1],
  ]);
  expect(sumWindow(buckets, T0 + 20_000)).toEqual({ successes: 6, failures: 2, durationMs: 60 });
  expect(sumWindow(buckets, T0 + 70_000)).toEqual({ successes: 1, failures: 1, durationMs: 10 });
});

test("a clock that goes back adds to the newest bucket", () => {
  const { buckets } = run([
    [30, 1, 0],
    [0, 1, 0],
  ]);
  expect(buckets).toHaveLength(1);
  expect(sumWindow(buckets, T0 + 30_000).successes).toBe(2);
});

describe("against a model that keeps every outcome", () => {
  const step = fc.record({ pauseMs: fc.nat(15_000), successes: fc.nat(15), failures: fc.nat(15) });

  test("the breaker agrees", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let breaker = CLOSED_BREAKER;
        let seen: { readonly at: number; readonly successes: number; readonly failures: number }[] = [];
        let openUntil = 0;
        let openMs = 0;
        let now = T0;
        for (const { pauseMs, successes, failures } of steps) {
          now += pauseMs;
          breaker = recordOutcomes(breaker, { successes, failures, durationMs: 0 }, now);
          const open = (ms: number): void => {
            openMs = ms;
            openUntil = now + ms;
            seen = [];
          };
          if (openMs > 0 && now >= openUntil && successes + failures > 0) {
            if (failures >= successes) open(Math.min(20_000, openMs * 2));
            else {
              openMs = 0;
              seen = [{ at: now, successes, failures }];
            }
          } else if (openMs === 0) {
            seen.push({ at: now, successes, failures });
            // A bucket leaves the window as a whole, when the oldest thing it can hold is a minute old.
            const inWindow = seen.filter(({ at }) => at - (at % 6_000) > now - 60_000);
            const failed = inWindow.reduce((sum, each) => sum + each.failures, 0);
            const all = failed + inWindow.reduce((sum, each) => sum + each.successes, 0);
            if (all >= 20 && failed * 2 >= all) open(5_000);
          }
          expect(breakerState(breaker, now)).toBe(openMs === 0 ? "closed" : now < openUntil ? "open" : "half_open");
          expect(breaker.buckets.length).toBeLessThanOrEqual(10);
        }
      }),
    );
  });
});
