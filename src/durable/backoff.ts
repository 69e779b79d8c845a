/**
 * How long to wait before something that failed is tried again: longer after each failure in a row, up to a limit. Chance
 * lengthens each pause below it, so that a thousand objects that failed together do not come back together.
 */

/** Part of a pause that chance may add to it. Never less than the pause: some receivers count on it. */
const JITTER = 0.25;
const MAX_DOUBLINGS = 16;

export interface BackoffLimits {
  /** After the first failure. */
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Failures in a row. In memory: lost with its object, which only makes the next try earlier. */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #failures = 0;

  constructor(limits: BackoffLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  /** One more failure. Answers how long to wait, milliseconds. */
  fail(): number {
    const { firstMs, maxMs } = this.#limits;
    const pauseMs = firstMs * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS);
    return Math.min(maxMs, Math.round(pauseMs * (1 + JITTER * this.#random())));
  }

  succeed(): void {
    this.#failures = 0;
  }
}
