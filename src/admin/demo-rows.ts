/**
 * Requests of the last hour for `npm start -- --demo`: made up, the same at each start but for their times, and priced
 * by the catalogue, so that pages of figures have something to show. Pure.
 */
import { findModel } from "../catalog/index.ts";
import type { SettleRow } from "../ledger/client/client.ts";
import { encodeBase62 } from "../lib/text/base62.ts";
import { costPartsOf } from "../pricing/cost-parts.ts";
import { basisOf, type CostBasis, costOf } from "../pricing/price.ts";
import { readConditions } from "../pricing/surcharge-rules.ts";
import type { AttemptOutcome, Trace, TraceAttempt } from "../traces/schema.ts";

const DEMO_REQUESTS = 400;
const SPAN_MS = 60 * 60 * 1000;
const TIME_LENGTH = 8;

interface DemoTarget {
  readonly provider: string;
  readonly model: string;
  /** Milliseconds until the first token, on a good day. */
  readonly firstMs: number;
}

const ROUTES: readonly { readonly name: string; readonly share: number; readonly targets: readonly DemoTarget[] }[] = [
  {
    name: "best-reasoning",
    share: 0.45,
    targets: [
      { provider: "openai", model: "gpt-5.2", firstMs: 620 },
      { provider: "anthropic", model: "claude-opus-5-5", firstMs: 840 },
    ],
  },
  {
    name: "fast-eval",
    share: 0.35,
    targets: [
      { provider: "openai", model: "gpt-5-mini", firstMs: 240 },
      { provider: "google", model: "gemini-2.5-pro", firstMs: 480 },
    ],
  },
  {
    name: "agent-reasoning",
    share: 0.2,
    targets: [
      { provider: "anthropic", model: "claude-opus-5-5", firstMs: 900 },
      { provider: "openai", model: "gpt-5.2", firstMs: 640 },
    ],
  },
];
const APPS = ["studio", "search", "support"] as const;
const TEAMS = ["core", "growth", "research"] as const;
const TOOLS = ["search_docs", "read_file", "create_ticket"] as const;

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What happened to the first target, and how often: the rest answered. */
const MISHAPS: readonly { readonly outcome: AttemptOutcome; readonly status: number | null; readonly share: number }[] =
  [
    { outcome: "rate_limited", status: 429, share: 0.05 },
    { outcome: "server_error", status: 503, share: 0.03 },
    { outcome: "timeout", status: null, share: 0.01 },
  ];
const WORDS: Readonly<Record<string, string>> = {
  rate_limited: "Rate limit reached for requests per minute. Try again in 8 s.",
  server_error: "The server is overloaded at the moment.",
};
const HEDGED_SHARE = 0.03;
const FAILED_SHARE = 0.015;
const CANCELLED_SHARE = 0.01;

export interface DemoOf {
  readonly keyId: string;
  readonly env: string;
  /** Epoch ms. */
  readonly now: number;
}

export function demoRows(of: DemoOf): SettleRow[] {
  const random = randomFrom(of.keyId.length + (of.env === "production" ? 1 : 2));
  return Array.from({ length: DEMO_REQUESTS }, (_, at) => rowOf(of, at, random));
}

function pick<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)] ?? (values[0] as T);
}

function rowOf({ keyId, env, now }: DemoOf, at: number, random: () => number): SettleRow {
  const startedAt = Math.round(now - SPAN_MS + ((at + random()) / DEMO_REQUESTS) * (SPAN_MS - 5_000));
  const id = `tr_${keyId}${encodeBase62(startedAt, TIME_LENGTH)}${encodeBase62(at, 12)}`;
  const draw = random();
  const route = ROUTES.find(
    ({ share }, index) => draw < ROUTES.slice(0, index).reduce((sum, each) => sum + each.share, share),
  );
  const { name, targets } = route ?? ROUTES[0]!;
  const [first, second] = targets as readonly [DemoTarget, DemoTarget];
  const chance = random();
  const mishap = MISHAPS.find(
    ({ share }, index) => chance < MISHAPS.slice(0, index).reduce((sum, each) => sum + each.share, share),
  );
  const isFailed = mishap !== undefined && random() < FAILED_SHARE / 0.09;
  const isHedged = mishap === undefined && chance > 1 - HEDGED_SHARE;
  const isCancelled = mishap === undefined && !isHedged && random() < CANCELLED_SHARE;
  const slowness = 0.7 + random() * 0.8 + (random() < 0.04 ? 5 : 0);
  const usage = usageOf(random);
  const priced = (target: Pick<DemoTarget, "provider" | "model">) => priceOf(target, usage, startedAt);
  /** Attempts that answered, or that the router itself ended, are paid for. */
  const paid = (each: TraceAttempt): { readonly nanoUsd: number; readonly basis: CostBasis | null } =>
    each.outcome === "ok" || each.outcome === "cancelled" ? priced(each) : { nanoUsd: 0, basis: null };
  const attempts: TraceAttempt[] = [];
  const answer = mishap !== undefined || isHedged ? second : first;
  let clock = 0;
  if (mishap !== undefined) {
    const took = mishap.outcome === "timeout" ? 8_000 : Math.round(60 + random() * 300);
    attempts.push(attempt(first, { ...mishap, started: 0, took, firstMs: null, cost: 0 }));
    clock = took;
  } else if (isHedged) {
    attempts.push(
      attempt(first, {
        outcome: "cancelled",
        status: null,
        started: 0,
        took: 2_400,
        firstMs: null,
        cost: priced(first).usd,
      }),
    );
    clock = 1_200;
  }
  const firstMs = Math.round(answer.firstMs * slowness);
  const took = firstMs + Math.round(usage.completionTokens * (8 + random() * 8));
  const { usd } = priced(answer);
  if (isFailed)
    attempts.push(
      attempt(second, { outcome: "server_error", status: 500, started: clock, took: 180, firstMs: null, cost: 0 }),
    );
  else
    attempts.push({
      ...attempt(answer, {
        outcome: isCancelled ? "cancelled" : "ok",
        status: 200,
        started: clock,
        took,
        firstMs,
        cost: usd,
      }),
      winner: !isCancelled,
      hedged: isHedged,
    });
  const total = clock + (isFailed ? 180 : took);
  const session = random() < 0.4 ? `conversation-${Math.floor(at / 6)}` : undefined;
  const trace: Trace = {
    ...{ id, created_at: new Date(startedAt).toISOString(), key_id: keyId, env, app: pick(APPS, random) },
    ...{ route: `flow/${name}`, route_version: 1, api: "chat", stream: random() < 0.7 },
    ...{
      status: isFailed ? "error" : isCancelled ? "cancelled" : "ok",
      http_status: isFailed ? 502 : isCancelled ? 499 : 200,
    },
    ...(isFailed ? { error_code: "upstream_failed" } : {}),
    provider: isFailed ? null : answer.provider,
    model: isFailed ? null : answer.model,
    fallback: mishap !== undefined,
    ...(mishap === undefined ? {} : { fallback_reason: mishap.outcome as "rate_limited" }),
    ...(session === undefined ? {} : { session_id: session, affinity: "kept" }),
    attempts,
    latency: {
      first_token_ms: isFailed ? null : clock + firstMs,
      ...{ total_ms: total, budget_ms: 1_800, budget_met: !isFailed && clock + firstMs <= 1_800 },
    },
    usage: {
      ...{ prompt_tokens: usage.promptTokens, completion_tokens: isFailed ? 0 : usage.completionTokens },
      ...{ cached_tokens: usage.cachedTokens, cache_write_tokens: 0, reasoning_tokens: usage.reasoningTokens },
      source: isFailed ? "none" : "upstream",
    },
    cost_usd: attempts.reduce((sum, each) => sum + paid(each).nanoUsd, 0) / 1e9,
    cost_parts: costPartsOf(
      attempts.map(paid).map(({ nanoUsd, basis }) => ({
        ...{ costNanoUsd: nanoUsd, costBasis: basis, usageSource: "upstream" },
      })),
    ),
    tool_calls: name === "agent-reasoning" && random() < 0.5 ? [pick(TOOLS, random)] : [],
    tags: { team: pick(TEAMS, random) },
    client_request_id: null,
  };
  return {
    ...{ id, status: trace.status, route: trace.route, trace: JSON.stringify(trace), env, startedAt, terms: null },
    costNanoUsd: attempts.reduce((sum, each) => sum + paid(each).nanoUsd, 0),
    attempts: attempts.map((each, number) => ({
      ...{ attempt: number, provider: each.provider, model: each.model, winner: each.winner, outcome: each.outcome },
      costNanoUsd: paid(each).nanoUsd,
      basis: JSON.stringify(paid(each).basis),
      source: paid(each).basis === null ? ("none" as const) : ("upstream" as const),
    })),
    tokens: usage.promptTokens + usage.completionTokens,
    unadmittedNanoUsd: 0,
  };
}

interface Happened {
  readonly outcome: AttemptOutcome;
  readonly status: number | null;
  readonly started: number;
  readonly took: number;
  readonly firstMs: number | null;
  readonly cost: number;
}

function attempt(
  { provider, model }: DemoTarget,
  { outcome, status, started, took, firstMs, cost }: Happened,
): TraceAttempt {
  return {
    ...{ provider, model, outcome, status, started_ms: started, first_token_ms: firstMs, duration_ms: took },
    ...{ hedged: false, winner: false, cost_usd: cost, credential: 1 },
    ...(WORDS[outcome] === undefined ? {} : { provider_message: WORDS[outcome] }),
  };
}

const usageOf = (random: () => number) => {
  const promptTokens = Math.round(400 + random() ** 2 * 6_000);
  return {
    promptTokens,
    completionTokens: Math.round(40 + random() ** 2 * 900),
    cachedTokens: random() < 0.5 ? Math.round(promptTokens * 0.6) : 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
  };
};

function priceOf(
  { provider, model }: Pick<DemoTarget, "provider" | "model">,
  usage: ReturnType<typeof usageOf>,
  startedAt: number,
) {
  const raw = { prompt_tokens: usage.promptTokens, completion_tokens: usage.completionTokens };
  const conditions = readConditions(raw, { provider, startedAt, baseUrl: "" });
  const cost = costOf(usage, findModel(provider, model)?.price, conditions);
  const nanoUsd = cost.nanoUsd ?? 0;
  return { nanoUsd, usd: nanoUsd / 1e9, basis: basisOf(raw, usage, cost, conditions) };
}
