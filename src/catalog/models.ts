/**
 * The table of models as it lies in `models.json`: its shape, and reading it on first use.
 *
 * The file is text in the bundle, its own module (`[[rules]]` in wrangler.toml), so that a Worker that never asks for a
 * model never pays for parsing 290 KB. Facts of a route's targets are looked up when the route is published, so a chat
 * request opens the table only for a raw model name.
 *
 * Keeping the table: one line per model, sorted by id. Change a line only with a source at hand: the provider's own page,
 * or two independent price lists that agree; note it under `meta.notes` and point `source` at that line; raise
 * `meta.date`, and `meta.version` when the meaning of a member changes. A price that ends or begins on a date is written
 * as `until` or `from` and never edited in place. A model that goes away is removed, unless its id would then be read as
 * another model's with a date behind it. The tests check every line.
 */
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { EmbeddingFacts, Price, Rates } from "./model-facts.ts";
import models from "./models.json";

/** Members of a line that go into the model's price unchanged. Announced rises get cancelled: confirm each `from`. */
type PriceMembers = Pick<Price, "tiers" | "service" | "regional" | "until" | "from" | "fees" | "request">;

export interface CatalogEntry extends Readonly<PriceMembers> {
  /** For a model that embeds: the most tokens of one input. */
  readonly context?: number;
  /** Where it is lower than `context`. */
  readonly max_input?: number;
  readonly max_output?: number;
  /** Present where the model embeds and does not chat. `meta.notes` says where its lengths are from. */
  readonly embedding?: EmbeddingFacts;
  /** Price of the provider's default service tier. */
  readonly price: Rates;
  /** The provider has promised the price up to this day at least, and named none for later: look again then. */
  readonly promised_until?: string;
  /** As in the model's price. `except`: days without such hours, in words; no calendar of them is kept. */
  readonly hours?: NonNullable<Price["hours"]> & { readonly except: string };
  /**
   * `t` tools, `s` JSON schema, `v` image, `V` video, `a` audio, `d` file in, `A` audio out, `r` reasoning, `w` open
   * weights, `k` sampling parameters are refused, `z` the price is zero. A letter that is missing is unknown.
   */
  readonly can?: string;
  /** Values of `reasoning_effort` the model takes. */
  readonly efforts?: readonly string[];
  /**
   * With tools and any effort but `none` it is served by the Responses API alone; the line of `meta.notes` that says so.
   */
  readonly responses_for_tools?: number;
  readonly released?: string;
  readonly knowledge?: string;
  readonly shutdown?: string;
  /** Absent: offered. */
  readonly status?: "beta" | "deprecated" | "retired";
  /** Other ids of the same model at the same price. */
  readonly aliases?: readonly string[];
  /**
   * `V` checked against the provider's page, `6` to `1` that many lists agree, `C` they did not and one was chosen, `R`
   * second-hand reports only, `I` inferred.
   */
  readonly trust: string;
  /** Line of `meta.notes`; absent: `meta.sources`. */
  readonly source?: number;
}

export interface Catalog {
  readonly meta: {
    readonly version: number;
    readonly date: string;
    /** What a line without a note of its own rests on. */
    readonly sources: string;
    readonly notes: readonly string[];
  };
  readonly models: Readonly<Record<string, Readonly<Record<string, CatalogEntry>>>>;
}

let parsed: Catalog | undefined;

/** The whole table. The first call parses it. */
export function catalog(): Catalog {
  if (parsed !== undefined) return parsed;
  // In the bundle the import is text, whatever the compiler thinks; Vitest gives the parsed object.
  const source: unknown = models;
  const value = typeof source === "string" ? parseJson(source) : source;
  if (!isJsonObject(value)) throw new Error("models.json is not an object.");
  // The file is our own and a test checks every line of it against this shape.
  parsed = value as unknown as Catalog;
  return parsed;
}
