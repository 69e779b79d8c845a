/**
 * Days, weeks and months of a time zone: when the one that a moment belongs to begins and ends.
 *
 * A period begins at the first moment of its first local date. That is midnight, or where daylight saving begins at
 * midnight the hour after it; a date that a zone left out begins with the next one. Zones are those of the IANA time zone
 * database (https://www.iana.org/time-zones), by what the runtime knows of them. Weeks begin on Monday (ISO 8601).
 */

export const PERIODS = ["day", "week", "month", "total"] as const;
export type Period = (typeof PERIODS)[number];

export interface Span {
  /** Epoch ms, inclusive. */
  readonly start: number;
  /** Epoch ms, exclusive; infinite where it never ends. */
  readonly end: number;
}

/** A day of UTC, in ms. */
export const DAY_MS = 86_400_000;
/** No zone is further from UTC than 14 hours, and no clock was ever set by more than a day. */
const REACH_MS = 40 * 3_600_000;
const EVER: Span = { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY };

/** A name of the database, and no offset: `+02:00` knows no daylight saving. */
const ZONE = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]{1,40}){0,2}$/;
const MAX_ZONE_LENGTH = 64;

/** One per zone that was asked for; making one costs more than all of its answers. */
const clocks = new Map<string, Intl.DateTimeFormat>();
const MAX_CLOCKS = 500;
/** The span that was found last, by zone and period. */
const found = new Map<string, Span>();

/** When the day in UTC begins that `at` (epoch ms) belongs to. */
export function dayStart(at: number): number {
  return Math.floor(at / DAY_MS) * DAY_MS;
}

export function isTimeZone(zone: string): boolean {
  return zone.length <= MAX_ZONE_LENGTH && ZONE.test(zone) && clockOf(zone) !== null;
}

/** The period that `at` (epoch ms) belongs to. A zone that this runtime does not know: all times, which is never too little. */
export function spanOf(period: Period, zone: string, at: number): Span {
  if (period === "total") return EVER;
  const name = `${period} ${zone}`;
  const last = found.get(name);
  if (last !== undefined && at >= last.start && at < last.end) return last;
  const clock = clockOf(zone);
  if (clock === null) return EVER;
  const first = firstDay(period, dayOf(clock, at));
  const next = period === "day" ? first + 1 : period === "week" ? first + 7 : nextMonth(first);
  const span = { start: startOf(clock, first), end: startOf(clock, next) };
  if (found.size >= MAX_CLOCKS) found.clear();
  found.set(name, span);
  return span;
}

/** Days since 1970 of the first date of the period that `day` is in. */
function firstDay(period: Exclude<Period, "total">, day: number): number {
  // 1970 began on a Thursday.
  if (period === "week") return day - ((((day + 3) % 7) + 7) % 7);
  return period === "day" ? day : day - new Date(day * DAY_MS).getUTCDate() + 1;
}

function nextMonth(day: number): number {
  const date = new Date(day * DAY_MS);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) / DAY_MS;
}

/** The first moment at which the clock shows the date `day` or a later one, to the millisecond. */
function startOf(clock: Intl.DateTimeFormat, day: number): number {
  let before = day * DAY_MS - REACH_MS;
  let from = day * DAY_MS + REACH_MS;
  while (from - before > 1) {
    const middle = Math.floor((before + from) / 2);
    if (dayOf(clock, middle) >= day) from = middle;
    else before = middle;
  }
  return from;
}

/** The local date at `at`, in days since 1970. */
function dayOf(clock: Intl.DateTimeFormat, at: number): number {
  const [month = 1, day = 1, year = 0] = clock.format(at).split("/").map(Number);
  return Date.UTC(year, month - 1, day) / DAY_MS;
}

function clockOf(zone: string): Intl.DateTimeFormat | null {
  const known = clocks.get(zone);
  if (known !== undefined) return known;
  try {
    // The language that every runtime has: month/day/year.
    const parts = { year: "numeric", month: "numeric", day: "numeric" } as const;
    const clock = new Intl.DateTimeFormat("en-US", { timeZone: zone, calendar: "gregory", ...parts });
    if (clocks.size >= MAX_CLOCKS) clocks.clear();
    clocks.set(zone, clock);
    return clock;
  } catch {
    return null;
  }
}
