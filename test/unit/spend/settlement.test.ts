import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { admitKey, keySpend, settleSoon } from "../../../src/spend/client.ts";
import type { KeyLedger } from "../../../src/spend/key-ledger.ts";
import { GATHER_MS } from "../../../src/spend/settlement.ts";
import type { Admission, SettleRow } from "../../../src/spend/types.ts";
import { newTraceId } from "../../../src/traces/schema.ts";
import { stubScheduler } from "../../support/scheduler.ts";

interface FakeLedger {
  readonly settle?: (rows: SettleRow[]) => Promise<{ revoked: boolean }>;
  readonly admit?: () => Promise<Admission>;
  readonly spend?: () => Promise<{ spentNanoUsd: number; requests: number; unpricedRequests: number }>;
}

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
    return { revoked: false };
  };
  return { ...fakeNamespace({ settle }), calls, settled: () => calls.flat(), tries: () => count };
}

let serial = 0;
let keyId = "";
const newRow = (costNanoUsd: number | null = 7): SettleRow => {
  return { id: newTraceId(keyId, Date.now()), status: "ok", route: "flow/test", trace: "{}", costNanoUsd };
};

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
      vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) });
      queueMicrotask(() => stubScheduler());
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
    const overload: Error & { overloaded?: boolean } = new Error("Durable Object is overloaded.");
    overload.overloaded = true;
    return Promise.reject(overload);
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

test("admission is asked again on a fresh stub after one failure", async () => {
  const answers: (() => Promise<Admission>)[] = [
    () => Promise.reject(new Error("reset")),
    () => Promise.resolve({ ok: true, remainingNanoUsd: 5 }),
  ];
  const { namespace, made } = fakeNamespace({ admit: () => (answers.shift() ?? (() => Promise.reject()))() });
  expect(await admitKey(namespace, keyId, null, 0)).toEqual({ ok: true, remainingNanoUsd: 5 });
  expect(made.stubs).toBe(2);
});

test("admission is unavailable after two failures, and after 2 s of silence", async () => {
  const failing = fakeNamespace({ admit: () => Promise.reject(new Error("down")) });
  expect(await admitKey(failing.namespace, keyId, null, 0)).toEqual({ ok: false, reason: "unavailable" });
  expect(failing.made.stubs).toBe(2);
  const silent = fakeNamespace({ admit: () => new Promise(() => {}) });
  const admission = admitKey(silent.namespace, keyId, null, 0);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await admission).toEqual({ ok: false, reason: "unavailable" });
});

test.each([
  {
    name: "without a budget",
    budget: null,
    spend: { period: "total", limit_usd: null, spent_usd: 0.25, reserved_usd: 0, remaining_usd: null },
  },
  {
    name: "within it",
    budget: { limit_usd: 1, period: "day" as const },
    spend: { period: "day", limit_usd: 1, spent_usd: 0.25, reserved_usd: 0, remaining_usd: 0.75 },
  },
  {
    name: "beyond it",
    budget: { limit_usd: 0.2, period: "month" as const },
    spend: { period: "month", limit_usd: 0.2, spent_usd: 0.25, reserved_usd: 0, remaining_usd: 0 },
  },
])("the spend of a key $name", async ({ budget, spend }) => {
  const ledger = { spend: async () => ({ spentNanoUsd: 250_000_000, requests: 3, unpricedRequests: 0 }) };
  expect(await keySpend(fakeNamespace(ledger).namespace, keyId, budget)).toEqual(spend);
});

test("an endpoint is told that the ledger is unavailable", async () => {
  const { namespace } = fakeNamespace({ spend: () => Promise.reject(new Error("secret inside")) });
  await expect(keySpend(namespace, keyId, null)).rejects.toMatchObject({ code: "ledger_unavailable" });
});
