/**
 * From the control plane's tables to KV, so that KV always ends at the newest value and never goes backwards.
 *
 * A value waits in a row per KV key; a newer value replaces a waiting older one. Only one drain of a lane runs at a
 * time, because two writes of one KV key that overlap may land in either order. A write that fails keeps its row. A
 * drain has no time limit of its own: a write given up early could still land, after its successor.
 */

/** A KV key belongs to one lane only. What waits in one lane never waits for another. */
export type Lane = "operator" | "health";

/** An older change never replaces a newer one, in whatever order they are noted. */
const UPSERT = `
  INSERT INTO publication (kv_key, value, seq, lane) VALUES (?, ?, ?, ?)
  ON CONFLICT (kv_key) DO UPDATE SET value = excluded.value, seq = excluded.seq
  WHERE excluded.seq >= publication.seq`;

export class KvOutbox {
  readonly #sql: SqlStorage;
  readonly #kv: Pick<KVNamespace, "put" | "delete">;
  readonly #lane: Lane;
  readonly #render: (value: string | null, seq: number) => string | null;
  #lastDrain: Promise<number> = Promise.resolve(0);

  /** `render` makes what KV gets out of what was noted, at the moment of sending. Default: as it was noted. */
  constructor(
    sql: SqlStorage,
    kv: Pick<KVNamespace, "put" | "delete">,
    lane: Lane = "operator",
    render: (value: string | null, seq: number) => string | null = (value) => value,
  ) {
    this.#sql = sql;
    this.#kv = kv;
    this.#lane = lane;
    this.#render = render;
  }

  /** Notes what KV must hold under `key`; `null` deletes it. Synchronous, so it belongs to the caller's transaction. */
  add(key: string, value: string | null, seq: number): void {
    this.#sql.exec(UPSERT, key, value, seq, this.#lane);
  }

  /** Number of KV keys of this lane that do not hold their newest value yet. */
  waiting(): number {
    const query = "SELECT count(*) AS count FROM publication WHERE lane = ?";
    return this.#sql.exec<{ count: number }>(query, this.#lane).one().count;
  }

  /**
   * Tries once to send everything that waits when its turn comes, and resolves to the number of writes KV refused.
   * Never rejects; ask `waiting()` what is left.
   */
  drain(): Promise<number> {
    this.#lastDrain = this.#lastDrain.then(() => this.#sendAll());
    return this.#lastDrain;
  }

  async #sendAll(): Promise<number> {
    const query = "SELECT kv_key FROM publication WHERE lane = ? ORDER BY seq";
    const keys = this.#sql.exec<{ kv_key: string }>(query, this.#lane).toArray();
    let refused = 0;
    for (const { kv_key } of keys) {
      if (!(await this.#send(kv_key))) refused++;
    }
    return refused;
  }

  /** Says whether KV has the value now. */
  async #send(key: string): Promise<boolean> {
    // Read only now: while earlier keys were on their way this one may have got a newer value.
    const [row] = this.#sql
      .exec<{ value: string | null; seq: number }>("SELECT value, seq FROM publication WHERE kv_key = ?", key)
      .toArray();
    if (row === undefined) return true;
    const value = this.#render(row.value, row.seq);
    try {
      await (value === null ? this.#kv.delete(key) : this.#kv.put(key, value));
    } catch {
      // The row stays and the alarm tries again; the number of waiting rows is what gets logged.
      return false;
    }
    this.#sql.exec("DELETE FROM publication WHERE kv_key = ? AND seq = ?", key, row.seq);
    return true;
  }
}
