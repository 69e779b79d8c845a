/**
 * One key's stored responses: what they are found by, how long they are kept, what goes when there is no room.
 *
 * Knows neither clock nor runtime, and nothing of what it keeps: the bytes are encrypted by the caller. Every method is
 * synchronous and belongs to a transaction of its caller. What has expired is not there, whether it was removed or not.
 */
import { migrate } from "./store-schema.sql.ts";
import {
  type Encrypted,
  MAX_CHAIN_LENGTH,
  MAX_ITEM_IDS,
  MAX_KEY_BYTES,
  MAX_READ_BYTES,
  MAX_RESPONSE_BYTES,
  type Part,
  type ReadAnswer,
  type ReadTerms,
  type ResponseToStore,
  type StoreAnswer,
} from "./types.ts";

/** A row may have 1 MiB with all its columns. */
const MAX_PIECE_BYTES = 1_000_000;
const PRUNED_AT_A_TIME = 200;
/** What came before a response is kept as long as it; written again only when that is this much of its time longer. */
const RENEWED_SHARE = 4;
const ALL: ReadTerms = { room: Number.POSITIVE_INFINITY };
const NOT_FOUND: ReadAnswer = { ok: false, reason: "not_found" };

type Row = {
  readonly id: string;
  readonly previous_id: string | null;
  readonly mark: ArrayBuffer;
  readonly expires_at_ms: number;
  readonly bytes: number;
};

/** The conversation that ends with a response, newest first. */
const CHAIN = `
  WITH RECURSIVE chain (id, depth) AS (
    SELECT ?, 0
    UNION ALL
    SELECT response.previous_id, depth + 1 FROM chain JOIN response ON response.id = chain.id
    WHERE response.previous_id IS NOT NULL AND depth < ${MAX_CHAIN_LENGTH}
  )`;

export class ResponseStore {
  readonly #sql: SqlStorage;
  readonly #maxKeyBytes: number;

  constructor(sql: SqlStorage, maxKeyBytes = MAX_KEY_BYTES) {
    this.#sql = sql;
    this.#maxKeyBytes = maxKeyBytes;
    migrate(sql);
  }

  /** Repeatable: the same id again replaces what was stored. Makes room by removing the oldest. */
  put(response: ResponseToStore, now: number): StoreAnswer {
    const { id, previousId, mark, ttlMs, itemIds } = response;
    const bytes = response.input.byteLength + response.response.byteLength;
    if (bytes > MAX_RESPONSE_BYTES) return { ok: false, reason: "too_large" };
    this.#remove(id);
    this.#makeRoom(bytes);
    this.#sql.exec(
      "INSERT INTO response (id, previous_id, mark, created_at_ms, expires_at_ms, bytes) VALUES (?, ?, ?, ?, ?, ?)",
      ...[id, previousId, mark, now, now + ttlMs, bytes],
    );
    this.#putPart(id, "input", response.input);
    this.#putPart(id, "response", response.response);
    for (const itemId of new Set(itemIds.slice(0, MAX_ITEM_IDS))) {
      this.#sql.exec("INSERT INTO item (item_id, response_id) VALUES (?, ?)", itemId, id);
    }
    this.#sql.exec("UPDATE total SET bytes = bytes + ?", bytes);
    if (previousId !== null) this.#renew(previousId, now, ttlMs);
    return { ok: true };
  }

  #putPart(id: string, part: Part, data: Uint8Array): void {
    for (let at = 0, position = 0; at < data.byteLength; at += MAX_PIECE_BYTES, position++) {
      this.#sql.exec(
        "INSERT INTO piece (response_id, part, position, data) VALUES (?, ?, ?, ?)",
        ...[id, part, position, data.subarray(at, at + MAX_PIECE_BYTES)],
      );
    }
  }

  #renew(previousId: string, now: number, ttlMs: number): void {
    const isDueBefore = now + ttlMs - ttlMs / RENEWED_SHARE;
    this.#sql.exec(
      `${CHAIN} UPDATE response SET expires_at_ms = ?
       WHERE id IN (SELECT id FROM chain) AND expires_at_ms > ? AND expires_at_ms < ?`,
      ...[previousId, now + ttlMs, now, isDueBefore],
    );
  }

  #makeRoom(bytes: number): void {
    while (this.#total() + bytes > this.#maxKeyBytes) {
      const query = "SELECT id FROM response ORDER BY created_at_ms, id LIMIT 1";
      const [oldest] = this.#sql.exec<{ id: string }>(query).toArray();
      if (oldest === undefined) return;
      this.#remove(oldest.id);
    }
  }

  #total(): number {
    return this.#sql.exec<{ bytes: number }>("SELECT bytes FROM total").one().bytes;
  }

  get(id: string, mark: Uint8Array, now: number, { room, part }: ReadTerms = ALL): ReadAnswer {
    const row = this.#find(id, mark, now);
    if (row === null) return NOT_FOUND;
    const bytes = part === undefined ? row.bytes : this.#bytesOf(id, part);
    if (bytes > room) return { ok: false, reason: "larger", bytes };
    return { ok: true, responses: [this.#read(id, part)] };
  }

  /** The conversation that ends with `id`, oldest first. Not found where any part of it is gone. */
  chain(id: string, mark: Uint8Array, now: number, { room }: ReadTerms = ALL): ReadAnswer {
    const ids: string[] = [];
    let bytes = 0;
    for (let next: string | null = id; next !== null; ) {
      const row: Row | null = this.#find(next, mark, now);
      if (row === null) return NOT_FOUND;
      ids.push(row.id);
      bytes += row.bytes;
      if (bytes > MAX_READ_BYTES || ids.length > MAX_CHAIN_LENGTH) return { ok: false, reason: "too_large" };
      next = row.previous_id;
    }
    if (bytes > room) return { ok: false, reason: "larger", bytes };
    return { ok: true, responses: ids.reverse().map((each) => this.#read(each)) };
  }

  /** The responses that hold these items, the newest of each. Not found where one of the items is in none. */
  holding(itemIds: readonly string[], mark: Uint8Array, now: number, { room }: ReadTerms = ALL): ReadAnswer {
    if (itemIds.length > MAX_ITEM_IDS) return { ok: false, reason: "too_large" };
    const found = new Map<string, Row>();
    for (const itemId of itemIds) {
      const row = this.#holderOf(itemId, mark, now);
      if (row === null) return NOT_FOUND;
      found.set(row.id, row);
    }
    const rows = [...found.values()];
    const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
    if (bytes > MAX_READ_BYTES) return { ok: false, reason: "too_large" };
    if (bytes > room) return { ok: false, reason: "larger", bytes };
    return { ok: true, responses: rows.map((row) => this.#read(row.id)) };
  }

  #holderOf(itemId: string, mark: Uint8Array, now: number): Row | null {
    const query = `SELECT response.* FROM item JOIN response ON response.id = item.response_id
      WHERE item.item_id = ? ORDER BY response.created_at_ms DESC`;
    const rows = this.#sql.exec<Row>(query, itemId).toArray();
    return rows.find((row) => isOpen(row, mark, now)) ?? null;
  }

  #find(id: string, mark: Uint8Array, now: number): Row | null {
    const [row] = this.#sql.exec<Row>("SELECT * FROM response WHERE id = ?", id).toArray();
    return row !== undefined && isOpen(row, mark, now) ? row : null;
  }

  #read(id: string, only?: Part): Encrypted {
    const read = (part: Part): Uint8Array =>
      only === undefined || only === part ? this.#readPart(id, part) : new Uint8Array();
    return { id, input: read("input"), response: read("response") };
  }

  #bytesOf(id: string, part: Part): number {
    const query = "SELECT COALESCE(SUM(LENGTH(data)), 0) AS bytes FROM piece WHERE response_id = ? AND part = ?";
    return this.#sql.exec<{ bytes: number }>(query, id, part).one().bytes;
  }

  #readPart(id: string, part: Part): Uint8Array {
    const query = "SELECT data FROM piece WHERE response_id = ? AND part = ? ORDER BY position";
    const pieces = this.#sql.exec<{ data: ArrayBuffer }>(query, id, part).toArray();
    const arrays = pieces.map(({ data }) => new Uint8Array(data));
    const whole = new Uint8Array(arrays.reduce((sum, { byteLength }) => sum + byteLength, 0));
    let at = 0;
    for (const each of arrays) {
      whole.set(each, at);
      at += each.byteLength;
    }
    return whole;
  }

  /** `false` where there is none. */
  delete(id: string, mark: Uint8Array, now: number): boolean {
    if (this.#find(id, mark, now) === null) return false;
    this.#remove(id);
    return true;
  }

  #remove(id: string): void {
    const [row] = this.#sql.exec<{ bytes: number }>("SELECT bytes FROM response WHERE id = ?", id).toArray();
    if (row === undefined) return;
    this.#sql.exec("DELETE FROM piece WHERE response_id = ?", id);
    this.#sql.exec("DELETE FROM item WHERE response_id = ?", id);
    this.#sql.exec("DELETE FROM response WHERE id = ?", id);
    this.#sql.exec("UPDATE total SET bytes = bytes - ?", row.bytes);
  }

  /** Everything, under any secret. */
  erase(): void {
    for (const table of [
      "DELETE FROM piece",
      "DELETE FROM item",
      "DELETE FROM response",
      "UPDATE total SET bytes = 0",
    ]) {
      this.#sql.exec(table);
    }
  }

  /** Removes what has expired, some at a time. Gives when it wants to be called again (epoch ms), `null`: never. */
  prune(now: number): number | null {
    const query = "SELECT id FROM response WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?";
    const rows = this.#sql.exec<{ id: string }>(query, now, PRUNED_AT_A_TIME).toArray();
    for (const { id } of rows) this.#remove(id);
    const next = this.#sql.exec<{ at: number | null }>("SELECT min(expires_at_ms) AS at FROM response").one().at;
    return next === null ? null : Math.max(next, now);
  }
}

function isOpen({ mark, expires_at_ms }: Row, wanted: Uint8Array, now: number): boolean {
  const own = new Uint8Array(mark);
  return expires_at_ms > now && own.length === wanted.length && own.every((byte, at) => byte === wanted[at]);
}
