/**
 * Messages of one object to another one, at least once: they wait in the sender's tables, written in the transaction that
 * made them, and are taken out when the receiver has them. A receiver ignores what it knows.
 *
 * Sent at once behind the answer of the call that made them. What was not taken waits for the sender's alarm, which has to
 * be set before, so that a message outlives the object's memory. Where messages have several receivers, one that takes
 * nothing holds up its own only.
 */
import { withTimeout } from "../lib/time/with-timeout.ts";
import { Backoff, type BackoffLimits } from "./backoff.ts";

/** Where messages wait, and how some of them go out. */
export interface Waiting<Message> {
  /** The oldest that wait behind the place `after`, as many as go out together; none: nothing waits there. */
  next(after: number): readonly Message[];
  /** Rejects where they were not taken. */
  send(messages: readonly Message[]): Promise<void>;
  /** The receiver has them. */
  sent(messages: readonly Message[]): void;
  /** Where a message has a receiver of its own: its place in the queue, from 1. Each goes out alone then. */
  placeOf?(message: Message): number;
}

/** How long one call of `drain` goes on, and its pause between two groups of messages. */
export interface Slice {
  readonly forMs: number;
  readonly pauseMs: number;
}

const AT_ONCE: Slice = { forMs: Number.POSITIVE_INFINITY, pauseMs: 0 };

export class Outbox<Message> {
  readonly #waiting: Waiting<Message>;
  readonly #limitMs: number;
  readonly #backoff: Backoff;
  #isSending = false;
  /** Behind which sending goes on, so that what one receiver does not take does not hold up the rest. */
  #place = 0;
  /** How long to wait after the last try, which failed. */
  #pauseMs: number;

  /** `limitMs`: how long one call to a receiver may take. */
  constructor(waiting: Waiting<Message>, limitMs: number, limits: BackoffLimits) {
    this.#waiting = waiting;
    this.#limitMs = limitMs;
    this.#backoff = new Backoff(limits);
    this.#pauseMs = limits.firstMs;
  }

  get isEmpty(): boolean {
    return this.#waiting.next(0).length === 0;
  }

  /** When what waits is to be tried again, epoch ms; `null`: nothing waits. For the sender's alarm. */
  dueAt(now: number): number | null {
    return this.isEmpty ? null : now + this.#pauseMs;
  }

  /**
   * Sends until nothing waits, nothing more is taken or the time is over. One sender at a time, which also takes what
   * arrives meanwhile. Answers in how many ms what is left is to be tried again. Never rejects.
   */
  async drain(slice: Slice = AT_ONCE): Promise<number> {
    if (this.#isSending) return this.#pauseMs;
    this.#isSending = true;
    try {
      const { sent, failed } = await this.#drain(slice);
      // A receiver that is away does not slow down the others: while something goes out, the pause stays short.
      if (failed === 0 || sent > 0) this.#backoff.succeed();
      if (failed === 0) return 0;
      this.#pauseMs = this.#backoff.fail();
      return this.#pauseMs;
    } finally {
      this.#isSending = false;
    }
  }

  async #drain({ forMs, pauseMs }: Slice): Promise<{ readonly sent: number; readonly failed: number }> {
    const { placeOf } = this.#waiting;
    const endsAt = Date.now() + forMs;
    const all = { sent: 0, failed: 0 };
    for (let mayWrap = this.#place !== 0; Date.now() < endsAt; ) {
      const messages = this.#waiting.next(this.#place);
      const sentBefore = all.sent;
      for (const group of placeOf === undefined ? [messages] : messages.map((message) => [message])) {
        if (group.length > 0) all[(await this.#send(group)) ? "sent" : "failed"]++;
      }
      this.#place = placeOf === undefined ? 0 : Math.max(0, ...messages.map(placeOf));
      if (messages.length === 0 && mayWrap) mayWrap = false;
      else if (all.sent === sentBefore) break;
      else if (pauseMs > 0 && !this.isEmpty) await scheduler.wait(pauseMs);
    }
    return all;
  }

  /** `false`: they stay, and go again. */
  async #send(messages: readonly Message[]): Promise<boolean> {
    try {
      await withTimeout(this.#limitMs, () => this.#waiting.send(messages));
      this.#waiting.sent(messages);
      return true;
    } catch {
      return false;
    }
  }
}
