/** Whatever a client sends, every object that reaches the provider was built here, from members that it has. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { writeRequest } from "../../../../src/wires/anthropic-messages/write-request.ts";
import { readRequest } from "../../../../src/wires/openai-chat/read-request.ts";
import { foreignKeys, hostileChat } from "../../../support/hostile-chat.ts";
import { tries } from "../../../support/tries.ts";

const VOCABULARY = new Set([
  ...[
    "model",
    "max_tokens",
    "system",
    "messages",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
  ],
  ...["tool_choice", "thinking", "output_config", "metadata", "service_tier", "user_id", "effort", "format", "schema"],
  ...["role", "content", "type", "text", "cache_control", "ttl", "citations", "source", "media_type", "data", "url"],
  ...["title", "context", "enabled", "signature", "id", "name", "input", "caller", "tool_id", "toolset_name"],
  ...["tool_use_id", "is_error", "description", "input_schema", "strict", "disable_parallel_tool_use"],
  ...["budget_tokens", "display", "block_binding", "prefix_mismatch_behavior"],
  // Of the provider's own blocks.
  ...["encrypted_content", "page_age", "error_code", "cited_text", "from"],
]);
/** A tool's own JSON. */
const OPAQUE = new Set(["input", "input_schema", "schema"]);

const MODELS = ["claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5", "claude-fable-5-1", "claude-3-haiku", "x"];

const canary = fc.constantFrom<unknown>({ zz_canary: 1 }, [{ toolResult: {} }], { tool_result: "x" }, "x", 1, null);
const block = fc.record({
  type: fc.constantFrom("server_tool_use", "web_search_tool_result", "mcp_tool_result", "fallback", "tool_result", "x"),
  id: fc.constant("s"),
  content: fc.oneof(
    canary,
    fc.array(fc.record({ type: fc.constantFrom("web_search_result", "tool_use"), url: canary, zz: canary })),
  ),
  caller: canary,
  from: canary,
  zz_canary: canary,
});

test("a client's object is never passed on, and nothing throws", () => {
  fc.assert(
    fc.property(hostileChat, fc.array(block, { maxLength: 3 }), fc.constantFrom(...MODELS), (fields, blocks, model) => {
      const messages = [
        ...(fields["messages"] as object[]),
        { role: "assistant", content: "a", server_tool_blocks: blocks },
      ];
      const conversation = readRequest({ ...fields, messages });
      const written = writeRequest(conversation, { provider: "anthropic", model, maxOutputTokens: undefined });
      expect(foreignKeys(JSON.parse(written.body), VOCABULARY, OPAQUE)).toEqual([]);
    }),
    { numRuns: tries(500) },
  );
});
