/** Periods of time zones, against dates that were looked up, and against each other. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTimeZone, PERIODS, type Period, spanOf } from "../../../src/lib/time/calendar.ts";

const iso = (at: number): string => new Date(at).toISOString().slice(0, 16);
const HOUR_MS = 3_600_000;
const ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"];

describe("a period of a zone", () => {
  const rows: readonly (readonly [Period, string, string, string, string])[] = [
    ["day", "UTC", "2026-11-30T23:59", "2026-11-30T00:00", "2026-12-01T00:00"],
    ["month", "UTC", "2024-02-29T12:00", "2024-02-01T00:00", "2024-03-01T00:00"],
    // Monday to Monday, over the end of a year.
    ["week", "UTC", "2027-01-03T23:59", "2026-12-28T00:00", "2027-01-04T00:00"],
    ["week", "UTC", "2026-11-30T00:00", "2026-11-30T00:00", "2026-12-07T00:00"],
    // 23 and 25 hours.
    ["day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"],
    ["day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"],
    ["week", "Europe/Berlin", "2026-10-25T12:00", "2026-10-18T22:00", "2026-10-25T23:00"],
    ["month", "America/New_York", "2026-11-30T23:00", "2026-11-01T04:00", "2026-12-01T05:00"],
    // There is no midnight: the day begins at one o'clock. In autumn midnight comes twice, and the first one counts.
    ["day", "America/Havana", "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00"],
    ["day", "America/Havana", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00"],
    // Samoa went without 30 December 2011.
    ["day", "Pacific/Apia", "2011-12-30T09:00", "2011-12-29T10:00", "2011-12-30T10:00"],
    ["day", "Asia/Kathmandu", "2026-11-30T18:15", "2026-11-30T18:15", "2026-12-01T18:15"],
  ];
  test.each(rows)("%s in %s at %s", (period, zone, at, start, end) => {
    const span = spanOf(period, zone, Date.parse(`${at}Z`));
    expect([iso(span.start), iso(span.end)]).toEqual([start, end]);
  });

  test("spans follow one another without a gap, and hold every moment that is asked for", () => {
    const at = fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2040, 0) });
    fc.assert(
      fc.property(at, fc.constantFrom(...ZONES), fc.constantFrom(...PERIODS), (moment, zone, period) => {
        const span = spanOf(period, zone, moment);
        expect(span.start <= moment && moment < span.end).toBe(true);
        if (period === "total") return;
        expect(spanOf(period, zone, span.end).start).toBe(span.end);
        expect(spanOf(period, zone, span.start - 1).end).toBe(span.start);
        // Every offset is a multiple of a quarter of an hour, which holds are counted by.
        expect(span.start % (HOUR_MS / 4)).toBe(0);
        if (period !== "day") expect(spanOf("day", zone, span.start).start).toBe(span.start);
      }),
    );
  });

  test("in a zone that the runtime does not know is all time: never too little", () => {
    expect(spanOf("day", "Mars/Olympus", 0)).toEqual({
      start: Number.NEGATIVE_INFINITY,
      end: Number.POSITIVE_INFINITY,
    });
  });
});

test.each([
  ["Europe/Berlin", true],
  ["America/Argentina/Buenos_Aires", true],
  ["UTC", true],
  ["Etc/GMT+5", true],
  ["+02:00", false],
  ["Mars/Olympus", false],
  ["", false],
  ["Europe/Berlin ", false],
  ["a/".repeat(60), false],
])("%j is a time zone: %s", (zone, expected) => {
  expect(isTimeZone(zone)).toBe(expected);
});
