/**
 * What is known of a model before anyone asks it.
 *
 * A look-up is by exact id, then by alias, then by the id without a date at its end; never by prefix: `gpt-5.4` is not
 * priced like `gpt-5`. A model that is not found is unpriced, and its capabilities and window are unknown.
 */
import type { Capability, ModelFacts, Price } from "./model-facts.ts";
import { type CatalogEntry, catalog } from "./models.ts";

export { CATALOG_VERSION } from "./provider-terms.ts";

/** The built-in stand-in for a provider: any model id, no cost, and that is known. */
const SANDBOX_FACTS: ModelFacts = {
  capabilities: { tools: true, json_schema: true },
  reasoning: false,
  price: { input: 0, output: 0 },
};

const CAPABILITY_LETTERS: readonly (readonly [string, Capability])[] = [
  ["t", "tools"],
  ["s", "json_schema"],
  ["v", "vision"],
];

/**
 * A snapshot's date: `-2026-01-31`, `-20260131` or `@20260131` at the very end. A provider that dates snapshots serves the
 * same model at the same price under the plain id; where it does not, the dated id has a line of its own. Shorter marks
 * (`-0905`, `-2512`) are versions and stay.
 */
const DATE_SUFFIX =
  /[-@]20\d\d(?:-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/;

/** Facts of `model` at `provider`, the id as it goes on the wire; `undefined` when the catalogue does not know it. */
export function findModel(provider: string, model: string): ModelFacts | undefined {
  if (provider === "sandbox") return SANDBOX_FACTS;
  const entry = findEntry(provider, model);
  return entry === undefined ? undefined : factsOf(entry);
}

/** All that the catalogue holds of the model, price structure included. */
export function findEntry(provider: string, model: string): CatalogEntry | undefined {
  const entries = entriesOf(provider);
  return entries?.get(model) ?? entries?.get(model.replace(DATE_SUFFIX, ""));
}

/** The id under which the table has `model`, which may be an alias of it or a dated snapshot; `model` where it has none. */
export function entryId(provider: string, model: string): string {
  const entry = findEntry(provider, model);
  return (entry === undefined ? undefined : idsByEntry.get(entry)) ?? model;
}

const idsByEntry = new WeakMap<CatalogEntry, string>();

/** Entries of one provider by id and alias, made on first use. As many as the catalogue has providers. */
const byProvider = new Map<string, ReadonlyMap<string, CatalogEntry>>();

function entriesOf(provider: string): ReadonlyMap<string, CatalogEntry> | undefined {
  const known = byProvider.get(provider);
  if (known !== undefined) return known;
  const { models } = catalog();
  const ofProvider = Object.hasOwn(models, provider) ? models[provider] : undefined;
  if (ofProvider === undefined) return undefined;
  const entries = new Map<string, CatalogEntry>();
  for (const entry of Object.values(ofProvider)) for (const alias of entry.aliases ?? []) entries.set(alias, entry);
  // Ids come second: where an alias of one model is the id of another, the id is right.
  for (const [id, entry] of Object.entries(ofProvider)) {
    entries.set(id, entry);
    idsByEntry.set(entry, id);
  }
  byProvider.set(provider, entries);
  return entries;
}

/** One object per entry, so that equal models have identical facts. */
const factsByEntry = new WeakMap<CatalogEntry, ModelFacts>();

function factsOf(entry: CatalogEntry): ModelFacts {
  const known = factsByEntry.get(entry);
  if (known !== undefined) return known;
  const capabilities: Partial<Record<Capability, boolean>> = {};
  for (const [letter, capability] of CAPABILITY_LETTERS) {
    if (entry.can?.includes(letter) === true) capabilities[capability] = true;
  }
  const facts: ModelFacts = {
    ...(entry.context === undefined ? {} : { context_window: entry.context }),
    ...(entry.max_output === undefined ? {} : { max_output_tokens: entry.max_output }),
    capabilities,
    // Every model that thinks is marked where anything is known of its abilities.
    ...(entry.can === undefined ? {} : { reasoning: entry.can.includes("r") }),
    ...(entry.responses_for_tools === undefined ? {} : toolFacts(entry)),
    price: priceOf(entry),
    ...(entry.embedding === undefined ? {} : { embedding: entry.embedding }),
  };
  factsByEntry.set(entry, facts);
  return facts;
}

/** Efforts decide there which API serves a request with tools. */
function toolFacts({ efforts }: CatalogEntry): Pick<ModelFacts, "efforts" | "responses_for_tools"> {
  return { responses_for_tools: true, ...(efforts === undefined ? {} : { efforts: [...efforts] }) };
}

/** What a line says of money, without what it leaves out. */
function priceOf({ price, tiers, service, regional, until, from, hours, fees, request }: CatalogEntry): Price {
  return {
    ...price,
    ...(tiers === undefined ? {} : { tiers: tiers.toSorted((left, right) => left.above - right.above) }),
    ...(service === undefined ? {} : { service }),
    ...(regional === undefined ? {} : { regional }),
    ...(until === undefined ? {} : { until }),
    ...(from === undefined ? {} : { from }),
    ...(hours === undefined ? {} : { hours: withoutException(hours) }),
    ...(fees === undefined ? {} : { fees }),
    ...(request === undefined ? {} : { request }),
  };
}

/** Without a calendar of the exception every such day is charged as the others are: never too little. */
function withoutException({ except: _, ...hours }: NonNullable<CatalogEntry["hours"]>): Price["hours"] {
  return hours;
}
