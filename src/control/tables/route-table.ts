/**
 * Routes: every version ever published, and which one of each route is active.
 *
 * The newest version of a route is its active one, or the route is deleted. A version never changes, so its digest may
 * be taken before the transaction; everything else is looked at inside it, where no other call can come between.
 */
import type { ModelFacts } from "../../catalog/model-facts.ts";
import { parseJson } from "../../lib/json.ts";
import { aliasIndex, aliasIndexKey, type NamedRoute, takenAlias } from "../../policy/aliases.ts";
import { previousVersion, type VersionStep } from "../../policy/previous-version.ts";
import { type RouteIndex, type RoutePolicy, type RouteRecord, routeIndexKey, routeKey } from "../../policy/schema.ts";
import { isKnownEnvironment } from "../environments.ts";
import type { Journal, Publication } from "../journal.ts";
import { asks, isRequiredIn, keepingGuard, weakens } from "../promotion.ts";
import {
  byteLength,
  digestOf,
  indexEntry,
  matches,
  type RouteRow,
  toPage,
  toRouteRecord,
  toRouteVersion,
} from "../rows.ts";
import type {
  DeleteRouteResult,
  Page,
  PromoteRouteResult,
  PromotionView,
  PutRouteResult,
  RollbackResult,
  RollbackView,
  RouteChange,
  RouteDeletion,
  RoutePromotion,
  RouteRollback,
  RouteVersion,
  VersionOrigin,
} from "../types.ts";

/** Durable Object SQLite refuses rows above 2 MB; this leaves room for the other columns. */
const MAX_VALUE_BYTES = 1_900_000;
const SELECT_ACTIVE_ROUTES = `
  SELECT route_version.seq AS seq, record, 1 AS active, reason, detail
  FROM route_active JOIN route_version ON route_version.seq = route_active.seq
  JOIN audit ON audit.seq = route_version.seq
  WHERE route_version.seq < ? ORDER BY route_version.seq DESC LIMIT ?`;
/** Versions of one route below a bound; their number is their place in the list. */
const SELECT_VERSIONS = `
  SELECT version AS seq, record, route_active.seq IS NOT NULL AS active, reason, detail
  FROM route_version LEFT JOIN route_active ON route_active.seq = route_version.seq
  JOIN audit ON audit.seq = route_version.seq
  WHERE route_version.env = ? AND route_version.name = ? AND version < ? ORDER BY version DESC LIMIT ?`;

/** What becomes the next version. */
interface Draft {
  readonly env: string;
  readonly name: string;
  readonly policy: RoutePolicy;
  readonly facts: ModelFacts[];
  readonly digest: string;
  readonly action: "route.publish" | "route.rollback" | "route.promote";
  readonly reason?: string | undefined;
  readonly origin?: VersionOrigin | undefined;
}

type WriteResult = Extract<
  PutRouteResult,
  { ok: true } | { ok: false; reason: "policy_too_large" | "environment_full" | "alias_taken" }
>;

export class RouteTable {
  readonly #sql: SqlStorage;
  readonly #journal: Journal;
  readonly #publication: Publication;

  constructor(sql: SqlStorage, journal: Journal, publication: Publication) {
    this.#sql = sql;
    this.#journal = journal;
    this.#publication = publication;
  }

  async put(change: RouteChange, actor: string): Promise<PutRouteResult> {
    const { env, name, policy, facts, ifMatch, forceReason } = change;
    const digest = await digestOfVersion(policy, facts);
    if (change.mayBeNewEnvironment !== true && !isKnownEnvironment(this.#sql, env)) {
      return { ok: false, reason: "unknown_environment" };
    }
    const mismatch = this.#mismatch(env, name, ifMatch);
    if (mismatch !== null) return mismatch;
    if (this.#isGuarded(env, name) && forceReason === undefined) return { ok: false, reason: "promotion_required" };
    const reason = forceReason ?? change.reason;
    const before = this.#newest(env, name)?.record.policy.promotion;
    const isWeaker = before !== undefined && weakens(before, policy.promotion, env);
    if (isWeaker && reason === undefined) return { ok: false, reason: "reason_required" };
    return this.#publish({ env, name, policy, facts, digest, action: "route.publish", reason }, actor);
  }

  /** A deleted route keeps its guard: deleting it is no way around a promotion. */
  #isGuarded(env: string, name: string): boolean {
    const newest = this.#newest(env, name)?.record.policy.promotion;
    if (newest !== undefined && isRequiredIn(newest, env, env)) return true;
    const query = `
      SELECT record FROM route_active JOIN route_version ON route_version.seq = route_active.seq
      WHERE route_active.name = ? AND route_active.env <> ?`;
    const elsewhere = this.#sql.exec<{ record: string }>(query, name, env).toArray();
    return elsewhere.some(({ record }) => {
      const { env: activeIn, policy } = toRouteRecord(record);
      return isRequiredIn(policy.promotion, activeIn, env);
    });
  }

  /** What a rollback would go back to. Without `version`: see `previousVersion`. */
  rollbackView(env: string, name: string, version: number | null): RollbackView {
    const active = this.active(env, name)?.record.version ?? null;
    if (version !== null && version === active) return { ok: false, reason: "already_active" };
    const steps = this.#steps(env, name);
    if (steps.length === 0) return { ok: false, reason: "not_found" };
    const chosen = version ?? previousVersion(steps, active);
    if (chosen === null) return { ok: false, reason: "no_earlier_version" };
    const old = this.version(env, name, chosen);
    return old === null ? { ok: false, reason: "not_found" } : { ok: true, old, activeVersion: active ?? 0 };
  }

  #steps(env: string, name: string): VersionStep[] {
    const query = `
      SELECT version, CASE detail ->> '$.kind' WHEN 'rollback' THEN detail ->> '$.from.version' END AS repeats
      FROM route_version JOIN audit ON audit.seq = route_version.seq WHERE env = ? AND name = ?`;
    return this.#sql.exec<{ version: number; repeats: number | null }>(query, env, name).toArray();
  }

  async rollBack(rollback: RouteRollback, actor: string): Promise<RollbackResult> {
    const { env, name, version, activeVersion, facts, ifMatch, reason } = rollback;
    const old = this.version(env, name, version);
    if (old === null) return { ok: false, reason: "not_found" };
    const newest = this.#lastVersion(env, name);
    const policy = this.#guarded(env, name, old.record.policy);
    const digest = await digestOfVersion(policy, facts);
    const mismatch = this.#mismatch(env, name, ifMatch);
    if (mismatch !== null) return mismatch;
    // What was chosen, and what it has to keep, was read off this version and no other.
    const isSame = this.#lastVersion(env, name) === newest && this.#activeVersion(env, name) === activeVersion;
    if (!isSame) return { ok: false, reason: "changed" };
    const origin: VersionOrigin = { kind: "rollback", from: { env, version } };
    return this.#publish({ env, name, policy, facts, digest, action: "route.rollback", reason, origin }, actor);
  }

  /** The policy with the guard of the place where it goes, as far as that is stricter than its own. */
  #guarded(env: string, name: string, policy: RoutePolicy): RoutePolicy {
    const guard = this.#newest(env, name)?.record.policy.promotion;
    return { ...policy, promotion: keepingGuard(policy.promotion, guard) };
  }

  /** What a promotion is decided on. */
  promotionView(name: string, from: string, to: string): PromotionView {
    const isKnown = isKnownEnvironment(this.#sql, to);
    return { candidate: this.active(from, name), target: this.#newest(to, name), isKnownEnvironment: isKnown };
  }

  async promote(promotion: RoutePromotion, actor: string): Promise<PromoteRouteResult> {
    const { name, from, to, facts, reason, record } = promotion;
    const candidate = this.version(from.env, name, from.version);
    if (candidate === null) return { ok: false, reason: "changed" };
    const policy = this.#guarded(to.env, name, candidate.record.policy);
    const digest = await digestOfVersion(policy, facts);
    // The decision was made on these two versions and on no others.
    const isSame =
      this.active(from.env, name)?.record.version === from.version &&
      this.#lastVersion(to.env, name) === to.version &&
      (this.active(to.env, name) !== null) === to.active;
    if (!isSame) return { ok: false, reason: "changed" };
    const origin: VersionOrigin = { kind: "promotion", from, ...record };
    return this.#publish({ env: to.env, name, policy, facts, digest, action: "route.promote", reason, origin }, actor);
  }

  async delete({ env, name, ifMatch, reason }: RouteDeletion, actor: string): Promise<DeleteRouteResult> {
    if (this.#lastVersion(env, name) === 0) return { ok: false, reason: "not_found" };
    const active = this.active(env, name);
    if (active === null) {
      await this.#journal.publishAgain();
      return { ok: true };
    }
    const mismatch = this.#mismatch(env, name, ifMatch);
    if (mismatch !== null) return mismatch;
    if (asks(active.record.policy.promotion) && reason === undefined) return { ok: false, reason: "reason_required" };
    const { version } = active.record;
    const object = `route ${env}/${name}@${version}`;
    const before = this.#digest(env, name, version);
    const named = namedRoutes(this.#entries(env));
    const documents = [active.record.policy, null] as const;
    const change = { actor, action: "route.delete", object, before, after: null, reason, documents };
    this.#journal.commit(change, (seq) => {
      this.#sql.exec("DELETE FROM route_active WHERE env = ? AND name = ?", env, name);
      this.#publication.add(routeKey(env, name), null, seq);
      const versions = "SELECT version FROM route_version WHERE env = ? AND name = ?";
      for (const row of this.#sql.exec<{ version: number }>(versions, env, name).toArray()) {
        this.#publication.add(routeKey(env, name, row.version), null, seq);
      }
      this.#publication.add(routeIndexKey(env), this.#index(env, name, null), seq);
      this.#publishAliases(
        env,
        named,
        named.filter((each) => each.name !== name),
        seq,
      );
    });
    await this.#journal.publish();
    return { ok: true };
  }

  /** The active version of every route, the most recently published first. */
  list(limit: number, before: number | null): Page<RouteVersion> {
    const rows = this.#sql.exec<RouteRow>(SELECT_ACTIVE_ROUTES, before ?? Number.MAX_SAFE_INTEGER, limit + 1);
    return toPage(rows, limit, toRouteVersion);
  }

  active(env: string, name: string): RouteVersion | null {
    const newest = this.#newest(env, name);
    return newest?.active === true ? newest : null;
  }

  versions(env: string, name: string, limit: number, before: number | null): Page<RouteVersion> | null {
    if (this.#lastVersion(env, name) === 0) return null;
    const rows = this.#sql.exec<RouteRow>(SELECT_VERSIONS, env, name, before ?? Number.MAX_SAFE_INTEGER, limit + 1);
    return toPage(rows, limit, toRouteVersion);
  }

  version(env: string, name: string, version: number): RouteVersion | null {
    const [row] = this.#sql.exec<RouteRow>(SELECT_VERSIONS, env, name, version + 1, 1).toArray();
    return row?.seq === version ? toRouteVersion(row) : null;
  }

  /** For a deleted route: the version that was active last. */
  #newest(env: string, name: string): RouteVersion | null {
    const [row] = this.#sql.exec<RouteRow>(SELECT_VERSIONS, env, name, Number.MAX_SAFE_INTEGER, 1).toArray();
    return row === undefined ? null : toRouteVersion(row);
  }

  /** 0 when there is none. */
  #activeVersion(env: string, name: string): number {
    return this.active(env, name)?.record.version ?? 0;
  }

  #mismatch(env: string, name: string, ifMatch: string | undefined) {
    const activeVersion = this.#activeVersion(env, name);
    if (matches(ifMatch, activeVersion)) return null;
    return { ok: false, reason: "version_mismatch", activeVersion } as const;
  }

  async #publish(draft: Draft, actor: string): Promise<WriteResult> {
    const result = this.#write(draft, actor);
    if (result.ok) await this.#journal.publish();
    return result;
  }

  /** Synchronous, so nothing can change between what it reads and what it writes. */
  #write({ env, name, policy, facts, digest, action, reason, origin }: Draft, actor: string): WriteResult {
    const version = this.#lastVersion(env, name) + 1;
    const record: RouteRecord = { env, name, version, created_at: new Date().toISOString(), actor, policy, facts };
    const text = JSON.stringify(record);
    const entry = JSON.stringify(indexEntry(record));
    const index = this.#index(env, name, entry);
    if (byteLength(text) > MAX_VALUE_BYTES) return { ok: false, reason: "policy_too_large" };
    if (byteLength(index) > MAX_VALUE_BYTES) return { ok: false, reason: "environment_full" };
    const named = namedRoutes(this.#entries(env));
    const others = named.filter((each) => each.name !== name);
    const taken = takenAlias({ name, aliases: policy.aliases }, others);
    if (taken !== null) return { ok: false, reason: "alias_taken", ...taken };
    const active = this.active(env, name);
    const before = active === null ? null : this.#digest(env, name, active.record.version);
    const object = `route ${env}/${name}@${version}`;
    const documents = [active?.record.policy ?? null, policy] as const;
    const change = { actor, action, object, before, after: digest, reason, detail: origin, documents };
    this.#journal.commit(change, (seq) => {
      const insert = "INSERT INTO route_version (seq, env, name, version, record, digest) VALUES (?, ?, ?, ?, ?, ?)";
      this.#sql.exec(insert, seq, env, name, version, text, digest);
      const activate = "INSERT OR REPLACE INTO route_active (env, name, seq, index_entry) VALUES (?, ?, ?, ?)";
      this.#sql.exec(activate, env, name, seq, entry);
      this.#publication.add(routeKey(env, name, version), text, seq);
      this.#publication.add(routeKey(env, name), text, seq);
      this.#publication.add(routeIndexKey(env), index, seq);
      this.#publishAliases(env, named, [...others, { name, aliases: policy.aliases }], seq);
    });
    const shown = origin === undefined ? null : { ...origin, reason: reason ?? null };
    return { ok: true, route: { record, active: true, origin: shown } };
  }

  /** Sends all versions of active routes, and what is read of an environment as a whole, to KV again. */
  republish(seq: number): void {
    const active = this.#sql.exec<{ env: string; name: string; seq: number }>(
      "SELECT env, name, seq FROM route_active",
    );
    for (const { env, name, seq: activeSeq } of active.toArray()) {
      const query = "SELECT seq, version, record FROM route_version WHERE env = ? AND name = ?";
      const versions = this.#sql.exec<{ seq: number; version: number; record: string }>(query, env, name).toArray();
      for (const { seq: own, version, record } of versions) {
        this.#publication.add(routeKey(env, name, version), record, seq);
        if (own === activeSeq) this.#publication.add(routeKey(env, name), record, seq);
      }
      const entries = this.#entries(env);
      this.#publication.add(routeIndexKey(env), `[${[...entries.values()].join(",")}]`, seq);
      this.#publishAliases(env, [], namedRoutes(entries), seq);
    }
  }

  /** 0 when the route never existed. */
  #lastVersion(env: string, name: string): number {
    const query = "SELECT coalesce(max(version), 0) AS version FROM route_version WHERE env = ? AND name = ?";
    return this.#sql.exec<{ version: number }>(query, env, name).one().version;
  }

  #digest(env: string, name: string, version: number): string {
    const query = "SELECT digest FROM route_version WHERE env = ? AND name = ? AND version = ?";
    return this.#sql.exec<{ digest: string }>(query, env, name, version).one().digest;
  }

  /** The `RouteIndex` of an environment as JSON, with `entry` in the place of `name`; `null`: without it. */
  #index(env: string, name: string, entry: string | null): string {
    const entries = this.#entries(env);
    if (entry !== null) entries.set(name, entry);
    else entries.delete(name);
    return `[${[...entries.values()].join(",")}]`;
  }

  /** Index entries of the active routes of an environment, as JSON, by name. */
  #entries(env: string): Map<string, string> {
    const query = "SELECT name, index_entry FROM route_active WHERE env = ? ORDER BY name";
    const rows = this.#sql.exec<{ name: string; index_entry: string }>(query, env).toArray();
    return new Map(rows.map(({ name, index_entry }) => [name, index_entry]));
  }

  /** Most changes leave the aliases as they are, and an environment without any has no index of them. */
  #publishAliases(env: string, before: readonly NamedRoute[], after: readonly NamedRoute[], seq: number): void {
    const text = JSON.stringify(aliasIndex(after));
    if (text !== JSON.stringify(aliasIndex(before))) this.#publication.add(aliasIndexKey(env), text, seq);
  }
}

function namedRoutes(entries: ReadonlyMap<string, string>): NamedRoute[] {
  return [...entries].map(([name, text]) => ({ name, aliases: (parseJson(text) as RouteIndex[number]).aliases ?? [] }));
}

function digestOfVersion(policy: RoutePolicy, facts: readonly ModelFacts[]): Promise<string> {
  return digestOf(JSON.stringify([policy, facts]));
}
