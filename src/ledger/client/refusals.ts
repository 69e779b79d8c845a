/**
 * Requests that were refused, on their way to the ledger of their key: gathered per key, a few a second with a trace, the
 * others as a number. Best effort: a lost refusal cost no money.
 *
 * Requests share plain data only. The one that finds no living sender becomes it, and sends for all in its `waitUntil`.
 */
import { callWithRetry } from "../../durable/call.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type { RefusedRow } from "../types.ts";

/** Per key and isolate; the ledger holds all isolates together to the same. */
const MAX_PER_SECOND = 10;
/** How long refusals are gathered before they are sent. */
const GATHER_MS = 250;
/** How long a request sends for the others, within the 30 s that a finished one may go on. */
const SENDER_MS = 10_000;
/** A sender that took longer has died. */
const SENDER_LEASE_MS = 20_000;
const CALL_LIMIT_MS = 4_000;
/** Keys whose refusals wait at the same time. Those of further ones are dropped. */
const MAX_KEYS = 1_000;

interface Waiting {
  rows: RefusedRow[];
  more: number;
  /** The running second, by its number since 1970, and how many it had with a trace. */
  second: number;
  traced: number;
  /** Epoch ms at which a request began to send for all; 0: none does. */
  sendingSince: number;
}

const waiting = new Map<string, Waiting>();

/** `toRow` is called only where there is room for another trace. Never throws. */
export function refuseSoon(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  toRow: () => RefusedRow,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
): void {
  const entry = waiting.get(keyId) ?? { rows: [], more: 0, second: 0, traced: 0, sendingSince: 0 };
  if (!waiting.has(keyId) && waiting.size >= MAX_KEYS) return;
  waiting.set(keyId, entry);
  const second = Math.floor(now / 1_000);
  if (entry.second !== second) {
    entry.second = second;
    entry.traced = 0;
  }
  if (entry.traced < MAX_PER_SECOND) {
    entry.traced++;
    entry.rows.push(toRow());
  } else entry.more++;
  if (now - entry.sendingSince < SENDER_LEASE_MS) return;
  entry.sendingSince = now;
  waitUntil(send(namespace, keyId, entry));
}

async function send(namespace: DurableObjectNamespace<KeyLedger>, keyId: string, entry: Waiting): Promise<void> {
  const endsAt = Date.now() + SENDER_MS;
  await scheduler.wait(GATHER_MS);
  while (Date.now() < endsAt && (entry.rows.length > 0 || entry.more > 0)) {
    const { rows, more } = entry;
    entry.rows = [];
    entry.more = 0;
    await callWithRetry(CALL_LIMIT_MS, async () => namespace.getByName(keyId).refuse(rows, more)).catch(() => {});
    await scheduler.wait(GATHER_MS);
  }
  entry.sendingSince = 0;
  // What came at the end of a flood waits for the next refusal of the key.
  if (entry.rows.length === 0 && entry.more === 0) waiting.delete(keyId);
}
