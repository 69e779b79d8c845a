/** The Responses door over HTTP: shapes, streams, conversations that are stored, approval, errors and breaks. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, type RouteSpec, sharedChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { readStream } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: ChatRig;
let chat: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  chat = await rig.route({ providers: ["groq"] });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

type Json = Readonly<Record<string, unknown>>;

const call = (route: TestRoute, path: string, method = "GET", body?: object): Promise<Response> =>
  rig.worker.fetch(`/v1/responses${path}`, {
    method,
    headers: rig.headers(route),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const ask = (route: TestRoute, body: object = {}): Promise<Response> =>
  call(route, "", "POST", { model: route.model, input: "Hello.", ...body });

const askFor = async (route: TestRoute, body: object = {}): Promise<Json> => {
  const response = await ask(route, body);
  expect(response.status).toBe(200);
  return (await response.json()) as Json;
};

const sentBody = (): Json => JSON.parse(rig.upstream.calls.at(-1)?.body ?? "{}") as Json;

const LOOKUP = { type: "function", name: "lookup", parameters: { type: "object", properties: {} } };

describe("tools inside the input", () => {
  const offer = (...tools: readonly object[]): object => ({ type: "additional_tools", role: "developer", tools });
  const exec = { type: "custom", name: "exec", description: "Runs code" };
  const hello = { type: "message", role: "user", content: [{ type: "input_text", text: "Go." }] };

  test("at its start they are the request's tools, namespaces included, and calls come back in theirs", async () => {
    const toolCalls = [{ id: "call_1", name: "functions__exec", arguments: '{"input":"1 + 1"}' }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const input = [offer({ type: "namespace", name: "functions", description: "", tools: [exec] }, LOOKUP), hello];
    const answer = await askFor(chat, { input });
    const { tools, messages } = sentBody();
    expect(tools).toMatchObject([
      { type: "function", function: { name: "functions__exec" } },
      { type: "function", function: { name: "lookup" } },
    ]);
    expect(messages).toEqual([{ role: "user", content: "Go." }]);
    expect(answer["output"]).toMatchObject([
      { type: "custom_tool_call", namespace: "functions", name: "exec", input: "1 + 1" },
    ]);
  });

  test("in its middle they are refused where the target cannot have them, and never left out", async () => {
    const response = await ask(chat, { input: [hello, offer(LOOKUP)] });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("no_capable_target");
    expect(error.message).toContain("input[1].additional_tools");
    expect(rig.upstream.calls).toHaveLength(0);
  });
});

describe("whole answers", () => {
  test("a chat target answers as a response, with usage, flow and a trace of this door", async () => {
    rig.upstream.script({ json: completion({ text: "It is sunny." }) });
    const response = await ask(chat, { instructions: "Be brief.", metadata: { a: "b" }, previous_response_id: null });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      object: "response",
      status: "completed",
      instructions: "Be brief.",
      metadata: { a: "b" },
      store: true,
      output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "It is sunny." }] }],
      usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
      flow: { route: chat.model, provider: "groq" },
    });
    expect(sentBody()["messages"]).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hello." },
    ]);
    expect(await rig.trace(chat, response)).toMatchObject({ api: "responses", status: "ok" });
  });

  test("usage that the provider left out is counted, in this door's words", async () => {
    rig.upstream.script({ json: completion({ usage: null }) });
    const { usage } = await askFor(chat);
    expect(usage).toMatchObject({ input_tokens: expect.any(Number), output_tokens: expect.any(Number) });
    expect(usage).not.toHaveProperty("prompt_tokens");
  });

  test("calls keep their exact arguments", async () => {
    const text = '{"b":1.0,"id":9007199254740993123}';
    rig.upstream.script({ json: completion({ toolCalls: [{ id: "call_1", name: "lookup", arguments: text }] }) });
    const { output } = await askFor(chat, { tools: [LOOKUP] });
    expect(output).toMatchObject([{ type: "function_call", call_id: "call_1", name: "lookup", arguments: text }]);
  });

  test("members of a namespace are flat upstream and come back as they were declared", async () => {
    const tools = [{ type: "namespace", name: "crm", description: "Customers", tools: [LOOKUP] }];
    const toolCalls = [{ id: "call_1", name: "crm__lookup", arguments: "{}" }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const { output } = await askFor(chat, { tools });
    expect(sentBody()["tools"]).toMatchObject([{ function: { name: "crm__lookup" } }]);
    expect(output).toMatchObject([{ type: "function_call", namespace: "crm", name: "lookup" }]);
    rig.upstream.script({ events: chunks("", { toolCalls }) });
    const { text } = await readStream(await ask(chat, { tools, stream: true }));
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.items).toMatchObject([{ type: "function_call", namespace: "crm", name: "lookup" }]);
  });
});

describe("streams", () => {
  test("text is the whole protocol, with flow in the last event", async () => {
    rig.upstream.script({ events: chunks("It is sunny.") });
    const { text, isBroken } = await readStream(await ask(chat, { stream: true }));
    expect(isBroken).toBe(false);
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.response).toMatchObject({
      status: "completed",
      usage: { output_tokens: 5 },
      flow: { route: chat.model, provider: "groq", attempts: 1, trace_id: expect.stringMatching(/^tr_/) },
    });
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("usage that the provider left out is counted, as in whole answers", async () => {
    rig.upstream.script({ events: chunks("It is sunny.", { usage: null }) });
    const response = await ask(chat, { stream: true });
    const { response: last } = readProtocol((await readStream(response)).text);
    const { usage } = await rig.trace(chat, response);
    expect(usage).toMatchObject({ source: "counted" });
    expect(last?.["usage"]).toMatchObject({
      ...{ input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens },
      total_tokens: usage.prompt_tokens + usage.completion_tokens,
    });
  });

  test("calls keep their exact arguments", async () => {
    const args = '{"b":1.0,"id":9007199254740993123}';
    rig.upstream.script({ events: chunks("", { toolCalls: [{ id: "call_1", name: "lookup", arguments: args }] }) });
    const { text } = await readStream(await ask(chat, { stream: true, tools: [LOOKUP] }));
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.items).toMatchObject([{ type: "function_call", call_id: "call_1", name: "lookup", arguments: args }]);
  });

  test("a break is response.failed, [DONE] and a normal end", async () => {
    rig.upstream.script({
      events: chunks("It is half", { finish: null, done: false, usage: null }),
      end: "reset",
      gapMs: 5,
    });
    const { text, isBroken } = await readStream(await ask(chat, { stream: true }));
    expect(isBroken).toBe(false);
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.types.at(-1)).toBe("response.failed");
    expect(read.response).toMatchObject({
      status: "failed",
      error: { code: "server_error" },
      flow: { code: "stream_interrupted", trace_id: expect.stringMatching(/^tr_/) },
    });
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });
});

describe("conversations", () => {
  test("go on by previous_response_id, and over a change of provider", async () => {
    const pair = await rig.route({ providers: ["together", "groq"], policy: { retry: { same_target: 0 } } });
    const [first = "", second = ""] = pair.models;
    rig.upstream.scriptFor(first, { json: completion({ text: "One." }) });
    const one = await askFor(pair, { input: "Count.", instructions: "Only for this turn." });
    rig.upstream.scriptFor(first, { status: 500, json: { error: { message: "down" } } });
    rig.upstream.scriptFor(second, { events: chunks("Two.") });
    const streamed = await ask(pair, { input: "Go on.", previous_response_id: one["id"], stream: true });
    const two = readProtocol((await readStream(streamed)).text);
    expect(two.faults).toEqual([]);
    expect(two.response).toMatchObject({ previous_response_id: one["id"], flow: { provider: "groq", fallback: true } });
    rig.upstream.scriptFor(second, { json: completion({ text: "Three." }) });
    await askFor(pair, { input: "And on.", previous_response_id: two.response?.["id"] });
    expect(sentBody()["messages"]).toEqual([
      { role: "user", content: "Count." },
      { role: "assistant", content: "One." },
      { role: "user", content: "Go on." },
      { role: "assistant", content: "Two." },
      { role: "user", content: "And on." },
    ]);
  });

  test("items are referred to by their id, as the AI SDK does", async () => {
    const toolCalls = [{ id: "call_1", name: "lookup", arguments: '{"id":1}' }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const [item] = (await askFor(chat, { tools: [LOOKUP] }))["output"] as Json[];
    rig.upstream.script({ json: completion() });
    await askFor(chat, {
      tools: [LOOKUP],
      input: [
        { role: "user", content: "Hello." },
        { type: "item_reference", id: item?.["id"] },
        { type: "function_call_output", call_id: "call_1", output: "found" },
      ],
    });
    expect(sentBody()["messages"]).toMatchObject([
      { role: "user" },
      { role: "assistant", tool_calls: [{ id: "call_1", function: { name: "lookup", arguments: '{"id":1}' } }] },
      { role: "tool", tool_call_id: "call_1", content: "found" },
    ]);
  });

  test("a response is read, listed and deleted by its key, and by no other", async () => {
    rig.upstream.script({ json: completion({ text: "Kept." }) });
    const { flow: _, ...own } = await askFor(chat, { input: [{ role: "user", content: "Keep it." }] });
    const path = `/${String(own["id"])}`;
    expect(await (await call(chat, path)).json()).toEqual(own);
    const items = (await (await call(chat, `${path}/input_items`)).json()) as Json;
    expect(items).toMatchObject({
      object: "list",
      data: [{ type: "message", role: "user", content: [{ type: "input_text", text: "Keep it." }] }],
      has_more: false,
    });
    const [listed] = items["data"] as Json[];
    // No item of the output has the same id, and it can be referred to.
    expect((own["output"] as Json[]).map(({ id }) => id)).not.toContain(listed?.["id"]);
    await askFor(chat, { input: [{ type: "item_reference", id: listed?.["id"] }], store: false });
    expect(sentBody()["messages"]).toMatchObject([{ role: "user", content: "Keep it." }]);
    const other = await rig.route({ providers: ["groq"] });
    for (const [method, below] of [
      ["GET", ""],
      ["DELETE", ""],
      ["GET", "/input_items"],
    ] as const) {
      const refused = await call(other, path + below, method);
      expect(refused.status).toBe(404);
      expect(await refused.json()).toMatchObject({ error: { code: "response_not_found" } });
    }
    const foreign = await ask(other, { previous_response_id: own["id"] });
    expect(foreign.status).toBe(404);
    expect(await foreign.json()).toMatchObject({
      error: { code: "response_not_found", param: "previous_response_id", message: /[Ss]end the whole input/ },
    });
    expect(await (await call(chat, path, "DELETE")).json()).toMatchObject({ id: own["id"], deleted: true });
    expect((await call(chat, path)).status).toBe(404);
  });

  test("what the client or the policy forbids to keep is not kept, and says so", async () => {
    rig.upstream.script({ json: completion() });
    const forbidden = await askFor(chat, { store: false });
    expect(forbidden).toMatchObject({ store: false });
    expect(forbidden["flow"]).not.toHaveProperty("stored");
    expect((await call(chat, `/${String(forbidden["id"])}`)).status).toBe(404);
    const spec: RouteSpec = { providers: ["groq"], policy: { responses: { store: false } } };
    const closed = await rig.route(spec);
    const answer = await askFor(closed);
    expect(answer).toMatchObject({ store: false, flow: { stored: false } });
    expect((await call(closed, `/${String(answer["id"])}`)).status).toBe(404);
    rig.upstream.script({ events: chunks("Not kept.") });
    const read = readProtocol((await readStream(await ask(closed, { stream: true }))).text);
    expect(read.faults).toEqual([]);
    expect(read.response).toMatchObject({ store: false, flow: { stored: false } });
  });

  test("a response above 8 MiB is not kept, and says so", async () => {
    rig.upstream.script({ json: completion({ text: "x".repeat(8 * 1024 * 1024) }) });
    expect(await askFor(chat)).toMatchObject({ store: false, flow: { stored: false } });
  });
});

test("with FLOW_RESPONSES_STORE=0 nothing is kept, and references are refused with the client's switch", async () => {
  const off = await startChatRig({ FLOW_RESPONSES_STORE: "0" });
  try {
    const route = await off.route({ providers: ["groq"] });
    off.upstream.script({ json: completion() });
    const post = (body: object) =>
      off.worker.fetch("/v1/responses", {
        method: "POST",
        headers: off.headers(route),
        body: JSON.stringify({ model: route.model, input: "Hello.", ...body }),
      });
    expect(await (await post({})).json()).toMatchObject({ store: false, flow: { stored: false } });
    for (const body of [{ previous_response_id: "resp_1" }, { input: [{ type: "item_reference", id: "msg_1" }] }]) {
      const response = await post(body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining("`store: false`") } });
    }
  } finally {
    await off.stop();
  }
});

describe("errors", () => {
  test.each([
    ["background", { background: true }, 400, "invalid_request", "background"],
    ["conversation", { conversation: "conv_1" }, 400, "invalid_request", "conversation"],
    ["no input", { input: undefined }, 400, "invalid_request", "input"],
    ["an empty input", { input: [] }, 400, "invalid_request", "input"],
    ["an item that is none", { input: [7] }, 400, "invalid_request", "input[0]"],
    ["a result of no call", { input: [{ type: "function_call_output" }] }, 400, "invalid_request", "input[0].call_id"],
    ["max_output_tokens 0", { max_output_tokens: 0 }, 400, "invalid_request", "max_output_tokens"],
    ["an unknown route", { model: "flow/nowhere" }, 400, "unknown_route", "model"],
    ["twin tools", { tools: [LOOKUP, LOOKUP] }, 400, "invalid_request", "tools[1]"],
    ["an unknown control", { route: { fallbak: true } }, 400, "invalid_request", null],
    ["an unknown response", { previous_response_id: "resp_x" }, 404, "response_not_found", "previous_response_id"],
    ["an unknown item", { input: [{ type: "item_reference", id: "x" }] }, 404, "response_not_found", "input"],
  ] as const)("%s", async (_name, body, status, code, param) => {
    const response = await ask(chat, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, ...(param === null ? {} : { param }) } });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("a duplicate key is refused", async () => {
    const body = `{"model":"${chat.model}","input":"a","input":"b"}`;
    const response = await rig.worker.fetch("/v1/responses", { method: "POST", headers: rig.headers(chat), body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: "input" } });
  });

  test("a provider's outage has OpenAI's shape", async () => {
    rig.upstream.script({ status: 500, json: { error: { message: "boom" } } });
    const response = await ask(chat);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ error: { type: "upstream_error", code: "upstream_failed" } });
  });

  test("compaction is refused with the client's switch, and tokens are estimated", async () => {
    const compact = await call(chat, "/compact", "POST", { model: chat.model, input: "Hello." });
    expect(compact.status).toBe(404);
    expect(await compact.json()).toMatchObject({ error: { message: expect.stringContaining("Codex") } });
    const counted = await call(chat, "/input_tokens", "POST", { input: "Hello, you.", instructions: null });
    expect(counted.headers.get("x-flowlayer-token-count")).toBe("estimated");
    expect(await counted.json()).toMatchObject({ object: "response.input_tokens", input_tokens: expect.any(Number) });
    expect(rig.upstream.calls).toHaveLength(0);
  });
});

describe("approval", () => {
  const gate = (tools: object = {}): Promise<TestRoute> =>
    rig.route({ providers: ["groq"], policy: { tools: { require_approval: true, wait_ms: 0, ...tools } } });

  test("a result of a call nobody approved is refused before any provider is asked", async () => {
    const response = await ask(await gate(), {
      input: [
        { role: "user", content: "Hello." },
        { type: "function_call", call_id: "call_9", name: "lookup", arguments: "{}" },
        { type: "function_call_output", call_id: "call_9", output: "done" },
      ],
    });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ error: { code: "tool_approval_required" } });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("a held call is a message and flow.tool_approval, whole and streamed, and goes on once it is approved", async () => {
    const gated = await gate();
    const toolCalls = [{ id: "call_h", name: "lookup", arguments: '{"a":1.0}' }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const held = await askFor(gated, { tools: [LOOKUP] });
    expect(held).toMatchObject({
      status: "completed",
      output: [{ type: "message" }],
      flow: { tool_approval: { status: "pending" } },
    });
    rig.upstream.script({ events: chunks("", { toolCalls: [{ ...toolCalls[0]!, id: "call_s" }] }) });
    const { text } = await readStream(await ask(gated, { tools: [LOOKUP], stream: true }));
    const streamed = readProtocol(text);
    expect(streamed.faults).toEqual([]);
    expect(streamed.types.at(-1)).toBe("response.completed");
    expect(streamed.response).toMatchObject({
      output: [{ type: "message" }],
      flow: { tool_approval: { status: "pending" } },
    });
    const { tool_approval: approval } = held["flow"] as { tool_approval: { trace_id: string; ids: string[] } };
    const approver = await rig.worker.createKey({ scopes: ["approvals:decide"] });
    const decided = await rig.worker.fetch(`/v1/approvals/${approval.ids[0]}?key=${gated.keyId}`, {
      method: "POST",
      headers: { authorization: `Bearer ${approver.key}`, "content-type": "application/json" },
      body: JSON.stringify({ decision: "approve" }),
    });
    expect(decided.status).toBe(200);
    const resumed = await askFor(gated, { tools: [LOOKUP], route: { resume: approval.trace_id } });
    expect(resumed).toMatchObject({
      id: held["id"],
      output: [{ type: "function_call", call_id: "call_h", arguments: '{"a":1.0}' }],
      usage: { input_tokens: 0, output_tokens: 0 },
    });
  });

  test("rules see members of namespaces as <namespace>.<name>", async () => {
    const gated = await gate({ auto_approve: ["crm.*"] });
    const toolCalls = [{ id: "call_n", name: "crm__lookup", arguments: "{}" }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const tools = [{ type: "namespace", name: "crm", tools: [LOOKUP] }];
    const { output } = await askFor(gated, { tools });
    expect(output).toMatchObject([{ type: "function_call", namespace: "crm", name: "lookup" }]);
    rig.upstream.script({ json: completion() });
    await askFor(gated, {
      tools,
      input: [
        { role: "user", content: "Hello." },
        ...(output as Json[]),
        { type: "function_call_output", call_id: "call_n", output: "found" },
      ],
    });
  });
});
