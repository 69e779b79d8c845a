/**
 * Stage between plan and attempt: may this attempt be made, and what may it cost at most?
 *
 * A key with a budget or limits needs a reservation for every attempt. It is requested before the call, or in parallel
 * where there is so much room that a refusal is all but impossible: then it adds no wait. The request's own spend budget
 * lowers the cap on output tokens that is written upstream, and so does the key's where the client named none. Keys and
 * requests without any of these are settled afterwards only.
 */
import type { BudgetTerms } from "../../budgets/types.ts";
import type { ContentDemand } from "../../conversation/demand.ts";
import { RouterError } from "../../http/errors.ts";
import type { KeyRecord } from "../../keys/record.ts";
import {
  forgetHeadroom,
  mayStartEarly,
  noteAdmitted,
  noteAnswered,
  noteAsked,
  noteSettled,
} from "../../ledger/client/budget-cache.ts";
import {
  isolateName,
  type KeyTerms,
  noteSignOfLife,
  periodEnd,
  preview,
  type Reservation,
  type ReserveAnswer,
  releaseSoon,
  reserve,
  reserveBeside,
  type SettleAnswer,
  Watch,
} from "../../ledger/client/client.ts";
import type { KeyLedger } from "../../ledger/key-ledger.ts";
import { fromUsd } from "../../lib/money.ts";
import { askedOf, boundNanoUsd, isFree, START_MARGIN_MS } from "../../pricing/bound.ts";
import { choicesOf, outputCap, ownCap, type PromptBound, promptBound } from "../../pricing/estimate.ts";
import { regionOf } from "../../pricing/surcharge-rules.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import type { Exchange } from "../trace.ts";
import type { Candidate, Claim, Estimate, ResolvedRoute } from "../types.ts";
import { type Bound, type Costs, endedAttempts, largestFitting } from "./admission-costs.ts";
import { type PromptDemand, PromptReader } from "./admission-demand.ts";
import {
  type BoundedBy,
  keyBudgetRefusal,
  ledgerRefusal,
  requestBudgetRefusal,
  sharedBudgetRefusal,
  unbounded,
  unpriced,
} from "./admission-refusals.ts";

/** How long after the last clock of an attempt its settlement may still come. */
const SETTLE_WITHIN_MS = 60_000;
/** Bytes of ordinary text per token: good enough for a rate, which is put right when the request is settled. */
const BYTES_PER_TOKEN = 4;
/** A client may name any cap. No answer is as long, and the ledger refuses numbers that it cannot add up. */
const MAX_BOUND_TOKENS = 1_000_000_000;

const NO_MODEL_CAP = "Use a model of which the catalogue knows how much it writes at most.";

export interface AdmissionInput {
  readonly ledgers: DurableObjectNamespace<KeyLedger>;
  readonly key: KeyRecord;
  readonly route: ResolvedRoute;
  readonly request: ChatRequest;
  /** What the messages hold besides text. */
  readonly content: ContentDemand;
  readonly exchange: Exchange;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Nothing will be sent: the time whose prices hold, epoch ms. */
  readonly trialAt?: number;
  /** For a request that is no conversation, in place of what its messages hold. */
  readonly estimate?: Estimate;
}

export class Admission {
  readonly #input: AdmissionInput;
  readonly #terms: KeyTerms;
  readonly #hasTerms: boolean;
  /** The first budget above the key that may refuse. */
  readonly #sharedBudget: BudgetTerms | undefined;
  /** The most this request may cost, all attempts included; `null`: not limited. */
  readonly #limitNanoUsd: number | null;
  /** The client's own cap on output tokens. */
  readonly #ownCap: number | undefined;
  readonly #prompt: PromptReader;
  #attempts = 0;
  /** What the budget had left that refused last; `null`: none has. */
  #leftNanoUsd: number | null = null;

  constructor(input: AdmissionInput) {
    const { key, route, request, content } = input;
    this.#input = input;
    this.#terms = { version: key.version, budget: key.budget, limits: key.limits };
    this.#sharedBudget = route.budgets.find(({ on_exceeded }) => on_exceeded === "deny");
    this.#hasTerms = key.budget !== null || key.limits !== null || this.#sharedBudget !== undefined;
    this.#limitNanoUsd = route.spendBudgetUsd === null ? null : fromUsd(route.spendBudgetUsd);
    this.#ownCap = input.estimate === undefined ? ownCap(request.fields) : undefined;
    this.#prompt = new PromptReader(request, content);
    if (input.trialAt === undefined) this.#watch();
  }

  /**
   * What an attempt at `candidate` would be bounded by, also where the key asks for no bound. Throws 402 as `claim` does;
   * `null`: its price is not known, and need not be.
   */
  boundOf(candidate: Candidate): { readonly outputTokens: number; readonly nanoUsd: number } | null {
    try {
      return this.#boundWithin(this.#costsOf(candidate), Number.POSITIVE_INFINITY, true);
    } catch (error) {
      if (!this.#isBounded && error instanceof RouterError && error.code === "model_unpriced") return null;
      throw error;
    }
  }

  /** What the ledger would say of an attempt at `candidate`, and the cap that would go upstream. Reserves nothing. */
  async trial(
    candidate: Candidate,
  ): Promise<{ readonly refusal: RouterError | null; readonly outputCap: number | null }> {
    const costs = this.#isBounded ? this.#costsOf(candidate) : null;
    const bound = costs === null ? null : this.#boundWithin(costs, Number.POSITIVE_INFINITY, true);
    const claim = this.#newClaim(candidate, bound);
    const outputCap = claim.maxOutputTokens ?? this.#ownCap ?? ownCap(candidate.target.params) ?? null;
    if (this.#terms.budget === null && this.#terms.limits === null) return { refusal: null, outputCap };
    // Budgets above the key are asked by the caller: a lease would be a change.
    const { budgets: _, ...reservation } = this.#reservation(candidate, claim);
    const answer = await preview(this.#input.ledgers, this.#input.key.id, reservation);
    if (answer.ok) return { refusal: null, outputCap };
    if (answer.reason === "unavailable") {
      return { refusal: new RouterError("ledger_unavailable", "The spend ledger is not responding."), outputCap };
    }
    return { refusal: this.#refusal(answer, reservation, costs), outputCap };
  }

  get #isBounded(): boolean {
    return this.#terms.budget !== null || this.#limitNanoUsd !== null || this.#sharedBudget !== undefined;
  }

  #watch(): void {
    const { ledgers: namespace, key, exchange, waitUntil } = this.#input;
    const startRow = this.#hasTerms ? null : (): Reservation | null => this.#startRow();
    const onRenewed = (answer: SettleAnswer): void => noteSettled(key.id, answer, Date.now());
    exchange.watch = new Watch({ namespace, keyId: key.id, waitUntil, onRenewed, startRow }, Date.now());
  }

  /** Nothing is held for a key without budget and limits: only that the request began, and what it asked last. */
  #startRow(): Reservation | null {
    const attempt = this.#input.exchange.attempts.at(-1);
    if (attempt === undefined) return null;
    const { provider, model, number } = attempt;
    return this.#reservationOf({ provider, model }, { attempt: number, boundNanoUsd: 0, boundTokens: 0 });
  }

  /** What an attempt at `candidate` needs. Throws 402 when it may cost too much or its cost is unknown. */
  claim(candidate: Candidate, isHedge: boolean): Claim {
    const costs = this.#isBounded ? this.#costsOf(candidate) : null;
    const bound = costs === null ? null : this.#boundWithin(costs, Number.POSITIVE_INFINITY, !isHedge);
    const claim = this.#newClaim(candidate, bound);
    if (!this.#hasTerms) return claim;
    const reservation = this.#reservation(candidate, claim);
    const startsEarly = this.#limitNanoUsd === null && mayStartEarly(this.#input.key.id, reservation, Date.now());
    if (startsEarly) return { ...claim, granted: this.#reserve(reservation, claim, costs, reserveBeside), startsEarly };
    const granted = isHedge
      ? this.#reserve(reservation, claim, costs)
      : this.#reserveWhatFits(candidate, reservation, claim, costs);
    return { ...claim, granted };
  }

  #newClaim(candidate: Candidate, bound: Bound | null): Claim {
    const { route, estimate } = this.#input;
    const maxOutputTokens =
      estimate === undefined ? (bound?.outputTokens ?? route.policy.limits.max_output_tokens) : undefined;
    const named = this.#ownCap ?? ownCap(candidate.target.params);
    const isSet =
      !this.#isUncapped && maxOutputTokens !== undefined && (named === undefined || maxOutputTokens < named);
    return {
      number: this.#attempts++,
      maxOutputTokens,
      setOutputCap: isSet ? maxOutputTokens : null,
      boundNanoUsd: bound?.nanoUsd ?? 0,
      granted: null,
      startsEarly: false,
    };
  }

  /** Gives back what was granted for an attempt that is not made after all. */
  release({ number }: Claim): void {
    if (this.#hasTerms) this.#release(number);
  }

  #release(attempt: number): void {
    const { ledgers, key, exchange, waitUntil } = this.#input;
    releaseSoon(ledgers, key.id, { traceId: exchange.traceId, attempt }, waitUntil);
  }

  #reservation(candidate: Candidate, { number, boundNanoUsd: bound }: Claim): Reservation {
    const { request, content, estimate } = this.#input;
    const prompt = estimate?.tokens ?? Math.ceil((request.text.length - content.base64Length) / BYTES_PER_TOKEN);
    const output = estimate === undefined ? this.#expectedTokens(candidate) : 0;
    const boundTokens = Math.min(MAX_BOUND_TOKENS, prompt + output);
    return this.#reservationOf(candidate.target, { attempt: number, boundNanoUsd: bound, boundTokens });
  }

  #reservationOf(
    { provider, model }: Pick<Reservation, "provider" | "model">,
    bounds: Pick<Reservation, "attempt" | "boundNanoUsd" | "boundTokens">,
  ): Reservation {
    const { exchange, route } = this.#input;
    const heldMs = route.requireToolApproval ? route.policy.tools.wait_ms : 0;
    return {
      ...{ traceId: exchange.traceId, ...bounds, provider, model, terms: this.#terms },
      expiresAt: Date.now() + route.policy.timeouts.total_ms + heldMs + SETTLE_WITHIN_MS,
      over: endedAttempts(exchange),
      origin: exchange.toOrigin(),
      isolate: isolateName(),
      ...(route.budgets.length === 0 ? {} : { budgets: route.budgets }),
    };
  }

  /** Output tokens that an attempt counts with for tokens per minute, before it is known what it used. */
  #expectedTokens(candidate: Candidate): number {
    const { limits } = this.#input.route.policy;
    const named = [this.#ownCap, ownCap(candidate.target.params), limits.max_output_tokens];
    const cap = outputCap(named, candidate.facts.max_output_tokens);
    const each = this.#ownCap === undefined ? Math.min(cap, limits.expected_output_tokens ?? cap) : cap;
    return each * choicesOf({ ...candidate.target.params, ...this.#input.request.fields });
  }

  /** Near the end of a budget a request that names no cap of its own gets the longest answer that is still paid for. */
  async #reserveWhatFits(
    candidate: Candidate,
    reservation: Reservation,
    claim: Claim,
    costs: Costs | null,
  ): Promise<Claim | RouterError> {
    const first = await this.#reserve(reservation, claim, costs);
    const left = this.#leftNanoUsd;
    const isShort = first instanceof RouterError && first.code === "budget_exceeded" && left !== null && left > 0;
    if (!isShort || costs === null || this.#ownCap !== undefined) return first;
    let smaller: Claim;
    try {
      smaller = this.#newClaim(candidate, this.#boundWithin(costs, left, true));
    } catch {
      return first;
    }
    return this.#reserve(this.#reservation(candidate, smaller), smaller, costs);
  }

  /** The claim when it is granted, else why not. Never rejects. */
  async #reserve(
    reservation: Reservation,
    claim: Claim,
    costs: Costs | null,
    ask = reserve,
  ): Promise<Claim | RouterError> {
    const { ledgers, key, exchange, waitUntil } = this.#input;
    const askedAt = Date.now();
    noteAsked(key.id, reservation.boundNanoUsd);
    const { answer, heardAt } = await ask(ledgers, key.id, reservation, waitUntil);
    noteAnswered(key.id, reservation.boundNanoUsd);
    exchange.timings.admission += Date.now() - askedAt;
    if (!answer.ok && answer.reason === "unavailable") {
      // The reservation may exist even though the reply was lost.
      this.#release(reservation.attempt);
      // Drops the cached budget, so that the next request waits for its reservation: a call made in vain may be billed.
      forgetHeadroom(key.id);
      return new RouterError("ledger_unavailable", "The spend ledger is not responding. Retry shortly.");
    }
    noteSignOfLife(key.id, heardAt);
    exchange.budgetRemainingNanoUsd = answer.remainingNanoUsd;
    exchange.rate = answer.rate;
    this.#leftNanoUsd = answer.ok ? null : (answer.shortage?.remainingNanoUsd ?? answer.remainingNanoUsd);
    if (answer.ok) {
      noteAdmitted(key.id, answer, heardAt);
      return claim;
    }
    forgetHeadroom(key.id);
    return this.#refusal(answer, reservation, costs);
  }

  #refusal(answer: Refused, { boundNanoUsd: bound, boundTokens }: Reservation, costs: Costs | null): RouterError {
    const { key } = this.#input;
    const now = Date.now();
    const { reason, retryAfterMs: waitMs, remainingNanoUsd, rate, shortage } = answer;
    if (reason === "shared_budget" && shortage !== undefined) {
      const { remainingNanoUsd: left } = shortage;
      const fittingTokens = costs === null ? 0 : largestFitting(costs, left);
      return sharedBudgetRefusal(shortage, { boundNanoUsd: bound, leftNanoUsd: left, fittingTokens });
    }
    if (reason !== "budget" && reason !== "shared_budget")
      return ledgerRefusal(reason, key, { waitMs, tokens: boundTokens, rate, now });
    const leftNanoUsd = remainingNanoUsd ?? 0;
    const fittingTokens = costs === null ? 0 : largestFitting(costs, leftNanoUsd);
    const resetsAt = key.budget === null ? null : periodEnd(key.budget, now);
    return keyBudgetRefusal(key, { boundNanoUsd: bound, leftNanoUsd, fittingTokens }, resetsAt);
  }

  /** What an attempt at `candidate` can cost at most. Throws 402 where nothing bounds it. */
  #costsOf(candidate: Candidate): Costs {
    const { route, estimate } = this.#input;
    const { provider, model, params } = candidate.target;
    const { max_output_tokens: modelCap } = candidate.facts;
    const now = this.#input.trialAt ?? Date.now();
    // Another price may begin between the reservation and its attempt: the most expensive of them is reserved.
    const prices = route.prices.within(provider, model, now, now + START_MARGIN_MS);
    if (prices === null) throw unpriced(candidate.name, this.#boundedBy);
    const { limits } = route.policy;
    const named = [this.#ownCap, ownCap(params), limits.max_output_tokens];
    const cap = this.#isUncapped ? modelCap : estimate === undefined ? outputCap(named, modelCap) : 0;
    if (cap === undefined) throw unbounded({ path: "model", remedy: NO_MODEL_CAP }, candidate.name, this.#boundedBy);
    const shortest = this.#ownCap === undefined ? Math.min(cap, limits.min_output_tokens) : 1;
    const leastCap = this.#isUncapped ? cap : shortest;
    if (prices.every((price) => isFree(price, provider))) return { of: () => 0, cap, leastCap };
    const demand = estimate === undefined ? this.#prompt.demandOf(candidate) : null;
    const prompt = demand === null ? estimate!.promptBound(candidate) : this.#promptBound(candidate, demand);
    if (!prompt.ok) throw unbounded(prompt, candidate.name, this.#boundedBy);
    const region = regionOf(provider, candidate.config.baseUrl) ?? null;
    const conditions = { provider, startedAt: now, region, calls: prompt.calls, ...askedOf(demand?.asked ?? {}) };
    const choices = choicesOf(demand?.asked ?? {});
    const of = (outputTokens: number): number | null => {
      const bounds = prices.map((price) => boundNanoUsd(prompt.tokens, outputTokens * choices, price, conditions));
      return bounds.reduce<number | null>(
        (most, bound) => (most === null || bound === null ? null : Math.max(most, bound)),
        0,
      );
    };
    if (of(1) === null) throw unpriced(`${provider}/${model}`, this.#boundedBy);
    return { of, cap, leastCap };
  }

  /** What is asked for besides an answer has no cap on its output: the model's own is all that bounds it. */
  get #isUncapped(): boolean {
    return this.#input.request.action !== undefined;
  }

  get #boundedBy(): BoundedBy {
    if (this.#limitNanoUsd !== null) return { kind: "request", limit: this.#input.route.spendBudgetUsd ?? 0 };
    if (this.#terms.budget !== null) return { kind: "key_budget", limit: this.#terms.budget.limit_usd };
    return { kind: "budget", id: this.#sharedBudget?.id ?? "", limit: this.#sharedBudget?.limit_usd ?? 0 };
  }

  /**
   * The bound of an attempt. Where it `mayShrink`, its output cap is lowered to what request and key may still spend: a
   * hedge that could only give a stub must not win against a whole answer.
   */
  #boundWithin(costs: Costs, keyLeftNanoUsd: number, mayShrink: boolean): Bound {
    const whole = costs.of(costs.cap) ?? Number.MAX_SAFE_INTEGER;
    const requestLeft = (this.#limitNanoUsd ?? Number.POSITIVE_INFINITY) - this.#committedNanoUsd();
    const left = Math.min(requestLeft, keyLeftNanoUsd);
    if (whole <= left) return { outputTokens: costs.cap, nanoUsd: whole };
    const fittingTokens = largestFitting(costs, left);
    const fitting = mayShrink && fittingTokens >= costs.leastCap ? fittingTokens : 0;
    const nanoUsd = fitting === 0 ? null : costs.of(fitting);
    if (nanoUsd !== null) return { outputTokens: fitting, nanoUsd };
    throw requestBudgetRefusal(this.#limitNanoUsd ?? 0, {
      ...{ boundNanoUsd: whole, leftNanoUsd: requestLeft, fittingTokens },
    });
  }

  #promptBound({ target }: Candidate, { unknown, ...demand }: PromptDemand): PromptBound {
    const { limits } = this.#input.route.policy;
    if (unknown !== null) return { ok: false, path: unknown, remedy: "Leave it out." };
    const ceilings = { partTokens: limits.part_tokens ?? {}, toolTokens: limits.tool_tokens ?? {} };
    return promptBound(demand, target, ceilings);
  }

  /** Spent by this request's earlier attempts, or held for those that still run. */
  #committedNanoUsd(): number {
    let sum = 0;
    const { exchange } = this.#input;
    for (const attempt of exchange.attempts) {
      const { isRunning, boundNanoUsd: bound } = attempt;
      sum += isRunning ? bound : (exchange.bill(attempt).costNanoUsd ?? bound);
    }
    return sum;
  }
}

type Refused = Exclude<ReserveAnswer, { readonly ok: true }>;
