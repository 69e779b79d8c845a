/** Controls of a conversation as members of a Responses request; what the API has no member for is a loss. */
import type { Controls, Conversation, ReasoningControl } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import type { ToolNames } from "../tool-names.ts";
import type { RequestTarget } from "../wire.ts";
import { WIRE } from "./items.ts";
import { writeFormat, writeToolChoice, writeTools } from "./write-tools.ts";

type Name = keyof Controls;

export function writeControls(
  conversation: Conversation,
  target: RequestTarget,
  names: ToolNames,
  losses: Loss[],
): Json {
  const { controls } = conversation;
  const body: Record<string, unknown> = {};
  const text: Record<string, unknown> = {};
  for (const name of Object.keys(controls) as Name[]) {
    if (controls[name] !== undefined) writeControl(name, conversation, target, { body, text, names }, losses);
  }
  const cap = smaller(controls.maxOutputTokens, target.maxOutputTokens);
  if (cap !== undefined) body["max_output_tokens"] = cap;
  if (Object.keys(text).length > 0) body["text"] = text;
  const tools = writeTools(conversation.tools, controls.toolChoice, names, losses);
  if (tools.length > 0) body["tools"] = tools;
  else {
    // Without tools both are refused.
    delete body["tool_choice"];
    delete body["parallel_tool_calls"];
  }
  return body;
}

interface Parts {
  readonly names: ToolNames;
  readonly body: Record<string, unknown>;
  readonly text: Record<string, unknown>;
}

/** `controls[name]` is there. */
function writeControl(name: Name, conversation: Conversation, target: RequestTarget, to: Parts, losses: Loss[]): void {
  const { controls, tools, spelling } = conversation;
  const { body, text } = to;
  const path = spelling[name] ?? name;
  const drop = (): void => {
    losses.push(harmless(path));
  };
  const miss = (why: string): void => {
    losses.push(unmet(path, "control", why));
  };
  switch (name) {
    case "maxOutputTokens":
      return;
    case "temperature":
    case "topP": {
      const value = controls[name];
      if (!isSamplingFixed(controls, target)) body[name === "topP" ? "top_p" : "temperature"] = value;
      else if (value !== 1) drop();
      return;
    }
    case "topK":
    case "minP":
    case "repetitionPenalty":
    case "seed":
      drop();
      return;
    case "presencePenalty":
    case "frequencyPenalty":
      if (controls[name] !== 0) miss("This target has no penalties.");
      return;
    case "stop":
      miss("This target cannot stop at a text.");
      return;
    case "n":
      if (controls.n !== 1) losses.push(changesMeaning(path, "choices", "This target gives one choice per request."));
      return;
    case "logitBias":
      if (Object.keys(controls.logitBias ?? {}).length > 0) miss("This target takes no bias on tokens.");
      return;
    case "logprobs":
    case "topLogprobs": {
      const isAsked = controls.logprobs === true || (controls.topLogprobs ?? 0) > 0;
      if (!isAsked) return;
      if (isSamplingFixed(controls, target)) miss("This model gives no log probabilities.");
      else if (name === "logprobs") body["include"] = ["message.output_text.logprobs"];
      else body["top_logprobs"] = controls.topLogprobs;
      return;
    }
    case "toolChoice":
      if (controls.toolChoice !== undefined) {
        body["tool_choice"] = writeToolChoice(controls.toolChoice, tools, to.names, losses, path);
      }
      return;
    case "parallelToolCalls":
      body["parallel_tool_calls"] = controls.parallelToolCalls;
      return;
    case "responseFormat":
      if (controls.responseFormat !== undefined) text["format"] = writeFormat(controls.responseFormat, losses, path);
      return;
    case "reasoning":
      if (controls.reasoning !== undefined) writeReasoning(controls.reasoning, target, body, losses);
      return;
    case "verbosity":
      text["verbosity"] = controls.verbosity;
      return;
    case "serviceTier":
      // Anthropic's word; the default of this API is the same.
      if (controls.serviceTier === "standard_only") drop();
      else body["service_tier"] = controls.serviceTier;
      return;
    case "modalities":
      if (controls.modalities?.some((each) => each !== "text") === true) {
        losses.push(changesMeaning(path, "modality", "This target answers in text only."));
      }
      return;
    case "promptCacheKey":
      body["prompt_cache_key"] = controls.promptCacheKey;
      return;
    case "promptCacheRetention":
      body["prompt_cache_retention"] = controls.promptCacheRetention;
      return;
    case "user":
      body["user"] = controls.user;
      return;
    case "safetyIdentifier":
      body["safety_identifier"] = controls.safetyIdentifier;
      return;
    case "metadata":
      body["metadata"] = controls.metadata;
      return;
    case "store":
      // Nothing is stored at a provider: a conversation has to survive its loss.
      if (controls.store === true) drop();
      return;
    case "truncation":
      body["truncation"] = controls.truncation;
      return;
    default:
      unreachable(name);
  }
}

/**
 * Reasoning models take sampling members only with effort `none`.
 * https://developers.openai.com/api/docs/guides/latest-model#gpt-5-parameter-compatibility
 */
function isSamplingFixed({ reasoning }: Controls, { reasons }: RequestTarget): boolean {
  return reasons === true && !isThinkingOff(reasoning);
}

/** Did the client ask the model not to think? */
export function isThinkingOff(reasoning: ReasoningControl | undefined): boolean {
  const native = reasoning?.native;
  const isDisabled = native?.wire === "anthropic-messages" && native.source["type"] === "disabled";
  return reasoning?.effort === "none" || reasoning?.enabled === false || isDisabled;
}

const SUMMARIES: Readonly<Record<string, string>> = {
  auto: "auto",
  concise: "concise",
  detailed: "detailed",
  summarized: "auto",
};

function writeReasoning(
  control: ReasoningControl,
  target: RequestTarget,
  body: Record<string, unknown>,
  losses: Loss[],
): void {
  if (target.reasons === false) {
    losses.push(harmless(control.path));
    return;
  }
  const effort = isThinkingOff(control) ? "none" : (control.effort ?? effortOf(control));
  const summary = control.display === undefined ? undefined : SUMMARIES[control.display];
  if (control.display !== undefined && summary === undefined && control.display !== "omitted") {
    losses.push(harmless(control.path));
  }
  const written = {
    ...(effort === undefined ? {} : { effort: nearestEffort(effort, target.efforts) }),
    ...(summary === undefined ? {} : { summary }),
  };
  if (Object.keys(written).length > 0) body["reasoning"] = written;
}

/** The least budget, in tokens, for each effort, from the strongest down. */
const BUDGETS: readonly (readonly [number, string])[] = [
  [16_384, "high"],
  [4_096, "medium"],
  [1, "low"],
];

function effortOf({ budget, native }: ReasoningControl): string | undefined {
  const own = native?.wire === "anthropic-messages" ? native.source["budget_tokens"] : undefined;
  const tokens = budget ?? (typeof own === "number" ? own : undefined);
  if (tokens === undefined) return undefined;
  return tokens <= 0 ? "none" : BUDGETS.find(([least]) => tokens >= least)?.[1];
}

const EFFORTS: readonly string[] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/** The value that the model takes and that is nearest to `effort`, of two the weaker one, which costs less. */
export function nearestEffort(effort: string, efforts: readonly string[] | undefined): string {
  const wanted = EFFORTS.indexOf(effort);
  if (efforts === undefined || efforts.includes(effort) || wanted === -1) return effort;
  let nearest = effort;
  let distance = Number.POSITIVE_INFINITY;
  for (const [rank, each] of EFFORTS.entries()) {
    if (!efforts.includes(each) || Math.abs(rank - wanted) >= distance) continue;
    nearest = each;
    distance = Math.abs(rank - wanted);
  }
  return nearest;
}

function smaller(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

/** Members that say where state is kept or that a request outlives its connection. Never written from a client's own. */
const NEVER: ReadonlySet<string> = new Set([
  ...["background", "conversation", "previous_response_id", "store", "stream", "model", "input", "instructions"],
]);
/** Members of chat that ask for what the answer would lack: a search; the sound itself is a modality. */
const ASKS_FOR_MORE: ReadonlySet<string> = new Set(["web_search_options"]);

/** Members that the core has no place for: those of this wire go back into the body, others are named. */
export function writeOthers(others: Conversation["others"], body: Record<string, unknown>, losses: Loss[]): void {
  for (const { wire, name, path, source, asksForNothing } of others) {
    const [first = name, second, ...more] = path.split(".");
    if (wire === WIRE && more.length === 0 && !first.includes("[") && !NEVER.has(first)) {
      if (second !== undefined) body[first] = { ...(body[first] as Json | undefined), [second]: source };
      else if (name === "include") body["include"] = [...listOf(body["include"]), ...listOf(source)];
      else body[name] = source;
    } else if (wire !== WIRE && ASKS_FOR_MORE.has(path)) {
      // An empty object asks for the default search.
      losses.push(unmet(path, "member", "This target does not search by itself."));
    } else if (!asksForNothing) losses.push(harmless(path, "member"));
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
