/**
 * Pictures and documents as the provider's blocks.
 *
 * https://platform.claude.com/docs/en/build-with-claude/vision, …/pdf-support, …/files
 */
import type { FilePart, Json, Media } from "../../conversation/part.ts";
import { pictureType } from "../picture-type.ts";

/** Uploaded files are still behind it. https://platform.claude.com/docs/en/build-with-claude/files */
export const FILES_BETA = "files-api-2025-04-14";

const PICTURES: ReadonlySet<string> = new Set(["image/jpeg", "image/png", "image/gif", "image/webp"]);

/** `null`: the provider cannot have it. An id counts where the provider itself gave it out. */
export function imageSource(media: Media, isOwnId: boolean): Json | null {
  switch (media.kind) {
    case "base64": {
      const type = pictureType(media.data, media.mediaType);
      return !PICTURES.has(type) ? null : { type: "base64", media_type: type, data: media.data };
    }
    case "url":
      return /^https?:\/\//i.test(media.url) ? { type: "url", url: media.url } : null;
    case "id":
      return isOwnId ? { type: "file", file_id: media.id } : null;
    case "text":
      return null;
  }
}

/** A PDF or plain text, by bytes, address or id; pictures that came as files are pictures. */
export function fileBlock({ media, name, options }: FilePart, isOwnId: boolean): Json | null {
  if (media.kind === "base64" && media.mediaType.startsWith("image/")) {
    const source = imageSource(media, isOwnId);
    return source === null ? null : { type: "image", source };
  }
  const source = documentSource(media, isOwnId);
  if (source === null) return null;
  const { citations, context } = options ?? {};
  return {
    type: "document",
    source,
    ...(name === undefined ? {} : { title: name }),
    ...(typeof context === "string" ? { context } : {}),
    ...(citations === undefined || citations === null ? {} : { citations: citationSwitch(citations) }),
  };
}

function citationSwitch(citations: unknown): Json {
  const enabled = typeof citations === "object" && citations !== null && (citations as Json)["enabled"] === true;
  return { enabled };
}

function documentSource(media: Media, isOwnId: boolean): Json | null {
  switch (media.kind) {
    case "text":
      return { type: "text", media_type: "text/plain", data: media.text };
    case "url":
      return /^https?:\/\//i.test(media.url) ? { type: "url", url: media.url } : null;
    case "id":
      return isOwnId ? { type: "file", file_id: media.id } : null;
    case "base64": {
      const { mediaType, data } = media;
      if (mediaType === "application/pdf") return { type: "base64", media_type: mediaType, data };
      const isText = mediaType.startsWith("text/") || mediaType === "application/json";
      return isText ? { type: "text", media_type: "text/plain", data: utf8Of(data) } : null;
    }
  }
}

function utf8Of(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
  } catch {
    // Not base64 after all: some clients put the text itself there.
    return base64;
  }
}
