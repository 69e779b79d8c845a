/**
 * The most a request can cost, before anyone knows what it will use: what a reservation holds back.
 *
 * Pure. Every prompt token counts at the dearest kind it can turn out to be, at the dearest tier the prompt can reach,
 * every output token at the dearest kind of output. Longer prompts, longer answers and more calls never cost less.
 */
import { FEES, type FeeName, type Price, type Rates } from "../catalog/model-facts.ts";
import { termsOf } from "../catalog/provider-terms.ts";
import { isJsonObject } from "../lib/json.ts";
import { type Conditions, type PriceRow, requestFeeOf, tokenRowOf, toNano, toSafe } from "./price-row.ts";

type Json = Readonly<Record<string, unknown>>;

/** Between a reservation and its attempt the day, or a peak, may begin. No reservation waits longer for its attempt. */
const START_MARGIN_MS = 60_000;
/** Tiers that nobody charges more for than for the default one. Where they are not known, the default one serves. */
const CHEAPER_TIERS: ReadonlySet<string> = new Set(["flex", "batch"]);

/** What is known of a request before it is sent. */
export interface BoundConditions {
  readonly provider: string;
  /** About when the attempt starts, epoch ms. */
  readonly startedAt: number;
  /** The tier the request asks for. It may be served by the default one instead. */
  readonly serviceTier?: string;
  /** The region the request is bound to; `null`: none. Absent: the vendor's settings may bind it. */
  readonly region?: string | null;
  /** The most calls of the vendor's own tools. */
  readonly calls?: Readonly<Partial<Record<FeeName, number>>>;
  /** It asks for something whose fee nobody here knows. */
  readonly hasUnknownFee?: true;
}

/**
 * Nano-USD that no usage within `promptTokens` and `outputTokens` costs more than, where the vendor keeps to the tier,
 * the calls and the price. `null`: a tier, a region or a call has no known price, so that nothing bounds it.
 */
export function boundNanoUsd(
  promptTokens: number,
  outputTokens: number,
  price: Price,
  conditions: BoundConditions,
): number | null {
  if (![promptTokens, outputTokens].every((count) => Number.isSafeInteger(count) && count >= 0)) return null;
  if (conditions.hasUnknownFee === true) return null;
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
const OUTPUT_SIDE = ["output", "audio_output", "thinking_output"] as const;

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

/** Searches of one request where nothing limits them. More than models are seen to make, and no promise of a vendor. */
const MOST_SEARCHES = 10;
/** Anthropic's `web_search_20250305`; the others of its tools charge nothing per call. */
const ANTHROPIC_SEARCH = /^web_search_\d{8}$/;
const GOOGLE_SEARCH = ["googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval"] as const;
const GOOGLE_GROUNDING = [...GOOGLE_SEARCH, "googleMaps", "google_maps"] as const;

/**
 * Tools that cost nothing per call, or what `callsAsked` counts: the client's own, and vendors' of known terms. Google's
 * have no type. What any other tool of a vendor's own costs, or how often it is called, nothing here bounds.
 */
const KNOWN_TOOL = /^(function|custom|(bash|text_editor|computer|memory|web_search|web_fetch)_\d{8})$/;

/** OpenRouter's plugins and xAI's live search: they search the web, for a fee per result. */
const PAID_MEMBERS = ["plugins", "search_parameters"] as const;

const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

function isUnknownTool({ type }: Json): boolean {
  return type !== undefined && !(typeof type === "string" && KNOWN_TOOL.test(type));
}

/** What a request's members, the policy's `params` included, ask for that changes its price. */
export function askedOf(fields: Json): Omit<BoundConditions, "provider" | "startedAt"> {
  const { service_tier, speed, inference_geo } = fields;
  const tier = speed === "fast" ? speed : service_tier;
  const tools = Array.isArray(fields["tools"]) ? fields["tools"].filter(isJsonObject) : [];
  const calls = callsAsked(tools);
  const hasUnknownFee = PAID_MEMBERS.some((name) => isJsonObject(fields[name]) || isFilled(fields[name]));
  return {
    ...(typeof tier === "string" ? { serviceTier: tier } : {}),
    ...(typeof inference_geo === "string" && inference_geo !== "global" ? { region: inference_geo } : {}),
    ...(Object.keys(calls).length === 0 ? {} : { calls }),
    ...(hasUnknownFee || tools.some(isUnknownTool) ? { hasUnknownFee: true } : {}),
  };
}

function callsAsked(tools: readonly Json[]): NonNullable<BoundConditions["calls"]> {
  let searches = 0;
  let isGrounded = false;
  for (const tool of tools) {
    const { type, max_uses: limit } = tool;
    if (typeof type === "string" && ANTHROPIC_SEARCH.test(type)) {
      searches += typeof limit === "number" && Number.isSafeInteger(limit) && limit >= 0 ? limit : MOST_SEARCHES;
    }
    if (GOOGLE_SEARCH.some((name) => Object.hasOwn(tool, name))) searches += MOST_SEARCHES;
    if (GOOGLE_GROUNDING.some((name) => Object.hasOwn(tool, name))) isGrounded = true;
  }
  return { ...(searches === 0 ? {} : { web_search: searches }), ...(isGrounded ? { grounded_prompt: 1 } : {}) };
}
