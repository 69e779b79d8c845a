/** A chat request as the approval gate looks at it: in the client's own messages, which chat providers get as they are. */
import { isJsonObject, parseJson, scanJson } from "../../lib/json.ts";
import type { GateView } from "../../relay/door.ts";
import { askedInChat } from "../../wires/asked.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { hasResults, readToolTurns } from "../../wires/openai-chat/tool-turns.ts";
import { readUnread, withoutUnread } from "../../wires/openai-chat/unread.ts";

export function chatGateView(request: ChatRequest): GateView {
  const { fields } = request;
  const { messages } = fields;
  return {
    hasResults: hasResults(messages),
    toolTurns: () => readToolTurns(messages),
    conversation: request.conversation,
    unread: () => readUnread(fields),
    withoutUnread: () => cleaned(request),
  };
}

function cleaned(request: ChatRequest): ChatRequest {
  const text = withoutUnread(request.text, request.fields);
  const value = parseJson(text);
  return { ...request, ...askedInChat(isJsonObject(value) ? value : {}), text, members: scanJson(text).members };
}
