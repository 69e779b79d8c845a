/** A call that must not be waited for longer than so long. */

/**
 * What `call` gives. Rejects when it does, when it takes longer than `limitMs`, and when `signal` aborts; the call itself
 * then goes on unseen.
 */
export async function withTimeout<T>(limitMs: number, call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const work = call();
  const over = Promise.withResolvers<never>();
  const end = (): void => over.reject(new Error("No answer in time."));
  // A timer of the scheduler would need an abort signal to be stopped, which costs more than the timer.
  const timer = setTimeout(end, limitMs);
  signal?.addEventListener("abort", end, { once: true });
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}
