/**
 * Aliases: model names by which clients that cannot write `flow/<route>` reach a route, behind every door. An exact name,
 * or the beginning of one with a `*` behind it.
 *
 * KV: `aliases:<env>` the `AliasIndex` of an environment, written by the control plane with each change of one.
 */
import * as z from "zod/mini";

export const MAX_ALIASES = 32;
const ALIAS = /^[!-)+-~]{0,255}(?:[!-)+-~]|\*)$/;
const RESERVED = /^(?:flow\/|anthropic\/flow-)/;

export const Alias = z.string().check(
  z.regex(ALIAS, "must be a model name of at most 256 printable characters, or its beginning and one `*`"),
  z.refine((alias) => !RESERVED.test(alias), "must not begin with `flow/` or `anthropic/flow-`"),
);

/** Alias to the name of its route. */
export const AliasIndex = z.record(z.string(), z.string());
export type AliasIndex = z.infer<typeof AliasIndex>;

export const aliasIndexKey = (env: string): string => `aliases:${env}`;

/** The route of the alias that is exactly `model`. */
export function exactAlias(index: AliasIndex, model: string): string | undefined {
  // A model may be called like a member of every object; a pattern is no name.
  return model.endsWith("*") || !Object.hasOwn(index, model) ? undefined : index[model];
}

/** The route of the longest alias pattern that `model` matches. */
export function patternAlias(index: AliasIndex, model: string): string | undefined {
  let longest = "";
  for (const alias of Object.keys(index)) {
    const isMatch = alias.endsWith("*") && model.startsWith(alias.slice(0, -1));
    if (isMatch && alias.length > longest.length) longest = alias;
  }
  return longest === "" ? undefined : index[longest];
}

/** A route of an environment, as far as its names matter. */
export interface NamedRoute {
  readonly name: string;
  readonly aliases: readonly string[];
}

/** An alias and the route that has it, or has its text for a name. */
export interface TakenAlias {
  readonly alias: string;
  readonly route: string;
}

/**
 * The first alias that two routes would share if `candidate` were published next to `others`; `null` where there is
 * none. An alias equals no route's name, its own included, and a new route takes no name that is an alias.
 */
export function takenAlias(candidate: NamedRoute, others: Iterable<NamedRoute>): TakenAlias | null {
  const own = new Set(candidate.aliases);
  if (own.has(candidate.name)) return { alias: candidate.name, route: candidate.name };
  for (const { name, aliases } of others) {
    if (own.has(name)) return { alias: name, route: name };
    const shared = aliases.find((alias) => alias === candidate.name || own.has(alias));
    if (shared !== undefined) return { alias: shared, route: name };
  }
  return null;
}

/** The index of an environment with these routes. */
export function aliasIndex(routes: Iterable<NamedRoute>): AliasIndex {
  const index = new Map<string, string>();
  for (const { name, aliases } of routes) for (const alias of aliases) index.set(alias, name);
  return Object.fromEntries([...index].sort(([a], [b]) => (a < b ? -1 : 1)));
}
