/**
 * `GET /v1/approvals` and `POST /v1/approvals/{tool_call_id}`: a key with the scope `approvals:decide` sees and decides the
 * tool calls of the other keys of its environment, within its apps. Its own calls are for others to decide.
 */
import type { Context } from "hono";
import { decideCall, showApprovals } from "../../approvals/client.ts";
import { DecisionRequest, decided, onePlace } from "../../approvals/decision.ts";
import { APPROVAL_STATUSES } from "../../approvals/types.ts";
import type { AppEnv } from "../../config.ts";
import { withControl } from "../../control/client.ts";
import { BODY_LIMITS, OpenBody } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { readOpened } from "../../http/json-body.ts";
import { listBody } from "../../http/pagination.ts";
import { listParameters, matchingKey, oneOf, readQuery } from "../../http/query.ts";
import type { KeyRecord } from "../../keys/record.ts";
import { authenticate } from "../authenticate.ts";

/** An id in two keys is asked for with the key; a third one would change nothing. */
const MAX_PLACES = 10;

export async function getApprovals(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, "approvals:decide");
  const wanted = oneOf("status", readQuery(context, ["status", "limit", "cursor"]).status, APPROVAL_STATUSES);
  const query = { ...within(key), status: wanted, ...listParameters(context, ["status"]) };
  const page = await unlessDown(withControl(context.env.CONTROL_PLANE, (control) => control.listApprovals(query)));
  const shown = await showApprovals(context.env.TOOL_APPROVALS, page.data);
  // The list may be a moment behind the records.
  const data = shown.data.filter((approval) => wanted === undefined || approval.status === wanted);
  return context.json(listBody({ data, nextCursor: shown.cutAfter ?? page.nextCursor }, (approval) => approval));
}

export async function postApproval(context: Context<AppEnv>): Promise<Response> {
  const opened: OpenBody[] = [];
  try {
    const key = await authenticate(context, "approvals:decide", () => {
      opened.push(new OpenBody(context.req.raw, context.get("receivedAt"), BODY_LIMITS.decision));
    });
    const [body] = opened;
    if (body === undefined) throw new TypeError("The head was not checked.");
    return await decide(context, key, await readOpened(body, DecisionRequest));
  } finally {
    for (const body of opened) body.release();
  }
}

async function decide(
  context: Context<AppEnv>,
  key: KeyRecord,
  { decision, reason }: DecisionRequest,
): Promise<Response> {
  const toolCallId = context.req.param("id") ?? "";
  const query = {
    ...within(key),
    toolCallId,
    keyId: matchingKey(readQuery(context, ["key"]).key),
    limit: MAX_PLACES,
    before: null,
  };
  const page = await unlessDown(withControl(context.env.CONTROL_PLANE, (control) => control.listApprovals(query)));
  const { keyId } = onePlace(page.data, key.id);
  if (keyId === key.id) {
    const message = "A key cannot decide its own tool calls. Use another key with the scope `approvals:decide`.";
    throw new RouterError("scope_required", message);
  }
  const answer = await decideCall(context.env.TOOL_APPROVALS, keyId, {
    ...{ id: toolCallId, decision, reason: reason ?? null, by: `key:${key.id}` },
    within: { env: key.env, apps: key.apps },
  });
  return context.json(decided(answer));
}

const within = ({ env, apps }: KeyRecord) => ({ env, apps });

async function unlessDown<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch {
    throw new RouterError(
      "ledger_unavailable",
      "The list of tool calls cannot be read at the moment. Try again shortly.",
    );
  }
}
