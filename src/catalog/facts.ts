/** What can be known of a model. An absent member is unknown: not zero, and not no. */
import * as z from "zod/mini";

/**
 * Pico-USD per token, which is the same number as micro-USD per million tokens.
 * Cached tokens without a price of their own cost as plain input.
 */
const rates = {
  input: z.int(),
  output: z.int(),
  cache_read: z.optional(z.int()),
  cache_write: z.optional(z.int()),
};

export const Price = z.object({
  ...rates,
  /** Rates of a whole request whose prompt, cached tokens included, has more than `above` tokens. Ascending. */
  tiers: z.optional(z.array(z.object({ above: z.int(), ...rates }))),
});
export type Price = z.infer<typeof Price>;

export const CAPABILITIES = ["tools", "json_schema", "vision"] as const;
export type Capability = (typeof CAPABILITIES)[number];

export const ModelFacts = z.object({
  context_window: z.optional(z.int()),
  max_output_tokens: z.optional(z.int()),
  capabilities: z.optional(z.partialRecord(z.enum(CAPABILITIES), z.boolean())),
  price: z.optional(Price),
});
export type ModelFacts = z.infer<typeof ModelFacts>;
