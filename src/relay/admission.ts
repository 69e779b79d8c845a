/**
 * Stage between plan and attempt: may this attempt be made, and what may it cost at most?
 *
 * A key with a budget or limits needs a reservation for every attempt. It is asked for before the call, or beside it
 * where there is so much room that a refusal is all but impossible: then it adds no wait. The request's own spend budget
 * lowers the cap on output tokens that is written upstream. Keys and requests without any of these are settled
 * afterwards only.
 */
import { invalidKey, RouterError, retryAfter } from "../http/errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import { forgetHeadroom, mayStartEarly, noteAdmitted, noteAnswered, noteAsked } from "../ledger/client/budget-cache.ts";
import {
  type EndedAttempt,
  type KeyTerms,
  type Reservation,
  releaseSoon,
  reserve,
  reserveBeside,
} from "../ledger/client/client.ts";
import type { KeyLedger } from "../ledger/key-ledger.ts";
import { fromUsd } from "../lib/money.ts";
import { askedOf, boundNanoUsd } from "../pricing/bound.ts";
import { choicesOf, outputCap, ownCap, type PromptBound, promptBound } from "../pricing/estimate.ts";
import { regionOf } from "../pricing/surcharge-rules.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import type { Attempt, Exchange } from "./trace.ts";
import type { Candidate, Claim, ResolvedRoute } from "./types.ts";

/** How long after the last clock of an attempt its settlement may still come. */
const SETTLE_WITHIN_MS = 60_000;
/** Bytes of ordinary text per token: good enough for a rate, which is put right when the request is settled. */
const BYTES_PER_TOKEN = 4;
/** A client may name any cap. No answer is as long, and the ledger refuses numbers that it cannot add up. */
const MAX_BOUND_TOKENS = 1_000_000_000;

export interface AdmissionInput {
  readonly ledgers: DurableObjectNamespace<KeyLedger>;
  readonly key: KeyRecord;
  readonly route: ResolvedRoute;
  readonly request: ChatRequest;
  readonly exchange: Exchange;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

interface Bound {
  /** Cap on the output that is to be written upstream. */
  readonly outputTokens: number;
  readonly nanoUsd: number;
}

export class Admission {
  readonly #input: AdmissionInput;
  readonly #terms: KeyTerms;
  readonly #hasTerms: boolean;
  /** The most this request may cost, all attempts included; `null`: not limited. */
  readonly #limitNanoUsd: number | null;
  #attempts = 0;
  #prompt: PromptBound | null = null;

  constructor(input: AdmissionInput) {
    const { key, route } = input;
    this.#input = input;
    this.#terms = { version: key.version, budget: key.budget, limits: key.limits };
    this.#hasTerms = key.budget !== null || key.limits !== null;
    this.#limitNanoUsd = route.spendBudgetUsd === null ? null : fromUsd(route.spendBudgetUsd);
  }

  /** What an attempt at `candidate` needs. Throws 402 when it may cost too much, or nobody knows what it costs. */
  claim(candidate: Candidate, isHedge: boolean): Claim {
    const isBounded = this.#terms.budget !== null || this.#limitNanoUsd !== null;
    const claim = this.#newClaim(isBounded ? this.#boundOf(candidate, Number.POSITIVE_INFINITY, !isHedge) : null);
    if (!this.#hasTerms) return claim;
    const reservation = this.#reservation(candidate, claim);
    const startsEarly = this.#limitNanoUsd === null && mayStartEarly(this.#input.key.id, reservation, Date.now());
    if (startsEarly) return { ...claim, granted: this.#reserve(reservation, claim, reserveBeside), startsEarly };
    const granted = isHedge ? this.#reserve(reservation, claim) : this.#reserveWhatFits(candidate, reservation, claim);
    return { ...claim, granted };
  }

  #newClaim(bound: Bound | null): Claim {
    return {
      number: this.#attempts++,
      maxOutputTokens: bound?.outputTokens ?? this.#input.route.policy.limits.max_output_tokens,
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

  #reservation({ target }: Candidate, { number, boundNanoUsd: bound }: Claim): Reservation {
    const { exchange, request, route } = this.#input;
    const cap = ownCap(request.fields) ?? route.policy.limits.max_output_tokens ?? 0;
    const heldMs = route.requireToolApproval ? route.policy.tools.wait_ms : 0;
    return {
      traceId: exchange.traceId,
      attempt: number,
      boundNanoUsd: bound,
      boundTokens: Math.min(MAX_BOUND_TOKENS, Math.ceil(request.text.length / BYTES_PER_TOKEN) + cap),
      expiresAt: Date.now() + route.policy.timeouts.total_ms + heldMs + SETTLE_WITHIN_MS,
      provider: target.provider,
      model: target.model,
      terms: this.#terms,
      over: exchange.attempts.flatMap(endedAttempt),
      origin: exchange.toOrigin(),
    };
  }

  /** Near the end of a budget a request that names no cap of its own gets the longest answer that is still paid for. */
  async #reserveWhatFits(candidate: Candidate, reservation: Reservation, claim: Claim): Promise<Claim | RouterError> {
    const first = await this.#reserve(reservation, claim);
    const left = this.#input.exchange.budgetRemainingNanoUsd;
    const isShort = first instanceof RouterError && first.code === "budget_exceeded" && left !== null && left > 0;
    if (!isShort || ownCap(this.#input.request.fields) !== undefined) return first;
    try {
      const smaller = this.#newClaim(this.#boundOf(candidate, left, true));
      return await this.#reserve(this.#reservation(candidate, smaller), smaller);
    } catch {
      return first;
    }
  }

  /** The claim when it is granted, else why not. Never rejects. */
  async #reserve(reservation: Reservation, claim: Claim, ask = reserve): Promise<Claim | RouterError> {
    const { ledgers, key, exchange, waitUntil } = this.#input;
    const askedAt = Date.now();
    noteAsked(key.id, reservation.boundNanoUsd);
    const { answer, heardAt } = await ask(ledgers, key.id, reservation, waitUntil);
    noteAnswered(key.id, reservation.boundNanoUsd);
    exchange.timings.admission += Date.now() - askedAt;
    if (!answer.ok && answer.reason === "unavailable") {
      // It may stand all the same: the call was lost on its way back.
      this.#release(reservation.attempt);
      // The next call waits for its own answer: what is sent to no avail may be billed.
      forgetHeadroom(key.id);
      return new RouterError("ledger_unavailable", "The key's ledger does not answer. Try again shortly.");
    }
    exchange.budgetRemainingNanoUsd = answer.remainingNanoUsd;
    exchange.rate = answer.rate;
    if (answer.ok) {
      noteAdmitted(key.id, answer, heardAt);
      return claim;
    }
    forgetHeadroom(key.id);
    return refusal(answer.reason, answer.retryAfterMs, key);
  }

  /**
   * The bound of an attempt. Where it `mayShrink`, its output cap is lowered to what request and key may still spend: a
   * hedge that could only give a stub must not win against a whole answer.
   */
  #boundOf(candidate: Candidate, keyLeftNanoUsd: number, mayShrink: boolean): Bound {
    const { request, route } = this.#input;
    const { price } = candidate.facts;
    const prompt = this.#promptBound(candidate);
    const asked = { ...candidate.target.params, ...request.fields };
    const conditions = {
      provider: candidate.target.provider,
      startedAt: Date.now(),
      region: regionOf(candidate.target.provider, candidate.config.baseUrl) ?? null,
      ...askedOf(asked),
    };
    const choices = choicesOf(asked);
    const costOf = (outputTokens: number): number | null =>
      price === undefined ? null : boundNanoUsd(prompt, outputTokens * choices, price, conditions);
    const cap = outputCap(request.fields, route.policy.limits.max_output_tokens, candidate.facts.max_output_tokens);
    const whole = costOf(cap);
    if (whole === null) {
      const message = `The price of \`${candidate.name}\` for this request is unknown, so its cost cannot be bounded. Use another target, or leave out what has no known price: tools of the vendor's own, plugins, a service tier.`;
      throw new RouterError("model_unpriced", message);
    }
    const requestLeft = (this.#limitNanoUsd ?? Number.POSITIVE_INFINITY) - this.#committedNanoUsd();
    const left = Math.min(requestLeft, keyLeftNanoUsd);
    if (whole <= left) return { outputTokens: cap, nanoUsd: whole };
    const fitting = largestFitting(
      mayShrink ? cap : 0,
      (tokens) => (costOf(tokens) ?? Number.POSITIVE_INFINITY) <= left,
    );
    if (fitting === 0) {
      const remedy = "Raise `route.spend_budget_usd`, and the policy's `spend.max_request_usd` where that is lower.";
      const message = `This request cannot be answered within its spend budget. ${remedy}`;
      throw new RouterError("request_budget_exceeded", message, { param: "route.spend_budget_usd" });
    }
    return { outputTokens: fitting, nanoUsd: costOf(fitting) ?? left };
  }

  #promptBound({ target }: Candidate): number {
    const { request, route } = this.#input;
    if (this.#prompt === null) {
      const bytes = new TextEncoder().encode(request.text).byteLength;
      this.#prompt = promptBound(request.fields, bytes, route.policy.limits.part_tokens ?? {});
    }
    const prompt = this.#prompt;
    if (!prompt.ok) {
      const message = `A part of the type ${prompt.part} has no token ceiling. Set \`limits.part_tokens.${prompt.part}\` in the policy.`;
      throw new RouterError("request_budget_exceeded", message, { param: "messages" });
    }
    return prompt.tokens + new TextEncoder().encode(JSON.stringify(target.params)).byteLength;
  }

  /** Spent by this request's earlier attempts, or held for those that still run. */
  #committedNanoUsd(): number {
    let sum = 0;
    for (const { endedAt, startedAt, outcome, costNanoUsd, boundNanoUsd: bound } of this.#input.exchange.attempts) {
      const isRunning = outcome === "ok" && endedAt === startedAt;
      sum += isRunning ? bound : (costNanoUsd ?? bound);
    }
    return sum;
  }
}

/** The largest whole number from 1 to `most` that `fits`, 0 when none does. What fits is below what does not. */
function largestFitting(most: number, fits: (count: number) => boolean): number {
  let low = 0;
  let high = most;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A failed attempt's fallback must not be refused for what it held beyond its cost. */
function endedAttempt({ number, outcome, costNanoUsd }: Attempt): EndedAttempt[] {
  return outcome === "ok" || costNanoUsd === null ? [] : [{ attempt: number, costNanoUsd }];
}

const LIMITED = {
  requests: "The key's requests per minute are used up.",
  tokens: "The key's tokens per minute are used up.",
  concurrency: "The key has as many requests under way as it may.",
} as const;

function refusal(reason: "budget" | "revoked" | keyof typeof LIMITED, waitMs: number, key: KeyRecord): RouterError {
  switch (reason) {
    case "budget": {
      const period = key.budget?.period === "total" ? "" : ` for this ${key.budget?.period}`;
      return new RouterError("budget_exceeded", `The budget of this API key${period} is spent. Raise its limit.`);
    }
    case "revoked":
      return invalidKey();
    default:
      return new RouterError("rate_limit_exceeded", `${LIMITED[reason]} Try again later.`, {
        headers: { "retry-after": retryAfter(waitMs) },
      });
  }
}
