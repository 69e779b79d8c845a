/**
 * A provider's `usage` object in one convention, OpenAI's, with what prices ask for besides.
 *
 * Pure. The translators write their provider's figures as OpenAI does; what is left to tell apart here is how OpenAI's
 * words are used by those who share them. A total that makes no sense makes the whole object worthless, so that the
 * caller counts for itself. A detail that makes none leaves totals to show and no cost: `isDoubtful`.
 */
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject } from "../lib/json.ts";
import { reportedNanoUsd } from "./reported.ts";

type Json = Readonly<Record<string, unknown>>;

/** Larger counts are faults of the provider: the widest window on the market is 10 million tokens. */
const MAX_COUNT = 100_000_000;
const NOTHING: Json = Object.freeze({});
const MESSAGE_ALONE: ReadonlySet<unknown> = new Set(["message"]);
/** What the reader of a provider's answers has put into the totals: each attempt is billed, a refused one too. */
const SUMMED_ITERATIONS: ReadonlyMap<string, ReadonlySet<unknown>> = new Map([
  ["anthropic", new Set<unknown>(["message", "fallback_message", "compaction"])],
]);

/** `null` when `raw` holds no usable totals. `provider` is the one that sent it. */
export function readUsage(raw: unknown, provider = ""): Usage | null {
  if (!isJsonObject(raw)) return null;
  const prompt = count(raw["prompt_tokens"]);
  const completion = count(raw["completion_tokens"]) ?? completionFromTotal(raw);
  if (prompt === undefined || completion === undefined) return null;
  const details = new Details();
  const totals = {
    ...readPrompt(raw, prompt, provider, details),
    ...readCompletion(raw, completion, provider, details),
  };
  const more = { ...readBilled(raw, provider, details), ...readCalls(raw, details) };
  const size = raw["search_context_size"];
  const reported = reportedNanoUsd(raw, provider);
  if (hasOtherIterations(raw["iterations"], provider)) details.isDoubtful = true;
  return {
    ...totals,
    ...more,
    ...(typeof size === "string" ? { searchContextSize: size.slice(0, 32) } : {}),
    ...(reported === undefined ? {} : { reportedNanoUsd: reported }),
    ...(details.isDoubtful ? { isDoubtful: true } : {}),
  };
}

/** Counts for an answer without the provider's own figures, see `pricing/count.ts`. Fractions are rounded up. */
export function countedUsage(promptTokens: number, completionTokens: number): Usage {
  return {
    promptTokens: Math.ceil(Math.max(0, promptTokens)),
    completionTokens: Math.ceil(Math.max(0, completionTokens)),
    cachedTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
  };
}

/** Reads figures that may be left out, and remembers whether one of them made no sense. */
class Details {
  isDoubtful = false;

  /** The first of several spellings that is there; 0 for none. */
  read(...spellings: readonly unknown[]): number {
    const given = spellings.find((value) => value !== undefined && value !== null);
    if (given === undefined) return 0;
    const known = count(given);
    if (known === undefined) this.isDoubtful = true;
    return known ?? 0;
  }

  /** A part is no larger than what it is a part of. */
  within(whole: number, part: number): number {
    if (part > whole) this.isDoubtful = true;
    return Math.min(part, whole);
  }
}

type PromptUsage = Omit<Usage, "completionTokens" | "reasoningTokens">;

function readPrompt(raw: Json, reported: number, provider: string, details: Details): PromptUsage {
  const parts = objectOf(raw["prompt_tokens_details"]);
  const cached = readCached(raw, parts, details);
  // xAI has been seen to report more cached tokens than prompt tokens: then the cached ones are not among them.
  const promptTokens = provider === "xai" && cached > reported ? reported + cached : reported;
  const cachedTokens = details.within(promptTokens, cached);
  // The second spelling is Alibaba's.
  const written = details.read(parts["cache_write_tokens"], parts["cache_creation_input_tokens"]);
  const cacheWriteTokens = details.within(promptTokens - cachedTokens, written);
  const hour = details.within(cacheWriteTokens, readHourWrites(raw, parts, details));
  const isImplicit = provider === "alibaba" && cachedTokens > 0 && !isAskedForCache(parts);
  const text = { promptTokens, cachedTokens, cacheWriteTokens };
  return {
    ...text,
    ...(hour > 0 ? { cacheWriteHourTokens: hour } : {}),
    ...(isImplicit ? { implicitCachedTokens: cachedTokens } : {}),
    ...readAudioInput(parts, text, details),
  };
}

function readCached(raw: Json, parts: Json, details: Details): number {
  return details.read(
    parts["cached_tokens"],
    // Mistral's own spelling, besides the misspelt details object it has also sent.
    raw["num_cached_tokens"],
    objectOf(raw["prompt_token_details"])["cached_tokens"],
    // DeepSeek.
    raw["prompt_cache_hit_tokens"],
    // Moonshot.
    raw["cached_tokens"],
  );
}

type TextUsage = Pick<Usage, "promptTokens" | "cachedTokens" | "cacheWriteTokens">;

function readAudioInput(
  parts: Json,
  { promptTokens, cachedTokens, cacheWriteTokens }: TextUsage,
  details: Details,
): Pick<Usage, "audioInputTokens" | "cachedAudioTokens"> {
  const audio = details.within(promptTokens, details.read(parts["audio_tokens"]));
  const both = Math.min(audio, cachedTokens);
  const isSplit = audio > 0 && count(parts["cached_audio_tokens"]) !== undefined;
  const cachedAudio = details.within(both, details.read(parts["cached_audio_tokens"]));
  // Parts may overlap no further than by the tokens that are both cached and audio.
  details.within(promptTokens, cachedTokens + cacheWriteTokens + audio - (isSplit ? cachedAudio : both));
  return {
    ...(audio > 0 ? { audioInputTokens: audio } : {}),
    ...(isSplit ? { cachedAudioTokens: cachedAudio } : {}),
  };
}

/** Anthropic puts the split next to the totals; others put it into the details. */
function readHourWrites(raw: Json, parts: Json, details: Details): number {
  const splits = [parts["cache_creation"], raw["cache_creation"]].map(
    (split) => objectOf(split)["ephemeral_1h_input_tokens"],
  );
  return details.read(parts["cache_write_1h_tokens"], ...splits);
}

/** Alibaba's two caches cost differently and exclude each other; only the one that was asked for is written to. */
function isAskedForCache(parts: Json): boolean {
  const type = parts["cache_type"];
  if (typeof type === "string" && type !== "") return type !== "implicit";
  return parts["cache_creation_input_tokens"] !== undefined || isJsonObject(parts["cache_creation"]);
}

type CompletionUsage = Pick<Usage, "completionTokens" | "reasoningTokens" | "audioOutputTokens">;

function readCompletion(raw: Json, reported: number, provider: string, details: Details): CompletionUsage {
  const parts = objectOf(raw["completion_tokens_details"]);
  const reasoning = details.read(parts["reasoning_tokens"], raw["reasoning_tokens"]);
  const completionTokens = excludesReasoning(provider, reasoning, reported, raw) ? reported + reasoning : reported;
  const audio = details.within(completionTokens, details.read(parts["audio_tokens"]));
  return {
    completionTokens,
    reasoningTokens: details.within(completionTokens, reasoning),
    ...(audio > 0 ? { audioOutputTokens: audio } : {}),
  };
}

/** True where `completion_tokens` does not hold the reasoning tokens, which bill as output all the same. */
function excludesReasoning(provider: string, reasoning: number, completion: number, raw: Json): boolean {
  // docs.x.ai: on Chat Completions the two are disjoint. The Responses API counts one inside the other, and its reader
  // says so.
  if (provider === "xai") return raw["reasoning_included"] !== true;
  // DeepInfra's Gemini and Gemma models show it only by the impossible sum.
  return provider === "deepinfra" && reasoning > completion;
}

/** Cohere reads a hidden prompt of its own and does not charge for it. */
function readBilled(raw: Json, provider: string, details: Details): Partial<Usage> {
  const units = raw["billed_units"];
  if (provider !== "cohere" || !isJsonObject(units)) return {};
  const prompt = units["input_tokens"] ?? undefined;
  const completion = units["output_tokens"] ?? undefined;
  return {
    ...(prompt === undefined ? {} : { billedPromptTokens: details.read(prompt) }),
    ...(completion === undefined ? {} : { billedCompletionTokens: details.read(completion) }),
  };
}

function readCalls(raw: Json, details: Details): Partial<Usage> {
  const calls = objectOf(raw["server_tool_use"]);
  const webSearches = details.read(calls["web_search_requests"]);
  const fileSearches = details.read(calls["file_search_requests"]);
  const groundedPrompts = details.read(calls["grounded_prompts"]);
  return {
    ...(webSearches > 0 ? { webSearches } : {}),
    ...(fileSearches > 0 ? { fileSearches } : {}),
    ...(groundedPrompts > 0 ? { groundedPrompts } : {}),
  };
}

/** Calls of models other than the one that answered. An advisor is charged at another model's price. */
function hasOtherIterations(iterations: unknown, provider: string): boolean {
  const known = SUMMED_ITERATIONS.get(provider) ?? MESSAGE_ALONE;
  return Array.isArray(iterations) && iterations.some((each) => isJsonObject(each) && !known.has(each["type"]));
}

/** A believable count, or `undefined`. */
function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT ? value : undefined;
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : NOTHING;
}

/** Some providers leave `completion_tokens` out where nothing was generated, and still send the sum. */
function completionFromTotal(raw: Json): number | undefined {
  const prompt = count(raw["prompt_tokens"]);
  const total = count(raw["total_tokens"]);
  // A value that is there and wrong is not the same as an absent one.
  if (raw["completion_tokens"] !== undefined || prompt === undefined || total === undefined) return undefined;
  return count(total - prompt);
}
