/**
 * `stream_recovery: "resume"`: a broken stream goes on with the next target, when that says the same again; text of two
 * models is never spliced.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { type ChatRig, chatBody, type RouteSpec, sharedChatRig, type TestRoute, vendorError } from "../support/chat.ts";
import { connectRaw, type RawClient, requestText } from "../support/raw.ts";
import { type Collected, collect, eventData, textOf } from "../support/sse.ts";
import { chunks, completion, type Script, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
afterEach(() => {
  expect(rig.worker.logs()).not.toContain("unexpected_error");
  expect(rig.worker.logs()).not.toMatch(/uncaught|unhandled/i);
});

/** Of each provider a model with a price. A date behind it changes its name and nothing else. */
const PRICED: Readonly<Record<string, string>> = {
  openai: "gpt-4o-mini",
  groq: "llama-3.1-8b-instant",
  mistral: "ministral-3b-2512",
  anthropic: "claude-haiku-5-5",
  google: "gemini-2.5-pro",
};
const THREE = ["openai", "groq", "mistral"];
let routeCount = 0;

/** Clocks for a machine with much else to do: no test rests on one that it does not name. */
const PATIENT = { first_token_ms: 8_000, idle_ms: 8_000, total_ms: 20_000 };

/** A route that resumes, to priced models that no other test uses. */
async function resuming({ providers = ["openai", "groq"], policy = {}, ...rest }: RouteSpec = {}): Promise<TestRoute> {
  const month = Math.floor(routeCount / 28);
  const date = `20${two(10 + Math.floor(month / 12))}-${two((month % 12) + 1)}-${two((routeCount % 28) + 1)}`;
  routeCount++;
  const models = providers.map((provider) => `${PRICED[provider]}-${date}`);
  const timeouts = { ...PATIENT, ...(policy["timeouts"] as object | undefined) };
  const route = await rig.route({
    ...rest,
    providers,
    targets: models.map((model) => ({ model })),
    policy: { stream_recovery: "resume", retry: { same_target: 0 }, ...policy, timeouts },
  });
  return { ...route, models };
}

const two = (figure: number): string => String(figure).padStart(2, "0");

/** Streams of one route, in the order of its targets. */
function play({ models }: TestRoute, ...scripts: Script[]): void {
  for (const [index, model] of models.entries()) {
    const isGoogle = model.startsWith("gemini");
    const where = isGoogle ? `/v1/models/${model}:streamGenerateContent?alt=sse` : model;
    rig.upstream.scriptFor(where, scripts[index] ?? { status: 500 });
  }
}

interface Played extends Collected {
  readonly response: Response;
  readonly raw: string;
  readonly chunks: readonly { readonly id?: string; readonly [member: string]: unknown }[];
}

async function ask(route: TestRoute, body: object = {}): Promise<Played> {
  const response = await rig.ask(route, { stream: true, ...body });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  const raw = await textOf(response);
  const events = eventData(raw).filter((data) => data !== "[DONE]");
  return { ...collect(raw), response, raw, chunks: events.map((data) => JSON.parse(data)) };
}

const callsOf = ({ models }: TestRoute): number[] =>
  models.map((model) => rig.upstream.calls.filter((call) => `${call.path} ${call.body}`.includes(model)).length);

/** The call of the target at `index` is over. */
async function ended({ models }: TestRoute, index: number, by: "router" | "any"): Promise<void> {
  const isOver = (): boolean => {
    const [call] = rig.upstream.callsTo(models[index] ?? "");
    return call !== undefined && call.closedAt !== null && (by === "any" || call.closedBy === by);
  };
  // No `expect.poll`: it refuses to work in tests that run side by side.
  for (const giveUpAt = Date.now() + 10_000; !isOver(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    expect(Date.now(), "the call upstream is still open").toBeLessThan(giveUpAt);
  }
}

interface Books {
  readonly status?: Trace["status"];
  /** Of each attempt, in order. */
  readonly outcomes: readonly string[];
  /** Position of the attempt that the client has the last of. */
  readonly winner: number;
}

/** The trace tells the whole story, and the cost is that of all attempts. */
async function expectBooks(route: TestRoute, response: Response, { status = "ok", outcomes, winner }: Books) {
  const trace = await rig.trace(route, response);
  expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(outcomes);
  expect(trace.attempts.map((attempt) => attempt.winner)).toEqual(outcomes.map((_, index) => index === winner));
  const { provider, model } = trace.attempts[winner]!;
  expect(trace).toMatchObject({ status, http_status: 200, provider, model, fallback: outcomes.length > 1 });
  expect(trace.error_code).toBe(status === "error" ? "stream_interrupted" : undefined);
  const costs = trace.attempts.map(({ cost_usd }) => Math.round((cost_usd ?? Number.NaN) * 1e9));
  expect(Math.round((trace.cost_usd ?? Number.NaN) * 1e9)).toBe(costs.reduce((sum, cost) => sum + cost));
  // Whoever sent content was used, and was so before the next one began.
  for (const [index, attempt] of trace.attempts.entries()) {
    if (attempt.first_token_ms !== null) expect(attempt.cost_usd).toBeGreaterThan(0);
    const next = trace.attempts[index + 1];
    if (next !== undefined) expect(attempt.started_ms + attempt.duration_ms).toBeLessThanOrEqual(next.started_ms);
  }
  const [first] = trace.attempts;
  expect(trace.latency.first_token_ms).toBe(first!.started_ms + (first!.first_token_ms ?? Number.NaN));
  return trace;
}

const TEXT = "one two three four";
const [ROLE = "", ONE = "", TWO = "", THREE_WORD = ""] = chunks(TEXT);
const SENT = "one two ";
const USED = usage(1_000, 50);
/** The same answer in other pieces, from another model and with another id. */
const AGAIN = inPieces(["", "o", "ne two th", "ree", " four"]);

function inPieces([first = "", ...pieces]: readonly string[], id = "chatcmpl-second"): string[] {
  const begin = chunks("", { id, model: "second" })[0] ?? "";
  const spoken = (text: string): string =>
    begin.replace('"role":"assistant","content":""', `"content":${JSON.stringify(text)}`);
  const end = chunks("", { id, model: "second", usage: USED }).slice(1);
  return [begin.replace('"content":""', `"content":${JSON.stringify(first)}`), ...pieces.map(spoken), ...end];
}

const chunked = (events: readonly string[]): string =>
  events.map((event) => `${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`).join("");
const CHUNKED_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const VENDOR_ERROR = { error: { message: "vendor words", type: "server_error", code: null } };
const HALF = `${THREE_WORD.slice(0, -30)}`;

const IMPATIENT = { timeouts: { idle_ms: 1_000 } };

/** How the first stream breaks behind `one two `. A reset may overtake the bytes just before it. */
const BREAKS: { name: string; outcome: string; script: Script; policy?: RouteSpec["policy"] }[] = [
  { name: "a FIN", outcome: "network", script: { events: [ROLE, ONE, TWO], gapMs: 10, end: "fin" } },
  { name: "a FIN inside an event", outcome: "network", script: { events: [ROLE, ONE, TWO, HALF], end: "fin" } },
  { name: "a reset", outcome: "network", script: { events: [ROLE, ONE, TWO, ":"], gapMs: 40, end: "reset" } },
  {
    name: "a FIN inside a chunk",
    outcome: "network",
    script: { raw: `${CHUNKED_HEAD}${chunked([ROLE, ONE, TWO])}400\r\n${HALF}`, end: "fin" },
  },
  {
    name: "garbage for a chunk",
    outcome: "network",
    script: { raw: `${CHUNKED_HEAD}${chunked([ROLE, ONE, TWO])}zz\r\n${THREE_WORD}`, end: "fin" },
  },
  { name: "a proper end without a finish reason", outcome: "network", script: { events: [ROLE, ONE, TWO] } },
  {
    name: "the end of its connection",
    outcome: "network",
    script: { events: [ROLE, ONE, TWO], closeDelimited: true, end: "fin" },
  },
  { name: "silence", outcome: "timeout", policy: IMPATIENT, script: { events: [ROLE, ONE, TWO], end: "stall" } },
  {
    name: "silence inside an event",
    outcome: "timeout",
    policy: IMPATIENT,
    script: { events: [ROLE, ONE, TWO, HALF], end: "stall" },
  },
  {
    name: "an error event",
    outcome: "server_error",
    script: { events: [ROLE, ONE, TWO, VENDOR_ERROR], gapMs: 5, end: "stall" },
  },
  {
    name: "an error event, then [DONE]",
    outcome: "server_error",
    script: { events: [ROLE, ONE, TWO, VENDOR_ERROR, "data: [DONE]\n\n"] },
  },
  {
    name: "the finish reason `error`",
    outcome: "server_error",
    script: { events: [ROLE, ONE, TWO, { id: "c", choices: [{ index: 0, delta: {}, finish_reason: "error" }] }] },
  },
];
const USAGE_WANTED = { stream_options: { include_usage: true } };
const CUT: Script = { events: [ROLE, ONE, TWO], gapMs: 5, end: "fin" };

function expectWhole(played: Played, id = "chatcmpl-test"): void {
  expect(played).toMatchObject({ text: TEXT, finishReason: "stop", isDone: true, error: null });
  expect(new Set(played.chunks.map((chunk) => chunk.id))).toEqual(new Set([id]));
  expect(played.raw.match(/"role":/g)).toHaveLength(1);
}

/** The text that was sent, one error event, and nothing of any other answer. */
function expectInterrupted(played: Played, text = SENT): void {
  expect(played).toMatchObject({
    text,
    reasoning: "",
    toolCalls: [],
    isDone: false,
    error: { type: "upstream_error", code: "stream_interrupted", param: null },
  });
  expect(played.raw.match(/stream_interrupted/g)).toHaveLength(1);
  expect(played.chunks.at(-1)).toMatchObject({
    id: "chatcmpl-test",
    choices: [{ index: 0, delta: {}, finish_reason: "error" }],
  });
  expect(played.raw).not.toContain("second");
}

describe.concurrent("the next target says the same", () => {
  test.each(BREAKS.flatMap((each) => [false, true].map((hasUsage) => ({ ...each, hasUsage }))))(
    "behind $name the client gets one complete answer (usage asked for: $hasUsage)",
    async ({ script, outcome, policy = {}, hasUsage }) => {
      const route = await resuming({ policy });
      play(route, script, { events: AGAIN });
      const played = await ask(route, hasUsage ? { stream_options: { include_usage: true } } : {});
      expectWhole(played);
      expect(played.usageEvents).toBe(hasUsage ? 1 : 0);
      if (hasUsage) expect(played.chunks.at(-1)?.["usage"]).toEqual(USED);
      expect(played.raw).not.toContain("vendor words");
      expect(callsOf(route)).toEqual([1, 1]);
      // Sent before anybody knew; the trace knows better.
      expect(played.response.headers.get("x-flowlayer-provider")).toBe("openai");
      const trace = await expectBooks(route, played.response, { outcomes: [outcome, "ok"], winner: 1 });
      expect(trace.usage).toMatchObject({ prompt_tokens: 1_000, completion_tokens: 50, source: "upstream" });
      await ended(route, 0, "any");
    },
  );

  test.each([false, true])("[DONE] without a finish reason is an end (usage asked for: %s)", async (hasUsage) => {
    const route = await resuming();
    play(route, { events: [ROLE, ONE, TWO, "data: [DONE]\n\n"] }, { events: AGAIN });
    const played = await ask(route, hasUsage ? { stream_options: { include_usage: true } } : {});
    expect(played).toMatchObject({ text: SENT, finishReason: "stop", isDone: true, error: null });
    expect(callsOf(route)).toEqual([1, 0]);
  });

  test("at whatever byte the first stream is cut", async () => {
    const bytes = Buffer.from([ROLE, ...chunks("é two \u{1F30D} four").slice(1, 5)].join(""));
    const again = inPieces(["", "é", " two \u{1F30D} fo", "ur"]);
    const cuts = Array.from({ length: 24 }, (_, turn) => Math.floor(((turn + 1) * bytes.length) / 25));
    const played = await Promise.all(
      cuts.map(async (cut) => {
        const route = await resuming();
        play(route, { events: [bytes.subarray(0, cut)], end: "fin" }, { events: again, sliceBytes: 97 });
        return ask(route);
      }),
    );
    for (const each of played) {
      expect(each).toMatchObject({ text: "é two \u{1F30D} four", isDone: true, error: null });
      expect(new Set(each.chunks.map((chunk) => chunk.id)).size).toBe(1);
    }
  });

  test("usage that a provider tells before the end waits for it, so that there is one in any case", async () => {
    const [usageEvent = ""] = chunks("", { usage: USED }).slice(2);
    const early = [ROLE, ONE, TWO, usageEvent];
    const [broken, whole] = await Promise.all([resuming(), resuming()]);
    play(broken, { events: early, gapMs: 5, end: "fin" }, { events: AGAIN });
    play(whole, { events: [...early, ...chunks("three four", { usage: null }).slice(1)] });
    for (const route of [broken, whole]) {
      const played = await ask(route, USAGE_WANTED);
      expectWhole(played);
      expect(played.usageEvents).toBe(1);
      expect(played.chunks.at(-1)?.["usage"]).toEqual(USED);
    }
  });

  test("its thoughts are not those of the first one, and are left out", async () => {
    const thought = (content: string): object => ({ id: "x", choices: [{ index: 0, delta: { reasoning: content } }] });
    const route = await resuming();
    play(
      route,
      { events: [ROLE, thought("I think"), ONE, TWO], end: "fin", gapMs: 5 },
      { events: [thought("Well, second thoughts"), ...AGAIN] },
    );
    const played = await ask(route);
    expect(played).toMatchObject({ text: TEXT, reasoning: "I think", isDone: true, error: null });
  });

  test("when only the end was missing, nothing but the end follows", async () => {
    const route = await resuming();
    const events = chunks(TEXT, { finish: null, usage: null, done: false });
    play(route, { events, end: "fin", gapMs: 5 }, { events: AGAIN });
    const played = await ask(route);
    expectWhole(played);
    expect(played.raw.startsWith(events.join(""))).toBe(true);
    expect(played.chunks).toHaveLength(events.length + 1);
  });

  test("a stream whose finish reason arrived was complete: nobody else is asked", async () => {
    const route = await resuming();
    play(route, { events: chunks(TEXT, { done: false, usage: null }), end: "fin", gapMs: 5 });
    const played = await ask(route);
    expectWhole(played);
    expect(callsOf(route)).toEqual([1, 0]);
    await expectBooks(route, played.response, { outcomes: ["ok"], winner: 0 });
  });

  test("a call that is of no more use ends at once, not with the answer", async () => {
    const route = await resuming();
    play(route, { events: [ROLE, ONE, TWO, VENDOR_ERROR], end: "stall" }, { events: AGAIN, headMs: 2_500 });
    expectWhole(await ask(route));
    const [first, second] = route.models.map((model) => rig.upstream.callsTo(model)[0]);
    expect(first!.closedBy).toBe("router");
    expect(first!.closedAt! - second!.receivedAt).toBeLessThan(2_000);
  });

  test("an empty id is none (Azure): the answer has that of the chunks behind it", async () => {
    const filter = { id: "", object: "", choices: [], prompt_filter_results: [{ prompt_index: 0 }] };
    const [resumed, interrupted] = await Promise.all([resuming(), resuming()]);
    const first: Script = { ...CUT, events: [filter, ...(CUT.events ?? [])] };
    play(resumed, first, { events: AGAIN });
    play(interrupted, first, vendorError(500));
    const played = await ask(resumed);
    expect(played).toMatchObject({ text: TEXT, isDone: true });
    expect(played.chunks.map(({ id }) => id).slice(1)).toEqual(Array(played.chunks.length - 1).fill("chatcmpl-test"));
    expectInterrupted(await ask(interrupted));
  });

  test("a latency budget ended with the first token: it does not end a resume", async () => {
    // Longer than a busy machine needs for the first token, shorter than the second provider takes.
    const latency = { budget_ms: 2_500, mode: "hard", hedge: false };
    const route = await resuming({ policy: { latency } });
    play(route, CUT, { events: AGAIN, headMs: 3_200 });
    const played = await ask(route);
    expectWhole(played);
    const trace = await expectBooks(route, played.response, { outcomes: ["network", "ok"], winner: 1 });
    expect(played.response.headers.get("x-flowlayer-latency-budget-met")).toBe("true");
    expect(trace.latency.budget_met).toBe(true);
  });
});

test("what follows is not held up: it arrives as the next target says it", async () => {
  const route = await resuming();
  play(route, CUT, { events: [...AGAIN.slice(0, 3), ": and so on\n\n"], end: "stall" });
  const client = await send(route);
  await expect.poll(() => client.received(), { timeout: 5_000, interval: 5 }).toContain('"content":"th"');
  client.close();
});

describe.concurrent("the next target says something else", () => {
  const TAIL = { end: "stall" } as const;
  test.each<{ name: string; script: Script }>([
    { name: "from the first character", script: { events: inPieces(["", "uno dos tres"]), ...TAIL } },
    { name: "later", script: { events: inPieces(["", "one ", "too many"]), ...TAIL } },
    { name: "in the last character that was sent", script: { events: inPieces(["", "one two", "!"]), ...TAIL } },
    { name: "and less of it", script: { events: inPieces(["", "one tw"]) } },
    { name: "and nothing but an end", script: { events: inPieces([""]) } },
    {
      name: "and calls a tool",
      script: {
        events: chunks("one ", {
          id: "chatcmpl-second",
          toolCalls: [{ id: "call_second", name: "second_tool", arguments: "{}" }],
        }),
        ...TAIL,
      },
    },
    {
      name: "and refuses",
      script: { events: [{ id: "second", choices: [{ index: 0, delta: { refusal: "second" } }] }], ...TAIL },
    },
  ])("$name: the client gets an error and not a character of it", async ({ script }) => {
    for (const includeUsage of [false, true]) {
      const route = await resuming({ providers: THREE });
      play(route, CUT, script, { events: AGAIN });
      const played = await ask(route, { stream_options: { include_usage: includeUsage } });
      expectInterrupted(played);
      expect(played.usageEvents).toBe(0);
      // It is over: a third one would be asked to repeat what a second could not.
      expect(callsOf(route)).toEqual([1, 1, 0]);
      const outcomes = ["network", "invalid_response"];
      await expectBooks(route, played.response, { status: "error", outcomes, winner: 0 });
      if (script.end === "stall") await ended(route, 1, "router");
    }
  });

  test("that is no fault of its target's: it stays in service", async () => {
    const [, shared = ""] = (await resuming()).models;
    for (let turn = 0; turn < 5; turn++) {
      const route = await resuming({ targets: [] });
      const own = await rig.route({
        targets: [{ model: route.models[0] }, { model: shared }],
        policy: { stream_recovery: "resume" },
      });
      play({ ...own, models: [route.models[0]!, shared] }, CUT, { events: inPieces(["", "uno"]) });
      expectInterrupted(await ask(own));
    }
    const direct = await rig.route({ providers: ["groq", "openai"], targets: [{ model: shared }] });
    const played = await ask(direct);
    expect(played.response.headers.get("x-flowlayer-provider")).toBe("groq");
    expect(played.response.headers.get("x-flowlayer-fallback")).toBe("false");
  });
});

describe.concurrent("more than two targets", () => {
  const HURRIED = { timeouts: { first_token_ms: 1_500, idle_ms: 1_500 } };
  test.each<{ name: string; outcome: string; script: Script; policy?: RouteSpec["policy"] }>([
    { name: "refuses the connection's request", outcome: "server_error", script: vendorError(503) },
    { name: "is rate limited", outcome: "rate_limited", script: vendorError(429) },
    { name: "breaks before its first token", outcome: "network", script: { events: [ROLE], end: "fin" } },
    { name: "is silent", outcome: "timeout", policy: HURRIED, script: { hang: true } },
    { name: "answers with an error event", outcome: "server_error", script: { events: [VENDOR_ERROR] } },
    {
      name: "breaks before it has caught up",
      outcome: "network",
      script: { events: inPieces(["", "one t"]).slice(0, 2), end: "fin" },
    },
    {
      name: "falls silent before it has caught up",
      outcome: "timeout",
      policy: HURRIED,
      script: { events: inPieces(["", "one t"]).slice(0, 2), end: "stall" },
    },
    {
      name: "breaks just as it has caught up",
      outcome: "network",
      script: { events: inPieces(["", "one two "]).slice(0, 2), end: "fin" },
    },
  ])("where the second $name, the third goes on", async ({ outcome, script, policy = {} }) => {
    const route = await resuming({ providers: THREE, policy });
    play(route, CUT, script, { events: AGAIN });
    const played = await ask(route);
    expectWhole(played);
    expect(callsOf(route)).toEqual([1, 1, 1]);
    await expectBooks(route, played.response, { outcomes: ["network", outcome, "ok"], winner: 2 });
  });

  const FURTHER: Script = { events: inPieces(["", "one ", "two three "]).slice(0, 3), gapMs: 5, end: "fin" };

  test("where the second broke after it had gone on, the third goes on from there", async () => {
    const route = await resuming({ providers: THREE });
    play(route, CUT, FURTHER, { events: inPieces(["", TEXT], "chatcmpl-third") });
    const played = await ask(route);
    expectWhole(played);
    expect(played.raw).not.toContain("third");
    await expectBooks(route, played.response, { outcomes: ["network", "network", "ok"], winner: 2 });
  });

  test("the third has to repeat what the second one added", async () => {
    const route = await resuming({ providers: THREE });
    play(route, CUT, FURTHER, { events: inPieces(["", "one two, three"], "chatcmpl-third") });
    const played = await ask(route);
    expect(played).toMatchObject({ text: "one two three ", isDone: false, error: { code: "stream_interrupted" } });
    expect(played.raw).not.toContain(", three");
    const outcomes = ["network", "network", "invalid_response"];
    await expectBooks(route, played.response, { status: "error", outcomes, winner: 1 });
  });

  test("the same target is tried once more where that is worth it, before its first token", async () => {
    const route = await resuming({ policy: { retry: { same_target: 1, backoff_ms: 20 } } });
    play(route, CUT);
    rig.upstream.scriptFor(route.models[1]!, [vendorError(503), { events: AGAIN }]);
    const played = await ask(route);
    expectWhole(played);
    expect(callsOf(route)).toEqual([1, 2]);
    await expectBooks(route, played.response, { outcomes: ["network", "server_error", "ok"], winner: 2 });
  });

  test("a latency budget that was kept and is over does not forbid that", async () => {
    const policy = { retry: { same_target: 1, backoff_ms: 20 }, latency: { budget_ms: 500, hedge: false } };
    const route = await resuming({ policy });
    play(route, { events: [ROLE, ONE, TWO, ...Array<string>(6).fill(": ping\n\n")], gapMs: 100, end: "fin" });
    rig.upstream.scriptFor(route.models[1]!, [vendorError(503), { events: AGAIN }]);
    expectWhole(await ask(route));
    expect(callsOf(route)).toEqual([1, 2]);
  });

  test("one that failed before the answer began is not asked again", async () => {
    const route = await resuming({ providers: THREE });
    play(route, vendorError(500), CUT, { events: AGAIN });
    const played = await ask(route);
    expectWhole(played);
    expect(callsOf(route)).toEqual([1, 1, 1]);
    const trace = await rig.trace(route, played.response);
    expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(["server_error", "network", "ok"]);
    expect(trace).toMatchObject({ status: "ok", provider: "mistral" });
  });
});

describe.concurrent("nobody to go on", () => {
  const IN_PARTS = [ROLE, ONE, TWO];
  const CALL_BEGUN = chunks("", {
    toolCalls: [{ id: "c", name: "send", arguments: "{}" }],
    done: false,
    finish: null,
  })[1]!;
  const PARTS = {
    id: "chatcmpl-test",
    choices: [{ index: 0, delta: { audio: { id: "audio_1", data: "AAAA" } }, finish_reason: null }],
  };
  const LONG = { timeouts: { idle_ms: 4_000, total_ms: 2_000 } };
  const SLOW: Script = { events: [...IN_PARTS, ...Array<string>(400).fill(": ping\n\n")], gapMs: 20 };
  test.each<{ name: string; spec?: RouteSpec; body?: object; script?: Script; outcome?: string; hasCall?: true }>([
    { name: "a route of one target", spec: { providers: ["openai"] } },
    { name: "fallback: false in the request", body: { route: { fallback: false } } },
    { name: "fallback off in the policy", spec: { policy: { fallback: { enabled: false } } } },
    { name: "route.only", body: { route: { only: ["openai"] } } },
    { name: "max_attempts reached", spec: { policy: { fallback: { max_attempts: 1 } } } },
    { name: "recovery off", spec: { policy: { stream_recovery: "off" } } },
    { name: "recovery off, usage asked for", spec: { policy: { stream_recovery: "off" } }, body: USAGE_WANTED },
    { name: "several choices", spec: { providers: ["openai", "mistral"] }, body: { n: 2 } },
    { name: "total_ms is over", spec: { policy: LONG }, script: SLOW, outcome: "timeout" },
    {
      name: "a line of 9 MB",
      outcome: "invalid_response",
      script: { events: [...IN_PARTS, `data: ${"x".repeat(9_000_000)}`], gapMs: 5, end: "stall" },
    },
    { name: "a part of a tool call was sent", script: { ...CUT, events: [...IN_PARTS, CALL_BEGUN] }, hasCall: true },
    { name: "something was sent that is no text", script: { ...CUT, events: [...IN_PARTS, PARTS] } },
  ])("$name: an error event, and nobody else is asked", async (each) => {
    const { spec = {}, body = {}, script = CUT, outcome = "network", hasCall } = each;
    const route = await resuming(spec);
    play(route, script, { events: AGAIN });
    const played = await ask(route, body);
    if (hasCall) {
      expect(played).toMatchObject({ text: SENT, isDone: false, error: { code: "stream_interrupted" } });
      expect(played.toolCalls.map(({ name }) => name)).toEqual(["send"]);
    } else if (each.name !== "recovery off, usage asked for") expectInterrupted(played);
    expect(callsOf(route)).toEqual(route.models.map((_, index) => (index === 0 ? 1 : 0)));
    await expectBooks(route, played.response, { status: "error", outcomes: [outcome], winner: 0 });
  });

  test.each<{ name: string; scripts: Script[]; outcomes: string[]; policy?: RouteSpec["policy"] }>([
    {
      name: "all others fail",
      policy: { timeouts: { first_token_ms: 1_500 } },
      scripts: [CUT, vendorError(503), { hang: true }],
      outcomes: ["network", "server_error", "timeout"],
    },
    { name: "all break alike", scripts: [CUT, CUT, CUT], outcomes: ["network", "network", "network"] },
    {
      name: "the next one calls the request invalid",
      scripts: [CUT, vendorError(400)],
      outcomes: ["network", "invalid_request"],
    },
    {
      name: "max_attempts is reached on the way",
      policy: { fallback: { max_attempts: 2 } },
      scripts: [CUT, vendorError(503), { events: AGAIN }],
      outcomes: ["network", "server_error"],
    },
  ])("$name: one error event behind what was sent", async ({ scripts, outcomes, policy = {} }) => {
    const route = await resuming({ providers: THREE, policy });
    play(route, ...scripts);
    const played = await ask(route);
    expectInterrupted(played);
    expect(callsOf(route)).toEqual([0, 1, 2].map((index) => (index < outcomes.length ? 1 : 0)));
    await expectBooks(route, played.response, { status: "error", outcomes, winner: 0 });
  });
});

test("a target whose streams keep breaking is passed over, though every answer was saved", async () => {
  const route = await resuming();
  play(route, CUT, { events: AGAIN });
  const reason = async (): Promise<string | null> => {
    const played = await ask(route);
    expect(played).toMatchObject({ text: TEXT, isDone: true, error: null });
    return played.response.headers.get("x-flowlayer-fallback-reason");
  };
  await expect.poll(reason, { timeout: 5_000, interval: 30 }).toBe("breaker_open");
});

describe.concurrent("across protocols", () => {
  const anthropicEvent = (data: { readonly type: string; readonly [member: string]: unknown }): string =>
    `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
  const anthropic = (pieces: readonly string[]): string[] => [
    anthropicEvent({
      type: "message_start",
      message: { id: "msg_second", role: "assistant", content: [], usage: { input_tokens: 9, output_tokens: 1 } },
    }),
    anthropicEvent({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
    ...pieces.map((text) =>
      anthropicEvent({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }),
    ),
  ];
  const ANTHROPIC_END = [
    anthropicEvent({ type: "content_block_stop", index: 0 }),
    anthropicEvent({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 4 } }),
    anthropicEvent({ type: "message_stop" }),
  ];
  const OVERLOADED = anthropicEvent({ type: "error", error: { type: "overloaded_error", message: "busy" } });
  const google = (text: string, more: object = {}): object => ({
    candidates: [{ content: { parts: [{ text }], role: "model" }, index: 0, ...more }],
    usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 4, totalTokenCount: 13 },
    responseId: "resp-second",
  });
  const GOOGLE = [google("one t"), google("wo three"), google(" four", { finishReason: "STOP" })];
  const GOOGLE_CUT: Script = { events: [google("one "), google("two ")], gapMs: 5, end: "fin" };
  const ANTHROPIC: Script = { events: [...anthropic(["on", "e two three", " four"]), ...ANTHROPIC_END] };
  const ANTHROPIC_CUT: Script = { events: anthropic(["one ", "two "]), gapMs: 5, end: "fin" };
  const ANTHROPIC_FAIL: Script = { events: [...anthropic(["one ", "two "]), OVERLOADED], gapMs: 5 };

  test.each<{ name: string; providers: string[]; scripts: Script[]; outcome?: string }>([
    { name: "anthropic, then openai", providers: ["anthropic", "openai"], scripts: [ANTHROPIC_CUT, { events: AGAIN }] },
    {
      name: "anthropic's own error, then google",
      providers: ["anthropic", "google"],
      scripts: [ANTHROPIC_FAIL, { events: GOOGLE }],
      outcome: "server_error",
    },
    { name: "openai, then anthropic", providers: ["openai", "anthropic"], scripts: [CUT, ANTHROPIC] },
    { name: "openai, then google", providers: ["openai", "google"], scripts: [CUT, { events: GOOGLE }] },
    { name: "google, then anthropic", providers: ["google", "anthropic"], scripts: [GOOGLE_CUT, ANTHROPIC] },
    { name: "google, then openai", providers: ["google", "openai"], scripts: [GOOGLE_CUT, { events: AGAIN }] },
  ])("$name: one complete answer with one id", async ({ providers, scripts, outcome = "network" }) => {
    const route = await resuming({ providers });
    play(route, ...scripts);
    const played = await ask(route, USAGE_WANTED);
    expect(played).toMatchObject({ text: TEXT, finishReason: "stop", isDone: true, error: null, usageEvents: 1 });
    expect(new Set(played.chunks.map((chunk) => chunk.id)).size).toBe(1);
    expect(callsOf(route)).toEqual([1, 1]);
    await expectBooks(route, played.response, { outcomes: [outcome, "ok"], winner: 1 });
  });

  test("anthropic says something else: an error and not a character of it", async () => {
    const route = await resuming({ providers: ["openai", "anthropic"] });
    play(route, CUT, { events: [...anthropic(["one ", "second"]), ...ANTHROPIC_END] });
    const played = await ask(route);
    expectInterrupted(played);
    const outcomes = ["network", "invalid_response"];
    await expectBooks(route, played.response, { status: "error", outcomes, winner: 0 });
  });
});

describe("a client that leaves meanwhile", () => {
  const CATCHING_UP = inPieces(["", "one ", "t"]).slice(0, 3);
  const CLOCKED = { policy: { timeouts: { idle_ms: 3_000, first_token_ms: 3_000 } } };

  /** One trace, `cancelled`, and no second one behind it. */
  async function expectCancelled(route: TestRoute): Promise<Trace> {
    const statuses = async (): Promise<string[]> => (await rig.traces(route)).map((trace) => trace.status);
    await expect.poll(statuses, { timeout: 2_000, interval: 20 }).toEqual(["cancelled"]);
    rig.upstream.scriptFor(route.models[2]!, { json: completion() });
    await rig.trace(route, await rig.ask(route, { route: { only: ["mistral"] } }));
    const traces = await rig.traces(route);
    expect(traces.map(({ status }) => status)).toEqual(["ok", "cancelled"]);
    return traces[1]!;
  }

  test.each<{ name: string; script: Script; leave: (client: RawClient) => void }>([
    {
      name: "by RST before the second one's first token",
      script: { hang: true },
      leave: (client) => client.reset(),
    },
    {
      name: "by RST while the second one has not caught up",
      script: { events: CATCHING_UP, end: "stall" },
      leave: (client) => client.reset(),
    },
    {
      name: "by FIN before the second one goes on",
      script: { events: [...CATCHING_UP, ...Array<string>(300).fill(THREE_WORD.replace("three", "wo x"))], gapMs: 20 },
      leave: (client) => client.close(),
    },
  ])("$name: both calls are over, and it is settled once", async ({ script, leave }) => {
    const route = await resuming({ providers: THREE, ...CLOCKED });
    play(route, CUT, script);
    const client = await send(route);
    await expect.poll(() => callsOf(route)[1], { timeout: 3_000, interval: 5 }).toBe(1);
    expect(client.received()).toContain("two ");
    leave(client);
    await expect
      .poll(() => rig.upstream.callsTo(route.models[1]!)[0]?.closedBy, { timeout: 1_500, interval: 5 })
      .toBe("router");
    expect(callsOf(route)).toEqual([1, 1, 0]);
    const trace = await expectCancelled(route);
    expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(["network", "cancelled"]);
    expect(trace).toMatchObject({ http_status: 200, fallback: true });
    const costs = trace.attempts.map(({ cost_usd }) => cost_usd ?? Number.NaN);
    for (const cost of costs) expect(cost).toBeGreaterThan(0);
    expect(trace.cost_usd).toBeCloseTo(
      costs.reduce((sum, cost) => sum + cost),
      9,
    );
  });
});

async function send(route: TestRoute): Promise<RawClient> {
  const client = await connectRaw(rig.worker.url);
  const body = JSON.stringify(chatBody(route, { stream: true }));
  client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), body));
  return client;
}

describe.concurrent("where tool calls need approval", () => {
  const GATED: RouteSpec = { policy: { tools: { require_approval: true, wait_ms: 0 } } };
  const toolCalls = [{ id: "call_1", name: "send_money", arguments: '{"to":"mallory"}' }];
  const expectNothingReleased = (raw: string): void => {
    for (const part of ["tool_calls", "mallory", "arguments", "function_call"]) expect(raw).not.toContain(part);
  };
  const CALLING = chunks(SENT, { toolCalls });
  const CUT_IN_CALL: Script = { events: CALLING.slice(0, 4), gapMs: 5, end: "fin" };
  const WITHHELD = /^one two (?:.|\n)*withheld(?:.|\n)*`send_money`/;

  test.each<{ name: string; first: Script; text: RegExp; tools: string[] }>([
    { name: "cut before its call", first: CUT, text: WITHHELD, tools: ["send_money"] },
    { name: "cut in its call", first: CUT_IN_CALL, text: WITHHELD, tools: ["send_money"] },
  ])("a stream $name goes on, and no call leaks", async ({ first, text, tools }) => {
    const route = await resuming(GATED);
    play(route, first, { events: chunks(SENT, { id: "chatcmpl-second", toolCalls }), sliceBytes: 61 });
    const played = await ask(route);
    expectNothingReleased(played.raw);
    expect(played).toMatchObject({
      text: expect.stringMatching(text),
      finishReason: "stop",
      toolCalls: [],
      isDone: true,
      error: null,
    });
    const trace = await expectBooks(route, played.response, { outcomes: ["network", "ok"], winner: 1 });
    expect(trace.tool_calls).toEqual(tools);
  });

  test("a call that comes before the text is said again is not released either", async () => {
    const route = await resuming(GATED);
    play(route, CUT_IN_CALL, { events: chunks("one ", { id: "chatcmpl-second", toolCalls }) });
    const played = await ask(route);
    expectNothingReleased(played.raw);
    expectInterrupted(played);
  });

  const WITH_CALL = TWO.replace('"content":"two "', `"content":"two ","tool_calls":[{"index":0,"id":"call_1"}]`);
  test.each<{ name: string; first: Script }>([
    { name: "in its call", first: CUT_IN_CALL },
    { name: "behind text and call in one chunk", first: { events: [ROLE, ONE, WITH_CALL], gapMs: 5, end: "fin" } },
  ])("a stream cut $name goes on with one that calls nothing", async ({ first }) => {
    const route = await resuming(GATED);
    play(route, first, { events: AGAIN });
    const played = await ask(route);
    expectNothingReleased(played.raw);
    expectWhole(played);
    expect(played.raw).not.toContain("withheld");
    const trace = await expectBooks(route, played.response, { outcomes: ["network", "ok"], winner: 1 });
    expect(trace.tool_calls).toEqual([]);
  });
});
