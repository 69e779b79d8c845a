/** What all objects share: one alarm, pauses that grow, messages that are sent until they are taken. */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AlarmSchedule } from "../../../src/durable/alarm-schedule.ts";
import { Backoff } from "../../../src/durable/backoff.ts";
import { Outbox } from "../../../src/durable/outbox.ts";

describe("a backoff", () => {
  test("doubles up to its limit and begins anew after a success", () => {
    const backoff = new Backoff({ firstMs: 1_500, maxMs: 60_000 }, () => 0);
    expect([1, 2, 3, 4, 5, 6, 7, 8].map(() => backoff.fail())).toEqual([
      ...[1_500, 3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000],
    ]);
    expect(backoff.failures).toBe(8);
    backoff.succeed();
    expect(backoff.fail()).toBe(1_500);
  });

  test("is never shorter than its pause, nor longer by more than a quarter, whatever chance says", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 2_000 }),
        (chance, failures) => {
          const [plain, random] = [() => 0, () => chance].map(
            (draw) => new Backoff({ firstMs: 100, maxMs: 60_000 }, draw),
          );
          let [shortest, pause] = [0, 0];
          for (let failed = 0; failed < failures; failed++)
            [shortest, pause] = [plain?.fail() ?? 0, random?.fail() ?? 0];
          expect(pause).toBeGreaterThanOrEqual(shortest);
          expect(pause).toBeLessThanOrEqual(Math.min(60_000, shortest * 1.25 + 1));
        },
      ),
    );
  });
});

class FakeAlarms {
  at: number | null = null;
  asked = 0;
  fails = false;
  getAlarm = async (): Promise<number | null> => {
    this.asked++;
    return this.at;
  };
  setAlarm = async (at: number | Date): Promise<void> => {
    if (this.fails) throw new Error("Storage is away.");
    this.at = Number(at);
  };
  deleteAlarm = async (): Promise<void> => {
    this.at = null;
  };
}

describe("an alarm schedule", () => {
  test("rings by the earliest time, and asks the platform once", async () => {
    const alarms = new FakeAlarms();
    alarms.at = 500;
    const schedule = new AlarmSchedule(alarms);
    await schedule.ringBy(900);
    expect(alarms.at).toBe(500);
    await schedule.ringBy(300);
    await schedule.ringBy(400);
    expect([alarms.at, alarms.asked]).toEqual([300, 1]);
    schedule.rang();
    await schedule.ringBy(1_000);
    expect(alarms.at).toBe(1_000);
    await schedule.setTo(2_000);
    expect(alarms.at).toBe(2_000);
    await schedule.setTo(null);
    await schedule.ringBy(5_000);
    expect([alarms.at, alarms.asked]).toEqual([5_000, 1]);
  });

  test("that could not be set is set the next time", async () => {
    const alarms = new FakeAlarms();
    const schedule = new AlarmSchedule(alarms);
    alarms.fails = true;
    await expect(schedule.ringBy(100)).rejects.toThrow("away");
    alarms.fails = false;
    await schedule.ringBy(200);
    expect(alarms.at).toBe(200);
  });
});

/** A receiver that takes, refuses or never answers, and a table that is a list. */
class FakePost {
  readonly waiting: number[] = [];
  readonly taken: number[][] = [];
  answer: () => Promise<void> = async () => {};
  readonly outbox = new Outbox<number>(
    {
      next: () => this.waiting.slice(0, 2),
      send: async (messages) => {
        await this.answer();
        this.taken.push([...messages]);
      },
      sent: (messages) => {
        for (const each of messages) this.waiting.splice(this.waiting.indexOf(each), 1);
      },
    },
    1_000,
    { firstMs: 100, maxMs: 400 },
  );
}

describe("an outbox", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
    vi.spyOn(Math, "random").mockReturnValue(0);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test("sends what waits, oldest first, and what comes meanwhile", async () => {
    const post = new FakePost();
    post.waiting.push(1, 2, 3);
    post.answer = async () => {
      if (post.taken.length === 1) post.waiting.push(4, 5);
    };
    await post.outbox.drain();
    expect(post.taken).toEqual([[1, 2], [3], [4, 5]]);
    expect([post.outbox.isEmpty, post.outbox.dueAt(7)]).toEqual([true, null]);
  });

  test("keeps what was not taken, and waits longer each time", async () => {
    const post = new FakePost();
    post.waiting.push(1);
    post.answer = () => Promise.reject(new Error("no"));
    const pauses: (number | null)[] = [];
    for (let tries = 0; tries < 4; tries++) {
      await post.outbox.drain();
      pauses.push(post.outbox.dueAt(1_000));
    }
    expect(pauses).toEqual([1_100, 1_200, 1_400, 1_400]);
    post.answer = async () => {};
    await post.outbox.drain();
    expect(post.taken).toEqual([[1]]);
  });

  test("to several receivers is held up by none: what one does not take waits, and the rest goes on", async () => {
    const waiting = [1, 2, 3, 4, 5, 6, 7];
    const taken: number[] = [];
    let isAway = (each: number): boolean => each % 3 === 1;
    const outbox = new Outbox<number>(
      {
        next: (after) => waiting.filter((each) => each > after).slice(0, 2),
        send: async ([each = 0, ...others]) => {
          expect(others).toEqual([]);
          if (isAway(each)) throw new Error("away");
          taken.push(each);
        },
        sent: ([each = 0]) => void waiting.splice(waiting.indexOf(each), 1),
        placeOf: (each) => each,
      },
      1_000,
      { firstMs: 100, maxMs: 400 },
    );
    // While something goes out the pause stays short.
    expect([await outbox.drain(), await outbox.drain()]).toEqual([100, 200]);
    expect([taken, waiting]).toEqual([
      [2, 3, 5, 6],
      [1, 4, 7],
    ]);
    isAway = () => false;
    while (waiting.length > 0) await outbox.drain();
    expect(taken.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await outbox.drain()).toBe(0);
  });

  test("sends one at a time, and gives up on a receiver that never answers", async () => {
    const post = new FakePost();
    post.waiting.push(1);
    post.answer = () => new Promise(() => {});
    const first = post.outbox.drain();
    await post.outbox.drain();
    await vi.advanceTimersByTimeAsync(1_000);
    await first;
    expect(post.outbox.dueAt(1_000)).toBe(1_100);
    post.answer = async () => {};
    await post.outbox.drain();
    expect(post.taken).toEqual([[1]]);
  });
});
