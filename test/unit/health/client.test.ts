import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Outcome, reportOutcome, targetState } from "../../../src/health/client.ts";
import type { ProviderHealth } from "../../../src/health/provider-health.ts";
import type { HealthDelta, HealthSnapshot } from "../../../src/health/types.ts";
import { stubScheduler } from "../../support/scheduler.ts";

const CALM: HealthSnapshot = {
  state: "closed",
  openUntil: 0,
  cooldownUntil: 0,
  requests: 0,
  failures: 0,
  meanDurationMs: null,
};

/** The part of a namespace that the client uses, with every delta it was sent. */
function fakeHealth(answer: (delta: HealthDelta) => Promise<HealthSnapshot> = async () => CALM) {
  const deltas: HealthDelta[] = [];
  const stub = {
    report: (delta: HealthDelta) => {
      deltas.push(delta);
      return answer(delta);
    },
  };
  // The client calls nothing else of a namespace.
  const namespace = { getByName: () => stub } as unknown as DurableObjectNamespace<ProviderHealth>;
  return { namespace, deltas };
}

const isAvailable = (target: string, now: number): boolean => targetState(target, now) === "closed";

let serial = 0;
/** The map lives as long as the module: each test has a target of its own. */
const newTarget = (): string => `provider/model-${serial++}`;

let work: Promise<unknown>[] = [];
const waitUntil = (promise: Promise<unknown>): void => {
  work.push(promise);
};
const report = (
  health: ReturnType<typeof fakeHealth>,
  target: string,
  outcomes: readonly Outcome[],
  retryAfterMs?: number,
): void => {
  for (const outcome of outcomes) {
    reportOutcome(health.namespace, target, outcome, 10, Date.now(), waitUntil, retryAfterMs);
  }
};

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
  work = [];
});
afterEach(async () => {
  await vi.runAllTimersAsync();
  await Promise.all(work);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a target nobody has called is available", () => {
  expect(isAvailable(newTarget(), Date.now())).toBe(true);
});

test.each<{ name: string; outcomes: readonly Outcome[]; restMs: number }>([
  { name: "two failures", outcomes: ["failure", "failure"], restMs: 0 },
  { name: "three failures in a row", outcomes: ["failure", "failure", "failure"], restMs: 3_000 },
  { name: "a success in between", outcomes: ["failure", "failure", "success", "failure", "failure"], restMs: 0 },
  { name: "something ignored in between", outcomes: ["failure", "failure", "ignored", "failure"], restMs: 3_000 },
  { name: "a rate limit in between", outcomes: ["failure", "rate_limited", "failure"], restMs: 1_000 },
  { name: "a success after the third", outcomes: ["failure", "failure", "failure", "success"], restMs: 3_000 },
])("$name: a rest of $restMs ms", ({ outcomes, restMs }) => {
  const target = newTarget();
  const now = Date.now();
  report(fakeHealth(), target, outcomes);
  expect(isAvailable(target, now)).toBe(restMs === 0);
  if (restMs > 0) expect(isAvailable(target, now + restMs - 1)).toBe(false);
  expect(isAvailable(target, now + restMs)).toBe(true);
});

test("a fourth failure in a row after the rest is another rest", () => {
  const target = newTarget();
  report(fakeHealth(), target, ["failure", "failure", "failure"]);
  vi.advanceTimersByTime(3_000);
  expect(isAvailable(target, Date.now())).toBe(true);
  report(fakeHealth(), target, ["failure"]);
  expect(isAvailable(target, Date.now())).toBe(false);
});

test.each([
  { name: "the vendor's wish", retryAfterMs: 7_000, restMs: 7_000 },
  { name: "a wish in fractions", retryAfterMs: 1_500.2, restMs: 1_501 },
  { name: "no longer than a minute", retryAfterMs: 3_600_000, restMs: 60_000 },
  { name: "no time for a time in the past", retryAfterMs: -5, restMs: 0 },
  { name: "a second without a wish", retryAfterMs: undefined, restMs: 1_000 },
  { name: "a second for nonsense", retryAfterMs: Number.NaN, restMs: 1_000 },
])("a rate limit is a rest of $name", ({ retryAfterMs, restMs }) => {
  const target = newTarget();
  const now = Date.now();
  report(fakeHealth(), target, ["rate_limited"], retryAfterMs);
  if (restMs > 0) expect(targetState(target, now + restMs - 1)).toBe("penalised");
  expect(isAvailable(target, now + restMs)).toBe(true);
});

test("a shorter rate limit or a success does not shorten a longer one", () => {
  const target = newTarget();
  const now = Date.now();
  report(fakeHealth(), target, ["rate_limited"], 10_000);
  report(fakeHealth(), target, ["rate_limited", "success"], 1_000);
  expect(isAvailable(target, now + 9_999)).toBe(false);
});

test("outcomes are posted once a second at most, as sums, and none is lost or sent twice", async () => {
  const health = fakeHealth();
  const target = newTarget();
  for (let request = 0; request < 100; request++) {
    report(health, target, [request % 4 === 0 ? "failure" : "success"]);
    await vi.advanceTimersByTimeAsync(50);
  }
  await vi.advanceTimersByTimeAsync(2_000);
  expect(health.deltas.length).toBeGreaterThanOrEqual(4);
  expect(health.deltas.length).toBeLessThanOrEqual(7);
  const sum = (member: "successes" | "failures" | "durationMs"): number =>
    health.deltas.reduce((total, delta) => total + delta[member], 0);
  expect([sum("successes"), sum("failures"), sum("durationMs")]).toEqual([75, 25, 750]);
});

test("the end of a burst is posted without a further request", async () => {
  const health = fakeHealth();
  report(
    health,
    newTarget(),
    Array.from({ length: 25 }, () => "failure" as const),
  );
  await vi.advanceTimersByTimeAsync(1_100);
  expect(health.deltas.reduce((total, delta) => total + delta.failures, 0)).toBe(25);
});

test("what says nothing about the target is not posted", async () => {
  const health = fakeHealth();
  report(health, newTarget(), ["ignored"]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(health.deltas).toEqual([]);
  expect(work).toEqual([]);
});

test("an open shared breaker closes the target here until a probe is due, and one failed probe is enough", async () => {
  const openUntil = Date.now() + 5_000;
  const health = fakeHealth(async () => ({ ...CALM, state: "open", openUntil }));
  const target = newTarget();
  report(health, target, ["success"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(targetState(target, openUntil - 1)).toBe("open");
  expect(targetState(target, openUntil)).toBe("closed");
  vi.setSystemTime(openUntil);
  report(health, target, ["failure"]);
  expect(targetState(target, openUntil)).toBe("penalised");
});

test("a shared breaker that closed is closed here, and a shared rate limit is kept", async () => {
  const now = Date.now();
  const answers: HealthSnapshot[] = [
    { ...CALM, state: "open", openUntil: now + 60_000 },
    { ...CALM, cooldownUntil: now + 2_000 },
  ];
  const health = fakeHealth(async () => answers.shift() ?? CALM);
  const target = newTarget();
  report(health, target, ["success"]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(isAvailable(target, Date.now())).toBe(false);
  report(health, target, ["success"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(isAvailable(target, now + 1_999)).toBe(false);
  expect(isAvailable(target, now + 2_000)).toBe(true);
});

test.each([
  { name: "fails", answer: () => Promise.reject(new Error("down")) },
  { name: "never answers", answer: () => new Promise<HealthSnapshot>(() => {}) },
  {
    name: "cannot be called",
    answer: (): Promise<HealthSnapshot> => {
      throw new Error("no stub");
    },
  },
])("an object that $name leaves the local view alone", async ({ answer }) => {
  const health = fakeHealth(answer);
  const target = newTarget();
  report(health, target, ["failure", "failure", "failure"]);
  expect(isAvailable(target, Date.now())).toBe(false);
  await vi.advanceTimersByTimeAsync(10_000);
  await Promise.all(work);
  expect(isAvailable(target, Date.now())).toBe(true);
  report(health, target, ["success"]);
  await vi.advanceTimersByTimeAsync(5_000);
  // Reported again once the object may be back, without what was lost.
  expect(health.deltas.length).toBeGreaterThanOrEqual(2);
});

test("the third failure in a row always rests the target for 3 s, whatever came before", () => {
  const outcome = fc.constantFrom<Outcome>("success", "failure", "ignored");
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 30 }), (outcomes) => {
      const target = newTarget();
      const now = Date.now();
      report(fakeHealth(), target, outcomes);
      const counted = outcomes.filter((each) => each !== "ignored").join(" ");
      expect(isAvailable(target, now + 2_999)).toBe(!counted.includes("failure failure failure"));
      expect(isAvailable(target, now + 3_000)).toBe(true);
    }),
  );
});
