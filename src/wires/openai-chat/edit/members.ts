/** Which top-level members of a request one provider and model does not get, and what that means for the request. */
import { changesMeaning, type Loss, unmet } from "../../../conversation/loss.ts";
import type { Json } from "../../../conversation/part.ts";
import { isProviderRun } from "../../../conversation/provider-tools.ts";
import { isJsonObject } from "../../../lib/json.ts";
import type { ModelLimits, ProviderRow } from "../../../providers/provider-row.ts";
import { isFreeText } from "../../custom-tools.ts";
import { nearestEffort } from "./efforts.ts";
import { customOf, takesCustomTools } from "./names.ts";

/** Members that every provider has, and that are not left out for any. */
const ALWAYS: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "route", "max_tokens", "max_completion_tokens"],
]);

/** Options of the answer: without them it is another answer, though a complete one. */
const WISHES: ReadonlySet<string> = new Set([
  ...["logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "repetition_penalty", "stop"],
  ...["response_format", "tool_choice", "function_call", "parallel_tool_calls", "web_search_options", "top_k", "min_p"],
]);

/** Members that steer the choice of tokens: models that fix it refuse all of them. */
const SAMPLING: ReadonlySet<string> = new Set([
  ...[
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "stop",
  ],
]);

/** Values that ask for what happens anyway. */
const DEFAULTS: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  temperature: [1],
  top_p: [1],
  repetition_penalty: [1],
  parallel_tool_calls: [true],
  tool_choice: ["auto"],
  function_call: ["auto"],
};

/** For these members zero is a value like any other. */
const STEERING_AT_ZERO: ReadonlySet<string> = new Set(["temperature", "top_p", "seed"]);

/** What is left out of `fields` by name, and of what weight each is. `without`: what the provider refused before. */
export function membersLost(
  row: ProviderRow,
  fields: Json,
  limits: ModelLimits | undefined,
  without: readonly string[] = [],
): Loss[] {
  const losses: Loss[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (ALWAYS.has(name)) continue;
    const isLost =
      row.drop?.includes(name) === true ||
      (row.cannot?.includes(name) === true && name !== "json_schema") ||
      !isKnown(row, name) ||
      without.includes(name) ||
      isFixed(row, name, fields, limits) ||
      (name === "reasoning_effort" && hasNoDial(row, limits, value));
    if (isLost) losses.push({ path: name, code: codeOf(name), weight: weightOf(name, value) });
  }
  return losses;
}

function isKnown(row: ProviderRow, name: string): boolean {
  return row.knows === undefined || row.knows.includes(row.rename?.[name] ?? name);
}

/** Models whose thinking can be switched off take sampling members while it is off. */
function isFixed(row: ProviderRow, name: string, fields: Json, limits: ModelLimits | undefined): boolean {
  if (row.fixedSampling !== true || limits?.fixedSampling !== true || !SAMPLING.has(name)) return false;
  if (limits.efforts?.includes("none") !== true) return true;
  const effort = fields["reasoning_effort"];
  return typeof effort === "string" && effort !== "none";
}

function hasNoDial(row: ProviderRow, limits: ModelLimits | undefined, wanted: unknown): boolean {
  if (row.efforts === undefined) return false;
  const efforts = limits?.efforts;
  if (efforts !== undefined) return typeof wanted === "string" && nearestEffort(wanted, efforts) === null;
  return row.efforts === "listed" || limits?.reasons === false;
}

function codeOf(name: string): Loss["code"] {
  switch (name) {
    case "tools":
    case "functions":
      return "tool";
    case "tool_choice":
    case "function_call":
      return "tool_choice";
    case "n":
      return "choices";
    case "modalities":
      return "modality";
    default:
      return "control";
  }
}

function weightOf(name: string, value: unknown): Loss["weight"] {
  if (asksForNothing(name, value)) return "harmless";
  if (name === "tools" || name === "functions" || name === "n" || name === "modalities") return "changes_meaning";
  return WISHES.has(name) ? "unmet" : "harmless";
}

/** True where leaving the member out changes nothing that was asked for. */
export function asksForNothing(name: string, value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "") return true;
  if (value === 0) return !STEERING_AT_ZERO.has(name);
  if (DEFAULTS[name]?.includes(value) === true) return true;
  if (name === "modalities" && Array.isArray(value)) return value.every((each) => each === "text");
  if (name === "response_format" && isJsonObject(value)) return value["type"] === "text";
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Tools of a kind that the provider does not have: without them the request is another one. */
export function toolsLost(row: ProviderRow, fields: Json): Loss[] {
  const tools = fields["tools"];
  if (!Array.isArray(tools) || takesCustomTools(row)) return [];
  return tools.flatMap((tool, at): Loss[] => {
    if (!isJsonObject(tool) || isJsonObject(tool["function"])) return [];
    const custom = customOf(tool);
    // It becomes a function with one text, which is not held to a grammar: another target is better, if there is one.
    if (custom !== undefined) {
      return [unmet(isFreeText(custom["format"]) ? `tools[${at}].custom` : `tools[${at}].custom.format`, "tool")];
    }
    if (tool["type"] !== "custom" && !isUnknownTool(row, tool)) return [];
    const why = `Provider ${row.id} knows function tools only.`;
    return [mayMiss(tool, fields) ? unmet(`tools[${at}]`, "tool", why) : changesMeaning(`tools[${at}]`, "tool", why)];
  });
}

/** What a provider that is open to anything makes of other types is its own to say. */
export function isUnknownTool(row: ProviderRow, tool: Json): boolean {
  const isRead = isJsonObject(tool["function"]) || tool["type"] === "custom" || takesCustomTools(row);
  return row.knows !== undefined && !isRead;
}

/** A tool that another provider runs by itself, and nothing forces. */
function mayMiss(tool: Json, { tools, tool_choice: choice }: Json): boolean {
  const { type } = tool;
  if (typeof type !== "string" || !isProviderRun({ type })) return false;
  if (choice === "required") return Array.isArray(tools) && tools.some((each) => isJsonObject(each) && isOwn(each));
  return !isJsonObject(choice) || isOwn(choice) || choice["type"] === "allowed_tools";
}

const isOwn = ({ type }: Json): boolean => type === "function" || type === "custom";

/** Answers in sound that came without their text: a provider whose messages have no place for one would get nothing. */
export function soundsLost({ id, knowsOfMessages }: ProviderRow, { messages }: Json): Loss[] {
  const known = knowsOfMessages?.["assistant"];
  if (known === undefined || known.includes("audio") || !Array.isArray(messages)) return [];
  return messages.flatMap((message, at): Loss[] => {
    if (!isJsonObject(message) || message["role"] !== "assistant" || !isJsonObject(message["audio"])) return [];
    const { content } = message;
    if (content !== undefined && content !== null && content !== "") return [];
    const why = `Provider ${id} cannot be sent an answer that is sound only.`;
    return [{ path: `messages[${at}].audio`, code: "part", weight: "changes_meaning", why }];
  });
}
