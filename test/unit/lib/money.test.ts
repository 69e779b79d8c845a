import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUsd, NANO_PER_USD, toUsd, toUsdText } from "../../../src/lib/money.ts";
import { tries } from "../../support/tries.ts";

/** 9 million USD, the largest amount that is exact. */
const MAX_NANO = 9_000_000 * NANO_PER_USD;

test.each([
  { nano: 0, text: "0" },
  { nano: 1, text: "0.000000001" },
  { nano: 1_234, text: "0.000001234" },
  { nano: 100_000_000, text: "0.1" },
  { nano: 999_999_999, text: "0.999999999" },
  { nano: 1_000_000_000, text: "1" },
  { nano: 1_050_000_000, text: "1.05" },
  { nano: 20_000_000_000, text: "20" },
  { nano: MAX_NANO - 1, text: "8999999.999999999" },
  { nano: -1, text: "-0.000000001" },
  { nano: -2_500_000_000, text: "-2.5" },
])("$nano nano-USD is $text", ({ nano, text }) => {
  expect(toUsdText(nano)).toBe(text);
});

describe("for any amount", () => {
  const amount = fc.integer({ min: -MAX_NANO, max: MAX_NANO });

  test("the text is a plain decimal that says exactly the amount", () => {
    fc.assert(
      fc.property(amount, (nano) => {
        const text = toUsdText(nano);
        expect(text).toMatch(/^-?(0|[1-9]\d*)(\.\d{0,8}[1-9])?$/);
        const [whole = "", fraction = ""] = text.replace("-", "").split(".");
        const read = BigInt(whole) * BigInt(NANO_PER_USD) + BigInt(fraction.padEnd(9, "0"));
        expect(text.startsWith("-") ? -read : read).toBe(BigInt(nano));
      }),
      { numRuns: tries(1_000) },
    );
  });

  test("dollars and back lose nothing below a million", () => {
    const million = 1_000_000 * NANO_PER_USD;
    fc.assert(
      fc.property(fc.integer({ min: -million, max: million }), (nano) => {
        expect(fromUsd(toUsd(nano))).toBe(nano);
        expect(fromUsd(Number(toUsdText(nano)))).toBe(nano);
      }),
      { numRuns: tries(1_000) },
    );
  });
});

test.each([
  { usd: 0.1 + 0.2, nano: 300_000_000 },
  { usd: 20, nano: 20_000_000_000 },
  { usd: 1e-9, nano: 1 },
  { usd: 4e-10, nano: 0 },
])("$usd USD is $nano nano-USD", ({ usd, nano }) => {
  expect(fromUsd(usd)).toBe(nano);
});
