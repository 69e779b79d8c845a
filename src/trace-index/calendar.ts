/**
 * Which object of the trail holds what: one per environment and UTC day, named `<env>:<YYYY-MM-DD>`. While an environment
 * is busy, its traces go to shards by the hour and a hash of the key: `<env>:<YYYY-MM-DD>:<HH>.<number>-<how many>`.
 *
 * Pure. Times are epoch ms. A trace belongs to the day of its `created_at`, so every object covers a known span and a
 * window of time is a list of names.
 */
import { ENV_NAME } from "../lib/text/name-patterns.ts";
import { DAY_MS, dayStart } from "../lib/time/calendar.ts";

export { DAY_MS, dayStart };

export const HOUR_MS = 3_600_000;
/** Counters are kept per slot: a window that begins inside a day adds up slots. */
export const SLOT_MS = 600_000;
/** The longest window that is answered, today included: every day of a month is in it on the month's last day. */
export const MAX_WINDOW_DAYS = 31;
/** A day more than is asked for, so that no query meets an object that is being deleted. */
const KEPT_DAYS = MAX_WINDOW_DAYS + 1;
/** Clocks of different machines may differ by this much around midnight. */
const CLOCK_SKEW_MS = 60_000;

/** What an object's name says. */
export interface TrailDay {
  readonly env: string;
  /** First ms of the day. */
  readonly startAt: number;
}

export interface Span {
  /** Inclusive. */
  readonly since: number;
  /** Exclusive. */
  readonly until: number;
}

export function trailName(env: string, at: number): string {
  return `${env}:${new Date(dayStart(at)).toISOString().slice(0, 10)}`;
}

/** `null` for a name that is none of ours. */
export function parseTrailName(name: string): TrailDay | null {
  const colon = name.indexOf(":");
  const env = name.slice(0, Math.max(0, colon));
  const day = name.slice(colon + 1);
  const startAt = /^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  const isReal = ENV_NAME.test(env) && Number.isFinite(startAt);
  // A date such as 30 February is read as a day of March.
  return isReal && trailName(env, startAt) === name ? { env, startAt } : null;
}

/** One of several objects that hold the traces of an hour. */
export interface Shard {
  /** First ms of the hour. */
  readonly hourAt: number;
  /** From 0, below `of`. */
  readonly number: number;
  readonly of: number;
}

export function shardName(env: string, { hourAt, number, of }: Shard): string {
  return `${trailName(env, hourAt)}:${new Date(hourAt).toISOString().slice(11, 13)}.${number}-${of}`;
}

/** `null` for a name that is none of a shard. */
export function parseShardName(name: string): { readonly day: TrailDay; readonly shard: Shard } | null {
  const [, dayName = "", hour, number, of] = /^(.{12,60}):([01]\d|2[0-3])\.(\d{1,3})-(\d{1,3})$/.exec(name) ?? [];
  const day = parseTrailName(dayName);
  if (day === null) return null;
  const shard = { hourAt: day.startAt + Number(hour) * HOUR_MS, number: Number(number), of: Number(of) };
  return shardName(day.env, shard) === name && shard.number < shard.of ? { day, shard } : null;
}

/** When the object of that day deletes itself. */
export function expiresAt(startAt: number): number {
  return startAt + KEPT_DAYS * DAY_MS;
}

/** The slot of a time within its day, from 0. */
export function slotOf(at: number, startAt: number): number {
  return Math.floor((at - startAt) / SLOT_MS);
}

/** The part of a requested range that the trail can answer at `now`: at most 31 days back, and not beyond now. */
export function clampSpan(since: number | undefined, until: number | undefined, now: number): Span {
  const oldest = dayStart(now) - (MAX_WINDOW_DAYS - 1) * DAY_MS;
  const newest = dayStart(now + CLOCK_SKEW_MS) + DAY_MS;
  return { since: Math.max(oldest, since ?? oldest), until: Math.min(newest, until ?? newest) };
}

/** First ms of each day that the span touches, newest first. At most 32: 31, and the next one around midnight. */
export function daysOf({ since, until }: Span): number[] {
  const days: number[] = [];
  for (let at = dayStart(until - 1); since < until && at >= dayStart(since); at -= DAY_MS) days.push(at);
  return days;
}

/** First ms of the UTC month of `now`. */
export function monthStart(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** First ms of the month after the one of `at`. */
export function nextMonth(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** The archive that a day belongs to: `<env>:<YYYY-MM>`. */
export function archiveName(env: string, at: number): string {
  return `${env}:${new Date(at).toISOString().slice(0, 7)}`;
}

/** First ms of the month that an archive's name stands for; `null` for a name that is none of ours. */
export function archiveMonth(name: string): number | null {
  const month = /^[a-z][a-z0-9-]{0,30}:(\d{4}-\d{2})$/.exec(name)?.[1];
  const startAt = month === undefined ? Number.NaN : Date.parse(`${month}-01T00:00:00Z`);
  return Number.isFinite(startAt) ? startAt : null;
}
