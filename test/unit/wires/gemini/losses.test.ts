/** What Gemini cannot express: what another target is preferred for, what the request is refused for, what is named. */

import { describe, expect, test } from "vitest";
import { google } from "../../../../src/providers/google.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { UntranslatableRequest } from "../../../../src/wires/bridge.ts";
import { streamedAnswer } from "../../../support/fixtures.ts";
import { type Json, messageOf, send, stream, toText, translate, whole } from "./support.ts";

const HI = [{ role: "user", content: "hi" }];
const tool = (name: string) => ({ type: "function", function: { name, parameters: { type: "object" } } });
const says = (...content: unknown[]) => ({ messages: [{ role: "user", content }] });
const image = (url: string) => ({ type: "image_url", image_url: { url } });
const video = (url: string) => ({ type: "video_url", video_url: { url } });
const file = (file_data: string) => ({ type: "file", file: { file_data } });

/** Another target goes first; the only one is called without it, and the client is told the name. */
const UNMET: readonly (readonly [string, Json, string])[] = [
  ["token biases", { logit_bias: { "1": 1 } }, "logit_bias"],
  ["a least probability", { min_p: 0.05 }, "min_p"],
  ["a penalty on repetition", { repetition_penalty: 1.1 }, "repetition_penalty"],
  ["six stops", { stop: ["1", "2", "3", "4", "5", "6"] }, "stop"],
  ["one call at a time", { tools: [tool("f")], parallel_tool_calls: false }, "parallel_tool_calls"],
  ["verbosity", { verbosity: "low" }, "verbosity"],
  ["OpenAI's search", { web_search_options: { search_context_size: "low" } }, "web_search_options"],
  ["xAI's search", { search_parameters: { mode: "on" } }, "search_parameters"],
  ["a format it cannot hold", { response_format: { type: "grammar", grammar: "x" } }, "response_format"],
  ["a shape that engines of open models hold", { guided_regex: "a+" }, "guided_regex"],
  ["a search of Anthropic's", { tools: [{ type: "web_search_20250305", name: "web_search" }] }, "tools[0]"],
  ["a search of OpenAI's, beside a function", { tools: [tool("f"), { type: "web_search_preview" }] }, "tools[1]"],
  ["options of Google's that are not written", { tools: [{ googleSearch: { odd: 1 } }] }, "tools[0].googleSearch"],
  [
    "a grammar",
    { tools: [{ type: "custom", custom: { name: "p", format: { type: "grammar", grammar: {} } } }] },
    "tools[0].custom.format",
  ],
];

test.each(UNMET)("another target goes first: %s", async (_, fields, path) => {
  expect(google.lacks?.(askedInChat({ messages: HI, ...fields }))).toBe(path);
  const { droppedParams } = await send({ messages: HI, ...fields });
  expect(droppedParams).toContain(path);
});

/** Content that would be missing: refused, and never sent. */
const REFUSED: readonly (readonly [string, Json, string])[] = [
  ["speech", { modalities: ["text", "audio"] }, "modalities"],
  ["nine choices", { n: 9 }, "n"],
  ["a tool of a kind nobody knows", { tools: [{ type: "telepathy" }] }, "tools[0]"],
  ["a tool without a kind", { tools: [{ odd: {} }] }, "tools[0]"],
  ["a tool that the client runs", { tools: [{ type: "computer_20250124", name: "computer" }] }, "tools[0]"],
  ["two of Google's tools in one", { tools: [{ googleSearch: {}, urlContext: {} }] }, "tools[0]"],
  ["Google's tool with a type", { tools: [{ codeExecution: {}, type: "function" }] }, "tools[0]"],
  [
    "a search that is forced",
    { tools: [{ type: "web_search_20250305", name: "web_search" }], tool_choice: { type: "tool", name: "web_search" } },
    "tool_choice",
  ],
  [
    "a hosted tool that is forced",
    { tools: [{ type: "file_search" }], tool_choice: { type: "file_search" } },
    "tool_choice",
  ],
  ["any tool, of which it has none", { tools: [{ type: "web_search" }], tool_choice: "required" }, "tool_choice"],
  ["documents", { documents: [{ id: "1", text: "x" }] }, "documents"],
  ["an index of Azure's", { data_sources: [{ type: "azure_search" }] }, "data_sources"],
  ["what was cached under a name", { extra_body: { google: { cached_content: "cachedContents/a" } } }, "extra_body"],
  ["a file that was uploaded elsewhere", says({ type: "file", file: { file_id: "f" } }), "messages[0].content[0]"],
  ["a part nobody knows", says({ type: "text", text: "a" }, { type: "hologram" }), "messages[0].content[1]"],
  ["a part of Google's", says({ functionResponse: { name: "f", response: {} } }), "messages[0].content[0]"],
  ["a part without a type", says({ fileData: { fileUri: "https://a.test/" } }), "messages[0].content[0]"],
  ["an image without an address", says({ type: "image_url", image_url: {} }), "messages[0].content[0]"],
  ["a film called an image", says(image("https://a.test/film.mp4?x=1")), "messages[0].content[0]"],
  ["a document called an image", says(image("https://a.test/scan.PDF")), "messages[0].content[0]"],
  ["a film site called an image", says(image("https://www.youtube.com/watch?v=1")), "messages[0].content[0]"],
  ["the same, shortened", says(image("https://YOUTU.be/1")), "messages[0].content[0]"],
  ["a film site called a file", says(file("https://m.youtube.com/watch?v=1")), "messages[0].content[0]"],
  ["a film inside called an image", says(image("data:video/mp4;base64,AAAA")), "messages[0].content[0]"],
  ["sound called a film", says(video("https://a.test/song.mp3")), "messages[0].content[0]"],
  ["a film called a file", says(file("https://a.test/film.webm")), "messages[0].content[0]"],
  ["sound of no kind", says({ type: "input_audio", input_audio: { data: "AAAA" } }), "messages[0].content[0]"],
  [
    "an upload of the operator's",
    says(image("https://generativelanguage.googleapis.com/v1beta/files/abc")),
    "messages[0].content[0]",
  ],
  ["a bucket", says(file("gs://bucket/a.pdf")), "messages[0].content[0]"],
  ["no address at all", says(image("files/abc")), "messages[0].content[0]"],
  [
    "a part inside a result",
    {
      messages: [
        { role: "assistant", tool_calls: [{ id: "c", function: { name: "f", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c", content: [{ type: "tool_reference", name: "g" }] },
      ],
    },
    "messages[1].content[0]",
  ],
  [
    "what an assistant painted, of no kind",
    { messages: [...HI, { role: "assistant", images: [{ fileData: { fileUri: "https://a.test/" } }] }] },
    "messages[1].images[0]",
  ],
  [
    "what was said aloud elsewhere",
    { messages: [...HI, { role: "assistant", content: null, audio: { id: "audio_1" } }] },
    "messages[1].audio",
  ],
  [
    "a call nobody knows",
    { messages: [...HI, { role: "assistant", tool_calls: [{ id: "c", type: "mcp", mcp: {} }] }] },
    "messages[1].tool_calls[0]",
  ],
];

test.each(REFUSED)("the request is refused: %s", async (_, fields, path) => {
  const request = { messages: HI, ...fields };
  expect(google.lacks?.(askedInChat(request))).toBe(path);
  const refusal: unknown = await send(request).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(UntranslatableRequest);
  const { loss, message } = refusal as UntranslatableRequest;
  expect(loss?.path).toBe(path);
  // The client is told why.
  expect(message).not.toBe(new UntranslatableRequest().message);
});

test.each<{ name: string; fields: Json }>([
  { name: "a plain request", fields: { tools: [tool("f")], n: 8, stop: ["1", "2", "3", "4", "5"], logit_bias: {} } },
  { name: "one call at a time, without tools", fields: { parallel_tool_calls: false } },
  { name: "its own tools", fields: { tools: [{ google_search: {} }, { urlContext: {} }] } },
  { name: "custom tools", fields: { tools: [{ type: "custom", custom: { name: "x" } }] } },
  { name: "an image address", fields: says(image("https://example.com/")) },
  { name: "verbosity as usual", fields: { verbosity: "medium", min_p: 0, repetition_penalty: 1 } },
])("no other target is needed: $name", ({ fields }) => {
  expect(google.lacks?.(askedInChat({ messages: HI, ...fields }))).toBeNull();
});

test("what is lost inside messages is named, each name once", async () => {
  const mark = { type: "ephemeral" };
  const content = [
    { type: "text", text: "hi", cache_control: mark },
    { type: "text", text: "you", cache_control: mark },
    { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
    { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AAAA" } },
  ];
  const answer = {
    role: "assistant",
    content: "ok",
    reasoning_content: "hm",
    weight: 0.5,
    refusal: null,
    tool_calls: [{ id: "c", function: { name: "f", arguments: "{}" }, cache_control: mark }],
  };
  const { droppedParams } = await send({
    messages: [
      { role: "user", name: "ann", content },
      answer,
      { role: "tool", tool_call_id: "c", content: [{ type: "text", text: "r", cache_control: mark }] },
    ],
    tools: [{ ...tool("f"), cache_control: mark }],
  });
  expect([...droppedParams].sort()).toEqual([
    ...["messages.cache_control", "messages.file.filename", "messages.image_url.detail", "messages.name"],
    ...["messages.reasoning_content", "messages.weight", "tools.cache_control"],
  ]);
});

describe("tools that Google runs", () => {
  test.each<[string, Json, Json]>([
    ["search", { googleSearch: {} }, { googleSearch: {} }],
    [
      "search within a time",
      { google_search: { time_range_filter: { start_time: "a", endTime: "b", odd: {} } } },
      { googleSearch: { timeRangeFilter: { startTime: "a", endTime: "b" } } },
    ],
    [
      "the older search",
      { googleSearchRetrieval: { dynamicRetrievalConfig: { mode: "MODE_DYNAMIC", dynamicThreshold: 0.3 } } },
      { googleSearchRetrieval: { dynamicRetrievalConfig: { mode: "MODE_DYNAMIC", dynamicThreshold: 0.3 } } },
    ],
    ["pages", { url_context: {} }, { urlContext: {} }],
    ["code", { codeExecution: {} }, { codeExecution: {} }],
    ["maps", { googleMaps: { enableWidget: true } }, { googleMaps: { enableWidget: true } }],
    [
      "files",
      { fileSearch: { fileSearchStoreNames: ["fileSearchStores/a"], top_k: 3, metadataFilter: "a = 1" } },
      { fileSearch: { fileSearchStoreNames: ["fileSearchStores/a"], topK: 3, metadataFilter: "a = 1" } },
    ],
  ])("%s is built anew", async (_, given, built) => {
    const { body, droppedParams } = await send({ messages: HI, tools: [tool("f"), given] });
    expect(body["tools"]).toEqual([{ functionDeclarations: [expect.objectContaining({ name: "f" })] }, built]);
    expect(body["toolConfig"]).toEqual({ includeServerSideToolInvocations: true });
    expect(droppedParams).toEqual([]);
  });

  test("an older model has the one or the other: functions go first, and the rest is named", async () => {
    const tools = [tool("f"), { googleSearch: {} }];
    const old = await send({ messages: HI, tools }, { model: "gemini-2.5-pro" });
    expect(old.body["tools"]).toEqual([{ functionDeclarations: [expect.objectContaining({ name: "f" })] }]);
    expect(old.body["toolConfig"]).toBeUndefined();
    expect(old.droppedParams).toEqual(["tools[1]"]);
    const alone = await send({ messages: HI, tools: tools.slice(1) }, { model: "gemini-2.5-pro" });
    expect(alone.body).toMatchObject({ tools: [{ googleSearch: {} }] });
    expect(alone.body["toolConfig"]).toBeUndefined();
  });

  test("none is offered where no tool shall be called, or only named ones", async () => {
    const tools = [tool("f"), { googleSearch: {} }];
    const none = await send({ messages: HI, tools, tool_choice: "none" });
    expect(none.body["tools"]).toHaveLength(1);
    const allowed_tools = { mode: "auto", tools: [{ type: "function", function: { name: "f" } }] };
    const some = await send({ messages: HI, tools, tool_choice: { type: "allowed_tools", allowed_tools } });
    expect(some.body["tools"]).toHaveLength(1);
  });
});

describe("names of tools", () => {
  const tools = [tool("calendar.list"), tool("files/read"), tool("files_read"), tool("n".repeat(70))];
  const sent = ["calendar.list", "files_read_2", "files_read", "n".repeat(64)];

  test("those that Gemini refuses are sent under another name, and come back under their own", async () => {
    const call = { id: "c", type: "function", function: { name: "files/read", arguments: "{}" } };
    const choice = { type: "function", function: { name: "files/read" } };
    const { body } = await send({
      ...{ messages: [...HI, { role: "assistant", tool_calls: [call] }], tools },
      tool_choice: choice,
    });
    const [{ functionDeclarations }] = body["tools"] as [{ functionDeclarations: Json[] }];
    expect(functionDeclarations.map(({ name }) => name)).toEqual(sent);
    expect(JSON.stringify(body["contents"])).toContain('"name":"files_read_2"');
    expect(body["toolConfig"]).toMatchObject({ functionCallingConfig: { allowedFunctionNames: ["files_read_2"] } });
    const parts = sent.map((name) => ({ functionCall: { name, args: {} } }));
    const message = messageOf(whole({ candidates: [{ content: { parts }, finishReason: "STOP" }] }, { tools }));
    expect(message.tool_calls?.map((made) => made.function.name)).toEqual(tools.map((each) => each.function.name));
  });
});

describe("custom tools", () => {
  const grammar = { type: "grammar", grammar: { syntax: "lark", definition: 'start: "x"' } };
  const tools = [
    { type: "custom", custom: { name: "patch", description: "Changes files.", format: grammar } },
    { type: "custom", custom: { name: "say" } },
    tool("f"),
  ];
  const text = { type: "string", description: "The whole input of the tool, as plain text." };
  const input = { type: "object", properties: { input: text }, required: ["input"] };

  test("each is offered as a function with one text, its grammar told in words", async () => {
    const { body, droppedParams } = await send({
      ...{ messages: HI, tools },
      tool_choice: { type: "custom", custom: { name: "patch" } },
    });
    expect(body["tools"]).toEqual([
      {
        functionDeclarations: [
          {
            name: "patch",
            description: 'Changes files.\n\n`input` follows this lark grammar:\nstart: "x"',
            parametersJsonSchema: input,
          },
          { name: "say", parametersJsonSchema: input },
          { name: "f", parametersJsonSchema: { type: "object" } },
        ],
      },
    ]);
    expect(body["toolConfig"]).toEqual({ functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["patch"] } });
    expect(droppedParams).toEqual(["tools[0].custom.format"]);
  });

  const call = (name: string, args: Json) => ({ functionCall: { id: name, name, args } });
  const answer = {
    candidates: [
      { content: { parts: [call("patch", { input: 'a "b"\n' }), call("f", { input: "1" })] }, finishReason: "STOP" },
    ],
  };

  test("its calls come back as calls of a custom tool, whole and streamed, and go out again", async () => {
    const message = messageOf(whole(answer, { tools }));
    expect(message["tool_calls"]).toEqual([
      { id: "patch", type: "custom", custom: { name: "patch", input: 'a "b"\n' } },
      { id: "f", type: "function", function: { name: "f", arguments: '{"input":"1"}' } },
    ]);
    const streamed = streamedAnswer(toText(translate([stream(answer)], { tools })));
    expect(streamed.customCalls).toEqual([{ id: "patch", name: "patch", input: 'a "b"\n' }]);
    const { body } = await send({
      messages: [...HI, message, { role: "tool", tool_call_id: "patch", content: "done" }],
      tools,
    });
    const [, called, result] = body["contents"] as { parts: Json[] }[];
    expect(called?.parts[0]).toMatchObject({ functionCall: { name: "patch", args: { input: 'a "b"\n' } } });
    expect(result?.parts).toEqual([{ functionResponse: { id: "patch", name: "patch", response: { output: "done" } } }]);
  });
});
