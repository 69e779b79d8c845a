/**
 * What the families of models behind Converse can do, by model id.
 *
 * Converse hides most differences, not these. An id that names no family (an application inference profile's ARN) is
 * taken for a recent model, and gets no model-specific fields except the ones the policy writes itself.
 */

export interface ModelTraits {
  readonly family: "claude" | "nova" | "openai" | "mistral" | "other" | "unknown";
  /** How reasoning is asked for. `budget`: tokens; `adaptive`: an effort; `any`: both. */
  readonly reasoning: "none" | "budget" | "any" | "adaptive" | "nova" | "effort";
  /** Efforts above `high` that an adaptive model knows. */
  readonly highestEffort: "high" | "max" | "xhigh";
  /** JSON Schema output and strict tools by constrained decoding. */
  readonly structuredOutput: boolean;
  readonly caching: "none" | "prompt" | "prompt_and_tools";
  /** `toolChoice` as a whole, and its form that names one tool. */
  readonly toolChoice: "none" | "any" | "tool";
}

/** https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html lists who can; these families cannot. */
const WITHOUT_STRUCTURED_OUTPUT =
  /^(?:amazon|meta|cohere|ai21|writer|stability)\.|^deepseek\.r1|^mistral\.(?:mistral-7b|mixtral|mistral-(?:large|small)-24|pixtral)/;
/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html: `any` and `tool` are not for all. */
const WITHOUT_TOOL_CHOICE = /^(?:meta|cohere|ai21|writer)\./;
const KNOWN_FAMILY =
  /^(?:amazon|meta|cohere|ai21|writer|stability|deepseek|mistral|google|minimax|moonshot(?:ai)?|nvidia|openai|qwen|xai|zai|anthropic)\./;
/** Geography or scope of a cross-region inference profile. */
const PROFILE_PREFIX = /^(?:us|us-gov|eu|apac|au|jp|ca|sa|me|af|global)\./;

export function traitsOf(modelId: string): ModelTraits {
  const name = modelId
    .toLowerCase()
    .slice(modelId.lastIndexOf("/") + 1)
    .replace(PROFILE_PREFIX, "");
  const claude = claudeVersion(name);
  if (claude !== null) return claudeTraits(name, claude);
  const isKnown = KNOWN_FAMILY.test(name);
  const plain: ModelTraits = {
    family: isKnown ? "other" : "unknown",
    reasoning: "none",
    highestEffort: "high",
    structuredOutput: !WITHOUT_STRUCTURED_OUTPUT.test(name),
    caching: isKnown ? "none" : "prompt_and_tools",
    toolChoice: WITHOUT_TOOL_CHOICE.test(name) ? "none" : "tool",
  };
  if (name.startsWith("amazon.nova")) {
    return { ...plain, family: "nova", caching: "prompt", reasoning: name.includes("nova-2") ? "nova" : "none" };
  }
  if (name.startsWith("openai.")) return { ...plain, family: "openai", reasoning: "effort" };
  if (name.startsWith("mistral.")) return { ...plain, family: "mistral", toolChoice: "any" };
  return plain;
}

/** Major × 100 + minor; `null` for another family. A name without a number is newer than any rule here. */
function claudeVersion(name: string): number | null {
  const at = name.indexOf("claude");
  if (at === -1) return null;
  const rest = name.slice(at);
  if (/^claude-(?:v\d|instant)/.test(rest)) return 200;
  const match = /^claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)/.exec(rest);
  return match === null ? 9900 : Number(match[1]) * 100 + Number(match[2] ?? 0);
}

/**
 * https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html: budgets from 3.7,
 * efforts from 4.6, budgets refused from 4.7.
 */
function claudeTraits(name: string, version: number): ModelTraits {
  const reasoning = version < 307 ? "none" : version < 406 ? "budget" : version < 407 ? "any" : "adaptive";
  const caches = version >= 305 && !name.includes("claude-3-5-sonnet-20240620");
  return {
    family: "claude",
    reasoning,
    highestEffort: version >= 407 ? "xhigh" : name.includes("opus") ? "max" : "high",
    structuredOutput: version >= 405,
    caching: caches ? "prompt_and_tools" : "none",
    toolChoice: "tool",
  };
}
