/**
 * `/console/session`: an operator's token becomes a cookie that only the console's own pages can use.
 *
 * `/v1` never reads it. `/admin` takes it only together with what a foreign page cannot send: `Sec-Fetch-Site:
 * same-origin`, which browsers set themselves, and a header of ours, which makes any other origin ask first.
 */
import type { Context } from "hono";
import * as z from "zod/mini";
import { type AppEnv, settingsOf } from "../../config.ts";
import { BODY_LIMITS } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { readJson } from "../../http/json-body.ts";
import type { Operator } from "../../keys/operators.ts";
import { holderOfSession, SESSION_MS, signSession } from "../../keys/session.ts";
import { holderOf, refuseWhereOff, refuseWrongToken } from "./operator.ts";

const SessionRequest = z.strictObject({ token: z.string().check(z.minLength(1), z.maxLength(1024)) });

/** The prefix makes browsers take it over https only, for this host and every path. */
const COOKIE = "__Host-flowlayer";
/** Over plain http on this machine, where that prefix is refused. */
const LOCAL_COOKIE = "flowlayer-local";
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

type Of = Pick<Context<AppEnv>, "req">;

/** Name of the cookie at the request's own address; `null` where no session may be carried: http over a network. */
function cookieName(c: Of): string | null {
  const { protocol, hostname } = new URL(c.req.url);
  if (protocol === "https:") return COOKIE;
  return LOOPBACK.test(hostname) ? LOCAL_COOKIE : null;
}

function cookieText(name: string, value: string, maxAgeSeconds: number): string {
  const parts = [`${name}=${value}`, "HttpOnly", "SameSite=Strict", "Path=/", `Max-Age=${maxAgeSeconds}`];
  return (name === COOKIE ? [...parts, "Secure"] : parts).join("; ");
}

function refuseOtherOrigins(c: Of): void {
  if (c.req.header("sec-fetch-site") === "same-origin") return;
  const message = "A session is opened and closed by the console's own page: open /console in a browser.";
  throw new RouterError("browser_request", message);
}

/** `POST /console/session` `{token}`. */
export async function postSession(c: Context<AppEnv>): Promise<Response> {
  const settings = refuseWhereOff(c);
  refuseOtherOrigins(c);
  const name = cookieName(c);
  if (name === null) {
    throw new RouterError("invalid_request", "A session needs https, or http on this machine. Use the https address.");
  }
  const { token } = await readJson(c, SessionRequest, BODY_LIMITS.admin);
  const operator = await holderOf(token, settings.operators);
  if (operator === undefined) throw await refuseWrongToken(c);
  if (settings.pepper === "") {
    const message = "Sessions are signed with FLOW_KEY_PEPPER, which is not set. Set it to at least 16 characters.";
    throw new RouterError("admin_disabled", message);
  }
  const expiresAt = Date.now() + SESSION_MS;
  const value = await signSession(settings.pepper, operator, expiresAt);
  c.header("set-cookie", cookieText(name, value, SESSION_MS / 1000));
  return c.json({ name: operator.name, role: operator.role, expires_at: new Date(expiresAt).toISOString() });
}

/** `DELETE /console/session`: the browser forgets it. Repeatable. */
export function deleteSession(c: Context<AppEnv>): Response {
  refuseWhereOff(c);
  refuseOtherOrigins(c);
  const name = cookieName(c);
  if (name !== null) c.header("set-cookie", cookieText(name, "", 0));
  return c.body(null, 204);
}

/** Who is signed in on the page that sent the request; `null` unless it is a page of this address, with a session. */
export async function sessionOperator(c: Of & Pick<Context<AppEnv>, "env">): Promise<Operator | null> {
  if (c.req.header("sec-fetch-site") !== "same-origin" || c.req.header("x-flowlayer-console") !== "1") return null;
  const name = cookieName(c);
  const cookies = (c.req.header("cookie") ?? "").split(";").map((each) => each.trim());
  const value = cookies.find((each) => each.startsWith(`${name}=`))?.slice((name?.length ?? 0) + 1);
  if (name === null || value === undefined) return null;
  const { pepper, operators } = settingsOf(c.env);
  return holderOfSession(pepper, value, operators, Date.now());
}
