/** `FLOW_JURISDICTION`, as far as the local runtime knows places: what holds from the first start, and the way out. */
import { afterEach, expect, test } from "vitest";
import { startWorker, type TestWorker } from "../support/worker.ts";

const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }] };

let worker: TestWorker | undefined;
afterEach(async () => {
  await worker?.stop();
  worker = undefined;
});

function ask(at: TestWorker, key: string): Promise<Response> {
  return at.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/r", messages: [{ role: "user", content: "hi" }] }),
  });
}

test("a deployment with a jurisdiction answers, and notes it with its first change", async () => {
  worker = await startWorker({ vars: { FLOW_JURISDICTION: "eu" } });
  await worker.putRoute("production", "r", POLICY);
  const { key } = await worker.createKey({ env: "production", budget: { limit_usd: 5, period: "month" } });
  expect((await ask(worker, key)).status).toBe(200);
  const { CONFIG } = worker.bindings();
  expect(JSON.parse((await CONFIG.get("jurisdiction")) ?? "")).toEqual({ jurisdiction: "eu" });
});

test("another jurisdiction is 503 with the way out, on both planes, and health still answers", async () => {
  worker = await startWorker({ vars: { FLOW_JURISDICTION: "us" } });
  const { CONFIG } = worker.bindings();
  await CONFIG.put("jurisdiction", JSON.stringify({ jurisdiction: "eu" }));
  const refused = await ask(worker, "fl_production_x");
  expect([refused.status, await refused.json()]).toMatchObject([
    503,
    {
      error: {
        code: "policy_unavailable",
        message: expect.stringMatching(/began with FLOW_JURISDICTION=eu.*export.*import/),
      },
    },
  ]);
  expect((await worker.admin("/admin/keys")).status).toBe(503);
  expect((await worker.fetch("/health")).status).toBe(200);
});

test("a deployment without one notes nothing", async () => {
  worker = await startWorker();
  await worker.putRoute("production", "r", POLICY);
  const { CONFIG } = worker.bindings();
  expect(await CONFIG.get("jurisdiction")).toBeNull();
});
