/** An embeddings answer in OpenAI's protocol, from whichever provider of it. */
import { isVector, type RawVector } from "../../embedding/vectors.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { EmbeddingPart, EmbeddingResponse } from "../../providers/embeddings/adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** `null`: it is no answer to `count` inputs. */
export function readAnswer({ body }: EmbeddingResponse, count: number): EmbeddingPart | null {
  // Cloudflare's own endpoint has an envelope, and bare lists of numbers in it.
  const { data, model, usage } = isJsonObject(body["result"]) ? body["result"] : body;
  if (!Array.isArray(data) || data.length !== count) return null;
  const vectors: RawVector[] = [];
  for (const [at, item] of data.entries()) {
    const { index: place = at, embedding: vector }: Json = isJsonObject(item) ? item : { embedding: item };
    // A place that is given twice leaves another one empty, which shows below.
    if (!isPlace(place, count) || !isVector(vector)) return null;
    vectors[place] = vector;
  }
  if (Object.keys(vectors).length !== count) return null;
  return { vectors, usage: usageOf(usage), model: typeof model === "string" ? model : undefined };
}

function isPlace(value: unknown, count: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < count;
}

/** Some say zero where they do not count, and some give a total alone. */
function usageOf(usage: unknown): Json | undefined {
  if (!isJsonObject(usage)) return undefined;
  const { prompt_tokens: prompt, total_tokens: total } = usage;
  const tokens = isCount(prompt) ? prompt : total;
  if (!isCount(tokens)) return undefined;
  return isCount(prompt) && isCount(total) ? usage : { ...usage, prompt_tokens: tokens, total_tokens: tokens };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0;
}
