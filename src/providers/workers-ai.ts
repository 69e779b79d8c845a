/**
 * Workers AI: OpenAI's protocol, with Cloudflare's own envelope where its API as a whole answers instead.
 *
 * The envelope is `{result, success, errors, messages}` (https://developers.cloudflare.com/fundamentals/api/). It comes
 * with errors, and with answers where an operator's base URL leads to the native endpoint.
 */
import { isJsonObject } from "../lib/json.ts";
import { memberText } from "../lib/json-text.ts";
import { type MadeCall, toCompletion } from "../wires/openai-chat/chat-wire.ts";
import { readCompletion } from "../wires/openai-chat/read-completion.ts";
import type { AnswerContext, Provider, TranslatedAnswer, UpstreamError, UpstreamFailure } from "./adapter.ts";
import { classifyError } from "./classify.ts";
import { WORKERS_AI_ROW } from "./rows.ts";

type Json = Readonly<Record<string, unknown>>;

const NO_HEADERS = new Headers();

/** `base` is the provider that the row alone gives. */
export function workersAi(base: Provider): Provider {
  const adapter = {
    ...base.adapter,
    translation: { ...base.adapter.translation, toCompletion: fromEnvelope },
    classify,
  };
  return { ...base, adapter };
}

function classify(error: UpstreamError): UpstreamFailure {
  const body = isJsonObject(error.body) ? error.body : {};
  const first: unknown = Array.isArray(body["errors"]) ? body["errors"][0] : undefined;
  const unwrapped = isJsonObject(first) && !isJsonObject(body["error"]) ? { error: first } : error.body;
  return classifyError({ ...error, body: unwrapped }, Date.now(), WORKERS_AI_ROW.codes);
}

function fromEnvelope(body: unknown, context: AnswerContext, exact?: string): TranslatedAnswer {
  const outer = isJsonObject(body) ? body : {};
  const text = exact ?? JSON.stringify(body);
  const options = { seed: context.traceId };
  if (Array.isArray(outer["choices"])) return readCompletion(text, outer, options);
  const hasErrors = Array.isArray(outer["errors"]) && outer["errors"].length > 0;
  if (outer["success"] === false || hasErrors) {
    return { ok: false, failure: classify({ status: 200, headers: NO_HEADERS, body }) };
  }
  const result = outer["result"];
  if (!isJsonObject(result)) return { ok: true, completion: outer };
  if (Array.isArray(result["choices"])) return readCompletion(memberText(text, "result") ?? "{}", result, options);
  return { ok: true, completion: fromNative(result, context) };
}

/** `{response, tool_calls: [{name, arguments}], usage}` of the native endpoint; usage is in OpenAI's words there too. */
function fromNative(result: Json, context: AnswerContext): Json {
  const { response, usage } = result;
  if (response === undefined && result["tool_calls"] === undefined) return result;
  const text = typeof response === "string" ? response : isJsonObject(response) ? JSON.stringify(response) : "";
  const calls = (Array.isArray(result["tool_calls"]) ? result["tool_calls"] : []).flatMap(
    (call: unknown, index): MadeCall[] => {
      if (!isJsonObject(call)) return [];
      const made = isJsonObject(call["function"]) ? call["function"] : call;
      const id = typeof call["id"] === "string" ? call["id"] : `call_${context.traceId}_${index}`;
      const args = made["arguments"];
      const written = typeof args === "string" ? args : JSON.stringify(args ?? {});
      return [{ id, name: String(made["name"] ?? ""), args: written === "" ? "{}" : written }];
    },
  );
  const finish = calls.length > 0 ? "tool_calls" : "stop";
  const choices = [{ text, calls, finish }] as const;
  const completion = toCompletion({ id: undefined, model: undefined, choices, usage: null }, context);
  return isJsonObject(usage) ? { ...completion, usage } : completion;
}
