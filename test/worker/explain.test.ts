/** Explained and not done: the order, the reasons, the bounds and what a key's books would say, with no provider asked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, expectError, startChatRig, type TestRoute } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ MISTRAL_API_KEY: "" });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

interface Explanation {
  readonly route_version: number;
  readonly targets: {
    readonly provider: string;
    readonly order: number | null;
    readonly state: string;
    readonly reasons: { readonly code: string; readonly member?: string; readonly detail?: string }[];
    readonly lane: string;
    readonly dropped: string[];
    readonly bound_usd: number | null;
    readonly expected_usd: number | null;
    readonly cached_share: number;
  }[];
  readonly admission: { readonly ok: boolean; readonly code?: string; readonly limit?: Record<string, unknown> };
  readonly output_cap: number | null;
  readonly bound_usd: number | null;
}

const REQUEST = { messages: [{ role: "user", content: "hi" }], max_tokens: 100 };
const GPT = { provider: "openai", model: "gpt-4.1-mini" };
const PRICED = { targets: [GPT, { provider: "anthropic", model: "claude-opus-5" }] };

async function explain(name: string, body: object, status = 200): Promise<Explanation> {
  const response = await rig.worker.admin(`/admin/routes/production/${name}/explain`, { body });
  expect(response.status).toBe(status);
  return (await response.json()) as Explanation;
}

const nameOf = (route: TestRoute): string => route.model.replace("flow/", "");
const noCalls = (): void => expect(rig.upstream.calls).toHaveLength(0);

describe("POST /admin/routes/{env}/{name}/explain", () => {
  test("says who is asked in which order, why others are not, and what it costs at most; asks nobody", async () => {
    await rig.worker.putRoute("production", "explained", {
      targets: [{ provider: "mistral", model: "m" }, GPT, { provider: "groq", model: "no-price" }, PRICED.targets[1]],
    });
    const answer = await explain("explained", { request: { ...REQUEST, seed: 7 } });
    expect(answer).toMatchObject({ route_version: 1, admission: { ok: true }, output_cap: 100 });
    expect(answer.targets.map(({ provider, order, state }) => [provider, order, state])).toEqual([
      ["mistral", null, "out"],
      ["openai", 1, "first"],
      ["groq", 2, "next"],
      ["anthropic", 3, "next"],
    ]);
    const [mistral, openai, groq, anthropic] = answer.targets;
    expect(mistral?.reasons).toEqual([{ code: "not_configured", detail: "Set MISTRAL_API_KEY." }]);
    expect(openai?.bound_usd).toBeGreaterThan(0);
    expect(openai?.expected_usd).toBeGreaterThan(0);
    expect(openai?.expected_usd ?? 0).toBeLessThan(openai?.bound_usd ?? 0);
    expect(answer.bound_usd).toBe(openai?.bound_usd);
    expect(groq?.bound_usd).toBeNull();
    expect(["native", "same_wire"]).toContain(openai?.lane);
    expect(anthropic).toMatchObject({ lane: "translated", dropped: ["seed"] });
    noCalls();
  });

  test("a key's budget counts: what is unpriced is out, and what does not fit names the limit", async () => {
    const key = await rig.worker.createKey({ budget: { limit_usd: 0.00001, period: "month" } });
    await rig.worker.putRoute("production", "dear", { targets: [{ provider: "groq", model: "no-price" }, GPT] });
    const answer = await explain("dear", { request: { ...REQUEST, max_tokens: 30_000 }, key: key.id });
    expect(answer.targets[0]).toMatchObject({ state: "out", order: null, reasons: [{ code: "unpriced" }] });
    expect(answer.targets[1]).toMatchObject({ state: "first", order: 1 });
    expect(answer.admission).toMatchObject({
      ok: false,
      code: "budget_exceeded",
      limit: { kind: "key_budget", remaining_usd: 0.00001, bound_usd: answer.bound_usd },
    });
    const spend = (await (await rig.worker.admin(`/admin/keys/${key.id}`)).json()) as { spend: object };
    expect(spend.spend).toMatchObject({ spent_usd: 0, reserved_usd: 0 });
    noCalls();
  });

  test("a limit of requests that is reached is told, and asking does not count", async () => {
    const route = await rig.route({ key: { limits: { requests_per_minute: 1 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion() });
    const asked = { request: REQUEST, key: route.keyId };
    for (let at = 0; at < 3; at++) expect((await explain(nameOf(route), asked)).admission).toEqual({ ok: true });
    expect((await rig.ask(route)).status).toBe(200);
    const { admission } = await explain(nameOf(route), asked);
    expect(admission).toMatchObject({
      ok: false,
      code: "rate_limit_exceeded",
      limit: { kind: "requests_per_minute", limit: 1 },
    });
  });

  test("a draft is explained in place of the active version, and changes nothing", async () => {
    await rig.worker.putRoute("production", "drafted", { targets: [GPT] });
    const draft = { targets: [PRICED.targets[1], GPT], fallback: { enabled: false } };
    const answer = await explain("drafted", { request: REQUEST, policy: draft });
    expect(answer.route_version).toBe(0);
    expect(answer.targets.map(({ provider }) => provider)).toEqual(["anthropic", "openai"]);
    expect((await explain("drafted", { request: REQUEST })).targets).toHaveLength(1);
    expect((await explain("no-such-yet", { request: REQUEST, policy: draft })).targets).toHaveLength(2);
  });

  test("`at` chooses the time whose prices hold", async () => {
    await rig.worker.putRoute("production", "timed", { targets: [GPT] });
    const later = new Date(Date.now() + 86_400_000).toISOString();
    const put = await rig.worker.admin("/admin/prices/openai/gpt-4.1-mini", {
      method: "PUT",
      body: { input: 1000, output: 1000, valid_from: later },
    });
    expect(put.status).toBe(200);
    const now = await explain("timed", { request: REQUEST });
    const then = await explain("timed", { request: REQUEST, at: new Date(Date.parse(later) + 1_000).toISOString() });
    expect(then.bound_usd ?? 0).toBeGreaterThan(100 * (now.bound_usd ?? 0));
  });

  test("requests of other doors, and what a client narrows", async () => {
    await rig.worker.putRoute("production", "doors", PRICED);
    const messages = await explain("doors", {
      api: "messages",
      request: { ...REQUEST, route: { avoid: ["anthropic"] } },
    });
    expect(messages.targets[1]).toMatchObject({
      state: "out",
      reasons: [{ code: "capability", member: "route.avoid" }],
    });
    const responses = await explain("doors", { api: "responses", request: { input: "hi", max_output_tokens: 64 } });
    expect(responses.output_cap).toBe(64);
  });

  test("a disabled target is out, and where nothing is left the refusal is told", async () => {
    await rig.worker.putRoute("production", "off", { targets: [{ provider: "sambanova", model: "x" }] });
    await rig.worker.admin("/admin/providers/sambanova", { method: "PATCH", body: { disabled: true, reason: "why" } });
    const answer = await explain("off", { request: REQUEST });
    expect(answer.targets[0]).toMatchObject({ state: "out", reasons: [{ code: "disabled" }] });
    expect(answer.admission).toEqual({ ok: false, code: "no_target_configured" });
  });

  test.each([
    [{}, 400, "request"],
    [{ request: { messages: [] } }, 400, "messages"],
    [{ request: REQUEST, key: "short" }, 400, "key"],
    [{ request: REQUEST, key: "a".repeat(12) }, 404, "key"],
    [{ request: REQUEST, policy: { targets: [] } }, 400, "policy.targets"],
    [{ request: REQUEST, at: "soon" }, 400, "at"],
    [{ request: REQUEST, api: "fax" }, 400, "api"],
    [{ request: REQUEST, more: 1 }, 400, "more"],
  ])("%o is refused", async (body, status, param) => {
    const response = await rig.worker.admin("/admin/routes/production/explained/explain", { body });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe("x-flowlayer-explain: true", () => {
  const HEADERS = { "x-flowlayer-explain": "True" };

  test.each([
    ["/v1/chat/completions", { ...REQUEST, stream: true }],
    ["/v1/messages", REQUEST],
    ["/v1/responses", { input: "hi", stream: true }],
  ])("%s answers JSON without detail, and leaves no trace", async (path, body) => {
    const route = await rig.route({ providers: ["mistral", "openai"] });
    const init = { method: "POST", headers: { ...rig.headers(route), ...HEADERS } };
    const response = await rig.worker.fetch(path, { ...init, body: JSON.stringify({ model: route.model, ...body }) });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toMatchObject({
      targets: [
        { state: "out", reasons: [{ code: "not_configured" }] },
        { state: "first", order: 1, reasons: [] },
      ],
      admission: { ok: true },
    });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await rig.traces(route)).toEqual([]);
    noCalls();
  });

  test("counts as one request, and costs nothing", async () => {
    const route = await rig.route({
      key: { limits: { requests_per_minute: 2 }, budget: { limit_usd: 1, period: "day" } },
    });
    const ask = (): Promise<Response> => rig.ask(route, {}, { headers: HEADERS });
    expect([(await ask()).status, (await ask()).status, (await ask()).status]).toEqual([200, 200, 429]);
  });

  test("counts where an admission was tried too, and its refusal says when to come back", async () => {
    const route = await rig.route({ key: { limits: { requests_per_minute: 2 } } });
    const ask = (): Promise<Response> => rig.ask(route, {}, { headers: HEADERS });
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200]);
    const { error } = await expectError(await ask(), { status: 429, code: "rate_limit_exceeded", retry: true });
    expect(error.limit).toEqual({ kind: "requests_per_minute", limit: 2, resets_at: expect.stringMatching(/Z$/) });
    // Requests that are sent count together with them.
    expect((await rig.ask(route)).status).toBe(429);
  });

  test("a header that is no boolean is refused: the request would be paid", async () => {
    const route = await rig.route();
    const ask = (value: string): Promise<Response> => rig.ask(route, {}, { headers: { "x-flowlayer-explain": value } });
    const { error } = await expectError(await ask("yes"), { status: 400, code: "invalid_header" });
    expect(error.param).toBe("X-FlowLayer-Explain");
    noCalls();
    expect(await (await ask("False")).json()).toHaveProperty("choices");
  });

  test("takes the scope `chat`", async () => {
    const route = await rig.route({ key: { scopes: ["models"] } });
    expect((await rig.ask(route, {}, { headers: HEADERS })).status).toBe(403);
  });
});
