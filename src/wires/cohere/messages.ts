/**
 * The conversation in Cohere's words (https://docs.cohere.com/reference/chat, `messages`).
 *
 * Pure. Thoughts go back only to a model that thinks: the others refuse the block. They carry no signature, so it does
 * not matter whose they were.
 */
import { isJsonObject } from "../../lib/json.ts";
import { type Part, partsOf, pastCallsOf } from "../openai-chat/chat-wire.ts";

type Json = Readonly<Record<string, unknown>>;

export interface CohereMessages {
  readonly messages: readonly Json[];
  /** What was left out of messages, as the client is told. */
  readonly dropped: readonly string[];
}

export function cohereMessages(messages: unknown, thinks: boolean): CohereMessages {
  const dropped = new Set<string>();
  const written = (Array.isArray(messages) ? messages : []).flatMap((message) => {
    if (!isJsonObject(message)) return [];
    if (message["name"] !== undefined && message["role"] !== "function") dropped.add("messages.name");
    if (partsOf(message["content"]).some(({ source }) => source["cache_control"] !== undefined)) {
      dropped.add("messages.cache_control");
    }
    return [toCohereMessage(message, thinks)];
  });
  return { messages: written, dropped: [...dropped] };
}

function toCohereMessage(message: Json, thinks: boolean): Json {
  switch (message["role"]) {
    case "system":
    case "developer":
      return { role: "system", content: contentOf(message["content"]) };
    case "assistant":
      return assistantMessage(message, thinks);
    case "tool":
      return {
        role: "tool",
        tool_call_id: String(message["tool_call_id"] ?? ""),
        content: toolContent(message["content"]),
      };
    case "function":
      // The legacy form names the function, and its call gets its id from the name too.
      return {
        role: "tool",
        tool_call_id: `call_${String(message["name"])}`,
        content: toolContent(message["content"]),
      };
    default:
      return { role: message["role"], content: contentOf(message["content"]) };
  }
}

/** One text stays a string; anything more becomes parts. */
function contentOf(content: unknown): unknown {
  const parts = partsOf(content);
  const only = parts.length === 1 ? parts[0] : undefined;
  if (only?.kind === "text") return only.text;
  return parts.length === 0 ? "" : parts.flatMap(toCoherePart);
}

function toCoherePart(part: Part): Json[] {
  switch (part.kind) {
    case "text":
      return [{ type: "text", text: part.text }];
    case "image": {
      const image = part.source["image_url"];
      const detail = isJsonObject(image) && typeof image["detail"] === "string" ? { detail: image["detail"] } : {};
      return [{ type: "image_url", image_url: { url: part.url, ...detail } }];
    }
    default:
      // A document is Cohere's own; anything else it shall refuse itself, rather than answer without.
      return [part.source];
  }
}

function toolContent(content: unknown): unknown {
  if (typeof content === "string") return content;
  if (isJsonObject(content)) return JSON.stringify(content);
  return contentOf(content);
}

function assistantMessage(message: Json, thinks: boolean): Json {
  const calls = pastCallsOf(message).map(({ id, name, argsText }) => ({
    id,
    type: "function",
    function: { name, arguments: argsText.trim() === "" ? "{}" : argsText },
  }));
  const texts = partsOf(message["content"]).flatMap((part) => (part.kind === "text" ? [part.text] : []));
  const refusal = message["refusal"];
  if (texts.length === 0 && typeof refusal === "string" && refusal !== "") texts.push(refusal);
  const thought = thinks ? thoughtOf(message) : "";
  const plan = message["tool_plan"];
  const written: Record<string, unknown> = { role: "assistant" };
  if (thought !== "") {
    const parts = texts.map((text) => ({ type: "text", text }));
    written["content"] = [{ type: "thinking", thinking: thought }, ...parts];
  } else if (texts.length > 0 || calls.length === 0) {
    written["content"] = texts.length > 1 ? texts.map((text) => ({ type: "text", text })) : (texts[0] ?? "");
  }
  if (calls.length > 0) {
    written["tool_calls"] = calls;
    if (typeof plan === "string" && plan !== "") written["tool_plan"] = plan;
  }
  return written;
}

/** Under both of its names, and as Mistral's parts. */
function thoughtOf(message: Json): string {
  const plain = message["reasoning_content"] ?? message["reasoning"];
  if (typeof plain === "string" && plain !== "") return plain;
  return partsOf(message["content"])
    .flatMap((part) => (part.kind === "unknown" && part.type === "thinking" ? [textIn(part.source["thinking"])] : []))
    .join("");
}

function textIn(thinking: unknown): string {
  if (typeof thinking === "string") return thinking;
  return partsOf(thinking)
    .flatMap((part) => (part.kind === "text" ? [part.text] : []))
    .join("");
}

function isDocument(part: Part): boolean {
  return part.kind === "unknown" && part.type === "document" && part.source["document"] !== undefined;
}

/** The kind of the first part that cannot be sent: images go with users only, files and sounds nowhere. */
export function unsupportedPart(messages: unknown): string | null {
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    for (const part of partsOf(message["content"])) {
      if (!isSendable(part, message["role"])) return part.kind === "unknown" ? part.type : part.kind;
    }
  }
  return null;
}

function isSendable(part: Part, role: unknown): boolean {
  if (part.kind === "text") return true;
  if (part.kind === "image") return role === "user";
  if (part.kind !== "unknown") return false;
  return role === "assistant" ? part.type === "thinking" : role === "tool" && isDocument(part);
}
