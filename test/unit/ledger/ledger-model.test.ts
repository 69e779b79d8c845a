/**
 * The ledger against a reference that keeps nothing but a list of attempts and adds it up anew for every question:
 * whatever is reserved, released, settled, sent twice, forgotten or evicted, in whatever order, both say the same.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { debtLeft } from "../../../src/ledger/rates.ts";
import type { Budget, KeyTerms, Limits } from "../../../src/ledger/types.ts";
import { PERIODS, spanOf } from "../../../src/lib/time/calendar.ts";
import { type Books, NO_TERMS, openBooks, reservation, settled, settleRow, traceId } from "./fakes.ts";

/** The last minutes of a day and a month: periods end in the middle of many runs. */
const START = Date.UTC(2026, 10, 30, 23, 57);
const USD = 1_000_000_000;
const IDS = Array.from({ length: 6 }, (_, index) => traceId(START + index));
const ORIGIN = { env: "production", app: "a", route: "flow/a", routeVersion: 1, stream: false, receivedAt: START };
const runs = process.env["FLOW_SOAK"] === "1" ? 5_000 : 200;

interface KnownAttempt {
  state: "R" | "S" | "X" | "V";
  readonly id: string;
  readonly attempt: number;
  at: number;
  readonly expiresAt: number;
  readonly bound: number | null;
  cost: number | null;
  tokens: number;
  /** It is the one that counts as a request. */
  readonly isFirst: boolean;
  /** Its trace can be made without a settlement. */
  readonly hasOrigin: boolean;
  /** Whose lease it is held under; empty for none. */
  readonly isolate: string;
}

interface KnownRequest {
  readonly id: string;
  readonly at: number;
  readonly isPriced: boolean;
}

type Reserve = {
  id: string;
  attempt: number;
  bound: number;
  tokens: number;
  ttlMs: number;
  hasOrigin: boolean;
  isolate: string;
};
type Settle = {
  id: string;
  costs: readonly (readonly [number, number | null])[];
  tokens: number;
  copies: number;
  isolate: string;
};

const utc = (at: number, length: number): string => new Date(at).toISOString().slice(0, length);

class Reference {
  now = START;
  revoked = false;
  terms: KeyTerms = NO_TERMS;
  overBound = 0;
  /** Tokens used beyond their reservations, as of `at`. */
  debt = { tokens: 0, at: 0 };
  /** When the lease of an isolate ends. */
  readonly leases = new Map<string, number>();
  readonly attempts: KnownAttempt[] = [];
  readonly requests: KnownRequest[] = [];

  find(id: string, attempt: number): KnownAttempt | undefined {
    return this.attempts.find((each) => each.id === id && each.attempt === attempt);
  }

  /** Nothing of the request is held or booked. */
  isUnknown(id: string): boolean {
    return this.attempts.every((each) => each.id !== id || each.state === "V");
  }

  isOver(id: string): boolean {
    return this.requests.some((each) => each.id === id);
  }

  /** `length` of the period's name: 10 a day, 7 a month, 0 everything. */
  sum(length: number, state: (attempt: KnownAttempt) => number): number {
    const here = this.attempts.filter(({ at }) => utc(at, length) === utc(this.now, length));
    return here.reduce((total, each) => total + state(each), 0);
  }

  spent(length = 0): number {
    return this.sum(length, ({ state, cost }) => (state === "S" || state === "X" ? (cost ?? 0) : 0));
  }

  reserved(length = 0): number {
    return this.sum(length, ({ state, bound }) => (state === "R" ? (bound ?? 0) : 0));
  }

  left(budget: Budget): number {
    const { start, end } = spanOf(budget.period, budget.time_zone ?? "UTC", this.now);
    const here = this.attempts.filter(({ at, state }) => at >= start && at < end && state !== "V");
    const used = here.reduce((sum, { state, bound, cost }) => sum + ((state === "R" ? bound : cost) ?? 0), 0);
    return Math.round(budget.limit_usd * USD) - used;
  }

  window(): { readonly requests: number; readonly tokens: number } {
    const first = Math.floor(this.now / 1_000) - 59;
    const here = this.attempts.filter(({ at, state }) => Math.floor(at / 1_000) >= first && state !== "V");
    return {
      requests: here.filter(({ isFirst }) => isFirst).length,
      tokens: here.reduce((total, { tokens }) => total + tokens, 0),
    };
  }

  /** A minute takes a whole limit of it. */
  owed(): number {
    const limit = this.terms.limits?.tokens_per_minute;
    if (limit === undefined) return 0;
    return Math.max(0, this.debt.tokens - Math.floor((limit * (this.now - this.debt.at)) / 60_000));
  }

  /** By id, the expired attempts that have a trace. Each is a request that nobody settled. */
  unsettled(): KnownAttempt[][] {
    const traced = this.attempts.filter(({ state, hasOrigin }) => state === "X" && hasOrigin);
    return [...Map.groupBy(traced, (each) => each.id).values()].map((own) => own.sort((a, b) => a.attempt - b.attempt));
  }

  /** All that have a trace. */
  traced(): readonly Pick<KnownRequest, "at" | "isPriced">[] {
    const swept = this.unsettled().map((own) => {
      return { at: own[0]?.at ?? 0, isPriced: own.every(({ cost }) => cost !== 0) };
    });
    return [...this.requests, ...swept];
  }

  renew(isolate: string): void {
    if (isolate !== "") this.leases.set(isolate, this.now + 30_000);
  }

  /** Of an isolate that holds something and was not heard of the lease begins now. */
  adopt(): void {
    const holders = new Set(this.attempts.filter(({ state }) => state === "R").map(({ isolate }) => isolate));
    for (const isolate of holders) if (!this.leases.has(isolate)) this.renew(isolate);
  }

  /** The share of each isolate that is alive in what is free. */
  freeSlots(): number | undefined {
    const most = this.terms.limits?.concurrency;
    if (most === undefined) return undefined;
    const running = this.attempts.filter((each) => each.state === "R" && each.isFirst).length;
    const alive = [...this.leases.values()].filter((until) => until > this.now).length;
    return Math.floor(Math.max(0, most - running) / Math.max(1, alive));
  }

  sweep(): void {
    this.adopt();
    for (const each of this.attempts) {
      const isAlive = each.isolate === "" || (this.leases.get(each.isolate) ?? 0) > this.now;
      if (each.state !== "R" || (each.expiresAt > this.now && isAlive)) continue;
      each.state = "X";
      each.cost = each.bound;
    }
  }

  /** The reason of the refusal, `null` when it is granted. */
  reserve({ id, attempt, bound, tokens, ttlMs, hasOrigin, isolate }: Reserve): string | null {
    this.renew(isolate);
    this.sweep();
    const known = this.find(id, attempt);
    if (known !== undefined) return known.state === "V" ? "unavailable" : null;
    if (this.isOver(id)) return "unavailable";
    if (this.revoked) return "revoked";
    const { budget, limits } = this.terms;
    if (budget !== null && bound > this.left(budget)) return "budget";
    const used = this.window();
    const mayRequest = limits?.requests_per_minute ?? Number.POSITIVE_INFINITY;
    const isFirst = this.isUnknown(id);
    const isPastRequests = isFirst && used.requests + 1 > mayRequest;
    const mayUse = limits?.tokens_per_minute ?? Number.POSITIVE_INFINITY;
    const counted = Math.min(tokens, mayUse);
    const isPastTokens = counted > 0 && used.tokens + this.owed() + counted > mayUse;
    // The one that keeps it out for longer is named.
    if (isPastRequests || isPastTokens)
      return isPastRequests && isPastTokens ? "rate" : isPastTokens ? "tokens" : "requests";
    const running = this.attempts.filter((each) => each.state === "R" && each.isFirst).length;
    if (isFirst && running >= (limits?.concurrency ?? Number.POSITIVE_INFINITY)) return "concurrency";
    const expiresAt = this.now + ttlMs;
    const held = { at: this.now, expiresAt, bound, cost: null, tokens: counted, isFirst, hasOrigin, isolate };
    this.attempts.push({ state: "R", id, attempt, ...held });
    return null;
  }

  release(id: string, attempt: number): void {
    const known = this.find(id, attempt);
    if (known?.state === "R") this.attempts.splice(this.attempts.indexOf(known), 1);
    else if (known === undefined && !this.isOver(id)) {
      const none = {
        expiresAt: this.now,
        bound: null,
        cost: null,
        tokens: 0,
        isFirst: false,
        hasOrigin: false,
        isolate: "",
      };
      this.attempts.push({ state: "V", id, attempt, at: this.now, ...none });
    }
  }

  settle({ id, costs, tokens, isolate }: Settle, startedAt: number): void {
    this.renew(isolate);
    const isNew = !this.isOver(id);
    // As of the version before, which kept no attempts.
    if (!isNew && this.isUnknown(id)) return;
    let isUnknown = this.isUnknown(id);
    let isFirst = true;
    let at = startedAt;
    const beyond = isNew ? this.usedBeyond(id, costs, tokens) : 0;
    for (const [attempt, cost] of [...costs].sort(([a], [b]) => a - b)) {
      const known = this.find(id, attempt);
      if (known?.state === "S") continue;
      const wasHeld = known?.state === "R" || known?.state === "X";
      const isBounded = wasHeld && ((known.bound ?? 0) > 0 || this.terms.budget !== null);
      if (isBounded && cost !== null && cost > (known.bound ?? 0)) this.overBound++;
      if (known !== undefined) this.attempts.splice(this.attempts.indexOf(known), 1);
      const reservedAt = wasHeld ? known.at : startedAt;
      const used = isFirst && isNew ? tokens - beyond : 0;
      const rest = {
        expiresAt: this.now,
        bound: known?.bound ?? null,
        cost,
        tokens: used,
        hasOrigin: false,
        isolate: "",
      };
      const counts = wasHeld ? known.isFirst : isUnknown;
      isUnknown = false;
      this.attempts.push({ state: "S", id, attempt, at: reservedAt, ...rest, isFirst: counts });
      if (isFirst) at = reservedAt;
      isFirst = false;
    }
    if (!isNew) return;
    for (const each of this.attempts.filter((known) => known.id === id && "RX".includes(known.state))) {
      this.attempts.splice(this.attempts.indexOf(each), 1);
    }
    this.requests.push({ id, at, isPriced: costs.every(([, cost]) => cost !== null) });
  }

  usedBeyond(id: string, costs: Settle["costs"], tokens: number): number {
    if (this.terms.limits?.tokens_per_minute === undefined) return 0;
    const known = costs.map(([attempt]) => this.find(id, attempt)).filter((each) => each !== undefined);
    const held = known.filter(({ state }) => state !== "V");
    if (held.length === 0) return 0;
    const beyond = Math.max(0, tokens - held.reduce((sum, each) => sum + each.tokens, 0));
    if (beyond > 0) this.debt = { tokens: this.owed() + beyond, at: this.now };
    return beyond;
  }
}

/** Both must agree on all that can be asked, and the ledger with itself. */
function compare(model: Reference, books: Books): void {
  const audit = books.ledger.audit(model.now);
  const expired = model.attempts.filter(({ state }) => state === "X");
  const traced = model.traced();
  expect(audit).toMatchObject({
    isConsistent: true,
    reservedNanoUsd: model.reserved(),
    openReservations: model.attempts.filter(({ state }) => state === "R").length,
    openRequests: model.attempts.filter(({ state, isFirst }) => state === "R" && isFirst).length,
    day: { spentNanoUsd: model.spent(10), reservedNanoUsd: model.reserved(10) },
    month: { spentNanoUsd: model.spent(7), reservedNanoUsd: model.reserved(7) },
    total: {
      spentNanoUsd: model.spent(),
      requests: traced.length,
      unpricedRequests: traced.filter(({ isPriced }) => !isPriced).length,
    },
    bookedNanoUsd: model.spent(),
    expired: expired.length,
    expiredNanoUsd: expired.reduce((sum, { cost }) => sum + (cost ?? 0), 0),
    overBound: model.overBound,
    revoked: model.revoked,
    keyVersion: model.terms.version,
  });
  const window = books.ledger.attempts.window(IDS[0] ?? "", model.now);
  expect(window.used(model.now)).toEqual(model.window());
  const limit = model.terms.limits?.tokens_per_minute;
  if (limit !== undefined) {
    expect(debtLeft(books.ledger.attempts.debt.current, limit, model.now)).toBe(model.owed());
  }
  for (const own of model.unsettled()) {
    const { error_code, attempts = [] } = books.ledger.traces.find(own[0]?.id ?? "") ?? {};
    expect(error_code).toBe("unsettled");
    expect(attempts.map(({ cost_usd }) => Math.round((cost_usd ?? 0) * USD))).toEqual(own.map((each) => each.cost));
  }
  for (const { id } of model.requests) expect(books.ledger.traces.find(id)?.status).toBe("ok");
  const today = traced.filter(({ at }) => utc(at, 10) === utc(model.now, 10));
  expect(audit.day.requests).toBe(today.length);
}

type Command = fc.Command<Reference, Books>;

const command = (text: string, act: (model: Reference, books: Books) => void): Command => ({
  check: () => true,
  run(model, books) {
    act(model, books);
    compare(model, books);
  },
  toString: () => text,
});

function reserveCommand(what: Reserve): Command {
  return command(`reserve ${JSON.stringify(what)}`, (model, books) => {
    const { id, attempt, bound, tokens, ttlMs, hasOrigin, isolate } = what;
    const wasKnown = model.find(id, attempt) !== undefined;
    const reason = model.reserve(what);
    const asked = { traceId: id, attempt, boundNanoUsd: bound, boundTokens: tokens };
    const held = { ...asked, expiresAt: model.now + ttlMs, terms: model.terms, isolate };
    const whole = reservation(hasOrigin ? { ...held, origin: ORIGIN } : held);
    const answer = books.call((ledger) => ledger.reserve(whole, model.now));
    if (reason === "rate") expect(["requests", "tokens"]).toContain(answer.ok ? null : answer.reason);
    else expect(answer.ok ? null : answer.reason).toBe(reason);
    const { budget } = model.terms;
    if ((answer.ok || answer.reason !== "unavailable") && budget !== null) {
      expect(answer.remainingNanoUsd).toBe(Math.max(0, model.left(budget)));
    }
    if (answer.ok || answer.reason !== "unavailable") expect(answer.freeSlots).toBe(model.freeSlots());
    // The promise itself: no admission takes what is spent and reserved beyond the limit.
    if (answer.ok && !wasKnown && budget !== null) expect(model.left(budget)).toBeGreaterThanOrEqual(0);
  });
}

function settleCommand(what: Settle): Command {
  return command(`settle ${JSON.stringify(what)}`, (model, books) => {
    const startedAt = model.now - 500;
    const attempts = what.costs.map(([attempt, cost]) => settled(attempt, cost));
    const row = settleRow(what.id, attempts, { tokens: what.tokens, startedAt });
    for (let copy = 0; copy < what.copies; copy++) {
      model.settle(what, startedAt);
      const rows = Array.from({ length: what.copies }, () => row);
      const answer = books.call((ledger) => ledger.settle(rows, model.now, [what.isolate]));
      expect(answer.freeSlots).toBe(model.freeSlots());
    }
  });
}

function termsCommand(version: number, budget: Budget | null, limits: Limits | null): Command {
  return command(`terms ${JSON.stringify({ version, budget, limits })}`, (model, books) => {
    const terms = { version, budget, limits };
    if (version > model.terms.version) model.terms = terms;
    books.call((ledger) => ledger.applyTerms(terms));
  });
}

const id = fc.constantFrom(...IDS);
/** The empty one is of a release without leases. */
const isolate = fc.constantFrom("", "a", "b", "c");
const attempt = fc.nat({ max: 2 });
const cost = fc.option(fc.nat({ max: 150 }), { freq: 8 });
const costs = fc.uniqueArray(fc.tuple(attempt, cost), { selector: ([number]) => number, maxLength: 3 });
const budget = fc.option(
  fc.record({
    limit_usd: fc.nat({ max: 400 }).map((nano) => nano / USD),
    period: fc.constantFrom(...PERIODS),
    // Midnight of the second is that of UTC, by the way of all other zones.
    time_zone: fc.constantFrom(undefined, "Europe/London", "Asia/Kathmandu"),
  }),
);
const limits = fc.option(
  fc.record(
    {
      requests_per_minute: fc.integer({ min: 1, max: 4 }),
      tokens_per_minute: fc.integer({ min: 1, max: 300 }),
      concurrency: fc.integer({ min: 1, max: 4 }),
    },
    { requiredKeys: [] },
  ),
);
const reserves = fc
  .record({
    id,
    attempt,
    bound: fc.nat({ max: 120 }),
    tokens: fc.nat({ max: 200 }),
    ttlMs: fc.integer({ min: 1, max: 90_000 }),
    hasOrigin: fc.nat({ max: 4 }).map((number) => number > 0),
    isolate,
  })
  .map(reserveCommand);
const settles = fc
  .record({ id, costs, tokens: fc.nat({ max: 250 }), copies: fc.integer({ min: 1, max: 3 }), isolate })
  .map(settleCommand);

const waits = fc.oneof(fc.nat({ max: 5_000 }), fc.nat({ max: 100_000 })).map((ms) =>
  command(`wait ${ms}`, (model) => {
    model.now += ms;
  }),
);
const revokes = fc.constant(
  command("revoke", (model, books) => {
    model.revoked = true;
    books.call((ledger) => ledger.revoke());
  }),
);

const commands = fc.commands(
  [
    reserves,
    reserves,
    settles,
    fc.tuple(id, attempt).map(([traceId, number]) =>
      command(`release ${traceId} ${number}`, (model, books) => {
        model.release(traceId, number);
        books.call((ledger) => ledger.release(traceId, number, model.now));
      }),
    ),
    fc.oneof({ weight: 30, arbitrary: waits }, { weight: 1, arbitrary: revokes }),
    fc.constant(
      command("sweep", (model, books) => {
        model.sweep();
        books.call((ledger) => ledger.sweep(model.now));
      }),
    ),
    fc.constant(
      command("evict", (model, books) => {
        model.leases.clear();
        books.evict();
      }),
    ),
    isolate.map((name) =>
      command(`renew ${name}`, (model, books) => {
        model.renew(name);
        books.call((ledger) => ledger.renew(name, model.now));
      }),
    ),
    fc.constant(
      command("fail", (_, books) => {
        const fault = new Error("the transaction ends");
        const broken = settleRow(IDS[0] ?? "", [settled(0, 1), settled(1, 2)], { tokens: 3 });
        const work = (ledger: Books["ledger"]): void => {
          ledger.settle([broken], START);
          ledger.release(IDS[1] ?? "", 0, START);
          throw fault;
        };
        expect(() => books.call(work)).toThrow(fault);
      }),
    ),
    fc.tuple(fc.integer({ min: 2, max: 9 }), budget, limits).map((terms) => termsCommand(...terms)),
  ],
  { maxCommands: 60, size: "max" },
);

test("any sequence of calls leaves the books as a plain list of its attempts says", () => {
  fc.assert(
    fc.property(commands, budget, limits, (sequence, firstBudget, firstLimits) => {
      fc.modelRun(() => {
        const model = new Reference();
        const books = openBooks();
        model.terms = { version: 1, budget: firstBudget, limits: firstLimits };
        books.call((ledger) => ledger.applyTerms(model.terms));
        return { model, real: books };
      }, sequence);
    }),
    { numRuns: runs },
  );
});
