/**
 * What a chat request can cost besides its text, read from the client's own members.
 *
 * An allow-list: what is not named here ends in `unknown`. A body of this wire reaches providers of this wire byte for
 * byte, so every member of a message, a part and a tool counts, the ones that the router never reads included.
 */
import type { ContentDemand, MediaPart, Medium, ProviderToolDemand, ToolDemand } from "../../conversation/demand.ts";
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

/** Bytes of a part that are decoded: enough for the head of any container. */
const HEAD_BYTES = 48;

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
    if (SCHEME.test(data)) return addressed(data, medium, path);
    const type = source["media_type"];
    const declared = medium !== "image" || typeof type !== "string" ? medium : mediumOf(type);
    return inline(data, 0, declared, path);
  }
  if (typeof address === "string" && data === undefined) return addressed(address, medium, path);
  return { medium: medium === "image" ? "file" : medium, path, base64Length: 0 };
}

const hasReferenceId = (object: Json): boolean =>
  ["file_id", "id", "file_url", "fileUri"].some((name) => object[name] !== undefined && object[name] !== null);

const SCHEME = /^[a-z][a-z0-9+.-]{0,31}:/i;
/** Of a `data:` URL: its media type, and where the data begins. Real ones are far shorter. */
const DATA_HEAD_LENGTH = 256;

function addressed(address: string, medium: Medium, path: string): MediaPart {
  const scheme = SCHEME.exec(address)?.[0].toLowerCase() ?? "";
  if (scheme === "data:") {
    const comma = address.slice(0, DATA_HEAD_LENGTH).indexOf(",");
    const head = address.slice(0, Math.max(0, comma)).toLowerCase();
    const type = head.slice(scheme.length).split(";", 1)[0] ?? "";
    const declared = medium === "image" ? mediumOf(type) : medium;
    if (comma === -1 || !head.endsWith(";base64")) return { medium: declared, path, base64Length: 0 };
    return inline(address, comma + 1, declared, path);
  }
  if (medium !== "image") return { medium, path, base64Length: 0 };
  if (scheme !== "https:" && scheme !== "http:") return { medium: "file", path, base64Length: 0 };
  return picture(address, path);
}

function inline(text: string, start: number, medium: Medium, path: string): MediaPart {
  return { medium, path, base64Length: text.length - start, head: headOf(text, start) };
}

/** Tags that stand one behind another at the beginning of a recording. Real ones have one. */
const MAX_TAGS = 4;

/** The first bytes behind any ID3 tag, which may stand before sound of every kind; `undefined`: this is no base64. */
function headOf(text: string, start: number): Uint8Array | undefined {
  let at = 0;
  for (let tags = 0; tags <= MAX_TAGS; tags++) {
    const head = bytesAt(text, start, at);
    const tagLength = head === undefined ? null : id3Length(head);
    if (tagLength === null) return head;
    at += tagLength;
  }
  return undefined;
}

/** https://id3.org/id3v2.4.0-structure: ten bytes and a length of four times seven bits. */
function id3Length(head: Uint8Array): number | null {
  if (head[0] !== 0x49 || head[1] !== 0x44 || head[2] !== 0x33) return null;
  return 10 + [6, 7, 8, 9].reduce((length, at) => (length << 7) | ((head[at] ?? 0) & 0x7f), 0);
}

function bytesAt(text: string, start: number, at: number): Uint8Array | undefined {
  const from = start + Math.floor(at / 3) * 4;
  const piece = text
    .slice(from, from + ((HEAD_BYTES + 3) / 3) * 4)
    .replaceAll("-", "+")
    .replaceAll("_", "/");
  try {
    const bytes = atob(piece.slice(0, piece.length - (piece.length % 4)));
    return Uint8Array.from(bytes, (each) => each.charCodeAt(0)).subarray(at % 3);
  } catch {
    return undefined;
  }
}

function mediumOf(mediaType: string): Medium {
  const [kind] = mediaType.toLowerCase().split("/", 1);
  return kind === "image" || kind === "audio" || kind === "video" ? kind : "file";
}

const PICTURES: ReadonlySet<string> = new Set([
  ...["png", "jpg", "jpeg", "jfif", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "ico", "svg"],
]);
const VIDEOS: ReadonlySet<string> = new Set([
  ...["mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "mpegps", "wmv", "flv", "3gp", "3gpp", "ogv", "ts"],
  ...["m3u8", "mpd", "m2ts", "mts"],
]);
const SOUNDS: ReadonlySet<string> = new Set([
  ...["mp3", "wav", "ogg", "oga", "opus", "flac", "aac", "m4a", "aif", "aiff", "wma", "amr", "pcm", "mid"],
]);
const FILES: ReadonlySet<string> = new Set([
  ...["pdf", "doc", "docx", "ppt", "pptx", "xls", "xlsx", "odt", "ods", "odp", "rtf", "epub", "txt", "md", "csv"],
  ...["html", "htm", "xml", "json", "zip", "gz", "tar", "ps", "tex"],
]);
/** Hosts whose addresses are films, whatever they are called. */
const FILM_HOST = /(?:^|\.)(?:youtube\.com|youtube-nocookie\.com|youtu\.be|vimeo\.com)$/i;

/** A picture that is fetched, unless the address names another medium. */
function picture(address: string, path: string): MediaPart {
  const url = URL.parse(address);
  if (url === null) return { medium: "file", path, base64Length: 0 };
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  const ending = dot === -1 ? "" : name.slice(dot + 1).toLowerCase();
  const isFilm = FILM_HOST.test(url.hostname) || VIDEOS.has(ending);
  const medium = isFilm ? "video" : SOUNDS.has(ending) ? "audio" : FILES.has(ending) ? "file" : "image";
  // Behind a `?` anything may be named, and who fetches it may go by that.
  const isBare = url.search === "" && url.hash === "";
  return { medium, path, base64Length: 0, isPictureByName: isBare && PICTURES.has(ending) };
}

/** Members that make a provider fetch, or read, something that is not in the body. */
const REFERENCES: ReadonlySet<string> = new Set([
  ...["file_id", "fileUri", "fileData", "file", "file_url", "s3Location", "image_url", "video_url", "input_audio"],
]);

/** The depth of a body is limited where it is read. */
function hasReference(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasReference);
  if (!isJsonObject(value)) return false;
  const { source } = value;
  if (isJsonObject(source) && source["type"] !== "text") return true;
  return Object.entries(value).some(([name, each]) => REFERENCES.has(name) || hasReference(each));
}

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

function providerTool(tool: Json, path: string): ProviderToolDemand {
  const { type, max_uses, max_content_tokens } = tool;
  const names = Object.keys(tool);
  // Google's tools have no type: one member each. More than one in a tool are more than one tool.
  const name = typeof type === "string" ? type : names.length === 1 ? (names[0] ?? "unknown") : "unknown";
  return {
    type: name,
    path,
    ...(isCount(max_uses) ? { maxCalls: max_uses } : {}),
    ...(isCount(max_content_tokens) ? { maxTokensPerCall: max_content_tokens } : {}),
  };
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
