/**
 * Answers as providers write them, replayed through the Worker as that provider: whole, in small slices and cut at
 * random places, with and without usage asked for. The project's own are written by hand; recorded ones are replayed
 * too where they lie beside the checkout.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProvider } from "../../src/providers/index.ts";
import type { Trace } from "../../src/traces/schema.ts";
import { askedInChat } from "../../src/wires/asked.ts";
import { type ChatRig, type ErrorBody, startChatRig, type TestRoute } from "../support/chat.ts";
import {
  type Answer,
  allFixtures,
  bytesOf,
  cutAtRandom,
  cutsAtEveryPlace,
  type Expected,
  type Fixture,
  isStream,
  isTranslated,
  named,
  streamedAnswer,
  wholeAnswer,
} from "../support/fixtures.ts";
import { randomFrom } from "../support/random.ts";
import { collect, eventData, textOf } from "../support/sse.ts";
import { IS_SOAK } from "../support/tries.ts";
import type { Call, Script } from "../support/upstream.ts";

const FIXTURES = allFixtures();
const STREAMS = FIXTURES.filter(isStream);
/** In slices of a few bytes only up to here: each is a write of its own. */
const SMALL_BYTES = 2_500;
/** Each slice is a write of its own; how a reader takes every cut is tested without a socket, byte by byte. */
const SLICE_BYTES = IS_SOAK ? 5 : 37;
/** Between the cuts of one stream, where every place is cut in one of them; in a soak each has one cut. */
const STRIDE_BYTES = 61;
/** Streams that are under way together where every place of a stream is cut. */
const AT_ONCE = 8;

let rig: ChatRig;
/** What calls for a model get, in turn; the last entry stays. Models are in the path of some providers. */
const scripts = new Map<string, Script[]>();
const callsOf = new Map<string, number>();

beforeAll(async () => {
  rig = await startChatRig({ CLOUDFLARE_ACCOUNT_ID: "account" });
  await rig.prepareForMany();
  rig.upstream.script((call: Call) => {
    const model = /chat-\d+-model-\d+/.exec(call.path + call.body)?.[0] ?? "";
    callsOf.set(model, (callsOf.get(model) ?? 0) + 1);
    const list = scripts.get(model) ?? [];
    return (list.length > 1 ? list.shift() : list[0]) ?? { status: 500 };
  });
});
afterAll(() => rig.stop());

/** A route of one target: the provider itself. */
async function routeTo({ provider }: Fixture): Promise<{ route: TestRoute; model: string }> {
  // Patient: hundreds of streams share one machine, and no clock is under test here.
  const timeouts = { first_token_ms: 20_000, idle_ms: 20_000, total_ms: 30_000 };
  const policy = { retry: { same_target: 0 }, timeouts };
  const route = await rig.route({ providers: [provider], policy });
  return { route, model: route.models[0]! };
}

/** The fixture's head, with a body or events. */
function scriptOf(fixture: Fixture, content: Script): Script {
  const headers = Object.fromEntries(Object.entries(fixture.headers).filter(([, value]) => value !== ""));
  return { ...content, status: fixture.status, headers };
}

async function ask(route: TestRoute, fixture: Fixture, body: object): Promise<{ response: Response; text: string }> {
  const response = await rig.ask(route, { ...fixture.request, ...body });
  return { response, text: await textOf(response) };
}

function expectAnswer(answer: Answer, wanted: Expected): void {
  const checks: [unknown, unknown][] = [
    [answer.text, wanted.text],
    [answer.reasoning, wanted.reasoning_text],
    [answer.refusal, wanted.refusal],
    [answer.choicesText, wanted.choices_text],
    [answer.finishReason, wanted.finish_reason],
    [answer.customCalls.map(({ name, input }) => ({ name, input })), wanted.custom_tool_calls],
  ];
  for (const [got, want] of checks) if (want !== undefined) expect(got).toEqual(want);
  if (wanted.finish_reason_any !== undefined) expect(wanted.finish_reason_any).toContain(answer.finishReason);
  // A plan is kept as reasoning or under its own name, never in the text.
  if (wanted.tool_plan !== undefined) expect([answer.reasoning, answer.toolPlan]).toContain(wanted.tool_plan);
  if (wanted.function_call !== undefined) {
    const { name, arguments_json } = wanted.function_call;
    expect(answer.functionCall?.name).toBe(name);
    expect(JSON.parse(answer.functionCall?.arguments ?? "")).toEqual(JSON.parse(arguments_json));
  }
  if (wanted.tool_calls !== undefined) expectCalls(answer, wanted.tool_calls);
}

function expectCalls({ toolCalls }: Answer, wanted: NonNullable<Expected["tool_calls"]>): void {
  expect(toolCalls.map(({ name }) => name)).toEqual(wanted.map(({ name }) => name));
  for (const [at, { id, arguments_json, arguments_valid_json = true }] of wanted.entries()) {
    const call = toolCalls[at]!;
    if (id === undefined) expect(call.id).not.toBe("");
    else expect(call.id).toBe(id);
    if (arguments_valid_json) expect(JSON.parse(call.arguments)).toEqual(JSON.parse(arguments_json));
    else expect(call.arguments).toBe(arguments_json);
  }
  expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(toolCalls.length);
}

const COUNTS = [
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "reasoning_tokens",
] as const;

function expectUsage({ usage }: Trace, wanted: Expected): void {
  if (wanted.prompt_tokens !== undefined) expect(usage.source).toBe("upstream");
  for (const name of COUNTS) {
    const want = wanted[name];
    if (want === undefined) continue;
    expect([want, ...(wanted[`${name}_alt`] ?? [])], name).toContain(usage[name]);
  }
}

/** The same of a usage object as the client reads it. */
function expectWireUsage(usage: unknown, wanted: Expected): void {
  const { prompt_tokens_details: prompt, completion_tokens_details: completion, ...totals } = usage as WireUsage;
  const { prompt_tokens, completion_tokens, total_tokens } = totals;
  const found = { prompt_tokens, completion_tokens, ...prompt, ...completion };
  for (const name of COUNTS) {
    const want = wanted[name];
    if (want !== undefined) expect([want, ...(wanted[`${name}_alt`] ?? [])], name).toContain(found[name] ?? 0);
  }
  expect(total_tokens).toBe(prompt_tokens + completion_tokens);
}

const CONTEXT = { asked: askedInChat({}), model: "m", traceId: "tr_1", createdAt: 0 };

/** Providers of OpenAI's wire whose whole answers here need no mending. */
const isUntouched = (id: string): boolean =>
  findProvider(id)?.adapter.translation?.openFrames !== undefined && !["azure", "workers-ai"].includes(id);

interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number; readonly cache_write_tokens?: number };
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number };
}

test("there is something to replay, of every kind", () => {
  const own = FIXTURES.filter(({ isOwn }) => isOwn);
  for (const [kind, atLeast] of [
    ["json", 2],
    ["error", 6],
    ["sse", 10],
  ] as const) {
    expect(own.filter((fixture) => fixture.kind === kind).length, kind).toBeGreaterThanOrEqual(atLeast);
  }
});

/** All that a client reads, without what differs from call to call. */
const eventsIn = (text: string): string =>
  eventData(text.replace(/tr_[0-9A-Za-z]{32}/g, "tr_").replace(/"created":\d+/g, '"created":0')).join("\n");

/** An error before the first word is an error for the client, not a stream. */
const failsBeforeContent = ({ expect: { error, text, reasoning_text, tool_calls } }: Fixture): boolean =>
  error !== undefined && !text && !reasoning_text && tool_calls === undefined;

describe("streams", () => {
  const MODES = [
    { mode: "with usage", body: { stream: true, stream_options: { include_usage: true } } },
    { mode: "without usage", body: { stream: true } },
  ] as const;
  const cases = named(STREAMS).flatMap((each) => MODES.map((mode) => ({ ...each, ...mode })));

  test.concurrent.each(cases)(
    "$name, $mode: however it is cut, the client gets the provider's answer",
    async (each) => {
      const { fixture, body, mode } = each;
      const bytes = bytesOf(fixture);
      const { route, model } = await routeTo(fixture);
      const slices: Script =
        bytes.length <= SMALL_BYTES
          ? { events: [bytes], sliceBytes: SLICE_BYTES }
          : { events: cutAtRandom(bytes, randomFrom(2026)) };
      const pieces: Script = { events: cutAtRandom(bytes, randomFrom(7)) };
      const cuts: Script[] =
        mode === "with usage" ? [{ events: [bytes] }, pieces] : [{ events: [bytes] }, pieces, slices];
      scripts.set(
        model,
        cuts.map((cut) => scriptOf(fixture, cut)),
      );
      const answers = await Promise.all(cuts.map(() => ask(route, fixture, body)));
      expect(callsOf.get(model)).toBe(answers.length);
      const traces = await Promise.all(answers.map(({ response }) => rig.trace(route, response)));
      for (const [index, { response, text }] of answers.entries()) {
        const trace = traces[index]!;
        if (failsBeforeContent(fixture)) expectRefusal(fixture, model, response, text, trace);
        else expectStream(fixture, mode === "with usage", response, text, trace);
      }
      const texts = answers.map(({ text }) => text);
      if (!failsBeforeContent(fixture)) expect(new Set(texts.map(eventsIn)).size).toBe(1);
      if (
        mode === "with usage" &&
        findProvider(fixture.provider)?.adapter.translation?.passesNatively?.(CONTEXT) === true
      )
        expect(texts[0]!.startsWith(bytes.toString("utf8"))).toBe(true);
    },
  );

  // In a normal run the smallest stream of each protocol, so that every state of its reader meets the end of a read; in
  // a soak run every small one.
  const whole = STREAMS.filter(({ expect: { error } }) => error === undefined).toSorted(
    (left, right) => bytesOf(left).length - bytesOf(right).length,
  );
  const smallest = Map.groupBy(whole, (fixture) => (isTranslated(fixture) ? fixture.provider : ""));
  const cutEverywhere = IS_SOAK
    ? whole.filter((fixture) => bytesOf(fixture).length <= SMALL_BYTES)
    : [...smallest.values()].flatMap((ofProtocol) => ofProtocol.slice(0, 1));
  test.each(named(cutEverywhere))("$name: a cut at any byte changes nothing", async ({ fixture }) => {
    const bytes = bytesOf(fixture);
    const { route, model } = await routeTo(fixture);
    const cuts = cutsAtEveryPlace(bytes, IS_SOAK ? bytes.length : STRIDE_BYTES);
    const wanted = cuts.length;
    scripts.set(
      model,
      cuts.map((events) => scriptOf(fixture, { events })),
    );
    const texts = new Map<string, string>();
    let asked = 0;
    const client = async (): Promise<void> => {
      while (asked++ < wanted) {
        const { text } = await ask(route, fixture, { stream: true });
        texts.set(eventsIn(text), text);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    expect(callsOf.get(model)).toBe(wanted);
    expect(texts.size).toBe(1);
    expectAnswer(streamedAnswer([...texts.values()].join("")), fixture.expect);
  });
});

/** A stream that began, and ended or broke as the fixture says. */
function expectStream(fixture: Fixture, withUsage: boolean, response: Response, text: string, trace: Trace): void {
  expect(response.status, text.slice(0, 300)).toBe(200);
  const answer = streamedAnswer(text);
  const end = collect(text);
  const isNative = withUsage && !isTranslated(fixture);
  if (fixture.expect.error !== undefined) {
    // A finish before the error was never a normal end, so it is not asserted.
    const { finish_reason: _reason, finish_reason_any: _any, ...beforeError } = fixture.expect;
    expectAnswer(answer, beforeError);
    expect(end.error).not.toBeNull();
    expect(trace).toMatchObject({ status: "error", error_code: "stream_interrupted" });
    if (!isNative) expect(end).toMatchObject({ isDone: false, error: { code: "stream_interrupted" } });
    return;
  }
  expectAnswer(answer, fixture.expect);
  expect(end).toMatchObject({ isDone: true, error: null });
  expect(trace).toMatchObject({ status: "ok" });
  expectUsage(trace, fixture.expect);
  if (!withUsage) expect(end.usageEvents).toBe(0);
  if (isTranslated(fixture)) expectChunks(text, withUsage, fixture.expect);
}

/** What a translated stream owes to the SDKs beyond its words. */
function expectChunks(text: string, withUsage: boolean, wanted: Expected): void {
  const chunks = eventData(text)
    .slice(0, -1)
    .map(
      (data) => JSON.parse(data) as { id: string; object: string; model: string; choices: object[]; usage?: object },
    );
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(new Set(chunks.map(({ object }) => object))).toEqual(new Set(["chat.completion.chunk"]));
  expect(chunks[0]?.choices[0]).toMatchObject({ delta: { role: "assistant" } });
  for (const { model } of chunks) expect(model).not.toBe("");
  const last = chunks.at(-1);
  if (!withUsage || wanted.prompt_tokens === undefined) return;
  expect(last?.choices).toEqual([]);
  expectWireUsage(last?.usage, wanted);
}

interface WholeBody {
  readonly choices: readonly object[];
  readonly usage: object;
  readonly flow: object;
}

test.concurrent.each(named(FIXTURES.filter(({ kind }) => kind === "json")))(
  "$name: a whole answer is the vendor's, with usage and flow",
  async ({ fixture }) => {
    const { route, model } = await routeTo(fixture);
    scripts.set(model, [scriptOf(fixture, { body: bytesOf(fixture) })]);
    const { response, text } = await ask(route, fixture, {});
    const trace = await rig.trace(route, response);
    if (fixture.expect.error !== undefined) {
      expectRefusal(fixture, model, response, text, trace);
      return;
    }
    expect(response.status, text.slice(0, 300)).toBe(200);
    const { flow, usage, ...rest } = JSON.parse(text) as WholeBody;
    expectAnswer(wholeAnswer(rest), fixture.expect);
    if (isUntouched(fixture.provider)) {
      const { usage: _usage, ...vendor } = JSON.parse(bytesOf(fixture).toString("utf8")) as WholeBody;
      expect(rest).toEqual(vendor);
    } else expectWireUsage(usage, fixture.expect);
    expect(usage).toMatchObject({ prompt_tokens: expect.any(Number), completion_tokens: expect.any(Number) });
    expect(flow).toMatchObject({ trace_id: response.headers.get("x-request-id"), provider: fixture.provider });
    expectUsage(trace, fixture.expect);
  },
);

/** What the client is told, by why the only attempt failed. */
const TOLD: Readonly<Record<string, { readonly status: number; readonly code: string }>> = {
  rate_limited: { status: 429, code: "upstream_rate_limited" },
  invalid_request: { status: 400, code: "upstream_invalid_request" },
  capability: { status: 400, code: "upstream_invalid_request" },
  context_length: { status: 400, code: "context_length_exceeded" },
  content_filter: { status: 400, code: "content_filter" },
  timeout: { status: 504, code: "upstream_timeout" },
};

/** What a provider's error may be, by its status and own words; our account's faults are not the client's. */
function possibleOutcomes({ status, headers, isOwn, expect: { error } }: Fixture): readonly string[] {
  const told = [error?.code, error?.type, headers["x-amzn-errortype"], error?.message].join(" ").toLowerCase();
  if (/content_filter|contentfilter/.test(told)) return ["content_filter"];
  if (status === 401 || status === 402 || /api.?key|unauthenticated/.test(told)) return ["auth"];
  if (/quota|balance|billing|credit/.test(told) && !/retry in/.test(told)) return ["auth", "rate_limited"];
  // A spent allowance may wear this status too; which one it is, the adapter's own table of errors says.
  if (status === 429 && isOwn) return ["rate_limited", "auth"];
  if (status === 429 || /throttl|rate.?limit/.test(told)) return ["rate_limited"];
  if (status >= 500 || status === 408 || status === 409) return ["server_error", "timeout", "rate_limited"];
  if (/context|too long|maximum.*tokens|tokens.*maximum/.test(told)) return ["context_length", "invalid_request"];
  if (/guardrail|safety|blocked|policy/.test(told)) return ["content_filter", "invalid_request"];
  if (status === 403) return ["auth", "content_filter"];
  if (status === 404 || /model/.test(told))
    return ["auth", "invalid_request", "capability", "invalid_response", "server_error"];
  if (status >= 400) return ["invalid_request", "capability", "context_length", "auth"];
  return ["server_error", "invalid_request", "rate_limited", "timeout", "context_length", "invalid_response", "auth"];
}

function expectRefusal(fixture: Fixture, model: string, response: Response, text: string, trace: Trace): void {
  const { error } = JSON.parse(text) as ErrorBody;
  expect(trace.status).toBe("error");
  // A member that the refusal names is left out once, and the same target asked again.
  expect([1, 2]).toContain(trace.attempts.length);
  const { outcome, status: upstreamStatus } = trace.attempts[0]!;
  expect(possibleOutcomes(fixture)).toContain(outcome);
  expect(upstreamStatus).toBe(fixture.status);
  const told = TOLD[outcome] ?? { status: 502, code: "upstream_failed" };
  expect({ status: response.status, code: error.code }).toEqual(told);
  const log = response.headers.get("x-flowlayer-attempt-log")?.replace(/;\d+ms/g, "");
  const entry = `${fixture.provider}/${model};${outcome};${fixture.status}`;
  expect(log).toBe(trace.attempts.map(() => entry).join(", "));
  // Only what the provider itself has given a time for, and nobody has waited for.
  const { retry_after_s: named } = fixture.expect;
  const mayRetry = outcome === "rate_limited" ? (named === undefined ? ["true", "false"] : ["true"]) : ["false"];
  expect(mayRetry).toContain(response.headers.get("x-should-retry"));
  expectDelay(fixture.expect, outcome, response.headers.get("retry-after"));
  // The provider's words on the client's own fault help the client, and nothing else of a provider's error does.
  const words = fixture.expect.error?.message;
  if (outcome === "invalid_request" && words !== undefined) expect(error.message.slice(0, 30)).toBe(words.slice(0, 30));
  if (told.status >= 429 && words !== undefined) expect(error.message).not.toContain(words);
}

/** Whole seconds from 1 to 60, and the provider's own where it named some. */
function expectDelay(
  { retry_after_s, retry_after_s_any = [] }: Expected,
  outcome: string,
  header: string | null,
): void {
  if (outcome !== "rate_limited") {
    expect(header).toBeNull();
    return;
  }
  expect(header).toMatch(/^([1-9]|[1-5]\d|60)$/);
  if (retry_after_s === undefined) return;
  const wanted = [retry_after_s, ...retry_after_s_any].map((seconds) => Math.min(60, Math.max(1, Math.ceil(seconds))));
  expect(wanted).toContain(Number(header));
}

test.concurrent.each(named(FIXTURES.filter(({ kind }) => kind === "error")))(
  "$name: an error reaches the client as what it is",
  async ({ fixture }) => {
    for (const body of [{}, { stream: true }]) {
      // A target that was told to wait would be asked all the same, but a fresh one says so more plainly.
      const { route, model } = await routeTo(fixture);
      scripts.set(model, [scriptOf(fixture, { body: bytesOf(fixture) })]);
      const { response, text } = await ask(route, fixture, body);
      // A member that the refusal names is left out once, and the same target asked again.
      expect([1, 2]).toContain(callsOf.get(model));
      expectRefusal(fixture, model, response, text, await rig.trace(route, response));
    }
  },
);
