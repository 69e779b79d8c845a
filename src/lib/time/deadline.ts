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

/** What is left for a client when the last clock of its request has run out: how long it may take for it. */
const LAST_BYTES_MS = 1_000;

/** Ends a write that waits for a client that does not read. */
export function cutWrites(writer: WritableStreamDefaultWriter<Uint8Array>): void {
  writer.abort().catch(() => {});
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

  /**
   * Waits for `work`, which waits for a client to read. A second after `endsAt` (epoch ms), or after now where that is
   * later, `cut` is called: it has to end `work`, because a client that stops reading would keep it for ever.
   */
  untilCut<T>(work: Promise<T>, endsAt: number, cut: () => void): Promise<T> {
    const deadline = this.add(Math.max(endsAt, Date.now()) + LAST_BYTES_MS, cut);
    return work.finally(() => this.drop(deadline));
  }

  /** The same for one write of `writer`, or its close. False when the client does not take it; never rejects. */
  isTaken(work: Promise<void>, endsAt: number, writer: WritableStreamDefaultWriter<Uint8Array>): Promise<boolean> {
    const taken = work.then(
      () => true,
      () => false,
    );
    return this.untilCut(taken, endsAt, () => cutWrites(writer));
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
