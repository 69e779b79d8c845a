/** What becomes of a key besides its record: its spend in the list, a moved pepper, a secret that is new everywhere, its data. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditOf, expectRefusal, type Json, okBody } from "../support/admin.ts";
import { pricedModel } from "../support/models.ts";
import { type Pops, startPops } from "../support/pops.ts";
import { completion, startUpstream, type Upstream, usage } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

let upstream: Upstream;
let worker: TestWorker;
const model = pricedModel();

beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` } });
  await worker.putRoute("production", "paid", { targets: [{ provider: "openai", model }] });
  upstream.scriptFor(model, { json: completion({ usage: usage(100, 10) }) });
  // Before any trace is counted, as a trail reads the names of summed tags every few seconds only.
  await okBody(await worker.admin("/admin/settings", { method: "PUT", body: { spend_tags: ["customer"] } }));
});
afterAll(async () => {
  const logs = worker.logs();
  await worker.stop();
  await upstream.stop();
  expect(logs).not.toMatch(/unexpected_error|uncaught|unhandled/i);
});

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

async function ask(key: string, body: object = {}): Promise<string> {
  const response = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { ...bearer(key).headers, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/paid", messages: [{ role: "user", content: "hi" }], ...body }),
  });
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get("x-request-id") ?? "";
}

const settled = (key: string, traceId: string): Promise<void> =>
  expect
    .poll(async () => (await worker.fetch(`/v1/traces/${traceId}`, bearer(key))).status, { timeout: 5_000 })
    .toBe(200);

interface ListedKey {
  readonly id: string;
  readonly spend?: Json;
  readonly pepper: string;
}

async function listed(of: TestWorker, query: string): Promise<readonly ListedKey[]> {
  return (await okBody(await of.admin(`/admin/keys?limit=1000${query}`)))["data"] as readonly ListedKey[];
}

describe("GET /admin/keys", () => {
  test("has the spend of each key where it is asked for", async () => {
    const budget = { limit_usd: 1, period: "day" };
    const [rich, idle] = await Promise.all([worker.createKey({ budget }), worker.createKey()]);
    await settled(rich.key, await ask(rich.key));
    const found = new Map((await listed(worker, "&with=spend")).map((key) => [key.id, key.spend]));
    expect(found.get(rich.id)).toMatchObject({ period: "day", limit_usd: 1, spent_usd: 0.000_056 });
    expect(found.get(idle.id)).toMatchObject({ period: "total", limit_usd: null, spent_usd: 0 });
    expect((await listed(worker, ""))[0]).not.toHaveProperty("spend");
    const refused = await worker.admin("/admin/keys?with=money");
    await expectRefusal(refused, { status: 400, code: "invalid_request", param: "with" });
  });
});

test("keys move to a new pepper while both are known, and each says under which it is hashed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "flow-pepper-"));
  const [first, second] = ["first-pepper-of-this-test", "second-pepper-of-this-test"];
  const start = (vars: Record<string, string>) => startWorker({ persist: directory, vars });
  const statusOf = async (of: TestWorker, key: string) => (await of.fetch("/v1/key", bearer(key))).status;
  const pepperOf = async (of: TestWorker, id: string) => (await listed(of, "")).find((key) => key.id === id)?.pepper;
  const before = await start({ FLOW_KEY_PEPPER: first });
  const made = await before.createKey();
  expect(made["pepper"]).toBe("current");
  await before.stop();

  const moving = await start({ FLOW_KEY_PEPPER: second, FLOW_KEY_PEPPER_PREVIOUS: first });
  expect([await statusOf(moving, made.key), await pepperOf(moving, made.id)]).toEqual([200, "previous"]);
  const rotated = await okBody(await moving.admin(`/admin/keys/${made.id}/rotate`, { method: "POST" }));
  const fresh = String(rotated["key"]);
  expect([await statusOf(moving, fresh), await statusOf(moving, made.key)]).toEqual([200, 200]);
  expect(await pepperOf(moving, made.id)).toBe("current");
  const left = await moving.createKey();
  await moving.stop();

  const after = await start({ FLOW_KEY_PEPPER: second, FLOW_KEY_PEPPER_PREVIOUS: "too-short" });
  expect([await statusOf(after, fresh), await statusOf(after, left.key), await statusOf(after, made.key)]).toEqual([
    ...[200, 200, 401],
  ]);
  expect(after.logs()).toContain('"name":"FLOW_KEY_PEPPER_PREVIOUS"');
  await after.stop();
  const gone = await start({ FLOW_KEY_PEPPER: first });
  expect([await statusOf(gone, fresh), await pepperOf(gone, made.id)]).toEqual([401, "gone"]);
  await gone.stop();
  rmSync(directory, { recursive: true });
});

describe("a secret that an isolate's copy does not know", () => {
  let pops: Pops;
  beforeAll(async () => {
    pops = await startPops(2, {});
  });
  afterAll(() => pops.stop());
  const statusOf = async (pop: number, key: string) => {
    const response = await pops.fetch(pop, "/v1/key", bearer(key));
    await response.text();
    return response.status;
  };

  test("works everywhere at once, and one that was never ours never does", async () => {
    const { id, key } = (await pops.admin("/admin/keys", "POST", { name: "a", env: "production" })) as {
      readonly id: string;
      readonly key: string;
    };
    expect([await statusOf(0, key), await statusOf(1, key)]).toEqual([200, 200]);
    const rotate = async (): Promise<string> =>
      String((await pops.admin(`/admin/keys/${id}/rotate`, "POST", { overlap_seconds: 0 }))["key"]);
    const second = await rotate();
    expect([await statusOf(0, second), await statusOf(1, second)]).toEqual([200, 200]);
    // Both have read the record again, so the first secret is over in both.
    expect([await statusOf(0, key), await statusOf(1, key)]).toEqual([401, 401]);
    expect(await statusOf(0, `${second.slice(0, -1)}${second.endsWith("a") ? "b" : "a"}`)).toBe(401);
  });
});

test("the light trace of a refused request names what was asked for, as far as its body says so", async () => {
  const key = await worker.createKey();
  const refused = async (text: string) => {
    const headers = { ...bearer(key.key).headers, "content-type": "application/json" };
    const response = await worker.fetch("/v1/chat/completions", { method: "POST", headers, body: text });
    expect(response.status).toBe(400);
    const id = response.headers.get("x-request-id") ?? "";
    await settled(key.key, id);
    return okBody(await worker.fetch(`/v1/traces/${id}`, bearer(key.key)));
  };
  const named = await refused('{"model":"flow/paid","messages":[]}');
  expect(named).toMatchObject({ status: "refused", error_code: "invalid_request", route: "flow/paid" });
  expect(await refused('{"model":7}')).toMatchObject({ status: "refused", route: "" });
  expect(await refused("{")).toMatchObject({ error_code: "invalid_json", route: "" });
});

test("DELETE /admin/keys/{id}/data erases what requests said, and no sum changes", async () => {
  const key = await worker.createKey({ budget: { limit_usd: 1, period: "month" } });
  const other = await worker.createKey();
  const traceId = await ask(key.key, { route: { tags: { customer: "anna" } } });
  await settled(other.key, await ask(other.key, { route: { tags: { customer: "anna" } } }));
  /** What was spent for whom, by key, and in all. */
  const spentFor = async (id: string) => {
    const spend = await okBody(await worker.admin("/admin/spend?group_by=key,tag.customer"));
    const rows = (spend["data"] as { group: Record<string, string | null>; cost_usd: number }[]).filter(
      ({ group }) => group["key"] === id,
    );
    return rows.map(({ group, cost_usd }) => [group["tag.customer"], cost_usd]);
  };
  const refused = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { ...bearer(key.key).headers, "content-type": "application/json" },
    body: '{"model":"flow/none","messages":[{"role":"user","content":"hi"}]}',
  });
  const refusedId = refused.headers.get("x-request-id") ?? "";
  await Promise.all([settled(key.key, traceId), settled(key.key, refusedId)]);
  const trail = async () => (await worker.admin(`/admin/traces?key=${key.id}`)).text();
  await expect.poll(trail, { timeout: 8_000 }).toContain("anna");
  const books = async () => (await worker.admin(`/admin/keys/${key.id}/ledger`)).json();
  const before = await books();
  await expect.poll(() => spentFor(other.id), { timeout: 8_000 }).toEqual([["anna", expect.any(Number)]]);
  const [[customer, usd] = []] = await spentFor(key.id);
  expect(customer).toBe("anna");
  const erase = () => worker.admin(`/admin/keys/${key.id}/data`, { method: "DELETE" });
  expect((await erase()).status).toBe(204);
  // Its sums know no customer any more; another key's do.
  expect(await spentFor(key.id)).toEqual([[null, usd]]);
  expect(await spentFor(other.id)).toEqual([["anna", expect.any(Number)]]);
  expect((await erase()).status).toBe(204);
  for (const id of [traceId, refusedId]) {
    expect((await worker.fetch(`/v1/traces/${id}`, bearer(key.key))).status).toBe(404);
    expect((await worker.admin(`/admin/traces/${id}`)).status).toBe(404);
  }
  expect(await okBody(await worker.fetch("/v1/traces", bearer(key.key)))).toMatchObject({ data: [] });
  expect(JSON.parse(await trail())).toMatchObject({ data: [] });
  expect(await books()).toEqual({ ...(before as Json), unshipped_traces: 0 });
  expect((await auditOf(worker, `key ${key.id}`)).map(({ action }) => action)).toEqual([
    ...["key.erase", "key.erase", "key.create"],
  ]);
  // It goes on as if nothing had been.
  await settled(key.key, await ask(key.key));
  expect(await okBody(await worker.fetch("/v1/traces", bearer(key.key)))).toMatchObject({ data: [{ status: "ok" }] });
  const none = await worker.admin("/admin/keys/aaaaaaaaaaaa/data", { method: "DELETE" });
  await expectRefusal(none, { status: 404, code: "not_found", param: null });
});
