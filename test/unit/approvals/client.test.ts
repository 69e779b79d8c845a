/** How the router talks to a key's record: turns of a wait, faults, and what it need not ask. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  checkResults,
  decideCall,
  expectCalls,
  recordAnswer,
  showApprovals,
  waitForDecision,
} from "../../../src/approvals/client.ts";
import type { ApprovalStatus, Ruling } from "../../../src/approvals/types.ts";
import { stubScheduler } from "../../support/scheduler.ts";

type Namespace = Parameters<typeof waitForDecision>[0];

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const ruling = (status: ApprovalStatus): Ruling => ({ calls: [{ id: "a", name: "f", status }], expiresAt: 0 });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A record whose every call goes to `answer`; a stub that failed once is broken, as the platform's is. */
function recordOf(answer: (method: string, ...parameters: never[]) => Promise<unknown>): Namespace & { stubs: number } {
  const namespace = {
    stubs: 0,
    getByName() {
      namespace.stubs++;
      let isBroken = false;
      return new Proxy(
        {},
        {
          get:
            (_, method: string) =>
            async (...parameters: never[]) => {
              if (isBroken) throw new Error("this stub is broken");
              try {
                return await answer(method, ...parameters);
              } catch (error) {
                isBroken = true;
                throw error;
              }
            },
        },
      );
    },
  };
  return namespace as unknown as Namespace & { stubs: number };
}

describe("waiting", () => {
  const wait = (namespace: Namespace, ms: number, signal = new AbortController().signal) =>
    waitForDecision(namespace, "key", "tr_1", Date.now() + ms, signal);

  test("goes in turns of 20 s and ends with the decision", async () => {
    const turns: number[] = [];
    const decidedAt = Date.now() + 45_000;
    const record = recordOf(async (_, _id: never, ms: number) => {
      turns.push(ms);
      await sleep(Math.min(ms, decidedAt - Date.now()));
      return ruling(Date.now() >= decidedAt ? "approved" : "pending");
    });
    const waiting = wait(record, 600_000);
    await vi.advanceTimersByTimeAsync(45_000);
    expect(await waiting).toEqual(ruling("approved"));
    expect(turns).toEqual([20_000, 20_000, 20_000]);
  });

  test("ends when its time is up, with what is known by then", async () => {
    const record = recordOf(async (_, _id: never, ms: number) => {
      await sleep(ms);
      return ruling("pending");
    });
    const waiting = wait(record, 30_000);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await waiting).toEqual(ruling("pending"));
    expect(await wait(record, 0)).toBeNull();
  });

  test("survives a record that is reset, hangs, or is away for a while", async () => {
    const faults = ["reset", "hang", "away", "away", "away"];
    const record = recordOf(async () => {
      const fault = faults.shift();
      if (fault === "hang") await new Promise(() => {});
      if (fault !== undefined) throw new Error(fault);
      return ruling("approved");
    });
    const waiting = wait(record, 100_000);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await waiting).toEqual(ruling("approved"));
    expect(record.stubs).toBe(6);
  });

  test("does not storm a record that is down, and gives up in time", async () => {
    let calls = 0;
    const record = recordOf(async () => {
      calls++;
      throw new Error("down");
    });
    const waiting = wait(record, 60_000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await waiting).toBeNull();
    expect(calls).toBeLessThan(50);
  });

  test("ends at once when the client leaves", async () => {
    const gone = new AbortController();
    const record = recordOf(() => new Promise(() => {}));
    const waiting = wait(record, 600_000, gone.signal);
    await vi.advanceTimersByTimeAsync(5);
    gone.abort();
    expect(await waiting).toBeNull();
  });
});

describe("asking", () => {
  const claims = [{ by: "id", id: "a", calls: [] }] as const;

  test("a call that fails is made once more, on a stub of its own; an overload is not", async () => {
    for (const [error, stubs] of [
      [new Error("reset"), 2],
      [Object.assign(new Error("busy"), { overloaded: true }), 1],
    ] as const) {
      const record = recordOf(() => Promise.reject(error));
      const decision = { id: "a", decision: "approve", reason: null, by: "x", within: null } as const;
      await expect(decideCall(record, "key", decision)).rejects.toMatchObject({ code: "ledger_unavailable" });
      expect(record.stubs).toBe(stubs);
    }
  });

  test("a record that hangs is given up after 5 s", async () => {
    const refused = expect(
      checkResults(
        recordOf(() => new Promise(() => {})),
        "hang",
        claims,
        false,
        "shop",
      ),
    ).rejects.toMatchObject({
      code: "ledger_unavailable",
    });
    await vi.advanceTimersByTimeAsync(5_000);
    await refused;
  });

  test("a key without recorded calls is asked again only when that belief is over, or after a call of its own", async () => {
    let asked = 0;
    const record = recordOf(async (method) => {
      if (method === "check") asked++;
      return method === "check" ? { verdicts: ["unknown"], noneForMs: 10_000 } : { ok: false, reason: "too_large" };
    });
    const check = async () => (await checkResults(record, "quiet", claims, false, "shop")).verdicts;
    for (let round = 0; round < 3; round++) expect(await check()).toEqual(["unknown"]);
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(10_000);
    await check();
    expect(asked).toBe(2);
    const answer = { traceId: "t", keyId: "quiet", env: "e", app: "a", route: "r", ttlMs: 1, calls: [], step: null };
    await recordAnswer(record, answer);
    await check();
    expect(asked).toBe(3);
  });

  test("a gated request believes nothing, and tells the record of a key once that calls may come", async () => {
    const asked: unknown[] = [];
    let isDown = true;
    const record = recordOf(async (_, ...[, isGated]: never[]) => {
      asked.push(isGated);
      if (isDown) throw new Error("down");
      return { verdicts: ["unknown"], noneForMs: 10_000 };
    });
    expectCalls(record, "gated");
    await vi.advanceTimersByTimeAsync(1);
    isDown = false;
    for (let round = 0; round < 3; round++) {
      expectCalls(record, "gated");
      await vi.advanceTimersByTimeAsync(1);
    }
    // Twice while it was down, once when it was not.
    expect(asked).toEqual([true, true, true]);
    for (let round = 0; round < 2; round++) await checkResults(record, "gated", claims, true, "shop");
    expect(asked).toHaveLength(5);
  });
});

describe("a list of approvals", () => {
  const approval = (id: string, length: number) => ({
    tool_call_id: id,
    arguments: "x".repeat(length),
    status: "pending",
  });
  /** Records of keys, with the arguments of each call by its id, and what was asked of them. */
  function records(lengths: Readonly<Record<string, Readonly<Record<string, number>>>>) {
    const asked: [string, string, number][] = [];
    const getByName = (keyId: string) => ({
      async outline(ids: readonly string[]) {
        asked.push([keyId, "outline", ids.length]);
        return ids.flatMap((id) => {
          const length = lengths[keyId]?.[id];
          if (length === undefined) return [];
          const isLong = length > 4_096;
          return [{ approval: approval(id, isLong ? 0 : length), missing: isLong ? length : 0 }];
        });
      },
      async argumentsOf(ids: readonly string[]) {
        asked.push([keyId, "argumentsOf", ids.length]);
        return ids.map((id) => "x".repeat(lengths[keyId]?.[id] ?? 0));
      },
    });
    return { asked, namespace: { getByName } as unknown as Namespace };
  }
  const place = (keyId: string, toolCallId: string, seq: number) => ({ keyId, toolCallId, seq });

  test("has all arguments whole, in the order of its places, and asks each key twice at most", async () => {
    const { asked, namespace } = records({ a: { one: 10, two: 5_000, three: 6_000 }, b: { one: 20 } });
    const places = [
      place("a", "one", 9),
      place("b", "one", 8),
      place("a", "gone", 7),
      place("a", "two", 6),
      place("a", "three", 5),
    ];
    const { data, cutAfter } = await showApprovals(namespace, places);
    expect(data.map((each) => [each.tool_call_id, each.arguments.length])).toEqual([
      ["one", 10],
      ["one", 20],
      ["two", 5_000],
      ["three", 6_000],
    ]);
    expect(cutAfter).toBeNull();
    expect(asked).toEqual([
      ["a", "outline", 4],
      ["b", "outline", 1],
      ["a", "argumentsOf", 2],
    ]);
  });

  test("ends where its page is full, whatever the arguments are, and one call is always shown", async () => {
    const long = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`call-${index}`, 1_400_000]));
    const { asked, namespace } = records({ a: long });
    const places = Object.keys(long).map((id, index) => place("a", id, 100 - index));
    const first = await showApprovals(namespace, places);
    expect([first.data.length, first.cutAfter]).toEqual([2, 99]);
    expect(asked.at(-1)).toEqual(["a", "argumentsOf", 2]);
    const huge = records({ a: { only: 5_000_000, next: 1 } });
    const shown = await showApprovals(huge.namespace, [place("a", "only", 2), place("a", "next", 1)]);
    expect([shown.data.length, shown.cutAfter]).toEqual([1, 2]);
  });
});
