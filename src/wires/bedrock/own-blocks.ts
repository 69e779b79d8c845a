/**
 * Blocks of the tools that Amazon runs itself, as its answers carry them and as they go back.
 *
 * They come back from clients, so nothing of them is trusted: a call goes back only under the name of one of Amazon's
 * own tools, a result only behind such a call in the same turn. Otherwise a client could show the model the result of a
 * tool that it runs itself, and that somebody has to approve.
 * https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-tools.html
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { RawJson } from "../../lib/raw-json.ts";

/** Amazon's own tools. No client's tool is sent under one of these names. */
export const SYSTEM_TOOLS: readonly string[] = ["nova_grounding", "nova_code_interpreter"];
const RESULT_TYPES: ReadonlySet<unknown> = new Set(SYSTEM_TOOLS.map((name) => `${name}_result`));
const VALID_ID = /^[a-zA-Z0-9_-]{1,64}$/;

/** A call of Amazon's own tool, which Amazon has answered already. */
export const isServerCall = (toolUse: Json): boolean => toolUse["type"] === "server_tool_use";

/** The blocks of one turn, one after the other. */
export class OwnBlocks {
  readonly #called = new Set<string>();

  /** `data` rebuilt; `null` where it is not what Amazon's tools leave. */
  rebuilt(data: Json | undefined): Json | null {
    const { toolUse, toolResult } = data ?? {};
    if (isJsonObject(toolUse)) return this.#call(toolUse);
    return isJsonObject(toolResult) ? this.#result(toolResult) : null;
  }

  #call({ toolUseId, name, input, type }: Json): Json | null {
    const isOwn = type === "server_tool_use" && SYSTEM_TOOLS.some((each) => each === name);
    if (!isOwn || typeof toolUseId !== "string" || !VALID_ID.test(toolUseId)) return null;
    this.#called.add(toolUseId);
    const args = isJsonObject(input) ? new RawJson(JSON.stringify(input)) : {};
    return { toolUse: { toolUseId, name, input: args, type } };
  }

  #result({ toolUseId, content, status, type }: Json): Json | null {
    if (typeof toolUseId !== "string" || !this.#called.has(toolUseId) || !RESULT_TYPES.has(type)) return null;
    const items = (Array.isArray(content) ? content : []).flatMap((item): Json[] => {
      if (!isJsonObject(item)) return [];
      if (typeof item["text"] === "string") return [{ text: item["text"] }];
      return isJsonObject(item["json"]) ? [{ json: new RawJson(JSON.stringify(item["json"])) }] : [];
    });
    const known = status === "success" || status === "error" ? { status } : {};
    return { toolResult: { toolUseId, content: items, ...known, type } };
  }
}
