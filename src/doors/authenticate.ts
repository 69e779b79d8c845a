/** The check in front of the read endpoints: a live key with the scope they need. */
import type { Context } from "hono";
import { type AppEnv, settingsOf } from "../config.ts";
import { invalidKey } from "../http/errors.ts";
import type { KeyRecord, Scope } from "../keys/record.ts";
import { verifyToken } from "../keys/store.ts";
import { bearerToken, identify, recogniseKey, requireScope } from "../relay/authenticate.ts";

type CheckHead = () => void;

/**
 * The caller's key. Throws 401, 403 or 400 as the chat endpoint would. `check`: what is refused of the headers before the
 * key's record is read. `scope` `null`: any key will do.
 */
export async function authenticate(
  context: Context<AppEnv>,
  scope: Scope | null,
  check?: CheckHead,
): Promise<KeyRecord> {
  const key = await authenticateKey(context, check);
  const { app, clientRequestId } = identify(key, context.req.raw);
  context.set("recognised", { keyId: key.id, env: key.env, app, clientRequestId });
  if (scope !== null) requireScope(key, scope);
  return key;
}

/** The same, with the secret that what the key stored is encrypted under. */
export async function authenticateOwner(
  context: Context<AppEnv>,
  scope: Scope,
): Promise<{ readonly keyId: string; readonly secret: string; readonly key: KeyRecord }> {
  const key = await authenticate(context, scope);
  const token = await verifyToken(credential(context.req.raw), settingsOf(context.env));
  if (token === null) throw invalidKey();
  return { keyId: key.id, secret: token.key.secret, key };
}

/** Reading clients of every door send their key as they do there: an `x-api-key` of ours counts without a bearer token. */
function credential(request: Request): string {
  const { headers } = request;
  const named = headers.get("x-api-key") ?? "";
  return headers.get("authorization") === null && named.startsWith("fl_") ? named : bearerToken(request);
}

/** Any live key, whatever the other headers say: all that a path under `/v1` asks for before it says what it is. */
export async function authenticateKey(context: Context<AppEnv>, check?: CheckHead): Promise<KeyRecord> {
  const token = await verifyToken(credential(context.req.raw), settingsOf(context.env));
  if (token === null) throw invalidKey();
  check?.();
  const now = context.get("receivedAt");
  const key = await recogniseKey(token, context.env, now, (work) => context.executionCtx.waitUntil(work));
  context.set("recognised", { keyId: key.id, env: key.env, app: null, clientRequestId: null });
  return key;
}

/** The same for a key that came in another header than `Authorization`. */
export async function authenticateToken(context: Context<AppEnv>, bearer: string, scope: Scope): Promise<KeyRecord> {
  const token = await verifyToken(bearer, settingsOf(context.env));
  if (token === null) throw invalidKey();
  const now = context.get("receivedAt");
  const key = await recogniseKey(token, context.env, now, (work) => context.executionCtx.waitUntil(work));
  context.set("recognised", { keyId: key.id, env: key.env, app: null, clientRequestId: null });
  requireScope(key, scope);
  return key;
}
