/** When KV is written: two lanes, one alarm, on a real SQLite and a clock that the test moves. */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { migrate } from "../../../src/control/control-schema.sql.ts";
import { Publisher } from "../../../src/control/publisher.ts";
import { stubScheduler } from "../../support/scheduler.ts";
import { FakeKv, startSql } from "./fakes.ts";

const NOW = 1_700_000_000_000;
const HEALTH = "health";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  stubScheduler();
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(Math, "random").mockReturnValue(0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** The object around a publisher: its one alarm, its changes, its death. */
class FakeObject {
  readonly kv = new FakeKv();
  readonly #sql = startSql();
  #publisher: Publisher;
  #alarmAt: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastRing: Promise<void> = Promise.resolve();
  /** How often the alarm rang. */
  rings = 0;
  #seq = 0;

  constructor() {
    migrate(this.#sql);
    this.#publisher = this.#start();
  }

  get alarmAt(): number | null {
    return this.#alarmAt;
  }

  /** An operator's change. Resolves when the operator has the answer. */
  async change(key: string): Promise<string> {
    const value = String(++this.#seq);
    this.#publisher.add(key, value, this.#seq);
    this.#publisher.guard(Date.now());
    await this.#publisher.publish();
    return value;
  }

  /** A breaker that opens, or closes where `openMs` is null. Nobody waits for KV. */
  note(target: string, openMs: number | null = 5_000, at = Date.now()): void {
    const now = Date.now();
    this.#publisher.noteTargetHealth({ target, isOpen: openMs !== null, openUntil: at + (openMs ?? 0), at }, now);
    void this.#publisher.publishHealth(now);
  }

  /** The object dies and comes back with what was stored, its alarm included. */
  evict(): void {
    this.#publisher = this.#start();
  }

  published(): { readonly at: number; readonly open: Record<string, number> } | null {
    const text = this.kv.values.get(HEALTH);
    return text === undefined ? null : JSON.parse(text);
  }

  #start(): Publisher {
    const setAlarm = async (at: number | Date): Promise<void> => this.#arm(Number(at));
    const deleteAlarm = async (): Promise<void> => this.#arm(null);
    const getAlarm = async (): Promise<number | null> => this.#alarmAt;
    return new Publisher(this.#sql, this.kv as unknown as KVNamespace, { getAlarm, setAlarm, deleteAlarm }, Date.now());
  }

  #arm(at: number | null): void {
    clearTimeout(this.#timer);
    this.#alarmAt = at;
    if (at === null) return;
    this.#timer = setTimeout(() => this.#ring(), Math.max(0, at - Date.now()));
  }

  /** While one alarm is handled the platform starts no other. */
  #ring(): void {
    this.#lastRing = this.#lastRing.then(() => {
      this.rings++;
      this.#alarmAt = null;
      return this.#publisher.onAlarm(Date.now());
    });
  }
}

/** From the end of an attempt to write `key` to the start of the next, each. */
function pausesMs({ kv }: FakeObject, key: string): number[] {
  const attempts = kv.attempts.get(key) ?? [];
  return attempts.slice(1).map(({ startedAt }, index) => startedAt - (attempts[index]?.endedAt ?? 0));
}

/** The shortest of the list's pauses; infinite with fewer than two attempts. */
const shortestPauseMs = (object: FakeObject): number => Math.min(...pausesMs(object, HEALTH));

describe("the list of open breakers", () => {
  test("a change is in KV at once, and no alarm is left", async () => {
    const object = new FakeObject();
    object.note("a/x");
    await pass(10);
    expect(object.published()).toEqual({ at: NOW, open: { "a/x": NOW + 5_000 } });
    expect(object.alarmAt).toBeNull();
  });

  test("the alarm is armed before anything is awaited", () => {
    const object = new FakeObject();
    object.note("a/x");
    expect(object.alarmAt).not.toBeNull();
  });

  test("many changes within a second are two writes: the first at once, the newest list a second later", async () => {
    const object = new FakeObject();
    for (let index = 0; index < 20; index++) {
      object.note(`a/${index}`);
      await pass(40);
    }
    expect(object.kv.writes).toHaveLength(1);
    expect(Object.keys(object.published()?.open ?? {})).toEqual(["a/0"]);
    await pass(1_000);
    expect(object.kv.writes).toHaveLength(2);
    expect(Object.keys(object.published()?.open ?? {})).toHaveLength(20);
    await pass(120_000);
    expect(object.kv.writes).toHaveLength(2);
    expect(object.alarmAt).toBeNull();
  });

  test("a change that does not alter the list is no write", async () => {
    const object = new FakeObject();
    object.note("a/x", null);
    object.note("a/x", 5_000, NOW - 1);
    await pass(5_000);
    expect(object.kv.attempts.size).toBe(0);
    expect(object.alarmAt).toBeNull();
  });

  test("an eviction neither loses a change that waits nor shortens the pause", async () => {
    const object = new FakeObject();
    object.note("a/x");
    await pass(100);
    object.note("a/y");
    object.evict();
    object.note("a/z");
    await pass(2_000);
    expect(Object.keys(object.published()?.open ?? {}).sort()).toEqual(["a/x", "a/y", "a/z"]);
    expect(shortestPauseMs(object)).toBeGreaterThanOrEqual(1_000);
    expect(object.kv.writes).toHaveLength(2);
  });

  test("a slow KV gets the list a second after it took the one before, and at the end the newest", async () => {
    const object = new FakeObject();
    object.kv.takesMs = 1_700;
    for (let index = 0; index < 30; index++) {
      object.note(`a/${index}`);
      await pass(200);
    }
    await pass(10_000);
    expect(shortestPauseMs(object)).toBeGreaterThanOrEqual(1_000);
    expect([...object.kv.overlapping]).toEqual([]);
    expect(Object.keys(object.published()?.open ?? {})).toHaveLength(30);
    expect(object.alarmAt).toBeNull();
  });

  test("an object that dies while it sends keeps the pause to its next try", async () => {
    const object = new FakeObject();
    object.kv.behaviour = () => "hang";
    object.note("a/x");
    await pass(10);
    object.evict();
    object.kv.behaviour = () => "take";
    object.note("a/y");
    await pass(2_000);
    expect(Object.keys(object.published()?.open ?? {}).sort()).toEqual(["a/x", "a/y"]);
    expect(shortestPauseMs(object)).toBeGreaterThanOrEqual(1_000);
  });

  test("an object that dies while it sends is woken by its alarm and sends again", async () => {
    const object = new FakeObject();
    object.kv.behaviour = () => "hang";
    object.note("a/x");
    await pass(100);
    object.evict();
    object.kv.behaviour = () => "take";
    await pass(31_000);
    expect(object.published()?.open).toEqual({ "a/x": NOW + 5_000 });
    expect(object.alarmAt).toBeNull();
  });

  test("a clock that is set back an hour stops nothing", async () => {
    const object = new FakeObject();
    object.note("a/x");
    await pass(2_000);
    vi.setSystemTime(NOW - 3_600_000);
    object.note("a/y");
    await pass(2_000);
    expect(object.published()?.open).toHaveProperty(["a/y"]);
    expect(object.published()?.at).toBeGreaterThan(NOW);
  });

  test("an operator's change does not put off a list that waits for its second", async () => {
    const object = new FakeObject();
    object.kv.behaviour = (key) => (key === HEALTH ? "take" : "hang");
    object.note("a/x");
    await pass(100);
    object.note("a/y");
    void object.change("route");
    await pass(1_100);
    expect(object.published()?.open).toHaveProperty(["a/y"]);
  });

  test("however changes, refusals and evictions mix: a second between writes, never backwards, at the end the truth", async () => {
    const step = fc.record({
      target: fc.constantFrom("a/x", "a/y", "a/z"),
      openMs: fc.constantFrom(5_000, 10_000, null),
      pauseMs: fc.integer({ min: 0, max: 1_500 }),
      failing: fc.constantFrom(0, 0, 0, 1, 2),
      evict: fc.constantFrom(false, false, false, true),
      operator: fc.boolean(),
    });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      vi.setSystemTime(NOW);
      const object = new FakeObject();
      const open = new Map<string, number>();
      for (const { target, openMs, pauseMs, failing, evict, operator } of steps) {
        object.kv.failing += failing;
        if (evict) object.evict();
        object.note(target, openMs);
        if (openMs === null) open.delete(target);
        else open.set(target, Date.now() + openMs);
        if (operator) void object.change("route");
        // A change of one target never carries the time of the one before.
        await pass(pauseMs + 1);
      }
      await pass(600_000);
      expect(object.published()?.open ?? {}).toEqual(Object.fromEntries(open));
      expect(shortestPauseMs(object)).toBeGreaterThanOrEqual(1_000);
      // An operator's change that an eviction cuts off is sent again at once: only the list has a pause.
      expect(object.kv.overlapping).not.toContain(HEALTH);
      expect(object.alarmAt).toBeNull();
      const times = object.kv.writes.flatMap((write) =>
        write.startsWith("health=") ? [JSON.parse(write.slice(7)).at] : [],
      );
      expect(times).toEqual([...new Set(times)].sort((left, right) => left - right));
    });
    await fc.assert(property, { numRuns: 60 });
  });
});

describe("what KV does to one lane does not reach the other", () => {
  test.each(["refuse", "hang"] as const)(
    "%s of the list for minutes: operators' changes are in KV at once",
    async (behaviour) => {
      const object = new FakeObject();
      object.kv.behaviour = (key) => (key === HEALTH ? behaviour : "take");
      for (let minute = 0; minute < 5; minute++) {
        object.note(`a/${minute}`);
        await pass(30_000);
        const startedAt = Date.now();
        const changed = object.change("route");
        await pass(100);
        expect(object.kv.values.get("route")).toBe(await changed);
        expect(Date.now() - startedAt).toBe(100);
        await pass(30_000);
      }
      expect(object.published()).toBeNull();
      if (behaviour === "refuse") expect(shortestPauseMs(object)).toBeGreaterThanOrEqual(1_000);
      expect(object.rings).toBeLessThan(50);
    },
  );

  test.each(["refuse", "hang"] as const)(
    "%s of operators' changes for minutes: the list is in KV within seconds",
    async (behaviour) => {
      const object = new FakeObject();
      object.kv.behaviour = (key) => (key === HEALTH ? "take" : behaviour);
      void object.change("route");
      for (let turn = 0; turn < 60; turn++) {
        object.note(`a/${turn}`);
        await pass(10);
        object.note(`b/${turn}`);
        // A second of pause, and two that an alarm may spend on the other lane.
        await pass(3_100);
        expect(object.published()?.open).toHaveProperty([`b/${turn}`]);
        await pass(turn * 37);
      }
      expect(object.kv.values.has("route")).toBe(false);
    },
  );

  test("a refused change of an operator comes again after 1.5 s although the list hangs", async () => {
    const object = new FakeObject();
    object.kv.behaviour = () => "hang";
    object.note("a/x");
    await pass(100);
    object.kv.behaviour = (key) => (key === HEALTH ? "hang" : "take");
    object.kv.failing = 1;
    const value = await Promise.all([object.change("route"), pass(100)]);
    expect(object.kv.values.has("route")).toBe(false);
    await pass(1_500);
    expect(object.kv.values.get("route")).toBe(value[0]);
  });

  test.each([HEALTH, "route"])("%s is sent again until KV has it, at growing pauses", async (key) => {
    const object = new FakeObject();
    object.kv.behaviour = () => "refuse";
    if (key === HEALTH) object.note("a/x");
    else void object.change("route");
    await pass(300_000);
    const pauses = pausesMs(object, key);
    expect(pauses.slice(0, 3).map((ms) => Math.round(ms / 100))).toEqual([15, 30, 60]);
    expect(Math.max(...pauses)).toBeLessThan(61_000);
    object.kv.behaviour = () => "take";
    await pass(61_000);
    expect(object.kv.values.has(key)).toBe(true);
    expect(object.alarmAt).toBeNull();
  });
});

describe("operators' changes", () => {
  test("changes at the same time are no delay: nothing is logged, and KV ends at the newest", async () => {
    const object = new FakeObject();
    object.kv.takesMs = 50;
    const changes: Promise<string>[] = [];
    for (let index = 0; index < 20; index++) {
      changes.push(object.change(`route:${index % 5}`));
      await pass(20);
    }
    await pass(3_000);
    expect([...object.kv.values.values()].sort()).toEqual((await Promise.all(changes)).slice(-5).sort());
    expect(console.log).not.toHaveBeenCalled();
    expect(object.alarmAt).toBeNull();
  });

  test.each(["refuse", "hang"] as const)(
    "%s of everything for ten minutes, with evictions: KV never goes backwards and ends at the newest of each key",
    async (behaviour) => {
      const object = new FakeObject();
      const newest = new Map<string, string>();
      const change = (key: string): void => {
        void object.change(key).then((value) => newest.set(key, value));
      };
      change("route:a");
      change("route:b");
      await pass(100);
      const before = new Map(object.kv.values);
      object.kv.behaviour = () => behaviour;
      for (let minute = 0; minute < 10; minute++) {
        change(minute % 2 === 0 ? "route:a" : "routes");
        await pass(45_000);
        if (minute % 3 === 2) object.evict();
        await pass(15_000);
      }
      expect(object.kv.values).toEqual(before);
      // What hangs ends with the object.
      object.evict();
      object.kv.behaviour = () => "take";
      await pass(61_000);
      expect(Object.fromEntries(object.kv.values)).toEqual(Object.fromEntries(newest));
      expect(object.kv.values.size).toBe(3);
      for (const key of newest.keys()) {
        const order = object.kv.writes
          .filter((write) => write.startsWith(`${key}=`))
          .map((write) => +write.slice(key.length + 1));
        expect(order).toEqual(order.toSorted((left, right) => left - right));
      }
      expect(object.alarmAt).toBeNull();
    },
  );
});
