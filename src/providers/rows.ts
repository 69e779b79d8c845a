/**
 * Providers that speak OpenAI's protocol: one row each, and nothing else to add one.
 *
 * A row lists only how a provider differs from OpenAI. What is not listed is forwarded as it came, because the provider is
 * the better judge of its own fields. A row was not tried live: it is taken from the provider's page in `source`.
 */
import type { ProviderRow } from "./provider-row.ts";
import {
  CEREBRAS_KNOWS,
  CEREBRAS_MESSAGES,
  FIREWORKS_KNOWS,
  FIREWORKS_MESSAGES,
  FOREIGN,
  GROQ_KNOWS,
  GROQ_MESSAGES,
  MISTRAL_KNOWS,
  MISTRAL_MESSAGES,
} from "./row-members.ts";

export type { LimitField, ModelLimits, ProviderRow } from "./provider-row.ts";

/** https://docs.z.ai/api-reference/llm/chat-completion: the answer was refused, and inference failed. */
const ZHIPU_ENDS = { sensitive: "content_filter", network_error: "error" } as const;

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

export const ROWS: readonly ProviderRow[] = [
  {
    id: "openai",
    source: "https://developers.openai.com/api/reference/resources/chat",
    baseUrl: "https://api.openai.com/v1",
    responsesPath: "/responses",
    wires: {
      responses: {
        source: "https://platform.openai.com/docs/api-reference/responses-streaming",
        clean: true,
        thoughts: "gAAAA",
        // https://platform.openai.com/docs/api-reference/responses/compact, …/responses/input-tokens
        actions: ["compact", "input_tokens"],
      },
    },
    secrets: ["OPENAI_API_KEY"],
    clean: "https://platform.openai.com/docs/api-reference/chat-streaming",
    // Reasoning models refuse `max_tokens`, and every chat model reads the newer name: one spelling serves all.
    limit: ["max_completion_tokens"],
    developerRole: true,
    drop: FOREIGN,
    customTools: true,
    efforts: "known",
    fixedSampling: true,
    // Members it does not know are refused, and thoughts are not sent back on this API.
    history: { reasoning: "none", callIds: "short" },
  },
  {
    id: "groq",
    source: "https://console.groq.com/docs/openai",
    baseUrl: "https://api.groq.com/openai/v1",
    secrets: ["GROQ_API_KEY"],
    clean:
      "https://console.groq.com/docs/text-chat#streaming-a-chat-completion, and recordings of text and tool streams",
    limit: ["max_completion_tokens", "max_tokens"],
    knows: GROQ_KNOWS,
    knowsOfMessages: GROQ_MESSAGES,
    cannot: ["n", ...LOGPROBS, "logit_bias"],
    efforts: "known",
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
    knows: MISTRAL_KNOWS,
    knowsOfMessages: MISTRAL_MESSAGES,
    cannot: [...LOGPROBS, "logit_bias"],
    efforts: "listed",
    // Its tool messages take the same parts as those of users, and a user may not follow a tool.
    mediaInResults: true,
    history: { reasoning: "none", thinkingParts: true, callIds: "nine", ending: "prefix" },
  },
  {
    id: "deepseek",
    source: "https://api-docs.deepseek.com/api/create-chat-completion",
    baseUrl: "https://api.deepseek.com",
    wires: {
      responses: { source: "recordings of https://api.deepseek.com/responses", clean: true },
      messages: { source: "https://api-docs.deepseek.com/guides/anthropic_api", path: "/anthropic/v1", byApiKey: true },
    },
    secrets: ["DEEPSEEK_API_KEY"],
    drop: ["store"],
    cannot: ["json_schema"],
    // https://api-docs.deepseek.com/api/create-chat-completion: the request was interrupted.
    finishWords: { insufficient_system_resource: "error" },
    // https://api-docs.deepseek.com/guides/thinking_mode: 400 where it is missing once a tool was called.
    history: { reasoning: "reasoning_content", demands: "after calls" },
  },
  {
    id: "xai",
    source: "https://docs.x.ai/developers/rest-api-reference/inference/chat",
    baseUrl: "https://api.x.ai/v1",
    wires: {
      responses: { source: "https://docs.x.ai/docs/api-reference#create-new-response, and recordings", clean: true },
    },
    secrets: ["XAI_API_KEY"],
    limit: ["max_completion_tokens", "max_tokens"],
    drop: ["store"],
    cannot: [...PENALTIES, "logit_bias"],
    // https://docs.x.ai/docs/guides/reasoning: an error for models without the dial.
    efforts: "listed",
  },
  {
    id: "together",
    source: "https://docs.together.ai/reference/chat-completions-1",
    baseUrl: "https://api.together.xyz/v1",
    secrets: ["TOGETHER_API_KEY"],
    drop: ["store"],
    efforts: "known",
  },
  {
    id: "fireworks",
    source: "https://docs.fireworks.ai/api-reference/post-chatcompletions",
    baseUrl: "https://api.fireworks.ai/inference/v1",
    secrets: ["FIREWORKS_API_KEY"],
    knows: FIREWORKS_KNOWS,
    knowsOfMessages: FIREWORKS_MESSAGES,
    spell: { reasoning_effort: { minimal: "low", xhigh: "high" } },
    efforts: "known",
    history: { reasoning: "reasoning_content" },
  },
  {
    id: "openrouter",
    source: "https://openrouter.ai/docs/api-reference/chat-completion",
    baseUrl: "https://openrouter.ai/api/v1",
    wires: {
      responses: { source: "https://openrouter.ai/docs/api/reference/responses/overview" },
      messages: {
        source: "https://openrouter.ai/docs/api/api-reference/anthropic-messages/create-messages",
        path: "/api/v1",
        signsAsAnthropic: true,
      },
    },
    secrets: ["OPENROUTER_API_KEY"],
    limit: ["max_tokens", "max_completion_tokens"],
    developerRole: true,
    // https://openrouter.ai/docs/guides/routing/model-fallbacks: other models answer, at prices nothing was held for.
    drop: ["models"],
    cacheMarks: true,
    customTools: true,
    // https://openrouter.ai/docs/use-cases/reasoning-tokens: its own entries must come back as they were; so may its
    // annotations of files and its pictures.
    history: { details: "any", keeps: ["annotations", "images"] },
  },
  {
    id: "cerebras",
    source: "https://inference-docs.cerebras.ai/api-reference/chat-completions",
    baseUrl: "https://api.cerebras.ai/v1",
    secrets: ["CEREBRAS_API_KEY"],
    limit: ["max_completion_tokens"],
    knows: CEREBRAS_KNOWS,
    knowsOfMessages: CEREBRAS_MESSAGES,
    cannot: [...PENALTIES, "logit_bias"],
    efforts: "known",
    // https://inference-docs.cerebras.ai/capabilities/reasoning: `reasoning_content` is refused with 400.
    history: { reasoning: "reasoning" },
  },
  {
    id: "perplexity",
    source: "https://docs.perplexity.ai/api-reference/chat-completions-post",
    baseUrl: "https://api.perplexity.ai",
    secrets: ["PERPLEXITY_API_KEY"],
    usageAlways: true,
    drop: ["tool_choice", "seed"],
    cannot: ["tools", "n", "logit_bias"],
    // "Last message must have role `user`."
    history: { ending: "turn" },
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
    wires: {
      messages: { source: "https://platform.kimi.ai/docs/guide/agent-support", path: "/anthropic/v1" },
    },
    secrets: ["MOONSHOT_API_KEY"],
    drop: ["store"],
    efforts: "known",
    fixedSampling: true,
    // https://platform.kimi.ai/docs/guide/use-kimi-k2-thinking-model: 400 where it is missing next to calls.
    history: { reasoning: "reasoning_content", demands: "with calls" },
  },
  {
    id: "zai",
    source: "https://docs.z.ai/api-reference/llm/chat-completion",
    baseUrl: "https://api.z.ai/api/paas/v4",
    wires: {
      messages: { source: "https://docs.z.ai/devpack/tool/claude", path: "/api/anthropic/v1" },
    },
    secrets: ["ZAI_API_KEY", "ZHIPU_API_KEY"],
    drop: ["store"],
    efforts: "known",
    cannot: ["json_schema"],
    finishWords: ZHIPU_ENDS,
    codes: ZHIPU_CODES,
  },
  {
    id: "zhipu",
    source: "https://docs.bigmodel.cn/api-reference",
    baseUrl: "https://open.bigmodel.cn/api/paas/v4",
    wires: {
      messages: { source: "https://docs.bigmodel.cn/cn/guide/develop/claude", path: "/api/anthropic/v1" },
    },
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
    wires: {
      messages: {
        source: "https://platform.minimax.io/docs/api-reference/text-anthropic-api",
        path: "/anthropic/v1",
      },
    },
    secrets: ["MINIMAX_API_KEY"],
    drop: ["store"],
    codes: MINIMAX_CODES,
    history: { details: "minimax" },
  },
  {
    id: "alibaba",
    source: "https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api",
    baseUrl: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    wires: {
      messages: {
        source: "https://www.alibabacloud.com/help/en/model-studio/anthropic-api-messages",
        path: "/apps/anthropic/v1",
        byApiKey: true,
      },
    },
    secrets: ["DASHSCOPE_API_KEY"],
    drop: ["store"],
    // https://www.alibabacloud.com/help/en/model-studio/context-cache
    cacheMarks: true,
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
    drop: ["seed", "store"],
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
  {
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
  },
  {
    id: "voyage",
    source: "https://docs.voyageai.com/reference/embeddings-api",
    baseUrl: "https://api.voyageai.com/v1",
    secrets: ["VOYAGE_API_KEY"],
    embedsOnly: true,
  },
  {
    id: "jina",
    source: "https://api.jina.ai/redoc",
    baseUrl: "https://api.jina.ai/v1",
    secrets: ["JINA_API_KEY"],
    embedsOnly: true,
  },
  {
    id: "ollama",
    source: "https://docs.ollama.com/api/openai-compatibility",
    secrets: ["OLLAMA_API_KEY"],
    keyless: true,
    looseTools: true,
  },
  {
    id: "vllm",
    source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
    secrets: ["VLLM_API_KEY"],
    keyless: true,
    looseTools: true,
    limit: ["max_completion_tokens", "max_tokens"],
  },
];
