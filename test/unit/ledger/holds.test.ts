/** What is held, in slots that are used again: no slot may come back to life, and none that is open may be lost. */
import { describe, expect, test } from "vitest";
import { newTraceId } from "../../../src/traces/schema.ts";
import { type Books, KEY_ID, openBooks, reservation, settleRow, T0 } from "./fakes.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const ids = (count: number, at = T0): string[] =>
  Array.from({ length: count }, (_, more) => newTraceId(KEY_ID, at + more));

const reserve = (books: Books, traceId: string, attempt = 0, at = T0) =>
  books.call((ledger) =>
    ledger.reserve(reservation({ traceId, attempt, boundNanoUsd: 9, expiresAt: at + MINUTE_MS }), at),
  );
const slots = ({ store: { sql } }: Books): number => sql.exec("SELECT n FROM slot").toArray().length;
const inView = ({ store: { sql } }: Books): string[] =>
  sql
    .exec<{ trace_id: string }>("SELECT trace_id FROM hold ORDER BY trace_id")
    .toArray()
    .map(({ trace_id }) => trace_id);
const open = (books: Books, at = T0) => {
  const { openNanoUsd, openReservations, openRequests, isConsistent } = books.ledger.audit(at);
  return { openNanoUsd, openReservations, openRequests, isConsistent };
};

describe("slots", () => {
  test("are used again, one after the other", () => {
    const books = openBooks();
    for (const id of ids(50)) {
      expect(reserve(books, id)).toMatchObject({ ok: true });
      books.call((ledger) => ledger.settle([settleRow(id, [5])], T0));
    }
    expect(slots(books)).toBe(1);
    const [first = "", second = ""] = ids(2);
    for (const id of [first, second]) reserve(books, id);
    books.evict();
    expect(inView(books)).toEqual([first, second].toSorted());
    expect(open(books)).toEqual({ openNanoUsd: 18, openReservations: 2, openRequests: 2, isConsistent: true });
    books.call((ledger) => ledger.release(first, 0, T0));
    books.evict();
    expect([inView(books), slots(books)]).toEqual([[second], 2]);
  });

  test("of settled requests stay ended when retention deletes those, and open ones of theirs do not exist", () => {
    const books = openBooks();
    const [settled = "", other = ""] = ids(2);
    for (const attempt of [0, 1]) reserve(books, settled, attempt);
    books.call((ledger) => ledger.settle([settleRow(settled, [5])], T0));
    const later = T0 + 31 * DAY_MS;
    books.call((ledger) => ledger.trim(later));
    books.evict();
    expect(books.store.sql.exec("SELECT id FROM request").toArray()).toEqual([]);
    expect(open(books, later)).toMatchObject({ openNanoUsd: 0, openReservations: 0, isConsistent: true });
    reserve(books, other, 0, later);
    expect(open(books, later)).toMatchObject({ openNanoUsd: 9, openReservations: 1, isConsistent: true });
  });

  test("that a busy time has left are given back, and the open ones stay", () => {
    const books = openBooks();
    const many = ids(1_000);
    for (const id of many) reserve(books, id);
    expect(slots(books)).toBe(1_000);
    const left = many.slice(0, 10);
    books.call((ledger) =>
      ledger.settle(
        many.slice(10).map((id) => settleRow(id, [5])),
        T0,
      ),
    );
    books.call((ledger) => ledger.trim(T0 + 1));
    expect(slots(books)).toBeLessThan(300);
    for (const id of ids(500, T0 + 5_000)) reserve(books, id, 0, T0 + 2);
    books.evict();
    expect(open(books)).toMatchObject({ openReservations: 510, isConsistent: true });
    expect(inView(books)).toEqual(expect.arrayContaining(left));
  });

  test("say nothing of ended requests once the key is erased", () => {
    const books = openBooks();
    const [id = ""] = ids(1);
    reserve(books, id);
    books.call((ledger) => ledger.settle([settleRow(id, [5])], T0));
    books.call((ledger) => ledger.erase());
    expect(slots(books)).toBe(0);
  });

  test("serve the release before, which settles row by row and deletes what was held", () => {
    const books = openBooks();
    const { sql } = books.store;
    const [mine = "", theirs = "", settled = ""] = ids(3);
    for (const id of [mine, settled]) reserve(books, id);
    books.call((ledger) => ledger.settle([settleRow(settled, [5])], T0));
    expect(inView(books)).toEqual([mine]);
    const columns =
      "state, reserved_at, expires_at, bound_nano_usd, tokens, requests, provider, model, origin, isolate";
    sql.exec(`INSERT INTO hold (trace_id, attempt, ${columns}) SELECT ?, attempt, ${columns} FROM hold`, theirs);
    sql.exec("UPDATE hold SET bound_nano_usd = ?, expires_at = max(expires_at, ?) WHERE trace_id = ?", 4, 0, theirs);
    // It writes the request first, and then looks for what it holds.
    sql.exec(
      `INSERT OR IGNORE INTO request (id, settled_at, status, route, body, unsettled_attempts)
       VALUES (?, ?, 'ok', '', '{}', 0) RETURNING 1`,
      ...[mine, T0],
    );
    expect(inView(books)).toEqual([mine, theirs].toSorted());
    sql.exec("DELETE FROM hold WHERE trace_id = ? AND attempt = ?", mine, 0);
    // Its retention.
    sql.exec("DELETE FROM request WHERE id = ?", settled);
    books.evict();
    expect(inView(books)).toEqual([theirs]);
    expect(open(books)).toMatchObject({ openNanoUsd: 4, openReservations: 1 });
  });
});
