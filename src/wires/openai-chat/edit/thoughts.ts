/** The readable thoughts of an assistant's message, wherever its provider put them. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { flattenContent } from "../mend/content.ts";

/** `""` where there are none that can be read. */
export function thoughtsOf(message: Json): string {
  for (const name of ["reasoning_content", "reasoning"] as const) {
    const text = message[name];
    if (typeof text === "string" && text !== "") return text;
  }
  const { reasoning_details: details, content } = message;
  const texts = (Array.isArray(details) ? details : []).map((entry) => {
    const text = isJsonObject(entry) ? (entry["text"] ?? entry["summary"]) : undefined;
    return typeof text === "string" ? text : "";
  });
  if (texts.some((text) => text !== "")) return texts.join("");
  return Array.isArray(content) ? flattenContent(content, "[]").reasoning : "";
}
