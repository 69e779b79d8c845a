/** Spans as a collector on a real socket gets them, and what clients notice of it: nothing. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Span } from "../../src/traces/otlp.ts";
import { CANARY_SECRET, type ChatRig, startChatRig } from "../support/chat.ts";
import { type Call, chunks, completion, startUpstream, type Upstream } from "../support/upstream.ts";

const COLLECTOR_SECRET = "canary-collector-secret";
/** Gathering, one call, and room for a busy machine. */
const SOON = { timeout: 6_000, interval: 50 };

let collector: Upstream;
let rig: ChatRig;
beforeAll(async () => {
  collector = await startUpstream();
  rig = await startChatRig({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${COLLECTOR_SECRET},x-team=acme`,
  });
});
afterAll(async () => {
  await rig.stop();
  await collector.stop();
});
beforeEach(() => {
  rig.upstream.reset();
  collector.reset();
  collector.script({ json: {} });
});

function spansIn(call: Call): Span[] {
  const body = JSON.parse(call.body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
  return body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

function attribute(span: Span | undefined, name: string): string | number | boolean | undefined {
  const value = span?.attributes.find(({ key }) => key === name)?.value;
  if (value === undefined || "arrayValue" in value) return undefined;
  return Object.values(value)[0];
}

/** The spans of a request, as soon as the collector has them, the request's own first. */
async function spansOf(traceId: string): Promise<Span[]> {
  const find = (): Span[] => {
    const all = collector.calls.flatMap(spansIn);
    const request = all.find((span) => attribute(span, "flowlayer.trace_id") === traceId);
    return request === undefined ? [] : [request, ...all.filter((span) => span.parentSpanId === request.spanId)];
  };
  await expect.poll(() => find().length, { ...SOON, message: `spans of ${traceId}` }).toBeGreaterThan(0);
  return find();
}

const idOf = (response: Response): string => response.headers.get("x-request-id") ?? "";
const PARENT = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
const traceparent = (flags = "01"): RequestInit => ({
  headers: { traceparent: `00-${PARENT.traceId}-${PARENT.spanId}-${flags}` },
});

describe("a collector gets OTLP/JSON", () => {
  test("of an answer: the request under the caller's span, the attempt under the request", async () => {
    const route = await rig.route();
    rig.upstream.scriptFor(route.models[0]!, { json: completion() });
    const response = await rig.ask(route, {}, traceparent());
    expect(response.status).toBe(200);
    await response.text();
    const [request, attempt, ...more] = await spansOf(idOf(response));
    expect(more).toEqual([]);
    expect(request).toMatchObject({
      ...{ traceId: PARENT.traceId, parentSpanId: PARENT.spanId, kind: 2, status: { code: 0 } },
      name: `chat ${route.model}`,
    });
    expect(attempt).toMatchObject({ traceId: PARENT.traceId, parentSpanId: request?.spanId, kind: 3 });
    expect(attempt?.name).toBe(`chat ${route.models[0]}`);
    expect(attribute(request, "flowlayer.key_id")).toBe(route.keyId);
    expect(attribute(attempt, "gen_ai.usage.input_tokens")).toBe("10");
    expect(attribute(attempt, "gen_ai.usage.output_tokens")).toBe("5");
    expect(rig.calls(route)).toEqual([1, 0]);

    const trace = await rig.trace(route, response);
    const startNano = BigInt(Date.parse(trace.created_at)) * 1_000_000n;
    expect(request?.startTimeUnixNano).toBe(String(startNano));
    expect(request?.endTimeUnixNano).toBe(String(startNano + BigInt(trace.latency.total_ms) * 1_000_000n));

    const [call, ...others] = collector.calls;
    expect(others).toEqual([]);
    expect(call).toMatchObject({ method: "POST", path: "/v1/traces" });
    expect(call?.headers).toMatchObject({
      "content-type": "application/json",
      authorization: `Bearer ${COLLECTOR_SECRET}`,
      "x-team": "acme",
    });
  });

  test("of a fallback: one span per attempt, the failed ones as errors", async () => {
    const route = await rig.route();
    rig.upstream.scriptFor(route.models[0]!, { status: 429, json: { error: { message: "slow down" } } });
    rig.upstream.scriptFor(route.models[1]!, { json: completion() });
    const response = await rig.ask(route);
    await response.text();
    const [request, ...attempts] = await spansOf(idOf(response));
    expect(request).not.toHaveProperty("parentSpanId");
    expect(attribute(request, "flowlayer.fallback")).toBe(true);
    expect(attribute(request, "flowlayer.provider")).toBe("groq");
    expect(attempts.map((span) => [attribute(span, "gen_ai.provider.name"), attribute(span, "error.type")])).toEqual([
      ["openai", "rate_limited"],
      ["groq", undefined],
    ]);
    expect(attempts.map(({ traceId, status }) => [traceId, status.code])).toEqual([
      [request?.traceId, 2],
      [request?.traceId, 0],
    ]);
    expect(rig.calls(route)).toEqual([1, 1]);
  });

  test("of a stream, when it has ended", async () => {
    const route = await rig.route();
    rig.upstream.scriptFor(route.models[0]!, { events: chunks("one two three"), gapMs: 20 });
    const response = await rig.ask(route, { stream: true }, traceparent());
    expect(await response.text()).toContain("[DONE]");
    const [request, attempt] = await spansOf(idOf(response));
    expect(request).toMatchObject({ traceId: PARENT.traceId, parentSpanId: PARENT.spanId, status: { code: 0 } });
    expect(attribute(request, "flowlayer.stream")).toBe(true);
    expect(attribute(attempt, "gen_ai.usage.output_tokens")).toBe("5");
    // Five gaps of 20 ms lie between its first event and its last.
    const durationNano = BigInt(attempt?.endTimeUnixNano ?? 0) - BigInt(attempt?.startTimeUnixNano ?? 0);
    expect(durationNano).toBeGreaterThan(80_000_000n);
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test("of a request that failed everywhere", async () => {
    const route = await rig.route();
    for (const model of route.models) rig.upstream.scriptFor(model, { status: 401, json: { error: {} } });
    const response = await rig.ask(route);
    expect(response.status).toBe(502);
    await response.text();
    const [request, ...attempts] = await spansOf(idOf(response));
    expect(request?.status.code).toBe(2);
    expect(attribute(request, "error.type")).toBe("upstream_failed");
    expect(attribute(request, "http.response.status_code")).toBe("502");
    expect(attempts.map((span) => attribute(span, "error.type"))).toEqual(["auth", "auth"]);
    expect(rig.calls(route)).toEqual([1, 1]);
  });

  test("of requests that end together in one call", async () => {
    const route = await rig.route();
    const responses = await Promise.all(Array.from({ length: 8 }, () => rig.ask(route)));
    for (const response of responses) await response.text();
    for (const response of responses) expect(await spansOf(idOf(response))).toHaveLength(2);
    expect(collector.calls.length).toBeLessThanOrEqual(2);
  });
});

describe("the caller's traceparent", () => {
  test("is never an error: a malformed one starts a trace of our own", async () => {
    const route = await rig.route();
    const response = await rig.ask(route, {}, { headers: { traceparent: `00-${PARENT.traceId}-zz-01` } });
    expect(response.status).toBe(200);
    await response.text();
    const [request] = await spansOf(idOf(response));
    expect(request).not.toHaveProperty("parentSpanId");
    expect(request?.traceId).toMatch(/^[\da-f]{32}$/);
    expect(request?.traceId).not.toBe(PARENT.traceId);
  });

  test("that says it is not recorded keeps the request out, and the trace endpoint still has it", async () => {
    const route = await rig.route();
    const unrecorded = await rig.ask(route, {}, traceparent("00"));
    const recorded = await rig.ask(route, {}, traceparent("01"));
    await Promise.all([unrecorded.text(), recorded.text()]);
    await spansOf(idOf(recorded));
    expect(JSON.stringify(collector.calls.map((call) => call.body))).not.toContain(idOf(unrecorded));
    expect((await rig.trace(route, unrecorded)).status).toBe("ok");
  });
});

test("no prompt, argument, tag or credential reaches the collector, and no collector's credential the log", async () => {
  const route = await rig.route();
  const call = { id: "call_canary", name: "send_mail", arguments: '{"to":"canary-argument"}' };
  rig.upstream.scriptFor(route.models[0]!, {
    status: 500,
    json: { error: { message: `canary-vendor ${CANARY_SECRET}` } },
  });
  rig.upstream.scriptFor(route.models[1]!, { json: completion({ text: "canary-answer", toolCalls: [call] }) });
  const response = await rig.ask(
    route,
    {
      messages: [{ role: "user", content: "canary-prompt" }],
      tools: [{ type: "function", function: { name: "send_mail", description: "canary-tool" } }],
      user: "canary-user",
      route: { tags: { ticket: "canary-tag" } },
    },
    { headers: { "x-client-request-id": "canary-request" } },
  );
  expect(response.status).toBe(200);
  await response.text();
  const [request] = await spansOf(idOf(response));
  expect(request?.attributes).toContainEqual({
    key: "flowlayer.tool_calls",
    value: { arrayValue: { values: [{ stringValue: "send_mail" }] } },
  });
  const sent = collector.calls.map(({ path, body }) => path + body).join("\n");
  expect(sent).not.toMatch(/canary/i);
  for (const secret of [route.key, CANARY_SECRET, rig.worker.adminToken]) expect(sent).not.toContain(secret);
  expect(rig.worker.logs()).not.toContain(COLLECTOR_SECRET);
});

describe("a collector that is no help changes nothing for the client", () => {
  test("one that never answers: the answer is there first, and the call is given up", { timeout: 20_000 }, async () => {
    const route = await rig.route();
    collector.script([{ hang: true }, { json: {} }]);
    const response = await rig.ask(route);
    expect(response.status).toBe(200);
    await response.text();
    expect(collector.calls).toEqual([]);
    expect((await rig.trace(route, response)).status).toBe("ok");
    await expect.poll(() => collector.calls.length, { timeout: 12_000, interval: 100 }).toBe(2);
    const [given, taken] = collector.calls;
    expect(given?.closedBy).toBe("router");
    expect((given?.closedAt ?? 0) - (given?.receivedAt ?? 0)).toBeGreaterThan(4_500);
    expect(taken?.body).toBe(given?.body);
    // Meanwhile and afterwards it goes on as before.
    const next = await rig.ask(route);
    await next.text();
    expect(await spansOf(idOf(next))).toHaveLength(2);
  });

  test.each<{ name: string; vars: () => Record<string, string>; reason: string; status?: number; calls: number }>([
    {
      name: "nobody listens",
      vars: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" }),
      reason: "network",
      calls: 0,
    },
    {
      name: "a refusal",
      vars: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/canary-path` }),
      reason: "status",
      status: 401,
      calls: 1,
    },
    {
      name: "a redirect",
      vars: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/canary-moved` }),
      reason: "status",
      status: 302,
      calls: 1,
    },
    {
      name: "http where only https is allowed",
      vars: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, FLOW_ALLOW_PRIVATE_UPSTREAMS: "0" }),
      reason: "endpoint",
      calls: 0,
    },
  ])("$name", async ({ vars, reason, status, calls }) => {
    collector.scriptFor("/canary-path/v1/traces", { status: 401, body: "canary-body" });
    collector.scriptFor("/canary-moved/v1/traces", {
      status: 302,
      headers: { location: `${collector.url}/v1/traces` },
    });
    const headers = { OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${COLLECTOR_SECRET}` };
    const other = await startChatRig({ ...vars(), ...headers });
    try {
      const route = await other.route({ providers: ["sandbox", "sandbox"] });
      const responses = await Promise.all([other.ask(route), other.ask(route, { stream: true })]);
      for (const response of responses) {
        expect(response.status).toBe(200);
        await response.text();
        expect((await other.trace(route, response)).status).toBe("ok");
      }
      const failures = () =>
        other.worker
          .logs()
          .split("\n")
          .filter((line) => line.includes("otlp_export_failed"))
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      await expect.poll(() => failures().length, SOON).toBe(1);
      expect(failures()[0]).toMatchObject({ reason, ...(status === undefined ? {} : { status }), dropped_spans: 0 });
      expect(collector.calls).toHaveLength(calls);
      expect(other.worker.logs()).not.toMatch(/canary/);
    } finally {
      await other.stop();
    }
  });
});
