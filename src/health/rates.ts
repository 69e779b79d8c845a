/** What limits how often one isolate asks one target: an allowance while it is resting, and a budget of retries. */
import { isAhead } from "./breaker.ts";

const ALLOWANCE = 10;
const ALLOWANCE_PER_SECOND = 1;

const MIN_RETRIES = 3;
const RETRY_SHARE = 0.2;
const PERMIT_MS = 60_000;

/** Ten at most, one per second back. Starts full. */
export class TokenBucket {
  #tokens = ALLOWANCE;
  #at = 0;

  has(now: number): boolean {
    return this.#tokensAt(now) >= 1;
  }

  /** Takes one; an empty bucket stays empty. */
  take(now: number): void {
    this.#tokens = Math.max(0, this.#tokensAt(now) - 1);
    this.#at = now;
  }

  #tokensAt(now: number): number {
    // A clock that went back gives nothing and takes nothing.
    const passedMs = Math.max(0, now - this.#at);
    return Math.min(ALLOWANCE, this.#tokens + (passedMs / 1_000) * ALLOWANCE_PER_SECOND);
  }
}

/** The right to one retry: plain data, to be given back when the retry is over. */
export interface RetryPermit {
  readonly target: string;
  /** Epoch ms from which it counts no more: the request that holds it may die. */
  readonly until: number;
}

/**
 * Retries under way stay within three, or a fifth of all attempts under way where that is more (Envoy's retry budget).
 * A retry counts from the moment it is decided, its pause included, so a target that is down is not asked twice by all.
 */
export class RetryBudget {
  #attempts = 0;
  #permits: RetryPermit[] = [];

  noteAttempt(): void {
    this.#attempts++;
  }

  noteEnd(): void {
    this.#attempts = Math.max(0, this.#attempts - 1);
  }

  take(target: string, now: number): RetryPermit | null {
    this.#permits = this.#permits.filter(({ until }) => isAhead(until, now, PERMIT_MS));
    if (this.#permits.length + 1 > Math.max(MIN_RETRIES, this.#attempts * RETRY_SHARE)) return null;
    const permit = { target, until: now + PERMIT_MS };
    this.#permits.push(permit);
    return permit;
  }

  giveBack(permit: RetryPermit): void {
    this.#permits = this.#permits.filter((each) => each !== permit);
  }
}
