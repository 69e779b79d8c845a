/** The books of one key on a real SQLite: admission, settling, and every crash they must survive. */
import { describe, expect, test } from "vitest";
import type { Budget, ReserveAnswer, Unavailable } from "../../../src/ledger/types.ts";
import {
  type Books,
  DAY_MS,
  MINUTE_MS,
  openBooks,
  reservation,
  settled,
  settleRow,
  T0,
  termsOf,
  traceId,
} from "./fakes.ts";

const USD = 1_000_000_000;
const budgetOf = (nanoUsd: number, period: Budget["period"] = "day"): Budget => ({ limit_usd: nanoUsd / USD, period });

function reserve(books: Books, members: Parameters<typeof reservation>[0], now = T0): ReserveAnswer | Unavailable {
  return books.call((ledger) => ledger.reserve(reservation(members), now));
}

const settle = (books: Books, rows: Parameters<Books["ledger"]["settle"]>[0], now = T0 + 1_000) =>
  books.call((ledger) => ledger.settle(rows, now));
const release = (books: Books, id: string, attempt = 0, now = T0 + 1_000): void =>
  books.call((ledger) => ledger.release(id, attempt, now));

/** Always consistent, and what stands in the books of the whole life. */
function audit(books: Books, now = T0 + 1_000) {
  const found = books.ledger.audit(now);
  expect(found.isConsistent).toBe(true);
  const { spentNanoUsd, requests, unpricedRequests } = found.total;
  return { ...found, spentNanoUsd, requests, unpricedRequests };
}

describe("money", () => {
  test("a reservation is held, then replaced by what the attempt cost", () => {
    const books = openBooks();
    const id = traceId();
    const terms = termsOf({ budget: budgetOf(1_000) });
    expect(reserve(books, { traceId: id, terms, boundNanoUsd: 300 })).toEqual({
      ...{ ok: true, remainingNanoUsd: 700, keyVersion: 1, rate: null },
    });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 300, openReservations: 1, spentNanoUsd: 0 });
    expect(settle(books, [settleRow(id, [120])])).toEqual({ revoked: false, keyVersion: 1, remainingNanoUsd: 880 });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, openReservations: 0, spentNanoUsd: 120, requests: 1 });
  });

  test("a limit is spent to the last nano-dollar and not beyond, whatever is reserved", () => {
    const books = openBooks();
    const terms = termsOf({ budget: budgetOf(1_000) });
    const answers = Array.from({ length: 40 }, () => reserve(books, { traceId: traceId(), terms, boundNanoUsd: 90 }));
    expect(answers.filter(({ ok }) => ok)).toHaveLength(11);
    expect(answers.at(-1)).toEqual({
      ...{ ok: false, reason: "budget", retryAfterMs: 0, remainingNanoUsd: 10, keyVersion: 1, rate: null },
    });
    expect(reserve(books, { terms, boundNanoUsd: 10 })).toMatchObject({ ok: true, remainingNanoUsd: 0 });
    expect(reserve(books, { terms, boundNanoUsd: 1 })).toMatchObject({ ok: false, reason: "budget" });
    expect(reserve(books, { terms, boundNanoUsd: 0 })).toMatchObject({ ok: true });
  });

  test("each attempt of a request holds its own bound, and costs its own sum", () => {
    const books = openBooks();
    const id = traceId();
    for (const attempt of [0, 1, 2]) reserve(books, { traceId: id, attempt, boundNanoUsd: 100 });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 300, openReservations: 3, openRequests: 1 });
    settle(books, [settleRow(id, [10, 0, 30])]);
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, spentNanoUsd: 40, requests: 1, openRequests: 0 });
  });

  test("a bill above its bound is booked in full and flagged", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id, terms: termsOf({ budget: budgetOf(100) }), boundNanoUsd: 100 });
    expect(settle(books, [settleRow(id, [250])])).toMatchObject({ remainingNanoUsd: 0 });
    expect(audit(books)).toMatchObject({ spentNanoUsd: 250, overBound: 1 });
  });

  test("an unknown price is no cost and is counted, what is known of the request is booked", () => {
    const books = openBooks();
    const id = traceId();
    for (const attempt of [0, 1]) reserve(books, { traceId: id, attempt });
    settle(books, [settleRow(id, [40, null])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 40, requests: 1, unpricedRequests: 1, reservedNanoUsd: 0 });
  });

  test.each([Number.NaN, -1, 0.5, 2 ** 53])(
    "a cost of %s is booked as unknown, the rows beside it as they are",
    (cost) => {
      const books = openBooks();
      settle(books, [
        settleRow(traceId(), [7]),
        settleRow(traceId(), [cost], { costNanoUsd: null }),
        settleRow(traceId(), [5]),
      ]);
      expect(audit(books)).toMatchObject({ spentNanoUsd: 12, requests: 3, unpricedRequests: 1 });
    },
  );

  test.each([
    { boundNanoUsd: 0.5 },
    { boundNanoUsd: -1 },
    { boundNanoUsd: Number.NaN },
    { boundNanoUsd: 2 ** 53 },
    { boundTokens: -1 },
    { attempt: 0.5 },
    { expiresAt: Number.POSITIVE_INFINITY },
  ])("a reservation of %o is refused as a fault and changes nothing", (members) => {
    const books = openBooks();
    expect(() => reserve(books, members)).toThrow(RangeError);
    expect(audit(books)).toMatchObject({ openReservations: 0 });
  });

  test("a sum beyond the exact numbers is not booked, in memory neither", () => {
    const books = openBooks();
    const id = traceId();
    settle(books, [settleRow(traceId(), [2 ** 53 - 10])]);
    reserve(books, { traceId: id, boundNanoUsd: 5 });
    expect(() => settle(books, [settleRow(id, [100])])).toThrow(RangeError);
    expect(audit(books)).toMatchObject({
      spentNanoUsd: 2 ** 53 - 10,
      reservedNanoUsd: 5,
      requests: 1,
      unshippedTraces: 1,
    });
    settle(books, [settleRow(id, [3])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 2 ** 53 - 7, reservedNanoUsd: 0 });
  });

  test("what was sent without admission is on the deployment, not on the key", () => {
    const books = openBooks();
    const id = traceId();
    const terms = termsOf({ budget: budgetOf(100) });
    expect(reserve(books, { traceId: id, terms, boundNanoUsd: 101 })).toMatchObject({ ok: false });
    const row = settleRow(id, [0], { unadmittedNanoUsd: 90, status: "denied" });
    settle(books, [row]);
    settle(books, [row]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 0, unadmittedNanoUsd: 90, requests: 1 });
    expect(reserve(books, { terms, boundNanoUsd: 100 })).toMatchObject({ ok: true });
  });

  test("numbers that make no sense take neither their batch nor a limit with them", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { tokens_per_minute: 1_000 } });
    const id = traceId();
    reserve(books, { traceId: id, terms, boundTokens: 400 });
    const odd = { tokens: Number.NaN, unadmittedNanoUsd: -5, startedAt: Number.NaN };
    const rows = [settleRow(id, [1]), settleRow(traceId(), [2])].map((row) => ({ ...row, ...odd }));
    settle(books, [...rows, settleRow(traceId(), [4])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 7, unadmittedNanoUsd: 0, day: { requests: 3 } });
    expect(reserve(books, { terms, boundTokens: 1_000 }, T0 + 2_000)).toMatchObject({ reason: "tokens" });
    expect(reserve(books, { terms, boundTokens: 990 }, T0 + 2_000)).toMatchObject({ ok: true });
  });

  test("what a cost was made from is kept with it, unless it is absurdly long", () => {
    const books = openBooks();
    const id = traceId();
    const bases = ['{"usage":{"prompt_tokens":3}}', "x".repeat(20_000)];
    settle(books, [
      settleRow(
        id,
        bases.map((basis, attempt) => settled(attempt, 1, { basis })),
      ),
    ]);
    const rows = books.store.sql.exec<{ basis: string }>("SELECT basis FROM charge ORDER BY attempt").toArray();
    expect(rows.map(({ basis }) => basis)).toEqual([bases[0], ""]);
  });

  test("rows of the version before, which know the sum only, are booked once", () => {
    const books = openBooks();
    const { id, status, route, trace } = settleRow(traceId(), []);
    const old = { id, status, route, trace, costNanoUsd: 9 } as ReturnType<typeof settleRow>;
    settle(books, [old, old]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 9, requests: 1 });
  });
});

describe("crashes", () => {
  test("a reservation whose answer was lost is held once, and answered again", () => {
    const books = openBooks();
    const id = traceId();
    const terms = termsOf({ budget: budgetOf(150) });
    const first = reserve(books, { traceId: id, terms, boundNanoUsd: 100 });
    books.evict();
    for (let again = 0; again < 40; again++) {
      expect(reserve(books, { traceId: id, terms, boundNanoUsd: 100 })).toEqual(first);
    }
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 100, openReservations: 1 });
  });

  test("a settlement sent 40 times is booked once", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id });
    const answers = Array.from({ length: 40 }, () => settle(books, [settleRow(id, [60]), settleRow(id, [60])]));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 60, requests: 1, unshippedTraces: 1, reservedNanoUsd: 0 });
  });

  test("a settled attempt that is reserved again is granted and holds nothing", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id });
    settle(books, [settleRow(id, [60])]);
    expect(reserve(books, { traceId: id })).toMatchObject({ ok: true });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, spentNanoUsd: 60 });
  });

  test("an attempt nobody reserved is booked all the same", () => {
    const books = openBooks();
    settle(books, [settleRow(traceId(), [60])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 60, requests: 1, overBound: 0 });
  });

  test("a release sets free, twice too, and never what is settled", () => {
    const books = openBooks();
    const [free, kept] = [traceId(), traceId()];
    for (const id of [free, kept]) reserve(books, { traceId: id });
    settle(books, [settleRow(kept, [60])]);
    for (const id of [free, free, kept]) release(books, id);
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, spentNanoUsd: 60, openRequests: 0 });
  });

  test("a release that overtakes its reservation wins, and the reservation learns it", () => {
    const books = openBooks();
    const id = traceId();
    release(books, id);
    expect(reserve(books, { traceId: id })).toEqual({ ok: false, reason: "unavailable" });
    expect(audit(books)).toMatchObject({ openReservations: 0 });
    // Should it have been sent after all, it is charged.
    settle(books, [settleRow(id, [8])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 8 });
  });

  test("what a settled request holds besides is set free, and what arrives for it later is not held", () => {
    const books = openBooks();
    const id = traceId();
    for (const attempt of [0, 1]) reserve(books, { traceId: id, attempt });
    settle(books, [settleRow(id, [60])]);
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, openReservations: 0, spentNanoUsd: 60 });
    expect(reserve(books, { traceId: id, attempt: 2 })).toEqual({ ok: false, reason: "unavailable" });
  });

  test("an attempt that failed holds its cost and no more once the next one is reserved; its settlement books that", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id, boundNanoUsd: 100 });
    reserve(books, { traceId: id, attempt: 1, boundNanoUsd: 100, over: [{ attempt: 0, costNanoUsd: 0 }] });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 100, openReservations: 1 });
    const over = [
      { attempt: 0, costNanoUsd: 0 },
      { attempt: 1, costNanoUsd: 30 },
    ];
    reserve(books, { traceId: id, attempt: 2, boundNanoUsd: 100, over });
    // A cost above its bound takes nothing more: only a settlement may.
    reserve(books, { traceId: id, attempt: 3, boundNanoUsd: 100, over: [{ attempt: 2, costNanoUsd: 170 }] });
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 230, openReservations: 3, openNanoUsd: 230 });
    books.evict();
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 230, isConsistent: true });
    settle(books, [settleRow(id, [0, 30, 170, 60])]);
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, spentNanoUsd: 260, openReservations: 0, overBound: 1 });
  });

  test("what a failed attempt costs is held as long as its request goes on, and not charged as nobody's", () => {
    const books = openBooks();
    const id = traceId();
    const [first, second] = [T0 + MINUTE_MS, T0 + 2 * MINUTE_MS];
    reserve(books, { traceId: id, boundNanoUsd: 100, expiresAt: first });
    const over = [{ attempt: 0, costNanoUsd: 30 }];
    reserve(books, { traceId: id, attempt: 1, boundNanoUsd: 50, over, expiresAt: second }, first - 1);
    books.call((ledger) => ledger.sweep(second - 1));
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 80, expired: 0 });
    books.call((ledger) => ledger.sweep(second));
    expect(audit(books)).toMatchObject({ reservedNanoUsd: 0, spentNanoUsd: 80, expired: 2 });
  });

  test("an attempt that is settled after its request is booked too", () => {
    const books = openBooks();
    const id = traceId();
    for (const attempt of [0, 1]) reserve(books, { traceId: id, attempt });
    settle(books, [settleRow(id, [60])]);
    settle(books, [settleRow(id, [settled(0, 60), settled(1, 25)])]);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 85, requests: 1, unshippedTraces: 1 });
  });

  test("a reservation nobody settles is charged at its bound when it expires, once", () => {
    const books = openBooks();
    const late = T0 + 11 * MINUTE_MS;
    reserve(books, { traceId: traceId(), boundNanoUsd: 70 });
    books.call((ledger) => ledger.sweep(late - 2 * MINUTE_MS));
    expect(audit(books)).toMatchObject({ spentNanoUsd: 0, expired: 0 });
    books.evict();
    for (let again = 0; again < 3; again++) books.call((ledger) => ledger.sweep(late));
    expect(audit(books, late)).toMatchObject({
      spentNanoUsd: 70,
      expired: 1,
      expiredNanoUsd: 70,
      reservedNanoUsd: 0,
      openRequests: 0,
    });
  });

  test.each([
    { name: "less", costs: [20], spent: 20, over: 0 },
    { name: "more", costs: [90], spent: 90, over: 1 },
    { name: "nothing, because it was never sent", costs: [], spent: 0, over: 0 },
  ])("a settlement after the sweep corrects the charge: $name", ({ costs, spent, over }) => {
    const books = openBooks();
    const id = traceId();
    const late = T0 + 11 * MINUTE_MS;
    reserve(books, { traceId: id, boundNanoUsd: 70 });
    books.call((ledger) => ledger.sweep(late));
    for (let again = 0; again < 3; again++) settle(books, [settleRow(id, costs)], late);
    release(books, id, 0, late);
    expect(audit(books, late)).toMatchObject({
      spentNanoUsd: spent,
      expired: 0,
      expiredNanoUsd: 0,
      overBound: over,
      requests: 1,
    });
  });

  test("a release after the sweep leaves the charge", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id, boundNanoUsd: 70, expiresAt: T0 + 1 });
    books.call((ledger) => ledger.sweep(T0 + 1));
    release(books, id);
    expect(audit(books)).toMatchObject({ spentNanoUsd: 70, expired: 1 });
  });

  test("more reservations than one sweep takes all expire, in the reservations that come after", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { concurrency: 1_200 } });
    for (let index = 0; index < 1_200; index++) reserve(books, { traceId: traceId(), terms, expiresAt: T0 + 1_000 });
    expect(reserve(books, { terms })).toMatchObject({ ok: false, reason: "concurrency" });
    expect(reserve(books, { terms }, T0 + 2_000)).toMatchObject({ ok: true });
    reserve(books, { terms }, T0 + 2_000);
    expect(reserve(books, { terms }, T0 + 2_000)).toMatchObject({ ok: true });
    expect(audit(books)).toMatchObject({ expired: 1_200, openRequests: 3 });
  });

  test("nothing is held for longer than a day, whatever a wrong clock says", () => {
    const books = openBooks();
    reserve(books, { expiresAt: T0 + 400 * DAY_MS });
    books.call((ledger) => ledger.sweep(T0 + DAY_MS));
    expect(audit(books, T0 + DAY_MS)).toMatchObject({ openReservations: 0, expired: 1 });
  });

  test("a reservation and its settlement belong to the period it was made in", () => {
    const books = openBooks();
    const midnight = Date.UTC(2026, 10, 30, 23, 59, 59);
    const id = traceId(midnight);
    const terms = (period: Budget["period"]) => termsOf({ budget: budgetOf(100, period) });
    const held = { traceId: id, boundNanoUsd: 100, expiresAt: midnight + MINUTE_MS };
    expect(reserve(books, { ...held, terms: terms("day") }, midnight)).toMatchObject({ ok: true, remainingNanoUsd: 0 });
    const tomorrow = midnight + 2_000;
    for (const [version, period] of [
      [2, "month"],
      [3, "day"],
    ] as const) {
      const fresh = { boundNanoUsd: 100, terms: { ...terms(period), version }, expiresAt: tomorrow + MINUTE_MS };
      const other = traceId(tomorrow);
      expect(reserve(books, { ...fresh, traceId: other }, tomorrow)).toMatchObject({ ok: true });
      release(books, other, 0, tomorrow);
    }
    expect(reserve(books, { terms: { ...terms("total"), version: 4 } }, tomorrow)).toMatchObject({ ok: false });
    settle(books, [settleRow(id, [40], { startedAt: midnight })], tomorrow);
    const { day, month, total } = audit(books, tomorrow);
    expect([day.spentNanoUsd, month.spentNanoUsd, total.spentNanoUsd]).toEqual([0, 0, 40]);
    const yesterday = books.ledger.audit(midnight);
    expect([yesterday.day, yesterday.month].map(({ spentNanoUsd, requests }) => [spentNanoUsd, requests])).toEqual([
      [40, 1],
      [40, 1],
    ]);
  });

  test("a limit lowered below what is reserved refuses the next, and what runs is settled", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id, boundNanoUsd: 500, terms: termsOf({ version: 3, budget: budgetOf(1_000) }) });
    books.call((ledger) => ledger.applyTerms(termsOf({ version: 4, budget: budgetOf(200) })));
    // An isolate far away still shows the old terms.
    const stale = { terms: termsOf({ version: 3, budget: budgetOf(1_000) }), boundNanoUsd: 1 };
    expect(reserve(books, stale)).toMatchObject({ ok: false, reason: "budget", keyVersion: 4, remainingNanoUsd: 0 });
    expect(settle(books, [settleRow(id, [150])])).toMatchObject({ keyVersion: 4, remainingNanoUsd: 50 });
    books.evict();
    expect(reserve(books, stale)).toMatchObject({ ok: true, keyVersion: 4, remainingNanoUsd: 49 });
  });

  test("an isolate that has not heard of the budget yet spends nothing of one that is used up", () => {
    const books = openBooks();
    const budget = { limit_usd: 0.000_000_1, period: "total" } as const;
    reserve(books, { terms: termsOf({ version: 2, budget }), boundNanoUsd: 100 });
    const late = reserve(books, { traceId: traceId(), terms: termsOf({ version: 1 }), boundNanoUsd: 0 });
    expect(late).toMatchObject({ ok: false, reason: "budget" });
    const free = reserve(books, { traceId: traceId(), terms: termsOf({ version: 2, budget }), boundNanoUsd: 0 });
    expect(free).toMatchObject({ ok: true });
  });

  test("newer terms reach the ledger with a settlement too", () => {
    const books = openBooks();
    const terms = termsOf({ version: 7, budget: budgetOf(100) });
    expect(settle(books, [settleRow(traceId(), [30], { terms })])).toMatchObject({
      keyVersion: 7,
      remainingNanoUsd: 70,
    });
  });

  test("a key revoked in flight reserves no more, what runs is settled, and a lost answer is repeated", () => {
    const books = openBooks();
    const id = traceId();
    reserve(books, { traceId: id });
    books.call((ledger) => ledger.revoke());
    books.evict();
    expect(reserve(books, { traceId: id, attempt: 1 })).toMatchObject({
      ok: false,
      reason: "revoked",
      retryAfterMs: 0,
    });
    expect(reserve(books, { traceId: traceId() })).toMatchObject({ ok: false, reason: "revoked" });
    expect(reserve(books, { traceId: id })).toMatchObject({ ok: true });
    expect(settle(books, [settleRow(id, [60])])).toMatchObject({ revoked: true });
    expect(audit(books)).toMatchObject({ spentNanoUsd: 60, revoked: true, openReservations: 0 });
  });
});

describe("limits", () => {
  test("requests are counted by their first attempt, tokens by all", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { requests_per_minute: 3, tokens_per_minute: 1_000 } });
    const id = traceId();
    expect(reserve(books, { traceId: id, terms, boundTokens: 300 })).toMatchObject({
      rate: { limitRequests: 3, remainingRequests: 2, limitTokens: 1_000, remainingTokens: 700 },
    });
    expect(reserve(books, { traceId: id, attempt: 1, terms, boundTokens: 300 })).toMatchObject({
      rate: { remainingRequests: 2, remainingTokens: 400 },
    });
    expect(reserve(books, { terms, boundTokens: 500 })).toMatchObject({ ok: false, reason: "tokens" });
    expect(reserve(books, { terms, boundTokens: 0 })).toMatchObject({ ok: true });
    // The bounds of both attempts become what the request used.
    settle(books, [settleRow(id, [1, 1], { tokens: 120 })]);
    expect(reserve(books, { terms, boundTokens: 880 }, T0 + 2_000)).toMatchObject({
      ...{ ok: true, rate: { remainingTokens: 0, remainingRequests: 0 } },
    });
    expect(reserve(books, { terms, boundTokens: 0 }, T0 + 2_000)).toMatchObject({ ok: false, reason: "requests" });
  });

  test("a request counts once, whichever of its attempts is the first to be held", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { requests_per_minute: 5, concurrency: 2 } });
    const [late, released] = [traceId(), traceId()];
    const left = (traceId: string, attempt: number): unknown => {
      const answer = reserve(books, { traceId, attempt, terms });
      return answer.ok && answer.rate?.remainingRequests;
    };
    expect([left(late, 3), left(late, 4), left(released, 0)]).toEqual([4, 4, 3]);
    expect(reserve(books, { terms })).toMatchObject({ ok: false, reason: "concurrency" });
    release(books, released);
    expect(left(released, 1)).toBe(3);
    settle(books, [settleRow(late, [settled(3, 1), settled(4, 1)]), settleRow(traceId(), [1, 1])]);
    expect(audit(books)).toMatchObject({ openRequests: 1, requests: 2 });
    expect(left(traceId(), 0)).toBe(1);
  });

  test("a refused request counts for nothing, a released one is taken back", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { requests_per_minute: 1, tokens_per_minute: 100, concurrency: 1 } });
    const id = traceId();
    expect(reserve(books, { traceId: id, terms, boundTokens: 60 })).toMatchObject({ ok: true });
    for (let again = 0; again < 5; again++)
      expect(reserve(books, { terms, boundTokens: 1 })).toMatchObject({ ok: false });
    release(books, id);
    expect(reserve(books, { terms, boundTokens: 100 })).toMatchObject({ ok: true });
  });

  test("the time to wait is when enough has left the window", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { requests_per_minute: 2 } });
    reserve(books, { terms }, T0);
    reserve(books, { terms }, T0 + 10_000);
    const refused = reserve(books, { terms }, T0 + 20_000);
    expect(refused).toMatchObject({
      ok: false,
      reason: "requests",
      retryAfterMs: 40_000,
      rate: { resetRequestsMs: 50_000 },
    });
    expect(reserve(books, { terms }, T0 + 59_999)).toMatchObject({ ok: false, retryAfterMs: 1_000 });
    expect(reserve(books, { terms }, T0 + 60_000)).toMatchObject({ ok: true });
  });

  test("requests run at the same time up to the limit, from reserve to settle, release or expiry", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { concurrency: 2 } });
    const [first, second, third] = [traceId(), traceId(), traceId()];
    reserve(books, { traceId: first, terms });
    reserve(books, { traceId: second, terms, expiresAt: T0 + 5_000 });
    expect(reserve(books, { traceId: third, terms })).toEqual({
      ...{ ok: false, reason: "concurrency", retryAfterMs: 1_000, remainingNanoUsd: null, keyVersion: 1, rate: null },
      freeSlots: 0,
    });
    expect(reserve(books, { traceId: first, attempt: 1, terms })).toMatchObject({ ok: true });
    settle(books, [settleRow(first, [1, 1])]);
    expect(reserve(books, { traceId: third, terms })).toMatchObject({ ok: true });
    expect(reserve(books, { terms })).toMatchObject({ ok: false, reason: "concurrency" });
    release(books, third);
    expect(reserve(books, { traceId: traceId(), terms }, T0 + 2_000)).toMatchObject({ ok: true });
    expect(reserve(books, { traceId: traceId(), terms }, T0 + 6_000)).toMatchObject({ ok: true });
  });

  test("an isolate that falls silent: its slots are free and its money is charged, and a late settlement puts both right", () => {
    const books = openBooks();
    const terms = termsOf({ budget: budgetOf(1_000), limits: { concurrency: 1 } });
    const id = traceId();
    reserve(books, { traceId: id, terms, boundNanoUsd: 300, isolate: "a" });
    const next = (at: number) => reserve(books, { traceId: traceId(at), terms, boundNanoUsd: 0, isolate: "b" }, at);
    books.call((ledger) => ledger.renew("a", T0 + 10_000));
    expect(next(T0 + 39_999)).toMatchObject({ ok: false, reason: "concurrency" });
    expect(next(T0 + 40_000)).toMatchObject({ ok: true, remainingNanoUsd: 700 });
    expect(audit(books)).toMatchObject({ expired: 1, spentNanoUsd: 300, reservedNanoUsd: 0, openRequests: 1 });
    settle(books, [settleRow(id, [40])], T0 + 60_000);
    expect(audit(books)).toMatchObject({ expired: 0, spentNanoUsd: 40, reservedNanoUsd: 0 });
  });

  test("what a release without leases holds, and what outlives its own clock, expires as before", () => {
    const books = openBooks();
    const [old, late] = [traceId(), traceId()];
    reserve(books, { traceId: old, expiresAt: T0 + 120_000 });
    reserve(books, { traceId: late, expiresAt: T0 + 5_000, isolate: "a" });
    for (const seconds of [5, 25, 45]) books.call((ledger) => ledger.renew("a", T0 + seconds * 1_000));
    books.call((ledger) => ledger.sweep(T0 + 6_000));
    expect(audit(books)).toMatchObject({ expired: 1, openReservations: 1 });
    books.call((ledger) => ledger.sweep(T0 + 119_999));
    expect(audit(books)).toMatchObject({ expired: 1 });
    books.call((ledger) => ledger.sweep(T0 + 120_000));
    expect(audit(books)).toMatchObject({ expired: 2 });
  });

  test("an object that was evicted has heard of nobody: what is held has one more term from then on", () => {
    const books = openBooks();
    reserve(books, { isolate: "a" });
    books.evict();
    books.call((ledger) => ledger.sweep(T0 + 3_600));
    expect(audit(books)).toMatchObject({ expired: 0, openReservations: 1 });
    books.call((ledger) => ledger.sweep(T0 + 33_599));
    expect(audit(books)).toMatchObject({ expired: 0 });
    books.call((ledger) => ledger.sweep(T0 + 33_600));
    expect(audit(books)).toMatchObject({ expired: 1, openReservations: 0 });
  });

  test("what is free is shared by all isolates that are alive, so that none starts one too many", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { concurrency: 5 } });
    const from = (isolate: string, at = T0) => reserve(books, { traceId: traceId(at), terms, isolate }, at);
    expect(from("a")).toMatchObject({ freeSlots: 4 });
    expect(from("b")).toMatchObject({ freeSlots: 1 });
    expect(books.call((ledger) => ledger.renew("a", T0))).toMatchObject({ freeSlots: 1 });
    // The second one is silent, and what it held is free.
    books.call((ledger) => ledger.renew("a", T0 + 20_000));
    expect(from("a", T0 + 30_000)).toMatchObject({ freeSlots: 3 });
  });

  test("an eviction forgets no request and no token of the last minute", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { requests_per_minute: 100, tokens_per_minute: 100_000 } });
    const ids = Array.from({ length: 6 }, (_, index) => traceId(T0 + index));
    for (const [index, id] of ids.entries())
      reserve(books, { traceId: id, terms, boundTokens: 1_000 }, T0 + index * 9_000);
    const later = T0 + 50_000;
    settle(
      books,
      [settleRow(ids[1] ?? "", [5], { tokens: 70 }), settleRow(ids[2] ?? "", [5], { tokens: 4_000 })],
      later,
    );
    release(books, ids[3] ?? "", 0, later);
    const state = () => {
      const { attempts } = books.ledger;
      return attempts.window(ids[0] ?? "", later).state(terms.limits, later, attempts.debt.current);
    };
    const before = state();
    books.evict();
    expect(state()).toEqual(before);
    expect(before).toMatchObject({ remainingRequests: 95, remainingTokens: 100_000 - 3 * 1_000 - 70 - 4_000 });
  });

  test("a request counts with the whole limit of tokens at most, and alone it is always admitted", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { tokens_per_minute: 10_000 } });
    const [first = "", second = ""] = [traceId(T0), traceId(T0 + 1)];
    expect(reserve(books, { traceId: first, terms, boundTokens: 400_000 }, T0)).toMatchObject({
      ...{ ok: true, rate: { remainingTokens: 0 } },
    });
    expect(reserve(books, { traceId: second, terms, boundTokens: 1 }, T0)).toMatchObject({ reason: "tokens" });
    settle(books, [settleRow(first, [5], { tokens: 2_000 })], T0 + 1_000);
    expect(reserve(books, { traceId: second, terms, boundTokens: 8_000 }, T0 + 1_000)).toMatchObject({ ok: true });
  });

  test("what was used beyond a reservation is taken from the minutes after, over an eviction too", () => {
    const books = openBooks();
    const terms = termsOf({ limits: { tokens_per_minute: 1_000 } });
    const long = traceId(T0);
    reserve(books, { traceId: long, terms, boundTokens: 500 }, T0);
    // Settled when its reservation has left the window.
    const later = T0 + 100_000;
    settle(books, [settleRow(long, [5], { tokens: 3_000 })], later);
    books.evict();
    const at = (ms: number) => reserve(books, { traceId: traceId(later + ms), terms, boundTokens: 500 }, later + ms);
    expect(at(1_000)).toMatchObject({ ok: false, reason: "tokens", retryAfterMs: 60_000 });
    expect(at(119_000)).toMatchObject({ ok: false, reason: "tokens", retryAfterMs: 1_000 });
    expect(at(120_000)).toMatchObject({ ok: true });
    // Sent twice it is owed once.
    settle(books, [settleRow(long, [5], { tokens: 3_000 })], later + 120_000);
    expect(at(180_000)).toMatchObject({ ok: true });
  });

  test("limits that come later count what has been reserved before", () => {
    const books = openBooks();
    reserve(books, { traceId: traceId() });
    const terms = termsOf({ version: 2, limits: { requests_per_minute: 1, concurrency: 5 } });
    expect(reserve(books, { terms })).toMatchObject({ ok: false, reason: "requests" });
  });
});

test("a page of very large traces ends early and goes on where it ended", () => {
  const books = openBooks();
  const ids = Array.from({ length: 12 }, (_, index) => traceId(T0 + index));
  for (const id of ids)
    settle(books, [settleRow(id, [1], { trace: JSON.stringify({ id, tags: "x".repeat(900_000) }) })]);
  const found: string[] = [];
  let cursor: string | undefined;
  for (let pages = 1; ; pages++) {
    const page = books.ledger.list({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    expect(page.data.length).toBeLessThanOrEqual(4);
    found.push(...page.data.map(({ id }) => id));
    if (page.next_cursor === null) {
      expect(pages).toBe(3);
      break;
    }
    cursor = page.next_cursor;
  }
  expect(found).toEqual(ids.toReversed());
});
