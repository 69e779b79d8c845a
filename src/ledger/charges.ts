/** What attempts have cost, the first of a request in its row, the others one row each: settled (`S`) or expired and charged at its bound until it is settled (`X`). */
import type { BudgetTerms } from "../budgets/types.ts";
import type { Account } from "./account.ts";
import type { Hold } from "./holds.ts";
import { INLINE_NAMES } from "./schema/tables.sql.ts";
import type { SettledAttempt } from "./types.ts";
import type { ExpiredAttempt } from "./unsettled.ts";

/** A late settlement must find what the sweep charged, or it would be charged again. */
const EXPIRED_MS = 3_600_000;

/** Far above any real one. A row too long for the table would take its batch with it. */
const MAX_BASIS_LENGTH = 16_384;

export type Charge = {
  readonly trace_id: string;
  readonly attempt: number;
  readonly state: "S" | "X";
  /** Chooses the periods and the slot of the rate window. */
  readonly reserved_at: number;
  readonly settled_at: number;
  /** `null`: it was never reserved. */
  readonly bound_nano_usd: number | null;
  /** `null`: the price is unknown. */
  readonly nano_usd: number | null;
  /** Its bound while it is expired. Settled: what the whole request used, on its first attempt, else 0. */
  readonly tokens: number;
  /** 1 on the attempt that counts its request for the limits. */
  readonly requests: number;
};

const COLUMNS = "trace_id, attempt, state, reserved_at, settled_at, bound_nano_usd, nano_usd, tokens, requests";

/** Values of the columns that the request's row can hold. */
export type InlineCharge = readonly (string | number | null)[];

const PUT_COLUMNS = ["trace_id", "state", "settled_at", ...INLINE_NAMES];
const PUT = `
  INSERT OR REPLACE INTO charge_row (${PUT_COLUMNS.join(", ")}) VALUES (${PUT_COLUMNS.map(() => "?").join(", ")})`;

type Ending = Pick<SettledAttempt, "provider" | "model" | "winner" | "outcome" | "source" | "basis">;

export class Charges {
  readonly #sql: SqlStorage;
  readonly #account: Account;

  constructor(sql: SqlStorage, account: Account) {
    this.#sql = sql;
    this.#account = account;
  }

  of(traceId: string): Charge[] {
    return this.#sql.exec<Charge>(`SELECT ${COLUMNS} FROM charge WHERE trace_id = ?`, traceId).toArray();
  }

  /** Replaces what the sweep may have charged for the same attempt. */
  put(charge: Charge, ending: Ending): void {
    const values = this.inline(charge, ending);
    this.#sql.exec(PUT, charge.trace_id, charge.state, charge.settled_at, ...values);
  }

  /** A charge that is counted, for the row of its request, which has no other one. */
  inline(charge: Charge, { provider, model, winner, outcome, source, basis }: Ending): InlineCharge {
    const { attempt, reserved_at, bound_nano_usd, nano_usd, tokens, requests } = charge;
    // A key without a budget holds nothing, which is no bound.
    const isBounded = bound_nano_usd !== null && (bound_nano_usd > 0 || this.#account.terms?.budget != null);
    const isOverBound = isBounded && nano_usd !== null && nano_usd > bound_nano_usd;
    if (isOverBound) this.#account.count({ overBound: 1 });
    return [
      ...[attempt, reserved_at, bound_nano_usd, nano_usd, tokens, requests, isOverBound ? 1 : 0],
      ...[provider, model, winner ? 1 : 0, outcome, source, basis.length > MAX_BASIS_LENGTH ? "" : basis],
    ];
  }

  /** Booked for what was reserved from `start` to `end` (epoch ms, exclusive), as far as its charges are kept. */
  sumBetween(start: number, end: number): number {
    const query =
      "SELECT coalesce(sum(nano_usd), 0) AS nano_usd FROM charge WHERE reserved_at >= ? AND reserved_at < ?";
    return this.#sql.exec<{ nano_usd: number }>(query, start, end).one().nano_usd;
  }

  /** The same for the requests of an app or with a tag; those without a trace, whose origin is not known, count too. */
  sumOfScope({ app, tag }: Pick<BudgetTerms, "app" | "tag">, start: number, end: number): number {
    const query = `SELECT coalesce(sum(charge.nano_usd), 0) AS nano_usd
      FROM charge LEFT JOIN request ON request.id = charge.trace_id
      WHERE charge.reserved_at >= ?1 AND charge.reserved_at < ?2 AND (request.id IS NULL OR request.body = '' OR (
        (?3 IS NULL OR json_extract(request.body, '$.app') = ?3) AND (?4 IS NULL OR EXISTS (
          SELECT 1 FROM json_each(request.body, '$.tags') AS tag WHERE tag.key = ?4 AND tag.value = ?5
        ))
      ))`;
    const values = [start, end, app, tag?.name ?? null, tag?.value ?? null];
    return this.#sql.exec<{ nano_usd: number }>(query, ...values).one().nano_usd;
  }

  /** The expired attempts of a request that have a trace, in their order. */
  expiredOf(traceId: string): ExpiredAttempt[] {
    return this.#sql
      .exec<ExpiredAttempt>(
        `SELECT attempt, reserved_at, settled_at, nano_usd, provider, model, basis AS origin FROM charge_row
         WHERE trace_id = ? AND state = 'X' AND basis <> '' ORDER BY attempt`,
        traceId,
      )
      .toArray();
  }

  /** Not settled in time: it is charged all that it may have cost. Its trace is made from its basis. */
  expire(hold: Hold, now: number): void {
    const { trace_id, attempt, reserved_at, bound_nano_usd, tokens, requests, provider, model, origin } = hold;
    const nano_usd = bound_nano_usd;
    this.put(
      { trace_id, attempt, state: "X", reserved_at, settled_at: now, bound_nano_usd, nano_usd, tokens, requests },
      { provider, model, winner: false, outcome: "expired", source: "upper_bound", basis: origin },
    );
    this.#account.count({ expired: 1, expiredNanoUsd: nano_usd });
  }

  remove({ trace_id, attempt }: Charge): void {
    this.#sql.exec("DELETE FROM charge_row WHERE trace_id = ? AND attempt = ?", trace_id, attempt);
  }

  /** Deletes up to `limit` charges of traces below `floor` and keeps their sum. Answers how many went. */
  trim(floor: string, minAgeMs: number, now: number, limit: number): number {
    const deleted = this.#sql
      .exec<{ nano_usd: number | null }>(
        `DELETE FROM charge_row WHERE (trace_id, attempt) IN (
           SELECT trace_id, attempt FROM charge_row WHERE trace_id < ? AND settled_at < CASE state WHEN 'X' THEN ? ELSE ? END
           ORDER BY trace_id LIMIT ?
         ) RETURNING nano_usd`,
        ...[floor, now - Math.max(minAgeMs, EXPIRED_MS), now - minAgeMs, limit],
      )
      .toArray();
    this.#account.count({ deletedNanoUsd: deleted.reduce((sum, { nano_usd }) => sum + (nano_usd ?? 0), 0) });
    return deleted.length;
  }

  /** What the attempts of these requests cost. Unknown prices count as nothing. */
  costOf(traceIds: readonly string[]): number {
    return this.#sql
      .exec<{ nano_usd: number }>(
        `SELECT coalesce(sum(nano_usd), 0) AS nano_usd FROM charge
         WHERE trace_id IN (SELECT value FROM json_each(?))`,
        JSON.stringify(traceIds),
      )
      .one().nano_usd;
  }

  /** Is each trace as settled as its attempts are? For the audit. */
  agreeWithTraces(): boolean {
    const query = `SELECT 1 FROM request WHERE unsettled_attempts <>
      (SELECT count(*) FROM charge_row WHERE trace_id = id AND state = 'X' AND basis <> '') LIMIT 1`;
    return this.#sql.exec(query).toArray().length === 0;
  }

  /** What the unsettled ones say of their requests besides where they went. */
  eraseTags(): void {
    this.#sql.exec("UPDATE charge_row SET basis = json_remove(basis, '$.tags') WHERE state = 'X' AND basis <> ''");
  }

  /** Sum of the rows themselves, for the audit. */
  sumNanoUsd(): number {
    const query = "SELECT coalesce(sum(nano_usd), 0) AS nano_usd FROM charge";
    return this.#sql.exec<{ nano_usd: number }>(query).one().nano_usd;
  }
}
