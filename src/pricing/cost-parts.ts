/** What a cost is made of, for people: tokens and money by kind. The parts of a bill add up to it, to the nano-dollar. */
import { toUsd } from "../lib/money.ts";
import type { CostBasis } from "./price.ts";
import { callCharges, tokenCharges, toNano } from "./price-row.ts";

export interface CostPart {
  /** A member of a price (`input`, `cache_read`, …), a fee, `reported` by the provider, or `bound`: charged at its bound. */
  readonly kind: string;
  /** Tokens, or calls of a fee. */
  readonly tokens: number;
  readonly usd: number;
}

interface Billed {
  readonly costNanoUsd: number | null;
  readonly costBasis: CostBasis | null;
  readonly usageSource: string;
}

interface Part {
  tokens: number;
  nanoUsd: number;
}

/** Kinds without tokens and money are left out. Empty where nothing was billed or a price is unknown. */
export function costPartsOf(bills: readonly Billed[]): readonly CostPart[] {
  const parts = new Map<string, Part>();
  const add = (kind: string, tokens: number, nanoUsd: number): void => {
    const known = parts.get(kind) ?? { tokens: 0, nanoUsd: 0 };
    parts.set(kind, { tokens: known.tokens + tokens, nanoUsd: known.nanoUsd + nanoUsd });
  };
  for (const { costNanoUsd, costBasis, usageSource } of bills) {
    if (costNanoUsd === null || costBasis === null) continue;
    const { usage, row } = costBasis;
    if (usage.reportedNanoUsd !== undefined || usageSource === "upper_bound" || row === null) {
      const kind = usageSource === "upper_bound" ? "bound" : "reported";
      add(kind, usage.promptTokens + usage.completionTokens, costNanoUsd);
      continue;
    }
    let rest = costNanoUsd;
    for (const [kind, count, rate] of callCharges(usage, row)) {
      add(kind, count, count * rate);
      rest -= count * rate;
    }
    // Each is rounded up like the whole, so what that is too much is taken from the last ones.
    for (const [count, rate, kind] of tokenCharges(usage, row.rates)) {
      const nanoUsd = Math.min(rest, Number(toNano(BigInt(count) * BigInt(rate), row) ?? 0n));
      add(kind, count, nanoUsd);
      rest -= nanoUsd;
    }
  }
  return [...parts]
    .filter(([, { tokens, nanoUsd }]) => tokens !== 0 || nanoUsd !== 0)
    .map(([kind, { tokens, nanoUsd }]) => ({ kind, tokens, usd: toUsd(nanoUsd) }));
}
