/** Which traces wait for the index: known in memory, and read again from the numbers of the rows. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newTraceId } from "../../../src/traces/schema.ts";
import { tries } from "../../support/tries.ts";
import { type Books, KEY_ID, openBooks, settleRow, T0 } from "./fakes.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const trace = (id: string): string => JSON.stringify({ id, env: "production", created_at: new Date(T0).toISOString() });

function settle(books: Books, begunAt: number): string {
  const id = newTraceId(KEY_ID, begunAt);
  books.call((ledger) => ledger.settle([settleRow(id, [1], { trace: trace(id) })], T0));
  return id;
}

/** Ids that wait, by what memory says and by what a release that reads the view says. */
const waiting = (books: Books): string[] => books.ledger.outbox.parcels(1_000, 0).flatMap(({ ids }) => ids);
const inView = (books: Books): string[] =>
  books.store.sql
    .exec<{ trace_id: string }>("SELECT trace_id FROM outbox")
    .toArray()
    .map(({ trace_id }) => trace_id);

describe("what waits for the index", () => {
  test("takes no row of its own, but for requests that began long before the others", () => {
    const books = openBooks();
    const inTable = () => books.store.sql.exec("SELECT trace_id FROM waiting").toArray().length;
    settle(books, T0);
    expect([waiting(books).length, inTable()]).toEqual([1, 0]);
    books.call((ledger) => ledger.outbox.remove(waiting(books)));
    settle(books, T0 - DAY_MS);
    expect([waiting(books).length, inTable()]).toEqual([1, 1]);
    books.evict();
    books.call((ledger) => ledger.outbox.remove(waiting(books)));
    expect([waiting(books).length, inTable()]).toEqual([0, 0]);
  });

  test("is never less than what was not sent, whatever is sent in which order and whenever the object is evicted", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("settle" as const), ageMs: fc.constantFrom(0, 1, HOUR_MS, 5 * HOUR_MS, DAY_MS) }),
      fc.record({ kind: fc.constant("send" as const), which: fc.infiniteStream(fc.boolean()) }),
      fc.constant({ kind: "evict" as const }),
      fc.constant({ kind: "fail" as const }),
      fc.constant({ kind: "before" as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const books = openBooks();
        const unsent = new Set<string>();
        for (const each of steps) {
          if (each.kind === "settle") unsent.add(settle(books, T0 - each.ageMs));
          else if (each.kind === "evict") books.evict();
          else if (each.kind === "fail") {
            const undone = () =>
              books.call((ledger) => {
                ledger.settle([settleRow(newTraceId(KEY_ID, T0), [1])], T0);
                ledger.outbox.remove([...unsent]);
                throw new Error("undone");
              });
            expect(undone).toThrow("undone");
          } else if (each.kind === "before") {
            // The release before takes out one by one what its index has.
            const [id] = inView(books);
            if (id === undefined) continue;
            books.store.sql.exec(
              "DELETE FROM outbox WHERE trace_id IN (SELECT value FROM json_each(?)) RETURNING trace_id",
              JSON.stringify([id]),
            );
            unsent.delete(id);
            books.evict();
          } else {
            const sent = waiting(books).filter(() => each.which.next().value);
            books.call((ledger) => ledger.outbox.remove(sent));
            for (const id of sent) unsent.delete(id);
          }
          expect(waiting(books)).toEqual(expect.arrayContaining([...unsent]));
          expect(inView(books)).toEqual(expect.arrayContaining([...unsent]));
        }
        books.call((ledger) => ledger.outbox.remove(waiting(books)));
        books.evict();
        expect([waiting(books), inView(books)]).toEqual([[], []]);
      }),
      { numRuns: tries(150) },
    );
  });
});
