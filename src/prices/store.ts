/**
 * The prices in force as the request path reads them: isolate cache, then KV, like policies.
 *
 * One record holds them all, so that a route of sixteen targets costs one read. It is parsed again only when its text
 * has changed. What was last read serves as long as the isolate lives; an isolate that never could read it has no price
 * to charge by, and says so.
 */
import { IsolateCache } from "../lib/isolate-cache.ts";
import { parseStored } from "../lib/stored.ts";
import { CATALOGUE_PRICES, MONEY_KEY, MoneyRecord, PriceBook } from "./book.ts";

/** KV's own floor for `cacheTtl`, seconds. With `staleMs` an isolate is at most 55 s behind. */
const KV_CACHE_SECONDS = 30;
const LIMITS = { maxEntries: 1, freshMs: 5_000, staleMs: 25_000, keepMs: Number.POSITIVE_INFINITY };

interface Read {
  /** `null`: nothing was ever set. */
  readonly text: string | null;
  readonly book: PriceBook;
}

const books = new IsolateCache<Read>(LIMITS);
let last: Read | undefined;

export interface ReadContext {
  readonly kv: KVNamespace;
  readonly now: number;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** The newest prices that this isolate knows. Rejects when KV fails cold. */
export async function getPrices(context: ReadContext): Promise<PriceBook> {
  const read = async (): Promise<Read> => {
    const text = await context.kv.get(MONEY_KEY, { cacheTtl: KV_CACHE_SECONDS });
    last = last !== undefined && last.text === text ? last : { text, book: bookOf(text) };
    return last;
  };
  return (await books.get(MONEY_KEY, context.now, read, context.waitUntil))?.book ?? CATALOGUE_PRICES;
}

function bookOf(text: string | null): PriceBook {
  return text === null ? CATALOGUE_PRICES : new PriceBook(parseStored(MoneyRecord, text, MONEY_KEY));
}

/** Drops this isolate's copy. */
export function forgetPrices(): void {
  books.delete(MONEY_KEY);
}
