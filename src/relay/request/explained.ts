/**
 * `x-flowlayer-explain: true` on any door: what would become of the request, as JSON, also for a stream. It counts as one
 * request, costs nothing and leaves no trace.
 */
import { countRequest } from "../../ledger/client/client.ts";
import { ledgerRefusal } from "../admission/admission-refusals.ts";
import { EXPLAIN_HEADER } from "../authenticate-controls.ts";
import { explain, type Subject } from "../explain.ts";
import type { AnyRun } from "./run.ts";

/** What is neither was refused with the other headers. */
export function wantsExplanation(headers: Headers): boolean {
  return headers.get(EXPLAIN_HEADER)?.toLowerCase() === "true";
}

export async function explainStep(
  run: AnyRun,
  asked: Pick<Subject, "request" | "caller" | "route" | "wire" | "operation">,
): Promise<Response> {
  const { exchange, env, health, waitUntil } = run;
  const { key } = asked.caller;
  if (key.limits?.requests_per_minute !== undefined) {
    const terms = { version: key.version, budget: key.budget, limits: key.limits };
    const waitMs = await countRequest(env.KEY_LEDGER, key.id, terms);
    if (waitMs !== null) {
      // Without its route the request is one that was refused before it reached one: it leaves no settled trace.
      exchange.route = null;
      throw ledgerRefusal("requests", key, { waitMs, tokens: 0, rate: null, now: Date.now() });
    }
  }
  const now = Date.now();
  const answer = await explain({ ...asked, exchange, env, health, waitUntil, at: now, showsDetail: false });
  run.deadlines.stop();
  const headers = { ...exchange.toHeaders(now), "cache-control": "no-store" };
  return Response.json(answer, { headers });
}
