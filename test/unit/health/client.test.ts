import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type AttemptReport,
  type AttemptTicket,
  beginAttempt,
  endRetry,
  isUnclean,
  latencyForecast,
  mayExplore,
  type Outcome,
  reportOutcome,
  reportUnclean,
  takeRetry,
  targetSnapshot,
  targetState,
} from "../../../src/health/client.ts";
import { bucketOf, latencyOf } from "../../../src/health/quantile.ts";
import type { HealthAnswer, HealthDelta, LatencySummary } from "../../../src/health/types.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { calm, type FakeHealth, fakeHealth } from "./fakes.ts";

const HOUR_MS = 3_600_000;

let serial = 0;
/** The registry lives as long as the module: each test has a target of its own. */
const newTarget = (): string => `provider/model-${serial++}`;
/** For questions about the state that need nobody to be asked. */
const bystander = fakeHealth();
const stateOf = (target: string, now = Date.now()): string => targetState(bystander, target, now);

const end = (health: FakeHealth, ticket: AttemptTicket, outcome: Outcome, report: Partial<AttemptReport> = {}): void =>
  reportOutcome(health, ticket, { outcome, latency: null, now: Date.now(), ...report });
/** Whole attempts, one after another. */
function attempts(
  health: FakeHealth,
  target: string,
  outcomes: readonly Outcome[],
  report: Partial<AttemptReport> = {},
): void {
  for (const outcome of outcomes) end(health, beginAttempt(target, Date.now()), outcome, report);
}
const timed = (ms: number, answered = true, kind: "firstToken" | "total" = "total") => ({
  latency: { kind, ms, answered },
});
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** What all deltas say together. */
function sumOf(deltas: readonly HealthDelta[], member: "successes" | "failures" | "rateLimited"): number {
  return deltas.reduce((total, delta) => total + delta[member], 0);
}

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
});
afterEach(async () => {
  await vi.runAllTimersAsync();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("what this isolate saw", () => {
  test("a target nobody has called is closed, unmeasured and may be explored", () => {
    const target = newTarget();
    expect(stateOf(target)).toBe("closed");
    expect(latencyForecast(target, "total", Date.now())).toBeNull();
    expect(mayExplore(target, Date.now())).toBe(true);
  });

  test.each([
    { name: "one after another", order: "s0 b0 s1 b1 s2 b2", rest: "penalised" },
    { name: "all at once", order: "s0 s1 s2 b0 b1 b2", rest: "penalised" },
    { name: "with a whole one in between", order: "s0 b0 s1 b1 s2 s3 b3", rest: "closed" },
    { name: "and two failures before the third", order: "f4 f5 s0 b0", rest: "penalised" },
  ])("streams that break after their first token count as failures in a row: $name", ({ order, rest }) => {
    const health = fakeHealth();
    const target = newTarget();
    const tickets = Array.from({ length: 6 }, () => beginAttempt(target, Date.now()));
    for (const [what, index] of order.split(" ")) {
      end(health, tickets[Number(index)]!, what === "s" ? "success" : "failure");
    }
    expect(stateOf(target)).toBe(rest);
  });

  test("a penalty ends with the first success that began after it, and not with one that began before", async () => {
    const health = fakeHealth();
    const target = newTarget();
    const early = beginAttempt(target, Date.now());
    attempts(health, target, ["failure", "failure", "failure"]);
    await pass(100);
    end(health, early, "success");
    expect(stateOf(target)).toBe("penalised");
    attempts(health, target, ["success"]);
    expect(stateOf(target)).toBe("closed");
  });

  test.each<{ name: string; outcomes: readonly Outcome[]; rest: string; restMs: number }>([
    { name: "two failures", outcomes: ["failure", "failure"], rest: "closed", restMs: 0 },
    { name: "three failures in a row", outcomes: ["failure", "failure", "failure"], rest: "penalised", restMs: 3_000 },
    {
      name: "a success in between",
      outcomes: ["failure", "failure", "success", "failure", "failure"],
      rest: "closed",
      restMs: 0,
    },
    {
      name: "something ignored in between",
      outcomes: ["failure", "failure", "ignored", "failure"],
      rest: "penalised",
      restMs: 3_000,
    },
    { name: "a rate limit", outcomes: ["failure", "rate_limited", "failure"], rest: "cooling", restMs: 1_000 },
    {
      name: "a rate limit and failures",
      outcomes: ["rate_limited", "failure", "failure", "failure"],
      rest: "penalised",
      restMs: 3_000,
    },
    {
      name: "a success after the third",
      outcomes: ["failure", "failure", "failure", "success"],
      rest: "penalised",
      restMs: 3_000,
    },
  ])("$name: $rest for $restMs ms", ({ outcomes, rest, restMs }) => {
    const target = newTarget();
    const now = Date.now();
    attempts(fakeHealth(), target, outcomes);
    expect(stateOf(target, now)).toBe(rest);
    if (restMs > 0) expect(stateOf(target, now + restMs - 1)).toBe(rest);
    expect(stateOf(target, now + restMs)).toBe("closed");
  });

  test("the run of failures outlasts the rest: the next failure is another rest, and a success ends the run", () => {
    const target = newTarget();
    const health = fakeHealth();
    attempts(health, target, ["failure", "failure", "failure"]);
    vi.advanceTimersByTime(3_000);
    expect(stateOf(target)).toBe("closed");
    attempts(health, target, ["failure"]);
    expect(stateOf(target)).toBe("penalised");
    vi.advanceTimersByTime(3_000);
    attempts(health, target, ["success", "failure", "failure"]);
    expect(stateOf(target)).toBe("closed");
  });

  test.each([
    { name: "the vendor's wish", retryAfterMs: 7_000, restMs: 7_000 },
    { name: "a wish in fractions", retryAfterMs: 1_500.2, restMs: 1_501 },
    { name: "no longer than a minute", retryAfterMs: 3_600_000, restMs: 60_000 },
    { name: "no longer than a minute for ever", retryAfterMs: Number.POSITIVE_INFINITY, restMs: 60_000 },
    { name: "no time for a time in the past", retryAfterMs: -5, restMs: 0 },
    { name: "a second without a wish", retryAfterMs: undefined, restMs: 1_000 },
    { name: "a second for nonsense", retryAfterMs: Number.NaN, restMs: 1_000 },
  ])("a rate limit is a cooldown of $name", ({ retryAfterMs, restMs }) => {
    const target = newTarget();
    const now = Date.now();
    attempts(fakeHealth(), target, ["rate_limited"], { retryAfterMs });
    if (restMs > 0) expect(stateOf(target, now + restMs - 1)).toBe("cooling");
    expect(stateOf(target, now + restMs)).toBe("closed");
  });

  test("a shorter rate limit or a success does not shorten a longer one", () => {
    const target = newTarget();
    const now = Date.now();
    const health = fakeHealth();
    attempts(health, target, ["rate_limited"], { retryAfterMs: 10_000 });
    attempts(health, target, ["rate_limited", "success"], { retryAfterMs: 1_000 });
    expect(stateOf(target, now + 9_999)).toBe("cooling");
  });

  test("the third failure in a row always rests the target for 3 s, whatever came before", () => {
    const outcome = fc.constantFrom<Outcome>("success", "failure", "ignored");
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 9 }), (outcomes) => {
        const target = newTarget();
        const now = Date.now();
        attempts(fakeHealth(), target, outcomes);
        const counted = outcomes.filter((each) => each !== "ignored").join(" ");
        const rests = counted.includes("failure failure failure");
        expect(stateOf(target, now + 2_999)).toBe(rests ? "penalised" : "closed");
        expect(stateOf(target, now + 3_000)).toBe("closed");
      }),
    );
  });

  test.each([-HOUR_MS, HOUR_MS])("a clock that jumps by %i ms ends every rest", (jumpMs) => {
    const target = newTarget();
    const health = fakeHealth();
    attempts(health, target, ["failure", "failure", "failure"]);
    attempts(health, target, ["rate_limited"], { retryAfterMs: 60_000 });
    expect(stateOf(target, Date.now() + jumpMs)).toBe("closed");
    expect(stateOf(target, Date.now() - 100)).toBe("penalised");
  });
});

describe("the allowance of a resting target", () => {
  test.each<{ name: string; outcomes: readonly Outcome[]; rest: string; first: number }>([
    // The third failure ends an attempt that began before the rest.
    { name: "failing", outcomes: ["failure", "failure", "failure"], rest: "penalised", first: 10 },
    { name: "rate limited", outcomes: ["rate_limited"], rest: "cooling", first: 10 },
  ])("$name: ten attempts, then one a second, then it is left alone", ({ outcomes, rest, first }) => {
    const target = newTarget();
    const health = fakeHealth();
    attempts(health, target, outcomes, { retryAfterMs: 60_000 });
    for (let count = 0; count < first; count++) {
      expect(stateOf(target)).toBe(rest);
      beginAttempt(target, Date.now());
    }
    expect(stateOf(target)).toBe("open");
    // Attempts for want of another target go on, and leave no debt.
    for (let count = 0; count < 5; count++) beginAttempt(target, Date.now());
    expect(stateOf(target, Date.now() + 999)).toBe("open");
    expect(stateOf(target, Date.now() + 1_000)).toBe(rest);
  });

  test("attempts on a target in service do not use it up", () => {
    const target = newTarget();
    for (let count = 0; count < 50; count++) beginAttempt(target, Date.now());
    attempts(fakeHealth(), target, ["failure", "failure", "failure"]);
    expect(stateOf(target)).toBe("penalised");
  });
});

describe("the budget of retries", () => {
  const underWay = (count: number): { readonly target: string; readonly tickets: AttemptTicket[] } => {
    const target = newTarget();
    return { target, tickets: Array.from({ length: count }, () => beginAttempt(target, Date.now())) };
  };
  const takeAll = (target: string, now = Date.now()) => {
    const permits = [];
    for (let permit = takeRetry(target, now); permit !== null; permit = takeRetry(target, now)) permits.push(permit);
    return permits;
  };

  test.each([
    { attemptCount: 0, retries: 3 },
    { attemptCount: 15, retries: 3 },
    { attemptCount: 19, retries: 3 },
    { attemptCount: 20, retries: 4 },
    { attemptCount: 100, retries: 20 },
  ])("$attemptCount attempts under way allow $retries retries at a time", ({ attemptCount, retries }) => {
    expect(takeAll(underWay(attemptCount).target)).toHaveLength(retries);
  });

  test("a retry that ends, or whose request died a minute ago, makes room for one more", () => {
    const { target } = underWay(3);
    const [first] = takeAll(target);
    endRetry(first!);
    endRetry(first!);
    expect(takeAll(target)).toHaveLength(1);
    expect(takeAll(target, Date.now() + 59_999)).toHaveLength(0);
    expect(takeAll(target, Date.now() + 60_000)).toHaveLength(3);
  });

  test("an attempt that ends counts no more, and only once", () => {
    const { target, tickets } = underWay(30);
    const health = fakeHealth();
    for (const ticket of tickets.slice(0, 10)) {
      end(health, ticket, "success");
      // Its stream broke later.
      end(health, ticket, "failure");
    }
    expect(takeAll(target)).toHaveLength(4);
  });
});

describe("exploring", () => {
  test("one attempt at a time measures a target; its report or ten seconds make room for the next", () => {
    const target = newTarget();
    const health = fakeHealth();
    const ticket = beginAttempt(target, Date.now());
    expect(mayExplore(target, Date.now())).toBe(false);
    expect(mayExplore(target, Date.now() + 9_999)).toBe(false);
    expect(mayExplore(target, Date.now() + 10_000)).toBe(true);
    vi.advanceTimersByTime(10);
    const other = beginAttempt(target, Date.now());
    end(health, other, "success");
    expect(mayExplore(target, Date.now())).toBe(false);
    end(health, ticket, "ignored");
    expect(mayExplore(target, Date.now())).toBe(true);
  });

  test("a target that rests is not explored", () => {
    const target = newTarget();
    attempts(fakeHealth(), target, ["rate_limited"]);
    expect(mayExplore(target, Date.now())).toBe(false);
    expect(mayExplore(target, Date.now() + 1_000)).toBe(true);
  });

  test("attempts on a target that is measured explore nothing", () => {
    const target = newTarget();
    const health = fakeHealth();
    for (const kind of ["firstToken", "total"] as const) {
      attempts(health, target, ["success", "success", "success"], timed(100, true, kind));
    }
    vi.advanceTimersByTime(250);
    beginAttempt(target, Date.now());
    expect(mayExplore(target, Date.now())).toBe(true);
  });
});

describe("the forecast", () => {
  const seen = (ms: number): number => latencyOf(bucketOf(ms));
  const summary = (calls: number, ms: number): LatencySummary => ({ calls, p50Ms: ms, p95Ms: ms * 2 });
  const forecast = (target: string, now = Date.now()) => latencyForecast(target, "total", now);

  test("needs three calls, forgets them after a minute, and keeps the kinds apart", () => {
    const target = newTarget();
    const health = fakeHealth();
    attempts(health, target, ["success", "success"], timed(400));
    attempts(health, target, ["success"], timed(400, true, "firstToken"));
    expect(forecast(target)).toBeNull();
    vi.advanceTimersByTime(250);
    attempts(health, target, ["ignored"], timed(900, false));
    expect(forecast(target)).toEqual({ p50Ms: seen(400), p95Ms: seen(900) });
    expect(latencyForecast(target, "firstToken", Date.now())).toBeNull();
    expect(forecast(target, Date.now() + 60_000)).toBeNull();
  });

  test("is worked out four times a second at most", () => {
    const target = newTarget();
    const health = fakeHealth();
    attempts(health, target, ["success", "success", "success"], timed(100));
    // The three attempts above have asked for it, and learned that it was unknown.
    vi.advanceTimersByTime(250);
    expect(forecast(target)?.p50Ms).toBe(seen(100));
    attempts(health, target, Array<Outcome>(10).fill("success"), timed(5_000));
    expect(forecast(target, Date.now() + 249)?.p50Ms).toBe(seen(100));
    expect(forecast(target, Date.now() + 250)?.p50Ms).toBe(seen(5_000));
  });

  test.each([
    { name: "that of all isolates while this one knows less", own: 3, shared: 10, expected: 700 },
    { name: "its own once it knows as much", own: 5, shared: 5, expected: seen(100) },
    { name: "its own from 20 calls on, however many the others know", own: 20, shared: 9_000, expected: seen(100) },
    { name: "that of all isolates when it knows nothing itself", own: 0, shared: 3, expected: 700 },
    { name: "none where all isolates know too little", own: 0, shared: 2, expected: null },
  ])("is $name", async ({ own, shared, expected }) => {
    const target = newTarget();
    const health = fakeHealth(async () => calm({ total: summary(shared, 700) }));
    attempts(health, target, Array<Outcome>(own).fill("success"), timed(100));
    if (own === 0) attempts(health, target, ["success"]);
    await pass(1_300);
    expect(forecast(target)?.p50Ms ?? null).toBe(expected);
  });

  test("does not rest on what the others said more than a minute ago", async () => {
    const target = newTarget();
    attempts(
      fakeHealth(async () => calm({ total: summary(50, 700) })),
      target,
      ["success"],
    );
    await pass(1);
    const now = Date.now();
    expect(forecast(target, now + 59_000)).toEqual({ p50Ms: 700, p95Ms: 1_400 });
    expect(forecast(target, now + 60_000)).toBeNull();
  });

  test("learns nothing from a latency that is none", () => {
    const target = newTarget();
    const health = fakeHealth();
    for (const ms of [Number.NaN, -50]) attempts(health, target, ["success", "success", "success"], timed(ms));
    expect(forecast(target, Date.now() + 250)).toBeNull();
  });
});

describe("posting", () => {
  test("is done once a second at most, as sums, and nothing is lost or sent twice", async () => {
    const health = fakeHealth();
    const target = newTarget();
    const postedAt: number[] = [];
    health.answer = async () => {
      postedAt.push(Date.now());
      return calm();
    };
    for (let request = 0; request < 100; request++) {
      attempts(health, target, [request % 4 === 0 ? "failure" : "success"], timed(request % 2 === 0 ? 10 : 500));
      await pass(50);
    }
    await pass(2_000);
    expect(postedAt.length).toBeGreaterThanOrEqual(5);
    for (const [index, at] of postedAt.slice(1).entries()) expect(at - postedAt[index]!).toBeGreaterThanOrEqual(1_000);
    expect([sumOf(health.deltas, "successes"), sumOf(health.deltas, "failures")]).toEqual([75, 25]);
    const rows = health.deltas.flatMap((delta) => delta.total);
    const callsIn = (bucket: number): number =>
      rows.filter(([at]) => at === bucket).reduce((sum, [, answered]) => sum + answered, 0);
    expect([callsIn(bucketOf(10)), callsIn(bucketOf(500))]).toEqual([50, 50]);
  });

  test("covers the end of a burst without a further request", async () => {
    const health = fakeHealth();
    attempts(health, newTarget(), Array<Outcome>(25).fill("failure"));
    await pass(1_100);
    expect(sumOf(health.deltas, "failures")).toBe(25);
  });

  test("covers what is counted while a slow post is under way", async () => {
    const target = newTarget();
    const health = fakeHealth(async () => {
      await scheduler.wait(600);
      return calm();
    });
    attempts(health, target, ["success"]);
    await pass(300);
    attempts(health, target, ["success"]);
    await pass(1_500);
    // The second post is on its way.
    attempts(health, target, ["success"]);
    await pass(3_000);
    expect(sumOf(health.deltas, "successes")).toBe(3);
  });

  test("is left out for what says nothing about the target", async () => {
    const health = fakeHealth();
    attempts(health, newTarget(), ["ignored"]);
    await pass(2_000);
    expect([health.deltas, health.work]).toEqual([[], []]);
  });

  test("tells how long a call lasted that we ended, and nothing else about it", async () => {
    const health = fakeHealth();
    attempts(health, newTarget(), ["ignored"], timed(2_000, false, "firstToken"));
    await pass(1);
    expect(health.deltas).toMatchObject([
      { successes: 0, failures: 0, firstToken: [[bucketOf(2_000), 0, 1]], total: [] },
    ]);
  });

  test("names the isolate, tells that it leaves the target alone, and for how long the provider wants that", async () => {
    const health = fakeHealth();
    const [failing, limited] = [newTarget(), newTarget()];
    attempts(health, failing, ["failure", "failure", "failure"]);
    attempts(health, limited, ["rate_limited"], { retryAfterMs: 9_000 });
    await pass(1_000);
    const [first, second, third] = health.deltas;
    // The first failure is posted at once, before there is a run of them.
    expect(first).toMatchObject({ failures: 1, isPenalising: false, cooldownMs: 0, wantsLease: false });
    expect(second).toMatchObject({ rateLimited: 1, isPenalising: false, cooldownMs: 9_000 });
    expect(third).toMatchObject({ failures: 2, isPenalising: true });
    expect(new Set(health.deltas.map((delta) => delta.isolate)).size).toBe(1);
    expect(first?.isolate).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("another request takes over when the one that promised to post has died", async () => {
    const target = newTarget();
    const dying = fakeHealth(() => new Promise(() => {}));
    dying.answer = () => new Promise(() => {});
    attempts(dying, target, ["success"]);
    const health = fakeHealth();
    // Its work is thrown away with it: nothing of it runs any more.
    vi.clearAllTimers();
    await pass(3_100);
    attempts(health, target, ["success"]);
    await pass(1);
    expect(sumOf(health.deltas, "successes")).toBe(1);
  });

  test.each([
    { name: "fails", answer: () => Promise.reject(new Error("down")) },
    { name: "never answers", answer: () => new Promise<HealthAnswer>(() => {}) },
    {
      name: "cannot be called",
      answer: (): Promise<HealthAnswer> => {
        throw new Error("no stub");
      },
    },
  ])("an object that $name leaves the local view alone, and what it was sent is not sent again", async ({ answer }) => {
    const health = fakeHealth(answer);
    const target = newTarget();
    attempts(health, target, ["failure", "failure", "failure"]);
    expect(stateOf(target)).toBe("penalised");
    await pass(10_000);
    await Promise.all(health.work);
    expect(stateOf(target)).toBe("closed");
    attempts(health, target, ["success"]);
    await pass(5_000);
    expect([sumOf(health.deltas, "failures"), sumOf(health.deltas, "successes")]).toEqual([3, 1]);
  });
});

describe("the shared breaker", () => {
  /** A target whose object says that it is open for `openMs`, as this isolate has heard by now. */
  async function openTarget(openMs: number): Promise<{ readonly target: string; readonly health: FakeHealth }> {
    const target = newTarget();
    const openUntil = Date.now() + openMs;
    const health = fakeHealth(async () => calm({ state: Date.now() < openUntil ? "open" : "half_open", openUntil }));
    attempts(health, target, ["success"]);
    await pass(1);
    return { target, health };
  }
  const lease = (health: FakeHealth, leaseMs = 5_000): void => {
    health.answer = async () => calm({ state: "half_open", openUntil: Date.now() - 1, leaseMs });
  };

  test("keeps traffic away until its time is up and a lease was got, by one request that asks behind its answer", async () => {
    const { target, health } = await openTarget(5_000);
    expect(targetState(health, target, Date.now())).toBe("open");
    await pass(4_999);
    lease(health);
    const before = health.deltas.length;
    for (let request = 0; request < 10; request++) expect(targetState(health, target, Date.now())).toBe("open");
    await pass(1);
    expect(health.deltas.slice(before)).toMatchObject([{ wantsLease: true, successes: 0 }]);
    expect(targetState(health, target, Date.now())).toBe("closed");
    expect(beginAttempt(target, Date.now()).isProbe).toBe(true);
    expect(targetState(health, target, Date.now())).toBe("open");
  });

  test("an open breaker is not asked about before its time is up", async () => {
    const { target, health } = await openTarget(5_000);
    const before = health.deltas.length;
    for (let at = 0; at < 45; at++) {
      targetState(health, target, Date.now());
      await pass(100);
    }
    expect(health.deltas).toHaveLength(before);
  });

  test("the lease is asked for once a second at most, and not while its probe is under way", async () => {
    const { target, health } = await openTarget(2_000);
    await pass(2_000);
    const before = health.deltas.length;
    for (let at = 0; at < 30; at++) {
      targetState(health, target, Date.now());
      await pass(100);
    }
    const asked = health.deltas.length - before;
    expect(asked).toBeGreaterThanOrEqual(3);
    expect(asked).toBeLessThanOrEqual(4);
    lease(health);
    while (targetState(health, target, Date.now()) === "open") await pass(100);
    beginAttempt(target, Date.now());
    const withLease = health.deltas.length;
    for (let at = 0; at < 40; at++) {
      targetState(health, target, Date.now());
      await pass(100);
    }
    expect(health.deltas).toHaveLength(withLease);
  });

  test("a lease that nobody uses ends, counted from the question on", async () => {
    const { target, health } = await openTarget(2_000);
    await pass(2_000);
    health.answer = async () => {
      await scheduler.wait(300);
      return calm({ state: "half_open", openUntil: Date.now() - 1, leaseMs: 5_000 });
    };
    const askedAt = Date.now();
    targetState(health, target, askedAt);
    await pass(400);
    expect([stateOf(target, askedAt + 4_999), stateOf(target, askedAt + 5_000)]).toEqual(["closed", "open"]);
  });

  test("one bad probe is a rest at once, and is told apart from other requests", async () => {
    const { target, health } = await openTarget(2_000);
    const early = beginAttempt(newTarget(), Date.now());
    await pass(2_000);
    lease(health);
    targetState(health, target, Date.now());
    await pass(1);
    const probe = beginAttempt(target, Date.now());
    end(health, probe, "failure");
    expect(early.isProbe).toBe(false);
    health.answer = async () => calm();
    await pass(1_000);
    expect(health.deltas.at(-1)).toMatchObject({ probeFailures: 1, failures: 0, isPenalising: true });
    expect(stateOf(target)).toBe("penalised");
  });

  test("a good probe closes it here at once, and ends the run of failures", async () => {
    const { target, health } = await openTarget(2_000);
    attempts(health, target, ["failure", "failure"]);
    await pass(6_000);
    lease(health);
    targetState(health, target, Date.now());
    await pass(1);
    end(health, beginAttempt(target, Date.now()), "success");
    expect(stateOf(target)).toBe("closed");
    health.answer = async () => calm();
    await pass(1_000);
    expect(health.deltas.at(-1)).toMatchObject({ probeSuccesses: 1, successes: 0 });
    attempts(health, target, ["failure", "failure"]);
    expect(stateOf(target)).toBe("closed");
  });

  test("what began before it opened says nothing about it", async () => {
    const target = newTarget();
    const health = fakeHealth(async () => calm({ state: "open", openUntil: Date.now() + 1_000 }));
    const before = beginAttempt(target, Date.now());
    attempts(health, target, ["success"]);
    await pass(1_500);
    const posted = health.deltas.length;
    end(health, before, "success");
    expect(stateOf(target)).toBe("open");
    expect(health.deltas.slice(posted)).toMatchObject([{ successes: 1, probeSuccesses: 0 }]);
  });

  test("a success for want of another target does not close it before its time", async () => {
    const { target, health } = await openTarget(5_000);
    attempts(health, target, ["success"]);
    expect(stateOf(target)).toBe("open");
    await pass(1_000);
    expect(health.deltas.at(-1)).toMatchObject({ probeSuccesses: 1, successes: 0 });
  });

  test.each<Outcome>(["ignored", "rate_limited"])("a probe that ends %s gives its lease back", async (outcome) => {
    const { target, health } = await openTarget(2_000);
    await pass(2_000);
    lease(health);
    targetState(health, target, Date.now());
    await pass(1);
    end(health, beginAttempt(target, Date.now()), outcome, { retryAfterMs: 10 });
    lease(health, 0);
    await pass(1_000);
    expect(health.deltas.at(-1)).toMatchObject({ returnsLease: true, probeFailures: 0, probeSuccesses: 0 });
    // Asking for the next one is another matter.
    targetState(health, target, Date.now());
    await pass(1_000);
    expect(health.deltas.at(-1)).toMatchObject({ returnsLease: false, wantsLease: true });
  });

  test("a provider that asked to be left alone is not probed", async () => {
    const target = newTarget();
    const answer = (): HealthAnswer =>
      calm({ state: "half_open", openUntil: Date.now() - 1, leaseMs: 5_000, cooldownUntil: Date.now() + 10_000 });
    const health = fakeHealth(async () => answer());
    attempts(health, target, ["rate_limited"], { retryAfterMs: 10_000 });
    await pass(1);
    const before = health.deltas.length;
    expect(targetState(health, target, Date.now())).toBe("open");
    await pass(2_000);
    expect(health.deltas).toHaveLength(before);
  });

  test("that closed is closed here, and a shared rate limit is kept", async () => {
    const target = newTarget();
    const now = Date.now();
    const health = fakeHealth(async () => calm({ state: "open", openUntil: now + 20_000 }));
    attempts(health, target, ["success"]);
    await pass(1);
    expect(stateOf(target)).toBe("open");
    health.answer = async () => calm({ cooldownUntil: now + 2_000 });
    attempts(health, target, ["success"]);
    await pass(1_000);
    expect([stateOf(target, now + 1_999), stateOf(target, now + 2_001)]).toEqual(["cooling", "closed"]);
  });

  test("that was closed by another's probe ends the run of failures here", async () => {
    const { target, health } = await openTarget(1_000);
    attempts(health, target, ["failure", "failure", "failure"]);
    health.answer = async () => calm();
    await pass(3_500);
    expect(stateOf(target)).toBe("closed");
    attempts(health, target, ["failure", "failure"]);
    expect(stateOf(target)).toBe("closed");
  });

  test("an isolate that did not ask for a lease gives itself none where the object fails", async () => {
    const { target, health } = await openTarget(1_000);
    health.answer = () => Promise.reject(new Error("down"));
    const ticket = beginAttempt(target, Date.now());
    await pass(4_000);
    end(health, ticket, "failure");
    await pass(1);
    expect(health.deltas.at(-1)).toMatchObject({ probeFailures: 1, wantsLease: false });
    expect(targetState(health, target, Date.now())).toBe("open");
  });

  test.each([-HOUR_MS, HOUR_MS])("an object whose clock is %i ms away is understood", async (skewMs) => {
    const target = newTarget();
    const objectNow = (): number => Date.now() + skewMs;
    const openUntil = objectNow() + 3_000;
    const health = fakeHealth(async () =>
      calm({ at: objectNow(), state: "open", openUntil, cooldownUntil: objectNow() - 10 }),
    );
    const now = Date.now();
    attempts(health, target, ["success"]);
    await pass(1);
    expect([stateOf(target, now + 2_990), stateOf(target, now + 3_010)]).toEqual(["open", "open"]);
    expect(targetState(health, target, now + 2_990)).toBe("open");
    lease(health);
    await pass(3_000);
    targetState(health, target, Date.now());
    await pass(1);
    expect(stateOf(target)).toBe("closed");
  });

  test("a clock that goes back by an hour does not keep it open here", async () => {
    const { target, health } = await openTarget(5_000);
    const before = health.deltas.length;
    vi.setSystemTime(Date.now() - HOUR_MS);
    lease(health);
    targetState(health, target, Date.now());
    await pass(1);
    expect(health.deltas).toHaveLength(before + 1);
    expect(stateOf(target)).toBe("closed");
  });

  test.each([
    { name: "fails", answer: () => Promise.reject(new Error("down")) },
    { name: "never answers", answer: () => new Promise<HealthAnswer>(() => {}) },
  ])(
    "where the object $name, an isolate allows itself a probe every 3 s, and a good one closes it",
    async ({ answer }) => {
      const { target, health } = await openTarget(2_000);
      health.answer = answer;
      await pass(2_000);
      const probedAt: number[] = [];
      for (let at = 0; at < 200; at++) {
        if (targetState(health, target, Date.now()) === "closed") {
          probedAt.push(Date.now());
          end(health, beginAttempt(target, Date.now()), "failure");
        }
        await pass(100);
      }
      expect(probedAt.length).toBeGreaterThanOrEqual(3);
      // The lease is what is counted, and a probe begins a little after it.
      for (const [index, at] of probedAt.slice(1).entries())
        expect(at - probedAt[index]!).toBeGreaterThanOrEqual(2_900);
      for (let at = 0; at < 100 && stateOf(target) !== "closed"; at++) {
        targetState(health, target, Date.now());
        await pass(100);
      }
      end(health, beginAttempt(target, Date.now()), "success");
      await pass(10_000);
      expect(stateOf(target)).toBe("closed");
    },
  );
});

describe("the operator's figures", () => {
  const { namespace } = bystander;
  test.each([
    { name: "the object's", answer: async () => calm({ requests: 7 }), expected: { requests: 7, state: "closed" } },
    { name: "none for a target never used", answer: async () => null, expected: { requests: 0, state: "closed" } },
  ])("are $name", async ({ answer, expected }) => {
    bystander.snapshot = answer;
    expect(await targetSnapshot(namespace, "a/b")).toMatchObject(expected);
  });

  test.each([
    { name: "fails", answer: () => Promise.reject(new Error("down")) },
    { name: "never answers", answer: () => new Promise<null>(() => {}) },
  ])("are unknown within a second where the object $name", async ({ answer }) => {
    bystander.snapshot = answer;
    const asked = targetSnapshot(namespace, "a/b");
    await pass(1_000);
    expect(await asked).toBeNull();
  });
});

test("2,000 targets are remembered: the one not asked for the longest time is forgotten", () => {
  const health = fakeHealth();
  const [used, unused] = [newTarget(), newTarget()];
  for (const target of [used, unused]) attempts(health, target, ["rate_limited"], { retryAfterMs: 60_000 });
  for (let count = 0; count < 1_999; count++) {
    beginAttempt(newTarget(), Date.now());
    if (count === 1_000) beginAttempt(used, Date.now());
  }
  expect([stateOf(used), stateOf(unused)]).toEqual(["cooling", "closed"]);
});

describe("what only the requests of one key saw", () => {
  const viewedBy = (health: FakeHealth, key: string): FakeHealth => ({ ...health, key: () => key });
  const fail = (health: FakeHealth, target: string, key: string): void =>
    end(health, beginAttempt(target, Date.now(), key), "failure");
  const seenBy = (health: FakeHealth, target: string, key: string) =>
    targetState(viewedBy(health, key), target, Date.now());

  test("penalises the target for that key, and for nobody else", () => {
    const [health, target] = [fakeHealth(), newTarget()];
    for (let at = 0; at < 5; at++) fail(health, target, "alice");
    expect([seenBy(health, target, "alice"), seenBy(health, target, "bob")]).toEqual(["penalised", "closed"]);
    expect(["alice", "bob"].map((key) => mayExplore(target, Date.now(), key))).toEqual([false, true]);
    fail(health, target, "bob");
    for (const key of ["alice", "bob", "carol"]) expect(seenBy(health, target, key)).toBe("penalised");
  });

  test("counts as anybody's once two keys saw it in a row", () => {
    const [health, target] = [fakeHealth(), newTarget()];
    for (const key of ["alice", "bob", "alice"]) fail(health, target, key);
    expect(seenBy(health, target, "carol")).toBe("penalised");
  });

  test("takes no token of the allowance from requests of others", () => {
    const [health, target] = [fakeHealth(), newTarget()];
    for (let at = 0; at < 3; at++) fail(health, target, "alice");
    for (let at = 0; at < 30; at++) beginAttempt(target, Date.now(), "bob");
    expect(seenBy(health, target, "alice")).toBe("penalised");
  });

  test("is reported with the keys, and an open breaker of one key is open for that one", async () => {
    const [health, target] = [fakeHealth(), newTarget()];
    health.answer = async () => calm({ state: "open", openUntil: Date.now() + 5_000, openFor: "alice" });
    for (let at = 0; at < 4; at++) fail(health, target, "alice");
    await pass(1_200);
    expect(new Set(health.deltas.flatMap(({ failedKeys }) => failedKeys))).toEqual(new Set(["alice"]));
    expect([seenBy(health, target, "alice"), seenBy(health, target, "bob")]).toEqual(["open", "closed"]);
    // No probe: its end decides nothing about the breaker.
    end(health, beginAttempt(target, Date.now(), "bob"), "failure");
    await pass(1_200);
    expect(health.deltas.at(-1)).toMatchObject({ failures: 1, probeFailures: 0, failedKeys: ["bob"] });
    health.answer = async () => calm({ state: "open", openUntil: Date.now() + 5_000, openFor: null });
    end(health, beginAttempt(target, Date.now(), "bob"), "success");
    await pass(1_200);
    expect(seenBy(health, target, "carol")).toBe("open");
  });
});

describe("a target whose stream broke a rule of its protocol", () => {
  test("is known at once, told to the others once, and forgotten after an hour", async () => {
    const health = fakeHealth();
    const target = newTarget();
    expect(isUnclean(target, Date.now())).toBe(false);
    reportUnclean(health, target, Date.now());
    expect(isUnclean(target, Date.now())).toBe(true);
    await pass(2_000);
    end(health, beginAttempt(target, Date.now()), "success");
    await pass(2_000);
    expect(health.deltas.map((delta) => delta.isUnclean)).toEqual([true, false]);
    expect(isUnclean(target, Date.now() + HOUR_MS - 10_000)).toBe(true);
    expect(isUnclean(target, Date.now() + HOUR_MS)).toBe(false);
  });

  test("is known to an isolate that another one told, by the object's clock", async () => {
    const health = fakeHealth(async () => calm({ at: 5_000, uncleanUntil: 65_000 }));
    const target = newTarget();
    end(health, beginAttempt(target, Date.now()), "success");
    await pass(100);
    expect(isUnclean(target, Date.now() + 50_000)).toBe(true);
    expect(isUnclean(target, Date.now() + 61_000)).toBe(false);
  });

  test("an object of before says nothing about it", async () => {
    const health = fakeHealth();
    const target = newTarget();
    end(health, beginAttempt(target, Date.now()), "success");
    await pass(100);
    expect(isUnclean(target, Date.now())).toBe(false);
  });
});
