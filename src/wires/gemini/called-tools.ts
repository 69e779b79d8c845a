/**
 * Tools by the names that Gemini knows them by, and what a call of one is for the client.
 *
 * Gemini has no tool with a free text as input: a custom tool is a function with one text, `input`, and its calls come
 * back as calls of a custom tool. https://ai.google.dev/api/caching#FunctionDeclaration
 */
import type { Conversation, CustomTool, FunctionTool } from "../../conversation/conversation.ts";
import type { CallPart, Json } from "../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { ToolNames } from "../tool-names.ts";

export type ClientTool = FunctionTool | CustomTool;

/** The one member of the arguments of a custom tool. */
export const INPUT = "input";

const MAX_NAME_LENGTH = 64;
/** Letters, digits, underscores, colons, dots and dashes are allowed; first stands a letter or an underscore. */
const REFUSED_IN_NAMES = /^[^A-Za-z_]|[^\w.:-]/g;

export function clientTools({ tools }: Pick<Conversation, "tools">): ClientTool[] {
  return tools.filter((tool) => tool.kind !== "provider");
}

export function toolNames(conversation: Conversation): ToolNames {
  return new ToolNames(conversation, MAX_NAME_LENGTH, [], REFUSED_IN_NAMES);
}

/** What the reader of an answer has to know of the tools that were offered. */
export class CalledTools {
  readonly #names: ToolNames | null;
  readonly #custom: ReadonlySet<string>;

  constructor(conversation: Conversation | null) {
    this.#names = conversation === null ? null : toolNames(conversation);
    const names = this.#names;
    const custom = conversation === null ? [] : clientTools(conversation).filter(({ kind }) => kind === "custom");
    this.#custom = new Set(custom.map((tool) => names?.sent(tool) ?? tool.name));
  }

  /** A call of the tool `sent`. `args`: exact JSON text. */
  read(sent: string, args: string): Pick<CallPart, "name" | "namespace" | "form" | "args"> {
    const own = this.#names?.own(sent) ?? { name: sent };
    if (!this.#custom.has(sent)) return { ...own, form: "function", args };
    const parsed = tryParseJson(args);
    const input = isJsonObject(parsed) ? parsed[INPUT] : undefined;
    return { ...own, form: "custom", args: typeof input === "string" ? input : args };
  }
}

/** The arguments of a past call of a custom tool. */
export function customArgs(input: string): Json {
  return { [INPUT]: input };
}
