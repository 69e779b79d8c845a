/**
 * Who may use `/admin`: the holders of the deployment's operator tokens. While there are none, `/admin` is off.
 *
 * Without a usable `FLOW_ADMIN_TOKEN` everything is off, further operators included. Every configured token is
 * compared, whichever matched, so that the time taken does not tell which operators exist.
 */
import type { MiddlewareHandler } from "hono";
import { type AppEnv, settingsOf } from "../config.ts";
import { RouterError } from "../http/errors.ts";
import { equalSecrets } from "../keys/hash.ts";
import { MIN_TOKEN_LENGTH, type Operator, type Role } from "../keys/operators.ts";
import { mayTryAgain } from "./attempts.ts";
import { requireRole, roleOfCall } from "./roles.ts";

const BEARER = /^bearer +(\S+)$/i;

export interface AdminEnv extends AppEnv {
  Variables: AppEnv["Variables"] & {
    /** Name of the operator, for the audit log. */
    actor: string;
    role: Role;
  };
}

export const authorize: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const settings = settingsOf(c.env);
  if (!isAdminHost(settings.adminHost, new URL(c.req.url))) throw new RouterError("not_found", "Not found.");
  const { operators } = settings;
  if (operators.length === 0) {
    throw new RouterError(
      "admin_disabled",
      `The control plane is off. Set the secret FLOW_ADMIN_TOKEN to at least ${MIN_TOKEN_LENGTH} characters.`,
    );
  }
  const header = c.req.header("authorization") ?? "";
  if (header === "") {
    throw new RouterError("missing_api_key", "Send the admin token as `Authorization: Bearer <FLOW_ADMIN_TOKEN>`.");
  }
  const token = BEARER.exec(header)?.[1];
  const operator = token === undefined ? undefined : await holderOf(token, operators);
  if (operator === undefined) {
    // Only Cloudflare says where a request comes from. Without it, as in local work, tokens are not counted.
    const address = c.req.header("cf-connecting-ip");
    const isCounted = token !== undefined && address !== undefined;
    if (isCounted && !(await mayTryAgain(c.env.ADMIN_ATTEMPTS, address, Date.now()))) throw tooManyAttempts();
    throw new RouterError("invalid_api_key", "The admin token is not valid. API keys do not work here.");
  }
  c.set("actor", operator.name);
  c.set("role", operator.role);
  requireRole(operator.role, roleOfCall(c.req.method, c.req.path));
  await next();
};

function tooManyAttempts(): RouterError {
  const message = "Too many wrong admin tokens came from this address. Try again in a minute.";
  return new RouterError("rate_limit_exceeded", message, { headers: { "retry-after": "60" } });
}

function isAdminHost(host: string, url: URL): boolean {
  return host === "" || host === url.host || host === url.hostname;
}

async function holderOf(token: string, operators: readonly Operator[]): Promise<Operator | undefined> {
  const equal = await Promise.all(operators.map((operator) => equalSecrets(operator.token, token)));
  return operators[equal.indexOf(true)];
}
