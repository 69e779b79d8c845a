/** What of tool calls leaves the gate, when, and in which form: whole answers and streams. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { harmlessAnswer } from "../../../src/approvals/extras.ts";
import { callsOfAnswer, type Release, releasedAnswer, toolApproval } from "../../../src/approvals/release.ts";
import { MAX_ARGUMENTS_LENGTH, MAX_CALLS, StreamGate } from "../../../src/approvals/stream-gate.ts";
import type { ApprovalStatus } from "../../../src/approvals/types.ts";
import type { AnswerEvent } from "../../../src/conversation/answer.ts";
import { Received } from "../../../src/relay/received.ts";
import { EventFilter } from "../../../src/relay/streaming/filter.ts";
import type { StreamOptions } from "../../../src/relay/types.ts";
import { chatDoorWire } from "../../../src/wires/openai-chat/door-wire.ts";
import { FrameReader } from "../../../src/wires/openai-chat/read-frames.ts";
import { FrameItems } from "../../../src/wires/openai-chat/stream/items.ts";
import { ChatStreamWriter } from "../../../src/wires/openai-chat/stream/writer.ts";
import { collect, eventData } from "../../support/sse.ts";
import { tries } from "../../support/tries.ts";

type Chunk = Record<string, unknown>;
const chunk = (delta: object, finish_reason: string | null = null, index = 0): Chunk => ({
  ...{ id: "c", object: "chat.completion.chunk", created: 1, model: "m" },
  choices: [{ index, delta, finish_reason }],
});
const event = (each: Chunk): string => `data: ${JSON.stringify(each)}\n\n`;
const fragment = (index: number, more: object): object => ({ tool_calls: [{ index, ...more }] });
const begin = (index: number, id: string, name: string, args = ""): object =>
  fragment(index, { id, type: "function", function: { name, arguments: args } });

const CONTEXT = { provider: "openai", model: "m", traceId: "t", createdAt: 1, conversation: null };
const encoder = new TextEncoder();

interface Played {
  readonly gate: StreamGate;
  /** What the client got of each chunk at once. */
  readonly passed: string[];
  /** What it gets at the end. */
  finish(release: Release, flow?: object): string;
}

/** Plays a stream through a gate as the pump does. */
function play(chunks: readonly Chunk[]): Played {
  const reader = new FrameItems(new FrameReader({ seed: "seed" }), "extras");
  const writer = new ChatStreamWriter(CONTEXT);
  const options = { includeUsage: true, gate: {} } as unknown as StreamOptions;
  const filter = new EventFilter(options, new Received(), writer, null, false);
  const gate = filter.gate!;
  return {
    gate,
    passed: chunks.map((each) => filter.pass(reader.push(encoder.encode(event(each))))),
    finish(release, flow) {
      if (flow !== undefined) writer.attach({ tool_approval: flow });
      const raw = flow === undefined ? gate.unchanged(release) : null;
      return (raw ?? writer.write(gate.finish(release))) + filter.usageText(flow !== undefined);
    },
  };
}

/** A ruling on the calls of `gate`, one status each. */
function ruled(gate: StreamGate, statuses: readonly ApprovalStatus[], more: Partial<Release> = {}): Release {
  const calls = gate
    .calls()
    .map(({ id, name }, at) => ({ id: id ?? `own_${at}`, name, status: statuses[at] ?? "approved" }));
  return { ruling: { calls, expiresAt: 1_800_000_000_000 }, delivery: "hold", traceId: "tr_1", ...more };
}

describe("streams", () => {
  test("chunks without calls pass byte for byte", () => {
    const chunks = [
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "hi", tool_calls: null, function_call: null }),
      chunk({ content: "", tool_calls: [] }, "length"),
      { id: "c", choices: [], usage: { prompt_tokens: 1 } },
    ];
    const { gate, passed } = play(chunks);
    expect(passed).toEqual(chunks.map(event));
    expect(gate.isHolding).toBe(false);
  });

  test("whatever the fragments: nothing of a call passes, and approved it comes as it came", () => {
    const call = fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}$/),
      // Arguments that begin as a text are held back to their end: they may be an object that was quoted once more.
      pieces: fc
        .array(fc.stringMatching(/^[a-m{":]{1,6}$/), { minLength: 1, maxLength: 5 })
        .filter(([first]) => first?.startsWith('"') === false),
    });
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }), { maxLength: 3 }),
        fc.array(call, { minLength: 1, maxLength: 3 }),
        (texts, calls) => {
          const chunks = [
            chunk({ role: "assistant", content: "" }),
            ...texts.map((content) => chunk({ content })),
            ...calls.flatMap(({ name, pieces }, at) => [
              chunk(begin(at, `call_${at}`, name)),
              ...pieces.map((piece) => chunk(fragment(at, { function: { arguments: piece } }))),
            ]),
            chunk({}, "tool_calls"),
          ];
          const { gate, passed, finish } = play(chunks);
          const at = 1 + texts.length;
          expect(passed).toEqual(chunks.map((each, index) => (index < at ? event(each) : "")));
          expect(gate.calls().map(({ name, arguments: text }) => [name, text])).toEqual(
            calls.map(({ name, pieces }) => [name, pieces.join("")]),
          );
          const all = ["approved", "approved", "approved"] as const;
          expect(finish(ruled(gate, all))).toBe(chunks.slice(at).map(event).join(""));
        },
      ),
      { numRuns: tries(200) },
    );
  });

  const CALLS = [
    chunk({ role: "assistant", content: "On it." }),
    chunk(begin(0, "a", "send", '{"to":')),
    chunk(fragment(0, { function: { arguments: '"x"}' } })),
    chunk(begin(1, "b", "search", "{}")),
    chunk({}, "tool_calls"),
  ];
  test.each<{ name: string; statuses: ApprovalStatus[]; left: string[]; finish: string; says: RegExp }>([
    {
      name: "one is denied",
      statuses: ["denied", "approved"],
      left: ["b"],
      finish: "tool_calls",
      says: /removed a tool call denied: `send`\]$/,
    },
    {
      name: "all are denied",
      statuses: ["denied", "denied"],
      left: [],
      finish: "stop",
      says: /2 tool calls denied: `send`, `search`\]$/,
    },
    {
      name: "one waits",
      statuses: ["pending", "approved"],
      left: [],
      finish: "stop",
      says: /withheld 2 tool calls .*`send`, `search`.*"tr_1"/,
    },
    {
      name: "nobody decided in time",
      statuses: ["expired", "approved"],
      left: ["b"],
      finish: "tool_calls",
      says: /not approved in time: `send`/,
    },
  ])("$name: the text says so", ({ statuses, left, finish, says }) => {
    const { gate, passed, finish: end } = play([...CALLS, { id: "c", choices: [], usage: { prompt_tokens: 1 } }]);
    const release = ruled(gate, statuses);
    const isPending = statuses.includes("pending");
    const text = passed.join("") + end(release, isPending ? toolApproval(release) : undefined);
    const all = collect(text);
    expect(all.toolCalls.map(({ id }) => id)).toEqual(left);
    expect(all).toMatchObject({ finishReason: finish, text: expect.stringMatching(/^On it\.\n\n\[/) });
    expect(all.text).toMatch(says);
    const flows = eventData(text).map((each) => (JSON.parse(each) as { flow?: object }).flow);
    expect(flows.slice(-2).map((flow) => flow !== undefined)).toEqual([isPending, isPending]);
  });

  test.each<{ name: string; chunks: Chunk[]; calls: unknown[]; isOdd: boolean; isLegacy?: true }>([
    {
      name: "no index",
      chunks: [chunk({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{}" } }] })],
      calls: [["a", "f", "{}"]],
      isOdd: true,
    },
    {
      name: "no index, in fragments",
      chunks: [
        chunk({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{" } }] }),
        chunk({ tool_calls: [{ function: { arguments: "}" } }] }),
        chunk({ tool_calls: [{ id: "b", function: { name: "g", arguments: "1" } }] }),
      ],
      ...{
        calls: [
          ["a", "f", "{}"],
          ["b", "g", "1"],
        ],
        isOdd: true,
      },
    },
    {
      name: "the name with every fragment",
      chunks: [chunk(begin(0, "a", "f", "{")), chunk(begin(0, "a", "f", "}"))],
      ...{ calls: [["a", "f", "{}"]], isOdd: true },
    },
    {
      name: "the name after the id",
      chunks: [chunk(fragment(0, { id: "a" })), chunk(fragment(0, { function: { name: "f", arguments: "{}" } }))],
      ...{ calls: [["a", "f", "{}"]], isOdd: true },
    },
    {
      name: "arguments as the value itself",
      chunks: [chunk(fragment(0, { id: "a", function: { name: "f", arguments: { a: 1 } } }))],
      calls: [["a", "f", '{"a":1}']],
      isOdd: true,
    },
    {
      name: "a legacy call",
      chunks: [chunk({ function_call: { name: "f", arguments: "{" } }), chunk({ function_call: { arguments: "}" } })],
      calls: [[null, "f", "{}"]],
      ...{ isOdd: false, isLegacy: true },
    },
    {
      name: "a custom call",
      chunks: [
        chunk(fragment(0, { id: "a", type: "custom", custom: { name: "f", input: "ls" } })),
        chunk(fragment(0, { custom: { input: " -l" } })),
      ],
      calls: [["a", "f", "ls -l"]],
      isOdd: false,
    },
  ])("$name: put together, and every client gets the same", ({ chunks, calls, isOdd, isLegacy }) => {
    const all = [...chunks, chunk({}, isLegacy === true ? "function_call" : "tool_calls")];
    const { gate, passed, finish } = play(all);
    expect(passed.join("")).toBe("");
    expect(gate.calls().map(({ id, name, arguments: text }) => [id, name, text])).toEqual(calls);
    const text = finish(ruled(gate, []));
    if (!isOdd) expect(text).toBe(all.map(event).join(""));
    else expect(collect(text).toolCalls.map((call) => [call.id, call.name, call.arguments])).toEqual(calls);
  });

  test.each<{ name: string; chunks: Chunk[] }>([
    { name: "a text for the calls", chunks: [chunk({ tool_calls: "f()" })] },
    { name: "null for a call", chunks: [chunk({ tool_calls: [null] })] },
  ])("$name is taken out and said", ({ chunks }) => {
    const { gate, passed, finish } = play([...chunks, chunk({}, "tool_calls")]);
    expect(collect(passed.join("") + finish(ruled(gate, [])))).toMatchObject({
      toolCalls: [],
      finishReason: "stop",
      text: expect.stringContaining("cannot be read"),
    });
  });

  test.each<{ name: string; body: Chunk }>([
    {
      name: "choices as an object",
      body: { ...chunk({}), choices: { first: { index: 0, delta: begin(0, "a", "evil") } } },
    },
    { name: "calls beside the delta", body: withChoice({ delta: { content: "hi" }, ...begin(0, "a", "evil") }) },
    { name: "calls at the top", body: { ...chunk({ content: "hi" }), ...begin(0, "a", "evil") } },
    {
      name: "other spellings of choices",
      body: { ...chunk({ content: "hi" }), Choices: [{ delta: begin(0, "a", "evil") }] },
    },
    {
      name: "other spellings in a delta",
      body: chunk({ content: "hi", Tool_Calls: [{ function: { name: "evil" } }] }),
    },
    { name: "another name for calls", body: chunk({ content: "hi", function_calls: [{ name: "evil" }] }) },
    {
      name: "a second kind of call",
      body: chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f" }, custom: { name: "evil" } }] }),
    },
    {
      name: "other spellings in a call",
      body: chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", Name: "evil" } }] }),
    },
  ])("nothing of $name passes that was not read", ({ body }) => {
    const { gate, passed, finish } = play([chunk({ role: "assistant", content: "" }), body, chunk({}, "stop")]);
    const text = passed.join("") + finish(ruled(gate, []));
    expect(text).not.toContain("evil");
  });

  test("keys that stand twice: what was recorded is what is told", () => {
    const twins = [
      '{"id":"c","choices":[{"index":0,"delta":{"content":"hi","tool_calls":[{"function":{"name":"evil"}}],"tool_calls":[]}}]}',
      '{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"evil"}}]}}],"choices":[{"index":0,"delta":{"content":"hi"}}]}',
      '{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"evil","name":"f","arguments":"{}"}}]}}]}',
    ];
    for (const data of twins) {
      const reader = new FrameItems(new FrameReader({ seed: "seed" }), "extras");
      const options = { includeUsage: true, gate: {} } as unknown as StreamOptions;
      const filter = new EventFilter(options, new Received(), new ChatStreamWriter(CONTEXT), null, false);
      expect(filter.pass(reader.push(encoder.encode(`data: ${data}\n\n`)))).not.toContain("evil");
      expect(filter.gate?.calls().map(({ name }) => name) ?? []).not.toContain("evil");
    }
  });

  test("more calls or arguments than can be decided are noticed while they are read", () => {
    const start = (index: number): AnswerEvent => {
      return { kind: "call_start", choice: 0, index, id: `c${index}`, name: "f", form: "function" };
    };
    const many = new StreamGate({ auto_approve: [], deny: [] });
    many.pass(Array.from({ length: MAX_CALLS }, (_, index) => start(index)));
    expect(many.isOverfull).toBe(false);
    many.pass([start(MAX_CALLS)]);
    expect({ isOverfull: many.isOverfull, kept: many.calls().length }).toEqual({ isOverfull: true, kept: MAX_CALLS });
    const long = new StreamGate({ auto_approve: [], deny: [] });
    long.pass([start(0)]);
    const piece: AnswerEvent = { kind: "call_args", choice: 0, index: 0, text: "x".repeat(1_048_576) };
    for (let megabytes = 0; megabytes < 12; megabytes++) long.pass([piece]);
    expect(long.isOverfull).toBe(true);
    expect(long.calls()[0]?.arguments.length).toBe(MAX_ARGUMENTS_LENGTH);
  });

  test("text beside a call passes at once, and so do other choices", () => {
    const beside = chunk({ content: "hi", ...begin(0, "a", "f", "{}") }, "tool_calls");
    const other = { index: 1, delta: { content: "b" }, finish_reason: "stop" };
    const { gate, passed, finish } = play([{ ...beside, choices: [...(beside["choices"] as object[]), other] }]);
    const deltas = eventData(passed.join("")).map((data) => (JSON.parse(data) as { choices: object[] }).choices[0]);
    expect(deltas).toMatchObject([
      { index: 0, delta: { content: "hi" }, finish_reason: null },
      { index: 1, delta: { content: "b" }, finish_reason: null },
      { index: 1, delta: {}, finish_reason: "stop" },
    ]);
    expect(collect(finish(ruled(gate, [])))).toMatchObject({
      ...{ toolCalls: [{ id: "a" }], finishReason: "tool_calls", text: "" },
    });
  });

  test("a call in the message beside a delta is held, and told as a delta", () => {
    const message = {
      role: "assistant",
      content: "",
      tool_calls: [{ id: "a", function: { name: "f", arguments: "{}" } }],
    };
    const last: Chunk = { id: "c", choices: [{ index: 0, delta: {}, message, finish_reason: "tool_calls" }] };
    const { gate, passed, finish } = play([last]);
    expect(passed).toEqual([""]);
    expect(gate.calls()).toMatchObject([{ id: "a", name: "f" }]);
    expect(collect(finish(ruled(gate, []))).toolCalls).toEqual([{ id: "a", name: "f", arguments: "{}" }]);
    expect(finish(ruled(gate, ["denied"]))).not.toContain('"arguments"');
  });

  test.each<{ name: string; chunks: Chunk[] }>([
    { name: "the message after it", chunks: [chunk(begin(0, "a", "f", "{}")), beside("evil")] },
    { name: "the message before it", chunks: [beside("evil"), chunk(begin(0, "a", "f", "{}"))] },
    { name: "another message", chunks: [beside("evil"), beside("f")] },
  ])("what $name calls is not released with a call of the same answer", ({ chunks }) => {
    const { gate, finish } = play([...chunks, chunk({}, "tool_calls")]);
    expect(gate.calls()).toMatchObject([{ name: "f" }]);
    const text = finish(ruled(gate, []));
    expect(collect(text).toolCalls).toMatchObject([{ name: "f", arguments: "{}" }]);
    expect(text).not.toContain("evil");
  });

  test("an id of ours takes the place of the provider's, usage in the last chunk stays", () => {
    const last = { ...chunk({}, "tool_calls"), usage: { prompt_tokens: 3 } };
    const { gate, finish } = play([chunk(begin(0, "a", "f", "{}")), last]);
    const release = ruled(gate, []);
    const own = {
      ...release,
      ruling: { ...release.ruling, calls: [{ id: "own", name: "f", status: "approved" as const }] },
    };
    const text = finish(own);
    expect(collect(text).toolCalls).toEqual([{ id: "own", name: "f", arguments: "{}" }]);
    expect(eventData(text).filter((each) => each.includes("prompt_tokens"))).toHaveLength(1);
    expect(text).toContain('"role":"assistant"');
  });

  test("several choices that call are released each on its own", () => {
    const { gate, finish } = play([
      chunk(begin(0, "b", "g", "{}"), null, 1),
      chunk(begin(0, "a", "f", "{}"), null, 0),
      chunk({}, "tool_calls", 0),
      chunk({}, "tool_calls", 1),
    ]);
    expect(gate.calls().map(({ id }) => id)).toEqual(["a", "b"]);
    const text = finish(ruled(gate, ["denied", "approved"]));
    expect(collect(text)).toMatchObject({ toolCalls: [], finishReason: "stop" });
    expect(text).toContain('"id":"b"');
    expect(text).not.toContain('"id":"a"');
  });

  test("the answer can be kept, and read again as it was", () => {
    const { gate } = play(CALLS);
    const answer = gate.answer()!;
    expect(answer).toMatchObject({ id: "c", model: "m", choices: [{ finish: { reason: "tool_calls" } }] });
    const kept = chatDoorWire.writeAnswer(answer, CONTEXT);
    expect(kept["choices"]).toMatchObject([
      {
        message: {
          content: "On it.",
          tool_calls: [
            { id: "a", type: "function", function: { name: "send", arguments: '{"to":"x"}' } },
            { id: "b", type: "function", function: { name: "search", arguments: "{}" } },
          ],
        },
        finish_reason: "tool_calls",
      },
    ]);
    expect(callsOfAnswer(chatDoorWire.readBack("", kept))).toEqual(gate.calls());
  });
});

function withChoice(choice: object): Chunk {
  return { ...chunk({}), choices: [{ index: 0, finish_reason: null, ...choice }] };
}

/** A call in a message beside the delta. */
function beside(name: string): Chunk {
  const message = { role: "assistant", tool_calls: [{ id: "a", function: { name, arguments: "{}" } }] };
  return { id: "c", choices: [{ index: 0, delta: {}, message, finish_reason: null }] };
}

describe("whole answers", () => {
  const message = {
    content: "Sure.",
    tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }],
  };
  const choices = [{ index: 0, message, finish_reason: "tool_calls" }];
  const release = (status: ApprovalStatus, more: Partial<Release> = {}): Release => ({
    ruling: { calls: [{ id: "a", name: "f", status }], expiresAt: 1_800_000_000_000 },
    delivery: "hold",
    traceId: "tr_1",
    ...more,
  });
  const read = (given: unknown) => chatDoorWire.readBack("", { choices: given });
  const written = (given: unknown, how: Release): unknown =>
    chatDoorWire.writeAnswer(releasedAnswer(harmlessAnswer(read(given)), how), CONTEXT)["choices"];

  test("stay as they are where everything is released", () => {
    const answer = read(choices);
    expect(callsOfAnswer(answer)).toHaveLength(1);
    expect(releasedAnswer(answer, release("approved"))).toBe(answer);
    expect(releasedAnswer(answer, release("pending", { delivery: "mark" }))).toBe(answer);
    const plain = read([{ index: 0, message: { content: "hi", tool_calls: [] }, finish_reason: "length" }]);
    expect(releasedAnswer(plain, { ...release("approved"), ruling: { calls: [], expiresAt: 0 } })).toBe(plain);
  });

  test.each<{ status: ApprovalStatus; delivery?: "mark"; says: string }>([
    { status: "denied", says: "Sure.\n\n[The Flow Layer removed a tool call denied: `f`]" },
    { status: "denied", delivery: "mark", says: "Sure.\n\n[The Flow Layer removed a tool call denied: `f`]" },
    { status: "expired", says: "Sure.\n\n[The Flow Layer removed a tool call not approved in time: `f`]" },
  ])("lose what is $status", ({ status, delivery, says }) => {
    const how = delivery === undefined ? {} : { delivery };
    const [choice] = written(choices, release(status, how)) as { message: object; finish_reason: string }[];
    expect(choice).toMatchObject({ index: 0, message: { content: says }, finish_reason: "stop" });
    expect(choice?.message).not.toHaveProperty("tool_calls");
  });

  test("what is left has its place and its own id", () => {
    const two = [
      {
        ...choices[0],
        message: {
          ...message,
          tool_calls: [...message.tool_calls, { id: "b", type: "function", function: { name: "g", arguments: "1" } }],
        },
      },
    ];
    const calls = [
      { id: "a", name: "f", status: "denied" as const },
      { id: "own", name: "g", status: "approved" as const },
    ];
    const [choice] = written(two, release("approved", { ruling: { calls, expiresAt: 0 } })) as { message: object }[];
    expect(choice).toMatchObject({
      message: { tool_calls: [{ id: "own", type: "function", function: { name: "g", arguments: "1" } }] },
      finish_reason: "tool_calls",
    });
  });

  test("what says that it calls, and nobody can read what, calls nothing", () => {
    const unreadable = [{ index: 0, message: { content: null, tool_calls: "f()" }, finish_reason: "tool_calls" }];
    const none = { ...release("approved"), ruling: { calls: [], expiresAt: 0 } };
    expect(written(unreadable, none)).toMatchObject([
      { message: { content: expect.stringContaining("cannot be read") }, finish_reason: "stop" },
    ]);
    expect(JSON.stringify(written(unreadable, none))).not.toContain("f()");
  });

  const call = { id: "a", type: "function", function: { name: "evil", arguments: "{}" } };
  test.each<{ name: string; body: object }>([
    { name: "calls at the top", body: { choices: [{ index: 0, message: { content: "hi" } }], tool_calls: [call] } },
    {
      name: "calls beside the message",
      body: { choices: [{ index: 0, message: { content: "hi" }, tool_calls: [call] }] },
    },
    { name: "other spellings", body: { choices: [{ index: 0, message: { content: "hi", Tool_Calls: [call] } }] } },
    {
      name: "a delta beside the message",
      body: { choices: [{ index: 0, message: { content: "hi" }, delta: { tool_calls: [call] } }] },
    },
    {
      name: "a second kind of call",
      body: {
        choices: [
          { index: 0, message: { tool_calls: [{ id: "a", function: { name: "f" }, custom: { name: "evil" } }] } },
        ],
      },
    },
    {
      name: "another name for calls",
      body: { choices: [{ index: 0, message: { content: "hi", function_calls: [call] } }] },
    },
  ])("$name are not plain, and nothing of them is written", ({ body }) => {
    const text = JSON.stringify(body);
    const parsed = body as Record<string, unknown>;
    expect(chatDoorWire.isPlain(text, parsed)).toBe(false);
    const answer = harmlessAnswer(chatDoorWire.readBack("", parsed));
    const seen = callsOfAnswer(answer).map(({ name }) => name);
    expect(seen.includes("evil") || !JSON.stringify(chatDoorWire.writeAnswer(answer, CONTEXT)).includes("evil")).toBe(
      true,
    );
  });

  test("twins are not plain", () => {
    const text = '{"choices":[{"message":{"content":"hi","tool_calls":[],"tool_calls":[]}}]}';
    expect(chatDoorWire.isPlain(text, JSON.parse(text))).toBe(false);
    expect(chatDoorWire.isPlain(JSON.stringify({ choices }), { choices })).toBe(true);
  });

  test("the flow says what waits, and until when", () => {
    expect(toolApproval(release("pending"))).toEqual({
      ...{ status: "pending", trace_id: "tr_1", ids: ["a"], expires_at: "2027-01-15T08:00:00.000Z" },
      calls: [{ id: "a", name: "f", status: "pending" }],
    });
    expect(toolApproval(release("approved"))).toMatchObject({ status: "approved", ids: [] });
  });
});
