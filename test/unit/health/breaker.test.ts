import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Breaker,
  breakerState,
  CLOSED_BREAKER,
  type Evidence,
  ejectionsAt,
  leaseMsOf,
  recordEvidence,
  sumWindow,
} from "../../../src/health/breaker.ts";

const T0 = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

const NOTHING: Evidence = {
  isolate: "a",
  successes: 0,
  failures: 0,
  rateLimited: 0,
  broken: 0,
  probeSuccesses: 0,
  probeFailures: 0,
  isPenalising: false,
  wantsLease: false,
  returnsLease: false,
};

/** At second `at`, what an isolate reports. */
type Step = readonly [at: number, evidence: Partial<Evidence>];

const run = (steps: readonly Step[], from: Breaker = CLOSED_BREAKER): Breaker =>
  steps.reduce((breaker, [at, evidence]) => recordEvidence(breaker, { ...NOTHING, ...evidence }, T0 + at * 1000), from);

const OUTAGE: Evidence = { ...NOTHING, failures: 20 };
const GOOD_PROBE = { probeSuccesses: 1 };
const BAD_PROBE = { probeFailures: 1 };
const votes = (...isolates: string[]): Partial<Evidence>[] =>
  isolates.map((isolate) => ({ isolate, isPenalising: true }));

test.each<{ name: string; steps: readonly Step[]; at: number; state: string }>([
  { name: "is closed at first", steps: [], at: 0, state: "closed" },
  { name: "stays closed below 20 requests", steps: [[0, { failures: 19 }]], at: 0, state: "closed" },
  { name: "opens at 20 requests, all failed", steps: [[0, OUTAGE]], at: 0, state: "open" },
  { name: "opens at exactly half", steps: [[0, { successes: 10, failures: 10 }]], at: 0, state: "open" },
  {
    name: "never opens on a good answer, though that makes the sample large enough",
    steps: [
      [0, { failures: 19 }],
      [1, { successes: 1 }],
    ],
    at: 1,
    state: "closed",
  },
  {
    name: "opens on the next failure after it",
    steps: [
      [0, { failures: 19 }],
      [1, { successes: 1 }],
      [2, { failures: 1 }],
    ],
    at: 2,
    state: "open",
  },
  { name: "stays closed below half", steps: [[0, { successes: 11, failures: 10 }]], at: 0, state: "closed" },
  {
    name: "does not count rate limits among requests",
    steps: [[0, { failures: 19, rateLimited: 50 }]],
    at: 0,
    state: "closed",
  },
  {
    name: "adds up over the window",
    steps: [
      [0, { failures: 10 }],
      [30, { failures: 10 }],
    ],
    at: 30,
    state: "open",
  },
  {
    name: "forgets after a minute",
    steps: [
      [0, { failures: 10 }],
      [61, { failures: 10 }],
    ],
    at: 61,
    state: "closed",
  },
  { name: "stays open for 5 s", steps: [[0, OUTAGE]], at: 4.999, state: "open" },
  { name: "is half open after 5 s", steps: [[0, OUTAGE]], at: 5, state: "half_open" },
  {
    name: "ignores what ends while it is open, probes too",
    steps: [
      [0, OUTAGE],
      [1, { successes: 50, ...GOOD_PROBE }],
      [2, { failures: 50, ...BAD_PROBE }],
    ],
    at: 5,
    state: "half_open",
  },
  {
    name: "ignores requests from before once it is half open",
    steps: [
      [0, OUTAGE],
      [5, { successes: 50 }],
      [6, { failures: 50 }],
    ],
    at: 6,
    state: "half_open",
  },
  {
    name: "closes after one good probe",
    steps: [
      [0, OUTAGE],
      [5, GOOD_PROBE],
    ],
    at: 5,
    state: "closed",
  },
  {
    name: "opens for 10 s after a bad probe",
    steps: [
      [0, OUTAGE],
      [5, BAD_PROBE],
    ],
    at: 14.999,
    state: "open",
  },
  {
    name: "is half open 10 s after a bad probe",
    steps: [
      [0, OUTAGE],
      [5, BAD_PROBE],
    ],
    at: 15,
    state: "half_open",
  },
  {
    name: "opens for 20 s the third time",
    steps: [
      [0, OUTAGE],
      [5, BAD_PROBE],
      [15, BAD_PROBE],
    ],
    at: 34.999,
    state: "open",
  },
  {
    name: "never opens for longer",
    steps: [
      [0, OUTAGE],
      [5, BAD_PROBE],
      [15, BAD_PROBE],
      [35, BAD_PROBE],
      [55, BAD_PROBE],
    ],
    at: 75,
    state: "half_open",
  },
  {
    name: "takes a probe half good for a bad one",
    steps: [
      [0, OUTAGE],
      [5, { ...GOOD_PROBE, ...BAD_PROBE }],
    ],
    at: 5,
    state: "open",
  },
  {
    name: "starts anew when it closes, with the requests from before forgotten",
    steps: [
      [0, OUTAGE],
      [5, { ...GOOD_PROBE, failures: 19 }],
      [6, { failures: 18 }],
    ],
    at: 6,
    state: "closed",
  },
  {
    name: "counts probes that end after it has closed as requests",
    steps: [
      [0, OUTAGE],
      [5, GOOD_PROBE],
      [6, { probeFailures: 20 }],
    ],
    at: 6,
    state: "open",
  },
  {
    name: "opens for longer when it had closed less than a minute ago",
    steps: [
      [0, OUTAGE],
      [5, GOOD_PROBE],
      [64, OUTAGE],
    ],
    at: 73.999,
    state: "open",
  },
  {
    name: "opens for 5 s again after a minute in service",
    steps: [
      [0, OUTAGE],
      [5, GOOD_PROBE],
      [65, OUTAGE],
    ],
    at: 70,
    state: "half_open",
  },
  {
    name: "opens when three isolates leave the target alone",
    steps: votes("a", "b", "c").map((vote): Step => [0, vote]),
    at: 0,
    state: "open",
  },
  {
    name: "opens when three isolates do so, whatever was reported before the last two seconds",
    steps: [
      [0.9, { isolate: "z", successes: 1_000 }],
      [1, { isolate: "z", successes: 9 }],
      ...votes("a", "b", "c").map((vote): Step => [2.9, { ...vote, failures: 3 }]),
    ],
    at: 2.9,
    state: "open",
  },
  {
    name: "stays closed when three isolates have bad luck and the others do not",
    steps: [
      [1, { isolate: "z", successes: 10 }],
      ...votes("a", "b", "c").map((vote): Step => [2.9, { ...vote, failures: 3 }]),
    ],
    at: 2.9,
    state: "closed",
  },
  {
    name: "stays closed when one isolate says so three times",
    steps: votes("a", "a", "b").map((vote): Step => [0, vote]),
    at: 0,
    state: "closed",
  },
  {
    name: "counts votes of the last 10 s",
    steps: votes("a", "b", "c").map((vote, index): Step => [index * 4.9, vote]),
    at: 9.8,
    state: "open",
  },
  {
    name: "forgets a vote after 10 s",
    steps: votes("a", "b", "c").map((vote, index): Step => [index * 5, vote]),
    at: 10,
    state: "closed",
  },
  {
    name: "drops the vote of an isolate that has changed its mind",
    steps: [...votes("a", "b"), { isolate: "a" }, ...votes("c")].map((vote): Step => [0, vote]),
    at: 0,
    state: "closed",
  },
  {
    name: "does not take votes from before for new ones",
    steps: [
      ...votes("a", "b", "c", "d", "e").map((vote): Step => [0, vote]),
      [5, GOOD_PROBE],
      [5, { isolate: "f", isPenalising: true }],
    ],
    at: 5,
    state: "closed",
  },
])("the breaker $name", ({ steps, at, state }) => {
  expect(breakerState(run(steps), T0 + at * 1000)).toBe(state);
});

test("ejections are forgotten one per minute in service, and no more than five are kept", () => {
  let breaker = run([[0, OUTAGE]]);
  let at = 0;
  for (let probe = 0; probe < 30; probe++) {
    at = (breaker.openUntil - T0) / 1000;
    breaker = run([[at, BAD_PROBE]], breaker);
  }
  at = (breaker.openUntil - T0) / 1000;
  breaker = run([[at, GOOD_PROBE]], breaker);
  const left = [0, 59, 60, 120, 180, 240, 300, 3_600].map((later) => ejectionsAt(breaker, T0 + (at + later) * 1000));
  expect(left).toEqual([5, 5, 4, 3, 2, 1, 0, 0]);
});

test("ejections are forgotten also where the clock went back by an hour", () => {
  const closed = run([
    [3_600, OUTAGE],
    [3_605, GOOD_PROBE],
  ]);
  const later = run([[0, { successes: 1 }]], closed);
  expect([ejectionsAt(later, T0 + 59_000), ejectionsAt(later, T0 + 60_000)]).toEqual([1, 0]);
});

test("a target that flaps soon rests for 20 s each time", () => {
  let breaker = CLOSED_BREAKER;
  const rests: number[] = [];
  for (let at = 0, round = 0; round < 4; round++) {
    breaker = run([[at, OUTAGE]], breaker);
    rests.push(breaker.openUntil - T0 - at * 1000);
    at = (breaker.openUntil - T0) / 1000;
    breaker = run([[at, GOOD_PROBE]], breaker);
    at += 20;
  }
  expect(rests).toEqual([5_000, 10_000, 20_000, 20_000]);
});

test("a stream that breaks takes back the success it was: 20 of them open the breaker, however late they break", () => {
  const begun = recordEvidence(CLOSED_BREAKER, { ...NOTHING, successes: 20 }, T0);
  const half = recordEvidence(begun, { ...NOTHING, failures: 9, broken: 9 }, T0 + 7_000);
  expect(sumWindow(half.buckets, T0 + 7_000)).toEqual({ successes: 11, failures: 9, rateLimited: 0 });
  expect(breakerState(half, T0 + 7_000)).toBe("closed");
  const most = recordEvidence(half, { ...NOTHING, failures: 1, broken: 1 }, T0 + 8_000);
  expect(breakerState(most, T0 + 8_000)).toBe("open");
  // The successes have left the window, their failures have not.
  const late = recordEvidence(begun, { ...NOTHING, failures: 5, broken: 5 }, T0 + 70_000);
  expect(sumWindow(late.buckets, T0 + 70_000)).toEqual({ successes: 0, failures: 5, rateLimited: 0 });
});

describe("a lease", () => {
  const wants = (isolate: string): Partial<Evidence> => ({ isolate, wantsLease: true });
  const leases = (breaker: Breaker, at: number): Record<string, number> =>
    Object.fromEntries(
      ["a", "b", "c"]
        .map((isolate) => [isolate, leaseMsOf(breaker, isolate, T0 + at * 1000)] as const)
        .filter(([, ms]) => ms > 0),
    );

  test.each<{ name: string; steps: readonly Step[]; at: number; held: Record<string, number> }>([
    { name: "is not given while closed", steps: [[0, wants("a")]], at: 0, held: {} },
    {
      name: "is not given while open",
      steps: [
        [0, OUTAGE],
        [4.999, wants("a")],
      ],
      at: 5,
      held: {},
    },
    {
      name: "is given once the time is up, for 5 s",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
      ],
      at: 6,
      held: { a: 4_000 },
    },
    {
      name: "is given to one isolate only",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [6, wants("b")],
      ],
      at: 6,
      held: { a: 4_000 },
    },
    {
      name: "is not made longer by asking again",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [8, wants("a")],
      ],
      at: 8,
      held: { a: 2_000 },
    },
    {
      name: "goes to the next one when its time is up",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [10, wants("b")],
      ],
      at: 10,
      held: { b: 5_000 },
    },
    {
      name: "can be given back",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [6, { isolate: "a", returnsLease: true }],
        [6, wants("b")],
      ],
      at: 6,
      held: { b: 5_000 },
    },
    {
      name: "is given back by its holder only",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [6, { isolate: "b", returnsLease: true, wantsLease: true }],
      ],
      at: 6,
      held: { a: 4_000 },
    },
    {
      name: "ends with a bad probe",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [6, { ...BAD_PROBE, wantsLease: true }],
      ],
      at: 6,
      held: {},
    },
    {
      name: "of before does not come back after a bad probe",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [5, BAD_PROBE],
        [15, wants("b")],
      ],
      at: 15,
      held: { b: 5_000 },
    },
    {
      name: "ends with a good probe",
      steps: [
        [0, OUTAGE],
        [5, wants("a")],
        [6, { ...GOOD_PROBE, wantsLease: true }],
      ],
      at: 6,
      held: {},
    },
  ])("$name", ({ steps, at, held }) => {
    expect(leases(run(steps), at)).toEqual(held);
  });
});

test("the window sums what it holds", () => {
  const { buckets } = run([
    [0, { successes: 2, failures: 1 }],
    [1, { successes: 3, rateLimited: 2 }],
    [20, { successes: 1, failures: 1, probeSuccesses: 1 }],
  ]);
  expect(sumWindow(buckets, T0 + 20_000)).toEqual({ successes: 7, failures: 2, rateLimited: 2 });
  expect(sumWindow(buckets, T0 + 70_000)).toEqual({ successes: 2, failures: 1, rateLimited: 0 });
});

test("a clock that goes back a little adds to the newest bucket", () => {
  const { buckets } = run([
    [30, { successes: 1 }],
    [0, { successes: 1 }],
  ]);
  expect(buckets).toHaveLength(1);
  expect(sumWindow(buckets, T0 + 30_000).successes).toBe(2);
});

describe("against a model that keeps every report", () => {
  const isolate = fc.constantFrom("a", "b", "c", "d");
  const evidence = fc.record({
    isolate,
    successes: fc.nat(12),
    failures: fc.nat(12),
    rateLimited: fc.nat(3),
    broken: fc.constant(0),
    probeSuccesses: fc.constantFrom(0, 0, 0, 1),
    probeFailures: fc.constantFrom(0, 0, 0, 1),
    isPenalising: fc.boolean(),
    wantsLease: fc.boolean(),
    returnsLease: fc.boolean(),
  });
  const step = fc.record({ pauseMs: fc.oneof(fc.nat(2_000), fc.nat(20_000), fc.nat(90_000)), evidence });

  test("the breaker agrees at every step", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let breaker = CLOSED_BREAKER;
        let now = T0;
        let seen: { readonly at: number; readonly evidence: Evidence }[] = [];
        let sinceClosed: typeof seen = [];
        let openUntil: number | null = null;
        let ejections = 0;
        let closedAt = T0;
        let lease: { readonly isolate: string; readonly until: number } | null = null;
        const eject = (): void => {
          ejections = Math.min(5, ejections + 1);
          openUntil = now + [0, 5_000, 10_000, 20_000, 20_000, 20_000][ejections]!;
          seen = [];
          lease = null;
        };
        for (const { pauseMs, evidence } of steps) {
          now += pauseMs;
          breaker = recordEvidence(breaker, evidence, now);
          const { probeSuccesses, probeFailures } = evidence;
          if (openUntil === null) {
            seen.push({ at: now, evidence });
            sinceClosed.push({ at: now, evidence });
            // A bucket leaves the window as a whole, when the oldest thing it can hold is a minute old.
            const recent = seen.filter(({ at }) => at - (at % 6_000) > now - 60_000).map((each) => each.evidence);
            const failed = recent.reduce((sum, each) => sum + each.failures + each.probeFailures, 0);
            const all = recent.reduce((sum, each) => sum + each.successes + each.probeSuccesses, failed);
            const latest = new Map<string, boolean>();
            for (const each of seen) {
              if (now - each.at < 10_000) latest.set(each.evidence.isolate, each.evidence.isPenalising);
            }
            const penalising = [...latest.values()].filter(Boolean).length;
            const second = now - (now % 1_000);
            const newest = sinceClosed.filter(({ at }) => at >= second - 1_000).map((each) => each.evidence);
            const newFailed = newest.reduce((sum, each) => sum + each.failures + each.probeFailures, 0);
            const newAll = newest.reduce((sum, each) => sum + each.successes + each.probeSuccesses, newFailed);
            const isAgreed = penalising >= 3 && newFailed * 2 >= newAll;
            const isAgainst = evidence.failures + probeFailures > 0 || evidence.isPenalising;
            if (isAgainst && ((all >= 20 && failed * 2 >= all) || isAgreed)) {
              ejections = Math.max(0, ejections - Math.floor((now - closedAt) / 60_000));
              eject();
            }
          } else if (now >= openUntil) {
            if (probeFailures > 0 && probeFailures >= probeSuccesses) eject();
            else if (probeSuccesses > 0) {
              openUntil = null;
              closedAt = now;
              lease = null;
              sinceClosed = [];
              const { isolate } = evidence;
              seen = [{ at: now, evidence: { ...NOTHING, isolate, probeSuccesses } }];
            }
          }
          const isHalfOpen: boolean = openUntil !== null && now >= openUntil;
          if (isHalfOpen) {
            const held: { readonly isolate: string; readonly until: number } | null = lease;
            if (held !== null && (now >= held.until || (evidence.returnsLease && held.isolate === evidence.isolate))) {
              lease = null;
            }
            if (evidence.wantsLease) lease ??= { isolate: evidence.isolate, until: now + 5_000 };
          }
          expect(breakerState(breaker, now)).toBe(openUntil === null ? "closed" : isHalfOpen ? "half_open" : "open");
          if (openUntil !== null) expect(breaker.openUntil).toBe(openUntil);
          const holders = ["a", "b", "c", "d"].filter((each) => leaseMsOf(breaker, each, now) > 0);
          const holder: { readonly isolate: string; readonly until: number } | null = lease;
          expect(holders).toEqual(holder !== null && isHalfOpen && now < holder.until ? [holder.isolate] : []);
          expect(breaker.buckets.length).toBeLessThanOrEqual(10);
          expect(breaker.votes.length).toBeLessThanOrEqual(3);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Isolates that ask, probe and report as they like, die with a lease, and live with a clock that jumps. */
describe("whatever isolates do and clocks show", () => {
  interface Model {
    now: number;
  }
  interface Real {
    breaker: Breaker;
  }
  const alive = (breaker: Breaker, now: number): string[] =>
    ISOLATES.filter((each) => leaseMsOf(breaker, each, now) > 0);
  const ISOLATES = ["a", "b", "c", "d", "e"];

  class Command implements fc.Command<Model, Real> {
    readonly #name: string;
    readonly #passMs: number;
    readonly #evidence: Partial<Evidence>;
    constructor(name: string, passMs: number, evidence: Partial<Evidence>) {
      this.#name = name;
      this.#passMs = passMs;
      this.#evidence = evidence;
    }
    check(): boolean {
      return true;
    }
    run(model: Model, real: Real): void {
      model.now += this.#passMs;
      const before = real.breaker;
      real.breaker = recordEvidence(before, { ...NOTHING, ...this.#evidence }, model.now);
      checkInvariants(before, real.breaker, this.#evidence, model.now);
    }
    toString(): string {
      return `${this.#name}(+${this.#passMs} ms, ${JSON.stringify(this.#evidence)})`;
    }
  }

  function checkInvariants(before: Breaker, after: Breaker, evidence: Partial<Evidence>, now: number): void {
    expect(alive(after, now).length).toBeLessThanOrEqual(1);
    // A lease that lives is not taken away from its holder by somebody else's wish.
    const [holder] = alive(before, now);
    const ended = evidence.returnsLease === true || (evidence.probeFailures ?? 0) + (evidence.probeSuccesses ?? 0) > 0;
    if (holder !== undefined && !ended) expect(alive(after, now)).toEqual([holder]);
    const state = breakerState(after, now);
    // A clock that goes back by a few seconds stretches a rest by as much.
    if (state === "open") expect(after.openUntil - now).toBeLessThanOrEqual(25_000);
    if (!before.isOpen && after.isOpen) {
      const { failures = 0, successes = 0, probeFailures = 0, probeSuccesses = 0 } = evidence;
      const window = sumWindow(before.buckets, now);
      const requests = window.successes + window.failures + failures + successes + probeFailures + probeSuccesses;
      const voters = new Set(before.votes.map((vote) => vote.isolate)).add(evidence.isolate ?? "");
      expect(requests >= 20 || voters.size >= 3).toBe(true);
    }
    // However it came here: within one ejection and one probe it is back in service.
    const halfOpenAt = now + 25_000;
    expect(breakerState(after, halfOpenAt)).not.toBe("open");
    if (!after.isOpen) return;
    const wish = { ...NOTHING, isolate: "z", wantsLease: true };
    let probing = recordEvidence(after, wish, halfOpenAt);
    let at = halfOpenAt;
    if (leaseMsOf(probing, "z", at) === 0) {
      at += 10_000;
      probing = recordEvidence(probing, wish, at);
    }
    expect(leaseMsOf(probing, "z", at)).toBeGreaterThan(0);
    expect(breakerState(recordEvidence(probing, { ...NOTHING, isolate: "z", probeSuccesses: 1 }, at + 1), at + 1)).toBe(
      "closed",
    );
  }

  const isolate = fc.constantFrom(...ISOLATES);
  const passMs = fc.oneof(fc.nat(1_000), fc.nat(30_000), fc.constantFrom(-HOUR_MS, HOUR_MS, -3_000));
  const command = (name: string, evidence: fc.Arbitrary<Partial<Evidence>>): fc.Arbitrary<fc.Command<Model, Real>> =>
    fc.tuple(passMs, isolate, evidence).map(([ms, by, what]) => new Command(name, ms, { ...what, isolate: by }));

  test("one lease at most is alive, few requests never open it, and it is never wedged", () => {
    const commands = [
      command("outcomes", fc.record({ successes: fc.nat(8), failures: fc.nat(12) })),
      command("votes", fc.record({ isPenalising: fc.boolean() })),
      command("asks", fc.constant({ wantsLease: true })),
      command("gives back", fc.constant({ returnsLease: true })),
      command("probes well", fc.constant({ probeSuccesses: 1 })),
      command("probes badly", fc.constant({ probeFailures: 1, wantsLease: true })),
    ];
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 80 }), (list) => {
        fc.modelRun(() => ({ model: { now: T0 }, real: { breaker: CLOSED_BREAKER } }), list);
      }),
      { numRuns: 200 },
    );
  });
});

describe("what only the requests of one key saw", () => {
  const ALICE: Evidence = { ...OUTAGE, failedKeys: ["alice"] };
  const openForOf = (...steps: Step[]): string | null | undefined => {
    const breaker = run(steps);
    return breaker.isOpen ? breaker.openFor : undefined;
  };

  test.each<{ name: string; steps: Step[]; openFor: string | null | undefined }>([
    { name: "opens it for that key alone", steps: [[0, ALICE]], openFor: "alice" },
    {
      name: "and of another one before opens it for all",
      steps: [
        [0, { failures: 1, failedKeys: ["bob"] }],
        [1, ALICE],
      ],
      openFor: null,
    },
    {
      name: "and of another one more than a minute before opens it for one",
      steps: [
        [0, { failures: 1, failedKeys: ["bob"] }],
        [61, ALICE],
      ],
      openFor: "alice",
    },
    {
      name: "and others in one report opens it for all",
      steps: [[0, { ...ALICE, failedKeys: ["alice", "bob"] }]],
      openFor: null,
    },
    { name: "in a report that does not say whose opens it for all", steps: [[0, OUTAGE]], openFor: null },
    {
      name: "stays with that key while others succeed",
      steps: [
        [0, ALICE],
        [1, { successes: 50 }],
        [6, { successes: 50 }],
      ],
      openFor: "alice",
    },
    {
      name: "is everybody's as soon as another one's request fails while it is open",
      steps: [
        [0, ALICE],
        [1, { failures: 1, failedKeys: ["bob"] }],
      ],
      openFor: null,
    },
    {
      name: "is everybody's as soon as another one's request fails while it is half open",
      steps: [
        [0, ALICE],
        [6, { failures: 1, failedKeys: ["bob"] }],
      ],
      openFor: null,
    },
    {
      name: "stays with that key when its probe fails",
      steps: [
        [0, ALICE],
        [6, { ...BAD_PROBE, failedKeys: ["alice"] }],
      ],
      openFor: "alice",
    },
    {
      name: "is everybody's when a probe of another one fails",
      steps: [
        [0, ALICE],
        [6, { ...BAD_PROBE, failedKeys: ["bob"] }],
      ],
      openFor: null,
    },
    {
      name: "is over when a probe succeeds",
      steps: [
        [0, ALICE],
        [6, GOOD_PROBE],
      ],
      openFor: undefined,
    },
    {
      name: "is forgotten with the window: the next outage may be everybody's",
      steps: [
        [0, ALICE],
        [6, GOOD_PROBE],
        [7, { failures: 20, failedKeys: ["bob", "carol"] }],
      ],
      openFor: null,
    },
  ])("$name", ({ steps, openFor }) => {
    expect(openForOf(...steps)).toBe(openFor);
  });
});
