/** Which object an isolate calls for a busy key, and that a gate which fails costs a call and no row. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { reserve, reserveBeside, settleSoon } from "../../../../src/ledger/client/client.ts";
import type { KeyLedger } from "../../../../src/ledger/key-ledger.ts";
import type { Reservation, ReserveAnswer, SettleAnswer, SettleRow } from "../../../../src/ledger/types.ts";
import { newTraceId } from "../../../../src/traces/schema.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { reservation, settleRow } from "../fakes.ts";

const GRANTED: ReserveAnswer = { ok: true, remainingNanoUsd: 1, keyVersion: 1, rate: null };

let serial = 0;
let keyId = "";
let work: Promise<unknown>[] = [];
const waitUntil = (promise: Promise<unknown>): void => void work.push(promise);

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
  work = [];
  keyId = String(serial++).padStart(12, "g");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Notes who was called for what. `gates`: what the ledger says of itself. */
class Objects {
  gates: number | undefined = 4;
  isGateAway = false;
  readonly calls: string[] = [];
  readonly settled: string[] = [];
  readonly namespace = {
    getByName: (name: string) => {
      const kind = name === keyId ? "ledger" : "gate";
      const note = (what: string): void => {
        this.calls.push(`${kind} ${what}`);
        if (kind === "gate") expect(name).toMatch(new RegExp(`^${keyId}~[0-3]$`));
        if (kind === "gate" && this.isGateAway) throw new Error("away");
      };
      const settle = async (rows: SettleRow[]): Promise<SettleAnswer> => {
        note("settle");
        this.settled.push(...rows.map(({ id }) => id));
        const standing = { revoked: false, keyVersion: 1, remainingNanoUsd: 1 };
        return this.gates === undefined ? standing : { ...standing, gates: this.gates };
      };
      const reserveAll = async (asked: readonly Reservation[]): Promise<ReserveAnswer[]> => {
        note("reserve");
        return asked.map(() => GRANTED);
      };
      const reserveOne = async (): Promise<ReserveAnswer> => {
        note("reserve");
        return GRANTED;
      };
      return kind === "ledger"
        ? { settle, reserveAll, reserve: reserveOne }
        : { gateSettle: settle, gateReserve: reserveAll };
    },
    // The client calls nothing else of a namespace.
  } as unknown as DurableObjectNamespace<KeyLedger>;
}

async function settle(objects: Objects): Promise<string> {
  const row = settleRow(newTraceId(keyId, Date.now()), [1]);
  settleSoon(objects.namespace, keyId, row, waitUntil);
  await vi.advanceTimersByTimeAsync(1_000);
  await Promise.all(work);
  return row.id;
}

async function hold(objects: Objects, isBeside: boolean): Promise<unknown> {
  const asked = reservation({ traceId: newTraceId(keyId, Date.now()) });
  const answer = (isBeside ? reserveBeside : reserve)(objects.namespace, keyId, asked, waitUntil);
  await vi.advanceTimersByTimeAsync(500);
  return (await answer).answer;
}

test("a ledger is called directly until it asks for gates, and again when it no longer does", async () => {
  const objects = new Objects();
  await settle(objects);
  await settle(objects);
  expect(await hold(objects, true)).toEqual(GRANTED);
  expect(await hold(objects, false)).toEqual(GRANTED);
  objects.gates = undefined;
  await settle(objects);
  await settle(objects);
  await hold(objects, false);
  expect(objects.calls).toEqual([
    ...["ledger settle", "gate settle", "gate reserve", "gate reserve", "gate settle"],
    ...["ledger settle", "ledger reserve"],
  ]);
});

test("a key whose ledger was not heard of for a while is asked at its ledger", async () => {
  const objects = new Objects();
  await settle(objects);
  await vi.advanceTimersByTimeAsync(10_000);
  await settle(objects);
  expect(objects.calls).toEqual(["ledger settle", "ledger settle"]);
});

test("what a gate does not take goes to the ledger, once", async () => {
  const objects = new Objects();
  const ids = [await settle(objects)];
  objects.isGateAway = true;
  ids.push(await settle(objects));
  expect(objects.settled).toEqual(ids);
  for (const isBeside of [true, false]) {
    await settle(objects);
    expect(await hold(objects, isBeside)).toEqual(GRANTED);
  }
  expect(objects.calls.filter((call) => call === "gate reserve")).toHaveLength(2);
  expect(objects.calls.filter((call) => call === "ledger reserve")).toHaveLength(2);
});
