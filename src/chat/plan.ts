/**
 * Which targets may answer this request, in which order. Pure: health, configuration and chance are parameters.
 *
 * The request narrows the policy's targets and never widens them. Health reorders; only an open breaker removes, and
 * never the last candidate.
 */
import type { Capability, ModelFacts } from "../catalog/facts.ts";
import { RouterError } from "../errors.ts";
import type { TargetState } from "../health/client.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Target } from "../policy/schema.ts";
import type { Provider, Secrets } from "../providers/adapter.ts";
import type { Candidate, Plan, ResolvedRoute } from "./stages.ts";

export interface PlanInput {
  readonly route: ResolvedRoute;
  /** The request body, parsed. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Length of the request body: the only measure of a prompt that needs no tokenizer. */
  readonly bodyLength: number;
  readonly secrets: Secrets;
  readonly findProvider: (id: string) => Provider | undefined;
  readonly stateOf: (target: Target) => TargetState;
  /** A number in [0, 1) for a target: random, or stable for a session that sticks. */
  readonly draw: (target: Target) => number;
}

/** Throws 503 `no_target_configured` or `all_targets_down`, 400 `no_capable_target`. */
export function plan(input: PlanInput): Plan {
  const { route } = input;
  const configured = configuredCandidates(input);
  if (configured.length === 0) {
    throw new RouterError(
      "no_target_configured",
      "No target of this route has its provider credentials configured. Set the provider's secret.",
    );
  }
  const allowed = configured.filter(({ target }) => {
    return (route.only?.includes(target.provider) ?? true) && !(route.avoid?.includes(target.provider) ?? false);
  });
  if (allowed.length === 0) {
    throw new RouterError("no_capable_target", "`route.only` and `route.avoid` leave no target of this route.", {
      param: route.only === undefined ? "route.avoid" : "route.only",
    });
  }
  const ordered = inStrategyOrder(allowed, input);
  const first = ordered[0]!;
  if (!route.mayFallBack || ordered.length === 1) return { candidates: [first], passedOver: null };

  const capable = capableCandidates(ordered, input);
  const healthy = byHealth(capable, input.stateOf);
  if (healthy.length === 0) {
    throw new RouterError(
      "all_targets_down",
      "Every target of this route is failing at the moment. Try again shortly.",
    );
  }
  const passedOver = healthy[0] === first ? null : capable[0] === first ? "breaker_open" : "capability";
  return { candidates: healthy, passedOver };
}

function configuredCandidates({ route, secrets, findProvider }: PlanInput): Candidate[] {
  const candidates: Candidate[] = [];
  route.policy.targets.forEach((target, index) => {
    const provider = findProvider(target.provider);
    const config = provider?.configure(secrets) ?? null;
    if (provider === undefined || config === null) return;
    candidates.push({ target, facts: route.record.facts[index] ?? {}, provider, config });
  });
  return candidates;
}

function inStrategyOrder(candidates: readonly Candidate[], input: PlanInput): readonly Candidate[] {
  if (candidates.length === 1) return candidates;
  switch (input.route.policy.strategy) {
    case "weighted":
      // Exponential race: the smallest -ln(u)/weight comes first with probability proportional to its weight.
      return sortedBy(candidates, ({ target }) =>
        target.weight === 0 ? Number.POSITIVE_INFINITY : -Math.log(1 - input.draw(target)) / target.weight,
      );
    case "cheapest":
      return sortedBy(candidates, ({ facts }) =>
        facts.price === undefined ? Number.POSITIVE_INFINITY : facts.price.input + facts.price.output,
      );
    case "ordered":
    case "fastest":
      return candidates;
  }
}

/** Stable: equals keep the policy's order. */
function sortedBy(candidates: readonly Candidate[], score: (candidate: Candidate) => number): Candidate[] {
  const scored = candidates.map((candidate) => ({ candidate, score: score(candidate) }));
  scored.sort((a, b) => (a.score === b.score ? 0 : a.score < b.score ? -1 : 1));
  return scored.map(({ candidate }) => candidate);
}

function capableCandidates(candidates: readonly Candidate[], input: PlanInput): readonly Candidate[] {
  const needs = neededCapabilities(input.fields);
  const capable = candidates.filter(({ facts, provider }) => {
    if (provider.lacks?.(input.fields)) return false;
    if (needs.some((need) => facts.capabilities?.[need] === false)) return false;
    return fitsWindow(facts, input.bodyLength);
  });
  if (capable.length > 0) return capable;
  throw new RouterError(
    "no_capable_target",
    "No target of this route can serve this request's tools, format or length.",
  );
}

/** Tokens of ordinary text have about four bytes; at twice that a prompt longer than the window surely does not fit. */
const BYTES_PER_TOKEN_AT_MOST = 8;

function fitsWindow(facts: ModelFacts, bodyLength: number): boolean {
  return facts.context_window === undefined || bodyLength / BYTES_PER_TOKEN_AT_MOST <= facts.context_window;
}

/** Abilities a request asks for, as far as the catalogue can know them. */
export function neededCapabilities(fields: Readonly<Record<string, unknown>>): Capability[] {
  const needs: Capability[] = [];
  if (Array.isArray(fields["tools"]) && fields["tools"].length > 0) needs.push("tools");
  const format = fields["response_format"];
  if (isJsonObject(format) && format["type"] === "json_schema") needs.push("json_schema");
  if (Array.isArray(fields["messages"]) && fields["messages"].some(hasImage)) needs.push("vision");
  return needs;
}

function hasImage(message: unknown): boolean {
  if (!isJsonObject(message) || !Array.isArray(message["content"])) return false;
  return message["content"].some((part) => isJsonObject(part) && part["type"] === "image_url");
}

function byHealth(candidates: readonly Candidate[], stateOf: (target: Target) => TargetState): readonly Candidate[] {
  if (candidates.length === 1) return candidates;
  const closed: Candidate[] = [];
  const penalised: Candidate[] = [];
  for (const candidate of candidates) {
    const state = stateOf(candidate.target);
    if (state === "closed") closed.push(candidate);
    if (state === "penalised") penalised.push(candidate);
  }
  return [...closed, ...penalised];
}
