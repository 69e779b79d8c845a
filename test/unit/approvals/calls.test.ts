/** Calls and results as they stand in messages. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readResults, usedIds } from "../../../src/approvals/calls.ts";
import { toRecord } from "../../../src/approvals/client.ts";
import { hasResults, readToolTurns } from "../../../src/wires/openai-chat/tool-turns.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";

provideWorkerdCrypto();

const fn = (id: unknown, name: string, args: unknown = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const custom = { id: "c", type: "custom", custom: { name: "shell", input: "rm" } };

describe("results", () => {
  const claim = (name: string, text: string | null = "{}", kind = "function") => ({ kind, name, arguments: text });
  test.each([
    { name: "text alone", messages: [{ role: "user", content: "hi" }], results: [] },
    { name: "no list", messages: "tool", results: [] },
    {
      name: "a result without its call",
      messages: [{ role: "tool", tool_call_id: "a" }],
      results: [{ by: "id", id: "a", calls: [] }],
    },
    { name: "a result without an id", messages: [{ role: "tool" }], results: [{ by: "id", id: "", calls: [] }] },
    ...[
      { role: "tool" },
      { role: "tool", name: "send" },
      { role: "tool", tool_call_id: "a " },
      { role: "tool", tool_call_id: "A" },
      { role: "user", content: [{ type: "tool_result", content: "1" }] },
    ].map((result) => ({
      name: `a result that names no call, and so may be of any: ${JSON.stringify(result)}`,
      messages: [{ role: "assistant", tool_calls: [fn("a", "send"), fn("b", "buy")] }, result],
      results: [
        { by: "id", id: typeof result.tool_call_id === "string" ? result.tool_call_id : "", calls: [] },
        { by: "id", id: "a", calls: [claim("send")] },
        { by: "id", id: "b", calls: [claim("buy")] },
      ],
    })),
    {
      name: "a result under the id that some adapters give a legacy call",
      messages: [
        { role: "assistant", function_call: { name: "send", arguments: "1" } },
        { role: "tool", tool_call_id: "call_send" },
      ],
      results: [
        { by: "id", id: "call_send", calls: [] },
        { by: "name", id: "send", calls: [claim("send", "1", "legacy")] },
      ],
    },
    {
      name: "a legacy result of a name nobody called",
      messages: [
        { role: "assistant", tool_calls: [fn("a", "send")] },
        { role: "function", name: "other" },
      ],
      results: [
        { by: "id", id: "a", calls: [claim("send")] },
        { by: "name", id: "other", calls: [] },
      ],
    },
    {
      name: "a legacy result with the id of a call",
      messages: [
        { role: "assistant", tool_calls: [fn("a", "send")] },
        { role: "assistant", function_call: { name: "buy", arguments: "{}" } },
        { role: "function", name: "buy", tool_call_id: "a" },
      ],
      results: [
        { by: "id", id: "a", calls: [claim("send")] },
        { by: "name", id: "buy", calls: [claim("buy", "{}", "legacy")] },
      ],
    },
    {
      name: "a result as a part of a user's content",
      messages: [
        { role: "assistant", tool_calls: [fn("a", "send"), fn("b", "buy")] },
        { role: "user", content: [{ type: "text", text: "hi" }, { type: "tool_result", tool_use_id: "a" }, null] },
      ],
      results: [{ by: "id", id: "a", calls: [claim("send")] }],
    },
    {
      name: "calls in a message of another role, which some adapters do not take for calls",
      messages: [
        { role: "user", tool_calls: [fn("a", "send")] },
        { role: "assistant", tool_calls: [fn("b", "buy")] },
        { role: "tool", tool_call_id: "a" },
      ],
      results: [
        { by: "id", id: "a", calls: [claim("send")] },
        { by: "id", id: "b", calls: [claim("buy")] },
      ],
    },
    {
      name: "calls that others may read otherwise",
      messages: [
        {
          role: "assistant",
          tool_calls: [
            fn("a", "send", { account: 2 ** 53 }),
            fn("b", "send", { amounts: [Number.POSITIVE_INFINITY] }),
            fn("c", "send", { amount: 0.1, big: "9007199254740993" }),
            { ...custom, ...fn("d", "send") },
          ],
        },
        ...["a", "b", "c", "d"].map((id) => ({ role: "tool", tool_call_id: id })),
      ],
      results: [
        { by: "id", id: "a", calls: [claim("send", null)] },
        { by: "id", id: "b", calls: [claim("send", null)] },
        { by: "id", id: "c", calls: [claim("send", '{"amount":0.1,"big":"9007199254740993"}')] },
        { by: "id", id: "d", calls: [claim("", null)] },
      ],
    },
    {
      name: "more results of an id than calls, which adapters may give to another call",
      messages: [
        { role: "assistant", tool_calls: [fn("a.b", "send"), fn("a_b", "buy")] },
        { role: "tool", tool_call_id: "a_b" },
        { role: "tool", tool_call_id: "a_b" },
      ],
      results: [
        { by: "id", id: "a_b", calls: [claim("buy")] },
        { by: "id", id: "a.b", calls: [claim("send")] },
      ],
    },
    {
      name: "every call of the id, wherever it stands, and of any where there are more results than calls before them",
      messages: [
        { role: "assistant", tool_calls: [fn("a", "send"), fn("b", "buy")] },
        { role: "tool", tool_call_id: "a" },
        null,
        { role: "tool", tool_call_id: "a" },
        { role: "assistant", tool_calls: [fn("a", "send", "{ }")] },
      ],
      results: [
        { by: "id", id: "a", calls: [claim("send"), claim("send", "{ }")] },
        { by: "id", id: "b", calls: [claim("buy")] },
      ],
    },
    {
      name: "legacy results, each with every call of its name",
      messages: [
        { role: "assistant", function_call: { name: "send", arguments: "1" } },
        { role: "function", name: "send" },
        { role: "assistant", function_call: { name: "send", arguments: "2" } },
        { role: "function", name: "send" },
        { role: "assistant", function_call: { name: "buy", arguments: "3" } },
      ],
      results: [
        { by: "name", id: "send", calls: [claim("send", "1", "legacy")] },
        { by: "name", id: "send", calls: [claim("send", "2", "legacy")] },
      ],
    },
  ])("$name", ({ messages, results }) => {
    expect(readResults(readToolTurns(messages))).toEqual(results);
    expect(hasResults(messages)).toBe(results.length > 0);
  });
});

test("a call with half a character in it is denied: it cannot be kept as it is", async () => {
  const calls = [
    { name: "f\ud800", arguments: "{}" },
    { name: "f", arguments: '{"a":"\udc00"}' },
    { name: "f", arguments: '{"a":"\\ud800"}' },
    { name: "f", arguments: '{"a":"\ud83c\udf0d"}' },
  ].map((call) => ({ id: null, kind: "function" as const, ...call }));
  const recorded = await toRecord(calls, [], { auto_approve: ["*"], deny: [] });
  expect(recorded.map(({ verdict }) => verdict)).toEqual(["denied", "denied", "approved", "approved"]);
});

test("ids a conversation uses, doubled ones and missing ones are not recorded as they are", async () => {
  const messages = [
    { role: "assistant", tool_calls: [fn("a", "x"), fn(null, "y")] },
    { role: "tool", tool_call_id: "b" },
  ];
  expect(usedIds(readToolTurns(messages))).toEqual(["a", "b"]);
  // An address takes dots for steps of its path, so nobody could decide a call of such an id.
  const calls = ["a", "b", "c", "c", null, "d\ud800", ".", "..", ""].map(
    (id) => ({ id, kind: "function", name: "f", arguments: "é" }) as const,
  );
  const recorded = await toRecord(calls, usedIds(readToolTurns(messages)), { auto_approve: [], deny: ["f"] });
  expect(recorded.map(({ id }) => id)).toEqual([null, null, "c", null, null, null, null, null, null]);
  expect(recorded[0]).toMatchObject({
    verdict: "denied",
    sha256: createHash("sha256").update("é").digest("hex"),
  });
});
