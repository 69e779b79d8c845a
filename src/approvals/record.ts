/**
 * One key's recorded tool calls: what may be released, what a result may be admitted for, who decided.
 *
 * Knows neither clock nor runtime. Every method is synchronous and belongs to a transaction of its caller.
 */
import { randomBase62 } from "../lib/text/base62.ts";
import { migrate } from "./approvals-schema.sql.ts";
import { COLUMNS, NamedCalls, type Row, UndecidedCalls } from "./call-rows.ts";
import { canonicalJson, sameArguments } from "./match.ts";
import type {
  AnswerToRecord,
  Approval,
  ApprovalNote,
  ApprovalOutline,
  CallClaim,
  CheckAnswer,
  ClaimVerdict,
  DecideAnswer,
  Decision,
  RecordAnswer,
  ResultClaim,
  Ruling,
  StoredStep,
} from "./types.ts";

const DAY_MS = 86_400_000;
/** How long the result of an approved call is admitted. */
export const ADMITTED_MS = 30 * DAY_MS;
/** A call may be decided for 30 days and its result admitted for 30 more: then its arguments are no longer needed. */
const ARGUMENTS_KEPT_MS = 61 * DAY_MS;
/** What is forgotten altogether counts as never recorded. */
const CALLS_KEPT_MS = 365 * DAY_MS;
const STEPS_KEPT_MS = 30 * DAY_MS;
/** How long an isolate may believe, without asking again, that the key has no recorded call. */
export const BELIEF_MS = 5_000;
/** Clocks of two machines run at slightly different speeds. */
const BELIEF_MARGIN_MS = 250;

/** SQLite in Durable Objects refuses rows above 2 MB. */
const MAX_ARGUMENTS_BYTES = 1_500_000;
const MAX_BODY_BYTES = 1_800_000;
const MAX_NAME_LENGTH = 1_000;
const MAX_CALLS = 256;
const OWN_ID_LENGTH = 24;
const PRUNED_AT_A_TIME = 500;
/** Arguments that a list has at once. A page of 1,000 such calls has 4 million characters. */
const OUTLINE_CHARACTERS = 4_096;

const INSERT_CALL = `
  INSERT INTO call (id, trace_id, position, kind, name, arguments, sha256, status, key_id, env, app, route,
    created_at_ms, expires_at_ms, decided_by, decided_at_ms, unsent)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

export class CallRecord {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    migrate(sql);
  }

  /** Repeatable: an answer that is known keeps its ids and what was decided. */
  record(answer: AnswerToRecord, now: number): RecordAnswer {
    if (isTooLarge(answer)) return { ok: false, reason: "too_large" };
    if (this.ruling(answer.traceId, now) === null) this.#insert(answer, now);
    const ruling = this.ruling(answer.traceId, now);
    // An answer without calls is not recorded by anyone.
    if (ruling === null) return { ok: false, reason: "too_large" };
    return { ok: true, ruling, releaseInMs: Math.max(0, this.#noneUntil() - now) };
  }

  #insert({ traceId, keyId, env, app, route, ttlMs, calls, step }: AnswerToRecord, now: number): void {
    const expiresAt = now + ttlMs;
    for (const [position, call] of calls.entries()) {
      const isFree = call.id !== null && this.#find(call.id) === null;
      const isDecided = call.verdict !== "pending";
      this.#sql.exec(
        INSERT_CALL,
        ...[isFree ? call.id : `call_${randomBase62(OWN_ID_LENGTH)}`, traceId, position, call.kind, call.name],
        ...[call.arguments, call.sha256, call.verdict, keyId, env, app, route, now, expiresAt],
        ...[isDecided ? "policy" : null, isDecided ? now : null, isDecided ? 0 : 1],
      );
    }
    if (step === null) return;
    this.#sql.exec(
      "INSERT INTO step (trace_id, digest, body, expires_at_ms) VALUES (?, ?, ?, ?)",
      ...[traceId, step.digest, step.body, expiresAt],
    );
  }

  /** The calls of an answer and what became of them; `null` for an answer that was not recorded. */
  ruling(traceId: string, now: number): Ruling | null {
    const rows = this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM call WHERE trace_id = ? ORDER BY position`, traceId)
      .toArray();
    const [first] = rows;
    if (first === undefined) return null;
    const calls = rows.map((row) => ({ id: row.id, name: row.name, status: statusOf(row, now) }));
    return { calls, expiresAt: first.expires_at_ms };
  }

  step(traceId: string, now: number): StoredStep | null {
    const query = "SELECT digest, body FROM step WHERE trace_id = ?";
    const [step] = this.#sql.exec<{ digest: string; body: string }>(query, traceId).toArray();
    const ruling = step === undefined ? null : this.ruling(traceId, now);
    return step === undefined || ruling === null ? null : { ...step, ruling };
  }

  /**
   * May the results of these calls go on to a model? `isGated`: calls may be recorded soon, so from now on no isolate
   * may believe that there are none. `app`: on whose behalf the key calls; `null` looks for no call under another id.
   */
  check(claims: readonly ResultClaim[], isGated: boolean, app: string | null, now: number): CheckAnswer {
    if (isGated) this.#sql.exec("UPDATE belief SET is_over = 1 WHERE is_over = 0");
    if (this.isEmpty() && !this.#isBeliefOver()) {
      this.#sql.exec("UPDATE belief SET none_until_ms = ?", now + BELIEF_MS + BELIEF_MARGIN_MS);
      return { verdicts: claims.map(() => "unknown"), recorded: claims.map(() => null), noneForMs: BELIEF_MS };
    }
    const known = new NamedCalls(this.#sql);
    const twins = app === null ? null : new UndecidedCalls(this.#sql, app, now);
    const judged = claims.map((claim) => this.#judge(claim, known, twins, now));
    return {
      verdicts: judged.map(({ verdict }) => verdict),
      recorded: judged.map(({ recorded }) => recorded),
      noneForMs: 0,
      hasCalls: !this.isEmpty(),
    };
  }

  #judge(claim: ResultClaim, known: NamedCalls, undecided: UndecidedCalls | null, now: number): Judgement {
    const verdict = claim.by === "id" ? this.#judgeById(claim, now) : this.#judgeByName(claim, known, now);
    const twin = verdict === "unknown" ? (undecided?.find(claim.calls) ?? null) : null;
    return twin === null ? { verdict, recorded: null } : { verdict: verdictOn(twin, now), recorded: twin.id };
  }

  #judgeById({ id, calls }: ResultClaim, now: number): ClaimVerdict {
    const row = this.#find(id);
    if (row === null) return "unknown";
    const verdict = verdictOn(row, now);
    // A result of a call that the conversation does not show, or shows in two ways, cannot be held against the record.
    const isUnaltered = calls.length > 0 && calls.every((call) => isSameCall(row, call));
    return verdict === "admitted" && !isUnaltered ? "altered" : verdict;
  }

  /** The newest call of this name with these arguments decides. */
  #judgeByName({ id: name, calls }: ResultClaim, known: NamedCalls, now: number): ClaimVerdict {
    const named = known.of(name);
    if (named.rows.length === 0) return "unknown";
    const text = calls[0]?.arguments ?? null;
    if (text === null) return "altered";
    const same = canonicalJson(text);
    const found = named.rows.find((row, at) => {
      if (row.arguments === null || row.arguments === text) return row.arguments !== null;
      return same !== null && same === named.canonical(at);
    });
    return found === undefined ? "altered" : verdictOn(found, now);
  }

  /** Repeatable: the same decision twice is the same answer. */
  decide({ id, decision, reason, by, within }: Decision, now: number): DecideAnswer {
    const row = this.#find(id);
    const isVisible =
      row !== null && (within === null || (within.env === row.env && (within.apps?.includes(row.app) ?? true)));
    if (!isVisible) return { ok: false, reason: "not_found" };
    const wanted = decision === "approve" ? "approved" : "denied";
    const status = statusOf(row, now);
    if (status === "expired") return { ok: false, reason: "expired", approval: toApproval(row, now) };
    if (status === "pending") {
      const update =
        "UPDATE call SET status = ?, decided_by = ?, decided_at_ms = ?, reason = ?, unsent = 1 WHERE seq = ?";
      this.#sql.exec(update, wanted, by, now, reason, row.seq);
    } else if (status !== wanted) return { ok: false, reason: "decided", approval: toApproval(row, now) };
    return { ok: true, approval: toApproval(this.#find(id) ?? row, now) };
  }

  /** In the order of `ids`, without those that are not on record. */
  show(ids: readonly string[], now: number): Approval[] {
    return ids
      .map((id) => this.#find(id))
      .filter((row) => row !== null)
      .map((row) => toApproval(row, now));
  }

  /** The same for a list: arguments above 4 Ki characters are left out, so that any list crosses to its reader. */
  outline(ids: readonly string[], now: number): ApprovalOutline[] {
    return this.show(ids, now).map((approval) => {
      const { length } = approval.arguments;
      if (length <= OUTLINE_CHARACTERS) return { approval, missing: 0 };
      return { approval: { ...approval, arguments: "" }, missing: length };
    });
  }

  /** The arguments of these calls, in their order. The caller knows from an outline that they are not too many. */
  argumentsOf(ids: readonly string[]): string[] {
    return ids.map((id) => this.#find(id)?.arguments ?? "");
  }

  traceOf(id: string): string | null {
    return this.#find(id)?.trace_id ?? null;
  }

  /** What the control plane does not know yet, oldest first. */
  unsent(limit: number): ApprovalNote[] {
    const query = `SELECT ${COLUMNS} FROM call WHERE unsent = 1 ORDER BY seq LIMIT ?`;
    return this.#sql.exec<Row>(query, limit).toArray().map(toNote);
  }

  /** The control plane has these. One that was decided meanwhile still waits. */
  noteSent(notes: readonly ApprovalNote[]): void {
    for (const { toolCallId, status } of notes) {
      this.#sql.exec("UPDATE call SET unsent = 0 WHERE id = ? AND status = ?", toolCallId, status);
    }
  }

  /** Deletes what can no longer be asked for, some rows at a time. True when there may be more to forget. */
  prune(now: number): boolean {
    const old = "SELECT seq FROM call WHERE created_at_ms <= ? AND arguments IS NOT NULL ORDER BY seq LIMIT ?";
    const blanked = this.#sql.exec<{ seq: number }>(old, now - ARGUMENTS_KEPT_MS, PRUNED_AT_A_TIME).toArray();
    for (const { seq } of blanked) this.#sql.exec("UPDATE call SET arguments = NULL WHERE seq = ?", seq);
    const gone = "SELECT seq FROM call WHERE created_at_ms <= ? ORDER BY seq LIMIT ?";
    const forgotten = this.#sql.exec<{ seq: number }>(gone, now - CALLS_KEPT_MS, PRUNED_AT_A_TIME).toArray();
    for (const { seq } of forgotten) this.#sql.exec("DELETE FROM call WHERE seq = ?", seq);
    this.#sql.exec("DELETE FROM step WHERE expires_at_ms <= ?", now - STEPS_KEPT_MS);
    return Math.max(blanked.length, forgotten.length) === PRUNED_AT_A_TIME;
  }

  /** Nothing was ever recorded, or all of it is forgotten. */
  isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 AS one FROM call LIMIT 1").toArray().length === 0;
  }

  #noneUntil(): number {
    return this.#sql.exec<{ none_until_ms: number }>("SELECT none_until_ms FROM belief").one().none_until_ms;
  }

  #isBeliefOver(): boolean {
    return this.#sql.exec<{ is_over: number }>("SELECT is_over FROM belief").one().is_over === 1;
  }

  #find(id: string): Row | null {
    return this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM call WHERE id = ?`, id).toArray()[0] ?? null;
  }
}

const encoder = new TextEncoder();

function isTooLarge({ calls, step }: AnswerToRecord): boolean {
  const hasLongCall = calls.some(
    ({ id, name, arguments: text }) =>
      Math.max(id?.length ?? 0, name.length) > MAX_NAME_LENGTH || encoder.encode(text).length > MAX_ARGUMENTS_BYTES,
  );
  const bodyBytes = step === null ? 0 : encoder.encode(step.body).length;
  return hasLongCall || calls.length > MAX_CALLS || bodyBytes > MAX_BODY_BYTES;
}

/** What a later release may have made of a call is no approval here. */
function statusOf({ status, expires_at_ms }: Row, now: number): Approval["status"] {
  if (status !== "pending" && status !== "approved") return "denied";
  return status === "pending" && expires_at_ms <= now ? "expired" : status;
}

function verdictOn(row: Row, now: number): ClaimVerdict {
  const status = statusOf(row, now);
  if (status !== "approved") return status;
  return now < (row.decided_at_ms ?? 0) + ADMITTED_MS ? "admitted" : "expired";
}

interface Judgement {
  readonly verdict: ClaimVerdict;
  readonly recorded: string | null;
}

function isSameCall(row: Row, call: CallClaim): boolean {
  if (row.name !== call.name || row.arguments === null || call.arguments === null) return false;
  // A custom tool's input is free text.
  if (row.kind === "custom" || call.kind === "custom") {
    return row.kind === call.kind && row.arguments === call.arguments;
  }
  return sameArguments(row.arguments, call.arguments);
}

function toApproval(row: Row, now: number): Approval {
  return {
    tool_call_id: row.id,
    name: row.name,
    arguments: row.arguments ?? "",
    arguments_sha256: row.sha256,
    status: statusOf(row, now),
    key_id: row.key_id,
    env: row.env,
    app: row.app,
    route: row.route,
    trace_id: row.trace_id,
    created_at: new Date(row.created_at_ms).toISOString(),
    expires_at: new Date(row.expires_at_ms).toISOString(),
    ...(row.decided_by === null ? {} : { decided_by: row.decided_by }),
    ...(row.decided_at_ms === null ? {} : { decided_at: new Date(row.decided_at_ms).toISOString() }),
    ...(row.reason === null ? {} : { reason: row.reason }),
  };
}

function toNote(row: Row): ApprovalNote {
  return {
    toolCallId: row.id,
    keyId: row.key_id,
    env: row.env,
    app: row.app,
    ...{ name: row.name, route: row.route, traceId: row.trace_id },
    status: row.status === "pending" || row.status === "approved" ? row.status : "denied",
    sha256: row.sha256,
    createdAt: row.created_at_ms,
    expiresAt: row.expires_at_ms,
    decidedBy: row.decided_by,
    decidedAt: row.decided_at_ms,
    reason: row.reason,
  };
}
