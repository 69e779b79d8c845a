/**
 * Where things stand in JSON that somebody is still typing: no parser takes it, so it is read token by token, and what
 * is missing is left out. One pass, in time that grows with the text.
 */
import { parseJson } from "../../../lib/json.ts";

export type Path = readonly (string | number)[];

/** What may stand at the caret, and the part of it that is typed already. */
export interface Context {
  /** The object or the array around the caret, or the value itself. */
  readonly path: Path;
  readonly expects: "key" | "value";
  /** Typed so far, without quotes. */
  readonly prefix: string;
  /** What a proposal replaces. */
  readonly from: number;
  readonly to: number;
}

interface Level {
  readonly isArray: boolean;
  readonly path: Path;
  readonly keys: Set<string>;
  key: string | null;
  index: number;
  expects: "key" | "colon" | "value" | "comma";
}

export interface Outline {
  /** Offset of each member's name or element's first character, by its path as `pathText` writes it. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Texts of members that are strings, by path. */
  readonly strings: ReadonlyMap<string, string>;
  /** Names of the members of each object, by path. */
  readonly members: ReadonlyMap<string, ReadonlySet<string>>;
  readonly context: Context | null;
}

/** As the control plane names a place: `targets[0].model`. */
export function pathText(path: Path): string {
  return path.map((each, at) => (typeof each === "number" ? `[${each}]` : at === 0 ? each : `.${each}`)).join("");
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[[\]{}:,]|[^\s[\]{}:,"]+/g;

const NAME_END = /^[\w./:@-]*"$/;

const textOf = (token: string): string => {
  try {
    return String(parseJson(token));
  } catch {
    return token.replace(/^"|"$/g, "");
  }
};

/** Reads `text`; `caret` is where proposals are wanted, -1: nowhere. */
export function outline(text: string, caret = -1): Outline {
  const offsets = new Map<string, number>();
  const strings = new Map<string, string>();
  const members = new Map<string, Set<string>>();
  const stack: Level[] = [];
  let context: Context | null = null;
  let isSettled = caret < 0;

  const here = (): Path => {
    const top = stack.at(-1);
    if (top === undefined) return [];
    return [...top.path, top.isArray ? top.index : (top.key ?? "")];
  };
  const settle = (from: number, to: number, prefix: string): void => {
    isSettled = true;
    const top = stack.at(-1);
    if (top === undefined || top.expects === "colon" || top.expects === "comma") return;
    const expects = top.expects;
    context = { path: expects === "key" ? top.path : here(), expects, prefix, from, to };
  };
  const valueEnds = (): void => {
    const top = stack.at(-1);
    if (top !== undefined) top.expects = "comma";
  };
  const opens = (isArray: boolean, at: number): void => {
    const path = here();
    if (stack.at(-1)?.isArray === true) offsets.set(pathText(path), at);
    const keys = new Set<string>();
    if (!isArray) members.set(pathText(path), keys);
    stack.push({ isArray, path, keys, key: null, index: 0, expects: isArray ? "value" : "key" });
  };

  for (const match of text.matchAll(TOKEN)) {
    const [token] = match;
    const start = match.index;
    const end = start + token.length;
    const isString = token.startsWith('"');
    const isWhole = isString && token.length > 1 && token.endsWith('"');
    const isWord = isString || !"[]{}:,".includes(token);
    if (!isSettled && isWord && start < caret && (caret < end || (caret === end && !isWhole))) {
      // A quote that is not closed yet is closed by the next one on the line: what lies between is not part of a name.
      const isOne = isWhole ? NAME_END.test(text.slice(caret, end)) : !isString;
      settle(start, isOne ? end : caret, text.slice(start + (isString ? 1 : 0), caret));
    }
    if (!isSettled && start >= caret) settle(caret, caret, "");
    const top = stack.at(-1);
    if (token === "{" || token === "[") opens(token === "[", start);
    else if (token === "}" || token === "]") {
      stack.pop();
      valueEnds();
    } else if (token === ":") {
      if (top !== undefined) top.expects = "value";
    } else if (token === ",") {
      if (top === undefined) continue;
      top.index += top.isArray ? 1 : 0;
      top.expects = top.isArray ? "value" : "key";
    } else if (top !== undefined && !top.isArray && top.expects === "key") {
      top.key = textOf(token);
      top.keys.add(top.key);
      top.expects = "colon";
      offsets.set(pathText(here()), start);
    } else {
      if (top?.isArray === true) offsets.set(pathText(here()), start);
      if (isString) strings.set(pathText(here()), textOf(token));
      valueEnds();
    }
  }
  if (!isSettled) settle(caret, caret, "");
  return { offsets, strings, members, context };
}

/** Line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}
