/** What an operator is told behind an answer: that a provider charges something else than the price table says. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Env } from "../../../src/config.ts";
import { Settlement } from "../../../src/relay/settle.ts";
import { Exchange } from "../../../src/relay/trace.ts";
import { newTraceId } from "../../../src/traces/schema.ts";
import { stubScheduler } from "../../support/scheduler.ts";

const KEY_ID = "settletest01";
const START = Date.UTC(2026, 10, 22, 12);
/** 1,000 nano-USD by the table. */
const PRICE = { input: 10_000, output: 0 };
const USAGE = { prompt_tokens: 100, completion_tokens: 0 };

let lines: string[] = [];
beforeEach(() => {
  vi.useFakeTimers({ now: START });
  stubScheduler();
  vi.spyOn(console, "log").mockImplementation((line) => {
    // What else is said at the start of an isolate is not this file's.
    if (String(line).includes("cost_off_check")) lines.push(String(line));
  });
});
afterEach(() => {
  lines = [];
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Settles a request with one attempt at `now`; answers its trace id. */
async function settle(model: string, reportedNanoUsd: number | undefined, now: number): Promise<string> {
  const exchange = new Exchange(newTraceId(KEY_ID, now), now);
  Object.assign(exchange, { keyId: KEY_ID, app: "app", env: "production", route: "a" });
  const tariff = {
    price: PRICE,
    baseUrl: "https://api.example",
    thinks: false,
    announcesThinking: false,
    priceRow: null,
  };
  const about = { provider: "deepinfra", model, credential: 1, number: 0, boundNanoUsd: 0, setOutputCap: null };
  const start = { ...about, hedged: false, tariff };
  const attempt = exchange.startAttempt(start, now);
  attempt.isRunning = false;
  attempt.received.isWhole = true;
  const reported = reportedNanoUsd === undefined ? {} : { estimated_cost: reportedNanoUsd / 1e9 };
  attempt.received.noteUsage({ ...USAGE, ...reported });
  const answer = { revoked: false, keyVersion: 1, remainingNanoUsd: null };
  // The settlement uses nothing else of its environment.
  const ledger = { KEY_LEDGER: { getByName: () => ({ settle: async () => answer }) } };
  const env = { ...ledger, FLOW_KEY_PEPPER: "0".repeat(64) } as unknown as Env;
  const waiting: Promise<unknown>[] = [];
  const settlement = new Settlement(exchange, env, (work) => waiting.push(work));
  settlement.settle({ status: "ok", httpStatus: 200, toolCalls: [], endedAt: now });
  await vi.runAllTimersAsync();
  await Promise.all(waiting);
  return exchange.traceId;
}

test.each([
  { reported: 1_011, isLogged: true },
  { reported: 989, isLogged: true },
  { reported: 0, isLogged: true },
  { reported: 1_010, isLogged: false },
  { reported: 990, isLogged: false },
  { reported: undefined, isLogged: false },
])("a reported cost of $reported where the table says 1000 is logged: $isLogged", async ({ reported, isLogged }) => {
  const model = `reported-${reported}`;
  const id = await settle(model, reported, START);
  const line = {
    ...{ event: "cost_off_check", trace_id: id, provider: "deepinfra", model },
    ...{ reported_nano_usd: reported, computed_nano_usd: 1_000 },
  };
  const booked = lines.filter((each) => !each.includes("variable_ignored"));
  expect(booked).toEqual(isLogged ? [JSON.stringify(line)] : []);
});

test("each model is told of once a minute", async () => {
  for (const [model, afterMs] of [
    ["often", 0],
    ["often", 59_999],
    ["seldom", 59_999],
    ["often", 60_000],
  ] as const) {
    await settle(model, 5_000, START + afterMs);
  }
  expect(lines.map((line) => /often|seldom/.exec(line)?.[0])).toEqual(["often", "seldom", "often"]);
});
