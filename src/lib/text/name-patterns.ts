/** The spellings of names that appear in headers, keys and paths. One place, because each is a security boundary. */

/** Environments: also a part of every API key, so no underscore and no dot. */
export const ENV_NAME = /^[a-z][a-z0-9-]{0,30}$/;
/** Apps and routes. */
export const RESOURCE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** A URL path reads these as "here" and "one up", however they are encoded: never a name in a path. */
export function isDotSegment(text: string): boolean {
  return text === "." || text === "..";
}
