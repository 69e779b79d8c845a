/** Cohere's `POST /v2/embed`. https://docs.cohere.com/reference/embed */
import { COHERE_WORDS, inputWord, unsaidMembers } from "../../embedding/input-type.ts";
import { isJsonObject } from "../../lib/json.ts";
import type { EmbeddingCall, EmbeddingPart, EmbeddingResponse } from "../../providers/embeddings/adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** Members of a client that go on as they are. */
const KNOWN: readonly string[] = ["truncate", "max_tokens", "priority"];

/** What the text is for must be said, and a long one is not cut in silence. */
function sharedMembers({ fields, params }: EmbeddingCall): Json {
  const asked: Json = { ...params, ...fields };
  const word = asked["input_type"];
  const said = typeof word === "string" ? inputWord(word, COHERE_WORDS) : null;
  const own = KNOWN.flatMap((name) => (asked[name] === undefined ? [] : [[name, asked[name]] as const]));
  return { input_type: said ?? COHERE_WORDS.document, truncate: "NONE", ...Object.fromEntries(own) };
}

/** What of the client's request cannot be said here. */
export function droppedMembers({ fields }: EmbeddingCall): readonly string[] {
  return unsaidMembers(fields, KNOWN, COHERE_WORDS);
}

export function writeEmbed(call: EmbeddingCall): string {
  const { model, inputs, dimensions, format } = call;
  return JSON.stringify({
    model,
    texts: inputs,
    ...sharedMembers(call),
    embedding_types: [format],
    ...(dimensions === undefined ? {} : { output_dimension: dimensions }),
  });
}

/** `null`: it is no answer to `count` texts. Lists by type, or the one list of older models. */
export function readEmbed({ body }: EmbeddingResponse, count: number): EmbeddingPart | null {
  const { embeddings, meta } = body;
  const lists = isJsonObject(embeddings) ? (embeddings["base64"] ?? embeddings["float"]) : embeddings;
  if (!Array.isArray(lists) || lists.length !== count) return null;
  const billed = isJsonObject(meta) && isJsonObject(meta["billed_units"]) ? meta["billed_units"]["input_tokens"] : null;
  const usage = typeof billed === "number" ? { prompt_tokens: billed, total_tokens: billed } : undefined;
  return { vectors: lists, usage, model: undefined };
}
