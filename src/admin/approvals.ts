/**
 * `/admin/approvals`: operators see and decide the tool calls of all keys.
 *
 * The list says which calls there are, the record of each key what became of them. The audit line of a decision is
 * written when the record announces it.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { decideCall, showApprovals } from "../approvals/client.ts";
import { DecisionRequest, decided, onePlace } from "../approvals/decision.ts";
import { APPROVAL_STATUSES, type Approval } from "../approvals/types.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { readJson } from "../http/json-body.ts";
import { listBody } from "../http/pagination.ts";
import { listParameters, matchingKey, oneOf, readQuery } from "../http/query.ts";
import { includesRole } from "../keys/operators.ts";
import type { AdminEnv } from "./access/authorize.ts";

/** An id in two keys is asked for with the key; a third one would change nothing. */
const MAX_PLACES = 10;

export const approvalsApp = new Hono<AdminEnv>();

approvalsApp.get("/", async (c) => {
  const query = readQuery(c, ["status", "key", "limit", "cursor", "arguments"]);
  const isBrief = oneOf("arguments", query.arguments, ["true", "false"]) === "false";
  const status = oneOf("status", query.status, APPROVAL_STATUSES);
  const keyId = matchingKey(query.key);
  const { limit, before } = listParameters(c, ["status", "key", "arguments"]);
  const page = await withControl(c.env.CONTROL_PLANE, (control) =>
    control.listApprovals({ status, keyId, limit, before }),
  );
  const shown = await showApprovals(c.env.TOOL_APPROVALS, page.data);
  // The list may be a moment behind the records.
  const listed = shown.data.filter((approval) => status === undefined || approval.status === status);
  const data = await forRole(c, listed, isBrief);
  return c.json(listBody({ data, nextCursor: shown.cutAfter ?? page.nextCursor }, (approval) => approval));
});

type ShownApproval = Omit<Approval, "arguments"> & { readonly arguments: string | null };

/**
 * Arguments are for those who decide, and who saw them is in the audit log. A reader who counts or waits asks with
 * `arguments=false` and leaves no line there.
 */
async function forRole(
  c: Context<AdminEnv>,
  approvals: readonly Approval[],
  isBrief: boolean,
): Promise<readonly ShownApproval[]> {
  if (isBrief || !includesRole(c.get("role"), "approve"))
    return approvals.map((each) => ({ ...each, arguments: null }));
  if (approvals.length === 0) return approvals;
  const names = approvals.map(({ tool_call_id, key_id }) => `tool call ${tool_call_id} of key ${key_id}`);
  const [first = ""] = names;
  const object = names.length === 1 ? first : `tool calls (${names.length})`;
  const detail = names.length === 1 ? undefined : { tool_calls: names };
  await controlPlane(c.env.CONTROL_PLANE).noteShown(c.get("actor"), "approval.read", object, detail);
  return approvals;
}

approvalsApp.post("/:id", async (c) => {
  const { key } = readQuery(c, ["key"]);
  const keyId = matchingKey(key);
  const { decision, reason } = await readJson(c, DecisionRequest, BODY_LIMITS.decision);
  const toolCallId = c.req.param("id");
  const page = await withControl(c.env.CONTROL_PLANE, (control) =>
    control.listApprovals({ toolCallId, keyId, limit: MAX_PLACES, before: null }),
  );
  // A call that the list has not heard of yet: the operator knows whose it is.
  const isUnlisted = page.data.length === 0 && keyId !== undefined;
  const place = onePlace(isUnlisted ? [{ keyId, toolCallId, seq: 0 }] : page.data);
  const answer = await decideCall(c.env.TOOL_APPROVALS, place.keyId, {
    ...{ id: toolCallId, decision, reason: reason ?? null, by: `operator:${c.get("actor")}`, within: null },
  });
  return c.json(decided(answer));
});
