/**
 * ControlPlane: one Durable Object per deployment, the truth for keys, route versions and the audit log, and the only
 * writer of KV.
 *
 * A change writes its rows, its audit line and what KV must hold in one transaction, then sends the latter at once;
 * what KV does not take is sent again by the alarm. Breaker states pass through here too, on a lane of their own and
 * without an audit line: they are no operator's change. Digests need an await, so they are taken before the
 * transaction, over text that the transaction checks or that no other call can change.
 *
 * Methods return unions and never throw on purpose. `createKey` and `putRoute` make something new at every call:
 * callers do not repeat them blindly. Everything else may be repeated.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { newKeyId, newSecret } from "../keys/format.ts";
import { type KeyRecord, type KeyRequest, keyRecordKey, type PublicKey, toPublicKey } from "../keys/record.ts";
import { type RouteRecord, routeIndexKey, routeKey } from "../policy/schema.ts";
import { Publisher } from "./publisher.ts";
import {
  type AuditRow,
  byteLength,
  digestOf,
  indexEntry,
  matches,
  newRecord,
  type RouteRow,
  toAuditEntry,
  toKeyRecord,
  toPage,
  toRouteVersion,
  toTargetUses,
} from "./rows.ts";
import { migrate } from "./tables.ts";
import type {
  AuditEntry,
  CreateKeyResult,
  Page,
  PutRouteResult,
  RevokeKeyResult,
  RouteChange,
  RouteVersion,
  TargetHealthChange,
  TargetUse,
} from "./types.ts";

/** Durable Object SQLite refuses rows above 2 MB; this leaves room for the other columns. */
const MAX_VALUE_BYTES = 1_900_000;

const INSERT_AUDIT = `
  INSERT INTO audit (at_ms, actor, action, object, before_digest, after_digest, reason)
  VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq`;
const SELECT_ACTIVE_ROUTES = `
  SELECT route_version.seq AS seq, record, 1 AS active FROM route_active JOIN route_version USING (seq)
  WHERE route_version.seq < ? ORDER BY route_version.seq DESC LIMIT ?`;
const SELECT_ACTIVE_ROUTE = `
  SELECT route_version.seq AS seq, record, 1 AS active FROM route_active JOIN route_version USING (seq)
  WHERE route_active.env = ? AND route_active.name = ?`;
/** Versions of one route below a bound; their number is their place in the list. */
const SELECT_VERSIONS = `
  SELECT version AS seq, record, route_active.seq IS NOT NULL AS active
  FROM route_version LEFT JOIN route_active USING (seq)
  WHERE route_version.env = ? AND route_version.name = ? AND version < ? ORDER BY version DESC LIMIT ?`;
const SELECT_VERSION = `
  SELECT version AS seq, record, route_active.seq IS NOT NULL AS active
  FROM route_version LEFT JOIN route_active USING (seq)
  WHERE route_version.env = ? AND route_version.name = ? AND version = ?`;

/** One step of the index per environment, not one per key. */
const SELECT_ENVIRONMENTS = `
  WITH RECURSIVE known (env) AS (
    SELECT min(env) FROM key_record
    UNION ALL
    SELECT (SELECT min(env) FROM key_record WHERE key_record.env > known.env) FROM known WHERE known.env IS NOT NULL
  )
  SELECT env FROM known WHERE env IS NOT NULL`;

interface Change {
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly reason?: string | undefined;
}

export class ControlPlane extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #publisher: Publisher;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    ctx.storage.transactionSync(() => migrate(this.#sql));
    this.#publisher = new Publisher(this.#sql, env.CONFIG, ctx.storage, Date.now());
  }

  /** A new key. The answer is the only place its token ever appears in. */
  async createKey(request: KeyRequest, actor: string): Promise<CreateKeyResult> {
    const pepper = this.env.FLOW_KEY_PEPPER ?? "";
    if (pepper === "") return { ok: false, reason: "pepper_missing" };
    const id = newKeyId();
    const { token, hash } = await newSecret(pepper, request.env, id);
    const createdAt = Date.now();
    const record = newRecord(id, request, hash, createdAt);
    const text = JSON.stringify(record);
    const digest = await digestOf(text);
    this.#commit({ actor, action: "key.create", object: `key ${id}`, before: null, after: digest }, (seq) => {
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
      this.#publisher.add(keyRecordKey(id), text, seq);
    });
    await this.#publisher.publish();
    return { ok: true, key: toPublicKey(record), token };
  }

  /** Newest first. `before` is the `nextCursor` of the page before this one. */
  listKeys(limit: number, before: number | null): Page<PublicKey> {
    const rows = this.#sql.exec<{ seq: number; record: string }>(
      "SELECT seq, record FROM key_record WHERE seq < ? ORDER BY seq DESC LIMIT ?",
      before ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    );
    return toPage(rows, limit, ({ record }) => toPublicKey(toKeyRecord(record)));
  }

  getKey(id: string): PublicKey | null {
    const row = this.#findKey(id);
    return row === null ? null : toPublicKey(toKeyRecord(row.record));
  }

  /** Environments that ever had a key, by name: nothing else makes a trace. */
  listEnvironments(): string[] {
    return this.#sql
      .exec<{ env: string }>(SELECT_ENVIRONMENTS)
      .toArray()
      .map(({ env }) => env);
  }

  /** The key stays, here and in KV, as `revoked`. The second call changes nothing. */
  async revokeKey(id: string, actor: string): Promise<RevokeKeyResult> {
    for (;;) {
      const row = this.#findKey(id);
      if (row === null) return { ok: false, reason: "not_found" };
      const record = toKeyRecord(row.record);
      if (record.status === "revoked") {
        // The change that revoked it may not have reached KV; whoever repeats the call wants exactly that.
        if (this.#publisher.waiting() > 0) await this.#publisher.publish();
        return { ok: true, key: toPublicKey(record) };
      }
      const revoked: KeyRecord = { ...record, status: "revoked", version: record.version + 1 };
      const text = JSON.stringify(revoked);
      const after = await digestOf(text);
      // Another call may have changed the record during the digest: then its state decides anew.
      if (this.#findKey(id)?.record !== row.record) continue;
      this.#commit({ actor, action: "key.revoke", object: `key ${id}`, before: row.digest, after }, (seq) => {
        this.#sql.exec("UPDATE key_record SET record = ?, digest = ? WHERE id = ?", text, after, id);
        this.#publisher.add(keyRecordKey(id), text, seq);
      });
      await this.#publisher.publish();
      return { ok: true, key: toPublicKey(revoked) };
    }
  }

  /** Publishes the next version of a route. */
  async putRoute(change: RouteChange, actor: string): Promise<PutRouteResult> {
    const digest = await digestOf(JSON.stringify([change.policy, change.facts]));
    const result = this.#writeRoute(change, digest, actor);
    if (result.ok) await this.#publisher.publish();
    return result;
  }

  /** The active version of every route, the most recently published first. */
  listRoutes(limit: number, before: number | null): Page<RouteVersion> {
    const rows = this.#sql.exec<RouteRow>(SELECT_ACTIVE_ROUTES, before ?? Number.MAX_SAFE_INTEGER, limit + 1);
    return toPage(rows, limit, toRouteVersion);
  }

  getRoute(env: string, name: string): RouteVersion | null {
    const [row] = this.#sql.exec<RouteRow>(SELECT_ACTIVE_ROUTE, env, name).toArray();
    return row === undefined ? null : toRouteVersion(row);
  }

  /** Every version ever published, newest first; `null` for a route that never existed. */
  listRouteVersions(env: string, name: string, limit: number, before: number | null): Page<RouteVersion> | null {
    if (this.#lastVersion(env, name) === 0) return null;
    const rows = this.#sql.exec<RouteRow>(SELECT_VERSIONS, env, name, before ?? Number.MAX_SAFE_INTEGER, limit + 1);
    return toPage(rows, limit, toRouteVersion);
  }

  getRouteVersion(env: string, name: string, version: number): RouteVersion | null {
    const [row] = this.#sql.exec<RouteRow>(SELECT_VERSION, env, name, version).toArray();
    return row === undefined ? null : toRouteVersion(row);
  }

  listAudit(limit: number, before: number | null): Page<AuditEntry> {
    const rows = this.#sql.exec<AuditRow>(
      "SELECT * FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",
      before ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    );
    return toPage(rows, limit, toAuditEntry);
  }

  /**
   * Keeps what a target's shared breaker became, and publishes it behind the answer. Repeatable: an older `at` than the
   * one known of the target changes nothing.
   */
  async noteTargetHealth(change: TargetHealthChange): Promise<void> {
    const now = Date.now();
    this.ctx.storage.transactionSync(() => this.#publisher.noteTargetHealth(change, now));
    // Whoever announces it does not wait for KV.
    this.ctx.waitUntil(this.#publisher.publishHealth(now).catch(() => {}));
  }

  /** Every target that an active route names or whose breaker is known to be open. */
  listTargets(): TargetUse[] {
    const query = "SELECT env, name, index_entry FROM route_active ORDER BY env, name";
    const routes = this.#sql.exec<{ env: string; name: string; index_entry: string }>(query);
    return toTargetUses(routes, this.#publisher.openTargets());
  }

  /** Sends what KV did not take. Comes again until nothing waits, however often KV refuses. */
  override async alarm(): Promise<void> {
    await this.#publisher.onAlarm(Date.now());
  }

  /** Synchronous, so nothing can change between what it reads and what it writes. */
  #writeRoute(change: RouteChange, digest: string, actor: string): PutRouteResult {
    const { env, name, policy, facts } = change;
    const active = this.getRoute(env, name);
    const activeVersion = active?.record.version ?? 0;
    if (!matches(change.ifMatch, activeVersion)) return { ok: false, reason: "version_mismatch", activeVersion };
    if (active?.record.policy.promotion.required === true && change.forceReason === undefined) {
      return { ok: false, reason: "promotion_required" };
    }
    const version = this.#lastVersion(env, name) + 1;
    const record: RouteRecord = { env, name, version, created_at: new Date().toISOString(), actor, policy, facts };
    const text = JSON.stringify(record);
    const entry = JSON.stringify(indexEntry(record));
    const index = this.#routeIndex(env, name, entry);
    if (byteLength(text) > MAX_VALUE_BYTES) return { ok: false, reason: "policy_too_large" };
    if (byteLength(index) > MAX_VALUE_BYTES) return { ok: false, reason: "environment_full" };
    const before = active === null ? null : this.#digestOfVersion(env, name, activeVersion);
    const object = `route ${env}/${name}@${version}`;
    const audit = { actor, action: "route.publish", object, before, after: digest, reason: change.forceReason };
    this.#commit(audit, (seq) => {
      this.#sql.exec(
        "INSERT INTO route_version (seq, env, name, version, record, digest) VALUES (?, ?, ?, ?, ?, ?)",
        seq,
        env,
        name,
        version,
        text,
        digest,
      );
      this.#sql.exec(
        "INSERT OR REPLACE INTO route_active (env, name, seq, index_entry) VALUES (?, ?, ?, ?)",
        env,
        name,
        seq,
        entry,
      );
      this.#publisher.add(routeKey(env, name, version), text, seq);
      this.#publisher.add(routeKey(env, name), text, seq);
      this.#publisher.add(routeIndexKey(env), index, seq);
    });
    return { ok: true, route: { record, active: true } };
  }

  /** One audit line and everything `write` does under its number, or nothing. Arms the alarm in the same commit. */
  #commit(change: Change, write: (seq: number) => void): void {
    this.ctx.storage.transactionSync(() => {
      const { seq } = this.#sql
        .exec<{ seq: number }>(
          INSERT_AUDIT,
          Date.now(),
          change.actor,
          change.action,
          change.object,
          change.before,
          change.after,
          change.reason ?? null,
        )
        .one();
      write(seq);
    });
    this.#publisher.guard(Date.now());
  }

  #findKey(id: string): { record: string; digest: string } | null {
    const query = "SELECT record, digest FROM key_record WHERE id = ?";
    return this.#sql.exec<{ record: string; digest: string }>(query, id).toArray()[0] ?? null;
  }

  /** 0 when the route never existed. */
  #lastVersion(env: string, name: string): number {
    const query = "SELECT coalesce(max(version), 0) AS version FROM route_version WHERE env = ? AND name = ?";
    return this.#sql.exec<{ version: number }>(query, env, name).one().version;
  }

  #digestOfVersion(env: string, name: string, version: number): string {
    const query = "SELECT digest FROM route_version WHERE env = ? AND name = ? AND version = ?";
    return this.#sql.exec<{ digest: string }>(query, env, name, version).one().digest;
  }

  /** The `RouteIndex` of an environment as JSON, with `entry` in the place of `name`. */
  #routeIndex(env: string, name: string, entry: string): string {
    const entries = new Map<string, string>();
    const query = "SELECT name, index_entry FROM route_active WHERE env = ? ORDER BY name";
    for (const row of this.#sql.exec<{ name: string; index_entry: string }>(query, env))
      entries.set(row.name, row.index_entry);
    entries.set(name, entry);
    return `[${[...entries.values()].join(",")}]`;
  }
}
