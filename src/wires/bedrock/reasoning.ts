/**
 * Reasoning as the model behind Converse is asked for it.
 *
 * All of it goes into `additionalModelRequestFields`, which differ by family. An effort is an option: where a model
 * cannot have it, it is dropped and named.
 */
import type { ReasoningControl } from "../../conversation/conversation.ts";
import { harmless, type Loss } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { ModelTraits } from "./models.ts";

/** What the client asks for. A budget is in tokens. */
interface Wish {
  readonly path: string;
  readonly effort: string | undefined;
  readonly budget: number | undefined;
  readonly isAdaptive: boolean;
  /** Anthropic's: `summarized` or `omitted`. */
  readonly display?: string | undefined;
}

export interface ReasoningPlan {
  readonly additional: Json;
  /** Only where `additional` may not carry the effort, because `outputConfig` is in use for the answer's shape. */
  readonly outputEffort: string | undefined;
  readonly losses: readonly Loss[];
  readonly isThinking: boolean;
}

const NOTHING: ReasoningPlan = { additional: {}, outputEffort: undefined, losses: [], isThinking: false };

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

export function planReasoning(
  control: ReasoningControl | undefined,
  traits: ModelTraits,
  limits: ReasoningLimits,
): ReasoningPlan {
  const wish = control === undefined ? null : wishOf(control);
  if (wish === null) {
    return control !== undefined && isOff(control) ? switchedOff(control, traits, limits) : NOTHING;
  }
  const refused: ReasoningPlan = { ...NOTHING, losses: [harmless(wish.path)] };
  switch (traits.reasoning) {
    case "none":
      return refused;
    case "effort": {
      const effort = nearest(wish.effort ?? effortOf(wish.budget), "high");
      return { ...NOTHING, additional: { reasoning_effort: effort }, isThinking: true };
    }
    case "nova":
      return forNova(wish, limits);
    default:
      return forClaude(wish, traits, limits, refused);
  }
}

export const asksForReasoning = (control: ReasoningControl | undefined): boolean =>
  control !== undefined && wishOf(control) !== null;

/** `null`: nothing was asked for, or no reasoning. */
function wishOf({ path, native, effort, budget, enabled, display }: ReasoningControl): Wish | null {
  if (native !== undefined) {
    const { type, budget_tokens: tokens, display: shown } = native.source;
    const isAdaptive = type === "adaptive";
    if (type !== "enabled" && !isAdaptive) return null;
    return {
      path,
      effort,
      budget: typeof tokens === "number" ? tokens : undefined,
      isAdaptive,
      ...(typeof shown === "string" ? { display: shown } : {}),
    };
  }
  if (enabled === false || effort === "none") return null;
  const wanted = effort ?? (enabled === true ? "medium" : undefined);
  if (wanted === undefined && budget === undefined) return null;
  const shown = display === "summarized" || display === "omitted" ? { display } : {};
  return { path, effort: wanted, budget, isAdaptive: false, ...shown };
}

function isOff({ native, effort, enabled }: ReasoningControl): boolean {
  return native === undefined ? effort === "none" || enabled === false : native.source["type"] === "disabled";
}

/** Most models think on request only. Some others cannot be switched off: they get the lowest setting. */
function switchedOff({ path }: ReasoningControl, traits: ModelTraits, limits: ReasoningLimits): ReasoningPlan {
  if (!traits.thinksByDefault) return NOTHING;
  if (!traits.thinksAlways) return { ...NOTHING, additional: { thinking: { type: "disabled" } } };
  return { ...NOTHING, ...withEffort({}, "low", limits), losses: [harmless(path)], isThinking: true };
}

const effortOf = (budget: number | undefined): string =>
  budget === undefined ? "medium" : budget <= 2048 ? "low" : budget <= 8192 ? "medium" : "high";

/** `minimal` is the least there is, what is above `highest` becomes that. An unknown word passes. */
function nearest(effort: string, highest: ModelTraits["highestEffort"]): string {
  if (effort === "minimal") return "low";
  if (effort === "max") return highest === "high" ? "high" : "max";
  return effort === "xhigh" ? highest : effort;
}

function forClaude(wish: Wish, traits: ModelTraits, limits: ReasoningLimits, refused: ReasoningPlan): ReasoningPlan {
  const byBudget = wish.budget !== undefined && !wish.isAdaptive;
  if (traits.reasoning === "budget" || (traits.reasoning === "any" && byBudget)) {
    const wanted = wish.budget ?? BUDGET_TOKENS[wish.effort ?? "medium"] ?? BUDGET_TOKENS["medium"] ?? 0;
    const most = limits.maxTokens === undefined ? wanted : Math.min(wanted, budgetWithin(limits.maxTokens, wish));
    // With a budget Claude refuses to think where it is made to call a tool.
    if (most < MIN_BUDGET_TOKENS || limits.isBareLoop || limits.isForcedTool) return refused;
    return { ...NOTHING, additional: { thinking: { type: "enabled", budget_tokens: most } }, isThinking: true };
  }
  const effort = wish.effort ?? (wish.budget === undefined ? undefined : effortOf(wish.budget));
  const known = effort === undefined ? undefined : nearest(effort, traits.highestEffort);
  const native = wish.path === "thinking" ? "budget_tokens" : "max_tokens";
  return {
    ...withEffort({ thinking: { type: "adaptive", ...displayOf(wish, traits) } }, known, limits),
    losses: byBudget ? [harmless(`${wish.path}.${native}`)] : [],
    isThinking: true,
  };
}

/** With a schema the effort goes into the same object as the schema. */
function withEffort(
  additional: Json,
  effort: string | undefined,
  { hasOutputConfig }: ReasoningLimits,
): Pick<ReasoningPlan, "additional" | "outputEffort"> {
  if (effort === undefined || hasOutputConfig) return { additional, outputEffort: effort };
  return { additional: { ...additional, output_config: { effort } }, outputEffort: undefined };
}

/**
 * The budget is part of the answer's limit. A number of the client's own may take all but one token of it; a budget that
 * only expresses an effort leaves half of it for the answer.
 */
function budgetWithin(maxTokens: number, { budget }: Wish): number {
  const half = Math.max(MIN_BUDGET_TOKENS, Math.floor(maxTokens / 2));
  return budget === undefined ? Math.min(half, maxTokens - 1) : maxTokens - 1;
}

/** From Opus 4.7 on the text of reasoning is withheld unless asked for; before, the member is unknown. */
function displayOf({ display }: Wish, { reasoning }: ModelTraits): Json {
  if (display !== undefined) return { display };
  return reasoning === "adaptive" ? { display: "summarized" } : {};
}

/** https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html: `high` allows no limit and no sampling. */
function forNova(wish: Wish, { maxTokens, hasSampling }: ReasoningLimits): ReasoningPlan {
  const wanted = nearest(wish.effort ?? effortOf(wish.budget), "high");
  const isTooHigh = wanted === "high" && (maxTokens !== undefined || hasSampling);
  return {
    ...NOTHING,
    additional: { reasoningConfig: { type: "enabled", maxReasoningEffort: isTooHigh ? "medium" : wanted } },
    losses: isTooHigh ? [harmless(wish.path)] : [],
    isThinking: true,
  };
}

const BINDING_BETA = "thinking-binding-controls-2026-08-01";

/**
 * Signed thoughts go back to a model that checks what stood before them. A tool list or an instruction that changed since
 * would make it refuse the whole request; the thoughts alone are given up instead.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-thinking-block-binding.html
 */
export function bindingFields(additional: Json, control: ReasoningControl | undefined): Json {
  const thinking = isJsonObject(additional["thinking"]) ? additional["thinking"] : { type: "adaptive" };
  if (thinking["type"] !== "adaptive") return {};
  const own = control?.native?.source["block_binding"];
  const asked = isJsonObject(own) ? own["prefix_mismatch_behavior"] : undefined;
  const block_binding = { prefix_mismatch_behavior: asked === "error" ? "error" : "drop_block" };
  return { thinking: { ...thinking, block_binding }, anthropic_beta: [BINDING_BETA] };
}
