/**
 * Reasoning asked for in OpenAI's, OpenRouter's or Anthropic's words, in those of the model behind Converse.
 *
 * All of it goes into `additionalModelRequestFields`, which differ by family. An effort is a wish: where a model cannot
 * have it, it is dropped and named.
 */
import { isJsonObject } from "../../lib/json.ts";
import type { ModelTraits } from "./models.ts";

type Json = Readonly<Record<string, unknown>>;

/** What the fields ask for. A budget is in tokens. */
interface Wish {
  /** The member that asks, as the client is told when it is dropped. */
  readonly name: string;
  readonly effort: string | undefined;
  readonly budget: number | undefined;
  readonly isAdaptive: boolean;
  /** Anthropic's: `summarized` or `omitted`. */
  readonly display?: unknown;
}

export interface ReasoningPlan {
  readonly additional: Json;
  /** Only where `additional` may not carry the effort, because `outputConfig` is in use for the answer's shape. */
  readonly outputEffort: string | undefined;
  readonly dropped: readonly string[];
  readonly isThinking: boolean;
}

const OFF: ReasoningPlan = { additional: {}, outputEffort: undefined, dropped: [], isThinking: false };

/** Anthropic's smallest budget. https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html */
const MIN_BUDGET_TOKENS = 1024;
const BUDGET_TOKENS: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 32_000,
  max: 32_000,
};

export interface ReasoningLimits {
  readonly maxTokens: number | undefined;
  readonly isForcedTool: boolean;
  readonly hasOutputConfig: boolean;
  readonly hasSampling: boolean;
  /** The tool loop under way has no signed reasoning to go on from: Claude refuses to begin inside it. */
  readonly isBareLoop: boolean;
}

export function planReasoning(fields: Json, traits: ModelTraits, limits: ReasoningLimits): ReasoningPlan {
  const wish = wishOf(fields);
  if (wish === null) return OFF;
  const refused: ReasoningPlan = { ...OFF, dropped: [wish.name] };
  switch (traits.reasoning) {
    case "none":
      return refused;
    case "effort": {
      const effort = wish.effort ?? effortOf(wish.budget);
      return { ...OFF, additional: { reasoning_effort: effort }, isThinking: true };
    }
    case "nova":
      return forNova(wish, limits);
    default:
      // Claude refuses to think where it is made to call a tool.
      return limits.isForcedTool ? refused : forClaude(wish, traits, limits, refused);
  }
}

export const asksForReasoning = (fields: Json): boolean => wishOf(fields) !== null;

/** `null`: nothing was asked for, or no reasoning, which is the default of every model here. */
function wishOf(fields: Json): Wish | null {
  const { thinking, reasoning } = fields;
  if (isJsonObject(thinking)) {
    const budget = typeof thinking["budget_tokens"] === "number" ? thinking["budget_tokens"] : undefined;
    const isAdaptive = thinking["type"] === "adaptive";
    if (thinking["type"] !== "enabled" && !isAdaptive) return null;
    return {
      name: "thinking",
      effort: effortText(fields["reasoning_effort"]),
      budget,
      isAdaptive,
      display: thinking["display"],
    };
  }
  const name = isJsonObject(reasoning) ? "reasoning" : "reasoning_effort";
  const asked = isJsonObject(reasoning) ? reasoning : { effort: fields["reasoning_effort"] };
  if (asked["enabled"] === false) return null;
  const effort = effortText(asked["effort"]) ?? (asked["enabled"] === true ? "medium" : undefined);
  const budget = typeof asked["max_tokens"] === "number" ? asked["max_tokens"] : undefined;
  if (effort === "none" || (effort === undefined && budget === undefined)) return null;
  return { name, effort, budget, isAdaptive: false };
}

const effortText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

const effortOf = (budget: number | undefined): string =>
  budget === undefined ? "medium" : budget <= 2048 ? "low" : budget <= 8192 ? "medium" : "high";

function forClaude(wish: Wish, traits: ModelTraits, limits: ReasoningLimits, refused: ReasoningPlan): ReasoningPlan {
  const byBudget = wish.budget !== undefined && !wish.isAdaptive;
  if (traits.reasoning === "budget" || (traits.reasoning === "any" && byBudget)) {
    const wanted = wish.budget ?? BUDGET_TOKENS[wish.effort ?? "medium"] ?? BUDGET_TOKENS["medium"] ?? 0;
    const most = limits.maxTokens === undefined ? wanted : Math.min(wanted, budgetWithin(limits.maxTokens, wish));
    if (most < MIN_BUDGET_TOKENS || limits.isBareLoop) return refused;
    return { ...OFF, additional: { thinking: { type: "enabled", budget_tokens: most } }, isThinking: true };
  }
  const effort = wish.effort ?? (wish.budget === undefined ? undefined : effortOf(wish.budget));
  const known = effort === undefined ? undefined : knownEffort(effort, traits);
  const beside = limits.hasOutputConfig;
  return {
    additional: {
      thinking: { type: "adaptive", ...displayOf(wish, traits) },
      ...(known === undefined || beside ? {} : { output_config: { effort: known } }),
    },
    outputEffort: beside ? known : undefined,
    dropped: byBudget ? [`${wish.name}.${wish.name === "thinking" ? "budget_tokens" : "max_tokens"}`] : [],
    isThinking: true,
  };
}

/**
 * The budget is part of the answer's limit. A number of the client's own may take all but one token of it; a budget that
 * only stands for an effort leaves half of it for the answer.
 */
function budgetWithin(maxTokens: number, { budget }: Wish): number {
  const half = Math.max(MIN_BUDGET_TOKENS, Math.floor(maxTokens / 2));
  return budget === undefined ? Math.min(half, maxTokens - 1) : maxTokens - 1;
}

/** From Opus 4.7 on the text of reasoning is withheld unless asked for; before, the member is unknown. */
function displayOf({ display }: Wish, { reasoning }: ModelTraits): Json {
  if (typeof display === "string") return { display };
  return reasoning === "adaptive" ? { display: "summarized" } : {};
}

function knownEffort(effort: string, { highestEffort }: ModelTraits): string {
  if (effort === "minimal") return "low";
  if (effort === "max") return highestEffort === "high" ? "high" : "max";
  return effort === "xhigh" ? highestEffort : effort;
}

/** https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html: `high` allows no limit and no sampling. */
function forNova(wish: Wish, { maxTokens, hasSampling }: ReasoningLimits): ReasoningPlan {
  const effort = wish.effort ?? effortOf(wish.budget);
  const wanted = effort === "minimal" ? "low" : effort === "xhigh" || effort === "max" ? "high" : effort;
  const isTooHigh = wanted === "high" && (maxTokens !== undefined || hasSampling);
  const maxReasoningEffort = isTooHigh ? "medium" : wanted;
  return {
    ...OFF,
    additional: { reasoningConfig: { type: "enabled", maxReasoningEffort } },
    dropped: isTooHigh ? [wish.name] : [],
    isThinking: true,
  };
}
