/** Google's `batchEmbedContents`. https://ai.google.dev/api/embeddings */
import { GOOGLE_WORDS, inputWord, unsaidMembers } from "../../embedding/input-type.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { EmbeddingCall, EmbeddingPart, EmbeddingResponse } from "../../providers/embeddings/adapter.ts";

export function embedPath(model: string): string {
  return `/models/${encodeURIComponent(model)}:batchEmbedContents`;
}

export function writeEmbed({ model, inputs, dimensions, fields, params }: EmbeddingCall): string {
  const word = fields["input_type"] ?? params["input_type"];
  const said = typeof word === "string" ? inputWord(word, GOOGLE_WORDS) : null;
  const title = fields["title"] ?? params["title"];
  const shared = {
    model: `models/${model}`,
    ...(said === null ? {} : { taskType: said }),
    ...(typeof title === "string" ? { title } : {}),
    ...(dimensions === undefined ? {} : { outputDimensionality: dimensions }),
  };
  return JSON.stringify({ requests: inputs.map((text) => ({ ...shared, content: { parts: [{ text }] } })) });
}

/** What of the client's request cannot be said here. */
export function droppedMembers({ fields }: EmbeddingCall): readonly string[] {
  return unsaidMembers(fields, ["title"], GOOGLE_WORDS);
}

/** `null`: it is no answer to `count` texts. Figures come with newer models only. */
export function readEmbed({ body }: EmbeddingResponse, count: number): EmbeddingPart | null {
  const { embeddings, usageMetadata } = body;
  if (!Array.isArray(embeddings) || embeddings.length !== count) return null;
  const tokens = isJsonObject(usageMetadata) ? usageMetadata["promptTokenCount"] : undefined;
  const usage = typeof tokens === "number" && tokens > 0 ? { prompt_tokens: tokens, total_tokens: tokens } : undefined;
  const vectors = embeddings.map((each: unknown) => (isJsonObject(each) ? each["values"] : undefined));
  return { vectors: vectors as EmbeddingPart["vectors"], usage, model: undefined };
}
