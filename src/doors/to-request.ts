/** A conversation as the relay reads requests: for bounds and for targets that speak chat it is said in chat as well. */
import type { Conversation } from "../conversation/conversation.ts";
import type { Json } from "../conversation/part.ts";
import { isJsonObject, type JsonMember, parseJson, scanJson } from "../lib/json.ts";
import { type Known, unreadMembers } from "../wires/known-members.ts";
import type { ChatRequest, OwnBody } from "../wires/openai-chat/request-fields.ts";
import { boundLosses, writeRequest } from "../wires/openai-chat/write-request.ts";

/** Longest text in chat that is kept in addition to the client's own body, in characters. */
const MAX_KEPT_LENGTH = 262_144;

/** What of a request is the same in every wire. */
export type AskedRequest = Pick<ChatRequest, "model" | "stream" | "includeUsage" | "controls" | "action">;

/** `clientFields`: what the client itself sent. `own`: the same in its own words, for targets that speak its wire. */
export function toRequest(
  conversation: Conversation,
  { model, stream, includeUsage, controls, action }: AskedRequest,
  clientFields: Json,
  own: OwnBody,
): ChatRequest {
  const written = writeRequest(conversation, model);
  let chat: { readonly text: string; readonly members: readonly JsonMember[] } | undefined;
  // A target that speaks the client's wire never asks for it.
  const toChat = (): NonNullable<typeof chat> => {
    if (chat !== undefined) return chat;
    const text = JSON.stringify(written.fields);
    const made = { text, members: scanJson(text).members };
    // A long one is written again where it is asked for: its characters are held twice already.
    if (text.length <= MAX_KEPT_LENGTH) chat = made;
    return made;
  };
  return {
    ...{ model, stream, includeUsage, controls, own, ...(action === undefined ? {} : { action }) },
    get text() {
      return toChat().text;
    },
    get members() {
      return toChat().members;
    },
    fields: written.fields,
    conversation: () => conversation,
    clientFields,
    chatLosses: [...written.losses, ...boundLosses(conversation)],
  };
}

/** `text` as a body of its door, of whose members `known` are read. `parsed`: the same, where it was parsed before. */
export function ownBody(text: string, known: Known, parsed?: Json): OwnBody {
  const value = parsed ?? parseJson(text);
  const fields = isJsonObject(value) ? value : {};
  return {
    text,
    fields,
    members: scanJson(text).members,
    unreadInContent: () => unreadMembers(fields, known).find((path) => CONTENT.test(path)) ?? null,
    untranslated() {
      const paths = unreadMembers(fields, known, "", true).filter((path) => CONTENT.test(path));
      return [...new Set(paths.map((path) => path.replace(/\[\d+\]/g, "")))];
    },
  };
}

/** Members of messages, items and system prompts. Other members are checked one by one. */
const CONTENT = /^(?:messages|input|system|instructions)[.[]/;
