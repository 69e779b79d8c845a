/**
 * ProviderHealth: one Durable Object per target, where isolates put together what they saw of it.
 *
 * Kept in SQLite, so that an eviction does not forget an open breaker. Reports are sums and not repeatable, the one
 * exception to the house rule: whoever reports does so once and never retries, because a lost sum only delays a
 * decision and a doubled one distorts it.
 */
import { DurableObject } from "cloudflare:workers";
import { type Breaker, type Bucket, breakerState, recordOutcomes, sumWindow } from "./breaker.ts";
import type { HealthDelta, HealthSnapshot } from "./types.ts";

/** No vendor's wish is believed beyond this. */
const MAX_COOLDOWN_MS = 60_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS breaker (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    is_open INTEGER NOT NULL,
    open_until INTEGER NOT NULL,
    open_ms INTEGER NOT NULL,
    cooldown_until INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS bucket (
    start_at INTEGER PRIMARY KEY,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO breaker VALUES (1, 0, 0, 0, 0);
`;

export class ProviderHealth extends DurableObject {
  readonly #sql: SqlStorage;
  #breaker: Breaker;
  #cooldownUntil: number;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(SCHEMA);
    const row = this.#sql
      .exec<{ is_open: number; open_until: number; open_ms: number; cooldown_until: number }>("SELECT * FROM breaker")
      .one();
    const buckets = this.#sql
      .exec<{ start_at: number; successes: number; failures: number; duration_ms: number }>(
        "SELECT * FROM bucket ORDER BY start_at",
      )
      .toArray();
    this.#cooldownUntil = row.cooldown_until;
    this.#breaker = {
      isOpen: row.is_open === 1,
      openUntil: row.open_until,
      openMs: row.open_ms,
      buckets: buckets.map(({ start_at, successes, failures, duration_ms }) => ({
        startAt: start_at,
        successes,
        failures,
        durationMs: duration_ms,
      })),
    };
  }

  /** Adds what an isolate saw and answers what all of them saw. Not repeatable: never retry it. */
  async report(delta: HealthDelta): Promise<HealthSnapshot> {
    const now = Date.now();
    const { successes, failures, durationMs } = delta;
    const next = recordOutcomes(this.#breaker, { successes, failures, durationMs }, now);
    const cooldownUntil = Math.max(this.#cooldownUntil, Math.min(delta.cooldownUntil, now + MAX_COOLDOWN_MS));
    this.ctx.storage.transactionSync(() => this.#save(next, cooldownUntil));
    this.#breaker = next;
    this.#cooldownUntil = cooldownUntil;
    return this.#snapshot(now);
  }

  #snapshot(now: number): HealthSnapshot {
    const { successes, failures, durationMs } = sumWindow(this.#breaker.buckets, now);
    return {
      state: breakerState(this.#breaker, now),
      openUntil: this.#breaker.isOpen ? this.#breaker.openUntil : 0,
      cooldownUntil: this.#cooldownUntil,
      requests: successes + failures,
      failures,
      meanDurationMs: successes === 0 ? null : Math.round(durationMs / successes),
    };
  }

  /** Writes what differs from the stored state: in calm one row, the bucket being filled. */
  #save(next: Breaker, cooldownUntil: number): void {
    const { isOpen, openUntil, openMs } = next;
    const before = this.#breaker;
    if (isOpen !== before.isOpen || openUntil !== before.openUntil || cooldownUntil !== this.#cooldownUntil) {
      this.#sql.exec(
        "UPDATE breaker SET is_open = ?, open_until = ?, open_ms = ?, cooldown_until = ?",
        isOpen ? 1 : 0,
        openUntil,
        openMs,
        cooldownUntil,
      );
    }
    const kept = new Set(next.buckets.map((bucket) => bucket.startAt));
    for (const { startAt } of before.buckets) {
      if (!kept.has(startAt)) this.#sql.exec("DELETE FROM bucket WHERE start_at = ?", startAt);
    }
    const stored = new Set<Bucket>(before.buckets);
    for (const bucket of next.buckets) {
      if (stored.has(bucket)) continue;
      const { startAt, successes, failures, durationMs } = bucket;
      this.#sql.exec("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?, ?)", startAt, successes, failures, durationMs);
    }
  }
}
