/**
 * Who puts an answer behind the gate, what gets past it undecided (nothing), and which results of tools a key may bring
 * back, whatever route or flag they come with.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type ChatRig, expectError, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { collect } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

/** Nobody decides here, so nobody waits. */
const POLICY = { tools: { require_approval: true, wait_ms: 0 } };
const OPEN = { tools: { wait_ms: 0 } };
const GATES = [
  { by: "the policy", policy: POLICY, body: {}, headers: {} },
  { by: "the body", policy: OPEN, body: { route: { require_tool_approval: true } }, headers: {} },
  { by: "the header", policy: OPEN, body: {}, headers: { "x-flowlayer-require-tool-approval": "true" } },
  {
    by: "the policy, which nobody can loosen",
    policy: POLICY,
    body: { route: { require_tool_approval: false } },
    headers: { "x-flowlayer-require-tool-approval": "false" },
  },
  {
    by: "the header, which the body cannot loosen",
    policy: OPEN,
    body: { route: { require_tool_approval: false } },
    headers: { "x-flowlayer-require-tool-approval": "true" },
  },
] as const;
const STREAMS = [
  { kind: "stream", more: { stream: true } },
  { kind: "stream with usage", more: { stream: true, stream_options: { include_usage: true } } },
  { kind: "stream of several choices", more: { stream: true, n: 2 } },
] as const;

const toolCalls = [
  { id: "call_1", name: "send_money", arguments: '{"to":"mallory"}' },
  { id: "call_2", name: "search", arguments: '{"q":"x"}' },
];
const tools = toolCalls.map(({ name }) => ({ type: "function", function: { name } }));

const expectNothingReleased = (text: string): void => {
  for (const part of ["mallory", "arguments", '"type":"function"', "function_call"]) expect(text).not.toContain(part);
};

interface Whole {
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[];
  readonly flow: { readonly tool_approval?: object };
}

describe.each(GATES)("required by $by", ({ policy, body, headers }) => {
  test("a whole answer loses its calls and says so", async () => {
    const route = await rig.route({ policy });
    rig.upstream.script({ json: completion({ text: "On it.", toolCalls }) });
    const response = await rig.ask(route, { ...body, tools }, { headers });
    const text = await response.text();
    expectNothingReleased(text);
    const { choices, flow } = JSON.parse(text) as Whole;
    expect(choices[0]).toMatchObject({
      finish_reason: "stop",
      message: { content: expect.stringMatching(/^On it\.(?:.|\n)*`send_money`, `search`/) },
    });
    expect(flow.tool_approval).toMatchObject({ status: "pending" });
    expect(response.headers.get("x-flowlayer-tool-approval")).toBe("pending");
    expect((await rig.trace(route, response)).tool_calls).toEqual(["send_money", "search"]);
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test.each(STREAMS)("a $kind loses its calls and says so", async ({ more }) => {
    const route = await rig.route({ policy });
    rig.upstream.script({ events: chunks("On it. ", { toolCalls }), sliceBytes: 17 });
    const response = await rig.ask(route, { ...body, ...more, tools }, { headers });
    expect(response.headers.get("x-flowlayer-tool-approval")).toMatch(/^(required|pending)$/);
    const text = await response.text();
    expectNothingReleased(text);
    expect(collect(text)).toMatchObject({
      text: expect.stringMatching(/^On it\. (?:.|\n)*`send_money`, `search`/),
      finishReason: "stop",
      toolCalls: [],
      isDone: true,
      error: null,
    });
    expect((await rig.trace(route, response)).tool_calls).toEqual(["send_money", "search"]);
  });

  test.each([
    { name: "a result", message: { role: "tool", tool_call_id: "call_1", content: "sent" }, ids: ["call_1"] },
    {
      name: "a legacy result",
      message: { role: "function", name: "send_money", content: "sent" },
      ids: ["send_money"],
    },
  ])("$name in the conversation is refused, and nobody is asked", async ({ message, ids }) => {
    const route = await rig.route({ policy });
    for (const stream of [false, true]) {
      const messages = [{ role: "user", content: "hi" }, message, { role: "user", content: "go on" }];
      const response = await rig.ask(route, { ...body, messages, stream }, { headers });
      const { error } = await expectError(response, { status: 403, code: "tool_approval_required" });
      expect(error.tool_calls).toEqual(ids);
      expect(rig.calls(route)).toEqual([0, 0]);
      expect(await rig.trace(route, response)).toMatchObject({ status: "denied", http_status: 403, attempts: [] });
    }
  });
});

test.each([
  { name: "a whole answer", script: { json: completion({ text: "Just text." }) }, body: {} },
  { name: "a stream", script: { events: chunks("Just text.") }, body: { stream: true } },
])("$name without calls is not touched by the gate", async ({ script, body }) => {
  const route = await rig.route({ policy: POLICY });
  rig.upstream.script(script);
  const response = await rig.ask(route, { ...body, tools });
  expect(response.headers.get("x-flowlayer-tool-approval")).toBe("required");
  const text = await response.text();
  expect(text).toContain("Just ");
  expect(text).not.toContain("withheld");
});

test("a call in the message beside a delta is not released either", async () => {
  const route = await rig.route({ policy: POLICY });
  const message = {
    role: "assistant",
    content: "",
    tool_calls: [{ id: "call_1", function: { name: "send_money", arguments: '{"to":"mallory"}' } }],
  };
  rig.upstream.script({
    events: [{ id: "c", choices: [{ index: 0, message, delta: {}, finish_reason: "tool_calls" }] }, "data: [DONE]\n\n"],
  });
  const text = await (await rig.ask(route, { stream: true, tools })).text();
  expectNothingReleased(text);
  expect(collect(text)).toMatchObject({ text: expect.stringContaining("`send_money`"), finishReason: "stop" });
});

test.each([{ stream: false }, { stream: true }])("without a gate calls and results pass (%j)", async ({ stream }) => {
  const route = await rig.route();
  rig.upstream.script(stream ? { events: chunks("", { toolCalls }) } : { json: completion({ toolCalls }) });
  const messages = [{ role: "tool", tool_call_id: "call_0", content: "1" }];
  const response = await rig.ask(route, { stream, tools, messages });
  expect(response.headers.has("x-flowlayer-tool-approval")).toBe(false);
  expect(await response.text()).toContain("mallory");
  expect(rig.calls(route)).toEqual([1, 0]);
});

describe("results of recorded calls, whatever route they come with", () => {
  const SEARCH = {
    id: "call_s",
    name: "search",
    arguments: '{"q": "caf\\u00e9", "limit": 1.0, "account": 9007199254740993}',
  };
  const NO_JSON = { id: "call_n", name: "search", arguments: "{q: x}" };
  const SEND = { id: "call_p", name: "send_money", arguments: '{"to":"mallory"}' };
  type Call = typeof SEARCH;
  const asked = (...calls: Call[]) => ({
    role: "assistant",
    tool_calls: calls.map(({ id, name, arguments: text }) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    })),
  });
  const result = (id: string) => ({ role: "tool", tool_call_id: id, content: "done" });
  const legacy = ({ name, arguments: text }: Call) => [
    { role: "assistant", content: null, function_call: { name, arguments: text } },
    { role: "function", name, content: "done" },
  ];
  const hi = { role: "user", content: "hi" };

  let open: TestRoute;
  let gated: TestRoute;
  beforeAll(async () => {
    const rules = { require_approval: true, delivery: "mark", auto_approve: ["search"] };
    gated = await rig.route({ policy: { tools: rules } });
    // The same key, on a route that asks for nothing.
    open = { ...(await rig.route()), key: gated.key };
    rig.upstream.script({ json: completion({ toolCalls: [SEARCH, NO_JSON, SEND, { ...SEND, id: "call_d" }] }) });
    const answer = await rig.ask(gated, { tools });
    expect(await answer.text()).toContain("call_d");
    const url = `/admin/approvals/call_d?key=${gated.keyId}`;
    const deny = async () => (await rig.worker.admin(url, { body: { decision: "deny" } })).status;
    await vi.waitFor(async () => expect(await deny()).toBe(200), { timeout: 3_000, interval: 20 });
  });

  const APPROVED = 200;
  const REQUIRED = "tool_approval_required";
  const ALTERED = "tool_call_altered";
  const DENIED = "tool_call_denied";
  const changed = (part: Partial<Call>): object => asked({ ...SEARCH, ...part });
  test.each<{ name: string; messages: object[]; open: string | number; gated?: string | number; ids?: string[] }>([
    { name: "an approved call", messages: [asked(SEARCH), result("call_s")], open: APPROVED },
    {
      name: "an approved call, written anew by the client",
      messages: [changed({ arguments: '{"account":9007199254740993,"limit":1,"q":"café"}' }), result("call_s")],
      open: APPROVED,
    },
    {
      name: "other arguments",
      messages: [changed({ arguments: SEARCH.arguments.replace("993", "992") }), result("call_s")],
      ...{ open: ALTERED, ids: ["call_s"] },
    },
    { name: "another name", messages: [changed({ name: "send_money" }), result("call_s")], open: ALTERED },
    { name: "no call at all", messages: [result("call_s")], open: ALTERED },
    {
      name: "the call twice, once altered",
      messages: [asked(SEARCH), changed({ arguments: "{}" }), result("call_s")],
      open: ALTERED,
    },
    { name: "a call that waits", messages: [asked(SEND), result("call_p")], open: REQUIRED, ids: ["call_p"] },
    {
      name: "a denied call",
      messages: [asked({ ...SEND, id: "call_d" }), result("call_d")],
      open: DENIED,
      ids: ["call_d"],
    },
    {
      name: "a call of somebody else",
      messages: [asked({ ...SEND, id: "call_x", arguments: '{"to":"alice"}' }), result("call_x")],
      open: 200,
      gated: REQUIRED,
    },
    ...["call_x", "toolu_01A", "call_p_2"].map((id) => ({
      name: `a denied call under another id, written anew: ${id}`,
      messages: [asked({ ...SEND, id, arguments: '{ "to" : "m\\u0061llory" }' }), result(id)],
      ...{ open: DENIED, ids: ["call_d"] },
    })),
    {
      name: "a denied call under another id, its result without one",
      messages: [asked({ ...SEND, id: "call_x" }), { role: "tool", content: "done" }],
      ...{ open: DENIED },
    },
    { name: "an approved call in the legacy form", messages: legacy(SEARCH), open: APPROVED },
    { name: "a denied call in the legacy form", messages: legacy(SEND), open: DENIED, ids: ["send_money"] },
    { name: "another call in the legacy form", messages: legacy({ ...SEND, arguments: "{}" }), open: ALTERED },
    {
      name: "a legacy function nobody recorded",
      messages: legacy({ ...SEND, name: "other" }),
      open: 200,
      gated: REQUIRED,
    },
    {
      name: "an approved call in another spelling of its numbers",
      messages: [
        changed({ arguments: '{"q":"café","limit":10e-1,"account":9007199254740993.0}' }),
        ...[result("call_s"), result("call_s")],
      ],
      open: APPROVED,
    },
    {
      name: "a key given twice",
      messages: [changed({ arguments: SEARCH.arguments.replace("{", '{"limit":1,') }), result("call_s")],
      open: ALTERED,
    },
    {
      name: "a key `__proto__` more",
      messages: [changed({ arguments: SEARCH.arguments.replace("{", '{"__proto__":{},') }), result("call_s")],
      open: ALTERED,
    },
    {
      name: "an approved call and, under its id, a call of another kind",
      messages: [
        { role: "assistant", tool_calls: [{ ...asked(SEARCH).tool_calls[0], custom: { name: "shell", input: "rm" } }] },
        result("call_s"),
      ],
      open: ALTERED,
    },
    { name: "arguments that are no JSON", messages: [asked(NO_JSON), result("call_n")], open: APPROVED },
    {
      name: "arguments that are no JSON, white space apart",
      messages: [asked({ ...NO_JSON, arguments: "{q:  x}" }), result("call_n")],
      open: ALTERED,
    },
    ...[
      { name: "without an id", message: { role: "tool", content: "sent" } },
      { name: "with a name for an id", message: { role: "tool", name: "send_money", content: "sent" } },
      { name: "with white space at its id", message: result("call_p ") },
      { name: "with its id in a list", message: { ...result("x"), tool_call_id: ["call_p"] } },
      { name: "with another one's id", message: result("call_z") },
      { name: "as a legacy one of another name", message: { role: "function", name: "other", content: "sent" } },
      {
        name: "as a legacy one with its id",
        message: { role: "function", name: "other", tool_call_id: "call_p", content: "sent" },
      },
      {
        name: "as a part of a user's message",
        message: { role: "user", content: [{ type: "tool_result", tool_use_id: "call_p", content: "sent" }] },
      },
      {
        name: "as a part without an id",
        message: { role: "user", content: [{ type: "tool_result", content: "sent" }] },
      },
    ].map(({ name, message }) => ({
      name: `the result of a call that waits, ${name}`,
      messages: [asked(SEND), message],
      open: REQUIRED,
    })),
    {
      name: "the result of a call that waits beside one of an approved call that was made later",
      messages: [
        { role: "assistant", function_call: { name: SEND.name, arguments: SEND.arguments } },
        { role: "assistant", function_call: { name: "search", arguments: NO_JSON.arguments } },
        { role: "function", name: "search", content: "1" },
        { role: "tool", content: "sent" },
      ],
      open: DENIED,
    },
    ...["call_s\ud800", "call_s\u0000", "CALL_S", "ｃall_s", "c".repeat(100_000)].map((id) => ({
      name: `an id like that of a recorded call: ${JSON.stringify(id.slice(0, 20))}`,
      messages: [asked({ ...SEND, id, arguments: '{"to":"alice"}' }), result(id)],
      ...{ open: 200, gated: REQUIRED },
    })),
    {
      name: "good ones and bad ones",
      messages: [asked(SEARCH, SEND), result("call_s"), result("call_p")],
      ...{ open: REQUIRED, ids: ["call_p"] },
    },
  ])("$name: as the record says", async ({ messages, open: onOpen, gated: onGated = onOpen, ids }) => {
    for (const [route, code] of [
      [open, onOpen],
      [gated, onGated],
    ] as const) {
      const before = rig.upstream.calls.length;
      rig.upstream.script({ json: completion({ text: "Done." }) });
      const response = await rig.ask(route, { messages: [hi, ...messages] });
      if (code === 200) expect(response.status, await response.clone().text()).toBe(200);
      else {
        const { error } = await expectError(response, { status: 403, code: String(code) });
        if (ids !== undefined) expect(error.tool_calls).toEqual(ids);
      }
      expect(rig.upstream.calls.length - before).toBe(code === 200 ? 1 : 0);
    }
  });

  test("another key has recorded nothing", async () => {
    const other = await rig.route();
    const response = await rig.ask(other, { messages: [hi, asked(SEND), result("call_p")] });
    expect(response.status).toBe(200);
  });
});
