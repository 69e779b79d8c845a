/** A target at Google, over HTTP: what reaches it, what is refused before, and what a broken answer of its costs. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, expectError, sharedChatRig } from "../support/chat.ts";
import { streamedAnswer } from "../support/fixtures.ts";
import type { Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const GOOGLE = "gemini-2.5-pro";
const callsToGoogle = () => rig.upstream.calls.filter(({ path }) => path.includes("enerateContent"));
const googleOnly = (policy: object = {}) =>
  rig.route({ providers: ["google"], targets: [{ model: GOOGLE }], policy: { ...policy } });

const USAGE = { usageMetadata: { promptTokenCount: 2_000, candidatesTokenCount: 300, thoughtsTokenCount: 100 } };
const answer = (finishReason: string, ...parts: object[]) => ({
  candidates: [{ content: { role: "model", parts }, finishReason }],
  ...USAGE,
});
const CALL = { functionCall: { name: "delete_file", args: { path: "/etc" } } };
const RESULT = { functionResponse: { name: "delete_file", response: { output: "deleted" } } };
const TOOL = { type: "function", function: { name: "delete_file", parameters: { type: "object" } } };

describe("results of calls that nobody approved", () => {
  const HI = { role: "user", content: "delete it" };
  const GATE = { tools: { require_approval: true, wait_ms: 0 } };
  test.each<[string, object[]]>([
    [
      "in a user's part",
      [
        { role: "assistant", content: [CALL] },
        { role: "user", content: [RESULT] },
      ],
    ],
    ["under a type", [{ role: "user", content: [{ type: "functionResponse", ...RESULT }] }]],
    ["called a text", [{ role: "user", content: [{ type: "text", ...RESULT }] }]],
    ["as a picture that the model painted", [{ role: "assistant", content: "a", images: [RESULT] }]],
    ["in snake case", [{ role: "user", content: [{ function_response: RESULT.functionResponse }] }]],
  ])("%s never reach Google", async (_, odd) => {
    const route = await rig.route({ providers: ["openai", "google"], targets: [{}, { model: GOOGLE }], policy: GATE });
    const gated = await rig.ask(route, { messages: [HI, ...odd], tools: [TOOL], route: { only: ["google"] } });
    expect(gated.status).toBe(400);
    const open = await rig.ask(await googleOnly(), { messages: [HI, ...odd], tools: [TOOL] });
    expect(open.status).toBe(400);
    expect(callsToGoogle()).toEqual([]);
  });
});

describe("what cannot be sent", () => {
  const says = (part: object) => ({ messages: [{ role: "user", content: [{ type: "text", text: "look" }, part] }] });
  test.each<[string, object, string]>([
    ["a part that nobody knows", says({ type: "hologram", hologram: 1 }), "messages[0].content[1]"],
    ["a file of another provider", says({ type: "file", file: { file_id: "file-1" } }), "messages[0].content[1]"],
    [
      "a film called a picture",
      says({ type: "image_url", image_url: { url: "https://a.example/film.mp4" } }),
      "messages[0].content[1]",
    ],
    ["speech", { modalities: ["audio"] }, "modalities"],
    ["nine choices", { n: 9 }, "n"],
    ["a tool of no kind", { tools: [{ type: "telepathy" }] }, "tools[0]"],
  ])("%s: the only target refuses it by name, another one gets it", async (_, body, param) => {
    const refused = await expectError(await rig.ask(await googleOnly(), body), {
      status: 400,
      code: "no_capable_target",
    });
    expect(refused.error.param).toBe(param);
    expect(rig.upstream.calls).toEqual([]);
    const pair = await rig.route({ providers: ["google", "openai"], targets: [{ model: GOOGLE }] });
    const served = await rig.ask(pair, body);
    expect(served.status).toBe(200);
    expect(served.headers.get("x-flowlayer-fallback-reason")).toBe("capability");
    expect(callsToGoogle()).toEqual([]);
  });

  test.each<[string, object, string]>([
    ["a bias", { logit_bias: { "1": 5 } }, "logit_bias"],
    ["one call at a time", { tools: [TOOL], parallel_tool_calls: false }, "parallel_tool_calls"],
    ["a search of another provider's", { tools: [{ type: "web_search_preview" }] }, "tools[0]"],
    ["a cache mark", says({ type: "text", text: "a", cache_control: { type: "ephemeral" } }), "messages.cache_control"],
  ])("%s: the only target is called without it, and the client told", async (_, body, name) => {
    rig.upstream.script({ json: answer("STOP", { text: "ok" }) });
    const response = await rig.ask(await googleOnly(), body);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")?.split(", ")).toContain(name);
    expect(callsToGoogle()).toHaveLength(1);
  });

  test("a wish that no target can follow is no reason to refuse", async () => {
    rig.upstream.script({ json: answer("STOP", { text: "ok" }) });
    const two = [{ model: GOOGLE }, { model: "gemini-2.5-flash" }];
    const route = await rig.route({ providers: ["google", "google"], targets: two });
    const response = await rig.ask(route, { logit_bias: { "1": 5 } });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-flowlayer-dropped-params")).toBe("logit_bias");
  });
});

describe("an end that Google calls broken", () => {
  const WORDS = ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "SOMETHING_NEW"];
  const costUsd = (2_000 * 1.25 + 400 * 10) / 1e6;
  /** A target of its own for each test: after three failures it would stand behind the others. */
  let count = 10;
  const fresh = (): string => `gemini-2.5-pro-2031-04-${++count}`;
  const groq: Script = {
    json: {
      ...{ id: "c", object: "chat.completion", created: 1, model: "m" },
      choices: [{ index: 0, message: { role: "assistant", content: "from the other" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    },
  };

  test.each(WORDS)(
    "%s: a whole answer is a failed attempt that is booked, and the next target answers",
    async (word) => {
      const route = await rig.route({ providers: ["google", "groq"], targets: [{ model: fresh() }] });
      rig.upstream.script((call) =>
        call.path.includes("enerateContent") ? { json: answer(word, { text: "Let me look." }, CALL) } : groq,
      );
      const response = await rig.ask(route, { tools: [TOOL] });
      expect(await response.json()).toMatchObject({ choices: [{ message: { content: "from the other" } }] });
      const { attempts } = await rig.trace(route, response);
      expect(attempts.map(({ outcome }) => outcome)).toEqual(["invalid_response", "ok"]);
      expect(attempts[0]?.cost_usd).toBeCloseTo(costUsd, 9);
    },
  );

  test.each(WORDS)("%s: a stream that said nothing before falls back unseen, and is booked", async (word) => {
    const model = fresh();
    const route = await rig.route({ providers: ["google", "google"], targets: [{ model }, { model: GOOGLE }] });
    rig.upstream.script((call) =>
      call.path.includes(model) ? { events: [answer(word)] } : { events: [answer("STOP", { text: "well" })] },
    );
    const response = await rig.ask(route, { tools: [TOOL], stream: true });
    expect(streamedAnswer(await response.text())).toMatchObject({ text: "well", finishReason: "stop" });
    const { attempts } = await rig.trace(route, response);
    expect(attempts.map(({ outcome }) => outcome)).toEqual(["invalid_response", "ok"]);
    expect(attempts[0]?.cost_usd).toBeCloseTo(costUsd, 9);
  });

  test.each(WORDS)("%s: a stream behind its first word ends with the error event", async (word) => {
    const route = await rig.route({ providers: ["google"], targets: [{ model: fresh() }] });
    rig.upstream.script({ events: [answer("", { text: "Let me look." }), answer("", CALL), answer(word)] });
    const response = await rig.ask(route, { tools: [TOOL], stream: true });
    const text = await response.text().catch(() => "");
    expect(text).not.toContain("[DONE]");
    expect(text).not.toMatch(/"finish_reason":"(?:stop|tool_calls)"/);
    const trace = await rig.trace(route, response);
    expect(trace).toMatchObject({ status: "error", error_code: "stream_interrupted" });
    expect(trace.cost_usd).toBeCloseTo(costUsd, 9);
  });

  test("a whole answer without any end is cut", async () => {
    rig.upstream.script({ json: { candidates: [{ content: { parts: [{ text: "Half a" }] } }], ...USAGE } });
    const response = await rig.ask(await googleOnly());
    await expectError(response, { status: 502, code: "upstream_failed" });
  });
});

describe("a refusal that another target may not share", () => {
  const refusal: Script = {
    status: 400,
    json: {
      error: {
        ...{ code: 400, status: "INVALID_ARGUMENT" },
        message: "Penalty is not enabled for models/gemini-2.5-pro",
      },
    },
  };

  test("moves on, and is not held against the target", async () => {
    const route = await rig.route({
      providers: ["google", "google"],
      targets: [{ model: GOOGLE }, { model: "gemini-x" }],
    });
    rig.upstream.script((call) => (call.path.includes(GOOGLE) ? refusal : { json: answer("STOP", { text: "ok" }) }));
    for (let count = 0; count < 4; count++) {
      const response = await rig.ask(route, { presence_penalty: 1 });
      expect(response.status).toBe(200);
      expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("capability");
      expect(response.headers.get("x-flowlayer-attempts")).toBe("2");
    }
  });

  test("is told to the client of the only target", async () => {
    rig.upstream.script(refusal);
    const response = await rig.ask(await googleOnly(), { presence_penalty: 1 });
    const { error } = await expectError(response, { status: 400, code: "upstream_invalid_request" });
    expect(error.message).toContain("Penalty is not enabled");
  });
});

test("a picture of three megabytes arrives in a stream, though nothing came before it", async () => {
  const data = "QUJD".repeat(786_432);
  const event = answer("STOP", { inlineData: { mimeType: "image/png", data } });
  rig.upstream.script({ events: [event], sliceBytes: 65_536 });
  const response = await rig.ask(await googleOnly(), { stream: true, modalities: ["text", "image"] });
  const text = await response.text();
  expect(text).toContain(`"url":"data:image/png;base64,${data}"`);
  expect(streamedAnswer(text).finishReason).toBe("stop");
});

test("integers keep their digits from Google to the client and back", async () => {
  const args = '{"id":2512292042121000001,"f":1.0,"10":1,"2":2}';
  const body = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"delete_file","args":${args}}}]},"finishReason":"STOP"}]}`;
  rig.upstream.script({ body, headers: { "content-type": "application/json" } });
  const route = await googleOnly();
  const first = (await (await rig.ask(route, { tools: [TOOL] })).json()) as {
    choices: { message: { tool_calls: { id: string; function: { arguments: string } }[] } }[];
  };
  const message = first.choices[0]!.message;
  expect(message.tool_calls[0]?.function.arguments).toBe(args);
  const result = { role: "tool", tool_call_id: message.tool_calls[0]?.id, content: "gone" };
  await rig.ask(route, { messages: [{ role: "user", content: "hi" }, message, result], tools: [TOOL] });
  expect(callsToGoogle().at(-1)?.body).toContain(`"args":${args}`);
});
