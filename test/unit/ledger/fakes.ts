/** A real SQLite under the ledger's own interface, and rows for it. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { Ledger } from "../../../src/ledger/ledger.ts";
import type { KeyTerms, Reservation, SettledAttempt, SettleRow } from "../../../src/ledger/types.ts";
import { newTraceId } from "../../../src/traces/schema.ts";

export interface Store {
  readonly sql: SqlStorage;
  /** As the platform's: what `work` wrote is gone when it throws. */
  transact<T>(work: () => T): T;
}

/** The part of the platform's interface that the ledger uses, on Node's own SQLite. */
export function startStore(): Store {
  const database = new DatabaseSync(":memory:");
  const statements = new Map<string, StatementSync>();
  const exec = (query: string, ...bindings: SQLInputValue[]) => {
    if (bindings.length === 0 && query.includes(";")) {
      database.exec(query);
      return { toArray: () => [], [Symbol.iterator]: () => [].values() };
    }
    const statement = statements.get(query) ?? database.prepare(query);
    statements.set(query, statement);
    const rows = statement.all(...bindings);
    const one = (): unknown => {
      if (rows.length !== 1) throw new Error(`Expected exactly one row, found ${rows.length}.`);
      return rows[0];
    };
    return { toArray: () => rows, one, [Symbol.iterator]: () => rows.values() };
  };
  return {
    // A stand-in for the methods in use, not for the whole interface.
    sql: { exec } as unknown as SqlStorage,
    transact(work) {
      database.exec("BEGIN");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
    },
  };
}

export interface Books {
  readonly store: Store;
  /** Replaced by `evict`: ask for it anew. */
  readonly ledger: Ledger;
  /** A new instance on the same tables, as after an eviction. */
  evict(): void;
  /** One call: a transaction that is rolled back, in memory too, when it throws. */
  call<T>(work: (ledger: Ledger) => T): T;
}

export function openBooks(store: Store = startStore(), traceDays = 30): Books {
  let ledger = store.transact(() => new Ledger(store.sql, traceDays));
  return {
    store,
    get ledger() {
      return ledger;
    },
    evict() {
      ledger = store.transact(() => new Ledger(store.sql, traceDays));
    },
    call(work) {
      try {
        return store.transact(() => work(ledger));
      } catch (error) {
        ledger.load();
        throw error;
      }
    },
  };
}

export const KEY_ID = "ledgertest01";
/** A Sunday at noon, so that neither day nor month ends by accident. */
export const T0 = Date.UTC(2026, 10, 22, 12);
export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

export const NO_TERMS: KeyTerms = { version: 1, budget: null, limits: null };

export function termsOf(members: Partial<KeyTerms>): KeyTerms {
  return { ...NO_TERMS, ...members };
}

export const traceId = (at: number = T0): string => newTraceId(KEY_ID, at);

export function reservation(members: Partial<Reservation> = {}): Reservation {
  return {
    traceId: members.traceId ?? traceId(),
    attempt: 0,
    boundNanoUsd: 100,
    boundTokens: 50,
    expiresAt: T0 + 10 * MINUTE_MS,
    provider: "openai",
    model: "gpt-5",
    terms: NO_TERMS,
    ...members,
  };
}

export function settled(attempt: number, costNanoUsd: number | null, members: Partial<SettledAttempt> = {}) {
  return {
    ...{ attempt, provider: "openai", model: "gpt-5", winner: true, outcome: "ok", costNanoUsd },
    ...{ basis: "{}", source: "upstream" as const, ...members },
  };
}

/** A finished request; each number of `costs` is an attempt of its own. */
export function settleRow(
  id: string,
  costs: readonly (number | null)[] | readonly SettledAttempt[],
  members: Partial<SettleRow> = {},
): SettleRow {
  const attempts = costs.map((cost, index) =>
    typeof cost === "number" || cost === null ? settled(index, cost) : cost,
  );
  const sum = attempts.reduce((total, { costNanoUsd }) => total + (costNanoUsd ?? 0), 0);
  const startedAt = members.startedAt ?? T0;
  const env = "production";
  const known = { id, env, created_at: new Date(startedAt).toISOString(), status: "ok", route: "flow/a" };
  return {
    ...{ id, status: known.status, route: known.route, trace: JSON.stringify(known), env, attempts },
    costNanoUsd: attempts.some(({ costNanoUsd }) => costNanoUsd === null) ? null : sum,
    ...{ tokens: 10, unadmittedNanoUsd: 0, startedAt, terms: null, ...members },
  };
}

/** Takes the tables of a ledger back to how release 0.2.0 made them, with what is in them. */
export function asBefore(sql: SqlStorage): void {
  const columns = (table: string): string[] =>
    sql
      .exec<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
      .toArray()
      .map(({ name }) => name);
  const values = columns("charge_row").join(", ");
  sql.exec("INSERT INTO waiting (trace_id, seq) SELECT trace_id, seq FROM outbox WHERE true ON CONFLICT DO NOTHING");
  sql.exec(`INSERT OR IGNORE INTO charge_row (${values}) SELECT ${values} FROM charge`);
  const held = columns("hold").join(", ");
  sql.exec(`CREATE TABLE held AS SELECT ${held} FROM hold`);
  sql.exec("DROP TABLE slot");
  for (const view of ["outbox", "charge", "hold"]) sql.exec(`DROP VIEW ${view}`);
  for (const trigger of ["request_delete", "request_delete_slot"]) sql.exec(`DROP TRIGGER ${trigger}`);
  sql.exec("ALTER TABLE held RENAME TO hold");
  sql.exec("ALTER TABLE waiting RENAME TO outbox");
  sql.exec("ALTER TABLE charge_row RENAME TO charge");
  for (const column of ["shipped_seq", "ship_from", "is_folding", "booked_elsewhere"])
    sql.exec(`ALTER TABLE ledger DROP COLUMN ${column}`);
  const added = columns("request").filter(
    (name) => name.startsWith("charge_") || ["ship_seq", "ends_holds"].includes(name),
  );
  for (const column of added) sql.exec(`ALTER TABLE request DROP COLUMN ${column}`);
  sql.exec("DELETE FROM migration WHERE step >= 7");
}
