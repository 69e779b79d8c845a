/** What the relay needs to know of the public API by which a request came in. */

import type { Conversation } from "../conversation/conversation.ts";
import type { ToolTurn } from "../conversation/tool-turns.ts";
import type { RouterError } from "../http/errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import type { RoutePolicy } from "../policy/schema.ts";
import type { Trace } from "../traces/schema.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import type { DoorWire } from "../wires/wire.ts";
import type { KeepAnswer } from "./types.ts";

/** Whose request it is. What is kept for them is kept under their secret. */
export interface DoorCaller {
  readonly keyId: string;
  /** The secret part of the key, as it was sent. */
  readonly secret: string;
  /** Counts bytes that the request takes besides its body. Throws 503 `overloaded` when the isolate has no room. */
  readonly hold: (bytes: number) => void;
}

/** The unread parts of a request: none of them passes the approval gate. */
export interface Unread {
  /** The first role or part that may be a tool's result to some provider; `null`: there is none. */
  readonly fault: { readonly path: string; readonly message: string } | null;
  /** Paths of members that can be left out. */
  readonly members: readonly string[];
}

/** A request as the approval gate looks at it. */
export interface GateView {
  /** It carries results of tools. Cheap: asked of every request. */
  readonly hasResults: boolean;
  readonly toolTurns: () => readonly ToolTurn[];
  readonly conversation: () => Conversation;
  /** Cheap. */
  readonly unread: () => Unread;
  /** The request without the members that `unread` names. */
  readonly withoutUnread: () => ChatRequest;
}

/** A route chats, or it embeds: no request of the one kind can be answered by the other. */
export type RouteKind = "chat" | "embedding";

/** What every public API says of itself, whatever is asked for by it. */
export interface AnyDoor {
  /** On traces, in filters and figures. */
  readonly api: NonNullable<Trace["api"]>;
  /** Which routes it is for. */
  readonly kind: RouteKind;
  /** The caller's key, out of the headers in which this API carries it. Throws 401. */
  token(request: Pick<Request, "headers" | "url">): string;
  /** Whose request it is, where no header says so: a page's, by the built-in key that has no secret. */
  readonly builtIn?: KeyRecord;
  /** The request as the relay reads it. Throws 400 for what the contract refuses, 404 for what it refers to in vain. */
  parse(body: string, caller: DoorCaller): ChatRequest | Promise<ChatRequest>;
  /** The same error in this API's shape. `address`: the URL that was asked. */
  errorResponse(
    error: RouterError,
    flow: Readonly<Record<string, unknown>>,
    headers: Readonly<Record<string, string>>,
    address: string,
  ): Response;
}

/** One by which conversations come in. */
export interface Door extends AnyDoor {
  readonly wire: DoorWire;
  readonly gateView: (request: ChatRequest) => GateView;
  /** What keeps its whole answers, asked when the request was read and its route is known. Absent or `null`: nothing. */
  keeperOf?(policy: RoutePolicy): KeepAnswer | null;
  /** `flow` is in the last event of a stream as it is in a whole answer. */
  readonly endsWithFlow?: boolean;
  /** What keeps a stream alive while its tool calls wait to be decided. */
  readonly keepAlive: string;
}
