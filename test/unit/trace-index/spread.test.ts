/** Where traces go while an environment is busy, and when that changes. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomBase62 } from "../../../src/lib/text/base62.ts";
import { DAY_MS, HOUR_MS, parseShardName, parseTrailName, shardName } from "../../../src/trace-index/calendar.ts";
import { Directory, SETTLED_MS } from "../../../src/trace-index/spread/directory.ts";
import { MAX_SHARDS, placeOf, shardOf, shardsAt, wantedShards } from "../../../src/trace-index/spread/plan.ts";
import { TrailRouter } from "../../../src/trace-index/spread/router.ts";
import type { TrailBatch, TrailReceipt } from "../../../src/trace-index/types.ts";
import { makeTrace, startSplitSql, TODAY, toRow } from "./fakes.ts";

describe("names of shards", () => {
  test("are read back, and no day is taken for one", () => {
    const shards = fc.record({ hour: fc.nat(23), of: fc.integer({ min: 1, max: MAX_SHARDS }), seed: fc.nat() });
    fc.assert(
      fc.property(shards, ({ hour, of, seed }) => {
        const shard = { hourAt: TODAY + hour * HOUR_MS, number: seed % of, of };
        const name = shardName("production", shard);
        expect(parseShardName(name)).toEqual({ day: { env: "production", startAt: TODAY }, shard });
        expect(parseTrailName(name)).toBeNull();
      }),
    );
  });

  test.each([
    ...["production:2026-11-22", "production:2026-11-22:24.0-1", "production:2026-11-22:03.2-2"],
    ...["production:2026-11-22:3.0-1", "production:2026-02-30:03.0-1", "production:2026-11-22:03.00-1"],
  ])("%s is none", (name) => expect(parseShardName(name)).toBeNull());
});

test("10,000 keys are spread evenly over any number of shards", () => {
  const keys = Array.from({ length: 10_000 }, () => randomBase62(12));
  for (const of of [2, 3, 16, 64]) {
    const counts = Array.from({ length: of }, () => 0);
    for (const key of keys) counts[shardOf(key, of)] = (counts[shardOf(key, of)] ?? 0) + 1;
    // Six times what chance alone makes of it.
    const spread = 6 * Math.sqrt(10_000 / of);
    for (const count of counts) expect(Math.abs(count - 10_000 / of)).toBeLessThan(spread);
  }
});

describe("how many there are", () => {
  test.each([
    // Now, load in calls a second, whether the object of the day is full, wanted.
    [0, 10, false, 0],
    [0, 300, false, 0],
    [0, 301, false, 2],
    [0, 10, true, 1],
    [0, 11_000, false, 64],
    [1, 250, true, 1],
    [2, 601, false, 4],
    [2, 400, false, 2],
    [64, 11_000, false, 64],
    // As few as are enough, and never none again.
    [64, 500, false, 4],
    [2, 10, true, 1],
    [1, 0, false, 1],
    [MAX_SHARDS, 1_000_000, false, MAX_SHARDS],
  ])("%i with a load of %i (full: %s) become %i", (shards, load, isFull, wanted) => {
    expect(wantedShards(shards, load, isFull)).toBe(wanted);
  });
});

describe("the directory of a day", () => {
  const NOON = TODAY + 12 * HOUR_MS;

  test("never changes where traces of a time go once it has answered that, whatever happens", () => {
    const events = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
        fc.record({ kind: fc.constant("load" as const), load: fc.integer({ min: 0, max: 20_000 }) }),
        fc.record({ kind: fc.constant("ask" as const), ahead: fc.integer({ min: -20_000, max: 300_000 }) }),
        fc.record({ kind: fc.constant("restart" as const) }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(events, (all) => {
        const sql = startSplitSql();
        let now = NOON;
        let directory = new Directory(sql, now);
        const answered = new Map<number, number>();
        for (const event of all) {
          if (event.kind === "pass") now += event.ms;
          if (event.kind === "restart") directory = new Directory(sql, now);
          if (event.kind === "load") {
            directory.noteLoad({ hourAt: NOON, number: 0, of: 1 }, event.load, now);
            directory.decide(now, 0);
          }
          if (event.kind === "ask") {
            const { ahead } = event;
            const spread = directory.spread(now, now + ahead);
            expect(spread.until).toBeGreaterThan(now + ahead);
            for (const at of [now + ahead, now, spread.until - 1]) {
              const before = answered.get(at);
              if (before !== undefined) expect(shardsAt(spread, at)).toBe(before);
              answered.set(at, shardsAt(spread, at));
            }
          }
        }
        const last = { steps: directory.spread(now).steps };
        for (const [at, shards] of answered) expect(shardsAt(last, at)).toBe(shards);
      }),
    );
  });

  test("keeps what it has answered for a clock that is ahead: a trace that comes again counts in the same place", () => {
    const sql = startSplitSql();
    const ahead = NOON + 5 * 60_000;
    const before = new Directory(sql, NOON);
    expect(shardsAt(before.spread(NOON, ahead), ahead)).toBe(0);
    // Evicted, and soon so busy that there are to be shards.
    const later = NOON + 1_000;
    const after = new Directory(sql, later);
    after.noteLoad({ hourAt: NOON, number: 0, of: 1 }, 20_000, later);
    after.decide(later, 0);
    expect(shardsAt(after.spread(later, ahead), ahead)).toBe(0);
    expect(after.lastShards).toBeGreaterThan(1);
    // Clocks that are right, and those that are ahead together, cost no row each.
    const written = sql.exec<{ rows: number }>("SELECT total_changes() AS rows").one().rows;
    for (let ms = 0; ms < 50_000; ms += 1_000) after.spread(later + ms, ahead + ms);
    expect(sql.exec<{ rows: number }>("SELECT total_changes() AS rows").one().rows - written).toBeLessThan(3);
  });

  test("knows which shards may have a key's traces of a time", () => {
    const directory = new Directory(startSplitSql(), NOON);
    for (const of of [2, 4]) {
      for (let number = 0; number < of; number++) directory.join({ hourAt: NOON + of * HOUR_MS, number, of });
    }
    const whole = { since: TODAY, until: TODAY + DAY_MS };
    expect(directory.shards(whole)).toHaveLength(6);
    expect(directory.shards(whole, "somekey00001")).toEqual([
      { hourAt: NOON + 4 * HOUR_MS, number: shardOf("somekey00001", 4), of: 4 },
      { hourAt: NOON + 2 * HOUR_MS, number: shardOf("somekey00001", 2), of: 2 },
    ]);
    expect(directory.shards({ since: NOON + 4 * HOUR_MS + 1, until: NOON + 5 * HOUR_MS })).toHaveLength(4);
    expect(directory.shards({ since: NOON + 5 * HOUR_MS, until: NOON + 6 * HOUR_MS })).toEqual([]);
  });
});

describe("a ledger's way", () => {
  const send = async (steps: readonly { readonly from: number; readonly shards: number }[], now: number) => {
    const asked: [string, number][] = [];
    let answer: TrailReceipt = { upTo: 0, spread: { steps, until: now + SETTLED_MS } };
    const trails = {
      getByName: (name: string) => ({
        ingest: async (batch: TrailBatch) => {
          asked.push([name, batch.rows.length]);
          return answer;
        },
      }),
    };
    const router = new TrailRouter(trails, () => now);
    const traces = [TODAY + HOUR_MS, TODAY + 2 * HOUR_MS + 1, TODAY + 3 * HOUR_MS].map((at) => makeTrace({ at }));
    const batch = { keyId: traces[0]?.key_id ?? "", rows: traces.map((trace) => toRow(trace)) };
    await router.getByName("production:2026-11-22").ingest(batch);
    const first = asked.splice(0);
    answer = { upTo: 0 };
    await router.getByName("production:2026-11-22").ingest(batch);
    return { first, second: asked, keyId: batch.keyId };
  };

  test("is to the object of the day, until that names shards; each trace goes where its time says", async () => {
    const { first, second, keyId } = await send([{ from: TODAY + 2 * HOUR_MS, shards: 8 }], TODAY + 3 * HOUR_MS);
    expect(first).toEqual([["production:2026-11-22", 3]]);
    const number = shardOf(keyId, 8);
    expect(second).toEqual([
      ["production:2026-11-22", 1],
      [`production:2026-11-22:02.${number}-8`, 1],
      [`production:2026-11-22:03.${number}-8`, 1],
    ]);
  });

  test("costs nothing where there are none", async () => {
    expect((await send([], TODAY)).second).toEqual([["production:2026-11-22", 3]]);
  });

  test("a place is that of the last change before the time", () => {
    const steps = [
      { from: 10 * HOUR_MS, shards: 2 },
      { from: 11 * HOUR_MS, shards: 1 },
    ];
    const names = [9, 10, 11].map((hour) => placeOf({ steps }, "e", "k", hour * HOUR_MS));
    expect(names).toEqual(["e:1970-01-01", `e:1970-01-01:10.${shardOf("k", 2)}-2`, "e:1970-01-01:11.0-1"]);
  });
});
