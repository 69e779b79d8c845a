/**
 * Usage: what requests used and cost, by key, app, route, API, target, status and summed tags.
 *
 * Pure. A request adds a row per target that it called. Its cost goes to the target that charged it; the request itself
 * and its tokens are counted once, at the target that answered or was called last. So that each grouping counts a request
 * once per group, the rows of a request also say which of them is the first of its provider, of its model and of both.
 */
import type { TraceFacts } from "./counted-trace.ts";
import { type BucketCount, bucketOf, mergeHistograms } from "./histogram.ts";

/** What rows are told apart by, besides their time. */
export interface UsagePlace {
  readonly key_id: string;
  readonly app: string;
  /** As on the trace: `flow/<name>`, or `<provider>/<model>` of a raw model. */
  readonly route: string;
  readonly api: string;
  /** Empty where no provider was called. */
  readonly provider: string;
  readonly model: string;
  readonly status: string;
  /** JSON of the summed tags by name, sorted; `{}` without one. */
  readonly tags: string;
}

export const PLACE_COLUMNS = ["key_id", "app", "route", "api", "provider", "model", "status", "tags"] as const;

export const COUNT_COLUMNS = [
  /** Requests, and those of them whose cost is unknown in whole or in part: once each, per provider, model, target. */
  ...(["requests", "provider_requests", "model_requests", "target_requests"] as const),
  ...(["unpriced", "provider_unpriced", "model_unpriced", "target_unpriced"] as const),
  /** Requests with a failed attempt at the target. */
  "failed_requests",
  ...(["fallbacks", "hedges"] as const),
  ...(["prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens"] as const),
  /** Adjustments by repricing are included in `nano_usd`. */
  ...(["nano_usd", "adjustment_nano_usd", "unadmitted_nano_usd"] as const),
  /** Output tokens of requests whose time of writing is known, and that time. */
  ...(["paced_tokens", "paced_ms"] as const),
] as const;
export type CountColumn = (typeof COUNT_COLUMNS)[number];
export type UsageCounts = Record<CountColumn, number>;

export interface UsageRow {
  /** Beginning of its minute, hour or day, epoch ms. */
  readonly at: number;
  readonly place: UsagePlace;
  readonly counts: UsageCounts;
  /** Latency of requests that succeeded, ms since they arrived. */
  firstToken: readonly BucketCount[];
  total: readonly BucketCount[];
}

export const noCounts = (): UsageCounts => Object.fromEntries(COUNT_COLUMNS.map((name) => [name, 0])) as UsageCounts;

function addCounts(to: UsageCounts, from: UsageCounts, sign: 1 | -1 = 1): void {
  for (const name of COUNT_COLUMNS) to[name] += sign * from[name];
}

/** Adds what `from` counts to the row, histograms included. */
function mergeUsage(to: UsageRow, from: Pick<UsageRow, "counts" | "firstToken" | "total">): void {
  addCounts(to.counts, from.counts);
  if (from.firstToken.length > 0) to.firstToken = mergeHistograms([to.firstToken, from.firstToken]);
  if (from.total.length > 0) to.total = mergeHistograms([to.total, from.total]);
}

/** The tags of a request that are summed, as rows have them. */
export function summedTags(tags: Readonly<Record<string, string>>, names: readonly string[]): string {
  const found = names.filter((name) => Object.hasOwn(tags, name)).toSorted();
  return JSON.stringify(Object.fromEntries(found.map((name) => [name, tags[name]])));
}

/** What decides where a request is counted and what it adds. */
export type CountedFacts = Omit<TraceFacts, "id" | "routeVersion" | "errorCode" | "env">;

const FINE: ReadonlySet<string> = new Set(["ok", "cancelled"]);

/** The rows of one request. `at`: the beginning of their bucket. */
export function usageOf(facts: CountedFacts, at: number, tags: string, unadmittedNanoUsd: number): UsageRow[] {
  const { attempts } = facts;
  const targets = new Map<string, CountedFacts["attempts"][number][]>();
  for (const attempt of attempts) {
    const name = `${attempt.provider}\n${attempt.model}`;
    targets.set(name, [...(targets.get(name) ?? []), attempt]);
  }
  const last = attempts.at(-1);
  const main =
    facts.provider !== "" ? `${facts.provider}\n${facts.model}` : `${last?.provider ?? ""}\n${last?.model ?? ""}`;
  // The target that answered is one that was called, but for a trace that does not say whom it called.
  if (!targets.has(main)) targets.set(main, []);
  const isUnpriced = (of: readonly { nanoUsd: number | null }[]): boolean => of.some(({ nanoUsd }) => nanoUsd === null);
  const seen = new Set<string>();
  const first = (name: string): 0 | 1 => {
    if (seen.has(name)) return 0;
    seen.add(name);
    return 1;
  };
  return [...targets].map(([name, own]) => {
    const [provider = "", model = ""] = name.split("\n");
    const isMain = name === main;
    const [ofProvider, ofModel] = [first(`p${provider}`), first(`m${model}`)];
    const counts = noCounts();
    counts.requests = isMain ? 1 : 0;
    // A request that called no provider is none of a provider's.
    const isCalled = own.length > 0;
    counts.provider_requests = isCalled ? ofProvider : 0;
    counts.model_requests = isCalled ? ofModel : 0;
    counts.target_requests = isCalled ? 1 : 0;
    counts.unpriced = isMain && isUnpriced(attempts) ? 1 : 0;
    counts.provider_unpriced =
      ofProvider === 1 && isUnpriced(attempts.filter((each) => each.provider === provider)) ? 1 : 0;
    counts.model_unpriced = ofModel === 1 && isUnpriced(attempts.filter((each) => each.model === model)) ? 1 : 0;
    counts.target_unpriced = isUnpriced(own) ? 1 : 0;
    counts.failed_requests = own.some(({ outcome }) => !FINE.has(outcome)) ? 1 : 0;
    for (const { nanoUsd } of own) counts.nano_usd += nanoUsd ?? 0;
    const row: UsageRow = {
      at,
      place: {
        key_id: facts.keyId,
        app: facts.app,
        route: facts.route,
        api: facts.api,
        provider,
        model,
        status: facts.status,
        tags,
      },
      ...{ counts, firstToken: [], total: [] },
    };
    if (isMain) addOnce(row, facts, unadmittedNanoUsd);
    return row;
  });
}

function addOnce(row: UsageRow, facts: CountedFacts, unadmittedNanoUsd: number): void {
  const { counts } = row;
  counts.unadmitted_nano_usd = unadmittedNanoUsd;
  counts.fallbacks = facts.fallback ? 1 : 0;
  counts.hedges = facts.attempts.some(({ hedged }) => hedged) ? 1 : 0;
  counts.prompt_tokens = facts.usage.prompt;
  counts.cached_tokens = facts.usage.cached;
  counts.cache_write_tokens = facts.usage.cacheWrite;
  counts.completion_tokens = facts.usage.completion;
  counts.reasoning_tokens = facts.usage.reasoning;
  // A failure that came quickly would make the target look fast.
  if (facts.status !== "ok") return;
  const { firstTokenMs, totalMs } = facts;
  if (firstTokenMs !== null) row.firstToken = [[bucketOf(firstTokenMs), 1]];
  if (totalMs === null) return;
  row.total = [[bucketOf(totalMs), 1]];
  const writtenMs = totalMs - (firstTokenMs ?? 0);
  if (facts.usage.completion === 0 || writtenMs <= 0) return;
  counts.paced_tokens = facts.usage.completion;
  counts.paced_ms = Math.round(writtenMs);
}

/** Gathers rows, so that each bucket and place is written once. */
export class UsageTally {
  readonly #rows = new Map<string, UsageRow>();

  add(row: UsageRow, sign: 1 | -1 = 1): void {
    const name = nameOf(row);
    const known = this.#rows.get(name);
    if (known === undefined) {
      const counts = noCounts();
      addCounts(counts, row.counts, sign);
      this.#rows.set(name, { ...row, counts });
    } else if (sign === 1) mergeUsage(known, row);
    else addCounts(known.counts, row.counts, sign);
  }

  rows(): Iterable<UsageRow> {
    return this.#rows.values();
  }
}

function nameOf({ at, place }: Pick<UsageRow, "at" | "place">): string {
  return [at, ...PLACE_COLUMNS.map((name) => place[name])].join("\n");
}

/** The usage of a day on its way to the archive of its month, in parts. */
export interface ArchivedDay {
  /** First ms of the day. */
  readonly day: number;
  /** Grows with every change of the day: an older copy never replaces a newer one. */
  readonly version: number;
  /** From 0, of `parts`. */
  readonly part: number;
  readonly parts: number;
  readonly rows: readonly UsageRow[];
}
