import { expect, test } from "vitest";
import { metricsText } from "../../../src/admin/metrics.ts";
import { isLinear } from "../../support/work.ts";

const row = (route: string, requests: number) => ({
  ...{ env: "production", route, api: "chat", status: "ok", provider: "openai", model: "m" },
  ...{ requests, promptTokens: 1, cachedTokens: 1, completionTokens: 1, reasoningTokens: 1, nanoUsd: 1 },
  ...{ unadmittedNanoUsd: 0, firstToken: [[100, 1]] as const, total: [[150, requests]] as const },
});
const NOTHING = { attempts: [], breakers: [], pending: {}, budgets: [] };
const seriesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("beyond 10,000 series the routes with the fewest requests are one, and nothing is lost of their sums", () => {
  const rows = Array.from({ length: 2_000 }, (_, at) => row(`flow/r${at}`, at + 1));
  const series = seriesOf(metricsText({ ...NOTHING, rows }));
  expect(series.length).toBeLessThanOrEqual(10_000);
  const requests = series.filter((line) => line.startsWith("flowlayer_requests_total"));
  expect(requests.some((line) => line.includes('route="(other)"'))).toBe(true);
  expect(requests.some((line) => line.includes('route="flow/r1999"'))).toBe(true);
  const sum = requests.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
  expect(sum).toBe((2_000 * 2_001) / 2);
});

test("writing series takes time in proportion to their number", () => {
  const write = (size: number): void => {
    const rows = Array.from({ length: size }, (_, at) => row(`flow/r${at}`, at + 1));
    expect(seriesOf(metricsText({ ...NOTHING, rows })).length).toBeGreaterThan(30 * size);
  };
  expect(isLinear(5, write)).toBe(true);
});

test("a label's value is escaped", () => {
  const text = metricsText({ ...NOTHING, rows: [{ ...row('a"b\\c\nd', 1) }] });
  expect(text).toContain('route="a\\"b\\\\c\\nd"');
});
