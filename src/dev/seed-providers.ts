/**
 * Providers as a local start knows them: the variables that configure each, and the models its routes begin with. In the
 * order in which they are tried. A test keeps the list equal to the provider table; a new provider needs a row here.
 */

export interface SeedProvider {
  readonly provider: string;
  /** Each set of variables with which the provider can be called, as in the provider table. */
  readonly needs: readonly (readonly string[])[];
  /** Its strongest general model, for reasoning and for agents. */
  readonly deep: string;
  /** Its cheap and quick model. */
  readonly fast: string;
  /** `false`: its models call no tools, so agents do not get them. */
  readonly tools?: false;
  /** The models depend on what the server has loaded: the first that it lists takes the place of both. */
  readonly asksServer?: true;
}

type Models = Omit<SeedProvider, "provider" | "needs">;

const row = (provider: string, needs: string | readonly (readonly string[])[], models: Models): SeedProvider => ({
  provider,
  needs: typeof needs === "string" ? [[needs]] : needs,
  ...models,
});

const OSS = { deep: "openai/gpt-oss-120b", fast: "openai/gpt-oss-20b" };

export const SEED_PROVIDERS: readonly SeedProvider[] = [
  row("openai", "OPENAI_API_KEY", { deep: "gpt-5.2", fast: "gpt-5-mini" }),
  row("anthropic", "ANTHROPIC_API_KEY", { deep: "claude-opus-5-5", fast: "claude-haiku-4-5-20251001" }),
  row("google", [["GEMINI_API_KEY"], ["GOOGLE_API_KEY"], ["GOOGLE_GENERATIVE_AI_API_KEY"]], {
    deep: "gemini-2.5-pro",
    fast: "gemini-3.5-flash-lite",
  }),
  row("xai", "XAI_API_KEY", { deep: "grok-4.7", fast: "grok-4.20-0309-non-reasoning" }),
  row("moonshot", "MOONSHOT_API_KEY", { deep: "kimi-k3", fast: "kimi-k2.5" }),
  row("deepseek", "DEEPSEEK_API_KEY", { deep: "deepseek-v4-pro", fast: "deepseek-flash" }),
  row("mistral", "MISTRAL_API_KEY", { deep: "magistral-medium-latest", fast: "mistral-small-2506" }),
  row("zai", [["ZAI_API_KEY"], ["ZHIPU_API_KEY"]], { deep: "glm-5.1", fast: "glm-4.5-air" }),
  row("groq", "GROQ_API_KEY", OSS),
  row("cerebras", "CEREBRAS_API_KEY", { deep: "zai-glm-4.7", fast: "gpt-oss-120b" }),
  row("together", "TOGETHER_API_KEY", { deep: "zai-org/GLM-5.2", fast: "openai/gpt-oss-20b" }),
  row("fireworks", "FIREWORKS_API_KEY", {
    deep: "accounts/fireworks/models/glm-5p2",
    fast: "accounts/fireworks/models/gpt-oss-20b",
  }),
  row("openrouter", "OPENROUTER_API_KEY", { deep: "openai/gpt-5.2", fast: "openai/gpt-5-mini" }),
  row("cohere", "COHERE_API_KEY", { deep: "command-a-plus-05-2026", fast: "command-a-03-2025" }),
  // A deployment carries the name of its model unless its owner chose another one.
  row(
    "azure",
    [
      ["AZURE_API_KEY", "AZURE_RESOURCE_NAME"],
      ["AZURE_API_KEY", "AZURE_BASE_URL"],
    ],
    { deep: "gpt-5.4", fast: "gpt-5.4-mini" },
  ),
  row(
    "bedrock",
    [
      ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION"],
      ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"],
      ["AWS_BEARER_TOKEN_BEDROCK", "BEDROCK_BASE_URL"],
    ],
    { deep: "global.anthropic.claude-opus-5", fast: "global.anthropic.claude-haiku-4-5-20251001-v1:0" },
  ),
  row("alibaba", "DASHSCOPE_API_KEY", { deep: "qwen3.8-max", fast: "qwen3.8-flash" }),
  row("minimax", "MINIMAX_API_KEY", { deep: "MiniMax-M3", fast: "MiniMax-M2.5-highspeed" }),
  row("zhipu", "ZHIPU_API_KEY", { deep: "glm-5.2", fast: "glm-4.5-air" }),
  row("nvidia", "NVIDIA_API_KEY", { deep: "nvidia/nemotron-3-ultra-550b-a55b", fast: "deepseek-ai/deepseek-v4-flash" }),
  row("deepinfra", [["DEEPINFRA_API_KEY"], ["DEEPINFRA_TOKEN"]], {
    deep: "zai-org/GLM-5.2",
    fast: "deepseek-ai/DeepSeek-V4-Flash",
  }),
  row("sambanova", "SAMBANOVA_API_KEY", { deep: "DeepSeek-V3.2", fast: "gpt-oss-120b" }),
  row("huggingface", "HF_TOKEN", { deep: "zai-org/GLM-5.2", fast: "deepseek-ai/DeepSeek-V4-Flash" }),
  row("novita", "NOVITA_API_KEY", { deep: "zai-org/glm-5.2", fast: "deepseek/deepseek-v4-flash" }),
  row("nebius", "NEBIUS_API_KEY", { deep: "zai-org/GLM-5.2", fast: "openai/gpt-oss-120b" }),
  row("baseten", "BASETEN_API_KEY", { deep: "zai-org/GLM-5.2", fast: "openai/gpt-oss-120b" }),
  row("siliconflow", "SILICONFLOW_API_KEY", { deep: "zai-org/GLM-5.2", fast: "deepseek-ai/DeepSeek-V4-Flash" }),
  row("meta", "LLAMA_API_KEY", {
    deep: "llama-4-maverick-17b-128e-instruct-fp8",
    fast: "llama-3.3-8b-instruct",
  }),
  row("perplexity", "PERPLEXITY_API_KEY", { deep: "sonar-reasoning-pro", fast: "sonar", tools: false }),
  row(
    "workers-ai",
    [
      ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"],
      ["CLOUDFLARE_API_TOKEN", "WORKERS_AI_BASE_URL"],
    ],
    { deep: "@cf/zai-org/glm-5.2", fast: "@cf/openai/gpt-oss-20b" },
  ),
  row("ollama", "OLLAMA_BASE_URL", { deep: "gpt-oss:20b", fast: "gpt-oss:20b", asksServer: true }),
  row("vllm", "VLLM_BASE_URL", { deep: "openai/gpt-oss-20b", fast: "openai/gpt-oss-20b", asksServer: true }),
];

/** Providers that answer fastest go first where speed is the point. */
export const FASTEST_FIRST: readonly string[] = ["groq", "cerebras"];

/**
 * Credentials that other tools on a developer's machine use too: `wrangler deploy`, the AWS tools. Taking them from the
 * process environment would send requests to a bill that was not meant, so they count in `.dev.vars` only.
 */
export const SHARED_CREDENTIALS: readonly string[] = [
  ...["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CLOUDFLARE_API_TOKEN"],
];

/** Settings that go with a credential and configure nothing alone. */
const COMPANIONS = ["OLLAMA_API_KEY", "VLLM_API_KEY", "AZURE_API_VERSION"];
const POOL_SIZE = 9;

const baseUrlName = (provider: string): string => `${provider.toUpperCase().replaceAll("-", "_")}_BASE_URL`;

/** Every variable of a provider that a process environment may bring, pools of credentials included. */
export function providerVariables(): ReadonlySet<string> {
  const needed = SEED_PROVIDERS.flatMap(({ needs }) => needs.flat());
  const pools = needed
    .filter((name) => /(?:KEY|TOKEN)$/.test(name))
    .flatMap((name) => Array.from({ length: POOL_SIZE - 1 }, (_, at) => `${name}_${at + 2}`));
  const addresses = SEED_PROVIDERS.map(({ provider }) => baseUrlName(provider));
  return new Set([...needed, ...pools, ...addresses, ...COMPANIONS, ...SHARED_CREDENTIALS]);
}
