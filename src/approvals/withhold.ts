/**
 * Keeps tool calls from a client that needs them approved.
 *
 * Until calls can be recorded and decided, a gated answer loses its calls, says so in its text and ends with `stop`:
 * nothing is released unmarked.
 */
import { isJsonObject } from "../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** The text that stands where calls were. Names are the model's own output; arguments are left out. */
function withheldText(names: readonly string[]): string {
  const list = names.map((name) => `\`${name}\``).join(", ");
  return `[The Flow Layer withheld ${names.length === 1 ? "a tool call" : "tool calls"} that needs approval: ${list}]`;
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

const carriesCalls = (message: Json): boolean => "tool_calls" in message || "function_call" in message;

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

/** The choices of a whole answer without their tool calls, and the names of those withheld (none: unchanged). */
export function withholdFromChoices(choices: readonly unknown[]): { choices: unknown[]; withheld: string[] } {
  const withheld: string[] = [];
  const kept = choices.map((choice) => {
    if (!isJsonObject(choice) || !isJsonObject(choice["message"]) || !carriesCalls(choice["message"])) return choice;
    const names = calledTools(choice["message"]);
    if (names.length === 0) return choice;
    withheld.push(...names);
    const message = withoutCalls(choice["message"]);
    const text = typeof message["content"] === "string" ? `${message["content"]}\n\n` : "";
    return { ...choice, message: { ...message, content: text + withheldText(names) }, finish_reason: "stop" };
  });
  return { choices: kept, withheld };
}

/** The same for the chunks of one stream, in order. */
export class StreamWithholder {
  readonly #names = new Map<unknown, string[]>();

  get withheld(): string[] {
    return [...this.#names.values()].flat();
  }

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
    const names = this.#names.get(choice["index"]) ?? [];
    const carries = carriesCalls(delta);
    if (carries) {
      names.push(...calledTools(delta));
      this.#names.set(choice["index"], names);
    }
    const isLast = typeof choice["finish_reason"] === "string";
    if (!carries && !(isLast && names.length > 0)) return choice;
    const rest = withoutCalls(delta);
    if (isLast) {
      const text = typeof rest["content"] === "string" ? rest["content"] : "";
      return { ...choice, delta: { ...rest, content: text + withheldText(names) }, finish_reason: "stop" };
    }
    return Object.values(rest).some((value) => value !== null && value !== "") ? { ...choice, delta: rest } : null;
  }
}
