/** What a conversation of another door can cost besides its text: nothing in it is overlooked. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Conversation, Tool } from "../../../src/conversation/conversation.ts";
import type { Media, Part } from "../../../src/conversation/part.ts";
import { readDemand } from "../../../src/conversation/read-demand.ts";

const path = "messages[0].content[0]";
const WIRE = "anthropic-messages";

function conversationOf(parts: readonly Part[], tools: readonly Tool[] = []): Conversation {
  return {
    turns: [{ role: "user", parts, path: "messages[0]" }],
    tools,
    controls: {},
    stream: false,
    others: [],
    spelling: {},
  };
}

const PDF: Media = { kind: "base64", mediaType: "application/pdf", data: "JVBERi0=" };
const PNG: Media = { kind: "base64", mediaType: "image/png", data: "iVBORw0KGgo=" };
const block = (data: Readonly<Record<string, unknown>>): Part => ({
  kind: "block",
  path,
  bound: { wire: WIRE, provider: null, data },
});

describe("media", () => {
  test.each<[string, Part, string]>([
    ["a picture", { kind: "image", media: PNG, path }, "image"],
    ["a document that is called a picture", { kind: "image", media: PDF, path }, "file"],
    [
      "a film that is called a picture",
      { kind: "image", media: { kind: "url", url: "https://x.example/a.mp4" }, path },
      "video",
    ],
    ["a picture by its id", { kind: "image", media: { kind: "id", id: "file_1" }, path }, "file"],
    ["a document", { kind: "file", media: PDF, path }, "file"],
    ["a document by its address", { kind: "file", media: { kind: "url", url: "https://x.example/a" }, path }, "file"],
    ["sound by its address", { kind: "audio", media: { kind: "url", url: "https://x.example/a" }, path }, "audio"],
    ["a film", { kind: "video", media: { kind: "id", id: "v" }, path }, "video"],
  ])("%s counts, in a turn and in a result", (_, part, medium) => {
    const result: Part = { kind: "result", callId: "c", form: "function", parts: [part], path: "messages[0]" };
    for (const conversation of [conversationOf([part]), conversationOf([result])]) {
      const { content } = readDemand(conversation);
      expect(content.media.map((each) => [each.medium, each.path])).toEqual([[medium, path]]);
      expect(content.unknownPart).toBeNull();
    }
  });

  test("a text that came as a document is text", () => {
    const part: Part = { kind: "file", media: { kind: "text", text: "x".repeat(500) }, path };
    const { content, textBytes } = readDemand(conversationOf([part]));
    expect(content.media).toEqual([]);
    expect(textBytes).toBeGreaterThan(500);
  });
});

describe("parts", () => {
  test.each<[string, Part, boolean]>([
    ["a type that nobody knows", { kind: "opaque", wire: WIRE, type: "hologram", source: {}, path }, false],
    [
      "a result of the client's own search",
      { kind: "opaque", wire: WIRE, type: "search_result", source: { source: "https://x.example", content: [] }, path },
      true,
    ],
    [
      "the same that holds a document",
      { kind: "opaque", wire: WIRE, type: "search_result", source: { content: [{ source: { type: "url" } }] }, path },
      false,
    ],
    [
      "a search that the provider ran",
      block({ type: "web_search_tool_result", content: [{ encrypted_content: "AA" }] }),
      true,
    ],
    ["a file that it made", block({ type: "code_execution_tool_result", content: { file_id: "f" } }), false],
    [
      "a document that it fetched",
      block({ type: "web_fetch_tool_result", content: { source: { type: "base64" } } }),
      false,
    ],
  ])("%s", (_, part, isKnown) => {
    expect(readDemand(conversationOf([part])).content.unknownPart).toBe(isKnown ? null : path);
  });
});

test("a provider's own tool is told from those of the client", () => {
  const source = { type: "web_search_20250305", name: "web_search", max_uses: 3 };
  const tools: Tool[] = [
    { kind: "function", name: "f", parameters: {}, strict: false, path: "tools[0]" },
    { kind: "provider", wire: WIRE, type: source.type, name: source.name, source, path: "tools[1]" },
  ];
  const { hasTools, provider } = readDemand(conversationOf([], tools)).tools;
  expect(hasTools).toBe(true);
  expect(provider).toEqual([{ type: source.type, path: "tools[1]", maxCalls: 3 }]);
});

test("bytes of text are never fewer than the texts have, and base64 is left out", () => {
  const texts = fc.array(fc.string({ unit: "binary" }), { maxLength: 8 });
  fc.assert(
    fc.property(texts, fc.nat(2_000), (all, length) => {
      const parts = all.map((text): Part => ({ kind: "text", text, path }));
      const data = "A".repeat(length * 4);
      const media: Media = { kind: "base64", mediaType: "image/png", data };
      const alone = readDemand(conversationOf(parts)).textBytes;
      const bytes = all.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
      expect(alone).toBeGreaterThanOrEqual(bytes);
      const both = readDemand(conversationOf([...parts, { kind: "image", media, path }])).textBytes;
      expect(both).toBeLessThan(alone + 200);
    }),
  );
});
