/** Tools, their choice and the format of the answer, as a Responses request spells them. */
import type { OpaqueMember, ResponseFormat, Tool, ToolChoice } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import { RouterError } from "../../http/errors.ts";
import { isJsonObject, wordOf } from "../../lib/json.ts";
import type { ToolName } from "../tool-names.ts";
import { CLIENT_TOOLS, textOf, WIRE } from "./items.ts";

/** Members of a function or custom tool that are read here. Others are opaque. */
const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "name", "description", "parameters", "strict", "format"],
]);

interface NamespacedName {
  readonly namespace: string;
  readonly name: string;
}

export interface ReadTools {
  readonly tools: readonly Tool[];
  readonly others: readonly OpaqueMember[];
  /** By the name that other wires see, the members of namespaces. */
  readonly namespaces: ReadonlyMap<string, NamespacedName>;
  /** The name that other wires see, of a call or choice that may name a namespace. */
  readonly nameOf: (item: Json) => ToolName;
}

/** The item with which a request offers tools inside its input, as Codex does. */
const TOOLS_ITEM = "additional_tools";

/**
 * How many items at the start of `input` only offer tools. They come before the conversation, so they mean the same as
 * the member `tools`; a later one changes the tools in the middle, which other wires cannot express.
 */
export function leadingToolItems(input: unknown): number {
  if (!Array.isArray(input)) return 0;
  const first = input.findIndex((item) => !isJsonObject(item) || item["type"] !== TOOLS_ITEM);
  return first === -1 ? input.length : first;
}

/** Throws 400 where two tools have the same name, also where only flattening makes them so. */
export function readTools({ tools, input }: Json): ReadTools {
  const reader = new ToolReader();
  reader.addAll(tools, "tools");
  for (const [at, item] of (Array.isArray(input) ? input : []).slice(0, leadingToolItems(input)).entries()) {
    reader.addAll((item as Json)["tools"], `input[${at}].tools`);
  }
  const { namespaces, plainNames } = reader;
  const nameOf = (item: Json): ToolName => {
    const name = String(item["name"]);
    const namespace = textOf(item["namespace"]);
    if (namespace === undefined) return { name };
    const flat = flatName(namespace, name);
    // A tool that was found by a search is called in a namespace that was never declared.
    return { name: !namespaces.has(flat) && plainNames.has(name) ? name : flat };
  };
  return { tools: reader.tools, others: reader.others, namespaces, nameOf };
}

function flatName(namespace: string, name: string): string {
  return `${namespace}__${name}`;
}

class ToolReader {
  readonly tools: Tool[] = [];
  readonly others: OpaqueMember[] = [];
  readonly namespaces = new Map<string, NamespacedName>();
  readonly plainNames = new Set<string>();
  /** Name → where it was given first. */
  readonly #places = new Map<string, string>();

  addAll(tools: unknown, path: string): void {
    for (const [at, tool] of (Array.isArray(tools) ? tools : []).entries()) {
      if (isJsonObject(tool)) this.#add(tool, `${path}[${at}]`);
    }
  }

  #add(tool: Json, path: string): void {
    switch (tool["type"]) {
      case "function":
      case "custom":
        this.plainNames.add(this.#addClientTool(tool, path, undefined));
        return;
      case "namespace":
        this.#addNamespace(tool, path);
        return;
      default:
        this.#addProviderTool(tool, path);
    }
  }

  #addNamespace(tool: Json, path: string): void {
    const namespace = textOf(tool["name"]);
    if (namespace === undefined) throw invalidTool(`${path}.name`, "A namespace needs a name.");
    if (textOf(tool["description"]) !== undefined) this.#addOther("description", path, tool["description"]);
    const members = Array.isArray(tool["tools"]) ? tool["tools"] : [];
    for (const [at, member] of members.entries()) {
      const place = `${path}.tools[${at}]`;
      const { type } = isJsonObject(member) ? member : {};
      if (type !== "function" && type !== "custom") {
        throw invalidTool(`${place}.type`, "A namespace holds function and custom tools only.");
      }
      this.#addClientTool(member as Json, place, namespace);
    }
  }

  #addClientTool(tool: Json, path: string, namespace: string | undefined): string {
    const own = textOf(tool["name"]);
    if (own === undefined) throw invalidTool(`${path}.name`, "A tool needs a name.");
    const name = namespace === undefined ? own : flatName(namespace, own);
    const first = this.#places.get(name);
    if (first !== undefined) {
      throw invalidTool(path, `The tools ${first} and ${path} have the same name: ${name}. Rename one of them.`);
    }
    this.#places.set(name, path);
    if (namespace !== undefined) this.namespaces.set(name, { namespace, name: own });
    this.tools.push(clientTool(tool, name, path));
    for (const [member, source] of Object.entries(tool)) {
      if (!READ_MEMBERS.has(member)) this.#addOther(member, path, source);
    }
    return name;
  }

  #addProviderTool(tool: Json, path: string): void {
    const type = textOf(tool["type"]);
    if (type === undefined) throw invalidTool(`${path}.type`, "A tool needs a type.");
    const name = CLIENT_TOOLS.get(type);
    this.tools.push({
      kind: "provider",
      wire: WIRE,
      type,
      ...(name === undefined ? {} : { name }),
      source: tool,
      path: `${path}.${type}`,
    });
  }

  #addOther(name: string, path: string, source: unknown): void {
    if (source === null || source === undefined) return;
    const asksForNothing = source === false;
    this.others.push({ wire: WIRE, name, path: `${path}.${name}`, source, asksForNothing });
  }
}

function clientTool(tool: Json, name: string, path: string): Tool {
  const description = textOf(tool["description"]);
  const described = description === undefined ? {} : { description };
  if (tool["type"] === "custom") {
    const { format } = tool;
    return { kind: "custom", name, ...described, ...(isJsonObject(format) ? { format } : {}), path };
  }
  const { parameters } = tool;
  return {
    kind: "function",
    name,
    ...described,
    parameters: isJsonObject(parameters) ? parameters : { type: "object", properties: {} },
    // Left out it means "if the schema allows it" to OpenAI; others take it for a promise.
    strict: tool["strict"] === true,
    path,
  };
}

/** Throws 400 for a choice that says nothing that could be read. */
export function readToolChoice(choice: unknown, { nameOf }: ReadTools): ToolChoice | undefined {
  if (choice === undefined || choice === null) return undefined;
  if (choice === "auto" || choice === "none" || choice === "required") return { kind: choice };
  if (!isJsonObject(choice)) {
    throw new RouterError("invalid_request", "`tool_choice` must be auto, none, required or an object.", {
      param: "tool_choice",
    });
  }
  const { type, mode, tools } = choice;
  if ((type === "function" || type === "custom") && textOf(choice["name"]) !== undefined) {
    return { kind: "tool", name: nameOf(choice).name, form: type };
  }
  if (type === "allowed_tools" && Array.isArray(tools)) {
    const names = tools.flatMap((tool): string[] => {
      if (!isJsonObject(tool)) return [];
      return [textOf(tool["name"]) === undefined ? wordOf(tool["type"]) : nameOf(tool).name];
    });
    return { kind: "allowed", mode: mode === "required" ? "required" : "auto", names };
  }
  return { kind: "provider", wire: WIRE, source: choice };
}

export function readFormat(format: unknown): ResponseFormat | undefined {
  if (!isJsonObject(format)) return undefined;
  const { type, schema, strict } = format;
  if (type === "text" || type === "json_object") return { kind: type };
  if (type !== "json_schema" || !isJsonObject(schema)) return { kind: "opaque", wire: WIRE, source: format };
  const description = textOf(format["description"]);
  return {
    kind: "json_schema",
    name: textOf(format["name"]) ?? "answer",
    ...(description === undefined ? {} : { description }),
    schema,
    strict: strict === true,
  };
}

function invalidTool(param: string, message: string): RouterError {
  return new RouterError("invalid_request", message, { param });
}
