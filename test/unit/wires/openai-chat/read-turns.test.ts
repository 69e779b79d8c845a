import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readContent, readTurns } from "../../../../src/wires/openai-chat/read-turns.ts";

type Json = Record<string, unknown>;

const partsOf = (message: Json) => readTurns([message]).turns[0]?.parts;

describe("nothing of a message vanishes", () => {
  test.each<{ name: string; content: unknown; parts: unknown[] }>([
    { name: "nothing", content: null, parts: [] },
    { name: "a part that is null", content: [null], parts: [] },
    { name: "an object", content: { type: "text", text: "x" }, parts: [{ kind: "opaque", type: "text" }] },
    { name: "a number", content: 5, parts: [{ kind: "opaque", type: "number", source: 5 }] },
    { name: "a list in the list", content: [["x"]], parts: [{ kind: "opaque", path: "messages[0].content[0]" }] },
    {
      name: "Mistral's thoughts",
      content: [{ type: "thinking", thinking: [{ type: "text", text: "a" }, { type: "text", text: "b" }, 1] }],
      parts: [{ kind: "reasoning", form: "full", text: "ab" }],
    },
    {
      name: "thoughts that cannot be read",
      content: [{ type: "redacted_thinking", data: "x" }],
      parts: [{ kind: "reasoning", form: "redacted", text: "" }],
    },
    {
      name: "what stands beside a file",
      content: [{ type: "file", file: { file_data: "AA==" }, citations: { enabled: true }, context: "c", title: 1 }],
      parts: [{ kind: "file", options: { citations: { enabled: true }, context: "c" } }],
    },
  ])("$name", ({ content, parts }) => {
    expect(partsOf({ role: "user", content })).toMatchObject(parts);
    expect(readContent(content, "p")).toHaveLength(parts.length);
  });

  test("a call that is none is opaque", () => {
    expect(partsOf({ role: "assistant", tool_calls: [7, null, { type: "x" }] })).toMatchObject([
      { kind: "opaque", type: "number", path: "messages[0].tool_calls[0]" },
      { kind: "opaque", type: "x", path: "messages[0].tool_calls[2]" },
    ]);
  });

  test("Cohere's plan is Cohere's", () => {
    expect(partsOf({ role: "assistant", tool_plan: "look", content: "so" })).toEqual([
      {
        kind: "reasoning",
        form: "summary",
        text: "look",
        path: "messages[0].tool_plan",
        bound: { wire: "cohere", provider: null, data: { tool_plan: true } },
      },
      { kind: "text", text: "so", path: "messages[0].content" },
    ]);
  });

  test("any content that says something has a part", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const isNothing = value === null || value === "";
        expect(readContent([value], "p")).toHaveLength(isNothing || isEmptyText(value) ? 0 : 1);
      }),
    );
  });
});

function isEmptyText(value: unknown): boolean {
  const part = value as Json;
  return typeof value === "object" && part["type"] === "text" && part["text"] === "";
}
