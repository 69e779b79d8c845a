/** `GET /admin/metrics`: counters of the day as Prometheus reads them. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type ChatRig, startChatRig, vendorError } from "../support/chat.ts";
import { POLICY } from "../support/operations.ts";
import { completion, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());

const metrics = async (): Promise<string> => (await rig.worker.admin("/admin/metrics")).text();

/** Samples by name and labels, in the order of the text. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

test("counts requests, attempts, tokens, cost and times by their labels", async () => {
  const route = await rig.route({
    providers: ["openai", "openai"],
    targets: [{}, { model: "gpt-4.1-mini" }],
    policy: { retry: { same_target: 0 } },
  });
  rig.upstream.scriptFor(route.models[0]!, vendorError(500));
  rig.upstream.scriptFor("gpt-4.1-mini", { json: completion({ usage: usage(1000, 500) }), headMs: 150 });
  for (let count = 0; count < 2; count++) await (await rig.ask(route)).text();
  const response = await rig.worker.admin("/admin/metrics");
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const flow = `route="${route.model}"`;
  const target = `env="production",${flow},provider="openai",model="gpt-4.1-mini"`;
  await vi.waitFor(
    async () => {
      const found = samplesOf(await metrics());
      const of = (name: string): number | undefined => found.get(name);
      expect(of(`flowlayer_requests_total{env="production",${flow},api="chat",status="ok"}`)).toBe(2);
      expect(of(`flowlayer_attempts_total{provider="openai",model="${route.models[0]}",outcome="server_error"}`)).toBe(
        2,
      );
      expect(of('flowlayer_attempts_total{provider="openai",model="gpt-4.1-mini",outcome="ok"}')).toBe(2);
      expect(of(`flowlayer_tokens_total{${target},kind="prompt"}`)).toBe(2000);
      expect(of(`flowlayer_tokens_total{${target},kind="completion"}`)).toBe(1000);
      // 2 × (1000 × 0.40 + 500 × 1.60) USD per million.
      expect(of(`flowlayer_cost_usd_total{${target}}`)).toBeCloseTo(0.0024, 9);
      expect(of(`flowlayer_request_seconds_count{${target}}`)).toBe(2);
      expect(of(`flowlayer_request_seconds_bucket{${target},le="0.1"}`)).toBe(0);
      expect(of(`flowlayer_request_seconds_bucket{${target},le="+Inf"}`)).toBe(2);
      expect(of('flowlayer_breaker_open{provider="openai",model="gpt-4.1-mini"}')).toBe(0);
      expect(of("flowlayer_unadmitted_usd_total")).toBe(0);
    },
    { timeout: 10_000, interval: 200 },
  );
});

test("every line is a comment or a sample, every metric is typed before its samples, no series stands there twice", async () => {
  const text = await metrics();
  const seen = new Set<string>();
  let typed = "";
  for (const line of text.trimEnd().split("\n")) {
    const [, type] = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line) ?? [];
    if (type !== undefined) typed = type;
    if (line.startsWith("#")) continue;
    expect(line).toMatch(/^flowlayer_\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})? -?[\d.e+-]+$/);
    expect(line.startsWith(typed)).toBe(true);
    const name = line.slice(0, line.lastIndexOf(" "));
    expect(seen.has(name)).toBe(false);
    seen.add(name);
  }
});

test("counts calls that wait, and shows what is spent of a budget above keys", async () => {
  await rig.worker.admin("/admin/budgets/all", { method: "PUT", body: { scope: {}, limit_usd: 10, period: "month" } });
  await rig.worker.putRoute("production", "gated", { ...POLICY, tools: { wait_ms: 0 } });
  const { key } = await rig.worker.createKey();
  const body = {
    ...{ model: "flow/gated", messages: [{ role: "user", content: "hi" }], route: { require_tool_approval: true } },
    tools: [{ type: "function", function: { name: "pay" } }],
  };
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  await (
    await rig.worker.fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) })
  ).text();
  await vi.waitFor(
    async () => {
      const found = samplesOf(await metrics());
      expect(found.get('flowlayer_budget_used_ratio{id="all"}')).toBeLessThan(1);
      expect(found.get('flowlayer_approvals_pending{env="production"}')).toBe(1);
    },
    { timeout: 8_000 },
  );
});
