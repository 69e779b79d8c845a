/** Clients that leave, at every moment of a request: the provider's call ends, and what was used is settled once. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, chatBody, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { connectRaw, type RawClient, requestText } from "../support/raw.ts";
import { chunks, completion, type Script, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({}, FAULTS_FRONT);
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());
afterEach(() => {
  expect(rig.worker.logs()).not.toContain("unexpected_error");
  expect(rig.worker.logs()).not.toMatch(/uncaught|unhandled/i);
});

const MODES = [
  { mode: "native", body: { stream: true, stream_options: { include_usage: true } } },
  { mode: "pump", body: { stream: true } },
] as const;
const WHOLE = { mode: "whole", body: {} } as const;
const LEAVES = [
  { how: "RST", leave: (client: RawClient) => client.reset() },
  { how: "FIN", leave: (client: RawClient) => client.close() },
] as const;

async function send(route: TestRoute, body: object): Promise<RawClient> {
  const client = await connectRaw(rig.worker.url);
  const text = JSON.stringify(chatBody(route, body));
  client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), text));
  return client;
}

const arrived = (route: TestRoute): Promise<void> => expect.poll(() => rig.calls(route)[0], { interval: 5 }).toBe(1);
const closedBy = (route: TestRoute, target: 0 | 1, withinMs: number) =>
  expect.poll(() => rig.upstream.callsTo(route.models[target]!)[0]?.closedBy, { timeout: withinMs, interval: 5 });
const dropped = (route: TestRoute, withinMs = 1_000): Promise<void> => closedBy(route, 0, withinMs).toBe("router");

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One trace, and no second one behind it. */
async function expectSettled(route: TestRoute, status: string): Promise<void> {
  const statuses = async (): Promise<string[]> => (await rig.traces(route)).map((trace) => trace.status);
  await expect.poll(statuses, { timeout: 2_000, interval: 20 }).toEqual([status]);
  // The next request settles behind anything that was still to be written for this one.
  rig.upstream.script({ json: completion() });
  await rig.trace(route, await rig.ask(route, { route: { only: ["groq"] } }));
  expect(await statuses()).toEqual(["ok", status]);
}

const [ROLE = "", WORD = ""] = chunks("word");

describe("before the first byte", () => {
  const SILENT: { name: string; script: Script; modes: readonly { mode: string; body: object }[] }[] = [
    { name: "before the head", script: { hang: true }, modes: [...MODES, WHOLE] },
    { name: "before the first token", script: { events: [ROLE, ": processing\n\n"], end: "stall" }, modes: MODES },
  ];
  test.each(SILENT.flatMap(({ modes, ...each }) => modes.map((mode) => ({ ...each, ...mode }))))(
    "$name ($mode): a reset ends the vendor's call, and nobody else is asked",
    async ({ script, body }) => {
      const route = await rig.route({ policy: { timeouts: { first_token_ms: 8_000 } } });
      rig.upstream.script(script);
      const client = await send(route, body);
      await arrived(route);
      client.reset();
      await dropped(route);
      expect(rig.calls(route)).toEqual([1, 0]);
      await expectSettled(route, "cancelled");
    },
  );

  test.each(MODES)("while the key is still being admitted ($mode): nobody waits for it to read", async ({ body }) => {
    const model = pricedModel();
    const own = await rig.route({
      ...{ providers: ["openai"], targets: [{ model }] },
      key: { budget: { limit_usd: 1_000, period: "day" } },
    });
    const route = { ...own, models: [model] };
    rig.upstream.scriptFor(model, { events: chunks("word") });
    // From the second one on the call begins before the ledger has answered.
    await (await rig.ask(route, body)).text();
    rig.upstream.scriptFor(model, { events: [ROLE, WORD], end: "stall" });
    await setFaults(rig.worker, { ledgerMs: 300 });
    const client = await send(route, body);
    await expect.poll(() => rig.calls(route)[0], { interval: 5 }).toBe(2);
    client.reset();
    const statuses = async (): Promise<string[]> => (await rig.traces(route)).map(({ status }) => status);
    await pause(400);
    await setFaults(rig.worker);
    await expect.poll(statuses, { timeout: 2_000, interval: 20 }).toEqual(["cancelled", "ok"]);
  });

  test("in the middle of the provider's error: a call that was refused costs nothing", async () => {
    const route = await rig.route();
    rig.upstream.script({ status: 500, body: '{"error":{"message":"bu', end: "stall" });
    const client = await send(route, {});
    await arrived(route);
    await pause(200);
    client.reset();
    await expectSettled(route, "cancelled");
    const [, trace] = await rig.traces(route);
    expect(trace).toMatchObject({
      usage: { prompt_tokens: 0, source: "none" },
      attempts: [{ status: 500, cost_usd: 0 }],
    });
  });

  test.each([...MODES, WHOLE])("in the pause before a second try ($mode): there is none", async ({ body }) => {
    const route = await rig.route({ policy: { retry: { backoff_ms: 4_000 } } });
    rig.upstream.script({ status: 503, json: { error: { message: "busy" } } });
    const client = await send(route, body);
    await arrived(route);
    await expect.poll(() => rig.upstream.calls[0]?.closedBy).toBe("upstream");
    const leftAt = Date.now();
    client.reset();
    const statuses = async (): Promise<string[]> => (await rig.traces(route)).map((trace) => trace.status);
    await expect.poll(statuses, { timeout: 2_000, interval: 20 }).toEqual(["cancelled"]);
    // The pause lasts two seconds at least: this was not its end.
    expect(Date.now() - leftAt).toBeLessThan(1_800);
    expect(rig.calls(route)).toEqual([1, 0]);
    await expectSettled(route, "cancelled");
  });
});

describe("inside a whole answer", () => {
  /** A second until the last piece. */
  const SLOW_BODY: Script = { json: completion({ usage: usage(321, 123) }), sliceBytes: 40, gapMs: 100 };
  const EXACT = { prompt_tokens: 321, completion_tokens: 123, source: "upstream" };
  /** The router has the head of the answer, and most of the body is to come. */
  const begun = async (route: TestRoute): Promise<void> => {
    await arrived(route);
    await pause(200);
  };

  test("the rest is read, and what it cost is known to the token", async () => {
    const route = await rig.route();
    rig.upstream.script(SLOW_BODY);
    const client = await send(route, {});
    await begun(route);
    client.reset();
    await closedBy(route, 0, 2_000).toBe("upstream");
    expect(rig.calls(route)).toEqual([1, 0]);
    await expectSettled(route, "cancelled");
    const [, trace] = await rig.traces(route);
    expect(trace).toMatchObject({ http_status: 499, usage: EXACT, attempts: [{ outcome: "ok" }] });
  });

  test("the rest does not come: the call ends soon, and what had come is counted", async () => {
    const route = await rig.route();
    const content = "word ".repeat(400);
    const body = `    \n${JSON.stringify(completion({ text: content })).slice(0, -200)}`;
    rig.upstream.script({ body, end: "stall" });
    const client = await send(route, {});
    await begun(route);
    client.reset();
    await dropped(route, 2_000);
    expect(rig.calls(route)).toEqual([1, 0]);
    await expectSettled(route, "cancelled");
    const [, trace] = await rig.traces(route);
    expect(trace).toMatchObject({ usage: { source: "counted" }, attempts: [{ outcome: "cancelled" }] });
    expect(trace?.usage.completion_tokens).toBeGreaterThan(400);
    expect(trace?.usage.completion_tokens).toBeLessThan(600);
  });

  test("beside a hedge: the one that had begun is read, the other one's call ends at once", async () => {
    const route = await rig.route({ policy: { latency: { budget_ms: 200, hedge_max_ratio: 1 } } });
    rig.upstream.scriptFor(route.models[0]!, SLOW_BODY);
    rig.upstream.scriptFor(route.models[1]!, [{ hang: true }, { json: completion() }]);
    const client = await send(route, {});
    await expect.poll(() => rig.calls(route), { interval: 5 }).toEqual([1, 1]);
    client.reset();
    await closedBy(route, 1, 500).toBe("router");
    await closedBy(route, 0, 2_000).toBe("upstream");
    await expectSettled(route, "cancelled");
    const [, trace] = await rig.traces(route);
    expect(trace).toMatchObject({ usage: EXACT, attempts: [{ outcome: "ok" }, { outcome: "cancelled" }] });
  });
});

describe("in mid-stream", () => {
  const cases = MODES.flatMap((mode) => LEAVES.map((leave) => ({ ...mode, ...leave })));
  test.each(cases)("$mode, $how: the provider's call ends as bytes next flow", async ({ body, leave }) => {
    const route = await rig.route();
    rig.upstream.script({ events: [ROLE, ...Array<string>(300).fill(WORD)], gapMs: 20 });
    const client = await send(route, body);
    await expect.poll(() => client.received(), { interval: 5 }).toContain("word");
    leave(client);
    await dropped(route);
    expect(rig.calls(route)).toEqual([1, 0]);
    await expectSettled(route, "cancelled");
    const [, trace] = await rig.traces(route);
    expect(trace).toMatchObject({
      http_status: 200,
      provider: "openai",
      attempts: [{ outcome: "cancelled", winner: true, status: 200 }],
      usage: { source: "counted" },
    });
    expect(trace?.usage.completion_tokens).toBeGreaterThan(0);
  });

  test.each(MODES)("$mode: a reset while the provider is silent ends its call at once", async ({ body }) => {
    const route = await rig.route({ policy: { timeouts: { idle_ms: 6_000 } } });
    rig.upstream.script({ events: [ROLE, WORD], end: "stall" });
    const client = await send(route, body);
    await expect.poll(() => client.received(), { interval: 5 }).toContain("word");
    client.reset();
    await dropped(route);
    await expectSettled(route, "cancelled");
  });

  test.each(cases)("$mode, $how behind the finish reason: the answer was complete", async ({ body, leave }) => {
    const route = await rig.route();
    const events = chunks("word", { usage: null }).slice(0, 3);
    rig.upstream.script({ events: [...events, ...Array<string>(300).fill(": ping\n\n")], gapMs: 20 });
    const client = await send(route, body);
    await expect.poll(() => client.received(), { interval: 5 }).toContain('"stop"');
    leave(client);
    await dropped(route);
    await expectSettled(route, "ok");
  });

  test.each(cases)("$mode, $how behind the last byte: a complete answer, nothing else", async ({ body, leave }) => {
    const route = await rig.route();
    rig.upstream.script({ events: chunks("word") });
    const client = await send(route, body);
    await expect.poll(() => client.received(), { interval: 5 }).toContain("[DONE]");
    leave(client);
    await expectSettled(route, "ok");
    expect(rig.upstream.droppedByRouter()).toBe(0);
  });
});

test.each(LEAVES)("$how behind a whole answer: settled as ok", async ({ leave }) => {
  const route = await rig.route();
  const client = await send(route, {});
  await client.response();
  leave(client);
  await expectSettled(route, "ok");
});

test("a client that leaves says nothing about the target: it stays first", async () => {
  const route = await rig.route();
  rig.upstream.scriptFor(route.models[0]!, [{ hang: true }, { hang: true }, { hang: true }, { json: completion() }]);
  for (let count = 1; count <= 3; count++) {
    const client = await send(route, {});
    await expect.poll(() => rig.calls(route)[0], { interval: 5 }).toBe(count);
    client.reset();
    await expect.poll(() => rig.upstream.droppedByRouter(), { interval: 5 }).toBe(count);
  }
  const response = await rig.ask(route);
  expect(response.headers.get("x-flowlayer-provider")).toBe("openai");
  expect(rig.calls(route)).toEqual([4, 0]);
});
