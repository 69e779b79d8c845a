/**
 * Stage 7, behind the answer: the ledger gets trace and cost, the collector spans, the log at most one line. Never
 * throws.
 *
 * A request that reached a route settles exactly once, whatever ended it. The trace is the record; a log line costs
 * more than all of routing, so a request that simply went well has none unless the operator asks for it.
 */
import { type Env, settingsOf } from "../config.ts";
import { forgetKey } from "../keys/store.ts";
import { noteSettled } from "../ledger/client/budget-cache.ts";
import { type SettleRow, settleSoon } from "../ledger/client/client.ts";
import { log, logError } from "../lib/log.ts";
import { type CostBasis, isOffCheck, reprice } from "../pricing/price.ts";
import { attemptLog } from "../traces/attempt-log.ts";
import { exportSoon } from "../traces/exporter.ts";
import type { SkippedTarget, Trace } from "../traces/schema.ts";
import type { Bill } from "./billing.ts";
import type { Attempt, Ending, Exchange } from "./trace.ts";

/** A price that is wrong is wrong for every request of its model. */
const OFF_CHECK_PAUSE_MS = 60_000;
/** `<provider>/<model>` to when its line was last written, epoch ms. As many as have a price. */
const offCheckLoggedAt = new Map<string, number>();

export class Settlement {
  readonly #exchange: Exchange;
  readonly #env: Env;
  readonly #waitUntil: (work: Promise<unknown>) => void;
  readonly #onBooked: () => void;
  #isSettled = false;

  constructor(exchange: Exchange, env: Env, waitUntil: (work: Promise<unknown>) => void, onBooked = (): void => {}) {
    this.#exchange = exchange;
    this.#env = env;
    this.#waitUntil = waitUntil;
    this.#onBooked = onBooked;
  }

  /** The latch: of several endings that are noticed, the first counts. */
  settle(ending: Ending): void {
    const exchange = this.#exchange;
    if (this.#isSettled || exchange.keyId === null || exchange.route === null) return;
    this.#isSettled = true;
    exchange.watch?.stop();
    exchange.endRunning(ending.endedAt);
    const { keyId, pendingAdmissions } = exchange;
    if (pendingAdmissions.length === 0) this.#book(ending, keyId);
    else this.#waitUntil(Promise.all(pendingAdmissions).then(() => this.#book(ending, keyId)));
  }

  #book(ending: Ending, keyId: string): void {
    const exchange = this.#exchange;
    const trace = exchange.toTrace(ending);
    settleSoon(this.#env.KEY_LEDGER, keyId, toRow(exchange, trace), this.#waitUntil, (answer) => {
      noteSettled(keyId, answer, Date.now());
      // The next request reads the key's record again, which KV may have by then.
      if (answer.revoked) forgetKey(keyId);
    });
    this.#onBooked();
    for (const attempt of exchange.attempts) checkCost(trace.id, attempt, exchange.bill(attempt));
    exportSoon(settingsOf(this.#env).exporter, trace, exchange.parent, this.#waitUntil);
    if (settingsOf(this.#env).logsEveryRequest || !isPlain(trace)) {
      logRequest(trace);
    }
  }
}

function toRow(exchange: Exchange, trace: Trace): SettleRow {
  const bills = exchange.attempts.map((attempt) => exchange.bill(attempt));
  return {
    id: trace.id,
    status: trace.status,
    route: trace.route,
    trace: JSON.stringify(trace),
    costNanoUsd: exchange.costNanoUsd,
    env: trace.env,
    attempts: exchange.attempts.map((attempt, at) => ({
      attempt: attempt.number,
      provider: attempt.provider,
      model: attempt.model,
      winner: attempt.winner,
      outcome: attempt.outcome,
      costNanoUsd: bills[at]?.costNanoUsd ?? null,
      basis: JSON.stringify(bills[at]?.costBasis ?? null),
      source: bills[at]?.usageSource ?? "none",
    })),
    tokens: bills.reduce((sum, { costBasis }) => sum + tokensOf(costBasis), 0),
    unadmittedNanoUsd: exchange.unadmittedNanoUsd,
    startedAt: exchange.receivedAt,
    terms: null,
    ...(exchange.budgets.length === 0 ? {} : { budgets: exchange.budgets }),
  };
}

function tokensOf(basis: CostBasis | null): number {
  return basis === null ? 0 : basis.usage.promptTokens + basis.usage.completionTokens;
}

/** What the provider says it charges is booked; an operator learns, once a minute, that the table says something else. */
function checkCost(traceId: string, { provider, model, endedAt }: Attempt, { costBasis }: Bill): void {
  if (costBasis?.usage.reportedNanoUsd === undefined) return;
  const cost = reprice(costBasis);
  const name = `${provider}/${model}`;
  if (!isOffCheck(cost) || endedAt - (offCheckLoggedAt.get(name) ?? 0) < OFF_CHECK_PAUSE_MS) return;
  offCheckLoggedAt.set(name, endedAt);
  const { nanoUsd: reported_nano_usd, checkNanoUsd: computed_nano_usd } = cost;
  log({ event: "cost_off_check", trace_id: traceId, provider, model, reported_nano_usd, computed_nano_usd });
}

/** Field by field, so that what a later release adds to a trace is not logged by accident. */
const attemptFields = (attempt: Trace["attempts"][number]) => ({
  provider: attempt.provider,
  model: attempt.model,
  outcome: attempt.outcome,
  status: attempt.status,
  duration_ms: attempt.duration_ms,
  credential: attempt.credential,
  provider_code: attempt.provider_code,
  provider_request_id: attempt.provider_request_id,
  provider_message: attempt.provider_message,
});

const skippedFields = ({ provider, model, reason, detail }: SkippedTarget) => ({ provider, model, reason, detail });

/** Nothing failed: no credential was refused either, and no target asked again, though the request was answered there. */
function isPlain({ status, fallback, attempts }: Trace): boolean {
  return status === "ok" && !fallback && attempts.every(({ outcome }) => outcome === "ok" || outcome === "cancelled");
}

/** A failure of the router or its providers is an error; what a client may not do is none. */
function logRequest(trace: Trace): void {
  const hasDetails = !isPlain(trace);
  const write = trace.status === "error" && trace.http_status >= 500 ? logError : log;
  write({
    event: "request",
    trace_id: trace.id,
    key_id: trace.key_id,
    env: trace.env,
    app: trace.app,
    route: trace.route,
    route_version: trace.route_version,
    stream: trace.stream,
    status: trace.status,
    http_status: trace.http_status,
    error_code: trace.error_code,
    provider: trace.provider,
    model: trace.model,
    attempts: trace.attempts.length,
    fallback: trace.fallback,
    fallback_reason: trace.fallback_reason,
    // What the response headers say, for readers of the log.
    attempt_log: hasDetails ? attemptLog(trace.attempts) : undefined,
    attempt_details: hasDetails ? trace.attempts.map(attemptFields) : undefined,
    skipped: hasDetails ? (trace.skipped ?? []).map(skippedFields) : undefined,
    first_token_ms: trace.latency.first_token_ms,
    total_ms: trace.latency.total_ms,
    prompt_tokens: trace.usage.prompt_tokens,
    completion_tokens: trace.usage.completion_tokens,
    cost_usd: trace.cost_usd,
  });
}
