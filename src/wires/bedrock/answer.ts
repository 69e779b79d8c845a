/**
 * A whole Converse answer as a `chat.completion`, and what it shares with the stream: stop reasons, usage, citations.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax.
 * Blocks that OpenAI has no place for are kept: pictures in `images`, citations in `citations`, all others (the calls
 * and results of Amazon's own tools) in `bedrock_blocks`.
 */
import { isJsonObject } from "../../lib/json.ts";
import type { AnswerContext, TranslatedAnswer, UpstreamFailure } from "../../providers/adapter.ts";
import { countOf, type FinishReason, type MadeCall, type TokenCounts, toCompletion } from "../openai-chat/chat-wire.ts";
import { classifyBedrock } from "./errors.ts";
import { traitsOf } from "./models.ts";
import { ANSWER_TOOL, needsAnswerTool } from "./tools.ts";

type Json = Readonly<Record<string, unknown>>;

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

const FINISH: Readonly<Record<string, FinishReason>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  pause_turn: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  guardrail_intervened: "content_filter",
  content_filtered: "content_filter",
  refusal: "content_filter",
};

/** The model's output could not be read: no answer, whatever stands before it. */
export const isMalformed = (stopReason: unknown): boolean =>
  stopReason === "malformed_model_output" || stopReason === "malformed_tool_use";

/** Some models say `end_turn` after a call; and our own answer tool is no call for the client. */
export function finishReasonOf(stopReason: unknown, callCount: number): FinishReason {
  const reason = Object.hasOwn(FINISH, String(stopReason)) ? (FINISH[String(stopReason)] ?? "stop") : "stop";
  if (reason === "tool_calls" || reason === "stop") return callCount > 0 ? "tool_calls" : "stop";
  return reason;
}

/** Cache reads and writes stand beside the input here, and inside it at OpenAI. */
export function tokenCountsOf(usage: unknown): TokenCounts | null {
  if (!isJsonObject(usage)) return null;
  const input = countOf(usage["inputTokens"]);
  const completion = countOf(usage["outputTokens"]);
  if (input === undefined && completion === undefined) return null;
  const cached = countOf(usage["cacheReadInputTokens"]);
  const cacheWrite = countOf(usage["cacheWriteInputTokens"]);
  return {
    prompt: (input ?? 0) + (cached ?? 0) + (cacheWrite ?? 0),
    completion: completion ?? 0,
    cached,
    cacheWrite,
    cacheWriteHour: hourWritesIn(usage["cacheDetails"]),
  };
}

/** Newer models say how long each part of the writes is kept. */
function hourWritesIn(details: unknown): number {
  const ofHour = (Array.isArray(details) ? details : []).filter((each) => isJsonObject(each) && each["ttl"] === "1h");
  return ofHour.reduce<number>((sum, each) => sum + (countOf(each["inputTokens"]) ?? 0), 0);
}

/** The model a prompt router chose: an ARN, whose last segment is the model. */
export function servedModelOf(trace: unknown): string | undefined {
  const router = isJsonObject(trace) ? trace["promptRouter"] : undefined;
  const invoked = isJsonObject(router) ? router["invokedModelId"] : undefined;
  return typeof invoked === "string" && invoked !== "" ? invoked.slice(invoked.lastIndexOf("/") + 1) : undefined;
}

/** Top-level extras of an answer or of the last chunk. `metrics` say nothing that the router does not measure. */
export function extrasOf(body: Json): Json {
  const tier = isJsonObject(body["serviceTier"]) ? body["serviceTier"]["type"] : undefined;
  const names = ["trace", "additionalModelResponseFields", "performanceConfig"].filter((name) =>
    isJsonObject(body[name]),
  );
  return {
    ...(typeof tier === "string" ? { service_tier: tier } : {}),
    ...(names.length === 0 ? {} : { bedrock: Object.fromEntries(names.map((name) => [name, body[name]])) }),
  };
}

export function imageOf(format: unknown, source: unknown): Json | null {
  const bytes = isJsonObject(source) ? source["bytes"] : undefined;
  if (typeof bytes !== "string") return null;
  return { type: "image_url", image_url: { url: `data:image/${String(format)};base64,${bytes}` } };
}

export const reasoningDetail = (text: string, signature: string): Json => ({
  type: "reasoning.text",
  format: "bedrock",
  text,
  signature,
});

export const redactedDetail = (data: string): Json => ({ type: "reasoning.encrypted", format: "bedrock", data });

/** The client asked for at most one call, and Converse cannot be told. */
export const allowsOneCall = (fields: Json): boolean => fields["parallel_tool_calls"] === false;

/** Text that stands beside the answer tool's arguments is not part of the JSON the client asked for. */
export const expectsAnswerTool = ({ fields, model }: AnswerContext): boolean =>
  needsAnswerTool(fields, traitsOf(model));

export function toBedrockCompletion(body: unknown, context: AnswerContext): TranslatedAnswer {
  const output = isJsonObject(body) ? body["output"] : undefined;
  const message = isJsonObject(output) ? output["message"] : undefined;
  if (!isJsonObject(body) || !isJsonObject(message) || !Array.isArray(message["content"])) {
    const isError = isJsonObject(body) && (body["__type"] !== undefined || body["message"] !== undefined);
    const failure = isError ? classifyBedrock({ status: 200, headers: new Headers(), body }) : NOT_AN_ANSWER;
    return { ok: false, failure };
  }
  if (isMalformed(body["stopReason"])) return { ok: false, failure: NOT_AN_ANSWER };
  const content = new ContentReader();
  for (const block of message["content"]) if (isJsonObject(block)) content.add(block);
  const { answer } = content;
  if (answer !== null) content.reasoning += content.text;
  const calls = allowsOneCall(context.fields) ? content.calls.slice(0, 1) : content.calls;
  const choice = {
    text: answer ?? content.text,
    reasoning: content.reasoning,
    reasoningDetails: content.details,
    calls,
    finish: finishReasonOf(body["stopReason"], calls.length),
    extra: content.extra(),
  };
  const whole = {
    id: undefined,
    model: servedModelOf(body["trace"]),
    choices: [choice],
    usage: tokenCountsOf(body["usage"]),
    extra: extrasOf(body),
  };
  return { ok: true, completion: toCompletion(whole, context) };
}

class ContentReader {
  text = "";
  reasoning = "";
  /** The arguments of our own tool. */
  answer: string | null = null;
  readonly details: Json[] = [];
  readonly calls: MadeCall[] = [];
  readonly #citations: unknown[] = [];
  readonly #images: Json[] = [];
  readonly #others: Json[] = [];

  add(block: Json): void {
    const { text, toolUse, reasoningContent, citationsContent, image } = block;
    const picture = isJsonObject(image) ? imageOf(image["format"], image["source"]) : null;
    if (typeof text === "string") this.text += text;
    else if (isJsonObject(reasoningContent)) this.#addReasoning(reasoningContent);
    else if (isJsonObject(toolUse) && !isServerCall(toolUse)) this.#addCall(toolUse);
    else if (isJsonObject(citationsContent)) this.#addCited(citationsContent);
    else if (picture !== null) this.#images.push(picture);
    else this.#others.push(block);
  }

  extra(): Json {
    return {
      ...(this.#citations.length === 0 ? {} : { citations: this.#citations }),
      ...(this.#images.length === 0 ? {} : { images: this.#images }),
      ...(this.#others.length === 0 ? {} : { bedrock_blocks: this.#others }),
    };
  }

  #addReasoning({ reasoningText, redactedContent }: Json): void {
    if (typeof redactedContent === "string") this.details.push(redactedDetail(redactedContent));
    if (!isJsonObject(reasoningText)) return;
    const text = typeof reasoningText["text"] === "string" ? reasoningText["text"] : "";
    this.reasoning += text;
    const { signature } = reasoningText;
    if (typeof signature === "string" && signature !== "") this.details.push(reasoningDetail(text, signature));
  }

  #addCall({ toolUseId, name, input }: Json): void {
    const args = argumentsText(input);
    if (name === ANSWER_TOOL) this.answer = (this.answer ?? "") + args;
    else this.calls.push({ id: String(toolUseId), name: String(name), args: args === "" ? "{}" : args });
  }

  #addCited({ content, citations }: Json): void {
    for (const each of Array.isArray(content) ? content : []) {
      if (isJsonObject(each) && typeof each["text"] === "string") this.text += each["text"];
    }
    if (Array.isArray(citations)) this.#citations.push(...citations);
  }
}

/** Documented as an object. */
export function argumentsText(input: unknown): string {
  if (typeof input === "string") return input;
  try {
    return JSON.stringify(input ?? {});
  } catch {
    // Nested deeper than the stack.
    return "{}";
  }
}

/** A call of Amazon's own tool, which Amazon has answered already. */
export const isServerCall = (toolUse: Json): boolean => toolUse["type"] === "server_tool_use";
