/**
 * What a provider says it charges for a request, in the usage object of its answer. Four do; what they say is booked, and
 * the cost by the table is kept in addition, as a check.
 */
import { isJsonObject } from "../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** A millionth of a millionth of a millionth: sums of what providers write are exact in it. */
const ATTO_DIGITS = 18;
const ATTO_PER_NANO = 1_000_000_000n;
/** https://docs.x.ai/developers/cost-tracking: 10^10 ticks are a dollar. */
const ATTO_PER_TICK = 100_000_000n;
/** One request of more is a fault of the provider. */
const MAX_USD = 100_000;

const READERS: Readonly<Record<string, (usage: Json) => bigint | undefined>> = {
  openrouter: openRouterAtto,
  perplexity: (usage) => attoOf(isJsonObject(usage["cost"]) ? usage["cost"]["total_cost"] : undefined),
  deepinfra: (usage) => attoOf(usage["estimated_cost"]),
  xai: ticksAtto,
};

/** Its usage objects name what it charges. */
export function reportsCost(provider: string): boolean {
  return Object.hasOwn(READERS, provider);
}

/** Nano-USD, rounded up; `undefined` where the provider says nothing, or nothing that can be an amount. */
export function reportedNanoUsd(usage: Json, provider: string): number | undefined {
  const read = Object.hasOwn(READERS, provider) ? READERS[provider] : undefined;
  const atto = read?.(usage);
  return atto === undefined ? undefined : Number((atto + ATTO_PER_NANO - 1n) / ATTO_PER_NANO);
}

/** With a key of the operator's own, `cost` is OpenRouter's part alone and the provider charges in addition. */
function openRouterAtto(usage: Json): bigint | undefined {
  const cost = attoOf(usage["cost"]);
  if (cost === undefined || usage["is_byok"] !== true) return cost;
  const details = usage["cost_details"];
  const upstream = attoOf(isJsonObject(details) ? details["upstream_inference_cost"] : undefined);
  return upstream === undefined ? undefined : cost + upstream;
}

function ticksAtto(usage: Json): bigint | undefined {
  const ticks = usage["cost_in_usd_ticks"];
  const isAmount = typeof ticks === "number" && Number.isSafeInteger(ticks) && ticks >= 0;
  return isAmount && ticks <= MAX_USD * 1e10 ? BigInt(ticks) * ATTO_PER_TICK : undefined;
}

/** Dollars to atto-USD by their decimal digits: 0.00001 is a little more than itself as a binary fraction. */
function attoOf(usd: unknown): bigint | undefined {
  if (typeof usd !== "number" || !(usd >= 0 && usd <= MAX_USD)) return undefined;
  const [mantissa = "", exponent = "0"] = String(usd).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  const shift = ATTO_DIGITS + Number(exponent) - fraction.length;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return (digits + divisor - 1n) / divisor;
}
