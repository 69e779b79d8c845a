/** The three promises behind the doors whose bodies reach a provider in the client's own words: Messages and Responses. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { billedWire, wireAt } from "../support/billed.ts";
import { type ChatRig, type ErrorBody, startChatRig, type TestRoute } from "../support/chat.ts";
import { RESULT } from "./security-gate.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

const CHAT = "/v1/chat/completions";
const MESSAGES = "/v1/messages";
const RESPONSES = "/v1/responses";
const COMPACT = "/v1/responses/compact";
const GATED = { tools: { require_approval: true, wait_ms: 0 } };
const budgetOf = (limit_usd: number) => ({ budget: { limit_usd, period: "total" } });

/** `members`: JSON text of the body's members besides `model`. */
async function post(route: TestRoute, path: string, members: string): Promise<Response> {
  const body = `{"model":${JSON.stringify(route.model)},${members}}`;
  return rig.worker.fetch(path, { method: "POST", headers: rig.headers(route), body });
}

const codeOf = async (response: Response): Promise<string> => ((await response.json()) as ErrorBody).error.code;

const says = (content: unknown): string => `"max_tokens":100,"messages":${JSON.stringify([{ role: "user", content }])}`;
const input = (...items: unknown[]): string => `"input":${JSON.stringify([{ role: "user", content: "hi" }, ...items])}`;
const HI = says("hi");
const SCREEN = { type: "computer_call", call_id: "c", action: { type: "screenshot" } };
const screen = (output: object): object => ({ type: "computer_call_output", call_id: "c", output });
const text = { type: "text", media_type: "text/plain", data: "hi" };

interface Row {
  readonly name: string;
  readonly path: string;
  readonly members: string;
}

describe("a key with a budget sends nothing whose cost another reader may see differently", () => {
  const PLAIN: Readonly<Record<string, string>> = {
    [CHAT]: HI,
    [MESSAGES]: HI,
    [RESPONSES]: input(),
  };
  const TWINS = [
    `"service_tier":"priority","service_tier":"default"`,
    `"service_tier":"priority","service_tier":null`,
    `"service_tier":"priority","serv\\u0069ce_tier":"auto"`,
    `"Service_Tier":"priority"`,
    `"speed":"fast","speed":null`,
    `"inference_geo":"us","inference_geo":"global"`,
    `"modalities":["text","image"],"modalities":["text"]`,
    `"web_search_options":{},"web_search_options":null`,
    `"plug\\u0069ns":[{"id":"web"}],"plugins":[]`,
    `"tool_choice":"required","tool_choice":"auto"`,
  ];
  const rows: readonly Row[] = [
    ...Object.entries(PLAIN).flatMap(([path, plain]) =>
      TWINS.map((twin) => ({ name: `${path} with ${twin}`, path, members: `${twin},${plain}` })),
    ),
    ...[
      `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://d.example/a.pdf","type":"text","media_type":"text/plain","data":"hi"}}]}]`,
      `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image","type":"text","text":"a"}]}]}]`,
    ].map((members) => ({ name: members.slice(0, 90), path: MESSAGES, members: `"max_tokens":9,${members}` })),
    {
      name: "a document of text with an address",
      path: MESSAGES,
      members: says([{ type: "document", source: { ...text, url: "https://d.example/a.pdf" } }]),
    },
    {
      name: "a document of text with an id",
      path: MESSAGES,
      members: says([{ type: "document", source: { ...text, file_id: "file_1" } }]),
    },
    {
      name: "a search with the cap of a fetch",
      path: MESSAGES,
      members: `"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":1,"max_content_tokens":1}],${HI}`,
    },
    {
      name: "a fetch with a cap of nothing",
      path: MESSAGES,
      members: `"tools":[{"type":"web_fetch_20250910","name":"web_fetch","max_uses":1,"max_content_tokens":0}],${HI}`,
    },
    {
      name: "a drawing",
      path: MESSAGES,
      members: says([{ type: "image", source: { type: "base64", media_type: "image/svg+xml", data: "PHN2Zz4=" } }]),
    },
    {
      name: "tools that a search of the client's found",
      path: RESPONSES,
      members: input({
        type: "tool_search_output",
        call_id: "x",
        execution: "client",
        tools: [{ type: "mcp", server_label: "a", server_url: "https://m.example" }],
      }),
    },
    {
      name: "a screen by its id",
      path: RESPONSES,
      members: input(SCREEN, screen({ type: "computer_screenshot", file_id: "file-9" })),
    },
    {
      name: "a screen by its id and its address",
      path: RESPONSES,
      members: input(
        SCREEN,
        screen({ type: "computer_screenshot", file_id: "file-9", image_url: "https://i.example/a.png" }),
      ),
    },
    {
      name: "a picture by its address and an id",
      path: RESPONSES,
      members: input({
        role: "user",
        content: [{ type: "input_image", image_url: "https://i.example/a.png", file_id: "file-1" }],
      }),
    },
    { name: "a tier that is no word", path: CHAT, members: `"service_tier":["priority"],${HI}` },
    { name: "a tier that is an object", path: CHAT, members: `"service_tier":{"toString":"priority"},${HI}` },
  ];
  const TARGETS: Readonly<Record<string, readonly [provider: string, model: string]>> = {
    [CHAT]: ["openai", "gpt-4o"],
    [MESSAGES]: ["anthropic", "claude-sonnet-4-5"],
    [RESPONSES]: ["openai", "gpt-4o"],
  };

  test.each(rows)("$name", async ({ path, members }) => {
    const [provider, model] = TARGETS[path]!;
    const route = await rig.route({ providers: [provider], targets: [{ model }], key: budgetOf(1) });
    rig.upstream.script((call) => billedWire(wireAt(call.path, provider)).whole("Dear.", { input: 9, output: 9 }));
    const response = await post(route, path, members);
    expect([400, 402], await response.clone().text()).toContain(response.status);
    expect(rig.upstream.calls).toEqual([]);
  });
});

describe("a conversation is made shorter without a cap on what is written", () => {
  const compaction = {
    json: {
      ...{ id: "resp_1", object: "response.compaction", output: [] },
      usage: { input_tokens: 10, output_tokens: 16_000, total_tokens: 16_010 },
    },
  };
  const shorten = async (limitUsd: number, members = input(), model = "gpt-4o"): Promise<Response> => {
    const route = await rig.route({ providers: ["openai"], targets: [{ model }], key: budgetOf(limitUsd) });
    rig.upstream.script(compaction);
    return post(route, COMPACT, members);
  };

  test.each([
    { name: "nothing said", members: input() },
    { name: "a cap that is not sent", members: `"max_output_tokens":5,${input()}` },
  ])("$name: a budget that holds no whole answer of the model refuses it", async ({ members }) => {
    const response = await shorten(0.02, members);
    expect({ status: response.status, code: await codeOf(response) }).toEqual({ status: 402, code: "budget_exceeded" });
    expect(rig.upstream.calls).toEqual([]);
  });

  test("one that holds it lets it go on", async () => {
    const response = await shorten(0.5);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-output-cap")).toBeNull();
  });
});

describe("behind the gate, a block that tells of no tool carries nothing else", () => {
  const inside = [{ type: "mcp_tool_result", tool_use_id: "a", content: [{ type: "text", text: RESULT }] }];
  const blocks = [
    { server_tool_blocks: [{ type: "compaction", content: inside }] },
    { server_tool_blocks: [{ type: "compaction", content: { tool_result: RESULT } }] },
    { server_tool_blocks: [{ type: "compaction", content: "short", input: { result: RESULT } }] },
    { server_tool_blocks: [{ type: "fallback", content: RESULT, input: { result: RESULT } }] },
    { server_tool_blocks: [{ type: "fallback", from: { model: "a", result: RESULT }, to: { model: "b" } }] },
    { server_tool_blocks: [{ type: "container_upload", file_id: "f", input: { result: RESULT }, content: inside }] },
    {
      bedrock_blocks: [
        { type: "compaction", toolUse: { toolUseId: "a", name: "nova_grounding", input: {}, type: "server_tool_use" } },
        {
          type: "compaction",
          toolResult: { toolUseId: "a", type: "nova_grounding_result", content: [{ text: RESULT }] },
        },
      ],
    },
  ];
  const targets = { anthropic: "claude-sonnet-4-5", bedrock: "amazon.nova-2-lite-v1:0" };
  const cases = Object.entries(targets).flatMap(([provider, model]) =>
    blocks.map((members) => ({ provider, model, members, name: JSON.stringify(members).slice(0, 80) })),
  );

  test.each(cases)("$provider: $name", async ({ provider, model, members }) => {
    const route = await rig.route({ providers: [provider], targets: [{ model }], policy: GATED });
    rig.upstream.script(billedWire(provider).whole("Hm.", { input: 1, output: 1 }));
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: "x", ...members },
      { role: "user", content: "go on" },
    ];
    await (await post(route, CHAT, `"messages":${JSON.stringify(messages)}`)).text();
    expect(rig.upstream.calls.map(({ body }) => body).join()).not.toContain(RESULT);
  });
});

describe("an approved call comes back as it was made, or not at all", () => {
  const args = '{"amount":9007199254740992,"to":"a"}';
  const CALLS = ["call_pay", "call_screen"];
  let route: TestRoute;

  beforeAll(async () => {
    route = await rig.route({ providers: ["openai"], policy: GATED });
    const made = [
      { type: "function_call", id: "fc_1", call_id: "call_pay", name: "pay", arguments: args, status: "completed" },
      {
        type: "computer_call",
        id: "cc_1",
        call_id: "call_screen",
        status: "completed",
        actions: [{ type: "click", x: 1 }],
      },
    ];
    rig.upstream.script({
      json: {
        ...{ id: "resp_1", object: "response", status: "completed", model: "m", output: made },
        usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
      },
    });
    await (await post(route, RESPONSES, `"tools":[{"type":"computer"}],${input()}`)).text();
    for (const id of CALLS) {
      const approve = async (): Promise<number> =>
        (await rig.worker.admin(`/admin/approvals/${id}?key=${route.keyId}`, { body: { decision: "approve" } })).status;
      await vi.waitFor(async () => expect(await approve()).toBe(200), { timeout: 3_000, interval: 20 });
    }
  });

  const pay = (given: string): string =>
    `{"type":"function_call","call_id":"call_pay","name":"pay","arguments":${given}}`;
  const paid = `{"type":"function_call_output","call_id":"call_pay","output":"done"}`;
  const click = (more: string): string => `{"type":"computer_call","call_id":"call_screen",${more}}`;
  const clicked = `{"type":"computer_call_output","call_id":"call_screen","output":{"type":"computer_screenshot","image_url":"https://i.example/a.png"}}`;
  const ALTERED = { status: 403, code: "tool_call_altered" };
  const INVALID = { status: 400, code: "invalid_request" };
  const FINE = { status: 200, code: null };

  test.each([
    { name: "as a text", items: [pay(JSON.stringify(args)), paid], wanted: FINE },
    { name: "as an object that means the same", items: [pay('{"to":"a","amount":12}'), paid], wanted: ALTERED },
    { name: "as an object whose number may have been another", items: [pay(args), paid], wanted: ALTERED },
    {
      name: "with a number that a double rounds",
      items: [pay('{"amount":9007199254740993,"to":"a"}'), paid],
      wanted: ALTERED,
    },
    {
      name: "with a key given twice",
      items: [pay('{"amount":5,"amount":9007199254740992,"to":"a"}'), paid],
      wanted: INVALID,
    },
    { name: "a click", items: [click('"actions":[{"type":"click","x":1}]'), clicked], wanted: FINE },
    {
      name: "a click with another action next to it",
      items: [click('"actions":[{"type":"click","x":1}],"action":{"type":"type","text":"rm -rf /"}'), clicked],
      wanted: ALTERED,
    },
  ])("$name", async ({ items, wanted }) => {
    rig.upstream.script(billedWire("responses").whole("Hm.", { input: 1, output: 1 }));
    const members = `"input":[{"role":"user","content":"hi"},${items.join()}]`;
    const response = await post(route, RESPONSES, members);
    const code = response.status === 200 ? null : await codeOf(response);
    expect({ status: response.status, code }).toEqual(wanted);
  });
});
