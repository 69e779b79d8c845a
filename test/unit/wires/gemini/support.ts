/** Google's adapter as the relay calls it, and its wire as the core does. */

import type { AdapterCall, AnswerContext } from "../../../../src/providers/adapter.ts";
import { google } from "../../../../src/providers/google.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";

export type Json = Readonly<Record<string, unknown>>;

export const BASE_URL = "https://generativelanguage.googleapis.com/v1beta";
const CONFIG = { baseUrl: BASE_URL, headers: { "x-goog-api-key": "key" } };
export const DUMMY = "skip_thought_signature_validator";

const contextOf = (fields: Json): AnswerContext => ({
  asked: askedInChat(fields),
  model: "asked-model",
  traceId: "tr_1",
  createdAt: 1_700_000_000,
});

/** The stream's parts. `fields`: the request that it answers. */
export function translate(chunks: Iterable<Uint8Array>, fields: Json = {}): StreamPart[] {
  const stream = asChat(google.adapter.translation).openStream(contextOf(fields));
  const parts = [...chunks].flatMap((chunk) => [...stream.push(chunk)]);
  return [...parts, ...stream.end()];
}

export const toText = (parts: readonly StreamPart[]): string =>
  parts.map((part) => ("chunk" in part ? `data: ${JSON.stringify(part.chunk)}\n\n` : "")).join("");

/** Events as Google writes them: each one JSON text. */
export const streamOf = (...texts: string[]): Uint8Array =>
  new TextEncoder().encode(texts.map((text) => `data: ${text}\r\n\r\n`).join(""));
export const stream = (...events: unknown[]): Uint8Array => streamOf(...events.map((event) => JSON.stringify(event)));

/** A whole answer, from its text. */
export const wholeOf = (text: string, fields: Json = {}) =>
  asChat(google.adapter.translation).toCompletion(JSON.parse(text), contextOf(fields), text);
export const whole = (body: unknown, fields: Json = {}) => wholeOf(JSON.stringify(body), fields);

export interface Message extends Json {
  readonly content: string | null;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { name: string; arguments: string } }[];
}

/** The message of the first choice. */
export function messageOf(answer: ReturnType<typeof whole>): Message {
  if (!answer.ok) throw new Error("no answer");
  return (answer.completion["choices"] as { message: Message }[])[0]!.message;
}

export const ending = (finishReason: string | undefined, parts: unknown[] = [{ text: "x" }]) => ({
  candidates: [{ content: { parts }, ...(finishReason === undefined ? {} : { finishReason }) }],
});

/** What the client's request becomes, sent: `text` is the exact body. */
export async function send(fields: Json, options: Partial<AdapterCall> = {}) {
  const { url, headers, body, droppedParams } = await google.adapter.toUpstream({
    ...inChat(fields),
    stream: fields["stream"] === true,
    model: "gemini-3.5-flash",
    params: {},
    maxOutputTokens: undefined,
    config: CONFIG,
    ...options,
  });
  return { url, headers, text: body, body: JSON.parse(body) as Json, droppedParams };
}

/** The parts of all turns that are sent. */
export async function sentParts(messages: readonly unknown[], model = "gemini-3.5-flash"): Promise<Json[]> {
  const { body } = await send({ messages }, { model });
  return (body["contents"] as { parts: Json[] }[]).flatMap(({ parts }) => parts);
}
