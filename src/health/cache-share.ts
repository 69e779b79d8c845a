/**
 * Which share of its prompts a target reads from a cache: of the last hour, in twelve slices. Pure.
 *
 * Too few requests say nothing, and a share that is not known is none: a discount that does not come would send
 * conversations to a target that is more expensive for them.
 */
const SLICE_MS = 300_000;
export const CACHE_WINDOW_MS = 3_600_000;
const MIN_REQUESTS = 20;

/** Sums of answers whose provider said what it read. */
export interface PromptCounts {
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

export interface PromptSlice extends PromptCounts {
  /** Epoch ms. */
  readonly startAt: number;
}

const NO_PROMPTS: PromptCounts = { requests: 0, promptTokens: 0, cachedTokens: 0 };

/** What one isolate knows of the prompts of one target. */
export class PromptMemory {
  /** As last heard from the target's object. */
  cachedShare = 0;
  #pending = NO_PROMPTS;

  /** The provider said what it read for one answer. */
  count(promptTokens: number, cachedTokens: number): void {
    const { requests, promptTokens: prompt, cachedTokens: cached } = this.#pending;
    const sums = { promptTokens: prompt + promptTokens, cachedTokens: cached + cachedTokens };
    this.#pending = { requests: requests + 1, ...sums };
  }

  /** What is sent with the next report, which is not awaited. From here on it counts as sent. */
  take(): { readonly prompts?: PromptCounts } {
    const prompts = this.#pending;
    this.#pending = NO_PROMPTS;
    return prompts.requests === 0 ? {} : { prompts };
  }
}

export class CacheShare {
  #slices: PromptSlice[];

  constructor(slices: readonly PromptSlice[] = []) {
    this.#slices = [...slices];
  }

  /** Adds what an isolate counted and gives the slice that it went to; `null` where there is nothing to add. */
  add(counts: PromptCounts | undefined, now: number): PromptSlice | null {
    if (counts === undefined || !isSound(counts) || counts.requests === 0) return null;
    const startAt = now - (now % SLICE_MS);
    const before = this.#slices.find((slice) => slice.startAt === startAt);
    const slice = {
      startAt,
      requests: (before?.requests ?? 0) + counts.requests,
      promptTokens: (before?.promptTokens ?? 0) + counts.promptTokens,
      cachedTokens: (before?.cachedTokens ?? 0) + counts.cachedTokens,
    };
    this.#slices = [...this.#within(now).filter((each) => each.startAt !== startAt), slice];
    return slice;
  }

  /** From 0 to 1; 0 below 20 requests. */
  at(now: number): number {
    let [requests, prompt, cached] = [0, 0, 0];
    for (const slice of this.#within(now)) {
      requests += slice.requests;
      prompt += slice.promptTokens;
      cached += slice.cachedTokens;
    }
    return requests < MIN_REQUESTS || prompt === 0 ? 0 : Math.min(1, cached / prompt);
  }

  /** A clock that was set back leaves slices in the future. */
  #within(now: number): readonly PromptSlice[] {
    return this.#slices.filter(({ startAt }) => Math.abs(now - startAt) < CACHE_WINDOW_MS);
  }
}

/** Another version of this code may report anything. */
function isSound({ requests, promptTokens, cachedTokens }: PromptCounts): boolean {
  return [requests, promptTokens, cachedTokens].every((count) => Number.isSafeInteger(count) && count >= 0);
}
