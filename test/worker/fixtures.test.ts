/**
 * Answers as vendors write them, replayed through the Worker as that vendor: whole and cut at random places, with and
 * without usage asked for. The project's own are written by hand; recorded ones are replayed too where they lie beside
 * the checkout.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ROWS } from "../../src/providers/rows.ts";
import type { Trace } from "../../src/traces/schema.ts";
import { type ChatRig, type ErrorBody, startChatRig, type TestRoute } from "../support/chat.ts";
import { randomFrom } from "../support/random.ts";
import { type Collected, collect } from "../support/sse.ts";
import type { Script } from "../support/upstream.ts";

interface Expected {
  readonly text?: string;
  readonly reasoning_text?: string;
  readonly refusal?: string;
  readonly tool_calls?: readonly { readonly id?: string; readonly name: string; readonly arguments_json: string }[];
  readonly finish_reason?: string;
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly completion_tokens_alt?: readonly number[];
  readonly cached_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly error?: { readonly message?: string; readonly code?: unknown };
}

interface Fixture {
  readonly file: string;
  readonly provider: string;
  readonly kind: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly expect: Expected;
  readonly directory: string;
}

/** Azure has no row yet. Its streams are OpenAI's; its whole answers may lack a message, which only an adapter can mend. */
const playedBy = ({ provider, kind }: Pick<Fixture, "provider" | "kind">): string =>
  provider === "azure" && kind === "sse" ? "openai" : provider;
const OWN = new URL("../fixtures/", import.meta.url).pathname;
const RECORDED = new URL("../../../shared/fixtures/", import.meta.url).pathname;

function fixturesIn(directory: string): Fixture[] {
  const index = `${directory}index.json`;
  if (!existsSync(index)) return [];
  const all = JSON.parse(readFileSync(index, "utf8")) as Omit<Fixture, "directory">[];
  const playable = new Set(ROWS.map(({ id }) => id));
  return all
    .map((fixture) => ({ ...fixture, provider: playedBy(fixture), directory }))
    .filter(({ provider }) => playable.has(provider));
}

const FIXTURES = [...fixturesIn(OWN), ...fixturesIn(RECORDED)];
const ofKind = (kind: string): Fixture[] => FIXTURES.filter((fixture) => fixture.kind === kind);
const bytesOf = ({ file, directory }: Fixture): Buffer => readFileSync(`${directory}${file}`);

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ CLOUDFLARE_ACCOUNT_ID: "account" });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

function cutAtRandom(bytes: Buffer, seed: number): Buffer[] {
  const pieces: Buffer[] = [];
  const random = randomFrom(seed);
  for (let at = 0; at < bytes.length; ) {
    // Mostly a few bytes, at times most of a block.
    const size = 1 + Math.floor(random() ** 3 * 900);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** A route of one target: the vendor itself. */
const routeTo = ({ provider }: Fixture): Promise<TestRoute> =>
  rig.route({ providers: [provider], policy: { retry: { same_target: 0 } } });

async function play(
  route: TestRoute,
  fixture: Fixture,
  body: object,
  script: Script,
): Promise<{ response: Response; text: string }> {
  const headers = Object.fromEntries(Object.entries(fixture.headers).filter(([, value]) => value !== ""));
  rig.upstream.script({ ...script, status: fixture.status, headers });
  const before = rig.upstream.calls.length;
  const response = await rig.ask(route, body);
  const text = await response.text();
  expect(rig.upstream.calls.length - before).toBe(1);
  return { response, text };
}

function expectAnswer(answer: Collected, wanted: Expected): void {
  if (wanted.text !== undefined) expect(answer.text).toBe(wanted.text);
  if (wanted.reasoning_text !== undefined) expect(answer.reasoning).toBe(wanted.reasoning_text);
  if (wanted.refusal !== undefined) expect(answer.refusal).toBe(wanted.refusal);
  if (wanted.finish_reason !== undefined) expect(answer.finishReason).toBe(wanted.finish_reason);
  if (wanted.tool_calls !== undefined) {
    const parsed = answer.toolCalls.map(({ id, name, arguments: text }) => ({
      id,
      name,
      value: JSON.parse(text) as unknown,
    }));
    expect(parsed).toMatchObject(
      wanted.tool_calls.map(({ arguments_json, ...call }) => ({
        ...call,
        value: JSON.parse(arguments_json) as unknown,
      })),
    );
    expect(parsed).toHaveLength(wanted.tool_calls.length);
  }
}

function expectUsage({ usage }: Trace, wanted: Expected): void {
  if (wanted.prompt_tokens === undefined) {
    expect(usage.source).toBe("counted");
    return;
  }
  expect(usage).toMatchObject({ prompt_tokens: wanted.prompt_tokens, source: "upstream" });
  expect([wanted.completion_tokens, ...(wanted.completion_tokens_alt ?? [])]).toContain(usage.completion_tokens);
  if (wanted.cached_tokens !== undefined) expect(usage.cached_tokens).toBe(wanted.cached_tokens);
  if (wanted.reasoning_tokens !== undefined) expect(usage.reasoning_tokens).toBe(wanted.reasoning_tokens);
}

test("there is something to replay, of every kind", () => {
  expect(fixturesIn(OWN).length).toBeGreaterThanOrEqual(18);
  expect(ofKind("json").length).toBeGreaterThanOrEqual(2);
  expect(ofKind("error").length).toBeGreaterThanOrEqual(6);
  expect(ofKind("sse").length).toBeGreaterThanOrEqual(10);
});

const named = (fixtures: readonly Fixture[]) =>
  fixtures.map((fixture) => ({ fixture, name: `${fixture.directory === OWN ? "own" : "recorded"} ${fixture.file}` }));

describe("streams", () => {
  const MODES = [
    { mode: "native", body: { stream: true, stream_options: { include_usage: true } } },
    { mode: "pump", body: { stream: true } },
  ] as const;
  test.each(named(ofKind("sse")).flatMap((each) => MODES.map((mode) => ({ ...each, ...mode }))))(
    "$name, $mode: whole and cut anywhere, the client gets the vendor's answer",
    async ({ fixture, body, mode }) => {
      const bytes = bytesOf(fixture);
      const route = await routeTo(fixture);
      const answers: { response: Response; text: string }[] = [];
      for (const events of [[bytes], cutAtRandom(bytes, 7), cutAtRandom(bytes, 2026)]) {
        answers.push(await play(route, fixture, body, { events }));
      }
      const traces = await Promise.all(answers.map(({ response }) => rig.trace(route, response)));
      for (const [index, { response, text }] of answers.entries()) {
        expect(response.status).toBe(200);
        const answer = collect(text);
        const { finish_reason: _finish, ...beforeError } = fixture.expect;
        expectAnswer(answer, fixture.expect.error === undefined ? fixture.expect : beforeError);
        const trace = traces[index]!;
        if (fixture.expect.error !== undefined) {
          expect(answer.error).not.toBeNull();
          expect(trace).toMatchObject({ status: "error", error_code: "stream_interrupted" });
          if (mode === "pump") expect(answer).toMatchObject({ isDone: false, error: { code: "stream_interrupted" } });
        } else {
          expect(answer).toMatchObject({ isDone: true, error: null });
          if (mode === "pump") expect(answer.usageEvents).toBe(0);
          expect(trace).toMatchObject({ status: "ok" });
          expectUsage(trace, fixture.expect);
        }
      }
      const texts = answers.map(({ text }) => text);
      const ids = /tr_[0-9A-Za-z]{32}/g;
      expect(new Set(texts.map((text) => text.replace(ids, "tr_")))).toHaveLength(1);
      if (mode === "native") expect(texts[0]?.startsWith(bytes.toString("utf8"))).toBe(true);
    },
  );
});

interface WholeAnswer {
  readonly model: string;
  readonly choices: readonly {
    readonly message: { readonly content: unknown; readonly reasoning?: string; readonly refusal?: string };
    readonly finish_reason: string;
  }[];
  readonly usage: object;
  readonly flow: object;
}

test.each(named(ofKind("json")))("$name: a whole answer is the vendor's, with usage and flow", async ({ fixture }) => {
  const route = await routeTo(fixture);
  const { response, text } = await play(route, fixture, {}, { body: bytesOf(fixture) });
  expect(response.status).toBe(200);
  const { flow, usage, ...rest } = JSON.parse(text) as WholeAnswer;
  const { usage: _usage, ...vendor } = JSON.parse(bytesOf(fixture).toString("utf8")) as WholeAnswer;
  expect(rest).toEqual(vendor);
  const choice = rest.choices[0]!;
  const { content } = choice.message;
  expect(typeof content === "string" ? content : JSON.stringify(content ?? "").replace(/^""$/, "")).toBe(
    fixture.expect.text,
  );
  expect(choice.finish_reason).toBe(fixture.expect.finish_reason);
  expect(usage).toMatchObject({ prompt_tokens: expect.any(Number), completion_tokens: expect.any(Number) });
  expect(flow).toMatchObject({ trace_id: response.headers.get("x-request-id"), provider: fixture.provider });
  expectUsage(await rig.trace(route, response), fixture.expect);
});

/** Status and code for the client, by status and code of the vendor; the account's faults are not the client's. */
function expectedRefusal({ provider, status, expect: { error } }: Fixture): {
  status: number;
  code: string;
  outcome: string;
} {
  if (error?.code === "content_filter") return { status: 400, code: "content_filter", outcome: "content_filter" };
  // xAI answers a wrong key with 400.
  const isAccount = [401, 402, 403].includes(status) || (provider === "xai" && /API key/.test(error?.message ?? ""));
  if (isAccount) return { status: 502, code: "upstream_failed", outcome: "auth" };
  if (status === 429) return { status: 429, code: "upstream_rate_limited", outcome: "rate_limited" };
  if (status === 400) return { status: 400, code: "upstream_invalid_request", outcome: "invalid_request" };
  return { status: 502, code: "upstream_failed", outcome: "server_error" };
}

test.each(named(ofKind("error")))("$name: an error reaches the client as what it is", async ({ fixture }) => {
  for (const body of [{}, { stream: true }]) {
    // A target that was told to wait would be asked all the same, but a fresh one says so more plainly.
    const route = await routeTo(fixture);
    const { response, text } = await play(route, fixture, body, { body: bytesOf(fixture) });
    const { error } = JSON.parse(text) as ErrorBody;
    const { status, code, outcome } = expectedRefusal(fixture);
    expect({ status: response.status, code: error.code }).toEqual({ status, code });
    expect(response.headers.get("retry-after") !== null).toBe(status === 429);
    expect(await rig.trace(route, response)).toMatchObject({
      status: "error",
      attempts: [{ outcome, status: fixture.status }],
    });
    rig.upstream.reset();
  }
});
