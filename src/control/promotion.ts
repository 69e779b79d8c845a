/**
 * What a version must have shown before it is promoted, and whether it has. Pure.
 *
 * Two policies have a say: the candidate's own and the one in force where it goes. A policy takes part once it asks for
 * anything: a gate of its own, a number of requests other than the default, or `required`. A number of requests always
 * goes with it, because a rate of nothing is no evidence.
 */
import type { RoutePolicy } from "../policy/schema.ts";
import type { GateName, GateResult } from "./types.ts";

type Promotion = RoutePolicy["promotion"];

/** What the policy's schema fills in. Kept equal to it by a test. */
export const DEFAULT_MIN_REQUESTS = 20;

/** The part of a version's evidence that gates look at. `null`: nothing is known, which passes no gate. */
export interface Figures {
  readonly requests: number;
  readonly success_rate: number | null;
  readonly success_lower_bound: number;
  readonly total_ms: { readonly p95: number } | null;
  readonly cost_usd_per_request: number | null;
}

interface GateRow {
  readonly name: GateName;
  /** `least`: the figure must reach it, and the higher of two is stricter. `most`: the other way round. */
  readonly bound: "least" | "most";
  readonly measure: (figures: Figures) => number | null;
}

const GATES: readonly GateRow[] = [
  { name: "min_requests", bound: "least", measure: ({ requests }) => requests },
  { name: "min_success_rate", bound: "least", measure: (figures) => figures.success_rate },
  {
    name: "min_success_lower_bound",
    bound: "least",
    // The bound of no requests is 0, which would reach a wanted 0.
    measure: (figures) => (figures.requests === 0 ? null : figures.success_lower_bound),
  },
  { name: "max_p95_latency_ms", bound: "most", measure: (figures) => figures.total_ms?.p95 ?? null },
  { name: "max_cost_usd_per_request", bound: "most", measure: (figures) => figures.cost_usd_per_request },
];

export interface Gate {
  readonly name: GateName;
  readonly wanted: number;
}

export interface Demands {
  /** Empty: there are no gates. */
  readonly gates: readonly Gate[];
  /** The shorter of both: old successes say less. */
  readonly windowHours: number;
}

/** Per field the stricter of what the policies ask for. */
export function demandsOf(policies: readonly Promotion[]): Demands {
  const asking = policies.filter(asks);
  const gates = GATES.flatMap(({ name, bound }): Gate[] => {
    const wanted = asking.flatMap((policy) => policy[name] ?? []);
    if (wanted.length === 0) return [];
    return [{ name, wanted: bound === "least" ? Math.max(...wanted) : Math.min(...wanted) }];
  });
  return {
    gates,
    windowHours: Math.min(...(asking.length === 0 ? policies : asking).map((each) => each.window_hours)),
  };
}

/** It has a gate of its own, or requires promotion somewhere. */
export function asks(promotion: Promotion): boolean {
  const hasGate = GATES.some(({ name }) => name !== "min_requests" && promotion[name] !== undefined);
  return promotion.required !== false || hasGate || promotion.min_requests !== DEFAULT_MIN_REQUESTS;
}

/** In `env`, where the policy is active in `activeIn`, versions come by promotion only. */
export function isRequiredIn({ required }: Promotion, activeIn: string, env: string): boolean {
  return typeof required === "boolean" ? required && activeIn === env : required.includes(env);
}

/** `promotion` without whatever is weaker than what guards the place where it goes: per member the stricter. */
export function keepingGuard(promotion: Promotion, guard: Promotion | undefined): Promotion {
  if (guard === undefined || !asks(guard)) return promotion;
  if (!asks(promotion)) return guard;
  const { gates, windowHours } = demandsOf([promotion, guard]);
  return {
    ...{ min_requests: DEFAULT_MIN_REQUESTS, ...Object.fromEntries(gates.map(({ name, wanted }) => [name, wanted])) },
    window_hours: windowHours,
    required: bothRequired(promotion.required, guard.required),
  };
}

function bothRequired(one: Promotion["required"], other: Promotion["required"]): Promotion["required"] {
  if (one === true || other === true) return true;
  if (one === false || other === false) return one === false ? other : one;
  return [...new Set([...one, ...other])];
}

/** `next` in the place of `before`, active in `env`, would ask for less: a gate is gone or looser, or a guard is. */
export function weakens(before: Promotion, next: Promotion, env: string): boolean {
  if (!asks(before)) return false;
  const guarded = before.required === true ? [env] : before.required === false ? [] : before.required;
  if (guarded.some((each) => !isRequiredIn(next, env, each))) return true;
  if (next.window_hours > before.window_hours) return true;
  return GATES.some(({ name, bound }) => {
    const [wanted, now] = [before[name], next[name]];
    if (wanted === undefined) return false;
    return now === undefined || (bound === "least" ? now < wanted : now > wanted);
  });
}

/** `figures` of `null`: the evidence could not be read. Passes nothing. */
export function judge(gates: readonly Gate[], figures: Figures | null): GateResult[] {
  return gates.map(({ name, wanted }) => {
    const row = GATES.find((each) => each.name === name);
    const measured = figures === null ? null : (row?.measure(figures) ?? null);
    const passed = measured !== null && (row?.bound === "least" ? measured >= wanted : measured <= wanted);
    return { name, wanted, measured, passed };
  });
}
