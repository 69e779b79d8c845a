/** A key's money and traces, through HTTP, and what only the ledger's own methods can show: settling twice, paging. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Env } from "../../src/config.ts";
import { gateName } from "../../src/ledger/gates/gate.ts";
import type { KeyTerms, Reservation, SettleRow } from "../../src/ledger/types.ts";
import { newTraceId, type Trace } from "../../src/traces/schema.ts";
import { readStream } from "../support/sse.ts";
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
async function askAndSettle(key: CreatedKey, route: string, body = {}): Promise<{ status: number; trace: Trace }> {
  const response = await ask(key, route, body);
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
    const { KEY_LEDGER } = worker.bindings();
    expect(await KEY_LEDGER.getByName(key.id).spend(null)).toEqual({
      spentNanoUsd: 0,
      reservedNanoUsd: 0,
      requests: 2,
      unpricedRequests: 1,
    });
  });

  test("a spent budget refuses the next request and calls nobody", async () => {
    const key = await worker.createKey({ budget: { limit_usd: 0.0001, period: "day" } });
    upstream.script({ json: { ...completion(), usage: { prompt_tokens: 1_000, completion_tokens: 0 } } });
    expect((await askAndSettle(key, "priced", { max_tokens: 10 })).status).toBe(200);
    const refused = await ask(key, "priced");
    expect(refused.status).toBe(402);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(((await refused.json()) as { error: { code: string } }).error.code).toBe("budget_exceeded");
    expect(upstream.calls).toHaveLength(1);
    expect(await spendOf(key)).toMatchObject({ period: "day", spent_usd: 0.00015, remaining_usd: -0.00005 });
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

  test("an operator can see that the books of a key agree with their own rows", async () => {
    const key = await worker.createKey({ budget: { limit_usd: 1, period: "month" } });
    upstream.script({ json: { ...completion(), usage: { prompt_tokens: 1_000, completion_tokens: 0 } } });
    await askAndSettle(key, "priced");
    const audit = async (): Promise<Record<string, unknown>> =>
      (await (await worker.admin(`/admin/keys/${key.id}/ledger`)).json()) as Record<string, unknown>;
    // The trace reaches the index behind the answer.
    await expect.poll(async () => (await audit())["unshipped_traces"], { timeout: 6_000 }).toBe(0);
    const spent = { spent_usd: 0.00015, reserved_usd: 0, requests: 1, unpriced_requests: 0 };
    expect(await audit()).toEqual({
      ...{ object: "ledger_audit", consistent: true, revoked: false, key_version: 1 },
      periods: { day: spent, month: spent, total: spent },
      ...{ booked_usd: 0.00015, reserved_usd: 0, open_reservations_usd: 0, open_reservations: 0, open_requests: 0 },
      ...{ over_bound: 0, expired: 0, expired_usd: 0, unadmitted_usd: 0 },
      ...{ unshipped_traces: 0, lost_traces: 0, lost_usd: 0 },
    });
    expect((await worker.admin("/admin/keys/nobodysledge/ledger")).status).toBe(404);
    expect((await worker.fetch(`/admin/keys/${key.id}/ledger`, withKey(key))).status).toBe(401);
    expect((await worker.admin(`/admin/keys/${key.id}/ledger`, { method: "POST", body: {} })).status).toBe(405);
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
      await readStream(response);
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
    const { KEY_LEDGER } = worker.bindings();
    expect(await KEY_LEDGER.getByName(key.id).spend(null)).toEqual({
      spentNanoUsd: sumNanoUsd,
      reservedNanoUsd: 0,
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
    ({ KEY_LEDGER: ledgers } = worker.bindings());
  });

  const NO_TERMS: KeyTerms = { version: 1, budget: null, limits: null };
  let serial = 0;
  /** Every test has a key, and so a ledger, of its own. */
  const newKeyId = (): string => `ledger${String(serial++).padStart(6, "0")}`;
  const T0 = Date.UTC(2026, 10, 22, 12);

  /** The ledger reads only these of a trace; the others are the writer's. */
  function row(keyId: string, at: number, costNanoUsd: number | null, status: Trace["status"] = "ok"): SettleRow {
    const created_at = new Date(at).toISOString();
    const known = { id: newTraceId(keyId, at), key_id: keyId, env: "production", created_at, status, route: "flow/a" };
    const attempt = { attempt: 0, provider: "openai", model: "gpt-5", winner: true, outcome: "ok", costNanoUsd };
    return {
      ...{ id: known.id, status, route: known.route, trace: JSON.stringify(known), costNanoUsd, env: known.env },
      attempts: [{ ...attempt, basis: "{}", source: "upstream" }],
      ...{ tokens: 10, unadmittedNanoUsd: 0, startedAt: Date.now(), terms: null },
    };
  }

  const hold = (keyId: string, members: Partial<Reservation> = {}): Reservation => ({
    ...{ traceId: newTraceId(keyId, Date.now()), attempt: 0, boundNanoUsd: 100, boundTokens: 50 },
    ...{ expiresAt: Date.now() + 60_000, provider: "openai", model: "gpt-5", terms: NO_TERMS, ...members },
  });

  test("a row costs once, however often and in whatever company it is sent", async () => {
    const keyId = newKeyId();
    const [first, second] = [row(keyId, T0, 5), row(keyId, T0 + 1, 7)];
    await ledgers.getByName(keyId).settle([first, first]);
    await Promise.all(Array.from({ length: 10 }, () => ledgers.getByName(keyId).settle([first, second])));
    expect(await ledgers.getByName(keyId).spend(null)).toEqual({
      spentNanoUsd: 12,
      reservedNanoUsd: 0,
      requests: 2,
      unpricedRequests: 0,
    });
  });

  test("nothing to settle is nothing settled", async () => {
    const keyId = newKeyId();
    const nothing = { revoked: false, keyVersion: 0, remainingNanoUsd: null };
    expect(await ledgers.getByName(keyId).settle([])).toEqual(nothing);
    expect(await ledgers.getByName(keyId).traces({ limit: 10 })).toEqual({ data: [], next_cursor: null });
  });

  test("through gates and past them at once, a key is held to its budget and each row is booked once", async () => {
    const keyId = newKeyId();
    const terms: KeyTerms = { version: 2, budget: { limit_usd: 0.00001, period: "total" }, limits: null };
    const gate = (number: number) => ledgers.getByName(gateName(keyId, number % 4));
    const asked = Array.from({ length: 300 }, () => hold(keyId, { terms }));
    const answers = await Promise.all(
      asked.map(async (each, at) =>
        at % 5 === 0 ? ledgers.getByName(keyId).reserve(each) : (await gate(at).gateReserve([each]))[0],
      ),
    );
    const admitted = asked.filter((_, at) => answers[at]?.ok);
    expect(admitted).toHaveLength(100);
    const rows = admitted.map((each) => ({ ...row(keyId, T0, 100), id: each.traceId }));
    // Each by one gate, by another one because the first one's answer was lost, and by some isolate itself.
    await Promise.all(
      rows.flatMap((each, at) => [
        gate(at).gateSettle([each], "a"),
        gate(at + 1).gateSettle([each], "b"),
        ...(at % 3 === 0 ? [ledgers.getByName(keyId).settle([each], "c")] : []),
      ]),
    );
    expect(await ledgers.getByName(keyId).audit()).toMatchObject({
      ...{ isConsistent: true, openReservations: 0, total: { spentNanoUsd: 10_000, requests: 100 } },
    });
    expect(await gate(0).gateReserve([hold(keyId, { terms })])).toMatchObject([{ ok: false, reason: "budget" }]);
    await ledgers.getByName(keyId).revoke();
    expect(await gate(1).gateReserve([hold(keyId, { terms })])).toMatchObject([{ ok: false, reason: "revoked" }]);
    expect(await gate(2).gateSettle([row(keyId, T0, 1)], "a")).toMatchObject({ revoked: true });
    // A gate has no books, and a ledger is no gate.
    expect(await gate(2).audit()).toMatchObject({ total: { requests: 0 } });
    await expect(ledgers.getByName(keyId).gateSettle([], "a")).rejects.toThrow();
  });

  test("a revoked key is not admitted, and what it still owes is booked", async () => {
    const keyId = newKeyId();
    await ledgers.getByName(keyId).revoke();
    await ledgers.getByName(keyId).revoke();
    expect(await ledgers.getByName(keyId).reserve(hold(keyId))).toMatchObject({ ok: false, reason: "revoked" });
    expect(await ledgers.getByName(keyId).settle([row(keyId, T0, 5)])).toMatchObject({ revoked: true });
    expect(await ledgers.getByName(keyId).spend(null)).toMatchObject({ spentNanoUsd: 5 });
  });

  test("of 100 reservations at once exactly as many are granted as the budget holds", async () => {
    const keyId = newKeyId();
    const terms = { ...NO_TERMS, budget: { limit_usd: 0.000025, period: "total" as const } };
    const holds = Array.from({ length: 100 }, () => hold(keyId, { terms, boundNanoUsd: 1_000 }));
    const answers = await Promise.all(holds.map((each) => ledgers.getByName(keyId).reserve(each)));
    const granted = holds.filter((_, index) => answers[index]?.ok === true);
    expect(granted).toHaveLength(25);
    const rows = granted.map(({ traceId }) => ({ ...row(keyId, T0, 400), id: traceId }));
    await Promise.all(rows.flatMap((each) => [1, 2, 3].map(() => ledgers.getByName(keyId).settle([each]))));
    expect(await ledgers.getByName(keyId).audit()).toMatchObject({
      ...{ isConsistent: true, openReservations: 0, reservedNanoUsd: 0, total: { spentNanoUsd: 10_000, requests: 25 } },
    });
  });

  test("a reservation sent 40 times at once is held once", async () => {
    const keyId = newKeyId();
    const once = hold(keyId);
    const answers = await Promise.all(Array.from({ length: 40 }, () => ledgers.getByName(keyId).reserve(once)));
    expect(answers.every(({ ok }) => ok)).toBe(true);
    expect(await ledgers.getByName(keyId).audit()).toMatchObject({ openReservations: 1, reservedNanoUsd: 100 });
    await Promise.all([0, 0, 0].map(() => ledgers.getByName(keyId).release(once.traceId, 0)));
    expect(await ledgers.getByName(keyId).audit()).toMatchObject({ openReservations: 0, reservedNanoUsd: 0 });
  });

  test("what nobody settles is charged by the alarm, and corrected by who settles late", async () => {
    const keyId = newKeyId();
    const late = hold(keyId, { expiresAt: Date.now() + 200 });
    const never = hold(keyId, { expiresAt: Date.now() + 200 });
    for (const each of [late, never]) await ledgers.getByName(keyId).reserve(each);
    const spent = async (): Promise<number> => (await ledgers.getByName(keyId).spend(null)).spentNanoUsd;
    await expect.poll(spent, { timeout: 5_000 }).toBe(200);
    await ledgers.getByName(keyId).settle([{ ...row(keyId, T0, 30), id: late.traceId }]);
    expect(await ledgers.getByName(keyId).audit()).toMatchObject({
      ...{ isConsistent: true, expired: 1, expiredNanoUsd: 100, total: { spentNanoUsd: 130 } },
    });
  });

  test("limits are kept, and what is left of them is told", async () => {
    const keyId = newKeyId();
    const terms = { ...NO_TERMS, limits: { requests_per_minute: 3, tokens_per_minute: 1_000, concurrency: 2 } };
    const [first, second] = [hold(keyId, { terms }), hold(keyId, { terms })];
    expect(await ledgers.getByName(keyId).reserve(first)).toMatchObject({
      ...{ ok: true, rate: { limitRequests: 3, remainingRequests: 2, limitTokens: 1_000, remainingTokens: 950 } },
    });
    await ledgers.getByName(keyId).reserve(second);
    const refused = await ledgers.getByName(keyId).reserve(hold(keyId, { terms }));
    expect(refused).toMatchObject({ ok: false, reason: "concurrency", retryAfterMs: 1_000 });
    await ledgers.getByName(keyId).settle([{ ...row(keyId, T0, 5), id: first.traceId }]);
    expect(await ledgers.getByName(keyId).reserve(hold(keyId, { terms }))).toMatchObject({ ok: true });
    await ledgers.getByName(keyId).settle([{ ...row(keyId, T0, 5), id: second.traceId }]);
    expect(await ledgers.getByName(keyId).reserve(hold(keyId, { terms }))).toMatchObject({
      ...{ ok: false, reason: "requests" },
    });
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
