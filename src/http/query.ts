/** Query parameters, under `/v1` as under `/admin`: an unknown name or a bad value is refused, never ignored. */
import { RouterError } from "./errors.ts";
import { readLimit, readRowCursor } from "./pagination.ts";

/** The part of Hono's context that is read here. */
interface QueryContext {
  readonly req: { readonly url: string };
}

/** The parameters of a request, each once and by a name of `names`. Throws 400 for all else. */
export function readQuery<Name extends string>(
  c: QueryContext,
  names: readonly Name[],
): { readonly [Parameter in Name]?: string } {
  const found = new Map<string, string>();
  for (const [name, value] of new URL(c.req.url).searchParams) {
    if (!names.some((each) => each === name)) {
      const known = names.map((each) => `\`${each}\``).join(", ");
      const message = `Unknown query parameter. ${known === "" ? "None is taken here" : `Use ${known}`}.`;
      throw new RouterError("invalid_request", message, { param: name.slice(0, 200) });
    }
    if (found.has(name)) throw badParameter(name, "must be given once");
    found.set(name, value);
  }
  // The keys were just checked to be of `names`.
  return Object.fromEntries(found) as { readonly [Parameter in Name]?: string };
}

/** For a call that takes no query. */
export function refuseQuery(c: QueryContext): void {
  readQuery(c, []);
}

export interface ListParameters {
  readonly limit: number;
  /** The control plane's cursor: only rows before this number are wanted. */
  readonly before: number | null;
}

/** `limit` and `cursor` of a list call that has the `filters` besides. Throws 400 for anything that is not one of ours. */
export function listParameters(c: QueryContext, filters: readonly string[] = []): ListParameters {
  const { limit: text, cursor } = readQuery(c, ["limit", "cursor", ...filters]);
  return { limit: readLimit(text), before: readRowCursor(cursor) };
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
