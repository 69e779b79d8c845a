/** What a ledger keeps for how long, and what it takes over from the version before. */
import { describe, expect, test } from "vitest";
import { newTraceId } from "../../../src/traces/schema.ts";
import {
  type Books,
  DAY_MS,
  KEY_ID,
  MINUTE_MS,
  openBooks,
  reservation,
  settleRow,
  startStore,
  T0,
  traceId,
} from "./fakes.ts";

/** One transaction of up to 200 rows of 3 nano-USD, each of its own second. */
function fill(books: Books, count: number, firstAt: number, now: number): void {
  const rows = Array.from({ length: count }, (_, index) => {
    const startedAt = firstAt + index * 10;
    return settleRow(traceId(startedAt), [1, 2], { startedAt });
  });
  for (let at = 0; at < count; at += 200) books.call((ledger) => ledger.settle(rows.slice(at, at + 200), now));
}

function trimAll(books: Books, now: number): number {
  let rounds = 1;
  while (books.call((ledger) => ledger.trim(now))) rounds++;
  return rounds;
}

const sizes = ({ store: { sql } }: Books) => {
  const count = (table: string): number => Number(sql.exec(`SELECT count(*) AS count FROM ${table}`).one()["count"]);
  return { traces: count("request"), attempts: count("hold") + count("charge"), outbox: count("outbox") };
};

/** Everything that must not change when rows are deleted. */
function sums(books: Books, now: number): unknown {
  const { day, month, total, bookedNanoUsd, isConsistent, expired, expiredNanoUsd } = books.ledger.audit(now);
  expect(isConsistent).toBe(true);
  return { day, month, total, bookedNanoUsd, expired, expiredNanoUsd };
}

describe("retention", () => {
  test("keeps the newest 10,000 traces and their attempts, in small rounds, and every sum", () => {
    const books = openBooks();
    fill(books, 10_700, T0, T0 + 1_000);
    const later = T0 + 2 * MINUTE_MS;
    const before = sums(books, later);
    expect(trimAll(books, later)).toBeGreaterThan(1);
    expect(sizes(books)).toEqual({ traces: 10_000, attempts: 20_000, outbox: 10_000 });
    expect(sums(books, later)).toEqual(before);
    expect(books.ledger.audit(later)).toMatchObject({ lostTraces: 700, lostNanoUsd: 2_100, unshippedTraces: 10_000 });
    books.evict();
    expect(books.ledger.traces.count).toBe(10_000);
    trimAll(books, later);
    expect(sizes(books)).toEqual({ traces: 10_000, attempts: 20_000, outbox: 10_000 });
  });

  test("keeps traces for as many days as the deployment says, and what they cost for ever", () => {
    const store = startStore();
    const books = openBooks(store, 2);
    fill(books, 10, T0 - 3 * DAY_MS, T0 - 3 * DAY_MS);
    fill(books, 10, T0, T0);
    const before = sums(books, T0 + 2 * MINUTE_MS);
    trimAll(books, T0 + 2 * MINUTE_MS);
    expect(sizes(books).traces).toBe(10);
    expect(sums(books, T0 + 2 * MINUTE_MS)).toEqual(before);
  });

  test("a budget of another zone begins with the charges of its day, or where some are deleted with whole days in UTC", () => {
    const books = openBooks();
    const zoned = { period: "day", time_zone: "Asia/Tokyo" } as const;
    const spent = (now: number) => books.call((ledger) => ledger.spend(zoned, now).spentNanoUsd);
    // Noon in UTC is nine in the evening in Tokyo, whose day began three hours before that of UTC ended.
    fill(books, 100, T0 - 22 * 60 * MINUTE_MS, T0);
    fill(books, 100, T0 - 20 * 60 * MINUTE_MS, T0);
    fill(books, 100, T0, T0);
    expect(spent(T0 + 1_000)).toBe(600);
    fill(books, 10_100, T0 + 1_000, T0 + 2_000);
    expect(spent(T0 + 3_000)).toBe(600 + 30_300);
    trimAll(books, T0 + 2 * MINUTE_MS);
    books.call((ledger) => ledger.spend({ period: "day", time_zone: "Asia/Seoul" }, T0 + 3 * MINUTE_MS));
    // The day before in UTC holds 600, of which 300 are not of this period.
    expect(spent(T0 + 3 * MINUTE_MS)).toBe(900 + 30_300);
    // Three hours later it is tomorrow there, and what is booked from then on is all.
    const tomorrow = T0 + 3 * 60 * MINUTE_MS;
    fill(books, 10, tomorrow, tomorrow);
    expect(spent(tomorrow + 1_000)).toBe(30);
  });

  test("leaves alone what was settled within the last minute, so that it can be sent again", () => {
    const books = openBooks();
    fill(books, 10_100, T0, T0 + 1_000);
    trimAll(books, T0 + 30_000);
    expect(sizes(books)).toMatchObject({ traces: 10_100 });
  });

  test("deletes traces of 30 days, never a reservation, and an expired one only after an hour", () => {
    const books = openBooks();
    const [open, expired] = [traceId(T0), traceId(T0 + 1)];
    fill(books, 3, T0, T0 + 1_000);
    const late = T0 + 31 * DAY_MS;
    const hold = { boundNanoUsd: 50, expiresAt: late + DAY_MS / 2 };
    books.call((ledger) => ledger.reserve(reservation({ ...hold, traceId: open }), late));
    books.call((ledger) => ledger.reserve(reservation({ ...hold, traceId: expired, expiresAt: late }), late));
    fill(books, 1, late, late);
    books.call((ledger) => ledger.sweep(late));
    const before = sums(books, late);
    trimAll(books, late + 2 * MINUTE_MS);
    // Of the new trace two attempts, the reservation, and what the sweep has charged.
    expect(sizes(books)).toEqual({ traces: 1, attempts: 4, outbox: 1 });
    expect(sums(books, late)).toEqual(before);
    trimAll(books, late + 61 * MINUTE_MS);
    expect(sizes(books)).toEqual({ traces: 1, attempts: 3, outbox: 1 });
    expect(sums(books, late)).toEqual(before);
    expect(books.ledger.audit(late)).toMatchObject({ openReservations: 1, reservedNanoUsd: 50, expired: 1 });
  });

  test("forgets after a minute that a reservation was taken back before it came", () => {
    const books = openBooks();
    const id = traceId();
    books.call((ledger) => ledger.release(id, 0, T0));
    trimAll(books, T0 + 30_000);
    expect(books.call((ledger) => ledger.reserve(reservation({ traceId: id }), T0 + 30_000)).ok).toBe(false);
    trimAll(books, T0 + 2 * MINUTE_MS);
    expect(sizes(books).attempts).toBe(0);
  });

  const rounds = process.env["FLOW_SOAK"] === "1" ? 25 : 6;
  test(`keeps the tables as large as they are, over ${rounds * 4_000} requests`, () => {
    const books = openBooks();
    let now = T0;
    for (let round = 0; round < rounds; round++) {
      now += 2 * MINUTE_MS;
      fill(books, 4_000, now, now);
      trimAll(books, now);
      for (const parcel of books.ledger.outbox.parcels(4_000, 0)) books.ledger.outbox.remove(parcel.ids);
    }
    expect(sizes(books)).toEqual({ traces: 10_000, attempts: 20_000, outbox: 0 });
    expect(books.ledger.audit(now)).toMatchObject({
      ...{ isConsistent: true, lostTraces: 0, lostNanoUsd: 0 },
      total: { spentNanoUsd: rounds * 12_000, requests: rounds * 4_000 },
    });
  }, 30_000);
});

test("what the release before does to charges that are in the rows of requests leaves the books right", () => {
  const books = openBooks();
  const { sql } = books.store;
  const ids = [1, 2, 3].map((at) => traceId(T0 + at));
  const [gone = "", replaced = "", kept = ""] = ids;
  books.call((ledger) =>
    ledger.settle([settleRow(gone, [5, 7]), settleRow(replaced, [11]), settleRow(kept, [13])], T0),
  );
  const costs = () =>
    sql
      .exec<{ cost: number }>("SELECT nano_usd AS cost FROM charge ORDER BY cost")
      .toArray()
      .map(({ cost }) => cost);
  expect(costs()).toEqual([5, 7, 11, 13]);
  // Its retention of traces, and then what it does where a charge is replaced and taken out.
  sql.exec("DELETE FROM request WHERE id = ? RETURNING id", gone);
  sql.exec("UPDATE ledger SET trimmed_traces = trimmed_traces + 1");
  const columns = "attempt, state, reserved_at, settled_at, tokens, requests, over_bound, provider, model, winner";
  sql.exec(
    `INSERT OR REPLACE INTO charge (trace_id, nano_usd, ${columns}, outcome, source, basis)
     SELECT trace_id, nano_usd, ${columns}, 'again', source, basis FROM charge WHERE trace_id = ?`,
    replaced,
  );
  books.evict();
  expect(costs()).toEqual([5, 7, 11, 13]);
  expect(books.ledger.audit(T0)).toMatchObject({ isConsistent: true, total: { spentNanoUsd: 36 } });
  // Sent once more, each is known.
  books.call((ledger) => ledger.settle([settleRow(replaced, [11]), settleRow(kept, [13])], T0));
  expect(costs()).toEqual([5, 7, 11, 13]);
  sql.exec("DELETE FROM charge WHERE trace_id = ? AND attempt = ?", kept, 0);
  sql.exec("DELETE FROM charge WHERE trace_id = ? AND attempt = ?", replaced, 0);
  expect(costs()).toEqual([5, 7]);
});

describe("a ledger of the version before", () => {
  /** Its tables as that version made them, after 3 requests of which one is trimmed. */
  function oldStore(revoked: 0 | 1) {
    const store = startStore();
    store.sql.exec(`
      CREATE TABLE trace (
        id TEXT PRIMARY KEY,
        settled_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        route TEXT NOT NULL,
        body TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE spend (
        period TEXT PRIMARY KEY,
        nano_usd INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        unpriced_requests INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE ledger (
        singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
        revoked INTEGER NOT NULL,
        trimmed_traces INTEGER NOT NULL
      ) STRICT;
      INSERT INTO spend VALUES ('2026-11-21', 300, 1, 0);
      INSERT INTO spend VALUES ('2026-11-22', 700, 2, 1);
      INSERT INTO spend VALUES ('2026-11', 1000, 3, 1);
      INSERT INTO spend VALUES ('total', 1000, 3, 1);
    `);
    store.sql.exec("INSERT INTO ledger VALUES (1, ?, 1)", revoked);
    const ids = [newTraceId(KEY_ID, T0 - 2_000), newTraceId(KEY_ID, T0 - 1_000)];
    for (const id of ids) {
      const { status, route, trace } = settleRow(id, [5]);
      store.sql.exec("INSERT INTO trace VALUES (?, ?, ?, ?, ?)", id, T0, status, route, trace);
    }
    return { store, ids };
  }

  test("keeps its spend, its traces and its revocation, and its traces go to the index", () => {
    const { store, ids } = oldStore(1);
    const books = openBooks(store);
    const audit = books.ledger.audit(T0);
    expect(audit).toMatchObject({
      ...{ isConsistent: true, revoked: true, bookedNanoUsd: 1_000, unshippedTraces: 2 },
      day: { spentNanoUsd: 700, requests: 2, unpricedRequests: 1 },
      month: { spentNanoUsd: 1_000 },
      total: { spentNanoUsd: 1_000, requests: 3, unpricedRequests: 1 },
    });
    expect(books.ledger.traces.count).toBe(2);
    expect(books.ledger.traces.list({ limit: 9 }).data.map(({ id }) => id)).toEqual(ids.toReversed());
    expect(books.ledger.outbox.parcels(9, 0).flatMap(({ rows }) => rows.map(({ seq }) => seq))).toEqual([2, 3]);
  });

  test("goes on where it stood: a row it has is not booked again, new ones are, the budget is what is left", () => {
    const { store, ids } = oldStore(0);
    const books = openBooks(store);
    books.evict();
    books.call((ledger) => ledger.settle([settleRow(traceId(), [40])], T0));
    const budget = { limit_usd: 0.000001, period: "day" as const };
    const terms = { version: 1, budget, limits: null };
    const ask = (boundNanoUsd: number) =>
      books.call((ledger) => ledger.reserve(reservation({ boundNanoUsd, terms }), T0));
    expect(ask(261)).toMatchObject({ ok: false, reason: "budget", remainingNanoUsd: 260 });
    expect(ask(260)).toMatchObject({ ok: true });
    expect(books.ledger.audit(T0)).toMatchObject({ isConsistent: true, total: { spentNanoUsd: 1_040, requests: 4 } });
    books.call((ledger) => ledger.settle([settleRow(ids[0] ?? "", [5])], T0));
    expect(books.ledger.audit(T0)).toMatchObject({ isConsistent: true, total: { spentNanoUsd: 1_040, requests: 4 } });
  });
});
