/**
 * A key's ledger as the rest of the router sees it.
 *
 * Every call has a time limit and is tried once more on a fresh stub: all of them are repeatable. What an unreachable
 * ledger means is the caller's to say, because it differs: admission turns it into a reason, the endpoints into a 503.
 */
import { RouterError } from "../errors.ts";
import { fromUsd, toUsd } from "../lib/money.ts";
import type { Trace } from "../traces/schema.ts";
import type { KeyLedger } from "./key-ledger.ts";
import type { Admission, Budget, TracePage, TraceQuery } from "./types.ts";

export { settleSoon } from "./settlement.ts";
export type { Admission, Budget, SettleRow, TracePage, TraceQuery } from "./types.ts";

/** The longest a request waits to be admitted, both tries together. */
const ADMISSION_LIMIT_MS = 2_000;
/** For endpoints that only read or revoke. */
const CALL_LIMIT_MS = 5_000;

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

/** May a request of this key start? Never rejects: a ledger that does not answer in 2 s is `unavailable`. */
export async function admitKey(
  namespace: Ledgers,
  keyId: string,
  budget: Budget | null,
  now: number,
): Promise<Admission | { readonly ok: false; readonly reason: "unavailable" }> {
  try {
    return await ask<Admission>(
      namespace,
      keyId,
      ADMISSION_LIMIT_MS,
      async (ledger) => await ledger.admit(budget, now),
    );
  } catch {
    // Whatever went wrong, the caller's question has no answer, and that is what it is told.
    return { ok: false, reason: "unavailable" };
  }
}

/** What the key has spent in its budget's current period; without a budget, ever. Rejects with `ledger_unavailable`. */
export async function keySpend(namespace: Ledgers, keyId: string, budget: Budget | null): Promise<KeySpend> {
  const { spentNanoUsd } = await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.spend(budget));
  const remainingNanoUsd = budget === null ? null : Math.max(0, fromUsd(budget.limit_usd) - spentNanoUsd);
  return {
    period: budget?.period ?? "total",
    limit_usd: budget?.limit_usd ?? null,
    spent_usd: toUsd(spentNanoUsd),
    reserved_usd: 0,
    remaining_usd: remainingNanoUsd === null ? null : toUsd(remainingNanoUsd),
  };
}

/** From its next admission on the key is refused. Repeatable; rejects with `ledger_unavailable`. */
export async function revokeLedger(namespace: Ledgers, keyId: string): Promise<void> {
  await ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.revoke());
}

/** One trace of the key, `null` until it is settled. Rejects with `ledger_unavailable`. */
export function findTrace(namespace: Ledgers, keyId: string, traceId: string): Promise<Trace | null> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.trace(traceId));
}

/** The key's traces, newest first. Rejects with `ledger_unavailable`. */
export function listTraces(namespace: Ledgers, keyId: string, query: TraceQuery): Promise<TracePage> {
  return ask(namespace, keyId, CALL_LIMIT_MS, (ledger) => ledger.traces(query));
}

/** `call` on a stub of its own, and once more on another when it fails in time. */
async function ask<T>(
  namespace: Ledgers,
  keyId: string,
  limitMs: number,
  call: (ledger: LedgerStub) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const tooLong = scheduler.wait(limitMs, { signal: limit.signal }).then(() => Promise.reject(unavailable()));
  tooLong.catch(() => {});
  const attempt = async (): Promise<T> => call(namespace.getByName(keyId));
  try {
    return await Promise.race([attempt().catch(() => attempt()), tooLong]);
  } catch {
    throw unavailable();
  } finally {
    limit.abort();
  }
}

function unavailable(): RouterError {
  return new RouterError("ledger_unavailable", "The ledger of this key did not answer. Try again in a moment.");
}
