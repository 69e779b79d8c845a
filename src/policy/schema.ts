/**
 * Route policy: the one document that decides which target answers a route, how long it may take and what it may cost.
 *
 * Strict on purpose: a typo must not go live. Parsing fills in the defaults, so a published version keeps its meaning
 * when a default changes later.
 *
 * KV: `route:<env>:<name>` the active `RouteRecord`, `route:<env>:<name>@<version>` an immutable one,
 * `routes:<env>` the `RouteIndex` behind the model list, `aliases:<env>` the `AliasIndex`.
 */
import * as z from "zod/mini";
import { ModelFacts } from "../catalog/model-facts.ts";
import { ENV_NAME, isDotSegment, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { Alias, MAX_ALIASES } from "./aliases.ts";

const integer = (minimum: number, maximum: number) => z.int().check(z.minimum(minimum), z.maximum(maximum));
const ratio = z.number().check(z.minimum(0), z.maximum(1));
const usd = z.number().check(z.positive(), z.maximum(1_000_000));
const timeoutMs = integer(100, 3_600_000);
const globs = z._default(z.array(z.string().check(z.minLength(1), z.maxLength(128))).check(z.maxLength(100)), []);

const Target = z.strictObject({
  provider: z.string().check(z.minLength(1), z.maxLength(64)),
  model: z.string().check(
    z.minLength(1),
    z.maxLength(256),
    z.refine((model) => !isDotSegment(model), "must be a model id"),
  ),
  weight: z._default(z.number().check(z.minimum(0), z.maximum(1_000_000)), 1),
  params: z._default(z.record(z.string(), z.json()), {}),
  /** In an embedding route: the operator declares that its vectors may be compared with those of the route's space. */
  same_space: z.optional(z.boolean()),
});
export type Target = z.infer<typeof Target>;

const Fallback = z.strictObject({
  enabled: z._default(z.boolean(), true),
  max_attempts: z._default(integer(1, 16), 4),
  on: z._default(z.array(z.enum(["context_length", "content_filter"])), ["context_length"]),
});

const Retry = z.strictObject({
  same_target: z._default(integer(0, 3), 1),
  backoff_ms: z._default(integer(0, 10_000), 200),
  max_retry_after_ms: z._default(integer(0, 60_000), 2_500),
});

const Latency = z.strictObject({
  budget_ms: z.optional(integer(1, 600_000)),
  mode: z._default(z.enum(["soft", "hard"]), "soft"),
  hedge: z._default(z.boolean(), true),
  hedge_max_ratio: z._default(ratio, 0.1),
});

const Timeouts = z.strictObject({
  first_token_ms: z._default(timeoutMs, 60_000),
  idle_ms: z._default(timeoutMs, 30_000),
  total_ms: z._default(timeoutMs, 600_000),
});

const tokens = integer(0, 10_000_000);
const partTokens = z.optional(tokens);
const MAX_TOOL_TYPES = 64;

const Limits = z.strictObject({
  max_output_tokens: z.optional(integer(1, 100_000_000)),
  /**
   * Where the router sets the cap of an answer, it is not set below this or the policy's own cap: a truncated stub is
   * useless.
   */
  min_output_tokens: z._default(integer(1, 1_000_000), 256),
  /** What a request that names no cap counts with for tokens per minute, until it is known what it used. */
  expected_output_tokens: z.optional(integer(0, 100_000_000)),
  /** Most tokens of one part of a message that is not text: what a budget holds for it. */
  part_tokens: z.optional(
    z.strictObject({ image: partTokens, audio: partTokens, video: partTokens, file: partTokens }),
  ),
  /** Most tokens that one call of a tool of the provider's brings into the prompt, by the tool's type. */
  tool_tokens: z.optional(
    z
      .record(z.string().check(z.minLength(1), z.maxLength(64)), tokens)
      .check(z.refine((all) => Object.keys(all).length <= MAX_TOOL_TYPES, `must have at most ${MAX_TOOL_TYPES} types`)),
  ),
});

const Tools = z.strictObject({
  require_approval: z._default(z.boolean(), false),
  delivery: z._default(z.enum(["hold", "mark"]), "hold"),
  wait_ms: z._default(integer(0, 600_000), 20_000),
  auto_approve: globs,
  deny: globs,
  ttl_seconds: z._default(integer(60, 30 * 86_400), 86_400),
});

const Responses = z.strictObject({
  /** Responses are kept for `previous_response_id`, where the client does not forbid it. */
  store: z._default(z.boolean(), true),
  /** From the last response of a conversation on. */
  ttl_seconds: z._default(integer(60, 30 * 86_400), 86_400),
});

/** A route that embeds: vectors may only be compared inside their space, so the policy names it. */
const Embedding = z.strictObject({
  space: z.string().check(z.minLength(1), z.maxLength(256)),
  /** Length of every vector of the route; absent: that of its model. */
  dimensions: z.optional(integer(1, 65_536)),
});

const Promotion = z.strictObject({
  /** `true`: changes come by promotion where this policy is active. A list: in these environments, wherever it is. */
  required: z._default(
    z.union([
      z.boolean(),
      z
        .array(z.string().check(z.regex(ENV_NAME, "must match ^[a-z][a-z0-9-]{0,30}$")))
        .check(z.minLength(1), z.maxLength(32)),
    ]),
    false,
  ),
  window_hours: z._default(integer(1, 24 * 30), 24),
  min_requests: z._default(integer(1, 1_000_000), 20),
  min_success_rate: z.optional(ratio),
  min_success_lower_bound: z.optional(ratio),
  max_p95_latency_ms: z.optional(integer(1, 3_600_000)),
  max_cost_usd_per_request: z.optional(usd),
});

const hasNoDuplicate = (texts: readonly string[]): boolean => new Set(texts).size === texts.length;

export const RoutePolicy = z.strictObject({
  targets: z.array(Target).check(z.minLength(1), z.maxLength(16)),
  description: z.optional(z.string().check(z.maxLength(1_000))),
  strategy: z._default(z.enum(["ordered", "weighted", "fastest", "cheapest"]), "ordered"),
  fallback: z.prefault(Fallback, {}),
  retry: z.prefault(Retry, {}),
  stream_recovery: z._default(z.enum(["off", "resume"]), "off"),
  latency: z.prefault(Latency, {}),
  timeouts: z.prefault(Timeouts, {}),
  spend: z.prefault(z.strictObject({ max_request_usd: z.optional(usd) }), {}),
  limits: z.prefault(Limits, {}),
  tools: z.prefault(Tools, {}),
  responses: z.prefault(Responses, {}),
  embedding: z.optional(Embedding),
  promotion: z.prefault(Promotion, {}),
  aliases: z._default(
    z.array(Alias).check(z.maxLength(MAX_ALIASES), z.refine(hasNoDuplicate, "must not repeat one")),
    [],
  ),
});
export type RoutePolicy = z.infer<typeof RoutePolicy>;

/** A policy as it is sent: an editor's `$schema` may be in it, and is left out of what is published. */
export const PolicyDocument = z.extend(RoutePolicy, { $schema: z.optional(z.string().check(z.maxLength(2_000))) });

/** One published version of a route, with the facts of each target (same order) resolved at publication. */
export const RouteRecord = z.strictObject({
  env: z.string(),
  name: z.string().check(z.regex(RESOURCE_NAME)),
  version: z.int(),
  created_at: z.string(),
  actor: z.string(),
  policy: RoutePolicy,
  facts: z.array(ModelFacts),
});
export type RouteRecord = z.infer<typeof RouteRecord>;

/** The routes of an environment: all that the model list shows. */
export const RouteIndex = z.array(
  z.object({
    name: z.string(),
    version: z.int(),
    created_at: z.string(),
    description: z.optional(z.string()),
    /** Absent in entries that were published before there were aliases. */
    aliases: z.optional(z.array(z.string())),
    /** Present for a route that embeds. */
    embedding: z.optional(Embedding),
    targets: z.array(z.object({ provider: z.string(), model: z.string(), facts: ModelFacts })),
  }),
);
export type RouteIndex = z.infer<typeof RouteIndex>;

export const routeKey = (env: string, name: string, version?: number): string =>
  version === undefined ? `route:${env}:${name}` : `route:${env}:${name}@${version}`;
export const routeIndexKey = (env: string): string => `routes:${env}`;
