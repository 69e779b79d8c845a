/** What a ledger brings into a budget above keys that comes later: what its period had spent before. */
import { expect, test } from "vitest";
import type { BudgetTerms } from "../../../src/budgets/types.ts";
import type { CostBasis } from "../../../src/pricing/price.ts";
import {
  type Books,
  DAY_MS,
  KEY_ID,
  MINUTE_MS,
  openBooks,
  settled,
  settleRow,
  startStore,
  T0,
  traceId,
} from "./fakes.ts";

const TERMS: BudgetTerms = {
  ...{ id: "one", era: 1, app: null, tag: null, period: "month", on_exceeded: "deny", limit_usd: 1 },
};

function settle(books: Books, at: number, nanoUsd: number, app: string, team?: string): void {
  const id = traceId(at);
  const usage = { promptTokens: 10, completionTokens: 5, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 };
  const conditions = { provider: "openai", startedAt: at };
  const basis: CostBasis = { raw: null, usage, row: null, conditions, catalog: "" };
  const known = { id, env: "production", created_at: new Date(at).toISOString(), status: "ok", app, route: "flow/a" };
  const trace = JSON.stringify({ ...known, tags: team === undefined ? {} : { team } });
  const attempts = [settled(0, nanoUsd, { basis: JSON.stringify(basis) })];
  books.call((ledger) => ledger.settle([settleRow(id, attempts, { startedAt: at, trace })], at));
}

/** Ten days of this month in the books, of which the traces of two days are kept. */
function trimmed(): Books {
  const books = openBooks(startStore(), 2);
  for (let back = 10; back >= 0; back--) {
    settle(books, T0 - back * DAY_MS, 1_000, "web", "ads");
    settle(books, T0 - back * DAY_MS, 100, "web");
    settle(books, T0 - back * DAY_MS, 10, "chat", "search");
  }
  const later = T0 + 2 * MINUTE_MS;
  while (books.call((ledger) => ledger.trim(later)));
  expect(books.ledger.traces.count).toBe(6);
  return books;
}

const spentOf = (books: Books, terms: Partial<BudgetTerms>): number | undefined => {
  const now = T0 + 3 * MINUTE_MS;
  books.call((ledger) => ledger.shares.learn([{ ...TERMS, ...terms }], KEY_ID, now));
  return books.ledger.shares.find("one")?.spent;
};

const tag = (value: string, since = 0) => ({ name: "team", value, since });

test.each<{ name: string; terms: Partial<BudgetTerms>; spent: number }>([
  { name: "everything", terms: {}, spent: 11 * 1_110 },
  { name: "an app", terms: { app: "web" }, spent: 11 * 1_100 },
  { name: "another app", terms: { app: "chat" }, spent: 110 },
  { name: "an app without requests", terms: { app: "none" }, spent: 0 },
  { name: "a tag", terms: { tag: tag("ads") }, spent: 11_000 },
  { name: "an app's tag", terms: { app: "chat", tag: tag("ads") }, spent: 0 },
  { name: "a tag since it was declared", terms: { tag: tag("search", T0 - 6 * DAY_MS) }, spent: 70 },
  { name: "an app, of all time", terms: { app: "chat", period: "total" }, spent: 110 },
  { name: "an app, of this week", terms: { app: "web", period: "week" }, spent: 7 * 1_100 },
])("$name: what it had spent is counted to the nano-dollar, after its traces were deleted too", ({ terms, spent }) => {
  expect(spentOf(trimmed(), terms)).toBe(spent);
});

test("where a release before kept nothing of what it deleted, all of the key counts: never less", () => {
  const books = trimmed();
  books.store.sql.exec("DELETE FROM folded");
  expect(spentOf(books, { app: "chat" })).toBe(11 * 1_110);
});
