/**
 * A shard at work: it takes the traces of its hour and its keys, and tells the object of the day what they add to its
 * sums.
 *
 * Batches that come within a moment are written together, because each write has a price of its own. What another object
 * is to take goes through the object of the day, which knows where.
 */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { log } from "../../lib/log.ts";
import { HOUR_MS, type Shard, type TrailDay } from "../calendar.ts";
import type { TrailStore } from "../store/store.ts";
import type { TrailBatch, TrailReceipt } from "../types.ts";
import type { NumberedDelta } from "./delta.ts";
import { unitsOf } from "./directory.ts";
import { type Spread, shardOf, shardsAt } from "./plan.ts";

/** How long batches are gathered before they are written. */
const GATHER_MS = 40;
/** How long sums are gathered before they are sent. */
export const SEND_AFTER_MS = 2_000;
const SENT_AT_ONCE = 200;

/** The object of the day, as its shards use it. */
export interface DayOfShards {
  join(shard: Shard, neededAt: number): Promise<Spread>;
  absorb(shard: Shard, deltas: readonly NumberedDelta[], load: number): Promise<number>;
  ingest(batch: TrailBatch): Promise<TrailReceipt>;
}

export interface ShardTools {
  readonly day: () => DayOfShards;
  readonly tagNames: () => Promise<readonly string[]>;
  readonly transact: <T>(work: () => T) => T;
  /** The alarm rings by then, epoch ms. */
  readonly ringBy: (at: number) => Promise<void>;
}

interface Group {
  readonly batches: TrailBatch[];
  readonly written: Promise<void>;
}

export class ShardDesk {
  readonly #store: TrailStore;
  readonly #shard: Shard;
  readonly #day: TrailDay;
  readonly #tools: ShardTools;
  #spread: Spread | null = null;
  #group: Group | null = null;
  #measured = { units: 0, since: Date.now() };

  constructor(store: TrailStore, shard: Shard, day: TrailDay, tools: ShardTools) {
    this.#store = store;
    this.#shard = shard;
    this.#day = day;
    this.#tools = tools;
  }

  async ingest(batch: TrailBatch): Promise<TrailReceipt> {
    this.#measured.units += unitsOf(1, batch.rows.length);
    const times = batch.rows.map(({ trace }) => timeOf(trace));
    const spread = await this.#settled(Math.max(0, ...times.map((at) => at ?? 0)));
    const isOwn = (at: number | null): boolean =>
      at === null ||
      (at >= this.#shard.hourAt &&
        at < this.#shard.hourAt + HOUR_MS &&
        shardsAt(spread, at) === this.#shard.of &&
        shardOf(batch.keyId, this.#shard.of) === this.#shard.number);
    const rows = batch.rows.filter((_, at) => isOwn(times[at] ?? null));
    if (rows.length > 0) await this.#write({ ...batch, rows });
    const others = batch.rows.filter((_, at) => !isOwn(times[at] ?? null));
    if (others.length > 0) await this.#tools.day().ingest({ keyId: batch.keyId, rows: others });
    return { upTo: batch.rows.reduce((largest, { seq }) => Math.max(largest, seq), 0), spread };
  }

  /** Sends what the object of the day has not added. Rejects where that does not answer: it stays, and goes again. */
  async send(): Promise<void> {
    for (;;) {
      const deltas = this.#store.pending(SENT_AT_ONCE);
      if (deltas.length === 0) return;
      const added = await this.#tools.day().absorb(this.#shard, deltas, this.#load());
      this.#tools.transact(() => this.#store.forgetPending(added));
    }
  }

  #load(): number {
    const now = Date.now();
    const seconds = Math.max(0.5, (now - this.#measured.since) / 1_000);
    const { units } = this.#measured;
    this.#measured = { units: 0, since: now };
    return units / seconds;
  }

  /** Where traces up to `neededAt` go; the object of the day knows this shard then. */
  async #settled(neededAt: number): Promise<Spread> {
    if (this.#spread === null || this.#spread.until <= neededAt || !this.#store.hasTables) {
      const spread = await this.#tools.day().join(this.#shard, neededAt);
      if (spread.until > (this.#spread?.until ?? 0)) this.#spread = spread;
      return spread;
    }
    return this.#spread;
  }

  #write(batch: TrailBatch): Promise<void> {
    if (this.#group !== null) {
      this.#group.batches.push(batch);
      return this.#group.written;
    }
    const batches = [batch];
    const written = this.#gathered(batches);
    this.#group = { batches, written };
    return written;
  }

  async #gathered(batches: readonly TrailBatch[]): Promise<void> {
    try {
      const tagNames = await this.#tools.tagNames();
      await scheduler.wait(GATHER_MS);
      this.#group = null;
      const refused = this.#tools.transact(() => this.#store.ingestInShard(batches, this.#day, tagNames));
      if (refused.length > 0) log({ event: "trail_rows_refused", rows: refused.length, first_seq: refused[0] });
      await this.#tools.ringBy(Date.now() + SEND_AFTER_MS);
    } finally {
      if (this.#group?.batches === batches) this.#group = null;
    }
  }
}

/** When the request of a trace came, epoch ms; `null` for text that does not say it. */
export function timeOf(trace: string): number | null {
  const value = tryParseJson(trace);
  const text = isJsonObject(value) ? value["created_at"] : null;
  const at = typeof text === "string" ? Date.parse(text) : Number.NaN;
  return Number.isFinite(at) ? at : null;
}
