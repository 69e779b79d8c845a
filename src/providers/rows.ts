/**
 * Vendors that speak OpenAI's protocol: one row each, and nothing else to add one.
 *
 * A row lists only how a vendor differs from OpenAI. What is not listed is forwarded as it came, because the vendor is
 * the better judge of its own fields. No live call stands behind a row, only the vendor's page in `source`.
 */
import type { UpstreamFailure } from "./adapter.ts";

export type LimitField = "max_tokens" | "max_completion_tokens";

export interface HistoryRules {
  /** The name of thoughts as plain text; `none` where they are refused. Default: as the client wrote them. */
  readonly reasoning?: "reasoning" | "reasoning_content" | "none";
  /** Entries of `reasoning_details` that stay: those whose `format` begins so, or `any` but ours. Default: none. */
  readonly details?: string;
  /** Content parts of type `thinking` are known. */
  readonly thinkingParts?: true;
  /** Ids of tool calls are nine letters or digits. */
  readonly callIds?: "nine";
  /** Members removed where they are null or empty: SDKs send them back, and a strict schema refuses them. */
  readonly drop?: readonly string[];
}

export interface ProviderRow {
  readonly id: string;
  /** The vendor's page on its API. */
  readonly source: string;
  /** Version path included. `{NAME}` stands for the variable of that name. Absent: only the operator knows it. */
  readonly baseUrl?: string;
  /** Behind the base URL. Default `/chat/completions`. */
  readonly chatPath?: string;
  /** Behind the base URL, where the provider documents OpenAI's Responses API. */
  readonly responsesPath?: string;
  /** Names of the secret. The first one that is set is used. */
  readonly secrets: readonly string[];
  /** The vendor may be called without a secret. */
  readonly keyless?: true;
  /** Spellings of the token limit that the vendor reads, its own first; others are renamed. Default `max_tokens`. */
  readonly limit?: readonly [LimitField, ...LimitField[]];
  /** Usage comes with every stream, and `stream_options` is refused. Default: it has to be asked for. */
  readonly usageAlways?: true;
  /** The role `developer` is known. Default: it is written as `system`, its older name. */
  readonly developerRole?: true;
  /** Members under another name. */
  readonly rename?: Readonly<Record<string, string>>;
  /** Values under another spelling: member, then OpenAI's word, then the vendor's. */
  readonly spell?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Members removed: the vendor refuses or ignores them, or they name who else may answer. Kept where `cannot` says so. */
  readonly drop?: readonly string[];
  /**
   * What cannot be had here: a member, or `json_schema`. A member that asks for something is never dropped, so that
   * the vendor refuses it aloud when it is the only candidate.
   */
  readonly cannot?: readonly string[];
  /** How it wants earlier answers written. What other vendors alone can read is taken out in any case. */
  readonly history?: HistoryRules;
  /**
   * Its streams need no mending: every frame is a chunk, calls have index and id, and a finish reason stands before
   * `[DONE]`. The value is the page, or the recordings, that show it. Default: streams are read event by event.
   */
  readonly clean?: string;
  /** Finish reasons that only this provider has, in OpenAI's spelling; `error` where the answer is broken. */
  readonly finishWords?: Readonly<Record<string, string>>;
  /** Error codes that only this vendor has, and what they mean. */
  readonly codes?: Readonly<Record<string, UpstreamFailure["class"]>>;
}

/** https://docs.z.ai/api-reference/llm/chat-completion: the answer was refused, and inference failed. */
const ZHIPU_ENDS = { sensitive: "content_filter", network_error: "error" } as const;

const SDK_BLANKS = ["refusal", "annotations", "audio", "function_call"] as const;
const PENALTIES = ["presence_penalty", "frequency_penalty"] as const;
const LOGPROBS = ["logprobs", "top_logprobs"] as const;

/** One account system, two hosts. 1113: no balance, sent with 429. */
const ZHIPU_CODES = { "1113": "auth", "1261": "context_length", "1301": "content_filter" } as const;

/** Sent in `base_resp` with status 200. */
const MINIMAX_CODES = {
  "1001": "timeout",
  "1002": "rate_limited",
  "1004": "auth",
  "1008": "auth",
  "1026": "content_filter",
  "1027": "content_filter",
  "1039": "rate_limited",
  "2013": "invalid_request",
  "2049": "auth",
} as const;

/** Its answers need mending, see `workers-ai.ts`. */
export const WORKERS_AI_ROW: ProviderRow = {
  id: "workers-ai",
  source: "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
  baseUrl: "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
  secrets: ["CLOUDFLARE_API_TOKEN"],
  drop: ["store"],
  // https://developers.cloudflare.com/workers-ai/platform/errors/; 5021 and 4006 as reported by users.
  codes: {
    "3003": "invalid_request",
    "3006": "invalid_request",
    "3007": "timeout",
    "3008": "timeout",
    "3023": "auth",
    "3036": "auth",
    "3039": "auth",
    "3040": "rate_limited",
    "3041": "auth",
    "3042": "auth",
    "4006": "auth",
    "5004": "invalid_request",
    "5005": "auth",
    "5007": "auth",
    "5016": "auth",
    "5018": "auth",
    "5019": "auth",
    "5021": "context_length",
    "10000": "auth",
  },
};

export const ROWS: readonly ProviderRow[] = [
  {
    id: "openai",
    source: "https://developers.openai.com/api/reference/resources/chat",
    baseUrl: "https://api.openai.com/v1",
    responsesPath: "/responses",
    secrets: ["OPENAI_API_KEY"],
    clean: "https://platform.openai.com/docs/api-reference/chat-streaming",
    // Reasoning models refuse `max_tokens`, and every chat model reads the newer name: one spelling serves all.
    limit: ["max_completion_tokens"],
    developerRole: true,
    // Members it does not know are refused, and thoughts are not sent back on this API.
    history: { reasoning: "none" },
  },
  {
    id: "groq",
    source: "https://console.groq.com/docs/openai",
    baseUrl: "https://api.groq.com/openai/v1",
    secrets: ["GROQ_API_KEY"],
    clean:
      "https://console.groq.com/docs/text-chat#streaming-a-chat-completion, and recordings of text and tool streams",
    limit: ["max_completion_tokens", "max_tokens"],
    drop: [...LOGPROBS, "logit_bias"],
    cannot: ["n", ...LOGPROBS, "logit_bias"],
    // https://console.groq.com/docs/reasoning: `reasoning_content` is refused in a message.
    history: { reasoning: "reasoning" },
  },
  {
    id: "mistral",
    source: "https://docs.mistral.ai/api/endpoint/chat",
    baseUrl: "https://api.mistral.ai/v1",
    secrets: ["MISTRAL_API_KEY"],
    usageAlways: true,
    rename: { seed: "random_seed" },
    spell: { tool_choice: { required: "any" } },
    // Any member that is not in its schema is refused with 422.
    drop: [...LOGPROBS, "logit_bias", "user", "store", "metadata", "service_tier"],
    cannot: [...LOGPROBS, "logit_bias"],
    history: { reasoning: "none", thinkingParts: true, callIds: "nine", drop: SDK_BLANKS },
  },
  {
    id: "deepseek",
    source: "https://api-docs.deepseek.com/api/create-chat-completion",
    baseUrl: "https://api.deepseek.com",
    secrets: ["DEEPSEEK_API_KEY"],
    drop: ["store"],
    cannot: ["json_schema"],
    // https://api-docs.deepseek.com/api/create-chat-completion: the request was interrupted.
    finishWords: { insufficient_system_resource: "error" },
    // https://api-docs.deepseek.com/guides/thinking_mode: wanted back on turns with tool calls.
    history: { reasoning: "reasoning_content" },
  },
  {
    id: "xai",
    source: "https://docs.x.ai/developers/rest-api-reference/inference/chat",
    baseUrl: "https://api.x.ai/v1",
    secrets: ["XAI_API_KEY"],
    limit: ["max_completion_tokens", "max_tokens"],
    drop: [...PENALTIES, "logit_bias", "store"],
    cannot: [...PENALTIES, "logit_bias"],
  },
  {
    id: "together",
    source: "https://docs.together.ai/reference/chat-completions-1",
    baseUrl: "https://api.together.xyz/v1",
    secrets: ["TOGETHER_API_KEY"],
    drop: ["store"],
  },
  {
    id: "fireworks",
    source: "https://docs.fireworks.ai/api-reference/post-chatcompletions",
    baseUrl: "https://api.fireworks.ai/inference/v1",
    secrets: ["FIREWORKS_API_KEY"],
    spell: { reasoning_effort: { minimal: "low", xhigh: "high" } },
  },
  {
    id: "openrouter",
    source: "https://openrouter.ai/docs/api-reference/chat-completion",
    baseUrl: "https://openrouter.ai/api/v1",
    secrets: ["OPENROUTER_API_KEY"],
    limit: ["max_tokens", "max_completion_tokens"],
    developerRole: true,
    // https://openrouter.ai/docs/guides/routing/model-fallbacks: other models answer, at prices nothing was held for.
    drop: ["models"],
    // https://openrouter.ai/docs/use-cases/reasoning-tokens: its own entries must come back as they were.
    history: { details: "any" },
  },
  {
    id: "cerebras",
    source: "https://inference-docs.cerebras.ai/api-reference/chat-completions",
    baseUrl: "https://api.cerebras.ai/v1",
    secrets: ["CEREBRAS_API_KEY"],
    limit: ["max_completion_tokens"],
    drop: [...PENALTIES, "logit_bias", "store"],
    cannot: [...PENALTIES, "logit_bias"],
    // https://inference-docs.cerebras.ai/capabilities/reasoning: `reasoning_content` is refused with 400.
    history: { reasoning: "reasoning", drop: SDK_BLANKS },
  },
  {
    id: "perplexity",
    source: "https://docs.perplexity.ai/api-reference/chat-completions-post",
    baseUrl: "https://api.perplexity.ai",
    secrets: ["PERPLEXITY_API_KEY"],
    usageAlways: true,
    drop: ["tools", "tool_choice", "n", "logit_bias", "seed"],
    cannot: ["tools", "n", "logit_bias"],
  },
  {
    id: "nvidia",
    source: "https://docs.api.nvidia.com/nim/reference/llm-apis",
    baseUrl: "https://integrate.api.nvidia.com/v1",
    secrets: ["NVIDIA_API_KEY"],
    drop: ["store"],
  },
  {
    id: "moonshot",
    source: "https://platform.kimi.ai/docs/api/chat",
    baseUrl: "https://api.moonshot.ai/v1",
    secrets: ["MOONSHOT_API_KEY"],
    drop: ["store"],
    history: { reasoning: "reasoning_content" },
  },
  {
    id: "zai",
    source: "https://docs.z.ai/api-reference/llm/chat-completion",
    baseUrl: "https://api.z.ai/api/paas/v4",
    secrets: ["ZAI_API_KEY", "ZHIPU_API_KEY"],
    drop: ["store"],
    cannot: ["json_schema"],
    finishWords: ZHIPU_ENDS,
    codes: ZHIPU_CODES,
  },
  {
    id: "zhipu",
    source: "https://docs.bigmodel.cn/api-reference",
    baseUrl: "https://open.bigmodel.cn/api/paas/v4",
    secrets: ["ZHIPU_API_KEY"],
    drop: ["store"],
    cannot: ["json_schema"],
    finishWords: ZHIPU_ENDS,
    codes: ZHIPU_CODES,
  },
  {
    id: "minimax",
    source: "https://platform.minimax.io/docs/api-reference/text-openai-api",
    baseUrl: "https://api.minimax.io/v1",
    secrets: ["MINIMAX_API_KEY"],
    drop: ["store"],
    codes: MINIMAX_CODES,
    history: { details: "minimax" },
  },
  {
    id: "alibaba",
    source: "https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api",
    baseUrl: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    secrets: ["DASHSCOPE_API_KEY"],
    drop: ["store"],
    codes: { data_inspection_failed: "content_filter" },
  },
  {
    id: "deepinfra",
    source: "https://deepinfra.com/docs/openai_api",
    baseUrl: "https://api.deepinfra.com/v1/openai",
    secrets: ["DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"],
    cannot: ["n"],
  },
  {
    id: "sambanova",
    source: "https://docs.sambanova.ai/docs/en/api-reference/overview",
    baseUrl: "https://api.sambanova.ai/v1",
    secrets: ["SAMBANOVA_API_KEY"],
    drop: ["n", ...LOGPROBS, "logit_bias", ...PENALTIES, "seed", "store"],
    cannot: ["n", ...LOGPROBS, "logit_bias", ...PENALTIES],
  },
  {
    id: "huggingface",
    source: "https://huggingface.co/docs/inference-providers/tasks/chat-completion",
    baseUrl: "https://router.huggingface.co/v1",
    secrets: ["HF_TOKEN"],
  },
  {
    id: "novita",
    source: "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
    baseUrl: "https://api.novita.ai/openai",
    chatPath: "/v1/chat/completions",
    secrets: ["NOVITA_API_KEY"],
  },
  {
    id: "nebius",
    source: "https://docs.tokenfactory.nebius.com/api-reference/introduction",
    baseUrl: "https://api.tokenfactory.nebius.com/v1",
    secrets: ["NEBIUS_API_KEY"],
  },
  {
    id: "baseten",
    source: "https://docs.baseten.co/development/model-apis/overview",
    baseUrl: "https://inference.baseten.co/v1",
    secrets: ["BASETEN_API_KEY"],
  },
  {
    id: "siliconflow",
    source: "https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
    baseUrl: "https://api.siliconflow.com/v1",
    secrets: ["SILICONFLOW_API_KEY"],
  },
  {
    id: "meta",
    source: "https://llama.developer.meta.com/docs/features/compatibility",
    baseUrl: "https://api.llama.com/compat/v1",
    secrets: ["LLAMA_API_KEY"],
  },
  WORKERS_AI_ROW,
  {
    id: "ollama",
    source: "https://docs.ollama.com/api/openai-compatibility",
    secrets: ["OLLAMA_API_KEY"],
    keyless: true,
  },
  {
    id: "vllm",
    source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
    secrets: ["VLLM_API_KEY"],
    keyless: true,
    limit: ["max_completion_tokens", "max_tokens"],
  },
];
