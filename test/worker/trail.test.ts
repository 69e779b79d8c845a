/** The log trail across keys, through HTTP: what it shows, what it adds up, and how its objects behave in workerd. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fromUsd } from "../../src/lib/money.ts";
import type { TrailIndex } from "../../src/trace-index/trail-index.ts";
import type { TrailRow } from "../../src/trace-index/types.ts";
import { newTraceId, type Trace } from "../../src/traces/schema.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

/** The product's object with a clock that tests rule over, and a look inside. */
const FRONT = `
import app, { TrailIndex as Product } from "./index.js";
export * from "./index.js";

const realNow = Date.now.bind(Date);
let clockMs = 0;
let broken = "";
Date.now = () => realNow() + clockMs;

export class TrailIndex extends Product {
  async tables() {
    const rows = this.ctx.storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table'").toArray();
    return rows.map((row) => row.name).filter((name) => !name.startsWith("_cf"));
  }
  async alarmAt() {
    return await this.ctx.storage.getAlarm();
  }
  async ring() {
    await this.alarm();
  }
  async reset() {
    this.ctx.abort("reset by the test");
  }
  async list(query) {
    if (broken === this.ctx.id.name) throw new Error("broken by the test: sk-secret");
    return super.list(query);
  }
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/state") {
      ({ clockMs = 0, broken = "" } = await request.json());
      return new Response();
    }
    if (url.pathname !== "/object") return app.fetch(request, env, context);
    const { name, method, parameters } = await request.json();
    try {
      return Response.json((await env.TRAIL_INDEX.getByName(name)[method](...parameters)) ?? null);
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};
`;

const DAY_MS = 86_400_000;
let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
  worker = await startWorker({ front: FRONT, vars });
});
afterEach(() => setState({}));
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

async function setState(state: { readonly clockMs?: number; readonly broken?: string }): Promise<void> {
  await worker.fetch("/state", { method: "PUT", body: JSON.stringify(state) });
}

async function call<T>(name: string, method: string, ...parameters: unknown[]): Promise<T> {
  const response = await worker.fetch("/object", {
    method: "POST",
    body: JSON.stringify({ name, method, parameters }),
  });
  return (await response.json()) as T;
}

let envCount = 0;
const newEnv = (): string => `trail-${++envCount}`;

interface TraceSpec {
  readonly at?: number;
  readonly env: string;
  readonly key: CreatedKey;
  readonly app?: string;
  readonly route?: string;
  readonly routeVersion?: number;
  readonly status?: Trace["status"];
  /** Provider, model and cost of each attempt; the last one answered. */
  readonly attempts?: readonly (readonly [provider: string, model: string, usd: number | null])[];
}

function makeTrace(spec: TraceSpec): Trace {
  const { at = Date.now(), env, key, attempts = [["openai", "gpt-4o-mini", 0.000_001]] } = spec;
  const last = attempts.at(-1);
  return {
    id: newTraceId(key.id, at),
    created_at: new Date(at).toISOString(),
    key_id: key.id,
    env,
    app: spec.app ?? "studio",
    route: spec.route ?? "flow/best-reasoning",
    route_version: spec.routeVersion ?? 1,
    stream: false,
    status: spec.status ?? "ok",
    http_status: 200,
    provider: last?.[0] ?? null,
    model: last?.[1] ?? null,
    fallback: attempts.length > 1,
    attempts: attempts.map(([provider, model, cost_usd], position) => ({
      provider,
      model,
      outcome: position < attempts.length - 1 ? "timeout" : "ok",
      status: 200,
      started_ms: 0,
      first_token_ms: null,
      duration_ms: 400,
      hedged: false,
      winner: position === attempts.length - 1,
      cost_usd,
    })),
    latency: { first_token_ms: null, total_ms: 400, budget_ms: null, budget_met: null },
    usage: {
      prompt_tokens: 1,
      completion_tokens: 1,
      cached_tokens: 0,
      cache_write_tokens: 0,
      reasoning_tokens: 0,
      source: "upstream",
    },
    cost_usd: attempts.some(([, , usd]) => usd === null)
      ? null
      : attempts.reduce((sum, [, , usd]) => sum + (usd ?? 0), 0),
    tool_calls: [],
    tags: {},
    client_request_id: null,
  };
}

let seq = 0;
const toRow = (trace: Trace, unadmittedNanoUsd = 0): TrailRow => {
  return { seq: ++seq, trace: JSON.stringify(trace), unadmittedNanoUsd };
};
const nameOf = ({ env, created_at }: Trace): string => `${env}:${created_at.slice(0, 10)}`;

/** As a ledger sends it. */
async function ingest(traces: readonly Trace[], unadmittedNanoUsd = 0): Promise<void> {
  const { TRAIL_INDEX } = worker.bindings();
  for (const [name, ofObject] of Map.groupBy(traces, nameOf)) {
    for (const [keyId, own] of Map.groupBy(ofObject, ({ key_id }) => key_id)) {
      const rows = own.map((trace) => toRow(trace, unadmittedNanoUsd));
      const { upTo } = await TRAIL_INDEX.getByName(name).ingest({ keyId, rows });
      expect(upTo).toBe(rows.at(-1)?.seq);
    }
  }
}

interface TraceList {
  readonly object: string;
  readonly data: readonly Trace[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
  readonly as_of: string;
}

async function get<T>(path: string): Promise<T> {
  const response = await worker.admin(path);
  expect(response.status, path).toBe(200);
  return (await response.json()) as T;
}

const list = (query: string): Promise<TraceList> => get<TraceList>(`/admin/traces?${query}`);
const idsOf = (traces: readonly Trace[]): string[] => traces.map(({ id }) => id);

interface Spend {
  readonly object: string;
  readonly group_by: readonly string[];
  readonly data: readonly {
    readonly group: Readonly<Record<string, string | null>>;
    readonly requests: number;
    readonly cost_usd: number;
  }[];
  readonly total_usd: number;
  readonly unadmitted_usd: number;
  readonly since: string;
  readonly as_of: string;
}

const spendBy = (groupBy: string, query = ""): Promise<Spend> => get<Spend>(`/admin/spend?group_by=${groupBy}${query}`);

/** Every object that is asked has to start: a short window keeps these tests quick. */
const RECENT = `since=${new Date(Date.now() - 3_600_000).toISOString()}`;

async function groupOf(groupBy: string, group: string, query = `&${RECENT}`) {
  return (await spendBy(groupBy, query)).data.find((each) => each.group[groupBy] === group);
}

describe("GET /admin/traces", () => {
  test("shows the whole traces of all keys of all environments, newest first, in the list shape", async () => {
    const now = Date.now();
    const [envA, envB] = [newEnv(), newEnv()];
    const keys = await Promise.all([envA, envA, envB].map((env) => worker.createKey({ env })));
    const traces = keys.map((key, at) => makeTrace({ at: now - at, env: String(key["env"]), key }));
    await ingest(traces);
    const all = await list(`since=${new Date(now - 2).toISOString()}&limit=3`);
    expect(all).toMatchObject({ object: "list", has_more: false, next_cursor: null });
    // What is stored only where it says something is there in every answer.
    const shown = traces.map((trace) => {
      return { ...trace, skipped: [], cost_parts: [], latency: { ...trace.latency, approval_wait_ms: null } };
    });
    expect(all.data).toEqual(shown);
    expect(Math.abs(Date.parse(all.as_of) + 5_000 - Date.now())).toBeLessThan(2_000);
  });

  test("filters by each member that the contract names", async () => {
    const env = newEnv();
    const [one, two] = await Promise.all([worker.createKey({ env }), worker.createKey({ env })]);
    const at = Date.now();
    const plain = makeTrace({ at: at - 1, env, key: one });
    const other = makeTrace({
      at: at - 2,
      env,
      key: two,
      app: "console",
      route: "flow/fast-eval",
      status: "error",
      attempts: [["groq", "llama", 0]],
    });
    const raw = makeTrace({ at: at - 3, env, key: two, route: "openai/gpt-4o" });
    await ingest([plain, other, raw]);
    for (const [query, wanted] of [
      ["", [plain, other, raw]],
      [RECENT, [plain, other, raw]],
      ["app=console", [other]],
      ["route=best-reasoning", [plain]],
      ["route=flow/best-reasoning", [plain]],
      ["route=openai/gpt-4o", [raw]],
      ["provider=groq", [other]],
      ["status=error", [other]],
      ["status=ok", [plain, raw]],
      [`key=${one.id}`, [plain]],
      [`key=${two.id}&status=error`, [other]],
      [`since=${new Date(at - 2).toISOString()}`, [plain, other]],
      [`until=${new Date(at - 2).toISOString()}`, [raw]],
      ["app=nobody", []],
    ] as const) {
      expect(idsOf((await list(`env=${env}&${query}`)).data), query).toEqual(idsOf(wanted));
    }
    expect((await list(`env=${newEnv()}&${RECENT}`)).data).toEqual([]);
  });

  test("goes page by page through days without gap or repetition, while traces arrive", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const now = Date.now();
    const traces = Array.from({ length: 9 }, (_, at) => makeTrace({ at: now - 1_000 - at * (DAY_MS / 3), env, key }));
    await ingest(traces);
    const seen: string[] = [];
    let cursor = "";
    for (let page = 0; page < 9; page++) {
      const since = new Date(now - 4 * DAY_MS).toISOString();
      const { data, has_more, next_cursor } = await list(
        `env=${env}&since=${since}&limit=2${cursor && `&cursor=${cursor}`}`,
      );
      seen.push(...idsOf(data));
      expect(has_more).toBe(next_cursor !== null);
      if (next_cursor === null) break;
      cursor = next_cursor;
      await ingest([makeTrace({ at: now + page, env, key })]);
    }
    expect(seen).toEqual(idsOf(traces));
  });

  test("asks every environment that has a key, each once", async () => {
    const envs = [newEnv(), newEnv()];
    await Promise.all([...envs, ...envs].map((env) => worker.createKey({ env })));
    const { CONTROL_PLANE } = worker.bindings();
    const known = await CONTROL_PLANE.getByName("control").listEnvironments();
    expect(known).toEqual(expect.arrayContaining(envs));
    expect(known).toEqual([...new Set(known)].toSorted());
  });

  test.each([
    "colour=red",
    "limit=0",
    "cursor=nobody",
    "cursor=",
    "env=Production",
    "env=",
    "app=A",
    "route=flow/",
    "route=UPPER",
    "provider=a%20b",
    "status=fine",
    "key=short",
    "since=yesterday",
    "until=1",
    "status=ok&status=error",
    "__proto__=1",
  ])("?%s is refused, naming the parameter", async (query) => {
    const response = await worker.admin(`/admin/traces?${query}`);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect([response.status, error["code"], error["param"]]).toEqual([
      400,
      "invalid_request",
      query.slice(0, query.indexOf("=")),
    ]);
  });

  test("fails as a whole when a day does not answer, and says nothing of the reason", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const [today, yesterday] = [makeTrace({ env, key }), makeTrace({ env, key, at: Date.now() - DAY_MS })];
    await ingest([today, yesterday]);
    await setState({ broken: nameOf(yesterday) });
    const response = await worker.admin(`/admin/traces?env=${env}`);
    const text = await response.text();
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(text).toContain("ledger_unavailable");
    expect(text).not.toContain("sk-secret");
    // The page before the broken day needs nothing of it.
    expect(idsOf((await list(`env=${env}&since=${today.created_at}`)).data)).toEqual([today.id]);
  });
});

describe("GET /admin/traces/{id}", () => {
  test("finds a trace of any key in its ledger", async () => {
    await worker.putRoute("production", "one-trace", { targets: [{ provider: "sandbox", model: "free-1" }] });
    const key = await worker.createKey();
    const id = await ask(key, "one-trace");
    await expect.poll(async () => (await worker.admin(`/admin/traces/${id}`)).status, { timeout: 5_000 }).toBe(200);
    expect(await get<Trace>(`/admin/traces/${id}`)).toMatchObject({ id, key_id: key.id, route: "flow/one-trace" });
  });

  test.each([newTraceId("nobodyskey00", 0), "tr_short", "x", "%00"])("%s is 404 unknown_trace", async (id) => {
    const response = await worker.admin(`/admin/traces/${id}`);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect([response.status, error["code"]]).toEqual([404, "unknown_trace"]);
  });
});

describe("GET /admin/spend", () => {
  test("groups by what the contract names, each attempt under its own provider and model", async () => {
    const env = newEnv();
    const [one, two] = await Promise.all([worker.createKey({ env }), worker.createKey({ env })]);
    const model = (name: string): string => `${env}-${name}`;
    await ingest(
      [
        makeTrace({ env, key: one, app: env, route: `flow/${env}`, attempts: [[env, model("a"), 0.000_000_001]] }),
        makeTrace({
          env,
          key: two,
          app: env,
          route: `flow/${env}`,
          attempts: [
            [env, model("a"), 0.1],
            [`${env}-second`, model("b"), 0.2],
          ],
        }),
      ],
      7,
    );
    const both = { requests: 2, cost_usd: 0.300_000_001 };
    expect(await groupOf("env", env)).toMatchObject({ group: { env }, ...both });
    expect(await groupOf("app", env)).toMatchObject({ group: { app: env }, ...both });
    expect(await groupOf("route", `flow/${env}`)).toMatchObject({ group: { route: `flow/${env}` }, ...both });
    expect(await groupOf("key", one.id)).toMatchObject({ names: { key: one["name"] }, requests: 1, cost_usd: 1e-9 });
    expect(await groupOf("key", two.id)).toMatchObject({ group: { key: two.id }, requests: 1, cost_usd: 0.3 });
    expect(await groupOf("provider", env)).toMatchObject({ requests: 2, cost_usd: 0.100_000_001 });
    expect(await groupOf("provider", `${env}-second`)).toMatchObject({ requests: 1, cost_usd: 0.2 });
    expect(await groupOf("model", model("a"))).toMatchObject({ requests: 2, cost_usd: 0.100_000_001 });
    expect(await groupOf("model", model("b"))).toMatchObject({ requests: 1, cost_usd: 0.2 });
    const { object, group_by, data, total_usd, unadmitted_usd } = await spendBy("provider", `&${RECENT}`);
    expect([object, group_by]).toEqual(["spend", ["provider"]]);
    expect(data.reduce((sum, { cost_usd }) => sum + fromUsd(cost_usd), 0)).toBe(fromUsd(total_usd));
    expect(fromUsd(unadmitted_usd)).toBe(14);
  });

  test("counts exactly what began in the window, to the millisecond; without one, this month", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const noon = Date.parse(new Date().toISOString().slice(0, 10)) - DAY_MS / 2;
    const times = [noon - 1, noon, noon + 1, noon + 3_600_000, noon + 7_200_000];
    await ingest(times.map((at) => makeTrace({ at, env, key })));
    const window = (since: number, until: number): string =>
      `&since=${new Date(since).toISOString()}&until=${new Date(until).toISOString()}`;
    expect(await groupOf("env", env, window(noon, noon + 7_200_000))).toMatchObject({ requests: 3 });
    expect(await groupOf("env", env, window(noon - 1, noon + 7_200_001))).toMatchObject({ requests: 5 });
    expect(await groupOf("env", env, window(noon + 1, noon + 1))).toBeUndefined();
    expect((await spendBy("env")).since).toBe(`${new Date().toISOString().slice(0, 7)}-01T00:00:00.000Z`);
  });

  test.each([
    ["", "group_by"],
    ["?group_by=colour", "group_by"],
    ["?group_by=key&env=production", "env"],
    ["?group_by=key&since=soon", "since"],
  ])("%j is refused, naming %s", async (query, param) => {
    const response = await worker.admin(`/admin/spend${query}`);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect([response.status, error["code"], error["param"]]).toEqual([400, "invalid_request", param]);
  });
});

describe("GET /admin/routes/{env}/{name}/evidence", () => {
  test("is of the active version, or of the one that is asked for", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const targets = [{ provider: "sandbox", model: "free-1" }];
    await worker.putRoute(env, "proven", { targets });
    await worker.putRoute(env, "proven", { targets, promotion: { window_hours: 48 } });
    const own = { env, key, route: "flow/proven" };
    await ingest([
      ...Array.from({ length: 30 }, () => makeTrace({ ...own, routeVersion: 2 })),
      makeTrace({ ...own, routeVersion: 1, status: "error", attempts: [["groq", "llama", null]] }),
    ]);
    const active = await get<Record<string, unknown>>(`/admin/routes/${env}/proven/evidence`);
    expect(active).toMatchObject({
      version: 2,
      window: { hours: 48 },
      requests: 30,
      success_rate: 1,
      success_lower_bound: expect.closeTo(0.886, 3),
      fallback_rate: 0,
      hedge_rate: 0,
      first_token_ms: null,
      cost_usd_per_request: 0.000_001,
      errors: [],
    });
    const { p50 } = active["total_ms"] as { p50: number };
    expect(Math.abs(p50 - 400)).toBeLessThan(9);
    const old = await get<object>(`/admin/routes/${env}/proven/evidence?version=1&window_hours=1`);
    expect(old).toMatchObject({
      version: 1,
      window: { hours: 1 },
      requests: 1,
      success_rate: 0,
      success_lower_bound: 0,
    });
    expect(old).toMatchObject({ cost_usd_per_request: null, errors: [{ class: "error", provider: null, count: 1 }] });
  });

  test.each([
    ["?version=0", 400],
    ["?window_hours=721", 400],
    ["?hours=1", 400],
    ["?version=9", 404],
    ["", 404],
  ])("%j of a route that nobody published is %i", async (query, status) => {
    expect((await worker.admin(`/admin/routes/production/nowhere/evidence${query}`)).status).toBe(status);
  });
});

async function ask(key: CreatedKey, route: string): Promise<string> {
  const response = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: `flow/${route}`, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get("x-flowlayer-trace-id") ?? "";
}

describe("fed by the ledgers", () => {
  test("what keys asked is in the list within 5 seconds, and a rebuild changes nothing", async () => {
    const env = newEnv();
    await worker.putRoute(env, "fed", { targets: [{ provider: "sandbox", model: "free-1" }] });
    const keys = await Promise.all([worker.createKey({ env }), worker.createKey({ env })]);
    const asked = await Promise.all([...keys, ...keys, ...keys].map((key) => ask(key, "fed")));
    const listed = async (): Promise<string[]> => idsOf((await list(`env=${env}&${RECENT}`)).data).toSorted();
    await expect.poll(listed, { timeout: 5_000 }).toEqual(asked.toSorted());
    const rebuild = await worker.admin("/admin/traces/rebuild?limit=2", { method: "POST" });
    expect(await rebuild.json()).toMatchObject({ object: "rebuild", keys: 2, traces: 6, failed: [] });
    const { KEY_LEDGER } = worker.bindings();
    for (const { id } of keys) {
      await expect
        .poll(async () => (await KEY_LEDGER.getByName(id).audit()).unshippedTraces, { timeout: 5_000 })
        .toBe(0);
    }
    expect(await listed()).toEqual(asked.toSorted());
    expect(await groupOf("env", env)).toMatchObject({ requests: 6 });
  });

  test("the sums are those of the keys' own ledgers, to the nano-dollar", async () => {
    const env = newEnv();
    const [priced, unpriced] = ["gpt-4o-mini", "gpt-nobody-knows"];
    await worker.putRoute(env, "paid", { targets: [{ provider: "openai", model: priced }] });
    await worker.putRoute(env, "unpriced", { targets: [{ provider: "openai", model: unpriced }] });
    const keys = await Promise.all([worker.createKey({ env }), worker.createKey({ env })]);
    const usages = [
      [1_000, 7],
      [333, 1],
      [1, 1],
    ];
    upstream.scriptFor(
      priced,
      usages.map(([prompt_tokens, completion_tokens]) => {
        return { json: { ...completion(), usage: { prompt_tokens, completion_tokens } } };
      }),
    );
    for (const key of [...keys, ...keys, ...keys]) await ask(key, "paid");
    await ask(keys[0], "unpriced");
    await expect.poll(() => groupOf("env", env), { timeout: 5_000 }).toMatchObject({ requests: 7 });
    let sum = 0;
    for (const { id } of keys) {
      const { spend } = await get<{ spend: { spent_usd: number } }>(`/admin/keys/${id}`);
      expect((await groupOf("key", id))?.cost_usd).toBe(spend.spent_usd);
      sum += fromUsd(spend.spent_usd);
    }
    expect(sum).toBeGreaterThan(0);
    expect(fromUsd((await groupOf("env", env))?.cost_usd ?? 0)).toBe(sum);
  });

  test("a rebuild goes through all keys page by page", async () => {
    let keys = 0;
    let cursor: string | null = "";
    while (cursor !== null) {
      const path: string = `/admin/traces/rebuild?limit=3${cursor && `&cursor=${cursor}`}`;
      const page = (await (await worker.admin(path, { method: "POST" })).json()) as {
        readonly keys: number;
        readonly next_cursor: string | null;
      };
      keys += page.keys;
      cursor = page.next_cursor;
    }
    const { data } = await get<{ data: unknown[] }>("/admin/keys?limit=1000");
    expect(keys).toBe(data.length);
  });
});

describe("the object of a day", () => {
  const objectOf = (name: string): DurableObjectStub<TrailIndex> => worker.bindings().TRAIL_INDEX.getByName(name);

  test("takes a trace once, however many send it at the same time", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const trace = makeTrace({ env, key });
    const object = objectOf(nameOf(trace));
    await Promise.all(Array.from({ length: 40 }, () => object.ingest({ keyId: key.id, rows: [toRow(trace)] })));
    expect(idsOf((await list(`env=${env}&${RECENT}`)).data)).toEqual([trace.id]);
    expect(await groupOf("env", env)).toMatchObject({ requests: 1, cost_usd: 0.000_001 });
  });

  test("knows after a reset what it took, and what it took twice", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const trace = makeTrace({ env, key });
    await ingest([trace]);
    await call(nameOf(trace), "reset");
    await ingest([trace, makeTrace({ env, key })]);
    expect(await groupOf("env", env)).toMatchObject({ requests: 2 });
    expect((await list(`env=${env}&${RECENT}`)).data).toHaveLength(2);
  });

  test("acknowledges what it can never take, logs it, and takes the rest", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const trace = makeTrace({ env, key });
    const object = objectOf(nameOf(trace));
    const rows = [
      { seq: 900, trace: '{"half":', unadmittedNanoUsd: 0 },
      { ...toRow(trace), seq: 901 },
    ];
    expect(await object.ingest({ keyId: key.id, rows })).toMatchObject({ upTo: 901 });
    expect(await object.ingest({ keyId: key.id, rows: [] })).toMatchObject({ upTo: 0 });
    expect(idsOf((await list(`env=${env}&${RECENT}`)).data)).toEqual([trace.id]);
    expect(worker.logs()).toContain(`"trail_rows_refused","key_id":"${key.id}","rows":1,"first_seq":900`);
    expect(worker.logs()).not.toContain("half");
  });

  test("costs no storage while it was only asked", async () => {
    const env = newEnv();
    await worker.createKey({ env });
    const name = `${env}:${new Date().toISOString().slice(0, 10)}`;
    await list(`env=${env}&${RECENT}`);
    await spendBy("env", `&${RECENT}`);
    expect(await call(name, "tables")).toEqual([]);
    expect(await call(name, "alarmAt")).toBeNull();
  });

  test("deletes itself when nobody can ask for its day any more, and takes no late rows", async () => {
    const env = newEnv();
    const key = await worker.createKey({ env });
    const trace = makeTrace({ env, key });
    const name = nameOf(trace);
    await ingest([trace]);
    const dayStartAt = Date.parse(trace.created_at.slice(0, 10));
    expect(await call(name, "alarmAt")).toBe(dayStartAt + DAY_MS + 600_000);
    await setState({ clockMs: dayStartAt + 32 * DAY_MS - 60_000 - Date.now() });
    await call(name, "ring");
    expect(await call<string[]>(name, "tables")).toContain("trace");
    await setState({ clockMs: dayStartAt + 32 * DAY_MS - Date.now() });
    await call(name, "ring");
    await call(name, "ring");
    expect(await call(name, "tables")).toEqual([]);
    expect(await call(name, "ingest", { keyId: key.id, rows: [{ ...toRow(trace), seq: 5 }] })).toEqual({ upTo: 5 });
    expect(await call(name, "tables")).toEqual([]);
    expect(await call(name, "list", { limit: 5 })).toEqual({ rows: [], end: null });
  });

  test("called by another name than a day of an environment is an error", async () => {
    expect(await call("nobody", "ingest", { keyId: "k", rows: [] })).toHaveProperty("error");
  });
});

describe("who may use it", () => {
  test("only operators: neither a stranger nor a key", async () => {
    const { key } = await worker.createKey();
    for (const path of ["/admin/traces", "/admin/traces/tr_x", "/admin/spend?group_by=key", "/admin/traces/rebuild"]) {
      for (const authorization of ["", `Bearer ${key}`]) {
        const headers = authorization === "" ? {} : { authorization };
        const method = path.endsWith("rebuild") ? "POST" : "GET";
        expect((await worker.fetch(path, { method, headers })).status, path).toBe(401);
      }
    }
  });

  test.each([
    ["POST", "/admin/traces", "GET, HEAD"],
    ["DELETE", "/admin/traces/tr_x", "GET, HEAD"],
    ["PUT", "/admin/traces/rebuild", "POST"],
    ["POST", "/admin/spend", "GET, HEAD"],
    ["POST", "/admin/routes/production/x/evidence", "GET, HEAD"],
  ])("%s %s is 405 and says what is possible", async (method, path, allow) => {
    const response = await worker.admin(path, { method });
    expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
  });
});
