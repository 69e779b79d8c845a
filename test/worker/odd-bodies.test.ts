/** Bodies that no provider's words exist for: the client's fault alone, and nobody else notices. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, expectError, sharedChatRig } from "../support/chat.ts";
import { textOf } from "../support/sse.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

const ODD = { role: "tool", content: "c", name: { toString: 1 }, tool_call_id: { toString: 1 } };

test.each(["anthropic", "google", "bedrock", "cohere"])(
  "%s: a body that cannot be translated is refused, and its target stays in service",
  async (provider) => {
    const route = await rig.route({ providers: [provider, "groq"] });
    for (let call = 0; call < 4; call++) {
      const odd = await rig.ask(route, {
        messages: [{ role: "user", content: "hi" }, ODD],
        route: { only: [provider] },
      });
      await expectError(odd, { status: 400, code: "upstream_invalid_request" });
    }
    // Had it failed three times in a row, it would stand behind the other one.
    const next = await rig.ask(route);
    expect(next.headers.get("x-flowlayer-attempt-log")).toMatch(new RegExp(`^${provider}/`));
  },
);

/** An object that no `String` can write, where a word belongs; and a list of one word, which `String` would take for it. */
const NO_WORDS = [{ toString: 1, valueOf: 1 }, ["text"], [[{ toString: 1 }]], 7, true];

const user = (content: unknown) => ({ messages: [{ role: "user", content }] });
const item = (one: object) => ({ input: [one] });
const PLACES: readonly { readonly path: string; readonly bodyOf: (odd: unknown) => object }[] = [
  { path: "messages", bodyOf: (odd) => user([{ type: odd }]) },
  { path: "messages", bodyOf: (odd) => ({ ...user("hi"), system: [{ type: odd }] }) },
  { path: "messages", bodyOf: (odd) => user([{ type: "image", source: { type: odd } }]) },
  { path: "messages", bodyOf: (odd) => user([{ type: "tool_result", tool_use_id: odd, content: odd }]) },
  {
    path: "messages",
    bodyOf: (odd) => ({ messages: [{ role: "assistant", content: [{ type: "tool_use", id: odd, name: odd }] }] }),
  },
  { path: "messages/count_tokens", bodyOf: (odd) => user([{ type: odd }]) },
  ...["responses", "responses/input_tokens", "responses/compact"].flatMap((path) => [
    { path, bodyOf: (odd: unknown) => item({ type: odd, role: "user" }) },
    { path, bodyOf: (odd: unknown) => item({ role: "user", content: [odd] }) },
    { path, bodyOf: (odd: unknown) => item({ role: "user", content: [{ type: odd }] }) },
    { path, bodyOf: (odd: unknown) => item({ role: "assistant", content: [{ type: odd }] }) },
    { path, bodyOf: (odd: unknown) => item({ type: "function_call_output", call_id: "a", output: [{ type: odd }] }) },
    { path, bodyOf: (odd: unknown) => ({ input: "hi", tools: [{ type: odd }], tool_choice: { type: odd } }) },
  ]),
];

test.each(PLACES.map((place) => ({ ...place, shown: JSON.stringify(place.bodyOf("?")) })))(
  "/v1/$path: what is no word is the client's fault, and nothing unexpected: $shown",
  async (place) => {
    const route = await rig.route({ providers: ["groq"] });
    for (const odd of NO_WORDS) {
      const body = JSON.stringify({ model: route.model, max_tokens: 9, ...place.bodyOf(odd) });
      const init = { method: "POST", headers: rig.headers(route), body };
      const response = await rig.worker.fetch(`/v1/${place.path}`, init);
      const text = await response.text();
      // A count is an estimate of whatever is there.
      const isCount = /tokens$/.test(place.path) && response.status === 200;
      expect(isCount || [400, 404].includes(response.status), `${response.status} ${body} ${text}`).toBe(true);
    }
    expect(rig.worker.logs()).not.toContain("unexpected_error");
  },
);

test("a hundred thousand calls in one message are read in a moment", async () => {
  const route = await rig.route();
  const calls = Array.from({ length: 60_000 }, () => ({ id: "a" }));
  const messages = [
    { role: "assistant", tool_calls: calls },
    { role: "tool", tool_call_id: "a", content: "x" },
  ];
  const startedAt = performance.now();
  await (await rig.ask(route, { messages })).text();
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});

test("more than the members a body may have is refused", async () => {
  const route = await rig.route();
  const messages = [{ role: "assistant", tool_calls: Array.from({ length: 200_000 }, () => ({ id: "a" })) }];
  await expectError(await rig.ask(route, { messages }), { status: 400, code: "invalid_request" });
});

test.each([
  { name: "messages", body: { messages: Array(250_000).fill(0) }, param: "messages[0]" },
  { name: "tools", body: { tools: Array(250_000).fill(0) }, param: "tools[0]" },
])("of very many $name that are none, the first is told", async ({ body, param }) => {
  const route = await rig.route();
  const refused = await expectError(await rig.ask(route, body), { status: 400, code: "invalid_request" });
  expect(refused.error.param).toBe(param);
});

/** Reading it is no problem, writing it again is. */
const DEEP = "[".repeat(20_000) + "]".repeat(20_000);
const deepCalls = [
  { member: "id", call: `{"index":0,"id":${DEEP},"function":{"name":"a"}}` },
  { member: "arguments", call: `{"index":0,"id":"a","function":{"name":"a","arguments":${DEEP}}}` },
];

test.each(deepCalls)("a streamed call whose $member no call stack can hold ends its stream", async ({ call }) => {
  const route = await rig.route();
  const delta = `{"tool_calls":[${call}]}`;
  const event = `data: {"id":"x","choices":[{"index":0,"delta":${delta},"finish_reason":null}]}\n\n`;
  rig.upstream.scriptFor(route.models[0]!, { events: [event] });
  const response = await rig.ask(route, { stream: true });
  expect(await textOf(response)).toContain("stream_interrupted");
  expect(await rig.trace(route, response)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
});

test("a whole answer with a call that has such a member is none: the next target is asked", async () => {
  const call = `{"id":"a","type":"function","function":{"name":"a","arguments":"{}"},"more":${DEEP}}`;
  const route = await rig.route();
  const message = `{"role":"assistant","content":null,"tool_calls":[${call}]}`;
  const body = `{"id":"x","choices":[{"index":0,"message":${message},"finish_reason":"tool_calls"}]}`;
  rig.upstream.scriptFor(route.models[0]!, { body, headers: { "content-type": "application/json" } });
  const response = await rig.ask(route);
  expect(response.headers.get("x-flowlayer-attempt-log")).toMatch(/;invalid_response;200;\d+ms, .*;ok;200;/);
});

test.each(deepCalls)(
  "a whole answer whose call has such a $member is mended: id and arguments are text",
  async ({ call }) => {
    const route = await rig.route();
    const message = `{"role":"assistant","content":null,"tool_calls":[${call}]}`;
    const body = `{"id":"x","choices":[{"index":0,"message":${message},"finish_reason":"tool_calls"}]}`;
    rig.upstream.scriptFor(route.models[0]!, { body, headers: { "content-type": "application/json" } });
    const answer = (await (await rig.ask(route)).json()) as {
      choices: { message: { tool_calls: { id: unknown; function: { arguments: unknown } }[] } }[];
    };
    const [made] = answer.choices[0]!.message.tool_calls;
    expect([typeof made!.id, typeof made!.function.arguments]).toEqual(["string", "string"]);
  },
);
