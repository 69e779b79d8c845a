/** What travels between the Worker and a key's object: encrypted bytes and what finds them, never a secret or a text. */

/** Bytes that a stored response may have, encrypted and in all its parts. */
export const MAX_RESPONSE_BYTES = 8 * 1024 * 1024;
/** Bytes of all responses of a key; beyond it the oldest go. */
export const MAX_KEY_BYTES = 256 * 1024 * 1024;
/** Bytes that one answer of the object may have. A longer conversation has to be sent whole. */
export const MAX_READ_BYTES = 16 * 1024 * 1024;
/** Responses of one conversation. */
export const MAX_CHAIN_LENGTH = 1_000;
/** Items of one response that can be referred to by their id. */
export const MAX_ITEM_IDS = 2_000;

/** `input`: the items that the request sent. `response`: the whole object that answered it. */
export type Part = "input" | "response";

export interface Encrypted {
  readonly id: string;
  readonly input: Uint8Array;
  readonly response: Uint8Array;
}

export interface ResponseToStore extends Encrypted {
  readonly previousId: string | null;
  readonly mark: Uint8Array;
  readonly itemIds: readonly string[];
  readonly ttlMs: number;
}

export type StoreAnswer = { readonly ok: true } | { readonly ok: false; readonly reason: "too_large" };

export type ReadAnswer =
  /** In the order in which they were made, or in which they were asked for. */
  | { readonly ok: true; readonly responses: readonly Encrypted[] }
  | { readonly ok: false; readonly reason: "not_found" | "too_large" }
  /** It has more bytes than the caller has room for. */
  | { readonly ok: false; readonly reason: "larger"; readonly bytes: number };

/** What a caller takes of a response, and how many bytes of it. A release before this one took all of it. */
export interface ReadTerms {
  readonly room: number;
  /** Absent: both parts. */
  readonly part?: Part;
}
