/** What a ledger keeps once: the key's terms, its revocation, and counters that outlive the rows they come from. */
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { KeyTerms } from "./types.ts";

export interface Counters {
  /** Cost of attempts whose rows are deleted. */
  readonly deletedNanoUsd: number;
  readonly overBound: number;
  /** Reservations that expired and were not settled since, and what they are charged. */
  readonly expired: number;
  readonly expiredNanoUsd: number;
  readonly unadmittedNanoUsd: number;
  readonly lostTraces: number;
  readonly lostNanoUsd: number;
  /** Refused requests that left no trace. */
  readonly refused: number;
}

export class Account {
  readonly #sql: SqlStorage;
  #revoked = false;
  #terms: KeyTerms | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  load(): void {
    const row = this.#sql
      .exec<{ revoked: number; terms: string | null }>(
        "SELECT revoked, (SELECT terms FROM account) AS terms FROM ledger",
      )
      .one();
    this.#revoked = row.revoked === 1;
    const terms = row.terms === null ? null : parseJson(row.terms);
    // Written by `learn` from `KeyTerms`, which is the only writer of this column.
    this.#terms = isJsonObject(terms) ? (terms as unknown as KeyTerms) : null;
  }

  get isRevoked(): boolean {
    return this.#revoked;
  }

  /** Permanently, or until its terms say otherwise. */
  get isRefused(): boolean {
    return this.#revoked || this.#terms?.paused === true;
  }

  /** `null` until somebody has shown them. */
  get terms(): KeyTerms | null {
    return this.#terms;
  }

  get keyVersion(): number {
    return this.#terms?.version ?? 0;
  }

  /** Keeps the newest terms: those of an older version may still be on their way from a far isolate. */
  learn(terms: KeyTerms | null): void {
    if (terms === null || (this.#terms !== null && terms.version <= this.#terms.version)) return;
    const { version, budget, limits, paused = false } = terms;
    const text = JSON.stringify({ version, budget, limits, paused });
    this.#sql.exec("UPDATE account SET terms = ?", text);
    this.#terms = { version, budget, limits, paused };
  }

  revoke(): void {
    this.#sql.exec("UPDATE ledger SET revoked = 1");
    this.#revoked = true;
  }

  counters(): Counters {
    return this.#sql
      .exec<Readonly<Record<keyof Counters, number>>>(
        `SELECT deleted_nano_usd AS deletedNanoUsd, over_bound AS overBound, expired, expired_nano_usd AS expiredNanoUsd,
         unadmitted_nano_usd AS unadmittedNanoUsd, lost_traces AS lostTraces, lost_nano_usd AS lostNanoUsd,
         refused FROM account`,
      )
      .one();
  }

  /** Adds to the counters; members that are left out stay. */
  count(changes: Partial<Counters>): void {
    const { deletedNanoUsd = 0, overBound = 0, expired = 0, expiredNanoUsd = 0 } = changes;
    const { unadmittedNanoUsd = 0, lostTraces = 0, lostNanoUsd = 0, refused = 0 } = changes;
    const money = [deletedNanoUsd, overBound, expired, expiredNanoUsd, unadmittedNanoUsd];
    const all = [...money, lostTraces, lostNanoUsd, refused];
    if (all.every((change) => change === 0)) return;
    this.#sql.exec(
      `UPDATE account SET deleted_nano_usd = deleted_nano_usd + ?, over_bound = over_bound + ?, expired = expired + ?,
       expired_nano_usd = expired_nano_usd + ?, unadmitted_nano_usd = unadmitted_nano_usd + ?,
       lost_traces = lost_traces + ?, lost_nano_usd = lost_nano_usd + ?, refused = refused + ?`,
      ...all,
    );
  }
}
