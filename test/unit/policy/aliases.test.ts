import { describe, expect, test } from "vitest";
import { Alias, aliasIndex, exactAlias, patternAlias, takenAlias } from "../../../src/policy/aliases.ts";

describe("an alias", () => {
  test.each(["gpt-5", "claude-*", "*", "openai/gpt-5", "Qwen/Qwen3:32b", "flow", "flowing/x", "a".repeat(256)])(
    "may be %s",
    (alias) => {
      expect(Alias.safeParse(alias).success).toBe(true);
    },
  );

  test.each([
    ...["", "a b", "*a", "a*b", "a**", "flow/x", "flow/*", "anthropic/flow-x", "anthropic/flow-*", "ä", "a\n"],
    "a".repeat(257),
  ])("may not be %j", (alias) => {
    expect(Alias.safeParse(alias).success).toBe(false);
  });
});

describe("the index", () => {
  const index = aliasIndex([
    { name: "smart", aliases: ["claude-*", "gpt-5", "constructor"] },
    { name: "small", aliases: ["claude-haiku-*", "*"] },
  ]);

  test.each([
    { model: "gpt-5", exact: "smart", pattern: "small" },
    { model: "claude-opus-5", exact: undefined, pattern: "smart" },
    { model: "claude-haiku-5", exact: undefined, pattern: "small" },
    { model: "claude-*", exact: undefined, pattern: "smart" },
    { model: "GPT-5", exact: undefined, pattern: "small" },
    { model: "constructor", exact: "smart", pattern: "small" },
    { model: "toString", exact: undefined, pattern: "small" },
  ])("finds $model", ({ model, exact, pattern }) => {
    expect([exactAlias(index, model), patternAlias(index, model)]).toEqual([exact, pattern]);
  });

  test("without aliases finds nothing", () => {
    expect([exactAlias({}, "toString"), patternAlias({}, "x")]).toEqual([undefined, undefined]);
  });
});

describe("of two routes", () => {
  const other = { name: "other", aliases: ["gpt-5", "claude-*"] };
  test.each([
    { candidate: { name: "mine", aliases: ["gpt-5-mini", "claude-opus-5"] }, taken: null },
    { candidate: { name: "mine", aliases: ["x", "gpt-5"] }, taken: { alias: "gpt-5", route: "other" } },
    { candidate: { name: "mine", aliases: ["claude-*"] }, taken: { alias: "claude-*", route: "other" } },
    { candidate: { name: "mine", aliases: ["other"] }, taken: { alias: "other", route: "other" } },
    { candidate: { name: "mine", aliases: ["mine"] }, taken: { alias: "mine", route: "mine" } },
    { candidate: { name: "gpt-5", aliases: [] }, taken: { alias: "gpt-5", route: "other" } },
  ])("$candidate is published: $taken", ({ candidate, taken }) => {
    expect(takenAlias(candidate, [other])).toEqual(taken);
  });
});
