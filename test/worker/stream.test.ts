/** A streamed answer on its way to the client: which bytes arrive, in which framing, and what is held back until when. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig } from "../support/chat.ts";
import { cutsAtEveryPlace } from "../support/fixtures.ts";
import { collect, eventData } from "../support/sse.ts";
import { chunks } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const WITH_USAGE = { stream: true, stream_options: { include_usage: true } };
const WITHOUT_USAGE = { stream: true };
/** Both ways through the router: bytes that move natively, and events that are forwarded by hand. */
const MODES = [
  { mode: "native", body: WITH_USAGE },
  { mode: "pump", body: WITHOUT_USAGE },
] as const;
const PUMPED = [
  { mode: "nobody asked for usage", body: WITHOUT_USAGE, hasUsage: false },
  { mode: "several choices", body: { ...WITH_USAGE, n: 2 }, hasUsage: true },
  { mode: "a gated route", body: { ...WITH_USAGE, route: { require_tool_approval: true } }, hasUsage: true },
] as const;

const TEXT = 'Grüße, 世界 \u{1F30D}! It\'s "quoted" and {braced}: data: [DONE] ';
const EVENTS = chunks(TEXT);
const isUsageOnly = (event: string): boolean => event.includes('"choices":[]');
const withoutUsage = EVENTS.filter((event) => !isUsageOnly(event)).join("");

async function streamed(body: object, script: object): Promise<{ response: Response; text: string }> {
  const route = await rig.route();
  rig.upstream.scriptFor(route.models[0]!, script);
  const response = await rig.ask(route, body);
  expect(response.status).toBe(200);
  // `text()` would swallow a byte order mark.
  const text = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(await response.arrayBuffer());
  expect(rig.calls(route)).toEqual([1, 0]);
  return { response, text };
}

describe("bytes", () => {
  test("a client that asked for usage gets exactly the upstream's bytes", async () => {
    expect((await streamed(WITH_USAGE, { events: EVENTS })).text).toBe(EVENTS.join(""));
  });

  test.each(PUMPED)("forwarded by hand ($mode), every event arrives as it came", async ({ body, hasUsage }) => {
    expect((await streamed(body, { events: EVENTS })).text).toBe(hasUsage ? EVENTS.join("") : withoutUsage);
  });

  test.each(MODES)("$mode: the answer survives a cut of its bytes at every offset", async ({ body }) => {
    const bytes = Buffer.from(chunks("é \u{1F30D}").join(""));
    const wanted =
      body === WITH_USAGE
        ? bytes.toString()
        : chunks("é \u{1F30D}")
            .filter((e) => !isUsageOnly(e))
            .join("");
    const cuts = cutsAtEveryPlace(bytes, 61);
    const route = await rig.route();
    rig.upstream.scriptFor(
      route.models[0]!,
      cuts.map((events) => ({ events, gapMs: 1 })),
    );
    const ask = async (): Promise<string> => (await rig.ask(route, body)).text();
    const results = await Promise.all(cuts.map(ask));
    expect(results).toHaveLength(61);
    expect(new Set(results)).toEqual(new Set([wanted]));
  });

  test.each(MODES)("$mode: one byte at a time changes nothing", async ({ body }) => {
    const { text } = await streamed(body, { events: EVENTS, sliceBytes: 1 });
    expect(text).toBe(body === WITH_USAGE ? EVENTS.join("") : withoutUsage);
  });

  test.each(MODES)("$mode: 2,000 events of 1 KB arrive whole and in order", async ({ body }) => {
    const words = Array.from({ length: 2_000 }, (_, index) => `${index}${"x".repeat(1_000)}`);
    const { text } = await streamed(body, { events: chunks(words.join(" ")) });
    expect(collect(text)).toMatchObject({ text: words.join(" "), finishReason: "stop", isDone: true, error: null });
  });
});

describe("framing", () => {
  const json = EVENTS.map((event) => event.slice("data: ".length, -2));
  const framed = (lineEnd: string): string => json.map((data) => `data: ${data}${lineEnd}${lineEnd}`).join("");
  const withoutBreaks = (data: string): string => data.replace(/\n/g, "");
  const finish = json.findIndex((data) => data.includes('"stop"'));
  const FRAMINGS: { name: string; bytes: string }[] = [
    { name: "CRLF", bytes: framed("\r\n") },
    { name: "CR alone", bytes: framed("\r") },
    { name: "LF", bytes: framed("\n") },
    { name: "no space after the colon", bytes: json.map((data) => `data:${data}\n\n`).join("") },
    { name: "a byte order mark", bytes: `\uFEFF${framed("\n")}` },
    {
      name: "comments between and inside events",
      bytes: json.map((data) => `: hi\n\n: in\ndata: ${data}\n\n`).join(""),
    },
    {
      name: "other fields",
      bytes: json.map((data, id) => `id: ${id}\nevent: message\nretry: 9\ndata: ${data}\n\n`).join(""),
    },
    {
      name: "data over several lines",
      bytes: json.map((data) => `data: ${data.replace(/,"/g, ',\ndata: "')}\n\n`).join(""),
    },
    { name: "many blank lines", bytes: json.map((data) => `\n\n\ndata: ${data}\n\n\n\n`).join("") },
    { name: "no empty line behind [DONE]", bytes: framed("\n").trimEnd() },
  ];

  const CASES = FRAMINGS.flatMap((framing) => MODES.map((mode) => ({ ...framing, ...mode })));
  test.each(CASES)("$mode: $name gives the same answer", async ({ bytes, body, mode }) => {
    for (const sliceBytes of [undefined, 7]) {
      const { text } = await streamed(body, { events: [bytes], ...(sliceBytes === undefined ? {} : { sliceBytes }) });
      if (mode === "native") expect(text).toBe(bytes);
      const wanted = json.filter((data) => mode === "native" || !isUsageOnly(data));
      // The terminator of a native stream stays as its provider left it: with no empty line it is no event.
      const ended = eventData(mode === "native" ? `${text}\n\n` : text);
      expect(ended.map(withoutBreaks)).toEqual(wanted);
    }
  });

  test.each(MODES)("$mode: a missing [DONE] is appended", async ({ body }) => {
    const { text } = await streamed(body, { events: chunks("one two", { done: false }) });
    expect(text.endsWith("}\n\ndata: [DONE]\n\n")).toBe(true);
    expect(collect(text)).toMatchObject({ text: "one two", finishReason: "stop", isDone: true, error: null });
  });

  test.each([
    ...MODES.map((mode) => ({ ...mode, lineEnd: "\n", lacks: "empty line" })),
    ...MODES.map((mode) => ({ ...mode, lineEnd: "", lacks: "line end" })),
  ])("$mode: a last event without its $lacks is complete, and [DONE] follows", async ({ body, lineEnd }) => {
    const { text } = await streamed(body, {
      events: json
        .slice(0, finish)
        .map((data) => `data: ${data}\n\n`)
        .concat(`data: ${json[finish]}${lineEnd}`),
    });
    expect(collect(text)).toMatchObject({ text: TEXT, finishReason: "stop", isDone: true, error: null });
  });

  test("what follows [DONE] is not part of the answer", async () => {
    const { text } = await streamed(WITHOUT_USAGE, { events: [...EVENTS, ...chunks("more"), "data: [DONE]\n\n"] });
    expect(text).toBe(withoutUsage);
  });

  test("a second [DONE] harms nobody", async () => {
    const { text } = await streamed(WITH_USAGE, { events: [...EVENTS, "data: [DONE]\n\n"] });
    expect(collect(text)).toMatchObject({ text: TEXT, isDone: true, error: null });
  });

  test.each([
    { name: "half an object", event: 'data: {"choices":[{"del\n\n' },
    { name: "no JSON at all", event: "data: <html>\n\n" },
    { name: "a list", event: "data: [1,2]\n\n" },
  ])("forwarded by hand, a malformed event ($name) is dropped and the rest arrives", async ({ event }) => {
    const { text } = await streamed(WITHOUT_USAGE, { events: [...EVENTS.slice(0, 3), event, ...EVENTS.slice(3)] });
    expect(text).toBe(withoutUsage);
  });
});

describe("before the first content", () => {
  const [role = "", ...content] = chunks("hello");
  const EMPTY_FINISH = role.replace('"finish_reason":null', '"finish_reason":""');
  const PROMPT_FILTER = 'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n';
  test.each(
    MODES.flatMap((mode) => [
      { ...mode, name: "the role", held: [role] },
      { ...mode, name: "comments", held: [": OPENROUTER PROCESSING\n\n", ": ping\n\n"] },
      { ...mode, name: "an empty finish reason", held: [EMPTY_FINISH] },
      { ...mode, name: "a filter result", held: [PROMPT_FILTER] },
    ]),
  )("$mode: $name does not commit the answer: a cut behind it falls back unseen", async ({ body, held }) => {
    const route = await rig.route({ policy: { retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[0]!, { events: held, end: "fin", gapMs: 5 });
    rig.upstream.scriptFor(route.models[1]!, { events: chunks("second") });
    const response = await rig.ask(route, body);
    const text = await response.text();
    expect(collect(text)).toMatchObject({ text: "second", isDone: true, error: null });
    expect(text).not.toContain("OPENROUTER");
    expect(rig.calls(route)).toEqual([1, 1]);
    expect(response.headers.get("x-flowlayer-fallback")).toBe("true");
  });

  test.each(MODES)("$mode: what was held is sent with the first content", async ({ body }) => {
    const events = [": processing\n\n", role, ...content];
    const { text } = await streamed(body, { events, gapMs: 5 });
    expect(text).toBe(events.filter((event) => body === WITH_USAGE || !isUsageOnly(event)).join(""));
  });

  test.each(MODES)(
    "$mode: the head waits for the first content, and content does not wait for the end",
    async ({ body }) => {
      const route = await rig.route();
      rig.upstream.scriptFor(route.models[0]!, {
        events: [role, content[0]!],
        firstEventMs: 30,
        gapMs: 60,
        end: "stall",
      });
      const response = await rig.ask(route, body);
      const { value } = await response.body!.getReader().read();
      expect(new TextDecoder().decode(value)).toContain("hello");
      expect(Number(response.headers.get("x-flowlayer-latency-ms"))).toBeGreaterThanOrEqual(80);
    },
  );

  test.each(MODES)("$mode: endless comments are no answer, and the next target is asked", async ({ body }) => {
    const route = await rig.route({ policy: { timeouts: { first_token_ms: 300 } } });
    rig.upstream.scriptFor(route.models[0]!, { events: Array(400).fill(": ping\n\n"), gapMs: 5 });
    rig.upstream.scriptFor(route.models[1]!, { events: chunks("second") });
    const response = await rig.ask(route, body);
    expect(collect(await response.text()).text).toBe("second");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("timeout");
    expect(rig.calls(route)).toEqual([1, 1]);
    await expect.poll(() => rig.upstream.callsTo(route.models[0]!)[0]?.closedBy).toBe("router");
  });

  test.each(
    MODES.flatMap((mode) => [
      { ...mode, name: "2 MB of comments", events: Array(2_000).fill(`: ${"x".repeat(1_000)}\n\n`) as string[] },
      { ...mode, name: "one line of 9 MB", events: [`data: ${"x".repeat(9_000_000)}`] },
    ]),
  )("$mode: $name before any content is given up", async ({ body, events }) => {
    const route = await rig.route();
    rig.upstream.scriptFor(route.models[0]!, { events, end: "stall" });
    rig.upstream.scriptFor(route.models[1]!, { events: chunks("second") });
    const response = await rig.ask(route, body);
    expect(collect(await response.text()).text).toBe("second");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("invalid_response");
  });
});

test.each(MODES)("$mode: the headers of a stream are complete when it begins", async ({ body }) => {
  const route = await rig.route({ policy: { latency: { budget_ms: 5_000 } } });
  rig.upstream.script({
    events: EVENTS,
    headers: { "set-cookie": "a=b", server: "vendor", "x-request-id": "req_vendor", "openai-organization": "org" },
  });
  const response = await rig.ask(route, body, { headers: { "x-flowlayer-app": "studio" } });
  await response.text();
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-request-id": expect.stringMatching(/^tr_[0-9A-Za-z]{32}$/),
    "x-flowlayer-trace-id": response.headers.get("x-request-id"),
    "x-flowlayer-route": route.model,
    "x-flowlayer-route-version": "1",
    "x-flowlayer-app": "studio",
    "x-flowlayer-env": "production",
    "x-flowlayer-provider": "openai",
    "x-flowlayer-model": route.models[0],
    "x-flowlayer-attempts": "1",
    "x-flowlayer-fallback": "false",
    "x-flowlayer-attempt-log": expect.stringMatching(new RegExp(`^openai/${route.models[0]};ok;200;\\d+ms$`)),
    "x-flowlayer-latency-ms": expect.stringMatching(/^\d+$/),
    "x-flowlayer-latency-budget-ms": "5000",
    "x-flowlayer-latency-budget-met": "true",
    "server-timing": expect.stringMatching(
      /^auth;dur=\d+, policy;dur=\d+, admission;dur=\d+, upstream;dur=\d+, total;dur=\d+$/,
    ),
  });
  for (const absent of ["set-cookie", "openai-organization", "x-flowlayer-cost-usd", "x-flowlayer-fallback-reason"]) {
    expect(response.headers.has(absent)).toBe(false);
  }
  expect(response.headers.get("server")).not.toBe("vendor");
});
