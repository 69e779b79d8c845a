/** Parts of the record of a request that need nothing but what they are made of. Pure. */
import type { RateState } from "../ledger/types.ts";
import { toUsd } from "../lib/money.ts";
import { costPartsOf } from "../pricing/cost-parts.ts";
import type { SkippedTarget, Trace, TraceAttempt } from "../traces/schema.ts";
import type { Bill } from "./billing.ts";
import type { Attempt } from "./trace.ts";

export interface TargetName {
  readonly provider: string;
  readonly model: string;
}

/** Those of the skipped targets that no attempt was made at. */
export function neverAsked(
  skipped: readonly SkippedTarget[],
  attempts: readonly TargetName[],
): readonly SkippedTarget[] {
  return skipped.filter(
    ({ provider, model }) => !attempts.some((each) => each.provider === provider && each.model === model),
  );
}

/** An attempt as its trace shows it. `receivedAt`: when the request arrived, epoch ms. */
export function attemptMembers(attempt: Attempt, receivedAt: number, { costNanoUsd }: Bill): TraceAttempt {
  const { provider, model, outcome, status, startedAt, firstTokenAt, endedAt, hedged, winner, tariff } = attempt;
  return {
    ...{ provider, model, outcome, status },
    started_ms: startedAt - receivedAt,
    first_token_ms: firstTokenAt === null ? null : firstTokenAt - startedAt,
    duration_ms: endedAt - startedAt,
    ...{ hedged, winner },
    cost_usd: costNanoUsd === null ? null : toUsd(costNanoUsd),
    ...(tariff.priceRow === null ? {} : { price_row: tariff.priceRow }),
    ...diagnosisMembers(attempt),
  };
}

/** What the cost of a request is made of; nothing where nothing was billed. */
export function partsMember(bills: readonly Bill[]): Pick<Trace, "cost_parts"> {
  const parts = costPartsOf(bills);
  return parts.length === 0 ? {} : { cost_parts: parts };
}

function diagnosisMembers({ diagnosis, providerRequestId, credential }: Attempt): Partial<TraceAttempt> {
  return {
    credential,
    ...(diagnosis?.code === undefined ? {} : { provider_code: diagnosis.code }),
    ...(diagnosis?.message === undefined ? {} : { provider_message: diagnosis.message }),
    ...(providerRequestId === undefined ? {} : { provider_request_id: providerRequestId }),
  };
}

/** OpenAI's own headers, which its SDKs and others read. A limit the key does not have has none. */
export function addRateHeaders(headers: Record<string, string>, rate: RateState): void {
  if (rate.limitRequests !== null) {
    headers["x-ratelimit-limit-requests"] = String(rate.limitRequests);
    headers["x-ratelimit-remaining-requests"] = String(rate.remainingRequests);
    headers["x-ratelimit-reset-requests"] = durationText(rate.resetRequestsMs);
  }
  if (rate.limitTokens !== null) {
    headers["x-ratelimit-limit-tokens"] = String(rate.limitTokens);
    headers["x-ratelimit-remaining-tokens"] = String(rate.remainingTokens);
    headers["x-ratelimit-reset-tokens"] = durationText(rate.resetTokensMs);
  }
}

/** As OpenAI writes them: `120ms`, `6.5s`, `1m0s`. */
function durationText(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.ceil(milliseconds)}ms`;
  const seconds = Math.ceil(milliseconds / 100) / 10;
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${Math.ceil(seconds % 60)}s`;
}
