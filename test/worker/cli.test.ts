/** The command against a host: the whole way of a policy, a key and a trace, from files and words alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { pendingCall, prepare } from "../support/operations.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { folderOf, run } from "../unit/cli/harness.ts";

const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }] };

let worker: TestWorker;
let folder: Awaited<ReturnType<typeof folderOf>>;
beforeAll(async () => {
  worker = await startWorker();
  folder = await folderOf({ "policies/staging/think.json": POLICY, "policies/staging/README.md": "no policy" });
});
afterAll(async () => {
  await worker.stop();
  await folder.remove();
});

async function flow(...argv: readonly string[]) {
  const variables = { FLOW_LAYER_URL: worker.url, FLOW_ADMIN_TOKEN: worker.adminToken };
  const ended = await run(argv, { variables, directory: folder.directory });
  expect(ended.out + ended.err).not.toContain(worker.adminToken);
  return ended;
}

async function ask(key: string): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "flow/deep", messages: [{ role: "user", content: "hi" }] });
  return worker.fetch("/v1/chat/completions", { method: "POST", headers, body });
}

test("a folder of policies is planned, applied, changed, rolled back and promoted with exit codes for a pipeline", async () => {
  expect(await flow("routes", "diff")).toMatchObject({
    code: 2,
    out: expect.stringContaining("+ staging/think create"),
  });
  expect(await flow("routes", "apply")).toMatchObject({ code: 2, err: expect.stringContaining("--yes") });
  expect(await flow("routes", "apply", "--yes")).toMatchObject({ code: 0, out: expect.stringContaining("version 1") });
  expect(await flow("routes", "diff")).toMatchObject({ code: 0, out: expect.stringContaining("Nothing to do") });

  const gates = { promotion: { required: true, min_requests: 1_000 }, latency: { budget_ms: 900 } };
  await folder.write("policies/staging/think.json", { ...POLICY, ...gates });
  const diff = await flow("routes", "diff", "--json");
  expect(JSON.parse(diff.out).changes[0].differences).toContainEqual({ path: "latency.budget_ms", after: 900 });
  expect((await flow("routes", "apply", "--yes")).code).toBe(0);

  await folder.write("policies/staging/think.json", POLICY);
  expect(await flow("routes", "apply", "--yes")).toMatchObject({ code: 3, err: expect.stringContaining("promotion") });
  const promote = ["routes", "promote", "think", "--from", "staging", "--to", "production"];
  expect(await flow(...promote)).toMatchObject({ code: 3, out: expect.stringContaining("min_requests") });
  expect(await flow(...promote, "--force", "drill")).toMatchObject({ code: 0, out: expect.stringContaining("forced") });

  expect((await flow("routes", "rollback", "staging/think")).code).toBe(2);
  expect(await flow("routes", "rollback", "staging/think", "--yes")).toMatchObject({
    code: 0,
    out: expect.stringContaining("now version 3"),
  });
  expect((await flow("routes", "rollback", "staging/think", "99", "-y")).code).toBe(1);
  const list = JSON.parse((await flow("routes", "list", "--json")).out);
  expect(list.map(({ env, name, version }: Record<string, unknown>) => [env, name, version])).toEqual([
    ["staging", "think", 3],
    ["production", "think", 1],
  ]);
});

test("a key is made, used, rotated and revoked, and its trace is found", async () => {
  await worker.putRoute("staging", "deep", POLICY);
  const create = ["keys", "create", "--name", "ci", "--env", "staging", "--budget", "5/month", "--app", "web"];
  const created = JSON.parse((await flow(...create, "--json")).out);
  expect(created).toMatchObject({ name: "ci", apps: ["web"], budget: { limit_usd: 5, period: "month" } });
  const answer = await ask(created.key);
  expect([answer.status, (await answer.text()).length > 0]).toEqual([200, true]);

  const traceId = answer.headers.get("x-request-id") ?? "";
  await expect.poll(async () => (await flow("traces", traceId)).code, { timeout: 3_000 }).toBe(0);
  expect((await flow("traces", traceId)).out).toContain("sandbox/deep-1");
  await expect.poll(async () => (await flow("traces", "--key", created.id)).out, { timeout: 6_000 }).toContain(traceId);

  const rotated = await flow("keys", "rotate", created.id, "--overlap", "0");
  expect(rotated).toMatchObject({ code: 0, out: expect.stringContaining("fl_staging_") });
  expect((await flow("keys", "list")).out).not.toContain("fl_staging_");
  expect((await flow("keys", "revoke", created.id)).code).toBe(2);
  expect((await flow("keys", "revoke", created.id, "--yes")).code).toBe(0);
  expect((await flow("keys", "revoke", "0".repeat(12), "--yes")).code).toBe(1);
  expect((await flow("keys", "list", "--env", "staging")).out).toContain("revoked");
});

test("a tool call that waits is listed and decided, once", async () => {
  const world = await prepare(worker);
  const id = await pendingCall(world);
  expect((await flow("approvals")).out).toContain(id);
  expect(await flow("approvals", "approve", id, "--reason", "seen")).toMatchObject({
    code: 0,
    out: expect.stringContaining("approved"),
  });
  expect(await flow("approvals", "deny", id)).toMatchObject({ code: 1, err: expect.stringContaining("409") });
  expect(await flow("approvals", "approve", "call_none")).toMatchObject({ code: 1 });
});
