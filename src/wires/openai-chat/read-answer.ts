/** A whole answer in OpenAI's protocol as an `Answer`. It is mended by then: every choice has a message. */
import type { Answer, AnswerChoice, FinishReason } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";
import { isFilled, usageOf } from "./chunk.ts";
import { readTurns } from "./read-turns.ts";
import { readChatUsage } from "./usage.ts";

/** Members of a message that a request's reader passes over, because they say nothing to another model. */
const KEPT_MEMBERS = ["annotations", "citations", "audio"] as const;
const READ_TOP: ReadonlySet<string> = new Set(["id", "object", "created", "model", "choices", "usage", "x_groq"]);

export function readAnswer(body: Json): Answer {
  const { id, model, choices } = body;
  const raw = usageOf(body);
  return {
    id: typeof id === "string" && id !== "" ? id : undefined,
    model: typeof model === "string" && model !== "" ? model : undefined,
    choices: Array.isArray(choices) ? choices.filter(isJsonObject).map(readChoice) : [],
    usage: readChatUsage(raw),
    rawUsage: isJsonObject(raw) ? raw : undefined,
    extra: Object.fromEntries(Object.entries(body).filter(([name, value]) => !READ_TOP.has(name) && isFilled(value))),
  };
}

function readChoice({ message, finish_reason: finish, logprobs }: Json): AnswerChoice {
  const said: Json = isJsonObject(message) ? message : {};
  const { turns, others } = readTurns([{ ...said, role: "assistant" }]);
  const kept = KEPT_MEMBERS.filter((name) => isFilled(said[name])).map((name) => [name, said[name]] as const);
  const extra = {
    ...Object.fromEntries(others.map(({ name, source }) => [name, source])),
    ...Object.fromEntries(kept),
  };
  const word = typeof finish === "string" ? finish : "stop";
  return {
    parts: turns[0]?.parts ?? [],
    finish: { reason: reasonOf(word), native: word },
    ...(isJsonObject(logprobs) ? { logprobs } : {}),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** Words that mending leaves are the four, the legacy one, or an unknown word. */
export function reasonOf(word: string): FinishReason {
  switch (word) {
    case "length":
    case "content_filter":
    case "tool_calls":
      return word;
    case "function_call":
      return "tool_calls";
    default:
      return "stop";
  }
}
