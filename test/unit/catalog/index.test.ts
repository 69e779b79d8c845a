import { expect, test } from "vitest";
import { ModelFacts } from "../../../src/catalog/facts.ts";
import { findModel } from "../../../src/catalog/index.ts";
import { CATALOG_ROWS } from "../../../src/catalog/rows.ts";

const rows = Object.entries(CATALOG_ROWS).flatMap(([provider, ofProvider]) =>
  ofProvider.map((row) => ({ provider, row, name: `${provider}/${row[0]}` })),
);

test("a model is found by its id, with what the table says of it", () => {
  expect(findModel("openai", "gpt-4o-mini")).toEqual({
    context_window: 128_000,
    max_output_tokens: 16_384,
    capabilities: { tools: true, json_schema: true, vision: true },
    price: { input: 150_000, output: 600_000, cache_read: 75_000 },
  });
});

test("an alias is the same model", () => {
  expect(findModel("openai", "gpt-4o-2024-08-06")).toBe(findModel("openai", "gpt-4o"));
});

test("what the table does not say is absent, not false and not zero", () => {
  expect(findModel("groq", "llama-3.1-8b-instant")?.capabilities).toEqual({ tools: true });
  expect(findModel("groq", "llama-3.1-8b-instant")?.price).toEqual({ input: 50_000, output: 80_000 });
});

test.each([
  { name: "a longer id", provider: "openai", model: "gpt-5-turbo-2099" },
  { name: "a shorter id", provider: "openai", model: "gpt" },
  { name: "another provider", provider: "xai", model: "gpt-4o" },
  { name: "a provider that is part of the id", provider: "together/openai", model: "gpt-oss-120b" },
  { name: "a model with context tiers", provider: "openai", model: "gpt-5.5" },
  { name: "a model whose price depends on the hour", provider: "deepseek", model: "deepseek-flash" },
  { name: "a model with a fee per request", provider: "perplexity", model: "sonar" },
  { name: "a member of every object", provider: "openai", model: "__proto__" },
])("$name is unknown", ({ provider, model }) => {
  expect(findModel(provider, model)).toBeUndefined();
});

test("the sandbox costs nothing, whatever the model, and that is known", () => {
  expect(findModel("sandbox", "anything")).toEqual({
    capabilities: { tools: true, json_schema: true },
    price: { input: 0, output: 0 },
  });
});

test.each(rows)("$name is a sane row", ({ provider, row }) => {
  const [id, contextWindow, maxOutputTokens, letters, input, output, cacheRead, aliases = []] = row;
  const facts = findModel(provider, id);
  expect(ModelFacts.parse(facts)).toEqual(facts);
  expect(contextWindow).toBeGreaterThanOrEqual(8_000);
  expect(maxOutputTokens ?? 1).toBeGreaterThan(0);
  expect(letters).toMatch(/^t?s?v?$/);
  // A price per token instead of per million, or the reverse, lands far outside.
  for (const price of [input, output, cacheRead ?? input]) {
    expect(Number.isInteger(price)).toBe(true);
    expect(price === 0 || (price >= 1_000 && price <= 50_000_000)).toBe(true);
  }
  expect(cacheRead ?? input).toBeLessThanOrEqual(input);
  expect(input).toBeLessThanOrEqual(output);
  for (const alias of aliases) expect(findModel(provider, alias)).toBe(facts);
});

test("no id or alias is given twice", () => {
  const names = rows.flatMap(({ provider, row }) => [row[0], ...(row[7] ?? [])].map((id) => `${provider}/${id}`));
  expect(names.length).toBe(new Set(names).size);
});
