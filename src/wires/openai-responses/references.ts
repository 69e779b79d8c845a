/**
 * What a request takes from earlier responses: the one it goes on from, and single items by id.
 *
 * The caller looks them up, since that takes I/O, and puts them in with `withResolved`. `readRequest` then sees a
 * request that holds everything itself.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { disclose, isEnclosed } from "./envelope.ts";
import { isFor, textOf } from "./items.ts";

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
export function referenceOf(item: unknown): string | undefined {
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

/**
 * The items as `provider` takes them on its own wire: what this router enclosed for it is taken out of its envelope, and
 * what it enclosed for another stays out. `null` where nothing has to change, so that the client's bytes may pass.
 */
export function itemsFor(provider: string, items: readonly unknown[]): readonly unknown[] | null {
  const enclosed = items.filter(isEnvelope);
  if (enclosed.length === 0) return null;
  return items.flatMap((item) => (isEnvelope(item) ? (disclosedFor(provider, item) ?? []) : [item]));
}

function isEnvelope(item: unknown): item is Json {
  const content = isJsonObject(item) && item["type"] === "reasoning" ? item["encrypted_content"] : undefined;
  return typeof content === "string" && isEnclosed(content);
}

function disclosedFor(provider: string, item: Json): Json | null {
  const enclosed = disclose(String(item["encrypted_content"]));
  if (enclosed?.of !== "reasoning" || !isFor(enclosed.bound, provider)) return null;
  const { encrypted, id } = enclosed.bound;
  if (encrypted === undefined) return null;
  const { id: _, ...rest } = item;
  // The two belong together: under another id the provider refuses what it encrypted.
  return { ...rest, ...(id === undefined ? {} : { id }), encrypted_content: encrypted };
}
