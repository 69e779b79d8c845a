/** Calls of tools in answers: whose name they have, and their input as the text that the provider wrote. */
import type { Conversation } from "../../conversation/conversation.ts";
import type { Bound, CallPart, Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { elementTexts, memberText } from "../../lib/json-text.ts";
import { argumentsText } from "../call-arguments.ts";
import { CalledTools } from "../custom-tools.ts";
import { toolNames } from "./write-tools.ts";

/** The client's tools by the names that they were sent under. */
export class AnsweredTools {
  readonly #tools: CalledTools;

  constructor(conversation: Conversation | null) {
    this.#tools = new CalledTools(conversation, conversation === null ? null : toolNames(conversation));
  }

  /** The call of a `tool_use` block, without its input. `index` names it where it has no id. */
  callOf(block: Json, index: number, provider: string): Omit<CallPart, "kind" | "path" | "args"> {
    const { id, caller, toolset_name: toolset } = block;
    const { name, namespace, form } = this.#tools.named(String(block["name"] ?? ""));
    // Who called matters only where it was not the model itself.
    const data = {
      ...(isJsonObject(caller) && caller["type"] !== "direct" ? { caller } : {}),
      ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
    };
    const bound: Bound = { wire: "anthropic-messages", provider, data };
    return {
      id: typeof id === "string" && id !== "" ? id : `call_${index}`,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      form,
      ...(Object.keys(data).length === 0 ? {} : { bound }),
    };
  }
}

/** The input of a call as text, `{}` where there is none. `exact` is the provider's own text of it. */
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
