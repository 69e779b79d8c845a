/**
 * The conversation so far, in the words of the vendor that gets it.
 *
 * A client sends back what it was given, whoever gave it: another vendor's signed reasoning, its spelling of thoughts,
 * its ids. What is bound to another vendor is taken out, so that a fallback in mid-conversation works. Only messages
 * that hold such a thing are touched, and in them only that: all else stays byte for byte.
 */
import { isJsonObject, JsonEdit, scanArray } from "../../../lib/json.ts";
import type { AdapterCall } from "../../../providers/adapter.ts";
import type { ProviderRow } from "../../../providers/rows.ts";

type Json = Readonly<Record<string, unknown>>;

/** How this router's own adapters mark reasoning that only one vendor can read (`format` of `reasoning_details`). */
const OWN_FORMATS: ReadonlySet<unknown> = new Set(["anthropic", "google", "bedrock", "cohere"]);
/** Members of an assistant's message that only this router's translations write. */
const TRANSLATED_EXTRAS = ["tool_plan", "citations"] as const;
const REASONING_FIELDS = ["reasoning_content", "reasoning"] as const;
const SUSPECTS = [...TRANSLATED_EXTRAS, ...REASONING_FIELDS, "reasoning_details"] as const;

export function writeHistory(row: ProviderRow, call: AdapterCall): void {
  const messages = call.fields["messages"];
  const raw = call.body.raw("messages");
  if (raw === undefined || !Array.isArray(messages)) return;
  const needsEdit = messages.map((message) => isJsonObject(message) && needsWriting(row, message));
  if (!needsEdit.includes(true)) return;
  let text = "";
  let behind = 0;
  for (const [index, { start, end }] of scanArray(raw, 0).entries()) {
    if (needsEdit[index] !== true) continue;
    text += raw.slice(behind, start) + written(row, messages[index], raw.slice(start, end));
    behind = end;
  }
  call.body.setRaw("messages", text + raw.slice(behind));
}

/** Cheap: most messages of most requests need nothing. */
function needsWriting(row: ProviderRow, message: Json): boolean {
  if (message["role"] === "developer") return row.developerRole !== true;
  if (message["role"] === "tool") return row.history?.callIds === "nine" && typeof message["tool_call_id"] === "string";
  return message["role"] === "assistant" && hasForeign(row, message);
}

function hasForeign(row: ProviderRow, message: Json): boolean {
  if (SUSPECTS.some((name) => message[name] !== undefined)) return true;
  if (row.history?.drop?.some((name) => message[name] !== undefined) === true) return true;
  const { content, tool_calls: calls } = message;
  if (Array.isArray(calls) && (row.history?.callIds !== undefined || calls.some(isExtended))) return true;
  return Array.isArray(content) && content.some(isThinking);
}

function isExtended(call: unknown): boolean {
  return isJsonObject(call) && call["extra_content"] !== undefined;
}

function isThinking(part: unknown): boolean {
  return isJsonObject(part) && part["type"] === "thinking";
}

function written(row: ProviderRow, message: Json, raw: string): string {
  const edit = new JsonEdit(raw);
  if (message["role"] === "developer") return edit.set("role", "system").toString();
  if (message["role"] === "tool") {
    const id = String(message["tool_call_id"]);
    const fitting = nineOf(id);
    return fitting === id ? raw : edit.set("tool_call_id", fitting).toString();
  }
  for (const name of TRANSLATED_EXTRAS) if (edit.has(name)) edit.remove(name);
  for (const name of row.history?.drop ?? []) if (edit.has(name) && isBlank(message[name])) edit.remove(name);
  writeReasoning(row, message, edit);
  writeDetails(row, message, edit);
  writeCalls(row, message, edit);
  if (row.history?.thinkingParts !== true) removeThinking(message, edit);
  return edit.toString();
}

/** What the OpenAI SDKs add to a message they hand back, saying nothing. */
function isBlank(value: unknown): boolean {
  return value === null || (Array.isArray(value) && value.length === 0);
}

/** Thoughts as plain text have two names. Where the vendor knows one of them, they are put under it. */
function writeReasoning(row: ProviderRow, message: Json, edit: JsonEdit): void {
  const wanted = row.history?.reasoning;
  if (wanted === undefined) return;
  const sent = REASONING_FIELDS.filter((name) => edit.has(name));
  // What is not text is another vendor's object.
  const source = sent.find((name) => name === wanted) ?? sent.find((name) => typeof message[name] === "string");
  for (const name of sent) if (name !== source || wanted === "none") edit.remove(name);
  if (source !== undefined && wanted !== "none" && source !== wanted) edit.rename(source, wanted);
}

function writeDetails(row: ProviderRow, message: Json, edit: JsonEdit): void {
  const raw = edit.raw("reasoning_details");
  if (raw === undefined) return;
  const details = message["reasoning_details"];
  const keeps = row.history?.details;
  if (keeps === undefined || !Array.isArray(details)) {
    edit.remove("reasoning_details");
    return;
  }
  const kept = scanArray(raw, 0).filter((_, index) => isOwnDetail(keeps, details[index]));
  if (kept.length === details.length) return;
  if (kept.length === 0) edit.remove("reasoning_details");
  else edit.setRaw("reasoning_details", `[${kept.map(({ start, end }) => raw.slice(start, end)).join(",")}]`);
}

function isOwnDetail(keeps: string, detail: unknown): boolean {
  const format = isJsonObject(detail) ? detail["format"] : undefined;
  if (OWN_FORMATS.has(format)) return false;
  return keeps === "any" || (typeof format === "string" && format.toLowerCase().startsWith(keeps));
}

/** `extra_content` carries the signatures of Google's wire; a call's id may have to fit a pattern. */
function writeCalls(row: ProviderRow, message: Json, edit: JsonEdit): void {
  const calls = message["tool_calls"];
  const raw = edit.raw("tool_calls");
  if (raw === undefined || !Array.isArray(calls)) return;
  let text = "";
  let behind = 0;
  for (const [index, { start, end }] of scanArray(raw, 0).entries()) {
    const call: unknown = calls[index];
    if (!isJsonObject(call)) continue;
    const id = call["id"];
    const fitting = row.history?.callIds === "nine" && typeof id === "string" ? nineOf(id) : id;
    if (fitting === id && !isExtended(call)) continue;
    const own = new JsonEdit(raw.slice(start, end));
    if (fitting !== id) own.set("id", fitting);
    if (isExtended(call)) own.remove("extra_content");
    text += raw.slice(behind, start) + own.toString();
    behind = end;
  }
  if (behind > 0) edit.setRaw("tool_calls", text + raw.slice(behind));
}

/** Mistral answers with thoughts among the parts of its content. Others refuse the type. */
function removeThinking(message: Json, edit: JsonEdit): void {
  const content = message["content"];
  const raw = edit.raw("content");
  if (raw === undefined || !Array.isArray(content)) return;
  const kept = scanArray(raw, 0).filter((_, index) => !isThinking(content[index]));
  if (kept.length === content.length) return;
  const parts = kept.map(({ start, end }) => raw.slice(start, end)).join(",");
  edit.setRaw("content", kept.length > 0 ? `[${parts}]` : '""');
}

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Primes near 2^32 times the golden ratio and the like: any odd, well mixed number serves. */
const [MIX_A, MIX_B] = [2654435761, 1597334677] as const;

/**
 * `id` as nine letters and digits, which is all Mistral takes ("must be a-z, A-Z, 0-9, with a length of 9", its code
 * 3280). The same id always gives the same nine, so that calls and results still meet; one that fits is left alone.
 */
export function nineOf(id: string): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let at = 0; at < id.length; at++) {
    const code = id.charCodeAt(at);
    a = Math.imul(a ^ code, MIX_A);
    b = Math.imul(b ^ code, MIX_B);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  // 53 bits: as many as a number holds, and nearly as many as nine characters do.
  let rest = 4294967296 * (b & 0x1fffff) + (a >>> 0);
  let text = "";
  for (let at = 0; at < 9; at++) {
    text += ALPHABET[rest % 62];
    rest = Math.floor(rest / 62);
  }
  return text;
}
