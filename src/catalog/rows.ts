/**
 * The hand-kept first table of models and prices, as of 2026-11-22.
 *
 * Only models whose price is one number per kind of token. A model with context tiers, hours, thinking or request fees
 * is left out: unpriced is honest, and a price that holds only sometimes is not. Prices are those of the vendor's
 * default service tier.
 *
 * Source: values on which at least two of models.dev, LiteLLM, Portkey models, genai-prices, catwalk and ruby_llm
 * agree (snapshots of 2026-07-02 to 2026-08-21, see NOTICE); Kimi K3: platform.kimi.ai/docs/pricing/chat-k3.
 */

/**
 * Id on the wire, context window, largest output, capability letters (`t` tools, `s` JSON schema, `v` vision; a letter
 * that is missing is unknown), then pico-USD per token: input, output, cached input. Last, other ids of the same model
 * at the same price. `null` is unknown; without a price of their own cached tokens cost as input.
 */
export type CatalogRow = readonly [
  id: string,
  contextWindow: number,
  maxOutputTokens: number | null,
  capabilities: string,
  input: number,
  output: number,
  cacheRead: number | null,
  aliases?: readonly string[],
];

/** Rows by provider id. */
export const CATALOG_ROWS: Readonly<Record<string, readonly CatalogRow[]>> = {
  openai: [
    ["gpt-4o", 128_000, 16_384, "tsv", 2_500_000, 10_000_000, 1_250_000, ["gpt-4o-2024-08-06", "gpt-4o-2024-11-20"]],
    ["gpt-4o-mini", 128_000, 16_384, "tsv", 150_000, 600_000, 75_000, ["gpt-4o-mini-2024-07-18"]],
    ["gpt-4.1", 1_047_576, 32_768, "tsv", 2_000_000, 8_000_000, 500_000, ["gpt-4.1-2025-04-14"]],
    ["gpt-4.1-mini", 1_047_576, 32_768, "tsv", 400_000, 1_600_000, 100_000, ["gpt-4.1-mini-2025-04-14"]],
    ["gpt-5", 400_000, 128_000, "tsv", 1_250_000, 10_000_000, 125_000, ["gpt-5-2025-08-07"]],
    ["gpt-5-mini", 400_000, 128_000, "tsv", 250_000, 2_000_000, 25_000, ["gpt-5-mini-2025-08-07"]],
    ["gpt-5-nano", 400_000, 128_000, "tsv", 50_000, 400_000, 5_000, ["gpt-5-nano-2025-08-07"]],
    ["gpt-5.1", 400_000, 128_000, "tsv", 1_250_000, 10_000_000, 125_000, ["gpt-5.1-2025-11-13"]],
    ["gpt-5.1-chat-latest", 128_000, 16_384, "tsv", 1_250_000, 10_000_000, 125_000],
    ["gpt-5.2", 400_000, 128_000, "tsv", 1_750_000, 14_000_000, 175_000, ["gpt-5.2-2025-12-11"]],
    ["gpt-5.2-chat-latest", 128_000, 16_384, "tsv", 1_750_000, 14_000_000, 175_000],
    ["gpt-5.3-chat-latest", 128_000, 16_384, "tsv", 1_750_000, 14_000_000, 175_000],
    ["o3", 200_000, 100_000, "tsv", 2_000_000, 8_000_000, 500_000, ["o3-2025-04-16"]],
  ],
  groq: [
    ["llama-3.1-8b-instant", 131_072, 131_072, "t", 50_000, 80_000, null],
    ["llama-3.3-70b-versatile", 131_072, 32_768, "t", 590_000, 790_000, null],
    ["meta-llama/llama-4-scout-17b-16e-instruct", 131_072, 8_192, "tsv", 110_000, 340_000, null],
    ["moonshotai/kimi-k2-instruct-0905", 131_072, 16_384, "ts", 1_000_000, 3_000_000, 500_000],
    ["openai/gpt-oss-120b", 131_072, 65_536, "ts", 150_000, 600_000, 75_000],
    ["openai/gpt-oss-20b", 131_072, 65_536, "ts", 75_000, 300_000, 37_500],
    ["qwen/qwen3-32b", 131_072, 40_960, "t", 290_000, 590_000, null],
  ],
  mistral: [
    ["magistral-medium-latest", 128_000, 16_384, "ts", 2_000_000, 5_000_000, null],
    ["magistral-small", 128_000, 128_000, "t", 500_000, 1_500_000, null, ["magistral-small-latest"]],
    ["mistral-nemo", 128_000, 128_000, "t", 150_000, 150_000, null],
    ["mistral-small-2506", 128_000, 16_384, "tv", 100_000, 300_000, null],
    ["open-mixtral-8x22b", 64_000, 64_000, "ts", 2_000_000, 6_000_000, null],
    ["pixtral-12b", 128_000, 128_000, "tv", 150_000, 150_000, null, ["pixtral-12b-2409"]],
    ["pixtral-large-latest", 128_000, 128_000, "tsv", 2_000_000, 6_000_000, null],
  ],
  together: [
    ["MiniMaxAI/MiniMax-M2.7", 202_752, 131_072, "ts", 300_000, 1_200_000, 60_000],
    ["Qwen/Qwen2.5-7B-Instruct-Turbo", 32_768, 32_768, "ts", 300_000, 300_000, null],
    ["Qwen/Qwen3-235B-A22B-Thinking-2507", 256_000, null, "ts", 650_000, 3_000_000, null],
    ["Qwen/Qwen3-235B-A22B-fp8-tput", 40_000, null, "", 200_000, 600_000, null],
    ["deepseek-ai/DeepSeek-V3.1", 128_000, 16_384, "t", 600_000, 1_700_000, null],
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072, 131_072, "ts", 880_000, 880_000, null],
    ["moonshotai/Kimi-K2.6", 262_144, 131_000, "tsv", 1_200_000, 4_500_000, 200_000],
    ["openai/gpt-oss-120b", 131_072, 131_072, "ts", 150_000, 600_000, null],
    ["openai/gpt-oss-20b", 131_072, 131_072, "ts", 50_000, 200_000, null],
    ["zai-org/GLM-5.2", 262_144, 164_000, "ts", 1_400_000, 4_400_000, 260_000],
  ],
  fireworks: [
    ["accounts/fireworks/models/deepseek-v3p2", 163_840, 163_840, "ts", 560_000, 1_680_000, 280_000],
    [
      "accounts/fireworks/models/deepseek-v4-flash",
      1_000_000,
      384_000,
      "ts",
      140_000,
      280_000,
      28_000,
      ["accounts/fireworks/models/deepseek-v4-flash-0731", "deepseek-v4-flash"],
    ],
    [
      "accounts/fireworks/models/deepseek-v4-pro",
      1_000_000,
      384_000,
      "ts",
      1_740_000,
      3_480_000,
      145_000,
      ["deepseek-v4-pro"],
    ],
    ["accounts/fireworks/models/glm-4p7", 202_752, 202_800, "ts", 600_000, 2_200_000, 300_000, ["glm-4p7"]],
    ["accounts/fireworks/models/glm-5p1", 202_800, 131_072, "ts", 1_400_000, 4_400_000, 260_000, ["glm-5p1"]],
    ["accounts/fireworks/models/glm-5p2", 1_040_000, 131_072, "ts", 1_400_000, 4_400_000, 140_000, ["glm-5p2"]],
    ["accounts/fireworks/models/gpt-oss-120b", 131_072, 32_768, "ts", 150_000, 600_000, 14_000, ["gpt-oss-120b"]],
    ["accounts/fireworks/models/gpt-oss-20b", 131_072, 32_768, "ts", 70_000, 300_000, 35_000, ["gpt-oss-20b"]],
    ["accounts/fireworks/models/kimi-k2p5", 262_144, 262_144, "ts", 600_000, 3_000_000, 100_000, ["kimi-k2p5"]],
    ["accounts/fireworks/models/kimi-k2p6", 262_000, 262_000, "tsv", 950_000, 4_000_000, 160_000, ["kimi-k2p6"]],
    [
      "accounts/fireworks/models/kimi-k2p7-code",
      262_000,
      262_000,
      "tsv",
      950_000,
      4_000_000,
      190_000,
      ["kimi-k2p7-code"],
    ],
    ["accounts/fireworks/models/minimax-m2p7", 196_608, 196_608, "ts", 300_000, 1_200_000, 60_000, ["minimax-m2p7"]],
    ["accounts/fireworks/models/minimax-m3", 512_000, 512_000, "ts", 300_000, 1_200_000, 60_000, ["minimax-m3"]],
    ["accounts/fireworks/models/qwen3p7-plus", 262_144, 65_536, "tsv", 400_000, 1_600_000, 80_000, ["qwen3p7-plus"]],
  ],
  cerebras: [
    ["gemma-4-31b", 131_072, null, "tv", 990_000, 1_490_000, null],
    ["gpt-oss-120b", 131_072, 40_960, "ts", 350_000, 750_000, null],
    ["zai-glm-4.7", 131_072, 40_960, "ts", 2_250_000, 2_750_000, null],
  ],
  moonshot: [
    ["kimi-k2.5", 262_144, 262_144, "tsv", 600_000, 3_000_000, 100_000],
    ["kimi-k2.6", 262_144, 262_144, "tsv", 950_000, 4_000_000, 160_000],
    ["kimi-k2.7-code", 262_144, 262_144, "tsv", 950_000, 4_000_000, 190_000],
    ["kimi-k2.7-code-highspeed", 262_144, 262_144, "tsv", 1_900_000, 8_000_000, 380_000],
    ["kimi-k3", 1_048_576, 131_072, "tsv", 3_000_000, 15_000_000, 300_000],
    ["moonshot-v1-8k", 8_192, 8_192, "ts", 200_000, 2_000_000, null],
    ["moonshot-v1-32k", 32_768, 32_768, "ts", 1_000_000, 3_000_000, null],
    ["moonshot-v1-128k", 131_072, 131_072, "ts", 2_000_000, 5_000_000, null],
  ],
  zai: [
    ["glm-4.5", 131_072, 98_304, "t", 600_000, 2_200_000, 110_000],
    ["glm-4.5-air", 131_072, 98_304, "t", 200_000, 1_100_000, 30_000],
    ["glm-4.5-flash", 131_072, 98_304, "t", 0, 0, 0],
    ["glm-4.5v", 64_000, 16_384, "tv", 600_000, 1_800_000, 110_000],
    ["glm-4.6", 204_800, 131_072, "t", 600_000, 2_200_000, 110_000],
    ["glm-4.6v", 128_000, 32_768, "tv", 300_000, 900_000, 50_000],
    ["glm-4.7", 204_800, 131_072, "t", 600_000, 2_200_000, 110_000],
    ["glm-4.7-flashx", 200_000, 131_072, "t", 70_000, 400_000, 10_000],
    ["glm-5", 204_800, 131_072, "t", 1_000_000, 3_200_000, 200_000],
    ["glm-5-turbo", 200_000, 131_072, "ts", 1_200_000, 4_000_000, 240_000],
    ["glm-5.1", 200_000, 131_072, "ts", 1_400_000, 4_400_000, 260_000],
  ],
  openrouter: [
    [
      "openai/gpt-4o",
      128_000,
      16_384,
      "tsv",
      2_500_000,
      10_000_000,
      1_250_000,
      ["openai/gpt-4o-2024-08-06", "openai/gpt-4o-2024-11-20"],
    ],
    ["openai/gpt-4o-mini", 128_000, 16_384, "tsv", 150_000, 600_000, 75_000, ["openai/gpt-4o-mini-2024-07-18"]],
    ["openai/gpt-4.1", 1_047_576, 32_768, "tsv", 2_000_000, 8_000_000, 500_000],
    ["openai/gpt-4.1-mini", 1_047_576, 32_768, "tsv", 400_000, 1_600_000, 100_000],
    ["openai/gpt-5", 400_000, 128_000, "tsv", 1_250_000, 10_000_000, 125_000],
    ["openai/gpt-5-mini", 400_000, 128_000, "tsv", 250_000, 2_000_000, 25_000],
    ["openai/gpt-5-nano", 400_000, 128_000, "tsv", 50_000, 400_000, 5_000],
    ["openai/gpt-5.1", 400_000, 128_000, "tsv", 1_250_000, 10_000_000, 125_000],
    ["openai/gpt-5.2", 400_000, 128_000, "tsv", 1_750_000, 14_000_000, 175_000],
    ["openai/gpt-5.3-codex", 400_000, 128_000, "tsv", 1_750_000, 14_000_000, 175_000],
    ["openai/gpt-5.4-mini", 400_000, 128_000, "tsv", 750_000, 4_500_000, 75_000],
    ["openai/o3", 200_000, 100_000, "tsv", 2_000_000, 8_000_000, 500_000],
    ["mistralai/mistral-large-2512", 262_144, 262_144, "tsv", 500_000, 1_500_000, 50_000],
  ],
  deepinfra: [
    ["deepseek-ai/DeepSeek-R1-0528", 163_840, 64_000, "t", 500_000, 2_150_000, 350_000],
    ["deepseek-ai/DeepSeek-V3.2", 163_840, 64_000, "t", 260_000, 380_000, 130_000],
    ["deepseek-ai/DeepSeek-V4-Flash", 1_048_576, 16_384, "ts", 100_000, 200_000, 20_000],
    ["deepseek-ai/DeepSeek-V4-Pro", 1_048_576, 16_384, "ts", 1_300_000, 2_600_000, 100_000],
    ["meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", 1_048_576, 16_384, "v", 150_000, 600_000, null],
    ["moonshotai/Kimi-K2.6", 262_144, 16_384, "tsv", 750_000, 3_500_000, 150_000],
    ["zai-org/GLM-5.1", 202_752, 16_384, "ts", 1_050_000, 3_500_000, 205_000],
  ],
};
