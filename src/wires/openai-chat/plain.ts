/**
 * Is a chunk or an answer in OpenAI's protocol plain: no key twice, and no member but those that are read here and those
 * that cannot be a call in anybody's eyes? Then its text may pass a gate as it came. An allow-list.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, scanJson } from "../../lib/json.ts";

const TOP: ReadonlySet<string> = new Set([
  ...["id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation"],
  ...["provider", "citations", "search_results", "prompt_filter_results", "x_groq"],
]);
const CHOICE: ReadonlySet<string> = new Set([
  ...["index", "delta", "message", "finish_reason", "native_finish_reason", "logprobs", "stop_reason", "matched_stop"],
  ...["content_filter_results", "content_filter_offsets", "content_filter_result"],
]);
const MESSAGE: ReadonlySet<string> = new Set([
  ...["role", "content", "refusal", "reasoning_content", "reasoning", "reasoning_details", "tool_calls"],
  ...[
    "function_call",
    "annotations",
    "citations",
    "audio",
    "images",
    "name",
    "channel",
    "stop_sequence",
    "stop_details",
  ],
]);
const CALL: ReadonlySet<string> = new Set(["index", "id", "type", "function", "custom", "extra_content"]);
const FUNCTION: ReadonlySet<string> = new Set(["name", "arguments"]);
const CUSTOM: ReadonlySet<string> = new Set(["name", "input"]);

/** `text` is JSON of which `body` was parsed. */
export function isPlainBody(text: string, body: Json): boolean {
  if (!hasOnly(body, TOP) || !Array.isArray(body["choices"]) || !body["choices"].every(isPlainChoice)) return false;
  return countMembers(body) === scanJson(text).memberCount;
}

function isPlainChoice(choice: unknown): boolean {
  if (!isJsonObject(choice) || !hasOnly(choice, CHOICE)) return false;
  // Some clients read the one, others the other.
  if (choice["delta"] !== undefined && choice["message"] !== undefined) return false;
  const said = choice["delta"] ?? choice["message"];
  return said === undefined || (isJsonObject(said) && isPlainMessage(said));
}

function isPlainMessage(message: Json): boolean {
  if (!hasOnly(message, MESSAGE)) return false;
  const { tool_calls: calls, function_call: legacy } = message;
  const isList = calls === undefined || calls === null || (Array.isArray(calls) && calls.every(isPlainCall));
  return isList && (legacy === undefined || legacy === null || isPlainDetail(legacy, FUNCTION));
}

function isPlainCall(call: unknown): boolean {
  if (!isJsonObject(call) || !hasOnly(call, CALL)) return false;
  const { function: called, custom } = call;
  if (called !== undefined && custom !== undefined) return false;
  return called === undefined ? custom === undefined || isPlainDetail(custom, CUSTOM) : isPlainDetail(called, FUNCTION);
}

/** With text wherever it says something: everybody reads the same in it. */
function isPlainDetail(detail: unknown, known: ReadonlySet<string>): boolean {
  if (!isJsonObject(detail) || !hasOnly(detail, known)) return false;
  return Object.values(detail).every((value) => typeof value === "string" || value === null);
}

function hasOnly(value: Json, known: ReadonlySet<string>): boolean {
  return Object.keys(value).every((name) => known.has(name));
}

/** As `scanJson` counts them, where of equal keys one is left. */
function countMembers(value: unknown): number {
  let count = 0;
  if (Array.isArray(value)) {
    for (const each of value) if (typeof each === "object") count += countMembers(each);
  } else if (isJsonObject(value)) {
    for (const key in value) count += typeof value[key] === "object" ? 1 + countMembers(value[key]) : 1;
  }
  return count;
}
