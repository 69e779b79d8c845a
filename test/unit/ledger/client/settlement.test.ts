import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  applyTerms,
  keySpend,
  ledgerAudit,
  type ReserveAnswer,
  rebuildIndex,
  releaseSoon,
  reserve,
  settleSoon,
} from "../../../../src/ledger/client/client.ts";
import { GATHER_MS } from "../../../../src/ledger/client/settlement.ts";
import type { KeyLedger } from "../../../../src/ledger/key-ledger.ts";
import type { KeyTerms, PeriodSpend, SettleAnswer, SettleRow } from "../../../../src/ledger/types.ts";
import { newTraceId } from "../../../../src/traces/schema.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { reservation, settleRow } from "../fakes.ts";

interface FakeLedger {
  readonly settle?: (rows: SettleRow[]) => Promise<SettleAnswer>;
  readonly reserve?: () => Promise<ReserveAnswer>;
  readonly release?: (traceId: string, attempt: number) => Promise<void>;
  readonly spend?: () => Promise<PeriodSpend>;
  readonly applyTerms?: (terms: KeyTerms) => Promise<void>;
  readonly audit?: () => Promise<unknown>;
  readonly rebuild?: () => Promise<number>;
}

const ANSWER: SettleAnswer = { revoked: false, keyVersion: 3, remainingNanoUsd: 40 };

const overloaded = (): Error => {
  const overload: Error & { overloaded?: boolean } = new Error("Durable Object is overloaded.");
  overload.overloaded = true;
  return overload;
};

/** The part of a namespace that the client uses; `stubs` counts how many were made. */
function fakeNamespace(ledger: FakeLedger) {
  const made = { stubs: 0 };
  const getByName = () => {
    made.stubs++;
    return ledger;
  };
  // The client calls nothing else of a namespace.
  return { made, namespace: { getByName } as unknown as DurableObjectNamespace<KeyLedger> };
}

/** A ledger that keeps what it was sent. */
function recordingLedger(before: (call: number) => Promise<void> = async () => {}) {
  const calls: string[][] = [];
  let count = 0;
  const settle = async (rows: SettleRow[]) => {
    count++;
    await before(count);
    calls.push(rows.map((row) => row.id));
    return ANSWER;
  };
  return { ...fakeNamespace({ settle }), calls, settled: () => calls.flat(), tries: () => count };
}

let serial = 0;
let keyId = "";
const newRow = (costNanoUsd: number | null = 7): SettleRow => settleRow(newTraceId(keyId, Date.now()), [costNanoUsd]);

let work: Promise<unknown>[] = [];
const waitUntil = (promise: Promise<unknown>): void => {
  work.push(promise);
};

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
  work = [];
  // The queues live as long as the module: each test has a key of its own.
  keyId = String(serial++).padStart(12, "0");
});
afterEach(async () => {
  await vi.runAllTimersAsync();
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Rows that end at the same time, each in a request of its own. */
function settleAll(namespace: DurableObjectNamespace<KeyLedger>, rows: readonly SettleRow[], until = waitUntil): void {
  for (const row of rows) settleSoon(namespace, keyId, row, until);
}

const idsOf = (rows: readonly SettleRow[]): string[] => rows.map((row) => row.id);

test("requests that end together are settled in one call, each once", async () => {
  const ledger = recordingLedger();
  const rows = Array.from({ length: 50 }, () => newRow());
  settleAll(ledger.namespace, rows);
  await vi.advanceTimersByTimeAsync(GATHER_MS - 1);
  expect(ledger.calls).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(ledger.calls).toEqual([idsOf(rows)]);
  await vi.advanceTimersByTimeAsync(60_000);
  await Promise.all(work);
  expect(ledger.calls).toHaveLength(1);
});

test("a row that came during the gathering goes with the first", async () => {
  const ledger = recordingLedger();
  const [first, second] = [newRow(), newRow()];
  settleAll(ledger.namespace, [first]);
  await vi.advanceTimersByTimeAsync(GATHER_MS - 5);
  settleAll(ledger.namespace, [second]);
  await vi.advanceTimersByTimeAsync(5);
  expect(ledger.calls).toEqual([idsOf([first, second])]);
});

test("a batch is 200 rows at most, and none is left", async () => {
  const ledger = recordingLedger();
  const rows = Array.from({ length: 450 }, () => newRow());
  settleAll(ledger.namespace, rows);
  await vi.advanceTimersByTimeAsync(1_000);
  await Promise.all(work);
  expect(ledger.calls.map((call) => call.length)).toEqual([200, 200, 50]);
  expect(ledger.settled()).toEqual(idsOf(rows));
});

test("keys do not mix", async () => {
  const ledger = recordingLedger();
  const mine = newRow();
  settleAll(ledger.namespace, [mine]);
  keyId = `x${keyId.slice(1)}`;
  const other = newRow();
  settleAll(ledger.namespace, [other]);
  await vi.advanceTimersByTimeAsync(GATHER_MS);
  expect(ledger.calls).toEqual([[mine.id], [other.id]]);
});

test("a request that dies before it wakes leaves its row to the others", async () => {
  const ledger = recordingLedger();
  const [lost, kept] = [newRow(), newRow()];
  // Dead requests run nothing any more: their wait never ends.
  vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) });
  settleAll(ledger.namespace, [lost], () => {});
  stubScheduler();
  settleAll(ledger.namespace, [kept]);
  await vi.advanceTimersByTimeAsync(GATHER_MS);
  expect(ledger.settled()).toEqual(idsOf([lost, kept]));
});

test("rows whose taker dies are sent by their owners, in one call", async () => {
  const dead = fakeNamespace({
    settle: () => {
      // The taker dies in its call: neither the answer nor its own timers ever come.
      const { setTimeout: living } = globalThis;
      vi.stubGlobal("setTimeout", () => 0);
      vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) });
      queueMicrotask(() => {
        vi.stubGlobal("setTimeout", living);
        stubScheduler();
      });
      return new Promise(() => {});
    },
  });
  const ledger = recordingLedger();
  const [taken, ...others] = Array.from({ length: 20 }, () => newRow());
  if (taken === undefined) throw new Error("There are 20 rows.");
  settleAll(dead.namespace, [taken], () => {});
  settleAll(ledger.namespace, others);
  await vi.advanceTimersByTimeAsync(GATHER_MS);
  expect(ledger.calls).toEqual([]);
  await vi.advanceTimersByTimeAsync(15_000);
  await Promise.all(work);
  expect(ledger.calls).toHaveLength(1);
  expect(ledger.settled().toSorted()).toEqual(idsOf([taken, ...others]).toSorted());
});

test("a failed call is repeated on a fresh stub with the same rows", async () => {
  const ledger = recordingLedger(async (call) => {
    if (call <= 3) throw new Error("Network connection lost.");
  });
  const rows = [newRow(), newRow()];
  settleAll(ledger.namespace, rows);
  await vi.advanceTimersByTimeAsync(5_000);
  await Promise.all(work);
  expect(ledger.calls).toEqual([idsOf(rows)]);
  expect(ledger.made.stubs).toBe(4);
});

test("a call that never answers is given up and repeated, by the same request", async () => {
  const ledger = recordingLedger((call) => (call === 1 ? new Promise(() => {}) : Promise.resolve()));
  const rows = [newRow(), newRow()];
  settleAll(ledger.namespace, rows);
  await vi.advanceTimersByTimeAsync(10_000);
  await Promise.all(work);
  expect(ledger.calls).toEqual([idsOf(rows)]);
  expect(ledger.tries()).toBe(2);
});

test("when nothing helps for 20 s, one line says what was lost, and nothing is thrown", async () => {
  const lines = vi.spyOn(console, "log").mockImplementation(() => {});
  const ledger = recordingLedger(() => Promise.reject(new Error("down")));
  const rows = [newRow(12), newRow(null)];
  settleAll(ledger.namespace, rows);
  await vi.advanceTimersByTimeAsync(30_000);
  await Promise.all(work);
  expect(lines.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
    { event: "spend_unsettled", key_id: keyId, rows: `${rows[0]?.id}:12 ${rows[1]?.id}:unpriced` },
  ]);
  expect(ledger.tries()).toBeGreaterThan(5);
  expect(ledger.tries()).toBeLessThan(20);
});

test("an overloaded ledger is asked a few times, far apart, before its rows are given up", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  const triedAt: number[] = [];
  const ledger = recordingLedger(() => {
    triedAt.push(Date.now());
    return Promise.reject(overloaded());
  });
  settleAll(ledger.namespace, [newRow(), newRow()]);
  await vi.advanceTimersByTimeAsync(30_000);
  await Promise.all(work);
  expect(ledger.tries()).toBe(5);
  for (const [index, time] of triedAt.slice(1).entries()) expect(time - triedAt[index]!).toBeGreaterThanOrEqual(4_000);
});

test("a namespace that throws is a failed call", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  const getByName = () => {
    throw new Error("no such object");
  };
  const namespace = { getByName } as unknown as DurableObjectNamespace<KeyLedger>;
  settleAll(namespace, [newRow()]);
  await vi.advanceTimersByTimeAsync(30_000);
  await expect(Promise.all(work)).resolves.toBeDefined();
});

test("what the ledger says of the key is told once per call, to one of those it answered", async () => {
  const ledger = recordingLedger(async (call) => {
    if (call === 1) throw new Error("Network connection lost.");
  });
  const told: SettleAnswer[] = [];
  for (const row of [newRow(), newRow(), newRow()]) {
    settleSoon(ledger.namespace, keyId, row, waitUntil, (answer) => told.push(answer));
  }
  await vi.advanceTimersByTimeAsync(5_000);
  await Promise.all(work);
  expect(told).toEqual([ANSWER]);
});

describe("a reservation", () => {
  const GRANTED: ReserveAnswer = { ok: true, remainingNanoUsd: 5, keyVersion: 1, rate: null };
  const UNAVAILABLE = { ok: false, reason: "unavailable" };

  test("is asked for again on a fresh stub after one failure", async () => {
    const answers = [() => Promise.reject(new Error("reset")), () => Promise.resolve(GRANTED)];
    const { namespace, made } = fakeNamespace({ reserve: () => (answers.shift() ?? (() => Promise.reject()))() });
    expect((await reserve(namespace, keyId, reservation(), waitUntil)).answer).toEqual(GRANTED);
    expect(made.stubs).toBe(2);
  });

  test("is unavailable after two failures, and after one overload", async () => {
    const failing = fakeNamespace({ reserve: () => Promise.reject(new Error("down")) });
    expect((await reserve(failing.namespace, keyId, reservation(), waitUntil)).answer).toEqual(UNAVAILABLE);
    expect(failing.made.stubs).toBe(2);
    const full = fakeNamespace({ reserve: () => Promise.reject(overloaded()) });
    expect((await reserve(full.namespace, keyId, reservation(), waitUntil)).answer).toEqual(UNAVAILABLE);
    expect(full.made.stubs).toBe(1);
  });

  test("is unavailable when the ledger is silent for 2 s", async () => {
    const silent = fakeNamespace({ reserve: () => new Promise(() => {}) });
    const answer = vi.fn();
    void reserve(silent.namespace, keyId, reservation(), waitUntil).then((heard) => answer(heard.answer));
    await vi.advanceTimersByTimeAsync(1_999);
    expect(answer).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(answer).toHaveBeenCalledWith(UNAVAILABLE);
  });

  test("never rejects, whatever throws", async () => {
    const getByName = () => {
      throw new Error("no such object");
    };
    const namespace = { getByName } as unknown as DurableObjectNamespace<KeyLedger>;
    expect((await reserve(namespace, keyId, reservation(), waitUntil)).answer).toEqual(UNAVAILABLE);
  });

  test("is released behind the answer, again and again until the ledger has heard it", async () => {
    const released: string[] = [];
    let calls = 0;
    const { namespace } = fakeNamespace({
      release: async (traceId, attempt) => {
        if (++calls <= 5) throw calls === 3 ? overloaded() : new Error("down");
        released.push(`${traceId} ${attempt}`);
      },
    });
    releaseSoon(namespace, keyId, { traceId: "tr_x", attempt: 2 }, waitUntil);
    await vi.advanceTimersByTimeAsync(10_000);
    await Promise.all(work);
    expect(released).toEqual(["tr_x 2"]);
  });

  test("that cannot be released in 20 s is logged, and nothing is thrown", async () => {
    const lines = vi.spyOn(console, "log").mockImplementation(() => {});
    const { namespace } = fakeNamespace({ release: () => Promise.reject(new Error("secret inside")) });
    releaseSoon(namespace, keyId, { traceId: "tr_x", attempt: 2 }, waitUntil);
    await vi.advanceTimersByTimeAsync(30_000);
    await Promise.all(work);
    expect(lines.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      { event: "reservation_unreleased", key_id: keyId, trace_id: "tr_x", attempt: 2 },
    ]);
  });
});

test.each([
  {
    name: "without a budget",
    budget: null,
    spend: { period: "total", limit_usd: null, spent_usd: 0.25, reserved_usd: 0.1, remaining_usd: null },
  },
  {
    name: "within it",
    budget: { limit_usd: 1, period: "day" as const },
    spend: { period: "day", limit_usd: 1, spent_usd: 0.25, reserved_usd: 0.1, remaining_usd: 0.65 },
  },
  {
    name: "beyond it",
    budget: { limit_usd: 0.3, period: "month" as const },
    spend: { period: "month", limit_usd: 0.3, spent_usd: 0.25, reserved_usd: 0.1, remaining_usd: -0.05 },
  },
])("the spend of a key $name", async ({ budget, spend }) => {
  const sums = { spentNanoUsd: 250_000_000, reservedNanoUsd: 100_000_000, requests: 3, unpricedRequests: 0 };
  const ledger = { spend: async () => sums };
  expect(await keySpend(fakeNamespace(ledger).namespace, keyId, budget)).toEqual(spend);
});

test("an endpoint is told that the ledger is unavailable, and not why", async () => {
  const down = (): Promise<never> => Promise.reject(new Error("secret inside"));
  const { namespace } = fakeNamespace({ spend: down, applyTerms: down, audit: down, rebuild: down });
  const terms = { version: 1, budget: null, limits: null };
  for (const call of [
    keySpend(namespace, keyId, null),
    applyTerms(namespace, keyId, terms),
    ledgerAudit(namespace, keyId),
    rebuildIndex(namespace, keyId),
  ]) {
    const error: unknown = await call.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ledger_unavailable" });
    expect(String(error)).not.toContain("secret");
  }
});
