/** The audit log over HTTP: what a change has changed, who did it, and how a line is found. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exampleOf, NAMED_OPERATIONS, nameOf, POLICY, prepare, send, type World } from "../support/operations.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

interface Line {
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly at: string;
  readonly before: unknown;
  readonly after: unknown;
}

const ALICE = "alice-token-of-more-than-32-characters";
let worker: TestWorker;

beforeAll(async () => {
  worker = await startWorker({ vars: { FLOW_ADMIN_TOKENS: `alice:${ALICE}:admin bob:short` } });
});
afterAll(() => worker.stop());

const asAlice = { headers: { authorization: `Bearer ${ALICE}` } };

async function lines(query: string): Promise<Line[]> {
  const response = await worker.admin(`/admin/audit?${query}`);
  expect(response.status).toBe(200);
  return ((await response.json()) as { data: Line[] }).data;
}

test("a budget that was raised stands there with both amounts, and a secret with none of its hashes", async () => {
  const key = await worker.createKey({ budget: { limit_usd: 2, period: "month" } });
  const raised = { limit_usd: 500, period: "month" };
  await worker.admin(`/admin/keys/${key.id}`, { method: "PATCH", body: { budget: raised }, ...asAlice });
  await worker.admin(`/admin/keys/${key.id}/rotate`, { method: "POST", body: { overlap_seconds: 60 } });
  await worker.admin(`/admin/keys/${key.id}`, { method: "DELETE" });
  const found = await lines(`object=${encodeURIComponent(`key ${key.id}`)}`);
  expect(found).toMatchObject([
    { action: "key.revoke", before: { status: "active" }, after: { status: "revoked" } },
    { action: "key.rotate", after: { secrets: [{ expires_at: null }, { expires_at: expect.any(String) }] } },
    { action: "key.update", actor: "alice", before: { budget: { limit_usd: 2 } }, after: { budget: raised } },
    { action: "key.create", before: null, after: { id: key.id, env: "production" } },
  ]);
  expect(Object.keys(found[2]?.after ?? {})).toEqual(["budget"]);
  expect(await lines(`object=${key.id}`)).toEqual(found);
  const hashes = (await worker.bindings().CONFIG.get(`key:${key.id}`)) ?? "";
  for (const [, hash = "?"] of hashes.matchAll(/"hash":"([^"]+)"/g)) {
    expect(JSON.stringify(found)).not.toContain(hash);
  }
});

test("a route's line holds the members of the policy that changed", async () => {
  await worker.putRoute("production", "audited", POLICY);
  await worker.putRoute("production", "audited", { ...POLICY, description: "new" });
  const [second, first] = await lines("object=route%20production/audited");
  expect(second).toMatchObject({ object: "route production/audited@2", before: {}, after: { description: "new" } });
  expect(first).toMatchObject({ before: null, after: { targets: [{ provider: "sandbox" }] } });
  expect(await lines("object=production/audited@1")).toEqual([first]);
});

test("lines are found by actor, action and time, and page as they are", async () => {
  const all = await lines("limit=1000");
  const by = (query: string, is: (line: Line) => boolean) =>
    lines(query).then((found) => expect(found).toEqual(all.filter(is)));
  await by("actor=alice&limit=1000", ({ actor }) => actor === "alice");
  await by("action=key&limit=1000", ({ action }) => action.startsWith("key."));
  await by("action=key.rotate&limit=1000", ({ action }) => action === "key.rotate");
  const middle = all[Math.floor(all.length / 2)]?.at ?? "";
  await by(`since=${middle}&limit=1000`, ({ at }) => at >= middle);
  await by(`until=${middle}&limit=1000`, ({ at }) => at < middle);
  const first = await worker.admin("/admin/audit?action=key&limit=1");
  const { next_cursor } = (await first.json()) as { next_cursor: string };
  expect(await lines(`action=key&limit=1&cursor=${next_cursor}`)).toEqual(
    all.filter(({ action }) => action.startsWith("key.")).slice(1, 2),
  );
});

test.each([
  ["actor=", "actor"],
  ["since=yesterday", "since"],
  ["who=alice", "who"],
])("a query of %s is refused by its name", async (query, param) => {
  const response = await worker.admin(`/admin/audit?${query}`);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { code: "invalid_request", param } });
});

test("an operator's token that is ignored is named in the log, without its text", async () => {
  await worker.admin("/admin/audit");
  expect(worker.logs()).toContain('{"event":"admin_token_ignored","name":"bob","reason":"shorter than 32 characters"}');
});

/** Calls of the control plane that ask with a method of change: they answer a question, or try one address. */
const CHANGES_NOTHING: ReadonlySet<string> = new Set([
  ...["post /admin/routes/{env}/{name}/explain", "post /admin/traces/rebuild", "post /admin/webhooks/{id}/test"],
]);

describe("every call that changes something leaves a line with its actor", () => {
  let world: World;
  beforeAll(async () => {
    world = await prepare(worker);
  });
  const changing = NAMED_OPERATIONS.filter(
    ([, { caller, method, path }]) => caller === "operator" && method !== "get" && path.startsWith("/admin/"),
  );

  test.each(changing)("%s", async (_, operation) => {
    const example = await exampleOf(operation, world);
    const newest = async (): Promise<(Line & { seq: number }) | undefined> =>
      (await lines("limit=1"))[0] as Line & { seq: number };
    const before = (await newest())?.seq ?? 0;
    const response = await send(world, operation, example, ALICE);
    const text = await response.text();
    const after = await newest();
    if (CHANGES_NOTHING.has(nameOf(operation))) return expect(after?.seq ?? 0).toBe(before);
    // An import is for an empty deployment, and this one is not: nothing is changed then.
    if (response.status >= 400) return expect([nameOf(operation), text]).toEqual(["post /admin/import", text]);
    expect([text, after?.seq ?? 0]).not.toEqual([text, before]);
    expect(after).toMatchObject({ actor: "alice", action: expect.stringMatching(/^[a-z_]+\.[a-z_.]+$/) });
  });
});
