/**
 * Who may use `/admin`: the holders of the deployment's operator tokens, and nobody while there is none.
 *
 * Without a usable `FLOW_ADMIN_TOKEN` everything is off, further operators included. Every configured token is
 * compared, whichever matched, so that the time taken does not tell which operators exist.
 */
import type { MiddlewareHandler } from "hono";
import { type AppEnv, type Settings, settingsOf } from "../config.ts";
import { RouterError } from "../http/errors.ts";
import { equalSecrets } from "../keys/hash.ts";
import { mayTryAgain } from "./attempts.ts";

/** Shorter tokens can be guessed; they count as absent. */
const MIN_TOKEN_LENGTH = 32;
/** The holder of `FLOW_ADMIN_TOKEN`. No further operator may take this name: the audit log could not tell them apart. */
const MAIN_OPERATOR = "admin";
const OPERATOR = /^([A-Za-z0-9][A-Za-z0-9._@-]{0,62}):(.+)$/;
const BEARER = /^bearer +(\S+)$/i;

export interface AdminEnv extends AppEnv {
  Variables: AppEnv["Variables"] & {
    /** Name of the operator, for the audit log. */
    actor: string;
  };
}

interface Operator {
  readonly name: string;
  readonly token: string;
}

export const authorize: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const settings = settingsOf(c.env);
  if (!isAdminHost(settings.adminHost, new URL(c.req.url))) throw new RouterError("not_found", "Not found.");
  const operators = operatorsOf(settings.operators);
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
  const actor = token === undefined ? undefined : await holderOf(token, operators);
  if (actor === undefined) {
    // Only Cloudflare says where a request comes from. Without it, as in local work, nobody is counted.
    const address = c.req.header("cf-connecting-ip");
    const isCounted = token !== undefined && address !== undefined;
    if (isCounted && !(await mayTryAgain(c.env.ADMIN_ATTEMPTS, address, Date.now()))) throw tooManyAttempts();
    throw new RouterError("invalid_api_key", "The admin token is not valid. API keys do not work here.");
  }
  c.set("actor", actor);
  await next();
};

function tooManyAttempts(): RouterError {
  const message = "Too many wrong admin tokens came from this address. Try again in a minute.";
  return new RouterError("rate_limit_exceeded", message, { headers: { "retry-after": "60" } });
}

function isAdminHost(host: string, url: URL): boolean {
  return host === "" || host === url.host || host === url.hostname;
}

/** The usable operators; none while `FLOW_ADMIN_TOKEN` is not usable. A malformed or short pair is no operator. */
export function operatorsOf(env: Settings["operators"]): Operator[] {
  const main = env.FLOW_ADMIN_TOKEN ?? "";
  if (main.length < MIN_TOKEN_LENGTH) return [];
  const operators: Operator[] = [{ name: MAIN_OPERATOR, token: main }];
  for (const pair of (env.FLOW_ADMIN_TOKENS ?? "").split(/[\s,]+/)) {
    const [, name = "", token = ""] = OPERATOR.exec(pair) ?? [];
    if (name !== MAIN_OPERATOR && token.length >= MIN_TOKEN_LENGTH) operators.push({ name, token });
  }
  return operators;
}

async function holderOf(token: string, operators: readonly Operator[]): Promise<string | undefined> {
  const equal = await Promise.all(operators.map((operator) => equalSecrets(operator.token, token)));
  return operators[equal.indexOf(true)]?.name;
}
