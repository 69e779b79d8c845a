/** Calls of tools in answers: whose name they have, and their input as the text that the vendor wrote. */
import type { Conversation } from "../../conversation/conversation.ts";
import type { Bound, CallPart, Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { elementTexts, memberText } from "../../lib/json-text.ts";
import { argumentsText } from "../call-arguments.ts";
import type { ToolName, ToolNames } from "../tool-names.ts";
import { toolNames } from "./write-tools.ts";

/** The client's tools by the names that they were sent under. */
export class AnsweredTools {
  readonly #names: ToolNames | null;
  /** Names, as they were sent, of tools that take free text. */
  readonly #custom: ReadonlySet<string>;

  constructor(conversation: Conversation | null) {
    const names = conversation === null ? null : toolNames(conversation);
    const tools = conversation?.tools ?? [];
    this.#names = names;
    this.#custom = new Set(
      tools.flatMap((tool) => (tool.kind === "custom" && names !== null ? [names.sent(tool)] : [])),
    );
  }

  /** The call of a `tool_use` block, without its input. `index` names it where it has no id. */
  callOf(block: Json, index: number, provider: string): Omit<CallPart, "kind" | "path" | "args"> {
    const { id, caller, toolset_name: toolset } = block;
    const sent = String(block["name"] ?? "");
    const tool: ToolName = this.#names?.own(sent) ?? { name: sent };
    // Who called matters only where it was not the model itself.
    const data = {
      ...(isJsonObject(caller) && caller["type"] !== "direct" ? { caller } : {}),
      ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
    };
    const bound: Bound = { wire: "anthropic-messages", provider, data };
    return {
      id: typeof id === "string" && id !== "" ? id : `call_${index}`,
      name: tool.name,
      ...(tool.namespace === undefined ? {} : { namespace: tool.namespace }),
      form: this.#custom.has(sent) ? "custom" : "function",
      ...(Object.keys(data).length === 0 ? {} : { bound }),
    };
  }
}

/** The input of a call as text, `{}` where there is none. `exact` is the vendor's own text of it. */
export function inputText(input: unknown, exact: string | undefined): string {
  if (typeof input === "string") return argumentsText(input);
  if (!isJsonObject(input)) return "{}";
  if (exact !== undefined) return exact;
  try {
    return JSON.stringify(input);
  } catch {
    // Nested deeper than the stack.
    return "{}";
  }
}

/** The text of the inputs in `content`, by place; `text` is that of the whole answer. */
export function inputTexts(text: string): readonly (string | undefined)[] {
  const content = memberText(text, "content");
  return content === undefined ? [] : elementTexts(content).map((block) => memberText(block, "input"));
}
