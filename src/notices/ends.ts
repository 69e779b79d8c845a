/** What comes to its end on its own: keys and prices. Nothing happens at such a moment, so somebody has to look. */
import type { Notices } from "./notices.ts";

const DAY_MS = 86_400_000;
const KEY_DAYS = [1, 7] as const;
const PRICE_DAYS = [1, 14] as const;

export interface EndingKey {
  readonly id: string;
  readonly name: string;
  readonly env: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export interface EndingPrice {
  readonly provider: string;
  readonly model: string;
  /** Epoch ms. */
  readonly endsAt: number;
  readonly routes: readonly string[];
}

/**
 * Tells of what ends within its days, once for each, and answers when the next such moment is, epoch ms; `null`: none is
 * known. Part of the caller's transaction.
 */
export function tellEnds(
  notices: Pick<Notices, "add">,
  keys: readonly EndingKey[],
  prices: readonly EndingPrice[],
  now: number,
): number | null {
  const nexts: number[] = [];
  for (const { id, name, env, expiresAt } of keys) {
    const { due, next } = momentOf(expiresAt, KEY_DAYS, now);
    if (next !== null) nexts.push(next);
    if (due === null) continue;
    const data = { key_id: id, name, env, expires_at: new Date(expiresAt).toISOString() };
    notices.add("key.expiring", data, now, `key ${id} ${expiresAt} ${due}`);
  }
  for (const { provider, model, endsAt, routes } of prices) {
    const { due, next } = momentOf(endsAt, PRICE_DAYS, now);
    if (next !== null) nexts.push(next);
    if (due === null) continue;
    const data = { provider, model, valid_until: new Date(endsAt).toISOString(), routes };
    notices.add("price.ending", data, now, `price ${provider}/${model} ${endsAt} ${due}`);
  }
  return nexts.length === 0 ? null : Math.min(...nexts);
}

/** The shortest time that has begun before an end, in days, and when the next one begins. `days` rise. */
function momentOf(
  end: number,
  days: readonly number[],
  now: number,
): { readonly due: number | null; readonly next: number | null } {
  if (end <= now) return { due: null, next: null };
  const due = days.find((each) => end - each * DAY_MS <= now) ?? null;
  const later = days.map((each) => end - each * DAY_MS).filter((at) => at > now);
  return { due, next: later.length === 0 ? null : Math.min(...later) };
}
