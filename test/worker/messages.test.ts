/** The Messages door over HTTP: credentials, shapes, translation both ways, streams, errors and breaks. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { eventData, readStream } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: ChatRig;
let chat: TestRoute;
let claude: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  chat = await rig.route({ providers: ["openai"] });
  claude = await rig.route({ providers: ["anthropic"] });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const HELLO = [{ role: "user", content: "Hello." }];

function ask(route: TestRoute, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return rig.worker.fetch("/v1/messages?beta=true", {
    method: "POST",
    headers: {
      "x-api-key": route.key,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      ...headers,
    },
    body: JSON.stringify({ model: route.model, max_tokens: 100, messages: HELLO, ...body }),
  });
}

interface Message {
  readonly type: string;
  readonly id: string;
  readonly content: readonly Readonly<Record<string, unknown>>[];
  readonly stop_reason: string;
  readonly usage: Readonly<Record<string, number>>;
  readonly flow?: Readonly<Record<string, unknown>>;
}

const sentBody = (): Record<string, unknown> =>
  JSON.parse(rig.upstream.calls.at(-1)?.body ?? "{}") as Record<string, unknown>;

describe("whole answers", () => {
  test("a chat target answers as a message, with usage, flow and the request id", async () => {
    rig.upstream.script({ json: completion({ text: "It is sunny." }) });
    const response = await ask(chat);
    expect(response.status).toBe(200);
    expect(response.headers.get("request-id")).toMatch(/^tr_/);
    const message = (await response.json()) as Message;
    expect(message).toMatchObject({
      // A message's id is known by its beginning, and leads to its trace.
      id: `msg_${(response.headers.get("request-id") ?? "").replace("tr_", "")}`,
      type: "message",
      role: "assistant",
      content: [{ type: "text", text: "It is sunny." }],
      stop_reason: "end_turn",
      usage: { input_tokens: 10, output_tokens: 5 },
      flow: { route: chat.model, provider: "openai" },
    });
    expect(await rig.trace(chat, response)).toMatchObject({ api: "messages", status: "ok" });
  });

  test("calls keep their exact arguments and stop for tool_use", async () => {
    const toolCalls = [{ id: "call_1", name: "lookup", arguments: '{"b":1.0,"id":9007199254740993123}' }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const response = await ask(chat, { tools: [{ name: "lookup", input_schema: { type: "object" } }] });
    const text = await response.text();
    expect(text).toContain('"input":{"b":1.0,"id":9007199254740993123}');
    expect(JSON.parse(text)).toMatchObject({
      stop_reason: "tool_use",
      content: [{ type: "tool_use", id: "call_1", name: "lookup" }],
    });
  });

  test("results, pictures and system text reach a chat target in their order", async () => {
    rig.upstream.script({ json: completion() });
    const response = await ask(chat, {
      system: [{ type: "text", text: "Be brief." }],
      messages: [
        { role: "user", content: "Weather?" },
        {
          role: "assistant",
          content: [
            { type: "text", text: "Looking." },
            { type: "tool_use", id: "tu_1", name: "w", input: { city: "Oslo" } },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "tu_1", is_error: true, content: "no network" },
            { type: "text", text: "And this?" },
            { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } },
          ],
        },
      ],
      tools: [
        {
          name: "w",
          description: "Weather",
          input_schema: { type: "object", properties: { city: { type: "string" } } },
        },
      ],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
      stop_sequences: ["END"],
      temperature: 0.5,
      top_k: 4,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")).toContain("top_k");
    const body = sentBody();
    expect(body["messages"]).toMatchObject([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Weather?" },
      { role: "assistant", content: "Looking.", tool_calls: [{ id: "tu_1", function: { name: "w" } }] },
      { role: "tool", tool_call_id: "tu_1" },
      { role: "user", content: [{ type: "text", text: "And this?" }, { type: "image_url" }] },
    ]);
    expect(JSON.stringify(body["messages"])).toContain("no network");
    expect(body).toMatchObject({
      tool_choice: "required",
      parallel_tool_calls: false,
      stop: ["END"],
      temperature: 0.5,
    });
  });

  test("one conversation reaches Claude in equal bytes, by chat and by Messages", async () => {
    rig.upstream.script({
      json: {
        type: "message",
        role: "assistant",
        content: [{ type: "text", text: "Hi." }],
        stop_reason: "end_turn",
        usage: { input_tokens: 3, output_tokens: 1 },
      },
    });
    const tool = {
      name: "w",
      description: "Weather",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    };
    const byChat = await rig.ask(claude, {
      max_tokens: 100,
      messages: [{ role: "system", content: "Be brief." }, ...HELLO],
      tools: [{ type: "function", function: tool }],
    });
    const first = rig.upstream.calls.at(-1)?.body;
    // In the provider's own spelling, which is what the router writes for other doors.
    const byMessages = await rig.worker.fetch("/v1/messages", {
      method: "POST",
      headers: { "x-api-key": claude.key, "content-type": "application/json" },
      body: JSON.stringify({
        model: claude.model,
        max_tokens: 100,
        system: [{ type: "text", text: "Be brief." }],
        messages: [{ role: "user", content: [{ type: "text", text: "Hello." }] }],
        tools: [{ name: "w", description: "Weather", input_schema: tool.parameters }],
      }),
    });
    expect([byChat.status, byMessages.status]).toEqual([200, 200]);
    expect(rig.upstream.calls.at(-1)?.body).toBe(first);
  });

  test("signed thinking goes back to Claude as it came", async () => {
    const thinking = { type: "thinking", thinking: "Hm.", signature: "SIG-1" };
    rig.upstream.script({
      json: {
        type: "message",
        role: "assistant",
        content: [{ type: "text", text: "Hi." }],
        stop_reason: "end_turn",
        usage: { input_tokens: 3, output_tokens: 1 },
      },
    });
    const response = await ask(claude, {
      thinking: { type: "enabled", budget_tokens: 1024 },
      max_tokens: 4000,
      messages: [
        ...HELLO,
        { role: "assistant", content: [thinking, { type: "tool_use", id: "tu_1", name: "w", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "tu_1", content: "ok" }] },
      ],
      tools: [{ name: "w", input_schema: { type: "object" } }],
    });
    expect(response.status).toBe(200);
    expect(sentBody()["messages"]).toMatchObject([{}, { content: [thinking, { type: "tool_use" }] }, {}]);
  });
});

describe("streams", () => {
  test("a chat stream comes as the events of a message", async () => {
    rig.upstream.script({ events: chunks("It is sunny.") });
    const response = await ask(chat, { stream: true });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const { text, isBroken } = await readStream(response);
    expect(isBroken).toBe(false);
    const events = eventData(text).map((data) => JSON.parse(data) as Record<string, unknown>);
    const types = events.map(({ type }) => type);
    expect([types[0], types.at(-2), types.at(-1)]).toEqual(["message_start", "message_delta", "message_stop"]);
    const said = events.flatMap((event) => (event["delta"] as { text?: string } | undefined)?.text ?? []).join("");
    expect(said).toBe("It is sunny.");
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: "end_turn" }, usage: { output_tokens: 5 } });
    for (const { type } of events) expect(text).toContain(`event: ${String(type)}\n`);
  });

  test("a stream that breaks ends with an error event, and the body breaks off", async () => {
    rig.upstream.script({
      events: chunks("It is half", { finish: null, done: false, usage: null }),
      end: "reset",
      gapMs: 5,
    });
    const { text, isBroken } = await readStream(await ask(chat, { stream: true }));
    expect(isBroken).toBe(true);
    expect(text).toContain('event: error\ndata: {"type":"error","error":{"type":"api_error"');
    expect(text).not.toContain("message_stop");
  });
});

describe("errors and credentials", () => {
  test.each([
    ["no key", {}, { "x-api-key": "" }, 401, "authentication_error", "missing_api_key"],
    ["a wrong key", {}, { "x-api-key": "fl_production_nope" }, 401, "authentication_error", "invalid_api_key"],
    ["no max_tokens", { max_tokens: undefined }, {}, 400, "invalid_request_error", "invalid_request"],
    ["max_tokens 0", { max_tokens: 0 }, {}, 400, "invalid_request_error", "invalid_request"],
    ["no messages", { messages: [] }, {}, 400, "invalid_request_error", "invalid_request"],
    [
      "an unknown role",
      { messages: [{ role: "tool", content: "x" }] },
      {},
      400,
      "invalid_request_error",
      "invalid_request",
    ],
    ["an unknown route", { model: "flow/nowhere" }, {}, 400, "invalid_request_error", "unknown_route"],
    ["twin tools", { tools: [{ name: "a" }, { name: "a" }] }, {}, 400, "invalid_request_error", "invalid_request"],
    ["an unknown control", { route: { fallbak: true } }, {}, 400, "invalid_request_error", "invalid_request"],
  ] as const)("%s", async (_name, body, headers, status, type, code) => {
    const response = await ask(chat, body, headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(response.headers.get("request-id")).toMatch(/^tr_/);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type, code },
      request_id: response.headers.get("request-id"),
    });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("a bearer key works, and a foreign credential beside ours is neither used nor forwarded", async () => {
    rig.upstream.script({ json: completion() });
    const response = await ask(chat, {}, { authorization: `Bearer ${chat.key}`, "x-api-key": "sk-ant-foreign" });
    expect(response.status).toBe(200);
    expect(JSON.stringify(rig.upstream.calls.at(-1)?.headers)).not.toContain("sk-ant-foreign");
  });

  test("two different keys of ours are refused", async () => {
    const response = await ask(chat, {}, { authorization: `Bearer ${claude.key}` });
    expect(response.status).toBe(401);
  });

  test("a part that only Claude can take is refused by name where chat alone is left", async () => {
    const response = await ask(chat, {
      messages: [
        { role: "user", content: [{ type: "document", source: { type: "url", url: "https://x.example/a.pdf" } }] },
      ],
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "no_capable_target" } });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("tokens are estimated, with a key and without a charge", async () => {
    const response = await rig.worker.fetch("/v1/messages/count_tokens", {
      method: "POST",
      headers: { "x-api-key": chat.key, "content-type": "application/json" },
      body: JSON.stringify({ model: chat.model, messages: HELLO }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-token-count")).toBe("estimated");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(((await response.json()) as { input_tokens: number }).input_tokens).toBeGreaterThan(0);
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("a provider's outage is told in this door's shape", async () => {
    rig.upstream.script({ status: 500, json: { error: { message: "boom" } } });
    const response = await ask(chat);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type: "api_error", code: "upstream_failed" },
    });
  });
});

describe("approval", () => {
  test("a result of a call nobody approved is refused before any provider is asked", async () => {
    const gated = await rig.route({ providers: ["openai"], policy: { tools: { require_approval: true, wait_ms: 0 } } });
    const response = await ask(gated, {
      messages: [
        ...HELLO,
        { role: "assistant", content: [{ type: "tool_use", id: "tu_9", name: "delete_file", input: { path: "/" } }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "tu_9", content: "deleted" }] },
      ],
    });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({
      error: { type: "permission_error", code: "tool_approval_required" },
    });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("a held call ends the turn and says what waits", async () => {
    const gated = await rig.route({ providers: ["openai"], policy: { tools: { require_approval: true, wait_ms: 0 } } });
    const toolCalls = [{ id: "call_h", name: "delete_file", arguments: '{"path":"/"}' }];
    rig.upstream.script({ json: completion({ toolCalls }) });
    const body = (await (
      await ask(gated, { tools: [{ name: "delete_file", input_schema: { type: "object" } }] })
    ).json()) as Message;
    expect(body.stop_reason).toBe("end_turn");
    expect(body.content.some(({ type }) => type === "tool_use")).toBe(false);
    expect(body.flow).toMatchObject({ tool_approval: { status: "pending" } });
  });
});

test("the list of models has Anthropic's shape for Anthropic's clients, and its ids work at this door", async () => {
  const headers = { "x-api-key": chat.key, authorization: `Bearer ${chat.key}`, "anthropic-version": "2023-06-01" };
  const response = await rig.worker.fetch("/v1/models?limit=1000", { headers });
  const { data } = (await response.json()) as { data: readonly { id: string; type: string }[] };
  const id = `anthropic/flow-${chat.model.slice("flow/".length)}`;
  expect(data).toContainEqual(expect.objectContaining({ type: "model", id }));
  rig.upstream.script({ json: completion() });
  expect((await ask({ ...chat, model: id })).status).toBe(200);
});

describe("what is refused before the door reads a request has its shape too", () => {
  const CASES = [
    { method: "GET", path: "/v1/messages", status: 405, code: "method_not_allowed" },
    { method: "PUT", path: "/openai/v1/messages", status: 405, code: "method_not_allowed" },
    { method: "DELETE", path: "/v1/messages/count_tokens", status: 405, code: "method_not_allowed" },
    { method: "POST", path: "/v1/messages/batches", status: 404, code: "not_found" },
    { method: "POST", path: "/v1/messages/count_tokens", status: 400, code: "invalid_json" },
    { method: "GET", path: "/v1/models/flow%2Fnone", status: 404, code: "not_found" },
  ];
  test.each(CASES)("$method $path: $status", async ({ method, path, status, code }) => {
    const { key } = await rig.route();
    const response = await rig.worker.fetch(path, {
      method,
      headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" },
      ...(method === "POST" ? { body: "{" } : {}),
    });
    expect(response.status).toBe(status);
    const id = response.headers.get("x-request-id");
    expect(response.headers.get("request-id")).toBe(id);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toMatchObject({ type: "error", error: { code }, request_id: id });
  });
});
