/**
 * The provider's content blocks as parts: of a client's messages, and of whole answers.
 *
 * What is not known becomes an opaque part, which can be written for this wire only.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Bound, Json, Media, Part } from "../../conversation/part.ts";
import { isJsonObject, wordOf } from "../../lib/json.ts";
import { isProviderBlock } from "./provider-blocks.ts";

const WIRE = "anthropic-messages";
const OWN: Bound = { wire: WIRE, provider: null };

/** A block of any turn but a call or a result, which need the text that they came in. `null` for blank text. */
export function readBlock(block: Json, path: string): Part | null {
  const part = readUnmarked(block, path);
  const mark = block["cache_control"];
  return part !== null && isJsonObject(mark) ? { ...part, cache: mark } : part;
}

function readUnmarked(block: Json, path: string): Part | null {
  const { type, text, source } = block;
  const opaque: Part = { kind: "opaque", wire: WIRE, type: wordOf(type), source: block, path };
  switch (type) {
    case "text": {
      if (typeof text !== "string") return opaque;
      const { citations } = block;
      const cited = Array.isArray(citations) ? citations.filter(isJsonObject) : [];
      return text === "" ? null : { kind: "text", text, path, ...(cited.length > 0 ? { citations: cited } : {}) };
    }
    case "image": {
      const media = isJsonObject(source) ? mediaOf(source) : null;
      return media === null ? opaque : { kind: "image", media, path, ...ownId(media) };
    }
    case "document": {
      const media = isJsonObject(source) ? mediaOf(source) : null;
      if (media === null) return opaque;
      const { title, context, citations } = block;
      const options = {
        ...(typeof context === "string" ? { context } : {}),
        ...(isJsonObject(citations) ? { citations } : {}),
      };
      const isPlain = Object.keys(options).length === 0;
      const name = typeof title === "string" ? { name: title } : {};
      return { kind: "file", media, path, ...name, ...(isPlain ? {} : { options }), ...ownId(media) };
    }
    case "thinking": {
      const { thinking, signature } = block;
      const bound = typeof signature === "string" && signature !== "" ? { bound: { ...OWN, signature } } : {};
      return { kind: "reasoning", form: "full", text: typeof thinking === "string" ? thinking : "", path, ...bound };
    }
    case "redacted_thinking": {
      const { data } = block;
      if (typeof data !== "string") return opaque;
      return { kind: "reasoning", form: "redacted", text: "", path, bound: { ...OWN, encrypted: data } };
    }
    default: {
      const { cache_control: _mark, ...data } = block;
      return isProviderBlock(type) ? { kind: "block", path, bound: { ...OWN, data } } : opaque;
    }
  }
}

/** An id counts for the provider that gave it out. */
function ownId(media: Media): { readonly bound?: Bound } {
  return media.kind === "id" ? { bound: OWN } : {};
}

/** `null` for what the core has no word for: a document made of blocks. */
function mediaOf(source: Json): Media | null {
  const { type, media_type: mediaType, data, url, file_id: id } = source;
  if (type === "base64" && typeof mediaType === "string" && typeof data === "string") {
    return { kind: "base64", mediaType, data };
  }
  if (type === "url" && typeof url === "string") return { kind: "url", url };
  if (type === "file" && typeof id === "string") return { kind: "id", id };
  return type === "text" && typeof data === "string" ? { kind: "text", text: data } : null;
}
