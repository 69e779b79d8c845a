/** How much the model shall think, as Cohere's `thinking`. https://docs.cohere.com/docs/reasoning */
import type { ReasoningControl } from "../../conversation/conversation.ts";
import { harmless, type Loss } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";

/** The generations from before `command-a-reasoning`, the first that thinks. */
const NEVER_THINKS = /^(?:command-(?:r|a-(?:03|vision|translate))|c4ai-)/;
/** Tokens of thought per effort. The higher efforts set none: Cohere thinks without a bound then. */
const EFFORT_TOKENS: Readonly<Record<string, number>> = { minimal: 512, low: 1_024, medium: 4_096 };
/** Thoughts count against the limit, and Cohere wants this much of it left for the answer. */
const ANSWER_TOKENS = 1_024;

export interface Thinking {
  /** The `thinking` object to send. */
  readonly member: Json | undefined;
  /** The model takes thoughts back. */
  readonly thinks: boolean;
  readonly losses: readonly Loss[];
}

export function thinkingOf(control: ReasoningControl | undefined, model: string, limit: number | undefined): Thinking {
  const member = control === undefined ? undefined : memberOf(control, limit);
  const isOn = member?.["type"] === "enabled";
  if (NEVER_THINKS.test(model)) {
    // Not to think changes nothing for a model that never does, and such a one may refuse the field.
    const losses = isOn && control !== undefined ? [harmless(control.path)] : [];
    return { member: undefined, thinks: false, losses };
  }
  return { member, thinks: isOn || model.includes("reasoning"), losses: [] };
}

/** `thinking` in Cohere's or Anthropic's form, OpenRouter's `reasoning`, or OpenAI's `reasoning_effort`. */
function memberOf(control: ReasoningControl, limit: number | undefined): Json | undefined {
  const { native, budget, effort, enabled } = control;
  if (native !== undefined && typeof native.source["type"] === "string") {
    if (native.source["type"] === "disabled") return { type: "disabled" };
    return switchedOn(native.source["token_budget"] ?? native.source["budget_tokens"], limit);
  }
  if (budget !== undefined) return switchedOn(budget, limit);
  if (effort === "none" || enabled === false) return { type: "disabled" };
  if (effort === undefined) return enabled === true ? { type: "enabled" } : undefined;
  return switchedOn(Object.hasOwn(EFFORT_TOKENS, effort) ? EFFORT_TOKENS[effort] : undefined, limit);
}

function switchedOn(budget: unknown, limit: number | undefined): Json {
  if (typeof budget !== "number") return { type: "enabled" };
  const room = limit === undefined ? budget : Math.max(1, limit - ANSWER_TOKENS, Math.floor(limit / 2));
  return { type: "enabled", token_budget: Math.min(budget, room) };
}
