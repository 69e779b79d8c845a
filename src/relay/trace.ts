/**
 * The record of one request while it runs. Stages write what they learn; response headers, the `flow` member, the
 * stored trace and the log line are all made from it, so they cannot disagree.
 */
import type { BudgetTerms } from "../budgets/types.ts";
import { headerList, headerText } from "../http/headers.ts";
import type { RateState, RequestOrigin } from "../ledger/types.ts";
import { toUsd, toUsdText } from "../lib/money.ts";
import type { Diagnosis } from "../providers/adapter.ts";
import { attemptLog, type LoggedAttempt } from "../traces/attempt-log.ts";
import type { TraceParent } from "../traces/otlp.ts";
import type { AttemptOutcome, FailureClass, SkippedTarget, Trace, TraceStatus } from "../traces/schema.ts";
import { type Conversation, conversationMembers } from "./affinity.ts";
import { type Bill, billOf, NO_BILL, sumOf, type Tariff, unadmittedNanoUsd } from "./billing.ts";
import { Received } from "./received.ts";
import { addRateHeaders, attemptMembers, neverAsked, partsMember, type TargetName } from "./trace-members.ts";
import type { AbortReason } from "./types.ts";

/** A model may call any number of tools, and a row of the ledger has room for 2 MB: one too long loses its batch. */
const MAX_TOOL_NAMES = 128;
const MAX_TOOL_NAME_LENGTH = 128;
/** Clients name members as they please, and clients' HTTP stacks refuse long heads: Node's at 16 KiB together. */
const MAX_DROPPED_LENGTH = 2_048;

/** One HTTP call to one candidate: who was asked, what came of it, how it ended. What it costs is made from this. */
export interface Attempt {
  readonly provider: string;
  readonly model: string;
  /** Number of the provider's credential. */
  readonly credential: number;
  readonly startedAt: number;
  /** Not over yet: what it costs may still grow. */
  isRunning: boolean;
  outcome: AttemptOutcome;
  /** HTTP status, `null` while no response head has arrived. */
  status: number | null;
  firstTokenAt: number | null;
  endedAt: number;
  winner: boolean;
  /** Started in parallel with another one that was silent for too long. */
  readonly hedged: boolean;
  /** What its reservation is known by. */
  readonly number: number;
  /** The most it can cost; 0 where it is not needed. */
  readonly boundNanoUsd: number;
  /** The cap on its output tokens, where the router lowered or set it. */
  readonly setOutputCap: number | null;
  readonly tariff: Tariff;
  readonly received: Received;
  /** Why we ended it; `null` where we did not. */
  endedBy: AbortReason | null;
  /** The router itself failed while it ran. */
  hasFault: boolean;
  /** The key was refused after the call had been sent. */
  isUnadmitted: boolean;
  /** Members of the client that this provider cannot express. */
  droppedParams: readonly string[];
  /** What the provider said of its failure, and its own id of the request: for operators. */
  diagnosis: Diagnosis | undefined;
  providerRequestId: string | undefined;
}

/** As much as has to be known before an attempt starts. */
export type AttemptStart = Pick<
  Attempt,
  "provider" | "model" | "credential" | "number" | "boundNanoUsd" | "setOutputCap" | "tariff" | "hedged"
>;

/** Durations of the phases a request waits in, milliseconds. Clocks on Workers advance across I/O only. */
export interface Timings {
  auth: number;
  policy: number;
  admission: number;
  upstream: number;
}

/** Everything known when the request is over. */
export interface Ending {
  readonly status: TraceStatus;
  readonly httpStatus: number;
  readonly errorCode?: string;
  readonly toolCalls: readonly string[];
  readonly endedAt: number;
}

export class Exchange {
  readonly traceId: string;
  readonly receivedAt: number;
  keyId: string | null = null;
  app: string | null = null;
  env: string | null = null;
  clientRequestId: string | null = null;
  /** The conversation that the client named, and who asks in it. */
  conversation: Conversation | null = null;
  agentId: string | null = null;
  /** What the client sent: a provider may take some of its headers. */
  clientHeaders: Headers | null = null;
  /** The caller's span. Read only when spans are exported. */
  parent: TraceParent | null = null;
  /** Without the `flow/` prefix for a named route; `<provider>/<model>` for a raw model. */
  route: string | null = null;
  routeVersion = 0;
  stream = false;
  tags: Readonly<Record<string, string>> = {};
  budgets: readonly BudgetTerms[] = [];
  latencyBudgetMs: number | null = null;
  budgetRemainingNanoUsd: number | null = null;
  /** Present for a key with rate limits. */
  rate: RateState | null = null;
  /** Tokens of the request's text by our own count: asked for only where a provider sends no figures. */
  promptTokens: () => number = () => 0;
  toolApproval: "required" | "pending" | "approved" | null = null;
  /** How long the answer waited for a decision, milliseconds; `null`: it did not. */
  approvalWaitMs: number | null = null;
  /** Epoch ms at which a whole answer was there, which may be long before it is released. */
  answeredAt: number | null = null;
  readonly attempts: Attempt[] = [];
  /** Targets that were passed over, in the order in which it came to that. */
  readonly skipped: SkippedTarget[] = [];
  /** Counts attempts that have ended. */
  readonly #bills = new Map<Attempt, Bill>();
  /** Each may still say that the key was refused: the settlement waits for them. None rejects. */
  readonly pendingAdmissions: Promise<void>[] = [];
  /** The class of the first failure: of an attempt, or of a candidate that was passed over. */
  firstFailure: FailureClass | null = null;
  /** The router left its first candidate. */
  fellBack = false;
  /** Keeps what the request holds in its key's ledger; stopped when it is settled. `null` where it asks no provider. */
  watch: { stop(): void } | null = null;
  readonly timings: Timings = { auth: 0, policy: 0, admission: 0, upstream: 0 };

  readonly api: NonNullable<Trace["api"]>;

  constructor(traceId: string, receivedAt: number, api: NonNullable<Trace["api"]> = "chat") {
    this.traceId = traceId;
    this.receivedAt = receivedAt;
    this.api = api;
  }

  get winner(): Attempt | undefined {
    return this.attempts.find((attempt) => attempt.winner);
  }

  /** What the key pays for an attempt, by what is known of it now. */
  bill(attempt: Attempt): Bill {
    const known = this.#bills.get(attempt);
    if (known !== undefined) return known;
    const bill = billOf(attempt, this.promptTokens);
    if (!attempt.isRunning) this.#bills.set(attempt, bill);
    return bill;
  }

  /** The facts of an attempt that is over have changed: its bill is made again. */
  amend(attempt: Attempt): void {
    this.#bills.delete(attempt);
  }

  /** Sum over all attempts; `null` when the price of one is unknown. */
  get costNanoUsd(): number | null {
    return sumOf(this.attempts.map((attempt) => this.bill(attempt)));
  }

  /** What providers may bill for calls that were refused after they had been sent. Never the key's. */
  get unadmittedNanoUsd(): number {
    return this.attempts.reduce((sum, attempt) => sum + unadmittedNanoUsd(attempt, this.promptTokens), 0);
  }

  /** The bill of the answer that the client got, else of the last attempt that cost anything. */
  get answerBill(): Bill {
    const { winner } = this;
    if (winner !== undefined) return this.bill(winner);
    const bills = this.attempts.map((attempt) => this.bill(attempt));
    return bills.findLast(({ usageSource }) => usageSource !== "none") ?? NO_BILL;
  }

  startAttempt(start: AttemptStart, now: number): Attempt {
    const { provider, model, credential, number, boundNanoUsd, setOutputCap, tariff, hedged } = start;
    const attempt: Attempt = {
      ...{ provider, model, credential },
      startedAt: now,
      isRunning: true,
      outcome: "ok",
      status: null,
      firstTokenAt: null,
      endedAt: now,
      winner: false,
      hedged,
      number,
      boundNanoUsd,
      setOutputCap,
      tariff,
      received: new Received(),
      endedBy: null,
      hasFault: false,
      isUnadmitted: false,
      droppedParams: [],
      diagnosis: undefined,
      providerRequestId: undefined,
    };
    this.attempts.push(attempt);
    return attempt;
  }

  /** Ends what still runs when the request is over: the router failed, and the provider may have answered. */
  endRunning(now: number): void {
    for (const attempt of this.attempts) {
      if (!attempt.isRunning) continue;
      attempt.isRunning = false;
      attempt.hasFault = true;
      attempt.endedAt = now;
      if (attempt.outcome === "ok" && !attempt.received.isWhole) attempt.outcome = "cancelled";
    }
  }

  noteFailure(failure: FailureClass): void {
    this.firstFailure ??= failure;
  }

  /** A target was passed over. Should it be asked after all, its attempt says more. */
  noteSkipped({ provider, model }: TargetName, reason: FailureClass, detail?: string): void {
    const isKnown = this.skipped.some((each) => each.provider === provider && each.model === model);
    if (!isKnown) this.skipped.push({ provider, model, reason, ...(detail === undefined ? {} : { detail }) });
  }

  /** The clock of the latency budget: from arrival to the first content (stream) or the whole answer. */
  #budgetMet(answeredAt: number): boolean | null {
    return this.latencyBudgetMs === null ? null : answeredAt - this.receivedAt <= this.latencyBudgetMs;
  }

  /** Response headers of the contract, as far as known at `now`. `costNanoUsd`: known for a non-stream answer only. */
  toHeaders(now: number, costNanoUsd: number | null = null): Record<string, string> {
    const headers: Record<string, string> = {
      "x-request-id": this.traceId,
      ...(this.api === "messages" ? { "request-id": this.traceId } : {}),
      "x-flowlayer-trace-id": this.traceId,
      "x-flowlayer-latency-ms": String(now - this.receivedAt),
    };
    if (this.app !== null) headers["x-flowlayer-app"] = this.app;
    if (this.env !== null) headers["x-flowlayer-env"] = this.env;
    if (this.route !== null) {
      headers["x-flowlayer-route"] = this.routeVersion === 0 ? this.route : `flow/${this.route}`;
      headers["x-flowlayer-route-version"] = String(this.routeVersion);
      headers["x-flowlayer-attempts"] = String(this.attempts.length);
      headers["x-flowlayer-fallback"] = String(this.fellBack);
      if (this.fellBack && this.firstFailure !== null) headers["x-flowlayer-fallback-reason"] = this.firstFailure;
    }
    if (this.attempts.length > 0) headers["x-flowlayer-attempt-log"] = attemptLog(this.attempts.map(logged));
    const winner = this.winner;
    if (winner !== undefined) {
      headers["x-flowlayer-provider"] = winner.provider;
      headers["x-flowlayer-model"] = headerText(winner.model);
    }
    if (this.latencyBudgetMs !== null) {
      headers["x-flowlayer-latency-budget-ms"] = String(this.latencyBudgetMs);
      const isMet = this.#budgetMet(this.answeredAt ?? now);
      headers["x-flowlayer-latency-budget-met"] = String(winner !== undefined && isMet === true);
    }
    if (this.attempts.some(({ hedged }) => hedged)) {
      headers["x-flowlayer-hedge"] = winner?.hedged === true ? "won" : "lost";
    }
    if (costNanoUsd !== null) headers["x-flowlayer-cost-usd"] = toUsdText(costNanoUsd);
    if (this.budgetRemainingNanoUsd !== null) {
      headers["x-flowlayer-budget-remaining-usd"] = toUsdText(this.budgetRemainingNanoUsd);
    }
    const dropped = (winner ?? this.attempts.at(-1))?.droppedParams ?? [];
    const cap = (winner ?? this.attempts.at(-1))?.setOutputCap ?? null;
    if (cap !== null) headers["x-flowlayer-output-cap"] = String(cap);
    if (this.rate !== null) addRateHeaders(headers, this.rate);
    if (dropped.length > 0) headers["x-flowlayer-dropped-params"] = headerList(dropped, MAX_DROPPED_LENGTH);
    if (this.toolApproval !== null) headers["x-flowlayer-tool-approval"] = this.toolApproval;
    const affinity = this.conversation?.affinityWith(this.#winnerName) ?? null;
    if (affinity !== null) headers["x-flowlayer-affinity"] = affinity;
    headers["server-timing"] = this.#serverTiming(now);
    return headers;
  }

  get #winnerName(): string | null {
    const { winner } = this;
    return winner === undefined ? null : `${winner.provider}/${winner.model}`;
  }

  #serverTiming(now: number): string {
    const { auth, policy, admission, upstream } = this.timings;
    const total = now - this.receivedAt;
    return `auth;dur=${auth}, policy;dur=${policy}, admission;dur=${admission}, upstream;dur=${upstream}, total;dur=${total}`;
  }

  /** The `flow` member of an error body. */
  toErrorFlow(): Record<string, unknown> {
    const flow: Record<string, unknown> = { trace_id: this.traceId };
    if (this.route !== null) {
      flow["route"] = this.#routeName();
      flow["route_version"] = this.routeVersion;
      flow["attempts"] = this.attempts.length;
      flow["fallback"] = this.fellBack;
    }
    return flow;
  }

  /** The `flow` member of a non-stream answer. */
  toFlow(now: number, costNanoUsd: number | null): Record<string, unknown> {
    const winner = this.winner;
    const flow: Record<string, unknown> = {
      trace_id: this.traceId,
      route: this.#routeName(),
      route_version: this.routeVersion,
      provider: winner?.provider ?? null,
      model: winner?.model ?? null,
      attempts: this.attempts.length,
      fallback: this.fellBack,
      latency_ms: now - this.receivedAt,
      cost_usd: costNanoUsd === null ? null : toUsd(costNanoUsd),
    };
    if (this.budgetRemainingNanoUsd !== null) flow["budget_remaining_usd"] = toUsd(this.budgetRemainingNanoUsd);
    return flow;
  }

  #routeName(): string | null {
    return this.route === null || this.routeVersion === 0 ? this.route : `flow/${this.route}`;
  }

  /** What the ledger makes the trace from when no settlement arrives. The same values as on the settled one. */
  toOrigin(): RequestOrigin {
    const { env, app, routeVersion, stream, receivedAt, tags } = this;
    const origin = { env: env ?? "", app: app ?? "", route: this.#routeName() ?? "", routeVersion, stream, receivedAt };
    return Object.keys(tags).length === 0 ? origin : { ...origin, tags };
  }

  /** The stored trace. Only for a request that reached a route: earlier refusals leave nothing. */
  toTrace(ending: Ending): Trace {
    const winner = this.winner;
    const { usage, usageSource } = this.answerBill;
    const { costNanoUsd } = this;
    // A resumed stream began with another attempt than the one that answered in the end.
    const begins = this.attempts.map((attempt) => attempt.firstTokenAt).filter((at) => at !== null);
    const firstTokenAt = begins.length === 0 ? null : Math.min(...begins);
    const answeredAt = winner === undefined ? null : (firstTokenAt ?? winner.endedAt);
    const skipped = neverAsked(this.skipped, this.attempts);
    return {
      id: this.traceId,
      created_at: new Date(this.receivedAt).toISOString(),
      api: this.api,
      key_id: this.keyId ?? "",
      env: this.env ?? "",
      app: this.app ?? "",
      route: this.#routeName() ?? "",
      route_version: this.routeVersion,
      stream: this.stream,
      status: ending.status,
      http_status: ending.httpStatus,
      ...(ending.errorCode === undefined ? {} : { error_code: ending.errorCode }),
      provider: winner?.provider ?? null,
      model: winner?.model ?? null,
      fallback: this.fellBack,
      ...(this.fellBack && this.firstFailure !== null ? { fallback_reason: this.firstFailure } : {}),
      ...conversationMembers(this.conversation, this.agentId, this.#winnerName),
      attempts: this.attempts.map((attempt) => attemptMembers(attempt, this.receivedAt, this.bill(attempt))),
      ...(skipped.length === 0 ? {} : { skipped }),
      latency: {
        first_token_ms: firstTokenAt === null ? null : firstTokenAt - this.receivedAt,
        total_ms: ending.endedAt - this.receivedAt,
        budget_ms: this.latencyBudgetMs,
        budget_met: answeredAt === null ? (this.latencyBudgetMs === null ? null : false) : this.#budgetMet(answeredAt),
        ...(this.approvalWaitMs === null ? {} : { approval_wait_ms: this.approvalWaitMs }),
      },
      usage: {
        prompt_tokens: usage.promptTokens,
        completion_tokens: usage.completionTokens,
        cached_tokens: usage.cachedTokens,
        cache_write_tokens: usage.cacheWriteTokens,
        reasoning_tokens: usage.reasoningTokens,
        source: usageSource,
      },
      ...(winner?.setOutputCap == null ? {} : { output_cap: winner.setOutputCap }),
      cost_usd: costNanoUsd === null ? null : toUsd(costNanoUsd),
      ...partsMember(this.attempts.map((attempt) => this.bill(attempt))),
      tool_calls: ending.toolCalls.slice(0, MAX_TOOL_NAMES).map((name) => name.slice(0, MAX_TOOL_NAME_LENGTH)),
      ...(winner?.received.answerId === undefined ? {} : { response_id: winner.received.answerId }),
      tags: this.tags,
      client_request_id: this.clientRequestId,
    };
  }
}

const logged = ({ provider, model, outcome, status, startedAt, endedAt }: Attempt): LoggedAttempt => ({
  ...{ provider: headerText(provider), model: headerText(model), outcome, status, duration_ms: endedAt - startedAt },
});
