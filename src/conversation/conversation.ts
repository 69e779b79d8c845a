/**
 * A request in no provider's format: turns, tools and controls, as a client of any door asks for them.
 *
 * `readRequest` of the door's wire makes it, `writeRequest` of the target's wire turns it into a body. Where both are
 * the same wire none is made: the client's bytes are edited and passed on.
 */
import type { Json, Part, WireId } from "./part.ts";

export interface Turn {
  /**
   * `developer` is `system` under its newer name. `tool` holds results only. A `system` turn may stand anywhere: it
   * applies from its place on.
   */
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  readonly parts: readonly Part[];
  /** Who speaks, where the client names participants. */
  readonly name?: string | undefined;
  readonly path: string;
}

/** A function the client runs. */
export interface FunctionTool {
  readonly kind: "function";
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly description?: string | undefined;
  /** JSON Schema; an object without properties when the client gave none. */
  readonly parameters: Json;
  readonly strict: boolean;
  readonly cache?: Json | undefined;
  readonly path: string;
}

/** A tool the client runs whose input is text: free, or held to a grammar. */
export interface CustomTool {
  readonly kind: "custom";
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly description?: string | undefined;
  /** `{type: "text"}` or `{type: "grammar", syntax, definition}`. */
  readonly format?: Json | undefined;
  readonly path: string;
}

/** A tool that a provider runs by itself, or defines itself: search, fetch, code, MCP. In the spelling of `wire`. */
export interface ProviderTool {
  readonly kind: "provider";
  readonly wire: WireId;
  /** What approval globs see: its `type`, or the one member it is made of (`googleSearch`). */
  readonly type: string;
  /** The name of a tool that the client runs though the provider defines it (`bash`, `str_replace_editor`). */
  readonly name?: string | undefined;
  readonly source: Json;
  readonly path: string;
}

export type Tool = FunctionTool | CustomTool | ProviderTool;

export type ToolChoice =
  | { readonly kind: "auto" | "none" | "required" }
  | { readonly kind: "tool"; readonly name: string; readonly form: "function" | "custom" }
  /** One of these only. */
  | { readonly kind: "allowed"; readonly mode: "auto" | "required"; readonly names: readonly string[] }
  /** A provider's own tool is forced, in the spelling of `wire`. */
  | { readonly kind: "provider"; readonly wire: WireId; readonly source: Json };

export type ResponseFormat =
  | { readonly kind: "text" }
  /** `schema`: where the client put a JSON Schema next to the type, as several providers let it. */
  | { readonly kind: "json_object"; readonly schema?: Json | undefined }
  | {
      readonly kind: "json_schema";
      readonly name: string;
      readonly description?: string | undefined;
      readonly schema: Json;
      readonly strict: boolean;
    }
  /** A format that the reader does not know. */
  | { readonly kind: "opaque"; readonly wire: WireId; readonly source: Json };

/** How much the model shall think, in whichever way the client said so. */
export interface ReasoningControl {
  /** `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, or a word that only some provider knows. */
  readonly effort?: string | undefined;
  /** Tokens. */
  readonly budget?: number | undefined;
  /** `false`: thinking is switched off. */
  readonly enabled?: boolean | undefined;
  /** What shall be shown of it: `summarized`, `omitted`, `auto`, `concise`, `detailed`. */
  readonly display?: string | undefined;
  /** The client's own object in the spelling of `wire` (`thinking`, `thinkingConfig`). */
  readonly native?: { readonly wire: WireId; readonly source: Json } | undefined;
  /** The member that the client used, for dropped-params. */
  readonly path: string;
}

/**
 * Everything a request may ask for besides its turns and tools. A member is absent where the client (and the policy's
 * `params`) left it out; `null` of a client means absent.
 */
export interface Controls {
  readonly maxOutputTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly minP?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  /** What no number holds exactly is an object that `JSON.stringify` writes as it was spelled (`parseExactJson`). */
  readonly seed?: number | Json | undefined;
  readonly n?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly logitBias?: Json | undefined;
  readonly logprobs?: boolean | undefined;
  readonly topLogprobs?: number | undefined;
  readonly toolChoice?: ToolChoice | undefined;
  readonly parallelToolCalls?: boolean | undefined;
  readonly responseFormat?: ResponseFormat | undefined;
  readonly reasoning?: ReasoningControl | undefined;
  readonly verbosity?: string | undefined;
  /** `auto`, `default`, `flex`, `priority`, `standard_only`, …: the client's word. */
  readonly serviceTier?: string | undefined;
  readonly modalities?: readonly string[] | undefined;
  readonly promptCacheKey?: string | undefined;
  readonly promptCacheRetention?: string | undefined;
  readonly user?: string | undefined;
  readonly safetyIdentifier?: string | undefined;
  readonly metadata?: Json | undefined;
  readonly store?: boolean | undefined;
  /** `disabled` or `auto`: what happens to a conversation that is too long (Responses). */
  readonly truncation?: string | undefined;
}

/** A member that the reader does not know, as it came. Written for the same wire only. */
export interface OpaqueMember {
  readonly wire: WireId;
  readonly name: string;
  readonly path: string;
  readonly source: unknown;
  /** `null`, `false`, 0, `""`, an empty list or object: leaving it out changes nothing that was asked for. */
  readonly asksForNothing: boolean;
}

export interface Conversation {
  readonly turns: readonly Turn[];
  readonly tools: readonly Tool[];
  readonly controls: Controls;
  readonly stream: boolean;
  /** Top-level members that the reader does not know. */
  readonly others: readonly OpaqueMember[];
  /** The client's own spelling of a control, for dropped-params: `maxOutputTokens` → `max_completion_tokens`. */
  readonly spelling: Readonly<Partial<Record<keyof Controls, string>>>;
  /**
   * Tools that the client offered inside a namespace (Responses), by the name that they have here: `<namespace>__<name>`
   * in tools, choice and calls alike, with no `namespace` next to it, so that a wire without namespaces has nothing to
   * do. The door gives the client its own names back.
   */
  readonly namespaces?: ReadonlyMap<string, { readonly namespace: string; readonly name: string }> | undefined;
}
