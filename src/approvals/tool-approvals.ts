/**
 * ToolApprovals: one Durable Object per API key, the record of the tool calls its gated answers made, and of who
 * decided them.
 *
 * Each call is one transaction and may be repeated. A held answer waits inside the object: the decision, another call of
 * the same object, wakes it. What waits is lost with the object, which costs its caller one more call. Calls that
 * somebody has to decide are announced to the control plane, with every decision, until it has taken them.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction } from "../config.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { Outbox } from "../durable/outbox.ts";
import { eraseRecord } from "./erase.ts";
import { CallRecord } from "./record.ts";
import type {
  AnswerToRecord,
  Approval,
  ApprovalNote,
  ApprovalOutline,
  CheckAnswer,
  DecideAnswer,
  Decision,
  RecordAnswer,
  ResultClaim,
  Ruling,
  StoredStep,
} from "./types.ts";

/** The longest turn of a wait: while one lasts the object cannot leave memory. */
const MAX_TURN_MS = 20_000;
const NOTES_AT_A_TIME = 100;
const ANNOUNCE_LIMIT_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
const PRUNE_EVERY_MS = 86_400_000;
/** Name of the one control plane of a deployment. */
const CONTROL_PLANE = "control";

interface ControlPlanes {
  getByName(name: string): { noteApprovals(notes: readonly ApprovalNote[]): Promise<void> };
}

export class ToolApprovals extends DurableObject {
  readonly #record: CallRecord;
  readonly #waiters = new Map<string, Set<() => void>>();
  readonly #alarms: AlarmSchedule;
  readonly #notes: Outbox<ApprovalNote>;

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#record = ctx.storage.transactionSync(() => new CallRecord(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
    const planes: ControlPlanes = env.CONTROL_PLANE;
    const notes = {
      next: () => this.#record.unsent(NOTES_AT_A_TIME),
      send: (batch: readonly ApprovalNote[]) => planes.getByName(CONTROL_PLANE).noteApprovals(batch),
      sent: (batch: readonly ApprovalNote[]) => ctx.storage.transactionSync(() => this.#record.noteSent(batch)),
    };
    this.#notes = new Outbox(notes, ANNOUNCE_LIMIT_MS, { firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS });
  }

  async record(answer: AnswerToRecord): Promise<RecordAnswer> {
    const now = Date.now();
    const recorded = this.ctx.storage.transactionSync(() => this.#record.record(answer, now));
    await this.#announceSoon(now);
    return recorded;
  }

  /** May these results go on to a model? See `CallRecord.check`. */
  async check(claims: readonly ResultClaim[], isGated = false, app: string | null = null): Promise<CheckAnswer> {
    return this.ctx.storage.transactionSync(() => this.#record.check(claims, isGated, app, Date.now()));
  }

  /** What a held answer was, `null` when the key has no such step. */
  async step(traceId: string): Promise<StoredStep | null> {
    return this.#record.step(traceId, Date.now());
  }

  /** Returns as soon as nothing of the answer is pending, or after `waitMs`. `null`: it was never recorded. */
  async waitFor(traceId: string, waitMs: number): Promise<Ruling | null> {
    const until = Date.now() + Math.min(waitMs, MAX_TURN_MS);
    for (;;) {
      const now = Date.now();
      const ruling = this.#record.ruling(traceId, now);
      const isOpen = ruling?.calls.some(({ status }) => status === "pending") ?? false;
      if (ruling === null || !isOpen || now >= until) return ruling;
      await this.#woken(traceId, Math.min(until, ruling.expiresAt) - now);
    }
  }

  async decide(decision: Decision): Promise<DecideAnswer> {
    const now = Date.now();
    const answer = this.ctx.storage.transactionSync(() => this.#record.decide(decision, now));
    const traceId = answer.ok ? this.#record.traceOf(decision.id) : null;
    for (const wake of this.#waiters.get(traceId ?? "") ?? []) wake();
    await this.#announceSoon(now);
    return answer;
  }

  async show(ids: readonly string[]): Promise<Approval[]> {
    return this.#record.show(ids, Date.now());
  }

  /** See `CallRecord.outline`. */
  async outline(ids: readonly string[]): Promise<ApprovalOutline[]> {
    return this.#record.outline(ids, Date.now());
  }

  async argumentsOf(ids: readonly string[]): Promise<string[]> {
    return this.#record.argumentsOf(ids);
  }

  /** Erases what the calls said; those that were never approved stay refused. */
  async erase(): Promise<void> {
    this.ctx.storage.transactionSync(() => eraseRecord(this.ctx.storage.sql));
  }

  /** Announces what could not be announced, and forgets what is too old. Running it twice changes nothing more. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#alarms.rang();
    const hasMore = this.ctx.storage.transactionSync(() => this.#record.prune(now));
    if (this.#record.isEmpty()) return;
    await this.#alarms.setTo(now + (hasMore ? FIRST_RETRY_MS : PRUNE_EVERY_MS));
    await this.#announce();
  }

  async #woken(traceId: string, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const all = this.#waiters.get(traceId) ?? new Set();
    this.#waiters.set(traceId, all.add(resolve));
    const timer = setTimeout(resolve, Math.max(1, ms));
    await promise;
    clearTimeout(timer);
    all.delete(resolve);
    if (all.size === 0) this.#waiters.delete(traceId);
  }

  /** At once behind the answer; the alarm, set before, comes when that fails or the object dies. */
  async #announceSoon(now: number): Promise<void> {
    await this.#alarms.ringBy(now + (this.#notes.isEmpty ? PRUNE_EVERY_MS : FIRST_RETRY_MS));
    if (!this.#notes.isEmpty) this.ctx.waitUntil(this.#announce());
  }

  /** Never rejects. What was not taken is left to the alarm. */
  async #announce(): Promise<void> {
    await this.#notes.drain();
    const dueAt = this.#notes.dueAt(Date.now());
    if (dueAt !== null) await this.#alarms.ringBy(dueAt).catch(() => {});
  }
}
