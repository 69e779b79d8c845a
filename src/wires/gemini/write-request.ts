/**
 * A conversation as a `generateContent` request.
 *
 * Pure. Whatever is in the body was built here or in its sibling files, value by value; what Gemini cannot do is
 * a loss. https://ai.google.dev/api/generate-content
 */
import type { Controls, Conversation } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import { lossOf } from "../unknown-members.ts";
import type { RequestTarget, WrittenRequest } from "../wire.ts";
import { toolNames } from "./called-tools.ts";
import { thinkingConfigOf } from "./thinking.ts";
import { writeTools } from "./write-tools.ts";
import { writeTurns } from "./write-turns.ts";

const MAX_STOPS = 5;
const MAX_CHOICES = 8;
const MAX_SEED = 2_147_483_647;

export function writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest {
  const losses: Loss[] = [];
  const names = toolNames(conversation);
  const turns = writeTurns(conversation.turns, target, names, losses);
  const tools = writeTools(conversation, names, losses, target.model);
  const own = readOwnMembers(conversation, losses);
  noteControls(conversation, losses);
  const body = {
    ...turns,
    ...tools,
    generationConfig: generationConfig(conversation, own.thinking, target, losses),
    ...tierMember(conversation.controls.serviceTier),
    ...own.safety,
  };
  return {
    path: pathOf(target.model, conversation.stream),
    // Planning asks for the losses alone: a body of megabytes is written only where it is sent.
    get body() {
      return stringifyRaw(body);
    },
    losses,
  };
}

/** The method is in the same path segment as the model, so that no model id can be read as `..`. */
function pathOf(model: string, stream: boolean): string {
  const [, folder = "models", id = ""] = /^(?:(models|tunedModels)\/)?(.*)$/s.exec(model) ?? [];
  const method = stream ? "streamGenerateContent?alt=sse" : "generateContent";
  return `/${folder}/${encodeURIComponent(id.toWellFormed())}:${method}`;
}

interface OwnMembers {
  readonly thinking: { readonly source: Json; readonly path: string } | undefined;
  readonly safety: Json;
}

/** Members of Google's that a chat client may send; all others that the core does not know are losses. */
function readOwnMembers({ others }: Conversation, losses: Loss[]): OwnMembers {
  let thinking: OwnMembers["thinking"];
  let safety: Json = {};
  for (const member of others) {
    const { name, path, source } = member;
    if (path === name && (name === "safety_settings" || name === "safetySettings")) {
      const settings = safetySettings(source);
      if (settings === null) losses.push(harmless(path, "member"));
      else if (settings.length > 0) safety = { safetySettings: settings };
      continue;
    }
    const own = path === name ? googleMember(name, source) : null;
    if (own === null) {
      const loss = lossOf(member);
      if (loss !== null) losses.push(loss);
      continue;
    }
    if (own.thinking !== undefined) thinking = { source: own.thinking, path };
    if (own.cached !== undefined)
      losses.push(changesMeaning(path, "part", "Cached content of Google cannot be named."));
    if (own.hasMore) losses.push(harmless(path, "member"));
  }
  return { thinking, safety };
}

interface GoogleMember {
  readonly thinking: Json | undefined;
  readonly cached: unknown;
  readonly hasMore: boolean;
}

/** `google`, also inside an `extra_body` that a client did not unfold, as Google's OpenAI endpoint has it. */
function googleMember(name: string, source: unknown): GoogleMember | null {
  if ((name !== "google" && name !== "extra_body") || !isJsonObject(source)) return null;
  const { google, ...beside } = name === "google" ? { google: source } : source;
  if (!isJsonObject(google)) return null;
  const { thinking_config: spelled, thinkingConfig: config = spelled, ...more } = google;
  const { cached_content: named, cachedContent: cached = named, ...rest } = more;
  const thinking = isJsonObject(config) ? config : undefined;
  return { thinking, cached, hasMore: Object.keys(beside).length + Object.keys(rest).length > 0 };
}

/** `null` for a list that is none of these. */
function safetySettings(source: unknown): Json[] | null {
  if (source === null || source === undefined) return [];
  if (!Array.isArray(source)) return null;
  const settings = source.flatMap((each): Json[] => {
    if (!isJsonObject(each)) return [];
    const { category, threshold } = each;
    return typeof category === "string" && typeof threshold === "string" ? [{ category, threshold }] : [];
  });
  return settings.length === source.length ? settings : null;
}

function generationConfig(
  { controls, spelling }: Conversation,
  thinking: OwnMembers["thinking"],
  { model, maxOutputTokens }: RequestTarget,
  losses: Loss[],
): Json {
  const { seed, n, logprobs, topLogprobs, presencePenalty, frequencyPenalty } = controls;
  const { config: thinkingConfig, isLost } = thinkingConfigOf(controls.reasoning, thinking?.source, model);
  const path = thinking?.path ?? controls.reasoning?.path;
  if (isLost && path !== undefined) losses.push(harmless(path));
  const stops = stopsOf(controls);
  return {
    ...member("temperature", controls.temperature),
    ...member("topP", controls.topP),
    ...member("topK", controls.topK),
    ...member("maxOutputTokens", smaller(controls.maxOutputTokens, maxOutputTokens)),
    ...(stops.length === 0 ? {} : { stopSequences: stops.slice(0, MAX_STOPS) }),
    ...(n !== undefined && n > 1 ? { candidateCount: n } : {}),
    ...member("seed", seedOf(seed)),
    // Newer models refuse penalties; 0 asks for none.
    ...member("presencePenalty", presencePenalty || undefined),
    ...member("frequencyPenalty", frequencyPenalty || undefined),
    ...(logprobs === true ? { responseLogprobs: true } : {}),
    ...(logprobs === true && topLogprobs !== undefined && topLogprobs > 0 ? { logprobs: topLogprobs } : {}),
    ...responseShape(controls.responseFormat, spelling.responseFormat ?? "response_format", losses),
    ...modalitiesMember(controls.modalities),
    ...member("thinkingConfig", thinkingConfig),
  };
}

/** A seed has 32 bits here. Any fixed smaller number serves as well as a larger one. */
function seedOf(seed: Controls["seed"]): number | undefined {
  if (typeof seed === "number") return Math.abs(seed) > MAX_SEED ? seed % MAX_SEED : seed;
  const text = seed === undefined ? "" : JSON.stringify(seed);
  return /^-?\d+$/.test(text) ? Number(BigInt(text) % BigInt(MAX_SEED)) : undefined;
}

function member(name: string, value: unknown): Json {
  return value === undefined ? {} : { [name]: value };
}

function smaller(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

/** An empty text ends nothing. */
function stopsOf({ stop = [] }: Controls): string[] {
  return [...new Set(stop)].filter((each) => each !== "");
}

/** Schemas go through untouched: `responseJsonSchema` knows more of JSON Schema than the older `responseSchema`. */
function responseShape(format: Controls["responseFormat"], path: string, losses: Loss[]): Json {
  const responseMimeType = "application/json";
  switch (format?.kind) {
    case "json_object":
      return { responseMimeType, ...member("responseJsonSchema", format.schema) };
    case "json_schema": {
      const { schema, description } = format;
      const isTold = description === undefined || schema["description"] !== undefined;
      return { responseMimeType, responseJsonSchema: isTold ? schema : { ...schema, description } };
    }
    case "opaque":
      losses.push(unmet(path, "schema", "Gemini cannot hold its answer to this `response_format`."));
      return {};
    case "text":
    case undefined:
      return {};
    default:
      return unreachable(format);
  }
}

const MODALITIES: Readonly<Record<string, string>> = { text: "TEXT", image: "IMAGE" };

function modalitiesMember(modalities: Controls["modalities"]): Json {
  const wanted = (modalities ?? []).flatMap((each) => (Object.hasOwn(MODALITIES, each) ? [MODALITIES[each]] : []));
  return wanted.includes("IMAGE") ? { responseModalities: wanted } : {};
}

const TIERS: Readonly<Record<string, string>> = {
  flex: "flex",
  priority: "priority",
  default: "standard",
  standard: "standard",
};

function tierMember(tier: string | undefined): Json {
  return tier !== undefined && Object.hasOwn(TIERS, tier) ? { serviceTier: TIERS[tier] } : {};
}

/** Every control that was given and is not written, by what it would change. */
function noteControls({ controls, spelling }: Conversation, losses: Loss[]): void {
  for (const name of Object.keys(controls) as (keyof Controls)[]) {
    if (controls[name] === undefined) continue;
    const loss = lossOfControl(name, controls, spelling[name] ?? name);
    if (loss !== null) losses.push(loss);
  }
}

function lossOfControl(name: keyof Controls, controls: Controls, path: string): Loss | null {
  switch (name) {
    case "maxOutputTokens":
    case "temperature":
    case "topP":
    case "topK":
    case "seed":
    case "presencePenalty":
    case "frequencyPenalty":
    case "logprobs":
    case "topLogprobs":
    // Noted where they are written.
    case "toolChoice":
    case "parallelToolCalls":
    case "responseFormat":
    case "reasoning":
      return null;
    case "n":
      if ((controls.n ?? 1) <= MAX_CHOICES) return null;
      return changesMeaning(path, "choices", `Gemini answers at most ${MAX_CHOICES} times at once.`);
    case "stop":
      if (stopsOf(controls).length <= MAX_STOPS) return null;
      return unmet(path, "control", `Gemini knows at most ${MAX_STOPS} stop sequences.`);
    case "modalities": {
      const other = controls.modalities?.find((each) => !Object.hasOwn(MODALITIES, each));
      if (other === undefined) return null;
      return changesMeaning(path, "modality", "Gemini answers in text and images through this router.");
    }
    case "minP":
      return controls.minP === 0 ? null : unmet(path);
    case "repetitionPenalty":
      return controls.repetitionPenalty === 1 || controls.repetitionPenalty === 0 ? null : unmet(path);
    case "logitBias":
      return isEmpty(controls.logitBias) ? null : unmet(path);
    case "verbosity":
      return controls.verbosity === "medium" || controls.verbosity === "" ? null : unmet(path);
    case "serviceTier": {
      const tier = controls.serviceTier ?? "";
      return tier === "" || tier === "auto" || Object.hasOwn(TIERS, tier) ? null : harmless(path);
    }
    case "metadata":
      return isEmpty(controls.metadata) ? null : harmless(path);
    case "store":
      return controls.store === true ? harmless(path) : null;
    case "truncation":
      return controls.truncation === "disabled" ? null : harmless(path);
    case "promptCacheKey":
    case "promptCacheRetention":
    case "user":
    case "safetyIdentifier":
      return controls[name] === "" ? null : harmless(path);
    default:
      return unreachable(name);
  }
}

const isEmpty = (value: Json | undefined): boolean => value === undefined || Object.keys(value).length === 0;
