/**
 * Tools that take free text, for providers that know functions only: offered as a function with one text, their calls
 * given back as what they are. The model is shown a grammar, but not held to it.
 */
import type { Conversation, CustomTool, FunctionTool } from "../conversation/conversation.ts";
import { harmless, type Loss, unmet } from "../conversation/loss.ts";
import type { Json } from "../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { ToolName, ToolNames } from "./tool-names.ts";

const INPUT = "input";
/** The input of such a tool. */
export const TEXT_INPUT: Json = {
  type: "object",
  properties: { [INPUT]: { type: "string", description: "The whole input of the tool, as plain text." } },
  required: [INPUT],
};

/** The tool as a function. */
export function asFunction({ name, namespace, description, format, path }: CustomTool): FunctionTool {
  const text = withGrammar(description, format);
  const described = text === "" ? {} : { description: text };
  return { kind: "function", name, namespace, ...described, parameters: TEXT_INPUT, strict: false, path };
}

/** What `asFunction` loses: that the input is plain text is nothing to the client, but a grammar is not enforced. */
export function customLoss({ format, path }: CustomTool): Loss {
  return isFreeText(format) ? harmless(`${path}.custom`, "tool") : unmet(`${path}.custom.format`, "tool");
}

/** The description of a custom tool, with the grammar of its input where it has one. */
export function withGrammar(description: string | undefined, format: Json | undefined): string {
  const { syntax, definition } = isJsonObject(format?.["grammar"]) ? format["grammar"] : (format ?? {});
  if (isFreeText(format) || typeof definition !== "string") return description ?? "";
  const kind = typeof syntax === "string" ? `${syntax} ` : "";
  const grammar = `\`${INPUT}\` follows this ${kind}grammar:\n${definition}`;
  return description === undefined || description === "" ? grammar : `${description}\n\n${grammar}`;
}

/** `format`: of a custom tool. */
export function isFreeText(format: unknown): boolean {
  return !isJsonObject(format) || format["type"] === "text";
}

/** The arguments of the function for an input of the custom tool. */
export const textArguments = (input: unknown): string =>
  JSON.stringify({ [INPUT]: typeof input === "string" ? input : "" });

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
  if (isJsonObject(input)) return typeof input[INPUT] === "string" ? input[INPUT] : json;
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
