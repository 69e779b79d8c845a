/** Sampling, stops, metadata and Converse's own members. */
import type { Conversation, OpaqueMember } from "../../conversation/conversation.ts";
import { harmless, type Loss, unmet } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { lossOf } from "../unknown-members.ts";
import type { ModelTraits } from "./models.ts";

export interface Written {
  readonly members: Json;
  readonly losses: readonly Loss[];
}

/** What goes into `inferenceConfig`, and what into `additionalModelRequestFields`. */
export interface WrittenSampling {
  readonly config: Json;
  readonly additional: Json;
  readonly losses: readonly Loss[];
}

/**
 * A thinking Claude samples as it was trained to: temperature 1, nearly the whole distribution, no `top_k`. From Opus 4.7
 * on it always does, and refuses a setting. Converse's scale of temperatures ends at 1.
 */
export function writeSampling(
  { controls, spelling }: Conversation,
  traits: ModelTraits,
  isThinking: boolean,
): WrittenSampling {
  const { temperature, topP, topK } = controls;
  const isFixed = traits.fixedSampling || (traits.family === "claude" && isThinking);
  const losses: Loss[] = [];
  const config: Record<string, unknown> = {};
  if (temperature !== undefined) {
    if (temperature > 1) losses.push(unmet(spelling.temperature ?? "temperature"));
    else if (isFixed && temperature !== 1) losses.push(harmless(spelling.temperature ?? "temperature"));
    if (!isFixed || (!traits.fixedSampling && temperature === 1)) config["temperature"] = Math.min(temperature, 1);
  }
  if (topP !== undefined) {
    const isRefused = isFixed && (traits.fixedSampling || topP < 0.95);
    if (isRefused || (traits.oneSampler && config["temperature"] !== undefined)) {
      if (topP !== 1) losses.push(harmless(spelling.topP ?? "top_p"));
    } else config["topP"] = topP;
  }
  if (topK === undefined) return { config, additional: {}, losses };
  if (isFixed) return { config, additional: {}, losses: [...losses, harmless(spelling.topK ?? "top_k")] };
  return { config, additional: traits.family === "nova" ? { inferenceConfig: { topK } } : { top_k: topK }, losses };
}

/** Claude refuses stops of white space only. */
export function writeStops({ controls, spelling }: Conversation, { family }: ModelTraits): Written {
  const stops = (controls.stop ?? []).filter((stop) => stop !== "");
  const stopSequences = family === "claude" ? stops.filter((stop) => stop.trim() !== "") : stops;
  return {
    members: stopSequences.length === 0 ? {} : { stopSequences },
    losses: stopSequences.length < stops.length ? [harmless(spelling.stop ?? "stop")] : [],
  };
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, requestMetadata. */
const METADATA_TEXT = /^[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}$/;
const MAX_METADATA_MEMBERS = 16;

export function writeMetadata({ controls, spelling }: Conversation): Written {
  const members = Object.entries(controls.metadata ?? {});
  if (members.length === 0) return { members: {}, losses: [] };
  const fits = ([name, value]: [string, unknown]): boolean =>
    name !== "" && METADATA_TEXT.test(name) && typeof value === "string" && METADATA_TEXT.test(value);
  if (members.length <= MAX_METADATA_MEMBERS && members.every(fits)) {
    return { members: { requestMetadata: Object.fromEntries(members) }, losses: [] };
  }
  return { members: {}, losses: [harmless(spelling.metadata ?? "metadata")] };
}

const SERVICE_TIERS: ReadonlySet<string> = new Set(["default", "flex", "priority", "reserved"]);

export function writeTier({ controls, spelling }: Conversation): Written {
  const tier = controls.serviceTier;
  if (tier === undefined || tier === "auto") return { members: {}, losses: [] };
  if (SERVICE_TIERS.has(tier)) return { members: { serviceTier: { type: tier } }, losses: [] };
  return { members: {}, losses: [harmless(spelling.serviceTier ?? "service_tier")] };
}

/** Written by the policy, as Converse spells them: they reach past the policy's limits, so no client may set them. */
const NATIVE_PARAMS = [
  ...["guardrailConfig", "performanceConfig", "promptVariables", "additionalModelResponseFieldPaths"],
] as const;

/** Asks for a search, even where it is an empty object; the voice of an answer. */
const UNMET: ReadonlySet<string> = new Set(["web_search_options", "audio"]);

/** The policy's own members; a guardrail is also the client's to ask for, but not to replace. */
export function writeNative(others: readonly OpaqueMember[], params: Json): Written {
  const members: Record<string, unknown> = {};
  const losses: Loss[] = [];
  for (const name of NATIVE_PARAMS) if (params[name] !== undefined) members[name] = params[name];
  for (const other of others) {
    const { name, path, source, wire } = other;
    const isTopLevel = path === name && wire === "openai-chat";
    const guardrail = isTopLevel && name === "guardrailConfig" ? guardrailOf(source) : null;
    if (guardrail !== null && members[name] === undefined) members[name] = guardrail;
    else if (isTopLevel && UNMET.has(name) && source !== null) losses.push(unmet(path, "member"));
    else {
      const loss = lossOf(other);
      if (loss !== null) losses.push(loss);
    }
  }
  return { members, losses };
}

const GUARDRAIL_MEMBERS = ["guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode"] as const;

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailConfiguration.html */
function guardrailOf(source: unknown): Json | null {
  if (!isJsonObject(source) || typeof source["guardrailIdentifier"] !== "string") return null;
  const known = GUARDRAIL_MEMBERS.filter((name) => typeof source[name] === "string");
  return Object.fromEntries(known.map((name) => [name, source[name]]));
}
