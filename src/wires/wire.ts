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

/** Events in, the text of the client's stream out. */
export interface AnswerWriter {
  /** The text to send for these events; `""` where nothing is due. */
  write(events: readonly AnswerEvent[]): string;
  /** The protocol's own end of a complete answer. `flow`: the router's member, where it has to stand in the stream. */
  end(flow?: Json): string;
  /** The protocol's own last word on an answer that broke. */
  fail(message: string): string;
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
  openWriter(context: AnswerContext, options: { readonly includeUsage: boolean }): AnswerWriter;
}
