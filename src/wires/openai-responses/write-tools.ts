/** Tools, their choice and the format of the answer, as the Responses wire writes them. */
import type { ProviderTool, ResponseFormat, Tool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isForced, isProviderRun } from "../../conversation/provider-tools.ts";
import { isJsonObject } from "../../lib/json.ts";
import { foldedRoot } from "../root-schema.ts";
import type { ToolNames } from "../tool-names.ts";
import { picked, WIRE } from "./items.ts";

/** Tools of OpenAI's own that may be asked for in its spelling: each has a price, or runs at the client. */
const KNOWN_TOOLS: ReadonlySet<string> = new Set([
  ...["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "file_search"],
  ...["code_interpreter", "image_generation", "mcp", "tool_search"],
  ...["local_shell", "shell", "apply_patch", "computer", "computer_use_preview"],
]);

/** How the names of tools are sent. */
export type SentNames = Pick<ToolNames, "sent">;

/** https://developers.openai.com/api/docs/guides/function-calling: letters, digits, `_` and `-`. */
export const MAX_NAME_LENGTH = 64;

export function writeTools(
  tools: readonly Tool[],
  choice: ToolChoice | undefined,
  names: SentNames,
  losses: Loss[],
): Json[] {
  return tools.flatMap((tool) => {
    const written = writeTool(tool, tools, choice, names, losses);
    return written === null ? [] : [written];
  });
}

function writeTool(
  tool: Tool,
  tools: readonly Tool[],
  choice: ToolChoice | undefined,
  names: SentNames,
  losses: Loss[],
): Json | null {
  const { path } = tool;
  switch (tool.kind) {
    case "function": {
      if (tool.cache !== undefined) losses.push(harmless(`${path}.cache_control`, "member"));
      const { description, strict } = tool;
      const parameters = foldedRoot(tool.parameters);
      return { type: "function", name: names.sent(tool), ...some("description", description), parameters, strict };
    }
    case "custom": {
      const { description, format } = tool;
      return {
        type: "custom",
        name: names.sent(tool),
        ...some("description", description),
        ...(format === undefined ? {} : { format: flatFormat(format) }),
      };
    }
    case "provider":
      if (isKnown(tool)) return tool.source;
      losses.push(lostTool(tool, choice, tools));
      return null;
    default:
      return unreachable(tool);
  }
}

/** What a provider runs by itself makes an answer better; a tool of the client's is waited for. */
function lostTool(tool: ProviderTool, choice: ToolChoice | undefined, tools: readonly Tool[]): Loss {
  const why = `The tool \`${tool.type}\` is another provider's.`;
  const mayMiss = isProviderRun(tool) && !isForced(tool, choice, tools, isKnown);
  return mayMiss ? unmet(tool.path, "tool", why) : changesMeaning(tool.path, "tool", why);
}

function isKnown(tool: Tool): boolean {
  return tool.kind !== "provider" || (tool.wire === WIRE && KNOWN_TOOLS.has(tool.type));
}

/** Chat keeps a grammar's members one level deeper. */
function flatFormat(format: Json): Json {
  const { grammar } = format;
  const whole: Json = isJsonObject(grammar) ? { ...format, ...grammar } : format;
  return picked(whole, ["type", "syntax", "definition"]);
}

export function writeToolChoice(
  choice: ToolChoice,
  tools: readonly Tool[],
  names: SentNames,
  losses: Loss[],
  path = "tool_choice",
): string | Json | undefined {
  switch (choice.kind) {
    case "auto":
    case "none":
    case "required":
      return choice.kind;
    case "tool":
      return { type: formOf(choice.name, tools) ?? choice.form, name: names.sent(choice) };
    case "allowed":
      return {
        type: "allowed_tools",
        mode: choice.mode,
        tools: choice.names.map((name) => {
          const form = formOf(name, tools);
          if (form === undefined && isProviderTool(name, tools)) return { type: name };
          return { type: form ?? "function", name: names.sent({ name }) };
        }),
      };
    case "provider":
      if (choice.wire === WIRE) return choice.source;
      losses.push(changesMeaning(path, "tool_choice", "The tool that `tool_choice` forces is another provider's."));
      return undefined;
    default:
      return unreachable(choice);
  }
}

function formOf(name: string, tools: readonly Tool[]): "function" | "custom" | undefined {
  for (const tool of tools) {
    if (tool.kind === "provider") continue;
    if (tool.name === name || `${tool.namespace}__${tool.name}` === name) return tool.kind;
  }
  return undefined;
}

function isProviderTool(name: string, tools: readonly Tool[]): boolean {
  return tools.some((tool) => tool.kind === "provider" && tool.type === name);
}

export function writeFormat(format: ResponseFormat, losses: Loss[], path = "text.format"): Json | undefined {
  switch (format.kind) {
    case "text":
      return { type: "text" };
    case "json_object":
      // A schema next to it is an extra of other providers.
      if (format.schema !== undefined) losses.push(harmless(path, "schema"));
      return { type: "json_object" };
    case "json_schema": {
      const { name, description, schema, strict } = format;
      return { type: "json_schema", name, ...some("description", description), schema, strict };
    }
    case "opaque":
      if (format.wire === WIRE) return format.source;
      losses.push(unmet(path, "schema", "The format of the answer is not known to this target."));
      return undefined;
    default:
      return unreachable(format);
  }
}

function some(name: string, value: string | undefined): Json {
  return value === undefined ? {} : { [name]: value };
}
