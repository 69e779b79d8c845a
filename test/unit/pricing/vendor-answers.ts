/**
 * An answer of each translated provider around a usage object of its own, whole and streamed, and its usage on our
 * wire.
 */

import type { AnswerContext } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { usageOf } from "../../../src/wires/openai-chat/chunk.ts";
import { asChat } from "../../support/as-chat.ts";
import { event } from "../../support/aws-event-stream.ts";

export type Json = Readonly<Record<string, unknown>>;

interface Native {
  /** Members of the answer beside its content and usage. */
  readonly more?: Json;
  readonly usage: Json;
}

interface Shape {
  whole(native: Native): Json;
  stream(native: Native): Uint8Array;
}

const sse = (...events: readonly Json[]): Uint8Array =>
  new TextEncoder().encode(events.map((each) => `data: ${JSON.stringify(each)}\n\n`).join(""));

const SHAPES: Readonly<Record<string, Shape>> = {
  anthropic: {
    whole: ({ usage }) => ({ content: [{ type: "text", text: "x" }], stop_reason: "end_turn", usage }),
    stream: ({ usage }) => {
      const { output_tokens, output_tokens_details, server_tool_use, ...atStart } = usage;
      const atEnd = { output_tokens, output_tokens_details, server_tool_use };
      return sse(
        { type: "message_start", message: { usage: { ...atStart, output_tokens: 1 } } },
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "x" } },
        { type: "content_block_stop", index: 0 },
        // Cumulative: only the last one counts.
        { type: "message_delta", delta: {}, usage: { output_tokens: 2 } },
        { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: atEnd },
        { type: "message_stop" },
      );
    },
  },
  google: {
    whole: ({ usage, more }) => ({
      candidates: [{ content: { parts: [{ text: "x" }] }, finishReason: "STOP", ...more }],
      usageMetadata: usage,
    }),
    stream: ({ usage, more }) =>
      sse(
        {
          candidates: [{ content: { parts: [{ text: "x" }] }, ...more }],
          usageMetadata: { ...usage, candidatesTokenCount: 1 },
        },
        { candidates: [{ content: { parts: [] }, finishReason: "STOP", ...more }], usageMetadata: usage },
      ),
  },
  bedrock: {
    whole: ({ usage, more }) => ({
      output: { message: { role: "assistant", content: [{ text: "x" }] } },
      stopReason: "end_turn",
      usage,
      ...more,
    }),
    stream: ({ usage, more }) =>
      Buffer.concat([
        event("messageStart", { role: "assistant" }),
        event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "x" } }),
        event("messageStop", { stopReason: "end_turn" }),
        event("metadata", { usage, ...more }),
      ]),
  },
  cohere: {
    whole: ({ usage }) => ({
      message: { role: "assistant", content: [{ type: "text", text: "x" }] },
      finish_reason: "COMPLETE",
      usage,
    }),
    stream: ({ usage }) =>
      sse(
        { type: "message-start", id: "1" },
        { type: "content-delta", delta: { message: { content: { text: "x" } } } },
        { type: "message-end", delta: { finish_reason: "COMPLETE", usage } },
      ),
  },
};

export const isTranslated = (provider: string): boolean => Object.hasOwn(SHAPES, provider);

/** The usage of a whole answer as billing sees it. A provider of OpenAI's wire sends it as it is. */
export function wholeUsage(provider: string, model: string, native: Native): unknown {
  const shape = SHAPES[provider];
  if (shape === undefined) return usageOf({ choices: [], ...native.more, usage: native.usage });
  const answer = asChat(findProvider(provider)?.adapter.translation).toCompletion(
    shape.whole(native),
    contextOf(model),
  );
  if (!answer.ok) throw new Error(`${provider} gave no answer`);
  return usageOf(answer.completion);
}

/** The same of a stream. */
export function streamUsage(provider: string, model: string, native: Native): unknown {
  const shape = SHAPES[provider];
  if (shape === undefined) return wholeUsage(provider, model, native);
  const stream = asChat(findProvider(provider)?.adapter.translation).openStream(contextOf(model));
  const parts = [...stream.push(shape.stream(native)), ...stream.end()];
  return parts
    .map((part) => ("chunk" in part ? usageOf(part.chunk) : undefined))
    .findLast((each) => each !== undefined);
}

const contextOf = (model: string): AnswerContext => ({
  asked: askedInChat({}),
  model,
  traceId: "tr_1",
  createdAt: 1_795_000_000,
});
