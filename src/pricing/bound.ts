/**
 * The most a request can cost, before anyone knows what it will use: what a reservation holds back.
 *
 * Pure. Every prompt token counts as the most expensive kind it can be, at the most expensive tier the prompt can
 * reach, every output token at the most expensive output rate. Longer prompts, longer answers and more calls never cost
 * less.
 */
import { FEES, type FeeName, type Price, type Rates } from "../catalog/model-facts.ts";
import { termsOf } from "../catalog/provider-terms.ts";
import { type Conditions, type PriceRow, requestFeeOf, tokenRowOf, toNano, toSafe } from "./price-row.ts";
import { reportsCost } from "./reported.ts";

type Json = Readonly<Record<string, unknown>>;

/** Between a reservation and its attempt the day, or a peak, may begin. No reservation waits longer for its attempt. */
export const START_MARGIN_MS = 60_000;
/**
 * Tiers that no provider charges more for than for the default one. Where they are not known, the default one serves.
 */
const CHEAPER_TIERS: ReadonlySet<string> = new Set(["flex", "batch"]);

/** What is known of a request before it is sent. */
export interface BoundConditions {
  readonly provider: string;
  /** About when the attempt starts, epoch ms. */
  readonly startedAt: number;
  /** The tier the request asks for. It may be served by the default one instead. */
  readonly serviceTier?: string;
  /** The region the request is bound to; `null`: none. Absent: the provider's settings may bind it. */
  readonly region?: string | null;
  /** The most calls of the provider's own tools. */
  readonly calls?: Readonly<Partial<Record<FeeName, number>>>;
}

/**
 * Nano-USD that no usage within `promptTokens` and `outputTokens` costs more than, where the provider keeps to the tier,
 * the calls and the price. `null`: a tier, a region or a call has no known price, so that nothing bounds it.
 */
export function boundNanoUsd(
  promptTokens: number,
  outputTokens: number,
  price: Price,
  conditions: BoundConditions,
): number | null {
  if (![promptTokens, outputTokens].every((count) => Number.isSafeInteger(count) && count >= 0)) return null;
  const rows = rowsWithin(promptTokens, price, conditions);
  const fees = feesWithin(price, conditions);
  const request = requestFeeOf(price, undefined);
  if (rows === null || fees === null || request === null) return null;
  let highest = 0n;
  for (const row of rows) {
    const input = dearest(row.rates, INPUT_SIDE);
    const output = dearest(row.rates, OUTPUT_SIDE);
    if (!Number.isSafeInteger(input) || !Number.isSafeInteger(output)) return null;
    const nano = toNano(BigInt(promptTokens) * BigInt(input) + BigInt(outputTokens) * BigInt(output), row);
    if (nano === null) return null;
    if (nano > highest) highest = nano;
  }
  return toSafe(highest + fees + BigInt(request));
}

const INPUT_SIDE = [
  ...(["input", "cache_read", "cache_read_implicit", "cache_write", "cache_write_1h"] as const),
  ...(["audio_input", "audio_cache_read"] as const),
];
const OUTPUT_SIDE = ["output", "audio_output", "thinking_output", "reasoning"] as const;

function dearest(rates: Rates, names: readonly (keyof Rates)[]): number {
  return Math.max(...names.map((name) => rates[name] ?? 0));
}

/** Every row that can turn out to hold; `null` where one of them is unknown. */
function rowsWithin(promptTokens: number, price: Price, conditions: BoundConditions): PriceRow[] | null {
  const { provider, startedAt } = conditions;
  const reached = (price.tiers ?? []).map(({ above }) => above + 1).filter((length) => length <= promptTokens);
  const isDated = price.hours !== undefined || price.until !== undefined || price.from !== undefined;
  const rows: PriceRow[] = [];
  for (const at of isDated ? [startedAt, startedAt + START_MARGIN_MS] : [startedAt]) {
    for (const length of [0, ...reached]) {
      for (const tier of tiersOf(conditions, price)) {
        for (const region of regionsOf(conditions, price)) {
          const row = tokenRowOf(price, length, { provider, startedAt: at, ...tier, ...region });
          if (row === null) return null;
          rows.push(row);
        }
      }
    }
  }
  return rows;
}

function tiersOf({ provider, serviceTier }: BoundConditions, price: Price): Pick<Conditions, "serviceTier">[] {
  if (serviceTier === undefined) return [{}];
  const tier = serviceTier.toLowerCase();
  const isKnown = [price.service, termsOf(provider).service].some(
    (service) => service !== undefined && Object.hasOwn(service, tier),
  );
  return !isKnown && CHEAPER_TIERS.has(tier) ? [{}] : [{}, { serviceTier }];
}

function regionsOf({ provider, region }: BoundConditions, price: Price): Pick<Conditions, "region">[] {
  if (region === null) return [{}];
  if (region !== undefined) return [{ region }];
  const hasRatio = (price.regional ?? termsOf(provider).regional) !== undefined;
  return hasRatio ? [{}, { region: "any" }] : [{}];
}

function feesWithin(price: Price, { provider, calls = {} }: BoundConditions): bigint | null {
  let sum = 0n;
  for (const name of FEES) {
    const most = calls[name] ?? 0;
    const fee = price.fees?.[name] ?? termsOf(provider).fees?.[name];
    if (most === 0) continue;
    if (fee === undefined || !Number.isSafeInteger(most) || most < 0) return null;
    sum += BigInt(most) * BigInt(fee);
  }
  return sum;
}

/** Tiers and regions that a request's members, the policy's `params` included, ask for. */
export function askedOf(fields: Json): Pick<BoundConditions, "serviceTier" | "region"> {
  const { service_tier, speed, inference_geo } = fields;
  const tier = speed === "fast" ? speed : service_tier;
  return {
    ...(typeof tier === "string" ? { serviceTier: tier } : {}),
    ...(typeof inference_geo === "string" && inference_geo !== "global" ? { region: inference_geo } : {}),
  };
}

/** Whatever is used costs nothing, and the provider does not name amounts of its own. */
export function isFree(price: Price, provider: string): boolean {
  const { input, output, ...others } = price;
  return input === 0 && output === 0 && Object.keys(others).length === 0 && !reportsCost(provider);
}
