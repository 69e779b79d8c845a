/**
 * Which vectors may be compared: those of one model, whichever provider serves it.
 *
 * A space is named after its model. Every id and alias of the model at any provider names the same space, so that an
 * operator may write the id at hand.
 */
import type { EmbeddingFacts, ModelFacts } from "./model-facts.ts";
import { catalog } from "./models.ts";

/** By every name of its model, lower case. */
let spaces: ReadonlyMap<string, EmbeddingFacts> | undefined;

function allSpaces(): ReadonlyMap<string, EmbeddingFacts> {
  if (spaces !== undefined) return spaces;
  const found = new Map<string, EmbeddingFacts>();
  for (const entries of Object.values(catalog().models)) {
    for (const [id, { embedding, aliases = [] }] of Object.entries(entries)) {
      if (embedding === undefined) continue;
      for (const name of [embedding.space, id, ...aliases]) {
        found.set(name.toLowerCase(), embedding);
        found.set(shortName(name), embedding);
      }
    }
  }
  spaces = found;
  return found;
}

/** Without the maker or the account in front. */
function shortName(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).toLowerCase();
}

/** What is known of the model that `name` is a name of; `undefined` where no provider's list has it. */
function spaceNamed(name: string): EmbeddingFacts | undefined {
  return allSpaces().get(name.toLowerCase()) ?? allSpaces().get(shortName(name));
}

/** The length of a vector of `space` where nothing else is asked for; `undefined`: unknown. */
export function spaceDimensions(space: string): number | undefined {
  return spaceNamed(space)?.dimensions;
}

/** Does a model with these facts serve `space`? One that the catalogue does not know serves the space of its own name. */
export function servesSpace(space: string, model: string, { embedding }: ModelFacts): boolean {
  const known = embedding?.space ?? spaceNamed(model)?.space ?? shortName(model);
  return known === (spaceNamed(space)?.space ?? shortName(space));
}

/** Can such a model give vectors of `dimensions`? What the catalogue does not know, it can. */
export function canHave(dimensions: number, embedding: EmbeddingFacts | undefined): boolean {
  if (embedding === undefined || dimensions === embedding.dimensions) return true;
  const { sizes, most } = embedding;
  return sizes?.includes(dimensions) ?? (most !== undefined && dimensions <= most);
}

/** Known to the catalogue, and no model that embeds. The stand-in for providers does both. */
export function chatsOnly(provider: string, { capabilities, embedding }: ModelFacts): boolean {
  return capabilities !== undefined && embedding === undefined && provider !== "sandbox";
}
