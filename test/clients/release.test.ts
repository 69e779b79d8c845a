/**
 * One afternoon of an operator, on one worker: a policy is staged, tried, refused, released and taken back, two unmodified
 * agents have their tool calls approved, and the audit log tells all of it.
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { type AIMessageChunk, type BaseMessage, HumanMessage, type ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, isStepCount, tool } from "ai";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import * as z from "zod";
import { auditOf, expectRefusal, type Json, okBody } from "../support/admin.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const ANN_TOKEN = "ann-0123456789-0123456789-0123456789";
const POLL = { timeout: 8_000, interval: 50 };
const targets = (model: string) => [{ provider: "sandbox", model }];
const TOOLS = { require_approval: true, wait_ms: 10_000 };
const OLD = { targets: targets("helper-1"), tools: TOOLS };
const NEW = {
  targets: targets("helper-2"),
  tools: TOOLS,
  promotion: { required: true, min_requests: 30, min_success_rate: 0.99, min_success_lower_bound: 0.8 },
};

let worker: TestWorker;
beforeAll(async () => {
  vi.stubGlobal("AI_SDK_LOG_WARNINGS", false);
  worker = await startWorker({ vars: { FLOW_ADMIN_TOKENS: `ann:${ANN_TOKEN}` } });
});
afterAll(() => worker.stop());

const asAnn = { authorization: `Bearer ${ANN_TOKEN}` };
const put = (env: string, policy: object) =>
  worker.admin(`/admin/routes/${env}/support`, { method: "PUT", body: policy, headers: asAnn });
const promote = () =>
  worker.admin("/admin/routes/support/promote", { body: { from: "staging", to: "production" }, headers: asAnn });

async function ask(key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "flow/support", messages: [{ role: "user", content: "Hello." }] });
  const answer = await worker.fetch("/v1/chat/completions", { method: "POST", headers, body });
  await answer.text();
  return answer.status;
}

/** Approves the one call that waits, and gives its id and the digest of its arguments. */
async function approve(): Promise<Json> {
  const pending = async (): Promise<Json[]> =>
    (await okBody(await worker.admin("/admin/approvals?status=pending")))["data"] as Json[];
  await expect.poll(async () => (await pending()).length, POLL).toBe(1);
  const [call] = await pending();
  const body = { decision: "approve", reason: "seen" };
  return okBody(await worker.admin(`/admin/approvals/${call?.["tool_call_id"]}`, { body, headers: asAnn }));
}

const schema = z.object({ path: z.string() });

/** Ends in the files it was allowed to delete. */
async function runAiSdk({ key }: CreatedKey): Promise<unknown[]> {
  const flow = createOpenAICompatible({ name: "flowlayer", baseURL: `${worker.url}/v1`, apiKey: key });
  const ran: unknown[] = [];
  const execute = async ({ path }: { path: string }) => `deleted ${ran.push(path)}`;
  await generateText({
    model: flow("flow/support"),
    prompt: "Delete the old report.",
    tools: { delete_file: tool({ inputSchema: schema, execute }) },
    stopWhen: isStepCount(3),
  });
  return ran;
}

/** The same. */
async function runLangChain({ key }: CreatedKey): Promise<unknown[]> {
  const ran: unknown[] = [];
  const options = { name: "delete_file", description: "Deletes a file", schema };
  const deleteFile = langchainTool(({ path }) => `deleted ${ran.push(path)}`, options);
  const model = new ChatOpenAI({
    ...{ model: "flow/support", apiKey: key, maxRetries: 0, configuration: { baseURL: `${worker.url}/v1` } },
  }).bindTools([deleteFile]);
  const messages: BaseMessage[] = [new HumanMessage("Delete the other report.")];
  for (let round = 0; round < 3; round++) {
    const answer = (await model.invoke(messages)) as AIMessageChunk;
    messages.push(answer);
    if ((answer.tool_calls ?? []).length === 0) break;
    for (const call of answer.tool_calls ?? []) {
      const result: unknown = await deleteFile.invoke({ ...call, type: "tool_call" });
      messages.push(result as ToolMessage);
    }
  }
  return ran;
}

test("a policy is staged, refused, promoted on its evidence and rolled back, agents are approved, and the audit has it all", async () => {
  await okBody(await put("production", OLD));
  await okBody(await put("staging", NEW));
  const tester = await worker.createKey({ env: "staging" });
  const agent = await worker.createKey();

  const statuses = await Promise.all(Array.from({ length: 29 }, () => ask(tester.key)));
  expect(new Set(statuses)).toEqual(new Set([200]));
  const refused = await expectRefusal(await promote(), { status: 409, code: "promotion_blocked" });
  const shown = (refused["gates"] as Json[]).map(({ name, wanted }) => [name, wanted]);
  expect(shown).toEqual(Object.entries(NEW.promotion).filter(([name]) => name !== "required"));
  expect((refused["gates"] as Json[])[0]).toMatchObject({ measured: expect.any(Number), passed: false });

  expect(await ask(tester.key)).toBe(200);
  const outcome: { promoted?: Json } = {};
  const tryAgain = async (): Promise<number> => {
    const answer = await promote();
    if (answer.status === 200) outcome.promoted = await okBody(answer);
    return answer.status;
  };
  await expect.poll(tryAgain, POLL).toBe(200);
  const gates = [
    { name: "min_requests", wanted: 30, measured: 30, passed: true },
    { name: "min_success_rate", wanted: 0.99, measured: 1, passed: true },
    { name: "min_success_lower_bound", wanted: 0.8, measured: expect.closeTo(0.8865, 4), passed: true },
  ];
  const released = { version: 2, from: { env: "staging", version: 1 }, gates, forced: false };
  expect(outcome.promoted).toMatchObject(released);
  await expectRefusal(await put("production", OLD), { status: 409, code: "promotion_required" });

  const path = "/admin/routes/production/support";
  const back = await okBody(await worker.admin(`${path}/rollback`, { body: { version: 1 }, headers: asAnn }));
  expect(back).toMatchObject({
    ...{ version: 3, active: true },
    policy: { targets: [{ model: "helper-1" }], promotion: NEW.promotion },
  });

  const approvals: Json[] = [];
  for (const run of [runAiSdk, runLangChain]) {
    const [ran, approval] = await Promise.all([run(agent), approve()]);
    expect(ran).toEqual(["example"]);
    approvals.push(approval);
  }

  const audited = async (object: string): Promise<Json | undefined> => (await auditOf(worker, object))[0];
  const version = (env: string, number: number) => audited(`route ${env}/support@${number}`);
  const [first, staged] = [await version("production", 1), await version("staging", 1)];
  const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
  for (const line of [first, staged]) {
    expect(line).toMatchObject({ actor: "ann", action: "route.publish", before: null, after_digest: digest });
  }
  expect(await version("production", 2)).toMatchObject({
    ...{
      actor: "ann",
      action: "route.promote",
      before_digest: first?.["after_digest"],
      after_digest: staged?.["after_digest"],
    },
    detail: { kind: "promotion", from: released.from, gates, evidence: { requests: 30 }, forced: false },
  });
  expect(await version("production", 3)).toMatchObject({
    ...{ actor: "ann", action: "route.rollback", before_digest: staged?.["after_digest"], after_digest: digest },
    detail: { kind: "rollback", from: { env: "production", version: 1 } },
  });
  for (const { tool_call_id, arguments_sha256, decided_at } of approvals) {
    expect(await audited(`tool call ${tool_call_id} of key ${agent.id}`)).toMatchObject({
      ...{ actor: "ann", action: "approval.approve", at: decided_at, reason: "seen" },
      ...{ before_digest: null, after_digest: `sha256:${arguments_sha256}` },
    });
  }
});
