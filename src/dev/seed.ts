/**
 * What a fresh local instance starts with: the policies of the three example routes, and one that embeds.
 *
 * Providers that are configured come first, in the order of the table. The sandbox always comes last, twice, so that
 * every route answers and falls back on a machine without a single account.
 */
import { FASTEST_FIRST, SEED_PROVIDERS, type SeedProvider } from "./seed-providers.ts";

export const SEED_ENVIRONMENTS = ["production", "staging"] as const;

/** Between two chunks of a streamed sandbox answer: as fast as a person reads, so that a stream is seen to be one. */
const SANDBOX_PACE = { chunk_interval_ms: 40 };

/** A policy has room for 16 targets, two of them the sandbox's. */
const MAX_PROVIDERS = 14;

interface SeedTarget {
  readonly provider: string;
  readonly model: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly same_space?: true;
}

export interface SeedPolicy {
  readonly description: string;
  readonly targets: readonly SeedTarget[];
  readonly tools?: { readonly auto_approve: readonly string[] };
  readonly embedding?: { readonly space: string };
}

/** Providers that serve the model of the embedding route. Another model's vectors could not be compared with its own. */
const EMBEDDING_MODEL = "text-embedding-3-small";
const EMBEDDING_PROVIDERS = ["openai", "azure"];

const sandbox = (...models: string[]): SeedTarget[] =>
  models.map((model) => ({ provider: "sandbox", model, params: SANDBOX_PACE }));

function rankForSpeed({ provider }: SeedProvider): number {
  const rank = FASTEST_FIRST.indexOf(provider);
  return rank < 0 ? FASTEST_FIRST.length : rank;
}

/**
 * Route name to policy. `isConfigured` says whether a provider can be called, `served` the model that a server of the
 * user's own has, where it said so.
 */
export function seedRoutes(
  isConfigured: (provider: string) => boolean,
  served: ReadonlyMap<string, string> = new Map(),
): Readonly<Record<string, SeedPolicy>> {
  const providers = SEED_PROVIDERS.filter(({ provider }) => isConfigured(provider));
  const targetsOf = (rows: readonly SeedProvider[], kind: "deep" | "fast"): SeedTarget[] =>
    rows
      .slice(0, MAX_PROVIDERS)
      .map((row) => ({ provider: row.provider, model: served.get(row.provider) ?? row[kind] }));
  const bySpeed = providers.toSorted((left, right) => rankForSpeed(left) - rankForSpeed(right));
  const withTools = providers.filter(({ tools }) => tools !== false);
  const embedding = EMBEDDING_PROVIDERS.filter(isConfigured).map((provider) => ({ provider, model: EMBEDDING_MODEL }));
  return {
    "best-reasoning": {
      description: "Deep reasoning: the strongest approved model first.",
      targets: [...targetsOf(providers, "deep"), ...sandbox("deep-1", "deep-2")],
    },
    "fast-eval": {
      description: "Evaluation runs and batch jobs: quick and cheap first.",
      targets: [...targetsOf(bySpeed, "fast"), ...sandbox("fast-1", "fast-2")],
    },
    "agent-reasoning": {
      description: "Model steps of tool-using agents.",
      targets: [...targetsOf(withTools, "deep"), ...sandbox("agent-1", "agent-2")],
      tools: { auto_approve: ["search_*"] },
    },
    embeddings: {
      description: "Vectors of one model, for retrieval.",
      // The sandbox's vectors are none of that model's, so it answers only where there is no other.
      targets: embedding.length > 0 ? embedding : [{ provider: "sandbox", model: EMBEDDING_MODEL, same_space: true }],
      embedding: { space: EMBEDDING_MODEL },
    },
  };
}
