/** A busy key's gates: when there are any, and that every caller of one has its own answer. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CallRate, HOT_CALLS, MAX_GATES } from "../../../src/ledger/gates/call-rate.ts";
import { GATE_GATHER_MS, Gate, type GatedLedger, gatedKey, gateName } from "../../../src/ledger/gates/gate.ts";
import type { ReserveAnswer, SettleAnswer } from "../../../src/ledger/types.ts";
import { reservation, settleRow, T0, traceId } from "./fakes.ts";

const STANDING: SettleAnswer = { revoked: false, keyVersion: 1, remainingNanoUsd: 7 };
const granted = (remainingNanoUsd: number): ReserveAnswer => ({
  ok: true,
  remainingNanoUsd,
  keyVersion: 1,
  rate: null,
});

describe("how many gates a ledger wants", () => {
  /** Seconds with so many calls each; what the first call after each of them hears. */
  const heard = (seconds: readonly number[]): number[] => {
    const rate = new CallRate();
    return seconds.map((calls, second) => {
      for (let call = 0; call < calls; call++) rate.note(1, T0 + second * 1_000 + (call * 999) / calls);
      return rate.note(1, T0 + (second + 1) * 1_000);
    });
  };

  test("is none of a key that is not called often, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: HOT_CALLS - 2 }), { maxLength: 6 }), (seconds) => {
        expect(heard(seconds).every((gates) => gates === 0)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test("grows with the calls, has an end, stays while it is warm, and is none once it is not", () => {
    expect(heard([100, 600, 1_800, 9_000, 100, 50, 100])).toEqual([0, 2, 4, MAX_GATES, MAX_GATES, 0, 0]);
  });

  test("is some of a key whose ledger is full with the calls that a slow disk lets it answer", () => {
    expect(heard([240, 240])).toEqual([2, 2]);
  });

  test("counts the calls that a gate has made one of, and is none after a pause", () => {
    const rate = new CallRate();
    for (let call = 0; call < 20; call++) rate.note(50, T0 + call * 50);
    expect(rate.note(50, T0 + 1_000)).toBe(2);
    expect(rate.note(1, T0 + 60_000)).toBe(0);
  });
});

describe("a gate", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: T0 });
    vi.stubGlobal("scheduler", { wait: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)) });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  /** What arrived at the ledger: rows and isolates of each call, reservations and calls. */
  class FakeLedger implements GatedLedger {
    readonly settled: [number, readonly string[]][] = [];
    readonly reserved: [number, number][] = [];
    failure: Error | null = null;
    settleGathered: GatedLedger["settleGathered"] = async (rows, isolates) => {
      if (this.failure !== null) throw this.failure;
      this.settled.push([rows.length, isolates]);
      return STANDING;
    };
    reserveGathered: GatedLedger["reserveGathered"] = async (asked, calls) => {
      if (this.failure !== null) throw this.failure;
      this.reserved.push([asked.length, calls]);
      return asked.map(({ boundNanoUsd }) => granted(boundNanoUsd));
    };
  }

  const rows = (count: number) => Array.from({ length: count }, () => settleRow(traceId(T0), [1]));
  const holds = (...bounds: number[]) =>
    bounds.map((boundNanoUsd) => reservation({ traceId: traceId(T0), boundNanoUsd }));

  test("makes one call of many, and gives each caller its own answers in their order", async () => {
    const ledger = new FakeLedger();
    const gate = new Gate(() => ledger);
    const settled = Promise.all([gate.settle(rows(1), "a"), gate.settle(rows(2), "b")]);
    const reserved = Promise.all([gate.reserveAll(holds(1, 2)), gate.reserveAll(holds(3)), gate.reserveAll([])]);
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    expect(await settled).toEqual([STANDING, STANDING]);
    expect(await reserved).toEqual([[granted(1), granted(2)], [granted(3)], []]);
    expect(ledger).toMatchObject({ settled: [[3, ["a", "b"]]], reserved: [[3, 3]] });
  });

  test("sends no more rows in a call than cross well, and what comes meanwhile with the next", async () => {
    const ledger = new FakeLedger();
    const gate = new Gate(() => ledger);
    const first = Promise.all(["a", "b", "c"].map((isolate) => gate.settle(rows(200), isolate)));
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    const later = gate.settle(rows(1), "d");
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    await Promise.all([first, later]);
    expect(ledger.settled).toEqual([
      [400, ["a", "b"]],
      [200, ["c"]],
      [1, ["d"]],
    ]);
  });

  test("fails where its ledger does, for all that asked, and the next call is a new one", async () => {
    const ledger = new FakeLedger();
    ledger.failure = new Error("away");
    const gate = new Gate(() => ledger);
    const asked = Promise.allSettled([gate.settle(rows(1), "a"), gate.settle(rows(1), "b"), gate.reserveAll(holds(1))]);
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    expect((await asked).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    ledger.failure = null;
    const again = gate.settle(rows(1), "a");
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    expect(await again).toEqual(STANDING);
  });

  test("of a ledger that never answers lets its callers go while they can still ask it themselves", async () => {
    const gate = new Gate(() => ({
      settleGathered: () => new Promise(() => {}),
      reserveGathered: () => new Promise(() => {}),
    }));
    const asked = Promise.allSettled([gate.reserveAll(holds(1)), gate.settle(rows(1), "a")]);
    await vi.advanceTimersByTimeAsync(3_500);
    expect((await asked).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  test("of an overloaded ledger refuses, so that not all of them ask it again", async () => {
    const ledger = new FakeLedger();
    ledger.failure = Object.assign(new Error("overloaded"), { overloaded: true });
    const asked = new Gate(() => ledger).reserveAll(holds(1, 2));
    await vi.advanceTimersByTimeAsync(GATE_GATHER_MS);
    const unavailable = { ok: false, reason: "unavailable" };
    expect(await asked).toEqual([unavailable, unavailable]);
  });

  test("is told from a ledger by its name", () => {
    expect([gatedKey(gateName("Abc", 3)), gatedKey("Abc"), gatedKey("")]).toEqual(["Abc", null, null]);
  });
});
