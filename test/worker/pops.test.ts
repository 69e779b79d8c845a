/**
 * Several points of presence and one health of targets: who learns what, from whom, how soon, and at what cost. And one
 * record of a key's tool calls, which all of them enforce.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Pops, startPops } from "../support/pops.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";

const POPS = 6;
/** Each asked by one test only, so that nothing is known there before. */
const COLD = 4;
const FRESH = 5;

let upstream: Upstream;
let pops: Pops;
beforeAll(async () => {
  upstream = await startUpstream();
  const base = `${upstream.url}/v1`;
  pops = await startPops(POPS, {
    ...{ OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: base },
    ...{ GROQ_API_KEY: "sk-test", GROQ_BASE_URL: base },
  });
});
let clockMs = 0;
/** Clocks only go forward: what tests leave behind is then old. */
async function forward(ms: number): Promise<void> {
  clockMs += ms;
  await pops.set({ clockMs });
}
afterEach(async () => {
  await pops.set({ healthLinkMs: 0 });
});
afterAll(async () => {
  expect(pops.logs()).not.toMatch(/unhandled|uncaught|unexpected_error/i);
  await pops.stop();
  await upstream.stop();
});

interface Own {
  /** Of the route, and of its targets. */
  readonly model: string;
  readonly models: readonly [string, string];
  readonly key: string;
  /** The first target, which tests let fail. */
  readonly target: string;
  fail(): void;
  heal(): void;
  /** Calls that reached the first target. */
  calls(): number;
  ask(pop: number): Promise<Response>;
  /** Asks until the first target is `used` or left alone. Milliseconds that took; fails after `limitMs`. */
  askUntil(pop: number, used: boolean, limitMs: number): Promise<number>;
}

let serial = 0;

/** A key and a route with two targets that no other test has. */
async function own(): Promise<Own> {
  const name = `pops-${++serial}`;
  const models = [`${name}-first`, `${name}-second`] as const;
  const targets = [
    { provider: "openai", model: models[0] },
    { provider: "groq", model: models[1] },
  ];
  await pops.admin(`/admin/routes/production/${name}`, "PUT", { targets, retry: { same_target: 0 } });
  const { key } = await pops.admin("/admin/keys", "POST", { name, env: "production" });
  const ask = async (pop: number): Promise<Response> => {
    const body = JSON.stringify({ model: `flow/${name}`, messages: [{ role: "user", content: "hi" }] });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const response = await pops.fetch(pop, "/v1/chat/completions", { method: "POST", headers, body });
    await response.text();
    expect(response.status).toBe(200);
    return response;
  };
  return {
    ...{ model: name, models, key: String(key) },
    target: `openai/${models[0]}`,
    fail: () => upstream.scriptFor(models[0], { status: 500, json: { error: { message: "no" } } }),
    heal: () => upstream.scriptFor(models[0], { json: completion() }),
    calls: () => upstream.callsTo(models[0]).length,
    ask,
    async askUntil(pop, used, limitMs) {
      const startedAt = performance.now();
      for (;;) {
        const response = await ask(pop);
        const tookMs = performance.now() - startedAt;
        const wasUsed = response.headers.get("x-flowlayer-attempt-log")?.startsWith(`openai/${models[0]};`) ?? false;
        if (wasUsed === used) return tookMs;
        expect(tookMs, `pop ${pop} still ${used ? "leaves the target alone" : "asks the target"}`).toBeLessThan(
          limitMs,
        );
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  };
}

async function expectOpen(target: string): Promise<void> {
  await expect.poll(async () => (await pops.snapshot(target))?.state, { timeout: 3_000 }).toBe("open");
}

/** One point of presence sees it all at once. */
async function outage(): Promise<Own> {
  const mine = await own();
  mine.fail();
  await Promise.all(Array.from({ length: 20 }, () => mine.ask(0)));
  await expectOpen(mine.target);
  return mine;
}

test("three points of presence that leave a target alone keep a fourth from it within 2 s", async () => {
  const mine = await own();
  mine.heal();
  await Promise.all([0, 1, 2, 3].map((pop) => mine.ask(pop)));
  await forward(3_000);
  mine.fail();
  for (const pop of [0, 1, 2]) for (let request = 0; request < 3; request++) await mine.ask(pop);
  expect(mine.calls()).toBe(4 + 9);
  await expectOpen(mine.target);
  expect(await mine.askUntil(3, false, 2_000)).toBeLessThan(2_000);
  // It took one failing call of its own to hear of it, and every request was rescued.
  expect(mine.calls() - 13).toBeLessThanOrEqual(2);
});

test("twenty failures seen by one point of presence keep another from the target within 2 s", async () => {
  const mine = await outage();
  const before = mine.calls();
  expect(await mine.askUntil(1, false, 2_000)).toBeLessThan(2_000);
  expect(mine.calls() - before).toBeLessThanOrEqual(2);
});

test("a cold point of presence learns of an open breaker from KV, without a failing call of its own", async () => {
  const mine = await outage();
  await expect
    .poll(async () => Object.keys((await pops.published())?.open ?? {}), { timeout: 5_000 })
    .toContain(mine.target);
  const other = await own();
  await other.ask(COLD);
  const before = mine.calls();
  await mine.askUntil(COLD, false, 0);
  expect(mine.calls()).toBe(before);
});

test("of all points of presence one sends one probe, a bad one keeps all away, and after a good one all are back", async () => {
  const mine = await outage();
  await Promise.all([1, 2, 3].map((pop) => mine.askUntil(pop, false, 2_000)));
  const all = [0, 1, 2, 3];
  const { openUntil } = (await pops.snapshot(mine.target))!;

  await forward(5_100);
  const before = mine.calls();
  const asking = { goesOn: true };
  const traffic = all.map(async (pop) => {
    while (asking.goesOn) {
      await mine.ask(pop);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  try {
    // The probe fails: open again, and longer.
    await expect
      .poll(async () => (await pops.snapshot(mine.target))?.openUntil, { timeout: 5_000 })
      .toBeGreaterThan(openUntil);
    expect(await pops.snapshot(mine.target)).toMatchObject({ state: "open", ejections: 2 });
    expect(mine.calls() - before).toBe(1);

    mine.heal();
    await forward(10_000);
    await expect.poll(async () => (await pops.snapshot(mine.target))?.state, { timeout: 5_000 }).toBe("closed");
    await Promise.all(all.map((pop) => mine.askUntil(pop, true, 5_000)));
  } finally {
    asking.goesOn = false;
    await Promise.all(traffic);
  }
  const leases = await pops.leases(mine.target);
  expect(leases.length).toBeGreaterThanOrEqual(2);
  for (const { at, ms, isolate } of leases) {
    const others = leases.filter((lease) => lease.isolate !== isolate && lease.at > at && lease.at < at + ms);
    expect(others).toEqual([]);
  }
});

test("a reset of the object does not forget an open breaker", async () => {
  const mine = await outage();
  const before = await pops.snapshot(mine.target);
  await pops.reset(mine.target);
  expect(await pops.snapshot(mine.target)).toMatchObject({ state: "open", openUntil: before?.openUntil, ejections: 1 });
  const calls = mine.calls();
  await mine.askUntil(FRESH, false, 2_000);
  expect(mine.calls() - calls).toBeLessThanOrEqual(2);
});

test("a call held in one point of presence is decided through others, once, and all enforce it", async () => {
  const mine = await own();
  const gated = `${mine.model}-gated`;
  const targets = [{ provider: "openai", model: mine.models[0] }];
  const tools = { require_approval: true, wait_ms: 12_000 };
  await pops.admin(`/admin/routes/production/${gated}`, "PUT", { targets, tools });
  const decider = await pops.admin("/admin/keys", "POST", {
    ...{ name: `${gated}-decider`, env: "production", scopes: ["approvals:decide"] },
  });
  const post = async (pop: number, path: string, key: unknown, body: object) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const response = await pops.fetch(pop, path, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    const { error } = JSON.parse(text) as { error?: { code: string } };
    return { status: response.status, code: error?.code, text };
  };
  const decide = (pop: number, id: string, decision: string) =>
    post(pop, `/v1/approvals/${id}`, decider["key"], { decision });
  const calls = ["yes", "no", "a", "b", "c"].map((id) => ({ id: `${gated}-${id}`, name: "send", arguments: "[1]" }));
  const [yes = "", no = "", ...disputed] = calls.map(({ id }) => id);
  const result = async (pop: number, route: string, id: string, text = "[1.0]") => {
    const made = { id, type: "function", function: { name: "send", arguments: text } };
    const messages = [
      { role: "assistant", tool_calls: [made] },
      { role: "tool", tool_call_id: id, content: "sent" },
    ];
    const { status, code } = await post(pop, "/v1/chat/completions", mine.key, { model: `flow/${route}`, messages });
    return code ?? status;
  };
  const everywhere = (id: string, text?: string) =>
    Promise.all([0, 1, 2, 3].flatMap((pop) => [gated, mine.model].map((route) => result(pop, route, id, text))));
  const all = (outcome: unknown): unknown[] => Array.from({ length: 8 }, () => outcome);

  // A point of presence that believes that the key has no recorded calls.
  mine.heal();
  expect(await result(2, mine.model, "unknown")).toBe(200);
  upstream.scriptFor(mine.models[0], { json: completion({ toolCalls: calls }) });
  const messages = [{ role: "user", content: "Pay." }];
  const held = post(0, "/v1/chat/completions", mine.key, { model: `flow/${gated}`, messages });
  const seen = async (): Promise<string> => {
    const headers = { authorization: `Bearer ${decider["key"]}` };
    return await (await pops.fetch(1, "/v1/approvals?status=pending", { headers })).text();
  };
  await expect.poll(seen, { timeout: 3_000 }).toContain(yes);
  await forward(5_500);
  mine.heal();
  expect(await everywhere(yes)).toEqual(all("tool_approval_required"));

  expect((await decide(1, yes, "approve")).status).toBe(200);
  expect((await decide(2, no, "deny")).status).toBe(200);
  const winners: Record<string, unknown> = {};
  for (const id of disputed) {
    const [one, other] = await Promise.all([decide(1, id, "approve"), decide(3, id, "deny")]);
    expect([one.status, other.status].sort()).toEqual([200, 409]);
    winners[id] = one.status === 200 ? 200 : "tool_call_denied";
  }
  const { status, text } = await held;
  expect(status).toBe(200);
  for (const id of [yes, no, ...disputed]) {
    const isReleased = id === yes || winners[id] === 200;
    expect(text.includes(`"id":"${id}","type":"function"`)).toBe(isReleased);
    expect(await everywhere(id)).toEqual(all(isReleased ? 200 : "tool_call_denied"));
  }
  expect(await everywhere(yes, "[2]")).toEqual(all("tool_call_altered"));
});

test("an object 300 ms away adds nothing to a request, and 2,000 ms neither", async () => {
  const mine = await own();
  mine.heal();
  const times: Record<number, number[]> = { 0: [], 300: [], 2000: [] };
  const timed = async (): Promise<number> => {
    const startedAt = performance.now();
    await mine.ask(0);
    return performance.now() - startedAt;
  };
  for (let warmUp = 0; warmUp < 10; warmUp++) await timed();
  for (let round = 0; round < 4; round++) {
    for (const healthLinkMs of [0, 300, 2_000]) {
      await pops.set({ healthLinkMs });
      for (let request = 0; request < 10; request++) times[healthLinkMs]!.push(await timed());
    }
  }
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  const [near, far, farther] = [0, 300, 2_000].map((ms) => median(times[ms]!));
  expect(far! - near!).toBeLessThan(15);
  expect(farther! - near!).toBeLessThan(15);
  // Nor do the few requests wait that a post begins with; a busy machine may hold up one.
  for (const ms of [300, 2_000]) expect(times[ms]!.filter((time) => time > 290).length).toBeLessThanOrEqual(1);
});
