/** What passes between isolates and a target's shared health. Plain data only. Times are those of the object's clock. */
import type { PromptCounts } from "./cache-share.ts";

/** One latency bucket of `quantile.ts`: how many calls were answered in it, and how many we ended at that age. */
export type SketchRow = readonly [bucket: number, answered: number, ended: number];

/** A failure as operators see it. */
export interface LastFailure {
  /** Epoch ms, by the clock of the isolate. */
  readonly at: number;
  readonly class: string;
  /** HTTP status; `null`: no response head came. */
  readonly status: number | null;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly requestId?: string | undefined;
}

/** Times are epoch ms. */
export interface Opening {
  readonly at: number;
  readonly until: number;
  /** The class of the failure that came last; `null`: none is known. */
  readonly class: string | null;
}

/** What one isolate has seen since its last report. Counts are sums; durations are relative, so clocks may differ. */
export interface HealthDelta {
  /** Id of the isolate: random, the same for its whole life. */
  readonly isolate: string;
  readonly successes: number;
  /** Hard failures. */
  readonly failures: number;
  readonly rateLimited: number;
  /** Ids of the keys whose requests failed, two at most. Absent in reports of earlier releases: anybody's. */
  readonly failedKeys?: readonly string[] | undefined;
  /** Failures of streams that had been reported as successes before they broke. */
  readonly broken: number;
  /** Counts attempts that began while the isolate knew the target as not closed. Not among `successes` and `failures`. */
  readonly probeSuccesses: number;
  readonly probeFailures: number;
  /** The isolate leaves the target alone at the moment, because of failures it saw itself. */
  readonly isPenalising: boolean;
  /** Asks for the right to send one probe. */
  readonly wantsLease: boolean;
  /** The probe of the isolate's lease ended without telling anything. */
  readonly returnsLease: boolean;
  /** How much longer the provider wants to be left alone; 0 when it does not. */
  readonly cooldownMs: number;
  /** A stream of the target broke a rule of its protocol: its bytes must not pass unread. Absent from older isolates. */
  readonly isUnclean?: boolean;
  /** Time to the first token of streams. */
  readonly firstToken: readonly SketchRow[];
  /** Time to the whole answer. */
  readonly total: readonly SketchRow[];
  /** The last of the failures. Absent: there was none, or the isolate is of an earlier release. */
  readonly lastFailure?: LastFailure | undefined;
  /** Prompts whose provider said what of them it read from its cache. Absent in reports of earlier releases. */
  readonly prompts?: PromptCounts;
}

/** Over the last minute. */
export interface LatencySummary {
  /** Answered and ended ones. */
  readonly calls: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** What all isolates together have seen. */
export interface HealthSnapshot {
  /** When this was true, epoch ms. */
  readonly at: number;
  readonly state: "closed" | "open" | "half_open";
  /** Epoch ms; before it the breaker lets nothing pass. 0 while closed. */
  readonly openUntil: number;
  /** The only key whose requests opened the breaker: for every other key it is closed. Absent or `null`: open for all. */
  readonly openFor?: string | null | undefined;
  /** Epoch ms until which the provider asked to be left alone; in the past or 0 when it does not. */
  readonly cooldownUntil: number;
  /** Times in a row that the target was taken out of service, forgotten one per minute in service. */
  readonly ejections: number;
  /** Successes and hard failures of the last minute. */
  readonly requests: number;
  readonly failures: number;
  readonly rateLimited: number;
  readonly firstToken: LatencySummary | null;
  readonly total: LatencySummary | null;
  /** Epoch ms until which its streams are read event by event; 0 or absent when they need not be. */
  readonly uncleanUntil?: number;
  /** Share of prompt tokens of the last hour that were read from a cache. Absent in answers of earlier releases. */
  readonly cachedShare?: number;
}

/** What an operator sees of a target. */
export interface TargetDetails extends HealthSnapshot {
  /** Those of the last day, newest first. */
  readonly openings: readonly Opening[];
  /** How many isolates leave the target alone because of what they saw themselves; three stand for more. */
  readonly penalties: number;
  readonly lastFailure: LastFailure | null;
}

/** The answer to a report. */
export interface HealthAnswer extends HealthSnapshot {
  /** How long the asking isolate may begin one probe, milliseconds; 0 without a lease. */
  readonly leaseMs: number;
}
