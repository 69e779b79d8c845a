/**
 * The members of a Messages body that are read here. Blocks of unknown types are not looked into: such a part is judged
 * as a whole.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Json } from "../../../conversation/part.ts";
import { type KnownMembers, members } from "../../known-members.ts";

const ANY = ["type", "cache_control"];
/** By type: a member of another type next to it may be what a reader goes by. */
const SOURCES: ReadonlyMap<unknown, KnownMembers> = new Map<unknown, KnownMembers>([
  ["base64", members(["type", "media_type", "data"])],
  ["text", members(["type", "media_type", "data"])],
  ["url", members(["type", "url"])],
  ["file", members(["type", "file_id"])],
]);
const sourceOf = (source: Json): KnownMembers | null => SOURCES.get(source["type"]) ?? null;
/** Text: of an object in place of it nothing is read. */
const TEXT_ONLY: KnownMembers = {};
/**
 * By type. What the provider's own tools did is the provider's to read; the approval gate lets it pass by the tool's name.
 * Blocks that tell of no tool have no name, so nothing may hide in them.
 */
const BLOCKS: ReadonlyMap<unknown, KnownMembers> = new Map<unknown, KnownMembers>([
  ["text", members([...ANY, "text", "citations"])],
  ["image", members(ANY, { source: sourceOf })],
  ["document", members([...ANY, "title", "context", "citations"], { source: sourceOf })],
  ["thinking", members(["type", "thinking", "signature"])],
  ["redacted_thinking", members(["type", "data"])],
  ["container_upload", members([...ANY, "file_id"])],
  ["compaction", members([...ANY, "encrypted_content", "signature"], { content: TEXT_ONLY })],
  ["fallback", members(ANY, { from: members(["model"]), to: members(["model"]), trigger: members(["type"]) })],
  ["tool_use", members([...ANY, "id", "name", "input", "caller", "toolset_name"])],
  [
    "tool_result",
    members([...ANY, "tool_use_id", "is_error", "toolset_name"], { content: (block: Json) => blockOf(block) }),
  ],
]);

function blockOf(block: Json): KnownMembers | null {
  return BLOCKS.get(block["type"]) ?? null;
}

const CUSTOM_TOOL = members([...ANY, "name", "description", "input_schema", "strict"]);

export const KNOWN: KnownMembers = members(
  [
    ...["model", "stream", "max_tokens", "thinking", "temperature", "top_p", "top_k", "stop_sequences"],
    ...["service_tier", "route"],
  ],
  {
    messages: members(["role"], { content: blockOf }),
    system: blockOf,
    // A tool of the provider's own is a matter of its type.
    tools: ({ type }) => (type === undefined || type === null || type === "custom" ? CUSTOM_TOOL : null),
    tool_choice: members(["type", "name", "disable_parallel_tool_use"]),
    metadata: members(["user_id"]),
    output_config: members(["effort", "format"]),
  },
);
