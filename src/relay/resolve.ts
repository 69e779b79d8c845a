/**
 * From the `model` a client names to the policy in force for this request.
 *
 * Merging happens here and nowhere else: the policy, narrowed by the request. A client can tighten, never widen.
 */
import { findModel } from "../catalog/index.ts";
import { RouterError } from "../http/errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import { isDotSegment } from "../lib/name-patterns.ts";
import { redactCredentials } from "../lib/redact-credentials.ts";
import { RoutePolicy, type RouteRecord } from "../policy/schema.ts";
import { getProvider, getRoute, type ReadContext } from "../policy/store.ts";
import { findProvider } from "../providers/index.ts";
import type { ChatRequest, RouteControls } from "../wires/openai-chat/request-fields.ts";
import type { Caller, ResolvedRoute } from "./types.ts";

const ROUTE_MODEL = /^flow\/([a-z0-9][a-z0-9._-]{0,62})(?:@([1-9][0-9]{0,8}))?$/;
const RAW_MODEL = /^([a-z0-9][a-z0-9-]{0,62})\/([!-~]{1,256})$/;
/** Pins are for trying versions out; production traffic follows what was released. */
const PRODUCTION = "production";

/** Throws 400 `unknown_route`, 403 `route_not_allowed`, or 503 when what the model names was never read and cannot be. */
export async function resolve(request: ChatRequest, caller: Caller, context: ReadContext): Promise<ResolvedRoute> {
  const record = await findRoute(request.model, caller.key, context);
  const { policy } = record;
  const controls: RouteControls = { ...caller.headerControls, ...request.controls };
  return {
    record,
    policy,
    mayFallBack: policy.fallback.enabled && (controls.fallback ?? true),
    latencyBudgetMs: controls.latency_budget_ms ?? policy.latency.budget_ms ?? null,
    spendBudgetUsd: smallest(controls.spend_budget_usd, policy.spend.max_request_usd),
    requireToolApproval:
      policy.tools.require_approval ||
      caller.headerControls.require_tool_approval === true ||
      request.controls.require_tool_approval === true,
    only: controls.only,
    avoid: controls.avoid,
  };
}

function smallest(...limits: readonly (number | undefined)[]): number | null {
  const set = limits.filter((limit) => limit !== undefined);
  return set.length === 0 ? null : Math.min(...set);
}

async function findRoute(model: string, key: KeyRecord, context: ReadContext): Promise<RouteRecord> {
  const named = ROUTE_MODEL.exec(model);
  if (named === null) return rawRoute(model, key, context);
  const [, name = "", version] = named;
  if (version !== undefined && key.env === PRODUCTION) throw unknownRoute(model);
  const pinned = version === undefined ? undefined : Number(version);
  const record = await getRoute(context, key.env, name, pinned).catch(unreadable);
  if (record === null) throw unknownRoute(model);
  if (key.routes !== null && !key.routes.includes(name)) {
    throw new RouterError("route_not_allowed", `This API key may not call \`flow/${name}\`.`, { param: "model" });
  }
  return record;
}

/** `<provider>/<model>` for keys with the scope `raw_models`: a route of one target, under the default policy. */
async function rawRoute(model: string, key: KeyRecord, context: ReadContext): Promise<RouteRecord> {
  const [, provider = "", upstreamModel = ""] = RAW_MODEL.exec(model) ?? [];
  const mayCall = key.scopes.includes("raw_models") && provider !== "" && !isDotSegment(upstreamModel);
  if (!mayCall || !(await isProvider(provider, context))) throw unknownRoute(model);
  return {
    env: key.env,
    name: model,
    version: 0,
    created_at: key.created_at,
    actor: "",
    policy: RoutePolicy.parse({ targets: [{ provider, model: upstreamModel }] }),
    facts: [findModel(provider, upstreamModel) ?? {}],
  };
}

/** One that is built in, or an operator's own. */
async function isProvider(id: string, context: ReadContext): Promise<boolean> {
  return findProvider(id) !== undefined || (await getProvider(context, id).catch(unreadable)) !== null;
}

function unreadable(): never {
  throw new RouterError("ledger_unavailable", "The route's policy cannot be read at the moment. Try again shortly.");
}

function unknownRoute(model: string): RouterError {
  // A key pasted into the wrong field must not come back in a message that clients log.
  const isPlain = /^[!-~]{1,100}$/.test(model) && redactCredentials(model, model.length) === model;
  const shown = isPlain ? `\`${model}\`` : "This model name";
  const message = `${shown} is not a route of this key's environment. Use \`flow/<route>\`; GET /v1/models lists them.`;
  return new RouterError("unknown_route", message, { param: "model" });
}
