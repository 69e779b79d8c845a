import { expect, test } from "vitest";
import { nearestModel } from "../../../src/catalog/nearest.ts";

test.each([
  ["openai", "gpt-4.1-minni", "gpt-4.1-mini"],
  ["openai", "GPT-4.1", "gpt-4.1"],
  ["anthropic", "claude-opus5", "claude-opus-5"],
  ["openai", "something-else-entirely", null],
  ["nobody", "gpt-4.1", null],
  ["__proto__", "gpt-4.1", null],
  ["openai", "g".repeat(97), null],
])("of %s, %s may mean %s", (provider, model, nearest) => {
  expect(nearestModel(provider, model)).toBe(nearest);
});
