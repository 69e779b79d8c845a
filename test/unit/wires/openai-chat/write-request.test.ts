/** A conversation of another door as a chat request: what chat has a place for, and what it has none for. */
import { expect, test } from "vitest";
import type { Conversation, Turn } from "../../../../src/conversation/conversation.ts";
import type { Part } from "../../../../src/conversation/part.ts";
import { boundLosses, writeRequest } from "../../../../src/wires/openai-chat/write-request.ts";

const conversation = (...turns: readonly Turn[]): Conversation => {
  return { turns, tools: [], controls: {}, stream: false, others: [], spelling: {} };
};
const answered = (...parts: readonly Part[]): Conversation => conversation({ role: "assistant", parts, path: "m" });

const cache = { type: "ephemeral" };
const call = { kind: "call", path: "c", id: "t_1", name: "w", form: "function", args: "{}" } as const;

test("cache marks of an earlier answer stand on its texts and calls", () => {
  const parts: Part[] = [
    { kind: "text", text: "One. ", path: "a" },
    { kind: "text", text: "Two.", path: "b", cache },
    { ...call, cache },
  ];
  const { fields, losses } = writeRequest(answered(...parts), "m");
  expect(fields["messages"]).toEqual([
    {
      role: "assistant",
      content: [
        { type: "text", text: "One. " },
        { type: "text", text: "Two.", cache_control: cache },
      ],
      tool_calls: [{ id: "t_1", type: "function", function: { name: "w", arguments: "{}" }, cache_control: cache }],
    },
  ]);
  expect(losses).toEqual([]);
});

test("what is bound to another provider is a loss of its own, thoughts in plain words are none", () => {
  const bound = { wire: "anthropic-messages", provider: null } as const;
  const thought = { kind: "reasoning", form: "full", text: "Hm." } as const;
  const parts: Part[] = [
    { ...thought, path: "plain" },
    { ...thought, path: "numbered", bound: { ...bound, id: "rs_1" } },
    { ...thought, path: "signed", bound: { ...bound, signature: "s" } },
    { kind: "block", path: "ran", bound: { ...bound, data: { type: "server_tool_use" } } },
    { ...call, path: "called", bound: { ...bound, data: { caller: {} } } },
  ];
  expect(boundLosses(answered(...parts)).map(({ path, weight }) => [path, weight])).toEqual([
    ["signed", "harmless"],
    ["ran.server_tool_use", "harmless"],
    ["called", "harmless"],
  ]);
});
