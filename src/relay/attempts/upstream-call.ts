/** One running call to an upstream: its abort signal, its clocks, and why it was ended. */
import type { Deadline, Deadlines } from "../../lib/time/deadline.ts";
import type { AbortReason, StreamControl } from "../types.ts";

/** Long enough for a body that was begun, short enough to limit generation that will not be read. */
const LINGER_MS = 1_000;

export class UpstreamCall implements StreamControl {
  readonly endsAt: number;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #deadlines: Deadlines;
  readonly #clocks = new Map<AbortReason, Deadline>();
  #reason: AbortReason | undefined;
  #mayLinger = false;

  constructor(clientSignal: AbortSignal, deadlines: Deadlines, endsAt: number) {
    this.endsAt = endsAt;
    this.#deadlines = deadlines;
    this.#clientSignal = clientSignal;
    if (clientSignal.aborted) this.abort("client");
    else clientSignal.addEventListener("abort", () => this.#leave(), { once: true });
    this.limit("total", endsAt);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly abort = (reason: AbortReason): void => {
    this.#reason ??= reason;
    this.#controller.abort();
  };

  readonly abortedBy = (): AbortReason | undefined => this.#reason;

  readonly clientGone = (): boolean => this.#clientSignal.aborted;

  /**
   * The provider has begun a whole answer. A client that leaves from now on does not end the call at once: the rest is
   * mostly on its way, and says what it cost.
   */
  linger(): void {
    this.#mayLinger = true;
  }

  #leave(): void {
    if (this.#mayLinger) this.limit("client", Date.now() + LINGER_MS);
    else this.abort("client");
  }

  /** Ends the call with `reason` at `at` (epoch ms), unless that clock is stopped first. */
  limit(reason: AbortReason, at: number): void {
    this.#clocks.set(
      reason,
      this.#deadlines.add(at, () => this.abort(reason)),
    );
  }

  stop(reason: AbortReason): void {
    const clock = this.#clocks.get(reason);
    if (clock !== undefined) this.#deadlines.drop(clock);
  }

  /** Stops all clocks. The listener stays: to abort a call that is over does nothing, and to remove it costs more. */
  readonly release = (): void => {
    for (const clock of this.#clocks.values()) this.#deadlines.drop(clock);
  };
}
