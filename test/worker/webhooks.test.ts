/** Notices: signed, at least once, soon, again after failures, and never with what people wrote. */
import { createHmac } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ChatRig, startChatRig, vendorError } from "../support/chat.ts";
import { POLICY } from "../support/operations.ts";
import { completion, usage } from "../support/upstream.ts";

/** The product's control plane with an alarm that a test may ring, and a clock that it moves. */
const FRONT = `
import app, { ControlPlane as Product } from "./index.js";
export * from "./index.js";
const realNow = Date.now.bind(Date);
let clockMs = 0;
Date.now = () => realNow() + clockMs;
export class ControlPlane extends Product {
  async ring() { await this.alarm(); }
  async reset() { this.ctx.abort("reset by the test"); }
}
export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/test/clock") { clockMs = Number(url.searchParams.get("ms")); return new Response(); }
    if (url.pathname === "/test/ring") { await env.CONTROL_PLANE.getByName("control").ring(); return new Response(); }
    if (url.pathname === "/test/reset") { await env.CONTROL_PLANE.getByName("control").reset().catch(() => {}); return new Response(); }
    return app.fetch(request, env, context);
  },
};
`;

interface Received {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly event: {
    readonly type: string;
    readonly timestamp: string;
    readonly data: Readonly<Record<string, unknown>>;
  };
}

const received: Received[] = [];
/** Status of the next answers by path; absent: 204. */
const answers = new Map<string, number>();
let receiver: Server;
let base: string;
let rig: ChatRig;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      const path = request.url ?? "";
      received.push({ path, headers: request.headers as Record<string, string>, body, event: JSON.parse(body) });
      response.writeHead(answers.get(path) ?? 204, { location: "/elsewhere" }).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  rig = await startChatRig({}, FRONT);
});
afterAll(async () => {
  await rig.stop();
  receiver.close();
});

const put = (id: string, events: readonly string[], path = `/${id}`): Promise<Response> =>
  rig.worker.admin(`/admin/webhooks/${id}`, { method: "PUT", body: { url: base + path, events } });
const at = (path: string): Received[] => received.filter((each) => each.path === path);

async function eventAt(path: string, count = 1): Promise<Received[]> {
  await vi.waitFor(() => expect(at(path).length).toBeGreaterThanOrEqual(count), { timeout: 10_000 });
  return at(path);
}

/** `run` with the Worker's clock ahead, as often as it takes. Alarms go by the machine's clock, so they are rung. */
async function later(ms: number, run: () => Promise<void>): Promise<void> {
  await rig.worker.fetch(`/test/clock?ms=${ms}`);
  try {
    const attempt = async (): Promise<void> => {
      await rig.worker.fetch("/test/ring");
      await run();
    };
    await vi.waitFor(attempt, { timeout: 10_000, interval: 200 });
  } finally {
    await rig.worker.fetch("/test/clock?ms=0");
  }
}

function isSigned({ headers, body }: Received, secret: string): boolean {
  const text = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const wanted = `v1,${createHmac("sha256", key).update(text).digest("base64")}`;
  return (headers["webhook-signature"] ?? "").split(" ").includes(wanted);
}

describe("a webhook", () => {
  test("is made with a secret that is shown once, and signs what it sends with it", async () => {
    const made = await put("signed", ["route.published"]);
    expect(made.status).toBe(201);
    const { secret } = (await made.json()) as { secret: string };
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const again = await put("signed", ["route.published"]);
    expect([again.status, await again.text()]).toEqual([200, expect.not.stringContaining("whsec_")]);
    for (const path of ["", "/signed", "/signed/deliveries"]) {
      expect(await (await rig.worker.admin(`/admin/webhooks${path}`)).text()).not.toContain("whsec_");
    }
    await rig.worker.putRoute("production", "told", POLICY);
    const [first] = await eventAt("/signed");
    expect(first?.event).toMatchObject({
      type: "route.published",
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      data: { env: "production", name: "told", version: 1, actor: "admin" },
    });
    expect(isSigned(first!, secret)).toBe(true);
    const rotated = await rig.worker.admin("/admin/webhooks/signed/rotate", { method: "POST" });
    const { secret: next } = (await rotated.json()) as { secret: string };
    await rig.worker.putRoute("production", "told", POLICY);
    const [, second] = await eventAt("/signed", 2);
    expect([isSigned(second!, secret), isSigned(second!, next)]).toEqual([true, true]);
    const audit = await (await rig.worker.admin("/admin/audit?object=webhook%20signed")).text();
    expect(audit).toContain("webhook.rotate");
    expect(audit).not.toContain("whsec_");
  });

  test("is tried again after a failure, with the same id, and a redirect is one", async () => {
    await put("again", ["route.published"]);
    answers.set("/again", 302);
    await rig.worker.putRoute("staging", "told", POLICY);
    await eventAt("/again");
    answers.set("/again", 200);
    const [first, second] = await eventAt("/again", 2);
    expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"]);
    expect(at("/elsewhere")).toEqual([]);
    await vi.waitFor(async () => {
      const list = await (await rig.worker.admin("/admin/webhooks/again/deliveries")).json();
      expect(list).toMatchObject({
        data: [{ type: "route.published", status: "delivered", tries: 2, last_status: 200 }],
      });
    });
  }, 20_000);

  test("gets its event although its receiver was down for an hour and the control plane died meanwhile", async () => {
    await put("down", ["route.published"]);
    answers.set("/down", 503);
    await rig.worker.putRoute("staging", "told-late", POLICY);
    await eventAt("/down");
    await rig.worker.fetch("/test/reset");
    answers.delete("/down");
    await rig.worker.fetch("/test/clock?ms=3700000");
    const before = at("/down").length;
    await rig.worker.fetch("/test/ring");
    expect(at("/down").length).toBe(before + 1);
    await rig.worker.fetch("/test/clock?ms=0");
  });

  test("is switched off after five days of nothing but failures, audited", async () => {
    await put("dead", ["route.published"]);
    answers.set("/dead", 500);
    await rig.worker.putRoute("staging", "told-dead", POLICY);
    await eventAt("/dead");
    await rig.worker.fetch(`/test/clock?ms=${6 * 86_400_000}`);
    await rig.worker.fetch("/test/ring");
    const hook = (await (await rig.worker.admin("/admin/webhooks/dead")).json()) as { disabled_at: string | null };
    expect(hook.disabled_at).not.toBeNull();
    await rig.worker.fetch("/test/clock?ms=0");
    const audit = await rig.worker.admin("/admin/audit?action=webhook.disable");
    expect(await audit.json()).toMatchObject({ data: [{ object: "webhook dead", actor: "router" }] });
  });

  test("is in a list with pages", async () => {
    for (const id of ["page-a", "page-b"]) expect((await put(id, ["route.published"])).status).toBe(201);
    type Page = { data: { id: string }[]; has_more: boolean; next_cursor: string | null };
    const page = async (query: string) => (await (await rig.worker.admin(`/admin/webhooks?${query}`)).json()) as Page;
    const ids: string[] = [];
    for (let query = "limit=1"; ; ) {
      const { data, has_more: hasMore, next_cursor: next } = await page(query);
      ids.push(...data.map(({ id }) => id));
      if (!hasMore) break;
      query = `limit=1&cursor=${next}`;
    }
    expect(ids).toEqual((await page("limit=1000")).data.map(({ id }) => id));
    expect(ids).toEqual(expect.arrayContaining(["page-a", "page-b"]));
    expect((await rig.worker.admin("/admin/webhooks?cursor=none")).status).toBe(400);
  });

  test("is tested at once", async () => {
    await put("tested", ["route.promoted"]);
    const delivery = await rig.worker.admin("/admin/webhooks/tested/test", { method: "POST" });
    expect(await delivery.json()).toMatchObject({ type: "webhook.test", status: "delivered", last_status: 204 });
    expect(at("/tested")).toHaveLength(1);
  });

  test.each([
    [{ url: "http://example.com/x", events: ["route.published"] }, "url"],
    [{ url: "https://10.0.0.1/x", events: ["route.published"] }, "url"],
    [{ url: "https://user:pw@example.com/", events: ["route.published"] }, "url"],
    [{ url: "ftp://example.com/", events: ["route.published"] }, "url"],
    [{ url: "https://example.com/", events: [] }, "events"],
    [{ url: "https://example.com/", events: ["all"] }, "events[0]"],
    [{ url: "https://example.com/" }, "events"],
  ])("%o is refused", async (body, param) => {
    const response = await rig.worker.admin("/admin/webhooks/bad", { method: "PUT", body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe("events", () => {
  test("a tool call that waits is told without its arguments", async () => {
    await put("approvals", ["approval.pending"]);
    await rig.worker.putRoute("production", "gated", POLICY);
    const key = await rig.worker.createKey();
    const body = {
      ...{ model: "flow/gated", messages: [{ role: "user", content: "Very Private" }] },
      ...{ tools: [{ type: "function", function: { name: "pay" } }], route: { require_tool_approval: true } },
    };
    const headers = { authorization: `Bearer ${key.key}`, "content-type": "application/json" };
    await (
      await rig.worker.fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) })
    ).text();
    const [event] = await eventAt("/approvals");
    expect(event?.event.data).toMatchObject({
      ...{ name: "pay", key_id: key.id, env: "production", app: "default", route: "flow/gated" },
      ...{ tool_call_id: expect.any(String), trace_id: expect.stringMatching(/^tr_/), expires_at: expect.any(String) },
    });
    expect(event?.body).not.toMatch(/arguments|Very Private/);
  });

  test("a breaker that opens, and that it closed again", async () => {
    await put("breakers", ["breaker.opened", "breaker.closed"]);
    const route = await rig.route({ providers: ["groq"], policy: { retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[0]!, vendorError(500));
    for (let count = 0; count < 25; count++) await (await rig.ask(route)).text();
    const [event] = await eventAt("/breakers");
    const target = { provider: "groq", model: route.models[0] };
    expect(event?.event).toMatchObject({
      type: "breaker.opened",
      data: { ...target, class: "server_error", until: expect.stringMatching(/Z$/) },
    });
    rig.upstream.scriptFor(route.models[0]!, { json: completion() });
    await later(10 * 60_000, async () => {
      await (await rig.ask(route)).text();
      const closed = { type: "breaker.closed", data: { ...target, until: null } };
      expect(at("/breakers").at(-1)?.event).toMatchObject(closed);
    });
  });

  test("a policy that is promoted, with who did it", async () => {
    await put("releases", ["route.promoted"]);
    await rig.worker.putRoute("staging", "released", POLICY);
    const body = { from: "staging", to: "production", force: true, reason: "first release" };
    const answer = await rig.worker.admin("/admin/routes/released/promote", { body });
    expect(answer.status, await answer.clone().text()).toBe(200);
    const [event, ...more] = await eventAt("/releases");
    expect(more).toEqual([]);
    expect(event?.event).toMatchObject({
      type: "route.promoted",
      data: { env: "production", name: "released", version: 1, actor: "admin" },
    });
  });

  test("thresholds of a budget above keys, each once", async () => {
    await put("pools", ["budget.threshold"]);
    const route = await rig.route({ providers: ["openai"], targets: [{ model: "gpt-4.1-mini" }] });
    rig.upstream.scriptFor("gpt-4.1-mini", { json: completion({ usage: usage(100, 12) }) });
    // One answer is 0.0000592 USD: 59 % of the budget, so two pass it, as this one only tells.
    const body = { scope: { keys: [route.keyId] }, limit_usd: 0.0001, period: "month", on_exceeded: "notify" };
    expect((await rig.worker.admin("/admin/budgets/told", { method: "PUT", body })).status).toBe(200);
    const percents = (): unknown[] =>
      at("/pools").flatMap(({ event: { data } }) => (data["budget"] === "told" ? [data["percent"]] : []));
    for (const wanted of [[50], [50, 80, 100]]) {
      expect((await rig.ask(route, { max_tokens: 20 })).status).toBe(200);
      await vi.waitFor(() => expect(percents()).toEqual(wanted), { timeout: 10_000 });
    }
    const told = at("/pools").find(({ event: { data } }) => data["budget"] === "told");
    expect(told?.event.data).toMatchObject({
      limit_usd: 0.0001,
      spent_usd: expect.any(Number),
      period_start: expect.stringMatching(/Z$/),
      resets_at: expect.stringMatching(/Z$/),
    });
  });

  test("thresholds of a key's budget, each once", async () => {
    await put("budgets", ["budget.threshold"]);
    const route = await rig.route({
      providers: ["openai"],
      targets: [{ model: "gpt-4.1-mini" }],
      key: { budget: { limit_usd: 0.0001, period: "month" } },
    });
    rig.upstream.scriptFor("gpt-4.1-mini", { json: completion({ usage: usage(100, 12) }) });
    // 100 × 0.40 + 12 × 1.60 USD per million: 0.0000592, so 59 % after one.
    expect((await rig.ask(route, { max_tokens: 20 })).status).toBe(200);
    const events = await eventAt("/budgets");
    expect(events.map(({ event }) => event.data)).toMatchObject([
      {
        key_id: route.keyId,
        percent: 50,
        limit_usd: 0.0001,
        spent_usd: expect.any(Number),
        resets_at: expect.any(String),
      },
    ]);
  });

  test("a key that expires within a week", async () => {
    await put("ends", ["key.expiring"]);
    const key = await rig.worker.createKey({ expires_at: new Date(Date.now() + 3 * 86_400_000).toISOString() });
    const [event] = await eventAt("/ends");
    expect(event?.event).toMatchObject({
      type: "key.expiring",
      data: { key_id: key.id, expires_at: expect.any(String) },
    });
    await rig.worker.fetch(`/test/clock?ms=${2.5 * 86_400_000}`);
    await rig.worker.fetch("/test/ring");
    await rig.worker.fetch("/test/clock?ms=0");
    expect((await eventAt("/ends", 2)).filter(({ event: { data } }) => data["key_id"] === key.id)).toHaveLength(2);
  });

  test("a price that ends within two weeks, with the routes that use it", async () => {
    await put("prices", ["price.ending"]);
    await rig.worker.putRoute("production", "priced", { targets: [{ provider: "openai", model: "ends-soon" }] });
    await rig.worker.admin("/admin/prices/openai/ends-soon", {
      method: "PUT",
      body: { input: 1, output: 1, valid_until: new Date(Date.now() + 5 * 86_400_000).toISOString() },
    });
    const [event] = await eventAt("/prices");
    expect(event?.event.data).toMatchObject({ provider: "openai", model: "ends-soon", routes: ["production/priced"] });
  });
});
