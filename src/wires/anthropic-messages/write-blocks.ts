/**
 * Parts of a turn as the provider's content blocks.
 *
 * A part that the provider cannot have is a loss that changes the meaning, never left out in silence. What another
 * provider signed means nothing here and is left out under its name. What Claude signed or ran goes back as it came.
 * https://platform.claude.com/docs/en/api/messages
 */
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import {
  type Bound,
  type CallPart,
  type Json,
  type Part,
  type ResultPart,
  unreachable,
} from "../../conversation/part.ts";
import { isJsonObject, isObjectText } from "../../lib/json.ts";
import { RawJson } from "../../lib/raw-json.ts";
import type { ToolNames } from "../tool-names.ts";
import { CallIds } from "./call-ids.ts";
import { FILES_BETA, fileBlock, imageSource } from "./media.ts";
import { citationParams, providerBlock } from "./provider-blocks.ts";
import { readBlock } from "./read-blocks.ts";

const WIRE = "anthropic-messages";

/** Where a part is: the provider takes pictures and documents from the user and from tools only. */
export type Place = "system" | "user" | "assistant" | "result";

export class BlockWriter {
  readonly losses: Loss[] = [];
  readonly betas = new Set<string>();
  /** Names, as they were sent, of the tools that were called. */
  readonly calledTools = new Set<string>();
  /** Pictures and documents of turns that must not have them: the next user turn's. */
  #deferred: Json[] = [];
  readonly #provider: string;
  readonly #names: ToolNames;
  readonly #ids = new CallIds();

  constructor(provider: string, names: ToolNames) {
    this.#provider = provider;
    this.#names = names;
  }

  takeDeferred(): readonly Json[] {
    const deferred = this.#deferred;
    this.#deferred = [];
    return deferred;
  }

  write(parts: readonly Part[], place: Place): Json[] {
    return parts.flatMap((part) => this.#write(part, place));
  }

  #write(part: Part, place: Place): readonly Json[] {
    switch (part.kind) {
      case "text":
      case "refusal":
        return this.#text(part);
      case "image": {
        if (part.detail === "low" || part.detail === "high") this.losses.push(harmless(`${part.path}.detail`, "part"));
        const source = imageSource(part.media, isOwn(part.bound));
        return this.#media(part, place, source === null ? null : { type: "image", source });
      }
      case "file":
        return this.#media(part, place, fileBlock(part, isOwn(part.bound)));
      case "audio":
        return this.#refuse(part, "This model takes no audio.");
      case "video":
        return this.#refuse(part, "This model takes no video.");
      case "reasoning":
        return place === "assistant" ? this.#reasoning(part) : this.#refuse(part, "Reasoning is the model's own.");
      case "call":
        return place === "assistant" ? [this.#call(part)] : this.#refuse(part, "Only the assistant calls tools.");
      case "result":
        return place === "user" ? [this.#result(part)] : this.#refuse(part, "Only the user brings tool results.");
      case "block":
        return this.#block(part.bound, part);
      case "opaque":
        return this.#opaque(part, place);
      default:
        return unreachable(part);
    }
  }

  #refuse(part: Part, why: string): readonly Json[] {
    this.losses.push(changesMeaning(part.path, "part", why));
    return [];
  }

  /** The provider refuses blank text, which says nothing. */
  #text(part: Extract<Part, { kind: "text" | "refusal" }>): readonly Json[] {
    if (part.bound !== undefined) this.losses.push(harmless(part.path, "bound"));
    if (part.text.trim() === "") return [];
    const citations = part.kind === "text" ? citationParams(part.citations ?? []) : [];
    const block = { type: "text", text: part.text, ...(citations.length > 0 ? { citations } : {}) };
    return [withCacheMark(block, part)];
  }

  #media(part: Part & { readonly kind: "image" | "file" }, place: Place, block: Json | null): readonly Json[] {
    if (block === null) {
      const { kind } = part.media;
      const what = kind === "id" ? "A file id counts only where it was given out." : "This kind of file is not taken.";
      return this.#refuse(part, what);
    }
    if (part.media.kind === "id") this.betas.add(FILES_BETA);
    const marked = withCacheMark(block, part);
    if (place === "user" || place === "result") return [marked];
    this.#deferred.push(marked);
    return [];
  }

  #reasoning(part: Extract<Part, { kind: "reasoning" }>): readonly Json[] {
    const { bound, text } = part;
    if (bound !== undefined && isOwn(bound) && (bound.provider ?? this.#provider) === this.#provider) {
      if (bound.encrypted !== undefined) return [{ type: "redacted_thinking", data: bound.encrypted }];
      if (bound.signature !== undefined) return [{ type: "thinking", thinking: text, signature: bound.signature }];
    }
    this.losses.push(harmless(part.path, "bound"));
    return [];
  }

  /** The client's own argument text, wherever it is an object: no number or key of it is rewritten. */
  #call({ id, name, namespace, form, args, bound, ...part }: CallPart): Json {
    const written = this.#names.sent({ name, namespace });
    this.calledTools.add(written);
    const block = { type: "tool_use", id: this.#ids.begin(id), name: written, input: inputOf(form, args) };
    return withCacheMark({ ...block, ...(bound !== undefined && isOwn(bound) ? callMembers(bound.data) : {}) }, part);
  }

  #result(part: ResultPart): Json {
    const content = this.write(part.parts, "result");
    const toolset = part.bound !== undefined && isOwn(part.bound) ? part.bound.data?.["toolset_name"] : undefined;
    const block = {
      type: "tool_result",
      tool_use_id: this.#ids.answer(part.callId),
      ...(content.length > 0 ? { content } : {}),
      ...(part.isError === undefined ? {} : { is_error: part.isError }),
      ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
    };
    return withCacheMark(block, part);
  }

  #block(bound: Bound, part: Part): readonly Json[] {
    const block = isOwn(bound) && bound.data !== undefined ? providerBlock(bound.data) : null;
    if (block !== null) return [withCacheMark(block, part)];
    this.losses.push(harmless(part.path, "bound"));
    return [];
  }

  /** Chat clients that know their provider send its own blocks: they are read and rebuilt. */
  #opaque(part: Extract<Part, { kind: "opaque" }>, place: Place): readonly Json[] {
    if (part.wire === WIRE) return isJsonObject(part.source) ? [part.source] : this.#refuse(part, "It is no object.");
    // Reasoning as content parts, from other routers' clients: not for another provider's eyes.
    if (REASONING_TYPES.has(part.type)) {
      this.losses.push(harmless(part.path, "bound"));
      return [];
    }
    const read = NATIVE_TYPES.has(part.type) && isJsonObject(part.source) ? readBlock(part.source, part.path) : null;
    if (read === null) return this.#refuse(part, `Parts of type ${part.type.slice(0, 64)} are not taken.`);
    const marked = part.cache === undefined ? read : { ...read, cache: part.cache };
    if (read.kind !== "opaque") return this.#write(marked, place);
    const block = builtBlock(part.source as Json);
    return block === null ? this.#refuse(part, "It is not complete.") : [withCacheMark(block, part)];
  }
}

const NATIVE_TYPES: ReadonlySet<string> = new Set(["image", "document", "search_result"]);
const REASONING_TYPES: ReadonlySet<string> = new Set(["thinking", "redacted_thinking", "reasoning"]);

function isOwn(bound: Bound | undefined): boolean {
  return bound?.wire === WIRE;
}

function inputOf(form: CallPart["form"], args: string): unknown {
  // Written as a function with one text, so that is what the model has called.
  if (form === "custom") return { input: args };
  if (args.trim() === "") return {};
  return isObjectText(args) ? new RawJson(args) : { arguments: args };
}

/** Who called, where it was not the model itself, and which toolset the tool is from. */
function callMembers(data: Json | undefined): Json {
  const { caller, toolset_name: toolset } = data ?? {};
  const by = isJsonObject(caller) ? caller : null;
  const { type, tool_id: tool } = by ?? {};
  return {
    ...(typeof type === "string" ? { caller: { type, ...(typeof tool === "string" ? { tool_id: tool } : {}) } } : {}),
    ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
  };
}

/** Documents made of blocks, and search results of the client's own. */
function builtBlock(source: Json): Json | null {
  const { type, title, context, citations, source: from } = source;
  const content = type === "search_result" ? source["content"] : isJsonObject(from) ? from["content"] : undefined;
  const blocks = typeof content === "string" ? [{ type: "text", text: content }] : textBlocks(content);
  if (blocks === null) return null;
  const common = {
    ...(typeof title === "string" ? { title } : {}),
    ...(typeof context === "string" ? { context } : {}),
    ...(isJsonObject(citations) ? { citations: { enabled: citations["enabled"] === true } } : {}),
  };
  if (type === "search_result") {
    return typeof from === "string" ? { type, source: from, content: blocks, ...common } : null;
  }
  return { type, source: { type: "content", content: blocks }, ...common };
}

function textBlocks(content: unknown): Json[] | null {
  if (!Array.isArray(content)) return null;
  const blocks = content.map((block) => {
    const { type, text, source } = isJsonObject(block) ? block : {};
    if (type === "text" && typeof text === "string") return { type, text };
    if (type !== "image" || !isJsonObject(source)) return null;
    const read = readBlock({ type, source }, "");
    const from = read?.kind === "image" ? imageSource(read.media, true) : null;
    return from === null ? null : { type, source: from };
  });
  return blocks.every((block) => block !== null) ? blocks : null;
}

export function withCacheMark(block: Json, { cache }: { readonly cache?: Json | undefined }): Json {
  if (cache === undefined || typeof cache["type"] !== "string") return block;
  const { type, ttl } = cache;
  return { ...block, cache_control: { type, ...(typeof ttl === "string" ? { ttl } : {}) } };
}
