/**
 * ProviderHealth: one Durable Object per target, where isolates put together what they saw of it.
 *
 * Kept in SQLite, so that an eviction does not forget an open breaker, its ejections or a lease: those are written with
 * the report that changes them. Counts and latencies are written once a second at most, so an eviction may cost the last
 * second of them. Reports are sums and not repeatable, the one exception to the house rule: a caller reports once
 * and never retries, because a lost sum only delays a decision and a doubled one distorts it.
 *
 * A breaker that changes is announced to the control plane, which publishes it for cold isolates: at once behind the
 * report, and by alarm until it was taken.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../config.ts";
import { inJurisdiction } from "../config.ts";
import type { TargetHealthChange } from "../control/types.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { Outbox } from "../durable/outbox.ts";
import {
  type Breaker,
  breakerState,
  CLOSED_BREAKER,
  ejectionsAt,
  isAhead,
  leaseMsOf,
  MAX_COOLDOWN_MS,
  recordEvidence,
  sumWindow,
  votesAt,
} from "./breaker.ts";
import { CacheRecord } from "./cache-schema.sql.ts";
import { HealthTables, NO_FACTS, type TargetFacts } from "./health-schema.sql.ts";
import { FailureRecord } from "./last-failure.sql.ts";
import { LatencyWindow, sliceStart, WINDOW_MS } from "./quantile.ts";
import type { HealthAnswer, HealthDelta, HealthSnapshot, LatencySummary, TargetDetails } from "./types.ts";
import { UNCLEAN_MS } from "./unclean.ts";

const FLUSH_EVERY_MS = 1_000;
/** Quantiles change slowly and are what a report costs most. */
const SUMMARY_CACHE_MS = 250;
const IDLE_MS = 86_400_000;
/** A target that goes on breaking rules is noted again this long after it was noted last. */
const UNCLEAN_RENEWED_MS = 600_000;
/** The name of the one control plane. */
const CONTROL_PLANE = "control";
const ANNOUNCE_LIMIT_MS = 5_000;
const FIRST_RETRY_MS = 2_000;
const MAX_RETRY_MS = 60_000;

interface Windows {
  readonly firstToken: LatencyWindow;
  readonly total: LatencyWindow;
}

interface Summaries {
  readonly at: number;
  readonly firstToken: LatencySummary | null;
  readonly total: LatencySummary | null;
}

/** The one method of the control plane that is called here. */
interface Announcer {
  noteTargetHealth(change: TargetHealthChange): Promise<void>;
}

export class ProviderHealth extends DurableObject<Env> {
  readonly #tables: HealthTables;
  #facts: TargetFacts;
  /** As they are stored. */
  #saved: TargetFacts;
  #breaker: Breaker;
  #windows: Windows;
  readonly #cache = new CacheRecord(this.ctx.storage.sql);
  readonly #failures = new FailureRecord(this.ctx.storage.sql);
  #summaries: Summaries | null = null;
  /** Until then, epoch ms, streams of the target are read event by event. */
  #uncleanUntil: number;
  /** Starts of the slices that hold more than their stored rows. */
  readonly #unsaved = new Set<number>();
  #flushedAt = 0;
  readonly #alarms: AlarmSchedule;
  readonly #announcements: Outbox<TargetHealthChange>;

  constructor(ctx: DurableObjectState, bound: Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#tables = new HealthTables(ctx.storage.sql);
    const { facts, breaker, firstToken, total, uncleanUntil } = this.#tables.load();
    this.#uncleanUntil = uncleanUntil;
    this.#facts = this.#saved = facts;
    this.#breaker = breaker;
    this.#windows = { firstToken: new LatencyWindow(firstToken), total: new LatencyWindow(total) };
    this.#alarms = new AlarmSchedule(ctx.storage);
    const changes = {
      next: () => this.#unannounced(),
      send: async ([change]: readonly TargetHealthChange[]) => {
        // The platform's own stub type cannot follow all of the control plane's methods.
        const control = env.CONTROL_PLANE.getByName(CONTROL_PLANE) as unknown as Announcer;
        if (change !== undefined) await control.noteTargetHealth(change);
      },
      sent: ([change]: readonly TargetHealthChange[]) => this.#noteAnnounced(change?.at ?? 0),
    };
    this.#announcements = new Outbox(changes, ANNOUNCE_LIMIT_MS, { firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS });
  }

  /** Adds what an isolate saw and answers what all of them saw. Not repeatable: never retry it. */
  async report(delta: HealthDelta): Promise<HealthAnswer> {
    const now = Date.now();
    const next = recordEvidence(this.#breaker, delta, now);
    this.#windows.firstToken.merge(delta.firstToken, now);
    this.#windows.total.merge(delta.total, now);
    this.#cache.add(delta.prompts, now);
    this.#facts = { ...this.#facts, cooldownUntil: this.#cooldownWith(delta.cooldownMs, now), seenAt: now };
    // Latencies are counted in the slice of now, outcomes in the newest one.
    this.#unsaved.add(sliceStart(now));
    const newest = next.buckets.at(-1);
    if (newest !== undefined) this.#unsaved.add(newest.startAt);
    this.#failures.note(delta.lastFailure, now);
    const hasChanged = this.#become(next, now);
    if (delta.isUnclean === true) this.#becomeUnclean(now);
    this.#flush(now);
    if (hasChanged) this.ctx.waitUntil(this.#announcements.drain());
    await this.#alarms.ringBy(hasChanged ? now + FIRST_RETRY_MS : now + IDLE_MS);
    return { ...this.#snapshotAt(now), leaseMs: leaseMsOf(next, delta.isolate, now) };
  }

  /** What is known of the target; `null` when it was never reported on, or not for a day. Writes nothing. */
  async snapshot(): Promise<HealthSnapshot | null> {
    return this.#facts.seenAt === 0 ? null : this.#snapshotAt(Date.now());
  }

  /** The same with what operators ask for. */
  async details(): Promise<TargetDetails | null> {
    const now = Date.now();
    if (this.#facts.seenAt === 0) return null;
    const openings = this.#failures.openings(now);
    const penalties = votesAt(this.#breaker, now);
    return { ...this.#snapshotAt(now), openings, penalties, lastFailure: this.#failures.last };
  }

  /** Announces what could not be announced, and forgets a target that had no report for a day. Never throws. */
  override async alarm(): Promise<void> {
    this.#alarms.rang();
    try {
      await this.#tidy(Date.now());
    } catch {
      // Storage that fails may work again later; an error would only use up the platform's own retries.
      await this.#alarms.setTo(Date.now() + MAX_RETRY_MS).catch(() => {});
    }
  }

  async #tidy(now: number): Promise<void> {
    // Readers of the published states must not wait for a forgotten breaker.
    if (this.#isIdle(now) && this.#breaker.isOpen) this.#become(CLOSED_BREAKER, now);
    await this.#announcements.drain();
    const dueAt = this.#announcements.dueAt(Date.now());
    if (dueAt !== null) await this.#alarms.ringBy(dueAt);
    else if (this.#isIdle(Date.now())) await this.#forget();
    else await this.#alarms.ringBy(this.#facts.seenAt + IDLE_MS);
  }

  #becomeUnclean(now: number): void {
    // Written once in a while: an isolate that reads event by event reports nothing more.
    const isKnown = isAhead(this.#uncleanUntil, now + UNCLEAN_MS - UNCLEAN_RENEWED_MS, UNCLEAN_MS);
    if (isKnown) return;
    this.#uncleanUntil = now + UNCLEAN_MS;
    this.#tables.saveUnclean(this.#uncleanUntil);
  }

  #cooldownWith(wishMs: number, now: number): number {
    const { cooldownUntil } = this.#facts;
    const running = isAhead(cooldownUntil, now, MAX_COOLDOWN_MS) ? cooldownUntil : 0;
    return wishMs > 0 ? Math.max(running, now + Math.min(MAX_COOLDOWN_MS, wishMs)) : running;
  }

  /** Takes over the next state and writes at once what an eviction must not lose. True when others must hear of it. */
  #become(next: Breaker, now: number): boolean {
    const before = this.#breaker;
    this.#breaker = next;
    const hasChanged =
      next.isOpen !== before.isOpen || next.openUntil !== before.openUntil || next.openFor !== before.openFor;
    if (!hasChanged && next.lease === before.lease) return false;
    // Rising, also where the clock went back: of two changes the control plane believes the later one.
    if (hasChanged) this.#facts = { ...this.#facts, changedAt: Math.max(now, this.#facts.changedAt + 1) };
    this.ctx.storage.transactionSync(() => {
      this.#saveTarget();
      if (hasChanged) this.#tables.clearOutcomes();
      if (hasChanged && next.isOpen && next.openUntil !== before.openUntil) {
        this.#failures.noteOpening(next.openUntil, now);
      }
    });
    return hasChanged;
  }

  #saveTarget(): void {
    const { target } = this.#facts;
    this.#facts = { ...this.#facts, target: target === "" ? (this.ctx.id.name ?? "") : target };
    this.#tables.saveTarget(this.#facts, this.#breaker);
    this.#saved = this.#facts;
  }

  /** Does the stored row tell too little? That somebody reported is worth a row only now and then. */
  #isTargetStale(now: number): boolean {
    const isNew = this.#saved.cooldownUntil !== this.#facts.cooldownUntil;
    return isNew || !isAhead(this.#saved.seenAt + WINDOW_MS, now, WINDOW_MS);
  }

  #flush(now: number): void {
    if (isAhead(this.#flushedAt + FLUSH_EVERY_MS, now, FLUSH_EVERY_MS)) return;
    this.#flushedAt = now;
    const slices = [...this.#unsaved].map((startAt) => ({
      bucket: this.#breaker.buckets.find((bucket) => bucket.startAt === startAt) ?? { ...NO_OUTCOMES, startAt },
      firstToken: this.#windows.firstToken.rowsAt(startAt),
      total: this.#windows.total.rowsAt(startAt),
    }));
    this.ctx.storage.transactionSync(() => {
      if (this.#isTargetStale(now)) this.#saveTarget();
      this.#tables.saveSlices(slices);
      this.#tables.dropSlices(now - WINDOW_MS, now + WINDOW_MS);
    });
    this.#unsaved.clear();
  }

  #snapshotAt(now: number): HealthSnapshot {
    const { successes, failures, rateLimited } = sumWindow(this.#breaker.buckets, now);
    const { firstToken, total } = this.#summariesAt(now);
    return {
      at: now,
      state: breakerState(this.#breaker, now),
      openUntil: this.#breaker.openUntil,
      openFor: this.#breaker.openFor,
      cooldownUntil: this.#facts.cooldownUntil,
      ejections: ejectionsAt(this.#breaker, now),
      requests: successes + failures,
      failures,
      rateLimited,
      firstToken,
      total,
      uncleanUntil: this.#uncleanUntil,
      cachedShare: this.#cache.shareAt(now),
    };
  }

  #summariesAt(now: number): Summaries {
    const known = this.#summaries;
    if (known !== null && isAhead(known.at + SUMMARY_CACHE_MS, now, SUMMARY_CACHE_MS)) return known;
    const { firstToken, total } = this.#windows;
    const fresh = { at: now, firstToken: firstToken.summary(now), total: total.summary(now) };
    this.#summaries = fresh;
    return fresh;
  }

  /** What the control plane does not know yet: the newest change, which stands for those before it. */
  #unannounced(): readonly TargetHealthChange[] {
    const { target, changedAt, announcedAt } = this.#facts;
    if (changedAt <= announcedAt || target === "") return [];
    const { isOpen, openUntil, openFor } = this.#breaker;
    return [{ target, isOpen, openUntil, openFor, at: changedAt, class: this.#failures.last?.class }];
  }

  #noteAnnounced(at: number): void {
    // A later change may have been taken before this one; an object that was forgotten meanwhile stays forgotten.
    if (this.#facts.announcedAt >= at || this.#facts.target === "") return;
    this.#facts = { ...this.#facts, announcedAt: at };
    this.#saveTarget();
  }

  #isIdle(now: number): boolean {
    return Math.abs(now - this.#facts.seenAt) >= IDLE_MS;
  }

  async #forget(): Promise<void> {
    this.#facts = this.#saved = NO_FACTS;
    this.#breaker = CLOSED_BREAKER;
    this.#windows = { firstToken: new LatencyWindow(), total: new LatencyWindow() };
    this.#summaries = null;
    this.#uncleanUntil = 0;
    this.#cache.forget();
    this.#failures.forget();
    this.#unsaved.clear();
    this.#tables.forget();
    await this.ctx.storage.deleteAll();
  }
}

const NO_OUTCOMES = { successes: 0, failures: 0, rateLimited: 0 };
