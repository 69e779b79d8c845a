/**
 * `usage` in OpenAI's convention: caches and reasoning are inside their totals. What only a price asks for may be left
 * out, and is then zero.
 */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly cacheWriteTokens: number;
  readonly reasoningTokens: number;
  /** Inside `cacheWriteTokens`: kept for an hour. */
  readonly cacheWriteHourTokens?: number;
  /** Inside `cachedTokens`: from a cache that the client did not ask for. */
  readonly implicitCachedTokens?: number;
  /** Inside `promptTokens`. */
  readonly audioInputTokens?: number;
  /** Inside `cachedTokens` and `audioInputTokens`; absent: no more than the totals force. */
  readonly cachedAudioTokens?: number;
  /** Inside `completionTokens`. */
  readonly audioOutputTokens?: number;
  /** What the provider charges for, where it reports that in addition to tokens. */
  readonly billedPromptTokens?: number;
  readonly billedCompletionTokens?: number;
  /** Calls of the provider's own tools. */
  readonly webSearches?: number;
  readonly fileSearches?: number;
  /** 1 where the provider's search found something. */
  readonly groundedPrompts?: number;
  /** The provider's word for how much of the web it read. */
  readonly searchContextSize?: string;
  /** What the provider itself says it charges, nano-USD. */
  readonly reportedNanoUsd?: number;
  /** A figure contradicts the others or is none: the totals may be shown, no cost can be computed. */
  readonly isDoubtful?: true;
}

/** Token counts in OpenAI's convention: caches are inside the prompt, reasoning inside the completion. */
export interface TokenCounts {
  readonly prompt: number;
  readonly completion: number;
  readonly cached?: number | undefined;
  readonly cacheWrite?: number | undefined;
  readonly reasoning?: number | undefined;
  /** Inside the cache writes: kept for an hour. */
  readonly cacheWriteHour?: number | undefined;
  readonly audioInput?: number | undefined;
  /** Inside the cached tokens: those of audio. */
  readonly cachedAudio?: number | undefined;
  readonly audioOutput?: number | undefined;
  /** Searches that the provider made for the answer. */
  readonly webSearches?: number | undefined;
  /** 1 where they found something. */
  readonly groundedPrompts?: number | undefined;
}

/** A count in a provider's usage object; anything but a finite number from 0 up is none. */
export function tokenCount(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** `usage`, in chat's words, says outright that the model wrote nothing: an answer without content is then none. */
export function isNothing(usage: unknown): boolean {
  return typeof usage === "object" && usage !== null && "completion_tokens" in usage && usage.completion_tokens === 0;
}
