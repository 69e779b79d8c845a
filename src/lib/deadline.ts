/**
 * Many deadlines, one timer.
 *
 * A runtime timer costs several microseconds to set and to clear, and a request has a handful of clocks of which
 * hardly one ever rings. So a deadline is a record, and a single timer looks at the records when the earliest that was
 * known at its start is due.
 */

export interface Deadline {
  /** Epoch ms. */
  readonly at: number;
  readonly onDue: () => void;
}

export class Deadlines {
  readonly #pending = new Set<Deadline>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timerAt = Number.POSITIVE_INFINITY;

  /** Calls `onDue` at `at` or as soon after as a timer can, unless it is dropped before. */
  add(at: number, onDue: () => void): Deadline {
    const deadline = { at, onDue };
    this.#pending.add(deadline);
    if (at < this.#timerAt) this.#arm(at);
    return deadline;
  }

  drop(deadline: Deadline): void {
    // The timer stays: it finds nothing due, which is cheaper than clearing it each time.
    this.#pending.delete(deadline);
  }

  /** Drops all and stops the timer. To be called when the request is over. */
  stop(): void {
    this.#pending.clear();
    this.#disarm();
  }

  #arm(at: number): void {
    this.#disarm();
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#ring(), Math.max(0, at - Date.now()));
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #ring(): void {
    this.#timer = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = Date.now();
    let next = Number.POSITIVE_INFINITY;
    for (const deadline of [...this.#pending]) {
      if (deadline.at <= now) {
        this.#pending.delete(deadline);
        deadline.onDue();
      } else next = Math.min(next, deadline.at);
    }
    if (next < this.#timerAt) this.#arm(next);
  }
}
