/**
 * What passes between a key's ledger and the pools of the budgets above it.
 *
 * Only one message about a budget is under way at a time, so that a pool never hears two different things at once. Requests
 * that wait say how much they need, and the next message asks for all of them. While a lease holds, no request waits.
 */
import type { BudgetTerms, LeaseAnswer, LeaseRequest, Part } from "../../budgets/types.ts";
import { withTimeout } from "../../lib/time/with-timeout.ts";
import type { Ledger } from "../ledger.ts";
import type { Reservation } from "../types.ts";
import type { Transact } from "../upkeep.ts";
import { partOf, roomOf, type Share } from "./shares.ts";

/** Below what a request waits for its reservation. */
const CALL_LIMIT_MS = 900;
/** A lease is renewed behind an answer when it has less time than this, or room for fewer attempts. */
const RENEW_WITHIN_MS = 30_000;
const RENEW_BELOW = 24;
/** How long what was booked is gathered before the pool is told. */
const REPORT_DELAY_MS = 2_000;
const RETRY_MS = 5_000;
/** What a lease leaves over when it is over is given back this much later. */
const GIVE_BACK_MS = 500;

/** As far as it is used here. */
export interface Pools {
  getByName(id: string): {
    lease(asked: LeaseRequest): Promise<LeaseAnswer>;
  };
}

export class Escrow {
  readonly #ledger: Ledger;
  readonly #transact: Transact;
  readonly #pools: Pools | undefined;
  /** By budget: the message that is under way (did it get an answer? never rejects), and what waits for the next one. */
  readonly #asking = new Map<string, Promise<boolean>>();
  readonly #waiting = new Map<string, number>();
  #seq = 0;
  #reportAt = Number.POSITIVE_INFINITY;

  constructor(ledger: Ledger, transact: Transact, pools: Pools | undefined) {
    this.#ledger = ledger;
    this.#transact = transact;
    this.#pools = pools;
  }

  /** Takes part in the budgets that are named. To be called before anything is reserved or booked under them. */
  learn(terms: readonly BudgetTerms[] | undefined, keyId: string, now: number): void {
    const { shares } = this.#ledger;
    if (shares.knows(terms, now)) return;
    this.#transact(() => shares.learn(terms, keyId, now));
  }

  /**
   * Sees to it that the shares have room for these reservations, as far as their pools give it. Answers the budgets whose
   * pool did not answer.
   */
  async cover(reservations: readonly Reservation[]): Promise<ReadonlySet<string>> {
    const failed = new Set<string>();
    const short = this.#ledger.shares.shortOf(reservations, Date.now());
    if (short.size === 0) return failed;
    const cover = async (id: string, missing: number): Promise<void> => {
      if (!(await this.#coverOne(id, missing, reservations))) failed.add(id);
    };
    await Promise.all([...short].map(([id, missing]) => cover(id, missing)));
    return failed;
  }

  /** False where the pool did not answer. */
  async #coverOne(id: string, missing: number, reservations: readonly Reservation[]): Promise<boolean> {
    const add = (nanoUsd: number): void => {
      this.#waiting.set(id, (this.#waiting.get(id) ?? 0) + nanoUsd);
    };
    add(missing);
    try {
      const before = this.#asking.get(id);
      if (before !== undefined) await before;
      // What the others were given may be enough for this one too.
      if (before !== undefined && !this.#ledger.shares.shortOf(reservations, Date.now()).has(id)) return true;
      // One that began meanwhile asked for this one as well: what it got is all there is.
      return await (this.#asking.get(id) ?? this.#ask(id, this.#waiting.get(id) ?? missing));
    } finally {
      add(-missing);
    }
  }

  /** Asks for `needed` more than the share has, and for what its next attempts need. False without an answer. */
  #ask(id: string, needed: number): Promise<boolean> {
    const asking = this.#call(id, needed)
      .catch(() => false)
      .finally(() => this.#asking.delete(id));
    this.#asking.set(id, asking);
    return asking;
  }

  async #call(id: string, needed: number): Promise<boolean> {
    const share = this.#ledger.shares.find(id);
    const pools = this.#pools;
    if (share === undefined || pools === undefined) return false;
    const now = Date.now();
    // What a lease that is over has left is no longer this ledger's: only what is used is.
    if (share.until <= now) this.#transact(() => this.#ledger.shares.lower(share));
    const asked: LeaseRequest = {
      id,
      ...this.#part(share),
      needed: Math.max(0, needed),
      bound: Math.ceil(share.bound),
    };
    share.isNews = false;
    const lease = async (): Promise<LeaseAnswer> => await pools.getByName(id).lease(asked);
    const answer = await withTimeout(CALL_LIMIT_MS, lease).catch((): LeaseAnswer => ({ kind: "unknown" }));
    if (answer.kind === "unknown") {
      share.isNews = true;
      this.#reportAt = Math.min(this.#reportAt, Date.now() + RETRY_MS);
      return false;
    }
    this.#transact(() => {
      if (answer.kind === "gone") this.#ledger.shares.forget(id, answer.below);
      else this.#ledger.shares.grant(share, answer);
    });
    return true;
  }

  #part(share: Share): Part {
    this.#seq = Math.max(this.#seq + 1, Date.now());
    return partOf(share, this.#seq);
  }

  /** The share as it is, for a pool that asks; `null` where there is none of this era. */
  part(id: string, era: number): Part | null {
    const share = this.#ledger.shares.find(id);
    return share === undefined || share.terms.era !== era ? null : this.#part(share);
  }

  /** Behind an answer: leases that run out are renewed, and the pool hears soon of what was booked. Never rejects. */
  tend(now: number): Promise<unknown> | null {
    const { shares } = this.#ledger;
    if (shares.isEmpty || this.#pools === undefined) return null;
    const asked: Promise<boolean>[] = [];
    for (const share of shares.all()) {
      if (share.isNews) this.#reportAt = Math.min(this.#reportAt, now + REPORT_DELAY_MS);
      if (share.terms.on_exceeded !== "deny" || this.#asking.has(share.id) || share.until <= now) continue;
      const isLow = share.until - now < RENEW_WITHIN_MS || roomOf(share, now) < RENEW_BELOW * share.bound;
      if (share.isTight && share.reserved === 0 && roomOf(share, now) > 0) asked.push(this.#giveBack(share));
      else if (!share.isTight && isLow) asked.push(this.#ask(share.id, 0));
    }
    return asked.length === 0 ? null : Promise.all(asked);
  }

  #giveBack(share: Share): Promise<boolean> {
    this.#transact(() => this.#ledger.shares.lower(share));
    share.bound = 0;
    return this.#ask(share.id, 0);
  }

  /** When a pool has to hear something, epoch ms; infinite: nothing. */
  get dueAt(): number {
    let due = this.#reportAt;
    for (const { until, held, spent, reserved } of this.#ledger.shares.all()) {
      if (held > spent + reserved && until > 0) due = Math.min(due, until + GIVE_BACK_MS);
    }
    return due;
  }

  /** The alarm: tells what is new, and gives back what leases that are over have left. Never rejects. */
  async run(now: number): Promise<void> {
    this.#reportAt = Number.POSITIVE_INFINITY;
    const due = [...this.#ledger.shares.all()].filter((share) => {
      const isOver = share.until <= now && share.held > share.spent + share.reserved;
      return (share.isNews || isOver) && !this.#asking.has(share.id);
    });
    await Promise.all(due.map((share) => this.#tell(share, now)));
  }

  /** An idle ledger says what it has and gives back the rest: it asks for nothing ahead. */
  #tell(share: Share, now: number): Promise<boolean> {
    if (share.until <= now) share.bound = 0;
    return this.#ask(share.id, 0);
  }
}
