/**
 * This isolate, as ledgers know it, and when each last heard of it: plain data in module scope.
 *
 * What an isolate holds in a ledger is held for as long as its signs of life come (see `watch.ts`). Every call that
 * names it is one.
 */

/** Keys whose last sign is remembered. */
const MAX_KEYS = 5_000;

let isolate = "";
/** Epoch ms of the last sign of life, by key. */
const signs = new Map<string, number>();

/** The name of this isolate. Made at first use: there is no randomness before a request. */
export function isolateName(): string {
  if (isolate === "") isolate = crypto.randomUUID();
  return isolate;
}

/** A call that names this isolate is on its way, or has come back. */
export function noteSignOfLife(keyId: string, now: number): void {
  signs.delete(keyId);
  signs.set(keyId, now);
  if (signs.size <= MAX_KEYS) return;
  const oldest = signs.keys().next().value;
  if (oldest !== undefined) signs.delete(oldest);
}

/** Milliseconds since the key's ledger last heard of this isolate; infinite when it never did. */
export function silentFor(keyId: string, now: number): number {
  return now - (signs.get(keyId) ?? Number.NEGATIVE_INFINITY);
}
