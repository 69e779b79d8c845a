/**
 * `/admin/routes`: publish route policies, take them back, and look at every version of them.
 *
 * A policy is checked here, completely, before it becomes a version; the facts of its models are looked up here too,
 * so that neither the control plane nor the request path needs the catalogue.
 */
import { type Context, Hono } from "hono";
import * as z from "zod/mini";
import { controlPlane, withControl } from "../control/client.ts";
import { listBody, readBody } from "../http/admin-body.ts";
import { RouterError } from "../http/errors.ts";
import { listParameters, matching, readQuery } from "../http/query.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/name-patterns.ts";
import { RoutePolicy } from "../policy/schema.ts";
import { forgetRoute } from "../policy/store.ts";
import { isKnownProvider } from "../providers/index.ts";
import { evidenceOf } from "../trace-index/client.ts";
import type { AdminEnv } from "./authorize.ts";
import { answer, factsOf, noSuchRoute, refusal, toRoute } from "./route-answers.ts";

const MAX_REASON_LENGTH = 500;
const VERSION = /^[1-9][0-9]{0,14}$/;
/** What a policy may set as its own window. */
const WINDOW_HOURS = /^([1-9]|[1-9][0-9]|[1-6][0-9]{2}|7[01][0-9]|720)$/;

/** Body of `POST …/rollback`. */
export const RollbackRequest = z.strictObject({
  version: z.int().check(z.minimum(1), z.maximum(Number.MAX_SAFE_INTEGER)),
});

export const routesApp = new Hono<AdminEnv>();

routesApp.get("/", async (c) => {
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listRoutes(limit, before));
  return c.json(listBody(page, toRoute));
});

routesApp.get("/:env/:name", async (c) => {
  const { env, name } = c.req.param();
  return answer(c, await withControl(c.env.CONTROL_PLANE, (control) => control.getRoute(env, name)));
});

routesApp.put("/:env/:name", async (c) => {
  const { env, name } = c.req.param();
  refuseName("env", env, ENV_NAME);
  refuseName("name", name, RESOURCE_NAME);
  const policy = await readBody(c, RoutePolicy);
  await refuseUnknownProvider(c, policy);
  const change = { env, name, policy, facts: factsOf(policy), ...ifMatch(c), ...forceReason(c) };
  const result = await controlPlane(c.env.CONTROL_PLANE).putRoute(change, c.get("actor"));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  return answer(c, result.route);
});

routesApp.delete("/:env/:name", async (c) => {
  const { env, name } = c.req.param();
  const deletion = { env, name, ...ifMatch(c) };
  const result = await withControl(c.env.CONTROL_PLANE, (control) => control.deleteRoute(deletion, c.get("actor")));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  return c.body(null, 204);
});

/** For an operator in a hurry: no promotion is asked for, because this version was in force before. */
routesApp.post("/:env/:name/rollback", async (c) => {
  const { env, name } = c.req.param();
  const { version } = await readBody(c, RollbackRequest);
  const old = await withControl(c.env.CONTROL_PLANE, (control) => control.getRouteVersion(env, name, version));
  if (old === null) throw noSuchRoute();
  const rollback = { env, name, version, facts: factsOf(old.record.policy), ...ifMatch(c) };
  const result = await controlPlane(c.env.CONTROL_PLANE).rollBackRoute(rollback, c.get("actor"));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  return answer(c, result.route);
});

routesApp.get("/:env/:name/versions", async (c) => {
  const { env, name } = c.req.param();
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listRouteVersions(env, name, limit, before));
  if (page === null) throw noSuchRoute();
  return c.json(listBody(page, toRoute));
});

routesApp.get("/:env/:name/versions/:version", async (c) => {
  const { env, name, version } = c.req.param();
  if (!VERSION.test(version)) throw noSuchRoute();
  return answer(
    c,
    await withControl(c.env.CONTROL_PLANE, (control) => control.getRouteVersion(env, name, Number(version))),
  );
});

/** Without `version`: the active one. Without `window_hours`: that of the version's own policy. */
routesApp.get("/:env/:name/evidence", async (c) => {
  const { env, name } = c.req.param();
  const query = readQuery(c, ["version", "window_hours"]);
  const version = matching("version", query.version, VERSION, "must be the number of a version");
  const hours = matching("window_hours", query.window_hours, WINDOW_HOURS, "must be a whole number from 1 to 720");
  const route = await withControl(c.env.CONTROL_PLANE, (control) =>
    version === undefined ? control.getRoute(env, name) : control.getRouteVersion(env, name, Number(version)),
  );
  if (route === null) throw noSuchRoute();
  const { record } = route;
  const windowHours = hours === undefined ? record.policy.promotion.window_hours : Number(hours);
  return c.json(await evidenceOf(c.env.TRAIL_INDEX, env, name, record.version, windowHours, Date.now()));
});

function refuseName(param: string, value: string, pattern: RegExp): void {
  if (pattern.test(value)) return;
  throw new RouterError("invalid_request", `\`${param}\` in the path must match ${pattern.source}.`, { param });
}

/** Only what is not built in is asked for: most policies need no further call. */
async function refuseUnknownProvider(c: Context<AdminEnv>, { targets }: RoutePolicy): Promise<void> {
  if (targets.every(({ provider }) => isKnownProvider(provider))) return;
  const own = await withControl(c.env.CONTROL_PLANE, (control) => control.listProviders());
  const known = new Set(own.map(({ id }) => id));
  const at = targets.findIndex(({ provider }) => !isKnownProvider(provider) && !known.has(provider));
  if (at === -1) return;
  const param = `targets[${at}].provider`;
  throw new RouterError("invalid_request", `\`${param}\`: is not a provider of this deployment.`, { param });
}

/** A text that is no version, such as another server's tag, is passed on: it matches nothing, which is the answer. */
function ifMatch(c: Context<AdminEnv>): { ifMatch?: string } {
  const header = c.req.header("if-match")?.trim() ?? "";
  return header === "" ? {} : { ifMatch: header.replace(/^"(.*)"$/, "$1") };
}

/** An empty reason is no reason. */
function forceReason(c: Context<AdminEnv>): { forceReason?: string } {
  const reason = c.req.query("force")?.trim() ?? "";
  if (reason.length > MAX_REASON_LENGTH) {
    const message = `\`force\` must be a reason of at most ${MAX_REASON_LENGTH} characters.`;
    throw new RouterError("invalid_request", message, { param: "force" });
  }
  return reason === "" ? {} : { forceReason: reason };
}
