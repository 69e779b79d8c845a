/** When a call may start before its reservation was granted. */
import { beforeEach, describe, expect, test } from "vitest";
import {
  forgetHeadroom,
  mayStartEarly,
  noteAdmitted,
  noteAnswered,
  noteAsked,
  noteSettled,
} from "../../../../src/ledger/client/budget-cache.ts";
import type { RateState, Reservation } from "../../../../src/ledger/types.ts";

const NOW = 1_795_000_000_000;
const KEY = "key";
beforeEach(() => forgetHeadroom(KEY));

function reservation(change: Partial<Reservation> = {}): Reservation {
  return {
    ...{
      traceId: "tr",
      attempt: 0,
      boundNanoUsd: 100,
      boundTokens: 10,
      expiresAt: NOW + 1_000,
      provider: "p",
      model: "m",
    },
    terms: { version: 1, budget: { limit_usd: 1, period: "day" }, limits: null },
    ...change,
  };
}

const limited = (limits: object): Reservation => reservation({ terms: { version: 1, budget: null, limits } });
const rate = (change: Partial<RateState> = {}): RateState => ({
  ...{ limitRequests: 1_000, remainingRequests: 500, resetRequestsMs: 0 },
  ...{ limitTokens: null, remainingTokens: 0, resetTokensMs: 0 },
  ...change,
});
const hear = (remainingNanoUsd: number | null, state: RateState | null = null, keyVersion = 1): void =>
  noteAdmitted(KEY, { remainingNanoUsd, rate: state, keyVersion }, NOW);
const may = (asked = reservation(), afterMs = 0): boolean => mayStartEarly(KEY, asked, NOW + afterMs);

describe("a budget", () => {
  test("nobody has heard of the key: it waits", () => expect(may()).toBe(false));

  test.each([
    { name: "20 times the bound is left", left: 2_000, early: true },
    { name: "less is left", left: 1_999, early: false },
    { name: "nothing is left, and the call is free", left: 0, bound: 0, early: false },
    { name: "something is left, and the call is free", left: 1, bound: 0, early: true },
  ])("$name: $early", ({ left, bound = 100, early }) => {
    hear(left);
    expect(may(reservation({ boundNanoUsd: bound }))).toBe(early);
  });

  test("calls of this isolate that are not confirmed yet count as spent", () => {
    hear(2_100);
    noteAsked(KEY, 101);
    expect(may()).toBe(false);
    noteAnswered(KEY, 101);
    expect(may()).toBe(true);
  });

  test("a crowd that asked before anything was known counts too, and goes on counting after a refusal", () => {
    for (let call = 0; call < 30; call++) noteAsked(KEY, 100);
    hear(4_900);
    expect(may()).toBe(false);
    noteAnswered(KEY, 100);
    expect(may()).toBe(true);
    forgetHeadroom(KEY);
    hear(4_800);
    expect(may()).toBe(false);
    for (let call = 0; call < 29; call++) noteAnswered(KEY, 100);
    expect(may()).toBe(true);
  });

  test("an answer that is seen after a newer one says nothing new; of one moment the least counts", () => {
    const facts = { rate: null, keyVersion: 1 };
    noteAdmitted(KEY, { ...facts, remainingNanoUsd: 1_000 }, NOW);
    noteAdmitted(KEY, { ...facts, remainingNanoUsd: 9_000 }, NOW - 1);
    expect(may()).toBe(false);
    noteAdmitted(KEY, { ...facts, remainingNanoUsd: 9_000 }, NOW);
    expect(may()).toBe(false);
    noteAdmitted(KEY, { ...facts, remainingNanoUsd: 9_000 }, NOW + 1);
    expect(may()).toBe(true);
  });

  test("what was heard 5 s ago is believed, later it is not", () => {
    hear(10_000);
    expect([may(reservation(), 5_000), may(reservation(), 5_001)]).toEqual([true, false]);
  });

  test("a settlement refreshes it, and one of a revoked key ends it", () => {
    hear(10_000);
    noteSettled(KEY, { revoked: false, keyVersion: 1, remainingNanoUsd: 9_000 }, NOW + 4_000);
    expect(may(reservation(), 9_000)).toBe(true);
    noteSettled(KEY, { revoked: true, keyVersion: 1, remainingNanoUsd: 9_000 }, NOW + 4_000);
    expect(may(reservation(), 4_000)).toBe(false);
  });

  test("terms of another version than the ledger's wait", () => {
    hear(10_000, null, 2);
    expect(may()).toBe(false);
  });

  test("a settlement of a key nobody asked for is not remembered", () => {
    noteSettled(KEY, { revoked: false, keyVersion: 1, remainingNanoUsd: 9_000 }, NOW);
    expect(may()).toBe(false);
  });
});

describe("limits", () => {
  test.each([
    {
      name: "20 requests are left",
      limits: { requests_per_minute: 1_000 },
      state: rate({ remainingRequests: 20 }),
      early: true,
    },
    { name: "19 are", limits: { requests_per_minute: 1_000 }, state: rate({ remainingRequests: 19 }), early: false },
    {
      name: "20 times its tokens are left",
      limits: { tokens_per_minute: 1_000 },
      state: rate({ limitRequests: null, limitTokens: 1_000, remainingTokens: 200 }),
      early: true,
    },
    {
      name: "fewer are",
      limits: { tokens_per_minute: 1_000 },
      state: rate({ limitRequests: null, limitTokens: 1_000, remainingTokens: 199 }),
      early: false,
    },
  ])("$name: $early", ({ limits, state, early }) => {
    hear(null, state);
    expect(may(limited(limits))).toBe(early);
  });

  describe("of requests at the same time", () => {
    const concurrent = limited({ concurrency: 3 });
    const hearOf = (freeSlots: number): void =>
      noteAdmitted(KEY, { remainingNanoUsd: null, rate: null, keyVersion: 1, freeSlots }, NOW);

    test("one starts where a slot is free, and those on their way take theirs", () => {
      hearOf(2);
      expect(may(concurrent)).toBe(true);
      noteAsked(KEY, 0);
      expect(may(concurrent)).toBe(true);
      noteAsked(KEY, 0);
      expect(may(concurrent)).toBe(false);
      noteAnswered(KEY, 0);
      expect(may(concurrent)).toBe(true);
      noteAnswered(KEY, 0);
    });

    test("none starts where none is free, nothing was said of it, or it was long ago", () => {
      hearOf(0);
      expect(may(concurrent)).toBe(false);
      noteAdmitted(KEY, { remainingNanoUsd: null, rate: null, keyVersion: 1 }, NOW + 1);
      expect(may(concurrent)).toBe(false);
      hearOf(1);
      noteAdmitted(KEY, { remainingNanoUsd: null, rate: null, keyVersion: 1, freeSlots: 1 }, NOW + 2);
      expect([may(concurrent, 5_002), may(concurrent, 5_003)]).toEqual([true, false]);
    });

    test("a settlement says how many are free now", () => {
      hearOf(0);
      noteSettled(KEY, { revoked: false, keyVersion: 1, remainingNanoUsd: null, freeSlots: 1 }, NOW + 4_000);
      expect(may(concurrent, 8_000)).toBe(true);
    });

    test("within a group the smallest number is the newest", () => {
      hearOf(1);
      hearOf(2);
      noteAsked(KEY, 0);
      expect(may(concurrent)).toBe(false);
      noteAnswered(KEY, 0);
    });

    test("other limits of the key count as well", () => {
      noteAdmitted(
        KEY,
        { remainingNanoUsd: null, rate: rate({ remainingRequests: 5 }), keyVersion: 1, freeSlots: 3 },
        NOW,
      );
      expect(may(limited({ concurrency: 3, requests_per_minute: 1_000 }))).toBe(false);
    });
  });

  test("a settlement says nothing about rates", () => {
    hear(null, rate());
    noteSettled(KEY, { revoked: false, keyVersion: 1, remainingNanoUsd: null }, NOW + 4_000);
    expect(may(limited({ requests_per_minute: 1_000 }), 6_000)).toBe(false);
  });
});
