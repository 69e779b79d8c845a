/**
 * Which targets may answer this request, in which order. Pure: health, configuration and chance are parameters.
 *
 * The request narrows the policy's targets and never widens them. Health reorders; only an open breaker removes, and
 * never the last candidate.
 */
import type { Capability } from "../catalog/model-facts.ts";
import type { WireId } from "../conversation/part.ts";
import { isProviderToolPath } from "../conversation/provider-tools.ts";
import type { Forecast, TargetState } from "../health/client.ts";
import { RouterError } from "../http/errors.ts";
import { COMPACT } from "../http/hints.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Target } from "../policy/schema.ts";
import type { Provider, Refusal, Secrets } from "../providers/adapter.ts";
import { credentialsOf } from "../providers/credential-pool.ts";
import { missingNames } from "../providers/index.ts";
import type { FailureClass } from "../traces/schema.ts";
import type { Asked } from "../wires/asked.ts";
import type { Candidate, Plan, ResolvedRoute } from "./types.ts";

export interface PlanInput {
  readonly route: ResolvedRoute;
  /** The wire that the client speaks. */
  readonly wire: WireId;
  /** What is asked of that wire's API besides an answer: only targets that have it can serve the request. */
  readonly action?: string | undefined;
  readonly asked: Asked;
  /** What a text that is too long is to the client. Default: the conversation. */
  readonly subject?: { readonly noun: string; readonly param: string };
  /** Length of the body without base64, which is no text: the only measure of a prompt that needs no tokenizer. */
  readonly textLength: number;
  readonly secrets: Secrets;
  readonly findProvider: (id: string) => Provider | undefined;
  readonly stateOf: (candidate: Candidate) => TargetState;
  /** How fast it has been of late, `null` when unknown. */
  readonly forecastOf: (candidate: Candidate) => Forecast | null;
  /** This request may find out how fast it is. */
  readonly mayExplore: (candidate: Candidate) => boolean;
  /** What the request will probably cost there, nano-USD; `null` where the price is not known. */
  readonly expectedCostOf: (candidate: Candidate) => number | null;
  /** Names of the targets that its conversation is to be kept with, the best first. */
  readonly preferred: readonly string[];
  /** An operator has taken it out. */
  readonly isDisabled: (target: Target) => boolean;
  /** Hears of each target that could be called. */
  readonly onConfigured?: (candidate: Candidate) => void;
  /** Hears of each target that is passed over. */
  readonly onSkipped: (target: Target, reason: FailureClass, detail?: string, member?: string) => void;
  /** A number in [0, 1): random, or stable for a session that sticks. */
  readonly draw: (candidate: Candidate) => number;
}

/** Throws 503 `no_target_configured` or `all_targets_down`, 400 `no_capable_target` or `context_length_exceeded`. */
export function plan(input: PlanInput): Plan {
  const { route } = input;
  const configured = configuredCandidates(input);
  if (configured.length === 0 && input.action !== undefined) {
    throw new RouterError("not_found", `No target of this route has \`${input.action}\`. ${COMPACT}`);
  }
  if (configured.length === 0) {
    throw nothingConfigured(input);
  }
  const allowed = configured.filter(({ target }) => {
    const member = narrowedBy(route, target);
    if (member !== null) input.onSkipped(target, "capability", `\`${member}\` leaves it out.`, member);
    return member === null;
  });
  if (allowed.length === 0) {
    throw new RouterError("no_capable_target", "`route.only` and `route.avoid` leave no target of this route.", {
      param: route.only === undefined ? "route.avoid" : "route.only",
    });
  }
  const ordered = keptWith(input.preferred, inStrategyOrder(allowed, input));
  const first = ordered[0]!;
  if (!route.mayFallBack || ordered.length === 1) {
    const refusal = refusalOf(first, input.asked);
    if (refusal !== null) throw new RouterError("no_capable_target", refusal.message, { param: refusal.param });
    return { candidates: [first], drawn: first, passedOver: null };
  }

  const capable = capableCandidates(ordered, input);
  const healthy = byHealth(capable, input);
  if (healthy.length === 0) {
    throw new RouterError(
      "all_targets_down",
      "Every target of this route is failing at the moment. Try again shortly.",
    );
  }
  return {
    candidates: healthy,
    drawn: first,
    passedOver: healthy[0] === first ? null : whyPassedOver(first, capable, input),
  };
}

/** The control by which the client leaves the target out; `null`: it does not. */
function narrowedBy({ only, avoid }: ResolvedRoute, { provider }: Target): "route.only" | "route.avoid" | null {
  if (only !== undefined && !only.includes(provider)) return "route.only";
  return avoid?.includes(provider) === true ? "route.avoid" : null;
}

function nothingConfigured({ route, isDisabled, findProvider }: PlanInput): RouterError {
  const { targets } = route.policy;
  const gone = [...new Set(targets.map(({ provider }) => provider))].filter((id) => findProvider(id) === undefined);
  if (gone.length > 0 && targets.every(({ provider }) => gone.includes(provider))) {
    const which = gone.map((id) => `\`${id}\``).join(", ");
    const message = `No target of this route has a provider: ${which} ${gone.length === 1 ? "was" : "were"} deleted. Add it again (PUT /admin/providers/<id>), or change the route's targets.`;
    return new RouterError("no_target_configured", message);
  }
  const names = route.policy.targets.filter(isDisabled).map(({ provider, model }) => `\`${provider}/${model}\``);
  const isAll = names.length === route.policy.targets.length;
  const off = `${names.length === 1 ? "is" : "are"} disabled by an operator: PATCH /admin/providers/<id> enables again`;
  const message = isAll
    ? `Every target of this route is disabled: ${names.join(", ")} ${off}.`
    : `No target of this route has its provider credentials configured. Set the provider's secret.${names.length === 0 ? "" : ` ${names.join(", ")} ${off}.`}`;
  return new RouterError("no_target_configured", message);
}

function whyPassedOver(first: Candidate, capable: readonly Candidate[], { stateOf }: PlanInput): FailureClass {
  if (capable[0] !== first) return "capability";
  return stateOf(first) === "cooling" ? "rate_limited" : "breaker_open";
}

function configuredCandidates(input: PlanInput): Candidate[] {
  const { route, wire, action, asked, secrets, findProvider, isDisabled, onConfigured, onSkipped } = input;
  const candidates: Candidate[] = [];
  route.policy.targets.forEach((target, index) => {
    if (isDisabled(target)) {
      onSkipped(target, "disabled", "An operator has disabled it.");
      return;
    }
    const found = findProvider(target.provider);
    const credentials = found === undefined ? [] : credentialsOf(found, secrets);
    const config = credentials[0]?.config;
    if (found === undefined || config === undefined) {
      const detail =
        found === undefined ? "There is no such provider." : `Set ${missingNames(found, secrets).join(", ")}.`;
      onSkipped(target, "not_configured", detail);
      return;
    }
    const name = `${target.provider}/${target.model}`;
    const facts = route.record.facts[index] ?? {};
    const { model, params } = target;
    const toCandidate = (provider: Provider): Candidate => {
      return { name, target, facts, provider, config, credentials, lane: laneOf(provider, wire) };
    };
    const written = (): Candidate => {
      return toCandidate(found.forRequest?.({ asked, model, params, facts, config }) ?? found);
    };
    const native = found.inWire?.(wire, config);
    if (action !== undefined && native?.adapter.actions?.includes(action) !== true) {
      onSkipped(target, "capability", `It has no \`${action}\`.`);
      return;
    }
    const candidate = native === undefined ? written() : { ...toCandidate(native), translated: written };
    onConfigured?.(candidate);
    candidates.push(candidate);
  });
  return candidates;
}

/** How a request that came in `wire` goes over `provider`. */
function laneOf({ adapter }: Provider, wire: WireId): Candidate["lane"] {
  if (adapter.sameWire !== wire) return "translated";
  return adapter.isClean === true ? "native" : "same_wire";
}

function inStrategyOrder(candidates: readonly Candidate[], input: PlanInput): readonly Candidate[] {
  if (candidates.length === 1) return candidates;
  switch (input.route.policy.strategy) {
    case "weighted":
      // Exponential race: the smallest -ln(u)/weight comes first with probability proportional to its weight.
      return sortedBy(candidates, (candidate) => {
        const { weight } = candidate.target;
        return weight === 0 ? Number.POSITIVE_INFINITY : -Math.log(1 - input.draw(candidate)) / weight;
      });
    case "cheapest":
      return sortedBy(candidates, (candidate) => input.expectedCostOf(candidate) ?? Number.POSITIVE_INFINITY);
    case "fastest":
      return fastestFirst(candidates, input);
    case "ordered":
      return candidates;
  }
}

/** The targets of the conversation before all others. Health decides afterwards, so it fails over and comes back. */
function keptWith(names: readonly string[], candidates: readonly Candidate[]): readonly Candidate[] {
  const kept = names.flatMap((name) => candidates.find((candidate) => candidate.name === name) ?? []);
  return kept.length === 0 ? candidates : [...new Set([...kept, ...candidates])];
}

/**
 * A target without recent measurements goes first where this request may find out, all others last: they may be slow.
 */
function fastestFirst(candidates: readonly Candidate[], { forecastOf, mayExplore }: PlanInput): readonly Candidate[] {
  const forecasts = new Map(candidates.map((candidate) => [candidate, forecastOf(candidate)]));
  const explored = candidates.find((candidate) => forecasts.get(candidate) === null && mayExplore(candidate));
  return sortedBy(candidates, (candidate) =>
    candidate === explored ? -1 : (forecasts.get(candidate)?.p50Ms ?? Number.POSITIVE_INFINITY),
  );
}

/** Stable: equals keep the policy's order. */
function sortedBy(candidates: readonly Candidate[], score: (candidate: Candidate) => number): Candidate[] {
  const scored = candidates.map((candidate) => ({ candidate, score: score(candidate) }));
  scored.sort((a, b) => (a.score === b.score ? 0 : a.score < b.score ? -1 : 1));
  return scored.map(({ candidate }) => candidate);
}

/**
 * Why another target goes first: this one has no such ability, the conversation is longer than its window, or it would
 * be called without something that is not content.
 */
type Lack =
  | { readonly kind: "ability" | "wish"; readonly name: string }
  | { readonly kind: "length"; readonly window: number };

function capableCandidates(candidates: readonly Candidate[], input: PlanInput): readonly Candidate[] {
  const needs = neededCapabilities(input.asked.fields);
  const lacks = candidates.map((candidate) => lackOf(candidate, needs, input));
  const only = (isLeft: (lack: Lack | null) => boolean): readonly Candidate[] => {
    const left = candidates.filter((_, index) => isLeft(lacks[index] ?? null));
    candidates.forEach(({ target }, index) => {
      const lack = lacks[index] ?? null;
      if (left.length > 0 && !isLeft(lack)) input.onSkipped(target, "capability", reasonOf(lack), memberOf(lack));
    });
    return left;
  };
  const capable = only((lack) => lack === null);
  // A search that nothing forces makes an answer better, and is no reason not to answer.
  const lesser = candidates.filter((_, index) => isLesser(lacks[index] ?? null));
  if (capable.length > 0) return [...capable, ...lesser];
  // No candidate supports the option: it is dropped and named, as it is for a sole target.
  const willing = only((lack) => lack?.kind === "wish");
  if (willing.length > 0) return willing;
  const windows = lacks.flatMap((lack) => (lack?.kind === "length" ? [lack.window] : []));
  if (windows.length === candidates.length) throw tooLong(Math.max(...windows), input);
  const reasons = candidates.map(({ name }, index) => `${name} ${reasonOf(lacks[index] ?? null)}`).join("; ");
  throw new RouterError("no_capable_target", `No target of this route can serve this request: ${reasons}.`);
}

function isLesser(lack: Lack | null): boolean {
  return lack?.kind === "wish" && isProviderToolPath(lack.name);
}

function lackOf(candidate: Candidate, needs: readonly Capability[], input: PlanInput): Lack | null {
  const { facts, provider, target } = candidate;
  const missing = lackingMember(provider, target.model, input.asked);
  const isWish = missing !== null && provider.refuses !== undefined && refusalOf(candidate, input.asked) === null;
  if (missing !== null && !isWish) return { kind: "ability", name: missing };
  const need = needs.find((each) => facts.capabilities?.[each] === false);
  if (need !== undefined) return { kind: "ability", name: need };
  const { context_window: window } = facts;
  if (window !== undefined && !fitsWindow(window, input.textLength)) return { kind: "length", window };
  return missing === null ? null : { kind: "wish", name: missing };
}

/** The content that `candidate` cannot be sent. A body so odd that the question fails is for the attempt to refuse. */
function refusalOf({ provider, target }: Candidate, asked: Asked): Refusal | null {
  try {
    return provider.refuses?.(asked, target.model) ?? null;
  } catch {
    return null;
  }
}

function memberOf(lack: Lack | null): string {
  return lack === null || lack.kind === "length" ? "messages" : lack.name;
}

function reasonOf(lack: Lack | null): string {
  if (lack?.kind === "length") return `has a maximum context length of ${lack.window} tokens, which is too short`;
  return `cannot serve ${lack?.name ?? "it"}`;
}

const CONVERSATION = { noun: "conversation", param: "messages" };

/** In the words that agents look for before they shorten a conversation by themselves. */
function tooLong(window: number, { textLength, subject = CONVERSATION }: PlanInput): RouterError {
  const about = Math.ceil(textLength / USUAL_BYTES_PER_TOKEN);
  const message = `This route's maximum context length is ${window} tokens, and the ${subject.noun} has about ${about}. Shorten it.`;
  return new RouterError("context_length_exceeded", message, { param: subject.param });
}

/** What of the request the provider has no room for. A body so odd that the question itself fails has none anywhere. */
function lackingMember(provider: Provider, model: string, asked: Asked): string | null {
  try {
    return provider.lacks?.(asked, model) ?? null;
  } catch {
    return "messages";
  }
}

const USUAL_BYTES_PER_TOKEN = 4;
/** At twice the usual a prompt longer than the window surely does not fit. */
const BYTES_PER_TOKEN_AT_MOST = 8;

function fitsWindow(window: number, textLength: number): boolean {
  return textLength / BYTES_PER_TOKEN_AT_MOST <= window;
}

/** Abilities a request asks for, as far as the catalogue can know them. */
function neededCapabilities(fields: Readonly<Record<string, unknown>>): Capability[] {
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

/** The healthy first, then those that are better left alone for a while; an open breaker lets nothing pass. */
function byHealth(
  candidates: readonly Candidate[],
  { stateOf, onSkipped }: Pick<PlanInput, "stateOf" | "onSkipped">,
): readonly Candidate[] {
  if (candidates.length === 1) return candidates;
  const closed: Candidate[] = [];
  const resting: Candidate[] = [];
  for (const candidate of candidates) {
    const state = stateOf(candidate);
    if (state === "closed") closed.push(candidate);
    else if (state !== "open") resting.push(candidate);
    if (state === "cooling") onSkipped(candidate.target, "rate_limited", "The provider asked to be left alone.");
    else if (state !== "closed") onSkipped(candidate.target, "breaker_open", `The breaker is ${state}.`);
  }
  return [...closed, ...resting];
}
