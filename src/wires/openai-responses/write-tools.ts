/** Tools, their choice and the format of the answer, in the words of the Responses wire. */
import type { ResponseFormat, Tool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { WIRE } from "./items.ts";

/** Tools of OpenAI's own that may be asked for in its spelling: each has a price, or runs at the client. */
const KNOWN_TOOLS: ReadonlySet<string> = new Set([
  ...["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "file_search"],
  ...["code_interpreter", "image_generation", "mcp", "tool_search"],
  ...["local_shell", "shell", "apply_patch", "computer", "computer_use_preview"],
]);

export function writeTools(tools: readonly Tool[], choice: ToolChoice | undefined, losses: Loss[]): Json[] {
  return tools.flatMap((tool) => {
    const written = writeTool(tool, choice, losses);
    return written === null ? [] : [written];
  });
}

function writeTool(tool: Tool, choice: ToolChoice | undefined, losses: Loss[]): Json | null {
  const { path } = tool;
  switch (tool.kind) {
    case "function": {
      if (tool.cache !== undefined) losses.push(harmless(`${path}.cache_control`, "member"));
      const { name, description, parameters, strict } = tool;
      return {
        type: "function",
        name: flat(tool.namespace, name),
        ...some("description", description),
        parameters,
        strict,
      };
    }
    case "custom": {
      const { name, description, format } = tool;
      return {
        type: "custom",
        name: flat(tool.namespace, name),
        ...some("description", description),
        ...(format === undefined ? {} : { format: flatFormat(format) }),
      };
    }
    case "provider": {
      if (tool.wire === WIRE && KNOWN_TOOLS.has(tool.type)) return tool.source;
      const isForced = choice?.kind === "provider" || choice?.kind === "required";
      const why = `The tool \`${tool.type}\` is run by another provider and cannot be forced here.`;
      losses.push(isForced ? changesMeaning(path, "tool", why) : harmless(path, "tool"));
      return null;
    }
    default:
      return unreachable(tool);
  }
}

function flat(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}__${name}`;
}

/** Chat keeps a grammar's members one level deeper. */
function flatFormat(format: Json): Json {
  const { grammar, ...rest } = format;
  return isJsonObject(grammar) ? { ...rest, ...grammar } : format;
}

export function writeToolChoice(
  choice: ToolChoice,
  tools: readonly Tool[],
  losses: Loss[],
  path = "tool_choice",
): string | Json | undefined {
  switch (choice.kind) {
    case "auto":
    case "none":
    case "required":
      return choice.kind;
    case "tool":
      return { type: formOf(choice.name, tools) ?? choice.form, name: choice.name };
    case "allowed":
      return {
        type: "allowed_tools",
        mode: choice.mode,
        tools: choice.names.map((name) => {
          const form = formOf(name, tools);
          return form === undefined && isProviderTool(name, tools)
            ? { type: name }
            : { type: form ?? "function", name };
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
  for (const tool of tools) if (tool.kind !== "provider" && flat(tool.namespace, tool.name) === name) return tool.kind;
  return undefined;
}

function isProviderTool(name: string, tools: readonly Tool[]): boolean {
  return tools.some((tool) => tool.kind === "provider" && tool.type === name);
}

export function writeFormat(format: ResponseFormat, losses: Loss[], path = "text.format"): Json | undefined {
  switch (format.kind) {
    case "text":
    case "json_object":
      return { type: format.kind };
    case "json_schema": {
      const { name, description, schema, strict } = format;
      return { type: "json_schema", name, ...some("description", description), schema, strict };
    }
    case "opaque":
      if (format.wire === WIRE) return format.source;
      losses.push(changesMeaning(path, "schema", "The format of the answer is not known to this target."));
      return undefined;
    default:
      return unreachable(format);
  }
}

function some(name: string, value: string | undefined): Json {
  return value === undefined ? {} : { [name]: value };
}
