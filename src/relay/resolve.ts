/**
 * From the `model` a client names to the policy in force for this request.
 *
 * Merging happens here and nowhere else: the policy, narrowed by the request. A client can tighten, never widen.
 */

import { budgetsOf, readBudgets } from "../budgets/store.ts";
import { findModel } from "../catalog/index.ts";
import type { ModelFacts } from "../catalog/model-facts.ts";
import { chatsOnly } from "../catalog/spaces.ts";
import { RouterError } from "../http/errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import { redactCredentials } from "../lib/redact-credentials.ts";
import { isDotSegment, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { nearest } from "../lib/text/nearest.ts";
import { exactAlias, patternAlias } from "../policy/aliases.ts";
import { RoutePolicy, type RouteRecord } from "../policy/schema.ts";
import { getAliases, getDisabled, getProvider, getRoute, getRouteIndex, type ReadContext } from "../policy/store.ts";
import { getPrices } from "../prices/store.ts";
import { findProvider } from "../providers/index.ts";
import type { ChatRequest, RouteControls } from "../wires/openai-chat/request-fields.ts";
import type { RouteKind } from "./door.ts";
import type { Caller, ResolvedRoute } from "./types.ts";

/** With a version only in the first spelling. */
const FLOW_MODEL = /^flow\/([a-z0-9][a-z0-9._-]{0,62})(?:@([1-9][0-9]{0,8}))?$/;
/** For clients that send nothing but names that begin with `anthropic/`. */
const ANTHROPIC_MODEL = /^anthropic\/flow-([a-z0-9][a-z0-9._-]{0,62})$/;
/** Names beneath these can be no alias and no raw model. */
const RESERVED = /^(?:flow\/|anthropic\/flow-)/;
const RAW_MODEL = /^([a-z0-9][a-z0-9-]{0,62})\/([!-~]{1,256})$/;
/** Pins are for trying versions out; production traffic follows what was released. */
const PRODUCTION = "production";

/** Throws 400 `unknown_route` or `wrong_route_kind`, 403 `route_not_allowed`, or 503 `policy_unavailable` when what the model names was never read and cannot be. */
export function resolve(
  request: ChatRequest,
  caller: Caller,
  kind: RouteKind,
  context: ReadContext,
): Promise<ResolvedRoute> {
  return resolveAs(findRoute(request.model, caller.key, context), request, caller, kind, context);
}

/** The same for a record that is found otherwise. `context.now` is the time whose prices hold. */
export async function resolveAs(
  version: Promise<RouteRecord> | RouteRecord,
  request: ChatRequest,
  caller: Caller,
  kind: RouteKind,
  context: ReadContext,
): Promise<ResolvedRoute> {
  const [found, prices, disabled, allBudgets] = await Promise.all([
    version,
    getPrices(context).catch(pricesUnreadable),
    getDisabled(context).catch(unreadable),
    readBudgets(context).catch(budgetsUnreadable),
  ]);
  refuseKind(found, kind);
  const { policy } = found;
  // A price is never a part of a version.
  const facts = policy.targets.map((target, at) => prices.priced(found.facts[at] ?? {}, target, context.now));
  const record = { ...found, facts };
  const controls: RouteControls = { ...caller.headerControls, ...request.controls };
  const tags = controls.tags ?? {};
  const { key, app } = caller;
  return {
    record,
    policy,
    prices,
    disabled,
    budgets: budgetsOf(allBudgets, { env: key.env, app, keyId: key.id, tags }),
    mayFallBack: policy.fallback.enabled && (controls.fallback ?? true),
    latencyBudgetMs: controls.latency_budget_ms ?? policy.latency.budget_ms ?? null,
    spendBudgetUsd: smallest(controls.spend_budget_usd, policy.spend.max_request_usd),
    tags,
    requireToolApproval:
      policy.tools.require_approval ||
      caller.headerControls.require_tool_approval === true ||
      request.controls.require_tool_approval === true,
    report: controls.report ?? false,
    only: controls.only,
    avoid: controls.avoid,
  };
}

function refuseKind({ name, version, policy, facts }: RouteRecord, wanted: RouteKind): void {
  const [target] = policy.targets;
  const isOpen = version === 0 && target !== undefined && !chatsOnly(target.provider, facts[0] ?? {});
  const kind: RouteKind = policy.embedding === undefined ? "chat" : "embedding";
  // What the catalogue does not know of a raw model, its provider knows.
  if (kind === wanted || (isOpen && kind === "chat")) return;
  const shown = version === 0 ? showModel(name) : `flow/${name}`;
  const subject = shown === null ? "This model" : `\`${shown}\``;
  const message =
    wanted === "chat"
      ? `${subject} embeds and does not chat. Send it to POST /v1/embeddings.`
      : `${subject} chats and does not embed. Use a route whose policy has \`embedding\`; GET /v1/models shows the \`kind\` of each.`;
  throw new RouterError("wrong_route_kind", message, { param: "model" });
}

function smallest(...limits: readonly (number | undefined)[]): number | null {
  const set = limits.filter((limit) => limit !== undefined);
  return set.length === 0 ? null : Math.min(...set);
}

/** By the contract's order: a named route, the bare name of one, an alias, an alias pattern, a raw model. */
async function findRoute(model: string, key: KeyRecord, context: ReadContext): Promise<RouteRecord> {
  const [, name, version] = FLOW_MODEL.exec(model) ?? ANTHROPIC_MODEL.exec(model) ?? [];
  const record =
    name === undefined
      ? await routeByOtherName(model, key, context)
      : await namedRoute(name, version === undefined ? undefined : Number(version), key, context);
  if (record !== null) return record;
  // Before any word on what exists: a key with a list learns nothing of routes outside it.
  if (key.routes !== null && (name === undefined || !key.routes.includes(name))) {
    const message = `This API key may call the routes on its list only. \`model\` names another one, or none.`;
    throw new RouterError("route_not_allowed", message, { param: "model" });
  }
  if (version !== undefined && key.env === PRODUCTION) {
    const message = `\`${model}\` pins a version, which keys of the environment \`${PRODUCTION}\` cannot do. Use \`flow/${name}\`.`;
    throw new RouterError("unknown_route", message, { param: "model" });
  }
  throw unknownRoute(model, await nearestRoute(model, key, context));
}

/** `null` where there is none that `key` may call. */
async function namedRoute(
  name: string,
  version: number | undefined,
  key: KeyRecord,
  context: ReadContext,
): Promise<RouteRecord | null> {
  if (key.routes !== null && !key.routes.includes(name)) return null;
  if (version !== undefined && key.env === PRODUCTION) return null;
  return getRoute(context, key.env, name, version).catch(unreadable);
}

async function routeByOtherName(model: string, key: KeyRecord, context: ReadContext): Promise<RouteRecord | null> {
  if (RESERVED.test(model)) return null;
  const aliases = await getAliases(context, key.env).catch(unreadable);
  const alias = exactAlias(aliases, model);
  // An alias is never the name of a route, so it does not matter which is looked up first, and this one is at hand.
  if (alias !== undefined) return namedRoute(alias, undefined, key, context);
  const pattern = patternAlias(aliases, model);
  if (RESOURCE_NAME.test(model)) {
    const isKnownAbsent = pattern !== undefined && wasAbsent(key.env, model, context.now);
    const bare = isKnownAbsent ? null : await namedRoute(model, undefined, key, context);
    if (bare !== null) return bare;
    if (pattern !== undefined && !isKnownAbsent) noteAbsent(key.env, model, context.now);
  }
  if (pattern !== undefined) return namedRoute(pattern, undefined, key, context);
  return key.routes === null ? rawRoute(model, key, context) : null;
}

/** How long a name that matches a pattern is not looked up as a route again: each time would wait for KV. */
const ABSENT_MS = 25_000;
const MAX_ABSENT = 2_000;
const absent = new Map<string, number>();

function wasAbsent(env: string, name: string, now: number): boolean {
  const at = absent.get(`${env}:${name}`);
  return at !== undefined && now - at < ABSENT_MS;
}

function noteAbsent(env: string, name: string, now: number): void {
  if (absent.size >= MAX_ABSENT) absent.clear();
  absent.set(`${env}:${name}`, now);
}

/** `<provider>/<model>` for keys with the scope `raw_models`: a route of one target, under the default policy. */
async function rawRoute(model: string, key: KeyRecord, context: ReadContext): Promise<RouteRecord | null> {
  const [, provider = "", upstreamModel = ""] = RAW_MODEL.exec(model) ?? [];
  const mayCall = key.scopes.includes("raw_models") && provider !== "" && !isDotSegment(upstreamModel);
  if (!mayCall || !(await isProvider(provider, context))) return null;
  const facts = findModel(provider, upstreamModel) ?? {};
  return {
    env: key.env,
    name: model,
    version: 0,
    created_at: key.created_at,
    actor: "",
    policy: RoutePolicy.parse({ targets: [{ provider, model: upstreamModel }], ...embeds(facts) }),
    facts: [facts],
  };
}

function embeds({ embedding }: ModelFacts): Pick<RoutePolicy, "embedding"> {
  return embedding === undefined ? {} : { embedding: { space: embedding.space } };
}

/** One that is built in, or an operator's own. */
async function isProvider(id: string, context: ReadContext): Promise<boolean> {
  return findProvider(id) !== undefined || (await getProvider(context, id).catch(unreadable)) !== null;
}

function pricesUnreadable(): never {
  throw new RouterError("policy_unavailable", "The prices in force cannot be read at the moment. Try again shortly.");
}

function budgetsUnreadable(): never {
  throw new RouterError("policy_unavailable", "The budgets in force cannot be read at the moment. Try again shortly.");
}

function unreadable(): never {
  throw new RouterError("policy_unavailable", "The route's policy cannot be read at the moment. Try again shortly.");
}

/** The nearest route of the key's environment; `null` where there is none, or their list cannot be read. */
async function nearestRoute(model: string, key: KeyRecord, context: ReadContext): Promise<string | null> {
  const index = await getRouteIndex(context, key.env).catch(() => []);
  const allowed = index.filter(({ name }) => key.routes?.includes(name) ?? true);
  const name = nearest(
    model.replace(RESERVED, "").replace(/^.*\//, ""),
    allowed.map((route) => route.name),
  );
  return name === null ? null : `flow/${name}`;
}

function unknownRoute(model: string, near: string | null): RouterError {
  const shown = showModel(model) === null ? "This model name" : `\`${model}\``;
  const remedy =
    near === null
      ? "Use `flow/<route>`; GET /v1/models lists them."
      : `The nearest one is \`${near}\`. GET /v1/models lists them.`;
  const message = `${shown} is not a route of this key's environment. ${remedy}`;
  return new RouterError("unknown_route", message, { param: "model" });
}

/** The model as a client named it; `null` where it may be a secret in the wrong field, which must not be repeated. */
export function showModel(model: string): string | null {
  return /^[!-~]{1,100}$/.test(model) && redactCredentials(model, model.length) === model ? model : null;
}
