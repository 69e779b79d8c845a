/** When the router leaves a target, when it stays, and what client and trace are told: the ordered strategy as a table. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  CANARY_SECRET,
  type ChatRig,
  chatBody,
  expectError,
  expectStory,
  startChatRig,
  vendorError,
  wordsOnRequests,
} from "../support/chat.ts";
import { chunks, completion, type Script, startUpstream, type Upstream } from "../support/upstream.ts";

let rig: ChatRig;
let canary: Upstream;
beforeAll(async () => {
  canary = await startUpstream();
  // Nobody listens on port 9.
  rig = await startChatRig({ TOGETHER_BASE_URL: "http://127.0.0.1:9/v1" });
  await rig.prepareForMany();
});
afterAll(async () => {
  await rig.stop();
  await canary.stop();
});
beforeEach(() => rig.upstream.reset());

const ANSWER: Script = { json: completion({ text: "second" }) };
const STREAMED: Script = { events: chunks("second") };

/** Asks with the first target playing `first` (a list: one by one) and the second answering. */
async function askPair(first: Script | Script[], body: object = {}, policy: Record<string, object> = {}) {
  const route = await rig.route({ policy });
  rig.upstream.scriptFor(route.models[0]!, first);
  rig.upstream.scriptFor(route.models[1]!, "stream" in body ? STREAMED : ANSWER);
  const response = await rig.ask(route, body);
  return { route, response };
}

interface Move {
  readonly name: string;
  readonly script: Script;
  readonly reason: string;
  /** Of the failed attempt: `-` without a response head. */
  readonly status: number | "-";
  /** How often the first target is asked. */
  readonly tries?: number;
  readonly policy?: Record<string, object>;
}

const MOVES: Move[] = [
  { name: "a reset before the head", script: { raw: "", end: "reset" }, reason: "network", status: "-", tries: 2 },
  { name: "a close before the head", script: { raw: "", end: "fin" }, reason: "network", status: "-", tries: 2 },
  { name: "408", script: vendorError(408), reason: "timeout", status: 408 },
  { name: "409", script: vendorError(409), reason: "server_error", status: 409 },
  { name: "425", script: vendorError(425), reason: "server_error", status: 425 },
  { name: "429 without Retry-After", script: vendorError(429), reason: "rate_limited", status: 429 },
  {
    name: "429 with a long Retry-After",
    script: vendorError(429, {}, { "retry-after": "30" }),
    reason: "rate_limited",
    status: 429,
  },
  {
    name: "429 with a short Retry-After",
    script: vendorError(429, {}, { "retry-after-ms": "40" }),
    reason: "rate_limited",
    status: 429,
    tries: 2,
  },
  {
    name: "429 with retry.same_target 0",
    script: vendorError(429, {}, { "retry-after-ms": "40" }),
    reason: "rate_limited",
    status: 429,
    policy: { retry: { same_target: 0 } },
  },
  ...[500, 502, 503, 504, 529].map((status) => ({
    name: String(status),
    script: vendorError(status),
    reason: "server_error",
    status,
    tries: 2,
  })),
  { name: "501", script: vendorError(501), reason: "server_error", status: 501 },
  {
    name: "503, twice more",
    script: vendorError(503),
    reason: "server_error",
    status: 503,
    tries: 3,
    policy: { retry: { same_target: 2 } },
  },
  ...[401, 402, 403, 404].map((status) => ({
    name: `${status} of our account`,
    script: vendorError(status),
    reason: "auth",
    status,
  })),
  ...[301, 302, 303, 307, 308].map((status) => ({
    name: `${status}`,
    script: { status, body: "", headers: { location: "CANARY" } },
    reason: "invalid_response",
    status,
  })),
  {
    name: "a page of HTML",
    script: { body: "<html>hello</html>", headers: { "content-type": "text/html" } },
    reason: "invalid_response",
    status: 200,
  },
  {
    name: "text",
    script: { body: "It works!", headers: { "content-type": "text/plain" } },
    reason: "invalid_response",
    status: 200,
  },
  { name: "nothing", script: { body: "" }, reason: "invalid_response", status: 200 },
  { name: "invalid JSON", script: { body: '{"choices":[{"message":' }, reason: "invalid_response", status: 200 },
  { name: "an empty object", script: { json: {} }, reason: "invalid_response", status: 200 },
  { name: "no choices", script: { json: { choices: [] } }, reason: "invalid_response", status: 200 },
  { name: "a choice without a message", script: { json: { choices: [{}] } }, reason: "invalid_response", status: 200 },
  { name: "200 with an error body", script: vendorError(200), reason: "server_error", status: 200 },
  {
    name: "200 with a rate limit in its body",
    script: vendorError(200, { type: "rate_limit_error" }),
    reason: "rate_limited",
    status: 200,
  },
  {
    name: "a window that is too small",
    script: vendorError(400, { code: "context_length_exceeded" }),
    reason: "context_length",
    status: 400,
  },
  {
    name: "a filter that fallback.on names",
    script: vendorError(400, { code: "content_filter" }),
    reason: "content_filter",
    status: 400,
    policy: { fallback: { on: ["content_filter"] } },
  },
];

describe("moves on to the next target", () => {
  const cases = MOVES.flatMap((move) => [
    { ...move, kind: "whole", body: {} },
    { ...move, kind: "stream", body: { stream: true } },
  ]);
  test.each(cases)("$name ($kind)", async ({ script, reason, status, tries = 1, policy = {}, body }) => {
    const location = script.headers?.["location"] === "CANARY" ? { headers: { location: canary.url } } : {};
    const { route, response } = await askPair({ ...script, ...location }, body, policy);
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain("second");
    expect(text).not.toContain(CANARY_SECRET);
    expect(rig.calls(route)).toEqual([tries, 1]);
    expect(canary.calls).toHaveLength(0);
    const [first, second] = route.models;
    const failed = Array<string>(tries).fill(`openai/${first};${reason};${status}`);
    await expectStory(rig, route, response, [...failed, `groq/${second};ok;200`], reason);
    expect(response.headers.get("x-flowlayer-provider")).toBe("groq");
  });

  const timeouts = { first_token_ms: 200, total_ms: 400 };
  test.each([
    { name: "a head that never comes, stream", script: { hang: true }, body: { stream: true }, status: "-" },
    { name: "a head that never comes, whole", script: { hang: true }, body: {}, status: "-" },
    {
      name: "a stream without content",
      script: { events: [": x\n\n"], end: "stall" as const },
      body: { stream: true },
      status: 200,
    },
    { name: "half an answer", script: { body: '{"choices":', end: "stall" as const }, body: {}, status: 200 },
  ])("$name: the same target is not asked again after silence", async ({ script, body, status }) => {
    const { route, response } = await askPair(script, body, { timeouts });
    expect(await response.text()).toContain("second");
    expect(rig.calls(route)).toEqual([1, 1]);
    const [first, second] = route.models;
    await expectStory(rig, route, response, [`openai/${first};timeout;${status}`, `groq/${second};ok;200`], "timeout");
    await expect.poll(() => rig.upstream.callsTo(first!)[0]?.closedBy).toBe("router");
  });

  test("a refused connection", async () => {
    const route = await rig.route({ providers: ["together", "groq"] });
    const response = await rig.ask(route);
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([0, 1]);
    const [first, second] = route.models;
    const refused = `together/${first};network;-`;
    await expectStory(rig, route, response, [refused, refused, `groq/${second};ok;200`], "network");
  });

  test.each([
    { name: "an error as its first event", script: { events: [{ error: { message: "no" } }] }, reason: "server_error" },
    { name: "only [DONE]", script: { events: ["data: [DONE]\n\n"] }, reason: "invalid_response" },
    {
      name: "the role and [DONE]",
      script: { events: [chunks("")[0]!, "data: [DONE]\n\n"] },
      reason: "invalid_response",
    },
    { name: "only usage", script: { events: chunks("", { finish: null }) }, reason: "invalid_response" },
    { name: "no event at all", script: { events: [] }, reason: "invalid_response" },
  ])("a stream that is $name", async ({ script, reason }) => {
    for (const more of [{}, { stream_options: { include_usage: true } }]) {
      const { route, response } = await askPair(script, { stream: true, ...more });
      expect(await response.text()).toContain("second");
      expect(rig.calls(route)).toEqual([1, 1]);
      const [first, second] = route.models;
      await expectStory(rig, route, response, [`openai/${first};${reason};200`, `groq/${second};ok;200`], reason);
    }
  });

  test("an answer larger than 16 MiB", async () => {
    const { route, response } = await askPair({ body: `{"x":"${"x".repeat(17 * 1024 * 1024)}"}` });
    expect(await response.text()).toContain("second");
    expect(rig.calls(route)).toEqual([1, 1]);
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("invalid_response");
  });

  test("an answer in events that has no end is no whole answer", async () => {
    const { route, response } = await askPair({ events: chunks("first").slice(0, 1) });
    expect(await response.text()).toContain("second");
    expect(rig.calls(route)).toEqual([1, 1]);
  });
});

describe("tries the same target once more", () => {
  test.each([
    { name: "a reset", script: { raw: "", end: "reset" as const }, outcome: "network;-", minMs: 20 },
    { name: "503", script: vendorError(503), outcome: "server_error;503", minMs: 20 },
    {
      name: "429 with a short wait",
      script: vendorError(429, {}, { "retry-after-ms": "80" }),
      outcome: "rate_limited;429",
      minMs: 80,
    },
  ])("after $name, behind a pause, and that is no fallback", async ({ script, outcome, minMs }) => {
    const { route, response } = await askPair(
      [script, { json: completion({ text: "healed" }) }],
      {},
      { retry: { backoff_ms: 40 } },
    );
    expect(await response.text()).toContain("healed");
    expect(rig.calls(route)).toEqual([2, 0]);
    const [first] = route.models;
    await expectStory(rig, route, response, [`openai/${first};${outcome}`, `openai/${first};ok;200`], null);
    const [one, two] = rig.upstream.calls;
    expect(two!.receivedAt - one!.receivedAt).toBeGreaterThanOrEqual(minMs - 2);
  });

  test("but not when the pause does not fit the latency budget", async () => {
    const { route, response } = await askPair(
      vendorError(503),
      {},
      { retry: { backoff_ms: 5_000 }, latency: { budget_ms: 1_000 } },
    );
    expect(response.status).toBe(200);
    expect(rig.calls(route)).toEqual([1, 1]);
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("true");
  });
});

describe("does not move on", () => {
  test.each([
    ...[400, 413, 422].map((status) => ({
      name: String(status),
      script: vendorError(status, { param: "temperature" }),
      code: "upstream_invalid_request",
      param: "temperature",
      outcome: `invalid_request;${status}`,
    })),
    {
      name: "a content filter",
      script: vendorError(400, { code: "content_filter" }),
      code: "content_filter",
      param: null,
      outcome: "content_filter;400",
    },
    {
      name: "invalid_request in a 200",
      script: vendorError(200, { type: "invalid_request_error" }),
      code: "upstream_invalid_request",
      param: null,
      outcome: "invalid_request;200",
    },
  ])("$name: the client hears the provider's words, without our secrets", async ({ script, code, param, outcome }) => {
    for (const body of [{}, { stream: true }]) {
      const { route, response } = await askPair(script, body);
      const { error: refusal } = await expectError(response, { status: 400, code });
      expect(refusal.message).toBe("vendor says [removed]");
      expect(refusal.param).toBe(param);
      expect(refusal.attempts).toHaveLength(1);
      expect(rig.calls(route)).toEqual([1, 0]);
      await expectStory(rig, route, response, [`openai/${route.models[0]};${outcome}`], null);
    }
    expect(wordsOnRequests(rig.worker.logs())).toEqual([]);
  });

  test("a window that is too small, where fallback.on does not name it", async () => {
    const { route, response } = await askPair(
      vendorError(400, { code: "context_length_exceeded" }),
      {},
      { fallback: { on: [] } },
    );
    await expectError(response, { status: 400, code: "context_length_exceeded" });
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test("a window that is too small everywhere says so", async () => {
    const route = await rig.route();
    rig.upstream.script(vendorError(400, { code: "context_length_exceeded" }));
    await expectError(await rig.ask(route), { status: 400, code: "context_length_exceeded" });
    expect(rig.calls(route)).toEqual([1, 1]);
  });

  test.each([
    { name: "the body", body: { route: { fallback: false } }, headers: {}, policy: {} },
    { name: "the header", body: {}, headers: { "x-flowlayer-fallback": "false" }, policy: {} },
    {
      name: "the body over the header",
      body: { route: { fallback: false } },
      headers: { "x-flowlayer-fallback": "true" },
      policy: {},
    },
    { name: "the policy", body: {}, headers: {}, policy: { fallback: { enabled: false } } },
    {
      name: "the policy, whatever the client wants",
      body: { route: { fallback: true } },
      headers: {},
      policy: { fallback: { enabled: false } },
    },
  ])("with fallback off by $name: exactly one provider", async ({ body, headers, policy }) => {
    const route = await rig.route({ policy });
    rig.upstream.scriptFor(route.models[0]!, vendorError(500));
    const response = await rig.ask(route, body, { headers });
    await expectError(response, { status: 502, code: "upstream_failed" });
    expect(rig.calls(route)).toEqual([2, 0]);
    const failed = `openai/${route.models[0]};server_error;500`;
    await expectStory(rig, route, response, [failed, failed], null);
  });
});

test("what is sent to the next target is the client's request again, for its model", async () => {
  const { route, response } = await askPair(vendorError(500), { temperature: 0.25, x_unknown: [1] });
  const bodies = rig.upstream.calls.map((call) => JSON.parse(call.body) as object);
  const { model: _model, ...rest } = chatBody(route, { temperature: 0.25, x_unknown: [1] }) as { model: string };
  const { x_unknown: _unknown, ...known } = rest as { x_unknown?: unknown };
  const sent = [rest, rest, known];
  expect(bodies).toEqual([0, 0, 1].map((index, at) => ({ ...sent[at], model: route.models[index] })));
  // Groq refuses members that it does not know.
  expect(response.headers.get("x-flowlayer-dropped-params")).toBe("x_unknown");
});
