/**
 * Calls to the objects of the trail: a few at a time, each with a time limit and one more try. When one does not answer,
 * the whole question fails, because an answer with a hole in it looks complete.
 */
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { trailName } from "./calendar.ts";
import type { TrailIndex } from "./trail-index.ts";

/** Both tries of one call together. */
export const CALL_LIMIT_MS = 5_000;
/** What a Worker may have open at a time. */
export const CALLS_AT_A_TIME = 6;
/** What was settled this long ago has been sent by its ledger. */
const SHIPPED_AFTER_MS = 5_000;

export type Trails = DurableObjectNamespace<TrailIndex>;

/** The object's questions as their callers see them. */
export type Trail = {
  readonly [Name in "list" | "facets" | "metrics" | "usage" | "usageOfMatching" | "evidence" | "erase"]: (
    ...parameters: Parameters<TrailIndex[Name]>
  ) => ReturnType<TrailIndex[Name]>;
};

export const asOf = (now: number): string => new Date(now - SHIPPED_AFTER_MS).toISOString();

export function objectNames(envs: readonly string[], days: readonly number[]): string[] {
  return days.flatMap((day) => envs.map((env) => trailName(env, day)));
}

/** `work` on every item, a few at a time, with the results in the order of the items. After a failure nothing starts. */
export async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    for (const [at, item] of waiting) {
      if (hasFailed) return;
      results[at] = await work(item).catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, worker));
  return results;
}

export async function askTrail<T>(namespace: Trails, name: string, call: (trail: Trail) => Promise<T>): Promise<T> {
  try {
    // The same methods: the platform's own stub type makes arrays of the tuples in a histogram.
    return await callWithRetry(CALL_LIMIT_MS, async () => call(namespace.getByName(name) as unknown as Trail));
  } catch {
    throw unavailable();
  }
}

export function unavailable(): RouterError {
  return new RouterError("ledger_unavailable", "Part of the trace index did not answer. Retry shortly.");
}
