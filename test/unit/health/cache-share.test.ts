import { describe, expect, test } from "vitest";
import { CacheShare } from "../../../src/health/cache-share.ts";
import { adopt, newTargetHealth, takeDelta } from "../../../src/health/target.ts";
import { calm } from "./fakes.ts";

const HOUR = 3_600_000;
const counts = (requests: number, promptTokens: number, cachedTokens: number) => ({
  requests,
  promptTokens,
  cachedTokens,
});

describe("the share that is read from a cache", () => {
  test("is 0 below 20 requests", () => {
    const share = new CacheShare();
    share.add(counts(19, 1_000, 500), 0);
    expect(share.at(1)).toBe(0);
    share.add(counts(1, 1_000, 0), 0);
    expect(share.at(1)).toBe(0.25);
  });

  test("is that of the last hour", () => {
    const share = new CacheShare();
    share.add(counts(100, 1_000, 1_000), 0);
    share.add(counts(20, 1_000, 0), HOUR / 2);
    expect(share.at(HOUR - 1)).toBe(0.5);
    expect(share.at(HOUR)).toBe(0);
  });

  test("goes on from its stored slices", () => {
    const before = new CacheShare();
    const first = before.add(counts(10, 100, 50), 0);
    const second = before.add(counts(10, 100, 50), HOUR / 2);
    const after = new CacheShare([first, second].filter((slice) => slice !== null));
    expect(after.at(HOUR / 2)).toBe(0.5);
  });

  test.each([
    { name: "nothing", sent: undefined },
    { name: "no requests", sent: counts(0, 0, 0) },
    { name: "fractions", sent: counts(20, 1.5, 1) },
    { name: "less than nothing", sent: counts(20, 10, -1) },
    { name: "no numbers", sent: { requests: "20" } as never },
  ])("takes no notice of $name", ({ sent }) => {
    const share = new CacheShare();
    expect(share.add(sent, 0)).toBeNull();
    expect(share.at(0)).toBe(0);
  });

  test("is never above 1, and the future does not count", () => {
    const share = new CacheShare();
    share.add(counts(20, 10, 30), 2 * HOUR);
    expect(share.at(2 * HOUR)).toBe(1);
    expect(share.at(0)).toBe(0);
  });
});

test("prompts go along with the next report, once, and the share comes back with its answer", () => {
  const health = newTargetHealth();
  health.prompts.count(100, 40);
  health.prompts.count(50, 10);
  expect(takeDelta(health, "i", 0).prompts).toEqual(counts(2, 150, 50));
  expect(takeDelta(health, "i", 1)).not.toHaveProperty("prompts");
  adopt(health, calm({ cachedShare: 0.4 }), 0, 1);
  expect(health.prompts.cachedShare).toBe(0.4);
  // The object of the release before knows no share.
  adopt(health, calm(), 1, 2);
  expect(health.prompts.cachedShare).toBe(0);
});
