/**
 * Tools that take free text, for providers that know functions only: offered as a function with one text, their calls
 * given back as what they are. A grammar cannot be kept so.
 */
import type { Conversation, CustomTool, FunctionTool } from "../conversation/conversation.ts";
import type { Json } from "../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { ToolName, ToolNames } from "./tool-names.ts";

/** The input of such a tool. */
const TEXT_INPUT: Json = {
  type: "object",
  properties: { input: { type: "string", description: "The whole input of the tool, as plain text." } },
  required: ["input"],
};

/** The tool as a function; `null` where its input is held to a grammar. */
export function asFunction({ name, namespace, description, format, path }: CustomTool): FunctionTool | null {
  if (format !== undefined && format["type"] !== "text") return null;
  return { kind: "function", name, namespace, description, parameters: TEXT_INPUT, strict: false, path };
}

/** What the reader of an answer has to know of the tools that were offered. */
export class CalledTools {
  readonly #names: ToolNames | null;
  readonly #custom: ReadonlySet<string>;

  constructor(conversation: Conversation | null, names: ToolNames | null) {
    this.#names = names;
    const custom = (conversation?.tools ?? []).filter((tool) => tool.kind === "custom");
    this.#custom = new Set(custom.map((tool) => names?.sent(tool) ?? tool.name));
  }

  /** The client's name for the tool `sent`, and what its calls are. */
  named(sent: string): ToolName & { readonly form: "function" | "custom" } {
    const own = this.#names?.own(sent) ?? { name: sent };
    return { ...own, form: this.#custom.has(sent) ? "custom" : "function" };
  }
}

/** The free text that a custom tool was called with, out of the object that it stood in. */
export function customInput(json: string): string {
  const input = tryParseJson(json);
  if (isJsonObject(input)) return typeof input["input"] === "string" ? input["input"] : json;
  return cutInput(json);
}

/** The text received so far of an object that was cut off. */
function cutInput(json: string): string {
  const start = /^\s*\{\s*"input"\s*:\s*"/.exec(json);
  if (start === null) return json;
  // Cut inside an escape, it ends before it: none is longer than six characters.
  for (let end = json.length; end >= Math.max(start[0].length, json.length - 6); end--) {
    const text = tryParseJson(`"${json.slice(start[0].length, end)}"`);
    if (typeof text === "string") return text;
  }
  return "";
}
