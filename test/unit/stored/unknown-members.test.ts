/** Every stored record with a member that this release does not know, at every level: it is read as without it. */
import { describe, expect, test, vi } from "vitest";
import { CallRecord } from "../../../src/approvals/record.ts";
import { BudgetList } from "../../../src/budgets/record.ts";
import { HealthTables } from "../../../src/health/health-schema.sql.ts";
import { KeyRecord } from "../../../src/keys/record.ts";
import { readStored } from "../../../src/lib/stored.ts";
import { AliasIndex } from "../../../src/policy/aliases.ts";
import { DisabledIndex } from "../../../src/policy/disabled.ts";
import { ProviderRecord } from "../../../src/policy/provider-record.ts";
import { RouteIndex, RoutePolicy, RouteRecord } from "../../../src/policy/schema.ts";
import { MoneyRecord } from "../../../src/prices/book.ts";
import { TrailStore } from "../../../src/trace-index/store/store.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";
import { startSql as startControlSql, startTables } from "../control/fakes.ts";
import { openBooks, reservation, settleRow, startStore, T0, termsOf, traceId } from "../ledger/fakes.ts";
import { DAY, makeTrace, spendOf, startSql as startTrailSql, TODAY } from "../trace-index/fakes.ts";
import { everyLevel } from "./levels.ts";

provideWorkerdCrypto();

const FACTS = {
  context_window: 128_000,
  capabilities: { tools: true, vision: false },
  price: {
    ...{ input: 1, output: 2, cache_read: 1, tiers: [{ above: 10, input: 2, output: 4 }] },
    ...{ until: [{ date: "2027-01-01", input: 1 }], hours: { days: [1], minutes: [[0, 60]], input: 1, output: 1 } },
    ...{ service: { flex: [1, 2], priority: { input: 3, output: 3 } }, fees: { web_search: 5 } },
  },
};
const POLICY = RoutePolicy.parse({
  targets: [{ provider: "openai", model: "a", params: { x: { y: 1 } } }],
  ...{ description: "d", latency: { budget_ms: 5 }, limits: { part_tokens: { image: 1 }, tool_tokens: { web: 1 } } },
  ...{ promotion: { required: ["production"], min_success_rate: 0.9 }, aliases: ["gpt-5"] },
});
const UNGUARDED = RoutePolicy.parse({ ...POLICY, promotion: {} });
const ROUTE = {
  ...{ env: "production", name: "fast", version: 3, created_at: "2026-11-22T00:00:00.000Z", actor: "ann" },
  ...{ policy: POLICY, facts: [FACTS] },
};
const KEY = {
  ...{ id: "abcdefghijkl", name: "web", env: "production", apps: ["a"], routes: null, scopes: ["chat"] },
  budget: { limit_usd: 1, period: "day" },
  limits: { requests_per_minute: 1, tokens_per_minute: 2, concurrency: 3 },
  ...{ status: "active", created_at: "2026-11-22T00:00:00.000Z", expires_at: null, version: 2 },
  secrets: [
    { hash: "aa", expires_at: null },
    { hash: "bb", expires_at: "2026-12-01T00:00:00.000Z" },
  ],
};
const INDEX = [
  {
    ...{ name: "fast", version: 3, created_at: ROUTE.created_at, description: "d", aliases: ["gpt-5"] },
    targets: [{ provider: "openai", model: "a", facts: FACTS }],
  },
];

/** What KV holds. `open`: members whose keys callers choose. */
const IN_KV = [
  { name: "a key", schema: KeyRecord, value: KEY, open: [] },
  { name: "a route", schema: RouteRecord, value: ROUTE, open: ["params", "service", "tool_tokens"] },
  { name: "the list of routes", schema: RouteIndex, value: INDEX, open: ["service"] },
  {
    name: "the prices of operators",
    schema: MoneyRecord,
    value: { prices: { "openai/a": [{ id: "pr_1", from: 5, until: null, price: FACTS.price }] }, spend_tags: ["team"] },
    open: ["prices", "service"],
  },
  {
    name: "the budgets above keys",
    schema: BudgetList,
    value: [
      {
        ...{ id: "team", limit_usd: 5, period: "month", time_zone: "Europe/Berlin", on_exceeded: "deny" },
        scope: { env: "production", app: "web", keys: ["abcdefghijkl"], tag: { name: "team", value: "a" } },
        ...{ version: 2, era: 1, tag_since: 5, created_at: ROUTE.created_at, updated_at: ROUTE.created_at },
      },
    ],
    open: [],
  },
  { name: "the aliases", schema: AliasIndex, value: { "gpt-5": "fast" }, open: [] },
  {
    name: "an operator's provider",
    schema: ProviderRecord,
    value: { id: "acme", protocol: "openai", base_url: "https://acme.example/v1", secret: "UPSTREAM_ACME" },
    open: [],
  },
] as const;

describe.each(IN_KV.filter(({ name }) => name !== "the aliases"))("$name in KV", ({ schema, value, open }) => {
  const plain = readStored(schema, structuredClone(value));
  test.each(everyLevel(value, open))("with an unknown member at $at", ({ value: wider }) => {
    expect(readStored(schema, structuredClone(wider))).toEqual(plain);
  });
});

// The outermost level is a map of targets: a further name is one more target, and no member.
test.each(everyLevel({ until: 5 }))("what is disabled is read with an unknown member in its entry", ({ value }) => {
  expect(readStored(DisabledIndex, { "openai/gpt-5": value })).toEqual({ "openai/gpt-5": { until: 5 } });
});

test.each([
  { name: "a strategy", value: { ...ROUTE, policy: { ...POLICY, strategy: "luckiest" } }, member: "strategy" },
  { name: "a mode", value: { ...ROUTE, policy: { ...POLICY, stream_recovery: "splice" } }, member: "stream_recovery" },
])("$name that this release does not know is the default", ({ value, member }) => {
  const { policy } = readStored(RouteRecord, structuredClone(value));
  expect(policy[member as "strategy"]).toBe(RoutePolicy.parse({ targets: POLICY.targets })[member as "strategy"]);
});

test("what a later release says of a model in ways of its own is unknown, and the route stays readable", () => {
  const facts = {
    ...FACTS,
    capabilities: { ...FACTS.capabilities, tools: "partly", video: true },
    context_window: "1M",
  };
  const price = { ...FACTS.price, service: { ...FACTS.price.service, batch: { from: "2027" } }, fees: { fetch: 1 } };
  const record = readStored(RouteRecord, structuredClone({ ...ROUTE, facts: [{ ...facts, price }] }));
  expect(record.facts).toEqual([{ capabilities: { vision: false }, price: { ...FACTS.price, fees: {} } }]);
});

test("a key with a scope, a status or a budget of a later release opens no more than it should", () => {
  expect(readStored(KeyRecord, { ...KEY, scopes: ["chat", "images"] }).scopes).toEqual(["chat"]);
  expect(readStored(KeyRecord, { ...KEY, status: "frozen" }).status).toBe("frozen");
  expect(() => readStored(KeyRecord, { ...KEY, budget: { limit_usd: 1, period: "fortnight" } })).toThrow();
});

describe("the control plane's rows", () => {
  test.each(everyLevel({ ...ROUTE, policy: UNGUARDED }, ["params", "service", "tool_tokens"]))(
    "a version with an unknown member at $at is listed, rolled back to and keeps what a later release put there",
    async ({ value }) => {
      stubScheduler();
      const { sql, routes, kv } = startTables();
      const put = { env: "production", name: "fast", policy: UNGUARDED, facts: [{}], mayBeNewEnvironment: true };
      await routes.put(put as never, "ann");
      sql.exec("UPDATE route_version SET record = ?", JSON.stringify({ ...(value as object), version: 1 }));
      expect(routes.active("production", "fast")?.record.policy.targets).toHaveLength(1);
      await routes.put({ ...put, reason: "second" } as never, "ann");
      const [old] = routes.versions("production", "fast", 10, null)?.data.slice(-1) ?? [];
      expect(old?.record.version).toBe(1);
      const rollback = { env: "production", name: "fast", version: 1, facts: [{}], activeVersion: 2, reason: "x" };
      expect(await routes.rollBack(rollback as never, "ann")).toMatchObject({ ok: true });
      const written = JSON.parse(kv.values.get("route:production:fast") ?? "{}") as { policy: object };
      expect("later" in written.policy).toBe("later" in (value as { policy: object }).policy);
      expect(readStored(RouteRecord, written).policy).toEqual(UNGUARDED);
      vi.unstubAllGlobals();
    },
  );

  test.each(everyLevel(INDEX[0], ["service"]))(
    "an index entry with an unknown member at $at still makes the lists",
    async (level) => {
      stubScheduler();
      const { sql, routes, kv } = startTables(startControlSql());
      const put = (name: string) =>
        routes.put(
          { env: "production", name, policy: RoutePolicy.parse({ targets: POLICY.targets }), facts: [{}] } as never,
          "ann",
        );
      await put("fast");
      sql.exec("UPDATE route_active SET index_entry = ?", JSON.stringify(level.value));
      expect(await put("gpt-5")).toMatchObject({ ok: false, reason: "alias_taken" });
      expect(await put("other")).toMatchObject({ ok: true });
      const index = readStored(RouteIndex, JSON.parse(kv.values.get("routes:production") ?? "null"));
      expect(index.map(({ name }) => name)).toEqual(["fast", "other"]);
      vi.unstubAllGlobals();
    },
  );
});

describe("a ledger's rows", () => {
  const TERMS = termsOf({ version: 4, budget: { limit_usd: 1, period: "day" }, limits: { concurrency: 5 } });
  const ORIGIN = {
    ...{ env: "production", app: "web", route: "flow/fast", routeVersion: 3, stream: false, receivedAt: T0 },
  };

  test.each(everyLevel(TERMS))("terms with an unknown member at $at hold", ({ value }) => {
    const books = openBooks();
    books.call((ledger) => ledger.applyTerms(TERMS));
    books.store.sql.exec("UPDATE account SET terms = ?", JSON.stringify(value));
    books.evict();
    const huge = reservation({ boundNanoUsd: 2_000_000_000, terms: TERMS });
    expect(books.call((ledger) => ledger.reserve(huge, T0))).toMatchObject({ ok: false, reason: "budget" });
  });

  test.each(everyLevel(ORIGIN))(
    "a reservation whose origin has an unknown member at $at makes its trace",
    ({ value }) => {
      const books = openBooks();
      const id = traceId();
      books.call((ledger) => ledger.reserve(reservation({ traceId: id, expiresAt: T0 + 1_000, origin: ORIGIN }), T0));
      books.store.sql.exec("UPDATE hold SET origin = ?", JSON.stringify(value));
      books.call((ledger) => ledger.sweep(T0 + 2_000));
      expect(books.ledger.trace(id)).toMatchObject({ app: "web", route: "flow/fast", error_code: "unsettled" });
      expect(books.ledger.audit(T0 + 2_000).isConsistent).toBe(true);
    },
  );

  test.each(everyLevel(JSON.parse(settleRow(traceId(), [1]).trace)))(
    "a trace with an unknown member at $at is listed and shipped",
    ({ value }) => {
      const books = openBooks();
      const row = settleRow(traceId(), [1]);
      books.call((ledger) => ledger.settle([row], T0));
      books.store.sql.exec("UPDATE request SET body = ?", JSON.stringify(value));
      expect(books.ledger.list({ limit: 10 }).data).toHaveLength(1);
      expect(books.ledger.outbox.parcels(10, 0)[0]?.index).toBe("production:2026-11-22");
    },
  );

  test("columns of a later release are left alone", () => {
    const books = openBooks();
    const { sql } = books.store;
    for (const table of [
      "request",
      "slot",
      "charge_row",
      "spend",
      "account",
      "ledger",
      "waiting",
      "refusal",
      "unadmitted",
    ]) {
      sql.exec(`ALTER TABLE ${table} ADD COLUMN later TEXT NOT NULL DEFAULT 'x'`);
    }
    books.evict();
    const id = traceId();
    expect(books.call((ledger) => ledger.reserve(reservation({ traceId: id }), T0))).toMatchObject({ ok: true });
    const row = settleRow(id, [5], { unadmittedNanoUsd: 3 });
    books.call((ledger) => ledger.settle([row], T0));
    books.call((ledger) => ledger.refuse([{ id: traceId(T0 + 1), route: "", trace: row.trace }], 0, T0));
    expect(books.ledger.audit(T0)).toMatchObject({
      isConsistent: true,
      total: { spentNanoUsd: 5 },
      unadmittedNanoUsd: 3,
    });
  });
});

describe("the trail's rows", () => {
  const NOON_MS = 43_200_000;

  test.each(everyLevel(makeTrace({ attempts: undefined as never }), ["tags"]))(
    "a trace with an unknown member at $at is listed, summed and evidence",
    ({ value }) => {
      const store = new TrailStore(startTrailSql());
      store.ingest({ keyId: "k", rows: [{ seq: 1, trace: JSON.stringify(value), unadmittedNanoUsd: 0 }] }, DAY);
      const span = { since: TODAY, until: TODAY + 86_400_000 };
      expect(spendOf(store, { groupBy: "route", ...span }, DAY).total.requests).toBe(1);
      expect(store.list({ limit: 10 }, DAY).rows).toHaveLength(1);
    },
  );

  test("attempts that a later release wrote otherwise are read as far as they are understood", () => {
    const sql = startTrailSql();
    const store = new TrailStore(sql);
    const trace = JSON.stringify(makeTrace());
    store.ingest({ keyId: "k", rows: [{ seq: 1, trace, unadmittedNanoUsd: 0 }] }, DAY);
    // Where the JSON of a trace was dropped, its columns are what is left.
    sql.exec("DELETE FROM body");
    for (const [text, requests] of [
      ['[["openai","a",5,"later"],{"later":1}]', 1],
      ['{"later":1}', 0],
      ["no JSON", 0],
    ] as const) {
      sql.exec("UPDATE trace SET attempts = ?", text);
      // Less than an hour is added up trace by trace.
      const part = { groupBy: "provider", since: TODAY + NOON_MS, until: TODAY + NOON_MS + 1 } as const;
      expect(spendOf(store, part, DAY).groups.reduce((sum, group) => sum + group.requests, 0)).toBe(requests);
    }
  });
});

describe("the record of tool calls", () => {
  const recorded = (status: string): CallRecord => {
    const { sql } = startStore();
    const record = new CallRecord(sql);
    const call = { id: "a", kind: "function", name: "f", arguments: "{}", sha256: "0", verdict: "pending" } as const;
    record.record(
      { ...{ traceId: "t", keyId: "k", env: "e", app: "a", route: "r", ttlMs: 1_000, step: null }, calls: [call] },
      T0,
    );
    sql.exec("ALTER TABLE call ADD COLUMN later TEXT NOT NULL DEFAULT 'x'");
    sql.exec("ALTER TABLE step ADD COLUMN later TEXT NOT NULL DEFAULT 'x'");
    sql.exec("UPDATE call SET status = ?", status);
    return new CallRecord(sql);
  };
  const claim = { by: "id", id: "a", calls: [{ kind: "function", name: "f", arguments: "{}" }] } as const;

  test("has columns of a later release, and a status of one is no approval and cannot become one", () => {
    expect(
      recorded("pending").decide({ id: "a", decision: "approve", by: "b", reason: null, within: null }, T0).ok,
    ).toBe(true);
    const record = recorded("escalated");
    expect(record.check([claim], false, null, T0).verdicts).toEqual(["denied"]);
    expect(record.ruling("t", T0)?.calls[0]?.status).toBe("denied");
    expect(record.decide({ id: "a", decision: "approve", by: "b", reason: null, within: null }, T0).ok).toBe(false);
    expect(record.unsent(5).map(({ status }) => status)).toEqual(["denied"]);
  });
});

describe("a target's rows", () => {
  test("have columns and slices of a later release", () => {
    const { sql } = startStore();
    const breaker = {
      isOpen: true,
      openUntil: 5,
      ejections: 1,
      closedAt: 0,
      buckets: [],
      votes: [],
      latest: [],
      lease: null,
      failed: [],
      openFor: "key_1",
    };
    const facts = { target: "openai/a", cooldownUntil: 0, changedAt: 4, announcedAt: 4, seenAt: 4 };
    const bucket = { startAt: 10, successes: 1, failures: 0, rateLimited: 0 };
    const tables = new HealthTables(sql);
    tables.saveTarget(facts, breaker);
    tables.saveSlices([{ bucket, firstToken: [[3, 1, 0]], total: [] }]);
    sql.exec("ALTER TABLE health ADD COLUMN later TEXT NOT NULL DEFAULT 'x'");
    sql.exec("ALTER TABLE slice ADD COLUMN later TEXT NOT NULL DEFAULT 'x'");
    sql.exec("UPDATE slice SET first_token = ?, total = ?", '[[3,1,0,"later"],{"later":1}]', '{"later":[]}');
    const again = new HealthTables(sql);
    again.saveTarget(facts, breaker);
    const stored = again.load();
    expect(stored.facts).toEqual(facts);
    expect(stored.breaker).toMatchObject({ isOpen: true, openFor: "key_1", buckets: [bucket] });
    expect(stored.firstToken).toEqual([{ startAt: 10, rows: [[3, 1, 0]] }]);
    expect(stored.total).toEqual([{ startAt: 10, rows: [] }]);
  });
});
