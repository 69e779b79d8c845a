/** What clients of this wire ask for, as a conversation, and as the upstream side of the same wire writes it again. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Conversation } from "../../../../../src/conversation/conversation.ts";
import { stringifyRaw } from "../../../../../src/lib/raw-json.ts";
import { carry } from "../../../../../src/wires/anthropic-messages/door/carried.ts";
import { readRequest } from "../../../../../src/wires/anthropic-messages/door/read-request.ts";
import { withoutForeign } from "../../../../../src/wires/anthropic-messages/same-wire/edit-request.ts";
import { writeRequest } from "../../../../../src/wires/anthropic-messages/write-request.ts";
import { readRequest as readChat } from "../../../../../src/wires/openai-chat/read-request.ts";
import type { WrittenRequest } from "../../../../../src/wires/wire.ts";
import { tries } from "../../../../support/tries.ts";

type Json = Readonly<Record<string, unknown>>;

const MODEL = "claude-sonnet-4-6";
const write = (conversation: Conversation, model = MODEL): WrittenRequest =>
  writeRequest(conversation, { provider: "anthropic", model, maxOutputTokens: undefined });
const read = (text: string): Conversation => readRequest(JSON.parse(text) as Json, text);

/** Without what names a place or a spelling of one client. */
function comparable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, member: unknown) => (name === "path" || name === "spelling" ? undefined : member)),
  );
}

describe("turns", () => {
  test.each<{ name: string; messages: Json[]; turns: Json[] }>([
    {
      name: "results come before what the user says beside them",
      messages: [
        { role: "user", content: "q" },
        {
          role: "assistant",
          content: [
            { type: "tool_use", id: "a", name: "f", input: {} },
            { type: "tool_use", id: "b", name: "g", input: {} },
          ],
        },
        {
          role: "user",
          content: [
            { type: "text", text: "and" },
            { type: "tool_result", tool_use_id: "a", content: "1" },
            { type: "tool_result", tool_use_id: "b", content: [{ type: "text", text: "2" }], is_error: true },
          ],
        },
      ],
      turns: [
        { role: "user", parts: [{ kind: "text", text: "q" }] },
        {
          role: "assistant",
          parts: [
            { kind: "call", id: "a", name: "f", form: "function", args: "{}" },
            { kind: "call", id: "b", name: "g", form: "function", args: "{}" },
          ],
        },
        {
          role: "tool",
          parts: [
            { kind: "result", callId: "a", form: "function", parts: [{ kind: "text", text: "1" }] },
            { kind: "result", callId: "b", form: "function", parts: [{ kind: "text", text: "2" }], isError: true },
          ],
        },
        { role: "user", parts: [{ kind: "text", text: "and" }] },
      ],
    },
    {
      name: "thinking is bound, and so are blocks of the provider's tools",
      messages: [
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "Hm.", signature: "c2ln" },
            { type: "redacted_thinking", data: "b3Bh" },
            { type: "server_tool_use", id: "s", name: "web_search", input: {}, cache_control: { type: "ephemeral" } },
            { type: "text", text: "So." },
          ],
        },
      ],
      turns: [
        {
          role: "assistant",
          parts: [
            {
              ...{ kind: "reasoning", form: "full", text: "Hm." },
              bound: { wire: "anthropic-messages", provider: null, signature: "c2ln" },
            },
            {
              ...{ kind: "reasoning", form: "redacted", text: "" },
              bound: { wire: "anthropic-messages", provider: null, encrypted: "b3Bh" },
            },
            {
              kind: "block",
              cache: { type: "ephemeral" },
              bound: {
                ...{ wire: "anthropic-messages", provider: null },
                data: { type: "server_tool_use", id: "s", name: "web_search", input: {} },
              },
            },
            { kind: "text", text: "So." },
          ],
        },
      ],
    },
    {
      name: "documents by their source",
      messages: [
        {
          role: "user",
          content: [
            { type: "document", source: { type: "url", url: "https://example.org/a.pdf" }, title: "A", context: "c" },
            { type: "document", source: { type: "text", media_type: "text/plain", data: "t" } },
            { type: "document", source: { type: "file", file_id: "file_1" }, citations: { enabled: true } },
            { type: "document", source: { type: "content", content: "t" } },
            "odd",
          ],
        },
      ],
      turns: [
        {
          role: "user",
          parts: [
            {
              ...{ kind: "file", media: { kind: "url", url: "https://example.org/a.pdf" } },
              ...{ name: "A", options: { context: "c" } },
            },
            { kind: "file", media: { kind: "text", text: "t" } },
            {
              ...{ kind: "file", media: { kind: "id", id: "file_1" }, options: { citations: { enabled: true } } },
              bound: { wire: "anthropic-messages", provider: null },
            },
            {
              ...{ kind: "opaque", wire: "anthropic-messages", type: "document" },
              source: { type: "document", source: { type: "content", content: "t" } },
            },
            { kind: "opaque", wire: "anthropic-messages", type: "string", source: "odd" },
          ],
        },
      ],
    },
  ])("$name", ({ messages, turns }) => {
    expect(comparable(readRequest({ messages }).turns)).toEqual(turns);
  });

  test("a past call has the client's own text of its input", () => {
    const text = `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"{\\"input\\":1}"},{"type":"tool_use","id":"a","name":"f","input": {"b":1.0, "10":2512292042121000001} }]}]}`;
    const [, turn] = read(text).turns;
    expect(turn?.parts[1]).toMatchObject({ args: '{"b":1.0, "10":2512292042121000001}' });
    expect(write(read(text)).body).toContain('"input":{"b":1.0, "10":2512292042121000001}');
  });
});

describe("members", () => {
  test("controls", () => {
    const { controls, others, tools } = readRequest({
      ...{
        model: "m",
        max_tokens: 9,
        temperature: 0.5,
        top_p: 0.9,
        top_k: 3,
        stop_sequences: ["END", 1],
        messages: [],
      },
      tools: [
        {
          name: "f",
          input_schema: { type: "object" },
          strict: true,
          cache_control: { type: "ephemeral" },
          defer_loading: true,
        },
        { type: "web_search_20250305", name: "web_search" },
      ],
      tool_choice: { type: "tool", name: "web_search", disable_parallel_tool_use: true },
      thinking: { type: "enabled", budget_tokens: 2048 },
      output_config: {
        effort: "low",
        format: { type: "json_schema", schema: { type: "object" } },
        task_budget: { total: 1 },
      },
      metadata: { user_id: "u", more: 1 },
      service_tier: "standard_only",
      mcp_servers: [{ type: "url" }],
    });
    expect(comparable(controls)).toEqual({
      ...{ maxOutputTokens: 9, temperature: 0.5, topP: 0.9, topK: 3, stop: ["END"], parallelToolCalls: false },
      toolChoice: {
        ...{ kind: "provider", wire: "anthropic-messages" },
        source: { type: "tool", name: "web_search", disable_parallel_tool_use: true },
      },
      responseFormat: { kind: "json_schema", name: "answer", schema: { type: "object" }, strict: true },
      reasoning: {
        ...{ effort: "low", budget: 2048, enabled: true },
        native: { wire: "anthropic-messages", source: { type: "enabled", budget_tokens: 2048 } },
      },
      ...{ serviceTier: "standard_only", user: "u" },
    });
    expect(others.map(({ path }) => path)).toEqual([
      "mcp_servers",
      "output_config",
      "metadata",
      // One of its texts is a number.
      "stop_sequences",
      "tools[0].defer_loading",
    ]);
    expect(tools.map(({ kind }) => kind)).toEqual(["function", "provider"]);
  });

  test("any JSON is read without throwing", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("messages", "system", "tools", "tool_choice", "thinking", "x"), fc.jsonValue()),
        (fields) => {
          const text = JSON.stringify(fields);
          expect(() => write(read(text))).not.toThrow();
        },
      ),
    );
  });
});

/** One request as clients of both wires spell it. */
const PAIRS: readonly { readonly name: string; readonly chat: Json; readonly messages: Json }[] = [
  {
    name: "a question",
    chat: {
      max_tokens: 9,
      messages: [
        { role: "system", content: "S" },
        { role: "user", content: "q" },
      ],
    },
    messages: { max_tokens: 9, system: "S", messages: [{ role: "user", content: "q" }] },
  },
  {
    name: "a step with tools, a picture in a result, and a choice",
    chat: {
      max_completion_tokens: 9,
      stop: ["END"],
      temperature: 0.5,
      user: "u",
      parallel_tool_calls: false,
      tool_choice: "required",
      tools: [
        { type: "function", function: { name: "f", description: "d", parameters: { type: "object", properties: {} } } },
      ],
      messages: [
        { role: "user", content: [{ type: "text", text: "q", cache_control: { type: "ephemeral" } }] },
        {
          role: "assistant",
          content: "Looking.",
          tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: '{"n":1.0}' } }],
        },
        {
          role: "tool",
          tool_call_id: "a",
          content: [{ type: "image_url", image_url: { url: "data:image/png;base64,iVBORw==" } }],
        },
        { role: "user", content: "and?" },
      ],
    },
    messages: {
      max_tokens: 9,
      stop_sequences: ["END"],
      temperature: 0.5,
      metadata: { user_id: "u" },
      tool_choice: { type: "any", disable_parallel_tool_use: true },
      tools: [{ name: "f", description: "d", input_schema: { type: "object", properties: {} } }],
      messages: [
        { role: "user", content: [{ type: "text", text: "q", cache_control: { type: "ephemeral" } }] },
        {
          role: "assistant",
          content: [
            { type: "text", text: "Looking." },
            { type: "tool_use", id: "a", name: "f", input: { n: 1 } },
          ],
        },
        {
          role: "user",
          content: [
            {
              type: "tool_result",
              tool_use_id: "a",
              content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw==" } }],
            },
            { type: "text", text: "and?" },
          ],
        },
      ],
    },
  },
  {
    name: "thinking, a document and a schema",
    chat: {
      thinking: { type: "adaptive", display: "summarized" },
      reasoning_effort: "high",
      response_format: {
        type: "json_schema",
        json_schema: {
          name: "answer",
          schema: { type: "object", properties: { a: { type: "string" } }, additionalProperties: false },
        },
      },
      messages: [
        {
          role: "user",
          content: [{ type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBERg==" } }],
        },
      ],
    },
    messages: {
      thinking: { type: "adaptive", display: "summarized" },
      output_config: {
        effort: "high",
        format: {
          type: "json_schema",
          schema: { type: "object", properties: { a: { type: "string" } }, additionalProperties: false },
        },
      },
      messages: [
        {
          role: "user",
          content: [
            {
              type: "document",
              source: { type: "base64", media_type: "application/pdf", data: "JVBERg==" },
              title: "a.pdf",
            },
          ],
        },
      ],
    },
  },
];

test.each(PAIRS)("$name is the same bytes upstream, whichever door it came by", ({ chat, messages }) => {
  // The text of a client that writes 1.0.
  const text = JSON.stringify(messages).replace('{"n":1}', '{"n":1.0}');
  const written = write(readChat(chat));
  expect(write(read(text)).body).toBe(written.body);
  expect(written.losses).toEqual([]);
});

describe("read(write(x)) is x", () => {
  const words = fc.stringMatching(/^[ -~]{0,10}[a-z]$/);
  const mark = fc.option(fc.constantFrom<Json>({ type: "ephemeral" }, { type: "ephemeral", ttl: "1h" }), {
    nil: undefined,
  });
  const withMark = <T extends Json>(part: fc.Arbitrary<T>): fc.Arbitrary<Json> =>
    fc.tuple(part, mark).map(([made, cache]) => (cache === undefined ? made : { ...made, cache_control: cache }));
  const text = withMark(words.map((said) => ({ type: "text", text: said })));
  const image = withMark(
    fc
      .constantFrom<Json>(
        { type: "base64", media_type: "image/png", data: "iVBORw==" },
        { type: "url", url: "https://example.org/a.png" },
        { type: "file", file_id: "file_1" },
      )
      .map((source) => ({ type: "image", source })),
  );
  const document = withMark(
    fc
      .tuple(
        fc.constantFrom<Json>(
          { type: "base64", media_type: "application/pdf", data: "JVBERg==" },
          { type: "text", media_type: "text/plain", data: "t" },
          { type: "url", url: "https://example.org/a.pdf" },
        ),
        fc.option(words, { nil: undefined }),
        fc.option(fc.boolean(), { nil: undefined }),
      )
      .map(([source, title, cited]) => ({
        ...{ type: "document", source },
        ...(title === undefined ? {} : { title }),
        ...(cited === undefined ? {} : { citations: { enabled: cited } }),
      })),
  );
  const own = fc.constantFrom<Json>(
    { type: "server_tool_use", id: "s", name: "web_search", input: { query: "q" } },
    {
      type: "web_search_tool_result",
      tool_use_id: "s",
      content: [{ type: "web_search_result", url: "https://e.org" }],
    },
  );
  const thinking = words.map((thought) => ({ type: "thinking", thinking: thought, signature: "c2ln" }));
  const input = fc.dictionary(words, fc.oneof(fc.integer(), words), { maxKeys: 2 });
  const call = withMark(
    fc.tuple(fc.uuid(), input).map(([id, given]) => ({ type: "tool_use", id, name: "f", input: given })),
  );
  const said = fc.array(fc.oneof(text, image, document), { minLength: 1, maxLength: 3 });
  const step = fc
    .tuple(fc.array(fc.oneof(thinking, text, own, call), { maxLength: 4 }), text, said, fc.boolean())
    .map(([made, last, more, failed]: [Json[], Json, Json[], boolean]) => {
      const results = made
        .filter(({ type }) => type === "tool_use")
        .map(({ id }) => ({
          type: "tool_result",
          tool_use_id: id,
          content: [{ type: "text", text: "r" }],
          is_error: failed,
        }));
      return [
        { role: "assistant", content: [...made, last] },
        { role: "user", content: [...results, ...more] },
      ];
    });
  const body = fc.record(
    {
      max_tokens: fc.integer({ min: 2_000, max: 9_000 }),
      system: fc.array(text, { minLength: 1, maxLength: 2 }),
      messages: fc
        .tuple(said, fc.array(step, { maxLength: 3 }))
        .map(([first, steps]) => [{ role: "user", content: first }, ...steps.flat()]),
      stream: fc.constant(true),
      temperature: fc.constantFrom(0, 0.5, 1),
      top_k: fc.integer({ min: 1, max: 9 }),
      stop_sequences: fc.array(words, { minLength: 1, maxLength: 2 }),
      tools: fc.constant([
        { name: "f", description: "d", input_schema: { type: "object", properties: {} } },
        { type: "web_search_20250305", name: "web_search" },
      ]),
      tool_choice: fc.constantFrom({ type: "auto" }, { type: "any" }, { type: "tool", name: "f" }, { type: "none" }),
      thinking: fc.constantFrom<Json>(
        { type: "adaptive" },
        { type: "adaptive", display: "omitted" },
        { type: "disabled" },
      ),
      metadata: fc.constant({ user_id: "u" }),
      service_tier: fc.constantFrom("auto", "standard_only"),
      inference_geo: fc.constant("us"),
    },
    { requiredKeys: ["max_tokens", "messages", "tools"] },
  );

  test("a request of this wire is read, written and read again as the same conversation", () => {
    fc.assert(
      fc.property(body, ({ temperature, top_k, ...fields }) => {
        // The provider takes them only where the model does not think.
        const sampling = fields.thinking?.["type"] === "adaptive" ? {} : { temperature, top_k };
        const conversation = read(JSON.stringify({ model: MODEL, ...fields, ...sampling }));
        const written = write(conversation);
        expect(written.losses).toEqual([]);
        expect(comparable(read(written.body))).toEqual(comparable(conversation));
      }),
      { numRuns: tries(300) },
    );
  });
});

describe("what other providers bound", () => {
  const bound = { wire: "gemini", provider: "google", signature: "sig" } as const;

  test("a damaged mark signs nothing, and never throws", () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom("thinking", "redacted_thinking"), (damage, type) => {
        const block = { type, thinking: "t", signature: `flow1.${damage}`, data: `flow1.${damage}` };
        const conversation = readRequest({
          messages: [{ role: "assistant", content: [block, { type: "text", text: "a" }] }],
        });
        expect(write(conversation).body).not.toContain("flow1.");
      }),
    );
  });

  test("is taken out of what goes to the provider as it came, and nothing else is", () => {
    const signature = carry({ of: "reasoning", form: "full", bound });
    const kept =
      '{"role":"assistant","content":[{"type":"thinking","thinking":"own","signature":"c2ln"}, {"type":"text","text":"flow1."}]}';
    const mixed = `{"role":"assistant" ,"content":[${JSON.stringify({ type: "thinking", thinking: "x", signature })},{"type":"text","text":"a" , "n":1.0}]}`;
    const alone = stringifyRaw({ role: "assistant", content: [{ type: "redacted_thinking", data: signature }] });
    const own = (): boolean => true;
    expect(withoutForeign(`[${kept}]`, own)).toBeNull();
    expect(withoutForeign('[{"role":"user","content":"q"}]', own)).toBeNull();
    expect(withoutForeign(`[${kept}, ${mixed},${alone}]`, own)).toBe(
      `[${kept}, {"role":"assistant" ,"content":[{"type":"text","text":"a" , "n":1.0}]}]`,
    );
  });
});
