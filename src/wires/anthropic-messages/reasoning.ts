/**
 * How much Claude shall think: an effort, a budget or a `thinking` object as the provider's `output_config.effort` and
 * `thinking`.
 *
 * Pure. A budget gives way where it would make the provider refuse the request: to a forced tool, and to a tool loop that
 * another provider began, because that has no signed thinking to go on from. Adaptive thinking gives way to neither.
 * https://platform.claude.com/docs/en/build-with-claude/thinking#thinking-with-tool-use
 */
import type { ReasoningControl } from "../../conversation/conversation.ts";
import { harmless, type Loss } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type ClaudeTraits, EFFORTS } from "./models.ts";

export interface ReasoningSetting {
  readonly traits: ClaudeTraits;
  readonly maxTokens: number;
  /** A tool call is forced. */
  readonly isForced: boolean;
  /** The conversation is in a tool loop whose assistant turn does not begin with thinking. */
  readonly isBareLoop: boolean;
}

export interface Reasoning {
  /** The `thinking` object to send. */
  readonly thinking: Json | null;
  readonly effort: string | null;
  /** The model will think, as asked or of itself. */
  readonly isOn: boolean;
  readonly losses: readonly Loss[];
}

/** The provider's least. https://platform.claude.com/docs/en/build-with-claude/extended-thinking */
const MIN_BUDGET = 1_024;
const BUDGETS: Readonly<Record<string, number>> = {
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 24_576,
  max: 31_000,
};
/**
 * What happens to thinking whose conversation changed before it: the default refuses the request, and clients change
 * more than they know (a date in the system prompt, a tool more).
 * https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
 */
const DROP_UNBOUND: Json = { prefix_mismatch_behavior: "drop_block" };
/** Makes the provider take `thinking.block_binding`. */
export const BINDING_BETA = "thinking-binding-controls-2026-08-01";

/** What the client asked for, whichever way it spelled it. */
interface Wish {
  /** The field the client used, for losses. */
  readonly path: string;
  /** A `thinking` object in the provider's own format, made of the members that are known. */
  readonly native: Json | null;
  readonly effort: string | null;
  readonly budget: number | null;
  readonly display: string | null;
}

export function reasoningOf(control: ReasoningControl | undefined, setting: ReasoningSetting): Reasoning {
  const { traits } = setting;
  const losses: Loss[] = [];
  const wish = wishOf(control, losses);
  const isOff = wish.effort === "none" || wish.native?.["type"] === "disabled";
  let effort = wish.effort === null || isOff ? null : nearestEffort(wish, traits.efforts, losses);
  let thinking = isOff ? offOf(traits, wish, losses) : onOf(wish, setting, losses);
  if (thinking?.["type"] === "enabled" && (setting.isForced || setting.isBareLoop)) {
    thinking = null;
    // With the effort sent, the option still has an effect.
    if (effort === null || wish.native !== null) losses.push(harmless(wish.path));
  }
  if (isOff && thinking === null && (traits.thinksAlways || traits.thinking === "unknown")) effort = "low";
  // Opus 5 and later: without thinking, no effort above `high`.
  if (thinking?.["type"] === "disabled" && (effort === "xhigh" || effort === "max")) effort = "high";
  thinking = bindingOf(traits, wish, thinking);
  const type = thinking?.["type"];
  const isOn = type === undefined ? traits.thinksByDefault || traits.thinksAlways : type !== "disabled";
  return { thinking, effort, isOn, losses };
}

/** The same setting in every request of a conversation: a change of it would cost the provider's cache. */
function bindingOf(traits: ClaudeTraits, { native }: Wish, thinking: Json | null): Json | null {
  const own = native?.["block_binding"];
  if (thinking?.["type"] === "disabled" || (own === undefined && !traits.bindsThinking)) return thinking;
  if (thinking === null && !traits.thinksByDefault) return thinking;
  return { ...(thinking ?? { type: "adaptive" }), block_binding: own ?? DROP_UNBOUND };
}

function wishOf(control: ReasoningControl | undefined, losses: Loss[]): Wish {
  const path = control?.path ?? "reasoning";
  const native = control?.native?.wire === "anthropic-messages" ? builtThinking(control.native.source, losses) : null;
  if (control?.native !== undefined && native === null) losses.push(harmless(path));
  const effort = control?.enabled === false && control.effort === undefined ? "none" : control?.effort;
  const display = control?.display;
  return {
    path,
    native,
    effort: effort ?? (control?.enabled === true && native === null ? "high" : null),
    budget: control?.budget ?? null,
    display: typeof native?.["display"] === "string" ? native["display"] : display === undefined ? null : "summarized",
  };
}

const THINKING_MEMBERS: ReadonlySet<string> = new Set(["type", "budget_tokens", "display", "block_binding"]);

/** The client's `thinking` from its known members; `null` for one without a type. */
function builtThinking(source: Json, losses: Loss[]): Json | null {
  const { type, budget_tokens: budget, display, block_binding: binding } = source;
  if (typeof type !== "string") return null;
  for (const name of Object.keys(source)) if (!THINKING_MEMBERS.has(name)) losses.push(harmless(`thinking.${name}`));
  const behavior = isJsonObject(binding) ? binding["prefix_mismatch_behavior"] : undefined;
  return {
    type,
    ...(typeof budget === "number" ? { budget_tokens: budget } : {}),
    ...(typeof display === "string" ? { display } : {}),
    ...(typeof behavior === "string" ? { block_binding: { prefix_mismatch_behavior: behavior } } : {}),
  };
}

/** `minimal` is the least there is; a level the model lacks becomes the next lower one, an unknown word none. */
function nearestEffort({ effort, path }: Wish, efforts: readonly string[], losses: Loss[]): string | null {
  const rank = effort === "minimal" ? 0 : EFFORTS.indexOf(effort ?? "");
  if (rank < 0) {
    losses.push(harmless(path));
    return null;
  }
  return efforts.findLast((each) => EFFORTS.indexOf(each) <= rank) ?? null;
}

/** The least a model allows where thinking shall be off. */
function offOf(traits: ClaudeTraits, wish: Wish, losses: Loss[]): Json | null {
  if (traits.thinksAlways) {
    losses.push(harmless(wish.path));
    return null;
  }
  if (traits.thinking === "unknown") {
    if (wish.native === null) losses.push(harmless(wish.path));
    return wish.native;
  }
  return traits.thinksByDefault || (wish.native !== null && traits.thinking !== "none") ? { type: "disabled" } : null;
}

function onOf(wish: Wish, setting: ReasoningSetting, losses: Loss[]): Json | null {
  const { traits } = setting;
  if (wish.native === null && wish.effort === null && wish.budget === null) return null;
  if (traits.thinking === "unknown") {
    return wish.native ?? (wish.budget === null ? null : { type: "enabled", budget_tokens: wish.budget });
  }
  if (traits.thinking === "none") {
    losses.push(harmless(wish.path));
    return null;
  }
  const native = wish.native?.["budget_tokens"];
  const budget = typeof native === "number" ? native : wish.budget;
  if (traits.thinking === "adaptive" && !(budget !== null && traits.takesBudget)) {
    if (wish.native !== null && wish.native["type"] !== "enabled") return wish.native;
    if (budget !== null)
      losses.push(harmless(`${wish.path}.${typeof native === "number" ? "budget_tokens" : "max_tokens"}`));
    // Newer models leave the text of thinking out unless it is asked for.
    return { type: "adaptive", display: wish.display ?? "summarized" };
  }
  // A budget must be less than the limit, which the policy may have lowered.
  const fits = typeof native === "number" && native < setting.maxTokens;
  if (fits && wish.native?.["type"] === "enabled") return wish.native;
  // Half of the limit stays for the answer itself.
  const wanted = budget ?? BUDGETS[wish.effort ?? "high"] ?? MIN_BUDGET;
  const room = Math.max(MIN_BUDGET, Math.floor(setting.maxTokens / 2));
  if (setting.maxTokens <= MIN_BUDGET) {
    losses.push(harmless(wish.path));
    return null;
  }
  return { type: "enabled", budget_tokens: Math.max(MIN_BUDGET, Math.min(wanted, room)) };
}
