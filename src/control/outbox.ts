/**
 * From the control plane's tables to KV, so that KV always ends at the newest value and never goes backwards.
 *
 * A value waits in a row per KV key; a newer value replaces a waiting older one. Only one drain runs at a time,
 * because two writes of one KV key that overlap may land in either order. A write that fails keeps its row. A drain
 * has no time limit of its own: a write given up early could still land, after its successor.
 */

const FIRST_DELAY_MS = 1_500;
const MAX_DELAY_MS = 60_000;

/** An older change never replaces a newer one, in whatever order they are noted. */
const UPSERT = `
  INSERT INTO publication (kv_key, value, seq) VALUES (?, ?, ?)
  ON CONFLICT (kv_key) DO UPDATE SET value = excluded.value, seq = excluded.seq
  WHERE excluded.seq >= publication.seq`;

/**
 * How long to wait after `failures` (>= 1) drains in a row that left something, milliseconds. The first pause is above
 * one second, because KV takes one write per key and second.
 */
export function retryDelayMs(failures: number): number {
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 10));
}

export class Outbox {
  readonly #sql: SqlStorage;
  readonly #kv: Pick<KVNamespace, "put" | "delete">;
  #lastDrain: Promise<void> = Promise.resolve();

  constructor(sql: SqlStorage, kv: Pick<KVNamespace, "put" | "delete">) {
    this.#sql = sql;
    this.#kv = kv;
  }

  /** Notes what KV must hold under `key`; `null` deletes it. Synchronous, so it belongs to the caller's transaction. */
  add(key: string, value: string | null, seq: number): void {
    this.#sql.exec(UPSERT, key, value, seq);
  }

  /** Number of KV keys that do not hold their newest value yet. */
  waiting(): number {
    return this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM publication").one().count;
  }

  /** Tries once to send everything that waits when its turn comes. Never rejects; ask `waiting()` what is left. */
  drain(): Promise<void> {
    this.#lastDrain = this.#lastDrain.then(() => this.#sendAll());
    return this.#lastDrain;
  }

  async #sendAll(): Promise<void> {
    const keys = this.#sql.exec<{ kv_key: string }>("SELECT kv_key FROM publication ORDER BY seq").toArray();
    for (const { kv_key } of keys) await this.#send(kv_key);
  }

  async #send(key: string): Promise<void> {
    // Read only now: while earlier keys were on their way this one may have got a newer value.
    const [row] = this.#sql
      .exec<{ value: string | null; seq: number }>("SELECT value, seq FROM publication WHERE kv_key = ?", key)
      .toArray();
    if (row === undefined) return;
    try {
      await (row.value === null ? this.#kv.delete(key) : this.#kv.put(key, row.value));
    } catch {
      // The row stays and the alarm tries again; the number of waiting rows is what gets logged.
      return;
    }
    this.#sql.exec("DELETE FROM publication WHERE kv_key = ? AND seq = ?", key, row.seq);
  }
}
