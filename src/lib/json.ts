/**
 * JSON text, read and edited without losing a byte.
 *
 * `JSON.parse` rounds 2^53+1, drops the first of two equal keys and forgets key order. The router therefore keeps the
 * client's text, learns where its top-level members stand, and replaces only the spans it must change. This file is
 * the only caller of `JSON.parse`.
 */

/** A text that was not parsed, because of the memory that its objects and arrays would take. */
export class TooMuchJsonError extends SyntaxError {
  constructor() {
    super("The JSON text has too many objects and arrays.");
  }
}

/** Parses `text`. Throws `SyntaxError` on anything that is not exactly one JSON document (a BOM included), or is too much. */
export function parseJson(text: string, maxOpen = MAX_OPEN): unknown {
  if (isTooMuch(text, maxOpen)) throw new TooMuchJsonError();
  return JSON.parse(text);
}

/** Parses `text`, or gives `undefined` where it is not JSON. For bytes of others, where bad JSON is an expected case. */
export function tryParseJson(text: string, maxOpen = MAX_OPEN): unknown {
  try {
    return parseJson(text, maxOpen);
  } catch {
    return undefined;
  }
}

/** Is `text` the JSON of an object? What does not begin like one is not parsed to find out. */
export function isObjectText(text: string): boolean {
  return /^\s*\{/.test(text.slice(0, MAX_INDENT)) && isJsonObject(tryParseJson(text));
}

/** No more white space than that precedes a real object. */
const MAX_INDENT = 1_024;

/**
 * A value where JSON should have a word: a text as it is, a number spelled out, and of what has parts only its kind.
 * `String` would run the `toString` that a client's object brings, and take a list of one text for that text.
 */
export function wordOf(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "array" : "object";
  return String(value);
}

/** Digits or an exponent that a double may not hold. */
const INEXACT = /\d[\d.]{15}|[eE][+-]?\d{3}/;

/** May `parseJson` round a number of `text`? Strings of digits count as well. */
export const mayRound = (text: string): boolean => INEXACT.test(text);

/** Does a parsed value hold a number that had other digits, or may have had, before it was read? */
export function isRounded(value: unknown): boolean {
  if (typeof value === "number") {
    return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value));
  }
  return typeof value === "object" && value !== null && Object.values(value).some(isRounded);
}

/** As `JSON.rawJSON`, which TypeScript's library does not have yet. */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}
const exactJson = JSON as unknown as ExactJson;

/**
 * As `parseJson`, for what is written again by `JSON.stringify` and by nothing else: a number that would be rounded is an
 * object that is written as it was spelled. https://tc39.es/proposal-json-parse-with-source/
 */
export function parseExactJson(text: string): unknown {
  if (isTooMuch(text, MAX_REVIVED)) throw new TooMuchJsonError();
  return exactJson.parse(text, (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
    return String(value) === source || !mayRound(source) ? value : exactJson.rawJSON(source);
  });
}

/** What a shorter text can hold has room in memory. */
const SHORT_LENGTH = 16_384;
/** Parsing keeps some 80 bytes for each open level, and as much for each empty object: 9 MB of `[` took 650 MB. */
const MAX_OPEN = 200_000;
/** A reviver is called from the inside out, on the stack. */
const MAX_REVIVED = 30_000;
const MAX_CONTAINERS = 500_000;

/** Would parsing `text`, which need not be JSON, take memory out of all proportion to its length? */
function isTooMuch(text: string, maxOpen = MAX_OPEN): boolean {
  if (text.length <= SHORT_LENGTH) return false;
  let containers = 0;
  let open = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++containers > MAX_CONTAINERS || ++open > maxOpen) return true;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) open--;
  }
  return false;
}

/** True for a JSON object: not null, not an array. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Writing a value throws where it is nested deeper than the stack, though reading its text did not. No real one is. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== "object" || value === null) return false;
  return depth > MAX_DEPTH || Object.values(value).some((each) => isTooDeep(each, depth + 1));
}

/** More open objects and lists than any real value has. */
export const MAX_DEPTH = 500;

/** One `"key": value` of an object, as offsets into its text. `keyStart` is the opening quote; ends are exclusive. */
export interface JsonMember {
  readonly key: string;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
}

export interface JsonShape {
  /** Members of the outermost object, in order, duplicates included. Empty for anything but an object. */
  readonly members: readonly JsonMember[];
  /** Nesting depth: 1 for `{}`, 0 for a bare value. */
  readonly depth: number;
  /** Number of members of all objects together. */
  readonly memberCount: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Offset just behind the string whose opening quote is at `start`. */
export function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/**
 * Measures `text` and locates the members of its outermost object, in one pass.
 *
 * `text` must already have passed `parseJson`; on other input the offsets mean nothing, but the call still ends.
 */
export function scanJson(text: string): JsonShape {
  const members: JsonMember[] = [];
  let depth = 0;
  let deepest = 0;
  let memberCount = 0;
  let keyStart = -1;
  let keyEnd = -1;
  let valueStart = -1;
  let lastEnd = 0;
  let topIsObject = false;

  const finishMember = (): void => {
    if (valueStart === -1) return;
    const rawKey = text.slice(keyStart + 1, keyEnd - 1);
    // An escaped spelling of a key we read ("mod\u0065l") is that key: every later parser reads it so.
    const key = rawKey.includes("\\") ? String(JSON.parse(text.slice(keyStart, keyEnd))) : rawKey;
    members.push({ key, keyStart, keyEnd, valueStart, valueEnd: lastEnd });
    keyStart = keyEnd = valueStart = -1;
  };

  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) {
      at++;
      continue;
    }
    const top = depth === 1 && topIsObject;
    if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      if (top) finishMember();
      depth--;
      at++;
    } else if (code === COMMA) {
      if (top) finishMember();
      at++;
      continue;
    } else if (code === COLON) {
      memberCount++;
      at++;
      continue;
    } else {
      if (top && keyStart !== -1 && valueStart === -1) valueStart = at;
      if (code === QUOTE) {
        const end = endOfString(text, at);
        if (top && keyStart === -1) {
          keyStart = at;
          keyEnd = end;
        }
        at = end;
      } else {
        if (code === OPEN_BRACE || code === OPEN_BRACKET) {
          depth++;
          if (depth === 1) topIsObject = code === OPEN_BRACE;
          if (depth > deepest) deepest = depth;
        }
        at++;
      }
    }
    lastEnd = at;
  }
  return { members, depth: deepest, memberCount };
}

/** Has `text`, JSON or not, more than `most` elements and members? Lists and objects count as one more. */
export function hasMoreValues(text: string, most: number): boolean {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if ((code === COMMA || code === OPEN_BRACE || code === OPEN_BRACKET) && ++count > most) return true;
  }
  return false;
}

/** The first key that one object of `text` has twice, at whatever depth; `null` when none has. Same precondition. */
export function repeatedKey(text: string): string | null {
  const objects: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === OPEN_BRACE) objects.push(new Set());
    else if (code === CLOSE_BRACE) objects.pop();
    if (code !== QUOTE) continue;
    const end = endOfString(text, at);
    let next = end;
    while (isSpace(text.charCodeAt(next))) next++;
    if (text.charCodeAt(next) === COLON) {
      const key = String(JSON.parse(text.slice(at, end)));
      const seen = objects.at(-1);
      if (seen?.has(key)) return key;
      seen?.add(key);
    }
    at = end - 1;
  }
  return null;
}

/** Offsets of the elements of the array whose `[` is at or behind `start` in `text`. Same precondition as `scanJson`. */
export function scanArray(text: string, start: number): { start: number; end: number }[] {
  const elements: { start: number; end: number }[] = [];
  let depth = 0;
  let from = -1;
  let lastEnd = 0;
  const finish = (): void => {
    if (from !== -1) elements.push({ start: from, end: lastEnd });
    from = -1;
  };
  for (let at = start; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) {
      at++;
      continue;
    }
    if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      if (depth === 1) {
        finish();
        return elements;
      }
      depth--;
      at++;
    } else if (code === COMMA && depth === 1) {
      finish();
      at++;
      continue;
    } else {
      if (depth === 1 && from === -1) from = at;
      if (code === QUOTE) {
        at = endOfString(text, at);
      } else {
        if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
        at++;
      }
    }
    lastEnd = at;
  }
  return elements;
}

/** So few members are searched faster than sorted by their keys. */
const FEW_MEMBERS = 32;

/**
 * Changes to the outermost object of a JSON text. Everything not named stays byte for byte, white space included.
 *
 * A key that occurs twice is changed or removed at every place. `set` on an absent key appends it.
 */
export class JsonEdit {
  readonly #text: string;
  readonly #members: readonly JsonMember[];
  #byKey: ReadonlyMap<string, JsonMember> | undefined;
  readonly #values = new Map<string, string | null>();
  readonly #names = new Map<string, string>();

  constructor(text: string, members: readonly JsonMember[] = scanJson(text).members) {
    this.#text = text;
    this.#members = members;
  }

  /** The raw text of the value now standing under `key`, or `undefined`. Sees earlier edits, not renames. */
  raw(key: string): string | undefined {
    const edited = this.#values.get(key);
    if (edited !== undefined) return edited ?? undefined;
    const member = this.#find(key);
    return member === undefined ? undefined : this.#text.slice(member.valueStart, member.valueEnd);
  }

  has(key: string): boolean {
    return this.raw(key) !== undefined;
  }

  /** The last one of equal keys. A client may send a hundred thousand members, each of which is looked up. */
  #find(key: string): JsonMember | undefined {
    if (this.#members.length <= FEW_MEMBERS) return this.#members.findLast((each) => each.key === key);
    this.#byKey ??= new Map(this.#members.map((each) => [each.key, each]));
    return this.#byKey.get(key);
  }

  /** Puts `json`, itself JSON text, under `key`. */
  setRaw(key: string, json: string): this {
    this.#values.set(key, json);
    return this;
  }

  set(key: string, value: unknown): this {
    return this.setRaw(key, JSON.stringify(value));
  }

  remove(key: string): this {
    this.#values.set(key, null);
    return this;
  }

  /** Gives the member `key` another name, value untouched. No effect where `key` is absent. */
  rename(key: string, name: string): this {
    this.#names.set(key, name);
    return this;
  }

  toString(): string {
    if (this.#values.size === 0 && this.#names.size === 0) return this.#text;
    const text = this.#text;
    const open = text.indexOf("{") + 1;
    const written = new Set<string>();
    let result = text.slice(0, open);
    let empty = true;
    let behind = open;
    for (const member of this.#members) {
      const gap = text.slice(behind, member.keyStart);
      behind = member.valueEnd;
      const value = this.#values.get(member.key);
      written.add(member.key);
      if (value === null) continue;
      result += empty ? gap.replace(",", "") : gap;
      empty = false;
      const name = this.#names.get(member.key);
      result += name === undefined ? text.slice(member.keyStart, member.keyEnd) : JSON.stringify(name);
      result +=
        text.slice(member.keyEnd, member.valueStart) + (value ?? text.slice(member.valueStart, member.valueEnd));
    }
    for (const [key, value] of this.#values) {
      if (value === null || written.has(key)) continue;
      result += `${empty ? "" : ","}${JSON.stringify(this.#names.get(key) ?? key)}:${value}`;
      empty = false;
    }
    return result + text.slice(behind);
  }
}
