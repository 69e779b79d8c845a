/** Whether a policy's targets can stand in one route: all of them chat, or all embed into the same space. Pure. */
import type { ModelFacts } from "../catalog/model-facts.ts";
import { canHave, chatsOnly, servesSpace } from "../catalog/spaces.ts";
import type { RoutePolicy } from "./schema.ts";

export interface KindFault {
  readonly code: "invalid_request" | "wrong_route_kind";
  /** The member at fault: `targets[1].model`. */
  readonly param: string;
  readonly message: string;
}

/**
 * The first target that cannot share a route with the others, `null` when all can. `isOwn`: a provider of the operator's, whose
 * models may be called anything.
 */
export function kindFault(
  policy: RoutePolicy,
  facts: readonly ModelFacts[],
  isOwn: (provider: string) => boolean,
): KindFault | null {
  for (const at of policy.targets.keys()) {
    const fault = targetFault(policy, at, facts[at] ?? {}, isOwn);
    if (fault !== null) return fault;
  }
  return null;
}

function targetFault(
  { targets, embedding: route }: RoutePolicy,
  at: number,
  facts: ModelFacts,
  isOwn: (provider: string) => boolean,
): KindFault | null {
  const target = targets[at]!;
  const { provider, model, same_space: isSame } = target;
  const name = `\`${provider}/${model}\``;
  const param = `targets[${at}].model`;
  if (route === undefined) {
    if (facts.embedding !== undefined) {
      const remedy = `Give the policy \`"embedding": {"space": "${facts.embedding.space}"}\`, or take the target out.`;
      return { code: "wrong_route_kind", param, message: `\`${param}\`: ${name} embeds and does not chat. ${remedy}` };
    }
    if (isSame === undefined) return null;
    const message = `\`targets[${at}].same_space\` belongs to a policy with \`embedding\`. Remove it, or name the space.`;
    return { code: "invalid_request", param: `targets[${at}].same_space`, message };
  }
  if (chatsOnly(provider, facts)) {
    const message = `\`${param}\`: ${name} chats and does not embed. Take it out of this embedding route.`;
    return { code: "wrong_route_kind", param, message };
  }
  const { space, dimensions } = route;
  if (isSame !== true && (isOwn(provider) || !servesSpace(space, model, facts))) {
    const known =
      facts.embedding === undefined ? "is not known to serve" : `serves \`${facts.embedding.space}\` and not`;
    const remedy = "Vectors of two spaces cannot be compared.";
    const way =
      facts.embedding === undefined
        ? "Declare `same_space: true` where the target is the same model, or take it out."
        : "Take the target out, or give it a route of its own.";
    const message = `\`${param}\`: ${name} ${known} the space \`${space}\`. ${remedy} ${way}`;
    return { code: "invalid_request", param, message };
  }
  if (dimensions === undefined || canHave(dimensions, facts.embedding)) return null;
  const message = `\`embedding.dimensions\`: ${name} gives no vectors of ${dimensions} dimensions, but ${lengthsOf(facts)}.`;
  return { code: "invalid_request", param: "embedding.dimensions", message };
}

/** In words: what lengths there are. */
function lengthsOf({ embedding }: ModelFacts): string {
  if (embedding === undefined) return "its own";
  const { sizes, most, dimensions } = embedding;
  return sizes?.join(", ") ?? (most === undefined ? String(dimensions) : `1 to ${most}`);
}
