import fc from "fast-check";
import { expect, test } from "vitest";
import { RateWindow } from "../../../src/ledger/rates.ts";
import { T0 } from "./fakes.ts";

const pauses = fc.array(fc.oneof(fc.nat({ max: 3_000 }), fc.nat({ max: 70_000 })), { minLength: 1, maxLength: 60 });

/** Admits whenever the window allows it, after each pause. */
function run(limit: number, waits: readonly number[]) {
  const window = new RateWindow();
  const admitted: number[] = [];
  const refused: { readonly at: number; readonly retryAfterMs: number }[] = [];
  let now = T0 + 317;
  for (const pause of waits) {
    now += pause;
    const wait = window.wait({ requests_per_minute: limit }, 1, 0, now);
    if (wait !== null) {
      refused.push({ at: now, retryAfterMs: wait.retryAfterMs });
      continue;
    }
    window.add(now, 1, 0);
    admitted.push(now);
  }
  return { window, admitted, refused };
}

test("in any 60 seconds of the clock a key gets at most its limit", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), pauses, (limit, waits) => {
      const { admitted } = run(limit, waits);
      for (const at of admitted) {
        const end = Math.floor(at / 1_000);
        const within = admitted.filter((other) => Math.floor(other / 1_000) > end - 60 && other <= at);
        expect(within.length).toBeLessThanOrEqual(limit);
      }
    }),
  );
});

test("who waits as long as told is admitted, and the wait is 1 to 60 seconds and no longer than needed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), pauses, fc.nat({ max: 400 }), (limit, waits, tokens) => {
      const { window } = run(limit, waits);
      const now = T0 + 317 + waits.reduce((sum, pause) => sum + pause, 0);
      window.add(now, 0, tokens);
      const limits = { requests_per_minute: limit, tokens_per_minute: 300 };
      const wait = window.wait(limits, 1, 50, now);
      if (wait === null) return;
      expect(wait.retryAfterMs).toBeGreaterThanOrEqual(1_000);
      expect(wait.retryAfterMs).toBeLessThanOrEqual(60_000);
      // The other limit may still be in the way; this one is not.
      expect(window.wait(limits, 1, 50, now + wait.retryAfterMs)?.reason).not.toBe(wait.reason);
      if (wait.retryAfterMs === 1_000) return;
      const copy = run(limit, waits).window;
      copy.add(now, 0, tokens);
      expect(copy.wait(limits, 1, 50, now + wait.retryAfterMs - 1)?.reason).toBe(wait.reason);
    }),
  );
});

test("a bound above the whole limit runs alone in the window, or it never could", () => {
  const window = new RateWindow();
  const limits = { tokens_per_minute: 100 };
  expect(window.wait(limits, 1, 5_000, T0)).toBeNull();
  window.add(T0, 1, 5_000);
  expect(window.wait(limits, 1, 1, T0)).toMatchObject({ reason: "tokens" });
  // It used less than its bound.
  window.add(T0, 0, 30 - 5_000);
  expect(window.wait(limits, 1, 70, T0)).toBeNull();
  expect(window.wait(limits, 1, 71, T0)).toMatchObject({ reason: "tokens", retryAfterMs: 60_000 });
});

test("tokens never fall below nothing, and what is corrected after it left the window changes nothing", () => {
  const window = new RateWindow();
  window.add(T0, 0, 10);
  window.add(T0, 0, -25);
  expect(window.used(T0)).toEqual({ requests: 0, tokens: 0 });
  window.add(T0, 1, 40);
  expect(window.used(T0 + 60_000)).toEqual({ requests: 0, tokens: 0 });
  window.add(T0, -1, -40);
  window.add(T0, 0, 7);
  expect(window.used(T0 + 60_000)).toEqual({ requests: 0, tokens: 0 });
});

test("a clock that is set back does not keep a key out for an hour", () => {
  const window = new RateWindow();
  window.add(T0 + 3_600_000, 5, 5);
  expect(window.wait({ requests_per_minute: 1 }, 1, 0, T0)).toBeNull();
});

test.each([
  { limits: null, state: null },
  { limits: {}, state: null },
  { limits: { concurrency: 3 }, state: null },
  {
    limits: { requests_per_minute: 3 },
    state: {
      limitRequests: 3,
      remainingRequests: 1,
      resetRequestsMs: 55_000,
      limitTokens: null,
      remainingTokens: 0,
      resetTokensMs: 0,
    },
  },
  {
    limits: { requests_per_minute: 1, tokens_per_minute: 500 },
    state: {
      limitRequests: 1,
      remainingRequests: 0,
      resetRequestsMs: 55_000,
      limitTokens: 500,
      remainingTokens: 490,
      resetTokensMs: 50_000,
    },
  },
])("what is left under $limits", ({ limits, state }) => {
  const window = new RateWindow();
  window.add(T0 - 70_000, 9, 9);
  window.add(T0 - 10_000, 1, 10);
  window.add(T0 - 5_000, 1, 0);
  expect(window.state(limits, T0)).toEqual(state);
});

test("an empty window is reset at once", () => {
  const state = new RateWindow().state({ requests_per_minute: 2, tokens_per_minute: 9 }, T0);
  expect(state).toMatchObject({ remainingRequests: 2, resetRequestsMs: 0, remainingTokens: 9, resetTokensMs: 0 });
});

test("a debt leaves less room in the minutes after, a whole limit of it per minute", () => {
  const window = new RateWindow();
  const limits = { tokens_per_minute: 100 };
  const debt = { tokens: 150, at: T0 };
  expect(window.wait(limits, 1, 100, T0, debt)).toEqual({ reason: "tokens", retryAfterMs: 60_000 });
  expect(window.state(limits, T0, debt)).toMatchObject({ remainingTokens: 0, resetTokensMs: 90_000 });
  expect(window.wait(limits, 1, 50, T0 + 45_000, debt)).toEqual({ reason: "tokens", retryAfterMs: 15_000 });
  expect(window.wait(limits, 1, 50, T0 + 60_000, debt)).toBeNull();
  expect(window.wait(limits, 1, 100, T0 + 89_000, debt)).toEqual({ reason: "tokens", retryAfterMs: 1_000 });
  expect(window.wait(limits, 1, 100, T0 + 90_000, debt)).toBeNull();
});

test("whatever is owed and used, who waits as long as told is admitted, and not a second sooner", () => {
  const uses = fc.array(fc.tuple(fc.nat({ max: 59 }), fc.nat({ max: 300 })), { maxLength: 8 });
  fc.assert(
    fc.property(uses, fc.nat({ max: 600 }), fc.integer({ min: 1, max: 400 }), (used, owed, tokens) => {
      const window = new RateWindow();
      for (const [second, count] of used) window.add(T0 - second * 1_000, 0, count);
      const [limits, debt] = [{ tokens_per_minute: 300 }, { tokens: owed, at: T0 }];
      const wait = window.wait(limits, 1, tokens, T0, debt);
      if (wait === null || wait.retryAfterMs === 60_000) return;
      expect(wait.retryAfterMs).toBeGreaterThanOrEqual(1_000);
      if (wait.retryAfterMs > 1_000)
        expect(window.wait(limits, 1, tokens, T0 + wait.retryAfterMs - 1, debt)).not.toBeNull();
      expect(window.wait(limits, 1, tokens, T0 + wait.retryAfterMs, debt)).toBeNull();
    }),
  );
});

test("of two limits that are reached the one that lasts longer is named", () => {
  const window = new RateWindow();
  window.add(T0 - 50_000, 1, 0);
  window.add(T0 - 10_000, 0, 90);
  const limits = { requests_per_minute: 1, tokens_per_minute: 100 };
  expect(window.wait(limits, 1, 20, T0)).toEqual({ reason: "tokens", retryAfterMs: 50_000 });
});
