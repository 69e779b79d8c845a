/** Budgets above keys. KV holds the list of all of them, because every request looks at each. */
import { BUDGETS_KEY, type BudgetRecord, type BudgetRequest } from "../../budgets/record.ts";
import { isJsonObject, parseJson } from "../../lib/json.ts";
import type { Journal, Publication } from "../journal.ts";
import { digestOf } from "../rows.ts";
import type { DeleteBudgetResult, PutBudgetResult } from "../types.ts";

/** Every request looks at each. */
export const MAX_BUDGETS = 200;

type Row = { record: string; digest: string };

export class BudgetTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;
  readonly #tags: () => readonly string[];

  /** `tags`: names of the tags that are summed. */
  constructor(sql: SqlStorage, journal: Journal, publication: Publication, tags: () => readonly string[]) {
    this.#tags = tags;
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  async put(id: string, request: BudgetRequest, actor: string): Promise<PutBudgetResult> {
    const unknown = (request.scope.keys ?? []).findIndex((key) => !this.#isKey(key));
    if (unknown !== -1) return { ok: false, reason: "unknown_key", at: unknown };
    const { tag } = request.scope;
    const tagSince = tag === undefined ? 0 : this.#declaredAt(tag.name);
    if (tagSince === null) return { ok: false, reason: "unknown_tag" };
    for (;;) {
      const row = this.#find(id);
      const before = row === null ? null : toRecord(row.record);
      if (before !== null && isSame(before, request)) {
        await this.#journal.publishAgain();
        return { ok: true, record: before };
      }
      if (before === null && this.list().length >= MAX_BUDGETS) return { ok: false, reason: "too_many" };
      const after = await digestOf(JSON.stringify(request));
      // Another call may have changed it during the digest: then its state decides again.
      if (this.#find(id)?.record !== row?.record) continue;
      const now = new Date().toISOString();
      const made = { id, ...request, tag_since: tagSince, created_at: before?.created_at ?? now, updated_at: now };
      const documents = [before === null ? null : shown(before), request] as const;
      const change = { actor, action: "budget.put", object: `budget ${id}`, documents };
      let record: BudgetRecord = { ...made, version: 0, era: 0 };
      this.#journal.commit({ ...change, before: row?.digest ?? null, after }, (seq) => {
        const keepsEra = before !== null && isSame({ ...before, limit_usd: request.limit_usd }, request);
        const kept = keepsEra ? { era: before.era, carried: before.carried } : { era: seq };
        record = { ...made, version: seq, ...kept };
        const insert = "INSERT OR REPLACE INTO budget (id, record, digest) VALUES (?, ?, ?)";
        this.#sql.exec(insert, id, JSON.stringify(record), after);
        this.#publication.add(BUDGETS_KEY, JSON.stringify(this.list()), seq);
      });
      await this.#journal.publish();
      return { ok: true, record };
    }
  }

  async delete(id: string, actor: string): Promise<DeleteBudgetResult> {
    const row = this.#find(id);
    if (row === null) return { ok: false, reason: "not_found" };
    const documents = [shown(toRecord(row.record)), null] as const;
    let version = 0;
    const change = {
      actor,
      action: "budget.delete",
      object: `budget ${id}`,
      before: row.digest,
      after: null,
      documents,
    };
    this.#journal.commit(change, (seq) => {
      version = seq;
      this.#sql.exec("DELETE FROM budget WHERE id = ?", id);
      this.#publication.add(BUDGETS_KEY, JSON.stringify(this.list()), seq);
    });
    await this.#journal.publish();
    return { ok: true, version };
  }

  /** Sends the list to KV again. */
  republish(seq: number): void {
    if (this.list().length > 0) this.#publication.add(BUDGETS_KEY, JSON.stringify(this.list()), seq);
  }

  /** By id. */
  list(): BudgetRecord[] {
    return this.#sql
      .exec<{ record: string }>("SELECT record FROM budget ORDER BY id")
      .toArray()
      .map(({ record }) => toRecord(record));
  }

  get(id: string): BudgetRecord | null {
    const row = this.#find(id);
    return row === null ? null : toRecord(row.record);
  }

  #find(id: string): Row | null {
    return this.#sql.exec<Row>("SELECT record, digest FROM budget WHERE id = ?", id).toArray()[0] ?? null;
  }

  /** Since when the tag is summed, epoch ms; `null` where it is not. */
  #declaredAt(name: string): number | null {
    if (!this.#tags().includes(name)) return null;
    const query = "SELECT at_ms, before_members, after_members FROM audit WHERE object = 'settings' ORDER BY seq DESC";
    type Row = { at_ms: number; before_members: string | null; after_members: string | null };
    for (const { at_ms, before_members, after_members } of this.#sql.exec<Row>(query)) {
      if (tagsOf(after_members).includes(name) && !tagsOf(before_members).includes(name)) return at_ms;
    }
    return 0;
  }

  #isKey(id: string): boolean {
    return this.#sql.exec("SELECT 1 FROM key_record WHERE id = ?", id).toArray().length > 0;
  }
}

/** The tags of settings, as the audit keeps them. */
function tagsOf(members: string | null): readonly unknown[] {
  const settings = members === null ? null : parseJson(members);
  const tags = isJsonObject(settings) ? settings["spend_tags"] : null;
  return Array.isArray(tags) ? tags : [];
}

/** Written by `put` from a `BudgetRecord`, and nothing else writes to this table. */
const toRecord = (text: string): BudgetRecord => parseJson(text) as unknown as BudgetRecord;

/** What an operator asked for, with its members in one order. */
function shown({ scope, limit_usd, period, time_zone, on_exceeded }: BudgetRequest): BudgetRequest {
  const { env, app, keys, tag } = scope;
  const members = { env, app, keys, tag: tag === undefined ? undefined : { name: tag.name, value: tag.value } };
  return { scope: members, limit_usd, period, time_zone, on_exceeded };
}

const isSame = (left: BudgetRequest, right: BudgetRequest): boolean =>
  JSON.stringify(shown(left)) === JSON.stringify(shown(right));
