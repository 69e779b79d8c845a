/**
 * What a chat request can cost besides its text, read from the client's own members.
 *
 * An allow-list: what is not named here ends in `unknown`. A body of this wire reaches providers of this wire byte for
 * byte, so every member of a message, a part and a tool counts, the ones that the router never reads included.
 */
import type { ContentDemand, MediaPart, Medium, ProviderToolDemand, ToolDemand } from "../../conversation/demand.ts";
import { addressed, hasReference, inline, isAddress, mediumOf, providerTool } from "../../conversation/demand-parts.ts";
import { isJsonObject } from "../../lib/json.ts";
import { BLOCK_MEMBERS } from "./details.ts";

type Json = Readonly<Record<string, unknown>>;

const CONTENT_MEMBERS: ReadonlySet<string> = new Set(["content", "images"]);
/** Calls of the client's own tools: text, whatever their arguments are called. */
const CALL_MEMBERS: ReadonlySet<string> = new Set(["tool_calls", "function_call"]);
/**
 * Members of a message that hold text or describe it, and blocks of tools that a provider ran as this router's own
 * answers carry them: their bytes are their bound, as long as they refer to nothing else.
 */
const TEXT_MEMBERS: ReadonlySet<string> = new Set([
  ...[
    "role",
    "name",
    "tool_call_id",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "cache_control",
  ],
  ...["annotations", "citations", "extra_content", "is_error", "prefix", "partial", "parsed", "id", "stop_details"],
  ...["stop_sequence", "tool_plan", "thinking_blocks", "provider_specific_fields"],
  ...BLOCK_MEMBERS.map(([name]) => name),
]);

/** Members that any part may have. */
const PART_MEMBERS: ReadonlySet<string> = new Set(["type", "cache_control", "citations", "annotations", "id"]);
/** Parts that are text. */
const TEXT_PARTS: ReadonlyMap<unknown, ReadonlySet<string>> = new Map([
  ["text", new Set(["text"])],
  ["refusal", new Set(["refusal"])],
  ["thinking", new Set(["thinking", "signature", "closed"])],
]);
/** Parts that are no text, the member that holds them and what it is. */
const MEDIA_PARTS: ReadonlyMap<unknown, readonly [member: string, medium: Medium]> = new Map<
  unknown,
  readonly [string, Medium]
>([
  ["image_url", ["image_url", "image"]],
  ["input_image", ["image_url", "image"]],
  ["image", ["image", "image"]],
  ["input_audio", ["input_audio", "audio"]],
  ["audio_url", ["audio_url", "audio"]],
  ["video_url", ["video_url", "video"]],
  ["video", ["video", "video"]],
  ["input_video", ["input_video", "video"]],
  ["file", ["file", "file"]],
  ["input_file", ["input_file", "file"]],
  ["document", ["document", "file"]],
  ["document_url", ["document_url", "file"]],
]);

export function readContentDemand(messages: unknown): ContentDemand {
  const list = Array.isArray(messages) ? messages : [];
  const reader = new ContentReader();
  for (const [at, message] of list.entries()) reader.message(message, `messages[${at}]`);
  const { media, unknownPart, unknownMember } = reader;
  const base64Length = media.reduce((sum, part) => sum + part.base64Length, 0);
  return { messages: list.length, media, base64Length, unknownPart, unknownMember };
}

/** Reads to the end, whatever it finds: the media behind something unknown count too. */
class ContentReader {
  readonly media: MediaPart[] = [];
  unknownPart: string | null = null;
  unknownMember: string | null = null;

  message(message: unknown, path: string): void {
    if (!isJsonObject(message)) {
      this.unknownPart ??= path;
      return;
    }
    for (const [name, value] of Object.entries(message)) {
      const place = `${path}.${name}`;
      if (value === null || CALL_MEMBERS.has(name)) continue;
      if (CONTENT_MEMBERS.has(name)) this.#content(value, place);
      else if (TEXT_MEMBERS.has(name)) {
        if (hasReference(value)) this.unknownPart ??= place;
      }
      // An answer in sound, by its id: nothing of it is in the body.
      else if (name === "audio") this.media.push({ medium: "audio", path: place, base64Length: 0 });
      else this.unknownMember ??= place;
    }
  }

  #content(content: unknown, path: string): void {
    if (typeof content === "string") return;
    if (!Array.isArray(content)) {
      this.unknownPart ??= path;
      return;
    }
    for (const [at, part] of content.entries()) if (typeof part !== "string") this.#part(part, `${path}[${at}]`);
  }

  #part(part: unknown, path: string): void {
    const type = isJsonObject(part) ? part["type"] : undefined;
    const text = TEXT_PARTS.get(type);
    const held = MEDIA_PARTS.get(type);
    if (!isJsonObject(part) || (text === undefined && held === undefined)) {
      this.unknownPart ??= path;
      return;
    }
    this.#members(part, path, text ?? HELD_MEMBERS, held?.[0]);
    if (held === undefined) return;
    const [member, medium] = held;
    this.media.push(mediaPart(part, member, medium, path));
    const inner = part[member];
    if (isJsonObject(inner)) this.#members(inner, `${path}.${member}`, HELD_MEMBERS);
  }

  #members(object: Json, path: string, known: ReadonlySet<string>, also?: string): void {
    const other = Object.keys(object).find((name) => !known.has(name) && !PART_MEMBERS.has(name) && name !== also);
    if (other !== undefined) this.unknownMember ??= `${path}.${other}`;
  }
}

/** Where a medium is, and what may be said of how it is read. None of them brings another one. */
const HELD_MEMBERS: ReadonlySet<string> = new Set([
  ...["url", "data", "file_data", "source", "media_type", "file_id", "file_url"],
  ...["detail", "format", "filename", "title", "context", "name"],
]);

function mediaPart(part: Json, member: string, medium: Medium, path: string): MediaPart {
  const held = part[member];
  const whole = isJsonObject(held) ? held : part;
  const source = isJsonObject(whole["source"]) ? whole["source"] : {};
  const address = typeof held === "string" ? held : (whole["url"] ?? source["url"]);
  const data = whole["data"] ?? whole["file_data"] ?? source["data"];
  // With more than one of them the provider chooses which it reads.
  if (typeof data === "string" && address === undefined && !hasReferenceId(whole) && !hasReferenceId(source)) {
    if (isAddress(data)) return addressed(data, medium, path);
    const type = source["media_type"];
    const declared = medium !== "image" || typeof type !== "string" ? medium : mediumOf(type);
    return inline(data, 0, declared, path);
  }
  if (typeof address === "string" && data === undefined) return addressed(address, medium, path);
  return { medium: medium === "image" ? "file" : medium, path, base64Length: 0 };
}

const hasReferenceId = (object: Json): boolean =>
  ["file_id", "id", "file_url", "fileUri"].some((name) => object[name] !== undefined && object[name] !== null);

/** Members of a tool that the client runs. */
const TOOL_MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "function", "custom", "name", "description", "parameters", "input_schema", "strict", "cache_control"],
  ...["defer_loading", "input_examples", "eager_input_streaming", "format"],
]);

/** `fields`: the client's members over the policy's `params`. */
export function readToolDemand(fields: Json): ToolDemand {
  const { tools, functions } = fields;
  const provider: ProviderToolDemand[] = [];
  let unknown: string | null = null;
  for (const [at, tool] of (Array.isArray(tools) ? tools : []).entries()) {
    const path = `tools[${at}]`;
    if (!isJsonObject(tool)) unknown ??= path;
    else if (isClientRun(tool)) unknown ??= firstMember(tool, path);
    else provider.push(providerTool(tool, path));
  }
  if (tools !== undefined && tools !== null && !Array.isArray(tools)) unknown ??= "tools";
  const declares = Array.isArray(functions) ? functions.length > 0 : functions !== undefined && functions !== null;
  return { hasTools: (Array.isArray(tools) && tools.length > 0) || declares, provider, unknown };
}

function isClientRun({ type, function: declared, custom, name }: Json): boolean {
  if (type === "function") return isJsonObject(declared) || typeof name === "string";
  if (type === "custom") return isJsonObject(custom) || typeof name === "string";
  return type === undefined && (isJsonObject(declared) || typeof name === "string");
}

function firstMember(tool: Json, path: string): string | null {
  const other = Object.keys(tool).find((name) => !TOOL_MEMBERS.has(name));
  return other === undefined ? null : `${path}.${other}`;
}
