/**
 * Requests and tokens of the last minute, and what a rate limit says about one more. Pure.
 *
 * The window is 60 slots of one second, the running one included: in any 60 seconds of the clock a key gets at most
 * its limit. Tokens enter with what their reservation expects and are corrected in the slot they entered; what was used
 * beyond is a debt, which leaves less room in the minutes after.
 */
import type { Limits, RateState } from "./types.ts";

const SLOT_MS = 1_000;
const SLOTS = 60;
export const WINDOW_MS = SLOTS * SLOT_MS;
const MIN_RETRY_MS = 1_000;

/** Tokens that were used beyond their reservations, as of `at` (epoch ms). A whole limit of them drains in a minute. */
export interface Debt {
  readonly tokens: number;
  readonly at: number;
}

export const NO_DEBT: Debt = { tokens: 0, at: 0 };

/** What is left of a debt at `now`, under a limit of so many tokens per minute. */
export function debtLeft({ tokens, at }: Debt, limit: number, now: number): number {
  return Math.max(0, tokens - Math.floor((limit * Math.max(0, now - at)) / WINDOW_MS));
}

/** When no more than `tokens` of a debt are left, epoch ms. */
function debtDownTo(debt: Debt, limit: number, tokens: number): number {
  return debt.at + Math.ceil((Math.max(0, debt.tokens - tokens) * WINDOW_MS) / limit);
}

interface Slot {
  requests: number;
  tokens: number;
}

type Kind = keyof Slot;

export interface Wait {
  readonly reason: Kind;
  /** Until enough has left the window, 1,000 to 60,000. */
  readonly retryAfterMs: number;
}

export class RateWindow {
  /** By second since the epoch. */
  readonly #slots = new Map<number, Slot>();
  readonly #used: Slot = { requests: 0, tokens: 0 };

  /** Counts, or takes back where negative, in the slot of `at` (epoch ms). A slot never falls below 0. */
  add(at: number, requests: number, tokens: number): void {
    const second = Math.floor(at / SLOT_MS);
    const slot = this.#slots.get(second) ?? { requests: 0, tokens: 0 };
    const before = { ...slot };
    slot.requests = Math.max(0, slot.requests + requests);
    slot.tokens = Math.max(0, slot.tokens + tokens);
    this.#used.requests += slot.requests - before.requests;
    this.#used.tokens += slot.tokens - before.tokens;
    this.#slots.set(second, slot);
  }

  /** What is in the window at `now`. */
  used(now: number): Readonly<Slot> {
    const current = Math.floor(now / SLOT_MS);
    for (const [second, slot] of this.#slots) {
      // A clock that was set back leaves slots in the future, which would otherwise count for as long.
      if (second > current - SLOTS && second < current + SLOTS) continue;
      this.#slots.delete(second);
      this.#used.requests -= slot.requests;
      this.#used.tokens -= slot.tokens;
    }
    return this.#used;
  }

  /** `null`: one more request (or none: `requests` 0) with this many tokens fits. Of two waits the longer one. */
  wait(limits: Limits, requests: number, tokens: number, now: number, debt: Debt = NO_DEBT): Wait | null {
    const byRequests = this.#waitFor("requests", limits.requests_per_minute, requests, now, NO_DEBT);
    const byTokens = this.#waitFor("tokens", limits.tokens_per_minute, tokens, now, debt);
    if (byRequests === null || byTokens === null) return byRequests ?? byTokens;
    return byTokens.retryAfterMs > byRequests.retryAfterMs ? byTokens : byRequests;
  }

  #waitFor(kind: Kind, limit: number | undefined, wanted: number, now: number, debt: Debt): Wait | null {
    if (limit === undefined || wanted === 0) return null;
    // A bound above the whole limit is admitted by an empty window, or it never could be.
    const mayRemain = limit - Math.min(wanted, limit);
    let used = this.used(now)[kind];
    if (used + debtLeft(debt, limit, now) <= mayRemain) return null;
    // The window is emptied slot by slot, and the debt drains meanwhile: the first moment at which both leave room.
    let earliest = Number.POSITIVE_INFINITY;
    let from = now;
    const seconds = [...this.#slots.keys()].sort((a, b) => a - b);
    for (const second of [...seconds, Number.POSITIVE_INFINITY]) {
      if (used <= mayRemain) earliest = Math.min(earliest, Math.max(from, debtDownTo(debt, limit, mayRemain - used)));
      used -= this.#slots.get(second)?.[kind] ?? 0;
      from = (second + SLOTS) * SLOT_MS;
    }
    return { reason: kind, retryAfterMs: Math.min(WINDOW_MS, Math.max(MIN_RETRY_MS, earliest - now)) };
  }

  /** `null` where neither requests nor tokens are limited. */
  state(limits: Limits | null, now: number, debt: Debt = NO_DEBT): RateState | null {
    const { requests_per_minute: requests, tokens_per_minute: tokens } = limits ?? {};
    if (requests === undefined && tokens === undefined) return null;
    const used = this.used(now);
    const owed = tokens === undefined ? 0 : debtLeft(debt, tokens, now);
    return {
      limitRequests: requests ?? null,
      remainingRequests: requests === undefined ? 0 : Math.max(0, requests - used.requests),
      resetRequestsMs: requests === undefined ? 0 : this.#resetMs("requests", now),
      limitTokens: tokens ?? null,
      remainingTokens: tokens === undefined ? 0 : Math.max(0, tokens - used.tokens - owed),
      resetTokensMs:
        tokens === undefined ? 0 : Math.max(this.#resetMs("tokens", now), debtDownTo(debt, tokens, 0) - now),
    };
  }

  #resetMs(kind: Kind, now: number): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const [second, slot] of this.#slots) if (slot[kind] > 0) newest = Math.max(newest, second);
    return Math.min(WINDOW_MS, Math.max(0, (newest + SLOTS) * SLOT_MS - now));
  }
}
