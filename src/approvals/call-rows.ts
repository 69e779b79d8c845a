/** Recorded calls by the name of their tool, as results without a recorded id are compared with them. */
import type { CallKind } from "../conversation/tool-turns.ts";
import { canonicalJson } from "./match.ts";
import type { CallClaim } from "./types.ts";

export type Row = {
  readonly seq: number;
  readonly id: string;
  readonly trace_id: string;
  readonly kind: CallKind;
  readonly name: string;
  readonly arguments: string | null;
  readonly sha256: string;
  /** `pending`, `approved`, `denied`, or one that a later release knows. */
  readonly status: string;
  readonly key_id: string;
  readonly env: string;
  readonly app: string;
  readonly route: string;
  readonly created_at_ms: number;
  readonly expires_at_ms: number;
  readonly decided_by: string | null;
  readonly decided_at_ms: number | null;
  readonly reason: string | null;
};

export const COLUMNS = `seq, id, trace_id, kind, name, arguments, sha256, status, key_id, env, app, route, created_at_ms, expires_at_ms,
  decided_by, decided_at_ms, reason`;
/** A legacy result is compared with so many calls of its name. */
const MAX_LEGACY_ROWS = 200;

/** Rows of one name, newest first. Each gets its one spelling once, however many results are compared with it. */
interface RowsOfName {
  readonly rows: readonly Row[];
  /** One spelling of a row's arguments, `null` where only the same text is the same. */
  canonical(at: number): string | null;
}

function rowsOfName(rows: readonly Row[]): RowsOfName {
  const spelled: (string | null | undefined)[] = [];
  const spell = ({ kind, arguments: text }: Row): string | null =>
    kind === "custom" || text === null ? null : canonicalJson(text);
  return {
    rows,
    canonical(at) {
      const row = rows[at];
      spelled[at] ??= row === undefined ? null : spell(row);
      return spelled[at];
    },
  };
}

/** The newest calls by name, whatever became of them. Each name is looked up once. */
export class NamedCalls {
  readonly #sql: SqlStorage;
  readonly #byName = new Map<string, RowsOfName>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  of(name: string): RowsOfName {
    const query = `SELECT ${COLUMNS} FROM call WHERE name = ? ORDER BY seq DESC LIMIT ?`;
    const load = (): RowsOfName => rowsOfName(this.#sql.exec<Row>(query, name, MAX_LEGACY_ROWS).toArray());
    const named = this.#byName.get(name) ?? load();
    this.#byName.set(name, named);
    return named;
  }
}

/** Calls of one app that are not approved, while they may be decided. */
export class UndecidedCalls {
  readonly #sql: SqlStorage;
  readonly #app: string;
  readonly #now: number;
  readonly #byName = new Map<string, RowsOfName>();

  constructor(sql: SqlStorage, app: string, now: number) {
    this.#sql = sql;
    this.#app = app;
    this.#now = now;
  }

  /** The newest of the name and the arguments of one of `calls`. */
  find(calls: readonly CallClaim[]): Row | null {
    for (const call of calls) {
      const named = this.#byName.get(call.name) ?? this.#load(call.name);
      const found = named.rows.length === 0 || call.arguments === null ? undefined : this.#search(named, call);
      if (found !== undefined) return found;
    }
    return null;
  }

  #search({ rows, canonical }: RowsOfName, call: CallClaim): Row | undefined {
    const text = call.arguments ?? "";
    const same = call.kind === "custom" ? null : canonicalJson(text);
    const found = rows.find((row, at) => row.arguments === text || (same !== null && canonical(at) === same));
    if (found !== undefined || rows.length < MAX_LEGACY_ROWS) return found;
    const query = `SELECT ${COLUMNS} FROM call WHERE name = ? AND ${UNDECIDED} AND arguments = ? LIMIT 1`;
    return this.#sql.exec<Row>(query, call.name, this.#app, this.#now, text).toArray()[0];
  }

  #load(name: string): RowsOfName {
    const query = `SELECT ${COLUMNS} FROM call WHERE name = ? AND ${UNDECIDED} ORDER BY seq DESC LIMIT ?`;
    const named = rowsOfName(this.#sql.exec<Row>(query, name, this.#app, this.#now, MAX_LEGACY_ROWS).toArray());
    this.#byName.set(name, named);
    return named;
  }
}

const UNDECIDED = "app = ? AND status <> 'approved' AND expires_at_ms > ?";
