/** A conversation as the relay reads requests: for bounds and for targets that speak chat it is said in chat as well. */
import type { Conversation } from "../conversation/conversation.ts";
import type { Json } from "../conversation/part.ts";
import { scanJson } from "../lib/json.ts";
import { noteConversation } from "../wires/bridge.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import { writeRequest } from "../wires/openai-chat/write-request.ts";

/** `clientFields`: what the client itself sent. */
export function toRequest(
  conversation: Conversation,
  { model, stream, includeUsage, controls }: Pick<ChatRequest, "model" | "stream" | "includeUsage" | "controls">,
  clientFields: Json,
): ChatRequest {
  const written = writeRequest(conversation, model);
  const chat = JSON.stringify(written.fields);
  noteConversation(written.fields, conversation, clientFields);
  return {
    ...{ model, stream, includeUsage, controls },
    text: chat,
    members: scanJson(chat).members,
    fields: written.fields,
    chatLosses: written.losses,
  };
}
