/** What can be known of a model. An absent member is unknown: not zero, and not no. */
import * as z from "zod/mini";

const rate = z.optional(z.int());

/** All of them may be left out, where prices stand over other prices. */
const someRates = {
  /** Read from a cache; where `cache_read_implicit` is present too, from one the client asked for. */
  cache_read: rate,
  /** Read from a cache that the provider kept of its own accord. */
  cache_read_implicit: rate,
  /** Written to a cache for five minutes, or for the only lifetime there is. */
  cache_write: rate,
  cache_write_1h: rate,
  audio_input: rate,
  audio_output: rate,
  audio_cache_read: rate,
  /** All output of a request that ran in thinking mode. */
  thinking_output: rate,
  /** Thoughts alone, where an operator gave them a price of their own. */
  reasoning: rate,
};

const rates = { input: z.int(), output: z.int(), ...someRates };

/**
 * Pico-USD per token, which is the same number as micro-USD per million tokens.
 *
 * A kind of token without a rate of its own costs as the kind it belongs to: cached and audio tokens as plain input, a
 * one-hour write as a five-minute one, that as plain input, audio and thoughts as output.
 */
export const Rates = z.object(rates);
export type Rates = z.infer<typeof Rates>;

/** Numerator and denominator. */
const Ratio = z.tuple([z.int(), z.int()]);
export type Ratio = readonly [number, number];

/** `date` is `YYYY-MM-DD`, and its day begins at midnight UTC. */
const DatedRates = z.object({ date: z.string(), input: rate, output: rate, ...someRates });

/** What calls of a provider's own tools are charged by: each search, each search in files, each prompt with results. */
export const FEES = ["web_search", "file_search", "grounded_prompt"] as const;
export type FeeName = (typeof FEES)[number];

/**
 * All that decides what a request of one model costs, except its provider's general terms. It is stored in every
 * published route and with every charge, so a member is present only where the model has it: most have rates alone.
 */
export const Price = z.object({
  ...rates,
  /** Rates of a whole request whose prompt, cached tokens included, has more than `above` tokens. Ascending. */
  tiers: z.optional(z.array(z.object({ above: z.int(), ...rates }))),
  /** Rates up to, not including, a day: they stand over the others. */
  until: z.optional(z.array(DatedRates)),
  /** Rates from a day on: they stand over the others. */
  from: z.optional(z.array(DatedRates)),
  /** Rates on these weekdays (0 is Sunday) between these minutes of the day, the second excluded, UTC. */
  hours: z.optional(z.object({ days: z.array(z.int()), minutes: z.array(z.tuple([z.int(), z.int()])), ...rates })),
  /** Other service tiers than the default: a ratio of every rate, or rates. */
  service: z.optional(z.record(z.string(), z.union([Ratio, Rates]))),
  /** The ratio of every rate where the provider may not choose the region it runs in. */
  regional: z.optional(Ratio),
  /** Nano-USD per call, where they differ from those of the provider. */
  fees: z.optional(z.partialRecord(z.enum(FEES), z.int())),
  /** Nano-USD per request, by the size of the search it makes. */
  request: z.optional(z.record(z.string(), z.int())),
  /** Nano-USD per request, whatever it makes. */
  per_request: z.optional(z.int()),
});
export type Price = z.infer<typeof Price>;

const CAPABILITIES = ["tools", "json_schema", "vision"] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** Present for models that embed, whose `context_window` is the most tokens of one input. */
export const EmbeddingFacts = z.object({
  /** The name of its vector space: that of the model, the same at every provider. */
  space: z.string(),
  /** Length of a vector where nothing else is asked for. */
  dimensions: z.int(),
  /** Any length up to this may be asked for. */
  most: z.optional(z.int()),
  /** One of these lengths may be asked for. Without either the length is fixed. */
  sizes: z.optional(z.readonly(z.array(z.int()))),
});
export type EmbeddingFacts = z.infer<typeof EmbeddingFacts>;

export const ModelFacts = z.object({
  context_window: z.optional(z.int()),
  max_output_tokens: z.optional(z.int()),
  capabilities: z.optional(z.partialRecord(z.enum(CAPABILITIES), z.boolean())),
  /** It thinks before it answers, and charges for thoughts that it may not show. */
  reasoning: z.optional(z.boolean()),
  /** Chat completions refuse it tools unless its effort is `none`: OpenAI's Responses API has to be used. */
  responses_for_tools: z.optional(z.boolean()),
  /** Values of `reasoning_effort` that such a model takes. */
  efforts: z.optional(z.array(z.string())),
  price: z.optional(Price),
  /** Present for a model that embeds, which is no chat model. */
  embedding: z.optional(EmbeddingFacts),
});
export type ModelFacts = z.infer<typeof ModelFacts>;
