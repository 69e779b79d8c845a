/**
 * The signs of life of an isolate: what its requests hold in a key's ledger is held for as long as they come.
 *
 * Every call to the ledger is one. A request that has been running for 10 s sees to it that there is one every 10 s, so
 * shorter requests add no call and any number of longer ones of a key add one between them. No request waits for another,
 * and a call that fails leaves two more before the lease of 30 s is over.
 */
import { withTimeout } from "../../lib/time/with-timeout.ts";
import type { KeyLedger } from "../key-ledger.ts";
import type { Reservation, SettleAnswer } from "../types.ts";
import { isolateName, noteSignOfLife, silentFor } from "./isolate.ts";
import { reserveTogether } from "./reservation.ts";

/** Between two signs of life, and the age from which a request gives them. */
export const BEAT_MS = 10_000;
/** The age from which a request of a key without budget and limits is on record, in case its isolate dies. */
export const START_ROW_MS = 1_000;
/** Starts of one isolate travel together. */
const START_GATHER_MS = 100;
const CALL_LIMIT_MS = 4_000;
export interface WatchInput {
  readonly namespace: DurableObjectNamespace<KeyLedger>;
  readonly keyId: string;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** What a ledger says that was renewed. */
  readonly onRenewed: (answer: SettleAnswer) => void;
  /** For a request that reserves nothing: what is put on record once it has been running for a second. */
  readonly startRow: (() => Reservation | null) | null;
}

/** Keeps what one request holds alive, from when it began to `stop`. */
export class Watch {
  readonly #input: WatchInput;
  readonly #startedAt: number;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #isOver = false;

  constructor(input: WatchInput, now: number) {
    this.#input = input;
    this.#startedAt = now;
    this.#wait(input.startRow === null ? BEAT_MS : START_ROW_MS);
  }

  /** The request is settled. Repeatable. */
  stop(): void {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#wake(), ms);
  }

  #wake(): void {
    if (this.#isOver) return;
    const { keyId, startRow } = this.#input;
    const now = Date.now();
    const age = now - this.#startedAt;
    if (startRow !== null && age < BEAT_MS) {
      const row = startRow();
      if (row !== null) this.#record(row, now);
      this.#wait(BEAT_MS - age);
      return;
    }
    const silentMs = silentFor(keyId, now);
    if (silentMs >= BEAT_MS) this.#renew(now);
    this.#wait(silentMs >= BEAT_MS ? BEAT_MS : BEAT_MS - silentMs);
  }

  #record(row: Reservation, now: number): void {
    const { namespace, keyId, waitUntil } = this.#input;
    noteSignOfLife(keyId, now);
    // Whatever comes of it, the request goes on: it has nothing to be refused.
    waitUntil(reserveTogether(namespace, keyId, row, waitUntil, START_GATHER_MS));
  }

  #renew(now: number): void {
    const { namespace, keyId, waitUntil, onRenewed } = this.#input;
    // At once, so that the others that wake now leave it to this one.
    noteSignOfLife(keyId, now);
    const renew = async (): Promise<SettleAnswer> => await namespace.getByName(keyId).renew(isolateName());
    const work = withTimeout(CALL_LIMIT_MS, renew).then(onRenewed, () => {});
    waitUntil(work);
  }
}
