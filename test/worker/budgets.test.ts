/** Budgets above keys, over HTTP: who meets them, what they refuse, what counts, and how they stand. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditOf, expectRefusal, type Json, okBody, withoutAudit } from "../support/admin.ts";
import { pricedModel } from "../support/models.ts";
import { completion, startUpstream, type Upstream, usage } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

/** 100 prompt tokens at 400 nano-USD and 10 of the answer at 1,600. */
const COST = 0.000_056;

let upstream: Upstream;
let worker: TestWorker;
let names = 0;

beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` } });
  const model = pricedModel();
  await worker.putRoute("production", "paid", { targets: [{ provider: "openai", model }] });
  await worker.putRoute("production", "free", { targets: [{ provider: "sandbox", model: "deep-1" }] });
  upstream.scriptFor(model, { json: completion({ usage: usage(100, 10) }) });
});
afterAll(async () => {
  const logs = worker.logs();
  await worker.stop();
  await upstream.stop();
  expect(logs).not.toMatch(/unexpected_error|uncaught|unhandled/i);
});

interface Budget {
  readonly id: string;
  readonly status: {
    readonly period_start: string | null;
    readonly resets_at: string | null;
    readonly spent_usd: number;
    readonly leased_usd: number;
    readonly remaining_usd: number;
  };
}

const newName = (): string => `own${names++}`;

function ask(key: CreatedKey, app: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: {
      authorization: `Bearer ${key.key}`,
      "content-type": "application/json",
      "x-flowlayer-app": app,
      ...headers,
    },
    body: JSON.stringify({
      model: "flow/paid",
      max_tokens: 100,
      messages: [{ role: "user", content: "hi" }],
      ...body,
    }),
  });
}

async function statusOf(key: CreatedKey, app: string, body: object = {}): Promise<number> {
  const response = await ask(key, app, body);
  await response.text();
  return response.status;
}

const put = (id: string, body: unknown): Promise<Response> =>
  worker.admin(`/admin/budgets/${id}`, { method: "PUT", body });
const show = async (id: string): Promise<Budget> =>
  (await okBody(await worker.admin(`/admin/budgets/${id}`))) as unknown as Budget;
const spentBy = (id: string) =>
  expect.poll(async () => (await show(id)).status.spent_usd, { timeout: 5_000, interval: 50 });

/** Settled as far as the ledger of the key goes. */
async function booked(key: CreatedKey, requests: number): Promise<void> {
  const books = async () => {
    const body = (await okBody(await worker.admin(`/admin/keys/${key.id}/ledger`))) as unknown as {
      readonly periods: { readonly total: { readonly requests: number } };
    };
    return body.periods.total.requests;
  };
  await expect.poll(books, { timeout: 5_000 }).toBe(requests);
}

describe("PUT /admin/budgets/{id}", () => {
  test("makes and changes a budget, each with a line in the audit", async () => {
    const id = newName();
    const body = { scope: { env: "production", app: id }, limit_usd: 2, period: "week", time_zone: "Europe/Berlin" };
    const made = await okBody(await put(id, body));
    expect(made).toMatchObject({ id, ...body, on_exceeded: "deny" });
    expect(made["status"]).toMatchObject({ spent_usd: 0, leased_usd: 0, remaining_usd: 2 });
    const { period_start, resets_at } = (made as unknown as Budget).status;
    expect(Date.parse(resets_at ?? "") - Date.parse(period_start ?? "")).toBeGreaterThanOrEqual(167 * 3_600_000);
    const changed = await okBody(await put(id, { ...body, limit_usd: 3, on_exceeded: "notify" }));
    expect(changed).toMatchObject({ limit_usd: 3, on_exceeded: "notify", created_at: made["created_at"] });
    expect(await show(id)).toEqual(changed);
    await withoutAudit(worker, () => put(id, { ...body, limit_usd: 3, on_exceeded: "notify" }));
    expect(await auditOf(worker, `budget ${id}`)).toMatchObject([
      { action: "budget.put", before: { limit_usd: 2, on_exceeded: "deny" }, after: { limit_usd: 3 } },
      { action: "budget.put", before: null },
    ]);
    const list = await okBody(await worker.admin("/admin/budgets?limit=1000"));
    expect(list["data"]).toContainEqual(changed);
  });

  test.each<{ name: string; body: Json; param: string }>([
    { name: "no scope", body: { scope: undefined }, param: "scope" },
    { name: "an unknown member of the scope", body: { scope: { team: "a" } }, param: "scope.team" },
    { name: "an app that cannot be one", body: { scope: { app: "A b" } }, param: "scope.app" },
    { name: "a key that does not exist", body: { scope: { keys: ["aaaaaaaaaaaa"] } }, param: "scope.keys[0]" },
    { name: "no key", body: { scope: { keys: [] } }, param: "scope.keys" },
    { name: "a tag that is not summed", body: { scope: { tag: { name: "x", value: "y" } } }, param: "scope.tag.name" },
    { name: "a limit of nothing", body: { limit_usd: 0 }, param: "limit_usd" },
    { name: "a period that does not exist", body: { period: "year" }, param: "period" },
    { name: "a zone that does not exist", body: { time_zone: "Mars/Olympus" }, param: "time_zone" },
    { name: "another end", body: { on_exceeded: "warn" }, param: "on_exceeded" },
  ])("refuses $name with its path, and changes nothing", async ({ body, param }) => {
    await withoutAudit(worker, async () => {
      const response = await put(newName(), { scope: {}, limit_usd: 1, period: "day", ...body });
      await expectRefusal(response, { status: 400, code: "invalid_request", param });
    });
  });

  test("refuses an id that is no name, and knows no other", async () => {
    await expectRefusal(await put("A%20b", { scope: {}, limit_usd: 1, period: "day" }), {
      ...{ status: 400, code: "invalid_request", param: "id" },
    });
    for (const method of ["GET", "DELETE"]) {
      const response = await worker.admin("/admin/budgets/none", { method });
      await expectRefusal(response, { status: 404, code: "not_found", param: null });
    }
  });
});

describe("a budget above keys", () => {
  test("refuses what would pass it, whichever key asks, and says what would fit", async () => {
    const app = newName();
    const [first, second, other] = await Promise.all([worker.createKey(), worker.createKey(), worker.createKey()]);
    await okBody(await put(app, { scope: { env: "production", app }, limit_usd: 0.000_4, period: "day" }));
    expect([await statusOf(first, app), await statusOf(second, app)]).toEqual([200, 200]);
    await spentBy(app).toBe(2 * COST);
    let refused = await ask(first, app);
    for (let tries = 0; refused.status === 200 && tries < 10; tries++) refused = await ask(second, app);
    const { error } = (await refused.json()) as { error: { code: string; message: string; limit: Json } };
    expect([refused.status, error.code]).toEqual([402, "budget_exceeded"]);
    expect(error.limit).toMatchObject({ kind: "budget", id: app, limit: 0.000_4 });
    expect(error.limit["resets_at"]).toMatch(/T00:00:00.000Z$/);
    expect(error.message).toContain(`\`${app}\``);
    expect(error.message).toContain("$0.0004");
    const { max_tokens, remaining_usd, bound_usd } = error.limit as Record<string, number>;
    expect(bound_usd).toBeGreaterThan(remaining_usd ?? 0);
    // It costs what it costs, so a smaller cap fits for as long as it says.
    if (max_tokens !== undefined) expect(await statusOf(first, app, { max_tokens })).toBe(200);
    // Other apps and free answers go on.
    expect(await statusOf(other, newName())).toBe(200);
    expect(await statusOf(first, app, { model: "flow/free" })).toBe(200);
    expect((await show(app)).status.spent_usd).toBeLessThanOrEqual(0.000_4);
    // A raised limit works at once in the isolate that raised it.
    await okBody(await put(app, { scope: { env: "production", app }, limit_usd: 1, period: "day" }));
    expect(await statusOf(first, app)).toBe(200);
  });

  test("counts what its period had spent before, of its own requests only", async () => {
    const app = newName();
    const [key, other] = await Promise.all([worker.createKey(), worker.createKey()]);
    for (const each of [app, app, newName()]) expect(await statusOf(key, each)).toBe(200);
    expect(await statusOf(other, app)).toBe(200);
    await Promise.all([booked(key, 3), booked(other, 1)]);
    const of = async (scope: object): Promise<number> => {
      const made = (await okBody(await put(newName(), { scope, limit_usd: 1, period: "month" }))) as unknown as Budget;
      return made.status.spent_usd;
    };
    expect(await of({ app })).toBeCloseTo(3 * COST, 9);
    expect(await of({ app, keys: [key.id] })).toBeCloseTo(2 * COST, 9);
    expect(await of({ keys: [key.id] })).toBeCloseTo(3 * COST, 9);
    expect(await of({ env: "staging", keys: [key.id] })).toBe(0);
    expect(await of({})).toBeGreaterThanOrEqual(4 * COST);
  });

  test("that only notifies counts and never refuses", async () => {
    const app = newName();
    const key = await worker.createKey();
    const body = { scope: { app }, limit_usd: 0.000_001, period: "total", on_exceeded: "notify" };
    expect((await okBody(await put(app, body)))["status"]).toMatchObject({ period_start: null, resets_at: null });
    for (let at = 0; at < 3; at++) expect(await statusOf(key, app)).toBe(200);
    await spentBy(app).toBeCloseTo(3 * COST, 9);
    expect((await show(app)).status).toMatchObject({ leased_usd: 0, remaining_usd: -0.000_167 });
  });

  test("of a tag counts what carries it, from when the tag was declared", async () => {
    const key = await worker.createKey();
    const name = newName();
    const tagged = (value: string): Promise<number> => statusOf(key, "web", { route: { tags: { [name]: value } } });
    expect(await tagged("search")).toBe(200);
    await booked(key, 1);
    await okBody(await worker.admin("/admin/settings", { method: "PUT", body: { spend_tags: [name] } }));
    const body = { scope: { tag: { name, value: "search" } }, limit_usd: 1, period: "month" };
    expect((await okBody(await put(name, body)))["status"]).toMatchObject({ spent_usd: 0 });
    expect([await tagged("search"), await tagged("other")]).toEqual([200, 200]);
    await spentBy(name).toBe(COST);
  });

  test("is over when it is deleted", async () => {
    const app = newName();
    const key = await worker.createKey();
    await okBody(await put(app, { scope: { app }, limit_usd: 0.000_001, period: "day" }));
    expect(await statusOf(key, app)).toBe(402);
    const deleted = await worker.admin(`/admin/budgets/${app}`, { method: "DELETE" });
    expect(deleted.status).toBe(204);
    expect(await statusOf(key, app)).toBe(200);
    await expectRefusal(await worker.admin(`/admin/budgets/${app}`), {
      ...{ status: 404, code: "not_found", param: null },
    });
    // One of the same name begins again, with what was spent meanwhile. The refused request is booked as well.
    await booked(key, 2);
    const again = await okBody(await put(app, { scope: { app }, limit_usd: 1, period: "day" }));
    expect(again["status"]).toMatchObject({ spent_usd: COST });
  });

  test("holds in a burst over many keys, to the nano-dollar, and leaves nothing reserved", async () => {
    const app = newName();
    const keys = await Promise.all(Array.from({ length: 6 }, () => worker.createKey()));
    const limit = 0.002;
    await okBody(await put(app, { scope: { app }, limit_usd: limit, period: "day" }));
    const statuses = await Promise.all(keys.flatMap((key) => Array.from({ length: 20 }, () => statusOf(key, app))));
    const count = (status: number): number => statuses.filter((each) => each === status).length;
    expect(count(200) + count(402)).toBe(120);
    expect(count(200) * COST).toBeLessThanOrEqual(limit);
    expect(count(200)).toBeGreaterThan(4);
    await spentBy(app).toBeCloseTo(count(200) * COST, 9);
  });
});
