/**
 * Turns as `input` items, stateless: everything is in the request, nothing is looked up at the provider.
 *
 * Ids of messages and calls are left out. They mean nothing where nothing is stored, and a call that has one is refused
 * when the reasoning that came before it is missing. Reasoning goes back with its id and its encrypted form, in its place.
 */
import type { Turn } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import {
  type CallPart,
  type Json,
  type Media,
  type Part,
  type ResultPart,
  unreachable,
} from "../../conversation/part.ts";
import type { ToolNames } from "../tool-names.ts";
import { annotationOf, clientCallItem, clientResultItem, isFor, phaseOf, replayedItem, WIRE } from "./items.ts";

/** https://developers.openai.com/api/reference: longer ids of calls are refused. */
const MAX_CALL_ID_LENGTH = 64;

export interface WrittenItems {
  readonly instructions: string | undefined;
  readonly input: readonly Json[];
}

export function writeItems(turns: readonly Turn[], provider: string, names: ToolNames, losses: Loss[]): WrittenItems {
  const instructions = turns.length > 1 ? instructionsOf(turns[0]) : undefined;
  const writer = new ItemWriter(provider, names, losses);
  for (const turn of instructions === undefined ? turns : turns.slice(1)) writer.add(turn);
  return { instructions, input: writer.items };
}

/** A system prompt at the beginning that is one text. Others stay items, so that their parts stay apart. */
function instructionsOf(turn: Turn | undefined): string | undefined {
  const [part, ...more] = turn?.parts ?? [];
  const isPlain = turn?.role === "system" && turn.name === undefined && more.length === 0;
  return isPlain && part?.kind === "text" && part.cache === undefined ? part.text : undefined;
}

class ItemWriter {
  readonly items: Json[] = [];
  readonly #provider: string;
  readonly #names: ToolNames;
  readonly #losses: Loss[];
  /** Ids of the calls so far whose tool is a custom one: their results are items of another type. */
  readonly #customCalls = new Set<string>();

  constructor(provider: string, names: ToolNames, losses: Loss[]) {
    this.#provider = provider;
    this.#names = names;
    this.#losses = losses;
  }

  add(turn: Turn): void {
    if (turn.name !== undefined) this.#losses.push(harmless(`${turn.path}.name`, "member"));
    if (turn.role === "assistant") {
      this.#addAssistant(turn.parts);
      return;
    }
    const role = turn.role === "tool" ? "user" : turn.role;
    let open: Part[] = [];
    const close = (): void => {
      if (open.length > 0) this.items.push({ type: "message", role, content: writeContent(open, this.#losses) });
      open = [];
    };
    for (const part of turn.parts) {
      if (part.kind !== "result") {
        open.push(part);
        continue;
      }
      close();
      this.items.push(this.#result(part));
    }
    close();
    // A turn without content is still a turn: the model may be asked to begin.
    if (turn.parts.length === 0 && turn.role === "user") this.items.push({ type: "message", role, content: "" });
  }

  #result(part: ResultPart): Json {
    const { bound, callId } = part;
    this.#noteCache(part);
    const own = isFor(bound, this.#provider) ? clientResultItem(part) : null;
    if (own !== null) return own;
    const isCustom = part.form === "custom" || this.#customCalls.has(callId);
    const [only, ...more] = part.parts;
    const told: readonly Part[] = part.isError === true ? [failureOf(part), ...part.parts] : part.parts;
    const isPlain = part.isError !== true && more.length === 0 && (only === undefined || only.kind === "text");
    if (isPlain && only !== undefined) this.#noteCache(only);
    return {
      type: isCustom ? "custom_tool_call_output" : "function_call_output",
      call_id: shortId(callId),
      output: isPlain ? (only?.kind === "text" ? only.text : "") : writeContent(told, this.#losses),
    };
  }

  #addAssistant(parts: readonly Part[]): void {
    const items: Json[] = [];
    let message: { readonly phase: string | undefined; readonly content: Json[] } | null = null;
    const say = (phase: string | undefined, part: Json): void => {
      if (message === null || message.phase !== phase) {
        message = { phase, content: [] };
        const phased = phase === undefined ? {} : { phase };
        items.push({ type: "message", role: "assistant", ...phased, content: message.content });
      }
      message.content.push(part);
    };
    for (const part of parts) {
      this.#noteCache(part);
      switch (part.kind) {
        case "text":
          say(isFor(part.bound, this.#provider) ? phaseOf(part.bound) : undefined, this.#text(part));
          continue;
        case "refusal":
          say(undefined, { type: "refusal", refusal: part.text });
          continue;
        case "reasoning":
        case "call":
        case "block":
        case "opaque":
        case "image":
        case "audio":
        case "video":
        case "file":
        case "result": {
          const item = this.#item(part);
          if (item === null) continue;
          message = null;
          items.push(item);
          continue;
        }
        default:
          unreachable(part);
      }
    }
    this.#dropLooseReasoning(items, parts);
    this.items.push(...items);
  }

  #text({ text, citations, path }: Extract<Part, { kind: "text" }>): Json {
    const own = (citations ?? []).flatMap((citation) => annotationOf(citation) ?? []);
    if (own.length < (citations?.length ?? 0)) this.#losses.push(harmless(`${path}.citations`, "bound"));
    return { type: "output_text", text, ...(own.length === 0 ? {} : { annotations: own }) };
  }

  /** `null`, with its loss noted, for what cannot be said here. */
  #item(part: Exclude<Part, { kind: "text" | "refusal" }>): Json | null {
    const { path } = part;
    switch (part.kind) {
      case "reasoning": {
        const { bound, text, form } = part;
        if (!isFor(bound, this.#provider) || bound.encrypted === undefined) {
          this.#losses.push(harmless(path, "bound"));
          return null;
        }
        const isFull = form === "full" && text !== "";
        return {
          type: "reasoning",
          ...(bound.id === undefined ? {} : { id: bound.id }),
          summary: text === "" || isFull ? [] : [{ type: "summary_text", text }],
          ...(isFull ? { content: [{ type: "reasoning_text", text }] } : {}),
          encrypted_content: bound.encrypted,
        };
      }
      case "call":
        return this.#call(part);
      case "block":
        // Where its own provider goes on, the block is part of the conversation; another one reads what was made of it.
        if (isFor(part.bound, this.#provider)) {
          const item = replayedItem(part.bound.data);
          if (item !== null) return item;
        }
        this.#losses.push(harmless(path, "bound"));
        return null;
      case "opaque":
        if (part.wire === WIRE) return part.source as Json;
        this.#losses.push(changesMeaning(path, "part", `\`${path}\` is of a type that this target does not know.`));
        return null;
      case "image":
      case "audio":
      case "video":
      case "file":
      case "result":
        this.#losses.push(changesMeaning(path, "part", `\`${path}\` cannot be part of an answer for this target.`));
        return null;
      default:
        return unreachable(part);
    }
  }

  #call(part: CallPart): Json {
    const { id, form, args, bound } = part;
    const own = isFor(bound, this.#provider) ? clientCallItem(part) : null;
    if (own !== null) return own;
    const common = { call_id: shortId(id), name: this.#names.sent(part) };
    if (form === "custom") {
      this.#customCalls.add(id);
      return { type: "custom_tool_call", ...common, input: args };
    }
    this.#customCalls.delete(id);
    return { type: "function_call", ...common, arguments: args === "" ? "{}" : args };
  }

  /** Reasoning that nothing follows in its turn is refused: the answer was cut after it. */
  #dropLooseReasoning(items: Json[], parts: readonly Part[]): void {
    const reasoning = parts.filter(({ kind }) => kind === "reasoning");
    while (items.at(-1)?.["type"] === "reasoning") {
      items.pop();
      this.#losses.push(harmless(reasoning.pop()?.path ?? "", "bound"));
    }
  }

  /** Prefixes are cached by themselves. */
  #noteCache({ cache, path }: Part): void {
    if (cache !== undefined) this.#losses.push(harmless(`${path}.cache_control`, "member"));
  }
}

/** What `is_error` says elsewhere, in words: the wire has no member for it. */
function failureOf({ path }: ResultPart): Part {
  return { kind: "text", text: "The tool call failed.", path };
}

/** Other providers' ids may be longer. The same one for a call and its result, and in every request. */
function shortId(id: string): string {
  if (id.length <= MAX_CALL_ID_LENGTH) return id;
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  const mark = (hash >>> 0).toString(36);
  return `${id.slice(0, MAX_CALL_ID_LENGTH - mark.length - 1)}_${mark}`;
}

/** Parts of a user's or system's message, and of a tool's result, as content of an item. */
function writeContent(parts: readonly Part[], losses: Loss[]): Json[] {
  return parts.flatMap((part) => {
    if (part.cache !== undefined) losses.push(harmless(`${part.path}.cache_control`, "member"));
    const written = writePart(part, losses);
    return written === null ? [] : [written];
  });
}

/** `null`, with its loss noted, for what cannot be said here. */
function writePart(part: Part, losses: Loss[]): Json | null {
  const { path } = part;
  switch (part.kind) {
    case "text":
      return { type: "input_text", text: part.text };
    case "image":
      if (isForeignId(part)) return lost(path, losses, "A file id counts only where it was given out.");
      return { type: "input_image", ...imageMembers(part.media), ...some("detail", part.detail) };
    case "file": {
      if (isForeignId(part)) return lost(path, losses, "A file id counts only where it was given out.");
      if (part.options !== undefined) losses.push(harmless(`${path}.options`, "member"));
      // A document that is text needs no file.
      if (part.media.kind === "text") return { type: "input_text", text: part.media.text };
      return { type: "input_file", ...fileMembers(part.media, part.name) };
    }
    case "opaque":
      if (part.wire === WIRE) return part.source as Json;
      return lost(path, losses, `Parts of the type \`${part.type}\` are not known to this target.`);
    case "audio":
      return lost(path, losses, "This target does not take audio with tools.");
    case "video":
      return lost(path, losses, "This target does not take video.");
    case "refusal":
      return { type: "input_text", text: part.text };
    case "reasoning":
    case "call":
    case "result":
    case "block":
      return lost(path, losses, `A part of the kind \`${part.kind}\` has no place in this message.`);
    default:
      return unreachable(part);
  }
}

/** Given out by a provider of another wire. Chat's ids are OpenAI's own. */
function isForeignId({ media, bound }: Extract<Part, { kind: "image" | "file" }>): boolean {
  return media.kind === "id" && bound !== undefined && bound.wire !== WIRE && bound.wire !== "openai-chat";
}

function lost(path: string, losses: Loss[], why: string): null {
  losses.push(changesMeaning(path, "part", `\`${path}\`: ${why}`));
  return null;
}

function imageMembers(media: Media): Json {
  switch (media.kind) {
    case "base64":
      return { image_url: dataUrl(media) };
    case "url":
      return { image_url: media.url };
    case "id":
      return { file_id: media.id };
    case "text":
      return { image_url: `data:text/plain,${encodeURIComponent(media.text)}` };
    default:
      return unreachable(media);
  }
}

function fileMembers(media: Exclude<Media, { kind: "text" }>, name: string | undefined): Json {
  switch (media.kind) {
    case "base64":
      // Bytes without a name are refused; the ending says nothing that the media type does not.
      return { filename: name ?? `file.${media.mediaType.split(/[/+.]/).at(-1)}`, file_data: dataUrl(media) };
    case "url":
      return { file_url: media.url, ...some("filename", name) };
    case "id":
      return { file_id: media.id, ...some("filename", name) };
    default:
      return unreachable(media);
  }
}

function dataUrl({ mediaType, data }: Extract<Media, { kind: "base64" }>): string {
  return `data:${mediaType};base64,${data}`;
}

function some(name: string, value: string | undefined): Json {
  return value === undefined ? {} : { [name]: value };
}
