/**
 * Controls as members of the vendor's request, and what cannot be said.
 *
 * One case per control of the core: a control that is added there does not compile here until it has an answer.
 */
import type { Controls, Conversation, OpaqueMember } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { ClaudeTraits } from "./models.ts";
import type { Reasoning } from "./reasoning.ts";

/** OpenAI's words for the tiers. `flex` trades speed for money, which the vendor has no tier for. */
const TIERS: ReadonlyMap<string, string> = new Map([
  ["auto", "auto"],
  ["priority", "auto"],
  ["default", "standard_only"],
  ["standard_only", "standard_only"],
]);
const MAX_USER_ID_LENGTH = 256;
/** The vendor wants no one's address or number as an id, and refuses both. https://github.com/BerriAI/litellm/issues/10106 */
const EMAIL = /\S@\S+\.\S/;
/** With a plus or separators: plain numbers are ids of databases. */
const PHONE = /^(?=.*[+\s().-])\+?[\d\s().-]{7,20}$/;

/** Asks for the vendor's own fallback to other Claude models after a refusal. */
const FALLBACK_BETA = "server-side-fallback-2026-07-01";

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
  for (const name of Object.keys(controls) as (keyof Controls)[]) {
    const loss = lossOf(name, controls, spelling[name] ?? name);
    if (loss !== null) losses.push(loss);
  }
  const own = ownMembers(others, losses);
  return {
    sampling: { ...samplingMembers(conversation, traits, reasoning, losses), ...stopMembers(conversation, losses) },
    account: accountMembers(conversation, losses),
    ...own,
  };
}

/** `null` where the control is written, or asks for nothing. */
function lossOf(name: keyof Controls, controls: Controls, path: string): Loss | null {
  switch (name) {
    // Written here or elsewhere, where their losses are.
    case "maxOutputTokens":
    case "topP":
    case "topK":
    case "stop":
    case "toolChoice":
    case "parallelToolCalls":
    case "reasoning":
    case "serviceTier":
    case "user":
    case "safetyIdentifier":
    case "metadata":
      return null;
    case "temperature":
      // The vendor's scale ends at 1: what lies beyond cannot be had, and 1 is not what was asked for.
      return (controls.temperature ?? 0) > 1 ? unmet(path, "control", "The temperature is at most 1.") : null;
    case "n":
      return (controls.n ?? 1) > 1 ? changesMeaning(path, "choices", "This model gives one choice.") : null;
    case "presencePenalty":
    case "frequencyPenalty":
      return (controls[name] ?? 0) !== 0 ? unmet(path, "control", "This model has no penalties.") : null;
    case "repetitionPenalty":
      return (controls[name] ?? 1) !== 1 ? unmet(path, "control", "This model has no penalties.") : null;
    case "logitBias":
      return Object.keys(controls.logitBias ?? {}).length === 0
        ? null
        : unmet(path, "control", "This model takes no bias on tokens.");
    case "logprobs":
      return controls.logprobs === true ? unmet(path, "control", "This model tells no probabilities.") : null;
    case "topLogprobs":
      return (controls.topLogprobs ?? 0) > 0 ? unmet(path, "control", "This model tells no probabilities.") : null;
    case "modalities": {
      const other = controls.modalities?.find((each) => each !== "text");
      return other === undefined ? null : changesMeaning(path, "modality", "This model answers with text only.");
    }
    case "responseFormat":
      return controls.responseFormat?.kind === "opaque"
        ? unmet(path, "control", "This format of the answer is not known.")
        : null;
    case "truncation":
      return controls.truncation === undefined || controls.truncation === "disabled" ? null : harmless(path);
    case "store":
      return controls.store === true ? harmless(path) : null;
    case "minP":
    case "seed":
    case "verbosity":
    case "promptCacheKey":
    case "promptCacheRetention":
      return controls[name] === undefined ? null : harmless(path);
    default:
      return unreachable(name);
  }
}

/**
 * Models from Opus 4.7 on have fixed sampling and refuse these members; with thinking on, earlier ones allow only a
 * temperature of 1 and a `top_p` from 0.95. A value of 1 is what the vendor does anyway.
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

/** The vendor refuses stops of white space only. */
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
  const [path, id] = candidates.find(([, value]) => typeof value === "string" && value !== "") ?? [];
  const isTaken = typeof id === "string" && id.length <= MAX_USER_ID_LENGTH && !EMAIL.test(id) && !PHONE.test(id);
  if (path !== undefined && !isTaken) losses.push(harmless(path));
  if (Object.keys(metadata).some((name) => name !== "user_id")) losses.push(harmless(spelling.metadata ?? "metadata"));
  const tier = serviceTier === undefined ? undefined : TIERS.get(serviceTier);
  if (serviceTier !== undefined && tier === undefined) losses.push(harmless(spelling.serviceTier ?? "service_tier"));
  return {
    ...(isTaken ? { metadata: { user_id: id } } : {}),
    ...(tier === undefined ? {} : { service_tier: tier }),
  };
}

/** The vendor's own members, for chat clients that know whom they talk to; and what nobody here knows. */
function ownMembers(
  members: readonly OpaqueMember[],
  losses: Loss[],
): Pick<WrittenControls, "output" | "others" | "betas"> {
  const others: Record<string, unknown> = {};
  const betas: string[] = [];
  let output: Json = {};
  for (const { wire, name, path, source, asksForNothing } of members) {
    if (wire === "anthropic-messages") {
      if (name === "output_config") output = isJsonObject(source) ? source : {};
      else others[name] = source;
      continue;
    }
    const isTop = path === name;
    const built = isTop ? builtMember(name, source) : null;
    if (built === null) {
      // An empty object asks for a search, too.
      const asks = !asksForNothing || (name === "web_search_options" && isJsonObject(source));
      if (asks) losses.push(lossOfMember(name, path, isTop));
    } else if (name === "output_config") output = built as Json;
    else others[name] = built;
    if (built !== null && name === "fallbacks") betas.push(FALLBACK_BETA);
  }
  return { output, others, betas };
}

function lossOfMember(name: string, path: string, isTop: boolean): Loss {
  // Somebody else's way to ask for a search: another target may have it.
  if (isTop && name === "web_search_options") return unmet(path, "control", "There is no search of this kind.");
  return harmless(path, "member");
}

/** The value to send for one of the vendor's own members; `null` for another one, or one that cannot be read. */
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
