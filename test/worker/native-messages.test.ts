/**
 * Messages to a provider that speaks Messages: bytes in, bytes out, under the same rules as chat. The provider is
 * Anthropic, and others that document the same API.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, type RouteSpec, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { readMessage } from "../support/messages-protocol.ts";
import { readStream } from "../support/sse.ts";
import { completion } from "../support/upstream.ts";

type Json = Record<string, unknown>;

let rig: ChatRig;
let claude: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  claude = await rig.route({ providers: ["anthropic"] });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const post = (route: TestRoute, text: string, headers: Record<string, string> = {}, path = ""): Promise<Response> =>
  rig.worker.fetch(`/v1/messages${path}`, {
    method: "POST",
    headers: { "x-api-key": route.key, "content-type": "application/json", ...headers },
    body: text,
  });

const ask = (route: TestRoute, body: object = {}, headers: Record<string, string> = {}): Promise<Response> =>
  post(
    route,
    JSON.stringify({ model: route.model, max_tokens: 100, messages: [{ role: "user", content: "Hello." }], ...body }),
    headers,
  );

const message = (more: object = {}): Json => ({
  ...{ id: "msg_up", type: "message", role: "assistant", model: "claude-up" },
  ...{ content: [{ type: "text", text: "It rains." }], stop_reason: "end_turn", stop_sequence: null },
  usage: { input_tokens: 12, cache_read_input_tokens: 30, output_tokens: 4 },
  ...more,
});

const event = (data: Json): string => `event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`;

interface Told {
  readonly blocks?: readonly { readonly start: Json; readonly deltas?: readonly Json[] }[];
  readonly stop?: string | null;
  readonly isClosed?: boolean;
}

const TEXT: NonNullable<Told["blocks"]> = [
  {
    start: { type: "thinking", thinking: "", signature: "" },
    deltas: [
      { type: "thinking_delta", thinking: 'Wet "stop_reason":"x" clouds.' },
      { type: "signature_delta", signature: "U2lnbmVk" },
    ],
  },
  { start: { type: "text", text: "" }, deltas: ["It ", "rains: ☔"].map((text) => ({ type: "text_delta", text })) },
];
const CALL: NonNullable<Told["blocks"]> = [
  {
    start: { type: "tool_use", id: "toolu_1", name: "lookup", input: {} },
    deltas: ['{"n":', "1.0}"].map((partial_json) => ({ type: "input_json_delta", partial_json })),
  },
];

/** A stream as the provider writes it. */
function told({ blocks = TEXT, stop = "end_turn", isClosed = true }: Told = {}): string[] {
  const start = { type: "message_start", message: message({ content: [], stop_reason: null }) };
  const usage = { input_tokens: 12, cache_read_input_tokens: 30, output_tokens: 1 };
  (start.message as Json)["usage"] = usage;
  return [
    event(start),
    event({ type: "ping" }),
    ...blocks.flatMap(({ start: content_block, deltas = [] }, index) => [
      event({ type: "content_block_start", index, content_block }),
      ...deltas.map((delta) => event({ type: "content_block_delta", index, delta })),
      event({ type: "content_block_stop", index }),
    ]),
    ...(stop === null
      ? []
      : [
          event({
            type: "message_delta",
            delta: { stop_reason: stop, stop_sequence: null },
            usage: { output_tokens: 9 },
          }),
        ]),
    ...(isClosed && stop !== null ? [event({ type: "message_stop" })] : []),
  ];
}

const sent = (): { text: string; body: Json; headers: Readonly<Record<string, string>>; path: string } => {
  const call = rig.upstream.calls.at(-1);
  const text = call?.body ?? "{}";
  return { text, body: JSON.parse(text) as Json, headers: call?.headers ?? {}, path: call?.path ?? "" };
};

describe("the request", () => {
  test("reaches the provider byte for byte, but for the model and the router's member", async () => {
    rig.upstream.script({ json: message() });
    const rest = `"system" : [{"type":"text","text":"One.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Two."}],
      "messages":[{"role":"user","content":[{"type":"text","text":"a","x_new":1e400}]}, {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"w","input":{"id":9007199254740993123,"b":1.0}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"ok"}]}], "max_tokens":50,
      "context_management":{"edits":[]}, "mcp_servers":[], "temperature":null`;
    const body = `{"model":"${claude.model}", "route":{"tags":{"a":"b"}}, ${rest}}`;
    const response = await post(claude, body, { "anthropic-beta": "one-2025, two", "anthropic-version": "2023-06-01" });
    expect(response.status, await response.clone().text()).toBe(200);
    const { text, headers, path } = sent();
    expect(path).toBe("/v1/messages");
    expect(text).toBe(
      `{"model":"${claude.models[0]}", ${rest.replace(', "temperature":null', ', "temperature":null')}}`,
    );
    expect(headers).toMatchObject({ "anthropic-beta": "one-2025, two", "anthropic-version": "2023-06-01" });
    expect(response.headers.get("x-flowlayer-dropped-params")).toBeNull();
  });

  test("headers of the family go with it, the caller's credentials never", async () => {
    rig.upstream.script({ json: message() });
    const headers = {
      ...{ "anthropic-beta": "b", "anthropic-x-new": "n", authorization: "Bearer sk-ant-foreign" },
      ...{ cookie: "c=1", "x-app": "cli" },
    };
    await ask(claude, {}, headers);
    const { headers: got } = sent();
    expect(got).toMatchObject({ "anthropic-beta": "b", "anthropic-x-new": "n", "anthropic-version": "2023-06-01" });
    expect(JSON.stringify(got)).not.toMatch(/foreign|c=1|fl_/);
    expect(got["x-app"]).toBeUndefined();
  });

  test("elsewhere those headers and unknown members are named", async () => {
    const chat = await rig.route({ providers: ["groq"] });
    rig.upstream.script({ json: completion() });
    const headers = { "anthropic-beta": "b", "anthropic-version": "2023-06-01" };
    const response = await ask(chat, { context_management: { edits: [{ type: "clear_x" }] } }, headers);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")?.split(", ").sort()).toEqual([
      "anthropic-beta",
      "context_management",
    ]);
  });

  test("the cap is what was admitted, and the policy's params fill what the client left out", async () => {
    const target = { params: { temperature: 0.2, top_k: 5 } };
    const policy = { limits: { max_output_tokens: 40 } };
    const route = await rig.route({ providers: ["anthropic"], targets: [target], policy });
    rig.upstream.script({ json: message() });
    expect((await ask(route, { top_k: 7 })).status).toBe(200);
    expect(sent().body).toMatchObject({ max_tokens: 40, temperature: 0.2, top_k: 7 });
  });

  test("what another provider signed stays away, and an empty list of tools is left out", async () => {
    rig.upstream.script({ json: message() });
    const carried = `flow1.${btoa(JSON.stringify({ of: "own", form: "redacted", wire: "gemini", provider: "google" }))}`;
    const own = { type: "thinking", thinking: "mine", signature: "U2lnbmVk" };
    const messages = [
      { role: "user", content: "q" },
      {
        role: "assistant",
        content: [
          { type: "redacted_thinking", data: carried },
          { type: "thinking", thinking: "theirs", signature: "0b54a3c1-2f3c-4f6e-9d55-1f0a5c1f7a11" },
          own,
          { type: "text", text: "a" },
        ],
      },
      { role: "user", content: "r" },
    ];
    await ask(claude, { messages, tools: [], tool_choice: { type: "auto" } });
    const { body } = sent();
    expect(body["messages"]).toMatchObject([{}, { content: [own, { type: "text", text: "a" }] }, {}]);
    expect(body).not.toHaveProperty("tools");
    expect(body).not.toHaveProperty("tool_choice");
  });
});

describe("providers that document the API", () => {
  test.each([
    ["deepseek", "/anthropic/v1/messages", "x-api-key"],
    ["moonshot", "/anthropic/v1/messages", "authorization"],
    ["zai", "/api/anthropic/v1/messages", "authorization"],
    ["minimax", "/anthropic/v1/messages", "authorization"],
    ["alibaba", "/apps/anthropic/v1/messages", "x-api-key"],
    ["openrouter", "/api/v1/messages", "authorization"],
  ])("%s is asked at %s", async (provider, path, credential) => {
    const route = await rig.route({ providers: [provider] });
    rig.upstream.script({ json: message() });
    const thinking = { type: "thinking", thinking: "t", signature: "QW50aHJvcGljIHNpZ25lZCB0aGlz" };
    const messages = [
      { role: "user", content: "q" },
      { role: "assistant", content: [thinking, { type: "text", text: "a" }] },
      { role: "user", content: "r" },
    ];
    const response = await ask(route, { messages });
    expect(response.status, await response.clone().text()).toBe(200);
    expect(await response.json()).toMatchObject({ id: "msg_up", flow: { provider } });
    const { path: asked, headers, text } = sent();
    expect(asked).toBe(path);
    expect(headers[credential]).toContain("sk-canary");
    // What Anthropic signed goes to Anthropic, or through a provider that passes its models on.
    expect(text.includes(thinking.signature)).toBe(provider === "openrouter");
  });

  test("an endpoint without the API is asked by its own, and that is remembered", async () => {
    const route = await rig.route({ providers: ["moonshot"] });
    rig.upstream.scriptFor("/anthropic/v1/messages", { status: 404, body: "<html>Not Found</html>" });
    rig.upstream.scriptFor("/v1/chat/completions", { json: completion({ text: "By chat." }) });
    for (const calls of [2, 3]) {
      const response = await ask(route);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ content: [{ type: "text", text: "By chat." }] });
      expect(rig.upstream.calls).toHaveLength(calls);
    }
  });
});

describe("whole answers", () => {
  test("keep the provider's text, with flow at its end", async () => {
    const text = `{"id":"msg_up" ,"type":"message","role":"assistant","model":"claude-up","content":[{"type":"text","text":"☔"},{"type":"tool_use","id":"t","name":"w","input":{"n":1.0,"id":9007199254740993123}}],"stop_reason":"tool_use","new_member":{"a":1e2},"usage":{"input_tokens":12,"cache_creation_input_tokens":3,"cache_read_input_tokens":30,"output_tokens":4}}`;
    rig.upstream.script({ body: text, headers: { "content-type": "application/json" } });
    const response = await ask(claude, { tools: [{ name: "w", input_schema: { type: "object" } }] });
    const got = await response.text();
    expect(got.startsWith(`${text.slice(0, -1)},"flow":{`)).toBe(true);
    expect(response.headers.get("request-id")).toMatch(/^tr_/);
    const trace = await rig.trace(claude, response);
    expect(trace).toMatchObject({
      ...{ api: "messages", status: "ok", tool_calls: ["w"] },
      usage: { prompt_tokens: 45, completion_tokens: 4, cached_tokens: 30, cache_write_tokens: 3, source: "upstream" },
    });
  });

  test.each(["pause_turn", "model_context_window_exceeded", "refusal"])("may end with %s", async (stop_reason) => {
    rig.upstream.script({ json: message({ stop_reason }) });
    expect(await (await ask(claude)).json()).toMatchObject({ stop_reason });
  });

  test("an error with status 200 falls back, over lanes", async () => {
    const route = await rig.route({ providers: ["anthropic", "groq"] });
    rig.upstream.scriptFor(route.models[0] ?? "", {
      json: { type: "error", error: { type: "overloaded_error", message: "Overloaded" } },
    });
    rig.upstream.scriptFor(route.models[1] ?? "", { json: completion({ text: "By chat." }) });
    const response = await ask(route);
    expect(await response.json()).toMatchObject({ content: [{ text: "By chat." }], flow: { fallback: true } });
  });
});

describe("errors", () => {
  test.each([
    [400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"],
    [400, "invalid_request_error", "messages.1.content.0: unexpected `tool_use_id` found"],
    [413, "request_too_large", "Request exceeds the maximum size"],
    [422, "invalid_request_error", "max_tokens: must be greater than thinking.budget_tokens"],
  ])("a refusal keeps its status, type and words: %i %s", async (status, type, words) => {
    rig.upstream.script({ status, json: { type: "error", error: { type, message: words }, request_id: "req_up" } });
    const response = await ask(claude);
    expect(response.status).toBe(status);
    const body = (await response.json()) as Json;
    expect(body).toMatchObject({ type: "error", error: { type, message: words } });
    expect(body["request_id"]).toMatch(/^tr_/);
    expect(rig.upstream.calls).toHaveLength(1);
  });

  test("what is wrong with our account is not the client's to read, and no secret is repeated", async () => {
    const error = {
      type: "authentication_error",
      message: "invalid x-api-key sk-canary0123456789abcdefcanary0123456789",
    };
    rig.upstream.script({ status: 401, json: { type: "error", error } });
    const denied = await ask(claude);
    expect(denied.status).toBe(502);
    expect(await denied.text()).not.toContain("invalid x-api-key");
    rig.upstream.script({ status: 400, json: { type: "error", error: { ...error, type: "invalid_request_error" } } });
    const refused = await (await ask(claude)).text();
    expect(refused).toContain("invalid x-api-key");
    expect(refused).not.toContain("sk-canary");
  });
});

describe("streams", () => {
  test.each([
    ["text", told(), "end_turn"],
    ["a call", told({ blocks: CALL, stop: "tool_use" }), "tool_use"],
    ["a pause", told({ stop: "pause_turn" }), "pause_turn"],
  ])("pass byte for byte: %s", async (_, events, stop) => {
    for (const sliceBytes of [undefined, 7]) {
      rig.upstream.reset();
      rig.upstream.script({ events, ...(sliceBytes === undefined ? {} : { sliceBytes }) });
      const response = await ask(claude, {
        stream: true,
        tools: [{ name: "lookup", input_schema: { type: "object" } }],
      });
      const { text, isBroken } = await readStream(response);
      expect({ text, isBroken }).toEqual({ text: events.join(""), isBroken: false });
      expect(readMessage(text)).toMatchObject({ faults: [], stopReason: stop });
      expect(sent().headers["accept"]).toBe("text/event-stream");
      expect(await rig.trace(claude, response)).toMatchObject({
        ...{ status: "ok", tool_calls: stop === "tool_use" ? ["lookup"] : [] },
        usage: { prompt_tokens: 42, cached_tokens: 30, completion_tokens: 9, source: "upstream" },
      });
    }
  });

  test("without message_stop get it appended", async () => {
    const events = told({ isClosed: false });
    rig.upstream.script({ events });
    const response = await ask(claude, { stream: true });
    const { text, isBroken } = await readStream(response);
    expect(isBroken).toBe(false);
    expect(text).toBe(`${events.join("")}event: message_stop\ndata: {"type":"message_stop"}\n\n`);
    expect(await rig.trace(claude, response)).toMatchObject({ status: "ok" });
  });

  test.each([1, 2])(
    "whose last event lacks %i line ends get them: clients that keep to the standard drop it without",
    async (ends) => {
      const own = told().join("");
      rig.upstream.script({ events: [own.slice(0, -ends)] });
      const response = await ask(claude, { stream: true });
      expect(await readStream(response)).toEqual({ text: own, isBroken: false });
      expect(await rig.trace(claude, response)).toMatchObject({ status: "ok" });
    },
  );

  test.each(["reset", "fin", "end"] as const)("that are cut by %s end with an error event, abnormally", async (end) => {
    rig.upstream.script({ events: told({ stop: null }), gapMs: 3, end });
    const response = await ask(claude, { stream: true });
    const { text, isBroken } = await readStream(response);
    expect(isBroken).toBe(true);
    const read = readMessage(text.trimEnd().concat("\n\n"));
    expect(read.error).toMatchObject({ type: "api_error", code: "stream_interrupted" });
    expect(text).toContain(`"request_id":"${response.headers.get("request-id")}"`);
    expect(await rig.trace(claude, response)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
  });

  test("that stall are ended at the idle limit", async () => {
    const route = await rig.route({ providers: ["anthropic"], policy: { timeouts: { idle_ms: 300 } } });
    rig.upstream.script({ events: told({ stop: null }), end: "stall" });
    const { text, isBroken } = await readStream(await ask(route, { stream: true }));
    expect(isBroken).toBe(true);
    expect(text).toContain("stream_interrupted");
  });

  test("the provider's own error reaches the client as it came, and the body breaks off", async () => {
    const own = event({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } });
    const events = [...told({ stop: null }), own];
    rig.upstream.script({ events });
    const { text, isBroken } = await readStream(await ask(claude, { stream: true }));
    expect(isBroken).toBe(true);
    expect(text.trimEnd()).toBe(events.join("").trimEnd());
  });

  test("nothing reaches the client before the first content: a failure until then falls back", async () => {
    const route = await rig.route({ providers: ["anthropic", "anthropic"] });
    const error = event({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } });
    rig.upstream.scriptFor(route.models[0] ?? "", { events: [...told().slice(0, 2), error] });
    rig.upstream.scriptFor(route.models[1] ?? "", { events: told() });
    const response = await ask(route, { stream: true });
    expect((await readStream(response)).text).toBe(told().join(""));
    expect(response.headers.get("x-flowlayer-fallback")).toBe("true");
  });

  test("with a report asked for are read event by event, with flow in message_delta", async () => {
    const events = told();
    rig.upstream.script({ events: ["data: junk\n\n", ...events], sliceBytes: 11 });
    const response = await ask(claude, { stream: true }, { "x-flowlayer-report": "true" });
    const { text, isBroken } = await readStream(response);
    expect(isBroken).toBe(false);
    const read = readMessage(text);
    expect(read).toMatchObject({ faults: [], stopReason: "end_turn", flow: { provider: "anthropic" } });
    expect(read.content).toEqual([
      { type: "thinking", thinking: 'Wet "stop_reason":"x" clouds.', signature: "U2lnbmVk" },
      { type: "text", text: "It rains: ☔" },
    ]);
    expect(text.startsWith(events.slice(0, -2).join(""))).toBe(true);
  });

  test("of a provider that is not known to be clean keep their bytes, cut anywhere", async () => {
    const route = await rig.route({ providers: ["minimax"] });
    const events = told();
    rig.upstream.script({ events });
    const { text } = await readStream(await ask(route, { stream: true }));
    expect(readMessage(text)).toMatchObject({ faults: [], flow: { provider: "minimax" } });
    expect(text.startsWith(events.slice(0, -2).join(""))).toBe(true);
    for (const at of [1, 4, 6, events.length - 1]) {
      rig.upstream.reset();
      rig.upstream.script({ events: events.slice(0, at), gapMs: 2, end: "fin" });
      const response = await ask(route, { stream: true });
      if (response.status !== 200) {
        expect(at).toBeLessThan(4);
        continue;
      }
      const cut = await readStream(response);
      const read = readMessage(cut.text.trimEnd().concat("\n\n"));
      if (at === events.length - 1)
        expect([cut.isBroken, read.faults, read.stopReason]).toEqual([false, [], "end_turn"]);
      else expect([cut.isBroken, read.error?.["code"]]).toEqual([true, "stream_interrupted"]);
    }
  });
});

describe("approval", () => {
  const TOOLS = { tools: [{ name: "lookup", input_schema: { type: "object" } }] };
  const gated = (tools: object): Promise<TestRoute> => {
    const spec: RouteSpec = {
      providers: ["anthropic"],
      policy: { tools: { require_approval: true, wait_ms: 0, ...tools } },
    };
    return rig.route(spec);
  };

  test.each([false, true])("holds a call, and lets an approved one pass (stream: %s)", async (stream) => {
    const script = stream
      ? { events: told({ blocks: [TEXT[1]!, ...CALL], stop: "tool_use" }) }
      : {
          json: message({
            content: [{ type: "tool_use", id: "toolu_1", name: "lookup", input: { n: 1 } }],
            stop_reason: "tool_use",
          }),
        };
    rig.upstream.script(script);
    const held = await ask(await gated({}), { stream, ...TOOLS });
    const text = await held.text();
    expect(text).not.toContain('"tool_use"');
    expect(text).toContain("tool_approval");
    if (stream) expect(readMessage(text)).toMatchObject({ faults: [], stopReason: "end_turn" });
    const open = await ask(await gated({ auto_approve: ["look*"] }), { stream, ...TOOLS });
    const passed = await open.text();
    expect(passed).toContain('"tool_use"');
    if (stream) expect(readMessage(passed)).toMatchObject({ faults: [], stopReason: "tool_use" });
  });

  test("nothing unread reaches the provider, wherever it hides, and it is named", async () => {
    rig.upstream.script({ json: message() });
    const messages = [
      { role: "user", x_role: 1, content: [{ type: "text", text: "q", x_part: 1 }] },
      { role: "assistant", content: [{ type: "text", text: "a", cache_control: { type: "ephemeral" } }] },
      { role: "user", content: "r" },
    ];
    const tools = [{ name: "w", input_schema: { type: "object", x_kept: 1 }, x_tool: 1 }];
    const response = await ask(await gated({}), { messages, tools, x_body: 1, output_config: { x_out: 1 } });
    expect(response.status, await response.clone().text()).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")?.split(", ").sort()).toEqual(
      [
        "messages[0].content[0].x_part",
        "messages[0].x_role",
        "output_config.x_out",
        "tools[0].x_tool",
        "x_body",
      ].sort(),
    );
    expect(sent().text).not.toMatch(/x_(?:role|part|tool|body|out)/);
    expect(sent().text).toContain('"x_kept":1');
    expect(sent().text).toContain('"cache_control":{"type":"ephemeral"}');
  });
});

describe("bounds", () => {
  test("a member that nobody knows the cost of is no part of a bounded request", async () => {
    const route = await rig.route({ providers: ["anthropic"], policy: { spend: { max_request_usd: 5 } } });
    const response = await ask(route, {
      messages: [{ role: "user", content: [{ type: "text", text: "a", x_big: {} }] }],
    });
    expect(response.status).toBe(402);
    expect(rig.upstream.calls).toHaveLength(0);
  });
});

describe("count_tokens", () => {
  const count = (route: TestRoute, body: object = {}): Promise<Response> =>
    post(
      route,
      JSON.stringify({ model: route.model, messages: [{ role: "user", content: "Hello." }], ...body }),
      {},
      "/count_tokens",
    );

  test("is asked of the first native target, with nothing that is the answer's", async () => {
    const route = await rig.route({ providers: ["groq", "anthropic"] });
    rig.upstream.script({ json: { input_tokens: 17 } });
    const tools = [{ name: "w", input_schema: { type: "object" } }];
    const response = await count(route, { system: "s", tools, stream: true, max_tokens: 9, route: {} });
    expect(await response.json()).toEqual({ input_tokens: 17 });
    expect(response.headers.get("x-flowlayer-token-count")).toBeNull();
    expect(sent().path).toBe("/v1/messages/count_tokens");
    expect(sent().body).toEqual({
      ...{ model: route.models[1], messages: [{ role: "user", content: "Hello." }], system: "s", tools },
    });
    expect(rig.upstream.calls).toHaveLength(1);
  });

  test.each([
    ["no target counts", ["groq"], {}],
    [
      "the target is down",
      ["anthropic"],
      { status: 529, json: { type: "error", error: { type: "overloaded_error" } } },
    ],
    ["its answer is none", ["anthropic"], { body: "<html>" }],
  ])("is estimated where %s", async (_, providers, script) => {
    rig.upstream.script(script);
    const response = await count(await rig.route({ providers }));
    expect(response.headers.get("x-flowlayer-token-count")).toBe("estimated");
    expect(((await response.json()) as Json)["input_tokens"]).toBeGreaterThan(0);
  });

  test("a refusal keeps its words", async () => {
    const error = { type: "invalid_request_error", message: "messages.0.content: Field required" };
    rig.upstream.script({ status: 400, json: { type: "error", error } });
    const response = await count(claude);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ type: "error", error });
  });
});
