/**
 * Pictures, sounds and files in the result of a tool, for providers whose tool messages hold text only: they are moved
 * into a message of the user's behind the results, where every model that can see them does.
 * https://platform.openai.com/docs/api-reference/chat/create: "For tool messages, only type `text` is supported."
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { type Cut, elementCuts } from "../../../lib/json-spans.ts";

const MEDIA: ReadonlySet<unknown> = new Set(["image_url", "input_audio", "file", "video_url", "audio_url"]);

export function hasMedia({ content }: Json): boolean {
  return Array.isArray(content) && content.some((part) => isJsonObject(part) && MEDIA.has(part["type"]));
}

export interface SplitResult {
  /** JSON text of what stays of `content`. */
  readonly content: string;
  /** JSON texts of the parts for the user's message. */
  readonly moved: readonly string[];
}

/** `content`: the cut of a list that `hasMedia`. */
export function splitResult(message: Json, content: Cut): SplitResult {
  const parts = message["content"] as readonly unknown[];
  const cuts = elementCuts(content);
  const kept: string[] = [];
  const media: string[] = [];
  for (const [at, part] of parts.entries()) {
    (isJsonObject(part) && MEDIA.has(part["type"]) ? media : kept).push(cuts(at)());
  }
  const id = typeof message["tool_call_id"] === "string" ? ` ${message["tool_call_id"]}` : "";
  const label = textPart(`Returned by tool call${id}:`);
  if (kept.length === 0) kept.push(textPart("The result is in the next user message."));
  return { content: `[${kept.join(",")}]`, moved: [label, ...media] };
}

function textPart(text: string): string {
  return JSON.stringify({ type: "text", text });
}
