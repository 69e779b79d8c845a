/**
 * From a model's price to the one row of it that holds for a request, and from that row to money.
 *
 * Pure. A row is complete: with its usage it gives the same cost for ever, whatever becomes of the table.
 * Money is whole nano-USD, rates are whole pico-USD per token, and the only rounding is one ceil behind all ratios, so a
 * cost is never short and less than one nano-USD long. Fees are added to that: they are whole nano-USD already.
 */
import type { FeeName, Price, Rates, Ratio } from "../catalog/model-facts.ts";
import { LIST_PRICE_TIERS, termsOf } from "../catalog/provider-terms.ts";
import type { Usage } from "../conversation/usage.ts";

/** What decides the price besides the tokens. */
export interface Conditions {
  readonly provider: string;
  /** When the request was sent to the provider, epoch ms: prices change by the day, and some by the hour. */
  readonly startedAt: number;
  /** The tier that served, in the provider's word. Absent: its default. */
  readonly serviceTier?: string;
  /** The region the provider was bound to. Absent: it could choose. */
  readonly region?: string;
}

/** What one request is charged by. Members that change nothing are absent. */
export interface PriceRow {
  readonly rates: Rates;
  /** The length tier that was reached: the prompt was longer. */
  readonly above?: number;
  readonly service?: Ratio;
  readonly region?: Ratio;
  /** Nano-USD per call, of the calls that were made. */
  readonly fees?: Readonly<Partial<Record<FeeName, number>>>;
  /** Nano-USD for the request itself. */
  readonly request?: number;
}

const PICO_PER_NANO = 1000n;
const FULL: Ratio = [1, 1];

const RATE_NAMES = [
  ...(["input", "output", "cache_read", "cache_read_implicit", "cache_write", "cache_write_1h"] as const),
  ...(["audio_input", "audio_output", "audio_cache_read", "thinking_output", "reasoning"] as const),
];

/** The row that holds for `usage` under `conditions`, `null` where a tier, a region or a fee has no known price. */
export function priceRowOf(price: Price, usage: Usage, conditions: Conditions): PriceRow | null {
  const row = tokenRowOf(price, usage.billedPromptTokens ?? usage.promptTokens, conditions);
  const fees = feesOf(price, usage, conditions.provider);
  const request = requestFeeOf(price, usage.searchContextSize);
  if (row === null || fees === null || request === null) return null;
  return { ...row, ...(Object.keys(fees).length === 0 ? {} : { fees }), ...(request === 0 ? {} : { request }) };
}

/**
 * The row without its fees: dated rates, then the tier of the whole prompt, then the hour, then the service tier, each
 * standing over what is before it, and the region's ratio.
 */
export function tokenRowOf(price: Price, promptTokens: number, conditions: Conditions): PriceRow | null {
  const { provider, startedAt } = conditions;
  // A tier replaces the rates of the whole request, output included; of those that are reached the highest counts.
  const tier = price.tiers?.findLast(({ above }) => promptTokens > above);
  const rates = hourlyRates(price, startedAt) ?? (tier === undefined ? ratesOn(price, startedAt) : ratesIn(tier));
  const service = serviceOf(price, provider, conditions.serviceTier, rates);
  const region = conditions.region === undefined ? FULL : (price.regional ?? termsOf(provider).regional);
  if (service === null || region === undefined) return null;
  return {
    rates: service.rates ?? rates,
    ...(tier === undefined ? {} : { above: tier.above }),
    ...(isOne(service.ratio) ? {} : { service: service.ratio }),
    ...(isOne(region) ? {} : { region }),
  };
}

/** Rates of the day in UTC: of prices that have ended the first to end after it, of later ones the last to begin. */
function ratesOn(price: Price, startedAt: number): Rates {
  const { until = [], from = [] } = price;
  if (until.length + from.length === 0) return ratesIn(price);
  const day = new Date(startedAt).toISOString().slice(0, 10);
  const byDate = (left: { date: string }, right: { date: string }): number => (left.date < right.date ? -1 : 1);
  const past = until.filter(({ date }) => day < date).toSorted(byDate)[0];
  const present = from
    .filter(({ date }) => day >= date)
    .toSorted(byDate)
    .at(-1);
  return { ...ratesIn(price), ...someRatesIn(past), ...someRatesIn(present) };
}

function hourlyRates({ hours }: Price, startedAt: number): Rates | null {
  if (hours === undefined) return null;
  const at = new Date(startedAt);
  const minute = at.getUTCHours() * 60 + at.getUTCMinutes();
  const isNow =
    hours.days.includes(at.getUTCDay()) && hours.minutes.some(([begin, end]) => minute >= begin && minute < end);
  return isNow ? ratesIn(hours) : null;
}

interface Service {
  /** In place of the others. */
  readonly rates?: Rates;
  readonly ratio: Ratio;
}

function serviceOf(price: Price, provider: string, served: string | undefined, rates: Rates): Service | null {
  const tier = served?.toLowerCase() ?? "";
  const own = ownMember(price.service, tier);
  if (Array.isArray(own)) return { ratio: own };
  if (own !== undefined) return { rates: ratesIn(own), ratio: FULL };
  const general = ownMember(termsOf(provider).service, tier);
  if (general !== undefined) return { ratio: general };
  // Any multiple of nothing is nothing.
  const isFree = Object.values(rates).every((rate) => rate === 0);
  return tier === "" || isFree || LIST_PRICE_TIERS.has(tier) ? { ratio: FULL } : null;
}

type Fees = Partial<Record<FeeName, number>>;

/** `null`: a call was made that has no known price. */
function feesOf(price: Price, usage: Usage, provider: string): Fees | null {
  const fees: Fees = {};
  for (const [name, calls] of callsOf(usage)) {
    const fee = price.fees?.[name] ?? termsOf(provider).fees?.[name];
    if (calls > 0 && fee === undefined) return null;
    if (calls > 0 && fee !== undefined && fee > 0) fees[name] = fee;
  }
  return fees;
}

/** If the provider does not report the search size, the most expensive one is assumed. */
export function requestFeeOf({ request, per_request: each = 0 }: Price, size: string | undefined): number | null {
  if (request === undefined) return each;
  const bySize = size === undefined ? Math.max(...Object.values(request)) : ownMember(request, size);
  return bySize === undefined ? null : each + bySize;
}

/** Nano-USD, rounded up; `null` where the counts contradict each other or a rate is none. */
export function costOfRow(usage: Usage, row: PriceRow): number | null {
  const { fees, request = 0 } = row;
  const tokens = tokenCharges(usage, row.rates).map(([count, rate]): Charge => [count, rate]);
  const calls = callsOf(usage).map(([name, number]): Charge => [number, fees?.[name] ?? 0]);
  // Thoughts are inside the completion and cost nothing in addition; they only have to fit.
  const thoughts = [usage.reasoningTokens, usage.completionTokens - usage.reasoningTokens];
  const figures = [...tokens.flat(), ...calls.flat(), ...thoughts, request];
  if (usage.isDoubtful === true || !figures.every(isCount)) return null;
  const nano = toNano(sumOf(tokens), row);
  return nano === null ? null : toSafe(nano + sumOf(calls) + BigInt(request));
}

/** Fees of the calls that were made and of the request itself, in nano-USD each. */
export function callCharges(usage: Usage, { fees, request = 0 }: PriceRow): (readonly [string, number, number])[] {
  const calls = callsOf(usage).map(([name, number]) => [name, number, fees?.[name] ?? 0] as const);
  return request === 0 ? calls : [...calls, ["request", 1, request]];
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** Nano-USD as a number, `null` beyond the 9 million USD it can hold. */
export function toSafe(nano: bigint): number | null {
  return nano <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nano) : null;
}

/** Pico-USD at the row's rates to nano-USD at its ratios, rounded up; `null` where a ratio is none. */
export function toNano(pico: bigint, { service = FULL, region = FULL }: PriceRow): bigint | null {
  if (![...service, ...region].every((part) => isCount(part) && part > 0)) return null;
  const divisor = BigInt(service[1]) * BigInt(region[1]) * PICO_PER_NANO;
  return (pico * BigInt(service[0]) * BigInt(region[0]) + divisor - 1n) / divisor;
}

type Charge = readonly [count: number, rate: number];
/** With the price's member that it is charged by. */
export type TokenCharge = readonly [count: number, rate: number, kind: string];

/** Every token once, at its rate. A negative count says that parts are larger than their whole. */
export function tokenCharges(usage: Usage, rates: Rates): TokenCharge[] {
  const { input, output, cache_read: read = input, cache_write: write = input } = rates;
  const audio = usage.audioInputTokens ?? 0;
  const audioRate = rates.audio_input ?? input;
  // What was billed apart from what was read has no parts.
  if (usage.billedPromptTokens !== undefined) {
    return [[usage.billedPromptTokens, input, "input"], ...outputCharges(usage, rates, output)];
  }
  const { promptTokens, cachedTokens, cacheWriteTokens } = usage;
  const outside = promptTokens - cacheWriteTokens - cachedTokens - audio;
  const cachedAudio = usage.cachedAudioTokens ?? Math.max(0, -outside);
  const cachedText = cachedTokens - cachedAudio;
  const implicit = Math.min(usage.implicitCachedTokens ?? 0, Math.max(0, cachedText));
  const hour = usage.cacheWriteHourTokens ?? 0;
  return [
    [outside + cachedAudio, input, "input"],
    [audio - cachedAudio, audioRate, "audio_in"],
    [cachedText - implicit, read, "cache_read"],
    [implicit, rates.cache_read_implicit ?? read, "cache_read"],
    [cachedAudio, rates.audio_cache_read ?? rates.cache_read ?? audioRate, "cache_read"],
    [cacheWriteTokens - hour, write, "cache_write"],
    [hour, rates.cache_write_1h ?? write, "cache_write_1h"],
    ...outputCharges(usage, rates, output),
  ];
}

/** Hybrid models bill all output at the thinking rate once reasoning was used. */
function outputCharges(usage: Usage, rates: Rates, plain: number): TokenCharge[] {
  const rate = usage.reasoningTokens > 0 ? (rates.thinking_output ?? plain) : plain;
  // What was billed apart from what was written has no parts.
  if (usage.billedCompletionTokens !== undefined) return [[usage.billedCompletionTokens, rate, "output"]];
  const { completionTokens, audioOutputTokens: audio = 0 } = usage;
  const thoughts = rates.reasoning === undefined ? 0 : usage.reasoningTokens;
  return [
    [completionTokens - audio - thoughts, rate, "output"],
    [thoughts, rates.reasoning ?? rate, "reasoning"],
    [audio, rates.audio_output ?? rate, "audio_out"],
  ];
}

function callsOf(usage: Usage): (readonly [FeeName, number])[] {
  return [
    ["web_search", usage.webSearches ?? 0],
    ["file_search", usage.fileSearches ?? 0],
    ["grounded_prompt", usage.groundedPrompts ?? 0],
  ];
}

function sumOf(charges: readonly Charge[]): bigint {
  return charges.reduce((sum, [count, rate]) => sum + BigInt(count) * BigInt(rate), 0n);
}

function ratesIn(source: Rates): Rates {
  return { input: source.input, output: source.output, ...someRatesIn(source) };
}

type SomeRates = { readonly [name in keyof Rates]?: number | undefined };

function someRatesIn(source: SomeRates | undefined): Partial<Rates> {
  const found: Partial<Rates> = {};
  for (const name of RATE_NAMES) {
    const rate = source?.[name];
    if (rate !== undefined) found[name] = rate;
  }
  return found;
}

const isOne = ([numerator, denominator]: Ratio): boolean => numerator === denominator;

/** A member of the record itself: the name is a provider's text. */
function ownMember<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}
