/**
 * What Claude Code and Codex send, played without them: paths, headers and members as they were seen of the real ones,
 * with words of our own. `cli.clients.ts` runs the real ones where they can be fetched.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { eventData, readStream } from "../support/sse.ts";
import { agentScript, SIGNATURE, type Step } from "./agent-scripts.ts";

type Json = Readonly<Record<string, unknown>>;

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const DONE = "The file has 2 lines.";
const DOWN = { status: 529, json: { type: "error", error: { type: "overloaded_error", message: "Overloaded" } } };
const SESSION = "5f0c1c4e-9a51-4a7c-8a5e-1f6f0f0b7c11";

/** Plays `steps` at each target; the first one dies after its first answer where `dies`. */
function play(route: TestRoute, steps: readonly Step[], dies: boolean): void {
  const script = agentScript(steps);
  for (const [at, model] of route.models.entries()) {
    rig.upstream.scriptFor(model, (call) =>
      dies && at === 0 && rig.upstream.callsTo(model).length > 1 ? DOWN : script(call),
    );
  }
}

/** All of the task is on record as one conversation. */
async function tracesAre(route: TestRoute, api: string): Promise<void> {
  const wanted = Array.from({ length: 4 }, () => [SESSION, api]);
  const read = async () => (await rig.traces(route)).map((trace) => [trace.session_id, trace.api]);
  await expect.poll(read, { timeout: 5_000 }).toEqual(wanted);
}

const CASES = [
  { name: "a target that speaks chat only", providers: ["groq"], dies: false },
  { name: "a target of OpenAI", providers: ["openai"], dies: false },
  { name: "a target of Anthropic", providers: ["anthropic"], dies: false },
  { name: "a provider that dies in the middle", providers: ["anthropic", "openai", "groq"], dies: true },
];

describe("Claude Code's protocol", () => {
  const TOOLS = ["Write", "Read", "Bash"].map((name) => ({
    ...{ name, description: `${name}s`, input_schema: { type: "object", properties: { path: { type: "string" } } } },
  }));
  const STEPS: readonly Step[] = [
    { text: "I write it.", calls: [{ name: "Write", input: { path: "notes.txt" } }] },
    { thinking: "Now I look.", calls: [{ name: "Read", input: { path: "notes.txt" } }] },
    { calls: [{ name: "Bash", input: { path: "." } }] },
    { text: DONE },
  ];

  const send = (route: TestRoute, body: object, path = "/v1/messages?beta=true"): Promise<Response> =>
    rig.worker.fetch(path, {
      method: "POST",
      headers: {
        ...{ authorization: `Bearer ${route.key}`, "content-type": "application/json" },
        ...{ "anthropic-version": "2023-06-01", "anthropic-dangerous-direct-browser-access": "true", "x-app": "cli" },
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        ...{ "x-claude-code-session-id": SESSION, "x-stainless-retry-count": "0" },
        "user-agent": "claude-cli/2.1.0 (external, sdk-cli)",
      },
      body: JSON.stringify(body),
    });

  const bodyOf = (route: TestRoute, messages: readonly Json[]): Json => ({
    model: route.model.replace("flow/", "anthropic/flow-"),
    messages,
    system: [
      { type: "text", text: "x-header: cc_version=2.1" },
      { type: "text", text: "You are an agent.", cache_control: { type: "ephemeral" } },
    ],
    tools: TOOLS,
    metadata: { user_id: JSON.stringify({ device_id: "d".repeat(64), account_uuid: "", session_id: SESSION }) },
    max_tokens: 32_000,
    thinking: { type: "adaptive" },
    output_config: { effort: "high" },
    context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
    stream: true,
  });

  /** The message that a stream adds up to, as the client sends it back. */
  async function turnOf(response: Response): Promise<Json[]> {
    expect(response.status).toBe(200);
    const events = eventData((await readStream(response)).text).map((data) => JSON.parse(data) as Json);
    expect(events[0]).toMatchObject({ type: "message_start" });
    expect(events.at(-1)).toMatchObject({ type: "message_stop" });
    const blocks: Record<string, unknown>[] = [];
    for (const event of events) {
      const at = Number(event["index"]);
      const delta = (event["delta"] ?? {}) as Json;
      if (event["type"] === "content_block_start") blocks[at] = { ...(event["content_block"] as Json), json: "" };
      const block = blocks[at];
      if (event["type"] !== "content_block_delta" || block === undefined) continue;
      for (const [from, to] of [["text"], ["thinking"], ["signature"], ["partial_json", "json"]] as const) {
        if (delta[from] !== undefined) block[to ?? from] = String(block[to ?? from] ?? "") + String(delta[from]);
      }
    }
    return blocks.map(({ json, ...block }) =>
      block["type"] === "tool_use" ? { ...block, input: JSON.parse(String(json)) as Json } : block,
    );
  }

  test("asks first whether anybody is there", async () => {
    expect((await rig.worker.fetch("/", { method: "HEAD" })).status).toBe(200);
  });

  test.each(CASES)("runs a task of three tools on $name", async ({ providers, dies }) => {
    const route = await rig.route({ providers });
    play(route, STEPS, dies);
    const messages: Json[] = [{ role: "user", content: [{ type: "text", text: "Write notes.txt." }] }];
    for (let step = 0; step < STEPS.length; step++) {
      const response = await send(route, bodyOf(route, messages));
      const content = await turnOf(response);
      const called = content.filter(({ type }) => type === "tool_use");
      if (called.length === 0) {
        expect(content.at(-1)).toMatchObject({ type: "text", text: DONE });
        break;
      }
      const results = called.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "done" }));
      messages.push({ role: "assistant", content }, { role: "user", content: results });
    }
    expect(messages).toHaveLength(7);
    await tracesAre(route, "messages");
    // What Anthropic signed is for Anthropic.
    for (const { path, body } of rig.upstream.calls) {
      if (!path.endsWith("/messages")) expect(body).not.toContain(SIGNATURE);
    }
  });

  test("counts tokens, and reads its models in its own shape", async () => {
    const route = await rig.route({ providers: ["groq"] });
    const { stream: _, max_tokens: __, ...counted } = bodyOf(route, [{ role: "user", content: "Hi." }]);
    const response = await send(route, counted, "/v1/messages/count_tokens?beta=true");
    expect(await response.json()).toEqual({ input_tokens: expect.any(Number) });
    const list = await rig.worker.fetch("/v1/models?limit=1000", {
      headers: { authorization: `Bearer ${route.key}`, "anthropic-version": "2023-06-01" },
    });
    const { data } = (await list.json()) as { data: { id: string; type: string }[] };
    expect(data.map(({ id }) => id)).toContain(route.model.replace("flow/", "anthropic/flow-"));
  });
});

describe("Codex's protocol", () => {
  const GRAMMAR = { type: "grammar", syntax: "lark", definition: 'start: "*** Begin Patch"' };
  const object = { type: "object", properties: { cmd: { type: "string" } } };
  const TOOLS = [
    { type: "function", name: "exec_command", description: "Runs", strict: false, parameters: object },
    { type: "custom", name: "apply_patch", description: "Patches", format: GRAMMAR },
    { type: "function", name: "get_goal", description: "Goal", strict: false, parameters: object },
    { type: "tool_search", execution: "client", description: "Finds tools", parameters: object },
    { type: "web_search", external_web_access: false },
  ];
  const PATCH = "*** Begin Patch\n*** Add File: notes.txt\n+one\n*** End Patch\n";
  const STEPS: readonly Step[] = [
    { text: "I look.", calls: [{ name: "get_goal", input: {} }] },
    { thinking: "Now I write.", calls: [{ name: "apply_patch", input: PATCH }] },
    { calls: [{ name: "exec_command", input: { cmd: "wc -l notes.txt" } }] },
    { text: DONE },
  ];

  const send = (route: TestRoute, input: readonly Json[]): Promise<Response> =>
    rig.worker.fetch("/v1/responses", {
      method: "POST",
      headers: {
        ...{ authorization: `Bearer ${route.key}`, "content-type": "application/json", accept: "text/event-stream" },
        ...{ "session-id": SESSION, "thread-id": SESSION, "x-client-request-id": SESSION, originator: "codex_exec" },
        ...{ "x-codex-window-id": `${SESSION}:0`, "accept-encoding": "zstd,gzip" },
      },
      body: JSON.stringify({
        model: route.model,
        instructions: "You are an agent.",
        input,
        tools: TOOLS,
        tool_choice: "auto",
        parallel_tool_calls: true,
        reasoning: { effort: "medium", summary: "auto" },
        store: false,
        stream: true,
        include: ["reasoning.encrypted_content"],
        prompt_cache_key: SESSION,
        text: { verbosity: "low" },
        client_metadata: { session_id: SESSION },
      }),
    });

  test.each(CASES)("runs a task of three tools on $name", async ({ providers, dies }) => {
    const route = await rig.route({ providers });
    play(route, STEPS, dies);
    const input: Json[] = [
      { type: "message", role: "developer", content: [{ type: "input_text", text: "<permissions/>" }] },
      { type: "message", role: "user", content: [{ type: "input_text", text: "Write notes.txt." }] },
    ];
    const called: unknown[] = [];
    let last: Json = {};
    for (let step = 0; step < STEPS.length; step++) {
      const response = await send(route, input);
      expect(response.status).toBe(200);
      const { faults, response: whole } = readProtocol((await readStream(response)).text, { noDone: true });
      expect(faults).toEqual([]);
      last = whole as Json;
      const output = last["output"] as Json[];
      const calls = output.filter(({ type }) => String(type).endsWith("_call"));
      if (calls.length === 0) break;
      called.push(...calls.map(({ name, input: text, arguments: args }) => [name, text ?? args]));
      // Sent back without ids, as nothing is stored.
      input.push(...output.map(({ id: _, status: __, ...item }) => item));
      for (const { type, call_id: id } of calls) input.push({ type: `${type}_output`, call_id: id, output: "done" });
    }
    expect(called).toEqual([
      ["get_goal", "{}"],
      ["apply_patch", PATCH],
      ["exec_command", '{"cmd":"wc -l notes.txt"}'],
    ]);
    expect(JSON.stringify(last["output"])).toContain(DONE);
    // What Anthropic signed goes back to it, also out of a translated stream.
    if (providers[0] === "anthropic" && !dies) expect(rig.upstream.calls.at(-1)?.body).toContain(SIGNATURE);
    await tracesAre(route, "responses");
  });
});
