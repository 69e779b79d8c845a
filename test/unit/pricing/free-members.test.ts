/** Members whose cost is known: none other reaches a provider on a request that must stay within a budget. */
import { describe, expect, test } from "vitest";
import type { Price } from "../../../src/catalog/model-facts.ts";
import { unknownMember, unknownOther } from "../../../src/pricing/free-members.ts";
import { ChatFields } from "../../../src/wires/openai-chat/request-fields.ts";

const PRICE: Price = { input: 1, output: 1 };
const unknownOf = (fields: object, provider = "openai", price = PRICE, isSameWire = true): string | null =>
  unknownMember(fields as Record<string, unknown>, provider, price, isSameWire);

describe("refused", () => {
  test.each<[string, object, string?]>([
    ["preset", { preset: "cheap" }, "openrouter"],
    ["provider", { provider: { order: ["dear"] } }, "openrouter"],
    ["models", { models: ["another/model"] }, "openrouter"],
    ["plugins", { plugins: [{ id: "web" }] }, "openrouter"],
    ["enable_search", { enable_search: true }, "alibaba"],
    ["search_parameters", { search_parameters: { mode: "on" } }, "xai"],
    // An empty one switches the search on.
    ["web_search_options", { web_search_options: {} }],
    ["data_sources", { data_sources: [{ type: "azure_search" }] }, "azure"],
    ["prediction", { prediction: { type: "content", content: "x" } }],
    ["modalities", { modalities: ["text", "image"] }],
    ["best_of", { best_of: 5 }, "vllm"],
    ["Enable_Search", { Enable_Search: true }, "ollama"],
    ["a\nb", { "a\nb": 1 }],
    ["__proto__", JSON.parse('{"__proto__":1}') as object],
    ["toString", { toString: 1 }],
    ["search_mode", { search_mode: "academic" }],
  ])("%j", (name, fields, provider) => {
    expect(unknownOf({ model: "flow/a", ...fields }, provider)).toBe(name);
  });
});

describe("sent", () => {
  test.each<[string, object, string?, Price?]>([
    ["what the router reads", Object.fromEntries(Object.keys(ChatFields.shape).map((name) => [name, 1]))],
    ["sampling and shape", { temperature: 1, top_p: 1, seed: 2, stop: ["a"], response_format: { type: "text" } }],
    ["thinking", { reasoning_effort: "high", thinking: { type: "enabled" }, enable_thinking: true }],
    ["who asks", { user: "a", metadata: { a: "b" }, prompt_cache_key: "k", store: false, safety_identifier: "s" }],
    ["what asks for nothing", { enable_search: false, plugins: [], models: null, provider: null }],
    ["sound", { modalities: ["text", "audio"], audio: { voice: "alloy" } }],
    ["filters of a search that is made anyway", { search_domain_filter: ["a.example"] }, "perplexity"],
    [
      "the size of a search whose fee is in the price",
      { web_search_options: { search_context_size: "high" } },
      "perplexity",
      { ...PRICE, request: { low: 1, high: 2 } },
    ],
  ])("%s", (_, fields, provider, price) => expect(unknownOf(fields, provider, price)).toBeNull());

  test("a search of another kind is refused even so", () => {
    const price: Price = { ...PRICE, request: { low: 1 } };
    expect(unknownOf({ web_search_options: { search_type: "pro" } }, "perplexity", price)).toBe("web_search_options");
  });
});

test("a provider of another wire gets what its writer makes of a request: only what that would pass on counts", () => {
  const another = (fields: object): string | null => unknownOf(fields, "anthropic", PRICE, false);
  expect(another({ "a\nb": 1, preset: "x" })).toBeNull();
  expect(another({ container: "c_1" })).toBe("container");
  expect(another({ guardrailConfig: {} })).toBe("guardrailConfig");
});

describe("members of other doors", () => {
  const other = (name: string, source: unknown, path = name) =>
    unknownOther([{ wire: "anthropic-messages", name, path, source, asksForNothing: false }]);
  test.each<[string, unknown, string?]>([
    ["mcp_servers", [{ url: "https://mcp.example" }]],
    ["container", "container_1"],
    ["fallbacks", "default"],
    ["context_management", { edits: [{ type: "compact_20260112" }] }],
    ["context_management", { edits: [{ type: "clear_tool_uses_20250919" }], more: 1 }],
    ["context_management", [{ type: "compaction" }]],
    ["examples_at", "https://x.example", "tools[0].examples_at"],
    ["reasoning.mode", "pro"],
  ])("%s is refused: %j", (name, source, path = name) => {
    expect(other(name, source, path)).toBe(path);
  });
  test.each<[string, unknown, string?]>([
    ["context_management", { edits: [{ type: "clear_thinking_20251015", keep: "all" }] }],
    ["cache_control", { type: "ephemeral" }],
    ["defer_loading", true, "tools[0].defer_loading"],
    ["mcp_servers", []],
    ["include", ["web_search_call.action.sources"]],
    ["inference_geo", "us"],
  ])("%s is sent: %j", (name, source, path = name) => {
    expect(other(name, source, path)).toBeNull();
  });
});
