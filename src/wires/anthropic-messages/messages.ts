/**
 * A conversation as Claude takes it: system blocks ahead, then turns of user and assistant.
 *
 * Pure. Neighbours of one role become one turn, and tool results stand first in the user turn that follows their calls,
 * because the vendor refuses anything else. System messages inside the conversation keep their place: as
 * `role: "system"` behind the user turn on models that have it, as marked text in the user turn on the others. Moving
 * them to the front would apply them to turns they were not meant for.
 */
import { isJsonObject } from "../../lib/json.ts";
import { type Part, type PastCall, partsOf, pastCallsOf } from "../openai-chat/chat-wire.ts";

type Json = Readonly<Record<string, unknown>>;

export interface Conversation {
  readonly system: readonly Json[];
  readonly messages: readonly Json[];
  /** Tools that were called in it. */
  readonly calledTools: readonly string[];
  /** Its last assistant turn calls tools and does not begin with thinking. */
  readonly isBareLoop: boolean;
  readonly dropped: readonly string[];
}

interface Turn {
  readonly role: "user" | "assistant";
  /** Tool results: before everything else. */
  readonly results: Json[];
  readonly blocks: Json[];
  /** System text said during this turn. */
  readonly notes: Json[];
}

/** The format mark of our reasoning details. */
export const REASONING_FORMAT = "anthropic";
/** Blocks in the vendor's own spelling, for clients that know whom they talk to. */
const NATIVE_PARTS: ReadonlySet<string> = new Set(["image", "document", "search_result"]);
/** A conversation must begin with the user and must not be empty; this says nothing. */
const FILLER: Json = { type: "text", text: "." };

export function toConversation(messages: unknown, systemTurns: boolean): Conversation {
  const builder = new ConversationBuilder(systemTurns);
  for (const message of Array.isArray(messages) ? messages : []) {
    if (isJsonObject(message)) builder.add(message);
  }
  return builder.finish();
}

class ConversationBuilder {
  readonly #systemTurns: boolean;
  readonly #system: Json[] = [];
  readonly #turns: Turn[] = [];
  readonly #dropped = new Set<string>();
  readonly #calledTools = new Set<string>();
  /** The client's call id to those sent for it that wait for a result; parallel calls may share one. */
  readonly #ids = new Map<string, string[]>();
  readonly #sentIds = new Set<string>();

  constructor(systemTurns: boolean) {
    this.#systemTurns = systemTurns;
  }

  add(message: Json): void {
    const role = message["role"];
    if (typeof message["name"] === "string" && role !== "function" && role !== "tool")
      this.#dropped.add("messages.name");
    if (role === "system" || role === "developer") this.#addSystem(message);
    else if (role === "assistant") this.#addAssistant(message);
    else if (role === "tool" || role === "function") this.#addResult(message);
    else this.#turn("user").blocks.push(...this.#blocksOf(message));
  }

  #addSystem(message: Json): void {
    const blocks = this.#blocksOf(message).filter((block) => block["type"] === "text");
    if (this.#turns.length === 0) this.#system.push(...blocks);
    else if (blocks.length > 0 && this.#systemTurns) this.#turn("user").notes.push(...blocks);
    else this.#turn("user").blocks.push(...blocks.map(asReminder));
  }

  #addAssistant(message: Json): void {
    const calls = pastCallsOf(message).map((call) => this.#callBlock(call));
    const content = this.#blocksOf(message);
    const refusal = message["refusal"];
    if (content.length === 0 && typeof refusal === "string" && refusal.trim() !== "") {
      content.push({ type: "text", text: refusal });
    }
    // A turn may not end in thinking, and thinking alone says nothing to go on from.
    const thinking = calls.length + content.length > 0 ? thinkingOf(message) : [];
    const blocks = [...thinking, ...content, ...calls];
    const last = blocks.at(-1);
    if (last !== undefined && calls.length > 0) blocks[blocks.length - 1] = withCacheMark(last, message);
    if (blocks.length > 0) this.#turn("assistant").blocks.push(...blocks);
  }

  #callBlock({ id, name, args, argsText, source }: PastCall): Json {
    const base = id.replace(/[^\w-]/g, "_") || "call";
    let sent = base;
    // The vendor refuses an id that comes twice; old clients use a function's name as the id.
    for (let copy = 2; this.#sentIds.has(sent); copy++) sent = `${base}_${copy}`;
    this.#sentIds.add(sent);
    this.#ids.set(id, [...(this.#ids.get(id) ?? []), sent]);
    this.#calledTools.add(name);
    const extra = isJsonObject(source["extra_content"]) ? source["extra_content"][REASONING_FORMAT] : undefined;
    const own = isJsonObject(extra) ? extra : {};
    return withCacheMark({ type: "tool_use", id: sent, name, input: args ?? { arguments: argsText }, ...own }, source);
  }

  #addResult(message: Json): void {
    const name = message["tool_call_id"] ?? `call_${String(message["name"])}`;
    const id = String(name);
    const sent = this.#ids.get(id)?.shift();
    const content = this.#partBlocks(message);
    const block = {
      type: "tool_result",
      tool_use_id: sent ?? (id.replace(/[^\w-]/g, "_") || "call"),
      ...(content.length > 0 ? { content } : {}),
      ...(typeof message["is_error"] === "boolean" ? { is_error: message["is_error"] } : {}),
    };
    this.#turn("user").results.push(withCacheMark(block, message));
  }

  #turn(role: Turn["role"]): Turn {
    const last = this.#turns.at(-1);
    if (last?.role === role) return last;
    const turn: Turn = { role, results: [], blocks: [], notes: [] };
    this.#turns.push(turn);
    return turn;
  }

  #blocksOf(message: Json): Json[] {
    const blocks = this.#partBlocks(message);
    const last = blocks.at(-1);
    if (last !== undefined) blocks[blocks.length - 1] = withCacheMark(last, message);
    return blocks;
  }

  #partBlocks(message: Json): Json[] {
    return partsOf(message["content"]).flatMap((part) => {
      const block = this.#blockOf(part);
      return block === null ? [] : [block];
    });
  }

  /** `null` for what says nothing (the vendor refuses blank text), or for a type no target with this provider is given. */
  #blockOf(part: Part): Json | null {
    if (part.kind === "image") {
      const detail = isJsonObject(part.source["image_url"]) ? part.source["image_url"]["detail"] : undefined;
      if (detail === "low" || detail === "high") this.#dropped.add("image_url.detail");
    }
    const block = blockOf(part);
    return block === null ? null : withCacheMark(block, part.source);
  }

  finish(): Conversation {
    // Nothing but system messages: they are what the client wants answered.
    if (this.#turns.length === 0) this.#turn("user").blocks.push(...this.#system.splice(0));
    if (this.#turns[0]?.role === "assistant")
      this.#turns.unshift({ role: "user", results: [], blocks: [FILLER], notes: [] });
    const messages = this.#turns.flatMap(toMessages);
    if (messages.length === 0) messages.push({ role: "user", content: [FILLER] });
    const lastAssistant = this.#turns.findLast(({ role }) => role === "assistant");
    return {
      system: this.#system,
      messages: withTrimmedEnd(messages),
      calledTools: [...this.#calledTools],
      isBareLoop: isBareLoop(this.#turns.at(-1), lastAssistant),
      dropped: [...this.#dropped],
    };
  }
}

function toMessages({ role, results, blocks, notes }: Turn): Json[] {
  const content = [...results, ...blocks];
  // A system turn must follow a user turn: between two assistant turns it has to be one.
  if (content.length === 0) return notes.length === 0 ? [] : [{ role, content: notes.map(asReminder) }];
  return notes.length === 0
    ? [{ role, content }]
    : [
        { role, content },
        { role: "system", content: notes },
      ];
}

function isBareLoop(last: Turn | undefined, assistant: Turn | undefined): boolean {
  if (last === undefined || last.results.length === 0 || assistant === undefined) return false;
  const first = assistant.blocks[0]?.["type"];
  return first !== "thinking" && first !== "redacted_thinking";
}

function asReminder(block: Json): Json {
  return { ...block, text: `<system-reminder>\n${String(block["text"])}\n</system-reminder>` };
}

/** The vendor refuses a conversation whose last assistant text ends in white space. */
function withTrimmedEnd(messages: Json[]): Json[] {
  const last = messages.at(-1);
  const blocks = last?.["content"];
  if (last?.["role"] !== "assistant" || !Array.isArray(blocks)) return messages;
  const block: unknown = blocks.at(-1);
  if (!isJsonObject(block) || typeof block["text"] !== "string") return messages;
  const content = [...blocks.slice(0, -1), { ...block, text: block["text"].trimEnd() }];
  return [...messages.slice(0, -1), { ...last, content }];
}

function withCacheMark(block: Json, source: Json): Json {
  const mark = source["cache_control"];
  return isJsonObject(mark) && block["type"] !== "thinking" && block["type"] !== "redacted_thinking"
    ? { ...block, cache_control: mark }
    : block;
}

/** Thinking this vendor signed; what others signed means nothing here. */
function thinkingOf(message: Json): Json[] {
  const details = Array.isArray(message["reasoning_details"]) ? message["reasoning_details"] : [];
  return details.flatMap((detail): Json[] => {
    if (!isJsonObject(detail) || detail["format"] !== REASONING_FORMAT) return [];
    const { type, text, signature, data } = detail;
    if (type === "reasoning.encrypted" && typeof data === "string") return [{ type: "redacted_thinking", data }];
    if (type !== "reasoning.text" || typeof signature !== "string" || signature === "") return [];
    return [{ type: "thinking", thinking: typeof text === "string" ? text : "", signature }];
  });
}

function blockOf(part: Part): Json | null {
  switch (part.kind) {
    case "text": {
      const citations = part.source["citations"];
      if (part.text.trim() === "") return null;
      return { type: "text", text: part.text, ...(Array.isArray(citations) ? { citations } : {}) };
    }
    case "image":
      return {
        type: "image",
        source:
          part.data === null ? { type: "url", url: part.url } : base64Source(part.data.mediaType, part.data.base64),
      };
    case "file":
      return fileBlock(part.data.mediaType, part.data.base64, part.name);
    case "audio":
      return null;
    case "unknown":
      return NATIVE_PARTS.has(part.type) ? part.source : null;
  }
}

function base64Source(mediaType: string, data: string): Json {
  return { type: "base64", media_type: mediaType === "image/jpg" ? "image/jpeg" : mediaType, data };
}

/** https://platform.claude.com/docs/en/build-with-claude/pdf-support and …/files: PDF and plain text, by bytes or URL. */
function fileBlock(mediaType: string, base64: string, name: string | null): Json {
  if (mediaType.startsWith("image/")) return { type: "image", source: base64Source(mediaType, base64) };
  const title = name === null ? {} : { title: name };
  if (/^https?:\/\//i.test(base64)) return { type: "document", source: { type: "url", url: base64 }, ...title };
  if (mediaType.startsWith("text/") || mediaType === "application/json") {
    return { type: "document", source: { type: "text", media_type: "text/plain", data: utf8Of(base64) }, ...title };
  }
  return { type: "document", source: base64Source(mediaType, base64), ...title };
}

function utf8Of(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
  } catch {
    // Not base64 after all: some clients put the text itself there.
    return base64;
  }
}

/** The first part of the conversation that this vendor cannot take, by its type; `null` when there is none. */
export function unreadablePart(messages: unknown): string | null {
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    for (const part of partsOf(message["content"])) {
      if (part.kind === "audio") return "input_audio";
      if (part.kind === "unknown" && !NATIVE_PARTS.has(part.type) && !THINKING_PARTS.has(part.type)) return part.type;
      if (part.kind === "file" && !isReadableFile(part.data.mediaType)) return "file";
    }
  }
  return null;
}

/** Reasoning as content parts, from other routers' clients: not for another vendor's eyes, so it is left out. */
const THINKING_PARTS: ReadonlySet<string> = new Set(["thinking", "redacted_thinking", "reasoning"]);

function isReadableFile(mediaType: string): boolean {
  return /^(?:image\/(?:png|jpe?g|gif|webp)|application\/(?:pdf|json)|text\/.+)$/.test(mediaType);
}
