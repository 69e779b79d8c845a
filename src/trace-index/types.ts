/** What passes between the trail's objects and their callers. Plain data only: all of it crosses to a Durable Object. */
import type { BodyFilter } from "../traces/filter.ts";
import type { Shard } from "./calendar.ts";
import type { BucketCount } from "./histogram.ts";
import type { Spread } from "./spread/plan.ts";

/** What one ledger sends, at least once and in any order. */
export interface TrailBatch {
  readonly keyId: string;
  readonly rows: readonly TrailRow[];
}

export interface TrailRow {
  /** The ledger's own number for the row. */
  readonly seq: number;
  /** JSON of a `Trace`. Its id makes the row repeatable. */
  readonly trace: string;
  /** What providers may bill for calls of this request that were refused after they had been sent. Never the key's. */
  readonly unadmittedNanoUsd: number;
  /**
   * How many attempts are charged at their bound because the request was never settled; absent or 0: it was. Of the
   * rows of one trace the settled one counts, before it came the one with the most attempts.
   */
  readonly unsettledAttempts?: number;
}

export interface TrailReceipt {
  /** Largest `seq` of the batch: the rows of this batch up to it need not be sent again. 0 for an empty batch. */
  readonly upTo: number;
  /** Where further traces are to be sent. A hint: each object hands on what is not its own. */
  readonly spread?: Spread;
}

/** Position of a trace in the list, which is sorted by `createdAt` and then by `id`, both falling. */
export interface Position {
  /** Epoch ms. */
  readonly createdAt: number;
  readonly id: string;
}

/** Absent members do not filter. All compare with values of the trace. */
export interface TraceFilter extends BodyFilter {
  readonly app?: string | undefined;
  /** `flow/<name>`, or `<provider>/<model>` of a raw model. */
  readonly route?: string | undefined;
  /** The one that answered. */
  readonly provider?: string | undefined;
  readonly status?: string | undefined;
  /** Key id. */
  readonly key?: string | undefined;
  /** Epoch ms, inclusive. */
  readonly since?: number | undefined;
  /** Epoch ms, exclusive. */
  readonly until?: number | undefined;
}

/** A question to the object of one day. */
export interface DayListQuery extends TraceFilter {
  /** Only rows after it in the list. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

export interface ListedTrace extends Position {
  /** JSON of a `Trace`. */
  readonly trace: string;
}

/** A question for counts instead of rows. */
export type DayFacetsQuery = Omit<DayListQuery, "after" | "limit">;

export interface DayList {
  /** Newest first. */
  readonly rows: readonly ListedTrace[];
  /**
   * How far the answer looked, where there may be more behind that: it had grown too large, or had looked at as many
   * traces as one answer may. `null`: the rows are all there are, or as many as were asked for.
   */
  readonly end: Position | null;
  /** Shards of the day that may have more, the newest hour first; absent without one. */
  readonly shards?: readonly Shard[];
}

/** What usage is grouped by, in addition to `tag.<name>`. */
export const DIMENSIONS = ["key", "app", "env", "route", "provider", "model", "api"] as const;

export interface DayEvidenceQuery {
  /** As on the trace: `flow/<name>`. */
  readonly route: string;
  readonly version: number;
  /** Epoch ms, inclusive; the slot it lies in counts in whole. */
  readonly since: number;
}

export interface ErrorCount {
  /** Outcome of an attempt, or the error code of a request that came to none. */
  readonly class: string;
  /** `null` where no attempt was made. */
  readonly provider: string | null;
  readonly count: number;
}

/** What is counted of one route version. Adding two of them is adding members. */
export interface EvidenceCounts {
  /** Those that ended well or badly; see `isEvidence`. */
  readonly requests: number;
  readonly succeeded: number;
  readonly fallbacks: number;
  readonly hedged: number;
  /** Requests whose cost is known, and its sum. */
  readonly priced: number;
  readonly nanoUsd: number;
  /** Latency of requests that succeeded, since they arrived. */
  readonly firstToken: readonly BucketCount[];
  readonly total: readonly BucketCount[];
  readonly errors: readonly ErrorCount[];
}
