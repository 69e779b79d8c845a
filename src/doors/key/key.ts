/** `GET /v1/key`: what the caller's own key may do, what it has spent, and what is left of its limits. */
import type { Context } from "hono";
import type { AppEnv } from "../../config.ts";
import { refuseQuery } from "../../http/query.ts";
import { toPublicKey } from "../../keys/record.ts";
import { keyStanding } from "../../ledger/client/client.ts";
import { authenticate } from "../authenticate.ts";

/** For every live key, whatever its scopes. Throws 503 `ledger_unavailable` where its ledger does not answer. */
export async function getKey(context: Context<AppEnv>): Promise<Response> {
  const key = await authenticate(context, null);
  refuseQuery(context);
  const { spend, limitsRemaining } = await keyStanding(context.env.KEY_LEDGER, key);
  return context.json({ ...toPublicKey(key, Date.now()), spend, limits_remaining: limitsRemaining });
}
