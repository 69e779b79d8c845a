/**
 * What a wire format promises: four faces, of which every wire has the upstream's two and the wires that clients speak
 * have all four.
 *
 * | face | side | from | to |
 * |---|---|---|---|
 * | `readRequest` | door | the client's body | `Conversation` |
 * | `writeRequest` | upstream | `Conversation` | path and body for a provider, and what was lost |
 * | `readAnswer`, `openReader` | upstream | the provider's answer | `Answer`, `AnswerEvent`s |
 * | `writeAnswer`, `openWriter` | door | `Answer`, `AnswerEvent`s | what the client reads |
 *
 * All of it is pure. No face throws on any bytes: what cannot be read is an error event or a failure, what cannot be
 * written is a `Loss`.
 */
import type { Answer, AnswerEvent } from "../conversation/answer.ts";
import type { Conversation } from "../conversation/conversation.ts";
import type { Loss } from "../conversation/loss.ts";
import type { Json, WireId } from "../conversation/part.ts";
import type { UpstreamFailure } from "../providers/adapter.ts";

/** Who the request is written for. */
export interface RequestTarget {
  /** The provider's id: what one provider signed goes back to that one only. */
  readonly provider: string;
  /** Upstream model id. */
  readonly model: string;
  /** The cap that was admitted; the smaller of it and the client's own is written. */
  readonly maxOutputTokens: number | undefined;
  /** Headers of the client that belong to its body, names in lower case: `anthropic-beta`. Never a credential. */
  readonly openHeaders?: Readonly<Record<string, string>> | undefined;
  /** By the catalogue, the model thinks before it answers: it has encrypted thoughts, and sampling is fixed. */
  readonly reasons?: boolean | undefined;
  /** By the catalogue, the reasoning efforts that the model takes. */
  readonly efforts?: readonly string[] | undefined;
  /** What the target refused in an attempt before (`AdapterCall.without`): top-level members, or `strict`. */
  readonly without?: readonly string[] | undefined;
  /** Settings of the provider that its wire has to know (a region, an API version). */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /**
   * The policy's `params` for this target. The conversation has them already where the client left a member out; here a
   * wire finds the members of its own that only the operator may set, whatever the client sent.
   */
  readonly params?: Json | undefined;
}

export interface WrittenRequest {
  /** Behind the provider's base URL, query included. */
  readonly path: string;
  /** JSON text. */
  readonly body: string;
  /** Headers that belong to the body, such as a beta flag. Never a credential. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Everything that was asked for and is not in the body. With a serious one the request must not be sent. */
  readonly losses: readonly Loss[];
}

/** What reading and writing an answer may need of the request it answers. */
export interface AnswerContext {
  /** Upstream model id, for providers that do not name the model that answered. */
  readonly model: string;
  /** The provider's id. */
  readonly provider: string;
  /** Ours: stands in for the provider's message id where there is none. */
  readonly traceId: string;
  /** Epoch seconds. */
  readonly createdAt: number;
  /** The request, where reading depends on it (a schema that was written as a tool); `null` on the same wire. */
  readonly conversation: Conversation | null;
}

export type ReadAnswer =
  | { readonly ok: true; readonly answer: Answer }
  /** `rawUsage`: what the provider counted all the same, in chat's shape; it bills a broken answer too. */
  | { readonly ok: false; readonly failure: UpstreamFailure; readonly rawUsage?: Json | undefined };

/** State of one provider's stream: bytes in any chunking, events out. The same events for every chunking. */
export interface AnswerReader {
  push(bytes: Uint8Array): readonly AnswerEvent[];
  /** What only the end of the bytes completes. No finish event is made up: a stream without one was cut. */
  end(): readonly AnswerEvent[];
  /** What is held back is longer than any event of an answer. */
  readonly isOverlong: boolean;
}

/** The upstream side of a wire. */
export interface UpstreamWire {
  readonly id: WireId;
  writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest;
  /** `text` is the exact body, `body` the same parsed: arguments are cut out of the text. */
  readAnswer(text: string, body: unknown, context: AnswerContext): ReadAnswer;
  openReader(context: AnswerContext): AnswerReader;
}

/** A piece of an upstream's stream: what it says, and its text where that is the door's own wire. */
export interface StreamItem {
  /** Forwarded as it is where nothing of it is changed; `null`: it has to be written. */
  readonly raw: string | null;
  /** `raw` says nothing but `events`, however it is read: it may pass where nothing unread may. */
  readonly isPlain: boolean;
  readonly events: readonly AnswerEvent[];
  /** The protocol's own end of a complete answer: nothing behind it counts. */
  readonly ends: boolean;
  /** It says how the answer ended, and waits for what the router adds to it: the writer tells it (`hold`). */
  readonly closes?: boolean | undefined;
}

/** As `AnswerReader`, with the text in addition to the events. */
export interface ItemReader {
  push(bytes: Uint8Array): readonly StreamItem[];
  end(): readonly StreamItem[];
  /** What the text said that was handed on and not read, where the stream breaks. Absent: all was read. */
  unread?(): readonly AnswerEvent[];
  readonly isOverlong: boolean;
  /** The provider answers with one document in place of a stream: it says nothing before its end. */
  readonly isDocument?: boolean;
}

/** Events in, the text of the client's stream out. */
export interface AnswerWriter {
  /** The text to send for these events; `""` where nothing is due. */
  write(events: readonly AnswerEvent[]): string;
  /** The client has these events already, as `raw`: what is written later goes on from there. */
  skip(events: readonly AnswerEvent[], raw: string): void;
  /**
   * The text that goes out for an item that is forwarded. Present where items are forwarded as they come, and the
   * writer only ends the stream.
   */
  forward?(raw: string, events: readonly AnswerEvent[]): string;
  /** The item that closes the answer: `end` tells it, with what is added. */
  hold?(raw: string): void;
  /** The router's member `flow`, for the event that ends the answer, where that is written before `end`. */
  attach(flow: Json): void;
  /** An event that says what the answer has used and cost. Absent: the protocol has no place for one. */
  report?(usage: Json, flow: Json): string;
  /** The whole answer as the client has it at its end, for a wire whose answers are kept. Only `end` comes after it. */
  finished?(): Json;
  /** The protocol's own end of a complete answer. `flow`, `members`: where the protocol has a place for them there. */
  end(flow?: Json, members?: Json): string;
  /** The protocol's own last word on an answer that broke. */
  fail(message: string): string;
}

/** How a stream that moved natively ended, by the protocol's own evidence and never by the socket's. */
export type TailVerdict =
  /** Whole, its protocol's end included. */
  | "done"
  /** Whole, without that end. */
  | "finished"
  /** Neither a finish reason nor an end came. */
  | "cut"
  /** The provider's own error was the last thing it said. */
  | "error";

/**
 * Watches from the side a stream whose bytes move natively in the door's wire: it takes apart as little as it can. The
 * same verdict for every chunking.
 */
export interface TailWatcher {
  /** `bytes`: the length of `text` in UTF-8. */
  add(text: string, bytes: number): void;
  /** One event was longer than any of an answer. */
  readonly isOverlong: boolean;
  /** The stream would have needed mending: its target's next ones must not pass untouched. */
  readonly isUnclean: boolean;
  verdict(): TailVerdict;
  /** What is to be appended to an answer that is whole without its protocol's end; `""` where that would do harm. */
  closing(): string;
  /** The line ends that the last event of an answer lacks; `""` where it has them. */
  lastLine(): string;
  /** The last word on an answer that broke; `""` where the provider's own error has reached the client and will do. */
  failing(message: string): string;
  /** The provider's last usage object, in chat's shape. */
  usage(): unknown;
  /** The size of the visible output, about. */
  output(): { readonly units: number; readonly bytes: number };
  readonly showsReasoning: boolean;
  /** Thoughts came so that only their provider can read them. */
  readonly hidesReasoning?: boolean | undefined;
  readonly toolNames: readonly string[];
}

export interface TailOptions {
  readonly traceId: string;
  /** The client offered tools: their names are looked for. */
  readonly hasTools: boolean;
  /** What was read before, and the items it was. */
  readonly text: string;
  readonly preamble: readonly StreamItem[];
}

export type ReadWhole =
  /** `text`: the provider's own, but for the members that the door decides. */
  | {
      readonly ok: true;
      readonly text: string;
      readonly body: Json;
      readonly answer: Answer;
      /** The text says nothing but what was read, however others read it. */
      readonly isPlain?: boolean;
    }
  | Extract<ReadAnswer, { ok: false }>;

/**
 * How answers of a provider that speaks the door's own wire reach the client: as they came, but for what the router adds.
 */
export interface SameWire {
  /** A stream event by event: its text, and what it says. `isQuiet`: what is not needed for the books may be left unread. */
  openItems(context: AnswerContext, isQuiet?: boolean): ItemReader;
  /** Ends a stream of which the items were forwarded. */
  openForwarder(context: AnswerContext): AnswerWriter;
  readWhole(text: string, body: Json, context: AnswerContext): ReadWhole;
  /** Every event of a stream is to be seen, because the door decides members of some. Absent: no. */
  readonly readsEvents?: (() => boolean) | undefined;
}

/** The client's side of a wire. */
export interface DoorWire {
  readonly id: WireId;
  /**
   * `fields`: the body, parsed. Throws `RouterError` for what the contract refuses. `text`: the exact body, from which a
   * wire that has arguments as objects cuts them; without it their numbers may be rounded.
   */
  readRequest(fields: Json, text?: string): Conversation;
  writeAnswer(answer: Answer, context: AnswerContext): Json;
  /** The answer has no form in this wire: its calls have arguments that no client could read. Absent: never. */
  isUnwritable?(answer: Answer): boolean;
  /** The other way round: of a text in this wire that is known to be an answer, and the same parsed. */
  readBack(text: string, body: Json): Answer;
  /** `text`, of which `body` was parsed, says nothing but what `readBack` reads, however others read it. */
  isPlain(text: string, body: Json): boolean;
  openWriter(context: AnswerContext): AnswerWriter;
  /** Absent: no bytes move natively in this wire. */
  openTail?(options: TailOptions): TailWatcher;
  /** What names of headers begin with that belong to a client's body; a provider of another wire is not sent them. */
  readonly openHeaders?: string;
  /** Absent for chat, whose providers are mended by their rows. */
  readonly sameWire?: SameWire | undefined;
  /** An answer as it is kept: what only its provider can read says whose it is. */
  kept?(answer: Json, context: AnswerContext): Json;
  /**
   * How the body ends behind `fail`: `abnormal` where clients take a bare end for success, `normal` where the protocol
   * has a last event of its own for it.
   */
  readonly failureEnd: "abnormal" | "normal";
}
