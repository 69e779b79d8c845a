/**
 * OpenAI's chat wire, taken apart and put together: what every translating adapter shares.
 *
 * Reading: the client's body in plain terms (`effectiveFields`, `partsOf`, `toolsOf`, …). Writing: completions, chunks
 * and usage exactly as OpenAI spells them. No provider's word stands here.
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import type { AdapterCall, AnswerContext } from "../../providers/adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** A policy's `params` are tastes. Who answers, to what and in which shape is not theirs to say. */
const NOT_PARAMS: ReadonlySet<string> = new Set(["model", "messages", "stream", "stream_options", "route"]);
export const LIMIT_FIELDS = ["max_completion_tokens", "max_tokens"] as const;

/** May a policy's `params` fill in this member? */
export function isPolicyParam(name: string): boolean {
  return !NOT_PARAMS.has(name);
}

/** The client's fields over the target's `params`. */
export function effectiveFields(call: Pick<AdapterCall, "fields" | "params">): Json {
  const fields: Record<string, unknown> = {};
  const isLimited = LIMIT_FIELDS.some((name) => call.fields[name] !== undefined);
  for (const [name, value] of Object.entries(call.params)) {
    const isLimit = LIMIT_FIELDS.some((each) => each === name);
    if (isPolicyParam(name) && !(isLimit && isLimited)) fields[name] = value;
  }
  for (const [name, value] of Object.entries(call.fields)) fields[name] = value;
  delete fields["route"];
  return fields;
}

/** The output limit in force: the smaller of what the fields ask for and what the policy allows. */
export function outputLimit(fields: Json, maxOutputTokens: number | undefined): number | undefined {
  const wanted = LIMIT_FIELDS.map((name) => fields[name]).find((value) => typeof value === "number");
  if (typeof wanted !== "number") return maxOutputTokens;
  return maxOutputTokens === undefined ? wanted : Math.min(wanted, maxOutputTokens);
}

/** One part of a message's content. */
export type Part =
  | { readonly kind: "text"; readonly text: string; readonly source: Json }
  | { readonly kind: "image"; readonly url: string; readonly data: Inline | null; readonly source: Json }
  | { readonly kind: "file"; readonly data: Inline; readonly name: string | null; readonly source: Json }
  | { readonly kind: "audio"; readonly data: Inline; readonly source: Json }
  /** A type this router does not know: the adapter must refuse it, not lose it. */
  | { readonly kind: "unknown"; readonly type: string; readonly source: Json };

/** Bytes that came inside the request, in base64. */
export interface Inline {
  readonly mediaType: string;
  readonly base64: string;
}

const DATA_URL = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+)?(?:;[a-z0-9-]+=[^;,]*){0,8};base64,/i;

/** The bytes of a `data:` URL, or `null` for any other address. */
export function inlineOf(url: string): Inline | null {
  const match = DATA_URL.exec(url.slice(0, 256));
  return match === null
    ? null
    : { mediaType: (match[1] ?? "application/octet-stream").toLowerCase(), base64: url.slice(match[0].length) };
}

/** Content as parts: a string is one text part, `null` and absence are none. Empty texts are left out. */
export function partsOf(content: unknown): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content, source: {} }];
  if (!Array.isArray(content)) return [];
  return content.flatMap((part) => (isJsonObject(part) ? (partOf(part) ?? []) : []));
}

function partOf(source: Json): Part | null {
  const type = String(source["type"]);
  const text = type === "text" ? source["text"] : type === "refusal" ? source["refusal"] : undefined;
  if (typeof text === "string") return text === "" ? null : { kind: "text", text, source };
  const image = source["image_url"];
  if (type === "image_url") {
    const url = isJsonObject(image) ? image["url"] : image;
    if (typeof url === "string") return { kind: "image", url, data: inlineOf(url), source };
  }
  const audio = source["input_audio"];
  if (type === "input_audio" && isJsonObject(audio) && typeof audio["data"] === "string") {
    return { kind: "audio", data: { mediaType: `audio/${String(audio["format"])}`, base64: audio["data"] }, source };
  }
  const file = source["file"];
  if (type === "file" && isJsonObject(file) && typeof file["file_data"] === "string") {
    const data = inlineOf(file["file_data"]) ?? { mediaType: "application/pdf", base64: file["file_data"] };
    return { kind: "file", data, name: typeof file["filename"] === "string" ? file["filename"] : null, source };
  }
  return { kind: "unknown", type, source };
}

/** The text of content, parts joined by line breaks; other kinds are left out. */
export function textOf(content: unknown): string {
  return partsOf(content)
    .flatMap((part) => (part.kind === "text" ? [part.text] : []))
    .join("\n");
}

/** A call the assistant made earlier in the conversation, the legacy `function_call` included. */
export interface PastCall {
  readonly id: string;
  readonly name: string;
  /** Parsed; `{}` for an empty text, `null` for one that is not a JSON object. */
  readonly args: Json | null;
  readonly argsText: string;
  /** The call as it stands in the message, provider extras included. */
  readonly source: Json;
}

export function pastCallsOf(message: Json): PastCall[] {
  const calls = Array.isArray(message["tool_calls"]) ? message["tool_calls"] : [];
  const legacy = message["function_call"];
  const all = isJsonObject(legacy) ? [...calls, { id: `call_${String(legacy["name"])}`, function: legacy }] : calls;
  return all.flatMap((call) => {
    if (!isJsonObject(call) || !isJsonObject(call["function"])) return [];
    const argsText = String(call["function"]["arguments"] ?? "");
    const parsed = argsText.trim() === "" ? {} : tryParseJson(argsText);
    const args = isJsonObject(parsed) ? parsed : null;
    return [{ id: String(call["id"] ?? ""), name: String(call["function"]["name"]), args, argsText, source: call }];
  });
}

/** A function the model may call. */
export interface Tool {
  readonly name: string;
  readonly description: string | undefined;
  /** JSON Schema; an object without properties when the client gave none. */
  readonly parameters: Json;
  readonly strict: boolean;
  readonly source: Json;
}

/** The function tools of a request, legacy `functions` included. Tools of other types are in `others`. */
export function toolsOf(fields: Json): { readonly tools: Tool[]; readonly others: Json[] } {
  const tools: Tool[] = [];
  const others: Json[] = [];
  const add = (detail: Json, source: Json): void => {
    const parameters = isJsonObject(detail["parameters"]) ? detail["parameters"] : { type: "object", properties: {} };
    const description = typeof detail["description"] === "string" ? detail["description"] : undefined;
    tools.push({ name: String(detail["name"]), description, parameters, strict: detail["strict"] === true, source });
  };
  for (const tool of Array.isArray(fields["tools"]) ? fields["tools"] : []) {
    if (!isJsonObject(tool)) continue;
    if (isJsonObject(tool["function"])) add(tool["function"], tool);
    else others.push(tool);
  }
  for (const detail of Array.isArray(fields["functions"]) ? fields["functions"] : []) {
    if (isJsonObject(detail)) add(detail, detail);
  }
  return { tools, others };
}

/** `tool_choice` (or the legacy `function_call`) in plain terms; `undefined` when the client left it to the provider. */
export type ToolChoice =
  | { readonly kind: "auto" | "none" | "required" }
  | { readonly kind: "function"; readonly name: string }
  /** `allowed_tools`: these, in this mode. */
  | { readonly kind: "allowed"; readonly mode: "auto" | "required"; readonly names: readonly string[] };

export function toolChoiceOf(fields: Json): ToolChoice | undefined {
  const choice = fields["tool_choice"] ?? fields["function_call"];
  if (choice === "auto" || choice === "none" || choice === "required") return { kind: choice };
  if (choice === "any") return { kind: "required" };
  if (!isJsonObject(choice)) return undefined;
  const named = isJsonObject(choice["function"]) ? choice["function"] : choice;
  if (typeof named["name"] === "string") return { kind: "function", name: named["name"] };
  const allowed = choice["allowed_tools"];
  if (!isJsonObject(allowed) || !Array.isArray(allowed["tools"])) return undefined;
  const names = allowed["tools"].flatMap((tool) => {
    const detail = isJsonObject(tool) && isJsonObject(tool["function"]) ? tool["function"]["name"] : undefined;
    return typeof detail === "string" ? [detail] : [];
  });
  return { kind: "allowed", mode: allowed["mode"] === "required" ? "required" : "auto", names };
}

export type ResponseFormat =
  | { readonly kind: "text" | "json_object" }
  | { readonly kind: "json_schema"; readonly name: string; readonly schema: Json; readonly strict: boolean };

export function responseFormatOf(fields: Json): ResponseFormat {
  const format = fields["response_format"];
  if (!isJsonObject(format)) return { kind: "text" };
  if (format["type"] === "json_object") return { kind: "json_object" };
  const detail = format["json_schema"];
  if (format["type"] !== "json_schema" || !isJsonObject(detail)) return { kind: "text" };
  const schema = isJsonObject(detail["schema"]) ? detail["schema"] : { type: "object" };
  return { kind: "json_schema", name: String(detail["name"] ?? "answer"), schema, strict: detail["strict"] === true };
}

/** `stop` as a list. */
export function stopsOf(fields: Json): string[] {
  const stop = fields["stop"];
  if (typeof stop === "string") return [stop];
  return Array.isArray(stop) ? stop.filter((each) => typeof each === "string") : [];
}

/** Token counts in OpenAI's convention: caches are inside the prompt, reasoning inside the completion. */
export interface TokenCounts {
  readonly prompt: number;
  readonly completion: number;
  readonly cached?: number | undefined;
  readonly cacheWrite?: number | undefined;
  readonly reasoning?: number | undefined;
  /** Cache writes that are kept for an hour. */
  readonly cacheWriteHour?: number | undefined;
  readonly audioInput?: number | undefined;
  /** Cached tokens that are audio. */
  readonly cachedAudio?: number | undefined;
  readonly audioOutput?: number | undefined;
  /** Searches the provider made for the answer. */
  readonly webSearches?: number | undefined;
  /** 1 where they found something. */
  readonly groundedPrompts?: number | undefined;
}

/** What OpenAI has no member for stands beside its own, and only where there is some of it. */
export function toWireUsage(counts: TokenCounts): Json {
  const { prompt, completion, cached, cacheWrite, reasoning, cacheWriteHour, audioInput, cachedAudio } = counts;
  const { audioOutput, webSearches, groundedPrompts } = counts;
  const calls = { ...some("web_search_requests", webSearches), ...some("grounded_prompts", groundedPrompts) };
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: cached ?? 0,
      ...(cacheWrite === undefined ? {} : { cache_write_tokens: cacheWrite }),
      ...some("cache_write_1h_tokens", cacheWriteHour),
      ...some("audio_tokens", audioInput),
      ...some("cached_audio_tokens", cachedAudio),
    },
    completion_tokens_details: { reasoning_tokens: reasoning ?? 0, ...some("audio_tokens", audioOutput) },
    ...(Object.keys(calls).length === 0 ? {} : { server_tool_use: calls }),
  };
}

function some(name: string, count: number | undefined): Json {
  return count === undefined || count === 0 ? {} : { [name]: count };
}

/** A count of a provider's usage object; anything but a number from 0 up is none. */
export function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** A call the model makes now. */
export interface MadeCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, `{}` for no arguments. */
  readonly args: string;
  /** Provider extras that must come back with the call, such as a signature. */
  readonly extra?: Json | undefined;
}

export interface AnswerChoice {
  readonly text: string;
  readonly reasoning?: string | undefined;
  /** Blocks a provider wants back in the next turn: signed reasoning. Marked with the provider in `format`. */
  readonly reasoningDetails?: readonly Json[] | undefined;
  readonly refusal?: string | undefined;
  readonly calls: readonly MadeCall[];
  readonly finish: FinishReason;
  /** In OpenAI's shape. */
  readonly logprobs?: Json | undefined;
  /** Further members of the message, such as `citations`. */
  readonly extra?: Json | undefined;
}

export interface WholeWireAnswer {
  readonly id: string | undefined;
  readonly model: string | undefined;
  readonly choices: readonly AnswerChoice[];
  readonly usage: TokenCounts | null;
  /** Further top-level members. */
  readonly extra?: Json | undefined;
}

/** A `chat.completion`. */
export function toCompletion(answer: WholeWireAnswer, context: AnswerContext): Json {
  return {
    id: answer.id ?? `chatcmpl-${context.traceId}`,
    object: "chat.completion",
    created: context.createdAt,
    model: answer.model ?? context.model,
    choices: answer.choices.map((choice, index) => ({
      index,
      message: {
        role: "assistant",
        content: choice.text === "" && (choice.calls.length > 0 || choice.refusal !== undefined) ? null : choice.text,
        refusal: choice.refusal ?? null,
        ...(choice.reasoning ? { reasoning_content: choice.reasoning } : {}),
        ...(choice.reasoningDetails?.length ? { reasoning_details: choice.reasoningDetails } : {}),
        ...(choice.calls.length > 0 ? { tool_calls: choice.calls.map(toWireCall) } : {}),
        ...choice.extra,
      },
      logprobs: choice.logprobs ?? null,
      finish_reason: choice.finish,
    })),
    ...(answer.usage === null ? {} : { usage: toWireUsage(answer.usage) }),
    ...answer.extra,
  };
}

function toWireCall({ id, name, args, extra }: MadeCall): Json {
  return { id, type: "function", function: { name, arguments: args }, ...extra };
}

/** Makes the chunks of one stream: same id, model and time in all of them, the role in the first of each choice. */
export class ChunkWriter {
  id: string | undefined;
  model: string | undefined;
  readonly #context: AnswerContext;
  readonly #begun = new Set<number>();

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  text(text: string, choice = 0): Json {
    return this.delta({ content: text }, choice);
  }

  reasoning(text: string, choice = 0): Json {
    return this.delta({ reasoning_content: text }, choice);
  }

  /** A call begins; its arguments follow, or are given whole. `index` counts the calls of a choice from 0. */
  callStart(index: number, call: Omit<MadeCall, "args">, args = "", choice = 0): Json {
    return this.delta({ tool_calls: [{ index, ...toWireCall({ ...call, args }) }] }, choice);
  }

  callArgs(index: number, args: string, choice = 0): Json {
    return this.delta({ tool_calls: [{ index, function: { arguments: args } }] }, choice);
  }

  finish(reason: FinishReason, choice = 0): Json {
    return this.#chunk([{ index: choice, delta: this.#withRole({}, choice), logprobs: null, finish_reason: reason }]);
  }

  /** The last chunk: usage and no choices. */
  usage(counts: TokenCounts): Json {
    return { ...this.#chunk([]), usage: toWireUsage(counts) };
  }

  /** Any other delta. */
  delta(delta: Json, choice = 0, logprobs: Json | null = null): Json {
    return this.#chunk([{ index: choice, delta: this.#withRole(delta, choice), logprobs, finish_reason: null }]);
  }

  #withRole(delta: Json, choice: number): Json {
    if (this.#begun.has(choice)) return delta;
    this.#begun.add(choice);
    return { role: "assistant", ...delta };
  }

  #chunk(choices: readonly Json[]): Json {
    return {
      id: this.id ?? `chatcmpl-${this.#context.traceId}`,
      object: "chat.completion.chunk",
      created: this.#context.createdAt,
      model: this.model ?? this.#context.model,
      choices,
    };
  }
}
