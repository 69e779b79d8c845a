/** What a chat request can cost besides its text: an allow-list, so that whatever is not known has a name. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readContentDemand, readToolDemand } from "../../../../src/wires/openai-chat/read-demand.ts";

const PNG = `data:image/png;base64,${Buffer.from("\x89PNG\r\n\x1a\n plus pixels", "latin1").toString("base64")}`;
const said = (...content: unknown[]) => [{ role: "user", content }];
const url = (address: string) => said({ type: "image_url", image_url: { url: address } });
const demandOf = (messages: unknown) => readContentDemand(messages);

/** The media of a request as `medium path`, in their order. */
const mediaOf = (messages: unknown): string[] =>
  demandOf(messages).media.map(({ medium, path }) => `${medium} ${path}`);

describe("media", () => {
  test.each<[string, unknown, string]>([
    ["a picture inside the request", url(PNG), "image"],
    ["a picture as a plain string", said({ type: "image_url", image_url: PNG }), "image"],
    ["a picture by its address", url("https://files.example/cat"), "image"],
    ["a picture by an address with a query", url("https://files.example/cat.webp?size=2"), "image"],
    ["a film that is called a picture", url("https://files.example/cat.MP4"), "video"],
    ["a film with a picture's name behind it", url("https://files.example/cat.mp4?as=.jpg#.png"), "video"],
    ["a film behind a picture's folder", url("https://files.example/a.jpg/../cat.mov"), "video"],
    ["a film of a host of films", url("https://www.youtube.com/watch?v=abc"), "video"],
    ["the same with a short name", url("http://youtu.be/abc"), "video"],
    ["a document that is called a picture", url("https://files.example/report.pdf"), "file"],
    ["sound that is called a picture", url("https://files.example/talk.mp3"), "audio"],
    ["a file of a bucket", url("gs://bucket/cat.png"), "file"],
    ["no address at all", url("cat.png"), "file"],
    ["a film inside the request", url("data:video/mp4;base64,AAAA"), "video"],
    ["bytes of no kind", url("data:;base64,AAAA"), "file"],
    ["sound inside the request", said({ type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }), "audio"],
    ["sound by its address", said({ type: "input_audio", input_audio: { data: "https://x.example/a" } }), "audio"],
    ["a file inside the request", said({ type: "file", file: { file_data: "JVBERi0=", filename: "a.pdf" } }), "file"],
    ["a file by its id", said({ type: "file", file: { file_id: "file-1" } }), "file"],
    ["a film", said({ type: "video_url", video_url: { url: "https://x.example/a" } }), "video"],
  ])("%s", (_, messages, medium) => {
    expect(mediaOf(messages)).toEqual([`${medium} messages[0].content[0]`]);
    expect(demandOf(messages)).toMatchObject({ unknownPart: null, unknownMember: null });
  });

  test("pictures of an answer count, and so does its sound, of which the request has only the id", () => {
    const images = [{ type: "image_url", image_url: { url: "https://x.example/a.mp4" } }];
    expect(mediaOf([{ role: "assistant", images, audio: { id: "audio_1" } }])).toEqual([
      "video messages[0].images[0]",
      "audio messages[0].audio",
    ]);
  });

  test("an address and bytes in one part are a file: the provider chooses which it reads", () => {
    const both = { url: "https://x.example/a.png", data: "AAAA" };
    expect(mediaOf(said({ type: "image_url", image_url: both }))).toEqual(["file messages[0].content[0]"]);
  });

  test("only base64 counts as such, to the character", () => {
    const messages = said(
      { type: "text", text: "x".repeat(100) },
      { type: "image_url", image_url: { url: PNG } },
      { type: "image_url", image_url: { url: "data:image/svg+xml,<svg/>" } },
      { type: "input_audio", input_audio: { data: "AAAABBBB", format: "mp3" } },
    );
    expect(demandOf(messages).base64Length).toBe(PNG.length - "data:image/png;base64,".length + 8);
  });

  test("the head of sound is read behind its tags", () => {
    const tag = Buffer.concat([Buffer.from("ID3\x04\0\0\0\0\0\x05", "latin1"), Buffer.alloc(5)]);
    for (const count of [0, 1, 2]) {
      const bytes = Buffer.concat([...Array.from({ length: count }, () => tag), Buffer.from("fLaC and more")]);
      const data = bytes.toString(count === 2 ? "base64url" : "base64");
      const [part] = demandOf(said({ type: "input_audio", input_audio: { data } })).media;
      expect(Buffer.from(part?.head ?? []).toString("latin1")).toMatch(/^fLaC/);
    }
  });
});

describe("what is not known", () => {
  test.each<[string, unknown, string]>([
    ["a part without a type", said({ fileData: { fileUri: "https://x.example/a" } }), "messages[0].content[0]"],
    ["a part of another wire", said({ type: "tool_result" }), "messages[0].content[0]"],
    ["a list in a list", said([{ type: "video_url" }]), "messages[0].content[0]"],
    ["a part that is no list", [{ role: "user", content: { type: "file" } }], "messages[0].content"],
    ["no message", ["hi"], "messages[0]"],
    [
      "a block that refers to a file",
      [{ role: "assistant", server_tool_blocks: [{ content: [{ type: "document", source: { type: "url" } }] }] }],
      "messages[0].server_tool_blocks",
    ],
    [
      "an annotation that holds a file",
      [{ role: "assistant", annotations: [{ type: "file", file: { name: "a" } }] }],
      "messages[0].annotations",
    ],
  ])("%s", (_, messages, path) => {
    expect(demandOf(messages).unknownPart).toBe(path);
  });

  test.each<[string, unknown, string]>([
    ["a member of a message", [{ role: "user", content: "a", attachments: [] }], "messages[0].attachments"],
    ["a member of a text", said({ type: "text", text: "a", fileData: {} }), "messages[0].content[0].fileData"],
    [
      "a member of a picture",
      said({ type: "image_url", image_url: { url: PNG }, video: {} }),
      "messages[0].content[0].video",
    ],
    [
      "a member inside of one",
      said({ type: "image_url", image_url: { url: PNG, next: "x" } }),
      "messages[0].content[0].image_url.next",
    ],
  ])("%s", (_, messages, path) => {
    expect(demandOf(messages)).toMatchObject({ unknownPart: null, unknownMember: path });
  });

  test("a conversation as SDKs send it back has nothing of the kind", () => {
    const messages = [
      { role: "system", content: "be brief", name: "x" },
      { role: "user", content: ["a", { type: "text", text: "b", cache_control: { type: "ephemeral" } }] },
      {
        ...{ role: "assistant", content: null, refusal: null, annotations: [], audio: null, function_call: null },
        reasoning_details: [{ type: "reasoning.text", text: "hm", signature: "s" }],
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: { file_id: "1" } } }],
      },
      { role: "tool", tool_call_id: "c", content: "done" },
      { role: "assistant", content: [{ type: "refusal", refusal: "no" }], annotations: [{ type: "url_citation" }] },
    ];
    expect(demandOf(messages)).toEqual({
      ...{ messages: 5, media: [], base64Length: 0, unknownPart: null, unknownMember: null },
    });
  });

  test("whatever the messages are, reading ends, and what is no known part is named or a medium", () => {
    const known = ["text", "refusal", "thinking"];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.jsonValue(), fc.record({ type: fc.string() }))), (parts) => {
        const { media, unknownPart } = demandOf(said(...parts));
        const isText = (part: unknown): boolean =>
          typeof part === "string" ||
          (typeof part === "object" && part !== null && "type" in part && known.includes(String(part.type)));
        if (parts.some((part) => !isText(part))) expect(media.length > 0 || unknownPart !== null).toBe(true);
        else expect({ media, unknownPart }).toEqual({ media: [], unknownPart: null });
      }),
    );
  });
});

describe("tools", () => {
  test.each<[string, object, object]>([
    ["none", {}, { hasTools: false, provider: [], unknown: null }],
    ["an empty list", { tools: [] }, { hasTools: false, provider: [], unknown: null }],
    [
      "the client's own, in every spelling",
      {
        tools: [
          { type: "function", function: { name: "a" } },
          { function: { name: "b" } },
          { type: "function", name: "c", parameters: {}, strict: true },
          { type: "custom", custom: { name: "d" } },
        ],
        functions: [{ name: "e" }],
      },
      { hasTools: true, provider: [], unknown: null },
    ],
    [
      "a provider's, with caps of its own",
      { tools: [{ type: "web_fetch_20250910", name: "web_fetch", max_uses: 2, max_content_tokens: 500 }] },
      {
        ...{ hasTools: true, unknown: null },
        provider: [{ type: "web_fetch_20250910", path: "tools[0]", maxCalls: 2, maxTokensPerCall: 500 }],
      },
    ],
    [
      "a provider's without a type",
      { tools: [{ urlContext: {} }, { googleSearch: {}, codeExecution: {} }] },
      {
        ...{ hasTools: true, unknown: null },
        provider: [
          { type: "urlContext", path: "tools[0]" },
          { type: "unknown", path: "tools[1]" },
        ],
      },
    ],
    [
      "a function with something beside it",
      { tools: [{ type: "function", function: { name: "a" }, googleSearch: {} }] },
      { hasTools: true, provider: [], unknown: "tools[0].googleSearch" },
    ],
    ["no tool", { tools: ["search"] }, { hasTools: true, provider: [], unknown: "tools[0]" }],
    ["no list", { tools: { googleSearch: {} } }, { hasTools: false, provider: [], unknown: "tools" }],
  ])("%s", (_, fields, demand) => {
    expect(readToolDemand(fields as Record<string, unknown>)).toEqual(demand);
  });
});
