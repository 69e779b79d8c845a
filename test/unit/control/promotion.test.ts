/** Which gates a promotion has, and what passes them. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_MIN_REQUESTS, demandsOf, type Figures, judge } from "../../../src/control/promotion.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";

type Promotion = RoutePolicy["promotion"];

const promotion = (members: Partial<Promotion> = {}): Promotion =>
  RoutePolicy.parse({ targets: [{ provider: "openai", model: "a" }], promotion: members }).promotion;

const GOOD: Figures = {
  requests: 100,
  success_rate: 1,
  success_lower_bound: 0.963,
  total_ms: { p95: 900 },
  cost_usd_per_request: 0.001,
};
const NOTHING: Figures = {
  requests: 0,
  success_rate: null,
  success_lower_bound: 0,
  total_ms: null,
  cost_usd_per_request: null,
};

test("the default number of requests is that of the policy's schema", () => {
  expect(promotion().min_requests).toBe(DEFAULT_MIN_REQUESTS);
});

test.each<{
  name: string;
  policies: readonly Partial<Promotion>[];
  gates: Record<string, number>;
  windowHours: number;
}>([
  { name: "nobody asks: no gates", policies: [{}, {}], gates: {}, windowHours: 24 },
  { name: "a window alone asks for nothing", policies: [{ window_hours: 3 }], gates: {}, windowHours: 3 },
  {
    name: "required asks for the default number of requests",
    policies: [{}, { required: true }],
    gates: { min_requests: 20 },
    windowHours: 24,
  },
  {
    name: "a gate brings its policy's number of requests with it",
    policies: [{ min_success_rate: 0.9 }],
    gates: { min_requests: 20, min_success_rate: 0.9 },
    windowHours: 24,
  },
  {
    name: "the defaults of a policy that asks for nothing have no say",
    policies: [{ min_requests: 5, window_hours: 168, max_p95_latency_ms: 100 }, {}],
    gates: { min_requests: 5, max_p95_latency_ms: 100 },
    windowHours: 168,
  },
  {
    name: "of every field the stricter counts, whichever policy it stands in",
    policies: [
      { min_requests: 50, min_success_rate: 0.9, max_p95_latency_ms: 500, window_hours: 12 },
      { min_requests: 30, min_success_rate: 0.99, max_p95_latency_ms: 900, max_cost_usd_per_request: 1 },
    ],
    gates: { min_requests: 50, min_success_rate: 0.99, max_p95_latency_ms: 500, max_cost_usd_per_request: 1 },
    windowHours: 12,
  },
])("$name", ({ policies, gates, windowHours }) => {
  const demands = demandsOf(policies.map(promotion));
  expect(Object.fromEntries(demands.gates.map(({ name, wanted }) => [name, wanted]))).toEqual(gates);
  expect(demands.windowHours).toBe(windowHours);
});

const EVERY_GATE = promotion({
  min_requests: 100,
  min_success_rate: 1,
  min_success_lower_bound: 0.963,
  max_p95_latency_ms: 900,
  max_cost_usd_per_request: 0.001,
});

test("figures that just reach every gate pass", () => {
  expect(judge(demandsOf([EVERY_GATE]).gates, GOOD).map(({ passed }) => passed)).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
});

test.each<{ name: string; figures: Partial<Figures> }>([
  { name: "min_requests", figures: { requests: 99 } },
  { name: "min_success_rate", figures: { success_rate: 0.999 } },
  { name: "min_success_lower_bound", figures: { success_lower_bound: 0.962 } },
  { name: "max_p95_latency_ms", figures: { total_ms: { p95: 901 } } },
  { name: "max_cost_usd_per_request", figures: { cost_usd_per_request: 0.002 } },
  { name: "max_cost_usd_per_request", figures: { cost_usd_per_request: null } },
  { name: "max_p95_latency_ms", figures: { total_ms: null } },
])("$figures fails $name and no other", ({ name, figures }) => {
  const failed = judge(demandsOf([EVERY_GATE]).gates, { ...GOOD, ...figures }).filter(({ passed }) => !passed);
  expect(failed.map((gate) => gate.name)).toEqual([name]);
});

const anyPromotion = fc
  .record(
    {
      required: fc.boolean(),
      window_hours: fc.integer({ min: 1, max: 720 }),
      min_requests: fc.integer({ min: 1, max: 100 }),
      min_success_rate: fc.integer({ min: 0, max: 10 }).map((tenth) => tenth / 10),
      min_success_lower_bound: fc.integer({ min: 0, max: 10 }).map((tenth) => tenth / 10),
      max_p95_latency_ms: fc.integer({ min: 1, max: 1_000 }),
      max_cost_usd_per_request: fc.integer({ min: 1, max: 10 }),
    },
    { requiredKeys: [] },
  )
  .map(promotion);
const anyFigures: fc.Arbitrary<Figures> = fc.record({
  requests: fc.integer({ min: 0, max: 100 }),
  success_rate: fc.option(fc.integer({ min: 0, max: 10 }).map((tenth) => tenth / 10)),
  success_lower_bound: fc.integer({ min: 0, max: 10 }).map((tenth) => tenth / 10),
  total_ms: fc.option(fc.record({ p95: fc.integer({ min: 1, max: 1_000 }) })),
  cost_usd_per_request: fc.option(fc.integer({ min: 0, max: 10 })),
});
const passes = (policies: readonly Promotion[], figures: Figures | null): boolean =>
  judge(demandsOf(policies).gates, figures).every(({ passed }) => passed);

test("two policies together pass exactly what each alone would pass", () => {
  fc.assert(
    fc.property(anyPromotion, anyPromotion, anyFigures, (one, other, figures) => {
      const both = passes([one, other], figures);
      expect(both).toBe(passes([one], figures) && passes([other], figures));
      expect(demandsOf([one, other])).toEqual(demandsOf([other, one]));
    }),
  );
});

test("no evidence, or evidence of nothing, passes no gate at all", () => {
  fc.assert(
    fc.property(anyPromotion, (one) => {
      for (const figures of [null, NOTHING]) {
        for (const { measured, passed } of judge(demandsOf([one]).gates, figures)) {
          expect([passed, measured === null || measured === 0]).toEqual([false, true]);
        }
      }
    }),
  );
});
