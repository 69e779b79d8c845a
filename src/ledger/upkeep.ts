/**
 * What a ledger does between calls, on one alarm: charge reservations that were never settled, delete what is too old,
 * ship traces to the index. Each step may run twice. None may keep the others from running, or the alarm from being set
 * again, because an alarm that keeps failing is dropped by the platform.
 */
import { AlarmSchedule, type Alarms } from "../durable/alarm-schedule.ts";
import { Outbox, type Waiting } from "../durable/outbox.ts";
import { log } from "../lib/log.ts";
import { keyIdOfTrace } from "../traces/schema.ts";
import type { Ledger } from "./ledger.ts";
import type { Parcel, TraceIndexes } from "./outbox.ts";
import type { Escrow } from "./shares/escrow.ts";
import { MAX_TRACES } from "./trace/traces.ts";

/** Traces older than the limit are looked for once a day. */
const AGE_CHECK_MS = 86_400_000;
/** While more traces come than are kept: a busy key would otherwise pile up as many again in between. */
const TRIM_PAUSE_MS = 10_000;
/** How long traces are gathered before they are shipped. */
export const SHIP_DELAY_MS = 1_000;
export const SHIP_BATCH = 50;
/** Between two batches: requests that came meanwhile go first. */
const SHIP_PAUSE_MS = 5;
/** One call to an index. */
const SHIP_LIMIT_MS = 3_000;
/** Shipping ends after it, and goes on with the next alarm: the other steps must not wait for it. */
const SHIP_SLICE_MS = 2_000;
/** While no index takes anything. */
const SHIP_RETRY = { firstMs: 2 * SHIP_DELAY_MS, maxMs: 60_000 };
/** After a step that failed for no reason the ledger knows. */
const RECOVERY_MS = 5_000;

/** Runs `work` in one transaction; it must not be async. */
export type Transact = <T>(work: () => T) => T;

export class Upkeep {
  readonly #ledger: Ledger;
  readonly #transact: Transact;
  readonly #alarms: AlarmSchedule;
  readonly #indexes: TraceIndexes | undefined;
  readonly #escrow: Escrow | null;
  #trimAt = 0;
  #isTrimBehind = false;
  /** `null`: nothing waits to be shipped. */
  #shipAt: number | null = null;
  readonly #shipping: Outbox<Parcel>;

  constructor(
    ledger: Ledger,
    transact: Transact,
    alarms: Alarms,
    indexes: TraceIndexes | undefined,
    escrow: Escrow | null = null,
  ) {
    this.#escrow = escrow;
    this.#ledger = ledger;
    this.#transact = transact;
    this.#alarms = new AlarmSchedule(alarms);
    this.#indexes = indexes;
    const traces: Waiting<Parcel> = {
      next: (after) => ledger.outbox.parcels(SHIP_BATCH, after),
      send: async (parcels) => void (await Promise.all(parcels.map((parcel) => this.#send(parcel)))),
      sent: (parcels) => {
        for (const parcel of parcels) transact(() => ledger.outbox.removeSent(parcel));
      },
      placeOf: ({ places }) => Math.max(0, ...places),
    };
    this.#shipping = new Outbox(traces, SHIP_LIMIT_MS, SHIP_RETRY);
  }

  /** Before the first call is answered: whatever was waiting when the last instance ended gets its alarm again. */
  async start(now: number): Promise<void> {
    if (!this.#ledger.outbox.isEmpty) this.noteTraces(now);
    this.#ledger.attempts.holds.leases.adopt(now);
    await this.arm(now);
  }

  /** Something else is to be looked at by `at`, epoch ms. */
  wakeBy(at: number): Promise<void> {
    return this.#alarms.ringBy(at);
  }

  /** There are traces to ship. */
  noteTraces(now: number): void {
    this.#shipAt ??= now + SHIP_DELAY_MS;
  }

  /** Sees to it that the alarm rings by the time something is due, and not before `notBefore`. */
  async arm(now: number, notBefore = now): Promise<void> {
    if (this.#ledger.outbox.takeNews()) this.noteTraces(now);
    const dueAt = Math.max(notBefore, this.#dueAt(now));
    if (dueAt !== Number.POSITIVE_INFINITY) await this.#alarms.ringBy(dueAt);
  }

  #dueAt(now: number): number {
    const shipAt = this.#indexes === undefined ? null : this.#shipAt;
    const tellAt = this.#escrow?.dueAt ?? Number.POSITIVE_INFINITY;
    const { nextExpiryAt } = this.#ledger.attempts.holds;
    return Math.min(nextExpiryAt, shipAt ?? Number.POSITIVE_INFINITY, this.#trimDueAt(now), tellAt);
  }

  #trimDueAt(now: number): number {
    const { traces, refusals } = this.#ledger;
    const { count } = traces;
    if (this.#isTrimBehind) return now;
    if (count === 0 && refusals.isEmpty) return Number.POSITIVE_INFINITY;
    return Math.max(this.#trimAt, now + (count > MAX_TRACES ? TRIM_PAUSE_MS : AGE_CHECK_MS));
  }

  /** The alarm. Rejects only when the next one cannot be set. */
  async run(): Promise<void> {
    this.#alarms.rang();
    const now = Date.now();
    const isSwept = tried("sweep", () => this.#transact(() => this.#ledger.sweep(now)));
    const isTrimmed = tried("trim", () => this.#trim(now));
    if (this.#escrow !== null && this.#escrow.dueAt <= now) await this.#escrow.run(now);
    if (this.#indexes !== undefined) await this.#ship();
    const endedAt = Date.now();
    await this.arm(endedAt, isSwept && isTrimmed ? endedAt : endedAt + RECOVERY_MS);
  }

  #trim(now: number): void {
    if (now < this.#trimAt) return;
    this.#trimAt = now + TRIM_PAUSE_MS;
    this.#isTrimBehind = false;
    this.#isTrimBehind = this.#transact(() => this.#ledger.trim(now));
    if (this.#isTrimBehind) this.#trimAt = now;
  }

  /** Never rejects. */
  async #ship(): Promise<void> {
    if (this.#shipAt === null || this.#shipAt > Date.now()) return;
    const pauseMs = await this.#shipping.drain({ forMs: SHIP_SLICE_MS, pauseMs: SHIP_PAUSE_MS });
    this.#shipAt = this.#ledger.outbox.isEmpty ? null : Date.now() + pauseMs;
  }

  async #send({ index, ids, rows }: Parcel): Promise<void> {
    if (index === null) {
      tried("give_up", () => this.#transact(() => this.#ledger.giveUp(ids)));
      return;
    }
    const keyId = keyIdOfTrace(ids[0] ?? "") ?? "";
    // A stub that has failed stays broken, so each call makes its own.
    await this.#indexes?.getByName(index).ingest({ keyId, rows });
  }
}

function tried(step: string, work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    log({ event: "ledger_upkeep_failed", step });
    return false;
  }
}
