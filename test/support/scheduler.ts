/** workerd's `scheduler` for unit tests in Node, on timers that Vitest can fake. */
import { vi } from "vitest";

function wait(delayMs: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delayMs);
    options.signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("The wait was aborted.", "AbortError"));
    });
  });
}

/** Ends with `vi.unstubAllGlobals()`. */
export function stubScheduler(): void {
  vi.stubGlobal("scheduler", { wait });
}
