/**
 * `x-flowlayer-explain: true` on any door: what would become of the request, as JSON, also for a stream. It counts as one
 * request, costs nothing and leaves no trace.
 */
import { RouterError } from "../../http/errors.ts";
import { countRequest } from "../../ledger/client/client.ts";
import { explain, type Subject } from "../explain.ts";
import type { AnyRun } from "./run.ts";

export function wantsExplanation(headers: Headers): boolean {
  return headers.get("x-flowlayer-explain")?.toLowerCase() === "true";
}

export async function explainStep(
  run: AnyRun,
  asked: Pick<Subject, "request" | "caller" | "route" | "wire" | "operation">,
): Promise<Response> {
  const { exchange, env, health, waitUntil } = run;
  const { key } = asked.caller;
  if (key.limits?.requests_per_minute !== undefined) {
    const terms = { version: key.version, budget: key.budget, limits: key.limits };
    if (!(await countRequest(env.KEY_LEDGER, key.id, terms))) {
      // Without its route the request is one that was refused before it reached one: it leaves no settled trace.
      exchange.route = null;
      const message = `The limit of ${key.limits.requests_per_minute} requests per minute is reached. Try again in a minute.`;
      throw new RouterError("rate_limit_exceeded", message, { headers: { "retry-after": "60" } });
    }
  }
  const now = Date.now();
  const answer = await explain({ ...asked, exchange, env, health, waitUntil, at: now, showsDetail: false });
  run.deadlines.stop();
  const headers = { ...exchange.toHeaders(now), "cache-control": "no-store" };
  return Response.json(answer, { headers });
}
