/** The command against a host: the whole way of a policy, a key and a trace, from files and words alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { pendingCall, prepare } from "../support/operations.ts";
import { startUpstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { folderOf, run } from "../unit/cli/harness.ts";

const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }] };

let worker: TestWorker;
let folder: Awaited<ReturnType<typeof folderOf>>;
beforeAll(async () => {
  worker = await startWorker();
  folder = await folderOf({ "policies/staging/think.json": POLICY, "policies/README.md": "no policy" });
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
  expect(list.data.map(({ env, name, version }: Record<string, unknown>) => [env, name, version])).toEqual([
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

test("a key is changed, paused and resumed, and a mistyped environment makes none", async () => {
  const create = ["keys", "create", "--name", "n", "--env", "staging", "--expires", "30d", "--json"];
  const { id, expires_at } = JSON.parse((await flow(...create)).out);
  expect(Date.parse(expires_at)).toBeGreaterThan(Date.now() + 29 * 86_400_000);
  const updated = await flow("keys", "update", id, "--budget", "3/month", "--rpm", "9", "--expires", "never", "--json");
  expect(JSON.parse(updated.out)).toMatchObject({ budget: { limit_usd: 3 }, limits: { requests_per_minute: 9 } });
  expect(JSON.parse(updated.out).expires_at).toBeNull();
  expect((await flow("keys", "pause", id)).out).toContain("paused");
  expect((await flow("keys", "list", "--status", "paused")).out).toContain(id);
  expect((await flow("keys", "pause", id, "--resume")).out).toContain("active");
  const typo = await flow("keys", "create", "--name", "n", "--env", "prod");
  expect(typo).toMatchObject({ code: 1, err: expect.stringContaining("unknown_environment") });
  expect((await flow("keys", "create", "--name", "n", "--env", "prod", "--new-env")).code).toBe(0);
  expect((await flow("keys", "create", "--name", "n", "--env", "staging", "--expires", "2020-01-01")).code).toBe(1);
});

test("policies are pulled as files that say what the host has, with an editor's schema", async () => {
  const pulled = await flow("routes", "pull", "--dir", "pulled", "--env", "staging");
  expect(pulled).toMatchObject({ code: 0, out: expect.stringContaining("pulled/staging/think.json") });
  expect((await flow("routes", "diff", "--dir", "pulled")).code).toBe(0);
  expect((await flow("routes", "pull", "--dir", "pulled", "--env", "staging")).out).toContain("Nothing to do");
  await folder.write("pulled/staging/think.json", { ...POLICY, description: "mine" });
  expect((await flow("routes", "pull", "--dir", "pulled")).code).toBe(2);
});

test("an unpriced model is applied with a warning", async () => {
  await folder.write("warned/staging/odd.json", { targets: [{ provider: "openai", model: "gpt-5.2x" }] });
  const applied = await flow("routes", "apply", "--dir", "warned", "--yes");
  expect(applied).toMatchObject({ code: 0, err: expect.stringContaining("has no known price") });
});

test("doctor tries a request, its trace and a broken stream, and leaves nothing behind", async () => {
  await worker.putRoute("production", "steady", POLICY);
  const checked = await flow("doctor", "--route", "steady", "--json");
  const { checks } = JSON.parse(checked.out) as { checks: { name: string; state: string; detail: string }[] };
  const states = Object.fromEntries(checks.map(({ name, state }) => [name, state]));
  expect(states, checked.out).toMatchObject({
    address: "ok",
    "admin token": "ok",
    request: "ok",
    trace: "ok",
    "broken stream": "ok",
  });
  const left = JSON.parse((await flow("routes", "list", "--json")).out).data.map(({ name }: { name: string }) => name);
  expect(left.filter((name: string) => name.startsWith("flow-probe"))).toEqual([]);
  expect((await flow("keys", "list", "--json", "--status", "active")).out).not.toContain("flow-layer doctor");
  // Its one failure is made on purpose, and no operator has to wonder whose it was.
  const since = new Date(Date.now() - 60_000).toISOString();
  const appOf = async (path: string) =>
    (await (await worker.admin(path)).json()) as { data: Record<string, unknown>[] };
  const ours = () => appOf(`/admin/traces?app=flow-layer-doctor&since=${since}`);
  await expect.poll(async () => (await ours()).data.length, { timeout: 12_000 }).toBe(1);
  // Whatever doctor left would be listed by the time that a later request is.
  const { key } = await worker.createKey();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", "x-flowlayer-app": "later" };
  const body = JSON.stringify({ model: "flow/steady", messages: [{ role: "user", content: "Hello." }] });
  await (await worker.fetch("/v1/chat/completions", { method: "POST", headers, body })).text();
  const later = () => appOf(`/admin/traces?app=later&since=${since}`);
  await expect.poll(async () => (await later()).data.length, { timeout: 12_000 }).toBe(1);
  expect((await ours()).data).toMatchObject([{ route: "flow/steady", status: "ok" }]);
  const { data: spent } = await appOf("/admin/spend?group_by=route");
  expect(JSON.stringify(spent)).not.toContain("flow-probe");
}, 60_000);

test("a provider that refuses its key is named by doctor and chat, although another target answers", async () => {
  const upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-mistyped", OPENAI_BASE_URL: `${upstream.url}/v1` };
  const host = await startWorker({ vars });
  try {
    upstream.script({ status: 401, json: { error: { message: "Incorrect API key provided." } } });
    await host.putRoute("production", "steady", {
      targets: [{ provider: "openai", model: "gpt-5-mini" }, ...POLICY.targets],
    });
    const { key } = await host.createKey();
    const variables = { FLOW_LAYER_URL: host.url, FLOW_ADMIN_TOKEN: host.adminToken, FLOW_LAYER_API_KEY: key };
    const spec = { variables, directory: folder.directory };
    const checked = JSON.parse((await run(["doctor", "--route", "steady", "--json"], spec)).out) as {
      checks: { name: string; state: string; detail: string }[];
    };
    expect(checked.checks.find(({ name }) => name === "request")).toMatchObject({
      state: "warning",
      detail: expect.stringContaining("openai refused the key of this host"),
    });
    const answered = await run(["chat", "steady", "Hello."], spec);
    expect(answered).toMatchObject({ code: 0, err: expect.stringContaining("check the provider's secret") });
  } finally {
    await host.stop();
    await upstream.stop();
  }
}, 60_000);

test("the demo shows four failures that no client sees", async () => {
  const shown = await flow("demo", "--json");
  const { scenes } = JSON.parse(shown.out) as { scenes: { attempts: string; answer: string }[] };
  expect(scenes.map(({ answer }) => answer.includes("steady"))).toEqual([true, true, true, true]);
  expect(scenes.map(({ attempts }) => /;(rate_limited|server_error|network|slow);/.test(attempts))).toEqual(
    Array(4).fill(true),
  );
}, 60_000);

test("chat prints the answer to the one stream and who answered to the other", async () => {
  const key = JSON.parse((await flow("keys", "create", "--name", "c", "--env", "production", "--json")).out).key;
  const variables = { FLOW_LAYER_URL: `${worker.url}/v1`, FLOW_LAYER_API_KEY: key, FLOW_ADMIN_TOKEN: undefined };
  const answered = await run(["chat", "steady", "Hello", "there."], { variables, directory: folder.directory });
  expect(answered).toMatchObject({
    code: 0,
    out: expect.stringContaining("Hello there."),
    err: expect.stringContaining("sandbox/deep-1"),
  });
});

test("every reading command answers in one JSON shape", async () => {
  for (const argv of [
    ["routes", "list"],
    ["routes", "versions", "staging/think"],
    ["keys", "list"],
    ["traces"],
    ["approvals"],
    ["audit"],
    ["providers"],
  ]) {
    const { code, out } = await flow(...argv, "--json");
    expect([code, JSON.parse(out)], argv.join(" ")).toEqual([
      0,
      expect.objectContaining({
        object: "list",
        data: expect.any(Array),
        next_cursor: expect.toSatisfy((cursor) => cursor === null || typeof cursor === "string"),
      }),
    ]);
  }
  const missing = await flow("keys", "get", "0".repeat(12), "--json");
  expect([missing.code, JSON.parse(missing.out).error.code]).toEqual([1, "not_found"]);
});
