/**
 * How much Claude shall think: OpenAI's `reasoning_effort` (and the spellings other routers made common) as the vendor's
 * `output_config.effort` and `thinking`.
 *
 * Pure. Thinking gives way where it would make the vendor refuse the request: to a forced tool, and, on models with a
 * budget, to a tool loop that another vendor began, because that has no signed thinking to go on from.
 */
import { isJsonObject } from "../../lib/json.ts";
import { type ClaudeTraits, EFFORTS } from "./models.ts";

type Json = Readonly<Record<string, unknown>>;

export interface ReasoningSetting {
  readonly traits: ClaudeTraits;
  readonly maxTokens: number;
  /** A tool call is forced. */
  readonly isForced: boolean;
  /** The conversation stands in a tool loop whose assistant turn does not begin with thinking. */
  readonly isBareLoop: boolean;
}

export interface Reasoning {
  /** The `thinking` object to send. */
  readonly thinking: Json | null;
  readonly effort: string | null;
  /** The model will think, as asked or of itself. */
  readonly isOn: boolean;
  readonly dropped: readonly string[];
}

/** The vendor's least. https://platform.claude.com/docs/en/build-with-claude/extended-thinking */
const MIN_BUDGET = 1_024;
const BUDGETS: Readonly<Record<string, number>> = {
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 24_576,
  max: 31_000,
};

/** What the client asked for, whichever way it spelled it. */
interface Wish {
  /** The field the client used, for `droppedParams`. */
  readonly field: string;
  /** A `thinking` object in the vendor's own words. */
  readonly native: Json | null;
  readonly effort: string | null;
  readonly budget: number | null;
}

export function reasoningOf(fields: Json, setting: ReasoningSetting): Reasoning {
  const { traits } = setting;
  const wish = wishOf(fields);
  const dropped: string[] = [];
  const isOff = wish.effort === "none" || wish.native?.["type"] === "disabled";
  let effort = wish.effort === null || isOff ? null : nearestEffort(wish.effort, traits.efforts);
  let thinking = isOff ? offOf(traits, wish, dropped) : onOf(wish, setting, dropped);
  const mayNotThink = setting.isForced || (thinking?.["type"] === "enabled" && setting.isBareLoop);
  if (mayNotThink && thinking !== null && thinking["type"] !== "disabled") {
    thinking = null;
    // With the effort sent, the wish is still heard.
    if (effort === null || wish.native !== null) dropped.push(wish.field);
  }
  if (setting.isForced && traits.thinksByDefault && !traits.thinksAlways) thinking = { type: "disabled" };
  if (isOff && thinking === null && (traits.thinksAlways || traits.thinking === "unknown")) effort = "low";
  // Opus 5 and later: without thinking, no effort above `high`.
  if (thinking?.["type"] === "disabled" && (effort === "xhigh" || effort === "max")) effort = "high";
  const type = thinking?.["type"];
  const isOn = type === undefined ? traits.thinksByDefault || traits.thinksAlways : type !== "disabled";
  return { thinking, effort, isOn, dropped };
}

function wishOf(fields: Json): Wish {
  const native = isJsonObject(fields["thinking"]) ? fields["thinking"] : null;
  const other = isJsonObject(fields["reasoning"]) ? fields["reasoning"] : {};
  const own = fields["reasoning_effort"];
  const isOff = other["enabled"] === false && typeof own !== "string";
  const effort = isOff ? "none" : typeof own === "string" ? own : other["effort"];
  const budget = other["max_tokens"];
  return {
    field: native !== null ? "thinking" : typeof own === "string" ? "reasoning_effort" : "reasoning",
    native,
    effort: typeof effort === "string" ? effort : other["enabled"] === true && native === null ? "high" : null,
    budget: typeof budget === "number" ? budget : null,
  };
}

/** `minimal` is the least there is; a level the model lacks becomes the next lower one. */
function nearestEffort(wanted: string, efforts: readonly string[]): string | null {
  const rank = wanted === "minimal" ? 0 : EFFORTS.indexOf(wanted);
  // A word we do not know is the vendor's to judge.
  if (rank < 0) return efforts.length === 0 ? null : wanted;
  return efforts.findLast((each) => EFFORTS.indexOf(each) <= rank) ?? null;
}

/** The least a model allows where thinking shall be off. */
function offOf(traits: ClaudeTraits, wish: Wish, dropped: string[]): Json | null {
  if (traits.thinksAlways) {
    dropped.push(wish.field);
    return null;
  }
  if (traits.thinking === "unknown") {
    if (wish.native === null) dropped.push(wish.field);
    return wish.native;
  }
  return traits.thinksByDefault || (wish.native !== null && traits.thinking !== "none") ? { type: "disabled" } : null;
}

function onOf(wish: Wish, setting: ReasoningSetting, dropped: string[]): Json | null {
  const { traits } = setting;
  if (wish.native === null && wish.effort === null && wish.budget === null) return null;
  if (traits.thinking === "unknown") {
    return wish.native ?? (wish.budget === null ? null : { type: "enabled", budget_tokens: wish.budget });
  }
  if (traits.thinking === "none") {
    dropped.push(wish.field);
    return null;
  }
  const native = wish.native?.["budget_tokens"];
  const budget = typeof native === "number" ? native : wish.budget;
  const display = wish.native?.["display"];
  if (traits.thinking === "adaptive" && !(budget !== null && traits.takesBudget)) {
    if (wish.native !== null && wish.native["type"] !== "enabled") return wish.native;
    if (budget !== null) dropped.push(typeof native === "number" ? "thinking.budget_tokens" : "reasoning.max_tokens");
    // Newer models leave the text of thinking out unless it is asked for.
    return { type: "adaptive", display: typeof display === "string" ? display : "summarized" };
  }
  // A budget must be less than the limit, which the policy may have lowered.
  const fits = typeof native === "number" && native < setting.maxTokens;
  if (fits && wish.native?.["type"] === "enabled") return wish.native;
  // Half of the limit stays for the answer itself.
  const wanted = budget ?? BUDGETS[wish.effort ?? "high"] ?? MIN_BUDGET;
  const room = Math.max(MIN_BUDGET, Math.floor(setting.maxTokens / 2));
  if (setting.maxTokens <= MIN_BUDGET) {
    dropped.push(wish.field);
    return null;
  }
  return { type: "enabled", budget_tokens: Math.max(MIN_BUDGET, Math.min(wanted, room)) };
}
