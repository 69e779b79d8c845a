/** Which prices end, and when: rows that operators wrote, and prices that the catalogue has dates for. */
import { findEntry, findModel } from "../catalog/index.ts";
import { type BookRow, rowAt } from "./book.ts";

/** One model's row, as operators wrote it. */
interface Entry {
  readonly provider: string;
  readonly model: string;
  readonly row: BookRow;
}

/** A target, with the active routes that have it. */
interface Use {
  readonly provider: string;
  readonly model: string;
  readonly routes: readonly string[];
}

export interface PriceEnd extends Use {
  readonly source: "operator" | "catalogue";
  /** Epoch ms. Past only for a price that its provider promised until then. */
  readonly endsAt: number;
}

/**
 * The next end of each model's price. An operator's row ends at its own end or where the next one begins. The catalogue's
 * counts for targets in use without such a row: a promise that is over is as good a reason to look as a date to come.
 */
export function priceEnds(entries: readonly Entry[], uses: readonly Use[], now: number): PriceEnd[] {
  const rowsByName = Map.groupBy(entries, nameOf);
  const used = new Map(uses.map((use) => [nameOf(use), use]));
  const ends = new Map<string, PriceEnd>();
  for (const [name, rows] of rowsByName) {
    for (const { provider, model, row } of rows) {
      const successor = rows.find((other) => other.row.from > row.from);
      const endsAt = Math.min(row.until ?? Number.POSITIVE_INFINITY, successor?.row.from ?? Number.POSITIVE_INFINITY);
      if (endsAt <= now || endsAt === Number.POSITIVE_INFINITY || row.from >= endsAt) continue;
      if (endsAt >= (ends.get(name)?.endsAt ?? Number.POSITIVE_INFINITY)) continue;
      ends.set(name, { provider, model, source: "operator", endsAt, routes: used.get(name)?.routes ?? [] });
    }
  }
  for (const [name, { provider, model, routes }] of used) {
    const rows = (rowsByName.get(name) ?? []).map(({ row }) => row);
    if (rowAt(rows, now) !== undefined) continue;
    const price = findModel(provider, model)?.price;
    const dates = [...(price?.until ?? []), ...(price?.from ?? [])].map(({ date }) => Date.parse(date));
    const promised = findEntry(provider, model)?.promised_until;
    const promise = promised === undefined ? [] : [Date.parse(promised)];
    const endsAt = Math.min(...dates.filter((at) => at > now), ...promise);
    if (endsAt !== Number.POSITIVE_INFINITY) ends.set(name, { provider, model, source: "catalogue", endsAt, routes });
  }
  return [...ends.values()];
}

const nameOf = ({ provider, model }: Pick<Use, "provider" | "model">): string => `${provider}/${model}`;
