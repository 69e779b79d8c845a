/** Operators' own providers: added, called by routes, changed and taken away. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ProviderRecord, providerKey } from "../../src/policy/provider-record.ts";
import { auditOf, expectRefusal, type Json, okBody, withoutAudit } from "../support/admin.ts";
import { FAULTS_FRONT, kvReads, setFaults } from "../support/faults.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const SECRET = "sk-canary0123456789abcdefcanary0123456789";

let upstream: Upstream;
let worker: TestWorker;
/** As deployed: https and public hosts only. */
let strict: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  const vars = {
    UPSTREAM_LAB_KEY: SECRET,
    UPSTREAM_EMPTY: "",
    OPENAI_API_KEY: "sk-openai-canary",
    LAB_BASE_URL: "http://127.0.0.1:9",
  };
  const strictVars = { ...vars, FLOW_ALLOW_PRIVATE_UPSTREAMS: undefined };
  [worker, strict] = await Promise.all([startWorker({ vars, front: FAULTS_FRONT }), startWorker({ vars: strictVars })]);
});
afterAll(async () => {
  await Promise.all([worker.stop(), strict.stop()]);
  await upstream.stop();
});

let count = 0;
let id = "";
beforeEach(() => {
  id = `lab-${++count}`;
});

const base = (): string => `${upstream.url}/v1`;
const put = (body: object, provider = id, at = worker) => {
  const whole = { protocol: "openai", base_url: base(), ...body };
  return at.admin(`/admin/providers/${provider}`, { method: "PUT", body: whole });
};
const remove = (provider = id, query = "?force=test") =>
  worker.admin(`/admin/providers/${provider}${query}`, { method: "DELETE" });

async function listed(): Promise<Json[]> {
  return (await okBody(await worker.admin("/admin/providers?limit=1000")))["data"] as Json[];
}

/** A route to `targets`, and what a request to it gets. */
async function routeTo(...targets: readonly object[]) {
  const name = `own-${id}`;
  await worker.putRoute("production", name, { targets, retry: { same_target: 0 } });
  const { key } = await worker.createKey();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: `flow/${name}`, messages: [{ role: "user", content: "hi" }] });
  return () => worker.fetch("/v1/chat/completions", { method: "POST", headers, body });
}

describe("PUT /admin/providers/{id}", () => {
  test("a provider is stored, published and listed, and its secret is known by name only", async () => {
    const answer = await okBody(await put({ base_url: `${base()}/`, secret: "UPSTREAM_LAB_KEY" }));
    const record = { id, protocol: "openai", base_url: base(), secret: "UPSTREAM_LAB_KEY", clean: false };
    expect(answer).toEqual({ ...record, configured: true, missing: [] });
    const { CONFIG } = worker.bindings();
    expect(ProviderRecord.parse(await CONFIG.get(providerKey(id), "json"))).toEqual(record);
    const list = await worker.admin("/admin/providers?limit=1000");
    const text = await list.text();
    expect(text).not.toContain(SECRET);
    const state = { disabled: null, credentials: [{ number: 1, rests_until: null }], targets: [] };
    expect((await listed()).find((entry) => entry["id"] === id)).toEqual({ ...answer, ...state });
    expect((await auditOf(worker, `provider ${id}`)).map((line) => [line["action"], line["before"]])).toEqual([
      ["provider.put", null],
    ]);
  });

  test.each([
    { name: "a secret that is not set", secret: "UPSTREAM_NOBODY", configured: false, missing: ["UPSTREAM_NOBODY"] },
    { name: "a secret that is empty", secret: "UPSTREAM_EMPTY", configured: false, missing: ["UPSTREAM_EMPTY"] },
    { name: "no secret", secret: null, configured: true, missing: [] },
  ])("with $name it is configured: $configured", async ({ secret, configured, missing }) => {
    expect(await okBody(await put({ secret }))).toMatchObject({ secret, configured, missing });
  });

  test("the same again is no change; another address is one", async () => {
    await okBody(await put({}));
    await withoutAudit(worker, async () => okBody(await put({})));
    await okBody(await put({ base_url: "https://api.example.com/v2" }));
    const [second, first] = await auditOf(worker, `provider ${id}`);
    expect(second?.["before_digest"]).toBe(first?.["after_digest"]);
    expect(second?.["after_digest"]).not.toBe(first?.["after_digest"]);
  });

  test.each(["openai", "sandbox", "workers-ai", "flow"])("%s is taken", async (builtIn) => {
    for (const response of [await put({}, builtIn), await remove(builtIn)]) {
      await expectRefusal(response, { status: 400, code: "invalid_request", param: "id" });
    }
  });

  test.each(["Lab", "lab_1", "-lab", "a.b", "%2e%2e%2fx", "a".repeat(64), "__proto__"])("%s is no id", async (bad) => {
    await expectRefusal(await put({}, bad), { status: 400, code: "invalid_request", param: "id" });
  });

  test.each([
    { name: "no protocol", body: { protocol: undefined }, param: "protocol" },
    { name: "another protocol", body: { protocol: "anthropic" }, param: "protocol" },
    { name: "no address", body: { base_url: undefined }, param: "base_url" },
    { name: "an address that is none", body: { base_url: "lab" }, param: "base_url" },
    { name: "an address with a user", body: { base_url: "https://a:b@api.lab.com" }, param: "base_url" },
    { name: "an address with a query", body: { base_url: "https://api.lab.com/v1?x=1" }, param: "base_url" },
    { name: "a file", body: { base_url: "file:///etc/passwd" }, param: "base_url" },
    { name: "a long address", body: { base_url: `https://api.lab.com/${"x".repeat(2_048)}` }, param: "base_url" },
    { name: "a built-in secret", body: { secret: "OPENAI_API_KEY" }, param: "secret" },
    { name: "the admin token", body: { secret: "FLOW_ADMIN_TOKEN" }, param: "secret" },
    { name: "a text for clean", body: { clean: "yes" }, param: "clean" },
    { name: "a secret in small letters", body: { secret: "UPSTREAM_lab" }, param: "secret" },
    { name: "the prefix alone", body: { secret: "UPSTREAM_" }, param: "secret" },
    { name: "a secret itself", body: { secret: SECRET }, param: "secret" },
    { name: "an unknown field", body: { headers: {} }, param: "headers" },
  ])("$name is refused with its path", async ({ body, param }) => {
    await withoutAudit(worker, async () => {
      await expectRefusal(await put(body), { status: 400, code: "invalid_request", param });
    });
  });

  test.each([
    "http://api.lab.com/v1",
    "https://127.0.0.1/v1",
    "https://[::1]/v1",
    "https://0x7f000001/v1",
    "https://169.254.169.254/latest",
    "https://localhost/v1",
    "https://lab.internal/v1",
    "https://lab.local/v1",
    "https://lab.lan/v1",
    "https://lab.corp/v1",
    "https://lab.home/v1",
    "https://lab.default.svc/v1",
    "https://10.0.0.7.nip.io/v1",
    "https://a.10-0-0-7.sslip.io/v1",
    "https://nip.io/v1",
    "https://api.lab.com:8443/v1",
    "https://api.lab.com:80/v1",
    "https://lab/v1",
  ])("as deployed, %s is refused", async (address) => {
    const refusal = { status: 400, code: "invalid_request", param: "base_url" };
    await expectRefusal(await put({ base_url: address }, id, strict), refusal);
    expect(await okBody(await put({ base_url: "https://api.lab.com/v1" }, id, strict))).toMatchObject({
      configured: true,
    });
  });

  test("an address is no template: no variable of the Worker gets into it", async () => {
    await put({ base_url: `${base()}/{OPENAI_API_KEY}` });
    upstream.scriptFor(`${id}-model`, { json: completion() });
    const ask = await routeTo({ provider: id, model: `${id}-model` });
    await (await ask()).text();
    expect(upstream.callsTo(`${id}-model`)[0]?.path).toBe("/v1/%7BOPENAI_API_KEY%7D/chat/completions");
  });
});

describe("routes to an operator's provider", () => {
  test("a policy may name it, and it is called with its secret and no other", async () => {
    const model = `${id}-model`;
    upstream.scriptFor(model, { json: completion() });
    const target = { provider: id, model };
    const unknown = await worker.admin(`/admin/routes/production/own-${id}`, {
      method: "PUT",
      body: { targets: [target] },
    });
    await expectRefusal(unknown, { status: 400, code: "invalid_request", param: "targets[0].provider" });
    await put({ secret: "UPSTREAM_LAB_KEY" });
    const ask = await routeTo(target);
    const response = await ask();
    expect([response.status, response.headers.get("x-flowlayer-provider")]).toEqual([200, id]);
    await response.text();
    const [call] = upstream.callsTo(model);
    expect(call?.path).toBe("/v1/chat/completions");
    expect(call?.headers["authorization"]).toBe(`Bearer ${SECRET}`);
    const entry = (await listed()).find((each) => each["id"] === id);
    expect(entry?.["targets"]).toMatchObject([{ model, routes: [`production/own-${id}`] }]);
  });

  test("a key with raw_models may name it without a route, like one that is built in; no other key may", async () => {
    await put({});
    const model = `${id}/org/${id}-model`;
    upstream.scriptFor(`org/${id}-model`, { json: completion() });
    const raw = await worker.createKey({ scopes: ["chat", "raw_models"] });
    const plain = await worker.createKey();
    const ask = (key: string, body: object) => {
      const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
      const whole = JSON.stringify({ messages: [{ role: "user", content: "hi" }], ...body });
      return worker.fetch("/v1/chat/completions", { method: "POST", headers, body: whole });
    };
    const answer = await ask(raw.key, { model });
    expect([answer.status, answer.headers.get("x-flowlayer-provider")]).toEqual([200, id]);
    const noRoute = { status: 400, code: "unknown_route", param: "model" };
    await expectRefusal(await ask(plain.key, { model }), noRoute);
    await expectRefusal(await ask(raw.key, { model: `${id}-none/x` }), noRoute);
    await remove();
    await expectRefusal(await ask(raw.key, { model }), noRoute);
    await setFaults(worker, { kv: { prefix: "provider:", how: "fail" } });
    const unread = await ask(raw.key, { model: `${id}-unread/x` });
    await setFaults(worker);
    await expectRefusal(unread, { status: 503, code: "policy_unavailable" });
  });

  test("without a secret no credential is sent", async () => {
    await put({});
    upstream.scriptFor(`${id}-model`, { json: completion() });
    const ask = await routeTo({ provider: id, model: `${id}-model` });
    expect((await ask()).status).toBe(200);
    expect(upstream.callsTo(`${id}-model`)[0]?.headers).not.toHaveProperty("authorization");
  });

  test("a failure falls back to the next target", async () => {
    await put({ secret: "UPSTREAM_LAB_KEY" });
    upstream.scriptFor(`${id}-model`, { status: 500, json: { error: { message: "no" } } });
    const ask = await routeTo({ provider: id, model: `${id}-model` }, { provider: "sandbox", model: "deep-1" });
    const response = await ask();
    expect([response.status, response.headers.get("x-flowlayer-provider")]).toEqual([200, "sandbox"]);
    expect(response.headers.get("x-flowlayer-attempt-log")).toContain(`${id}/${id}-model;server_error;500`);
  });

  test("one whose secret is missing is no candidate", async () => {
    await put({ secret: "UPSTREAM_NOBODY" });
    const ask = await routeTo({ provider: id, model: "x" }, { provider: "sandbox", model: "deep-1" });
    const response = await ask();
    expect(response.headers.get("x-flowlayer-attempts")).toBe("1");
    expect(response.headers.get("x-flowlayer-provider")).toBe("sandbox");
  });

  test("while KV fails the last record that was read serves; one never read is no candidate", async () => {
    await put({});
    upstream.scriptFor(`${id}-model`, { json: completion() });
    const ask = await routeTo({ provider: id, model: `${id}-model` }, { provider: "sandbox", model: "deep-1" });
    const provider = async () => (await ask()).headers.get("x-flowlayer-provider");
    await setFaults(worker, { kv: { prefix: "provider:", how: "fail" } });
    expect(await provider()).toBe("sandbox");
    await setFaults(worker);
    expect(await provider()).toBe(id);
    // Older than any copy may be while KV answers.
    await setFaults(worker, { clockMs: 120_000, kv: { prefix: "provider:", how: "corrupt" } });
    expect(await provider()).toBe(id);
    await setFaults(worker);
  });

  test("a strict deployment does not call what an earlier setting let in", async () => {
    const { CONFIG } = strict.bindings();
    const record = { id, protocol: "openai", base_url: base(), secret: null };
    await okBody(await put({ base_url: "https://api.lab.com" }, id, strict));
    await strict.putRoute("production", id, { targets: [{ provider: id, model: "m" }] });
    await CONFIG.put(providerKey(id), JSON.stringify(record));
    const { key } = await strict.createKey();
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const body = JSON.stringify({ model: `flow/${id}`, messages: [{ role: "user", content: "hi" }] });
    const response = await strict.fetch("/v1/chat/completions", { method: "POST", headers, body });
    await expectRefusal(response, { status: 503, code: "no_target_configured" });
  });
});

describe("DELETE /admin/providers/{id}", () => {
  test("its targets are no candidates any more, and it is no longer listed or accepted", async () => {
    await put({});
    upstream.scriptFor(`${id}-model`, { json: completion() });
    const target = { provider: id, model: `${id}-model` };
    const ask = await routeTo(target, { provider: "sandbox", model: "deep-1" });
    const provider = async () => (await ask()).headers.get("x-flowlayer-provider");
    expect(await provider()).toBe(id);
    const response = await remove();
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(await provider()).toBe("sandbox");
    const { CONFIG } = worker.bindings();
    expect(await CONFIG.get(providerKey(id))).toBeNull();
    expect((await listed()).map((entry) => entry["id"])).not.toContain(id);
    const policy = { targets: [target] };
    const refused = await worker.admin(`/admin/routes/production/own-${id}`, { method: "PUT", body: policy });
    await expectRefusal(refused, { status: 400, code: "invalid_request", param: "targets[0].provider" });
  });

  test("one that active routes name goes for a reason only, and the refusal names them", async () => {
    await put({});
    const ask = await routeTo({ provider: id, model: "a" }, { provider: id, model: "b" });
    await withoutAudit(worker, async () => {
      const error = await expectRefusal(await remove(id, ""), { status: 409, code: "provider_in_use" });
      expect(error["routes"]).toEqual([`production/own-${id}`]);
      await expectRefusal(await remove(id, "?force="), { status: 409, code: "provider_in_use" });
    });
    expect((await remove(id, "?force=it%20burns")).status).toBe(204);
    // What its clients are told is the cause, not a secret that nobody has to set.
    const gone = await expectRefusal(await ask(), { status: 503, code: "no_target_configured" });
    expect(gone["message"]).toContain(`\`${id}\` was deleted`);
    const [line] = await auditOf(worker, `provider ${id}`);
    expect(line).toMatchObject({ action: "provider.delete", reason: "it burns" });
    expect((await remove(id, "")).status).toBe(204);
  });

  test("one that no active route names needs none", async () => {
    await put({});
    await routeTo({ provider: id, model: "a" });
    await worker.admin(`/admin/routes/production/own-${id}`, { method: "DELETE" });
    expect((await remove(id, "")).status).toBe(204);
  });

  test("a route with no other target is told so, and works again when the provider is back", async () => {
    await put({});
    upstream.scriptFor(`${id}-model`, { json: completion() });
    const ask = await routeTo({ provider: id, model: `${id}-model` });
    await remove();
    await expectRefusal(await ask(), { status: 503, code: "no_target_configured" });
    await put({});
    expect((await ask()).status).toBe(200);
  });

  test("a route that still names it does not read KV for it at every request", async () => {
    await put({});
    const ask = await routeTo({ provider: id, model: "x" }, { provider: "sandbox", model: "deep-1" });
    await remove();
    await (await ask()).text();
    const before = await kvReads(worker);
    for (let request = 0; request < 5; request++)
      expect((await ask()).headers.get("x-flowlayer-provider")).toBe("sandbox");
    expect(await kvReads(worker)).toBe(before);
  });

  test("deleting it again is no change, and one that never was is 404", async () => {
    await put({});
    await remove();
    await withoutAudit(worker, async () => {
      expect((await remove()).status).toBe(204);
      await expectRefusal(await remove("never-was"), { status: 404, code: "not_found" });
    });
    const [line, added] = await auditOf(worker, `provider ${id}`);
    expect(line).toMatchObject({ action: "provider.delete", before_digest: added?.["after_digest"], after: null });
  });
});

test("the list pages over built-in and own providers without gaps", async () => {
  await put({});
  const ids: unknown[] = [];
  let cursor: unknown = "";
  for (let page = 0; cursor !== null && page < 20; page++) {
    const body = await okBody(
      await worker.admin(`/admin/providers?limit=7${cursor === "" ? "" : `&cursor=${cursor}`}`),
    );
    ids.push(...(body["data"] as Json[]).map((entry) => entry["id"]));
    cursor = body["next_cursor"];
  }
  expect(ids).toEqual((await listed()).map((entry) => entry["id"]));
  expect(ids).toContain(id);
});
