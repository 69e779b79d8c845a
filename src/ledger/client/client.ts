/**
 * A key's ledger as the rest of the router sees it.
 *
 * Every call has a time limit and is tried once more on a fresh stub, except after an overload: all of them are
 * repeatable. What an unreachable ledger means is the caller's to say, because it differs: a reservation turns it into
 * a reason, the endpoints into a 503.
 */
import { callWithRetry } from "../../durable/call.ts";
import { RouterError } from "../../http/errors.ts";
import { log } from "../../lib/log.ts";
import { fromUsd, toUsd } from "../../lib/money.ts";
import type { Trace } from "../../traces/schema.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type {
  Budget,
  BudgetSpend,
  KeyStanding,
  KeyTerms,
  LedgerAudit,
  Limits,
  RateState,
  Reservation,
  ReserveAnswer,
  TracePage,
  TraceQuery,
  Unavailable,
} from "../types.ts";
import { gateOf, reserveAt } from "./gates.ts";
import { whenPlaced } from "./places.ts";
import { GATHER_MS, type HeardAnswer, isGathering, reserveTogether } from "./reservation.ts";

export { type PeriodRow, periodEnd } from "../periods.ts";

import type { PeriodRow } from "../periods.ts";

export type {
  Budget,
  EndedAttempt,
  KeyTerms,
  LedgerAudit,
  Limits,
  RateState,
  Reservation,
  ReserveAnswer,
  SettleAnswer,
  SettledAttempt,
  SettleRow,
  TracePage,
  TraceQuery,
  Unavailable,
} from "../types.ts";
export { isolateName, noteSignOfLife } from "./isolate.ts";
export { settleSoon } from "./settlement.ts";
export { Watch } from "./watch.ts";

/** The longest a request waits for its reservation, both tries together. */
const RESERVE_LIMIT_MS = 2_000;
/** For endpoints and everything else that no client waits for. */
const CALL_LIMIT_MS = 5_000;
/** Within the 30 s that a finished request may go on. */
const RELEASE_WITHIN_MS = 20_000;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 4_000;

type Ledgers = DurableObjectNamespace<KeyLedger>;
type LedgerStub = DurableObjectStub<KeyLedger>;

/** The member `spend` of a key. `null` members: the key has no budget. */
export interface KeySpend {
  readonly period: Budget["period"];
  readonly limit_usd: number | null;
  readonly spent_usd: number;
  readonly reserved_usd: number;
  readonly remaining_usd: number | null;
}

/**
 * May this attempt be made, and is its bound held? Never rejects: a ledger that does not answer in 2 s is `unavailable`.
 * The reservation may exist all the same: a caller that then sends no request calls `releaseSoon`.
 */
export function reserve(
  namespace: Ledgers,
  keyId: string,
  reservation: Reservation,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<HeardAnswer> {
  return whenPlaced(namespace, keyId, waitUntil, () => {
    // Calls that are under way must not be refused for the sake of one that is not.
    if (isGathering(keyId)) return reserveTogetherOrAlone(namespace, keyId, reservation, waitUntil, 0);
    return reserveWithin(namespace, keyId, reservation, RESERVE_LIMIT_MS);
  });
}

/** What `reserve` would answer at this moment. Holds nothing, and never rejects. */
export async function preview(
  namespace: Ledgers,
  keyId: string,
  reservation: Reservation,
): Promise<ReserveAnswer | Unavailable> {
  const call = async (ledger: LedgerStub): Promise<ReserveAnswer | Unavailable> => await ledger.preview(reservation);
  return ask(namespace, keyId, RESERVE_LIMIT_MS, call).catch(() => ({ ok: false, reason: "unavailable" }));
}

/**
 * Counts a request that asks no provider. A number: the key's limit of requests leaves no room for so many ms. Rejects
 * with `ledger_unavailable`.
 */
export function countRequest(namespace: Ledgers, keyId: string, terms: KeyTerms): Promise<number | null> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.countRequest(keyId, terms));
}

/** The same for an attempt that is under way: slower by some milliseconds, and far cheaper where there are many. */
export function reserveBeside(
  namespace: Ledgers,
  keyId: string,
  reservation: Reservation,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<HeardAnswer> {
  return whenPlaced(namespace, keyId, waitUntil, () =>
    reserveTogetherOrAlone(namespace, keyId, reservation, waitUntil, GATHER_MS),
  );
}

async function reserveTogetherOrAlone(
  namespace: Ledgers,
  keyId: string,
  reservation: Reservation,
  waitUntil: (work: Promise<unknown>) => void,
  gatherMs: number,
): Promise<HeardAnswer> {
  const startedAt = Date.now();
  const answer = await reserveTogether(namespace, keyId, reservation, waitUntil, gatherMs);
  return answer ?? reserveWithin(namespace, keyId, reservation, startedAt + RESERVE_LIMIT_MS - Date.now());
}

async function reserveWithin(
  namespace: Ledgers,
  keyId: string,
  reservation: Reservation,
  limitMs: number,
): Promise<HeardAnswer> {
  const call = async (): Promise<ReserveAnswer | Unavailable> => {
    if (gateOf(keyId, Date.now()) === null) return await namespace.getByName(keyId).reserve(reservation);
    const [answer] = await reserveAt(namespace, keyId, [reservation]);
    return answer ?? { ok: false, reason: "unavailable" };
  };
  try {
    return { answer: await callWithRetry(limitMs, call), heardAt: Date.now() };
  } catch {
    // Whatever went wrong, the caller learns that its query has no answer.
    return { answer: { ok: false, reason: "unavailable" }, heardAt: Date.now() };
  }
}

/**
 * Sets free what an attempt holds, because nothing was sent. Never throws. What cannot be released in 20 s is logged,
 * and charged at its bound when it expires. After a settlement of the same attempt it changes nothing.
 */
export function releaseSoon(
  namespace: Ledgers,
  keyId: string,
  { traceId, attempt }: Pick<Reservation, "traceId" | "attempt">,
  waitUntil: (work: Promise<unknown>) => void,
): void {
  waitUntil(release(namespace, keyId, traceId, attempt));
}

async function release(namespace: Ledgers, keyId: string, traceId: string, attempt: number): Promise<void> {
  const giveUpAt = Date.now() + RELEASE_WITHIN_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.release(traceId, attempt));
    } catch {
      if (Date.now() + pauseMs >= giveUpAt) break;
      await scheduler.wait(pauseMs);
    }
  }
  log({ event: "reservation_unreleased", key_id: keyId, trace_id: traceId, attempt });
}

/** What the key has spent in its budget's current period; without a budget, ever. Rejects with `ledger_unavailable`. */
export async function keySpend(namespace: Ledgers, keyId: string, budget: Budget | null): Promise<KeySpend> {
  return spendBody(await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.spend(budget)), budget);
}

/** Requests and tokens of the running minute, requests at the same time: each only where it is limited. */
export type LimitsRemaining = { readonly [limit in keyof Limits]?: number };

/**
 * What the key has spent, as above, and what is left of its limits; `null` where it has none. Rejects with
 * `ledger_unavailable`.
 */
export async function keyStanding(
  namespace: Ledgers,
  { id, budget, limits }: { readonly id: string } & Pick<KeyTerms, "budget" | "limits">,
): Promise<{ readonly spend: KeySpend; readonly limitsRemaining: LimitsRemaining | null }> {
  const terms = { budget, limits };
  // The platform's own stub type makes a promise of every member.
  const call = async (ledger: LedgerStub): Promise<KeyStanding> => await ledger.standing(id, terms);
  const { spend, rate, openRequests } = await ask(namespace, id, CALL_LIMIT_MS, call);
  return {
    spend: spendBody(spend, budget),
    limitsRemaining: limits === null ? null : left(limits, rate, openRequests),
  };
}

function left(limits: Limits, rate: RateState | null, openRequests: number): LimitsRemaining {
  const { requests_per_minute: requests, tokens_per_minute: tokens, concurrency } = limits;
  return {
    ...(requests === undefined ? {} : { requests_per_minute: rate?.remainingRequests ?? requests }),
    ...(tokens === undefined ? {} : { tokens_per_minute: rate?.remainingTokens ?? tokens }),
    ...(concurrency === undefined ? {} : { concurrency: Math.max(0, concurrency - openRequests) }),
  };
}

function spendBody({ spentNanoUsd, reservedNanoUsd }: BudgetSpend, budget: Budget | null): KeySpend {
  // A corrected price may have taken it below zero.
  const remainingNanoUsd = budget === null ? null : fromUsd(budget.limit_usd) - spentNanoUsd - reservedNanoUsd;
  return {
    period: budget?.period ?? "total",
    limit_usd: budget?.limit_usd ?? null,
    spent_usd: toUsd(spentNanoUsd),
    reserved_usd: toUsd(reservedNanoUsd),
    remaining_usd: remainingNanoUsd === null ? null : toUsd(remainingNanoUsd),
  };
}

/** From its next reservation on the key is refused. Repeatable; rejects with `ledger_unavailable`. */
export async function revokeLedger(namespace: Ledgers, keyId: string): Promise<void> {
  await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.revoke());
}

/** Shows the ledger what the key may do now; older terms than it knows change nothing. Rejects with `ledger_unavailable`. */
export async function applyTerms(namespace: Ledgers, keyId: string, terms: KeyTerms): Promise<void> {
  await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.applyTerms(terms));
}

/** The ledger checks its own books. Rejects with `ledger_unavailable`. */
export function ledgerAudit(namespace: Ledgers, keyId: string): Promise<LedgerAudit> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.audit());
}

/** Sends every stored trace to the index again and answers how many. Rejects with `ledger_unavailable`. */
export function rebuildIndex(namespace: Ledgers, keyId: string): Promise<number> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.rebuild());
}

/** What of the key waits for the trail, and since when. Rejects with `ledger_unavailable`. */
export function ledgerStanding(
  namespace: Ledgers,
  keyId: string,
): Promise<{ waiting: number; oldestAt: number | null; alarmAt: number | null }> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.outboxStanding());
}

/** Erases the key's traces and their tags; what they cost stays. Rejects with `ledger_unavailable`. */
export async function eraseTraces(namespace: Ledgers, keyId: string): Promise<void> {
  await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.erase());
}

/** What the key has spent, by period. Rejects with `ledger_unavailable`. */
export function sumsOf(namespace: Ledgers, keyId: string): Promise<readonly PeriodRow[]> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.sums());
}

/** Gives a new ledger what its key has spent elsewhere. Repeatable; one that has booked anything stays as it is. */
export function importSums(namespace: Ledgers, keyId: string, rows: readonly PeriodRow[]): Promise<void> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.importSums(rows));
}

/** One trace of the key, `null` until it is settled. Rejects with `ledger_unavailable`. */
export function findTrace(namespace: Ledgers, keyId: string, traceId: string): Promise<Trace | null> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.trace(traceId));
}

/** The key's traces, newest first. Rejects with `ledger_unavailable`. */
export function listTraces(namespace: Ledgers, keyId: string, query: TraceQuery): Promise<TracePage> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.traces(query));
}

async function ask<T>(
  namespace: Ledgers,
  keyId: string,
  limitMs: number,
  call: (ledger: LedgerStub) => Promise<T>,
): Promise<T> {
  try {
    return await callWithRetry(limitMs, async () => call(namespace.getByName(keyId)));
  } catch {
    throw unavailable();
  }
}

function unavailable(): RouterError {
  return new RouterError("ledger_unavailable", "The spend ledger of this key did not answer. Retry shortly.");
}
