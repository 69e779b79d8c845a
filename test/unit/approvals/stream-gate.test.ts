/** What of tool calls leaves the gate, when, and in which form: whole answers and streams. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { callsOfChoices, type Release, releaseChoices, toolApproval } from "../../../src/approvals/release.ts";
import { StreamGate } from "../../../src/approvals/stream-gate.ts";
import type { ApprovalStatus } from "../../../src/approvals/types.ts";
import { collect, eventData } from "../../support/sse.ts";

type Chunk = Record<string, unknown>;
const chunk = (delta: object, finish_reason: string | null = null, index = 0): Chunk => ({
  ...{ id: "c", object: "chat.completion.chunk", created: 1, model: "m" },
  choices: [{ index, delta, finish_reason }],
});
const event = (each: Chunk): string => `data: ${JSON.stringify(each)}\n\n`;
const fragment = (index: number, more: object): object => ({ tool_calls: [{ index, ...more }] });
const begin = (index: number, id: string, name: string, args = ""): object =>
  fragment(index, { id, type: "function", function: { name, arguments: args } });

/** Plays a stream through a gate: what passed, event by event. */
function play(chunks: readonly Chunk[]): { gate: StreamGate; passed: (Chunk | null)[] } {
  const gate = new StreamGate();
  return { gate, passed: chunks.map((each) => gate.pass(each, event(each)) as Chunk | null) };
}

/** A ruling on the calls of `gate`, one status each. */
function ruled(gate: StreamGate, statuses: readonly ApprovalStatus[], more: Partial<Release> = {}): Release {
  const calls = gate
    .calls()
    .map(({ id, name }, at) => ({ id: id ?? `own_${at}`, name, status: statuses[at] ?? "approved" }));
  return { ruling: { calls, expiresAt: 1_800_000_000_000 }, delivery: "hold", traceId: "tr_1", ...more };
}

describe("streams", () => {
  test("chunks without calls pass as the same object", () => {
    const chunks = [
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "hi", tool_calls: null, function_call: null }),
      chunk({ content: "", tool_calls: [] }, "length"),
      { id: "c", choices: [], usage: { prompt_tokens: 1 } },
    ];
    const { gate, passed } = play(chunks);
    for (const [at, each] of passed.entries()) expect(each).toBe(chunks[at]);
    expect(gate.isHolding).toBe(false);
  });

  test("whatever the fragments: nothing of a call passes, and approved it comes as it came", () => {
    const call = fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}$/),
      pieces: fc.array(fc.string({ minLength: 1 }), { maxLength: 5 }),
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
          const { gate, passed } = play(chunks);
          expect(passed.filter((each) => each !== null)).toEqual(chunks.slice(0, 1 + texts.length));
          expect(gate.calls().map(({ name, arguments: text }) => [name, text])).toEqual(
            calls.map(({ name, pieces }) => [name, pieces.join("")]),
          );
          const all = ["approved", "approved", "approved"] as const;
          expect(gate.finish(ruled(gate, all))).toBe(
            chunks
              .slice(1 + texts.length)
              .map(event)
              .join(""),
          );
        },
      ),
      { numRuns: 200 },
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
    const { gate, passed } = play(CALLS);
    gate.keepUsage({ id: "c", choices: [], usage: { prompt_tokens: 1 } }, 'data: {"usage":1}\n\n');
    const text = passed.map((each) => (each === null ? "" : event(each))).join("") + gate.finish(ruled(gate, statuses));
    const all = collect(text);
    expect(all.toolCalls.map(({ id }) => id)).toEqual(left);
    expect(all).toMatchObject({ finishReason: finish, text: expect.stringMatching(/^On it\.\n\n\[/) });
    expect(all.text).toMatch(says);
    const isPending = statuses.includes("pending");
    const flows = eventData(text).map((each) => (JSON.parse(each) as { flow?: object }).flow);
    expect(flows.slice(-2).map((flow) => flow !== undefined)).toEqual([isPending, isPending]);
  });

  test.each<{ name: string; chunks: Chunk[]; calls: unknown[]; isOdd: boolean }>([
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
      isOdd: false,
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
  ])("$name: put together, and written anew where clients would disagree", ({ chunks, calls, isOdd }) => {
    const all = [...chunks, chunk({}, "tool_calls")];
    const { gate, passed } = play(all);
    expect(passed.every((each) => each === null)).toBe(true);
    expect(gate.calls().map(({ id, name, arguments: text }) => [id, name, text])).toEqual(calls);
    const text = gate.finish(ruled(gate, []));
    expect(text === all.map(event).join("")).toBe(!isOdd);
    if (isOdd) expect(collect(text).toolCalls.map((call) => [call.id, call.name, call.arguments])).toEqual(calls);
  });

  test.each<{ name: string; chunks: Chunk[] }>([
    { name: "a text for the calls", chunks: [chunk({ tool_calls: "f()" })] },
    { name: "null for a call", chunks: [chunk({ tool_calls: [null] })] },
    { name: "an object for the calls", chunks: [chunk({ tool_calls: { 0: { id: "a", function: { name: "f" } } } })] },
  ])("$name is taken out and said", ({ chunks }) => {
    const { gate, passed } = play([...chunks, chunk({}, "tool_calls")]);
    expect(passed).toEqual([null, null]);
    expect(collect(gate.finish(ruled(gate, [])))).toMatchObject({
      toolCalls: [],
      finishReason: "stop",
      text: expect.stringContaining("cannot be read"),
    });
  });

  test("text beside a call passes at once, and so do other choices", () => {
    const beside = chunk({ content: "hi", ...begin(0, "a", "f", "{}") }, "tool_calls");
    const other = { index: 1, delta: { content: "b" }, finish_reason: "stop" };
    const { gate, passed } = play([{ ...beside, choices: [...(beside["choices"] as object[]), other] }]);
    expect(passed).toEqual([
      { ...chunk({ content: "hi" }), choices: [{ index: 0, delta: { content: "hi" }, finish_reason: null }, other] },
    ]);
    expect(collect(gate.finish(ruled(gate, [])))).toMatchObject({
      toolCalls: [{ id: "a" }],
      finishReason: "tool_calls",
      text: "",
    });
  });

  test("a call in the message beside a delta is held, and released as it came", () => {
    const message = {
      role: "assistant",
      content: "",
      tool_calls: [{ id: "a", function: { name: "f", arguments: "{}" } }],
    };
    const last: Chunk = { id: "c", choices: [{ index: 0, delta: {}, message, finish_reason: "tool_calls" }] };
    const { gate, passed } = play([last]);
    expect(passed).toEqual([null]);
    expect(gate.calls()).toMatchObject([{ id: "a", name: "f" }]);
    expect(gate.finish(ruled(gate, []))).toBe(event(last));
    expect(gate.finish(ruled(gate, ["denied"]))).not.toContain('"arguments"');
  });

  test.each<{ name: string; chunks: Chunk[] }>([
    { name: "the message after it", chunks: [chunk(begin(0, "a", "f", "{}")), beside("evil")] },
    { name: "the message before it", chunks: [beside("evil"), chunk(begin(0, "a", "f", "{}"))] },
    { name: "another message", chunks: [beside("evil"), beside("f")] },
  ])("what $name calls is not released with a call of the same answer", ({ chunks }) => {
    const { gate } = play([...chunks, chunk({}, "tool_calls")]);
    expect(gate.calls()).toMatchObject([{ name: "f" }]);
    const text = gate.finish(ruled(gate, []));
    expect(collect(text).toolCalls).toMatchObject([{ name: "f", arguments: "{}" }]);
    expect(text).not.toContain("evil");
  });

  test.each<{ name: string; delta: object }>([
    {
      name: "a call of two kinds",
      delta: { tool_calls: [{ index: 0, id: "a", function: { name: "f" }, custom: { name: "g" } }] },
    },
    { name: "legacy arguments as the value itself", delta: { function_call: { name: "f", arguments: { a: 1 } } } },
  ])("$name is written anew: clients would disagree", ({ delta }) => {
    const { gate } = play([chunk(delta), chunk({}, "tool_calls")]);
    expect(gate.finish(ruled(gate, []))).not.toContain(JSON.stringify(delta).slice(1, -1));
  });

  test("an id of ours takes the place of the vendor's, usage in the last chunk stays", () => {
    const last = { ...chunk({}, "tool_calls"), usage: { prompt_tokens: 3 } };
    const { gate } = play([chunk(begin(0, "a", "f", "{}")), last]);
    const release = ruled(gate, []);
    const own = {
      ...release,
      ruling: { ...release.ruling, calls: [{ id: "own", name: "f", status: "approved" as const }] },
    };
    const text = gate.finish(own);
    expect(collect(text).toolCalls).toEqual([{ id: "own", name: "f", arguments: "{}" }]);
    expect(eventData(text).filter((each) => each.includes("prompt_tokens"))).toHaveLength(1);
    expect(text).toContain('"role":"assistant"');
  });

  test("several choices that call are released each on its own", () => {
    const { gate } = play([
      chunk(begin(0, "b", "g", "{}"), null, 1),
      chunk(begin(0, "a", "f", "{}"), null, 0),
      chunk({}, "tool_calls", 0),
      chunk({}, "tool_calls", 1),
    ]);
    expect(gate.calls().map(({ id }) => id)).toEqual(["a", "b"]);
    const text = gate.finish(ruled(gate, ["denied", "approved"]));
    expect(collect(text)).toMatchObject({ toolCalls: [], finishReason: "stop" });
    expect(text).toContain('"id":"b"');
    expect(text).not.toContain('"id":"a"');
  });

  test("the answer can be kept as a chat completion", () => {
    const { gate } = play(CALLS);
    expect(gate.toCompletion()).toEqual({
      ...{ id: "c", object: "chat.completion", created: 1, model: "m" },
      choices: [
        {
          index: 0,
          message: {
            ...{ role: "assistant", content: "On it." },
            tool_calls: [
              { id: "a", type: "function", function: { name: "send", arguments: '{"to":"x"}' } },
              { id: "b", type: "function", function: { name: "search", arguments: "{}" } },
            ],
          },
          finish_reason: "tool_calls",
        },
      ],
    });
  });
});

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

  test("stay as they are where everything is released", () => {
    expect(callsOfChoices(choices)).toHaveLength(1);
    expect(releaseChoices(choices, release("approved"))).toBeNull();
    expect(releaseChoices(choices, release("pending", { delivery: "mark" }))).toBeNull();
    const plain = [{ index: 0, message: { content: "hi", tool_calls: [] }, finish_reason: "length" }];
    expect(releaseChoices(plain, { ...release("approved"), ruling: { calls: [], expiresAt: 0 } })).toBeNull();
  });

  test.each<{ status: ApprovalStatus; delivery?: "mark"; says: string }>([
    { status: "denied", says: "Sure.\n\n[The Flow Layer removed a tool call denied: `f`]" },
    { status: "denied", delivery: "mark", says: "Sure.\n\n[The Flow Layer removed a tool call denied: `f`]" },
    { status: "expired", says: "Sure.\n\n[The Flow Layer removed a tool call not approved in time: `f`]" },
  ])("lose what is $status", ({ status, delivery, says }) => {
    const how = delivery === undefined ? {} : { delivery };
    expect(releaseChoices(choices, release(status, how))).toEqual([
      { index: 0, message: { content: says }, finish_reason: "stop" },
    ]);
  });

  test.each<{ name: string; calls: unknown }>([
    { name: "arguments as the value itself", calls: [{ id: "a", function: { name: "f", arguments: { n: 2 ** 53 } } }] },
    { name: "a call of two kinds", calls: [{ id: "a", function: { name: "f" }, custom: { name: "g", input: "" } }] },
    { name: "calls that are no list", calls: { 0: { id: "a", function: { name: "f", arguments: "{}" } } } },
    { name: "what is no call", calls: [{ id: "a", function: { name: "f", arguments: "{}" } }, "g()"] },
  ])("$name: the client gets what was decided, not what came", ({ calls }) => {
    const given = [{ index: 0, message: { content: null, tool_calls: calls }, finish_reason: "tool_calls" }];
    const [{ name = "", arguments: text = "" } = {}] = callsOfChoices(given);
    expect(releaseChoices(given, release("approved"))).toEqual([
      {
        index: 0,
        message: { content: null, tool_calls: [{ id: "a", type: "function", function: { name, arguments: text } }] },
        finish_reason: "tool_calls",
      },
    ]);
  });

  test("what nobody can read is taken out", () => {
    const unreadable = [{ index: 0, message: { content: null, tool_calls: "f()" }, finish_reason: "tool_calls" }];
    const released = releaseChoices(unreadable, { ...release("approved"), ruling: { calls: [], expiresAt: 0 } });
    expect(released).toMatchObject([
      { message: { content: expect.stringContaining("cannot be read") }, finish_reason: "stop" },
    ]);
    expect(JSON.stringify(released)).not.toContain("f()");
  });

  test("the flow says what waits, and until when", () => {
    expect(toolApproval(release("pending"))).toEqual({
      ...{ status: "pending", trace_id: "tr_1", ids: ["a"], expires_at: "2027-01-15T08:00:00.000Z" },
      calls: [{ id: "a", name: "f", status: "pending" }],
    });
    expect(toolApproval(release("approved"))).toMatchObject({ status: "approved", ids: [] });
  });
});
