/** What passes between isolates, ledgers and the pool of a budget above keys. Plain data: all of it crosses to an object. */
import type { Period } from "../lib/time/calendar.ts";

/**
 * A budget as the ledger of a key knows it. Which environment and keys it is for is decided before; what is left of its
 * scope is a matter of each request.
 */
export interface BudgetTerms {
  readonly id: string;
  /** Grows with every change of anything but the limit: what was spent before is counted again. */
  readonly era: number;
  /** `null`: every app, every request. */
  readonly app: string | null;
  /** `since`: epoch ms from which on it is summed. */
  readonly tag: { readonly name: string; readonly value: string; readonly since: number } | null;
  readonly period: Period;
  readonly time_zone?: string | undefined;
  readonly on_exceeded: "deny" | "notify";
  /** For what a refusal says; the pool's own is in force. */
  readonly limit_usd: number;
  /** The period (epoch ms of its start) of which the pool knows what another deployment had spent. */
  readonly carriedAt?: number;
}

/** What a ledger has of a budget. Whole nano-USD, in the period that began at `start` (epoch ms, 0 where it never began). */
export interface Part {
  readonly keyId: string;
  readonly era: number;
  /** Grows with every message of a ledger, so that one that comes late changes nothing. */
  readonly seq: number;
  readonly start: number;
  /** What `spent` and `reserved` may reach together without asking again. */
  readonly held: number;
  readonly spent: number;
  readonly reserved: number;
}

/** A ledger asks for more. `needed`: how much is missing for what waits, 0 where nothing does. */
export interface LeaseRequest extends Part {
  /** The budget's. */
  readonly id: string;
  readonly needed: number;
  /** The most that one attempt of late may cost. */
  readonly bound: number;
}

export interface Lease {
  readonly kind: "lease";
  /** What the ledger holds from now on; never less than it held. */
  readonly held: number;
  /** Epoch ms. Nothing is admitted under the lease after it. */
  readonly until: number;
  /** What no ledger holds of the budget. Below 0 where its limit was lowered, or more was billed than was bounded. */
  readonly freeNanoUsd: number;
  readonly limitUsd: number;
  /** Near the limit: what is not used is to be given back at once. */
  readonly isTight: boolean;
}

export type LeaseAnswer =
  | Lease
  /** The budget was deleted or changed: nothing of an era below counts any more. Ledgers that still meet it hear of it again. */
  | { readonly kind: "gone"; readonly below: number }
  /** The pool cannot say at the moment. */
  | { readonly kind: "unknown" };

/** What is spent and leased of a budget in its running period. */
export interface BudgetStatus {
  /** Epoch ms; `null`: it never began, or never ends. */
  readonly periodStart: number | null;
  readonly resetsAt: number | null;
  readonly spentNanoUsd: number;
  /** Held by ledgers and not spent: reserved, or still free for their next requests. */
  readonly leasedNanoUsd: number;
}

/** The refusal of a budget above the key, as the ledger words it for the isolate. */
export interface BudgetShortage {
  readonly id: string;
  readonly limitUsd: number;
  readonly remainingNanoUsd: number;
  /** It has room for the attempt, and the lease to it is taken up by others. */
  readonly isFitting: boolean;
  /** Epoch ms; `null`: never. */
  readonly resetsAt: number | null;
}
