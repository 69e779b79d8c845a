/** Changes on a real database and a KV whose answers the test decides: what is written, published and audited. */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { toKeyRecord } from "../../../src/control/rows.ts";
import { RoutePolicy, routeIndexKey, routeKey } from "../../../src/policy/schema.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";
import { startTables } from "./fakes.ts";

const PEPPER = "pepper-pepper-pepper";
const REQUEST = { name: "web", env: "production" };
const policy = (members: object = {}): RoutePolicy =>
  RoutePolicy.parse({ targets: [{ provider: "openai", model: "a" }], ...members });
const change = (members: object = {}) => ({ env: "production", name: "fast", policy: policy(members), facts: [{}] });

provideWorkerdCrypto();
beforeEach(() => {
  stubScheduler();
  vi.spyOn(console, "log").mockImplementation(() => {});
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

type Tables = ReturnType<typeof startTables>;

async function newKey(tables: Tables): Promise<string> {
  const created = await tables.keys.create(REQUEST, "ann", PEPPER);
  if (!created.ok) throw new Error(created.reason);
  return created.key.id;
}

describe("keys", () => {
  test("a revocation during a change stands: the change is refused, not written over it", async () => {
    const tables = startTables();
    const id = await newKey(tables);
    const updating = tables.keys.update(id, { name: "late" }, "ann");
    const revoking = tables.keys.revoke(id, "ben");
    const [updated, revoked] = await Promise.all([updating, revoking]);
    expect(revoked.ok).toBe(true);
    expect(tables.keys.get(id)?.status).toBe("revoked");
    expect(tables.actions()).toEqual(
      updated.ok ? ["key.create", "key.update", "key.revoke"] : ["key.create", "key.revoke"],
    );
  });

  const step = fc.constantFrom("update", "rotate", "rotate 0", "revoke");
  test("however changes meet: one line and one version each, two live secrets at most, a revoked key stays so", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 4 }), async (rounds) => {
        const tables = startTables();
        const id = await newKey(tables);
        let names = 0;
        const run = (each: string): Promise<unknown> => {
          if (each === "revoke") return tables.keys.revoke(id, "ann");
          if (each === "update") return tables.keys.update(id, { name: `name ${++names}` }, "ann");
          return tables.keys.rotate(id, each === "rotate" ? 60 : 0, "ann", PEPPER);
        };
        for (const round of rounds) await Promise.all(round.map(run));
        const record = toKeyRecord(tables.kv.values.get(`key:${id}`) ?? "");
        expect(record.version).toBe(tables.actions().length);
        expect(record.secrets.map(({ expires_at }) => expires_at === null)).toEqual(
          [true, false].slice(0, record.secrets.length),
        );
        const revokedAt = tables.actions().indexOf("key.revoke");
        expect(revokedAt).toBe(record.status === "revoked" ? tables.actions().length - 1 : -1);
        const { data } = tables.journal.list({ limit: 100, before: null });
        const before = data.slice(0, -1).map((line) => line.before_digest);
        expect(before).toEqual(data.slice(1).map((line) => line.after_digest));
      }),
      { numRuns: 40 },
    );
  });

  test("a change that KV refused is sent again when it is repeated, without another line", async () => {
    const tables = startTables();
    const id = await newKey(tables);
    tables.kv.failing = 1;
    await tables.keys.update(id, { apps: ["web"] }, "ann");
    expect(tables.kv.values.get(`key:${id}`)).not.toContain('"apps":["web"]');
    await tables.keys.update(id, { apps: ["web"] }, "ann");
    expect(tables.kv.values.get(`key:${id}`)).toContain('"apps":["web"]');
    expect(tables.actions()).toEqual(["key.create", "key.update"]);
  });
});

describe("routes", () => {
  test("deleting leaves nothing of the route in KV, whatever KV refused before, and the others alone", async () => {
    const tables = startTables();
    await tables.routes.put({ ...change(), name: "other" }, "ann");
    tables.kv.failing = 3;
    for (let version = 1; version <= 3; version++)
      await tables.routes.put(change({ description: `${version}` }), "ann");
    await tables.routes.delete({ env: "production", name: "fast" }, "ann");
    await tables.publisher.publish();
    expect([...tables.kv.values.keys()].sort()).toEqual(
      [routeKey("production", "other"), routeKey("production", "other", 1), routeIndexKey("production")].sort(),
    );
    expect(tables.kv.values.get(routeIndexKey("production"))).toContain('"other"');
    expect(tables.kv.values.get(routeIndexKey("production"))).not.toContain('"fast"');
  });

  test("a promotion is not made when either route changed after it was decided", async () => {
    const tables = startTables();
    const staging = { ...change(), env: "staging" };
    await tables.routes.put(staging, "ann");
    await tables.routes.put(change(), "ann");
    const promotion = {
      name: "fast",
      from: { env: "staging", version: 1 },
      to: { env: "production", version: 1, active: true },
      facts: [{}],
      record: { gates: [], evidence: null, forced: false },
    };
    const changes: readonly (() => Promise<unknown>)[] = [
      () => tables.routes.put(staging, "ben"),
      () => tables.routes.put(change(), "ben"),
      () => tables.routes.delete({ env: "staging", name: "fast" }, "ben"),
      () => tables.routes.delete({ env: "production", name: "fast" }, "ben"),
    ];
    for (const meanwhile of changes) {
      const { candidate, target } = tables.routes.promotionView("fast", "staging", "production");
      if (candidate === null || target === null) throw new Error("Both are there.");
      const from = { env: "staging", version: candidate.record.version };
      const to = { env: "production", version: target.record.version, active: target.active };
      const promoting = tables.routes.promote({ ...promotion, from, to }, "ann");
      await meanwhile();
      const raced = await promoting;
      const versionsBefore = tables.routes.versions("production", "fast", 100, null)?.data.length;
      expect(await tables.routes.promote({ ...promotion, from, to }, "ann")).toEqual({ ok: false, reason: "changed" });
      expect(tables.routes.versions("production", "fast", 100, null)?.data.length).toBe(versionsBefore);
      if (raced.ok) expect(raced.route.record.policy).toEqual(candidate.record.policy);
      // Both are active again for the next round.
      await tables.routes.put(staging, "ann");
      await tables.routes.put(change(), "ann");
    }
  });

  test("a rollback and a promotion take the facts of today, and the policy as it was", async () => {
    const tables = startTables();
    const old = { ...change({ description: "old" }), env: "staging", facts: [{ context_window: 1_000 }] };
    await tables.routes.put(old, "ann");
    await tables.routes.put({ ...change(), env: "staging" }, "ann");
    const facts = [{ context_window: 2_000 }];
    const rollback = { env: "staging", name: "fast", version: 1, activeVersion: 2, facts };
    const rolledBack = await tables.routes.rollBack(rollback, "ben");
    expect(rolledBack).toMatchObject({
      ok: true,
      route: { record: { version: 3, policy: old.policy, facts, actor: "ben" } },
    });
    expect(tables.routes.version("staging", "fast", 1)?.record.facts).toEqual(old.facts);
    const promotion = {
      ...{ name: "fast", from: { env: "staging", version: 3 }, to: { env: "production", version: 0, active: false } },
      ...{ facts: [{ context_window: 3_000 }], record: { gates: [], evidence: null, forced: false } },
    };
    const promoted = await tables.routes.promote(promotion, "ben");
    expect(promoted).toMatchObject({
      ok: true,
      route: { record: { version: 1, policy: old.policy, facts: promotion.facts } },
    });
    expect(tables.kv.values.get(routeKey("production", "fast"))).toContain('"context_window":3000');
    expect(tables.actions().slice(2)).toEqual(["route.rollback", "route.promote"]);
  });

  test("a version whose audit line has no detail, as older ones have none, has no origin", () => {
    const tables = startTables();
    // As a release without details wrote them.
    tables.sql.exec(
      "INSERT INTO audit (at_ms, actor, action, object) VALUES (1, 'ann', 'route.publish', 'route eu/old@1')",
    );
    const record = { env: "eu", name: "old", version: 1, created_at: "t", actor: "ann", policy: policy(), facts: [{}] };
    const insert =
      "INSERT INTO route_version (seq, env, name, version, record, digest) VALUES (1, 'eu', 'old', 1, ?, 'd')";
    tables.sql.exec(insert, JSON.stringify(record));
    tables.sql.exec("INSERT INTO route_active (env, name, seq, index_entry) VALUES ('eu', 'old', 1, '{}')");
    expect(tables.routes.active("eu", "old")).toEqual({ record, active: true, origin: null });
    expect(tables.journal.list({ limit: 1, before: null }).data[0]).toMatchObject({
      action: "route.publish",
      detail: null,
    });
  });

  test("an environment is known by its first key or route, deleted or not", async () => {
    const tables = startTables();
    const isKnown = (env: string) => tables.routes.promotionView("fast", "staging", env).isKnownEnvironment;
    expect(["production", "staging", "development", "qa", "eu"].map(isKnown)).toEqual([true, true, true, false, false]);
    expect(await tables.keys.create({ ...REQUEST, env: "qa" }, "ann", PEPPER)).toMatchObject({ ok: false });
    expect(await tables.routes.put({ ...change(), env: "eu" }, "ann")).toEqual({
      ...{ ok: false, reason: "unknown_environment" },
    });
    expect(["qa", "eu"].map(isKnown)).toEqual([false, false]);
    await tables.keys.create({ ...REQUEST, env: "qa" }, "ann", PEPPER, true);
    await tables.routes.put({ ...change(), env: "eu", mayBeNewEnvironment: true }, "ann");
    await tables.routes.delete({ env: "eu", name: "fast" }, "ann");
    expect(["qa", "eu", "q"].map(isKnown)).toEqual([true, true, false]);
  });

  test("a rollback that was chosen for another version, or whose guard changed meanwhile, is not made", async () => {
    const tables = startTables();
    for (const description of ["1", "2", "3"]) await tables.routes.put(change({ description }), "ann");
    const rollback = { env: "production", name: "fast", version: 1, activeVersion: 2, facts: [{}] };
    expect(await tables.routes.rollBack(rollback, "ann")).toEqual({ ok: false, reason: "changed" });
    const rolling = tables.routes.rollBack({ ...rollback, activeVersion: 3 }, "ann");
    const guarding = tables.routes.put(change({ promotion: { required: true } }), "ben");
    const [rolledBack, guarded] = await Promise.all([rolling, guarding]);
    expect(guarded.ok).toBe(true);
    // It was made before the guard, or not at all.
    if (rolledBack.ok) expect(rolledBack.route.record.version).toBe(4);
    expect(tables.routes.active("production", "fast")?.record.policy.promotion.required).toBe(true);
  });

  test("a version that could not be stored is no change", async () => {
    const tables = startTables();
    const large = change({ targets: [{ provider: "openai", model: "a", params: { x: "x".repeat(1_900_000) } }] });
    expect(await tables.routes.put(large, "ann")).toEqual({ ok: false, reason: "policy_too_large" });
    expect([tables.actions(), tables.kv.writes]).toEqual([[], []]);
  });
});

describe("providers", () => {
  const record = (id: string) => ({ id, protocol: "openai" as const, base_url: "https://api.lab.com", secret: null });

  test("there is room for 200; a deleted one makes room, and one that is there can still be changed", async () => {
    const tables = startTables();
    for (let count = 0; count < 200; count++) await tables.providers.put(record(`lab-${count}`), "ann");
    expect(await tables.providers.put(record("one-more"), "ann")).toEqual({ ok: false, reason: "too_many" });
    expect(await tables.providers.put({ ...record("lab-7"), secret: "UPSTREAM_X" }, "ann")).toEqual({ ok: true });
    await tables.providers.delete("lab-7", "ann");
    expect(await tables.providers.put(record("one-more"), "ann")).toEqual({ ok: true });
    expect(await tables.providers.put(record("lab-7"), "ann")).toEqual({ ok: false, reason: "too_many" });
    expect(tables.providers.list()).toHaveLength(200);
  });

  test("what KV refused is sent again by the same call", async () => {
    const tables = startTables();
    await tables.providers.put(record("lab"), "ann");
    tables.kv.failing = 1;
    await tables.providers.delete("lab", "ann");
    expect(tables.kv.values.has("provider:lab")).toBe(true);
    await tables.providers.delete("lab", "ann");
    expect(tables.kv.values.has("provider:lab")).toBe(false);
    expect(tables.actions()).toEqual(["provider.put", "provider.delete"]);
  });
});
