import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BUDGETS_KEY } from "../../../src/budgets/record.ts";
import type { ModelFacts } from "../../../src/catalog/model-facts.ts";
import type { TargetState } from "../../../src/health/client.ts";
import { RouterError } from "../../../src/http/errors.ts";
import { stableDraw } from "../../../src/lib/stable-draw.ts";
import { DISABLED_KEY } from "../../../src/policy/disabled.ts";
import { RoutePolicy, type RouteRecord } from "../../../src/policy/schema.ts";
import { CATALOGUE_PRICES, MONEY_KEY } from "../../../src/prices/book.ts";
import { openAiProvider } from "../../../src/providers/openai/openai-compatible.ts";
import { type PlanInput, plan } from "../../../src/relay/plan.ts";
import { resolve } from "../../../src/relay/resolve.ts";
import type { Caller, Candidate, Plan, ResolvedRoute } from "../../../src/relay/types.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { type ChatRequest, parseChatRequest } from "../../../src/wires/openai-chat/request-fields.ts";
import { randomFrom } from "../../support/random.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { tries } from "../../support/tries.ts";

beforeAll(stubScheduler);
afterAll(() => void vi.unstubAllGlobals());

const IDS = ["alpha", "beta", "gamma", "delta"] as const;
/** `delta` needs a secret that nobody has set; `beta` cannot serve `n`. */
const PROVIDERS = new Map(
  IDS.map((id) => {
    const row = { id, source: "", baseUrl: "https://example.com/v1", secrets: [id === "delta" ? "MISSING" : "KEY"] };
    // Nothing is content here: what a target lacks is a wish that another one may have.
    const { refuses: _, ...provider } = openAiProvider({ ...row, ...(id === "beta" ? { cannot: ["n"] } : {}) });
    return [id as string, provider];
  }),
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
  /** Of the policy. */
  readonly fallbackEnabled?: boolean;
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly textLength?: number;
  /** By provider, or by the name of a target. */
  readonly states?: Readonly<Record<string, TargetState>>;
  readonly draw?: PlanInput["draw"];
  /** p50 by provider or name; who is missing was not measured. */
  readonly pace?: Readonly<Record<string, number>>;
  /** Names of the targets of its conversation. */
  readonly preferred?: readonly string[];
  /** Providers or names that this request may measure. */
  readonly explorable?: readonly string[];
}

function recordOf({ targets, strategy = "ordered", fallbackEnabled = true }: Setting): RouteRecord {
  return {
    env: "production",
    name: "r",
    version: 1,
    created_at: "",
    actor: "",
    policy: RoutePolicy.parse({
      targets: targets.map(({ provider, model = "m", weight = 1 }) => ({ provider, model, weight })),
      strategy,
      fallback: { enabled: fallbackEnabled },
    }),
    facts: targets.map(({ facts = {} }) => facts),
  };
}

function routeOf(setting: Setting): ResolvedRoute {
  const record = recordOf(setting);
  return {
    record,
    policy: record.policy,
    prices: CATALOGUE_PRICES,
    disabled: {},
    budgets: [],
    mayFallBack: setting.mayFallBack ?? true,
    latencyBudgetMs: null,
    spendBudgetUsd: null,
    requireToolApproval: false,
    report: false,
    tags: {},
    only: setting.only,
    avoid: setting.avoid,
  };
}

function planFor(route: ResolvedRoute, setting: Setting, chance: PlanInput["draw"] = () => 0.5): Plan {
  const { states = {}, pace = {}, explorable = [] } = setting;
  return plan({
    route,
    wire: "openai-chat",
    asked: askedInChat(setting.fields ?? {}),
    textLength: setting.textLength ?? 100,
    secrets: { KEY: "secret" },
    findProvider: (id) => PROVIDERS.get(id),
    stateOf: ({ name, target }) => states[name] ?? states[target.provider] ?? "closed",
    forecastOf: ({ name, target }) => {
      const p50Ms = pace[name] ?? pace[target.provider];
      return p50Ms === undefined ? null : { p50Ms, p95Ms: 2 * p50Ms };
    },
    mayExplore: ({ name, target }) => explorable.includes(name) || explorable.includes(target.provider),
    expectedCostOf: ({ facts: { price: known } }) => (known === undefined ? null : known.input + known.output),
    isDisabled: () => false,
    onSkipped: () => {},
    preferred: setting.preferred ?? [],
    draw: setting.draw ?? chance,
  });
}

function planOf(setting: Setting) {
  const { candidates, passedOver } = planFor(routeOf(setting), setting);
  return { order: candidates.map(({ target }) => target.provider), candidates, passedOver };
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
    { name: "a conversation stays", targets: ABC, preferred: ["gamma/m"], order: ["gamma", "alpha", "beta"] },
    {
      name: "a conversation fails over to the one that stood in",
      targets: ABC,
      preferred: ["gamma/m", "beta/m"],
      states: { gamma: "penalised" },
      order: ["beta", "alpha", "gamma"],
      passedOver: "breaker_open",
    },
    {
      name: "a conversation whose target is no candidate any more",
      targets: ABC,
      preferred: ["delta/m", "gone/m"],
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "a conversation that may not leave its target",
      targets: ABC,
      preferred: ["beta/m"],
      mayFallBack: false,
      order: ["beta"],
    },
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
      name: "weighted: all weights are 0, as in the policy",
      strategy: "weighted",
      targets: ABC.map((target) => ({ ...target, weight: 0 })),
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "cheapest: equal prices as in the policy",
      strategy: "cheapest",
      targets: ABC.map((target) => ({ ...target, facts: price(3) })),
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "fastest: by p50, unmeasured last",
      strategy: "fastest",
      targets: ABC,
      pace: { beta: 900, gamma: 200 },
      order: ["gamma", "beta", "alpha"],
    },
    {
      name: "fastest: one that may be measured first",
      strategy: "fastest",
      targets: ABC,
      pace: { alpha: 100, beta: 50 },
      explorable: ["gamma"],
      order: ["gamma", "beta", "alpha"],
    },
    {
      name: "fastest: only one is measured at a time",
      strategy: "fastest",
      targets: [...ABC, { provider: "alpha", model: "m2" }],
      pace: { "alpha/m": 100 },
      explorable: ["gamma", "beta", "alpha/m2"],
      order: ["beta", "alpha", "gamma", "alpha"],
    },
    {
      name: "fastest: a measured one is not explored",
      strategy: "fastest",
      targets: ABC,
      pace: { alpha: 300, beta: 200, gamma: 100 },
      explorable: ["alpha", "beta", "gamma"],
      order: ["gamma", "beta", "alpha"],
    },
    {
      name: "fastest: nothing is known, as in the policy",
      strategy: "fastest",
      targets: ABC,
      order: ["alpha", "beta", "gamma"],
    },
    {
      name: "fastest: the fastest is open",
      strategy: "fastest",
      targets: ABC,
      pace: { alpha: 300, beta: 200, gamma: 100 },
      states: { gamma: "open" },
      order: ["beta", "alpha"],
      passedOver: "breaker_open",
    },
    {
      name: "one that was rate limited goes behind",
      targets: ABC,
      states: { alpha: "cooling" },
      order: ["beta", "gamma", "alpha"],
      passedOver: "rate_limited",
    },
    {
      name: "of those that rest the policy's order stays",
      targets: ABC,
      states: { alpha: "penalised", beta: "cooling" },
      order: ["gamma", "alpha", "beta"],
      passedOver: "breaker_open",
    },
    {
      name: "all open but one that rests",
      targets: ABC,
      states: { alpha: "open", beta: "open", gamma: "cooling" },
      order: ["gamma"],
      passedOver: "breaker_open",
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
      textLength: 8_001,
      order: ["beta"],
      passedOver: "capability",
    },
    {
      name: "a window that may do",
      targets: [{ provider: "alpha", facts: { context_window: 1_000 } }, { provider: "beta" }],
      textLength: 8_000,
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
  type Refused = Setting & { name: string; code: string; status: number; param?: string; says?: RegExp };
  const REFUSED: Refused[] = [
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
      name: "it is longer than every window",
      targets: [
        { provider: "alpha", facts: { context_window: 4_095 } },
        { provider: "gamma", facts: { context_window: 1_000 } },
      ],
      textLength: 40_000,
      code: "context_length_exceeded",
      status: 400,
      param: "messages",
      says: /maximum context length is 4095 tokens.* about 10000/,
    },
    {
      name: "one is too small and the other has no tools: each says what it lacks",
      targets: [
        { provider: "alpha", facts: { context_window: 1_000 } },
        { provider: "gamma", facts: without("tools") },
      ],
      fields: TOOLS,
      textLength: 40_000,
      code: "no_capable_target",
      status: 400,
      says: /alpha\/m has a maximum context length of 1000 tokens.*gamma\/m cannot serve tools/,
    },
    {
      name: "all are open",
      targets: ABC,
      states: { alpha: "open", beta: "open", gamma: "open" },
      code: "all_targets_down",
      status: 503,
    },
  ];
  test.each(REFUSED)("$name: $status $code", ({ code, status, param, says = /./, ...setting }) => {
    const attempt = (): unknown => planOf(setting);
    expect(attempt).toThrow(RouterError);
    expect(attempt).toThrow(expect.objectContaining({ code, status, param: param ?? null }));
    expect(attempt).toThrow(says);
  });
});

/** Settings of every kind. Models of one provider differ, so that a name is a target. */
const anything: fc.Arbitrary<Setting> = fc
  .record({
    targets: fc.uniqueArray(
      fc.record({
        provider: fc.constantFrom(...IDS, "omega"),
        model: fc.constantFrom("m1", "m2"),
        weight: fc.nat(3),
        facts: fc.constantFrom<ModelFacts[]>({}, price(1), price(2), without("tools"), { context_window: 10 }),
      }),
      { minLength: 1, maxLength: 6, selector: ({ provider, model }) => `${provider}/${model}` },
    ),
    strategy: fc.constantFrom("ordered", "weighted", "fastest", "cheapest"),
    only: fc.option(fc.array(fc.constantFrom<string>(...IDS, "omega")), { nil: null }),
    avoid: fc.option(fc.array(fc.constantFrom<string>(...IDS, "omega"), { maxLength: 3 }), { nil: null }),
    mayFallBack: fc.boolean(),
    fields: fc.constantFrom({}, TOOLS, IMAGE, { n: 2 }, { route: { only: ["omega"] }, provider: "omega" }),
    textLength: fc.nat(120),
    states: fc.dictionary(
      fc.constantFrom(...IDS, ...IDS.map((id) => `${id}/m1`)),
      fc.constantFrom<TargetState>("closed", "penalised", "cooling", "open", "open"),
    ),
    pace: fc.dictionary(
      fc.constantFrom(...IDS.map((id) => `${id}/m1`), "alpha", "gamma"),
      fc.integer({ max: 9, min: 1 }),
    ),
    explorable: fc.subarray(["alpha/m1", "beta/m2", "gamma"]),
    seed: fc.nat(),
  })
  .map(({ seed, only, avoid, ...setting }) => ({
    ...setting,
    ...(only === null ? {} : { only }),
    ...(avoid === null ? {} : { avoid }),
    draw: memorised(seed),
  }));

/** A number for each target that stays while one setting is looked at. */
function memorised(seed: number): PlanInput["draw"] {
  const next = randomFrom(seed);
  const drawn = new Map<string, number>();
  return ({ name }) => {
    const known = drawn.get(name) ?? next();
    drawn.set(name, known);
    return known;
  };
}

const nameOf = ({ provider, model = "m" }: Setting["targets"][number]): string => `${provider}/${model}`;
const stateIn = ({ states = {} }: Setting, name: string): TargetState =>
  states[name] ?? states[name.split("/")[0] ?? ""] ?? "closed";

/** Names of the targets that are configured, left by the request, and able to serve it. By the contract's words. */
function sieved({ targets, only, avoid, fields = {}, textLength = 0 }: Setting) {
  const configured = targets.filter(({ provider }) => !["delta", "omega"].includes(provider));
  const allowed = configured.filter(({ provider }) => only?.includes(provider) !== false && !avoid?.includes(provider));
  const capable = allowed.filter(({ provider, facts = {} }) => {
    if (fields === TOOLS && facts.capabilities?.tools === false) return false;
    if ("n" in fields && provider === "beta") return false;
    return facts.context_window === undefined || textLength <= 8 * facts.context_window;
  });
  return { configured: configured.map(nameOf), allowed: allowed.map(nameOf), capable: capable.map(nameOf) };
}

/** Without its length, every target could serve the request. */
function isOnlyTooLong(setting: Setting): boolean {
  const { allowed, capable } = sieved({ ...setting, textLength: 0 });
  return capable.length === allowed.length;
}

/** The one answer that the contract has for a setting: an error code, or a list of candidates. */
function verdictOn(setting: Setting): string {
  const { configured, allowed, capable } = sieved(setting);
  if (configured.length === 0) return "no_target_configured";
  if (allowed.length === 0) return "no_capable_target";
  if (setting.mayFallBack === false || allowed.length === 1) return "sole";
  if (capable.length === 0) return isOnlyTooLong(setting) ? "context_length_exceeded" : "no_capable_target";
  if (capable.length === 1) return "sole";
  return capable.every((name) => stateIn(setting, name) === "open") ? "all_targets_down" : "list";
}

function planOrCode(setting: Setting): { readonly code: string } | { readonly code: null; readonly plan: Plan } {
  try {
    return { code: null, plan: planFor(routeOf(setting), setting) };
  } catch (error) {
    expect(error).toBeInstanceOf(RouterError);
    return { code: (error as RouterError).code };
  }
}

const REST: Readonly<Record<TargetState, number>> = { closed: 0, penalised: 1, cooling: 1, open: 2 };

test("whatever the policy, the request and the health: the right list, or the right error, and never an empty list", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(anything, (setting) => {
      const verdict = verdictOn(setting);
      seen.add(verdict);
      const result = planOrCode(setting);
      if (result.code !== null) {
        expect(result.code).toBe(verdict);
        return;
      }
      const { candidates, passedOver } = result.plan;
      const names = candidates.map(({ name }) => name);
      const { allowed, capable } = sieved(setting);
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(allowed).toContain(name);
      // Without health and abilities: what the strategy alone would say.
      const wishes = { ...setting, states: {}, fields: {}, textLength: 0, mayFallBack: true };
      const byStrategy = planFor(routeOf(wishes), wishes).candidates.map(({ name }) => name);
      expect(passedOver === null).toBe(names[0] === byStrategy[0]);
      if (verdict === "sole") {
        const isOnly = setting.mayFallBack === false || allowed.length === 1;
        expect(names).toEqual(isOnly ? byStrategy.slice(0, 1) : capable);
        return;
      }
      expect(verdict).toBe("list");
      // Every capable one that is not open, those that rest behind the others, each group as the strategy wants it.
      const rest = (name: string): number => REST[stateIn(setting, name)];
      const wanted = byStrategy.filter((name) => capable.includes(name) && rest(name) < 2);
      expect(names).toEqual([
        ...wanted.filter((name) => rest(name) === 0),
        ...wanted.filter((name) => rest(name) === 1),
      ]);
    }),
    { numRuns: 3_000 },
  );
  const codes = ["no_target_configured", "no_capable_target", "context_length_exceeded", "all_targets_down"];
  expect(seen).toEqual(new Set([...codes, "sole", "list"]));
});

const KEY = { env: "production", scopes: ["chat"], routes: null } as unknown as Caller["key"];
let resolvedCount = 0;

/** As a request of a client arrives: parsed, resolved against the published policy, planned. */
async function planOfRequest(setting: Setting, request: ChatRequest, headerControls: Caller["headerControls"]) {
  // Routes are cached by name.
  const name = `r${++resolvedCount}`;
  const record = { ...recordOf(setting), name, created_at: "2026-01-01T00:00:00Z", actor: "test" };
  const absent = new Set([MONEY_KEY, DISABLED_KEY, BUDGETS_KEY]);
  const get = async (key: string) => (absent.has(key) ? null : JSON.stringify(record));
  const kv = { get } as unknown as KVNamespace;
  const caller: Caller = {
    key: KEY,
    app: "default",
    headerControls,
    clientRequestId: null,
    sessionId: null,
    agentId: null,
  };
  const named = { ...request, model: `flow/${name}` };
  const route = await resolve(named, caller, "chat", { kv, now: 0, waitUntil: () => {} });
  const withFields = { ...setting, fields: request.fields };
  return planFor(route, withFields).candidates.map((candidate) => candidate.name);
}

const HEADER_CONTROLS = {
  fallback: fc.boolean(),
  latency_budget_ms: fc.constantFrom(1, 600_000),
  spend_budget_usd: fc.constant(0.5),
  require_tool_approval: fc.boolean(),
};
const anyHeaderControls = fc.record(HEADER_CONTROLS, { requiredKeys: [] });
const anyControls = fc.record(
  {
    ...HEADER_CONTROLS,
    only: fc.array(fc.constantFrom<string>(...IDS, "omega", "openai"), { maxLength: 8 }),
    avoid: fc.array(fc.constantFrom<string>(...IDS, "omega"), { maxLength: 2 }),
    tags: fc.constant({ provider: "omega" }),
  },
  { requiredKeys: [] },
);
const anyExtras = fc.record(
  {
    provider: fc.constant("omega"),
    models: fc.constant(["omega/m1"]),
    targets: fc.constant([{ provider: "omega", model: "m1" }]),
    base_url: fc.constant("https://omega.example/v1"),
    strategy: fc.constant("cheapest"),
    prompt_cache_key: fc.constant("omega"),
  },
  { requiredKeys: [] },
);

const PLAN_ERRORS = [...["no_target_configured", "no_capable_target", "context_length_exceeded", "all_targets_down"]];

/** Names of the candidates; none where the plan has its own words for that. */
async function namesFor(setting: Setting, body: object, headers: Caller["headerControls"]): Promise<readonly string[]> {
  const members = { model: "flow/r", messages: [{ role: "user", content: "hi" }], ...body };
  try {
    return await planOfRequest(setting, parseChatRequest(JSON.stringify(members)), headers);
  } catch (error) {
    expect(PLAN_ERRORS).toContain((error as RouterError).code);
    return [];
  }
}

test("a client can narrow the policy's targets with whatever it sends, and never widen them", async () => {
  let lists = 0;
  const anyRequest = fc.record({ body: anyControls, head: anyHeaderControls, extras: anyExtras });
  const property = fc.asyncProperty(
    anything,
    fc.boolean(),
    anyRequest,
    async (any, fallbackEnabled, { body, head, extras }) => {
      const setting = { ...any, fallbackEnabled, states: {} };
      const names = await namesFor(setting, { ...extras, route: body }, head);
      lists += Number(names.length > 1);
      const { configured } = sieved(setting);
      for (const name of names) {
        expect(configured).toContain(name);
        const [provider = ""] = name.split("/");
        expect(body.only?.includes(provider)).not.toBe(false);
        expect(body.avoid?.includes(provider)).not.toBe(true);
      }
      const mayFallBack = fallbackEnabled && (body.fallback ?? head.fallback ?? true);
      if (!mayFallBack) expect(names.length).toBeLessThanOrEqual(1);
      // What is no control changes nothing.
      expect(await namesFor(setting, { route: body }, head)).toEqual(names);
      // Nor does health ever add one.
      for (const name of await namesFor({ ...setting, states: any.states ?? {} }, { route: body }, head)) {
        if (mayFallBack) expect(names).toContain(name);
      }
    },
  );
  await fc.assert(property, { numRuns: 800 });
  expect(lists).toBeGreaterThan(10);
});

test("health never takes away a sole candidate, however it came to be the only one", () => {
  fc.assert(
    fc.property(anything, fc.constantFrom<TargetState>("closed", "penalised", "cooling", "open"), (any, state) => {
      const setting = { ...any, states: Object.fromEntries(IDS.map((id) => [id, state])) };
      fc.pre(verdictOn(setting) === "sole");
      const result = planOrCode(setting);
      expect(result.code === null && result.plan.candidates.length).toBe(1);
    }),
    { numRuns: tries(300) },
  );
});

describe("weighted", () => {
  /** How often each target comes first. */
  function sharesOf(targets: Setting["targets"], runs: number, drawOf: (run: number) => PlanInput["draw"]): number[] {
    const names = targets.map(nameOf);
    const first = names.map(() => 0);
    for (let run = 0; run < runs; run++) {
      const { candidates } = planOf({ targets, strategy: "weighted", draw: drawOf(run) });
      first[names.indexOf(candidates[0]?.name ?? "")]!++;
    }
    return first.map((count) => count / runs);
  }

  const WEIGHTS = [
    [1, 1],
    [1, 5],
    [5, 1],
    [1, 2, 5],
    [0, 1, 3],
    [0.2, 0.3, 0.5],
    [1, 1, 1, 97],
  ];
  const RUNS = 8_000;
  /** Four standard deviations of a share of `RUNS` at its widest are 2.3 %. */
  const TOLERANCE = 0.023;

  test.each(WEIGHTS.map((weights) => ({ weights })))("$weights: each comes first by its weight", ({ weights }) => {
    const targets = weights.map((weight, index) => ({ provider: "alpha", model: `m${index}`, weight }));
    const next = randomFrom(42);
    const sum = weights.reduce((total, weight) => total + weight);
    for (const [index, share] of sharesOf(targets, RUNS, () => () => next()).entries()) {
      expect(Math.abs(share - (weights[index] ?? 0) / sum)).toBeLessThan(TOLERANCE);
    }
  });

  test.each([
    { names: ["m1", "m2", "m3"] },
    { names: ["gpt-5.1", "gpt-5.2", "gpt-5.3"] },
    { names: ["1m", "2m", "3m"] },
    { names: ["m", "m-mini", "m-mini-2026"] },
  ])("sessions are shared out by weight too, whatever the names ($names)", ({ names }) => {
    const weights = [1, 2, 5];
    const targets = names.map((model, index) => ({ provider: "alpha", model, weight: weights[index] ?? 0 }));
    const shares = sharesOf(
      targets,
      RUNS,
      (run) =>
        ({ name }) =>
          stableDraw(`session-${run}`, name),
    );
    for (const [index, share] of shares.entries()) {
      expect(Math.abs(share - (weights[index] ?? 0) / 8)).toBeLessThan(TOLERANCE);
    }
  });

  test("a session stays with its target, leaves it while it is down, and comes back", () => {
    const targets = ABC.map((target, index) => ({ ...target, weight: index + 1 }));
    const orderOf = (session: string, states: Setting["states"] = {}): string[] =>
      planOf({ targets, strategy: "weighted", states, draw: ({ name }) => stableDraw(session, name) }).order;
    const homes = new Set<string>();
    for (let session = 0; session < 60; session++) {
      const order = orderOf(`session-${session}`);
      const [home = "", ...others] = order;
      homes.add(home);
      expect(orderOf(`session-${session}`)).toEqual(order);
      expect(orderOf(`session-${session}`, { [home]: "open" })).toEqual(others);
      expect(orderOf(`session-${session}`, { [home]: "penalised" })).toEqual([...others, home]);
      // The state of another one moves nobody else.
      expect(orderOf(`session-${session}`, { [others[0] ?? ""]: "open" })).toEqual([home, others[1]]);
    }
    expect(homes.size).toBe(3);
  });

  test("a draw is a number from 0 to below 1", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (session, name) => {
        const drawn = stableDraw(session, name);
        expect(drawn >= 0 && drawn < 1).toBe(true);
        expect(stableDraw(session, name)).toBe(drawn);
      }),
    );
  });
});

const ascends = (scores: readonly number[]): boolean =>
  scores.every((score, index) => index === 0 || (scores[index - 1] ?? 0) <= score);

test("cheapest: by price, unpriced last, equals in the policy's order", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(3)), { minLength: 2, maxLength: 8 }), (prices) => {
      const targets = prices.map((each, index) => ({
        provider: "alpha",
        model: `m${index}`,
        facts: each === null ? {} : price(each),
      }));
      const { candidates } = planOf({ targets, strategy: "cheapest" });
      expect(candidates).toHaveLength(prices.length);
      const at = candidates.map(({ name }) => targets.findIndex((target) => nameOf(target) === name));
      // Position counts where the price does not tell.
      expect(ascends(at.map((index) => (prices[index] ?? 1_000) * 100 + index))).toBe(true);
    }),
  );
});

test("fastest: by p50, with one unmeasured first when it may be measured, the others last", () => {
  const target = fc.record({ p50Ms: fc.option(fc.integer({ min: 1, max: 5 })), mayExplore: fc.boolean() });
  fc.assert(
    fc.property(fc.array(target, { minLength: 2, maxLength: 8 }), (all) => {
      const targets = all.map((_, index) => ({ provider: "alpha", model: `m${index}` }));
      const pace = all.flatMap(({ p50Ms }, index) => (p50Ms === null ? [] : [[`alpha/m${index}`, p50Ms]]));
      const explorable = all.flatMap((each, index) => (each.mayExplore ? [`alpha/m${index}`] : []));
      const setting = { targets, strategy: "fastest", pace: Object.fromEntries(pace), explorable };
      const at = planOf(setting).candidates.map(({ name }: Candidate) => Number(name.slice("alpha/m".length)));
      expect(at).toHaveLength(all.length);
      const explored = all.findIndex(({ p50Ms, mayExplore }) => p50Ms === null && mayExplore);
      if (explored !== -1) expect(at[0]).toBe(explored);
      const others = at.filter((index) => index !== explored);
      expect(ascends(others.map((index) => (all[index]?.p50Ms ?? 1_000) * 100 + index))).toBe(true);
    }),
  );
});
