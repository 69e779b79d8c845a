/**
 * What is known of a model before anyone asks it.
 *
 * A lookup is by exact id, then by alias, never by prefix: `gpt-5.4` is not priced like `gpt-5`. A model that is not
 * found is unpriced, and its capabilities and window are unknown.
 */
import type { Capability, ModelFacts } from "./facts.ts";
import { CATALOG_ROWS, type CatalogRow } from "./rows.ts";

/** The built-in stand-in for a vendor: any model id, no cost, and that is known. */
const SANDBOX_FACTS: ModelFacts = {
  capabilities: { tools: true, json_schema: true },
  price: { input: 0, output: 0 },
};

const CAPABILITY_LETTERS: readonly (readonly [string, Capability])[] = [
  ["t", "tools"],
  ["s", "json_schema"],
  ["v", "vision"],
];

/** Facts of `model` at `provider`, the id as it goes on the wire; `undefined` when the catalogue does not know it. */
export function findModel(provider: string, model: string): ModelFacts | undefined {
  if (provider === "sandbox") return SANDBOX_FACTS;
  return FACTS.get(keyOf(provider, model));
}

const FACTS = indexRows();

/** A line break stands in no id, where a slash may: `together` has a model `openai/gpt-oss-120b`. */
function keyOf(provider: string, model: string): string {
  return `${provider}\n${model}`;
}

function indexRows(): ReadonlyMap<string, ModelFacts> {
  const index = new Map<string, ModelFacts>();
  const rows = Object.entries(CATALOG_ROWS).flatMap(([provider, ofProvider]) =>
    ofProvider.map((row) => ({ provider, row, facts: toFacts(row) })),
  );
  for (const { provider, row, facts } of rows) {
    for (const alias of row[7] ?? []) index.set(keyOf(provider, alias), facts);
  }
  // Ids come second: where an alias of one model is the id of another, the id is right.
  for (const { provider, row, facts } of rows) index.set(keyOf(provider, row[0]), facts);
  return index;
}

function toFacts(row: CatalogRow): ModelFacts {
  const [, contextWindow, maxOutputTokens, letters, input, output, cacheRead] = row;
  const capabilities: Partial<Record<Capability, boolean>> = {};
  for (const [letter, capability] of CAPABILITY_LETTERS) if (letters.includes(letter)) capabilities[capability] = true;
  return {
    context_window: contextWindow,
    ...(maxOutputTokens === null ? {} : { max_output_tokens: maxOutputTokens }),
    capabilities,
    price: { input, output, ...(cacheRead === null ? {} : { cache_read: cacheRead }) },
  };
}
