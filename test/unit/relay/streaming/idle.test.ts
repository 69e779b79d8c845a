import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { IdleClock } from "../../../../src/relay/streaming/idle.ts";
import { tries } from "../../../support/tries.ts";

const LIMIT_MS = 800;
/** It looks eight times per limit. */
const LATE_MS = LIMIT_MS / 8;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A clock that has run for `ageMs` before its first read, and when it rang. */
function clockAged(ageMs: number): { readonly clock: IdleClock; readonly rangAt: number[] } {
  const rangAt: number[] = [];
  const clock = new IdleClock(LIMIT_MS, () => rangAt.push(Date.now()));
  vi.advanceTimersByTime(ageMs);
  return { clock, rangAt };
}

test("silence rings once, never before the limit and at most one look behind it", () => {
  for (let ageMs = 0; ageMs <= 2 * LATE_MS; ageMs += 7) {
    const { clock, rangAt } = clockAged(ageMs);
    clock.start();
    const from = Date.now();
    vi.advanceTimersByTime(4 * LIMIT_MS);
    expect(rangAt).toHaveLength(1);
    expect(rangAt[0]! - from).toBeGreaterThanOrEqual(LIMIT_MS);
    expect(rangAt[0]! - from).toBeLessThanOrEqual(LIMIT_MS + LATE_MS);
    clock.end();
  }
});

test("a client that is slow to read is no silence", () => {
  const { clock, rangAt } = clockAged(0);
  clock.start();
  vi.advanceTimersByTime(LIMIT_MS - 1);
  clock.stop();
  vi.advanceTimersByTime(20 * LIMIT_MS);
  expect(rangAt).toEqual([]);
});

test("an ended clock neither rings nor keeps a timer", () => {
  const { clock, rangAt } = clockAged(0);
  clock.start();
  vi.advanceTimersByTime(LIMIT_MS / 2);
  clock.end();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(4 * LIMIT_MS);
  expect(rangAt).toEqual([]);
});

test("however reads and writes alternate, it rings for a read that takes the limit, and for no other", () => {
  const turn = fc.record({ readMs: fc.integer({ min: 0, max: LIMIT_MS - 1 }), writeMs: fc.nat(2 * LIMIT_MS) });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 20 }), (turns) => {
      const { clock, rangAt } = clockAged(0);
      for (const { readMs, writeMs } of turns) {
        clock.start();
        vi.advanceTimersByTime(readMs);
        clock.stop();
        vi.advanceTimersByTime(writeMs);
      }
      expect(rangAt).toEqual([]);
      clock.start();
      const from = Date.now();
      vi.advanceTimersByTime(LIMIT_MS + LATE_MS);
      expect(rangAt).toHaveLength(1);
      expect(rangAt[0]! - from).toBeGreaterThanOrEqual(LIMIT_MS);
      clock.end();
    }),
    { numRuns: tries(200) },
  );
});
