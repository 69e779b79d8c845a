/**
 * The conversation as Converse wants it: system apart, user and assistant strictly in turns, results in the user's turn.
 *
 * Surprising: where no tool may be called (`tool_choice: "none"`, or no tools at all), earlier calls and their results
 * are written as text. Converse refuses `toolUse` blocks without `toolConfig`, and with it the model might call again:
 * there is no `none`. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
 */
import type { Turn } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import {
  type CallPart,
  type Json,
  type Part,
  type ReasoningPart,
  type ResultPart,
  unreachable,
} from "../../conversation/part.ts";
import { isObjectText } from "../../lib/json.ts";
import { RawJson } from "../../lib/raw-json.ts";
import { argumentsText } from "../call-arguments.ts";
import type { ToolNames } from "../tool-names.ts";
import { CallIds } from "./call-ids.ts";
import { audioBlock, documentBlock, imageBlock, videoBlock, type WrittenBlock } from "./content.ts";
import type { ModelTraits } from "./models.ts";
import { OwnBlocks } from "./own-blocks.ts";

type Role = "user" | "assistant";

export interface WrittenTurns {
  readonly system: readonly Json[];
  readonly messages: readonly { readonly role: Role; readonly content: readonly Json[] }[];
  /** The last turn gives results of calls before which there is no reasoning. */
  readonly isBareLoop: boolean;
  /** Signed reasoning goes back. */
  readonly hasReasoning: boolean;
  readonly losses: readonly Loss[];
}

export interface TurnOptions {
  readonly traits: ModelTraits;
  readonly names: ToolNames;
  /** Calls and results are blocks, because tools are offered. */
  readonly toolBlocks: boolean;
}

/** Where somebody has to say something; this says nothing. */
const FILLER: Json = { text: "." };
/** Where a model does not go on with words of the assistant's by itself. */
const GO_ON: Json = { text: "Continue." };

export function writeTurns(turns: readonly Turn[], options: TurnOptions): WrittenTurns {
  const writer = new TurnWriter(options);
  for (const turn of turns) writer.add(turn);
  return writer.finish();
}

interface OpenTurn {
  readonly role: Role;
  /** Results and their cache marks. Claude refuses a turn in which anything precedes them. */
  readonly results: Json[];
  readonly blocks: Json[];
}

class TurnWriter {
  readonly #options: TurnOptions;
  readonly #system: Json[] = [];
  readonly #turns: OpenTurn[] = [];
  readonly #ids = new CallIds();
  readonly #calledNames = new Map<string, string>();
  readonly #losses: Loss[] = [];
  #documents = 0;
  #hasReasoning = false;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  add(turn: Turn): void {
    if (turn.name !== undefined) this.#losses.push(harmless(`${turn.path}.name`, "member"));
    switch (turn.role) {
      case "system":
      case "developer":
        this.#system.push(...turn.parts.flatMap((part) => this.#marked(part, this.#systemBlocks(part))));
        return;
      case "user":
        this.#push(
          "user",
          "blocks",
          turn.parts.flatMap((part) => this.#marked(part, this.#userBlocks(part))),
        );
        return;
      case "assistant":
        this.#push("assistant", "blocks", this.#assistantBlocks(turn.parts));
        return;
      case "tool":
        for (const part of turn.parts) {
          if (part.kind === "result") this.#addResult(part);
          else this.#lose(part, `A tool's message holds results only, not ${nameOf(part)}.`);
        }
        return;
      default:
        unreachable(turn.role);
    }
  }

  #push(role: Role, place: "results" | "blocks", blocks: readonly Json[]): void {
    if (blocks.length === 0) return;
    let last = this.#turns.at(-1);
    if (last?.role !== role) {
      last = { role, results: [], blocks: [] };
      this.#turns.push(last);
    }
    last[place].push(...blocks);
  }

  #systemBlocks(part: Part): Json[] {
    if (part.kind === "text" || part.kind === "refusal") return textBlocks(part.text);
    return this.#lose(part, `Instructions hold text only, not ${nameOf(part)}.`);
  }

  #userBlocks(part: Part): Json[] {
    switch (part.kind) {
      case "text":
      case "refusal":
        return textBlocks(part.text);
      case "image":
        if (part.detail !== undefined && part.detail !== "auto") {
          this.#losses.push(harmless(`${part.path}.detail`, "member"));
        }
        return this.#written(part, imageBlock(part.media));
      case "video":
        return this.#written(part, videoBlock(part.media));
      case "audio":
        return this.#written(part, audioBlock(part));
      case "file":
        return this.#document(part);
      case "reasoning":
      case "call":
      case "result":
      case "block":
      case "opaque":
        return this.#lose(part, `Amazon Bedrock takes no ${nameOf(part)} here.`);
      default:
        return unreachable(part);
    }
  }

  #document(part: Extract<Part, { kind: "file" }>): Json[] {
    const written = documentBlock(part, `document-${this.#documents + 1}`);
    if ("block" in written && "document" in written.block) this.#documents++;
    return this.#written(part, written);
  }

  #written(part: Part, written: WrittenBlock): Json[] {
    return "block" in written ? [written.block] : this.#lose(part, written.why);
  }

  #assistantBlocks(parts: readonly Part[]): Json[] {
    const own = new OwnBlocks();
    return parts.flatMap((part) => this.#marked(part, this.#assistantBlock(part, own)));
  }

  #assistantBlock(part: Part, own: OwnBlocks): Json[] {
    switch (part.kind) {
      case "text":
        if (part.citations !== undefined) this.#losses.push(harmless(`${part.path}.citations`, "bound"));
        return textBlocks(part.text);
      case "refusal":
        return textBlocks(part.text);
      case "reasoning":
        return this.#reasoning(part);
      case "call":
        return [this.#call(part)];
      case "block": {
        const block = this.#options.toolBlocks && part.bound.wire === "bedrock" ? own.rebuilt(part.bound.data) : null;
        if (block !== null) return [block];
        this.#losses.push(harmless(part.path, "bound"));
        return [];
      }
      case "image":
      case "audio":
      case "video":
      case "file":
      case "result":
      case "opaque":
        return this.#lose(part, `Amazon Bedrock takes no ${nameOf(part)} in the assistant's turn.`);
      default:
        return unreachable(part);
    }
  }

  /** Only what this provider signed: it refuses reasoning of others, and reasoning without a signature. */
  #reasoning({ bound, text, path }: ReasoningPart): Json[] {
    const { family } = this.#options.traits;
    if (bound?.wire === "bedrock" && (family === "claude" || family === "unknown")) {
      const { encrypted, signature } = bound;
      const block =
        encrypted !== undefined
          ? { redactedContent: encrypted }
          : signature !== undefined
            ? { reasoningText: { text, signature } }
            : null;
      if (block !== null) {
        this.#hasReasoning = true;
        return [{ reasoningContent: block }];
      }
    }
    this.#losses.push(harmless(path, "bound"));
    return [];
  }

  #call(part: CallPart): Json {
    this.#calledNames.set(part.id, part.name);
    if (!this.#options.toolBlocks) return { text: `[Called ${part.name} with ${argumentsText(part.args)}]` };
    return {
      toolUse: { toolUseId: this.#ids.begin(part.id), name: this.#options.names.sent(part), input: inputOf(part) },
    };
  }

  #addResult(part: ResultPart): void {
    const { callId, parts, isError } = part;
    const inner = parts.flatMap((each) => this.#resultBlocks(each));
    // Marks follow a result, never inside it.
    const marks = [...parts, part].flatMap((each) => this.#mark(each));
    if (!this.#options.toolBlocks) {
      const failed = isError === true ? ", which failed" : "";
      const title = { text: `[Result of ${this.#calledNames.get(callId) ?? callId}${failed}:]` };
      this.#push("user", "blocks", [title, ...inner, ...marks]);
      return;
    }
    const toolResult = {
      toolUseId: this.#ids.answer(callId),
      // The client's text as it is, even where it is JSON: parsing it would round its numbers.
      content: inner.length === 0 ? [{ text: "(empty)" }] : inner,
      ...(isError === true ? { status: "error" } : {}),
    };
    this.#push("user", "results", [{ toolResult }, ...marks]);
  }

  /** Text, images, videos and documents. */
  #resultBlocks(part: Part): Json[] {
    if (part.kind === "audio") return this.#lose(part, "Amazon Bedrock takes no audio in a tool's result.");
    return this.#userBlocks(part);
  }

  /** `blocks` and the cache mark behind them. */
  #marked(part: Part, blocks: readonly Json[]): Json[] {
    return [...blocks, ...this.#mark(part, blocks.length > 0)];
  }

  /** `hasBlocks`: there is something to mark. */
  #mark(part: Part, hasBlocks = true): Json[] {
    if (part.cache === undefined) return [];
    const mark = hasBlocks && this.#options.traits.caching !== "none" ? cachePoint(part.cache) : null;
    if (mark === null) this.#losses.push(harmless(`${part.path}.cache_control`, "member"));
    return mark === null ? [] : [mark];
  }

  #lose(part: Part, why: string): Json[] {
    this.#losses.push(changesMeaning(part.path, "part", why));
    return [];
  }

  finish(): WrittenTurns {
    const [system, turns] = [this.#system, this.#turns];
    // OpenAI answers instructions alone; here somebody has to speak first.
    if (turns.length === 0 && system.length > 0) this.#push("user", "blocks", system.splice(0));
    if (turns.length === 0) this.#push("user", "blocks", [FILLER]);
    if (turns[0]?.role === "assistant") turns.unshift({ role: "user", results: [], blocks: [FILLER] });
    if (turns.at(-1)?.role === "assistant") this.#endWithAssistant();
    const last = turns.at(-1);
    const caller = last !== undefined && last.results.length > 0 ? turns.at(-2) : undefined;
    return {
      system,
      messages: turns.map(toMessage),
      isBareLoop: caller !== undefined && !caller.blocks.some((block) => "reasoningContent" in block),
      hasReasoning: this.#hasReasoning,
      losses: this.#losses,
    };
  }

  #endWithAssistant(): void {
    if (!this.#options.traits.continuesAssistant) {
      this.#push("user", "blocks", [GO_ON]);
      return;
    }
    const blocks = this.#turns.at(-1)?.blocks;
    const text = blocks?.at(-1)?.["text"];
    // A text to be continued must not end in white space: Claude refuses it.
    if (blocks !== undefined && typeof text === "string") blocks[blocks.length - 1] = { text: text.trimEnd() };
  }
}

/** Blank texts are left out: Converse refuses them. */
function textBlocks(text: string): Json[] {
  return text.trim() === "" ? [] : [{ text }];
}

/** The client's own text, as it is. An answer that was cut off may have left half an object: it is kept as a text in one. */
function inputOf({ args, form }: CallPart): unknown {
  if (form === "custom") return { input: args };
  const text = argumentsText(args);
  return isObjectText(text) ? new RawJson(text) : { arguments: args };
}

/** `null` for a hint that is not Anthropic's. Five minutes are the default, and only some models know another time. */
export function cachePoint({ type, ttl }: Json): Json | null {
  if (type !== "ephemeral") return null;
  return { cachePoint: { type: "default", ...(typeof ttl === "string" && ttl !== "5m" ? { ttl } : {}) } };
}

/**
 * Documents need an accompanying text:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html.
 */
function toMessage({ role, results, blocks }: OpenTurn): { role: Role; content: Json[] } {
  const content = [...results, ...blocks];
  const hasDocument = role === "user" && content.some((block) => "document" in block);
  if (hasDocument && !content.some((block) => "text" in block)) content.push(FILLER);
  return { role, content };
}

function nameOf(part: Part): string {
  return part.kind === "opaque" ? "part of this type" : part.kind;
}
