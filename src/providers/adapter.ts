/**
 * What a provider is to the request path.
 *
 * A provider turns one call into one HTTP request and says what a failure means. Providers whose wire is OpenAI's
 * leave the answer alone: their bytes may pass straight to the client.
 */
import type { EmbeddingFacts } from "../catalog/model-facts.ts";
import type { WireId } from "../conversation/part.ts";
import type { JsonEdit } from "../lib/json.ts";
import type { FailureClass } from "../traces/schema.ts";
import type { Asked } from "../wires/asked.ts";
import type { ChunkView } from "../wires/openai-chat/chunk.ts";
import type { AnswerReader, ReadAnswer } from "../wires/wire.ts";
import type { EmbeddingAdapter } from "./embeddings/adapter.ts";

/** Worker variables and secrets, read by name. Only the provider table chooses names, never a request. */
export type Secrets = Readonly<Record<string, unknown>>;

/** Where and with what a provider is called, resolved from the operator's configuration. */
export interface ProviderConfig {
  /** Without a trailing slash. */
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Further settings that only the provider's own adapter understands, such as a region or signing keys. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface AdapterCall {
  /** What every wire but the body's own is written from. */
  readonly asked: Asked;
  /**
   * The body for targets of its wire, `route` removed: the client's own, or for chat the same in chat. The adapter may
   * edit it: it is made for one attempt and not read afterwards.
   */
  readonly body: JsonEdit;
  /** The same body, parsed. Never mutated. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  /** Upstream model id. */
  readonly model: string;
  /** The target's `params`: fill fields the client left out. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Upper bound for output tokens from the policy; the smaller of it and the client's own is written upstream. */
  readonly maxOutputTokens: number | undefined;
  /**
   * Headers of the client that belong to its body, names in lower case: `anthropic-beta`. For a provider of their family
   * only, and never a credential.
   */
  readonly openHeaders?: Readonly<Record<string, string>> | undefined;
  readonly config: ProviderConfig;
  /** By the catalogue, the model thinks before it answers; `undefined`: not known. */
  readonly reasons?: boolean | undefined;
  /** What is asked of the API besides an answer: `count_tokens`, `compact`, `input_tokens`. */
  readonly action?: string | undefined;
  /**
   * Members that this target refused in an attempt before (`retryWithout`): they are left out and named. A top-level
   * name, `messages.<member>`, or `strict` for the strictness of schemas.
   */
  readonly without?: readonly string[] | undefined;
}

/** One upstream request, as plain data: the attempt adds the signal and the redirect rule. */
export interface UpstreamRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Fields of the client that this provider cannot express and that change nothing asked for. */
  readonly droppedParams: readonly string[];
}

export interface UpstreamFailure {
  readonly class: FailureClass | "invalid_request";
  /** Another target may do better. */
  readonly tryNext: boolean;
  /** The same target may do better after a pause. */
  readonly trySame: boolean;
  /** The provider's delay, wherever it hides it, milliseconds. */
  readonly retryAfterMs?: number;
  /**
   * The member that the provider refused, as `AdapterCall.without` takes it: the same target may do without, and nothing
   * that was asked for would be missing.
   */
  readonly retryWithout?: string;
  /** The provider's own message on a refused client request: scrubbed, at most 500 characters. Never logged. */
  readonly message?: string;
  readonly param?: string;
  /** How the provider said it, for a client of the same wire that goes by status and type. */
  readonly native?: { readonly status: number; readonly type: string };
  /** The API that speaks the client's wire is not there: the same target may do better by its own. */
  readonly retryTranslated?: true;
  /** For operators: on the trace and in the log, never in an answer. */
  readonly diagnosis?: Diagnosis;
}

/** What a provider said of a failure, scrubbed. */
export interface Diagnosis {
  readonly code?: string;
  /** At most 300 characters, and only of what the client's request has no part in. */
  readonly message?: string;
}

/** A response head with its parsed body (`undefined` when it was not JSON). */
export interface UpstreamError {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What a translator may need of the call whose answer it reads. */
export interface AnswerContext {
  readonly asked: Asked;
  /** Upstream model id, for providers that do not name the model that answered. */
  readonly model: string;
  /** Ours: stands in for the provider's message id where there is none. */
  readonly traceId: string;
  /** Epoch seconds. */
  readonly createdAt: number;
}

export type TranslatedAnswer =
  | {
      readonly ok: true;
      readonly completion: Readonly<Record<string, unknown>>;
      /** The exact text of `completion`, where writing it again would round numbers. */
      readonly text?: string;
    }
  /** `usage`: what the provider counted all the same, in chat's shape; it bills a broken answer too. */
  | {
      readonly ok: false;
      readonly failure: UpstreamFailure;
      readonly usage?: Readonly<Record<string, unknown>> | undefined;
    };

/** One event of a stream in OpenAI's protocol: its text as the client gets it, and what it says. */
export interface ChatFrame {
  /** The closing empty line included. */
  readonly raw: string;
  /** `null` for a block without data: a comment. */
  readonly view: ChunkView | null;
}

/** A stream in OpenAI's protocol, read event by event: exact where it is clean, mended where it is not. */
export interface ChatFrames {
  push(bytes: Uint8Array): ChatFrame[];
  /** The frames that only the end of the bytes completes. */
  end(): ChatFrame[];
  /** What is held back is longer than any event of a chat answer. */
  readonly isOverlong: boolean;
  /** The provider answers with one JSON document in place of a stream: it says nothing before its end. */
  readonly isDocument: boolean;
}

/**
 * How a provider's answers are read: those of OpenAI's wire are mended where they have to be, those of every other wire
 * become the core's, which the door writes in its own.
 */
export interface Translation {
  /** For providers of another wire than OpenAI's. `text`: the exact body, from which arguments are cut. */
  readAnswer?(text: string, body: unknown, context: AnswerContext): ReadAnswer;
  openReader?(context: AnswerContext): AnswerReader;
  /** For providers of OpenAI's wire. */
  toCompletion?(body: unknown, context: AnswerContext, text?: string): TranslatedAnswer;
  /** For providers of OpenAI's wire. */
  openFrames?(context: AnswerContext): ChatFrames;
  /** The provider's frames are known to need no mending, whatever was asked: its bytes may pass untouched. */
  passesNatively?(context: AnswerContext): boolean;
  /** A stream may say nothing while its model thinks, and end so. */
  readonly hidesThinking?: boolean;
}

export interface ProviderAdapter {
  /**
   * The wire in which the provider is asked where the client speaks it as well: its body is edited and passed on, and the
   * answer comes in it. Absent: every request is written from its conversation.
   */
  readonly sameWire?: WireId;
  /** What that API does besides answering, by the last part of its path: `count_tokens`, `compact`. */
  readonly actions?: readonly string[];
  /** Its streams in that wire need no mending. */
  readonly isClean?: boolean;
  /** Its streams say when the model thinks, even where they do not show what. */
  readonly announcesThinking?: boolean;
  readonly translation?: Translation;
  /** The one HTTP request for this attempt. May sign; must not fetch. */
  toUpstream(call: AdapterCall): UpstreamRequest | Promise<UpstreamRequest>;
  /** Why an attempt failed, from structured fields. Also called with status 200 for an error in the body or stream. */
  classify(error: UpstreamError): UpstreamFailure;
}

export interface Refusal {
  /** In the client's spelling: `messages[0].content[1]`. */
  readonly param: string;
  /** One plain sentence for the client. */
  readonly message: string;
}

/** What a provider has to know of a request to choose among its APIs. */
export interface TargetRequest {
  readonly asked: Asked;
  /** Upstream model id, and what the catalogue knows of it. */
  readonly model: string;
  readonly facts: {
    readonly efforts?: readonly string[] | undefined;
    readonly responses_for_tools?: boolean | undefined;
    readonly embedding?: EmbeddingFacts | undefined;
  };
  /** The target's `params`: fill fields the client left out. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly config: ProviderConfig;
}

export interface Provider {
  readonly id: string;
  readonly adapter: ProviderAdapter;
  /**
   * Sets of variables, any of which switches the provider on when all of it is set, the usual one first. What each must
   * look like is for `configure` to say.
   */
  readonly requires: readonly (readonly string[])[];
  /** The provider's configuration, or `null` when a secret or an address is missing or not allowed. */
  configure(secrets: Secrets): ProviderConfig | null;
  /** Names of its secret, of which there may be several: see `credential-pool.ts`. */
  readonly pool?: readonly string[];
  /** In place of a pool of numbered names. */
  readonly credentials?: (secrets: Secrets) => readonly { readonly number: number; readonly config: ProviderConfig }[];
  /** The first thing the request asks for that this provider cannot do, whatever the model; `null` when it can do all. */
  readonly lacks?: (asked: Asked, model?: string) => string | null;
  /**
   * What of the request's content cannot be sent to this provider at all (a part, a tool, a modality, `n`), and why;
   * `null` when all of it can. Narrower than `lacks`: a target that is the only one is refused for nothing else.
   */
  readonly refuses?: (asked: Asked, model: string) => Refusal | null;
  /** The same provider by its API that speaks `wire`, where it has one; `config` is its own. */
  readonly inWire?: (wire: WireId, config: ProviderConfig) => Provider | undefined;
  /** The same provider by another of its APIs, for requests that this one does not serve. */
  readonly forRequest?: (request: TargetRequest) => Provider;
  /** Names of client headers, in lower case, that go with a body to this provider (`AdapterCall.openHeaders`). */
  readonly openHeaders?: readonly string[];
  /** How it embeds. Absent: it does not. */
  readonly embedding?: EmbeddingAdapter;
  /** Answers in place of the network. Only the sandbox has it. */
  readonly send?: (call: AdapterCall, signal: AbortSignal) => Promise<Response>;
}
