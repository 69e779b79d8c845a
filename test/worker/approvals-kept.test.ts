/** Tool approvals over time: what a restart of the Worker on the same storage keeps, and what its clock ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const HOUR_MS = 3_600_000;
const CALLS = ["call_1", "call_2", "call_3"].map((id) => ({ id, name: "send", arguments: `{"to":"${id}"}` }));
const MESSAGES = [{ role: "user", content: "Pay." }];
const MODEL = "kept";

let directory: string;
let upstream: Upstream;
let worker: TestWorker;
let key: { readonly id: string; readonly key: string };
const start = async (): Promise<void> => {
  const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1`, FLOW_ADMIN_TOKEN: "a".repeat(48) };
  worker = await startWorker({ persist: directory, vars, front: FAULTS_FRONT });
};
beforeAll(async () => {
  [directory, upstream] = await Promise.all([mkdtemp(join(tmpdir(), "approvals-")), startUpstream()]);
  await start();
  const tools = { require_approval: true, wait_ms: 0, ttl_seconds: 60 };
  await worker.putRoute("production", "kept", { targets: [{ provider: "openai", model: MODEL }], tools });
  key = await worker.createKey();
});
afterAll(async () => {
  expect(worker.logs()).not.toMatch(/unexpected_error|unhandled/i);
  await worker.stop();
  await upstream.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly traceId: string;
  readonly text: string;
}

async function ask(body: object): Promise<Answer> {
  const response = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/kept", ...body }),
  });
  const text = await response.text();
  const { error } = JSON.parse(text) as { error?: { code: string } };
  return { status: response.status, code: error?.code, traceId: response.headers.get("x-request-id") ?? "", text };
}

/** The result of a call comes back, with other arguments or with its own. */
function sendResult(id: string, text = `{ "to": "${id}" }`): Promise<Answer> {
  upstream.scriptFor(MODEL, { json: completion({ text: "Done." }) });
  const calls = [{ id, type: "function", function: { name: "send", arguments: text } }];
  const result = { role: "tool", tool_call_id: id, content: "sent" };
  return ask({ messages: [...MESSAGES, { role: "assistant", tool_calls: calls }, result] });
}

async function decide(id: string, decision: string): Promise<{ status: number; code: string | undefined }> {
  const response = await worker.admin(`/admin/approvals/${id}?key=${key.id}`, { body: { decision } });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: error?.code };
}

const listed = async (status: string): Promise<string[]> => {
  const list = await worker.admin(`/admin/approvals?status=${status}&key=${key.id}`);
  const { data } = (await list.json()) as { data: { tool_call_id: string }[] };
  return data.map(({ tool_call_id }) => tool_call_id).sort();
};

test("a held step and what was decided of it survive a restart; what was not decided can be; all of it is enforced", async () => {
  upstream.scriptFor(MODEL, { json: completion({ toolCalls: CALLS }) });
  const held = await ask({ messages: MESSAGES });
  await expect.poll(() => listed("pending"), { timeout: 3_000, interval: 20 }).toHaveLength(3);
  expect((await decide("call_1", "approve")).status).toBe(200);
  await worker.stop();
  await start();
  expect([await listed("pending"), await listed("approved")]).toEqual([["call_2", "call_3"], ["call_1"]]);
  expect(await decide("call_1", "deny")).toEqual({ status: 409, code: "approval_decided" });
  expect((await decide("call_2", "deny")).status).toBe(200);

  expect((await sendResult("call_1")).status).toBe(200);
  const calls = upstream.callsTo(MODEL).length;
  expect(await sendResult("call_1", '{"to":"mallory"}')).toMatchObject({ status: 403, code: "tool_call_altered" });
  expect(await sendResult("call_2")).toMatchObject({ status: 403, code: "tool_call_denied" });
  expect(await sendResult("call_3")).toMatchObject({ status: 403, code: "tool_approval_required" });
  // Still one of three waits.
  expect((await ask({ messages: MESSAGES, route: { resume: held.traceId } })).text).toContain('"status":"pending"');
  expect(upstream.callsTo(MODEL)).toHaveLength(calls);
});

test("when its time is over nobody decides a call any more, and its step goes on without it", async () => {
  const [traceId] = (await (await worker.admin(`/admin/approvals?key=${key.id}`)).text()).match(/tr_\w+/) ?? [];
  await setFaults(worker, { clockMs: 61_000 });
  expect(await decide("call_3", "approve")).toEqual({ status: 403, code: "tool_approval_expired" });
  expect(await listed("expired")).toEqual(["call_3"]);
  expect(await sendResult("call_3")).toMatchObject({ status: 403, code: "tool_approval_expired" });
  const { text } = await ask({ messages: MESSAGES, route: { resume: traceId } });
  expect(text).toContain("not approved in time");
  expect(text).toContain('"id":"call_1"');
  expect(text).not.toMatch(/"id":"call_[23]","type"/);
});

test("what was approved in time is admitted for 30 days, and then no more", async () => {
  await setFaults(worker, { clockMs: 30 * 24 * HOUR_MS - HOUR_MS });
  expect((await sendResult("call_1")).status).toBe(200);
  await setFaults(worker, { clockMs: 30 * 24 * HOUR_MS + HOUR_MS });
  expect(await sendResult("call_1")).toMatchObject({ status: 403, code: "tool_approval_expired" });
});
