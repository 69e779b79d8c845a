/**
 * By which rule a provider counts the tokens of a picture or of sound, for the models whose rule is known.
 *
 * Rules only: `pricing/media.ts` turns them into ceilings. A model that no row fits has no rule of its own, and the
 * most that is known of any applies.
 */

/** How a picture is counted. */
export type ImageRule =
  /** `base` tokens and so many per tile, at most `tiles` of them. */
  | { readonly kind: "tiles"; readonly base: number; readonly perTile: number; readonly tiles: number }
  /** So many tokens per patch, at most `patches` of them. */
  | { readonly kind: "patches"; readonly perPatch: number; readonly patches: number };

export interface MediaRow {
  /** Absent: every provider that serves the model. */
  readonly providers?: readonly string[];
  /** Matched in the id as it goes on the wire, without any `provider.` or `maker/` before it. */
  readonly model: RegExp;
  readonly image: ImageRule;
  readonly source: string;
}

const OPENAI = "https://developers.openai.com/api/docs/guides/images-vision#calculating-costs";

/**
 * A picture in tiles is first fitted into 2048 x 2048 and then to 768 on its shorter side, which leaves 2 x 4 tiles of
 * 512 at most.
 */
const openAiTiles = (base: number, perTile: number): ImageRule => ({ kind: "tiles", base, perTile, tiles: 8 });
/** Patches of 32 x 32, and the largest multiplier seen in bills or documents for models of that size. */
const openAiPatches = (patches: number, perPatch: number): ImageRule => ({ kind: "patches", patches, perPatch });

/** The first row that fits counts. */
const ROWS: readonly MediaRow[] = [
  { model: /^gpt-4o-mini/, image: openAiTiles(2_833, 5_667), source: OPENAI },
  {
    model: /^(?:gpt-4\.1-(?:mini|nano)|gpt-5-(?:mini|nano)|o4-mini)/,
    image: openAiPatches(1_536, 2.46),
    source: OPENAI,
  },
  { model: /^gpt-4\.1/, image: openAiPatches(1_536, 1), source: OPENAI },
  { model: /^(?:gpt-4o|gpt-4-turbo|gpt-4\.5)/, image: openAiTiles(85, 170), source: OPENAI },
  { model: /^(?:o1|o3)(?:-|$)/, image: openAiTiles(75, 150), source: OPENAI },
  { model: /^computer-use-preview/, image: openAiTiles(65, 129), source: OPENAI },
  // Some of these are counted in tiles (70 and 140) and some in patches, with a multiplier of 1.2 in bills.
  { model: /^gpt-5(?:\.[0-3])?(?:-|$)/, image: openAiPatches(1_536, 2.46), source: OPENAI },
  // `detail: "original"`.
  { model: /^gpt-(?:5\.\d|[6-9])/, image: openAiPatches(10_000, 2.46), source: OPENAI },
  {
    // Visual tokens of 28 x 28: 1,568 of them up to a long edge of 1568, since Opus 4.7 4,784 up to one of 2576.
    model: /^claude-/,
    image: { kind: "patches", patches: 4_784, perPatch: 1 },
    source: "https://platform.claude.com/docs/en/build-with-claude/vision",
  },
  {
    // Fitted into 3072 x 3072, then cut into tiles whose edge is the shorter side by 1.5, 256 at least: a band of
    // 3072 x 384 makes 24. From the third generation on a picture is 2,240 at its finest.
    model: /^gemini-/,
    image: { kind: "tiles", base: 0, perTile: 258, tiles: 24 },
    source: "https://ai.google.dev/gemini-api/docs/image-understanding#token-calculation",
  },
  {
    // Tiles of 448 x 448, six of them and one of the whole, 256 tokens each.
    model: /^grok-/,
    image: { kind: "tiles", base: 256, perTile: 256, tiles: 6 },
    source: "https://docs.x.ai/docs/guides/image-understanding",
  },
  {
    // Patches of 16 x 16 of a picture that is fitted into 1540 x 1540, and a break behind every row.
    providers: ["mistral"],
    model: /./,
    image: { kind: "patches", patches: 97 * 98, perPatch: 1 },
    source: "https://docs.mistral.ai/capabilities/vision/",
  },
  {
    // `vl_high_resolution_images`.
    providers: ["alibaba"],
    model: /^qwen/,
    image: { kind: "patches", patches: 16_386, perPatch: 1 },
    source: "https://www.alibabacloud.com/help/en/model-studio/vision",
  },
];

/** The rule for a picture; `undefined`: none is known. */
export function imageRuleOf(provider: string, model: string): ImageRule | undefined {
  const name = bareName(model);
  return ROWS.find(({ providers, model: fits }) => (providers?.includes(provider) ?? true) && fits.test(name))?.image;
}

/** `us.anthropic.claude-opus-5` and `openai/gpt-5` are the models of that maker. */
function bareName(model: string): string {
  const name = model.slice(model.lastIndexOf("/") + 1).toLowerCase();
  return /^(?:[a-z-]{2,10}\.)?(?:anthropic|openai|google|xai)\.(.*)$/.exec(name)?.[1] ?? name;
}

/** Tokens of a second of sound, by provider. */
const AUDIO_TOKENS_PER_SECOND: Readonly<Record<string, number>> = {
  // https://developers.openai.com/api/docs/guides/realtime-costs: one per 100 ms of input.
  openai: 10,
  azure: 10,
  // https://ai.google.dev/gemini-api/docs/audio: 32.
  google: 32,
  // https://www.alibabacloud.com/help/en/model-studio/qwen-omni: 25.
  alibaba: 25,
};

export function audioTokensPerSecondOf(provider: string): number | undefined {
  return Object.hasOwn(AUDIO_TOKENS_PER_SECOND, provider) ? AUDIO_TOKENS_PER_SECOND[provider] : undefined;
}

/**
 * Providers that fetch an address and look themselves at what it holds: there a picture is one only where the address
 * says so. https://ai.google.dev/gemini-api/docs/file-input-methods.
 */
const READS_ANY_ADDRESS: ReadonlySet<string> = new Set(["google"]);

export function readsAnyAddress(provider: string): boolean {
  return READS_ANY_ADDRESS.has(provider);
}
