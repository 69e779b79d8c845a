/**
 * The conversation so far, in the format of the provider that gets it.
 *
 * A client sends back what it was given, whichever provider gave it: another provider's signed reasoning, its spelling
 * of thoughts, its ids. What is bound to another provider is taken out, so that a fallback in mid-conversation works,
 * and what a provider demands is put in. Only messages that need it are touched, and in them only that: all else stays
 * byte for byte.
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, scanArray, tryParseJson } from "../../../lib/json.ts";
import { editElements } from "../../../lib/json-spans.ts";
import type { ProviderRow } from "../../../providers/provider-row.ts";
import type { ToolNames } from "../../tool-names.ts";
import { callIdFor } from "./call-ids.ts";
import { CALL_EXTRAS, isOwnEntry, MESSAGE_EXTRAS } from "./extras.ts";
import { hasMedia, splitResult } from "./media.ts";
import { customOf, takesCustomTools } from "./names.ts";
import { thoughtsOf } from "./thoughts.ts";
import { customCallAsFunction } from "./tools.ts";

const REASONING_FIELDS = ["reasoning_content", "reasoning"] as const;
const MARK = "cache_control";

export interface HistoryInput {
  readonly row: ProviderRow;
  readonly messages: readonly unknown[];
  readonly names: ToolNames | null;
  /** Members of messages that the provider refused before. */
  readonly without: readonly string[];
}

export interface WrittenHistory {
  /** `undefined`: the list as it came. */
  readonly text: string | undefined;
  /** What was left out and a client may miss, as `messages.<member>`. */
  readonly dropped: readonly string[];
}

/** `raw`: the exact text of the list of messages. */
export function writeHistory(raw: string, input: HistoryInput): WrittenHistory {
  const writer = new HistoryWriter(raw, input);
  const needsEdit = input.messages.map((message) => isJsonObject(message) && writer.needsEdit(message));
  const ending = endingOf(input);
  if (!needsEdit.includes(true) && ending === null) return { text: undefined, dropped: [] };
  return { text: writer.write(raw, needsEdit, ending), dropped: [...writer.dropped] };
}

/** What a provider wants of a conversation whose last message is the assistant's. */
function endingOf({ row, messages }: HistoryInput): "prefix" | "turn" | null {
  const last = messages.at(-1);
  if (row.history?.ending === undefined || !isJsonObject(last) || last["role"] !== "assistant") return null;
  return Array.isArray(last["tool_calls"]) && last["tool_calls"].length > 0 ? null : row.history.ending;
}

class HistoryWriter {
  readonly dropped = new Set<string>();
  readonly #row: ProviderRow;
  readonly #names: ToolNames | null;
  readonly #without: readonly string[];
  readonly #messages: readonly unknown[];
  /** Marks are looked for only where the text has the word. */
  readonly #mayHaveMarks: boolean;
  readonly #demandsThoughts: (message: Json) => boolean;

  constructor(raw: string, { row, messages, names, without }: HistoryInput) {
    this.#row = row;
    this.#names = names;
    this.#without = without;
    this.#messages = messages;
    this.#mayHaveMarks = row.cacheMarks !== true && raw.includes(MARK);
    const demands = row.history?.demands;
    const afterCalls = demands === "after calls" && messages.some(hasCalls);
    this.#demandsThoughts = (message) => afterCalls || (demands === "with calls" && hasCalls(message));
  }

  /** Cheap: most messages of most requests need nothing. */
  needsEdit(message: Json): boolean {
    const { role } = message;
    if (this.#without.some((name) => message[name] !== undefined)) return true;
    if (this.#mayHaveMarks && hasMarks(message)) return true;
    if (this.#row.knowsOfMessages !== undefined && this.#unknown(message).length > 0) return true;
    if (this.#names !== null && (role === "assistant" || role === "tool" || role === "function")) return true;
    switch (role) {
      case "developer":
        return this.#row.developerRole !== true;
      case "tool":
      case "function":
        return this.#isLongId(message["tool_call_id"]) || (this.#row.mediaInResults !== true && hasMedia(message));
      case "assistant":
        return this.#demandsThoughts(message) || this.#hasForeign(message);
      default:
        return false;
    }
  }

  #hasForeign(message: Json): boolean {
    if (MESSAGE_EXTRAS.some((name) => message[name] !== undefined)) return true;
    if (REASONING_FIELDS.some((name) => message[name] !== undefined)) return true;
    const { content, tool_calls: calls, reasoning_details: details } = message;
    if (details !== undefined) return true;
    if (Array.isArray(calls) && (calls.length === 0 || calls.some((call) => this.#isOddCall(call)))) return true;
    if (isUnsaid(content) && (Array.isArray(content) || !speaks(message))) return true;
    if (Array.isArray(calls) && !takesCustomTools(this.#row) && calls.some((call) => customOf(call) !== undefined)) {
      return true;
    }
    return Array.isArray(content) && content.some(isThinking);
  }

  #isLongId(id: unknown): boolean {
    return typeof id === "string" && callIdFor(this.#row.history?.callIds, id) !== id;
  }

  /** Clients that put a call together from a stream keep its index, which no request has. */
  #isOddCall(call: unknown): boolean {
    if (!isJsonObject(call)) return false;
    return this.#isLongId(call["id"]) || isExtended(call) || (call["index"] !== undefined && this.#isClosed);
  }

  get #isClosed(): boolean {
    return this.#row.knowsOfMessages !== undefined;
  }

  /** Members that a closed schema does not have. */
  #unknown(message: Json): string[] {
    const role = message["role"] === "developer" && this.#row.developerRole !== true ? "system" : message["role"];
    const known = typeof role === "string" ? this.#row.knowsOfMessages?.[role] : undefined;
    return known === undefined ? [] : Object.keys(message).filter((name) => !known.includes(name));
  }

  write(raw: string, needsEdit: readonly boolean[], ending: "prefix" | "turn" | null): string {
    let text = "";
    let keptUpTo = 0;
    let moved: string[] = [];
    const lastIndex = this.#messages.length - 1;
    for (const [index, { start, end }] of scanArray(raw, 0).entries()) {
      const message = this.#messages[index];
      const isResult = isJsonObject(message) && (message["role"] === "tool" || message["role"] === "function");
      text += raw.slice(keptUpTo, start);
      if (!isResult && moved.length > 0) {
        text += `${userTurn(moved)},`;
        moved = [];
      }
      let own = raw.slice(start, end);
      if (needsEdit[index] === true && isJsonObject(message)) own = this.#edited(message, own, moved);
      if (index === lastIndex && ending === "prefix") own = new JsonEdit(own).set("prefix", true).toString();
      text += own;
      keptUpTo = end;
    }
    if (moved.length > 0) text += `,${userTurn(moved)}`;
    if (ending === "turn") text += `,${JSON.stringify({ role: "user", content: "Continue." })}`;
    return text + raw.slice(keptUpTo);
  }

  /** Media that the message may not hold are put into `moved`. */
  #edited(message: Json, raw: string, moved: string[]): string {
    const edit = new JsonEdit(raw);
    const { role } = message;
    if (role === "developer" && this.#row.developerRole !== true) edit.set("role", "system");
    if (role === "assistant") this.#editAssistant(message, edit);
    else if (role === "tool" || role === "function") this.#editResult(message, edit, moved);
    if (this.#mayHaveMarks && hasMarks(message)) this.#removeMarks(message, edit);
    // Behind the renaming of thoughts: what is left is unknown.
    if (this.#row.knowsOfMessages !== undefined) this.#removeUnknown(message, edit);
    for (const name of this.#without) this.#remove(edit, name);
    return edit.toString();
  }

  #remove(edit: JsonEdit, name: string): void {
    if (!edit.has(name)) return;
    edit.remove(name);
    this.dropped.add(`messages.${name}`);
  }

  #editResult(message: Json, edit: JsonEdit, moved: string[]): void {
    const { tool_call_id: id, name } = message;
    if (typeof id === "string" && this.#isLongId(id)) {
      edit.set("tool_call_id", callIdFor(this.#row.history?.callIds, id));
    }
    if (this.#names !== null && typeof name === "string") edit.set("name", this.#names.sent({ name }));
    if (this.#row.mediaInResults === true || !hasMedia(message)) return;
    const split = splitResult(message, () => edit.raw("content") ?? "[]");
    edit.setRaw("content", split.content);
    moved.push(...split.moved);
  }

  #editAssistant(message: Json, edit: JsonEdit): void {
    const keeps = this.#row.history?.keeps ?? [];
    for (const name of MESSAGE_EXTRAS) if (edit.has(name) && !keeps.includes(name)) edit.remove(name);
    const hasThoughts = this.#writeReasoning(message, edit);
    if (!hasThoughts && this.#demandsThoughts(message)) edit.set("reasoning_content", thoughtsOf(message));
    this.#writeDetails(message, edit);
    this.#writeCalls(message, edit);
    if (this.#names !== null) this.#writeLegacyName(message, edit, this.#names);
    if (this.#row.history?.thinkingParts !== true) removeThinking(message, edit);
    fillContent(message, edit);
  }

  /**
   * Thoughts as plain text have two names. Where the provider knows one of them, they are put under it: true when there
   * is a text there now.
   */
  #writeReasoning(message: Json, edit: JsonEdit): boolean {
    const wanted = this.#row.history?.reasoning;
    if (wanted === undefined) return false;
    const sent = REASONING_FIELDS.filter((name) => edit.has(name));
    // What is not text is another provider's object, and `null` is how SDKs say that there is none.
    const isText = (name: (typeof REASONING_FIELDS)[number]): boolean => typeof message[name] === "string";
    const source = sent.find((name) => name === wanted && isText(name)) ?? sent.find(isText);
    for (const name of sent) if (name !== source || wanted === "none") edit.remove(name);
    if (source === undefined || wanted === "none") return false;
    if (source !== wanted) edit.rename(source, wanted);
    return true;
  }

  #writeDetails(message: Json, edit: JsonEdit): void {
    const raw = edit.raw("reasoning_details");
    if (raw === undefined) return;
    const details = message["reasoning_details"];
    const keeps = this.#row.history?.details;
    if (keeps === undefined || !Array.isArray(details)) {
      edit.remove("reasoning_details");
      return;
    }
    const isKept = details.map((entry) => isKeptEntry(keeps, entry));
    if (!isKept.includes(false)) return;
    if (!isKept.includes(true)) edit.remove("reasoning_details");
    else {
      edit.setRaw(
        "reasoning_details",
        editElements(raw, (_, at) => (isKept[at] === true ? undefined : null)),
      );
    }
  }

  /** `extra_content` carries the signatures of Google's wire; a call's id may have to fit a pattern, its name too. */
  #writeCalls(message: Json, edit: JsonEdit): void {
    const calls = message["tool_calls"];
    const raw = edit.raw("tool_calls");
    if (raw === undefined || !Array.isArray(calls)) return;
    // OpenAI refuses an empty list, which others answer with.
    if (calls.length === 0) edit.remove("tool_calls");
    const edited = editElements(raw, (text, at) => this.#editedCall(text, calls[at]));
    if (edited !== raw) edit.setRaw("tool_calls", edited);
  }

  #editedCall(text: string, call: unknown): string | undefined {
    if (!isJsonObject(call)) return undefined;
    const edit = new JsonEdit(text);
    const { id } = call;
    if (typeof id === "string" && this.#isLongId(id)) edit.set("id", callIdFor(this.#row.history?.callIds, id));
    if (this.#isClosed) edit.remove("index");
    for (const name of CALL_EXTRAS) {
      if (edit.has(name) && this.#row.history?.keeps?.includes(name) !== true) edit.remove(name);
    }
    const custom = customOf(call);
    if (custom !== undefined && !takesCustomTools(this.#row)) customCallAsFunction(edit, custom);
    for (const kind of ["function", "custom"] as const) {
      const detail = custom !== undefined && kind === "function" ? custom : call[kind];
      const raw = edit.raw(kind);
      if (this.#names === null || raw === undefined || !isJsonObject(detail)) continue;
      const name = detail["name"];
      if (typeof name !== "string" || this.#names.sent({ name }) === name) continue;
      edit.setRaw(kind, new JsonEdit(raw).set("name", this.#names.sent({ name })).toString());
    }
    const edited = edit.toString();
    return edited === text ? undefined : edited;
  }

  #writeLegacyName(message: Json, edit: JsonEdit, names: ToolNames): void {
    const call = message["function_call"];
    const raw = edit.raw("function_call");
    if (raw === undefined || !isJsonObject(call) || typeof call["name"] !== "string") return;
    edit.setRaw("function_call", new JsonEdit(raw).set("name", names.sent({ name: call["name"] })).toString());
  }

  #removeMarks(message: Json, edit: JsonEdit): void {
    this.#remove(edit, MARK);
    for (const list of ["content", "tool_calls"] as const) {
      const raw = edit.raw(list);
      if (raw === undefined || !raw.includes(MARK) || !Array.isArray(message[list])) continue;
      edit.setRaw(
        list,
        editElements(raw, (text) => (text.startsWith("{") ? new JsonEdit(text).remove(MARK).toString() : undefined)),
      );
      this.dropped.add(`messages.${MARK}`);
    }
    // A list of texts is there for its marks, and not every provider takes one of the assistant.
    const { content } = message;
    const isList = message["role"] === "assistant" && Array.isArray(content);
    if (isList && hasMarkedPart(content) && content.every(isPlainText)) {
      edit.set("content", content.map(({ text }) => text).join(""));
    }
  }

  #removeUnknown(message: Json, edit: JsonEdit): void {
    const own: readonly string[] = REASONING_FIELDS;
    for (const name of this.#unknown(message)) {
      if (own.includes(name) || !edit.has(name)) continue;
      // Without the member the words are content, and nothing else says them.
      if (name === "refusal" && typeof message["refusal"] === "string" && isBlank(message["content"] ?? null)) {
        edit.setRaw("content", edit.raw("refusal") ?? '""').remove("refusal");
        continue;
      }
      edit.remove(name);
      // SDKs send members back that say nothing; of those no client misses any.
      if (!isBlank(message[name])) this.dropped.add(`messages.${name}`);
    }
  }
}

/** Content that is there and says nothing in a form that some providers refuse: no list, or one of empty texts. */
function isUnsaid(content: unknown): boolean {
  if (content === undefined || content === null) return true;
  return Array.isArray(content) && content.every((part) => isPlainText(part) && part.text === "");
}

/** Something besides its content is the answer. */
function speaks(message: Json): boolean {
  const { function_call: legacy, refusal, audio } = message;
  return (
    hasCalls(message) || isJsonObject(legacy) || isJsonObject(audio) || (typeof refusal === "string" && refusal !== "")
  );
}

/** An answer that said nothing goes back as an empty text: `null` is for calls alone, and an empty list is none. */
function fillContent(message: Json, edit: JsonEdit): void {
  const content = edit.raw("content");
  const isList = content?.startsWith("[") === true && isUnsaid(tryParseJson(content));
  const isSilent = content === undefined || content === "null" || isList;
  if (isSilent && !speaks(message)) edit.set("content", "");
  else if (isList) edit.set("content", null);
}

function userTurn(parts: readonly string[]): string {
  return `{"role":"user","content":[${parts.join(",")}]}`;
}

function hasCalls(message: unknown): boolean {
  return isJsonObject(message) && Array.isArray(message["tool_calls"]) && message["tool_calls"].length > 0;
}

function hasMarks(message: Json): boolean {
  return message[MARK] !== undefined || [message["content"], message["tool_calls"]].some(hasMarkedPart);
}

function hasMarkedPart(list: unknown): boolean {
  return Array.isArray(list) && list.some((each) => isJsonObject(each) && each[MARK] !== undefined);
}

function isPlainText(part: unknown): part is { readonly text: string } {
  if (!isJsonObject(part) || part["type"] !== "text" || typeof part["text"] !== "string") return false;
  return Object.keys(part).every((name) => name === "type" || name === "text" || name === MARK);
}

function isExtended(call: unknown): boolean {
  return isJsonObject(call) && CALL_EXTRAS.some((name) => call[name] !== undefined);
}

function isThinking(part: unknown): boolean {
  return isJsonObject(part) && part["type"] === "thinking";
}

function isBlank(value: unknown): boolean {
  return value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

function isKeptEntry(keeps: string, entry: unknown): boolean {
  if (isOwnEntry(entry)) return false;
  const format = isJsonObject(entry) ? entry["format"] : undefined;
  return keeps === "any" || (typeof format === "string" && format.toLowerCase().startsWith(keeps));
}

/** Mistral answers with thoughts among the parts of its content. Others refuse the type. */
function removeThinking(message: Json, edit: JsonEdit): void {
  const content = message["content"];
  const raw = edit.raw("content");
  if (raw === undefined || !Array.isArray(content) || !content.some(isThinking)) return;
  const rest = editElements(raw, (_, at) => (isThinking(content[at]) ? null : undefined));
  edit.setRaw("content", content.every(isThinking) ? '""' : rest);
}
