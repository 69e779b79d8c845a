/**
 * A Responses request of a client as a `Conversation`.
 *
 * Everything that is not known becomes an opaque part or member, so that the writer of another wire has to say what
 * becomes of it. https://developers.openai.com/api/reference/resources/responses/methods/create
 */
import type { Controls, Conversation, OpaqueMember, ReasoningControl, Turn } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import { RouterError } from "../../http/errors.ts";
import { isJsonObject } from "../../lib/json.ts";
import { oddMembers } from "../unknown-members.ts";
import { textOf, WIRE } from "./items.ts";
import { readItems } from "./read-items.ts";
import { readFormat, readToolChoice, readTools } from "./read-tools.ts";
import { referencesOf } from "./references.ts";
import { checkFields } from "./request-fields.ts";

/** Top-level members that are read here, or that are the router's own. */
const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...["model", "input", "instructions", "stream", "stream_options", "store", "previous_response_id", "route"],
  ...["background", "conversation", "tools", "tool_choice", "parallel_tool_calls", "include", "text", "reasoning"],
  ...["max_output_tokens", "temperature", "top_p", "top_logprobs", "service_tier", "metadata", "truncation", "user"],
  ...["prompt_cache_key", "prompt_cache_retention", "safety_identifier"],
]);
const KINDS = {
  ...({ temperature: "number", top_p: "number", top_logprobs: "number", service_tier: "string" } as const),
  ...({ truncation: "string", user: "string", prompt_cache_key: "string", prompt_cache_retention: "string" } as const),
  ...({ safety_identifier: "string" } as const),
};
const READ_TEXT: ReadonlySet<string> = new Set(["format", "verbosity"]);
/** `generate_summary` is the older name of `summary`. */
const READ_REASONING: ReadonlySet<string> = new Set(["effort", "summary", "generate_summary"]);
/** Always asked for where the model has it; and a control of its own. */
const READ_INCLUDES: ReadonlySet<string> = new Set(["reasoning.encrypted_content", "message.output_text.logprobs"]);
const LOGPROBS_INCLUDE = "message.output_text.logprobs";

/**
 * `previous_response_id` and references to items have to be resolved before (`references.ts`). Throws 400 that names the
 * member at fault.
 */
export function readRequest(fields: Json): Conversation {
  checkFields(fields);
  refuseReferences(fields);
  const tools = readTools(fields);
  const turns = [...instructionsOf(fields), ...readItems(fields["input"], tools.nameOf)];
  return {
    turns: turns.filter(({ role, parts }) => role !== "assistant" || parts.length > 0),
    tools: tools.tools,
    controls: readControls(fields, readToolChoice(fields["tool_choice"], tools)),
    stream: fields["stream"] === true,
    others: [...topLevel(fields), ...tools.others],
    spelling: SPELLING,
    ...(tools.namespaces.size === 0 ? {} : { namespaces: tools.namespaces }),
  };
}

function refuseReferences(fields: Json): void {
  const { previousResponseId, itemIds } = referencesOf(fields);
  if (previousResponseId === undefined && itemIds.length === 0) return;
  const param = previousResponseId === undefined ? "input" : "previous_response_id";
  const message = "Stored responses cannot be used here. Send the whole input, with `store: false`.";
  throw new RouterError("invalid_request", message, { param });
}

function instructionsOf(fields: Json): Turn[] {
  const text = textOf(fields["instructions"]);
  const path = "instructions";
  return text === undefined ? [] : [{ role: "system", parts: [{ kind: "text", text, path }], path }];
}

const SPELLING: Conversation["spelling"] = {
  maxOutputTokens: "max_output_tokens",
  temperature: "temperature",
  topP: "top_p",
  logprobs: "include",
  topLogprobs: "top_logprobs",
  toolChoice: "tool_choice",
  parallelToolCalls: "parallel_tool_calls",
  responseFormat: "text.format",
  verbosity: "text.verbosity",
  serviceTier: "service_tier",
  promptCacheKey: "prompt_cache_key",
  promptCacheRetention: "prompt_cache_retention",
  user: "user",
  safetyIdentifier: "safety_identifier",
  metadata: "metadata",
  store: "store",
  truncation: "truncation",
};

function readControls(fields: Json, toolChoice: Controls["toolChoice"]): Controls {
  const number = (name: string): number | undefined =>
    typeof fields[name] === "number" ? (fields[name] as number) : undefined;
  const flag = (name: string): boolean | undefined =>
    typeof fields[name] === "boolean" ? (fields[name] as boolean) : undefined;
  const { metadata, include } = fields;
  const text: Json = isJsonObject(fields["text"]) ? fields["text"] : {};
  const logprobs = Array.isArray(include) && include.includes(LOGPROBS_INCLUDE);
  return {
    maxOutputTokens: number("max_output_tokens"),
    temperature: number("temperature"),
    topP: number("top_p"),
    logprobs: logprobs ? true : undefined,
    topLogprobs: number("top_logprobs"),
    toolChoice,
    parallelToolCalls: flag("parallel_tool_calls"),
    responseFormat: readFormat(text["format"]),
    reasoning: readReasoning(fields["reasoning"]),
    verbosity: textOf(text["verbosity"]),
    serviceTier: textOf(fields["service_tier"]),
    promptCacheKey: textOf(fields["prompt_cache_key"]),
    promptCacheRetention: textOf(fields["prompt_cache_retention"]),
    user: textOf(fields["user"]),
    safetyIdentifier: textOf(fields["safety_identifier"]),
    metadata: isJsonObject(metadata) && Object.keys(metadata).length > 0 ? metadata : undefined,
    store: flag("store"),
    truncation: textOf(fields["truncation"]),
  };
}

/** `undefined` where only a summary is asked for, too: that makes no model think. */
function readReasoning(reasoning: unknown): ReasoningControl | undefined {
  if (!isJsonObject(reasoning)) return undefined;
  const effort = textOf(reasoning["effort"]);
  const display = textOf(reasoning["summary"]) ?? textOf(reasoning["generate_summary"]);
  if (effort === undefined && display === undefined) return undefined;
  return {
    path: effort === undefined ? "reasoning.summary" : "reasoning.effort",
    ...(effort === undefined ? {} : { effort }),
    ...(display === undefined ? {} : { display }),
  };
}

/** Members that the core has no place for, those inside `text`, `reasoning` and `include` too. */
function topLevel(fields: Json): OpaqueMember[] {
  const { text, reasoning, include } = fields;
  const others = [...membersOf(fields, READ_MEMBERS, ""), ...oddMembers(WIRE, fields, KINDS)];
  if (isJsonObject(text)) {
    others.push(...membersOf(text, READ_TEXT, "text."));
    others.push(...oddMembers(WIRE, text, { format: "object", verbosity: "string" }, "text."));
  }
  if (isJsonObject(reasoning)) {
    others.push(...membersOf(reasoning, READ_REASONING, "reasoning."));
    others.push(...oddMembers(WIRE, reasoning, { effort: "string", summary: "string" }, "reasoning."));
  }
  const extras = (Array.isArray(include) ? include : []).filter((name) => !READ_INCLUDES.has(name));
  if (extras.length > 0) {
    others.push({ wire: WIRE, name: "include", path: "include", source: extras, asksForNothing: false });
  }
  return others;
}

function membersOf(source: Json, known: ReadonlySet<string>, prefix: string): OpaqueMember[] {
  return Object.entries(source).flatMap(([name, value]): OpaqueMember[] => {
    if (known.has(name)) return [];
    const path = prefix + name;
    return [{ wire: WIRE, name: path, path, source: value, asksForNothing: asksForNothing(value) }];
  });
}

/** `null`, `false`, 0, `""`, an empty list or object. */
function asksForNothing(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === "";
}
