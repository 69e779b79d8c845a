/** Controls as members of the provider's request, and what cannot be said. */
import type { Conversation, OpaqueMember } from "../../conversation/conversation.ts";
import { harmless, type Loss, unmet } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type ControlFates, controlLosses } from "../control-losses.ts";
import { lossOf } from "../unknown-members.ts";
import type { ClaudeTraits } from "./models.ts";
import type { Reasoning } from "./reasoning.ts";

/** OpenAI's words for the tiers. `flex` trades speed for money, which the provider has no tier for. */
const TIERS: ReadonlyMap<string, string> = new Map([
  ["auto", "auto"],
  ["priority", "auto"],
  ["default", "standard_only"],
  ["standard_only", "standard_only"],
]);
const MAX_USER_ID_LENGTH = 256;
/** The provider wants no one's address or number as an id, and refuses both. https://github.com/BerriAI/litellm/issues/10106 */
const EMAIL = /\S@\S+\.\S/;
/** With a plus or separators: plain numbers are ids of databases. */
const PHONE = /^(?=.*[+\s().-])\+?[\d\s().-]{7,20}$/;

/** Asks for the provider's own fallback to other Claude models after a refusal. */
const FALLBACK_BETA = "server-side-fallback-2026-07-01";

const FATES: ControlFates = {
  maxOutputTokens: "written",
  temperature: "written",
  topP: "written",
  topK: "written",
  minP: "harmless",
  stop: "written",
  seed: "harmless",
  n: "changes_meaning",
  presencePenalty: "unmet",
  frequencyPenalty: "unmet",
  repetitionPenalty: "unmet",
  logitBias: "unmet",
  logprobs: "unmet",
  topLogprobs: "unmet",
  toolChoice: "written",
  parallelToolCalls: "written",
  responseFormat: "written",
  reasoning: "written",
  verbosity: "harmless",
  serviceTier: "written",
  modalities: "changes_meaning",
  promptCacheKey: "harmless",
  promptCacheRetention: "harmless",
  user: "written",
  safetyIdentifier: "written",
  metadata: "written",
  store: "harmless",
  truncation: "harmless",
};

/** Members by place in the body, so that the same controls make the same bytes in whatever order they came. */
export interface WrittenControls {
  readonly sampling: Json;
  readonly account: Json;
  readonly output: Json;
  readonly others: Json;
  readonly betas: readonly string[];
}

export function writeControls(
  conversation: Conversation,
  traits: ClaudeTraits,
  reasoning: Reasoning,
  losses: Loss[],
): WrittenControls {
  const { controls, spelling, others } = conversation;
  losses.push(...controlLosses(conversation, FATES));
  // The provider's scale ends at 1: what lies beyond cannot be had, and 1 is not what was asked for.
  if ((controls.temperature ?? 0) > 1) losses.push(unmet(spelling.temperature ?? "temperature"));
  if (controls.responseFormat?.kind === "opaque") losses.push(unmet(spelling.responseFormat ?? "response_format"));
  const own = ownMembers(others, losses);
  return {
    sampling: { ...samplingMembers(conversation, traits, reasoning, losses), ...stopMembers(conversation, losses) },
    account: accountMembers(conversation, losses),
    ...own,
  };
}

/**
 * Models from Opus 4.7 on have fixed sampling and refuse these members; with thinking on, earlier ones allow only a
 * temperature of 1 and a `top_p` from 0.95. A value of 1 is what the provider does anyway.
 */
function samplingMembers(
  { controls, spelling }: Conversation,
  traits: ClaudeTraits,
  { thinking, isOn }: Reasoning,
  losses: Loss[],
): Json {
  const result: Record<string, unknown> = {};
  const lose = (name: "temperature" | "topP" | "topK"): void => {
    losses.push(harmless(spelling[name] ?? name));
  };
  const thinks = isOn && thinking !== null;
  const { temperature, topP, topK } = controls;
  if (temperature !== undefined) {
    const isFree = !traits.fixedSampling && !thinks;
    if (isFree) result["temperature"] = Math.min(temperature, 1);
    else if (temperature !== 1) lose("temperature");
    if (temperature === 1 && !traits.fixedSampling) result["temperature"] = 1;
  }
  if (topP !== undefined) {
    const isRefused = traits.fixedSampling || (thinks && topP < 0.95);
    if (isRefused || (traits.oneSampler && result["temperature"] !== undefined)) {
      if (topP !== 1) lose("topP");
    } else result["top_p"] = topP;
  }
  if (topK !== undefined) {
    if (traits.fixedSampling || thinks) lose("topK");
    else result["top_k"] = topK;
  }
  return result;
}

/** The provider refuses stops of white space only. */
function stopMembers({ controls, spelling }: Conversation, losses: Loss[]): Json {
  const stops = controls.stop ?? [];
  const kept = stops.filter((stop) => stop.trim() !== "");
  if (kept.length < stops.length) losses.push(harmless(spelling.stop ?? "stop"));
  return kept.length === 0 ? {} : { stop_sequences: kept };
}

function accountMembers({ controls, spelling }: Conversation, losses: Loss[]): Json {
  const { user, safetyIdentifier, metadata = {}, serviceTier } = controls;
  const candidates = [
    [spelling.user ?? "user", user],
    [spelling.safetyIdentifier ?? "safety_identifier", safetyIdentifier],
    [spelling.metadata ?? "metadata", metadata["user_id"]],
  ] as const;
  const named = candidates.filter(([, value]) => typeof value === "string" && value !== "");
  // The provider has room for one.
  const [, id] = named.find(([, value]) => isPlainId(value)) ?? [];
  for (const [path, value] of named) if (value !== id) losses.push(harmless(path));
  if (Object.keys(metadata).some((name) => name !== "user_id")) losses.push(harmless(spelling.metadata ?? "metadata"));
  const tier = serviceTier === undefined ? undefined : TIERS.get(serviceTier);
  if (serviceTier !== undefined && tier === undefined) losses.push(harmless(spelling.serviceTier ?? "service_tier"));
  return {
    ...(id === undefined ? {} : { metadata: { user_id: id } }),
    ...(tier === undefined ? {} : { service_tier: tier }),
  };
}

function isPlainId(id: unknown): boolean {
  return typeof id === "string" && id.length <= MAX_USER_ID_LENGTH && !EMAIL.test(id) && !PHONE.test(id);
}

/** The provider's own members, for chat clients that know their provider, and unknown ones. */
function ownMembers(
  members: readonly OpaqueMember[],
  losses: Loss[],
): Pick<WrittenControls, "output" | "others" | "betas"> {
  const others: Record<string, unknown> = {};
  const betas: string[] = [];
  let output: Json = {};
  for (const member of members) {
    const { wire, name, path, source } = member;
    const isTop = path === name;
    const built = wire === "anthropic-messages" ? source : builtMember(name, source);
    if (!isTop || built === null) {
      const loss = lossOf(member);
      if (loss !== null) losses.push(loss);
    } else if (name === "output_config") output = isJsonObject(built) ? built : {};
    else others[name] = built;
    if (isTop && built !== null && name === "fallbacks") betas.push(FALLBACK_BETA);
  }
  return { output, others, betas };
}

/** The value to send for one of the provider's own members; `null` for another one, or one that cannot be read. */
function builtMember(name: string, source: unknown): unknown {
  switch (name) {
    case "cache_control":
      return isJsonObject(source) ? texts(source, ["type", "ttl"]) : null;
    case "inference_geo":
      return typeof source === "string" ? source : null;
    case "container":
      return typeof source === "string" ? source : containerOf(source);
    case "output_config":
      return isJsonObject(source) && typeof source["effort"] === "string" ? { effort: source["effort"] } : null;
    case "fallbacks":
      if (source === "default") return source;
      return Array.isArray(source) && source.length > 0 && source.length <= 8 ? fallbacksOf(source) : null;
    default:
      return null;
  }
}

function containerOf(source: unknown): Json | null {
  if (!isJsonObject(source)) return null;
  const skills = Array.isArray(source["skills"]) ? source["skills"].filter(isJsonObject) : [];
  return {
    ...texts(source, ["id"]),
    ...(skills.length > 0 ? { skills: skills.map((skill) => texts(skill, ["type", "skill_id", "version"])) } : {}),
  };
}

/** By model and cap alone: what else an entry may change is the request's to say. */
function fallbacksOf(list: readonly unknown[]): Json[] | null {
  const entries = list.map((entry) => {
    if (!isJsonObject(entry) || typeof entry["model"] !== "string") return null;
    const { model, max_tokens: limit } = entry;
    return { model, ...(typeof limit === "number" ? { max_tokens: limit } : {}) };
  });
  return entries.every((entry) => entry !== null) ? entries : null;
}

function texts(source: Json, names: readonly string[]): Json {
  return Object.fromEntries(
    Object.entries(source).filter(([name, value]) => names.includes(name) && typeof value === "string"),
  );
}
