/**
 * Which price is in force when: an operator's row where one holds, else the catalogue's.
 *
 * Pure. An operator's row replaces the catalogue's entry whole. Of the rows of a model the one that began last holds,
 * and where it has ended the catalogue's price is back.
 */
import * as z from "zod/mini";
import { CATALOG_VERSION, entryId, findModel } from "../catalog/index.ts";
import { type ModelFacts, Price } from "../catalog/model-facts.ts";

/** A price with its times, epoch ms: `from` inclusive, `until` exclusive, `null`: until another one begins. */
export const BookRow = z.object({
  id: z.string(),
  from: z.int(),
  until: z.nullable(z.int()),
  price: Price,
});
export type BookRow = z.infer<typeof BookRow>;

/** KV `money`: what operators set and every request needs. Rows of a model are by `from`. */
export const MoneyRecord = z.object({
  prices: z.record(z.string(), z.array(BookRow)),
  /** Names of the tags whose spend is summed. */
  spend_tags: z.array(z.string()),
});
export type MoneyRecord = z.infer<typeof MoneyRecord>;

export const MONEY_KEY = "money";
const NO_MONEY: MoneyRecord = { prices: {}, spend_tags: [] };

export interface KnownPrice {
  readonly price: Price;
  /** What names the row on traces: `pr_…` of an operator, `catalogue:<version>`. */
  readonly row: string;
}

/** Names the catalogue's row. */
export const CATALOGUE_ROW = `catalogue:${CATALOG_VERSION}`;

/** The row that holds at `at`, of rows by `from`. */
export function rowAt<Row extends Pick<BookRow, "from" | "until">>(rows: readonly Row[], at: number): Row | undefined {
  const row = rows.findLast(({ from }) => from <= at);
  return row === undefined || (row.until !== null && at >= row.until) ? undefined : row;
}

interface TargetName {
  readonly provider: string;
  readonly model: string;
}

export class PriceBook {
  readonly #rows: MoneyRecord["prices"];
  readonly spendTags: readonly string[];

  constructor({ prices, spend_tags }: MoneyRecord) {
    this.#rows = prices;
    this.spendTags = spend_tags;
  }

  /** The price of an attempt that starts at `at`, epoch ms; `undefined`: it is unknown. */
  find(provider: string, model: string, at: number): KnownPrice | undefined {
    const row = rowAt(this.#rowsOf(provider, model), at);
    if (row !== undefined) return { price: row.price, row: row.id };
    const price = findModel(provider, model)?.price;
    return price === undefined ? undefined : { price, row: CATALOGUE_ROW };
  }

  /** The facts of a model with the price of `at` in place of the one that was published with them. */
  priced(facts: ModelFacts, { provider, model }: TargetName, at: number): ModelFacts {
    const { price: _, ...others } = facts;
    const known = this.find(provider, model, at);
    return known === undefined ? others : { ...others, price: known.price };
  }

  /** All that hold at some time from `since` to `until`; `null` where there is a time without one. */
  within(provider: string, model: string, since: number, until: number): readonly Price[] | null {
    const rows = this.#rowsOf(provider, model);
    const changes = rows.flatMap(({ from, until: end }) => [from, ...(end === null ? [] : [end])]);
    const times = [since, ...changes.filter((at) => at > since && at <= until)];
    const prices = times.map((at) => this.find(provider, model, at)?.price);
    return prices.every((price) => price !== undefined) ? [...new Set(prices)] : null;
  }

  /** Those of the id itself, else of the id under which the catalogue has the model: an alias, or a dated snapshot. */
  #rowsOf(provider: string, model: string): readonly BookRow[] {
    return this.#own(`${provider}/${model}`) ?? this.#own(`${provider}/${entryId(provider, model)}`) ?? [];
  }

  #own(name: string): readonly BookRow[] | undefined {
    return Object.hasOwn(this.#rows, name) ? this.#rows[name] : undefined;
  }
}

/** The catalogue's prices alone. */
export const CATALOGUE_PRICES = new PriceBook(NO_MONEY);
