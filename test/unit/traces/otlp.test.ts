import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseTraceparent,
  SPAN_KIND,
  type Span,
  STATUS_CODE,
  type TraceParent,
  toExportRequest,
  toSpans,
} from "../../../src/traces/otlp.ts";
import { APIS, newTraceId, type Trace, type TraceAttempt } from "../../../src/traces/schema.ts";
import { tries } from "../../support/tries.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";

describe("a traceparent is read as W3C Trace Context has it", () => {
  const named = (sampled: boolean): TraceParent => ({ traceId: TRACE_ID, spanId: SPAN_ID, sampled });

  test.each<{ name: string; header: string | null; parent: TraceParent | null }>([
    { name: "no header", header: null, parent: null },
    { name: "an empty header", header: "", parent: null },
    { name: "a sampled parent", header: `00-${TRACE_ID}-${SPAN_ID}-01`, parent: named(true) },
    { name: "a parent that is not sampled", header: `00-${TRACE_ID}-${SPAN_ID}-00`, parent: named(false) },
    { name: "the level 2 flag of random ids alone", header: `00-${TRACE_ID}-${SPAN_ID}-02`, parent: named(false) },
    { name: "flags we do not know", header: `00-${TRACE_ID}-${SPAN_ID}-ff`, parent: named(true) },
    { name: "a higher version of the same length", header: `cc-${TRACE_ID}-${SPAN_ID}-01`, parent: named(true) },
    { name: "a higher version with more", header: `cc-${TRACE_ID}-${SPAN_ID}-01-what-else`, parent: named(true) },
    { name: "a higher version with more, undivided", header: `cc-${TRACE_ID}-${SPAN_ID}-01.more`, parent: null },
    { name: "version 00 with more", header: `00-${TRACE_ID}-${SPAN_ID}-01-more`, parent: null },
    { name: "version 00 with a dash at its end", header: `00-${TRACE_ID}-${SPAN_ID}-01-`, parent: null },
    { name: "version ff", header: `ff-${TRACE_ID}-${SPAN_ID}-01`, parent: null },
    { name: "a trace id of zeros", header: `00-${"0".repeat(32)}-${SPAN_ID}-01`, parent: null },
    { name: "a span id of zeros", header: `00-${TRACE_ID}-${"0".repeat(16)}-01`, parent: null },
    { name: "capitals", header: `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`, parent: null },
    { name: "a short trace id", header: `00-${TRACE_ID.slice(1)}-${SPAN_ID}-01`, parent: null },
    { name: "a long span id", header: `00-${TRACE_ID}-${SPAN_ID}0-01`, parent: null },
    { name: "no flags", header: `00-${TRACE_ID}-${SPAN_ID}`, parent: null },
    { name: "a letter beyond hex", header: `00-${TRACE_ID}-${SPAN_ID}-0g`, parent: null },
    { name: "two headers merged", header: `00-${TRACE_ID}-${SPAN_ID}-01, 00-${TRACE_ID}-${SPAN_ID}-01`, parent: null },
    { name: "white space around it", header: ` 00-${TRACE_ID}-${SPAN_ID}-01 `, parent: null },
    { name: "another line behind it", header: `00-${TRACE_ID}-${SPAN_ID}-01\n`, parent: null },
  ])("$name", ({ header, parent }) => {
    expect(parseTraceparent(header)).toEqual(parent);
  });

  const hex = (length: number) =>
    fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });

  test("every well-formed one gives back its ids and the sampled bit", () => {
    const ids = fc.tuple(hex(32), hex(16)).filter((pair) => pair.every((id) => /[^0]/.test(id)));
    fc.assert(
      fc.property(
        hex(2).filter((version) => version !== "ff"),
        ids,
        hex(2),
        (version, [traceId, spanId], flags) => {
          const sampled = Number.parseInt(flags, 16) % 2 === 1;
          expect(parseTraceparent(`${version}-${traceId}-${spanId}-${flags}`)).toEqual({ traceId, spanId, sampled });
        },
      ),
    );
  });

  test("any text gives null or ids that a collector takes", () => {
    const valid = `00-${TRACE_ID}-${SPAN_ID}-01`;
    const mutated = fc
      .tuple(fc.nat(valid.length - 1), fc.string({ maxLength: 2 }))
      .map(([at, text]) => valid.slice(0, at) + text + valid.slice(at + 1));
    let read = 0;
    fc.assert(
      fc.property(fc.oneof(fc.string(), mutated), (header) => {
        const parent = parseTraceparent(header);
        if (parent === null) return;
        read++;
        expect(parent.traceId).toMatch(/^(?!0+$)[\da-f]{32}$/);
        expect(parent.spanId).toMatch(/^(?!0+$)[\da-f]{16}$/);
      }),
      { numRuns: tries(2_000) },
    );
    expect(read).toBeGreaterThan(0);
  });
});

const ATTEMPT: TraceAttempt = {
  provider: "openai",
  model: "model-one",
  outcome: "ok",
  status: 200,
  started_ms: 3,
  first_token_ms: null,
  duration_ms: 40,
  hedged: false,
  winner: true,
  cost_usd: 0.000125,
};

const FAILED: TraceAttempt = { ...ATTEMPT, outcome: "rate_limited", status: 429, winner: false, cost_usd: null };

const TRACE: Trace = {
  id: "tr_0123456789ab0UfW2LQ8abcdefghijkl",
  created_at: "2026-11-22T16:00:00.123Z",
  key_id: "0123456789ab",
  env: "production",
  app: "console",
  route: "flow/reasoning",
  route_version: 7,
  stream: false,
  status: "ok",
  http_status: 200,
  provider: "openai",
  model: "model-one",
  fallback: false,
  attempts: [ATTEMPT],
  latency: { first_token_ms: null, total_ms: 50, budget_ms: null, budget_met: null },
  usage: {
    prompt_tokens: 10,
    completion_tokens: 5,
    cached_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    source: "upstream",
  },
  cost_usd: 0.000125,
  tool_calls: [],
  tags: { ticket: "canary-tag" },
  client_request_id: "canary-client-request",
};

/** Attributes as a plain object, and each of them once. */
function attributesOf(span: Span | undefined): Record<string, unknown> {
  const list = span?.attributes ?? [];
  expect(new Set(list.map(({ key }) => key)).size).toBe(list.length);
  return Object.fromEntries(list.map(({ key, value }) => [key, value]));
}

describe("the spans of a trace", () => {
  test("an answered request is a SERVER span over a CLIENT span, with the names of the conventions", () => {
    const [request, attempt, ...more] = toSpans(TRACE, null);
    expect(more).toEqual([]);
    expect(request).toMatchObject({
      name: "chat flow/reasoning",
      kind: 2,
      startTimeUnixNano: "1795363200123000000",
      endTimeUnixNano: "1795363200173000000",
      flags: 0x101,
      status: { code: 0 },
    });
    expect(request).not.toHaveProperty("parentSpanId");
    expect(attributesOf(request)).toEqual({
      "http.response.status_code": { intValue: "200" },
      "flowlayer.trace_id": { stringValue: TRACE.id },
      "flowlayer.status": { stringValue: "ok" },
      "flowlayer.route": { stringValue: "flow/reasoning" },
      "flowlayer.route_version": { intValue: "7" },
      "flowlayer.app": { stringValue: "console" },
      "flowlayer.env": { stringValue: "production" },
      "flowlayer.key_id": { stringValue: TRACE.key_id },
      "flowlayer.provider": { stringValue: "openai" },
      "flowlayer.model": { stringValue: "model-one" },
      "flowlayer.fallback": { boolValue: false },
      "flowlayer.cost_usd": { doubleValue: 0.000125 },
    });
    expect(attempt).toMatchObject({
      traceId: request?.traceId,
      parentSpanId: request?.spanId,
      name: "chat model-one",
      kind: 3,
      startTimeUnixNano: "1795363200126000000",
      endTimeUnixNano: "1795363200166000000",
      flags: 0x101,
      status: { code: 0 },
    });
    expect(attributesOf(attempt)).toEqual({
      "gen_ai.operation.name": { stringValue: "chat" },
      "gen_ai.provider.name": { stringValue: "openai" },
      "gen_ai.request.model": { stringValue: "model-one" },
      "gen_ai.response.model": { stringValue: "model-one" },
      "gen_ai.usage.input_tokens": { intValue: "10" },
      "gen_ai.usage.output_tokens": { intValue: "5" },
      "http.response.status_code": { intValue: "200" },
      "flowlayer.attempt.outcome": { stringValue: "ok" },
      "flowlayer.attempt.winner": { boolValue: true },
      "flowlayer.attempt.cost_usd": { doubleValue: 0.000125 },
    });
  });

  test("under a parent they take its trace id, and the request hangs on its span", () => {
    const [request, attempt] = toSpans(TRACE, { traceId: TRACE_ID, spanId: SPAN_ID, sampled: true });
    expect(request).toMatchObject({ traceId: TRACE_ID, parentSpanId: SPAN_ID, flags: 0x301 });
    expect(attempt).toMatchObject({ traceId: TRACE_ID, parentSpanId: request?.spanId, flags: 0x101 });
  });

  test("a fallback has one CLIENT span per attempt, and tokens on the one that answered only", () => {
    const attempts = [FAILED, { ...FAILED, started_ms: 60 }, { ...ATTEMPT, provider: "groq", model: "model-two" }];
    const [request, ...spans] = toSpans({ ...TRACE, fallback: true, attempts }, null);
    expect(attributesOf(request)["flowlayer.fallback"]).toEqual({ boolValue: true });
    expect(spans.map(({ status }) => status.code)).toEqual([STATUS_CODE.error, STATUS_CODE.error, STATUS_CODE.unset]);
    expect(spans.map((span) => attributesOf(span)["error.type"])).toEqual([
      { stringValue: "rate_limited" },
      { stringValue: "rate_limited" },
      undefined,
    ]);
    const all = [request, ...spans].map(attributesOf);
    expect(all.map((one) => one["gen_ai.usage.input_tokens"])).toEqual([
      undefined,
      undefined,
      undefined,
      { intValue: "10" },
    ]);
    expect(all.map((one) => one["gen_ai.response.model"])).toEqual([
      undefined,
      undefined,
      undefined,
      { stringValue: "model-two" },
    ]);
    expect(new Set([request, ...spans].map((span) => span?.spanId)).size).toBe(4);
  });

  test.each<{ name: string; change: Partial<Trace>; code: number; errorType: string | undefined }>([
    { name: "an answer", change: {}, code: STATUS_CODE.unset, errorType: undefined },
    {
      name: "a failure is an error with our code",
      change: { status: "error", http_status: 502, error_code: "upstream_failed" },
      code: STATUS_CODE.error,
      errorType: "upstream_failed",
    },
    {
      name: "a failure without a code has the HTTP status",
      change: { status: "error", http_status: 502 },
      code: STATUS_CODE.error,
      errorType: "502",
    },
    {
      name: "a refusal is named, and no error of the service",
      change: { status: "denied", http_status: 402, error_code: "budget_exceeded" },
      code: STATUS_CODE.unset,
      errorType: "budget_exceeded",
    },
    {
      name: "a client that left is no error",
      change: { status: "cancelled", http_status: 499 },
      code: STATUS_CODE.unset,
      errorType: undefined,
    },
  ])("status: $name", ({ change, code, errorType }) => {
    const [request] = toSpans({ ...TRACE, ...change }, null);
    expect(request?.status).toEqual({ code });
    expect(attributesOf(request)["error.type"]).toEqual(
      errorType === undefined ? undefined : { stringValue: errorType },
    );
  });

  test("a refusal before any attempt is one span, without what nobody knows", () => {
    const usage = { ...TRACE.usage, prompt_tokens: 0, completion_tokens: 0, source: "none" } as const;
    const denied = { status: "denied", http_status: 402, provider: null, model: null, cost_usd: null } as const;
    const spans = toSpans({ ...TRACE, ...denied, attempts: [], usage }, null);
    expect(spans).toHaveLength(1);
    const names = Object.keys(attributesOf(spans[0]));
    for (const name of ["flowlayer.provider", "flowlayer.model", "flowlayer.cost_usd", "flowlayer.tool_calls"]) {
      expect(names).not.toContain(name);
    }
  });

  test("an unpriced answer has no cost: unknown is not zero", () => {
    const attempts = [{ ...ATTEMPT, cost_usd: null }];
    const [request, attempt] = toSpans({ ...TRACE, cost_usd: null, attempts }, null).map(attributesOf);
    expect(request).not.toHaveProperty("flowlayer.cost_usd");
    expect(attempt).not.toHaveProperty("flowlayer.attempt.cost_usd");
    const [free] = toSpans({ ...TRACE, cost_usd: 0 }, null).map(attributesOf);
    expect(free?.["flowlayer.cost_usd"]).toEqual({ doubleValue: 0 });
  });

  test("tokens of a client that left before an answer stand on the provider last asked", () => {
    const attempts = [FAILED, { ...ATTEMPT, outcome: "cancelled", status: null, winner: false } as const];
    const spans = toSpans({ ...TRACE, status: "cancelled", http_status: 499, attempts }, null);
    expect(spans.map((span) => attributesOf(span)["gen_ai.usage.input_tokens"])).toEqual([
      undefined,
      undefined,
      { intValue: "10" },
    ]);
    expect(spans[2]?.status.code).toBe(STATUS_CODE.unset);
    expect(attributesOf(spans[2])).not.toHaveProperty("error.type");
    expect(attributesOf(spans[2])).not.toHaveProperty("http.response.status_code");
  });

  test("a stream says so, with the time to its first token and the finer counts the provider gave", () => {
    const usage = { ...TRACE.usage, cached_tokens: 4, cache_write_tokens: 3, reasoning_tokens: 2 };
    const attempts = [{ ...ATTEMPT, first_token_ms: 12 }];
    const [request, attempt] = toSpans({ ...TRACE, stream: true, usage, attempts }, null).map(attributesOf);
    expect(request?.["flowlayer.stream"]).toEqual({ boolValue: true });
    expect(attempt).toMatchObject({
      "gen_ai.request.stream": { boolValue: true },
      "gen_ai.usage.cache_read.input_tokens": { intValue: "4" },
      "gen_ai.usage.cache_creation.input_tokens": { intValue: "3" },
      "gen_ai.usage.reasoning.output_tokens": { intValue: "2" },
      "flowlayer.attempt.first_token_ms": { intValue: "12" },
    });
  });

  test("tool calls are names", () => {
    const [request] = toSpans({ ...TRACE, tool_calls: ["search", "send"] }, null).map(attributesOf);
    expect(request?.["flowlayer.tool_calls"]).toEqual({
      arrayValue: { values: [{ stringValue: "search" }, { stringValue: "send" }] },
    });
  });

  test.each([
    ["openai", "openai"],
    ["mistral", "mistral_ai"],
    ["xai", "x_ai"],
    ["google", "gcp.gemini"],
    ["sandbox", "sandbox"],
  ])("the provider %s is called %s", (provider, name) => {
    const [request, attempt] = toSpans({ ...TRACE, provider, attempts: [{ ...ATTEMPT, provider }] }, null);
    expect(attributesOf(attempt)["gen_ai.provider.name"]).toEqual({ stringValue: name });
    expect(attributesOf(request)["flowlayer.provider"]).toEqual({ stringValue: provider });
  });

  test("the request's span is no generation: each is counted once, on its attempt", () => {
    for (const api of APIS) {
      const [request, ...attempts] = toSpans({ ...TRACE, api, stream: true, attempts: [FAILED, ATTEMPT] }, null);
      const isConvention = (name: string): boolean => name.startsWith("gen_ai.");
      expect(Object.keys(attributesOf(request)).filter(isConvention)).toEqual([]);
      const operation = { stringValue: api === "embeddings" ? "embeddings" : "chat" };
      expect(attempts.map((span) => attributesOf(span)["gen_ai.operation.name"])).toEqual([operation, operation]);
      expect(attributesOf(request)["flowlayer.api"]).toEqual({ stringValue: api });
    }
  });

  test("the key's id, the credential's number and the affinity say who asked with what", () => {
    const attempts = [
      { ...FAILED, credential: 1 },
      { ...ATTEMPT, credential: 2 },
    ];
    const [request, ...spans] = toSpans({ ...TRACE, affinity: "kept", attempts }, null).map(attributesOf);
    expect(request).toMatchObject({
      "flowlayer.key_id": { stringValue: TRACE.key_id },
      "flowlayer.affinity": { stringValue: "kept" },
    });
    const numbers = spans.map((one) => one["flowlayer.attempt.credential"]);
    expect(numbers).toEqual([{ intValue: "1" }, { intValue: "2" }]);
  });

  test("tags and the client's own id do not leave", () => {
    expect(JSON.stringify(toExportRequest(toSpans(TRACE, null), {}))).not.toMatch(/canary/);
  });
});

describe("ids", () => {
  const now = Date.parse(TRACE.created_at);
  const idsOf = (id: string, attempts: number, parent: TraceParent | null = null): Span[] =>
    toSpans({ ...TRACE, id, attempts: Array.from({ length: attempts }, () => ATTEMPT) }, parent);

  test("the same trace has the same ids each time, so that what is sent twice is one", () => {
    expect(idsOf(TRACE.id, 3)).toEqual(idsOf(TRACE.id, 3));
  });

  test("those of many traces of one key and moment are well formed and never meet", () => {
    const traceIds = new Set<string>();
    const spanIds = new Set<string>();
    const count = 20_000;
    for (let at = 0; at < count; at++) {
      for (const { traceId, spanId } of idsOf(newTraceId("0123456789ab", now), 2)) {
        if (!/^[\da-f]{32}$/.test(traceId) || !/^[\da-f]{16}$/.test(spanId)) expect([traceId, spanId]).toEqual([]);
        traceIds.add(traceId);
        spanIds.add(spanId);
      }
    }
    expect([traceIds.size, spanIds.size]).toEqual([count, 3 * count]);
  });

  test("trace ids that differ in one character give ids that share nothing but chance", () => {
    const [one, other] = [idsOf(`${TRACE.id.slice(0, -1)}a`, 1), idsOf(`${TRACE.id.slice(0, -1)}b`, 1)];
    const bits = (left: string, right: string): number =>
      [...(BigInt(`0x${left}`) ^ BigInt(`0x${right}`)).toString(2)].filter((bit) => bit === "1").length;
    // 128 fair coins fall between 30 and 98 but for one time in a billion; the inputs are fixed.
    expect(bits(one[0]!.traceId, other[0]!.traceId)).toSatisfy((count: number) => count > 30 && count < 98);
    expect(bits(one[0]!.spanId, one[1]!.spanId)).toSatisfy((count: number) => count > 10 && count < 54);
  });

  test("two requests under one parent are two spans of one trace", () => {
    const parent = { traceId: TRACE_ID, spanId: SPAN_ID, sampled: true };
    const [one, other] = [newTraceId(null, now), newTraceId(null, now)].map((id) => idsOf(id, 0, parent)[0]);
    expect(one?.traceId).toBe(other?.traceId);
    expect(one?.spanId).not.toBe(other?.spanId);
  });
});

test("an export names the service, and holds the spans as they are", () => {
  const spans = toSpans(TRACE, null);
  expect(spans[0]?.kind).toBe(SPAN_KIND.server);
  expect(toExportRequest(spans, { "service.name": "flow-layer" })).toEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "flow-layer" } }] },
        scopeSpans: [{ scope: { name: "flow-layer" }, spans }],
      },
    ],
  });
});
