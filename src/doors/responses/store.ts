/** What a response keeps for the next one, and what a request takes from earlier ones. */
import { type Env, settingsOf } from "../../config.ts";
import type { Json } from "../../conversation/part.ts";
import {
  type Owner,
  type Reader,
  readConversation,
  readItems,
  storeResponse,
} from "../../conversation-store/client.ts";
import { RouterError } from "../../http/errors.ts";
import type { RoutePolicy } from "../../policy/schema.ts";
import type { KeepAnswer, Kept } from "../../relay/types.ts";
import { referencesOf, withResolved } from "../../wires/openai-responses/references.ts";

export interface ResolvedFields {
  readonly fields: Json;
  /** The items that this request brought itself, references resolved: what is kept of it. */
  readonly own: readonly Json[];
  readonly previousId: string | null;
  /** The items of the conversation before, and those that are referred to, by id. */
  readonly earlier: readonly Json[];
  readonly items: ReadonlyMap<string, Json>;
}

/**
 * The request with everything in it that it refers to, for the same key and secret. Throws 404 where any of it is not
 * there, and leaves the references where nothing is stored: the wire refuses them.
 */
export async function resolveReferences(fields: Json, env: Env, owner: Reader): Promise<ResolvedFields> {
  const { previousResponseId: previousId, itemIds } = referencesOf(fields);
  if ((previousId === undefined && itemIds.length === 0) || !settingsOf(env).storesResponses) {
    return { fields, own: itemsOf(fields), previousId: null, earlier: [], items: new Map() };
  }
  const before = previousId === undefined ? null : await readConversation(env.CONVERSATION_STORE, owner, previousId);
  if (before?.ok === false) throw notThere(before.reason, "previous_response_id");
  const earlier = before?.items ?? [];
  // Most references are to items of the conversation that is there already.
  const known = new Map(earlier.flatMap((item) => (typeof item["id"] === "string" ? [[item["id"], item]] : [])));
  const missing = itemIds.filter((id) => !known.has(id));
  const found = await readItems(env.CONVERSATION_STORE, owner, missing);
  if (!found.ok) throw notThere(found.reason, "input");
  const items = new Map([...known, ...found.items]);
  const resolved = withResolved(fields, earlier, items);
  const own = itemsOf(resolved).slice(earlier.length);
  return { fields: resolved, own, previousId: previousId ?? null, earlier, items };
}

function itemsOf({ input }: Json): readonly Json[] {
  if (typeof input === "string")
    return [{ type: "message", role: "user", content: [{ type: "input_text", text: input }] }];
  return Array.isArray(input) ? (input as readonly Json[]) : [];
}

function notThere(reason: "not_found" | "too_large", param: string): RouterError {
  if (reason === "too_large") {
    const message = "The stored conversation is above 16 MiB or 1,000 responses. Begin a new one with a summary of it.";
    return new RouterError("request_too_large", message, { param });
  }
  const what = param === "input" ? "An item that `input` refers to" : "The response that `previous_response_id` names";
  const message = `${what} is not stored for this API key: it is unknown, has expired or was not stored. Send the whole input.`;
  return new RouterError("response_not_found", message, { param });
}

const NOT_KEPT: Kept = { members: { store: false }, flow: { stored: false } };
const KEPT: Kept = { members: {}, flow: {} };

export interface KeepInput extends Pick<ResolvedFields, "own" | "previousId"> {
  readonly env: Env;
  readonly owner: Owner;
}

/** What keeps the answers of a request that does not forbid it. What is not kept says so. */
export function keeper({ env, owner, own, previousId }: KeepInput, { responses }: RoutePolicy): KeepAnswer {
  return async (response) => {
    const { id } = response;
    if (!mayKeep(env, responses) || typeof id !== "string") return NOT_KEPT;
    const ttlMs = responses.ttl_seconds * 1000;
    const kept = { id, previousId, ttlMs, input: own, response };
    return (await storeResponse(env.CONVERSATION_STORE, owner, kept)) ? KEPT : NOT_KEPT;
  };
}

export function mayKeep(env: Env, { store }: RoutePolicy["responses"]): boolean {
  return store && settingsOf(env).storesResponses;
}
