/**
 * SpendArchive: one Durable Object per environment and UTC month, named `<env>:<YYYY-MM>`. It keeps what its days used:
 * by the day for 400 days, per key and month for as long as the deployment lives. A year is twelve calls.
 *
 * Fed by the objects of the trail; nothing of a request waits for it.
 */
import { DurableObject } from "cloudflare:workers";
import { inJurisdiction } from "../config.ts";
import { AlarmSchedule } from "../durable/alarm-schedule.ts";
import { archiveMonth, DAY_MS, nextMonth } from "../trace-index/calendar.ts";
import type { AdjustmentBatch } from "../trace-index/store/store-adjust.ts";
import type { ArchivedDay } from "../trace-index/usage.ts";
import type { UsageQuestion, UsageSum } from "../trace-index/usage-query.ts";
import { type ArchiveAnswer, ArchiveStore, KEPT_DAYS } from "./store.ts";

const ALARM_RETRY_MS = 3_600_000;

export class SpendArchive extends DurableObject<Cloudflare.Env> {
  readonly #store: ArchiveStore;
  readonly #alarms: AlarmSchedule;

  constructor(ctx: DurableObjectState, bound: Cloudflare.Env) {
    const env = inJurisdiction(bound);
    super(ctx, env);
    this.#store = ctx.storage.transactionSync(() => new ArchiveStore(ctx.storage.sql));
    this.#alarms = new AlarmSchedule(ctx.storage);
  }

  /** Repeatable: an older copy of a day changes nothing. */
  async putDay(day: ArchivedDay): Promise<void> {
    const month = this.#month();
    if (Date.now() >= this.#daysEnd(month)) return;
    this.ctx.storage.transactionSync(() => this.#store.putDay(day, month));
    await this.#alarms.ringBy(this.#daysEnd(month));
  }

  /** What was used on whole days from `since` to `until`, epoch ms, and which of these days are here. */
  async usage(question: UsageQuestion, since: number, until: number): Promise<ArchiveAnswer> {
    return this.#store.answer(question, since, until);
  }

  /** What was used in the whole month, per key or in all. */
  async monthly(question: UsageQuestion): Promise<UsageSum[]> {
    return this.#store.monthly(question, this.#month());
  }

  /** Takes corrections of days whose object of the trail is gone. `tagNames`: tags that are summed. */
  async adjust(batch: AdjustmentBatch, tagNames: readonly string[]): Promise<void> {
    const month = this.#month();
    if (Date.now() >= this.#daysEnd(month)) return;
    this.ctx.storage.transactionSync(() => this.#store.adjust(batch, tagNames, month));
    await this.#alarms.ringBy(this.#daysEnd(month));
  }

  /** What a key used is counted without its tags from now on. Repeatable. */
  async eraseTags(keyId: string): Promise<void> {
    this.ctx.storage.transactionSync(() => this.#store.eraseTags(keyId));
  }

  override async alarm(): Promise<void> {
    this.#alarms.rang();
    try {
      const due = this.#daysEnd(this.#month());
      if (Date.now() < due) await this.#alarms.setTo(due);
      else this.ctx.storage.transactionSync(() => this.#store.dropDays());
    } catch {
      // Storage that fails may work again later.
      await this.#alarms.setTo(Date.now() + ALARM_RETRY_MS).catch(() => {});
    }
  }

  /** When the last day of the month is kept no longer. */
  #daysEnd(month: number): number {
    return nextMonth(month) + KEPT_DAYS * DAY_MS;
  }

  #month(): number {
    const month = archiveMonth(this.ctx.id.name ?? "");
    if (month === null) throw new Error("An archive is called by `<env>:<YYYY-MM>`.");
    return month;
  }
}
