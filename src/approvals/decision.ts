/** A decision as it is asked for over HTTP, by a key or by an operator, and its answers. */
import * as z from "zod/mini";
import { RouterError } from "../http/errors.ts";
import type { Approval, DecideAnswer } from "./types.ts";

/** Body of `POST …/approvals/{tool_call_id}`. */
export const DecisionRequest = z.strictObject({
  decision: z.enum(["approve", "deny"]),
  reason: z.optional(z.string().check(z.maxLength(1_000))),
});
export type DecisionRequest = z.infer<typeof DecisionRequest>;

/**
 * Which key's call is meant. Throws 404 when there is none, 400 when an id stands for calls of several keys. A call of
 * `ownKeyId`, which that key may not decide, counts: the decider may have meant it.
 */
export function onePlace<Place extends { readonly keyId: string }>(places: readonly Place[], ownKeyId?: string): Place {
  const [place] = places;
  if (place === undefined) throw noSuchCall();
  if (places.length === 1) return place;
  const keys = places.flatMap(({ keyId }) => (keyId === ownKeyId ? [] : [keyId])).join(", ");
  const message = `Several keys have a tool call with this id. Add \`?key=<key id>\` with one of ${keys}.`;
  throw new RouterError("invalid_request", message, { param: "key" });
}

/** The approval as it was decided. Throws 404, 409 when it was decided otherwise, 403 when its time is over. */
export function decided(answer: DecideAnswer): Approval {
  if (answer.ok) return answer.approval;
  if (answer.reason === "not_found") throw noSuchCall();
  const { approval } = answer;
  if (answer.reason === "decided") {
    const message = `This tool call is ${approval.status} already, and a decision is final.`;
    throw new RouterError("approval_decided", message, { details: { approval } });
  }
  const message = `The time to decide this tool call ended at ${approval.expires_at}. The agent has to make it again.`;
  throw new RouterError("tool_approval_expired", message, { details: { tool_calls: [approval.tool_call_id] } });
}

function noSuchCall(): RouterError {
  return new RouterError("not_found", "No pending tool call with this id is yours to decide.");
}
