/**
 * The most a request can use, before anybody has counted: what a reservation holds.
 *
 * Pure. A token of text is at least one byte, so the body's bytes bound its text; what is not text is bounded by part.
 * The bound on the output is the cap itself, and holds only because the cap is written into the upstream's body.
 */
import { isJsonObject } from "../lib/json.ts";

/** Role, separators and the vendor's own wrapping of a message. */
const TOKENS_PER_MESSAGE = 16;
/** The system prompt that vendors add when tools are offered. */
const TOOLS_TOKENS = 1_024;
/** The dearest known: gpt-4o-mini counts up to 48,169 for one picture in full detail. */
const IMAGE_TOKENS = 50_000;
/** Written upstream where neither client, policy nor catalogue names a cap. */
const DEFAULT_OUTPUT_TOKENS = 32_768;

/** Token ceilings per part of a message that is not text: the policy's. */
export interface PartCeilings {
  readonly image?: number | undefined;
  readonly audio?: number | undefined;
  readonly file?: number | undefined;
}

type Part = keyof PartCeilings;

const PARTS: ReadonlyMap<unknown, Part> = new Map<unknown, Part>([
  ["image_url", "image"],
  ["image", "image"],
  ["input_image", "image"],
  ["input_audio", "audio"],
  // By its address: nothing of it is in the body.
  ["audio_url", "file"],
  ["file", "file"],
  ["input_file", "file"],
  ["document", "file"],
  ["document_url", "file"],
  ["video", "file"],
  ["video_url", "file"],
]);

export type PromptBound =
  | { readonly ok: true; readonly tokens: number }
  /** A part nobody has set a ceiling for: no number would be a bound. */
  | { readonly ok: false; readonly part: Part };

/** At most so many prompt tokens. `bodyBytes` is the length of the whole body in UTF-8. */
export function promptBound(
  fields: Readonly<Record<string, unknown>>,
  bodyBytes: number,
  ceilings: PartCeilings,
): PromptBound {
  const messages = Array.isArray(fields["messages"]) ? fields["messages"] : [];
  const hasTools = fields["tools"] !== undefined || fields["functions"] !== undefined;
  let tokens = bodyBytes + messages.length * TOKENS_PER_MESSAGE + (hasTools ? TOOLS_TOKENS : 0);
  for (const message of messages) {
    const content = isJsonObject(message) ? message["content"] : undefined;
    if (!Array.isArray(content)) continue;
    for (const each of content) {
      const part = isJsonObject(each) ? PARTS.get(each["type"]) : undefined;
      if (part === undefined) continue;
      // Its bytes are in the body already; sound has far more of them than tokens, a document may have fewer.
      const ceiling = ceilings[part] ?? (part === "image" ? IMAGE_TOKENS : part === "audio" ? 0 : null);
      if (ceiling === null) return { ok: false, part };
      tokens += ceiling;
    }
  }
  return { ok: true, tokens };
}

/** The client's own cap on output tokens. */
export function ownCap(fields: Readonly<Record<string, unknown>>): number | undefined {
  const caps = [fields["max_completion_tokens"], fields["max_tokens"]].filter((cap) => typeof cap === "number");
  return caps.length === 0 ? undefined : Math.min(...caps);
}

/** The smallest cap on output tokens that anybody named, per choice. */
export function outputCap(
  fields: Readonly<Record<string, unknown>>,
  policyCap: number | undefined,
  modelCap: number | undefined,
): number {
  const named = [ownCap(fields), policyCap].filter((cap) => cap !== undefined);
  return Math.min(...(named.length === 0 ? [modelCap ?? DEFAULT_OUTPUT_TOKENS] : named));
}

/** Answers asked for: each may be as long as the cap. */
export function choicesOf(fields: Readonly<Record<string, unknown>>): number {
  return typeof fields["n"] === "number" ? fields["n"] : 1;
}
