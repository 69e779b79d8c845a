/**
 * The audit log, and the one way to change anything: a line in it, the rows of the change and what KV must hold are one
 * transaction. The line's number is the number of the change.
 */
import { changedMembers } from "./changed-members.ts";
import type { Publisher } from "./publisher.ts";
import { type AuditRow, toAuditEntry, toPage } from "./rows.ts";
import type { AuditEntry, AuditQuery, Page } from "./types.ts";

const INSERT_AUDIT = `
  INSERT INTO audit (
    at_ms, actor, action, object, before_digest, after_digest, reason, detail, before_members, after_members
  )
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`;
/** A parameter that is NULL asks for nothing. An object is meant by its kind, its name, or both, with a version or without. */
const SELECT_AUDIT = `
  SELECT * FROM audit
  WHERE seq < ?1 AND (?2 IS NULL OR actor = ?2)
    AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.')
    AND (?4 IS NULL OR ?4 IN (object, substr(object, instr(object, ' ') + 1))
      OR substr(object, 1, length(?4) + 1) IN (?4 || ' ', ?4 || '@')
      OR substr(object, instr(object, ' ') + 1, length(?4) + 1) = ?4 || '@')
    AND (?5 IS NULL OR at_ms >= ?5) AND (?6 IS NULL OR at_ms < ?6)
  ORDER BY seq DESC LIMIT ?7`;

export interface Change {
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly reason?: string | undefined;
  /** The object before and after, `null` where there was or is none. Shown as far as they differ: never a secret. */
  readonly documents?: readonly [before: object | null, after: object | null];
  /** What the change was made on. Kept as JSON, and shown to every operator: never a secret. */
  readonly detail?: object | undefined;
}

/** What a change may note for KV: see `Publisher`. */
export type Publication = Pick<Publisher, "add" | "guard" | "waiting" | "publish">;

export class Journal {
  readonly #storage: Pick<DurableObjectStorage, "sql" | "transactionSync">;
  readonly #publication: Publication;
  /** Belongs to the transaction of the change. */
  readonly #onCommit: (change: Change) => void;

  constructor(
    storage: Pick<DurableObjectStorage, "sql" | "transactionSync">,
    publication: Publication,
    onCommit: (change: Change) => void = () => {},
  ) {
    this.#onCommit = onCommit;
    this.#storage = storage;
    this.#publication = publication;
  }

  /** One audit line and everything `write` does under its number, or nothing. Arms the alarm in the same commit. */
  commit(change: Change, write: (seq: number) => void): void {
    this.#storage.transactionSync(() => {
      write(this.#insert(change));
      this.#onCommit(change);
    });
    this.#publication.guard(Date.now());
  }

  /** A line about what changed nothing here: something was shown that is not for everybody. */
  note(line: Pick<Change, "actor" | "action" | "object" | "detail" | "documents">): void {
    this.#insert({ ...line, before: null, after: null });
  }

  #insert(change: Change): number {
    const { before, after } = changedMembers(...(change.documents ?? [null, null]));
    const text = (value: object | null | undefined): string | null => (value == null ? null : JSON.stringify(value));
    return this.#storage.sql
      .exec<{ seq: number }>(
        INSERT_AUDIT,
        ...[Date.now(), change.actor, change.action, change.object, change.before, change.after],
        ...[change.reason ?? null, text(change.detail), text(before), text(after)],
      )
      .one().seq;
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
  list({ limit, before, actor, action, object, since, until }: AuditQuery): Page<AuditEntry> {
    const rows = this.#storage.sql.exec<AuditRow>(
      SELECT_AUDIT,
      ...[before ?? Number.MAX_SAFE_INTEGER, actor ?? null, action ?? null, object ?? null],
      ...[since ?? null, until ?? null, limit + 1],
    );
    return toPage(rows, limit, toAuditEntry);
  }
}
