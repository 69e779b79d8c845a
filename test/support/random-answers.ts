/**
 * Random answers as a provider of each wire streams them: thoughts, texts, calls and refusals in any order, odd ends, and
 * a place at which the stream is cut.
 */
import fc from "fast-check";
import { event } from "./aws-event-stream.ts";

export type PlanPart =
  | { readonly kind: "thinking" | "text" | "refusal"; readonly pieces: readonly string[] }
  | { readonly kind: "call"; readonly id: string; readonly name: string; readonly pieces: readonly string[] };

export interface Plan {
  readonly parts: readonly PlanPart[];
  readonly end: "stop" | "length" | "refused" | "odd";
  /** Which of the wire's odd words. */
  readonly word: number;
  readonly hasUsage: boolean;
}

export interface Rendered {
  readonly contentType: string;
  readonly events: readonly (string | Uint8Array)[];
  /** Which event says how the answer ended. */
  readonly endsAt: number;
}

const piece = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
  fc.constantFrom("data: [DONE]", '"stop_reason":"x"', "\n\n", "event: error\n", '{"error":{}}', "é☔\u2028", " "),
);
const said = (kind: "thinking" | "text" | "refusal") =>
  fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => ({ kind, pieces }));
const callArgs = fc
  .constantFrom("{}", '{"n":1.0,"id":9007199254740993123}', '{"a":"é\\n\\"","b":[{}]}', '{"2":2,"1":1}')
  .chain((text) =>
    fc.array(fc.nat(text.length), { maxLength: 3 }).map((cuts) => {
      const places = [...new Set([0, ...cuts, text.length])].sort((a, b) => a - b);
      return places.slice(0, -1).map((from, at) => text.slice(from, places[at + 1]));
    }),
  );
const call = fc
  .record({ name: fc.constantFrom("lookup", "write_file", "a-b"), pieces: callArgs })
  .map((made) => ({ kind: "call" as const, ...made }));

export const plans: fc.Arbitrary<Plan> = fc
  .record({
    parts: fc.array(
      fc.oneof(
        { weight: 6, arbitrary: said("thinking") },
        { weight: 12, arbitrary: said("text") },
        { weight: 6, arbitrary: call },
        // A wire that has no word for it says it in a text.
        said("refusal"),
      ),
      { minLength: 1, maxLength: 6 },
    ),
    end: fc.oneof(
      { weight: 4, arbitrary: fc.constant("stop" as const) },
      fc.constantFrom("length" as const, "refused" as const, "odd" as const),
    ),
    word: fc.nat(3),
    hasUsage: fc.boolean(),
  })
  .map((plan) => {
    let serial = 0;
    // Ids have the form that their provider gives them, and no two are the same.
    const parts = plan.parts.map((part) =>
      part.kind === "call" ? { ...part, id: `call_${String(++serial).padStart(9, "0")}` } : part,
    );
    return { ...plan, parts };
  });

export const INPUT_TOKENS = 11;
export const OUTPUT_TOKENS = 7;

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (type: string, more: object): string => `event: ${type}\n${data({ type, ...more })}`;
const SSE = "text/event-stream";

const wordOf = ({ end, word, parts }: Plan, words: Readonly<Record<string, string>>, odd: readonly string[]): string =>
  end === "odd"
    ? (odd[word % odd.length] ?? "")
    : end === "stop" && parts.some(({ kind }) => kind === "call")
      ? (words["calls"] ?? "")
      : (words[end] ?? "");

function chat(plan: Plan): Rendered {
  const chunk = (choices: readonly object[], more: object = {}): string =>
    data({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more });
  const delta = (content: object, finish: string | null = null): string =>
    chunk([{ index: 0, delta: content, finish_reason: finish }]);
  let calls = 0;
  const events = [delta({ role: "assistant", content: "" })];
  for (const part of plan.parts) {
    if (part.kind === "call") {
      const index = calls++;
      const made = { index, id: part.id, type: "function", function: { name: part.name, arguments: "" } };
      events.push(delta({ tool_calls: [made] }));
      for (const text of part.pieces) events.push(delta({ tool_calls: [{ index, function: { arguments: text } }] }));
    } else {
      const member = { thinking: "reasoning", text: "content", refusal: "refusal" }[part.kind];
      for (const text of part.pieces) events.push(delta({ [member]: text }));
    }
  }
  const words = { stop: "stop", calls: "tool_calls", length: "length", refused: "content_filter" };
  events.push(delta({}, wordOf(plan, words, ["eos", "function_call", "unheard_of", "STOP"])));
  const endsAt = events.length - 1;
  const usage = { prompt_tokens: INPUT_TOKENS, completion_tokens: OUTPUT_TOKENS, total_tokens: 18 };
  if (plan.hasUsage) events.push(chunk([], { usage }));
  return { contentType: SSE, events: [...events, "data: [DONE]\n\n"], endsAt };
}

function anthropic(plan: Plan): Rendered {
  const message = { id: "msg_up", type: "message", role: "assistant", model: "m", content: [], stop_reason: null };
  const usage = { input_tokens: INPUT_TOKENS, output_tokens: 1 };
  const events = [named("message_start", { message: { ...message, stop_sequence: null, usage } }), named("ping", {})];
  for (const [index, part] of plan.parts.entries()) {
    const start =
      part.kind === "call"
        ? { type: "tool_use", id: part.id, name: part.name, input: {} }
        : part.kind === "thinking"
          ? { type: "thinking", thinking: "", signature: "" }
          : { type: "text", text: "" };
    events.push(named("content_block_start", { index, content_block: start }));
    const deltaOf = (text: string): object =>
      part.kind === "call"
        ? { type: "input_json_delta", partial_json: text }
        : part.kind === "thinking"
          ? { type: "thinking_delta", thinking: text }
          : { type: "text_delta", text };
    for (const text of part.pieces) events.push(named("content_block_delta", { index, delta: deltaOf(text) }));
    const signed = { index, delta: { type: "signature_delta", signature: "c2lnbmVk" } };
    if (part.kind === "thinking") events.push(named("content_block_delta", signed));
    events.push(named("content_block_stop", { index }));
  }
  const words = { stop: "end_turn", calls: "tool_use", length: "max_tokens", refused: "refusal" };
  const stop = wordOf(plan, words, ["model_context_window_exceeded", "unheard_of"]);
  events.push(
    named("message_delta", {
      delta: { stop_reason: stop, stop_sequence: null },
      usage: { output_tokens: OUTPUT_TOKENS },
    }),
  );
  return { contentType: SSE, events: [...events, named("message_stop", {})], endsAt: events.length - 1 };
}

function google(plan: Plan): Rendered {
  const chunk = (parts: readonly object[], more: object = {}, rest: object = {}): string =>
    data({ candidates: [{ index: 0, content: { role: "model", parts }, ...more }], modelVersion: "m", ...rest });
  const events = plan.parts.flatMap((part) => {
    if (part.kind === "call") {
      // Written as text: numbers in arguments are not to be rounded here.
      const made = chunk([{ functionCall: { name: part.name, args: "@args@" } }]);
      return [made.replace('"@args@"', () => part.pieces.join(""))];
    }
    return part.pieces.map((text) => chunk([part.kind === "thinking" ? { text, thought: true } : { text }]));
  });
  const usageMetadata = { promptTokenCount: INPUT_TOKENS, candidatesTokenCount: OUTPUT_TOKENS, totalTokenCount: 18 };
  const words = { stop: "STOP", calls: "STOP", length: "MAX_TOKENS", refused: "SAFETY" };
  const finishReason = wordOf(plan, words, ["RECITATION", "OTHER", "LANGUAGE", "UNHEARD_OF"]);
  events.push(chunk([], { finishReason }, plan.hasUsage ? { usageMetadata } : {}));
  return { contentType: SSE, events, endsAt: events.length - 1 };
}

function bedrock(plan: Plan): Rendered {
  const events: Uint8Array[] = [event("messageStart", { role: "assistant" })];
  for (const [contentBlockIndex, part] of plan.parts.entries()) {
    const add = (delta: object): number => events.push(event("contentBlockDelta", { contentBlockIndex, delta }));
    if (part.kind === "call") {
      const start = { toolUse: { toolUseId: part.id, name: part.name } };
      events.push(event("contentBlockStart", { contentBlockIndex, start }));
      for (const input of part.pieces) add({ toolUse: { input } });
    } else for (const text of part.pieces) add(part.kind === "thinking" ? { reasoningContent: { text } } : { text });
    if (part.kind === "thinking") add({ reasoningContent: { signature: "c2lnbmVk" } });
    events.push(event("contentBlockStop", { contentBlockIndex }));
  }
  const words = { stop: "end_turn", calls: "tool_use", length: "max_tokens", refused: "guardrail_intervened" };
  const stopReason = wordOf(plan, words, ["content_filtered", "stop_sequence", "unheard_of"]);
  events.push(event("messageStop", { stopReason }));
  const endsAt = events.length - 1;
  const usage = { inputTokens: INPUT_TOKENS, outputTokens: OUTPUT_TOKENS, totalTokens: 18 };
  if (plan.hasUsage) events.push(event("metadata", { usage }));
  return { contentType: "application/vnd.amazon.eventstream", events, endsAt };
}

function cohere(plan: Plan): Rendered {
  const events = [named("message-start", { id: "m", delta: { message: { role: "assistant" } } })];
  for (const [index, part] of plan.parts.entries()) {
    const add = (type: string, message: object): number => events.push(named(type, { index, delta: { message } }));
    if (part.kind === "call") {
      const made = { id: part.id, type: "function", function: { name: part.name, arguments: "" } };
      add("tool-call-start", { tool_calls: made });
      for (const text of part.pieces) add("tool-call-delta", { tool_calls: { function: { arguments: text } } });
      events.push(named("tool-call-end", { index }));
    } else {
      const member = part.kind === "thinking" ? "thinking" : "text";
      add("content-start", { content: { type: member, [member]: "" } });
      for (const text of part.pieces) add("content-delta", { content: { [member]: text } });
      events.push(named("content-end", { index }));
    }
  }
  const words = { stop: "COMPLETE", calls: "TOOL_CALL", length: "MAX_TOKENS", refused: "ERROR_TOXIC" };
  const finish_reason = wordOf(plan, words, ["STOP_SEQUENCE", "ERROR", "UNHEARD_OF"]);
  const tokens = { input_tokens: INPUT_TOKENS, output_tokens: OUTPUT_TOKENS };
  const usage = plan.hasUsage ? { usage: { billed_units: tokens, tokens } } : {};
  events.push(named("message-end", { delta: { finish_reason, ...usage } }));
  return { contentType: SSE, events, endsAt: events.length - 1 };
}

/** By the provider that speaks the wire. */
export const RENDERERS = { groq: chat, anthropic, google, bedrock, cohere } as const;
