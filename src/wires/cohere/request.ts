/**
 * A chat request in Cohere's words.
 *
 * Built from nothing, because Cohere refuses fields it does not know. What it cannot express and what would change the
 * answer is named by `cohereLacks`, so that another target is asked; the rest is left out and named to the client.
 */
import { isJsonObject } from "../../lib/json.ts";
import type { AdapterCall, UpstreamRequest } from "../../providers/adapter.ts";
import { upstreamHeaders } from "../../providers/provider-settings.ts";
import {
  effectiveFields,
  outputLimit,
  type ResponseFormat,
  responseFormatOf,
  stopsOf,
  type Tool,
  type ToolChoice,
  toolChoiceOf,
  toolsOf,
} from "../openai-chat/chat-wire.ts";
import { cohereMessages, unsupportedPart } from "./messages.ts";

type Json = Readonly<Record<string, unknown>>;

/** Fields of Cohere's own that mean the same in both worlds or exist only there. */
const PASSED = [
  ...["temperature", "seed", "p", "k", "documents", "citation_options", "safety_mode", "priority", "strict_tools"],
] as const;
/** Fields that are translated below; everything else a client sent is named as dropped. */
const TRANSLATED: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "stop_sequences"],
  ...["top_p", "top_k", "frequency_penalty", "presence_penalty", "logprobs", "tools", "functions", "tool_choice"],
  ...["function_call", "response_format", "reasoning_effort", "reasoning", "thinking", "n"],
  ...PASSED,
]);
const PENALTIES = ["frequency_penalty", "presence_penalty"] as const;
/** Cohere's range of `p`; OpenAI's goes from 0 to 1, and 1 is what many clients always send. */
const [MIN_P, MAX_P] = [0.01, 0.99] as const;
/** The generations from before `command-a-reasoning`, the first that thinks. */
const NEVER_THINKS = /^(?:command-(?:r|a-(?:03|vision|translate))|c4ai-)/;
/** Tokens of thought per effort. The higher efforts set none: Cohere thinks without a bound then. */
const EFFORT_TOKENS: Readonly<Record<string, number>> = { minimal: 512, low: 1_024, medium: 4_096 };

export function toCohereRequest(call: AdapterCall): UpstreamRequest {
  const fields = effectiveFields(call);
  const limit = outputLimit(fields, call.maxOutputTokens);
  const thinking = thinkingOf(fields, limit);
  const thinks = thinking?.["type"] === "enabled" || call.model.includes("reasoning");
  const { messages, dropped } = cohereMessages(fields["messages"], thinks);
  const body: Record<string, unknown> = { model: call.model, messages, stream: call.stream };
  const set = (name: string, value: unknown): void => {
    if (value !== undefined && value !== null) body[name] = value;
  };
  for (const name of PASSED) set(name, fields[name]);
  set("max_tokens", limit);
  const stops = fields["stop_sequences"] ?? stopsOf(fields);
  if (Array.isArray(stops) && stops.length > 0) set("stop_sequences", stops);
  if (typeof fields["top_p"] === "number") body["p"] ??= Math.min(MAX_P, Math.max(MIN_P, fields["top_p"]));
  if (typeof fields["top_k"] === "number") body["k"] ??= fields["top_k"];
  // Some models refuse both together, even where one of them is 0.
  for (const name of PENALTIES) if (fields[name] !== 0) set(name, fields[name]);
  if (fields["logprobs"] === true) body["logprobs"] = true;
  set("response_format", formatOf(responseFormatOf(fields), fields["response_format"]));
  // Not to think changes nothing for a model that never does, and such a one may refuse the field.
  if (thinking?.["type"] !== "disabled" || !NEVER_THINKS.test(call.model)) set("thinking", thinking);
  writeTools(fields, set);
  // Asked for all the same, by a sole target: Cohere shall refuse it aloud.
  for (const name of beyondReach(fields)) body[name] ??= fields[name];
  return {
    url: `${call.config.baseUrl}/chat`,
    headers: upstreamHeaders(call.config, call.stream),
    body: JSON.stringify(body),
    droppedParams: [
      ...droppedFields(call.fields).filter((name) => body[name] === undefined),
      ...(isStrict(call.fields) && body["strict_tools"] === undefined ? ["tools.strict"] : []),
      ...dropped,
    ],
  };
}

function isStrict(fields: Json): boolean {
  return toolsOf(fields).tools.some(({ strict }) => strict);
}

/** Only what the client itself sent, and only where it said something. */
function droppedFields(fields: Json): string[] {
  return Object.keys(fields).filter((name) => {
    const value = fields[name];
    return !TRANSLATED.has(name) && name !== "route" && value !== null && value !== undefined;
  });
}

function formatOf(format: ResponseFormat, source: unknown): Json | undefined {
  if (format.kind === "json_schema") return { type: "json_object", json_schema: format.schema };
  if (format.kind !== "json_object") return undefined;
  // Cohere's own form of the same: a schema beside the type.
  const schema = isJsonObject(source) ? (source["json_schema"] ?? source["schema"]) : undefined;
  return isJsonObject(schema) ? { type: "json_object", json_schema: schema } : { type: "json_object" };
}

/**
 * Cohere can force a call, or forbid it, but not name the function
 * (https://docs.cohere.com/docs/tool-use-usage-patterns): one that is named is the only one offered.
 */
function writeTools(fields: Json, set: (name: string, value: unknown) => void): void {
  const choice = toolChoiceOf(fields);
  const { tools: functions, others } = toolsOf(fields);
  const tools = offeredTools(functions, choice);
  if (tools.length + others.length === 0) return;
  set("tools", [...tools.map(toCohereTool), ...others]);
  if (canBeStrict(tools)) set("strict_tools", fields["strict_tools"] ?? true);
  if (choice?.kind === "none") set("tool_choice", "NONE");
  const mustCall = choice?.kind === "allowed" ? choice.mode === "required" : choice?.kind !== "auto";
  if (choice !== undefined && choice.kind !== "none" && mustCall) set("tool_choice", "REQUIRED");
}

/**
 * Strictness holds for all tools, and Cohere refuses it where one has no required parameter
 * (https://docs.cohere.com/docs/tool-use-parameter-types). A strict tool has none only when it has no parameters.
 */
function canBeStrict(tools: readonly Tool[]): boolean {
  const hasRequired = ({ parameters: { required } }: Tool): boolean => Array.isArray(required) && required.length > 0;
  return tools.some(({ strict }) => strict) && tools.every(hasRequired);
}

function offeredTools(tools: readonly Tool[], choice: ToolChoice | undefined): readonly Tool[] {
  if (choice?.kind === "function") return tools.filter(({ name }) => name === choice.name);
  if (choice?.kind === "allowed") return tools.filter(({ name }) => choice.names.includes(name));
  return tools;
}

function toCohereTool({ name, description, parameters }: Tool): Json {
  return { type: "function", function: { name, ...(description === undefined ? {} : { description }), parameters } };
}

/** `thinking` in Cohere's or Anthropic's form, OpenRouter's `reasoning`, or OpenAI's `reasoning_effort`. */
function thinkingOf(fields: Json, limit: number | undefined): Json | undefined {
  const { thinking, reasoning } = fields;
  if (isJsonObject(thinking) && typeof thinking["type"] === "string") {
    if (thinking["type"] === "disabled") return { type: "disabled" };
    return enabled(thinking["token_budget"] ?? thinking["budget_tokens"], limit);
  }
  const wish = isJsonObject(reasoning) ? reasoning : {};
  if (typeof wish["max_tokens"] === "number") return enabled(wish["max_tokens"], limit);
  const effort = fields["reasoning_effort"] ?? wish["effort"];
  if (effort === "none" || wish["enabled"] === false) return { type: "disabled" };
  if (typeof effort !== "string") return wish["enabled"] === true ? { type: "enabled" } : undefined;
  return enabled(Object.hasOwn(EFFORT_TOKENS, effort) ? EFFORT_TOKENS[effort] : undefined, limit);
}

/** Thoughts count against the limit, and Cohere wants a thousand tokens of it left for the answer. */
function enabled(budget: unknown, limit: number | undefined): Json {
  if (typeof budget !== "number") return { type: "enabled" };
  const bounded = limit === undefined ? budget : Math.min(budget, Math.max(1, limit - 1_024, Math.floor(limit / 2)));
  return { type: "enabled", token_budget: bounded };
}

/** Asked for where it is set to anything but this. */
const CANNOT: readonly (readonly [name: string, asksNothing: (value: unknown) => boolean])[] = [
  ["n", (value) => typeof value !== "number" || value <= 1],
  ["logit_bias", (value) => !isJsonObject(value) || Object.keys(value).length === 0],
  ["top_logprobs", (value) => typeof value !== "number" || value === 0],
  // It calls in parallel as it sees fit.
  ["parallel_tool_calls", (value) => value !== false],
  ["audio", (value) => value === null],
  ["modalities", (value) => !Array.isArray(value) || value.every((each) => each === "text")],
  ["web_search_options", (value) => value === null],
  // 0 to 1 here, -2 to 2 at OpenAI.
  ["frequency_penalty", isPenalty],
  ["presence_penalty", isPenalty],
];

function isPenalty(value: unknown): boolean {
  return typeof value !== "number" || (value >= 0 && value <= 1);
}

function beyondReach(fields: Json): string[] {
  const asked = CANNOT.filter(([name, asksNothing]) => fields[name] !== undefined && !asksNothing(fields[name]));
  return asked.map(([name]) => name);
}

/** The first thing `fields` ask for that Cohere cannot do. */
export function cohereLacks(fields: Json): string | null {
  const [beyond] = beyondReach(fields);
  if (beyond !== undefined) return beyond;
  // Five at most.
  if (stopsOf(fields).length > 5) return "stop";
  const { tools, others } = toolsOf(fields);
  if (others.length > 0) return "tools";
  // https://docs.cohere.com/docs/structured-outputs: JSON mode does not go with tools or documents.
  const wantsJson = responseFormatOf(fields).kind !== "text";
  const choice = toolChoiceOf(fields);
  if (wantsJson && tools.length > 0 && choice?.kind !== "none") return "response_format";
  if (choice?.kind === "function" && !tools.some(({ name }) => name === choice.name)) return "tool_choice";
  return unsupportedPart(fields["messages"]);
}
