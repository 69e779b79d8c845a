/** Taking routes back, rolling them back, and promoting a version on its evidence. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RouteIndex, RouteRecord, routeIndexKey, routeKey } from "../../src/policy/schema.ts";
import { trailName } from "../../src/trace-index/calendar.ts";
import { auditOf, expectRefusal, type Json, okBody, read, withoutAudit } from "../support/admin.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { makeTrace, type TraceSpec, toRow } from "../unit/trace-index/fakes.ts";

const TARGETS = [{ provider: "sandbox", model: "deep-1" }];
const POLICY = { targets: TARGETS };
/** A trail that can be switched off. */
const FRONT = `
import app from "./index.js";
export * from "./index.js";
let isDown = false;
const down = { getByName: () => ({ evidence: async () => { throw new Error("Durable Object reset."); } }) };
export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/trail") return new Response(String((isDown = request.method === "DELETE")));
    return app.fetch(request, isDown ? { ...env, TRAIL_INDEX: down } : env, context);
  },
};
`;

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker({ front: FRONT });
});
afterEach(() => worker.fetch("/trail", { method: "PUT" }));
afterAll(() => worker.stop());

let count = 0;
let name = "";
beforeEach(() => {
  name = `own-${++count}`;
});

const path = (env = "production"): string => `/admin/routes/${env}/${name}`;
const put = (env: string, policy: object = POLICY, query = "") =>
  worker.admin(path(env) + query, { method: "PUT", body: policy });
const remove = (env = "production", headers: Record<string, string> = {}, query = "") =>
  worker.admin(path(env) + query, { method: "DELETE", headers });
const WHY = "?reason=spring%20cleaning";
const rollBack = (body: unknown, headers: Record<string, string> = {}) =>
  worker.admin(`${path()}/rollback`, { method: "POST", body, headers });
const promote = (body: object = {}) =>
  worker.admin(`/admin/routes/${name}/promote`, { body: { from: "staging", to: "production", ...body } });

async function inKv(key: string): Promise<unknown> {
  return worker.bindings().CONFIG.get(key, "json");
}

async function ask(key: string, model: string): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] });
  return worker.fetch("/v1/chat/completions", { method: "POST", headers, body });
}

describe("DELETE /admin/routes/{env}/{name}", () => {
  test("the data plane no longer knows the route, its pinned versions and its place in the list", async () => {
    await put("staging");
    await put("staging", { ...POLICY, strategy: "fastest" });
    const { key } = await worker.createKey({ env: "staging" });
    expect((await ask(key, `flow/${name}`)).status).toBe(200);
    const response = await remove("staging");
    expect([response.status, await response.text()]).toEqual([204, ""]);
    for (const model of [`flow/${name}`, `flow/${name}@1`, `flow/${name}@2`]) {
      await expectRefusal(await ask(key, model), { status: 400, code: "unknown_route", param: "model" });
    }
    for (const version of [undefined, 1, 2]) expect(await inKv(routeKey("staging", name, version))).toBeNull();
    const index = RouteIndex.parse(await inKv(routeIndexKey("staging")));
    expect(index.map((entry) => entry.name)).not.toContain(name);
  });

  test("it is gone from the list of routes, its versions stay readable, and the next one continues their numbers", async () => {
    await put("production");
    await put("production", { ...POLICY, strategy: "fastest" });
    await remove();
    await expectRefusal(await worker.admin(path()), { status: 404, code: "not_found" });
    const listed = (await okBody(await worker.admin("/admin/routes?limit=1000")))["data"] as Json[];
    expect(listed.map((route) => route["name"])).not.toContain(name);
    const versions = (await okBody(await worker.admin(`${path()}/versions`)))["data"] as Json[];
    expect(versions.map((each) => [each["version"], each["active"]])).toEqual([
      [2, false],
      [1, false],
    ]);
    expect(await okBody(await worker.admin(`${path()}/versions/1`))).toMatchObject({ version: 1, active: false });
    expect(await okBody(await put("production"))).toMatchObject({ version: 3, active: true });
    expect(RouteRecord.parse(await inKv(routeKey("production", name)))).toMatchObject({ version: 3 });
  });

  test("deleting it again is no change, and a route that never was is 404", async () => {
    await put("production");
    await remove();
    await withoutAudit(worker, async () => {
      expect((await remove()).status).toBe(204);
      expect((await remove("production", { "if-match": '"1"' })).status).toBe(204);
      await expectRefusal(await remove("staging"), { status: 404, code: "not_found" });
    });
    const [line, published] = await auditOf(worker, `route production/${name}@1`);
    expect(line).toMatchObject({ action: "route.delete", before_digest: published?.["after_digest"], after: null });
  });

  test("If-Match keeps it from deleting what somebody just changed", async () => {
    await put("production");
    await put("production");
    for (const stale of ['"1"', "0", '"x"']) {
      await expectRefusal(await remove("production", { "if-match": stale }), { status: 412, code: "version_mismatch" });
    }
    expect((await remove("production", { "if-match": '"2"' })).status).toBe(204);
  });

  test("it is no way around a promotion: the next version still needs one, or a reason", async () => {
    await put("production", { ...POLICY, promotion: { required: true } });
    await withoutAudit(worker, async () => {
      await expectRefusal(await remove(), { status: 400, code: "invalid_request", param: "reason" });
    });
    expect((await remove("production", {}, WHY)).status).toBe(204);
    const [line] = await auditOf(worker, `route production/${name}@1`);
    expect(line).toMatchObject({ action: "route.delete", reason: "spring cleaning" });
    await expectRefusal(await put("production"), { status: 409, code: "promotion_required" });
    expect(await okBody(await put("production", POLICY, "?force=clean%20start"))).toMatchObject({ version: 2 });
  });
});

describe("POST /admin/routes/{env}/{name}/rollback", () => {
  test("an old version becomes the newest one, in KV too, and says where it comes from", async () => {
    const first = await okBody(await put("production", { ...POLICY, description: "first" }));
    await put("production", { ...POLICY, description: "second" });
    const response = await rollBack({ version: 1 });
    expect(response.headers.get("etag")).toBe('"3"');
    const route = await okBody(response);
    const from = { env: "production", version: 1 };
    expect(route).toMatchObject({ version: 3, active: true, actor: "admin", policy: first["policy"] });
    expect(route["origin"]).toEqual({ kind: "rollback", from, reason: null });
    expect(await okBody(await worker.admin(path()))).toEqual(route);
    expect(await okBody(await worker.admin(`${path()}/versions/3`))).toEqual(route);
    for (const version of [undefined, 3]) {
      expect(RouteRecord.parse(await inKv(routeKey("production", name, version)))).toMatchObject({
        version: 3,
        policy: { description: "first" },
        facts: [{ price: { input: 0, output: 0 } }],
      });
    }
    const [line] = await auditOf(worker, `route production/${name}@3`);
    expect(line).toMatchObject({ action: "route.rollback", actor: "admin", detail: { kind: "rollback", from } });
    const [second] = await auditOf(worker, `route production/${name}@2`);
    expect(line?.["before_digest"]).toBe(second?.["after_digest"]);
  });

  test("promotion.required does not stand in the way, and a deleted route comes back", async () => {
    await put("production");
    await put("production", { ...POLICY, promotion: { required: true } });
    expect(await okBody(await rollBack({ version: 1 }))).toMatchObject({ version: 3 });
    await remove("production", {}, WHY);
    expect(await okBody(await rollBack({ version: 1 }, { "if-match": "0" }))).toMatchObject({
      version: 4,
      active: true,
    });
    expect(await okBody(await worker.admin(path()))).toMatchObject({ version: 4 });
  });

  test("If-Match is honoured", async () => {
    await put("production");
    await put("production");
    const stale = { "if-match": '"1"' };
    await expectRefusal(await rollBack({ version: 1 }, stale), { status: 412, code: "version_mismatch" });
    expect(await okBody(await rollBack({ version: 1 }, { "if-match": '"2"' }))).toMatchObject({ version: 3 });
  });

  test.each([
    { body: { version: 9 }, status: 404, code: "not_found" },
    { body: { version: 0 }, status: 400, code: "invalid_request", param: "version" },
    { body: { version: 1.5 }, status: 400, code: "invalid_request", param: "version" },
    { body: { version: "1" }, status: 400, code: "invalid_request", param: "version" },
    { body: {}, status: 404, code: "not_found" },
    { body: { reason: "x".repeat(501) }, status: 400, code: "invalid_request", param: "reason" },
    { body: { version: 1, force: true }, status: 400, code: "invalid_request", param: "force" },
  ])("$body is $status $code", async ({ body, ...refusal }) => {
    await put("production");
    await withoutAudit(worker, async () => expectRefusal(await rollBack(body), refusal));
  });

  test("an unknown route is 404", async () => {
    await expectRefusal(await rollBack({ version: 1 }), { status: 404, code: "not_found" });
    await expectRefusal(await rollBack({}), { status: 404, code: "not_found" });
  });

  test("without a version it goes back to the one before, twice goes further, and never to what was left", async () => {
    for (const description of ["one", "two", "bad"]) await put("production", { ...POLICY, description });
    const back = async (): Promise<unknown> => {
      const route = await okBody(await worker.admin(`${path()}/rollback`, { method: "POST" }));
      return [route["version"], (route["policy"] as Json)["description"]];
    };
    expect(await back()).toEqual([4, "two"]);
    expect(await back()).toEqual([5, "one"]);
    await expectRefusal(await rollBack({ reason: "still bad" }), { status: 404, code: "not_found" });
    await put("production", { ...POLICY, description: "new" });
    expect(await back()).toEqual([7, "one"]);
  });

  test("its reason is in the audit log, and going back to the active version is 409", async () => {
    await put("production");
    await put("production");
    await expectRefusal(await rollBack({ version: 2 }), { status: 409, code: "version_mismatch" });
    expect(await okBody(await rollBack({ version: 1, reason: "pager" }))).toMatchObject({
      ...{ version: 3, origin: { kind: "rollback", reason: "pager" } },
    });
    const [line] = await auditOf(worker, `route production/${name}@3`);
    expect(line).toMatchObject({ action: "route.rollback", reason: "pager" });
  });

  test("a version from before the guard comes back under the guard", async () => {
    const promotion = { required: true, min_requests: 50, min_success_rate: 0.9 };
    await put("production", { ...POLICY, description: "old", promotion: { min_requests: 99 } });
    await put("production", { ...POLICY, promotion: { ...promotion, min_requests: 99 } }, WHY);
    expect(await okBody(await rollBack({ version: 1 }))).toMatchObject({
      policy: { description: "old", promotion: { ...promotion, min_requests: 99 } },
    });
    await expectRefusal(await put("production"), { status: 409, code: "promotion_required" });
  });
});

describe("the guard of a promotion", () => {
  const GUARD = { min_requests: 30, min_success_rate: 0.9, max_p95_latency_ms: 2_000, window_hours: 24 };
  test.each([
    { name: "is taken away", promotion: {} },
    { name: "loses a gate", promotion: { ...GUARD, min_success_rate: undefined } },
    { name: "has a lower gate", promotion: { ...GUARD, min_success_rate: 0.89 } },
    { name: "has a higher ceiling", promotion: { ...GUARD, max_p95_latency_ms: 2_001 } },
    { name: "wants fewer requests", promotion: { ...GUARD, min_requests: 29 } },
    { name: "looks further back", promotion: { ...GUARD, window_hours: 25 } },
  ])("that $name needs a reason", async ({ promotion }) => {
    await put("staging", { ...POLICY, promotion: GUARD });
    await withoutAudit(worker, async () => {
      const refused = await put("staging", { ...POLICY, promotion });
      await expectRefusal(refused, { status: 400, code: "invalid_request", param: "reason" });
    });
    expect(await okBody(await put("staging", { ...POLICY, promotion }, WHY))).toMatchObject({ version: 2 });
    const [line] = await auditOf(worker, `route staging/${name}@2`);
    expect(line).toMatchObject({ reason: "spring cleaning" });
    await put("staging", { ...POLICY, promotion: GUARD });
    expect((await put("staging", { ...POLICY, promotion }, "?force=hurry")).status).toBe(200);
  });

  test.each([
    { name: "stays as it is", promotion: GUARD },
    { name: "is stricter in all", promotion: { ...GUARD, min_requests: 60, max_p95_latency_ms: 100, window_hours: 1 } },
    { name: "has one gate more", promotion: { ...GUARD, max_cost_usd_per_request: 1 } },
  ])("that $name needs none", async ({ promotion }) => {
    await put("staging", { ...POLICY, promotion: GUARD });
    expect((await put("staging", { ...POLICY, promotion })).status).toBe(200);
  });

  test("may name the environments that it guards: its own stays open, the named one is closed at once", async () => {
    const promotion = { required: ["production"], min_requests: 1 };
    await put("staging", { ...POLICY, promotion });
    expect((await put("staging", { ...POLICY, description: "next", promotion })).status).toBe(200);
    await expectRefusal(await put("production"), { status: 409, code: "promotion_required" });
    await tried(1, { route_version: 2 });
    expect(await okBody(await promote())).toMatchObject({ version: 1 });
    const weaker = { ...POLICY, promotion: { ...promotion, required: false } };
    await expectRefusal(await put("production", weaker), { status: 409, code: "promotion_required" });
    await expectRefusal(await put("staging", weaker), { status: 400, code: "invalid_request", param: "reason" });
    // Open in staging, closed in production, wherever a policy with the list is active.
    expect((await put("staging", { ...POLICY, promotion })).status).toBe(200);
  });

  test("a list of environments names environments", async () => {
    for (const required of [[], ["Production"], "production", [1]]) {
      const refused = await put("staging", { ...POLICY, promotion: { required } });
      await expectRefusal(refused, { status: 400, code: "invalid_request" });
    }
  });
});

describe("an environment that nobody has used", () => {
  test("takes a route, and a promotion, only if it is meant", async () => {
    const query = "?new_env=true";
    const [first, second] = [`typo-${name}`, `typo-two-${name}`];
    await expectRefusal(await put(first), { status: 400, code: "unknown_environment", param: "env" });
    expect(await okBody(await put(first, POLICY, query))).toMatchObject({ env: first, version: 1 });
    expect((await put(first)).status).toBe(200);
    const body = { from: first, to: second };
    await expectRefusal(await promote(body), { status: 400, code: "unknown_environment", param: "to" });
    const meant = await worker.admin(`/admin/routes/${name}/promote${query}`, { body });
    expect(await okBody(meant)).toMatchObject({ env: second });
  });
});

describe("warnings", () => {
  test("a policy that is as it should be has none, and they are no part of the route", async () => {
    expect((await okBody(await put("staging")))["warnings"]).toEqual([]);
    expect(await okBody(await worker.admin(path("staging")))).not.toHaveProperty("warnings");
  });

  test("a price that is unknown, a provider without its secret and a target that is never asked", async () => {
    const targets = [
      { provider: "sandbox", model: "deep-1" },
      { provider: "openai", model: "gpt-4.1-minni" },
      { provider: "sandbox", model: "deep-1" },
    ];
    const route = await okBody(await put("staging", { targets, fallback: { enabled: false } }));
    const warnings = route["warnings"] as Json[];
    expect(warnings.map(({ code, param, nearest }) => [code, param, nearest])).toEqual([
      ["unpriced_model", "targets[1].model", "gpt-4.1-mini"],
      ["provider_not_configured", "targets[1].provider", undefined],
      ["unreachable_target", "targets[1]", undefined],
      ["unreachable_target", "targets[2]", undefined],
    ]);
    expect(warnings[1]?.["message"]).toContain("OPENAI_API_KEY");
  });
});

/** Traces of the route's version in `staging`, as its ledgers would send them. */
async function tried(requests: number, spec: TraceSpec & { readonly failed?: number } = {}): Promise<void> {
  const { failed = 0, ...rest } = spec;
  const at = Date.now();
  const { TRAIL_INDEX } = worker.bindings();
  const members = { env: "staging", route: `flow/${name}`, at, ...rest };
  const rows = Array.from({ length: requests }, (_, index) =>
    toRow(
      makeTrace(
        index < failed ? { ...members, status: "error", http_status: 502, error_code: "upstream_failed" } : members,
      ),
    ),
  );
  const day = at - (at % 86_400_000);
  // Plain data all the way: the stub's own type cannot follow it.
  const trail = TRAIL_INDEX.getByName(trailName("staging", day)) as unknown as {
    ingest(batch: unknown): Promise<unknown>;
  };
  await trail.ingest({ keyId: "trailtest001", rows });
}

const gatesOf = (error: Json): Json[] => error["gates"] as Json[];

describe("POST /admin/routes/{name}/promote", () => {
  const GATES = { min_requests: 10, min_success_rate: 0.9, min_success_lower_bound: 0.6 };

  test("where nobody asks for evidence the version goes over as it is, its promotion block included", async () => {
    const policy = { ...POLICY, description: "candidate", promotion: { window_hours: 12 } };
    const candidate = await okBody(await put("staging", policy));
    const answer = await okBody(await promote());
    const from = { env: "staging", version: 1 };
    expect(answer).toEqual({ env: "production", name, version: 1, from, gates: [], forced: false });
    const route = await okBody(await worker.admin(path()));
    expect(route["policy"]).toEqual(candidate["policy"]);
    expect(route["origin"]).toEqual({
      kind: "promotion",
      from,
      gates: [],
      evidence: null,
      forced: false,
      reason: null,
    });
    expect(RouteRecord.parse(await inKv(routeKey("production", name)))).toMatchObject({
      env: "production",
      version: 1,
    });
  });

  test("a version whose evidence passes every gate is promoted, and what it was decided on is kept", async () => {
    await put("production", { ...POLICY, promotion: { required: true, ...GATES } });
    await put("staging", { ...POLICY, description: "tried" });
    await tried(30);
    const answer = await okBody(await promote({ reason: "release 12" }));
    expect(answer).toMatchObject({ version: 2, forced: false, from: { env: "staging", version: 1 } });
    expect(answer["gates"]).toEqual([
      { name: "min_requests", wanted: 10, measured: 30, passed: true },
      { name: "min_success_rate", wanted: 0.9, measured: 1, passed: true },
      { name: "min_success_lower_bound", wanted: 0.6, measured: expect.closeTo(0.886, 3), passed: true },
    ]);
    const [line] = await auditOf(worker, `route production/${name}@2`);
    expect(line).toMatchObject({ action: "route.promote", actor: "admin", reason: "release 12" });
    const kept = { kind: "promotion", gates: answer["gates"], forced: false };
    expect(line?.["detail"]).toMatchObject({ ...kept, evidence: { version: 1, requests: 30, success_rate: 1 } });
    const version = await okBody(await worker.admin(`${path()}/versions/2`));
    expect(version["origin"]).toEqual({ ...(line?.["detail"] as Json), reason: "release 12" });
    expect(version).toMatchObject({ policy: { description: "tried", promotion: { required: true, ...GATES } } });
  });

  test("a gate that does not pass blocks it, and the answer shows every gate", async () => {
    await put("production", { ...POLICY, promotion: { required: true, ...GATES } });
    await put("staging");
    await tried(12, { failed: 3 });
    await withoutAudit(worker, async () => {
      const error = await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
      expect(gatesOf(error)).toEqual([
        { name: "min_requests", wanted: 10, measured: 12, passed: true },
        { name: "min_success_rate", wanted: 0.9, measured: 0.75, passed: false },
        { name: "min_success_lower_bound", wanted: 0.6, measured: expect.closeTo(0.468, 3), passed: false },
      ]);
      expect(error["message"]).toContain("min_success_rate requires 0.9, measured 0.75");
    });
    expect(await okBody(await worker.admin(path()))).toMatchObject({ version: 1 });
  });

  test("rate and lower bound are gates apart: few good requests reach the one and not the other", async () => {
    await put("staging", {
      ...POLICY,
      promotion: { min_requests: 1, min_success_rate: 0.99, min_success_lower_bound: 0.8 },
    });
    await tried(5);
    const error = await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
    expect(gatesOf(error).map(({ name: gate, passed }) => [gate, passed])).toEqual([
      ["min_requests", true],
      ["min_success_rate", true],
      ["min_success_lower_bound", false],
    ]);
  });

  test("per field the stricter of both policies counts", async () => {
    await put("production", {
      ...POLICY,
      promotion: { min_requests: 3, max_p95_latency_ms: 2_000, max_cost_usd_per_request: 0.01 },
    });
    await put("staging", { ...POLICY, promotion: { min_requests: 7, max_p95_latency_ms: 4_000 } });
    await tried(10, { totalMs: 3_000 });
    const error = await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
    expect(gatesOf(error)).toMatchObject([
      { name: "min_requests", wanted: 7, measured: 10, passed: true },
      { name: "max_p95_latency_ms", wanted: 2_000, passed: false },
      { name: "max_cost_usd_per_request", wanted: 0.01, measured: 0.000_001, passed: true },
    ]);
  });

  test("only requests of exactly this version within the window are evidence", async () => {
    await put("production", { ...POLICY, promotion: { min_requests: 3, window_hours: 1 } });
    await put("staging");
    await put("staging");
    await tried(5, { route_version: 1 });
    await tried(2, { route_version: 2 });
    const error = await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
    expect(gatesOf(error)).toEqual([{ name: "min_requests", wanted: 3, measured: 2, passed: false }]);
    await tried(1, { route_version: 2 });
    expect(await okBody(await promote())).toMatchObject({ from: { env: "staging", version: 2 } });
  });

  test("force goes past the gates with a reason, which the audit log keeps beside them", async () => {
    await put("production", { ...POLICY, promotion: GATES });
    await put("staging");
    for (const body of [{ force: true }, { force: true, reason: "" }, { force: true, reason: "  " }]) {
      await expectRefusal(await promote(body), { status: 400, code: "invalid_request", param: "reason" });
    }
    const answer = await okBody(await promote({ force: true, reason: "vendor outage" }));
    expect(answer).toMatchObject({ version: 2, forced: true });
    expect(answer["gates"]).toMatchObject([
      { name: "min_requests", measured: 0, passed: false },
      { name: "min_success_rate", measured: null, passed: false },
      { name: "min_success_lower_bound", measured: null, passed: false },
    ]);
    const [line] = await auditOf(worker, `route production/${name}@2`);
    expect(line).toMatchObject({ reason: "vendor outage", detail: { forced: true, gates: answer["gates"] } });
  });

  test("evidence that cannot be read passes nothing: 503, unless it is forced", async () => {
    await put("production", { ...POLICY, promotion: GATES });
    await put("staging");
    await tried(30);
    await worker.fetch("/trail", { method: "DELETE" });
    await withoutAudit(worker, async () => {
      await expectRefusal(await promote(), { status: 503, code: "ledger_unavailable" });
    });
    const forced = await okBody(await promote({ force: true, reason: "trail is down" }));
    expect(forced).toMatchObject({
      forced: true,
      gates: [{ name: "min_requests", measured: null, passed: false }, {}, {}],
    });
  });

  test("force where every gate passes is no force", async () => {
    await put("staging", { ...POLICY, promotion: GATES });
    await tried(30);
    expect(await okBody(await promote({ force: true, reason: "to be sure" }))).toMatchObject({ forced: false });
  });

  test("the promoted policy guards the next one: a direct change is refused, another promotion is not", async () => {
    await put("staging", { ...POLICY, promotion: { required: true, min_requests: 1 } });
    await tried(1);
    await okBody(await promote());
    await expectRefusal(await put("production"), { status: 409, code: "promotion_required" });
    expect(await okBody(await promote())).toMatchObject({ version: 2 });
  });

  test("what was deleted in production keeps its gates", async () => {
    await put("production", { ...POLICY, promotion: GATES });
    await remove("production", {}, WHY);
    await put("staging");
    await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
  });

  test("of promotions at the same time one at most publishes on the same grounds", async () => {
    await put("production");
    await put("staging");
    const statuses = await Promise.all([1, 2, 3, 4].map(async () => (await promote()).status));
    expect(new Set(statuses)).toEqual(new Set(statuses.includes(412) ? [200, 412] : [200]));
    const versions = (await okBody(await worker.admin(`${path()}/versions`)))["data"] as Json[];
    expect(versions).toHaveLength(1 + statuses.filter((status) => status === 200).length);
  });

  test.each([
    { name: "to itself", body: { to: "staging" }, status: 400, code: "invalid_request", param: "to" },
    {
      name: "to an environment nobody uses",
      body: { to: "prodction" },
      status: 400,
      code: "unknown_environment",
      param: "to",
    },
    { name: "to no environment", body: { to: "Pro" }, status: 400, code: "invalid_request", param: "to" },
    { name: "from no environment", body: { from: "a_b" }, status: 400, code: "invalid_request", param: "from" },
    { name: "from where it is not", body: { from: "development" }, status: 404, code: "not_found" },
    {
      name: "with a force that is no boolean",
      body: { force: "yes" },
      status: 400,
      code: "invalid_request",
      param: "force",
    },
    {
      name: "with a long reason",
      body: { reason: "x".repeat(501) },
      status: 400,
      code: "invalid_request",
      param: "reason",
    },
    { name: "with an unknown field", body: { version: 1 }, status: 400, code: "invalid_request", param: "version" },
  ])("$name is $status $code", async ({ name: _, body, ...refusal }) => {
    await put("staging");
    await withoutAudit(worker, async () => expectRefusal(await promote(body), refusal));
  });

  test("an unknown or deleted route and a name that is none are refused", async () => {
    await expectRefusal(await promote(), { status: 404, code: "not_found" });
    await put("staging");
    await remove("staging");
    await expectRefusal(await promote(), { status: 404, code: "not_found" });
    const response = await worker.admin("/admin/routes/Up/promote", { body: { from: "staging", to: "production" } });
    await expectRefusal(response, { status: 400, code: "invalid_request", param: "name" });
    expect((await read(await worker.admin("/admin/routes/x/promote", { body: {} })))["error"]).toMatchObject({
      param: "from",
    });
  });
});
