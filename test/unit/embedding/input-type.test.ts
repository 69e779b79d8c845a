import { expect, test } from "vitest";
import {
  COHERE_WORDS,
  GOOGLE_WORDS,
  inputKind,
  inputWord,
  JINA_WORDS,
  lacksWord,
  NVIDIA_WORDS,
  unsaidMembers,
  VOYAGE_WORDS,
} from "../../../src/embedding/input-type.ts";

const ALL = { COHERE_WORDS, GOOGLE_WORDS, JINA_WORDS, NVIDIA_WORDS, VOYAGE_WORDS };

test.each(Object.entries(ALL))("every word of %s is said by every other that has one for it", (_, words) => {
  for (const [kind, word] of Object.entries(words)) {
    expect(inputKind(word)).toBe(kind);
    for (const others of Object.values(ALL)) {
      expect(inputWord(word, others)).toBe(others[kind as keyof typeof others] ?? null);
    }
  }
});

test("case does not count, and a word that no provider has is left to the provider", () => {
  expect(inputWord("retrieval_query", COHERE_WORDS)).toBe("search_query");
  expect(inputWord("SEARCH_DOCUMENT", VOYAGE_WORDS)).toBe("document");
  expect(inputWord("image", COHERE_WORDS)).toBe("image");
  expect(lacksWord("image", VOYAGE_WORDS)).toBe(false);
  expect(lacksWord("classification", VOYAGE_WORDS)).toBe(true);
});

test("members that cannot be said are named", () => {
  const fields = { model: "m", input: "x", user: "u", truncate: "END", input_type: "query", other: 1 };
  expect(unsaidMembers(fields, ["truncate"], COHERE_WORDS)).toEqual(["user", "other"]);
  expect(unsaidMembers(fields, [], null)).toEqual(["user", "truncate", "input_type", "other"]);
  expect(unsaidMembers({ input_type: "clustering" }, [], VOYAGE_WORDS)).toEqual(["input_type"]);
});
