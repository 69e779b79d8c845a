/**
 * The attempts of a key, from reservation to charge, and what the last minute of them counts for rate limits.
 *
 * The rate window is kept in memory once a limit has asked for it, and made from the rows again after an eviction or a
 * transaction that was rolled back: it costs no write of its own.
 */
import { keyIdOfTrace, traceIdFloor } from "../traces/schema.ts";
import type { Account } from "./account.ts";
import { type Charge, Charges, type InlineCharge } from "./charges.ts";
import { type Hold, Holds } from "./holds.ts";
import type { SpendChanges } from "./periods.ts";
import { RateWindow, WINDOW_MS } from "./rates.ts";
import { TokenDebt } from "./token-debt.ts";
import type { Limits, Reservation, SettledAttempt, SettleRow } from "./types.ts";
import { type Counted, countedAs, type ExpiredAttempt } from "./unsettled.ts";

/** How far back a request that was not reserved may have started. */
const MAX_AGE_MS = 86_400_000;
/** A request lasts an hour at most, so older ids reserve nothing any more. */
const MAX_REQUEST_MS = 2 * 3_600_000;
/** Expired reservations that one call charges, so that none is held up for long. */
const SWEEP_BATCH = 500;

export interface Standing {
  /** What became of a number: free to reserve, held or charged already, or taken back before it was reserved. */
  readonly state: "new" | "known" | "withdrawn";
  /** Nothing of its request is held or charged, so it is the one that counts as a request. */
  readonly isFirst: boolean;
}

/** One attempt that was charged because it was never settled. */
export interface Swept {
  readonly traceId: string;
  /** Expired attempts of its request that have a trace: without this one, and with it. */
  readonly before: readonly ExpiredAttempt[];
  readonly after: readonly ExpiredAttempt[];
}

export class Attempts {
  readonly holds: Holds;
  readonly charges: Charges;
  readonly debt: TokenDebt;
  readonly #sql: SqlStorage;
  readonly #account: Account;
  /** `null` until a limit asks for it. */
  #window: RateWindow | null = null;
  /** Requests that reserved nothing and count all the same, epoch ms, of the last minute. No row says so. */
  #counted: readonly number[] = [];

  constructor(sql: SqlStorage, account: Account) {
    this.#sql = sql;
    this.#account = account;
    this.holds = new Holds(sql);
    this.charges = new Charges(sql, account);
    this.debt = new TokenDebt(sql);
  }

  load(): void {
    this.holds.load();
    this.debt.load();
    this.#window = null;
  }

  /** The last minute. `traceId`: any of this key. */
  window(traceId: string, now: number): RateWindow {
    this.#window ??= this.#readWindow(traceId, now);
    return this.#window;
  }

  /** Counts a request that reserves nothing. `null`: done; else how long the limit of requests leaves no room, ms. */
  countRequest(traceId: string, limits: Limits | null, now: number): number | null {
    if (limits === null) return null;
    const window = this.window(traceId, now);
    const wait = window.wait(limits, 1, 0, now);
    if (wait !== null) return wait.retryAfterMs;
    this.#counted = [...this.#counted.filter((at) => at > now - WINDOW_MS), now];
    window.add(now, 1, 0);
    return null;
  }

  standing(traceId: string, attempt: number): Standing {
    const holds = this.holds.of(traceId);
    const charges = this.charges.of(traceId);
    const isFirst = charges.length === 0 && holds.every(({ state }) => state === "W");
    const hold = holds.find((each) => each.attempt === attempt);
    if (hold?.state === "R" || charges.some((each) => each.attempt === attempt)) return { state: "known", isFirst };
    return { state: hold === undefined ? "new" : "withdrawn", isFirst };
  }

  open(reservation: Reservation, isFirst: boolean, now: number): void {
    const requests = isFirst ? 1 : 0;
    this.holds.open(reservation, requests, now);
    this.#window?.add(now, requests, reservation.boundTokens);
  }

  /** Nothing was sent. What is charged stays; what is not known yet will not be reserved any more. */
  release(traceId: string, attempt: number, now: number): void {
    if (this.standing(traceId, attempt).state === "new") this.holds.withdraw(traceId, attempt, now);
    const hold = this.holds.of(traceId).find((each) => each.attempt === attempt);
    if (hold?.state === "R") this.#free(hold);
  }

  /** Sets free what earlier attempts that ended hold beyond their cost. What they cost is held as long as the next one. */
  endEarlier({ traceId, over = [], expiresAt }: Reservation, now: number): void {
    for (const { attempt, costNanoUsd } of over) {
      if (costNanoUsd === 0) this.release(traceId, attempt, now);
      else this.holds.lower(traceId, attempt, costNanoUsd, expiresAt);
    }
  }

  /** `isEnded`: by the row of its request, which is being settled. */
  #free(hold: Hold, isEnded = false): void {
    if (isEnded) this.holds.end(hold);
    else this.holds.remove(hold);
    this.#window?.add(hold.reserved_at, -hold.requests, -hold.tokens);
  }

  /**
   * Books the attempts of a request, each once. `isNew`: the request was not settled before; what else it holds was
   * never sent then, and is set free. Answers when its first attempt was reserved, which chooses the period, and how the
   * sweep had counted the request, if it had; and of a request without any row its first charge, which is for its row.
   */
  settle(
    row: SettleRow,
    { isNew, hasRow }: { readonly isNew: boolean; readonly hasRow: boolean },
    now: number,
    changes: SpendChanges,
  ): { readonly at: number; readonly swept: Counted | null; readonly inline?: InlineCharge } {
    const holds = new Map(this.holds.of(row.id).map((hold) => [hold.attempt, hold]));
    const charges = new Map(this.charges.of(row.id).map((charge) => [charge.attempt, charge]));
    const isUnknown = charges.size === 0 && [...holds.values()].every(({ state }) => state === "W");
    // The version before stored the sum of a request and no attempts: such a request is booked.
    if (!isNew && isUnknown) return { at: now, swept: null };
    const isSwept = [...charges.values()].some(({ state }) => state === "X");
    const swept = isSwept ? countedAs(this.charges.expiredOf(row.id)) : null;
    const startedAt = Math.min(now, Math.max(row.startedAt, now - MAX_AGE_MS));
    let firstAt: number | null = null;
    let inline: InlineCharge | undefined;
    const mayInline = !hasRow && charges.size === 0;
    const beyond = isNew ? this.#usedBeyond(row, holds, charges, now) : 0;
    // On the first: the tokens of all, and the request itself where no reservation has counted it.
    let tokens = isNew ? row.tokens - beyond : 0;
    let requests = isUnknown ? 1 : 0;
    for (const settled of [...row.attempts].sort((a, b) => a.attempt - b.attempt)) {
      const charged = charges.get(settled.attempt);
      if (charged?.state === "S") continue;
      const before = { hold: holds.get(settled.attempt), charged };
      const charge = this.#charge(row.id, settled, before, { startedAt, now, tokens, requests, isNew }, changes);
      if (mayInline && inline === undefined) inline = this.charges.inline(charge, settled);
      else this.charges.put(charge, settled);
      charges.set(settled.attempt, charge);
      holds.delete(settled.attempt);
      firstAt ??= charge.reserved_at;
      tokens = requests = 0;
    }
    if (isNew) this.#freeRest(holds.values(), charges.values(), changes);
    return { at: firstAt ?? startedAt, swept, ...(inline === undefined ? {} : { inline }) };
  }

  /** Tokens that the request used beyond what it had reserved, which are owed from now on. */
  #usedBeyond(
    row: SettleRow,
    holds: ReadonlyMap<number, Hold>,
    charges: ReadonlyMap<number, Charge>,
    now: number,
  ): number {
    const limit = this.#account.terms?.limits?.tokens_per_minute;
    const reserved = row.attempts.flatMap(({ attempt }) => {
      const hold = holds.get(attempt);
      return (hold?.state === "R" ? hold : charges.get(attempt))?.tokens ?? [];
    });
    if (limit === undefined || reserved.length === 0) return 0;
    const beyond = Math.max(0, row.tokens - reserved.reduce((sum, tokens) => sum + tokens, 0));
    this.debt.owe(beyond, limit, now);
    return beyond;
  }

  #charge(
    traceId: string,
    settled: SettledAttempt,
    { hold, charged }: { readonly hold: Hold | undefined; readonly charged: Charge | undefined },
    to: {
      readonly startedAt: number;
      readonly now: number;
      readonly tokens: number;
      readonly requests: number;
      readonly isNew: boolean;
    },
    changes: SpendChanges,
  ): Charge {
    const known = hold?.state === "R" ? hold : charged;
    const charge: Charge = {
      ...{ trace_id: traceId, attempt: settled.attempt, state: "S", settled_at: to.now, tokens: to.tokens },
      reserved_at: known?.reserved_at ?? to.startedAt,
      bound_nano_usd: known?.bound_nano_usd ?? null,
      nano_usd: readNanoUsd(settled.costNanoUsd),
      requests: known?.requests ?? to.requests,
    };
    if (hold !== undefined) this.#free(hold, to.isNew);
    if (charged !== undefined) this.#uncharge(charged, changes);
    this.#window?.add(charge.reserved_at, charge.requests, charge.tokens);
    changes.add(charge.reserved_at, charge.nano_usd ?? 0);
    return charge;
  }

  /** The request is over and did not name these: they were never sent. */
  #freeRest(holds: Iterable<Hold>, charges: Iterable<Charge>, changes: SpendChanges): void {
    for (const hold of holds) this.#free(hold, true);
    for (const charge of charges) {
      if (charge.state !== "X") continue;
      this.#uncharge(charge, changes);
      this.charges.remove(charge);
    }
  }

  /** Takes back what the sweep has charged; its request has come to be settled after all. */
  #uncharge({ reserved_at, nano_usd, tokens, requests }: Charge, changes: SpendChanges): void {
    const nanoUsd = nano_usd ?? 0;
    this.#account.count({ expired: -1, expiredNanoUsd: -nanoUsd });
    this.#window?.add(reserved_at, -requests, -tokens);
    changes.add(reserved_at, -nanoUsd);
  }

  /** Charges attempts that were not settled in time at their bound, a batch at most. */
  sweep(now: number, changes: SpendChanges): Swept[] {
    return this.holds.takeExpired(now, SWEEP_BATCH).map((hold) => {
      const traceId = hold.trace_id;
      const before = this.charges.expiredOf(traceId);
      this.charges.expire(hold, now);
      changes.source = hold.origin;
      changes.add(hold.reserved_at, hold.bound_nano_usd);
      return { traceId, before, after: this.charges.expiredOf(traceId) };
    });
  }

  #readWindow(traceId: string, now: number): RateWindow {
    const window = new RateWindow();
    const keyId = keyIdOfTrace(traceId);
    const oldest = keyId === null ? "" : traceIdFloor(keyId, now - MAX_REQUEST_MS);
    type Second = { at: number; requests: number; tokens: number };
    const seconds = this.#sql.exec<Second>(
      `SELECT reserved_at / 1000 * 1000 AS at, sum(requests) AS requests, sum(tokens) AS tokens FROM (
         SELECT reserved_at, requests, tokens FROM hold WHERE state = 'R'
         UNION ALL SELECT reserved_at, requests, tokens FROM charge WHERE trace_id >= ?
       ) WHERE reserved_at > ? GROUP BY at`,
      ...[oldest, now - WINDOW_MS],
    );
    for (const { at, requests, tokens } of seconds.toArray()) window.add(at, requests, tokens);
    for (const at of this.#counted) window.add(at, 1, 0);
    return window;
  }
}

/** An amount that makes no sense is an unknown one: a batch must not be lost over it. */
function readNanoUsd(value: number | null): number | null {
  return value !== null && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
