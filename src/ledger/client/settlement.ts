/**
 * Settlements of one isolate travel in groups: one call to the ledger for all requests that ended together.
 *
 * Requests share plain data only, never a promise or a stub, because either dies with the request that made it and
 * would hang the others (measured in workerd). Each request sees to it, in its own `waitUntil`, that its row was sent:
 * the first one to wake sends all that wait, the others watch, and a batch whose sender fell silent is put back in the
 * queue. A row may therefore be sent twice, which the ledger ignores.
 */
import { isOverloaded } from "../../durable/call.ts";
import { log } from "../../lib/log.ts";
import { withTimeout } from "../../lib/time/with-timeout.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type { SettleAnswer, SettleRow } from "../types.ts";
import { noteGates, settleAt } from "./gates.ts";
import { noteSignOfLife } from "./isolate.ts";
import { Queues } from "./queues.ts";

/** How long rows are gathered before the first to wake sends them. */
export const GATHER_MS = 50;
const MAX_BATCH_ROWS = 200;
/** One call to the ledger, before a fresh stub is tried. */
const CALL_LIMIT_MS = 4_000;
/** A sender shows a sign of life before and after each try: silent for longer than one can last, it is dead. */
const SENDER_SILENCE_MS = 5_000;
/** Within the 30 s that a finished request may go on, and with room for a dead sender's rows to be sent after. */
const GIVE_UP_AFTER_MS = 20_000;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;
/** Before an overloaded ledger is asked again. Below `SENDER_SILENCE_MS`, or the sender would pass for dead. */
const OVERLOAD_PAUSE_MS = 4_000;

/** How long a request that was refused waits for settlements that may set its place free. */
const FLUSH_LIMIT_MS = 1_000;

interface Batch {
  readonly entries: readonly Entry[];
  /** Epoch ms of the sender's last sign of life. */
  aliveAt: number;
}

interface Entry {
  readonly row: SettleRow;
  state: "queued" | "sending" | "settled" | "lost";
  batch: Batch | null;
}

/** Rows that were not taken yet. */
const queues = new Queues<Entry>();

/** What one request brings for the rows it may come to send. */
interface Sender {
  readonly namespace: DurableObjectNamespace<KeyLedger>;
  readonly keyId: string;
  readonly noteAnswer: (answer: SettleAnswer) => void;
}

/**
 * Books a finished request behind the answer. Never throws; a row that cannot be booked in 20 s is logged. What the
 * ledger says of the key goes to `noteAnswer` once per call to it, so to one of those whose rows it held.
 */
export function settleSoon(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  row: SettleRow,
  waitUntil: (work: Promise<unknown>) => void,
  noteAnswer: (answer: SettleAnswer) => void = () => {},
): void {
  const entry: Entry = { row, state: "queued", batch: null };
  queues.add(keyId, entry);
  waitUntil(see({ namespace, keyId, noteAnswer }, entry));
}

/**
 * Books at once what of the key has ended and is still being gathered. `false`: there was nothing. Never rejects, and
 * waits for a second at most: what is not booked by then goes on in `waitUntil`.
 */
export async function settleNow(
  namespace: DurableObjectNamespace<KeyLedger>,
  keyId: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<boolean> {
  if (!queues.has(keyId)) return false;
  const sending = send({ namespace, keyId, noteAnswer: () => {} }, take(keyId), Date.now() + GIVE_UP_AFTER_MS);
  waitUntil(sending);
  await withTimeout(FLUSH_LIMIT_MS, () => sending).catch(() => {});
  return true;
}

/** Stays until `entry` is settled or lost, and does itself what no other request has done. */
async function see(sender: Sender, entry: Entry): Promise<void> {
  await scheduler.wait(GATHER_MS);
  if (isOver(entry)) return;
  const giveUpAt = Date.now() + GIVE_UP_AFTER_MS;
  for (let pauseMs = FIRST_PAUSE_MS; !isOver(entry); ) {
    if (entry.state === "queued") {
      await send(sender, take(sender.keyId), giveUpAt);
      continue;
    }
    const isSenderDead = entry.batch !== null && Date.now() - entry.batch.aliveAt > SENDER_SILENCE_MS;
    if (isSenderDead) {
      requeue(sender.keyId, entry.batch);
      continue;
    }
    // A living sender has the row and logs its loss itself.
    if (Date.now() >= giveUpAt) return;
    await scheduler.wait(pauseMs);
    pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
  }
}

/** Asked through a function: the compiler does not see that other requests change the state during a wait. */
function isOver(entry: Entry): boolean {
  return entry.state === "settled" || entry.state === "lost";
}

/** Takes the oldest waiting rows of a key, so that they are this request's to send. */
function take(keyId: string): Batch {
  const entries = queues.take(keyId, MAX_BATCH_ROWS);
  const batch: Batch = { entries, aliveAt: Date.now() };
  for (const entry of entries) {
    entry.state = "sending";
    entry.batch = batch;
  }
  return batch;
}

function requeue(keyId: string, batch: Batch | null): void {
  for (const entry of batch?.entries ?? []) {
    // The first watcher to notice has put them back, and they may be in a new batch already.
    if (entry.state !== "sending" || entry.batch !== batch) continue;
    entry.state = "queued";
    entry.batch = null;
    queues.add(keyId, entry);
  }
}

async function send(sender: Sender, batch: Batch, giveUpAt: number): Promise<void> {
  const rows = batch.entries.map((entry) => entry.row);
  let settled = false;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    batch.aliveAt = Date.now();
    const result = await trySettle(sender, rows);
    batch.aliveAt = Date.now();
    settled = result === "settled";
    // An overloaded object is not helped by more calls, but these rows exist nowhere else: few calls, far apart.
    if (result === "overloaded") pauseMs = OVERLOAD_PAUSE_MS;
    if (settled || batch.aliveAt + pauseMs >= giveUpAt) break;
    await scheduler.wait(pauseMs);
  }
  for (const entry of batch.entries) entry.state = settled ? "settled" : "lost";
  if (!settled) logUnsettled(sender.keyId, rows);
}

async function trySettle(
  { namespace, keyId, noteAnswer }: Sender,
  rows: SettleRow[],
): Promise<"settled" | "failed" | "overloaded"> {
  try {
    // A stub that has failed stays broken, so each try makes its own.
    const answer = await withTimeout(CALL_LIMIT_MS, () => settleAt(namespace, keyId, rows));
    const { revoked, keyVersion, remainingNanoUsd, freeSlots, leasedNanoUsd, gates } = answer;
    noteSignOfLife(keyId, Date.now());
    noteGates(keyId, gates, Date.now());
    noteAnswer({
      ...{ revoked, keyVersion, remainingNanoUsd },
      ...(freeSlots === undefined ? {} : { freeSlots }),
      ...(leasedNanoUsd === undefined ? {} : { leasedNanoUsd }),
    });
    return "settled";
  } catch (error) {
    return isOverloaded(error) ? "overloaded" : "failed";
  }
}

/** Last record of spend that could not be booked. Ids and amounts only. */
function logUnsettled(keyId: string, rows: readonly SettleRow[]): void {
  log({
    event: "spend_unsettled",
    key_id: keyId,
    rows: rows.map((row) => `${row.id}:${row.costNanoUsd ?? "unpriced"}`).join(" "),
  });
}
