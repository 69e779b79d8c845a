/** Query parameters of endpoints that filter: a name or a value nobody knows is refused, never ignored. */
import type { Context } from "hono";
import type { AdminEnv } from "../admin/authorize.ts";
import { RouterError } from "./errors.ts";

/** The parameters of a request, each once and by a name of `names`. Throws 400 for all else. */
export function readQuery<Name extends string>(
  c: Context<AdminEnv>,
  names: readonly Name[],
): { readonly [Parameter in Name]?: string } {
  const found = new Map<string, string>();
  for (const [name, value] of new URL(c.req.url).searchParams) {
    if (!names.some((known) => known === name)) {
      const message = `The parameter is not known here. Use ${names.map((known) => `\`${known}\``).join(", ")}.`;
      throw new RouterError("invalid_request", message, { param: name.slice(0, 200) });
    }
    if (found.has(name)) throw badParameter(name, "must be given once");
    found.set(name, value);
  }
  // The keys were just checked to be of `names`.
  return Object.fromEntries(found) as { readonly [Parameter in Name]?: string };
}

/** Gives `value` back when it matches. Throws 400 that says what it `must` be. */
export function matching(name: string, value: string | undefined, pattern: RegExp, must: string): string | undefined {
  if (value === undefined || pattern.test(value)) return value;
  throw badParameter(name, must);
}

/** The same for `key`, the id of a key. */
export function matchingKey(value: string | undefined): string | undefined {
  return matching("key", value, /^[0-9A-Za-z]{12}$/, "must be the id of a key");
}

/** Gives `value` back when it is one of `values`. Throws 400 that lists them. */
export function oneOf<Value extends string>(
  name: string,
  value: string | undefined,
  values: readonly Value[],
): Value | undefined {
  if (value === undefined) return undefined;
  const known = values.find((each) => each === value);
  if (known !== undefined) return known;
  throw badParameter(name, `must be one of ${values.join(", ")}`);
}

export function badParameter(name: string, must: string): RouterError {
  return new RouterError("invalid_request", `\`${name}\` ${must}.`, { param: name });
}
