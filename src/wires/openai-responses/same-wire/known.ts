/**
 * The members of a Responses body that are read here. Items and parts of unknown types are not looked into: such a part
 * is judged as a whole.
 * https://platform.openai.com/docs/api-reference/responses/create
 */
import type { Json } from "../../../conversation/part.ts";
import { type KnownMembers, members } from "../../known-members.ts";

const PART = ["type", "prompt_cache_breakpoint"];
const PARTS: ReadonlyMap<unknown, KnownMembers> = new Map<unknown, KnownMembers>([
  ...(["input_text", "output_text", "text"] as const).map((type): [string, KnownMembers] => [
    type,
    members([...PART, "text", "annotations", "logprobs"]),
  ]),
  ["refusal", members([...PART, "refusal"])],
  ["input_image", members([...PART, "image_url", "file_id", "detail"])],
  ["input_file", members([...PART, "file_data", "file_url", "file_id", "filename", "detail"])],
  ["input_audio", members([...PART, "input_audio"])],
  ["summary_text", members(["type", "text"])],
  ["reasoning_text", members(["type", "text"])],
]);

const partOf = (part: Json): KnownMembers | null => PARTS.get(part["type"]) ?? null;

const TOOL = members(["type", "name", "description", "parameters", "strict", "format"]);

function toolOf({ type }: Json): KnownMembers | null {
  if (type === "namespace") return members(["type", "name", "description"], { tools: TOOL });
  return type === "function" || type === "custom" ? TOOL : null;
}

const ITEM = ["type", "id", "status", "created_by", "agent"];
const CALL = [...ITEM, "call_id", "name", "namespace"];
const MESSAGE = members([...ITEM, "role", "phase"], { content: partOf });
/** By type. An item without one is a message. */
const ITEMS: ReadonlyMap<unknown, KnownMembers> = new Map<unknown, KnownMembers>([
  [undefined, MESSAGE],
  [null, MESSAGE],
  ["message", MESSAGE],
  ["function_call", members([...CALL, "arguments"])],
  ["custom_tool_call", members([...CALL, "input"])],
  ["function_call_output", members(CALL, { output: partOf })],
  ["custom_tool_call_output", members(CALL, { output: partOf })],
  // Calls of tools that OpenAI defines and the client runs, and their results.
  ["local_shell_call", members([...CALL, "action"])],
  ["shell_call", members([...CALL, "action", "environment", "max_output_length"])],
  ["computer_call", members([...CALL, "action", "actions", "pending_safety_checks"])],
  ["apply_patch_call", members([...CALL, "operation"])],
  ["local_shell_call_output", members([...CALL, "output"])],
  ["shell_call_output", members([...CALL, "output", "max_output_length"])],
  ["computer_call_output", members([...CALL, "output", "acknowledged_safety_checks"])],
  ["apply_patch_call_output", members([...CALL, "output"])],
  // What a provider's own tools did: a result of the client's in another member of them is none of theirs.
  ["tool_search_call", members([...ITEM, "call_id", "execution", "arguments"])],
  ["tool_search_output", members([...ITEM, "call_id", "execution", "tools"])],
  ["web_search_call", members([...ITEM, "action"])],
  ["file_search_call", members([...ITEM, "queries", "results"])],
  ["code_interpreter_call", members([...ITEM, "code", "container_id", "outputs"])],
  ["mcp_call", members([...ITEM, "name", "server_label", "arguments", "output", "error", "approval_request_id"])],
  ["mcp_list_tools", members([...ITEM, "server_label", "tools", "error"])],
  ["item_reference", members(ITEM)],
  ["additional_tools", members([...ITEM, "role"], { tools: toolOf })],
  ["reasoning", members([...ITEM, "encrypted_content"], { summary: partOf, content: partOf })],
]);

export const KNOWN: KnownMembers = members(
  [
    ...["model", "instructions", "stream", "stream_options", "store", "previous_response_id", "route", "background"],
    ...["conversation", "tool_choice", "parallel_tool_calls", "include", "max_output_tokens", "temperature", "top_p"],
    ...["top_logprobs", "service_tier", "metadata", "truncation", "user", "prompt_cache_key", "safety_identifier"],
    "prompt_cache_retention",
  ],
  {
    input: (item) => ITEMS.get(item["type"]) ?? null,
    tools: toolOf,
    text: members(["format", "verbosity"]),
    reasoning: members(["effort", "summary", "generate_summary"]),
  },
);
