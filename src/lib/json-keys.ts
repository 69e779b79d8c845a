/**
 * Keys that two readers of one JSON text may understand differently.
 *
 * Some parsers take the first of two equal keys and some the last, and some match names without regard to case: Go's
 * `encoding/json` compares under Unicode simple case folding (https://pkg.go.dev/encoding/json#Unmarshal). Where the
 * router acts on a key, such a text must not reach an upstream, because the upstream may act on the other value.
 */
import { isJsonObject, type JsonShape, scanArray, scanJson, tryParseJson } from "./json.ts";

/** The keys that are read of one object, and of the objects inside it. */
export interface KeyLevel {
  readonly keys: ReadonlySet<string>;
  /** The same keys, folded. */
  readonly folded: ReadonlySet<string>;
  /** Length of the longest key: folding an ASCII letter never changes its length. */
  readonly longest: number;
  /** By key: the level of the object under it, or of every object in the array under it. */
  readonly inside: ReadonlyMap<string, KeyLevel>;
  /** No object anywhere below a read key may have a duplicate key. */
  readonly isStrict: boolean;
}

/** `keys` have to be ASCII. Those of `inside` are read too. */
export function keyLevel(
  keys: readonly string[],
  inside: Readonly<Record<string, KeyLevel>> = {},
  isStrict = false,
): KeyLevel {
  const all = [...keys, ...Object.keys(inside)];
  return {
    keys: new Set(all),
    folded: new Set(all.map(foldKey)),
    longest: Math.max(0, ...all.map(({ length }) => length)),
    inside: new Map(Object.entries(inside)),
    isStrict,
  };
}

/**
 * Unicode simple case folding, as far as the result can be ASCII: besides the capitals these are the Kelvin sign, which
 * `toLowerCase` knows, and the long s, which it does not (https://www.unicode.org/Public/UCD/latest/ucd/CaseFolding.txt).
 */
function foldKey(key: string): string {
  return key.toLowerCase().replaceAll("ſ", "s");
}

/** A key at fault. `path` is in the client's spelling: `messages[0].Role`. */
export interface ConfusedKey {
  readonly path: string;
  /** `case`: the key differs from one that is read only in case. */
  readonly kind: "duplicate" | "case";
}

/**
 * The first key of `text` that another reader may take for one that is read; `null` where there is none. `value` is the
 * parsed text and `shape` its scan. Costs one look at each key that is read, unless the text has duplicate keys.
 */
export function confusedKey(text: string, value: unknown, shape: JsonShape, level: KeyLevel): ConfusedKey | null {
  const path = caseVariant(value, level, "");
  if (path !== null) return { path, kind: "case" };
  if (countMembers(value) === shape.memberCount) return null;
  const duplicate = duplicateKey(text, level, "");
  return duplicate === null ? null : { path: duplicate, kind: "duplicate" };
}

function caseVariant(value: unknown, level: KeyLevel, path: string): string | null {
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      if (!isJsonObject(value[at])) continue;
      const found = caseVariant(value[at], level, `${path}[${at}]`);
      if (found !== null) return found;
    }
    return null;
  }
  if (!isJsonObject(value)) return null;
  for (const key in value) {
    if (level.keys.has(key)) {
      const next = level.inside.get(key);
      const found = next === undefined ? null : caseVariant(value[key], next, join(path, key));
      if (found !== null) return found;
    } else if (key.length <= level.longest && level.folded.has(foldKey(key))) return join(path, key);
  }
  return null;
}

/** `text`: a JSON value without white space around it. */
function duplicateKey(text: string, level: KeyLevel, path: string): string | null {
  if (text.startsWith("[")) {
    for (const [at, { start, end }] of scanArray(text, 0).entries()) {
      const element = text.slice(start, end);
      const found = element.startsWith("{") ? duplicateKey(element, level, `${path}[${at}]`) : null;
      if (found !== null) return found;
    }
    return null;
  }
  const seen = new Set<string>();
  for (const { key, valueStart, valueEnd } of scanJson(text).members) {
    if (!level.keys.has(key)) continue;
    if (seen.has(key)) return join(path, key);
    seen.add(key);
    const raw = text.slice(valueStart, valueEnd);
    const next = level.inside.get(key);
    const found = next === undefined ? null : duplicateKey(raw, next, join(path, key));
    if (found !== null) return found;
    if (level.isStrict && countMembers(tryParseJson(raw)) !== scanJson(raw).memberCount) return join(path, key);
  }
  return null;
}

const join = (path: string, key: string): string => (path === "" ? key : `${path}.${key}`);

/** As `JsonShape.memberCount`, where of equal keys one is left. Spelled out: this runs for every request. */
export function countMembers(value: unknown): number {
  let count = 0;
  if (Array.isArray(value)) {
    for (const each of value) if (typeof each === "object") count += countMembers(each);
  } else if (isJsonObject(value)) {
    for (const key in value) count += typeof value[key] === "object" ? 1 + countMembers(value[key]) : 1;
  }
  return count;
}
