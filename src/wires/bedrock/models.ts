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
  /** Thinks unless it is switched off. */
  readonly thinksByDefault: boolean;
  /** Thinking cannot be switched off. */
  readonly thinksAlways: boolean;
  /** Signed thoughts are bound to what stood before them, and a mismatch is an error unless the request says otherwise. */
  readonly bindsThinking: boolean;
  /** JSON Schema output and strict tools by constrained decoding. */
  readonly structuredOutput: boolean;
  readonly caching: "none" | "prompt" | "prompt_and_tools";
  /** How a call can be forced: not at all, any of the tools, or one by name. */
  readonly forcesTool: "none" | "any" | "tool";
  /** `auto` may be written. */
  readonly takesToolChoice: boolean;
  /** The conversation may end with words of the assistant's, which the model goes on with. */
  readonly continuesAssistant: boolean;
  /** `temperature` and `top_p` exclude each other. */
  readonly oneSampler: boolean;
  /** `temperature`, `top_p` and `top_k` are refused. */
  readonly fixedSampling: boolean;
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
  const choosesTools = !WITHOUT_TOOL_CHOICE.test(name);
  const plain: ModelTraits = {
    family: isKnown ? "other" : "unknown",
    reasoning: "none",
    highestEffort: "high",
    ...{ thinksByDefault: false, thinksAlways: false, bindsThinking: false },
    structuredOutput: !WITHOUT_STRUCTURED_OUTPUT.test(name),
    caching: isKnown ? "none" : "prompt_and_tools",
    forcesTool: choosesTools ? "tool" : "none",
    takesToolChoice: choosesTools,
    ...{ continuesAssistant: true, oneSampler: false, fixedSampling: false },
  };
  if (name.startsWith("amazon.nova")) {
    return { ...plain, family: "nova", caching: "prompt", reasoning: name.includes("nova-2") ? "nova" : "none" };
  }
  if (name.startsWith("openai.")) return { ...plain, family: "openai", reasoning: "effort" };
  if (name.startsWith("mistral.")) return { ...plain, family: "mistral", forcesTool: "any" };
  return plain;
}

/** A name without a number is newer than any rule here. */
const NEWEST = 9900;

/** Major × 100 + minor; `null` for another family. */
function claudeVersion(name: string): number | null {
  const at = name.indexOf("claude");
  if (at === -1) return null;
  const rest = name.slice(at);
  if (/^claude-(?:v\d|instant)/.test(rest)) return 200;
  const match = /^claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)/.exec(rest);
  return match === null ? NEWEST : Number(match[1]) * 100 + Number(match[2] ?? 0);
}

/**
 * https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html: budgets from 3.7,
 * efforts from 4.6, budgets refused from 4.7. …/model-parameters-anthropic-claude-messages-request-response.html: one
 * sampler from 4.5. …/claude-messages-thinking-block-binding.html: bound thoughts from 5.1.
 * https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5 and …/fable-5-1/migration-guide: no forced
 * call from 5.5, and from 5.1 of the families that always think. A conversation that ends with the assistant is refused
 * from 4.6: https://github.com/anomalyco/opencode/issues/13768.
 */
function claudeTraits(name: string, version: number): ModelTraits {
  const reasoning = version < 307 ? "none" : version < 406 ? "budget" : version < 407 ? "any" : "adaptive";
  const caches = version >= 305 && !name.includes("claude-3-5-sonnet-20240620");
  const alwaysThinks = /fable|mythos/.test(name);
  return {
    family: "claude",
    reasoning,
    highestEffort: version >= 407 ? "xhigh" : name.includes("opus") ? "max" : "high",
    thinksByDefault: version >= 500,
    thinksAlways: alwaysThinks || (version >= 505 && !name.includes("haiku")),
    bindsThinking: version >= 501 && version < NEWEST,
    structuredOutput: version >= 405,
    caching: caches ? "prompt_and_tools" : "none",
    forcesTool: version >= 505 || (alwaysThinks && version >= 501) ? "none" : "tool",
    takesToolChoice: true,
    continuesAssistant: version < 406,
    oneSampler: version >= 405 && version < 407,
    fixedSampling: version >= 407,
  };
}
