/**
 * What the Claude generations differ in, read from the model's name.
 *
 * Pure. The provider refuses with 400 what a generation does not know, so the same request must be written differently
 * for each. A name without a readable version is treated as a current model, and nothing is written for it that only
 * some generations accept.
 */

export interface ClaudeTraits {
  /** How thinking is switched on; `unknown` for a name that says nothing: what the client wrote is passed on. */
  readonly thinking: "none" | "budget" | "adaptive" | "unknown";
  /** `thinking.type: "enabled"` is accepted. */
  readonly takesBudget: boolean;
  /** Thinks unless it is switched off. */
  readonly thinksByDefault: boolean;
  /** Thinking cannot be switched off. */
  readonly thinksAlways: boolean;
  /** `tool_choice` may be `any` or `tool`. */
  readonly takesForcedTool: boolean;
  /** A conversation may end with the assistant, whose text the model then goes on with. */
  readonly takesPrefill: boolean;
  /** Checks that a thinking block comes back behind what it was made behind; takes `thinking.block_binding`. */
  readonly bindsThinking: boolean;
  /** Accepted values of `output_config.effort`, ascending. */
  readonly efforts: readonly string[];
  /** `temperature`, `top_p` and `top_k` are refused. */
  readonly fixedSampling: boolean;
  /** `temperature` and `top_p` exclude each other. */
  readonly oneSampler: boolean;
  /** `output_config.format` and `strict` tools are there. */
  readonly nativeSchema: boolean;
  /** `role: "system"` may stand inside the conversation. */
  readonly systemTurns: boolean;
  /** Written as `max_tokens` where no limit was set. */
  readonly defaultMaxTokens: number;
}

/** Every value of `output_config.effort`, ascending. */
export const EFFORTS: readonly string[] = ["low", "medium", "high", "xhigh", "max"];

/**
 * The API demands a limit, OpenAI's clients rarely send one, and a low one would cut answers by accident. 32,000
 * is the least that any model of version 4 and later allows (Opus 4.1), so it is never refused there.
 * https://platform.claude.com/docs/en/about-claude/models/overview
 */
const DEFAULT_MAX_TOKENS = 32_000;

const UNKNOWN: ClaudeTraits = {
  thinking: "unknown",
  takesBudget: true,
  thinksByDefault: false,
  thinksAlways: false,
  takesForcedTool: true,
  takesPrefill: false,
  bindsThinking: false,
  efforts: EFFORTS,
  fixedSampling: false,
  oneSampler: false,
  nativeSchema: true,
  systemTurns: false,
  defaultMaxTokens: DEFAULT_MAX_TOKENS,
};

/** `claude-opus-4-5-20251101`, and the older order `claude-3-5-sonnet-20241022`. A date is not a version. */
const NEW_ORDER = /claude-([a-z]+)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?/;
const OLD_ORDER = /claude-(\d{1,2})(?:[-.](\d{1,2}))?-([a-z]+)/;

interface ModelName {
  readonly family: string;
  /** Major times 100 plus minor: 405 for 4.5. */
  readonly version: number;
}

function nameOf(model: string): ModelName | null {
  const name = model.toLowerCase().slice(0, 200);
  if (name.includes("claude-mythos-preview")) return { family: "mythos", version: 500 };
  const old = OLD_ORDER.exec(name);
  if (old !== null) return { family: old[3] ?? "", version: Number(old[1]) * 100 + Number(old[2] ?? 0) };
  const found = NEW_ORDER.exec(name);
  if (found === null) return null;
  return { family: found[1] ?? "", version: Number(found[2]) * 100 + Number(found[3] ?? 0) };
}

/**
 * https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting (which thinking a model takes),
 * …/build-with-claude/effort, …/structured-outputs, …/mid-conversation-system-messages, …/preserved-thinking, …/models/
 * opus-5-5/whats-new-opus-5-5 (forced tools, which Fable 5.1 refuses too) and the migration guide (prefill).
 */
export function traitsOf(model: string): ClaudeTraits {
  const name = nameOf(model);
  if (name === null) return UNKNOWN;
  const { family, version } = name;
  const thinksAlways = family === "fable" || family === "mythos" || version >= 505;
  return {
    thinking: version < 307 ? "none" : version < 406 ? "budget" : "adaptive",
    takesBudget: version >= 307 && version < 407,
    thinksByDefault: version >= 500,
    thinksAlways,
    takesForcedTool: version < 501,
    takesPrefill: version < 406,
    bindsThinking: version >= 501,
    efforts: effortsOf(family, version),
    fixedSampling: version >= 407,
    oneSampler: version >= 401 && version < 407,
    nativeSchema: version >= 405,
    systemTurns: version >= 408,
    defaultMaxTokens: version < 305 ? 4_096 : version < 307 ? 8_192 : DEFAULT_MAX_TOKENS,
  };
}

function effortsOf(family: string, version: number): readonly string[] {
  if (version >= 407) return EFFORTS;
  if (version >= 406) return ["low", "medium", "high", "max"];
  return version === 405 && family === "opus" ? ["low", "medium", "high"] : [];
}
