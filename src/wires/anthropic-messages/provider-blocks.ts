/**
 * Blocks of the provider's own in requests, rebuilt from the members that are known.
 *
 * Chat clients send them back as parsed JSON, so anything may be in them. A result of a tool that a client runs must not
 * hide in one: approvals look for those where clients send them. What no block of the provider's is made of is left out.
 * https://platform.claude.com/docs/en/api/messages, …/agents-and-tools/tool-use/server-tools
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";

/** What tools that ran at the provider left in a turn, and marks of its own. */
const OWN_TYPES: ReadonlySet<string> = new Set([
  ...["server_tool_use", "mcp_tool_use", "mcp_tool_listing", "container_upload", "compaction", "fallback"],
]);
const OWN_RESULT = /^[a-z][a-z_]{0,60}_tool_result$/;
const MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "id", "name", "input", "tool_use_id", "content", "caller", "server_name", "is_error", "file_id"],
  ...["encrypted_content", "signature", "tool_changes", "from", "to", "trigger", "mcp_server_name", "tools"],
]);
/** What such members are made of: results of searches, files, code, lists of tools. */
const NESTED: ReadonlySet<string> = new Set([
  ...["type", "url", "title", "encrypted_content", "page_age", "error_code", "error_message", "content", "source"],
  ...[
    "media_type",
    "data",
    "citations",
    "enabled",
    "retrieved_at",
    "stdout",
    "stderr",
    "encrypted_stdout",
    "return_code",
  ],
  ...[
    "file_id",
    "text",
    "tool_references",
    "tool_name",
    "tool_id",
    "is_file_update",
    "lines",
    "new_lines",
    "new_start",
  ],
  ...["old_lines", "old_start", "file_type", "num_lines", "start_line", "total_lines", "stop_reason", "model"],
  ...["category", "name", "description", "input_schema", "tool", "definition", "server_name", "cited_text"],
  ...["encrypted_index", "document_index", "document_title", "start_char_index", "end_char_index", "start_page_number"],
  ...["end_page_number", "start_block_index", "end_block_index", "search_result_index"],
]);
/** JSON of a tool's own, in whatever shape. */
const FREE: ReadonlySet<string> = new Set(["input", "input_schema"]);
/** Only a client's tools have them. */
const CLIENT_TYPES: ReadonlySet<unknown> = new Set(["tool_use", "tool_result"]);
const MAX_DEPTH = 64;

/** Does the provider make blocks of this type by itself? */
export function isProviderBlock(type: unknown): boolean {
  return typeof type === "string" && (OWN_TYPES.has(type) || OWN_RESULT.test(type));
}

/**
 * Blocks that tell of no tool, and so pass the approval gate without a name: the members that each is made of, and
 * nothing may hide in them.
 */
const PLAIN: ReadonlyMap<unknown, readonly string[]> = new Map<unknown, readonly string[]>([
  ["compaction", ["type", "content", "encrypted_content", "signature"]],
  ["container_upload", ["type", "file_id"]],
  ["fallback", ["type", "from", "to", "trigger"]],
]);

function plainBlock(source: Json, names: readonly string[]): Json {
  const known = names.flatMap((name): (readonly [string, unknown])[] => {
    const value = source[name];
    if (value === undefined) return [];
    if (!isJsonObject(value)) return Array.isArray(value) ? [] : [[name, value]];
    const { model, type } = value;
    const words = Object.entries({ type, model }).filter(([, word]) => typeof word === "string");
    return [[name, Object.fromEntries(words)]];
  });
  return Object.fromEntries(known);
}

/** The block to send for `source`; `null` for none that the provider made. */
export function providerBlock(source: Json): Json | null {
  const { type, input, ...rest } = source;
  const plain = PLAIN.get(type);
  if (plain !== undefined) return plainBlock(source, plain);
  if (!isProviderBlock(type) || hidesClientBlock(rest, 0)) return null;
  return built(source, MEMBERS);
}

function built(source: Json, names: ReadonlySet<string>): Json {
  const known = Object.entries(source).filter(([name]) => names.has(name));
  return Object.fromEntries(known.map(([name, value]) => [name, FREE.has(name) ? value : builtValue(value)]));
}

function builtValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(builtValue);
  return isJsonObject(value) ? built(value, NESTED) : value;
}

function hidesClientBlock(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth > MAX_DEPTH || CLIENT_TYPES.has((value as Json)["type"])) return true;
  return Object.values(value).some((each) => hidesClientBlock(each, depth + 1));
}

/** The place of cited text, as requests have it: answers say the file's id too, which requests must not. */
export function citationParams(citations: readonly unknown[]): Json[] {
  return citations.flatMap((citation) => {
    if (!isJsonObject(citation) || typeof citation["type"] !== "string") return [];
    const { file_id, ...rest } = citation;
    return [Object.fromEntries(Object.entries(rest).filter(([name]) => CITATION_MEMBERS.has(name)))];
  });
}

const CITATION_MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "cited_text", "document_index", "document_title", "start_char_index", "end_char_index"],
  ...["start_page_number", "end_page_number", "start_block_index", "end_block_index", "search_result_index"],
  ...["source", "title", "url", "encrypted_index"],
]);

/** Members of a tool that the provider runs or defines. */
const TOOL_MEMBERS: ReadonlySet<string> = new Set([
  ...["type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location", "max_content_tokens"],
  ...["citations", "use_cache", "response_inclusion", "url_sources", "cache_control", "defer_loading", "strict"],
  ...["allowed_callers", "input_examples", "max_characters", "display_width_px", "display_height_px"],
  ...["display_number", "enable_zoom", "configs", "caching", "max_tokens", "model"],
]);
/** Its type ends in a date, `web_search_20250305`. */
const OWN_TOOL = /^[a-z][a-z0-9_]{0,60}_\d{8}$/;

/** The provider's tool to send for `source`; `null` for one of others. Unknown members go to `onUnknown`. */
export function providerTool(source: Json, onUnknown: (name: string) => void): Json | null {
  if (typeof source["type"] !== "string" || !OWN_TOOL.test(source["type"])) return null;
  const known = Object.entries(source).filter(([name]) => {
    if (!TOOL_MEMBERS.has(name)) onUnknown(name);
    return TOOL_MEMBERS.has(name);
  });
  return Object.fromEntries(known);
}
