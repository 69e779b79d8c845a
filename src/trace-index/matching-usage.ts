/** Usage of the traces that a filter of the trace lists matches: what no sum says is counted one by one. */
import type { BodyFilter } from "../traces/filter.ts";
import { DAY_MS, type TrailDay } from "./calendar.ts";
import type { Siblings } from "./spread/siblings.ts";
import type { TrailStore } from "./store/store.ts";
import type { DayUsageQuery } from "./store/store-usage.ts";
import { mergeSums, type UsageSum } from "./usage-query.ts";

/** Shards of a day that one question asks. */
const MAX_SHARDS_ASKED = 256;

export interface MatchingPlace {
  readonly store: TrailStore;
  readonly day: TrailDay;
  readonly tagNames: readonly string[];
  /** `null`: this is a shard. */
  readonly siblings: Siblings | null;
}

/** What matches in a part of the day, in this object and its shards; `null`: there are too many traces to look into. */
export async function usageOfMatching(
  { store, day, tagNames, siblings }: MatchingPlace,
  query: DayUsageQuery,
  filter: BodyFilter,
): Promise<UsageSum[] | null> {
  const span = { since: Math.max(query.since, day.startAt), until: Math.min(query.until, day.startAt + DAY_MS) };
  const own = store.usageOfMatching(query, filter, span, day, tagNames);
  if (own === null || siblings === null || !store.hasTables) return own;
  const shards = store.directory.shards(span, query.key);
  if (shards.length > MAX_SHARDS_ASKED) return null;
  const parts = await siblings.ask(day.env, shards, (shard) => shard.usageOfMatching(query, filter));
  return parts.every((part) => part !== null) ? mergeSums([own, ...parts]) : null;
}
