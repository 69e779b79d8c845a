/** Cohere's whole answers. Arguments are cut out of the text: parsing would round their numbers. */
import type { AnswerChoice } from "../../conversation/answer.ts";
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep } from "../../lib/json.ts";
import { elementTexts, textAt } from "../../lib/json-text.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { classifyError } from "../../providers/classify.ts";
import { argumentsText } from "../call-arguments.ts";
import { CalledTools, customInput } from "../custom-tools.ts";
import { toChatUsage } from "../openai-chat/usage.ts";
import { ToolNames } from "../tool-names.ts";
import type { AnswerContext, ReadAnswer } from "../wire.ts";
import { allowsOneCall, billedOf, callId, countsOf, endOf, toLogprobs } from "./ends.ts";
import { MAX_NAME_LENGTH } from "./tools.ts";

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

export function readAnswer(text: string, body: unknown, context: AnswerContext): ReadAnswer {
  const answer = isJsonObject(body) ? body : {};
  const message = answer["message"];
  // An error's body is `{id, message}` too, but its message is a sentence.
  if (!isJsonObject(message)) return refused(body);
  const calls = callsIn(text, message["tool_calls"], context);
  const end = endOf(answer["finish_reason"], answer["error"], calls.length > 0);
  // Early answers of this version had their counts in `meta`.
  const usage = answer["usage"] ?? answer["meta"];
  const counts = countsOf(usage);
  const rawUsage = counts === null ? undefined : toChatUsage(counts, billedOf(usage));
  if (end.kind === "error") return { ...refused({ error: end.error }), rawUsage };
  const content = contentOf(message);
  if (end.kind === "unknown" || isTooDeep(content)) return { ok: false, failure: NOT_AN_ANSWER, rawUsage };
  const plan = message["tool_plan"];
  const choice: AnswerChoice = {
    parts: [...content, ...(allowsOneCall(context) ? calls.slice(0, 1) : calls)],
    finish: { reason: end.reason, native: end.native },
    logprobs: toLogprobs(answer["logprobs"]),
    extra: typeof plan === "string" && plan !== "" ? { tool_plan: plan } : undefined,
  };
  return {
    ok: true,
    answer: {
      id: typeof answer["id"] === "string" ? answer["id"] : undefined,
      model: undefined,
      choices: [choice],
      usage: counts,
      rawUsage,
    },
  };
}

function refused(body: unknown): Extract<ReadAnswer, { ok: false }> {
  return { ok: false, failure: classifyError({ status: 200, headers: new Headers(), body }, Date.now()) };
}

/** Thoughts and texts in order; citations belong to the text, and count their characters from its beginning. */
function contentOf(message: Json): Part[] {
  const { content } = message;
  const parts = typeof content === "string" ? [{ text: content }] : Array.isArray(content) ? content : [];
  const read = parts
    .filter(isJsonObject)
    .flatMap(({ text, thinking }): Part[] => [
      ...(typeof thinking === "string" && thinking !== ""
        ? [{ kind: "reasoning", text: thinking, form: "full", path: "" } as const]
        : []),
      ...(typeof text === "string" && text !== "" ? [{ kind: "text", text, path: "" } as const] : []),
    ]);
  const list = Array.isArray(message["citations"]) ? message["citations"] : [];
  const citations = list.filter(isJsonObject);
  const at = read.findIndex(({ kind }) => kind === "text");
  const owner = read[at];
  if (citations.length > 0) {
    if (owner?.kind === "text") read[at] = { ...owner, citations };
    else read.push({ kind: "text", text: "", citations, path: "" });
  }
  return read;
}

function callsIn(text: string, calls: unknown, context: AnswerContext): Part[] {
  const list = Array.isArray(calls) ? calls : [];
  if (list.length === 0) return [];
  const { conversation } = context;
  const names = conversation === null ? null : new ToolNames(conversation, MAX_NAME_LENGTH);
  const tools = new CalledTools(conversation, names);
  const texts = elementTexts(textAt(text, "message", "tool_calls") ?? "");
  const made: Part[] = [];
  for (const [at, call] of list.entries()) {
    if (!isJsonObject(call) || !isJsonObject(call["function"])) continue;
    const { name, arguments: given } = call["function"];
    const exact = typeof given === "string" ? given : (textAt(texts[at] ?? "", "function", "arguments") ?? "");
    const tool = tools.named(typeof name === "string" ? name : "");
    const args = argumentsText(exact);
    made.push({
      kind: "call",
      ...tool,
      id: callId(call["id"], context, made.length),
      args: tool.form === "custom" ? customInput(args) : args,
      path: "",
    });
  }
  return made;
}
