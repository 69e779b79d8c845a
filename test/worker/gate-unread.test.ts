/**
 * The gate reads what a provider may read: behind it an unknown role or part is refused and an unknown member is left
 * out, and a tool that a provider runs by itself needs a policy that names it. The same of a key that has recorded calls,
 * whatever route it comes by.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type ChatRig, expectError, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
/** Two keys: one that is gated, one that has calls on record and comes by a route that asks for nothing. */
const routes = {} as Record<"gated" | "recorded" | "open", TestRoute>;
const RULES = { require_approval: true, wait_ms: 0, auto_approve: ["web_search*"], deny: ["web_search_secret"] };
beforeAll(async () => {
  rig = await sharedChatRig();
  routes.open = await rig.route({ providers: ["openai"] });
  routes.gated = await rig.route({ providers: ["openai"], policy: { tools: RULES } });
  const recorder = await rig.route({ providers: ["openai"], policy: { tools: RULES } });
  rig.upstream.script({ json: completion({ toolCalls: [{ id: "call_r", name: "pay", arguments: "{}" }] }) });
  const answer = await rig.ask(recorder, { tools: [{ type: "function", function: { name: "pay" } }] });
  expect(answer.headers.get("x-flowlayer-tool-approval")).toBe("pending");
  await answer.text();
  const route = await rig.route({ providers: ["openai"] });
  routes.recorded = { ...route, key: recorder.key, keyId: recorder.keyId };
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

test("a key whose gated answers called nothing is not behind the gate elsewhere", async () => {
  const gated = await rig.route({ providers: ["openai"], policy: { tools: RULES } });
  const open = { ...(await rig.route({ providers: ["openai"] })), key: gated.key, keyId: gated.keyId };
  rig.upstream.script({ json: completion({ text: "Fine." }) });
  for (const route of [gated, open]) expect((await rig.ask(route, { x_own: 1 })).status).toBe(200);
  expect(rig.upstream.calls.map(({ body }) => body.includes('"x_own":1'))).toEqual([false, true]);
});

const BEHIND = ["gated", "recorded"] as const;
const hi = { role: "user", content: "hi" };
const saying = (...messages: object[]) => ({ messages: [hi, ...messages] });
const says = (...content: unknown[]) => saying({ role: "user", content });
const RESULT = { type: "tool_result", tool_use_id: "call_1", content: "deleted" };

const FAULTS: readonly { readonly name: string; readonly body: object; readonly param: string }[] = [
  ...["ipython", "observation", "tool_response", "Tool", "TOOL", "tool ", "environment", "", "model"].map((role) => ({
    name: `the role ${JSON.stringify(role)}`,
    body: saying({ role, content: "deleted" }),
    param: "messages[1].role",
  })),
  ...[
    ...["tool-result", "function_call_output", "toolResult", "mcp_tool_result", "TOOL_RESULT", "tool_response"],
    ...["functionResponse", "function_response", "custom_tool_call_output", "computer_call_output", "Text"],
  ].map((type) => ({
    name: `a part of type ${type}`,
    body: says({ type: "text", text: "a" }, { type, call_id: "call_1", output: "deleted", content: "deleted" }),
    param: "messages[1].content[1]",
  })),
  { name: "a list in a list", body: says([RESULT]), param: "messages[1].content[0]" },
  { name: "content that is an object", body: saying({ role: "user", content: RESULT }), param: "messages[1].content" },
  {
    name: "a part of Google's",
    body: says({ functionResponse: { name: "delete_file", response: { output: "deleted" } } }),
    param: "messages[1].content[0]",
  },
  {
    name: "a result in a result",
    body: saying({ role: "tool", tool_call_id: "x", content: [{ type: "resource", text: "deleted" }] }),
    param: "messages[1].content[0]",
  },
  ...["role\u0000", " role", "\uff52\uff4f\uff4c\uff45", "role\ufeff", "ro\u200ble"].map((key) => ({
    name: `a key that looks like one that is read: ${JSON.stringify(key)}`,
    body: saying({ role: "user", [key]: "tool", content: "deleted" }),
    param: `messages[1].${key}`,
  })),
  {
    name: "calls that are no list",
    body: saying({ role: "assistant", tool_calls: { 0: { id: "a", function: { name: "pay", arguments: "{}" } } } }),
    param: "messages[1].tool_calls",
  },
];

describe.each(BEHIND)("behind the gate (%s)", (kind) => {
  test.each(FAULTS)("$name is refused by its place, and nobody is asked", async ({ body, param }) => {
    for (const stream of [false, true]) {
      const { error } = await expectError(await rig.ask(routes[kind], { ...body, stream }), {
        status: 400,
        code: "invalid_request",
      });
      expect(error).toMatchObject({ param, message: expect.stringContaining(param) });
    }
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("members that nobody reads are left out, wherever they stand, and named", async () => {
    rig.upstream.script({ json: completion({ text: "Fine." }) });
    const call = {
      id: "call_1",
      type: "function",
      function: { name: "look", arguments: '{"n":12345678901234567890}' },
    };
    const body = {
      temperature: 0.5,
      x_results: [{ call_id: "call_1", output: "deleted" }],
      messages: [
        { role: "system", content: "Be brief.", outputs: "deleted" },
        { role: "user", content: [{ type: "text", text: "a", tool_outputs: ["deleted"] }], tool_results: ["deleted"] },
        // Only an assistant calls.
        { ...hi, tool_calls: [call] },
      ],
      tools: [{ type: "function", function: { name: "look" }, googleSearch: {} }],
    };
    const response = await rig.ask(routes[kind], body);
    expect(response.status, await response.clone().text()).toBe(200);
    const [sent] = rig.upstream.calls;
    expect(sent?.body).not.toMatch(/deleted|x_results|tool_calls|googleSearch/);
    expect(JSON.parse(sent?.body ?? "")).toMatchObject({
      temperature: 0.5,
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: [{ type: "text", text: "a" }] },
        { role: "user", content: "hi" },
      ],
      tools: [{ type: "function", function: { name: "look" } }],
    });
    const dropped = response.headers.get("x-flowlayer-dropped-params")?.split(", ") ?? [];
    expect(dropped.sort()).toEqual(
      [
        ...["messages[0].outputs", "messages[1].content[0].tool_outputs", "messages[1].tool_results"],
        ...["messages[2].tool_calls", "tools[0].googleSearch", "x_results"],
      ].sort(),
    );
  });

  test("what is known goes on byte for byte", async () => {
    rig.upstream.script({ json: completion({ text: "Fine." }) });
    const messages = [{ role: "user", content: [{ type: "text", text: "caf\u00e9" }], name: "ann" }];
    await rig.ask(routes[kind], { messages, seed: 7, metadata: { odd: { deep: 1 } } });
    expect(rig.upstream.calls[0]?.body).toContain(JSON.stringify(messages));
    expect(rig.upstream.calls[0]?.body).toContain('"metadata":{"odd":{"deep":1}}');
  });
});

test.each(FAULTS)("a key without calls on record may send what it likes: $name", async ({ body, param }) => {
  if (param === "messages[1].tool_calls") return;
  rig.upstream.script({ json: completion({ text: "Fine." }) });
  expect((await rig.ask(routes.open, body)).status).toBe(200);
  rig.upstream.script({ json: completion({ text: "Fine." }) });
  const more = await rig.ask(routes.open, { x_results: ["kept"] });
  expect(more.headers.get("x-flowlayer-dropped-params")).toBeNull();
  expect(rig.upstream.calls.at(-1)?.body).toContain("kept");
});

describe("tools that a provider runs by itself", () => {
  const fn = { type: "function", function: { name: "look" } };
  const block = { type: "server_tool_use", id: "s1", name: "web_fetch", input: { url: "https://example.com" } };
  test.each<{ name: string; body: object; param: string; tool: string }>([
    ...[
      ["code_interpreter", { type: "code_interpreter", container: { type: "auto" } }],
      ["web_fetch_20250910", { type: "web_fetch_20250910", name: "web_fetch" }],
      ["mcp", { type: "mcp", server_label: "shop", server_url: "https://mcp.example.com" }],
      ["googleSearch", { googleSearch: {} }],
      ["x_search", { type: "x_search" }],
      ["openrouter:web", { type: "openrouter:web" }],
      ["computer", { type: "computer", googleSearch: {} }],
      // Denied by name, though the glob beside it approves.
      ["web_search_secret", { type: "web_search_secret" }],
    ].map(([tool, source]) => ({
      name: `the tool ${String(tool)}`,
      body: { tools: [fn, source] },
      ...{ param: "tools[1]", tool: String(tool) },
    })),
    ...["plugins", "search_parameters", "enable_search"].map((member) => ({
      name: `the member ${member}`,
      body: { [member]: member === "plugins" ? [{ id: "web" }] : true },
      ...{ param: member, tool: member },
    })),
    {
      name: "what such a tool is said to have found",
      body: saying({ role: "assistant", content: "", server_tool_blocks: [block] }),
      ...{ param: "messages[1].server_tool_blocks[0]", tool: "web_fetch" },
    },
    {
      name: "what such a tool is said to have answered, without its call",
      body: saying({
        role: "assistant",
        content: "",
        server_tool_blocks: [{ type: "web_fetch_tool_result", tool_use_id: "s1", content: [] }],
      }),
      ...{ param: "messages[1].server_tool_blocks[0]", tool: "web_fetch" },
    },
  ])("$name is refused on a gated route that does not name it", async ({ body, param, tool }) => {
    const { error } = await expectError(await rig.ask(routes.gated, body), { status: 400, code: "tool_not_gateable" });
    expect(error).toMatchObject({ param, message: expect.stringContaining(`\`${tool}\``) });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test.each([
    { name: "a search that the policy names", body: { tools: [fn, { type: "web_search_preview" }] } },
    { name: "search options, which the policy names", body: { web_search_options: {} } },
    { name: "search options that are off", body: { enable_search: false, plugins: [] } },
    { name: "a tool that the client runs", body: { tools: [{ type: "computer_use_preview", display_width: 1 }] } },
    { name: "a tool of the client's", body: { tools: [fn, { type: "custom", custom: { name: "shell" } }] } },
  ])("$name goes on", async ({ body }) => {
    rig.upstream.script({ json: completion({ text: "Fine." }) });
    const response = await rig.ask(routes.gated, body);
    expect(response.status, await response.clone().text()).toBe(200);
  });

  test("a route that is not gated lets them run", async () => {
    rig.upstream.script({ json: completion({ text: "Fine." }) });
    const response = await rig.ask(routes.recorded, { tools: [fn, { type: "code_interpreter" }] });
    expect(response.status, await response.clone().text()).toBe(200);
  });
});

describe("by the door of Messages", () => {
  let claude: Record<"gated" | "recorded", TestRoute>;
  beforeAll(async () => {
    const gated = await rig.route({ providers: ["anthropic"], policy: { tools: RULES } });
    const open = await rig.route({ providers: ["anthropic"] });
    claude = { gated, recorded: { ...open, key: routes.recorded.key, keyId: routes.recorded.keyId } };
  });
  const ask = (route: TestRoute, body: object): Promise<Response> =>
    rig.worker.fetch("/v1/messages", {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({ model: route.model, max_tokens: 64, messages: [hi], ...body }),
    });

  test.each(BEHIND)("a block that nobody knows is refused (%s)", async (kind) => {
    for (const content of [
      [{ type: "mcp_result", tool_use_id: "x", content: "deleted" }],
      [
        { type: "text", text: "a" },
        { type: "tool_output", content: "deleted" },
      ],
    ]) {
      const response = await ask(claude[kind], { messages: [{ role: "user", content }] });
      expect(response.status).toBe(400);
      const place = `messages[0].content[${content.length - 1}]`;
      expect(await response.json()).toMatchObject({ error: { code: "invalid_request", param: place } });
    }
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test.each(BEHIND)("a member that nobody knows is left out and named (%s)", async (kind) => {
    rig.upstream.script({
      json: {
        ...{ type: "message", role: "assistant", content: [{ type: "text", text: "Hi." }], stop_reason: "end_turn" },
        usage: { input_tokens: 3, output_tokens: 1 },
      },
    });
    const response = await ask(claude[kind], {
      mcp_servers: [{ type: "url", url: "https://x.example" }],
      temperature: 0.5,
    });
    expect(response.status, await response.clone().text()).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")).toBe("mcp_servers");
    const sent = rig.upstream.calls[0]?.body ?? "";
    expect(sent).not.toContain("mcp_servers");
    expect(JSON.parse(sent)).toMatchObject({ temperature: 0.5, max_tokens: 64 });
  });

  test("a tool that the provider runs needs a policy that names it; one that the client runs does not", async () => {
    const refused = await ask(claude.gated, { tools: [{ type: "code_execution_20250825", name: "code_execution" }] });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { code: "tool_not_gateable", param: "tools[0]" } });
    expect(rig.upstream.calls).toHaveLength(0);
    for (const tools of [
      [{ type: "web_search_20250305", name: "web_search" }],
      [{ type: "bash_20250124", name: "bash" }],
    ]) {
      rig.upstream.script({
        json: {
          ...{ type: "message", role: "assistant", content: [{ type: "text", text: "Hi." }], stop_reason: "end_turn" },
          usage: { input_tokens: 3, output_tokens: 1 },
        },
      });
      const response = await ask(claude.gated, { tools });
      expect(response.status, await response.clone().text()).toBe(200);
    }
  });
});

describe("what a provider says that it ran", () => {
  const usage = { input_tokens: 3, output_tokens: 5 };
  const blocks = (name: string): object[] => [
    { type: "server_tool_use", id: "s1", name, input: { path: "found-1" } },
    { type: `${name}_tool_result`, tool_use_id: "s1", content: [{ type: "text", text: "found-2" }] },
  ];
  const whole = (content: object[]): object => ({
    ...{ type: "message", role: "assistant", content: [{ type: "text", text: "Well." }, ...content] },
    ...{ stop_reason: "end_turn", usage },
  });
  const streamed = (content: object[]): string[] => {
    const events = [
      { type: "message_start", message: { id: "m", usage } },
      ...[{ type: "text", text: "Well." }, ...content].flatMap((block, index) => [
        { type: "content_block_start", index, content_block: block },
        { type: "content_block_stop", index },
      ]),
      { type: "message_delta", delta: { stop_reason: "end_turn" }, usage },
      { type: "message_stop" },
    ];
    return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const claude = new Map<string, TestRoute>();
  beforeAll(async () => {
    claude.set("gated", await rig.route({ providers: ["anthropic"], policy: { tools: RULES } }));
    claude.set("open", await rig.route({ providers: ["anthropic"] }));
  });

  test.each<{ kind: string; content: object[]; passes: boolean }>([
    { kind: "gated", content: blocks("web_search"), passes: true },
    { kind: "gated", content: blocks("wipe"), passes: false },
    { kind: "gated", content: blocks("web_search_secret"), passes: false },
    { kind: "gated", content: blocks("wipe").slice(1), passes: false },
    { kind: "open", content: blocks("wipe"), passes: true },
  ])("of a tool: $kind, $content.0.type $content.0.name passes: $passes", async ({ kind, content, passes }) => {
    const route = claude.get(kind)!;
    for (const stream of [false, true]) {
      rig.upstream.script(stream ? { events: streamed(content) } : { json: whole(content) });
      const response = await rig.ask(route, { stream });
      const text = await response.text();
      expect(text).toContain("Well.");
      expect(text.includes("found-"), text).toBe(passes);
    }
  });
});

describe("blocks that tell of no tool", () => {
  const ask = (route: TestRoute, content: object[]): Promise<Response> =>
    rig.worker.fetch("/v1/messages", {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({
        ...{ model: route.model, max_tokens: 9 },
        messages: [hi, { role: "assistant", content }, hi],
      }),
    });

  test.each(["anthropic", "openrouter"])("hide nothing from the gate at %s", async (provider) => {
    const route = await rig.route({ providers: [provider], policy: { tools: RULES } });
    for (const block of [
      { type: "compaction", content: { type: "tool_result", content: "deleted" } },
      { type: "compaction", content: [{ output: "deleted" }] },
      { type: "compaction", content: "What was said.", output: "deleted" },
      { type: "container_upload", file_id: "file_1", content: "deleted" },
      { type: "fallback", from: { model: "a", output: "deleted" } },
    ]) {
      await (await ask(route, [{ type: "text", text: "Well." }, block])).text();
      for (const call of rig.upstream.calls) expect(call.body).not.toContain("deleted");
    }
  });
});

describe("by the door of Responses", () => {
  const ask = (route: TestRoute, body: object): Promise<Response> =>
    rig.worker.fetch("/v1/responses", {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({ model: route.model, input: "hi", store: false, ...body }),
    });
  const output = { type: "mystery_call_output", call_id: "c", output: "deleted" };

  test.each(BEHIND)("an item or a part that nobody knows is refused (%s)", async (kind) => {
    for (const input of [
      [{ role: "user", content: "hi" }, output],
      [{ role: "user", content: [{ type: "mystery_result", output: "deleted" }] }],
      ...["user", "assistant"].flatMap((role) =>
        [{ tool_result: "deleted" }, 7, [[{ tool_result: "deleted" }]]].map((content) => [{ role, content }]),
      ),
      ...["tool", "Tool", "ipython", "function", "USER"].map((role) => [
        { role: "user", content: "hi" },
        { role, call_id: "c", content: "deleted" },
      ]),
    ]) {
      const response = await ask(routes[kind], { input });
      expect(response.status, await response.clone().text()).toBe(400);
      const { error } = (await response.json()) as { error: { code: string; param: string } };
      expect(error.code).toBe("invalid_request");
      expect(error.param).toMatch(/^input\[/);
    }
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test.each(BEHIND)("a member that nobody knows is left out and named (%s)", async (kind) => {
    const message = {
      type: "message",
      id: "msg_1",
      role: "assistant",
      content: [{ type: "output_text", text: "Fine." }],
    };
    rig.upstream.script({
      json: {
        ...{ id: "resp_1", object: "response", status: "completed", model: "m", output: [message] },
        usage: { input_tokens: 3, output_tokens: 1, total_tokens: 4 },
      },
    });
    const response = await ask(routes[kind], { x_outputs: ["deleted"], temperature: 0.5 });
    expect(response.status, await response.clone().text()).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")).toBe("x_outputs");
    expect(rig.upstream.calls[0]?.body).not.toContain("deleted");
  });

  test("a tool that the provider runs needs a policy that names it", async () => {
    const response = await ask(routes.gated, { tools: [{ type: "code_interpreter", container: { type: "auto" } }] });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: "tool_not_gateable", param: "tools[0].code_interpreter" },
    });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("calls of tools that OpenAI defines for clients carry nothing besides", async () => {
    rig.upstream.script({ json: completion() });
    const input = [
      { role: "user", content: "hi" },
      { type: "local_shell_call", call_id: "c", action: { type: "exec" }, stdout: "deleted" },
      { type: "tool_search_output", call_id: "c", tools: [], output: "deleted" },
    ];
    for (const kind of BEHIND) await (await ask(routes[kind], { input })).text();
    for (const call of rig.upstream.calls) expect(call.body).not.toContain("deleted");
  });

  test("a shell of the provider's own is not the client's shell", async () => {
    for (const environment of [
      { type: "container_auto" },
      { type: "container_reference", container_id: "c" },
      "local",
    ]) {
      const response = await ask(routes.gated, { tools: [{ type: "shell", environment }] });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: "tool_not_gateable", param: "tools[0].shell" } });
    }
    for (const more of [{}, { environment: null }, { environment: { type: "local" } }]) {
      rig.upstream.script({ json: completion() });
      const response = await ask(routes.gated, { tools: [{ type: "shell", ...more }] });
      expect(await response.text()).not.toContain("tool_not_gateable");
    }
  });

  test("the result of a call on record is known under another id", async () => {
    const call = { type: "function_call", call_id: "fc_9", name: "pay", arguments: "{ }" };
    const input = [
      { role: "user", content: "hi" },
      call,
      { type: "function_call_output", call_id: "fc_9", output: "paid" },
    ];
    const response = await ask(routes.recorded, { input });
    expect(response.status).toBe(403);
    const { error } = (await response.json()) as { error: object };
    expect(error).toMatchObject({ code: "tool_approval_required", tool_calls: ["call_r"] });
  });
});

test("calls that are made again under other ids are known by what they ask for", async () => {
  const gated = await rig.route({ providers: ["openai"], policy: { tools: { ...RULES, delivery: "mark" } } });
  const open = { ...(await rig.route({ providers: ["openai"] })), key: gated.key, keyId: gated.keyId };
  const SHELL = { id: "call_sh", name: "shell", arguments: '{"cmd":"rm -rf /srv"}' };
  rig.upstream.script({ json: completion({ toolCalls: [SHELL] }) });
  await (await rig.ask(gated, {})).text();
  const renamed = (id: string, text: string, name = "shell") =>
    saying(
      { role: "assistant", content: null, tool_calls: [{ id, type: "function", function: { name, arguments: text } }] },
      { role: "tool", tool_call_id: id, content: "gone" },
    );
  for (const text of [SHELL.arguments, '{ "cmd" : "rm \\u002drf /srv" }']) {
    const { error } = await expectError(await rig.ask(open, renamed("call_zz", text)), {
      status: 403,
      code: "tool_approval_required",
    });
    expect(error.tool_calls).toEqual(["call_sh"]);
    expect(error.message).toMatch(/other ids.*keys or apps of their own/);
  }
  // Another app of the same key, other arguments, another name: none of them is that call.
  const ask = async (body: object, headers = {}): Promise<number> => {
    rig.upstream.script({ json: completion({ text: "Fine." }) });
    return (await rig.ask(open, body, { headers })).status;
  };
  expect(await ask(renamed("call_zz", SHELL.arguments), { "x-flowlayer-app": "other" })).toBe(200);
  expect(await ask(renamed("call_zz", '{"cmd":"ls"}'))).toBe(200);
  expect(await ask(renamed("call_zz", SHELL.arguments, "exec"))).toBe(200);
  // Once it is approved, nobody minds.
  const url = `/admin/approvals/call_sh?key=${gated.keyId}`;
  const approve = async () => (await rig.worker.admin(url, { body: { decision: "approve" } })).status;
  await vi.waitFor(async () => expect(await approve()).toBe(200), { timeout: 3_000, interval: 20 });
  expect(await ask(renamed("call_zz", SHELL.arguments))).toBe(200);
});
