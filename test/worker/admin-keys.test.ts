/** What becomes of a key that was issued: changed, rotated, and what its ledger, KV and the audit log know of it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { KeyRecord, keyRecordKey } from "../../src/keys/record.ts";
import { auditOf, expectRefusal, type Json, okBody, withoutAudit } from "../support/admin.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const ROUTE = "flow/keys";

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker({ front: FAULTS_FRONT });
  await worker.putRoute("production", "keys", { targets: [{ provider: "sandbox", model: "deep-1" }] });
});
afterEach(() => setFaults(worker));
afterAll(() => worker.stop());

const patch = (id: string, body: unknown) => worker.admin(`/admin/keys/${id}`, { method: "PATCH", body });
const rotate = (id: string, body?: unknown) =>
  worker.admin(`/admin/keys/${id}/rotate`, { method: "POST", ...(body === undefined ? {} : { body }) });
const show = async (id: string) => okBody(await worker.admin(`/admin/keys/${id}`));
const keyVersion = async (id: string) => (await okBody(await worker.admin(`/admin/keys/${id}/ledger`)))["key_version"];

function ask(key: string): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: ROUTE, messages: [{ role: "user", content: "hi" }] });
  return worker.fetch("/v1/chat/completions", { method: "POST", headers, body });
}

/** What a caller with `key` gets. Settles the body, so that no answer stays open. */
async function statusOf(key: string): Promise<number> {
  const response = await ask(key);
  await response.text();
  return response.status;
}

async function stored(id: string): Promise<KeyRecord> {
  const { CONFIG } = worker.bindings();
  return KeyRecord.parse(await CONFIG.get(keyRecordKey(id), "json"));
}

const EVERYTHING = {
  name: "renamed",
  apps: ["studio"],
  routes: ["keys"],
  scopes: ["chat", "traces:read"],
  budget: { limit_usd: 3, period: "month" },
  limits: { requests_per_minute: 100, concurrency: 5 },
  expires_at: "2035-01-01T00:00:00.000Z",
};

/** A moment that is over in a moment. */
const soon = (): string => new Date(Date.now() + 150).toISOString();

describe("a key that waits", () => {
  test.each([
    { name: "without a budget", members: {} },
    { name: "with limits, whose ledger refuses it at once", members: { limits: { requests_per_minute: 100 } } },
  ])("$name: paused it answers like a revoked one, and works again when it is active", async ({ members }) => {
    const { id, key } = await worker.createKey(members);
    expect(await statusOf(key)).toBe(200);
    expect(await okBody(await patch(id, { status: "paused" }))).toMatchObject({ status: "paused" });
    const refused = await ask(key);
    const unknown = await ask(`${key.slice(0, -8)}${"x".repeat(8)}`);
    const [one, other] = [await refused.json(), await unknown.json()] as { error: Json }[];
    expect([refused.status, one?.error]).toEqual([401, other?.error]);
    const listed = (await okBody(await worker.admin("/admin/keys?limit=1000")))["data"] as Json[];
    expect(listed.find((each) => each["id"] === id)).toMatchObject({ status: "paused" });
    await okBody(await patch(id, { status: "active" }));
    expect(await statusOf(key)).toBe(200);
    const [resumed, paused] = await auditOf(worker, `key ${id}`);
    expect([resumed?.["action"], paused?.["action"]]).toEqual(["key.update", "key.update"]);
  });

  test("a revoked key is never paused", async () => {
    const { id } = await worker.createKey();
    await worker.admin(`/admin/keys/${id}`, { method: "DELETE" });
    await expectRefusal(await patch(id, { status: "paused" }), { status: 400, code: "invalid_request" });
    expect(await okBody(await worker.admin(`/admin/keys/${id}`))).toMatchObject({ status: "revoked" });
  });
});

describe("POST /admin/keys", () => {
  test("an environment that nobody has used is refused, unless it is meant", async () => {
    const body = { name: "typo", env: "prodution" };
    await withoutAudit(worker, async () => {
      const response = await worker.admin("/admin/keys", { body });
      await expectRefusal(response, { status: 400, code: "unknown_environment", param: "env" });
      const unclear = await worker.admin("/admin/keys?new_env=maybe", { body });
      await expectRefusal(unclear, { status: 400, code: "invalid_request", param: "new_env" });
    });
    expect((await worker.admin("/admin/keys?new_env=true", { body })).status).toBe(201);
    expect((await worker.admin("/admin/keys", { body })).status).toBe(201);
  });

  test("a key that would have expired already is refused", async () => {
    const body = { name: "late", env: "production", expires_at: "2020-01-01T00:00:00Z" };
    const response = await worker.admin("/admin/keys", { body });
    await expectRefusal(response, { status: 400, code: "invalid_request", param: "expires_at" });
  });
});

describe("PATCH /admin/keys/{id}", () => {
  test("everything but id and environment can be changed, and what is left out stays", async () => {
    const created = await worker.createKey({ apps: ["web"], budget: { limit_usd: 1, period: "day" } });
    const { id, env } = created;
    const changed = await okBody(await patch(id, { ...EVERYTHING, expires_at: "2035-01-01T01:00:00+01:00" }));
    expect(changed).toMatchObject({ id, env, ...EVERYTHING, status: "active", created_at: created["created_at"] });
    expect(changed["spend"]).toMatchObject({ period: "month", limit_usd: 3, spent_usd: 0, remaining_usd: 3 });
    expect(await show(id)).toEqual(changed);
    expect(await okBody(await patch(id, { name: "again" }))).toEqual({ ...changed, name: "again" });
    expect(await stored(id)).toMatchObject({ ...EVERYTHING, name: "again", version: 3 });
    expect(JSON.stringify(changed)).not.toContain("secrets");
  });

  test("a budget may be of a week, and of another zone's days", async () => {
    const budget = { limit_usd: 2, period: "week", time_zone: "Europe/Berlin" };
    const { id, key } = await worker.createKey({ budget });
    expect(await statusOf(key)).toBe(200);
    expect(await show(id)).toMatchObject({ budget, spend: { period: "week", limit_usd: 2, spent_usd: 0 } });
    const changed = await okBody(await patch(id, { budget: { limit_usd: 2, period: "week" } }));
    expect(changed["budget"]).toEqual({ limit_usd: 2, period: "week" });
  });

  test("null takes a restriction away", async () => {
    const { id } = await worker.createKey(EVERYTHING);
    const none = { apps: null, routes: null, budget: null, limits: null, expires_at: null };
    const changed = await okBody(await patch(id, none));
    expect(changed).toMatchObject({ ...none, name: "renamed", scopes: EVERYTHING.scopes });
    expect(changed["spend"]).toMatchObject({ period: "total", limit_usd: null, remaining_usd: null });
  });

  test("a change works from the next request on, and the ledger knows it at once", async () => {
    const { id, key } = await worker.createKey({ limits: { requests_per_minute: 1 } });
    expect([await statusOf(key), await statusOf(key)]).toEqual([200, 429]);
    await okBody(await patch(id, { limits: { requests_per_minute: 50 } }));
    expect(await keyVersion(id)).toBe(2);
    expect(await statusOf(key)).toBe(200);
    await okBody(await patch(id, { routes: ["other"] }));
    expect(await statusOf(key)).toBe(403);
    await okBody(await patch(id, { routes: null, expires_at: soon() }));
    await expect.poll(() => statusOf(key)).toBe(401);
    expect(await okBody(await worker.admin(`/admin/keys/${id}`))).toMatchObject({ status: "expired" });
    await okBody(await patch(id, { expires_at: null }));
    expect(await statusOf(key)).toBe(200);
  });

  test("a ledger that does not answer loses no change: the next reservation shows it", async () => {
    const { id, key } = await worker.createKey({ limits: { requests_per_minute: 1 } });
    await setFaults(worker, { ledger: "reset" });
    const changed = await okBody(await patch(id, { limits: { requests_per_minute: 7 } }));
    expect(changed).toMatchObject({ limits: { requests_per_minute: 7 }, spend: null });
    await setFaults(worker);
    expect(await keyVersion(id)).toBe(0);
    const response = await ask(key);
    expect([response.status, response.headers.get("x-ratelimit-limit-requests")]).toEqual([200, "7"]);
    await response.text();
    expect(await keyVersion(id)).toBe(2);
  });

  test("each change is one line of the audit log with digests that chain; one that changes nothing is none", async () => {
    const { id } = await worker.createKey();
    await okBody(await patch(id, { name: "one" }));
    await withoutAudit(worker, async () => {
      await okBody(await patch(id, { name: "one" }));
      await okBody(await patch(id, {}));
    });
    await okBody(await patch(id, { name: "two" }));
    const [two, one, created] = await auditOf(worker, `key ${id}`);
    expect([two, one].map((line) => line?.["action"])).toEqual(["key.update", "key.update"]);
    expect([two?.["before_digest"], one?.["before_digest"]]).toEqual([
      one?.["after_digest"],
      created?.["after_digest"],
    ]);
    expect(await stored(id)).toMatchObject({ version: 3 });
  });

  test("of changes at the same time none is lost", async () => {
    const { id } = await worker.createKey();
    const changes = [{ name: "n" }, { apps: ["a"] }, { routes: ["r"] }, { limits: { concurrency: 3 } }];
    for (const response of await Promise.all(changes.map((change) => patch(id, change)))) await okBody(response);
    expect(await show(id)).toMatchObject({ name: "n", apps: ["a"], routes: ["r"], limits: { concurrency: 3 } });
    expect((await stored(id)).version).toBe(5);
  });

  test.each([
    { name: "another environment", body: { env: "staging" }, param: "env" },
    { name: "another id", body: { id: "0123456789AB" }, param: "id" },
    { name: "a status that is no operator's to give", body: { status: "revoked" }, param: "status" },
    { name: "a day that is over", body: { expires_at: "2020-01-01T00:00:00Z" }, param: "expires_at" },
    { name: "an unknown field", body: { secrets: [] }, param: "secrets" },
    { name: "no name", body: { name: null }, param: "name" },
    { name: "no scopes", body: { scopes: null }, param: "scopes" },
    { name: "an empty list of scopes", body: { scopes: [] }, param: "scopes" },
    { name: "an empty list of apps", body: { apps: [] }, param: "apps" },
    { name: "a budget below zero", body: { budget: { limit_usd: -1, period: "day" } }, param: "budget.limit_usd" },
    { name: "a budget without a period", body: { budget: { limit_usd: 1 } }, param: "budget.period" },
    {
      name: "a budget in a zone that does not exist",
      body: { budget: { limit_usd: 1, period: "week", time_zone: "Mars/Olympus" } },
      param: "budget.time_zone",
    },
    {
      name: "a budget at an offset",
      body: { budget: { limit_usd: 1, period: "day", time_zone: "+02:00" } },
      param: "budget.time_zone",
    },
    { name: "a limit of nothing", body: { limits: { concurrency: 0 } }, param: "limits.concurrency" },
    { name: "a day that does not exist", body: { expires_at: "2030-02-31T00:00:00Z" }, param: "expires_at" },
  ])("$name is refused with its path, and nothing changes", async ({ body, param }) => {
    const { id } = await worker.createKey();
    await withoutAudit(worker, async () => {
      await expectRefusal(await patch(id, body), { status: 400, code: "invalid_request", param });
    });
  });

  test("a revoked key stays as it is, and an unknown one is 404", async () => {
    const { id } = await worker.createKey();
    await worker.admin(`/admin/keys/${id}`, { method: "DELETE" });
    await withoutAudit(worker, async () => {
      await expectRefusal(await patch(id, { name: "x" }), { status: 400, code: "invalid_request" });
      for (const unknown of ["000000000000", "x", "%00"]) {
        await expectRefusal(await patch(unknown, { name: "x" }), { status: 404, code: "not_found" });
      }
    });
    expect(await show(id)).toMatchObject({ status: "revoked" });
  });
});

describe("POST /admin/keys/{id}/rotate", () => {
  test("both secrets work during the overlap, an hour unless it is said", async () => {
    const { id, key } = await worker.createKey();
    const before = Date.now();
    const rotated = await okBody(await rotate(id));
    expect(Object.keys(rotated)).toEqual(["id", "key", "previous_expires_at"]);
    expect(rotated["key"]).toMatch(new RegExp(`^fl_production_${id}_[0-9A-Za-z]{40}$`));
    const endsAt = Date.parse(String(rotated["previous_expires_at"]));
    expect(endsAt).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(endsAt).toBeLessThan(Date.now() + 3_601_000);
    expect([await statusOf(key), await statusOf(String(rotated["key"]))]).toEqual([200, 200]);
  });

  test("when the overlap is over the old secret is refused and the new one works", async () => {
    const { id, key } = await worker.createKey();
    const rotated = String((await okBody(await rotate(id, { overlap_seconds: 600 })))["key"]);
    expect(await statusOf(key)).toBe(200);
    await setFaults(worker, { clockMs: 601_000 });
    expect([await statusOf(key), await statusOf(rotated)]).toEqual([401, 200]);
  });

  test("without an overlap the old secret ends at once", async () => {
    const { id, key } = await worker.createKey();
    const rotated = String((await okBody(await rotate(id, { overlap_seconds: 0 })))["key"]);
    expect([await statusOf(key), await statusOf(rotated)]).toEqual([401, 200]);
    expect((await stored(id)).secrets).toHaveLength(1);
  });

  test("rotating again during an overlap ends the oldest secret: never more than two live", async () => {
    const { id, key } = await worker.createKey();
    const second = String((await okBody(await rotate(id)))["key"]);
    const third = String((await okBody(await rotate(id)))["key"]);
    expect([await statusOf(key), await statusOf(second), await statusOf(third)]).toEqual([401, 200, 200]);
    const { secrets, version } = await stored(id);
    expect(secrets.map(({ expires_at }) => expires_at === null)).toEqual([true, false]);
    expect(version).toBe(3);
  });

  test("of rotations at the same time the keys of the last two work", async () => {
    const { id } = await worker.createKey();
    const answers = await Promise.all([1, 2, 3, 4].map(() => rotate(id)));
    const keys = await Promise.all(answers.map(async (answer) => String((await okBody(answer))["key"])));
    expect(new Set(keys).size).toBe(4);
    const statuses: number[] = [];
    for (const key of keys) statuses.push(await statusOf(key));
    expect(statuses.sort()).toEqual([200, 200, 401, 401]);
  });

  test("the audit log has a line with digests, and no answer but this one holds the secret", async () => {
    const { id } = await worker.createKey();
    const key = String((await okBody(await rotate(id)))["key"]);
    const [line, created] = await auditOf(worker, `key ${id}`);
    expect(line).toMatchObject({ action: "key.rotate", actor: "admin", before_digest: created?.["after_digest"] });
    const hash = (await stored(id)).secrets[0]?.hash ?? key;
    for (const path of [`keys/${id}`, "keys?limit=1000", "audit?limit=1000"]) {
      const text = await (await worker.admin(`/admin/${path}`)).text();
      for (const each of [key, key.slice(-40, -8), hash]) expect(text).not.toContain(each);
    }
    expect(worker.logs()).not.toContain(key);
  });

  test.each([-1, 0.5, 30 * 86_400 + 1, "60", null])("an overlap of %j is refused", async (overlap) => {
    const { id } = await worker.createKey();
    const param = "overlap_seconds";
    await expectRefusal(await rotate(id, { overlap_seconds: overlap }), {
      status: 400,
      code: "invalid_request",
      param,
    });
  });

  test("revoked, expired and unknown keys are refused, and so is an unknown field", async () => {
    const revoked = await worker.createKey();
    await worker.admin(`/admin/keys/${revoked.id}`, { method: "DELETE" });
    const expired = await worker.createKey({ expires_at: soon() });
    const status = async () => (await okBody(await worker.admin(`/admin/keys/${expired.id}`)))["status"];
    await expect.poll(status).toBe("expired");
    await withoutAudit(worker, async () => {
      for (const { id } of [revoked, expired]) {
        await expectRefusal(await rotate(id), { status: 400, code: "invalid_request" });
      }
      await expectRefusal(await rotate("000000000000"), { status: 404, code: "not_found" });
      const param = "overlap";
      const body = { overlap: 5 };
      await expectRefusal(await rotate(revoked.id, body), { status: 400, code: "invalid_request", param });
    });
  });

  test("without a pepper nothing is rotated", async () => {
    const bare = await startWorker({ vars: { FLOW_KEY_PEPPER: undefined } });
    try {
      const response = await bare.admin("/admin/keys/000000000000/rotate", { method: "POST" });
      await expectRefusal(response, { status: 503, code: "admin_disabled" });
    } finally {
      await bare.stop();
    }
  });
});
