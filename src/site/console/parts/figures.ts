/** Numbers and times as the console writes them. An unknown figure is a dash, never a zero. */

export const UNKNOWN = "–";

/** Made once: `toLocaleString` makes one for each number, and a table has thousands. */
const WHOLE = new Intl.NumberFormat("en-US");
const MONEY = [2, 4, 6].map(
  (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: digits }),
);

export const count = (value: number | null | undefined): string => (value == null ? UNKNOWN : WHOLE.format(value));

/** At least two decimals, more where the amount is small. */
export function usd(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  const size = Math.abs(value);
  const format = MONEY[size === 0 || size >= 1 ? 0 : size >= 0.01 ? 1 : 2];
  return `${value < 0 ? "−" : ""}$${format?.format(size) ?? size}`;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration: `840 ms`, `1.2 s`, `3 min`. */
export function duration(ms: number | null | undefined): string {
  if (ms == null) return UNKNOWN;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(2)} s`;
  if (ms < MINUTE) return `${(ms / SECOND).toFixed(0)} s`;
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms < DAY) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} d`;
}

/** How far a time is from now: `3 min ago`, `in 2 h`. */
export function relative(time: string | null | undefined, now = Date.now()): string {
  if (time == null) return UNKNOWN;
  const away = Date.parse(time) - now;
  if (Number.isNaN(away)) return UNKNOWN;
  if (Math.abs(away) < 5 * SECOND) return "now";
  return away < 0 ? `${duration(-away)} ago` : `in ${duration(away)}`;
}

/** Time of day, in UTC like everything here: `01:38:39`. */
export function clock(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toISOString().slice(11, 19);
}

/** The beginning of a day that a reader chose, as the control plane takes it; no day stays none. */
export const dayStart = (day: string): string => (day === "" ? "" : `${day}T00:00:00Z`);

export function share(part: number, whole: number): string {
  return whole === 0 ? UNKNOWN : `${((100 * part) / whole).toFixed(part === whole || part === 0 ? 0 : 1)} %`;
}

/** The change against the period before, in words; empty where there was nothing before. */
export function change(now: number, before: number | null): string {
  if (before === null || before === 0) return "";
  const ratio = (100 * (now - before)) / before;
  if (Math.abs(ratio) < 0.5) return "as before";
  if (ratio > 999) return "over ten times the period before";
  return `${ratio > 0 ? "+" : "−"}${Math.abs(ratio).toFixed(0)} % on the period before`;
}
