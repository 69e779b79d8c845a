/** A call that must not be waited for longer than so long. */

/**
 * What `call` gives. Rejects when it does, when it takes longer than `limitMs`, and when `signal` aborts; the call itself
 * then goes on unseen.
 */
export async function within<T>(limitMs: number, call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const work = call();
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal?.addEventListener("abort", stop, { once: true });
  const tooLong = scheduler.wait(limitMs, { signal: over.signal }).then(() => {
    throw new Error("No answer in time.");
  });
  tooLong.catch(() => {});
  try {
    return await Promise.race([work, tooLong]);
  } finally {
    signal?.removeEventListener("abort", stop);
    over.abort();
  }
}
