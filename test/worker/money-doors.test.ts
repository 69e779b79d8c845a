/** Bounds hold behind every door: what chat has no word for reaches Claude all the same, and counts. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { billedWire } from "../support/billed.ts";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

type Json = Readonly<Record<string, unknown>>;

const budgetOf = (limit_usd: number) => ({ budget: { limit_usd, period: "total" } });

const claudeRoute = (limits: Json = {}, limitUsd = 1): Promise<TestRoute> =>
  rig.route({
    providers: ["anthropic"],
    targets: [{ model: "claude-sonnet-4-5" }],
    key: budgetOf(limitUsd),
    policy: { limits },
  });

function ask(route: TestRoute, body: Json): Promise<Response> {
  rig.upstream.script(billedWire("anthropic").whole("Fine.", { input: 100, output: 10 }));
  return rig.worker.fetch("/v1/messages", {
    method: "POST",
    headers: { "x-api-key": route.key, "content-type": "application/json" },
    body: JSON.stringify({ model: route.model, max_tokens: 100, messages: said("Hello."), ...body }),
  });
}

const said = (content: unknown): Json[] => [{ role: "user", content }];
const SEARCH = { type: "web_search_20250305", name: "web_search", max_uses: 2 };
const DOCUMENT = { type: "document", source: { type: "url", url: "https://files.example/a.pdf" } };

describe("behind the Messages door, on a key with a budget", () => {
  test.each<[string, Json, string]>([
    ["a document by its address", { messages: said([DOCUMENT]) }, "messages[0].content[0]"],
    [
      "a document inside the request",
      {
        messages: said([
          { type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBERi0=" } },
        ]),
      },
      "messages[0].content[0]",
    ],
    [
      "a document by its address in a result",
      {
        messages: [
          ...said("Look."),
          { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "look", input: {} }] },
          ...said([{ type: "tool_result", tool_use_id: "toolu_1", content: [DOCUMENT] }]),
        ],
        tools: [{ name: "look", input_schema: { type: "object" } }],
      },
      "messages[2].content[0].content[0]",
    ],
    [
      "a picture by its id",
      { messages: said([{ type: "image", source: { type: "file", file_id: "file_1" } }]) },
      "messages[0].content[0]",
    ],
    [
      "a block of a type that nobody knows",
      { messages: said([{ type: "hologram", data: "AAAA" }]) },
      "messages[0].content[0]",
    ],
    [
      "a file in a container",
      { messages: said([{ type: "container_upload", file_id: "f" }]) },
      "messages[0].content[0]",
    ],
    ["a search without a ceiling", { tools: [SEARCH] }, "tools[0]"],
    ["code that runs at the provider", { tools: [{ type: "code_execution_20250825", name: "code" }] }, "tools[0]"],
    ["servers of tools", { mcp_servers: [{ type: "url", url: "https://mcp.example", name: "m" }] }, "mcp_servers"],
    ["a container", { container: "container_1" }, "container"],
    ["other models", { fallbacks: [{ model: "claude-opus-4-1" }] }, "fallbacks"],
    ["a summary", { context_management: { edits: [{ type: "compact_20260112" }] } }, "context_management"],
    ["a member that nobody knows", { turbo: { enabled: true } }, "turbo"],
  ])("%s is not sent, as nothing bounds it", async (_, body, path) => {
    const route = await claudeRoute();
    const response = await ask(route, body);
    const text = await response.text();
    expect(response.status, text).toBe(402);
    expect(JSON.parse(text)).toMatchObject({ error: { type: "billing_error", code: "model_unpriced" } });
    expect(text).toContain(path);
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test("what a coding agent sends is sent: thinking, marks, cleared context, tools, results and pictures", async () => {
    const route = await claudeRoute();
    const response = await ask(route, {
      system: [{ type: "text", text: "You are an agent.", cache_control: { type: "ephemeral", ttl: "1h" } }],
      thinking: { type: "enabled", budget_tokens: 1_024 },
      max_tokens: 2_000,
      metadata: { user_id: "user_1" },
      context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
      tools: [{ name: "Read", input_schema: { type: "object" }, eager_input_streaming: true }],
      messages: [
        ...said([{ type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } }]),
        { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "Read", input: { path: "/a" } }] },
        ...said([{ type: "tool_result", tool_use_id: "toolu_1", content: "text", is_error: false }]),
      ],
    });
    expect(response.status, await response.clone().text()).toBe(200);
  });

  test("a search and a document with ceilings are sent, and a budget below their bound refuses them", async () => {
    const body = { tools: [SEARCH], messages: said([DOCUMENT, { type: "text", text: "Compare." }]) };
    const limits = { part_tokens: { file: 50_000 }, tool_tokens: { web_search: 20_000 } };
    expect((await ask(await claudeRoute(limits), body)).status).toBe(200);
    const refused = await ask(await claudeRoute(limits, 0.2), body);
    expect(await refused.json()).toMatchObject({ error: { code: "budget_exceeded" } });
  });

  test("what the provider signed counts by its bytes, though chat leaves it out", async () => {
    const thought = { type: "thinking", thinking: "Hm.", signature: "A".repeat(100_000) };
    const messages = [...said("Hi."), { role: "assistant", content: [thought, { type: "text", text: "Yes?" }] }];
    const body = { messages: [...messages, ...said("Go on.")] };
    expect((await ask(await claudeRoute(), body)).status).toBe(200);
    expect((await ask(await claudeRoute({}, 0.5), body)).status).toBe(402);
  });

  test("a region that costs more counts", async () => {
    const text = "x".repeat(60_000);
    const plain = await ask(await claudeRoute({}, 0.38), { messages: said(text) });
    expect(plain.status).toBe(200);
    const there = await ask(await claudeRoute({}, 0.38), { messages: said(text), inference_geo: "us" });
    expect(there.status).toBe(402);
  });
});

describe.each([
  ["Claude", "anthropic", "claude-sonnet-4-5"],
  ["a model that has tools over the same API", "openai", "gpt-5.4"],
])("behind the Responses door, on a key with a budget: %s", (_, provider, model) => {
  const LOOK_UP = { type: "function", name: "look_up", parameters: { type: "object", properties: {} } };
  const send = async (body: Json): Promise<Response> => {
    const route = await rig.route({ providers: [provider], targets: [{ model }], key: budgetOf(1) });
    rig.upstream.script(billedWire(provider).whole("Fine.", { input: 100, output: 10 }));
    return rig.worker.fetch("/v1/responses", {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({ model: route.model, max_output_tokens: 100, input: "Hello.", tools: [LOOK_UP], ...body }),
    });
  };

  test.each<[string, Json]>([
    ["a document by its address", { input: said([{ type: "input_file", file_url: "https://files.example/a.pdf" }]) }],
    ["a file by its id", { input: said([{ type: "input_file", file_id: "file-1" }]) }],
    ["a picture by its id", { input: said([{ type: "input_image", file_id: "file-1" }]) }],
    ["an item that nobody knows", { input: [{ type: "hologram", data: "AAAA" }, ...said("Hi.")] }],
    ["a search", { tools: [LOOK_UP, { type: "web_search" }] }],
    ["a search of files", { tools: [LOOK_UP, { type: "file_search", vector_store_ids: ["v"] }] }],
    ["servers of tools", { tools: [LOOK_UP, { type: "mcp", server_label: "m", server_url: "https://mcp.example" }] }],
    ["code that runs at the provider", { tools: [LOOK_UP, { type: "code_interpreter", container: { type: "auto" } }] }],
    ["a stored prompt", { prompt: { id: "pmpt_1" } }],
    ["a summary", { context_management: [{ type: "compaction", compact_threshold: 1_000 }] }],
    ["a member that nobody knows", { turbo: { enabled: true } }],
  ])("%s is not sent, as nothing bounds it", async (_name, body) => {
    const response = await send(body);
    const text = await response.text();
    expect([400, 402], text).toContain(response.status);
    expect(rig.upstream.calls, text).toHaveLength(0);
  });

  test("what a coding agent sends is sent", async () => {
    const input = said([{ type: "input_text", text: "Go." }]);
    await send({ input, include: ["reasoning.encrypted_content"], client_metadata: { a: "b" }, store: false });
    expect(rig.upstream.calls.length).toBeGreaterThan(0);
  });
});
