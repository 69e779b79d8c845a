/** What a provider that embeds is to the request path. Types only. */
import type { EmbeddingInput, EmbeddingLimits } from "../../embedding/parts.ts";
import type { RawVector, VectorFormat } from "../../embedding/vectors.ts";
import type { JsonEdit } from "../../lib/json.ts";
import type { ProviderConfig, UpstreamRequest } from "../adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** One call: a batch, or a part of one. */
export interface EmbeddingCall {
  /** The client's body, `route` removed. The adapter edits it: it is not read afterwards. */
  readonly body: JsonEdit;
  /** The same body, parsed. Never mutated. */
  readonly fields: Json;
  readonly inputs: readonly EmbeddingInput[];
  /** These are all inputs of the client's: its own `input` may stay. */
  readonly isWhole: boolean;
  /** Length to be asked for; `undefined`: the model's own. */
  readonly dimensions: number | undefined;
  /** How the vectors are asked for where the provider has both. */
  readonly format: VectorFormat;
  /** Upstream model id. */
  readonly model: string;
  /** The target's `params`: fill fields the client left out. */
  readonly params: Json;
  readonly config: ProviderConfig;
}

/** A response that is no error, read in full. */
export interface EmbeddingResponse {
  readonly body: Json;
  readonly headers: Headers;
}

/** What one call gave. */
export interface EmbeddingPart {
  /** In the order of the inputs. */
  readonly vectors: readonly RawVector[];
  /** In chat's words; `undefined` where the provider gave no figures. */
  readonly usage: Json | undefined;
  readonly model: string | undefined;
}

export interface EmbeddingAdapter {
  limits(model: string): EmbeddingLimits;
  /**
   * Base64 of float32: it can be asked for; unknown, so that it is asked for only where the client asks; there is none.
   */
  readonly base64: "has" | "unknown" | "none";
  /** Takes the tokens of a text in its place. */
  readonly takesTokens: boolean;
  /** A length can be asked for. */
  readonly takesDimensions: boolean;
  /** Bytes of a number in its answers, where they are more than usual. */
  readonly floatBytes?: number;
  /** Its answers are OpenAI's own: one to a whole batch may pass as it came. */
  readonly isNative: boolean;
  /** The provider has input types, and no word for this one. */
  lacksInputType(word: string, model: string): boolean;
  /** The one HTTP request. May sign; must not fetch. */
  toUpstream(call: EmbeddingCall): UpstreamRequest | Promise<UpstreamRequest>;
  /** `null`: it is no answer. */
  read(response: EmbeddingResponse, count: number): EmbeddingPart | null;
  /** Answers in place of the network. Only the sandbox has it. */
  readonly send?: (call: EmbeddingCall, signal: AbortSignal) => Promise<Response>;
}
