/**
 * How thinking is configured for a Gemini model, and which models want their signatures back.
 *
 * Pure. Gemini 3 and later know levels, 2.5 knows a budget in tokens, and everything older or other knows neither and
 * refuses the member. An effort that a model lacks becomes the nearest one it has, never an error: the answer is the
 * same kind of answer.
 * https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/openai#thinking
 */
import type { ReasoningControl } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";

interface Family {
  readonly thinks: "level" | "budget" | "none";
  /** Major and minor version as one number: 3.1 is 301. The moving aliases are the newest there is. */
  readonly version: number;
  readonly isPro: boolean;
  readonly isLite: boolean;
}

const NEWEST = Number.MAX_SAFE_INTEGER;

function familyOf(model: string): Family {
  const name = model.slice(model.lastIndexOf("/") + 1).toLowerCase();
  const isPro = /-pro(?:-|$)/.test(name);
  const isLite = name.includes("-flash-lite");
  const numbers = /^gemini-(\d{1,3})(?:\.(\d{1,2}))?(?:-|$)/.exec(name);
  if (numbers === null) {
    const isAlias = /^gemini-.*-latest$/.test(name);
    return { thinks: isAlias ? "level" : "none", version: isAlias ? NEWEST : 0, isPro, isLite };
  }
  const version = Number(numbers[1]) * 100 + Number(numbers[2] ?? 0);
  return { thinks: version >= 300 ? "level" : version >= 205 ? "budget" : "none", version, isPro, isLite };
}

/** Gemini 3 and later refuse a past function call that comes without its signature, and read images in tool results. */
export function isGemini3(model: string): boolean {
  return familyOf(model).thinks === "level";
}

/** Newer models refuse a conversation that ends with the model's own words; older ones go on from there. */
export function takesPrefill(model: string): boolean {
  const { version, isLite } = familyOf(model);
  return version <= 301 || (version === 305 && !isLite);
}

/** What was asked for, whichever of the common spellings the client used. */
interface ThinkingRequest {
  readonly effort?: string | undefined;
  readonly budget?: number | undefined;
  /** Thoughts shall not be in the answer. */
  readonly hidden: boolean;
}

export interface ThinkingConfig {
  readonly config?: Json;
  /** Not configurable for this model, or not to this value. */
  readonly isLost: boolean;
}

const EFFORTS: ReadonlySet<string> = new Set(["none", "minimal", "low", "medium", "high", "xhigh", "max"]);

/** `native`: Google's own object, as its OpenAI endpoint takes it. It is read member by member. */
export function thinkingConfigOf(
  reasoning: ReasoningControl | undefined,
  native: Json | undefined,
  model: string,
): ThinkingConfig {
  const family = familyOf(model);
  if (native !== undefined) {
    const config = nativeConfig(native);
    if (family.thinks === "none") return { isLost: true };
    return { config, isLost: Object.keys(config).length < Object.keys(native).length };
  }
  if (reasoning === undefined) return { isLost: false };
  const { effort, budget, hidden } = requestOf(reasoning);
  if (family.thinks === "none") return { isLost: effort !== "none" };
  const includeThoughts = effort === "none" || hidden ? {} : { includeThoughts: true };
  // A budget is still taken by the models that know levels, but not together with a level.
  if (budget !== undefined) {
    return { config: { ...includeThoughts, thinkingBudget: nearestBudget(Math.trunc(budget), family) }, isLost: false };
  }
  if (effort === undefined || !EFFORTS.has(effort)) return { config: includeThoughts, isLost: effort !== undefined };
  const depth =
    family.thinks === "level"
      ? { thinkingLevel: levelOf(effort, family) }
      : { thinkingBudget: budgetOf(effort, family) };
  return { config: { ...includeThoughts, ...depth }, isLost: false };
}

function requestOf({ effort, budget, enabled, display, native }: ReasoningControl): ThinkingRequest {
  const hidden = display === "omitted";
  if (native?.wire === "anthropic-messages") {
    const { type, budget_tokens: tokens, display: shown } = native.source;
    if (type === "disabled") return { effort: "none", hidden };
    if (typeof tokens === "number") return { budget: tokens, hidden: hidden || shown === "omitted" };
    return { effort, hidden: hidden || shown === "omitted" };
  }
  if (enabled === false) return { effort: "none", hidden };
  return budget === undefined ? { effort, hidden } : { budget, hidden };
}

/** Google's OpenAI endpoint takes the members with underscores. */
const NATIVE_MEMBERS = [
  ["includeThoughts", "include_thoughts", "boolean"],
  ["thinkingBudget", "thinking_budget", "number"],
  ["thinkingLevel", "thinking_level", "string"],
] as const;

function nativeConfig(native: Json): Json {
  const config: Record<string, unknown> = {};
  for (const [name, other, type] of NATIVE_MEMBERS) {
    const value = native[name] ?? native[other];
    if (typeof value === type) config[name] = value;
  }
  return config;
}

/** 2.5 refuses budgets beyond its own: 128 to 32,768 for Pro, up to 24,576 for Flash, 512 or none for Flash-Lite. */
function nearestBudget(budget: number, { thinks, isPro, isLite }: Family): number {
  // -1 leaves it to the model.
  if (thinks !== "budget" || budget === -1) return budget;
  const least = isPro ? 128 : isLite && budget > 0 ? 512 : 0;
  return Math.min(Math.max(budget, least), isPro ? 32_768 : 24_576);
}

function levelOf(effort: string, { version, isPro, isLite }: Family): string {
  switch (effort) {
    case "none":
    case "minimal":
      // No model of this line can be kept from thinking, and only these know the lowest level.
      return isLite || (!isPro && version <= 306) ? "minimal" : "low";
    case "low":
      return "low";
    case "medium":
      // The first Gemini 3 Pro knows two levels.
      return isPro && version === 300 ? "high" : "medium";
    default:
      return "high";
  }
}

/** The budgets that Google's OpenAI endpoint gives to the efforts. 2.5 Pro cannot be kept from thinking: 128 is its least. */
function budgetOf(effort: string, { isPro }: Family): number {
  switch (effort) {
    case "none":
      return isPro ? 128 : 0;
    case "minimal":
    case "low":
      return 1_024;
    case "medium":
      return 8_192;
    default:
      return 24_576;
  }
}
