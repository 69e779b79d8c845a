/** OpenAI's own client on streams that break, go on elsewhere, bring a report, or were made of another API. */
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig, type TestRoute } from "../../support/chat.ts";
import { chunks, type Script, usage } from "../../support/upstream.ts";
import { CUTS, ERRORS, FINISH, HALF, MODES, ONE, ROLE, TWO } from "../../worker/stream-cut.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const messages = [{ role: "user" as const, content: "hi" }];
const clientOf = ({ key }: TestRoute): OpenAI =>
  new OpenAI({ baseURL: `${rig.worker.url}/v1`, apiKey: key, maxRetries: 0 });

/** Its text, and what it throws. */
async function ask(route: TestRoute, body: object, script: Script): Promise<{ text: string; error: unknown }> {
  rig.upstream.scriptFor(route.models[0]!, script);
  let text = "";
  try {
    const request = { model: route.model, messages, ...body, stream: true as const };
    const stream = await clientOf(route).chat.completions.create(request);
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  } catch (error) {
    return { text, error };
  }
  return { text, error: null };
}

describe.each(MODES)("a broken stream, $mode", ({ mode, body }) => {
  test.each(CUTS)("$name: APIError behind the text it got", async ({ policy, script }) => {
    const { text, error } = await ask(await rig.route({ policy }), body, script([TWO]));
    expect(text.startsWith("one ")).toBe(true);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: "stream_interrupted", type: "upstream_error" });
  });

  test("cut inside an event it raises too", async () => {
    const script: Script = { events: [ROLE, ONE, HALF], end: "fin", gapMs: 10 };
    const { text, error } = await ask(await rig.route(), body, script);
    expect(text).toBe("one ");
    // Natively the half event is already out when the cut is noticed, and the SDK fails on that first.
    expect(error).toBeInstanceOf(mode === "native" ? SyntaxError : OpenAI.APIError);
  });

  test("half an event behind the finish reason takes nothing from the text", async () => {
    const script: Script = { events: [ROLE, ONE, FINISH, HALF], gapMs: 10, end: "fin" };
    const { text, error } = await ask(await rig.route(), body, script);
    expect(text).toBe("one ");
    // Natively the half event is out, and the SDK stumbles over it whatever follows.
    if (mode === "pump") expect(error).toBeNull();
  });

  test.each(ERRORS)("$name of the upstream's in mid-stream is raised", async ({ events, isNamed }) => {
    const { text, error } = await ask(await rig.route(), body, { events: [ROLE, ONE, ...events], gapMs: 5 });
    expect(text).toBe("one ");
    expect(error).toBeInstanceOf(OpenAI.APIError);
    if (mode === "pump" || !isNamed) expect(error).toMatchObject({ code: "stream_interrupted" });
  });
});

test("a stream that goes on with the next target is an ordinary answer", async () => {
  const route = await rig.route({ policy: { stream_recovery: "resume", retry: { same_target: 0 } } });
  const [role = "", one = "", two = "", ...rest] = chunks("one two three four");
  rig.upstream.scriptFor(route.models[0]!, { events: [role, one, two], end: "fin", gapMs: 5 });
  rig.upstream.scriptFor(route.models[1]!, { events: [role, one, two, ...rest] });
  const answer = await clientOf(route).chat.completions.stream({ model: route.model, messages }).finalChatCompletion();
  expect(answer).toMatchObject({
    choices: [{ message: { role: "assistant", content: "one two three four" }, finish_reason: "stop" }],
  });
  expect(rig.calls(route)).toEqual([1, 1]);
});

test("the report of a stream reaches it", async () => {
  const route = await rig.route({ providers: ["openai"], targets: [{ model: "gpt-4o-mini" }] });
  rig.upstream.scriptFor("gpt-4o-mini", { events: chunks("Hello.", { usage: usage(1_000, 100) }) });
  const request = { model: route.model, messages, stream: true as const };
  const headers = { "x-flowlayer-report": "true" };
  let text = "";
  let cost: unknown;
  for await (const chunk of await clientOf(route).chat.completions.create(request, { headers })) {
    text += chunk.choices[0]?.delta.content ?? "";
    cost = (chunk as { flow?: Record<string, unknown> }).flow?.["cost_usd"];
  }
  // 1,000 tokens at 0.15 and 100 at 0.6 USD per million.
  expect({ text, cost }).toEqual({ text: "Hello.", cost: 0.00021 });
});

describe("a model that takes tools over the Responses API only", () => {
  const RESPONSES = "/v1/responses";
  const thought = { id: "rs_1", type: "reasoning", summary: [], encrypted_content: "gAAAA-thoughts" };
  const call = {
    ...{ id: "fc_1", type: "function_call", status: "completed", call_id: "call_1", name: "look_up" },
    arguments: '{"id":9007199254740993}',
  };
  const counts = { input_tokens: 20, output_tokens: 12, output_tokens_details: { reasoning_tokens: 8 } };
  const whole = {
    ...{ id: "resp_1", object: "response", status: "completed", model: "gpt-5.6-sol" },
    ...{ output: [thought, call], usage: { ...counts, total_tokens: 32 } },
  };
  const events = [
    { type: "response.created", response: { ...whole, status: "in_progress", output: [], usage: null } },
    { type: "response.output_item.added", output_index: 0, item: thought },
    { type: "response.output_item.done", output_index: 0, item: thought },
    { type: "response.output_item.added", output_index: 1, item: { ...call, arguments: "" } },
    ...['{"id":900719', "9254740993}"].map((delta) => {
      return { type: "response.function_call_arguments.delta", output_index: 1, item_id: "fc_1", delta };
    }),
    { type: "response.output_item.done", output_index: 1, item: call },
    { type: "response.completed", response: whole },
  ];

  test("its answer goes back as it came, put together by the library", async () => {
    const text = [{ type: "output_text", text: "Done." }];
    const done = { ...whole, output: [{ id: "msg_1", type: "message", role: "assistant", content: text }] };
    rig.upstream.scriptFor(RESPONSES, [{ events, headers: { "content-type": "text/event-stream" } }, { json: done }]);
    const route = await rig.route({ providers: ["openai"], targets: [{ model: "gpt-5.6" }] });
    const { completions } = clientOf(route).chat;
    const parameters = { type: "object", properties: {} };
    const tools = [{ type: "function" as const, function: { name: "look_up", parameters } }];
    const stream = completions.stream({ model: route.model, messages, tools });
    const { message } = (await stream.finalChatCompletion()).choices[0]!;
    const result = { role: "tool" as const, tool_call_id: "call_1", content: "found" };
    const turns = [...messages, message, result];
    const second = await completions.create({ model: route.model, messages: turns, tools });
    expect(second.choices[0]?.message.content).toBe("Done.");
    const sent = JSON.parse(rig.upstream.callsTo(RESPONSES)[1]?.body ?? "null") as { input: object[] };
    expect(sent.input.slice(1)).toEqual([
      { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAAA-thoughts" },
      { type: "function_call", call_id: "call_1", name: "look_up", arguments: '{"id":9007199254740993}' },
      { type: "function_call_output", call_id: "call_1", output: "found" },
    ]);
  });
});
