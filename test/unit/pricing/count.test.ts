import { expect, test } from "vitest";
import { promptTokens, textTokens } from "../../../src/pricing/count.ts";

test.each([
  { script: "English", text: "The quick brown fox jumps over it. ", tokensPerCharacter: 0.25 },
  { script: "Chinese", text: "快速的棕色狐狸跳过了它。", tokensPerCharacter: 1 },
  { script: "Japanese", text: "すばやい茶色のきつねが", tokensPerCharacter: 1 },
  { script: "Korean", text: "빠른갈색여우가", tokensPerCharacter: 1 },
  { script: "Russian", text: "быстраялиса", tokensPerCharacter: 0.625 },
  { script: "Arabic", text: "الثعلب", tokensPerCharacter: 0.625 },
  { script: "Devanagari", text: "लोमड़ी", tokensPerCharacter: 1 },
])("a character of $script weighs $tokensPerCharacter tokens", ({ text, tokensPerCharacter }) => {
  expect(textTokens(text.repeat(50))).toBeCloseTo([...text].length * 50 * tokensPerCharacter, 6);
});

test("an emoji is at least a token", () => {
  expect(textTokens("🦊")).toBeGreaterThanOrEqual(1);
});

test("a picture in the prompt is not counted as text", () => {
  const body = (data: string): string => JSON.stringify({ messages: [{ content: [{ text: "看", data }] }] });
  const picture = "iVBORw0KGgo".repeat(100_000);
  expect(promptTokens(body(picture), picture.length)).toBe(promptTokens(body(""), 0));
});
