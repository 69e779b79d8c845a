/** What endpoints of routes answer: the route object, and every refusal of the control plane as an error. */
import type { Context } from "hono";
import { findModel } from "../catalog/index.ts";
import type { ModelFacts } from "../catalog/model-facts.ts";
import { withControl } from "../control/client.ts";
import type {
  DeleteRouteResult,
  PromoteRouteResult,
  PutRouteResult,
  RollbackResult,
  RollbackView,
  RouteVersion,
} from "../control/types.ts";
import { RouterError } from "../http/errors.ts";
import { kindFault } from "../policy/embedding.ts";
import type { RoutePolicy } from "../policy/schema.ts";
import { PriceBook } from "../prices/book.ts";
import { isKnownProvider } from "../providers/index.ts";
import type { AdminEnv } from "./access/authorize.ts";

/** The route object of the contract. Of a version that was promoted or rolled back to: where it comes from, too. */
export function toRoute({ record, active, origin }: RouteVersion) {
  const { env, name, version, policy, created_at, actor } = record;
  return { env, name, version, active, policy, created_at, actor, ...(origin === null ? {} : { origin }) };
}

export function answer(c: Context<AdminEnv>, route: RouteVersion | null, more: object = {}): Response {
  if (route === null) throw noSuchRoute();
  return c.json({ ...toRoute(route), ...more }, 200, { etag: `"${route.record.version}"` });
}

/** What the catalogue knows of a policy's targets, in their order. */
export function factsOf(policy: RoutePolicy): ModelFacts[] {
  return policy.targets.map(({ provider, model }) => findModel(provider, model) ?? {});
}

/** The same with the prices that hold now, those of operators included. */
export async function factsInForce(c: Context<AdminEnv>, policy: RoutePolicy): Promise<ModelFacts[]> {
  const entries = await withControl(c.env.CONTROL_PLANE, (control) => control.listPrices());
  const rows = Map.groupBy(entries, ({ provider, model }) => `${provider}/${model}`);
  const prices = Object.fromEntries([...rows].map(([name, own]) => [name, own.map(({ row }) => row)]));
  const book = new PriceBook({ prices, spend_tags: [] });
  return factsOf(policy).map((facts, at) => {
    const target = policy.targets[at];
    return target === undefined ? facts : book.priced(facts, target, Date.now());
  });
}

/** Throws 400 for a policy whose targets cannot stand in one route. A catalogue that has changed since counts as it is. */
export function refuseKind(policy: RoutePolicy, facts: readonly ModelFacts[]): void {
  const fault = kindFault(policy, facts, (provider) => !isKnownProvider(provider));
  if (fault !== null) throw new RouterError(fault.code, fault.message, { param: fault.param });
}

/** A slip of the hand makes an environment as easily as an operator does. */
export function unknownEnvironment(param = "env"): RouterError {
  const message = `\`${param}\`: this environment has no keys or routes yet. Check its name, or add \`?new_env=true\`.`;
  return new RouterError("unknown_environment", message, { param });
}

const NO_ROUTE =
  "No such route or version. GET /admin/routes lists the routes, GET /admin/routes/{env}/{name}/versions those of one.";
export const noSuchRoute = (): RouterError => new RouterError("not_found", NO_ROUTE);

type Results = PutRouteResult | RollbackResult | RollbackView | DeleteRouteResult | PromoteRouteResult;
type Refusal = Extract<Results, { ok: false }>;

export function refusal(result: Refusal): RouterError {
  switch (result.reason) {
    case "not_found":
      return noSuchRoute();
    case "version_mismatch": {
      const state = result.activeVersion === 0 ? "does not exist" : `is at version ${result.activeVersion}`;
      return new RouterError("version_mismatch", `The route ${state}. Read it again and repeat the change.`);
    }
    case "changed":
      return new RouterError("version_mismatch", "The route was changed meanwhile. Read it again and repeat the call.");
    case "already_active":
      return new RouterError("version_mismatch", "This version is the active one. Name another, or none.", {
        status: 409,
      });
    case "no_earlier_version":
      return new RouterError("not_found", "There is no earlier version to roll back to. Publish a new one.");
    case "unknown_environment":
      return unknownEnvironment();
    case "reason_required":
      return new RouterError(
        "invalid_request",
        "The change weakens the promotion guard of the active policy. Give a reason with `?reason=<reason>`.",
        { param: "reason" },
      );
    case "promotion_required":
      return new RouterError(
        "promotion_required",
        "The active policy asks for a promotion. Promote a tried version, or give a reason with `?force=<reason>`.",
      );
    case "alias_taken": {
      const { alias, route } = result;
      const message = `The alias \`${alias}\` is taken by the route \`${route}\`. Choose another alias or another route name.`;
      return new RouterError("alias_taken", message, { param: "aliases", details: { route } });
    }
    case "policy_too_large":
      return new RouterError("request_too_large", "The policy is too large to be stored. Shorten its `params`.");
    case "environment_full":
      return new RouterError(
        "request_too_large",
        "The environment has no room for this route. Shorten descriptions or use another environment.",
      );
  }
}
