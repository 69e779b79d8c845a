/**
 * How providers of OpenAI's protocol embed: one row each, by the provider's id. A row has only what differs from OpenAI,
 * and what one call takes with its source. A provider without a row does not embed here.
 */
import { JINA_WORDS, NVIDIA_WORDS, VOYAGE_WORDS } from "../../embedding/input-type.ts";
import type { EmbeddingLimits } from "../../embedding/parts.ts";
import type { EmbeddingsDialect } from "../../wires/openai-embeddings/write-request.ts";
import type { EmbeddingAdapter } from "./adapter.ts";

export interface EmbeddingRow extends EmbeddingsDialect {
  /** Where its limits are said. */
  readonly source: string;
  readonly limits: EmbeddingLimits | ((model: string) => EmbeddingLimits);
  /** Default: `has`, unless the row says that it has no member for it. */
  readonly base64?: EmbeddingAdapter["base64"];
  /** Takes tokens in place of text. */
  readonly takesTokens?: true;
}

/** 2,048 inputs and 300,000 tokens: https://developers.openai.com/api/reference/resources/embeddings. */
const OPENAI_LIMITS: EmbeddingLimits = { inputs: 2_048, tokens: 300_000 };
/** https://docs.cohere.com/reference/embed */
export const COHERE_LIMITS: EmbeddingLimits = { inputs: 96 };

/** Cohere's models at Azure keep Cohere's limit. */
const isCohere = (model: string): boolean => /^(?:cohere-)?embed-/i.test(model);

/**
 * https://docs.voyageai.com/reference/embeddings-api: a million tokens for the light models, 320,000 for the middle
 * ones, 120,000 for all others.
 */
function voyageLimits(model: string): EmbeddingLimits {
  const tokens = /-lite$/.test(model) ? 1_000_000 : /^voyage-(?:2|3\.5|4)$/.test(model) ? 320_000 : 120_000;
  return { inputs: 1_000, tokens };
}

/** What a client of an unknown provider of OpenAI's protocol may rely on. */
export const PLAIN_ROW: EmbeddingRow = {
  source: "https://developers.openai.com/api/reference/resources/embeddings",
  limits: OPENAI_LIMITS,
  base64: "unknown",
  takesTokens: true,
};

export const EMBEDDING_ROWS: Readonly<Record<string, EmbeddingRow>> = {
  openai: {
    source: "https://developers.openai.com/api/reference/resources/embeddings",
    limits: OPENAI_LIMITS,
    takesTokens: true,
    inputType: null,
  },
  // Models of Cohere's take an input type, and OpenAI's refuse it: as the client sent it.
  azure: {
    source: "https://learn.microsoft.com/azure/ai-foundry/openai/reference#embeddings",
    limits: (model) => (isCohere(model) ? COHERE_LIMITS : OPENAI_LIMITS),
    takesTokens: true,
  },
  mistral: {
    // 256 inputs as measured (rig, providers/mistral/embedding.rs), 16,384 tokens by its error "Too many tokens in batch".
    source: "https://docs.mistral.ai/api/endpoint/embeddings",
    limits: { inputs: 256, tokens: 16_384 },
    dimensions: "output_dimension",
    inputType: null,
    knows: ["output_dimension", "output_dtype", "metadata"],
  },
  together: {
    // No limit is documented: the smallest of its neighbours'.
    source: "https://docs.together.ai/reference/embeddings",
    limits: { inputs: 96 },
    encoding: null,
    dimensions: null,
  },
  fireworks: {
    // No limit is documented: the smallest of its neighbours'.
    source: "https://docs.fireworks.ai/api-reference/creates-an-embedding-vector-representing-the-input-text",
    limits: { inputs: 96 },
    encoding: null,
  },
  deepinfra: {
    // No limit is documented: the smallest of its neighbours'.
    source: "https://deepinfra.com/docs/openai_api",
    limits: { inputs: 96 },
    encoding: null,
  },
  nvidia: {
    // No limit is documented for the hosted API: the smallest of its neighbours'.
    source: "https://docs.nvidia.com/nim/nemo-retriever/text-embedding/latest/reference.html",
    limits: { inputs: 96 },
    inputType: { member: "input_type", words: NVIDIA_WORDS, otherwise: "passage" },
  },
  "workers-ai": {
    source: "https://developers.cloudflare.com/workers-ai/models/bge-base-en-v1.5",
    limits: { inputs: 100 },
    encoding: null,
    dimensions: null,
  },
  voyage: {
    source: "https://docs.voyageai.com/reference/embeddings-api",
    limits: voyageLimits,
    dimensions: "output_dimension",
    inputType: { member: "input_type", words: VOYAGE_WORDS },
    knows: ["truncation", "output_dimension", "output_dtype"],
    always: { truncation: false },
  },
  jina: {
    // No limit is documented but that of tokens per input.
    source: "https://api.jina.ai/redoc",
    limits: { inputs: 512 },
    encoding: "embedding_type",
    inputType: { member: "task", words: JINA_WORDS },
    knows: ["task", "normalized", "late_chunking", "truncate", "embedding_type", "return_multivector"],
  },
  ollama: {
    // It has no limit of its own.
    source: "https://docs.ollama.com/api/openai-compatibility",
    limits: { inputs: 2_048 },
    encoding: null,
  },
  vllm: {
    // It has no limit of its own.
    source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
    limits: { inputs: 2_048 },
    takesTokens: true,
  },
};
