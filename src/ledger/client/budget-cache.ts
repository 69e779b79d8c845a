/**
 * Whether a reservation may be asked for beside the call it is for, instead of before it.
 *
 * What this isolate last heard of a key: plain data in module scope. A call that is refused after it was sent may still
 * be billed by the vendor, so it is sent early only where a refusal is all but impossible.
 */
import type { RateState, Reservation, SettleAnswer } from "../types.ts";

/** How long what a ledger said of its money and rates is believed. */
const MONEY_FRESH_MS = 5_000;
/** How long a key counts as live after its ledger last confirmed it. */
const LIVE_FRESH_MS = 30_000;
/** There must be room for so many calls like this one. */
const ROOM_FACTOR = 20;
/** Keys with a budget or limits that are in use here. Beyond it the one not used for the longest time is forgotten. */
const MAX_KEYS = 5_000;

interface Headroom {
  remainingNanoUsd: number | null;
  rate: RateState | null;
  heardAt: number;
  confirmedAt: number;
  keyVersion: number;
}

/** What this isolate has asked for and was not answered yet. */
interface Asked {
  nanoUsd: number;
  calls: number;
}

const NOTHING: Readonly<Asked> = { nanoUsd: 0, calls: 0 };

const keys = new Map<string, Headroom>();
/** Apart from what is known of a key: a crowd asks before anything is, and goes on being answered after a refusal. */
const asked = new Map<string, Asked>();

/** The call may start before the ledger has answered. The first of a key in an isolate never may. */
export function mayStartEarly(keyId: string, { boundNanoUsd, boundTokens, terms }: Reservation, now: number): boolean {
  const known = keys.get(keyId);
  // Who runs at the same moment is known to the ledger alone.
  if (known === undefined || terms.limits?.concurrency !== undefined || known.keyVersion !== terms.version)
    return false;
  if (now - known.heardAt > MONEY_FRESH_MS || now - known.confirmedAt > LIVE_FRESH_MS) return false;
  const { remainingNanoUsd, rate } = known;
  const { nanoUsd: inFlightNanoUsd, calls: inFlightCalls } = asked.get(keyId) ?? NOTHING;
  if (terms.budget !== null) {
    if (remainingNanoUsd === null || remainingNanoUsd - inFlightNanoUsd < ROOM_FACTOR * boundNanoUsd) return false;
    // A free call says nothing about a budget that is used up.
    if (remainingNanoUsd <= 0) return false;
  }
  if (terms.limits === null) return true;
  if (rate === null) return false;
  const hasRequests = rate.limitRequests === null || rate.remainingRequests - inFlightCalls >= ROOM_FACTOR;
  const hasTokens = rate.limitTokens === null || rate.remainingTokens >= (ROOM_FACTOR + inFlightCalls) * boundTokens;
  return hasRequests && hasTokens;
}

/** A reservation is asked for. To be ended with `noteAnswered`. */
export function noteAsked(keyId: string, boundNanoUsd: number): void {
  const { nanoUsd, calls } = asked.get(keyId) ?? NOTHING;
  asked.set(keyId, { nanoUsd: nanoUsd + boundNanoUsd, calls: calls + 1 });
}

export function noteAnswered(keyId: string, boundNanoUsd: number): void {
  const { nanoUsd, calls } = asked.get(keyId) ?? NOTHING;
  if (calls <= 1) asked.delete(keyId);
  else asked.set(keyId, { nanoUsd: nanoUsd - boundNanoUsd, calls: calls - 1 });
}

/**
 * The ledger has admitted the key, and said how it stands. `heardAt`: when the answer came, epoch ms; one that is seen
 * late says nothing new.
 */
export function noteAdmitted(
  keyId: string,
  { remainingNanoUsd, rate, keyVersion }: Pick<Headroom, "remainingNanoUsd" | "rate" | "keyVersion">,
  heardAt: number,
): void {
  const known = keys.get(keyId);
  if (known !== undefined && known.heardAt > heardAt) return;
  // Of a group the last one left least, whoever looks last.
  const isSameMoment = known?.heardAt === heardAt && known.remainingNanoUsd !== null && remainingNanoUsd !== null;
  const least = isSameMoment ? Math.min(known.remainingNanoUsd ?? 0, remainingNanoUsd) : remainingNanoUsd;
  keys.delete(keyId);
  keys.set(keyId, { remainingNanoUsd: least, rate, keyVersion, heardAt, confirmedAt: heardAt });
  if (keys.size <= MAX_KEYS) return;
  const oldest = keys.keys().next().value;
  if (oldest !== undefined) keys.delete(oldest);
}

/** What came back with a settlement. It says nothing about rates, so what was known of them grows old. */
export function noteSettled(keyId: string, { revoked, keyVersion, remainingNanoUsd }: SettleAnswer, now: number): void {
  const known = keys.get(keyId);
  if (known === undefined) return;
  if (revoked) keys.delete(keyId);
  known.keyVersion = keyVersion;
  known.confirmedAt = now;
  if (known.rate !== null) return;
  known.remainingNanoUsd = remainingNanoUsd;
  known.heardAt = now;
}

/** The key was refused, or is gone: its next call asks first. */
export function forgetHeadroom(keyId: string): void {
  keys.delete(keyId);
}
