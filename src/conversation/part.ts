/**
 * What a turn is made of: ordered parts, each of one kind that every wire has to have an answer for.
 *
 * A reader makes parts, a writer switches over them with a `never` at the end: a kind that a wire forgets does not
 * compile. What a reader does not know becomes an `opaque` part. It can be written for the same wire only; for every
 * other wire it is a loss that changes the meaning.
 */

/** A parsed JSON object. Numbers in it may be rounded: never the source of tool arguments. */
export type Json = Readonly<Record<string, unknown>>;

/** The wire formats there are. Three are spoken by clients and providers, three by providers only. */
export type WireId = "openai-chat" | "openai-responses" | "anthropic-messages" | "gemini" | "bedrock" | "cohere";

/**
 * What one provider signed or numbered, and only it can read: signatures, encrypted reasoning, blocks of tools that it
 * ran. It goes back to that wire in its place, as it came, and to no other.
 */
export interface Bound {
  readonly wire: WireId;
  /** The provider that made it; `null`: any provider of the wire. */
  readonly provider: string | null;
  /** Proof that the accompanying readable text is the provider's own. */
  readonly signature?: string | undefined;
  /** What cannot be read at all: encrypted or redacted reasoning. */
  readonly encrypted?: string | undefined;
  /** The provider's id of the part. */
  readonly id?: string | undefined;
  /** Everything else, in the wire's own spelling. Only that wire's folder reads it. */
  readonly data?: Json | undefined;
}

/** What every part may have. */
interface PartBase {
  /** Its path in the client's request, in the client's spelling: `messages[2].content[0]`. `""` in answers. */
  readonly path: string;
  /** The client's cache hint for the prefix that ends here, as it came (`cache_control`). */
  readonly cache?: Json | undefined;
  /** What a provider attached to this part. */
  readonly bound?: Bound | undefined;
}

/** Bytes that came inside the request, an address that the provider fetches, or an id that it gave out. */
export type Media =
  | { readonly kind: "base64"; readonly mediaType: string; readonly data: string }
  | { readonly kind: "url"; readonly url: string; readonly mediaType?: string | undefined }
  /** A file that was uploaded to one provider. */
  | { readonly kind: "id"; readonly id: string }
  /** Plain text as a document. */
  | { readonly kind: "text"; readonly text: string };

export interface TextPart extends PartBase {
  readonly kind: "text";
  readonly text: string;
  /** Where the text comes from, in the wire's spelling: a provider's citations are `bound` as well. */
  readonly citations?: readonly Json[] | undefined;
}

export interface ImagePart extends PartBase {
  readonly kind: "image";
  readonly media: Media;
  /** `low`, `high`, `auto`, `original`: how closely the model shall look. */
  readonly detail?: string | undefined;
}

export interface AudioPart extends PartBase {
  readonly kind: "audio";
  readonly media: Media;
  /** `wav`, `mp3`, …, as the client named it. */
  readonly format?: string | undefined;
}

export interface VideoPart extends PartBase {
  readonly kind: "video";
  readonly media: Media;
}

export interface FilePart extends PartBase {
  readonly kind: "file";
  readonly media: Media;
  readonly name?: string | undefined;
  /** The provider shall cite from it; further members of the wire (`context`, `citations`). */
  readonly options?: Json | undefined;
}

/** What the model thought. `bound` holds the signature or the encrypted form that its provider wants back. */
export interface ReasoningPart extends PartBase {
  readonly kind: "reasoning";
  /** `""` where only the encrypted form is known. */
  readonly text: string;
  /** `summary`: of thoughts that are not shown themselves. */
  readonly form: "full" | "summary" | "redacted";
}

/** A tool call that the model made. */
export interface CallPart extends PartBase {
  readonly kind: "call";
  readonly id: string;
  /** The tool's name as the client offered it; with its namespace, where it has one, as `<namespace>.<name>`. */
  readonly name: string;
  readonly namespace?: string | undefined;
  /** `function`: `args` is JSON text. `custom`: free text, by a grammar perhaps. */
  readonly form: "function" | "custom";
  /** It has no id of its own, and its result names the function only (OpenAI's `function_call`). */
  readonly isLegacy?: boolean | undefined;
  /** Exactly as the model or the client wrote it: never parsed and written again. */
  readonly args: string;
  /** It came as a value in place of a text, and a number of it was rounded when it was read. */
  readonly isUnclear?: true | undefined;
}

/** What the client's tool answered. */
export interface ResultPart extends PartBase {
  readonly kind: "result";
  readonly callId: string;
  /** The tool's name, where the client sent it (always for legacy `role: "function"`). */
  readonly name?: string | undefined;
  readonly form: "function" | "custom";
  readonly parts: readonly Part[];
  readonly isError?: boolean | undefined;
}

/** The model declined, with its own text. */
export interface RefusalPart extends PartBase {
  readonly kind: "refusal";
  readonly text: string;
}

/** A block that only its provider understands: what a tool of its own searched, ran or found. Always `bound`. */
export interface BlockPart extends PartBase {
  readonly kind: "block";
  readonly bound: Bound;
}

/** A part that the reader does not know, as it came. */
export interface OpaquePart extends PartBase {
  readonly kind: "opaque";
  readonly wire: WireId;
  readonly type: string;
  readonly source: unknown;
}

export type Part =
  | TextPart
  | ImagePart
  | AudioPart
  | VideoPart
  | FilePart
  | ReasoningPart
  | CallPart
  | ResultPart
  | RefusalPart
  | BlockPart
  | OpaquePart;

/** Put at the end of every switch over a union of the core: a member that was forgotten does not compile. */
export function unreachable(value: never): never {
  throw new TypeError(`Unexpected kind: ${String((value as { kind?: unknown }).kind)}`);
}
