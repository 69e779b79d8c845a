/** What an attempt may cost by the length of its answer, and what is held of those before it. Pure. */
import type { EndedAttempt } from "../../ledger/types.ts";
import type { Exchange } from "../trace.ts";

/** What an attempt may cost at most, by the length of its answer. */
export interface Costs {
  /** Nano-USD of an answer of so many tokens; `null`: more than can be counted. */
  readonly of: (outputTokens: number) => number | null;
  /** The cap that holds where money does not lower it. */
  readonly cap: number;
  /** The router may not set a lower one than this. */
  readonly leastCap: number;
}

export interface Bound {
  /** Cap on the output that is to be written upstream. */
  readonly outputTokens: number;
  readonly nanoUsd: number;
}

/** The largest cap up to that of `costs` whose cost is at most `leftNanoUsd`; 0 when none is. More never costs less. */
export function largestFitting({ of, cap }: Costs, leftNanoUsd: number): number {
  let low = 0;
  let high = cap;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((of(middle) ?? Number.POSITIVE_INFINITY) <= leftNanoUsd) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A failed attempt's fallback must not be refused for what it held beyond its cost. */
export function endedAttempts(exchange: Exchange): EndedAttempt[] {
  return exchange.attempts.flatMap((attempt) => {
    if (attempt.isRunning) return [];
    const { costNanoUsd } = exchange.bill(attempt);
    return costNanoUsd === null ? [] : [{ attempt: attempt.number, costNanoUsd }];
  });
}
