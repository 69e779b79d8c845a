/** Refusals of requests that limits do not admit: the numbers, and what would fit. Pure. */
import type { BudgetShortage } from "../../budgets/types.ts";
import { type ErrorCode, invalidKey, RouterError, retryAfter } from "../../http/errors.ts";
import type { KeyRecord } from "../../keys/record.ts";
import type { RateState } from "../../ledger/types.ts";
import { fromUsd, toUsd, toUsdText } from "../../lib/money.ts";
import type { Unbounded } from "../../pricing/estimate.ts";

/** The member `limit` of an error: which limit was reached, and by how much. */
export interface LimitDetail {
  readonly kind: "key_budget" | "budget" | "request" | "requests_per_minute" | "tokens_per_minute" | "concurrency";
  readonly id?: string;
  /** The most the request may cost as it was sent. */
  readonly bound_usd?: number;
  readonly remaining_usd?: number;
  /** In the limit's own unit: USD, requests or tokens. */
  readonly limit: number;
  /** ISO 8601, UTC. Absent where nothing resets it. */
  readonly resets_at?: string;
  /** The largest cap on output tokens that fits. Absent where none does. */
  readonly max_tokens?: number;
}

function withLimit(
  code: ErrorCode,
  message: string,
  limit: LimitDetail,
  more: { readonly param?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): RouterError {
  return new RouterError(code, message, { ...more, details: { limit } });
}

/** What an attempt would cost, what is left for it, and the cap that fits into that; 0: none. */
export interface Shortage {
  readonly boundNanoUsd: number;
  readonly leftNanoUsd: number;
  readonly fittingTokens: number;
}

const MICRO = 1_000;
/** To six decimals, where the amount is not smaller: the bound up, what is left down, so that both stay true. */
const boundText = (nanoUsd: number): string =>
  `$${toUsdText(nanoUsd < MICRO ? nanoUsd : Math.ceil(nanoUsd / MICRO) * MICRO)}`;
const leftText = (nanoUsd: number): string =>
  `$${toUsdText(nanoUsd < MICRO ? nanoUsd : Math.floor(nanoUsd / MICRO) * MICRO)}`;

function money({ boundNanoUsd, leftNanoUsd, fittingTokens }: Shortage): Omit<LimitDetail, "kind" | "limit"> {
  return {
    bound_usd: toUsd(boundNanoUsd),
    remaining_usd: toUsd(Math.max(0, leftNanoUsd)),
    ...(fittingTokens > 0 ? { max_tokens: fittingTokens } : {}),
  };
}

const capAdvice = (fittingTokens: number): string =>
  fittingTokens > 0 ? `Set \`max_tokens\` to ${fittingTokens} or less` : "Shorten the prompt";

/** The key's budget does not hold the attempt. `resetsAt`: epoch ms, `null`: never. */
export function keyBudgetRefusal(key: KeyRecord, shortage: Shortage, resetsAt: number | null): RouterError {
  const { limit_usd = 0, period = "total" } = key.budget ?? {};
  const left = Math.max(0, shortage.leftNanoUsd);
  const whose = period === "total" ? "" : ` for this ${period}`;
  const message = `This request may cost up to ${boundText(shortage.boundNanoUsd)}, and ${leftText(left)} of the key's budget of ${leftText(fromUsd(limit_usd))}${whose} is left. ${capAdvice(shortage.fittingTokens)}, or raise the key's budget.`;
  return withLimit("budget_exceeded", message, {
    kind: "key_budget",
    ...money(shortage),
    limit: limit_usd,
    ...(resetsAt === null ? {} : { resets_at: new Date(resetsAt).toISOString() }),
  });
}

/** A budget above the key does not hold the attempt. */
export function sharedBudgetRefusal({ id, limitUsd, resetsAt }: BudgetShortage, shortage: Shortage): RouterError {
  const left = Math.max(0, shortage.leftNanoUsd);
  const until = resetsAt === null ? "" : ` until ${new Date(resetsAt).toISOString()}`;
  const message = `This request may cost up to ${boundText(shortage.boundNanoUsd)}, and ${leftText(left)} of the budget \`${id}\` of ${leftText(fromUsd(limitUsd))} is free${until}. ${capAdvice(shortage.fittingTokens)}, or have the budget raised.`;
  return withLimit("budget_exceeded", message, {
    ...{ kind: "budget", id },
    ...money(shortage),
    limit: limitUsd,
    ...(resetsAt === null ? {} : { resets_at: new Date(resetsAt).toISOString() }),
  });
}

/** The request's own spend budget does not hold the attempt. */
export function requestBudgetRefusal(limitNanoUsd: number, shortage: Shortage): RouterError {
  const message = `This request may cost up to ${boundText(shortage.boundNanoUsd)}, and ${leftText(Math.max(0, shortage.leftNanoUsd))} of its spend budget of ${leftText(limitNanoUsd)} is left. ${capAdvice(shortage.fittingTokens)}, or raise \`route.spend_budget_usd\` and, where that is lower, the policy's \`spend.max_request_usd\`.`;
  const limit: LimitDetail = { kind: "request", ...money(shortage), limit: toUsd(limitNanoUsd) };
  return withLimit("request_budget_exceeded", message, limit, { param: "route.spend_budget_usd" });
}

/** Which limit a request without a bound would have to keep. */
export type BoundedBy = Pick<LimitDetail, "kind" | "id" | "limit">;

export function unbounded({ path, remedy }: Unbounded, target: string, by: BoundedBy): RouterError {
  const message = `\`${path}\` may cost an unknown amount at ${target}, and this request must stay within a budget. ${remedy}`;
  return withLimit("model_unpriced", message, by, { param: path });
}

export function unpriced(target: string, by: BoundedBy): RouterError {
  const message = `The price of \`${target}\` for this request is unknown, so its cost cannot be bounded. Use a target with a known price, leave out the service tier or region that has none, or let an operator set its price (PUT /admin/prices/${target}).`;
  return withLimit("model_unpriced", message, by);
}

const RATE_KINDS = {
  requests: ["requests_per_minute", "requests per minute"],
  tokens: ["tokens_per_minute", "tokens per minute"],
} as const;

/** Why a ledger refuses, other than for money. `waitMs`: until it can be expected to admit the request. */
export function ledgerRefusal(
  reason: "revoked" | "concurrency" | keyof typeof RATE_KINDS,
  key: KeyRecord,
  { waitMs, tokens, rate, now }: RateRefusal,
): RouterError {
  if (reason === "revoked") return invalidKey();
  const seconds = retryAfter(waitMs);
  const headers = { "retry-after": seconds };
  const { limits } = key;
  if (reason === "concurrency") {
    const limit = limits?.concurrency ?? 0;
    const message = `Concurrency limit reached: ${limit} requests of this key are running. Try again when one of them has ended.`;
    return withLimit("rate_limit_exceeded", message, { kind: "concurrency", limit }, { headers });
  }
  const [kind, name] = RATE_KINDS[reason];
  const limit = limits?.[kind] ?? (reason === "tokens" ? rate?.limitTokens : rate?.limitRequests) ?? 0;
  // Alone, a request counts with the whole limit at most.
  const left =
    reason === "tokens"
      ? ` This request counts ${Math.min(tokens, limit)}, and ${rate?.remainingTokens ?? 0} are left.`
      : "";
  const message = `The key's limit of ${limit} ${name} is reached.${left} Try again in ${seconds} s.`;
  const resets_at = new Date(now + waitMs).toISOString();
  return withLimit("rate_limit_exceeded", message, { kind, limit, resets_at }, { headers });
}

export interface RateRefusal {
  readonly waitMs: number;
  /** What the request counts with for tokens per minute. */
  readonly tokens: number;
  readonly rate: RateState | null;
  /** Epoch ms. */
  readonly now: number;
}
