/** A repricing in the books of one key: charges that are kept and charges that retention has folded. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Price } from "../../../src/catalog/model-facts.ts";
import type { Usage } from "../../../src/conversation/usage.ts";
import { SpendChanges } from "../../../src/ledger/periods.ts";
import type { Adjustment, RepriceOrder, RepriceProgress } from "../../../src/ledger/repricing.ts";
import { recost } from "../../../src/pricing/fold.ts";
import type { CostBasis } from "../../../src/pricing/price.ts";
import { tries } from "../../support/tries.ts";
import { asBefore, type Books, DAY_MS, openBooks, settled, settleRow, T0, traceId } from "./fakes.ts";

const HOUR_MS = 3_600_000;
/** Fractions of a nano-dollar, so that each charge is rounded up. */
const OLD: Price = { input: 333, output: 1_777 };
const NEW: Price = { input: 501, output: 2_999, cache_read: 77 };

interface Request {
  readonly at: number;
  readonly usages: readonly Usage[];
  readonly model?: string;
}

const usageOf = (promptTokens: number, completionTokens: number, cachedTokens = 0): Usage => {
  return { promptTokens, completionTokens, cachedTokens, cacheWriteTokens: 0, reasoningTokens: 0 };
};
const basisOf = (usage: Usage, at: number): CostBasis => {
  return { raw: null, usage, row: null, conditions: { provider: "openai", startedAt: at }, catalog: "" };
};
const costIn = (price: Price, usage: Usage): number => recost(basisOf(usage, T0), price)?.nanoUsd ?? Number.NaN;

/** Settles the requests, charged by `price`; `null`: nothing was known. Answers their ids. */
function settle(books: Books, requests: readonly Request[], price: Price | null = OLD): string[] {
  return requests.map(({ at, usages, model = "gpt-5" }) => {
    const id = traceId(at);
    const attempts = usages.map((usage, number) =>
      settled(number, price === null ? null : costIn(price, usage), {
        model,
        basis: JSON.stringify(basisOf(usage, at)),
      }),
    );
    const known = {
      id,
      env: "production",
      created_at: new Date(at).toISOString(),
      status: "ok",
      app: "a",
      route: "flow/a",
    };
    const row = settleRow(id, attempts, { startedAt: at, trace: JSON.stringify({ ...known, tags: { team: "x" } }) });
    books.call((ledger) => ledger.settle([row], at));
    return id;
  });
}

const order = (members: Partial<RepriceOrder> = {}): RepriceOrder => ({
  ...{ job: "rp_1", provider: "openai", model: "gpt-5", since: T0 - 40 * DAY_MS, until: T0 + 400 * DAY_MS },
  ...{ price: NEW, rows: [], includeReported: false, dryRun: false, ...members },
});

/** Runs a job to its end; each step's answer is lost once. */
function reprice(
  books: Books,
  asked: RepriceOrder,
): { readonly end: RepriceProgress; readonly told: readonly Adjustment[] } {
  const told = new Map<number, Adjustment>();
  let delivered = 0;
  for (let steps = 0; ; steps++) {
    expect(steps).toBeLessThan(500);
    const step = (): RepriceProgress =>
      books.call((ledger) => {
        const changes = new SpendChanges();
        const progress = ledger.repricing.step(asked, delivered, T0, changes);
        ledger.bookChanges(changes);
        return progress;
      });
    step();
    books.evict();
    const progress = step();
    for (const adjustment of progress.adjustments) told.set(adjustment.seq, adjustment);
    delivered = Math.max(delivered, ...progress.adjustments.map(({ seq }) => seq));
    if (progress.isDone) return { end: progress, told: [...told.values()] };
  }
}

const spentOf = (books: Books, now: number) => books.ledger.audit(now);
const trimAll = (books: Books, now: number): void => {
  while (books.call((ledger) => ledger.trim(now)));
};

const anyUsage = fc
  .tuple(fc.nat(40_000), fc.nat(9_000), fc.nat(5_000))
  .map(([plain, completion, cached]) => usageOf(plain + cached, completion, cached));
const anyRequests = fc.array(
  fc.record({
    at: fc.integer({ min: T0 - 20 * DAY_MS, max: T0 }),
    usages: fc.array(anyUsage, { minLength: 1, maxLength: 2 }),
    model: fc.constantFrom("gpt-5", "gpt-5", "other"),
  }),
  { maxLength: 25 },
);

test("whatever was charged, kept charges cost what they would have cost, and the books agree", () => {
  fc.assert(
    fc.property(anyRequests, (requests) => {
      const books = openBooks();
      settle(books, requests);
      const before = spentOf(books, T0);
      const { end, told } = reprice(books, order());
      const meant = requests.filter(({ model }) => model === "gpt-5").flatMap(({ usages }) => usages);
      const sum = (price: Price): number => meant.reduce((all, usage) => all + costIn(price, usage), 0);
      expect(end).toMatchObject({
        ...{ charges: meant.length, beforeNanoUsd: sum(OLD), afterNanoUsd: sum(NEW), isExact: true },
      });
      const after = spentOf(books, T0);
      expect(after.isConsistent).toBe(true);
      expect(after.total.spentNanoUsd - before.total.spentNanoUsd).toBe(sum(NEW) - sum(OLD));
      expect(told.reduce((all, { nanoUsd }) => all + nanoUsd, 0)).toBe(sum(NEW) - sum(OLD));
      const again = reprice(books, order({ job: "rp_2" }));
      expect([again.end.beforeNanoUsd, again.told]).toEqual([sum(NEW), []]);
    }),
    { numRuns: tries(40) },
  );
});

test("charges that retention deleted are corrected by their hours, at most a nano-dollar a request off, once", () => {
  fc.assert(
    fc.property(anyRequests, fc.integer({ min: 0, max: 25 * DAY_MS }), (requests, later) => {
      const books = openBooks();
      settle(books, requests);
      // Some of them are older than 30 days by now.
      const now = T0 + 11 * DAY_MS + later;
      trimAll(books, now);
      const before = spentOf(books, now);
      expect(before.isConsistent).toBe(true);
      const { end, told } = reprice(books, order());
      const meant = requests.filter(({ model }) => model === "gpt-5").flatMap(({ usages }) => usages);
      const truth = meant.reduce((all, usage) => all + costIn(NEW, usage), 0);
      expect(end.charges).toBe(meant.length);
      expect(end.afterNanoUsd).toBeLessThanOrEqual(truth);
      expect(end.afterNanoUsd).toBeGreaterThanOrEqual(truth - meant.length);
      const after = spentOf(books, now);
      expect(after.isConsistent).toBe(true);
      expect(after.total.spentNanoUsd - before.total.spentNanoUsd).toBe(end.afterNanoUsd - end.beforeNanoUsd);
      expect(told.reduce((all, { nanoUsd }) => all + nanoUsd, 0)).toBe(end.afterNanoUsd - end.beforeNanoUsd);
      const again = reprice(books, order({ job: "rp_2" }));
      expect([again.end.afterNanoUsd - again.end.beforeNanoUsd, again.told]).toEqual([0, []]);
    }),
    { numRuns: tries(40) },
  );
});

describe("money goes where it was", () => {
  const [november, december] = [Date.UTC(2026, 10, 30, 23), Date.UTC(2026, 11, 1, 1)];

  test.each([0, 60 * DAY_MS])("to the day and month of each reservation, %d ms later", (laterMs) => {
    const books = openBooks();
    settle(books, [
      { at: november, usages: [usageOf(1_000, 10)] },
      { at: december, usages: [usageOf(2_000, 20)] },
    ]);
    const monthOf = (at: number) => books.ledger.audit(at).month.spentNanoUsd;
    const price = { input: 1_000, output: 0 };
    trimAll(books, december + laterMs);
    const { end } = reprice(books, order({ price }));
    expect([monthOf(november), monthOf(december)]).toEqual([1_000, 2_000]);
    expect(end.isExact).toBe(laterMs === 0);
  });

  test("from unknown to known, and the requests are no longer counted as unpriced", () => {
    for (const laterMs of [0, 60 * DAY_MS]) {
      const books = openBooks();
      settle(books, [{ at: T0, usages: [usageOf(1_000, 0)] }], null);
      settle(books, [{ at: T0 + 1, usages: [usageOf(1_000, 0), usageOf(500, 0)] }], null);
      expect(books.ledger.audit(T0).day.unpricedRequests).toBe(2);
      trimAll(books, T0 + laterMs);
      const { end, told } = reprice(books, order({ price: { input: 1_000, output: 0 } }));
      expect(end).toMatchObject({ beforeNanoUsd: 0, afterNanoUsd: 2_500, charges: 3 });
      const day = books.ledger.audit(T0).day;
      expect(day.spentNanoUsd).toBe(2_500);
      // Of a request with two charges that were unknown, no sum says when both are known.
      expect(day.unpricedRequests).toBe(laterMs === 0 ? 0 : 1);
      const whole = told.reduce((all, { priced }) => all + priced[3], 0);
      expect(whole).toBe(laterMs === 0 ? 2 : 1);
    }
  });
});

describe("what cannot be corrected is said before anything is", () => {
  const requests = [{ at: T0, usages: [usageOf(1_000, 10)] }];

  test("an hour that is cut, where its charges are folded", () => {
    const books = openBooks();
    settle(books, requests);
    const cut = order({ since: T0 + 60_000 });
    expect(books.ledger.repricing.check(cut)).toEqual({ firstHour: 0, needsWholeHours: false, unknownLengths: [] });
    trimAll(books, T0 + 60 * DAY_MS);
    expect(books.ledger.repricing.check(cut).needsWholeHours).toBe(true);
    expect(books.ledger.repricing.check(order({ since: T0 + HOUR_MS })).needsWholeHours).toBe(false);
  });

  test("lengths that folded charges are not told apart by", () => {
    const books = openBooks();
    settle(books, requests);
    trimAll(books, T0 + 60 * DAY_MS);
    const tiers = [
      { above: 5_000, input: 1, output: 1 },
      { above: 200_000, input: 1, output: 1 },
    ];
    expect(books.ledger.repricing.check(order({ price: { ...NEW, tiers } })).unknownLengths).toEqual([5_000]);
  });

  test("hours whose charges a release before has deleted", () => {
    const books = openBooks();
    settle(books, requests);
    const { sql } = books.store;
    asBefore(sql);
    for (const table of ["folded", "repricing", "adjustment", "migration"]) sql.exec(`DROP TABLE ${table}`);
    for (const column of ["refused", "folded_since"]) sql.exec(`ALTER TABLE account DROP COLUMN ${column}`);
    for (const [table, column] of [
      ["hold", "origin"],
      ["hold", "isolate"],
      ["request", "unsettled_attempts"],
    ] as const) {
      sql.exec(`ALTER TABLE ${table} DROP COLUMN ${column}`);
    }
    sql.exec("DROP TABLE refusal");
    sql.exec("UPDATE ledger SET trimmed_traces = 3");
    books.evict();
    expect(books.ledger.repricing.check(order()).firstHour).toBe(T0 + HOUR_MS);
  });
});

test("a dry run changes nothing and says what it would", () => {
  const books = openBooks();
  const requests = Array.from({ length: 900 }, (_, at) => ({ at: T0 - at * 1_000, usages: [usageOf(1_000, 10)] }));
  settle(books, requests);
  const before = books.ledger.audit(T0);
  const { end, told } = reprice(books, order({ dryRun: true }));
  expect(end).toMatchObject({ charges: 900, afterNanoUsd: 900 * costIn(NEW, usageOf(1_000, 10)), isDone: true });
  expect(told).toEqual([]);
  expect(books.ledger.audit(T0)).toEqual(before);
});
