/**
 * Members that this router's own wires write into answers, and that no other provider may get back: the one list.
 *
 * A member that is added to an answer is added here too; `test/unit/wires/openai-chat/edit/extras.test.ts` looks for
 * members that the writers make and that are missing.
 */
import { isJsonObject } from "../../../lib/json.ts";
import { BLOCK_MEMBERS } from "../details.ts";
import { isLayout } from "../layout.ts";

/** Members of a message. */
export const MESSAGE_EXTRAS: readonly string[] = [
  ...["tool_plan", "citations", "annotations", "images", "stop_sequence", "stop_details", "extra_content"],
  ...["content_parts", "container"],
  // What Groq and MiniMax add to their own.
  ...["executed_tools", "audio_content"],
  ...BLOCK_MEMBERS.map(([name]) => name),
];

/** Members of one of its calls. */
export const CALL_EXTRAS: readonly string[] = ["extra_content"];

/** `format`s that only this router writes. */
const OWN_FORMATS: ReadonlySet<unknown> = new Set(["anthropic", "google", "bedrock", "cohere"]);

/** An entry of `reasoning_details` that this router made of another wire's reasoning, or of the order of a turn. */
export function isOwnEntry(entry: unknown): boolean {
  if (!isJsonObject(entry)) return false;
  return OWN_FORMATS.has(entry["format"]) || typeof entry["provider"] === "string" || isLayout(entry);
}
