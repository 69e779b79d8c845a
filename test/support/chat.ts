/**
 * A Worker with every provider of a test played by one scripted upstream: each test takes a key, a route and models of
 * its own, asks, and looks at what came of it.
 */
import { expect } from "vitest";
import { findModel } from "../../src/catalog/index.ts";
import type { Env } from "../../src/config.ts";
import { RoutePolicy, type RouteRecord, routeKey } from "../../src/policy/schema.ts";
import { baseUrlName } from "../../src/providers/provider-settings.ts";
import { ROWS } from "../../src/providers/rows.ts";
import type { Trace } from "../../src/traces/schema.ts";
import { type Script, startUpstream, type Upstream } from "./upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "./worker.ts";

/** Secret of every provider of the rig: nothing a client can read may hold it. */
export const CANARY_SECRET = "sk-canary0123456789abcdefcanary0123456789";

const PAIR = ["openai", "groq"] as const;

/** What providers with a protocol of their own need besides a base URL. */
const TRANSLATED: readonly { readonly id: string; readonly vars: Readonly<Record<string, string>> }[] = [
  { id: "anthropic", vars: { ANTHROPIC_API_KEY: CANARY_SECRET } },
  { id: "google", vars: { GEMINI_API_KEY: CANARY_SECRET } },
  { id: "bedrock", vars: { AWS_BEARER_TOKEN_BEDROCK: CANARY_SECRET, AWS_REGION: "us-east-1" } },
  { id: "azure", vars: { AZURE_API_KEY: CANARY_SECRET } },
  { id: "cohere", vars: { COHERE_API_KEY: CANARY_SECRET } },
];

/** Between looks for a trace, the first one included: settlement gathers for most of that before it begins. */
const TRACE_PAUSE_MS = 60;
const TRACE_LIMIT_MS = 10_000;

/** Short clocks, so that a test of patience needs little of it. */
const QUICK = { retry: { backoff_ms: 20 }, timeouts: { first_token_ms: 2_000, idle_ms: 2_000, total_ms: 8_000 } };

export interface RouteSpec {
  /** Provider ids, in order. Default two. */
  readonly providers?: readonly string[];
  /** Merged into the policy, member by member. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Members of single targets, by position. */
  readonly targets?: readonly Readonly<Record<string, unknown>>[];
  /** Members of a key of the route's own. */
  readonly key?: Readonly<Record<string, unknown>>;
}

export interface TestRoute {
  /** `flow/<name>`. */
  readonly model: string;
  readonly key: string;
  readonly keyId: string;
  /** Upstream model of each target: scripts and calls are kept by it. */
  readonly models: readonly string[];
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
    readonly attempts?: readonly Readonly<Record<string, unknown>>[];
    readonly tool_calls?: readonly string[];
    /** Which limit was reached, and by how much. */
    readonly limit?: Readonly<Record<string, unknown>>;
  };
  readonly flow: Readonly<Record<string, unknown>>;
}

export interface ChatRig {
  readonly worker: TestWorker;
  readonly upstream: Upstream;
  route(spec?: RouteSpec): Promise<TestRoute>;
  /**
   * For files of many tests that ask no key what it has spent, and no control plane about a route: makes routes cheap,
   * which cost more than a request. They have one key from now on, but for those that say what theirs is like, and
   * policies go straight to where the request path reads them.
   */
  prepareForMany(): Promise<void>;
  /** A chat request with one message, `body` merged into it. */
  ask(route: TestRoute, body?: object, init?: RequestInit): Promise<Response>;
  /** The headers of such a request, for clients that are no `fetch`. */
  headers(route: TestRoute): Record<string, string>;
  /** Calls each target of `route` got, in the order of its targets. */
  calls(route: TestRoute): number[];
  /** The settled trace. Fails when it is not there within 10 s, which a machine with much else to do may need. */
  trace(route: TestRoute, response: Response): Promise<Trace>;
  /** All traces of the route's key. */
  traces(route: TestRoute): Promise<readonly Trace[]>;
  stop(): Promise<void>;
}

/** Writes a policy of `production` to KV as the control plane does. Throws when it is not one. */
async function writeRoute({ CONFIG }: Env, name: string, input: Readonly<Record<string, unknown>>): Promise<void> {
  const policy = RoutePolicy.parse(input);
  const facts = policy.targets.map(({ provider, model }) => findModel(provider, model) ?? {});
  const record: RouteRecord = {
    ...{ env: "production", name, version: 1, created_at: new Date().toISOString(), actor: "test" },
    ...{ policy, facts },
  };
  await CONFIG.put(routeKey("production", name), JSON.stringify(record));
}

export function chatBody(route: TestRoute, body: object = {}): object {
  return { model: route.model, messages: [{ role: "user", content: "hi" }], ...body };
}

/** The Worker and the provider behind it. */
interface Parts {
  readonly worker: TestWorker;
  readonly upstream: Upstream;
}

async function startParts(vars: Readonly<Record<string, string>>, front?: string, inspect?: true): Promise<Parts> {
  const upstream = await startUpstream();
  const provided = ROWS.flatMap(({ id, secrets }) => [
    [baseUrlName(id), `${upstream.url}/v1`],
    [secrets[0]!, CANARY_SECRET],
  ]);
  for (const { id, vars: needed } of TRANSLATED) {
    provided.push([baseUrlName(id), `${upstream.url}/v1`], ...Object.entries(needed));
  }
  const worker = await startWorker({
    vars: { ...Object.fromEntries(provided), ...vars },
    ...(front === undefined ? {} : { front }),
    ...(inspect === undefined ? {} : { inspect }),
  });
  return { worker, upstream };
}

/** `vars` go to the Worker; a base URL given here wins over that of the scripted upstream. `front`: see `worker.ts`. */
export async function startChatRig(
  vars: Readonly<Record<string, string>> = {},
  front?: string,
  inspect?: true,
): Promise<ChatRig> {
  const parts = await startParts(vars, front, inspect);
  return rigOn(parts, "chat", async () => {
    await parts.worker.stop();
    await parts.upstream.stop();
  });
}

interface Shared {
  parts: Promise<Parts> | null;
  files: number;
}
/** Modules are loaded anew for each file, what is global is not. */
const global = globalThis as { flowSharedRig?: Shared };

/**
 * The rig that all files of this process share which need nothing of their own: one after the other, with routes, keys
 * and models of their own, and without the calls, scripts and log of those before. Its Worker ends with the process.
 *
 * It is none for a file that counts what the whole deployment does, changes what is not its own, measures the process,
 * or leaves bodies unread.
 */
export async function sharedChatRig(): Promise<ChatRig> {
  global.flowSharedRig ??= { parts: null, files: 0 };
  const shared = global.flowSharedRig;
  shared.parts ??= startParts({});
  const parts = await shared.parts;
  parts.worker.forgetLogs();
  return rigOn(parts, `chat-${++shared.files}`, async () => {
    parts.upstream.hangUp();
    parts.upstream.reset();
  });
}

function rigOn({ worker, upstream }: Parts, prefix: string, stop: () => Promise<void>): ChatRig {
  let routeCount = 0;
  let many: { readonly key: CreatedKey; readonly env: Env } | null = null;

  const headers = ({ key }: TestRoute): Record<string, string> => {
    return { authorization: `Bearer ${key}`, "content-type": "application/json" };
  };
  const traceOf = (route: TestRoute, id: string): Promise<Response> =>
    worker.fetch(`/v1/traces/${id}`, { headers: headers(route) });

  return {
    worker,
    upstream,
    headers,
    async prepareForMany() {
      many = { key: await worker.createKey(), env: worker.bindings() };
    },
    async route({ providers = PAIR, policy = {}, targets = [], key } = {}) {
      const name = `${prefix}-${++routeCount}`;
      const models = providers.map((_, index) => `${name}-model-${index}`);
      const { timeouts, retry, ...rest } = policy as Record<string, Record<string, unknown>>;
      const whole = {
        targets: providers.map((provider, index) => ({ provider, model: models[index], ...targets[index] })),
        retry: { ...QUICK.retry, ...retry },
        timeouts: { ...QUICK.timeouts, ...timeouts },
        ...rest,
      };
      const published = many ? writeRoute(many.env, name, whole) : worker.putRoute("production", name, whole);
      const [own] = await Promise.all([many && key === undefined ? many.key : worker.createKey(key), published]);
      return { model: `flow/${name}`, key: own.key, keyId: own.id, models };
    },
    ask: (route, body = {}, init = {}) =>
      worker.fetch("/v1/chat/completions", {
        method: "POST",
        body: JSON.stringify(chatBody(route, body)),
        ...init,
        headers: { ...headers(route), ...(init.headers as Record<string, string> | undefined) },
      }),
    calls: ({ models }) => models.map((model) => upstream.callsTo(model).length),
    async trace(route, response) {
      const id = response.headers.get("x-request-id") ?? "";
      // No `expect.poll`: it refuses to work in tests that run side by side.
      for (const giveUpAt = Date.now() + TRACE_LIMIT_MS; ; ) {
        await new Promise((resolve) => setTimeout(resolve, TRACE_PAUSE_MS));
        const found = await traceOf(route, id);
        if (found.status === 200) return (await found.json()) as Trace;
        expect(Date.now(), `no trace ${id}: ${await found.text()}`).toBeLessThan(giveUpAt);
      }
    },
    async traces(route) {
      const list = await worker.fetch("/v1/traces", { headers: headers(route) });
      return ((await list.json()) as { data: readonly Trace[] }).data;
    },
    stop,
  };
}

/** Checks a refusal or failure in full and gives its body for more. */
export async function expectError(
  response: Response,
  { status, code, retry = false }: { readonly status: number; readonly code: string; readonly retry?: boolean },
): Promise<ErrorBody> {
  const body = (await response.json()) as ErrorBody;
  expect({ status: response.status, code: body.error.code, retry: response.headers.get("x-should-retry") }).toEqual({
    status,
    code,
    retry: String(retry),
  });
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(body.flow["trace_id"]).toBe(response.headers.get("x-request-id"));
  return body;
}

/** Attempts in the log whose provider's words are shown and whose class comes from the client's request: there are none. */
export function wordsOnRequests(logs: string): readonly unknown[] {
  const lines = logs.split("\n").filter((line) => line.startsWith('{"event":"request"'));
  const attempts = lines.flatMap(
    (line) => (JSON.parse(line) as { attempt_details?: Record<string, unknown>[] }).attempt_details ?? [],
  );
  const operational = ["auth", "rate_limited", "server_error", "network", "timeout"];
  return attempts.filter(
    ({ provider_message, outcome }) => provider_message !== undefined && !operational.includes(String(outcome)),
  );
}

/** An error as a provider writes it. It repeats our credential, as some do. */
export const vendorError = (status: number, body: object = {}, headers: Record<string, string> = {}): Script => ({
  status,
  json: { error: { message: `vendor says ${CANARY_SECRET}`, type: "some_error", code: null, ...body } },
  headers,
});

/**
 * Headers and trace tell the same story: `attempts` as in the log header, without durations, and why the first choice
 * did not answer (`null`: it did).
 */
export async function expectStory(
  rig: ChatRig,
  route: TestRoute,
  response: Response,
  attempts: readonly string[],
  reason: string | null,
): Promise<void> {
  expect(response.headers.get("x-flowlayer-attempts")).toBe(String(attempts.length));
  expect(response.headers.get("x-flowlayer-fallback")).toBe(String(reason !== null));
  expect(response.headers.get("x-flowlayer-fallback-reason")).toBe(reason);
  const log = response.headers.get("x-flowlayer-attempt-log") ?? "";
  expect(log.replace(/;\d+ms/g, "").split(", ")).toEqual(attempts);
  const trace = await rig.trace(route, response);
  expect(trace.fallback).toBe(reason !== null);
  expect(trace.http_status).toBe(response.status);
  expect(
    trace.attempts.map(({ provider, model, outcome, status }) => `${provider}/${model};${outcome};${status ?? "-"}`),
  ).toEqual(attempts);
  for (const { started_ms, duration_ms } of trace.attempts) {
    expect(Math.min(started_ms, duration_ms)).toBeGreaterThanOrEqual(0);
  }
}
