/**
 * Which object this isolate calls for a key: its ledger, or one of the gates that a busy ledger has asked for.
 *
 * Gates have methods of their own: where an object runs another release, a call fails instead of being booked at the gate,
 * and goes to the ledger.
 */
import { gateName } from "../gates/gate.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type { Reservation, ReserveAnswer, SettleAnswer, SettleRow, Unavailable } from "../types.ts";
import { isolateName } from "./isolate.ts";

/** After which a ledger that was not heard of is called directly again. */
const KNOWN_MS = 10_000;
/** Busy keys of an isolate are few. */
const MAX_KEYS = 500;

type Ledgers = DurableObjectNamespace<KeyLedger>;

const known = new Map<string, { readonly gates: number; readonly until: number }>();

/** The gate to call for a key, which an isolate keeps to; `null`: its ledger. */
export function gateOf(keyId: string, now: number): string | null {
  const { gates, until } = known.get(keyId) ?? { gates: 0, until: 0 };
  if (gates === 0 || now >= until) return null;
  return gateName(keyId, Number.parseInt(isolateName().slice(0, 8), 16) % gates);
}

/** What a ledger has said: how many gates there are to be. */
export function noteGates(keyId: string, gates: number | undefined, now: number): void {
  known.delete(keyId);
  if (gates === undefined || gates === 0) return;
  known.set(keyId, { gates, until: now + KNOWN_MS });
  const oldest = known.keys().next().value;
  if (known.size > MAX_KEYS && oldest !== undefined) known.delete(oldest);
}

/** Books rows. Rejects where they may not be booked; after a gate that failed the next call goes to the ledger. */
export async function settleAt(namespace: Ledgers, keyId: string, rows: SettleRow[]): Promise<SettleAnswer> {
  const gate = gateOf(keyId, Date.now());
  if (gate === null) return namespace.getByName(keyId).settle(rows, isolateName());
  return orForget(keyId, async () => await namespace.getByName(gate).gateSettle(rows, isolateName()));
}

/** The same for reservations: answers in their order. */
export async function reserveAt(
  namespace: Ledgers,
  keyId: string,
  reservations: readonly Reservation[],
): Promise<readonly (ReserveAnswer | Unavailable)[]> {
  const gate = gateOf(keyId, Date.now());
  if (gate === null) return namespace.getByName(keyId).reserveAll(reservations);
  return orForget(keyId, async () => await namespace.getByName(gate).gateReserve(reservations));
}

async function orForget<Answer>(keyId: string, call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    known.delete(keyId);
    throw error;
  }
}
