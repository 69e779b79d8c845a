/** How often something may happen per name, so that a crowd of the same event costs what a few of them do. */

/** Names that are remembered. Beyond it the oldest is forgotten, and may happen again at once. */
const MAX_NAMES = 1_000;

export class Pace {
  readonly #everyMs: number;
  readonly #lastAt = new Map<string, number>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** True at most once per name and interval. `now`: epoch ms. */
  allows(name: string, now: number): boolean {
    const lastAt = this.#lastAt.get(name);
    // A time that is ahead is from before the clock was set back.
    if (lastAt !== undefined && now - lastAt < this.#everyMs && lastAt <= now) return false;
    this.#lastAt.delete(name);
    this.#lastAt.set(name, now);
    if (this.#lastAt.size > MAX_NAMES) {
      const oldest = this.#lastAt.keys().next().value;
      if (oldest !== undefined) this.#lastAt.delete(oldest);
    }
    return true;
  }
}
