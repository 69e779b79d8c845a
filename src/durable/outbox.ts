/**
 * Messages of one object to another one, at least once: they wait in the sender's tables, written in the transaction that
 * made them, and are taken out when the receiver has them. A receiver ignores what it knows.
 *
 * Sent at once behind the answer of the call that made them. What was not taken waits for the sender's alarm, which has to
 * be set before, so that a message outlives the object's memory.
 */
import { withTimeout } from "../lib/time/with-timeout.ts";
import { Backoff, type BackoffLimits } from "./backoff.ts";

/** Where messages wait, and how some of them go out. */
export interface Waiting<Message> {
  /** The oldest that wait, as many as go out together; none: nothing waits. */
  next(): readonly Message[];
  /** Rejects where they were not taken. */
  send(messages: readonly Message[]): Promise<void>;
  /** The receiver has them. */
  sent(messages: readonly Message[]): void;
}

export class Outbox<Message> {
  readonly #waiting: Waiting<Message>;
  readonly #limitMs: number;
  readonly #backoff: Backoff;
  #isSending = false;
  /** How long to wait after the last try, which failed. */
  #pauseMs: number;

  /** `limitMs`: how long one call to the receiver may take. */
  constructor(waiting: Waiting<Message>, limitMs: number, limits: BackoffLimits) {
    this.#waiting = waiting;
    this.#limitMs = limitMs;
    this.#backoff = new Backoff(limits);
    this.#pauseMs = limits.firstMs;
  }

  get isEmpty(): boolean {
    return this.#waiting.next().length === 0;
  }

  /** When what waits is to be tried again, epoch ms; `null`: nothing waits. For the sender's alarm. */
  dueAt(now: number): number | null {
    return this.isEmpty ? null : now + this.#pauseMs;
  }

  /**
   * Sends until nothing waits or something was not taken. One sender at a time, which also takes what arrives
   * meanwhile. Never rejects.
   */
  async drain(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      for (let messages = this.#waiting.next(); messages.length > 0; messages = this.#waiting.next()) {
        const batch = messages;
        await withTimeout(this.#limitMs, () => this.#waiting.send(batch));
        this.#waiting.sent(batch);
        this.#backoff.succeed();
      }
      this.#backoff.succeed();
    } catch {
      // They stay, and the alarm sends them again.
      this.#pauseMs = this.#backoff.fail();
    } finally {
      this.#isSending = false;
    }
  }
}
