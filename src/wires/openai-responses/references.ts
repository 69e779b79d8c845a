/**
 * What a request takes from earlier responses: the one it goes on from, and single items by id.
 *
 * The caller looks them up, since that takes I/O, and puts them in with `withResolved`. `readRequest` then sees a
 * request that holds everything itself.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import { editElements } from "../../lib/json-spans.ts";
import { textOf } from "./items.ts";

export interface References {
  readonly previousResponseId: string | undefined;
  /** In their order, each once. */
  readonly itemIds: readonly string[];
}

export function referencesOf(fields: Json): References {
  const { input } = fields;
  const ids = (Array.isArray(input) ? input : []).flatMap((item) => referenceOf(item) ?? []);
  return { previousResponseId: textOf(fields["previous_response_id"]), itemIds: [...new Set(ids)] };
}

/** The id that an item refers to; `undefined` for an item that is one itself. */
function referenceOf(item: unknown): string | undefined {
  if (!isJsonObject(item)) return undefined;
  const { type, id, role, content } = item;
  const isBare = (type === undefined || type === null) && role === undefined && content === undefined;
  return type === "item_reference" || isBare ? textOf(id) : undefined;
}

/**
 * The request with everything it refers to. `before`: the items of the conversation up to and with the previous
 * response, in order; `items`: those referred to by id. A reference that is not among them stays as it is.
 */
export function withResolved(fields: Json, before: readonly Json[], items: ReadonlyMap<string, Json>): Json {
  const { previous_response_id: _, input, ...rest } = fields;
  const own = typeof input === "string" ? [{ role: "user", content: input }] : Array.isArray(input) ? input : [];
  const resolved = own.map((item) => items.get(referenceOf(item) ?? "") ?? item);
  return { ...rest, input: before.length === 0 && typeof input === "string" ? input : [...before, ...resolved] };
}

/** The same as text: items that are the client's own keep every byte. `text`: of which `fields` were parsed. */
export function withResolvedText(
  text: string,
  fields: Json,
  before: readonly Json[],
  items: ReadonlyMap<string, Json>,
): string {
  const { input } = fields;
  const edit = new JsonEdit(text).remove("previous_response_id");
  const raw = edit.raw("input") ?? "[]";
  const own = Array.isArray(input) && items.size > 0 ? withItems(raw, input, items) : raw;
  const list = own.startsWith("[") ? own : `[{"role":"user","content":${own}}]`;
  const earlier = before.map((item) => JSON.stringify(item)).join(",");
  if (earlier !== "") edit.setRaw("input", `[${earlier}${/^\[\s*\]$/.test(list) ? "]" : `,${list.slice(1)}`}`);
  else if (own !== raw || input === undefined) edit.setRaw("input", own);
  return edit.toString();
}

function withItems(raw: string, input: readonly unknown[], items: ReadonlyMap<string, Json>): string {
  return editElements(raw, (_, at) => {
    const item = items.get(referenceOf(input[at]) ?? "");
    return item === undefined ? undefined : JSON.stringify(item);
  });
}
