/**
 * A client's Messages body for a provider that speaks Messages: its own text, with nothing changed but what has to be.
 *
 * Model and cap are ours to say, members that the policy fills in stand where the client left them out, and what another
 * provider signed stays away from this one.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../../lib/json.ts";
import { editElements } from "../../../lib/json-spans.ts";
import { elementTexts, memberText } from "../../../lib/json-text.ts";
import type { AdapterCall } from "../../../providers/adapter.ts";
import { isCarried } from "../door/carried.ts";

export interface EditOptions {
  /** What the policy's `params` come to in this wire. */
  readonly params: Json;
  /** Is the signature one that this provider may have made? */
  readonly ownsSignature: (signature: string) => boolean;
}

export interface EditedRequest {
  readonly body: string;
  /** Names of members that the client sent and that were left out. */
  readonly dropped: readonly string[];
}

/** Members that only an answer has a use for: a count is refused with them. */
const OF_ANSWERS = ["max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata"] as const;

export function editRequest(call: AdapterCall, { params, ownsSignature }: EditOptions): EditedRequest {
  const { body, fields, model, maxOutputTokens, action, without = [] } = call;
  const dropped: string[] = [];
  body.set("model", model);
  for (const [name, value] of Object.entries(params)) if (!body.has(name)) body.set(name, value);
  if (action === "count_tokens") for (const name of OF_ANSWERS) body.remove(name);
  else {
    const { max_tokens: wanted } = fields;
    const cap = typeof wanted === "number" ? Math.min(wanted, maxOutputTokens ?? wanted) : maxOutputTokens;
    if (cap !== undefined && cap !== wanted) body.set("max_tokens", cap);
  }
  for (const name of without) {
    if (name !== "strict" && body.has(name) && !NEEDED.has(name)) body.remove(name);
    if (name === "strict" && !withoutStrict(body)) continue;
    if (name === "strict" || Object.hasOwn(fields, name)) dropped.push(name);
  }
  const messages = body.raw("messages");
  const own = messages === undefined ? null : withoutForeign(messages, ownsSignature);
  if (own !== null) body.setRaw("messages", own);
  return { body: body.toString(), dropped };
}

const NEEDED: ReadonlySet<string> = new Set(["model", "messages", "max_tokens", "stream"]);

function withoutStrict(body: JsonEdit): boolean {
  const tools = body.raw("tools");
  if (tools?.includes('"strict"') !== true) return false;
  body.setRaw(
    "tools",
    editElements(tools, (tool) => (tool.startsWith("{") ? new JsonEdit(tool).remove("strict").toString() : undefined)),
  );
  return true;
}

/** Blocks that carry a proof of their own. Few conversations have any. */
const MAY_BE_SIGNED = /"(?:redacted_)?thinking"/;

/**
 * The text of `messages` without what another provider signed; every other byte stays. `null` where nothing has to go.
 * Thoughts without a signature stay: their provider may want them.
 */
export function withoutForeign(messages: string, ownsSignature: EditOptions["ownsSignature"]): string | null {
  if (!MAY_BE_SIGNED.test(messages)) return null;
  let isEdited = false;
  const text = editElements(messages, (message) => {
    const content = message.startsWith("{") ? memberText(message, "content") : undefined;
    if (content?.startsWith("[") !== true || !MAY_BE_SIGNED.test(content)) return undefined;
    let isSame = true;
    const kept = editElements(content, (block) => {
      if (!MAY_BE_SIGNED.test(block) || !isForeign(tryParseJson(block), ownsSignature)) return undefined;
      isSame = false;
      return null;
    });
    if (isSame) return undefined;
    isEdited = true;
    // A message of nothing else would be empty, which is refused.
    return elementTexts(kept).length === 0 ? null : new JsonEdit(message).setRaw("content", kept).toString();
  });
  return isEdited ? text : null;
}

function isForeign(block: unknown, ownsSignature: EditOptions["ownsSignature"]): boolean {
  if (!isJsonObject(block)) return false;
  const { type, signature, data } = block;
  const proof = type === "thinking" ? signature : type === "redacted_thinking" ? data : undefined;
  return typeof proof === "string" && (isCarried(proof) || !ownsSignature(proof));
}
