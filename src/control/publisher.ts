/**
 * When the control plane writes to KV, and what its one alarm is set to.
 *
 * Two lanes that never wait for each other: what operators change, which is sent at once and waited for, and the list
 * of open breakers, which is sent behind the answer and at most once a second. What KV does not take is sent again by
 * the alarm, which is armed together with the change: a change reaches KV even when the object dies right after it.
 */
import { AlarmSchedule, type Alarms } from "../durable/alarm-schedule.ts";
import { Backoff } from "../durable/backoff.ts";
import { JURISDICTION_KEY, jurisdictionRecord } from "../durable/jurisdiction.ts";
import { log } from "../lib/log.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { KvOutbox } from "./kv-outbox.ts";
import { HEALTH_KEY, type OpenTarget, TargetHealthTable } from "./target-health.ts";
import type { TargetHealthChange } from "./types.ts";

/** How long a change of an operator waits for KV before it answers; sending goes on behind the answer. */
const PUBLISH_WAIT_MS = 10_000;
/** How long the alarm waits for KV: while it runs, the next one cannot. */
const ALARM_WAIT_MS = 2_000;
/** When the alarm looks after a change whose own sending did not report back. */
const GUARD_DELAY_MS = 30_000;
/** KV takes one write per key and second. */
const HEALTH_EVERY_MS = 1_000;

/** After drains that left something. The first pause is above a second, because KV takes one write per key and second. */
const RETRY = { firstMs: 1_500, maxMs: 60_000 };

/** In memory. Lost on eviction, which only makes the next try earlier. */
interface LaneState {
  readonly backoff: Backoff;
  /** Epoch ms of the next try by the alarm; `null` while nothing waits. */
  dueAt: number | null;
}

export class Publisher {
  readonly #alarms: AlarmSchedule;
  readonly #outbox: KvOutbox;
  readonly #healthOutbox: KvOutbox;
  readonly #health: TargetHealthTable;
  readonly #operatorLane: LaneState;
  readonly #healthLane: LaneState;
  #isHealthOnItsWay = false;
  /** What else the object has its alarm for, epoch ms. */
  readonly #otherDueAt: () => number | null;
  /** Sent with the first change since this object woke up; `null`: sent, or the deployment has no jurisdiction. */
  #unsentRecord: string | null;

  constructor(
    sql: SqlStorage,
    kv: Pick<KVNamespace, "put" | "delete">,
    alarms: Alarms,
    now: number,
    otherDueAt: () => number | null = () => null,
    jurisdiction = "",
  ) {
    this.#otherDueAt = otherDueAt;
    this.#unsentRecord = jurisdiction === "" ? null : jurisdictionRecord(jurisdiction);
    this.#alarms = new AlarmSchedule(alarms);
    this.#health = new TargetHealthTable(sql);
    this.#outbox = new KvOutbox(sql, kv);
    // Made while it is sent: of many changes within a second only the last list is ever written down.
    this.#healthOutbox = new KvOutbox(sql, kv, "health", (_, at) => this.#health.document(at));
    this.#operatorLane = { backoff: new Backoff(RETRY), dueAt: this.#outbox.waiting() > 0 ? now : null };
    this.#healthLane = { backoff: new Backoff(RETRY), dueAt: this.#healthOutbox.waiting() > 0 ? now : null };
  }

  /** Notes what KV must hold under `key`; `null`: nothing. Belongs to the caller's transaction. */
  add(key: string, value: string | null, seq: number): void {
    // Before the first change, so that KV never has a deployment's data without its jurisdiction.
    if (this.#unsentRecord !== null) this.#outbox.add(JURISDICTION_KEY, this.#unsentRecord, seq);
    this.#unsentRecord = null;
    this.#outbox.add(key, value, seq);
  }

  /** Arms the alarm for what was just added. To be called right behind its transaction: both are then one commit. */
  guard(now: number): void {
    this.#operatorLane.dueAt = Math.min(this.#operatorLane.dueAt ?? Number.POSITIVE_INFINITY, now + GUARD_DELAY_MS);
    this.#armUnawaited();
  }

  /** What is due may have changed elsewhere. Never rejects. */
  async rearm(): Promise<void> {
    await this.#arm().catch(() => {});
  }

  /** Number of KV keys of operators' changes that do not hold their newest value yet. */
  waiting(): number {
    return this.#outbox.waiting();
  }

  /** Sends what operators changed. Ends when KV has it, or after 10 s while sending goes on. Never rejects. */
  async publish(): Promise<void> {
    await this.#publishWithin(PUBLISH_WAIT_MS);
  }

  /** Keeps a change of a breaker; repeatable. Belongs to a transaction of its own, with `publishHealth` behind it. */
  noteTargetHealth(change: TargetHealthChange, now: number): void {
    const at = this.#health.note(change, now);
    if (at !== null) this.#healthOutbox.add(HEALTH_KEY, "", at);
  }

  openTargets(): OpenTarget[] {
    return this.#health.open();
  }

  /** Sends the list of open breakers when it waits and its second is over; else the alarm does. Never rejects. */
  async publishHealth(now: number): Promise<void> {
    // The running sender looks at what waits when it is back.
    if (this.#isHealthOnItsWay) return;
    if (this.#healthOutbox.waiting() === 0) {
      this.#healthLane.dueAt = null;
      return;
    }
    const pauseUntil = this.#health.sentAt() + HEALTH_EVERY_MS;
    // A pause that would last longer is from before the clock was set back.
    if (now < pauseUntil && pauseUntil <= now + HEALTH_EVERY_MS) {
      this.#healthLane.dueAt = pauseUntil;
      await this.#arm();
      return;
    }
    this.#isHealthOnItsWay = true;
    this.#health.noteSent(now);
    this.#healthLane.dueAt = now + GUARD_DELAY_MS;
    this.#armUnawaited();
    const refused = await this.#healthOutbox.drain();
    this.#isHealthOnItsWay = false;
    await this.#afterHealth(refused, Date.now());
  }

  /** Sends what is due. Arms the next alarm whatever happens. */
  async onAlarm(now: number): Promise<void> {
    this.#alarms.rang();
    const work: Promise<void>[] = [];
    if (isDue(this.#operatorLane, now)) work.push(this.#publishWithin(ALARM_WAIT_MS));
    if (isDue(this.#healthLane, now)) {
      // While a write hangs there is nothing to do but to look again.
      if (this.#isHealthOnItsWay) this.#healthLane.dueAt = now + GUARD_DELAY_MS;
      else work.push(withTimeout(ALARM_WAIT_MS, () => this.publishHealth(now)).catch(() => {}));
    }
    await Promise.all(work);
    await this.#arm();
  }

  async #publishWithin(waitMs: number): Promise<void> {
    const lane = this.#operatorLane;
    // `null`: KV takes longer than that.
    const refused = await withTimeout(waitMs, () => this.#outbox.drain()).catch(() => null);
    const waiting = this.#outbox.waiting();
    if (refused === 0 || waiting === 0) {
      lane.backoff.succeed();
      // What still waits came meanwhile: the call that changed it sends it next.
      lane.dueAt = waiting === 0 ? null : Date.now() + GUARD_DELAY_MS;
    } else {
      lane.dueAt = Date.now() + lane.backoff.fail();
      log({ event: "publication_delayed", waiting, failures: lane.backoff.failures });
    }
    await this.#arm();
  }

  async #afterHealth(refused: number, now: number): Promise<void> {
    const lane = this.#healthLane;
    // From the end of the write: KV counts from its arrival, which only KV knows.
    this.#health.noteSent(now);
    if (refused > 0) {
      lane.dueAt = now + lane.backoff.fail();
      log({ event: "health_publication_delayed", failures: lane.backoff.failures });
    } else {
      lane.backoff.succeed();
      lane.dueAt = this.#healthOutbox.waiting() > 0 ? now + HEALTH_EVERY_MS : null;
    }
    await this.#arm();
  }

  /** Writes without an await between them reach the disk together: the alarm with what it looks after. */
  #armUnawaited(): void {
    // Storage that fails resets the object, and with it what this alarm was for.
    this.#arm().catch(() => {});
  }

  /** One alarm for both lanes: the earlier of what they wait for. */
  #arm(): Promise<void> {
    const dueTimes = [this.#operatorLane.dueAt, this.#healthLane.dueAt, this.#otherDueAt()].filter((at) => at !== null);
    return this.#alarms.setTo(dueTimes.length === 0 ? null : Math.min(...dueTimes));
  }
}

const isDue = ({ dueAt }: LaneState, now: number): boolean => dueAt !== null && dueAt <= now;
