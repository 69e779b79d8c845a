/**
 * What a client makes of a stream: the whole text by the line rules of the standard, and the answer that a client of
 * the chat API puts together from it. Slow and plain on purpose, and no code of the router's: it is what the router
 * is measured by.
 */

import { expect } from "vitest";

/** The data of every event, in order. An event without its empty line is dropped, as the standard wants it. */
export function eventData(text: string): string[] {
  const found: string[] = [];
  let data: string[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  // What stands behind the last line end is no line.
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      if (data.length > 0) found.push(data.join("\n"));
      data = [];
      continue;
    }
    const [field = "", ...rest] = line.split(":");
    if (field === "data") data.push(rest.join(":").replace(/^ /, ""));
  }
  return found;
}

export interface StreamText {
  readonly text: string;
  /** The body did not come to its own end. */
  readonly isBroken: boolean;
}

/** What a client gets of a body that may break off: it keeps what came. */
export async function readStream(response: Response): Promise<StreamText> {
  if (response.body === null) return { text: "", isBroken: false };
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let text = "";
  for (;;) {
    try {
      const { done, value } = await reader.read();
      if (done) return { text: text + decoder.decode(), isBroken: false };
      text += decoder.decode(value, { stream: true });
    } catch {
      return { text, isBroken: true };
    }
  }
}

/** The text of a stream: one that is told as broken breaks off, and one that breaks off has said so before. */
export async function textOf(response: Response): Promise<string> {
  const { text, isBroken } = await readStream(response);
  const isTold = eventData(text).some((data) => data !== "[DONE]" && data.includes('"error"') && isFailure(data));
  expect({ isBroken, end: text.slice(-300) }).toEqual({ isBroken: isTold, end: text.slice(-300) });
  return text;
}

function isFailure(data: string): boolean {
  try {
    const { error, choices } = JSON.parse(data) as { error?: unknown; choices?: { finish_reason?: unknown }[] };
    return Boolean(error) || choices?.[0]?.finish_reason === "error";
  } catch {
    return false;
  }
}

interface Delta {
  readonly content?: string | readonly { readonly type: string; readonly [member: string]: unknown }[] | null;
  readonly reasoning?: string | null;
  readonly reasoning_content?: string | null;
  readonly refusal?: string | null;
  readonly tool_calls?: readonly {
    readonly index?: number;
    readonly id?: string;
    readonly function?: { readonly name?: string; readonly arguments?: string };
  }[];
}

export interface Chunk {
  readonly id?: string;
  readonly choices?: readonly {
    readonly index?: number;
    readonly delta?: Delta;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: object | null;
  readonly error?: {
    readonly message?: string;
    readonly type?: string;
    readonly code?: unknown;
    readonly param?: null;
  };
}

export interface Collected {
  text: string;
  reasoning: string;
  refusal: string;
  finishReason: string | null;
  toolCalls: { id: string; name: string; arguments: string }[];
  error: Chunk["error"] | null;
  isDone: boolean;
  /** Events with usage and no choices. */
  usageEvents: number;
}

/** Choice 0 of a streamed answer, up to `[DONE]`. Throws on an event that is not JSON, as the SDKs do. */
export function collect(text: string): Collected {
  const all: Collected = {
    text: "",
    reasoning: "",
    refusal: "",
    finishReason: null,
    toolCalls: [],
    error: null,
    isDone: false,
    usageEvents: 0,
  };
  for (const data of eventData(text)) {
    if (data === "[DONE]") {
      all.isDone = true;
      break;
    }
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error !== undefined && chunk.error !== null) all.error = chunk.error;
    const choice = chunk.choices?.find(({ index = 0 }) => index === 0);
    if (choice === undefined) {
      if (chunk.usage) all.usageEvents++;
      continue;
    }
    if (choice.finish_reason) all.finishReason = choice.finish_reason;
    addDelta(all, choice.delta ?? {});
  }
  return all;
}

function addDelta(all: Collected, delta: Delta): void {
  all.reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
  all.refusal += delta.refusal ?? "";
  if (typeof delta.content === "string") all.text += delta.content;
  else for (const part of delta.content ?? []) addPart(all, part);
  for (const call of delta.tool_calls ?? []) {
    const at = call.index ?? 0;
    all.toolCalls[at] ??= { id: "", name: "", arguments: "" };
    const known = all.toolCalls[at];
    known.id ||= call.id ?? "";
    known.name += call.function?.name ?? "";
    known.arguments += call.function?.arguments ?? "";
  }
}

/** Mistral's content parts. */
function addPart(all: Collected, part: { readonly type: string; readonly [member: string]: unknown }): void {
  if (part.type === "text") all.text += String(part["text"]);
  if (part.type === "thinking" && Array.isArray(part["thinking"])) {
    for (const thought of part["thinking"] as { text?: string }[]) all.reasoning += thought.text ?? "";
  }
}
