import { describe, expect, test } from "vitest";
import { retryDelayMs } from "../../../src/lib/time/retry-delay.ts";

const NOW = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");

describe("headers", () => {
  test.each<[string, Record<string, string>, number | undefined]>([
    ["seconds", { "retry-after": "17" }, 17_000],
    ["no wait", { "retry-after": "0" }, 0],
    ["parts of a second", { "retry-after": "1.5" }, 1_500],
    ["a date", { "retry-after": "Wed, 21 Oct 2026 07:28:05 GMT" }, 5_000],
    ["a date long ago", { "retry-after": "Wed, 21 Oct 2015 07:28:05 GMT" }, 0],
    ["a date far off", { "retry-after": "Wed, 21 Oct 2099 07:28:05 GMT" }, 60_000],
    [
      "a date on the vendor's own clock",
      { "retry-after": "Wed, 21 Oct 2026 09:00:05 GMT", date: "Wed, 21 Oct 2026 09:00:00 GMT" },
      5_000,
    ],
    ["milliseconds", { "retry-after-ms": "3890", "retry-after": "4" }, 3_890],
    ["zero milliseconds beside seconds", { "retry-after-ms": "0", "retry-after": "1" }, 1_000],
    ["zero milliseconds alone", { "retry-after-ms": "0" }, 0],
    ["nothing", {}, undefined],
    ["an absurd number", { "retry-after": "1000000000" }, 60_000],
    ["a number beyond all numbers", { "retry-after": "9".repeat(400) }, undefined],
    ["a negative number", { "retry-after": "-1" }, undefined],
    ["a word", { "retry-after": "soon" }, undefined],
    ["a word for a number", { "retry-after": "Infinity" }, undefined],
    ["no number", { "retry-after": "NaN", "retry-after-ms": "NaN" }, undefined],
    ["an empty value", { "retry-after": "" }, undefined],
    ["hexadecimal", { "retry-after": "0x10" }, undefined],
  ])("%s", (_, headers, delay) => {
    expect(retryDelayMs(new Headers(headers), undefined, NOW)).toBe(delay);
  });
});

describe("bodies", () => {
  test.each<[string, unknown, number | undefined]>([
    ["Google's detail", { error: { details: [{ reason: "x" }, { retryDelay: "48s" }] } }, 48_000],
    ["Google's detail with a fraction", [{ error: { details: [{ retryDelay: "0.25s" }] } }], 250],
    ["Google's detail, negative", { error: { details: [{ retryDelay: "-3s" }] } }, undefined],
    ["OpenRouter's reset", { error: { metadata: { headers: { "X-RateLimit-Reset": String(NOW + 2_000) } } } }, 2_000],
    [
      "OpenRouter's reset in seconds is not guessed",
      { error: { metadata: { headers: { "X-RateLimit-Reset": 20 } } } },
      undefined,
    ],
    ["headers inside a body", { error: { metadata: { headers: { "Retry-After": "3" } } } }, 3_000],
    ["seconds", { error: { retry_after: 2 } }, 2_000],
    ["milliseconds", { retry_after_ms: 150 }, 150],
    ["negative seconds", { error: { retry_after: -2 } }, undefined],
    ["no object", "busy", undefined],
    ["null", null, undefined],
  ])("%s", (_, body, delay) => {
    expect(retryDelayMs(new Headers(), body, NOW)).toBe(delay);
  });

  test("the header comes first", () => {
    expect(retryDelayMs(new Headers({ "retry-after": "1" }), { error: { retry_after: 9 } }, NOW)).toBe(1_000);
  });
});
