/**
 * A chat request as a `Conversation`: the client's fields over the target's `params`.
 *
 * Read for providers of another wire only. Everything that is not known becomes an opaque member, so that the writer has
 * to say what becomes of it.
 */
import type {
  Controls,
  Conversation,
  OpaqueMember,
  ReasoningControl,
  ResponseFormat,
  Tool,
  ToolChoice,
} from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { readTurns } from "./read-turns.ts";

const WIRE = "openai-chat";

/** Top-level members that are read here, or that are the router's own. */
const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "route", "tools", "functions", "tool_choice", "function_call"],
  ...["max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "n"],
  ...["presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs"],
  ...["parallel_tool_calls", "response_format", "reasoning_effort", "reasoning", "thinking", "verbosity"],
  ...["service_tier", "modalities", "prompt_cache_key", "prompt_cache_retention", "user", "safety_identifier"],
  ...["metadata", "store"],
]);

export function readRequest(fields: Json): Conversation {
  const { turns, others } = readTurns(fields["messages"]);
  const options = fields["stream_options"];
  const optionNames = isJsonObject(options) ? Object.keys(options).filter((name) => name !== "include_usage") : [];
  const topLevel = Object.entries(fields).flatMap(([name, source]): OpaqueMember[] =>
    READ_MEMBERS.has(name) ? [] : [{ wire: WIRE, name, path: name, source, asksForNothing: asksForNothing(source) }],
  );
  if (optionNames.length > 0) {
    topLevel.push({
      ...{ wire: WIRE, name: "stream_options", path: "stream_options", source: options },
      asksForNothing: false,
    });
  }
  return {
    turns,
    tools: readTools(fields),
    controls: readControls(fields),
    stream: fields["stream"] === true,
    others: [...topLevel, ...others],
    spelling: spellingOf(fields),
  };
}

/** `null`, `false`, 0, `""`, an empty list or object. */
export function asksForNothing(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === "";
}

function spellingOf(fields: Json): Conversation["spelling"] {
  return {
    maxOutputTokens: fields["max_completion_tokens"] != null ? "max_completion_tokens" : "max_tokens",
    temperature: "temperature",
    topP: "top_p",
    topK: "top_k",
    minP: "min_p",
    stop: "stop",
    seed: "seed",
    n: "n",
    presencePenalty: "presence_penalty",
    frequencyPenalty: "frequency_penalty",
    repetitionPenalty: "repetition_penalty",
    logitBias: "logit_bias",
    logprobs: "logprobs",
    topLogprobs: "top_logprobs",
    toolChoice: fields["tool_choice"] != null ? "tool_choice" : "function_call",
    parallelToolCalls: "parallel_tool_calls",
    responseFormat: "response_format",
    verbosity: "verbosity",
    serviceTier: "service_tier",
    modalities: "modalities",
    promptCacheKey: "prompt_cache_key",
    promptCacheRetention: "prompt_cache_retention",
    user: "user",
    safetyIdentifier: "safety_identifier",
    metadata: "metadata",
    store: "store",
  };
}

/** The controls of chat fields; also what a policy's `params` say. */
export function readControls(fields: Json): Controls {
  const number = (name: string): number | undefined =>
    typeof fields[name] === "number" ? (fields[name] as number) : undefined;
  const text = (name: string): string | undefined =>
    typeof fields[name] === "string" ? (fields[name] as string) : undefined;
  const flag = (name: string): boolean | undefined =>
    typeof fields[name] === "boolean" ? (fields[name] as boolean) : undefined;
  const object = (name: string): Json | undefined => (isJsonObject(fields[name]) ? (fields[name] as Json) : undefined);
  const controls: Controls = {
    maxOutputTokens: number("max_completion_tokens") ?? number("max_tokens"),
    temperature: number("temperature"),
    topP: number("top_p"),
    topK: number("top_k"),
    minP: number("min_p"),
    stop: stopsOf(fields["stop"]),
    seed: number("seed") ?? object("seed"),
    n: number("n"),
    presencePenalty: number("presence_penalty"),
    frequencyPenalty: number("frequency_penalty"),
    repetitionPenalty: number("repetition_penalty"),
    logitBias: object("logit_bias"),
    logprobs: flag("logprobs"),
    topLogprobs: number("top_logprobs"),
    toolChoice: readToolChoice(fields["tool_choice"] ?? fields["function_call"]),
    parallelToolCalls: flag("parallel_tool_calls"),
    responseFormat: readResponseFormat(fields["response_format"]),
    reasoning: readReasoning(fields),
    verbosity: text("verbosity"),
    serviceTier: text("service_tier"),
    modalities: Array.isArray(fields["modalities"]) ? fields["modalities"].map(String) : undefined,
    promptCacheKey: text("prompt_cache_key"),
    promptCacheRetention: text("prompt_cache_retention"),
    user: text("user"),
    safetyIdentifier: text("safety_identifier"),
    metadata: object("metadata"),
    store: flag("store"),
  };
  return controls;
}

function stopsOf(stop: unknown): readonly string[] | undefined {
  if (typeof stop === "string") return [stop];
  if (!Array.isArray(stop)) return undefined;
  const texts = stop.filter((each) => typeof each === "string");
  return texts.length === 0 ? undefined : texts;
}

function readReasoning(fields: Json): ReasoningControl | undefined {
  const { reasoning_effort: effort, reasoning, thinking } = fields;
  const native = isJsonObject(thinking) ? ({ wire: "anthropic-messages", source: thinking } as const) : undefined;
  const other: Json = isJsonObject(reasoning) ? reasoning : {};
  const word = typeof effort === "string" ? effort : other["effort"];
  const budget = other["max_tokens"];
  const enabled = other["enabled"];
  const isHidden = other["exclude"] === true;
  const says = typeof word === "string" || typeof budget === "number" || typeof enabled === "boolean" || isHidden;
  if (native === undefined && !says) return undefined;
  return {
    path: native !== undefined ? "thinking" : typeof effort === "string" ? "reasoning_effort" : "reasoning",
    ...(native === undefined ? {} : { native }),
    ...(typeof word === "string" ? { effort: word } : {}),
    ...(typeof budget === "number" ? { budget } : {}),
    ...(typeof enabled === "boolean" ? { enabled } : {}),
    ...(typeof other["summary"] === "string" ? { display: other["summary"] } : {}),
    ...(isHidden ? { display: "omitted" } : {}),
  };
}

export function readToolChoice(choice: unknown): ToolChoice | undefined {
  if (choice === "auto" || choice === "none" || choice === "required") return { kind: choice };
  if (choice === "any") return { kind: "required" };
  if (!isJsonObject(choice)) return undefined;
  const custom = choice["custom"];
  if (isJsonObject(custom) && typeof custom["name"] === "string") {
    return { kind: "tool", name: custom["name"], form: "custom" };
  }
  const named = isJsonObject(choice["function"]) ? choice["function"] : choice;
  if (typeof named["name"] === "string") return { kind: "tool", name: named["name"], form: "function" };
  const allowed = choice["allowed_tools"];
  if (isJsonObject(allowed) && Array.isArray(allowed["tools"])) {
    const names = allowed["tools"].flatMap((tool): string[] => {
      if (!isJsonObject(tool)) return [];
      const detail = isJsonObject(tool["function"])
        ? tool["function"]
        : isJsonObject(tool["custom"])
          ? tool["custom"]
          : tool;
      return typeof detail["name"] === "string" ? [detail["name"]] : [];
    });
    return { kind: "allowed", mode: allowed["mode"] === "required" ? "required" : "auto", names };
  }
  return { kind: "provider", wire: WIRE, source: choice };
}

function readResponseFormat(format: unknown): ResponseFormat | undefined {
  if (!isJsonObject(format)) return undefined;
  const { type, json_schema: detail } = format;
  if (type === "text") return { kind: type };
  if (type === "json_object") {
    const schema = detail ?? format["schema"];
    return { kind: type, ...(isJsonObject(schema) ? { schema } : {}) };
  }
  if (type !== "json_schema" || !isJsonObject(detail)) return { kind: "opaque", wire: WIRE, source: format };
  const description = typeof detail["description"] === "string" ? detail["description"] : undefined;
  return {
    kind: "json_schema",
    name: String(detail["name"] ?? "answer"),
    description,
    schema: isJsonObject(detail["schema"]) ? detail["schema"] : { type: "object" },
    strict: detail["strict"] === true,
  };
}

function readTools(fields: Json): Tool[] {
  const tools = (Array.isArray(fields["tools"]) ? fields["tools"] : []).flatMap((tool, at): Tool[] =>
    isJsonObject(tool) ? [readTool(tool, `tools[${at}]`)] : [],
  );
  const legacy = (Array.isArray(fields["functions"]) ? fields["functions"] : []).flatMap((detail, at): Tool[] =>
    isJsonObject(detail) ? [functionTool(detail, detail, `functions[${at}]`)] : [],
  );
  return [...tools, ...legacy];
}

function readTool(tool: Json, path: string): Tool {
  if (isJsonObject(tool["function"])) return functionTool(tool["function"], tool, path);
  const custom = tool["custom"];
  if (tool["type"] === "custom" && isJsonObject(custom)) {
    return {
      kind: "custom",
      name: String(custom["name"]),
      description: typeof custom["description"] === "string" ? custom["description"] : undefined,
      format: isJsonObject(custom["format"]) ? custom["format"] : undefined,
      path,
    };
  }
  const [first = "unknown"] = Object.keys(tool);
  const type = typeof tool["type"] === "string" ? tool["type"] : first;
  return {
    kind: "provider",
    wire: WIRE,
    type,
    name: typeof tool["name"] === "string" ? tool["name"] : undefined,
    source: tool,
    path,
  };
}

function functionTool(detail: Json, source: Json, path: string): Tool {
  const mark = source["cache_control"] ?? detail["cache_control"];
  return {
    kind: "function",
    name: String(detail["name"]),
    description: typeof detail["description"] === "string" ? detail["description"] : undefined,
    parameters: isJsonObject(detail["parameters"]) ? detail["parameters"] : { type: "object", properties: {} },
    strict: detail["strict"] === true,
    path,
    ...(isJsonObject(mark) ? { cache: mark } : {}),
  };
}
