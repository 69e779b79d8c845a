import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ModelFacts } from "../../../src/catalog/facts.ts";
import { type PlanInput, plan } from "../../../src/chat/plan.ts";
import type { ResolvedRoute } from "../../../src/chat/stages.ts";
import { RouterError } from "../../../src/errors.ts";
import type { TargetState } from "../../../src/health/client.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";
import { openAiProvider } from "../../../src/providers/openai-compatible.ts";
import { randomFrom } from "../../support/random.ts";

const IDS = ["alpha", "beta", "gamma", "delta"] as const;
/** `delta` needs a secret that nobody has set; `beta` cannot serve `n`. */
const PROVIDERS = new Map(
  IDS.map((id) => [
    id as string,
    openAiProvider({
      id,
      source: "",
      baseUrl: "https://example.com/v1",
      secrets: [id === "delta" ? "MISSING" : "KEY"],
      ...(id === "beta" ? { cannot: ["n"] } : {}),
    }),
  ]),
);

interface Setting {
  readonly targets: readonly {
    readonly provider: string;
    readonly model?: string;
    readonly weight?: number;
    readonly facts?: ModelFacts;
  }[];
  readonly strategy?: string;
  readonly only?: readonly string[];
  readonly avoid?: readonly string[];
  readonly mayFallBack?: boolean;
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly bodyLength?: number;
  readonly states?: Readonly<Record<string, TargetState>>;
  readonly draw?: PlanInput["draw"];
}

function planOf(setting: Setting) {
  const targets = setting.targets.map(({ provider, model = "m", weight = 1 }) => ({ provider, model, weight }));
  const policy = RoutePolicy.parse({ targets, strategy: setting.strategy ?? "ordered" });
  const route: ResolvedRoute = {
    record: {
      env: "production",
      name: "r",
      version: 1,
      created_at: "",
      actor: "",
      policy,
      facts: setting.targets.map(({ facts = {} }) => facts),
    },
    policy,
    mayFallBack: setting.mayFallBack ?? true,
    latencyBudgetMs: null,
    requireToolApproval: false,
    only: setting.only,
    avoid: setting.avoid,
  };
  const { candidates, passedOver } = plan({
    route,
    fields: setting.fields ?? {},
    bodyLength: setting.bodyLength ?? 100,
    secrets: { KEY: "secret" },
    findProvider: (id) => PROVIDERS.get(id),
    stateOf: ({ provider }) => setting.states?.[provider] ?? "closed",
    draw: setting.draw ?? (() => 0.5),
  });
  return { order: candidates.map(({ target }) => target.provider), models: candidates, passedOver };
}

const ABC = [{ provider: "alpha" }, { provider: "beta" }, { provider: "gamma" }];
const price = (input: number) => ({ price: { input, output: input } }) as ModelFacts;
const without = (capability: string) => ({ capabilities: { [capability]: false } }) as ModelFacts;
const TOOLS = { tools: [{ type: "function", function: { name: "f" } }] };
const IMAGE = { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] };

describe("order", () => {
  const CASES: (Setting & { name: string; order: string[]; passedOver?: string | null })[] = [
    { name: "ordered: as in the policy", targets: ABC, order: ["alpha", "beta", "gamma"] },
    { name: "without fallback only the first", targets: ABC, mayFallBack: false, order: ["alpha"] },
    { name: "only narrows, in the policy's order", targets: ABC, only: ["gamma", "alpha"], order: ["alpha", "gamma"] },
    { name: "avoid narrows", targets: ABC, avoid: ["alpha"], order: ["beta", "gamma"] },
    {
      name: "without a secret no candidate",
      targets: [{ provider: "delta" }, ...ABC],
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "an unknown provider is no candidate",
      targets: [{ provider: "omega" }, { provider: "beta" }],
      order: ["beta"],
    },
    {
      name: "cheapest: by price, unknown prices last",
      strategy: "cheapest",
      targets: [{ provider: "alpha" }, { provider: "beta", facts: price(9) }, { provider: "gamma", facts: price(2) }],
      order: ["gamma", "beta", "alpha"],
    },
    {
      name: "weighted: equal draws go by weight",
      strategy: "weighted",
      targets: [
        { provider: "alpha", weight: 1 },
        { provider: "beta", weight: 5 },
      ],
      order: ["beta", "alpha"],
    },
    {
      name: "weighted: a weight of 0 is only a fallback",
      strategy: "weighted",
      targets: [{ provider: "alpha", weight: 0 }, { provider: "beta" }],
      order: ["beta", "alpha"],
    },
    {
      name: "one that rests goes behind",
      targets: ABC,
      states: { alpha: "penalised" },
      order: ["beta", "gamma", "alpha"],
      passedOver: "breaker_open",
    },
    {
      name: "an open one goes away",
      targets: ABC,
      states: { alpha: "open" },
      order: ["beta", "gamma"],
      passedOver: "breaker_open",
    },
    {
      name: "one that rests further down is no matter",
      targets: ABC,
      states: { beta: "penalised" },
      order: ["alpha", "gamma", "beta"],
    },
    {
      name: "all rest: as in the policy",
      targets: ABC,
      states: { alpha: "penalised", beta: "penalised", gamma: "penalised" },
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "a sole candidate is asked even when open",
      targets: [{ provider: "alpha" }],
      states: { alpha: "open" },
      order: ["alpha"],
    },
    {
      name: "the only one left by route.only, too",
      targets: ABC,
      only: ["beta"],
      states: { beta: "open" },
      order: ["beta"],
    },
    {
      name: "the only capable one, too",
      targets: [{ provider: "alpha" }, { provider: "beta" }],
      fields: { n: 2 },
      states: { alpha: "open" },
      order: ["alpha"],
    },
    {
      name: "the first without fallback, too",
      targets: ABC,
      mayFallBack: false,
      states: { alpha: "open" },
      order: ["alpha"],
    },
    {
      name: "tools are known to be missing",
      targets: [{ provider: "alpha", facts: without("tools") }, { provider: "beta" }],
      fields: TOOLS,
      order: ["beta"],
      passedOver: "capability",
    },
    {
      name: "an empty list of tools needs none",
      targets: [{ provider: "alpha", facts: without("tools") }, { provider: "beta" }],
      fields: { tools: [] },
      order: ["alpha", "beta"],
    },
    {
      name: "a JSON schema is known to be missing",
      targets: [{ provider: "alpha", facts: without("json_schema") }, { provider: "beta" }],
      fields: { response_format: { type: "json_schema" } },
      order: ["beta"],
      passedOver: "capability",
    },
    {
      name: "vision is known to be missing",
      targets: [{ provider: "alpha", facts: without("vision") }, { provider: "beta" }],
      fields: IMAGE,
      order: ["beta"],
      passedOver: "capability",
    },
    {
      name: "the vendor cannot, whatever the model",
      targets: [{ provider: "beta" }, { provider: "alpha" }],
      fields: { n: 2 },
      order: ["alpha"],
      passedOver: "capability",
    },
    {
      name: "a window that is surely too small",
      targets: [{ provider: "alpha", facts: { context_window: 1_000 } }, { provider: "beta" }],
      bodyLength: 8_001,
      order: ["beta"],
      passedOver: "capability",
    },
    {
      name: "a window that may do",
      targets: [{ provider: "alpha", facts: { context_window: 1_000 } }, { provider: "beta" }],
      bodyLength: 8_000,
      order: ["alpha", "beta"],
    },
    {
      name: "a sole candidate is tried whatever is known of it",
      targets: [{ provider: "beta", facts: { ...without("tools"), context_window: 1 } }],
      fields: { ...TOOLS, n: 2 },
      order: ["beta"],
    },
  ];
  test.each(CASES)("$name", ({ order, passedOver = null, ...setting }) => {
    expect(planOf(setting)).toMatchObject({ order, passedOver });
  });
});

describe("refusals", () => {
  const REFUSED: (Setting & { name: string; code: string; status: number; param?: string })[] = [
    { name: "no target has its secret", targets: [{ provider: "delta" }], code: "no_target_configured", status: 503 },
    {
      name: "no secret comes before route.only",
      targets: [{ provider: "delta" }],
      only: ["alpha"],
      code: "no_target_configured",
      status: 503,
    },
    {
      name: "route.only names none",
      targets: ABC,
      only: ["delta"],
      code: "no_capable_target",
      status: 400,
      param: "route.only",
    },
    {
      name: "route.only is empty",
      targets: ABC,
      only: [],
      code: "no_capable_target",
      status: 400,
      param: "route.only",
    },
    {
      name: "route.avoid names all",
      targets: ABC,
      avoid: [...IDS],
      code: "no_capable_target",
      status: 400,
      param: "route.avoid",
    },
    {
      name: "all are known not to serve it",
      targets: [
        { provider: "alpha", facts: without("tools") },
        { provider: "gamma", facts: without("tools") },
      ],
      fields: TOOLS,
      code: "no_capable_target",
      status: 400,
    },
    {
      name: "all are open",
      targets: ABC,
      states: { alpha: "open", beta: "open", gamma: "open" },
      code: "all_targets_down",
      status: 503,
    },
  ];
  test.each(REFUSED)("$name: $status $code", ({ code, status, param, ...setting }) => {
    const attempt = (): unknown => planOf(setting);
    expect(attempt).toThrow(RouterError);
    expect(attempt).toThrow(expect.objectContaining({ code, status, param: param ?? null }));
  });
});

const anything = fc.record({
  targets: fc.array(
    fc.record({
      provider: fc.constantFrom(...IDS),
      model: fc.constantFrom("m1", "m2"),
      weight: fc.nat(3),
      facts: fc.constantFrom<ModelFacts[]>({}, price(1), without("tools"), { context_window: 10 }),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  strategy: fc.constantFrom("ordered", "weighted", "fastest", "cheapest"),
  only: fc.option(fc.array(fc.constantFrom<string>(...IDS, "omega")), { nil: undefined }),
  avoid: fc.option(fc.array(fc.constantFrom<string>(...IDS, "omega")), { nil: undefined }),
  mayFallBack: fc.boolean(),
  fields: fc.constantFrom(
    {},
    TOOLS,
    IMAGE,
    { n: 2 },
    { route: { only: ["omega"] }, provider: "omega", model: "omega/x" },
  ),
  bodyLength: fc.nat(200),
  states: fc.dictionary(fc.constantFrom(...IDS), fc.constantFrom<TargetState>("closed", "penalised", "open")),
  seed: fc.nat(),
});

test("whatever a request says, candidates are targets of the policy, each at most once, narrowed as asked", () => {
  fc.assert(
    fc.property(anything, ({ seed, only, avoid, ...setting }) => {
      const draw = randomFrom(seed);
      const narrowed = { ...(only === undefined ? {} : { only }), ...(avoid === undefined ? {} : { avoid }) };
      let planned: ReturnType<typeof planOf>;
      try {
        planned = planOf({ ...setting, ...narrowed, draw });
      } catch (error) {
        expect(error).toBeInstanceOf(RouterError);
        return;
      }
      const left = setting.targets.map(({ provider, model }) => `${provider}/${model}`);
      for (const { target } of planned.models) {
        const at = left.indexOf(`${target.provider}/${target.model}`);
        expect(at).toBeGreaterThanOrEqual(0);
        left.splice(at, 1);
        expect(target.provider).not.toBe("delta");
        if (only !== undefined) expect(only).toContain(target.provider);
        if (avoid !== undefined) expect(avoid).not.toContain(target.provider);
      }
      expect(planned.order.length).toBeGreaterThanOrEqual(1);
      if (!setting.mayFallBack) expect(planned.order).toHaveLength(1);
    }),
    { numRuns: 3_000 },
  );
});

test("health never leaves a sole candidate out", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("alpha", "beta", "gamma"),
      fc.constantFrom<TargetState>("closed", "penalised", "open"),
      (provider, state) => {
        expect(planOf({ targets: [{ provider }], states: { [provider]: state } })).toMatchObject({
          order: [provider],
          passedOver: null,
        });
      },
    ),
  );
});

test("weighted: each target comes first in proportion to its weight", () => {
  const weights = { alpha: 1, beta: 2, gamma: 5 };
  const targets = Object.entries(weights).map(([provider, weight]) => ({ provider, weight }));
  const first: Record<string, number> = { alpha: 0, beta: 0, gamma: 0 };
  const draw = randomFrom(42);
  const runs = 16_000;
  for (let run = 0; run < runs; run++) {
    const [winner = ""] = planOf({ targets, strategy: "weighted", draw }).order;
    first[winner] = (first[winner] ?? 0) + 1;
  }
  // Four standard deviations are 1.6 % of the runs at most.
  for (const [provider, weight] of Object.entries(weights)) {
    expect(Math.abs((first[provider] ?? 0) / runs - weight / 8)).toBeLessThan(0.016);
  }
});

test("weighted: the same draws give the same order, so a session stays where it is", () => {
  const targets = ABC.map((target, index) => ({ ...target, weight: index + 1 }));
  const draw: PlanInput["draw"] = ({ provider }) => ({ alpha: 0.1, beta: 0.8, gamma: 0.9 })[provider] ?? 0;
  const orders = Array.from({ length: 10 }, () => planOf({ targets, strategy: "weighted", draw }).order.join());
  expect(new Set(orders)).toEqual(new Set(["alpha,gamma,beta"]));
});
