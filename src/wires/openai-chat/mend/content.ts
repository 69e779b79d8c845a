/**
 * Content that came as a list of parts, or as an object, where every client expects one text.
 *
 * Mistral's reasoning models answer with `thinking` and `text` parts
 * (https://docs.mistral.ai/capabilities/reasoning/), Databricks with `reasoning` and `text`
 * (https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models). The thoughts become
 * `reasoning_content`, texts are joined, and parts of any other kind are kept exactly in `content_parts`.
 */

import type { Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { compactJson } from "../../../lib/json-spans.ts";
import { elementTexts } from "../../../lib/json-text.ts";

export interface FlatContent {
  readonly text: string;
  /** `""` where there was none. */
  readonly reasoning: string;
  /** `""` where there was none. */
  readonly refusal: string;
  /** JSON texts of image parts, in the shape that `images` of a message has. */
  readonly images: readonly string[];
  /** JSON texts of the parts that are none of these. */
  readonly others: readonly string[];
}

/** `raw` is the exact text of `content`, which is a list or an object. */
export function flattenContent(content: unknown, raw: string): FlatContent {
  if (isLoneText(content)) return { text: content.text, reasoning: "", refusal: "", images: [], others: [] };
  // Workers AI parses what the model wrote as JSON: the text of the object is the answer.
  if (!Array.isArray(content)) return { text: compactJson(raw), reasoning: "", refusal: "", images: [], others: [] };
  const found = { text: "", reasoning: "", refusal: "", images: [] as string[], others: [] as string[] };
  let exact: string[] | undefined;
  for (const [at, part] of content.entries()) {
    if (typeof part === "string") {
      found.text += part;
      continue;
    }
    const type = isJsonObject(part) ? part["type"] : undefined;
    if (isJsonObject(part) && isTextType(type) && typeof part["text"] === "string") found.text += part["text"];
    else if (isJsonObject(part) && (type === "thinking" || type === "reasoning")) found.reasoning += thoughtsOf(part);
    else if (isJsonObject(part) && type === "refusal") found.refusal += String(part["refusal"] ?? part["text"] ?? "");
    else {
      exact ??= elementTexts(raw);
      (type === "image_url" ? found.images : found.others).push(exact[at] ?? "null");
    }
  }
  return found;
}

/** One part of text without the list that it belongs into. */
function isLoneText(content: unknown): content is { readonly text: string } {
  if (!isJsonObject(content) || content["type"] !== "text" || typeof content["text"] !== "string") return false;
  return Object.keys(content).every((name) => name === "type" || name === "text" || name === "annotations");
}

function isTextType(type: unknown): boolean {
  return type === "text" || type === "output_text" || type === undefined;
}

/** The readable text of a part of thoughts, in whichever member the provider puts it. */
function thoughtsOf(part: Json): string {
  for (const name of ["thinking", "reasoning", "summary", "content", "text"] as const) {
    const text = plainText(part[name]);
    if (text !== "") return text;
  }
  return "";
}

function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plainText).join("");
  return isJsonObject(value) && typeof value["text"] === "string" ? value["text"] : "";
}
