/**
 * Rows of the control plane's tables, and the documents they are made from and turned into.
 *
 * Pure except for digests. The columns `record` hold JSON that only the control plane writes, from values that were
 * checked at the admin door, by this release or another one: reading them back is no second check, and policies get the
 * defaults of what their release did not know.
 */
import type { NewSecret } from "../keys/format.ts";
import { sha256, toHex } from "../keys/hash.ts";
import { DEFAULT_SCOPES, type KeyRecord, type KeyRequest } from "../keys/record.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { readStored } from "../lib/stored.ts";
import type { ProviderRecord } from "../policy/provider-record.ts";
import { type RouteIndex, RoutePolicy, type RouteRecord } from "../policy/schema.ts";
import type { OpenTarget } from "./target-health.ts";
import type { AuditEntry, Page, RouteVersion, TargetUse, VersionOrigin } from "./types.ts";

/** A page ends early here: an RPC answer may not pass 32 MiB. */
const MAX_PAGE_CHARACTERS = 4_000_000;

/** `reason` and `detail` are those of the audit line that made the version. */
export type RouteRow = { seq: number; record: string; active: number; reason: string | null; detail: string | null };

export type AuditRow = {
  seq: number;
  at_ms: number;
  actor: string;
  action: string;
  object: string;
  before_digest: string | null;
  after_digest: string | null;
  reason: string | null;
  detail: string | null;
  before_members: string | null;
  after_members: string | null;
};

export function toAuditEntry(row: AuditRow): AuditEntry {
  const { seq, at_ms, actor, action, object, before_digest, after_digest, reason } = row;
  const at = new Date(at_ms).toISOString();
  const [before, after, detail] = [row.before_members, row.after_members, row.detail].map(toObject);
  return {
    ...{ seq, at, actor, action, object, before: before ?? null, after: after ?? null, reason, detail: detail ?? null },
    ...{ before_digest, after_digest },
  };
}

const toObject = (text: string | null): object | null => (text === null ? null : (parseJson(text) as object));

const toOrigin = (detail: string | null): VersionOrigin | null =>
  detail === null ? null : (parseJson(detail) as VersionOrigin);

interface PagedRow {
  readonly seq: number;
  readonly record?: string;
  readonly detail?: string | null;
  readonly before_members?: string | null;
  readonly after_members?: string | null;
}

/** Reads `limit` rows, fewer when they are large, from a cursor asked for one more. */
export function toPage<Row extends PagedRow, T>(rows: Iterable<Row>, limit: number, convert: (row: Row) => T): Page<T> {
  const data: T[] = [];
  let characters = 0;
  let lastSeq = 0;
  for (const row of rows) {
    for (const text of [row.record, row.detail, row.before_members, row.after_members]) characters += text?.length ?? 0;
    const full = data.length === limit || (data.length > 0 && characters > MAX_PAGE_CHARACTERS);
    if (full) return { data, nextCursor: lastSeq };
    data.push(convert(row));
    lastSeq = row.seq;
  }
  return { data, nextCursor: null };
}

/** The record of a key that was never changed, with the defaults of what was not asked for. */
export function newRecord(
  id: string,
  request: KeyRequest,
  { hash, pepperId }: Pick<NewSecret, "hash" | "pepperId">,
  createdAt: number,
): KeyRecord {
  return {
    id,
    name: request.name,
    env: request.env,
    apps: request.apps ?? null,
    routes: request.routes ?? null,
    scopes: request.scopes ?? [...DEFAULT_SCOPES],
    budget: request.budget ?? null,
    limits: request.limits ?? null,
    status: "active",
    created_at: new Date(createdAt).toISOString(),
    expires_at: request.expires_at ?? null,
    version: 1,
    secrets: [{ hash, expires_at: null, pepper_id: pepperId }],
  };
}

/** What the model list of an environment shows of a route. */
export function indexEntry(record: RouteRecord): RouteIndex[number] {
  const { name, version, created_at, policy, facts } = record;
  const targets = policy.targets.map(({ provider, model }, at) => ({ provider, model, facts: facts[at] ?? {} }));
  const { description, aliases, embedding } = policy;
  return {
    ...{ name, version, created_at },
    ...(description === undefined ? {} : { description }),
    // A version that was stored by an earlier release has none.
    ...((aliases ?? []).length === 0 ? {} : { aliases }),
    ...(embedding === undefined ? {} : { embedding }),
    targets,
  };
}

/** The targets of active routes with the routes that name each, and those that are only known to be open. */
export function toTargetUses(
  routes: Iterable<{ readonly env: string; readonly name: string; readonly index_entry: string }>,
  open: readonly OpenTarget[],
): TargetUse[] {
  const uses = new Map<string, { provider: string; model: string; routes: string[] }>();
  const routesOf = (provider: string, model: string): string[] => {
    const target = `${provider}/${model}`;
    const use = uses.get(target) ?? { provider, model, routes: [] };
    uses.set(target, use);
    return use.routes;
  };
  for (const { env, name, index_entry } of routes) {
    const { targets } = parseJson(index_entry) as RouteIndex[number];
    const route = `${env}/${name}`;
    for (const { provider, model } of targets) {
      const named = routesOf(provider, model);
      // A policy may name a target twice, with other parameters.
      if (named.at(-1) !== route) named.push(route);
    }
  }
  for (const { target } of open) {
    const slash = target.indexOf("/");
    routesOf(target.slice(0, slash), target.slice(slash + 1));
  }
  return [...uses.values()];
}

/** `*` asks for any version, "0" for none: a route that must not exist yet. */
export function matches(ifMatch: string | undefined, activeVersion: number): boolean {
  if (ifMatch === undefined) return true;
  return ifMatch === "*" ? activeVersion > 0 : ifMatch === String(activeVersion);
}

export function toRouteVersion(row: RouteRow): RouteVersion {
  const origin = toOrigin(row.detail);
  return {
    record: toRouteRecord(row.record),
    active: row.active === 1,
    origin: origin === null ? null : { ...origin, reason: row.reason },
  };
}

/**
 * A version as it was written, with the defaults of what its release did not know. What a later release has added stays:
 * a rollback writes it again.
 */
export function toRouteRecord(text: string): RouteRecord {
  const record = parseJson(text) as RouteRecord;
  try {
    return { ...record, policy: merge(readStored(RoutePolicy, structuredClone(record.policy)), record.policy) };
  } catch {
    // One version that cannot be read must not hide the others.
    return record;
  }
}

/** `over`, with what only `under` has. Lists count as a whole. */
function merge<T>(under: T, over: unknown): T {
  if (!isJsonObject(under) || !isJsonObject(over)) return over as T;
  const merged = new Map<string, unknown>(Object.entries(under));
  for (const [name, value] of Object.entries(over)) {
    merged.set(name, merged.has(name) ? merge(merged.get(name), value) : value);
  }
  return Object.fromEntries(merged) as T;
}

export const toKeyRecord = (text: string): KeyRecord => parseJson(text) as KeyRecord;

export const toProviderRecord = (text: string): ProviderRecord => parseJson(text) as ProviderRecord;

/** Length in UTF-8, which is what the database and KV count. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).length;

/** The digest of a document for the audit log: SHA-256 of its text, in hex. */
export async function digestOf(text: string): Promise<string> {
  return `sha256:${toHex(await sha256(text))}`;
}
