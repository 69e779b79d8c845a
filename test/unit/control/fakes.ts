/** A real SQLite under the control plane's own interface, and a KV whose answers the test decides. */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { migrate } from "../../../src/control/control-schema.sql.ts";
import { Journal } from "../../../src/control/journal.ts";
import { Publisher } from "../../../src/control/publisher.ts";
import { KeyTable } from "../../../src/control/tables/key-table.ts";
import { ProviderTable } from "../../../src/control/tables/provider-table.ts";
import { RouteTable } from "../../../src/control/tables/route-table.ts";

/** The part of the platform's interface that the control plane uses, on Node's own SQLite. */
export function startSql(): SqlStorage {
  const database = new DatabaseSync(":memory:");
  const exec = (query: string, ...bindings: SQLInputValue[]) => {
    if (bindings.length === 0 && query.includes(";")) {
      database.exec(query);
      return { toArray: () => [] };
    }
    const rows = database.prepare(query).all(...bindings);
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() };
  };
  // A stand-in for the methods in use, not for the whole interface.
  return { exec } as unknown as SqlStorage;
}

/** What KV does with a write: takes it, refuses it, or never answers. */
export type Behaviour = "take" | "refuse" | "hang";

/** Epoch ms. The end is the start where there was none. */
interface Attempt {
  readonly startedAt: number;
  endedAt: number;
}

/** A KV that notes every write; the next writes fail while `failing` is above zero. */
export class FakeKv {
  failing = 0;
  behaviour: (key: string) => Behaviour = () => "take";
  readonly values = new Map<string, string>();
  readonly writes: string[] = [];
  /** Keys that were written to while a write to them was on its way. */
  readonly overlapping = new Set<string>();
  /** How long a write takes. */
  takesMs = 0;
  /** Every attempt to write each key, taken or not. */
  readonly attempts = new Map<string, Attempt[]>();
  readonly #open = new Map<string, number>();

  put = async (key: string, value: string): Promise<void> => {
    await this.#write(key, `${key}=${value}`, () => this.values.set(key, value));
  };

  delete = async (key: string): Promise<void> => {
    await this.#write(key, `${key} gone`, () => this.values.delete(key));
  };

  async #write(key: string, entry: string, apply: () => void): Promise<void> {
    const open = (this.#open.get(key) ?? 0) + 1;
    if (open > 1) this.overlapping.add(key);
    this.#open.set(key, open);
    const attempt: Attempt = { startedAt: Date.now(), endedAt: Date.now() };
    this.attempts.set(key, [...(this.attempts.get(key) ?? []), attempt]);
    if (this.takesMs > 0) await new Promise((resolve) => setTimeout(resolve, this.takesMs));
    else await new Promise((resolve) => setImmediate(resolve));
    const behaviour = this.behaviour(key);
    if (behaviour === "hang") await new Promise(() => {});
    attempt.endedAt = Date.now();
    this.#open.set(key, (this.#open.get(key) ?? 1) - 1);
    if (behaviour === "refuse") throw new Error("KV PUT failed: 429 Too Many Requests");
    if (this.failing > 0) {
      this.failing--;
      throw new Error("KV PUT failed: 429 Too Many Requests");
    }
    apply();
    this.writes.push(entry);
  }
}

/** The control plane's tables as its object holds them, on a database of their own. */
export function startTables(sql = startSql()) {
  migrate(sql);
  const kv = new FakeKv();
  const alarms = { getAlarm: async () => null, setAlarm: async () => {}, deleteAlarm: async () => {} };
  const publisher = new Publisher(sql, kv, alarms, Date.now());
  const transactionSync = <T>(work: () => T): T => {
    sql.exec("BEGIN");
    try {
      const result = work();
      sql.exec("COMMIT");
      return result;
    } catch (error) {
      sql.exec("ROLLBACK");
      throw error;
    }
  };
  const journal = new Journal({ sql, transactionSync }, publisher);
  return {
    sql,
    kv,
    publisher,
    journal,
    keys: new KeyTable(sql, journal, publisher),
    routes: new RouteTable(sql, journal, publisher),
    providers: new ProviderTable(sql, journal, publisher),
    /** Actions of the audit log, oldest first. */
    actions: () =>
      journal
        .list({ limit: 1_000, before: null })
        .data.map(({ action }) => action)
        .reverse(),
  };
}
