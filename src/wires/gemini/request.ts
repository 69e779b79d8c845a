/**
 * A chat request as `generateContent` takes it.
 *
 * Pure. JSON Schemas go through untouched (`parametersJsonSchema`, `responseJsonSchema`), because the older `parameters`
 * field knows only a part of them. What Gemini cannot do is either named as dropped, where the answer stays what was
 * asked for, or sent as it came, so that Gemini refuses it aloud; `lacks` says the same beforehand.
 * https://ai.google.dev/api/generate-content
 */
import { isJsonObject } from "../../lib/json.ts";
import type { AdapterCall, UpstreamRequest } from "../../providers/adapter.ts";
import { upstreamHeaders } from "../../providers/provider-settings.ts";
import {
  effectiveFields,
  LIMIT_FIELDS,
  outputLimit,
  partsOf,
  responseFormatOf,
  stopsOf,
  type ToolChoice,
  toolChoiceOf,
  toolsOf,
} from "../openai-chat/chat-wire.ts";
import { toConversation, videoUrl } from "./contents.ts";
import { nativeThinking, THINKING_FIELDS, thinkingConfigOf } from "./thinking.ts";

type Json = Readonly<Record<string, unknown>>;

const MAX_STOPS = 5;
const MAX_CHOICES = 8;
const MAX_SEED = 2_147_483_647;
/** Gemini's own tools, which an operator may put into a policy's `params`. They run at Google. */
const NATIVE_TOOLS: ReadonlySet<string> = new Set(
  ["googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "googleMaps", "fileSearch"].flatMap(
    (name) => [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)],
  ),
);

/** Members this file turns into Gemini's. Every other member of the client is dropped by name or refused. */
const TRANSLATED: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "route", "tools", "tool_choice", "functions", "function_call"],
  ...["response_format", "temperature", "top_p", "top_k", "stop", "n", "seed", "presence_penalty", "frequency_penalty"],
  ...["logprobs", "top_logprobs", "modalities", "safety_settings", "safetySettings", "service_tier"],
  ...THINKING_FIELDS,
  ...LIMIT_FIELDS,
]);
/** They change the answer and have no counterpart. */
const REFUSED = ["logit_bias", "web_search_options", "min_p", "repetition_penalty"] as const;

export function toGeminiRequest(call: AdapterCall): UpstreamRequest {
  const fields = effectiveFields(call);
  const dropped = new Set<string>();
  const { contents, systemInstruction } = toConversation(fields["messages"], call.model);
  const refused = REFUSED.filter((name) => asksFor(fields[name])).map((name) => [name, fields[name]]);
  const body = {
    contents,
    ...(systemInstruction === undefined ? {} : { systemInstruction }),
    ...toolMembers(fields),
    generationConfig: generationConfig(fields, call, dropped),
    ...serviceTier(fields["service_tier"], dropped),
    ...memberOf("safetySettings", fields["safetySettings"] ?? fields["safety_settings"]),
    ...Object.fromEntries(refused),
  };
  noteDropped(call.fields, dropped);
  return {
    url: urlOf(call),
    headers: upstreamHeaders(call.config, call.stream),
    body: JSON.stringify(body),
    // Only of what the client sent is the client told.
    droppedParams: [...dropped].filter((name) => Object.hasOwn(call.fields, name) || name.includes(".")),
  };
}

/** The method stands in the same path segment as the model, so that no model id can be read as `..`. */
function urlOf({ config, model, stream }: AdapterCall): string {
  const [, folder = "models", id = ""] = /^(?:(models|tunedModels)\/)?(.*)$/s.exec(model) ?? [];
  const method = stream ? "streamGenerateContent?alt=sse" : "generateContent";
  return `${config.baseUrl}/${folder}/${encodeURIComponent(id.toWellFormed())}:${method}`;
}

function memberOf(name: string, value: unknown): Json {
  return value === undefined || value === null ? {} : { [name]: value };
}

function generationConfig(fields: Json, call: AdapterCall, dropped: Set<string>): Json {
  const thinking = thinkingConfigOf(fields, call.model);
  if (thinking === null) for (const name of THINKING_FIELDS) if (asksFor(fields[name])) dropped.add(name);
  const stops = stopsOf(fields);
  const { n, seed, logprobs, top_logprobs: topLogprobs, modalities } = fields;
  return {
    ...memberOf("temperature", fields["temperature"]),
    ...memberOf("topP", fields["top_p"]),
    ...memberOf("topK", fields["top_k"]),
    ...memberOf("maxOutputTokens", outputLimit(fields, call.maxOutputTokens)),
    ...(stops.length === 0 ? {} : { stopSequences: stops }),
    ...(typeof n === "number" && n > 1 ? { candidateCount: n } : {}),
    // A seed has 32 bits here. Any fixed smaller number serves as well as a larger one.
    ...memberOf("seed", typeof seed === "number" && Math.abs(seed) > MAX_SEED ? seed % MAX_SEED : seed),
    // Newer models refuse penalties; 0 asks for none.
    ...memberOf("presencePenalty", fields["presence_penalty"] || undefined),
    ...memberOf("frequencyPenalty", fields["frequency_penalty"] || undefined),
    ...(logprobs === true ? { responseLogprobs: true } : {}),
    ...(logprobs === true && typeof topLogprobs === "number" && topLogprobs > 0 ? { logprobs: topLogprobs } : {}),
    ...responseShape(fields),
    ...(Array.isArray(modalities) && modalities.some((each) => each !== "text")
      ? { responseModalities: modalities.map((each) => String(each).toUpperCase()) }
      : {}),
    ...memberOf("thinkingConfig", thinking),
  };
}

function responseShape(fields: Json): Json {
  const format = responseFormatOf(fields);
  const responseMimeType = "application/json";
  if (format.kind === "json_schema") return { responseMimeType, responseJsonSchema: format.schema };
  return format.kind === "json_object" ? { responseMimeType } : {};
}

function toolMembers(fields: Json): Json {
  const { tools, others } = toolsOf(fields);
  const choice = toolChoiceOf(fields);
  // A choice among all tools of some, with text allowed: the others are as good as not there.
  const offered =
    choice?.kind === "allowed" && choice.mode === "auto"
      ? tools.filter(({ name }) => choice.names.includes(name))
      : tools;
  const functionDeclarations = offered.map(({ name, description, parameters }) => ({
    name,
    ...memberOf("description", description),
    parametersJsonSchema: parameters,
  }));
  const all = [...(functionDeclarations.length === 0 ? [] : [{ functionDeclarations }]), ...others];
  if (all.length === 0) return {};
  const config =
    functionDeclarations.length === 0
      ? null
      : callingConfig(
          choice,
          offered.some(({ strict }) => strict),
        );
  return { tools: all, ...(config === null ? {} : { toolConfig: { functionCallingConfig: config } }) };
}

function callingConfig(choice: ToolChoice | undefined, isStrict: boolean): Json | null {
  switch (choice?.kind) {
    case "none":
      return { mode: "NONE" };
    case "required":
      return { mode: "ANY" };
    case "function":
      return { mode: "ANY", allowedFunctionNames: [choice.name] };
    case "allowed":
      if (choice.mode === "required") return { mode: "ANY", allowedFunctionNames: choice.names };
  }
  // VALIDATED is AUTO with calls that are held to their schema: what `strict` asks for.
  if (isStrict) return { mode: "VALIDATED" };
  return choice === undefined ? null : { mode: "AUTO" };
}

function serviceTier(tier: unknown, dropped: Set<string>): Json {
  if (tier === "flex" || tier === "priority") return { serviceTier: tier };
  if (tier === "default" || tier === "standard") return { serviceTier: "standard" };
  if (tier !== "auto" && asksFor(tier)) dropped.add("service_tier");
  return {};
}

function noteDropped(client: Json, dropped: Set<string>): void {
  for (const [name, value] of Object.entries(client)) {
    const isRefused = REFUSED.some((each) => each === name);
    if (!TRANSLATED.has(name) && !isRefused && asksFor(value)) dropped.add(name);
  }
  if (nativeThinking(client) !== undefined) for (const name of ["extra_body", "google"]) dropped.delete(name);
  // Several calls at once are Gemini's way: only the wish for one at a time is lost.
  if (client["parallel_tool_calls"] === false) dropped.add("parallel_tool_calls");
  else dropped.delete("parallel_tool_calls");
  for (const message of Array.isArray(client["messages"]) ? client["messages"] : []) {
    if (!isJsonObject(message)) continue;
    const { role, name, content } = message;
    if (typeof name === "string" && role !== "tool" && role !== "function") dropped.add("messages.name");
    for (const part of Array.isArray(content) ? content : []) {
      if (!isJsonObject(part)) continue;
      // Gemini caches prefixes by itself.
      if (part["cache_control"] !== undefined) dropped.add("messages.cache_control");
      const image = part["image_url"];
      if (isJsonObject(image) && image["detail"] !== undefined && image["detail"] !== "auto") {
        dropped.add("messages.image_url.detail");
      }
    }
  }
}

/** `null`, `false`, 0, empty lists and empty objects ask for nothing. */
function asksFor(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== 0 && value !== "";
}

/** The first thing asked for that no Gemini model can do. */
export function geminiLacks(fields: Json): string | null {
  const refused = REFUSED.find((name) => asksFor(fields[name]));
  if (refused !== undefined) return refused;
  if (asksFor(fields["verbosity"]) && fields["verbosity"] !== "medium") return "verbosity";
  if (Array.isArray(fields["modalities"]) && fields["modalities"].includes("audio")) return "modalities";
  if (typeof fields["n"] === "number" && fields["n"] > MAX_CHOICES) return "n";
  if (stopsOf(fields).length > MAX_STOPS) return "stop";
  const { tools, others } = toolsOf(fields);
  if (others.some((tool) => !isNativeTool(tool))) return "tools";
  // It cannot be held to one call at a time.
  if (fields["parallel_tool_calls"] === false && tools.length > 0) return "parallel_tool_calls";
  const messages = Array.isArray(fields["messages"]) ? fields["messages"] : [];
  return messages.some(hasUnknownPart) ? "messages" : null;
}

function isNativeTool(tool: Json): boolean {
  const names = Object.keys(tool);
  return names.length > 0 && names.every((name) => NATIVE_TOOLS.has(name));
}

function hasUnknownPart(message: unknown): boolean {
  if (!isJsonObject(message)) return false;
  // An answer that was spoken elsewhere is known only by its id there.
  if (isJsonObject(message["audio"])) return true;
  return partsOf(message["content"]).some((part) => part.kind === "unknown" && videoUrl(part) === null);
}
