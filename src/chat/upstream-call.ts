/** One running call to an upstream: its abort signal, its clocks, and why it was ended. */
import type { Deadline, Deadlines } from "../lib/deadline.ts";
import type { AbortReason, StreamControl } from "./stages.ts";

export class UpstreamCall implements StreamControl {
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #deadlines: Deadlines;
  readonly #clocks = new Map<AbortReason, Deadline>();
  #reason: AbortReason | undefined;

  constructor(clientSignal: AbortSignal, deadlines: Deadlines) {
    this.#deadlines = deadlines;
    this.#clientSignal = clientSignal;
    if (clientSignal.aborted) this.abort("client");
    else clientSignal.addEventListener("abort", () => this.abort("client"), { once: true });
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
