import { expect, test } from "vitest";
import { redactCredentials } from "../../../src/lib/redact-credentials.ts";
import { isLinear } from "../../support/work.ts";

const CANARY = "CaNaRy0123456789";

test.each([
  `sk-proj-${CANARY}`,
  `sk-abc***${CANARY}`,
  `gsk_${CANARY}`,
  `fl_production_${CANARY}`,
  `AIzaSy${CANARY}`,
  `Bearer ${CANARY}`,
  `Authorization: bearer ${CANARY}`,
  `eyJhbGciOiJIUzI1NiJ9.${CANARY}.${CANARY}`,
  `AKIA${CANARY}`,
  `https://user:${CANARY}@host.com/`,
  `org-${CANARY}`,
  `${CANARY}${CANARY}${CANARY}`,
  "0123456789abcdef".repeat(4),
])("%s is removed from a message", (secret) => {
  const clean = redactCredentials(`Refused: ${secret} is not allowed`, 500);
  expect(clean).not.toContain(CANARY);
  expect(clean).not.toContain("0123456789abcdef");
  expect(clean).toMatch(/^Refused: .*is not allowed$/);
});

test("plain words and links stay", () => {
  const text =
    "Unsupported parameter: 'max_tokens'. See https://platform.openai.com/docs/guides/error-codes/api-errors for more.";
  expect(redactCredentials(text, 500)).toBe(text);
});

test.each([...["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u{e0041}", "\u034f", "\u115f", "\ufe0f"]])(
  "a secret is one with %j inside of it",
  (split) => {
    for (const secret of [
      `sk-${split}${CANARY}`,
      `s${split}k-${CANARY}`,
      `Bea${split}rer ${CANARY}`,
      `AIza${split}Sy${CANARY}`,
    ]) {
      expect(redactCredentials(`Refused: ${secret} is not allowed`, 500)).not.toContain(CANARY);
    }
    const spread = [...`sk-${CANARY}`].join(split);
    expect(redactCredentials(spread, 500)).toBe("[removed]");
  },
);

test("control and direction characters become one space, what cannot be seen goes, and the length is bounded", () => {
  expect(redactCredentials("a\u0000\r\n\u001b[31mb\u202ec", 500)).toBe("a [31mb c");
  expect(redactCredentials("in\u00advis\u200bible", 500)).toBe("invisible");
  expect(redactCredentials("x y ".repeat(5_000), 500)).toHaveLength(500);
  expect(redactCredentials(`${"x ".repeat(4)}😀`, 9).isWellFormed()).toBe(true);
});

test.each(["eyJ", "sk-", "Bearer ", "://a", "A", "-"])("hostile text costs what its length does: %j", (piece) => {
  expect(isLinear(2_000, (size) => redactCredentials(piece.repeat(size), 500))).toBe(true);
});
