/** The chunks of a chat stream, and the members that chunks and answers share. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";

/** What one `data` of a chat stream is. */
export type ChunkKind =
  /** Carries text, reasoning, a tool call, a refusal or a finish reason: the answer has begun. */
  | "content"
  /** A chunk that carries none of these: the role, or a provider's own extras. */
  | "empty"
  /** Usage and no choices: the event a client must ask for. */
  | "usage"
  | "error"
  | "done"
  | "malformed";

export interface ChunkView {
  readonly kind: ChunkKind;
  /** The parsed chunk, for every kind but `done` and `malformed`. */
  readonly chunk: Readonly<Record<string, unknown>>;
}

const NO_CHUNK: Readonly<Record<string, unknown>> = Object.freeze({});
/** Classifies the data of one event of an OpenAI-protocol stream. Never throws. */
export function viewChunk(data: string): ChunkView {
  if (data.length < 16 && data.trim() === "[DONE]") return { kind: "done", chunk: NO_CHUNK };
  const chunk = tryParseJson(data);
  return isJsonObject(chunk) ? viewParsed(chunk) : { kind: "malformed", chunk: NO_CHUNK };
}

/** The same for a chunk that is parsed already. */
export function viewParsed(chunk: Readonly<Record<string, unknown>>): ChunkView {
  if (hasError(chunk)) return { kind: "error", chunk };
  const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
  if (choices.length === 0) return { kind: isJsonObject(chunk["usage"]) ? "usage" : "empty", chunk };
  for (const choice of choices) {
    if (!isJsonObject(choice)) continue;
    const finish = choice["finish_reason"];
    if (isFinishReason(finish)) return { kind: finish === "error" ? "error" : "content", chunk };
    const delta = choice["delta"];
    if (isJsonObject(delta) && carriesAnswer(delta)) return { kind: "content", chunk };
  }
  return { kind: "empty", chunk };
}

/** Spelled out, the commonest member first: this runs for every event. The providers have two names for reasoning. */
export function carriesAnswer(delta: Readonly<Record<string, unknown>>): boolean {
  return (
    isFilled(delta["content"]) ||
    isFilled(delta["reasoning_content"]) ||
    isFilled(delta["tool_calls"]) ||
    isFilled(delta["reasoning"]) ||
    isFilled(delta["refusal"]) ||
    isFilled(delta["function_call"]) ||
    isFilled(delta["audio"]) ||
    isFilled(delta["images"])
  );
}

/** Some providers send an empty one with every chunk. */
export function isFinishReason(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

/** True for a body or event that reports a failure whatever its HTTP status: a set, non-empty `error`. */
export function hasError(body: Readonly<Record<string, unknown>>): boolean {
  const error = body["error"];
  return isJsonObject(error) || (typeof error === "string" && error !== "");
}

/**
 * True for a body or event that is a failure in any of the shapes that come without `error`: Mistral's and vLLM's
 * `{object: "error"}`, DashScope's `{code, message}`, FastAPI's `{detail}`, MiniMax's `base_resp`, Cloudflare's envelope.
 */
export function reportsFailure(body: Readonly<Record<string, unknown>>): boolean {
  if (hasError(body)) return true;
  const { choices } = body;
  if (Array.isArray(choices) && choices.length > 0) return false;
  const { object, type, code, message, detail, base_resp, errors, success } = body;
  if (object === "error" || type === "error" || success === false || isFilled(detail)) return true;
  if (typeof message === "string" && message !== "" && isFilled(code)) return true;
  const status = isJsonObject(base_resp) ? base_resp["status_code"] : undefined;
  return isFilled(errors) || (status !== undefined && status !== null && status !== 0);
}

export function isFilled(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);
}

/**
 * The usage object of a chunk or answer: also where Groq (`x_groq`) and older Moonshot streams (the choice) put it.
 * The tier that served the request decides its price, so it is put in, as `service_tier`.
 */
export function usageOf(chunk: unknown): unknown {
  if (!isJsonObject(chunk)) return undefined;
  const { usage, x_groq, choices, service_tier } = chunk;
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const ofGroq = isJsonObject(x_groq) ? x_groq["usage"] : undefined;
  const ofChoice = isJsonObject(choice) ? choice["usage"] : undefined;
  const found = usage ?? ofGroq ?? ofChoice ?? undefined;
  return isJsonObject(found) && typeof service_tier === "string" ? { ...found, service_tier } : found;
}

/** A piece of the visible output. */
export interface Output {
  readonly kind: "text" | "reasoning" | "call";
  readonly text: string;
}

/** What a chunk says, piece by piece, for counting. */
export function outputOf(chunk: Readonly<Record<string, unknown>>): readonly Output[] {
  const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
  const pieces: Output[] = [];
  const add = (kind: Output["kind"], text: unknown): void => {
    if (typeof text === "string" && text !== "") pieces.push({ kind, text });
  };
  for (const choice of choices) {
    const said: unknown = isJsonObject(choice) ? (choice["delta"] ?? choice["message"]) : undefined;
    if (!isJsonObject(said)) continue;
    add("text", said["content"]);
    add("reasoning", said["reasoning_content"] ?? said["reasoning"]);
    add("text", said["refusal"]);
    const calls: readonly unknown[] = Array.isArray(said["tool_calls"]) ? said["tool_calls"] : [];
    for (const call of calls.length === 0 ? [{ function: said["function_call"] }] : calls) {
      const detail: unknown = isJsonObject(call) ? (call["function"] ?? call["custom"]) : undefined;
      if (!isJsonObject(detail)) continue;
      add("call", detail["name"]);
      add("call", detail["arguments"] ?? detail["input"]);
    }
  }
  return pieces;
}
