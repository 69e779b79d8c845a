/** When a provider's limits are full again, in the headers that each documents. */
import { describe, expect, test } from "vitest";
import { resetDelayMs } from "../../../src/lib/time/retry-delay.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");

interface Row {
  readonly name: string;
  /** Where the provider describes them. */
  readonly source: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly delayMs: number | undefined;
}

const ROWS: readonly Row[] = [
  {
    name: "openai and azure: durations, and what is left says which limit was met",
    source: "https://platform.openai.com/docs/guides/rate-limits",
    headers: {
      ...{ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7s" },
      ...{ "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s" },
    },
    delayMs: 7_000,
  },
  {
    name: "openai: both limits met, so the later one",
    source: "https://platform.openai.com/docs/guides/rate-limits",
    headers: {
      ...{ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms" },
      ...{ "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17.5s" },
    },
    delayMs: 17_500,
  },
  {
    name: "anthropic: dates",
    source: "https://docs.anthropic.com/en/api/rate-limits",
    headers: {
      ...{ "anthropic-ratelimit-requests-remaining": "0" },
      ...{ "anthropic-ratelimit-requests-reset": "2026-11-30T12:00:20Z" },
      ...{ "anthropic-ratelimit-input-tokens-remaining": "4000" },
      ...{ "anthropic-ratelimit-input-tokens-reset": "2026-11-30T12:00:50Z" },
    },
    delayMs: 20_000,
  },
  {
    name: "groq: durations with minutes",
    source: "https://console.groq.com/docs/rate-limits",
    headers: {
      ...{ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2m59.56s" },
      ...{ "x-ratelimit-remaining-tokens": "17997", "x-ratelimit-reset-tokens": "7.66s" },
    },
    delayMs: 60_000,
  },
  {
    name: "cerebras: seconds, by the day and by the minute",
    source: "https://inference-docs.cerebras.ai/support/rate-limits",
    headers: {
      ...{ "x-ratelimit-remaining-requests-day": "14399", "x-ratelimit-reset-requests-day": "33011.382867097855" },
      ...{ "x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "11.382867097855" },
    },
    delayMs: 11_383,
  },
  {
    name: "openrouter: milliseconds of an epoch",
    source: "https://openrouter.ai/docs/api-reference/limits",
    headers: { "x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(NOW + 31_000) },
    delayMs: 31_000,
  },
  {
    name: "together and fireworks: seconds",
    source: "https://docs.together.ai/docs/rate-limits",
    headers: { "x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "3" },
    delayMs: 3_000,
  },
  {
    name: "github models: seconds of an epoch",
    source: "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api",
    headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(NOW / 1_000 + 9) },
    delayMs: 9_000,
  },
  {
    name: "mistral: seconds, of a limit on size",
    source: "https://docs.mistral.ai/deployment/laplateforme/tier/",
    headers: { "ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "25", "ratelimitbysize-limit": "500000" },
    delayMs: 25_000,
  },
  {
    name: "the fields that the IETF drafted: seconds",
    source: "https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/",
    headers: { "ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "25" },
    delayMs: 25_000,
  },
  {
    name: "none for limits that are not met",
    source: "https://platform.openai.com/docs/guides/rate-limits",
    headers: { "x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "7s" },
    delayMs: undefined,
  },
  {
    name: "none for nonsense",
    source: "https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/",
    headers: { "ratelimit-reset": "soon", "x-ratelimit-reset-tokens": "-1" },
    delayMs: undefined,
  },
];

describe("the headers of", () => {
  test.each(ROWS)("$name", ({ headers, delayMs }) => {
    expect(resetDelayMs(new Headers(headers), NOW)).toBe(delayMs);
  });
});
