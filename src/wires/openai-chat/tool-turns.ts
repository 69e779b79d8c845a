/** Calls and results in chat messages, in every spelling that some reader takes for one. */

import type { Json } from "../../conversation/part.ts";
import type { SeenCall, SeenResult, ToolTurn } from "../../conversation/tool-turns.ts";
import { isJsonObject, isRounded } from "../../lib/json.ts";
import { isFilled } from "./chunk.ts";

/** Does the conversation hold a result of a tool? Cheap: asked of every request. */
export function hasResults(messages: unknown): boolean {
  return Array.isArray(messages) && messages.some((message) => isJsonObject(message) && isResult(message));
}

/** What the messages call and answer. Messages that do neither are left out. */
export function readToolTurns(messages: unknown): ToolTurn[] {
  return (Array.isArray(messages) ? messages : []).flatMap((message): ToolTurn[] => {
    if (!isJsonObject(message)) return [];
    const results = readResults(message);
    const calls = isToolRole(message) ? [] : readCalls(message);
    return results.length + calls.length === 0 ? [] : [{ results, calls, isOpen: message["role"] === "assistant" }];
  });
}

const isToolRole = ({ role }: Json): boolean => role === "tool" || role === "function";

const isResult = (message: Json): boolean => isToolRole(message) || resultParts(message).length > 0;

function readResults(message: Json): SeenResult[] {
  const { role, tool_call_id: id } = message;
  const results = resultParts(message).map((part) => byId(part["tool_use_id"] ?? part["tool_call_id"]));
  if (role === "tool") results.push(byId(id));
  if (role !== "function") return results;
  // Some adapters go by the id here too.
  if (id !== undefined && id !== null) results.push(byId(id));
  return [...results, { by: "name", value: idText(message["name"]) }];
}

const byId = (id: unknown): SeenResult => ({ by: "id", value: idText(id) });

/** Results as parts of a message's content, which gateways to Anthropic take in this form. */
function resultParts({ content }: Json): Json[] {
  return Array.isArray(content) ? content.filter((part) => isJsonObject(part) && part["type"] === "tool_result") : [];
}

/** Every call of a message, in order, the legacy one last. */
export function readCalls(message: Json): SeenCall[] {
  const { tool_calls, function_call } = message;
  const listed = Array.isArray(tool_calls) ? tool_calls : isJsonObject(tool_calls) ? Object.values(tool_calls) : [];
  const calls = listed.filter(isJsonObject).map(readCall);
  if (isJsonObject(function_call)) {
    const { name, arguments: given } = function_call;
    calls.push({ id: null, kind: "legacy", name: textOf(name), ...argumentsOf(given) });
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
  return { id, kind: "function", name: textOf(detail["name"]), ...argumentsOf(detail["arguments"]) };
}

function argumentsOf(given: unknown): Pick<SeenCall, "arguments" | "isUnclear"> {
  return { arguments: argumentText(given), ...(isRounded(given) ? { isUnclear: true } : {}) };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Some providers and clients write the arguments as the value itself. */
function argumentText(value: unknown): string {
  if (typeof value === "string") return value;
  return isFilled(value) ? JSON.stringify(value) : "";
}

/** An id or a name as adapters make text of it. A client's object may not even have a text. */
function idText(value: unknown): string {
  if (Array.isArray(value)) return value.map(idText).join(",");
  if (isJsonObject(value)) return "[object Object]";
  return value === undefined || value === null ? "" : String(value);
}
