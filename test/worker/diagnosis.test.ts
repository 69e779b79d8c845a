/** Found at three in the morning, from the log line or the trace alone: which provider, with which words, and why not another. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { CANARY_SECRET, type ChatRig, startChatRig, type TestRoute, vendorError } from "../support/chat.ts";
import { completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ MISTRAL_API_KEY: "", TOGETHER_BASE_URL: "http://127.0.0.1:9/v1" });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const REQUEST_ID = { "x-request-id": "req_0123abc" };
const ANSWER: Script = { json: completion({ text: "second" }), headers: { "request-id": "req_good" } };

interface LogLine {
  readonly event: string;
  readonly attempt_details: readonly Record<string, unknown>[];
  readonly [field: string]: unknown;
}

async function asOperator(route: TestRoute, response: Response): Promise<Trace> {
  await rig.trace(route, response);
  const found = await rig.worker.admin(`/admin/traces/${response.headers.get("x-request-id")}`);
  return (await found.json()) as Trace;
}

/** The line of this request; it is written with the settlement. */
async function lineOf(response: Response): Promise<LogLine> {
  const id = response.headers.get("x-request-id") ?? "";
  const find = () =>
    rig.worker
      .logs()
      .split("\n")
      .find((line) => line.includes('"event":"request"') && line.includes(id));
  await vi.waitFor(() => expect(find()).toBeDefined(), { timeout: 5_000 });
  return JSON.parse(find() ?? "") as LogLine;
}

/** What the provider says, and what of it an operator sees. */
const FAILURES: readonly {
  script: Script;
  outcome: string;
  code: string;
  status: number | null;
  says: RegExp | null;
}[] = [
  {
    script: vendorError(401, { message: `Incorrect key ${CANARY_SECRET}`, code: "invalid_api_key" }, REQUEST_ID),
    ...{ outcome: "auth", code: "invalid_api_key", status: 401, says: /^Incorrect key \[removed\]$/ },
  },
  {
    script: vendorError(
      403,
      { message: "Country not supported", code: "unsupported_country_region_territory" },
      REQUEST_ID,
    ),
    ...{ outcome: "auth", code: "unsupported_country_region_territory", status: 403, says: /^Country not supported$/ },
  },
  {
    script: vendorError(429, { message: "You exceeded your quota", code: "insufficient_quota" }, REQUEST_ID),
    ...{ outcome: "auth", code: "insufficient_quota", status: 429, says: /exceeded your quota/ },
  },
  {
    script: vendorError(429, { message: `Slow down. ${"x ".repeat(400)}`, code: "rate_limit_exceeded" }, REQUEST_ID),
    ...{ outcome: "rate_limited", code: "rate_limit_exceeded", status: 429, says: /^Slow down\. [x ]{280,289}$/ },
  },
  {
    script: { status: 503, body: "upstream connect error", headers: REQUEST_ID },
    ...{ outcome: "server_error", code: "", status: 503, says: null },
  },
  {
    script: vendorError(
      400,
      { message: "messages[0] says Top Secret Prompt", code: "context_length_exceeded" },
      REQUEST_ID,
    ),
    ...{ outcome: "context_length", code: "context_length_exceeded", status: 400, says: null },
  },
];

describe("the attempt of an operator's trace, and of the log line, has the provider's own words", () => {
  test.each(FAILURES)("$status $code", async ({ script, outcome, code, status, says }) => {
    const route = await rig.route({ policy: { retry: { same_target: 0 }, fallback: { on: ["context_length"] } } });
    rig.upstream.scriptFor(route.models[0]!, script);
    rig.upstream.scriptFor(route.models[1]!, ANSWER);
    const response = await rig.ask(route);
    expect(response.status).toBe(200);
    const trace = await asOperator(route, response);
    const [failed, won] = trace.attempts;
    expect(failed).toMatchObject({ provider: "openai", outcome, status, provider_request_id: "req_0123abc" });
    expect(failed?.provider_code ?? "").toBe(code);
    if (says === null) expect(failed).not.toHaveProperty("provider_message");
    else expect(failed?.provider_message).toMatch(says);
    expect(won).toMatchObject({ outcome: "ok", provider_request_id: "req_good" });
    expect(trace.fallback_reason).toBe(outcome);
    const line = await lineOf(response);
    expect(line).toMatchObject({ status: "ok", fallback: true, fallback_reason: outcome, provider: "groq" });
    const { provider_code, provider_message } = failed ?? {};
    expect(line.attempt_details[0]).toMatchObject({
      provider: "openai",
      credential: 1,
      outcome,
      ...(says === null ? {} : { provider_message }),
    });
    expect(line.attempt_details[0]?.["provider_code"]).toBe(provider_code);
    expect(JSON.stringify([trace, line])).not.toMatch(new RegExp(`${CANARY_SECRET}|Top Secret`));
  });

  test("of a failed request the line names every attempt, also one that no answer came to", async () => {
    const route = await rig.route({ providers: ["openai", "together"], policy: { retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[0]!, vendorError(401, { code: "invalid_api_key" }));
    const response = await rig.ask(route);
    expect(response.status).toBe(502);
    const line = await lineOf(response);
    expect(line).toMatchObject({ status: "error", http_status: 502, error_code: "upstream_failed" });
    expect(line.attempt_details).toMatchObject([
      { provider: "openai", outcome: "auth", status: 401, provider_code: "invalid_api_key" },
      { provider: "together", outcome: "network", status: null, provider_message: expect.stringMatching(/./) },
    ]);
  });

  test("the key's own trace has none of it", async () => {
    const route = await rig.route({ providers: ["mistral", "openai", "groq"], policy: { retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[1]!, vendorError(401, { code: "invalid_api_key" }, REQUEST_ID));
    rig.upstream.scriptFor(route.models[2]!, ANSWER);
    const response = await rig.ask(route);
    const own = await rig.trace(route, response);
    for (const shown of [own, ...(await rig.traces(route))])
      expect(JSON.stringify(shown)).not.toMatch(/provider_\w|detail/);
    expect(own.skipped).toEqual([{ provider: "mistral", model: route.models[0], reason: "not_configured" }]);
  });
});

describe("a target that was passed over leaves its reason", () => {
  test("without its secret, unpriced under a budget, without the ability, too dear", async () => {
    const route = await rig.route({
      providers: ["mistral", "groq", "openai", "openai"],
      targets: [{}, {}, { model: "gpt-3.5-turbo-instruct" }, { model: "gpt-4.1-mini" }],
      key: { budget: { limit_usd: 1, period: "total" } },
    });
    rig.upstream.scriptFor("gpt-4.1-mini", ANSWER);
    rig.upstream.scriptFor("gpt-3.5-turbo-instruct", ANSWER);
    const response = await rig.ask(route, { max_tokens: 10 });
    expect(response.status).toBe(200);
    const { skipped, fallback_reason } = await asOperator(route, response);
    expect(skipped?.slice(0, 2)).toMatchObject([
      { provider: "mistral", reason: "not_configured", detail: "Set MISTRAL_API_KEY." },
      { provider: "groq", reason: "unpriced", detail: expect.stringContaining("price") },
    ]);
    expect(fallback_reason).toBe("unpriced");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("unpriced");
  });
});
