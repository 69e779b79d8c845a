/**
 * Embedding models at Amazon Bedrock: `InvokeModel` with the body of the model's maker.
 *
 * Titan takes one text a call (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html),
 * Cohere's models many (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html).
 */
import { COHERE_WORDS, inputWord, unsaidMembers } from "../../embedding/input-type.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { EmbeddingCall, EmbeddingPart, EmbeddingResponse } from "../../providers/embeddings/adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** What AWS counted, for models that do not say so in the body. */
const TOKENS_HEADER = "x-amzn-bedrock-input-token-count";

export function isCohereModel(model: string): boolean {
  return /(?:^|\.)cohere\./.test(model);
}

/** From the fourth generation on a length can be asked for, and lists are named by type. */
const isNewer = (model: string): boolean => !/embed-(?:english|multilingual)/.test(model);

export function invokePath(model: string): string {
  return `/model/${encodeURIComponent(model)}/invoke`;
}

export function writeInvoke({ model, inputs, dimensions, fields, params }: EmbeddingCall): string {
  const asked: Json = { ...params, ...fields };
  if (!isCohereModel(model)) {
    const { normalize } = asked;
    return JSON.stringify({
      inputText: inputs[0],
      ...(dimensions === undefined ? {} : { dimensions }),
      ...(typeof normalize === "boolean" ? { normalize } : {}),
    });
  }
  const { input_type: word, truncate = "NONE" } = asked;
  const said = typeof word === "string" ? inputWord(word, COHERE_WORDS) : null;
  return JSON.stringify({
    texts: inputs,
    input_type: said ?? COHERE_WORDS.document,
    truncate,
    ...(isNewer(model) ? { embedding_types: ["float"] } : {}),
    ...(dimensions === undefined ? {} : { output_dimension: dimensions }),
  });
}

/** `null`: it is no answer to `count` texts. */
export function readInvoke({ body, headers }: EmbeddingResponse, count: number): EmbeddingPart | null {
  const { embedding, embeddings, inputTextTokenCount } = body;
  const counted =
    typeof inputTextTokenCount === "number" ? inputTextTokenCount : Number(headers.get(TOKENS_HEADER) ?? 0);
  const usage =
    Number.isInteger(counted) && counted > 0 ? { prompt_tokens: counted, total_tokens: counted } : undefined;
  const lists = isJsonObject(embeddings) ? embeddings["float"] : (embeddings ?? [embedding]);
  if (!Array.isArray(lists) || lists.length !== count) return null;
  return { vectors: lists, usage, model: undefined };
}

/** What of the client's request cannot be said here. */
export function droppedMembers({ model, fields }: EmbeddingCall): readonly string[] {
  return isCohereModel(model)
    ? unsaidMembers(fields, ["truncate"], COHERE_WORDS)
    : unsaidMembers(fields, ["normalize"], null);
}
