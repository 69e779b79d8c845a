/** What providers write as `finish_reason`, in the four words that clients act on. */

/** Synonyms that mean the same wherever they are written. Compared in lower case. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ["stop", "stop"],
  ["eos", "stop"],
  ["eos_token", "stop"],
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["complete", "stop"],
  ["completed", "stop"],
  ["length", "length"],
  ["max_tokens", "length"],
  ["max_output_tokens", "length"],
  ["model_length", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_calls", "tool_calls"],
  ["tool_call", "tool_calls"],
  ["tool_use", "tool_calls"],
  ["function_call", "function_call"],
  ["content_filter", "content_filter"],
  ["safety", "content_filter"],
  ["error", "error"],
]);

/**
 * `word` in OpenAI's spelling; `own`: the provider's further words. An unknown word stays, except where calls
 * were made: then the client has to run them, whatever the provider calls it. An answer that calls nothing just stops.
 */
export function finishWord(
  word: string,
  calls: "none" | "tools" | "legacy",
  own: Readonly<Record<string, string>> = {},
): string {
  const known = Object.hasOwn(own, word) ? own[word] : SYNONYMS.get(word.toLowerCase());
  // A client that waits for calls would have nothing to run.
  if (calls === "none") return known === "tool_calls" || known === "function_call" ? "stop" : (known ?? word);
  const ends = calls === "tools" ? "tool_calls" : "function_call";
  const means = known ?? "stop";
  return means === "stop" || means === "function_call" || means === "tool_calls" ? ends : means;
}

/** Some providers send an empty word, or that of nothing, with every chunk. */
export function isFinishWord(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value !== "null";
}
