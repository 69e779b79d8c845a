/**
 * A ledger's way to the trail: to the object of the day, or to the shards that this has named before.
 *
 * What is remembered here only saves a detour: an object that gets a trace which is not its own hands it on.
 */
import type { TrailBatch, TrailReceipt } from "../types.ts";
import { placeOf, type Spread } from "./plan.ts";
import { timeOf } from "./shard-desk.ts";

interface Trails {
  getByName(name: string): { ingest(batch: TrailBatch): Promise<unknown> };
}

export class TrailRouter {
  readonly #trails: Trails;
  /** By environment: what its newest day said. A new day goes on with as many shards as the one before had. */
  readonly #spreads = new Map<string, Spread>();
  readonly #now: () => number;

  constructor(trails: Trails, now: () => number = Date.now) {
    this.#trails = trails;
    this.#now = now;
  }

  /** `name`: of a day. */
  getByName(name: string): { ingest(batch: TrailBatch): Promise<TrailReceipt> } {
    return { ingest: (batch) => this.#send(name, batch) };
  }

  async #send(dayName: string, batch: TrailBatch): Promise<TrailReceipt> {
    const env = dayName.slice(0, dayName.indexOf(":"));
    const known = this.#spreads.get(env);
    // Where nothing was said for an hour, the object of the day is asked again.
    const spread = known !== undefined && known.until + 3_600_000 > this.#now() ? known : undefined;
    const groups = Map.groupBy(batch.rows, ({ trace }) => {
      const at = spread === undefined || spread.steps.length === 0 ? null : timeOf(trace);
      return spread === undefined || at === null ? dayName : placeOf(spread, env, batch.keyId, at);
    });
    let upTo = 0;
    for (const [name, rows] of groups) {
      const answer = await this.#trails.getByName(name).ingest({ keyId: batch.keyId, rows });
      const receipt = answer as TrailReceipt;
      if (receipt.spread !== undefined && receipt.spread.until >= (this.#spreads.get(env)?.until ?? 0)) {
        this.#spreads.set(env, receipt.spread);
      }
      upTo = Math.max(upTo, receipt.upTo);
    }
    return { upTo };
  }
}
