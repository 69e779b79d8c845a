/** Calls and results as they stand in messages. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  calledTools,
  carriesCalls,
  hasResults,
  readCalls,
  readResults,
  usedIds,
} from "../../../src/approvals/calls.ts";
import { toRecord } from "../../../src/approvals/client.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";

provideWorkerdCrypto();

const fn = (id: unknown, name: string, args: unknown = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const custom = { id: "c", type: "custom", custom: { name: "shell", input: "rm" } };

test.each([
  { name: "none", message: { content: "hi" }, calls: [], carries: false },
  { name: "an empty list", message: { tool_calls: [] }, calls: [], carries: false },
  { name: "null for none", message: { tool_calls: null, function_call: null }, calls: [], carries: false },
  {
    name: "a call",
    message: { tool_calls: [fn("a", "send")] },
    calls: [["a", "function", "send", "{}"]],
    carries: true,
  },
  { name: "a custom call", message: { tool_calls: [custom] }, calls: [["c", "custom", "shell", "rm"]], carries: true },
  {
    name: "no id",
    message: { tool_calls: [fn("", "send")] },
    calls: [[null, "function", "send", "{}"]],
    carries: true,
  },
  {
    name: "arguments that are the value itself",
    message: { tool_calls: [fn("a", "send", { a: 1 })] },
    ...{ calls: [["a", "function", "send", '{"a":1}']], carries: true },
  },
  { name: "no function", message: { tool_calls: [{ id: "a" }] }, calls: [["a", "function", "", ""]], carries: true },
  {
    name: "calls that are no list",
    message: { tool_calls: { 0: fn("a", "send") } },
    ...{ calls: [["a", "function", "send", "{}"]], carries: true },
  },
  { name: "what nobody can read", message: { tool_calls: "f()" }, calls: [], carries: true },
  {
    name: "a legacy call",
    message: { function_call: { name: "send", arguments: "{}" } },
    ...{ calls: [[null, "legacy", "send", "{}"]], carries: true },
  },
])("$name is read", ({ message, calls, carries }) => {
  expect(readCalls(message).map(({ id, kind, name, arguments: text }) => [id, kind, name, text])).toEqual(calls);
  expect(carriesCalls(message)).toBe(carries);
});

test("calls are named in order, whatever their kind", () => {
  const message = { tool_calls: [fn("a", "a"), custom, fn("b", ""), 7], function_call: { name: "b" } };
  expect(calledTools(message)).toEqual(["a", "shell", "b"]);
});

describe("results", () => {
  const claim = (name: string, text = "{}", kind = "function") => ({ kind, name, arguments: text });
  test.each([
    { name: "text alone", messages: [{ role: "user", content: "hi" }], results: [] },
    { name: "no list", messages: "tool", results: [] },
    {
      name: "a result without its call",
      messages: [{ role: "tool", tool_call_id: "a" }],
      results: [{ by: "id", id: "a", calls: [] }],
    },
    { name: "a result without an id", messages: [{ role: "tool" }], results: [{ by: "id", id: "", calls: [] }] },
    {
      name: "every call of the id, wherever it stands",
      messages: [
        { role: "assistant", tool_calls: [fn("a", "send"), fn("b", "buy")] },
        { role: "tool", tool_call_id: "a" },
        null,
        { role: "tool", tool_call_id: "a" },
        { role: "assistant", tool_calls: [fn("a", "send", "{ }")] },
      ],
      results: [{ by: "id", id: "a", calls: [claim("send"), claim("send", "{ }")] }],
    },
    {
      name: "legacy results, each with the last call of its name before it",
      messages: [
        { role: "assistant", function_call: { name: "send", arguments: "1" } },
        { role: "function", name: "send" },
        { role: "assistant", function_call: { name: "send", arguments: "2" } },
        { role: "function", name: "send" },
        { role: "function", name: "buy" },
      ],
      results: [
        { by: "name", id: "send", calls: [claim("send", "1", "legacy")] },
        { by: "name", id: "send", calls: [claim("send", "2", "legacy")] },
        { by: "name", id: "buy", calls: [] },
      ],
    },
  ])("$name", ({ messages, results }) => {
    expect(readResults(messages)).toEqual(results);
    expect(hasResults(messages)).toBe(results.length > 0);
  });
});

test("ids a conversation uses, doubled ones and missing ones are not recorded as they are", async () => {
  const messages = [
    { role: "assistant", tool_calls: [fn("a", "x"), fn(null, "y")] },
    { role: "tool", tool_call_id: "b" },
  ];
  expect(usedIds(messages)).toEqual(["a", "b"]);
  const calls = ["a", "b", "c", "c", null].map((id) => ({ id, kind: "function", name: "f", arguments: "é" }) as const);
  const recorded = await toRecord(calls, usedIds(messages), { auto_approve: [], deny: ["f"] });
  expect(recorded.map(({ id }) => id)).toEqual([null, null, "c", null, null]);
  expect(recorded[0]).toMatchObject({
    verdict: "denied",
    sha256: createHash("sha256").update("é").digest("hex"),
  });
});
