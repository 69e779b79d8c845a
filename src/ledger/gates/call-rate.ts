/**
 * How often isolates call a ledger, and how many gates it wants in front of it.
 *
 * In memory, and by whole seconds. An object takes about a thousand calls a second whatever is in them, and many rows in
 * one call: isolates that see little of a busy key each would pass that long before its rows do. Where a write waits for a
 * slow disk it takes some 240, and what it is asked beyond that it never sees, so the rate from which it has gates has to
 * be well below both.
 */

/** Calls a second from which a key has gates, and below which it has none any more. */
export const HOT_CALLS = 150;
const COOL_CALLS = 75;
/** What one gate takes. */
const CALLS_PER_GATE = 500;
const MIN_GATES = 2;
/** All of them together call their ledger less than a thousand times a second. */
export const MAX_GATES = 8;
const WINDOW_MS = 1_000;

export class CallRate {
  #startedAt = 0;
  #calls = 0;
  #gates = 0;

  /** `calls`: of isolates; a gate makes one of many. Answers how many gates there are to be now, 0 for none. */
  note(calls: number, now: number): number {
    const elapsedMs = now - this.#startedAt;
    if (elapsedMs >= WINDOW_MS || elapsedMs < 0) {
      this.#gates = this.#wanted((this.#calls * 1_000) / Math.max(WINDOW_MS, elapsedMs));
      this.#startedAt = now;
      this.#calls = 0;
    }
    this.#calls += calls;
    return this.#gates;
  }

  #wanted(perSecond: number): number {
    if (perSecond < COOL_CALLS) return 0;
    if (perSecond < HOT_CALLS && this.#gates === 0) return 0;
    const needed = Math.min(MAX_GATES, Math.max(MIN_GATES, Math.ceil(perSecond / CALLS_PER_GATE)));
    // Fewer would have others to send to, for nothing.
    return Math.max(this.#gates, needed);
  }
}
