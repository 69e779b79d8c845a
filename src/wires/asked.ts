/** What a request asks for, in the two forms in which targets are asked: in chat, and as a conversation. */
import type { Conversation } from "../conversation/conversation.ts";
import type { Json } from "../conversation/part.ts";
import { readRequest } from "./openai-chat/read-request.ts";

export interface Asked {
  /** In chat, parsed: what targets that speak chat are told, and what bounds and abilities are read from. */
  readonly fields: Json;
  /** What every other wire is written from. Read once, when it is first wanted. */
  readonly conversation: () => Conversation;
  /** What the client sent, where it spoke another wire than chat: `fields` were written from its conversation. */
  readonly clientFields?: Json | undefined;
}

/** A request that came in chat. A long conversation is read once, however many targets and answers want it. */
export function askedInChat(fields: Json): Asked {
  let read: Conversation | undefined;
  const conversation = (): Conversation => {
    read ??= readRequest(fields);
    return read;
  };
  return { fields, conversation };
}

/** The conversation of a client that spoke another wire than chat; `null` for one that spoke chat. */
export function foreignConversation({ clientFields, conversation }: Asked): Conversation | null {
  return clientFields === undefined ? null : conversation();
}
