/** What everything that asks for an operator's token has in common: where it answers, whose a token is, wrong ones. */
import type { Context } from "hono";
import { type AppEnv, type Settings, settingsOf } from "../../config.ts";
import { mayTryAgain } from "../../http/attempts.ts";
import { RouterError } from "../../http/errors.ts";
import { equalSecrets } from "../../keys/hash.ts";
import { MIN_TOKEN_LENGTH, type Operator } from "../../keys/operators.ts";

/** The part of Hono's context that is read here: whatever else a caller keeps in it. */
type Asked = Pick<Context<AppEnv>, "env" | "req">;

/**
 * The deployment's settings. Throws 404 on another host than `FLOW_ADMIN_HOST`, and 503 while there is no operator.
 */
export function refuseWhereOff(c: Asked): Settings {
  const settings = settingsOf(c.env);
  if (!isAdminHost(settings.adminHost, new URL(c.req.url))) throw new RouterError("not_found", "Not found.");
  if (settings.operators.length > 0) return settings;
  throw new RouterError(
    "admin_disabled",
    `The control plane is off. Set the secret FLOW_ADMIN_TOKEN to at least ${MIN_TOKEN_LENGTH} characters.`,
  );
}

/** The refusal of a wrong token, which is counted: 429 after ten a minute of one address. */
export async function refuseWrongToken(c: Asked): Promise<RouterError> {
  // Only Cloudflare says where a request comes from. Without it, as in local work, no address is counted.
  const address = c.req.header("cf-connecting-ip");
  const isTooMany = address !== undefined && !(await mayTryAgain(c.env.ADMIN_ATTEMPTS, address, Date.now()));
  return isTooMany ? tooManyAttempts() : wrongToken();
}

export function wrongToken(): RouterError {
  return new RouterError("invalid_api_key", "The admin token is not valid. API keys do not work here.");
}

function tooManyAttempts(): RouterError {
  const message = "Too many wrong admin tokens came from this address. Try again in a minute.";
  return new RouterError("rate_limit_exceeded", message, { headers: { "retry-after": "60" } });
}

/** `/admin`, the console and its files answer on one host only, where one is named. */
export function isAdminHost(host: string, url: URL): boolean {
  return host === "" || host === url.host || host === url.hostname;
}

export async function holderOf(token: string, operators: readonly Operator[]): Promise<Operator | undefined> {
  const equal = await Promise.all(operators.map((operator) => equalSecrets(operator.token, token)));
  return operators[equal.indexOf(true)];
}
