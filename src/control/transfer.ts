/**
 * The whole of the control plane out of one deployment and into a fresh one: rows as they are, so that hashes, versions
 * and the audit go along. Numbers of changes go up by what the new deployment has counted already.
 *
 * An import comes in parts of some hundred lines, which wait in a table of their own, and takes effect in one transaction
 * when all of it is there: neither end ever holds a deployment in memory.
 */
import { BudgetRecord } from "../budgets/record.ts";
import { parseJson } from "../lib/json.ts";
import { newWebhookSecret } from "../notices/signing.ts";
import type { Journal } from "./journal.ts";
import { type Columns, TABLES, type TransferKind, type TransferRow, type Value } from "./transfer-rows.ts";

export type { TransferKind, TransferRow };
/** What names a row. */
export type RowKey = readonly Value[];

/** Lines that are moved at a time. */
const PAGE_LINES = 200;

export interface TransferLine {
  readonly kind: TransferKind;
  readonly row: TransferRow;
  /** What the ledgers or the pool of the row have summed up, as JSON. */
  readonly sums?: string | undefined;
}

/** Rows of a kind behind those that were read, in the order of its key. `after`: the key of the last one. */
export function rowsOf(sql: SqlStorage, kind: TransferKind, limit: number, after: RowKey | null) {
  const { table, columns, key } = TABLES[kind];
  const names = columns.map(({ name }) => name).join(", ");
  const order = key.join(", ");
  // By its key, and not by its place: rows come and go meanwhile.
  const where = after === null ? "" : `WHERE (${order}) > (${key.map(() => "?").join(", ")})`;
  const query = `SELECT ${names} FROM ${table} ${where} ORDER BY ${order} LIMIT ?`;
  return sql.exec<Record<string, Value>>(query, ...(after ?? []), limit).toArray();
}

/** What the next page of a kind begins behind. */
export const keyOfRow = (kind: TransferKind, row: TransferRow): RowKey => {
  return TABLES[kind].key.map((name) => row[name] ?? null);
};

/** Has it a key, a route or a budget? */
function isEmptyPlane(sql: SqlStorage): boolean {
  const query = `
    SELECT EXISTS (SELECT 1 FROM key_record) OR EXISTS (SELECT 1 FROM route_version)
      OR EXISTS (SELECT 1 FROM budget) AS taken`;
  return sql.exec<{ taken: number }>(query).one().taken === 0;
}

/**
 * Lines of the import `id` wait, and what an earlier one has left goes. Run inside a transaction; repeatable. `false`: the
 * plane is not empty, and nothing waits.
 */
export function stage(sql: SqlStorage, id: string, first: number, lines: readonly TransferLine[]): boolean {
  sql.exec("DELETE FROM import_line WHERE import_id <> ?", id);
  if (!isEmptyPlane(sql)) return false;
  const insert = "INSERT OR REPLACE INTO import_line (import_id, line, kind, data, sums) VALUES (?, ?, ?, ?, ?)";
  for (const [at, { kind, row, sums }] of lines.entries()) {
    sql.exec(insert, id, first + at, kind, JSON.stringify(row), sums ?? null);
  }
  return true;
}

export interface StagedSums {
  readonly line: number;
  /** JSON of the key's row. */
  readonly data: string;
  readonly sums: string;
}

/** What keys of the import have spent, by the line they came in, behind `after`. */
export function stagedSums(sql: SqlStorage, id: string, after: number, limit: number): StagedSums[] {
  const query = `SELECT line, data, sums FROM import_line
    WHERE import_id = ? AND line > ? AND kind = 'key' AND sums IS NOT NULL ORDER BY line LIMIT ?`;
  return sql.exec<{ line: number; data: string; sums: string }>(query, id, after, limit).toArray();
}

function* stagedLines(sql: SqlStorage, id: string): Generator<TransferLine> {
  const query = "SELECT line, kind, data, sums FROM import_line WHERE import_id = ? AND line > ? ORDER BY line LIMIT ?";
  type Row = { line: number; kind: string; data: string; sums: string | null };
  for (let after = -1; ; ) {
    const rows = sql.exec<Row>(query, id, after, PAGE_LINES).toArray();
    for (const { kind, data, sums } of rows) {
      // `stage` wrote them from lines that were checked.
      yield { kind: kind as TransferKind, row: parseJson(data) as TransferRow, sums: sums ?? undefined };
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.line;
  }
}

/** Answers the highest number of a change. */
function insertAll(sql: SqlStorage, lines: Iterable<TransferLine>): number {
  const offset = sql.exec<{ top: number }>("SELECT coalesce(max(seq), 0) AS top FROM audit").one().top;
  for (const line of lines) {
    const { table, columns } = TABLES[line.kind];
    const own = columns.map(({ name }) => columnOf(line, name, offset));
    const names = columns.map(({ name }) => name);
    const isWebhook = line.kind === "webhook";
    const all = isWebhook ? [...names, "secret"] : names;
    const values = isWebhook ? [...own, newWebhookSecret()] : own;
    sql.exec(insertInto(table, all), ...values);
  }
  return sql.exec<{ top: number }>("SELECT coalesce(max(seq), 0) AS top FROM audit").one().top;
}

function insertInto(table: string, names: readonly string[]): string {
  return `INSERT OR REPLACE INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
}

function columnOf({ kind, row, sums }: TransferLine, name: Columns[number]["name"], offset: number): Value {
  const value = row[name] ?? null;
  if (name === "seq" && typeof value === "number") return value + offset;
  if (kind !== "budget" || name !== "record" || typeof value !== "string" || sums === undefined) return value;
  // The ledgers of the new deployment know days only, and of no app or tag: what was spent before is carried along.
  return JSON.stringify({ ...BudgetRecord.parse(parseJson(value)), carried: parseJson(sums) });
}

/** Whatever KV holds of a table. */
interface Republished {
  republish(seq: number): void;
}

export type ImportResult = "done" | "not_empty" | "overtaken";

/** What an import needs besides the tables that it fills. */
export interface Importing {
  readonly tables: readonly Republished[];
  readonly journal: Pick<Journal, "note">;
  readonly actor: string;
}

/**
 * Lines that wait take effect. Run inside a transaction. Unless it is `done`, nothing was written: the plane is not empty,
 * or not all of the `count` lines are there because another import has begun meanwhile.
 */
export function importStaged(sql: SqlStorage, id: string, count: number, into: Importing): ImportResult {
  if (!isEmptyPlane(sql)) return "not_empty";
  const query = "SELECT count(*) AS staged FROM import_line WHERE import_id = ?";
  if (sql.exec<{ staged: number }>(query, id).one().staged !== count) return "overtaken";
  const seq = insertAll(sql, stagedLines(sql, id));
  sql.exec("DELETE FROM import_line");
  for (const table of into.tables) table.republish(seq);
  into.journal.note({ actor: into.actor, action: "import", object: "deployment", detail: { lines: count } });
  return "done";
}

/** What waits for KV, and since when, epoch ms. */
export function waitingChanges(sql: SqlStorage): { waiting: number; oldestAt: number | null } {
  const query = `
    SELECT count(*) AS waiting, min(audit.at_ms) AS oldestAt FROM publication
    LEFT JOIN audit ON audit.seq = publication.seq WHERE lane = 'operator'`;
  return sql.exec<{ waiting: number; oldestAt: number | null }>(query).one();
}
