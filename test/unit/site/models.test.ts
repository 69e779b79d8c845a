/** The rows of the model directory: addresses that are one model's alone, families, and what a provider takes. */
import { describe, expect, test } from "vitest";
import { modelRows, modelsCsv, newerThan } from "../../../src/site/model-rows.ts";
import { termsOf } from "../../../src/site/provider-terms.ts";

const rows = modelRows();
const rowOf = (name: string) => {
  const row = rows.find(({ provider, id }) => `${provider}/${id}` === name);
  if (row === undefined) throw new Error(`no ${name} in the catalogue`);
  return row;
};

test("each model has an address of its own, of harmless characters, also where case is not told apart", () => {
  expect(new Set(rows.map(({ path }) => path)).size).toBe(rows.length);
  for (const { path } of rows) expect(path).toMatch(/^\/models\/[a-z0-9-]+\/[A-Za-z0-9._/~-]+$/);
  const providers = new Set(rows.map(({ provider }) => `/models/${provider}`));
  expect(rows.filter(({ path }) => providers.has(path))).toEqual([]);
});

describe("a newer model", () => {
  test.each([
    ["openai/gpt-5", /^gpt-[0-9.]+$/],
    ["openai/gpt-4.1-mini", /^gpt-[0-9.]+-mini$/],
    ["openai/gpt-4o-2024-05-13", /^gpt-[0-9.]+$/],
  ])("of %s is of the same family", (name, pattern) => {
    expect(newerThan(rowOf(name), rows)?.id).toMatch(pattern);
  });

  test("is never older, never another provider's, and never one that is not offered", () => {
    for (const row of rows) {
      const newer = newerThan(row, rows);
      if (newer === null) continue;
      expect(newer).toMatchObject({ provider: row.provider, status: "offered" });
      expect(newer.released > row.released).toBe(true);
    }
  });
});

test("what a provider takes comes from the row that requests are written by", () => {
  const { lines, source } = termsOf(rowOf("openai/gpt-5"));
  const text = new Map(lines);
  expect(text.get("Token limit")).toContain("`max_completion_tokens`");
  expect(text.get("Reasoning effort")).toContain("`minimal`");
  expect(text.get("Sampling")).toContain("`temperature`");
  expect(source).toMatch(/^https:/);
  for (const row of rows) expect(termsOf(row).lines.length).toBeGreaterThan(0);
});

test("modalities are told apart from abilities", () => {
  expect(rowOf("openai/gpt-5").modalities).toBe("text, image → text");
  expect(rowOf("openai/text-embedding-3-large")).toMatchObject({
    modalities: "text → vector",
    abilities: ["embeddings"],
  });
  expect(modelsCsv(rows).split("\r\n")[0]).toContain("modalities,abilities");
});
