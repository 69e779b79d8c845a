/**
 * How long a provider asks us to wait, wherever it says so.
 *
 * Pure. The answer is 0 to 60,000 ms: a provider that asks for an hour is not worth remembering for longer than that,
 * and nonsense ("-1", "soon") counts as silence.
 */
import { isJsonObject } from "../json.ts";

const MAX_DELAY_MS = 60_000;

/** Milliseconds, or `undefined` when the provider names no delay. `now` is epoch ms. */
export function retryDelayMs(headers: Headers, body: unknown, now: number): number | undefined {
  const exact = numberText(headers.get("retry-after-ms"));
  // Azure sends `retry-after-ms: 0` along with `retry-after: 1`: zero is its way of saying nothing.
  if (exact !== undefined && exact > 0) return clamp(exact);
  return fromHeader(headers.get("retry-after"), headers.get("date"), now) ?? fromBody(body, now) ?? exact;
}

/**
 * When the limits that a 429 tells of are full again, for a provider that sends no `retry-after`: the latest of those
 * that are used up, else the earliest of those of which it does not say how much is left. `undefined` for none.
 */
export function resetDelayMs(headers: Headers, now: number): number | undefined {
  const exhausted: number[] = [];
  const unknown: number[] = [];
  for (const [name, value] of headers) {
    if (!name.includes("ratelimit") || !name.includes("reset")) continue;
    const delay = resetMs(value, now);
    if (delay === undefined) continue;
    const left = numberText(headers.get(name.replace("reset", "remaining")));
    if (left === undefined) unknown.push(delay);
    else if (left <= 0) exhausted.push(delay);
  }
  if (exhausted.length > 0) return clamp(Math.max(...exhausted));
  return unknown.length === 0 ? undefined : clamp(Math.min(...unknown));
}

/** `7s`, `6m0s`, `120ms`, a count of seconds, an epoch in seconds or milliseconds, or a date (RFC 3339). */
function resetMs(value: string, now: number): number | undefined {
  const seconds = numberText(value);
  if (seconds !== undefined) {
    if (seconds > 1e12) return seconds - now;
    return seconds > 1e9 ? seconds * 1000 - now : seconds * 1000;
  }
  if (/^\d{4}-\d\d-\d\dT/.test(value)) {
    const until = Date.parse(value);
    return Number.isNaN(until) ? undefined : until - now;
  }
  return durationMs(value);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** As Go writes durations. */
function durationMs(text: string): number | undefined {
  if (text.length > 40) return undefined;
  let total = 0;
  let readUpTo = 0;
  for (const match of text.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ms|[smhd])/g)) {
    if (match.index !== readUpTo) return undefined;
    total += Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0);
    readUpTo += match[0].length;
  }
  return readUpTo > 0 && readUpTo === text.length ? total : undefined;
}

function clamp(milliseconds: number): number {
  return Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(milliseconds)));
}

/** A whole or decimal number that is not negative. `Number` alone would read "", "0x1f" and "Infinity". */
function numberText(text: unknown): number | undefined {
  if (typeof text === "number") return Number.isFinite(text) && text >= 0 ? text : undefined;
  return typeof text === "string" && /^\s*\d{1,15}(?:\.\d{1,15})?\s*$/.test(text) ? Number(text) : undefined;
}

/** RFC 9110 section 10.2.3: seconds or a date. The date counts from the provider's own clock where it sent one. */
function fromHeader(value: string | null, sentAt: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  const seconds = numberText(value);
  if (seconds !== undefined) return clamp(seconds * 1000);
  // Every form of an HTTP date begins with the name of a day. `Date.parse` alone would take "-1" for a year.
  if (!/^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(value)) return undefined;
  const until = Date.parse(value);
  const from = sentAt === null ? Number.NaN : Date.parse(sentAt);
  return Number.isNaN(until) ? undefined : clamp(until - (Number.isNaN(from) ? now : from));
}

function fromBody(body: unknown, now: number): number | undefined {
  const outer = Array.isArray(body) ? body[0] : body;
  if (!isJsonObject(outer)) return undefined;
  const error = isJsonObject(outer["error"]) ? outer["error"] : outer;
  return fromGoogleDetails(error["details"]) ?? fromMetadata(error["metadata"], now) ?? fromMembers(error);
}

/** `google.rpc.RetryInfo`: `"retryDelay": "48s"`, also `"1.5s"`. */
function fromGoogleDetails(details: unknown): number | undefined {
  if (!Array.isArray(details)) return undefined;
  for (const detail of details) {
    const delay = isJsonObject(detail) ? detail["retryDelay"] : undefined;
    const seconds = typeof delay === "string" && delay.endsWith("s") ? numberText(delay.slice(0, -1)) : undefined;
    if (seconds !== undefined) return clamp(seconds * 1000);
  }
  return undefined;
}

/** OpenRouter repeats the headers of the provider behind it. Its reset is epoch ms. */
function fromMetadata(metadata: unknown, now: number): number | undefined {
  if (!isJsonObject(metadata)) return undefined;
  const own = fromMembers(metadata);
  if (own !== undefined || !isJsonObject(metadata["headers"])) return own;
  const headers = new Map(Object.entries(metadata["headers"]).map(([name, value]) => [name.toLowerCase(), value]));
  const after = headers.get("retry-after");
  const delay = fromHeader(typeof after === "number" || typeof after === "string" ? String(after) : null, null, now);
  if (delay !== undefined) return delay;
  const resetAt = numberText(headers.get("x-ratelimit-reset"));
  // Anything smaller is a count of seconds or a date in another unit: not ours to guess.
  return resetAt !== undefined && resetAt > 1e12 ? clamp(resetAt - now) : undefined;
}

function fromMembers(error: Readonly<Record<string, unknown>>): number | undefined {
  const exact = numberText(error["retry_after_ms"]);
  if (exact !== undefined) return clamp(exact);
  const seconds = numberText(error["retry_after_seconds"] ?? error["retry_after"]);
  return seconds === undefined ? undefined : clamp(seconds * 1000);
}
