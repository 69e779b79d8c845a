/**
 * How a Gemini model is told to think, and which models want their signatures back.
 *
 * Pure. Gemini 3 and later know levels, 2.5 knows a budget in tokens, and everything older or other knows neither and
 * refuses the member. An effort that a model lacks becomes the nearest one it has, never an error: the answer is the
 * same kind of answer.
 * https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/openai#thinking
 */
import { isJsonObject } from "../../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

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

/** What the client asked for, whichever of the common spellings it used. */
interface Wish {
  readonly effort?: string | undefined;
  readonly budget?: number | undefined;
  /** Thoughts shall not be in the answer. */
  readonly hidden?: boolean | undefined;
  /** Gemini's own object, as Google's OpenAI endpoint takes it. */
  readonly native?: Json | undefined;
}

/** Where the wish may stand: OpenAI's member, Anthropic's, OpenRouter's; and `google`, as Google's OpenAI endpoint has it. */
export const THINKING_FIELDS = ["reasoning_effort", "thinking", "reasoning"] as const;

/** `google.thinking_config`, also inside an `extra_body` that a client did not unfold. */
export function nativeThinking(fields: Json): Json | undefined {
  const extra = isJsonObject(fields["extra_body"]) ? fields["extra_body"]["google"] : fields["google"];
  const native = isJsonObject(extra) ? (extra["thinking_config"] ?? extra["thinkingConfig"]) : undefined;
  return isJsonObject(native) ? native : undefined;
}

function wishOf(fields: Json): Wish | null {
  const native = nativeThinking(fields);
  if (native !== undefined) return { native };
  const thinking = fields["thinking"];
  if (isJsonObject(thinking)) {
    if (thinking["type"] === "disabled") return { effort: "none" };
    if (typeof thinking["budget_tokens"] === "number") return { budget: thinking["budget_tokens"] };
    if (thinking["type"] === "enabled" || thinking["type"] === "adaptive") return { effort: effortOf(fields) };
  }
  const reasoning = fields["reasoning"];
  if (isJsonObject(reasoning) && Object.keys(reasoning).length > 0) {
    const hidden = reasoning["exclude"] === true;
    if (reasoning["enabled"] === false) return { effort: "none" };
    if (typeof reasoning["max_tokens"] === "number") return { budget: reasoning["max_tokens"], hidden };
    return { effort: typeof reasoning["effort"] === "string" ? reasoning["effort"] : effortOf(fields), hidden };
  }
  const effort = effortOf(fields);
  return effort === undefined ? null : { effort };
}

function effortOf(fields: Json): string | undefined {
  const effort = fields["reasoning_effort"];
  return typeof effort === "string" ? effort : undefined;
}

/** `thinkingConfig` for the request; `undefined` when nothing was asked; `null` when this model cannot be told. */
export function thinkingConfigOf(fields: Json, model: string): Json | null | undefined {
  const wish = wishOf(fields);
  if (wish === null) return undefined;
  const family = familyOf(model);
  if (family.thinks === "none") return wish.effort === "none" ? undefined : null;
  if (wish.native !== undefined) return nativeConfig(wish.native);
  const { effort, budget } = wish;
  const includeThoughts = effort === "none" || wish.hidden === true ? {} : { includeThoughts: true };
  // A budget is still taken by the models that know levels, but not beside a level.
  if (budget !== undefined) return { ...includeThoughts, thinkingBudget: Math.trunc(budget) };
  if (effort === undefined) return includeThoughts;
  return family.thinks === "level"
    ? { ...includeThoughts, thinkingLevel: levelOf(effort, family) }
    : { ...includeThoughts, thinkingBudget: budgetOf(effort, family) };
}

/** Google's OpenAI endpoint takes the members with underscores. */
function nativeConfig(native: Json): Json {
  const names: Readonly<Record<string, string>> = {
    include_thoughts: "includeThoughts",
    thinking_budget: "thinkingBudget",
    thinking_level: "thinkingLevel",
  };
  return Object.fromEntries(Object.entries(native).map(([name, value]) => [names[name] ?? name, value]));
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
