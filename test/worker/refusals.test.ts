/** A refusal that another provider may not share: once more without the member it names, then the next target. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ChatRig, expectError, sharedChatRig } from "../support/chat.ts";
import { chunks, completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const refusal = (param: string, code = "unsupported_value"): Script => ({
  status: 400,
  json: { error: { message: `Unsupported value: '${param}'.`, type: "invalid_request_error", param, code } },
});
const answer = (text: string): Script => ({ json: completion({ text }) });
const log = (response: Response): string | undefined =>
  response.headers.get("x-flowlayer-attempt-log")?.replace(/;\d+ms/g, "");

async function play(first: Script[], body: object, policy: Record<string, object> = {}) {
  const route = await rig.route({ providers: ["vllm", "openai"], policy });
  const [a, b] = route.models as [string, string];
  rig.upstream.scriptFor(a, first);
  rig.upstream.scriptFor(b, "stream" in body ? { events: chunks("second") } : answer("second"));
  const response = await rig.ask(route, body);
  const sent = rig.upstream.callsTo(a).map((call) => JSON.parse(call.body) as Record<string, unknown>);
  return { route, response, sent, a, b };
}

test.each([{}, { stream: true }])("the same target answers without the member, which is named (%j)", async (mode) => {
  const good = "stream" in mode ? { events: chunks("first") } : answer("first");
  const { response, sent, a, route } = await play([refusal("temperature"), good], { temperature: 0.2, ...mode });
  expect(await response.text()).toContain("first");
  expect(sent.map((each) => each["temperature"])).toEqual([0.2, undefined]);
  expect(response.headers.get("x-flowlayer-dropped-params")).toBe("temperature");
  expect(log(response)).toBe(`vllm/${a};capability;400, vllm/${a};ok;200`);
  expect(response.headers.get("x-flowlayer-attempts")).toBe("2");
  expect(response.headers.get("x-flowlayer-fallback")).toBe("false");
  // Each attempt is on the trace, and the target is not blamed.
  const trace = await rig.trace(route, response);
  expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(["capability", "ok"]);
});

test("refused once more, the next target is asked, with the member", async () => {
  const { response, sent, a, b } = await play([refusal("seed"), refusal("user")], { seed: 7, user: "u" });
  expect(await response.text()).toContain("second");
  expect(sent).toHaveLength(2);
  expect(JSON.parse(rig.upstream.callsTo(b)[0]!.body)).toMatchObject({ seed: 7, user: "u" });
  expect(log(response)).toBe(`vllm/${a};capability;400, vllm/${a};capability;400, openai/${b};ok;200`);
});

test.each<[string, Script, object]>([
  [
    "content is never left out",
    refusal("tools", "unsupported_parameter"),
    { tools: [{ type: "function", function: { name: "f" } }] },
  ],
  ["a wish is not either", refusal("logprobs", "unsupported_parameter"), { logprobs: true }],
  ["nor what was not sent", refusal("temperature"), {}],
])("%s: the next target is asked at once", async (_, first, body) => {
  const { response, sent, a, b } = await play([first], body);
  expect(await response.text()).toContain("second");
  expect(sent).toHaveLength(1);
  expect(log(response)).toBe(`vllm/${a};capability;400, openai/${b};ok;200`);
});

test("it is an attempt like any other: max_attempts counts it", async () => {
  const { response, sent } = await play(
    [refusal("temperature")],
    { temperature: 0.2 },
    { fallback: { max_attempts: 1 } },
  );
  const { error } = await expectError(response, { status: 400, code: "upstream_invalid_request" });
  expect(error.param).toBe("temperature");
  expect(sent).toHaveLength(1);
});

test("without fallback the same target is asked all the same", async () => {
  const { response, sent } = await play([refusal("temperature"), answer("first")], {
    temperature: 0.2,
    route: { fallback: false },
  });
  expect(await response.text()).toContain("first");
  expect(sent).toHaveLength(2);
});

test("a target of another wire does without it too", async () => {
  const route = await rig.route({ providers: ["anthropic"] });
  const said = { type: "text", text: "first" };
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "m",
    content: [said],
    stop_reason: "end_turn",
  };
  rig.upstream.script([
    {
      status: 400,
      json: {
        type: "error",
        error: { type: "invalid_request_error", message: "`top_k` is not supported for this model." },
      },
    },
    { json: { ...message, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } } },
  ]);
  const response = await rig.ask(route, { top_k: 5 });
  expect(await response.text()).toContain("first");
  expect(rig.upstream.calls.map((call) => "top_k" in JSON.parse(call.body))).toEqual([true, false]);
  expect(response.headers.get("x-flowlayer-dropped-params")).toContain("top_k");
});
