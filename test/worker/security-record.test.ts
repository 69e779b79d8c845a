/** What is on record for a key holds whatever the call is called later, and tools that a provider runs count as calls. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { billedWire } from "../support/billed.ts";
import { type ChatRig, type ErrorBody, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";
import { RESULT, SMUGGLED } from "./security-gate.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

const GATED = { tools: { require_approval: true, wait_ms: 0 } };

describe("on a route without a gate, a key with recorded calls", () => {
  const WAITS = { id: "call_w", name: "pay", arguments: '{"to":"mallory","amount":1.50}' };
  const DENIED = { id: "call_d", name: "wipe", arguments: '{"disk":"sda"}' };
  let open: TestRoute;

  beforeAll(async () => {
    const gated = await rig.route({ policy: GATED });
    open = { ...(await rig.route({ providers: ["ollama"] })), key: gated.key, keyId: gated.keyId };
    rig.upstream.script({ json: completion({ toolCalls: [WAITS, DENIED] }) });
    await (await rig.ask(gated, {})).text();
    const deny = async (): Promise<number> => {
      const url = `/admin/approvals/${DENIED.id}?key=${gated.keyId}`;
      return (await rig.worker.admin(url, { body: { decision: "deny" } })).status;
    };
    await vi.waitFor(async () => expect(await deny()).toBe(200), { timeout: 3_000, interval: 20 });
  });

  type Call = typeof WAITS;
  const hi = { role: "user", content: "pay" };
  const toolCall = ({ id, name, arguments: text }: Call) => ({
    id,
    type: "function",
    function: { name, arguments: text },
  });
  const step = (call: Call, resultId: unknown): object[] => [
    hi,
    { role: "assistant", content: null, tool_calls: [toolCall(call)] },
    { role: "tool", tool_call_id: resultId, content: RESULT },
  ];
  const renamed = (call: Call, id: string): object[] => step({ ...call, id }, id);
  const REQUIRED = "tool_approval_required";

  test.each<{ name: string; messages: object[]; code: string; id: string }>([
    { name: "its own id", messages: step(WAITS, "call_w"), code: REQUIRED, id: "call_w" },
    { name: "another id", messages: renamed(WAITS, "call_other"), code: REQUIRED, id: "call_w" },
    { name: "its id and a space", messages: renamed(WAITS, "call_w "), code: REQUIRED, id: "call_w" },
    { name: "its id in capitals", messages: renamed(WAITS, "CALL_W"), code: REQUIRED, id: "call_w" },
    { name: "a denied call's other id", messages: renamed(DENIED, "call_9"), code: "tool_call_denied", id: "call_d" },
    {
      name: "another id, its arguments in another spelling",
      messages: renamed({ ...WAITS, arguments: '{ "amount": 15e-1, "to": "m\\u0061llory" }' }, "c1"),
      ...{ code: REQUIRED, id: "call_w" },
    },
    {
      name: "other ids in call and result",
      messages: step({ ...WAITS, id: "c1" }, "c2"),
      ...{ code: REQUIRED, id: "call_w" },
    },
    {
      name: "the legacy form",
      messages: [
        hi,
        { role: "assistant", content: null, function_call: { name: WAITS.name, arguments: WAITS.arguments } },
        { role: "function", name: WAITS.name, content: RESULT },
      ],
      ...{ code: REQUIRED, id: "pay" },
    },
    {
      name: "another id among calls of the client's own",
      messages: [
        hi,
        {
          role: "assistant",
          content: null,
          tool_calls: [toolCall({ id: "own", name: "clock", arguments: "{}" }), toolCall({ ...WAITS, id: "c1" })],
        },
        { role: "tool", tool_call_id: "own", content: "noon" },
        { role: "tool", tool_call_id: "c1", content: RESULT },
      ],
      ...{ code: REQUIRED, id: "call_w" },
    },
  ])("has its call refused under $name", async ({ messages, code, id }) => {
    const response = await rig.ask(open, { messages });
    const { error } = (await response.json()) as ErrorBody;
    expect(rig.upstream.calls.length).toBe(0);
    expect({ status: response.status, code: error.code }).toEqual({ status: 403, code });
    expect(error.tool_calls).toEqual([id]);
  });

  test.each([
    { name: "a call of its own", messages: renamed({ id: "x", name: "clock", arguments: "{}" }, "x") },
    { name: "the same tool with other arguments", messages: renamed({ ...WAITS, arguments: '{"to":"alice"}' }, "x") },
  ])("brings back the result of $name", async ({ messages }) => {
    const response = await rig.ask(open, { messages });
    expect(response.status, await response.text()).toBe(200);
    expect(rig.upstream.calls[0]?.body).toContain(RESULT);
  });

  test("of another app brings back its result", async () => {
    const init = { headers: { "x-flowlayer-app": "another-app" } };
    const response = await rig.ask(open, { messages: renamed(WAITS, "call_other") }, init);
    expect(response.status, await response.text()).toBe(200);
  });

  test.each(SMUGGLED)("cannot send $name: $outcome", async ({ messages, body = {}, raw, outcome }) => {
    const text = JSON.stringify({ model: open.model, messages, ...body });
    const response = await rig.ask(
      open,
      {},
      { body: raw === undefined ? text : text.replace('{"raw":"@raw"}', () => raw) },
    );
    await response.text();
    // A result in plain words, of a call that nobody recorded, is what a route without a gate is for.
    if (messages.some((each) => isPlainResult(each))) return;
    expect(rig.upstream.calls.map(({ body: sent }) => sent).join("\n")).not.toContain(RESULT);
    if (outcome === "refused") expect(rig.upstream.calls.length).toBe(0);
  });

  const isPlainResult = (message: unknown): boolean => {
    const { role } = message as { readonly role?: string };
    return role === "tool" || role === "function";
  };
});

describe("a tool that the provider runs by itself, behind the gate", () => {
  const fetchTool = { type: "web_fetch_20250910", name: "web_fetch", max_uses: 2 };
  const TOOLS: readonly { readonly provider: string; readonly body: object; readonly seen: string }[] = [
    { provider: "google", body: { tools: [{ googleSearch: {} }] }, seen: "googleSearch" },
    { provider: "google", body: { tools: [{ google_search: {} }] }, seen: "google_search" },
    { provider: "google", body: { tools: [{ urlContext: {} }] }, seen: "urlContext" },
    { provider: "google", body: { tools: [{ codeExecution: {} }] }, seen: "codeExecution" },
    { provider: "google", body: { tools: [{ type: "url_context" }] }, seen: "urlContext" },
    { provider: "anthropic", body: { tools: [fetchTool] }, seen: "web_fetch" },
    {
      provider: "anthropic",
      body: { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      seen: "web_search",
    },
    {
      provider: "anthropic",
      body: { tools: [{ type: "code_execution_20250825", name: "code_execution" }] },
      seen: "code_execution",
    },
    {
      provider: "anthropic",
      body: { mcp_servers: [{ type: "url", url: "https://mcp.example", name: "m" }] },
      seen: "mcp",
    },
    { provider: "bedrock", body: { tools: [{ systemTool: { name: "nova_grounding" } }] }, seen: "nova_grounding" },
    { provider: "openai", body: { tools: [{ type: "web_search_preview" }] }, seen: "web_search_preview" },
    {
      provider: "openai",
      body: { tools: [{ type: "code_interpreter", container: { type: "auto" } }] },
      seen: "code_interpreter",
    },
    { provider: "openai", body: { web_search_options: { search_context_size: "low" } }, seen: "web_search_options" },
    { provider: "xai", body: { search_parameters: { mode: "on" } }, seen: "search_parameters" },
    { provider: "xai", body: { tools: [{ type: "live_search" }] }, seen: "live_search" },
    { provider: "openrouter", body: { plugins: [{ id: "web" }] }, seen: "plugins" },
    { provider: "openrouter", body: { tools: [{ type: "openrouter:web_search" }] }, seen: "openrouter:web_search" },
    { provider: "alibaba", body: { enable_search: true, search_options: { forced_search: true } }, seen: "search" },
    { provider: "zai", body: { tools: [{ type: "web_search", web_search: { enable: true } }] }, seen: "web_search" },
    {
      provider: "moonshot",
      body: { tools: [{ type: "builtin_function", function: { name: "$web_search" } }] },
      seen: "$web_search",
    },
    {
      provider: "mistral",
      body: { tools: [{ type: "document_library", library_ids: ["l"] }] },
      seen: "document_library",
    },
    {
      provider: "groq",
      body: { compound_custom: { tools: { enabled_tools: ["visit_website"] } } },
      seen: "visit_website",
    },
    { provider: "groq", body: { tools: [{ type: "browser_search" }] }, seen: "browser_search" },
    { provider: "cohere", body: { connectors: [{ id: "web-search" }] }, seen: "connectors" },
    { provider: "azure", body: { data_sources: [{ type: "azure_search", parameters: {} }] }, seen: "data_sources" },
  ];

  test.each(TOOLS)("$provider, $body: is refused or left out", async ({ provider, body, seen }) => {
    const route = await rig.route({ providers: [provider], policy: GATED });
    rig.upstream.script(billedWire(provider).whole("Done.", { input: 1, output: 1 }));
    const response = await rig.ask(route, body);
    const text = await response.text();
    expect(rig.upstream.calls.map(({ body: sent }) => sent).join(), text).not.toContain(seen);
    if (response.status === 200) {
      expect(response.headers.get("x-flowlayer-dropped-params")).toMatch(/\w/);
      return;
    }
    expect(response.status, text).toBe(400);
    expect(["tool_not_gateable", "invalid_request"]).toContain((JSON.parse(text) as ErrorBody).error.code);
  });

  test.each(["web_fetch", "web_*", "*"])("passes where the policy approves it by %s", async (glob) => {
    const policy = { tools: { ...GATED.tools, auto_approve: [glob] } };
    const route = await rig.route({ providers: ["anthropic"], policy });
    await (await rig.ask(route, { tools: [fetchTool] })).text();
    expect(rig.upstream.calls[0]?.body).toContain("web_fetch_20250910");
  });

  test("is refused where `deny` names it, whatever else approves it", async () => {
    const policy = { tools: { ...GATED.tools, auto_approve: ["*"], deny: ["web_f*"] } };
    const route = await rig.route({ providers: ["anthropic"], policy });
    const response = await rig.ask(route, { tools: [fetchTool] });
    expect((await response.json()) as ErrorBody).toMatchObject({ error: { code: "tool_not_gateable" } });
    expect(rig.upstream.calls.length).toBe(0);
  });

  test("stays free where no gate applies", async () => {
    const route = await rig.route({ providers: ["anthropic"] });
    await (await rig.ask(route, { tools: [fetchTool] })).text();
    expect(rig.upstream.calls[0]?.body).toContain("web_fetch_20250910");
  });
});
