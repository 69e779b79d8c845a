/** The trail of an environment that is busy: its traces in shards, and every answer as if they were in one place. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { comparePositions } from "../../src/trace-index/cursor.ts";
import { shardOf } from "../../src/trace-index/spread/plan.ts";
import type { TrailRow } from "../../src/trace-index/types.ts";
import type { Trace } from "../../src/traces/schema.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { attempt, makeTrace } from "../unit/trace-index/fakes.ts";

/** The product's object with a clock that the test rules over, a look inside, and as many calls as the test wants. */
const FRONT = `
import app, { TrailIndex as Product } from "./index.js";
export * from "./index.js";

const realNow = Date.now.bind(Date);
let clockMs = 0;
let asked = [];
let slowMs = 0;
Date.now = () => realNow() + clockMs;

export class TrailIndex extends Product {
  async alarmAt() {
    return this.ctx.storage.getAlarm();
  }
  async absorb(...parameters) {
    if (slowMs > 0) await scheduler.wait(slowMs);
    return super.absorb(...parameters);
  }
  async press(calls) {
    for (let at = 0; at < calls; at++) await this.ingest({ keyId: "nobody000000", rows: [] });
  }
  async rows(query) {
    return this.ctx.storage.sql.exec(query).toArray();
  }
  async spread(from, shards) {
    this.ctx.storage.sql.exec("INSERT INTO spread (from_at, shards) VALUES (?, ?)", from, shards);
    await this.ctx.storage.sync();
    this.ctx.abort("the next instance reads it");
  }
  async ring() {
    await this.alarm();
  }
  async ingest(batch) {
    if (batch.rows.length > 0) asked.push("ingest " + this.ctx.id.name);
    return super.ingest(batch);
  }
  async list(query) {
    asked.push("list " + this.ctx.id.name);
    return super.list(query);
  }
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/state") {
      ({ clockMs = 0, slowMs = 0 } = await request.json());
      return new Response();
    }
    if (url.pathname === "/asked") {
      const answer = asked;
      asked = [];
      return Response.json(answer);
    }
    if (url.pathname !== "/object") return app.fetch(request, env, context);
    const { name, method, parameters } = await request.json();
    const stub = env.TRAIL_INDEX.getByName(name);
    return Response.json((await stub[method](...parameters).catch((error) => ({ error: error.message }))) ?? null);
  },
};
`;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Tomorrow at 10:20, so that a day that was not asked before is in the middle. */
const START = Math.floor(Date.now() / DAY_MS) * DAY_MS + DAY_MS + 10 * HOUR_MS + 20 * 60_000;
const DATE = new Date(START).toISOString().slice(0, 10);
const ENV = "busy";
const DAY = `${ENV}:${DATE}`;
const KEYS = Array.from({ length: 24 }, (_, at) => `shardkey${String(at).padStart(4, "0")}`);

let upstream: Upstream;
let worker: TestWorker;
let key: { readonly id: string; readonly key: string };
let now = START;
/** All that was sent. */
const sent: Trace[] = [];

beforeAll(async () => {
  upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
  worker = await startWorker({ front: FRONT, vars });
  await setClock(START);
  key = await worker.createKey({ env: ENV });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

async function setClock(at: number): Promise<void> {
  now = at;
  await worker.fetch("/state", { method: "PUT", body: JSON.stringify({ clockMs: at - Date.now() }) });
}

async function call<T>(name: string, method: string, ...parameters: unknown[]): Promise<T> {
  const response = await worker.fetch("/object", {
    method: "POST",
    body: JSON.stringify({ name, method, parameters }),
  });
  return (await response.json()) as T;
}

async function get<T>(path: string): Promise<T> {
  const response = await worker.admin(path);
  expect([response.status, response.status === 200 ? "" : await response.text()]).toEqual([200, ""]);
  return (await response.json()) as T;
}

const toRow = (trace: Trace, seq: number): TrailRow => ({ seq, trace: JSON.stringify(trace), unadmittedNanoUsd: 0 });

async function ingest(name: string, traces: readonly Trace[]): Promise<void> {
  for (const [keyId, own] of Map.groupBy(traces, ({ key_id }) => key_id)) {
    await call(name, "ingest", { keyId, rows: own.map((trace, at) => toRow(trace, at + 1)) });
  }
}

/** One trace a key, every ten seconds, from `at` on. */
function tracesAt(at: number, count = KEYS.length): Trace[] {
  return Array.from({ length: count }, (_, index) =>
    makeTrace({
      at: at + index * 10_000,
      env: ENV,
      key_id: KEYS[index % KEYS.length] ?? "",
      app: index % 2 === 0 ? "studio" : "console",
      status: index % 5 === 0 ? "error" : "ok",
      attempts: [attempt({ cost_usd: (index + 1) / 1e9 })],
    }),
  );
}

type Shard = { readonly hour_at: number; readonly number: number; readonly of: number };
const shardsKnown = () => call<Shard[]>(DAY, "rows", "SELECT hour_at, number, of FROM shard ORDER BY hour_at, number");
const nameOf = ({ hour_at, number, of }: Shard): string =>
  `${DAY}:${new Date(hour_at).toISOString().slice(11, 13)}.${number}-${of}`;

/** What shards have gathered reaches the object of the day, as their alarms would see to. */
async function sum(): Promise<void> {
  for (const shard of await shardsKnown()) await call(nameOf(shard), "ring");
}

const idsOf = (traces: readonly Trace[]): string[] =>
  traces
    .map(({ id, created_at }) => ({ id, createdAt: Date.parse(created_at) }))
    .sort(comparePositions)
    .map(({ id }) => id);

type Page = { data: Trace[]; has_more: boolean; next_cursor: string | null; facets?: Record<string, object> };

async function listAll(query: string, limit: number): Promise<string[]> {
  const found: string[] = [];
  for (let cursor = ""; ; ) {
    const page = await get<Page>(`/admin/traces?env=${ENV}&limit=${limit}${query}${cursor}`);
    found.push(...page.data.map(({ id }) => id));
    if (page.next_cursor === null) return found;
    cursor = `&cursor=${page.next_cursor}`;
  }
}

test("an environment at rest has one object a day, and no shard", async () => {
  const traces = tracesAt(START - 300_000);
  await ingest(DAY, traces);
  sent.push(...traces);
  expect(await shardsKnown()).toEqual([]);
  await worker.fetch("/asked");
  await get(`/admin/traces?env=${ENV}&limit=5`);
  expect(await (await worker.fetch("/asked")).json()).toEqual([`list ${DAY}`]);
});

describe("with more calls than one object takes well", () => {
  test("the traces of later times go to shards, wherever they are sent, and count once", async () => {
    await call(DAY, "press", 1);
    await setClock(now + 1_000);
    await call(DAY, "press", 9_000);
    await setClock(START + 12_000);
    await call(DAY, "press", 1);
    const [step, ...more] = await call<{ from_at: number; shards: number }[]>(DAY, "rows", "SELECT * FROM spread");
    expect(more).toEqual([]);
    expect(step?.shards).toBeGreaterThanOrEqual(2);
    // What was answered before holds until then.
    expect(step?.from_at).toBeGreaterThanOrEqual(now + 30_000);
    const of = step?.shards ?? 0;
    const from = step?.from_at ?? 0;
    // Into the next hour.
    await setClock(START + 70 * 60_000);
    const early = tracesAt(from - 241_000);
    const late = [...tracesAt(from), ...tracesAt(START + 60 * 60_000)];
    const hour = new Date(from).toISOString().slice(11, 13);
    const places = [DAY, `${DAY}:${hour}.0-${of}`, `${DAY}:${hour}.1-${of}`, DAY];
    await Promise.all(places.map((name) => ingest(name, [...early, ...late])));
    sent.push(...early, ...late);
    await sum();
    const shards = await shardsKnown();
    expect(new Set(shards.map(({ hour_at }) => hour_at)).size).toBe(2);
    for (const shard of shards) {
      const rows = await call<{ key_id: string }[]>(nameOf(shard), "rows", "SELECT DISTINCT key_id FROM trace");
      expect(rows.filter(({ key_id }) => shardOf(key_id, of) !== shard.number)).toEqual([]);
    }
    const inShards = await Promise.all(
      shards.map((shard) => call<{ id: string }[]>(nameOf(shard), "rows", "SELECT id FROM trace")),
    );
    expect(
      inShards
        .flat()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(late.map(({ id }) => id).toSorted());
  });

  test.each([3, 50])("the list is one, in pages of %i", async (limit) => {
    expect(await listAll("", limit)).toEqual(idsOf(sent));
    const ofKey = sent.filter(({ key_id }) => key_id === KEYS[3]);
    expect(await listAll(`&key=${KEYS[3]}`, limit)).toEqual(idsOf(ofKey));
    const failed = sent.filter(({ status, app }) => status === "error" && app === "console");
    expect(await listAll("&status=error&app=console", limit)).toEqual(idsOf(failed));
    expect(await listAll("&app=nobody", limit)).toEqual([]);
    expect(await listAll("&session=nobody", limit)).toEqual([]);
  });

  test("a filter on a key asks the key's shards alone, and one that matches nothing asks none of hours gone by", async () => {
    await setClock(START + 150 * 60_000);
    await worker.fetch("/asked");
    await listAll(`&key=${KEYS[3]}&since=${DATE}T00:00:00Z`, 50);
    const asked = (await (await worker.fetch("/asked")).json()) as string[];
    const shards = (await shardsKnown()).filter(({ number, of }) => shardOf(KEYS[3] ?? "", of) === number);
    expect(asked.toSorted()).toEqual([DAY, ...shards.map(nameOf)].map((name) => `list ${name}`).toSorted());
    await listAll(`&app=nobody&since=${DATE}T00:00:00Z`, 50);
    expect(await (await worker.fetch("/asked")).json()).toEqual([`list ${DAY}`]);
  });

  test("sums, counts and evidence are those of all traces, of parts of hours too", async () => {
    const cost = (traces: readonly Trace[]): number =>
      Math.round(traces.reduce((sumUsd, { cost_usd }) => sumUsd + (cost_usd ?? 0), 0) * 1e9) / 1e9;
    type Spend = { total_usd: number; data: { group: { key: string }; requests: number; cost_usd: number }[] };
    const whole = await get<Spend>(`/admin/spend?since=${DATE}T00:00:00Z&group_by=key`);
    expect(whole.total_usd).toBe(cost(sent));
    for (const { group, requests, cost_usd } of whole.data) {
      const own = sent.filter(({ key_id }) => key_id === group.key);
      expect([group.key, requests, cost_usd]).toEqual([group.key, own.length, cost(own)]);
    }
    const [since, until] = [START + 60_000, START + 61 * 60_000 + 5_000];
    const part = await get<Spend>(
      `/admin/spend?since=${new Date(since).toISOString()}&until=${new Date(until).toISOString()}&group_by=app`,
    );
    const inside = sent.filter(({ created_at }) => Date.parse(created_at) >= since && Date.parse(created_at) < until);
    expect(inside.length).toBeGreaterThan(0);
    expect(part.total_usd).toBe(cost(inside));
    const { facets } = await get<Page>(`/admin/traces?env=${ENV}&facets=true&limit=1`);
    const failed = sent.filter(({ status }) => status === "error").length;
    expect(facets?.["status"]).toEqual({ ok: sent.length - failed, error: failed });
    await worker.putRoute(ENV, "best-reasoning", { targets: [{ provider: "openai", model: "gpt-4.1-mini" }] });
    const evidence = await get<{ requests: number }>(`/admin/routes/${ENV}/best-reasoning/evidence?version=1`);
    expect(evidence.requests).toBe(sent.length);
  });

  test("what a shard sends again counts once", async () => {
    const [shard] = await shardsKnown();
    const before = await call<object[]>(DAY, "rows", "SELECT * FROM usage ORDER BY at, key_id, grain");
    const again = { usage: [], counts: [], latencies: [], errors: [], attempts: [] };
    const place = { hourAt: shard?.hour_at, number: shard?.number, of: shard?.of };
    expect(await call(DAY, "absorb", place, [{ seq: 1, delta: again }], 0)).toBeGreaterThanOrEqual(1);
    expect(await call<object[]>(DAY, "rows", "SELECT * FROM usage ORDER BY at, key_id, grain")).toEqual(before);
  });

  test("what comes while a shard sends its sums is sent with them, or soon after", async () => {
    const [shard] = await shardsKnown();
    const name = nameOf(shard ?? { hour_at: 0, number: 0, of: 1 });
    const at = START + 20 * 60_000;
    const own = KEYS.filter((id) => shardOf(id, shard?.of ?? 1) === shard?.number).slice(0, 2);
    const [first, second] = own.map((key_id) => makeTrace({ env: ENV, at, key_id }));
    sent.push(...[first, second].filter((trace) => trace !== undefined));
    await ingest(name, first === undefined ? [] : [first]);
    const state = { clockMs: now - Date.now(), slowMs: 600 };
    await worker.fetch("/state", { method: "PUT", body: JSON.stringify(state) });
    const rung = call(name, "ring");
    await new Promise((resolve) => setTimeout(resolve, 150));
    await ingest(name, second === undefined ? [] : [second]);
    await rung;
    const pending = await call<object[]>(name, "rows", "SELECT seq FROM pending");
    const waitMs = Number(await call(name, "alarmAt")) - now;
    expect(pending.length === 0 || waitMs < 10_000).toBe(true);
    await setClock(now);
    await sum();
  });

  test("a ledger is named the shards with its first batch, and sends there", async () => {
    upstream.scriptFor("gpt-4.1-mini", { json: completion({ text: "hi" }) });
    const ask = async () => {
      const response = await worker.fetch("/v1/chat/completions", {
        method: "POST",
        headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "flow/best-reasoning", messages: [{ role: "user", content: "hi" }] }),
      });
      expect(response.status).toBe(200);
    };
    const listed = async () => (await listAll(`&key=${key.id}`, 50)).length;
    // Alarms keep to the true clock.
    await setClock(Date.now());
    const today = `${ENV}:${new Date().toISOString().slice(0, 10)}`;
    await call(today, "press", 1);
    await call(today, "spread", Date.now() - 1_000, 4);
    await ask();
    await vi.waitFor(async () => expect(await listed()).toBe(1), { timeout: 5_000 });
    await worker.fetch("/asked");
    await ask();
    await vi.waitFor(async () => expect(await listed()).toBe(2), { timeout: 5_000 });
    const asked = ((await (await worker.fetch("/asked")).json()) as string[]).filter((each) => /^ingest/.test(each));
    const [only, ...others] = asked;
    expect(others).toEqual([]);
    expect(only).toMatch(new RegExp(`^ingest ${today}:\\d\\d\\.${shardOf(key.id, 4)}-4$`));
    // The sums come by the shards' own alarms.
    type Spend = { data: { requests: number }[] };
    const spend = () => get<Spend>(`/admin/spend?group_by=key`);
    await vi.waitFor(async () => expect((await spend()).data.map(({ requests }) => requests)).toContain(2), {
      timeout: 8_000,
      interval: 200,
    });
  });

  test("a correction and an erasure reach the traces in shards", async () => {
    await setClock(START + 150 * 60_000);
    const wanted = sent.toSorted((a, b) => (a.created_at < b.created_at ? -1 : 1)).at(-1);
    const keyId = wanted?.key_id ?? "";
    const at = Math.floor(Date.parse(wanted?.created_at ?? "") / HOUR_MS) * HOUR_MS;
    const place = { app: wanted?.app, route: wanted?.route, api: "chat", status: wanted?.status, tags: {} };
    const adjustment = {
      ...{ seq: 1, at, provider: "openai", model: "gpt-4o-mini", place, nanoUsd: 500, priced: [0, 0, 0, 0] },
      traces: [{ id: wanted?.id, repricedUsd: 0.000_000_5 }],
    };
    await call(DAY, "adjust", { keyId, adjustments: [adjustment] });
    const page = await get<Page>(`/admin/traces?env=${ENV}&key=${keyId}&limit=1`);
    expect(page.data).toMatchObject([{ id: wanted?.id, repriced_usd: 0.000_000_5 }]);
    await call(DAY, "erase", keyId);
    expect(await listAll(`&key=${keyId}`, 50)).toEqual([]);
    const others = sent.filter(({ key_id }) => key_id !== keyId);
    expect(await listAll(`&since=${DATE}T00:00:00Z`, 50)).toEqual(idsOf(others));
  });
});

test("FLOW_TRACE_DAYS: the JSON of older traces goes, hour by hour; sums stay", async () => {
  const vars = { FLOW_TRACE_DAYS: "2" };
  const other = await startWorker({ front: FRONT, vars });
  const ask = async <T>(method: string, ...parameters: unknown[]): Promise<T> => {
    const body = JSON.stringify({ name: DAY, method, parameters });
    return (await (await other.fetch("/object", { method: "POST", body })).json()) as T;
  };
  try {
    const clock = async (at: number): Promise<void> => {
      await other.fetch("/state", { method: "PUT", body: JSON.stringify({ clockMs: at - Date.now() }) });
      await ask("ring");
    };
    await clock(START);
    const traces = [3, 6, 9].map((hour) => makeTrace({ env: ENV, at: Date.parse(DATE) + hour * HOUR_MS + 1_000 }));
    await ask("ingest", { keyId: traces[0]?.key_id, rows: traces.map((trace, at) => toRow(trace, at + 1)) });
    const kept = async () => (await ask<object[]>("rows", "SELECT seq FROM body")).length;
    expect(await kept()).toBe(3);
    await clock(Date.parse(DATE) + 2 * DAY_MS + 3 * HOUR_MS);
    for (let rung = 0; rung < 3; rung++) await ask("ring");
    expect(await kept()).toBe(3);
    await clock(Date.parse(DATE) + 2 * DAY_MS + 4 * HOUR_MS + 60_000);
    for (let rung = 0; rung < 3; rung++) await ask("ring");
    expect(await kept()).toBe(2);
    await clock(Date.parse(DATE) + 3 * DAY_MS + 60_000);
    for (let rung = 0; rung < 20; rung++) await ask("ring");
    expect(await kept()).toBe(0);
    const question = { groupBy: [], bucketMs: null, withRefused: false, withLatency: false };
    const span = { since: Date.parse(DATE), until: Date.parse(DATE) + DAY_MS };
    expect(await ask("usage", { ...question, ...span })).toMatchObject([{ counts: { requests: 3, nano_usd: 3_000 } }]);
  } finally {
    await other.stop();
  }
});
