/** What the router depends on fails, hangs or lies: what goes on, what is refused, and that nothing is lost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { type ErrorBody, expectError } from "../support/chat.ts";
import { FAULTS_FRONT, kvReads, setFaults } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
  worker = await startWorker({ vars, front: FAULTS_FRONT });
});
afterEach(() => setFaults(worker));
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

interface Own {
  readonly key: CreatedKey;
  readonly model: string;
  calls(): number;
  ask(body?: object): Promise<Response>;
  traces(): Promise<readonly Trace[]>;
}

let count = 0;

/** A key, a route and an upstream model that no other test has. `before`: targets that come first. */
async function own(spec: Readonly<Record<string, unknown>> = {}, before: readonly object[] = []): Promise<Own> {
  const name = `outage-${++count}`;
  const upstreamModel = pricedModel();
  const targets = [...before, { provider: "openai", model: upstreamModel }];
  await worker.putRoute("production", name, { retry: { same_target: 0 }, targets });
  const key = await worker.createKey(spec);
  upstream.scriptFor(upstreamModel, { json: completion() });
  const headers = { authorization: `Bearer ${key.key}`, "content-type": "application/json" };
  return {
    key,
    model: `flow/${name}`,
    calls: () => upstream.callsTo(upstreamModel).length,
    ask: (body = {}) =>
      worker.fetch("/v1/chat/completions", {
        method: "POST",
        headers,
        body: JSON.stringify({ model: `flow/${name}`, messages: [{ role: "user", content: "hi" }], ...body }),
      }),
    async traces() {
      const list = (await (await worker.fetch("/v1/traces?limit=1000", { headers })).json()) as { data: Trace[] };
      return list.data;
    },
  };
}

async function warm(spec: Readonly<Record<string, unknown>> = {}): Promise<Own> {
  const mine = await own(spec);
  expect((await mine.ask()).status).toBe(200);
  return mine;
}

async function expectUnavailable(
  response: Response,
  code: "policy_unavailable" | "ledger_unavailable",
): Promise<ErrorBody> {
  expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
  return expectError(response, { status: 503, code, retry: true });
}

describe("KV", () => {
  test.each([
    { name: "a mistyped key", spoil: (key: string) => key.slice(0, -1) + (key.endsWith("a") ? "b" : "a") },
    { name: "another environment's name on a key", spoil: (key: string) => key.replace("production", "staging") },
    { name: "another key's id", spoil: (key: string) => key.replace(/_(\w{12})_/, "_aaaaaaaaaaaa_") },
  ])("$name costs no read and calls nobody", async ({ spoil }) => {
    const mine = await own();
    const before = await kvReads(worker);
    const headers = { authorization: `Bearer ${spoil(mine.key.key)}`, "content-type": "application/json" };
    const response = await worker.fetch("/v1/chat/completions", { method: "POST", headers, body: "{}" });
    await expectError(response, { status: 401, code: "invalid_api_key" });
    expect(await kvReads(worker)).toBe(before);
    expect(mine.calls()).toBe(0);
  });

  test.each(["fail", "hang", "corrupt"] as const)(
    "when policies %s, the last good one stays in force for as long as the isolate lives",
    async (how) => {
      const mine = await warm();
      // Key records can still be read: only the policy is old.
      for (const clockMs of [MINUTE_MS, HOUR_MS, 24 * HOUR_MS]) {
        await setFaults(worker, { kv: { prefix: "route:", how }, clockMs });
        const response = await mine.ask();
        expect({ clockMs, status: response.status }).toEqual({ clockMs, status: 200 });
        expect(response.headers.get("x-flowlayer-route-version")).toBe("1");
      }
      expect(mine.calls()).toBe(4);
    },
  );

  test.each(["fail", "hang", "corrupt"] as const)(
    "when key records %s, the last good one serves for five minutes and no longer",
    async (how) => {
      const mine = await warm();
      await setFaults(worker, { kv: { prefix: "key:", how }, clockMs: 4.5 * MINUTE_MS });
      expect((await mine.ask()).status).toBe(200);
      await setFaults(worker, { kv: { prefix: "key:", how }, clockMs: 5.5 * MINUTE_MS });
      await expectUnavailable(await mine.ask(), "policy_unavailable");
      expect(mine.calls()).toBe(2);
      await setFaults(worker, { clockMs: 6 * MINUTE_MS });
      expect((await mine.ask()).status).toBe(200);
    },
  );

  test.each([
    { prefix: "key:", how: "fail" },
    { prefix: "key:", how: "corrupt" },
    { prefix: "route:", how: "fail" },
    { prefix: "route:", how: "corrupt" },
  ] as const)("a first read of $prefix that is met by $how is refused, and the next request is served", async (kv) => {
    const mine = await own();
    await setFaults(worker, { kv });
    const { error } = await expectUnavailable(await mine.ask(), "policy_unavailable");
    expect(error.message).not.toMatch(/KV|JSON|half/);
    expect(mine.calls()).toBe(0);
    await setFaults(worker);
    expect((await mine.ask()).status).toBe(200);
    expect(mine.calls()).toBe(1);
  });

  test("the model list says that it cannot be read, not that there are no models", async () => {
    // An environment nobody has asked for yet.
    const key = await worker.createKey({ env: "outage" });
    await setFaults(worker, { kv: { prefix: "routes:", how: "fail" } });
    const response = await worker.fetch("/v1/models", { headers: { authorization: `Bearer ${key.key}` } });
    await expectUnavailable(response, "policy_unavailable");
  });
});

describe("the ledger", () => {
  test.each(["reset", "overloaded", "hang"] as const)(
    "%s: a key without budget and limits is served, and settled once when the ledger is back",
    async (ledger) => {
      const mine = await warm();
      await setFaults(worker, { ledger });
      const startedAt = performance.now();
      const answers = await Promise.all([mine.ask(), mine.ask(), mine.ask()]);
      expect(performance.now() - startedAt).toBeLessThan(1_500);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      await Promise.all(answers.map((answer) => answer.text()));
      // Longer than the first pause: the rows have been refused at least once.
      await expect.poll(() => performance.now() - startedAt, { timeout: 3_000 }).toBeGreaterThan(1_200);
      await setFaults(worker);
      await expect.poll(async () => (await mine.traces()).length, { timeout: 12_000, interval: 100 }).toBe(4);
      expect(mine.calls()).toBe(4);
      expect(worker.logs()).not.toContain("spend_unsettled");
    },
  );

  test.each([
    { ledger: "reset", key: { budget: { limit_usd: 1, period: "day" } } },
    { ledger: "overloaded", key: { budget: { limit_usd: 1, period: "total" } } },
    { ledger: "hang", key: { budget: { limit_usd: 1, period: "month" } } },
    { ledger: "reset", key: { limits: { requests_per_minute: 10 } } },
  ] as const)("$ledger: a key with $key is refused within seconds and calls nobody", async ({ ledger, key }) => {
    const mine = await own(key);
    await setFaults(worker, { ledger });
    const startedAt = performance.now();
    await expectUnavailable(await mine.ask(), "ledger_unavailable");
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(mine.calls()).toBe(0);
    await setFaults(worker);
    expect((await mine.ask()).status).toBe(200);
  });

  test("traces that cannot be read are an error of their own", async () => {
    const mine = await own();
    await setFaults(worker, { ledger: "reset" });
    const headers = { authorization: `Bearer ${mine.key.key}` };
    await expectUnavailable(await worker.fetch("/v1/traces", { headers }), "ledger_unavailable");
  });
});

describe("the health of targets", () => {
  test.each(["reset", "hang"] as const)(
    "%s: adds nothing to a request, and what the isolate sees itself still keeps it from a failing target",
    async (health) => {
      const failing = `failing-${++count}`;
      upstream.scriptFor(failing, { status: 500, json: { error: { message: "no" } } });
      const mine = await own({}, [{ provider: "openai", model: failing }]);
      await setFaults(worker, { health });
      for (let round = 0; round < 5; round++) {
        const startedAt = performance.now();
        const response = await mine.ask();
        expect(performance.now() - startedAt).toBeLessThan(1_000);
        expect([response.status, response.headers.get("x-flowlayer-fallback")]).toEqual([200, "true"]);
      }
      expect([upstream.callsTo(failing).length, mine.calls()]).toEqual([3, 5]);
    },
  );
});
