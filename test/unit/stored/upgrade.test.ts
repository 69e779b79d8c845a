/**
 * State as commit d40b6d5 wrote it, read and taken over by today's code: no sum, no trace, no version and no decision is
 * lost. The rows are written by hand, in that commit's columns and words.
 */
import { expect, test, vi } from "vitest";
import { CallRecord } from "../../../src/approvals/record.ts";
import { HealthTables } from "../../../src/health/health-schema.sql.ts";
import { KeyRecord } from "../../../src/keys/record.ts";
import { Ledger } from "../../../src/ledger/ledger.ts";
import { readStored } from "../../../src/lib/stored.ts";
import { ProviderRecord } from "../../../src/policy/provider-record.ts";
import { RouteIndex, RouteRecord } from "../../../src/policy/schema.ts";
import { TrailStore } from "../../../src/trace-index/store/store.ts";
import { newTraceId } from "../../../src/traces/schema.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";
import { startSql as startControlSql, startTables } from "../control/fakes.ts";
import { KEY_ID, openBooks, reservation, settleRow, startStore, T0 } from "../ledger/fakes.ts";
import { DAY, spendOf, startSql as startTrailSql, TODAY } from "../trace-index/fakes.ts";
import { APPROVALS, CONTROL, HEALTH, LEDGER, TRAIL } from "./state-d40b6d5.ts";

provideWorkerdCrypto();

const POLICY = {
  targets: [{ provider: "openai", model: "gpt-5.2", weight: 1, params: { max_tokens: 100 } }],
  strategy: "ordered",
  fallback: { enabled: true, max_attempts: 4, on: ["context_length"] },
  retry: { same_target: 1, backoff_ms: 200, max_retry_after_ms: 2_500 },
  stream_recovery: "off",
  latency: { mode: "soft", hedge: true, hedge_max_ratio: 0.1 },
  timeouts: { first_token_ms: 60_000, idle_ms: 30_000, total_ms: 600_000 },
  spend: {},
  limits: { part_tokens: { image: 1_000 } },
  tools: {
    ...{ require_approval: false, delivery: "hold", wait_ms: 20_000 },
    ...{ auto_approve: [], deny: [], ttl_seconds: 86_400 },
  },
  promotion: { required: false, window_hours: 24, min_requests: 20 },
};
const CREATED = "2026-11-20T08:00:00.000Z";
const FACTS = { context_window: 400_000, price: { input: 1_750_000, output: 14_000_000, cache_read: 175_000 } };
const record = (version: number) => ({
  ...{ env: "production", name: "fast", version, created_at: CREATED, actor: "admin", policy: POLICY, facts: [FACTS] },
});
const INDEX_ENTRY = {
  ...{ name: "fast", version: 2, created_at: CREATED },
  targets: [{ provider: "openai", model: "gpt-5.2", facts: FACTS }],
};
const KEY = {
  ...{ id: KEY_ID, name: "web", env: "production", apps: null, routes: ["fast"], scopes: ["chat", "models"] },
  budget: { limit_usd: 1, period: "month" },
  ...{ limits: { requests_per_minute: 5 }, status: "active", created_at: CREATED, expires_at: null, version: 3 },
  secrets: [{ hash: "ab".repeat(32), expires_at: null }],
};
const PROVIDER = { id: "acme", protocol: "openai", base_url: "https://acme.example/v1", secret: null };

const trace = (id: string, at: number) => ({
  ...{ id, created_at: new Date(at).toISOString(), key_id: KEY_ID, env: "production", app: "default" },
  ...{ route: "flow/fast", route_version: 2, stream: false, status: "ok", http_status: 200 },
  ...{ provider: "openai", model: "gpt-5.2", fallback: false },
  attempts: [
    {
      ...{ provider: "openai", model: "gpt-5.2", outcome: "ok", status: 200, started_ms: 1, first_token_ms: null },
      ...{ duration_ms: 5, hedged: false, winner: true, cost_usd: 0.000_000_07 },
    },
  ],
  latency: { first_token_ms: null, total_ms: 9, budget_ms: null, budget_met: null },
  usage: {
    ...{ prompt_tokens: 1, completion_tokens: 2, cached_tokens: 0, cache_write_tokens: 0, reasoning_tokens: 0 },
    source: "upstream",
  },
  ...{ cost_usd: 0.000_000_07, tool_calls: [], tags: {}, client_request_id: null },
});

test("what KV held is read", () => {
  expect(readStored(KeyRecord, structuredClone(KEY))).toEqual(KEY);
  expect(readStored(ProviderRecord, structuredClone(PROVIDER))).toEqual(PROVIDER);
  expect(readStored(RouteIndex, structuredClone([INDEX_ENTRY]))).toEqual([INDEX_ENTRY]);
  const route = readStored(RouteRecord, structuredClone(record(2)));
  expect(route.policy).toMatchObject({ ...POLICY, aliases: [] });
});

test("a ledger keeps its sums, its traces, what it holds and what it was told", () => {
  const { sql } = startStore();
  sql.exec(LEDGER);
  const done = newTraceId(KEY_ID, T0 - 60_000);
  const lost = newTraceId(KEY_ID, T0 - 30_000);
  const open = newTraceId(KEY_ID, T0 - 1_000);
  for (const period of ["2026-11-22", "2026-11", "total"]) sql.exec("INSERT INTO spend VALUES (?, 170, 2, 0)", period);
  const terms = { version: 3, budget: KEY.budget, limits: KEY.limits };
  sql.exec("UPDATE account SET terms = ?, expired = 1, expired_nano_usd = 100", JSON.stringify(terms));
  sql.exec(
    "INSERT INTO request VALUES (?, ?, 'ok', 'flow/fast', ?, 0)",
    done,
    T0 - 59_000,
    JSON.stringify(trace(done, T0 - 60_000)),
  );
  const unsettled = { ...trace(lost, T0 - 30_000), status: "error", error_code: "unsettled" };
  sql.exec(
    "INSERT INTO request VALUES (?, ?, 'error', 'flow/fast', ?, 1)",
    lost,
    T0 - 2_000,
    JSON.stringify(unsettled),
  );
  sql.exec("INSERT INTO outbox VALUES (?, 1)", done);
  const origin = JSON.stringify({
    ...{
      env: "production",
      app: "default",
      route: "flow/fast",
      routeVersion: 2,
      stream: false,
      receivedAt: T0 - 30_000,
    },
  });
  const charge = "INSERT INTO charge VALUES (?, 0, ?, ?, ?, ?, ?, 10, 1, 0, 'openai', 'gpt-5.2', 1, 'ok', ?, ?)";
  sql.exec(charge, done, "S", T0 - 60_000, T0 - 59_000, 90, 70, "upstream", "{}");
  sql.exec(charge, lost, "X", T0 - 30_000, T0 - 2_000, 100, 100, "upper_bound", origin);
  const hold = "INSERT INTO hold VALUES (?, 0, 'R', ?, ?, 300, 40, 1, 'openai', 'gpt-5.2', ?)";
  sql.exec(hold, open, T0 - 1_000, T0 + 600_000, origin);

  const books = openBooks({ sql, transact: (work) => work() });
  const before = books.ledger.audit(T0);
  expect(before).toMatchObject({
    ...{ isConsistent: true, total: { spentNanoUsd: 170, reservedNanoUsd: 300, requests: 2 }, keyVersion: 3 },
    ...{ expired: 1, openRequests: 1, refused: 0, unshippedTraces: 1 },
  });
  expect(books.ledger.list({ limit: 10 }).data.map(({ id }) => id)).toEqual([lost, done]);
  const late = settleRow(lost, [30], { startedAt: T0 - 30_000 });
  books.call((ledger) => ledger.settle([late, settleRow(open, [40], { startedAt: T0 - 1_000 })], T0));
  expect(books.ledger.audit(T0)).toMatchObject({
    ...{ isConsistent: true, total: { spentNanoUsd: 140, reservedNanoUsd: 0, requests: 3 }, expired: 0 },
  });
  const beyond = reservation({ traceId: newTraceId(KEY_ID, T0), boundNanoUsd: 1_000_000_000, terms: terms as never });
  expect(books.call((ledger) => ledger.reserve(beyond, T0))).toMatchObject({ ok: false, reason: "budget" });
  // The step is done once: a second start finds nothing to do.
  expect(new Ledger(sql).audit(T0).isConsistent).toBe(true);
});

test("the control plane keeps keys, versions, providers and the audit, and goes on from them", async () => {
  stubScheduler();
  const sql = startControlSql();
  sql.exec(CONTROL);
  const audit = "INSERT INTO audit VALUES (?, ?, 'admin', ?, ?, NULL, 'sha256:00', NULL, NULL)";
  for (const [seq, action, object] of [
    [1, "key.create", `key ${KEY_ID}`],
    [2, "route.publish", "route production/fast@1"],
    [3, "route.publish", "route production/fast@2"],
    [4, "provider.put", "provider acme"],
  ] as const) {
    sql.exec(audit, seq, T0, action, object);
  }
  sql.exec(
    "INSERT INTO key_record VALUES (1, ?, 'production', 'web', ?, ?, 'sha256:00')",
    KEY_ID,
    T0,
    JSON.stringify(KEY),
  );
  for (const version of [1, 2]) {
    const row = "INSERT INTO route_version VALUES (?, 'production', 'fast', ?, ?, 'sha256:00')";
    sql.exec(row, version + 1, version, JSON.stringify(record(version)));
  }
  sql.exec("INSERT INTO route_active VALUES ('production', 'fast', 3, ?)", JSON.stringify(INDEX_ENTRY));
  sql.exec("INSERT INTO provider VALUES ('acme', ?, 'sha256:00')", JSON.stringify(PROVIDER));

  const { keys, routes, providers, kv, actions } = startTables(sql);
  expect(keys.get(KEY_ID)).toMatchObject({ name: "web", status: "active" });
  expect(providers.list()).toEqual([PROVIDER]);
  expect(routes.active("production", "fast")?.record).toMatchObject({ version: 2, policy: { ...POLICY, aliases: [] } });
  const rollback = { env: "production", name: "fast", version: 1, activeVersion: 2, facts: [FACTS] };
  expect(await routes.rollBack(rollback as never, "admin")).toMatchObject({
    ok: true,
    route: { record: { version: 3 } },
  });
  const published = readStored(RouteRecord, JSON.parse(kv.values.get("route:production:fast") ?? "{}"));
  expect([published.version, published.policy.targets[0]?.model]).toEqual([3, "gpt-5.2"]);
  expect(readStored(RouteIndex, JSON.parse(kv.values.get("routes:production") ?? "[]"))).toHaveLength(1);
  expect(await keys.update(KEY_ID, { name: "site" }, "admin")).toMatchObject({ ok: true, terms: { version: 4 } });
  expect(readStored(KeyRecord, JSON.parse(kv.values.get(`key:${KEY_ID}`) ?? "{}")).secrets).toEqual(KEY.secrets);
  expect(actions().slice(-2)).toEqual(["route.rollback", "key.update"]);
  vi.unstubAllGlobals();
});

test("the record of tool calls keeps what was decided and what waits", () => {
  const { sql } = startStore();
  sql.exec(APPROVALS);
  const row = `INSERT INTO call VALUES (NULL, ?, ?, 0, 'function', 'send', '{"a":1}', '00', ?, 'k', 'production', 'web',
    'flow/fast', ?, ?, ?, ?, NULL, 1)`;
  sql.exec(row, "call_ok", "t1", "approved", T0, T0 + 600_000, "operator:ann", T0);
  sql.exec(row, "call_wait", "t2", "pending", T0, T0 + 600_000, null, null);
  sql.exec("INSERT INTO step VALUES ('t2', 'd', '{}', ?)", T0 + 600_000);
  const calls = new CallRecord(sql);
  const claims = ["call_ok", "call_wait"].map((id) => ({
    ...{ by: "id" as const, id, calls: [{ kind: "function" as const, name: "send", arguments: '{"a":1}' }] },
  }));
  expect(calls.check(claims, false, null, T0 + 1).verdicts).toEqual(["admitted", "pending"]);
  expect(calls.step("t2", T0 + 1)).toMatchObject({ digest: "d", body: "{}" });
  const decision = { id: "call_wait", decision: "approve" as const, by: "operator:ann", reason: null, within: null };
  expect(calls.decide(decision, T0 + 2).ok).toBe(true);
  expect(calls.unsent(10)).toHaveLength(2);
});

test("the trail keeps its days", () => {
  const sql = startTrailSql();
  sql.exec(TRAIL);
  sql.exec("INSERT INTO trail VALUES (1, ?, 0, 1)", TODAY);
  const id = newTraceId(KEY_ID, TODAY + 1_000);
  const row = "INSERT INTO trace VALUES (1, ?, ?, ?, 'default', 'flow/fast', 'ok', 'openai', ?, 0, 0)";
  sql.exec(row, id, TODAY + 1_000, KEY_ID, '[["openai","gpt-5.2",70]]');
  sql.exec("INSERT INTO body VALUES (1, ?)", JSON.stringify(trace(id, TODAY + 1_000)));
  for (const [group, name] of [
    ["key", KEY_ID],
    ["env", "production"],
  ]) {
    for (const slot of [-1, 0]) sql.exec("INSERT INTO spend VALUES (?, ?, ?, 1, 70, 0, 0)", group, slot, name);
  }
  const store = new TrailStore(sql);
  expect(store.list({ limit: 10 }, DAY).rows.map((each) => each.id)).toEqual([id]);
  const more = JSON.stringify(trace(newTraceId(KEY_ID, TODAY + 2_000), TODAY + 2_000));
  const again = JSON.stringify(trace(id, TODAY + 1_000));
  const rows = [again, more].map((text, seq) => ({ seq, trace: text, unadmittedNanoUsd: 0 }));
  store.ingest({ keyId: KEY_ID, rows }, DAY);
  const day = { since: TODAY, until: TODAY + 86_400_000 };
  expect(spendOf(store, { groupBy: "key", ...day }, DAY)).toMatchObject({
    groups: [{ name: KEY_ID, requests: 2, nanoUsd: 140 }],
    total: { requests: 2, nanoUsd: 140 },
  });
});

test("a target keeps its open breaker and its latencies", () => {
  const { sql } = startStore();
  sql.exec(HEALTH);
  sql.exec(
    "INSERT INTO health VALUES (1, 'openai/gpt-5.2', 1, ?, 2, 0, 'iso', ?, 0, 7, 6, ?)",
    T0 + 5_000,
    T0 + 100,
    T0,
  );
  sql.exec("INSERT INTO slice VALUES (?, 3, 1, 0, '[[40,2,0]]', '[[50,3,1]]')", T0);
  const tables = new HealthTables(sql);
  expect(tables.load()).toEqual({
    facts: { target: "openai/gpt-5.2", cooldownUntil: 0, changedAt: 7, announcedAt: 6, seenAt: T0 },
    breaker: {
      ...{ isOpen: true, openUntil: T0 + 5_000, ejections: 2, closedAt: 0, votes: [], latest: [] },
      buckets: [{ startAt: T0, successes: 3, failures: 1, rateLimited: 0 }],
      lease: { isolate: "iso", until: T0 + 100 },
      ...{ failed: [], openFor: null },
    },
    firstToken: [{ startAt: T0, rows: [[40, 2, 0]] }],
    total: [{ startAt: T0, rows: [[50, 3, 1]] }],
    uncleanUntil: 0,
  });
  const { facts, breaker } = tables.load();
  tables.saveTarget(facts, { ...breaker, openFor: "key_1" });
  expect(new HealthTables(sql).load().breaker).toMatchObject({ isOpen: true, openFor: "key_1" });
});
