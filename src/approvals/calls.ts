/** Tool calls and their results as they stand in messages: read, named, taken out. */
import { isJsonObject } from "../lib/json.ts";
import { isFilled } from "../wires/openai-chat/chunk.ts";
import type { CallClaim, CallKind, ResultClaim } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** A call as a model made it. */
export interface SeenCall {
  /** As the vendor gave it; `null` where it gave none, as for every legacy call. */
  readonly id: string | null;
  readonly kind: CallKind;
  /** Empty where the model named none. */
  readonly name: string;
  /** Byte for byte. */
  readonly arguments: string;
  /** Others may read something else in it: two kinds of call in one, or numbers that lost digits when they were read. */
  readonly isUnclear?: true;
}

/** Names of the tools a message or delta calls, legacy `function_call` included. */
export function calledTools(message: Json): string[] {
  return readCalls(message)
    .map(({ name }) => name)
    .filter((name) => name !== "");
}

/** Every call of a message, in order, the legacy one last. */
export function readCalls(message: Json): SeenCall[] {
  const { tool_calls, function_call } = message;
  const listed = Array.isArray(tool_calls) ? tool_calls : isJsonObject(tool_calls) ? Object.values(tool_calls) : [];
  const calls = listed.filter(isJsonObject).map(readCall);
  if (isJsonObject(function_call)) {
    calls.push({
      id: null,
      kind: "legacy",
      name: textOf(function_call["name"]),
      arguments: argumentText(function_call["arguments"]),
    });
  }
  return calls;
}

function readCall(call: Json): SeenCall {
  const id = idText(call["id"]) || null;
  const { custom, function: called } = call;
  if (isJsonObject(custom)) {
    if (isJsonObject(called)) return { id, kind: "function", name: "", arguments: "", isUnclear: true };
    return { id, kind: "custom", name: textOf(custom["name"]), arguments: argumentText(custom["input"]) };
  }
  const detail = isJsonObject(called) ? called : {};
  const { arguments: given } = detail;
  const text = argumentText(given);
  return {
    ...{ id, kind: "function", name: textOf(detail["name"]), arguments: text },
    ...(isRounded(given) ? { isUnclear: true } : {}),
  };
}

/** Does it hold a number that had other digits, or may have had, before it was read? */
function isRounded(value: unknown): boolean {
  if (typeof value === "number") {
    return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value));
  }
  return typeof value === "object" && value !== null && Object.values(value).some(isRounded);
}

/** One kind of call, with text wherever it says something, as OpenAI writes it: everybody reads the same in it. */
export function isPlain({ function: called, custom }: Json): boolean {
  const [detail = {}, second] = [called, custom].filter(isJsonObject);
  return second === undefined && Object.values(detail).every((text) => !isFilled(text) || typeof text === "string");
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Some vendors and clients write the arguments as the value itself. */
function argumentText(value: unknown): string {
  if (typeof value === "string") return value;
  return isFilled(value) ? JSON.stringify(value) : "";
}

/** Everybody reads the same calls in it. */
export function isPlainMessage({ tool_calls, function_call }: Json): boolean {
  const listed = tool_calls ?? [];
  const isPlainList = Array.isArray(listed) && listed.every((call) => isJsonObject(call) && isPlain(call));
  return isPlainList && isPlain({ function: function_call });
}

export function withoutCalls(message: Json): Record<string, unknown> {
  const { tool_calls: _calls, function_call: _legacy, ...rest } = message;
  return rest;
}

/** Also for a call without a name: what cannot be named cannot be approved. Some vendors write `null` for none. */
export function carriesCalls({ tool_calls, function_call }: Json): boolean {
  return isFilled(tool_calls) || isFilled(function_call);
}

/** Does the conversation hold a result of a tool? Cheap: asked of every request. */
export function hasResults(messages: unknown): boolean {
  return Array.isArray(messages) && messages.some((message) => isJsonObject(message) && isResult(message));
}

const isResult = (message: Json): boolean => {
  return message["role"] === "tool" || message["role"] === "function" || resultParts(message).length > 0;
};

/** Results as parts of a message's content, which gateways to Anthropic take in this form. */
function resultParts({ content }: Json): Json[] {
  return Array.isArray(content) ? content.filter((part) => isJsonObject(part) && part["type"] === "tool_result") : [];
}

/** An id or a name as adapters make text of it. A client's object may not even have a text. */
function idText(value: unknown): string {
  if (Array.isArray(value)) return value.map(idText).join(",");
  if (isJsonObject(value)) return "[object Object]";
  return value === undefined || value === null ? "" : String(value);
}

/**
 * The tool results of a conversation, one per call, each with every call that it may be the result of: for a result that
 * gives an id those of that id, for the legacy `role:"function"` those of its name.
 *
 * A result that answers no open call of the conversation may be taken for that of any: vendors go by order, and adapters
 * make other ids where an id is odd. With it every call of the conversation has to be one whose result is admitted.
 */
export function readResults(messages: unknown): ResultClaim[] {
  const reader = new ResultReader();
  for (const message of Array.isArray(messages) ? messages : []) if (isJsonObject(message)) reader.add(message);
  return reader.end();
}

/** The id that adapters give a legacy call, which has none, and its result. */
const legacyId = (name: string): string => `call_${name}`;

class ResultReader {
  readonly #byId = new Map<string, CallClaim[]>();
  readonly #byName = new Map<string, CallClaim[]>();
  readonly #withoutId: CallClaim[] = [];
  /** How many calls of an id have no result yet. */
  readonly #open = new Map<string, number>();
  readonly #resultIds = new Set<string>();
  readonly #resultNames = new Set<string>();
  #isStray = false;

  add(message: Json): void {
    const { role, tool_call_id } = message;
    for (const part of resultParts(message)) this.#addResult(part["tool_use_id"] ?? part["tool_call_id"]);
    if (role === "tool") this.#addResult(tool_call_id);
    else if (role === "function") {
      // Some adapters go by the id here too.
      if (tool_call_id !== undefined && tool_call_id !== null) this.#addResult(tool_call_id);
      const name = idText(message["name"]);
      this.#resultNames.add(name);
      this.#close(legacyId(name));
    } else for (const call of readCalls(message)) this.#addCall(call, role === "assistant");
  }

  #addResult(given: unknown): void {
    const id = idText(given);
    this.#resultIds.add(id);
    this.#close(id);
  }

  #close(id: string): void {
    const open = this.#open.get(id) ?? 0;
    if (open === 0) this.#isStray = true;
    else this.#open.set(id, open - 1);
  }

  /** `isOpen`: every adapter takes it for a call. */
  #addCall({ id, kind, name, arguments: text, isUnclear }: SeenCall, isOpen: boolean): void {
    const claim = { kind, name, arguments: isUnclear === true ? null : text };
    append(this.#byName, name, claim);
    const ownId = id ?? (kind === "legacy" && name !== "" ? legacyId(name) : null);
    if (isOpen && ownId !== null) this.#open.set(ownId, (this.#open.get(ownId) ?? 0) + 1);
    if (id === null) this.#withoutId.push(claim);
    else append(this.#byId, id, claim);
  }

  end(): ResultClaim[] {
    const legacyIds = new Set([...this.#resultNames].map(legacyId));
    const ids = new Set(this.#resultIds);
    for (const id of this.#byId.keys()) if (this.#isStray || legacyIds.has(id)) ids.add(id);
    const named = new Set([...this.#resultNames].flatMap((name) => this.#byName.get(name) ?? []));
    for (const call of this.#withoutId) {
      if (this.#isStray || this.#resultIds.has(legacyId(call.name))) named.add(call);
    }
    const strayNames = [...this.#resultNames].filter((name) => !this.#byName.has(name));
    return [
      ...[...ids].map((id) => ({ by: "id" as const, id, calls: this.#byId.get(id) ?? [] })),
      ...[...named].map((call) => ({ by: "name" as const, id: call.name, calls: [call] })),
      ...strayNames.map((id) => ({ by: "name" as const, id, calls: [] })),
    ];
  }
}

function append(lists: Map<string, CallClaim[]>, key: string, claim: CallClaim): void {
  const known = lists.get(key);
  if (known === undefined) lists.set(key, [claim]);
  else known.push(claim);
}

/** Ids that a conversation uses already: a new call of one of them could not be told from the old one. */
export function usedIds(messages: unknown): string[] {
  const ids: string[] = [];
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    if (isResult(message)) ids.push(idText(message["tool_call_id"]));
    for (const { id } of readCalls(message)) if (id !== null) ids.push(id);
  }
  return ids;
}
