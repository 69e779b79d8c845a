/**
 * The audit log, and the one way to change anything: a line in it, the rows of the change and what KV must hold are one
 * transaction. The line's number is the number of the change.
 */
import type { Publisher } from "./publisher.ts";
import { type AuditRow, toAuditEntry, toPage } from "./rows.ts";
import type { AuditEntry, Page } from "./types.ts";

const INSERT_AUDIT = `
  INSERT INTO audit (at_ms, actor, action, object, before_digest, after_digest, reason, detail)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`;

export interface Change {
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly reason?: string | undefined;
  /** What the change was made on. Kept as JSON, and shown to every operator: never a secret. */
  readonly detail?: object | undefined;
}

/** What a change may note for KV: see `Publisher`. */
export type Publication = Pick<Publisher, "add" | "guard" | "waiting" | "publish">;

export class Journal {
  readonly #storage: Pick<DurableObjectStorage, "sql" | "transactionSync">;
  readonly #publication: Publication;

  constructor(storage: Pick<DurableObjectStorage, "sql" | "transactionSync">, publication: Publication) {
    this.#storage = storage;
    this.#publication = publication;
  }

  /** One audit line and everything `write` does under its number, or nothing. Arms the alarm in the same commit. */
  commit(change: Change, write: (seq: number) => void): void {
    this.#storage.transactionSync(() => {
      const { seq } = this.#storage.sql
        .exec<{ seq: number }>(
          INSERT_AUDIT,
          Date.now(),
          change.actor,
          change.action,
          change.object,
          change.before,
          change.after,
          change.reason ?? null,
          change.detail === undefined ? null : JSON.stringify(change.detail),
        )
        .one();
      write(seq);
    });
    this.#publication.guard(Date.now());
  }

  /** Sends what was committed. See `Publisher`. */
  async publish(): Promise<void> {
    await this.#publication.publish();
  }

  /** Re-sends an earlier change that may not have reached KV; a repeated call asks for exactly that. */
  async publishAgain(): Promise<void> {
    if (this.#publication.waiting() > 0) await this.#publication.publish();
  }

  /** Newest first. */
  list(limit: number, before: number | null): Page<AuditEntry> {
    const rows = this.#storage.sql.exec<AuditRow>(
      "SELECT * FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",
      before ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    );
    return toPage(rows, limit, toAuditEntry);
  }
}
