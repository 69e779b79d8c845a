/**
 * Keeps tool calls from a client that needs them approved.
 *
 * Until calls can be recorded and decided, a gated answer loses its calls, says so in its text and ends with `stop`:
 * nothing is released unmarked.
 */
import { isJsonObject } from "../lib/json.ts";
import { isFinishReason } from "../openai.ts";

type Json = Readonly<Record<string, unknown>>;

/** The text that stands where calls were. Names are the model's own output; arguments are left out. */
function withheldText(names: readonly string[]): string {
  const list = names.map((name) => `\`${name}\``).join(", ");
  const what = names.length > 1 ? "tool calls that need approval" : "a tool call that needs approval";
  return `[The Flow Layer withheld ${what}${list === "" ? "" : `: ${list}`}]`;
}

/** Names of the tools a message or delta calls, legacy `function_call` included. */
export function calledTools(message: Json): string[] {
  const names: string[] = [];
  const calls = Array.isArray(message["tool_calls"]) ? message["tool_calls"] : [];
  for (const call of calls) {
    if (!isJsonObject(call)) continue;
    const detail = call["function"] ?? call["custom"];
    if (isJsonObject(detail) && typeof detail["name"] === "string" && detail["name"] !== "") names.push(detail["name"]);
  }
  const legacy = message["function_call"];
  if (isJsonObject(legacy) && typeof legacy["name"] === "string" && legacy["name"] !== "") names.push(legacy["name"]);
  return names;
}

function withoutCalls(message: Json): Record<string, unknown> {
  const { tool_calls: _calls, function_call: _legacy, ...rest } = message;
  return rest;
}

/** Also for a call without a name: what cannot be named cannot be approved. Some vendors write `null` for none. */
function carriesCalls({ tool_calls, function_call }: Json): boolean {
  const isEmptyList = Array.isArray(tool_calls) && tool_calls.length === 0;
  return (isFilled(tool_calls) && !isEmptyList) || isFilled(function_call);
}

const isFilled = (value: unknown): boolean => value !== undefined && value !== null;

/** Ids of the tool results a request carries: `role:"tool"`, and the legacy `role:"function"` by its name. */
export function toolResultIds(messages: unknown): string[] {
  const ids: string[] = [];
  if (!Array.isArray(messages)) return ids;
  for (const message of messages) {
    if (!isJsonObject(message)) continue;
    if (message["role"] === "tool") ids.push(String(message["tool_call_id"] ?? ""));
    if (message["role"] === "function") ids.push(String(message["name"] ?? ""));
  }
  return ids;
}

/** The choices of a whole answer without their tool calls, and the names of those withheld. `null`: none carries any. */
export function withholdFromChoices(choices: readonly unknown[]): { choices: unknown[]; withheld: string[] } | null {
  const withheld: string[] = [];
  let isChanged = false;
  const kept = choices.map((choice) => {
    if (!isJsonObject(choice) || !isJsonObject(choice["message"]) || !carriesCalls(choice["message"])) return choice;
    isChanged = true;
    const names = calledTools(choice["message"]);
    withheld.push(...names);
    const message = withoutCalls(choice["message"]);
    const text = typeof message["content"] === "string" ? `${message["content"]}\n\n` : "";
    return { ...choice, message: { ...message, content: text + withheldText(names) }, finish_reason: "stop" };
  });
  return isChanged ? { choices: kept, withheld } : null;
}

/** The same for the chunks of one stream, in order. */
export class StreamWithholder {
  /** By the index of a choice: the names of its calls, an empty list where they have none. */
  readonly #names = new Map<unknown, string[]>();

  /** The chunk to send instead, or `null` when nothing is left of it. The same object when it holds no call. */
  filter(chunk: Json): Json | null {
    const choices = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    let isChanged = false;
    const kept: unknown[] = [];
    for (const choice of choices) {
      const filtered = isJsonObject(choice) ? this.#filterChoice(choice) : choice;
      isChanged ||= filtered !== choice;
      if (filtered !== null) kept.push(filtered);
    }
    if (!isChanged) return chunk;
    return kept.length === 0 && !isJsonObject(chunk["usage"]) ? null : { ...chunk, choices: kept };
  }

  #filterChoice(choice: Json): Json | null {
    const delta = isJsonObject(choice["delta"]) ? choice["delta"] : {};
    // Perplexity repeats the whole message so far beside each delta.
    const message = isJsonObject(choice["message"]) ? choice["message"] : {};
    const carries = carriesCalls(delta) || carriesCalls(message);
    let names = this.#names.get(choice["index"]);
    if (carries) {
      names = [...(names ?? []), ...calledTools(carriesCalls(delta) ? delta : message)];
      this.#names.set(choice["index"], names);
    }
    const isLast = isFinishReason(choice["finish_reason"]);
    if (!carries && !(isLast && names !== undefined)) return choice;
    const rest = withoutCalls(delta);
    const { message: _message, ...others } = choice;
    if (isLast && names !== undefined) {
      const text = typeof rest["content"] === "string" ? rest["content"] : "";
      return { ...others, delta: { ...rest, content: text + withheldText(names) }, finish_reason: "stop" };
    }
    return Object.values(rest).some((value) => value !== null && value !== "") ? { ...others, delta: rest } : null;
  }
}
