/**
 * Whether a reservation may be requested in parallel with its call, instead of before it.
 *
 * What this isolate last heard of a key: plain data in module scope. A call that is refused after it was sent may still
 * be billed by the provider, so it is sent early only where a refusal is all but impossible.
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
  /** Requests that may start before they are answered; `null`: nothing was said of it. */
  freeSlots: number | null;
  /** Free of what budgets above the key have leased to its ledger; `null`: nothing was said of it. */
  leasedNanoUsd: number | null;
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
export function mayStartEarly(keyId: string, reservation: Reservation, now: number): boolean {
  const { boundNanoUsd, boundTokens, terms, budgets = [] } = reservation;
  const known = keys.get(keyId);
  if (known === undefined || known.keyVersion !== terms.version) return false;
  if (now - known.heardAt > MONEY_FRESH_MS || now - known.confirmedAt > LIVE_FRESH_MS) return false;
  const { remainingNanoUsd, rate } = known;
  const { nanoUsd: inFlightNanoUsd, calls: inFlightCalls } = asked.get(keyId) ?? NOTHING;
  if (terms.budget !== null) {
    if (remainingNanoUsd === null || remainingNanoUsd - inFlightNanoUsd < ROOM_FACTOR * boundNanoUsd) return false;
    // A free call says nothing about a budget that is used up.
    if (remainingNanoUsd <= 0) return false;
  }
  if (budgets.some(({ on_exceeded }) => on_exceeded === "deny")) {
    if ((known.leasedNanoUsd ?? 0) - inFlightNanoUsd < ROOM_FACTOR * boundNanoUsd) return false;
  }
  if (terms.limits === null) return true;
  const { concurrency, requests_per_minute, tokens_per_minute } = terms.limits;
  // The share of this isolate alone: what all of them start at once is not too many.
  if (concurrency !== undefined && (known.freeSlots ?? 0) - inFlightCalls < 1) return false;
  if (rate === null) return requests_per_minute === undefined && tokens_per_minute === undefined;
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

type Heard = Pick<Headroom, "remainingNanoUsd" | "rate" | "keyVersion"> &
  Pick<SettleAnswer, "freeSlots" | "leasedNanoUsd">;

/**
 * The ledger has admitted the key, and reported its balance. `heardAt`: when the answer came, epoch ms; one that is
 * seen late says nothing new.
 */
export function noteAdmitted(
  keyId: string,
  { remainingNanoUsd, rate, keyVersion, freeSlots, leasedNanoUsd }: Heard,
  heardAt: number,
): void {
  const known = keys.get(keyId);
  if (known !== undefined && known.heardAt > heardAt) return;
  // Within one group the smallest remainder is the newest.
  const sameMoment = known?.heardAt === heardAt ? known : null;
  const least = smaller(sameMoment?.remainingNanoUsd ?? null, remainingNanoUsd);
  const slots = smaller(sameMoment?.freeSlots ?? null, freeSlots ?? null);
  keys.delete(keyId);
  const leased = smaller(sameMoment?.leasedNanoUsd ?? null, leasedNanoUsd ?? null);
  keys.set(keyId, {
    ...{ remainingNanoUsd: least, rate, keyVersion, heardAt, confirmedAt: heardAt, freeSlots: slots },
    leasedNanoUsd: leased,
  });
  if (keys.size <= MAX_KEYS) return;
  const oldest = keys.keys().next().value;
  if (oldest !== undefined) keys.delete(oldest);
}

/** `now`, unless something smaller was heard at the same moment. */
function smaller(before: number | null, now: number | null): number | null {
  return before === null || now === null ? now : Math.min(before, now);
}

/** What came back with a settlement. It says nothing about rates, so what was known of them grows old. */
export function noteSettled(keyId: string, answer: SettleAnswer, now: number): void {
  const { revoked, keyVersion, remainingNanoUsd, freeSlots = null, leasedNanoUsd = null } = answer;
  const known = keys.get(keyId);
  if (known === undefined) return;
  if (revoked) keys.delete(keyId);
  known.keyVersion = keyVersion;
  known.freeSlots = freeSlots;
  known.leasedNanoUsd = leasedNanoUsd;
  known.confirmedAt = now;
  if (known.rate !== null) return;
  known.remainingNanoUsd = remainingNanoUsd;
  known.heardAt = now;
}

/** The key was refused, or is gone: its next call asks first. */
export function forgetHeadroom(keyId: string): void {
  keys.delete(keyId);
}
