/** Many isolates and one shared breaker on a clock of our own: what no isolate alone can show. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Breaker, breakerState, CLOSED_BREAKER, leaseMsOf, recordEvidence } from "../../../src/health/breaker.ts";
import {
  type AttemptTicket,
  adopt,
  begin,
  hasPending,
  leaseOwn,
  needsLease,
  newTargetHealth,
  record,
  stateAt,
  type TargetHealth,
  takeDelta,
} from "../../../src/health/target.ts";
import type { HealthAnswer, HealthDelta } from "../../../src/health/types.ts";
import { calm } from "./fakes.ts";

const T0 = 1_800_000_000_000;
const TARGET = "vendor/model";

interface Fleet {
  readonly isolates: number;
  /** Of each isolate, on average. */
  readonly requestEveryMs: number;
  /** Does the target answer a request that begins at this time? */
  readonly answersAt: (ms: number, random: () => number) => boolean;
  /** Can the object be reached? */
  readonly objectAt: (ms: number) => boolean;
  readonly endMs: number;
  readonly seed: number;
}

interface Seen {
  /** Start of every attempt that reached the target. */
  readonly attempts: number[];
  /** Isolates that did not hold the target for closed, sampled at every request. */
  readonly away: { readonly at: number; readonly isolate: number; readonly state: string }[];
  /** How many isolates held a lease or had a leased probe under way at the same time, at most. */
  mostLeases: number;
  readonly changes: { readonly at: number; readonly state: string }[];
}

interface Isolate {
  readonly health: TargetHealth;
  readonly id: string;
  isPosting: boolean;
}

class Simulation {
  readonly seen: Seen = { attempts: [], away: [], mostLeases: 0, changes: [] };
  readonly #fleet: Fleet;
  readonly #isolates: Isolate[];
  #events: { readonly at: number; readonly run: () => void }[] = [];
  #now = 0;
  #breaker: Breaker = CLOSED_BREAKER;
  #seed: number;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.#seed = fleet.seed;
    this.#isolates = Array.from({ length: fleet.isolates }, (_, index) => ({
      health: newTargetHealth(),
      id: `isolate-${index}`,
      isPosting: false,
    }));
  }

  run(): Seen {
    for (const index of this.#isolates.keys()) this.#requestLater(index);
    for (let event = this.#next(); event !== undefined && event.at < this.#fleet.endMs; event = this.#next()) {
      this.#now = event.at;
      event.run();
    }
    return this.seen;
  }

  /** Mulberry32. */
  #random = (): number => {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };

  /** A binary heap: the earliest first. */
  #at(delayMs: number, run: () => void): void {
    const events = this.#events;
    const event = { at: this.#now + delayMs, run };
    let index = events.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (events[parent]!.at <= event.at) break;
      events[index] = events[parent]!;
      index = parent;
    }
    events[index] = event;
  }

  #next(): { readonly at: number; readonly run: () => void } | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || last === undefined || events.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && events[child + 1]!.at < events[child]!.at) child++;
      if (events[child]!.at >= last.at) break;
      events[index] = events[child]!;
      index = child;
    }
    events[index] = last;
    return first;
  }

  #requestLater(index: number): void {
    this.#at(-Math.log(1 - this.#random()) * this.#fleet.requestEveryMs, () => {
      this.#request(index);
      this.#requestLater(index);
    });
  }

  /** A request of a route that has another target: this one gets it only while it is held for healthy. */
  #request(index: number): void {
    const isolate = this.#isolates[index]!;
    const now = T0 + this.#now;
    if (needsLease(isolate.health, now)) {
      isolate.health.pending.wantsLease = true;
      this.#postSoon(isolate);
    }
    const state = stateAt(isolate.health, now);
    if (state !== "closed") {
      this.seen.away.push({ at: this.#now, isolate: index, state });
      return;
    }
    const ticket = begin(isolate.health, TARGET, now);
    this.seen.attempts.push(this.#now);
    this.#countLeases();
    const isAnswered = this.#fleet.answersAt(this.#now, this.#random);
    this.#at(20 + this.#random() * 800, () => this.#end(isolate, ticket, isAnswered));
  }

  #end(isolate: Isolate, ticket: AttemptTicket, isAnswered: boolean): void {
    const outcome = isAnswered ? "success" : "failure";
    record(isolate.health, ticket, { outcome, latency: null, now: T0 + this.#now });
    this.#postSoon(isolate);
  }

  #postSoon(isolate: Isolate): void {
    if (isolate.isPosting || !hasPending(isolate.health)) return;
    isolate.isPosting = true;
    const delayMs = Math.max(0, isolate.health.lastPostAt + 1_000 - (T0 + this.#now));
    this.#at(delayMs, () => this.#post(isolate));
  }

  #post(isolate: Isolate): void {
    const sentAt = T0 + this.#now;
    isolate.health.lastPostAt = sentAt;
    const delta = takeDelta(isolate.health, isolate.id, sentAt);
    const wayMs = 5 + this.#random() * 150;
    if (!this.#fleet.objectAt(this.#now)) {
      this.#at(wayMs * 2, () => {
        if (delta.wantsLease) leaseOwn(isolate.health, T0 + this.#now);
        this.#posted(isolate);
      });
      return;
    }
    this.#at(wayMs, () => {
      const answer = this.#report(delta);
      this.#at(wayMs, () => {
        adopt(isolate.health, answer, sentAt, T0 + this.#now);
        this.#countLeases();
        this.#posted(isolate);
      });
    });
  }

  #posted(isolate: Isolate): void {
    isolate.isPosting = false;
    this.#postSoon(isolate);
  }

  #report(delta: HealthDelta): HealthAnswer {
    const now = T0 + this.#now;
    const before = this.#breaker;
    this.#breaker = recordEvidence(before, delta, now);
    const { isOpen, openUntil } = this.#breaker;
    if (isOpen !== before.isOpen || openUntil !== before.openUntil) {
      this.seen.changes.push({ at: this.#now, state: isOpen ? "open" : "closed" });
    }
    const leaseMs = leaseMsOf(this.#breaker, delta.isolate, now);
    return calm({ at: now, state: breakerState(this.#breaker, now), openUntil, leaseMs });
  }

  #countLeases(): void {
    const now = T0 + this.#now;
    const holders = this.#isolates.filter(({ health }) => health.isOpen && health.leaseUntil > now).length;
    this.seen.mostLeases = Math.max(this.seen.mostLeases, holders);
  }
}

const simulate = (fleet: Partial<Fleet>): Seen =>
  new Simulation({
    isolates: 200,
    requestEveryMs: 2_000,
    answersAt: () => true,
    objectAt: () => true,
    endMs: 120_000,
    seed: 1,
    ...fleet,
  }).run();

const seeds = fc.integer();
const DOWN_MS = 30_000;
const UP_MS = 65_000;
const outage = (ms: number): boolean => ms < DOWN_MS || ms >= UP_MS;
const between = (times: readonly number[], fromMs: number, toMs: number): number =>
  times.filter((at) => at >= fromMs && at < toMs).length;

test("200 isolates: an outage costs each a few requests, one probe goes at a time, and all are back soon after it", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { attempts, away, mostLeases, changes } = simulate({ seed, answersAt: outage });
      expect(mostLeases).toBe(1);
      const opened = changes.find(({ state }) => state === "open");
      expect(opened?.at).toBeGreaterThanOrEqual(DOWN_MS);
      expect(opened?.at).toBeLessThan(DOWN_MS + 4_000);
      // Who had no request since must find out once for itself.
      expect(between(attempts, DOWN_MS, UP_MS)).toBeLessThan(200 * 3);
      // After that there are only probes: one per ejection of 5, 10 and 20 s.
      expect(between(attempts, DOWN_MS + 15_000, UP_MS)).toBeLessThanOrEqual(8);
      const closed = changes.findLast(({ state }) => state === "closed");
      expect(closed?.at).toBeGreaterThan(UP_MS);
      // An ejection of 20 s and its jitter that began just before, then the probes.
      expect(closed?.at).toBeLessThan(UP_MS + 26_000);
      // Who had no request meanwhile learns with its first one.
      const late = away.filter(({ at }) => at > (closed?.at ?? 0) + 1_500);
      for (const { at, isolate } of late) {
        expect(late.filter((each) => each.isolate === isolate && each.at > at + 1_500)).toEqual([]);
      }
    }),
    { numRuns: 6 },
  );
});

test("few isolates with little traffic come back within an ejection and a probe", () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 1, max: 5 }), (seed, isolates) => {
      const fleet = { seed, isolates, requestEveryMs: 500, answersAt: outage };
      const { away, mostLeases } = simulate(fleet);
      expect(mostLeases).toBeLessThanOrEqual(1);
      expect(away.filter(({ at }) => at > UP_MS + 30_000)).toEqual([]);
    }),
    { numRuns: 30 },
  );
});

/** By then the object has heard of hundreds of requests. */
const KNOWN_MS = 4_000;

test.each([
  { failing: 0.1, isolates: 200, awayAtMost: 0.05 },
  { failing: 0.2, isolates: 1_000, awayAtMost: 0.1 },
])("a target that fails $failing of all requests of $isolates isolates stays in service", (fleet) => {
  const { failing, isolates, awayAtMost } = fleet;
  fc.assert(
    fc.property(seeds, (seed) => {
      // Of the first 20 requests alone half fail by chance, once in two hundred times, and that opens the breaker.
      const answersAt: Fleet["answersAt"] = (ms, random) => ms < KNOWN_MS || random() > failing;
      const { changes, attempts, away } = simulate({ seed, isolates, answersAt, endMs: 40_000 });
      expect(changes).toEqual([]);
      expect(away.length).toBeLessThan(attempts.length * awayAtMost);
    }),
    { numRuns: 3 },
  );
});

test("a target that flaps every 10 s gets ever fewer attempts while it fails", () => {
  const isUp = (ms: number): boolean => Math.floor(ms / 10_000) % 2 === 0;
  fc.assert(
    fc.property(seeds, (seed) => {
      const { attempts, mostLeases } = simulate({ seed, answersAt: isUp });
      expect(mostLeases).toBe(1);
      const wasted = attempts.filter((at) => !isUp(at));
      // Half of some 100 requests a second would be 6,000.
      expect(wasted.length).toBeLessThan(2_500);
    }),
    { numRuns: 3 },
  );
});

test("isolates that cannot reach the object still leave a failing target alone, and come back by themselves", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      // The object is lost while the breaker is open.
      const { attempts, away } = simulate({
        ...{ seed, isolates: 20, requestEveryMs: 250, answersAt: outage },
        objectAt: (ms) => ms < DOWN_MS + 5_000,
      });
      // 20 isolates, a probe in 3 s each, and what passes while they find out.
      expect(between(attempts, DOWN_MS + 6_000, UP_MS)).toBeLessThan(20 * 12 * 2);
      expect(away.filter(({ at }) => at > UP_MS + 10_000)).toEqual([]);
    }),
    { numRuns: 5 },
  );
});
