import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { stubScheduler } from "../../support/scheduler.ts";
import { calm, fakeHealth } from "./fakes.ts";

type Client = typeof import("../../../src/health/client.ts");

/** A cold isolate for each test. */
let client: Client;
let health: ReturnType<typeof fakeHealth>;
const TARGET = "openai/gpt";
const stateOf = (target = TARGET): string => client.targetState(health, target, Date.now());
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const publish = (document: unknown): void => {
  health.readKv = async () => (typeof document === "string" ? document : JSON.stringify(document));
};
async function warm(): Promise<void> {
  client.warmUp(health, Date.now());
  await pass(1);
}

beforeEach(async () => {
  vi.useFakeTimers();
  stubScheduler();
  vi.resetModules();
  client = await import("../../../src/health/client.ts");
  health = fakeHealth(() => Promise.reject(new Error("down")));
});
afterEach(async () => {
  await vi.runAllTimersAsync();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a cold isolate", () => {
  test("leaves alone what was published as open, and probes it by lease once its time is up", async () => {
    publish({ at: Date.now(), open: { [TARGET]: Date.now() + 4_000 } });
    expect(stateOf()).toBe("closed");
    await warm();
    expect([stateOf(), stateOf("openai/other")]).toEqual(["open", "closed"]);
    await pass(4_000);
    health.answer = async () => calm({ state: "half_open", openUntil: Date.now() - 1, leaseMs: 5_000 });
    expect(stateOf()).toBe("open");
    await pass(1);
    expect(health.deltas).toMatchObject([{ wantsLease: true }]);
    expect(stateOf()).toBe("closed");
  });

  test("leaves alone what was published as open for one key for that key only", async () => {
    publish({ at: Date.now(), open: { [TARGET]: Date.now() + 4_000 }, open_for: { [TARGET]: "alice" } });
    await warm();
    const seenBy = (key: string) => client.targetState({ ...health, key: () => key }, TARGET, Date.now());
    expect(["alice", "bob"].map(seenBy)).toEqual(["open", "closed"]);
  });

  test("asks about what was published as open long ago before it sends anything", async () => {
    publish({ at: Date.now() - 3_600_000, open: { [TARGET]: Date.now() - 3_595_000 } });
    await warm();
    health.answer = async () => calm();
    expect(stateOf()).toBe("open");
    await pass(1);
    expect(stateOf()).toBe("closed");
  });

  test("reads once in 30 s, however many requests there are, and waits for nothing", async () => {
    for (let at = 0; at <= 60; at++) {
      client.warmUp(health, Date.now());
      client.warmUp(health, Date.now());
      await pass(1_000);
    }
    expect(health.kvReads).toBe(3);
  });

  test.each<{ name: string; document: unknown }>([
    { name: "nothing", document: "null" },
    { name: "no JSON", document: '{"at":' },
    { name: "another shape", document: [1, 2] },
    { name: "no list", document: { at: 1 } },
    { name: "a list of another shape", document: { at: 1, open: ["openai/gpt"] } },
    { name: "no time", document: { open: { [TARGET]: 9e15 } } },
    { name: "a time that is none", document: { at: "now", open: { [TARGET]: 9e15 } } },
    { name: "a time far ahead", document: { at: 9e15, open: { [TARGET]: 9e15 } } },
    { name: "an end that is none", document: { at: 1, open: { [TARGET]: "soon" } } },
    { name: "no end", document: { at: 1, open: { [TARGET]: null } } },
  ])("learns nothing from $name", async ({ document }) => {
    publish(document);
    await warm();
    expect(stateOf()).toBe("closed");
  });

  test("believes no end that is farther ahead than a breaker stays open", async () => {
    publish({ at: Date.now(), open: { [TARGET]: 9e15 } });
    await warm();
    await pass(19_990);
    expect(stateOf()).toBe("open");
    expect(health.deltas).toHaveLength(0);
    await pass(10);
    stateOf();
    expect(health.deltas).toHaveLength(1);
  });

  test.each([
    { name: "missing", read: async () => null },
    { name: "failing", read: () => Promise.reject(new Error("KV GET failed: 500")) },
    { name: "hanging", read: () => new Promise<null>(() => {}) },
    {
      name: "throwing",
      read: (): Promise<null> => {
        throw new Error("no KV");
      },
    },
  ])("is left as it was by a KV that is $name, and the work behind the answer ends", async ({ read }) => {
    health.readKv = read;
    client.warmUp(health, Date.now());
    await pass(10_000);
    await Promise.all(health.work);
    expect(stateOf()).toBe("closed");
    publish({ at: Date.now(), open: { [TARGET]: Date.now() + 60_000 } });
    await pass(20_000);
    await warm();
    expect(stateOf()).toBe("open");
  });
});

test("what the object said later than a publication counts", async () => {
  const now = Date.now();
  health.answer = async () => calm();
  client.reportOutcome(health, client.beginAttempt(TARGET, now), { outcome: "success", latency: null, now });
  await pass(1_000);
  publish({ at: now - 1, open: { [TARGET]: now + 15_000 } });
  await warm();
  expect(stateOf()).toBe("closed");
  publish({ at: now + 500, open: { [TARGET]: now + 50_000 } });
  await pass(30_000);
  await warm();
  expect(stateOf()).toBe("open");
});

test("a publication that was taken over once does not undo what a probe has found since", async () => {
  publish({ at: Date.now(), open: { [TARGET]: Date.now() + 1_000 } });
  await warm();
  await pass(1_000);
  // The object is down: the isolate probes on its own account.
  stateOf();
  await pass(1);
  expect(stateOf()).toBe("closed");
  const ticket = client.beginAttempt(TARGET, Date.now());
  client.reportOutcome(health, ticket, { outcome: "success", latency: null, now: Date.now() });
  await pass(30_000);
  await warm();
  expect([health.kvReads, stateOf()]).toEqual([2, "closed"]);
  publish({ at: Date.now(), open: { [TARGET]: Date.now() + 60_000 } });
  await pass(30_000);
  await warm();
  expect(stateOf()).toBe("open");
});

test("a long publication does not push out the targets that are in use", async () => {
  const names = Array.from({ length: 5_000 }, (_, index) => `vendor/model-${index}`);
  const now = Date.now();
  const ticket = client.beginAttempt(TARGET, now);
  client.reportOutcome(health, ticket, { outcome: "rate_limited", latency: null, now, retryAfterMs: 60_000 });
  publish({ at: now, open: Object.fromEntries(names.map((name) => [name, now + 20_000])) });
  await warm();
  expect(stateOf()).toBe("cooling");
  expect([stateOf(names[0]), stateOf(names.at(-1))]).toEqual(["open", "closed"]);
});
