/** Routes that require tool approval, as long as nothing can be approved: no call is released, no result admitted. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, expectError, startChatRig } from "../support/chat.ts";
import { collect } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const POLICY = { tools: { require_approval: true } };
const GATES = [
  { by: "the policy", policy: POLICY, body: {}, headers: {} },
  { by: "the body", policy: {}, body: { route: { require_tool_approval: true } }, headers: {} },
  { by: "the header", policy: {}, body: {}, headers: { "x-flowlayer-require-tool-approval": "true" } },
  {
    by: "the policy, which nobody can loosen",
    policy: POLICY,
    body: { route: { require_tool_approval: false } },
    headers: { "x-flowlayer-require-tool-approval": "false" },
  },
  {
    by: "the header, which the body cannot loosen",
    policy: {},
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
  for (const part of ["tool_calls", "mallory", "call_1", "function_call"]) expect(text).not.toContain(part);
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
