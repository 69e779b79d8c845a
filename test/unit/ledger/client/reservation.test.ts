/** Requests of one key that begin together reserve with one call, and none waits for another that died. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { reserve, reserveBeside } from "../../../../src/ledger/client/client.ts";
import { GATHER_MS, reserveTogether } from "../../../../src/ledger/client/reservation.ts";
import type { KeyLedger } from "../../../../src/ledger/key-ledger.ts";
import type { Reservation, ReserveAnswer, Unavailable } from "../../../../src/ledger/types.ts";
import { newTraceId } from "../../../../src/traces/schema.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { reservation } from "../fakes.ts";

type Answers = (ReserveAnswer | Unavailable)[];

let serial = 0;
let keyId = "";
const newReservation = (): Reservation => reservation({ traceId: newTraceId(keyId, Date.now()) });
const granted = ({ traceId }: Reservation): ReserveAnswer & { of: string } => ({
  ...{ ok: true, remainingNanoUsd: 1, keyVersion: 1, rate: null, of: traceId },
});

/** A ledger that answers groups as `all` says, and every reservation that comes alone. */
function fakeLedger(all: (reservations: Reservation[]) => Promise<Answers>) {
  const ledger = {
    reserveAll: vi.fn(all),
    reserve: vi.fn(async (each: Reservation) => granted(each)),
  };
  // Nothing else of a namespace is called.
  const namespace = { getByName: () => ledger } as unknown as DurableObjectNamespace<KeyLedger>;
  return { ledger, namespace };
}

const grantAll = async (all: Reservation[]): Promise<Answers> => all.map(granted);
const waitUntil = (work: Promise<unknown>): void => void work;
const never = (): Promise<never> => new Promise(() => {});

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
  // The queues live as long as the module: each test has a key of its own.
  keyId = String(serial++).padStart(12, "r");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function askedBy(namespace: DurableObjectNamespace<KeyLedger>, reservations: readonly Reservation[]) {
  const heard = Promise.all(reservations.map((each) => reserveBeside(namespace, keyId, each, waitUntil)));
  await vi.runAllTimersAsync();
  return (await heard).map(({ answer }) => answer);
}

test("those that begin together are asked for in one call, and each gets its own answer", async () => {
  const { ledger, namespace } = fakeLedger(grantAll);
  const reservations = Array.from({ length: 5 }, newReservation);
  expect(await askedBy(namespace, reservations)).toEqual(reservations.map(granted));
  expect([ledger.reserveAll.mock.calls.length, ledger.reserve.mock.calls.length]).toEqual([1, 0]);
});

test("more than one call can carry go in several, and none is left out", async () => {
  const { ledger, namespace } = fakeLedger(grantAll);
  const reservations = Array.from({ length: 250 }, newReservation);
  expect(await askedBy(namespace, reservations)).toEqual(reservations.map(granted));
  expect(ledger.reserveAll.mock.calls.map(([all]) => all.length)).toEqual([100, 100, 50]);
});

test("one that is asked for at once takes along those that wait, behind them", async () => {
  const { ledger, namespace } = fakeLedger(grantAll);
  const [first, second, urgent] = [newReservation(), newReservation(), newReservation()];
  const beside = [first, second].map((each) => reserveBeside(namespace, keyId, each, waitUntil));
  const answer = await reserve(namespace, keyId, urgent, waitUntil);
  expect(answer.answer).toEqual(granted(urgent));
  expect(ledger.reserveAll.mock.calls).toEqual([[[first, second, urgent]]]);
  await vi.runAllTimersAsync();
  expect((await Promise.all(beside)).map((each) => each.answer)).toEqual([granted(first), granted(second)]);
  await reserve(namespace, keyId, newReservation(), waitUntil);
  expect([ledger.reserveAll.mock.calls.length, ledger.reserve.mock.calls.length]).toEqual([1, 1]);
});

test("when the call for all fails, each asks for itself", async () => {
  const { ledger, namespace } = fakeLedger(() => Promise.reject(new Error("Network connection lost.")));
  const reservations = Array.from({ length: 3 }, newReservation);
  expect(await askedBy(namespace, reservations)).toEqual(reservations.map(granted));
  expect(ledger.reserve).toHaveBeenCalledTimes(3);
});

test("when the call for all does not return, each asks for itself before its time is up", async () => {
  const { namespace } = fakeLedger(never);
  const startedAt = Date.now();
  const answers = Promise.all(
    [newReservation(), newReservation()].map((each) => reserveBeside(namespace, keyId, each, waitUntil)),
  );
  await vi.advanceTimersByTimeAsync(1_900);
  expect((await answers).map(({ answer }) => answer.ok)).toEqual([true, true]);
  expect(Date.now() - startedAt).toBeLessThan(2_000);
});

test("an overloaded ledger is not asked again by each", async () => {
  const overload = Object.assign(new Error("Durable Object is overloaded."), { overloaded: true });
  const { ledger, namespace } = fakeLedger(() => Promise.reject(overload));
  const unavailable = { ok: false, reason: "unavailable" };
  expect(await askedBy(namespace, [newReservation(), newReservation()])).toEqual([unavailable, unavailable]);
  expect(ledger.reserve).not.toHaveBeenCalled();
});

test("who wakes after its sender died asks for itself; what a dead request left is not reserved", async () => {
  const { ledger, namespace } = fakeLedger(grantAll);
  // Its timers never ring, as those of a request whose context is gone.
  vi.stubGlobal("scheduler", { wait: never });
  void reserveTogether(namespace, keyId, newReservation(), waitUntil, GATHER_MS);
  stubScheduler();
  await vi.advanceTimersByTimeAsync(60_000);
  const late = newReservation();
  expect(await askedBy(namespace, [late])).toEqual([granted(late)]);
  expect(ledger.reserveAll.mock.calls).toEqual([[[late]]]);
});

test("a lone reservation waits for the gathering and no longer", async () => {
  const { namespace } = fakeLedger(grantAll);
  const answer = reserveBeside(namespace, keyId, newReservation(), waitUntil);
  await vi.advanceTimersByTimeAsync(GATHER_MS);
  expect((await answer).answer.ok).toBe(true);
});
