/** The other objects of the trail, as one of them uses them. */
import { callWithRetry } from "../../durable/call.ts";
import type { BodyFilter, FacetRow } from "../../traces/filter.ts";
import { type Shard, type Span, shardName } from "../calendar.ts";
import type { AdjustmentBatch } from "../store/store-adjust.ts";
import type { DayFacetsQuery, TrailBatch, TrailReceipt } from "../types.ts";
import type { UsageQuestion, UsageSum } from "../usage-query.ts";
import type { DayOfShards } from "./shard-desk.ts";

/** One call, its second try included. */
const CALL_LIMIT_MS = 4_000;
const CALLS_AT_A_TIME = 6;

interface AnyOfTrail extends DayOfShards {
  ingest(batch: TrailBatch): Promise<TrailReceipt>;
  lastShards(): Promise<number>;
  erase(keyId: string): Promise<void>;
  facets(query: DayFacetsQuery): Promise<FacetRow[] | null>;
  usageOfTraces(query: UsageQuestion, since: number, until: number): Promise<UsageSum[]>;
  usageOfMatching(query: UsageQuestion & Span, filter: BodyFilter): Promise<UsageSum[] | null>;
  noteRepriced(batch: AdjustmentBatch): Promise<void>;
}

export class Siblings {
  readonly #trails: { getByName(name: string): unknown };

  constructor(trails: { getByName(name: string): unknown }) {
    this.#trails = trails;
  }

  get(name: string): AnyOfTrail {
    // The same methods: the platform's own stub type makes arrays of the tuples in a histogram.
    return this.#trails.getByName(name) as AnyOfTrail;
  }

  /** `work` on shards, a few at a time. Rejects where one does not answer: a part would look whole. */
  async ask<T>(env: string, shards: readonly Shard[], work: (shard: AnyOfTrail) => Promise<T>): Promise<T[]> {
    const results: T[] = [];
    const waiting = shards.entries();
    const ask = async (): Promise<void> => {
      for (const [at, shard] of waiting) {
        results[at] = await callWithRetry(CALL_LIMIT_MS, () => work(this.get(shardName(env, shard))));
      }
    };
    await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, ask));
    return results;
  }
}
