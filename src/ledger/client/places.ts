/**
 * A client that waits for each answer before it asks again has one request under way, also where the one before is not
 * booked yet: settlements are gathered for some milliseconds, and hold a place of the key's `concurrency` until then.
 *
 * So a refusal for want of a place is not believed at once. What this isolate has to book is booked, and what another one
 * has is waited for, as long as any of them gathers.
 */
import type { KeyLedger } from "../key-ledger.ts";
import type { HeardAnswer } from "./reservation.ts";
import { GATHER_MS, settleNow } from "./settlement.ts";

/** A settlement of another isolate is there by then, where it did not have to be tried twice. */
const SETTLED_WITHIN_MS = GATHER_MS + 20;
/** So many wait for another isolate at a time. A crowd beyond its limit is refused without more calls of its ledger. */
const MAX_WAITING = 8;

/** When the last ones of a key began to wait, epoch ms. */
const waits = new Map<string, readonly number[]>();

/** The answer to a reservation, asked again where its place is about to be free. Rejects as `ask` does. */
export async function whenPlaced(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  waitUntil: (work: Promise<unknown>) => void,
  ask: () => Promise<HeardAnswer>,
): Promise<HeardAnswer> {
  const first = await ask();
  if (!isWithoutPlace(first)) return first;
  const second = (await settleNow(namespace, keyId, waitUntil)) ? await ask() : first;
  if (!isWithoutPlace(second) || !mayWait(keyId, Date.now())) return second;
  await scheduler.wait(SETTLED_WITHIN_MS);
  await settleNow(namespace, keyId, waitUntil);
  return ask();
}

function isWithoutPlace({ answer }: HeardAnswer): boolean {
  return !answer.ok && answer.reason === "concurrency";
}

/** Who left while it waited is not counted for longer than the wait. */
function mayWait(keyId: string, now: number): boolean {
  const waiting = (waits.get(keyId) ?? []).filter((at) => at > now - SETTLED_WITHIN_MS);
  if (waiting.length >= MAX_WAITING) return false;
  waits.delete(keyId);
  waits.set(keyId, [...waiting, now]);
  const [oldest] = waits;
  if (oldest?.[1].every((at) => at <= now - SETTLED_WITHIN_MS)) waits.delete(oldest[0]);
  return true;
}
