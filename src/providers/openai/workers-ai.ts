/**
 * Workers AI: OpenAI's protocol, with Cloudflare's own envelope where its API as a whole answers instead.
 *
 * The envelope is `{result, success, errors, messages}` (https://developers.cloudflare.com/fundamentals/api/). It comes
 * with errors, and with answers where an operator's base URL leads to the native endpoint.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import { memberText } from "../../lib/json-text.ts";
import type { RowQuirks } from "../provider-row.ts";

export const WORKERS_AI_QUIRKS: RowQuirks = { unwrapAnswer, unwrapError };

function unwrapError(body: unknown): unknown {
  const envelope = isJsonObject(body) ? body : {};
  const first: unknown = Array.isArray(envelope["errors"]) ? envelope["errors"][0] : undefined;
  return isJsonObject(first) && !isJsonObject(envelope["error"]) ? { error: first } : body;
}

function unwrapAnswer(text: string, body: Json): { readonly text: string; readonly body: Json } {
  const { result } = body;
  const raw = memberText(text, "result");
  if (Array.isArray(body["choices"]) || !isJsonObject(result) || raw === undefined) return { text, body };
  return Array.isArray(result["choices"]) ? { text: raw, body: result } : fromNative(raw, result);
}

/**
 * `{response, tool_calls: [{name, arguments}], usage}` of the native endpoint as a completion; usage is in OpenAI's words
 * there too. What is loose in it is mended like any other answer.
 */
function fromNative(raw: string, result: Json): { readonly text: string; readonly body: Json } {
  const { response, tool_calls: calls, usage } = result;
  if (response === undefined && calls === undefined) return { text: raw, body: result };
  const message = new JsonEdit('{"role":"assistant"}').setRaw("content", memberText(raw, "response") ?? '""');
  if (Array.isArray(calls) && calls.length > 0) message.setRaw("tool_calls", memberText(raw, "tool_calls") ?? "[]");
  const completion = new JsonEdit('{"object":"chat.completion"}');
  completion.setRaw("choices", `[{"index":0,"message":${message.toString()},"finish_reason":"stop"}]`);
  if (isJsonObject(usage)) completion.setRaw("usage", memberText(raw, "usage") ?? "{}");
  const choice = {
    index: 0,
    message: { role: "assistant", content: response ?? "", ...madeBy(calls) },
    finish_reason: "stop",
  };
  const own = isJsonObject(usage) ? { usage } : {};
  return { text: completion.toString(), body: { object: "chat.completion", choices: [choice], ...own } };
}

function madeBy(calls: unknown): Json {
  return Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls } : {};
}
