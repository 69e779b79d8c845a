import { expect, test } from "vitest";
import { isProviderRun } from "../../../src/conversation/provider-tools.ts";

test.each([
  ["web_search", true],
  ["web_search_preview_2025_03_11", true],
  ["web_search_20250305", true],
  ["web_fetch_20250910", true],
  ["code_execution_20250825", true],
  ["code_interpreter", true],
  ["file_search", true],
  ["mcp", true],
  ["tool_search", true],
  ["googleSearch", true],
  ["urlContext", true],
  // The client runs these, though the provider defines them.
  ["bash_20250124", false],
  ["text_editor_20250728", false],
  ["computer_use_preview", false],
  ["local_shell", false],
  ["shell", false],
  ["custom", false],
  ["hologram", false],
  ["", false],
])("%s is run by its provider: %s", (type, isRun) => {
  expect(isProviderRun({ type })).toBe(isRun);
});
