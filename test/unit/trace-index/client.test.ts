import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DAY_MS } from "../../../src/trace-index/calendar.ts";
import { evidenceOf, queryTraces, type TraceListQuery } from "../../../src/trace-index/client.ts";
import { comparePositions } from "../../../src/trace-index/cursor.ts";
import type { Trace } from "../../../src/traces/schema.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { tries } from "../../support/tries.ts";
import { type FakeTrails, fakeTrails, makeTrace, TODAY, traceOf } from "./fakes.ts";

const ENVS = ["production", "staging"];
/** In the afternoon, so that the newest day is not a whole one. */
const NOW = TODAY + 50_000_000;
const ROOMY = { bodies: 10_000, slack: 100, answerLength: 1_000_000, names: 2_000, rows: 50_000 };

beforeEach(() => stubScheduler());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Every page of a list, as a client would read it. */
async function readAll(
  trails: FakeTrails,
  query: Partial<TraceListQuery> & { readonly limit: number },
  between: (page: number) => void = () => {},
): Promise<string[]> {
  const seen: string[] = [];
  let after: TraceListQuery["after"];
  for (let page = 0; page < 500; page++) {
    const { traces, next } = await queryTraces(trails.namespace, { envs: ENVS, now: NOW, ...query, after });
    expect(traces.length).toBeLessThanOrEqual(query.limit);
    seen.push(...traces.map((text) => (JSON.parse(text) as Trace).id));
    if (next === null) return seen;
    after = next;
    between(page);
  }
  throw new Error("The list does not end.");
}

const idsOf = (traces: readonly Trace[]): string[] =>
  traces
    .map(({ id, created_at }) => ({ id, createdAt: Date.parse(created_at) }))
    .sort(comparePositions)
    .map(({ id }) => id);

/** Traces of several days and both environments. */
const anyTraces = fc.array(
  fc.tuple(fc.nat(3), fc.constantFrom(...ENVS)).chain(([age, env]) => traceOf(TODAY - age * 9 * DAY_MS, env)),
  { maxLength: 25 },
);

describe("the list", () => {
  test("is one over all days and environments, whatever the size of its pages and answers", async () => {
    const answerLength = fc.constantFrom(1_000_000, 1, 2_500);
    await fc.assert(
      fc.asyncProperty(anyTraces, fc.integer({ min: 1, max: 9 }), answerLength, async (traces, limit, length) => {
        const trails = fakeTrails({ ...ROOMY, answerLength: length });
        trails.ingest(traces);
        expect(await readAll(trails, { limit })).toEqual(idsOf(traces));
      }),
      { numRuns: tries(60) },
    );
  });

  test("goes on where it was, though newer and older traces arrive between its pages", async () => {
    const trails = fakeTrails(ROOMY);
    const known = Array.from({ length: 12 }, (_, at) => makeTrace({ at: TODAY + at * 1_000 }));
    trails.ingest(known);
    const late = makeTrace({ at: TODAY - 1 });
    const seen = await readAll(trails, { limit: 5 }, (page) => {
      trails.ingest([makeTrace({ at: TODAY + 40_000_000 + page }), ...(page === 0 ? [late] : [])]);
    });
    expect(seen).toEqual([...idsOf(known), late.id]);
  });

  test("asks no more days than it needs, and a few at a time", async () => {
    const trails = fakeTrails(ROOMY);
    trails.ingest(Array.from({ length: 30 }, () => makeTrace()));
    const { next } = await queryTraces(trails.namespace, { envs: ["production"], now: NOW, limit: 20 });
    expect(next).not.toBeNull();
    expect(trails.asked).toEqual(["production:2026-11-22"]);
    trails.asked.length = 0;
    trails.onCall = () => new Promise((resolve) => setTimeout(resolve, 1));
    await queryTraces(trails.namespace, { envs: ENVS, now: NOW, limit: 1_000 });
    expect(trails.asked).toHaveLength(62);
    expect(new Set(trails.asked).size).toBe(62);
    expect(trails.mostAtOnce()).toBe(6);
  });

  test("asks only the days of its window and, on a later page, none that is newer", async () => {
    const trails = fakeTrails(ROOMY);
    const query = { envs: ["production"], now: NOW, limit: 5 };
    await queryTraces(trails.namespace, { ...query, since: TODAY - 2 * DAY_MS, until: TODAY });
    expect(trails.asked).toEqual(["production:2026-11-21", "production:2026-11-20"]);
    trails.asked.length = 0;
    const after = { createdAt: TODAY - DAY_MS, id: "tr_x" };
    await queryTraces(trails.namespace, { ...query, since: TODAY - 2 * DAY_MS, after });
    expect(trails.asked).toEqual(["production:2026-11-21", "production:2026-11-20"]);
  });

  test("ends a page after three seconds, and says where the next one begins", async () => {
    const trails = fakeTrails(ROOMY);
    const old = makeTrace({ at: TODAY - 29 * DAY_MS, session_id: "s-1" });
    trails.ingest([makeTrace(), old]);
    vi.useFakeTimers({ toFake: ["Date"], now: NOW });
    trails.onCall = async () => {
      vi.setSystemTime(Date.now() + 400);
    };
    const first = await queryTraces(trails.namespace, { envs: ENVS, now: NOW, limit: 5, session: "s-1" });
    expect(first.traces).toEqual([]);
    expect(first.next).toMatchObject({ id: "" });
    expect(trails.asked.length).toBeLessThan(20);
    expect(await readAll(trails, { limit: 5, session: "s-1" })).toEqual([old.id]);
  });

  test("says until when it is complete: 5 seconds ago", async () => {
    const { asOf } = await queryTraces(fakeTrails().namespace, { envs: ENVS, now: NOW, limit: 5 });
    expect(Date.parse(asOf)).toBe(NOW - 5_000);
  });
});

describe("evidence", () => {
  test("is of exactly one version and environment, over the hours of its window", async () => {
    const trails = fakeTrails(ROOMY);
    const flawless = Array.from({ length: 30 }, (_, at) => makeTrace({ at: NOW - at * 2_000_000, route_version: 7 }));
    trails.ingest([
      ...flawless,
      makeTrace({ at: NOW - 25 * 3_600_000, route_version: 7, status: "error" }),
      makeTrace({ at: NOW, route_version: 8, status: "error" }),
      makeTrace({ at: NOW, route_version: 7, env: "staging", status: "error" }),
      makeTrace({ at: NOW, route_version: 7, route: "flow/fast-eval", status: "error" }),
      makeTrace({ at: NOW, route_version: 7, status: "cancelled" }),
    ]);
    const evidence = await evidenceOf(trails.namespace, "production", "best-reasoning", 7, 24, NOW);
    expect(evidence).toMatchObject({ version: 7, requests: 30, success_rate: 1, cost_usd_per_request: 0.000_001 });
    expect(evidence.success_lower_bound).toBeCloseTo(0.886, 3);
    const { hours, since, until } = evidence.window;
    expect([hours, Date.parse(until)]).toEqual([24, NOW]);
    const extraMs = NOW - 24 * 3_600_000 - Date.parse(since);
    expect(extraMs).toBeGreaterThanOrEqual(0);
    expect(extraMs).toBeLessThan(600_000);
    expect(trails.asked).toEqual(["production:2026-11-22", "production:2026-11-21"]);
  });

  test("of 30 days asks each of them", async () => {
    const trails = fakeTrails(ROOMY);
    expect((await evidenceOf(trails.namespace, "production", "fast-eval", 1, 720, NOW)).requests).toBe(0);
    expect(trails.asked).toHaveLength(31);
  });
});

describe("an object that does not answer", () => {
  const query = (trails: FakeTrails, hours = 1) =>
    evidenceOf(trails.namespace, "production", "best-reasoning", 1, hours, NOW);

  test("is asked once more", async () => {
    const trails = fakeTrails(ROOMY);
    trails.ingest([makeTrace()]);
    let failures = 0;
    trails.onCall = async () => {
      if (failures++ === 0) throw new Error("The object was reset.");
    };
    expect((await query(trails, 24)).requests).toBe(1);
  });

  test("fails the question: an answer with a hole would look complete", async () => {
    const trails = fakeTrails(ROOMY);
    trails.onCall = async (name) => {
      if (name.endsWith("-20")) throw new Error("secret of the object");
    };
    const asked = query(trails, 9 * 24);
    await expect(asked).rejects.toMatchObject({ code: "ledger_unavailable" });
    await expect(asked).rejects.not.toThrow(/secret/);
  });

  test("and is overloaded is left alone", async () => {
    const trails = fakeTrails(ROOMY);
    trails.onCall = async () => {
      throw Object.assign(new Error("overloaded"), { overloaded: true });
    };
    await expect(query(trails)).rejects.toMatchObject({ code: "ledger_unavailable" });
    expect(trails.asked).toHaveLength(1);
  });

  test("holds the question up for 5 seconds at most", async () => {
    vi.useFakeTimers();
    const trails = fakeTrails(ROOMY);
    trails.onCall = () => new Promise(() => {});
    const refused = expect(query(trails)).rejects.toMatchObject({ code: "ledger_unavailable" });
    await vi.advanceTimersByTimeAsync(5_000);
    await refused;
  });
});
