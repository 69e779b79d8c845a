/**
 * Vectors without a model: the same text has the same vector of unit length everywhere, and texts that share words are
 * near one another, so that a retrieval finds what it should.
 */
import type { EmbeddingInput } from "../../embedding/parts.ts";
import { encodeBase64 } from "../../embedding/vectors.ts";
import { textTokens } from "../../pricing/count.ts";
import type { EmbeddingCall } from "./adapter.ts";

/** As long as the vectors of the commonest model. */
const USUAL_DIMENSIONS = 1_536;
/** Further words change a vector no more. */
const MAX_WORDS = 256;
/** What tells texts apart that have the same words. */
const WHOLE_WEIGHT = 0.25;

export function embeddingsOf({ inputs, dimensions = USUAL_DIMENSIONS, format, model }: EmbeddingCall) {
  const tokens = inputs.reduce((sum, each) => sum + tokensIn(each), 0);
  const data = inputs.map((input, index) => {
    const vector = vectorOf(input, dimensions);
    return { object: "embedding", index, embedding: format === "base64" ? encodeBase64(vector) : [...vector] };
  });
  return { object: "list", data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

function tokensIn(input: EmbeddingInput): number {
  return typeof input === "string" ? Math.ceil(textTokens(input)) : input.length;
}

function vectorOf(input: EmbeddingInput, dimensions: number): Float32Array {
  const text = typeof input === "string" ? input : input.join(" ");
  const values = new Float64Array(dimensions);
  const words = text.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  for (const word of words.slice(0, MAX_WORDS)) if (word !== "") addNoise(values, word, 1);
  addNoise(values, `${words.length} ${text}`, WHOLE_WEIGHT);
  const length = Math.sqrt(values.reduce((sum, each) => sum + each * each, 0));
  return Float32Array.from(values, (each) => each / length);
}

/** Numbers in (-1, 1) that follow from `seed` alone, times `weight`. FNV-1a, then xorshift. */
function addNoise(values: Float64Array, seed: string, weight: number): void {
  let state = 0x811c9dc5;
  for (let at = 0; at < seed.length; at++) state = Math.imul(state ^ seed.charCodeAt(at), 0x01000193);
  state |= 1;
  for (let at = 0; at < values.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[at] = values[at]! + (state / 0x8000_0000) * weight;
  }
}
