/**
 * A chat request as a Converse body.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. What would change the answer and
 * cannot be expressed is named by `missingOnBedrock`, so that the target is passed over; the rest is dropped by name.
 * Converse's own members (`guardrailConfig`, …) come from the policy's `params`: they reach past the policy's limits.
 */
import { isJsonObject } from "../../lib/json.ts";
import type { AdapterCall } from "../../providers/adapter.ts";
import { effectiveFields, outputLimit, stopsOf, toolsOf } from "../openai-chat/chat-wire.ts";
import { BlockWriter, unknownPartOf } from "./content.ts";
import { isSystemRole, toConversation } from "./messages.ts";
import { type ModelTraits, traitsOf } from "./models.ts";
import { planReasoning, type ReasoningPlan } from "./reasoning.ts";
import { isNativeTool, planTools, type ToolPlan } from "./tools.ts";

type Json = Readonly<Record<string, unknown>>;

/** Members that are read somewhere, or that ask for nothing. Every other one of the client's is dropped by name. */
const READ: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "route", "max_tokens", "max_completion_tokens"],
  ...["temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "functions", "function_call"],
  ...[
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "metadata",
    "service_tier",
  ],
]);

/** Members that change the answer and have no counterpart. */
const CANNOT = ["n", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty"] as const;

/** Written by the policy, as Converse spells them. */
const NATIVE_PARAMS = [
  ...["guardrailConfig", "performanceConfig", "promptVariables", "additionalModelResponseFieldPaths"],
] as const;

const SERVICE_TIERS: ReadonlySet<unknown> = new Set(["default", "flex", "priority", "reserved"]);

export function missingOnBedrock(fields: Json): string | null {
  const absent = CANNOT.find((name) => asksFor(name, fields[name]));
  if (absent !== undefined) return absent;
  // Converse's scale ends at 1.
  if (typeof fields["temperature"] === "number" && fields["temperature"] > 1) return "temperature";
  if (asksFor("web_search_options", fields["web_search_options"])) return "web_search_options";
  const { modalities } = fields;
  if (Array.isArray(modalities) && modalities.some((each) => each !== "text")) return "modalities";
  if (toolsOf(fields).others.some((tool) => !isNativeTool(tool))) return "tools";
  return missingInMessages(fields["messages"]);
}

function missingInMessages(messages: unknown): string | null {
  if (!Array.isArray(messages)) return null;
  for (const message of messages) {
    const unknown = isJsonObject(message) ? unknownPartOf(message["content"]) : null;
    if (unknown !== null) return unknown;
  }
  const first = messages.find((message) => isJsonObject(message) && !isSystemRole(message["role"]));
  // A conversation has to begin with the user.
  return isJsonObject(first) && first["role"] === "assistant" ? "messages" : null;
}

/** `n: 1`, a penalty of 0, an empty object ask for nothing. */
function asksFor(name: string, value: unknown): boolean {
  if (name === "n") return typeof value === "number" && value > 1;
  if (typeof value === "object" && value !== null)
    return name === "web_search_options" || Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== 0;
}

export interface ConverseRequest {
  readonly body: Json;
  readonly droppedParams: readonly string[];
}

export function toConverse(call: AdapterCall): ConverseRequest {
  const fields = effectiveFields(call);
  const traits = traitsOf(call.model);
  const writer = new BlockWriter(traits.caching);
  const tools = planTools(fields, traits, writer);
  const maxTokens = outputLimit(fields, call.maxOutputTokens);
  const conversation = toConversation(fields["messages"], {
    writer,
    toolBlocks: tools.toolConfig !== undefined,
    reasoningBlocks: traits.family === "claude" || traits.family === "unknown",
  });
  const reasoning = planReasoning(fields, traits, {
    maxTokens,
    isForcedTool: tools.isForced,
    hasOutputConfig: tools.outputConfig !== undefined,
    isBareLoop: conversation.isBareLoop,
    hasSampling: typeof fields["temperature"] === "number" || typeof fields["top_p"] === "number",
  });
  const sampling = samplingOf(fields, traits, reasoning);
  const metadata = metadataOf(fields);
  const body = {
    messages: conversation.messages,
    ...(conversation.system.length === 0 ? {} : { system: conversation.system }),
    inferenceConfig: {
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...sampling.config,
      ...stopConfig(fields, traits),
    },
    ...(tools.toolConfig === undefined ? {} : { toolConfig: tools.toolConfig }),
    ...outputConfigOf(tools, reasoning),
    ...additionalFields(call, { ...reasoning.additional, ...sampling.additional }),
    ...nativeFields(call),
    ...(metadata === undefined ? {} : { requestMetadata: metadata }),
    ...(SERVICE_TIERS.has(fields["service_tier"]) ? { serviceTier: { type: fields["service_tier"] } } : {}),
  };
  const dropped = [
    ...unread(call),
    ...conversation.dropped,
    ...reasoning.dropped,
    ...sampling.dropped,
    ...(writer.droppedCaching ? ["cache_control"] : []),
    ...(tools.droppedStrict ? ["tools.strict"] : []),
    ...(stopsOf(fields).some((stop) => stop !== "" && !isStop(stop, traits)) ? ["stop"] : []),
  ];
  // Only the client is told, and only of what the client sent.
  const wasSent = (name: string): boolean => name === "cache_control" || Object.hasOwn(call.fields, firstPart(name));
  return { body, droppedParams: [...new Set(dropped)].filter(wasSent) };
}

const firstPart = (name: string): string => name.split(".")[0] ?? name;

/**
 * A thinking Claude samples as it was trained to: temperature 1, nearly the whole distribution, no `top_k`. From Opus 4.7
 * on it always does, and refuses to be told.
 */
function samplingOf(
  fields: Json,
  traits: ModelTraits,
  { isThinking }: ReasoningPlan,
): { readonly config: Json; readonly additional: Json; readonly dropped: readonly string[] } {
  const { temperature, top_p: topP, top_k: topK } = fields;
  const isDeaf = traits.family === "claude" && traits.reasoning === "adaptive";
  const isFixed = isDeaf || (traits.family === "claude" && isThinking);
  const asked = { temperature: typeof temperature === "number", top_p: typeof topP === "number" };
  const passes = {
    temperature: asked.temperature && (!isFixed || (!isDeaf && temperature === 1)),
    top_p: asked.top_p && (!isFixed || (!isDeaf && Number(topP) >= 0.95)),
  };
  const dropped = [
    ...(asked.temperature && !passes.temperature && temperature !== 1 ? ["temperature"] : []),
    ...(asked.top_p && !passes.top_p && topP !== 1 ? ["top_p"] : []),
    ...(typeof topK === "number" && isFixed ? ["top_k"] : []),
  ];
  const config = { ...(passes.temperature ? { temperature } : {}), ...(passes.top_p ? { topP } : {}) };
  if (typeof topK !== "number" || isFixed) return { config, additional: {}, dropped };
  return { config, additional: traits.family === "nova" ? { inferenceConfig: { topK } } : { top_k: topK }, dropped };
}

/** Claude refuses stops of white space only. */
function isStop(stop: string, { family }: ModelTraits): boolean {
  return family === "claude" ? stop.trim() !== "" : stop !== "";
}

function stopConfig(fields: Json, traits: ModelTraits): Json {
  const stopSequences = stopsOf(fields).filter((stop) => isStop(stop, traits));
  return stopSequences.length === 0 ? {} : { stopSequences };
}

function outputConfigOf({ outputConfig }: ToolPlan, { outputEffort }: ReasoningPlan): Json {
  if (outputConfig === undefined) return {};
  return { outputConfig: { ...outputConfig, ...(outputEffort === undefined ? {} : { effort: outputEffort }) } };
}

/** The policy's own additional fields stand over what was worked out here. */
function additionalFields(call: AdapterCall, own: Json): Json {
  const written = call.params["additionalModelRequestFields"];
  const additional = { ...own, ...(isJsonObject(written) ? written : {}) };
  return Object.keys(additional).length === 0 ? {} : { additionalModelRequestFields: additional };
}

/** A guardrail is also the client's to ask for, but not to replace. */
function nativeFields({ params, fields }: AdapterCall): Json {
  const native: Record<string, unknown> = {};
  for (const name of NATIVE_PARAMS) if (params[name] !== undefined) native[name] = params[name];
  const wanted = fields["guardrailConfig"];
  if (native["guardrailConfig"] === undefined && isJsonObject(wanted)) native["guardrailConfig"] = wanted;
  return native;
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, requestMetadata. */
const METADATA_TEXT = /^[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}$/;
const MAX_METADATA_MEMBERS = 16;

function metadataOf({ metadata }: Json): Json | undefined {
  if (!isJsonObject(metadata)) return undefined;
  const members = Object.entries(metadata);
  const fits = ([name, value]: [string, unknown]): boolean =>
    name !== "" && METADATA_TEXT.test(name) && typeof value === "string" && METADATA_TEXT.test(value);
  const isSendable = members.length > 0 && members.length <= MAX_METADATA_MEMBERS && members.every(fits);
  return isSendable ? metadata : undefined;
}

/** The client's members that nothing above has read. Those of the policy are the operator's business. */
function unread({ fields, params }: AdapterCall): string[] {
  return Object.entries(fields).flatMap(([name, value]) => {
    if (value === null || value === undefined) return [];
    if (name === "metadata") return metadataOf(fields) === undefined && asksFor(name, value) ? [name] : [];
    if (name === "service_tier") return SERVICE_TIERS.has(value) || value === "auto" ? [] : [name];
    if (name === "guardrailConfig") return params[name] === undefined && isJsonObject(value) ? [] : [name];
    if (READ.has(name) || (name === "n" && value === 1)) return [];
    return asksFor(name, value) || !CANNOT.some((each) => each === name) ? [name] : [];
  });
}
