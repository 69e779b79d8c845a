/**
 * Members of a body that are not read here: the approval gate lets nothing unread reach a provider, and a member whose
 * cost is unknown is not sent on a request whose cost is bounded.
 *
 * An allow-list, as a tree of the members that are read. Where a member has no tree, whatever is in it is the client's
 * own: a schema, arguments.
 */
import type { Json } from "../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../lib/json.ts";
import { editElements } from "../lib/json-spans.ts";

/** What is known of one object, or of every object in a list. */
export type Known = KnownMembers | ((value: Json) => KnownMembers | null);

/** By name: what is known below; `null`: anything. */
export interface KnownMembers {
  readonly [name: string]: Known | null;
}

/** `names`: with anything below. */
export function members(names: readonly string[], below: KnownMembers = {}): KnownMembers {
  return { ...Object.fromEntries(names.map((name) => [name, null])), ...below };
}

/** Paths of the members of `value` that are not known. `onlySaid`: a `null` asks for nothing and is not among them. */
export function unreadMembers(value: unknown, known: Known, path = "", onlySaid = false): readonly string[] {
  const found: string[] = [];
  visit(value, known, path, found, onlySaid);
  return found;
}

function visit(value: unknown, known: Known, path: string, found: string[], onlySaid: boolean): void {
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) visit(value[at], known, `${path}[${at}]`, found, onlySaid);
    return;
  }
  const tree = treeOf(value, known);
  if (tree === null) return;
  for (const [name, below] of Object.entries(value as Json)) {
    const place = path === "" ? name : `${path}.${name}`;
    if (!Object.hasOwn(tree, name)) {
      if (!onlySaid || below !== null) found.push(place);
    } else if (tree[name] !== null && tree[name] !== undefined && typeof below === "object") {
      visit(below, tree[name], place, found, onlySaid);
    }
  }
}

function treeOf(value: unknown, known: Known): KnownMembers | null {
  if (!isJsonObject(value)) return null;
  return typeof known === "function" ? known(value) : known;
}

/** `text`, of which `value` was parsed, without those members; every other byte stays. */
export function withoutUnread(text: string, value: unknown, known: Known): string {
  if (Array.isArray(value)) {
    return editElements(text, (element, at) =>
      typeof value[at] === "object" && value[at] !== null ? withoutUnread(element, value[at], known) : undefined,
    );
  }
  const tree = treeOf(value, known);
  if (tree === null) return text;
  const edit = new JsonEdit(text);
  for (const [name, below] of Object.entries(value as Json)) {
    const next = Object.hasOwn(tree, name) ? tree[name] : undefined;
    if (next === undefined) edit.remove(name);
    else if (next !== null && typeof below === "object" && below !== null) {
      const raw = edit.raw(name);
      if (raw !== undefined) edit.setRaw(name, withoutUnread(raw, below, next));
    }
  }
  return edit.toString();
}
