/**
 * Refusals that another provider would not share: they name a member, a value, a tool or a schema that this provider or
 * this model does not take.
 *
 * Pure. Codes decide where there are any; words decide for the many providers that give none. A provider may quote the
 * client's own text: at worst a request that no target can serve is tried once more, so no pattern here blames a
 * target.
 */
import { isJsonObject } from "../lib/json.ts";

export interface RefusalDetails {
  /** Lower case. */
  readonly codes: readonly string[];
  readonly message: string | undefined;
  readonly param: string | undefined;
}

export interface MemberRefusal {
  /** `AdapterCall.without` for one more try at the same target, where nothing asked for would be missing. */
  readonly retryWithout: string | undefined;
}

/** The member itself is unknown. */
const UNKNOWN_CODES: ReadonlySet<string> = new Set([
  ...["unknown_parameter", "unsupported_parameter", "unrecognized_parameter", "extra_forbidden", "wrong_api_format"],
  ...["unknown_field", "unexpected_parameter", "parameter_not_supported", "unsupportedparameter", "unsupported_field"],
]);

/** The member is known, and its value, the tool or the schema is not for this model. */
const VALUE_CODES: ReadonlySet<string> = new Set([
  ...["unsupported_value", "unsupported_model_parameter", "invalid_function_parameters", "invalid_json_schema"],
  ...["invalid_schema", "unsupported_schema", "array_above_max_length", "empty_array", "string_above_max_length"],
  ...[
    "unsupported_file",
    "unsupported_file_type",
    "unsupported_image_media_type",
    "image_too_large",
    "too_many_images",
  ],
  // A picture that one provider cannot read or fetch.
  ...["invalid_image_format", "invalid_image_url", "image_too_small", "failed_to_download_image"],
  // Thoughts that another account or provider encrypted.
  "invalid_encrypted_content",
  ...["unsupported_content_type", "unsupported_message_role", "unsupported_tool", "unsupported_modality"],
  // Types of faults that pydantic names (https://docs.pydantic.dev/latest/errors/validation_errors/).
  ...["literal_error", "enum", "string_pattern_mismatch", "union_tag_invalid", "too_long", "string_too_long"],
]);

const UNKNOWN_WORDS: readonly RegExp[] = [
  /^Unrecognized request arguments? supplied\b/i,
  /\b(?:unknown|unrecognized|unexpected|unsupported|extra) (?:request )?(?:parameter|argument|field|property|name|keyword|key)s?\b/i,
  /\bExtra inputs are not permitted\b|\badditional propert(?:y|ies)\b[^.]{0,40}\bnot allowed\b/i,
  /\bproperty ['"`][\w.[\]-]{1,100}['"`] is (?:unsupported|not supported)\b/i,
  /\b(?:parameter|argument|field|property)s?:? ['"`]?[\w.[\]-]{1,100}['"`]? (?:is|are) not (?:supported|allowed|permitted|recognized)\b/i,
  /\bdoes not support (?:the )?(?:parameter|argument|field|option|property)s?\b/i,
  /\bunknown field `/i,
];

const VALUE_WORDS: readonly RegExp[] = [
  /^Unsupported (?:value|parameter)\b/i,
  /\b(?:is|are) (?:not supported|unsupported|not available|not compatible|incompatible|not enabled)\b/i,
  /\b(?:does|do) not support\b|\bdoesn't support\b|\bnot supported (?:for|by|with|on|in|when)\b/i,
  /^invalid \w{1,40}: only\b|\bonly the default\b|\bonly \S{1,40} (?:is|are) (?:allowed|supported)\b/i,
  /\bcannot be (?:used|combined|set|specified) (?:with|together|when|for)\b/i,
  /\b(?:for|with|by|on|in) (?:this|the (?:requested|selected|specified)) model\b/i,
  /\b(?:is|are|be) only (?:allowed|supported|available|enabled|set|\w{2,12}able) (?:for|when|by|with|in|to)\b/i,
  /\bis enabled only for\b|\bis unavailable now\b|\b\w{1,40} only supports? (?!up to\b)\w/i,
  /^['"`]?[a-z]\w{1,40}['"`]?:? must be one of\b|\bvalid range of \w{1,40} is\b|^Invalid [a-z]+_[a-z_]{1,40} (?:argument|value)\b/i,
  /\bwhen thinking is enabled\b|\binvalid (?:reasoning|thinking)|\b(?:reasoning|thinking) (?:budget|effort|level)\b.{0,60}\binvalid\b/i,
  /\bmust be verified to\b|\borgani[sz]ation has not enabled\b/i,
  /\b(?:cannot|can not|may not) both be \w|\bmay not be (?:used|set|enabled|specified)\b/i,
  /\bmust be (?:set to )?['"`]?(?:true|false|enabled|disabled)\b/i,
  // Schemas and tools.
  /\binput_schema\b|\bnesting depth\b|\b(?:json )?schema\b[^.]{0,60}\b(?:nest|depth|deep)/i,
  /^Invalid schema for\b|\bschema is too (?:large|complex)\b|\bgrammar is too large\b|\binvalid (?:json )?schema\b/i,
  /^Invalid '(?:tools|functions|tool_choice|response_format)\b|\b(?:function|tool) name is invalid\b/i,
  /\bjson[ _]schema\b.{0,40}\bnot (?:supported|valid)\b|\bnot a valid \w{1,40} flavou?red json schema\b/i,
  // OpenAI's own rule for JSON, which Alibaba shares.
  /\bmust contain the word ['"`]?json\b/i,
  /\btool choice requires\b|\btoo many tools\b|\bmaximum of \d{1,6} tools\b/i,
  // Kinds of content, as serde, vLLM and others say it.
  /\bvalue must be one of \["|\bone of the following must be satisfied\b/i,
  /\bunknown variant `|\bis not a multimodal model\b|\bAt most \d{1,4} (?:image|audio|video)/i,
  // An address that one provider cannot fetch.
  /\b(?:unable|failed) to (?:download|fetch)\b|\bcannot fetch\b|\berror while downloading\b/i,
  /\b(?:image|audio|video|file)s? (?:input )?(?:is|are) not (?:supported|allowed)\b/i,
  // Roles and their order, where they are one provider's own rule.
  /^(?:Last message must have role|Expected last role|Unexpected role)\b|\bshould alternate with\b/i,
  /\b(?:invalid|unsupported|unknown) role\b|\bfunction call turn comes immediately after\b/i,
  /^Conversation roles must alternate\b|\bsystem (?:role|message)s?\b.{0,30}\b(?:not supported|at the beginning|not allowed)\b/i,
  // A turn of the assistant's that says nothing, which others take or leave out.
  /\b(?:role ['"`]assistant['"`] must not be empty|content (?:or|and) tool_calls|text content is empty)\b/i,
  /^Tool call id was\b|\btool_call_id\b.{0,40}\b(?:length|at most|characters|pattern)\b/i,
  // Thoughts that have to come back.
  /\bExpected `thinking` or `redacted_thinking`|\bmust start with a thinking block\b/i,
  /\breasoning_content\b.{0,60}\b(?:missing|must be passed back|required|must be provided)\b/i,
  /\bmissing (?:field )?`?reasoning_content\b/i,
  // Limits of one model.
  /^['`"]?max_(?:completion_)?tokens['`"]?.{0,60}\b(?:too large|less than or equal|exceeds|at most|greater than)\b/i,
  /^No endpoints found\b/i,
];

const MAX_READ = 1_000;

/** `null`: a refusal of what every provider would refuse, or none of these. For 400, 404, 413 and 422 only. */
export function memberRefusal({ codes, message = "", param }: RefusalDetails): MemberRefusal | null {
  const words = message.slice(0, MAX_READ);
  const isUnknown = codes.some((code) => UNKNOWN_CODES.has(code)) || UNKNOWN_WORDS.some((each) => each.test(words));
  const isValue = codes.some((code) => VALUE_CODES.has(code)) || VALUE_WORDS.some((each) => each.test(words));
  if (!isUnknown && !isValue) return null;
  const member = memberIn(param) ?? memberNamed(words);
  const isHarmless = member !== undefined && (isUnknown ? !CONTENT.has(member) : HARMLESS.has(member));
  return { retryWithout: isHarmless ? member : undefined };
}

/** Members of a request that say what is asked for, or what it may cost: never left out behind the client's back. */
const CONTENT: ReadonlySet<string> = new Set([
  ...["model", "messages", "tools", "functions", "n", "modalities", "audio", "stream", "response_format", "stop"],
  ...["tool_choice", "function_call", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "service_tier"],
  ...["frequency_penalty", "web_search_options", "validation_error", "messages.role", "messages.content"],
  ...["messages.tool_calls", "messages.tool_call_id", "messages.function_call", "input", "prompt", "body"],
]);

/** Members without which the answer stays what was asked for, also where their value alone is refused. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...["temperature", "top_p", "top_k", "min_p", "seed", "user", "metadata", "store", "verbosity", "reasoning_effort"],
  ...["prompt_cache_key", "prompt_cache_retention", "safety_identifier", "stream_options", "prediction", "thinking"],
  ...["reasoning", "reasoning_format", "include_reasoning", "parallel_tool_calls", "cache_control", "strict"],
  ...["messages.name", "messages.reasoning_content", "messages.reasoning", "messages.reasoning_details"],
  ...["messages.refusal", "messages.annotations", "messages.prefix"],
]);

/** A path of the provider's as a name for `AdapterCall.without`. */
function memberIn(path: string | undefined): string | undefined {
  if (path === undefined || path.length > 200 || !/^[\w.[\]*-]+$/.test(path)) return undefined;
  const segments = path.split(/[.[\]]/).filter((each) => each !== "" && !ROLES.has(each));
  while (segments[0] === "body" || segments[0] === "request") segments.shift();
  const last = segments.at(-1);
  if (last === undefined || last === "validation_error") return undefined;
  if (segments.includes("cache_control")) return "cache_control";
  if (last === "strict") return "strict";
  // xAI names members as its own code spells them.
  if (segments.length === 1) return last.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const [first, at = "", member] = segments;
  return first === "messages" && /^\d+$|^\*$/.test(at) && segments.length === 3 ? `messages.${member}` : undefined;
}

/** Cerebras puts the role of a message into the path. */
const ROLES: ReadonlySet<string> = new Set(["system", "user", "assistant", "tool"]);

const NAMED: readonly RegExp[] = [
  // Fireworks and Mistral, xAI, and NVIDIA.
  /\bExtra inputs are not permitted, field: ['"`]([\w.[\]-]{1,100})/i,
  /\b(?:argument|parameter) not supported on this model: (\w{1,40})/i,
  /\bUnsupported parameter\(s\): ['"`]?([\w.[\]-]{1,100})/i,
  /^['"`]?([a-z]\w{1,40})['"`]?:? must be one of\b/i,
  /^Unrecognized request arguments? supplied: ([\w.]{1,100})\s*$/i,
  /^Unsupported (?:value|parameter): ['"`]([\w.[\]-]{1,100})['"`]/i,
  /\bproperty ['"`]([\w.[\]-]{1,100})['"`] is\b/i,
  /^invalid ([a-z]\w{1,40}): only\b/i,
  /\b(?:unknown|unrecognized|unexpected|unsupported|extra) (?:request )?(?:parameter|argument|field|property|name|keyword|key)s?:? ['"`[]{0,2}([\w.[\]-]{1,100})/i,
  /\b(?:parameter|argument|field|property)s?:? ['"`]?([\w.[\]-]{1,100})['"`]? (?:is|are) not\b/i,
  /\bdoes not support (?:the )?(?:parameter|argument|field|option|property)s?:? ?['"`[]{0,2}([\w.[\]-]{1,100})/i,
  /^['"`]([\w.[\]-]{1,100})['"`] (?:is|does) not\b/i,
  /^([a-z]\w{1,40}_\w{1,40}) (?:is|does) not support/i,
  /\bdoes not support ['"`]?([a-z]+_[a-z_]+)\b/i,
];

function memberNamed(words: string): string | undefined {
  if (/\bgrammar is too large\b|\btoo many strict\b|\bschema is too (?:large|complex)\b/i.test(words)) return "strict";
  for (const pattern of NAMED) {
    const member = memberIn(pattern.exec(words)?.[1]);
    if (member !== undefined) return member;
  }
  return undefined;
}

/** Does the request have what it is to be sent without? Once more the very same request would be refused again. */
export function hasMember(fields: Readonly<Record<string, unknown>>, without: string): boolean {
  switch (without) {
    case "max_tokens":
    case "max_completion_tokens":
      // One of them is written wherever the policy has a bound.
      return true;
    case "stream_options":
      return fields["stream"] === true;
    case "strict":
    case "cache_control":
      return JSON.stringify([fields["tools"], fields["response_format"], fields["messages"]]).includes(`"${without}"`);
    default: {
      if (!without.startsWith("messages.")) return fields[without] !== undefined;
      const member = without.slice("messages.".length);
      const messages = fields["messages"];
      return Array.isArray(messages) && messages.some((each) => isJsonObject(each) && each[member] !== undefined);
    }
  }
}
