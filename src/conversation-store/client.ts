/**
 * Stored responses as the rest of the router sees them: texts in, texts out.
 *
 * Encrypts and decrypts in the Worker. Everything may be repeated, so each call is tried once more on a fresh stub. What
 * cannot be found, has expired, belongs to another secret or cannot be opened is `not_found` alike.
 */
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { ConversationStore } from "./conversation-store.ts";
import { inputItemId, responseIdIn } from "./item-ids.ts";
import { type Owner, Seal } from "./seal.ts";
import { type Encrypted, MAX_RESPONSE_BYTES, type Part, type ReadAnswer, type ReadTerms } from "./types.ts";

export { inputItemId } from "./item-ids.ts";
export type { Owner } from "./seal.ts";

type Json = Readonly<Record<string, unknown>>;
type Namespace = DurableObjectNamespace<ConversationStore>;
type Stub = DurableObjectStub<ConversationStore>;

/** The longest that an answer's end is held back while it is stored. */
const STORE_LIMIT_MS = 2_000;
const READ_LIMIT_MS = 5_000;
/** Each is a call of the store. */
const MAX_LISTED_RESPONSES = 32;
/** A character has at least one byte: what is surely too large is not encrypted first. */
const MAX_TEXT_LENGTH = MAX_RESPONSE_BYTES;

export interface StoredResponse {
  readonly id: string;
  /** The items that the request sent, those of earlier responses left out. */
  readonly input: readonly Json[];
  /** The whole `response` object. */
  readonly response: Json;
}

export interface ResponseToKeep extends StoredResponse {
  readonly previousId: string | null;
  readonly ttlMs: number;
}

/** `false`: it is not stored, whatever the reason. Never rejects, and takes 2 s at most. */
export async function storeResponse(namespace: Namespace, owner: Owner, kept: ResponseToKeep): Promise<boolean> {
  const { id, previousId, ttlMs, input, response } = kept;
  try {
    const texts = { input: JSON.stringify(input), response: JSON.stringify(response) };
    if (texts.input.length + texts.response.length > MAX_TEXT_LENGTH) return false;
    const seal = await Seal.of(owner);
    const [sealedInput, sealedResponse] = await Promise.all([
      seal.close(texts.input, placeOf(id, "input")),
      seal.close(texts.response, placeOf(id, "response")),
    ]);
    const row = {
      ...{ id, previousId, ttlMs, mark: seal.mark, input: sealedInput, response: sealedResponse },
      itemIds: idsOf([...input, ...outputOf(response)]),
    };
    const stored = await callWithRetry(STORE_LIMIT_MS, async () => await namespace.getByName(owner.keyId).put(row));
    return stored.ok;
  } catch {
    return false;
  }
}

/** The text of a stored `response` object. `null` where it is not found. Rejects as `readConversation` does. */
export async function readResponse(namespace: Namespace, reader: Reader, id: string): Promise<string | null> {
  return readPart(namespace, reader, id, "response");
}

/** The items that its request sent. `null` where it is not found. Rejects likewise. */
export async function readInput(namespace: Namespace, reader: Reader, id: string): Promise<readonly Json[] | null> {
  const text = await readPart(namespace, reader, id, "input");
  return text === null ? null : objectsOf(tryParseJson(text));
}

async function readPart(namespace: Namespace, reader: Reader, id: string, part: Part): Promise<string | null> {
  const seal = await Seal.of(reader);
  const answer = await bytesOf(namespace, reader, seal, (store, terms) => store.get(id, seal.mark, { ...terms, part }));
  const [found] = answer.ok ? answer.responses : [];
  if (found === undefined) return null;
  return seal.open(found[part], placeOf(id, part)).catch(() => null);
}

export type Conversation =
  | { readonly ok: true; readonly items: readonly Json[] }
  | { readonly ok: false; readonly reason: "not_found" | "too_large" };

/** Who reads for a request. `hold` counts the bytes that come, before they are opened, and throws where they are too many. */
export interface Reader extends Owner {
  readonly hold: (bytes: number) => void;
}

/**
 * The items of a conversation up to and with the response `id`, in order. Rejects with `ledger_unavailable`, and with what
 * `hold` throws.
 */
export async function readConversation(namespace: Namespace, reader: Reader, id: string): Promise<Conversation> {
  const read = await ask(namespace, reader, (store, mark, terms) => store.chain(id, mark, terms));
  if (!read.ok) return read;
  return { ok: true, items: read.responses.flatMap(({ input, response }) => [...input, ...outputOf(response)]) };
}

export type FoundItems =
  | { readonly ok: true; readonly items: ReadonlyMap<string, Json> }
  | { readonly ok: false; readonly reason: "not_found" | "too_large" };

/** Stored items by their ids, all or none. Rejects likewise. */
export async function readItems(namespace: Namespace, reader: Reader, ids: readonly string[]): Promise<FoundItems> {
  const items = await listedItems(namespace, reader, ids);
  const wanted = new Set(ids.filter((id) => !items.has(id)));
  if (wanted.size === 0) return { ok: true, items };
  const read = await ask(namespace, reader, (store, mark, terms) => store.holding([...wanted], mark, terms));
  if (!read.ok) return read;
  for (const { input, response } of read.responses) {
    for (const item of [...input, ...outputOf(response)]) {
      const { id } = item;
      if (typeof id === "string" && wanted.delete(id)) items.set(id, item);
    }
  }
  return wanted.size === 0 ? { ok: true, items } : { ok: false, reason: "not_found" };
}

/** Those that came without an id, by the id under which they are listed. It says which response they are of. */
async function listedItems(namespace: Namespace, reader: Reader, ids: readonly string[]): Promise<Map<string, Json>> {
  const items = new Map<string, Json>();
  const responseIds = [...new Set(ids.flatMap((id) => responseIdIn(id) ?? []))].slice(0, MAX_LISTED_RESPONSES);
  for (const responseId of responseIds) {
    const read = await ask(namespace, reader, (store, mark, terms) => store.get(responseId, mark, terms));
    for (const { input } of read.ok ? read.responses : []) {
      for (const [at, item] of input.entries()) items.set(inputItemId(item, responseId, at), item);
    }
  }
  return new Map(ids.flatMap((id) => (items.has(id) ? [[id, items.get(id)!] as const] : [])));
}

/** `false` where there was none. Rejects with `ledger_unavailable`. */
export async function deleteResponse(namespace: Namespace, owner: Owner, id: string): Promise<boolean> {
  const { mark } = await Seal.of(owner);
  return reach(async () => await namespace.getByName(owner.keyId).delete(id, mark));
}

/** Everything of a key, whatever its secret. Rejects with `ledger_unavailable`. */
export function eraseResponses(namespace: Namespace, keyId: string): Promise<void> {
  return reach(async () => await namespace.getByName(keyId).erase());
}

type Answer = Exclude<ReadAnswer, { reason: "larger" }>;
type Read = { readonly ok: true; readonly responses: readonly StoredResponse[] } | Extract<Answer, { ok: false }>;

/** Most conversations are shorter. Longer ones are asked for again, once there is room for them. */
const EXPECTED_BYTES = 262_144;

/**
 * What the store has, once it is counted: many reads at once must not bring more than the isolate has room for. Gives
 * back what was counted and did not come.
 */
async function bytesOf(
  namespace: Namespace,
  { keyId, hold }: Reader,
  { mark }: Seal,
  call: (store: Stub, terms: ReadTerms, mark: Uint8Array) => Promise<ReadAnswer>,
): Promise<Answer> {
  let room = EXPECTED_BYTES;
  hold(room);
  let answer = await reach(async () => await call(namespace.getByName(keyId), { room }, mark));
  if (!answer.ok && answer.reason === "larger") {
    hold(answer.bytes - room);
    room = answer.bytes;
    answer = await reach(async () => await call(namespace.getByName(keyId), { room }, mark));
  }
  const came = answer.ok
    ? answer.responses.reduce((sum, each) => sum + each.input.length + each.response.length, 0)
    : 0;
  hold(came - room);
  // What is stored under an id does not grow: by now it is another one.
  return answer.ok || answer.reason !== "larger" ? answer : { ok: false, reason: "not_found" };
}

async function ask(
  namespace: Namespace,
  reader: Reader,
  call: (store: Stub, mark: Uint8Array, terms: ReadTerms) => Promise<ReadAnswer>,
): Promise<Read> {
  const seal = await Seal.of(reader);
  const answer = await bytesOf(namespace, reader, seal, (store, terms, mark) => call(store, mark, terms));
  if (!answer.ok) return answer;
  try {
    const responses: StoredResponse[] = [];
    // One after the other: all of them in plain text and in bytes at once are twice as much.
    for (const each of answer.responses) responses.push(await opened(each, seal));
    return { ok: true, responses };
  } catch {
    return { ok: false, reason: "not_found" };
  }
}

async function opened({ id, input, response }: Encrypted, seal: Seal): Promise<StoredResponse> {
  const [items, object] = await Promise.all([
    seal.open(input, placeOf(id, "input")),
    seal.open(response, placeOf(id, "response")),
  ]);
  const parsed = tryParseJson(object);
  return { id, input: objectsOf(tryParseJson(items)), response: isJsonObject(parsed) ? parsed : {} };
}

async function reach<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await callWithRetry(READ_LIMIT_MS, call);
  } catch {
    const message = "The store of responses did not answer. Try again shortly, or send the whole input.";
    throw new RouterError("ledger_unavailable", message);
  }
}

function placeOf(id: string, part: Part): string {
  return `${id} ${part}`;
}

function outputOf(response: Json): readonly Json[] {
  return objectsOf(response["output"]);
}

function idsOf(items: readonly Json[]): string[] {
  return items.flatMap(({ id }) => (typeof id === "string" && id !== "" ? [id] : []));
}

function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
