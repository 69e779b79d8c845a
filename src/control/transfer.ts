/**
 * The whole of the control plane out of one deployment and into a fresh one: rows as they are, so that hashes, versions
 * and the audit go along. Numbers of changes go up by what the new deployment has counted already.
 */
import { parseJson } from "../lib/json.ts";
import { newWebhookSecret } from "../notices/signing.ts";
import type { Journal } from "./journal.ts";

type Value = string | number | null;
export type TransferRow = Readonly<Record<string, Value>>;

export interface TransferLine {
  readonly kind: Kind;
  readonly row: TransferRow;
}

/** What is exported, by the table that holds it, with the columns that an import takes. `seq`: the number of a change. */
const TABLES = {
  key: ["key_record", ["seq", "id", "env", "name", "created_at_ms", "record", "digest"]],
  route: ["route_version", ["seq", "env", "name", "version", "record", "digest"]],
  active: ["route_active", ["env", "name", "seq", "index_entry"]],
  provider: ["provider", ["id", "record", "digest"]],
  price: [
    "price",
    ["seq", "provider", "model", "valid_from_ms", "valid_until_ms", "record", "updated_by", "updated_at_ms"],
  ],
  budget: ["budget", ["id", "record", "digest"]],
  setting: ["setting", ["name", "record", "updated_by", "updated_at_ms"]],
  disabled: ["disabled", ["name", "reason", "until_ms", "actor", "at_ms"]],
  webhook: ["webhook", ["id", "url", "events", "created_at_ms", "disabled_at_ms"]],
  audit: [
    "audit",
    [
      ...["seq", "at_ms", "actor", "action", "object", "before_digest", "after_digest", "reason", "detail"],
      ...["before_members", "after_members"],
    ],
  ],
} as const satisfies Record<string, readonly [table: string, columns: readonly string[]]>;

export type Kind = keyof typeof TABLES;
export const KINDS = Object.keys(TABLES) as readonly Kind[];

/** All rows of a kind, oldest first, a page at a time. */
export function rowsOf(sql: SqlStorage, kind: Kind, limit: number, offset: number): TransferRow[] {
  return sql.exec<Record<string, Value>>(selectOf(kind), limit, offset).toArray();
}

function selectOf(kind: Kind): string {
  const [table, columns] = TABLES[kind];
  return `SELECT ${columns.join(", ")} FROM ${table} ORDER BY 1 LIMIT ? OFFSET ?`;
}

/** Has it a key, a route or a budget? */
export function isEmptyPlane(sql: SqlStorage): boolean {
  const query = `
    SELECT EXISTS (SELECT 1 FROM key_record) OR EXISTS (SELECT 1 FROM route_version)
      OR EXISTS (SELECT 1 FROM budget) AS taken`;
  return sql.exec<{ taken: number }>(query).one().taken === 0;
}

/**
 * Writes the rows. Run inside a transaction, on a plane that is empty. `secretOf`: a new secret for a webhook. Answers the
 * highest number of a change.
 */
function insertAll(sql: SqlStorage, lines: readonly TransferLine[], secretOf: () => string): number {
  const offset = sql.exec<{ top: number }>("SELECT coalesce(max(seq), 0) AS top FROM audit").one().top;
  for (const { kind, row } of lines) {
    const [, columns] = TABLES[kind];
    const names: readonly string[] = kind === "webhook" ? [...columns, "secret"] : columns;
    const values = names.map((name): Value => {
      if (name === "secret") return secretOf();
      const value = row[name] ?? null;
      return name === "seq" && typeof value === "number" ? value + offset : value;
    });
    sql.exec(insertOf(kind, names), ...values);
  }
  return sql.exec<{ top: number }>("SELECT coalesce(max(seq), 0) AS top FROM audit").one().top;
}

function insertOf(kind: Kind, names: readonly string[]): string {
  const [table] = TABLES[kind];
  return `INSERT OR REPLACE INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
}

/** `null` where the parsed line is a row of a kind: a text, a number or nothing in each column, and JSON in its record. */
export function faultOf(kind: Kind, row: unknown): string | null {
  const [, columns] = TABLES[kind];
  if (typeof row !== "object" || row === null || Array.isArray(row)) return "`row` must be an object";
  const members = new Map<string, unknown>(Object.entries(row));
  for (const [name, value] of members) {
    if (!(columns as readonly string[]).includes(name)) return `\`row.${name.slice(0, 60)}\` is unknown`;
    if (value !== null && typeof value !== "string" && !Number.isSafeInteger(value))
      return `\`row.${name}\` is malformed`;
  }
  const record = members.get("record");
  try {
    if (typeof record === "string") parseJson(record);
  } catch {
    return "`row.record` is not JSON";
  }
  const required = columns[0];
  return members.get(required) == null ? `\`row.${required}\` is missing` : null;
}

/** Whatever KV holds of a table. */
interface Republished {
  republish(seq: number): void;
}

/** Run inside a transaction; `false`: the plane is not empty, and nothing was written. */
export function importInto(
  sql: SqlStorage,
  lines: readonly TransferLine[],
  tables: readonly Republished[],
  journal: Pick<Journal, "note">,
  actor: string,
): boolean {
  if (!isEmptyPlane(sql)) return false;
  const seq = insertAll(sql, lines, newWebhookSecret);
  for (const table of tables) table.republish(seq);
  journal.note({ actor, action: "import", object: "deployment", detail: { lines: lines.length } });
  return true;
}

/** What waits for KV, and since when, epoch ms. */
export function waitingChanges(sql: SqlStorage): { waiting: number; oldestAt: number | null } {
  const query = `
    SELECT count(*) AS waiting, min(audit.at_ms) AS oldestAt FROM publication
    LEFT JOIN audit ON audit.seq = publication.seq WHERE lane = 'operator'`;
  return sql.exec<{ waiting: number; oldestAt: number | null }>(query).one();
}
