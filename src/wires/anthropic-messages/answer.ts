/**
 * Claude's answers in OpenAI's words: what whole answers and streams share, and the whole ones.
 *
 * Pure; never throws on any body. Text blocks are joined, thinking is kept twice (as text to read, and signed to send
 * back), and blocks of tools that ran at the vendor stay as they came, in `server_tool_blocks`.
 * https://platform.claude.com/docs/en/api/messages, …/build-with-claude/handling-stop-reasons
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import type { AnswerContext, TranslatedAnswer } from "../../providers/adapter.ts";
import { countOf, type FinishReason, type MadeCall, type TokenCounts, toCompletion } from "../openai-chat/chat-wire.ts";
import { ANSWER_TOOL } from "./format.ts";
import { REASONING_FORMAT } from "./messages.ts";

type Json = Readonly<Record<string, unknown>>;

const FINISH: ReadonlyMap<unknown, FinishReason> = new Map<unknown, FinishReason>([
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool_calls"],
  ["refusal", "content_filter"],
]);

/** Every other reason is an end the model or the client chose. `calls` counts the client's tools only. */
export function finishOf(reason: unknown, calls: number, isAnswerTool: boolean): FinishReason {
  const finish = FINISH.get(reason) ?? "stop";
  return finish === "tool_calls" && calls === 0 && isAnswerTool ? "stop" : finish;
}

/**
 * The vendor counts caches beside the input, OpenAI inside. All figures of a stream are cumulative, so a later object
 * replaces the members it has.
 */
export function countsOf(usage: Json): TokenCounts | null {
  const input = countOf(usage["input_tokens"]);
  const output = countOf(usage["output_tokens"]);
  if (input === undefined && output === undefined) return null;
  const byLifetime = isJsonObject(usage["cache_creation"]) ? Object.values(usage["cache_creation"]) : [];
  const summed = byLifetime.reduce<number>((sum, each) => sum + (countOf(each) ?? 0), 0);
  const cacheWrite = countOf(usage["cache_creation_input_tokens"]) ?? summed;
  const cached = countOf(usage["cache_read_input_tokens"]) ?? 0;
  const details = isJsonObject(usage["output_tokens_details"]) ? usage["output_tokens_details"] : {};
  return {
    prompt: (input ?? 0) + cached + cacheWrite,
    completion: output ?? 0,
    cached,
    cacheWrite,
    reasoning: countOf(details["thinking_tokens"]),
  };
}

/** What usage says beyond token counts, under the vendor's names. */
export function usageExtras(usage: Json): Json {
  const extras: Record<string, unknown> = {};
  for (const name of ["cache_creation", "server_tool_use", "inference_geo", "iterations", "speed"]) {
    if (usage[name] !== undefined && usage[name] !== null) extras[name] = usage[name];
  }
  return extras;
}

/** OpenAI's name of the tier that served; the vendor says it in its usage. */
export function tierOf(usage: Json): Json {
  const tier = usage["service_tier"];
  return typeof tier === "string" ? { service_tier: tier === "standard" ? "default" : tier } : {};
}

/** The call of a `tool_use` block. Who called it matters only where it was not the model itself. */
export function callOf(block: Json, index: number): Omit<MadeCall, "args"> {
  const { caller, toolset_name } = block;
  const extra = {
    ...(isJsonObject(caller) && caller["type"] !== "direct" ? { caller } : {}),
    ...(typeof toolset_name === "string" ? { toolset_name } : {}),
  };
  return {
    id: typeof block["id"] === "string" && block["id"] !== "" ? block["id"] : `call_${index}`,
    name: String(block["name"] ?? ""),
    extra: Object.keys(extra).length === 0 ? undefined : { extra_content: { [REASONING_FORMAT]: extra } },
  };
}

/** The input of a call as text, `{}` where there is none. */
export function inputText(input: unknown): string {
  if (typeof input === "string") return input.trim() === "" ? "{}" : input;
  if (!isJsonObject(input)) return "{}";
  try {
    return JSON.stringify(input);
  } catch {
    // Nested deeper than the stack.
    return "{}";
  }
}

export function thinkingDetail(text: string, signature: string): Json {
  return { type: "reasoning.text", format: REASONING_FORMAT, text, signature };
}

export function redactedDetail(data: string): Json {
  return { type: "reasoning.encrypted", format: REASONING_FORMAT, data };
}

/** OpenAI's annotations for citations of the web; other citations have no counterpart there. */
export function annotationsOf(citations: readonly unknown[], start: number, end: number): Json[] {
  return citations.flatMap((citation) => {
    if (!isJsonObject(citation) || typeof citation["url"] !== "string") return [];
    const title = typeof citation["title"] === "string" ? citation["title"] : "";
    const detail = { url: citation["url"], title, start_index: start, end_index: end };
    return [{ type: "url_citation", url_citation: detail }];
  });
}

/** Why a model refused, in its vendor's words. */
export function refusalOf(stopDetails: unknown): string | undefined {
  const explanation = isJsonObject(stopDetails) ? stopDetails["explanation"] : undefined;
  return typeof explanation === "string" && explanation !== "" ? explanation : undefined;
}

/** What the blocks of a whole answer say. */
class WholeContent {
  text = "";
  reasoning = "";
  isAnswerTool = false;
  readonly details: Json[] = [];
  readonly calls: MadeCall[] = [];
  readonly citations: unknown[] = [];
  readonly annotations: Json[] = [];
  readonly serverBlocks: Json[] = [];

  add(block: Json): void {
    const { type, text, thinking, signature, data } = block;
    if (type === "text") this.#addText(typeof text === "string" ? text : "", block["citations"]);
    else if (type === "thinking") {
      const thought = typeof thinking === "string" ? thinking : "";
      this.reasoning += thought;
      if (typeof signature === "string" && signature !== "") this.details.push(thinkingDetail(thought, signature));
    } else if (type === "redacted_thinking") {
      if (typeof data === "string") this.details.push(redactedDetail(data));
    } else if (type === "tool_use" && block["name"] === ANSWER_TOOL) {
      this.isAnswerTool = true;
      this.text += inputText(block["input"]);
    } else if (type === "tool_use") {
      this.calls.push({ ...callOf(block, this.calls.length), args: inputText(block["input"]) });
    } else this.serverBlocks.push(block);
  }

  #addText(text: string, citations: unknown): void {
    const start = this.text.length;
    this.text += text;
    if (!Array.isArray(citations)) return;
    this.citations.push(...citations);
    this.annotations.push(...annotationsOf(citations, start, this.text.length));
  }

  get extra(): Json {
    return {
      ...(this.annotations.length > 0 ? { annotations: this.annotations } : {}),
      ...(this.citations.length > 0 ? { citations: this.citations } : {}),
      ...(this.serverBlocks.length > 0 ? { server_tool_blocks: this.serverBlocks } : {}),
    };
  }
}

export function toAnthropicCompletion(body: unknown, context: AnswerContext): TranslatedAnswer {
  if (!isJsonObject(body) || !Array.isArray(body["content"])) {
    return { ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } };
  }
  const content = new WholeContent();
  for (const block of body["content"]) if (isJsonObject(block)) content.add(block);
  const usage = isJsonObject(body["usage"]) ? body["usage"] : {};
  const refusal = body["stop_reason"] === "refusal" ? refusalOf(body["stop_details"]) : undefined;
  const completion = toCompletion(
    {
      id: textOr(body["id"]),
      model: textOr(body["model"]),
      choices: [
        {
          text: content.text,
          reasoning: content.reasoning,
          reasoningDetails: content.details,
          refusal,
          calls: content.calls,
          finish: finishOf(body["stop_reason"], content.calls.length, content.isAnswerTool),
          extra: { ...content.extra, ...stopExtra(body) },
        },
      ],
      usage: countsOf(usage),
      extra: tierOf(usage),
    },
    context,
  );
  const counted = completion["usage"];
  if (!isJsonObject(counted)) return { ok: true, completion };
  return { ok: true, completion: { ...completion, usage: { ...counted, ...usageExtras(usage) } } };
}

/** Which refusal it was, which stop matched: the client may want to know, and OpenAI has no place for it. */
export function stopExtra(source: Json): Json {
  return {
    ...(isJsonObject(source["stop_details"]) ? { stop_details: source["stop_details"] } : {}),
    ...(typeof source["stop_sequence"] === "string" ? { stop_sequence: source["stop_sequence"] } : {}),
  };
}

function textOr(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A body that came where a stream was expected. */
export function errorBodyOf(text: string): Json | null {
  const body = tryParseJson(text);
  return isJsonObject(body) && (isJsonObject(body["error"]) || body["type"] === "error") ? body : null;
}
