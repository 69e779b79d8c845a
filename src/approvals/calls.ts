/** Tool calls and their results as they stand in messages: read, named, taken out. */
import { isJsonObject } from "../lib/json.ts";
import { isFilled } from "../openai.ts";
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
  const id = isFilled(call["id"]) ? idText(call["id"]) : null;
  const { custom } = call;
  if (isJsonObject(custom)) {
    return { id, kind: "custom", name: textOf(custom["name"]), arguments: argumentText(custom["input"]) };
  }
  const detail = isJsonObject(call["function"]) ? call["function"] : {};
  return { id, kind: "function", name: textOf(detail["name"]), arguments: argumentText(detail["arguments"]) };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Some vendors and clients write the arguments as the value itself. */
function argumentText(value: unknown): string {
  if (typeof value === "string") return value;
  return isFilled(value) ? JSON.stringify(value) : "";
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

const isResult = ({ role }: Json): boolean => role === "tool" || role === "function";

/** An id or a name as text. What is neither text nor number is none: a client's object may not even have a text. */
function idText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/**
 * The tool results of a conversation, one per call, each with every call that it may be the result of: for `role:"tool"`
 * those of its id, for the legacy `role:"function"` the last one of its name before it.
 */
export function readResults(messages: unknown): ResultClaim[] {
  const byId = new Map<string, CallClaim[]>();
  const byName = new Map<string, CallClaim>();
  const ids = new Set<string>();
  const legacy: ResultClaim[] = [];
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    if (message["role"] === "tool") ids.add(idText(message["tool_call_id"]));
    else if (message["role"] === "function") {
      const name = idText(message["name"]);
      const call = byName.get(name);
      legacy.push({ by: "name", id: name, calls: call === undefined ? [] : [call] });
    } else {
      for (const { id, kind, name, arguments: text } of readCalls(message)) {
        const claim = { kind, name, arguments: text };
        byName.set(name, claim);
        if (id === null) continue;
        const known = byId.get(id);
        if (known === undefined) byId.set(id, [claim]);
        else known.push(claim);
      }
    }
  }
  return [...[...ids].map((id) => ({ by: "id" as const, id, calls: byId.get(id) ?? [] })), ...legacy];
}

/** Ids that a conversation uses already: a new call of one of them could not be told from the old one. */
export function usedIds(messages: unknown): string[] {
  const ids: string[] = [];
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    if (message["role"] === "tool") ids.push(idText(message["tool_call_id"]));
    for (const { id } of readCalls(message)) if (id !== null) ids.push(id);
  }
  return ids;
}
