/** A request of a door other than chat as the approval gate looks at it. */
import type { Part } from "../conversation/part.ts";
import { toolTurnsOf } from "../conversation/tool-turns.ts";
import type { GateView, Unread } from "../relay/door.ts";
import { type Known, unreadMembers, withoutUnread } from "../wires/known-members.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";

/** `known`: the members of the body that are read. `reread`: the request of a body in the door's wire. */
export function conversationGateView(
  request: ChatRequest,
  known: Known,
  reread: (text: string) => ChatRequest,
): GateView {
  const { own } = request;
  const conversation = request.conversation();
  const { turns } = conversation;
  return {
    hasResults: turns.some(({ parts }) => parts.some(({ kind }) => kind === "result")),
    toolTurns: () => toolTurnsOf(turns),
    conversation: () => conversation,
    unread: (): Unread => ({
      fault: faultOf(turns.flatMap(({ parts }) => parts)),
      members: own === undefined ? [] : unreadMembers(own.fields, known),
    }),
    withoutUnread: () => (own === undefined ? request : reread(withoutUnread(own.text, own.fields, known))),
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
