/** The control plane over HTTP: who gets in, what keys and routes become, and what the audit log and KV hold after. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KeyRecord, keyRecordKey } from "../../src/keys/record.ts";
import { RouteIndex, RouteRecord, routeIndexKey, routeKey } from "../../src/policy/schema.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const ANN_TOKEN = "ann-0123456789-0123456789-0123456789";
const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }] };

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker({ vars: { FLOW_ADMIN_TOKENS: `short:abc ann:${ANN_TOKEN}` } });
});
afterAll(() => worker.stop());

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly param?: string | null;
}

/** Parsed JSON whose members a test names one by one. */
type Json = Record<string, unknown>;

const read = async (response: Response): Promise<Json> => (await response.json()) as Json;

async function expectRefusal(response: Response, { status, code, param }: Refusal): Promise<void> {
  const body = (await response.json()) as { error: Record<string, unknown> };
  expect({ status: response.status, code: body.error["code"] }).toEqual({ status, code });
  if (param !== undefined) expect(body.error["param"]).toBe(param);
  expect(response.headers.get("x-should-retry")).toBe("false");
  expect(response.headers.get("cache-control")).toBe("no-store");
}

let routeCount = 0;
const routePath = (env = "production"): string => `/admin/routes/${env}/route-${++routeCount}`;
const put = (path: string, body: unknown = POLICY, headers: Record<string, string> = {}) =>
  worker.admin(path, { method: "PUT", body, headers });

async function list(path: string): Promise<{ data: Json[]; has_more: boolean; next_cursor: string | null }> {
  const response = await worker.admin(path);
  expect(response.status).toBe(200);
  return (await response.json()) as { data: Json[]; has_more: boolean; next_cursor: string | null };
}

describe("authorization", () => {
  test.each([
    { name: "no Authorization", headers: {}, status: 401, code: "missing_api_key" },
    {
      name: "a wrong token",
      headers: { authorization: `Bearer ${"x".repeat(48)}` },
      status: 401,
      code: "invalid_api_key",
    },
    { name: "another scheme", headers: { authorization: "Basic YTpi" }, status: 401, code: "invalid_api_key" },
    { name: "a scheme without a token", headers: { authorization: "Bearer" }, status: 401, code: "invalid_api_key" },
    {
      name: "a short further operator",
      headers: { authorization: "Bearer abc" },
      status: 401,
      code: "invalid_api_key",
    },
    {
      name: "an operator's name as token",
      headers: { authorization: "Bearer ann" },
      status: 401,
      code: "invalid_api_key",
    },
  ])("$name is refused on every path, existing or not", async ({ headers, status, code }) => {
    for (const path of ["/admin/keys", "/admin/routes/production/x", "/admin/audit", "/admin/nothing", "/admin"]) {
      await expectRefusal(await worker.fetch(path, { headers }), { status, code });
    }
    await expectRefusal(await worker.fetch("/admin/keys", { method: "PATCH", headers }), { status, code });
  });

  test("two tokens in one header are refused", async () => {
    const authorization = `Bearer ${worker.adminToken}, Bearer ${worker.adminToken}`;
    await expectRefusal(await worker.admin("/admin/keys", { headers: { authorization } }), {
      status: 401,
      code: "invalid_api_key",
    });
  });

  test("an API key is no admin token, and the admin token is no API key", async () => {
    const { key } = await worker.createKey();
    const headers = { authorization: `Bearer ${key}` };
    await expectRefusal(await worker.fetch("/admin/keys", { headers }), { status: 401, code: "invalid_api_key" });
    const models = await worker.fetch("/v1/models", { headers: { authorization: `Bearer ${worker.adminToken}` } });
    expect(models.status).toBe(401);
  });

  test("an address may give ten wrong tokens a minute; others, and the right token, are not counted", async () => {
    const from = (address: string, token: string): Promise<Response> =>
      worker.fetch("/admin/keys", { headers: { "cf-connecting-ip": address, authorization: `Bearer ${token}` } });
    for (let attempt = 0; attempt < 10; attempt++) {
      await expectRefusal(await from("203.0.113.7", `${"x".repeat(40)}${attempt}`), {
        ...{ status: 401, code: "invalid_api_key" },
      });
    }
    const refused = await from("203.0.113.7", "x".repeat(48));
    expect(refused.headers.get("retry-after")).toBe("60");
    expect([refused.status, (await read(refused))["error"]]).toMatchObject([429, { code: "rate_limit_exceeded" }]);
    await expectRefusal(await from("203.0.113.8", "x".repeat(48)), { status: 401, code: "invalid_api_key" });
    for (let call = 0; call < 12; call++) expect((await from("203.0.113.7", worker.adminToken)).status).toBe(200);
  });

  test("the scheme's case does not matter", async () => {
    const headers = { authorization: `bearer ${worker.adminToken}` };
    expect((await worker.admin("/admin/keys", { headers })).status).toBe(200);
  });

  test("unknown paths are 404 and wrong methods 405 with Allow, once authorized", async () => {
    for (const path of ["/admin", "/admin/nothing", "/admin/keys/", "/admin/routes/production", "/admin/keys/a/b"]) {
      await expectRefusal(await worker.admin(path), { status: 404, code: "not_found" });
    }
    for (const [path, method, allow] of [
      ["/admin/keys", "PUT", "GET, HEAD, POST"],
      ["/admin/keys/x", "POST", "GET, HEAD, PATCH, DELETE"],
      ["/admin/keys/x/rotate", "GET", "POST"],
      ["/admin/routes", "POST", "GET, HEAD"],
      ["/admin/routes/production/x", "POST", "GET, HEAD, PUT, DELETE"],
      ["/admin/routes/x/promote", "PATCH", "GET, HEAD, PUT, DELETE, POST"],
      ["/admin/routes/production/x/rollback", "PUT", "POST"],
      ["/admin/routes/production/x/versions", "PUT", "GET, HEAD"],
      ["/admin/routes/production/x/versions/1", "DELETE", "GET, HEAD"],
      ["/admin/providers/x", "GET", "PUT, PATCH, DELETE"],
      ["/admin/audit", "DELETE", "GET, HEAD"],
    ] as const) {
      const response = await worker.admin(path, { method });
      expect(response.headers.get("allow")).toBe(allow);
      await expectRefusal(response, { status: 405, code: "method_not_allowed" });
    }
  });

  test("successes are not cached", async () => {
    expect((await worker.admin("/admin/keys")).headers.get("cache-control")).toBe("no-store");
  });
});

describe("deployments without the needed secrets", () => {
  test.each([undefined, "", "m".repeat(31)])("the admin token %s turns the control plane off", async (token) => {
    const off = await startWorker({ vars: { FLOW_ADMIN_TOKEN: token, FLOW_ADMIN_TOKENS: `ann:${ANN_TOKEN}` } });
    try {
      for (const bearer of [token ?? "undefined", ANN_TOKEN]) {
        const response = await off.fetch("/admin/keys", { headers: { authorization: `Bearer ${bearer}` } });
        expect(response.headers.get("retry-after")).not.toBeNull();
        await expectRefusal(response, { status: 503, code: "admin_disabled" });
      }
    } finally {
      await off.stop();
    }
  });

  test("without a pepper no key is created, and the message names it", async () => {
    const bare = await startWorker({ vars: { FLOW_KEY_PEPPER: undefined } });
    try {
      const response = await bare.admin("/admin/keys", { body: { name: "web", env: "production" } });
      expect(await response.clone().text()).toContain("FLOW_KEY_PEPPER");
      await expectRefusal(response, { status: 503, code: "admin_disabled" });
      expect(await read(await bare.admin("/admin/keys"))).toMatchObject({ data: [] });
      expect(await read(await bare.admin("/admin/audit"))).toMatchObject({ data: [] });
    } finally {
      await bare.stop();
    }
  });

  test("with FLOW_ADMIN_HOST every other host finds nothing, token or not", async () => {
    const hosted = await startWorker({ vars: { FLOW_ADMIN_HOST: "admin.example.com" } });
    try {
      await expectRefusal(await hosted.admin("/admin/keys"), { status: 404, code: "not_found" });
      await expectRefusal(await hosted.fetch("/admin/keys"), { status: 404, code: "not_found" });
    } finally {
      await hosted.stop();
    }
    const local = await startWorker({ vars: { FLOW_ADMIN_HOST: "127.0.0.1" } });
    try {
      expect((await local.admin("/admin/keys")).status).toBe(200);
    } finally {
      await local.stop();
    }
  });
});

describe("bodies and list parameters", () => {
  const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => new Uint8Array(values);
  const key = '"name":"web","env":"production"';
  test.each([
    { name: "no content type", type: "", body: "{}", status: 415, code: "unsupported_media_type" },
    { name: "text/plain", type: "text/plain", body: "{}", status: 415, code: "unsupported_media_type" },
    {
      name: "a type that only begins alike",
      type: "application/jsonp",
      body: "{}",
      status: 415,
      code: "unsupported_media_type",
    },
    { name: "no body", type: "application/json", body: "", status: 400, code: "invalid_json" },
    { name: "half a document", type: "application/json", body: "{", status: 400, code: "invalid_json" },
    { name: "a byte order mark", type: "application/json", body: "\uFEFF{}", status: 400, code: "invalid_json" },
    {
      name: "bytes that are not UTF-8",
      type: "application/json",
      body: bytes(0x22, 0xff, 0x22),
      status: 400,
      code: "invalid_json",
    },
    { name: "an array", type: "application/json", body: "[]", status: 400, code: "invalid_request" },
    { name: "null", type: "application/json", body: "null", status: 400, code: "invalid_request" },
    {
      name: "a key given twice",
      type: "application/json",
      body: `{${key},"env":"staging"}`,
      status: 400,
      code: "invalid_request",
    },
    {
      name: "a key given twice further in",
      type: "application/json",
      body: `{${key},"budget":{"limit_usd":1,"limit_usd":5,"period":"day"}}`,
      status: 400,
      code: "invalid_request",
    },
    {
      name: "deep nesting",
      type: "application/json",
      body: `{"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
      status: 400,
      code: "invalid_request",
    },
    {
      name: "more than a mebibyte",
      type: "application/json",
      body: `{${key}${" ".repeat(1_048_576)}}`,
      status: 413,
      code: "request_too_large",
    },
  ])("$name: $status $code", async ({ type, body, status, code }) => {
    const headers = { authorization: `Bearer ${worker.adminToken}`, "content-type": type };
    const response = await worker.fetch("/admin/keys", { method: "POST", headers, body });
    await expectRefusal(response, { status, code });
  });

  test("a body without a declared length is counted while it is read", async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let sent = 0; sent <= 16; sent++) controller.enqueue(new Uint8Array(65_536).fill(0x20));
        controller.close();
      },
    });
    const headers = { authorization: `Bearer ${worker.adminToken}`, "content-type": "application/json" };
    const init = { method: "POST", headers, body, duplex: "half" } as RequestInit;
    await expectRefusal(await worker.fetch("/admin/keys", init), { status: 413, code: "request_too_large" });
  });

  test("a charset is part of an acceptable content type", async () => {
    const headers = { authorization: `Bearer ${worker.adminToken}`, "content-type": "Application/JSON; charset=utf-8" };
    const response = await worker.fetch("/admin/keys", { method: "POST", headers, body: `{${key}}` });
    expect(response.status).toBe(201);
  });

  test.each([
    ...["limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=", "cursor=x", "cursor=0", "cursor=1e3"],
    // A filter that is not there would show everything as if it had matched.
    ...["actor=ann", "limit=1&limit=2"],
  ])("?%s is refused on every list", async (query) => {
    await worker.putRoute("production", "listed", POLICY);
    for (const path of ["keys", "routes", "routes/production/listed/versions", "audit", "providers"]) {
      // The audit is filtered by actor; no other list is.
      if (path === "audit" && query === "actor=ann") continue;
      const param = query.slice(0, query.indexOf("="));
      const response = await worker.admin(`/admin/${path}?${query}`);
      await expectRefusal(response, { status: 400, code: "invalid_request", param });
    }
  });

  test("a limit above 1000 is clamped", async () => {
    expect((await worker.admin("/admin/keys?limit=99999999999999999999")).status).toBe(200);
  });
});

describe("keys", () => {
  test("a new key shows its token once, and its defaults", async () => {
    const response = await worker.admin("/admin/keys", { body: { name: "web", env: "staging" } });
    expect(response.status).toBe(201);
    const { id, key, created_at, ...rest } = await read(response);
    expect(key).toMatch(new RegExp(`^fl_staging_${id}_[0-9A-Za-z]{40}$`));
    expect(new Date(created_at as string).toISOString()).toBe(created_at);
    expect(rest).toEqual({
      name: "web",
      env: "staging",
      apps: null,
      routes: null,
      scopes: ["chat", "models", "traces:read"],
      budget: null,
      limits: null,
      status: "active",
      expires_at: null,
      pepper: "current",
      pepper_id: expect.stringMatching(/^[0-9a-f]{8}$/),
      spend: { period: "total", limit_usd: null, spent_usd: 0, reserved_usd: 0, remaining_usd: null },
    });
  });

  test("everything asked for is kept, times in UTC", async () => {
    const spec = {
      apps: ["studio"],
      routes: ["best-reasoning"],
      scopes: ["chat", "raw_models"],
      budget: { limit_usd: 2.5, period: "month" },
      limits: { requests_per_minute: 10, concurrency: 2 },
    };
    const { id, key: _, ...created } = await worker.createKey({ ...spec, expires_at: "2030-01-01T01:00:00+01:00" });
    expect(created).toMatchObject({ ...spec, expires_at: "2030-01-01T00:00:00.000Z" });
    const shown = await read(await worker.admin(`/admin/keys/${id}`));
    expect(shown).toEqual({ id, ...created });
    expect(shown).toMatchObject({ spend: { period: "month", limit_usd: 2.5, spent_usd: 0, remaining_usd: 2.5 } });
  });

  test.each([
    { name: "no name", body: { env: "production" }, param: "name" },
    { name: "an empty name", body: { name: "", env: "production" }, param: "name" },
    { name: "an environment with an underscore", body: { name: "x", env: "pro_d" }, param: "env" },
    { name: "an unknown field", body: { name: "x", env: "production", admin: true }, param: "admin" },
    { name: "an unknown scope", body: { name: "x", env: "production", scopes: ["root"] }, param: "scopes[0]" },
    { name: "no scope at all", body: { name: "x", env: "production", scopes: [] }, param: "scopes" },
    {
      name: "a negative budget",
      body: { name: "x", env: "production", budget: { limit_usd: -1, period: "day" } },
      param: "budget.limit_usd",
    },
    {
      name: "an unknown period",
      body: { name: "x", env: "production", budget: { limit_usd: 1, period: "year" } },
      param: "budget.period",
    },
    { name: "an app that is no name", body: { name: "x", env: "production", apps: ["../x"] }, param: "apps[0]" },
    {
      name: "a date without a zone",
      body: { name: "x", env: "production", expires_at: "2030-01-01T00:00:00" },
      param: "expires_at",
    },
    {
      name: "a time that is in the year 10000 in UTC",
      body: { name: "x", env: "production", expires_at: "9999-12-31T23:59:59-12:00" },
      param: "expires_at",
    },
    {
      name: "a time that is before the year 0 in UTC",
      body: { name: "x", env: "production", expires_at: "0000-01-01T00:00:00+12:00" },
      param: "expires_at",
    },
    { name: "a name that is no text", body: { name: 5, env: "production" }, param: "name" },
  ])("$name is refused with its path", async ({ body, param }) => {
    const response = await worker.admin("/admin/keys", { body });
    await expectRefusal(response, { status: 400, code: "invalid_request", param });
  });

  test("a refusal says what the field must be, not only that it is wrong", async () => {
    const say = async (body: unknown): Promise<unknown> =>
      ((await read(await worker.admin("/admin/keys", { body })))["error"] as { message: string }).message;
    expect(await say({ env: "production" })).toBe("`name`: is required.");
    expect(await say({ name: 5, env: "production" })).toBe("`name`: must be of type string.");
    expect(await say({ name: "", env: "production" })).toBe("`name`: must have at least 1 character.");
  });

  test("the list is newest first and pages without gaps", async () => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) ids.unshift((await worker.createKey()).id);
    const first = await list("/admin/keys?limit=2");
    expect(first).toMatchObject({ object: "list", has_more: true });
    expect(first.data.map((key) => key["id"])).toEqual(ids.slice(0, 2));
    expect(first.data[0]).not.toHaveProperty("spend");
    const second = await list(`/admin/keys?limit=2&cursor=${first.next_cursor}`);
    expect(second.data.map((key) => key["id"])).toEqual(ids.slice(2, 4));
    const all = await list("/admin/keys?limit=1000");
    expect(all).toMatchObject({ has_more: false, next_cursor: null });
  });

  test("a revoked key stays readable, here and in KV, and revoking it again changes nothing", async () => {
    const { id, key } = await worker.createKey({ budget: { limit_usd: 1, period: "day" } });
    const authorization = { authorization: `Bearer ${key}` };
    expect((await worker.fetch("/v1/models", { headers: authorization })).status).toBe(200);
    for (let time = 0; time < 2; time++) {
      const response = await worker.admin(`/admin/keys/${id}`, { method: "DELETE" });
      expect([response.status, await response.text()]).toEqual([204, ""]);
    }
    expect(await read(await worker.admin(`/admin/keys/${id}`))).toMatchObject({ id, status: "revoked" });
    const { CONFIG } = worker.bindings();
    const stored = KeyRecord.parse(await CONFIG.get(keyRecordKey(id), "json"));
    expect(stored).toMatchObject({ status: "revoked", version: 2 });
    expect((await worker.fetch("/v1/models", { headers: authorization })).status).toBe(401);
    const revocations = (await list("/admin/audit")).data.filter((entry) => entry["object"] === `key ${id}`);
    expect(revocations.map((entry) => entry["action"])).toEqual(["key.revoke", "key.create"]);
  });

  test.each(["GET", "DELETE"])("%s of an unknown key is 404", async (method) => {
    for (const id of ["000000000000", "x", "..%2f", "'%20OR%201=1--", "%00"]) {
      const response = await worker.admin(`/admin/keys/${id}`, { method });
      await expectRefusal(response, { status: 404, code: "not_found" });
    }
  });

  test("concurrent revocations leave one audit line", async () => {
    const { id } = await worker.createKey();
    const remove = () => worker.admin(`/admin/keys/${id}`, { method: "DELETE" });
    const answers = await Promise.all([remove(), remove(), remove(), remove()]);
    expect(answers.map((answer) => answer.status)).toEqual([204, 204, 204, 204]);
    const lines = (await list("/admin/audit?limit=1000")).data.filter((entry) => entry["object"] === `key ${id}`);
    expect(lines).toHaveLength(2);
  });

  test("no answer but the first holds a token, a secret or its hash", async () => {
    const { id, key } = await worker.createKey({ name: "secretive" });
    const { CONFIG } = worker.bindings();
    const record = KeyRecord.parse(await CONFIG.get(keyRecordKey(id), "json"));
    const secret = key.slice(-40);
    const forbidden = [key, secret, secret.slice(0, 32), secret.slice(-8), record.secrets[0]?.hash ?? key];
    await worker.admin(`/admin/keys/${id}`, { method: "DELETE" });
    for (const path of ["keys?limit=1000", `keys/${id}`, "audit?limit=1000", "routes", "keys/none"]) {
      const text = await (await worker.admin(`/admin/${path}`)).text();
      for (const each of forbidden) expect(text).not.toContain(each);
      expect(text).not.toContain('"secrets"');
      expect(text).not.toContain(worker.adminToken);
    }
    for (const each of forbidden) expect(worker.logs()).not.toContain(each);
    expect(JSON.stringify(record)).not.toContain(secret.slice(0, 32));
  });
});

describe("routes", () => {
  test("a policy becomes version 1 with its defaults filled in, and is in KV at once", async () => {
    const path = routePath();
    const response = await put(path, { ...POLICY, description: "Deep" });
    expect(response.status).toBe(200);
    expect(response.headers.get("etag")).toBe('"1"');
    const route = await read(response);
    expect(route).toMatchObject({ env: "production", version: 1, active: true, actor: "admin" });
    expect(route["policy"]).toMatchObject({ strategy: "ordered", timeouts: { first_token_ms: 60_000 } });
    expect({ ...(await read(await worker.admin(path))), warnings: [] }).toEqual(route);

    const name = String(route["name"]);
    const { CONFIG } = worker.bindings();
    const active = RouteRecord.parse(await CONFIG.get(routeKey("production", name), "json"));
    expect(active).toMatchObject({ version: 1, facts: [{ price: { input: 0, output: 0 } }] });
    expect(RouteRecord.parse(await CONFIG.get(routeKey("production", name, 1), "json"))).toEqual(active);
    const index = RouteIndex.parse(await CONFIG.get(routeIndexKey("production"), "json"));
    const entry = index.find((each) => each.name === name);
    expect(entry).toMatchObject({
      version: 1,
      description: "Deep",
      targets: [{ provider: "sandbox", model: "deep-1" }],
    });
  });

  test("versions count up, per environment, and an old one never changes", async () => {
    const path = routePath();
    await put(path);
    const first = await (await worker.admin(`${path}/versions/1`)).text();
    const second = await read(await put(path, { ...POLICY, strategy: "fastest" }));
    expect(second).toMatchObject({ version: 2, active: true });
    const kept = await read(await worker.admin(`${path}/versions/1`));
    expect(kept).toEqual({ ...JSON.parse(first), active: false });
    const versions = await list(`${path}/versions`);
    expect(versions.data.map((each) => [each["version"], each["active"]])).toEqual([
      [2, true],
      [1, false],
    ]);
    const page = await list(`${path}/versions?limit=1`);
    expect(page).toMatchObject({ has_more: true });
    const rest = await list(`${path}/versions?limit=1&cursor=${page.next_cursor}`);
    expect(rest.data.map((each) => each["version"])).toEqual([1]);
    expect(await read(await put(path.replace("production", "staging")))).toMatchObject({ env: "staging", version: 1 });
    const { CONFIG } = worker.bindings();
    const name = path.split("/").at(-1) ?? "";
    expect(await CONFIG.get(routeKey("production", name, 1), "json")).toMatchObject({
      policy: { strategy: "ordered" },
    });
    expect(await CONFIG.get(routeKey("production", name), "json")).toMatchObject({ policy: { strategy: "fastest" } });
  });

  test("If-Match keeps one operator from overwriting another", async () => {
    const path = routePath();
    await expectRefusal(await put(path, POLICY, { "if-match": '"1"' }), { status: 412, code: "version_mismatch" });
    await expectRefusal(await put(path, POLICY, { "if-match": "*" }), { status: 412, code: "version_mismatch" });
    expect((await put(path, POLICY, { "if-match": "0" })).status).toBe(200);
    expect(await read(await put(path, POLICY, { "if-match": '"1"' }))).toMatchObject({ version: 2 });
    expect(await read(await put(path, POLICY, { "if-match": "2" }))).toMatchObject({ version: 3 });
    expect(await read(await put(path, POLICY, { "if-match": "*" }))).toMatchObject({ version: 4 });
    for (const stale of ['"1"', "3", '"abc"', 'W/"4"', '"4", "5"', "04"]) {
      await expectRefusal(await put(path, POLICY, { "if-match": stale }), { status: 412, code: "version_mismatch" });
    }
    expect(await read(await worker.admin(path))).toMatchObject({ version: 4 });
  });

  test("of many changes to the same version exactly one wins, and no version number is lost or doubled", async () => {
    const path = routePath();
    await put(path);
    const races = Array.from({ length: 8 }, () => put(path, POLICY, { "if-match": '"1"' }));
    const statuses = (await Promise.all(races)).map((response) => response.status).sort();
    expect(statuses).toEqual([200, 412, 412, 412, 412, 412, 412, 412]);
    await Promise.all(Array.from({ length: 8 }, () => put(path)));
    const versions = (await list(`${path}/versions`)).data.map((each) => each["version"]);
    expect(versions).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    const { CONFIG } = worker.bindings();
    const name = path.split("/").at(-1) ?? "";
    expect(await CONFIG.get(routeKey("production", name), "json")).toMatchObject({ version: 10 });
  });

  const target = POLICY.targets[0];
  test.each([
    { name: "no targets", policy: {}, param: "targets" },
    { name: "an empty list of targets", policy: { targets: [] }, param: "targets" },
    { name: "17 targets", policy: { targets: Array(17).fill(target) }, param: "targets" },
    { name: "targets of another type", policy: { targets: "openai" }, param: "targets" },
    { name: "an unknown field", policy: { ...POLICY, fallbacks: {} }, param: "fallbacks" },
    { name: "an unknown field inside", policy: { ...POLICY, retry: { same: 1 } }, param: "retry.same" },
    { name: "an unknown field of a target", policy: { targets: [{ ...target, url: "x" }] }, param: "targets[0].url" },
    { name: "a number out of range", policy: { ...POLICY, timeouts: { idle_ms: 1 } }, param: "timeouts.idle_ms" },
    { name: "an unknown strategy", policy: { ...POLICY, strategy: "random" }, param: "strategy" },
    {
      name: "an unknown provider",
      policy: { targets: [{ provider: "nobody", model: "x" }] },
      param: "targets[0].provider",
    },
    {
      name: "an unknown second provider",
      policy: { targets: [target, { provider: "toString", model: "x" }] },
      param: "targets[1].provider",
    },
  ])("$name is refused with its path, and nothing is published", async ({ policy, param }) => {
    const path = routePath();
    await expectRefusal(await put(path, policy), { status: 400, code: "invalid_request", param });
    await expectRefusal(await worker.admin(path), { status: 404, code: "not_found" });
  });

  test("an unknown model is accepted: it is unpriced, not wrong", async () => {
    expect((await put(routePath(), { targets: [{ provider: "openai", model: "not-yet-known" }] })).status).toBe(200);
  });

  test.each([
    { path: "/admin/routes/Production/x", param: "env" },
    { path: "/admin/routes/pro_d/x", param: "env" },
    { path: "/admin/routes/a%2Fb/x", param: "env" },
    { path: "/admin/routes/production/X", param: "name" },
    { path: "/admin/routes/production/a%3Ab", param: "name" },
    { path: "/admin/routes/production/a@1", param: "name" },
    { path: `/admin/routes/production/${"a".repeat(64)}`, param: "name" },
  ])("$path is not a name", async ({ path, param }) => {
    await expectRefusal(await put(path), { status: 400, code: "invalid_request", param });
  });

  test("unknown routes and versions are 404", async () => {
    const path = routePath();
    await put(path);
    const unknown = ["/admin/routes/production/none", "/admin/routes/production/none/versions", "/admin/routes/x/y"];
    for (const version of ["0", "2", "x", "1.0", "1e0", "-1", "01"]) unknown.push(`${path}/versions/${version}`);
    for (const each of unknown) await expectRefusal(await worker.admin(each), { status: 404, code: "not_found" });
  });

  test("where promotion is required, a direct change needs a reason, which the audit log keeps", async () => {
    const path = routePath();
    const guarded = { ...POLICY, promotion: { required: true } };
    expect((await put(path, guarded)).status).toBe(200);
    await expectRefusal(await put(path), { status: 409, code: "promotion_required" });
    await expectRefusal(await put(`${path}?force=`), { status: 409, code: "promotion_required" });
    await expectRefusal(await put(`${path}?force=${"x".repeat(501)}`), {
      status: 400,
      code: "invalid_request",
      param: "force",
    });
    expect(await read(await put(`${path}?force=vendor%20outage`))).toMatchObject({ version: 2 });
    expect((await list("/admin/audit?limit=1")).data[0]).toMatchObject({ reason: "vendor outage" });
    expect((await put(path)).status).toBe(200);
  });

  test("the list shows the active version of each route, the latest change first", async () => {
    const [older, newer] = [routePath(), routePath("staging")];
    await put(older);
    await put(newer);
    await put(older);
    const { data } = await list("/admin/routes?limit=2");
    expect(data.map((route) => [`/admin/routes/${route["env"]}/${route["name"]}`, route["version"]])).toEqual([
      [older, 2],
      [newer, 1],
    ]);
    const first = await list("/admin/routes?limit=1");
    const second = await list(`/admin/routes?limit=1&cursor=${first.next_cursor}`);
    expect([...first.data, ...second.data]).toEqual(data);
  });
});

test("the audit log says who did what, with digests that chain", async () => {
  const path = routePath();
  const name = path.split("/").at(-1);
  await put(path);
  await put(path, { ...POLICY, strategy: "fastest" }, { authorization: `Bearer ${ANN_TOKEN}` });
  const [second, first] = (await list("/admin/audit?limit=2")).data;
  expect(first).toMatchObject({
    actor: "admin",
    action: "route.publish",
    object: `route production/${name}@1`,
    before: null,
  });
  expect(second).toMatchObject({
    actor: "ann",
    object: `route production/${name}@2`,
    before_digest: first?.["after_digest"],
    reason: null,
  });
  expect(second?.["after_digest"]).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(second?.["after_digest"]).not.toBe(first?.["after_digest"]);
  expect(new Date(String(second?.["at"])).toISOString()).toBe(second?.["at"]);
});

test("a refused change leaves no audit line", async () => {
  const before = (await list("/admin/audit?limit=1")).data[0];
  await put(routePath(), {});
  await worker.admin("/admin/keys", { body: {} });
  await worker.admin("/admin/keys/none", { method: "DELETE" });
  expect((await list("/admin/audit?limit=1")).data[0]).toEqual(before);
});
