import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { IsolateCache } from "../../../src/lib/isolate-cache.ts";
import { stubScheduler } from "../../support/scheduler.ts";

const LIMITS = { maxEntries: 3, freshMs: 1_000, staleMs: 10_000, keepMs: 60_000 };

let cache: IsolateCache<string>;
let behind: Promise<unknown>[];
const waitUntil = (work: Promise<unknown>): void => {
  behind.push(work);
};
beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  stubScheduler();
  cache = new IsolateCache(LIMITS);
  behind = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const elapse = (milliseconds: number): void => void vi.setSystemTime(Date.now() + milliseconds);
/** A source that answers one after the other and counts. */
function source(...values: (string | null | Error)[]) {
  return vi.fn(async () => {
    const value = values.length > 1 ? values.shift() : values[0];
    if (value instanceof Error) throw value;
    return value ?? null;
  });
}
const get = (read: () => Promise<string | null>, key = "k") => cache.get(key, Date.now(), read, waitUntil);
const never = (): Promise<string | null> => new Promise(() => {});

describe("by age", () => {
  test("a fresh value is used as it is, to the last millisecond", async () => {
    const read = source("old", "new");
    expect(await get(read)).toBe("old");
    elapse(LIMITS.freshMs);
    expect(await get(read)).toBe("old");
    expect([read.mock.calls.length, behind.length]).toEqual([1, 0]);
  });

  test("a stale value is used at once and read again behind the answer", async () => {
    const read = source("old", "new");
    await get(read);
    elapse(LIMITS.freshMs + 1);
    expect(await get(read)).toBe("old");
    expect(behind).toHaveLength(1);
    await behind[0];
    expect(await get(read)).toBe("new");
    expect(read).toHaveBeenCalledTimes(2);
  });

  test("an old value is read again before the answer", async () => {
    const read = source("old", "new");
    await get(read);
    elapse(LIMITS.staleMs + 1);
    expect(await get(read)).toBe("new");
    expect(read).toHaveBeenCalledTimes(2);
  });

  test("an old value answers when the read fails", async () => {
    await get(source("old"));
    elapse(LIMITS.keepMs);
    expect(await get(source(new Error("KV")))).toBe("old");
  });

  test("an old value answers when the read is slow, and not before", async () => {
    await get(source("old"));
    elapse(LIMITS.staleMs + 1);
    const answer = get(never);
    const seen = vi.fn();
    void answer.then(seen);
    await vi.advanceTimersByTimeAsync(499);
    expect(seen).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(await answer).toBe("old");
  });

  test("a read too slow for an answer is kept alive behind it and serves the next one", async () => {
    await get(source("old"));
    elapse(LIMITS.staleMs + 1);
    const answer = get(async () => {
      await scheduler.wait(2_000);
      return "new";
    });
    await vi.advanceTimersByTimeAsync(500);
    expect(await answer).toBe("old");
    expect(behind).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(await behind[0]).toBe("new");
    expect(await get(source("unread"))).toBe("new");
  });

  test("a value that is too old serves nobody", async () => {
    await get(source("old"));
    elapse(LIMITS.keepMs + 1);
    await expect(get(source(new Error("KV")))).rejects.toThrow("KV");
    expect(await get(source("new"))).toBe("new");
  });

  test("a value counts its age from the end of the read, whatever the request's own clock said", async () => {
    const requestedAt = Date.now();
    const slow = async (): Promise<string> => {
      elapse(5_000);
      return "v";
    };
    await cache.get("k", requestedAt, slow, waitUntil);
    elapse(LIMITS.freshMs);
    const read = source("new");
    expect(await get(read)).toBe("v");
    expect(read).not.toHaveBeenCalled();
  });
});

describe("refreshes", () => {
  test("many requests for a stale value read it once", async () => {
    await get(source("old"));
    elapse(LIMITS.freshMs + 1);
    const read = source("new");
    const answers = await Promise.all(Array.from({ length: 50 }, () => get(read)));
    expect(new Set(answers)).toEqual(new Set(["old"]));
    expect(read).toHaveBeenCalledTimes(1);
  });

  test("a refresh whose request died is started again after its lease", async () => {
    await get(source("old"));
    elapse(LIMITS.freshMs + 1);
    await get(never);
    const read = source("new");
    elapse(5_000);
    expect(await get(read)).toBe("old");
    expect(read).not.toHaveBeenCalled();
    elapse(1);
    expect(await get(read)).toBe("old");
    expect(read).toHaveBeenCalledTimes(1);
  });

  test("a refresh that fails keeps the value and rejects nothing", async () => {
    await get(source("old"));
    elapse(LIMITS.freshMs + 1);
    expect(await get(source(new Error("KV")))).toBe("old");
    await expect(Promise.all(behind)).resolves.toBeDefined();
    expect(await get(never)).toBe("old");
  });

  test("a value that is gone is forgotten", async () => {
    await get(source("old"));
    elapse(LIMITS.freshMs + 1);
    await get(source(null));
    await Promise.all(behind);
    expect(await get(source(null))).toBeNull();
  });
});

describe("what is kept", () => {
  test("absence is never kept", async () => {
    const read = source(null, "now there");
    expect(await get(read)).toBeNull();
    expect(await get(read)).toBe("now there");
  });

  test("a first read that fails is the caller's to see, and the next one tries again", async () => {
    const read = source(new Error("KV"), "v");
    await expect(get(read)).rejects.toThrow("KV");
    expect(await get(read)).toBe("v");
  });

  test("a deleted value is read again", async () => {
    const read = source("old", "new");
    await get(read);
    cache.delete("k");
    cache.delete("never there");
    expect(await get(read)).toBe("new");
  });

  test("of too many entries the one read longest ago goes", async () => {
    for (const key of ["a", "b", "c"]) await get(source(key), key);
    elapse(LIMITS.staleMs + 1);
    await get(source("a again"), "a");
    await get(source("d"), "d");
    const read = source("read again");
    expect(await get(read, "a")).toBe("a again");
    expect(await get(read, "d")).toBe("d");
    expect(read).not.toHaveBeenCalled();
    expect(await get(read, "b")).toBe("read again");
  });

  test("keys are apart, whatever their names", async () => {
    await get(source("proto"), "__proto__");
    expect(await get(source("own"), "constructor")).toBe("own");
    expect(await get(never, "__proto__")).toBe("proto");
  });
});
