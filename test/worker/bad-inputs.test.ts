/**
 * Bad inputs, each sent to a real Worker: what is refused is refused in one shape, costs no provider call and leaves no
 * trace; what is not ours to judge reaches the provider as it was sent. The inputs themselves are in the table.
 */
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import * as fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ERRORS } from "../../src/http/errors.ts";
import { keyRecordKey } from "../../src/keys/record.ts";
import type { Trace } from "../../src/traces/schema.ts";
import { connectRaw, type RawClient } from "../support/raw.ts";
import { chunks, completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";
import {
  BAD_INPUTS,
  GATED_ROUTE,
  HEADER_CANARY,
  type HttpCall,
  type Known,
  MODEL,
  ORDER,
  PROMPT_CANARY,
  type RawCall,
  type Refused,
  ROUTE,
  type Row,
  UNGRANTED_ROUTE,
} from "./bad-inputs.table.ts";

const CHAT = "/v1/chat/completions";
const PROVIDER_KEY = "sk-canary-provider-3d7a";
/** Two cores run several test files at once: this tells an answer from a hang, it is no measurement. */
const ANSWER_MS = 8_000;
/** A soak run tries many more random inputs. */
const SOAK = process.env["FLOW_SOAK"] === "1";

let upstream: Upstream;
let worker: TestWorker;
let decoy: Server;
let decoyConnections = 0;
let key: CreatedKey;
let known: Known;
/** Answers of the rows that take long, under way from the start. */
const early = new Map<Row, Promise<Timed>>();
/** Requests with the shared key that must be on the record, by the code of their refusal; `""` where there is none. */
const recorded: string[] = [];

beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { OPENAI_API_KEY: PROVIDER_KEY, OPENAI_BASE_URL: `${upstream.url}/v1` } });
  decoy = createServer((socket) => {
    decoyConnections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => decoy.listen(0, "127.0.0.1", resolve));
  const targets = [{ provider: "openai", model: MODEL }];
  await worker.putRoute("production", ROUTE, { targets });
  await worker.putRoute("production", UNGRANTED_ROUTE, { targets });
  await worker.putRoute("production", GATED_ROUTE, { targets, tools: { require_approval: true, wait_ms: 0 } });
  key = await worker.createKey();
  known = await setUp();
  for (const row of SLOW) {
    const answer = timed(() => send(row));
    // A rejection is the row's own test's to report.
    answer.catch(() => {});
    early.set(row, answer);
  }
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
  decoy.close();
});
beforeEach(() => upstream.reset());

async function setUp(): Promise<Known> {
  const revoked = await worker.createKey();
  await worker.admin(`/admin/keys/${revoked.id}`, { method: "DELETE" });
  const unknown = await worker.createKey();
  const { CONFIG } = worker.bindings();
  await CONFIG.delete(keyRecordKey(unknown.id));
  const foreign = await worker.createKey();
  const answer = await post(foreign.key, chatBody());
  await answer.text();
  return {
    key: key.key,
    stagingKey: (await worker.createKey({ env: "staging" })).key,
    revokedKey: revoked.key,
    expiredKey: await expiredKey(),
    unknownKey: unknown.key,
    narrowKey: (await worker.createKey({ routes: [UNGRANTED_ROUTE] })).key,
    webKey: (await worker.createKey({ apps: ["web"] })).key,
    readerKey: (await worker.createKey({ scopes: ["models", "traces:read"] })).key,
    adminToken: worker.adminToken,
    foreignTraceId: answer.headers.get("x-flowlayer-trace-id") ?? "",
    decoyUrl: `http://127.0.0.1:${(decoy.address() as AddressInfo).port}/`,
  };
}

/** A key whose time is over. */
async function expiredKey(): Promise<string> {
  const key = await worker.createKey({ expires_at: new Date(Date.now() + 500).toISOString() });
  const ask = async (): Promise<void> => expect((await post(key.key, "{")).status).toBe(401);
  await vi.waitFor(ask, { timeout: 5_000 });
  return key.key;
}

const chatBody = (members: object = {}): string =>
  JSON.stringify({ model: `flow/${ROUTE}`, messages: [{ role: "user", content: "hi" }], ...members });

function post(token: string, body: string | Uint8Array<ArrayBuffer>): Promise<Response> {
  return worker.fetch(CHAT, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body,
    signal: AbortSignal.timeout(ANSWER_MS),
  });
}

/** What came back, whichever way it was sent; status 0 when the connection just ended. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

async function sendHttp(row: Row, call: HttpCall): Promise<Answer> {
  const { method = "POST", path = CHAT, headers = {}, body } = call;
  const all: Record<string, string> = {};
  const defaults = {
    authorization: `Bearer ${known.key}`,
    "content-type": "application/json",
    "x-canary": HEADER_CANARY,
    "x-client-request-id": row.id,
  };
  for (const [name, value] of Object.entries({ ...defaults, ...headers })) if (value !== null) all[name] = value;
  const response = await worker.fetch(path, {
    method,
    headers: all,
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** The answer, or status 0 when the connection ends without one. Rejects when neither comes. */
async function answerOf(client: RawClient, takesMs = 0): Promise<Answer> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("No answer and no end of the connection.")), takesMs + ANSWER_MS);
  });
  const answer = client.response().then(
    ({ status, headers, body }) => ({ status, headers: new Headers(headers), body }),
    () => ({ status: 0, headers: new Headers(), body: "" }),
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

async function sendRaw(call: RawCall, takesMs?: number): Promise<Answer> {
  let timer: ReturnType<typeof setInterval> | undefined;
  const client = await connectRaw(worker.url);
  try {
    const pieces = typeof call.raw === "string" || call.raw instanceof Uint8Array ? [call.raw] : call.raw;
    for (const piece of pieces) {
      if (client.received() !== "") break;
      client.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (call.after === "finish") client.finish();
    if (call.after === "reset") client.reset();
    if (call.after === "drip") timer = setInterval(() => client.send(" "), 1_000);
    return await answerOf(client, takesMs);
  } finally {
    clearInterval(timer);
    client.close();
  }
}

function send(row: Row): Promise<Answer> {
  const call = row.send(known);
  return "raw" in call ? sendRaw(call, row.takesMs) : sendHttp(row, call);
}

interface Timed {
  readonly answer: Answer;
  readonly tookMs: number;
}

async function timed(work: () => Promise<Answer>): Promise<Timed> {
  const startedAt = performance.now();
  return { answer: await work(), tookMs: performance.now() - startedAt };
}

/** None of these is in an answer to a refused request. */
const secrets = (): readonly string[] => [
  PROMPT_CANARY,
  HEADER_CANARY,
  PROVIDER_KEY,
  "test-pepper",
  ...Object.values(known).filter((value) => value.startsWith("fl_") || value === worker.adminToken),
];

function expectNothingLeaked(answer: Answer): void {
  const text = `${JSON.stringify([...answer.headers])}${answer.body}`;
  for (const secret of secrets()) expect(text).not.toContain(secret);
}

interface ErrorBody {
  readonly error: {
    readonly message: unknown;
    readonly type: unknown;
    readonly code: unknown;
    readonly param: unknown;
  };
  readonly flow: { readonly trace_id: unknown };
}

/** Refusals that only come once the key is known. */
const OF_KNOWN_KEYS: ReadonlySet<string> = new Set([
  ...["browser_request", "env_mismatch", "app_not_allowed", "invalid_header", "unknown_route"],
]);

function expectRefused(answer: Answer, wanted: Refused, isHead: boolean): void {
  if (isHead) {
    expect({ status: answer.status, body: answer.body }).toEqual({ status: wanted.status, body: "" });
  } else {
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    const { error, flow } = JSON.parse(answer.body) as ErrorBody;
    expect({ status: answer.status, code: error.code, type: error.type }).toEqual({
      status: wanted.status,
      code: wanted.code,
      type: ERRORS[wanted.code].type,
    });
    expect(error.message).toEqual(expect.stringMatching(/^\S.{10,500}$/));
    expect(Object.hasOwn(error, "param")).toBe(true);
    expect((error as { readonly help?: string }).help).toMatch(new RegExp(`^http://[^/]+/docs/errors#${wanted.code}$`));
    if (wanted.param !== undefined) expect(error.param).toBe(wanted.param);
    expect(flow.trace_id).toBe(answer.headers.get("x-request-id"));
  }
  expect(answer.headers.get("x-request-id")).toMatch(/^tr_[0-9A-Za-z]{32}$/);
  expect(answer.headers.get("x-should-retry")).toBe(String(wanted.retry ?? false));
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  if (OF_KNOWN_KEYS.has(wanted.code)) {
    expect(answer.headers.get("x-flowlayer-env")).toMatch(/^(production|staging|development)$/);
  }
  if (wanted.allow !== undefined) expect(answer.headers.get("allow")).toBe(wanted.allow);
}

function expectForwarded(answer: Answer, row: Row, sent: string | undefined): void {
  expect({ status: answer.status, calls: upstream.calls.length }).toEqual({ status: 200, calls: 1 });
  const call = upstream.calls[0]!;
  expect(call.path).toBe(CHAT);
  expect(call.headers["authorization"]).toBe(`Bearer ${PROVIDER_KEY}`);
  expect(JSON.stringify(call.headers)).not.toContain(HEADER_CANARY);
  expect(JSON.stringify(call.headers)).not.toContain(known.key);
  if (sent === undefined) return;
  const replaced = sent.replace(`"flow/${ROUTE}"`, `"${MODEL}"`);
  const expected = row.arrives?.(replaced) ?? replaced;
  // Not `toBe` on the texts: a difference of megabytes would be printed.
  expect({ same: call.body === expected, length: call.body.length, begin: call.body.slice(0, 200) }).toEqual({
    same: true,
    length: expected.length,
    begin: expected.slice(0, 200),
  });
}

async function check(row: Row): Promise<void> {
  const call = row.send(known);
  const { answer, tookMs } = await (early.get(row) ?? timed(() => send(row)));
  if (row.takesMs !== undefined) expect(tookMs).toBeGreaterThan(row.takesMs - 500);
  switch (row.expect) {
    case "forwarded":
      recorded.push("");
      expectForwarded(answer, row, "raw" in call || typeof call.body !== "string" ? undefined : call.body);
      return;
    case "not HTTP":
      expect([0, 400, 408, 411, 413, 414, 431, 501, 505]).toContain(answer.status);
      break;
    default:
      if (row.expect.traced === true) recorded.push(row.expect.code);
      expectRefused(answer, row.expect, "method" in call && call.method === "HEAD");
  }
  expectNothingLeaked(answer);
  expect(upstream.calls).toHaveLength(0);
}

const SLOW = BAD_INPUTS.filter((row) => row.takesMs !== undefined);
const PROMPT_ROWS = BAD_INPUTS.filter((row) => row.takesMs === undefined);

describe("the order of checks", () => {
  test.each(ORDER)("$name", check);
});

describe("bad inputs", () => {
  test.each(PROMPT_ROWS)("$id: $name", check);
});

/** A valid body, or one with any of its members replaced by anything. */
const json = fc.jsonValue({ maxDepth: 3 });
const mostly = <T>(usual: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 15, arbitrary: usual as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: json });
const message = fc.record(
  { role: mostly(fc.constantFrom("user", "system", "assistant", "tool")), content: mostly(fc.string()) },
  { requiredKeys: ["role"] },
);
const controls = fc.record(
  {
    fallback: mostly(fc.boolean()),
    latency_budget_ms: mostly(fc.integer({ min: 1, max: 600_000 })),
    spend_budget_usd: mostly(fc.double({ min: 0.01, max: 100, noNaN: true })),
    only: mostly(fc.subarray(["openai", "mistral"])),
    avoid: mostly(fc.subarray(["mistral", "groq"])),
    tags: mostly(fc.dictionary(fc.string({ maxLength: 70 }), fc.string({ maxLength: 260 }), { maxKeys: 18 })),
  },
  { requiredKeys: [] },
);
const request = fc.tuple(
  fc.record(
    {
      model: mostly(fc.constant(`flow/${ROUTE}`)),
      messages: mostly(fc.array(mostly(message), { minLength: 1, maxLength: 4 })),
      stream: mostly(fc.boolean()),
      stream_options: mostly(fc.record({ include_usage: fc.boolean() })),
      max_tokens: mostly(fc.integer({ min: 1, max: 1_000 })),
      n: mostly(fc.constant(1)),
      tools: mostly(fc.array(fc.record({ type: fc.constant("function"), function: fc.record({ name: fc.string() }) }))),
      temperature: json,
      route: mostly(controls),
    },
    { requiredKeys: ["model", "messages"] },
  ),
  fc.dictionary(fc.string(), json, { maxKeys: 3 }),
);
/** Bytes cut out of a text and others put there instead. */
const damage = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.nat({ max: 6 }),
  insert: fc.oneof(
    fc.uint8Array({ maxLength: 6 }),
    fc.constantFrom("\r", "\n", "\r\n\r\n", "\0", ":", " ", '"', "{", "]", ",", "\\").map((text) => Buffer.from(text)),
  ),
});

function damaged(bytes: Buffer, { at, cut, insert }: { at: number; cut: number; insert: Uint8Array }): Buffer {
  const from = Math.floor(at * bytes.length);
  return Buffer.concat([bytes.subarray(0, from), insert, bytes.subarray(from + cut)]);
}

const isCode = (code: unknown): code is keyof typeof ERRORS => typeof code === "string" && Object.hasOwn(ERRORS, code);

/** The invariant behind every row: an answer with a provider call, or a refusal of ours without one. */
function expectSound(answer: Answer, calls: number): void {
  if (answer.status === 200) {
    expect(calls).toBe(1);
    return;
  }
  const { code } = (JSON.parse(answer.body) as ErrorBody).error;
  expect(isCode(code) ? ERRORS[code].status : code).toBe(answer.status);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.headers.get("x-request-id")).toMatch(/^tr_/);
  expect(calls).toBe(0);
}

describe("random inputs", () => {
  const timeoutMs = SOAK ? 600_000 : 15_000;

  test("a request of any members is answered or refused, never broken", { timeout: timeoutMs }, async () => {
    const { key: token } = await worker.createKey();
    upstream.script((call) =>
      call.headers["accept"] === "text/event-stream" ? { events: chunks("hi there") } : { json: completion() },
    );
    const answers = new Set<number>();
    const property = fc.asyncProperty(request, fc.option(damage, { freq: 3 }), async ([fields, more], harm) => {
      const bytes = Buffer.from(JSON.stringify({ ...more, ...fields }));
      const callsBefore = upstream.calls.length;
      const response = await post(token, new Uint8Array(harm === null ? bytes : damaged(bytes, harm)));
      const answer = { status: response.status, headers: response.headers, body: await response.text() };
      answers.add(answer.status);
      expectSound(answer, upstream.calls.length - callsBefore);
    });
    await fc.assert(property, { numRuns: SOAK ? 10_000 : 300 });
    // Without both kinds the property would say little.
    expect(answers).toContain(200);
    expect(answers).toContain(400);
  });

  test("a request head of any bytes is answered, refused or closed, never broken", { timeout: timeoutMs }, async () => {
    const { key: token } = await worker.createKey();
    const text = chatBody();
    const head = Buffer.from(
      `POST ${CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
        `Content-Type: application/json\r\nX-FlowLayer-App: web\r\nContent-Length: ${text.length}\r\n\r\n`,
    );
    const answers = new Set<number>();
    const property = fc.asyncProperty(fc.array(damage, { maxLength: 2 }), async (harm) => {
      const callsBefore = upstream.calls.length;
      const bytes = Buffer.concat([harm.reduce(damaged, head), Buffer.from(text)]);
      const answer = await sendRaw({ raw: bytes, after: "finish" });
      answers.add(answer.status);
      const calls = upstream.calls.length - callsBefore;
      if (answer.headers.has("x-request-id")) expectSound(answer, calls);
      else {
        expect([0, 400, 408, 411, 413, 414, 431, 501, 505]).toContain(answer.status);
        expect(calls).toBe(0);
      }
    });
    await fc.assert(property, { numRuns: SOAK ? 1_000 : 100, examples: [[[]]] });
    expect(answers).toContain(200);
    expect(answers).toContain(400);
  });
});

describe("after all of them", () => {
  test.each(SLOW)("$id: $name", check);

  const traces = async (token: string): Promise<readonly Trace[]> => {
    const response = await worker.fetch("/v1/traces?limit=1000", { headers: { authorization: `Bearer ${token}` } });
    return ((await response.json()) as { data: readonly Trace[] }).data;
  };

  test("requests that reached a route are on the record once, and all others are light traces", async () => {
    const answer = await post(known.key, chatBody());
    expect(answer.status).toBe(200);
    recorded.push("");
    const codes = async (): Promise<string[]> =>
      (await traces(known.key))
        .filter(({ status }) => status !== "refused")
        .map((trace) => trace.error_code ?? "")
        .sort();
    await expect.poll(codes, { timeout: 5_000 }).toEqual(recorded.sort());
    for (const token of [known.stagingKey, known.narrowKey, known.webKey]) {
      const statuses = new Set((await traces(token)).map(({ status }) => status));
      expect([...statuses]).toEqual(["refused"]);
    }
  });

  test("no address from a body was ever fetched", () => {
    expect(decoyConnections).toBe(0);
  });

  test("nothing broke inside the Worker, and its log holds no secret", () => {
    const logs = worker.logs();
    expect(logs).toContain('"event":"request"');
    expect(logs).not.toMatch(/unexpected_error|uncaught/i);
    for (const secret of secrets()) expect(logs).not.toContain(secret);
  });
});

describe("the table", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url).pathname, "utf8");
  const reasons = readme.slice(readme.indexOf("## Not run here, and why"));
  const ids = Array.from({ length: 104 }, (_, index) => `B${index + 1}`);

  test.each(ids)("%s has a row, or a reason why not", (id) => {
    const hasRow = BAD_INPUTS.some((row) => row.id === id);
    expect(hasRow || new RegExp(`\\b${id}\\b`).test(reasons)).toBe(true);
  });

  test("no two rows are the same", () => {
    const names = BAD_INPUTS.map(({ id, name }) => `${id} ${name}`);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
