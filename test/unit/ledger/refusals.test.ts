/** Light traces in a ledger: kept beside the books, bounded, listed among the settled ones. */
import { describe, expect, test } from "vitest";
import { MAX_PER_DAY, MAX_PER_SECOND } from "../../../src/ledger/refusals.ts";
import { refusedTrace } from "../../../src/traces/refused.ts";
import { type Books, DAY_MS, KEY_ID, openBooks, settleRow, T0, traceId } from "./fakes.ts";

function refusedRow(at: number, route = "flow/nobody") {
  const id = traceId(at);
  const trace = refusedTrace({
    ...{ id, receivedAt: at, endedAt: at + 1, keyId: KEY_ID, env: "production", app: "web", route, stream: false },
    ...{ httpStatus: 400, errorCode: "unknown_route", clientRequestId: null, api: "chat" },
  });
  return { id, route, trace: JSON.stringify(trace) };
}

const settledRow = (at: number) => {
  const row = settleRow(traceId(at), [1], { startedAt: at });
  return { ...row, trace: JSON.stringify({ id: row.id, created_at: new Date(at).toISOString(), env: "production" }) };
};

const ids = (books: Books, query: object = {}): string[] =>
  books.ledger.list({ limit: 50, ...query }).data.map(({ id }) => id);

describe("refused requests", () => {
  test("are found and listed in their place, and no sum knows them", () => {
    const books = openBooks();
    const rows = [settledRow(T0), settledRow(T0 + 20)];
    const refused = refusedRow(T0 + 10);
    books.call((ledger) => ledger.settle(rows, T0 + 30));
    books.call((ledger) => ledger.refuse([refused], 0, T0 + 30));
    books.call((ledger) => ledger.refuse([refused], 0, T0 + 31));
    expect(ids(books)).toEqual([rows[1]?.id, refused.id, rows[0]?.id]);
    expect(ids(books, { status: "refused" })).toEqual([refused.id]);
    expect(ids(books, { route: "flow/nobody" })).toEqual([refused.id]);
    expect(ids(books, { since: T0 + 11 })).toEqual([rows[1]?.id]);
    expect(ids(books, { since: T0 + 10, until: T0 + 20 })).toEqual([refused.id]);
    expect(books.ledger.trace(refused.id)).toMatchObject({ status: "refused", error_code: "unknown_route" });
    expect(books.ledger.audit(T0)).toMatchObject({ isConsistent: true, refused: 0, total: { requests: 2 } });
    const first = books.ledger.list({ limit: 2 });
    expect(first.next_cursor).toBe(refused.id);
    expect(ids(books, { limit: 2, cursor: first.next_cursor ?? "" })).toEqual([rows[0]?.id]);
  });

  test("go to the index like any other trace, and can be sent again", () => {
    const books = openBooks();
    books.call((ledger) => ledger.settle([settledRow(T0)], T0));
    books.call((ledger) => ledger.refuse([refusedRow(T0 + 1)], 0, T0));
    const [parcel] = books.ledger.outbox.parcels(10, 0);
    expect(parcel?.rows.map(({ trace }) => JSON.parse(trace).status ?? "ok")).toEqual(["ok", "refused"]);
    if (parcel !== undefined) books.call((ledger) => ledger.outbox.removeSent(parcel));
    expect(books.ledger.outbox.isEmpty).toBe(true);
    expect(books.call((ledger) => ledger.outbox.refill())).toBe(2);
  });

  test("beyond ten a second and a thousand a day are counted and leave no trace", () => {
    const books = openBooks();
    const burst = Array.from({ length: MAX_PER_SECOND + 3 }, (_, at) => refusedRow(T0 + at));
    books.call((ledger) => ledger.refuse(burst, 4, T0));
    expect(ids(books)).toHaveLength(MAX_PER_SECOND);
    expect(books.ledger.audit(T0).refused).toBe(7);
    for (let second = 1; second < MAX_PER_DAY / MAX_PER_SECOND + 5; second++) {
      const at = T0 + second * 1_000;
      books.call((ledger) =>
        ledger.refuse(
          burst.map((_, row) => refusedRow(at + row)),
          0,
          at,
        ),
      );
      // A new instance counts the day from the rows.
      if (second === 50) books.evict();
    }
    const stored = books.store.sql.exec("SELECT count(*) AS count FROM refusal").one();
    expect(stored["count"]).toBe(MAX_PER_DAY);
    books.call((ledger) => ledger.refuse([refusedRow(T0 + DAY_MS)], 0, T0 + DAY_MS));
    expect(ids(books, { limit: 1 })).toEqual([expect.stringContaining("tr_")]);
    expect(books.ledger.list({ limit: 1 }).data[0]?.created_at).toBe(new Date(T0 + DAY_MS).toISOString());
  });

  test("go after 30 days, out of the outbox too, and no settled trace with them", () => {
    const books = openBooks();
    books.call((ledger) => ledger.refuse([refusedRow(T0)], 0, T0));
    const later = T0 + 31 * DAY_MS;
    books.call((ledger) => ledger.refuse([refusedRow(later)], 0, later));
    books.call((ledger) => ledger.trim(later));
    expect(ids(books)).toHaveLength(1);
    expect(books.ledger.audit(later)).toMatchObject({ unshippedTraces: 1, lostTraces: 0 });
  });
});
