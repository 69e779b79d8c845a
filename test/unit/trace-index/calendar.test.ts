import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  clampSpan,
  DAY_MS,
  dayStart,
  daysOf,
  expiresAt,
  monthStart,
  parseTrailName,
  SLOT_MS,
  slotOf,
  trailName,
} from "../../../src/trace-index/calendar.ts";

/** 2020 to 2090. */
const time = fc.integer({ min: 1_577_836_800_000, max: 3_786_912_000_000 });

test("a name says environment and day, and is found from any time of the day", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/), time, (env, at) => {
      expect(parseTrailName(trailName(env, at))).toEqual({ env, startAt: dayStart(at) });
    }),
  );
});

test.each([
  "",
  "production",
  ":2026-11-22",
  "production:",
  "production:2026-02-30",
  "production:2026-11-22T00",
  "Pro:2026-11-22",
  "a:b:2026-11-22",
  "production:20261122",
  "production: 2026-11-22",
])("%j is no name of the trail", (name) => {
  expect(parseTrailName(name)).toBeNull();
});

describe("a window", () => {
  const wish = fc.option(time, { nil: undefined });

  test("is a list of days that covers it without a gap, newest first, and never more than 32", () => {
    fc.assert(
      fc.property(wish, wish, time, (since, until, now) => {
        const span = clampSpan(since, until, now);
        const days = daysOf(span);
        expect(days.length).toBeLessThanOrEqual(32);
        if (span.since >= span.until) {
          expect(days).toEqual([]);
          return;
        }
        expect(days[0]).toBe(dayStart(span.until - 1));
        expect(days.at(-1)).toBe(dayStart(span.since));
        for (const [at, day] of days.slice(1).entries()) expect((days[at] ?? 0) - day).toBe(DAY_MS);
      }),
    );
  });

  test("never reaches a day that may have been deleted, and always this whole month", () => {
    fc.assert(
      fc.property(wish, time, (since, now) => {
        for (const day of daysOf(clampSpan(since, undefined, now)))
          expect(expiresAt(day)).toBeGreaterThan(now + DAY_MS / 2);
        expect(clampSpan(monthStart(now), undefined, now).since).toBe(monthStart(now));
      }),
    );
  });

  test("keeps what was asked for where the trail has it", () => {
    fc.assert(
      fc.property(time, fc.nat(29 * DAY_MS), fc.nat(DAY_MS), (now, ageMs, lengthMs) => {
        const since = now - ageMs;
        const until = Math.min(now, since + lengthMs);
        expect(clampSpan(since, until, now)).toEqual({ since, until });
      }),
    );
  });
});

test("a day has 144 slots, each time lies in one of them, and they begin where a window may be rounded to", () => {
  fc.assert(
    fc.property(time, (at) => {
      const slot = slotOf(at, dayStart(at));
      expect(slot).toBeGreaterThanOrEqual(0);
      expect(slot).toBeLessThan(DAY_MS / SLOT_MS);
      expect(dayStart(at) + slot * SLOT_MS).toBe(at - (at % SLOT_MS));
    }),
  );
});
