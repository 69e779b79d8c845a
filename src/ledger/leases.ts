/**
 * Which isolates are alive, as far as this ledger knows: what an isolate holds is held for as long as its lease.
 *
 * In memory only. A lease is renewed by every call of its isolate, so a row would be written per call; and an object that
 * was evicted knows of no isolate, so it gives each isolate that still holds something one more term before it sweeps.
 */

/** How long an isolate may be silent. Its requests renew every 10 s, so two calls may be lost. */
export const LEASE_MS = 30_000;

export class Leases {
  /** Epoch ms at which the lease of an isolate ends. */
  readonly #until = new Map<string, number>();
  /** Open holds by isolate. */
  #open = new Map<string, number>();

  /** `open`: the holds of each isolate, from the table. Leases stay as they are: a call that failed was a sign of life. */
  load(open: ReadonlyMap<string, number>): void {
    this.#open = new Map(open);
  }

  renew(isolate: string, now: number): void {
    if (isolate !== "") this.#until.set(isolate, now + LEASE_MS);
  }

  /** Isolates that hold something and were not heard of since this object began get a term from now on. */
  adopt(now: number): void {
    for (const isolate of this.#open.keys()) if (!this.#until.has(isolate)) this.renew(isolate, now);
  }

  /** `change`: how many holds an isolate has more, or fewer. The empty name is of a release without leases. */
  count(isolate: string, change: number): void {
    if (isolate === "") return;
    const open = (this.#open.get(isolate) ?? 0) + change;
    if (open > 0) this.#open.set(isolate, open);
    else this.#open.delete(isolate);
  }

  /** When the first lease ends under which something is held, epoch ms; infinite without one. */
  get nextLapseAt(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const isolate of this.#open.keys()) earliest = Math.min(earliest, this.#until.get(isolate) ?? earliest);
    return earliest;
  }

  /** Isolates whose lease is over while they hold something. */
  lapsed(now: number): string[] {
    return [...this.#open.keys()].filter((isolate) => (this.#until.get(isolate) ?? Number.POSITIVE_INFINITY) <= now);
  }

  /** Isolates that were heard of within a term. Those that were not, and hold nothing, are forgotten. */
  alive(now: number): number {
    for (const [isolate, until] of this.#until) {
      if (until <= now && !this.#open.has(isolate)) this.#until.delete(isolate);
    }
    return [...this.#until.values()].filter((until) => until > now).length;
  }
}
