/**
 * The wires that providers speak, one row each: who speaks it, what its model costs, and how it answers. A new wire is
 * a row.
 *
 * Prices are the providers' list prices, written here a second time on purpose: what the scripted provider bills must
 * not come from the router's own table.
 */

export interface AttackTarget {
  readonly provider: string;
  /** Has a price in the catalogue. */
  readonly model: string;
  /** USD per million tokens. */
  readonly usd: { readonly input: number; readonly output: number };
  /** Above so many tokens of a prompt the dearer prices hold. */
  readonly dearer?: { readonly above: number; readonly input: number; readonly output: number };
  /** The most that the model answers where nobody caps it. */
  readonly maxOutput: number;
  /** The most that one picture counts, by the provider's own formula. */
  readonly imageTokens: number;
  /** Secrets and settings besides the base URL. */
  readonly vars: Readonly<Record<string, string>>;
}

const SECRET = "sk-attack0123456789abcdefattack0123456789";
/** Nothing that a client reads may hold it. */
export const ATTACK_SECRET = SECRET;

const row = (
  provider: string,
  model: string,
  [input, output, maxOutput, imageTokens]: readonly [number, number, number, number],
  vars: Readonly<Record<string, string>>,
  dearer?: AttackTarget["dearer"],
): AttackTarget => ({
  ...{ provider, model, usd: { input, output }, maxOutput, imageTokens, vars },
  ...(dearer === undefined ? {} : { dearer }),
});

export const TARGETS: readonly AttackTarget[] = [
  row("openai", "gpt-4o", [2.5, 10, 16_384, 1_445], { OPENAI_API_KEY: SECRET }),
  row("mistral", "mistral-large-2512", [0.5, 1.5, 262_144, 3_000], { MISTRAL_API_KEY: SECRET }),
  row("openrouter", "openai/gpt-4o", [2.5, 10, 16_384, 1_445], { OPENROUTER_API_KEY: SECRET }),
  row("alibaba", "qwen-max", [1.6, 6.4, 8_192, 1_500], { DASHSCOPE_API_KEY: SECRET }),
  row("anthropic", "claude-sonnet-4-5", [3, 15, 64_000, 1_600], { ANTHROPIC_API_KEY: SECRET }),
  row(
    "google",
    "gemini-2.5-pro",
    [1.25, 10, 65_536, 4_128],
    { GEMINI_API_KEY: SECRET },
    { above: 200_000, input: 2.5, output: 15 },
  ),
  row("bedrock", "amazon.nova-pro-v1:0", [0.8, 3.2, 10_000, 2_000], {
    AWS_BEARER_TOKEN_BEDROCK: SECRET,
    AWS_REGION: "us-east-1",
  }),
  row("cohere", "command-a-03-2025", [2.5, 10, 8_000, 1_500], { COHERE_API_KEY: SECRET }),
];
