/** What a latency budget does: it reorders, it hedges, the loser is ended and accounted, and headers and trace say so. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, chatBody, expectError, expectStory, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { connectRaw, requestText } from "../support/raw.ts";
import { chunks, completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});

const MODES = [
  { mode: "whole", body: {} },
  { mode: "stream, pumped", body: { stream: true } },
  { mode: "stream, native", body: { stream: true, stream_options: { include_usage: true } } },
] as const;

/** An answer that begins after `ms`. */
const late = (ms: number, text: string, body: object): Script =>
  "stream" in body ? { events: chunks(text), headMs: ms } : { json: completion({ text }), headMs: ms };
const HANG: Script = { hang: true };
/** A hedge for every request, so that single tests see one. */
const ALWAYS = { hedge_max_ratio: 1 };
/** Far beyond every budget and every answer here, so that no clock but the budget rings on a busy machine. */
const PATIENT = { first_token_ms: 8_000, idle_ms: 8_000 };

async function askWith(scripts: readonly Script[], body: object, policy: object = {}) {
  const providers = ["openai", "groq", "mistral"].slice(0, scripts.length);
  const route = await rig.route({
    providers,
    policy: { latency: { budget_ms: 800, ...ALWAYS }, timeouts: PATIENT, ...policy },
  });
  scripts.forEach((script, index) => {
    rig.upstream.scriptFor(route.models[index]!, script);
  });
  return { route, response: await rig.ask(route, body) };
}

const hedgeOf = (response: Response): string | null => response.headers.get("x-flowlayer-hedge");
const closedBy = (route: TestRoute, target: number) => rig.upstream.callsTo(route.models[target]!)[0]?.closedBy;

describe.concurrent.each(MODES)("a silent first target ($mode)", ({ body }) => {
  test("gets a second one beside it at half of the budget, and the loser is ended", async ({ expect }) => {
    const latency = { budget_ms: 2_500, ...ALWAYS };
    const { route, response } = await askWith([HANG, late(20, "second", body)], body, { latency });
    expect(await response.text()).toContain("second");
    expect(hedgeOf(response)).toBe("won");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("true");
    const [first, second] = route.models;
    await expectStory(rig, route, response, [`openai/${first};slow;-`, `groq/${second};ok;200`], "slow");
    await expect.poll(() => closedBy(route, 0)).toBe("router");
    const trace = await rig.trace(route, response);
    expect(trace.attempts.map(({ hedged, winner }) => ({ hedged, winner }))).toEqual([
      { hedged: false, winner: false },
      { hedged: true, winner: true },
    ]);
    expect(trace.attempts[1]!.started_ms).toBeGreaterThanOrEqual(1_245);
    expect(trace.latency).toMatchObject({ budget_ms: 2_500, budget_met: true });
    expect(rig.calls(route)).toEqual([1, 1]);
  });

  test("that answers first after all wins, and the second is ended", async ({ expect }) => {
    const { route, response } = await askWith([late(1_500, "first", body), HANG], body);
    expect(await response.text()).toContain("first");
    expect(hedgeOf(response)).toBe("lost");
    const [first, second] = route.models;
    await expectStory(rig, route, response, [`openai/${first};ok;200`, `groq/${second};cancelled;-`], null);
    await expect.poll(() => closedBy(route, 1)).toBe("router");
  });

  test("a soft budget that is over waits for whoever comes first", async () => {
    const { route, response } = await askWith([HANG, late(900, "second", body)], body);
    expect(await response.text()).toContain("second");
    expect(hedgeOf(response)).toBe("won");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("false");
    expect(rig.calls(route)).toEqual([1, 1]);
  });

  test("a hard budget that is over ends both with 504", async ({ expect }) => {
    const latency = { budget_ms: 1_500, mode: "hard", ...ALWAYS };
    const { route, response } = await askWith([HANG, HANG], body, { latency });
    const { error } = await expectError(response, { status: 504, code: "latency_budget_exceeded" });
    expect(error.attempts).toHaveLength(2);
    expect(hedgeOf(response)).toBe("lost");
    await expect.poll(() => [closedBy(route, 0), closedBy(route, 1)]).toEqual(["router", "router"]);
    expect(await rig.trace(route, response)).toMatchObject({ status: "error", latency: { budget_met: false } });
  });

  test("that fails while the second runs is not asked again: the second is waited for", async () => {
    const failing = { status: 500, json: {}, headMs: 1_200 };
    const { route, response } = await askWith([failing, late(1_800, "second", body)], body);
    expect(await response.text()).toContain("second");
    expect(hedgeOf(response)).toBe("won");
    const [first, second] = route.models;
    await expectStory(
      rig,
      route,
      response,
      [`openai/${first};server_error;500`, `groq/${second};ok;200`],
      "server_error",
    );
  });

  test("goes on when the second fails", async () => {
    const { route, response } = await askWith([late(1_500, "first", body), { status: 503, json: {} }], body);
    expect(await response.text()).toContain("first");
    expect(hedgeOf(response)).toBe("lost");
    expect(rig.calls(route)).toEqual([1, 1]);
    expect(response.headers.get("x-flowlayer-fallback")).toBe("false");
  });

  test("when both fail a third one is asked", async () => {
    const overlong = { status: 400, json: { error: { code: "context_length_exceeded" } }, headMs: 600 };
    const { route, response } = await askWith([overlong, { status: 401, json: {} }, late(0, "third", body)], body);
    expect(await response.text()).toContain("third");
    expect(rig.calls(route)).toEqual([1, 1, 1]);
  });

  test("that refuses the request while the second runs: the second may still answer", async () => {
    const refusing = { status: 400, json: { error: { message: "no such field" } }, headMs: 1_200 };
    const { response } = await askWith([refusing, late(1_800, "second", body)], body);
    expect(await response.text()).toContain("second");
  });

  test("that refuses the request is believed when the second fails", async () => {
    const refusing = { status: 400, json: { error: { message: "no such field" } }, headMs: 1_200 };
    const { route, response } = await askWith([refusing, { status: 500, json: {}, headMs: 1_800 }, HANG], body);
    await expectError(response, { status: 400, code: "upstream_invalid_request" });
    expect(rig.calls(route)).toEqual([1, 1, 0]);
  });
});

describe.concurrent("there is no hedge", () => {
  test.each([
    { name: "with latency.hedge false", policy: { latency: { budget_ms: 600, hedge: false } }, body: {} },
    { name: "with a ratio of 0", policy: { latency: { budget_ms: 600, hedge_max_ratio: 0 } }, body: {} },
    { name: "with fallback:false", policy: {}, body: { route: { fallback: false } } },
    { name: "where the policy does not fall back", policy: { fallback: { enabled: false } }, body: {} },
    { name: "without a budget", policy: { latency: ALWAYS }, body: {} },
    { name: "when max_attempts is 1", policy: { fallback: { max_attempts: 1 } }, body: {} },
    { name: "when the client narrows to one", policy: {}, body: { route: { only: ["openai"] } } },
  ])("$name", async ({ policy, body }) => {
    const { route, response } = await askWith([late(900, "first", {}), late(0, "second", {})], body, policy);
    expect(await response.text()).toContain("first");
    expect(hedgeOf(response)).toBeNull();
    expect(rig.calls(route)).toEqual([1, 0]);
  });

  test("before the request's own budget asks for one", async () => {
    const route = await rig.route({ policy: { latency: ALWAYS } });
    rig.upstream.scriptFor(route.models[0]!, late(1_800, "first", {}));
    rig.upstream.scriptFor(route.models[1]!, late(0, "second", {}));
    const response = await rig.ask(route, { route: { latency_budget_ms: 600 } });
    expect(await response.text()).toContain("second");
    expect(hedgeOf(response)).toBe("won");
  });

  test("beyond the route's share: with 0.5 the first of two", async () => {
    const route = await rig.route({ policy: { latency: { budget_ms: 1_000, hedge_max_ratio: 0.5 } } });
    rig.upstream.scriptFor(route.models[0]!, late(2_000, "first", {}));
    rig.upstream.scriptFor(route.models[1]!, late(0, "second", {}));
    const texts = [await (await rig.ask(route)).text(), await (await rig.ask(route)).text()];
    expect(texts).toEqual([expect.stringContaining("second"), expect.stringContaining("first")]);
  });
});

describe.concurrent("recent latency steers", () => {
  /** Three calls are enough to be known. */
  async function teach(route: TestRoute, provider: string, body: object): Promise<void> {
    for (let call = 0; call < 3; call++) {
      await (await rig.ask(route, { ...body, route: { only: [provider] } })).text();
    }
  }

  test.each(MODES)("a target whose p50 does not fit goes behind one that may ($mode)", async ({ body }) => {
    const route = await rig.route({ policy: { latency: { hedge: false } } });
    rig.upstream.scriptFor(route.models[0]!, late(150, "first", body));
    rig.upstream.scriptFor(route.models[1]!, late(0, "second", body));
    await teach(route, "openai", body);
    const response = await rig.ask(route, { ...body, route: { latency_budget_ms: 120 } });
    expect(await response.text()).toContain("second");
    await expectStory(rig, route, response, [`groq/${route.models[1]};ok;200`], "slow");
    expect(hedgeOf(response)).toBeNull();
    const patient = await rig.ask(route, { ...body, route: { latency_budget_ms: 5_000 } });
    expect(await patient.text()).toContain("first");
  });

  test("streams and whole answers are kept apart", async () => {
    const route = await rig.route({ policy: { latency: { hedge: false } } });
    rig.upstream.scriptFor(route.models[0]!, late(150, "first", {}));
    await teach(route, "openai", {});
    rig.upstream.scriptFor(route.models[0]!, late(0, "first", { stream: true }));
    const response = await rig.ask(route, { stream: true, route: { latency_budget_ms: 120 } });
    expect(await response.text()).toContain("first");
  });

  test("without fallback the order stays", async () => {
    const route = await rig.route();
    rig.upstream.scriptFor(route.models[0]!, late(150, "first", {}));
    await teach(route, "openai", {});
    const response = await rig.ask(route, { route: { latency_budget_ms: 120, fallback: false } });
    expect(await response.text()).toContain("first");
    expect(response.headers.get("x-flowlayer-latency-budget-met")).toBe("false");
  });

  test("no hedge goes to a target that cannot make it either", async () => {
    const route = await rig.route({ policy: { latency: ALWAYS } });
    rig.upstream.scriptFor(route.models[1]!, late(300, "second", {}));
    await teach(route, "groq", {});
    rig.upstream.scriptFor(route.models[0]!, late(450, "first", {}));
    const response = await rig.ask(route, { route: { latency_budget_ms: 400 } });
    expect(await response.text()).toContain("first");
    expect(hedgeOf(response)).toBeNull();
    expect(rig.calls(route)).toEqual([1, 3]);
  });

  test("calls that were ended count as at least as slow as their age", async () => {
    const policy = { latency: { mode: "hard", hedge: false }, fallback: { max_attempts: 1 } };
    const route = await rig.route({ policy });
    rig.upstream.scriptFor(route.models[0]!, HANG);
    rig.upstream.scriptFor(route.models[1]!, late(0, "second", {}));
    for (let call = 0; call < 3; call++) {
      const ended = await rig.ask(route, { route: { latency_budget_ms: 1_300 } });
      await expectError(ended, { status: 504, code: "latency_budget_exceeded" });
    }
    const response = await rig.ask(route, { route: { latency_budget_ms: 1_200 } });
    expect(await response.text()).toContain("second");
  });

  test("fastest asks the one with the smallest p50, after each has been measured", async () => {
    const route = await rig.route({ policy: { strategy: "fastest" } });
    rig.upstream.scriptFor(route.models[0]!, late(400, "first", {}));
    rig.upstream.scriptFor(route.models[1]!, late(0, "second", {}));
    const texts: string[] = [];
    for (let call = 0; call < 12; call++) texts.push(await (await rig.ask(route)).text());
    for (const text of texts.slice(-4)) expect(text).toContain("second");
    expect(rig.calls(route)[0]).toBeGreaterThanOrEqual(3);
    expect(rig.calls(route)[0]).toBeLessThanOrEqual(6);
  });
});

test("the loser's prompt is on the bill: headers, body and trace agree", async () => {
  const targets = [{ model: "gpt-4.1-mini" }, { model: "llama-3.1-8b-instant" }];
  const route = await rig.route({ targets, policy: { latency: { budget_ms: 300, ...ALWAYS } } });
  rig.upstream.scriptFor("gpt-4.1-mini", HANG);
  rig.upstream.scriptFor("llama-3.1-8b-instant", late(0, "second", {}));
  const response = await rig.ask(route);
  const body = (await response.json()) as { flow: { cost_usd: number } };
  expect(hedgeOf(response)).toBe("won");
  const trace = await rig.trace(route, response);
  const [lost, won] = trace.attempts.map(({ cost_usd }) => cost_usd ?? Number.NaN);
  expect(lost).toBeGreaterThan(0);
  expect(won).toBeGreaterThan(0);
  expect(trace.cost_usd).toBeCloseTo(lost! + won!, 9);
  expect(body.flow.cost_usd).toBe(trace.cost_usd);
  expect(Number(response.headers.get("x-flowlayer-cost-usd"))).toBe(trace.cost_usd);
});

test("a client that leaves while two run: both calls end, and it is settled once", async () => {
  const route = await rig.route({ policy: { latency: { budget_ms: 200, ...ALWAYS } } });
  for (const model of route.models) rig.upstream.scriptFor(model, HANG);
  const client = await connectRaw(rig.worker.url);
  client.send(requestText("POST", "/v1/chat/completions", rig.headers(route), JSON.stringify(chatBody(route))));
  await expect.poll(() => rig.calls(route), { interval: 5 }).toEqual([1, 1]);
  client.reset();
  await expect.poll(() => [closedBy(route, 0), closedBy(route, 1)], { interval: 5 }).toEqual(["router", "router"]);
  await expect.poll(async () => (await rig.traces(route)).map(({ status }) => status)).toEqual(["cancelled"]);
  const [trace] = await rig.traces(route);
  expect(trace?.attempts.map(({ outcome }) => outcome)).toEqual(["cancelled", "cancelled"]);
});
