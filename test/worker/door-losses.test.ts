/**
 * What a target that speaks chat cannot be sent of a request that came by another door: named in the client's own words,
 * or refused with its place; never gone in silence, and nothing named that arrived.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

type Json = Readonly<Record<string, unknown>>;

let rig: ChatRig;
let plain: TestRoute;
beforeAll(async () => {
  rig = await startChatRig();
  plain = await rig.route({ providers: ["groq"] });
});
afterAll(() => rig.stop());
beforeEach(() => {
  rig.upstream.reset();
  rig.upstream.script({ json: completion() });
});

async function ask(route: TestRoute, path: string, body: Json) {
  const response = await rig.worker.fetch(`/v1/${path}`, {
    method: "POST",
    headers: rig.headers(route),
    body: JSON.stringify({ model: route.model, ...body }),
  });
  const dropped = response.headers.get("x-flowlayer-dropped-params")?.split(/, ?/) ?? [];
  const sent = JSON.parse(rig.upstream.calls.at(-1)?.body ?? "null") as Json | null;
  return { status: response.status, answer: (await response.json()) as Json, dropped, sent };
}

const EPHEMERAL = { type: "ephemeral" };
const HI = { role: "user", content: "Hi." };
const messages = (...parts: readonly Json[]): Json => ({
  max_tokens: 50,
  messages: [HI, { role: "assistant", content: parts }, { role: "user", content: "Go on." }],
});
const SAID = { type: "text", text: "Said." };

describe("Messages", () => {
  test("a cache mark on an earlier answer is named, and the answer stays a text", async () => {
    const { dropped, sent } = await ask(plain, "messages", messages({ ...SAID, cache_control: EPHEMERAL }));
    expect(dropped).toEqual(["messages.cache_control"]);
    expect(sent?.["messages"]).toMatchObject([{}, { role: "assistant", content: "Said." }, {}]);
  });

  test.each<[string, Json, string[]]>([
    [
      "citations that a document asks for, and its context",
      {
        max_tokens: 50,
        messages: [
          {
            role: "user",
            content: [
              {
                type: "document",
                source: { type: "text", media_type: "text/plain", data: "Facts." },
                citations: { enabled: true },
                context: "From 1999.",
              },
            ],
          },
        ],
      },
      ["messages[0].content[0].context", "messages[0].content[0].citations"],
    ],
    [
      "citations of an earlier answer",
      messages({ ...SAID, citations: [{ type: "char_location", cited_text: "x", document_index: 0 }] }),
      ["messages[1].content[0].citations"],
    ],
    [
      "what tools of the provider's did",
      messages(
        { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } },
        { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content: [] },
        SAID,
      ),
      ["messages[1].content[0].server_tool_use", "messages[1].content[1].web_search_tool_result"],
    ],
    [
      "signed thoughts",
      messages(
        { type: "thinking", thinking: "Hm.", signature: "c2ln" },
        { type: "redacted_thinking", data: "ZGF0" },
        SAID,
      ),
      ["messages[1].content[0]", "messages[1].content[1]"],
    ],
    [
      "members that nobody knows, once for all their places; those that are null ask for nothing",
      {
        max_tokens: 50,
        messages: [
          { ...HI, mood: "good" },
          { role: "assistant", content: [{ ...SAID, x_new: 1, x_null: null }] },
          { role: "user", content: [{ type: "text", text: "a", x_new: 2 }] },
        ],
      },
      ["messages.mood", "messages.content.x_new"],
    ],
    [
      "members of the wrong type, which a provider of this wire would judge",
      { ...messages(SAID), temperature: "hot", stop_sequences: ["a", 5], metadata: [], service_tier: null },
      ["temperature", "stop_sequences", "metadata"],
    ],
    [
      "a search that nothing forces",
      { ...messages(SAID), tools: [{ type: "web_search_20250305", name: "web_search" }] },
      ["tools[0].web_search_20250305"],
    ],
  ])("%s", async (_, body, names) => {
    const { status, dropped, answer } = await ask(plain, "messages", body);
    expect([status, dropped], JSON.stringify(answer)).toEqual([200, names]);
  });

  test.each<[string, Json, string]>([
    [
      "a picture in the assistant's turn",
      messages({ type: "image", source: { type: "url", url: "https://x.example/a.png" } }),
      "messages[1].content[0]",
    ],
    ["a document there", messages({ type: "document", source: { type: "text", data: "a" } }), "messages[1].content[0]"],
  ])("%s is refused with its place", async (_, body, param) => {
    const { status, answer, sent } = await ask(plain, "messages", body);
    expect([status, sent]).toEqual([400, null]);
    expect(answer).toMatchObject({ error: { code: "no_capable_target", param } });
  });
});

describe("Responses", () => {
  test.each<[string, Json, string[]]>([
    [
      "what tools of the provider's did",
      { input: [HI, { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search" } }, HI] },
      ["input[1].web_search_call"],
    ],
    [
      "encrypted thoughts",
      { input: [HI, { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAAA1" }, HI] },
      ["input[1]"],
    ],
    [
      "a control that the provider lacks, in this API's words",
      { input: "a", text: { verbosity: "low" } },
      ["text.verbosity"],
    ],
    [
      "members of the wrong type, which a provider of this wire would judge",
      { input: "a", temperature: "hot", user: 5, text: { verbosity: 1 }, reasoning: { effort: [] }, top_p: null },
      ["temperature", "user", "text.verbosity", "reasoning.effort"],
    ],
    [
      "the grammar of a tool, by its place among the client's tools",
      {
        input: "a",
        tools: [
          { type: "web_search" },
          { type: "namespace", name: "n", tools: [{ type: "function", name: "f", parameters: { type: "object" } }] },
          { type: "custom", name: "c", format: { type: "grammar", syntax: "lark", definition: "start: /a/" } },
        ],
      },
      ["tools[2].custom.format", "tools[0].web_search"],
    ],
  ])("%s", async (_, body, names) => {
    const { status, dropped, answer } = await ask(plain, "responses", { store: false, ...body });
    expect([status, dropped], JSON.stringify(answer)).toEqual([200, names]);
  });

  test("the answer repeats tools and their choice as they were declared", async () => {
    const member = { type: "function", name: "f", parameters: { type: "object" }, strict: true };
    const tools = [
      { type: "namespace", name: "n", description: "Some.", tools: [member, { type: "custom", name: "c" }] },
      { ...member, name: "g" },
    ];
    const tool_choice = { type: "function", namespace: "n", name: "f" };
    const { answer } = await ask(plain, "responses", { input: "a", tools, tool_choice });
    expect(answer).toMatchObject({ tools, tool_choice });
  });

  test.each([true, false, undefined])("no provider is asked to keep anything: store %s", async (store) => {
    const { dropped, sent } = await ask(plain, "responses", { input: "a", ...(store === undefined ? {} : { store }) });
    expect(sent).not.toHaveProperty("store");
    expect(dropped).toEqual([]);
  });
});
