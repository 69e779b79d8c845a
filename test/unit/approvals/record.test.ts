/** One key's record of tool calls, on a real SQLite: ids, decisions, expiry, results, retention. */
import { describe, expect, test } from "vitest";
import { ADMITTED_MS, BELIEF_MS, CallRecord } from "../../../src/approvals/record.ts";
import type { AnswerToRecord, CallToRecord, ResultClaim, RuledCall } from "../../../src/approvals/types.ts";
import { startStore } from "../ledger/fakes.ts";

const T0 = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const TTL_MS = 600_000;

const open = (): CallRecord => new CallRecord(startStore().sql);
const call = (id: string | null, more: Partial<CallToRecord> = {}): CallToRecord => ({
  ...{ id, kind: "function", name: "send", arguments: '{"a":1}', sha256: "00", verdict: "pending" },
  ...more,
});
const answer = (traceId: string, calls: CallToRecord[], more: Partial<AnswerToRecord> = {}): AnswerToRecord => ({
  ...{ traceId, keyId: "key", env: "production", app: "console", route: "flow/x", ttlMs: TTL_MS, calls, step: null },
  ...more,
});
function record(store: CallRecord, given: AnswerToRecord, now = T0): readonly RuledCall[] {
  const recorded = store.record(given, now);
  if (!recorded.ok) throw new Error(recorded.reason);
  return recorded.ruling.calls;
}
const decide = (store: CallRecord, id: string, decision: "approve" | "deny", now = T0) =>
  store.decide({ id, decision, by: "tester", reason: null, within: null }, now);
const claim = (id: string, more: object = {}): ResultClaim => ({
  ...{ by: "id", id, calls: [{ kind: "function", name: "send", arguments: '{ "a": 1.0 }' }] },
  ...more,
});
const verdict = (store: CallRecord, given: ResultClaim, now = T0): string | undefined =>
  store.check([given], false, null, now).verdicts[0];

describe("recording", () => {
  test("a provider's id is kept where it is free; every other call gets one of its own", () => {
    const store = open();
    const [first, second] = record(store, answer("t1", [call("a"), call(null)]));
    expect(first?.id).toBe("a");
    expect(second?.id).toMatch(/^call_[0-9A-Za-z]{24}$/);
    expect(record(store, answer("t2", [call("a")]))[0]?.id).not.toBe("a");
  });

  test("the same answer again keeps its ids and what was decided", () => {
    const store = open();
    const before = record(store, answer("t1", [call("a"), call(null)]));
    decide(store, "a", "approve");
    const after = record(store, answer("t1", [call("a"), call(null)]), T0 + 5);
    expect(after).toEqual([{ ...before[0], status: "approved" }, before[1]]);
  });

  test.each([
    { name: "long arguments", calls: [call("a", { arguments: "é".repeat(800_000) })] },
    { name: "a long id", calls: [call("a".repeat(1_001))] },
    { name: "too many calls", calls: Array.from({ length: 257 }, () => call(null)) },
  ])("$name: nothing is recorded", ({ calls }) => {
    const store = open();
    expect(store.record(answer("t1", calls), T0)).toEqual({ ok: false, reason: "too_large" });
    expect(store.ruling("t1", T0)).toBeNull();
  });

  test("what a rule decided is decided, and nobody has to be told", () => {
    const store = open();
    record(store, answer("t1", [call("a", { verdict: "approved" }), call("d", { verdict: "denied" }), call("p")]));
    expect(store.unsent(10).map(({ toolCallId }) => toolCallId)).toEqual(["p"]);
    expect(decide(store, "a", "approve")).toMatchObject({ ok: true, approval: { decided_by: "policy" } });
    expect(decide(store, "a", "deny")).toMatchObject({ ok: false, reason: "decided" });
    expect([verdict(store, claim("a")), verdict(store, claim("d"))]).toEqual(["admitted", "denied"]);
  });
});

describe("deciding", () => {
  test("the first decision stands", () => {
    const store = open();
    record(store, answer("t1", [call("a")]));
    expect(decide(store, "a", "deny", T0 + 1)).toMatchObject({ ok: true, approval: { status: "denied" } });
    expect(decide(store, "a", "deny", T0 + 2)).toEqual(decide(store, "a", "deny", T0 + 9));
    expect(decide(store, "a", "approve")).toMatchObject({
      ok: false,
      reason: "decided",
      approval: { status: "denied" },
    });
  });

  test("expiry ends the time to decide, not what was decided", () => {
    const store = open();
    record(store, answer("t1", [call("a"), call("b")]));
    decide(store, "a", "approve", T0 + TTL_MS - 1);
    const late = T0 + TTL_MS;
    expect(decide(store, "b", "approve", late)).toMatchObject({ ok: false, reason: "expired" });
    expect(store.ruling("t1", late)?.calls.map(({ status }) => status)).toEqual(["approved", "expired"]);
    expect([verdict(store, claim("a"), late), verdict(store, claim("b"), late)]).toEqual(["admitted", "expired"]);
    expect(decide(store, "a", "approve", late)).toMatchObject({ ok: true });
  });

  test.each([
    { within: { env: "production", apps: null }, seen: true },
    { within: { env: "production", apps: ["console", "b"] }, seen: true },
    { within: { env: "production", apps: ["b"] }, seen: false },
    { within: { env: "staging", apps: null }, seen: false },
  ])("a decider sees calls of its environment and apps: %j", ({ within, seen }) => {
    const store = open();
    record(store, answer("t1", [call("a")]));
    const decided = store.decide({ id: "a", decision: "approve", by: "key", reason: null, within }, T0);
    expect(decided).toMatchObject(seen ? { ok: true } : { ok: false, reason: "not_found" });
    expect(verdict(store, claim("a"))).toBe(seen ? "admitted" : "pending");
  });

  test("a decision is told after the call, also when it was made while the call was on its way", () => {
    const store = open();
    record(store, answer("t1", [call("a")]));
    const sent = store.unsent(10);
    decide(store, "a", "approve");
    store.noteSent(sent);
    expect(store.unsent(10)).toMatchObject([{ toolCallId: "a", status: "approved", decidedBy: "tester" }]);
    store.noteSent(store.unsent(10));
    expect(store.unsent(10)).toEqual([]);
  });
});

describe("results", () => {
  const store = open();
  record(store, answer("t1", [call("a"), call("p"), call("c", { kind: "custom", name: "shell", arguments: "ls -l" })]));
  decide(store, "a", "approve");
  decide(store, "c", "approve");
  const made = (more: object) => ({ calls: [{ kind: "function", name: "send", arguments: '{"a":1}', ...more }] });
  test.each([
    { name: "the call", given: claim("a"), is: "admitted" },
    { name: "a call that waits", given: claim("p"), is: "pending" },
    { name: "an id nobody recorded", given: claim("x"), is: "unknown" },
    { name: "no id", given: claim(""), is: "unknown" },
    { name: "no call", given: claim("a", { calls: [] }), is: "altered" },
    { name: "another name", given: claim("a", made({ name: "Send" })), is: "altered" },
    { name: "another kind", given: claim("a", made({ kind: "custom" })), is: "altered" },
    { name: "other arguments", given: claim("a", made({ arguments: '{"a":2}' })), is: "altered" },
    { name: "arguments nobody can be sure of", given: claim("a", made({ arguments: null })), is: "altered" },
    {
      name: "the same of a name",
      given: claim("send", { by: "name", ...made({ arguments: null }) }),
      is: "altered",
    },
    {
      name: "free text",
      given: claim("c", made({ kind: "custom", name: "shell", arguments: "ls -l" })),
      is: "admitted",
    },
    {
      name: "other free text",
      given: claim("c", made({ kind: "custom", name: "shell", arguments: "ls  -l" })),
      is: "altered",
    },
    { name: "a name nobody recorded", given: claim("other", { by: "name" }), is: "unknown" },
    { name: "the newest call of a name", given: claim("send", { by: "name" }), is: "pending" },
    { name: "a name without its call", given: claim("send", { by: "name", calls: [] }), is: "altered" },
  ])("$name is $is", ({ given, is }) => {
    expect(verdict(store, given as ResultClaim)).toBe(is);
  });

  test("are admitted for 30 days from the decision", () => {
    expect(verdict(store, claim("a"), T0 + ADMITTED_MS - 1)).toBe("admitted");
    expect(verdict(store, claim("a"), T0 + ADMITTED_MS)).toBe("expired");
  });

  test("nobody has to ask again for a while where nothing was ever recorded, and nothing is released meanwhile", () => {
    const empty = open();
    expect(empty.check([claim("a")], false, null, T0)).toEqual({
      verdicts: ["unknown"],
      recorded: [null],
      noneForMs: BELIEF_MS,
    });
    const recorded = empty.record(answer("t1", [call("a")]), T0 + 4_000);
    expect(recorded.ok && recorded.releaseInMs).toBeGreaterThanOrEqual(BELIEF_MS - 4_000);
    expect(empty.check([claim("a")], false, null, T0 + 4_001)).toEqual({
      verdicts: ["pending"],
      recorded: [null],
      noneForMs: 0,
      hasCalls: true,
    });
    const later = empty.record(answer("t2", [call("b")]), T0 + BELIEF_MS + 1_000);
    expect(later).toMatchObject({ ok: true, releaseInMs: 0 });
    expect(open().record(answer("t1", [call("a")]), T0)).toMatchObject({ releaseInMs: 0 });
  });

  test("after the first gated request of a key nobody may believe any more, so nothing is released later than it can be", () => {
    const expecting = open();
    expect(expecting.check([claim("a")], false, null, T0)).toMatchObject({ noneForMs: BELIEF_MS });
    expect(expecting.check([], true, null, T0 + 10)).toEqual({
      verdicts: [],
      recorded: [],
      noneForMs: 0,
      hasCalls: false,
    });
    expect(expecting.check([claim("a")], false, null, T0 + 20)).toEqual({
      verdicts: ["unknown"],
      recorded: [null],
      noneForMs: 0,
      hasCalls: false,
    });
    const first = expecting.record(answer("t1", [call("a")]), T0 + BELIEF_MS);
    expect(first.ok && first.releaseInMs).toBeLessThanOrEqual(250);
    const silent = open();
    silent.check([], true, null, T0);
    silent.check([claim("a")], false, null, T0 + 10);
    expect(silent.record(answer("t1", [call("a")]), T0 + 20)).toMatchObject({ releaseInMs: 0 });
  });
});

describe("keeping", () => {
  test("arguments go when nothing can be admitted any more, steps before, and calls after a year", () => {
    const store = open();
    const step = { digest: "d", body: "{}" };
    record(store, answer("t1", [call("a")], { step, ttlMs: 30 * DAY_MS }));
    decide(store, "a", "approve", T0 + 30 * DAY_MS - 1);
    const last = T0 + 60 * DAY_MS - 2;
    expect(store.prune(last)).toBe(false);
    expect(verdict(store, claim("a"), last)).toBe("admitted");
    expect(store.step("t1", last)).toMatchObject(step);
    store.prune(T0 + 62 * DAY_MS);
    expect(store.step("t1", T0)).toBeNull();
    expect(verdict(store, claim("a"), T0 + 62 * DAY_MS)).toBe("expired");
    expect(store.show(["a"], T0)).toMatchObject([{ arguments: "", arguments_sha256: "00" }]);
    store.prune(T0 + 365 * DAY_MS);
    expect(store.show(["a"], T0)).toEqual([]);
  });

  test("many old calls go a part at a time", () => {
    const store = open();
    for (let at = 0; at < 3; at++)
      record(
        store,
        answer(
          `t${at}`,
          Array.from({ length: 250 }, () => call(null)),
        ),
      );
    expect(store.prune(T0 + 366 * DAY_MS)).toBe(true);
    expect(store.prune(T0 + 366 * DAY_MS)).toBe(false);
    expect(store.ruling("t2", T0)).toBeNull();
  });
});

test("each recorded call is read once for all results that are compared with it by name", () => {
  const store = open();
  const long = (at: number): string => JSON.stringify({ at, text: "x".repeat(4_000) });
  for (let at = 0; at < 200; at++) record(store, answer(`t${at}`, [call(null, { arguments: long(at) })]));
  const claims = Array.from({ length: 2_000 }, (_, at) => {
    return claim("send", { by: "name", calls: [{ kind: "legacy", name: "send", arguments: `{ "at": ${-1 - at} }` }] });
  });
  const startedAt = performance.now();
  expect(new Set(store.check(claims, true, null, T0).verdicts)).toEqual(new Set(["altered"]));
  // Read again for each result they are 1.6 billion characters.
  expect(performance.now() - startedAt).toBeLessThan(2_500);
});
