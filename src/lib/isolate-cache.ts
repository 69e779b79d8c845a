/**
 * A bounded cache in module scope: what one isolate last read of a remote value.
 *
 * Holds plain data only, never a promise: a promise made by one request dies with it and would hang every request that
 * awaits it (measured in workerd). A refresh runs behind the answer, so a hot key costs one read per `freshMs` and
 * isolate.
 */
import { withTimeout } from "./time/with-timeout.ts";

export interface CacheLimits {
  readonly maxEntries: number;
  /** Up to this age a value is used as it is. */
  readonly freshMs: number;
  /** Up to this age it is used at once and read again behind the answer; older, the read is awaited. */
  readonly staleMs: number;
  /** Up to this age it still serves when the read fails or is slow. */
  readonly keepMs: number;
}

interface Entry<T> {
  readonly value: T;
  readonly at: number;
  /** When a refresh was last started. A time, not a flag: its owner may die before it can take a flag down. */
  busyAt: number;
}

/** A refresh not back by now has lost its owner. */
const REFRESH_LEASE_MS = 5_000;
/** How long a request that holds a usable old copy waits for a new one. */
const SLOW_READ_MS = 500;
/** How long one that holds none waits: a store that hangs is a store that fails. */
const COLD_READ_MS = 5_000;

export class IsolateCache<T> {
  readonly #limits: CacheLimits;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  /** `read` runs with this request's own bindings; `null` (absent) is never cached. Rejects only without a usable copy. */
  async get(
    key: string,
    now: number,
    read: () => Promise<T | null>,
    waitUntil: (work: Promise<unknown>) => void,
  ): Promise<T | null> {
    const entry = this.#entries.get(key);
    const age = entry === undefined ? Number.POSITIVE_INFINITY : now - entry.at;
    if (entry === undefined || age > this.#limits.keepMs) return this.#loadCold(key, read);
    if (age <= this.#limits.freshMs) return entry.value;
    if (now - entry.busyAt <= REFRESH_LEASE_MS) return entry.value;
    entry.busyAt = now;
    const load = this.#load(key, read).catch(() => entry.value);
    // Also when it is awaited: a read that is too slow for this answer must still reach the cache after it.
    waitUntil(load);
    if (age <= this.#limits.staleMs) return entry.value;
    return Promise.race([load, scheduler.wait(SLOW_READ_MS).then(() => entry.value)]);
  }

  /** What was read elsewhere, and is newer than any copy here. */
  put(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, at: Date.now(), busyAt: 0 });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  async #loadCold(key: string, read: () => Promise<T | null>): Promise<T | null> {
    return withTimeout(COLD_READ_MS, () => this.#load(key, read));
  }

  async #load(key: string, read: () => Promise<T | null>): Promise<T | null> {
    const value = await read();
    this.#entries.delete(key);
    if (value === null) return null;
    this.#entries.set(key, { value, at: Date.now(), busyAt: 0 });
    if (this.#entries.size > this.#limits.maxEntries) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    return value;
  }
}
