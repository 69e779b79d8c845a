/** Prices corrected afterwards: books, budgets, traces and sums follow, to the nano-dollar. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditOf, expectRefusal, type Json, okBody, withoutAudit } from "../support/admin.ts";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { completion, usage } from "../support/upstream.ts";

const HOUR_MS = 3_600_000;
const SINCE = new Date(Date.now() - HOUR_MS).toISOString();
const OPERATOR = "releaser-token-releaser-token-0123456789";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ FLOW_ADMIN_TOKENS: `rel:${OPERATOR}:release` }, FAULTS_FRONT);
});
afterAll(() => rig.stop());

let count = 0;
/** A route of its own model, whose answers use 1,000 and 100 tokens. */
async function routeTo(key: Record<string, unknown> = {}, model = pricedModel(), used: object = usage(1_000, 100)) {
  rig.upstream.scriptFor(model, { json: completion({ usage: used }) });
  const route = await rig.route({
    providers: ["openai"],
    targets: [{ model }],
    key: { name: `reprice-${++count}`, ...key },
  });
  return { route, model };
}

async function ask(route: TestRoute): Promise<string> {
  const response = await rig.ask(route);
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get("x-request-id") ?? "";
}

const start = (body: object): Promise<Response> =>
  rig.worker.admin("/admin/spend/reprice", { body: { provider: "openai", since: SINCE, ...body } });

/** Starts a repricing and waits for its end. */
async function reprice(body: object): Promise<Json> {
  const started = await start(body);
  const text = await started.text();
  expect([started.status, text]).toEqual([202, text]);
  const { id } = JSON.parse(text) as { id: string };
  const state = async (): Promise<Json> => okBody(await rig.worker.admin(`/admin/spend/reprice/${id}`));
  await expect.poll(state, { timeout: 10_000 }).toMatchObject({ status: "done" });
  return state();
}

const spentOf = async (route: TestRoute): Promise<Json> =>
  (await okBody(await rig.worker.admin(`/admin/keys/${route.keyId}`)))["spend"] as Json;
const rowOf = async (route: TestRoute, group = "key"): Promise<Json | undefined> => {
  const body = await okBody(
    await rig.worker.admin(`/admin/spend?group_by=key,${group === "key" ? "api" : group}&since=${SINCE}`),
  );
  return (body["data"] as Json[]).find((row) => (row["group"] as Json)["key"] === route.keyId);
};
const settled = (route: TestRoute, requests: number): Promise<void> =>
  expect.poll(async () => (await rowOf(route))?.["requests"], { timeout: 10_000 }).toBe(requests);

test("a wrong price is put right: charges, a running budget, the trace and the sums; twice books nothing", async () => {
  const { route, model } = await routeTo({ budget: { limit_usd: 0.011, period: "day" } });
  const traces = [await ask(route)];
  // One that names no cap holds all that is left.
  await settled(route, 1);
  traces.push(await ask(route));
  await settled(route, 2);
  expect(await spentOf(route)).toMatchObject({ spent_usd: 0.00112 });
  // 1,000 x 4 and 100 x 16 USD per million, in place of 0.4 and 1.6.
  const order = { model, price: { input: 4, output: 16 } };
  const tried = await reprice({ ...order, dry_run: true });
  const sums = { charges: 2, keys: 1, before_usd: 0.00112, after_usd: 0.0112, difference_usd: 0.01008, exact: true };
  expect(tried).toMatchObject({ dry_run: true, ...sums });
  expect(await spentOf(route)).toMatchObject({ spent_usd: 0.00112 });
  expect(await reprice(order)).toMatchObject({ dry_run: false, ...sums });
  expect(await spentOf(route)).toMatchObject({ spent_usd: 0.0112, remaining_usd: -0.0002 });
  expect((await rig.ask(route)).status).toBe(402);
  for (const id of traces) {
    expect(await okBody(await rig.worker.admin(`/admin/traces/${id}`))).toMatchObject({
      cost_usd: 0.00056,
      repriced_usd: 0.0056,
    });
  }
  const list = await okBody(await rig.worker.admin(`/admin/traces?key=${route.keyId}&status=ok`));
  expect((list["data"] as Json[]).map((trace) => trace["repriced_usd"])).toEqual([0.0056, 0.0056]);
  const group = { requests: 2, cost_usd: 0.0112, adjustment_usd: 0.01008 };
  expect(await rowOf(route)).toMatchObject(group);
  for (const by of ["route", "model", "provider"]) expect(await rowOf(route, by)).toMatchObject(group);
  expect(await reprice(order)).toMatchObject({ ...sums, before_usd: 0.0112, difference_usd: 0 });
  expect(await rowOf(route)).toMatchObject(group);
  const ledger = await okBody(await rig.worker.admin(`/admin/keys/${route.keyId}/ledger`));
  expect(ledger).toMatchObject({ consistent: true, booked_usd: 0.0112 });
  const audit = await auditOf(rig.worker, `price openai/${model}`);
  expect(audit.map(({ action }) => action)).toEqual(["spend.reprice", "spend.reprice"]);
});

test("a budget above the key follows, though its keys are at rest, and may go below zero", async () => {
  const { route, model } = await routeTo({ name: "under a budget" });
  const budget = { scope: { keys: [route.keyId] }, limit_usd: 0.01, period: "day" };
  const path = `/admin/budgets/repriced-${Date.now()}`;
  await okBody(await rig.worker.admin(path, { method: "PUT", body: budget }));
  const spent = async () => ((await okBody(await rig.worker.admin(path)))["status"] as Json)["spent_usd"];
  for (const after of [0.00056, 0.00112]) {
    await ask(route);
    await expect.poll(spent, { timeout: 10_000 }).toBe(after);
  }
  expect(await reprice({ model, price: { input: 4, output: 16 } })).toMatchObject({ after_usd: 0.0112 });
  await expect.poll(spent, { timeout: 10_000 }).toBe(0.0112);
  expect((await okBody(await rig.worker.admin(path)))["status"]).toMatchObject({ remaining_usd: -0.0012 });
  expect((await rig.ask(route, { max_tokens: 10 })).status).toBe(402);
  await rig.worker.admin(path, { method: "DELETE" });
});

test("what had no price gets one, by the record of the price where none is given", async () => {
  const { route, model } = await routeTo({}, `unpriced-${Date.now()}`);
  await ask(route);
  await settled(route, 1);
  expect(await rowOf(route)).toMatchObject({ cost_usd: null, unpriced_requests: 1 });
  const price = { input: 1, output: 10, valid_from: SINCE };
  await okBody(await rig.worker.admin(`/admin/prices/openai/${model}`, { method: "PUT", body: price }));
  expect(await reprice({ model })).toMatchObject({ charges: 1, before_usd: 0, after_usd: 0.002 });
  expect(await rowOf(route)).toMatchObject({ cost_usd: 0.002, adjustment_usd: 0.002, unpriced_requests: 0 });
  expect(await rowOf(route, "model")).toMatchObject({ cost_usd: 0.002, unpriced_requests: 0 });
  expect(await okBody(await rig.worker.admin(`/admin/keys/${route.keyId}/ledger`))).toMatchObject({
    ...{ consistent: true, periods: { day: { spent_usd: 0.002, unpriced_requests: 0 } } },
  });
});

test("what a provider says it charged is left, unless it is asked for", async () => {
  const model = `reported/${Date.now()}`;
  rig.upstream.scriptFor(model, { json: completion({ usage: { ...usage(1_000, 100), cost: 0.5 } }) });
  const route = await rig.route({ providers: ["openrouter"], targets: [{ model }], key: { name: "reported" } });
  await ask(route);
  await settled(route, 1);
  const order = { provider: "openrouter", model, price: { input: 1, output: 10 } };
  expect(await reprice(order)).toMatchObject({ charges: 0, difference_usd: 0 });
  expect(await reprice({ ...order, include_reported: true })).toMatchObject({
    charges: 1,
    before_usd: 0.5,
    after_usd: 0.002,
  });
  expect(await spentOf(route)).toMatchObject({ spent_usd: 0.002 });
});

test("other targets, other times and other keys' charges are not touched", async () => {
  const [one, other] = [await routeTo(), await routeTo()];
  await ask(one.route);
  await ask(other.route);
  await settled(one.route, 1);
  await settled(other.route, 1);
  const before = { since: SINCE, until: new Date(Date.now() - 30 * 60_000).toISOString() };
  expect(await reprice({ model: one.model, price: { input: 9, output: 9 }, ...before })).toMatchObject({ charges: 0 });
  expect(await reprice({ model: one.model, price: { input: 0, output: 0 } })).toMatchObject({
    charges: 1,
    keys: 1,
    after_usd: 0,
  });
  expect(await rowOf(other.route)).toMatchObject({ cost_usd: 0.00056, adjustment_usd: 0 });
});

describe("the endpoints", () => {
  test.each([
    { what: "no model", body: { model: undefined }, param: "model" },
    { what: "no time", body: { since: undefined }, param: "since" },
    { what: "a time that is none", body: { since: "then" }, param: "since" },
    {
      what: "a span that ends before it begins",
      body: { until: new Date(Date.now() - 9 * HOUR_MS).toISOString() },
      param: "since",
    },
    { what: "a price without an output", body: { price: { input: 1 } }, param: "price.output" },
    {
      what: "a price with times",
      body: { price: { input: 1, output: 1, valid_from: SINCE } },
      param: "price.valid_from",
    },
    { what: "an unknown member", body: { modle: "x" }, param: "modle" },
  ])("$what is refused", async ({ body, param }) => {
    await withoutAudit(rig.worker, async () => {
      await expectRefusal(await start({ model: "m", ...body }), { status: 400, code: "invalid_request", param });
    });
  });

  test("a range that is not kept is refused with the first hour that is", async () => {
    const since = new Date(Date.now() - 401 * 24 * HOUR_MS).toISOString();
    const error = await expectRefusal(await start({ model: "m", since }), {
      status: 400,
      code: "range_not_kept",
      param: "since",
    });
    expect(Date.parse(String(error["first_hour"])) % HOUR_MS).toBe(0);
  });

  test("the role `release` may try and not do it", async () => {
    const headers = { authorization: `Bearer ${OPERATOR}`, "content-type": "application/json" };
    const post = (more: object) =>
      rig.worker.fetch("/admin/spend/reprice", {
        method: "POST",
        headers,
        body: JSON.stringify({ provider: "openai", model: "m", since: SINCE, ...more }),
      });
    expect((await post({ dry_run: true })).status).toBe(202);
    await expectRefusal(await post({}), { status: 403, code: "role_required" });
  });

  test("there is no repricing with an id that nothing has", async () => {
    for (const id of ["rp_00000000000000000000", "x"]) {
      await expectRefusal(await rig.worker.admin(`/admin/spend/reprice/${id}`), { status: 404, code: "not_found" });
    }
  });
});
