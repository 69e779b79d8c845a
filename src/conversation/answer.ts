/**
 * An answer in no provider's format, as a stream of events and as a whole.
 *
 * `readAnswer` of the target's wire makes it, `writeAnswer` of the door's wire turns it into what the client reads.
 * An event says one thing; events of one choice come in the order in which the model made their parts.
 */
import { type Bound, type CallPart, type Json, type Part, unreachable } from "./part.ts";
import type { TokenCounts } from "./usage.ts";

/** How a choice ended, by what a client has to do next. */
export type FinishReason =
  /** The model said all it wanted, or met a stop sequence. */
  | "stop"
  | "length"
  /** The client has to run tools. */
  | "tool_calls"
  | "content_filter";

export interface Finish {
  readonly reason: FinishReason;
  /** The provider's own word: `end_turn`, `stop_sequence`, `MAX_TOKENS`. */
  readonly native?: string | undefined;
  /** The stop sequence that was met. */
  readonly stopSequence?: string | undefined;
  /** Further members of the wire on how it ended (`stop_details`). */
  readonly details?: Json | undefined;
}

/**
 * One thing a stream says. `choice` counts the alternatives of `n` from 0; `index` counts the calls of a choice from 0,
 * dense, in the order in which they began.
 */
export type AnswerEvent =
  /** Once, before everything else that has content. Nothing of it has to be known. */
  | {
      readonly kind: "start";
      readonly id?: string | undefined;
      readonly model?: string | undefined;
      /** By the provider's clock, epoch seconds. */
      readonly createdAt?: number | undefined;
    }
  /** `begins`: a new text block, where the wire has blocks: text of two blocks is not one text. */
  | {
      readonly kind: "text";
      readonly choice: number;
      readonly text: string;
      readonly begins?: boolean | undefined;
      /** In OpenAI's shape, for the tokens of this text. */
      readonly logprobs?: Json | undefined;
    }
  | {
      readonly kind: "reasoning";
      readonly choice: number;
      readonly text: string;
      readonly begins?: boolean | undefined;
      readonly form: "full" | "summary" | "redacted";
    }
  /** What a provider attached to the reasoning or text block that ends here (its signature), or a redacted one whole. */
  | {
      readonly kind: "bound";
      readonly choice: number;
      /** The part that it belongs to. `own`: it is a part of its own (a redacted thought, a signed empty text). */
      readonly of: "reasoning" | "text" | "own";
      readonly bound: Bound;
    }
  | { readonly kind: "refusal"; readonly choice: number; readonly text: string }
  | {
      readonly kind: "call_start";
      readonly choice: number;
      readonly index: number;
      readonly id: string;
      readonly name: string;
      readonly namespace?: string | undefined;
      readonly form: CallPart["form"];
      /** It has no id of its own, and its result names the function only (OpenAI's `function_call`). */
      readonly isLegacy?: boolean | undefined;
      readonly bound?: Bound | undefined;
    }
  /** The next piece of a call's exact argument text. All pieces together are `{}` where there are no arguments. */
  | { readonly kind: "call_args"; readonly choice: number; readonly index: number; readonly text: string }
  | { readonly kind: "call_end"; readonly choice: number; readonly index: number }
  /** A block of the provider's own, whole: a search and what it found. */
  | { readonly kind: "block"; readonly choice: number; readonly bound: Bound }
  /** Where the text before it comes from. `citation` in the wire's spelling, `url` in OpenAI's `url_citation` shape. */
  | {
      readonly kind: "citation";
      readonly choice: number;
      readonly citation?: Json | undefined;
      readonly url?: Json | undefined;
    }
  /** A picture or sound that the model made, as a content part in OpenAI's shape. */
  | {
      readonly kind: "media";
      readonly choice: number;
      readonly media: "image" | "audio";
      readonly source: Json;
      readonly bound?: Bound | undefined;
    }
  | { readonly kind: "finish"; readonly choice: number; readonly finish: Finish }
  /** Cumulative: a later one replaces an earlier one. `raw`, in chat's shape, is what the bill is made from. */
  | { readonly kind: "usage"; readonly counts: TokenCounts | null; readonly raw: Json }
  /** Members of the wire that the core has no place for. Written for the same wire, and as extras of chat. */
  | { readonly kind: "extra"; readonly choice: number | null; readonly members: Json }
  /** The provider's own error body, for `classify`. Nothing follows. */
  | { readonly kind: "error"; readonly body: unknown };

/** Has the answer itself begun? Text, thoughts, calls, a refusal, media, a provider's block, an end. */
export function hasContent(event: AnswerEvent): boolean {
  switch (event.kind) {
    case "text":
    case "reasoning":
    case "refusal":
      return event.text !== "";
    case "call_start":
    case "call_args":
    case "block":
    case "media":
    case "finish":
      return true;
    case "start":
    case "bound":
    case "call_end":
    case "citation":
    case "usage":
    case "extra":
    case "error":
      return false;
    default:
      return unreachable(event);
  }
}

/** One alternative of a whole answer: what its events add up to. */
export interface AnswerChoice {
  readonly parts: readonly Part[];
  readonly finish: Finish;
  /** In OpenAI's shape. */
  readonly logprobs?: Json | undefined;
  /** Members of the choice's message that the core has no place for. */
  readonly extra?: Json | undefined;
}

export interface Answer {
  readonly id: string | undefined;
  readonly model: string | undefined;
  readonly choices: readonly AnswerChoice[];
  /** `null` where the provider sent no figures, or none that can be read. */
  readonly usage: TokenCounts | null;
  /** In chat's shape, with what else the provider said: what the bill is made from. */
  readonly rawUsage: Json | undefined;
  /** Further top-level members in OpenAI's shape (`service_tier`, `citations`). */
  readonly extra?: Json | undefined;
}

/** A piece of the visible output, for counting. */
export interface OutputPiece {
  readonly kind: "text" | "reasoning" | "call";
  readonly text: string;
}

export function outputPieces({ choices }: Answer): readonly OutputPiece[] {
  return choices.flatMap(({ parts }) =>
    parts.flatMap((part): OutputPiece[] => {
      if (part.kind === "text" || part.kind === "refusal") return [{ kind: "text", text: part.text }];
      if (part.kind === "reasoning") return [{ kind: "reasoning", text: part.text }];
      if (part.kind !== "call") return [];
      return [
        { kind: "call", text: part.name },
        { kind: "call", text: part.args },
      ];
    }),
  );
}
