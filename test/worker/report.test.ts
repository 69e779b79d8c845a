/** `route.report`: a stream says at its end what it has used and cost. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, expectError, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { chunks, completion, type Script, usage } from "../support/upstream.ts";

let rig: ChatRig;
let route: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  route = await rig.route({ providers: ["openai"], targets: [{ model: "gpt-4o-mini" }], key: { budget: BUDGET } });
});
afterAll(() => rig.stop());

const BUDGET = { limit_usd: 5, period: "total" };
const STREAM: Script = { events: chunks("Hello.", { usage: usage(1_000, 100) }) };
/** 1,000 tokens at 0.15 and 100 at 0.6 USD per million. */
const COST_USD = 0.00021;

const MESSAGE_USAGE = { input_tokens: 1_000, output_tokens: 1 };

interface Chunk {
  readonly id: string;
  readonly choices: readonly unknown[];
  readonly usage?: object | null;
  readonly flow?: Readonly<Record<string, unknown>>;
}

async function events(body: object, headers: Record<string, string> = {}): Promise<string[]> {
  const response = await rig.ask(route, { stream: true, ...body }, { headers: { ...rig.headers(route), ...headers } });
  expect(response.status).toBe(200);
  return (await response.text()).split("\n\n").flatMap((event) => (event === "" ? [] : [event.replace("data: ", "")]));
}
const chunksOf = (data: readonly string[]): Chunk[] => data.slice(0, -1).map((text) => JSON.parse(text) as Chunk);

describe("a stream that was asked for its report", () => {
  test.each([
    { name: "by the body", body: { route: { report: true } }, headers: {} },
    { name: "by the header, as Python writes it", body: {}, headers: { "x-flowlayer-report": "True" } },
    {
      name: "beside its usage",
      body: { route: { report: true }, stream_options: { include_usage: true } },
      headers: {},
      withUsage: true,
    },
  ])("$name ends with it, before [DONE]", async ({ body, headers, withUsage = false }) => {
    rig.upstream.scriptFor("gpt-4o-mini", STREAM);
    const data = await events(body, headers);
    expect(data.at(-1)).toBe("[DONE]");
    const all = chunksOf(data);
    const report = all.at(-1);
    expect(report).toMatchObject({
      ...{ id: all[0]?.id, object: "chat.completion.chunk", choices: [], usage: usage(1_000, 100) },
      flow: {
        ...{ route: route.model, provider: "openai", model: "gpt-4o-mini", attempts: 1, fallback: false },
        cost_usd: COST_USD,
      },
    });
    expect(report?.flow?.["budget_remaining_usd"]).toBeLessThan(5);
    expect(all.filter(({ choices }) => choices.length === 0)).toHaveLength(withUsage ? 2 : 1);
    expect(rig.upstream.callsTo("gpt-4o-mini").at(-1)?.body).not.toContain("report");
  });

  test.each([
    { name: "nobody asked", body: {}, headers: {} },
    { name: "the body says no", body: { route: { report: false } }, headers: { "x-flowlayer-report": "true" } },
  ])("has none where $name", async ({ body, headers }) => {
    rig.upstream.scriptFor("gpt-4o-mini", STREAM);
    expect(chunksOf(await events(body, headers)).every(({ flow }) => flow === undefined)).toBe(true);
  });

  test("that was cut has none", async () => {
    rig.upstream.scriptFor("gpt-4o-mini", { events: chunks("Half", { finish: null, done: false }) });
    const request = rig.ask(route, { stream: true, route: { report: true } });
    // The body ends abnormally.
    const text = await (await request).text().catch(() => "");
    expect(text).not.toContain("cost_usd");
    expect(text).not.toContain("[DONE]");
  });
});

describe("behind the other doors", () => {
  const MESSAGE = [
    {
      type: "message_start",
      message: { id: "m", type: "message", role: "assistant", content: [], usage: MESSAGE_USAGE },
    },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello." } },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 100 } },
    { type: "message_stop" },
  ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);

  test.each([
    { path: "messages", provider: "openai", model: "gpt-4o-mini", script: STREAM, cost: COST_USD },
    { path: "messages", provider: "anthropic", model: "claude-haiku-4-5", script: { events: MESSAGE }, cost: 0.0015 },
    { path: "responses", provider: "groq", model: "openai/gpt-oss-20b", script: STREAM, cost: expect.any(Number) },
  ])("the last event of $path has its cost, from $provider", async ({ path, provider, model, script, cost }) => {
    const own = await rig.route({ providers: [provider], targets: [{ model }] });
    rig.upstream.scriptFor(model, script);
    const asked = { model: own.model, stream: true, route: { report: true } };
    const body =
      path === "messages" ? { max_tokens: 500, messages: [{ role: "user", content: "hi" }] } : { input: "hi" };
    const headers = { ...rig.headers(own), "anthropic-version": "2023-06-01" };
    const init = { method: "POST", headers, body: JSON.stringify({ ...asked, ...body }) };
    const response = await rig.worker.fetch(`/v1/${path}`, init);
    expect(response.status).toBe(200);
    const events = (await response.text()).split("\n").flatMap((line) => (line.startsWith("data: {") ? [line] : []));
    const flows = events.flatMap((line) => {
      const event = JSON.parse(line.slice(6)) as { flow?: object; response?: { flow?: object } };
      return event.flow ?? event.response?.flow ?? [];
    });
    expect(flows.at(-1)).toMatchObject({ route: own.model, provider, cost_usd: cost });
    const ends = events.filter((line) => /"type":"(message_delta|response\.completed)"/.test(line));
    expect(ends).toHaveLength(1);
    expect(ends[0]).toContain('"cost_usd":');
  });
});

test("a whole answer has its cost already, and a header that is no boolean is refused", async () => {
  rig.upstream.scriptFor("gpt-4o-mini", { json: completion({ usage: usage(1_000, 100) }) });
  const whole = (await (await rig.ask(route, { route: { report: true } })).json()) as Chunk;
  expect(whole.flow).toMatchObject({ cost_usd: COST_USD });
  const headers = { ...rig.headers(route), "x-flowlayer-report": "maybe" };
  await expectError(await rig.ask(route, {}, { headers }), { status: 400, code: "invalid_header" });
});
