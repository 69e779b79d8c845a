/** Members that single providers know, or refuse, by their own documentation. */

/** https://docs.mistral.ai/api/endpoint/chat. Any other member is refused with 422, `extra_forbidden`. */
export const MISTRAL_KNOWS = [
  ...["model", "messages", "stream", "temperature", "top_p", "max_tokens", "stop", "random_seed", "response_format"],
  ...["tools", "tool_choice", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "n", "prediction"],
  ...["prompt_mode", "safe_prompt", "reasoning_effort", "guardrails"],
] as const;
export const MISTRAL_MESSAGES = {
  system: ["role", "content"],
  user: ["role", "content"],
  assistant: ["role", "content", "tool_calls", "prefix"],
  tool: ["role", "content", "tool_call_id", "name"],
} as const;

/** https://console.groq.com/docs/api-reference#chat-create. Any other member is refused with 400. */
export const GROQ_KNOWS = [
  ...["model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"],
  ...["stop", "seed", "response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"],
  ...["presence_penalty", "frequency_penalty", "n", "user", "service_tier", "reasoning_effort", "reasoning_format"],
  ...["include_reasoning", "citation_options", "compound_custom", "documents", "search_settings", "include_domains"],
  ...["exclude_domains", "disable_tool_validation"],
] as const;
export const GROQ_MESSAGES = {
  system: ["role", "content", "name"],
  user: ["role", "content", "name"],
  assistant: ["role", "content", "name", "tool_calls", "function_call", "reasoning"],
  tool: ["role", "content", "tool_call_id", "name"],
  function: ["role", "content", "name"],
} as const;

/** https://inference-docs.cerebras.ai/api-reference/chat-completions. Any other is refused with `wrong_api_format`. */
export const CEREBRAS_KNOWS = [
  ...["model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"],
  ...["stop", "seed", "response_format", "tools", "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs"],
  ...["user", "service_tier", "prediction", "reasoning_effort", "reasoning_format", "disable_reasoning"],
  ...["clear_thinking", "n", "min_tokens", "queue_threshold"],
] as const;
export const CEREBRAS_MESSAGES = {
  system: ["role", "content", "name"],
  user: ["role", "content", "name"],
  assistant: ["role", "content", "name", "tool_calls", "reasoning"],
  tool: ["role", "content", "tool_call_id", "name"],
} as const;

/** https://docs.fireworks.ai/api-reference/post-chatcompletions. Any other is refused: "Extra inputs are not permitted". */
export const FIREWORKS_KNOWS = [
  ...["model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"],
  ...["stop", "seed", "response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"],
  ...["presence_penalty", "frequency_penalty", "repetition_penalty", "n", "user", "logprobs", "top_logprobs"],
  ...["logit_bias", "prediction", "speculation", "metadata", "service_tier", "reasoning_effort", "reasoning_history"],
  ...["thinking", "top_k", "min_p", "typical_p", "mirostat_lr", "mirostat_target", "ignore_eos", "echo", "echo_last"],
  ...["context_length_exceeded_behavior", "prompt_truncate_len", "prompt_cache_key", "prompt_cache_isolation_key"],
  ...["prompt_cache_max_len", "perf_metrics_in_response", "raw_output", "return_token_ids", "safe_tokenization"],
] as const;
export const FIREWORKS_MESSAGES = {
  system: ["role", "content", "name"],
  user: ["role", "content", "name"],
  assistant: ["role", "content", "name", "tool_calls", "function_call", "reasoning_content"],
  tool: ["role", "content", "tool_call_id", "name"],
  function: ["role", "content", "name"],
} as const;

/** Members of other providers' protocols, which OpenAI refuses by name. */
export const FOREIGN = [
  ...["top_k", "min_p", "repetition_penalty", "cache_control", "thinking", "enable_thinking", "thinking_budget"],
  ...["chat_template_kwargs", "safe_prompt", "random_seed", "include_reasoning", "reasoning_format", "reasoning_split"],
] as const;
