/**
 * Parts of a message as Converse content blocks.
 *
 * Bytes only: Converse takes no web address, and an S3 address would be read with the operator's credential, so a client
 * could name any bucket of it. Documents get neutral names: Amazon warns that a model may obey them.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
 */
import { isJsonObject } from "../../lib/json.ts";
import { inlineOf, type Part, partsOf } from "../openai-chat/chat-wire.ts";

type Json = Readonly<Record<string, unknown>>;

const IMAGE_FORMATS: ReadonlyMap<string, string> = new Map([
  ["image/png", "png"],
  ["image/jpeg", "jpeg"],
  ["image/jpg", "jpeg"],
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

/** The type of the first part of `content` that no block can carry, or `null`. */
export function unknownPartOf(content: unknown): string | null {
  for (const part of partsOf(content)) {
    if (blockOf(part, "document-1") === null) return part.kind === "unknown" ? part.type : String(part.source["type"]);
  }
  return null;
}

/** Numbers the documents of one request: their names have to differ. */
export class BlockWriter {
  readonly #cachePoints: "none" | "prompt" | "prompt_and_tools";
  #documents = 0;
  /** Caching was asked for where the model has none. */
  droppedCaching = false;

  constructor(caching: "none" | "prompt" | "prompt_and_tools") {
    this.#cachePoints = caching;
  }

  /** Blocks of `content`. Blank texts are left out: Converse refuses them. */
  blocks(content: unknown): Json[] {
    return partsOf(content).flatMap((part) => [...this.block(part), ...this.cachePoint(part.source)]);
  }

  block(part: Part): Json[] {
    if (part.kind === "text" && part.text.trim() === "") return [];
    const block = blockOf(part, `document-${this.#documents + 1}`);
    if (block === null) return [];
    if ("document" in block) this.#documents++;
    return [block];
  }

  /** The cache mark behind what carries Anthropic's `cache_control`. */
  cachePoint(source: Json, place: "prompt" | "tools" = "prompt"): Json[] {
    const hint = source["cache_control"];
    if (!isJsonObject(hint) || hint["type"] !== "ephemeral") return [];
    if (this.#cachePoints === "none" || (place === "tools" && this.#cachePoints !== "prompt_and_tools")) {
      this.droppedCaching = true;
      return [];
    }
    const { ttl } = hint;
    // Five minutes are the default, and only some models know another.
    return [{ cachePoint: { type: "default", ...(typeof ttl === "string" && ttl !== "5m" ? { ttl } : {}) } }];
  }
}

function blockOf(part: Part, documentName: string): Json | null {
  switch (part.kind) {
    case "text":
      return { text: part.text };
    case "image": {
      const format = part.data === null ? undefined : IMAGE_FORMATS.get(part.data.mediaType);
      return part.data === null || format === undefined
        ? null
        : { image: { format, source: { bytes: part.data.base64 } } };
    }
    case "file": {
      const extension = part.name?.toLowerCase().split(".").at(-1);
      const isNamed = [...DOCUMENT_FORMATS.values()].some((each) => each === extension);
      const format = DOCUMENT_FORMATS.get(part.data.mediaType) ?? (isNamed ? extension : undefined);
      const citations = part.source["citations"];
      const block = { format, name: documentName, source: { bytes: part.data.base64 } };
      return format === undefined
        ? null
        : { document: { ...block, ...(isJsonObject(citations) ? { citations } : {}) } };
    }
    case "audio": {
      const format = part.data.mediaType.replace(/^audio\//, "");
      return AUDIO_FORMATS.has(format) ? { audio: { format, source: { bytes: part.data.base64 } } } : null;
    }
    case "unknown":
      return videoOf(part.source);
  }
}

/** `video_url` is nobody's standard, but what clients write for Nova. */
function videoOf(source: Json): Json | null {
  const video = source["video_url"];
  const url = isJsonObject(video) ? video["url"] : video;
  const data = source["type"] === "video_url" && typeof url === "string" ? inlineOf(url) : null;
  const format = data === null ? undefined : VIDEO_FORMATS.get(data.mediaType);
  return data === null || format === undefined ? null : { video: { format, source: { bytes: data.base64 } } };
}
