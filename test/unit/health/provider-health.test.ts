/** The object of a target in workerd: what it keeps over a reset, what it tells the control plane, when it forgets. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bucketOf } from "../../../src/health/quantile.ts";
import type { HealthAnswer, HealthDelta, HealthSnapshot } from "../../../src/health/types.ts";
import { startWorker, type TestWorker } from "../../support/worker.ts";

/** The product's object with a clock, a control plane and an end that tests rule over; all in one isolate. */
const FRONT = `
import app, { ProviderHealth as Product } from "./index.js";
export * from "./index.js";

const realNow = Date.now.bind(Date);
let state = { clockMs: 0, control: "ok" };
let announced = [];
Date.now = () => realNow() + state.clockMs;

const control = {
  async noteTargetHealth(change) {
    if (state.control === "fail") throw new Error("The control plane is down.");
    if (state.control === "hang") await new Promise((resolve) => setTimeout(resolve, 2_000_000_000));
    announced.push(change);
  },
};

export class ProviderHealth extends Product {
  constructor(ctx, env) {
    super(ctx, { ...env, CONTROL_PLANE: { getByName: () => control } });
  }
  async tables() {
    return this.ctx.storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table'").toArray().map((row) => row.name).filter((name) => !name.startsWith("_cf"));
  }
  async sliceCount() {
    return this.ctx.storage.sql.exec("SELECT count(*) AS count FROM slice").one().count;
  }
  async alarmInMs() {
    const at = await this.ctx.storage.getAlarm();
    return at === null ? null : at - Date.now();
  }
  async ring() {
    await this.alarm();
  }
  async reset() {
    this.ctx.abort("reset by the test");
  }
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/state") {
      if (request.method === "PUT") state = await request.json();
      return Response.json(announced);
    }
    if (url.pathname !== "/object") return app.fetch(request, env, context);
    const { target, method, parameters } = await request.json();
    try {
      return Response.json((await env.PROVIDER_HEALTH.getByName(target)[method](...parameters)) ?? null);
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};
`;

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker({ front: FRONT });
});
afterEach(() => set({}));
afterAll(() => worker.stop());

async function set(state: { readonly clockMs?: number; readonly control?: "ok" | "fail" | "hang" }): Promise<void> {
  await worker.fetch("/state", { method: "PUT", body: JSON.stringify({ clockMs: 0, control: "ok", ...state }) });
}

interface Announcement {
  readonly target: string;
  readonly isOpen: boolean;
  readonly openUntil: number;
  readonly at: number;
}

class Target {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
  async #call<T>(method: string, ...parameters: unknown[]): Promise<T> {
    const body = JSON.stringify({ target: this.name, method, parameters });
    return (await (await worker.fetch("/object", { method: "POST", body })).json()) as T;
  }
  report = (delta: Partial<HealthDelta>) => this.#call<HealthAnswer>("report", { ...NOTHING, ...delta });
  snapshot = () => this.#call<HealthSnapshot | null>("snapshot");
  tables = () => this.#call<string[]>("tables");
  sliceCount = () => this.#call<number>("sliceCount");
  alarmInMs = () => this.#call<number | null>("alarmInMs");
  ring = () => this.#call<null>("ring");
  /** As after an eviction: what was only in memory is gone. */
  reset = () => this.#call<unknown>("reset");
  async announced(): Promise<Announcement[]> {
    const all = (await (await worker.fetch("/state")).json()) as Announcement[];
    return all.filter(({ target }) => target === this.name);
  }
}

const NOTHING: HealthDelta = {
  isolate: "a",
  successes: 0,
  failures: 0,
  rateLimited: 0,
  broken: 0,
  probeSuccesses: 0,
  probeFailures: 0,
  isPenalising: false,
  wantsLease: false,
  returnsLease: false,
  cooldownMs: 0,
  firstToken: [],
  total: [],
};
const OUTAGE = { failures: 20 };

let serial = 0;
const newTarget = (): Target => new Target(`vendor/model-${serial++}`);

describe("what the object says", () => {
  test("is what all isolates saw, with quantiles of both kinds", async () => {
    const target = newTarget();
    await target.report({ successes: 3, failures: 1, firstToken: [[bucketOf(200), 3, 0]] });
    await set({ clockMs: 300 });
    const answer = await target.report({
      isolate: "b",
      successes: 2,
      rateLimited: 1,
      total: [[bucketOf(9_000), 0, 4]],
    });
    expect(answer).toMatchObject({
      ...{ state: "closed", openUntil: 0, ejections: 0, requests: 6, failures: 1, rateLimited: 1, leaseMs: 0 },
      ...{ firstToken: { calls: 3 }, total: { calls: 4 } },
    });
    expect(answer.firstToken?.p50Ms).toBeGreaterThan(180);
    expect(answer.firstToken?.p95Ms).toBeLessThan(220);
    expect(answer.total?.p50Ms).toBeGreaterThan(8_300);
    const { leaseMs, at, cachedShare, ...figures } = answer;
    expect(await target.snapshot()).toMatchObject(figures);
    await set({ clockMs: 70_000 });
    expect(await target.snapshot()).toMatchObject({ requests: 0, failures: 0, firstToken: null, total: null });
  });

  test("is nothing about a target never used, and asking leaves nothing behind", async () => {
    const target = newTarget();
    expect(await target.snapshot()).toBeNull();
    expect([await target.tables(), await target.alarmInMs()]).toEqual([[], null]);
    await target.report({ successes: 1 });
    expect((await target.tables()).sort()).toEqual(["health", "slice"]);
  });

  test("the share of prompts that its cache held is kept over a reset", async () => {
    const target = newTarget();
    const prompts = { requests: 10, promptTokens: 1_000, cachedTokens: 600 };
    expect((await target.report({ prompts })).cachedShare).toBe(0);
    expect((await target.report({ prompts: { ...prompts, cachedTokens: 400 } })).cachedShare).toBe(0.5);
    await target.reset();
    expect((await target.report({})).cachedShare).toBe(0.5);
    await set({ clockMs: 3_900_000 });
    expect((await target.report({})).cachedShare).toBe(0);
  });

  test("the longest wish of a provider is kept, and none beyond a minute", async () => {
    const target = newTarget();
    const first = await target.report({ rateLimited: 1, cooldownMs: 30_000 });
    expect(first.cooldownUntil - first.at).toBe(30_000);
    const second = await target.report({ rateLimited: 1, cooldownMs: 1_000 });
    expect(second.cooldownUntil).toBe(first.cooldownUntil);
    const third = await target.report({ rateLimited: 1, cooldownMs: 9e9 });
    expect(third.cooldownUntil - third.at).toBe(60_000);
  });

  test("of many isolates that ask for a lease at once one gets it", async () => {
    const target = newTarget();
    await target.report(OUTAGE);
    await set({ clockMs: 5_000 });
    const isolates = Array.from({ length: 20 }, (_, index) => `isolate-${index}`);
    const answers = await Promise.all(isolates.map((isolate) => target.report({ isolate, wantsLease: true })));
    expect(answers.filter(({ leaseMs }) => leaseMs > 0)).toHaveLength(1);
  });
});

describe("a reset", () => {
  test("does not forget an open breaker, its ejections or a lease", async () => {
    const target = newTarget();
    const { openUntil } = await target.report(OUTAGE);
    await target.reset();
    expect(await target.snapshot()).toMatchObject({ state: "open", openUntil, ejections: 1 });
    await set({ clockMs: 5_000 });
    expect((await target.report({ probeFailures: 1 })).ejections).toBe(2);
    await target.reset();
    await set({ clockMs: 15_100 });
    expect((await target.report({ isolate: "b", wantsLease: true })).leaseMs).toBe(5_000);
    await target.reset();
    expect(await target.report({ isolate: "c", wantsLease: true })).toMatchObject({ state: "half_open", leaseMs: 0 });
    expect((await target.report({ isolate: "b" })).leaseMs).toBeGreaterThan(4_000);
    const closed = await target.report({ isolate: "b", probeSuccesses: 1 });
    expect(closed).toMatchObject({ state: "closed", ejections: 2, leaseMs: 0 });
    await target.reset();
    expect(await target.snapshot()).toMatchObject({ state: "closed", ejections: 2 });
    await set({ clockMs: 76_000 });
    expect(await target.snapshot()).toMatchObject({ state: "closed", ejections: 1 });
  });

  test("does not bring back what opened the breaker", async () => {
    const target = newTarget();
    // Stored in a slice of its own.
    await target.report({ failures: 19 });
    await set({ clockMs: 7_000 });
    expect(await target.report({ failures: 5, total: [[10, 1, 0]] })).toMatchObject({ state: "open" });
    await set({ clockMs: 12_100 });
    await target.report({ probeSuccesses: 1 });
    await target.reset();
    // 20 failures of a minute would open it at once.
    expect(await target.report({ failures: 1 })).toMatchObject({ state: "closed", failures: 1, total: { calls: 1 } });
  });

  test("keeps what was counted after the clock went back a little", async () => {
    const target = newTarget();
    await set({ clockMs: 6_500 });
    await target.report({ failures: 2 });
    await set({ clockMs: 0 });
    await target.report({ failures: 3 });
    await target.reset();
    expect(await target.snapshot()).toMatchObject({ requests: 5, failures: 5 });
  });

  test("costs the last second of counts at most, and a minute of them is at most eleven rows", async () => {
    const target = newTarget();
    for (let clockMs = 0; clockMs <= 90_000; clockMs += 1_500) {
      await set({ clockMs });
      await target.report({ successes: 1, total: [[40, 1, 0]] });
    }
    const before = await target.snapshot();
    expect(before).toMatchObject({ requests: before?.total?.calls });
    await target.reset();
    expect(await target.snapshot()).toMatchObject({ requests: before?.requests, total: before?.total });
    expect(await target.sliceCount()).toBeLessThanOrEqual(11);
    // Two within a second of the last write are the ones that may be lost.
    for (let count = 0; count < 5; count++) await target.report({ failures: 1 });
    await target.reset();
    expect((await target.snapshot())?.failures).toBeLessThanOrEqual(5);
    expect((await target.snapshot())?.failures).toBeGreaterThanOrEqual(1);
  });
});

describe("the control plane", () => {
  test("hears whose requests opened a breaker, and when another one's failed too", async () => {
    const target = newTarget();
    const opened = await target.report({ ...OUTAGE, failedKeys: ["alice"] });
    expect(opened).toMatchObject({ state: "open", openFor: "alice" });
    await expect.poll(() => target.announced()).toHaveLength(1);
    expect(await target.announced()).toMatchObject([{ isOpen: true, openFor: "alice" }]);
    await target.reset();
    expect(await target.snapshot()).toMatchObject({ state: "open", openFor: "alice" });
    expect(await target.report({ failures: 1, failedKeys: ["bob"] })).toMatchObject({ state: "open", openFor: null });
    await expect.poll(() => target.announced()).toHaveLength(2);
    expect((await target.announced())[1]).toMatchObject({ isOpen: true, openFor: null, openUntil: opened.openUntil });
  });

  test("hears of every change at once, with rising times, and of nothing else", async () => {
    const target = newTarget();
    await target.report({ successes: 1 });
    const opened = await target.report(OUTAGE);
    await target.report({ failures: 5 });
    await set({ clockMs: 5_000 });
    const reopened = await target.report({ probeFailures: 1 });
    await set({ clockMs: 15_000 });
    await target.report({ wantsLease: true });
    await target.report({ probeSuccesses: 1 });
    await expect.poll(() => target.announced()).toHaveLength(3);
    const changes = await target.announced();
    expect(changes).toMatchObject([
      { target: target.name, isOpen: true, openUntil: opened.openUntil },
      { target: target.name, isOpen: true, openUntil: reopened.openUntil },
      { target: target.name, isOpen: false, openUntil: 0 },
    ]);
    const times = changes.map(({ at }) => at);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  test("hears of changes in their order also where the clock goes back", async () => {
    const target = newTarget();
    await set({ clockMs: 3_600_000 });
    await target.report(OUTAGE);
    await set({ clockMs: 0 });
    await target.report({ probeSuccesses: 1 });
    await expect.poll(() => target.announced()).toHaveLength(2);
    const [first, second] = await target.announced();
    expect(second).toMatchObject({ isOpen: false });
    expect(second!.at).toBeGreaterThan(first!.at);
  });

  test.each(["fail", "hang"] as const)(
    "hears of a change by alarm when it did %s, after a reset too, and once",
    async (control) => {
      const target = newTarget();
      await set({ control });
      // The report waits for nobody: a control plane that hangs never answers.
      const { state, openUntil } = await target.report(OUTAGE);
      expect(state).toBe("open");
      expect(await target.alarmInMs()).toBeLessThanOrEqual(2_000);
      await target.reset();
      await set({ control: "ok" });
      await target.ring();
      expect(await target.announced()).toMatchObject([{ isOpen: true, openUntil }]);
      expect(await target.alarmInMs()).toBeGreaterThan(80_000_000);
      await target.ring();
      expect(await target.announced()).toHaveLength(1);
    },
  );

  test("hears of it by an alarm that rings by itself", async () => {
    const target = newTarget();
    await set({ control: "fail" });
    await target.report(OUTAGE);
    await set({ control: "ok" });
    await expect.poll(() => target.announced(), { timeout: 6_000, interval: 100 }).toHaveLength(1);
  });

  test("is asked again later and later while it fails, for a minute at most", async () => {
    const target = newTarget();
    await set({ control: "fail" });
    await target.report(OUTAGE);
    const pauses: number[] = [];
    for (let round = 0; round < 7; round++) {
      await target.ring();
      pauses.push(Math.round(((await target.alarmInMs()) ?? 0) / 1_000));
    }
    expect(pauses[0]).toBeGreaterThanOrEqual(4);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(60);
  });
});

describe("a target nobody reports on", () => {
  const DAY_MS = 86_400_000;

  test("is forgotten after a day, and starts anew", async () => {
    const target = newTarget();
    await target.report({ successes: 5, failures: 1 });
    const rings = (await target.alarmInMs()) ?? 0;
    expect(Math.abs(rings - DAY_MS)).toBeLessThan(1_000);
    await set({ clockMs: DAY_MS + 1_000 });
    await target.ring();
    expect([await target.snapshot(), await target.tables(), await target.alarmInMs()]).toEqual([null, [], null]);
    expect(await target.report({ successes: 1 })).toMatchObject({ requests: 1, failures: 0 });
    expect((await target.tables()).length).toBe(2);
    expect(await target.alarmInMs()).toBeGreaterThan(0);
  });

  test("is kept while it is used, also when the object was reset in between", async () => {
    const target = newTarget();
    await target.report({ successes: 5 });
    await set({ clockMs: DAY_MS / 2 });
    await target.report({ successes: 1 });
    await target.reset();
    await set({ clockMs: DAY_MS + 1_000 });
    await target.ring();
    expect((await target.tables()).length).toBe(2);
    const rings = (await target.alarmInMs()) ?? 0;
    expect(Math.abs(rings - DAY_MS / 2)).toBeLessThan(3_000);
  });

  test("is announced as closed before it is forgotten, and not forgotten before that was heard", async () => {
    const target = newTarget();
    await target.report(OUTAGE);
    await expect.poll(() => target.announced()).toHaveLength(1);
    await set({ clockMs: DAY_MS + 1_000, control: "fail" });
    await target.ring();
    expect((await target.tables()).length).toBeGreaterThan(0);
    await set({ clockMs: DAY_MS + 10_000 });
    await target.ring();
    expect((await target.announced()).at(-1)).toMatchObject({ isOpen: false });
    expect(await target.tables()).toEqual([]);
  });
});

test("nothing of all this was an error nobody caught", () => {
  expect(worker.logs()).not.toMatch(/unhandled|uncaught|TypeError/i);
});

test("that a stream of the target broke a rule is kept for an hour, over a reset too", async () => {
  const target = newTarget();
  expect(await target.report({ successes: 1 })).toMatchObject({ uncleanUntil: 0 });
  const { at, uncleanUntil = 0 } = await target.report({ isUnclean: true });
  expect(uncleanUntil - at).toBe(3_600_000);
  await target.reset();
  expect(await target.snapshot()).toMatchObject({ uncleanUntil });
  expect(await target.report({ isolate: "b", successes: 1 })).toMatchObject({ uncleanUntil });
});
