/** Operators' own providers. A row without a record is of one that was deleted, so that deleting it again is no error. */
import { type ProviderRecord, providerKey } from "../../policy/provider-record.ts";
import type { Journal, Publication } from "../journal.ts";
import { digestOf, toProviderRecord } from "../rows.ts";
import type { DeleteProviderResult, PutProviderResult } from "../types.ts";

/** All of them are listed at once. */
const MAX_PROVIDERS = 200;

type Row = { record: string | null; digest: string | null };

export class ProviderTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;

  constructor(sql: SqlStorage, journal: Journal, publication: Publication) {
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  async put(record: ProviderRecord, actor: string): Promise<PutProviderResult> {
    const { id } = record;
    const text = JSON.stringify(record);
    const after = await digestOf(text);
    const row = this.#find(id);
    if (row?.record === text) {
      await this.#journal.publishAgain();
      return { ok: true };
    }
    if (row?.record == null && this.list().length >= MAX_PROVIDERS) return { ok: false, reason: "too_many" };
    const before = row?.digest ?? null;
    const documents = [row?.record == null ? null : toProviderRecord(row.record), record] as const;
    this.#journal.commit(
      { actor, action: "provider.put", object: `provider ${id}`, before, after, documents },
      (seq) => {
        this.#sql.exec("INSERT OR REPLACE INTO provider (id, record, digest) VALUES (?, ?, ?)", id, text, after);
        this.#publication.add(providerKey(id), text, seq);
      },
    );
    await this.#journal.publish();
    return { ok: true };
  }

  /** It was added, and not deleted since. */
  has(id: string): boolean {
    return this.#find(id)?.record != null;
  }

  async delete(id: string, actor: string, reason?: string): Promise<DeleteProviderResult> {
    const row = this.#find(id);
    if (row === null) return { ok: false, reason: "not_found" };
    if (row.record === null) {
      await this.#journal.publishAgain();
      return { ok: true };
    }
    const object = `provider ${id}`;
    const documents = [toProviderRecord(row.record), null] as const;
    const change = { actor, action: "provider.delete", object, before: row.digest, after: null, reason, documents };
    this.#journal.commit(change, (seq) => {
      this.#sql.exec("UPDATE provider SET record = NULL, digest = NULL WHERE id = ?", id);
      this.#publication.add(providerKey(id), null, seq);
    });
    await this.#journal.publish();
    return { ok: true };
  }

  /** By id. */
  list(): ProviderRecord[] {
    return this.#sql
      .exec<{ record: string }>("SELECT record FROM provider WHERE record IS NOT NULL ORDER BY id")
      .toArray()
      .map(({ record }) => toProviderRecord(record));
  }

  /** Sends all of them to KV again. */
  republish(seq: number): void {
    for (const record of this.list()) this.#publication.add(providerKey(record.id), JSON.stringify(record), seq);
  }

  #find(id: string): Row | null {
    return this.#sql.exec<Row>("SELECT record, digest FROM provider WHERE id = ?", id).toArray()[0] ?? null;
  }
}
