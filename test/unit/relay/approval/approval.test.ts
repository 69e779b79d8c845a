/** The stage between an answer and its release: when it lets go, and what it makes of a record that answers late. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { AnswerToRecord, RecordAnswer, Ruling } from "../../../../src/approvals/types.ts";
import { chatGateView } from "../../../../src/doors/chat/gate-view.ts";
import { RoutePolicy } from "../../../../src/policy/schema.ts";
import { type ApprovalInput, ToolApproval } from "../../../../src/relay/approval/approval.ts";
import { Exchange } from "../../../../src/relay/trace.ts";
import type { WholeAnswer } from "../../../../src/relay/types.ts";
import { chatDoorWire } from "../../../../src/wires/openai-chat/door-wire.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { completion } from "../../../support/upstream.ts";
import { provideWorkerdCrypto } from "../../../support/workerd-crypto.ts";

beforeAll(() => {
  provideWorkerdCrypto();
  stubScheduler();
});
afterAll(() => {
  vi.unstubAllGlobals();
});

const TRACE_ID = `tr_${"a".repeat(32)}`;
const CALL = { id: "call_1", name: "send", arguments: "{}" };
const body = completion({ toolCalls: [CALL] }) as Readonly<Record<string, unknown>>;
const CONTEXT = { provider: "openai", model: "m", traceId: TRACE_ID, createdAt: 1, conversation: null };
const whole: WholeAnswer = {
  ...{ text: JSON.stringify(body), body, context: CONTEXT, isPlain: () => true },
  toAnswer: () => chatDoorWire.readBack("", body),
};

interface RecordFace {
  record(answer: AnswerToRecord): Promise<RecordAnswer>;
  waitFor(traceId: string, waitMs: number): Promise<Ruling | null>;
}

function approvalOn(
  record: Partial<RecordFace>,
  tools: object,
  clientSignal = new AbortController().signal,
): ToolApproval {
  const policy = RoutePolicy.parse({
    targets: [{ provider: "openai", model: "m" }],
    tools: { require_approval: true, ...tools },
  });
  const exchange = new Exchange(TRACE_ID, Date.now());
  const input = {
    records: { getByName: () => record },
    caller: { key: { id: "a".repeat(12), env: "production" }, app: "console" },
    route: { record: { name: "x", version: 1 }, policy, requireToolApproval: true },
    request: { fields: { messages: [{ role: "user", content: "hi" }] } },
    ...{ exchange, clientSignal, door: { wire: chatDoorWire, gateView: chatGateView } },
  };
  // The members that the stage reads, not all that a request has.
  return new ToolApproval(input as unknown as ApprovalInput);
}

const ruling = (status: "approved" | "pending" | "denied"): Ruling => ({
  calls: [{ id: "call_1", name: "send", status }],
  expiresAt: Date.now() + 60_000,
});
const recorded = (status: "approved" | "pending" | "denied", releaseInMs = 0) => ({
  record: async (): Promise<RecordAnswer> => ({ ok: true, ruling: ruling(status), releaseInMs }),
});

describe("what is released waits until no isolate can believe any more that the key has no recorded call", () => {
  test.each([
    { name: "an approved call", status: "approved", tools: {}, waits: true },
    { name: "a marked call", status: "pending", tools: { delivery: "mark" }, waits: true },
    { name: "a denied call, of which nothing is released,", status: "denied", tools: {}, waits: false },
  ] as const)("$name: $waits", async ({ status, tools, waits }) => {
    const startedAt = Date.now();
    await approvalOn(recorded(status, 300), tools).releaseOf(whole);
    expect(Date.now() - startedAt >= 295).toBe(waits);
  });
});

test("a record that says nothing while an answer waits decides nothing", async () => {
  const record = { ...recorded("pending"), waitFor: () => Promise.reject(new Error("down")) };
  const release = await approvalOn(record, { wait_ms: 120 }).releaseOf(whole);
  expect(release).toMatchObject({ release: { ruling: { calls: [{ status: "pending" }] } } });
});

test("calls too large to be recorded are an error, and a record that refuses is not asked for a wait", async () => {
  const record = { record: async (): Promise<RecordAnswer> => ({ ok: false, reason: "too_large" }) };
  await expect(approvalOn(record, {}).releaseOf(whole)).rejects.toMatchObject({ code: "upstream_failed" });
});

test("a client that is gone gets nothing", async () => {
  const gone = new AbortController();
  const record = { ...recorded("pending"), waitFor: () => new Promise<Ruling>(() => {}) };
  const releasing = approvalOn(record, {}, gone.signal).releaseOf(whole);
  gone.abort();
  expect(await releasing).toBe("client_gone");
});

test("only what may wait is kept for later: the answer with its digest, never for what is decided or marked", async () => {
  const steps: boolean[] = [];
  const record = {
    record: async (answer: AnswerToRecord): Promise<RecordAnswer> => {
      steps.push(answer.step !== null);
      return { ok: true, ruling: ruling("approved"), releaseInMs: 0 };
    },
  };
  for (const tools of [{}, { auto_approve: ["*"] }, { deny: ["*"] }, { delivery: "mark" }]) {
    await approvalOn(record, tools).releaseOf(whole);
  }
  expect(steps).toEqual([true, false, false, false]);
});
