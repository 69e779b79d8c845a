/** The health of many targets, asked of objects whose answers the test decides. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { snapshots } from "../../../src/admin/providers.ts";
import { stubScheduler } from "../../support/scheduler.ts";

type Namespace = Parameters<typeof snapshots>[0];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  stubScheduler();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Objects that answer after `delayMs`, with what stands for a snapshot; `hang` never does, `fail` throws. */
class FakeObjects {
  asked = 0;
  mostAtATime = 0;
  #open = 0;
  readonly #behaviour: (name: string) => number | "hang" | "fail";

  constructor(behaviour: (name: string) => number | "hang" | "fail") {
    this.#behaviour = behaviour;
  }

  // Only what is called here, not the whole of a namespace.
  readonly namespace = {
    getByName: (name: string) => ({ details: () => this.#answer(name) }),
  } as unknown as Namespace;

  async #answer(name: string): Promise<unknown> {
    this.asked++;
    this.#open++;
    this.mostAtATime = Math.max(this.mostAtATime, this.#open);
    const behaviour = this.#behaviour(name);
    await new Promise((resolve) => setTimeout(resolve, typeof behaviour === "number" ? behaviour : 1_000));
    this.#open--;
    if (behaviour === "hang") await new Promise(() => {});
    if (behaviour === "fail") throw new Error("Durable Object reset.");
    return { state: "closed", name };
  }
}

const targets = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ provider: "openai", model: String(index) }));

async function timed<T>(work: Promise<T>): Promise<{ readonly result: T; readonly tookMs: number }> {
  const startedAt = Date.now();
  let result: { readonly value: T } | undefined;
  void work.then((value) => {
    result = { value };
  });
  while (result === undefined && Date.now() - startedAt < 60_000) await vi.advanceTimersByTimeAsync(10);
  if (result === undefined) throw new Error("Nothing came within a minute.");
  return { result: result.value, tookMs: Date.now() - startedAt };
}

test("every target's health stands in its place, whoever answers first, and six are asked at a time", async () => {
  const objects = new FakeObjects((name) => (Number(name.slice(7)) % 7) * 20);
  const { result } = await timed(snapshots(objects.namespace, targets(50)));
  expect(result).toEqual(targets(50).map(({ model }) => ({ state: "closed", name: `openai/${model}` })));
  expect(objects.mostAtATime).toBe(6);
});

test("an object that hangs or fails is unknown, and the others are not", async () => {
  const objects = new FakeObjects((name) => (name === "openai/1" ? "hang" : name === "openai/2" ? "fail" : 5));
  const { result } = await timed(snapshots(objects.namespace, targets(4)));
  expect(result.map((each) => each !== null)).toEqual([true, false, false, true]);
});

test("however many objects hang, the answer is there within six seconds", async () => {
  const objects = new FakeObjects(() => "hang");
  const { result, tookMs } = await timed(snapshots(objects.namespace, targets(500)));
  expect(result).toHaveLength(500);
  expect(result.every((each) => each === null)).toBe(true);
  expect(tookMs).toBeLessThanOrEqual(6_100);
  expect(objects.asked).toBeLessThanOrEqual(36);
});
