/**
 * `POST /console/run` and `POST /docs/run`: a page runs a request as a built-in key of an environment.
 *
 * Such a key has no secret, so nothing but these two addresses uses it; it has a ledger, a budget and traces like any
 * other. The documentation's runs are for everybody and reach nothing but the sandbox.
 */
import type { Context } from "hono";
import * as z from "zod/mini";
import { type AppEnv, settingsOf } from "../../config.ts";
import { withControl } from "../../control/client.ts";
import type { BuiltInKind } from "../../control/types.ts";
import { mayTryAgain } from "../../http/attempts.ts";
import { RouterError } from "../../http/errors.ts";
import { readJson } from "../../http/json-body.ts";
import { refuseQuery } from "../../http/query.ts";
import type { KeyRecord } from "../../keys/record.ts";
import { ENV_NAME } from "../../lib/text/name-patterns.ts";
import type { Door } from "../../relay/door.ts";
import { relay } from "../../relay/relay.ts";
import { newTraceId } from "../../traces/schema.ts";
import { chatDoor } from "../chat/chat.ts";
import { messagesApi } from "../messages/messages.ts";
import { responsesApi } from "../responses/responses.ts";

const PATHS = { chat: "/v1/chat/completions", messages: "/v1/messages", responses: "/v1/responses" } as const;
const SANDBOX = "sandbox";
/** Headers of the request itself that a page may set. */
const PASSED = /^x-flowlayer-(?!console$|env$|app$)|^anthropic-|^x-session-id$|^x-client-request-id$/;

/** Body of both calls. */
export const RunRequest = z.strictObject({
  env: z._default(z.string().check(z.regex(ENV_NAME, "must match ^[a-z][a-z0-9-]{0,30}$")), "production"),
  api: z._default(z.enum(["chat", "messages", "responses"]), "chat"),
  /** The request's body, as that API takes it. */
  request: z.record(z.string(), z.unknown()),
});
type RunRequest = z.infer<typeof RunRequest>;

/** For operators who may release: `authorize` has looked. */
export async function postConsoleRun(c: Context<AppEnv>): Promise<Response> {
  refuseQuery(c);
  const asked = await readJson(c, RunRequest, settingsOf(c.env).maxBodyBytes);
  return run(c, "console", asked, asked.request);
}

/** For everybody, where the deployment has a sandbox: ten a minute per address, and no other target. */
export async function postDocsRun(c: Context<AppEnv>): Promise<Response> {
  if (!settingsOf(c.env).hasSandbox) return c.notFound();
  refuseQuery(c);
  // Only Cloudflare says where a request comes from. Without it, as in local work, none is counted.
  const address = c.req.header("cf-connecting-ip");
  if (address !== undefined && !(await mayTryAgain(c.env.ADMIN_ATTEMPTS, `docs ${address}`, Date.now()))) {
    const message = "The sandbox takes ten requests a minute from one address. Try again in a minute.";
    throw new RouterError("rate_limit_exceeded", message, { headers: { "retry-after": "60" } });
  }
  const asked = await readJson(c, RunRequest, MAX_DOCS_BYTES);
  return run(c, "docs", asked, { ...asked.request, route: sandboxed(asked.request["route"]) });
}

const MAX_DOCS_BYTES = 64 * 1024;

/** What the page asks of the route, on sandbox targets alone. What is no object is for the request's own check. */
function sandboxed(route: unknown): unknown {
  if (route === undefined || route === null) return { only: [SANDBOX] };
  return typeof route === "object" && !Array.isArray(route) ? { ...route, only: [SANDBOX] } : route;
}

async function run(c: Context<AppEnv>, kind: BuiltInKind, asked: RunRequest, request: object): Promise<Response> {
  const { env, api } = asked;
  const key = await withControl(c.env.CONTROL_PLANE, (control) => control.builtInKey(kind, env));
  if (key === null) {
    const message =
      "`env`: this environment has no key and no route yet. GET /admin/keys and /admin/routes show those in use.";
    throw new RouterError("unknown_environment", message, { param: "env" });
  }
  if (key.status !== "active") {
    const message = `The key \`${key.name}\` is ${key.status}. An operator changes that with PATCH /admin/keys/${key.id}.`;
    throw new RouterError("invalid_request", message);
  }
  c.set("traceId", newTraceId(key.id, c.get("receivedAt")));
  const headers = new Headers({ "content-type": "application/json" });
  for (const [name, value] of c.req.raw.headers) if (PASSED.test(name)) headers.set(name, value);
  // Nothing can be kept for a caller without a secret, and the answer says so.
  const body = JSON.stringify(api === "responses" ? { ...request, store: false } : request);
  headers.set("content-length", String(new TextEncoder().encode(body).length));
  const { signal } = c.req.raw;
  c.req.raw = new Request(new URL(PATHS[api], c.req.url), { method: "POST", headers, body, signal });
  return relay(c, doorOf(c, api, key));
}

/** Nothing is kept for later: what is stored opens with the caller's secret, and there is none. */
function doorOf(c: Context<AppEnv>, api: RunRequest["api"], builtIn: KeyRecord): Door {
  const door = api === "chat" ? chatDoor : api === "messages" ? messagesApi : responsesApi(c);
  return { ...door, keeperOf: () => null, builtIn };
}
