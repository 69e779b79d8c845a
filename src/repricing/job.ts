/**
 * One repricing, without a clock and a runtime: which keys it has been through, and what it has added up.
 *
 * It asks one ledger after the other for one small step after the other, a few ledgers at a time, and hands what they have
 * corrected to the trail before the next step. Every call may be repeated, so a job that is interrupted goes on where it
 * was.
 */
import type { Adjustment, RepriceCheck, RepriceOrder, RepriceProgress } from "../ledger/repricing.ts";
import { toUsd } from "../lib/money.ts";
import { archiveName, dayStart, expiresAt, trailName } from "../trace-index/calendar.ts";
import type { AdjustmentBatch } from "../trace-index/store/store-adjust.ts";
import type { RepriceRefusal, RepriceState } from "./types.ts";

/** Ledgers that are asked at a time: requests of their keys go first there. */
const LEDGERS_AT_A_TIME = 2;

/** Whom a job talks to. */
export interface Parties {
  ledger(keyId: string): {
    repriceCheck(order: RepriceOrder): Promise<RepriceCheck>;
    reprice(order: RepriceOrder, deliveredSeq: number): Promise<RepriceProgress>;
  };
  trail(name: string): { adjust(batch: AdjustmentBatch): Promise<void> };
  archive(name: string): { adjust(batch: AdjustmentBatch, tagNames: readonly string[]): Promise<void> };
  /** Names of tags that are summed. */
  tagNames(): Promise<readonly string[]>;
}

export interface JobClock {
  /** The time of this slice is over. */
  readonly isOver: () => boolean;
  readonly now: () => number;
  /** Lets others go first, between two steps. */
  readonly pause: () => Promise<void>;
}

/** What a job keeps. Plain JSON. */
export interface JobRecord {
  readonly order: RepriceOrder;
  readonly status: RepriceState["status"];
  /** Keys that are still to be asked, in their order. */
  readonly waiting: readonly string[];
  readonly charges: number;
  readonly keys: number;
  readonly beforeNanoUsd: number;
  readonly afterNanoUsd: number;
  readonly isExact: boolean;
  readonly asOf: number;
  readonly error?: string;
}

export function newJob(order: RepriceOrder, keyIds: readonly string[], now: number): JobRecord {
  return {
    ...{ order, status: "running", waiting: keyIds, charges: 0, keys: 0, beforeNanoUsd: 0, afterNanoUsd: 0 },
    ...{ isExact: true, asOf: now },
  };
}

export function stateOf({ order, ...job }: JobRecord): RepriceState {
  return {
    id: order.job,
    status: job.status,
    provider: order.provider,
    model: order.model,
    since: new Date(order.since).toISOString(),
    until: new Date(order.until).toISOString(),
    dry_run: order.dryRun,
    charges: job.charges,
    keys: job.keys,
    before_usd: toUsd(job.beforeNanoUsd),
    after_usd: toUsd(job.afterNanoUsd),
    difference_usd: toUsd(job.afterNanoUsd - job.beforeNanoUsd),
    exact: job.isExact,
    as_of: new Date(job.asOf).toISOString(),
    ...(job.error === undefined ? {} : { error: job.error }),
  };
}

/** Why not all of the span can be corrected; `null`: it can. Changes nothing. */
export async function refusalOf(parties: Parties, { order, waiting }: JobRecord): Promise<RepriceRefusal | null> {
  const checks = await each(waiting, (keyId) => parties.ledger(keyId).repriceCheck(order));
  const firstHour = Math.max(0, ...checks.map((check) => check.firstHour));
  if (firstHour > order.since) return { reason: "range_not_kept", firstHour };
  if (checks.some(({ needsWholeHours }) => needsWholeHours)) return { reason: "whole_hours" };
  const lengths = [...new Set(checks.flatMap(({ unknownLengths }) => unknownLengths))].toSorted((a, b) => a - b);
  return lengths.length > 0 ? { reason: "unknown_lengths", lengths } : null;
}

/** Goes on until all keys are through or `isOver`. Rejects where a call has failed: what was done stays. */
export async function advance(parties: Parties, job: JobRecord, clock: JobClock): Promise<JobRecord> {
  let current = job;
  while (current.waiting.length > 0 && !clock.isOver()) {
    const batch = current.waiting.slice(0, LEDGERS_AT_A_TIME);
    const ends = await each(batch, (keyId) => throughKey(parties, current.order, keyId, clock));
    const done = ends.filter((end) => end !== null);
    current = {
      ...current,
      // A ledger that is not through yet is asked again, and answers with all that it has summed.
      waiting: [...batch.filter((_, at) => ends[at] === null), ...current.waiting.slice(batch.length)],
      charges: done.reduce((sum, end) => sum + end.charges, current.charges),
      keys: done.reduce((sum, end) => sum + (end.charges > 0 ? 1 : 0), current.keys),
      beforeNanoUsd: done.reduce((sum, end) => sum + end.beforeNanoUsd, current.beforeNanoUsd),
      afterNanoUsd: done.reduce((sum, end) => sum + end.afterNanoUsd, current.afterNanoUsd),
      isExact: done.every((end) => end.isExact) && current.isExact,
      asOf: clock.now(),
    };
  }
  return current.waiting.length > 0 ? current : { ...current, status: "done", asOf: clock.now() };
}

/** What a key's charges came to; `null` where time was over before all of them were looked at. */
async function throughKey(
  parties: Parties,
  order: RepriceOrder,
  keyId: string,
  clock: JobClock,
): Promise<RepriceProgress | null> {
  let delivered = 0;
  for (;;) {
    const progress = await parties.ledger(keyId).reprice(order, delivered);
    if (progress.isDone) return progress;
    await deliver(parties, keyId, progress.adjustments, clock.now());
    await clock.pause();
    delivered = Math.max(delivered, ...progress.adjustments.map(({ seq }) => seq));
    if (clock.isOver()) return null;
  }
}

async function deliver(
  parties: Parties,
  keyId: string,
  adjustments: readonly Adjustment[],
  now: number,
): Promise<void> {
  const ofEnvs = adjustments.filter(({ place }) => place.env !== "");
  for (const [name, own] of Map.groupBy(ofEnvs, ({ place, at }) => trailName(place.env, at))) {
    const [first] = own;
    if (first === undefined) continue;
    const batch = { keyId, adjustments: own };
    if (now < expiresAt(dayStart(first.at))) await parties.trail(name).adjust(batch);
    else await parties.archive(archiveName(first.place.env, first.at)).adjust(batch, await parties.tagNames());
  }
}

/** `work` on every item, a few at a time, with the results in the order of the items. */
async function each<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  const worker = async (): Promise<void> => {
    for (const [at, item] of waiting) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: LEDGERS_AT_A_TIME }, worker));
  return results;
}
