/**
 * Parts of a message as Converse content blocks.
 *
 * Bytes only: Converse takes no web address, and an S3 address would be read with the operator's credential, so a client
 * could name any bucket of it. Documents get neutral names: Amazon warns that a model may obey them.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
 */
import type { AudioPart, FilePart, Json, Media } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { pictureType } from "../picture-type.ts";

const IMAGE_FORMATS: ReadonlyMap<string, string> = new Map([
  ["image/png", "png"],
  ["image/jpeg", "jpeg"],
  ["image/gif", "gif"],
  ["image/webp", "webp"],
]);

const DOCUMENT_FORMATS: ReadonlyMap<string, string> = new Map([
  ["application/pdf", "pdf"],
  ["text/csv", "csv"],
  ["application/csv", "csv"],
  ["application/msword", "doc"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"],
  ["application/vnd.ms-excel", "xls"],
  ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"],
  ["text/html", "html"],
  ["text/plain", "txt"],
  ["text/markdown", "md"],
  ["text/x-markdown", "md"],
]);
const DOCUMENT_EXTENSIONS: ReadonlySet<string> = new Set(DOCUMENT_FORMATS.values());

const AUDIO_FORMATS: ReadonlySet<string> = new Set(["mp3", "wav", "flac", "aac", "ogg", "opus", "m4a", "webm", "mp4"]);

const VIDEO_FORMATS: ReadonlyMap<string, string> = new Map([
  ["video/mp4", "mp4"],
  ["video/quicktime", "mov"],
  ["video/x-matroska", "mkv"],
  ["video/webm", "webm"],
  ["video/x-flv", "flv"],
  ["video/mpeg", "mpeg"],
  ["video/x-ms-wmv", "wmv"],
  ["video/3gpp", "three_gp"],
]);

/** A block, or why there can be none, in words for a client. */
export type WrittenBlock = { readonly block: Json } | { readonly why: string };

const BYTES_ONLY = "Amazon Bedrock takes no addresses and no file ids. Send the bytes, in base64.";

export function imageBlock(media: Media): WrittenBlock {
  if (media.kind !== "base64") return { why: BYTES_ONLY };
  const format = IMAGE_FORMATS.get(pictureType(media.data, media.mediaType));
  if (format === undefined) return { why: `Amazon Bedrock takes no images of type ${printable(media.mediaType)}.` };
  return { block: { image: { format, source: { bytes: media.data } } } };
}

export function videoBlock(media: Media): WrittenBlock {
  if (media.kind !== "base64") return { why: BYTES_ONLY };
  const format = VIDEO_FORMATS.get(media.mediaType);
  if (format === undefined) return { why: `Amazon Bedrock takes no videos of type ${printable(media.mediaType)}.` };
  return { block: { video: { format, source: { bytes: media.data } } } };
}

export function audioBlock({ media }: AudioPart): WrittenBlock {
  if (media.kind !== "base64") return { why: BYTES_ONLY };
  const format = media.mediaType.replace(/^audio\//, "");
  if (!AUDIO_FORMATS.has(format))
    return { why: `Amazon Bedrock takes no audio of type ${printable(media.mediaType)}.` };
  return { block: { audio: { format, source: { bytes: media.data } } } };
}

/** `name`: documents of one request have to differ in it. */
export function documentBlock({ media, name: filename, options }: FilePart, name: string): WrittenBlock {
  const more = { ...citationsOf(options), ...contextOf(options) };
  if (media.kind === "text") {
    return { block: { document: { format: "txt", name, source: { bytes: base64Of(media.text) }, ...more } } };
  }
  if (media.kind !== "base64") return { why: BYTES_ONLY };
  if (IMAGE_FORMATS.has(media.mediaType)) return imageBlock(media);
  const extension = filename?.toLowerCase().split(".").at(-1) ?? "";
  const format = DOCUMENT_FORMATS.get(media.mediaType) ?? (DOCUMENT_EXTENSIONS.has(extension) ? extension : undefined);
  if (format === undefined) return { why: `Amazon Bedrock takes no files of type ${printable(media.mediaType)}.` };
  return { block: { document: { format, name, source: { bytes: media.data }, ...more } } };
}

function citationsOf(options: Json | undefined): Json {
  const citations = options?.["citations"];
  return isJsonObject(citations) ? { citations: { enabled: citations["enabled"] === true } } : {};
}

function contextOf(options: Json | undefined): Json {
  const context = options?.["context"];
  return typeof context === "string" && context !== "" ? { context } : {};
}

function base64Of(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** A type as the client wrote it may be anything. */
function printable(mediaType: string): string {
  return mediaType.slice(0, 64).replace(/[^\w./+-]/g, "?");
}
