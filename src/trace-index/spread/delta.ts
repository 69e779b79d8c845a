/** What a batch of traces adds to the sums of its day: added at once in the object of the day, sent to it by a shard. */
import type { AttemptCount } from "../store/store-metrics.ts";
import type { CountRow, ErrorRow, LatencyRow } from "../tally.ts";
import type { UsageRow } from "../usage.ts";

export interface TrailDelta {
  /** By the minute. */
  readonly usage: readonly UsageRow[];
  readonly counts: readonly CountRow[];
  readonly latencies: readonly LatencyRow[];
  readonly errors: readonly ErrorRow[];
  readonly attempts: readonly AttemptCount[];
}

/** A delta by the number that its shard gave it, from 1, so that it is added once. */
export interface NumberedDelta {
  readonly seq: number;
  readonly delta: TrailDelta;
}
