/**
 * Clients that stop reading and stay: at `total_ms` their stream ends all the same, the provider's call with it, and
 * what was held for it is free.
 *
 * All of them begin at once and the tests look at what became of each: they wait for clocks, not for one another.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { type ChatRig, chatBody, type RouteSpec, startChatRig, type TestRoute } from "../support/chat.ts";
import { pricedModel } from "../support/models.ts";
import { connectRaw, type RawClient, requestText } from "../support/raw.ts";
import { chunks, type Script } from "../support/upstream.ts";

const TOTAL_MS = 2_500;
/** What a client may still take after it. */
const LAST_BYTES_MS = 1_000;
/** What a machine with much else to do may add; less than any other clock of these routes. */
const SLACK_MS = 6_000;

/** More than the buffers of the system take between a Worker and a client. */
const MEGABYTES = 10;
/** No more may be held, and less would fit into the buffers of the system. */
const HELD_MEGABYTES = 7;
const LONG_TEXT = "word ".repeat(160_000);
const [ROLE = "", WORD = ""] = chunks("word");
const [, LONG_WORD = ""] = chunks("x".repeat(100_000));
const LONG: readonly string[] = [ROLE, WORD, ...Array<string>(10 * MEGABYTES).fill(LONG_WORD)];
const CALLS = Array.from({ length: HELD_MEGABYTES }, (_, index) => {
  return { id: `call_${index}`, name: "send", arguments: JSON.stringify({ text: LONG_TEXT }) };
});
const tools = [{ type: "function", function: { name: "send" } }];
const WITH_USAGE = { stream: true, stream_options: { include_usage: true } };

interface Case {
  readonly name: string;
  readonly body: object;
  readonly scripts: readonly Script[];
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Who ended the call of the last target: the provider where it has said all and the client is what is waited for. */
  readonly closedBy: "router" | "upstream";
  readonly status: string;
}

const CASES: readonly Case[] = [
  {
    name: "bytes that move natively",
    body: WITH_USAGE,
    scripts: [{ events: LONG, end: "stall" }],
    ...{ closedBy: "router", status: "cancelled" },
  },
  {
    name: "events that are read",
    body: { stream: true },
    scripts: [{ events: LONG, end: "stall" }],
    ...{ closedBy: "router", status: "cancelled" },
  },
  {
    name: "an answer that the next target goes on with",
    body: { stream: true },
    scripts: [
      { events: [ROLE, WORD], end: "reset" },
      { events: LONG, end: "stall" },
    ],
    policy: { stream_recovery: "resume" },
    ...{ closedBy: "router", status: "cancelled" },
  },
  {
    name: "tool calls that were held and are released",
    body: { stream: true, tools },
    scripts: [{ events: chunks("Here. ", { toolCalls: CALLS }) }],
    policy: { tools: { require_approval: true, auto_approve: ["*"] } },
    ...{ closedBy: "upstream", status: "ok" },
  },
];

interface Stalled {
  readonly route: TestRoute;
  readonly client: RawClient;
  readonly trace: Trace;
  /** From the request until the trace was there. */
  readonly tookMs: number;
}

let rig: ChatRig;
let late: Pick<Stalled, "client" | "trace">;
const stalled = new Map<string, Stalled>();

beforeAll(async () => {
  rig = await startChatRig();
  const cases = CASES.map(async (each) => stalled.set(each.name, await stall(each)));
  [late] = await Promise.all([readLate(), ...cases]);
});
afterAll(async () => {
  for (const { client } of [late, ...stalled.values()]) client.reset();
  await rig.stop();
  expect(rig.worker.logs()).not.toMatch(/unexpected_error|uncaught|unhandled/i);
});

async function routeFor(policy: RouteSpec["policy"]): Promise<TestRoute> {
  const models = [pricedModel(), pricedModel()];
  const route = await rig.route({
    providers: ["openai", "openai"],
    targets: models.map((model) => ({ model })),
    policy: {
      retry: { same_target: 0 },
      timeouts: { total_ms: TOTAL_MS, first_token_ms: 30_000, idle_ms: 30_000 },
      ...policy,
    },
    key: { budget: { limit_usd: 100, period: "day" } },
  });
  return { ...route, models };
}

async function startStalled(route: TestRoute, body: object): Promise<RawClient> {
  const client = await connectRaw(rig.worker.url);
  client.stall();
  const text = JSON.stringify(chatBody(route, body));
  client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
  return client;
}

async function stall({ body, scripts, policy }: Case): Promise<Stalled> {
  const route = await routeFor(policy);
  for (const [index, script] of scripts.entries()) rig.upstream.scriptFor(route.models[index]!, script);
  const startedAt = Date.now();
  const client = await startStalled(route, body);
  const trace = await firstTrace(route, TOTAL_MS + LAST_BYTES_MS + 2 * SLACK_MS);
  return { route, client, trace, tookMs: Date.now() - startedAt };
}

/** Reads on when the time is over, and before it is given up: half a second, which a busy machine may miss. */
async function readLate(triesLeft = 5): Promise<typeof late> {
  const route = await routeFor({});
  rig.upstream.scriptFor(route.models[0]!, { events: LONG, end: "stall" });
  const client = await startStalled(route, { stream: true });
  for (let isOver = false; !isOver; await pause(20)) {
    const [call] = rig.upstream.callsTo(route.models[0]!);
    isOver = call !== undefined && Date.now() > call.receivedAt + TOTAL_MS + LAST_BYTES_MS / 2;
  }
  client.resume();
  const trace = await firstTrace(route, LAST_BYTES_MS + 2 * SLACK_MS);
  await client.response();
  if (triesLeft > 1 && !client.received().slice(-1_000).includes("stream_interrupted")) {
    client.reset();
    return readLate(triesLeft - 1);
  }
  return { client, trace };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function firstTrace(route: TestRoute, withinMs: number): Promise<Trace> {
  for (const giveUpAt = Date.now() + withinMs; ; await pause(100)) {
    const [trace] = await rig.traces(route);
    if (trace !== undefined) return trace;
    if (Date.now() > giveUpAt) throw new Error("A stalled stream was not settled.");
  }
}

function outcomeOf(name: string): Stalled {
  const found = stalled.get(name);
  if (found === undefined) throw new Error(`${name} did not run.`);
  return found;
}

describe.each(CASES)("$name", ({ name, closedBy, status, scripts }) => {
  test("the stream ends when the time is over", () => {
    const { trace, tookMs } = outcomeOf(name);
    expect(trace).toMatchObject({ status, http_status: 200 });
    expect(tookMs).toBeGreaterThanOrEqual(TOTAL_MS);
    expect(tookMs).toBeLessThan(TOTAL_MS + LAST_BYTES_MS + SLACK_MS);
  });

  test("the provider's call is over by then", () => {
    const { route } = outcomeOf(name);
    const [call] = rig.upstream.callsTo(route.models[scripts.length - 1]!);
    expect(call).toMatchObject({ closedBy });
    expect((call?.closedAt ?? 0) - (call?.receivedAt ?? 0)).toBeLessThan(TOTAL_MS + SLACK_MS);
  });

  test("the target is not blamed: it was not silent", () => {
    const { trace } = outcomeOf(name);
    expect(trace.attempts.at(-1)?.outcome).toBe(status);
  });

  test("what was used is booked once, and the rest is free", async () => {
    const { route, trace } = outcomeOf(name);
    const key = (await (await rig.worker.admin(`/admin/keys/${route.keyId}`)).json()) as { spend: object };
    expect(trace.cost_usd).toBeGreaterThan(0);
    expect(key.spend).toMatchObject({ reserved_usd: 0, spent_usd: trace.cost_usd });
    expect(await rig.traces(route)).toHaveLength(1);
  });

  test("the client's connection is over", async () => {
    // Read at last, it gives what was under way and ends.
    const { client } = outcomeOf(name);
    client.resume();
    await client.closed;
    expect(client.received().endsWith("0\r\n\r\n")).toBe(false);
  });
});

test("one that reads again behind the end is told that the answer was cut, and its target is not blamed", () => {
  const { client, trace } = late;
  expect(client.received().slice(-1_000)).toContain("stream_interrupted");
  expect(trace).toMatchObject({ status: "cancelled", attempts: [{ outcome: "cancelled" }] });
});
