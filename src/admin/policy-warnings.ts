/** What is probably not meant in a policy that is valid all the same. Pure. */

import type { ModelFacts } from "../catalog/model-facts.ts";
import { nearestModel } from "../catalog/nearest.ts";
import type { RoutePolicy } from "../policy/schema.ts";

export interface PolicyWarning {
  readonly code: "unpriced_model" | "provider_not_configured" | "unreachable_target";
  /** The member it is about: `targets[1].model`. */
  readonly param: string;
  readonly message: string;
  /** For an unpriced model: the nearest id that has a price. */
  readonly nearest?: string;
}

interface Surroundings {
  /** Facts of the policy's targets, in their order. */
  readonly facts: readonly ModelFacts[];
  /** Names that have to be set before a provider can be called; `null`: it can be. */
  readonly missingFor: (provider: string) => readonly string[] | null;
}

export function warningsOf(policy: RoutePolicy, { facts, missingFor }: Surroundings): PolicyWarning[] {
  return policy.targets.flatMap((target, at): PolicyWarning[] => {
    const path = `targets[${at}]`;
    const unpriced = facts[at]?.price === undefined ? [unpricedModel(target, path)] : [];
    const missing = missingFor(target.provider);
    const unset = missing === null ? [] : [notConfigured(target.provider, missing, path)];
    const why = whyUnreachable(policy, at, unpriced.length > 0);
    const unreachable = why === null ? [] : [unreachableTarget(path, why)];
    return [...unpriced, ...unset, ...unreachable];
  });
}

function unpricedModel({ provider, model }: RoutePolicy["targets"][number], path: string): PolicyWarning {
  const nearest = nearestModel(provider, model);
  const hint = nearest === null ? "" : ` The nearest known id is \`${nearest}\`.`;
  const message = `\`${provider}/${model}\` has no known price: its cost is unknown, and keys with a budget cannot use it.${hint}`;
  const warning = { code: "unpriced_model", param: `${path}.model`, message } as const;
  return nearest === null ? warning : { ...warning, nearest };
}

function notConfigured(provider: string, missing: readonly string[], path: string): PolicyWarning {
  const names = missing.length === 0 ? "its settings are not usable" : `set ${missing.join(", ")}`;
  const message = `\`${provider}\` cannot be called yet: ${names}. Until then the target is passed over.`;
  return { code: "provider_not_configured", param: `${path}.provider`, message };
}

function unreachableTarget(path: string, why: string): PolicyWarning {
  return { code: "unreachable_target", param: path, message: `This target is never called: ${why}.` };
}

function whyUnreachable(
  { targets, fallback, strategy, spend }: RoutePolicy,
  at: number,
  isUnpriced: boolean,
): string | null {
  const [target, earlier] = [targets[at], targets.slice(0, at)];
  if (isUnpriced && spend.max_request_usd !== undefined) {
    return "`spend.max_request_usd` is set, and its price is unknown";
  }
  const isTwin = earlier.some((each) => JSON.stringify(each) === JSON.stringify(target));
  if (isTwin) return "an earlier target is the same";
  const needsFallback = at > 0 && (!fallback.enabled || fallback.max_attempts === 1);
  return strategy === "ordered" && needsFallback ? "the policy does not fall back from its first target" : null;
}
