/**
 * API keys: the control plane's own table of them, and what may become of one.
 *
 * A digest needs an await, and another call may change the record during it. So every change looks again before it
 * writes, and decides again from the record it finds.
 */
import { newKeyId, newSecret } from "../../keys/format.ts";
import {
  DEFAULT_SCOPES,
  type KeyChange,
  type KeyRecord,
  type KeyRequest,
  keyRecordKey,
  type OperatorKey,
  toOperatorKey,
  toPublicKey,
} from "../../keys/record.ts";
import type { EndingKey } from "../../notices/ends.ts";
import { isKnownEnvironment } from "../environments.ts";
import type { Journal, Publication } from "../journal.ts";
import { digestOf, newRecord, toKeyRecord, toPage } from "../rows.ts";
import type {
  BuiltInKind,
  CreateKeyResult,
  Page,
  RevokeKeyResult,
  RotateKeyResult,
  UpdateKeyResult,
} from "../types.ts";

/** One step of the index per environment, not one per key. */
const SELECT_ENVIRONMENTS = `
  WITH RECURSIVE known (env) AS (
    SELECT min(env) FROM key_record
    UNION ALL
    SELECT (SELECT min(env) FROM key_record WHERE key_record.env > known.env) FROM known WHERE known.env IS NOT NULL
  )
  SELECT env FROM known WHERE env IS NOT NULL`;

/** For people who try things out. */
const BUILT_IN_BUDGET = { limit_usd: 10, period: "day" } as const;

type Changed<Reason> =
  | { readonly ok: true; readonly record: KeyRecord }
  | { readonly ok: false; readonly reason: Reason | "not_found" };

export class KeyTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;

  constructor(sql: SqlStorage, journal: Journal, publication: Publication) {
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  /** `mayBeNew`: the environment may be one without keys or routes so far. */
  async create(request: KeyRequest, actor: string, pepper: string, mayBeNew = false): Promise<CreateKeyResult> {
    if (pepper === "") return { ok: false, reason: "pepper_missing" };
    if (!mayBeNew && !isKnownEnvironment(this.#sql, request.env)) return { ok: false, reason: "unknown_environment" };
    const id = newKeyId();
    const { token, ...secret } = await newSecret(pepper, request.env, id);
    const createdAt = Date.now();
    const record = newRecord(id, request, secret, createdAt);
    const text = JSON.stringify(record);
    const digest = await digestOf(text);
    const documents = [null, toPublicKey(record, createdAt)] as const;
    const made = { actor, action: "key.create", object: `key ${id}`, before: null, after: digest, documents };
    this.#journal.commit(made, (seq) => {
      this.#sql.exec(
        "INSERT INTO key_record (seq, id, env, name, created_at_ms, record, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
        seq,
        id,
        record.env,
        record.name,
        createdAt,
        text,
        digest,
      );
      this.#publication.add(keyRecordKey(id), text, seq);
    });
    await this.#journal.publish();
    return { ok: true, key: toOperatorKey(record, createdAt), token };
  }

  /**
   * The built-in key of a page in `env`, made when it is first asked for: no secret opens it, and its budget and limits are
   * an operator's to set like any key's. `null`: the environment was never used.
   */
  async builtIn(kind: BuiltInKind, env: string): Promise<KeyRecord | null> {
    const find = (): KeyRecord | undefined => {
      const query = "SELECT record FROM key_record WHERE env = ? AND record ->> '$.kind' = ? ORDER BY seq LIMIT 1";
      return this.#sql
        .exec<{ record: string }>(query, env, kind)
        .toArray()
        .map(({ record }) => toKeyRecord(record))[0];
    };
    const known = find();
    if (known !== undefined || !isKnownEnvironment(this.#sql, env)) return known ?? null;
    const id = newKeyId();
    const createdAt = Date.now();
    const scopes = [...DEFAULT_SCOPES, "raw_models"] as const;
    const request = { name: `${kind}-${env}`, env, apps: [kind], scopes: [...scopes], budget: BUILT_IN_BUDGET };
    const record: KeyRecord = { ...newRecord(id, request, { hash: "", pepperId: "" }, createdAt), kind, secrets: [] };
    const text = JSON.stringify(record);
    const digest = await digestOf(text);
    // Another call may have made it during the digest.
    const made = find();
    if (made !== undefined) return made;
    const documents = [null, toOperatorKey(record, createdAt)] as const;
    const change = {
      actor: "router",
      action: "key.create",
      object: `key ${id}`,
      before: null,
      after: digest,
      documents,
    };
    this.#journal.commit(change, (seq) => {
      this.#sql.exec(
        "INSERT INTO key_record (seq, id, env, name, created_at_ms, record, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ...[seq, id, env, record.name, createdAt, text, digest],
      );
      this.#publication.add(keyRecordKey(id), text, seq);
    });
    await this.#journal.publish();
    return record;
  }

  list(limit: number, before: number | null): Page<OperatorKey> {
    const rows = this.#sql.exec<{ seq: number; record: string }>(
      "SELECT seq, record FROM key_record WHERE seq < ? ORDER BY seq DESC LIMIT ?",
      before ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    );
    const now = Date.now();
    return toPage(rows, limit, ({ record }) => toOperatorKey(toKeyRecord(record), now));
  }

  noteErased(id: string, actor: string): void {
    const change = { actor, action: "key.erase", object: `key ${id}`, before: null, after: null };
    this.#journal.commit(change, () => this.#sql.exec("DELETE FROM approval WHERE key_id = ?", id));
  }

  /** The record with its hashes, for who checks a token. */
  read(id: string): KeyRecord | null {
    const row = this.#find(id);
    return row === null ? null : toKeyRecord(row.record);
  }

  get(id: string): OperatorKey | null {
    const row = this.#find(id);
    return row === null ? null : toOperatorKey(toKeyRecord(row.record), Date.now());
  }

  /** Names of these keys, by id, whatever has become of them. */
  names(ids: readonly string[]): [id: string, name: string][] {
    const query = "SELECT id, name FROM key_record WHERE id IN (SELECT value FROM json_each(?))";
    return this.#sql
      .exec<{ id: string; name: string }>(query, JSON.stringify(ids))
      .toArray()
      .map(({ id, name }) => [id, name]);
  }

  /** Those that expire after `now`, epoch ms, and are in use. */
  ending(now: number): EndingKey[] {
    const query = `SELECT record FROM key_record WHERE record ->> '$.expires_at' IS NOT NULL`;
    return this.#sql
      .exec<{ record: string }>(query)
      .toArray()
      .map(({ record }) => toKeyRecord(record))
      .filter(({ status }) => status === "active")
      .map(({ id, name, env, expires_at }) => ({ id, name, env, expiresAt: Date.parse(expires_at ?? "") }))
      .filter(({ expiresAt }) => expiresAt > now);
  }

  /** Sends all of them to KV again. */
  republish(seq: number): void {
    for (const { id, record } of this.#sql.exec<{ id: string; record: string }>("SELECT id, record FROM key_record")) {
      this.#publication.add(keyRecordKey(id), record, seq);
    }
  }

  environments(): string[] {
    return this.#sql
      .exec<{ env: string }>(SELECT_ENVIRONMENTS)
      .toArray()
      .map(({ env }) => env);
  }

  async revoke(id: string, actor: string): Promise<RevokeKeyResult> {
    const changed = await this.#change(id, "key.revoke", actor, (record) =>
      record.status === "revoked" ? record : { ...record, status: "revoked", version: record.version + 1 },
    );
    if (!changed.ok) return { ok: false, reason: "not_found" };
    return { ok: true, key: toOperatorKey(changed.record, Date.now()) };
  }

  async update(id: string, change: KeyChange, actor: string): Promise<UpdateKeyResult> {
    const asked = Object.entries(change).filter(([, value]) => value !== undefined);
    const changed = await this.#change(id, "key.update", actor, (record): KeyRecord | "revoked" => {
      if (record.status === "revoked") return "revoked";
      const next: KeyRecord = { ...record, ...Object.fromEntries(asked) };
      return JSON.stringify(next) === JSON.stringify(record) ? record : { ...next, version: record.version + 1 };
    });
    if (!changed.ok) return changed;
    const { version, budget, limits, status } = changed.record;
    const terms = { version, budget, limits, paused: status === "paused" };
    return { ok: true, key: toOperatorKey(changed.record, Date.now()), terms };
  }

  async rotate(id: string, overlapSeconds: number, actor: string, pepper: string): Promise<RotateKeyResult> {
    if (pepper === "") return { ok: false, reason: "pepper_missing" };
    const key = this.get(id);
    if (key === null) return { ok: false, reason: "not_found" };
    const { token, hash, pepperId } = await newSecret(pepper, key.env, id);
    const now = Date.now();
    const previousExpiresAt = new Date(now + overlapSeconds * 1_000).toISOString();
    const changed = await this.#change(
      id,
      "key.rotate",
      actor,
      (record): KeyRecord | "revoked" | "expired" | "built_in" => {
        if (record.kind !== undefined) return "built_in";
        if (record.status === "revoked") return "revoked";
        if (record.expires_at !== null && Date.parse(record.expires_at) <= now) return "expired";
        // The newest is the first. What was there besides it is of an earlier rotation, and ends now.
        const previous = overlapSeconds === 0 ? [] : record.secrets.slice(0, 1);
        const ending = previous.map((secret) => ({ ...secret, expires_at: previousExpiresAt }));
        return {
          ...record,
          secrets: [{ hash, expires_at: null, pepper_id: pepperId }, ...ending],
          version: record.version + 1,
        };
      },
    );
    return changed.ok ? { ok: true, token, previousExpiresAt } : changed;
  }

  /** Writes what `next` makes of the record. The same object: nothing is to be written. A text: why it may not be. */
  async #change<Reason extends string>(
    id: string,
    action: string,
    actor: string,
    next: (record: KeyRecord) => KeyRecord | Reason,
  ): Promise<Changed<Reason>> {
    for (;;) {
      const row = this.#find(id);
      if (row === null) return { ok: false, reason: "not_found" };
      const record = toKeyRecord(row.record);
      const changed = next(record);
      if (typeof changed === "string") return { ok: false, reason: changed };
      if (changed === record) {
        await this.#journal.publishAgain();
        return { ok: true, record };
      }
      const text = JSON.stringify(changed);
      const after = await digestOf(text);
      // Another call may have changed the record during the digest: then its state decides again.
      if (this.#find(id)?.record !== row.record) continue;
      const documents = [shown(record), shown(changed)] as const;
      this.#journal.commit({ actor, action, object: `key ${id}`, before: row.digest, after, documents }, (seq) => {
        const update = "UPDATE key_record SET name = ?, record = ?, digest = ? WHERE id = ?";
        this.#sql.exec(update, changed.name, text, after, id);
        this.#publication.add(keyRecordKey(id), text, seq);
      });
      await this.#journal.publish();
      return { ok: true, record: changed };
    }
  }

  #find(id: string): { record: string; digest: string } | null {
    const query = "SELECT record, digest FROM key_record WHERE id = ?";
    return this.#sql.exec<{ record: string; digest: string }>(query, id).toArray()[0] ?? null;
  }
}

/** A record as the audit log shows it: of its secrets only how many live, and until when. */
function shown(record: KeyRecord): object {
  const secrets = record.secrets.map(({ expires_at }) => ({ expires_at }));
  return { ...toPublicKey(record, 0), secrets };
}
