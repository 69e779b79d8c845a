/**
 * Calls of the tools that Google runs itself next to functions, and what they found: Gemini 3 wants them back.
 *
 * They come back from clients, so nothing of them is trusted: a call goes back only under the type of one of Google's own
 * tools, a result only behind such a call. https://ai.google.dev/gemini-api/docs/tool-combination
 */
import type { BlockPart, Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { RawJson } from "../../lib/raw-json.ts";

const TYPES: ReadonlySet<unknown> = new Set([
  ...["GOOGLE_SEARCH_WEB", "GOOGLE_SEARCH_IMAGE", "URL_CONTEXT", "GOOGLE_MAPS", "FILE_SEARCH"],
]);
const MAX_ID_LENGTH = 256;

/** `null` for a part of any other kind. `type` is the tool's name for an approval gate. */
export function readOwnPart(part: Json): BlockPart | null {
  const { toolCall, toolResponse } = part;
  const own = isJsonObject(toolCall) ? toolCall : toolResponse;
  if (!isJsonObject(own)) return null;
  const data = { type: String(own["toolType"]).toLowerCase(), ...part };
  return { kind: "block", path: "", bound: { wire: "gemini", provider: null, data } };
}

/** Those of one conversation, one after the other. */
export class OwnParts {
  readonly #called = new Set<string>();

  /** `data` rebuilt; `null` where it is not what Google's tools leave. */
  rebuilt({ toolCall, toolResponse, thoughtSignature }: Json): Json | null {
    const signed = typeof thoughtSignature === "string" ? { thoughtSignature } : {};
    const own = isJsonObject(toolCall) ? toolCall : isJsonObject(toolResponse) ? toolResponse : {};
    const { id, toolType } = own;
    if (!TYPES.has(toolType) || typeof id !== "string" || id.length > MAX_ID_LENGTH) return null;
    if (isJsonObject(toolCall)) {
      this.#called.add(id);
      return { toolCall: { id, toolType, ...exact("args", own) }, ...signed };
    }
    return this.#called.has(id) ? { toolResponse: { id, toolType, ...exact("response", own) }, ...signed } : null;
  }
}

function exact(name: string, own: Json): Json {
  return isJsonObject(own[name]) ? { [name]: new RawJson(JSON.stringify(own[name])) } : {};
}
