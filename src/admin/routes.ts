/**
 * `/admin/routes`: publish route policies, take them back, and look at every version of them.
 *
 * A policy is checked here, completely, before it becomes a version; the facts of its models are looked up here too,
 * so that neither the control plane nor the request path needs the catalogue.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { secretsOf } from "../config.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson, readOptionalJson } from "../http/json-body.ts";
import { listBody } from "../http/pagination.ts";
import { listParameters, matching, readQuery, refuseQuery } from "../http/query.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import type { ProviderRecord } from "../policy/provider-record.ts";
import { PolicyDocument, type RoutePolicy } from "../policy/schema.ts";
import { forgetRoute } from "../policy/store.ts";
import { credentialsOf } from "../providers/credential-pool.ts";
import { findProvider, isKnownProvider, missingNames, operatorProvider } from "../providers/index.ts";
import { evidenceOf } from "../trace-index/client.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { postExplain } from "./explain.ts";
import { MAX_REASON_LENGTH, readFlag, readReason } from "./options.ts";
import { warningsOf } from "./policy-warnings.ts";
import { answer, factsInForce, factsOf, noSuchRoute, refusal, refuseKind, toRoute } from "./route-answers.ts";

const VERSION = /^[1-9][0-9]{0,14}$/;
/** What a policy may set as its own window. */
const WINDOW_HOURS = /^([1-9]|[1-9][0-9]|[1-6][0-9]{2}|7[01][0-9]|720)$/;

/** Body of `POST …/rollback`. Without `version`: to the one that served before. */
export const RollbackRequest = z.strictObject({
  version: z.optional(z.int().check(z.minimum(1), z.maximum(Number.MAX_SAFE_INTEGER))),
  reason: z._default(z.string().check(z.trim(), z.maxLength(MAX_REASON_LENGTH)), ""),
});

export const routesApp = new Hono<AdminEnv>();

routesApp.get("/", async (c) => {
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listRoutes(limit, before));
  return c.json(listBody(page, toRoute));
});

routesApp.get("/:env/:name", async (c) => {
  refuseQuery(c);
  const { env, name } = c.req.param();
  return answer(c, await withControl(c.env.CONTROL_PLANE, (control) => control.getRoute(env, name)));
});

routesApp.put("/:env/:name", async (c) => {
  const { env, name } = c.req.param();
  refuseName("env", env, ENV_NAME);
  refuseName("name", name, RESOURCE_NAME);
  const query = readQuery(c, ["force", "reason", "new_env"]);
  const { $schema: _schema, ...policy } = await readJson(c, PolicyDocument, BODY_LIMITS.admin);
  const own = await ownProviders(c, policy);
  const facts = factsOf(policy);
  refuseKind(policy, facts);
  const reasons = { ...readReason(query, "force", "forceReason"), ...readReason(query, "reason", "reason") };
  const change = {
    env,
    name,
    policy,
    facts,
    ...ifMatch(c),
    ...reasons,
    mayBeNewEnvironment: readFlag(query, "new_env"),
  };
  const result = await controlPlane(c.env.CONTROL_PLANE).putRoute(change, c.get("actor"));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  const missingFor = (id: string): readonly string[] | null => missingNamesOf(c, id, own.get(id));
  const surroundings = { facts: await factsInForce(c, policy), missingFor };
  return answer(c, result.route, { warnings: warningsOf(policy, surroundings) });
});

routesApp.delete("/:env/:name", async (c) => {
  const { env, name } = c.req.param();
  const query = readQuery(c, ["force", "reason"]);
  const reason = { ...readReason(query, "force", "reason"), ...readReason(query, "reason", "reason") };
  const deletion = { env, name, ...ifMatch(c), ...reason };
  const result = await withControl(c.env.CONTROL_PLANE, (control) => control.deleteRoute(deletion, c.get("actor")));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  return c.body(null, 204);
});

/** For an operator in a hurry: no promotion is asked for, because this version was in force before. */
routesApp.post("/:env/:name/rollback", async (c) => {
  refuseQuery(c);
  const { env, name } = c.req.param();
  const { version = null, reason } = await readOptionalJson(c, RollbackRequest, BODY_LIMITS.admin);
  const view = await withControl(c.env.CONTROL_PLANE, (control) => control.rollbackView(env, name, version));
  if (!view.ok) throw refusal(view);
  const { old, activeVersion } = view;
  const facts = factsOf(old.record.policy);
  refuseKind(old.record.policy, facts);
  const rollback = {
    ...{ env, name, version: old.record.version, activeVersion, facts },
    ...(reason === "" ? {} : { reason }),
    ...ifMatch(c),
  };
  const result = await controlPlane(c.env.CONTROL_PLANE).rollBackRoute(rollback, c.get("actor"));
  if (!result.ok) throw refusal(result);
  forgetRoute(env, name);
  return answer(c, result.route);
});

routesApp.post("/:env/:name/explain", postExplain);

routesApp.get("/:env/:name/versions", async (c) => {
  const { env, name } = c.req.param();
  const { limit, before } = listParameters(c);
  const page = await withControl(c.env.CONTROL_PLANE, (control) => control.listRouteVersions(env, name, limit, before));
  if (page === null) throw noSuchRoute();
  return c.json(listBody(page, toRoute));
});

routesApp.get("/:env/:name/versions/:version", async (c) => {
  refuseQuery(c);
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

/** Operators' own providers that the policy may name. Throws 400 where it names one that does not exist. */
async function ownProviders(
  c: Context<AdminEnv>,
  { targets }: RoutePolicy,
): Promise<ReadonlyMap<string, ProviderRecord>> {
  // Only what is not built in is asked for: most policies need no further call.
  if (targets.every(({ provider }) => isKnownProvider(provider))) return new Map();
  const records = await withControl(c.env.CONTROL_PLANE, (control) => control.listProviders());
  const known = new Map(records.map((record) => [record.id, record]));
  const at = targets.findIndex(({ provider }) => !isKnownProvider(provider) && !known.has(provider));
  if (at === -1) return known;
  const param = `targets[${at}].provider`;
  throw new RouterError("invalid_request", `\`${param}\`: is not a provider of this deployment.`, { param });
}

/** A text that is no version, such as another server's tag, is passed on: it matches nothing, which is the answer. */
function ifMatch(c: Context<AdminEnv>): { ifMatch?: string } {
  const header = c.req.header("if-match")?.trim() ?? "";
  return header === "" ? {} : { ifMatch: header.replace(/^"(.*)"$/, "$1") };
}

/** What has to be set before the provider can be called; `null`: nothing. */
function missingNamesOf(
  c: Context<AdminEnv>,
  id: string,
  record: ProviderRecord | undefined,
): readonly string[] | null {
  const provider = record === undefined ? findProvider(id) : operatorProvider(record);
  const secrets = secretsOf(c.env);
  if (provider === undefined) return [];
  return credentialsOf(provider, secrets).length === 0 ? missingNames(provider, secrets) : null;
}
