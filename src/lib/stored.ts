/**
 * Records that some release of this code has written: read by one that may be older or newer.
 *
 * What operators send is checked strictly, because a typo must not go live. What is stored was checked when it came, so
 * members that this release does not know are left out here, and so are values of an enum that it does not know where
 * the member has a default or may be absent. What is left must still be a whole record: a budget whose period is
 * unknown is unreadable, not unlimited. Of what the catalogue says of a model (`facts`), whatever is not understood is
 * left out: there, an absent member is unknown.
 */
import type * as z from "zod/mini";
import { isJsonObject, tryParseJson } from "./json.ts";
import { log } from "./log.ts";
import { Pace } from "./time/pace.ts";

const FACTS = "facts";
/** Each round removes at least one member. A record with more that is unknown is none of ours. */
const MAX_ROUNDS = 32;

/** An unreadable record is read again at every request. */
const unreadable = new Pace(1_000);

/**
 * The record in `text`, the JSON under `name` in KV. Throws for what is no such record, and says so in the log, at most
 * once a second and name: where an older copy is still in use, no request fails and nothing else would show it.
 */
export function parseStored<Schema extends z.ZodMiniType>(
  schema: Schema,
  text: string,
  name: string,
): z.output<Schema> {
  try {
    return readStored(schema, tryParseJson(text));
  } catch (error) {
    if (unreadable.allows(name, Date.now())) log({ event: "record_unreadable", name });
    throw error;
  }
}

/** The same for a value that is parsed already, without a word in the log. `value` may be changed. */
export function readStored<Schema extends z.ZodMiniType>(schema: Schema, value: unknown): z.output<Schema> {
  for (let round = 0; ; round++) {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    // From the end, so that what is removed from a list moves nothing that another issue names.
    const wasChanged = parsed.error.issues
      .toReversed()
      .map((issue) => removeUnknown(value, issue))
      .includes(true);
    if (!wasChanged || round === MAX_ROUNDS) throw new TypeError("A stored record cannot be read.");
  }
}

/** Takes out of `value` what `issue` does not know. False where it is about something else. */
function removeUnknown(value: unknown, issue: z.core.$ZodIssue): boolean {
  switch (issue.code) {
    case "unrecognized_keys": {
      const parent = valueAt(value, issue.path);
      if (!isJsonObject(parent)) return false;
      for (const key of issue.keys) delete parent[key];
      return true;
    }
    case "invalid_value":
    case "invalid_key":
      return removeAt(value, issue.path);
    default:
      return issue.path.includes(FACTS) && removeAt(value, issue.path);
  }
}

function removeAt(value: unknown, path: readonly PropertyKey[]): boolean {
  const last = path.at(-1);
  const parent = valueAt(value, path.slice(0, -1));
  if (last === undefined) return false;
  if (Array.isArray(parent) && typeof last === "number") {
    parent.splice(last, 1);
    return true;
  }
  if (!isJsonObject(parent) || typeof last !== "string" || !Object.hasOwn(parent, last)) return false;
  delete parent[last];
  return true;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value;
  for (const part of path) {
    if (Array.isArray(found) && typeof part === "number") found = found[part];
    else if (isJsonObject(found) && typeof part === "string" && Object.hasOwn(found, part)) found = found[part];
    else return undefined;
  }
  return found;
}
