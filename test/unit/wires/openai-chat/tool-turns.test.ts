/** Calls in chat messages, in every spelling. */
import { expect, test } from "vitest";
import { readCalls } from "../../../../src/wires/openai-chat/tool-turns.ts";

const fn = (id: unknown, name: string, args: unknown = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const custom = { id: "c", type: "custom", custom: { name: "shell", input: "rm" } };

test.each([
  { name: "none", message: { content: "hi" }, calls: [] },
  { name: "an empty list", message: { tool_calls: [] }, calls: [] },
  { name: "null for none", message: { tool_calls: null, function_call: null }, calls: [] },
  {
    name: "a call",
    message: { tool_calls: [fn("a", "send")] },
    calls: [["a", "function", "send", "{}"]],
  },
  { name: "a custom call", message: { tool_calls: [custom] }, calls: [["c", "custom", "shell", "rm"]] },
  {
    name: "no id",
    message: { tool_calls: [fn("", "send")] },
    calls: [[null, "function", "send", "{}"]],
  },
  {
    name: "arguments that are the value itself",
    message: { tool_calls: [fn("a", "send", { a: 1 })] },
    ...{ calls: [["a", "function", "send", '{"a":1}']] },
  },
  {
    name: "an id that is no text",
    message: { tool_calls: [fn(true, "send"), fn({ toString: 1 }, "send"), fn(7, "send")] },
    calls: [
      ["true", "function", "send", "{}"],
      ["[object Object]", "function", "send", "{}"],
      ["7", "function", "send", "{}"],
    ],
  },
  {
    name: "a call of two kinds",
    message: { tool_calls: [{ ...custom, ...fn("a", "send") }] },
    ...{ calls: [["a", "function", "", ""]] },
  },
  { name: "no function", message: { tool_calls: [{ id: "a" }] }, calls: [["a", "function", "", ""]] },
  {
    name: "calls that are no list",
    message: { tool_calls: { 0: fn("a", "send") } },
    ...{ calls: [["a", "function", "send", "{}"]] },
  },
  { name: "what nobody can read", message: { tool_calls: "f()" }, calls: [] },
  {
    name: "a legacy call",
    message: { function_call: { name: "send", arguments: "{}" } },
    ...{ calls: [[null, "legacy", "send", "{}"]] },
  },
])("$name is read", ({ message, calls }) => {
  expect(readCalls(message).map(({ id, kind, name, arguments: text }) => [id, kind, name, text])).toEqual(calls);
});
