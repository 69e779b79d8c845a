/**
 * The open breakers of the deployment, as their targets' objects announce them: the table behind the KV key `health`.
 *
 * Synchronous, so it belongs to the caller's transaction. Announcements may come twice, late and in any order: the
 * time that each carries decides.
 */
import type { TargetHealthChange } from "./types.ts";

/**
 * KV: `{"at": <epoch ms>, "open": {"<provider>/<model>": <openUntil, epoch ms>}, "open_for": {"<provider>/<model>": <key id>}}`,
 * the last for those that are open for one key alone. Written by the control plane only.
 */
export const HEALTH_KEY = "health";

const MAX_TARGETS = 2_000;
/** A closed breaker is remembered this long: longer than a call can be on its way. */
const KEEP_CLOSED_MS = 600_000;
/** A target of which nothing was heard for so long has forgotten its breaker too. */
const KEEP_OPEN_MS = 86_400_000;
/** A time further ahead of our clock than this is a clock gone wrong, and must not shut out what comes after it. */
const MAX_AHEAD_MS = 60_000;
/** In UTF-16 units. Leaves room below what KV and a row can hold; real names come nowhere near. */
const MAX_LIST_CHARACTERS = 600_000;

const UPSERT = `
  INSERT INTO target_health (target, is_open, open_until_ms, changed_at_ms, noted_at_ms, open_for)
  VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (target) DO UPDATE SET is_open = excluded.is_open, open_until_ms = excluded.open_until_ms,
    changed_at_ms = excluded.changed_at_ms, noted_at_ms = excluded.noted_at_ms, open_for = excluded.open_for`;
const DELETE_OLD = `
  DELETE FROM target_health
  WHERE (is_open = 0 AND noted_at_ms <= ?) OR (is_open = 1 AND noted_at_ms <= ?)`;
/** Those that closed go first, then those of which was heard least recently. */
const DELETE_BEYOND = `
  DELETE FROM target_health WHERE target NOT IN
    (SELECT target FROM target_health ORDER BY is_open DESC, noted_at_ms DESC, target LIMIT ?)`;
const SELECT_OPEN = `
  SELECT target, open_until_ms, open_for FROM target_health
  WHERE is_open = 1 ORDER BY noted_at_ms DESC, target`;

type HealthRow = { is_open: number; open_until_ms: number; changed_at_ms: number; open_for: string | null };
type OpenRow = { target: string; open_until_ms: number; open_for: string | null };

export interface OpenTarget {
  readonly target: string;
  /** Epoch ms. */
  readonly openUntil: number;
  /** The only key that it is open for; `null`: open for all. */
  readonly openFor: string | null;
}

export class TargetHealthTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Keeps `change`, unless a newer one of the target is known. Returns the time of the list that KV must hold now, or
   * `null` when the list stays as it is. Each such time is above the one before it, whatever the clock does.
   */
  note(change: TargetHealthChange, now: number): number | null {
    const { target, isOpen, openUntil, openFor = null, at } = inOurTime(change, now);
    const known = this.#find(target);
    if (known !== undefined && at < known.changed_at_ms && known.changed_at_ms <= now + MAX_AHEAD_MS) return null;
    this.#sql.exec(UPSERT, target, isOpen ? 1 : 0, openUntil, at, now, isOpen ? openFor : null);
    const forgotten = this.#forget(now);
    const was = known?.is_open === 1 ? known : undefined;
    const isSame = isOpen ? was?.open_until_ms === openUntil && was.open_for === openFor : was === undefined;
    if (isSame && !forgotten) return null;
    const query = "UPDATE health_list SET at_ms = max(at_ms + 1, ?) RETURNING at_ms";
    return this.#sql.exec<{ at_ms: number }>(query, now).one().at_ms;
  }

  /** The open ones, the last heard of first. */
  open(): OpenTarget[] {
    const rows = this.#sql.exec<OpenRow>(SELECT_OPEN).toArray();
    return rows.map(({ target, open_until_ms, open_for }) => ({ target, openUntil: open_until_ms, openFor: open_for }));
  }

  /** What KV holds under `HEALTH_KEY`. */
  document(at: number): string {
    const open = new Map<string, number>();
    const openForOne = new Map<string, string>();
    let characters = 0;
    for (const { target, openUntil, openFor } of this.open()) {
      const length = JSON.stringify(target).length;
      characters += length + 20 + (openFor === null ? 0 : length + 20);
      if (characters > MAX_LIST_CHARACTERS) break;
      open.set(target, openUntil);
      if (openFor !== null) openForOne.set(target, openFor);
    }
    const forOne = openForOne.size === 0 ? {} : { open_for: Object.fromEntries(openForOne) };
    return JSON.stringify({ at, open: Object.fromEntries(open), ...forOne });
  }

  /** Epoch ms of the last write of the list to KV, 0 when there was none. */
  sentAt(): number {
    return this.#sql.exec<{ sent_at_ms: number }>("SELECT sent_at_ms FROM health_list").one().sent_at_ms;
  }

  noteSent(now: number): void {
    this.#sql.exec("UPDATE health_list SET sent_at_ms = ?", now);
  }

  #find(target: string): HealthRow | undefined {
    const query = "SELECT is_open, open_until_ms, changed_at_ms, open_for FROM target_health WHERE target = ?";
    return this.#sql.exec<HealthRow>(query, target).toArray()[0];
  }

  /** Says whether an open one went. */
  #forget(now: number): boolean {
    const before = this.#countOpen();
    this.#sql.exec(DELETE_OLD, now - KEEP_CLOSED_MS, now - KEEP_OPEN_MS);
    this.#sql.exec(DELETE_BEYOND, MAX_TARGETS);
    return this.#countOpen() !== before;
  }

  #countOpen(): number {
    const query = "SELECT count(*) AS count FROM target_health WHERE is_open = 1";
    return this.#sql.exec<{ count: number }>(query).one().count;
  }
}

/** A change from an object whose clock is far ahead, as if it had happened now and lasted as long. */
function inOurTime(change: TargetHealthChange, now: number): TargetHealthChange {
  const aheadMs = change.at - now;
  if (aheadMs <= MAX_AHEAD_MS) return change;
  return { ...change, at: now, openUntil: change.openUntil - aheadMs };
}
