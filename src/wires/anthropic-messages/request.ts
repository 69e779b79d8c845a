/**
 * OpenAI's chat request as one call of Anthropic's Messages API.
 *
 * Pure. The vendor refuses unknown members, so the body is made anew from the ones it knows. What it cannot express is
 * left out and named where the answer stays what was asked for; where it does not, `missingCapability` says so
 * beforehand and the target is skipped.
 * https://platform.claude.com/docs/en/api/messages
 */
import { isJsonObject } from "../../lib/json.ts";
import type { AdapterCall } from "../../providers/adapter.ts";
import { closed, objectSchema } from "../closed-schema.ts";
import {
  effectiveFields,
  outputLimit,
  responseFormatOf,
  stopsOf,
  type Tool,
  type ToolChoice,
  toolChoiceOf,
  toolsOf,
} from "../openai-chat/chat-wire.ts";
import { ANSWER_TOOL, type AnswerFormat, answerFormatOf } from "./format.ts";
import { type Conversation, toConversation, unreadablePart } from "./messages.ts";
import { type ClaudeTraits, traitsOf } from "./models.ts";
import { type Reasoning, reasoningOf } from "./reasoning.ts";

type Json = Readonly<Record<string, unknown>>;

export interface AnthropicBody {
  readonly body: Json;
  readonly droppedParams: readonly string[];
}

/** Members that are read here, and those that ask for nothing this vendor would do otherwise. */
const HANDLED: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "temperature"],
  ...["top_p", "top_k", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format"],
  ...["reasoning_effort", "reasoning", "thinking", "user", "safety_identifier", "metadata", "service_tier"],
]);
/** The vendor's own members, for clients that know whom they talk to. */
const PASSED = ["cache_control", "container", "inference_geo"] as const;
/** OpenAI's words for the tiers. `flex` trades speed for money, which the vendor has no tier for. */
const TIERS: Readonly<Record<string, string>> = {
  auto: "auto",
  priority: "auto",
  default: "standard_only",
  standard_only: "standard_only",
};
/** Above it the vendor refuses the request. https://platform.claude.com/docs/en/build-with-claude/structured-outputs */
const MAX_STRICT_TOOLS = 20;
const MAX_USER_ID_LENGTH = 256;
const MAX_NAMED = 32;
/** A tool the vendor runs or defines itself: its type ends in a date, `web_search_20250305`. */
const VENDOR_TOOL = /_\d{8}$/;

/** What no Claude model can do, and what the answer would silently lack without it. */
export function missingCapability(fields: Json): string | null {
  const { n, logprobs, top_logprobs, logit_bias, temperature } = fields;
  if (typeof n === "number" && n > 1) return "n";
  if (logprobs === true || (typeof top_logprobs === "number" && top_logprobs > 0)) return "logprobs";
  if (isJsonObject(logit_bias) && Object.keys(logit_bias).length > 0) return "logit_bias";
  for (const name of ["presence_penalty", "frequency_penalty"]) {
    if (typeof fields[name] === "number" && fields[name] !== 0) return name;
  }
  // The vendor's scale ends at 1: what lies beyond cannot be had, and 1 is not what was asked for.
  if (typeof temperature === "number" && temperature > 1) return "temperature";
  const { modalities, web_search_options } = fields;
  if (Array.isArray(modalities) && modalities.some((each) => each !== "text")) return "modalities";
  if (isJsonObject(web_search_options)) return "web_search_options";
  if (toolsOf(fields).others.some((tool) => !isVendorTool(tool))) return "tools";
  return unreadablePart(fields["messages"]);
}

function isVendorTool(tool: Json): boolean {
  return typeof tool["type"] === "string" && VENDOR_TOOL.test(tool["type"]);
}

export function toAnthropicBody(call: AdapterCall): AnthropicBody {
  const fields = effectiveFields(call);
  const traits = traitsOf(call.model);
  const maxTokens = outputLimit(fields, call.maxOutputTokens) ?? limitOf(call, traits);
  const conversation = toConversation(fields["messages"], traits.systemTurns);
  const choice = toolChoiceOf(fields);
  const wantsTool = choice?.kind === "required" || choice?.kind === "function";
  const setting = { traits, maxTokens, isBareLoop: conversation.isBareLoop };
  // A format that needs a forced tool gives way to thinking the client asked for: it can be asked for in words.
  const free = reasoningOf(fields, { ...setting, isForced: false });
  const asksToThink = free.thinking !== null && free.thinking["type"] !== "disabled";
  const mayForce = !traits.thinksAlways && !asksToThink;
  const format = answerFormatOf(fields, { nativeSchema: traits.nativeSchema, mayForce });
  const isForced = (wantsTool && hasTools(fields)) || format.kind === "tool";
  const reasoning = isForced ? reasoningOf(fields, { ...setting, isForced }) : free;
  const dropped = new Set<string>([...conversation.dropped, ...reasoning.dropped]);
  const body: Record<string, unknown> = {
    model: call.model,
    max_tokens: maxTokens,
    ...conversationMembers(conversation, format),
    ...(call.stream ? { stream: true } : {}),
    ...samplingMembers(fields, traits, reasoning, dropped),
    ...stopMembers(fields, dropped),
    ...toolMembers(fields, traits, conversation, format, dropped),
    ...(reasoning.thinking === null ? {} : { thinking: reasoning.thinking }),
    ...outputMembers(fields, reasoning, format),
    ...accountMembers(fields, dropped),
  };
  for (const name of PASSED) {
    if (fields[name] !== undefined && fields[name] !== null) body[name] = fields[name];
  }
  noteUnknown(fields, dropped);
  const named = [...dropped].filter((name) => wasSent(call.fields, name)).map(printable);
  return { body, droppedParams: [...new Set(named)].slice(0, MAX_NAMED) };
}

/** The names end in a header, and members nobody knows may be called anything. */
function printable(name: string): string {
  return /^[\w.-]{1,64}$/.test(name) ? name : "other";
}

/** The default, within what the policy allows. */
function limitOf(call: AdapterCall, traits: ClaudeTraits): number {
  return Math.min(traits.defaultMaxTokens, call.maxOutputTokens ?? traits.defaultMaxTokens);
}

/** Only the client is told, and only of what the client sent. */
function wasSent(fields: Json, name: string): boolean {
  const [first = name] = name.split(".");
  return first === "image_url" || first === "messages" || Object.hasOwn(fields, first);
}

function hasTools(fields: Json): boolean {
  const { tools, others } = toolsOf(fields);
  return tools.length + others.length > 0;
}

function conversationMembers({ system, messages }: Conversation, format: AnswerFormat): Json {
  const blocks = format.kind === "instruction" ? [...system, { type: "text", text: format.text }] : system;
  return { ...(blocks.length > 0 ? { system: blocks } : {}), messages };
}

/**
 * Models from Opus 4.7 on have fixed sampling and refuse these members; with thinking on, earlier ones allow only a
 * temperature of 1 and a `top_p` from 0.95. A value of 1 is what the vendor does anyway.
 */
function samplingMembers(
  fields: Json,
  traits: ClaudeTraits,
  { thinking, isOn }: Reasoning,
  dropped: Set<string>,
): Json {
  const result: Record<string, unknown> = {};
  const thinks = isOn && thinking !== null;
  const { temperature, top_p, top_k } = fields;
  if (typeof temperature === "number") {
    const isFree = !traits.fixedSampling && !thinks;
    if (isFree) result["temperature"] = Math.min(temperature, 1);
    if (temperature !== 1 && (!isFree || temperature > 1)) dropped.add("temperature");
    if (temperature === 1 && !traits.fixedSampling) result["temperature"] = 1;
  }
  if (typeof top_p === "number") {
    const isRefused = traits.fixedSampling || (thinks && top_p < 0.95);
    if (isRefused || (traits.oneSampler && result["temperature"] !== undefined)) {
      if (top_p !== 1) dropped.add("top_p");
    } else result["top_p"] = top_p;
  }
  if (typeof top_k === "number") {
    if (traits.fixedSampling || thinks) dropped.add("top_k");
    else result["top_k"] = top_k;
  }
  return result;
}

/** The vendor refuses stops of white space only. */
function stopMembers(fields: Json, dropped: Set<string>): Json {
  const stops = stopsOf(fields);
  const kept = stops.filter((stop) => stop.trim() !== "");
  if (kept.length < stops.length) dropped.add("stop");
  return kept.length === 0 ? {} : { stop_sequences: kept };
}

function toolMembers(
  fields: Json,
  traits: ClaudeTraits,
  { calledTools }: Conversation,
  format: AnswerFormat,
  dropped: Set<string>,
): Json {
  const choice = toolChoiceOf(fields);
  const { tools, others } = toolsOf(fields);
  const allowed = choice?.kind === "allowed" ? new Set(choice.names) : null;
  const offered = allowed === null ? tools : tools.filter(({ name }) => allowed.has(name));
  const strict = offered.filter((tool) => tool.strict).length <= MAX_STRICT_TOOLS && traits.nativeSchema;
  if (!strict && offered.some((tool) => tool.strict)) dropped.add("tools.strict");
  const all: Json[] = [...offered.map((tool) => toTool(tool, strict)), ...others.filter(isVendorTool)];
  const isAlone = all.length === 0 || choice?.kind === "none";
  if (format.kind === "tool") {
    const forced = isAlone ? { type: "tool", name: ANSWER_TOOL } : { type: "any" };
    const choiceOfClient = choice?.kind === "function" ? { type: "tool", name: choice.name } : forced;
    return { tools: [...all, format.tool], tool_choice: { ...choiceOfClient, disable_parallel_tool_use: true } };
  }
  if (all.length === 0) {
    // Calls in the conversation without a definition are refused: they get one, and no new calls.
    const stubs = calledTools.map((name) => ({ name, input_schema: { type: "object" } }));
    return stubs.length === 0 ? {} : { tools: stubs, tool_choice: { type: "none" } };
  }
  const wire = choiceMember(choice, fields["parallel_tool_calls"] === false);
  return { tools: all, ...(wire === null ? {} : { tool_choice: wire }) };
}

function toTool({ name, description, parameters, strict, source }: Tool, allowStrict: boolean): Json {
  const mark = source["cache_control"] ?? functionOf(source)["cache_control"];
  const isStrict = strict && allowStrict;
  return {
    name,
    ...(description === undefined ? {} : { description }),
    input_schema: objectSchema(isStrict ? closed(parameters) : parameters),
    ...(isStrict ? { strict: true } : {}),
    ...(isJsonObject(mark) ? { cache_control: mark } : {}),
  };
}

function functionOf(source: Json): Json {
  return isJsonObject(source["function"]) ? source["function"] : {};
}

function choiceMember(choice: ToolChoice | undefined, isSingle: boolean): Json | null {
  const single = isSingle ? { disable_parallel_tool_use: true } : {};
  switch (choice?.kind) {
    case undefined:
      return isSingle ? { type: "auto", ...single } : null;
    case "none":
      return { type: "none" };
    case "auto":
      return { type: "auto", ...single };
    case "required":
      return { type: "any", ...single };
    case "function":
      return { type: "tool", name: choice.name, ...single };
    case "allowed":
      return { type: choice.mode === "required" ? "any" : "auto", ...single };
  }
}

function outputMembers(fields: Json, { effort }: Reasoning, format: AnswerFormat): Json {
  const own = isJsonObject(fields["output_config"]) ? fields["output_config"] : {};
  const config = {
    ...own,
    ...(effort === null ? {} : { effort }),
    ...(format.kind === "native" ? { format: { type: "json_schema", schema: format.schema } } : {}),
  };
  return Object.keys(config).length === 0 ? {} : { output_config: config };
}

function accountMembers(fields: Json, dropped: Set<string>): Json {
  const metadata = isJsonObject(fields["metadata"]) ? fields["metadata"] : {};
  const names = [
    ["user", fields["user"]],
    ["safety_identifier", fields["safety_identifier"]],
    ["metadata", metadata["user_id"]],
  ] as const;
  const user = names.find(([, value]) => typeof value === "string" && value !== "");
  if (Object.keys(metadata).some((name) => name !== "user_id")) dropped.add("metadata");
  const isTooLong = typeof user?.[1] === "string" && user[1].length > MAX_USER_ID_LENGTH;
  if (isTooLong) dropped.add(user[0]);
  const tier = fields["service_tier"];
  const sent = typeof tier === "string" && Object.hasOwn(TIERS, tier) ? TIERS[tier] : undefined;
  if (typeof tier === "string" && sent === undefined) dropped.add("service_tier");
  return {
    ...(user === undefined || isTooLong ? {} : { metadata: { user_id: user[1] } }),
    ...(sent === undefined ? {} : { service_tier: sent }),
  };
}

/** Everything else that asks for something: hints on caching and storage, a seed, members of other vendors. */
function noteUnknown(fields: Json, dropped: Set<string>): void {
  for (const [name, value] of Object.entries(fields)) {
    const isEmpty = value === null || value === false || (typeof value === "object" && Object.keys(value).length === 0);
    const isDefault = name === "n" || name === "modalities" || name.endsWith("_penalty") || name === "output_config";
    const isPassed = PASSED.some((each) => each === name);
    if (!HANDLED.has(name) && !isPassed && !isEmpty && !isDefault) dropped.add(name);
  }
  const options = fields["stream_options"];
  const others = isJsonObject(options) ? Object.keys(options).filter((name) => name !== "include_usage") : [];
  if (others.length > 0) dropped.add("stream_options");
  if (responseFormatOf(fields).kind === "text" && isJsonObject(fields["response_format"])) {
    if (fields["response_format"]["type"] !== "text") dropped.add("response_format");
  }
}
