/** A price as operators write and read it, in USD per million tokens, and the price structure that it stands for. */
import * as z from "zod/mini";
import type { Price, Rates } from "../catalog/model-facts.ts";
import { fromUsd, toUsd } from "../lib/money.ts";

/** USD per million tokens. More is a slip of the hand. */
const MAX_USD_PER_MILLION = 1_000_000;
const MAX_USD_PER_REQUEST = 10_000;
const MAX_RATIO = 1_000;
/** So many decimals of a ratio are exact: the numbers of a price stay below 2^53. */
const RATIO_DECIMALS = 6;
const MICRO = 1_000_000;

/** Does `scale` times the number give a whole one, by its decimal digits? */
const isWholeIn = (scale: number) => (value: number) => Math.abs(value * scale - Math.round(value * scale)) < 1e-6;

const amount = (max: number) => z.number().check(z.gte(0), z.lte(max));
// One micro-USD per million tokens is one pico-USD per token, the smallest price that can be booked.
const usdPerMillion = amount(MAX_USD_PER_MILLION).check(
  z.refine(isWholeIn(MICRO), "must have at most 6 decimals: USD per million tokens"),
);
const some = z.optional(usdPerMillion);

const RATES = {
  input: usdPerMillion,
  output: usdPerMillion,
  cache_read: some,
  cache_write: some,
  cache_write_1h: some,
  audio_in: some,
  audio_out: some,
  reasoning: some,
};

const Tier = z.strictObject({ above_input_tokens: z.int().check(z.gte(0), z.lte(1_000_000_000)), ...RATES });
const Ratio = z
  .number()
  .check(z.gt(0), z.lte(MAX_RATIO), z.refine(isWholeIn(MICRO), `must have at most ${RATIO_DECIMALS} decimals`));

const isTime = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.test(text) &&
  Number.isFinite(Date.parse(text));
const time = z.string().check(z.refine(isTime, "must be an ISO 8601 time such as 2026-12-01T00:00:00Z"));

const MEMBERS = {
  ...RATES,
  tiers: z.optional(
    z.array(Tier).check(
      z.maxLength(16),
      z.refine(
        (tiers) => new Set(tiers.map((tier) => tier.above_input_tokens)).size === tiers.length,
        "must not repeat one",
      ),
    ),
  ),
  /** What the tiers of a service cost, as a multiple of every rate. */
  service_tiers: z.optional(
    z.record(z.string().check(z.regex(/^[a-z][a-z0-9_-]{0,31}$/, "must be the name of a service tier")), Ratio),
  ),
  /** USD per request, whatever it uses. */
  per_request: z.optional(amount(MAX_USD_PER_REQUEST).check(z.refine(isWholeIn(1e9), "must have at most 9 decimals"))),
};

/** A price without times, as a repricing takes it. */
export const PriceMembers = z.strictObject(MEMBERS);
export type PriceMembers = z.infer<typeof PriceMembers>;

/** Body of `PUT /admin/prices/{provider}/{model}`. */
export const PriceRequest = z.strictObject({
  ...MEMBERS,
  valid_from: z.optional(z.nullable(time)),
  valid_until: z.optional(z.nullable(time)),
});
export type PriceRequest = z.infer<typeof PriceRequest>;

type RequestRates = z.infer<typeof Tier> | PriceMembers;

/** Pico-USD per token. What is left out costs as the contract says: cached, written and sound as input, thoughts as output. */
function toRates(source: RequestRates): Rates {
  const { input, output, cache_read, cache_write, cache_write_1h, audio_in, audio_out, reasoning } = source;
  const rate = (usd: number): number => Math.round(usd * MICRO);
  const given = (name: keyof Rates, usd: number | undefined): Partial<Rates> =>
    usd === undefined ? {} : { [name]: rate(usd) };
  return {
    input: rate(input),
    output: rate(output),
    ...given("cache_read", cache_read),
    ...given("cache_write", cache_write),
    // Without a price of its own it would cost what a short write does.
    ...given("cache_write_1h", cache_write_1h ?? (cache_write === undefined ? undefined : input)),
    ...given("audio_input", audio_in),
    ...given("audio_output", audio_out),
    ...given("reasoning", reasoning),
  };
}

/** The structure that requests are charged by. */
export function toPrice(source: PriceMembers): Price {
  const { tiers, service_tiers: services, per_request: each } = source;
  return {
    ...toRates(source),
    ...(tiers === undefined || tiers.length === 0
      ? {}
      : {
          tiers: tiers
            .map((tier) => ({ above: tier.above_input_tokens, ...toRates(tier) }))
            .toSorted((left, right) => left.above - right.above),
        }),
    ...(services === undefined
      ? {}
      : { service: Object.fromEntries(Object.entries(services).map(([name, ratio]) => [name, toRatio(ratio)])) }),
    ...(each === undefined || each === 0 ? {} : { per_request: fromUsd(each) }),
  };
}

function toRatio(ratio: number): [number, number] {
  const scaled = Math.round(ratio * MICRO);
  const divisor = greatestCommon(scaled, MICRO);
  return [scaled / divisor, MICRO / divisor];
}

function greatestCommon(one: number, other: number): number {
  return other === 0 ? one : greatestCommon(other, one % other);
}

/** A price of the catalogue in the operators' spelling. Dated and hourly rates are members of their own. */
export function toMembers(price: Price): Readonly<Record<string, unknown>> {
  const { tiers, service, per_request: each, until, from, hours, regional, fees, request } = price;
  const ratios = Object.entries(service ?? {}).flatMap(([name, value]) =>
    Array.isArray(value) ? [[name, Number(value[0]) / Number(value[1])]] : [],
  );
  return {
    ...ratesShown(price),
    ...(tiers === undefined
      ? {}
      : { tiers: tiers.map(({ above, ...rates }) => ({ above_input_tokens: above, ...ratesShown(rates) })) }),
    ...(ratios.length === 0 ? {} : { service_tiers: Object.fromEntries(ratios) }),
    ...(each === undefined ? {} : { per_request: toUsd(each) }),
    ...(until === undefined ? {} : { until: until.map(datedShown) }),
    ...(from === undefined ? {} : { from: from.map(datedShown) }),
    ...(hours === undefined ? {} : { hours: { days: hours.days, minutes: hours.minutes, ...ratesShown(hours) } }),
    ...(regional === undefined ? {} : { regional: regional[0] / regional[1] }),
    ...(fees === undefined ? {} : { fees: usdOf(fees) }),
    ...(request === undefined ? {} : { request: usdOf(request) }),
  };
}

const SHOWN = [
  ...([
    ["input", "input"],
    ["output", "output"],
    ["cache_read", "cache_read"],
    ["cache_write", "cache_write"],
  ] as const),
  ...([
    ["cache_write_1h", "cache_write_1h"],
    ["audio_input", "audio_in"],
    ["audio_output", "audio_out"],
  ] as const),
  ...([
    ["reasoning", "reasoning"],
    ["thinking_output", "thinking_output"],
  ] as const),
  ...([
    ["cache_read_implicit", "cache_read_implicit"],
    ["audio_cache_read", "audio_cache_read"],
  ] as const),
];

type SomeRates = { readonly [Name in keyof Rates]?: number | undefined };

function ratesShown(rates: SomeRates): Readonly<Record<string, number>> {
  const shown = SHOWN.flatMap(([name, as]) =>
    rates[name] === undefined ? [] : [[as, (rates[name] ?? 0) / MICRO] as const],
  );
  return Object.fromEntries(shown);
}

function datedShown({ date, ...rates }: { readonly date: string } & SomeRates): object {
  return { date, ...ratesShown(rates) };
}

function usdOf(amounts: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(amounts).flatMap(([name, nano]) => (nano === undefined ? [] : [[name, toUsd(nano)] as const])),
  );
}
