/**
 * No spend without a trace: the traces of a ledger, and the index they are shipped to, add up to what the ledger has
 * spent, requests that nobody settled included, whatever is late, lost or sent twice.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Parcel } from "../../../src/ledger/outbox.ts";
import type { RequestOrigin, SettleRow } from "../../../src/ledger/types.ts";
import { TrailStore } from "../../../src/trace-index/store/store.ts";
import type { Trace } from "../../../src/traces/schema.ts";
import { DAY, type SpendTotal, spendOf, startSql, TODAY } from "../trace-index/fakes.ts";
import {
  asBefore,
  type Books,
  DAY_MS,
  KEY_ID,
  MINUTE_MS,
  openBooks,
  reservation,
  settled,
  settleRow,
  T0,
  traceId,
} from "./fakes.ts";

const originOf = (receivedAt: number, members: Partial<RequestOrigin> = {}): RequestOrigin => ({
  ...{ env: "production", app: "studio", route: "flow/a", routeVersion: 3, stream: true, receivedAt, ...members },
});

/** As a Worker sends it: the trace says of each attempt what the row says. */
function settlement(id: string, costs: readonly (number | null)[], receivedAt: number): SettleRow {
  const attempts = costs.map((cost, number) => settled(number, cost));
  const trace = {
    ...{ id, env: "production", app: "studio", route: "flow/a", route_version: 3, status: "ok", provider: "openai" },
    created_at: new Date(receivedAt).toISOString(),
    attempts: attempts.map(({ provider, model, outcome, costNanoUsd }) => {
      return { provider, model, outcome, cost_usd: costNanoUsd === null ? null : costNanoUsd / 1e9 };
    }),
    latency: { first_token_ms: 5, total_ms: 9 },
  };
  return settleRow(id, attempts, { startedAt: receivedAt, trace: JSON.stringify(trace) });
}

/** A ledger, the index it ships to, and what is on its way between them. */
class Chain {
  readonly books: Books = openBooks();
  readonly index = new TrailStore(startSql(), {
    bodies: 1_000,
    slack: 10,
    answerLength: 1_000_000,
    names: 2_000,
    rows: 50_000,
  });
  now = T0;
  #onTheWay: Parcel[] = [];

  reserve(id: string, attempt: number, boundNanoUsd: number, ttlMs: number, origin?: RequestOrigin): void {
    const held = { traceId: id, attempt, boundNanoUsd, expiresAt: this.now + ttlMs };
    // A target of its own for each attempt, which the settlement may not name.
    const target = origin === undefined ? {} : { provider: VENDORS[attempt] ?? "openai", origin };
    const whole = reservation({ ...held, ...target });
    this.books.call((ledger) => ledger.reserve(whole, this.now));
  }

  settle(row: SettleRow): void {
    this.books.call((ledger) => ledger.settle([row], this.now));
  }

  sweep(): void {
    this.books.call((ledger) => ledger.sweep(this.now));
  }

  send(): void {
    this.#onTheWay.push(...this.books.ledger.outbox.parcels(3, 0));
  }

  /** The newest parcel on its way is taken by the index; the answer may be lost. */
  arrive(isConfirmed: boolean): void {
    const parcel = this.#onTheWay.pop();
    if (parcel === undefined) return;
    expect(this.index.ingest({ keyId: KEY_ID, rows: parcel.rows }, DAY)).toEqual([]);
    if (isConfirmed) this.books.call((ledger) => ledger.outbox.removeSent(parcel));
  }

  shipAll(): void {
    for (let rounds = 0; !this.books.ledger.outbox.isEmpty; rounds++) {
      expect(rounds, "an outbox that never empties").toBeLessThan(50);
      this.send();
      this.arrive(true);
    }
  }

  get total(): SpendTotal {
    return spendOf(this.index, { groupBy: "key", since: TODAY, until: TODAY + DAY_MS }, DAY).total;
  }

  traces(): Trace[] {
    return this.index.list({ limit: 100 }, DAY).rows.map(({ trace }) => JSON.parse(trace) as Trace);
  }

  /** Ledger, index and lists say the same. */
  expectSame(): void {
    const { isConsistent, total, expiredNanoUsd } = this.books.ledger.audit(this.now);
    const { spentNanoUsd, requests, unpricedRequests } = total;
    expect(isConsistent).toBe(true);
    for (const groupBy of ["key", "provider", "route"] as const) {
      const { groups } = spendOf(this.index, { groupBy, since: TODAY, until: TODAY + DAY_MS }, DAY);
      expect(groups.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0)).toBe(spentNanoUsd);
      expect(groups.filter((group) => group.requests < 1)).toEqual([]);
    }
    expect(this.total).toEqual({ nanoUsd: spentNanoUsd, requests, unpricedRequests, unadmittedNanoUsd: 0 });
    expect(this.traces()).toEqual(this.books.ledger.traces.list({ limit: 100 }).data);
    const unsettled = this.traces().filter(({ error_code }) => error_code === "unsettled");
    const costs = unsettled.flatMap(({ attempts }) =>
      attempts.map(({ cost_usd }) => Math.round((cost_usd ?? 0) * 1e9)),
    );
    expect(costs.reduce((sum, cost) => sum + cost, 0)).toBe(expiredNanoUsd);
  }
}

type Step = (chain: Chain) => void;

const VENDORS = ["openai", "groq", "xai"] as const;
const IDS = Array.from({ length: 5 }, (_, index) => traceId(T0 - 1_000 + index));
const who = fc.nat({ max: IDS.length - 1 });
/** A request is settled by one row, however often it is sent. */
const bills = fc.array(fc.array(fc.option(fc.nat({ max: 90 }), { freq: 6 }), { maxLength: 3 }), {
  minLength: IDS.length,
  maxLength: IDS.length,
});

const step = (allCosts: readonly (readonly (number | null)[])[]): fc.Arbitrary<Step> => {
  const of = (index: number): [string, number] => [IDS[index] ?? "", T0 - 1_000 + index];
  return fc.oneof(
    fc.tuple(who, fc.nat({ max: 2 }), fc.nat({ max: 4 }), fc.integer({ min: 1, max: 9_000 })).map(
      ([index, attempt, bound, ttlMs]): Step =>
        (chain) => {
          const [id, receivedAt] = of(index);
          chain.reserve(id, attempt, bound * 25, ttlMs, originOf(receivedAt));
        },
    ),
    who.map(
      (index): Step =>
        (chain) => {
          const [id, receivedAt] = of(index);
          chain.settle(settlement(id, allCosts[index] ?? [], receivedAt));
        },
    ),
    fc.nat({ max: 6_000 }).map(
      (ms): Step =>
        (chain) => {
          chain.now += ms;
          chain.sweep();
        },
    ),
    fc.constant<Step>((chain) => chain.send()),
    fc.boolean().map(
      (isConfirmed): Step =>
        (chain) =>
          chain.arrive(isConfirmed),
    ),
    fc.constant<Step>((chain) => chain.books.evict()),
    fc.constant<Step>((chain) => {
      chain.shipAll();
      chain.expectSame();
    }),
  );
};

test("whatever is held, settled, forgotten, late or sent twice, once shipped the index says what the ledger says", () => {
  const sequence = bills.chain((costs) => fc.array(step(costs), { minLength: 5, maxLength: 40 }));
  fc.assert(
    fc.property(sequence, (steps) => {
      const chain = new Chain();
      for (const run of steps) run(chain);
      chain.now += MINUTE_MS;
      chain.sweep();
      chain.shipAll();
      chain.expectSame();
      expect(chain.books.ledger.audit(chain.now)).toMatchObject({ openReservations: 0, lostTraces: 0 });
    }),
    { numRuns: process.env["FLOW_SOAK"] === "1" ? 3_000 : 120 },
  );
});

describe("a request that nobody settled", () => {
  const id = traceId(T0);

  function sweptChain(bounds: readonly number[] = [70, 30]): Chain {
    const chain = new Chain();
    for (const [attempt, bound] of bounds.entries()) chain.reserve(id, attempt, bound, MINUTE_MS, originOf(T0 - 20));
    chain.now += MINUTE_MS;
    chain.sweep();
    return chain;
  }

  test("has a trace that says so, what it is charged, and no more than is known", () => {
    const { books } = sweptChain();
    const attempt = {
      ...{ model: "gpt-5", outcome: "unsettled", status: null, started_ms: 20 },
      ...{ first_token_ms: null, duration_ms: MINUTE_MS, hedged: false, winner: false },
    };
    expect(books.ledger.traces.find(id)).toEqual({
      ...{ id, created_at: new Date(T0 - 20).toISOString(), key_id: KEY_ID, env: "production", app: "studio" },
      ...{ route: "flow/a", route_version: 3, stream: true, status: "error", http_status: 0, error_code: "unsettled" },
      ...{ provider: null, model: null, fallback: false },
      attempts: [
        { ...attempt, provider: "openai", cost_usd: 70e-9 },
        { ...attempt, provider: "groq", cost_usd: 30e-9 },
      ],
      latency: { first_token_ms: null, total_ms: MINUTE_MS + 20, budget_ms: null, budget_met: null },
      usage: {
        ...{ prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 },
        source: "none",
      },
      ...{ cost_usd: 100e-9, tool_calls: [], tags: {}, client_request_id: null },
    });
  });

  test("has no trace before its reservation expires", () => {
    const chain = new Chain();
    chain.reserve(id, 0, 70, MINUTE_MS, originOf(T0));
    chain.now += MINUTE_MS - 1;
    chain.sweep();
    expect(chain.books.ledger.traces.find(id)).toBeNull();
  });

  test("has an unknown cost where nobody had computed a bound", () => {
    const chain = sweptChain([0]);
    expect(chain.books.ledger.traces.find(id)).toMatchObject({ cost_usd: null, attempts: [{ cost_usd: null }] });
    chain.shipAll();
    chain.expectSame();
    expect(chain.total).toMatchObject({ requests: 1, unpricedRequests: 1 });
  });

  test("may go on: an attempt that begins after another expired is held", () => {
    const chain = sweptChain([70]);
    chain.reserve(id, 1, 40, MINUTE_MS, originOf(T0 - 20));
    expect(chain.books.ledger.audit(chain.now)).toMatchObject({ reservedNanoUsd: 40, expiredNanoUsd: 70 });
    chain.settle(settlement(id, [5, 6], T0 - 20));
    chain.shipAll();
    chain.expectSame();
    expect(chain.total).toMatchObject({ nanoUsd: 11, requests: 1 });
  });

  test.each([
    { name: "before its trace was shipped", ship: false },
    { name: "after its trace was shipped", ship: true },
  ])("and is settled after all, $name, has the settled trace alone, everywhere", ({ ship }) => {
    const chain = sweptChain();
    if (ship) {
      chain.shipAll();
      chain.expectSame();
      expect(chain.total).toMatchObject({ nanoUsd: 100, requests: 1 });
    }
    const row = settlement(id, [12, 8], T0 - 20);
    for (let again = 0; again < 3; again++) chain.settle(row);
    chain.shipAll();
    chain.expectSame();
    expect(chain.total).toMatchObject({ nanoUsd: 20, requests: 1 });
    expect(chain.traces().map(({ status, route_version }) => [status, route_version])).toEqual([["ok", 3]]);
    expect(chain.index.evidence({ route: "flow/a", version: 3, since: TODAY }, DAY)).toMatchObject({
      ...{ requests: 1, succeeded: 1, nanoUsd: 20, errors: [] },
    });
  });

  test("says nothing about its route's version", () => {
    const chain = sweptChain();
    chain.shipAll();
    expect(chain.index.evidence({ route: "flow/a", version: 3, since: TODAY }, DAY)).toMatchObject({
      ...{ requests: 0, priced: 0, errors: [] },
    });
  });

  test("and is settled while its trace is on the way, is sent again", () => {
    const chain = sweptChain();
    chain.send();
    chain.settle(settlement(id, [12], T0 - 20));
    chain.arrive(true);
    expect(chain.books.ledger.outbox.count()).toBe(1);
    chain.shipAll();
    chain.expectSame();
    expect(chain.total).toMatchObject({ nanoUsd: 12, requests: 1 });
  });

  test("counts once, in the period it was made in, though its trace was deleted before it was settled", () => {
    const chain = sweptChain();
    chain.shipAll();
    const rows = Array.from({ length: 10_001 }, () => settlement(traceId(chain.now), [1], chain.now));
    chain.books.call((ledger) => ledger.settle(rows, chain.now));
    chain.now += 2 * MINUTE_MS;
    while (chain.books.call((ledger) => ledger.trim(chain.now)));
    expect(chain.books.ledger.traces.find(id)).toBeNull();
    chain.settle(settlement(id, [12, 8], T0 - 20));
    for (let evictions = 0; evictions < 2; evictions++) {
      expect(chain.books.ledger.audit(chain.now)).toMatchObject({
        ...{ isConsistent: true, expired: 0, total: { requests: 10_002, spentNanoUsd: 10_021 } },
      });
      expect(chain.books.ledger.traces.count).toBe(10_001);
      chain.books.evict();
    }
  });

  test("without its trace, or with one that says less, makes the books inconsistent", () => {
    const { books, now } = sweptChain();
    books.store.sql.exec("UPDATE request SET unsettled_attempts = 1");
    expect(books.ledger.audit(now).isConsistent).toBe(false);
    books.store.sql.exec("UPDATE request SET unsettled_attempts = 0");
    expect(books.ledger.audit(now).isConsistent).toBe(false);
  });

  test("of the version before, whose reservation does not say where it came from, is charged without a trace", () => {
    const chain = new Chain();
    chain.reserve(id, 0, 70, 1_000);
    chain.reserve(traceId(T0), 0, 30, 1_000, originOf(Number.NaN));
    chain.now += 2_000;
    chain.sweep();
    expect(chain.books.ledger.audit(chain.now)).toMatchObject({
      ...{ isConsistent: true, expired: 2, expiredNanoUsd: 100, unshippedTraces: 0, total: { requests: 0 } },
    });
    chain.settle(settlement(id, [12], T0));
    expect(chain.books.ledger.audit(chain.now)).toMatchObject({ isConsistent: true, total: { requests: 1 } });
  });
});

test("a ledger of the version before, with reservations open, goes on", () => {
  const books = openBooks();
  const { sql } = books.store;
  books.call((ledger) => ledger.reserve(reservation({ traceId: IDS[0] ?? "" }), T0));
  books.call((ledger) => ledger.settle([settleRow(IDS[1] ?? "", [5])], T0));
  asBefore(sql);
  sql.exec("ALTER TABLE hold DROP COLUMN origin");
  sql.exec("ALTER TABLE hold DROP COLUMN isolate");
  sql.exec("ALTER TABLE request DROP COLUMN unsettled_attempts");
  for (const column of ["refused", "folded_since"]) sql.exec(`ALTER TABLE account DROP COLUMN ${column}`);
  sql.exec("DROP TABLE refusal");
  sql.exec("DROP TABLE migration");
  for (let starts = 0; starts < 2; starts++) books.evict();
  books.call((ledger) => ledger.settle([settleRow(IDS[1] ?? "", [5]), settleRow(IDS[0] ?? "", [7])], T0));
  expect(books.ledger.audit(T0)).toMatchObject({ isConsistent: true, total: { spentNanoUsd: 12, requests: 2 } });
});
