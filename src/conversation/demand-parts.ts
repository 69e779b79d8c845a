/**
 * What single parts and tools can cost besides text, in whichever wire's words they came.
 *
 * Where a medium is named by more than one thing, the costlier one counts.
 */
import { isJsonObject } from "../lib/json.ts";
import type { MediaPart, Medium, ProviderToolDemand } from "./demand.ts";
import type { Json } from "./part.ts";

/** Bytes of a part that are decoded: enough for the head of any container. */
const HEAD_BYTES = 48;

const SCHEME = /^[a-z][a-z0-9+.-]{0,31}:/i;

/** An address where data was to be expected. */
export const isAddress = (text: string): boolean => SCHEME.test(text);

/** Longest head of a `data:` URL: its media type, and where the data begins. Real ones are far shorter. */
const DATA_HEAD_LENGTH = 256;

export function addressed(address: string, medium: Medium, path: string): MediaPart {
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

export function inline(text: string, start: number, medium: Medium, path: string): MediaPart {
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

const WHITE = /\s/;

function bytesAt(text: string, start: number, at: number): Uint8Array | undefined {
  const from = start + Math.floor(at / 3) * 4;
  // White space moves all that is behind it.
  if (WHITE.test(text.slice(start, from + HEAD_BYTES * 2))) return undefined;
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

export function mediumOf(mediaType: string): Medium {
  const [kind, form = ""] = mediaType.toLowerCase().split("/", 2);
  // A drawing is text, and no rule says how much of it is read.
  if (form.startsWith("svg")) return "file";
  return kind === "image" || kind === "audio" || kind === "video" ? kind : "file";
}

const PICTURES: ReadonlySet<string> = new Set([
  ...["png", "jpg", "jpeg", "jfif", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "ico"],
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
  ...["html", "htm", "xml", "json", "zip", "gz", "tar", "ps", "tex", "svg", "svgz"],
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
export function hasReference(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasReference);
  if (!isJsonObject(value)) return false;
  const { source } = value;
  if (isJsonObject(source) && source["type"] !== "text") return true;
  return Object.entries(value).some(([name, each]) => REFERENCES.has(name) || hasReference(each));
}

const CLIENT_TOOLS: ReadonlySet<unknown> = new Set([undefined, null, "function", "custom", "namespace"]);

/** Does a block of an earlier turn declare tools that a provider runs? A search for tools that the client made may. */
export function declaresProviderTools({ tools }: Json): boolean {
  return Array.isArray(tools) && tools.some((tool) => !isJsonObject(tool) || !CLIENT_TOOLS.has(tool["type"]));
}

/** The only tool with a cap on what one call brings. https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-fetch-tool */
const FETCH = /^web_?fetch(?:_|$)/i;

export function providerTool(tool: Json, path: string): ProviderToolDemand {
  const { type, max_uses, max_content_tokens } = tool;
  const names = Object.keys(tool);
  // Google's tools have no type: one member each. More than one in a tool are more than one tool.
  const name = typeof type === "string" ? type : names.length === 1 ? (names[0] ?? "unknown") : "unknown";
  return {
    type: name,
    path,
    ...(isCount(max_uses) ? { maxCalls: max_uses } : {}),
    ...(FETCH.test(name) && isCount(max_content_tokens) && max_content_tokens > 0
      ? { maxTokensPerCall: max_content_tokens }
      : {}),
  };
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
