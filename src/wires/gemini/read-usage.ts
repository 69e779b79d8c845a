/** Google's counts, as the usage that bills are made from. In a stream they grow from event to event. */
import type { Json } from "../../conversation/part.ts";
import { type TokenCounts, tokenCount } from "../../conversation/usage.ts";
import { isJsonObject } from "../../lib/json.ts";
import { toChatUsage } from "../openai-chat/usage.ts";

/** Google's split of a count by modality, and the count that its audio belongs to. */
const AUDIO_PARTS = [
  ["promptTokensDetails", "audioInput"],
  ["toolUsePromptTokensDetails", "audioInput"],
  ["cacheTokensDetails", "cachedAudio"],
  ["candidatesTokensDetails", "audioOutput"],
] as const;

/** https://ai.google.dev/api/generate-content#UsageMetadata */
export class UsageReader {
  readonly #counts = new Map<string, number>();
  readonly #audio = new Map<string, number>();
  readonly #searches = new Set<string>();
  #hasResults = false;
  #tier: string | undefined;

  /** An event may leave counts out that an earlier one had: those still hold. */
  read(body: Json): void {
    for (const { groundingMetadata } of objectsOf(body["candidates"])) {
      if (isJsonObject(groundingMetadata)) this.#readGrounding(groundingMetadata);
    }
    const usage = body["usageMetadata"];
    if (!isJsonObject(usage)) return;
    for (const [name, value] of Object.entries(usage)) {
      const count = tokenCount(value);
      if (count !== undefined) this.#counts.set(name, count);
    }
    for (const [name] of AUDIO_PARTS) if (Array.isArray(usage[name])) this.#audio.set(name, audioIn(usage[name]));
    if (typeof usage["serviceTier"] === "string") this.#tier = usage["serviceTier"].toLowerCase();
  }

  /** `null` where Google sent no figures. */
  counts(): TokenCounts | null {
    const count = (name: string): number => this.#counts.get(name) ?? 0;
    const completion = count("candidatesTokenCount") + count("thoughtsTokenCount");
    if (!this.#counts.has("promptTokenCount") && completion === 0) return null;
    return {
      prompt: count("promptTokenCount") + count("toolUsePromptTokenCount"),
      completion,
      cached: this.#counts.get("cachedContentTokenCount"),
      reasoning: this.#counts.get("thoughtsTokenCount"),
      ...this.#audioCounts(),
      webSearches: this.#searches.size,
      groundedPrompts: this.#hasResults ? 1 : 0,
    };
  }

  /** The counts in chat's shape; `undefined` where there are none. */
  raw(): Json | undefined {
    const counts = this.counts();
    return counts === null ? undefined : toChatUsage(counts);
  }

  /** The tier that served the request, which may be a lower one than it asked for. */
  tier(): Json {
    if (this.#tier === undefined || this.#tier === "unspecified") return {};
    return { service_tier: this.#tier === "standard" ? "default" : this.#tier };
  }

  #audioCounts(): Pick<TokenCounts, (typeof AUDIO_PARTS)[number][1]> {
    const sums = { audioInput: 0, cachedAudio: 0, audioOutput: 0 };
    for (const [name, member] of AUDIO_PARTS) sums[member] += this.#audio.get(name) ?? 0;
    return sums;
  }

  /** Google charges each search once, empty ones not at all; older models are charged by the prompt that found some. */
  #readGrounding({ webSearchQueries: queries, groundingChunks: chunks }: Json): void {
    for (const query of Array.isArray(queries) ? queries : []) {
      if (typeof query === "string" && query.trim() !== "") this.#searches.add(query);
    }
    if (objectsOf(chunks).some(({ web, maps }) => isJsonObject(web) || isJsonObject(maps))) this.#hasResults = true;
  }
}

function audioIn(details: unknown): number {
  const audio = objectsOf(details).filter(({ modality }) => modality === "AUDIO");
  return audio.reduce((sum, { tokenCount: count }) => sum + (tokenCount(count) ?? 0), 0);
}

/** The objects of a list; none for anything else. */
export function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
