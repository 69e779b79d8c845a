/** What a text is embedded for, in the words of several providers: each says the same by another. Pure. */

/** What is meant, whatever it is called. */
export type InputKind =
  | "query"
  | "document"
  | "classification"
  | "clustering"
  | "similarity"
  | "answering"
  | "verification"
  | "code";

/** A provider's words. What is missing it cannot be told. */
export type InputWords = Readonly<Partial<Record<InputKind, string>>>;

/** https://docs.cohere.com/reference/embed */
export const COHERE_WORDS: InputWords = {
  query: "search_query",
  document: "search_document",
  classification: "classification",
  clustering: "clustering",
};
/** https://ai.google.dev/gemini-api/docs/embeddings#supported-task-types */
export const GOOGLE_WORDS: InputWords = {
  query: "RETRIEVAL_QUERY",
  document: "RETRIEVAL_DOCUMENT",
  classification: "CLASSIFICATION",
  clustering: "CLUSTERING",
  similarity: "SEMANTIC_SIMILARITY",
  answering: "QUESTION_ANSWERING",
  verification: "FACT_VERIFICATION",
  code: "CODE_RETRIEVAL_QUERY",
};
/** https://docs.voyageai.com/reference/embeddings-api */
export const VOYAGE_WORDS: InputWords = { query: "query", document: "document" };
/** https://docs.nvidia.com/nim/nemo-retriever/text-embedding/latest/reference.html */
export const NVIDIA_WORDS: InputWords = { query: "query", document: "passage" };
/** https://api.jina.ai/redoc, `task`. */
export const JINA_WORDS: InputWords = {
  query: "retrieval.query",
  document: "retrieval.passage",
  classification: "classification",
  clustering: "separation",
  similarity: "text-matching",
  code: "code.query",
};

const KINDS = new Map<string, InputKind>(
  [COHERE_WORDS, GOOGLE_WORDS, VOYAGE_WORDS, NVIDIA_WORDS, JINA_WORDS].flatMap((words) =>
    (Object.keys(words) as InputKind[]).map((kind) => [words[kind]!.toLowerCase(), kind] as const),
  ),
);

/** What `word` means; `undefined` for one that no provider has. */
export function inputKind(word: string): InputKind | undefined {
  return KINDS.get(word.toLowerCase());
}

/** `word` as a provider with `words` says it; `null`: it has no word for that. A word that no provider has is left to the provider. */
export function inputWord(word: string, words: InputWords): string | null {
  const kind = inputKind(word);
  return kind === undefined ? word : (words[kind] ?? null);
}

/** Every wire writes these in its own way. */
const WRITTEN: ReadonlySet<string> = new Set(["model", "input", "dimensions", "encoding_format", "route"]);

/** The members of a request that a wire cannot say: all but those `known` to it, and the input type where it has `words`. */
export function unsaidMembers(
  fields: Readonly<Record<string, unknown>>,
  known: readonly string[],
  words: InputWords | null,
): readonly string[] {
  const { input_type: word } = fields;
  const isSaid = words !== null && typeof word === "string" && inputWord(word, words) !== null;
  return Object.keys(fields).filter((name) => {
    return !WRITTEN.has(name) && !known.includes(name) && !(name === "input_type" && isSaid);
  });
}

/** A provider with `words` is asked for what it has none for. */
export function lacksWord(word: string, words: InputWords): boolean {
  return inputKind(word) !== undefined && inputWord(word, words) === null;
}
