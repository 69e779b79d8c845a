/**
 * The budgets that a request meets, as the request path reads them: isolate cache, then KV. A change is known everywhere
 * within a minute; a list that cannot be read leaves the last one in force.
 */
import { IsolateCache } from "../lib/isolate-cache.ts";
import { parseStored } from "../lib/stored.ts";
import { BUDGETS_KEY, BudgetList, meets, type Spender, termsOf } from "./record.ts";
import type { BudgetTerms } from "./types.ts";

/** KV's own floor for `cacheTtl`, seconds. */
const KV_CACHE_SECONDS = 30;

/** That there are none is kept as well. */
const lists = new IsolateCache<BudgetList>({
  ...{ maxEntries: 1, freshMs: 5_000, staleMs: 25_000, keepMs: Number.POSITIVE_INFINITY },
});

export interface BudgetContext {
  readonly kv: KVNamespace;
  readonly now: number;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** Rejects when KV cannot be read and nothing was read before. */
export async function readBudgets({ kv, now, waitUntil }: BudgetContext): Promise<BudgetList> {
  const read = async (): Promise<BudgetList> => {
    const text = await kv.get(BUDGETS_KEY, { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? [] : parseStored(BudgetList, text, BUDGETS_KEY);
  };
  return (await lists.get(BUDGETS_KEY, now, read, waitUntil)) ?? [];
}

/** Drops this isolate's copy, so that the isolate which made a change sees it at once. */
export function forgetBudgets(): void {
  lists.delete(BUDGETS_KEY);
}

export function budgetsOf(budgets: BudgetList, spender: Spender): readonly BudgetTerms[] {
  if (budgets.length === 0) return [];
  return budgets.filter((budget) => meets(budget, spender)).map(termsOf);
}
