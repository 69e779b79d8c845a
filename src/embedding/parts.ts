/**
 * How a batch is divided among calls: by what a provider takes, and so that no answer is large. Pure.
 *
 * Order is kept: a part is a run of inputs. Parts are about equal, because the last of them decides when all are there.
 */
import type { VectorFormat } from "./vectors.ts";

/** One text, or the tokens of one. */
export type EmbeddingInput = string | readonly number[];

/** What one call of a provider takes. */
export interface EmbeddingLimits {
  readonly inputs: number;
  /** All inputs together. */
  readonly tokens?: number | undefined;
}

/** Inputs from `start` up to, not including, `end`. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

const MIB = 1_048_576;
/** One upstream answer. */
export const MAX_PART_BYTES = 8 * MIB;
/** The joined answer. */
export const MAX_ANSWER_BYTES = 32 * MIB;

/** Base64 of float32, and what stands around a vector. */
const BASE64_BYTES = 5.4;
/** A number of an answer as most providers write it; some indent theirs, and write every digit of a float64. */
export const FLOAT_BYTES = 10.6;
/** What a value takes on the wire. */
export const bytesPerValue = (format: VectorFormat, floatBytes = FLOAT_BYTES): number =>
  format === "base64" ? BASE64_BYTES : floatBytes;

/** The most vectors of `dimensions` that `bytes` have room for; at least 1. */
export function fittingCount(bytes: number, dimensions: number, perValue: number): number {
  return Math.max(1, Math.floor(bytes / (dimensions * perValue)));
}

/** `tokens`: about, one number per input. Inputs longer than a whole call may be go alone: the provider has the last word. */
export function divide(tokens: readonly number[], most: number, maxTokens = Number.POSITIVE_INFINITY): Part[] {
  const count = tokens.length;
  // As few parts as the count allows, and of these none much longer than another.
  const size = Math.ceil(count / Math.ceil(count / most));
  const parts: Part[] = [];
  let start = 0;
  let sum = 0;
  for (const [at, each] of tokens.entries()) {
    const isFull = at - start >= size || (at > start && sum + each > maxTokens);
    if (isFull) {
      parts.push({ start, end: at });
      start = at;
      sum = 0;
    }
    sum += each;
  }
  parts.push({ start, end: count });
  return parts;
}
