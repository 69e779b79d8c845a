/**
 * What would become of a request: parse, plan and admission as they are, without a provider, a reservation or a trace.
 *
 * The order, the reasons and the bounds come from the code that serves requests. Health is that of now, as this isolate
 * knows it; prices are those of the time that is asked for.
 */
import { type Env, secretsOf } from "../config.ts";
import {
  cachedShareOf,
  type HealthContext,
  isUnclean,
  latencyForecast,
  mayExplore,
  targetState,
} from "../health/client.ts";
import { RouterError } from "../http/errors.ts";
import { fromUsd, toUsd } from "../lib/money.ts";
import { stableDraw } from "../lib/stable-draw.ts";
import { isDisabled } from "../policy/disabled.ts";
import type { FailureClass } from "../traces/schema.ts";
import { readContentDemand } from "../wires/openai-chat/read-demand.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import type { DoorWire } from "../wires/wire.ts";
import { Admission } from "./admission/admission.ts";
import { fits } from "./attempts/hedge.ts";
import { droppedFor } from "./attempts/upstream-request.ts";
import { conversationOf, costForecast } from "./conversation.ts";
import { type EmbeddingOperation, INPUT, NO_CONTENT } from "./embedding/operation.ts";
import { providersOf } from "./operator-providers.ts";
import { plan } from "./plan.ts";
import { toldOf } from "./request/told.ts";
import type { Exchange } from "./trace.ts";
import type { Caller, Candidate, ResolvedRoute } from "./types.ts";

interface Reason {
  readonly code: FailureClass;
  readonly member?: string;
  readonly detail?: string;
}

interface ExplainedTarget {
  readonly provider: string;
  readonly model: string;
  /** From 1; `null`: it would not be asked. */
  readonly order: number | null;
  readonly state: "first" | "next" | "behind" | "out";
  readonly reasons: readonly Reason[];
  readonly lane: "native" | "same_wire" | "translated";
  readonly dropped: readonly string[];
  readonly bound_usd: number | null;
  readonly expected_usd: number | null;
  readonly cached_share: number;
}

export interface Explanation {
  readonly route_version: number;
  readonly targets: readonly ExplainedTarget[];
  readonly admission: { readonly ok: boolean; readonly code?: string; readonly limit?: unknown };
  readonly output_cap: number | null;
  readonly bound_usd: number | null;
}

export interface Subject {
  readonly request: ChatRequest;
  readonly caller: Caller;
  readonly route: ResolvedRoute;
  /** `null`: the request is no conversation. */
  readonly wire: DoorWire | null;
  readonly operation?: EmbeddingOperation;
  readonly exchange: Exchange;
  readonly env: Env;
  readonly health: HealthContext;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Epoch ms at which the prices hold. */
  readonly at: number;
  readonly showsDetail: boolean;
}

/** Codes of refusals that are a target's: another one may be affordable. */
const UNAFFORDABLE: ReadonlyMap<string, FailureClass> = new Map([
  ["model_unpriced", "unpriced"],
  ["budget_exceeded", "over_budget"],
  ["request_budget_exceeded", "over_budget"],
]);

const nameOf = ({ provider, model }: { readonly provider: string; readonly model: string }): string =>
  `${provider}/${model}`;

export async function explain(subject: Subject): Promise<Explanation> {
  const { request, caller, route, exchange, env, health, waitUntil, at } = subject;
  const now = Date.now();
  const { operation, wire } = subject;
  const content = operation === undefined ? readContentDemand(request.fields["messages"]) : NO_CONTENT;
  exchange.conversation = operation === undefined ? conversationOf(exchange, route, request, caller) : null;
  const { conversation } = exchange;
  const textLength = operation?.textLength ?? (request.own ?? request).text.length - content.base64Length;
  const reasons = new Map<string, Reason[]>();
  const because = (name: string, reason: Reason): void => {
    reasons.set(name, [...(reasons.get(name) ?? []), reason]);
  };
  const findProvider = await providersOf(route.policy.targets, { kv: env.CONFIG, now, waitUntil });
  const forecast = (name: string) => latencyForecast(name, request.stream ? "firstToken" : "total", now);
  const expectedCostOf = costForecast(exchange, route, request, textLength, at);
  const all = new Map<string, Candidate>();
  let refusal: RouterError | null = null;
  let candidates: readonly Candidate[] = [];
  try {
    candidates = plan({
      route,
      wire: wire?.id ?? "openai-chat",
      asked: request,
      textLength: operation?.longest ?? textLength,
      ...(operation === undefined ? {} : { subject: INPUT }),
      secrets: secretsOf(env),
      findProvider(id) {
        const provider = findProvider(id);
        return operation === undefined || provider === undefined ? toldOf(provider, request) : operation.view(provider);
      },
      stateOf: ({ name }) => targetState(health, name, now),
      forecastOf: ({ name }) => forecast(name),
      mayExplore: ({ name }) => mayExplore(name, now, caller.key.id),
      expectedCostOf,
      preferred: conversation?.preferred ?? [],
      isDisabled: ({ provider, model }) => isDisabled(route.disabled, provider, model, now),
      onSkipped: (target, code, detail, member) =>
        because(nameOf(target), {
          code,
          ...(member === undefined ? {} : { member }),
          ...(detail === undefined ? {} : { detail }),
        }),
      onConfigured: (candidate) => all.set(candidate.name, candidate),
      draw: ({ name }) => (conversation === null ? Math.random() : stableDraw(conversation.sessionId, name)),
    }).candidates;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    refusal = error;
  }
  const admission = new Admission({
    ...{ ledgers: env.KEY_LEDGER, key: caller.key, route, request, content, exchange, waitUntil, trialAt: at },
    ...(operation === undefined ? {} : { estimate: operation.estimate }),
  });
  const bounds = new Map<string, number | null>();
  for (const [name, candidate] of all) {
    try {
      bounds.set(name, admission.boundOf(candidate)?.nanoUsd ?? null);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const code = UNAFFORDABLE.get(error.code);
      if (code === undefined) throw error;
      because(name, { code, detail: error.message });
      bounds.set(name, null);
      if (candidates.some((each) => each.name === name)) refusal ??= error;
    }
  }
  const isAffordable = ({ name }: Candidate): boolean =>
    !(reasons.get(name) ?? []).some(({ code }) => code === "unpriced" || code === "over_budget");
  const affordable = candidates.filter(isAffordable);
  const leftMs = route.latencyBudgetMs;
  const isFast = ({ name }: Candidate): boolean => leftMs === null || fits(forecast(name), leftMs);
  const mayPass = affordable.some(isFast);
  for (const each of affordable) {
    if (mayPass && !isFast(each)) because(each.name, { code: "slow", detail: "It does not fit the latency budget." });
  }
  const ordered = mayPass ? [...affordable.filter(isFast), ...affordable.filter((each) => !isFast(each))] : affordable;
  const [first] = ordered;
  const trial = first === undefined ? null : await admission.trial(first);
  const shared = first === undefined ? null : await sharedRefusal(subject, bounds.get(first.name) ?? 0);
  const admissionRefusal = first === undefined ? refusal : (trial?.refusal ?? shared);
  const targets = await Promise.all(
    route.policy.targets.map(async (target): Promise<ExplainedTarget> => {
      const name = nameOf(target);
      const candidate = all.get(name);
      const index = ordered.findIndex((each) => each.name === name);
      const found = reasons.get(name) ?? [];
      const expected = candidate === undefined ? null : expectedCostOf(candidate);
      const bound = bounds.get(name) ?? null;
      return {
        provider: target.provider,
        model: target.model,
        order: index === -1 ? null : index + 1,
        state: index === -1 ? "out" : index === 0 ? "first" : found.length > 0 ? "behind" : "next",
        reasons: subject.showsDetail ? found : found.map(({ detail, ...reason }) => reason),
        lane: laneOf(subject, candidate),
        dropped: candidate === undefined ? [] : await droppedAt(subject, candidate).catch(() => []),
        bound_usd: bound === null ? null : toUsd(bound),
        expected_usd: expected === null ? null : toUsd(Math.ceil(expected)),
        cached_share: conversation?.isCachedAt(name) === true ? cachedShareOf(name) : 0,
      };
    }),
  );
  const whole = first === undefined ? null : (bounds.get(first.name) ?? null);
  return {
    route_version: route.record.version,
    targets,
    admission:
      admissionRefusal === null
        ? { ok: true }
        : { ok: false, code: admissionRefusal.code, ...limitOf(admissionRefusal) },
    output_cap: trial?.outputCap ?? null,
    bound_usd: whole === null ? null : toUsd(whole),
  };
}

function limitOf({ details }: RouterError): { readonly limit?: unknown } {
  return details["limit"] === undefined ? {} : { limit: details["limit"] };
}

/** What the pools of the budgets above the key have left, without a lease being asked for. */
async function sharedRefusal({ route, env }: Subject, boundNanoUsd: number): Promise<RouterError | null> {
  for (const { id, limit_usd, on_exceeded } of route.budgets) {
    if (on_exceeded !== "deny") continue;
    const status = await env.BUDGET_POOL.getByName(id).status();
    const left = status === null ? 0 : fromUsd(limit_usd) - status.spentNanoUsd;
    if (boundNanoUsd <= left) continue;
    const remaining = toUsd(Math.max(0, left));
    const resetsAt = status?.resetsAt == null ? {} : { resets_at: new Date(status.resetsAt).toISOString() };
    const limit = {
      kind: "budget",
      id,
      bound_usd: toUsd(boundNanoUsd),
      remaining_usd: remaining,
      limit: limit_usd,
      ...resetsAt,
    };
    return new RouterError("budget_exceeded", `The budget \`${id}\` has ${remaining} USD left.`, {
      details: { limit },
    });
  }
  return null;
}

async function droppedAt({ request, wire, operation }: Subject, candidate: Candidate): Promise<readonly string[]> {
  if (operation !== undefined) return operation.droppedAt(candidate);
  return wire === null ? [] : droppedFor(request, candidate, wire, null);
}

/** A target that was seen breaking a rule is read event by event for a while. */
function laneOf({ exchange, operation }: Subject, candidate: Candidate | undefined): ExplainedTarget["lane"] {
  if (candidate === undefined) return "translated";
  if (operation !== undefined) return operation.laneAt(candidate);
  const isRead = candidate.lane === "native" && isUnclean(candidate.name, exchange.receivedAt);
  return isRead ? "same_wire" : candidate.lane;
}
