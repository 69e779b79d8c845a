/** Prices that operators set: what an attempt costs from then on, everywhere a price is read. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { auditOf, expectRefusal, type Json, okBody, withoutAudit } from "../support/admin.ts";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { completion, usage } from "../support/upstream.ts";

const DAY_MS = 86_400_000;
const USED = usage(1_000, 100);

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ UPSTREAM_LAB: "lab-secret-0123456789" }, FAULTS_FRONT);
});
afterAll(() => rig.stop());
afterEach(() => setFaults(rig.worker));

const price = (name: string, body: object): Promise<Response> =>
  rig.worker.admin(`/admin/prices/${name}`, { method: "PUT", body });
const shown = async (name: string): Promise<Json> => okBody(await rig.worker.admin(`/admin/prices/${name}`));
const later = (ms: number): string => new Date(Date.now() + ms).toISOString();

/** A route to `model` of openai, each of whose answers uses 1,000 and 100 tokens. */
async function routeTo(model: string, key: object = {}): Promise<TestRoute> {
  rig.upstream.scriptFor(model, { json: completion({ usage: USED }) });
  const scopes = ["chat", "traces:read", "raw_models"];
  return rig.route({ providers: ["openai"], targets: [{ model }], key: { scopes, ...key } });
}

async function costOf(route: TestRoute, body: object = {}): Promise<string | null> {
  const response = await rig.ask(route, { max_tokens: 200, ...body });
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get("x-flowlayer-cost-usd");
}

describe("the price in force when an attempt starts is what it costs", () => {
  test("a route that was published before follows, and so does the raw model, without a word to the policy", async () => {
    const model = pricedModel();
    const route = await routeTo(model);
    // 1,000 x 0.4 and 100 x 1.6 USD per million.
    expect(await costOf(route)).toBe("0.00056");
    expect(await shown(`openai/${model}`)).toMatchObject({ source: "catalogue", input: 0.4, output: 1.6 });
    const put = await okBody(await price(`openai/${model}`, { input: 0.8, output: 3.2 }));
    expect(put).toMatchObject({ source: "operator", input: 0.8, output: 3.2, updated_by: "admin", valid_until: null });
    expect(await costOf(route)).toBe("0.00112");
    expect(await costOf(route, { model: `openai/${model}` })).toBe("0.00112");
    const response = await rig.ask(route);
    await response.text();
    const [attempt] = (await rig.trace(route, response)).attempts;
    expect(attempt?.price_row).toBe(put["row"]);
    const gone = await rig.worker.admin(`/admin/prices/openai/${model}`, { method: "DELETE" });
    expect(gone.status).toBe(204);
    expect(await costOf(route)).toBe("0.00056");
    const audit = await auditOf(rig.worker, `price openai/${model}`);
    expect(audit.map(({ action }) => action)).toEqual(["price.delete", "price.put"]);
    expect(audit[1]).toMatchObject({ actor: "admin", after: { input: 0.8, output: 3.2 } });
  });

  test("the price of an id holds for its dated snapshots, unless they have one of their own", async () => {
    const model = "gpt-4.1-2031-01-01";
    const route = await routeTo(model);
    await okBody(await price("openai/gpt-4.1", { input: 10, output: 20 }));
    expect(await costOf(route)).toBe("0.012");
    await okBody(await price(`openai/${model}`, { input: 1, output: 2 }));
    expect(await costOf(route)).toBe("0.0012");
  });

  test("a model without a price gets one: a budget then bounds it, and every member is charged as it says", async () => {
    const model = "house-model-1";
    const route = await routeTo(model, { budget: { limit_usd: 1, period: "day" } });
    await expectRefusal(await rig.ask(route, { max_tokens: 200 }), { status: 402, code: "model_unpriced" });
    const members = { input: 3, output: 15, cache_read: 0.3, reasoning: 7.5, per_request: 0.01 };
    await okBody(await price(`openai/${model}`, { ...members, service_tiers: { priority: 1.75 } }));
    const detailed = {
      ...{ prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 },
      prompt_tokens_details: { cached_tokens: 400 },
      completion_tokens_details: { reasoning_tokens: 40 },
    };
    rig.upstream.scriptFor(model, { json: completion({ usage: detailed }) });
    // 600 x 3 + 400 x 0.3 + 60 x 15 + 40 x 7.5 = 3120 micro-USD, and a cent.
    expect(await costOf(route)).toBe("0.01312");
    rig.upstream.scriptFor(model, { json: { ...completion({ usage: detailed }), service_tier: "priority" } });
    expect(await costOf(route, { service_tier: "priority" })).toBe("0.01546");
  });

  test("a tier holds for the whole request above its tokens", async () => {
    const model = "house-model-2";
    const route = await routeTo(model);
    const tiers = [{ above_input_tokens: 999, input: 2, output: 4 }];
    await okBody(await price(`openai/${model}`, { input: 1, output: 2, tiers }));
    expect(await costOf(route)).toBe("0.0024");
    rig.upstream.scriptFor(model, { json: completion({ usage: usage(999, 100) }) });
    expect(await costOf(route)).toBe("0.001199");
  });

  test("an own endpoint at price 0 answers under a budget and costs nothing", async () => {
    const id = "house-lab";
    const body = { protocol: "openai", base_url: `${rig.upstream.url}/v1`, secret: "UPSTREAM_LAB" };
    await okBody(await rig.worker.admin(`/admin/providers/${id}`, { method: "PUT", body }));
    rig.upstream.scriptFor("own-model", { json: completion({ usage: USED }) });
    const key = { budget: { limit_usd: 0.01, period: "day" } };
    const route = await rig.route({ providers: [id], targets: [{ model: "own-model" }], key });
    await expectRefusal(await rig.ask(route), { status: 402, code: "model_unpriced" });
    await okBody(await price(`${id}/own-model`, { input: 0, output: 0 }));
    expect(await costOf(route)).toBe("0");
    const { spend } = await okBody(await rig.worker.admin(`/admin/keys/${route.keyId}`));
    expect(spend).toMatchObject({ spent_usd: 0, remaining_usd: 0.01 });
  });

  test("a row begins and ends at its times, and a request near the change holds the dearer price", async () => {
    const model = pricedModel();
    const route = await routeTo(model, { budget: { limit_usd: 1, period: "total" } });
    const times = { valid_from: later(DAY_MS), valid_until: later(2 * DAY_MS) };
    const put = await okBody(await price(`openai/${model}`, { input: 4, output: 16, ...times }));
    expect(put).toMatchObject({ source: "catalogue", set: { input: 4, ...times } });
    expect(await costOf(route)).toBe("0.00056");
    await setFaults(rig.worker, { clockMs: DAY_MS + 60_000 });
    expect(await costOf(route)).toBe("0.0056");
    expect(await shown(`openai/${model}`)).toMatchObject({ source: "operator", input: 4, ...times });
    await setFaults(rig.worker, { clockMs: 2 * DAY_MS + 60_000 });
    expect(await costOf(route)).toBe("0.00056");
  });

  test("the model list shows the price in force", async () => {
    const route = await routeTo("house-model-3", { scopes: ["chat", "models"] });
    const listed = async () => {
      const path = `/v1/models/${encodeURIComponent(route.model)}`;
      const found = await rig.worker.fetch(path, { headers: rig.headers(route) });
      return ((await found.json()) as { prices: Json | null }).prices;
    };
    expect(await listed()).toBeNull();
    await okBody(await price("openai/house-model-3", { input: 1.5, output: 2 }));
    expect(await listed()).toMatchObject({ input_usd_per_million_tokens: 1.5 });
  });
});

describe("the endpoints", () => {
  test.each(["openrouter/maker/model:free", "openrouter/maker%2Fmodel%3Afree"])(
    "PUT %s names the same model",
    async (name) => {
      const put = await okBody(await price(name, { input: 1, output: 2 }));
      expect(put).toMatchObject({ provider: "openrouter", model: "maker/model:free" });
      expect(await shown("openrouter/maker/model:free")).toMatchObject({ row: put["row"] });
    },
  );

  test("the price set last is in force, the same again changes nothing, and one to come stays", async () => {
    const name = "openai/house-model-4";
    await okBody(await price(name, { input: 1, output: 1 }));
    await okBody(await price(name, { input: 9, output: 9, valid_from: later(DAY_MS) }));
    const corrected = await okBody(await price(name, { input: 2, output: 2, valid_from: later(-DAY_MS) }));
    expect(corrected).toMatchObject({ source: "operator", input: 2 });
    expect((corrected["rows"] as Json[]).map(({ input }) => input)).toEqual([2, 9]);
    await withoutAudit(rig.worker, () => price(name, { input: 2, output: 2 }));
  });

  test("the list is paged by name", async () => {
    for (const n of [1, 2, 3]) await okBody(await price(`groq/listed-${n}`, { input: n, output: n }));
    const names: unknown[] = [];
    for (let cursor = ""; ; ) {
      const page = await okBody(await rig.worker.admin(`/admin/prices?limit=2${cursor}`));
      names.push(...(page["data"] as Json[]).map(({ provider, model }) => `${provider}/${model}`));
      if (page["has_more"] !== true) break;
      cursor = `&cursor=${encodeURIComponent(String(page["next_cursor"]))}`;
    }
    expect(names.filter((name) => String(name).startsWith("groq/listed-"))).toEqual(
      [1, 2, 3].map((n) => `groq/listed-${n}`),
    );
    expect(new Set(names).size).toBe(names.length);
  });

  test("watch names prices that end within 14 days and targets without one", async () => {
    await routeTo("house-model-5");
    await okBody(await price("openai/house-model-6", { input: 1, output: 1, valid_until: later(13 * DAY_MS) }));
    await okBody(await price("openai/house-model-7", { input: 1, output: 1, valid_until: later(15 * DAY_MS) }));
    const { data } = await okBody(await rig.worker.admin("/admin/prices?watch=true"));
    const found = new Map((data as Json[]).map((each) => [each["model"], each]));
    expect(found.get("house-model-5")).toMatchObject({
      reason: "unpriced",
      routes: [expect.stringMatching(/^production\//)],
    });
    expect(found.get("house-model-6")).toMatchObject({ reason: "ending", source: "operator" });
    expect(found.has("house-model-7")).toBe(false);
    // The catalogue knows until when the provider has promised a price.
    await routeTo("gpt-5.6-sol");
    const again = await okBody(await rig.worker.admin("/admin/prices?watch=true"));
    expect((again["data"] as Json[]).find((each) => each["model"] === "gpt-5.6-sol")).toMatchObject({
      ...{ reason: "ending", source: "catalogue", valid_until: "2026-11-21T00:00:00.000Z" },
    });
  });

  test("a policy whose model an operator has priced is published without a warning", async () => {
    await okBody(await price("openai/house-model-8", { input: 1, output: 1 }));
    const put = await rig.worker.putRoute("production", "warned", {
      targets: [{ provider: "openai", model: "house-model-8" }],
    });
    expect(put["warnings"]).toEqual([]);
  });

  test.each([
    { what: "no output", body: { input: 1 }, param: "output" },
    { what: "a negative price", body: { input: -1, output: 1 }, param: "input" },
    { what: "more decimals than a price has", body: { input: 0.0000001, output: 1 }, param: "input" },
    { what: "text for a price", body: { input: "1", output: 1 }, param: "input" },
    { what: "an unknown member", body: { input: 1, output: 1, outptu: 2 }, param: "outptu" },
    {
      what: "a tier without a price",
      body: { input: 1, output: 1, tiers: [{ above_input_tokens: 5 }] },
      param: "tiers[0].input",
    },
    { what: "a ratio of 0", body: { input: 1, output: 1, service_tiers: { flex: 0 } }, param: "service_tiers.flex" },
    { what: "a time that is none", body: { input: 1, output: 1, valid_from: "tomorrow" }, param: "valid_from" },
    {
      what: "an end before its beginning",
      body: { input: 1, output: 1, valid_from: later(2 * DAY_MS), valid_until: later(DAY_MS) },
      param: "valid_until",
    },
    { what: "an end that is over", body: { input: 1, output: 1, valid_until: later(-DAY_MS) }, param: "valid_until" },
  ])("$what is refused", async ({ body, param }) => {
    await withoutAudit(rig.worker, async () => {
      await expectRefusal(await price("openai/refused", body), { status: 400, code: "invalid_request", param });
    });
  });

  test.each([
    { name: "nobody/model", param: "provider" },
    { name: "openai/", param: "model" },
    { name: "openai/a%20b", param: "model" },
  ])("PUT $name is refused", async ({ name, param }) => {
    await expectRefusal(await price(name, { input: 1, output: 1 }), { status: 400, code: "invalid_request", param });
  });

  test("what has no price is 404, read or deleted", async () => {
    const path = "/admin/prices/openai/nothing-of-the-kind";
    await expectRefusal(await rig.worker.admin(path), { status: 404, code: "not_found" });
    await expectRefusal(await rig.worker.admin(path, { method: "DELETE" }), { status: 404, code: "not_found" });
  });
});

test("an isolate that cannot read the prices asks nobody; one that once could goes on by them", async () => {
  const route = await routeTo(pricedModel());
  expect(await costOf(route)).toBe("0.00056");
  await setFaults(rig.worker, { kv: { prefix: "money", how: "fail" }, clockMs: 120_000 });
  expect(await costOf(route)).toBe("0.00056");
});
