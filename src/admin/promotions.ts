/**
 * `POST /admin/routes/{name}/promote`: the version that is active in one environment becomes the newest in another, if
 * its evidence passes the gates.
 *
 * The evidence is that of exactly this version. What was decided, and on what, is kept with the version and in the audit
 * log. The control plane publishes only while both routes are as they were when it was decided.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { controlPlane, withControl } from "../control/client.ts";
import { demandsOf, judge } from "../control/promotion.ts";
import type { GateResult, PromotionRecord, PromotionView, RouteVersion } from "../control/types.ts";
import { BODY_LIMITS } from "../http/body.ts";
import { RouterError } from "../http/errors.ts";
import { readJson } from "../http/json-body.ts";
import { badParameter, readQuery } from "../http/query.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { forgetRoute } from "../policy/store.ts";
import { evidenceOf } from "../trace-index/client.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { readFlag } from "./options.ts";
import { factsOf, refusal, refuseKind, unknownEnvironment } from "./route-answers.ts";

const environment = z.string().check(z.regex(ENV_NAME, "must match ^[a-z][a-z0-9-]{0,30}$"));

/** Body of `POST …/promote`. */
export const PromotionRequest = z.strictObject({
  from: environment,
  to: environment,
  force: z._default(z.boolean(), false),
  reason: z._default(z.string().check(z.trim(), z.maxLength(500)), ""),
});
type PromotionRequest = z.infer<typeof PromotionRequest>;

export const promotionsApp = new Hono<AdminEnv>();

promotionsApp.post("/:name/promote", async (c) => {
  const { name } = c.req.param();
  if (!RESOURCE_NAME.test(name)) throw badParameter("name", `in the path must match ${RESOURCE_NAME.source}`);
  const query = readQuery(c, ["new_env"]);
  const request = await readJson(c, PromotionRequest, BODY_LIMITS.admin);
  const { from, to, force, reason } = request;
  if (from === to) throw badParameter("to", "must be another environment than `from`");
  if (force && reason === "") throw badParameter("reason", "must be given with `force`");
  const mayBeNew = readFlag(query, "new_env");
  const view = await withControl(c.env.CONTROL_PLANE, (control) => control.promotionView(name, from, to));
  const candidate = candidateOf(view, name, request, mayBeNew);
  const facts = factsOf(candidate.record.policy);
  refuseKind(candidate.record.policy, facts);
  const record = await decide(c, candidate, view.target, force);
  const promoted = await controlPlane(c.env.CONTROL_PLANE).promoteRoute(
    {
      name,
      from: { env: from, version: candidate.record.version },
      to: { env: to, version: view.target?.record.version ?? 0, active: view.target?.active ?? false },
      facts,
      ...(reason === "" ? {} : { reason }),
      record,
    },
    c.get("actor"),
  );
  if (!promoted.ok) throw refusal(promoted);
  forgetRoute(to, name);
  const { version } = promoted.route.record;
  const { gates, forced } = record;
  return c.json({ env: to, name, version, from: { env: from, version: candidate.record.version }, gates, forced });
});

function candidateOf(
  view: PromotionView,
  name: string,
  { from }: PromotionRequest,
  mayBeNewEnvironment: boolean,
): RouteVersion {
  if (view.candidate === null) throw new RouterError("not_found", `There is no route \`${name}\` in \`${from}\`.`);
  if (view.isKnownEnvironment || mayBeNewEnvironment) return view.candidate;
  throw unknownEnvironment("to");
}

/** Throws 409 `promotion_blocked` with the gates, and 503 when the evidence cannot be read, unless it is forced. */
async function decide(
  c: Context<AdminEnv>,
  candidate: RouteVersion,
  target: RouteVersion | null,
  force: boolean,
): Promise<PromotionRecord> {
  const { env, name, version, policy } = candidate.record;
  const policies = target === null ? [policy] : [policy, target.record.policy];
  const { gates, windowHours } = demandsOf(policies.map(({ promotion }) => promotion));
  if (gates.length === 0) return { gates: [], evidence: null, forced: false };
  const asked = evidenceOf(c.env.TRAIL_INDEX, env, name, version, windowHours, Date.now());
  // An operator who goes past the gates may have to do so while the trail is down.
  const evidence = await (force ? asked.catch(() => null) : asked);
  const results = judge(gates, evidence);
  const hasPassed = results.every(({ passed }) => passed);
  if (!hasPassed && !force) throw blocked(results);
  return { gates: results, evidence, forced: !hasPassed };
}

function blocked(gates: readonly GateResult[]): RouterError {
  const failed = gates.filter(({ passed }) => !passed);
  const shown = failed.map(
    ({ name, wanted, measured }) => `${name} requires ${wanted}, measured ${measured ?? "no value"}`,
  );
  const message = `The version has not passed: ${shown.join("; ")}. Try it longer, or use \`force\` with a \`reason\`.`;
  return new RouterError("promotion_blocked", message, { details: { gates } });
}
