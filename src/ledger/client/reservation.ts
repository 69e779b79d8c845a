/**
 * Reservations that are requested in parallel with their calls travel in groups: one call to the ledger, and one write
 * of it, for all requests of a key that began together.
 *
 * As with settlements, requests share plain data only, never a promise or a stub: either dies with the request that
 * made it. The first one to wake asks for all that wait; the others look for their answer. Who finds none asks for
 * itself: the ledger holds the same reservation once, however often it is sent.
 */
import { isOverloaded } from "../../durable/call.ts";
import { withTimeout } from "../../lib/time/with-timeout.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type { Reservation, ReserveAnswer, Unavailable } from "../types.ts";
import { reserveAt } from "./gates.ts";
import { Queues } from "./queues.ts";

/** How long reservations are gathered. No provider answers sooner, so this adds no latency. */
export const GATHER_MS = 4;
const MAX_GROUP = 100;
/** One call for a group. Below what a request waits for its reservation: it must still be able to ask for itself. */
const GROUP_LIMIT_MS = 1_000;
/** After which a sender that has not answered is taken for dead. */
const SENDER_LIMIT_MS = GROUP_LIMIT_MS + 100;
/** Between two looks for an answer: a third of what it has taken so far, in these bounds. */
const MIN_LOOK_MS = 2;
const MAX_LOOK_MS = 16;

export interface HeardAnswer {
  readonly answer: ReserveAnswer | Unavailable;
  /** When it came from the ledger, epoch ms: who shares a call may see it later than somebody sees a newer one. */
  readonly heardAt: number;
}

interface Entry {
  readonly reservation: Reservation;
  /** Epoch ms. */
  readonly queuedAt: number;
  /** `null`: waiting, or with a sender that has no answer yet. */
  answer: HeardAnswer | "ask_alone" | null;
  /** Epoch ms; `null`: not taken yet. */
  sentAt: number | null;
}

/** Entries that were not taken yet. */
const queues = new Queues<Entry>();

/** Are reservations of the key waiting? A caller that skips the queue must include these: they came first. */
export function isGathering(keyId: string): boolean {
  return queues.has(keyId);
}

/**
 * The ledger's answer to a reservation, asked for together with others: at once, or after a time to gather them. `null`:
 * it is to be asked for alone. Never rejects. What this request sends for others goes on in `waitUntil` when its client
 * leaves.
 */
export async function reserveTogether(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  reservation: Reservation,
  waitUntil: (work: Promise<unknown>) => void,
  gatherMs: number,
): Promise<HeardAnswer | null> {
  const entry: Entry = { reservation, queuedAt: Date.now(), answer: null, sentAt: null };
  queues.add(keyId, entry);
  if (gatherMs > 0) await scheduler.wait(gatherMs);
  while (isWaiting(entry)) {
    const sending = send(namespace, keyId, take(keyId));
    waitUntil(sending);
    await sending;
  }
  while (entry.answer === null) {
    const waitedMs = Date.now() - (entry.sentAt ?? 0);
    if (waitedMs > SENDER_LIMIT_MS) return null;
    await scheduler.wait(Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, waitedMs / 3)));
  }
  return entry.answer === "ask_alone" ? null : entry.answer;
}

/** Asked through a function: the compiler does not see that other requests change it during a wait. */
function isWaiting(entry: Entry): boolean {
  return entry.sentAt === null;
}

function take(keyId: string): readonly Entry[] {
  const taken = queues.take(keyId, MAX_GROUP);
  const now = Date.now();
  // Waiters collect their entries promptly. An older one belongs to a dead request and would never be released.
  const isFresh = ({ queuedAt }: Entry): boolean => now - queuedAt <= SENDER_LIMIT_MS;
  for (const entry of taken) {
    entry.sentAt = now;
    if (!isFresh(entry)) entry.answer = "ask_alone";
  }
  return taken.filter(isFresh);
}

async function send(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  entries: readonly Entry[],
): Promise<void> {
  if (entries.length === 0) return;
  const reservations = entries.map(({ reservation }) => reservation);
  const ask = async (): Promise<readonly (ReserveAnswer | Unavailable)[]> =>
    await reserveAt(namespace, keyId, reservations);
  try {
    const answers = await withTimeout(GROUP_LIMIT_MS, ask);
    const heardAt = Date.now();
    for (const [index, entry] of entries.entries()) {
      const answer = answers[index];
      entry.answer = answer === undefined ? "ask_alone" : { answer, heardAt };
    }
  } catch (error) {
    // An overloaded object is not helped by a call of each.
    const unavailable: HeardAnswer = { answer: { ok: false, reason: "unavailable" }, heardAt: Date.now() };
    for (const entry of entries) entry.answer = isOverloaded(error) ? unavailable : "ask_alone";
  }
}
