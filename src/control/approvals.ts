/**
 * Which calls wait for a decision, or had one lately: what spans keys. The record of each key is the truth; a row here
 * only says where to ask.
 *
 * Belongs to the control plane's transactions. A decision is final, so notes may come twice and in any order.
 */
import type { ApprovalNote, ApprovalStatus } from "../approvals/types.ts";

const DAY_MS = 86_400_000;
/** How long a call is listed after its time to decide was over. */
const LISTED_MS = 30 * DAY_MS;
const FORGOTTEN_AT_A_TIME = 100;

/** A call of a key: ids of providers are unique within one key only. */
export interface ApprovalPlace {
  readonly keyId: string;
  readonly toolCallId: string;
  /** Its place in the list of all keys. */
  readonly seq: number;
}

export interface ApprovalQuery {
  readonly status?: ApprovalStatus | undefined;
  /** Only of this environment, and of these apps where they are named. */
  readonly env?: string | undefined;
  readonly apps?: readonly string[] | null | undefined;
  readonly toolCallId?: string | undefined;
  readonly keyId?: string | undefined;
  readonly limit: number;
  readonly before: number | null;
}

export type ApprovalRow = { seq: number; key_id: string; tool_call_id: string };

const UPSERT = `
  INSERT INTO approval (key_id, tool_call_id, env, app, status, created_at_ms, expires_at_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (key_id, tool_call_id) DO UPDATE SET status = excluded.status WHERE approval.status = 'pending'`;
const INSERT_AUDIT = `
  INSERT INTO audit (at_ms, actor, action, object, before_digest, after_digest, reason, before_members, after_members)
  VALUES (?, ?, ?, ?, NULL, ?, ?, '{"status":"pending"}', json_object('status', ?))`;
/** A parameter that is NULL asks for nothing. */
const SELECT = `
  SELECT seq, key_id, tool_call_id FROM approval
  WHERE seq < ?1 AND (?2 IS NULL OR CASE WHEN status = 'pending' AND expires_at_ms <= ?3 THEN 'expired' ELSE status END = ?2)
    AND (?4 IS NULL OR env = ?4) AND (?5 IS NULL OR app IN (SELECT value FROM json_each(?5)))
    AND (?6 IS NULL OR tool_call_id = ?6) AND (?7 IS NULL OR key_id = ?7)
  ORDER BY seq DESC LIMIT ?8`;

/** Keeps what the notes say, with an audit line for each decision. Run inside a transaction; repeatable. */
export function noteApprovals(
  sql: SqlStorage,
  notes: readonly ApprovalNote[],
  now: number,
  onPending: (note: ApprovalNote) => void = () => {},
): void {
  for (const note of notes) {
    const { keyId, toolCallId, env, app, status, createdAt, expiresAt } = note;
    const known = statusOf(sql, note);
    sql.exec(UPSERT, keyId, toolCallId, env, app, status, createdAt, expiresAt);
    if (status === "pending" && known === null) onPending(note);
    if (status === "pending" || (known !== null && known !== "pending")) continue;
    const action = status === "approved" ? "approval.approve" : "approval.deny";
    const object = `tool call ${toolCallId} of key ${keyId}`;
    const at = note.decidedAt ?? now;
    // An operator is named in every line alike; a key keeps its `key:`, which no operator's name can begin with.
    const actor = note.decidedBy?.replace(/^operator:/, "") ?? "";
    sql.exec(INSERT_AUDIT, at, actor, action, object, `sha256:${note.sha256}`, note.reason, status);
  }
  sql.exec(
    "DELETE FROM approval WHERE seq IN (SELECT seq FROM approval WHERE expires_at_ms <= ? LIMIT ?)",
    now - LISTED_MS,
    FORGOTTEN_AT_A_TIME,
  );
}

function statusOf(sql: SqlStorage, { keyId, toolCallId }: ApprovalNote): string | null {
  const query = "SELECT status FROM approval WHERE key_id = ? AND tool_call_id = ?";
  return sql.exec<{ status: string }>(query, keyId, toolCallId).toArray()[0]?.status ?? null;
}

/** Newest first. One row more than `limit` says that there are more. */
export function findApprovals(sql: SqlStorage, query: ApprovalQuery, now: number): ApprovalRow[] {
  const { status, env, apps, toolCallId, keyId, limit, before } = query;
  return sql
    .exec<ApprovalRow>(
      SELECT,
      before ?? Number.MAX_SAFE_INTEGER,
      status ?? null,
      now,
      env ?? null,
      apps === undefined || apps === null ? null : JSON.stringify(apps),
      toolCallId ?? null,
      keyId ?? null,
      limit + 1,
    )
    .toArray();
}

/** How many calls wait, by environment. */
export function pendingByEnv(sql: SqlStorage, now: number): Record<string, number> {
  const query = `
    SELECT env, count(*) AS count FROM approval WHERE status = 'pending' AND expires_at_ms > ? GROUP BY env`;
  const rows = sql.exec<{ env: string; count: number }>(query, now).toArray();
  return Object.fromEntries(rows.map(({ env, count }) => [env, count]));
}
