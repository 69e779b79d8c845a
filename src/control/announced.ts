/** Which of the control plane's changes are events for webhooks. */
import type { ApprovalNote } from "../approvals/types.ts";
import type { Notices } from "../notices/notices.ts";
import type { BudgetThreshold } from "../notices/types.ts";
import { pendingByEnv } from "./approvals.ts";
import type { Change } from "./journal.ts";
import type { Publisher } from "./publisher.ts";
import type { OpenTarget } from "./target-health.ts";
import type { MetricsView, TargetHealthChange, TargetUse } from "./types.ts";

const ROUTE = /^route ([^/]+)\/(.+)@(\d+)$/;
const PUBLISHED: ReadonlySet<string> = new Set(["route.publish", "route.rollback"]);

type Add = Pick<Notices, "add">;

const timeOf = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

/** Belongs to the transaction of the change. */
export function announceChange(notices: Add, { action, object, actor }: Change, now: number): void {
  const [, env, name, version] = ROUTE.exec(object) ?? [];
  if (env === undefined || name === undefined) return;
  const data = { env, name, version: Number(version), actor };
  if (PUBLISHED.has(action)) notices.add("route.published", data, now);
  if (action === "route.promote") notices.add("route.promoted", data, now);
}

/** A call that waits and that was not heard of before. */
export function announceApproval(notices: Add, note: ApprovalNote, now: number): void {
  const { toolCallId, keyId, env, app, expiresAt, name = "", route = "", traceId = "" } = note;
  const call = { tool_call_id: toolCallId, name, key_id: keyId, env, app, route, trace_id: traceId };
  notices.add("approval.pending", { ...call, expires_at: timeOf(expiresAt) }, now, `approval ${keyId} ${toolCallId}`);
}

function announceBreaker(notices: Add, change: TargetHealthChange, now: number): void {
  const slash = change.target.indexOf("/");
  const target = { provider: change.target.slice(0, slash), model: change.target.slice(slash + 1) };
  const until = change.isOpen ? timeOf(change.openUntil) : null;
  const type = change.isOpen ? "breaker.opened" : "breaker.closed";
  notices.add(type, { ...target, class: change.class ?? null, until }, now);
}

export function announceThreshold(notices: Add, threshold: BudgetThreshold, now: number): void {
  const { keyId, budget, percent, spentUsd, limitUsd, periodStart, resetsAt } = threshold;
  const whose = keyId === undefined ? { budget: budget ?? "" } : { key_id: keyId };
  const amounts = { percent, spent_usd: spentUsd, limit_usd: limitUsd };
  const period = { period_start: timeOf(periodStart), resets_at: timeOf(resetsAt) };
  const once = `budget ${keyId ?? ""} ${budget ?? ""} ${periodStart ?? 0} ${percent}`;
  notices.add("budget.threshold", { ...whose, ...amounts, ...period }, now, once);
}

/** Keeps what a target's breaker became, and announces that it opened or closed. Belongs to one transaction. */
export function noteBreaker(publisher: Publisher, notices: Add, change: TargetHealthChange, now: number): void {
  const isOpen = (): boolean => publisher.openTargets().some(({ target }) => target === change.target);
  const wasOpen = isOpen();
  publisher.noteTargetHealth(change, now);
  if (isOpen() !== wasOpen) announceBreaker(notices, change, now);
}

/** What metrics show of targets and of tool calls that wait. */
export function metricsOf(
  sql: SqlStorage,
  openTargets: readonly OpenTarget[],
  uses: readonly TargetUse[],
): MetricsView {
  const open = new Set(openTargets.map(({ target }) => target));
  const breakers = uses.map(({ provider, model }) => ({ provider, model, isOpen: open.has(`${provider}/${model}`) }));
  return { breakers, pending: pendingByEnv(sql, Date.now()) };
}
