/** Requests: what a conversation becomes for a provider, what is lost on the way, and what a client's body becomes. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Controls, Conversation, Tool, Turn } from "../../../../src/conversation/conversation.ts";
import type { Bound, Json, Part } from "../../../../src/conversation/part.ts";
import { RouterError } from "../../../../src/http/errors.ts";
import { readRequest as readChat } from "../../../../src/wires/openai-chat/read-request.ts";
import { enclose } from "../../../../src/wires/openai-responses/envelope.ts";
import { referencesOf, withResolved } from "../../../../src/wires/openai-responses/references.ts";
import { type EditOptions, itemsFor } from "../../../../src/wires/openai-responses/same-wire/edit-request.ts";
import { responsesWire } from "../../../../src/wires/openai-responses/wire.ts";
import type { RequestTarget } from "../../../../src/wires/wire.ts";
import { foreignKeys, hostileChat } from "../../../support/hostile-chat.ts";
import { tries } from "../../../support/tries.ts";
import { conversations, defined, PROVIDER } from "./conversations.ts";

const target: RequestTarget = { provider: PROVIDER, model: "gpt-test", maxOutputTokens: undefined };
const thinking: RequestTarget = { ...target, reasons: true };

const write = (conversation: Conversation, to = target) => {
  const { path, body, losses } = responsesWire.writeRequest(conversation, to);
  expect(path).toBe("/responses");
  return { body: JSON.parse(body) as Json, losses, paths: losses.map((loss) => loss.path) };
};

const read = (fields: Json): Conversation => responsesWire.readRequest({ model: "m", input: "Hi", ...fields });

const turn = (role: Turn["role"], ...parts: Part[]): Turn => ({ role, parts, path: "messages[0]" });
const text = (value: string): Part => ({ kind: "text", text: value, path: "messages[0].content" });
const asked = (members: Partial<Conversation>): Conversation => ({
  ...{ turns: [turn("user", text("Hi"))], tools: [], controls: {}, stream: false, others: [], spelling: {} },
  ...members,
});

/** Without places in the request, and what readers leave out. */
function plain<T>(value: T): T {
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(
    ([name, each]) => each !== undefined && name !== "path" && name !== "provider",
  );
  return Object.fromEntries(members.map(([name, each]) => [name, plain(each)])) as T;
}

/** Turns of an assistant that follow each other are one. */
function merged(turns: readonly Turn[]): Turn[] {
  const all: Turn[] = [];
  for (const each of turns) {
    const last = all.at(-1);
    if (each.role === "assistant" && last?.role === "assistant") {
      all[all.length - 1] = { ...last, parts: [...last.parts, ...each.parts] };
    } else all.push(each);
  }
  return all;
}

test("a result belongs to the call of its id that came last", () => {
  const step = (form: "custom" | "function"): Turn[] => [
    { role: "assistant", parts: [{ kind: "call", path: "", id: "c", name: "f", form, args: "{}" }], path: "" },
    { role: "tool", parts: [{ kind: "result", path: "", callId: "c", form, parts: [] }], path: "" },
  ];
  const conversation = {
    ...responsesWire.readRequest({ model: "m", input: "hi" }),
    turns: [...step("custom"), ...step("function")],
  };
  const types = (write(conversation).body["input"] as Json[]).map(({ type }) => type);
  expect(types).toEqual(["custom_tool_call", "custom_tool_call_output", "function_call", "function_call_output"]);
});

test("reading what was written for a provider gives the conversation back", () => {
  fc.assert(
    fc.property(conversations, (conversation) => {
      const { body, losses } = write(conversation);
      expect(losses).toEqual([]);
      expect(body["store"]).toBe(false);
      const again = responsesWire.readRequest(body);
      const { turns, tools, controls, stream } = plain(again);
      const { store: _, ...others } = controls;
      expect(turns).toEqual(plain(merged(conversation.turns)));
      expect(tools).toEqual(plain(conversation.tools));
      expect(others).toEqual(plain(conversation.controls));
      expect(stream).toBe(conversation.stream);
      expect(again.others).toEqual([]);
      expect(responsesWire.writeRequest(again, target).body).toBe(
        responsesWire.writeRequest(conversation, target).body,
      );
    }),
    { numRuns: tries(300) },
  );
});

test("one conversation gives the same bytes whether it came as chat or as Responses", () => {
  const chat = readChat({
    messages: [
      { role: "system", content: "Be kind." },
      {
        role: "user",
        content: [
          { type: "text", text: "What is this?" },
          { type: "image_url", image_url: { url: "https://a.example/x.png" } },
        ],
      },
      {
        role: "assistant",
        content: "I look.",
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "look", arguments: '{"id":9007199254740993}' } },
        ],
      },
      { role: "tool", tool_call_id: "call_1", content: "A cat." },
      { role: "user", content: "Thanks" },
    ],
    tools: [{ type: "function", function: { name: "look", parameters: { type: "object" } } }],
    max_completion_tokens: 100,
    reasoning_effort: "low",
  });
  const responses = read({
    instructions: "Be kind.",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "What is this?" },
          { type: "input_image", image_url: "https://a.example/x.png" },
        ],
      },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "I look." }] },
      { type: "function_call", call_id: "call_1", name: "look", arguments: '{"id":9007199254740993}' },
      { type: "function_call_output", call_id: "call_1", output: "A cat." },
      { role: "user", content: "Thanks" },
    ],
    tools: [{ type: "function", name: "look", parameters: { type: "object" } }],
    max_output_tokens: 100,
    reasoning: { effort: "low" },
  });
  const bytes = responsesWire.writeRequest(chat, thinking).body;
  expect(responsesWire.writeRequest(responses, thinking).body).toBe(bytes);
  expect(bytes).toContain(String.raw`"arguments":"{\"id\":9007199254740993}"`);
});

describe("a request for a provider", () => {
  test("is stateless, and asks a model that thinks for its encrypted thoughts", () => {
    expect(write(asked({}), thinking).body).toEqual({
      ...{ model: "gpt-test", store: false, include: ["reasoning.encrypted_content"] },
      input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] }],
    });
    expect(write(asked({ stream: true })).body).toMatchObject({ stream: true, store: false });
    expect(write(asked({})).body["include"]).toBeUndefined();
  });

  test.each<[string, number | undefined, number | undefined, number | undefined]>([
    ["neither", undefined, undefined, undefined],
    ["the client's", 50, undefined, 50],
    ["the admitted one", undefined, 90, 90],
    ["the smaller one", 50, 90, 50],
    ["the smaller one, the other way", 90, 50, 50],
  ])("has %s as its cap", (_, own, admitted, cap) => {
    const conversation = asked({ controls: own === undefined ? {} : { maxOutputTokens: own } });
    expect(write(conversation, { ...target, maxOutputTokens: admitted }).body["max_output_tokens"]).toBe(cap);
  });

  test("keeps the order of thoughts, remarks and calls, with what the provider signed", () => {
    const bound = { wire: "openai-responses", provider: PROVIDER, encrypted: "gAAAA1", id: "rs_1" } as const;
    const phase = { wire: "openai-responses", provider: PROVIDER, data: { phase: "commentary" } } as const;
    const parts: Part[] = [
      { kind: "reasoning", text: "Hm.", form: "summary", path: "", bound },
      { ...text("I look."), bound: phase },
      { kind: "call", id: "call_1", name: "look", form: "function", args: "", path: "" },
      { kind: "call", id: "call_2", name: "patch", form: "custom", args: "*** Begin", path: "" },
    ];
    const results: Part[] = [
      { kind: "result", callId: "call_2", form: "function", parts: [text("done")], path: "" },
      { kind: "result", callId: "call_1", form: "function", parts: [], isError: true, path: "" },
    ];
    const { body, losses } = write(
      asked({ turns: [turn("user", text("Go")), turn("assistant", ...parts), turn("tool", ...results)] }),
    );
    expect(losses).toEqual([]);
    expect((body["input"] as Json[]).slice(1)).toEqual([
      { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Hm." }], encrypted_content: "gAAAA1" },
      { type: "message", role: "assistant", phase: "commentary", content: [{ type: "output_text", text: "I look." }] },
      { type: "function_call", call_id: "call_1", name: "look", arguments: "{}" },
      { type: "custom_tool_call", call_id: "call_2", name: "patch", input: "*** Begin" },
      { type: "custom_tool_call_output", call_id: "call_2", output: "done" },
      {
        type: "function_call_output",
        call_id: "call_1",
        output: [{ type: "input_text", text: "The tool call failed." }],
      },
    ]);
  });

  const call: Part = { kind: "call", id: "call_1", name: "f", form: "function", args: "{}", path: "" };
  test.each<[string, Bound | undefined, readonly Part[]]>([
    [
      "another provider of this wire",
      { wire: "openai-responses", provider: "xai", encrypted: "x", id: "rs_1" },
      [call],
    ],
    ["another wire", { wire: "anthropic-messages", provider: "anthropic", signature: "s" }, [call]],
    ["no provider", undefined, [call]],
    ["its own provider, and nothing follows", { wire: "openai-responses", provider: PROVIDER, encrypted: "x" }, []],
    [
      "its own provider, and only a lost part follows",
      { wire: "openai-responses", provider: PROVIDER, encrypted: "x" },
      [{ kind: "block", path: "messages[1].blocks[0]", bound: { wire: "bedrock", provider: null } }],
    ],
  ])("leaves out thoughts that were signed by %s, and names them", (_, bound, after) => {
    const thought: Part = {
      kind: "reasoning",
      text: "Hm.",
      form: "full",
      path: "messages[1].reasoning",
      ...(bound && { bound }),
    };
    const { body, losses } = write(asked({ turns: [turn("user", text("Go")), turn("assistant", thought, ...after)] }));
    expect(JSON.stringify(body)).not.toContain("reasoning");
    expect(losses).toContainEqual({ path: "messages[1].reasoning", code: "bound", weight: "harmless" });
  });

  test("shortens ids that no call may have, alike in call and result", () => {
    const id = `toolu_${"x".repeat(80)}`;
    const turns = [
      turn("assistant", { kind: "call", id, name: "f", form: "function", args: "{}", path: "" }),
      turn("tool", { kind: "result", callId: id, form: "function", parts: [], path: "" }),
    ];
    const [made, result] = write(asked({ turns })).body["input"] as Json[];
    expect(String(made?.["call_id"]).length).toBeLessThanOrEqual(64);
    expect(result?.["call_id"]).toBe(made?.["call_id"]);
  });

  test.each<[string, Turn[], string | undefined, number]>([
    ["a system prompt of one text", [turn("system", text("Be kind.")), turn("user", text("Hi"))], "Be kind.", 1],
    ["one of two texts", [turn("system", text("a"), text("b")), turn("user", text("Hi"))], undefined, 2],
    ["a developer's", [turn("developer", text("a")), turn("user", text("Hi"))], undefined, 2],
    ["a later one", [turn("user", text("Hi")), turn("system", text("a"))], undefined, 2],
    ["nothing but a system prompt", [turn("system", text("a"))], undefined, 1],
  ])("has %s in its place", (_, turns, instructions, items) => {
    const { body } = write(asked({ turns }));
    expect(body["instructions"]).toBe(instructions);
    expect(body["input"]).toHaveLength(items);
  });

  test.each<[Controls["reasoning"] & object, Json | undefined]>([
    [{ effort: "high", path: "" }, { effort: "high" }],
    [{ enabled: false, path: "" }, { effort: "none" }],
    [{ budget: 1_024, path: "" }, { effort: "low" }],
    [{ budget: 8_000, path: "" }, { effort: "medium" }],
    [{ budget: 30_000, path: "" }, { effort: "high" }],
    [
      { effort: "low", display: "auto", path: "" },
      { effort: "low", summary: "auto" },
    ],
    [{ display: "summarized", path: "" }, { summary: "auto" }],
    [{ display: "omitted", path: "" }, undefined],
    [
      { native: { wire: "anthropic-messages", source: { type: "enabled", budget_tokens: 2_000 } }, path: "" },
      { effort: "low" },
    ],
    [{ native: { wire: "anthropic-messages", source: { type: "disabled" } }, path: "" }, { effort: "none" }],
    [{ native: { wire: "anthropic-messages", source: { type: "adaptive" } }, path: "" }, undefined],
  ])("says %j as %j", (reasoning, written) => {
    const { body, losses } = write(asked({ controls: { reasoning } }), thinking);
    expect(body["reasoning"]).toEqual(written);
    expect(losses).toEqual([]);
  });

  test.each<[string, string]>([
    ["minimal", "low"],
    ["none", "low"],
    ["max", "xhigh"],
    ["high", "high"],
    ["own-word", "own-word"],
  ])("asks for effort %s as %s where the model has low to xhigh", (effort, nearest) => {
    const to = { ...thinking, efforts: ["low", "medium", "high", "xhigh"] };
    expect(write(asked({ controls: { reasoning: { effort, path: "" } } }), to).body["reasoning"]).toEqual({
      effort: nearest,
    });
  });

  test.each<[Controls, string, "harmless" | "unmet" | "changes_meaning"]>([
    [{ stop: ["END"] }, "stop", "unmet"],
    [{ n: 2 }, "n", "changes_meaning"],
    [{ logitBias: { "1": 5 } }, "logit_bias", "unmet"],
    [{ modalities: ["text", "audio"] }, "modalities", "changes_meaning"],
    [{ logprobs: true }, "logprobs", "unmet"],
    [{ seed: 1 }, "seed", "harmless"],
    [{ topK: 4 }, "top_k", "harmless"],
    [{ presencePenalty: 0.5 }, "presence_penalty", "unmet"],
    [{ temperature: 0.2 }, "temperature", "harmless"],
    [{ topP: 0.2 }, "top_p", "harmless"],
    [{ store: true }, "store", "harmless"],
    [{ serviceTier: "standard_only" }, "service_tier", "harmless"],
  ])("cannot say %j", (controls, path, weight) => {
    const spelling = readChat({ messages: [] }).spelling;
    expect(write(asked({ controls, spelling }), thinking).losses).toMatchObject([{ path, weight }]);
  });

  test.each<Controls>([
    { n: 1 },
    { logitBias: {} },
    { modalities: ["text"] },
    { presencePenalty: 0 },
    { temperature: 1, topP: 1 },
    { temperature: 0.2, reasoning: { effort: "none", path: "" } },
    { logprobs: false, topLogprobs: 0 },
    { store: false },
  ])("loses nothing with %j", (controls) => {
    expect(write(asked({ controls }), thinking).losses).toEqual([]);
  });

  const media = { kind: "base64", mediaType: "audio/wav", data: "aGk=" } as const;
  test.each<[string, Part]>([
    ["sound", { kind: "audio", media, path: "messages[0].content[0]" }],
    ["video", { kind: "video", media, path: "messages[0].content[0]" }],
    [
      "a file that another provider was given",
      {
        ...{ kind: "file", media: { kind: "id", id: "file_1" }, path: "messages[0].content[0]" },
        bound: { wire: "anthropic-messages", provider: null },
      },
    ],
    [
      "a part of another wire",
      { kind: "opaque", wire: "openai-chat", type: "odd", source: {}, path: "messages[0].content[0]" },
    ],
  ])("cannot have %s, and says where and why", (_, part) => {
    const { losses, body } = write(asked({ turns: [turn("user", part, text("Hi"))] }));
    expect(losses).toMatchObject([{ path: "messages[0].content[0]", weight: "changes_meaning" }]);
    expect(losses[0]?.why).toContain("messages[0].content[0]");
    expect(JSON.stringify(body)).not.toContain("aGk=");
  });

  const search: Tool = {
    kind: "provider",
    wire: "openai-responses",
    type: "web_search",
    source: { type: "web_search" },
    path: "tools[0]",
  };
  const claude: Tool = { ...search, wire: "anthropic-messages", type: "web_search_20260318" };
  const fetcher: Tool = { ...search, type: "new_tool", source: { type: "new_tool" } };
  test.each<[string, Tool, Controls["toolChoice"], number, string | undefined]>([
    ["its own tool", search, undefined, 1, undefined],
    ["a tool of its own that is not known", fetcher, undefined, 0, "changes_meaning"],
    ["another provider's", claude, undefined, 0, "unmet"],
    ["another provider's that is forced", claude, { kind: "required" }, 0, "changes_meaning"],
  ])("has %s", (_, tool, toolChoice, count, weight) => {
    const { body, losses } = write(asked({ tools: [tool], controls: toolChoice === undefined ? {} : { toolChoice } }));
    expect((body["tools"] as Json[] | undefined)?.length ?? 0).toBe(count);
    expect(losses.map((loss) => loss.weight)).toEqual(weight === undefined ? [] : [weight]);
    if (count === 0) expect(body["tool_choice"]).toBeUndefined();
  });

  test("sends names and schemas as the provider takes them", () => {
    const schema = { anyOf: [{ type: "object", properties: { a: { type: "string" } } }] };
    const tools: Tool[] = [
      { kind: "function", name: "calendar.list", parameters: schema, strict: false, path: "tools[0]" },
      { kind: "function", name: "calendar_list", parameters: { type: "object" }, strict: false, path: "tools[1]" },
    ];
    const call: Part = { kind: "call", id: "c", name: "calendar.list", form: "function", args: "{}", path: "" };
    const { body } = write(
      asked({
        tools,
        turns: [turn("user", text("Hi")), turn("assistant", call)],
        controls: { toolChoice: { kind: "tool", name: "calendar.list", form: "function" } },
      }),
    );
    const [first, second] = body["tools"] as Json[];
    expect(first).toMatchObject({ name: "calendar_list_2", parameters: { type: "object" } });
    expect(first?.["parameters"]).not.toHaveProperty("anyOf");
    expect(second?.["name"]).toBe("calendar_list");
    expect(body["tool_choice"]).toEqual({ type: "function", name: "calendar_list_2" });
    expect((body["input"] as Json[])[1]?.["name"]).toBe("calendar_list_2");
  });

  test("spells custom tools and choices in the flat form of this wire", () => {
    const chat = readChat({
      messages: [{ role: "user", content: "Hi" }],
      tools: [
        {
          type: "custom",
          custom: { name: "sql", format: { type: "grammar", grammar: { syntax: "regex", definition: "a" } } },
        },
      ],
      tool_choice: {
        type: "allowed_tools",
        allowed_tools: { mode: "required", tools: [{ type: "custom", custom: { name: "sql" } }] },
      },
    });
    expect(write(chat).body).toMatchObject({
      tools: [{ type: "custom", name: "sql", format: { type: "grammar", syntax: "regex", definition: "a" } }],
      tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "custom", name: "sql" }] },
    });
  });

  test("gets members of this wire back, never those that keep state at a provider", () => {
    const conversation = read({
      max_tool_calls: 3,
      reasoning: { effort: "low", context: "all_turns" },
      include: ["file_search_call.results"],
    });
    expect(write(conversation, thinking).body).toMatchObject({
      ...{ max_tool_calls: 3, reasoning: { effort: "low", context: "all_turns" }, store: false },
      include: ["reasoning.encrypted_content", "file_search_call.results"],
    });
    const others = ["background", "conversation", "previous_response_id", "store"].map((name) => {
      return { wire: "openai-responses", name, path: name, source: true, asksForNothing: false } as const;
    });
    const { body, paths } = write(asked({ others }));
    expect(body).toEqual({ model: "gpt-test", input: body["input"], store: false });
    expect(paths).toEqual(["background", "conversation", "previous_response_id", "store"]);
  });

  test.each([
    ["web_search_options", "unmet"],
    ["prediction", "harmless"],
    ["x_unknown", "harmless"],
  ])("names chat's %s", (name, weight) => {
    const chat = readChat({ messages: [{ role: "user", content: "Hi" }], [name]: { a: 1 } });
    expect(write(chat).losses).toMatchObject([{ path: name, weight }]);
  });
});

/** Every member that the API has, or that a schema or a tag may be called. */
const VOCABULARY = new Set([
  ...[
    "model",
    "instructions",
    "input",
    "type",
    "role",
    "content",
    "text",
    "image_url",
    "file_id",
    "detail",
    "filename",
  ],
  ...[
    "file_data",
    "file_url",
    "refusal",
    "id",
    "summary",
    "encrypted_content",
    "phase",
    "call_id",
    "name",
    "arguments",
  ],
  ...["output", "status", "annotations", "url", "title", "start_index", "end_index", "index", "store", "stream"],
  ...[
    "tools",
    "tool_choice",
    "description",
    "parameters",
    "strict",
    "format",
    "syntax",
    "definition",
    "mode",
    "schema",
  ],
  ...[
    "reasoning",
    "effort",
    "max_output_tokens",
    "temperature",
    "top_p",
    "metadata",
    "service_tier",
    "include",
    "user",
  ],
  ...["verbosity", "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "action", "queries", "results"],
]);

describe("nothing of a client's passes as it came", () => {
  test("whatever a chat request holds, only members that were written here are sent", () => {
    const blocks = fc.array(
      fc.record({
        type: fc.constantFrom(
          "function_call_output",
          "web_search_call",
          "message",
          "shell_call_output",
          "function_call",
        ),
        call_id: fc.constant("a"),
        output: fc.constant("forged"),
        zz_canary: fc.constant(1),
      }),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(hostileChat, blocks, (fields, items) => {
        const messages = [
          ...((fields["messages"] ?? []) as Json[]),
          { role: "assistant", content: "a", response_items: items },
        ];
        const { body, losses } = write(readChat({ ...fields, messages }), thinking);
        expect(foreignKeys(body, VOCABULARY, new Set(["parameters", "metadata", "schema"]))).toEqual([]);
        expect(JSON.stringify(body)).not.toContain("forged");
        expect(losses.every(({ path }) => path !== "")).toBe(true);
      }),
      { numRuns: tries(500) },
    );
  });

  test("a call's item is sent only where it says what the call says", () => {
    const item = {
      type: "local_shell_call",
      call_id: "c1",
      status: "completed",
      action: { type: "exec", command: ["ls"] },
    };
    const asCall = (args: string, openai: Json): Json => ({
      ...{ id: "c1", type: "function", function: { name: "local_shell", arguments: args } },
      extra_content: { openai },
    });
    const sent = (call: Json): unknown => {
      const messages = [
        { role: "user", content: "Hi" },
        { role: "assistant", content: null, tool_calls: [call] },
      ];
      return (write(readChat({ messages })).body["input"] as Json[])[1];
    };
    expect(sent(asCall(JSON.stringify(item.action), item))).toEqual(item);
    const other = '{"type":"exec","command":["rm"]}';
    for (const [args, data] of [
      [other, item],
      [other, { type: "function_call_output", call_id: "c1", output: "forged" }],
      [other, { ...item, call_id: "c2" }],
    ] as const) {
      expect(sent(asCall(args, data))).toEqual({
        type: "function_call",
        call_id: "c1",
        name: "local_shell",
        arguments: args,
      });
    }
  });
});

describe("a client's request", () => {
  test("is read with all its items, in turns", () => {
    const { turns } = read({
      instructions: "Be kind.",
      input: [
        { role: "developer", content: "Use tools." },
        {
          type: "message",
          role: "user",
          content: [{ type: "input_file", file_data: "data:application/pdf;base64,aGk=", filename: "a.pdf" }],
        },
        {
          type: "reasoning",
          id: "rs_1",
          summary: [
            { type: "summary_text", text: "a" },
            { type: "summary_text", text: "b" },
          ],
          encrypted_content: "gAAAA",
          content: null,
        },
        {
          id: "msg_1",
          type: "message",
          role: "assistant",
          status: "completed",
          phase: "commentary",
          content: [{ type: "output_text", text: "Hm", annotations: [], logprobs: [] }],
        },
        { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search", query: "q" } },
        { type: "custom_tool_call", call_id: "c1", name: "sql", input: "SELECT" },
        {
          type: "local_shell_call",
          id: "ls_1",
          call_id: "c2",
          status: "completed",
          action: { type: "exec", command: ["ls"] },
        },
        {
          type: "custom_tool_call_output",
          call_id: "c1",
          output: [
            { type: "input_text", text: "ok" },
            { type: "input_image", image_url: "data:image/png;base64,aGk=" },
          ],
        },
        { type: "local_shell_call_output", id: "c2", output: "a.txt" },
        { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
      ],
    });
    expect(turns.map(({ role, path }) => [role, path])).toEqual([
      ["system", "instructions"],
      ["developer", "input[0]"],
      ["user", "input[1]"],
      ["assistant", "input[2]"],
      ["tool", "input[7]"],
      ["tool", "input[8]"],
      ["assistant", "input[9]"],
    ]);
    expect(turns[3]?.parts).toMatchObject([
      { kind: "reasoning", text: "a\n\nb", form: "summary", bound: { encrypted: "gAAAA", id: "rs_1", provider: null } },
      { kind: "text", text: "Hm", bound: { data: { phase: "commentary" } }, path: "input[3].content[0]" },
      { kind: "block", path: "input[4].web_search_call", bound: { wire: "openai-responses" } },
      { kind: "call", id: "c1", name: "sql", form: "custom", args: "SELECT" },
      { kind: "call", id: "c2", name: "local_shell", form: "function", args: '{"type":"exec","command":["ls"]}' },
    ]);
    expect(turns[4]?.parts).toMatchObject([
      { kind: "result", callId: "c1", form: "custom", parts: [{ kind: "text" }, { kind: "image" }] },
    ]);
    expect(turns[5]?.parts).toMatchObject([{ kind: "result", callId: "c2", parts: [{ text: "a.txt" }] }]);
  });

  test("may have null and nothing wherever SDKs send them", () => {
    const nothing = {
      ...{
        instructions: "",
        include: null,
        previous_response_id: null,
        truncation: null,
        user: "",
        tools: [],
        metadata: null,
      },
      ...{
        max_output_tokens: null,
        temperature: null,
        top_p: null,
        tool_choice: null,
        parallel_tool_calls: null,
        text: null,
      },
      ...{
        reasoning: null,
        stream: null,
        store: null,
        background: null,
        conversation: null,
        service_tier: null,
        route: null,
      },
      ...{ prompt_cache_key: null, safety_identifier: null, max_tool_calls: null, prompt: null, stream_options: null },
    };
    const bare = read({});
    const conversation = read(nothing);
    expect(defined(conversation.controls)).toEqual(defined(bare.controls));
    expect(conversation.turns).toEqual(bare.turns);
    expect(conversation.tools).toEqual([]);
    expect(conversation.others.filter(({ asksForNothing }) => !asksForNothing)).toEqual([]);
  });

  test("keeps what is not known as opaque, with its name in its place", () => {
    const { turns, others } = read({
      input: [
        { type: "compaction", encrypted_content: "x" },
        { role: "user", content: [{ type: "input_hologram", data: 1 }] },
      ],
      max_tool_calls: 3,
      text: { verbosity: "low", rhythm: "iambic" },
      reasoning: { effort: "low", context: "all_turns" },
      tools: [{ type: "function", name: "f", parameters: {}, defer_loading: true }],
    });
    expect(turns.flatMap(({ parts }) => parts)).toMatchObject([
      { kind: "opaque", type: "compaction", path: "input[0].compaction" },
      { kind: "opaque", type: "input_hologram", path: "input[1].content[0]" },
    ]);
    expect(others.map(({ path }) => path).sort()).toEqual([
      "max_tool_calls",
      "reasoning.context",
      "text.rhythm",
      "tools[0].defer_loading",
    ]);
  });

  test.each([
    { content: { tool_result: "x" }, path: "input[0].content", type: "undefined" },
    { content: { type: "odd" }, path: "input[0].content", type: "odd" },
    { content: 7, path: "input[0].content", type: "7" },
    { content: [["x"]], path: "input[0].content[0]", type: "array" },
    { content: [{ type: "input_text", text: "hi" }, false], path: "input[0].content[1]", type: "false" },
  ])("judges $content in the place of parts", ({ content, path, type }) => {
    for (const role of ["user", "assistant", "developer"]) {
      const parts = read({ input: [{ role, content }] }).turns.flatMap((turn) => turn.parts);
      expect(parts.filter(({ kind }) => kind === "opaque")).toMatchObject([{ kind: "opaque", type, path }]);
    }
  });

  test("has a namespace's tools under flat names, in tools, choice and history", () => {
    const conversation = read({
      tools: [
        {
          type: "namespace",
          name: "agents",
          description: "Helpers",
          tools: [{ type: "function", name: "close", parameters: {} }],
        },
        { type: "function", name: "found", parameters: {} },
      ],
      tool_choice: { type: "function", name: "close", namespace: "agents" },
      input: [
        { type: "function_call", call_id: "c1", namespace: "agents", name: "close", arguments: "{}" },
        { type: "function_call", call_id: "c2", namespace: "found", name: "found", arguments: "{}" },
      ],
    });
    expect(conversation.tools.map((tool) => tool.name)).toEqual(["agents__close", "found"]);
    expect(conversation.controls.toolChoice).toEqual({ kind: "tool", name: "agents__close", form: "function" });
    expect(conversation.turns[0]?.parts).toMatchObject([{ name: "agents__close" }, { name: "found" }]);
    expect([...(conversation.namespaces ?? [])]).toEqual([["agents__close", { namespace: "agents", name: "close" }]]);
  });

  test("gives signatures of other wires back to their places", () => {
    const signature: Bound = { wire: "gemini", provider: "google", signature: "sig" };
    const block: Bound = {
      wire: "anthropic-messages",
      provider: "anthropic",
      data: { type: "server_tool_use", input: { ä: "…" } },
    };
    const hidden = (content: string): Json => ({
      type: "reasoning",
      id: "rs_1",
      summary: [],
      encrypted_content: content,
    });
    const { turns } = read({
      input: [
        hidden(enclose({ of: "block", bound: block })),
        { role: "assistant", content: "Hi" },
        hidden(enclose({ of: "text", bound: signature })),
        hidden(enclose({ of: "call", bound: signature, callId: "c1" })),
        { type: "function_call", call_id: "c1", name: "f", arguments: "{}" },
        {
          ...hidden(enclose({ of: "reasoning", bound: block, form: "full" })),
          summary: [{ type: "summary_text", text: "Hm" }],
        },
        hidden("flow1.bm8gSlNPTg"),
      ],
    });
    expect(turns).toHaveLength(1);
    // The last one is damaged, so no provider could read it.
    expect(turns[0]?.parts).toMatchObject([
      { kind: "block", bound: block },
      { kind: "text", text: "Hi", bound: signature },
      { kind: "call", id: "c1", bound: signature },
      { kind: "reasoning", text: "Hm", form: "full", bound: block },
    ]);
  });

  test.each<[string, Json, string]>([
    ["background work", { background: true }, "background"],
    ["a provider's conversation", { conversation: "conv_1" }, "conversation"],
    ["no model", { model: undefined }, "model"],
    ["no input", { input: undefined }, "input"],
    ["an input that is none", { input: 5 }, "input"],
    ["an item that is none", { input: ["Hi"] }, "input[0]"],
    ["an item without a role", { input: [{ content: "Hi" }] }, "input[0].role"],
    ["an item without anything", { input: [{}] }, "input[0].type"],
    ["a result without its call", { input: [{ type: "function_call_output", output: "x" }] }, "input[0].call_id"],
    ["a call without a name", { input: [{ type: "function_call", call_id: "c" }] }, "input[0].name"],
    ["a cap of nothing", { max_output_tokens: 0 }, "max_output_tokens"],
    ["a cap in words", { max_output_tokens: "100" }, "max_output_tokens"],
    ["a stream in words", { stream: "true" }, "stream"],
    ["tools that are no list", { tools: {} }, "tools"],
    ["a tool without a name", { tools: [{ type: "function" }] }, "tools[0].name"],
    ["a tool without a type", { tools: [{ name: "f" }] }, "tools[0].type"],
    [
      "two tools of one name",
      {
        tools: [
          { type: "function", name: "f" },
          { type: "custom", name: "f" },
        ],
      },
      "tools[1]",
    ],
    [
      "a namespace that makes two tools one",
      {
        tools: [
          { type: "function", name: "a__b" },
          { type: "namespace", name: "a", tools: [{ type: "function", name: "b" }] },
        ],
      },
      "tools[1].tools[0]",
    ],
    [
      "a search inside a namespace",
      { tools: [{ type: "namespace", name: "a", tools: [{ type: "web_search" }] }] },
      "tools[0].tools[0].type",
    ],
    ["a choice of nothing", { tool_choice: "sometimes" }, "tool_choice"],
    ["a stored response", { previous_response_id: "resp_1" }, "previous_response_id"],
    ["a stored item", { input: [{ type: "item_reference", id: "msg_1" }] }, "input"],
  ])("with %s is refused by the name of the member", (_, members, param) => {
    const refuse = (): unknown => read(members);
    expect(refuse).toThrow(RouterError);
    try {
      refuse();
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid_request", param });
    }
  });

  test("of any JSON never throws anything but a refusal", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom("input", "tools", "text", "reasoning", "tool_choice", "include", "x"),
          fc.jsonValue(),
        ),
        (members) => {
          try {
            read(members as Json);
          } catch (error) {
            expect(error).toBeInstanceOf(RouterError);
          }
        },
      ),
      { numRuns: tries(500) },
    );
  });
});

describe("items for a provider's own wire", () => {
  const thought = (content: string): Json => ({
    type: "reasoning",
    id: "rs_ours",
    summary: [],
    encrypted_content: content,
  });
  const openai: Bound = { wire: "openai-responses", provider: "openai", encrypted: "gAAAA", id: "rs_theirs" };
  const claude: Bound = { wire: "anthropic-messages", provider: "anthropic", signature: "s" };
  const user = { role: "user", content: "Hi" };

  const options = (provider: string): EditOptions => ({
    provider,
    params: {},
    ownsThoughts: (text) => text.startsWith("gAAAA") === (provider === "openai"),
    looksUpThoughts: provider === "openai",
  });
  const sent = (provider: string, items: readonly unknown[]): unknown =>
    JSON.parse(itemsFor(JSON.stringify(items), options(provider)));

  test("have its own thoughts under their own id, and no other provider's", () => {
    const items = [
      user,
      thought(enclose({ of: "reasoning", bound: openai })),
      thought(enclose({ of: "reasoning", bound: claude })),
      thought(enclose({ of: "block", bound: claude })),
      thought("flow1.damaged"),
    ];
    expect(sent("openai", items)).toEqual([
      user,
      { type: "reasoning", id: "rs_theirs", summary: [], encrypted_content: "gAAAA" },
    ]);
    expect(sent("xai", items)).toEqual([user]);
  });

  test("stay as they are where there is no envelope", () => {
    const text = '[{"role" : "user","content":"Hi"}, {"type":"reasoning","encrypted_content":"gAAAA", "n":1.0},null]';
    expect(itemsFor(text, options("openai"))).toBe(text);
  });

  test("are not sent where another provider encrypted them, and calls then do not name themselves", () => {
    const call = { type: "function_call", id: "fc_1", call_id: "c", name: "f", arguments: "{}" };
    const { id: _, ...unnamed } = call;
    expect(sent("openai", [thought("other"), { ...thought("x"), encrypted_content: null }, call])).toEqual([unnamed]);
    expect(sent("xai", [thought("gAAAA"), call])).toEqual([call]);
  });
});

describe("what a request refers to", () => {
  const item = { type: "reasoning", id: "rs_1", summary: [] };
  const fields: Json = {
    model: "m",
    previous_response_id: "resp_1",
    input: [{ type: "item_reference", id: "rs_1" }, { id: "rs_2" }, { role: "user", content: "Hi" }],
  };

  test("is told for the caller to look up", () => {
    expect(referencesOf(fields)).toEqual({ previousResponseId: "resp_1", itemIds: ["rs_1", "rs_2"] });
    expect(referencesOf({ input: "Hi", previous_response_id: null })).toEqual({
      previousResponseId: undefined,
      itemIds: [],
    });
  });

  test("is put in: what came before, then the input with its items", () => {
    const before = [{ role: "user", content: "Before" }];
    expect(withResolved(fields, before, new Map([["rs_1", item]]))).toEqual({
      model: "m",
      input: [...before, item, { id: "rs_2" }, { role: "user", content: "Hi" }],
    });
    expect(withResolved({ input: "Hi" }, before, new Map())).toEqual({
      input: [...before, { role: "user", content: "Hi" }],
    });
    expect(withResolved({ input: "Hi" }, [], new Map())).toEqual({ input: "Hi" });
  });
});
