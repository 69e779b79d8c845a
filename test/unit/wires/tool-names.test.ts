import fc from "fast-check";
import { expect, test } from "vitest";
import { readRequest } from "../../../src/wires/openai-chat/read-request.ts";
import { ToolNames } from "../../../src/wires/tool-names.ts";
import { growthOf } from "../../support/work.ts";

const tool = (name: string): object => ({ type: "function", function: { name } });
const called = (name: string): object => ({ id: "c", type: "function", function: { name, arguments: "{}" } });

function namesOf(tools: readonly string[], calls: readonly string[] = [], maxLength = 64): ToolNames {
  const messages = [
    { role: "user", content: "x" },
    { role: "assistant", tool_calls: calls.map(called) },
  ];
  return new ToolNames(readRequest({ messages, tools: tools.map(tool) }), maxLength, ["reserved"]);
}

test.each<{ tools: string[]; calls?: string[]; sent: Record<string, string> }>([
  { tools: ["lookup", "a-b_C9"], sent: { lookup: "lookup", "a-b_C9": "a-b_C9" } },
  { tools: ["calendar.list/events"], sent: { "calendar.list/events": "calendar_list_events" } },
  { tools: ["a.b", "a_b", "a/b"], sent: { "a.b": "a_b_2", a_b: "a_b", "a/b": "a_b_3" } },
  { tools: ["a"], calls: ["gone.long.ago"], sent: { "gone.long.ago": "gone_long_ago" } },
  { tools: ["", "grüße"], sent: { "": "tool", grüße: "gr__e" } },
  { tools: ["x".repeat(70)], sent: { ["x".repeat(70)]: "x".repeat(64) } },
  { tools: ["x".repeat(64), "x".repeat(65)], sent: { ["x".repeat(65)]: `${"x".repeat(62)}_2` } },
  { tools: ["reserved"], sent: { reserved: "reserved_2" } },
])("$tools $calls", ({ tools, calls = [], sent }) => {
  const names = namesOf(tools, calls);
  for (const [name, alias] of Object.entries(sent)) {
    expect(names.sent({ name })).toBe(alias);
    expect(names.own(alias)).toEqual({ name });
  }
});

test("a namespace is part of the name, and comes back as one", () => {
  const conversation = readRequest({ messages: [], tools: [tool("f")] });
  const [first] = conversation.tools;
  if (first?.kind !== "function") throw new Error("no tool");
  const names = new ToolNames({ ...conversation, tools: [{ ...first, namespace: "my.server" }] }, 64);
  expect(names.sent({ name: "f", namespace: "my.server" })).toBe("my_server__f");
  expect(names.own("my_server__f")).toEqual({ name: "f", namespace: "my.server" });
  expect(names.own("never_sent")).toEqual({ name: "never_sent" });
});

test("any names: every alias is allowed, its own, and leads back", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 12 })), fc.integer({ min: 4, max: 10 }), (tools, maxLength) => {
      const names = namesOf(tools, [], maxLength);
      const aliases = tools.map((name) => names.sent({ name }));
      expect(new Set(aliases).size).toBe(tools.length);
      for (const [at, alias] of aliases.entries()) {
        expect(alias).toMatch(/^[\w-]+$/);
        expect(alias.length).toBeLessThanOrEqual(maxLength);
        expect(names.own(alias)).toEqual({ name: tools[at] });
      }
      expect(namesOf(tools, [], maxLength).sent({ name: tools[0] ?? "" })).toBe(names.sent({ name: tools[0] ?? "" }));
    }),
  );
});

test("many names that become one cost what they are, not their square", () => {
  const growth = growthOf(400, (size) => {
    const tools = Array.from({ length: size }, (_, at) => `${"x".repeat(70)}${at}`);
    return () => namesOf(tools);
  });
  expect(growth).toBeLessThan(2.5);
});
