import { afterEach, describe, expect, test, vi } from "vitest";
import { CallIds } from "../../../../src/wires/anthropic-messages/call-ids.ts";
import { writeRequest } from "../../../../src/wires/anthropic-messages/write-request.ts";
import { readRequest } from "../../../../src/wires/openai-chat/read-request.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

test("ids are plain and each is there once; results find the call that they answer", () => {
  const ids = new CallIds();
  expect(["a", "a", "a.b", "a b", "a_2", "", "a"].map((id) => ids.begin(id))).toEqual([
    ...["a", "a_2", "a_b", "a_b_2", "a_2_2", "call", "a_3"],
  ]);
  expect(["a", "a b", "a", "a", "a", "lost.one"].map((id) => ids.answer(id))).toEqual([
    ...["a", "a_b_2", "a_2", "a_3", "a", "lost_one"],
  ]);
});

describe("twice the calls are twice the work", () => {
  /** Look-ups in sets and maps while the request is written. */
  function workOf(calls: readonly { id: string }[]): number {
    const messages = [
      { role: "user", content: "x" },
      { role: "assistant", tool_calls: calls.map((call) => ({ ...call, type: "function", function: { name: "f" } })) },
      ...calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "r" })),
    ];
    const conversation = readRequest({ messages });
    const spies = [
      vi.spyOn(Set.prototype, "has"),
      vi.spyOn(Set.prototype, "add"),
      vi.spyOn(Map.prototype, "get"),
      vi.spyOn(Array.prototype, "shift"),
    ];
    writeRequest(conversation, { provider: "anthropic", model: "claude-opus-5", maxOutputTokens: undefined });
    const count = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
    vi.restoreAllMocks();
    return count;
  }

  test.each<[string, (at: number, count: number) => string]>([
    ["one id for all", () => "a"],
    ["ids that are copies of each other", (at) => (at % 2 === 0 ? `a_${at}` : "a")],
    ["copies first, then what they are copies of", (at, count) => (at < count / 2 ? `a_${at}` : "a")],
    ["ids of their own", (at) => `call_${at}`],
    ["ids that become one", (at) => `a${at % 2 === 0 ? "." : " "}`],
  ])("%s", (_name, idOf) => {
    const callsOf = (count: number) => Array.from({ length: count }, (_, at) => ({ id: idOf(at, count) }));
    expect(workOf(callsOf(2_000)) / workOf(callsOf(1_000))).toBeLessThan(2.2);
  });
});
