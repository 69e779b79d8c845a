/** What a stream used: where providers hide it, who gets to see it, and when its trace is there. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ChatRig, sharedChatRig } from "../support/chat.ts";
import { collect } from "../support/sse.ts";
import { chunks } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const MODES = [
  { mode: "native", body: { stream: true, stream_options: { include_usage: true } } },
  { mode: "pump", body: { stream: true } },
] as const;

const USED = { prompt_tokens: 31, completion_tokens: 7, total_tokens: 38 };
const [ROLE = "", WORD = "", FINISH = "", DONE = ""] = chunks("word", { usage: null });
/** `member` added to the top of an event, or to its first choice. */
const withMember = (event: string, member: object): string =>
  event.replace(/\}\n\n$/, `,${JSON.stringify(member).slice(1)}\n\n`);
const inChoice = (event: string, member: object): string =>
  event.replace(/\}\]\}\n\n$/, `,${JSON.stringify(member).slice(1, -1)}}]}\n\n`);

const PLACES: { name: string; events: string[]; hasOwnEvent?: true }[] = [
  { name: "in an event of its own", events: chunks("word", { usage: USED }), hasOwnEvent: true },
  { name: "beside the finish reason (Mistral)", events: [ROLE, WORD, withMember(FINISH, { usage: USED }), DONE] },
  { name: "in the choice (Moonshot)", events: [ROLE, WORD, inChoice(FINISH, { usage: USED }), DONE] },
  { name: "in x_groq", events: [ROLE, WORD, withMember(FINISH, { x_groq: { id: "r", usage: USED } }), DONE] },
  {
    name: "in every chunk, growing, without [DONE] (Perplexity)",
    events: [ROLE, WORD, FINISH].map((event, at) =>
      withMember(event, { usage: { ...USED, completion_tokens: at === 2 ? 7 : at } }),
    ),
  },
  {
    name: "null in every chunk but the last",
    events: [ROLE, WORD, FINISH]
      .map((event) => withMember(event, { usage: null }))
      .concat(chunks("", { usage: USED }).slice(-2)),
    hasOwnEvent: true,
  },
  {
    name: "behind an event of 20 KB",
    events: [ROLE, WORD, withMember(FINISH, { citations: ["x".repeat(20_000)], usage: USED }), DONE],
  },
  {
    name: "before an event of 20 KB",
    events: [ROLE, WORD, FINISH, ...chunks("", { usage: USED }).slice(-2, -1), `: ${"x".repeat(20_000)}\n\n`, DONE],
    hasOwnEvent: true,
  },
];

test.each(PLACES.flatMap((place) => MODES.map((mode) => ({ ...place, ...mode }))))(
  "$mode: usage $name is on the trace",
  async ({ events, body, mode, hasOwnEvent }) => {
    const route = await rig.route();
    rig.upstream.script({ events });
    const response = await rig.ask(route, body);
    const answer = collect(await response.text());
    expect(answer).toMatchObject({ text: "word", finishReason: "stop", isDone: true, error: null });
    expect(answer.usageEvents).toBe(mode === "native" && hasOwnEvent === true ? 1 : 0);
    expect(await rig.trace(route, response)).toMatchObject({
      status: "ok",
      stream: true,
      usage: { prompt_tokens: 31, completion_tokens: 7, source: "upstream" },
    });
    // Asked for upstream whoever asks.
    expect(JSON.parse(rig.upstream.calls[0]!.body)).toMatchObject({ stream_options: { include_usage: true } });
  },
);

test.each(MODES)("$mode: without usage the trace has a count, and says that it is one", async ({ body }) => {
  const route = await rig.route();
  rig.upstream.script({ events: chunks("one two three", { usage: null }) });
  const response = await rig.ask(route, body);
  await response.text();
  const { usage, status } = await rig.trace(route, response);
  expect({ status, source: usage.source }).toEqual({ status: "ok", source: "counted" });
  expect(usage.prompt_tokens).toBeGreaterThan(5);
  expect(usage.completion_tokens).toBeGreaterThanOrEqual(3);
});

test.each([
  { name: "negative", used: { prompt_tokens: -1, completion_tokens: 5 } },
  { name: "absurd", used: { prompt_tokens: 10, completion_tokens: 1e15 } },
  { name: "no numbers", used: { prompt_tokens: "10", completion_tokens: "5" } },
])("usage that is $name is not believed", async ({ used }) => {
  const route = await rig.route();
  rig.upstream.script({ events: chunks("one", { usage: used }) });
  const response = await rig.ask(route, { stream: true });
  await response.text();
  expect((await rig.trace(route, response)).usage.source).toBe("counted");
});

test.each(MODES)("$mode: a trace is 404 until the stream has ended, and complete from then on", async ({ body }) => {
  const route = await rig.route();
  rig.upstream.script({ events: chunks("one two three four five six"), gapMs: 120 });
  const response = await rig.ask(route, body);
  const path = `/v1/traces/${response.headers.get("x-request-id")}`;
  const seen: number[] = [];
  const reader = response.body!.getReader();
  while (!(await reader.read()).done) {
    const early = await rig.worker.fetch(path, { headers: rig.headers(route) });
    if (early.status === 404) expect(await early.json()).toMatchObject({ error: { code: "unknown_trace" } });
    // While the provider has more to say, the stream has not ended, however slow this machine is.
    if (rig.upstream.callsTo(route.models[0]!)[0]?.closedAt === null) seen.push(early.status);
  }
  expect(new Set(seen)).toEqual(new Set([404]));
  const trace = await rig.trace(route, response);
  expect(trace).toMatchObject({
    id: response.headers.get("x-request-id"),
    key_id: route.keyId,
    status: "ok",
    http_status: 200,
    route: route.model,
    provider: "openai",
    model: route.models[0],
    fallback: false,
    attempts: [{ provider: "openai", model: route.models[0], outcome: "ok", status: 200, winner: true, hedged: false }],
    usage: { prompt_tokens: 10, completion_tokens: 5, source: "upstream" },
    tool_calls: [],
  });
  expect(trace.latency.total_ms).toBeGreaterThan(trace.latency.first_token_ms ?? Number.POSITIVE_INFINITY);
  expect(await rig.traces(route)).toHaveLength(1);
});

test.each(MODES)(
  "$mode: the tools that were called are named on the trace, their arguments are not",
  async ({ body }) => {
    const route = await rig.route();
    const toolCalls = [
      { id: "a", name: "get_weather", arguments: '{"city":"Sesamopolis"}' },
      { id: "b", name: "send", arguments: "{}" },
    ];
    rig.upstream.script({ events: chunks("", { toolCalls }), sliceBytes: 11 });
    const tools = toolCalls.map(({ name }) => ({ type: "function", function: { name } }));
    const response = await rig.ask(route, { ...body, tools });
    expect(collect(await response.text()).toolCalls).toEqual(toolCalls);
    const trace = await rig.trace(route, response);
    expect(trace.tool_calls).toEqual(["get_weather", "send"]);
    expect(JSON.stringify(trace)).not.toContain("Sesamopolis");
  },
);
