/**
 * Tools and the choice among them.
 *
 * Cohere can force a call, or forbid it, but not name the function
 * (https://docs.cohere.com/docs/tool-use-usage-patterns): one that is named is the only one offered.
 */
import type { Conversation, FunctionTool, Tool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isProviderRun } from "../../conversation/provider-tools.ts";
import { asFunction, customLoss } from "../custom-tools.ts";
import { foldedRoot } from "../root-schema.ts";
import type { ToolNames } from "../tool-names.ts";

export const MAX_NAME_LENGTH = 64;

export interface WrittenTools {
  /** `tools`, `tool_choice`, `strict_tools`. */
  readonly members: Json;
  /** The model may call one. */
  readonly isCallable: boolean;
  readonly losses: readonly Loss[];
}

export function writeTools(conversation: Conversation, names: ToolNames): WrittenTools {
  const { controls, spelling } = conversation;
  const choice = controls.toolChoice;
  const losses: Loss[] = [];
  const functions = conversation.tools.flatMap((tool) => functionOf(tool) ?? []);
  for (const tool of conversation.tools) losses.push(...lossOf(tool));
  const offered = functions.filter((tool) => isOffered(tool, choice));
  if (isOutOfReach(choice, offered.length, conversation.tools.length)) {
    const why = "The tool that `tool_choice` forces cannot be offered to Cohere.";
    losses.push(changesMeaning(spelling.toolChoice ?? "tool_choice", "tool_choice", why));
  }
  if (offered.length === 0) return { members: {}, isCallable: false, losses };
  const isStrict = canBeStrict(offered);
  if (!isStrict) {
    for (const { strict, path } of offered) if (strict) losses.push(harmless(`${path}.strict`, "member"));
  }
  const forced = choiceOf(choice);
  return {
    members: {
      tools: offered.map((tool) => toCohereTool(tool, names)),
      ...(isStrict ? { strict_tools: true } : {}),
      ...(forced === undefined ? {} : { tool_choice: forced }),
    },
    isCallable: forced !== "NONE",
    losses,
  };
}

/** A tool that takes free text is a function with one. */
function functionOf(tool: Tool): FunctionTool | null {
  if (tool.kind === "provider") return null;
  return tool.kind === "custom" ? asFunction(tool) : tool;
}

/** A call is forced that no tool which is offered could make. */
function isOutOfReach(choice: ToolChoice | undefined, offered: number, all: number): boolean {
  if (choice?.kind === "provider") return true;
  const isForced = choice?.kind === "tool" || (choice?.kind === "required" && all > 0);
  return isForced && offered === 0;
}

function lossOf(tool: Tool): readonly Loss[] {
  switch (tool.kind) {
    case "function":
      return tool.cache === undefined ? [] : [harmless(`${tool.path}.cache_control`, "member")];
    case "custom":
      return [customLoss(tool)];
    case "provider":
      // A search and the like: an answer without it is worse, not wrong.
      if (isProviderRun(tool)) return [unmet(tool.path, "tool")];
      return [changesMeaning(tool.path, "tool", `Cohere has no tool of type \`${tool.type}\`.`)];
    default:
      return unreachable(tool);
  }
}

function isOffered({ name }: FunctionTool, choice: ToolChoice | undefined): boolean {
  if (choice?.kind === "tool") return name === choice.name;
  return choice?.kind === "allowed" ? choice.names.includes(name) : true;
}

function choiceOf(choice: ToolChoice | undefined): "NONE" | "REQUIRED" | undefined {
  switch (choice?.kind) {
    case "none":
      return "NONE";
    case "required":
    case "tool":
      return "REQUIRED";
    case "allowed":
      return choice.mode === "required" ? "REQUIRED" : undefined;
    case "auto":
    case "provider":
    case undefined:
      return undefined;
    default:
      return unreachable(choice);
  }
}

/**
 * Strictness holds for all tools, and Cohere refuses it where one has no required parameter
 * (https://docs.cohere.com/docs/tool-use-parameter-types). A strict tool has none only when it has no parameters.
 */
function canBeStrict(tools: readonly FunctionTool[]): boolean {
  const hasRequired = ({ parameters: { required } }: FunctionTool): boolean =>
    Array.isArray(required) && required.length > 0;
  return tools.some(({ strict }) => strict) && tools.every(hasRequired);
}

function toCohereTool(tool: FunctionTool, names: ToolNames): Json {
  const { description, parameters } = tool;
  return {
    type: "function",
    function: {
      name: names.sent(tool),
      ...(description === undefined ? {} : { description }),
      parameters: foldedRoot(parameters),
    },
  };
}
