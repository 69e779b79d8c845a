/**
 * Usage of many requests as one, from which their cost can still be worked out.
 *
 * Pure. What decides a price besides the number of tokens is the shape of a request: conditions, length, flags. Requests
 * of one shape differ in their counts alone, and a cost is a sum of counts times rates, so that the cost of the sum is
 * that of the requests, but for the nano-dollar that each of them was rounded up by.
 */
import type { Price } from "../catalog/model-facts.ts";
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { CostBasis } from "./price.ts";
import { type Conditions, costOfRow, priceRowOf } from "./price-row.ts";

/** Lengths of prompts that prices change above: those of the catalogue. Folded requests can be told apart by no others. */
export const FOLD_LENGTHS: readonly number[] = [32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000];

export interface Shape {
  readonly conditions: Pick<Conditions, "serviceTier" | "region">;
  /** How many of `FOLD_LENGTHS` the prompt is above. */
  readonly length: number;
  readonly thinks: boolean;
  readonly isReported: boolean;
  readonly isUnpriced: boolean;
  readonly size?: string;
  /** The provider bills other counts than the model read and wrote. */
  readonly billed: string;
}

const SUMMED = [
  ...(["promptTokens", "completionTokens", "cachedTokens", "cacheWriteTokens", "reasoningTokens"] as const),
  ...(["cacheWriteHourTokens", "implicitCachedTokens", "audioInputTokens", "cachedAudioTokens"] as const),
  ...(["audioOutputTokens", "billedPromptTokens", "billedCompletionTokens"] as const),
  ...(["webSearches", "fileSearches", "groundedPrompts"] as const),
];

/** `null`: no sum would say what the request costs. */
export function shapeOf({ usage, conditions }: CostBasis, isUnpriced: boolean): Shape | null {
  if (usage.isDoubtful === true) return null;
  const { serviceTier, region } = conditions;
  const prompt = usage.billedPromptTokens ?? usage.promptTokens;
  return {
    conditions: {
      ...(serviceTier === undefined ? {} : { serviceTier }),
      ...(region === undefined ? {} : { region }),
    },
    length: FOLD_LENGTHS.filter((above) => prompt > above).length,
    thinks: usage.reasoningTokens > 0,
    isReported: usage.reportedNanoUsd !== undefined,
    isUnpriced,
    ...(usage.searchContextSize === undefined ? {} : { size: usage.searchContextSize }),
    billed: `${usage.billedPromptTokens === undefined ? "" : "p"}${usage.billedCompletionTokens === undefined ? "" : "c"}`,
  };
}

/** Parts that follow from other counts are written out: a sum would hide them. */
function plain(usage: Usage): Usage {
  const audio = usage.audioInputTokens ?? 0;
  const outside = usage.promptTokens - usage.cacheWriteTokens - usage.cachedTokens - audio;
  const cachedAudioTokens = usage.cachedAudioTokens ?? Math.max(0, -outside);
  const cachedText = Math.max(0, usage.cachedTokens - cachedAudioTokens);
  const implicitCachedTokens = Math.min(usage.implicitCachedTokens ?? 0, cachedText);
  return { ...usage, cachedAudioTokens, implicitCachedTokens };
}

export function foldUsage(sum: Usage | null, usage: Usage): Usage {
  const added = plain(usage);
  const folded: Record<string, number> = {};
  for (const name of SUMMED) {
    const [one, other] = [sum?.[name], added[name]];
    if (one !== undefined || other !== undefined) folded[name] = (one ?? 0) + (other ?? 0);
  }
  // The five counts that every usage has are among them.
  return folded as unknown as Usage;
}

/** What `count` requests of one shape cost by `price`, nano-USD; `null`: unknown. At most one a request below the truth. */
export function costOfFolded(
  sum: Usage,
  { shape, count }: { readonly shape: Shape; readonly count: number },
  price: Price,
  provider: string,
  startedAt: number,
): number | null {
  const promptTokens = shape.length === 0 ? 0 : (FOLD_LENGTHS[shape.length - 1] ?? 0) + 1;
  const { billedPromptTokens: _, ...counts } = sum;
  const like: Usage = {
    ...counts,
    promptTokens,
    ...(shape.size === undefined ? {} : { searchContextSize: shape.size }),
  };
  const row = priceRowOf(price, like, { provider, startedAt, ...shape.conditions });
  if (row === null) return null;
  const { request = 0, ...perToken } = row;
  const cost = costOfRow(sum, perToken);
  return cost === null ? null : cost + count * request;
}

/** Lengths in a price that folded requests cannot be told apart by. */
export function unknownLengths({ tiers = [] }: Price): number[] {
  return tiers.map(({ above }) => above).filter((above) => !FOLD_LENGTHS.includes(above));
}

/** What is stored with a charge; `null` where it has none, or one of a release that wrote it otherwise. */
export function readBasis(text: string): CostBasis | null {
  const value = tryParseJson(text);
  if (!isJsonObject(value) || !isJsonObject(value["usage"]) || !isJsonObject(value["conditions"])) return null;
  const isWhole = ["promptTokens", "completionTokens"].every((name) => {
    return isJsonObject(value["usage"]) && typeof value["usage"][name] === "number";
  });
  // Written by settlements from a `CostBasis`.
  return isWhole && typeof value["conditions"]["startedAt"] === "number" ? (value as unknown as CostBasis) : null;
}

/** A cost by a price, whatever the provider has reported; `null` where it is unknown. */
export function recost(
  { usage, conditions }: CostBasis,
  price: Price,
): { readonly nanoUsd: number; readonly row: CostBasis["row"] } | null {
  const row = priceRowOf(price, usage, conditions);
  const nanoUsd = row === null ? null : costOfRow(usage, row);
  return nanoUsd === null ? null : { nanoUsd, row };
}
