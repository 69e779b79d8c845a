/** What a ledger does on its alarm: expiry, retention, and traces on their way to the index, whatever fails. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { IndexBatch, TraceIndexes } from "../../../src/ledger/outbox.ts";
import { SHIP_BATCH, SHIP_DELAY_MS, Upkeep } from "../../../src/ledger/upkeep.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { type Books, DAY_MS, KEY_ID, MINUTE_MS, openBooks, reservation, settleRow, T0, traceId } from "./fakes.ts";

/** The platform's one alarm per object. */
class FakeAlarm {
  at: number | null = null;
  sets = 0;
  failing = 0;

  getAlarm = async (): Promise<number | null> => this.at;

  setAlarm = async (at: number | Date): Promise<void> => {
    if (this.failing > 0) {
      this.failing--;
      throw new Error("storage");
    }
    this.sets++;
    this.at = Number(at);
  };

  deleteAlarm = async (): Promise<void> => {
    this.at = null;
  };
}

/** An index that keeps what it took; `answer` decides what becomes of a call. */
class FakeIndexes implements TraceIndexes {
  readonly calls: { readonly name: string; readonly batch: IndexBatch }[] = [];
  answer: (name: string) => Promise<unknown> = async () => ({ upTo: 0 });

  getByName(name: string) {
    return {
      ingest: async (batch: IndexBatch): Promise<unknown> => {
        this.calls.push({ name, batch });
        return this.answer(name);
      },
    };
  }

  get seqs(): number[] {
    return this.calls.flatMap(({ batch }) => batch.rows.map(({ seq }) => seq));
  }
}

let books: Books;
let alarm: FakeAlarm;
let indexes: FakeIndexes;
let upkeep: Upkeep;

async function start(withIndex = true): Promise<void> {
  upkeep = new Upkeep(books.ledger, (work) => books.call(() => work()), alarm, withIndex ? indexes : undefined);
  await upkeep.start(Date.now());
}

beforeEach(async () => {
  vi.useFakeTimers({ now: T0 });
  stubScheduler();
  books = openBooks();
  alarm = new FakeAlarm();
  indexes = new FakeIndexes();
  await start();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** As the object does it. */
async function settle(count: number, members: Parameters<typeof settleRow>[2] = {}): Promise<string[]> {
  const now = Date.now();
  const rows = Array.from({ length: count }, () => settleRow(traceId(now), [5], { startedAt: now, ...members }));
  books.call((ledger) => ledger.settle(rows, now));
  upkeep.noteTraces(now);
  await upkeep.arm(now);
  return rows.map(({ id }) => id);
}

/** Lets time pass, and the alarm ring whenever it is due. Answers how often it rang. */
async function pass(ms: number): Promise<number> {
  const endsAt = Date.now() + ms;
  for (let rings = 0; ; rings++) {
    if (alarm.at === null || alarm.at > endsAt) {
      await vi.advanceTimersByTimeAsync(Math.max(0, endsAt - Date.now()));
      return rings;
    }
    expect(rings, "an alarm that never rests").toBeLessThan(1_000);
    await vi.advanceTimersByTimeAsync(Math.max(0, alarm.at - Date.now()));
    alarm.at = null;
    let isOver = false;
    const run = upkeep.run().finally(() => {
      isOver = true;
    });
    // Time passes inside a run only where it waits for something.
    for (let step = 0; !isOver; step++) await vi.advanceTimersByTimeAsync(step < 50 ? 0 : 100);
    await run;
  }
}

const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);

describe("shipping", () => {
  test("takes a trace to the index of its environment and day within 5 seconds, once", async () => {
    const [id] = await settle(1, { unadmittedNanoUsd: 7 });
    const waited = (alarm.at ?? 0) - T0;
    expect(waited).toBeLessThanOrEqual(SHIP_DELAY_MS);
    await pass(4_000);
    const trace = books.store.sql.exec<{ body: string }>("SELECT body FROM request").one().body;
    expect(indexes.calls).toEqual([
      { name: "production:2026-11-22", batch: { keyId: KEY_ID, rows: [{ seq: 1, trace, unadmittedNanoUsd: 7 }] } },
    ]);
    expect(trace).toContain(id);
    expect(books.ledger.outbox.isEmpty).toBe(true);
    await pass(DAY_MS / 2);
    expect(indexes.calls).toHaveLength(1);
  });

  test("sets the alarm once for all that is settled in a second, and none for a ledger at rest", async () => {
    for (let again = 0; again < 20; again++) await settle(3);
    expect(alarm.sets).toBe(1);
    expect(await pass(10_000)).toBe(1);
    // What stands now is retention, a day away.
    expect(alarm.at).toBeGreaterThan(Date.now() + DAY_MS - MINUTE_MS);
  });

  test("however steadily requests end, no trace waits for longer than 5 seconds", async () => {
    for (let count = 1; count <= 40; count++) {
      await settle(1);
      await pass(300);
      expect(books.ledger.outbox.count()).toBeLessThanOrEqual(5_000 / 300);
    }
    expect(indexes.calls.length).toBeLessThanOrEqual(13);
  });

  test("sends what waits in batches, all in one go, each trace once and with a number of its own", async () => {
    for (let again = 0; again < 3; again++) await settle(150);
    await pass(2_000);
    expect(indexes.calls.map(({ batch }) => batch.rows.length)).toEqual(Array(450 / SHIP_BATCH).fill(SHIP_BATCH));
    expect(sorted(indexes.seqs)).toEqual(Array.from({ length: 450 }, (_, index) => index + 1));
  });

  test("separates the days of a batch", async () => {
    await settle(2, { startedAt: Date.UTC(2026, 10, 21, 23, 59, 59) });
    await settle(1);
    await pass(2_000);
    const sent = indexes.calls.map(({ name, batch }) => `${name} ${batch.rows.length}`);
    expect(sent.toSorted()).toEqual(["production:2026-11-21 2", "production:2026-11-22 1"]);
  });

  test("keeps every trace while the index fails or hangs, asks ever less often, and then sends all", async () => {
    indexes.answer = () => Promise.reject(new Error("down"));
    await settle(3);
    await pass(5 * MINUTE_MS);
    const failed = indexes.calls.length;
    expect(failed).toBeGreaterThan(4);
    expect(failed).toBeLessThan(14);
    indexes.answer = () => new Promise(() => {});
    await settle(2);
    await pass(5 * MINUTE_MS);
    expect(books.ledger.outbox.count()).toBe(5);
    indexes.answer = async () => ({});
    await pass(MINUTE_MS);
    expect(new Set(indexes.calls.at(-1)?.batch.rows.map(({ seq }) => seq))).toEqual(new Set([1, 2, 3, 4, 5]));
    expect(books.ledger.outbox.isEmpty).toBe(true);
    // And the next trace is as quick as the first.
    await settle(1);
    await pass(SHIP_DELAY_MS);
    expect(books.ledger.outbox.isEmpty).toBe(true);
  });

  test("an index that takes nothing does not hold up the others", async () => {
    indexes.answer = (name) => (name.endsWith("21") ? Promise.reject(new Error("full")) : Promise.resolve({}));
    await settle(SHIP_BATCH * 2, { startedAt: Date.UTC(2026, 10, 21, 12) });
    await settle(SHIP_BATCH + 5);
    await pass(3 * MINUTE_MS);
    expect(books.ledger.outbox.count()).toBe(SHIP_BATCH * 2);
    await settle(1);
    await pass(2 * MINUTE_MS);
    expect(books.ledger.outbox.count()).toBe(SHIP_BATCH * 2);
  });

  test("a trace whose arrival was not confirmed is sent again", async () => {
    let calls = 0;
    indexes.answer = () => (++calls === 1 ? Promise.reject(new Error("the answer was lost")) : Promise.resolve({}));
    await settle(1);
    await pass(MINUTE_MS);
    expect(indexes.seqs).toEqual([1, 1]);
  });

  test("goes on after an eviction, without a call from outside", async () => {
    await settle(2);
    alarm.at = null;
    books.evict();
    await start();
    await pass(2_000);
    expect(sorted(indexes.seqs)).toEqual([1, 2]);
  });

  test("waits for as long as there is no index, and sets no alarm for it", async () => {
    await start(false);
    await settle(2);
    expect(await pass(MINUTE_MS)).toBe(0);
    expect(books.ledger.outbox.count()).toBe(2);
    await start();
    await pass(2_000);
    expect(sorted(indexes.seqs)).toEqual([1, 2]);
  });

  test("can send everything again", async () => {
    await settle(3);
    await pass(2_000);
    expect(books.call((ledger) => ledger.outbox.refill())).toBe(3);
    upkeep.noteTraces(Date.now());
    await upkeep.arm(Date.now());
    await pass(2_000);
    expect(sorted(indexes.seqs)).toEqual([1, 1, 2, 2, 3, 3]);
  });

  test("a trace that names no day or environment is given up and counted, with its cost", async () => {
    await settle(1, { trace: '{"id":"x"}' });
    await settle(1, { trace: "no JSON" });
    await settle(1);
    await pass(2_000);
    expect(indexes.seqs).toEqual([3]);
    expect(books.ledger.audit(Date.now())).toMatchObject({ unshippedTraces: 0, lostTraces: 2, lostNanoUsd: 10 });
  });
});

describe("the alarm", () => {
  async function reserve(expiresAt: number, members: Parameters<typeof reservation>[0] = {}): Promise<string> {
    const id = traceId(Date.now());
    books.call((ledger) => ledger.reserve(reservation({ traceId: id, expiresAt, ...members }), Date.now()));
    await upkeep.arm(Date.now());
    return id;
  }

  test("rings when the first reservation expires, and charges exactly those that have", async () => {
    await reserve(T0 + 90_000);
    await reserve(T0 + 30_000);
    expect(alarm.at).toBe(T0 + 30_000);
    await pass(31_000);
    expect(books.ledger.audit(Date.now())).toMatchObject({ expired: 1, openReservations: 1, isConsistent: true });
    expect(alarm.at).toBe(T0 + 90_000);
    await pass(60_000);
    expect(books.ledger.audit(Date.now())).toMatchObject({ expired: 2, openReservations: 0, isConsistent: true });
    expect(alarm.at).toBeNull();
  });

  const origin = { env: "production", app: "a", route: "flow/a", routeVersion: 1, stream: false, receivedAt: T0 };

  test("ships the trace of what expired within 5 seconds, without a call from outside", async () => {
    await reserve(T0 + 30_000, { origin });
    await pass(30_000 + 5_000);
    expect(indexes.calls).toMatchObject([
      { name: "production:2026-11-22", batch: { rows: [{ seq: 1, unsettledAttempts: 1 }] } },
    ]);
    expect(books.ledger.outbox.isEmpty).toBe(true);
  });

  test("ships it too where a reservation has swept", async () => {
    await reserve(T0 + 30_000, { origin });
    await vi.advanceTimersByTimeAsync(31_000);
    alarm.at = null;
    await start();
    await reserve(T0 + 90_000);
    await pass(5_000);
    expect(indexes.calls).toMatchObject([{ batch: { rows: [{ unsettledAttempts: 1 }] } }]);
  });

  test("sends a settlement that came while its unsettled trace was on the way", async () => {
    const id = await reserve(T0 + 1_000, { origin });
    indexes.answer = async () => {
      indexes.answer = async () => ({});
      books.call((ledger) => ledger.settle([settleRow(id, [30])], Date.now()));
    };
    await pass(MINUTE_MS);
    expect(indexes.calls.map(({ batch }) => batch.rows.map((row) => row.unsettledAttempts))).toEqual([
      [1],
      [undefined],
    ]);
    expect(books.ledger.outbox.isEmpty).toBe(true);
  });

  test("is one for all reservations of a minute", async () => {
    for (let index = 0; index < 50; index++) await reserve(T0 + 60_000 + index);
    expect(alarm.sets).toBe(1);
  });

  test("twice in a row, or beside a late settlement, changes nothing more", async () => {
    const id = await reserve(T0 + 1_000);
    await settle(2);
    await vi.advanceTimersByTimeAsync(1_500);
    indexes.answer = async () => {
      // The late settlement arrives while the alarm waits for the index.
      books.call((ledger) => ledger.settle([settleRow(id, [30])], Date.now()));
      return {};
    };
    const runs = Promise.all([upkeep.run(), upkeep.run()]);
    await vi.advanceTimersByTimeAsync(100);
    await runs;
    expect(books.ledger.audit(Date.now())).toMatchObject({
      ...{ isConsistent: true, expired: 0, openReservations: 0, total: { spentNanoUsd: 40, requests: 3 } },
    });
  });

  test("a step that throws keeps neither the others nor the next alarm from happening, and does not spin", async () => {
    const lines = vi.spyOn(console, "log").mockImplementation(() => {});
    await reserve(T0 + 1_000);
    await settle(1);
    vi.spyOn(books.ledger, "sweep").mockImplementation(() => {
      throw new Error("secret inside");
    });
    expect(await pass(MINUTE_MS)).toBeLessThan(20);
    expect(indexes.seqs).toEqual([1]);
    expect(alarm.at).not.toBeNull();
    const steps = new Set(lines.mock.calls.map(([line]) => String(line)));
    expect(steps).toEqual(new Set(['{"event":"ledger_upkeep_failed","step":"sweep"}']));
    vi.mocked(books.ledger.sweep).mockRestore();
    await pass(10_000);
    expect(books.ledger.audit(Date.now())).toMatchObject({ expired: 1 });
  });

  test("that could not be set is set by the next call", async () => {
    alarm.failing = 1;
    await expect(settle(1)).rejects.toThrow("storage");
    await settle(1);
    await pass(2_000);
    expect(sorted(indexes.seqs)).toEqual([1, 2]);
  });

  test("deletes in rounds until nothing is too much, and looks again a minute later while more comes", async () => {
    for (let index = 0; index < 54; index++) await settle(200);
    await pass(MINUTE_MS / 2);
    expect(books.ledger.traces.count).toBe(10_800);
    await pass(2 * MINUTE_MS);
    expect(books.ledger.traces.count).toBe(10_000);
    expect(books.ledger.audit(Date.now())).toMatchObject({ isConsistent: true, lostTraces: 0 });
  });

  test("deletes once a day what is older than 30 days", async () => {
    await settle(5);
    await vi.advanceTimersByTimeAsync(31 * DAY_MS - 10);
    await settle(1);
    await pass(2 * DAY_MS);
    expect(books.ledger.traces.count).toBe(1);
  });
});
