/** One running call to an upstream: its abort signal, its clocks, and why it was ended. */
import type { AbortReason, StreamControl } from "./stages.ts";

export class UpstreamCall implements StreamControl {
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #timers = new Map<AbortReason, ReturnType<typeof setTimeout>>();
  #reason: AbortReason | undefined;
  readonly #onClientAbort = (): void => this.abort("client");

  constructor(clientSignal: AbortSignal) {
    this.#clientSignal = clientSignal;
    if (clientSignal.aborted) this.abort("client");
    else clientSignal.addEventListener("abort", this.#onClientAbort, { once: true });
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

  /** Ends the call with `reason` after `milliseconds`, unless that clock is stopped first. */
  limit(reason: AbortReason, milliseconds: number): void {
    this.#timers.set(
      reason,
      setTimeout(() => this.abort(reason), milliseconds),
    );
  }

  stop(reason: AbortReason): void {
    clearTimeout(this.#timers.get(reason) ?? null);
    this.#timers.delete(reason);
  }

  /** Stops all clocks and lets go of the client's signal. */
  readonly release = (): void => {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#clientSignal.removeEventListener("abort", this.#onClientAbort);
  };
}
