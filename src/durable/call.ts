/** What every caller and every table of a Durable Object needs. */
import { withTimeout } from "../lib/time/with-timeout.ts";

/** Cloudflare's mark on the errors of an object that has too many requests waiting. */
export function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}

/**
 * `call`, and once more when it fails; both within `limitMs`, then it rejects. An overloaded object is not asked again.
 * A stub that has failed stays broken, so each call makes its own; and it must be repeatable.
 */
export function callWithRetry<T>(limitMs: number, call: () => Promise<T>): Promise<T> {
  const again = (error: unknown): Promise<T> => (isOverloaded(error) ? Promise.reject(error) : call());
  return withTimeout(limitMs, () => call().catch(again));
}

const MIGRATION = "CREATE TABLE IF NOT EXISTS migration (step INTEGER PRIMARY KEY) STRICT";

/**
 * Brings an object's tables up to date: each of `steps` runs once, in order, and is never edited afterwards. Run inside a
 * transaction; safe at every start.
 */
export function migrateTables(sql: SqlStorage, steps: readonly string[]): void {
  sql.exec(MIGRATION);
  const done = sql.exec<{ count: number }>("SELECT count(*) AS count FROM migration").one().count;
  for (const [step, statements] of steps.entries()) {
    if (step < done) continue;
    sql.exec(statements);
    sql.exec("INSERT INTO migration (step) VALUES (?)", step);
  }
}

/** The tables of a new object were made as `steps` leave them: none of those is to run. */
export function skipSteps(sql: SqlStorage, steps: readonly string[]): void {
  sql.exec(MIGRATION);
  for (const step of steps.keys()) sql.exec("INSERT INTO migration (step) VALUES (?)", step);
}
