/** What a row of `rows.ts` may say: how a provider that speaks OpenAI's protocol differs from OpenAI. Types only. */
import type { Json } from "../conversation/part.ts";
import type { AdapterCall, ProviderConfig, Secrets, UpstreamFailure } from "./adapter.ts";

export type LimitField = "max_tokens" | "max_completion_tokens";

export interface HistoryRules {
  /** The name of thoughts as plain text; `none` where they are refused. Default: as the client wrote them. */
  readonly reasoning?: "reasoning" | "reasoning_content" | "none";
  /**
   * Assistant messages that are refused without `reasoning_content`: those with calls, or all of them once there was a
   * call. It is the text of whatever reasoning the client sent, or `""`.
   */
  readonly demands?: "with calls" | "after calls";
  /** Entries of `reasoning_details` that stay: those whose `format` begins so, or `any` but ours. Default: none. */
  readonly details?: string;
  /** Content parts of type `thinking` are known. */
  readonly thinkingParts?: true;
  /** Ids of tool calls are nine letters or digits; or no longer than 40 characters. */
  readonly callIds?: "nine" | "short";
  /** Members of assistant messages and calls that stay though this router writes them too: the provider's own. */
  readonly keeps?: readonly string[];
  /** A conversation that ends with the assistant: its last message is marked so, or a turn of the user's is put behind. */
  readonly ending?: "prefix" | "turn";
}

/** A wire that clients speak and the provider documents besides chat completions. */
export interface SpokenWire {
  /** The page, or the recordings, that say so. */
  readonly source: string;
  /** Its streams need no mending, by that page. */
  readonly clean?: true;
  /** What the API does besides answering, by the last part of its path. */
  readonly actions?: readonly string[];
}

export interface SpokenResponses extends SpokenWire {
  /** Behind the base URL. Default `/responses`. */
  readonly path?: string;
  /** What its encrypted thoughts begin with, where that identifies them. */
  readonly thoughts?: string;
}

export interface SpokenMessages extends SpokenWire {
  /** In place of the base URL's own path, version included, without `/messages`. */
  readonly path: string;
  /** The secret goes by `x-api-key`. Default: as a bearer token. */
  readonly byApiKey?: true;
  /** Its thinking blocks are signed as Anthropic's are: it passes on those of Anthropic's models. */
  readonly signsAsAnthropic?: true;
}

export interface ProviderRow {
  readonly id: string;
  /** The provider's page on its API. */
  readonly source: string;
  /** Version path included. `{NAME}` stands for the variable of that name. Absent: only the operator knows it. */
  readonly baseUrl?: string;
  /** Behind the base URL. Default `/chat/completions`. */
  readonly chatPath?: string;
  /** It has no models that chat. */
  readonly embedsOnly?: true;
  /** Behind the base URL, where the provider documents OpenAI's Responses API. */
  readonly responsesPath?: string;
  readonly wires?: { readonly responses?: SpokenResponses; readonly messages?: SpokenMessages };
  /** Names of the secret. The first one that is set is used. */
  readonly secrets: readonly string[];
  /** The provider may be called without a secret. */
  readonly keyless?: true;
  /** Spellings of the token limit that the provider reads, its own first; others are renamed. Default `max_tokens`. */
  readonly limit?: readonly [LimitField, ...LimitField[]];
  /** Usage comes with every stream, and `stream_options` is refused. Default: it has to be asked for. */
  readonly usageAlways?: true;
  /** The role `developer` is known. Default: it is written as `system`, its older name. */
  readonly developerRole?: true;
  /** Members under another name. */
  readonly rename?: Readonly<Record<string, string>>;
  /** Values under another spelling: member, then OpenAI's word, then the provider's. */
  readonly spell?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /**
   * The top-level members of its own documentation, for a provider that refuses all others: those are left out and
   * named. Absent: what is not known here is forwarded, because the provider is the better judge of its own members.
   */
  readonly knows?: readonly string[];
  /** The same for the members of a message, by role. */
  readonly knowsOfMessages?: Readonly<Record<string, readonly string[]>>;
  /** Members left out: the provider refuses or ignores them, or they name who else may answer. */
  readonly drop?: readonly string[];
  /**
   * What cannot be had here: a member, or `json_schema`. Another target is called instead where there is one. A sole one
   * is called without the member, which is named, and not at all where that would leave out content (`n`, tools).
   */
  readonly cannot?: readonly string[];
  /** `cache_control` marks are known. Default: they are left out and named. */
  readonly cacheMarks?: true;
  /** Tools whose input is free text or held to a grammar are known. */
  readonly customTools?: true;
  /** Any name of a tool and any root of its schema is taken. Default: names get aliases, roots are folded. */
  readonly looseTools?: true;
  /** Results of tools may hold pictures and other media. Default: they are moved into a user message behind. */
  readonly mediaInResults?: true;
  /**
   * Values of `reasoning_effort` differ by model: the nearest one that the catalogue lists is sent. `listed`: a model
   * that the catalogue lists no values of has no such dial.
   */
  readonly efforts?: "known" | "listed";
  /** Models that the catalogue marks refuse sampling members; they are left out and named. */
  readonly fixedSampling?: true;
  /** How it wants earlier answers written. What other providers alone can read is taken out in any case. */
  readonly history?: HistoryRules;
  /**
   * Its streams need no mending: every frame is a chunk, calls have index and id, and a finish reason comes before
   * `[DONE]`. The value is the page, or the recordings, that show it. Default: streams are read event by event.
   */
  readonly clean?: string;
  /** Finish reasons that only this provider has, in OpenAI's spelling; `error` where the answer is broken. */
  readonly finishWords?: Readonly<Record<string, string>>;
  /** Error codes that only this provider has, and what they mean. */
  readonly codes?: Readonly<Record<string, UpstreamFailure["class"]>>;
  readonly quirks?: RowQuirks;
}

/** What members of a row cannot say. Each is a function of the provider's own, in its own file. */
export interface RowQuirks {
  /** In place of the base URL with a bearer token. */
  readonly configure?: (secrets: Secrets) => ProviderConfig | null;
  /** In place of the base URL and `chatPath`. */
  readonly chatUrl?: (call: Pick<AdapterCall, "config" | "model">) => string;
  /** In place of the base URL and `responsesPath`. */
  readonly responsesUrl?: (config: ProviderConfig) => string;
  /** The row for one configuration: an older version of the API knows other members. */
  readonly rowFor?: (config: ProviderConfig) => ProviderRow;
  /** An answer out of the envelope it came in, with its exact text. */
  readonly unwrapAnswer?: (text: string, body: Json) => { readonly text: string; readonly body: Json };
  readonly unwrapError?: (body: unknown) => unknown;
}

/** What the catalogue says of one model, as far as a request has to be written for it. */
export interface ModelLimits {
  /** Values of `reasoning_effort`; absent: unknown. */
  readonly efforts?: readonly string[] | undefined;
  /** It thinks. */
  readonly reasons: boolean;
  /** It refuses sampling members, always or while it thinks. */
  readonly fixedSampling: boolean;
}
