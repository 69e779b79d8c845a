import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { errorsOf, factsOf, isEvidence, type TraceFacts } from "../../../src/trace-index/counted-trace.ts";
import { attempt, KEY_IDS, makeTrace, TODAY, type TraceSpec } from "./fakes.ts";

function factsFor(spec: TraceSpec): TraceFacts {
  const facts = factsOf(makeTrace(spec), KEY_IDS[0]);
  if (facts === null) throw new Error("A whole trace was not read.");
  return facts;
}

describe("reading a trace", () => {
  test("keeps what filters and sums need", () => {
    const trace = makeTrace({
      status: "error",
      error_code: "upstream_failed",
      attempts: [attempt({ outcome: "timeout", winner: false, hedged: true, cost_usd: null })],
      firstTokenMs: null,
      totalMs: 1_234,
    });
    expect(factsOf(trace, KEY_IDS[1])).toEqual({
      id: trace.id,
      createdAt: TODAY + 43_200_000,
      env: "production",
      keyId: KEY_IDS[1],
      app: "studio",
      route: "flow/best-reasoning",
      routeVersion: 1,
      api: "chat",
      status: "error",
      errorCode: "upstream_failed",
      provider: "",
      model: "",
      fallback: false,
      attempts: [{ provider: "openai", model: "gpt-4o-mini", outcome: "timeout", hedged: true, nanoUsd: null }],
      usage: { prompt: 10, cached: 0, cacheWrite: 0, completion: 5, reasoning: 0 },
      tags: {},
      firstTokenMs: null,
      totalMs: 1_234,
    });
  });

  test.each([
    null,
    7,
    "text",
    [],
    {},
    { id: "tr_1" },
    { created_at: "2026-11-22T00:00:00Z" },
    { id: "x", created_at: "?" },
  ])("%j cannot be placed", (value) => {
    expect(factsOf(value, "key")).toBeNull();
  });

  test("of another version of the code it makes numbers that can be stored, and never throws", () => {
    const odd = fc.record(
      {
        id: fc.string({ minLength: 1 }),
        created_at: fc.constant("2026-11-22T00:00:00.000Z"),
        env: fc.anything(),
        route_version: fc.anything(),
        latency: fc.anything(),
        attempts: fc.oneof(fc.anything(), fc.array(fc.record({ cost_usd: fc.oneof(fc.double(), fc.anything()) }))),
      },
      { requiredKeys: ["id", "created_at"] },
    );
    fc.assert(
      fc.property(odd, (value) => {
        const facts = factsOf(value, "key");
        expect(Number.isSafeInteger(facts?.routeVersion)).toBe(true);
        for (const { nanoUsd } of facts?.attempts ?? [])
          expect(nanoUsd === null || Number.isSafeInteger(nanoUsd)).toBe(true);
      }),
    );
  });
});

test.each([
  { status: "ok", errorCode: null, counts: true },
  { status: "error", errorCode: "upstream_failed", counts: true },
  { status: "error", errorCode: null, counts: true },
  { status: "error", errorCode: "rate_limit_exceeded", counts: false },
  { status: "error", errorCode: "ledger_unavailable", counts: false },
  { status: "cancelled", errorCode: null, counts: false },
  { status: "denied", errorCode: "budget_exceeded", counts: false },
])("a request that ended $status with $errorCode counts as evidence: $counts", ({ status, errorCode, counts }) => {
  expect(isEvidence({ status, errorCode })).toBe(counts);
});

test.each<{ name: string; spec: TraceSpec; errors: readonly string[] }>([
  { name: "nothing", spec: {}, errors: [] },
  {
    name: "failures that another attempt made good",
    spec: { attempts: [attempt({ outcome: "timeout", winner: false }), attempt({ provider: "groq" })] },
    errors: ["timeout openai"],
  },
  {
    name: "nothing of an attempt that was ended because it was not needed",
    spec: { attempts: [attempt({ outcome: "cancelled", winner: false }), attempt()] },
    errors: [],
  },
  {
    name: "the code of a request that came to no attempt",
    spec: { status: "error", error_code: "all_targets_down", attempts: [] },
    errors: ["all_targets_down null"],
  },
])("of a request there is told: $name", ({ spec, errors }) => {
  expect(errorsOf(factsFor(spec)).map((error) => `${error.class} ${error.provider}`)).toEqual(errors);
});
