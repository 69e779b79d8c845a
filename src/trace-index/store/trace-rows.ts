/**
 * The rows of traces in an object: added once each, replaced where they were unsettled, and their JSON dropped when it is
 * too old or too much.
 */
import { UNSETTLED } from "../../traces/schema.ts";
import { DAY_MS } from "../calendar.ts";
import type { TraceFacts } from "../counted-trace.ts";
import type { TrailRow } from "../types.ts";
import { type Layout, layoutOf } from "./store-layout.ts";
import type { AttemptTally } from "./store-metrics.ts";
import { COUNTED, type CountedRow, factsOfRow, readAttempts, type UsageBatch } from "./store-usage.ts";

/** JSON that is too old is dropped in spans of this length, one a transaction. */
const STRIP_MS = 600_000;

const COLUMNS =
  "id, created_at, key_id, app, route, status, provider, attempts, unadmitted_nano_usd, unsettled_attempts";
const INSERT_TRACE = `
  INSERT INTO trace (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`;
const INSERT_WHOLE = `
  INSERT INTO trace (${COLUMNS}, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`;
// A settled trace has the time of the one that it replaces.
const FIND_UNSETTLED = `
  SELECT ${COUNTED} FROM trace
  WHERE created_at = ?1 AND id = ?2 AND unsettled_attempts > 0 AND (?3 = 0 OR ?3 > unsettled_attempts)`;

interface AddedRow {
  readonly seq: number;
  /** How many more traces can be listed: -1 to 1. */
  readonly bodies: number;
}

interface BodyState extends Record<string, SqlStorageValue> {
  bodies_since: number;
  bodies: number;
}

export class TraceRows {
  readonly #sql: SqlStorage;
  readonly #limits: { readonly bodies: number; readonly slack: number };
  #layout: Layout | null = null;

  constructor(sql: SqlStorage, limits: { readonly bodies: number; readonly slack: number }) {
    this.#sql = sql;
    this.#limits = limits;
  }

  lookAgain(): void {
    this.#layout = null;
  }

  get layout(): Layout {
    this.#layout ??= layoutOf(this.#sql);
    return this.#layout;
  }

  state(): BodyState {
    return this.#sql.exec<BodyState>("SELECT bodies_since, bodies FROM trail").one();
  }

  /** In place of a row that says less, if need be; `null` for a trace that is known. `json`: empty where it is too old. */
  add(facts: TraceFacts, row: TrailRow, json: string, usage: UsageBatch, attempts: AttemptTally): AddedRow | null {
    return this.#insert(facts, row, json) ?? this.#replace(facts, row, json, usage, attempts);
  }

  /** The JSON of traces before it was dropped, epoch ms, not before the day; `null` where all of it is. */
  bodiesSince(): number | null {
    const query = "SELECT max(bodies_since, day_start_at) AS since, day_start_at FROM trail";
    const { since, day_start_at } = this.#sql.exec<{ since: number; day_start_at: number }>(query).one();
    return since < day_start_at + DAY_MS ? since : null;
  }

  /**
   * Drops the JSON of traces before `until` that still have it, of ten minutes a call: each belongs in a transaction of
   * its own. Answers whether there is more to drop.
   */
  strip(until: number): boolean {
    const { bodies_since, day_start_at } = this.#sql
      .exec<{ bodies_since: number; day_start_at: number }>("SELECT bodies_since, day_start_at FROM trail")
      .one();
    const from = Math.max(bodies_since, day_start_at);
    const end = Math.min(from + STRIP_MS, until);
    if (from >= end) return false;
    this.#dropBodies(from, end);
    return end < until;
  }

  /** `null` for a trace that is known. */
  #insert(facts: TraceFacts, { unadmittedNanoUsd, unsettledAttempts = 0 }: TrailRow, json: string): AddedRow | null {
    const attempts = facts.attempts.map(({ provider, model, nanoUsd }) => [provider, model, nanoUsd]);
    const { isClustered } = this.layout;
    const [row] = this.#sql
      .exec<{ seq: number }>(
        isClustered ? INSERT_WHOLE : INSERT_TRACE,
        facts.id,
        facts.createdAt,
        facts.keyId,
        facts.app,
        facts.route,
        facts.status,
        facts.provider,
        JSON.stringify(attempts),
        unadmittedNanoUsd,
        unsettledAttempts,
        ...(isClustered ? [json] : []),
      )
      .toArray();
    if (row === undefined) return null;
    if (!isClustered && json !== "") this.#sql.exec("INSERT INTO body (seq, trace) VALUES (?, ?)", row.seq, json);
    return { seq: row.seq, bodies: json === "" ? 0 : 1 };
  }

  /** In place of a row that says less; `null` where the one that is known stays. */
  #replace(facts: TraceFacts, row: TrailRow, json: string, usage: UsageBatch, attempts: AttemptTally): AddedRow | null {
    const { id, createdAt } = facts;
    const [known] = this.#sql.exec<CountedRow>(FIND_UNSETTLED, createdAt, id, row.unsettledAttempts ?? 0).toArray();
    if (known === undefined) return null;
    const counted = readAttempts(known.attempts).map((attempt) => ({ ...attempt, outcome: UNSETTLED }));
    usage.add(factsOfRow({ ...known, env: facts.env }, counted), known.unadmitted_nano_usd, -1);
    attempts.add(counted, -1);
    const stripped = this.#sql.exec(this.layout.strip("created_at = ? AND id = ?"), createdAt, id).toArray();
    this.#sql.exec("DELETE FROM trace WHERE created_at = ? AND id = ?", createdAt, id);
    const added = this.#insert(facts, row, json);
    return added === null ? null : { ...added, bodies: added.bodies - stripped.length };
  }

  /** Notes how many bodies there are now, and the last trace. Above the limit, drops all bodies but the newest. */
  keepNewest(state: BodyState, counted: number): void {
    const after = state.bodies > this.#limits.bodies + this.#limits.slack ? this.#trim(state) : state;
    this.#sql.exec(
      "UPDATE trail SET bodies_since = ?, bodies = ?, usage_seq = ?, changes = changes + 1",
      ...[after.bodies_since, after.bodies, counted],
    );
  }

  #trim({ bodies_since, bodies }: BodyState): BodyState {
    const { created_at: since } = this.#sql
      .exec<{ created_at: number }>(
        "SELECT created_at FROM trace ORDER BY created_at DESC LIMIT 1 OFFSET ?",
        this.#limits.bodies - 1,
      )
      .one();
    const condition = "created_at >= ? AND created_at < ?";
    const dropped = this.#sql.exec(this.layout.strip(condition), bodies_since, since);
    return { bodies_since: since, bodies: bodies - dropped.toArray().length };
  }

  #dropBodies(from: number, end: number): void {
    const dropped = this.#sql.exec(this.layout.strip("created_at >= ? AND created_at < ?"), from, end).toArray();
    this.#sql.exec("UPDATE trail SET bodies_since = ?, bodies = max(0, bodies - ?)", end, dropped.length);
  }
}
