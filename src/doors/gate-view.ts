/** A request of a door other than chat as the approval gate looks at it: what is sent on is always written from what was read. */
import type { Part } from "../conversation/part.ts";
import { toolTurnsOf } from "../conversation/tool-turns.ts";
import type { GateView, Unread } from "../relay/door.ts";
import { clientFieldsOf, conversationOf } from "../wires/bridge.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import { toRequest } from "./to-request.ts";

export function conversationGateView(request: ChatRequest): GateView {
  const conversation = conversationOf(request.fields);
  const { turns, others } = conversation;
  return {
    hasResults: turns.some(({ parts }) => parts.some(({ kind }) => kind === "result")),
    toolTurns: () => toolTurnsOf(turns),
    conversation: () => conversation,
    unread: (): Unread => ({
      fault: faultOf(turns.flatMap(({ parts }) => parts)),
      members: others.map(({ path }) => path),
    }),
    withoutUnread: () => toRequest({ ...conversation, others: [] }, request, clientFieldsOf(request.fields)),
  };
}

function faultOf(parts: readonly Part[]): Unread["fault"] {
  for (const part of parts) {
    if (part.kind === "opaque") {
      return {
        path: part.path,
        message: `\`${part.path}\` (\`${part.type.slice(0, 64)}\`) is no block that is known here`,
      };
    }
    const inside = part.kind === "result" ? faultOf(part.parts) : null;
    if (inside !== null) return inside;
  }
  return null;
}
