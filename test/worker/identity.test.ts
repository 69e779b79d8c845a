/** What a request is called with, which route its model names, and what a refused one leaves behind. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

let upstream: Upstream;
let worker: TestWorker;
let wide: CreatedKey;
let narrow: CreatedKey;
let raw: CreatedKey;

const policy = (model: string, more: object = {}) => ({ targets: [{ provider: "openai", model }], ...more });

beforeAll(async () => {
  upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-x", OPENAI_BASE_URL: `${upstream.url}/v1` };
  worker = await startWorker({ vars });
  await worker.putRoute("production", "smart", policy("m-smart", { aliases: ["gpt-5", "claude-*", "openai/gpt-5"] }));
  await worker.putRoute("production", "small", policy("m-small", { aliases: ["claude-haiku-*"] }));
  await worker.putRoute("production", "claude-own", policy("m-own"));
  wide = await worker.createKey();
  narrow = await worker.createKey({ routes: ["small"] });
  raw = await worker.createKey({ scopes: ["chat", "models", "raw_models"] });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

const ask = (key: CreatedKey, model: string, headers: Record<string, string> = {}, more: object = {}) =>
  worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], ...more }),
  });

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null; route?: string };
}
const errorOf = async (response: Response): Promise<Refused["error"]> => ((await response.json()) as Refused).error;

const listOf = async (key: CreatedKey, query = ""): Promise<readonly Trace[]> => {
  const response = await worker.fetch(`/v1/traces${query}`, { headers: { authorization: `Bearer ${key.key}` } });
  return ((await response.json()) as { data: readonly Trace[] }).data;
};

describe("a model names the first of these that it is", () => {
  test.each([
    { model: "flow/smart", upstreamModel: "m-smart" },
    { model: "anthropic/flow-smart", upstreamModel: "m-smart" },
    { model: "smart", upstreamModel: "m-smart" },
    { model: "gpt-5", upstreamModel: "m-smart" },
    { model: "claude-opus-5", upstreamModel: "m-smart" },
    { model: "claude-haiku-5", upstreamModel: "m-small" },
    // A route's own name comes before a pattern.
    { model: "claude-own", upstreamModel: "m-own" },
  ])("$model is $upstreamModel", async ({ model, upstreamModel }) => {
    for (let round = 0; round < 2; round++) {
      upstream.reset();
      expect((await ask(wide, model)).status).toBe(200);
      expect(JSON.parse(upstream.calls[0]?.body ?? "{}")["model"]).toBe(upstreamModel);
    }
  });

  test("an alias comes before a raw model, and only with the scope is anything else one", async () => {
    upstream.reset();
    expect((await ask(raw, "openai/gpt-5")).status).toBe(200);
    expect((await ask(raw, "openai/gpt-5-mini")).status).toBe(200);
    expect(upstream.calls.map(({ body }) => JSON.parse(body)["model"])).toEqual(["m-smart", "gpt-5-mini"]);
    expect((await errorOf(await ask(wide, "openai/gpt-5-mini"))).code).toBe("unknown_route");
  });

  test.each([
    { model: "flow/smrat", near: "flow/smart" },
    { model: "Smal", near: "flow/small" },
    { model: "openai/smart-1", near: "flow/smart" },
  ])("$model is none, and the nearest is named", async ({ model, near }) => {
    const error = await errorOf(await ask(wide, model));
    expect(error).toMatchObject({ code: "unknown_route", param: "model" });
    expect(error.message).toContain(`\`${near}\``);
  });

  test("a key with a list of routes learns nothing of others", async () => {
    const named = [
      "flow/smart",
      "flow/nobody",
      "smart",
      "nobody",
      "gpt-5",
      "claude-opus-5",
      "openai/x",
      "a b",
      "x/y/z",
    ];
    const answers = await Promise.all(named.map(async (model) => ask(narrow, model)));
    const bodies = await Promise.all(answers.map(errorOf));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403]));
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
    expect(bodies[0]?.code).toBe("route_not_allowed");
    for (const model of ["flow/small", "small", "claude-haiku-5"]) expect((await ask(narrow, model)).status).toBe(200);
  });
});

describe("aliases", () => {
  const put = (name: string, aliases: unknown, env = "production") =>
    worker.admin(`/admin/routes/${env}/${name}`, { method: "PUT", body: policy("m", { aliases }) });

  test.each([
    { name: "another", aliases: ["gpt-5"], route: "smart" },
    { name: "another", aliases: ["claude-*"], route: "smart" },
    { name: "another", aliases: ["small"], route: "small" },
    { name: "another", aliases: ["another"], route: "another" },
    { name: "gpt-5", aliases: [], route: "smart" },
  ])("$aliases for $name are taken by $route", async ({ name, aliases, route }) => {
    const response = await put(name, aliases);
    expect(response.status).toBe(409);
    expect(await errorOf(response)).toMatchObject({ code: "alias_taken", route });
  });

  test.each([["flow/x"], ["a*b"], ["x", "x"], Array.from({ length: 33 }, (_, at) => `a${at}`), [""], ["a b"], "x"])(
    "%j is refused",
    async (...aliases) => {
      const response = await put("another", aliases.length === 1 && aliases[0] === "x" ? "x" : aliases);
      expect([response.status, (await errorOf(response)).code]).toEqual([400, "invalid_request"]);
    },
  );

  test("are free in another environment, after a deletion, and refused to a rollback that would share them", async () => {
    expect((await put("first", ["shared"])).status).toBe(200);
    expect((await put("first", ["shared"], "staging")).status).toBe(200);
    expect((await put("first", [])).status).toBe(200);
    expect((await put("second", ["shared"])).status).toBe(200);
    upstream.reset();
    expect((await ask(wide, "shared")).headers.get("x-flowlayer-route")).toBe("flow/second");
    const back = await worker.admin("/admin/routes/production/first/rollback", { body: { version: 1 } });
    expect([back.status, await errorOf(back)]).toEqual([
      409,
      expect.objectContaining({ code: "alias_taken", route: "second" }),
    ]);
    const promoted = await worker.admin("/admin/routes/first/promote", { body: { from: "staging", to: "production" } });
    expect([promoted.status, (await errorOf(promoted)).code]).toEqual([409, "alias_taken"]);
    expect((await worker.admin("/admin/routes/production/second", { method: "DELETE" })).status).toBe(204);
    expect((await errorOf(await ask(wide, "shared"))).code).toBe("unknown_route");
    expect((await worker.admin("/admin/routes/production/first/rollback", { body: { version: 1 } })).status).toBe(200);
    expect((await ask(wide, "shared")).headers.get("x-flowlayer-route")).toBe("flow/first");
  });

  test("are listed on request only, the exact ones, for the routes that the key may call", async () => {
    const list = async (key: CreatedKey, query = ""): Promise<{ id: string; flow?: object }[]> => {
      const response = await worker.fetch(`/v1/models${query}`, { headers: { authorization: `Bearer ${key.key}` } });
      return ((await response.json()) as { data: { id: string; flow?: object }[] }).data;
    };
    expect((await list(wide)).every(({ id }) => id.startsWith("flow/"))).toBe(true);
    const aliases = (await list(wide, "?aliases=true")).filter(({ flow }) => flow !== undefined);
    expect(aliases).toContainEqual(expect.objectContaining({ id: "gpt-5", flow: { route: "flow/smart" } }));
    expect(aliases.map(({ id }) => id)).not.toContain("claude-*");
    expect((await list(narrow, "?aliases=true")).map(({ id }) => id)).toEqual(["flow/small"]);
    const headers = { authorization: `Bearer ${wide.key}` };
    const one = await worker.fetch("/v1/models/openai%2Fgpt-5", { headers });
    expect(await one.json()).toMatchObject({ id: "openai/gpt-5", flow: { route: "flow/smart" } });
    expect((await worker.fetch("/v1/models?aliases=perhaps", { headers })).status).toBe(400);
  });
});

describe("headers", () => {
  test("a correlation id is cut to what can be shown and never refused", async () => {
    const response = await ask(wide, "smart", { "x-client-request-id": `é${"x".repeat(200)}` });
    const id = response.headers.get("x-request-id") ?? "";
    const headers = { authorization: `Bearer ${wide.key}` };
    await expect.poll(async () => (await worker.fetch(`/v1/traces/${id}`, { headers })).status).toBe(200);
    const trace = (await (await worker.fetch(`/v1/traces/${id}`, { headers })).json()) as Trace;
    expect(trace.client_request_id).toBe("x".repeat(128));
  });

  test("tags come from the header where the body has none", async () => {
    const tagged = await worker.createKey();
    const headers = { "x-flowlayer-tags": "team=search, feature=a=b" };
    await ask(tagged, "smart", headers);
    await ask(tagged, "smart", headers, { route: { tags: { team: "body" } } });
    await expect
      .poll(async () => (await listOf(tagged)).map(({ tags }) => tags))
      .toEqual([{ team: "body" }, { team: "search", feature: "a=b" }]);
  });

  test("another environment is refused with the name of the key's own; a missing Bearer is named", async () => {
    const mismatch = await errorOf(await ask(wide, "smart", { "x-flowlayer-env": "staging" }));
    expect(mismatch.message).toContain("`production`");
    const bare = await errorOf(await ask(wide, "smart", { authorization: wide.key }));
    expect([bare.code, bare.message]).toEqual(["missing_api_key", expect.stringContaining("`Bearer`")]);
  });

  test("no answer lets a browser guess its type", async () => {
    const headers = { authorization: `Bearer ${wide.key}` };
    const paths = ["/health", "/openapi.json", "/v1/models", "/v1/traces", "/v1/nothing", "/nothing", "/admin/keys"];
    const answers = await Promise.all(paths.map((path) => worker.fetch(path, { headers })));
    answers.push(await ask(wide, "smart"), await ask(wide, "smart", {}, { stream: true }), await ask(wide, ""));
    expect(new Set(answers.map((answer) => answer.headers.get("x-content-type-options")))).toEqual(
      new Set(["nosniff"]),
    );
    await Promise.all(answers.map((answer) => answer.text()));
  });
});

describe("a refused request", () => {
  test("leaves a light trace once its key was recognised, which no sum counts", async () => {
    const key = await worker.createKey({ apps: ["web"], scopes: ["chat", "traces:read"] });
    const sent = [
      { response: await ask(key, "flow/nobody", { "x-client-request-id": "c-1" }), code: "unknown_route" },
      { response: await ask(key, "smart", { "x-flowlayer-env": "staging" }), code: "env_mismatch" },
      { response: await ask(key, "smart", { "x-flowlayer-app": "mobile" }), code: "app_not_allowed" },
      { response: await ask(key, "smart", {}, { messages: [] }), code: "invalid_request" },
      { response: await ask(key, "sk-proj-0123456789abcdef"), code: "unknown_route" },
      {
        response: await worker.fetch("/v1/models", { headers: { authorization: `Bearer ${key.key}` } }),
        code: "scope_required",
      },
    ];
    const wanted = sent.map(({ response, code }) => [response.headers.get("x-request-id"), code]);
    const found = async () => (await listOf(key)).map(({ id, error_code }) => [id, error_code]).reverse();
    await expect.poll(found, { timeout: 5_000 }).toEqual(wanted);
    const traces = (await listOf(key)).toReversed();
    expect(traces[0]).toMatchObject({
      ...{ status: "refused", http_status: 400, env: "production", app: "web", route: "flow/nobody" },
      ...{ route_version: 0, attempts: [], cost_usd: 0, client_request_id: "c-1", api: "chat" },
    });
    expect(traces[5]).not.toHaveProperty("api");
    expect(traces[4]?.route).toBe("");
    expect(await listOf(key, "?status=refused")).toHaveLength(6);
    expect(await listOf(key, "?status=error")).toEqual([]);
    const spend = await worker.admin(`/admin/keys/${key.id}/ledger`);
    expect(await spend.json()).toMatchObject({ consistent: true, periods: { total: { requests: 0 } } });
    const id = wanted[0]?.[0] ?? "";
    const admin = async (): Promise<unknown> =>
      (
        (await (await worker.admin(`/admin/traces?key=${key.id}&status=refused`)).json()) as { data: { id: string }[] }
      ).data
        .map((trace) => trace.id)
        .includes(id);
    await expect.poll(admin, { timeout: 8_000 }).toBe(true);
    const sums = await worker.admin("/admin/spend?group_by=key");
    expect(JSON.stringify(await sums.json())).not.toContain(key.id);
  });

  test("leaves none before its key was, and none where nothing is there", async () => {
    const key = await worker.createKey();
    const answers = [
      await ask(key, "smart", { "content-type": "text/plain" }),
      await worker.fetch("/v1/nothing", { headers: { authorization: `Bearer ${key.key}` } }),
      await worker.fetch("/v1/chat/completions", { headers: { authorization: `Bearer ${key.key}` } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([415, 404, 405]);
    await Promise.all(answers.map((answer) => answer.text()));
    await ask(key, "flow/nobody");
    await expect.poll(async () => (await listOf(key)).length, { timeout: 5_000 }).toBe(1);
    expect((await listOf(key))[0]?.error_code).toBe("unknown_route");
    for (const answer of answers) {
      const id = answer.headers.get("x-request-id");
      const found = await worker.fetch(`/v1/traces/${id}`, { headers: { authorization: `Bearer ${key.key}` } });
      expect((await errorOf(found)).code).toBe("unknown_trace");
    }
  });

  test("is counted beyond ten a second", async () => {
    const key = await worker.createKey();
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(key, "flow/nobody")));
    await Promise.all(answers.map((answer) => answer.text()));
    const audit = async (): Promise<number> => {
      const body = (await (await worker.admin(`/admin/keys/${key.id}/ledger`)).json()) as Record<string, unknown>;
      return Number(body["refused_without_trace"] ?? 0) + (await listOf(key, "?limit=100")).length;
    };
    await expect.poll(audit, { timeout: 5_000 }).toBe(60);
    expect((await listOf(key, "?limit=100")).length).toBeLessThanOrEqual(40);
  });
});

test("a short pepper is no pepper: every key is refused alike, and the log says so once", async () => {
  const weak = await startWorker({ vars: { FLOW_KEY_PEPPER: "fifteen-letters" } });
  try {
    expect((await weak.admin("/admin/keys", { body: { name: "a", env: "production" } })).status).toBe(503);
    for (let round = 0; round < 3; round++) {
      const headers = { authorization: `Bearer ${wide.key}`, "content-type": "application/json" };
      const response = await weak.fetch("/v1/chat/completions", { method: "POST", headers, body: "{}" });
      expect([response.status, (await errorOf(response)).code]).toEqual([401, "invalid_api_key"]);
      expect((await weak.fetch("/v1/models", { headers })).status).toBe(401);
    }
    expect(weak.logs().match(/variable_ignored/g)).toHaveLength(1);
    expect(weak.logs().match(/"event":"refused"/g)?.length).toBeLessThanOrEqual(2);
  } finally {
    await weak.stop();
  }
});
