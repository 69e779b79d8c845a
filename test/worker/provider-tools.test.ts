/**
 * Tools that a provider runs by itself, behind every door: left out and named where nothing forces them, a reason to ask
 * another target where something does. Tools that the client runs are never left out.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

type Json = Record<string, unknown>;

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const FN = { type: "function", function: { name: "look", parameters: { type: "object" } } };
const ASK = [{ role: "user", content: "q" }];
const PATHS = { chat: "/v1/chat/completions", messages: "/v1/messages", responses: "/v1/responses" } as const;
type DoorName = keyof typeof PATHS;

/** Each door's own words: a search, a function next to it, a choice of the search, and a tool that the client runs. */
const WORDS: Record<DoorName, { base: Json; search: Json; fn: Json; force: unknown; any: unknown; own: Json }> = {
  chat: {
    base: { messages: ASK },
    ...{ search: { type: "web_search" }, fn: FN, force: { type: "web_search" }, any: "required" },
    own: { type: "local_shell" },
  },
  messages: {
    base: { messages: ASK, max_tokens: 50 },
    search: { type: "web_search_20250305", name: "web_search" },
    fn: { name: "look", input_schema: { type: "object" } },
    ...{ force: { type: "tool", name: "web_search" }, any: { type: "any" } },
    own: { type: "bash_20250124", name: "bash" },
  },
  responses: {
    base: { input: "q" },
    ...{ search: { type: "web_search" }, fn: { type: "function", name: "look", parameters: { type: "object" } } },
    ...{ force: { type: "web_search" }, any: "required", own: { type: "local_shell" } },
  },
};
const DOORS = Object.keys(PATHS) as DoorName[];

const ask = (door: DoorName, route: TestRoute, more: Json): Promise<Response> =>
  rig.worker.fetch(PATHS[door], {
    method: "POST",
    headers: rig.headers(route),
    body: JSON.stringify({ model: route.model, ...WORDS[door].base, ...more }),
  });
const sentTools = (): unknown => (JSON.parse(rig.upstream.calls.at(-1)?.body ?? "{}") as Json)["tools"];

describe.each(DOORS)("%s", (door) => {
  const { search, fn, force, any, own } = WORDS[door];

  test.each([
    ["alone", [search], undefined, undefined],
    ["next to a function", [search, fn], undefined, [FN]],
    ["where a function may be the call", [search, fn], any, [FN]],
  ])("a search is left out and named: %s", async (_, tools, choice, sent) => {
    const route = await rig.route({ providers: ["groq"] });
    rig.upstream.script({ json: completion() });
    const response = await ask(door, route, { tools, ...(choice === undefined ? {} : { tool_choice: choice }) });
    expect(response.status, await response.clone().text()).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")).toMatch(/^tools\[0\]/);
    expect(sentTools()).toEqual(sent);
  });

  test.each([
    ["a search by name", [search, fn], force],
    ["a search alone by name", [search], force],
    ["some call, and only a search is offered", [search], any],
    ["nothing, but the client runs the tool", [own, fn], undefined],
  ])("no target has what is forced: %s", async (_, tools, choice) => {
    const route = await rig.route({ providers: ["groq"] });
    const response = await ask(door, route, { tools, ...(choice === undefined ? {} : { tool_choice: choice }) });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "no_capable_target" } });
    expect(rig.calls(route)).toEqual([0]);
  });
});

describe("a target that has the tool", () => {
  const ANSWER = {
    ...{ id: "resp_1", object: "response", created_at: 1, status: "completed", model: "m", error: null },
    output: [{ type: "message", id: "msg_1", role: "assistant", content: [{ type: "output_text", text: "a" }] }],
    usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
  };

  test("goes before those that have not, which are asked when it fails", async () => {
    const route = await rig.route({ providers: ["groq", "openai"] });
    const [without = "", having = ""] = route.models;
    rig.upstream.scriptFor(having, { json: ANSWER });
    rig.upstream.scriptFor(without, { json: completion() });
    const tools = [WORDS.responses.search, WORDS.responses.fn];
    const first = await ask("responses", route, { tools });
    expect([first.headers.get("x-flowlayer-provider"), rig.calls(route)]).toEqual(["openai", [0, 1]]);
    rig.upstream.scriptFor(having, { status: 500, json: { error: { message: "down" } } });
    const second = await ask("responses", route, { tools });
    expect([second.status, second.headers.get("x-flowlayer-provider")]).toEqual([200, "groq"]);
    expect(second.headers.get("x-flowlayer-dropped-params")).toContain("tools[0]");
  });

  test("is the only one that is asked where the tool is forced", async () => {
    const route = await rig.route({ providers: ["groq", "openai"] });
    rig.upstream.scriptFor(route.models[1] ?? "", { status: 500, json: { error: { message: "down" } } });
    const tool_choice = WORDS.responses.force;
    const response = await ask("responses", route, { tools: [WORDS.responses.search], tool_choice });
    expect([response.status, rig.calls(route)[0]]).toEqual([502, 0]);
  });
});
