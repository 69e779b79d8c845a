import { describe, expect, test } from "vitest";
import { priceEnds } from "../../../src/prices/ends.ts";

const HOUR = 3_600_000;
const NOW = Date.parse("2026-10-01T00:00:00Z");
const SONNET = { provider: "anthropic", model: "claude-sonnet-5-5" };
const OWN = { provider: "own", model: "m" };

const row = (id: string, from: number, until: number | null = null) => {
  return { id, from, until, price: { input: 1, output: 1 } };
};
const used = (target: typeof OWN, routes = ["production/a"]) => ({ ...target, routes });

describe("the end of a price", () => {
  test.each([
    { name: "a row's own end", rows: [row("a", NOW - HOUR, NOW + HOUR)], endsAt: NOW + HOUR },
    {
      name: "where the next row begins",
      rows: [row("a", NOW - HOUR), row("b", NOW + 2 * HOUR)],
      endsAt: NOW + 2 * HOUR,
    },
    {
      name: "the sooner of both",
      rows: [row("a", NOW - HOUR, NOW + 3 * HOUR), row("b", NOW + 2 * HOUR, NOW + 9 * HOUR)],
      endsAt: NOW + 2 * HOUR,
    },
    { name: "none for a row without one", rows: [row("a", NOW - HOUR)], endsAt: undefined },
    { name: "none that is over", rows: [row("a", NOW - 2 * HOUR, NOW)], endsAt: undefined },
  ])("is $name", ({ rows, endsAt }) => {
    const entries = rows.map((each) => ({ ...OWN, row: each }));
    const ends = priceEnds(entries, [used(OWN)], NOW);
    expect(ends.map((end) => end.endsAt)).toEqual(endsAt === undefined ? [] : [endsAt]);
    for (const end of ends) expect(end).toMatchObject({ ...OWN, source: "operator", routes: ["production/a"] });
  });

  test("is the catalogue's date for a target in use, as long as no operator has set a price", () => {
    const endsAt = Date.parse("2026-10-07");
    expect(priceEnds([], [used(SONNET)], NOW)).toEqual([
      { ...SONNET, source: "catalogue", endsAt, routes: ["production/a"] },
    ]);
    expect(priceEnds([], [], NOW)).toEqual([]);
    expect(priceEnds([{ ...SONNET, row: row("a", NOW - HOUR) }], [used(SONNET)], NOW)).toEqual([]);
    expect(priceEnds([], [used(SONNET)], endsAt)).toEqual([]);
  });

  test("is what a provider promised, also when that is over", () => {
    const target = { provider: "openai", model: "gpt-5.6-sol" };
    const ends = priceEnds([], [used(target)], Date.parse("2026-12-01"));
    expect(ends).toMatchObject([{ ...target, source: "catalogue", endsAt: Date.parse("2026-11-21") }]);
  });
});
