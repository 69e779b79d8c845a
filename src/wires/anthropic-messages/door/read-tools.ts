/** `tools` and `tool_choice` of a Messages request. */
import type { FunctionTool, OpaqueMember, Tool, ToolChoice } from "../../../conversation/conversation.ts";
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, wordOf } from "../../../lib/json.ts";

const WIRE = "anthropic-messages";
const FUNCTION_MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "name", "description", "input_schema", "strict", "cache_control"],
]);

export interface ReadTools {
  readonly tools: readonly Tool[];
  /** Members of tools that are not known: examples, deferred loading. */
  readonly others: readonly OpaqueMember[];
}

export function readTools(list: unknown): ReadTools {
  const tools: Tool[] = [];
  const others: OpaqueMember[] = [];
  for (const [at, tool] of (Array.isArray(list) ? list : []).entries()) {
    if (!isJsonObject(tool)) continue;
    const path = `tools[${at}]`;
    const { type, name } = tool;
    if (type !== undefined && type !== null && type !== "custom") {
      const own = typeof name === "string" ? { name } : {};
      tools.push({ kind: "provider", wire: WIRE, type: wordOf(type), ...own, source: tool, path });
      continue;
    }
    tools.push(functionTool(tool, path));
    for (const [member, source] of Object.entries(tool)) {
      if (FUNCTION_MEMBERS.has(member) || source === null || source === false) continue;
      others.push({ wire: WIRE, name: member, path: `${path}.${member}`, source, asksForNothing: false });
    }
  }
  return { tools, others };
}

function functionTool(tool: Json, path: string): FunctionTool {
  const { name, description, input_schema: schema, strict, cache_control: mark } = tool;
  return {
    kind: "function",
    name: String(name ?? ""),
    description: typeof description === "string" ? description : undefined,
    parameters: isJsonObject(schema) ? schema : { type: "object", properties: {} },
    strict: strict === true,
    path,
    ...(isJsonObject(mark) ? { cache: mark } : {}),
  };
}

export function readToolChoice(choice: Json, tools: readonly Tool[]): ToolChoice | undefined {
  const { type, name } = choice;
  switch (type) {
    case undefined:
      return undefined;
    case "auto":
    case "none":
      return { kind: type };
    case "any":
      return { kind: "required" };
    default: {
      const isOwn = tools.some((tool) => tool.kind === "provider" && tool.name === name);
      if (type !== "tool" || typeof name !== "string" || isOwn) return { kind: "provider", wire: WIRE, source: choice };
      return { kind: "tool", name, form: "function" };
    }
  }
}
