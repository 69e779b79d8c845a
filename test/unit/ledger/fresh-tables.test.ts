/** A new ledger is made at once; one that was made before goes step by step. Both come to the same tables. */
import { expect, test } from "vitest";
import { asBefore, openBooks, startStore } from "./fakes.ts";

/** Columns of all tables and views, and the text of views and triggers. */
function shape(sql: SqlStorage): unknown {
  const objects = sql
    .exec<{ type: string; name: string; sql: string | null }>("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    .toArray();
  const plain = (text: string | null): string | null => text?.replaceAll(/\s+/g, " ").replaceAll('"', "") ?? null;
  return objects.map(({ type, name, sql: text }) => {
    const columns = sql.exec(
      `SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info('${name}') ORDER BY name`,
    );
    const options = sql.exec(`SELECT wr, strict FROM pragma_table_list('${name}')`);
    return {
      type,
      name,
      text: type === "table" ? null : plain(text),
      columns: columns.toArray(),
      options: options.toArray(),
    };
  });
}

test("the tables of a new ledger are those that the steps make", () => {
  const fresh = openBooks();
  const before = startStore();
  // What tells a ledger that is there from a new one.
  before.sql.exec(`
    CREATE TABLE ledger (
      singleton INTEGER PRIMARY KEY CHECK (singleton = 1), revoked INTEGER NOT NULL, trimmed_traces INTEGER NOT NULL
    ) STRICT;
  `);
  const stepped = openBooks(before);
  expect(shape(stepped.store.sql)).toEqual(shape(fresh.store.sql));
  const rows = (sql: SqlStorage) =>
    ["ledger", "account", "migration"].map((table) => sql.exec(`SELECT * FROM ${table}`).toArray());
  expect(rows(stepped.store.sql)).toEqual(rows(fresh.store.sql));
});

test("and a ledger of the release before comes to them", () => {
  const [fresh, books] = [openBooks(), openBooks()];
  asBefore(books.store.sql);
  books.evict();
  const names = (sql: SqlStorage) => sql.exec("SELECT type, name FROM sqlite_master ORDER BY name").toArray();
  expect(names(books.store.sql)).toEqual(names(fresh.store.sql));
});
