/** What passes between a key's ledger and its callers. Plain data only: all of it crosses to a Durable Object. */
import type { BudgetShortage, BudgetTerms } from "../budgets/types.ts";
import type { Period } from "../lib/time/calendar.ts";
import type { BodyFilter, FacetCounts } from "../traces/filter.ts";
import type { Trace, UsageSource } from "../traces/schema.ts";

/** What a key may spend: the `budget` of a key record. */
export interface Budget {
  readonly limit_usd: number;
  readonly period: Period;
  /** IANA. Absent: UTC. */
  readonly time_zone?: string | undefined;
}

/** The `limits` of a key record. Absent: not limited. */
export interface Limits {
  readonly requests_per_minute?: number | undefined;
  readonly tokens_per_minute?: number | undefined;
  /** Requests at the same time. */
  readonly concurrency?: number | undefined;
}

/** What a key record allows. The ledger keeps the newest it was shown, by version. */
export interface KeyTerms {
  readonly version: number;
  readonly budget: Budget | null;
  readonly limits: Limits | null;
  /** The key is refused like a revoked one, for now. Absent: it is not. */
  readonly paused?: boolean | undefined;
}

/** What a trace says of a request from its beginning on. */
export interface RequestOrigin {
  readonly env: string;
  readonly app: string;
  /** As on the trace: `flow/best-reasoning`. */
  readonly route: string;
  readonly routeVersion: number;
  readonly stream: boolean;
  /** Epoch ms, and the `created_at` of the settled trace to the millisecond: it chooses the object of the index. */
  readonly receivedAt: number;
  /** Absent where it has none, and in rows of before. */
  readonly tags?: Readonly<Record<string, string>>;
}

/**
 * One attempt that is about to be made, and the most it can cost. (`traceId`, `attempt`) makes it repeatable. The first
 * that is held of a trace counts as a request for the limits, the others as money and tokens only.
 */
export interface Reservation {
  readonly traceId: string;
  /** From 0. A number is used once: not again for another attempt, not even after a release. */
  readonly attempt: number;
  /** Whole nano-USD, at least 0. */
  readonly boundNanoUsd: number;
  /** Prompt bound and output cap together, for tokens per minute. */
  readonly boundTokens: number;
  /** Epoch ms. No settlement is expected after it: the ledger then charges the bound. */
  readonly expiresAt: number;
  readonly provider: string;
  readonly model: string;
  readonly terms: KeyTerms;
  /** Earlier attempts of this request that failed. */
  readonly over?: readonly EndedAttempt[];
  /** Used to build the trace if no settlement arrives; absent in rows from older Workers. */
  readonly origin?: RequestOrigin;
  /** The sender, whose lease it is held under. Absent: it is held until it expires. */
  readonly isolate?: string;
  /** Budgets above the key that the request meets. Absent: none. */
  readonly budgets?: readonly BudgetTerms[];
}

/** An attempt that failed: what it holds beyond its cost is free for the next one. */
export interface EndedAttempt {
  readonly attempt: number;
  /** What its settlement will book. */
  readonly costNanoUsd: number;
}

/** What the response headers say of the rate limits. Where a limit is `null` its other two members are 0. */
export interface RateState {
  readonly limitRequests: number | null;
  readonly remainingRequests: number;
  /** Until the window is empty again. */
  readonly resetRequestsMs: number;
  readonly limitTokens: number | null;
  readonly remainingTokens: number;
  readonly resetTokensMs: number;
}

/** What a key has spent in its budget's period, and what is left of its limits. */
export interface KeyStanding {
  readonly spend: BudgetSpend;
  /** `null` when neither requests nor tokens per minute are limited. */
  readonly rate: RateState | null;
  /** Requests that are under way. */
  readonly openRequests: number;
}

interface ReserveFacts {
  /** What is left of the budget after this reservation; `null` without a budget. Never below 0. */
  readonly remainingNanoUsd: number | null;
  /** Newest version of the key that the ledger knows. */
  readonly keyVersion: number;
  /** `null` when neither requests nor tokens per minute are limited. */
  readonly rate: RateState | null;
  /** Requests that the sender may start before it is answered. Absent where their number is not limited. */
  readonly freeSlots?: number;
  /** What the budgets above the key have leased to its ledger and is still free. Absent where none may refuse. */
  readonly leasedNanoUsd?: number;
}

export type RefusalReason = "budget" | "shared_budget" | "revoked" | "requests" | "tokens" | "concurrency";

export type ReserveAnswer =
  | ({ readonly ok: true } & ReserveFacts)
  | ({
      readonly ok: false;
      readonly reason: RefusalReason;
      /** 1,000 to 60,000 for a rate, 0 where waiting does not help. */
      readonly retryAfterMs: number;
      /** Which budget above the key refuses, and what is left of it. */
      readonly shortage?: BudgetShortage;
    } & ReserveFacts);

/** The ledger did not answer, or the request is over for it. Nothing may be sent; release what may stand. */
export interface Unavailable {
  readonly ok: false;
  readonly reason: "unavailable";
}

/** How one attempt ended and what it cost. */
export interface SettledAttempt {
  /** The number it was reserved under. */
  readonly attempt: number;
  readonly provider: string;
  readonly model: string;
  readonly winner: boolean;
  readonly outcome: string;
  /** `null`: the price is unknown. */
  readonly costNanoUsd: number | null;
  /** JSON of all that the cost was made from: raw usage, price row, catalogue version, conditions. */
  readonly basis: string;
  readonly source: UsageSource;
}

/** One finished request. Its trace and its cost are stored together or not at all. */
export interface SettleRow {
  readonly id: string;
  readonly status: string;
  readonly route: string;
  /** The trace as JSON text: strings cross to the object far cheaper than the nested value. */
  readonly trace: string;
  /** Sum of `attempts`; `null` when the price of one is unknown. */
  readonly costNanoUsd: number | null;
  readonly env: string;
  /** All that were sent. What the request reserved besides is set free. */
  readonly attempts: readonly SettledAttempt[];
  /** Prompt and completion tokens of all attempts. */
  readonly tokens: number;
  /**
   * What providers may bill for calls that were refused after they had been sent. It comes on top of `attempts`, is never
   * charged to the key, and is 0 for all other requests.
   */
  readonly unadmittedNanoUsd: number;
  /** When the request arrived, epoch ms. Chooses the period of what was not reserved. */
  readonly startedAt: number;
  /** `null`: the caller has no newer terms to show. */
  readonly terms: KeyTerms | null;
  /** As in a reservation. */
  readonly budgets?: readonly BudgetTerms[];
}

/** A request that was refused before it reached a route. */
export interface RefusedRow {
  readonly id: string;
  /** As on the trace. */
  readonly route: string;
  /** The trace as JSON text. */
  readonly trace: string;
}

export interface SettleAnswer {
  readonly revoked: boolean;
  readonly keyVersion: number;
  /** What is left of the budget that the ledger knows of, less reservations; `null` without one. Never below 0. */
  readonly remainingNanoUsd: number | null;
  /** As in the answer to a reservation. */
  readonly freeSlots?: number;
  readonly leasedNanoUsd?: number;
  /** The ledger is called so often that isolates are to call this many gates in its place. Absent: it has none. */
  readonly gates?: number;
}

/** What stands against a budget in its running period. */
export interface BudgetSpend {
  readonly spentNanoUsd: number;
  /** Held for attempts that are not settled yet. */
  readonly reservedNanoUsd: number;
}

/** What was booked in one period, in UTC. */
export interface PeriodSpend extends BudgetSpend {
  /** Those with a trace: settled ones, and those charged at their bound because they were never settled. */
  readonly requests: number;
  /** Requests whose cost is unknown in whole or in part. */
  readonly unpricedRequests: number;
}

/** What a ledger knows about its own correctness. */
export interface LedgerAudit {
  /** Kept in addition to the rows; must equal `openNanoUsd`. */
  readonly reservedNanoUsd: number;
  /** Sum of the rows of open reservations. */
  readonly openNanoUsd: number;
  readonly openReservations: number;
  /** Requests that count for `concurrency`. */
  readonly openRequests: number;
  readonly day: PeriodSpend;
  readonly month: PeriodSpend;
  readonly total: PeriodSpend;
  /** Sum of all attempts ever booked, those included that retention has deleted; must equal what `total` has spent. */
  readonly bookedNanoUsd: number;
  /** Attempts that cost more than their bound. */
  readonly overBound: number;
  /** Reservations that were not settled in time, and what they were charged. */
  readonly expired: number;
  readonly expiredNanoUsd: number;
  readonly unadmittedNanoUsd: number;
  /** Traces on their way to the index. */
  readonly unshippedTraces: number;
  /** Traces that retention deleted before the index had them, and what they cost. */
  readonly lostTraces: number;
  readonly lostNanoUsd: number;
  /** Refused requests that left no trace, because there were too many. */
  readonly refused: number;
  readonly revoked: boolean;
  readonly keyVersion: number;
  readonly isConsistent: boolean;
}

export interface TraceQuery extends BodyFilter {
  /** Count values of all that is found as well. */
  readonly facets?: boolean | undefined;
  /** Clamped to 1 to 1000. */
  readonly limit: number;
  /** `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
  readonly status?: string | undefined;
  /** As on the trace: `flow/best-reasoning`. */
  readonly route?: string | undefined;
  /** Epoch ms, inclusive. */
  readonly since?: number | undefined;
  /** Epoch ms, exclusive. */
  readonly until?: number | undefined;
}

/** Newest first. */
export interface TracePage {
  /** Present where they were asked for. */
  readonly facets?: FacetCounts;
  readonly data: readonly Trace[];
  /** `null` on the last page. */
  readonly next_cursor: string | null;
}
