/**
 * Route policy, and the operators' own providers it may name, as the request path reads them: isolate cache, then KV. KV
 * is a near copy, never the truth.
 *
 * A read that fails, or a value that does not parse, leaves the last good copy in force for as long as the isolate
 * lives. The admin endpoint that changes a route drops its own isolate's copy; the others follow within a minute.
 */
import { IsolateCache } from "../lib/isolate-cache.ts";
import { parseStored } from "../lib/stored.ts";
import { AliasIndex, aliasIndexKey } from "./aliases.ts";
import { DISABLED_KEY, DisabledIndex, NOTHING_DISABLED } from "./disabled.ts";
import { ProviderRecord, providerKey } from "./provider-record.ts";
import { RouteIndex, RouteRecord, routeIndexKey, routeKey } from "./schema.ts";

/** KV's own floor for `cacheTtl`, seconds. */
const KV_CACHE_SECONDS = 30;
const LIMITS = { maxEntries: 2_000, freshMs: 5_000, staleMs: 25_000, keepMs: Number.POSITIVE_INFINITY };

const routes = new IsolateCache<RouteRecord>(LIMITS);
const indexes = new IsolateCache<RouteIndex>(LIMITS);
/** The absence of aliases is kept as well: every bare name looks here first. */
const aliases = new IsolateCache<AliasIndex>(LIMITS);
/** Absence is kept too: a route that names a deleted provider would read KV at every request. */
const providers = new IsolateCache<{ readonly record: ProviderRecord | null }>(LIMITS);

const disabled = new IsolateCache<DisabledIndex>(LIMITS);

export interface ReadContext {
  readonly kv: KVNamespace;
  readonly now: number;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** The active version of a route, or the pinned one; `null` when there is none. Rejects when KV fails cold. */
export function getRoute(
  context: ReadContext,
  env: string,
  name: string,
  version?: number,
): Promise<RouteRecord | null> {
  const key = routeKey(env, name, version);
  const read = async (): Promise<RouteRecord | null> => {
    const text = await context.kv.get(key, { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? null : parseStored(RouteRecord, text, key);
  };
  return routes.get(key, context.now, read, context.waitUntil);
}

/** All routes of an environment; empty when none was published. */
export async function getRouteIndex(context: ReadContext, env: string): Promise<RouteIndex> {
  const key = routeIndexKey(env);
  const read = async (): Promise<RouteIndex | null> => {
    const text = await context.kv.get(key, { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? null : parseStored(RouteIndex, text, key);
  };
  return (await indexes.get(key, context.now, read, context.waitUntil)) ?? [];
}

/** The aliases of an environment with their routes. Rejects when KV fails cold. */
export async function getAliases(context: ReadContext, env: string): Promise<AliasIndex> {
  const key = aliasIndexKey(env);
  const read = async (): Promise<AliasIndex> => {
    const text = await context.kv.get(key, { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? {} : parseStored(AliasIndex, text, key);
  };
  return (await aliases.get(key, context.now, read, context.waitUntil)) ?? {};
}

/** An operator's own provider; `null` when there is none. Rejects when KV fails cold. */
export async function getProvider(context: ReadContext, id: string): Promise<ProviderRecord | null> {
  const key = providerKey(id);
  const read = async () => {
    const text = await context.kv.get(key, { cacheTtl: KV_CACHE_SECONDS });
    return { record: text === null ? null : parseStored(ProviderRecord, text, key) };
  };
  return (await providers.get(key, context.now, read, context.waitUntil))?.record ?? null;
}

/** What operators have taken out of every plan. Rejects when KV fails cold. */
export async function getDisabled(context: ReadContext): Promise<DisabledIndex> {
  const read = async (): Promise<DisabledIndex> => {
    const text = await context.kv.get(DISABLED_KEY, { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? NOTHING_DISABLED : parseStored(DisabledIndex, text, DISABLED_KEY);
  };
  return (await disabled.get(DISABLED_KEY, context.now, read, context.waitUntil)) ?? NOTHING_DISABLED;
}

/** Drops this isolate's copy of what is disabled. */
export function forgetDisabled(): void {
  disabled.delete(DISABLED_KEY);
}

/** Drops this isolate's copy of an operator's own provider. */
export function forgetProvider(id: string): void {
  providers.delete(providerKey(id));
}

/** Drops this isolate's copies of a route and of its environment's lists. */
export function forgetRoute(env: string, name: string): void {
  routes.delete(routeKey(env, name));
  indexes.delete(routeIndexKey(env));
  aliases.delete(aliasIndexKey(env));
}
