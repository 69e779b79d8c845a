/**
 * Who may use `/admin`: the holders of the deployment's operator tokens. While there are none, `/admin` is off.
 *
 * Without a usable `FLOW_ADMIN_TOKEN` everything is off, further operators included. Every configured token is
 * compared, whichever matched, so that the time taken does not tell which operators exist.
 */
import type { Context, MiddlewareHandler } from "hono";
import type { AppEnv } from "../../config.ts";
import { RouterError } from "../../http/errors.ts";
import type { Operator, Role } from "../../keys/operators.ts";
import { holderOf, refuseWhereOff, refuseWrongToken, wrongToken } from "./operator.ts";
import { requireRole, roleOfCall } from "./roles.ts";
import { sessionOperator } from "./session.ts";

const BEARER = /^bearer +(\S+)$/i;

export interface AdminEnv extends AppEnv {
  Variables: AppEnv["Variables"] & {
    /** Name of the operator, for the audit log. */
    actor: string;
    role: Role;
  };
}

export const authorize: MiddlewareHandler<AdminEnv> = async (c, next) => {
  const { operators } = refuseWhereOff(c);
  const header = c.req.header("authorization") ?? "";
  const operator = header === "" ? await sessionOperator(c) : await bearerOf(c, header, operators);
  if (operator === null) {
    throw new RouterError("missing_api_key", "Send the admin token as `Authorization: Bearer <FLOW_ADMIN_TOKEN>`.");
  }
  c.set("actor", operator.name);
  c.set("role", operator.role);
  requireRole(operator.role, roleOfCall(c.req.method, c.req.path));
  await next();
};

async function bearerOf(c: Context<AdminEnv>, header: string, operators: readonly Operator[]): Promise<Operator> {
  const token = BEARER.exec(header)?.[1];
  const operator = token === undefined ? undefined : await holderOf(token, operators);
  if (operator !== undefined) return operator;
  throw token === undefined ? wrongToken() : await refuseWrongToken(c);
}
