/** `messages` of a chat request as turns. What a message has that is unknown becomes an opaque part or member. */
import type { OpaqueMember, Turn } from "../../conversation/conversation.ts";
import type { Bound, Json, Part, ReasoningPart } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { inlineOf } from "./chat-wire.ts";
import { BLOCK_MEMBERS, readCallExtra, readDetail } from "./details.ts";
import { isLayout, type LayoutToken, readLayout } from "./layout.ts";

const WIRE = "openai-chat";

/** Members of a message that are read here. Others are opaque. */
const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...["role", "content", "name", "refusal", "tool_calls", "function_call", "tool_call_id", "cache_control", "is_error"],
  ...["reasoning_content", "reasoning", "reasoning_details", "images", ...BLOCK_MEMBERS.map(([name]) => name)],
  // What SDKs send back of an answer, and that says nothing to another model.
  ...["annotations", "citations", "stop_details", "stop_sequence", "tool_plan", "audio", "parsed", "id"],
]);

export interface ReadTurns {
  readonly turns: readonly Turn[];
  readonly others: readonly OpaqueMember[];
}

export function readTurns(messages: unknown): ReadTurns {
  const turns: Turn[] = [];
  const others: OpaqueMember[] = [];
  for (const [at, message] of (Array.isArray(messages) ? messages : []).entries()) {
    if (!isJsonObject(message)) continue;
    const path = `messages[${at}]`;
    turns.push(readTurn(message, path));
    for (const [name, source] of Object.entries(message)) {
      if (READ_MEMBERS.has(name) || isNothing(source)) continue;
      others.push({ wire: WIRE, name, path: `${path}.${name}`, source, asksForNothing: false });
    }
  }
  return { turns, others };
}

function readTurn(message: Json, path: string): Turn {
  const name = typeof message["name"] === "string" ? message["name"] : undefined;
  switch (message["role"]) {
    case "system":
      return { role: "system", parts: contentParts(message, path), name, path };
    case "developer":
      return { role: "developer", parts: contentParts(message, path), name, path };
    case "assistant":
    case "model":
      return { role: "assistant", parts: assistantParts(message, path), name, path };
    case "tool":
    case "function":
      return { role: "tool", parts: [resultPart(message, name, path)], path };
    default:
      return { role: "user", parts: contentParts(message, path), name, path };
  }
}

/** Content with the message's own cache mark on its last part. */
function contentParts(message: Json, path: string): Part[] {
  return withCache(readContent(message["content"], `${path}.content`), message);
}

function withCache(parts: Part[], message: Json): Part[] {
  const mark = message["cache_control"];
  const last = parts.at(-1);
  if (last !== undefined && isJsonObject(mark)) parts[parts.length - 1] = { ...last, cache: mark };
  return parts;
}

function resultPart(message: Json, name: string | undefined, path: string): Part {
  const callId = message["tool_call_id"] ?? (message["role"] === "function" ? `call_${String(name)}` : "");
  const mark = message["cache_control"];
  return {
    kind: "result",
    path,
    callId: String(callId),
    name,
    form: "function",
    parts: readContent(message["content"], `${path}.content`),
    ...(typeof message["is_error"] === "boolean" ? { isError: message["is_error"] } : {}),
    ...(isJsonObject(mark) ? { cache: mark } : {}),
  };
}

/** A string is one text part; `null` and absence are none. Any other value is opaque: nothing is lost. */
export function readContent(content: unknown, path: string): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content, path }];
  if (content === null || content === undefined) return [];
  if (!Array.isArray(content)) return [opaquePart(content, path)];
  return content.flatMap((part, at): Part[] => {
    const place = `${path}[${at}]`;
    if (typeof part === "string") return part === "" ? [] : [{ kind: "text", text: part, path: place }];
    if (!isJsonObject(part)) return part === null ? [] : [opaquePart(part, place)];
    const read = readPart(part, place);
    const mark = part["cache_control"];
    return read === null ? [] : [isJsonObject(mark) ? { ...read, cache: mark } : read];
  });
}

function opaquePart(source: unknown, path: string): Part {
  const type = isJsonObject(source) ? source["type"] : undefined;
  return { kind: "opaque", wire: WIRE, type: typeof type === "string" ? type : typeof source, source, path };
}

/** `null` for a text that is empty. */
function readPart(source: Json, path: string): Part | null {
  const type = String(source["type"]);
  const opaque: Part = { kind: "opaque", wire: WIRE, type, source, path };
  switch (type) {
    case "text": {
      const { text, citations } = source;
      if (typeof text !== "string") return opaque;
      if (text === "") return null;
      return { kind: "text", text, path, ...(Array.isArray(citations) ? { citations } : {}) };
    }
    case "refusal":
      return typeof source["refusal"] === "string" ? { kind: "refusal", text: source["refusal"], path } : opaque;
    case "image_url": {
      const image = source["image_url"];
      const url = isJsonObject(image) ? image["url"] : image;
      if (typeof url !== "string") return opaque;
      const detail = isJsonObject(image) && typeof image["detail"] === "string" ? image["detail"] : undefined;
      return { kind: "image", media: mediaOf(url), detail, path };
    }
    case "input_audio": {
      const audio = source["input_audio"];
      if (!isJsonObject(audio) || typeof audio["data"] !== "string") return opaque;
      const format = typeof audio["format"] === "string" ? audio["format"] : undefined;
      const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(audio["data"]);
      const inline = inlineOf(audio["data"]);
      const media = address
        ? ({ kind: "url", url: audio["data"] } as const)
        : ({ kind: "base64", mediaType: `audio/${String(format)}`, data: inline?.base64 ?? audio["data"] } as const);
      return { kind: "audio", media, format, path };
    }
    case "video_url": {
      const video = source["video_url"];
      const url = isJsonObject(video) ? video["url"] : video;
      return typeof url === "string" ? { kind: "video", media: mediaOf(url), path } : opaque;
    }
    case "file": {
      const file = source["file"];
      if (!isJsonObject(file)) return opaque;
      const { file_data: data, file_id: id, filename } = file;
      const name = typeof filename === "string" ? filename : undefined;
      const options = fileOptions(source);
      const common = { name, path, ...(options === undefined ? {} : { options }) };
      if (typeof id === "string" && id !== "") return { kind: "file", media: { kind: "id", id }, ...common };
      if (typeof data !== "string") return opaque;
      if (/^(?:https?|gs|s3):\/\//i.test(data)) return { kind: "file", media: { kind: "url", url: data }, ...common };
      const inline = inlineOf(data);
      const media = {
        kind: "base64",
        mediaType: inline?.mediaType ?? "application/pdf",
        data: inline?.base64 ?? data,
      } as const;
      return { kind: "file", media, ...common };
    }
    // Thoughts as content: Mistral's list of texts, or a text as other routers write it.
    case "thinking":
    case "redacted_thinking": {
      const text = thoughtText(source["thinking"]);
      return { kind: "reasoning", text, form: text === "" ? "redacted" : "full", path };
    }
    default:
      return opaque;
  }
}

/** Anthropic's members of a document that clients put next to `file`. */
function fileOptions({ citations, context }: Json): Json | undefined {
  const options = {
    ...(isJsonObject(citations) ? { citations } : {}),
    ...(typeof context === "string" ? { context } : {}),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

function thoughtText(thinking: unknown): string {
  if (typeof thinking === "string") return thinking;
  const parts = Array.isArray(thinking) ? thinking : [];
  return parts.map((part) => (isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : "")).join("");
}

function mediaOf(url: string) {
  const inline = inlineOf(url);
  if (inline !== null) return { kind: "base64", mediaType: inline.mediaType, data: inline.base64 } as const;
  return { kind: "url", url } as const;
}

/** Parts of an assistant's message, in the order in which they were made where the client kept it. */
function assistantParts(message: Json, path: string): Part[] {
  const said = readContent(message["content"], `${path}.content`);
  const refusal = message["refusal"];
  if (said.length === 0 && typeof refusal === "string" && refusal.trim() !== "") {
    said.push({ kind: "refusal", text: refusal, path: `${path}.refusal` });
  }
  const entries = Array.isArray(message["reasoning_details"]) ? message["reasoning_details"] : [];
  const details = entries.flatMap((entry, at) => {
    const part = isLayout(entry) ? null : readDetail(entry, `${path}.reasoning_details[${at}]`);
    return part === null ? [] : [part];
  });
  const pieces: Pieces = {
    reasoning: details.length > 0 ? details : plainReasoning(message, path),
    said,
    calls: readCalls(message, path),
    blocks: serverBlocks(message, path),
    images: readImages(message["images"], `${path}.images`),
    citations: Array.isArray(message["citations"]) ? message["citations"].filter(isJsonObject) : [],
  };
  const layout = readLayout(entries);
  const parts = (layout === null ? null : laidOut(pieces, layout)) ?? inPlainOrder(pieces);
  // What was said aloud is known by its id only, and only to the provider that said it.
  const { audio } = message;
  if (isJsonObject(audio)) parts.push(opaquePart({ ...audio, type: "audio" }, `${path}.audio`));
  return withCache([...toolPlan(message, path), ...parts], message);
}

/** What Cohere's model said it would do before it called tools. It goes back to Cohere under its own name. */
function toolPlan(message: Json, path: string): Part[] {
  const text = message["tool_plan"];
  if (typeof text !== "string" || text === "") return [];
  const bound: Bound = { wire: "cohere", provider: null, data: { tool_plan: true } };
  return [{ kind: "reasoning", text, form: "summary", path: `${path}.tool_plan`, bound }];
}

interface Pieces {
  readonly reasoning: readonly ReasoningPart[];
  readonly said: readonly Part[];
  readonly calls: readonly Part[];
  readonly blocks: readonly Part[];
  readonly images: readonly Part[];
  /** Citations of all texts of the message; the layout says how many each has. */
  readonly citations: readonly Json[];
}

function inPlainOrder({ reasoning, said, calls, blocks, images }: Pieces): Part[] {
  return [...reasoning, ...blocks, ...said, ...images, ...calls];
}

/** `null` where the client changed the message since: then the layout means nothing. */
function laidOut(pieces: Pieces, layout: readonly LayoutToken[]): Part[] | null {
  const { said, reasoning, calls, blocks, images, citations } = pieces;
  const counted = layout.reduce((sum, token) => sum + (token.kind === "text" ? (token.citations ?? 0) : 0), 0);
  const [only] = said;
  if (said.length > 1 || (only !== undefined && only.kind !== "text")) return null;
  const text = only?.kind === "text" ? only.text : "";
  const parts: Part[] = [];
  const next = { text: 0, reasoning: 0, call: 0, block: 0, citation: 0, image: 0 };
  for (const token of layout) {
    switch (token.kind) {
      case "text": {
        const piece = text.slice(next.text, next.text + token.length);
        if (piece.length !== token.length) return null;
        next.text += token.length;
        const cited =
          counted === citations.length ? citations.slice(next.citation, next.citation + (token.citations ?? 0)) : [];
        next.citation += cited.length;
        parts.push({
          ...{ kind: "text", text: piece, path: only?.path ?? "" },
          ...(cited.length > 0 ? { citations: cited } : {}),
        });
        break;
      }
      case "attached": {
        const part = reasoning[next.reasoning++];
        const owner = parts.at(-1);
        if (part === undefined || owner?.kind !== "text") return null;
        parts[parts.length - 1] = { ...owner, bound: part.bound };
        break;
      }
      case "reasoning": {
        const part = reasoning[next.reasoning++];
        if (part === undefined) return null;
        parts.push(part);
        break;
      }
      case "call": {
        const part = calls[next.call++];
        if (part === undefined) return null;
        parts.push(part);
        break;
      }
      case "block": {
        const part = blocks[next.block++];
        if (part === undefined) return null;
        parts.push(part);
        break;
      }
      case "image": {
        const part = images[next.image++];
        if (part === undefined) return null;
        parts.push(part);
        break;
      }
    }
  }
  const isWhole =
    next.text === text.length &&
    next.reasoning === reasoning.length &&
    next.call === calls.length &&
    next.block === blocks.length;
  return isWhole ? [...parts, ...images.slice(next.image)] : null;
}

/** Pictures that a model made, each with what its provider signed. */
function readImages(images: unknown, path: string): Part[] {
  return (Array.isArray(images) ? images : []).flatMap((image, at) => {
    const bound = isJsonObject(image) ? readCallExtra(image) : undefined;
    return readContent([image], path).map((part): Part => {
      const placed = { ...part, path: `${path}[${at}]` };
      return bound === undefined ? placed : { ...placed, bound };
    });
  });
}

/** Thoughts as plain text, under either of their names. */
function plainReasoning(message: Json, path: string): ReasoningPart[] {
  for (const name of ["reasoning_content", "reasoning"] as const) {
    const text = message[name];
    if (typeof text === "string" && text !== "") {
      return [{ kind: "reasoning", text, form: "full", path: `${path}.${name}` }];
    }
  }
  return [];
}

/** Blocks of tools that the provider ran, as this router's own answers carried them. */
function serverBlocks(message: Json, path: string): Part[] {
  return BLOCK_MEMBERS.flatMap(([name, wire]) => {
    const blocks = Array.isArray(message[name]) ? message[name] : [];
    return blocks.flatMap((data, at): Part[] =>
      isJsonObject(data)
        ? [{ kind: "block", path: `${path}.${name}[${at}]`, bound: { wire, provider: null, data } }]
        : [],
    );
  });
}

function readCalls(message: Json, path: string): Part[] {
  const calls = Array.isArray(message["tool_calls"]) ? message["tool_calls"] : [];
  const parts = calls.flatMap((call, at): Part[] => {
    const place = `${path}.tool_calls[${at}]`;
    if (!isJsonObject(call)) return call === null ? [] : [opaquePart(call, place)];
    const custom = call["custom"];
    const bound = readCallExtra(call);
    const mark = call["cache_control"];
    const common = {
      path: place,
      id: String(call["id"] ?? ""),
      bound,
      ...(isJsonObject(mark) ? { cache: mark } : {}),
    };
    if (isJsonObject(custom)) {
      const args = String(custom["input"] ?? "");
      return [{ kind: "call", ...common, name: String(custom["name"]), form: "custom", args }];
    }
    const detail = call["function"];
    if (!isJsonObject(detail)) {
      return [{ kind: "opaque", wire: WIRE, type: String(call["type"]), source: call, path: place }];
    }
    return [{ kind: "call", ...common, name: String(detail["name"]), form: "function", args: argumentsText(detail) }];
  });
  const legacy = message["function_call"];
  if (isJsonObject(legacy)) {
    const name = String(legacy["name"]);
    const args = argumentsText(legacy);
    const call = {
      path: `${path}.function_call`,
      id: `call_${name}`,
      name,
      form: "function",
      isLegacy: true,
      args,
    } as const;
    parts.push({ kind: "call", ...call });
  }
  return parts;
}

/** Some clients send back an object where the text of one belongs. */
function argumentsText({ arguments: args }: Json): string {
  if (typeof args === "string") return args;
  return args === undefined || args === null ? "" : JSON.stringify(args);
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}
