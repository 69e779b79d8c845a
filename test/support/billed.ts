/**
 * Answers that cost what a test says, in each provider's own wire: what the provider bills is then known without the
 * router's own arithmetic.
 */
import { event } from "./aws-event-stream.ts";
import type { Script } from "./upstream.ts";

export interface Used {
  /** Tokens of the prompt. */
  readonly input: number;
  /** Tokens of the answer. */
  readonly output: number;
}

const json = (body: unknown): Script => ({ json: body });
const data = (body: unknown): string => `data: ${JSON.stringify(body)}\n\n`;
const typed = (type: string, more: object): string => `event: ${type}\n${data({ type, ...more })}`;

/** How a wire writes an answer of `text` that used so many tokens. */
export interface BilledWire {
  whole(text: string, used: Used): Script;
  stream(text: string, used: Used): Script;
}

const openai: BilledWire = {
  whole: (text, { input, output }) =>
    json({
      ...{ id: "c", object: "chat.completion", created: 1, model: "m" },
      choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
      usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
    }),
  stream(text, { input, output }) {
    const chunk = (choices: unknown[], more: object = {}): string =>
      data({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more });
    const usage = { prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
    return {
      events: [
        chunk([{ index: 0, delta: { role: "assistant", content: text }, finish_reason: null }]),
        chunk([{ index: 0, delta: {}, finish_reason: "stop" }]),
        chunk([], { usage }),
        "data: [DONE]\n\n",
      ],
    };
  },
};

const anthropic: BilledWire = {
  whole: (text, { input, output }) =>
    json({
      ...{ id: "m", type: "message", role: "assistant", model: "m", stop_reason: "end_turn" },
      content: [{ type: "text", text }],
      usage: { input_tokens: input, output_tokens: output },
    }),
  stream: (text, { input, output }) => ({
    events: [
      typed("message_start", {
        message: { id: "m", type: "message", role: "assistant", content: [], usage: { input_tokens: input } },
      }),
      typed("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
      typed("content_block_delta", { index: 0, delta: { type: "text_delta", text } }),
      typed("content_block_stop", { index: 0 }),
      typed("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: output } }),
      typed("message_stop", {}),
    ],
  }),
};

const gemini = (text: string, { input, output }: Used): object => ({
  candidates: [{ index: 0, content: { role: "model", parts: [{ text }] }, finishReason: "STOP" }],
  usageMetadata: { promptTokenCount: input, candidatesTokenCount: output, totalTokenCount: input + output },
});

const google: BilledWire = {
  whole: (text, used) => json(gemini(text, used)),
  stream: (text, used) => ({ events: [data(gemini(text, used))] }),
};

const bedrock: BilledWire = {
  whole: (text, { input, output }) =>
    json({
      output: { message: { role: "assistant", content: [{ text }] } },
      stopReason: "end_turn",
      usage: { inputTokens: input, outputTokens: output, totalTokens: input + output },
    }),
  stream: (text, { input, output }) => ({
    headers: { "content-type": "application/vnd.amazon.eventstream" },
    events: [
      event("messageStart", { role: "assistant" }),
      event("contentBlockDelta", { contentBlockIndex: 0, delta: { text } }),
      event("contentBlockStop", { contentBlockIndex: 0 }),
      event("messageStop", { stopReason: "end_turn" }),
      event("metadata", { usage: { inputTokens: input, outputTokens: output, totalTokens: input + output } }),
    ],
  }),
};

const cohere: BilledWire = {
  whole: (text, { input, output }) =>
    json({
      ...{ id: "m", finish_reason: "COMPLETE" },
      message: { role: "assistant", content: [{ type: "text", text }] },
      usage: {
        billed_units: { input_tokens: input, output_tokens: output },
        tokens: { input_tokens: input, output_tokens: output },
      },
    }),
  stream: (text, { input, output }) => ({
    events: [
      typed("message-start", { id: "m", delta: { message: { role: "assistant", content: [] } } }),
      typed("content-start", { index: 0, delta: { message: { content: { type: "text", text: "" } } } }),
      typed("content-delta", { index: 0, delta: { message: { content: { text } } } }),
      typed("content-end", { index: 0 }),
      typed("message-end", {
        delta: {
          finish_reason: "COMPLETE",
          usage: {
            billed_units: { input_tokens: input, output_tokens: output },
            tokens: { input_tokens: input, output_tokens: output },
          },
        },
      }),
    ],
  }),
};

const responseOf = (text: string, { input, output }: Used): object => ({
  ...{ id: "resp_b", object: "response", created_at: 1, status: "completed", model: "m" },
  output: [{ type: "message", id: "m", role: "assistant", status: "completed", content: [outputText(text)] }],
  usage: { input_tokens: input, output_tokens: output, total_tokens: input + output },
});
const outputText = (text: string): object => ({ type: "output_text", text, annotations: [] });

const responses: BilledWire = {
  whole: (text, used) => json(responseOf(text, used)),
  stream(text, used) {
    const item = { type: "message", id: "m", role: "assistant", status: "completed", content: [outputText(text)] };
    const at = { output_index: 0, item_id: "m", content_index: 0 };
    const steps: readonly (readonly [string, object])[] = [
      ["created", { response: { id: "resp_b", object: "response", status: "in_progress", model: "m", output: [] } }],
      ["output_item.added", { output_index: 0, item: { ...item, status: "in_progress", content: [] } }],
      ["content_part.added", { ...at, part: outputText("") }],
      ["output_text.delta", { ...at, delta: text }],
      ["output_text.done", { ...at, text }],
      ["content_part.done", { ...at, part: outputText(text) }],
      ["output_item.done", { output_index: 0, item }],
      ["completed", { response: responseOf(text, used) }],
    ];
    return { events: steps.map(([name, more], at) => typed(`response.${name}`, { sequence_number: at, ...more })) };
  },
};

/** Providers with a wire of their own; every other one answers as OpenAI does. */
const OWN: ReadonlyMap<string, BilledWire> = new Map(Object.entries({ anthropic, google, bedrock, cohere, responses }));

/** `wire`: the provider, or `responses`, which some speak as well. */
export const billedWire = (wire: string): BilledWire => OWN.get(wire) ?? openai;

/** The name of the wire in which a provider is called at `path`. */
export function wireAt(path: string, provider: string): string {
  if (/\/responses(?:$|\?)/.test(path)) return "responses";
  return /\/messages(?:$|\?)/.test(path) ? "anthropic" : provider;
}
