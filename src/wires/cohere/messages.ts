/**
 * A conversation as Cohere's `messages` (https://docs.cohere.com/reference/chat).
 *
 * Pure. Thoughts go back only to a model that thinks: the others refuse the block. They carry no signature, so it does
 * not matter whose they were. Pictures go with users only, files and sounds nowhere.
 */
import type { Turn } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import {
  type CallPart,
  type ImagePart,
  type Json,
  type Part,
  type ReasoningPart,
  type ResultPart,
  unreachable,
} from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { argumentsText } from "../call-arguments.ts";
import type { ToolNames } from "../tool-names.ts";
import { documentOf } from "./documents.ts";

export interface MessageOptions {
  /** The model takes thoughts back. */
  readonly thinks: boolean;
  readonly names: ToolNames;
}

export interface WrittenMessages {
  readonly messages: readonly Json[];
  readonly losses: readonly Loss[];
}

export function writeMessages(turns: readonly Turn[], options: MessageOptions): WrittenMessages {
  const writer = new MessageWriter(options);
  const messages = turns.flatMap((turn) => writer.write(turn));
  return { messages, losses: writer.losses };
}

const DETAILS: ReadonlySet<string> = new Set(["low", "high", "auto"]);

class MessageWriter {
  readonly losses: Loss[] = [];
  readonly #options: MessageOptions;

  constructor(options: MessageOptions) {
    this.#options = options;
  }

  write(turn: Turn): Json[] {
    if (turn.name !== undefined) this.losses.push(harmless(`${turn.path}.name`, "member"));
    for (const part of turn.parts) {
      if (part.cache !== undefined) this.losses.push(harmless(`${part.path}.cache_control`, "member"));
    }
    switch (turn.role) {
      case "system":
      case "developer":
        return [{ role: "system", content: plain(turn.parts.flatMap((part) => this.#text(part))) }];
      case "user":
        return [{ role: "user", content: plain(turn.parts.flatMap((part) => this.#userPart(part))) }];
      case "assistant":
        return [this.#assistant(turn.parts)];
      case "tool":
        return turn.parts.flatMap((part) => (part.kind === "result" ? [this.#result(part)] : this.#lost(part)));
      default:
        return unreachable(turn.role);
    }
  }

  /** Where there is nothing but text. */
  #text(part: Part): Json[] {
    if (part.kind !== "text" && part.kind !== "refusal") return this.#lost(part);
    return [{ type: "text", text: part.text }];
  }

  #userPart(part: Part): Json[] {
    return part.kind === "image" ? this.#image(part) : this.#text(part);
  }

  #image(part: ImagePart): Json[] {
    const { media, detail } = part;
    if (media.kind !== "url" && media.kind !== "base64") return this.#lost(part);
    const url = media.kind === "url" ? media.url : `data:${media.mediaType};base64,${media.data}`;
    const isKnown = detail !== undefined && DETAILS.has(detail);
    if (detail !== undefined && !isKnown) this.losses.push(harmless(`${part.path}.detail`, "member"));
    return [{ type: "image_url", image_url: { url, ...(isKnown ? { detail } : {}) } }];
  }

  #assistant(parts: readonly Part[]): Json {
    const content: Json[] = [];
    const calls: Json[] = [];
    let plan = "";
    for (const part of parts) {
      switch (part.kind) {
        case "text":
          if (part.citations !== undefined) this.losses.push(harmless(`${part.path}.citations`, "bound"));
          content.push({ type: "text", text: part.text });
          break;
        case "refusal":
          content.push({ type: "text", text: part.text });
          break;
        case "reasoning":
          if (isPlan(part)) plan += part.text;
          else content.push(...this.#thought(part));
          break;
        case "call":
          calls.push(this.#call(part));
          break;
        case "block":
          // Another provider's search, with what it found.
          this.losses.push(harmless(part.path, "bound"));
          break;
        case "image":
        case "audio":
        case "video":
        case "file":
        case "result":
        case "opaque":
          this.#lost(part);
          break;
        default:
          unreachable(part);
      }
    }
    return {
      role: "assistant",
      ...(content.length === 0 && calls.length > 0 ? {} : { content: plain(content) }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
      ...(calls.length === 0 || plan === "" ? {} : { tool_plan: plan }),
    };
  }

  #thought(part: ReasoningPart): Json[] {
    if (this.#options.thinks && part.text !== "") return [{ type: "thinking", thinking: part.text }];
    this.losses.push(harmless(part.path, "bound"));
    return [];
  }

  #call(part: CallPart): Json {
    const args = part.form === "custom" ? JSON.stringify({ input: part.args }) : argumentsText(part.args);
    return { id: part.id, type: "function", function: { name: this.#options.names.sent(part), arguments: args } };
  }

  #result(part: ResultPart): Json {
    if (part.isError === true) this.losses.push(harmless(`${part.path}.is_error`, "member"));
    const content = part.parts.flatMap((inner) => this.#resultPart(inner));
    return { role: "tool", tool_call_id: part.callId, content: plain(content) };
  }

  #resultPart(part: Part): Json[] {
    if (part.cache !== undefined) this.losses.push(harmless(`${part.path}.cache_control`, "member"));
    // A document is Cohere's own way to give a result, from which the model cites.
    const source = part.kind === "opaque" && part.type === "document" && isJsonObject(part.source) ? part.source : null;
    const document = source === null ? null : documentOf(source["document"]);
    return document === null ? this.#text(part) : [{ type: "document", document }];
  }

  #lost(part: Part): Json[] {
    this.losses.push(changesMeaning(part.path, "part", `Cohere takes no ${nameOf(part)} here.`));
    return [];
  }
}

/** One text stays a string, none is `""`; anything more is a list of parts. */
function plain(parts: readonly Json[]): unknown {
  const [only] = parts;
  if (only === undefined) return "";
  return parts.length === 1 && only["type"] === "text" ? only["text"] : parts;
}

function isPlan({ bound }: ReasoningPart): boolean {
  return bound?.wire === "cohere" && bound.data?.["tool_plan"] === true;
}

function nameOf(part: Part): string {
  if (part.kind === "image") return "image with such a source";
  return part.kind === "opaque" ? "part of this type" : part.kind;
}
