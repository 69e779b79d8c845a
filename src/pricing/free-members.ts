/**
 * Top-level members of a chat request that cost nothing beyond the tokens they make: an allow-list.
 *
 * Only members listed here are sent to a provider of the chat wire on a request whose cost has to be bounded. A member
 * that unknown here may choose another model, a more expensive host or a search with a fee, so that no number would be
 * a bound.
 */
import type { Price } from "../catalog/model-facts.ts";
import { termsOf } from "../catalog/provider-terms.ts";
import type { OpaqueMember } from "../conversation/conversation.ts";
import { isJsonObject } from "../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

const FREE_MEMBERS: ReadonlySet<string> = new Set([
  // Read by the router itself.
  ...["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "route"],
  ...["tools", "functions", "service_tier", "speed", "inference_geo"],
  // Sampling.
  ...["temperature", "top_p", "top_k", "top_a", "min_p", "typical_p", "seed", "random_seed", "stop", "stop_sequences"],
  ...["presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logit_bias"],
  ...["min_tokens", "ignore_eos", "stop_token_ids", "include_stop_str_in_output", "skip_special_tokens", "bad_words"],
  // Shape of the answer.
  ...["response_format", "tool_choice", "function_call", "parallel_tool_calls", "parallel_tool_call", "logprobs"],
  ...["top_logprobs", "verbosity", "audio", "guided_json", "guided_regex", "guided_choice", "guided_grammar"],
  ...["structured_outputs", "strict_tools", "citation_options", "tool_stream", "return_token_ids"],
  // Thinking: its tokens are output.
  ...["reasoning_effort", "reasoning", "reasoning_format", "include_reasoning", "thinking", "enable_thinking"],
  ...["thinking_budget", "think", "output_config", "clear_thinking", "preserve_thinking", "reasoning_split"],
  ...["chat_template_kwargs", "add_generation_prompt", "continue_final_message", "prompt_mode", "safe_prompt"],
  // Who asks, and what is kept.
  ...["user", "user_id", "request_id", "safety_identifier", "metadata", "store", "session_id", "trace"],
  ...["prompt_cache_key", "prompt_cache_retention", "prompt_cache_isolation_key", "cache_control", "safetySettings"],
  ...["safety_settings"],
]);
const RATE_WORDS: ReadonlySet<string> = new Set(["service_tier", "speed", "inference_geo"]);
/**
 * What other wires write of a chat request in addition to their own words for the above, and what has a price of its
 * own.
 */
const PAID_ELSEWHERE: readonly string[] = [
  ...["container", "guardrailConfig", "guardrail_config", "cachedContent"],
  // Further attempts, by models that the client names.
  "fallbacks",
];

/** Asks for nothing, whatever it is called. An empty object may switch something on. */
const asksForNothing = (value: unknown): boolean =>
  value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);

/**
 * The first member of `fields` whose cost is unknown, `null` when there is none. `isSameWire`: the body goes to the
 * provider as it came, with all its members.
 */
export function unknownMember(
  fields: Json,
  provider: string,
  price: Price | undefined,
  isSameWire: boolean,
): string | null {
  if (!isSameWire) return PAID_ELSEWHERE.find((name) => !asksForNothing(fields[name])) ?? null;
  const { freeMembers = [] } = termsOf(provider);
  for (const [name, value] of Object.entries(fields)) {
    if (asksForNothing(value)) continue;
    // What chooses a rate has a price only as a word.
    if (RATE_WORDS.has(name) && typeof value !== "string") return name;
    if (FREE_MEMBERS.has(name) || freeMembers.includes(name)) continue;
    if (name === "modalities" && isTextOrSound(value)) continue;
    // The fee by the size of the search is in the model's price, and the most of it is held.
    if (name === "web_search_options" && price?.request !== undefined && hasOnlySearchSize(value)) continue;
    return name;
  }
  return null;
}

/** Members of other doors' requests that cost nothing beyond the tokens they make. */
const FREE_OTHERS: ReadonlySet<string> = new Set(["betas", "include", "client_metadata", "max_tool_calls"]);
/** The same of a tool. */
const FREE_OF_TOOLS: ReadonlySet<string> = new Set([
  ...["defer_loading", "input_examples", "eager_input_streaming", "allowed_callers"],
]);

/** The same of the members that a reader of another door did not know; `null` when there is none. */
export function unknownOther(others: readonly OpaqueMember[]): string | null {
  const unknown = others.find(({ name, path, source }) => {
    if (asksForNothing(source)) return false;
    if (name === "context_management") return !onlyClears(source);
    if (path !== name && path.startsWith("tools[")) return !FREE_OF_TOOLS.has(name);
    return !FREE_MEMBERS.has(name) && !FREE_OTHERS.has(name);
  });
  return unknown?.path ?? null;
}

/** What is taken out of the conversation costs nothing. A summary is written by the model. */
function onlyClears(management: unknown): boolean {
  const { edits, ...others } = isJsonObject(management) ? management : { edits: null };
  const isClear = (edit: unknown): boolean => isJsonObject(edit) && /^clear_[a-z]/.test(String(edit["type"]));
  return Object.keys(others).length === 0 && Array.isArray(edits) && edits.every(isClear);
}

/** Both are output tokens. A picture is charged by a price that the catalogue does not have. */
function isTextOrSound(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => each === "text" || each === "audio");
}

function hasOnlySearchSize(value: unknown): boolean {
  const known = ["search_context_size", "user_location"];
  return isJsonObject(value) && Object.keys(value).every((name) => known.includes(name));
}
