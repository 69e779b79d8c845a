import { describe, expect, test } from "vitest";
import { calledTools, StreamWithholder, toolResultIds, withholdFromChoices } from "../../../src/approvals/withhold.ts";

const call = (name: string, id = `call_${name}`) => ({ id, type: "function", function: { name, arguments: "{}" } });

describe("whole answers", () => {
  test.each([
    { name: "no calls", message: { content: "hi" } },
    { name: "an empty list of calls", message: { content: "hi", tool_calls: [] } },
    { name: "null for none", message: { content: "hi", tool_calls: null, function_call: null } },
  ])("an answer with $name stays as it is", ({ message }) => {
    expect(withholdFromChoices([{ index: 0, message, finish_reason: "length" }])).toBeNull();
  });

  test.each([
    {
      name: "one call",
      message: { content: null, tool_calls: [call("send")] },
      withheld: ["send"],
      says: "a tool call",
    },
    {
      name: "two calls",
      message: { content: null, tool_calls: [call("send"), call("buy")] },
      withheld: ["send", "buy"],
      says: "tool calls that need approval: `send`, `buy`",
    },
    {
      name: "a legacy call",
      message: { content: null, function_call: { name: "send", arguments: "{}" } },
      withheld: ["send"],
      says: "`send`",
    },
    {
      name: "a custom tool's call",
      message: { content: null, tool_calls: [{ id: "c", type: "custom", custom: { name: "shell", input: "rm" } }] },
      withheld: ["shell"],
      says: "`shell`",
    },
    {
      name: "a call without a name",
      message: { content: null, tool_calls: [{ id: "c", type: "function", function: { arguments: '{"a":1}' } }] },
      withheld: [],
      says: "a tool call that needs approval]",
    },
    {
      name: "calls that are no list",
      message: { content: null, tool_calls: { 0: call("send") } },
      withheld: [],
      says: "a tool",
    },
    {
      name: "text and a call",
      message: { content: "Sure.", tool_calls: [call("send")] },
      withheld: ["send"],
      says: "Sure.\n\n[",
    },
  ])("$name: the calls go, the text says so, and the answer ends with stop", ({ message, withheld, says }) => {
    const held = withholdFromChoices([{ index: 0, message, finish_reason: "tool_calls" }]);
    expect(held?.withheld).toEqual(withheld);
    expect(held?.choices).toEqual([
      { index: 0, message: { content: expect.stringContaining(says) }, finish_reason: "stop" },
    ]);
    expect(JSON.stringify(held)).not.toContain("arguments");
  });

  test("only the choice that calls is changed", () => {
    const plain = { index: 0, message: { content: "hi" }, finish_reason: "stop" };
    const calling = { index: 1, message: { content: null, tool_calls: [call("send")] }, finish_reason: "tool_calls" };
    expect(withholdFromChoices([plain, calling])?.choices[0]).toBe(plain);
  });
});

describe("streams", () => {
  const chunk = (delta: object, finish_reason: string | null = null, more: object = {}) => ({
    id: "c",
    choices: [{ index: 0, delta, finish_reason, ...more }],
  });
  const play = (chunks: readonly Record<string, unknown>[]): unknown[] => {
    const withholder = new StreamWithholder();
    return chunks.map((each) => withholder.filter(each));
  };
  const ended = (text: string) => chunk({ content: expect.stringContaining(text) }, "stop");

  test("chunks without calls pass as the same object, null lists included", () => {
    const chunks = [
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "hi", tool_calls: null, function_call: null }),
      chunk({ content: "", tool_calls: [] }, "length"),
      { id: "c", choices: [], usage: { prompt_tokens: 1 } },
    ];
    for (const [index, passed] of play(chunks).entries()) expect(passed).toBe(chunks[index]);
  });

  test("a call in fragments is withheld, and the last chunk says so", () => {
    const [text, ...rest] = play([
      chunk({ content: "Let me see." }),
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "send", arguments: "" } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{"to":' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '"x"}' } }] }),
      chunk({}, "tool_calls"),
    ]);
    expect(text).toEqual(chunk({ content: "Let me see." }));
    expect(rest).toEqual([null, null, null, ended("a tool call that needs approval: `send`]")]);
  });

  test.each([
    {
      name: "a call in the last chunk",
      chunks: [chunk({ content: "", tool_calls: [call("send")] }, "tool_calls")],
      says: "`send`",
    },
    {
      name: "a legacy call",
      chunks: [chunk({ function_call: { name: "send", arguments: "{}" } }), chunk({}, "function_call")],
      says: "`send`",
    },
    {
      name: "a call without a name",
      chunks: [chunk({ tool_calls: [{ index: 0, function: { arguments: "{}" } }] }), chunk({}, "stop")],
      says: "a tool call that needs approval]",
    },
    {
      name: "a call in the message beside the delta",
      chunks: [
        chunk({ content: "" }, "tool_calls", {
          message: { role: "assistant", content: "", tool_calls: [call("send")] },
        }),
      ],
      says: "`send`",
    },
    {
      name: "two calls",
      chunks: [chunk({ tool_calls: [call("send")] }), chunk({ tool_calls: [call("buy")] }), chunk({}, "tool_calls")],
      says: "tool calls that need approval: `send`, `buy`]",
    },
  ])("$name: nothing of it is released", ({ chunks, says }) => {
    const passed = play(chunks);
    expect(passed.at(-1)).toEqual(ended(says));
    expect(passed.slice(0, -1)).toEqual(chunks.slice(0, -1).map(() => null));
    expect(JSON.stringify(passed)).not.toContain("arguments");
  });

  test("text beside a call, and usage beside nothing else, still arrive", () => {
    const [withText, withUsage] = play([
      chunk({ content: "hi", tool_calls: [call("send")] }),
      { ...chunk({ tool_calls: [call("buy")] }), usage: { prompt_tokens: 1 } },
    ]);
    expect(withText).toEqual(chunk({ content: "hi" }));
    expect(withUsage).toEqual({ id: "c", choices: [], usage: { prompt_tokens: 1 } });
  });

  test("an empty finish reason ends nothing, and choices are kept apart", () => {
    const other = { index: 1, delta: { content: "b" }, finish_reason: "stop" };
    const [first, second] = play([
      { choices: [{ index: 0, delta: { tool_calls: [call("send")] }, finish_reason: "" }, other] },
      { choices: [other] },
    ]);
    expect(first).toEqual({ choices: [other] });
    expect(second).toEqual({ choices: [other] });
  });
});

test.each([
  { name: "text alone", messages: [{ role: "user", content: "hi" }], ids: [] },
  { name: "a result", messages: [{ role: "tool", tool_call_id: "a", content: "1" }], ids: ["a"] },
  { name: "a legacy result", messages: [{ role: "function", name: "send", content: "1" }], ids: ["send"] },
  { name: "a result without an id", messages: [{ role: "tool", content: "1" }], ids: [""] },
  {
    name: "several among others",
    messages: [{ role: "tool", tool_call_id: "a" }, null, { role: "user" }, { role: "tool", tool_call_id: "b" }],
    ids: ["a", "b"],
  },
  { name: "no list", messages: "tool", ids: [] },
])("tool results in $name are found", ({ messages, ids }) => {
  expect(toolResultIds(messages)).toEqual(ids);
});

test("calls are named in order, whatever their kind", () => {
  const custom = { id: "c", type: "custom", custom: { name: "shell", input: "" } };
  const message = { tool_calls: [call("a"), custom, { function: { name: "" } }, 7], function_call: { name: "b" } };
  expect(calledTools(message)).toEqual(["a", "shell", "b"]);
});
