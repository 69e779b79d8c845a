/** Signs of life: none for short requests, one every 10 s for all longer ones of a key together. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isolateName, noteSignOfLife, silentFor } from "../../../../src/ledger/client/isolate.ts";
import { BEAT_MS, START_ROW_MS, Watch } from "../../../../src/ledger/client/watch.ts";
import type { KeyLedger } from "../../../../src/ledger/key-ledger.ts";
import type { Reservation, SettleAnswer } from "../../../../src/ledger/types.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { reservation } from "../fakes.ts";

const ANSWER: SettleAnswer = { revoked: false, keyVersion: 1, remainingNanoUsd: null };
let keyId = "";
let count = 0;
let work: Promise<unknown>[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 22) });
  stubScheduler();
  keyId = `watchtest${++count}`;
  work = [];
});
afterEach(async () => {
  await Promise.all(work);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function fakeLedger(renew: () => Promise<SettleAnswer> = async () => ANSWER) {
  const calls = { renewed: [] as string[], reserved: [] as (readonly Reservation[])[] };
  const ledger = {
    renew(isolate: string) {
      calls.renewed.push(isolate);
      return renew();
    },
    async reserveAll(reservations: readonly Reservation[]) {
      calls.reserved.push(reservations);
      return reservations.map(() => ({ ok: true, remainingNanoUsd: null, keyVersion: 1, rate: null }));
    },
  };
  // A watch calls nothing else of a namespace.
  const namespace = { getByName: () => ledger } as unknown as DurableObjectNamespace<KeyLedger>;
  const heard: SettleAnswer[] = [];
  const watch = (startRow: (() => Reservation | null) | null = null): Watch =>
    new Watch(
      {
        ...{ namespace, keyId, startRow },
        waitUntil: (each) => void work.push(each),
        onRenewed: (answer) => void heard.push(answer),
      },
      Date.now(),
    );
  return { calls, heard, watch };
}

describe("a request that holds something", () => {
  test("gives no sign before 10 s, and one every 10 s from then on until it is settled", async () => {
    const { calls, heard, watch } = fakeLedger();
    const running = watch();
    await vi.advanceTimersByTimeAsync(BEAT_MS - 1);
    expect(calls.renewed).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls.renewed).toEqual([isolateName()]);
    await vi.advanceTimersByTimeAsync(3 * BEAT_MS);
    expect(calls.renewed).toHaveLength(4);
    expect(heard).toHaveLength(4);
    running.stop();
    running.stop();
    await vi.advanceTimersByTimeAsync(5 * BEAT_MS);
    expect(calls.renewed).toHaveLength(4);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("leaves it to others of its key: however many run, the ledger hears of them once in 10 s", async () => {
    const { calls, watch } = fakeLedger();
    const running: Watch[] = [];
    for (let each = 0; each < 50; each++) {
      running.push(watch());
      await vi.advanceTimersByTimeAsync(137);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    // 66.85 s since the first began: the first sign after 10 s, then one each 10 s.
    expect(calls.renewed).toHaveLength(6);
    for (const each of running) each.stop();
  });

  test("gives none while other calls to the ledger do", async () => {
    const { calls, watch } = fakeLedger();
    const running = watch();
    for (let second = 0; second < 60; second += 5) {
      noteSignOfLife(keyId, Date.now());
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(calls.renewed).toEqual([]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(calls.renewed).toHaveLength(1);
    running.stop();
  });

  test("goes on after a ledger that failed or did not answer: three tries fit into a lease", async () => {
    const answers = [() => Promise.reject(new Error("reset")), () => new Promise<never>(() => {}), async () => ANSWER];
    const { calls, heard, watch } = fakeLedger(() => (answers.shift() ?? (async () => ANSWER))());
    const running = watch();
    await vi.advanceTimersByTimeAsync(29_999);
    expect([calls.renewed.length, heard.length]).toEqual([2, 0]);
    await vi.advanceTimersByTimeAsync(1);
    expect([calls.renewed.length, heard.length]).toEqual([3, 1]);
    running.stop();
  });
});

describe("a request that holds nothing", () => {
  const row = reservation({ boundNanoUsd: 0 });

  test("is put on record after a second, and is alive from then on", async () => {
    const { calls, watch } = fakeLedger();
    const running = watch(() => row);
    await vi.advanceTimersByTimeAsync(START_ROW_MS - 1);
    expect(calls.reserved).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(calls.reserved).toEqual([[row]]);
    await vi.advanceTimersByTimeAsync(12_000);
    expect([calls.reserved.length, calls.renewed.length]).toEqual([1, 1]);
    running.stop();
  });

  test("is not when it ends before, or asks nobody by then", async () => {
    const { calls, watch } = fakeLedger();
    const short = watch(() => row);
    await vi.advanceTimersByTimeAsync(900);
    short.stop();
    const idle = watch(() => null);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(calls.reserved).toEqual([]);
    idle.stop();
  });

  test("shares a call with those that began about when it did", async () => {
    const { calls, watch } = fakeLedger();
    const running: Watch[] = [];
    for (let each = 0; each < 20; each++) {
      running.push(watch(() => reservation({ boundNanoUsd: 0 })));
      await vi.advanceTimersByTimeAsync(4);
    }
    await vi.advanceTimersByTimeAsync(1_200);
    expect(calls.reserved.map((each) => each.length)).toEqual([20]);
    for (const each of running) each.stop();
  });
});

test("an isolate has one name, and was never heard of by a key that it did not call", () => {
  expect(isolateName()).toBe(isolateName());
  expect(silentFor("never", Date.now())).toBe(Number.POSITIVE_INFINITY);
});
