/** The exporter in Node, with a collector on a real socket. Waits run twenty times as fast. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ExporterEnv } from "../../../src/traces/exporter.ts";
import type { Span, TraceParent } from "../../../src/traces/otlp.ts";
import { newTraceId, type Trace, type TraceAttempt } from "../../../src/traces/schema.ts";
import { type Script, startUpstream, type Upstream } from "../../support/upstream.ts";

type Exporter = typeof import("../../../src/traces/exporter.ts");

const SPEED = 20;

let collector: Upstream;
let exporter: Exporter;
let work: Promise<unknown>[] = [];
let lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  collector = await startUpstream();
});
afterAll(() => collector.stop());
beforeEach(async () => {
  collector.reset();
  collector.script({ json: {} });
  work = [];
  lines = [];
  vi.stubGlobal("scheduler", { wait: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms / SPEED)) });
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(JSON.parse(line)));
  // The queue lives as long as the module.
  vi.resetModules();
  exporter = await import("../../../src/traces/exporter.ts");
});
afterEach(async () => {
  await Promise.all(work);
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const waitUntil = (promise: Promise<unknown>): void => void work.push(promise);
const done = (): Promise<unknown> => Promise.all(work);
const env = (more: ExporterEnv = {}): ExporterEnv => {
  return { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, FLOW_ALLOW_PRIVATE_UPSTREAMS: "1", ...more };
};

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
  cost_usd: 0,
};

function newTrace(attempts = 1): Trace {
  return {
    id: newTraceId(null, Date.now()),
    created_at: "2026-11-22T16:00:00.123Z",
    key_id: "",
    env: "production",
    app: "default",
    route: "flow/test",
    route_version: 1,
    stream: false,
    status: "ok",
    http_status: 200,
    provider: "openai",
    model: "model-one",
    fallback: false,
    attempts: Array.from({ length: attempts }, () => ATTEMPT),
    latency: { first_token_ms: null, total_ms: 50, budget_ms: null, budget_met: null },
    usage: {
      prompt_tokens: 1,
      completion_tokens: 1,
      cached_tokens: 0,
      cache_write_tokens: 0,
      reasoning_tokens: 0,
      source: "upstream",
    },
    cost_usd: 0,
    tool_calls: [],
    tags: {},
    client_request_id: null,
  };
}

function exportAll(traces: readonly Trace[], settings = env(), parent: TraceParent | null = null): void {
  for (const trace of traces) exporter.exportSoon(settings, trace, parent, waitUntil);
}

/** Spans of each call. */
const received = (): Span[][] =>
  collector.calls.map((call) => JSON.parse(call.body).resourceSpans[0].scopeSpans[0].spans as Span[]);

describe("grouping", () => {
  test("requests that end together travel in one call, each once", async () => {
    exportAll(Array.from({ length: 40 }, () => newTrace()));
    await done();
    expect(received().map((spans) => new Set(spans.map((span) => span.spanId)).size)).toEqual([80]);
    expect(lines).toEqual([]);
  });

  test("what ends later goes with a later call", async () => {
    exportAll([newTrace()]);
    await done();
    exportAll([newTrace()]);
    await done();
    expect(received().map((spans) => spans.length)).toEqual([2, 2]);
  });

  test("nothing is sent before the gathering is over", async () => {
    exportAll([newTrace()]);
    expect(collector.calls).toEqual([]);
    const begun = performance.now();
    await done();
    expect(performance.now() - begun).toBeGreaterThan(1_000 / SPEED - 5);
    expect(collector.calls).toHaveLength(1);
  });

  test("a full batch does not wait for the gathering", async () => {
    let endGathering = (): void => {};
    const gathering = new Promise<void>((resolve) => {
      endGathering = resolve;
    });
    vi.stubGlobal("scheduler", { wait: (ms: number) => (ms === 0 ? Promise.resolve() : gathering) });
    exportAll(Array.from({ length: 255 }, () => newTrace()));
    await new Promise((resolve) => setImmediate(resolve));
    expect(collector.calls).toEqual([]);
    exportAll([newTrace()]);
    await expect.poll(() => received().map((spans) => spans.length)).toEqual([512]);
    endGathering();
    await done();
    expect(collector.calls).toHaveLength(1);
  });

  test("a call holds at most 512 spans, and all of a burst arrives", async () => {
    exportAll(Array.from({ length: 600 }, () => newTrace(2)));
    await done();
    const sizes = received().map((spans) => spans.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(512);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1_800);
  });

  test("beyond 2,048 waiting spans the oldest are dropped and counted in the log", async () => {
    const traces = Array.from({ length: 1_100 }, () => newTrace());
    exportAll(traces);
    await done();
    const ids = received().flatMap((spans) =>
      spans.flatMap(({ attributes }) => attributes.filter(({ key }) => key === "flowlayer.trace_id")),
    );
    const kept = ids.map(({ value }) => ("stringValue" in value ? value.stringValue : ""));
    expect(kept).toEqual(traces.slice(76).map(({ id }) => id));
    expect(lines).toEqual([{ event: "otlp_export_failed", reason: "queue_full", failed_spans: 0, dropped_spans: 152 }]);
  });

  test("one sender at a time: what becomes due meanwhile is left to it", async () => {
    let running = 0;
    let most = 0;
    collector.script((call) => {
      most = Math.max(most, ++running);
      call.closedAt = null;
      setTimeout(() => running--, 60);
      return { json: {}, headMs: 60 };
    });
    exportAll(Array.from({ length: 300 }, () => newTrace()));
    await expect.poll(() => collector.calls.length, { interval: 1 }).toBeGreaterThan(0);
    exportAll(Array.from({ length: 300 }, () => newTrace()));
    await done();
    expect(most).toBe(1);
    expect(received().flat()).toHaveLength(1_200);
  });
});

describe("a collector that does not take it", () => {
  test.each<{ name: string; scripts: Script[]; calls: number; loss: object | null }>([
    { name: "200 is taken", scripts: [{ json: {} }], calls: 1, loss: null },
    { name: "503 is tried once more", scripts: [{ status: 503 }, { json: {} }], calls: 2, loss: null },
    { name: "a reset is tried once more", scripts: [{ raw: "", end: "reset" }, { json: {} }], calls: 2, loss: null },
    {
      name: "a short Retry-After is kept",
      scripts: [{ status: 429, headers: { "retry-after": "1" } }, { json: {} }],
      calls: 2,
      loss: null,
    },
    {
      name: "a long Retry-After ends it",
      scripts: [{ status: 429, headers: { "retry-after": "30" } }],
      calls: 1,
      loss: { reason: "status", status: 429 },
    },
    { name: "502 twice is a loss", scripts: [{ status: 502 }], calls: 2, loss: { reason: "status", status: 502 } },
    { name: "two resets are a loss", scripts: [{ raw: "", end: "reset" }], calls: 2, loss: { reason: "network" } },
    { name: "400 is final", scripts: [{ status: 400 }], calls: 1, loss: { reason: "status", status: 400 } },
    { name: "500 is final", scripts: [{ status: 500 }], calls: 1, loss: { reason: "status", status: 500 } },
    {
      name: "a redirect is not followed",
      scripts: [{ status: 307, headers: { location: "/elsewhere" } }],
      calls: 1,
      loss: { reason: "status", status: 307 },
    },
  ])("$name", async ({ scripts, calls, loss }) => {
    collector.script(scripts);
    exportAll([newTrace()]);
    await done();
    expect(collector.calls.map((call) => call.path)).toEqual(Array.from({ length: calls }, () => "/v1/traces"));
    expect(new Set(collector.calls.map((call) => call.body)).size).toBe(1);
    expect(lines).toEqual(
      loss === null ? [] : [{ event: "otlp_export_failed", ...loss, failed_spans: 2, dropped_spans: 0 }],
    );
  });

  test("an address that is not allowed is never called", async () => {
    exportAll([newTrace()], env({ FLOW_ALLOW_PRIVATE_UPSTREAMS: "0" }));
    await done();
    expect(collector.calls).toEqual([]);
    expect(lines).toEqual([{ event: "otlp_export_failed", reason: "endpoint", failed_spans: 2, dropped_spans: 0 }]);
  });

  test("many failures are one line a minute, and the next line has the rest", async () => {
    const clock = vi.spyOn(Date, "now");
    const start = 1_795_000_000_000;
    clock.mockReturnValue(start);
    collector.script({ status: 400 });
    for (let round = 0; round < 3; round++) {
      exportAll([newTrace()]);
      await done();
    }
    expect(lines.map((line) => line["failed_spans"])).toEqual([2]);
    clock.mockReturnValue(start + 60_000);
    exportAll([newTrace()]);
    await done();
    expect(lines.map((line) => line["failed_spans"])).toEqual([2, 6]);
  });
});

describe("what is not exported", () => {
  test("without an endpoint the cost is one property read, and nothing is left to do", () => {
    const reads: PropertyKey[] = [];
    const bare: ExporterEnv = new Proxy({}, { get: (_, name) => void reads.push(name) });
    exportAll([newTrace()], bare);
    expect(reads).toEqual(["OTEL_EXPORTER_OTLP_ENDPOINT"]);
    expect(work).toEqual([]);
  });

  test("an empty endpoint is none", () => {
    exportAll([newTrace()], env({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }));
    expect(work).toEqual([]);
  });

  test("a request whose caller does not record is left out, its neighbour is not", async () => {
    const parent = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
    exportAll([newTrace()], env(), { ...parent, sampled: false });
    exportAll([newTrace()], env(), { ...parent, sampled: true });
    await done();
    expect(received().map((spans) => spans.length)).toEqual([2]);
  });
});

test.each<{ name: string; endpoint: string; local?: boolean; url: string | null }>([
  { name: "a base", endpoint: "https://otel.acme.io", url: "https://otel.acme.io/v1/traces" },
  { name: "a base with a slash", endpoint: "https://otel.acme.io/", url: "https://otel.acme.io/v1/traces" },
  { name: "a base with a path", endpoint: "https://acme.io/otlp", url: "https://acme.io/otlp/v1/traces" },
  { name: "the signal's own address", endpoint: "https://acme.io/v1/traces", url: "https://acme.io/v1/traces" },
  { name: "the same with a slash", endpoint: "https://acme.io/v1/traces/", url: "https://acme.io/v1/traces" },
  { name: "http", endpoint: "http://otel.acme.io", url: null },
  { name: "a private name", endpoint: "https://collector.internal", url: null },
  {
    name: "http for local work",
    endpoint: "http://localhost:4318",
    local: true,
    url: "http://localhost:4318/v1/traces",
  },
  { name: "a password in the address", endpoint: "https://me:secret@acme.io", url: null },
  { name: "no address", endpoint: "collector", url: null },
])("endpoint: $name", ({ endpoint, local, url }) => {
  const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, FLOW_ALLOW_PRIVATE_UPSTREAMS: local === true ? "1" : "0" };
  expect(exporter.tracesUrl(settings)).toBe(url);
});

test.each<{ name: string; text: string; headers: Record<string, string> }>([
  { name: "none", text: "", headers: {} },
  { name: "one", text: "x-team=acme", headers: { "x-team": "acme" } },
  { name: "several, with white space", text: " a=1 , B = 2,c=3 ", headers: { a: "1", b: "2", c: "3" } },
  { name: "percent-encoded", text: "authorization=Basic%20YTpi%3D%3D", headers: { authorization: "Basic YTpi==" } },
  {
    name: "an equals sign in the value",
    text: "authorization=Basic YTpi==",
    headers: { authorization: "Basic YTpi==" },
  },
  { name: "an encoded comma", text: "a=1%2C2", headers: { a: "1,2" } },
  { name: "a plus is a plus", text: "a=1+2", headers: { a: "1+2" } },
  { name: "a stray percent sign", text: "a=100%,b=2", headers: { a: "100%", b: "2" } },
  { name: "the last of two", text: "a=1,a=2", headers: { a: "2" } },
  { name: "entries that are none", text: "a,=1,b c=2,,d=4", headers: { d: "4" } },
  { name: "a value with a line break", text: "a=1%0d%0aevil: 1,d=4", headers: { d: "4" } },
])("headers: $name", ({ text, headers }) => {
  expect(Object.fromEntries(exporter.parseHeaders(text))).toEqual(headers);
});

test.each<{ name: string; more: Readonly<Record<string, string>>; attributes: Readonly<Record<string, string>> }>([
  { name: "its own name", more: {}, attributes: { "service.name": "flow-layer" } },
  { name: "a name", more: { OTEL_SERVICE_NAME: "llm" }, attributes: { "service.name": "llm" } },
  {
    name: "attributes",
    more: { OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=eu%2Dwest, service.name=router" },
    attributes: { "service.name": "router", "deployment.environment": "eu-west" },
  },
  {
    name: "both, and the name wins",
    more: { OTEL_SERVICE_NAME: "llm", OTEL_RESOURCE_ATTRIBUTES: "service.name=router,a=1" },
    attributes: { "service.name": "llm", a: "1" },
  },
])("the service says of itself: $name", async ({ more, attributes }) => {
  exportAll([newTrace()], env(more));
  await expect.poll(() => collector.calls.length).toBe(1);
  const body = JSON.parse(collector.calls[0]?.body ?? "") as {
    resourceSpans: { resource: { attributes: { key: string; value: { stringValue: string } }[] } }[];
  };
  const found = body.resourceSpans[0]?.resource.attributes.map(({ key, value }) => [key, value.stringValue]);
  expect(Object.fromEntries(found ?? [])).toEqual(attributes);
});
