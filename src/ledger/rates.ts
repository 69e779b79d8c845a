/**
 * Requests and tokens of the last minute, and what a rate limit says about one more. Pure.
 *
 * The window is 60 slots of one second, the running one included: in any 60 seconds of the clock a key gets at most
 * its limit. Tokens enter with the bound of a reservation and are corrected in the slot they entered.
 */
import type { Limits, RateState } from "./types.ts";

const SLOT_MS = 1_000;
const SLOTS = 60;
export const WINDOW_MS = SLOTS * SLOT_MS;
const MIN_RETRY_MS = 1_000;

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

  /** `null`: one more request (or none: `requests` 0) with this many tokens fits. */
  wait(limits: Limits, requests: number, tokens: number, now: number): Wait | null {
    return (
      this.#waitFor("requests", limits.requests_per_minute, requests, now) ??
      this.#waitFor("tokens", limits.tokens_per_minute, tokens, now)
    );
  }

  #waitFor(kind: Kind, limit: number | undefined, wanted: number, now: number): Wait | null {
    if (limit === undefined || wanted === 0) return null;
    // A bound above the whole limit is admitted by an empty window, or it never could be.
    const mayRemain = limit - Math.min(wanted, limit);
    let used = this.used(now)[kind];
    if (used <= mayRemain) return null;
    for (const second of [...this.#slots.keys()].sort((a, b) => a - b)) {
      used -= this.#slots.get(second)?.[kind] ?? 0;
      if (used > mayRemain) continue;
      const retryAfterMs = (second + SLOTS) * SLOT_MS - now;
      return { reason: kind, retryAfterMs: Math.min(WINDOW_MS, Math.max(MIN_RETRY_MS, retryAfterMs)) };
    }
    return { reason: kind, retryAfterMs: WINDOW_MS };
  }

  /** `null` where neither requests nor tokens are limited. */
  state(limits: Limits | null, now: number): RateState | null {
    const { requests_per_minute: requests, tokens_per_minute: tokens } = limits ?? {};
    if (requests === undefined && tokens === undefined) return null;
    const used = this.used(now);
    return {
      limitRequests: requests ?? null,
      remainingRequests: requests === undefined ? 0 : Math.max(0, requests - used.requests),
      resetRequestsMs: requests === undefined ? 0 : this.#resetMs("requests", now),
      limitTokens: tokens ?? null,
      remainingTokens: tokens === undefined ? 0 : Math.max(0, tokens - used.tokens),
      resetTokensMs: tokens === undefined ? 0 : this.#resetMs("tokens", now),
    };
  }

  #resetMs(kind: Kind, now: number): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const [second, slot] of this.#slots) if (slot[kind] > 0) newest = Math.max(newest, second);
    return Math.min(WINDOW_MS, Math.max(0, (newest + SLOTS) * SLOT_MS - now));
  }
}
