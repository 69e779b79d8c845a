/** A key's money and traces, through HTTP, and what only the ledger's own methods can show: settling twice, paging. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Env } from "../../src/env.ts";
import type { SettleRow } from "../../src/spend/types.ts";
import { newTraceId, type Trace } from "../../src/traces/schema.ts";
import { chunks, completion, type Script, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` } });
  await worker.putRoute("production", "priced", { targets: [{ provider: "openai", model: "gpt-4o-mini" }] });
  await worker.putRoute("production", "unpriced", { targets: [{ provider: "openai", model: "gpt-nobody-knows" }] });
  await worker.putRoute("production", "free", { targets: [{ provider: "sandbox", model: "free-1" }] });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});
beforeEach(() => upstream.reset());

interface TraceList {
  readonly data: readonly Trace[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

const withKey = (key: CreatedKey): RequestInit => ({ headers: { authorization: `Bearer ${key.key}` } });

function ask(key: CreatedKey, route: string, body: object = {}): Promise<Response> {
  return worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: `flow/${route}`, messages: [{ role: "user", content: "hi" }], ...body }),
  });
}

/** Asks and waits until the request is settled. */
async function askAndSettle(key: CreatedKey, route: string): Promise<{ status: number; trace: Trace }> {
  const response = await ask(key, route);
  await response.text();
  const path = `/v1/traces/${response.headers.get("x-flowlayer-trace-id")}`;
  await expect.poll(async () => (await worker.fetch(path, withKey(key))).status, { timeout: 5_000 }).toBe(200);
  return { status: response.status, trace: (await (await worker.fetch(path, withKey(key))).json()) as Trace };
}

async function spendOf(key: CreatedKey): Promise<unknown> {
  const body = (await (await worker.admin(`/admin/keys/${key.id}`)).json()) as { spend: unknown };
  return body.spend;
}

describe("over HTTP", () => {
  test("a request costs its tokens at the model's price, on the answer, the trace and the key", async () => {
    const key = await worker.createKey();
    upstream.script({
      json: {
        ...completion(),
        usage: { prompt_tokens: 1_000, completion_tokens: 10, prompt_tokens_details: { cached_tokens: 600 } },
      },
    });
    // 400 × 150 + 600 × 75 + 10 × 600 nano-USD.
    const { trace } = await askAndSettle(key, "priced");
    expect(trace.cost_usd).toBe(0.000111);
    expect(trace.usage).toMatchObject({ prompt_tokens: 1_000, cached_tokens: 600, source: "upstream" });
    expect(await spendOf(key)).toEqual({
      period: "total",
      limit_usd: null,
      spent_usd: 0.000111,
      reserved_usd: 0,
      remaining_usd: null,
    });
  });

  test("a free model costs nothing, and one without a price an unknown sum", async () => {
    const key = await worker.createKey();
    expect((await askAndSettle(key, "free")).trace.cost_usd).toBe(0);
    expect((await askAndSettle(key, "unpriced")).trace.cost_usd).toBeNull();
    const { KEY_LEDGER } = await worker.bindings();
    expect(await KEY_LEDGER.getByName(key.id).spend(null)).toEqual({
      spentNanoUsd: 0,
      requests: 2,
      unpricedRequests: 1,
    });
  });

  test("a spent budget refuses the next request and calls nobody", async () => {
    const key = await worker.createKey({ budget: { limit_usd: 0.0001, period: "day" } });
    upstream.script({ json: { ...completion(), usage: { prompt_tokens: 1_000, completion_tokens: 0 } } });
    expect((await askAndSettle(key, "priced")).status).toBe(200);
    const refused = await ask(key, "priced");
    expect(refused.status).toBe(402);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(((await refused.json()) as { error: { code: string } }).error.code).toBe("budget_exceeded");
    expect(upstream.calls).toHaveLength(1);
    expect(await spendOf(key)).toMatchObject({ period: "day", spent_usd: 0.00015, remaining_usd: 0 });
  });

  test("a key's traces are listed newest first, in pages, by status and by route", async () => {
    const key = await worker.createKey();
    const made: string[] = [];
    for (const route of ["priced", "free", "priced"]) made.unshift((await askAndSettle(key, route)).trace.id);
    const list = async (query: string): Promise<TraceList> =>
      (await (await worker.fetch(`/v1/traces?${query}`, withKey(key))).json()) as TraceList;
    const ids = ({ data }: TraceList): string[] => data.map((trace) => trace.id);

    expect(ids(await list(""))).toEqual(made);
    const first = await list("limit=2");
    expect(ids(first)).toEqual(made.slice(0, 2));
    expect(first.has_more).toBe(true);
    const second = await list(`limit=2&cursor=${first.next_cursor}`);
    expect(ids(second)).toEqual(made.slice(2));
    expect([second.has_more, second.next_cursor]).toEqual([false, null]);
    expect(ids(await list("route=flow/free"))).toEqual([made[1]]);
    expect(ids(await list("status=error"))).toEqual([]);
  });

  test("requests that end together are each booked once", async () => {
    const key = await worker.createKey();
    upstream.script({ json: { ...completion(), usage: { prompt_tokens: 10, completion_tokens: 1 } } });
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(key, "priced")));
    expect(answers.map((answer) => answer.status)).toEqual(Array(60).fill(200));
    // 60 × (10 × 150 + 600) nano-USD.
    await expect.poll(() => spendOf(key), { timeout: 5_000 }).toMatchObject({ spent_usd: 0.000126 });
  });

  test("of 200 requests at once, whatever their end, each has one trace, and the key has spent their sum", async () => {
    const key = await worker.createKey();
    const model = "gpt-4.1-mini";
    await worker.putRoute("production", "crowd", {
      targets: [{ provider: "openai", model }],
      retry: { same_target: 0 },
    });
    const endings: readonly { readonly body: object; readonly script: Script }[] = [
      { body: {}, script: { json: completion() } },
      { body: { stream: true, stream_options: { include_usage: true } }, script: { events: chunks("Read by a tap.") } },
      { body: { stream: true }, script: { events: chunks("Read by a pump.") } },
      { body: { stream: true }, script: { events: chunks("Cut short", { finish: null, usage: null, done: false }) } },
      { body: {}, script: { status: 400, json: { error: { message: "no", type: "invalid_request_error" } } } },
    ];
    upstream.scriptFor(model, (call) => {
      const { user } = JSON.parse(call.body) as { user: string };
      return endings[Number(user) % endings.length]!.script;
    });
    const answers = Array.from({ length: 200 }, async (_, index) => {
      const body = { user: String(index), ...endings[index % endings.length]!.body };
      const response = await ask(key, "crowd", body);
      await response.text();
      return response.headers.get("x-request-id");
    });
    const ids = await Promise.all(answers);
    expect(upstream.callsTo(model)).toHaveLength(200);
    const traces = async (): Promise<readonly Trace[]> =>
      ((await (await worker.fetch("/v1/traces?limit=1000", withKey(key))).json()) as TraceList).data;
    await expect.poll(async () => (await traces()).length, { timeout: 8_000 }).toBe(200);
    const settled = await traces();
    expect(settled.map(({ id }) => id).sort()).toEqual(ids.sort());
    expect(Object.groupBy(settled, ({ status }) => status).ok).toHaveLength(120);
    const sumNanoUsd = settled.reduce((sum, { cost_usd }) => sum + Math.round((cost_usd ?? 0) * 1e9), 0);
    expect(sumNanoUsd).toBeGreaterThan(0);
    const { KEY_LEDGER } = await worker.bindings();
    expect(await KEY_LEDGER.getByName(key.id).spend(null)).toEqual({
      spentNanoUsd: sumNanoUsd,
      requests: 200,
      unpricedRequests: 0,
    });
  });

  test("however many tools a model calls, and however it names them, the trace stays small", async () => {
    const key = await worker.createKey();
    const toolCalls = Array.from({ length: 1_000 }, (_, index) => ({
      id: `call_${index}`,
      name: `${index}_${"x".repeat(5_000)}`,
      arguments: "{}",
    }));
    upstream.script({ json: completion({ toolCalls }) });
    const { trace } = await askAndSettle(key, "priced");
    expect(trace.tool_calls.length).toBe(128);
    expect(trace.tool_calls[7]).toMatch(/^7_x+$/);
    // A row of the ledger may have 2 MB on the platform; one that does not fit takes its whole batch with it.
    expect(JSON.stringify(trace).length).toBeLessThan(32_000);
  });
});

describe("the ledger itself", () => {
  let ledgers: Env["KEY_LEDGER"];
  beforeAll(async () => {
    ({ KEY_LEDGER: ledgers } = await worker.bindings());
  });

  let serial = 0;
  /** Every test has a key, and so a ledger, of its own. */
  const newKeyId = (): string => `ledger${String(serial++).padStart(6, "0")}`;
  const T0 = Date.UTC(2026, 10, 22, 12);

  /** The ledger reads only these of a trace; the others are the writer's. */
  function row(keyId: string, at: number, costNanoUsd: number | null, status: Trace["status"] = "ok"): SettleRow {
    const known = { id: newTraceId(keyId, at), key_id: keyId, status, route: "flow/a" };
    return { id: known.id, status, route: known.route, trace: JSON.stringify(known), costNanoUsd };
  }

  test("a row costs once, however often and in whatever company it is sent", async () => {
    const keyId = newKeyId();
    const [first, second] = [row(keyId, T0, 5), row(keyId, T0 + 1, 7)];
    await ledgers.getByName(keyId).settle([first, first]);
    await Promise.all(Array.from({ length: 10 }, () => ledgers.getByName(keyId).settle([first, second])));
    expect(await ledgers.getByName(keyId).spend(null)).toEqual({
      spentNanoUsd: 12,
      requests: 2,
      unpricedRequests: 0,
    });
  });

  test("nothing to settle is nothing settled", async () => {
    const keyId = newKeyId();
    expect(await ledgers.getByName(keyId).settle([])).toEqual({ revoked: false });
    expect(await ledgers.getByName(keyId).traces({ limit: 10 })).toEqual({ data: [], next_cursor: null });
  });

  test.each([
    { name: "no budget", limitUsd: null, answer: { ok: true, remainingNanoUsd: null } },
    { name: "room", limitUsd: 0.000001, answer: { ok: true, remainingNanoUsd: 1 } },
    { name: "exactly spent", limitUsd: 0.000000999, answer: { ok: false, reason: "budget" } },
    { name: "overspent", limitUsd: 0.0000005, answer: { ok: false, reason: "budget" } },
  ])("admission with $name", async ({ limitUsd, answer }) => {
    const keyId = newKeyId();
    await ledgers.getByName(keyId).settle([row(keyId, T0, 999)]);
    const budget = limitUsd === null ? null : { limit_usd: limitUsd, period: "day" as const };
    expect(await ledgers.getByName(keyId).admit(budget, Date.now())).toEqual(answer);
  });

  test("a new day and a new month start with the whole budget, a total does not", async () => {
    const keyId = newKeyId();
    await ledgers.getByName(keyId).settle([row(keyId, T0, 100)]);
    const later = Date.now() + 40 * 86_400_000;
    const admit = (period: "day" | "month" | "total") =>
      ledgers.getByName(keyId).admit({ limit_usd: 0.0000001, period }, later);
    expect(await admit("day")).toEqual({ ok: true, remainingNanoUsd: 100 });
    expect(await admit("month")).toEqual({ ok: true, remainingNanoUsd: 100 });
    expect(await admit("total")).toEqual({ ok: false, reason: "budget" });
  });

  test("a revoked key is not admitted, and what it still owes is booked", async () => {
    const keyId = newKeyId();
    await ledgers.getByName(keyId).revoke();
    await ledgers.getByName(keyId).revoke();
    expect(await ledgers.getByName(keyId).admit(null, T0)).toEqual({ ok: false, reason: "revoked" });
    expect(await ledgers.getByName(keyId).settle([row(keyId, T0, 5)])).toEqual({ revoked: true });
    expect(await ledgers.getByName(keyId).spend(null)).toMatchObject({ spentNanoUsd: 5 });
  });

  test("traces are cut by time, since inclusive and until exclusive", async () => {
    const keyId = newKeyId();
    const rows = [0, 1, 2, 3].map((second) => row(keyId, T0 + second * 1_000, 1, second === 2 ? "error" : "ok"));
    await ledgers.getByName(keyId).settle(rows);
    const list = async (query: Record<string, unknown>): Promise<number[]> => {
      const { data } = await ledgers.getByName(keyId).traces({ limit: 10, ...query });
      return data.map((trace) => rows.findIndex((each) => each.id === trace.id));
    };
    expect(await list({})).toEqual([3, 2, 1, 0]);
    expect(await list({ since: T0 + 1_000, until: T0 + 3_000 })).toEqual([2, 1]);
    expect(await list({ since: T0 - 9_000, until: Number.MAX_SAFE_INTEGER })).toEqual([3, 2, 1, 0]);
    expect(await list({ until: T0 })).toEqual([]);
    expect(await list({ status: "error" })).toEqual([2]);
    expect(await list({ cursor: rows[2]?.id, since: T0 + 1_000 })).toEqual([1]);
    expect(await list({ limit: 0 })).toEqual([3]);
  });
});
