/**
 * Wrong operator tokens, counted per address: ten a minute, then 429.
 *
 * The platform's rate limiter counts per location and approximately. Where it is not bound, an isolate counts for
 * itself. A right token is never counted, so an attacker elsewhere cannot lock an operator out.
 */

/** The part of the platform's binding that is used. */
export interface AttemptLimiter {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

export const ATTEMPTS_PER_MINUTE = 10;
const MINUTE_MS = 60_000;
/** Addresses that an isolate remembers. Beyond it the oldest window is forgotten. */
const MAX_ADDRESSES = 10_000;

interface Window {
  readonly startedAt: number;
  count: number;
}

const windows = new Map<string, Window>();

/** Counts a wrong token from `address`; `false` when it was one too many. */
export async function mayTryAgain(limiter: AttemptLimiter | undefined, address: string, now: number): Promise<boolean> {
  if (limiter === undefined) return mayTryHere(address, now);
  try {
    return (await limiter.limit({ key: address })).success;
  } catch {
    return mayTryHere(address, now);
  }
}

function mayTryHere(address: string, now: number): boolean {
  const known = windows.get(address);
  if (known !== undefined && now - known.startedAt < MINUTE_MS) return ++known.count <= ATTEMPTS_PER_MINUTE;
  windows.delete(address);
  windows.set(address, { startedAt: now, count: 1 });
  if (windows.size > MAX_ADDRESSES) {
    const oldest = windows.keys().next().value;
    if (oldest !== undefined) windows.delete(oldest);
  }
  return true;
}
