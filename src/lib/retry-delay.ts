/**
 * How long a vendor asks us to wait, wherever it says so.
 *
 * Pure. The answer is 0 to 60,000 ms: a vendor that asks for an hour is not worth remembering for longer than that,
 * and nonsense ("-1", "soon") counts as silence.
 */
import { isJsonObject } from "./json.ts";

export const MAX_DELAY_MS = 60_000;

/** Milliseconds, or `undefined` when the vendor names no delay. `now` is epoch ms. */
export function retryDelayMs(headers: Headers, body: unknown, now: number): number | undefined {
  const exact = numberText(headers.get("retry-after-ms"));
  // Azure sends `retry-after-ms: 0` beside `retry-after: 1`: zero is its way of saying nothing.
  if (exact !== undefined && exact > 0) return clamp(exact);
  return fromHeader(headers.get("retry-after"), headers.get("date"), now) ?? fromBody(body, now) ?? exact;
}

function clamp(milliseconds: number): number {
  return Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(milliseconds)));
}

/** A whole or decimal number that is not negative. `Number` alone would read "", "0x1f" and "Infinity". */
function numberText(text: unknown): number | undefined {
  if (typeof text === "number") return Number.isFinite(text) && text >= 0 ? text : undefined;
  return typeof text === "string" && /^\s*\d{1,15}(?:\.\d{1,15})?\s*$/.test(text) ? Number(text) : undefined;
}

/** RFC 9110 section 10.2.3: seconds or a date. The date counts from the vendor's own clock where it sent one. */
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

/** OpenRouter repeats the headers of the vendor behind it. Its reset is epoch ms. */
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
