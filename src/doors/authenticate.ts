/** The check in front of the read endpoints: a live key with the scope they need. */
import type { Context } from "hono";
import type { AppEnv } from "../config.ts";
import { invalidKey } from "../http/errors.ts";
import type { KeyRecord, Scope } from "../keys/record.ts";
import { verifyToken } from "../keys/store.ts";
import { bearerToken, identify, requireScope } from "../relay/authenticate.ts";

/**
 * The caller's key. Throws 401, 403 or 400 as the chat endpoint would. `null` scope: any live key. `check`: what is to be
 * refused of the headers before the key's record is read.
 */
export async function authenticate(
  context: Context<AppEnv>,
  scope: Scope | null,
  check: (headers: Headers) => void = () => {},
): Promise<KeyRecord> {
  const { headers } = context.req.raw;
  const token = await verifyToken(bearerToken(headers), context.env.FLOW_KEY_PEPPER ?? "");
  if (token === null) throw invalidKey();
  check(headers);
  const now = context.get("receivedAt");
  const caller = await identify(token, headers, context.env.CONFIG, now, (work) =>
    context.executionCtx.waitUntil(work),
  );
  if (scope !== null) requireScope(caller.key, scope);
  return caller.key;
}
