/**
 * What a fresh local instance starts with: the policies of the three example routes.
 *
 * Providers whose secret is set come first, in the order of the table. The sandbox always comes last, twice, so that
 * every route answers and falls back on a machine without a single account.
 */

export const SEED_ENVIRONMENTS = ["production", "staging"] as const;
export type SeedEnvironment = (typeof SEED_ENVIRONMENTS)[number];

interface SeedProvider {
  readonly provider: string;
  /** The secret without which the provider cannot be called. */
  readonly secret: string;
  /** Its strongest general model, for reasoning and for agents. */
  readonly deep: string;
  /** Its cheap and quick model. */
  readonly fast: string;
}

/** Providers that need no more than a secret, and models that can call tools. Some of them have no simple price. */
const PROVIDERS: readonly SeedProvider[] = [
  { provider: "openai", secret: "OPENAI_API_KEY", deep: "gpt-5.2", fast: "gpt-5-mini" },
  {
    provider: "anthropic",
    secret: "ANTHROPIC_API_KEY",
    deep: "claude-opus-5-5",
    fast: "claude-haiku-4-5-20251001",
  },
  { provider: "google", secret: "GEMINI_API_KEY", deep: "gemini-2.5-pro", fast: "gemini-3.5-flash-lite" },
  { provider: "xai", secret: "XAI_API_KEY", deep: "grok-4.7", fast: "grok-4.20-0309-non-reasoning" },
  { provider: "moonshot", secret: "MOONSHOT_API_KEY", deep: "kimi-k3", fast: "kimi-k2.5" },
  { provider: "deepseek", secret: "DEEPSEEK_API_KEY", deep: "deepseek-v4-pro", fast: "deepseek-flash" },
  { provider: "mistral", secret: "MISTRAL_API_KEY", deep: "magistral-medium-latest", fast: "mistral-small-2506" },
  { provider: "zai", secret: "ZAI_API_KEY", deep: "glm-5.1", fast: "glm-4.5-air" },
  { provider: "groq", secret: "GROQ_API_KEY", deep: "openai/gpt-oss-120b", fast: "openai/gpt-oss-20b" },
  { provider: "cerebras", secret: "CEREBRAS_API_KEY", deep: "zai-glm-4.7", fast: "gpt-oss-120b" },
  { provider: "together", secret: "TOGETHER_API_KEY", deep: "zai-org/GLM-5.2", fast: "openai/gpt-oss-20b" },
  {
    provider: "fireworks",
    secret: "FIREWORKS_API_KEY",
    deep: "accounts/fireworks/models/glm-5p2",
    fast: "accounts/fireworks/models/gpt-oss-20b",
  },
  { provider: "openrouter", secret: "OPENROUTER_API_KEY", deep: "openai/gpt-5.2", fast: "openai/gpt-5-mini" },
];
/** Providers that answer fastest go first where speed is the point. */
const FASTEST_FIRST: readonly string[] = ["groq", "cerebras"];

interface SeedTarget {
  readonly provider: string;
  readonly model: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

export interface SeedPolicy {
  readonly description: string;
  readonly targets: readonly SeedTarget[];
  readonly tools?: { readonly auto_approve: readonly string[] };
}

const sandbox = (...models: string[]): SeedTarget[] => models.map((model) => ({ provider: "sandbox", model }));

function rankForSpeed(seeded: SeedProvider): number {
  const rank = FASTEST_FIRST.indexOf(seeded.provider);
  return rank < 0 ? FASTEST_FIRST.length : rank;
}

/** Route name to policy. `isSet` says whether a secret of that name is configured and not empty. */
export function seedRoutes(isSet: (secret: string) => boolean): Readonly<Record<string, SeedPolicy>> {
  const providers = PROVIDERS.filter((provider) => isSet(provider.secret));
  const deep = providers.map(({ provider, deep: model }) => ({ provider, model }));
  const fast = providers
    .toSorted((left, right) => rankForSpeed(left) - rankForSpeed(right))
    .map(({ provider, fast: model }) => ({ provider, model }));
  return {
    "best-reasoning": {
      description: "Deep reasoning: the strongest approved model first.",
      targets: [...deep, ...sandbox("deep-1", "deep-2")],
    },
    "fast-eval": {
      description: "Evaluation runs and batch jobs: quick and cheap first.",
      targets: [...fast, ...sandbox("fast-1", "fast-2")],
    },
    "agent-reasoning": {
      description: "Model steps of tool-using agents.",
      targets: [...deep, ...sandbox("agent-1", "agent-2")],
      tools: { auto_approve: ["search_*"] },
    },
  };
}
