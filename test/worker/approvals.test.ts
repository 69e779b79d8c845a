/** Tool calls that wait for approval: recorded, held, decided, released, fetched later; and what faults do to them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, chatBody, expectError, startChatRig, type TestRoute } from "../support/chat.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { collect, eventData, textOf } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

/** Before the product: counts calls of the records, lets chosen ones fail, and resets a record on demand. */
const FRONT = `
import app, { ToolApprovals as Product } from "./index.js";
export * from "./index.js";
let failing = [];
const flaky = (planes) => ({
  getByName: (name) => ({
    noteApprovals: async (notes) => {
      if (failing.includes("noteApprovals")) throw new Error("broken by the test");
      return planes.getByName(name).noteApprovals(notes);
    },
  }),
});
export class ToolApprovals extends Product {
  constructor(ctx, env) { super(ctx, { ...env, CONTROL_PLANE: flaky(env.CONTROL_PLANE) }); }
  async reset() { this.ctx.abort("reset by the test"); }
}
const calls = [];
const faulty = (stub) => new Proxy(stub, {
  get: (target, method) => async (...parameters) => {
    calls.push(method);
    if (failing.includes(method)) throw new Error("broken by the test");
    return target[method](...parameters);
  },
});
export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/calls") return Response.json(calls.splice(0));
    if (url.pathname === "/fail") { failing = await request.json(); return new Response(); }
    if (url.pathname === "/reset") {
      await env.TOOL_APPROVALS.getByName(url.searchParams.get("key")).reset().catch(() => {});
      return new Response();
    }
    const records = { getByName: (name) => faulty(env.TOOL_APPROVALS.getByName(name)) };
    return app.fetch(request, { ...env, TOOL_APPROVALS: records }, context);
  },
};
`;

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({}, FRONT);
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());
afterEach(() => {
  expect(rig.worker.logs()).not.toMatch(/unexpected_error|unhandled/i);
});

interface Approval {
  readonly tool_call_id: string;
  readonly status: string;
  readonly key_id: string;
  readonly [member: string]: unknown;
}

interface Whole {
  readonly choices: readonly {
    readonly message: { readonly content: string | null; readonly tool_calls?: readonly { readonly id: string }[] };
    readonly finish_reason: string;
  }[];
  readonly usage: object;
  readonly flow: {
    readonly tool_approval?: { readonly status: string; readonly trace_id: string };
    readonly attempts: number;
  };
}

const SEND = { id: "call_1", name: "send_money", arguments: '{"to": "mallory", "amount": 1.0}' };
const SEARCH = { id: "call_2", name: "search", arguments: '{"q":"x"}' };
const BOTH = [SEND, SEARCH];
const tools = BOTH.map(({ name }) => ({ type: "function", function: { name } }));
const COMMENT = ": waiting-for-approval\n\n";

/** Patient enough that only a decision ends the wait. */
const gated = (rules: object = {}, key: Readonly<Record<string, unknown>> = {}): Promise<TestRoute> =>
  rig.route({ policy: { tools: { require_approval: true, wait_ms: 15_000, ...rules } }, key });
const impatient = (): Promise<TestRoute> => gated({ wait_ms: 0 });

async function listed(route: TestRoute, status = "pending"): Promise<Approval[]> {
  const list = await rig.worker.admin(`/admin/approvals?status=${status}&key=${route.keyId}`);
  expect(list.status).toBe(200);
  return ((await list.json()) as { data: Approval[] }).data;
}

const decide = (route: TestRoute, id: string, decision: string): Promise<Response> =>
  rig.worker.admin(`/admin/approvals/${id}?key=${route.keyId}`, { body: { decision, reason: "by the test" } });

/** Waits until the calls are listed, and decides them. */
async function decideAll(route: TestRoute, decisions: Readonly<Record<string, string>>): Promise<void> {
  const count = Object.keys(decisions).length;
  await expect.poll(async () => (await listed(route)).length, { timeout: 3_000, interval: 20 }).toBe(count);
  for (const [id, decision] of Object.entries(decisions)) expect((await decide(route, id, decision)).status).toBe(200);
}

/** As after an eviction: the record loses what it had only in memory. */
async function reset(route: TestRoute): Promise<void> {
  await (await rig.worker.fetch(`/reset?key=${route.keyId}`)).text();
}

/** The result of `SEND`, changed by `more`. */
function sendResult(route: TestRoute, more: Partial<typeof SEND>): Promise<Response> {
  const { id, name, arguments: text } = { ...SEND, ...more };
  rig.upstream.script({ json: completion({ text: "Done." }) });
  const calls = [{ id, type: "function", function: { name, arguments: text } }];
  const messages = [
    { role: "assistant", tool_calls: calls },
    { role: "tool", tool_call_id: id, content: "1" },
  ];
  return rig.ask(route, { messages });
}

const choicesOf = (body: object): unknown => (body as Whole).choices;

const expectNothingOf = (text: string, ...parts: string[]): void => {
  for (const part of parts) expect(text).not.toContain(part);
};

describe("held answers", () => {
  test("a whole answer is released unchanged once its calls are approved", async () => {
    const route = await gated();
    const answer = completion({ text: "On it.", toolCalls: BOTH });
    rig.upstream.script({ json: answer });
    const asked = rig.ask(route, { tools });
    await decideAll(route, { call_1: "approve", call_2: "approve" });
    const response = await asked;
    expect(response.headers.get("x-flowlayer-tool-approval")).toBe("approved");
    const text = await response.text();
    expect(text.startsWith(JSON.stringify(answer).slice(0, -1))).toBe(true);
    expect((JSON.parse(text) as Whole).flow.tool_approval).toMatchObject({ status: "approved" });
    expect(rig.calls(route)).toEqual([1, 0]);
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok", tool_calls: ["send_money", "search"] });
  });

  test("a stream sends its text at once and its calls, byte for byte, once they are approved", async () => {
    const route = await gated();
    const events = chunks("On it. ", { toolCalls: [SEND] });
    rig.upstream.script({ events, sliceBytes: 23 });
    const response = await rig.ask(route, { stream: true, stream_options: { include_usage: true }, tools });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes(COMMENT)) text += (await reader.read()).value ?? "";
    expect(collect(text)).toMatchObject({ text: "On it. ", toolCalls: [], finishReason: null });
    expectNothingOf(text, "send_money", "mallory", "call_1");
    await decideAll(route, { call_1: "approve" });
    for (let read = await reader.read(); !read.done; read = await reader.read()) text += read.value;
    expect(text.replaceAll(COMMENT, "")).toBe(events.join(""));
    const trace = await rig.trace(route, response);
    expect(trace.status).toBe("ok");
    // The wait is the approver's, not the provider's.
    expect(trace.attempts[0]!.duration_ms).toBeLessThanOrEqual(trace.latency.total_ms);
  });

  test.each([
    { name: "one of two", decisions: { call_1: "deny", call_2: "approve" }, left: ["call_2"], finish: "tool_calls" },
    { name: "all", decisions: { call_1: "deny", call_2: "deny" }, left: [], finish: "stop" },
  ])("$name denied: what is denied is removed and named, whole and streamed", async ({ decisions, left, finish }) => {
    for (const stream of [false, true]) {
      const route = await gated();
      const spec = { toolCalls: BOTH };
      rig.upstream.script(
        stream ? { events: chunks("On it.", spec) } : { json: completion({ text: "On it.", ...spec }) },
      );
      const asked = rig.ask(route, { tools, stream });
      await decideAll(route, decisions);
      const text = await (await asked).text();
      expectNothingOf(text, "mallory");
      const all = collect(stream ? text : asStream(text));
      expect(all.toolCalls.map(({ id }) => id)).toEqual(left);
      expect(all.finishReason).toBe(finish);
      expect(all.text).toMatch(/^On it\.\n\n\[The Flow Layer removed .*denied: `send_money`/);
    }
  });

  test.each([{ stream: false }, { stream: true }])(
    "time is up: nothing is released, and the step is named (%j)",
    async ({ stream }) => {
      const route = await impatient();
      const spec = { toolCalls: BOTH };
      rig.upstream.script(
        stream ? { events: chunks("On it.", spec) } : { json: completion({ text: "On it.", ...spec }) },
      );
      const response = await rig.ask(route, {
        tools,
        stream,
        ...(stream ? { stream_options: { include_usage: true } } : {}),
      });
      const text = await response.text();
      expectNothingOf(text, "mallory", '"tool_calls":[{"index"', '"function"');
      const all = collect(stream ? text : asStream(text));
      expect(all).toMatchObject({ finishReason: "stop", toolCalls: [], error: null });
      expect(all.text).toMatch(/^On it\.\n\n\[The Flow Layer withheld .*`send_money`, `search`.*"resume": "tr_/);
      const last = JSON.parse(stream ? (eventData(text).at(-2) ?? "") : text) as Whole;
      expect(last.flow.tool_approval).toMatchObject({
        status: "pending",
        trace_id: response.headers.get("x-request-id"),
        ids: ["call_1", "call_2"],
        calls: [{ id: "call_1", name: "send_money", status: "pending" }, { id: "call_2" }],
      });
      if (!stream) expect(response.headers.get("x-flowlayer-tool-approval")).toBe("pending");
      expect(await rig.trace(route, response)).toMatchObject({ status: "ok", tool_calls: ["send_money", "search"] });
    },
  );

  test("the list shows what is asked for, with everything a decision needs", async () => {
    const route = await gated({ wait_ms: 0, ttl_seconds: 600 });
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    const response = await rig.ask(route, { tools }, { headers: { "x-flowlayer-app": "console" } });
    await expect.poll(() => listed(route), { timeout: 2_000, interval: 20 }).toHaveLength(1);
    const [approval] = await listed(route);
    expect(approval).toMatchObject({
      ...{ tool_call_id: "call_1", name: "send_money", arguments: SEND.arguments, status: "pending" },
      arguments_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      ...{ key_id: route.keyId, env: "production", app: "console", route: route.model },
      trace_id: response.headers.get("x-request-id"),
    });
    const { created_at, expires_at } = approval as { created_at?: string; expires_at?: string };
    expect(Date.parse(expires_at ?? "") - Date.parse(created_at ?? "")).toBe(600_000);
    await decide(route, "call_1", "approve");
    const [approved] = await listed(route, "approved");
    expect(approved).toMatchObject({ status: "approved", decided_by: "operator:admin", reason: "by the test" });
    const audit = async (): Promise<string> => await (await rig.worker.admin("/admin/audit")).text();
    await expect.poll(audit, { timeout: 2_000, interval: 20 }).toContain(`tool call call_1 of key ${route.keyId}`);
    expect(await listed(route)).toEqual([]);
  });

  test("a list without arguments says what waits, and leaves no line in the audit", async () => {
    const route = await gated({ wait_ms: 0 });
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    await rig.ask(route, { tools });
    const address = `/admin/approvals?status=pending&key=${route.keyId}&arguments=`;
    type List = { readonly data: readonly Approval[] };
    const read = async (path: string): Promise<List> => (await (await rig.worker.admin(path)).json()) as List;
    const lines = async (): Promise<number> => (await read("/admin/audit?action=approval.read&limit=1000")).data.length;
    const before = await lines();
    const waiting = async (): Promise<unknown> => (await read(`${address}false`)).data;
    await expect
      .poll(waiting, { timeout: 2_000, interval: 20 })
      .toMatchObject([{ name: "send_money", arguments: null }]);
    expect(await lines()).toBe(before);
    expect((await read(`${address}true`)).data).toMatchObject([{ arguments: SEND.arguments }]);
    expect(await lines()).toBe(before + 1);
    expect((await rig.worker.admin(`${address}maybe`)).status).toBe(400);
  });

  test("rules of the policy decide without anybody: deny wins over auto_approve", async () => {
    const route = await gated({ auto_approve: ["se*"], deny: ["*_money"] });
    rig.upstream.script({ json: completion({ toolCalls: BOTH }) });
    const body = (await (await rig.ask(route, { tools })).json()) as Whole;
    expect(body.choices[0]?.message.tool_calls?.map(({ id }) => id)).toEqual(["call_2"]);
    expect(body.choices[0]?.message.content).toContain("denied: `send_money`");
  });

  test("a held answer counts for the key's concurrency until it is released", async () => {
    for (const stream of [false, true]) {
      const route = await gated({}, { limits: { concurrency: 1 } });
      const spec = { toolCalls: [SEND] };
      rig.upstream.script(stream ? { events: chunks("", spec) } : { json: completion(spec) });
      const asked = rig.ask(route, { tools, stream });
      await expect.poll(() => listed(route), { timeout: 3_000, interval: 20 }).toHaveLength(1);
      await expectError(await rig.ask(route), { status: 429, code: "rate_limit_exceeded", retry: true });
      await decide(route, "call_1", "approve");
      expect(await (await asked).text()).toContain("mallory");
      rig.upstream.script({ json: completion({ text: "Hello." }) });
      const status = async (): Promise<number> => (await rig.ask(route)).status;
      await expect.poll(status, { timeout: 3_000, interval: 50 }).toBe(200);
    }
  });

  test("a client that leaves ends the wait, and the answer is billed", async () => {
    for (const stream of [false, true]) {
      const route = await gated();
      rig.upstream.script(
        stream ? { events: chunks("", { toolCalls: [SEND] }) } : { json: completion({ toolCalls: [SEND] }) },
      );
      const client = await connectRaw(rig.worker.url);
      const body = JSON.stringify(chatBody(route, { stream, tools }));
      client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), body));
      await expect.poll(async () => (await listed(route)).length, { timeout: 3_000, interval: 20 }).toBe(1);
      client.reset();
      const traces = () => rig.traces(route);
      await expect.poll(traces, { timeout: 3_000, interval: 20 }).toHaveLength(1);
      const [trace] = await traces();
      expect(trace).toMatchObject({ status: "cancelled", usage: { source: "upstream", prompt_tokens: 10 } });
      expect((await decide(route, "call_1", "approve")).status).toBe(200);
    }
  });

  test("ids that are missing, doubled or used before get one of ours, and are released with it", async () => {
    const route = await gated({ auto_approve: ["*"] });
    const again = [SEND, { ...SEARCH, id: "call_1" }, { ...SEARCH, id: "" }];
    for (const stream of [false, true]) {
      for (const round of [1, 2]) {
        rig.upstream.script(
          stream ? { events: chunks("", { toolCalls: again }) } : { json: completion({ toolCalls: again }) },
        );
        const text = await (await rig.ask(route, { tools, stream })).text();
        const ids = collect(stream ? text : asStream(text)).toolCalls.map(({ id }) => id);
        expect(new Set(ids).size).toBe(3);
        const isFirst = round === 1 && !stream;
        for (const id of isFirst ? ids.slice(1) : ids) expect(id).toMatch(/^call_[0-9A-Za-z]{24}$/);
        if (isFirst) expect(ids[0]).toBe("call_1");
      }
    }
  });
});

/** A whole answer as the events that say the same, for `collect`. */
function asStream(text: string): string {
  const { choices } = JSON.parse(text) as { choices: { message: { tool_calls?: object[] }; finish_reason: string }[] };
  const events = choices.map(({ message, finish_reason }) => ({
    choices: [
      {
        index: 0,
        delta: { ...message, tool_calls: message.tool_calls?.map((call, index) => ({ index, ...call })) },
        finish_reason,
      },
    ],
  }));
  return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
}

describe("mark", () => {
  test.each([{ stream: false }, { stream: true }])(
    "calls are released at once, recorded and marked (%j)",
    async ({ stream }) => {
      const route = await gated({ delivery: "mark", deny: ["search"] });
      rig.upstream.script(
        stream ? { events: chunks("On it.", { toolCalls: BOTH }) } : { json: completion({ toolCalls: BOTH }) },
      );
      const response = await rig.ask(route, { tools, stream });
      expect(response.headers.get("x-flowlayer-tool-approval")).toBe(stream ? "required" : "pending");
      const text = await response.text();
      expect(collect(stream ? text : asStream(text)).toolCalls).toMatchObject([
        { id: "call_1", arguments: SEND.arguments },
      ]);
      const last = JSON.parse(stream ? (eventData(text).at(-2) ?? "") : text) as Whole;
      expect(last.flow.tool_approval).toMatchObject({ status: "pending", ids: ["call_1"] });
      await expect.poll(() => listed(route), { timeout: 2_000, interval: 20 }).toHaveLength(1);
    },
  );
});

describe("a step that was held", () => {
  const MESSAGES = [
    { role: "system", content: "It is 12:00." },
    { role: "user", content: "Pay." },
  ];
  /** Asks, is put off, and gives the trace id to come back with. */
  async function hold(route: TestRoute, stream: boolean): Promise<string> {
    rig.upstream.script(
      stream
        ? { events: chunks("On it.", { toolCalls: BOTH }) }
        : { json: completion({ text: "On it.", toolCalls: BOTH }) },
    );
    const response = await rig.ask(route, { tools, stream, messages: MESSAGES });
    await response.text();
    await expect.poll(() => listed(route), { timeout: 2_000, interval: 20 }).toHaveLength(2);
    rig.upstream.reset();
    return response.headers.get("x-request-id") ?? "";
  }
  const again = (route: TestRoute, resume: string, body: object = {}): Promise<Response> =>
    rig.ask(route, { tools, messages: MESSAGES, ...body, route: { resume } });

  test.each([
    { held: false, asked: false },
    { held: false, asked: true },
    { held: true, asked: false },
    { held: true, asked: true },
  ])("is answered from the record, nobody is asked and nothing billed (streams: %j)", async ({ held, asked }) => {
    const route = await impatient();
    const traceId = await hold(route, held);
    await decide(route, "call_1", "approve");
    await decide(route, "call_2", "deny");
    const changed = [{ role: "system", content: "It is 12:05." }, MESSAGES[1]];
    const more = { messages: changed, stream: asked, ...(asked ? { stream_options: { include_usage: true } } : {}) };
    const response = await again(route, traceId, more);
    const text = await response.text();
    const all = collect(asked ? text : asStream(text));
    expect(all).toMatchObject({ finishReason: "tool_calls", error: null, isDone: asked, usageEvents: asked ? 1 : 0 });
    expect(all.text).toMatch(/^On it\.\n\n.*denied: `search`\]$/);
    expect(all.toolCalls).toEqual([SEND]);
    expect(rig.calls(route)).toEqual([0, 0]);
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok", cost_usd: 0, attempts: [] });
  });

  test("waits again while it is pending, and is released when it is decided", async () => {
    const route = await impatient();
    const traceId = await hold(route, false);
    const early = (await (await again(route, traceId)).json()) as Whole;
    expect(early.flow.tool_approval).toMatchObject({ status: "pending", trace_id: traceId });
    await rig.worker.putRoute("production", route.model.slice(5), {
      targets: [{ provider: "openai", model: route.models[0] }],
      tools: { require_approval: true, wait_ms: 10_000 },
    });
    const asked = again(route, traceId);
    await decideAll(route, { call_1: "approve", call_2: "approve" });
    const late = (await (await asked).json()) as Whole;
    expect(late.choices[0]?.message.tool_calls).toHaveLength(2);
  });

  test("is nobody else's, and no other step", async () => {
    const route = await impatient();
    const other = await rig.route({ policy: { tools: { require_approval: true } } });
    const traceId = await hold(route, false);
    const stranger = { ...route, key: other.key, keyId: other.keyId };
    await expectError(await again(stranger, traceId), { status: 404, code: "unknown_trace" });
    const invented = traceId.slice(0, -12) + "A".repeat(12);
    await expectError(await again(route, invented), { status: 404, code: "unknown_trace" });
    for (const messages of [MESSAGES.slice(1), [MESSAGES[0], { role: "user", content: "Pay twice." }]]) {
      const refused = await again(route, traceId, { messages });
      await expectError(refused, { status: 400, code: "invalid_request" });
    }
    const onOther = { ...other, key: route.key };
    await expectError(await again(onOther, traceId), { status: 400, code: "invalid_request" });
    expect(rig.upstream.calls).toEqual([]);
  });
});

describe("keys that decide", () => {
  const decider = (more: object = {}) => rig.worker.createKey({ scopes: ["chat", "approvals:decide"], ...more });
  const as = (key: { readonly key: string }, path: string, body?: object): Promise<Response> =>
    rig.worker.fetch(path, {
      headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
  async function waiting(key: Readonly<Record<string, unknown>> = {}): Promise<TestRoute> {
    const route = await gated({ wait_ms: 0 }, key);
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    await (await rig.ask(route, { tools })).text();
    await expect.poll(() => listed(route), { timeout: 2_000, interval: 20 }).toHaveLength(1);
    return route;
  }
  const at = (route: TestRoute): string => `/v1/approvals/call_1?key=${route.keyId}`;

  test("see and decide the calls of other keys; the same decision twice is the same answer, another one is refused", async () => {
    const route = await waiting({ apps: ["console"] });
    const key = await decider({ apps: ["console", "other"] });
    const list = (await (await as(key, "/v1/approvals?status=pending")).json()) as { object: string; data: Approval[] };
    expect(list.object).toBe("list");
    expect(list.data).toContainEqual(
      expect.objectContaining({ tool_call_id: "call_1", key_id: route.keyId, app: "console" }),
    );
    for (let round = 0; round < 2; round++) {
      const response = await as(key, at(route), { decision: "approve", reason: "fine" });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ status: "approved", decided_by: `key:${key.id}`, reason: "fine" });
    }
    const other = await as(key, at(route), { decision: "deny" });
    await expectError(other, { status: 409, code: "approval_decided" });
    await expectError(await decide(route, "call_1", "deny"), { status: 409, code: "approval_decided" });
  });

  test("decide none of their own, and know none of other environments or apps", async () => {
    const scopes = ["chat", "approvals:decide"];
    const own = await waiting({ scopes, apps: ["console"] });
    await expectError(await as(own, at(own), { decision: "approve" }), { status: 403, code: "scope_required" });
    for (const more of [{ env: "staging" }, { apps: ["elsewhere"] }]) {
      const stranger = await decider(more);
      await expectError(await as(stranger, at(own), { decision: "approve" }), { status: 404, code: "not_found" });
      expect(await (await as(stranger, "/v1/approvals")).text()).not.toContain(own.keyId);
    }
    const plain = await rig.worker.createKey();
    await expectError(await as(plain, at(own), { decision: "approve" }), { status: 403, code: "scope_required" });
    await expectError(await as(plain, "/v1/approvals"), { status: 403, code: "scope_required" });
    expect((await listed(own))[0]).toMatchObject({ status: "pending" });
  });

  test("an id that several keys have needs the key, too", async () => {
    const [one, two] = [await waiting({ apps: ["shared"] }), await waiting({ apps: ["shared"] })];
    const key = await decider({ apps: ["shared"] });
    const refused = await as(key, "/v1/approvals/call_1", { decision: "deny" });
    const { error } = await expectError(refused, { status: 400, code: "invalid_request" });
    expect(error.param).toBe("key");
    for (const route of [one, two]) expect(error.message).toContain(route.keyId);
    expect((await as(key, at(two), { decision: "deny" })).status).toBe(200);
    expect(await listed(one)).toHaveLength(1);
    expect(await listed(two)).toHaveLength(0);
  });

  test("an id that is also of a call of its own needs the key, too", async () => {
    const other = await waiting({ apps: ["mine"] });
    const own = await waiting({ apps: ["mine"], scopes: ["chat", "approvals:decide"] });
    const refused = await as(own, "/v1/approvals/call_1", { decision: "approve" });
    const { error } = await expectError(refused, { status: 400, code: "invalid_request" });
    expect(error.param).toBe("key");
    expect(error.message).toContain(other.keyId);
    expect(error.message).not.toContain(own.keyId);
    for (const route of [own, other]) expect(await listed(route)).toHaveLength(1);
    await expectError(await as(own, at(own), { decision: "approve" }), { status: 403, code: "scope_required" });
    expect((await as(own, at(other), { decision: "approve" })).status).toBe(200);
    expect(await listed(own)).toHaveLength(1);
  });

  test("any id that a provider may give can be decided, and its result comes back under it", async () => {
    const route = await gated({ wait_ms: 0 }, { apps: ["odd"] });
    const ids = ["functions.send:0", "a/b?c=d#e%2F", " ünï 💥\n", "x\u0000y", "-".repeat(1_000)];
    rig.upstream.script({ json: completion({ toolCalls: ids.map((id) => ({ ...SEND, id })) }) });
    await (await rig.ask(route, { tools })).text();
    await expect.poll(() => listed(route), { timeout: 2_000, interval: 20 }).toHaveLength(ids.length);
    const key = await decider({ apps: ["odd"] });
    for (const [at, id] of ids.entries()) {
      const path = `approvals/${encodeURIComponent(id)}`;
      const byOperator = () => rig.worker.admin(`/admin/${path}`, { body: { decision: "approve" } });
      const answer = await (at % 2 === 0 ? as(key, `/v1/${path}`, { decision: "approve" }) : byOperator());
      expect([answer.status, ((await answer.json()) as Approval).tool_call_id]).toEqual([200, id]);
      expect((await sendResult(route, { id })).status).toBe(200);
    }
  });

  test.each([
    { name: "an unknown decision", path: "/call_1", body: { decision: "maybe" }, code: "invalid_request", status: 400 },
    {
      name: "an unknown field",
      path: "/call_1",
      body: { decision: "deny", why: "x" },
      code: "invalid_request",
      status: 400,
    },
    { name: "an unknown call", path: "/call_none", body: { decision: "deny" }, code: "not_found", status: 404 },
    { name: "an unknown status", path: "?status=maybe", code: "invalid_request", status: 400 },
    { name: "an invented cursor", path: "?cursor=x", code: "invalid_request", status: 400 },
  ])("$name is refused, for keys and for operators", async ({ path, body, code, status }) => {
    await expectError(await as(await decider(), `/v1/approvals${path}`, body), { status, code });
    await expectError(await rig.worker.admin(`/admin/approvals${path}`, { body }), { status, code });
  });
});

test("a decision that says two things is refused, for keys and for operators", async () => {
  const { key } = await rig.worker.createKey({ scopes: ["approvals:decide"] });
  const asked = (path: string, token: string): Promise<Response> =>
    rig.worker.fetch(path, {
      ...{ method: "POST", body: '{"decision":"deny","decision":"approve"}' },
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });
  for (const refused of [
    await asked("/v1/approvals/call_1", key),
    await asked("/admin/approvals/call_1", rig.worker.adminToken),
  ]) {
    const { error } = await expectError(refused, { status: 400, code: "invalid_request" });
    expect(error.param).toBe("decision");
  }
});

test("a decision without a key is refused for that, whatever else is wrong with it", async () => {
  const refused = await rig.worker.fetch("/v1/approvals/call_1", { method: "POST", body: "x" });
  await expectError(refused, { status: 401, code: "missing_api_key" });
});

describe("faults", () => {
  const fail = (...methods: string[]) =>
    rig.worker.fetch("/fail", { method: "POST", body: JSON.stringify(methods) }).then((response) => response.text());

  test("calls that cannot be recorded are not released: 503, or the error event in a stream", async () => {
    const route = await gated({ auto_approve: ["*"] });
    await fail("record");
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    const whole = await rig.ask(route, { tools });
    expectNothingOf(await whole.clone().text(), "mallory");
    await expectError(whole, { status: 503, code: "ledger_unavailable", retry: true });
    expect(await rig.trace(route, whole)).toMatchObject({ status: "error", usage: { prompt_tokens: 10 } });
    rig.upstream.script({ events: chunks("On it.", { toolCalls: [SEND] }) });
    const stream = await rig.ask(route, { tools, stream: true });
    const text = await textOf(stream);
    await fail();
    expectNothingOf(text, "mallory");
    expect(collect(text)).toMatchObject({
      text: "On it.",
      toolCalls: [],
      isDone: false,
      error: { code: "stream_interrupted" },
    });
    const trace = await rig.trace(route, stream);
    expect(trace).toMatchObject({ status: "error", error_code: "stream_interrupted", attempts: [{ outcome: "ok" }] });
  });

  test("results are refused while the record does not answer", async () => {
    const route = await rig.route();
    await fail("check");
    const refused = await rig.ask(route, { messages: [{ role: "tool", tool_call_id: "call_1", content: "1" }] });
    await fail();
    await expectError(refused, { status: 503, code: "ledger_unavailable", retry: true });
    expect(rig.calls(route)).toEqual([0, 0]);
  });

  test.each([{ stream: false }, { stream: true }])(
    "a record that is reset while an answer waits costs nothing but a call, and still enforces what was decided (%j)",
    async ({ stream }) => {
      const route = await gated();
      const events = chunks("", { toolCalls: [SEND] });
      const whole = completion({ toolCalls: [SEND] });
      rig.upstream.script(stream ? { events } : { json: whole });
      const asked = rig.ask(route, { tools, stream, stream_options: { include_usage: true } });
      await expect.poll(() => listed(route), { timeout: 3_000, interval: 20 }).toHaveLength(1);
      await reset(route);
      await decideAll(route, { call_1: "approve" });
      await reset(route);
      const text = await (await asked).text();
      if (stream) expect(text.replaceAll(COMMENT, "")).toBe(events.join(""));
      else expect(choicesOf(JSON.parse(text) as object)).toEqual(choicesOf(whole));
      expect((await sendResult(route, {})).status).toBe(200);
      const altered = await sendResult(route, { arguments: "{}" });
      await expectError(altered, { status: 403, code: "tool_call_altered" });
    },
  );

  test("what the control plane does not take is announced again", async () => {
    const route = await gated({ wait_ms: 0 });
    await fail("noteApprovals");
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    await (await rig.ask(route, { tools })).text();
    expect(await listed(route)).toEqual([]);
    await reset(route);
    await fail();
    await expect.poll(() => listed(route), { timeout: 5_000, interval: 50 }).toHaveLength(1);
  });

  test("a key without recorded calls asks once, not per request; one without results never", async () => {
    const route = await rig.route();
    const calls = async (): Promise<string[]> => (await (await rig.worker.fetch("/calls")).json()) as string[];
    await calls();
    await rig.ask(route);
    expect(await calls()).toEqual([]);
    const messages = [{ role: "tool", tool_call_id: "call_1", content: "1" }];
    for (let round = 0; round < 3; round++) expect((await rig.ask(route, { messages })).status).toBe(200);
    expect(await calls()).toEqual(["check"]);
  });

  test("the first call of a key is not kept waiting by results it sent before: gated requests end what isolates believe", async () => {
    const route = await gated({ auto_approve: ["*"] });
    const open = { ...(await rig.route()), key: route.key };
    const messages = [{ role: "tool", tool_call_id: "call_0", content: "1" }];
    rig.upstream.script({ json: completion({ text: "Hello." }) });
    expect((await rig.ask(route, { tools })).status).toBe(200);
    expect((await rig.ask(open, { messages })).status).toBe(200);
    rig.upstream.script({ json: completion({ toolCalls: [SEND] }) });
    const startedAt = performance.now();
    expect(await (await rig.ask(route, { tools })).text()).toContain("mallory");
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect((await sendResult(open, {})).status).toBe(200);
    await expectError(await sendResult(open, { name: "x" }), { status: 403, code: "tool_call_altered" });
  });
});

test("a pending list of very large calls comes page by page, for operators and for keys, and loses none", async () => {
  const route = await impatient();
  const text = JSON.stringify({ text: "x".repeat(1_300_000) });
  const ids = ["large_1", "large_2", "large_3", "large_4", "large_5"];
  for (const id of ids) {
    rig.upstream.script({ json: completion({ toolCalls: [{ id, name: "send_money", arguments: text }] }) });
    expect((await rig.ask(route, { tools })).status).toBe(200);
  }
  await expect.poll(async () => (await listed(route)).length, { timeout: 3_000 }).toBeGreaterThan(0);
  const decider = await rig.worker.createKey({ scopes: ["approvals:decide"] });
  const headers = { authorization: `Bearer ${decider.key}` };
  const pages: [string, (path: string) => Promise<Response>][] = [
    [`/admin/approvals?status=pending&key=${route.keyId}`, (path) => rig.worker.admin(path)],
    ["/v1/approvals?status=pending", (path) => rig.worker.fetch(path, { headers })],
  ];
  for (const [path, get] of pages) {
    const found: string[] = [];
    let cursor = "";
    for (let page = 0; page < 20 && !ids.every((id) => found.includes(id)); page++) {
      const response = await get(`${path}&limit=1000${cursor}`);
      expect(response.status).toBe(200);
      const body = (await response.json()) as { data: Approval[]; next_cursor: string | null };
      const own = body.data.filter((each) => each.key_id === route.keyId);
      for (const each of own) expect(each["arguments"]).toBe(text);
      // Four million characters of arguments, whoever's they are.
      expect(own.length).toBeLessThanOrEqual(3);
      found.push(...own.map(({ tool_call_id }) => tool_call_id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(found.toSorted()).toEqual(ids);
  }
});
