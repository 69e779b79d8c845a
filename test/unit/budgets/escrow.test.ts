/**
 * The pool of a budget and the ledgers of three keys, with messages that are lost, answers that are lost, messages that
 * come again when nobody waits for them, and both sides evicted at any time: what was admitted never passes the limit.
 */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { Pool } from "../../../src/budgets/pool.ts";
import { type BudgetRecord, termsOf } from "../../../src/budgets/record.ts";
import type { LeaseAnswer, LeaseRequest } from "../../../src/budgets/types.ts";
import { Escrow } from "../../../src/ledger/shares/escrow.ts";
import { newTraceId } from "../../../src/traces/schema.ts";
import { type Books, NO_TERMS, openBooks, reservation, settleRow, startStore } from "../ledger/fakes.ts";

const runs = process.env["FLOW_SOAK"] === "1" ? 2_000 : 60;
const START = Date.UTC(2026, 10, 30, 23, 30);
const USD = 1_000_000_000;
const KEYS = ["budgetkey001", "budgetkey002", "budgetkey003"] as const;

const RECORD: BudgetRecord = {
  ...{ id: "team", scope: { app: "web" }, limit_usd: 1_000 / USD, period: "day", on_exceeded: "deny" },
  ...{ version: 5, era: 5, tag_since: 0, created_at: "", updated_at: "" },
};

/** What becomes of the next message to the pool. */
type Way = "ok" | "lost" | "answer lost" | "again later";

class World {
  now = START;
  way: Way = "ok";
  limit = 1_000;
  record = RECORD;
  readonly late: LeaseRequest[] = [];
  readonly store = startStore();
  pool = this.store.transact(() => new Pool(this.store.sql));
  readonly books: Books[] = KEYS.map(() => openBooks());
  escrows = this.books.map((_, at) => this.#escrow(at));
  /** Admitted and not settled: trace id to the key's place and the bound. */
  readonly open = new Map<string, { readonly at: number; readonly bound: number }>();
  spent = 0;
  day = 30;

  constructor() {
    this.#pool(() => this.pool.define(RECORD, this.now));
    this.#pool(() => this.pool.noteInventory({ cursor: null, isComplete: true, isOver: true }));
  }

  #pool<T>(work: () => T): T {
    return this.store.transact(work);
  }

  #escrow(at: number): Escrow {
    const books = this.books[at]!;
    const lease = async (asked: LeaseRequest): Promise<LeaseAnswer> => {
      const { way } = this;
      if (way === "lost") throw new Error("lost");
      const answer = this.#pool(() => this.pool.lease(asked, this.now));
      if (way === "again later") this.late.push(asked);
      if (way === "answer lost") throw new Error("lost");
      return answer;
    };
    return new Escrow(books.ledger, (work) => books.call(work), { getByName: () => ({ lease }) });
  }

  evict(at: number): void {
    this.books[at]!.evict();
    this.escrows[at] = this.#escrow(at);
  }

  async reserve(at: number, bound: number): Promise<string | null> {
    const traceId = newTraceId(KEYS[at]!, this.now);
    const origin = { env: "e", app: "web", route: "flow/a", routeVersion: 1, stream: false, receivedAt: this.now };
    const asked = reservation({
      ...{ traceId, boundNanoUsd: bound, terms: NO_TERMS, budgets: [termsOf(this.record)], origin },
      expiresAt: this.now + 3_600_000,
    });
    this.escrows[at]!.learn(asked.budgets, KEYS[at]!, this.now);
    const silent = await this.escrows[at]!.cover([asked]);
    const answer = this.books[at]!.call((ledger) => ledger.reserve(asked, this.now, silent));
    await this.escrows[at]!.tend(this.now);
    if (!answer.ok) return null;
    this.open.set(traceId, { at, bound });
    return traceId;
  }

  async settle(traceId: string, part: number): Promise<void> {
    const { at, bound } = this.open.get(traceId)!;
    const cost = Math.floor(bound * part);
    const trace = JSON.stringify({ app: "web", tags: {}, env: "e", created_at: new Date(this.now).toISOString() });
    this.books[at]!.call((ledger) =>
      ledger.settle([{ ...settleRow(traceId, [cost]), trace, budgets: [termsOf(this.record)] }], this.now),
    );
    this.open.delete(traceId);
    this.spent += cost;
    await this.escrows[at]!.tend(this.now);
  }

  /** What all ledgers say that they have used. */
  used(): number {
    return this.books.reduce((sum, { ledger }) => {
      const share = ledger.shares.find("team");
      return sum + (share === undefined ? 0 : share.spent + share.reserved);
    }, 0);
  }
}

const key = fc.nat({ max: 2 });
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ kind: fc.constant("reserve" as const), key },
      // Small ones get a lease with room for more, large ones a lease of their own.
      bound: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 100, max: 400 })),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("settle" as const), part: fc.constantFrom(0, 0.3, 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(100, 20_000, 70_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("alarm" as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("evict" as const), key }) },
  { weight: 1, arbitrary: fc.constant({ kind: "evict pool" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "late" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("limit" as const), limit: fc.integer({ min: 500, max: 1_500 }) }),
  },
);
const way = fc.constantFrom<Way>("ok", "ok", "ok", "lost", "answer lost", "again later");

test("admitted requests never pass the limit, and all of it comes back once it is quiet", async () => {
  vi.useFakeTimers({ now: START, toFake: ["Date"] });
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(command, way), { minLength: 20, maxLength: 80 }), async (commands) => {
        const world = new World();
        let version = RECORD.version;
        let highest = world.limit;
        const setTime = (now: number): void => {
          world.now = now;
          vi.setSystemTime(now);
        };
        setTime(START);
        for (const [each, how] of commands) {
          world.way = how;
          if (each.kind === "reserve") await world.reserve(each.key, each.bound);
          const [oldest] = world.open.keys();
          if (each.kind === "settle" && oldest !== undefined) await world.settle(oldest, each.part);
          if (each.kind === "wait" && world.now + each.ms < START + 1_500_000) setTime(world.now + each.ms);
          if (each.kind === "alarm") await world.escrows[each.key]!.run(world.now);
          if (each.kind === "evict") world.evict(each.key);
          if (each.kind === "evict pool") world.pool = world.store.transact(() => new Pool(world.store.sql));
          if (each.kind === "late") {
            const asked = world.late.shift();
            if (asked !== undefined) world.store.transact(() => world.pool.lease(asked, world.now));
          }
          if (each.kind === "limit") {
            const record = { ...RECORD, limit_usd: each.limit / USD, version: ++version };
            world.store.transact(() => world.pool.define(record, world.now));
            // A lease under the limit before lives for a minute.
            highest = Math.max(highest, each.limit);
          }
          const { spentNanoUsd, leasedNanoUsd } = world.pool.status(world.now)!;
          // The pool never thinks that less is used than there is, and nothing passes the limit.
          expect(spentNanoUsd + leasedNanoUsd).toBeGreaterThanOrEqual(world.used());
          const held = [...world.open.values()].reduce((sum, { bound }) => sum + bound, 0);
          expect(world.used()).toBe(world.spent + held);
          expect(world.used()).toBeLessThanOrEqual(highest);
        }
        world.way = "ok";
        for (const traceId of [...world.open.keys()]) await world.settle(traceId, 0.5);
        // Twice the life of a lease: those that are over give back what they did not use.
        for (let round = 0; round < 3; round++) {
          setTime(world.now + 61_000);
          for (const escrow of world.escrows) await escrow.run(world.now);
        }
        expect(world.pool.status(world.now)).toMatchObject({ spentNanoUsd: world.spent, leasedNanoUsd: 0 });
      }),
      { numRuns: runs },
    );
  } finally {
    vi.useRealTimers();
  }
});

test("a new period begins with nothing, and a ledger counts what it had booked in it", async () => {
  vi.useFakeTimers({ now: START, toFake: ["Date"] });
  try {
    const world = new World();
    const first = (await world.reserve(0, 900))!;
    expect(await world.reserve(1, 200)).toBeNull();
    await world.settle(first, 1);
    const tomorrow = Date.UTC(2026, 11, 1, 0, 0, 1);
    vi.setSystemTime(tomorrow);
    world.now = tomorrow;
    expect(await world.reserve(1, 900)).not.toBeNull();
    expect(world.pool.status(tomorrow)).toMatchObject({ periodStart: Date.UTC(2026, 11, 1), spentNanoUsd: 0 });
  } finally {
    vi.useRealTimers();
  }
});
