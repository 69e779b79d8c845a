/**
 * Cohere's whole answers, and what they share with its streams: finish reasons, usage, log probabilities.
 *
 * Usage is `tokens`, what the model read and wrote, its hidden prompt included: only there does `cached_tokens` fit in.
 * What Cohere bills is less, and stays beside it as `billed_units`.
 */
import { isJsonObject, isTooDeep } from "../../lib/json.ts";
import type { AnswerContext, TranslatedAnswer, UpstreamError, UpstreamFailure } from "../../providers/adapter.ts";
import {
  countOf,
  type FinishReason,
  type MadeCall,
  type TokenCounts,
  toCompletion,
  toWireUsage,
} from "../openai-chat/chat-wire.ts";

type Json = Readonly<Record<string, unknown>>;

const NO_HEADERS = new Headers();

/** https://docs.cohere.com/reference/chat, `finish_reason`; `ERROR_LIMIT` and `USER_CANCEL` are version 1's. */
const FINISH: Readonly<Record<string, FinishReason>> = {
  COMPLETE: "stop",
  STOP_SEQUENCE: "stop",
  MAX_TOKENS: "length",
  TOOL_CALL: "tool_calls",
  ERROR_TOXIC: "content_filter",
  ERROR_LIMIT: "length",
};
/** Ends that are no answer, in words that `classifyError` knows. */
const BROKEN: Readonly<Record<string, string>> = {
  ERROR: "server_error",
  TIMEOUT: "timeout_error",
  USER_CANCEL: "server_error",
};

/** How an answer ended, or the error it ended with: `message` is Cohere's `error`. `hasCalls`: it made tool calls. */
export function endOf(
  reason: unknown,
  message: unknown,
  hasCalls: boolean,
): { readonly finish: FinishReason } | { readonly error: Json } {
  const name = typeof reason === "string" ? reason.toUpperCase() : "";
  const words = typeof message === "string" ? message : "";
  if (words !== "" || Object.hasOwn(BROKEN, name)) {
    const text = words === "" ? `The generation ended with ${name}.` : words;
    return { error: { message: text, code: Object.hasOwn(BROKEN, name) ? BROKEN[name] : "server_error" } };
  }
  const finish = Object.hasOwn(FINISH, name) ? FINISH[name] : undefined;
  // A reason of tomorrow is an end all the same.
  return { finish: finish === undefined || finish === "stop" ? (hasCalls ? "tool_calls" : "stop") : finish };
}

export function toCohereCompletion(
  body: unknown,
  context: AnswerContext,
  classify: (error: UpstreamError) => UpstreamFailure,
): TranslatedAnswer {
  const answer = isJsonObject(body) && !isTooDeep(body) ? body : {};
  const message = answer["message"];
  const refused = (error: unknown): TranslatedAnswer => ({
    ok: false,
    failure: classify({ status: 200, headers: NO_HEADERS, body: error }),
  });
  // An error's body is `{id, message}` too, but its message is a sentence.
  if (!isJsonObject(message)) return refused(body);
  const calls = callsOf(message["tool_calls"], context);
  const end = endOf(answer["finish_reason"], answer["error"], calls.length > 0);
  if ("error" in end) return refused({ error: end.error });
  const { text, thinking } = contentOf(message["content"]);
  const citations = message["citations"];
  const plan = message["tool_plan"];
  const completion = toCompletion(
    {
      id: typeof answer["id"] === "string" ? answer["id"] : undefined,
      model: undefined,
      choices: [
        {
          text,
          reasoning: thinking,
          calls,
          finish: end.finish,
          logprobs: toLogprobs(answer["logprobs"]) ?? undefined,
          extra: {
            ...(typeof plan === "string" && plan !== "" ? { tool_plan: plan } : {}),
            ...(Array.isArray(citations) && citations.length > 0 ? { citations } : {}),
          },
        },
      ],
      usage: null,
    },
    context,
  );
  // Early answers of this version had their counts in `meta`.
  return { ok: true, completion: withUsage(completion, answer["usage"] ?? answer["meta"]) };
}

function contentOf(content: unknown): { text: string; thinking: string } {
  if (typeof content === "string") return { text: content, thinking: "" };
  let [text, thinking] = ["", ""];
  for (const part of Array.isArray(content) ? content : []) {
    if (!isJsonObject(part)) continue;
    if (typeof part["text"] === "string") text += part["text"];
    if (typeof part["thinking"] === "string") thinking += part["thinking"];
  }
  return { text, thinking };
}

function callsOf(calls: unknown, context: AnswerContext): MadeCall[] {
  const made: MadeCall[] = [];
  for (const call of Array.isArray(calls) ? calls : []) {
    if (!isJsonObject(call) || !isJsonObject(call["function"])) continue;
    const { name, arguments: args } = call["function"];
    made.push({ id: callId(call["id"], context, made.length), name: String(name ?? ""), args: argsText(args) || "{}" });
  }
  return made;
}

export function callId(id: unknown, context: AnswerContext, index: number): string {
  return typeof id === "string" && id !== "" ? id : `call_${context.traceId}_${index}`;
}

/** Arguments as JSON text; `""` where there are none yet. */
export function argsText(args: unknown): string {
  if (typeof args === "string") return args;
  return isJsonObject(args) ? JSON.stringify(args) : "";
}

/** Cohere's usage in OpenAI's convention, or `null` where it counted nothing. */
export function countsOf(usage: unknown): TokenCounts | null {
  if (!isJsonObject(usage)) return null;
  const tokens = isJsonObject(usage["tokens"]) ? usage["tokens"] : {};
  const billed = isJsonObject(usage["billed_units"]) ? usage["billed_units"] : {};
  const prompt = countOf(tokens["input_tokens"]) ?? countOf(billed["input_tokens"]);
  const completion = countOf(tokens["output_tokens"]) ?? countOf(billed["output_tokens"]);
  if (prompt === undefined && completion === undefined) return null;
  return { prompt: prompt ?? 0, completion: completion ?? 0, cached: countOf(usage["cached_tokens"]) };
}

/** Puts what Cohere bills beside the counts of a completion or chunk that has `usage`. */
export function withBilled(body: Json, usage: unknown): Json {
  const billed = isJsonObject(usage) ? usage["billed_units"] : undefined;
  return isJsonObject(billed) && isJsonObject(body["usage"])
    ? { ...body, usage: { ...body["usage"], billed_units: billed } }
    : body;
}

function withUsage(completion: Json, usage: unknown): Json {
  const counts = countsOf(usage);
  return counts === null ? completion : withBilled({ ...completion, usage: toWireUsage(counts) }, usage);
}

/**
 * Cohere gives a text and the log probabilities of the tokens in it. Where these are several, their sum is the log
 * probability of the text, so the text stands as one token.
 */
export function toLogprobs(logprobs: unknown): Json | null {
  const content = (Array.isArray(logprobs) ? logprobs : [logprobs]).flatMap((each) => {
    if (!isJsonObject(each) || !Array.isArray(each["logprobs"])) return [];
    const values = each["logprobs"].filter((value) => typeof value === "number");
    const token = typeof each["text"] === "string" ? each["text"] : "";
    const bytes = [...new TextEncoder().encode(token)];
    return [{ token, logprob: values.reduce((sum, value) => sum + value, 0), bytes, top_logprobs: [] }];
  });
  return content.length === 0 ? null : { content, refusal: null };
}
